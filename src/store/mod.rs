//! What Hikyaku remembers: the only room that knows redb and the body segments.
//!
//! In: submissions, changes, acts of the operator.  Out: receipts, pages of rows, bodies.
//! Always: a [`Receipt`] exists only after the commit that holds its message was synced (P1); a change of state and its
//! event are one transaction (P4); memory does not grow with the backlog (P5); a damaged database is reported by name and
//! never silently made anew.

mod types;

pub use types::*;

use std::{path::Path, time::Duration};

use crate::{
    clock::{Clock, Timestamp},
    event::Class,
    ids::{IdSource, MessageId, RecipientKey},
};

/// The store; clones share it. Methods that are `async` wait for the writer; the others read, block, and belong on
/// `smol::unblock` (a queue or log page) or on the executor where the text says that they are short.
#[derive(Clone)]
pub struct Store(std::sync::Arc<Inner>);

struct Inner {
    ids: IdSource,
}

/// A store that was just opened.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// The last process stopped cleanly: nothing was in flight.
    pub clean: bool,
}

#[allow(clippy::unimplemented, unused_variables, missing_docs)] // contract; the bodies follow
impl Store {
    /// Opens or creates the store in `data_dir` (exists, locked by the caller, 0700).
    pub fn open(options: StoreOptions) -> Result<Opened, StoreError> {
        unimplemented!()
    }

    /// The ids of this store's messages.
    pub fn ids(&self) -> &IdSource {
        &self.0.ids
    }

    /// Makes a message durable. The returned receipt is the only thing a 250 may be built from.
    /// Waited for without a time-out: what was handed over may be stored even if nobody waits any more.
    pub async fn submit(&self, submission: Submission) -> Result<Receipt, StoreError> {
        unimplemented!()
    }

    /// Makes verdicts durable, each with its event (P4). A change of a recipient that is already final (an operator was
    /// faster) is left out and counted in the answer. Never waits behind submissions.
    pub async fn apply(&self, changes: Vec<Change>) -> Result<Applied, StoreError> {
        unimplemented!()
    }

    /// An act of an operator on waiting recipients, in bounded steps, each with its events; writes one audit entry.
    pub async fn act(&self, act: QueueAct) -> Result<u64, StoreError> {
        unimplemented!()
    }

    /// Writes one entry of the operation log.
    pub async fn audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// How long the oldest operation has waited for the writer. Short.
    pub fn behind(&self) -> Duration {
        unimplemented!()
    }

    /// The disk has less than `disk_free_min` free: take no new mail (452 4.3.1). Looked up at most once a second. Short.
    pub fn disk_is_full(&self) -> bool {
        unimplemented!()
    }

    /// No verdict could be stored now: start no attempt. Short.
    pub fn verdicts_are_stuck(&self) -> bool {
        unimplemented!()
    }

    /// Returns when a write or sync failed, with the reason; the process must stop (P2). Pending forever otherwise.
    pub async fn failed(&self) -> String {
        unimplemented!()
    }

    /// A round trip through the writer: the watchdog's question.
    pub async fn ping(&self) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Commits what waits, writes the clean-stop mark, stops the writer. Nothing can be stored afterwards.
    pub async fn stop(&self) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// New periods of `[retention]` and `[queue].disk_free_min`.
    pub fn reconfigure(&self, retention: RetentionPeriods, disk_free_min: u64) {
        unimplemented!()
    }

    /// Starts a body in a file of its own, for messages over [`BODY_RAM_MAX`]. Blocking.
    pub fn large_body(&self, id: MessageId) -> Result<LargeBody, StoreError> {
        unimplemented!()
    }

    /// Opens a stored body for reading. Blocking; `Damaged` names the file.
    pub fn open_body(&self, message: &Message) -> Result<BodyReader, StoreError> {
        unimplemented!()
    }

    // ---- the scheduler's questions (blocking, bounded by `limit`) ----

    /// Lanes that have recipients due at or before `until`, by earliest due time; `after` pages on.
    pub fn lanes_due(&self, until: Timestamp, limit: usize) -> Result<Vec<LaneRow>, StoreError> {
        unimplemented!()
    }

    /// The earliest due time of any lane later than `after`; `None`: nothing waits.
    pub fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        unimplemented!()
    }

    /// Waiting recipients of a lane and class, earliest due first, skipping those for which `skip` says true.
    pub fn lane_head(
        &self,
        lane: &Lane,
        class: Class,
        until: Timestamp,
        limit: usize,
        skip: &dyn Fn(RecipientKey) -> bool,
    ) -> Result<Vec<Ticket>, StoreError> {
        unimplemented!()
    }

    /// A message and the named recipients of it, for an attempt. `None` when the row is gone. Short.
    pub fn load(&self, id: MessageId, indexes: &[u32]) -> Result<Option<(Message, Vec<Recipient>)>, StoreError> {
        unimplemented!()
    }

    /// Recipients whose failure or delay owes a notice, oldest first.
    pub fn notices_owed(&self, limit: usize) -> Result<Vec<NoticeOwed>, StoreError> {
        unimplemented!()
    }

    // ---- people's questions (blocking, paged) ----

    /// One page of waiting recipients.
    pub fn queue_page(&self, filter: &QueueFilter, page: &Page) -> Result<QueuePage, StoreError> {
        unimplemented!()
    }

    /// Every lane with its count and earliest due time, largest first.
    pub fn lanes(&self, limit: usize) -> Result<Vec<LaneRow>, StoreError> {
        unimplemented!()
    }

    /// One page of the delivery or error log, newest first.
    pub fn log_page(&self, query: &LogQuery, page: &Page) -> Result<LogPage, StoreError> {
        unimplemented!()
    }

    /// Everything known of one message: its row, recipients and events, oldest event first.
    pub fn message_story(&self, id: MessageId) -> Result<Option<Story>, StoreError> {
        unimplemented!()
    }

    /// Messages that a key finds: queue id, recipient address, Message-ID or X-Api-Data, newest first.
    pub fn find(&self, key: &str, limit: usize) -> Result<Vec<MessageId>, StoreError> {
        unimplemented!()
    }

    /// One page of the operation log, newest first.
    pub fn audit_page(&self, query: &AuditQuery, page: &Page) -> Result<AuditPage, StoreError> {
        unimplemented!()
    }

    /// Counts of events for each minute in `[from, to)`; minutes without events are left out.
    pub fn minutes(&self, from: Timestamp, to: Timestamp) -> Result<Vec<MinuteCounts>, StoreError> {
        unimplemented!()
    }

    /// Totals of what waits now. Short.
    pub fn totals(&self) -> Totals {
        unimplemented!()
    }

    // ---- accounts ----

    /// All accounts, by name.
    pub fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        unimplemented!()
    }

    /// Writes an account; `false` in `replace` refuses an existing name (answers false).
    pub async fn put_account(&self, account: Account, replace: bool) -> Result<bool, StoreError> {
        unimplemented!()
    }

    /// Removes an account; false when there is none.
    pub async fn remove_account(&self, name: &str) -> Result<bool, StoreError> {
        unimplemented!()
    }

    /// A consistent copy of rows and live bodies as a tar, while running. Blocking.
    pub fn backup(&self, to: &mut dyn std::io::Write) -> Result<BackupSummary, StoreError> {
        unimplemented!()
    }

    /// Reads the whole store of a stopped daemon and reports damage, one line each. Blocking.
    pub fn verify(data_dir: &Path, clock: &Clock) -> Result<VerifyReport, StoreError> {
        unimplemented!()
    }
}
