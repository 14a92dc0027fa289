//! Bringing a database of an older schema up to date, in bounded steps.
//!
//! In: a database of schema 1 or 2.  Out: the same of [`SCHEMA`].
//! Always: each step is one transaction that moves rows from the old table to the new ones, so that a step is done or not;
//! what is left in the old table is what is left to do, and a start that was interrupted goes on there. The schema's number
//! is raised by the first step: an older program refuses a database that is half moved. Schema 3 moves nothing: its rows are
//! written as they come, and those of schema 2 are read as they are; only the number keeps older programs away.

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use super::{
    ages::Ages,
    fault::{Fatal, Reading},
    rows::{self, MessageHead, write_numbers},
    tables::{META_SCHEMA, SCHEMA, Tables, due_key, message_key, read_schema, recipient_key},
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
/// Recipients moved in one transaction: bounds its memory, tens of milliseconds.
pub(super) const STEP: usize = 5_000;
/// Steps between two lines of the log.
const STEPS_A_LINE: u64 = 20;

/// The database is of an older schema, or half moved.
pub(super) fn is_due(db: &Database) -> Result<bool, StoreError> {
    let txn = db.begin_read().reading()?;
    if read_schema(&txn).map_err(StoreError::Damaged)? < SCHEMA {
        return Ok(true);
    }
    match txn.open_table(OLD_DUE) {
        Ok(_) => Ok(true),
        Err(TableError::TableDoesNotExist(_)) => Ok(false),
        Err(e) => Err(e).reading(),
    }
}

/// Moves what is left to move, `step` recipients a transaction.
pub(super) fn run(db: &Database, step: usize) -> Result<(), StoreError> {
    if !is_due(db)? {
        return Ok(());
    }
    log::info!("database=migrating to schema={SCHEMA}: older programs will refuse it");
    let (mut moved, mut steps) = (0u64, 0u64);
    loop {
        let mut txn = db.begin_write().fatal()?;
        txn.set_quick_repair(true);
        let (count, is_empty) = {
            let mut t = Tables::open(&txn).fatal()?;
            t.meta.insert(META_SCHEMA, write_numbers(&[SCHEMA]).as_slice()).fatal()?;
            let mut old = txn.open_table(OLD_DUE).fatal()?;
            let count = move_some(&mut old, &mut t, step)?;
            let is_empty = old.first().fatal()?.is_none();
            (count, is_empty)
        };
        if is_empty {
            txn.delete_table(OLD_DUE).fatal()?;
        }
        txn.commit().fatal()?;
        moved += count;
        steps += 1;
        if is_empty {
            log::info!("database=migrated schema={SCHEMA} recipients={moved}");
            return Ok(());
        }
        if steps.is_multiple_of(STEPS_A_LINE) {
            log::info!("database=migrating recipients={moved}");
        }
    }
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
mod tests;
