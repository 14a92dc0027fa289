//! One SMTP session: the loop between a socket and the sans-IO core, and the answers to the core's questions.
//!
//! Always: an idle session owns no read buffer; every read has a deadline, kept by the sweep; only what was [`Stored`] makes
//! the 250 after content (P1).

mod user;

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::IpAddr,
    sync::Arc,
    task::{Poll, ready},
    time::{Duration, Instant},
};

use smol::Timer;

use crate::{
    account::Login,
    clock::{Clock, Timestamp},
    config::{BareNewline, Config, Listener, ListenerTls, Role},
    ids::MessageId,
    net::server::{ServerStream, Socket},
    smtp::{
        address::Mailbox,
        delivery_params::SECONDS_MAX,
        params::{ByMode, DeliverBy, Envelope},
        reply::Reply,
        server::{
            self, Answer, AuthOffer, Extensions, Now, Question, Session, SessionConfig, StateName, Steps, TlsOffer,
        },
        step::Step,
    },
    store::{Origin, Receipt},
    suppress::lookup,
};

use super::{
    inbound::{self, How, Stored},
    listener::Entrance,
    policy::{self, Client},
    sink::Gathering,
    spool::Spool,
    submit::Incoming,
    sweep::{Ended, Place},
    trace::TraceTop,
};

/// Bytes read at once; one such buffer a thread serves all of its sessions.
const READ_BYTES: usize = 64 * 1024;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// A session's own state.
pub(super) struct Talk {
    entrance: Arc<Entrance>,
    listener: Arc<Listener>,
    address: IpAddr,
    place: Arc<Place>,
    stream: ServerStream,
    core: Session<Stored>,
    /// When the session began: its steady clock.
    began: Instant,
    /// When the last MAIL came: deadlines count from there.
    mail_at: Timestamp,
    out: Vec<u8>,
    spool: Spooling,
    user: Option<Login>,
    tls_agreed: String,
    accepted_last: Option<Instant>,
    message_id_added: Option<String>,
    stop_told: bool,
}

/// What became of the content so far.
enum Spooling {
    /// None came.
    Nothing,
    /// It is spooled.
    Going(Spool),
    /// It is for ourselves, and is gathered.
    Inbound(Gathering),
    /// It could not be kept: the message is answered with this.
    Refused(Reply),
}

/// What a read brought.
enum Came {
    Steps(Steps),
    End,
}

/// Runs a session to its end.
pub(super) async fn run(
    entrance: Arc<Entrance>,
    listener: Arc<Listener>,
    socket: Socket,
    address: IpAddr,
    place: Arc<Place>,
) {
    let config = entrance.config.get();
    let mut tls_agreed = String::new();
    let stream = if listener.tls == ListenerTls::Implicit {
        place.wait_at_most(HANDSHAKE_TIMEOUT);
        match handshake(&entrance, socket).await {
            Ok((stream, agreed)) => {
                tls_agreed = agreed;
                stream
            }
            Err(error) => {
                log::info!("session source={address} phase=tls error=\"{error}\"");
                return;
            }
        }
    } else {
        ServerStream::Plain(socket)
    };
    let core = Session::new(session_config(&config, &entrance, &listener, address, &tls_agreed));
    let talk = Talk {
        began: entrance.clock.instant(),
        mail_at: Timestamp::ZERO,
        entrance,
        listener,
        address,
        place,
        stream,
        core,
        out: Vec::new(),
        spool: Spooling::Nothing,
        user: None,
        tls_agreed,
        accepted_last: None,
        message_id_added: None,
        stop_told: false,
    };
    if let Err(error) = talk.run().await {
        log::debug!("session source={address} error=\"{error}\"");
    }
}

async fn handshake(entrance: &Entrance, socket: Socket) -> io::Result<(ServerStream, String)> {
    let Some(tls) = &entrance.tls else {
        return Err(io::Error::other("no certificate is configured"));
    };
    ServerStream::start_tls(socket, tls).await
}

fn session_config(
    config: &Config,
    entrance: &Entrance,
    listener: &Listener,
    address: IpAddr,
    tls_agreed: &str,
) -> SessionConfig {
    let tls_active = !tls_agreed.is_empty();
    let client = Client { address, user: None, tls_active, listener_tls: listener.tls, role: listener.role };
    let in_network = policy::contains(&config.relay.networks, address);
    SessionConfig {
        hostname: config.server.hostname.clone(),
        tls: if tls_active {
            TlsOffer::Active(tls_agreed.to_owned())
        } else if listener.tls == ListenerTls::StartTls && entrance.tls.is_some() {
            TlsOffer::Offered
        } else {
            TlsOffer::None
        },
        role: match listener.role {
            Role::Relay => server::Role::Relay,
            Role::Inbound => server::Role::Inbound,
        },
        // Whether a login or TLS is needed first depends on the sender's network and login: `policy` says so at MAIL.
        tls_required_for_mail: false,
        auth: AuthOffer {
            offered: client.may_auth(),
            required: false,
            in_clear_refused: listener.role == Role::Relay && !client.may_auth(),
        },
        message_size_max: match listener.role {
            Role::Relay => config.relay.message_size_max,
            Role::Inbound => config.inbound.message_size_max,
        },
        recipients_max: config.relay.recipients_max,
        bare_newline_normalize: config.relay.bare_newline == BareNewline::Normalize && in_network,
        extensions: match listener.role {
            Role::Relay => Extensions {
                mt_priority: true,
                future_release_seconds_max: u32::try_from(config.queue.future_release_max.as_secs())
                    .map_or(SECONDS_MAX, |seconds| seconds.min(SECONDS_MAX)),
                deliver_by: true,
                require_tls: true,
            },
            Role::Inbound => Extensions::default(),
        },
    }
}

/// The time for the core.
fn now(clock: &Clock, began: Instant) -> Now {
    Now {
        unix_seconds: clock.now().as_seconds(),
        steady_seconds: clock.instant().saturating_duration_since(began).as_secs(),
    }
}

impl Talk {
    // What is rare or heavy is boxed where it is awaited, so that an idle session does not carry room for it.
    async fn run(mut self) -> io::Result<()> {
        let mut steps = self.core.start();
        loop {
            let mut next = None;
            for step in steps {
                match step {
                    Step::Write(bytes) if self.out.is_empty() => self.out = bytes,
                    Step::Write(bytes) => self.out.extend_from_slice(&bytes),
                    Step::Content(bytes) => self.content(&bytes).await,
                    Step::SendContent { .. } => return Err(io::Error::other("a server sends no content")),
                    Step::Read { within } => {
                        self.flush().await?;
                        next = Some(self.read(within).await);
                    }
                    Step::StartTls => {
                        self.flush().await?;
                        next = Some(Box::pin(self.start_tls()).await?);
                    }
                    Step::Ask(question) => {
                        let answer = self.decide(question).await?;
                        next = Some(self.core.answer(answer));
                    }
                    Step::Close => {
                        self.flush().await?;
                        self.stream.close().await;
                        return Ok(());
                    }
                }
            }
            steps = match next {
                Some(steps) => steps,
                None => return Ok(()),
            };
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            let out = std::mem::take(&mut self.out);
            self.note_refusals(&out);
            self.stream.send(&out).await?;
        }
        Ok(())
    }

    /// Counts and logs every 4yz and 5yz, whoever decided it: "why is my mail refused" is answered by one look at the log.
    fn note_refusals(&self, out: &[u8]) {
        for line in out.split(|b| *b == b'\n').filter(|l| matches!(l, [b'4' | b'5', _, _, b' ', ..])) {
            self.entrance.metrics.refusals.one();
            log::info!(
                "session source={} user={} helo={} refused=\"{}\"",
                self.address,
                self.user_name().unwrap_or("-"),
                if self.core.helo().is_empty() { "-" } else { self.core.helo() },
                String::from_utf8_lossy(line).trim_end().escape_debug()
            );
        }
    }

    async fn read(&mut self, within: Duration) -> Steps {
        self.place.set_busy(receives_content(self.core.state()));
        if !self.core.content_wanted() {
            self.spool = Spooling::Nothing;
        }
        if self.entrance.board.is_draining() && !self.stop_told {
            self.stop_told = true;
            if let Some(steps) = self.core.shut_down(Reply::shutting_down(&self.entrance.config.get().server.hostname))
            {
                return steps;
            }
        }
        self.place.wait_at_most(within);
        let came = self.receive().await;
        self.place.wait_for_ever();
        match came {
            Came::Steps(steps) => steps,
            Came::End => match self.place.ended() {
                Ended::ByPeer => self.core.closed(),
                Ended::TimedOut => self.core.timed_out(),
                Ended::Draining => self.say_goodbye(),
            },
        }
    }

    /// One read, straight from the thread's buffer into the core.
    async fn receive(&mut self) -> Came {
        let (stream, core) = (&mut self.stream, &mut self.core);
        let (clock, began) = (&self.entrance.clock, self.began);
        poll_fn(|cx| {
            READ_BUFFER.with_borrow_mut(|buffer| match ready!(stream.poll_receive(cx, buffer)) {
                Ok(0) | Err(_) => Poll::Ready(Came::End),
                Ok(n) => {
                    core.time_is(now(clock, began));
                    Poll::Ready(Came::Steps(core.receive(&buffer[..n])))
                }
            })
        })
        .await
    }

    fn say_goodbye(&mut self) -> Steps {
        match self.core.shut_down(Reply::shutting_down(&self.entrance.config.get().server.hostname)) {
            Some(steps) => steps,
            None => self.core.closed(),
        }
    }

    async fn start_tls(&mut self) -> io::Result<Steps> {
        let ServerStream::Plain(socket) = &self.stream else {
            return Err(io::Error::other("TLS is active already"));
        };
        self.place.wait_at_most(HANDSHAKE_TIMEOUT);
        match handshake(&self.entrance, socket.clone()).await {
            Ok((stream, agreed)) => {
                self.stream = stream;
                self.tls_agreed = agreed.clone();
                self.user = None;
                self.spool = Spooling::Nothing;
                Ok(self.core.tls_started(agreed))
            }
            Err(error) => {
                log::info!("session source={} phase=starttls error=\"{error}\"", self.address);
                Ok(self.core.tls_failed())
            }
        }
    }

    async fn content(&mut self, bytes: &[u8]) {
        let mut spool = match std::mem::replace(&mut self.spool, Spooling::Nothing) {
            Spooling::Nothing if self.listener.role == Role::Inbound => {
                let gathering = inbound::gathering(&self.entrance, self.core.envelope());
                return self.inbound_content(gathering, bytes);
            }
            Spooling::Inbound(gathering) => return self.inbound_content(Some(gathering), bytes),
            Spooling::Nothing => self.new_spool(),
            Spooling::Going(spool) => spool,
            Spooling::Refused(reply) => {
                self.spool = Spooling::Refused(reply);
                return;
            }
        };
        let mut top = self.top(spool.id(), self.core.envelope());
        let added = spool.add(bytes, &self.entrance.store, &mut top).await;
        if let Some(id) = top.message_id_added {
            self.message_id_added = Some(id);
        }
        self.spool = match added {
            Ok(()) => Spooling::Going(spool),
            Err(reply) => {
                self.core.content_refused(reply.clone());
                Spooling::Refused(reply)
            }
        };
    }

    fn inbound_content(&mut self, gathering: Option<Gathering>, bytes: &[u8]) {
        let added = gathering.ok_or_else(Reply::storage_trouble).and_then(|mut gathering| {
            gathering.add(bytes)?;
            Ok(gathering)
        });
        self.spool = match added {
            Ok(gathering) => Spooling::Inbound(gathering),
            Err(reply) => {
                self.core.content_refused(reply.clone());
                Spooling::Refused(reply)
            }
        };
    }

    fn new_spool(&self) -> Spool {
        let announced = self.core.envelope().and_then(|e| e.params.size);
        Spool::new(self.entrance.door.new_id(), announced, &self.entrance.budget)
    }

    async fn decide(&mut self, question: Question) -> io::Result<Answer<Stored>> {
        Ok(match question {
            Question::Login { name, password } => {
                self.flush().await?;
                Box::pin(self.log_in(name, password)).await
            }
            Question::Sender { sender, .. } => {
                self.spool = Spooling::Nothing;
                self.message_id_added = None;
                Box::pin(self.keep_interval()).await;
                self.mail_at = self.entrance.clock.now();
                if !self.renew_login() {
                    return Ok(Answer::NoAndClose(Reply::login_is_over()));
                }
                let config = self.entrance.config.get();
                yes_or_no(
                    policy::may_send(&config, &self.client())
                        .and_then(|()| self.entrance.door.may_begin())
                        .and_then(|()| self.rights().map_or(Ok(()), |r| policy::may_use_sender(r, sender.as_ref())))
                        .and_then(|()| self.could_submit(1)),
                )
            }
            Question::Recipient { address, count, .. } => {
                let config = self.entrance.config.get();
                yes_or_no(match self.listener.role {
                    Role::Relay => policy::may_send_to(&config, &self.client())
                        .and_then(|()| self.could_submit(count + 1))
                        .and_then(|()| self.may_be_written_to(&config, &address)),
                    Role::Inbound => {
                        let announced = self.core.envelope().and_then(|e| e.params.size);
                        inbound::recipient(&self.entrance, &address, announced)
                    }
                })
            }
            Question::Message { envelope, .. } => {
                self.flush().await?;
                let stored = match self.listener.role {
                    Role::Relay => Box::pin(self.message(envelope)).await.map(Stored::Message),
                    Role::Inbound => Box::pin(self.inbound(envelope)).await.map(Stored::Inbound),
                };
                match stored {
                    Ok(stored) => {
                        self.accepted_last = Some(self.entrance.clock.instant());
                        Answer::Queued(stored)
                    }
                    Err(reply) => Answer::No(reply),
                }
            }
        })
    }

    /// `[suppression] on_submit = "reject"`: who is suppressed is refused at RCPT.
    fn may_be_written_to(&self, config: &Config, address: &Mailbox) -> Result<(), Reply> {
        if !config.suppression.reject_on_submit {
            return Ok(());
        }
        let (user, now) = (self.user_name().unwrap_or_default(), self.entrance.clock.now());
        lookup::may_be_written_to(&self.entrance.store, address, user, now)
    }

    /// A mail for ourselves: its sinks keep it, and it is not delivered as it stands.
    async fn inbound(&mut self, envelope: Envelope) -> Result<MessageId, Reply> {
        let gathering = match std::mem::replace(&mut self.spool, Spooling::Nothing) {
            Spooling::Inbound(gathering) => gathering,
            Spooling::Refused(reply) => return Err(reply),
            // No content came at all.
            Spooling::Nothing | Spooling::Going(_) => return Err(Reply::storage_trouble()),
        };
        let how = How {
            helo: self.core.helo(),
            address: self.address,
            extended: self.core.is_esmtp(),
            tls: &self.tls_agreed,
        };
        inbound::message(&self.entrance, &envelope, gathering, how).await
    }

    async fn message(&mut self, mut envelope: Envelope) -> Result<Receipt, Reply> {
        if let Some(by) = &mut envelope.params.by {
            let passed = self.entrance.clock.now().since(self.mail_at).as_secs();
            *by = counted_from_now(*by, passed).ok_or_else(Reply::deliver_by_is_over)?;
        }
        let spool = match std::mem::replace(&mut self.spool, Spooling::Nothing) {
            // An inbound listener's mail never comes here.
            Spooling::Nothing | Spooling::Inbound(_) => self.new_spool(),
            Spooling::Going(spool) => spool,
            Spooling::Refused(reply) => return Err(reply),
        };
        let id = spool.id();
        let mut top = self.top(id, Some(&envelope));
        let mut spooled = spool.finish(&self.entrance.store, &mut top).await?;
        if let Some(added) = top.message_id_added.or(self.message_id_added.take()) {
            spooled.facts.message_id = added;
        }
        let (user, user_class, sandbox) = match &self.user {
            Some(login) => {
                self.may_submit(login, &envelope, &spooled.facts)?;
                (login.name.clone(), login.rights.class, login.rights.sandbox)
            }
            None => Default::default(),
        };
        self.entrance
            .door
            .submit(Incoming {
                id,
                envelope,
                body: spooled.body,
                facts: spooled.facts,
                watched: spooled.watched,
                user,
                user_class,
                source_ip: Some(self.address),
                origin: Origin::Smtp,
                settles: Vec::new(),
                sandbox,
                memos: Vec::new(),
            })
            .await
    }

    /// `receive_interval`: the least time between two accepted messages of a session.
    async fn keep_interval(&mut self) {
        let config = self.entrance.config.get();
        let interval = match self.listener.role {
            Role::Relay => config.relay.receive_interval,
            Role::Inbound => config.inbound.receive_interval,
        };
        if let Some(last) = self.accepted_last
            && !interval.is_zero()
        {
            let passed = self.entrance.clock.instant().saturating_duration_since(last);
            if let Some(rest) = interval.checked_sub(passed) {
                Timer::after(rest).await;
            }
        }
    }

    fn top<'a>(&'a self, id: MessageId, envelope: Option<&'a Envelope>) -> TraceTop<'a> {
        TraceTop {
            config: self.entrance.config.get(),
            clock: &self.entrance.clock,
            key: &self.entrance.trace_key,
            id,
            helo: self.core.helo(),
            address: self.address,
            extended: self.core.is_esmtp(),
            authenticated: self.user.is_some(),
            http: false,
            tls: &self.tls_agreed,
            envelope,
            message_id_added: None,
        }
    }

    fn client(&self) -> Client<'_> {
        Client {
            address: self.address,
            user: self.user_name(),
            tls_active: !self.tls_agreed.is_empty(),
            listener_tls: self.listener.tls,
            role: self.listener.role,
        }
    }
}

/// A message is on its way in: a drain lets it finish.
fn receives_content(state: StateName) -> bool {
    match state {
        StateName::Data
        | StateName::Chunk
        | StateName::BetweenChunks
        | StateName::UnwantedChunk
        | StateName::MessageAsked => true,
        StateName::Start
        | StateName::Greeted
        | StateName::Idle
        | StateName::Login
        | StateName::LoginAsked
        | StateName::SenderAsked
        | StateName::Mail
        | StateName::RecipientAsked
        | StateName::Handshake
        | StateName::Closed => false,
    }
}

/// A deadline of MAIL as seconds from now, `passed` seconds later; `None`: it is over, and the mail must not go on.
fn counted_from_now(by: DeliverBy, passed: u64) -> Option<DeliverBy> {
    let seconds = by.seconds.saturating_sub(i64::try_from(passed).unwrap_or(i64::MAX));
    (by.mode == ByMode::Notify || seconds > 0).then_some(DeliverBy { seconds, ..by })
}

fn yes_or_no(decision: Result<(), Reply>) -> Answer<Stored> {
    match decision {
        Ok(()) => Answer::Yes,
        Err(reply) => Answer::No(reply),
    }
}
