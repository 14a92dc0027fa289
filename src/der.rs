//! DER, as far as keys and certificates need it: elements, one after the other.
//!
//! In: octets that a stranger sent, or somebody pasted.  Out: slices of them.
//! Always: lengths are checked against what is there; nothing is copied, nothing recurses.
//! Sources: X.690 §8.1 and §10.1 (definite, shortest lengths).

/// The tag of a sequence.
pub const SEQUENCE: u8 = 0x30;
/// The tag of an integer.
pub const INTEGER: u8 = 0x02;

/// An element: all of it, and its value.
pub type Element<'a> = (&'a [u8], &'a [u8]);

/// Takes an element of that tag off the front. Its length may stand in one octet, or in up to `length_octets` that follow it: two are
/// 64 KiB, three 16 MiB. `None`: it is another, or cut off.
pub fn element<'a>(rest: &mut &'a [u8], tag: u8, length_octets: u8) -> Option<Element<'a>> {
    let all = *rest;
    let (&found, after_tag) = all.split_first()?;
    let (&first, after_first) = after_tag.split_first()?;
    if found != tag {
        return None;
    }
    let (len, header) = match first {
        0..=0x7f => (usize::from(first), 2),
        0x81..=0x83 if first & 0x7f <= length_octets => {
            let octets = after_first.get(..usize::from(first & 0x7f))?;
            (octets.iter().fold(0, |len, octet| len << 8 | usize::from(*octet)), 2 + octets.len())
        }
        _ => return None,
    };
    let element = all.get(..header + len)?;
    *rest = &all[header + len..];
    Some((element, &element[header..]))
}

/// The value of a sequence that takes up all of `der`; `None`: it does not, or is none.
pub fn whole_sequence(der: &[u8], length_octets: u8) -> Option<&[u8]> {
    let mut rest = der;
    let (_, value) = element(&mut rest, SEQUENCE, length_octets)?;
    rest.is_empty().then_some(value)
}
