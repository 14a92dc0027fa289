//! The front's side of the private socket: a request goes to our server, and the head of its answer comes back.
//!
//! In: a checked head and body.  Out: the answer's head, and the connection on which its body follows.
//! Always: our own headers are set here and by nobody else; each request has a connection of its own: `tiny_http` gives a kept one
//! a thread for good, and may then leave a new one without any.
//! Sources: RFC 9112 §9.3.

use std::{io, os::unix::net::UnixStream, time::Duration};

use async_io::{Async, Timer};
use smol::io::{AsyncReadExt, AsyncWriteExt};

use crate::http::{
    exchange::{Door, Peer},
    server::Upstream,
    wire::{self, AnswerHead, Head},
};

/// Tries to reach our server, [`CONNECT_PAUSE`] apart: it may just be rebuilding its socket.
const CONNECT_TRIES: usize = 20;
/// Pause between two of them.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);
/// A body of up to this many octets goes out in one write with its head.
const TOGETHER: usize = 32 * 1024;
/// Octets of an answer read at once.
const BLOCK: usize = 16 * 1024;

/// One connection to our server.
#[derive(Debug)]
pub(super) struct Connection(Async<UnixStream>);

/// What our server began to answer.
pub(super) struct Answering {
    /// The connection on which the rest comes.
    pub connection: Connection,
    /// The answer's head.
    pub head: AnswerHead,
    /// What was read behind it.
    pub rest: Vec<u8>,
}

/// One request, ready to be written.
pub(super) struct Asking<'a> {
    pub head: &'a Head,
    pub body: &'a [u8],
    pub door: Door,
    pub peer: &'a Peer,
    /// It came by TLS.
    pub is_secure: bool,
    /// Nobody passed it on.
    pub is_direct: bool,
}

impl Connection {
    /// Reads some octets; 0: the server closed.
    pub async fn read_more(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let had = buffer.len();
        buffer.resize(had + BLOCK, 0);
        let read = self.0.read(&mut buffer[had..]).await;
        buffer.truncate(had + *read.as_ref().unwrap_or(&0));
        read
    }
}

/// Hands a request over and waits for the head of its answer.
pub(super) async fn ask(upstream: &Upstream, asking: Asking<'_>) -> io::Result<Answering> {
    let mut connection = connect(upstream).await?;
    let mut octets = request_head(&asking, upstream).into_bytes();
    if asking.body.len() <= TOGETHER {
        octets.extend_from_slice(asking.body);
        connection.0.write_all(&octets).await?;
    } else {
        connection.0.write_all(&octets).await?;
        connection.0.write_all(asking.body).await?;
    }
    let mut rest = Vec::new();
    let head = read_answer_head(&mut connection, &mut rest).await?;
    Ok(Answering { connection, head, rest })
}

async fn connect(upstream: &Upstream) -> io::Result<Connection> {
    let mut tries = 0;
    loop {
        match Async::<UnixStream>::connect(upstream.path()).await {
            Ok(stream) => return Ok(Connection(stream)),
            Err(error) if tries >= CONNECT_TRIES => return Err(error),
            Err(_) => Timer::after(CONNECT_PAUSE).await,
        };
        tries += 1;
    }
}

fn request_head(asking: &Asking<'_>, upstream: &Upstream) -> String {
    let head = asking.head;
    let mut text = String::with_capacity(1024);
    text.extend([head.method, " ", &head.target, " HTTP/1.1\r\nConnection: close\r\n"]);
    for (name, value) in &head.headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    let host = head.host.as_deref().unwrap_or("localhost");
    let own = [
        ("Host", host),
        ("X-Hikyaku-Secret", upstream.secret()),
        ("X-Hikyaku-Door", asking.door.word()),
        ("X-Hikyaku-Peer", &asking.peer.to_string()),
        ("X-Hikyaku-Secure", if asking.is_secure { "yes" } else { "no" }),
        ("X-Hikyaku-Direct", if asking.is_direct { "yes" } else { "no" }),
        ("Content-Length", &asking.body.len().to_string()),
    ];
    for (name, value) in own {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str("\r\n");
    text
}

async fn read_answer_head(server: &mut Connection, rest: &mut Vec<u8>) -> io::Result<AnswerHead> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer");
    let mut checked = 0;
    loop {
        if let Some(n) = wire::head_length(rest, checked).map_err(|_| broken())? {
            let head = wire::read_answer(&rest[..n]).ok_or_else(broken)?;
            rest.drain(..n);
            return Ok(head);
        }
        checked = rest.len();
        if server.read_more(rest).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
