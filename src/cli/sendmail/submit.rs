//! Hands one mail to the relay listener: a plain, blocking SMTP dialog.
//!
//! In: envelope and content.  Out: done, or a [`Refusal`] with the listener's own words.
//! Always: all recipients or none, so that whoever tries again sends no duplicate; every wait and every line is bounded.
//! Sources: RFC 5321 §4.5.2 and §4.5.3.2, RFC 6152, RFC 6531, RFC 1870.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::{Refusal, code};

/// How long a connection on this machine may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the listener may think about a command (RFC 5321 §4.5.3.2: five minutes).
const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);
/// How long it may take for the mail itself (RFC 5321 §4.5.3.2.6: ten minutes).
const CONTENT_TIMEOUT: Duration = Duration::from_secs(600);
/// Octets of a reply line at most; RFC 5321 §4.5.3.1.5 has 512.
const REPLY_LINE_MAX: u64 = 2048;
/// Lines of a reply at most.
const REPLY_LINES_MAX: usize = 100;

/// What is to be sent.
pub(super) struct Submission<'a> {
    /// Said in EHLO.
    pub hostname: &'a str,
    /// MAIL FROM; empty: the null sender.
    pub sender: &'a str,
    /// RCPT TO.
    pub recipients: &'a [String],
    /// The mail, every line with CRLF, without dot-stuffing.
    pub octets: &'a [u8],
}

/// Sends a mail to the first of the listeners that can be reached.
pub(super) fn submit(listeners: &[SocketAddr], mail: &Submission<'_>) -> Result<(), Refusal> {
    let mut told: Vec<String> = Vec::new();
    for address in listeners {
        match TcpStream::connect_timeout(address, CONNECT_TIMEOUT) {
            Ok(stream) => return Dialog::new(stream, *address).and_then(|mut dialog| dialog.send(mail)),
            Err(error) => told.push(format!("{address}: {error}")),
        }
    }
    Err(Refusal {
        code: code::TRY_LATER,
        text: format!("no listener answers ({}); is the daemon running?", told.join(", ")),
    })
}

struct Dialog {
    stream: BufReader<TcpStream>,
    peer: SocketAddr,
}

struct Reply {
    code: u16,
    lines: Vec<String>,
}

impl Dialog {
    fn new(stream: TcpStream, peer: SocketAddr) -> Result<Self, Refusal> {
        let dialog = Dialog { stream: BufReader::new(stream), peer };
        dialog.patience(COMMAND_TIMEOUT)?;
        Ok(dialog)
    }

    fn send(&mut self, mail: &Submission<'_>) -> Result<(), Refusal> {
        self.expect(220, code::UNAVAILABLE)?;
        let extensions = match self.command(&format!("EHLO {}", mail.hostname))? {
            reply if reply.code == 250 => reply.lines,
            _ => {
                self.write(format!("HELO {}\r\n", mail.hostname).as_bytes())?;
                self.expect(250, code::UNAVAILABLE)?;
                Vec::new()
            }
        };
        let offers = |name: &str| {
            extensions
                .iter()
                .skip(1)
                .any(|line| line.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case(name)))
        };
        let mut parameters = String::new();
        if offers("SIZE") {
            parameters.push_str(&format!(" SIZE={}", mail.octets.len()));
        }
        if !mail.octets.is_ascii() && offers("8BITMIME") {
            parameters.push_str(" BODY=8BITMIME");
        }
        if !mail.sender.is_ascii() || mail.recipients.iter().any(|address| !address.is_ascii()) {
            if !offers("SMTPUTF8") {
                let text = "an address is not ASCII, and the listener does not offer SMTPUTF8".into();
                return Err(Refusal { code: code::UNAVAILABLE, text });
            }
            parameters.push_str(" SMTPUTF8");
        }
        self.write(format!("MAIL FROM:<{}>{parameters}\r\n", mail.sender).as_bytes())?;
        self.expect(250, code::UNAVAILABLE)?;
        for recipient in mail.recipients {
            self.write(format!("RCPT TO:<{recipient}>\r\n").as_bytes())?;
            let reply = self.reply()?;
            if reply.code / 100 != 2 {
                let mut refusal = self.refused(&reply, code::NO_USER);
                refusal.text = format!("<{recipient}>: {}; nothing was sent", refusal.text);
                return Err(refusal);
            }
        }
        self.write(b"DATA\r\n")?;
        self.expect(354, code::UNAVAILABLE)?;
        self.patience(CONTENT_TIMEOUT)?;
        self.content(mail.octets)?;
        self.expect(250, code::DATA)?;
        // The mail is safe: what happens to the farewell does not matter.
        let _ = self.write(b"QUIT\r\n");
        Ok(())
    }

    /// The mail, dot-stuffed, and the final dot.
    fn content(&mut self, octets: &[u8]) -> Result<(), Refusal> {
        let mut out = Vec::with_capacity(octets.len() + octets.len() / 64 + 8);
        for line in octets.split_inclusive(|b| *b == b'\n') {
            if line.first() == Some(&b'.') {
                out.push(b'.');
            }
            out.extend_from_slice(line);
        }
        out.extend_from_slice(b".\r\n");
        self.write(&out)
    }

    fn command(&mut self, line: &str) -> Result<Reply, Refusal> {
        self.write(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    fn write(&mut self, octets: &[u8]) -> Result<(), Refusal> {
        self.stream.get_mut().write_all(octets).map_err(|error| self.broken(&error))
    }

    fn expect(&mut self, wanted: u16, permanent: u8) -> Result<(), Refusal> {
        let reply = self.reply()?;
        if reply.code == wanted { Ok(()) } else { Err(self.refused(&reply, permanent)) }
    }

    fn reply(&mut self) -> Result<Reply, Refusal> {
        let mut reply = Reply { code: 0, lines: Vec::new() };
        while reply.lines.len() < REPLY_LINES_MAX {
            let mut line = Vec::new();
            let read = self.stream.by_ref().take(REPLY_LINE_MAX).read_until(b'\n', &mut line);
            read.map_err(|error| self.broken(&error))?;
            if !line.ends_with(b"\n") {
                return Err(self.broken(&io::Error::from(io::ErrorKind::UnexpectedEof)));
            }
            let text = String::from_utf8_lossy(&line).trim_end().replace(char::is_control, " ");
            reply.code = text.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0);
            reply.lines.push(text.get(4..).unwrap_or_default().to_owned());
            if text.as_bytes().get(3) != Some(&b'-') {
                break;
            }
        }
        Ok(reply)
    }

    /// 4yz, and whatever is no reply at all, may be tried again; 5yz may not.
    fn refused(&self, reply: &Reply, permanent: u8) -> Refusal {
        let code = if reply.code / 100 == 5 { permanent } else { code::TRY_LATER };
        Refusal { code, text: format!("{} said: {} {}", self.peer, reply.code, reply.lines.join(" ")) }
    }

    fn broken(&self, error: &io::Error) -> Refusal {
        Refusal { code: code::TRY_LATER, text: format!("the connection to {} broke: {error}", self.peer) }
    }

    fn patience(&self, timeout: Duration) -> Result<(), Refusal> {
        let stream = self.stream.get_ref();
        let set = stream.set_read_timeout(Some(timeout)).and_then(|()| stream.set_write_timeout(Some(timeout)));
        set.map_err(|error| self.broken(&error))
    }
}
