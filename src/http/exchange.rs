//! One request and its response, as values: what routes take and give.
//!
//! In: nothing of any HTTP library.  Out: [`Request`], [`Response`].
//! Always: a response carries the security headers of [`Response::headers_for_browsers`], whatever the route forgot.
//! Sources: RFC 9110, RFC 3986 §2.1, CSP Level 3.

use std::{io, net::IpAddr, sync::OnceLock, time::Duration};

use serde::Serialize;

/// Query pairs that are read at most; more are ignored.
const QUERY_PAIRS_MAX: usize = 64;

/// What the request wants done. Other methods never pass the front.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// Read.
    Get,
    /// Read, without the body.
    Head,
    /// Act.
    Post,
    /// Known to HTTP, used by no route: 405.
    Other,
}

impl Method {
    /// The method of that token.
    pub fn of(token: &str) -> Self {
        match token {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            _ => Method::Other,
        }
    }
}

/// By which door a request came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    /// `[http].address`: the page and the machine endpoints.
    Public,
    /// `control.sock`: the operator.
    Control,
}

impl Door {
    /// The word in the front's own header.
    pub fn word(self) -> &'static str {
        match self {
            Door::Public => "public",
            Door::Control => "control",
        }
    }

    /// The door of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Door::Public, Door::Control].into_iter().find(|d| d.word() == word)
    }
}

/// Who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Peer {
    /// Somebody at this address.
    Address(IpAddr),
    /// A Unix user, told by the kernel (SO_PEERCRED).
    User(u32),
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Peer::Address(ip) => write!(f, "{ip}"),
            Peer::User(uid) => write!(f, "uid={uid}"),
        }
    }
}

impl std::str::FromStr for Peer {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        match s.strip_prefix("uid=") {
            Some(uid) => uid.parse().map(Peer::User).map_err(|_| ()),
            None => s.parse().map(Peer::Address).map_err(|_| ()),
        }
    }
}

/// The headers by which a page knows a browser again, and sees that a request came from a page of its own.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Browser {
    /// `Host`, or empty.
    pub host: String,
    /// `Cookie`, or empty. Never printed.
    pub cookie: String,
    /// `Origin`, or empty (RFC 6454).
    pub origin: String,
    /// `Sec-Fetch-Site`, or empty (W3C Fetch Metadata).
    pub fetch_site: String,
    /// `User-Agent`, or empty.
    pub user_agent: String,
    /// `Hikyaku-Looks-Again`: a page of ours asks by itself, and nobody pressed anything.
    pub looks_again: bool,
    /// The request came by TLS: ours, or that of a proxy that is believed.
    pub is_secure: bool,
}

impl std::fmt::Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Browser").field("host", &self.host).field("is_secure", &self.is_secure).finish_non_exhaustive()
    }
}

impl Browser {
    /// The browser says that a page of somebody else's sent this: another site's, or another origin's. Programs say neither, and
    /// nothing of them is foreign.
    pub fn is_foreign(&self) -> bool {
        if !matches!(self.fetch_site.as_str(), "" | "same-origin" | "none") {
            return true;
        }
        let scheme = if self.is_secure { "https" } else { "http" };
        !self.origin.is_empty() && !self.origin.eq_ignore_ascii_case(&format!("{scheme}://{}", self.host))
    }

    /// The value of a cookie; the first, where there are several of the name.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookie.split(';').filter_map(|pair| pair.trim().split_once('=')).find(|(n, _)| *n == name).map(|(_, v)| v)
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// The decoded path, starting with `/`.
    pub path: String,
    /// The decoded query, in order.
    pub query: Vec<(String, String)>,
    /// `Accept-Language`, or empty.
    pub accept_language: String,
    /// `Content-Type` of the body, or empty.
    pub content_type: String,
    /// `Idempotency-Key`, or empty.
    pub idempotency_key: String,
    /// What a browser says of itself and of where the request comes from.
    pub browser: Browser,
    /// The body, whole; bounded by the front.
    pub body: Vec<u8>,
    /// By which door it came.
    pub door: Door,
    /// Who asks.
    pub peer: Peer,
    /// Nobody passed it on: the peer itself is at the other end of the connection, and is no proxy.
    pub is_direct: bool,
    /// The account that it turned out to be of, once somebody has checked that: large answers are counted by it.
    pub account: OnceLock<String>,
}

impl Request {
    /// A request for a target as the request line has it; `None` when its escapes are broken.
    pub fn of_target(method: Method, target: &str, door: Door, peer: Peer) -> Option<Self> {
        let (_, query) = target.split_once('?').unwrap_or((target, ""));
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|p| !p.is_empty()).take(QUERY_PAIRS_MAX) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((percent_decode(name, true)?, percent_decode(value, true)?));
        }
        Some(Request {
            method,
            path: path_of(target)?,
            query: pairs,
            accept_language: String::new(),
            content_type: String::new(),
            idempotency_key: String::new(),
            browser: Browser::default(),
            body: Vec::new(),
            door,
            peer,
            is_direct: true,
            account: OnceLock::new(),
        })
    }

    /// The address that asks: of one who came by a socket of this machine, loopback.
    pub fn source(&self) -> IpAddr {
        match self.peer {
            Peer::Address(ip) => ip.to_canonical(),
            Peer::User(_) => IpAddr::from([127, 0, 0, 1]),
        }
    }

    /// Who asks is on this machine. What a proxy passes on never is: what it says of its client is only said.
    pub fn is_near(&self) -> bool {
        match (self.door, &self.peer) {
            (Door::Control, _) | (Door::Public, Peer::User(_)) => true,
            (Door::Public, Peer::Address(ip)) => self.is_direct && ip.to_canonical().is_loopback(),
        }
    }

    /// The first value of a query name; empty when it is absent.
    pub fn param(&self, name: &str) -> &str {
        self.query.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// A query flag: present, and neither `0` nor `false`.
    pub fn flag(&self, name: &str) -> bool {
        self.query.iter().any(|(n, v)| n == name && v != "0" && v != "false")
    }
}

/// A body that is written piece by piece: a failure ends the answer visibly, without its last chunk.
pub type Stream = Box<dyn FnOnce(&mut dyn io::Write) -> io::Result<()> + Send>;

/// What a response carries.
pub enum Body {
    /// All of it.
    Bytes(Vec<u8>),
    /// Written while it is made, in chunks.
    Stream(Stream),
}

/// One response.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// `Content-Type`; empty: none.
    pub content_type: &'static str,
    /// Further headers; names are ours, values are printable ASCII.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
    /// Seconds that a browser may keep it; 0: `no-store`.
    pub keep_seconds: u32,
    /// What a browser may do with it.
    pub policy: Policy,
    /// How long the front keeps it back: who guesses passwords waits, and no thread waits with him. At most [`LATE_MAX`].
    pub late: Duration,
}

/// How long an answer is kept back at most.
pub const LATE_MAX: Duration = Duration::from_secs(20);

/// What a browser may do with a response (Content-Security-Policy Level 3).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Policy {
    /// Show it: our stylesheet and pictures, no script, no frame.
    #[default]
    Bare,
    /// A page of the console: our stylesheet, our script, frames of our own.
    Console,
    /// The same where the address of the page is a secret: what the page loads does not tell it on.
    Secret,
    /// These sources of styles, nothing else.
    Styles(String),
    /// HTML that came with a mail, shown in a frame of ours: no script, no form, nothing from the network.
    Mail,
}

impl Policy {
    fn words(&self) -> String {
        let (styles, more) = match self {
            Policy::Bare => ("'self'", "form-action 'self'; frame-ancestors 'none'"),
            Policy::Console | Policy::Secret => (
                "'self'",
                "script-src 'self'; connect-src 'self'; frame-src 'self'; form-action 'self'; frame-ancestors 'none'",
            ),
            Policy::Styles(styles) => (styles.as_str(), "form-action 'self'; frame-ancestors 'none'"),
            Policy::Mail => {
                return "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; \
                        form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
                    .to_owned();
            }
        };
        format!("default-src 'none'; style-src {styles}; img-src 'self'; base-uri 'none'; {more}")
    }
}

/// JSON Lines: one value a line.
pub const JSON_LINES: &str = "application/jsonl; charset=utf-8";
/// JSON.
pub const JSON: &str = "application/json; charset=utf-8";
/// Plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// HTML.
pub const HTML: &str = "text/html; charset=utf-8";

/// The error shape of every machine route.
#[derive(Serialize)]
struct ErrorLine<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    field: &'a str,
}

impl Response {
    /// A whole body.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Response {
            status,
            content_type,
            headers: Vec::new(),
            body: Body::Bytes(body.into()),
            keep_seconds: 0,
            policy: Policy::Bare,
            late: Duration::ZERO,
        }
    }

    /// Plain text.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Response::new(status, TEXT, text.into().into_bytes())
    }

    /// A page.
    pub fn html(status: u16, html: String) -> Self {
        Response::new(status, HTML, html.into_bytes())
    }

    /// One JSON value and a newline.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        Response::new(status, JSON, line(value))
    }

    /// JSON Lines.
    pub fn lines<T: Serialize>(rows: &[T]) -> Self {
        let mut body = Vec::with_capacity(rows.len() * 256);
        for row in rows {
            body.extend_from_slice(&line(row));
        }
        Response::new(200, JSON_LINES, body)
    }

    /// `{"error": "...", "field": "..."}`; an empty field is left out.
    pub fn error(status: u16, error: &str, field: &str) -> Self {
        Response::json(status, &ErrorLine { error, field })
    }

    /// Written piece by piece.
    pub fn stream(content_type: &'static str, stream: Stream) -> Self {
        Response {
            status: 200,
            content_type,
            headers: Vec::new(),
            body: Body::Stream(stream),
            keep_seconds: 0,
            policy: Policy::Bare,
            late: Duration::ZERO,
        }
    }

    /// The same with another header. Characters that do not belong in a header become `?`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let value: String = value.into().chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect();
        self.headers.push((name, value));
        self
    }

    /// See other: after an act, and where a page is elsewhere (RFC 9110 §15.4.4).
    pub fn see_other(to: &str) -> Self {
        Response::text(303, "").with("Location", to)
    }

    /// The headers that keep a browser safe: no script but ours, no framing, no sniffing, no copies left behind.
    pub fn headers_for_browsers(&self) -> Vec<(&'static str, String)> {
        let cache = match self.keep_seconds {
            0 => "no-store".to_owned(),
            seconds => format!("public, max-age={seconds}, immutable"),
        };
        // Other sites never learn an address of ours. Our own forms need it: without any referrer a browser sends them with
        // `Origin: null`, as if they were somebody else's (Fetch, "append a request Origin header").
        let referrer = match self.policy {
            Policy::Console => "same-origin",
            // Of the address only our host goes along, and forms still carry their true origin: a secret in the path or query
            // does not come into the log of a proxy by way of our own stylesheet.
            Policy::Secret => "strict-origin",
            Policy::Bare | Policy::Styles(_) | Policy::Mail => "no-referrer",
        };
        let frames = if self.policy == Policy::Mail { "SAMEORIGIN" } else { "DENY" };
        vec![
            ("Content-Security-Policy", self.policy.words()),
            ("X-Content-Type-Options", "nosniff".to_owned()),
            ("X-Frame-Options", frames.to_owned()),
            ("Referrer-Policy", referrer.to_owned()),
            ("Cross-Origin-Opener-Policy", "same-origin".to_owned()),
            ("Cross-Origin-Resource-Policy", "same-origin".to_owned()),
            ("Cache-Control", cache),
        ]
    }
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut out = serde_json::to_vec(value).expect("rows are structs of strings and numbers");
    out.push(b'\n');
    out
}

/// The decoded path of a target: the one by which everything is decided, from the first limit to the last page. `None`: its escapes
/// are broken.
pub fn path_of(target: &str) -> Option<String> {
    percent_decode(target.split('?').next().unwrap_or(target), false)
}

/// A path as our log may have it: the links of application owners are secrets.
pub fn path_for_log(path: &str) -> &str {
    const OWNER: &str = "/owner/";
    if path.starts_with(OWNER) { "/owner/…" } else { path }
}

/// Decodes `%41` (and `+` in a query). `None`: a broken escape, a NUL, or bytes that are no UTF-8.
pub fn percent_decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(out).ok().filter(|s| !s.contains('\0'))
}

/// Encodes everything but unreserved characters (RFC 3986 §2.3).
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(b)),
            _ => {
                out.push('%');
                for half in [b >> 4, b & 15] {
                    out.push(char::from_digit(u32::from(half), 16).expect("a nibble").to_ascii_uppercase());
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(target: &str) -> Option<Request> {
        Request::of_target(Method::Get, target, Door::Public, Peer::User(0))
    }

    #[test]
    fn a_target_is_decoded_or_refused() {
        let request = get("/message/a%2Fb?key=%E9%A3%9B+x%2By&held&all=0").expect("well-formed");
        assert_eq!(request.path, "/message/a/b");
        assert_eq!(request.param("key"), "飛 x+y");
        assert!(request.flag("held") && !request.flag("all") && !request.flag("other"));
        for broken in ["/%", "/%4", "/%zz", "/%ff", "/?a=%00", "/%00"] {
            assert!(get(broken).is_none(), "{broken}");
        }
        assert_eq!(get(&format!("/?{}", "a=b&".repeat(1000))).map(|r| r.query.len()), Some(QUERY_PAIRS_MAX));
    }

    #[test]
    fn the_log_learns_no_secret_of_a_path() {
        assert_eq!([path_for_log("/owner/abc"), path_for_log("/owner-links")], ["/owner/…", "/owner-links"]);
    }

    #[test]
    fn encoding_comes_back() {
        for text in ["", "a b", "飛脚@example.jp", "a&b=c%", "x/y?z#"] {
            assert_eq!(percent_decode(&percent_encode(text), true).as_deref(), Some(text));
        }
    }

    #[test]
    fn header_values_cannot_break_out() {
        let response = Response::text(200, "").with("X-Next", "a\r\nSet-Cookie: b");
        assert_eq!(response.headers[0].1, "a??Set-Cookie: b");
    }
}
