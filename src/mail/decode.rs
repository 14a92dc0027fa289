//! Undoes the transfer encodings of MIME, as far as that goes.
//!
//! In: octets as they stand in a mail.  Out: what they stand for.
//! Always: what is no encoding is passed over (base64) or kept (quoted-printable), so that a damaged part loses little; the
//! result is never longer than what came in.
//! Sources: RFC 2045 §6.7 and §6.8.

/// How a part is encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Encoding {
    /// As it is: 7bit, 8bit, binary, and what nobody knows.
    #[default]
    Identity,
    /// RFC 2045 §6.7.
    QuotedPrintable,
    /// RFC 2045 §6.8.
    Base64,
}

impl Encoding {
    /// The encoding that a field Content-Transfer-Encoding names.
    pub fn of(value: &[u8]) -> Self {
        let value = value.trim_ascii();
        if value.eq_ignore_ascii_case(b"base64") {
            Encoding::Base64
        } else if value.eq_ignore_ascii_case(b"quoted-printable") {
            Encoding::QuotedPrintable
        } else {
            Encoding::Identity
        }
    }
}

/// What base64 stands for. Octets outside the alphabet are passed over; padding ends a group, and another may follow.
pub fn base64(encoded: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded.len() / 4 * 3 + 3);
    let (mut group, mut bits) = (0u32, 0u32);
    for octet in encoded {
        let value = match octet {
            b'A'..=b'Z' => octet - b'A',
            b'a'..=b'z' => octet - b'a' + 26,
            b'0'..=b'9' => octet - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                (group, bits) = (0, 0);
                continue;
            }
            _ => continue,
        };
        group = (group << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((group >> bits) as u8);
            group &= (1 << bits) - 1;
        }
    }
    out
}

/// What quoted-printable stands for. Blanks at a line's end are none of the text, an `=` without two digits is one.
pub fn quoted_printable(encoded: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded.len());
    for line in encoded.split_inclusive(|b| *b == b'\n') {
        let (text, end) = match line.strip_suffix(b"\n") {
            Some(text) if text.ends_with(b"\r") => (&text[..text.len() - 1], &b"\r\n"[..]),
            Some(text) => (text, &b"\n"[..]),
            None => (line, &b""[..]),
        };
        let text = text.trim_ascii_end();
        let (text, end) = match text.strip_suffix(b"=") {
            Some(text) => (text, &b""[..]),
            None => (text, end),
        };
        let mut rest = text;
        while let Some((octet, after)) = rest.split_first() {
            match (octet, after) {
                (b'=', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    out.push(digit(*high) << 4 | digit(*low));
                    rest = after;
                }
                _ => {
                    out.push(*octet);
                    rest = after;
                }
            }
        }
        out.extend_from_slice(end);
    }
    out
}

fn digit(octet: u8) -> u8 {
    match octet {
        b'0'..=b'9' => octet - b'0',
        b'a'..=b'f' => octet - b'a' + 10,
        _ => octet.wrapping_sub(b'A').wrapping_add(10),
    }
}

#[cfg(test)]
mod tests {
    use ::base64::{Engine, prelude::BASE64_STANDARD};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn encodings_are_undone_and_damage_costs_little() {
        for (encoded, plain) in [
            ("aGVsbG8=", "hello"),
            ("aGVs\r\nbG8=\r\n", "hello"),
            ("aGVsbG8", "hello"),
            ("aGVs!bG8*=", "hello"),
            ("aGk=aGk=", "hihi"),
            ("====", ""),
            ("", ""),
            ("a", ""),
        ] {
            assert_eq!(base64(encoded.as_bytes()), plain.as_bytes(), "{encoded}");
        }
        for (encoded, plain) in [
            ("a=3Db=\r\nc\r\n", "a=bc\r\n"),
            ("a=e6=97=A5\n", "a日\n"),
            ("blanks  \t\r\nend= \r\nx", "blanks\r\nendx"),
            ("50% = half=2\r\n=zz=", "50% = half=2\r\n=zz"),
            ("=0D=0Aline", "\r\nline"),
            ("", ""),
        ] {
            assert_eq!(quoted_printable(encoded.as_bytes()), plain.as_bytes(), "{encoded}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(octets in prop::collection::vec(any::<u8>(), 0..300), width in 1usize..90) {
            let encoded = BASE64_STANDARD.encode(&octets);
            let lines: Vec<&[u8]> = encoded.as_bytes().chunks(width).collect();
            prop_assert_eq!(base64(&lines.join(&b"\r\n"[..])), octets.clone());
            let quoted: String = octets.iter().map(|b| format!("={b:02X}")).collect();
            prop_assert_eq!(quoted_printable(quoted.as_bytes()), octets);
        }

        #[test]
        fn any_octets_are_taken_and_nothing_grows(octets in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(base64(&octets).len() <= octets.len());
            prop_assert!(quoted_printable(&octets).len() <= octets.len());
        }
    }
}
