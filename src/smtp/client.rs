//! The sending side of SMTP, without a socket: one connection's dialog, from the greeting through many messages to QUIT.
//!
//! In: what arrives ([`Client::receive`], [`Client::closed`], [`Client::timed_out`]) and messages ([`Client::begin`]).
//! Out: [`Step`]s; after each message one [`End`] a recipient; [`Client::fault`] once the connection is of no more use.
//! Always: content follows only a 354 that at least one accepted recipient stands behind; what arrived in clear is
//! forgotten at STARTTLS; a reply lost after the final dot is told apart from every other loss (P3).
//! Sources: RFC 5321 §3, §4.1 and §4.5.3.2, RFC 2920, 3207, 4954, 9422, 6710, 2852, 8689.
//!
//! ```text
//! Greeting ─► Ehlo ─(5yz)─► Helo            ┌───────────── next message ─────────────┐
//!               │  ▲                        ▼                                        │
//!               ▼  │               Ready ─► Dialog ─(354)─► Sending ─► Final ────────┤
//!           StartTls ─► Handshake    ▲        └──(354, nobody accepted)─► LoneDot ───┤
//!               └─► Auth… ───────────┘        └──(all refused) ──────────────────────┘
//! ```

mod peer;
mod tape;
mod terms;
#[cfg(test)]
mod tests;
mod transaction;

use std::{borrow::Cow, convert::Infallible, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use super::{
    answer::Answers,
    conversation::Said,
    reply::{Enhanced, Reply},
    step::Step,
};
use crate::event::Phase;

pub use self::{
    peer::Peer,
    tape::{About, Entry, NO_TURN},
    terms::{End, Fault, Login, Setup, Timeouts, TlsMode, Trouble, words},
    transaction::Transaction,
};
use self::{
    tape::{Secrets, Tape},
    transaction::{Command, Lines},
};

/// Octets of pipelined commands that may be unanswered, so that neither side's buffers fill up (RFC 2920 §3.1).
const PIPELINE_OCTETS_MAX: usize = 16 * 1024;

#[derive(Debug)]
enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Handshake,
    AuthPlain,
    /// AUTH LOGIN was sent: the question for the name comes.
    AuthUser,
    /// The question for the password comes.
    AuthPassword,
    /// The verdict on the password comes.
    AuthDone,
    Ready,
    Dialog(Dialog),
    Sending,
    Final,
    LoneDot {
        mail_refused: Option<Reply>,
    },
    Quitting,
    Over,
}

/// Commands of a transaction on their way.
#[derive(Debug)]
struct Dialog {
    lines: Lines,
    sent: usize,
    answered: usize,
    mail_refused: Option<Reply>,
    accepted: usize,
}

/// One connection's dialog.
#[derive(Debug)]
pub struct Client {
    setup: Setup,
    state: State,
    answers: Answers,
    out: Vec<u8>,
    peer: Peer,
    secure: bool,
    logged_in: bool,
    fault: Option<Fault>,
    transactions: u32,
    reset_first: bool,
    /// What is known of each recipient of the transaction.
    ends: Vec<Option<End>>,
    /// Since the connection began, as the shell says.
    now: Duration,
    /// What was said before the first message.
    opening: Arc<[Entry]>,
    tape: Tape,
    secrets: Secrets,
    /// Octets of the message that is sent.
    size: u64,
}

impl Client {
    /// A connection that was just opened.
    pub fn new(setup: Setup) -> Self {
        Client {
            secure: setup.secure,
            setup,
            state: State::Greeting,
            answers: Answers::default(),
            out: Vec::new(),
            peer: Peer::default(),
            logged_in: false,
            fault: None,
            transactions: 0,
            reset_first: false,
            ends: Vec::new(),
            now: Duration::ZERO,
            opening: Arc::default(),
            tape: Tape::default(),
            secrets: Secrets::default(),
            size: 0,
        }
    }

    /// What time it is, since the connection began: what is said from now on is noted with it.
    pub fn at(&mut self, now: Duration) {
        self.now = now;
    }

    /// What the shell does next; `None`: ready for [`Client::begin`], and the last message's ends may be taken.
    pub fn step(&mut self) -> Option<Step<Infallible>> {
        if !self.out.is_empty() {
            return Some(Step::Write(std::mem::take(&mut self.out)));
        }
        let t = &self.setup.timeouts;
        let within = match &self.state {
            State::Ready => return None,
            State::Handshake => return Some(Step::StartTls),
            State::Sending => return Some(Step::SendContent { dot_stuffed: true }),
            State::Over => return Some(Step::Close),
            State::Greeting | State::Ehlo | State::Helo | State::StartTls => t.greeting,
            State::AuthPlain | State::AuthUser | State::AuthPassword | State::AuthDone => t.greeting,
            State::Dialog(d) => match d.lines.commands.get(d.answered).map(|(command, _)| *command) {
                Some(Command::Rset | Command::Mail) | None => t.mail,
                Some(Command::Rcpt(_)) => t.rcpt,
                Some(Command::Data) => t.data,
            },
            State::Final | State::LoneDot { .. } => t.last,
            State::Quitting => t.quit,
        };
        Some(Step::Read { within })
    }

    /// Octets arrived.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.answers.push(bytes);
        self.read_replies();
    }

    /// The connection ended, or a write failed; `why` is empty when the peer closed it in order.
    pub fn closed(&mut self, why: &str) {
        match self.state {
            State::Quitting | State::Over => self.state = State::Over,
            State::Final => self.fail(Trouble::LostAfterDot(why.to_owned())),
            _ => self.fail(Trouble::Closed(why.to_owned())),
        }
    }

    /// The peer stayed silent for longer than the last [`Step::Read`] said, or took no content for `block`.
    pub fn timed_out(&mut self) {
        let within = match self.step() {
            Some(Step::Read { within }) => within,
            _ => self.setup.timeouts.block,
        };
        match self.state {
            State::Quitting | State::Over => self.state = State::Over,
            State::Final => self.fail(Trouble::LostAfterDot(format!("no answer within {}", words(within)))),
            _ => self.fail(Trouble::TimedOut(within)),
        }
    }

    /// The handshake that [`Step::StartTls`] asked for is done: everything learnt in clear is forgotten.
    pub fn tls_started(&mut self) {
        self.secure = true;
        self.peer = Peer::default();
        self.answers.clear();
        self.say_ehlo();
    }

    /// Notes what the handshake agreed on.
    pub fn note_tls(&mut self, how: &str) {
        self.note(Said::Tls, Cow::Borrowed(how));
    }

    /// The handshake failed; the connection is of no more use.
    pub fn tls_failed(&mut self, why: &str) {
        self.fail(Trouble::TlsBroken(why.to_owned()));
    }

    /// Starts a message; only when [`Client::step`] gave `None` and [`Client::fault`] is `None`.
    pub fn begin(&mut self, t: &Transaction<'_>) {
        self.ends.clear();
        self.tape.clear();
        self.size = t.size;
        if !matches!(self.state, State::Ready) {
            return self.refuse_rest(&Fault { phase: Phase::Mail, trouble: Trouble::Closed(String::new()) });
        }
        let obstacle = transaction::obstacle(t, &self.peer, self.secure);
        self.ends.extend(t.recipients.iter().map(|(address, _)| {
            let trouble = obstacle.clone().or_else(|| transaction::recipient_obstacle(address, &self.peer))?;
            Some(End::Refused(Fault { phase: Phase::Mail, trouble }))
        }));
        if self.ends.iter().all(Option::is_some) {
            return;
        }
        let wanted = (0..self.ends.len()).filter(|n| self.ends[*n].is_none());
        let lines = transaction::lines(t, &self.peer, self.secure, self.reset_first, wanted);
        self.state = State::Dialog(Dialog { lines, sent: 0, answered: 0, mail_refused: None, accepted: 0 });
        self.reset_first = false;
        self.send_commands();
        // A peer that talks out of turn, often to say goodbye, is found out here.
        self.read_replies();
    }

    /// The shell sent the whole content and its final dot.
    pub fn content_sent(&mut self) {
        if let State::Sending = self.state {
            self.note(Said::Content, Cow::Owned(self.size.to_string()));
            self.state = State::Final;
            self.read_replies();
        }
    }

    /// Says goodbye; between messages.
    pub fn quit(&mut self) {
        if let State::Ready = self.state {
            self.out.extend_from_slice(b"QUIT\r\n");
            self.state = State::Quitting;
        }
    }

    /// One result a recipient of the last message, in order.
    pub fn take_ends(&mut self) -> Vec<End> {
        let lost =
            || self.fault.clone().unwrap_or(Fault { phase: Phase::Mail, trouble: Trouble::Closed(String::new()) });
        std::mem::take(&mut self.ends).into_iter().map(|end| end.unwrap_or_else(|| End::Refused(lost()))).collect()
    }

    /// What was said before the first message.
    pub fn opening(&self) -> &Arc<[Entry]> {
        &self.opening
    }

    /// What was said since: in the last message's transaction, or in an opening that came to nothing.
    pub fn take_said(&mut self) -> Vec<Entry> {
        self.tape.take()
    }

    /// Why the connection is of no more use.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// What the peer offers.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Messages that came to their end on this connection.
    pub fn transactions(&self) -> u32 {
        self.transactions
    }

    /// Another message may follow: the connection is good, and the peer's MAILMAX not reached.
    pub fn is_reusable(&self) -> bool {
        matches!(self.state, State::Ready) && self.peer.mail_max.is_none_or(|max| self.transactions < max)
    }

    // ---- replies ----

    fn read_replies(&mut self) {
        while self.expects_reply() {
            match self.answers.next_reply() {
                Ok(Some(reply)) => self.take_reply(reply),
                Ok(None) => return,
                Err(e) => self.fail_with_nonsense(e.to_string()),
            }
        }
    }

    fn expects_reply(&self) -> bool {
        match &self.state {
            State::Handshake | State::Ready | State::Over => false,
            State::Dialog(d) => d.answered < d.sent,
            State::Greeting | State::Ehlo | State::Helo | State::StartTls => true,
            State::AuthPlain | State::AuthUser | State::AuthPassword | State::AuthDone => true,
            // While content is sent only a goodbye can come; it is read like the final answer.
            State::Sending | State::Final | State::LoneDot { .. } | State::Quitting => true,
        }
    }

    fn take_reply(&mut self, mut reply: Reply) {
        self.secrets.blot(&mut reply);
        self.note_reply(&reply);
        if reply.code == 421 && !matches!(self.state, State::Quitting) {
            return self.fail(Trouble::Reply(reply));
        }
        let positive = (200..300).contains(&reply.code);
        match &self.state {
            State::Greeting if positive => self.say_ehlo(),
            State::Ehlo if positive => {
                self.peer = Peer::of_ehlo(&reply);
                self.after_hello();
            }
            State::Ehlo if reply.is_permanent() => {
                self.say(&format!("HELO {}", self.setup.hello));
                self.state = State::Helo;
            }
            State::Helo if positive => {
                self.peer = Peer::default();
                self.after_hello();
            }
            State::StartTls if reply.code == 220 => {
                if self.answers.is_empty() {
                    self.state = State::Handshake;
                } else {
                    // Somebody in between put words in before the handshake (RFC 3207 §6).
                    self.fail_with_nonsense("more than one reply to STARTTLS".into());
                }
            }
            State::StartTls if self.setup.tls != TlsMode::Always && !positive => self.after_tls(),
            State::AuthPlain | State::AuthDone if positive => {
                self.logged_in = true;
                self.be_ready();
            }
            State::AuthUser if reply.code == 334 => self.answer_login(State::AuthPassword),
            State::AuthPassword if reply.code == 334 => self.answer_login(State::AuthDone),
            State::Quitting => self.state = State::Over,
            State::Dialog(_) => self.take_command_reply(reply),
            // An answer in the middle of the content: the peer wants no more of it, and the dialog is out of step.
            State::Sending if !reply.is_positive() => self.fail(Trouble::Reply(reply)),
            State::Final if positive => self.finish(&End::Taken(reply), false),
            State::Final if reply.code >= 400 => {
                self.finish(&End::Refused(Fault { phase: Phase::Content, trouble: Trouble::Reply(reply) }), false);
            }
            State::LoneDot { mail_refused } => {
                let reply = mail_refused.clone().unwrap_or(reply);
                self.finish(&End::Refused(Fault { phase: Phase::Mail, trouble: Trouble::Reply(reply) }), false);
            }
            _ if reply.code >= 400 => self.fail(Trouble::Reply(reply)),
            _ => self.fail_with_nonsense(format!("an answer out of place: {reply}")),
        }
    }

    fn take_command_reply(&mut self, reply: Reply) {
        let State::Dialog(d) = &mut self.state else { return };
        let command = d.lines.commands[d.answered].0;
        d.answered += 1;
        let code = reply.code;
        match command {
            Command::Rset if (200..300).contains(&code) => {}
            Command::Mail if (200..300).contains(&code) => {}
            Command::Mail if code >= 400 => d.mail_refused = Some(reply),
            // After a refused MAIL the answers to RCPT say nothing of their own.
            Command::Rcpt(_) if d.mail_refused.is_some() => {}
            Command::Rcpt(_) if (200..300).contains(&code) => d.accepted += 1,
            Command::Rcpt(index) if code >= 400 => {
                let reply = as_too_many(reply, d.accepted);
                self.ends[index] = Some(End::Refused(Fault { phase: Phase::Rcpt, trouble: Trouble::Reply(reply) }));
            }
            Command::Data if code == 354 && d.mail_refused.is_none() && d.accepted > 0 => {
                self.state = State::Sending;
                return;
            }
            Command::Data if code == 354 => {
                // Nobody is to receive it, and yet the peer waits for content: an empty one ends the transaction.
                let mail_refused = d.mail_refused.take();
                self.say(".");
                self.state = State::LoneDot { mail_refused };
                return;
            }
            Command::Data if code >= 400 => {
                let refused = match d.mail_refused.take() {
                    Some(mail) => Fault { phase: Phase::Mail, trouble: Trouble::Reply(mail) },
                    None => Fault { phase: Phase::Data, trouble: Trouble::Reply(reply) },
                };
                let reset = refused.phase == Phase::Data;
                return self.finish(&End::Refused(refused), reset);
            }
            Command::Rset | Command::Mail | Command::Rcpt(_) | Command::Data => {
                let what = format!("an answer out of place: {reply}");
                d.answered -= 1;
                return self.fail_with_nonsense(what);
            }
        }
        self.send_commands();
    }

    /// Sends the next commands once all before are answered, or ends a transaction that nobody is left in.
    fn send_commands(&mut self) {
        let State::Dialog(d) = &mut self.state else { return };
        if d.answered < d.sent {
            return;
        }
        let next = d.lines.commands[d.sent].0;
        if let Some(reply) = d.mail_refused.take() {
            return self.finish(&End::Refused(Fault { phase: Phase::Mail, trouble: Trouble::Reply(reply) }), false);
        }
        if next == Command::Data && d.accepted == 0 {
            // Every recipient has an answer of its own; the transaction is still open.
            let none = Fault { phase: Phase::Rcpt, trouble: Trouble::Closed(String::new()) };
            return self.finish(&End::Refused(none), true);
        }
        let first = d.sent;
        let from = if d.sent == 0 { 0 } else { d.lines.commands[d.sent - 1].1 };
        let mut to = d.lines.commands[d.sent].1;
        d.sent += 1;
        if self.peer.pipelining {
            while let Some((_, end)) = d.lines.commands.get(d.sent).filter(|(_, end)| end - from <= PIPELINE_OCTETS_MAX)
            {
                to = *end;
                d.sent += 1;
            }
        }
        for turn in first..d.sent {
            let about = tape::about(d.lines.commands[turn].0);
            self.tape.push(self.now, Said::We, about, turn, d.lines.line(turn));
        }
        if from == 0 && to == d.lines.bytes.len() {
            self.out = std::mem::take(&mut d.lines.bytes);
        } else {
            self.out.extend_from_slice(&d.lines.bytes[from..to]);
        }
    }

    // ---- the way to Ready ----

    fn say_ehlo(&mut self) {
        self.say(&format!("EHLO {}", self.setup.hello));
        self.state = State::Ehlo;
    }

    fn after_hello(&mut self) {
        if self.secure || self.setup.tls == TlsMode::Never {
            return self.after_tls();
        }
        if self.peer.starttls {
            self.say("STARTTLS");
            self.state = State::StartTls;
        } else if self.setup.tls == TlsMode::Always {
            self.state = State::StartTls;
            self.fail(Trouble::TlsNotOffered);
        } else {
            self.after_tls();
        }
    }

    fn after_tls(&mut self) {
        let Some(login) = self.setup.login.clone().filter(|_| !self.logged_in) else { return self.be_ready() };
        self.state = State::AuthPlain;
        if !self.secure && !login.in_clear {
            return self.fail(Trouble::LoginUnusable("the login is not told over a connection in clear"));
        }
        let password = login.password.reveal();
        let token = BASE64.encode(format!("\0{}\0{password}", login.user));
        for word in [&token, &BASE64.encode(&login.user), &BASE64.encode(password), password] {
            self.secrets.add(word);
        }
        if self.peer.auth_plain {
            self.out.extend_from_slice(format!("AUTH PLAIN {token}\r\n").as_bytes());
            self.note(Said::Secret, Cow::Borrowed("AUTH PLAIN"));
        } else if self.peer.auth_login {
            self.say("AUTH LOGIN");
            self.state = State::AuthUser;
        } else {
            self.fail(Trouble::LoginUnusable("neither AUTH PLAIN nor AUTH LOGIN is offered"));
        }
    }

    /// Answers one of AUTH LOGIN's two questions: the name, then the password.
    fn answer_login(&mut self, next: State) {
        let Some(login) = &self.setup.login else { return };
        let answer = if let State::AuthPassword = next { &login.user } else { login.password.reveal() };
        self.out.extend_from_slice(BASE64.encode(answer).as_bytes());
        self.out.extend_from_slice(b"\r\n");
        self.note(Said::Secret, Cow::Borrowed("AUTH LOGIN"));
        self.state = next;
    }

    /// The opening is over.
    fn be_ready(&mut self) {
        self.opening = self.tape.shared();
        self.state = State::Ready;
    }

    // ---- ends ----

    /// The transaction is over; recipients without a result of their own get `end`.
    fn finish(&mut self, end: &End, reset_first: bool) {
        for open in self.ends.iter_mut().filter(|e| e.is_none()) {
            *open = Some(end.clone());
        }
        self.transactions += 1;
        self.reset_first = reset_first;
        self.state = State::Ready;
    }

    fn refuse_rest(&mut self, fault: &Fault) {
        for open in self.ends.iter_mut().filter(|e| e.is_none()) {
            *open = Some(End::Refused(fault.clone()));
        }
    }

    /// The peer talks nonsense; where that stands for the answer to the final dot, the message may have been kept.
    fn fail_with_nonsense(&mut self, what: String) {
        match self.state {
            State::Final => self.fail(Trouble::LostAfterDot(what)),
            _ => self.fail(Trouble::NotSmtp(what)),
        }
    }

    fn fail(&mut self, trouble: Trouble) {
        let fault = Fault { phase: self.phase(), trouble };
        self.refuse_rest(&fault);
        self.note_trouble(&fault.trouble);
        self.out.clear();
        self.fault = Some(fault);
        self.state = State::Over;
    }

    fn phase(&self) -> Phase {
        match &self.state {
            State::Greeting => Phase::Greeting,
            State::Ehlo | State::Helo => Phase::Ehlo,
            State::StartTls | State::Handshake => Phase::StartTls,
            State::AuthPlain | State::AuthUser | State::AuthPassword | State::AuthDone => Phase::Auth,
            State::Ready | State::Quitting | State::Over => Phase::Mail,
            State::Dialog(d) => match d.lines.commands.get(d.answered).map(|(command, _)| *command) {
                Some(Command::Rset | Command::Mail) => Phase::Mail,
                Some(Command::Rcpt(_)) => Phase::Rcpt,
                Some(Command::Data) | None => Phase::Data,
            },
            State::Sending | State::Final => Phase::Content,
            State::LoneDot { .. } => Phase::Data,
        }
    }
}

/// A 552 to RCPT after others were accepted means «too many recipients» in servers that follow RFC 821: it is a 452
/// (RFC 5321 §4.5.3.1.10). With an enhanced code of another meaning it stays what it is.
fn as_too_many(reply: Reply, accepted: usize) -> Reply {
    let ambiguous = matches!(reply.enhanced, None | Some(Enhanced(5, 5, 3)));
    if reply.code == 552 && accepted > 0 && ambiguous {
        Reply { code: 452, enhanced: Some(Enhanced(4, 5, 3)), text: reply.text }
    } else {
        reply
    }
}
