//! The shell of a dialog: carries out the steps, answers the questions, remembers what was said.

use std::collections::VecDeque;

use hikyaku::smtp::{
    params::{BodyType, ByMode, Hold, MailParams, Notify, RcptParams, Ret},
    reply::Reply,
    server::{Answer, Now, Question, Session, SessionConfig, Steps},
    step::Step,
};

use crate::script::Kind;

/// How the client's octets are cut into pieces; late: questions are answered only after all of them came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    Whole,
    WholeLate,
    Octets,
    OctetsLate,
    Random(u64),
}

/// When every dialog begins: 2026-11-24T13:35:10Z.
const BEGINNING: Now = Now { unix_seconds: 1_795_527_310, steady_seconds: 0 };

pub struct Driver {
    session: Session<String>,
    now: Now,
    cut: Cut,
    seed: u64,
    pub answers: Vec<(Kind, Answer<String>)>,
    said: Vec<u8>,
    lines: VecDeque<String>,
    asked: VecDeque<String>,
    pending: Option<Question>,
    spool: Vec<u8>,
    content: Option<Vec<u8>>,
    refused: Option<Reply>,
    wants_tls: bool,
    closed: bool,
    closing_was_expected: bool,
}

impl Driver {
    pub fn new(config: SessionConfig, cut: Cut) -> Self {
        Driver {
            session: Session::new(config),
            now: BEGINNING,
            cut,
            seed: if let Cut::Random(seed) = cut { seed } else { 0 },
            answers: Vec::new(),
            said: Vec::new(),
            lines: VecDeque::new(),
            asked: VecDeque::new(),
            pending: None,
            spool: Vec::new(),
            content: None,
            refused: None,
            wants_tls: false,
            closed: false,
            closing_was_expected: false,
        }
    }

    pub fn start(&mut self) {
        let steps = self.session.start();
        self.carry_out(steps);
        self.settle();
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut rest = bytes;
        while !rest.is_empty() && !self.closed {
            let piece = match self.cut {
                Cut::Whole | Cut::WholeLate => rest.len(),
                Cut::Octets | Cut::OctetsLate => 1,
                Cut::Random(_) => {
                    // A small generator (xorshift) is enough to vary the pieces, and repeats itself for a seed.
                    self.seed ^= self.seed << 13;
                    self.seed ^= self.seed >> 7;
                    self.seed ^= self.seed << 17;
                    1 + (self.seed % 40) as usize
                }
            };
            let (piece, more) = rest.split_at(piece.min(rest.len()));
            rest = more;
            self.session.time_is(self.now);
            let steps = self.session.receive(piece);
            self.carry_out(steps);
        }
        self.settle();
        if !bytes.is_empty()
            && self.closed
            && !self.closing_was_expected
            && self.said.is_empty()
            && self.lines.is_empty()
        {
            return Err("the session was closed before".into());
        }
        Ok(())
    }

    /// Late answers, and what was said as lines.
    fn settle(&mut self) {
        while let Some(question) = self.pending.take() {
            let steps = self.reply_to(question);
            self.carry_out(steps);
        }
        let said = String::from_utf8(std::mem::take(&mut self.said)).expect("replies are ASCII");
        assert!(said.is_empty() || said.ends_with("\r\n"), "a reply is cut: {said:?}");
        self.lines.extend(said.split_terminator("\r\n").map(str::to_owned));
    }

    /// Carries out steps, and those that follow from answers at once.
    fn carry_out(&mut self, steps: Steps) {
        let mut steps = VecDeque::from(steps);
        while let Some(step) = steps.pop_front() {
            let is_last = steps.is_empty();
            match step {
                Step::Write(bytes) => {
                    assert!(!is_last, "a Write is followed by what to do next");
                    self.said.extend_from_slice(&bytes);
                }
                Step::Content(bytes) => {
                    assert!(!bytes.is_empty());
                    self.spool.extend_from_slice(&bytes);
                    if let Some(i) = self.answers.iter().position(|(kind, _)| *kind == Kind::Content) {
                        let (_, Answer::No(reply)) = self.answers.remove(i) else {
                            panic!("content is answered by no")
                        };
                        self.session.content_refused(reply.clone());
                        self.refused = Some(reply);
                    }
                }
                Step::Read { within } => {
                    assert!(is_last && !within.is_zero());
                    if !self.session.content_wanted() {
                        self.spool.clear();
                        self.refused = None;
                    }
                }
                Step::Ask(question) => {
                    assert!(is_last, "a question is the last step");
                    self.asked.push_back(describe(&question));
                    if matches!(self.cut, Cut::WholeLate | Cut::OctetsLate) {
                        self.pending = Some(question);
                    } else {
                        steps = self.reply_to(question).into();
                    }
                }
                Step::StartTls => {
                    assert!(is_last);
                    self.wants_tls = true;
                }
                Step::Close => {
                    assert!(is_last);
                    self.closed = true;
                }
                Step::SendContent { .. } => panic!("a server sends no content"),
            }
        }
    }

    fn reply_to(&mut self, question: Question) -> Steps {
        let (kind, default) = match &question {
            Question::Login { name, .. } => (Kind::Login, Answer::LoggedIn { name: name.clone() }),
            Question::Sender { .. } => {
                self.spool.clear();
                self.refused = None;
                (Kind::Sender, Answer::Yes)
            }
            Question::Recipient { .. } => (Kind::Recipient, Answer::Yes),
            Question::Message { size, .. } => {
                if self.refused.is_none() {
                    assert_eq!(*size, self.spool.len() as u64, "the size is that of the content");
                }
                self.content = Some(std::mem::take(&mut self.spool));
                (Kind::Message, Answer::Queued("Q1".into()))
            }
        };
        let answer = match self.answers.iter().position(|(k, _)| *k == kind) {
            Some(i) => self.answers.remove(i).1,
            None => default,
        };
        match self.refused.take() {
            Some(reply) => self.session.answer(Answer::No(reply)),
            None => self.session.answer(answer),
        }
    }

    pub fn expect(&mut self, pattern: &str) -> Result<(), String> {
        if let Some(code) = pattern.strip_suffix('*') {
            while self.lines.front().is_some_and(|l| l.starts_with(&format!("{code}-"))) {
                self.lines.pop_front();
            }
            return self.expect(&format!("{code} …"));
        }
        let Some(line) = self.lines.pop_front() else {
            return Err(format!("expected {pattern:?}, but nothing was said"));
        };
        let matches = match pattern.strip_suffix('…') {
            Some(start) => line.starts_with(start),
            None => line == pattern,
        };
        if matches { Ok(()) } else { Err(format!("expected {pattern:?}, heard {line:?}")) }
    }

    pub fn expect_question(&mut self, expected: &str) -> Result<(), String> {
        match self.asked.pop_front() {
            Some(asked) if asked == expected => Ok(()),
            asked => Err(format!("expected the question {expected:?}, asked was {asked:?}")),
        }
    }

    pub fn expect_content(&mut self, expected: &[u8]) -> Result<(), String> {
        match self.content.take() {
            Some(content) if content == expected => Ok(()),
            other => Err(format!(
                "expected the content {:?}, got {:?}",
                expected.escape_ascii().to_string(),
                other.map(|c| c.escape_ascii().to_string())
            )),
        }
    }

    pub fn expect_told(&mut self, key: &str, value: &str) -> Result<(), String> {
        let told = match key {
            "with" => self.session.with_protocol().to_owned(),
            "user" => self.session.user().unwrap_or("").to_owned(),
            "helo" => self.session.helo().to_owned(),
            "tls" => self.session.tls().unwrap_or("").to_owned(),
            "state" => format!("{:?}", self.session.state()),
            "recipients" => self.session.envelope().map_or("none".into(), |e| e.recipients.len().to_string()),
            "wanted" => self.session.content_wanted().to_string(),
            other => return Err(format!("the session does not tell {other}")),
        };
        if told == value { Ok(()) } else { Err(format!("expected {key}={value}, told was {told}")) }
    }

    pub fn handshake(&mut self, info: &str) -> Result<(), String> {
        if !std::mem::take(&mut self.wants_tls) {
            return Err("no handshake was asked for".into());
        }
        let steps = match info {
            "failed" => self.session.tls_failed(),
            info => self.session.tls_started(info.to_owned()),
        };
        self.carry_out(steps);
        self.settle();
        Ok(())
    }

    pub fn timed_out(&mut self) {
        let steps = self.session.timed_out();
        self.carry_out(steps);
        self.settle();
    }

    pub fn later(&mut self, seconds: u64) {
        self.now.unix_seconds += seconds;
        self.now.steady_seconds += seconds;
    }

    pub fn closed(&mut self) {
        let steps = self.session.closed();
        self.carry_out(steps);
        self.settle();
    }

    pub fn shut_down(&mut self) {
        if let Some(steps) = self.session.shut_down(Reply::shutting_down("relay.test")) {
            self.carry_out(steps);
        }
        self.settle();
    }

    pub fn expect_closed(&mut self) -> Result<(), String> {
        self.nothing_unread()?;
        self.closing_was_expected = true;
        if self.closed { Ok(()) } else { Err("the session is still open".into()) }
    }

    pub fn nothing_unread(&mut self) -> Result<(), String> {
        match self.lines.front() {
            None => Ok(()),
            Some(line) => Err(format!("nobody expected {line:?}")),
        }
    }

    /// All that was said and asked, and where the session ended.
    pub fn transcript(&self) -> String {
        let content = self.content.as_deref().unwrap_or_default().escape_ascii().to_string();
        format!("{:?} {:?} {content:?} {:?}", self.lines, self.asked, self.session.state())
    }

    pub fn finish(&mut self) -> Result<(), String> {
        self.nothing_unread()?;
        if self.closed && !self.closing_was_expected {
            return Err("the session was closed, and nobody expected it".into());
        }
        if !self.answers.is_empty() {
            return Err(format!("never asked: {:?}", self.answers));
        }
        Ok(())
    }
}

/// A question in the words of `Q:`.
fn describe(question: &Question) -> String {
    match question {
        Question::Login { name, password } => format!("login {name} {}", password.reveal()),
        Question::Sender { sender, params } => {
            let sender = sender.as_ref().map_or("", |s| s.as_str());
            format!("sender <{sender}>{}", mail_params(params))
        }
        Question::Recipient { address, params, count } => {
            format!("recipient <{address}>{} count={count}", rcpt_params(params))
        }
        Question::Message { envelope, size } => {
            let sender = envelope.sender.as_ref().map_or("", |s| s.as_str());
            let to: Vec<String> = envelope.recipients.iter().map(|r| format!("<{}>", r.address)).collect();
            format!("message <{sender}> to {} size={size}", to.join(","))
        }
    }
}

fn mail_params(p: &MailParams) -> String {
    let mut out = String::new();
    if let Some(size) = p.size {
        out.push_str(&format!(" size={size}"));
    }
    if p.body == BodyType::EightBitMime {
        out.push_str(" 8bit");
    }
    if p.smtputf8 {
        out.push_str(" smtputf8");
    }
    match p.ret {
        Some(Ret::Full) => out.push_str(" ret=full"),
        Some(Ret::Headers) => out.push_str(" ret=hdrs"),
        None => {}
    }
    if let Some(envid) = &p.envid {
        out.push_str(&format!(" envid={envid}"));
    }
    if let Some(priority) = p.mt_priority {
        out.push_str(&format!(" priority={priority}"));
    }
    match p.hold {
        Some(Hold::For(seconds)) => out.push_str(&format!(" holdfor={seconds}")),
        Some(Hold::Until(at)) => out.push_str(&format!(" holduntil={at}")),
        None => {}
    }
    if let Some(by) = p.by {
        let mode = if by.mode == ByMode::Return { "r" } else { "n" };
        out.push_str(&format!(" by={};{mode}{}", by.seconds, if by.trace { "t" } else { "" }));
    }
    if p.require_tls {
        out.push_str(" requiretls");
    }
    out
}

fn rcpt_params(p: &RcptParams) -> String {
    let Notify { given, success, failure, delay } = p.notify;
    let mut out = String::new();
    if given {
        let words = [(success, "success"), (failure, "failure"), (delay, "delay")];
        let words: Vec<&str> = words.iter().filter(|(on, _)| *on).map(|(_, w)| *w).collect();
        out.push_str(&format!(" notify={}", if words.is_empty() { "never".into() } else { words.join(",") }));
    }
    if let Some(orcpt) = &p.orcpt {
        out.push_str(&format!(" orcpt={orcpt}"));
    }
    out
}
