//! A site answers again: who waited for nothing but the site is due now, not hours later.
//!
//! In: a lane.  Out: in bounded steps, the recipients that [`WaitReason::Site`] keeps waiting.
//! Always: a step reads and moves a bounded number of rows and goes on behind them, so that each row is looked at once;
//! recipients that are due already and those that are held are passed over by seeks. What a recipient waits for stays what
//! its last event says; only the time is earlier than that event promised, as after an operator's flush, so there is no
//! event of its own (P4). Tries stay as they were counted.

use redb::{Database, ReadableDatabase};

use super::{
    batch::{Unclean, Work},
    fault::Reading,
    messages::MailReader,
    tables::{self, DueKey, due_key, read_due_key},
    types::{Lane, RecipientState, StoreError},
    verdicts,
};
use crate::{
    clock::Timestamp,
    event::WaitReason,
    ids::{MessageId, RecipientKey},
};

/// Recipients of one step: a transaction of some milliseconds.
pub(super) const STEP: usize = 256;
/// Rows and seeks of one step: some milliseconds of reading.
const LOOKS: usize = 4_096;

/// Some recipients of the lane that wait for their site until later than `now`, from `cursor` on, and where to go on.
pub(super) fn step(
    db: &Database,
    unclean: Option<Unclean>,
    lane: &Lane,
    now: Timestamp,
    cursor: Option<Vec<u8>>,
) -> Result<(Vec<RecipientKey>, Option<Vec<u8>>), StoreError> {
    let mail = MailReader::new(db, unclean)?;
    let txn = db.begin_read().reading()?;
    let table = txn.open_table(tables::DUE).reading()?;
    // The names of other lanes go on with more than the zero.
    let [first, end] = [0, 1].map(|tail| lane.0.bytes().chain([tail]).collect::<Vec<u8>>());
    let mut from = cursor.unwrap_or(first);
    let (mut keys, mut looks) = (Vec::new(), 0);
    loop {
        let mut seek = None;
        for entry in table.range::<&[u8]>(from.as_slice()..end.as_slice()).reading()? {
            let (at, _) = entry.reading()?;
            looks += 1;
            if keys.len() >= STEP || looks > LOOKS {
                return Ok((keys, Some(at.value().to_vec())));
            }
            let Some(DueKey { lane, class, user, due, key }) = read_due_key(at.value()) else { continue };
            // Behind everybody of this submitter who is due, or held.
            let pass = |due, message| due_key(lane, class, user, due, RecipientKey { message, index: u32::MAX });
            if due == Timestamp::MAX {
                seek = Some(pass(due, MessageId::from_u64(u64::MAX)));
            } else if due <= now {
                seek = Some(pass(now, MessageId::from_u64(u64::MAX)));
            } else if waits_for_site(&mail, key)? {
                keys.push(key);
            }
            if seek.is_some() {
                break;
            }
        }
        let Some(behind) = seek else { return Ok((keys, None)) };
        from = behind;
        from.push(0);
    }
}

fn waits_for_site(mail: &MailReader, key: RecipientKey) -> Result<bool, StoreError> {
    match mail.recipient_row(key) {
        Ok(row) => Ok(row.is_some_and(|row| is_sites(&row.shown.state))),
        // One damaged row must not keep the others waiting; `verify` reports it.
        Err(StoreError::Damaged(_)) => Ok(false),
        Err(other) => Err(other),
    }
}

fn is_sites(state: &RecipientState) -> bool {
    matches!(state, RecipientState::Waiting { wait: WaitReason::Site, .. })
}

/// Makes one of them due; false when it has changed since it was read.
pub(super) fn make_due(work: &mut Work<'_, '_>, key: RecipientKey) -> Result<bool, StoreError> {
    let Some(row) = work.recipient(key)? else { return Ok(false) };
    match row.shown.state {
        RecipientState::Waiting { due, wait: wait @ WaitReason::Site } if due > work.now => {
            let now = work.now;
            verdicts::move_to(work, row, due, wait, now, wait)
        }
        RecipientState::Waiting { .. } | RecipientState::Final(_) => Ok(false),
    }
}
