//! POSTs to one host, one after another over one connection: what webhooks need.
//!
//! In: a host, addresses that the caller has found and allowed, requests.  Out: status and the first words of each answer, or
//! why there is none.
//! Always: one request at a time; one deadline covers each exchange, the connection's making included; the connection goes to an
//! address that the caller allowed, and is made anew after `AGE_MAX`, so that a changed address is noticed; it is used again
//! only after a whole answer that keeps it, and not after `IDLE_MAX`; where a kept connection ended before the first octet of
//! an answer came, the request is sent once more over a new one: hosts close what is idle. Plain HTTP goes to loopback alone.
//! No redirect is followed. As for [`super::https`], what a hostile host can make us read and keep is bounded.
//! Sources: RFC 9110, RFC 9112 §9.3.

use std::{
    net::{IpAddr, TcpStream},
    pin::Pin,
    time::{Duration, Instant},
};

use async_io::{Async, Timer};
use futures_rustls::client::TlsStream;
use smol::{
    future::FutureExt,
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
};

use super::https::{Client, HEAD_OCTETS_MAX, HttpError, INTERIM_MAX, Incoming, Length, OVERHEAD_FACTOR, connect};
use crate::clock::Clock;

/// A connection that was idle for so long is not used again: many hosts close after five seconds.
const IDLE_MAX: Duration = Duration::from_secs(4);
/// How old a connection may become.
const AGE_MAX: Duration = Duration::from_secs(300);
/// Octets of an answer's body that are read, so that the connection can be kept; behind a larger one it is closed.
const ANSWER_OCTETS_MAX: usize = 64 * 1024;
/// Octets of an answer's body that are told.
const TOLD_OCTETS_MAX: usize = 300;

/// Whom to post to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// Its name, for which its certificate must be good, or its address.
    pub name: String,
    /// The port.
    pub port: u16,
    /// Over TLS; without, its addresses must be loopback.
    pub tls: bool,
}

/// What to post.
#[derive(Clone, Debug)]
pub struct Post<'a> {
    /// Path and query, starting with a slash.
    pub path: &'a str,
    /// Fields of the head besides those of HTTP itself: names and values.
    pub fields: &'a [(&'static str, String)],
    /// The body.
    pub body: &'a [u8],
    /// For the whole exchange.
    pub within: Duration,
}

/// An answer, whatever its status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// As the host says; 3xx too.
    pub status: u16,
    /// The field `Retry-After`, as it came.
    pub retry_after: Option<String>,
    /// The body's first words, for people.
    pub words: String,
}

/// The host, and the connection to it while there is one.
pub struct Kept {
    client: Client,
    clock: Clock,
    link: Option<Link>,
}

struct Link {
    host: Host,
    incoming: Incoming<Line>,
    made: Instant,
    used: Instant,
}

impl Kept {
    /// Nobody is connected yet.
    pub fn new(client: Client, clock: Clock) -> Self {
        Kept { client, clock, link: None }
    }

    /// Whether the next post to this host would need its addresses: there is no connection that can be used again.
    pub fn needs_addresses(&self, host: &Host) -> bool {
        let now = self.clock.instant();
        self.link.as_ref().is_none_or(|link| {
            link.host != *host
                || now.saturating_duration_since(link.used) > IDLE_MAX
                || now.saturating_duration_since(link.made) > AGE_MAX
        })
    }

    /// Posts; `addresses` are asked for only where a connection must be made, and count against the deadline.
    ///
    /// # Errors
    /// As [`HttpError`] has them; an answer with any status is none.
    pub async fn post<F>(
        &mut self,
        host: &Host,
        post: &Post<'_>,
        addresses: impl Fn() -> F,
    ) -> Result<Answer, HttpError>
    where
        F: Future<Output = Result<Vec<IpAddr>, String>>,
    {
        let head = head(host, post)?;
        let late = async {
            Timer::after(post.within).await;
            Err(HttpError::Timeout(post.within))
        };
        let talk = async {
            // What is not put back is dropped, and with it closed: whatever goes wrong, half an exchange is never used again.
            let kept = self.link.take();
            if let Some(mut link) = kept.filter(|link| self.is_usable(link, host)) {
                match link.exchange(&head, post.body).await {
                    Ok((answer, keeps)) => {
                        self.keep(link, keeps);
                        return Ok(answer);
                    }
                    Err(Broken { came: false, .. }) => {}
                    Err(Broken { error, .. }) => return Err(error),
                }
            }
            let found = addresses().await.map_err(HttpError::Connect)?;
            let mut link = self.connect(host, &found).await?;
            let (answer, keeps) = link.exchange(&head, post.body).await.map_err(|broken| broken.error)?;
            self.keep(link, keeps);
            Ok(answer)
        };
        talk.or(late).await
    }

    fn is_usable(&self, link: &Link, host: &Host) -> bool {
        let now = self.clock.instant();
        link.host == *host
            && now.saturating_duration_since(link.used) <= IDLE_MAX
            && now.saturating_duration_since(link.made) <= AGE_MAX
    }

    fn keep(&mut self, mut link: Link, keeps: bool) {
        link.used = self.clock.instant();
        self.link = keeps.then_some(link);
    }

    async fn connect(&self, host: &Host, addresses: &[IpAddr]) -> Result<Link, HttpError> {
        if !host.tls && !addresses.iter().all(IpAddr::is_loopback) {
            return Err(HttpError::Request("plain HTTP goes to loopback alone".into()));
        }
        let connected = connect(addresses, host.port).await?;
        // One small request after another: waiting for more to send only costs time.
        let _ = connected.0.get_ref().set_nodelay(true);
        let line = if host.tls {
            Line::Tls(Box::new(self.client.encrypt(&host.name, connected).await?))
        } else {
            Line::Clear(connected.0)
        };
        let now = self.clock.instant();
        let incoming = Incoming { stream: line, octets: Vec::new(), at: 0, left: 0, body_max: ANSWER_OCTETS_MAX };
        Ok(Link { host: host.clone(), incoming, made: now, used: now })
    }
}

/// An exchange that failed, and whether the host had begun to answer.
struct Broken {
    error: HttpError,
    came: bool,
}

impl Link {
    /// One request and its answer; false: the connection ends with it.
    async fn exchange(&mut self, head: &str, body: &[u8]) -> Result<(Answer, bool), Broken> {
        let incoming = &mut self.incoming;
        // Octets that nobody asked for would be taken for the answer.
        if !incoming.unused().is_empty() {
            let error = HttpError::Protocol("octets behind the answer before".into());
            return Err(Broken { error, came: false });
        }
        let raw_max = HEAD_OCTETS_MAX * (INTERIM_MAX + 2) + OVERHEAD_FACTOR * ANSWER_OCTETS_MAX;
        incoming.left = raw_max;
        let line = &mut incoming.stream;
        let sent = async {
            line.write_all(head.as_bytes()).await?;
            line.write_all(body).await?;
            line.flush().await
        };
        let sent = sent.await;
        // A host may refuse a body before it has read it: then it is the answer that counts.
        match answer(incoming).await {
            Ok((answer, keeps)) => Ok((answer, keeps && sent.is_ok())),
            Err(error) => {
                let came = incoming.left < raw_max;
                let error = match (&error, sent) {
                    (HttpError::Protocol(_), Err(e)) => HttpError::Protocol(format!("sending: {e}")),
                    (_, _) => error,
                };
                Err(Broken { error, came })
            }
        }
    }
}

async fn answer(incoming: &mut Incoming<Line>) -> Result<(Answer, bool), HttpError> {
    let head = incoming.final_head().await?;
    let body = match head.length {
        _ if head.status == 204 || head.status == 304 => Ok(Vec::new()),
        Length::Octets(octets) => incoming.exactly(octets).await,
        Length::Chunked => incoming.chunks().await,
        Length::UntilClose => incoming.rest().await,
    };
    // The status is what counts; a body that is too long or cut ends the connection, not the answer.
    let (body, whole) = match body {
        Ok(body) => (body, true),
        Err(_) => (Vec::new(), false),
    };
    let told = &body[..body.len().min(TOLD_OCTETS_MAX)];
    let words = String::from_utf8_lossy(told).split_whitespace().collect::<Vec<_>>().join(" ");
    let answer = Answer { status: head.status, retry_after: head.retry_after, words };
    Ok((answer, whole && head.keeps))
}

/// The request's head; everything in it is checked, so that no line can be smuggled in.
fn head(host: &Host, post: &Post<'_>) -> Result<String, HttpError> {
    let is_visible = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    if !post.path.starts_with('/') || !is_visible(post.path) {
        return Err(HttpError::Request(format!("{:?} is no path", post.path)));
    }
    if host.name.is_empty() || !is_visible(&host.name) {
        return Err(HttpError::Request("the host has octets that no header can have".into()));
    }
    let bare = &host.name;
    let name = if bare.contains(':') { format!("[{bare}]") } else { bare.clone() };
    let usual = if host.tls { 443 } else { 80 };
    let name = if host.port == usual { name } else { format!("{name}:{}", host.port) };
    let mut head = format!(
        "POST {} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: hikyaku\r\nAccept: */*\r\nAccept-Encoding: identity\r\n\
         Content-Length: {}\r\n",
        post.path,
        post.body.len()
    );
    for (name, value) in post.fields {
        if !value.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            return Err(HttpError::Request(format!("{name} has octets that no header can have")));
        }
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    Ok(head)
}

/// A socket, with TLS or in clear.
enum Line {
    Clear(Async<TcpStream>),
    Tls(Box<TlsStream<Async<TcpStream>>>),
}

type Poll<T> = std::task::Poll<std::io::Result<T>>;
type Cx<'a, 'b> = &'a mut std::task::Context<'b>;

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: Cx<'_, '_>, buf: &mut [u8]) -> Poll<usize> {
        match self.get_mut() {
            Line::Clear(socket) => Pin::new(socket).poll_read(cx, buf),
            Line::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: Cx<'_, '_>, buf: &[u8]) -> Poll<usize> {
        match self.get_mut() {
            Line::Clear(socket) => Pin::new(socket).poll_write(cx, buf),
            Line::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: Cx<'_, '_>) -> Poll<()> {
        match self.get_mut() {
            Line::Clear(socket) => Pin::new(socket).poll_flush(cx),
            Line::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: Cx<'_, '_>) -> Poll<()> {
        match self.get_mut() {
            Line::Clear(socket) => Pin::new(socket).poll_close(cx),
            Line::Tls(stream) => Pin::new(stream.as_mut()).poll_close(cx),
        }
    }
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
