//! Private keys: read from PEM, made, used, and shown only as the record that belongs to them.
//!
//! In: a file's octets, or a wish.  Out: [`SigningKey`], or a [`KeyFault`] that says what is there and how to mend it.
//! Always: a private key is never printed and never part of an error; RSA keys have 1,024 to 4,096 bits (RFC 8301 §3.2: no
//! receiver needs to take others), and whoever loads one asks [`SigningKey::bits`] whether to warn.
//! Sources: RFC 5958, RFC 8017 §A.1.2, RFC 8410, RFC 6376 §3.3, RFC 8463.

use aws_lc_rs::{
    digest::Digest,
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};

pub use super::public::{Algorithm, RSA_BITS_GOOD};
use super::{
    der, pem,
    public::{self, PublicKey},
    small_rsa::{self, SmallRsa},
};
use crate::secret::Secret;

/// Bits of a new RSA key when nobody says.
pub const RSA_BITS_DEFAULT: usize = 2048;
/// The most bits that every receiver has to take.
pub const RSA_BITS_MAX: usize = 4096;
/// The fewest bits that the cryptography library signs with.
const RSA_BITS_OF_LIBRARY: usize = 2048;

/// Why a key cannot be used. Each reads on after the file's name and a colon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// There is no PEM.
    #[error("holds no private key in PEM, which begins with -----BEGIN PRIVATE KEY-----")]
    NoPem,
    /// The end is missing.
    #[error("is cut off: -----BEGIN {0}----- has no -----END {0}-----; copy the whole file again")]
    Cut(String),
    /// The inside is damaged.
    #[error("is damaged: what stands in its {0} is not base64; copy the file again")]
    NotBase64(String),
    /// It is encrypted.
    #[error(
        "is encrypted with a passphrase; write it without one into a file that Hikyaku alone may read: openssl pkey -in OLD -out NEW"
    )]
    Encrypted,
    /// Something else in PEM.
    #[error(
        "holds a {0} and no private key that can sign: DKIM takes RSA and Ed25519 keys, as PRIVATE KEY or RSA PRIVATE KEY"
    )]
    Other(String),
    /// A private key of another algorithm.
    #[error("holds a key for {0}, and DKIM takes RSA and Ed25519 alone; make one with: hikyaku domain dkim-new")]
    Algorithm(&'static str),
    /// Too few bits.
    #[error(
        "holds an RSA key of {0} bits, whose signatures no receiver takes (1,024 at least); make one with: hikyaku domain dkim-new"
    )]
    TooSmall(usize),
    /// Too many.
    #[error(
        "holds an RSA key of {0} bits, more than receivers need to take (4,096); make one with: hikyaku domain dkim-new"
    )]
    TooLarge(usize),
    /// The parts do not belong together, or it is no key at all.
    #[error("is damaged: its {0} key cannot be read, or its parts do not belong together; take it from a backup")]
    Broken(&'static str),
    /// No such key is made.
    #[error("no RSA key of {0} bits can be made: 2048, 3072 or 4096")]
    NoSuchSize(usize),
    /// The cryptography failed.
    #[error("no key could be made: the machine gave no random octets")]
    NotMade,
}

/// A private key with its public half.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Rsa(RsaKeyPair),
    Small(SmallRsa),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// Reads a PEM file: PKCS#8 with RSA or Ed25519, or PKCS#1. The first private key in it counts.
    ///
    /// # Errors
    /// What is there instead, or what is wrong with it.
    pub fn from_pem(file: &[u8]) -> Result<Self, KeyFault> {
        match pem::private_key(file)? {
            (pem::Kind::Pkcs8, der) => Self::from_pkcs8(&der),
            (pem::Kind::Pkcs1, der) => Self::from_pkcs1(&der),
        }
    }

    /// Reads a private key in PKCS#8, in DER.
    ///
    /// # Errors
    /// As [`SigningKey::from_pem`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyFault> {
        let Some((id, key)) = der::pkcs8(der) else { return Err(KeyFault::Broken("private")) };
        match id {
            public::RSA_ID => Self::from_pkcs1(key),
            public::ED25519_ID => {
                let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|_| KeyFault::Broken("Ed25519"))?;
                Self::ed25519(pair)
            }
            id => Err(KeyFault::Algorithm(named(id))),
        }
    }

    /// Reads an RSAPrivateKey, in DER.
    fn from_pkcs1(der: &[u8]) -> Result<Self, KeyFault> {
        const BROKEN: KeyFault = KeyFault::Broken("RSA");
        let (public, _) = small_rsa::parts(der).ok_or(BROKEN)?;
        let bits = public.bits();
        let pair = match bits {
            ..public::RSA_BITS_MIN => return Err(KeyFault::TooSmall(bits)),
            public::RSA_BITS_MIN..RSA_BITS_OF_LIBRARY => Pair::Small(SmallRsa::read(der).ok_or(BROKEN)?.0),
            RSA_BITS_OF_LIBRARY..=RSA_BITS_MAX => Pair::Rsa(RsaKeyPair::from_der(der).map_err(|_| BROKEN)?),
            _ => return Err(KeyFault::TooLarge(bits)),
        };
        Ok(SigningKey { pair, public })
    }

    fn ed25519(pair: Ed25519KeyPair) -> Result<Self, KeyFault> {
        let octets = pair.public_key().as_ref();
        let public = PublicKey::read(Algorithm::Ed25519Sha256, octets).ok_or(KeyFault::Broken("Ed25519"))?;
        Ok(SigningKey { pair: Pair::Ed25519(pair), public })
    }

    /// Makes a key, and gives it in PKCS#8 as well, to be kept. `bits` counts for RSA alone: 2048, 3072 or 4096.
    ///
    /// # Errors
    /// [`KeyFault::NoSuchSize`], [`KeyFault::NotMade`].
    pub fn generate(algorithm: Algorithm, bits: usize) -> Result<(Self, Secret<Vec<u8>>), KeyFault> {
        let pkcs8 = match algorithm {
            Algorithm::RsaSha256 => {
                let size = match bits {
                    2048 => KeySize::Rsa2048,
                    3072 => KeySize::Rsa3072,
                    4096 => KeySize::Rsa4096,
                    _ => return Err(KeyFault::NoSuchSize(bits)),
                };
                let pair = RsaKeyPair::generate(size).map_err(|_| KeyFault::NotMade)?;
                pair.as_der().map_err(|_| KeyFault::NotMade)?.as_ref().to_vec()
            }
            // Version 1, which every program reads.
            Algorithm::Ed25519Sha256 => {
                let made = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new());
                made.map_err(|_| KeyFault::NotMade)?.as_ref().to_vec()
            }
        };
        Ok((Self::from_pkcs8(&pkcs8)?, Secret::new(pkcs8)))
    }

    /// A PEM file of a key in PKCS#8.
    pub fn pem_of(pkcs8: &[u8]) -> Secret<String> {
        let base64 = STANDARD.encode(pkcs8);
        let mut pem = String::with_capacity(base64.len() + base64.len() / 64 + 64);
        pem.push_str("-----BEGIN PRIVATE KEY-----\n");
        let mut rest = base64.as_str();
        while !rest.is_empty() {
            // Base64 is ASCII: every octet is a character.
            let (line, more) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = more;
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        Secret::new(pem)
    }

    /// Which signatures it makes.
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// Bits of an RSA key; 256 for Ed25519. Below [`RSA_BITS_GOOD`] a warning is due for RSA.
    pub fn bits(&self) -> usize {
        self.public.bits()
    }

    /// It signs, and should be replaced: an RSA key below [`RSA_BITS_GOOD`].
    pub fn is_weak(&self) -> bool {
        self.public.is_weak()
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The value of `p=`.
    pub fn public_key_base64(&self) -> String {
        self.public.base64()
    }

    /// The key record to publish: `v=DKIM1; k=rsa; p=…`.
    pub fn record(&self) -> String {
        self.public.record()
    }

    /// The signature on a digest; `None`: the cryptography failed.
    pub(super) fn sign(&self, digest: &Digest) -> Option<Vec<u8>> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(&RSA_PKCS1_SHA256, digest, &mut signature).ok()?;
                Some(signature)
            }
            Pair::Small(key) => key.sign(digest),
            // RFC 8463 §3: the digest is what Ed25519 signs.
            Pair::Ed25519(pair) => pair.try_sign(digest.as_ref()).ok().map(|signature| signature.as_ref().to_vec()),
        }
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({:?})", self.public)
    }
}

/// The name of an algorithm that cannot sign for DKIM.
fn named(id: &[u8]) -> &'static str {
    match id {
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01] => "ECDSA (elliptic curves of NIST)",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a] => "RSA-PSS alone",
        [0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01] => "DSA",
        [0x2b, 0x65, 0x6e] => "X25519 (which agrees on keys and signs nothing)",
        [0x2b, 0x65, 0x71] => "Ed448",
        _ => "another algorithm",
    }
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
