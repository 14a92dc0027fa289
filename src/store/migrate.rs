//! Bringing a database of an older schema up to date, in bounded steps.
//!
//! In: a database of schema 1 to 5.  Out: the same of [`SCHEMA`].
//! Always: each step is one transaction that moves rows from the old table to the new ones, so that a step is done or not;
//! what is left in the old table is what is left to do, and a start that was interrupted goes on there. The schema's number
//! is raised by the first step: an older program refuses a database that is half moved. Schema 3 moves nothing: its rows are
//! written as they come, and those of schema 2 are read as they are; only the number keeps older programs away. Schema 4 counts
//! by submitter: what came before is taken from the minutes, a second or two for all of them, as mail of nobody and
//! without what the minutes never knew (dropped, bounced, complained); to read every event and message for it would keep a
//! large store closed for minutes. And it chains the operation log: every entry gets its link. Schemas 5 and 6 move nothing, like 3.

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::{
    ages::Ages,
    chain::Chain,
    counts::{self, quarter_of},
    fault::{Fatal, Reading},
    rows::{self, MessageHead, write_numbers},
    tables::{
        META, META_CHAIN, META_COUNTS, META_MIGRATED, META_SCHEMA, SCHEMA, Tables, due_key, message_key, read_schema,
        recipient_key,
    },
    types::{RecipientState, StoreError},
};
use crate::{
    clock::Timestamp,
    event::Class,
    ids::{MessageId, RecipientKey, UserKey},
};

/// The due index of schema 1: lane, 0, class, due, recipient.
const OLD_DUE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("due");
/// Octets of its keys behind the lane's name and its zero.
const OLD_TAIL: usize = 1 + 8 + 8 + 4;
/// The last schema that moved rows: what was brought up to it needs no more.
const MOVED: u64 = 4;
/// Recipients moved in one transaction: bounds its memory, tens of milliseconds.
pub(super) const STEP: usize = 5_000;
/// Steps between two lines of the log.
const STEPS_A_LINE: u64 = 20;

/// What is moved, in this order; the numbers are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The due index of schema 1.
    Due = 0,
    /// Minutes into counts; the cursor is the first minute to take.
    Counts = 1,
    /// Links of the operation log; the cursor is the first entry to take.
    Audit = 2,
    Done = 3,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
struct Progress {
    phase: Phase,
    cursor: u64,
}

impl Progress {
    fn read(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Self, StoreError> {
        let stored = meta.get(META_MIGRATED).reading()?;
        let row = stored.as_ref().map(|row| row.value());
        // One number, the schema: everything of it is done. Three: the schema, the phase and its cursor.
        let start = Progress { phase: Phase::Due, cursor: 0 };
        let progress = match row.map(rows::read_numbers::<3>) {
            Some(Ok([MOVED..=SCHEMA, phase, cursor])) => match phase {
                0 => start,
                1 => Progress { phase: Phase::Counts, cursor },
                2 => Progress { phase: Phase::Audit, cursor },
                _ => Progress { phase: Phase::Done, cursor },
            },
            _ => match row.map(rows::read_numbers::<1>) {
                Some(Ok([MOVED..=SCHEMA])) => Progress { phase: Phase::Done, cursor: 0 },
                _ => start,
            },
        };
        Ok(progress)
    }

    fn row(self) -> Vec<u8> {
        match self.phase {
            Phase::Done => write_numbers(&[SCHEMA]),
            phase => write_numbers(&[SCHEMA, phase as u64, self.cursor]),
        }
    }
}

/// The database is of an older schema, or half moved.
pub(super) fn is_due(db: &Database) -> Result<bool, StoreError> {
    let txn = db.begin_read().reading()?;
    if read_schema(&txn).map_err(StoreError::Damaged)? < SCHEMA {
        return Ok(true);
    }
    let meta = txn.open_table(META).reading()?;
    Ok(Progress::read(&meta)?.phase != Phase::Done)
}

/// Moves what is left to move, `step` rows a transaction.
pub(super) fn run(db: &Database, step: usize) -> Result<(), StoreError> {
    if !is_due(db)? {
        return Ok(());
    }
    log::info!("database=migrating to schema={SCHEMA}: older programs will refuse it");
    let (mut moved, mut steps) = (0u64, 0u64);
    loop {
        let mut txn = db.begin_write().fatal()?;
        txn.set_quick_repair(true);
        let (count, progress) = {
            let mut t = Tables::open(&txn).fatal()?;
            t.meta.insert(META_SCHEMA, write_numbers(&[SCHEMA]).as_slice()).fatal()?;
            let before = Progress::read(&t.meta)?;
            let (count, progress) = match before.phase {
                Phase::Due => due_step(&txn, &mut t, step)?,
                Phase::Counts => count_step(&mut t, before.cursor, step)?,
                Phase::Audit => chain_step(&mut t, before.cursor, step)?,
                // Only the number is raised.
                Phase::Done => (0, before),
            };
            t.meta.insert(META_MIGRATED, progress.row().as_slice()).fatal()?;
            (count, progress)
        };
        txn.commit().fatal()?;
        moved += count;
        steps += 1;
        if progress.phase == Phase::Done {
            log::info!("database=migrated schema={SCHEMA} rows={moved}");
            return Ok(());
        }
        if steps.is_multiple_of(STEPS_A_LINE) {
            log::info!("database=migrating rows={moved}");
        }
    }
}

fn due_step(txn: &redb::WriteTransaction, t: &mut Tables<'_>, step: usize) -> Result<(u64, Progress), StoreError> {
    let (count, is_empty) = {
        let mut old = txn.open_table(OLD_DUE).fatal()?;
        let count = move_some(&mut old, t, step)?;
        let is_empty = old.first().fatal()?.is_none();
        (count, is_empty)
    };
    if is_empty {
        txn.delete_table(OLD_DUE).fatal()?;
    }
    let phase = if is_empty { Phase::Counts } else { Phase::Due };
    Ok((count, Progress { phase, cursor: 0 }))
}

/// Adds the first minutes behind the cursor to the counts. The counts are complete from the quarter behind the last minute on.
fn count_step(t: &mut Tables<'_>, cursor: u64, step: usize) -> Result<(u64, Progress), StoreError> {
    let (mut count, mut next, mut last) = (0, None, None);
    for entry in t.minutes.range(cursor..).fatal()?.take(step.max(1)) {
        let (minute, row) = entry.fatal()?;
        let minute = minute.value();
        let quarter = quarter_of(Timestamp::from_millis(minute.saturating_mul(60_000)));
        count += 1;
        next = minute.checked_add(1);
        last = Some(quarter);
        match rows::read_minute(row.value()) {
            Ok([queued, deferred, succeeded, failed, blocked]) => {
                let add = [queued, deferred, succeeded, failed, blocked, 0, 0, 0];
                counts::add_to(&mut t.counts, quarter, "", &add)?;
            }
            Err(e) => log::error!("the counts of minute {minute} could not be read and are left out: {e}"),
        }
    }
    if let Some(last) = last {
        t.meta.insert(META_COUNTS, write_numbers(&[u64::from(last) + 1]).as_slice()).fatal()?;
    }
    Ok((
        count,
        match next {
            Some(cursor) => Progress { phase: Phase::Counts, cursor },
            None => Progress { phase: Phase::Audit, cursor: 0 },
        },
    ))
}

/// Links the first entries behind the cursor.
fn chain_step(t: &mut Tables<'_>, cursor: u64, step: usize) -> Result<(u64, Progress), StoreError> {
    let mut entries = Vec::new();
    for entry in t.audit.range(cursor..).fatal()?.take(step.max(1)) {
        let (number, row) = entry.fatal()?;
        entries.push((number.value(), row.value().to_vec()));
    }
    let mut chain = Chain::of(&t.meta)?;
    let (count, mut next) = (entries.len() as u64, None);
    for (number, mut row) in entries {
        next = number.checked_add(1);
        chain.append(number, &mut row);
        t.audit.insert(number, row.as_slice()).fatal()?;
    }
    t.meta.insert(META_CHAIN, chain.write().as_slice()).fatal()?;
    Ok((
        count,
        match next {
            Some(cursor) => Progress { phase: Phase::Audit, cursor },
            None => Progress { phase: Phase::Done, cursor: 0 },
        },
    ))
}

/// Moves the first rows; answers how many.
fn move_some(
    old: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
    t: &mut Tables<'_>,
    step: usize,
) -> Result<u64, StoreError> {
    let mut ages = Ages::default();
    let mut last_message: Option<(MessageId, UserKey, Option<Timestamp>)> = None;
    let mut last_key: Option<Vec<u8>> = None;
    let mut count = 0;
    for entry in old.iter().fatal()?.take(step.max(1)) {
        let (key, value) = entry.fatal()?;
        last_key = Some(key.value().to_vec());
        let Some((lane, class, due, whom)) = read_old_key(key.value()) else {
            log::error!("a row of the due index could not be read and was left out; run hikyaku verify");
            continue;
        };
        let (user, since) = match last_message {
            Some((id, user, since)) if id == whom.message => (user, since),
            _ => {
                // As everywhere: a message whose row is gone or damaged is nobody's.
                let head = t.mail.get(&message_key(whom.message)).fatal()?;
                let head = head.and_then(|row| MessageHead::read(row.value()).ok());
                let (user, since) = head.map_or((UserKey::default(), None), |h| (h.user, h.since));
                last_message = Some((whom.message, user, since));
                (user, since)
            }
        };
        t.due.insert(due_key(lane, class, user, due, whom).as_slice(), value.value()).fatal()?;
        count += 1;
        let row = t.mail.get(&recipient_key(whom)).fatal()?;
        if let Some(Ok(row)) = row.map(|row| rows::read_recipient(whom, row.value()))
            && let RecipientState::Waiting { wait, .. } = row.shown.state
            && let Some(since) = since
        {
            ages.change(class, since, None, Some(wait));
        }
    }
    if let Some(last) = last_key {
        old.retain_in::<&[u8], _>(..=last.as_slice(), |_, _| false).fatal()?;
    }
    ages.finish(&mut t.ages)?;
    Ok(count)
}

/// A key of the old due index, taken apart; `None` for bytes that are none.
fn read_old_key(key: &[u8]) -> Option<(&str, Class, Timestamp, RecipientKey)> {
    let at = key.len().checked_sub(OLD_TAIL + 1)?;
    let (lane, tail) = (std::str::from_utf8(&key[..at]).ok()?, &key[at + 1..]);
    let number = |from: usize| Some(u64::from_be_bytes(tail.get(from..from + 8)?.try_into().ok()?));
    let class = *Class::ALL.get(usize::from(tail[0]))?;
    let message = MessageId::from_u64(number(9)?);
    let index = u32::from_be_bytes(tail.get(17..21)?.try_into().ok()?);
    Some((lane, class, Timestamp::from_millis(number(1)?), RecipientKey { message, index }))
}

#[cfg(test)]
#[path = "migrate_tests.rs"]
pub(super) mod tests;
