//! Public keys, as key records carry them.
//!
//! In: the octets of `p=`.  Out: [`PublicKey`], which prints itself and verifies.
//! Always: RSA keys are read as SubjectPublicKeyInfo (what everybody publishes) and as RSAPublicKey (what RFC 6376 says), and
//! printed as the former; sizes are bounded before the cryptography sees them.
//! Sources: RFC 6376 §3.6.1 and erratum 3017, RFC 8301 §3.2, RFC 8463 §4.2.

use aws_lc_rs::{
    digest::{Digest, SHA256, digest},
    encoding::AsDer,
    signature::{ED25519, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RsaPublicKeyComponents, UnparsedPublicKey},
};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::der;
use crate::ids::hex;

/// Bits of the largest RSA key that is worked on.
const RSA_BITS_MAX: usize = 8192;
/// Octets of the largest public exponent; the cryptography takes 33 bits.
const EXPONENT_OCTETS_MAX: usize = 5;
/// The fewest bits of an RSA key whose signatures count (RFC 8301 §3.2).
pub const RSA_BITS_MIN: usize = 1024;

/// The fewest bits of an RSA key that are good today (RFC 8301 §3.2); smaller keys sign, and whoever has one is warned.
pub const RSA_BITS_GOOD: usize = 2048;

/// 1.2.840.113549.1.1.1.
pub(super) const RSA_ID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.3.101.112.
pub(super) const ED25519_ID: &[u8] = &[0x2b, 0x65, 0x70];

/// How a signature is made: `a=`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 over SHA-256: what every receiver knows.
    RsaSha256,
    /// Ed25519 over SHA-256 (RFC 8463): small and quick, not yet known everywhere.
    Ed25519Sha256,
}

impl Algorithm {
    /// Both, in the order in which a mail bears them.
    pub const ALL: [Algorithm; 2] = [Algorithm::RsaSha256, Algorithm::Ed25519Sha256];

    /// The value of `a=`.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::RsaSha256 => "rsa-sha256",
            Algorithm::Ed25519Sha256 => "ed25519-sha256",
        }
    }

    /// The value of `k=` in a key record; selectors may begin with it.
    pub fn key_type(self) -> &'static str {
        match self {
            Algorithm::RsaSha256 => "rsa",
            Algorithm::Ed25519Sha256 => "ed25519",
        }
    }

    /// The algorithm of a `k=`; `None`: of neither.
    pub fn from_key_type(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.key_type() == word)
    }
}

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// Modulus and exponent, without zeros in front.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
    /// A point of the curve.
    Ed25519([u8; 32]),
}

impl PublicKey {
    /// Reads the octets of `p=`; `None`: they are no such key.
    pub fn read(algorithm: Algorithm, octets: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::RsaSha256 => {
                let inner = match der::public_key_info(octets) {
                    Some((RSA_ID, key)) => key,
                    Some(_) => return None,
                    None => octets,
                };
                Self::read_rsa(inner)
            }
            Algorithm::Ed25519Sha256 => octets.try_into().ok().map(PublicKey::Ed25519),
        }
    }

    /// Reads an RSAPublicKey.
    pub(super) fn read_rsa(der: &[u8]) -> Option<Self> {
        Self::from_integers(der::whole_sequence(der)?)
    }

    /// Reads modulus and exponent, two integers in a row.
    pub(super) fn from_integers(mut fields: &[u8]) -> Option<Self> {
        let (n, e) = (der::take_unsigned(&mut fields)?, der::take_unsigned(&mut fields)?);
        if !fields.is_empty() || n.len() > RSA_BITS_MAX / 8 || e.len() > EXPONENT_OCTETS_MAX {
            return None;
        }
        // Neither can be even, and an exponent of one would sign everything.
        let is_odd = |octets: &[u8]| octets.last().is_some_and(|last| last & 1 == 1);
        (is_odd(n) && is_odd(e) && e != [1]).then(|| PublicKey::Rsa { n: n.to_vec(), e: e.to_vec() })
    }

    /// Which signatures it verifies.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            PublicKey::Rsa { .. } => Algorithm::RsaSha256,
            PublicKey::Ed25519(_) => Algorithm::Ed25519Sha256,
        }
    }

    /// Bits of the modulus; 256 for Ed25519.
    pub fn bits(&self) -> usize {
        match self {
            PublicKey::Rsa { n, .. } => n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize),
            PublicKey::Ed25519(_) => 256,
        }
    }

    /// The value of `p=`; empty when the cryptography does not take the key.
    pub fn base64(&self) -> String {
        match self {
            PublicKey::Rsa { n, e } => {
                let info = RsaPublicKeyComponents { n, e }.as_der();
                info.map(|der| STANDARD.encode(der.as_ref())).unwrap_or_default()
            }
            PublicKey::Ed25519(octets) => STANDARD.encode(octets),
        }
    }

    /// The signature is this key's on this digest.
    pub fn verifies(&self, digest: &Digest, signature: &[u8]) -> bool {
        match self {
            PublicKey::Rsa { n, e } => RsaPublicKeyComponents { n, e }
                .to_parsed_public_key(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY)
                .is_ok_and(|key| key.verify_digest_sig(digest, signature).is_ok()),
            // RFC 8463 §3: the digest is what Ed25519 signs.
            PublicKey::Ed25519(octets) => {
                UnparsedPublicKey::new(&ED25519, octets).verify(digest.as_ref(), signature).is_ok()
            }
        }
    }

    /// An RSA key that should be replaced: below [`RSA_BITS_GOOD`].
    pub fn is_weak(&self) -> bool {
        self.algorithm() == Algorithm::RsaSha256 && self.bits() < RSA_BITS_GOOD
    }

    /// The key record to publish: `v=DKIM1; k=rsa; p=…`.
    pub fn record(&self) -> String {
        format!("v=DKIM1; k={}; p={}", self.algorithm().key_type(), self.base64())
    }

    /// A short name by which people tell keys apart: the first eight octets of the SHA-256 of `p=`.
    pub fn fingerprint(&self) -> String {
        let hash = digest(&SHA256, self.base64().as_bytes());
        hex(&hash.as_ref()[..8])
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} bits {}", self.algorithm().key_type(), self.bits(), self.fingerprint())
    }
}
