//! The vocabulary of the delivery log: what can happen to a recipient, in which phase, and why it waits.
//!
//! Always: an event is written in the transaction that makes it true (P4), and never changed afterwards.
//! Sources: CMC's delivery and error logs (statuses, error classes); RFC 3463 for the enhanced codes inside replies.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, ids::RecipientKey, language::Language};

/// What happened to a recipient. The first four are CMC's statuses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Accepted from the submitter and safe on disk.
    Queued,
    /// A try failed for now; it will be tried again (one entry each try, R12).
    Deferred,
    /// The destination took it. Final.
    Succeeded,
    /// It will not be delivered. Final.
    Failed,
    /// A named operator removed it. Final.
    Dropped,
    /// A bounce came back after it was delivered (R11): an entry of the error log that changes no state.
    Bounced,
    /// Its recipient complained (RFC 5965): likewise.
    Complained,
}

impl EventKind {
    /// Every kind, in the order of their stored numbers.
    pub const ALL: [EventKind; 7] = [
        EventKind::Queued,
        EventKind::Deferred,
        EventKind::Succeeded,
        EventKind::Failed,
        EventKind::Dropped,
        EventKind::Bounced,
        EventKind::Complained,
    ];

    /// CMC's word for it.
    pub fn word(self) -> &'static str {
        match self {
            EventKind::Queued => "queued",
            EventKind::Deferred => "deferred",
            EventKind::Succeeded => "succeeded",
            EventKind::Failed => "failed",
            EventKind::Dropped => "dropped",
            EventKind::Bounced => "bounced",
            EventKind::Complained => "complained",
        }
    }

    /// The kind of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.word() == word)
    }

    /// It ends the recipient's delivery: exactly one such event exists for each (P2). What comes back later follows it.
    pub fn is_final(self) -> bool {
        match self {
            EventKind::Queued | EventKind::Deferred | EventKind::Bounced | EventKind::Complained => false,
            EventKind::Succeeded | EventKind::Failed | EventKind::Dropped => true,
        }
    }

    /// It came back from outside, about the event before it, and changed no state (R11).
    pub fn is_return(self) -> bool {
        match self {
            EventKind::Bounced | EventKind::Complained => true,
            EventKind::Queued | EventKind::Deferred | EventKind::Succeeded | EventKind::Failed | EventKind::Dropped => {
                false
            }
        }
    }

    /// It stands in the error log.
    pub fn is_error(self) -> bool {
        self == EventKind::Failed || self.is_return()
    }
}

/// How far a delivery attempt got.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// In our own queue: nothing was tried (expired, dropped, blocked).
    Queue,
    /// Finding the hosts: DNS, route, guards.
    Route,
    /// TCP.
    Connect,
    /// The 220.
    Greeting,
    /// EHLO or HELO.
    Ehlo,
    /// STARTTLS and the handshake.
    StartTls,
    /// AUTH at a smarthost.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA (or the BDAT command) until the content starts.
    Data,
    /// The content, up to and including the final dot's reply.
    Content,
}

impl Phase {
    /// Every phase, in the order of a try, which is also that of their stored numbers.
    pub const ALL: [Phase; 11] = [
        Phase::Queue,
        Phase::Route,
        Phase::Connect,
        Phase::Greeting,
        Phase::Ehlo,
        Phase::StartTls,
        Phase::Auth,
        Phase::Mail,
        Phase::Rcpt,
        Phase::Data,
        Phase::Content,
    ];

    /// The word in logs.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Queue => "queue",
            Phase::Route => "route",
            Phase::Connect => "connect",
            Phase::Greeting => "greeting",
            Phase::Ehlo => "ehlo",
            Phase::StartTls => "starttls",
            Phase::Auth => "auth",
            Phase::Mail => "mail",
            Phase::Rcpt => "rcpt",
            Phase::Data => "data",
            Phase::Content => "content",
        }
    }
}

/// Why a recipient is still here; stored with it, logged and shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// Just accepted, not tried yet.
    Fresh,
    /// The last try failed for now; the reply says why.
    Retry,
    /// The destination's hosts could not be reached.
    Site,
    /// An operator holds it.
    Held,
    /// Its body is missing or damaged on our disk; held for the operator.
    Damaged,
    /// Its submitter asked for a later time (FUTURERELEASE).
    Scheduled,
}

impl WaitReason {
    /// Every reason, in the order of their stored numbers.
    pub const ALL: [WaitReason; 6] = [
        WaitReason::Fresh,
        WaitReason::Retry,
        WaitReason::Site,
        WaitReason::Held,
        WaitReason::Damaged,
        WaitReason::Scheduled,
    ];

    /// The reason of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wait| wait.word() == word)
    }

    /// The word in logs.
    pub fn word(self) -> &'static str {
        match self {
            WaitReason::Fresh => "fresh",
            WaitReason::Retry => "retry",
            WaitReason::Site => "site",
            WaitReason::Held => "held",
            WaitReason::Damaged => "damaged",
            WaitReason::Scheduled => "scheduled",
        }
    }
}

/// CMC's error classes (its bounce API's `status` numbers).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// 1: the domain cannot be resolved.
    UnknownHost,
    /// 2: the address does not exist.
    UnknownUser,
    /// 3: no connection, or temporary errors until the lifetime ran out.
    ResendTimeout,
    /// 4: refused by the destination's policy.
    Rejected,
    /// 5: mailbox or disk full.
    OverCapacity,
    /// 6: failure at an address that the recipient forwards to.
    ForwardingError,
    /// 7: the destination is misconfigured.
    ReceivingServerError,
    /// 8: size refused.
    TooLarge,
    /// 9: not a valid address.
    BadAddress,
    /// 10: suppressed because of earlier errors.
    Blocked,
    /// 11: suppressed by an unsubscription.
    Unsubscribed,
    /// 99: a permanent error of no other class.
    Other,
}

impl ErrorClass {
    /// Every class, in the order of CMC's numbers.
    pub const ALL: [ErrorClass; 12] = [
        ErrorClass::UnknownHost,
        ErrorClass::UnknownUser,
        ErrorClass::ResendTimeout,
        ErrorClass::Rejected,
        ErrorClass::OverCapacity,
        ErrorClass::ForwardingError,
        ErrorClass::ReceivingServerError,
        ErrorClass::TooLarge,
        ErrorClass::BadAddress,
        ErrorClass::Blocked,
        ErrorClass::Unsubscribed,
        ErrorClass::Other,
    ];

    /// Its name, as the log and the config write it.
    pub fn word(self) -> &'static str {
        match self {
            ErrorClass::UnknownHost => "unknown_host",
            ErrorClass::UnknownUser => "unknown_user",
            ErrorClass::ResendTimeout => "resend_timeout",
            ErrorClass::Rejected => "rejected",
            ErrorClass::OverCapacity => "over_capacity",
            ErrorClass::ForwardingError => "forwarding_error",
            ErrorClass::ReceivingServerError => "receiving_server_error",
            ErrorClass::TooLarge => "too_large",
            ErrorClass::BadAddress => "bad_address",
            ErrorClass::Blocked => "blocked",
            ErrorClass::Unsubscribed => "unsubscribed",
            ErrorClass::Other => "other",
        }
    }

    /// CMC's name for it, for people.
    pub fn said(self, language: Language) -> &'static str {
        match self {
            ErrorClass::UnknownHost => language.pick("unknown host", "ホスト不明"),
            ErrorClass::UnknownUser => language.pick("unknown user", "宛先不明"),
            ErrorClass::ResendTimeout => language.pick("resend timeout", "再送期限切れ"),
            ErrorClass::Rejected => language.pick("rejected", "受信拒否"),
            ErrorClass::OverCapacity => language.pick("over capacity", "容量超過"),
            ErrorClass::ForwardingError => language.pick("forwarding error", "転送エラー"),
            ErrorClass::ReceivingServerError => language.pick("receiving server error", "受信サーバーエラー"),
            ErrorClass::TooLarge => language.pick("too large", "サイズ超過"),
            ErrorClass::BadAddress => language.pick("bad address", "不正なアドレス"),
            ErrorClass::Blocked => language.pick("blocked", "配信停止"),
            ErrorClass::Unsubscribed => language.pick("unsubscribed", "配信解除"),
            ErrorClass::Other => language.pick("other", "その他"),
        }
    }

    /// CMC's number.
    pub fn code(self) -> u8 {
        match self {
            ErrorClass::UnknownHost => 1,
            ErrorClass::UnknownUser => 2,
            ErrorClass::ResendTimeout => 3,
            ErrorClass::Rejected => 4,
            ErrorClass::OverCapacity => 5,
            ErrorClass::ForwardingError => 6,
            ErrorClass::ReceivingServerError => 7,
            ErrorClass::TooLarge => 8,
            ErrorClass::BadAddress => 9,
            ErrorClass::Blocked => 10,
            ErrorClass::Unsubscribed => 11,
            ErrorClass::Other => 99,
        }
    }

    /// The class of CMC's number.
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => ErrorClass::UnknownHost,
            2 => ErrorClass::UnknownUser,
            3 => ErrorClass::ResendTimeout,
            4 => ErrorClass::Rejected,
            5 => ErrorClass::OverCapacity,
            6 => ErrorClass::ForwardingError,
            7 => ErrorClass::ReceivingServerError,
            8 => ErrorClass::TooLarge,
            9 => ErrorClass::BadAddress,
            10 => ErrorClass::Blocked,
            11 => ErrorClass::Unsubscribed,
            99 => ErrorClass::Other,
            _ => return None,
        })
    }

    /// It was not tried at all, since the address is on a list: statistics count it as blocked, not as failed.
    pub fn is_block(self) -> bool {
        matches!(self, ErrorClass::Blocked | ErrorClass::Unsubscribed)
    }
}

/// Whose trouble a failure is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The recipient's: no such address, mailbox full, gone.
    Recipient,
    /// Our address's or domain's reputation, or how much we sent.
    Reputation,
    /// Our authentication: SPF, DKIM, DMARC, PTR, TLS, login.
    Authentication,
    /// The content: spam, virus, size, form.
    Content,
    /// The destination's own: DNS, network, set-up, outage.
    Destination,
    /// The destination's rules.
    Policy,
}

impl Trouble {
    /// Every kind, in the order of their stored numbers, which begin with 1.
    pub const ALL: [Trouble; 6] = [
        Trouble::Recipient,
        Trouble::Reputation,
        Trouble::Authentication,
        Trouble::Content,
        Trouble::Destination,
        Trouble::Policy,
    ];

    /// The word in logs.
    pub fn word(self) -> &'static str {
        match self {
            Trouble::Recipient => "recipient",
            Trouble::Reputation => "reputation",
            Trouble::Authentication => "authentication",
            Trouble::Content => "content",
            Trouble::Destination => "destination",
            Trouble::Policy => "policy",
        }
    }

    /// Whose it is, for people.
    pub fn said(self, language: Language) -> &'static str {
        match self {
            Trouble::Recipient => language.pick("the recipient's", "宛先アドレスの問題"),
            Trouble::Reputation => language.pick("our reputation", "送信元の評価"),
            Trouble::Authentication => language.pick("our authentication", "送信ドメイン認証"),
            Trouble::Content => language.pick("the content", "メールの内容"),
            Trouble::Destination => language.pick("the destination's", "宛先側の問題"),
            Trouble::Policy => language.pick("policy", "ポリシー"),
        }
    }
}

/// A recipient's priority class (R5); the order is the order of service.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// One-time passwords and the like.
    High,
    /// Everything that says nothing.
    #[default]
    Normal,
    /// Bulk.
    Low,
}

impl Class {
    /// Every class, in the order of service, which is also that of their stored numbers.
    pub const ALL: [Class; 3] = [Class::High, Class::Normal, Class::Low];

    /// The class of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.word() == word)
    }

    /// The word in config and logs.
    pub fn word(self) -> &'static str {
        match self {
            Class::High => "high",
            Class::Normal => "normal",
            Class::Low => "low",
        }
    }
}

/// What a delivery attempt met: the part of an event that only tries have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AttemptDetail {
    /// Where the recipient was going: its domain, or the smarthost's `host:port`.
    pub destination: String,
    /// The host that answered, or was tried last; empty when none was.
    pub host: String,
    /// That host's address and port.
    pub address: Option<SocketAddr>,
    /// The local address we sent from.
    pub sender_ip: Option<IpAddr>,
    /// Protocol, cipher and whether the certificate was verified, e.g. `TLSv1.3 TLS13_AES_256_GCM_SHA384 unverified`; empty in clear.
    pub tls: String,
    /// How far it got; `None` only in an event that is no try.
    pub phase: Option<Phase>,
    /// The remote's answer (lines joined by a blank), or our own words for what went wrong.
    pub reply: String,
    /// How long the try took.
    pub duration: Duration,
    /// CMC's class of the trouble; `None` when delivered.
    pub error: Option<ErrorClass>,
    /// Whose trouble it is; `None` when delivered, and in rows of older versions.
    pub trouble: Option<Trouble>,
    /// The address or its domain will never take mail, as far as the answer says.
    pub hard: bool,
    /// The peer may have kept a copy although we lost its reply, now or at an earlier try (P3).
    pub possible_duplicate: bool,
}

/// The host of a recipient that the sandbox took: nothing was sent anywhere.
pub const SANDBOX_HOST: &str = "sandbox";

/// One immutable entry of the delivery log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// When it happened.
    pub at: Timestamp,
    /// Whom it is about.
    pub key: RecipientKey,
    /// What happened.
    pub kind: EventKind,
    /// Which try it was, from 1; 0 for `Queued` and for what needed no try.
    pub attempt: u32,
    /// When it is tried next; `Deferred` only.
    pub next_try: Option<Timestamp>,
    /// Why it waits; `Deferred` only.
    pub wait: Option<WaitReason>,
    /// Who did it; `Dropped` and operator-made `Failed` only.
    pub operator: Option<String>,
    /// What the try met; `None` for `Queued`.
    pub detail: Option<Box<AttemptDetail>>,
}

impl Event {
    /// The mail of an API user in the sandbox: it tells nothing of the address. (A daemon that is a sandbox as a whole makes tries.)
    pub fn is_sandboxed(&self) -> bool {
        self.attempt == 0 && self.detail.as_ref().is_some_and(|detail| detail.host == SANDBOX_HOST)
    }
}
