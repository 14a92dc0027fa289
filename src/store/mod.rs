//! What Hikyaku remembers: the only room that knows redb and the body segments.
//!
//! In: submissions, changes, acts of the operator.  Out: receipts, pages of rows, bodies.
//! Always: a [`Receipt`] exists only after the commit that holds its message was synced (P1); a change of state and its
//! event are one transaction (P4); memory does not grow with the backlog (P5); a damaged database is reported by name and
//! never silently made anew.
//!
//! The files, in the order of the flow: `inbox` (the writer's door) → `accept`, `verdicts`, `returns`, `recovery` (what is done) → `batch` (one
//! transaction) → `segments` (bodies) → `writer` (the thread) → `messages`, `head`, `queue`, `events` by its `indexes`, `story`, `search`, `conversations`, `counts`, `follow`, `ages`, `sums`,
//! `audit` with its `chain`, `accounts`, `memos`, `pauses`, `leads` (reading, asked by `asking`) → `archive` and `retention` (forgetting), `backup`, `verify`. Below them `tables`, `rows`,
//! `codec`, and `migrate` for older schemas; below all, `pages` and `redo` (redb's file) and `disk`.

mod accept;
mod accounts;
mod acts;
mod ages;
mod answers;
mod archive;
mod archive_rows;
mod asking;
mod audit;
mod backup;
mod batch;
mod chain;
mod codec;
mod conversations;
mod counts;
pub mod disk;
mod events;
mod fault;
mod follow;
mod glance;
mod head;
mod inbox;
mod indexes;
mod largest;
mod lead_slot;
mod leads;
mod memo_types;
mod memos;
mod message_rows;
mod messages;
mod migrate;
mod open;
mod pages;
mod pauses;
mod queue;
mod recovery;
mod redo;
mod restore;
mod retention;
mod returns;
mod rows;
mod search;
mod segments;
mod shared;
#[doc(hidden)]
pub mod sim;
mod story;
mod sums;
mod tables;
mod types;
mod user_minutes;
mod verdicts;
mod verify;
mod writer;

pub use archive::Archive;
pub use archive_rows::{AUDIT_COLUMNS, LOG_COLUMNS, audit_cells, log_cells};
pub use asking::Patience;
pub use leads::LEAD_OCTETS_MAX;
pub use messages::{BodyReader, LargeBody, StoredFile};
pub use open::{Opened, Tuning};
pub use types::*;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::{Clock, Timestamp},
    event::{Class, EventKind},
    ids::{IdSource, MessageId, RecipientKey, UserKey},
};
use inbox::{Answer, Inbox, answer};
use segments::Segments;
use shared::Shared;
use writer::{ActStep, Op, WriterThread};

/// The store; clones share it. Methods that are `async` wait for the writer; the others read, block, and belong on
/// `smol::unblock` (a queue or log page) or on the executor where the text says that they are short.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    /// Held, so that it ends with the store.
    _archive: archive::ArchiveThread,
    ids: IdSource,
    clock: Clock,
    db: Arc<redb::Database>,
    inbox: Arc<Inbox<Op>>,
    shared: Arc<Shared>,
    segments: Arc<Segments>,
    thread: WriterThread,
    /// With which submitter the next head begins.
    turn: AtomicU64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.largest.stop();
        self.inbox.close();
        writer::join(&self.thread);
    }
}

/// Behind by more than this ([`Store::behind`]), no new mail is taken: MAIL is answered 451, and the daemon is not ready.
pub const BEHIND_MAX: Duration = Duration::from_secs(5);

/// Recipients of one step of an operator's act: a transaction of some milliseconds, so that verdicts never wait long.
const ACT_STEP: usize = 256;
/// Rows of the queue that one step of an act looks at.
const ACT_SCAN: usize = 20_000;

impl Store {
    /// Opens or creates the store in `data_dir` (exists, locked by the caller, 0700).
    ///
    /// # Errors
    /// `Damaged` and `Newer` name the file and say what to do; `InUse` when another process has it; nothing was changed then.
    pub fn open(options: StoreOptions) -> Result<Opened, StoreError> {
        open::open(options, None, Tuning::default())
    }

    /// [`Store::open`]; rows are archived before they are pruned (R13).
    #[allow(clippy::missing_errors_doc)]
    pub fn open_archiving(options: StoreOptions, to: Option<Archive>) -> Result<Opened, StoreError> {
        open::open(options, to, Tuning::default())
    }

    /// [`Store::open`] on another disk or with other sizes, for tests and measurements.
    #[doc(hidden)]
    pub fn open_tuned(options: StoreOptions, tuning: Tuning) -> Result<Opened, StoreError> {
        open::open(options, None, tuning)
    }

    /// [`Store::open_archiving`], likewise.
    #[doc(hidden)]
    pub fn open_tuned_archiving(
        options: StoreOptions,
        to: Option<Archive>,
        tuning: Tuning,
    ) -> Result<Opened, StoreError> {
        open::open(options, to, tuning)
    }

    /// Archives what is to be archived now, in the caller's thread; answers how many files were written. For tests, whose stores
    /// have no thread for it.
    #[doc(hidden)]
    pub fn archive_now(&self) -> usize {
        let s = &self.0;
        let (db, disk, clock) = (s.db.clone(), s.segments.disk().clone(), s.clock.clone());
        archive::Archiver { db, disk, clock, inbox: s.inbox.clone(), shared: s.shared.clone() }.round()
    }

    /// Archives to this folder from now on; `None`: rows go without.
    pub fn archive_to(&self, to: Option<Archive>) {
        self.0.shared.archive.reconfigure(to);
    }

    /// Why rows are not archived, and so not pruned, in words; `None`: nothing is wrong. Short.
    pub fn archive_trouble(&self) -> Option<String> {
        self.0.shared.archive.trouble()
    }

    /// The ids of this store's messages.
    pub fn ids(&self) -> &IdSource {
        &self.0.ids
    }

    /// Makes a message durable. The returned receipt is the only thing a 250 may be built from.
    /// Waited for without a time-out: what was handed over may be stored even if nobody waits any more.
    ///
    /// # Errors
    /// `Full`: 452 4.3.1; `Failed` and `Closed`: 451 4.3.0. `Refused`: a memo that comes with it cannot be written.
    pub async fn submit(&self, submission: Submission) -> Result<Receipt, StoreError> {
        memos::check(&submission.memos)?;
        self.ask(|answer| Op::Submit(Box::new(accept::prepare(submission, answer)))).await
    }

    /// Makes verdicts durable, each with its event (P4). A change of a recipient that is already final (an operator was
    /// faster) is left out and counted in the answer. Never waits behind submissions.
    ///
    /// # Errors
    /// `Failed`, `Closed`; `Damaged` when a row cannot be read.
    pub async fn apply(&self, changes: Vec<Change>) -> Result<Applied, StoreError> {
        self.ask(|answer| Op::Apply(changes, answer)).await
    }

    /// An act of an operator on waiting recipients, in bounded steps, each with its events; writes one audit entry.
    /// `Flush` leaves held recipients alone and counts those that were due already.
    ///
    /// # Errors
    /// As for [`Store::apply`]; steps done before it are done.
    pub async fn act(&self, act: QueueAct) -> Result<u64, StoreError> {
        self.act_told(act, &AtomicU64::new(0)).await
    }

    /// [`Store::act`], which tells how far it is. One of several steps has an entry of its beginning in the operation log, too: a
    /// stop in its middle leaves that behind.
    ///
    /// # Errors
    /// As for [`Store::apply`]; steps done before it are done.
    pub async fn act_told(&self, act: QueueAct, done: &AtomicU64) -> Result<u64, StoreError> {
        let mut count = 0;
        let mut page = Page { rows_max: ACT_STEP, scan_max: ACT_SCAN, ..Page::default() };
        loop {
            let (store, filter) = (self.clone(), act.filter.clone());
            let wanted = page.clone();
            let got = smol::unblock(move || store.queue_page(&filter, &wanted)).await?;
            let keys: Vec<RecipientKey> = got.rows.iter().map(|row| row.recipient.key).collect();
            // The entry of the operation log is written with the last step, which knows the whole count.
            let last = got.next.is_none();
            if page.cursor.is_none() && !last {
                let begun = act.audit_entry(self.0.clock.now());
                self.audit(AuditEntry { detail: "begun".to_owned(), ..begun }).await?;
            }
            let audit = last.then(|| (act.audit_entry(self.0.clock.now()), count));
            if last || !keys.is_empty() {
                let step = ActStep { verb: act.verb, keys, operator: act.operator.clone(), audit };
                count += self.ask(|answer| Op::Act(Box::new(step), answer)).await?;
                done.store(count, Ordering::Relaxed);
            }
            if last {
                return Ok(count);
            }
            page.cursor = got.next;
        }
    }

    /// The site of a lane answers again: recipients that wait for nothing else ([`WaitReason::Site`](crate::event::WaitReason))
    /// are due now, without an event; held, scheduled, damaged and merely refused ones stay. In bounded steps, which come
    /// behind verdicts and mail; answers how many were moved. Dropped between two steps, or cut by a stop, what is left has
    /// its old time, and a later call finds it.
    ///
    /// # Errors
    /// As for [`Store::apply`]; steps done before it are done.
    pub async fn site_is_back(&self, lane: &Lane) -> Result<u64, StoreError> {
        let (mut moved, mut cursor) = (0, None);
        loop {
            let (store, lane) = (self.clone(), lane.clone());
            let step = move || {
                let s = &store.0;
                recovery::step(&s.db, s.shared.unclean, &lane, s.clock.now(), cursor)
            };
            let (keys, next) = smol::unblock(step).await?;
            if !keys.is_empty() {
                moved += self.ask(|answer| Op::MakeDue(keys, answer)).await?;
            }
            if next.is_none() {
                return Ok(moved);
            }
            cursor = next;
        }
    }

    /// Clears the oldest notice owed about each of these recipients without a message: it will never be sent.
    /// Answers how many there were.
    ///
    /// # Errors
    /// As for [`Store::apply`].
    pub async fn settle(&self, keys: Vec<RecipientKey>) -> Result<usize, StoreError> {
        self.ask(|answer| Op::Settle(keys, answer)).await
    }

    /// Writes one entry of the operation log.
    ///
    /// # Errors
    /// `Failed`, `Closed`.
    pub async fn audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.ask(|answer| Op::Audit(Box::new(entry), answer)).await
    }

    /// Hands an operation over and waits for its answer.
    async fn ask<T>(&self, make: impl FnOnce(Answer<Result<T, StoreError>>) -> Op) -> Result<T, StoreError> {
        let (give, wait) = answer();
        let op = make(give);
        let line = op.line();
        if !self.0.inbox.put(line, op).await {
            return Err(self.closed());
        }
        wait.await.unwrap_or_else(|| Err(self.closed()))
    }

    fn closed(&self) -> StoreError {
        self.0.shared.failure().map_or(StoreError::Closed, StoreError::Failed)
    }

    /// Writes bounces and complaints into the error log, each with its link to what it is about (R11); no state changes, and
    /// a recipient that still waits may have some, too. One transaction; answers what became of each, in order. The same one
    /// twice is written once. Never waits behind submissions.
    ///
    /// # Errors
    /// `Refused` for more than [`RETURNED_A_CALL_MAX`], and for a kind that is neither. `Failed`, `Closed`; `Damaged` when a row
    /// cannot be read: those before it are written.
    pub async fn returned(&self, returned: Vec<Returned>) -> Result<Vec<ReturnedAs>, StoreError> {
        if returned.len() > RETURNED_A_CALL_MAX {
            let why = format!("{} bounces in one call: at most {RETURNED_A_CALL_MAX}", returned.len());
            return Err(StoreError::Refused(why));
        }
        if let Some(other) = returned.iter().find(|r| !r.kind.is_return()) {
            return Err(StoreError::Refused(format!("{} is not what comes back", other.kind.word())));
        }
        if returned.is_empty() {
            return Ok(Vec::new());
        }
        let floor = batch::first_number_of(self.log_floor());
        self.ask(|answer| Op::Returned(returned, floor, answer)).await
    }

    /// How long the oldest operation has waited for the writer. Short.
    pub fn behind(&self) -> Duration {
        self.0.inbox.behind()
    }

    /// The disk has less than `disk_free_min` free: take no new mail (452 4.3.1). Looked up at most once a second. Short.
    pub fn disk_is_full(&self) -> bool {
        self.0.shared.disk_is_full()
    }

    /// No verdict could be stored now: start no attempt. Short.
    pub fn verdicts_are_stuck(&self) -> bool {
        self.0.shared.verdicts_are_stuck()
    }

    /// Returns when a write or sync failed, with the reason; the process must stop (P2). Pending forever otherwise.
    pub async fn failed(&self) -> String {
        self.0.shared.failed().await
    }

    /// A round trip through the writer: the watchdog's question.
    ///
    /// # Errors
    /// `Failed`, `Closed`.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.ask(Op::Ping).await
    }

    /// Commits what waits, writes the clean-stop mark, stops the writer. Nothing can be stored afterwards.
    ///
    /// # Errors
    /// `Failed` when the mark could not be written: the next start is an unclean one.
    pub async fn stop(&self) -> Result<(), StoreError> {
        self.ask(Op::Stop).await
    }

    /// New periods of `[retention]` and `[queue].disk_free_min`.
    pub fn reconfigure(&self, retention: RetentionPeriods, disk_free_min: u64) {
        self.0.shared.reconfigure(retention, disk_free_min);
    }

    /// Starts a body in a file of its own, for messages over [`BODY_RAM_MAX`]. Blocking.
    ///
    /// # Errors
    /// `Full`, `Failed`.
    pub fn large_body(&self, id: MessageId) -> Result<LargeBody, StoreError> {
        LargeBody::create(self.0.segments.clone(), self.0.shared.clone(), id)
    }

    /// Opens a stored body for reading. Blocking; `Damaged` names the file.
    ///
    /// # Errors
    /// `Damaged`; `Read` when the database could not be asked.
    pub fn open_body(&self, message: &Message) -> Result<BodyReader, StoreError> {
        messages::open_body(&self.0.db, &self.0.segments, message)
    }

    /// Opens a large body that is about to be submitted: no row names it yet. Blocking.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn open_file_body(&self, id: MessageId, len: u64) -> Result<BodyReader, StoreError> {
        messages::try_open(&self.0.segments, id, BodyPlace::File, len)
    }

    // ---- the scheduler's questions (blocking, bounded by `limit`) ----

    /// Lanes that have recipients due at or before `until`, by earliest due time.
    ///
    /// # Errors
    /// `Damaged`, `Read`; as for all readers below.
    pub fn lanes_due(&self, until: Timestamp, limit: usize) -> Result<Vec<LaneRow>, StoreError> {
        queue::lanes_due(&self.0.db, until, None, limit)
    }

    /// [`Store::lanes_due`], behind the lane that the page before ended with (its earliest due time and name).
    #[allow(missing_docs, clippy::missing_errors_doc)]
    pub fn lanes_due_after(
        &self,
        until: Timestamp,
        after: &(Timestamp, Lane),
        limit: usize,
    ) -> Result<Vec<LaneRow>, StoreError> {
        queue::lanes_due(&self.0.db, until, Some(after), limit)
    }

    /// The earliest due time of any lane later than `after`; `None`: nothing waits.
    pub fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        queue::next_due(&self.0.db, after)
    }

    /// Waiting recipients of a lane and class that are due, skipping those for which `skip` says true. Submitters have equal
    /// shares of the rows, and what some leave goes to the others; with more submitters than rows, each call begins with
    /// another one. Bounded work, whatever waits.
    pub fn head(
        &self,
        lane: &Lane,
        class: Class,
        until: Timestamp,
        limits: HeadLimits,
        skip: &dyn Fn(RecipientKey) -> bool,
    ) -> Result<Head, StoreError> {
        /// The golden ratio of 2⁶⁴: steps of it fall into every gap between submitters' keys.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let first = UserKey::from_u64(self.0.turn.fetch_add(STEP, Ordering::Relaxed));
        head::read(&self.0.db, &head::Question { lane, class, until, limits, skip }, first)
    }

    /// Since when the oldest mail of each class waits, that could be delivered: held mail is not counted, and what was
    /// scheduled for later counts from its release. Short. See `ages.rs`.
    pub fn oldest(&self) -> Result<[Option<Timestamp>; 3], StoreError> {
        ages::oldest(&self.0.db, self.0.clock.now())
    }

    /// Events behind `after`, oldest first, of these kinds (empty: all); reads `limit` events at most. The second value is the
    /// number to go on behind: the last one that was read, or `after` where nothing has come. No event is ever missed: one that
    /// is committed later has a greater number than all that were seen (`follow.rs` says why). What is pruned or past its
    /// period is left out. Blocking.
    pub fn follow(&self, after: u64, kinds: &[EventKind], limit: usize) -> Result<(Vec<Followed>, u64), StoreError> {
        let s = &self.0;
        follow::follow(&s.db, s.shared.unclean, after, kinds, limit, self.log_floor())
    }

    /// [`Store::follow`] with the rows of the log, without links.
    #[allow(clippy::missing_errors_doc)]
    pub fn follow_rows(&self, after: u64, kinds: &[EventKind], limit: usize) -> Result<(Vec<LogRow>, u64), StoreError> {
        let s = &self.0;
        follow::follow_rows(&s.db, s.shared.unclean, after, kinds, limit, self.log_floor())
    }

    /// The number of the last event of the log; 0: there is none. Short.
    #[allow(clippy::missing_errors_doc)]
    pub fn log_end(&self) -> Result<u64, StoreError> {
        follow::end(&self.0.db)
    }

    /// Messages with this Message-ID, in any case and with or without its angle brackets, newest first, each with its
    /// recipients (at most `limit` in all). Blocking, short.
    pub fn sent_as(&self, message_id: &str, limit: usize) -> Result<Vec<(Message, Vec<Recipient>)>, StoreError> {
        let s = &self.0;
        follow::sent_as(&s.db, s.shared.unclean, message_id, limit, self.log_floor())
    }

    // ---- what other rooms and the operator remember ----

    /// A memo. Short.
    pub fn memo(&self, kind: MemoKind, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        memos::get(&self.0.db, kind, key)
    }

    /// Memos of a kind whose keys begin with `prefix`, in the order of their keys, behind `after`.
    pub fn memos(
        &self,
        kind: MemoKind,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        memos::list(&self.0.db, kind, prefix, after, limit)
    }

    /// Their keys alone: for whoever forgets, or counts.
    pub fn memo_keys(
        &self,
        kind: MemoKind,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        memos::keys(&self.0.db, kind, prefix, after, limit)
    }

    /// Writes memos, all in one transaction or none; waits for the commit, which waits for company and comes behind verdicts
    /// and mail. Of changes of the same key the last counts.
    ///
    /// # Errors
    /// `Refused` when a key or value is too long, there are too many in one call ([`MEMOS_A_CALL_MAX`]), or the kind is full;
    /// nothing was written then. `Failed`, `Closed`.
    pub async fn put_memos(&self, changes: Vec<MemoChange>) -> Result<(), StoreError> {
        self.put_memos_as(changes, None).await
    }

    /// [`Store::put_memos`] with an entry of the operation log in the same transaction: for what people do to lists.
    ///
    /// # Errors
    /// As for [`Store::put_memos`]; the entry is written with the memos or not at all.
    pub async fn put_memos_as(&self, changes: Vec<MemoChange>, audit: Option<AuditEntry>) -> Result<(), StoreError> {
        memos::check(&changes)?;
        if changes.is_empty() && audit.is_none() {
            return Ok(());
        }
        self.ask(|answer| Op::PutMemos(changes, audit.map(Box::new), answer)).await
    }

    /// Memos of a kind, in all. Short.
    pub fn memo_count(&self, kind: MemoKind) -> Result<u64, StoreError> {
        memos::count(&self.0.db, kind)
    }

    /// The destinations that an operator paused, but for those whose time is over; by name. Short.
    pub fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        pauses::all(&self.0.db, self.0.clock.now())
    }

    /// Pauses a destination, or replaces its pause, with its entry in the operation log; `from`: from where, as it stands there.
    ///
    /// # Errors
    /// `Refused` when a text is too long or there are [`PAUSES_MAX`]; `Failed`, `Closed`.
    pub async fn pause(&self, pause: Pause, from: &str) -> Result<(), StoreError> {
        pauses::check(&pause)?;
        self.ask(|answer| Op::Pause(Box::new(pause), from.to_owned(), answer)).await
    }

    /// Lifts a pause, with its entry in the operation log; false: there was none.
    ///
    /// # Errors
    /// `Failed`, `Closed`.
    pub async fn unpause(&self, destination: &str, operator: &str, from: &str) -> Result<bool, StoreError> {
        let what = [destination, operator, from].map(str::to_owned);
        self.ask(|answer| Op::Unpause(Box::new(what), answer)).await
    }

    /// A message and the named recipients of it, for an attempt. `None` when the row is gone. Short.
    pub fn load(&self, id: MessageId, indexes: &[u32]) -> Result<Option<(Message, Vec<Recipient>)>, StoreError> {
        messages::load(&self.0.db, self.0.shared.unclean, id, indexes)
    }

    /// The leads that are kept for these recipients of a message, for another try. Short; costs nothing while none are kept.
    pub fn leads(&self, id: MessageId, indexes: &[u32]) -> Result<Vec<StoredLead>, StoreError> {
        if !self.0.shared.has_leads() {
            return Ok(Vec::new());
        }
        leads::of(&self.0.db, id, indexes)
    }

    /// Recipients whose failure or delay owes a notice, oldest first; of one recipient only the oldest.
    pub fn notices_owed(&self, limit: usize) -> Result<Vec<NoticeOwed>, StoreError> {
        self.log()?.notices_owed(&self.0.db, limit)
    }

    /// A consistent copy of rows and live bodies as a tar, while running. It holds what the data directory holds, secrets
    /// included: hashes of passwords, and the keys of return addresses and unsubscribe links ([`MemoKind::ReturnKeys`]), without
    /// which a restored store would not know its own bounces. Keep it as closely (0600). Blocking.
    ///
    /// # Errors
    /// `Damaged`, `Read`; `Failed` when `to` or the temporary database cannot be written (the store itself goes on).
    pub fn backup(&self, to: &mut dyn std::io::Write) -> Result<BackupSummary, StoreError> {
        let s = &self.0;
        backup::write(&s.db, &s.segments, s.shared.data_dir(), to)
    }

    /// Reads the whole store of a stopped daemon and reports damage, one line each. Blocking.
    ///
    /// # Errors
    /// `InUse` while a daemon runs; `Damaged` and `Newer` when the database cannot be opened at all.
    pub fn verify(data_dir: &Path, _clock: &Clock) -> Result<VerifyReport, StoreError> {
        verify::run(Arc::new(disk::RealDisk), data_dir)
    }

    /// Unpacks a backup into a data directory that holds no store yet; every waiting recipient comes back on hold, since it
    /// may have been sent since. Blocking; answers how many are held.
    ///
    /// # Errors
    /// `InUse` when there is a store already; `Damaged` when the backup is no backup; `Failed` when a write failed.
    pub fn restore(data_dir: &Path, clock: &Clock, from: &mut dyn std::io::Read) -> Result<u64, StoreError> {
        restore::run(Arc::new(disk::RealDisk), data_dir, clock, from)
    }

    /// [`Store::verify`] on another disk, for tests.
    #[doc(hidden)]
    pub fn verify_on(disk: Arc<dyn disk::Disk>, data_dir: &Path) -> Result<VerifyReport, StoreError> {
        verify::run(disk, data_dir)
    }
}
