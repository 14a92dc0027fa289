//! The client's vocabulary: how a connection is opened, what can go wrong, and what becomes of a recipient.
//!
//! Sources: RFC 5321 §4.5.3.2 (patience), RFC 3207, 4954.

use std::time::Duration;

use crate::{event::Phase, secret::Secret, smtp::reply::Reply};

/// How long the peer may stay silent (RFC 5321 §4.5.3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// The greeting, and the answers to EHLO, STARTTLS and AUTH. Default 5 minutes.
    pub greeting: Duration,
    /// MAIL and RSET. Default 5 minutes.
    pub mail: Duration,
    /// RCPT. Default 5 minutes.
    pub rcpt: Duration,
    /// DATA. Default 2 minutes.
    pub data: Duration,
    /// A block of content that the peer does not take. Default 3 minutes.
    pub block: Duration,
    /// The final dot. Default 10 minutes: the peer may be scanning the message.
    pub last: Duration,
    /// QUIT. Default 5 seconds: nothing depends on it.
    pub quit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Timeouts {
            greeting: minutes(5),
            mail: minutes(5),
            rcpt: minutes(5),
            data: minutes(2),
            block: minutes(3),
            last: minutes(10),
            quit: Duration::from_secs(5),
        }
    }
}

/// Whether STARTTLS is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsMode {
    /// Never asked for.
    Never,
    /// Where it is offered; a refusal is no trouble.
    IfOffered,
    /// Nothing is sent without it.
    Always,
}

/// A login at a smarthost.
#[derive(Clone, Debug)]
pub struct Login {
    /// The name.
    pub user: String,
    /// Its password.
    pub password: Secret<String>,
    /// It may be told in clear (loopback).
    pub in_clear: bool,
}

/// How a connection is opened.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Our name in EHLO.
    pub hello: String,
    /// STARTTLS.
    pub tls: TlsMode,
    /// The connection is under TLS from its first octet (RFC 8314).
    pub secure: bool,
    /// AUTH; `None`: not asked for.
    pub login: Option<Login>,
    /// Patience.
    pub timeouts: Timeouts,
}

/// What went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The peer's answer, 4yz or 5yz.
    Reply(Reply),
    /// The connection ended, before the content's final dot was sent; holds the system's words, if there were any.
    Closed(String),
    /// The peer was silent for too long, before the content's final dot was sent.
    TimedOut(Duration),
    /// The final dot was sent and its reply lost: the peer may have kept the message.
    LostAfterDot(String),
    /// What came is not SMTP, or not in its turn.
    NotSmtp(String),
    /// TLS must be, and is not offered.
    TlsNotOffered,
    /// The handshake failed.
    TlsBroken(String),
    /// The peer offers no AUTH that we know, or the login must not be told over this connection.
    LoginUnusable(&'static str),
    /// The message is larger than the peer takes.
    TooLarge {
        /// Octets that it takes.
        limit: u64,
    },
    /// An address is not ASCII, and the peer lacks SMTPUTF8.
    NeedsUtf8Address,
    /// The header is UTF-8, and the peer lacks SMTPUTF8.
    NeedsUtf8Header,
    /// An address cannot be written in a command.
    BadAddress,
    /// The message must travel under REQUIRETLS, and the peer does not offer it under TLS (RFC 8689 §4.2.1).
    NeedsRequireTls,
    /// The message must come back when its time is over (BY with `R`), and the peer does not know deadlines.
    NeedsDeliverBy,
    /// The deadline of a message with `R` has passed, or is nearer than the least that the peer takes.
    TooLate {
        /// Seconds that are left.
        left: i64,
        /// Seconds that the peer asks for; 0: nothing is known.
        least: u32,
    },
}

/// Trouble, and where it was met.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// How far the dialog was.
    pub phase: Phase,
    /// What happened.
    pub trouble: Trouble,
}

/// What became of a recipient at this peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// The peer took the message; its answer to the final dot.
    Taken(Reply),
    /// It did not.
    Refused(Fault),
}

/// A time-out for people: `5m`, `30s`, `1500ms`.
pub fn words(d: Duration) -> String {
    match (d.as_millis(), d.as_secs()) {
        (ms, _) if ms % 1000 != 0 => format!("{ms}ms"),
        (_, s) if s % 60 == 0 && s > 0 => format!("{}m", s / 60),
        (_, s) => format!("{s}s"),
    }
}
