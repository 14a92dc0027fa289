//! The one thread that writes: it takes what waits, makes the bodies durable, then the rows, then tells everybody.
//!
//! In: operations of the inbox.  Out: durable rows, receipts, answers.
//! Always: append bodies → one sync → one commit → receipts (P1); verdicts before submissions; no answer before its commit;
//! a failed write or sync is final: everybody who waits, and everybody later, hears `Failed`, and the file is not synced
//! again (P2). Housekeeping runs in bounded steps when nobody waits.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redb::Database;

use super::{
    accept::{self, Prepared, PreparedBody, Stored},
    accounts, archive, audit,
    batch::{After, Books, Work},
    fault::Fatal,
    inbox::{Answer, Group, Inbox, Line, Weigh},
    memos,
    pages::DatabaseFile,
    pauses, recovery,
    retention::{self, Housework, Keep, StepTime},
    returns,
    segments::{Appender, NoPlace, Segments},
    shared::Shared,
    tables::{DATABASE_FILE, META_ARCHIVE, META_CLEAN, Tables},
    types::{
        AccountChange, Applied, AuditEntry, BodyPlace, Change, MemoChange, Pause, QueueVerb, Returned, ReturnedAs,
        StoreError,
    },
    verdicts,
};
use crate::{clock::Clock, ids::RecipientKey};

/// What can be asked of the writer.
pub(super) enum Op {
    Submit(Box<Prepared>),
    Apply(Vec<Change>, Answer<Result<Applied, StoreError>>),
    /// What came back, and the first event number within the log's period.
    Returned(Vec<Returned>, u64, Answer<Result<Vec<ReturnedAs>, StoreError>>),
    Act(Box<ActStep>, Answer<Result<u64, StoreError>>),
    /// Recipients whose site answers again.
    MakeDue(Vec<RecipientKey>, Answer<Result<u64, StoreError>>),
    Settle(Vec<RecipientKey>, Answer<Result<usize, StoreError>>),
    Audit(Box<AuditEntry>, Answer<Result<(), StoreError>>),
    /// Rows of a log below this number are in a file.
    Archived(archive::Kind, u64, Answer<Result<(), StoreError>>),
    Accounts(Box<AccountChange>, Answer<Result<bool, StoreError>>),
    /// With the entry of the operation log, where people do it.
    PutMemos(Vec<MemoChange>, Option<Box<AuditEntry>>, Answer<Result<(), StoreError>>),
    /// With from where.
    Pause(Box<Pause>, String, Answer<Result<(), StoreError>>),
    /// Destination, operator, from where.
    Unpause(Box<[String; 3]>, Answer<Result<bool, StoreError>>),
    Ping(Answer<Result<(), StoreError>>),
    Stop(Answer<Result<(), StoreError>>),
}

/// Some recipients of an operator's act.
pub(super) struct ActStep {
    pub verb: QueueVerb,
    pub keys: Vec<RecipientKey>,
    pub operator: String,
    /// The last step brings the entry of the operation log, and the count of the steps before.
    pub audit: Option<(AuditEntry, u64)>,
}

impl Weigh for Op {
    fn weight(&self) -> usize {
        match self {
            Op::Submit(p) => p.weight(),
            Op::Apply(changes, _) => changes.len().max(1),
            Op::Returned(returned, ..) => returned.len().max(1),
            Op::Act(step, _) => step.keys.len().max(1),
            Op::Settle(keys, _) | Op::MakeDue(keys, _) => keys.len().max(1),
            Op::PutMemos(changes, ..) => changes.len().max(1),
            Op::Audit(..) | Op::Archived(..) | Op::Pause(..) | Op::Unpause(..) | Op::Ping(_) | Op::Stop(_) => 1,
            Op::Accounts(change, _) => change.weight(),
        }
    }

    fn octets(&self) -> usize {
        match self {
            Op::Submit(p) => p.octets(),
            Op::PutMemos(changes, ..) => {
                changes.iter().map(|c| c.key.len() + c.value.as_ref().map_or(0, Vec::len)).sum()
            }
            _ => 0,
        }
    }
}

impl Op {
    /// Which line it waits in.
    pub(super) fn line(&self) -> Line {
        match self {
            Op::Apply(..) | Op::Returned(..) => Line::Verdicts,
            Op::Ping(_) => Line::Urgent,
            Op::PutMemos(..) | Op::MakeDue(..) => Line::Memos,
            // A stop waits its turn: what was handed over before it is still stored.
            Op::Submit(_)
            | Op::Act(..)
            | Op::Settle(..)
            | Op::Audit(..)
            | Op::Archived(..)
            | Op::Accounts(..)
            | Op::Pause(..)
            | Op::Unpause(..)
            | Op::Stop(_) => Line::Others,
        }
    }

    fn refuse(self, why: StoreError) {
        match self {
            Op::Submit(p) => p.answer.give(Err(why)),
            Op::Apply(_, a) => a.give(Err(why)),
            Op::Returned(_, _, a) => a.give(Err(why)),
            Op::Act(_, a) | Op::MakeDue(_, a) => a.give(Err(why)),
            Op::Settle(_, a) => a.give(Err(why)),
            Op::Archived(_, _, a) => a.give(Err(why)),
            Op::Audit(_, a) | Op::PutMemos(_, _, a) | Op::Pause(_, _, a) | Op::Ping(a) | Op::Stop(a) => {
                a.give(Err(why))
            }
            Op::Accounts(_, a) | Op::Unpause(_, a) => a.give(Err(why)),
        }
    }
}

/// What an operation hears once its commit is durable.
enum Told {
    Receipt(Stored),
    Applied(Applied, Answer<Result<Applied, StoreError>>),
    Returned(Vec<ReturnedAs>, Answer<Result<Vec<ReturnedAs>, StoreError>>),
    Count(u64, Answer<Result<u64, StoreError>>),
    Settled(usize, Answer<Result<usize, StoreError>>),
    Done(Answer<Result<(), StoreError>>),
    Flag(bool, Answer<Result<bool, StoreError>>),
    Archived(archive::Kind, u64, Answer<Result<(), StoreError>>),
}

impl Told {
    fn tell(self, shared: &Shared, result: Result<(), &StoreError>) {
        let fail = |e: &StoreError| e.clone();
        match (self, result) {
            (Told::Receipt(s), Ok(())) => s.give_receipt(),
            (Told::Receipt(s), Err(e)) => s.refuse(fail(e)),
            (Told::Applied(n, a), r) => a.give(r.map(|()| n).map_err(fail)),
            (Told::Returned(as_what, a), r) => a.give(r.map(|()| as_what).map_err(fail)),
            (Told::Count(n, a), r) => a.give(r.map(|()| n).map_err(fail)),
            (Told::Settled(n, a), r) => a.give(r.map(|()| n).map_err(fail)),
            (Told::Done(a), r) => a.give(r.map_err(fail)),
            (Told::Archived(kind, mark, a), r) => {
                if r.is_ok() {
                    shared.archive.set_mark(kind, mark);
                }
                a.give(r.map_err(fail));
            }
            (Told::Flag(b, a), r) => a.give(r.map(|()| b).map_err(fail)),
        }
    }
}

/// The writer's thread.
pub(super) struct Writer {
    pub db: Arc<Database>,
    pub pages: DatabaseFile,
    pub clock: Clock,
    pub inbox: Arc<Inbox<Op>>,
    pub shared: Arc<Shared>,
    pub segments: Arc<Segments>,
    pub appender: Appender,
    pub books: Books,
    pub housework: Housework,
    pub idle_tick: Duration,
}

/// Without work the writer looks this often for housework and at the disk.
pub(super) const IDLE_TICK: Duration = Duration::from_millis(500);
/// While there is housework left, it takes the next step after this long, if nobody waits.
const HOUSEWORK_TICK: Duration = Duration::from_millis(5);
/// Under steady load the writer does a step of housework after this many commits, or the log would never shrink.
const COMMITS_BETWEEN_HOUSEWORK: u32 = 64;

impl Writer {
    /// Works until the inbox is closed and empty.
    pub(super) fn run(mut self) {
        let fence = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.work()));
        if fence.is_err() {
            self.shared.fail("the store's writer panicked; please report this".to_owned());
            self.refuse_everything();
        }
        self.segments.stop_helper();
    }

    fn work(&mut self) {
        let mut commits = 0;
        loop {
            let idle = if self.housework.has_more() { HOUSEWORK_TICK } else { self.idle_tick };
            let group = self.inbox.take(idle);
            if group.closed {
                return;
            }
            if group.operations.is_empty() {
                self.tick(false);
                continue;
            }
            self.serve(group);
            commits += 1;
            if commits >= COMMITS_BETWEEN_HOUSEWORK {
                commits = 0;
                self.tick(true);
            }
            if self.shared.failure().is_some() {
                self.refuse_everything();
                return;
            }
        }
    }

    fn refuse_everything(&mut self) {
        let why = StoreError::Failed(self.shared.failure().unwrap_or_else(|| "unknown".to_owned()));
        loop {
            let group = self.inbox.take(IDLE_TICK);
            group.operations.into_iter().for_each(|op| op.refuse(why.clone()));
            if group.closed {
                return;
            }
        }
    }

    fn serve(&mut self, group: Group<Op>) {
        let mut operations = group.operations;
        let mut pings = Vec::new();
        let mut stop = None;
        let mut rest = Vec::with_capacity(operations.len());
        for op in operations.drain(..) {
            match op {
                Op::Ping(a) => pings.push(a),
                Op::Stop(a) => stop = Some(a),
                other => rest.push(other),
            }
        }
        if !rest.is_empty() {
            let count = rest.len() as u64;
            match self.commit(rest) {
                Ok(()) => self.shared.count_commit(count),
                Err(e) => self.shared.fail(e.to_string()),
            }
        }
        let answer = |shared: &Shared| match shared.failure() {
            Some(why) => Err(StoreError::Failed(why)),
            None => Ok(()),
        };
        pings.into_iter().for_each(|a| a.give(answer(&self.shared)));
        if let Some(a) = stop {
            a.give(self.stop());
        }
    }

    /// Stores a group in one transaction. An error is final; everybody of the group has been told.
    fn commit(&mut self, operations: Vec<Op>) -> Result<(), StoreError> {
        let (operations, places) = self.store_bodies(operations)?;
        let mut told = Vec::with_capacity(operations.len());
        let mut left = operations.into_iter();
        let result = self.write_rows(&mut left, places, &mut told);
        match result {
            Ok(after) => {
                // Who hears of a commit sees its totals.
                self.shared.set_totals(&self.books);
                self.shared.largest.moved(&after.lanes);
                told.into_iter().for_each(|t| t.tell(&self.shared, Ok(())));
                self.clean_up(after);
                Ok(())
            }
            Err(e) => {
                told.into_iter().for_each(|t| t.tell(&self.shared, Err(&e)));
                left.for_each(|op| op.refuse(e.clone()));
                Err(e)
            }
        }
    }

    /// Gives every body of the group its place, durably. Those that find no room are told, and are left out.
    fn store_bodies(&mut self, operations: Vec<Op>) -> Result<(Vec<Op>, Vec<BodyPlace>), StoreError> {
        let mut places = Vec::new();
        let mut kept = Vec::with_capacity(operations.len());
        let mut operations = operations.into_iter();
        while let Some(op) = operations.next() {
            let Op::Submit(p) = &op else {
                kept.push(op);
                continue;
            };
            let place = match &p.body {
                PreparedBody::File(_) => Ok(BodyPlace::File),
                PreparedBody::Record(head, body) => self.appender.add(*head, body.clone()),
            };
            match place {
                Ok(place) => {
                    places.push(place);
                    kept.push(op);
                }
                Err(NoPlace::Full) => op.refuse(StoreError::Full),
                Err(failed) => {
                    let why = failed.words();
                    kept.into_iter().chain(Some(op)).chain(operations).for_each(|op| op.refuse(why.clone()));
                    return Err(why);
                }
            }
        }
        match self.appender.flush() {
            Ok(()) => Ok((kept, places)),
            Err(NoPlace::Full) => {
                // Nothing of it counts; verdicts and the rest of the group go on.
                let mut rest = Vec::with_capacity(kept.len());
                for op in kept {
                    match op {
                        Op::Submit(p) if matches!(p.body, PreparedBody::Record(..)) => {
                            p.answer.give(Err(StoreError::Full))
                        }
                        other => rest.push(other),
                    }
                }
                places.retain(|p| *p == BodyPlace::File);
                Ok((rest, places))
            }
            Err(failed) => {
                let why = failed.words();
                kept.into_iter().for_each(|op| op.refuse(why.clone()));
                Err(why)
            }
        }
    }

    fn write_rows(
        &mut self,
        operations: &mut impl Iterator<Item = Op>,
        places: Vec<BodyPlace>,
        told: &mut Vec<Told>,
    ) -> Result<After, StoreError> {
        let mut txn = self.db.begin_write().fatal()?;
        // Reopening after a hard stop takes milliseconds; it implies two-phase commit (hostile content).
        txn.set_quick_repair(true);
        let keep_bodies = !self.shared.retention().message_bodies.is_zero();
        let after = {
            let tables = Tables::open(&txn).fatal()?;
            let mut work = Work::new(tables, &mut self.books, self.clock.now(), keep_bodies, self.appender.current());
            let mut places = places.into_iter();
            for op in operations {
                let place = if matches!(op, Op::Submit(_)) { places.next() } else { None };
                run(&mut work, &self.shared, op, place.unwrap_or(BodyPlace::Gone), told)?;
            }
            let used = self.appender.current().and_then(|n| self.appender.used_of(n));
            work.finish(used)?
        };
        txn.commit().fatal()?;
        Ok(after)
    }

    fn clean_up(&self, after: After) {
        after.unlink_segments.into_iter().for_each(|n| self.segments.unlink_segment(n));
        after.unlink_bodies.into_iter().for_each(|id| self.segments.unlink_body(id));
    }

    /// A look at the disk and one bounded step of housework.
    fn tick(&mut self, even_if_busy: bool) {
        self.shared.look_at_disk(&self.segments);
        if self.shared.failure().is_some() || self.segments.is_held() || !(even_if_busy || self.inbox.is_idle()) {
            return;
        }
        if self.inbox.is_idle()
            && let Err(e) = self.pages.tidy()
        {
            self.shared.fail(format!("{DATABASE_FILE}: {e}"));
            return;
        }
        if let Err(e) = self.housework_step() {
            self.shared.fail(e.to_string());
        }
    }

    fn housework_step(&mut self) -> Result<(), StoreError> {
        let keep = Keep { periods: self.shared.retention(), limits: self.shared.archive.limits() };
        if !self.housework.plan(&self.db, &self.books, self.appender.current(), self.clock.now(), &keep)? {
            return Ok(());
        }
        let mut txn = self.db.begin_write().fatal()?;
        txn.set_quick_repair(true);
        let after = {
            let tables = Tables::open(&txn).fatal()?;
            let mut work = Work::new(tables, &mut self.books, self.clock.now(), false, self.appender.current());
            let time = StepTime::begin(&self.clock);
            retention::step(&mut work, &mut self.housework, &keep, &self.segments, &mut self.appender, &time)?;
            let used = self.appender.current().and_then(|n| self.appender.used_of(n));
            work.finish(used)?
        };
        txn.commit().fatal()?;
        self.shared.set_totals(&self.books);
        self.shared.largest.moved(&after.lanes);
        self.clean_up(after);
        Ok(())
    }

    fn stop(&mut self) -> Result<(), StoreError> {
        self.inbox.close();
        // What came in meanwhile is stored first.
        loop {
            let group = self.inbox.take(Duration::ZERO);
            if group.operations.is_empty() {
                break;
            }
            let (stops, rest): (Vec<Op>, Vec<Op>) =
                group.operations.into_iter().partition(|op| matches!(op, Op::Stop(_) | Op::Ping(_)));
            stops.into_iter().for_each(|op| op.refuse(StoreError::Closed));
            if !rest.is_empty()
                && let Err(e) = self.commit(rest)
            {
                self.shared.fail(e.to_string());
            }
        }
        if let Some(why) = self.shared.failure() {
            return Err(StoreError::Failed(why));
        }
        let marked = self.mark_clean();
        if let Err(e) = &marked {
            self.shared.fail(e.to_string());
        }
        marked
    }

    fn mark_clean(&self) -> Result<(), StoreError> {
        let mut txn = self.db.begin_write().fatal()?;
        txn.set_quick_repair(true);
        txn.open_table(super::tables::META)
            .fatal()?
            .insert(META_CLEAN, super::rows::write_numbers(&[1]).as_slice())
            .fatal()?;
        txn.commit().fatal()
    }
}

/// Does one operation. An error is final for the writer; trouble of one operation is told to it alone.
fn run(
    work: &mut Work<'_, '_>,
    shared: &Shared,
    op: Op,
    place: BodyPlace,
    told: &mut Vec<Told>,
) -> Result<(), StoreError> {
    match op {
        Op::Submit(p) => match accept::store(work, *p, place) {
            Ok(stored) => told.push(Told::Receipt(stored)),
            Err((e, answer)) => return spoiled(e, answer),
        },
        Op::Apply(changes, answer) => {
            let mut applied = Applied::default();
            for change in &changes {
                match verdicts::apply(work, change) {
                    Ok(true) => applied.applied += 1,
                    Ok(false) => applied.too_late += 1,
                    Err(e) => return spoiled(e, answer),
                }
            }
            told.push(Told::Applied(applied, answer));
        }
        Op::Returned(returned, floor, answer) => {
            let mut as_what = Vec::with_capacity(returned.len());
            for r in &returned {
                match returns::write(work, r, floor) {
                    Ok(what) => as_what.push(what),
                    Err(e) => return spoiled(e, answer),
                }
            }
            told.push(Told::Returned(as_what, answer));
        }
        Op::Act(step, answer) => {
            let mut count = 0;
            for key in &step.keys {
                match verdicts::act(work, step.verb, *key, &step.operator) {
                    Ok(did) => count += u64::from(did),
                    Err(e) => return spoiled(e, answer),
                }
            }
            if let Some((entry, before)) = step.audit {
                let detail = format!("recipients={}", before + count);
                audit::write(work, &AuditEntry { detail, ..entry })?;
            }
            told.push(Told::Count(count, answer));
        }
        Op::MakeDue(keys, answer) => {
            let mut count = 0;
            for key in keys {
                match recovery::make_due(work, key) {
                    Ok(did) => count += u64::from(did),
                    Err(e) => return spoiled(e, answer),
                }
            }
            told.push(Told::Count(count, answer));
        }
        Op::Settle(keys, answer) => {
            let mut count = 0;
            for key in keys {
                match verdicts::settle(work, key) {
                    Ok(did) => count += usize::from(did),
                    Err(e) => return spoiled(e, answer),
                }
            }
            told.push(Told::Settled(count, answer));
        }
        Op::Audit(entry, answer) => {
            audit::write(work, &entry)?;
            told.push(Told::Done(answer));
        }
        Op::Archived(kind, mark, answer) => {
            let row = shared.archive.row_with(kind, mark);
            work.t.meta.insert(META_ARCHIVE, row.as_slice()).fatal()?;
            // Whatever the clock does: no number is given that the file would have had to hold.
            work.books.last_number = work.books.last_number.max(mark);
            told.push(Told::Archived(kind, mark, answer));
        }
        Op::Accounts(change, answer) => {
            let done = accounts::change(work, &change)?;
            told.push(Told::Flag(done, answer));
        }
        Op::PutMemos(changes, entry, answer) => match memos::put(work, changes) {
            Ok(()) => {
                if let Some(entry) = entry {
                    audit::write(work, &entry)?;
                }
                told.push(Told::Done(answer));
            }
            Err(e) => return spoiled(e, answer),
        },
        Op::Pause(pause, from, answer) => match pauses::put(work, *pause, from) {
            Ok(()) => told.push(Told::Done(answer)),
            Err(e) => return spoiled(e, answer),
        },
        Op::Unpause(what, answer) => {
            let [destination, operator, from] = *what;
            let lifted = pauses::lift(work, &destination, operator, from)?;
            told.push(Told::Flag(lifted, answer));
        }
        // Served before: they need no transaction.
        Op::Ping(answer) | Op::Stop(answer) => answer.give(Ok(())),
    }
    Ok(())
}

/// A damaged row or a limit spoils its own operation; everything else is final.
fn spoiled<T>(e: StoreError, answer: Answer<Result<T, StoreError>>) -> Result<(), StoreError> {
    answer.give(Err(e.clone()));
    match e {
        StoreError::Damaged(_) => {
            log::error!("operation refused: {e}");
            Ok(())
        }
        // Whoever asked decides what to log.
        StoreError::Refused(_) => Ok(()),
        other => Err(other),
    }
}

/// The name of the writer's thread.
pub(super) const WRITER_THREAD: &str = "hikyaku-store";

/// The writer's thread, joined once.
pub(super) type WriterThread = Mutex<Option<std::thread::JoinHandle<()>>>;

/// Starts the writer.
pub(super) fn start(writer: Writer) -> std::io::Result<WriterThread> {
    let thread = std::thread::Builder::new().name(WRITER_THREAD.into()).spawn(move || writer.run())?;
    Ok(Mutex::new(Some(thread)))
}

/// Waits until the writer has ended.
pub(super) fn join(thread: &WriterThread) {
    let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(thread) = thread {
        // The last handle of the store may be dropped by the writer's own answer: it cannot wait for itself.
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}
