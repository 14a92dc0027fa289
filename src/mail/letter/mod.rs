//! Composes a mail from what a caller of the sending API asks for.
//!
//! In: [`Letter`]; files as [`Enclosures`], encoded once and shared by any number of letters.  Out: [`Composed`], or
//! [`LetterFault`] with the parameter that is at fault.
//! Always: what comes out is 7-bit, in lines of at most 998 octets that end with CRLF (only an address whose local part is not
//! ASCII stands as it is, and is told by `smtputf8`); no text of the caller can start a field, end a header or close a part;
//! nobody who is not in To or Cc is named; a text that ISO-2022-JP cannot carry is never garbled: the whole mail goes out in
//! UTF-8, or is refused with the characters named. An html body is sent as given: a `<meta charset>` in it stays,
//! and readers go by the charset of the part, which comes first by HTML's own rule.
//! Sources: RFC 5322, RFC 2045–2047, RFC 2231, RFC 1468, RFC 6532; `cmc.md` §3.

mod check;
mod parts;
#[cfg(test)]
mod tests;
mod words;

use std::{borrow::Cow, fmt};

pub use check::header as check_header;
pub use parts::Enclosures;

use super::{compose, iso2022jp};
use crate::{clock::Timestamp, smtp::address::Mailbox};

/// Characters of a subject (`cmc.md` §3.2).
pub const SUBJECT_CHARACTERS_MAX: usize = 512;
/// Characters of a display name: four times the longest that a person has on record.
pub const NAME_CHARACTERS_MAX: usize = 256;
/// Characters of an attached file's name: what file systems take, in octets.
pub const FILE_NAME_CHARACTERS_MAX: usize = 255;
/// Attached files (`cmc.md` §3.2: what CMC's own client allows).
pub const ATTACHMENTS_MAX: usize = 10;
/// Fields in `headers`.
pub const HEADERS_MAX: usize = 50;
/// Octets of the value of such a field.
pub const HEADER_OCTETS_MAX: usize = 8 * 1024;
/// Octets of the name of such a field: it stands on a line with the colon and a blank.
pub const HEADER_NAME_OCTETS_MAX: usize = 74;
/// Characters that a fault or a note names.
const NAMED_MAX: usize = 10;

/// An address with the name that is shown beside it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// The display name; may be empty.
    pub name: String,
    /// The address itself.
    pub address: Mailbox,
}

/// A file as it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attachment<'a> {
    /// Its name; folders in it are dropped.
    pub filename: &'a str,
    /// Its kind, such as `application/pdf`; anything that is none becomes `application/octet-stream`.
    pub content_type: &'a str,
    /// What it holds.
    pub bytes: &'a [u8],
}

/// The charset of a letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Charset {
    /// UTF-8.
    #[default]
    Utf8,
    /// ISO-2022-JP (RFC 1468), the charset of Japanese mail before UTF-8.
    Iso2022Jp,
}

impl Charset {
    /// Its name, as fields and the API write it.
    pub fn word(self) -> &'static str {
        match self {
            Charset::Utf8 => "UTF-8",
            Charset::Iso2022Jp => "ISO-2022-JP",
        }
    }

    /// The charset of that name, whatever its case; `None`: no letter is composed in it.
    pub fn parse(name: &str) -> Option<Self> {
        [Charset::Utf8, Charset::Iso2022Jp].into_iter().find(|c| c.word().eq_ignore_ascii_case(name))
    }
}

/// What happens to a letter with characters that its charset lacks: the parameter `charset_fallback`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Fallback {
    /// All of it goes out in UTF-8, and the log notes it.
    #[default]
    Utf8,
    /// It is refused, and the characters are named.
    Reject,
}

impl Fallback {
    /// The word of the parameter.
    pub fn word(self) -> &'static str {
        match self {
            Fallback::Utf8 => "utf-8",
            Fallback::Reject => "reject",
        }
    }

    /// The choice of that name, whatever its case.
    pub fn parse(name: &str) -> Option<Self> {
        [Fallback::Utf8, Fallback::Reject].into_iter().find(|f| f.word().eq_ignore_ascii_case(name))
    }
}

/// Everything that a mail says. Bcc is not among it: those recipients stand in the envelope only.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// Message-ID with its angle brackets; our own.
    pub message_id: &'a str,
    /// Date.
    pub date: Timestamp,
    /// From.
    pub from: &'a Address,
    /// To.
    pub to: &'a [Address],
    /// Cc; may be empty.
    pub cc: &'a [Address],
    /// Reply-To.
    pub reply_to: Option<&'a Address>,
    /// Subject.
    pub subject: &'a str,
    /// The text body; empty: none, when there is an html body.
    pub text: &'a str,
    /// The html body; empty: none.
    pub html: &'a str,
    /// Further fields: name and value.
    pub headers: &'a [(String, String)],
    /// The attached files.
    pub enclosures: &'a Enclosures,
    /// The charset that was asked for.
    pub charset: Charset,
    /// What to do when that charset lacks something.
    pub fallback: Fallback,
}

/// A mail that is ready to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Composed {
    /// The message.
    pub bytes: Vec<u8>,
    /// The charset it is in.
    pub charset_used: Charset,
    /// What the log should tell about it: it was to be in another charset.
    pub note: Option<String>,
    /// A local part of an address is not ASCII: peers need SMTPUTF8, and the message is 8-bit.
    pub smtputf8: bool,
}

/// Why a letter cannot be composed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {why}{}", Named(.characters))]
pub struct LetterFault {
    /// The parameter, by the API's name of it: `subject`, `text`, `headers`, `attachment2` …
    pub field: Cow<'static, str>,
    /// What is wrong.
    pub why: Why,
    /// The characters that the charset lacks, or the name of the header field; may be empty.
    pub characters: String,
}

impl LetterFault {
    fn new(field: impl Into<Cow<'static, str>>, why: Why) -> Self {
        LetterFault { field: field.into(), why, characters: String::new() }
    }
}

struct Named<'a>(&'a str);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

/// What is wrong with a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Why {
    /// ISO-2022-JP lacks characters of it, and `charset_fallback` is `reject`.
    #[error("ISO-2022-JP cannot carry")]
    NotInCharset,
    /// It is longer than this many characters.
    #[error("longer than {0} characters")]
    TooLong(usize),
    /// There are more than this many.
    #[error("more than {0}")]
    TooMany(usize),
    /// It has a line break.
    #[error("a line break is not allowed")]
    LineBreak,
    /// It has a control character.
    #[error("a control character is not allowed")]
    Control,
    /// It is no name of a header field.
    #[error("not a valid name of a header field")]
    HeaderName,
    /// It is a header field that only Hikyaku writes.
    #[error("this header field cannot be set here")]
    Reserved,
}

/// Checks a letter without composing it: `Ok` means that [`compose()`] composes it. For a call of many letters, of which none may
/// be sent when one has a fault.
pub fn check(letter: &Letter<'_>) -> Result<(), LetterFault> {
    check::letter(letter)?;
    match letter.fallback {
        Fallback::Utf8 => Ok(()),
        Fallback::Reject => charset_for(letter).map(drop),
    }
}

/// The charset that a letter goes out in, and what the log notes about it.
fn charset_for(letter: &Letter<'_>) -> Result<(Charset, Option<String>), LetterFault> {
    match letter.charset {
        Charset::Utf8 => Ok((Charset::Utf8, None)),
        Charset::Iso2022Jp => match (lacking(letter), letter.fallback) {
            (None, _) => Ok((Charset::Iso2022Jp, None)),
            (Some((field, characters)), Fallback::Reject) => {
                Err(LetterFault { field, why: Why::NotInCharset, characters })
            }
            (Some((field, characters)), Fallback::Utf8) => {
                let note = format!("sent in UTF-8: {field} has what ISO-2022-JP cannot carry: {characters}");
                Ok((Charset::Utf8, Some(note)))
            }
        },
    }
}

/// Composes a letter.
pub fn compose(letter: &Letter<'_>) -> Result<Composed, LetterFault> {
    check::letter(letter)?;
    let (charset, note) = charset_for(letter)?;
    let mut smtputf8 = false;
    let header = header(letter, charset, &mut smtputf8);
    let mut bytes = header.into_bytes();
    parts::tree(letter, charset).write_part(&mut bytes);
    if !bytes.ends_with(b"\r\n") {
        bytes.extend_from_slice(b"\r\n");
    }
    Ok(Composed { bytes, charset_used: charset, note, smtputf8 })
}

/// The first parameter with characters that ISO-2022-JP lacks, and these.
fn lacking(letter: &Letter<'_>) -> Option<(Cow<'static, str>, String)> {
    let found = |text: &str| Some(iso2022jp::missing(text, NAMED_MAX)).filter(|c| !c.is_empty());
    let bodies = [("subject", letter.subject), ("text", letter.text), ("html", letter.html)];
    let lists: [(&str, &[Address]); 4] = [
        ("from", std::slice::from_ref(letter.from)),
        ("to", letter.to),
        ("cc", letter.cc),
        ("replyto", letter.reply_to.map(std::slice::from_ref).unwrap_or_default()),
    ];
    let names = lists.into_iter().flat_map(|(field, list)| list.iter().map(move |a| (field, a.name.as_str())));
    let values = letter.headers.iter().map(|(_, value)| ("headers", value.as_str()));
    bodies
        .into_iter()
        .chain(names)
        .chain(values)
        .find_map(|(field, text)| found(text).map(|c| (Cow::Borrowed(field), c)))
        .or_else(|| letter.enclosures.names().find_map(|(field, name)| found(name).map(|c| (field.into(), c))))
}

/// The header up to MIME-Version; the fields of the outermost part follow.
fn header(letter: &Letter<'_>, charset: Charset, smtputf8: &mut bool) -> String {
    let mut out = String::with_capacity(1_024);
    let mut list = |out: &mut String, name: &str, addresses: &[Address]| {
        let shown: Vec<_> = addresses.iter().map(words::shown).collect();
        *smtputf8 |= shown.iter().any(words::Shown::needs_smtputf8);
        words::addresses(out, name, shown.into_iter(), charset);
    };
    out.push_str("Date: ");
    compose::push_date(&mut out, letter.date);
    out.push_str("\r\nMessage-ID: ");
    out.push_str(letter.message_id);
    out.push_str("\r\n");
    list(&mut out, "From", std::slice::from_ref(letter.from));
    list(&mut out, "To", letter.to);
    list(&mut out, "Cc", letter.cc);
    if let Some(address) = letter.reply_to {
        list(&mut out, "Reply-To", std::slice::from_ref(address));
    }
    words::text(&mut out, "Subject", letter.subject, words::Text::Human, charset);
    for (name, value) in letter.headers {
        words::text(&mut out, name, value, words::Text::Program, charset);
    }
    out.push_str("MIME-Version: 1.0\r\n");
    out
}
