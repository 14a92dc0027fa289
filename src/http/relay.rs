//! One connection: read a request under limits, hand it to our server on its private socket, bring the answer back.
//!
//! In: a connection and where it came from.  Out: answers.
//! Always: nothing is handed on before it is whole and checked; our own headers (`X-Hikyaku-*`) are ours; every wait has a
//! limit; a slow reader holds at most `PIPE_BLOCKS` blocks here and no worker of the server, unless its answer is larger;
//! an answer that our server could not finish is cut visibly.
//! Sources: RFC 9112 §6, §7, §9; RFC 9110 §10.1.1 (100-continue).

use std::{
    future::Future,
    io,
    net::IpAddr,
    os::{fd::AsFd, unix::net::UnixStream},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use async_io::{Async, Timer};
use smol::{
    channel,
    future::{self, FutureExt},
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
};

use crate::{
    budget::Lease,
    http::{
        exchange::{Door, Peer},
        front::{Duplex, Inner, Origin},
        server::Upstream,
        wire::{self, AnswerHead, BodyDecoder, Framing, Head, Refusal},
    },
    runtime::{Shutdown, Stage},
};

/// Octets of a request body at most, on every route that has no class of its own.
pub const BODY_MAX: u64 = 1 << 20;
/// Octets of a request body under `/api/`, where whole mails come in.
pub const BODY_API_MAX: u64 = 25 << 20;
/// Requests of one connection at most; then it is closed, so that nobody keeps one for ever.
const REQUESTS_MAX: usize = 1000;
/// Octets read at once.
const BLOCK: usize = 16 * 1024;
/// Blocks of an answer held for a slow reader: 256 KiB.
const PIPE_BLOCKS: usize = 16;
/// Tries to reach our server, [`CONNECT_PAUSE`] apart: it may just be rebuilding its socket.
const CONNECT_TRIES: usize = 20;
/// Pause between two of them.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);
/// After a refusal, what still comes in is read and dropped this long, so that the answer is not lost to a reset …
const LINGER: Duration = Duration::from_secs(1);
/// … and up to this many octets.
const LINGER_OCTETS: usize = 1 << 20;

/// The answer to a connection over the limit.
pub(super) const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
    Content-Type: application/json; charset=utf-8\r\nContent-Length: 33\r\n\r\n{\"error\":\"too many connections\"}\n";
/// The answer to a stranger on the control socket.
pub(super) const NOT_YOURS: &[u8] = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\
    Content-Type: application/json; charset=utf-8\r\nContent-Length: 87\r\n\r\n{\"error\":\"the control socket is for root and the daemon's own user: run this as root\"}\n";

/// A socket whose `close` ends its writing half, so that the peer sees the end of our answer while we still read;
/// `Async` alone would only flush.
pub(super) struct Socket<T>(pub(super) Async<T>);

impl<T: AsFd> AsyncRead for Socket<T>
where
    Async<T>: AsyncRead + Unpin,
{
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, to)
    }
}

impl<T: AsFd> AsyncWrite for Socket<T>
where
    Async<T>: AsyncWrite + Unpin,
{
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(rustix::net::shutdown(self.0.as_fd(), rustix::net::Shutdown::Write).map_err(Into::into))
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(mut stream: impl Duplex, origin: Origin, front: &Inner, shutdown: &Shutdown) {
    let mut buffer = Vec::new();
    for _ in 0..REQUESTS_MAX {
        let step = serve_one(&mut stream, &mut buffer, &origin, front).await;
        match step {
            Ok(Next::Again) if shutdown.stage() == Stage::Running => {}
            Ok(Next::Again | Next::Close) => break,
            Err(refusal) => {
                log::debug!("http=refused peer={} status={} reason={:?}", origin.peer, refusal.status, refusal.words);
                let _ = within(front.limits.write, answer_refusal(&mut stream, refusal)).await;
                let _ = within(LINGER, drain(&mut stream)).await;
                return;
            }
        }
    }
    let _ = within(front.limits.write, stream.close()).await;
}

/// `None` when `limit` passes first.
pub(super) async fn within<T>(limit: Duration, what: impl Future<Output = T>) -> Option<T> {
    let what = async { Some(what.await) };
    let end = async {
        Timer::after(limit).await;
        None
    };
    what.or(end).await
}

enum Next {
    Again,
    Close,
}

const fn refusal(status: u16, words: &'static str) -> Refusal {
    Refusal { status, words }
}

async fn serve_one(
    stream: &mut impl Duplex,
    buffer: &mut Vec<u8>,
    origin: &Origin,
    front: &Inner,
) -> Result<Next, Refusal> {
    let limits = &front.limits;
    if buffer.is_empty() {
        match within(limits.idle, read_more(stream, buffer)).await {
            Some(Ok(n)) if n > 0 => {}
            Some(Ok(_) | Err(_)) | None => return Ok(Next::Close),
        }
    }
    let late = refusal(408, "the request took too long");
    let whole = async {
        let Some(head) = within(limits.head, read_head(stream, buffer)).await.ok_or(late)?? else { return Ok(None) };
        check_host(&head, origin, front)?;
        let lease = admit_body(&head, front)?;
        let Some(body) = read_body(stream, buffer, &head).await else { return Ok(None) };
        Ok(Some((head, body, lease)))
    };
    let Some((head, body, lease)) = within(limits.request, whole).await.ok_or(late)?? else { return Ok(Next::Close) };
    let wait = match origin.door {
        Door::Public => limits.answer,
        Door::Control => limits.answer_control,
    };
    let peer = peer_of(&head, origin, front);
    let exchange = async {
        let mut server = connect(&front.upstream).await?;
        let request = request_octets(&head, &body, origin.door, &peer, &front.upstream);
        server.write_all(&request).await?;
        drop((request, body, lease));
        let mut rest = Vec::new();
        let answer = read_answer_head(&mut server, &mut rest).await?;
        Ok::<_, io::Error>((server, answer, rest))
    };
    let (server, answer, rest) = match within(wait, exchange).await {
        Some(Ok(parts)) => parts,
        Some(Err(error)) => {
            log::warn!("http=relay path={:?} error={error:?}", head.target);
            return Err(refusal(502, "the daemon's own HTTP server did not answer"));
        }
        None => return Err(refusal(504, "the answer took too long")),
    };
    match send_answer(stream, server, &head, answer, rest, front, wait).await {
        Ok(()) if head.keep_alive => Ok(Next::Again),
        Ok(()) => Ok(Next::Close),
        Err(error) => {
            log::debug!("http=cut peer={} path={:?} error={error:?}", origin.peer, head.target);
            Ok(Next::Close)
        }
    }
}

async fn read_more(stream: &mut impl Duplex, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let had = buffer.len();
    buffer.resize(had + BLOCK, 0);
    let read = stream.read(&mut buffer[had..]).await;
    buffer.truncate(had + *read.as_ref().unwrap_or(&0));
    read
}

/// `None`: the client went away.
async fn read_head(stream: &mut impl Duplex, buffer: &mut Vec<u8>) -> Result<Option<Head>, Refusal> {
    let mut checked = 0;
    loop {
        if let Some(n) = wire::head_length(buffer, checked)? {
            let head = wire::read_head(&buffer[..n]);
            buffer.drain(..n);
            return head.map(Some);
        }
        checked = buffer.len();
        match read_more(stream, buffer).await {
            Ok(n) if n > 0 => {}
            Ok(_) | Err(_) => return Ok(None),
        }
    }
}

fn check_host(head: &Head, origin: &Origin, front: &Inner) -> Result<(), Refusal> {
    match (origin.door, &head.host) {
        (Door::Control, _) | (Door::Public, None) => Ok(()),
        (Door::Public, Some(host)) if front.is_our_name(host, origin.local) => Ok(()),
        (Door::Public, Some(_)) => {
            Err(refusal(421, "the Host is not a name of this server: see [http].public_url in the config file"))
        }
    }
}

fn admit_body(head: &Head, front: &Inner) -> Result<Option<Lease>, Refusal> {
    let limits = &front.limits;
    let max = if head.target.starts_with("/api/") { limits.body_api_max } else { limits.body_max };
    if head.content_length == 0 {
        return Ok(None);
    }
    if head.content_length > max {
        return Err(refusal(413, "the body is too large"));
    }
    let octets = usize::try_from(head.content_length).map_err(|_| refusal(413, "the body is too large"))?;
    front.bodies.take(octets).map(Some).ok_or(refusal(503, "too many large requests at once: try again"))
}

/// `None`: the client went away.
async fn read_body(stream: &mut impl Duplex, buffer: &mut Vec<u8>, head: &Head) -> Option<Vec<u8>> {
    let length = usize::try_from(head.content_length).ok()?;
    if head.expects_continue && buffer.len() < length {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
        stream.flush().await.ok()?;
    }
    while buffer.len() < length {
        if read_more(stream, buffer).await.ok()? == 0 {
            return None;
        }
    }
    let after = buffer.split_off(length);
    Some(std::mem::replace(buffer, after))
}

/// The client: told by a configured proxy, or the other end of the connection.
fn peer_of(head: &Head, origin: &Origin, front: &Inner) -> Peer {
    match origin.peer {
        Peer::Address(ip) if front.is_proxy(ip) => {
            // From the right: each proxy adds the address that it saw; the first that is no proxy of ours is the client.
            let told = head.forwarded_for.iter().rev().map_while(|a| a.parse::<IpAddr>().ok());
            let client = told.map(|ip| ip.to_canonical()).find(|ip| !front.is_proxy(*ip));
            Peer::Address(client.unwrap_or(ip))
        }
        Peer::Address(_) | Peer::User(_) => origin.peer.clone(),
    }
}

async fn connect(upstream: &Upstream) -> io::Result<Async<UnixStream>> {
    let mut tries = 0;
    loop {
        match Async::<UnixStream>::connect(upstream.path()).await {
            Ok(stream) => return Ok(stream),
            Err(error) if tries >= CONNECT_TRIES => return Err(error),
            Err(_) => Timer::after(CONNECT_PAUSE).await,
        };
        tries += 1;
    }
}

fn request_octets(head: &Head, body: &[u8], door: Door, peer: &Peer, upstream: &Upstream) -> Vec<u8> {
    let mut text = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", head.method, head.target);
    for (name, value) in &head.headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    let host = head.host.as_deref().unwrap_or("localhost");
    let own = [
        ("Host", host),
        ("X-Hikyaku-Secret", upstream.secret()),
        ("X-Hikyaku-Door", door.word()),
        ("X-Hikyaku-Peer", &peer.to_string()),
        ("Content-Length", &body.len().to_string()),
    ];
    for (name, value) in own {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str("\r\n");
    let mut octets = text.into_bytes();
    octets.extend_from_slice(body);
    octets
}

async fn read_answer_head(server: &mut Async<UnixStream>, rest: &mut Vec<u8>) -> io::Result<AnswerHead> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer");
    let mut checked = 0;
    loop {
        if let Some(n) = wire::head_length(rest, checked).map_err(|_| broken())? {
            let head = wire::read_answer(&rest[..n]).ok_or_else(broken)?;
            rest.drain(..n);
            return Ok(head);
        }
        checked = rest.len();
        if read_more(server, rest).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Relays an answer through a pipe of [`PIPE_BLOCKS`]: our server is read as fast as it writes, the client gets its time.
async fn send_answer(
    stream: &mut impl Duplex,
    mut server: Async<UnixStream>,
    head: &Head,
    answer: AnswerHead,
    rest: Vec<u8>,
    front: &Inner,
    wait: Duration,
) -> io::Result<()> {
    let framing = if head.method == "HEAD" { Framing::Empty } else { answer.framing };
    let chunked = framing == Framing::Chunked && head.minor >= 1;
    let closes = !head.keep_alive || (framing == Framing::Chunked && !chunked);
    let first = answer_head_octets(&answer, head, closes, front);
    let (sender, blocks) = channel::bounded::<Option<Vec<u8>>>(PIPE_BLOCKS);

    let read = async move {
        let mut decoder = BodyDecoder::new(framing);
        let mut input = rest;
        loop {
            let mut out = Vec::new();
            decoder.feed(&input, &mut out).map_err(io::Error::other)?;
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            if !out.is_empty() {
                sender.send(Some(out)).await.map_err(gone)?;
            }
            if decoder.is_done() {
                return sender.send(None).await.map_err(gone);
            }
            input.clear();
            match within(wait, read_more(&mut server, &mut input)).await {
                Some(Ok(n)) if n > 0 => {}
                Some(Ok(_)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(Err(error)) => return Err(error),
                None => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    };
    let limit = front.limits.write;
    let write = async move {
        let mut out = first;
        loop {
            let block = blocks.recv().await.map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            let last = block.is_none();
            match block {
                Some(block) if chunked => {
                    out.extend_from_slice(format!("{:x}\r\n", block.len()).as_bytes());
                    out.extend_from_slice(&block);
                    out.extend_from_slice(b"\r\n");
                }
                Some(block) => out.extend_from_slice(&block),
                None if chunked => out.extend_from_slice(b"0\r\n\r\n"),
                None => {}
            }
            if !last && out.len() < BLOCK && !blocks.is_empty() {
                continue;
            }
            let write = async {
                stream.write_all(&out).await?;
                stream.flush().await
            };
            within(limit, write).await.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
            out.clear();
            if last {
                return Ok(());
            }
        }
    };
    let (read, written): (io::Result<()>, io::Result<()>) = future::zip(read, write).await;
    read.and(written)?;
    if closes && head.keep_alive {
        // The end of the body is the end of the connection (HTTP/1.0 and a length nobody knew).
        return Err(io::Error::other("closed after an answer without a length"));
    }
    Ok(())
}

fn answer_head_octets(answer: &AnswerHead, head: &Head, closes: bool, front: &Inner) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {} {}\r\n", answer.status, wire::reason(answer.status));
    text.extend(["Date: ", &http_date(front.clock.now().as_seconds()), "\r\n"]);
    for (name, value) in &answer.headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    match answer.framing {
        Framing::Empty => {}
        Framing::Length(n) => text.push_str(&format!("content-length: {n}\r\n")),
        Framing::Chunked if head.minor >= 1 => text.push_str("transfer-encoding: chunked\r\n"),
        Framing::Chunked => {}
    }
    text.push_str(match (closes, head.minor) {
        (true, _) => "connection: close\r\n\r\n",
        (false, 0) => "connection: keep-alive\r\n\r\n",
        (false, _) => "\r\n",
    });
    text.into_bytes()
}

/// RFC 9110 §5.6.7.
fn http_date(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|s| jiff::Timestamp::from_second(s).ok())
        .map_or_else(String::new, |t| t.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

async fn answer_refusal(stream: &mut impl Duplex, refusal: Refusal) -> io::Result<()> {
    let body = format!("{{\"error\":{}}}\n", serde_json::Value::from(refusal.words));
    let text = format!(
        "HTTP/1.1 {} {}\r\nconnection: close\r\ncontent-type: application/json; charset=utf-8\r\nx-content-type-options: nosniff\r\n\
         cache-control: no-store\r\ncontent-length: {}\r\n\r\n{body}",
        refusal.status,
        wire::reason(refusal.status),
        body.len(),
    );
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await?;
    stream.close().await
}

async fn drain(stream: &mut impl Duplex) {
    let mut scratch = vec![0; BLOCK];
    let mut left = LINGER_OCTETS;
    while left > 0 {
        match stream.read(&mut scratch).await {
            Ok(n) if n > 0 => left = left.saturating_sub(n),
            Ok(_) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_made_answers_say_their_true_length() {
        for answer in [TOO_MANY, NOT_YOURS] {
            let n = wire::head_length(answer, 0).ok().flatten().expect("a head");
            let head = wire::read_answer(&answer[..n]).expect("an answer");
            assert_eq!(head.framing, Framing::Length((answer.len() - n) as u64));
        }
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
