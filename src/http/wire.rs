//! Reads HTTP/1 heads and chunked bodies strictly, without sockets.
//!
//! In: bytes.  Out: a checked [`Head`], a [`Refusal`] with its status and words, or decoded octets.
//! Always: what two readers could understand differently is refused, never repaired (request smuggling): bare LF, bare
//! CR, NUL, folded lines, two lengths, a length beside Transfer-Encoding, a blank before the colon, two Hosts.
//! Sources: RFC 9112 §2.2, §3, §5, §6, §7.1 and §11.2; RFC 9110 §5.5; RFC 3986 §2.4 (decoded once).

use crate::http::exchange::path_of;

/// Octets of a request's or answer's head at most, its empty line included.
pub const HEAD_MAX: usize = 16 * 1024;
/// Header fields of a head at most.
pub const HEADERS_MAX: usize = 64;
/// Octets of a request target at most: longer than any filter that a person or program writes.
pub const TARGET_MAX: usize = 8 * 1024;
/// Octets of a chunk's size line at most; extensions are skipped.
const CHUNK_LINE_MAX: usize = 256;
/// Octets of a trailer section at most.
const TRAILER_MAX: usize = 4 * 1024;

/// Headers that end at the next hop (RFC 9110 §7.6.1) or that the front sets itself.
const NOT_FORWARDED: [&str; 13] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "host",
    "content-length",
    "forwarded",
];

/// The prefix of the headers that only the front may set.
pub const OWN_PREFIX: &str = "x-hikyaku-";

/// What is wrong with a request, in the words of its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// What to tell.
    pub words: &'static str,
}

const fn refuse<T>(status: u16, words: &'static str) -> Result<T, Refusal> {
    Err(Refusal { status, words })
}

/// A checked request head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The method, one of those in [`METHODS`].
    pub method: &'static str,
    /// The target, starting with `/`.
    pub target: String,
    /// Its path, decoded.
    pub path: String,
    /// HTTP/1.`minor`.
    pub minor: u8,
    /// The one Host, if any.
    pub host: Option<String>,
    /// What may be forwarded, in order.
    pub headers: Vec<(String, String)>,
    /// Octets of the body.
    pub content_length: u64,
    /// The connection may serve another request.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// The addresses of X-Forwarded-For, in order; believed from configured proxies only.
    pub forwarded_for: Vec<String>,
    /// Somebody passed it on, and says so: it has X-Forwarded-For or Forwarded.
    pub is_forwarded: bool,
}

/// The methods that get through; others are 501.
pub const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The length of the head at the start of `bytes`, empty line included; `None`: more is needed.
///
/// The first `checked` octets were looked at before, so that a client that sends octet by octet costs no more than another.
/// Refuses what is already known to be wrong, so that a broken client hears of it before its time is up.
pub fn head_length(bytes: &[u8], checked: usize) -> Result<Option<usize>, Refusal> {
    for (i, b) in bytes.iter().enumerate().skip(checked) {
        match b {
            0 => return refuse(400, "NUL in the head"),
            b'\n' if i == 0 || bytes[i - 1] != b'\r' => return refuse(400, "a line ends in a bare LF"),
            b'\n' if bytes[..=i].ends_with(b"\r\n\r\n") || i == 1 => {
                return if i < HEAD_MAX { Ok(Some(i + 1)) } else { refuse(431, "the head is over 16 KiB") };
            }
            b'\n' => {}
            _ if i > 0 && bytes[i - 1] == b'\r' => return refuse(400, "a bare CR in the head"),
            b' ' | b'\t' if i > 1 && bytes[i - 1] == b'\n' => return refuse(400, "a folded header line"),
            _ => {}
        }
        if i + 1 >= HEAD_MAX {
            return refuse(431, "the head is over 16 KiB");
        }
    }
    Ok(None)
}

/// Reads a whole request head, as [`head_length`] measured it.
pub fn read_head(bytes: &[u8]) -> Result<Head, Refusal> {
    if bytes.iter().take_while(|b| **b != b'\r').count() > TARGET_MAX {
        return refuse(414, "the request line is over 8 KiB");
    }
    let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut slots);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(n)) if n == bytes.len() => {}
        Err(httparse::Error::TooManyHeaders) => return refuse(431, "more than 64 header fields"),
        Err(httparse::Error::Version) => return refuse(505, "HTTP/1.0 and HTTP/1.1 only"),
        Ok(_) | Err(_) => return refuse(400, "not an HTTP/1 request"),
    }
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return refuse(400, "not an HTTP/1 request");
    };
    let Some(method) = METHODS.into_iter().find(|m| *m == method) else {
        return refuse(501, "this method is not implemented");
    };
    if !target.starts_with('/') || !target.bytes().all(|b| b.is_ascii_graphic()) || target.contains('#') {
        return refuse(400, "the target is not a path");
    }
    let Some(path) = path_of(target) else { return refuse(400, "the path has a broken %-escape") };
    // As a link, "//name" is another site; and browsers take a backslash for a slash, and drop tabs (URL Standard §4.4).
    if path.starts_with("//") || path.contains(|c: char| c == '\\' || c.is_control()) {
        return refuse(400, "the path begins with two slashes, or has a backslash or control character");
    }
    let mut head = Head {
        method,
        target: target.to_owned(),
        path,
        minor,
        host: None,
        headers: Vec::with_capacity(parsed.headers.len()),
        content_length: 0,
        keep_alive: minor >= 1,
        expects_continue: false,
        forwarded_for: Vec::new(),
        is_forwarded: false,
    };
    let mut lengths = 0;
    let mut named_by_connection: Vec<String> = Vec::new();
    for field in parsed.headers.iter() {
        let name = field.name.to_ascii_lowercase();
        if !field.value.iter().all(|b| *b == b'\t' || (b' '..=b'~').contains(b)) {
            return refuse(400, "a header value is not printable ASCII");
        }
        let value = String::from_utf8_lossy(field.value).trim().to_owned();
        head.is_forwarded |= matches!(name.as_str(), "x-forwarded-for" | "forwarded");
        match name.as_str() {
            "transfer-encoding" => {
                return refuse(400, "Transfer-Encoding is not taken in requests: send Content-Length");
            }
            "content-length" => {
                lengths += 1;
                if lengths > 1 {
                    return refuse(400, "more than one Content-Length");
                }
                head.content_length = match digits(&value) {
                    Some(n) => n,
                    None => return refuse(400, "Content-Length is not a number"),
                };
            }
            "host" if head.host.is_some() => return refuse(400, "more than one Host"),
            "host" => head.host = Some(value.clone()),
            "connection" => {
                for token in value.split(',').map(|t| t.trim().to_ascii_lowercase()) {
                    match token.as_str() {
                        "close" => head.keep_alive = false,
                        "keep-alive" if minor == 0 => head.keep_alive = true,
                        _ => named_by_connection.push(token),
                    }
                }
            }
            "expect" if value.eq_ignore_ascii_case("100-continue") => head.expects_continue = minor >= 1,
            "expect" => return refuse(417, "only 100-continue can be expected"),
            "x-forwarded-for" => head.forwarded_for.extend(value.split(',').map(|a| a.trim().to_owned())),
            _ => {}
        }
        let ours = name.starts_with(OWN_PREFIX) || name == "x-forwarded-for";
        if !ours && !NOT_FORWARDED.contains(&name.as_str()) {
            head.headers.push((name, value));
        }
    }
    // A header that Connection names is for us alone; "close, Cookie" must not smuggle one past a check either way.
    head.headers.retain(|(name, _)| !named_by_connection.contains(name));
    if head.host.is_none() && minor >= 1 {
        return refuse(400, "HTTP/1.1 needs a Host");
    }
    if head.content_length > 0 && matches!(method, "GET" | "HEAD") {
        return refuse(400, "GET and HEAD take no body");
    }
    Ok(head)
}

/// How an answer's body ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// There is none.
    Empty,
    /// After this many octets.
    Length(u64),
    /// At its last chunk.
    Chunked,
}

/// The head of an answer: of our own server to the front, or of the front to the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnswerHead {
    /// The status code.
    pub status: u16,
    /// Its headers without framing and hop-by-hop ones; names in lower case.
    pub headers: Vec<(String, String)>,
    /// How the body ends, if there is one; for HEAD the caller knows better.
    pub framing: Framing,
}

impl AnswerHead {
    /// Takes a header out; empty when it is absent.
    pub fn take(&mut self, name: &str) -> String {
        let at = self.headers.iter().position(|(n, _)| n == name);
        at.map(|at| self.headers.remove(at).1).unwrap_or_default()
    }

    /// The first value of a header; empty when it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }
}

/// Reads a whole answer head, as [`head_length`] measured it. `None`: it is not one, or its body has no visible end.
pub fn read_answer(bytes: &[u8]) -> Option<AnswerHead> {
    let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut slots);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) | Err(_) => return None,
    }
    let status = parsed.code?;
    let mut headers = Vec::new();
    let mut framing = None;
    for field in parsed.headers.iter() {
        let name = field.name.to_ascii_lowercase();
        let value = std::str::from_utf8(field.value).ok()?.trim().to_owned();
        match name.as_str() {
            "content-length" if framing.is_none() => framing = Some(Framing::Length(digits(&value)?)),
            "transfer-encoding" if framing.is_none() && value.eq_ignore_ascii_case("chunked") => {
                framing = Some(Framing::Chunked);
            }
            "content-length" | "transfer-encoding" => return None,
            name if NOT_FORWARDED.contains(&name) => {}
            _ => headers.push((name, value)),
        }
    }
    let framing = match (status, framing) {
        (100..=199 | 204 | 304, _) => Framing::Empty,
        (_, Some(framing)) => framing,
        (_, None) => return None,
    };
    Some(AnswerHead { status, headers, framing })
}

fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Takes a body apart as it arrives.
#[derive(Debug)]
pub struct BodyDecoder {
    state: Decoding,
}

#[derive(Debug)]
enum Decoding {
    Length { left: u64 },
    ChunkLine { line: Vec<u8> },
    Chunk { left: u64 },
    ChunkEnd { cr_seen: bool },
    Trailer { line: usize, total: usize, cr_seen: bool },
    Done,
}

/// The body is not framed as its head said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the answer's chunks are broken")]
pub struct BadChunk;

impl BodyDecoder {
    /// A decoder for a body of this framing.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Empty | Framing::Length(0) => Decoding::Done,
            Framing::Length(left) => Decoding::Length { left },
            Framing::Chunked => Decoding::ChunkLine { line: Vec::new() },
        };
        BodyDecoder { state }
    }

    /// The end was seen. An input that ends before that was cut.
    pub fn is_done(&self) -> bool {
        matches!(self.state, Decoding::Done)
    }

    /// Appends the octets that `input` carries to `out`; what follows the end is ignored.
    pub fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), BadChunk> {
        while !input.is_empty() {
            match &mut self.state {
                Decoding::Done => return Ok(()),
                Decoding::Length { left } => {
                    let n = take(input, *left);
                    out.extend_from_slice(&input[..n]);
                    *left -= n as u64;
                    input = &input[n..];
                    if *left == 0 {
                        self.state = Decoding::Done;
                    }
                }
                Decoding::ChunkLine { line } => {
                    line.push(input[0]);
                    input = &input[1..];
                    if line.len() > CHUNK_LINE_MAX {
                        return Err(BadChunk);
                    }
                    if line.ends_with(b"\r\n") {
                        let size = chunk_size(line)?;
                        self.state = match size {
                            0 => Decoding::Trailer { line: 0, total: 0, cr_seen: false },
                            left => Decoding::Chunk { left },
                        };
                    }
                }
                Decoding::Chunk { left } => {
                    let n = take(input, *left);
                    out.extend_from_slice(&input[..n]);
                    *left -= n as u64;
                    input = &input[n..];
                    if *left == 0 {
                        self.state = Decoding::ChunkEnd { cr_seen: false };
                    }
                }
                Decoding::ChunkEnd { cr_seen } => {
                    match (input[0], *cr_seen) {
                        (b'\r', false) => *cr_seen = true,
                        (b'\n', true) => self.state = Decoding::ChunkLine { line: Vec::new() },
                        _ => return Err(BadChunk),
                    }
                    input = &input[1..];
                }
                Decoding::Trailer { line, total, cr_seen } => {
                    *total += 1;
                    if *total > TRAILER_MAX {
                        return Err(BadChunk);
                    }
                    match (input[0], *cr_seen) {
                        (b'\r', false) => *cr_seen = true,
                        (b'\n', true) if *line == 0 => self.state = Decoding::Done,
                        (b'\n', true) => (*line, *cr_seen) = (0, false),
                        (b'\n', false) | (_, true) => return Err(BadChunk),
                        _ => *line += 1,
                    }
                    input = &input[1..];
                }
            }
        }
        Ok(())
    }
}

fn take(input: &[u8], left: u64) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(input.len())
}

fn chunk_size(line: &[u8]) -> Result<u64, BadChunk> {
    let text = std::str::from_utf8(line).map_err(|_| BadChunk)?;
    let size = text.split([';', '\r']).next().unwrap_or_default().trim_end();
    if size.is_empty() || size.len() > 12 || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(BadChunk);
    }
    u64::from_str_radix(size, 16).map_err(|_| BadChunk)
}

/// The reason phrase of a status code.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        303 => "See Other",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        401 => "Unauthorized",
        409 => "Conflict",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "Answer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Head, Refusal> {
        match head_length(text.as_bytes(), 0)? {
            Some(n) => read_head(&text.as_bytes()[..n]),
            None => Err(Refusal { status: 0, words: "unfinished" }),
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(64));
        let huge = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "y".repeat(HEAD_MAX));
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(TARGET_MAX));
        let cases: &[(&str, u16)] = &[
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n\tfolded\r\n\r\n", 400),
            ("GET / HTTP/1.1\nHost: a\n\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: caf\u{e9}\r\n\r\n", 400),
            ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET //evil.example/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /%2Fevil.example/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /\\evil.example/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /%5cevil.example/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /%09/evil.example/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("\x16\x03\x01\x02\x00", 400),
            ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
            ("get / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", 417),
            (&many, 431),
            (&huge, 431),
            (&long, 414),
        ];
        for (text, status) in cases {
            let shown = &text[..text.len().min(80)];
            match read(text) {
                Err(refusal) => assert_eq!(refusal.status, *status, "{shown:?}: {}", refusal.words),
                Ok(head) => panic!("{shown:?} was taken: {head:?}"),
            }
        }
    }

    #[test]
    fn a_good_head_is_stripped_of_what_must_not_pass() {
        let head = read(
            "POST /x?y HTTP/1.1\r\nHost: a:1\r\nX-Hikyaku-Door: control\r\nX-hikyaku-peer: uid=0\r\nConnection: close, Cookie\r\n\
             Cookie: z\r\nAccept: q\r\nTE: trailers\r\nX-Forwarded-For: 192.0.2.1, 192.0.2.2\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
        )
        .expect("well-formed");
        assert_eq!(head.headers, [("accept".to_owned(), "q".to_owned())]);
        assert_eq!((head.method, head.target.as_str(), head.content_length), ("POST", "/x?y", 3));
        assert!(!head.keep_alive && head.expects_continue);
        assert_eq!(head.forwarded_for, ["192.0.2.1", "192.0.2.2"]);
        assert!(head.is_forwarded);
        assert!(read("GET / HTTP/1.0\r\nForwarded: for=a\r\n\r\n").expect("well-formed").is_forwarded);
        let old = read("GET / HTTP/1.0\r\n\r\n").expect("no Host is needed");
        assert!(!old.keep_alive && !old.is_forwarded);
        assert!(read("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").expect("well-formed").keep_alive);
    }

    #[test]
    fn a_path_is_decoded_once_and_the_log_learns_no_secret_by_another_spelling() {
        let path = |target: &str| read(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).expect("well-formed").path;
        assert_eq!([path("/sign%2Din?a=%2F"), path("/a%2525b")], ["/sign-in", "/a%25b"]);
        for target in ["/owner/TOKEN", "/%6Fwner/TOKEN", "/owner%2FTOKEN"] {
            assert_eq!(crate::http::exchange::path_for_log(&path(target)), "/owner/…", "{target}");
        }
    }

    #[test]
    fn chunks_come_apart_at_every_split_and_a_cut_is_seen() {
        let wire = b"5;ext=1\r\nhello\r\n1\r\n,\r\nA\r\n 0123\r\n789\r\n0\r\nTrailer: x\r\n\r\n";
        for step in 1..wire.len() {
            let mut decoder = BodyDecoder::new(Framing::Chunked);
            let mut out = Vec::new();
            for piece in wire.chunks(step) {
                assert!(!decoder.is_done());
                decoder.feed(piece, &mut out).expect("well-formed");
            }
            assert!(decoder.is_done());
            assert_eq!(out, b"hello, 0123\r\n789");
        }
        for cut in 1..wire.len() {
            let mut decoder = BodyDecoder::new(Framing::Chunked);
            decoder.feed(&wire[..cut], &mut Vec::new()).expect("well-formed so far");
            assert!(!decoder.is_done(), "cut at {cut}");
        }
        for broken in [&b"x\r\n"[..], b"\r\n", b"-1\r\n", b"3\r\nabcd", b"fffffffffffff\r\n", b"0\r\n\n"] {
            let mut decoder = BodyDecoder::new(Framing::Chunked);
            assert_eq!(decoder.feed(broken, &mut Vec::new()), Err(BadChunk), "{broken:?}");
        }
    }

    proptest::proptest! {
        /// Any octets: no panic, and what is taken can be read in one way only.
        #[test]
        fn any_head_is_refused_or_unambiguous(tail in "[ -~\r\n\t\0]{0,200}", start in "(GET|POST) /[a-z]{0,9} HTTP/1\\.[01]\r\n(Host: a\r\n)?(Content-Length: [0-9]{1,3}\r\n)?") {
            let text = format!("{start}{tail}\r\n\r\n");
            if let Ok(head) = read(&text) {
                let end = head_length(text.as_bytes(), 0).ok().flatten().expect("it was read");
                let lower = text[..end].to_ascii_lowercase();
                proptest::prop_assert!(!lower.contains("\ntransfer-encoding"));
                proptest::prop_assert!(lower.matches("\ncontent-length:").count() <= 1);
                proptest::prop_assert!(!lower.replace("\r\n", "").contains(['\r', '\n', '\0']));
                proptest::prop_assert!(head.headers.iter().all(|(name, _)| !name.starts_with(OWN_PREFIX)));
            }
        }

        /// A chunked body reads the same however it is split, or is refused the same.
        #[test]
        fn chunks_read_the_same_however_they_are_split(body in "[0-9a-f;\r\nxy]{0,60}", at in 0_usize..60) {
            let whole = |pieces: &[&[u8]]| {
                let mut decoder = BodyDecoder::new(Framing::Chunked);
                let mut out = Vec::new();
                let result = pieces.iter().try_for_each(|p| decoder.feed(p, &mut out));
                (result, decoder.is_done(), out)
            };
            let bytes = body.as_bytes();
            let (a, b) = bytes.split_at(at.min(bytes.len()));
            proptest::prop_assert_eq!(whole(&[bytes]), whole(&[a, b]));
        }
    }
}
