//! The MIME parts of a letter.
//!
//! In: its bodies and enclosures.  Out: the tree that mail-builder writes.
//! Always: text, html or both as alternatives, beside the files; what a part holds is 7-bit, in lines that end with CRLF;
//! no line of a part can be a boundary; files are encoded once, however many letters enclose them.
//! Sources: RFC 2045 §6, RFC 2046 §5.1, RFC 2183, RFC 1468.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use mail_builder::{
    headers::{HeaderType, content_type::ContentType, raw::Raw},
    mime::{BodyPart, MimePart},
};

use super::{
    ATTACHMENTS_MAX, Attachment, Charset, Letter, LetterFault, Why, check,
    words::{self, FileName},
};
use crate::mail::iso2022jp;

/// Octets of a line of base64, and of what it says (RFC 2045 §6.8).
const BASE64_LINE: usize = 76;
const BASE64_LINE_OCTETS: usize = 57;
/// Octets of a line in 7-bit text (RFC 5322 §2.1.1).
const TEXT_LINE_MAX: usize = 998;
/// What every boundary starts with. Quoted-printable cannot say `=_`, base64 cannot say `=` followed by anything but an end
/// of line, and text with a line that starts so is written in base64.
const BOUNDARY: &str = "=_";
const BOUNDARY_LINE: &[u8] = b"--=_";
/// What a file is when nobody knows better.
const UNKNOWN_KIND: &str = "application/octet-stream";
/// Octets of a content type.
const KIND_OCTETS_MAX: usize = 127;

/// Files, ready to go into any number of letters.
#[derive(Clone, Debug, Default)]
pub struct Enclosures {
    files: Vec<File>,
}

#[derive(Clone, Debug)]
struct File {
    name: String,
    kind: String,
    /// `charset` of a text file, when its sender named it.
    charset: Option<String>,
    base64: Vec<u8>,
}

impl Enclosures {
    /// Checks and encodes files, the only step whose cost grows with their size.
    ///
    /// A name loses its folders; a kind that is none, and one that must not be base64 (`message/…`, `multipart/…`: RFC 2045
    /// §6.4), is sent as `application/octet-stream`.
    pub fn new(files: &[Attachment<'_>]) -> Result<Self, LetterFault> {
        if files.len() > ATTACHMENTS_MAX {
            return Err(LetterFault::new("attachments", Why::TooMany(ATTACHMENTS_MAX)));
        }
        let mut out = Vec::with_capacity(files.len());
        for (n, file) in files.iter().enumerate() {
            let field = format!("attachment{}", n + 1);
            let name = file.filename.rsplit(['/', '\\']).next().unwrap_or_default().trim();
            let name = if matches!(name, "" | "." | "..") { &field } else { name }.to_owned();
            check::file_name(&name, field)?;
            let (kind, charset) = kind_of(file.content_type);
            out.push(File { name, kind, charset, base64: base64_lines(file.bytes) });
        }
        Ok(Enclosures { files: out })
    }

    /// There are no files.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Octets that the files take in each letter.
    pub fn octets(&self) -> usize {
        self.files.iter().map(|f| f.base64.len()).sum()
    }

    /// The files' names, with the parameter that each came by.
    pub(super) fn names(&self) -> impl Iterator<Item = (String, &str)> {
        self.files.iter().enumerate().map(|(n, f)| (format!("attachment{}", n + 1), f.name.as_str()))
    }
}

/// The tree of a letter's parts.
pub(super) fn tree<'a>(letter: &Letter<'a>, charset: Charset) -> MimePart<'a> {
    let text = || text_part("text/plain", letter.text, charset);
    let html = || text_part("text/html", letter.html, charset);
    let body = match (letter.text.is_empty(), letter.html.is_empty()) {
        (_, true) => text(),
        (true, false) => html(),
        (false, false) => multipart("multipart/alternative", 2, letter, vec![text(), html()]),
    };
    if letter.enclosures.is_empty() {
        return body;
    }
    let mut parts = vec![body];
    parts.extend(letter.enclosures.files.iter().map(|file| file_part(file, charset)));
    multipart("multipart/mixed", 1, letter, parts)
}

fn multipart<'a>(kind: &'static str, n: u8, letter: &Letter<'a>, parts: Vec<MimePart<'a>>) -> MimePart<'a> {
    // The Message-ID makes it differ from those of mails within mails; it need not be a secret (see BOUNDARY).
    let unique: String = letter.message_id.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    let boundary = format!("{BOUNDARY}{n}_{unique}");
    MimePart::new(ContentType::new(kind).attribute("boundary", boundary), BodyPart::Multipart(parts))
}

fn text_part<'a>(kind: &'static str, text: &'a str, charset: Charset) -> MimePart<'a> {
    let text = lines(text);
    match charset {
        Charset::Utf8 if is_harmless(text.as_bytes()) => MimePart::new(kind, BodyPart::Text(text)),
        Charset::Utf8 => coded(kind, charset, "base64", base64_lines(text.as_bytes())),
        Charset::Iso2022Jp => {
            let octets = iso2022jp::encode(&text);
            // The charset's own escapes stand in it; other control characters were found before.
            let has_short_lines = octets.split(|b| *b == b'\n').all(|line| line.len() <= TEXT_LINE_MAX + 1);
            if has_short_lines && is_harmless(&octets) {
                coded(kind, charset, "7bit", octets)
            } else {
                coded(kind, charset, "base64", base64_lines(&octets))
            }
        }
    }
}

/// The octets can stand in a mail under any transfer encoding: no control character (but the escape, which only text in
/// ISO-2022-JP has), no line that could be a boundary.
fn is_harmless(octets: &[u8]) -> bool {
    let is_control = |b: &u8| matches!(b, 0..=8 | 11 | 12 | 14..=26 | 28..=31 | 127);
    !octets.iter().any(is_control) && !octets.split(|b| *b == b'\n').any(|line| line.starts_with(BOUNDARY_LINE))
}

fn coded(kind: &'static str, charset: Charset, encoding: &'static str, octets: Vec<u8>) -> MimePart<'static> {
    MimePart::new(ContentType::new(kind).attribute("charset", charset.word()), BodyPart::Binary(Cow::Owned(octets)))
        .transfer_encoding(encoding)
}

fn file_part(file: &File, charset: Charset) -> MimePart<'_> {
    let mut kind = ContentType::new(file.kind.as_str());
    if let Some(charset) = &file.charset {
        kind = kind.attribute("charset", charset);
    }
    let (kind, disposition) = match words::file_name(&file.name, charset) {
        FileName::Short(name) => {
            let disposition = ContentType::new("attachment").attribute("filename", name);
            (HeaderType::ContentType(kind.attribute("name", name)), HeaderType::ContentType(disposition))
        }
        FileName::Encoded { disposition, kind: name } => {
            let text_charset = file.charset.as_ref().map_or_else(String::new, |c| format!("; charset={c}"));
            (raw(format!("{}{text_charset}; {name}", file.kind)), raw(format!("attachment; {disposition}")))
        }
    };
    MimePart::raw(BodyPart::Binary(Cow::Borrowed(file.base64.as_slice())))
        .header("Content-Type", kind)
        .header("Content-Disposition", disposition)
        .header("Content-Transfer-Encoding", raw("base64".to_owned()))
}

fn raw(text: String) -> HeaderType<'static> {
    HeaderType::Raw(Raw::new(text))
}

/// `text` with CRLF at the end of each line, whatever ended it.
fn lines(text: &str) -> Cow<'_, str> {
    let octets = text.as_bytes();
    let is_end = |at: usize| match octets.get(at) {
        Some(b'\r') => octets.get(at + 1) == Some(&b'\n'),
        Some(b'\n') => at > 0 && octets.get(at - 1) == Some(&b'\r'),
        _ => true,
    };
    if (0..octets.len()).all(is_end) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + text.len() / 32);
    let mut rest = text;
    while let Some(at) = rest.find(['\r', '\n']) {
        let (line, end) = rest.split_at(at);
        out.push_str(line);
        out.push_str("\r\n");
        rest = end.strip_prefix("\r\n").or_else(|| end.get(1..)).unwrap_or_default();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Base64 in lines, each with its end.
fn base64_lines(octets: &[u8]) -> Vec<u8> {
    let lines = octets.len().div_ceil(BASE64_LINE_OCTETS);
    let mut out = String::with_capacity(lines * (BASE64_LINE + 2));
    for chunk in octets.chunks(BASE64_LINE_OCTETS) {
        STANDARD.encode_string(chunk, &mut out);
        out.push_str("\r\n");
    }
    out.into_bytes()
}

/// A file's kind and its charset, from what its sender wrote.
fn kind_of(content_type: &str) -> (String, Option<String>) {
    let mut parts = content_type.split(';');
    let kind = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_kind = kind.len() <= KIND_OCTETS_MAX
        && kind.split_once('/').is_some_and(|(main, sub)| is_token(main) && is_token(sub))
        && !kind.starts_with("message/")
        && !kind.starts_with("multipart/");
    if !is_kind {
        return (UNKNOWN_KIND.to_owned(), None);
    }
    let charset = parts
        .filter_map(|p| p.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .map(|(_, value)| value.trim().trim_matches('"').to_owned())
        .filter(|value| is_token(value) && value.len() <= KIND_OCTETS_MAX / 2);
    (kind, charset)
}

/// A token of RFC 2045 §5.1.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_crlf() {
        for (text, expected) in [
            ("", ""),
            ("a", "a"),
            ("a\nb\rc\r\nd", "a\r\nb\r\nc\r\nd"),
            ("\n\r\r\n\n", "\r\n\r\n\r\n\r\n"),
            ("a\r\nb\r\n", "a\r\nb\r\n"),
        ] {
            assert_eq!(lines(text), expected, "{text:?}");
        }
        assert!(matches!(lines("a\r\nb\r\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_kind_is_read_or_replaced() {
        for (given, kind, charset) in [
            ("text/csv; charset=\"Shift_JIS\"", "text/csv", Some("Shift_JIS")),
            ("Application/PDF", "application/pdf", None),
            ("", UNKNOWN_KIND, None),
            ("text", UNKNOWN_KIND, None),
            ("text/", UNKNOWN_KIND, None),
            ("text/x\r\nBcc: a", UNKNOWN_KIND, None),
            ("text/plain; charset=a\r\nBcc:b", "text/plain", None),
            ("message/rfc822", UNKNOWN_KIND, None),
            ("multipart/mixed; boundary=x", UNKNOWN_KIND, None),
        ] {
            assert_eq!(kind_of(given), (kind.to_owned(), charset.map(str::to_owned)), "{given:?}");
        }
    }
}
