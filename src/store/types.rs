//! What goes into the store and what comes out, as the other rooms see it.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;

pub use super::lead_slot::{Lead, LeadSlot, Leads, StoredLead};
use super::messages::StoredFile;
pub use super::{acts::*, answers::*, glance::*, memo_types::*};
use crate::{
    bounce::envelope_from::ReturnPath,
    budget::Lease,
    clock::{Clock, Timestamp},
    event::{AttemptDetail, Class, ErrorClass, Event, EventKind, WaitReason},
    ids::{MessageId, RecipientKey, UserKey},
    mail::header::Facts,
    smtp::{
        address::Mailbox,
        conversation::Conversation,
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

impl RetentionPeriods {
    /// An entry of this kind and time is within the period of a log that shows it (R13).
    pub fn keeps(&self, kind: EventKind, at: Timestamp, now: Timestamp) -> bool {
        at >= now.minus(self.delivery_log) || (kind.is_error() && at >= now.minus(self.error_log))
    }
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
    /// Mail that came back or came in, passed on: a bounce to its sender (R6), mail for postmaster, a forwarding filter's.
    Forward,
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
    /// The sender that goes out (R3).
    pub return_path: ReturnPath,
    /// The unsubscribe filter that the message matches; empty: none.
    pub list: String,
    /// Recipients that are not written to: final from the first, in the transaction that stores the message.
    pub blocked: Vec<Blocked>,
    /// Recipients that the sandbox takes, likewise. One that is blocked as well is blocked.
    pub sandboxed: Vec<Sandboxed>,
    /// Memos that are written with the message or not at all. Where one is refused, the message is not stored.
    pub memos: Vec<MemoChange>,
}

/// A recipient that is not written to: it is accepted, and failed at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Blocked {
    /// Its place in the envelope.
    pub index: u32,
    /// [`ErrorClass::Blocked`] or [`ErrorClass::Unsubscribed`].
    pub class: ErrorClass,
    /// Since when and why, for the log.
    pub reply: String,
}

/// A recipient of an API user in the sandbox: it is accepted, logged and never written to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sandboxed {
    /// Its place in the envelope.
    pub index: u32,
    /// The class of the failure that is simulated; `None`: it succeeds.
    pub class: Option<ErrorClass>,
    /// The answer that is simulated.
    pub reply: String,
}

/// Bounces and complaints that one call of [`super::Store::returned`] takes.
pub const RETURNED_A_CALL_MAX: usize = 1_000;
/// Bounces and complaints about one recipient; further ones are [`ReturnedAs::Known`]: the log tells the story already, and
/// nobody fills it with one address.
pub const RETURNS_MAX: usize = 32;

/// A bounce or a complaint about a recipient, to be written in the error log (R11).
#[derive(Clone, Debug)]
pub struct Returned {
    /// Whom it is about.
    pub key: RecipientKey,
    /// [`EventKind::Bounced`] or [`EventKind::Complained`].
    pub kind: EventKind,
    /// When it came.
    pub at: Timestamp,
    /// What it says: host, reply, class, whose trouble. An empty destination becomes the recipient's.
    pub detail: Box<AttemptDetail>,
}

/// What became of a [`Returned`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReturnedAs {
    /// Written, under this number.
    Written(u64),
    /// The same (kind, reply and class) was written before: a peer that did not hear our 250 sends it again. Also what is one
    /// too many ([`RETURNS_MAX`]), with the number of the newest.
    Known(u64),
    /// The recipient is not in the log, or not any more.
    Unknown,
}

/// An event, as those see it who follow the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Followed {
    /// Its number.
    pub number: u64,
    /// The event.
    pub event: Event,
    /// The recipient, in lower case.
    pub address: String,
    /// The submitter; empty: none.
    pub user: String,
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
    /// What stands in front of its copies, once that is known.
    pub leads: Leads,
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
    /// The sender that goes out (R3).
    pub return_path: ReturnPath,
    /// The unsubscribe filter that it matches; empty: none.
    pub list: String,
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
    /// What stood in front of the copy that was tried, to be the same at the next try; counts for `Deferred` alone.
    pub lead: Option<Lead>,
    /// What was said at the hosts, kept as long as the event; `None`: nothing was.
    pub conversation: Option<Conversation>,
}

impl Change {
    /// A change without a lead, and without a word said.
    pub fn of(event: Event, notice: Option<NoticeKind>) -> Self {
        Change { event, notice, lead: None, conversation: None }
    }
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
