//! A small blocking HTTP client for the daemon's control socket.
//!
//! In: a route and its query.  Out: rows, or words for people and an exit code.
//! Always: reads are bounded in time, heads and whole answers in size too; an answer that was cut is an error, never a short result.
//! Sources: RFC 9112; sysexits(3) for 75.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use serde::de::DeserializeOwned;

pub use super::exit::{DONE, NO, TRY_LATER, USAGE};
use crate::{
    clock::Timestamp,
    http::{
        control::{NEXT_CURSOR, NOW, TIME_ZONE},
        exchange::percent_encode,
        when::{Zone, of_rfc3339},
        wire::{self, AnswerHead, BodyDecoder, HEAD_MAX},
    },
};

/// How long the daemon may be silent: a filter without an index looks at many rows.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// Silence allowed while a backup is made.
const SILENCE_BACKUP_MAX: Duration = Duration::from_secs(660);
/// Octets of an answer that is kept whole: a page of a thousand rows is far below.
const ANSWER_MAX: usize = 64 << 20;
/// Octets read at once.
const BLOCK: usize = 64 * 1024;

/// Why a command ends early.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The daemon does not answer.
    #[error("the daemon does not answer at {socket}: {cause}\n{hint}")]
    Unreachable {
        /// The control socket.
        socket: String,
        /// What the system said.
        cause: String,
        /// What to do.
        hint: &'static str,
    },
    /// The daemon said no.
    #[error("{words}")]
    Refused {
        /// Its status code.
        status: u16,
        /// Its words.
        words: String,
    },
    /// The command was given something it cannot use.
    #[error("{0}")]
    Usage(String),
    /// The answer ended early or makes no sense.
    #[error("the daemon's answer is broken: {0}")]
    Broken(String),
    /// Our own output could not be written; a closed pipe is no trouble.
    #[error("writing: {0}")]
    Output(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::Output(error)
    }
}

impl Trouble {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Trouble::Unreachable { .. } => TRY_LATER,
            Trouble::Refused { status: 400 | 405, .. } | Trouble::Usage(_) => USAGE,
            Trouble::Refused { status: 502..=504, .. } => TRY_LATER,
            Trouble::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => DONE,
            Trouble::Refused { .. } | Trouble::Output(_) => NO,
            Trouble::Broken(_) => TRY_LATER,
        }
    }
}

/// A query under construction: empty values are left out.
#[derive(Default)]
pub struct Query(String);

impl Query {
    /// The same with one pair more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.0.push(if self.0.is_empty() { '?' } else { '&' });
            self.0.extend([name, "=", &percent_encode(value)]);
        }
        self
    }

    /// The same with a flag, if it is set.
    #[must_use]
    pub fn flag(self, name: &str, set: bool) -> Self {
        if set { self.with(name, "1") } else { self }
    }

    /// As it stands behind a path.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// A whole answer of the daemon.
pub struct Answer {
    head: AnswerHead,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The rows of JSON Lines.
    pub fn rows<T: DeserializeOwned>(&self) -> Result<Vec<T>, Trouble> {
        self.body
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).map_err(|e| Trouble::Broken(e.to_string())))
            .collect()
    }

    /// The one row.
    pub fn row<T: DeserializeOwned>(&self) -> Result<T, Trouble> {
        serde_json::from_slice(&self.body).map_err(|e| Trouble::Broken(e.to_string()))
    }

    /// The zone that people here read times in.
    pub fn zone(&self) -> Zone {
        Zone::named(self.head.header(&TIME_ZONE.to_ascii_lowercase()))
    }

    /// The daemon's present.
    pub fn now(&self) -> Timestamp {
        of_rfc3339(self.head.header(&NOW.to_ascii_lowercase())).unwrap_or_default()
    }

    /// Where the next page starts; `None`: this was the last.
    pub fn next_cursor(&self) -> Option<String> {
        let cursor = self.head.header(&NEXT_CURSOR.to_ascii_lowercase());
        (!cursor.is_empty()).then(|| cursor.to_owned())
    }
}

/// Speaks to the daemon of one data directory; each request has a connection of its own.
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// The client of this target.
    pub fn new(target: &super::Target) -> Self {
        Client { socket: target.data_dir.join(crate::http::CONTROL_SOCKET) }
    }

    /// Asks a route.
    pub fn get(&self, path: &str, query: &Query) -> Result<Answer, Trouble> {
        self.ask("GET", &format!("/control/{path}{}", query.text()), b"")
    }

    /// Acts by a route.
    pub fn post(&self, path: &str, query: &Query, body: &[u8]) -> Result<Answer, Trouble> {
        self.ask("POST", &format!("/control/{path}{}", query.text()), body)
    }

    /// Asks a route and writes its body as it comes; answers its octets. An error leaves `to` half written.
    pub fn stream(&self, path: &str, to: &mut dyn Write) -> Result<u64, Trouble> {
        let mut exchange = Exchange::open(&self.socket, SILENCE_BACKUP_MAX)?;
        exchange.send("GET", &format!("/control/{path}"), b"")?;
        let head = exchange.head()?;
        if head.status != 200 {
            let body = exchange.body(&head)?;
            return Err(refused(&head, &body));
        }
        let mut octets = 0;
        exchange.each_block(&head, |block| {
            octets += block.len() as u64;
            to.write_all(block).map_err(Trouble::Output)
        })?;
        Ok(octets)
    }

    fn ask(&self, method: &str, target: &str, body: &[u8]) -> Result<Answer, Trouble> {
        let mut exchange = Exchange::open(&self.socket, SILENCE_MAX)?;
        exchange.send(method, target, body)?;
        let head = exchange.head()?;
        let body = exchange.body(&head)?;
        match head.status {
            200 => Ok(Answer { head, body }),
            _ => Err(refused(&head, &body)),
        }
    }
}

fn refused(head: &AnswerHead, body: &[u8]) -> Trouble {
    #[derive(serde::Deserialize)]
    struct ErrorLine {
        error: String,
    }
    let words = serde_json::from_slice(body).map_or_else(
        |_| format!("the daemon answered {} {}", head.status, wire::reason(head.status)),
        |line: ErrorLine| line.error,
    );
    Trouble::Refused { status: head.status, words }
}

/// One request and its answer.
struct Exchange {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Exchange {
    fn open(socket: &std::path::Path, silence: Duration) -> Result<Self, Trouble> {
        let unreachable = |error: io::Error| Trouble::Unreachable {
            socket: socket.display().to_string(),
            hint: match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "The control socket is for root and the daemon's own user: run this as root."
                }
                io::ErrorKind::NotFound => {
                    "Is it running, and with this data directory? (--config names the file that says which)"
                }
                _ => "Is it running? (systemctl status hikyaku)",
            },
            cause: error.to_string(),
        };
        let stream = UnixStream::connect(socket).map_err(unreachable)?;
        stream.set_read_timeout(Some(silence)).map_err(unreachable)?;
        stream.set_write_timeout(Some(silence)).map_err(unreachable)?;
        Ok(Exchange { stream, buffer: Vec::new() })
    }

    fn send(&mut self, method: &str, target: &str, body: &[u8]) -> Result<(), Trouble> {
        let mut octets = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if body.is_empty() {
            octets = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        }
        // A refusal may come before all was read: the answer is what counts.
        let sent = self.stream.write_all(octets.as_bytes()).and_then(|()| self.stream.write_all(body));
        match sent {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(broken(&error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn read(&mut self) -> Result<usize, Trouble> {
        let had = self.buffer.len();
        self.buffer.resize(had + BLOCK, 0);
        let read = self.stream.read(&mut self.buffer[had..]);
        self.buffer.truncate(had + *read.as_ref().unwrap_or(&0));
        read.map_err(|e| broken(&e))
    }

    fn head(&mut self) -> Result<AnswerHead, Trouble> {
        let mut checked = 0;
        loop {
            let end = wire::head_length(&self.buffer, checked).map_err(|r| Trouble::Broken(r.words.into()))?;
            if let Some(n) = end {
                let head = wire::read_answer(&self.buffer[..n]).ok_or_else(|| Trouble::Broken("its head".into()))?;
                self.buffer.drain(..n);
                return Ok(head);
            }
            checked = self.buffer.len().min(HEAD_MAX);
            if self.read()? == 0 {
                return Err(Trouble::Broken("it closed the connection without a word".into()));
            }
        }
    }

    fn body(&mut self, head: &AnswerHead) -> Result<Vec<u8>, Trouble> {
        let mut body = Vec::new();
        self.each_block(head, |block| {
            if body.len() + block.len() > ANSWER_MAX {
                return Err(Trouble::Broken("it is over 64 MiB".into()));
            }
            body.extend_from_slice(block);
            Ok(())
        })?;
        Ok(body)
    }

    fn each_block(
        &mut self,
        head: &AnswerHead,
        mut take: impl FnMut(&[u8]) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let mut decoder = BodyDecoder::new(head.framing);
        let mut block = Vec::new();
        loop {
            decoder.feed(&self.buffer, &mut block).map_err(|e| Trouble::Broken(e.to_string()))?;
            self.buffer.clear();
            if !block.is_empty() {
                take(&block)?;
                block.clear();
            }
            if decoder.is_done() {
                return Ok(());
            }
            if self.read()? == 0 {
                return Err(Trouble::Broken("it ended early; see the daemon's log".into()));
            }
        }
    }
}

fn broken(error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Trouble::Broken("nothing came for too long".into()),
        _ => Trouble::Broken(error.to_string()),
    }
}
