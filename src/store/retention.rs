//! Housework: what is past its period is pruned, kept bodies go, sparse segments are rewritten (R13).
//!
//! In: the tables, the periods, the time.  Out: fewer rows, freed files.
//! Always: in steps of a few milliseconds, by count and by the clock, each a transaction of its own, when nobody waits (and now and then under load);
//! a message's rows go with its last event of any kind, never while it waits or a notice is owed; rows past their period are not
//! shown by any reader even before they are pruned.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable};

use super::{
    archive::Limits,
    batch::{Books, Work, first_number_of, minute_of},
    chain::Chaining,
    conversations, counts,
    fault::{Fatal, bad_row},
    rows::{self, EventHead},
    segments::{Appender, NoPlace, RECORD_HEAD, RecordHead, SegmentRow, Segments},
    tables::{self, index_hash, index_key, message_key, recipient_key},
    types::{BodyPlace, RetentionPeriods, StoreError},
    user_minutes, verdicts,
};
use crate::{
    clock::{Clock, Timestamp},
    ids::{MessageId, RecipientKey},
};

/// Events pruned in one step, with the messages that they close: 5–10 ms.
const EVENTS_A_STEP: usize = 500;
/// Rows of indexes, minutes and the operation log pruned in one step, by range: about 2 ms.
const ROWS_A_STEP: usize = 4000;
/// Of which so many are done between two looks at the clock.
const EVENTS_A_CHUNK: usize = 50;
const ROWS_A_CHUNK: usize = 500;
/// A step ends after this long, however slow the disk and large the messages are: verdicts wait behind it.
const STEP_TIME: Duration = Duration::from_millis(10);
/// Records looked at in one step of rewriting, and octets copied.
const RECORDS_A_STEP: usize = 64;
const COPIED_A_STEP: usize = 1024 * 1024;
/// A segment is sparse when less than a quarter of it lives …
const SPARSE_DIVISOR: u64 = 4;
/// … for this long: one that is being emptied by deliveries will be gone by itself.
const SPARSE_FOR: Duration = Duration::from_secs(600);
/// Above this many recipients a message's rows are removed as a range.
const BY_KEY_MAX: u32 = 8;

/// What there is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Task {
    KeptBodies,
    Events,
    ByRecipient,
    ByApiData,
    Minutes,
    Counts,
    UserMinutes,
    Audit,
    Rewrite,
}

/// The state of the housework between steps.
#[derive(Default)]
pub(super) struct Housework {
    task: Option<Task>,
    sparse_since: HashMap<u64, Timestamp>,
    /// Segments with a record that cannot be copied: left alone until the next start.
    left_alone: HashSet<u64>,
    rewriting: Option<(u64, u64)>,
}

/// The time before which the log is past its period: the longer of both keeps a row.
pub(super) fn log_floor(now: Timestamp, periods: &RetentionPeriods) -> Timestamp {
    now.minus(periods.delivery_log.max(periods.error_log))
}

/// What must stay: what is within its period, and what is to be archived first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    pub periods: RetentionPeriods,
    pub limits: Limits,
}

impl Keep {
    /// Events below this number go.
    fn events_below(&self, now: Timestamp) -> u64 {
        first_number_of(log_floor(now, &self.periods)).min(self.limits.events)
    }

    /// Entries of the operation log below this number go.
    fn audit_below(&self, now: Timestamp) -> u64 {
        first_number_of(now.minus(self.periods.audit_log)).min(self.limits.audit)
    }

    /// The time before which no event is left.
    fn log_floor(&self, now: Timestamp) -> Timestamp {
        log_floor(now, &self.periods).min(rows::number_time(self.limits.events))
    }
}

impl Housework {
    /// A step was just done: there may be more.
    pub(super) fn has_more(&self) -> bool {
        self.task.is_some()
    }

    /// Looks for work; true when there is some for [`step`].
    pub(super) fn plan(
        &mut self,
        db: &Database,
        books: &Books,
        current: Option<u64>,
        now: Timestamp,
        keep: &Keep,
    ) -> Result<bool, StoreError> {
        self.task = self.find(db, books, current, now, keep)?;
        Ok(self.task.is_some())
    }

    fn find(
        &mut self,
        db: &Database,
        books: &Books,
        current: Option<u64>,
        now: Timestamp,
        keep: &Keep,
    ) -> Result<Option<Task>, StoreError> {
        let floor = keep.log_floor(now);
        let txn = db.begin_read().fatal()?;
        let kept = txn.open_table(tables::KEPT_BODIES).fatal()?;
        let first = |e: Option<u64>, below: u64| e.is_some_and(|n| n < below);
        let kept_first = kept.first().fatal()?.map(|(k, _)| k.value());
        if first(kept_first, first_number_of(now.minus(keep.periods.message_bodies))) {
            return Ok(Some(Task::KeptBodies));
        }
        let events = txn.open_table(tables::EVENTS).fatal()?;
        let event_first = events.first().fatal()?.map(|(k, _)| k.value());
        if first(event_first, keep.events_below(now)) {
            return Ok(Some(Task::Events));
        }
        for (table, task) in [(tables::BY_RECIPIENT, Task::ByRecipient), (tables::BY_API_DATA, Task::ByApiData)] {
            let table = txn.open_table(table).fatal()?;
            if let Some((key, ())) = table.first().fatal()?.map(|(k, v)| (*k.value(), v.value()))
                && tables::read_index_key(&key).0 < floor.day()
            {
                return Ok(Some(task));
            }
        }
        let minutes = txn.open_table(tables::MINUTES).fatal()?;
        let minute_first = minutes.first().fatal()?.map(|(k, _)| k.value());
        if first(minute_first, minute_of(log_floor(now, &keep.periods))) {
            return Ok(Some(Task::Minutes));
        }
        let counts = txn.open_table(tables::COUNTS).fatal()?;
        if let Some((key, _)) = counts.first().fatal()?
            && key.value() < counts_end(now).as_slice()
        {
            return Ok(Some(Task::Counts));
        }
        let by_user = txn.open_table(tables::USER_MINUTES).fatal()?;
        if let Some((key, _)) = by_user.first().fatal()?
            && key.value() < user_minutes_end(now, keep).as_slice()
        {
            return Ok(Some(Task::UserMinutes));
        }
        let audit = txn.open_table(tables::AUDIT).fatal()?;
        let audit_first = audit.first().fatal()?.map(|(k, _)| k.value());
        if first(audit_first, keep.audit_below(now)) {
            return Ok(Some(Task::Audit));
        }
        Ok(self.find_sparse(books, current, now).then_some(Task::Rewrite))
    }

    fn find_sparse(&mut self, books: &Books, current: Option<u64>, now: Timestamp) -> bool {
        if let Some((segment, _)) = self.rewriting {
            if books.segments.contains_key(&segment) {
                return true;
            }
            self.rewriting = None;
        }
        let sparse =
            |n: u64, r: &SegmentRow| Some(n) != current && r.live > 0 && r.live_octets < r.used / SPARSE_DIVISOR;
        self.sparse_since.retain(|n, _| books.segments.get(n).is_some_and(|r| sparse(*n, r)));
        for (n, row) in &books.segments {
            if sparse(*n, row) && !self.left_alone.contains(n) {
                self.sparse_since.entry(*n).or_insert(now);
            }
        }
        let ripe = self
            .sparse_since
            .iter()
            .filter(|(n, since)| now.since(**since) >= SPARSE_FOR && !self.left_alone.contains(n));
        self.rewriting = ripe.map(|(n, _)| *n).min().map(|n| (n, 0));
        self.rewriting.is_some()
    }
}

/// How long a step has been at work.
pub(super) struct StepTime<'c> {
    clock: &'c Clock,
    since: Instant,
}

impl<'c> StepTime<'c> {
    /// A step that begins now.
    pub(super) fn begin(clock: &'c Clock) -> Self {
        StepTime { clock, since: clock.instant() }
    }

    fn is_over(&self) -> bool {
        self.clock.instant().saturating_duration_since(self.since) >= STEP_TIME
    }

    /// Does a piece of work after another, `max` at most, until the time is over or a piece says that nothing is left.
    fn chunks(&self, max: usize, mut chunk: impl FnMut() -> Result<bool, StoreError>) -> Result<(), StoreError> {
        for _ in 0..max {
            if !chunk()? || self.is_over() {
                break;
            }
        }
        Ok(())
    }
}

/// Does one step of what was planned.
pub(super) fn step(
    work: &mut Work<'_, '_>,
    housework: &mut Housework,
    keep: &Keep,
    segments: &Segments,
    appender: &mut Appender,
    time: &StepTime<'_>,
) -> Result<(), StoreError> {
    let Some(task) = housework.task else { return Ok(()) };
    let floor = keep.log_floor(work.now);
    match task {
        Task::KeptBodies => {
            let below = first_number_of(work.now.minus(keep.periods.message_bodies));
            drop_kept_bodies(work, below, time)
        }
        Task::Events => prune_events(work, keep.events_below(work.now), time),
        Task::ByRecipient => prune_index(&mut work.t.by_recipient, floor.day(), time),
        Task::ByApiData => prune_index(&mut work.t.by_api_data, floor.day(), time),
        Task::Minutes => prune_numbers(&mut work.t.minutes, minute_of(log_floor(work.now, &keep.periods)), time),
        Task::Counts => prune_counts(&mut work.t.counts, &counts_end(work.now), time),
        Task::UserMinutes => prune_counts(&mut work.t.user_minutes, &user_minutes_end(work.now, keep), time),
        Task::Audit => prune_audit(work, keep.audit_below(work.now), time),
        Task::Rewrite => rewrite(work, housework, segments, appender, time),
    }
}

/// The key behind the last row of the counts that is past its period.
fn counts_end(now: Timestamp) -> [u8; 4] {
    counts::quarter_of(now.minus(counts::COUNTS_KEPT)).to_be_bytes()
}

/// The same of the minutes by user.
fn user_minutes_end(now: Timestamp, keep: &Keep) -> [u8; 4] {
    user_minutes::minute_number(log_floor(now, &keep.periods)).to_be_bytes()
}

fn prune_counts(
    table: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
    end: &[u8],
    time: &StepTime<'_>,
) -> Result<(), StoreError> {
    time.chunks(ROWS_A_STEP / ROWS_A_CHUNK, || {
        let last = match table.range::<&[u8]>(..end).fatal()?.take(ROWS_A_CHUNK).last() {
            Some(entry) => entry.fatal()?.0.value().to_vec(),
            None => return Ok(false),
        };
        table.retain_in::<&[u8], _>(..=last.as_slice(), |_, _| false).fatal()?;
        Ok(true)
    })
}

type Numbered<'t> = redb::Table<'t, u64, &'static [u8]>;
type Index<'t> = redb::Table<'t, &'static tables::IndexKey, ()>;

fn prune_numbers(table: &mut Numbered<'_>, below: u64, time: &StepTime<'_>) -> Result<(), StoreError> {
    time.chunks(ROWS_A_STEP / ROWS_A_CHUNK, || {
        let last = match table.range(..below).fatal()?.take(ROWS_A_CHUNK).last() {
            Some(entry) => entry.fatal()?.0.value(),
            None => return Ok(false),
        };
        table.retain_in(..=last, |_, _| false).fatal()?;
        Ok(true)
    })
}

/// The oldest entries go, and the chain begins behind them.
fn prune_audit(work: &mut Work<'_, '_>, below: u64, time: &StepTime<'_>) -> Result<(), StoreError> {
    time.chunks(ROWS_A_STEP / ROWS_A_CHUNK, || {
        let (mut last, mut count) = (None, 0);
        for entry in work.t.audit.range(..below).fatal()?.take(ROWS_A_CHUNK) {
            let (number, row) = entry.fatal()?;
            last = Some((number.value(), row.value().to_vec()));
            count += 1;
        }
        let Some((last, row)) = last else { return Ok(false) };
        work.t.audit.retain_in(..=last, |_, _| false).fatal()?;
        Chaining::get(work)?.prune(last, &row, count);
        Ok(true)
    })
}

fn prune_index(table: &mut Index<'_>, day: u32, time: &StepTime<'_>) -> Result<(), StoreError> {
    let end = index_key(day, 0, 0);
    time.chunks(ROWS_A_STEP / ROWS_A_CHUNK, || {
        let last = match table.range::<&tables::IndexKey>(..&end).fatal()?.take(ROWS_A_CHUNK).last() {
            Some(entry) => *entry.fatal()?.0.value(),
            None => return Ok(false),
        };
        table.retain_in::<&tables::IndexKey, _>(..=&last, |_, ()| false).fatal()?;
        Ok(true)
    })
}

fn prune_events(work: &mut Work<'_, '_>, below: u64, time: &StepTime<'_>) -> Result<(), StoreError> {
    let mut pruned = None;
    time.chunks(EVENTS_A_STEP / EVENTS_A_CHUNK, || {
        let last = prune_some_events(work, below)?;
        pruned = last.or(pruned);
        Ok(last.is_some())
    })?;
    pruned.map_or(Ok(()), |last| counts::log_pruned(&mut work.t.meta, last))
}

/// Events and the messages that they close go together; answers the last one, and nothing when none is left.
fn prune_some_events(work: &mut Work<'_, '_>, below: u64) -> Result<Option<u64>, StoreError> {
    let mut last = None;
    let mut closed = Vec::new();
    for entry in work.t.events.range(..below).fatal()?.take(EVENTS_A_CHUNK) {
        let (number, row) = entry.fatal()?;
        last = Some(number.value());
        // A damaged event is pruned like any other; its message stays for `verify`.
        if let Ok(head) = EventHead::read(row.value())
            && head.closes
        {
            closed.push(head.message);
        }
    }
    let Some(last) = last else { return Ok(None) };
    work.t.events.retain_in(..=last, |_, _| false).fatal()?;
    conversations::prune(work, last)?;
    // What came back closes it again: each message is looked at once.
    closed.sort_unstable();
    closed.dedup();
    for id in closed {
        match outlived(work, id) {
            Ok(true) => delete_message(work, id)?,
            Ok(false) => {}
            Err(StoreError::Damaged(why)) => log::error!("message={id} not pruned: {why}"),
            Err(e) => return Err(e),
        }
    }
    Ok(Some(last))
}

/// An event that closes the message was pruned: nobody needs its rows any more.
fn outlived(work: &mut Work<'_, '_>, id: MessageId) -> Result<bool, StoreError> {
    let Some(m) = work.message(id)? else { return Ok(false) };
    // An owed notice still needs it: it goes when that is settled.
    let done = m.head.waiting == 0 && m.head.owed == 0;
    // Where nothing has come back, the event that closes is the last one; else its recipients know theirs.
    if done && m.head.returned { verdicts::outlived_its_events(work, id) } else { Ok(done) }
}

/// Removes a finished message, its recipients, its Message-ID and its body.
pub(super) fn delete_message(work: &mut Work<'_, '_>, id: MessageId) -> Result<(), StoreError> {
    let Some(m) = work.message(id)? else { return Ok(()) };
    let (place, len) = (m.head.place, m.head.len);
    let message = rows::read_message(id, &m.row).map_err(|e| bad_row(format_args!("message {id}"), e))?;
    work.body_dropped(id, place, len);
    work.forget_message(id);
    if !message.facts.message_id.is_empty() {
        let key = index_key(id.time().day(), index_hash(&message.facts.message_id), id.as_u64());
        work.t.by_message_id.remove(&key).fatal()?;
    }
    if message.recipients <= BY_KEY_MAX {
        work.t.mail.remove(&message_key(id)).fatal()?;
        for index in 0..message.recipients {
            work.t.mail.remove(&recipient_key(RecipientKey { message: id, index })).fatal()?;
        }
        return Ok(());
    }
    work.t.mail.retain_in::<&tables::MailKey, _>(&message_key(id)..&tables::mail_end(id), |_, _| false).fatal()
}

fn drop_kept_bodies(work: &mut Work<'_, '_>, below: u64, time: &StepTime<'_>) -> Result<(), StoreError> {
    time.chunks(EVENTS_A_STEP, || {
        let first = work.t.kept_bodies.first().fatal()?.map(|(number, id)| (number.value(), id.value()));
        let Some((number, id)) = first.filter(|(number, _)| *number < below) else { return Ok(false) };
        let id = MessageId::from_u64(id);
        work.t.kept_bodies.remove(number).fatal()?;
        match work.message(id) {
            Ok(Some(m)) => {
                let (place, len) = (m.head.place, m.head.len);
                work.body_dropped(id, place, len);
                work.change_message(id, |head| head.place = BodyPlace::Gone);
            }
            Ok(None) => {}
            Err(StoreError::Damaged(why)) => log::error!("message={id} body not dropped: {why}"),
            Err(e) => return Err(e),
        }
        Ok(true)
    })
}

/// A live record on its way to another segment.
struct Moved {
    id: MessageId,
    from: BodyPlace,
    to: BodyPlace,
    len: u64,
}

/// Copies live records of a sparse segment to the current one: copy → sync → commit; the file goes once nothing lives there.
fn rewrite(
    work: &mut Work<'_, '_>,
    housework: &mut Housework,
    segments: &Segments,
    appender: &mut Appender,
    time: &StepTime<'_>,
) -> Result<(), StoreError> {
    let Some((segment, mut offset)) = housework.rewriting else { return Ok(()) };
    let used = work.books.segments.get(&segment).map_or(0, |r| r.used);
    let mut moved = Vec::new();
    let (mut looked, mut copied, mut sound) = (0, 0, true);
    while offset < used && looked < RECORDS_A_STEP && copied < COPIED_A_STEP && (looked == 0 || !time.is_over()) {
        looked += 1;
        let Some(head) = read_head(segments, segment, offset) else {
            sound = false;
            break;
        };
        let place = BodyPlace::Segment { segment, offset };
        let lives = matches!(work.message(head.id), Ok(Some(m)) if m.head.place == place);
        if lives {
            match read_record(segments, segment, offset, head).map(|body| appender.add(head, body)) {
                Some(Ok(to)) => {
                    copied += usize::try_from(head.len).unwrap_or(usize::MAX);
                    moved.push(Moved { id: head.id, from: place, to, len: head.len });
                }
                Some(Err(NoPlace::Failed(e))) => return Err(NoPlace::Failed(e).words()),
                // No room to copy to, or a damaged record, which is its recipients' trouble, not the neighbours'.
                Some(Err(NoPlace::Full)) | None => sound = false,
            }
        }
        offset += RECORD_HEAD as u64 + head.len;
    }
    match appender.flush() {
        Ok(()) => {}
        Err(NoPlace::Full) => {
            housework.left_alone.insert(segment);
            housework.rewriting = None;
            return Ok(());
        }
        Err(failed) => return Err(failed.words()),
    }
    work.set_current(appender.current());
    for m in moved {
        work.change_message(m.id, |head| head.place = m.to);
        work.body_added(m.to, m.len);
        work.body_dropped(m.id, m.from, m.len);
    }
    let done = offset >= used;
    if !sound {
        housework.left_alone.insert(segment);
    }
    housework.rewriting = if done || !sound { None } else { Some((segment, offset)) };
    Ok(())
}

fn read_head(segments: &Segments, segment: u64, offset: u64) -> Option<RecordHead> {
    let mut bytes = [0; RECORD_HEAD];
    segments.file(segment).and_then(|f| f.read_exact_at(&mut bytes, offset)).ok()?;
    RecordHead::read(&bytes)
}

fn read_record(segments: &Segments, segment: u64, offset: u64, head: RecordHead) -> Option<Bytes> {
    let mut body = vec![0; usize::try_from(head.len).ok()?];
    segments.file(segment).and_then(|f| f.read_exact_at(&mut body, offset + RECORD_HEAD as u64)).ok()?;
    (crc32fast::hash(&body) == head.crc).then(|| Bytes::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_ends_when_its_time_is_over_and_does_one_piece_at_least() {
        let clock = Clock::manual(Timestamp::from_millis(1));
        let mut done = 0;
        let slow = |per_piece: u64, max: usize, done: &mut u32| {
            let time = StepTime::begin(&clock);
            time.chunks(max, || {
                clock.advance(Duration::from_millis(per_piece));
                *done += 1;
                Ok(true)
            })
        };
        slow(4, 100, &mut done).unwrap();
        assert_eq!(done, 3);
        slow(60_000, 100, &mut done).unwrap();
        assert_eq!(done, 4);
        slow(0, 100, &mut done).unwrap();
        assert_eq!(done, 104);
    }
}
