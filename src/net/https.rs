//! One HTTPS request at a time: what MTA-STS policies and TLS reports need, and nothing more. [`super::kept`] posts one after
//! another.
//!
//! In: a host, addresses that the caller has found and allowed, a path.  Out: status, content type and body, or why not.
//! Always: the certificate is checked for the host's name; no redirect is followed, no proxy, cookie or name is looked up,
//! nothing is decompressed; one deadline covers the whole exchange; what a hostile host can make us read and keep is
//! bounded by the caller's `body_max` and the constants below.
//! Sources: RFC 9110, RFC 9112, RFC 8461 §3.3, RFC 8460 §3.
//!
//! It speaks HTTP itself because a client library would resolve the name again, behind the guard against private
//! addresses, unless one builds on parts of it that it declares unstable; and would hold a thread for as long as a slow
//! host likes.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use async_io::{Async, Timer};
use futures_rustls::{TlsConnector, client::TlsStream};
use rustls::client::Resumption;
use smol::{
    future::FutureExt,
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
};

use super::{
    failure, stream,
    tls::{self, ClientTls, TlsFailure, Trust},
};

/// Addresses of a host that are tried; the first that takes the connection is the one.
pub(super) const ADDRESSES_MAX: usize = 4;
/// How long one address may take to connect, so that a dead one leaves time for the next.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Octets of a response's head, and of the trailers behind a chunked body.
pub(super) const HEAD_OCTETS_MAX: usize = 16 * 1024;
/// Header fields of a response.
const HEADERS_MAX: usize = 64;
/// Interim responses (100, 103) before the final one.
pub(super) const INTERIM_MAX: usize = 4;
/// Octets of a line that announces a chunk, extensions included.
const CHUNK_LINE_OCTETS_MAX: usize = 256;
/// Octets that may come over the connection for each of the body: chunks of one octet take six.
pub(super) const OVERHEAD_FACTOR: usize = 8;
/// Octets read at once.
pub(super) const READ_OCTETS: usize = 8 * 1024;

/// Whom to ask for what.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// The host's name, for which its certificate must be good; an address in its place must be in the certificate too.
    pub host: String,
    /// 443, but in tests.
    pub port: u16,
    /// Path and query, starting with a slash.
    pub path: String,
    /// Where the host is: found and allowed by the caller. Four are tried.
    pub addresses: Vec<IpAddr>,
    /// The media type that an answer with a 2xx status must have, such as `text/plain`; `None`: any.
    pub expect: Option<String>,
    /// Octets of the answer's body that are taken; more is [`HttpError::TooLarge`]. 0: the body is not read at all.
    pub body_max: usize,
    /// For the whole exchange.
    pub within: Duration,
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// As the host says; 3xx too, since nothing is followed.
    pub status: u16,
    /// The field `Content-Type` as it came; empty: none.
    pub content_type: String,
    /// Empty unless the status is 2xx.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HttpError {
    /// Such a request cannot be made.
    #[error("{0}")]
    Request(String),
    /// No address took the connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// The handshake failed, the certificate's check included.
    #[error("{words}")]
    Tls {
        /// Of which kind.
        failure: TlsFailure,
        /// In words.
        words: String,
    },
    /// The time was up before the answer was whole.
    #[error("no whole answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// The body is larger than is taken.
    #[error("the answer has more than {0} octets")]
    TooLarge(usize),
    /// The body is of another media type.
    #[error("the answer is of type {got:?}, not {want}")]
    WrongType {
        /// What it is.
        got: String,
        /// What it should be.
        want: String,
    },
    /// What came is no answer in HTTP/1.1, or was cut.
    #[error("{0}")]
    Protocol(String),
}

/// A client; clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) tls: ClientTls,
}

impl Client {
    /// A client that trusts these. Reads the system's roots from disk with [`Trust::System`].
    ///
    /// # Errors
    /// In words, when there is no root to trust: [`Trust::Anybody`] is none.
    pub fn new(trust: Trust) -> Result<Self, String> {
        let tls = tls::client_config(trust)?;
        if !tls.is_checked() {
            return Err("HTTPS without a check of the host's certificate".into());
        }
        let mut config = (*tls.config).clone();
        // Requests to one host are hours apart.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Client { tls: ClientTls { config: Arc::new(config), checked: true } })
    }

    /// Fetches.
    ///
    /// # Errors
    /// As [`HttpError`] has them; an answer with any status is none.
    pub async fn get(&self, fetch: &Fetch) -> Result<Response, HttpError> {
        self.exchange(fetch, "GET", "", &[]).await
    }

    /// Sends a body.
    ///
    /// # Errors
    /// As [`HttpError`] has them; an answer with any status is none.
    pub async fn post(&self, fetch: &Fetch, content_type: &str, body: &[u8]) -> Result<Response, HttpError> {
        self.exchange(fetch, "POST", content_type, body).await
    }

    async fn exchange(
        &self,
        fetch: &Fetch,
        method: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<Response, HttpError> {
        let head = head(fetch, method, content_type, body)?;
        let late = async {
            Timer::after(fetch.within).await;
            Err(HttpError::Timeout(fetch.within))
        };
        self.talk(fetch, &head, body).or(late).await
    }

    /// The handshake, with the certificate's check.
    pub(super) async fn encrypt(
        &self,
        host: &str,
        (socket, address): Connected,
    ) -> Result<TlsStream<Async<TcpStream>>, HttpError> {
        let name = tls::server_name(&self.tls, host, address).map_err(HttpError::Request)?;
        let connector = TlsConnector::from(self.tls.config.clone());
        connector.connect(name, socket).await.map_err(|e| {
            let e = failure::in_words(e);
            HttpError::Tls { failure: tls::failure_of(&e), words: e.to_string() }
        })
    }

    async fn talk(&self, fetch: &Fetch, head: &str, body: &[u8]) -> Result<Response, HttpError> {
        let connected = connect(&fetch.addresses, fetch.port).await?;
        let mut stream = self.encrypt(&fetch.host, connected).await?;
        let sent = async {
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body).await?;
            stream.flush().await
        };
        let sent = sent.await;
        let raw_max = HEAD_OCTETS_MAX * (INTERIM_MAX + 2) + OVERHEAD_FACTOR * fetch.body_max;
        let mut incoming = Incoming { stream, octets: Vec::new(), at: 0, left: raw_max, body_max: fetch.body_max };
        // A host may refuse a body before it has read it: then it is the answer that counts.
        match (read(&mut incoming, fetch).await, sent) {
            (Ok(response), _) => Ok(response),
            (Err(HttpError::Protocol(_)), Err(e)) => Err(HttpError::Protocol(format!("sending: {e}"))),
            (Err(e), _) => Err(e),
        }
    }
}

/// The request's head; everything in it is checked, so that no line can be smuggled in.
fn head(fetch: &Fetch, method: &str, content_type: &str, body: &[u8]) -> Result<String, HttpError> {
    let is_visible = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    let is_value = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if !fetch.path.starts_with('/') || !is_visible(&fetch.path) {
        return Err(HttpError::Request(format!("{:?} is no path", fetch.path)));
    }
    let expect = fetch.expect.as_deref().unwrap_or("*/*");
    if !is_visible(&fetch.host) || fetch.host.is_empty() || !is_value(content_type) || !is_value(expect) {
        return Err(HttpError::Request("host or media type has octets that no header can have".into()));
    }
    let bare = &fetch.host;
    let host = if bare.contains(':') { format!("[{bare}]") } else { bare.clone() };
    let host = if fetch.port == 443 { host } else { format!("{host}:{}", fetch.port) };
    let mut head = format!(
        "{method} {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: hikyaku\r\nAccept: {expect}\r\nAccept-Encoding: identity\r\n\
         Connection: close\r\n",
        fetch.path
    );
    if method != "GET" {
        head.push_str(&format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    Ok(head)
}

/// A connection, and to which address it leads.
pub(super) type Connected = (Async<TcpStream>, IpAddr);

/// Connects to the first of these addresses that takes it.
pub(super) async fn connect(addresses: &[IpAddr], port: u16) -> Result<Connected, HttpError> {
    let mut why = "no address".to_owned();
    for address in addresses.iter().take(ADDRESSES_MAX) {
        let to = SocketAddr::new(*address, port);
        let late = async {
            Timer::after(CONNECT_WITHIN).await;
            Err(io::Error::from(io::ErrorKind::TimedOut))
        };
        match stream::open(to, None).or(late).await {
            Ok(socket) => return Ok((socket, *address)),
            Err(e) => why = format!("{to}: {e}"),
        }
    }
    Err(HttpError::Connect(why))
}

/// What the head says about the rest.
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) length: Length,
    /// The field `Retry-After`, as it came.
    pub(super) retry_after: Option<String>,
    /// The host keeps the connection open behind this answer.
    pub(super) keeps: bool,
}

pub(super) enum Length {
    Octets(usize),
    Chunked,
    UntilClose,
}

async fn read<S: AsyncRead + Unpin>(incoming: &mut Incoming<S>, fetch: &Fetch) -> Result<Response, HttpError> {
    let Head { status, content_type, length, .. } = incoming.final_head().await?;
    let success = (200..300).contains(&status);
    if let Some(want) = fetch.expect.as_ref().filter(|_| success) {
        let got = content_type.split(';').next().unwrap_or_default().trim();
        if !got.eq_ignore_ascii_case(want) {
            return Err(HttpError::WrongType { got: got.to_owned(), want: want.clone() });
        }
    }
    let body = if !success || status == 204 || fetch.body_max == 0 {
        Vec::new()
    } else {
        match length {
            Length::Octets(octets) => incoming.exactly(octets).await?,
            Length::Chunked => incoming.chunks().await?,
            Length::UntilClose => incoming.rest().await?,
        }
    };
    Ok(Response { status, content_type, body })
}

/// What comes over the connection, within limits.
pub(super) struct Incoming<S> {
    pub(super) stream: S,
    pub(super) octets: Vec<u8>,
    /// Octets that are used up.
    pub(super) at: usize,
    /// Octets that may still come.
    pub(super) left: usize,
    pub(super) body_max: usize,
}

impl<S: AsyncRead + Unpin> Incoming<S> {
    /// Reads on; false: the host ended the connection in due form.
    pub(super) async fn more(&mut self) -> Result<bool, HttpError> {
        self.octets.drain(..self.at);
        self.at = 0;
        if self.left == 0 {
            return Err(HttpError::TooLarge(self.body_max));
        }
        let before = self.octets.len();
        self.octets.resize(before + READ_OCTETS.min(self.left), 0);
        let read = self.stream.read(&mut self.octets[before..]).await;
        let n = *read.as_ref().unwrap_or(&0);
        self.octets.truncate(before + n);
        self.left -= n;
        match read {
            Ok(n) => Ok(n > 0),
            Err(e) => Err(HttpError::Protocol(format!("the answer was cut: {e}"))),
        }
    }

    async fn needed(&mut self) -> Result<(), HttpError> {
        if self.more().await? { Ok(()) } else { Err(HttpError::Protocol("the answer was cut".into())) }
    }

    pub(super) fn unused(&self) -> &[u8] {
        &self.octets[self.at..]
    }

    /// The head of the final answer; interim ones before it are passed over.
    pub(super) async fn final_head(&mut self) -> Result<Head, HttpError> {
        let mut head = self.head().await?;
        let mut interim = 0;
        while (100..200).contains(&head.status) {
            interim += 1;
            if interim > INTERIM_MAX || head.status == 101 {
                return Err(HttpError::Protocol(format!("an answer {} that nobody asked for", head.status)));
            }
            head = self.head().await?;
        }
        Ok(head)
    }

    /// A head, through its empty line.
    async fn head(&mut self) -> Result<Head, HttpError> {
        let mut looked = 0;
        let end = loop {
            // Only what is new is searched: a host that sends octet by octet costs no more than one that does not.
            let from = self.unused();
            let ends =
                (looked..from.len()).find(|i| from[..=*i].ends_with(b"\n\r\n") || from[..=*i].ends_with(b"\n\n"));
            match ends {
                Some(last) => break last + 1,
                None if from.len() > HEAD_OCTETS_MAX => {
                    return Err(HttpError::Protocol(format!("a head of more than {HEAD_OCTETS_MAX} octets")));
                }
                None => looked = from.len(),
            }
            self.needed().await?;
        };
        let head = parse(&self.unused()[..end])?;
        self.at += end;
        Ok(head)
    }

    /// A line without its end.
    async fn line(&mut self) -> Result<String, HttpError> {
        loop {
            if let Some(end) = self.unused().iter().take(CHUNK_LINE_OCTETS_MAX).position(|b| *b == b'\n') {
                let line = String::from_utf8_lossy(&self.unused()[..end]).trim_end_matches('\r').to_owned();
                self.at += end + 1;
                return Ok(line);
            }
            if self.unused().len() >= CHUNK_LINE_OCTETS_MAX {
                return Err(HttpError::Protocol("a chunk's line is too long".into()));
            }
            self.needed().await?;
        }
    }

    pub(super) async fn exactly(&mut self, octets: usize) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        self.append(&mut body, octets).await?;
        Ok(body)
    }

    async fn append(&mut self, body: &mut Vec<u8>, octets: usize) -> Result<(), HttpError> {
        if octets > self.body_max - body.len() {
            return Err(HttpError::TooLarge(self.body_max));
        }
        let end = body.len() + octets;
        while body.len() < end {
            let n = self.unused().len().min(end - body.len());
            body.extend_from_slice(&self.unused()[..n]);
            self.at += n;
            if body.len() < end {
                self.needed().await?;
            }
        }
        Ok(())
    }

    pub(super) async fn chunks(&mut self) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let octets = match usize::from_str_radix(digits, 16) {
                Ok(octets) if !digits.starts_with('+') => octets,
                _ => return Err(HttpError::Protocol(format!("{digits:?} is no length of a chunk"))),
            };
            if octets == 0 {
                break;
            }
            self.append(&mut body, octets).await?;
            if !self.line().await?.is_empty() {
                return Err(HttpError::Protocol("a chunk is longer than it says".into()));
            }
        }
        // Trailers are passed over; `left` bounds them, and their number is that of headers.
        for _ in 0..=HEADERS_MAX {
            if self.line().await?.is_empty() {
                return Ok(body);
            }
        }
        Err(HttpError::Protocol("trailers without end".into()))
    }

    /// Everything until the host closes; TLS tells whether it did or somebody cut it.
    pub(super) async fn rest(&mut self) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        loop {
            let n = self.unused().len();
            self.append(&mut body, n).await?;
            if !self.more().await? {
                return Ok(body);
            }
        }
    }
}

fn parse(octets: &[u8]) -> Result<Head, HttpError> {
    let protocol = |what: String| HttpError::Protocol(what);
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(octets) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(protocol("a head without end".into())),
        Err(httparse::Error::TooManyHeaders) => return Err(protocol(format!("more than {HEADERS_MAX} headers"))),
        Err(e) => return Err(protocol(format!("the answer is no HTTP: {e}"))),
    }
    let values = |name: &'static str| {
        let named = response.headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name));
        named.map(|h| String::from_utf8_lossy(h.value).trim().to_owned()).collect::<Vec<_>>()
    };
    for encoding in values("Content-Encoding") {
        if !encoding.eq_ignore_ascii_case("identity") {
            return Err(protocol(format!("the answer is encoded as {encoding:?}, which was not asked for")));
        }
    }
    let (codings, mut lengths) = (values("Transfer-Encoding"), values("Content-Length"));
    lengths.dedup();
    let length = match (codings.as_slice(), lengths.as_slice()) {
        ([], []) => Length::UntilClose,
        ([], [octets]) if !octets.is_empty() && octets.bytes().all(|b| b.is_ascii_digit()) => {
            // More digits than fit are more than anybody takes.
            Length::Octets(octets.parse().unwrap_or(usize::MAX))
        }
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Length::Chunked,
        _ => return Err(protocol("the answer's length is not clear".into())),
    };
    let content_type = values("Content-Type").into_iter().next().unwrap_or_default();
    let retry_after = values("Retry-After").into_iter().next();
    let closes = values("Connection").iter().flat_map(|v| v.split(',')).any(|v| v.trim().eq_ignore_ascii_case("close"));
    let status = response.code.unwrap_or_default();
    // 204 and 304 have no body, and no length that would say so (RFC 9112 §6.3).
    let has_end = matches!(status, 204 | 304) || !matches!(length, Length::UntilClose);
    let keeps = response.version == Some(1) && !closes && has_end;
    Ok(Head { status, content_type, length, retry_after, keeps })
}

#[cfg(test)]
#[path = "https_tests.rs"]
mod tests;
