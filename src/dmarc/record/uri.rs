//! Where a record has reports sent: URIs, which are addresses in the end.
//!
//! In: a part of `rua` or `ruf`, or an address.  Out: a [`ReportUri`].
//! Always: what is written for an address holds nothing that would end a tag or a list, and is read as the same address.
//! Sources: RFC 9989 §4.6 and §4.8, RFC 7489 §6.2 (sizes), RFC 3986 §2.1 and §3, RFC 6068 §2.

use std::{borrow::Cow, fmt};

use super::is_blank;
use crate::smtp::address::Mailbox;

/// Where reports go.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ReportUri {
    /// The URI as written, without a size.
    pub uri: String,
    /// The largest report in octets, from `!10m` (RFC 7489; RFC 9989 has it passed over).
    pub octets_max: Option<u64>,
}

impl ReportUri {
    /// A URI that mails to this address.
    pub fn mailto(address: &Mailbox) -> Self {
        let mut uri = String::from("mailto:");
        for byte in address.as_str().bytes() {
            match byte {
                // What ends a tag, a list's part or the URI's path, and what RFC 3986 does not let stand.
                b'%'
                | b','
                | b'!'
                | b';'
                | b'?'
                | b'#'
                | b'"'
                | b'<'
                | b'>'
                | b'\\'
                | b'^'
                | b'`'
                | b'{'
                | b'|'
                | b'}'
                | b'['
                | b']'
                | 0..=b' '
                | 0x7f.. => uri.push_str(&format!("%{byte:02X}")),
                _ => uri.push(char::from(byte)),
            }
        }
        ReportUri { uri, octets_max: None }
    }

    /// Reads one part of a list.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim_matches(is_blank);
        let (uri, octets_max) = match text.rsplit_once('!') {
            Some((uri, size)) => (uri, Some(octets(size)?)),
            None => (text, None),
        };
        let (scheme, rest) = uri.split_once(':')?;
        let mut letters = scheme.chars();
        let scheme_is_valid = letters.next().is_some_and(|c| c.is_ascii_alphabetic())
            && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        let rest_is_valid = !rest.is_empty() && rest.chars().all(|c| c.is_ascii_graphic()) && !rest.contains('!');
        let read = ReportUri { uri: uri.to_owned(), octets_max };
        // A mailto that mails to nobody is no place for reports.
        let mails_well = !scheme.eq_ignore_ascii_case("mailto") || read.address().is_some();
        (scheme_is_valid && rest_is_valid && mails_well).then_some(read)
    }

    /// The address of a `mailto:`.
    pub fn address(&self) -> Option<Mailbox> {
        let (scheme, rest) = self.uri.split_once(':')?;
        if !scheme.eq_ignore_ascii_case("mailto") {
            return None;
        }
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        Mailbox::parse(&unescaped(path)?).ok()
    }
}

impl fmt::Display for ReportUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

/// `10m` in octets.
fn octets(size: &str) -> Option<u64> {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match size[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    let number: u64 = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
    number.checked_mul(1 << shift)
}

/// `%2C` → `,`.
fn unescaped(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (high, low) = (char::from(bytes.next()?).to_digit(16)?, char::from(bytes.next()?).to_digit(16)?);
            out.push((high * 16 + low) as u8);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}
