//! Reads `multipart/form-data` as clients write it, out of a body that is whole.
//!
//! In: the body and its Content-Type.  Out: parts, whose content is a slice of the body.
//! Always: parts, their heads and their number are bounded; nothing is decoded that is not asked for; what is cut or has no end is
//! refused. Part headers that mean nothing here (Content-Length, Content-Transfer-Encoding: binary) are passed over; an encoding
//! that would change the content is refused.
//! Sources: RFC 7578, RFC 2046 §5.1.1, RFC 8187 (`filename*`); the WHATWG's `%22` in names.

use super::fault::{Fault, Syntax, Why};
use crate::http::exchange::percent_decode;

/// Parts of a body at most.
pub(super) const PARTS_MAX: usize = 1_200;
/// Octets of a part's head at most.
const HEAD_MAX: usize = 8 * 1024;
/// Octets of a boundary at most (RFC 2046).
const BOUNDARY_MAX: usize = 70;

/// One part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::http) struct Part<'r> {
    /// The parameter's name.
    pub name: String,
    /// The file's name, where it is a file; it may be empty.
    pub filename: Option<String>,
    /// Its Content-Type; empty: none is given.
    pub content_type: String,
    /// Its content.
    pub bytes: &'r [u8],
}

fn malformed() -> Fault {
    Why::Malformed { what: Syntax::Multipart }.fault()
}

/// The boundary that a Content-Type names.
fn boundary_of(content_type: &str) -> Option<String> {
    let (_, params) = content_type.split_once(';')?;
    let boundary = Params::new(params).find(|(name, _)| name == "boundary").map(|(_, value)| value)?;
    let fits = (1..=BOUNDARY_MAX).contains(&boundary.len()) && boundary.bytes().all(|b| (b' '..=b'~').contains(&b));
    (fits && !boundary.ends_with(' ')).then_some(boundary)
}

/// The parts of a body.
pub(in crate::http) fn parts<'r>(body: &'r [u8], content_type: &str) -> Result<Vec<Part<'r>>, Fault> {
    let boundary = boundary_of(content_type).ok_or_else(malformed)?;
    let delimiter = format!("\r\n--{boundary}");
    let delimiter = delimiter.as_bytes();
    // The first one may stand at the very start, without its line break.
    let mut rest = match body.strip_prefix(&delimiter[2..]) {
        Some(rest) => rest,
        None => &body[find(body, delimiter).ok_or_else(malformed)? + delimiter.len()..],
    };
    let mut parts = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        // Blanks may follow a delimiter (transport padding).
        let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        rest = rest[blanks..].strip_prefix(b"\r\n").ok_or_else(malformed)?;
        if parts.len() >= PARTS_MAX {
            return Err(Why::TooMuch { max: PARTS_MAX }.fault());
        }
        // The content of a part without any header begins at once.
        let head_len = if rest.starts_with(b"\r\n") { 0 } else { head_end(rest).ok_or_else(malformed)? };
        let (head, after) = rest.split_at(head_len);
        // The line break of an empty content is the delimiter's own: it is looked for from the break that ends the head.
        let end = find(after, delimiter).ok_or_else(malformed)?;
        let bytes = after.get(2..end.max(2)).ok_or_else(malformed)?;
        parts.push(part(head, if end < 2 { &[] } else { bytes })?);
        rest = &after[end + delimiter.len()..];
    }
}

/// Octets of a head up to the line break that ends its last line, its own empty line left out.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let within = &bytes[..bytes.len().min(HEAD_MAX)];
    find(within, b"\r\n\r\n").map(|at| at + 2)
}

/// Where `what`, which begins with CR, first stands.
fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|b| *b == b'\r') {
        let at = from + at;
        if bytes[at..].starts_with(what) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

fn part<'r>(head: &[u8], bytes: &'r [u8]) -> Result<Part<'r>, Fault> {
    let head = std::str::from_utf8(head).map_err(|_| malformed())?;
    let (mut name, mut filename, mut extended, mut content_type) = (None, None, None, String::new());
    for line in head.split("\r\n").filter(|line| !line.is_empty()) {
        let (field, value) = line.split_once(':').ok_or_else(malformed)?;
        match field.to_ascii_lowercase().as_str() {
            "content-disposition" => {
                let (kind, params) = value.split_once(';').ok_or_else(malformed)?;
                if !kind.trim().eq_ignore_ascii_case("form-data") {
                    return Err(malformed());
                }
                for (param, value) in Params::new(params) {
                    match param.as_str() {
                        "name" => name = Some(value),
                        "filename" => filename = Some(value),
                        "filename*" => extended = extended_value(&value),
                        _ => {}
                    }
                }
            }
            "content-type" => content_type = value.trim().to_owned(),
            "content-transfer-encoding" => {
                let known = ["binary", "8bit", "7bit"].iter().any(|known| value.trim().eq_ignore_ascii_case(known));
                if !known {
                    return Err(malformed());
                }
            }
            _ => {}
        }
    }
    let name = name.ok_or_else(malformed)?;
    Ok(Part { name, filename: extended.or(filename), content_type, bytes })
}

/// `UTF-8''%E6%B7%BB` (RFC 8187); `None`: another charset, or not one.
fn extended_value(value: &str) -> Option<String> {
    let mut parts = value.splitn(3, '\'');
    let (charset, _language, text) = (parts.next()?, parts.next()?, parts.next()?);
    charset.eq_ignore_ascii_case("utf-8").then(|| percent_decode(text, false))?
}

/// `; name="value"; other=value`: names in lower case. In quotes, `\"` and `\\` are escapes and any other `\` is itself, as the
/// name of a file on another system; `%22`, `%0D` and `%0A` are what browsers write for characters that would break the line.
struct Params<'a> {
    rest: &'a str,
}

impl<'a> Params<'a> {
    fn new(rest: &'a str) -> Self {
        Params { rest }
    }

    fn value(&mut self) -> String {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let end = self.rest.find(';').unwrap_or(self.rest.len());
            let value = self.rest[..end].trim().to_owned();
            self.rest = &self.rest[end..];
            return value;
        };
        let mut out = String::new();
        let mut chars = quoted.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &quoted[at + 1..];
                    return out.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n");
                }
                '\\' if quoted[at + 1..].starts_with(['"', '\\']) => out.extend(chars.next().map(|(_, c)| c)),
                c => out.push(c),
            }
        }
        self.rest = "";
        out
    }
}

impl Iterator for Params<'_> {
    type Item = (String, String);

    fn next(&mut self) -> Option<Self::Item> {
        self.rest = self.rest.trim_start_matches([';', ' ', '\t']);
        let (name, rest) = self.rest.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        self.rest = rest.trim_start_matches([' ', '\t']);
        let value = self.value();
        Some((name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=----x'y";

    fn read(body: &[u8]) -> Result<Vec<Part<'_>>, Fault> {
        parts(body, TYPE)
    }

    #[test]
    fn what_clients_send_is_read() {
        let body = "preamble\r\n------x'y\r\nContent-Disposition: form-data; name=\"to\"\r\n\r\n[{\"a\":1}]\r\n------x'y \r\n\
            Content-Disposition: form-data; name=\"attachment1\"; filename=\"添付.txt\"\r\nContent-Type: text/plain\r\n\
            Content-Length: 6\r\nContent-Transfer-Encoding: binary\r\n\r\na\r\n--b\r\n\r\n------x'y\r\n\
            content-disposition: form-data; filename*=UTF-8''%E6%B7%BB.txt; filename=\"x.txt\"; name=b\r\n\r\n\r\n------x'y\r\n\
            Content-Disposition: form-data; name=\"q\\\"%22\\n\"; filename=\"\"\r\n\r\n\r\n------x'y--\r\nepilogue";
        let parts = read(body.as_bytes()).expect("well-formed");
        let shown: Vec<_> =
            parts.iter().map(|p| (p.name.as_str(), p.filename.as_deref(), p.content_type.as_str(), p.bytes)).collect();
        assert_eq!(
            shown,
            [
                ("to", None, "", &b"[{\"a\":1}]"[..]),
                ("attachment1", Some("添付.txt"), "text/plain", b"a\r\n--b\r\n"),
                ("b", Some("添.txt"), "", b""),
                ("q\"\"\\n", Some(""), "", b""),
            ]
        );
    }

    #[test]
    fn what_is_cut_or_broken_is_refused() {
        let good = "------x'y\r\nContent-Disposition: form-data; name=a\r\n\r\nv\r\n------x'y--";
        assert!(read(good.as_bytes()).is_ok());
        for end in 0..good.len() {
            assert!(read(&good.as_bytes()[..end]).is_err(), "cut at {end}");
        }
        for broken in [
            "------x'y\r\n\r\nv\r\n------x'y--",
            "------x'y\r\nContent-Disposition: attachment; name=a\r\n\r\nv\r\n------x'y--",
            "------x'y\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\nv\r\n------x'y--",
            "------x'y\r\nno colon\r\n\r\nv\r\n------x'y--",
            "------x'y\nContent-Disposition: form-data; name=a\n\nv\n------x'y--",
        ] {
            assert!(read(broken.as_bytes()).is_err(), "{broken:?}");
        }
        for wrong in ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"a \""] {
            assert!(parts(good.as_bytes(), wrong).is_err(), "{wrong:?}");
        }
        let long = format!("------x'y\r\nX: {}\r\n\r\nv\r\n------x'y--", "y".repeat(HEAD_MAX));
        assert!(read(long.as_bytes()).is_err());
    }

    #[test]
    fn parts_are_bounded() {
        let one = "\r\n------x'y\r\nContent-Disposition: form-data; name=a\r\n\r\nv";
        let many = |n| format!("{}\r\n------x'y--", one.repeat(n));
        assert_eq!(read(many(PARTS_MAX).as_bytes()).map(|p| p.len()), Ok(PARTS_MAX));
        assert_eq!(read(many(PARTS_MAX + 1).as_bytes()), Err(Why::TooMuch { max: PARTS_MAX }.fault()));
    }

    proptest::proptest! {
        /// Any octets: no panic, and every part's content is in the body.
        #[test]
        fn any_body_is_read_or_refused(body in "(\r\n|--B|name=|Content-Disposition: form-data; |\"|\\\\|;|[a-z]|\r|\n){0,40}") {
            let _ = parts(body.as_bytes(), "multipart/form-data; boundary=B");
        }

        /// What goes in comes out.
        #[test]
        fn content_comes_back(content in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut body = b"--Qq\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n".to_vec();
            body.extend_from_slice(&content);
            body.extend_from_slice(b"\r\n--Qq--\r\n");
            proptest::prop_assume!(find(&content, b"\r\n--Qq").is_none());
            let read = parts(&body, "multipart/form-data; boundary=\"Qq\"").expect("well-formed");
            proptest::prop_assert_eq!(read[0].bytes, &content[..]);
        }
    }
}
