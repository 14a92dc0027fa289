//! The few parts of a certificate that DANE compares, found by walking its DER.
//!
//! In: octets that a stranger sent.  Out: slices of them.
//! Always: as for [`crate::der`]. Whether a certificate is *valid* is for the TLS library to say: this only finds the fields.
//! Sources: RFC 5280 §4.1.

use crate::der::{self, Element, INTEGER, SEQUENCE};

/// `[0]`, the version, which certificates of version 1 leave out.
const VERSION: u8 = 0xa0;
/// Octets of a length at most: 16 MiB are more than any handshake carries.
const LENGTH_OCTETS: u8 = 3;

/// Parts of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Parts<'a> {
    /// The value of the issuer's name, without tag and length.
    pub(super) issuer: &'a [u8],
    /// The SubjectPublicKeyInfo, tag and length included (RFC 6698 §1.1: what selector 1 compares).
    pub(super) public_key: &'a [u8],
}

/// The parts of a certificate; `None`: it is none.
pub(super) fn parts(certificate: &[u8]) -> Option<Parts<'_>> {
    let mut outer = whole_sequence(certificate)?;
    let (_, mut fields) = expect(&mut outer, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        expect(&mut fields, VERSION)?;
    }
    expect(&mut fields, INTEGER)?; // the serial number
    expect(&mut fields, SEQUENCE)?; // the signature's algorithm
    let (_, issuer) = expect(&mut fields, SEQUENCE)?;
    expect(&mut fields, SEQUENCE)?; // validity
    expect(&mut fields, SEQUENCE)?; // subject
    let (public_key, _) = expect(&mut fields, SEQUENCE)?;
    Some(Parts { issuer, public_key })
}

/// The value of a sequence that takes up all of `der`; `None`: it does not, or is none.
pub(super) fn whole_sequence(der: &[u8]) -> Option<&[u8]> {
    der::whole_sequence(der, LENGTH_OCTETS)
}

fn expect<'a>(rest: &mut &'a [u8], tag: u8) -> Option<Element<'a>> {
    der::element(rest, tag, LENGTH_OCTETS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::PublicKeyData;

    use super::*;

    #[test]
    fn the_parts_of_a_certificate_are_found() {
        let made = rcgen::generate_simple_self_signed(["mx.test".to_owned()]).expect("a certificate");
        let der = made.cert.der();
        let parts = parts(der).expect("a certificate");
        assert_eq!(parts.public_key, made.signing_key.subject_public_key_info());
        assert!(parts.issuer.windows(5).any(|w| w == b"rcgen"), "{:?}", parts.issuer);
        assert_eq!(whole_sequence(parts.public_key).map(|v| v.len() + 2), Some(parts.public_key.len()));
        for cut in 0..der.len() {
            assert_eq!(super::parts(&der[..cut]), None);
        }
        assert_eq!(super::parts(&[der.as_ref(), b"x"].concat()), None);
        assert_eq!(super::parts(parts.public_key), None);
    }

    proptest! {
        #[test]
        fn anything_at_all_is_read_without_harm(octets in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parts(&octets);
            let nested = [&[0x30, 0x82, 1, 44, 0x30, 0x82, 1, 40][..], &octets].concat();
            let _ = parts(&nested);
        }
    }
}
