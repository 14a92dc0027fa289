//! The server's side of an SMTP session, without its socket.
//!
//! In: octets, answers, and what happened to the connection.  Out: [`Steps`] for the shell.
//! Always: one question at a time, in the order of the commands; a 250 to a message comes from [`Answer::Queued`] alone (P1);
//! how the octets were cut into pieces changes nothing; memory is bounded by [`limits`]; nothing that came in clear is left
//! after STARTTLS.
//! Sources: RFC 5321, and beside each command those that add to it.
//!
//! The shell's loop, and all it has to know:
//! 1. `start`, then carry out the steps in order. Write is collected; Content is spooled.
//! 2. Read: flush, read once, then `time_is` and `receive`, or `closed`, or `timed_out`. Before it reads, the shell may look at
//!    [`Session::content_wanted`]: false means that what was spooled can go.
//! 3. Ask: decide, then `answer`. Flush first if the decision takes long (Login, Message); a Sender or Recipient brings no
//!    Write before it. A Sender begins a new message: what was spooled before it belongs to none.
//! 4. StartTls: flush, handshake, then `tls_started` or `tls_failed`.
//! 5. Close: flush, close, drop the session.

mod commands;
mod config;
mod content;
pub mod limits;
mod state;

use std::{fmt, marker::PhantomData, mem, time::Duration};

pub use config::{Answer, AuthOffer, Extensions, Now, Question, Role, SessionConfig, Steps, TlsOffer};
pub use state::StateName;

use state::{State, Transaction};

use super::{
    auth::AUTH_LINE_OCTETS_MAX,
    line::{LineEvent, LineReader},
    params::Envelope,
    reply::Reply,
    step::Step,
};

/// First octet of a TLS record: a client that begins TLS on a port that does not.
const TLS_HANDSHAKE_RECORD: u8 = 0x16;

/// One session. `R` is the proof that a message is stored; its Display is the queue id.
#[derive(Debug)]
pub struct Session<R> {
    config: SessionConfig,
    state: State,
    helo: String,
    esmtp: bool,
    user: Option<String>,
    counts: Counts,
    lines: LineReader,
    /// Input that waits for an answer, or for the rest of its line; `input[..taken]` is used up.
    input: Vec<u8>,
    taken: usize,
    /// Replies that are not handed over yet.
    out: Vec<u8>,
    /// What to say at the next command boundary.
    stopping: Option<Reply>,
    now: Now,
    /// When the message on its way in began, by the steady clock, and how many of its octets came.
    content_since: u64,
    content_octets: u64,
    receipt: PhantomData<fn(R)>,
}

/// What is counted against [`limits`]; the first three begin anew with each accepted message.
#[derive(Debug, Default)]
struct Counts {
    errors: u32,
    idle_commands: u32,
    refusals: u32,
    failed_logins: u32,
}

/// What follows a command, an answer or a piece of content.
#[derive(Debug)]
enum Flow {
    /// Go on with the input.
    Go,
    /// Stop for an answer.
    Ask(Question),
    /// Stop for the handshake.
    StartTls,
    /// The end.
    Close,
}

impl<R: fmt::Display> Session<R> {
    /// A session that has said nothing yet.
    pub fn new(config: SessionConfig) -> Self {
        Session {
            config,
            state: State::Start,
            helo: String::new(),
            esmtp: false,
            user: None,
            counts: Counts::default(),
            lines: LineReader::default(),
            input: Vec::new(),
            taken: 0,
            out: Vec::new(),
            stopping: None,
            now: Now::default(),
            content_since: 0,
            content_octets: 0,
            receipt: PhantomData,
        }
    }

    /// Greets the peer. A shell that sees octets of the peer before it calls this hands them to [`Session::receive`]
    /// instead: who does not wait for the greeting is no mail client (RFC 5321 §3.1), and is sent away.
    pub fn start(&mut self) -> Steps {
        let mut steps = Steps::new();
        if let State::Start = self.state {
            self.state = State::Greeted;
            self.say(&Reply::greeting(&self.config.hostname));
            self.run(&[], &mut steps);
        }
        steps
    }

    /// The time, for FUTURERELEASE and for how long a message may take; before each [`Session::receive`].
    pub fn time_is(&mut self, now: Now) {
        self.now = now;
    }

    /// Octets of the peer came. All of them are consumed or kept.
    pub fn receive(&mut self, bytes: &[u8]) -> Steps {
        let mut steps = Steps::new();
        match self.state {
            State::Start => {
                self.say(&Reply::spoke_too_early());
                self.stop(Flow::Close, &mut steps);
            }
            // What comes in clear between STARTTLS and the handshake is dropped (RFC 3207 §4.2).
            State::Handshake | State::Closed => {}
            _ if self.state.is_message() && self.content_left().is_zero() => {
                self.say(&Reply::too_slow());
                self.stop(Flow::Close, &mut steps);
            }
            // Commands mostly come whole: then they are read where they are, without a copy.
            _ if self.input.len() == self.taken && !self.owes_an_answer() => {
                let used = self.run(bytes, &mut steps);
                self.keep(&bytes[used..]);
            }
            _ => {
                self.keep(bytes);
                if self.input.len() > limits::INPUT_OCTETS_MAX {
                    self.say(&Reply::too_much_input());
                    self.stop(Flow::Close, &mut steps);
                } else if !self.owes_an_answer() {
                    self.run_kept(&mut steps);
                }
            }
        }
        steps
    }

    /// The answer to the last question. One that does not fit the question is a 451: nothing is promised by mistake.
    pub fn answer(&mut self, answer: Answer<R>) -> Steps {
        let mut steps = Steps::new();
        let flow = match mem::replace(&mut self.state, State::Closed) {
            State::LoginAsked => self.login_answered(answer),
            State::SenderAsked(envelope) => self.sender_answered(envelope, answer),
            State::RecipientAsked(transaction, recipient) => self.recipient_answered(transaction, recipient, answer),
            State::MessageAsked { .. } => self.message_answered(answer),
            // Nothing was asked.
            other => {
                self.state = other;
                return steps;
            }
        };
        match flow {
            Flow::Go => self.run_kept(&mut steps),
            stop => self.stop(stop, &mut steps),
        }
        steps
    }

    /// The shell cannot take the content that it gets: the rest is drained, and at its end `reply` (4yz or 5yz) is said.
    /// When the Message question stands in the same steps, its answer is No instead, and this does nothing.
    pub fn content_refused(&mut self, reply: Reply) {
        if let State::Data(t) | State::Chunk(t, _) | State::BetweenChunks(t) = &mut self.state {
            t.scanner.mute();
            t.refused.get_or_insert(negative(reply));
        }
    }

    /// False: what was spooled of this session can be dropped; it will not be asked about.
    pub fn content_wanted(&self) -> bool {
        match &self.state {
            State::Data(t) | State::Chunk(t, _) | State::BetweenChunks(t) => t.is_wanted(),
            State::MessageAsked { .. } => true,
            State::UnwantedChunk { then, .. } => matches!(&**then, State::BetweenChunks(t) if t.is_wanted()),
            _ => false,
        }
    }

    /// The handshake is done; `info` names protocol and cipher. Everything that was said in clear is forgotten, the EHLO
    /// too (RFC 3207 §4.2).
    pub fn tls_started(&mut self, info: String) -> Steps {
        let mut steps = Steps::new();
        if let State::Handshake = self.state {
            self.config.tls = TlsOffer::Active(info);
            self.state = State::Greeted;
            self.helo.clear();
            self.esmtp = false;
            self.user = None;
            self.run(&[], &mut steps);
        }
        steps
    }

    /// The handshake failed: nothing can be said any more.
    pub fn tls_failed(&mut self) -> Steps {
        self.closed()
    }

    /// The peer closed the connection. An unfinished message is dropped.
    pub fn closed(&mut self) -> Steps {
        let mut steps = Steps::new();
        self.out.clear();
        self.stop(Flow::Close, &mut steps);
        steps
    }

    /// Nothing came within the time of the last Read.
    pub fn timed_out(&mut self) -> Steps {
        let mut steps = Steps::new();
        self.say(&Reply::timed_out(self.patience().as_secs()));
        self.stop(Flow::Close, &mut steps);
        steps
    }

    /// The daemon stops: says `reply` (421) and closes, now if no message is on its way in and no answer is owed; else
    /// answers `None`, and does so at the next command boundary.
    pub fn shut_down(&mut self, reply: Reply) -> Option<Steps> {
        if !self.state.is_boundary() {
            self.stopping = Some(reply);
            return None;
        }
        let mut steps = Steps::new();
        self.say(&reply);
        self.stop(Flow::Close, &mut steps);
        Some(steps)
    }

    /// The transaction so far; `None` outside of one, and once the Message question has taken it.
    pub fn envelope(&self) -> Option<&Envelope> {
        self.state.envelope()
    }

    /// What the peer called itself; empty before EHLO or HELO.
    pub fn helo(&self) -> &str {
        &self.helo
    }

    /// EHLO was said, not HELO.
    pub fn is_esmtp(&self) -> bool {
        self.esmtp
    }

    /// The user that logged in.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Protocol and cipher, under TLS.
    pub fn tls(&self) -> Option<&str> {
        match &self.config.tls {
            TlsOffer::Active(info) => Some(info),
            TlsOffer::None | TlsOffer::Offered => None,
        }
    }

    /// Where the session is.
    pub fn state(&self) -> StateName {
        self.state.name()
    }

    /// The `with` word of the Received header, during a transaction and while its message is being stored (RFC 3848,
    /// RFC 6531 §4.3).
    pub fn with_protocol(&self) -> &'static str {
        let smtputf8 = match &self.state {
            State::MessageAsked { smtputf8 } => *smtputf8,
            state => state.envelope().is_some_and(|e| e.params.smtputf8),
        };
        match (self.esmtp, smtputf8, self.tls().is_some(), self.user.is_some()) {
            (false, ..) => "SMTP",
            (_, false, false, false) => "ESMTP",
            (_, false, false, true) => "ESMTPA",
            (_, false, true, false) => "ESMTPS",
            (_, false, true, true) => "ESMTPSA",
            (_, true, false, false) => "UTF8SMTP",
            (_, true, false, true) => "UTF8SMTPA",
            (_, true, true, false) => "UTF8SMTPS",
            (_, true, true, true) => "UTF8SMTPSA",
        }
    }
}

/// The machinery: input to commands and content, replies and questions to steps.
impl<R: fmt::Display> Session<R> {
    /// Works off `input` until it is used up or something must happen outside; answers how much was used. Each turn uses
    /// octets or ends.
    fn run(&mut self, input: &[u8], steps: &mut Steps) -> usize {
        let mut at = 0;
        loop {
            if let Some(reply) = self.stopping.take_if(|_| self.state.is_boundary()) {
                self.say(&reply);
                self.stop(Flow::Close, steps);
                return input.len();
            }
            let rest = &input[at..];
            if rest.is_empty() && !self.state.is_ended_chunk() {
                self.wait(steps);
                return at;
            }
            let (used, flow) = if self.state.is_content() {
                let (used, flow) = self.content(rest, steps);
                self.content_octets += used as u64;
                (used, flow)
            } else {
                match self.next_line(rest) {
                    (used, Some(flow)) => (used, flow),
                    // A part of a line is kept, or of an overlong one dropped.
                    (0, None) => {
                        self.wait(steps);
                        return at;
                    }
                    (used, None) => (used, Flow::Go),
                }
            };
            at += used;
            match flow {
                Flow::Go => {}
                // What was sent behind STARTTLS in clear is no command (RFC 3207 §4.2); behind a close, nothing counts.
                stop @ (Flow::StartTls | Flow::Close) => {
                    self.stop(stop, steps);
                    return input.len();
                }
                ask @ Flow::Ask(_) => {
                    self.stop(ask, steps);
                    return at;
                }
            }
        }
    }

    /// [`Session::run`] on the input that was kept.
    fn run_kept(&mut self, steps: &mut Steps) {
        let input = mem::take(&mut self.input);
        let taken = mem::take(&mut self.taken);
        let used = self.run(&input[taken..], steps);
        // Stopping forgets the input; else what is left stays in the same buffer.
        if taken + used < input.len() {
            self.taken = taken + used;
            self.input = input;
        } else if input.capacity() <= limits::INPUT_OCTETS_KEPT {
            self.input = input;
            self.input.clear();
        }
    }

    /// Keeps input that cannot be used yet.
    fn keep(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.input.drain(..self.taken);
            self.taken = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    /// Looks for a line and obeys it.
    fn next_line(&mut self, input: &[u8]) -> (usize, Option<Flow>) {
        let begins_line = matches!(self.state, State::Greeted) && self.lines.is_at_line_start();
        if begins_line && input.first() == Some(&TLS_HANDSHAKE_RECORD) {
            return (input.len(), Some(self.say_and_close(&Reply::not_smtp())));
        }
        let octets_max = match self.state {
            State::Login(_) => AUTH_LINE_OCTETS_MAX,
            _ => limits::COMMAND_LINE_OCTETS_MAX,
        };
        let (used, event) = self.lines.next(input, octets_max, self.config.bare_newline_normalize);
        let flow = event.map(|event| match event {
            LineEvent::Line(line) => match std::str::from_utf8(line) {
                Ok(line) => self.line(line),
                Err(_) => self.not_a_line(Reply::not_utf8()),
            },
            LineEvent::TooLong if matches!(self.state, State::Login(_)) => self.not_a_line(Reply::auth_line_too_long()),
            LineEvent::TooLong => self.error(Reply::line_too_long()),
            LineEvent::Endless => self.say_and_close(&Reply::line_too_long()),
            LineEvent::Malformed => self.say_and_close(&Reply::malformed_line()),
        });
        (used, flow)
    }

    /// A line that is no text ends an exchange of AUTH as well.
    fn not_a_line(&mut self, reply: Reply) -> Flow {
        if matches!(self.state, State::Login(_)) {
            self.state = State::Idle;
        }
        self.error(reply)
    }

    fn owes_an_answer(&self) -> bool {
        match self.state {
            State::LoginAsked | State::SenderAsked(_) | State::RecipientAsked(..) | State::MessageAsked { .. } => true,
            State::Start
            | State::Greeted
            | State::Idle
            | State::Login(_)
            | State::Mail(_)
            | State::Data(_)
            | State::Chunk(..)
            | State::BetweenChunks(_)
            | State::UnwantedChunk { .. }
            | State::Handshake
            | State::Closed => false,
        }
    }

    fn patience(&self) -> Duration {
        if !self.state.is_content() {
            return limits::COMMAND_WITHIN;
        }
        // At least a second, so that a read is always a wait.
        limits::CONTENT_WITHIN.min(self.content_left()).max(Duration::from_secs(1))
    }

    /// A message's octets follow: its time begins.
    fn content_begins(&mut self) {
        self.content_since = self.now.steady_seconds;
        self.content_octets = 0;
    }

    /// How long the rest of the message may take, as far as it is known now.
    fn content_left(&self) -> Duration {
        let allowed = limits::CONTENT_GRACE_SECONDS + self.content_octets / limits::CONTENT_OCTETS_PER_SECOND_MIN;
        Duration::from_secs(self.content_since.saturating_add(allowed).saturating_sub(self.now.steady_seconds))
    }

    fn say(&mut self, reply: &Reply) {
        reply.encode(&mut self.out);
    }

    fn say_and_close(&mut self, reply: &Reply) -> Flow {
        self.say(reply);
        Flow::Close
    }

    /// Hands over the replies so far.
    fn flush(&mut self, steps: &mut Steps) {
        if !self.out.is_empty() {
            steps.push(Step::Write(mem::take(&mut self.out)));
        }
    }

    fn wait(&mut self, steps: &mut Steps) {
        self.flush(steps);
        steps.push(Step::Read { within: self.patience() });
    }

    fn stop(&mut self, flow: Flow, steps: &mut Steps) {
        match flow {
            Flow::Go => self.wait(steps),
            Flow::Ask(question) => {
                // These two are decided at once: their reply and those before it leave together.
                if !matches!(question, Question::Sender { .. } | Question::Recipient { .. }) {
                    self.flush(steps);
                }
                steps.push(Step::Ask(question));
            }
            Flow::StartTls => {
                self.forget_input();
                self.state = State::Handshake;
                self.flush(steps);
                steps.push(Step::StartTls);
            }
            Flow::Close => {
                self.forget_input();
                self.state = State::Closed;
                self.flush(steps);
                steps.push(Step::Close);
            }
        }
    }

    fn forget_input(&mut self) {
        self.input = Vec::new();
        self.taken = 0;
        self.lines = LineReader::default();
    }

    /// Says a refusal that the peer's mistake has earned; too many of them end the session.
    fn error(&mut self, reply: Reply) -> Flow {
        self.counts.errors += 1;
        if self.counts.errors > limits::ERRORS_MAX {
            return self.say_and_close(&Reply::too_many_errors());
        }
        self.say(&reply);
        Flow::Go
    }

    /// Says a refusal of something well-formed.
    fn refuse(&mut self, reply: Reply) -> Flow {
        self.counts.refusals += 1;
        if self.counts.refusals > limits::REFUSALS_MAX {
            return self.say_and_close(&Reply::too_many_errors());
        }
        self.say(&reply);
        Flow::Go
    }

    /// Says yes to a command that sends no mail.
    fn idle_command(&mut self, reply: Reply) -> Flow {
        self.counts.idle_commands += 1;
        if self.counts.idle_commands > limits::IDLE_COMMANDS_MAX {
            return self.say_and_close(&Reply::too_many_idle_commands());
        }
        self.say(&reply);
        Flow::Go
    }

    /// Forgets a transaction.
    fn reset(&mut self) {
        self.state = match self.state {
            State::Start | State::Greeted => State::Greeted,
            _ => State::Idle,
        };
    }

    /// The transaction, taken out of a state that has one to go on with; the state is [`State::Closed`] until it is set.
    fn take_transaction(&mut self) -> Option<Transaction> {
        match mem::replace(&mut self.state, State::Closed) {
            State::Mail(transaction) => Some(transaction),
            other => {
                self.state = other;
                None
            }
        }
    }
}

/// A refusal that must not sound like a yes: anything but 4yz and 5yz becomes 451.
fn negative(reply: Reply) -> Reply {
    if reply.is_negative() { reply } else { Reply::storage_trouble() }
}
