//! Reading for those who follow the log and for those who look for what a returned mail is about.
//!
//! In: an event number, a Message-ID.  Out: events in the order of their numbers; messages with their recipients.
//! Always: nobody who follows misses an event. Numbers are given by the writer alone, inside the transaction that writes the
//! event and above every number before (the last one is stored with each commit, and a clock that steps back changes nothing);
//! a snapshot holds whole transactions, each with all before it. So an event that a later snapshot shows has a greater number
//! than all that an earlier one showed. What is pruned, or past its period, is passed over (R13).

use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable};

use super::{
    answers::LogRow,
    batch::{Unclean, first_number_of},
    events::SAME_MESSAGE_ID_MAX,
    fault::{Reading, bad_row},
    indexes::IndexNumbers,
    messages::MailReader,
    rows::{self, EventHead},
    tables,
    types::{Followed, Message, Recipient, RecipientState, StoreError},
};
use crate::{
    clock::Timestamp,
    event::EventKind,
    ids::{MessageId, RecipientKey},
};

/// Events behind `after`, and the number to go on behind. `floor`: what is older is past its period.
pub(super) fn follow(
    db: &Database,
    unclean: Option<Unclean>,
    after: u64,
    kinds: &[EventKind],
    limit: usize,
    floor: Timestamp,
) -> Result<(Vec<Followed>, u64), StoreError> {
    let (rows, reached) = follow_rows(db, unclean, after, kinds, limit, floor)?;
    let followed = |row: LogRow| Followed {
        number: row.number,
        event: row.event,
        address: row.recipient.to_lowercase(),
        user: row.message.user.clone(),
    };
    Ok((rows.into_iter().map(followed).collect(), reached))
}

/// The same with the message's row and the address as it was written; without links.
pub(super) fn follow_rows(
    db: &Database,
    unclean: Option<Unclean>,
    after: u64,
    kinds: &[EventKind],
    limit: usize,
    floor: Timestamp,
) -> Result<(Vec<LogRow>, u64), StoreError> {
    let txn = db.begin_read().reading()?;
    let events = txn.open_table(tables::EVENTS).reading()?;
    let mut mail = MailReader::of(&txn, unclean)?;
    let (mut out, mut reached) = (Vec::new(), after);
    let start = after.saturating_add(1).max(first_number_of(floor));
    for entry in events.range(start..).reading()?.take(limit) {
        let (number, row) = entry.reading()?;
        let (number, row) = (number.value(), row.value());
        reached = number;
        // One that cannot be read must not hold up everybody behind it; `verify` reports it.
        let Ok(head) = EventHead::read(row) else {
            log::error!("event={number} damaged, not followed; run hikyaku verify");
            continue;
        };
        if !kinds.is_empty() && !kinds.contains(&head.kind) {
            continue;
        }
        let (event, _) = rows::read_event(number, row).map_err(|e| bad_row(format_args!("event {number}"), e))?;
        let Some(message) = mail.message(head.message)? else { continue };
        let Some(recipient) = mail.recipient(event.key)? else { continue };
        out.push(LogRow {
            number,
            event,
            recipient: recipient.address.as_str().to_owned(),
            message,
            links: Vec::new(),
        });
    }
    Ok((out, reached))
}

/// The number of the last event that was written; 0: none was.
pub(super) fn end(db: &Database) -> Result<u64, StoreError> {
    let txn = db.begin_read().reading()?;
    let events = txn.open_table(tables::EVENTS).reading()?;
    Ok(events.last().reading()?.map_or(0, |(number, _)| number.value()))
}

/// Messages with this Message-ID, newest first, each with its recipients.
pub(super) fn sent_as(
    db: &Database,
    unclean: Option<Unclean>,
    message_id: &str,
    limit: usize,
    floor: Timestamp,
) -> Result<Vec<(Message, Vec<Recipient>)>, StoreError> {
    let wanted = message_id.trim().to_lowercase();
    let mut out = sent_as_written(db, unclean, &wanted, limit, floor)?;
    if out.is_empty() && !wanted.is_empty() && !wanted.starts_with('<') {
        out = sent_as_written(db, unclean, &format!("<{wanted}>"), limit, floor)?;
    }
    Ok(out)
}

fn sent_as_written(
    db: &Database,
    unclean: Option<Unclean>,
    wanted: &str,
    limit: usize,
    floor: Timestamp,
) -> Result<Vec<(Message, Vec<Recipient>)>, StoreError> {
    let (mut out, mut left, first) = (Vec::new(), limit, first_number_of(floor));
    if wanted.is_empty() {
        return Ok(out);
    }
    let txn = db.begin_read().reading()?;
    let index = Arc::new(txn.open_table(tables::BY_MESSAGE_ID).reading()?);
    let mut mail = MailReader::of(&txn, unclean)?;
    for id in IndexNumbers::newest(&index, wanted, SAME_MESSAGE_ID_MAX)? {
        if left == 0 {
            break;
        }
        let id = MessageId::from_u64(id);
        let Some(message) = mail.message(id)?.filter(|m| m.facts.message_id.to_lowercase() == wanted) else { continue };
        let (mut recipients, mut is_shown) = (Vec::new(), false);
        for index in 0..message.recipients {
            if recipients.len() >= left && is_shown {
                break;
            }
            let Some(row) = mail.recipient_row(RecipientKey { message: id, index })? else { continue };
            // As in the story: while anything of the message may be shown, it is.
            is_shown |= matches!(row.shown.state, RecipientState::Waiting { .. }) || row.last_event >= first;
            if recipients.len() < left {
                recipients.push(row.shown);
            }
        }
        if is_shown {
            left -= recipients.len();
            out.push((Message::clone(&message), recipients));
        }
    }
    Ok(out)
}
