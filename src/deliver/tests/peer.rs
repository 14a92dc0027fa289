//! A scripted SMTP server for tests: it answers each command as told, and keeps what it heard.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::net::tls::{self, ServerConfig};

/// What a peer does at a command.
#[derive(Clone, Debug)]
pub enum Act {
    /// Says this; `\n` divides lines.
    Say(&'static str),
    /// Says this and closes.
    SayAndClose(&'static str),
    /// Closes without a word.
    Close,
    /// Stays silent for as long as the client waits.
    Silence,
    /// Sends garbage where the TLS handshake should be.
    BreakTls,
}

/// A peer; it stops when dropped.
pub struct Peer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// By command word (`greeting`, `EHLO`, `RCPT`, `RCPT a@b`, `.` …): acts in turn, the last repeats.
    acts: Mutex<HashMap<String, Vec<Act>>>,
    heard: Mutex<Vec<String>>,
    contents: Mutex<Vec<Vec<u8>>>,
    connections: AtomicUsize,
    stop: AtomicBool,
    tls: Mutex<Option<Arc<ServerConfig>>>,
    implicit: AtomicBool,
}

impl Peer {
    /// Listens on this address, where everything is answered well.
    pub fn start(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a loopback port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared::default());
        let peer = Peer { address, shared: shared.clone() };
        listener.set_nonblocking(true).expect("non-blocking");
        thread::spawn(move || {
            while !shared.stop.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        shared.connections.fetch_add(1, Ordering::SeqCst);
                        let shared = shared.clone();
                        thread::spawn(move || shared.serve(stream));
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(1)),
                    Err(_) => return,
                }
            }
        });
        peer
    }

    /// What it does at a command from now on.
    pub fn at(&self, command: &str, acts: &[Act]) -> &Self {
        self.shared.acts.lock().expect("acts").insert(command.into(), acts.to_vec());
        self
    }

    /// Offers these extensions.
    pub fn offer(&self, offers: &'static str) -> &Self {
        self.at("EHLO", &[Act::Say(offers)])
    }

    /// Speaks TLS with this certificate.
    pub fn tls(&self, config: Arc<ServerConfig>, implicit: bool) -> &Self {
        *self.shared.tls.lock().expect("tls") = Some(config);
        self.shared.implicit.store(implicit, Ordering::SeqCst);
        self
    }

    /// Commands that it heard.
    pub fn heard(&self) -> Vec<String> {
        self.shared.heard.lock().expect("heard").clone()
    }

    /// Contents that it took, dots taken off.
    pub fn contents(&self) -> Vec<Vec<u8>> {
        self.shared.contents.lock().expect("contents").clone()
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

/// A connection, plain or not.
trait Line: Read + Write {}
impl<T: Read + Write> Line for T {}

impl Shared {
    fn act(&self, command: &str, otherwise: &'static str) -> Act {
        let mut acts = self.acts.lock().expect("acts");
        match acts.get_mut(command) {
            Some(list) if list.len() > 1 => list.remove(0),
            Some(list) => list.first().cloned().unwrap_or(Act::Say(otherwise)),
            None => Act::Say(otherwise),
        }
    }

    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
        let mut line: BufReader<Box<dyn Line + Send>> = if self.implicit.load(Ordering::SeqCst) {
            BufReader::new(self.secured(stream.try_clone().expect("a clone")))
        } else {
            BufReader::new(Box::new(stream.try_clone().expect("a clone")))
        };
        let mut secure = false;
        if !self.perform(self.act("greeting", "220 peer.test ready"), &mut line) {
            return;
        }
        loop {
            let mut command = String::new();
            match line.read_line(&mut command) {
                Ok(n) if n > 0 => {}
                _ => return,
            }
            let command = command.trim_end().to_owned();
            self.heard.lock().expect("heard").push(command.clone());
            let word = command.split([' ', ':']).next().unwrap_or_default().to_uppercase();
            let act = match word.as_str() {
                "EHLO" if secure => self.act("EHLO tls", "250-peer.test\n250 PIPELINING"),
                "EHLO" => self.act("EHLO", "250-peer.test\n250-PIPELINING\n250 8BITMIME"),
                "RCPT" => {
                    let to = command.split(['<', '>']).nth(1).unwrap_or_default();
                    let own = format!("RCPT {to}");
                    let known = self.acts.lock().expect("acts").contains_key(&own);
                    self.act(if known { &own } else { "RCPT" }, "250 2.1.5 ok")
                }
                "AUTH" => self.act("AUTH", "235 2.7.0 ok"),
                "DATA" => self.act("DATA", "354 go on"),
                "STARTTLS" => self.act("STARTTLS", "220 go on"),
                "QUIT" => Act::SayAndClose("221 bye"),
                other => self.act(other, "250 2.0.0 ok"),
            };
            let going_on = matches!(&act, Act::Say(text) if text.starts_with("354") || text.starts_with("220"));
            if matches!(act, Act::BreakTls) {
                let _ = line.get_mut().write_all(b"220 go on\r\n");
                let mut hello = [0; 1];
                let _ = line.read_exact(&mut hello);
                let _ = line.get_mut().write_all(b"this is no TLS at all\r\n");
                return;
            }
            if !self.perform(act, &mut line) {
                return;
            }
            if word == "STARTTLS" && going_on {
                line = BufReader::new(self.secured(stream.try_clone().expect("a clone")));
                secure = true;
            }
            if word == "DATA" && going_on {
                let Some(content) = read_content(&mut line) else { return };
                self.contents.lock().expect("contents").push(content);
                if !self.perform(self.act(".", "250 2.0.0 kept"), &mut line) {
                    return;
                }
            }
        }
    }

    fn secured(&self, stream: TcpStream) -> Box<dyn Line + Send> {
        let config = self.tls.lock().expect("tls").clone().expect("a certificate");
        Box::new(tls::blocking_server(config, stream))
    }

    /// False: the connection is to be closed.
    fn perform(&self, act: Act, line: &mut BufReader<Box<dyn Line + Send>>) -> bool {
        let (text, stay) = match act {
            Act::Say(text) => (text, true),
            Act::SayAndClose(text) => (text, false),
            Act::Close => return false,
            Act::Silence | Act::BreakTls => {
                // Past what is buffered: only the client's end wakes it.
                while line.get_mut().read(&mut [0; 512]).is_ok_and(|n| n > 0) {}
                return false;
            }
        };
        let wire = text.replace('\n', "\r\n") + "\r\n";
        let written = line.get_mut().write_all(wire.as_bytes()).and_then(|()| line.get_mut().flush());
        written.is_ok() && stay
    }
}

fn read_content(line: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let mut one = Vec::new();
        if line.read_until(b'\n', &mut one).ok()? == 0 {
            return None;
        }
        // Only CRLF ends a line: what came before a bare LF belongs to the next.
        while !one.ends_with(b"\r\n") {
            if line.read_until(b'\n', &mut one).ok()? == 0 {
                return None;
            }
        }
        if one == b".\r\n" {
            return Some(content);
        }
        content.extend_from_slice(one.strip_prefix(b".").unwrap_or(&one));
    }
}
