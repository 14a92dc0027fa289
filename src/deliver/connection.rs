//! One connection to one host: the SMTP client's dialog on a live socket.
//!
//! In: a host's address and how to open it; messages.  Out: what became of each recipient.
//! Always: commands go out in one write a batch; a read waits for the socket first, so that no call is wasted; the
//! connection counts against `connections_total` for as long as it is open.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use smol::{
    io::{AsyncReadExt, AsyncWriteExt},
    lock::SemaphoreGuardArc,
};

use super::{
    body::{Body, SendError},
    host_tls::Agreed,
    talk::Talk,
    tls_policy::{Check, Plan},
};
use crate::{
    clock::Clock,
    event::Phase,
    metrics::Metrics,
    net::{
        deadline::Deadlines,
        stream::{self, Stream},
        tls::{self, ClientTls, TlsFailure},
    },
    smtp::{
        client::{Client, End, Fault, Login, Setup, Timeouts, TlsMode, Transaction, Trouble, words},
        conversation::Said,
        step::Step,
    },
};

/// Octets read at once: replies are short, and what is longer comes in the next read.
const READ_OCTETS: usize = 2048;
/// How long a reply is still waited for after a write failed: the peer may have said why.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What makes two connections the same for reuse: the host, how we come, and what was checked on the way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    /// The host's name, against which its certificate was checked.
    pub host: Arc<str>,
    /// Its address.
    pub address: SocketAddr,
    /// The address that we come from, when it is chosen.
    pub source: Option<IpAddr>,
    /// What was asked for, and what was checked: a connection that a weaker policy let pass serves no stricter one.
    pub policy: Agreed,
    /// We logged in.
    pub login: bool,
}

impl Key {
    /// The host for people: `mx1.example.org[192.0.2.1]:25`.
    pub(super) fn place(&self) -> String {
        format!("{}[{}]:{}", self.host, self.address.ip(), self.address.port())
    }
}

/// How a connection is opened.
pub(super) struct Opening<'a> {
    pub key: &'a Arc<Key>,
    pub plan: Plan,
    /// TLS from the first octet (RFC 8314).
    pub implicit_tls: bool,
    pub hello: &'a str,
    pub login: Option<Login>,
    pub timeouts: Timeouts,
    /// For the TCP handshake.
    pub connect: Duration,
    /// How TLS is spoken; `None`: not at all.
    pub tls: Option<ClientTls>,
    /// The name that the host hears in SNI, and against which its certificate is checked.
    pub server_name: Arc<str>,
    /// What the log says of a certificate that passed: ` by DANE`.
    pub verified_by: &'static str,
    /// A handshake broke lately, so that this one goes in clear.
    pub after_break: bool,
    pub deadlines: &'a Deadlines,
    pub metrics: &'a Arc<Metrics>,
    /// Its place among all connections.
    pub place: SemaphoreGuardArc,
    /// Which configuration it was opened under.
    pub generation: u64,
}

/// How TLS is spoken, made once a (re)configuration.
pub(super) struct TlsConfigs {
    pub anybody: Option<ClientTls>,
    /// By public authorities, for the host's name.
    pub verified: Option<ClientTls>,
}

impl TlsConfigs {
    /// The configuration of a check; DANE has one for each host.
    pub(super) fn of(&self, check: Check) -> Option<ClientTls> {
        match check {
            Check::Anybody => self.anybody.clone(),
            Check::Name => self.verified.clone(),
            Check::Dane => None,
        }
    }
}

/// A connection that could not be opened.
pub(super) struct NotOpened {
    pub fault: Fault,
    /// The trouble is ours: file limit, source address.
    pub ours: bool,
    pub sender_ip: Option<IpAddr>,
    pub tls: String,
    /// Why the handshake failed.
    pub tls_failure: Option<TlsFailure>,
    /// What was said; taken by the trial.
    pub talk: Option<Box<Talk>>,
}

impl NotOpened {
    /// STARTTLS was agreed on, and then no TLS came of it.
    pub(super) fn is_broken_handshake(&self) -> bool {
        self.fault.phase == Phase::StartTls
            && match &self.fault.trouble {
                Trouble::TlsBroken(_) | Trouble::Closed(_) | Trouble::TimedOut(_) | Trouble::NotSmtp(_) => true,
                Trouble::Reply(_) | Trouble::LostAfterDot(_) | Trouble::TlsNotOffered | Trouble::LoginUnusable(_) => {
                    false
                }
                Trouble::TooLarge { .. } | Trouble::NeedsUtf8Address | Trouble::NeedsUtf8Header => false,
                Trouble::BadAddress | Trouble::NeedsRequireTls | Trouble::NeedsDeliverBy => false,
                Trouble::TooLate { .. } => false,
            }
    }

    /// What broke a handshake, in short.
    pub(super) fn broken_by(&self) -> String {
        match &self.fault.trouble {
            Trouble::TlsBroken(why) => why.clone(),
            _ => "the connection was lost in it".to_owned(),
        }
    }
}

/// A connection that is ready for messages, or idle.
pub(super) struct Connection {
    client: Client,
    /// `None` only inside a TLS handshake.
    stream: Option<Stream>,
    tls_config: Option<ClientTls>,
    handshake: Duration,
    block: Duration,
    buffer: Vec<u8>,
    pub key: Arc<Key>,
    pub sender_ip: Option<IpAddr>,
    /// As [`Stream::describe_tls`] says, and by what the peer was verified.
    pub tls: String,
    tls_failure: Option<TlsFailure>,
    server_name: Arc<str>,
    verified_by: &'static str,
    /// The peer's certificate passed a check.
    pub verified: bool,
    /// It goes in clear because a handshake broke.
    pub after_break: bool,
    pub opened: Instant,
    /// When its opening began, the handshake of TCP with it.
    began: Instant,
    clock: Clock,
    pub generation: u64,
    /// It served a message before this one.
    pub reused: bool,
    place: Option<SemaphoreGuardArc>,
    _open: OpenCount,
}

/// Counts an open connection.
struct OpenCount(Arc<Metrics>);

impl OpenCount {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.connections.up();
        metrics.connections_total.one();
        OpenCount(metrics.clone())
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.0.connections.down();
    }
}

impl Connection {
    /// Connects, greets, and goes through EHLO, STARTTLS and AUTH as the plan says.
    pub(super) async fn open(o: Opening<'_>) -> Result<Self, NotOpened> {
        let clock = o.deadlines.clock();
        let began = clock.instant();
        let stream = Stream::connect(o.key.address, o.key.source, o.connect, o.deadlines).await.map_err(|e| {
            let (trouble, said, why) = match e.kind() {
                io::ErrorKind::TimedOut => (Trouble::TimedOut(o.connect), Said::Silent, words(o.connect)),
                _ => (Trouble::Closed(io_words(&e)), Said::Closed, io_words(&e)),
            };
            let after = clock.instant().saturating_duration_since(began);
            let talk = Talk::unreached(o.key.clone(), began, after, said, &why);
            let fault = Fault { phase: Phase::Connect, trouble };
            let ours = stream::is_our_trouble(&e);
            NotOpened {
                fault,
                ours,
                sender_ip: o.key.source,
                tls: String::new(),
                tls_failure: None,
                talk: Some(Box::new(talk)),
            }
        })?;
        let setup = Setup {
            hello: o.hello.to_owned(),
            tls: o.plan.mode,
            secure: o.implicit_tls,
            login: o.login,
            timeouts: o.timeouts,
        };
        let mut connection = Connection {
            client: Client::new(setup),
            sender_ip: stream.local_addr().ok().map(|a| a.ip()),
            stream: Some(stream),
            tls_config: o.tls.filter(|_| o.implicit_tls || o.plan.mode != TlsMode::Never),
            handshake: o.timeouts.data,
            block: o.timeouts.block,
            buffer: vec![0; READ_OCTETS],
            key: o.key.clone(),
            tls: String::new(),
            tls_failure: None,
            server_name: o.server_name,
            verified_by: o.verified_by,
            verified: false,
            after_break: o.after_break,
            opened: clock.instant(),
            began,
            clock: clock.clone(),
            generation: o.generation,
            reused: false,
            place: Some(o.place),
            _open: OpenCount::new(o.metrics),
        };
        if o.implicit_tls
            && let Err(why) = connection.handshake().await
        {
            connection.client.tls_failed(&why);
            let fault = Fault { phase: Phase::StartTls, trouble: Trouble::TlsBroken(why) };
            return Err(connection.not_opened(fault));
        }
        connection.drive(&mut None).await;
        match connection.client.fault().cloned() {
            Some(fault) => Err(connection.not_opened(fault)),
            None => Ok(connection),
        }
    }

    fn not_opened(mut self, fault: Fault) -> NotOpened {
        let talk = Talk {
            key: self.key.clone(),
            began: self.began,
            opening: self.client.opening().clone(),
            said: self.client.take_said(),
            before: None,
            whose: None,
        };
        let Connection { sender_ip, tls, tls_failure, .. } = self;
        NotOpened { fault, ours: false, sender_ip, tls, tls_failure, talk: Some(Box::new(talk)) }
    }

    /// Runs one transaction to its end, with `prefix` before the body; `Err`: our own disk failed, and the connection is of no
    /// more use.
    pub(super) async fn send(&mut self, t: &Transaction<'_>, prefix: &[u8], body: Body) -> Result<Vec<End>, String> {
        self.tell_time();
        self.client.begin(t);
        match self.drive(&mut Some((prefix, body))).await {
            Some(damage) => Err(damage),
            None => Ok(self.client.take_ends()),
        }
    }

    /// What was said in the transaction of these recipients, which came behind `before` messages.
    pub(super) fn talk(&mut self, whose: &[usize], before: u32, open: Duration) -> Talk {
        Talk {
            key: self.key.clone(),
            began: self.began,
            opening: self.client.opening().clone(),
            said: self.client.take_said(),
            before: (before > 0).then_some((before, open)),
            whose: Some(whose.to_vec()),
        }
    }

    /// For how long it has been open.
    pub(super) fn age(&self) -> Duration {
        self.clock.instant().saturating_duration_since(self.began)
    }

    fn tell_time(&mut self) {
        self.client.at(self.age());
    }

    /// What the peer offers.
    pub(super) fn peer(&self) -> &crate::smtp::client::Peer {
        self.client.peer()
    }

    /// Messages that it carried.
    pub(super) fn messages(&self) -> u32 {
        self.client.transactions()
    }

    /// Why it is of no more use.
    pub(super) fn fault(&self) -> Option<&Fault> {
        self.client.fault()
    }

    /// Another message may follow.
    pub(super) fn is_reusable(&self) -> bool {
        self.client.is_reusable() && self.stream.is_some()
    }

    /// It goes idle: nothing is waited for.
    pub(super) fn park(&mut self) {
        if let Some(stream) = &self.stream {
            stream.set_deadline(None);
        }
    }

    /// Gives its place to another before the goodbye is over.
    pub(super) fn release_place(&mut self) {
        self.place = None;
    }

    /// Says goodbye and closes.
    pub(super) async fn quit(mut self) {
        self.client.quit();
        self.drive(&mut None).await;
    }

    /// Carries out steps until the client is ready or over. Some: our disk failed under the content.
    async fn drive(&mut self, content: &mut Option<(&[u8], Body)>) -> Option<String> {
        while let Some(step) = self.client.step() {
            match step {
                Step::Write(bytes) => self.write(&bytes).await,
                Step::Read { within } => self.read(within).await,
                Step::StartTls => match self.handshake().await {
                    Ok(()) => self.client.tls_started(),
                    Err(why) => self.client.tls_failed(&why),
                },
                Step::SendContent { dot_stuffed: _ } => {
                    if let Err(damage) = self.send_content(content.take()).await {
                        // Without its final dot the content is worth nothing to the peer.
                        self.stream = None;
                        self.client.closed("");
                        return Some(damage);
                    }
                }
                Step::Close => return None,
                Step::Ask(never) => match never {},
                Step::Content(_) => self.client.closed("content came from the wrong side"),
            }
        }
        None
    }

    async fn write(&mut self, bytes: &[u8]) {
        let Some(stream) = &mut self.stream else { return self.client.closed("") };
        stream.set_deadline(Some(self.block));
        let written = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        if let Err(e) = written.await {
            self.write_failed(&e).await;
        }
    }

    async fn read(&mut self, within: Duration) {
        let Some(stream) = &mut self.stream else { return self.client.closed("") };
        stream.set_deadline(Some(within));
        let read = async {
            stream.readable().await?;
            stream.read(&mut self.buffer).await
        };
        let read = read.await;
        self.tell_time();
        match read {
            Ok(0) => self.client.closed(""),
            Ok(n) => self.client.receive(&self.buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::TimedOut => self.client.timed_out(),
            Err(e) => self.client.closed(&io_words(&e)),
        }
    }

    /// A peer that closes in the middle often said why just before.
    async fn write_failed(&mut self, e: &io::Error) {
        self.tell_time();
        if e.kind() == io::ErrorKind::TimedOut {
            return self.client.timed_out();
        }
        if let Some(stream) = &mut self.stream {
            stream.set_deadline(Some(LAST_WORDS));
            if let Ok(n @ 1..) = stream.read(&mut self.buffer).await {
                self.client.receive(&self.buffer[..n]);
            }
        }
        if self.client.fault().is_none() {
            self.client.closed(&io_words(e));
        }
    }

    async fn send_content(&mut self, content: Option<(&[u8], Body)>) -> Result<(), String> {
        let (Some(stream), Some((prefix, body))) = (&mut self.stream, content) else {
            self.client.closed("");
            return Ok(());
        };
        let sent = body.send(stream, prefix, self.block).await;
        self.tell_time();
        match sent {
            Ok(()) => self.client.content_sent(),
            Err(SendError::Io(e)) => self.write_failed(&e).await,
            Err(SendError::Damaged(words)) => return Err(words),
        }
        Ok(())
    }

    /// The TLS handshake; the certificate is checked for the host's name if the plan says so.
    async fn handshake(&mut self) -> Result<(), String> {
        let stream = self.stream.take().ok_or("no connection")?;
        let config = self.tls_config.clone().ok_or("no TLS configuration")?;
        stream.set_deadline(Some(self.handshake));
        let shaken = stream.into_tls_client(&config, &self.server_name).await;
        self.tell_time();
        let stream = shaken.map_err(|e| {
            self.tls_failure = Some(tls::failure_of(&e));
            io_words(&e)
        })?;
        self.verified = config.is_checked();
        self.tls = stream.describe_tls(self.verified);
        if self.verified {
            self.tls.push_str(self.verified_by);
        }
        self.client.note_tls(&self.tls);
        self.stream = Some(stream);
        Ok(())
    }
}

/// What the system says, without its number.
pub(super) fn io_words(e: &io::Error) -> String {
    let text = e.to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}
