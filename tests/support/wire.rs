//! A socket in clear or under TLS, read by lines or by counted bytes, with a time limit on each read and write.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned, pki_types::ServerName};

/// How long one read or write may take.
pub const IO_LIMIT: Duration = Duration::from_secs(30);

/// Bytes asked for at a time.
const BLOCK: usize = 16 * 1024;

enum Stream {
    Plain(TcpStream),
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// Between clear and TLS, and after a failed handshake.
    Gone,
}

/// One end of a conversation.
pub struct Wire {
    stream: Stream,
    /// Bytes that were read and not yet used.
    ahead: Vec<u8>,
}

impl Wire {
    /// The conversation over this socket.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(IO_LIMIT))?;
        stream.set_write_timeout(Some(IO_LIMIT))?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream: Stream::Plain(stream), ahead: Vec::new() })
    }

    /// The same under TLS, as its server. Bytes that came early stay out of the protected part.
    pub fn accept_tls(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        self.ahead.clear();
        let mut socket = self.take_plain()?;
        let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
        tls.complete_io(&mut socket)?;
        self.stream = Stream::Server(Box::new(StreamOwned::new(tls, socket)));
        Ok(())
    }

    /// The same under TLS, as its client.
    pub fn connect_tls(&mut self, config: Arc<ClientConfig>, name: &str) -> io::Result<()> {
        self.ahead.clear();
        let mut socket = self.take_plain()?;
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        tls.complete_io(&mut socket)?;
        self.stream = Stream::Client(Box::new(StreamOwned::new(tls, socket)));
        Ok(())
    }

    /// The protected part has begun.
    pub fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Server(_) | Stream::Client(_))
    }

    /// Sends all of it.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.writer()?;
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// The next line with its line end as it came; empty at the end of the stream.
    pub fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut seen = 0;
        loop {
            if let Some(at) = self.ahead[seen..].iter().position(|b| *b == b'\n') {
                return Ok(self.ahead.drain(..=seen + at).collect());
            }
            seen = self.ahead.len();
            if !self.fill()? {
                return Ok(std::mem::take(&mut self.ahead));
            }
        }
    }

    /// Exactly `n` bytes.
    pub fn exactly(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < n {
            if !self.fill()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.ahead.drain(..n).collect())
    }

    /// The content of a DATA command: dots unstuffed, without the final dot's line.
    pub fn dotted(&mut self) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let mut at_line_start = true;
        loop {
            let line = self.line()?;
            if !line.ends_with(b"\n") {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if at_line_start && line == b".\r\n" {
                return Ok(content);
            }
            let stuffed = at_line_start && line.starts_with(b".");
            at_line_start = line.ends_with(b"\r\n");
            content.extend_from_slice(if stuffed { &line[1..] } else { &line });
        }
    }

    /// Whether more has arrived than was used.
    pub fn has_more(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// The socket below, for limits of a test's own.
    pub fn socket(&self) -> Option<&TcpStream> {
        match &self.stream {
            Stream::Plain(s) => Some(s),
            Stream::Server(s) => Some(&s.sock),
            Stream::Client(s) => Some(&s.sock),
            Stream::Gone => None,
        }
    }

    fn fill(&mut self) -> io::Result<bool> {
        let mut block = [0; BLOCK];
        let read = match &mut self.stream {
            Stream::Plain(s) => s.read(&mut block),
            Stream::Server(s) => s.read(&mut block),
            Stream::Client(s) => s.read(&mut block),
            Stream::Gone => Ok(0),
        };
        let n = match read {
            Ok(n) => n,
            // A TLS peer that goes without close_notify has still gone.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(e) => return Err(e),
        };
        self.ahead.extend_from_slice(&block[..n]);
        Ok(n > 0)
    }

    fn writer(&mut self) -> io::Result<&mut dyn Write> {
        match &mut self.stream {
            Stream::Plain(s) => Ok(s),
            Stream::Server(s) => Ok(s),
            Stream::Client(s) => Ok(s),
            Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn take_plain(&mut self) -> io::Result<TcpStream> {
        match std::mem::replace(&mut self.stream, Stream::Gone) {
            Stream::Plain(s) => Ok(s),
            _ => Err(io::Error::other("already under TLS")),
        }
    }
}
