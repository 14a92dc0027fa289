//! What a session is told when it begins, and what it asks and hears while it runs.

use crate::{
    secret::Secret,
    smtp::{
        address::Mailbox,
        params::{Envelope, MailParams, RcptParams},
        reply::Reply,
        step::Step,
    },
};

/// What a session needs to know; all of it is decided by the shell from the listener and the peer's address.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Our name: in the greeting, in EHLO, and after a bare `postmaster`.
    pub hostname: String,
    /// What the listener is for.
    pub role: Role,
    /// Whether TLS can be had.
    pub tls: TlsOffer,
    /// MAIL needs TLS first: 530 5.7.0.
    pub tls_required_for_mail: bool,
    /// Whether AUTH can be had.
    pub auth: AuthOffer,
    /// Largest message, in octets as RFC 1870 counts them.
    pub message_size_max: u64,
    /// Most recipients of a message; the next ones hear 452 4.5.3.
    pub recipients_max: usize,
    /// A bare LF ends a command line, and a bare LF or CR in a message becomes CR LF, instead of being refused. A NUL is
    /// refused all the same, and only CR LF . CR LF ends a message.
    pub bare_newline_normalize: bool,
    /// What may be said about the delivery.
    pub extensions: Extensions,
}

/// Extensions about the delivery. Default: none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extensions {
    /// MT-PRIORITY (RFC 6710).
    pub mt_priority: bool,
    /// FUTURERELEASE (RFC 4865): seconds ahead at most; 0: not offered.
    pub future_release_seconds_max: u32,
    /// DELIVERBY (RFC 2852).
    pub deliver_by: bool,
    /// REQUIRETLS (RFC 8689); offered under TLS only.
    pub require_tls: bool,
}

/// The time, as the shell tells it before each [`super::Session::receive`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// By the wall clock, in seconds since 1970.
    pub unix_seconds: u64,
    /// By a clock that never steps, in seconds since some moment.
    pub steady_seconds: u64,
}

/// What a listener is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Role {
    /// It takes mail to deliver, from peers that are known.
    #[default]
    Relay,
    /// It takes bounces and reports, from anybody: a refused recipient counts as an error, because it may be a guess.
    Inbound,
}

/// Whether TLS can be had.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum TlsOffer {
    /// No.
    #[default]
    None,
    /// By STARTTLS.
    Offered,
    /// It is there already: protocol and cipher, for the Received header.
    Active(String),
}

/// Whether AUTH can be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AuthOffer {
    /// AUTH is taken as the session begins: under implicit TLS, or on loopback.
    pub offered: bool,
    /// MAIL needs AUTH first: 530 5.7.0.
    pub required: bool,
    /// AUTH is answered by 538 5.7.11 until TLS is there, and taken from then on.
    pub in_clear_refused: bool,
}

/// The steps of one call, in order. The last one is Read, Ask, StartTls or Close; nothing, when the session is over or an
/// answer is still owed.
pub type Steps = Vec<Step<Question>>;

/// What the session cannot decide itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    /// May this user in? [`Answer::LoggedIn`] or No.
    Login {
        /// The name.
        name: String,
        /// The password.
        password: Secret<String>,
    },
    /// May this sender send? Yes or No. Replies to earlier commands are not flushed before it.
    Sender {
        /// MAIL FROM; `None` is the null reverse-path.
        sender: Option<Mailbox>,
        /// Its parameters.
        params: MailParams,
    },
    /// May mail go there? Yes or No. Replies to earlier commands are not flushed before it.
    Recipient {
        /// RCPT TO.
        address: Mailbox,
        /// Its parameters.
        params: RcptParams,
        /// Recipients that the transaction has already.
        count: usize,
    },
    /// The content that was handed over by [`Step::Content`] is whole and well-formed: store it. [`Answer::Queued`] or No.
    Message {
        /// The transaction.
        envelope: Envelope,
        /// Octets of content.
        size: u64,
    },
}

/// The answer to a [`Question`]. `R` is the proof that a message is stored, shown as its queue id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer<R> {
    /// To Sender and Recipient: yes.
    Yes,
    /// To Login: yes, under this name.
    LoggedIn {
        /// The account's name.
        name: String,
    },
    /// To Message: it is stored. Nothing else makes the 250 (P1).
    Queued(R),
    /// No, with this 4yz or 5yz.
    No(Reply),
    /// No, with this 4yz or 5yz, and close.
    NoAndClose(Reply),
}
