//! RSA signatures with keys of 1,024 to 2,047 bits, which the cryptography library verifies and does not make.
//!
//! In: an RSAPrivateKey, a digest.  Out: the signature.
//! Always: the exponentiation takes the same time whatever the key (Montgomery form, fixed window; no primes and so none of
//! the Chinese remainder's faults); a key whose signature does not verify is refused when it is read. New keys are never
//! that small: this is for those that came from an older relay, until they are replaced.
//! Sources: RFC 8017 §8.2.1 and §9.2, RFC 8301 §3.2.

use aws_lc_rs::digest::{Digest, SHA256, digest};
use crypto_bigint::{
    BoxedUint, Odd,
    modular::{BoxedMontyForm, BoxedMontyParams},
};

use super::{der, public::PublicKey};

/// DigestInfo of SHA-256, up to the digest (RFC 8017 §9.2, note 1).
const DIGEST_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// A small key.
pub(super) struct SmallRsa {
    modulus: BoxedMontyParams,
    /// The private exponent.
    exponent: BoxedUint,
    /// Octets of a signature.
    octets: usize,
}

impl SmallRsa {
    /// Reads an RSAPrivateKey, without looking at its size; `None`: it is none, or its parts do not belong together.
    pub(super) fn read(der: &[u8]) -> Option<(Self, PublicKey)> {
        let (public, exponent) = parts(der)?;
        let PublicKey::Rsa { n, .. } = &public else { return None };
        let bits = u32::try_from(n.len() * 8).ok()?;
        let modulus: Option<Odd<BoxedUint>> = Odd::new(BoxedUint::from_be_slice(n, bits).ok()?).into();
        let key = SmallRsa {
            modulus: BoxedMontyParams::new(modulus?),
            exponent: BoxedUint::from_be_slice(exponent, bits).ok()?,
            octets: n.len(),
        };
        let probe = digest(&SHA256, b"");
        let signature = key.sign(&probe)?;
        public.verifies(&probe, &signature).then_some((key, public))
    }

    /// The signature on a digest; `None`: the key is too small to carry one.
    pub(super) fn sign(&self, digest: &Digest) -> Option<Vec<u8>> {
        let tail = DIGEST_INFO.len() + digest.as_ref().len();
        let padding = self.octets.checked_sub(tail + 3).filter(|octets| *octets >= 8)?;
        let mut encoded = Vec::with_capacity(self.octets);
        encoded.extend_from_slice(&[0, 1]);
        encoded.resize(2 + padding, 0xff);
        encoded.push(0);
        encoded.extend_from_slice(&DIGEST_INFO);
        encoded.extend_from_slice(digest.as_ref());
        let message = BoxedUint::from_be_slice(&encoded, self.modulus.bits_precision()).ok()?;
        let signature = BoxedMontyForm::new(message, &self.modulus).pow(&self.exponent).retrieve();
        let octets = signature.to_be_bytes();
        // The precision is that of whole machine words: what stands before the modulus' octets is zero.
        octets.get(octets.len().checked_sub(self.octets)?..).map(<[u8]>::to_vec)
    }
}

/// The public key and the private exponent of an RSAPrivateKey.
pub(super) fn parts(der: &[u8]) -> Option<(PublicKey, &[u8])> {
    let mut fields = der::whole_sequence(der)?;
    let version = der::take_unsigned(&mut fields)?;
    let mut public = fields;
    let (_, _) = (der::take_unsigned(&mut fields)?, der::take_unsigned(&mut fields)?);
    let public_len = public.len() - fields.len();
    let exponent = der::take_unsigned(&mut fields)?;
    public = &public[..public_len];
    // Two primes only.
    let key = version.is_empty().then(|| PublicKey::from_integers(public))??;
    Some((key, exponent))
}
