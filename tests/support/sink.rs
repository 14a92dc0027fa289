//! A destination that a test scripts: it can answer anything in any phase, be slow, hang up, break TLS, and it keeps what
//! it took byte for byte.
//!
//! In: a function from the [`Moment`] of a conversation to an [`Act`].  Out: the [`Received`] mails and counters.
//! Always: a moment for which the script says nothing special is answered as a plain, willing server does.

use std::{
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustls::ServerConfig;

use super::{place, sink_session::Session, wait, wire::Wire};

/// Where in the conversation we are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Before the 220.
    Greeting,
    /// EHLO.
    Ehlo,
    /// HELO.
    Helo,
    /// STARTTLS, before the handshake.
    StartTls,
    /// AUTH, when the credentials are there.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// The DATA command.
    Data,
    /// After the final dot or the last chunk: the mail is there, the answer is not.
    Content,
    /// RSET.
    Rset,
    /// QUIT.
    Quit,
    /// Anything else.
    Other,
}

/// One question to the script.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Where in the conversation.
    pub step: Step,
    /// The command line, without its line end.
    pub line: &'a str,
    /// Which connection, from 0.
    pub session: usize,
    /// Which MAIL of this connection, from 0.
    pub transaction: usize,
    /// Which command of this kind at this destination, over all connections, from 0.
    pub nth: usize,
    /// Under TLS.
    pub tls: bool,
}

/// What the script does.
#[derive(Clone, Debug)]
pub enum Act {
    /// As a willing server does.
    Normal,
    /// Answers this; several lines are joined by `\r\n`, the last line end is added. The command has no other effect.
    Reply(String),
    /// Waits, then acts as a willing server.
    Delay(Duration),
    /// Hangs up without a word.
    HangUp,
    /// Keeps the mail and hangs up before the answer ([`Step::Content`] only).
    KeepAndHangUp,
    /// Answers this and hangs up.
    ReplyAndHangUp(String),
}

impl Act {
    /// Answers this.
    pub fn reply(text: impl Into<String>) -> Self {
        Act::Reply(text.into())
    }
}

/// A mail that was taken.
#[derive(Clone, Debug)]
pub struct Received {
    /// The reverse path, without brackets.
    pub sender: String,
    /// The MAIL line.
    pub mail_line: String,
    /// The recipients that were taken, without brackets.
    pub recipients: Vec<String>,
    /// Their RCPT lines.
    pub rcpt_lines: Vec<String>,
    /// The content, dots unstuffed.
    pub content: Vec<u8>,
    /// By BDAT.
    pub chunked: bool,
    /// Under TLS.
    pub tls: bool,
    /// Which connection, from 0.
    pub session: usize,
    /// When.
    pub at: Instant,
    /// User and password of AUTH.
    pub login: Option<(String, String)>,
}

impl Received {
    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }
}

/// How TLS behaves.
#[derive(Clone, Default)]
pub enum SinkTls {
    /// Not offered.
    #[default]
    None,
    /// Works.
    Works(Arc<ServerConfig>),
    /// Offered, answered 220, and then something that is no handshake.
    Broken,
}

type Script = dyn Fn(&Moment<'_>) -> Act + Send + Sync;

/// What a sink is made of.
#[derive(Clone)]
pub struct Options {
    /// Where it listens; `None`: on an address of its own, a free port.
    pub address: Option<SocketAddr>,
    /// EHLO keywords besides STARTTLS.
    pub keywords: Vec<String>,
    /// TLS.
    pub tls: SinkTls,
    /// The script.
    pub script: Arc<Script>,
    /// Contents are kept; otherwise only counted.
    pub keep: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            address: None,
            keywords: ["PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES"]
                .map(String::from)
                .to_vec(),
            tls: SinkTls::None,
            script: Arc::new(|_| Act::Normal),
            keep: true,
        }
    }
}

impl Options {
    /// With this script.
    pub fn script(mut self, script: impl Fn(&Moment<'_>) -> Act + Send + Sync + 'static) -> Self {
        self.script = Arc::new(script);
        self
    }

    /// With this TLS.
    pub fn tls(mut self, tls: SinkTls) -> Self {
        self.tls = tls;
        self
    }

    /// Without this keyword.
    pub fn without(mut self, keyword: &str) -> Self {
        self.keywords.retain(|k| k.split(' ').next() != Some(keyword));
        self
    }

    /// With this keyword line.
    pub fn with(mut self, keyword: &str) -> Self {
        self.keywords.push(keyword.to_owned());
        self
    }

    /// At this address.
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Starts it.
    pub fn start(self) -> Sink {
        Sink::with(self)
    }
}

/// What a sink's threads share.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) stop: AtomicBool,
    sessions: AtomicUsize,
    open: AtomicUsize,
    open_max: AtomicUsize,
    pub(super) taken: AtomicUsize,
    pub(super) seen: [AtomicUsize; 12],
    pub(super) received: Mutex<Vec<Received>>,
    pub(super) lines: Mutex<Vec<String>>,
}

/// A running destination.
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Sink {
    /// A willing one.
    pub fn willing() -> Self {
        Options::default().start()
    }

    /// A scripted one.
    pub fn scripted(script: impl Fn(&Moment<'_>) -> Act + Send + Sync + 'static) -> Self {
        Options::default().script(script).start()
    }

    /// One of these options.
    pub fn with(options: Options) -> Self {
        let listener = match options.address {
            // A sink that comes back at the same place may have to wait for the old one's socket.
            Some(at) => wait::until("the sink's address", || TcpListener::bind(at).ok()),
            None => TcpListener::bind((place::address(), 0)).expect("a loopback port is free"),
        };
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            options,
            stop: AtomicBool::new(false),
            sessions: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            open_max: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            seen: Default::default(),
            received: Mutex::default(),
            lines: Mutex::default(),
        });
        let of_acceptor = shared.clone();
        thread::spawn(move || accept_all(&listener, &of_acceptor));
        Sink { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its IP address.
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// Connections so far.
    pub fn sessions(&self) -> usize {
        self.shared.sessions.load(Ordering::SeqCst)
    }

    /// Most connections at once so far.
    pub fn sessions_at_once(&self) -> usize {
        self.shared.open_max.load(Ordering::SeqCst)
    }

    /// Mails taken so far.
    pub fn taken(&self) -> usize {
        self.shared.taken.load(Ordering::SeqCst)
    }

    /// How often this step was met, over all connections.
    pub fn seen(&self, step: Step) -> usize {
        self.shared.seen[step as usize].load(Ordering::SeqCst)
    }

    /// The mails kept so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("no sink thread panics").clone()
    }

    /// Every command line so far.
    pub fn lines(&self) -> Vec<String> {
        self.shared.lines.lock().expect("no sink thread panics").clone()
    }

    /// Waits until `n` mails are here.
    #[track_caller]
    pub fn wait_for(&self, n: usize) -> Vec<Received> {
        wait::until(&format!("{n} mails at the sink ({} so far)", self.taken()), || (self.taken() >= n).then_some(()));
        self.received()
    }

    /// Waits until a mail for `recipient` is here.
    #[track_caller]
    pub fn wait_for_recipient(&self, recipient: &str) -> Received {
        wait::until(&format!("a mail for {recipient} at the sink"), || {
            self.received().into_iter().find(|m| m.recipients.iter().any(|r| r == recipient))
        })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the acceptor, which then closes the listener.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

fn accept_all(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let session = shared.sessions.fetch_add(1, Ordering::SeqCst);
        let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
        shared.open_max.fetch_max(open, Ordering::SeqCst);
        let shared = shared.clone();
        thread::spawn(move || {
            // An error is the peer's hanging up: the test sees it in what was received.
            if let Ok(wire) = Wire::new(stream) {
                let _ = Session::new(wire, &shared, session).run();
            }
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}
