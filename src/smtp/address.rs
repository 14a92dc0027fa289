//! Mail addresses as SMTP writes them.
//!
//! In: the text between the angle brackets of MAIL and RCPT.  Out: a [`Mailbox`], or why it is none.
//! Always: a `Mailbox` is within the limits, holds no control character and no blank outside quotes; UTF-8 is taken here, and
//! the session asks [`Mailbox::needs_smtputf8`] whether it was announced.
//! Sources: RFC 5321 §4.1.2, §4.1.3, §4.5.3.1 and appendix C (source routes), RFC 6531 §3.3.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

/// Longest local part, in octets (RFC 5321 §4.5.3.1.1).
pub const LOCAL_OCTETS_MAX: usize = 64;
/// Longest domain, in octets (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_OCTETS_MAX: usize = 255;
/// Longest address: a path of 256 octets without its angle brackets (RFC 5321 §4.5.3.1.3).
pub const ADDRESS_OCTETS_MAX: usize = 254;
/// Longest label of a domain in ASCII (RFC 1035 §2.3.4).
const LABEL_OCTETS_MAX: usize = 63;

/// A checked forward-path or reverse-path mailbox, kept as it was written (RFC 5321 §2.4: the local part's case matters).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mailbox {
    text: Box<str>,
    at: usize,
}

/// Why a text is no mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no domain, or no local part.
    #[error("an address is local-part@domain")]
    Shape,
    /// The local part has a character that needs quotes, or is empty.
    #[error("the local part is not valid")]
    Local,
    /// The domain or address literal is not valid.
    #[error("the domain is not valid")]
    Domain,
    /// Local part over 64 octets, domain over 255, or path over 254.
    #[error("the address is too long")]
    TooLong,
}

impl Mailbox {
    /// Parses `local@domain`, without angle brackets. UTF-8 is accepted; [`Mailbox::needs_smtputf8`] tells.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let at = end_of_local(text)?;
        let (local, domain) = (&text[..at], &text[at + 1..]);
        if domain.is_empty() {
            return Err(AddressError::Shape);
        }
        if local.len() > LOCAL_OCTETS_MAX || domain.len() > DOMAIN_OCTETS_MAX || text.len() > ADDRESS_OCTETS_MAX {
            return Err(AddressError::TooLong);
        }
        // A quoted local part was checked while its end was looked for.
        if !local.starts_with('"') && !is_dot_string(local) {
            return Err(AddressError::Local);
        }
        let domain_is_valid = match domain.strip_prefix('[').and_then(|d| d.strip_suffix(']')) {
            Some(literal) => is_literal(literal),
            None => is_domain(domain),
        };
        if !domain_is_valid {
            return Err(AddressError::Domain);
        }
        Ok(Mailbox { text: text.into(), at })
    }

    /// Parses what stands between the angle brackets of a path: a source route before the mailbox is checked and ignored
    /// (RFC 5321 §4.1.1.3 and appendix C).
    pub fn parse_path(path: &str) -> Result<Self, AddressError> {
        if !path.starts_with('@') {
            return Mailbox::parse(path);
        }
        let (route, mailbox) = path.split_once(':').ok_or(AddressError::Shape)?;
        if !route.split(',').all(|hop| hop.strip_prefix('@').is_some_and(is_domain)) {
            return Err(AddressError::Domain);
        }
        Mailbox::parse(mailbox)
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the last `@`, quotes included.
    pub fn local(&self) -> &str {
        &self.text[..self.at]
    }

    /// The domain or `[literal]`, as written.
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// The domain in lower case: the key of destinations.
    pub fn domain_key(&self) -> String {
        self.domain().to_lowercase()
    }

    /// True when a peer without SMTPUTF8 cannot take this address.
    pub fn needs_smtputf8(&self) -> bool {
        !self.text.is_ascii()
    }
}

/// Where the local part's `@` is. A quoted local part is checked on the way.
fn end_of_local(text: &str) -> Result<usize, AddressError> {
    if !text.starts_with('"') {
        return match text.find('@') {
            None | Some(0) => Err(AddressError::Shape),
            Some(at) => Ok(at),
        };
    }
    let close = end_of_quotes(text).ok_or(AddressError::Local)?;
    match text.as_bytes().get(close + 1) {
        Some(b'@') => Ok(close + 1),
        Some(_) => Err(AddressError::Local),
        None => Err(AddressError::Shape),
    }
}

/// Index of the quote that closes the Quoted-string at the start of `text` (`"` *QcontentSMTP `"`); `None` when it never
/// closes or holds what may not stand in quotes.
fn end_of_quotes(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some(i),
            '\\' => {
                chars.next().filter(|(_, escaped)| matches!(escaped, ' '..='~'))?;
            }
            ' '..='~' => {}
            c if is_utf8_letter(c) => {}
            _ => return None,
        }
    }
    None
}

/// Dot-string: atoms of atext and dots. RFC 5321 wants single dots between atoms; large Japanese carriers have given out
/// addresses such as `a..b.@docomo.ne.jp` for decades, and their own servers take them unquoted.
fn is_dot_string(local: &str) -> bool {
    local.chars().all(|c| c == '.' || is_atext(c)) && local.chars().any(is_atext)
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_utf8_letter(c)
}

/// What RFC 6531 adds to atext, qtext and domains, without what is invisible: controls and blanks beyond ASCII.
fn is_utf8_letter(c: char) -> bool {
    !c.is_ascii() && !c.is_control() && !c.is_whitespace()
}

/// Domain: labels of letters, digits and inner hyphens. The underscore is taken as well, because programs in containers and
/// on old networks send from such hosts (`root@app_web_1`); DNS carries it.
pub(super) fn is_domain(domain: &str) -> bool {
    !domain.is_empty() && domain.len() <= DOMAIN_OCTETS_MAX && domain.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let ascii_fits = !label.is_ascii() || label.len() <= LABEL_OCTETS_MAX;
    ascii_fits
        && !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || is_utf8_letter(c))
}

/// What stands in the brackets of an address literal: IPv4, `IPv6:`, or a general `tag:content` (RFC 5321 §4.1.3).
pub(super) fn is_literal(literal: &str) -> bool {
    match literal.split_once(':') {
        None => literal.parse::<Ipv4Addr>().is_ok(),
        Some((tag, content)) if tag.eq_ignore_ascii_case("IPv6") => content.parse::<Ipv6Addr>().is_ok(),
        Some((tag, content)) => {
            // A tag that begins with a digit is an IPv6 address whose own tag was forgotten.
            let tag_is_valid = tag.starts_with(|c: char| c.is_ascii_alphabetic())
                && tag.ends_with(|c: char| c.is_ascii_alphanumeric())
                && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            // RFC 5321 would take `<`, `>`, `@` and `"` here too; no registered tag needs them, and they would let the path's
            // end be read in two ways.
            let is_safe = |b: u8| matches!(b, 33..=90 | 94..=126) && !matches!(b, b'<' | b'>' | b'@' | b'"');
            tag_is_valid && !content.is_empty() && content.bytes().all(is_safe)
        }
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.text)
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn valid_addresses_are_kept_as_written() {
        let long_local = format!("{}@example.jp", "a".repeat(64));
        let long_domain = format!("a@{}.{}.{}.jp", "b".repeat(63), "c".repeat(63), "d".repeat(61));
        let cases = [
            ("a..b.@docomo.example", "a..b.", "docomo.example"),
            (".a@b", ".a", "b"),
            ("a@b", "a", "b"),
            ("Taro.Yamada+tag@Example.JP", "Taro.Yamada+tag", "Example.JP"),
            ("!#$%&'*+-/=?^_`{|}~@example.jp", "!#$%&'*+-/=?^_`{|}~", "example.jp"),
            ("\"\"@example.jp", "\"\"", "example.jp"),
            ("\"a@b> ,;:<\"@example.jp", "\"a@b> ,;:<\"", "example.jp"),
            ("\"a\\\"b\\\\\"@example.jp", "\"a\\\"b\\\\\"", "example.jp"),
            ("\".ab..c.\"@docomo.ne.jp", "\".ab..c.\"", "docomo.ne.jp"),
            ("a@[192.0.2.1]", "a", "[192.0.2.1]"),
            ("a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]"),
            ("a@[ipv6:::ffff:192.0.2.1]", "a", "[ipv6:::ffff:192.0.2.1]"),
            ("a@[x-tag:content]", "a", "[x-tag:content]"),
            ("root@app_web_1", "root", "app_web_1"),
            ("a@1.2.3", "a", "1.2.3"),
            ("飛脚@例え.jp", "飛脚", "例え.jp"),
            (&long_local, &long_local[..64], "example.jp"),
            (&long_domain, "a", &long_domain[2..]),
        ];
        for (text, local, domain) in cases {
            let m = Mailbox::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!((m.as_str(), m.local(), m.domain()), (text, local, domain));
            assert_eq!(m.needs_smtputf8(), !text.is_ascii());
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        use AddressError::*;
        let long_local = format!("{}@example.jp", "a".repeat(65));
        let long_utf8_local = format!("{}@example.jp", "飛".repeat(22));
        let long_path = format!("a@{}", "b.".repeat(126) + "b");
        let long_label = format!("a@{}.jp", "b".repeat(64));
        let cases = [
            ("", Shape),
            ("a", Shape),
            ("@b", Shape),
            ("a@", Shape),
            ("\"a\"", Shape),
            (".@b", Local),
            ("..@b", Local),
            ("a b@c", Local),
            ("a\"b@c", Local),
            ("\"a@b", Local),
            ("\"a\"b@c", Local),
            ("\"a\tb\"@c", Local),
            ("\"a\\\u{7}\"@c", Local),
            ("a(b)@c", Local),
            ("a\u{3000}b@c", Local),
            ("a\u{85}b@c", Local),
            ("a@b@c", Domain),
            ("a@b..c", Domain),
            ("a@.b", Domain),
            ("a@b.", Domain),
            ("a@-b", Domain),
            ("a@b-", Domain),
            ("a@b c", Domain),
            ("a@[192.0.2.256]", Domain),
            ("a@[192.0.2.1", Domain),
            ("a@192.0.2.1]", Domain),
            ("a@[]", Domain),
            ("a@[IPv6:12345::]", Domain),
            ("a@[2001:db8::1]", Domain),
            ("a@[tag:]", Domain),
            ("a@[tag:b>c]", Domain),
            ("a@[tag:b@c]", Domain),
            ("a@[tag:b\"c]", Domain),
            ("a@[tag-:x]", Domain),
            ("a@[tag:a]b]", Domain),
            (&long_label, Domain),
            (&long_local, TooLong),
            (&long_utf8_local, TooLong),
            (&long_path, TooLong),
        ];
        for (text, error) in cases {
            assert_eq!(Mailbox::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn source_routes_are_checked_and_ignored() {
        let ok = |path: &str| Mailbox::parse_path(path).unwrap().to_string();
        assert_eq!(ok("@a,@b.example:c@d"), "c@d");
        assert_eq!(ok("@a:\"x:y\"@d"), "\"x:y\"@d");
        assert_eq!(Mailbox::parse_path("@a"), Err(AddressError::Shape));
        assert_eq!(Mailbox::parse_path("@a,b:c@d"), Err(AddressError::Domain));
        assert_eq!(Mailbox::parse_path("@:c@d"), Err(AddressError::Domain));
    }

    proptest! {
        #[test]
        fn a_mailbox_is_bounded_and_splits_at_its_at(text in "[ -~飛\t\r\n\"@.\\[\\]]{0,80}") {
            if let Ok(m) = Mailbox::parse(&text) {
                prop_assert_eq!(format!("{}@{}", m.local(), m.domain()), m.as_str());
                prop_assert!(m.local().len() <= LOCAL_OCTETS_MAX);
                prop_assert!(!text.chars().any(char::is_control));
            }
        }
    }
}
