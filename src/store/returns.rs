//! What came back about a recipient: bounces and complaints, written behind its other events (R11).
//!
//! In: a [`Returned`].  Out: an event, chained to the recipient's last one; no change of state.
//! Always: the recipient's final event stays its only one (P2); the same is written once, so that a peer that did not hear
//! our 250 may send it again; a recipient takes a bounded number of them, so that nobody fills the log with one address; who
//! is past the period of the log gets none, so that no entry brings back what is gone (R13).

use redb::ReadableTable;

use super::{
    batch::{Unclean, Work},
    counts::Whose,
    fault::Fatal,
    rows::{self, MessageHead},
    types::{RETURNS_MAX, RecipientState, Returned, ReturnedAs, StoreError},
};
use crate::event::Event;

/// Events of a recipient that are looked at for the same one: all of a usual life, a millisecond at most.
const LOOKED_MAX: usize = 256;

/// Writes one of them. `floor`: the first event number that is within the log's period.
pub(super) fn write(work: &mut Work<'_, '_>, r: &Returned, floor: u64) -> Result<ReturnedAs, StoreError> {
    let Some(mut row) = work.recipient(r.key)? else { return Ok(ReturnedAs::Unknown) };
    let Some(message) = work.message(r.key.message)? else { return Ok(ReturnedAs::Unknown) };
    let MessageHead { waiting, api_hash, user, .. } = message.head;
    if matches!(row.shown.state, RecipientState::Final(_)) && row.last_event < floor {
        return Ok(ReturnedAs::Unknown);
    }
    if let Some(number) = known(work, row.last_event, r)? {
        return Ok(ReturnedAs::Known(number));
    }
    let mut detail = r.detail.clone();
    if detail.destination.is_empty() {
        detail.destination = row.shown.lane.to_string();
    }
    let event = Event {
        at: r.at,
        key: r.key,
        kind: r.kind,
        attempt: 0,
        next_try: None,
        wait: None,
        operator: None,
        detail: Some(detail),
    };
    // The new last event hides that it was due when the process stopped hard: the mark is stored instead.
    row.shown.possible_duplicate |= Unclean::marks(work.books.unclean, &row);
    let number = work.number();
    let closes = waiting == 0;
    let whose = Whose { user, name: None, api_hash };
    work.log(number, row.last_event, closes, &event, row.shown.address.as_str(), whose)?;
    row.last_event = number;
    work.put_recipient(&row)?;
    if closes {
        work.change_message(r.key.message, |head| head.returned = true);
    }
    Ok(ReturnedAs::Written(number))
}

/// The number under which the same was written, or, of a recipient that has as many as it takes, the newest one's.
fn known(work: &Work<'_, '_>, last: u64, r: &Returned) -> Result<Option<u64>, StoreError> {
    let (mut number, mut returns, mut newest) = (last, 0, None);
    for _ in 0..LOOKED_MAX {
        let Some(row) = work.t.events.get(number).fatal()? else { break };
        // One that cannot be read ends the chain here; `verify` reports it.
        let Ok((event, prev)) = rows::read_event(number, row.value()) else { break };
        if event.kind.is_return() {
            newest = newest.or(Some(number));
            returns += 1;
            let detail = event.detail.unwrap_or_default();
            if event.kind == r.kind && detail.reply == r.detail.reply && detail.error == r.detail.error {
                return Ok(Some(number));
            }
            if returns >= RETURNS_MAX {
                return Ok(newest);
            }
        }
        if prev >= number {
            break;
        }
        number = prev;
    }
    Ok(None)
}
