//! Reading the queue: which lanes are due, and people's questions. The head of a lane: `head.rs`.
//!
//! In: lanes, times, filters.  Out: lanes, tickets, pages.
//! Always: bounded by the caller's limit, from an index, never by a scan of everything (P5); a snapshot, so that the writer
//! is not waited for.

use std::{collections::BinaryHeap, ops::Bound, sync::Arc};

use redb::{Database, ReadableDatabase, ReadableTable};

use super::{
    asking::Patience,
    batch::{Unclean, is_held},
    fault::{Reading, bad_row},
    messages::MailReader,
    rows,
    tables::{self, DueKey, lane_due_key, read_due_key, read_lane_due_key},
    types::{Lane, LaneRow, Page, QueueFilter, QueuePage, QueueRow, RecipientState, StoreError},
};
use crate::{
    clock::Timestamp,
    ids::{MessageId, RecipientKey, hex},
};

/// Lanes due at or before `until`, earliest first, behind `after`.
pub(super) fn lanes_due(
    db: &Database,
    until: Timestamp,
    after: Option<&(Timestamp, Lane)>,
    limit: usize,
) -> Result<Vec<LaneRow>, StoreError> {
    let txn = db.begin_read().reading()?;
    let by_due = txn.open_table(tables::LANE_DUE).reading()?;
    let lanes = txn.open_table(tables::LANES).reading()?;
    let mut start = after.map_or_else(Vec::new, |(due, lane)| lane_due_key(due.as_millis(), &lane.0));
    if after.is_some() {
        start.push(0); // the first key behind it
    }
    let mut out = Vec::new();
    for entry in by_due.range(start.as_slice()..).reading()? {
        if out.len() >= limit {
            break;
        }
        let (key, _) = entry.reading()?;
        let Some((due, name)) = read_lane_due_key(key.value()) else { continue };
        if due > until.as_millis() {
            break;
        }
        if let Some(row) = lanes.get(name.as_bytes()).reading()? {
            out.push(lane_row(name, row.value())?);
        }
    }
    Ok(out)
}

fn lane_row(name: &str, row: &[u8]) -> Result<LaneRow, StoreError> {
    let lane = rows::read_lane(row).map_err(|e| bad_row(format_args!("lane {name}"), e))?;
    Ok(LaneRow {
        lane: Lane(Arc::from(name)),
        count: lane.counts.iter().sum(),
        earliest_due: Timestamp::from_millis(lane.earliest),
        last_reply: lane.last_reply,
    })
}

/// The earliest due time of any lane later than `after`.
pub(super) fn next_due(db: &Database, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let Some(start) = after.as_millis().checked_add(1) else { return Ok(None) };
    let txn = db.begin_read().reading()?;
    let by_due = txn.open_table(tables::LANE_DUE).reading()?;
    let start = lane_due_key(start, "");
    let first = by_due.range(start.as_slice()..).reading()?.next().transpose().reading()?;
    let due = first.and_then(|(key, _)| read_lane_due_key(key.value()).map(|(due, _)| due));
    // Held recipients are never due.
    Ok(due.filter(|due| *due != u64::MAX).map(Timestamp::from_millis))
}

/// Every lane, largest first.
pub(super) fn lanes(db: &Database, limit: usize) -> Result<Vec<LaneRow>, StoreError> {
    let txn = db.begin_read().reading()?;
    let table = txn.open_table(tables::LANES).reading()?;
    // A heap of the `limit` largest: memory does not grow with the number of lanes.
    let mut largest: BinaryHeap<std::cmp::Reverse<(u64, String)>> = BinaryHeap::new();
    for entry in table.iter().reading()? {
        let (name, row) = entry.reading()?;
        let name = String::from_utf8_lossy(name.value()).into_owned();
        let lane = rows::read_lane(row.value()).map_err(|e| bad_row(format_args!("lane {name}"), e))?;
        let count = lane.counts.iter().sum();
        if largest.len() >= limit && largest.peek().is_some_and(|least| least.0.0 >= count) {
            continue;
        }
        largest.push(std::cmp::Reverse((count, name)));
        if largest.len() > limit {
            largest.pop();
        }
    }
    let mut out = Vec::with_capacity(largest.len());
    for std::cmp::Reverse((_, name)) in largest.into_sorted_vec() {
        if let Some(row) = table.get(name.as_bytes()).reading()? {
            out.push(lane_row(&name, row.value())?);
        }
    }
    Ok(out)
}

/// A filter with its texts in lower case.
struct Lowered<'f> {
    filter: &'f QueueFilter,
    recipient: String,
    sender: String,
    destination: String,
}

impl<'f> Lowered<'f> {
    fn of(filter: &'f QueueFilter) -> Self {
        Lowered {
            filter,
            recipient: filter.recipient.to_lowercase(),
            sender: filter.sender.to_lowercase(),
            destination: filter.destination.to_lowercase(),
        }
    }

    fn takes(&self, row: &QueueRow) -> bool {
        let f = self.filter;
        let (m, r) = (&row.message, &row.recipient);
        let RecipientState::Waiting { wait, .. } = r.state else { return false };
        f.message.is_none_or(|id| id == m.id)
            && f.index.is_none_or(|n| n == r.key.index)
            && (!f.held || is_held(wait))
            && (f.user.is_empty() || f.user == m.user)
            && (self.destination.is_empty() || r.lane.destination() == self.destination)
            && (self.recipient.is_empty() || r.address.as_str().to_lowercase().contains(&self.recipient))
            && (self.sender.is_empty()
                || m.sender.as_ref().is_some_and(|s| s.as_str().to_lowercase().contains(&self.sender)))
    }
}

/// One page of the queue: by lane, class, submitter and due time; of one message: by recipient.
pub(super) fn page(
    db: &Database,
    unclean: Option<Unclean>,
    filter: &QueueFilter,
    page: &Page,
    patience: &Patience,
) -> Result<QueuePage, StoreError> {
    let lowered = Lowered::of(filter);
    let mut mail = MailReader::new(db, unclean)?;
    match filter.message {
        Some(id) => page_of_message(&mut mail, id, &lowered, page),
        None => page_of_queue(db, &mut mail, &lowered, page, patience),
    }
}

fn page_of_message(
    mail: &mut MailReader,
    id: MessageId,
    lowered: &Lowered<'_>,
    page: &Page,
) -> Result<QueuePage, StoreError> {
    let from = page.cursor.as_deref().and_then(|c| c.parse::<u32>().ok()).unwrap_or(0);
    let mut out = QueuePage::default();
    let Some(message) = mail.message(id)? else { return Ok(out) };
    for index in from..message.recipients {
        if out.rows.len() >= page.rows_max {
            out.next = Some(index.to_string());
            break;
        }
        if let Some(recipient) = mail.recipient(RecipientKey { message: id, index })? {
            let row = QueueRow { message: message.clone(), recipient };
            if lowered.takes(&row) {
                out.rows.push(row);
            }
        }
    }
    Ok(out)
}

fn page_of_queue(
    db: &Database,
    mail: &mut MailReader,
    lowered: &Lowered<'_>,
    page: &Page,
    patience: &Patience,
) -> Result<QueuePage, StoreError> {
    let txn = db.begin_read().reading()?;
    let due = txn.open_table(tables::DUE).reading()?;
    let (first, end) = lanes_of(&lowered.destination);
    let start = match page.cursor.as_deref().and_then(unhex) {
        Some(cursor) => cursor.max(first),
        None => first,
    };
    let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut out = QueuePage::default();
    if matches!(end, Bound::Excluded(end) if start.as_slice() >= end) {
        return Ok(out);
    }
    for (looked, entry) in due.range::<&[u8]>((Bound::Included(start.as_slice()), end)).reading()?.enumerate() {
        let (key, _) = entry.reading()?;
        if out.rows.len() >= page.rows_max || looked >= page.scan_max.max(1) || patience.is_over(looked) {
            out.next = Some(hex(key.value()));
            break;
        }
        let Some(DueKey { lane, due, key, .. }) = read_due_key(key.value()) else { continue };
        if !lowered.destination.is_empty() && Lane::destination_of(lane) != lowered.destination {
            continue;
        }
        if lowered.filter.held && due != Timestamp::MAX {
            continue;
        }
        if let Some(message) = mail.message(key.message)?
            && let Some(recipient) = mail.recipient(key)?
        {
            let row = QueueRow { message, recipient };
            if lowered.takes(&row) {
                out.rows.push(row);
            }
        }
    }
    Ok(out)
}

/// The keys of a destination's lanes, with and without a rule in their name: from, and to exclusively (`None`: the end).
fn lanes_of(destination: &str) -> (Vec<u8>, Option<Vec<u8>>) {
    if destination.is_empty() {
        return (Vec::new(), None);
    }
    let (mut first, mut end) = (destination.as_bytes().to_vec(), destination.as_bytes().to_vec());
    // Nothing that a name is made of sorts between the zero at its end and the mark.
    first.push(0);
    end.push(Lane::RULE_MARK as u8 + 1);
    (first, Some(end))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_a_forged_one_is_none() {
        assert_eq!(unhex(&hex(b"\x00a\xff")), Some(b"\x00a\xff".to_vec()));
        for bad in ["a", "zz", "é!", "+1"] {
            assert!(unhex(bad).is_none_or(|b| b.len() == 1), "{bad}");
        }
    }
}
