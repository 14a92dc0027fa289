//! One conversation of the scripted destination: what a willing server says, unless the script says otherwise.

use std::{io, sync::atomic::Ordering, thread};

use base64::Engine;

use super::{
    sink::{Act, Moment, Received, Shared, SinkTls, Step},
    wait,
    wire::Wire,
};

/// One conversation.
pub(super) struct Session<'a> {
    wire: Wire,
    shared: &'a Shared,
    number: usize,
    transactions: usize,
    mail: Option<Received>,
    chunks: Vec<u8>,
    login: Option<(String, String)>,
}

/// The conversation is over.
pub(super) enum End {
    /// As the script wanted.
    Hung,
    /// The peer went.
    Io,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        End::Io
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(wire: Wire, shared: &'a Shared, number: usize) -> Self {
        Session { wire, shared, number, transactions: 0, mail: None, chunks: Vec::new(), login: None }
    }

    pub(super) fn run(mut self) -> Result<(), End> {
        if self.ask(Step::Greeting, "")? {
            self.answer("220 sink.test ESMTP")?;
        }
        loop {
            if self.shared.stop.load(Ordering::SeqCst) {
                return Err(End::Hung);
            }
            let line = self.wire.line()?;
            if line.is_empty() {
                return Ok(());
            }
            let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            self.shared.lines.lock().expect("no sink thread panics").push(line.clone());
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => self.ehlo(&line)?,
                "HELO" => self.plain(Step::Helo, &line, "250 sink.test")?,
                "STARTTLS" => self.starttls(&line)?,
                "AUTH" => self.auth(&line)?,
                "MAIL" => self.mail(&line)?,
                "RCPT" => self.rcpt(&line)?,
                "DATA" => self.data(&line)?,
                "BDAT" => self.bdat(&line)?,
                "RSET" => {
                    self.mail = None;
                    self.plain(Step::Rset, &line, "250 2.0.0 Reset")?;
                }
                "QUIT" => {
                    self.plain(Step::Quit, &line, "221 2.0.0 Bye")?;
                    return Ok(());
                }
                _ => self.plain(Step::Other, &line, "250 2.0.0 OK")?,
            }
        }
    }

    fn ehlo(&mut self, line: &str) -> Result<(), End> {
        if !self.ask(Step::Ehlo, line)? {
            return Ok(());
        }
        let mut lines = vec!["sink.test".to_owned()];
        lines.extend(self.shared.options.keywords.iter().cloned());
        if !self.wire.is_tls() && !matches!(self.shared.options.tls, SinkTls::None) {
            lines.push("STARTTLS".to_owned());
        }
        let last = lines.len() - 1;
        let text: Vec<String> =
            lines.iter().enumerate().map(|(i, l)| format!("250{}{l}", if i == last { ' ' } else { '-' })).collect();
        self.answer(&text.join("\r\n"))
    }

    fn starttls(&mut self, line: &str) -> Result<(), End> {
        if !self.ask(Step::StartTls, line)? {
            return Ok(());
        }
        match self.shared.options.tls.clone() {
            SinkTls::None => self.answer("502 5.5.1 No TLS here"),
            SinkTls::Broken => {
                self.answer("220 2.0.0 Go ahead")?;
                self.wire.send(b"This is no handshake.\r\n")?;
                Err(End::Hung)
            }
            SinkTls::Works(config) => {
                self.answer("220 2.0.0 Go ahead")?;
                self.wire.accept_tls(config)?;
                self.mail = None;
                Ok(())
            }
        }
    }

    fn auth(&mut self, line: &str) -> Result<(), End> {
        let mut words = line.split(' ').skip(1);
        let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
        let initial = words.next().map(str::to_owned);
        let (user, password) = match mechanism.as_str() {
            "PLAIN" => {
                let token = match initial {
                    Some(token) => token,
                    None => self.challenge("334 ")?,
                };
                let plain = decode(&token);
                let mut parts = plain.split('\0').skip(1).map(str::to_owned);
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
            }
            "LOGIN" => {
                let user = match initial {
                    Some(token) => decode(&token),
                    None => decode(&self.challenge("334 VXNlcm5hbWU6")?),
                };
                (user, decode(&self.challenge("334 UGFzc3dvcmQ6")?))
            }
            _ => return self.answer("504 5.5.4 Mechanism"),
        };
        let login = format!("{user} {password}");
        self.login = Some((user, password));
        self.plain(Step::Auth, &login, "235 2.7.0 Welcome")
    }

    fn challenge(&mut self, text: &str) -> Result<String, End> {
        self.answer(text)?;
        let line = self.wire.line()?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn mail(&mut self, line: &str) -> Result<(), End> {
        self.transactions += 1;
        if !self.ask(Step::Mail, line)? {
            return Ok(());
        }
        self.chunks.clear();
        self.mail = Some(Received {
            sender: path(line),
            mail_line: line.to_owned(),
            recipients: Vec::new(),
            rcpt_lines: Vec::new(),
            content: Vec::new(),
            chunked: false,
            tls: self.wire.is_tls(),
            session: self.number,
            at: wait::now(),
            login: self.login.clone(),
        });
        self.answer("250 2.1.0 OK")
    }

    fn rcpt(&mut self, line: &str) -> Result<(), End> {
        if !self.ask(Step::Rcpt, line)? {
            return Ok(());
        }
        match &mut self.mail {
            None => self.answer("503 5.5.1 MAIL first"),
            Some(mail) => {
                mail.recipients.push(path(line));
                mail.rcpt_lines.push(line.to_owned());
                self.answer("250 2.1.5 OK")
            }
        }
    }

    fn data(&mut self, line: &str) -> Result<(), End> {
        if !self.ask(Step::Data, line)? {
            return Ok(());
        }
        if self.mail.as_ref().is_none_or(|m| m.recipients.is_empty()) {
            return self.answer("554 5.5.1 No valid recipients");
        }
        self.answer("354 Go on")?;
        let content = self.wire.dotted()?;
        self.content(content, false)
    }

    fn bdat(&mut self, line: &str) -> Result<(), End> {
        let mut words = line.split(' ').skip(1);
        let size = words.next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let last = words.next().is_some_and(|w| w.eq_ignore_ascii_case("LAST"));
        let chunk = self.wire.exactly(size)?;
        if self.mail.as_ref().is_none_or(|m| m.recipients.is_empty()) {
            return self.answer("554 5.5.1 No valid recipients");
        }
        self.chunks.extend_from_slice(&chunk);
        if !last {
            return self.plain(Step::Data, line, "250 2.0.0 Chunk taken");
        }
        let content = std::mem::take(&mut self.chunks);
        self.content(content, true)
    }

    fn content(&mut self, content: Vec<u8>, chunked: bool) -> Result<(), End> {
        let act = self.act(Step::Content, "");
        let Some(mut mail) = self.mail.take() else { return Err(End::Hung) };
        mail.content = content;
        mail.chunked = chunked;
        mail.at = wait::now();
        match act {
            Act::Normal | Act::KeepAndHangUp => self.keep(mail),
            Act::Delay(pause) => {
                thread::sleep(pause);
                self.keep(mail);
            }
            Act::Reply(text) => return self.answer(&text),
            Act::ReplyAndHangUp(text) => {
                self.answer(&text)?;
                return Err(End::Hung);
            }
            Act::HangUp => return Err(End::Hung),
        }
        if matches!(act, Act::KeepAndHangUp) { Err(End::Hung) } else { self.answer("250 2.0.0 Taken") }
    }

    fn keep(&self, mut mail: Received) {
        if !self.shared.options.keep {
            mail.content = Vec::new();
        }
        self.shared.received.lock().expect("no sink thread panics").push(mail);
        self.shared.taken.fetch_add(1, Ordering::SeqCst);
    }

    fn plain(&mut self, step: Step, line: &str, willing: &str) -> Result<(), End> {
        if self.ask(step, line)? { self.answer(willing) } else { Ok(()) }
    }

    fn act(&self, step: Step, line: &str) -> Act {
        let moment = Moment {
            step,
            line,
            session: self.number,
            transaction: self.transactions.saturating_sub(1),
            nth: self.shared.seen[step as usize].fetch_add(1, Ordering::SeqCst),
            tls: self.wire.is_tls(),
        };
        (self.shared.options.script)(&moment)
    }

    /// Asks the script and does what it says; true: go on as a willing server.
    fn ask(&mut self, step: Step, line: &str) -> Result<bool, End> {
        match self.act(step, line) {
            Act::Normal => Ok(true),
            Act::Delay(pause) => {
                thread::sleep(pause);
                Ok(true)
            }
            Act::Reply(text) => {
                self.answer(&text)?;
                Ok(false)
            }
            Act::ReplyAndHangUp(text) => {
                self.answer(&text)?;
                Err(End::Hung)
            }
            Act::HangUp | Act::KeepAndHangUp => Err(End::Hung),
        }
    }

    fn answer(&mut self, text: &str) -> Result<(), End> {
        Ok(self.wire.send(format!("{text}\r\n").as_bytes())?)
    }
}

/// What stands between the brackets of a MAIL or RCPT line.
fn path(line: &str) -> String {
    let inner = line.split_once('<').map_or("", |(_, rest)| rest);
    inner.split_once('>').map_or(inner, |(path, _)| path).to_owned()
}

fn decode(token: &str) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.decode(token).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
