//! What goes into the store and what comes out, as the other rooms see it.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    budget::Lease,
    clock::{Clock, Timestamp},
    event::{Class, Event, EventKind, WaitReason},
    ids::{MessageId, RecipientKey},
    mail::header::Facts,
    secret::Secret,
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

/// A body file that was written and synced by [`super::LargeBody::finish`]; deleted when dropped before it was submitted.
#[derive(Debug)]
pub struct StoredFile {
    /// The message it is for.
    pub id: MessageId,
    /// Its octets.
    pub len: u64,
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
    #[allow(dead_code)] // the writer's
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
    /// When.
    pub due: Timestamp,
    /// Tries so far.
    pub attempts: u32,
    /// When it expires.
    pub expires_at: Timestamp,
    /// The message in RAM, where the budget allows: saves the read.
    pub loaded: Option<Arc<Loaded>>,
}

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
    /// The lane, exactly, any case.
    pub destination: String,
    /// The API user, exactly.
    pub user: String,
    /// Held ones only.
    pub held: bool,
}

/// One page of an answer.
#[derive(Clone, Debug)]
pub struct Page {
    /// Rows at most.
    pub rows_max: usize,
    /// Where the page before ended; opaque.
    pub cursor: Option<String>,
    /// Rows looked at, at most, before an unfinished page is returned with its cursor.
    pub scan_max: usize,
}

impl Default for Page {
    fn default() -> Self {
        Page { rows_max: 100, cursor: None, scan_max: 200_000 }
    }
}

/// A row of the queue.
#[derive(Clone, Debug)]
pub struct QueueRow {
    /// The message.
    pub message: Arc<Message>,
    /// The recipient.
    pub recipient: Recipient,
}

/// A page of the queue.
#[derive(Clone, Debug, Default)]
pub struct QueuePage {
    /// The rows.
    pub rows: Vec<QueueRow>,
    /// Where to go on; `None`: this was the last page.
    pub next: Option<String>,
}

/// A lane's totals.
#[derive(Clone, Debug)]
pub struct LaneRow {
    /// Which.
    pub lane: Lane,
    /// Waiting recipients.
    pub count: u64,
    /// The earliest due time.
    pub earliest_due: Timestamp,
    /// The lane's last deferral, for people: what the destination said. Empty when none was stored.
    pub last_reply: String,
}

/// A question to the log. Empty fields match all.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// From this time (inclusive).
    pub from: Option<Timestamp>,
    /// To this time (exclusive).
    pub to: Option<Timestamp>,
    /// Recipient, part of it or whole.
    pub recipient: String,
    /// Envelope sender or header From, part or whole.
    pub sender: String,
    /// Message-ID, part or whole.
    pub message_id: String,
    /// X-Api-Data, part or whole.
    pub api_data: String,
    /// The API user, exactly.
    pub user: String,
    /// Only these kinds; empty: all.
    pub kinds: Vec<EventKind>,
    /// The fields match whole instead of in part: uses the indexes.
    pub exact: bool,
    /// One message.
    pub message: Option<MessageId>,
    /// The error log: failed only.
    pub errors_only: bool,
}

/// A row of the log.
#[derive(Clone, Debug)]
pub struct LogRow {
    /// The event.
    pub event: Event,
    /// Its number: grows with time; the cursor of `--follow`.
    pub number: u64,
    /// The recipient's address.
    pub recipient: String,
    /// Its message.
    pub message: Arc<Message>,
}

/// A page of the log.
#[derive(Clone, Debug, Default)]
pub struct LogPage {
    /// The rows, newest first.
    pub rows: Vec<LogRow>,
    /// Where to go on; `None`: this was the last page.
    pub next: Option<String>,
    /// How far back the page looked, when it is unfinished.
    pub looked_back_to: Option<Timestamp>,
}

/// Everything about one message.
#[derive(Clone, Debug)]
pub struct Story {
    /// The message.
    pub message: Arc<Message>,
    /// Its recipients.
    pub recipients: Vec<Recipient>,
    /// Its events, oldest first.
    pub events: Vec<Event>,
}

/// An entry of the operation log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who: `operator` with the Unix user, an account, or `hikyaku` itself.
    pub who: String,
    /// From where: an address or `control socket`.
    pub from: String,
    /// The act: `queue.flush`, `user.add`, `config.reload`, `login` …
    pub act: String,
    /// On what.
    pub object: String,
    /// The difference or result, secrets hidden.
    pub detail: String,
}

/// A question to the operation log. Empty fields match all.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// From (inclusive).
    pub from: Option<Timestamp>,
    /// To (exclusive).
    pub to: Option<Timestamp>,
    /// Part of who.
    pub who: String,
    /// Part of the act.
    pub act: String,
}

/// A page of the operation log.
#[derive(Clone, Debug, Default)]
pub struct AuditPage {
    /// The rows, newest first.
    pub rows: Vec<AuditEntry>,
    /// Where to go on.
    pub next: Option<String>,
}

/// Events of one minute.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MinuteCounts {
    /// Its start.
    pub minute: Timestamp,
    /// Recipients accepted.
    pub queued: u64,
    /// Tries that deferred.
    pub deferred: u64,
    /// Recipients delivered.
    pub succeeded: u64,
    /// Recipients failed.
    pub failed: u64,
}

/// What waits now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Waiting recipients.
    pub waiting: u64,
    /// Of them, held.
    pub held: u64,
    /// Octets of live bodies.
    pub body_octets: u64,
    /// Octets of redb's file.
    pub database_octets: u64,
    /// Octets free on the disk, when last looked up.
    pub disk_free: u64,
}

/// What kind of account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccountKind {
    /// A program: SMTP AUTH and HTTP API.
    Api,
    /// A person in the console.
    Console,
}

/// A stored account.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name: the login.
    pub name: String,
    /// What it is.
    pub kind: AccountKind,
    /// PHC string of argon2id.
    pub hash: Secret<String>,
    /// The class of its mail; `None`: the default.
    pub class: Option<Class>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its password was set.
    pub password_set_at: Timestamp,
    /// It may submit by SMTP.
    pub may_smtp: bool,
    /// It may call the HTTP API.
    pub may_http: bool,
    /// It may read logs.
    pub may_view: bool,
    /// It may download logs (R13).
    pub may_download: bool,
}

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackupSummary {
    /// Messages with a live body.
    pub messages: u64,
    /// Octets of bodies.
    pub octets: u64,
}

/// What `verify` found.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Message rows read.
    pub messages: u64,
    /// Recipient rows read.
    pub recipients: u64,
    /// Events read.
    pub events: u64,
    /// Bodies read and checked.
    pub bodies: u64,
    /// What is wrong, one line each; empty: nothing.
    pub damage: Vec<String>,
}

/// A body that is being written to a file of its own. Blocking; dropped unfinished it is deleted.
#[derive(Debug)]
pub struct LargeBody {
    /// The message it is for.
    pub id: MessageId,
}

#[allow(clippy::unimplemented, unused_variables, missing_docs)] // contract
impl LargeBody {
    /// Appends octets. `Full` when the disk has no room.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Syncs file and folder.
    pub fn finish(self) -> Result<StoredFile, StoreError> {
        unimplemented!()
    }
}

/// Reads a stored body from its start, in blocks; checks its CRC when it reaches the end.
#[derive(Debug)]
pub struct BodyReader {
    /// Octets of the body.
    pub len: u64,
}

#[allow(clippy::unimplemented, unused_variables, missing_docs)] // contract
impl std::io::Read for BodyReader {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        unimplemented!()
    }
}
