//! What each command means in each state, and what an answer makes of it.
//!
//! In: a line, or an [`Answer`].  Out: a reply, and what follows.
//! Always: order is judged before syntax, so that a misplaced command is 503 whatever its arguments are.
//! Sources: RFC 5321 §4.1.1 and §4.1.4; RFC 1870 §6; RFC 3030 §2; RFC 8689 §2; RFC 3207 §4; RFC 4954 §4; RFC 6531 §3.

use std::{fmt, mem};

use crate::smtp::{
    address::{AddressError, Mailbox},
    auth::{self, AuthStep},
    capability::Capabilities,
    command::{Command, Verb, is_hello_name, parse_bdat, split_path},
    content::Scanner,
    params::{Envelope, EnvelopeRecipient, HoldLimits, MailParams, Offered, RcptParams},
    reply::Reply,
};

use super::{
    Answer, Counts, Flow, Question, Role, Session, TlsOffer, limits, negative,
    state::{Chunk, State, Transaction, Transfer},
};

const EHLO_FIRST: &str = "Say EHLO first.";
const MAIL_FIRST: &str = "Say MAIL first.";
const RCPT_FIRST: &str = "Say RCPT first.";

impl<R: fmt::Display> Session<R> {
    /// Obeys one line.
    pub(super) fn line(&mut self, line: &str) -> Flow {
        match mem::replace(&mut self.state, State::Idle) {
            State::Login(exchange) => return self.auth_step(auth::go_on(exchange, line)),
            other => self.state = other,
        }
        let Command { verb, arguments } = Command::parse(line);
        match verb {
            Verb::Ehlo => self.hello(arguments, true),
            Verb::Helo => self.hello(arguments, false),
            Verb::Mail => self.mail(arguments),
            Verb::Rcpt => self.rcpt(arguments),
            Verb::Data => self.data(arguments),
            Verb::Bdat => self.bdat(arguments),
            Verb::StartTls => self.start_tls(arguments),
            Verb::Auth => self.auth(arguments),
            Verb::Rset if arguments.is_empty() => {
                self.reset();
                self.idle_command(Reply::reset())
            }
            Verb::Rset => self.error(Reply::syntax("RSET takes no argument.")),
            Verb::Quit if arguments.is_empty() => self.say_and_close(&Reply::bye()),
            Verb::Quit => self.error(Reply::syntax("QUIT takes no argument.")),
            Verb::Vrfy if arguments.is_empty() => self.error(Reply::syntax("VRFY takes an address.")),
            Verb::Vrfy => self.idle_command(Reply::not_verified()),
            Verb::Noop => self.idle_command(Reply::noop()),
            Verb::Help => self.idle_command(Reply::help()),
            Verb::NotImplemented => self.error(Reply::not_implemented()),
            Verb::Foreign => self.say_and_close(&Reply::not_smtp()),
            Verb::Unknown => self.error(Reply::unknown_command()),
        }
    }

    /// EHLO and HELO; either ends a transaction (RFC 5321 §4.1.4).
    fn hello(&mut self, name: &str, esmtp: bool) -> Flow {
        if !is_hello_name(name) {
            return self.error(Reply::syntax("EHLO and HELO take the name of your host, or its address in brackets."));
        }
        name.clone_into(&mut self.helo);
        self.esmtp = esmtp;
        self.state = State::Idle;
        let reply = if esmtp {
            Capabilities {
                hostname: &self.config.hostname,
                message_size_max: self.config.message_size_max,
                recipients_max: self.config.recipients_max,
                start_tls: self.config.tls == TlsOffer::Offered,
                auth: self.takes_auth() && self.user.is_none(),
                delivery: self.offered(),
            }
            .reply()
        } else {
            Reply::hello(&self.config.hostname)
        };
        self.idle_command(reply)
    }

    /// What MAIL takes about the delivery, now. REQUIRETLS exists under TLS only (RFC 8689 §2).
    fn offered(&self) -> Offered {
        let extensions = self.config.extensions;
        let hold = HoldLimits { seconds_max: extensions.future_release_seconds_max, now: self.now.unix_seconds };
        Offered {
            mt_priority: extensions.mt_priority,
            hold: (hold.seconds_max > 0).then_some(hold),
            deliver_by: extensions.deliver_by,
            require_tls: extensions.require_tls && self.tls().is_some(),
        }
    }

    fn mail(&mut self, arguments: &str) -> Flow {
        match self.state {
            State::Idle => {}
            State::Greeted => return self.error(Reply::wrong_order(EHLO_FIRST)),
            _ => return self.error(Reply::wrong_order("A transaction is open: end it, or say RSET.")),
        }
        if self.config.tls_required_for_mail && self.tls().is_none() {
            return self.error(Reply::tls_needed());
        }
        if self.config.auth.required && self.user.is_none() {
            return self.error(Reply::auth_needed());
        }
        let Some((path, params)) = split_path(arguments, "FROM:") else {
            return self.error(Reply::syntax("MAIL is written MAIL FROM:<user@example.jp>, then its parameters."));
        };
        let sender = match path {
            "" => None,
            path => match Mailbox::parse_path(path) {
                Ok(sender) => Some(sender),
                Err(error) => return self.refuse(Reply::bad_sender(error)),
            },
        };
        let params = match MailParams::parse(params, self.offered()) {
            Ok(params) => params,
            Err(reply) => return self.error(reply),
        };
        if !params.smtputf8 && sender.as_ref().is_some_and(Mailbox::needs_smtputf8) {
            return self.refuse(Reply::smtputf8_needed());
        }
        if params.size.is_some_and(|size| size > self.config.message_size_max) {
            return self.refuse(Reply::too_large(self.config.message_size_max));
        }
        let question = Question::Sender { sender: sender.clone(), params: params.clone() };
        self.state = State::SenderAsked(Envelope { sender, params, recipients: Vec::new() });
        Flow::Ask(question)
    }

    pub(super) fn sender_answered(&mut self, envelope: Envelope, answer: Answer<R>) -> Flow {
        self.state = State::Idle;
        match answer {
            Answer::Yes => {
                self.state = State::Mail(Transaction { envelope, recipients_refused: 0 });
                self.say(&Reply::sender_ok());
                Flow::Go
            }
            other => self.answered_no(other),
        }
    }

    fn rcpt(&mut self, arguments: &str) -> Flow {
        let Some(transaction) = self.take_transaction() else {
            return self.error(Reply::wrong_order(match self.state {
                State::Greeted => EHLO_FIRST,
                State::BetweenChunks(_) => "The message has begun: no recipients after BDAT.",
                _ => MAIL_FIRST,
            }));
        };
        match self.recipient(arguments, &transaction.envelope) {
            Ok(recipient) => {
                let question = Question::Recipient {
                    address: recipient.address.clone(),
                    params: recipient.params.clone(),
                    count: transaction.envelope.recipients.len(),
                };
                self.state = State::RecipientAsked(transaction, recipient);
                Flow::Ask(question)
            }
            Err(reply) => {
                // 501 and 555: the command is wrong. The others: this recipient is.
                let is_mistake = matches!(reply.code, 501 | 555);
                self.recipient_refused(transaction, reply, is_mistake)
            }
        }
    }

    /// The recipient of a RCPT command.
    fn recipient(&self, arguments: &str, envelope: &Envelope) -> Result<EnvelopeRecipient, Reply> {
        let (path, params) = split_path(arguments, "TO:")
            .ok_or_else(|| Reply::syntax("RCPT is written RCPT TO:<user@example.jp>, then its parameters."))?;
        let address = if path.eq_ignore_ascii_case("postmaster") {
            // RFC 5321 §4.5.1: the one address that needs no domain.
            Mailbox::parse(&format!("{path}@{}", self.config.hostname))
        } else if path.is_empty() {
            Err(AddressError::Shape)
        } else {
            Mailbox::parse_path(path)
        };
        let address = address.map_err(Reply::bad_recipient)?;
        let params = RcptParams::parse(params)?;
        if !envelope.params.smtputf8 && address.needs_smtputf8() {
            return Err(Reply::smtputf8_needed());
        }
        if envelope.recipients.len() >= self.config.recipients_max {
            return Err(Reply::too_many_recipients(self.config.recipients_max));
        }
        Ok(EnvelopeRecipient { address, params })
    }

    pub(super) fn recipient_answered(
        &mut self,
        mut transaction: Transaction,
        recipient: EnvelopeRecipient,
        answer: Answer<R>,
    ) -> Flow {
        match answer {
            Answer::Yes => {
                transaction.envelope.recipients.push(recipient);
                self.state = State::Mail(transaction);
                self.say(&Reply::recipient_ok());
                Flow::Go
            }
            Answer::No(reply) => self.recipient_refused(transaction, negative(reply), false),
            other => {
                self.state = State::Mail(transaction);
                self.answered_no(other)
            }
        }
    }

    fn recipient_refused(&mut self, mut transaction: Transaction, reply: Reply, is_mistake: bool) -> Flow {
        transaction.recipients_refused += 1;
        self.state = State::Mail(transaction);
        let is_guess = self.config.role == Role::Inbound && reply.is_permanent();
        if is_mistake || is_guess { self.error(reply) } else { self.refuse(reply) }
    }

    fn data(&mut self, arguments: &str) -> Flow {
        if let Some(reply) = self.not_ready_for_content() {
            return self.error(reply);
        }
        if !arguments.is_empty() {
            return self.error(Reply::syntax("DATA takes no argument."));
        }
        if let State::BetweenChunks(_) = self.state {
            return self.error(Reply::wrong_order("The message came by BDAT so far: end it with BDAT LAST."));
        }
        if let Some(transaction) = self.take_transaction() {
            let scanner = Scanner::data(self.config.message_size_max, self.config.bare_newline_normalize);
            self.state = State::Data(Transfer::new(transaction.envelope, scanner));
            self.content_begins();
            self.say(&Reply::send_data());
        }
        Flow::Go
    }

    fn bdat(&mut self, arguments: &str) -> Flow {
        let Some((octets, last)) = parse_bdat(arguments) else {
            // The octets that follow could not be told from commands.
            return self.say_and_close(&Reply::syntax("BDAT is written BDAT size, or BDAT size LAST; closing."));
        };
        if let Some(reply) = self.not_ready_for_content() {
            // RFC 3030 §2: what was pipelined behind a failure is taken and thrown away.
            let then = Box::new(mem::replace(&mut self.state, State::Closed));
            self.content_begins();
            self.state = State::UnwantedChunk { octets_left: octets, drained: 0, reply, then };
            return Flow::Go;
        }
        let chunk = Chunk { octets, octets_left: octets, last };
        let mut transfer = match mem::replace(&mut self.state, State::Closed) {
            State::BetweenChunks(transfer) => transfer,
            State::Mail(transaction) => {
                self.content_begins();
                let scanner = Scanner::chunks(self.config.message_size_max, self.config.bare_newline_normalize);
                Transfer::new(transaction.envelope, scanner)
            }
            other => {
                self.state = other;
                return self.error(Reply::wrong_order(MAIL_FIRST));
            }
        };
        transfer.scanner.announce(octets);
        self.state = State::Chunk(transfer, chunk);
        Flow::Go
    }

    /// Why DATA or BDAT cannot come now.
    fn not_ready_for_content(&self) -> Option<Reply> {
        match &self.state {
            State::BetweenChunks(_) => None,
            State::Mail(t) if !t.envelope.recipients.is_empty() => None,
            State::Mail(t) if t.recipients_refused > 0 => Some(Reply::no_valid_recipients()),
            State::Mail(_) => Some(Reply::wrong_order(RCPT_FIRST)),
            State::Greeted => Some(Reply::wrong_order(EHLO_FIRST)),
            _ => Some(Reply::wrong_order(MAIL_FIRST)),
        }
    }

    pub(super) fn message_answered(&mut self, answer: Answer<R>) -> Flow {
        self.state = State::Idle;
        match answer {
            Answer::Queued(receipt) => {
                self.counts = Counts { failed_logins: self.counts.failed_logins, ..Counts::default() };
                self.say(&Reply::queued(&receipt));
                Flow::Go
            }
            other => self.answered_no(other),
        }
    }

    /// STARTTLS ends a transaction, like all that was said in clear.
    fn start_tls(&mut self, arguments: &str) -> Flow {
        match self.config.tls {
            TlsOffer::Offered => {}
            TlsOffer::None => return self.error(Reply::not_offered("STARTTLS")),
            TlsOffer::Active(_) => return self.error(Reply::wrong_order("TLS is active already.")),
        }
        if !self.esmtp {
            return self.error(Reply::wrong_order(EHLO_FIRST));
        }
        if !arguments.is_empty() {
            return self.error(Reply::syntax("STARTTLS takes no argument."));
        }
        self.say(&Reply::start_tls());
        Flow::StartTls
    }

    /// AUTH is taken at this moment.
    fn takes_auth(&self) -> bool {
        self.config.auth.offered || (self.config.auth.in_clear_refused && self.tls().is_some())
    }

    fn auth(&mut self, arguments: &str) -> Flow {
        if !self.takes_auth() {
            return self.error(if self.config.auth.in_clear_refused {
                Reply::auth_in_clear()
            } else {
                Reply::not_offered("AUTH")
            });
        }
        if !self.esmtp {
            return self.error(Reply::wrong_order(EHLO_FIRST));
        }
        if self.user.is_some() {
            return self.error(Reply::wrong_order("You are logged in already."));
        }
        if !matches!(self.state, State::Idle) {
            return self.error(Reply::wrong_order("A transaction is open: log in before MAIL."));
        }
        if self.counts.failed_logins >= limits::FAILED_LOGINS_MAX {
            return self.say_and_close(&Reply::too_many_logins());
        }
        self.auth_step(auth::begin(arguments))
    }

    fn auth_step(&mut self, step: AuthStep) -> Flow {
        match step {
            AuthStep::Challenge(exchange, challenge) => {
                self.state = State::Login(exchange);
                self.say(&Reply::challenge(challenge));
                Flow::Go
            }
            AuthStep::Credentials { name, password } => {
                self.state = State::LoginAsked;
                Flow::Ask(Question::Login { name, password })
            }
            AuthStep::Refuse(reply) => self.error(reply),
        }
    }

    pub(super) fn login_answered(&mut self, answer: Answer<R>) -> Flow {
        self.state = State::Idle;
        match answer {
            Answer::LoggedIn { name } => {
                self.user = Some(name);
                self.say(&Reply::logged_in());
                Flow::Go
            }
            Answer::No(reply) => {
                let reply = negative(reply);
                if reply.is_permanent() {
                    self.counts.failed_logins += 1;
                }
                self.refuse(reply)
            }
            other => self.answered_no(other),
        }
    }

    /// An answer that is no yes to its question.
    fn answered_no(&mut self, answer: Answer<R>) -> Flow {
        match answer {
            Answer::No(reply) => self.refuse(negative(reply)),
            Answer::NoAndClose(reply) => self.say_and_close(&negative(reply)),
            // An answer to another question: our own mistake, and no promise.
            Answer::Yes | Answer::LoggedIn { .. } | Answer::Queued(_) => self.refuse(Reply::storage_trouble()),
        }
    }
}
