//! The DER of keys: their algorithm, and what is in them.
//!
//! In: octets that somebody pasted or published.  Out: slices of them.
//! Always: as for [`crate::der`].
//! Sources: RFC 5280 §4.1.2.7, RFC 5958 §2, RFC 8017 §A.1.

use crate::der;
pub(super) use crate::der::{INTEGER, SEQUENCE};

/// Octets of a length at most: 64 KiB are more than any key has.
const LENGTH_OCTETS: u8 = 2;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_ID: u8 = 0x06;

/// Takes an element of that tag off the front; its value.
pub(super) fn take<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    der::element(rest, tag, LENGTH_OCTETS).map(|(_, value)| value)
}

/// The value of a sequence that takes up all of `der`; `None`: it does not, or is none.
pub(super) fn whole_sequence(der: &[u8]) -> Option<&[u8]> {
    der::whole_sequence(der, LENGTH_OCTETS)
}

/// Takes an integer that is not negative off the front, without zeros in front of it; zero is empty.
pub(super) fn take_unsigned<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let octets = take(rest, INTEGER)?;
    if octets.first().is_none_or(|first| first & 0x80 != 0) {
        return None;
    }
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    Some(&octets[zeros..])
}

/// The algorithm and the key of a private key in PKCS#8: the object identifier's octets, and what the octet string holds.
pub(super) fn pkcs8(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = whole_sequence(der)?;
    take(&mut fields, INTEGER)?;
    let mut algorithm = take(&mut fields, SEQUENCE)?;
    let id = take(&mut algorithm, OBJECT_ID)?;
    let key = take(&mut fields, OCTET_STRING)?;
    Some((id, key))
}

/// The algorithm and the key of a SubjectPublicKeyInfo.
pub(super) fn public_key_info(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = whole_sequence(der)?;
    let mut algorithm = take(&mut fields, SEQUENCE)?;
    let id = take(&mut algorithm, OBJECT_ID)?;
    let (unused, key) = take(&mut fields, BIT_STRING)?.split_first()?;
    (*unused == 0).then_some((id, key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_lose_their_zeros_and_negative_ones_are_none() {
        let read = |mut der: &[u8]| take_unsigned(&mut der).map(<[u8]>::to_vec);
        assert_eq!(read(&[2, 2, 0, 0x80]), Some(vec![0x80]));
        assert_eq!(read(&[2, 1, 0]), Some(vec![]));
        assert_eq!(read(&[2, 1, 0x80]), None);
        assert_eq!(read(&[2, 0]), None);
        assert_eq!(read(&[2, 2, 1]), None);
        assert_eq!(read(&[2, 0x80, 1]), None);
    }

    proptest! {
        #[test]
        fn anything_at_all_is_read_without_harm(octets in prop::collection::vec(any::<u8>(), 0..300)) {
            for start in [&[][..], &[0x30, 0x82, 1, 0, 2, 1, 0], &[0x30, 0x81, 0x90, 0x30, 13, 6, 3]] {
                let der = [start, &octets].concat();
                let _ = (pkcs8(&der), public_key_info(&der), whole_sequence(&der));
            }
        }
    }
}
