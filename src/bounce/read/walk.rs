//! Takes a returned mail apart into the few parts that say what happened.
//!
//! In: a mail's octets.  Out: a [`Walked`]: its header, and its leaf parts in order, undecoded.
//! Always: at most [`LOOKED_AT_MAX`] octets are looked at, in at most [`DEPTH_MAX`] levels and [`PARTS_MAX`] parts; a part is decoded
//! only when somebody reads it, and only its first [`TEXT_MAX`] octets; boundaries that do not match what the header promised
//! leave the whole body as text, because many reporters write them wrong.
//! Sources: RFC 2045, RFC 2046 §5.1, RFC 6522, RFC 1468.

use std::borrow::Cow;

use mail_parser::{
    HeaderValue,
    decoders::{
        base64::base64_decode, charsets::map::charset_decoder, html::html_to_text,
        quoted_printable::quoted_printable_decode,
    },
    parsers::MessageStream,
};

use crate::mail::{decode::Encoding, header::Fields};

/// Octets of a mail that are looked at: reports stand before the mail that they return (RFC 6522 §3), and real ones end
/// within 200 KiB.
pub(super) const LOOKED_AT_MAX: usize = 2 * 1024 * 1024;
/// Multiparts in multiparts that are opened; real reports have two.
const DEPTH_MAX: usize = 6;
/// Leaf parts that are kept; real reports have fewer than ten.
const PARTS_MAX: usize = 64;
/// Octets of a part that are decoded and read.
pub(super) const TEXT_MAX: usize = 96 * 1024;
/// Octets of a header section that are looked at.
const HEAD_MAX: usize = 128 * 1024;
/// Octets of a Content-Type that are parsed.
const CONTENT_TYPE_MAX: usize = 2_048;
/// Blanks before a boundary that some gateways add.
const BOUNDARY_INDENT_MAX: usize = 3;
/// The escape that starts JIS X 0208 in ISO-2022-JP.
const JIS_ESCAPE: &[u8] = b"\x1b$";

/// What a leaf part is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sort {
    /// Text for people.
    Plain,
    /// The same as HTML.
    Html,
    /// message/delivery-status and its international form.
    Status,
    /// message/feedback-report.
    Feedback,
    /// message/disposition-notification.
    Disposition,
    /// The returned header alone.
    Headers,
    /// The returned mail.
    Message,
    /// Anything else.
    Other,
}

/// A leaf part, not decoded yet.
#[derive(Clone, Debug)]
pub(super) struct Part<'a> {
    /// What it is for.
    pub(super) sort: Sort,
    body: &'a [u8],
    encoding: Encoding,
    charset: String,
}

impl<'a> Part<'a> {
    /// The text of it, at most [`TEXT_MAX`] octets before decoding.
    pub(super) fn text(&self) -> String {
        let bytes = self.bytes(TEXT_MAX);
        let text = decode(&bytes, &self.charset);
        if self.sort == Sort::Html { html_to_text(&text) } else { text }
    }

    /// Its first octets, transfer encoding removed.
    pub(super) fn bytes(&self, max: usize) -> Cow<'a, [u8]> {
        let body = &self.body[..self.body.len().min(max)];
        let decoded = match self.encoding {
            Encoding::Identity => None,
            Encoding::QuotedPrintable => quoted_printable_decode(body),
            // A cut in the middle of four characters would make the decoder refuse all of it.
            Encoding::Base64 => base64_decode(body),
        };
        decoded.map_or(Cow::Borrowed(body), Cow::Owned)
    }
}

/// A mail, taken apart.
#[derive(Debug)]
pub(super) struct Walked<'a> {
    /// Its header section.
    pub(super) head: &'a [u8],
    /// Its leaf parts, in order.
    pub(super) parts: Vec<Part<'a>>,
    /// It calls itself multipart/report.
    pub(super) is_report: bool,
}

/// Takes a mail apart.
pub(super) fn walk(mail: &[u8]) -> Walked<'_> {
    let mail = &mail[..mail.len().min(LOOKED_AT_MAX)];
    let mail = without_mbox_line(mail);
    let (head, body) = split(mail);
    let mut walked = Walked { head, parts: Vec::new(), is_report: false };
    let about = About::of(head);
    walked.is_report = about.is_multipart && about.kind.ends_with("report");
    entity(about, body, 0, &mut walked.parts);
    walked
}

/// The header section and the body.
pub(super) fn split(entity: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for line in entity.split_inclusive(|b| *b == b'\n') {
        if line == b"\n" || line == b"\r\n" {
            return (&entity[..at], &entity[at + line.len()..]);
        }
        at += line.len();
        if at > HEAD_MAX {
            break;
        }
    }
    (entity, &[])
}

/// Every field of a header section: name and raw value. Lines that are no fields are stepped over.
pub(super) fn each_field<'a>(head: &'a [u8], mut say: impl FnMut(&'a [u8], &'a [u8])) {
    let mut rest = &head[..head.len().min(HEAD_MAX)];
    loop {
        let mut end = 0;
        for field in Fields::new(rest) {
            say(&rest[field.name.clone()], &rest[field.value.clone()]);
            end = field.whole.end;
        }
        // The line that is none.
        let Some(line) = rest[end..].iter().position(|b| *b == b'\n') else { return };
        rest = &rest[end + line + 1..];
    }
}

/// Without the line that mailbox files put in front of each mail.
fn without_mbox_line(mail: &[u8]) -> &[u8] {
    if !mail.starts_with(b"From ") {
        return mail;
    }
    mail.iter().position(|b| *b == b'\n').map_or(mail, |at| &mail[at + 1..])
}

/// What a part's header says of it.
struct About {
    /// `type/subtype`, lower case.
    kind: String,
    is_multipart: bool,
    boundary: String,
    charset: String,
    encoding: Encoding,
}

impl About {
    fn of(head: &[u8]) -> About {
        let mut about = About {
            kind: String::new(),
            is_multipart: false,
            boundary: String::new(),
            charset: String::new(),
            encoding: Encoding::Identity,
        };
        each_field(head, |name, value| {
            if about.kind.is_empty() && name.eq_ignore_ascii_case(b"Content-Type") {
                about.content_type(value);
            } else if name.eq_ignore_ascii_case(b"Content-Transfer-Encoding") {
                about.encoding = Encoding::of(value);
            }
        });
        about
    }

    fn content_type(&mut self, value: &[u8]) {
        let mut line = value[..value.len().min(CONTENT_TYPE_MAX)].to_vec();
        line.push(b'\n');
        let HeaderValue::ContentType(kind) = MessageStream::new(&line).parse_content_type() else { return };
        self.kind = format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()).to_ascii_lowercase();
        self.charset = kind.attribute("charset").unwrap_or_default().to_owned();
        self.boundary = kind.attribute("boundary").unwrap_or_default().trim_end().to_owned();
        self.is_multipart = self.kind.starts_with("multipart/") && !self.boundary.is_empty();
    }

    fn sort(&self) -> Sort {
        let kind = self.kind.as_str();
        match kind {
            "text/html" => Sort::Html,
            "message/rfc822" | "message/global" | "message/news" => Sort::Message,
            "message/feedback-report" => Sort::Feedback,
            "message/disposition-notification" | "message/global-disposition-notification" => Sort::Disposition,
            _ if kind.ends_with("delivery-status") => Sort::Status,
            _ if kind.ends_with("rfc822-headers") || kind.ends_with("global-headers") => Sort::Headers,
            "text/rfc822-header" | "text/rfc822" => Sort::Headers,
            _ if kind.is_empty() || kind.starts_with("text/") || kind.starts_with("multipart/") => Sort::Plain,
            _ => Sort::Other,
        }
    }
}

fn entity<'a>(about: About, body: &'a [u8], depth: usize, parts: &mut Vec<Part<'a>>) {
    if about.is_multipart && depth < DEPTH_MAX && multipart(&about.boundary, body, depth, parts) {
        return;
    }
    if parts.len() < PARTS_MAX {
        parts.push(Part { sort: about.sort(), body, encoding: about.encoding, charset: about.charset });
    }
}

/// Opens a multipart; false: its boundary is nowhere.
fn multipart<'a>(boundary: &str, body: &'a [u8], depth: usize, parts: &mut Vec<Part<'a>>) -> bool {
    let mut start = None;
    let mut at = 0;
    for line in body.split_inclusive(|b| *b == b'\n') {
        let line_at = at;
        at += line.len();
        let Some(rest) = after_boundary(line, boundary.as_bytes()) else { continue };
        if let Some(from) = start.take() {
            part(&body[from..line_at], depth, parts);
        }
        if rest.starts_with(b"--") || parts.len() >= PARTS_MAX {
            return true;
        }
        start = Some(at);
    }
    match start {
        Some(from) => {
            part(&body[from..], depth, parts);
            true
        }
        None => false,
    }
}

fn part<'a>(part: &'a [u8], depth: usize, parts: &mut Vec<Part<'a>>) {
    let (head, body) = split(part);
    entity(About::of(head), body, depth + 1, parts);
}

/// What stands behind the boundary on its line.
fn after_boundary<'l>(line: &'l [u8], boundary: &[u8]) -> Option<&'l [u8]> {
    let indent = line.iter().take(BOUNDARY_INDENT_MAX).take_while(|b| matches!(b, b' ' | b'\t')).count();
    let rest = line[indent..].strip_prefix(b"--")?.strip_prefix(boundary)?;
    // A longer boundary that begins alike is another one.
    rest.iter().all(|b| matches!(b, b'-' | b' ' | b'\t' | b'\r' | b'\n')).then_some(rest)
}

/// Octets as text, whatever the header claims.
fn decode(bytes: &[u8], charset: &str) -> String {
    let jis = bytes.windows(JIS_ESCAPE.len()).any(|w| w == JIS_ESCAPE);
    if jis && let Some(decode) = charset_decoder(b"iso-2022-jp") {
        return decode(bytes);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    match charset_decoder(charset.as_bytes()) {
        Some(decode) if !charset.is_empty() && !charset.eq_ignore_ascii_case("utf-8") => decode(bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorts(mail: &str) -> Vec<Sort> {
        walk(mail.as_bytes()).parts.iter().map(|p| p.sort).collect()
    }

    #[test]
    fn a_report_comes_apart_whatever_its_line_endings_and_boundaries() {
        let mail = "Content-Type: multipart/report; boundary=\"b b\"\n\npreamble\n--b b\n\ntext\n--b b\n\
            Content-Type: message/global-delivery-status\n\nStatus: 5.1.1\n --b b\nContent-Type: message/rfc822\n\nSubject: x\n";
        for mail in [mail.to_owned(), mail.replace('\n', "\r\n")] {
            assert_eq!(sorts(&mail), [Sort::Plain, Sort::Status, Sort::Message]);
        }
        let wrong = "Content-Type: multipart/report; boundary=x\n\n--y\n\nFinal-Recipient: rfc822; a@b\n";
        assert_eq!(sorts(wrong), [Sort::Plain], "a boundary that is nowhere leaves the text");
        assert!(walk(wrong.as_bytes()).parts[0].text().contains("a@b"));
    }

    #[test]
    fn texts_are_decoded() {
        for (kind, body, expected) in [
            ("text/plain; charset=iso-2022-jp", &b"\x1b$B$3$s\x1b(B"[..], "こん"),
            ("text/plain", b"\x1b$B$3$s\x1b(B", "こん"),
            ("text/plain; charset=iso-8859-1", b"caf\xe9", "café"),
            ("text/plain; charset=shift_jis", b"\x83\x81\x81[\x83\x8b", "メール"),
            ("text/html", b"<p>a <b>b</b></p>", "a b\n"),
        ] {
            let mut mail = format!("Content-Type: {kind}\r\n\r\n").into_bytes();
            mail.extend_from_slice(body);
            assert_eq!(walk(&mail).parts[0].text(), expected, "{kind}");
        }
        let mail = b"Content-Transfer-Encoding: base64\n\naGVsbG8=\n";
        assert_eq!(walk(mail).parts[0].text(), "hello");
        let mail = b"From x@y Thu\nContent-Transfer-Encoding: quoted-printable\n\na=3Db=\nc\n";
        assert_eq!(walk(mail).parts[0].text().trim_end(), "a=bc");
    }

    #[test]
    fn depth_and_parts_are_bounded() {
        let mut nested = String::new();
        for n in 0..1_000 {
            nested.push_str(&format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n"));
        }
        assert!(walk(nested.as_bytes()).parts.len() <= PARTS_MAX);
        let many = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\nx\n".repeat(10_000));
        assert_eq!(walk(many.as_bytes()).parts.len(), PARTS_MAX);
    }
}
