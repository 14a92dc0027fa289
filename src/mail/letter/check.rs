//! What a letter may hold, before a word of it is written.
//!
//! In: [`Letter`].  Out: nothing, or the first [`LetterFault`].
//! Always: no text that becomes part of a header field has a control character, so that no field can start another; fields
//! that tell who sent a mail, to whom, by which way and how it is built are written by Hikyaku alone.
//! Sources: RFC 5322 §2.2 and §3.6, `cmc.md` §3.2.

use super::{
    Address, FILE_NAME_CHARACTERS_MAX, HEADER_NAME_OCTETS_MAX, HEADER_OCTETS_MAX, HEADERS_MAX, Letter, LetterFault,
    NAME_CHARACTERS_MAX, SUBJECT_CHARACTERS_MAX, Why,
};

/// Fields that nobody sets through `headers`: CMC's list, then what would speak for a server, for another sender, or about
/// how the mail is built. `Sender` would go round the addresses that an account may send as.
const RESERVED: &[&str] = &[
    "Message-ID",
    "From",
    "To",
    "Cc",
    "Bcc",
    "Subject",
    "Reply-To",
    "Content-Type",
    "MIME-Version",
    "Date",
    "Content-Transfer-Encoding",
    "Sender",
    "Received",
    "Return-Path",
    "Delivered-To",
    "Apparently-To",
    "Errors-To",
    "DKIM-Signature",
    "DomainKey-Signature",
    "Received-SPF",
    "Authentication-Results",
];
/// Starts of such names: MIME, forwarding, chains of authentication.
const RESERVED_STARTS: &[&str] = &["Content-", "Resent-", "ARC-"];

/// Finds the first fault of a letter's header; bodies may hold any text.
pub(super) fn letter(letter: &Letter<'_>) -> Result<(), LetterFault> {
    line(letter.subject, "subject", SUBJECT_CHARACTERS_MAX)?;
    name(letter.from, "from")?;
    letter.to.iter().try_for_each(|a| name(a, "to"))?;
    letter.cc.iter().try_for_each(|a| name(a, "cc"))?;
    if let Some(address) = letter.reply_to {
        name(address, "replyto")?;
    }
    if letter.headers.len() > HEADERS_MAX {
        return Err(LetterFault::new("headers", Why::TooMany(HEADERS_MAX)));
    }
    letter.headers.iter().try_for_each(|(name, value)| header(name, value))
}

fn name(address: &Address, field: &'static str) -> Result<(), LetterFault> {
    line(&address.name, field, NAME_CHARACTERS_MAX)
}

/// The name of an attached file.
pub(super) fn file_name(name: &str, field: String) -> Result<(), LetterFault> {
    line(name, field, FILE_NAME_CHARACTERS_MAX)
}

/// One field of `headers`; the name alone can be checked before values are known.
pub fn header(name: &str, value: &str) -> Result<(), LetterFault> {
    let fault =
        |why| Err(LetterFault { characters: name.chars().take(80).collect(), ..LetterFault::new("headers", why) });
    // ftext of RFC 5322 §2.2: printable ASCII but the colon.
    if name.is_empty() || name.len() > HEADER_NAME_OCTETS_MAX || !name.bytes().all(|b| matches!(b, 33..=57 | 59..=126))
    {
        return fault(Why::HeaderName);
    }
    let starts = |start: &&str| name.get(..start.len()).is_some_and(|s| s.eq_ignore_ascii_case(start));
    if RESERVED.iter().any(|r| r.eq_ignore_ascii_case(name)) || RESERVED_STARTS.iter().any(starts) {
        return fault(Why::Reserved);
    }
    if value.len() > HEADER_OCTETS_MAX {
        return fault(Why::TooLong(HEADER_OCTETS_MAX));
    }
    line(value, "headers", HEADER_OCTETS_MAX)
}

/// A text for one line: bounded, without control characters (a tab is a blank).
fn line(text: &str, field: impl Into<std::borrow::Cow<'static, str>>, max: usize) -> Result<(), LetterFault> {
    if text.len() > max && text.chars().count() > max {
        return Err(LetterFault::new(field, Why::TooLong(max)));
    }
    if text.contains(['\r', '\n']) {
        return Err(LetterFault::new(field, Why::LineBreak));
    }
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(LetterFault::new(field, Why::Control));
    }
    Ok(())
}
