//! Takes a received mail apart for a program that is to read it: decoded header fields, its texts, its attachments.
//!
//! In: a mail's octets.  Out: [`Parts`]; each part is decoded when somebody asks for it, so that one at a time takes memory.
//! Always: any octets are read, none makes it fail; at most [`FIELDS_MAX`] fields, [`PARTS_MAX`] parts and [`DEPTH_MAX`] levels
//! are opened, what is deeper stays one attachment; line endings of texts and octets of attachments are kept as they are; a
//! wrong charset, boundary or encoding costs letters, never the part.
//! Sources: RFC 5322 §2.2, RFC 2045–2047, RFC 2183, RFC 2231, RFC 1468.

use std::borrow::Cow;

use mail_parser::{HeaderValue, decoders::charsets::map::charset_decoder, parsers::MessageStream};

use super::{
    decode::{Encoding, base64, quoted_printable},
    header::{Fields, whole_text},
};
use crate::language::turns_letters;

/// Header fields that are read; real mail has fewer than a hundred.
pub const FIELDS_MAX: usize = 1_000;
/// Leaf parts that are read; what follows them is left out.
pub const PARTS_MAX: usize = 1_000;
/// Multiparts in multiparts that are opened; real mail has four.
pub const DEPTH_MAX: usize = 10;
/// Octets of a Content-Type or Content-Disposition that are parsed: long names take some thousand, RFC 2231 encoded.
const CONTENT_FIELD_MAX: usize = 8 * 1024;
/// Octets of a file name.
const NAME_MAX: usize = 200;
/// Octets of a Content-ID.
const CONTENT_ID_MAX: usize = 1_000;
/// Octets of a media type.
const TYPE_MAX: usize = 200;
/// The escape that starts JIS X 0208 in ISO-2022-JP.
const JIS_ESCAPE: &[u8] = b"\x1b$";

/// A mail, taken apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Parts<'m> {
    /// Header fields in order: names as they stand, values unfolded and decoded.
    pub fields: Vec<(String, String)>,
    /// The texts for people, text/plain, in order.
    pub texts: Vec<Part<'m>>,
    /// The same as HTML.
    pub htmls: Vec<Part<'m>>,
    /// Everything else, and what calls itself an attachment, in order.
    pub attachments: Vec<Part<'m>>,
}

/// One leaf part, not decoded yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part<'m> {
    /// `type/subtype` in lower case, without parameters.
    pub content_type: String,
    name: String,
    content_id: String,
    charset: String,
    encoding: Encoding,
    body: &'m [u8],
}

impl<'m> Parts<'m> {
    /// Takes a mail apart.
    pub fn of(mail: &'m [u8]) -> Self {
        let (head, body) = split(mail);
        let mut parts = Parts { fields: fields(head), ..Parts::default() };
        let mut left = PARTS_MAX;
        entity(About::of(head, "text/plain"), body, 0, &mut left, &mut parts);
        parts
    }

    /// The first field of this name, in any case; empty: none.
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    /// The text: all of them, one after another; `None`: the mail has none.
    pub fn text(&self) -> Option<String> {
        joined(&self.texts)
    }

    /// The HTML text, likewise.
    pub fn html(&self) -> Option<String> {
        joined(&self.htmls)
    }
}

fn joined(parts: &[Part<'_>]) -> Option<String> {
    let (first, more) = parts.split_first()?;
    let mut whole = first.text();
    for part in more {
        if !whole.is_empty() && !whole.ends_with('\n') {
            whole.push_str("\r\n");
        }
        whole.push_str(&part.text());
    }
    Some(whole)
}

impl<'m> Part<'m> {
    /// Its Content-ID, without the angle brackets; empty: none.
    pub fn content_id(&self) -> &str {
        &self.content_id
    }

    /// Its octets, without the transfer encoding.
    pub fn bytes(&self) -> Cow<'m, [u8]> {
        match self.encoding {
            Encoding::Identity => Cow::Borrowed(self.body),
            Encoding::QuotedPrintable => Cow::Owned(quoted_printable(self.body)),
            Encoding::Base64 => Cow::Owned(base64(self.body)),
        }
    }

    /// Its octets as text.
    pub fn text(&self) -> String {
        in_unicode(&self.bytes(), &self.charset)
    }

    /// Its file name, safe as one: no folders, no control characters, nothing that turns the direction of letters, never empty. `n` stands in the name of one that has none.
    pub fn file_name(&self, n: usize) -> String {
        let is_unsafe = |c: char| c.is_control() || turns_letters(c) || matches!(c, '/' | '\\' | ':');
        let clean = |c: char| if is_unsafe(c) { '_' } else { c };
        let name: String = self.name.trim().chars().map(clean).collect();
        let name = &name[..name.floor_char_boundary(NAME_MAX)];
        if !name.trim_matches(['.', ' ', '_']).is_empty() {
            return name.to_owned();
        }
        let suffix = match self.content_type.as_str() {
            "text/plain" => "txt",
            "text/html" => "html",
            "text/calendar" => "ics",
            "message/rfc822" => "eml",
            "image/png" => "png",
            "image/jpeg" => "jpg",
            "image/gif" => "gif",
            "application/pdf" => "pdf",
            _ => "bin",
        };
        format!("attachment{n}.{suffix}")
    }
}

/// The header section and the body behind the empty line.
fn split(entity: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for line in entity.split_inclusive(|b| *b == b'\n') {
        if line == b"\n" || line == b"\r\n" {
            return (&entity[..at], &entity[at + line.len()..]);
        }
        at += line.len();
    }
    (entity, &[])
}

/// Name and raw value of each field. Lines that are no fields are stepped over.
fn each_field<'a>(head: &'a [u8], mut say: impl FnMut(&'a [u8], &'a [u8])) {
    let mut rest = head;
    let mut left = FIELDS_MAX;
    loop {
        let mut end = 0;
        for field in Fields::new(rest).take(left) {
            say(&rest[field.name.clone()], &rest[field.value.clone()]);
            end = field.whole.end;
            left -= 1;
        }
        let line = rest[end..].iter().position(|b| *b == b'\n');
        // A line that is none counts as well.
        let Some(line) = line.filter(|_| left > 0) else { return };
        left -= 1;
        rest = &rest[end + line + 1..];
    }
}

fn fields(head: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    each_field(head, |name, value| {
        let value = whole_text(value).replace(['\r', '\n'], "");
        fields.push((String::from_utf8_lossy(name).into_owned(), value.trim().to_owned()));
    });
    fields
}

/// What a part's header says of it.
struct About {
    kind: String,
    name: String,
    content_id: String,
    charset: String,
    boundary: String,
    encoding: Encoding,
    is_attachment: bool,
}

impl About {
    /// `usual`: the type of a part that names none.
    fn of(head: &[u8], usual: &str) -> About {
        let mut about = About {
            kind: String::new(),
            name: String::new(),
            content_id: String::new(),
            charset: String::new(),
            boundary: String::new(),
            encoding: Encoding::Identity,
            is_attachment: false,
        };
        let mut file_name = String::new();
        each_field(head, |name, value| {
            if name.eq_ignore_ascii_case(b"Content-Type") && about.kind.is_empty() {
                about.content_type(value);
            } else if name.eq_ignore_ascii_case(b"Content-Transfer-Encoding") {
                about.encoding = Encoding::of(value);
            } else if name.eq_ignore_ascii_case(b"Content-ID") {
                let id = String::from_utf8_lossy(&value[..value.len().min(CONTENT_ID_MAX)]);
                id.trim().trim_start_matches('<').trim_end_matches('>').clone_into(&mut about.content_id);
            } else if name.eq_ignore_ascii_case(b"Content-Disposition")
                && let Some(HeaderValue::ContentType(disposition)) = content_field(value)
            {
                about.is_attachment = disposition.is_attachment();
                file_name = disposition.attribute("filename").unwrap_or_default().to_owned();
            }
        });
        if about.kind.is_empty() {
            usual.clone_into(&mut about.kind);
        }
        if !file_name.is_empty() {
            about.name = file_name;
        }
        about.name = whole_text(about.name.as_bytes()).into_owned();
        about
    }

    fn content_type(&mut self, value: &[u8]) {
        let Some(HeaderValue::ContentType(kind)) = content_field(value) else { return };
        let whole = format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()).to_ascii_lowercase();
        let is_type =
            whole.len() <= TYPE_MAX && whole.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"[]?=".contains(&b));
        self.kind = if is_type && !whole.ends_with('/') { whole } else { "application/octet-stream".to_owned() };
        let of = |name: &str| kind.attribute(name).unwrap_or_default().to_owned();
        (self.charset, self.name) = (of("charset"), of("name"));
        of("boundary").trim_end().clone_into(&mut self.boundary);
    }

    fn is_multipart(&self) -> bool {
        self.kind.starts_with("multipart/") && !self.boundary.is_empty()
    }
}

fn content_field(value: &[u8]) -> Option<HeaderValue<'static>> {
    let mut line = value[..value.len().min(CONTENT_FIELD_MAX)].to_vec();
    line.push(b'\n');
    match MessageStream::new(&line).parse_content_type() {
        kind @ HeaderValue::ContentType(_) => Some(kind.into_owned()),
        _ => None,
    }
}

fn entity<'m>(about: About, body: &'m [u8], depth: usize, left: &mut usize, parts: &mut Parts<'m>) {
    if about.is_multipart() && depth < DEPTH_MAX && multipart(&about, body, depth, left, parts) {
        return;
    }
    if *left == 0 {
        return;
    }
    *left -= 1;
    let About { kind, name, content_id, charset, encoding, is_attachment, .. } = about;
    // A multipart without its boundary: what it holds is read as text, as people would.
    let is_lost = kind.starts_with("multipart/") && depth < DEPTH_MAX;
    let content_type = if is_lost { "text/plain".to_owned() } else { kind };
    let part = Part { content_type, name, content_id, charset, encoding, body };
    let is_file = is_attachment || !part.name.is_empty();
    match part.content_type.as_str() {
        "text/plain" if !is_file => parts.texts.push(part),
        "text/html" if !is_file => parts.htmls.push(part),
        _ => parts.attachments.push(part),
    }
}

/// Opens a multipart; false: its boundary is nowhere.
fn multipart<'m>(about: &About, body: &'m [u8], depth: usize, left: &mut usize, parts: &mut Parts<'m>) -> bool {
    let usual = if about.kind == "multipart/digest" { "message/rfc822" } else { "text/plain" };
    let mut open = |octets: &'m [u8], left: &mut usize| {
        let (head, body) = split(octets);
        entity(About::of(head, usual), body, depth + 1, left, parts);
    };
    let (mut start, mut at) = (None, 0);
    for line in body.split_inclusive(|b| *b == b'\n') {
        let line_at = at;
        at += line.len();
        let Some(rest) = after_boundary(line, about.boundary.as_bytes()) else { continue };
        if let Some(from) = start.take() {
            open(without_line_end(&body[from..line_at]), left);
        }
        if rest.starts_with(b"--") || *left == 0 {
            return true;
        }
        start = Some(at);
    }
    // A mail that was cut has no last boundary.
    start.map(|from| open(&body[from..], left)).is_some()
}

/// What stands behind the boundary on its line.
fn after_boundary<'l>(line: &'l [u8], boundary: &[u8]) -> Option<&'l [u8]> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?;
    // A longer boundary that begins alike is another one.
    rest.iter().all(|b| matches!(b, b'-' | b' ' | b'\t' | b'\r' | b'\n')).then_some(rest)
}

/// The line ending before a boundary belongs to it (RFC 2046 §5.1.1).
fn without_line_end(octets: &[u8]) -> &[u8] {
    octets.strip_suffix(b"\r\n").or_else(|| octets.strip_suffix(b"\n")).unwrap_or(octets)
}

/// Octets as text, whatever the header claims: what is UTF-8 is UTF-8, what has the escapes of ISO-2022-JP is that.
pub fn in_unicode(octets: &[u8], charset: &str) -> String {
    let jis = octets.windows(JIS_ESCAPE.len()).any(|w| w == JIS_ESCAPE);
    let label = charset.trim().to_ascii_lowercase();
    let label = match label.as_str() {
        _ if jis => "iso-2022-jp",
        "cp932" | "ms932" | "cswindows31j" | "shift_jis-2004" => "shift_jis",
        "eucjp" | "x-euc-jp" | "eucjp-ms" | "cp51932" => "euc-jp",
        label => label,
    };
    if !jis && (label.is_empty() || matches!(label, "utf-8" | "utf8" | "us-ascii" | "ascii")) {
        return String::from_utf8_lossy(octets).into_owned();
    }
    match charset_decoder(label.as_bytes()) {
        Some(decode) => decode(octets),
        None => String::from_utf8_lossy(octets).into_owned(),
    }
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
