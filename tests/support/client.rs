//! An SMTP client that says exactly what a test wants, byte by byte.

use std::{
    fmt, io,
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use base64::Engine;
use rustls::ClientConfig;

use super::wire::Wire;

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Lines of one reply at most.
const REPLY_LINES_MAX: usize = 100;

/// What the server answered.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reply {
    /// The three digits; 0 when the connection ended instead.
    pub code: u16,
    /// The text of each line, without digits and separator.
    pub lines: Vec<String>,
}

impl Reply {
    /// Digits and text, as logs show them.
    pub fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" "))
    }

    /// Panics unless the answer starts with `start`, e.g. `550 5.7.1`.
    #[track_caller]
    pub fn expect(self, start: &str) -> Self {
        assert!(self.text().starts_with(start), "expected {start}, got: {self}");
        self
    }

    /// The EHLO answer names this keyword.
    pub fn offers(&self, keyword: &str) -> bool {
        self.lines.iter().skip(1).any(|l| l.split(' ').next().is_some_and(|w| w.eq_ignore_ascii_case(keyword)))
    }

    /// The queue id that the answer to a mail's content names.
    #[track_caller]
    pub fn queue_id(&self) -> String {
        let text = self.text();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        let mut ids = words.filter(|w| w.parse::<hikyaku::ids::MessageId>().is_ok());
        match ids.next_back() {
            Some(id) => id.to_owned(),
            None => panic!("no queue id in: {self}"),
        }
    }

    /// The connection ended.
    pub fn is_end(&self) -> bool {
        self.code == 0
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_end() { f.write_str("(end of connection)") } else { f.write_str(&self.text()) }
    }
}

/// A session with a server.
pub struct Client {
    wire: Wire,
    /// The greeting.
    pub greeting: Reply,
}

impl Client {
    /// Connects and reads the greeting; panics when that fails.
    #[track_caller]
    pub fn connect(to: SocketAddr) -> Self {
        match Self::try_connect(to) {
            Ok(client) => client,
            Err(e) => panic!("cannot connect to {to}: {e}"),
        }
    }

    /// Connects and reads the greeting.
    pub fn try_connect(to: SocketAddr) -> io::Result<Self> {
        let mut client = Self::silent(to)?;
        client.greeting = client.try_reply()?;
        Ok(client)
    }

    /// Connects and reads nothing.
    pub fn silent(to: SocketAddr) -> io::Result<Self> {
        let wire = Wire::new(TcpStream::connect_timeout(&to, CONNECT_LIMIT)?)?;
        Ok(Client { wire, greeting: Reply::default() })
    }

    /// Connects with TLS from the first byte.
    #[track_caller]
    pub fn connect_tls(to: SocketAddr, config: Arc<ClientConfig>, name: &str) -> Self {
        let mut client = Self::silent(to).expect("the listener answers");
        client.wire.connect_tls(config, name).expect("the handshake succeeds");
        client.greeting = client.reply();
        client
    }

    /// Connects and says EHLO.
    #[track_caller]
    pub fn hello(to: SocketAddr) -> Self {
        let mut client = Self::connect(to);
        client.ehlo();
        client
    }

    /// EHLO, which must be taken.
    #[track_caller]
    pub fn ehlo(&mut self) -> Reply {
        self.say("EHLO client.test").expect("250")
    }

    /// Sends a line and reads the answer.
    #[track_caller]
    pub fn say(&mut self, line: &str) -> Reply {
        self.write(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    /// Sends bytes as they are; a peer that has gone is seen at the next reply.
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = self.wire.send(bytes);
    }

    /// Reads one answer; the end of the connection is code 0.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        match self.try_reply() {
            Ok(reply) => reply,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("the server did not answer in time")
            }
            Err(_) => Reply::default(),
        }
    }

    /// Reads one answer.
    pub fn try_reply(&mut self) -> io::Result<Reply> {
        let mut reply = Reply::default();
        for _ in 0..REPLY_LINES_MAX {
            let line = self.wire.line()?;
            if line.is_empty() {
                return Ok(Reply::default());
            }
            let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            reply.code = line.get(..3).and_then(|d| d.parse().ok()).unwrap_or(0);
            reply.lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(reply);
            }
        }
        Err(io::Error::other("a reply without end"))
    }

    /// STARTTLS and the handshake; EHLO has to be said again.
    #[track_caller]
    pub fn starttls(&mut self, config: Arc<ClientConfig>, name: &str) {
        self.say("STARTTLS").expect("220");
        self.wire.connect_tls(config, name).expect("the handshake succeeds");
    }

    /// AUTH PLAIN with an initial response.
    #[track_caller]
    pub fn auth_plain(&mut self, user: &str, password: &str) -> Reply {
        let token = base64::engine::general_purpose::STANDARD.encode(format!("\0{user}\0{password}"));
        self.say(&format!("AUTH PLAIN {token}"))
    }

    /// MAIL and RCPTs, all of which must be taken.
    #[track_caller]
    pub fn envelope(&mut self, from: &str, to: &[&str]) {
        self.say(&format!("MAIL FROM:<{from}>")).expect("250");
        for address in to {
            self.say(&format!("RCPT TO:<{address}>")).expect("250");
        }
    }

    /// One mail by DATA; `content` is dot-stuffed and must end in CRLF. Answers the reply to the final dot.
    #[track_caller]
    pub fn send(&mut self, from: &str, to: &[&str], content: &[u8]) -> Reply {
        self.envelope(from, to);
        self.data(content)
    }

    /// DATA with `content`, dot-stuffed.
    #[track_caller]
    pub fn data(&mut self, content: &[u8]) -> Reply {
        self.say("DATA").expect("354");
        let mut stuffed = stuff(content);
        stuffed.extend_from_slice(b".\r\n");
        self.write(&stuffed);
        self.reply()
    }

    /// One BDAT chunk, as it is.
    #[track_caller]
    pub fn bdat(&mut self, chunk: &[u8], last: bool) -> Reply {
        let mut command = format!("BDAT {}{}\r\n", chunk.len(), if last { " LAST" } else { "" }).into_bytes();
        command.extend_from_slice(chunk);
        self.write(&command);
        self.reply()
    }

    /// The wire below.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

/// Doubles dots at line starts (RFC 5321 §4.5.2).
pub fn stuff(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 16);
    let mut at_line_start = true;
    for b in content {
        if at_line_start && *b == b'.' {
            out.push(b'.');
        }
        at_line_start = *b == b'\n';
        out.push(*b);
    }
    out
}

/// Submits one plain mail in a session of its own; answers the queue id when the reply names one, else its text.
#[track_caller]
pub fn submit(to: SocketAddr, from: &str, recipients: &[&str], subject: &str) -> Reply {
    let mut client = Client::hello(to);
    let content = letter(subject, "Good morning.\r\n");
    let reply = client.send(from, recipients, content.as_bytes()).expect("250");
    client.write(b"QUIT\r\n");
    reply
}

/// A small mail with a subject.
pub fn letter(subject: &str, body: &str) -> String {
    format!(
        "From: Sender <sender@src.test>\r\nTo: someone@dst.test\r\nSubject: {subject}\r\n\
         Date: Tue, 24 Nov 2026 10:00:00 +0900\r\nMessage-ID: <{subject}@src.test>\r\n\r\n{body}"
    )
}
