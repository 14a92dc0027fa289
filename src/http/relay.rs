//! One connection: read a request under limits, hand it to our server on its private socket, bring the answer back.
//!
//! In: a connection and where it came from.  Out: answers.
//! Always: nothing is handed on before it is whole and checked; our own headers (`X-Hikyaku-*`) are ours; every wait has a
//! limit; an answer of up to `WHOLE_MAX` is here whole before its reader takes an octet, so that he holds up nobody in the server;
//! whoever reads too slowly over the whole answer is cut; an answer that our server could not finish is cut visibly.
//! Sources: RFC 9112 §6, §7, §9; RFC 9110 §10.1.1 (100-continue).

use std::{
    future::Future,
    io,
    os::fd::AsFd,
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
    http::{
        api::{self, Format, Language, fault::Why, reply},
        bodies::{self, NoBody},
        client::{self, Client},
        exchange::{Door, JSON, LATE_MAX, path_for_log, path_of},
        front::{Duplex, Inner, Origin},
        upstream::{self, Answering, Asking},
        wire::{self, AnswerHead, BodyDecoder, Framing, Head, Refusal},
    },
    runtime::{Shutdown, Stage},
};

/// Octets of a request body at most, on every route that has no class of its own.
pub const BODY_MAX: u64 = 1 << 20;
/// Octets of a request body of the sending API, where whole mails come in.
pub const BODY_API_MAX: u64 = 25 << 20;
/// Requests of one connection at most; then it is closed, so that nobody keeps one for ever.
const REQUESTS_MAX: usize = 1000;
/// Octets read at once.
pub(super) const BLOCK: usize = 16 * 1024;
/// Blocks of an answer held for a slow reader.
const PIPE_BLOCKS: usize = 16;
/// Octets of an answer that is taken from the server at once, whoever reads it: 256 KiB.
pub const WHOLE_MAX: usize = PIPE_BLOCKS * BLOCK;
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

/// The answer to a stranger who speaks in clear where a proxy ends TLS.
pub(super) const NOT_IN_CLEAR: &[u8] = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\
    Content-Type: application/json; charset=utf-8\r\nContent-Length: 97\r\n\r\n{\"error\":\"here only a proxy of ours is served without TLS: use the https:// URL of this server\"}\n";

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
    for n in 1..=REQUESTS_MAX {
        // The last answer says that it is the last: the client then does not send into a closed connection.
        let last = n == REQUESTS_MAX || shutdown.stage() != Stage::Running;
        let step = serve_one(&mut stream, &mut buffer, &origin, front, last).await;
        match step {
            Ok(Next::Again) if shutdown.stage() == Stage::Running => {}
            Ok(Next::Again | Next::Close) => break,
            Err(refused) => {
                let Refusal { status, words } = refused.refusal;
                log::debug!("http=refused peer={} status={status} reason={words:?}", origin.peer);
                let _ = within(front.limits.write, answer_refusal(&mut stream, &refused)).await;
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

/// A refusal, and in whose shape it is told.
struct Refused {
    refusal: Refusal,
    /// The format and language of an API call.
    api: Option<(Format, Language)>,
    /// Octets at most, for what is too large.
    max: u64,
}

impl Refused {
    fn of(head: &Head, refusal: Refusal) -> Self {
        let accept = head.headers.iter().find(|(name, _)| name == "accept-language").map_or("", |(_, value)| value);
        let api = api::has(&head.path).then(|| (Format::of_path(&head.path).0, Language::of_header(accept)));
        Refused { refusal, api, max: 0 }
    }

    /// Of a head that cannot be read: its first line may still say what it is about.
    fn before_head(refusal: Refusal, octets: &[u8]) -> Self {
        let line = octets.split(|b| *b == b'\r').next().unwrap_or_default();
        let target = line[..line.len().min(wire::TARGET_MAX)].split(|b| *b == b' ').nth(1);
        let path = target.and_then(|target| std::str::from_utf8(target).ok()).and_then(path_of).unwrap_or_default();
        let api = api::has(&path).then(|| (Format::of_path(&path).0, Language::English));
        Refused { refusal, api, max: 0 }
    }
}

async fn serve_one(
    stream: &mut impl Duplex,
    buffer: &mut Vec<u8>,
    origin: &Origin,
    front: &Inner,
    last: bool,
) -> Result<Next, Refused> {
    let limits = &front.limits;
    if buffer.is_empty() {
        match within(limits.idle, read_more(stream, buffer)).await {
            Some(Ok(n)) if n > 0 => {}
            Some(Ok(_) | Err(_)) | None => return Ok(Next::Close),
        }
    }
    let late = refusal(408, "the request took too long");
    let head = within(limits.head.min(limits.request), read_head(stream, buffer)).await.unwrap_or(Err(late));
    let head = match head {
        Ok(Some(mut head)) => {
            head.keep_alive &= !last;
            head
        }
        Ok(None) => return Ok(Next::Close),
        Err(refusal) => return Err(Refused::before_head(refusal, buffer)),
    };
    let refused = |refusal| Refused::of(&head, refusal);
    check_host(&head, origin, front).map_err(refused)?;
    let client = client::of(&head, origin, front).map_err(refused)?;
    let is_whole_mail = head.method == "POST" && api::takes_files(&head.path);
    let max = if is_whole_mail { limits.body_api_max } else { limits.body_max };
    if head.content_length > max {
        return Err(Refused { max, ..refused(refusal(413, "the body is too large")) });
    }
    let bodies = front.bodies(origin.door);
    let mut share = bodies.share(&client.peer);
    let body = async {
        let body = bodies::read(stream, buffer, &head, front, &mut share).await?;
        let turn = bodies.turn(body.len(), limits.request).await?;
        Ok((body, turn))
    };
    let (body, turn) = match body.await {
        Ok(body) => body,
        Err(NoBody::Gone) => return Ok(Next::Close),
        Err(NoBody::Refused(refusal)) => return Err(refused(refusal)),
    };
    let wait = match origin.door {
        Door::Public if is_whole_mail => limits.answer_submission,
        Door::Public => limits.answer,
        Door::Control => limits.answer_control,
    };
    let Client { peer, is_secure, is_direct } = client;
    let asking = Asking { head: &head, body: &body, door: origin.door, peer: &peer, is_secure, is_direct };
    let mut answering = match within(wait, upstream::ask(&front.upstream, asking)).await {
        Some(Ok(answering)) => answering,
        Some(Err(error)) => {
            log::warn!("http=relay path={:?} error={error:?}", path_for_log(&head.path));
            return Err(refused(refusal(502, "the daemon's own HTTP server did not answer")));
        }
        None => return Err(refused(refusal(504, "the answer took too long"))),
    };
    // Not before: the server holds the body while it works on it.
    drop((body, turn, share));
    // Whoever guesses waits here, where waiting costs nobody a thread.
    let late = Duration::from_millis(answering.head.take("x-hikyaku-late").parse().unwrap_or(0)).min(LATE_MAX);
    if !late.is_zero() {
        Timer::after(late).await;
    }
    match send_answer(stream, answering, &head, front, wait, origin.door).await {
        Ok(()) if head.keep_alive => Ok(Next::Again),
        Ok(()) => Ok(Next::Close),
        Err(error) => {
            let path = path_for_log(&head.path);
            log::debug!("http=cut peer={} path={path:?} error={error:?}", origin.peer);
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
            // Refused, it stays: its first line says in whose shape the refusal is told.
            let head = wire::read_head(&buffer[..n])?;
            buffer.drain(..n);
            return Ok(Some(head));
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

/// How fast a client must read: the last block in a time, and all of them together in another.
struct Pace<'a> {
    front: &'a Inner,
    /// What is left for the next octets.
    left: Duration,
    per_octet: Duration,
}

impl<'a> Pace<'a> {
    fn new(front: &'a Inner, door: Door) -> Self {
        // The operator may look at what he asked for as long as he likes, block by block.
        let per_octet = if door == Door::Public { front.limits.write_per_octet } else { Duration::MAX };
        Pace { front, left: front.limits.write, per_octet }
    }

    async fn write(&mut self, stream: &mut impl Duplex, octets: &[u8]) -> io::Result<()> {
        for block in octets.chunks(BLOCK) {
            let began = self.front.clock.instant();
            let write = async {
                stream.write_all(block).await?;
                stream.flush().await
            };
            within(self.left.min(self.front.limits.write), write).await.ok_or(io::ErrorKind::TimedOut)??;
            let earned = self.per_octet.saturating_mul(u32::try_from(block.len()).unwrap_or(u32::MAX));
            self.left = self.left.saturating_sub(self.front.clock.instant() - began).saturating_add(earned);
        }
        Ok(())
    }
}

/// Relays an answer: one that fits is taken whole first; a larger one comes through a pipe of [`PIPE_BLOCKS`].
async fn send_answer(
    stream: &mut impl Duplex,
    answering: Answering,
    head: &Head,
    front: &Inner,
    wait: Duration,
    door: Door,
) -> io::Result<()> {
    let Answering { connection: mut server, head: answer, mut rest } = answering;
    let framing = if head.method == "HEAD" { Framing::Empty } else { answer.framing };
    let chunked = framing == Framing::Chunked && head.minor >= 1;
    let closes = !head.keep_alive || (framing == Framing::Chunked && !chunked);
    let first = answer_head_octets(&answer, head, closes, front);
    let mut pace = Pace::new(front, door);
    if let Framing::Length(n) = framing
        && let Some(n) = usize::try_from(n).ok().filter(|n| *n <= WHOLE_MAX)
    {
        while rest.len() < n {
            let read = within(wait, server.read_more(&mut rest)).await.ok_or(io::ErrorKind::TimedOut)??;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        rest.truncate(n);
    }
    if framing == Framing::Empty || framing == Framing::Length(rest.len() as u64) {
        // All of it is here already: no pipe is needed.
        drop(server);
        let mut out = first;
        out.extend_from_slice(&rest);
        return pace.write(stream, &out).await;
    }
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
            match within(wait, server.read_more(&mut input)).await {
                Some(Ok(n)) if n > 0 => {}
                Some(Ok(_)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(Err(error)) => return Err(error),
                None => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    };
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
            pace.write(stream, &out).await?;
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

async fn answer_refusal(stream: &mut impl Duplex, refused: &Refused) -> io::Result<()> {
    let Refusal { status, words } = refused.refusal;
    // The API knows POST alone, whatever else there may be.
    let status = if refused.api.is_some() && status == 501 { 405 } else { status };
    let (content_type, body) = match refused.api {
        Some((format, language)) => {
            let why = match status {
                405 => Why::MethodNotAllowed,
                413 => Why::TooLarge { max: refused.max },
                503 => Why::Unavailable,
                500.. => Why::System,
                status => Why::Unreadable { status },
            };
            (reply::content_type(format), why.fault().body(format, language))
        }
        None => (JSON, format!("{{\"error\":{}}}\n", serde_json::Value::from(words)).into_bytes()),
    };
    let more = match status {
        405 => "allow: POST\r\n",
        503 => "retry-after: 5\r\n",
        _ => "",
    };
    let head = format!(
        "HTTP/1.1 {status} {}\r\nconnection: close\r\ncontent-type: {content_type}\r\nx-content-type-options: nosniff\r\n\
         cache-control: no-store\r\n{more}content-length: {}\r\n\r\n",
        wire::reason(status),
        body.len(),
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
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
        for answer in [TOO_MANY, NOT_YOURS, NOT_IN_CLEAR] {
            let n = wire::head_length(answer, 0).ok().flatten().expect("a head");
            let head = wire::read_answer(&answer[..n]).expect("an answer");
            assert_eq!(head.framing, Framing::Length((answer.len() - n) as u64));
        }
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
