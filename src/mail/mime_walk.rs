//! Takes a stored mail apart for people who look at it: decoded header fields, its text, and a list of its parts.
//!
//! In: a mail's octets.  Out: a [`View`]; nothing in it is safe to show without escaping.
//! Always: works for any bytes; sizes are bounded by [`TEXT_MAX`] and [`FIELDS_MAX`]; HTML is turned to text, never passed on
//! as something to render.
//! Sources: RFC 5322 §2.2, RFC 2045–2047, RFC 2231.

use std::borrow::Cow;

use mail_parser::{MessageParser, MimeHeaders, PartType, parsers::MessageStream};

/// Octets of decoded text that a view holds at most: more than a person reads.
pub const TEXT_MAX: usize = 256 * 1024;
/// Header fields that a view holds at most.
pub const FIELDS_MAX: usize = 500;
/// Parts that a view lists at most.
pub const PARTS_MAX: usize = 200;

/// A mail, taken apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct View {
    /// Header fields in order, unfolded, encoded words decoded.
    pub fields: Vec<(String, String)>,
    /// The text: the first text/plain part, else the HTML part as text.
    pub text: String,
    /// The text was made of an HTML part.
    pub text_is_from_html: bool,
    /// The text was longer than [`TEXT_MAX`].
    pub text_is_cut: bool,
    /// The leaf parts, in order.
    pub parts: Vec<Part>,
}

/// One leaf part.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Part {
    /// `type/subtype`, lower case.
    pub content_type: String,
    /// Its file name; empty: none.
    pub name: String,
    /// Decoded octets.
    pub len: usize,
}

/// Takes a mail apart.
pub fn view(source: &[u8]) -> View {
    let mut view = View { fields: fields(source), ..View::default() };
    let Some(message) = MessageParser::default().parse(source) else { return view };
    let is_plain = message.text_part(0).is_some_and(|p| matches!(p.body, PartType::Text(_)));
    if let Some(text) = message.body_text(0) {
        view.text_is_from_html = !is_plain;
        (view.text, view.text_is_cut) = cut(&text, TEXT_MAX);
    }
    for part in message.parts.iter().filter(|p| !matches!(p.body, PartType::Multipart(_))).take(PARTS_MAX) {
        let plain = match &part.body {
            PartType::Html(_) => "text/html",
            PartType::Message(_) => "message/rfc822",
            PartType::Text(_) => "text/plain",
            PartType::Binary(_) | PartType::InlineBinary(_) | PartType::Multipart(_) => "application/octet-stream",
        };
        let content_type = part.content_type().map_or_else(
            || plain.to_owned(),
            |t| format!("{}/{}", t.ctype(), t.subtype().unwrap_or("*")).to_ascii_lowercase(),
        );
        let name = part.attachment_name().unwrap_or_default().to_owned();
        view.parts.push(Part { content_type, name, len: part.len() });
    }
    view
}

/// The first `max` octets of a text, at a character's edge, and whether something was left out.
pub fn cut(text: &str, max: usize) -> (String, bool) {
    if text.len() <= max {
        return (text.to_owned(), false);
    }
    (text[..text.floor_char_boundary(max)].to_owned(), true)
}

fn fields(source: &[u8]) -> Vec<(String, String)> {
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    for line in source.split(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        match (line[0], fields.last_mut()) {
            (b' ' | b'\t', Some((_, value))) => value.extend_from_slice(line),
            _ => {
                if fields.len() == FIELDS_MAX {
                    break;
                }
                let Some(colon) = line.iter().position(|b| *b == b':') else { break };
                let name = String::from_utf8_lossy(&line[..colon]).trim().to_owned();
                fields.push((name, line[colon + 1..].to_vec()));
            }
        }
    }
    fields.into_iter().map(|(name, value)| (name, decode(&value))).collect()
}

/// Decodes the encoded words of a field's value (RFC 2047).
fn decode(value: &[u8]) -> String {
    let plain = || String::from_utf8_lossy(value).trim().to_owned();
    if !value.windows(2).any(|w| w == b"=?") {
        return plain();
    }
    let mut line = value.to_vec();
    line.push(b'\n');
    let decoded = MessageStream::new(&line).parse_unstructured().into_text().map(Cow::into_owned);
    decoded.unwrap_or_else(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_japanese_mail_with_an_attachment_comes_apart() {
        let source = b"From: =?UTF-8?B?6aOb6ISa?= <a@example.jp>\r\nSubject: =?ISO-2022-JP?B?GyRCJDMkcyRLJEEkTxsoQg==?=\r\n\
            X-Long: one\r\n two\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=iso-2022-jp\r\n\r\n\
            \x1b$B$3$s$K$A$O\x1b(B\r\n--b\r\nContent-Type: application/pdf; name=\"x.pdf\"\r\nContent-Disposition: attachment; filename=\"x.pdf\"\r\n\
            Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n";
        let view = view(source);
        let field = |n: &str| view.fields.iter().find(|(name, _)| name == n).map(|(_, v)| v.as_str());
        assert_eq!(field("Subject"), Some("こんにちは"));
        assert_eq!(field("From"), Some("飛脚 <a@example.jp>"));
        assert_eq!(field("X-Long"), Some("one two"));
        assert_eq!(view.text.trim_end(), "こんにちは");
        let parts: Vec<_> = view.parts.iter().map(|p| (p.content_type.as_str(), p.name.as_str(), p.len)).collect();
        assert_eq!(parts[1], ("application/pdf", "x.pdf", 3));
        assert!(!view.text_is_from_html && !view.text_is_cut);
    }

    #[test]
    fn html_becomes_text_and_any_bytes_are_survived() {
        let html = view(b"Subject: x\r\nContent-Type: text/html\r\n\r\n<p>Hi <b>you</b></p><script>alert(1)</script>");
        assert!(html.text_is_from_html && html.text.contains("Hi you"), "{html:?}");
        assert!(!html.text.contains('<'), "{html:?}");
        for bytes in [
            &b""[..],
            b"\r\n",
            b"\n\n",
            b"no header at all",
            b"\xff\xfe: \xff\r\n\r\n\xff",
            b": \r\n",
            b" folded first\r\n",
        ] {
            view(bytes);
        }
        let long = format!("Subject: x\r\n\r\n{}", "飛".repeat(TEXT_MAX));
        let view = view(long.as_bytes());
        assert!(view.text_is_cut && view.text.len() <= TEXT_MAX);
    }
}
