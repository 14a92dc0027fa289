//! What goes into the store and what comes out, as the other rooms see it.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;

pub use super::answers::*;
use super::messages::StoredFile;
use crate::{
    budget::Lease,
    clock::{Clock, Timestamp},
    event::{Class, Event, EventKind, WaitReason},
    ids::{MessageId, RecipientKey, UserKey},
    mail::header::Facts,
    smtp::{
        address::Mailbox,
        params::{Envelope, MailParams, RcptParams},
    },
};

/// Bodies up to this many octets wait in RAM for the end of data and become one segment record; larger ones get a file.
pub const BODY_RAM_MAX: usize = 256 * 1024;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The data directory: exists, is locked by the caller, 0700.
    pub data_dir: PathBuf,
    /// The time.
    pub clock: Clock,
    /// Below this many free bytes no new mail is taken.
    pub disk_free_min: u64,
    /// How long finished things are kept.
    pub retention: RetentionPeriods,
}

/// `[retention]`, as the pruner uses it.
#[derive(Clone, Copy, Debug)]
pub struct RetentionPeriods {
    /// Delivery and error log (the longer of the two keeps a row; each view shows its own period).
    pub delivery_log: Duration,
    /// Error log.
    pub error_log: Duration,
    /// Operation log.
    pub audit_log: Duration,
    /// Bodies of finished messages.
    pub message_bodies: Duration,
}

/// Why the store could not do something.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A write or sync failed: final for this process.
    #[error("the store stopped: {0}")]
    Failed(String),
    /// Another process has the database open; says which file.
    #[error("{0}")]
    InUse(String),
    /// The store is stopping.
    #[error("the store is closed")]
    Closed,
    /// The disk has no room for new mail.
    #[error("the disk is full")]
    Full,
    /// A file or table is damaged; says which and what to do.
    #[error("{0}")]
    Damaged(String),
    /// The database was written by a newer Hikyaku.
    #[error("{0}")]
    Newer(String),
    /// What was asked for is over a limit, which the text names; nothing was changed and everything else goes on.
    #[error("{0}")]
    Refused(String),
    /// A read failed.
    #[error("{what}: {cause}")]
    Read {
        /// What was read.
        what: String,
        /// What the system said.
        cause: String,
    },
}

/// The key of concurrency and order in the queue: a recipient's domain in lower case, or the smarthost's `host:port`; known without DNS.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Lane(pub Arc<str>);

impl Lane {
    /// What parts the destination from the rule in a lane's name; neither a domain nor `host:port` can hold it.
    pub const RULE_MARK: char = '#';

    /// The lane of a destination; `rule` names the delivery-speed rule where it depends on more of the address than its
    /// domain.
    pub fn new(destination: &str, rule: Option<&str>) -> Self {
        match rule {
            Some(rule) => Lane(format!("{destination}{}{rule}", Self::RULE_MARK).into()),
            None => Lane(destination.into()),
        }
    }

    /// The domain or `host:port`.
    pub fn destination(&self) -> &str {
        Self::destination_of(&self.0)
    }

    /// The destination in the name of a lane.
    pub(super) fn destination_of(name: &str) -> &str {
        name.split_once(Self::RULE_MARK).map_or(name, |(destination, _)| destination)
    }

    /// The rule in its name.
    pub fn rule(&self) -> Option<&str> {
        self.0.split_once(Self::RULE_MARK).map(|(_, rule)| rule)
    }
}

impl std::fmt::Display for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The content of a submission.
#[derive(Debug)]
pub enum BodyIn {
    /// At most [`BODY_RAM_MAX`] octets, with its share of the memory budget. The parts are stored one after another:
    /// our trace headers, then the content as it came.
    Ram {
        /// The octets.
        bytes: Bytes,
        /// Returned when the last copy is dropped.
        lease: Lease,
    },
    /// A file of its own, already synced.
    File(StoredFile),
}

/// By which door a message came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// SMTP.
    Smtp,
    /// The HTTP API.
    Api,
    /// A notice of our own.
    Notice,
}

/// Everything about a message that is to be stored.
#[derive(Debug)]
pub struct Submission {
    /// Its id, from [`super::Store::ids`].
    pub id: MessageId,
    /// When the end of data was seen.
    pub accepted_at: Timestamp,
    /// When its waiting recipients expire.
    pub expires_at: Timestamp,
    /// Sender, recipients, parameters.
    pub envelope: Envelope,
    /// The lane of each recipient, in the envelope's order.
    pub lanes: Vec<Lane>,
    /// Its class.
    pub class: Class,
    /// Facts of the header.
    pub facts: Facts,
    /// The API user that submitted it; empty: none.
    pub user: String,
    /// The address that submitted it.
    pub source_ip: Option<IpAddr>,
    /// By which door.
    pub origin: Origin,
    /// Not to be tried before (FUTURERELEASE); `None`: at once.
    pub release_at: Option<Timestamp>,
    /// The content.
    pub body: BodyIn,
    /// Recipients whose owed notice this message is: cleared in the same transaction.
    pub settles: Vec<RecipientKey>,
}

/// Proof that a message is on disk: only the writer makes it, after the commit.
#[derive(Debug)]
pub struct Receipt {
    id: MessageId,
    loaded: Arc<Loaded>,
}

impl Receipt {
    /// The writer's, after the commit.
    pub(super) fn new(id: MessageId, loaded: Arc<Loaded>) -> Self {
        Receipt { id, loaded }
    }

    /// The stored message's id.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// The message as the scheduler wants it, so that a fresh one is delivered without a read.
    pub fn loaded(&self) -> &Arc<Loaded> {
        &self.loaded
    }
}

/// The queue id, for the 250.
impl std::fmt::Display for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.id.fmt(f)
    }
}

/// A message in RAM: its row, its recipients, and its body while the budget allows.
#[derive(Debug)]
pub struct Loaded {
    /// The row.
    pub message: Message,
    /// Recipients: all of them when fresh, those that were asked for when read back.
    pub recipients: Vec<Recipient>,
    /// The body, if it is in RAM.
    pub body: Option<(Bytes, Lease)>,
}

/// Where a stored body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyPlace {
    /// A record of a segment.
    Segment {
        /// Number of the segment.
        segment: u64,
        /// Offset of the record.
        offset: u64,
    },
    /// `bodies/<id>`.
    File,
    /// Deleted: the message is finished and its retention is over.
    Gone,
}

/// A stored message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When its waiting recipients expire.
    pub expires_at: Timestamp,
    /// MAIL FROM.
    pub sender: Option<Mailbox>,
    /// Its parameters.
    pub params: MailParams,
    /// Number of recipients.
    pub recipients: u32,
    /// Its class.
    pub class: Class,
    /// Facts of the header.
    pub facts: Facts,
    /// The API user; empty: none.
    pub user: String,
    /// Who submitted it.
    pub source_ip: Option<IpAddr>,
    /// By which door.
    pub origin: Origin,
    /// Where the body is.
    pub place: BodyPlace,
    /// Octets of the body.
    pub len: u64,
}

/// Where a recipient stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecipientState {
    /// It waits.
    Waiting {
        /// When it is tried next; [`Timestamp::MAX`] while held.
        due: Timestamp,
        /// Why it waits.
        wait: WaitReason,
    },
    /// Its final event.
    Final(EventKind),
}

/// A stored recipient.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// Its key.
    pub key: RecipientKey,
    /// RCPT TO.
    pub address: Mailbox,
    /// Its parameters.
    pub params: RcptParams,
    /// Its lane.
    pub lane: Lane,
    /// Where it stands.
    pub state: RecipientState,
    /// Tries so far.
    pub attempts: u32,
    /// The last answer or trouble; empty before the first try.
    pub last_reply: String,
    /// The next attempt may be a duplicate: the process stopped hard while it was due, or a reply was lost (P3).
    pub possible_duplicate: bool,
    /// A delay notice was sent.
    pub delay_noticed: bool,
}

/// What the scheduler keeps of a waiting recipient: small, so that many fit.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Whom.
    pub key: RecipientKey,
    /// Where to.
    pub lane: Lane,
    /// Its class.
    pub class: Class,
    /// Its submitter.
    pub user: UserKey,
    /// When.
    pub due: Timestamp,
    /// Tries so far.
    pub attempts: u32,
    /// When it expires.
    pub expires_at: Timestamp,
    /// The message in RAM, where the budget allows: saves the read.
    pub loaded: Option<Arc<Loaded>>,
}

/// How much of a lane's head is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeadLimits {
    /// Tickets at most; submitters share them by turns, so that one with a backlog hides nobody.
    pub rows: usize,
    /// Tickets of one message at most, so that a message with many recipients hides nobody.
    pub per_message: usize,
}

/// The head of a lane and class.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Earliest due first within each submitter.
    pub tickets: Vec<Ticket>,
    /// Nothing else that is due was left out, skipped ones not counted.
    pub complete: bool,
}

/// What other rooms remember across restarts, small rows of their own making, in a table of the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MemoKind {
    /// MTA-STS policies, by domain.
    MtaSts,
    /// What warming source addresses sent, by day, address and provider.
    WarmUp,
    /// TLS results of a day, by day and policy domain.
    TlsResults,
    /// TLS reports that came in, by day, organisation and report.
    TlsReports,
    /// When a delivery-speed rule last matched, by its name.
    RuleUse,
}

impl MemoKind {
    /// Every kind, in the order of their stored numbers.
    pub const ALL: [MemoKind; 5] =
        [MemoKind::MtaSts, MemoKind::WarmUp, MemoKind::TlsResults, MemoKind::TlsReports, MemoKind::RuleUse];

    /// The word in messages to people.
    pub fn word(self) -> &'static str {
        match self {
            MemoKind::MtaSts => "mta-sts",
            MemoKind::WarmUp => "warm-up",
            MemoKind::TlsResults => "tls-results",
            MemoKind::TlsReports => "tls-reports",
            MemoKind::RuleUse => "rule-use",
        }
    }
}

/// Octets of one memo's value at most.
pub const MEMO_OCTETS_MAX: usize = 256 * 1024;
/// Memos of one kind at most; beyond, a new key is refused.
pub const MEMOS_MAX: usize = 100_000;

/// Octets of a memo's key at most.
pub const MEMO_KEY_MAX: usize = 512;
/// Memos that one call writes or forgets, and the octets of their values: one transaction, short enough for the verdicts
/// that wait behind it.
pub const MEMOS_A_CALL_MAX: usize = 1_000;
/// See [`MEMOS_A_CALL_MAX`].
pub const MEMOS_A_CALL_OCTETS_MAX: usize = 4 * 1024 * 1024;

/// A memo to write or to forget.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemoChange {
    /// Its kind.
    pub kind: MemoKind,
    /// Its key, at most 512 octets.
    pub key: String,
    /// Its value; `None` forgets it.
    pub value: Option<Vec<u8>>,
}

/// A destination to which the operator lets nothing go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pause {
    /// The destination, in lower case.
    pub destination: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; `None`: until it is lifted.
    pub until: Option<Timestamp>,
    /// By whom.
    pub operator: String,
    /// In the operator's words; may be empty.
    pub reason: String,
}

/// Pauses at most.
pub const PAUSES_MAX: usize = 10_000;
/// Octets of each text of a pause at most.
pub const PAUSE_TEXT_MAX: usize = 1024;

/// A change of one recipient's state with its event; the writer applies both in one transaction (P4).
#[derive(Clone, Debug)]
pub struct Change {
    /// What to log. Its kind is the new state: `Deferred` needs `next_try` and `wait`, the others are final.
    pub event: Event,
    /// A failure, delay or success notice is owed to the sender.
    pub notice: Option<NoticeKind>,
}

/// Which notice (RFC 3464 §2.3.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum NoticeKind {
    /// `Action: failed`.
    Failure,
    /// `Action: delayed`.
    Delay,
    /// `Action: delivered` or `relayed`.
    Success,
    /// `Action: relayed`: the next hop took it but does not do DSN.
    Relayed,
}

/// A notice that is owed.
#[derive(Clone, Debug)]
pub struct NoticeOwed {
    /// About whom.
    pub key: RecipientKey,
    /// Which.
    pub kind: NoticeKind,
    /// Since when.
    pub since: Timestamp,
    /// The event that owes it.
    pub event: Event,
}

/// What became of a batch of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Applied.
    pub applied: usize,
    /// Left out: the recipient was final already.
    pub too_late: usize,
}

/// Acts on waiting recipients; `filter` chooses them.
#[derive(Clone, Debug)]
pub struct QueueAct {
    /// What to do.
    pub verb: QueueVerb,
    /// To whom.
    pub filter: QueueFilter,
    /// By whom: the name in the events and in the operation log.
    pub operator: String,
}

impl QueueAct {
    /// Its entry in the operation log; the writer adds the count.
    pub(super) fn audit_entry(&self, at: Timestamp) -> AuditEntry {
        let f = &self.filter;
        let id = f.message.map(|m| m.to_string()).unwrap_or_default();
        let index = f.index.map(|n| n.to_string()).unwrap_or_default();
        let held = if f.held { "yes" } else { "" };
        let parts = [
            ("message", id.as_str()),
            ("index", &index),
            ("recipient", &f.recipient),
            ("sender", &f.sender),
            ("destination", &f.destination),
            ("user", &f.user),
            ("held", held),
        ];
        let named: Vec<String> =
            parts.iter().filter(|(_, v)| !v.is_empty()).map(|(name, v)| format!("{name}={v}")).collect();
        AuditEntry {
            at,
            who: self.operator.clone(),
            from: "control socket".to_owned(),
            act: format!("queue.{}", self.verb.word()),
            object: if named.is_empty() { "the whole queue".to_owned() } else { named.join(" ") },
            detail: String::new(),
        }
    }
}

/// `queue flush|hold|release|drop|fail`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueVerb {
    /// Due now.
    Flush,
    /// Not before `release`.
    Hold,
    /// Due now, if held.
    Release,
    /// Removed without a notice; final.
    Drop,
    /// Failed, with a notice; final.
    Fail,
}

impl QueueVerb {
    /// The word of the command line.
    pub fn word(self) -> &'static str {
        match self {
            QueueVerb::Flush => "flush",
            QueueVerb::Hold => "hold",
            QueueVerb::Release => "release",
            QueueVerb::Drop => "drop",
            QueueVerb::Fail => "fail",
        }
    }
}

/// Which waiting recipients. Empty fields match all.
#[derive(Clone, Debug, Default)]
pub struct QueueFilter {
    /// One message.
    pub message: Option<MessageId>,
    /// One recipient of it.
    pub index: Option<u32>,
    /// Part of the recipient's address, any case.
    pub recipient: String,
    /// Part of the sender's address, any case.
    pub sender: String,
    /// The destination ([`Lane::destination`]), exactly, any case.
    pub destination: String,
    /// The API user, exactly.
    pub user: String,
    /// Held ones only.
    pub held: bool,
}
