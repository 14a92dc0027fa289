//! Reading the queue: which lanes are due, and people's questions. The head of a lane: `head.rs`.
//!
//! In: lanes, times, filters.  Out: lanes, tickets, pages.
//! Always: bounded by the caller's limit, from an index, never by a scan of everything (P5); a snapshot, so that the writer
//! is not waited for.

use std::{collections::BinaryHeap, ops::Bound, sync::Arc};

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable};

use super::{
    asking::Patience,
    batch::{Unclean, is_held},
    fault::{Reading, bad_row},
    largest::{KEPT, LOOKED_AT_MAX, Largest, lanes_len},
    messages::MailReader,
    rows, sums,
    tables::{self, DueKey, due_key, due_prefix, due_user_prefix, lane_due_key, read_due_key, read_lane_due_key},
    types::{
        Lane, LaneRow, Message, Page, QueueCount, QueueFilter, QueuePage, QueueRow, Recipient, RecipientState,
        StoreError,
    },
};
use crate::{
    clock::{Clock, Timestamp},
    event::Class,
    ids::{MessageId, RecipientKey, UserKey, hex},
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
        classes: lane.counts,
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

/// Every lane, largest first: where there are very many, those that are known to be the largest.
pub(super) fn lanes(
    db: &Arc<Database>,
    largest: &Arc<Largest>,
    clock: &Clock,
    limit: usize,
) -> Result<Vec<LaneRow>, StoreError> {
    if limit > KEPT / 2 || lanes_len(db)? <= LOOKED_AT_MAX {
        return all_lanes(db, limit);
    }
    // Their counts are read anew: a few more, where some have shrunk.
    let names = largest.names(db, clock, 2 * limit);
    let table = db.begin_read().reading()?.open_table(tables::LANES).reading()?;
    let mut out = Vec::with_capacity(names.len());
    for name in names {
        if let Some(row) = table.get(name.as_bytes()).reading()? {
            out.push(lane_row(&name, row.value())?);
        }
    }
    out.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.lane.cmp(&b.lane)));
    out.truncate(limit);
    Ok(out)
}

/// The same by a look at all of them.
fn all_lanes(db: &Database, limit: usize) -> Result<Vec<LaneRow>, StoreError> {
    let txn = db.begin_read().reading()?;
    let table = txn.open_table(tables::LANES).reading()?;
    // A heap of the `limit` largest: memory does not grow with the number of lanes, and of most only the numbers are read.
    let mut largest: BinaryHeap<std::cmp::Reverse<(u64, Vec<u8>)>> = BinaryHeap::new();
    for entry in table.iter().reading()? {
        let (name, row) = entry.reading()?;
        let name = name.value();
        let counts = rows::read_lane_counts(row.value())
            .map_err(|e| bad_row(format_args!("lane {}", String::from_utf8_lossy(name)), e))?;
        let count = counts.iter().sum();
        if largest.len() >= limit && largest.peek().is_some_and(|least| least.0.0 >= count) {
            continue;
        }
        largest.push(std::cmp::Reverse((count, name.to_vec())));
        if largest.len() > limit {
            largest.pop();
        }
    }
    let mut out = Vec::with_capacity(largest.len());
    for std::cmp::Reverse((_, name)) in largest.into_sorted_vec() {
        if let Some(row) = table.get(name.as_slice()).reading()? {
            out.push(lane_row(&String::from_utf8_lossy(&name), row.value())?);
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
    reply: String,
}

impl<'f> Lowered<'f> {
    fn of(filter: &'f QueueFilter) -> Self {
        Lowered {
            filter,
            recipient: filter.recipient.to_lowercase(),
            sender: filter.sender.to_lowercase(),
            destination: filter.destination.to_lowercase(),
            reply: filter.reply.to_lowercase(),
        }
    }

    /// What the recipient's row says of it.
    fn takes_recipient(&self, r: &Recipient) -> bool {
        let f = self.filter;
        let RecipientState::Waiting { wait, .. } = r.state else { return false };
        f.message.is_none_or(|id| id == r.key.message)
            && f.index.is_none_or(|n| n == r.key.index)
            && (!f.held || is_held(wait))
            && f.wait.is_none_or(|wanted| wanted == wait)
            && (self.destination.is_empty() || r.lane.destination() == self.destination)
            && (self.recipient.is_empty() || r.address.as_str().to_lowercase().contains(&self.recipient))
            && (self.reply.is_empty() || r.last_reply.to_lowercase().contains(&self.reply))
    }

    /// What its message's row says.
    fn takes_message(&self, m: &Message) -> bool {
        let f = self.filter;
        f.class.is_none_or(|class| class == m.class)
            && (f.user.is_empty() || f.user == m.user)
            && (self.sender.is_empty()
                || m.sender.as_ref().is_some_and(|s| s.as_str().to_lowercase().contains(&self.sender)))
    }

    /// The due index answers it alone, and so does a sum, mostly.
    fn is_of_keys(&self) -> bool {
        let f = self.filter;
        f.wait.is_none() && [&f.recipient, &f.sender, &f.reply].into_iter().all(|text| text.is_empty())
    }

    /// What the walk does at a key of the due index.
    fn step(&self, k: &DueKey<'_>) -> Step {
        let f = self.filter;
        if !self.destination.is_empty() && Lane::destination_of(k.lane) != self.destination {
            return Step::Pass;
        }
        if let Some(class) = f.class
            && class != k.class
        {
            return if k.class < class { Step::To(due_prefix(k.lane, class, 0)) } else { behind_lane(k.lane) };
        }
        if !f.user.is_empty() {
            let (is, wanted) = (k.user, UserKey::of(&f.user));
            if is < wanted {
                return Step::To(due_user_prefix(k.lane, k.class, wanted));
            }
            if is > wanted {
                let next = Class::ALL.into_iter().find(|class| *class > k.class).filter(|_| f.class.is_none());
                return next.map_or_else(|| behind_lane(k.lane), |class| Step::To(due_prefix(k.lane, class, 0)));
            }
        }
        let is_held_there = k.due == Timestamp::MAX;
        let wants_held = f.held || f.wait.is_some_and(is_held);
        let of_user = |due, message| {
            due_key(k.lane, k.class, k.user, due, RecipientKey { message: MessageId::from_u64(message), index: 0 })
        };
        if wants_held && !is_held_there {
            return Step::To(of_user(Timestamp::MAX, 0));
        }
        // The other way round, too: nobody who waits for a time waits for ever.
        if f.wait.is_some_and(|wait| !is_held(wait)) && is_held_there {
            return match k.user.as_u64().checked_add(1) {
                Some(next) => Step::To(due_user_prefix(k.lane, k.class, UserKey::from_u64(next))),
                None => Step::Pass,
            };
        }
        Step::Take
    }
}

/// What a walk of the due index does at a key.
enum Step {
    /// It may be wanted.
    Take,
    /// It is not.
    Pass,
    /// Nothing before this key is; it is behind the one that was looked at.
    To(Vec<u8>),
}

/// The names of other lanes go on with more than the zero.
fn behind_lane(lane: &str) -> Step {
    Step::To(lane.bytes().chain([1]).collect())
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
        Some(id) => page_of_message(&mut mail, id, &lowered, page, patience),
        None => page_of_queue(db, &mut mail, &lowered, page, patience),
    }
}

fn page_of_message(
    mail: &mut MailReader,
    id: MessageId,
    lowered: &Lowered<'_>,
    page: &Page,
    patience: &Patience,
) -> Result<QueuePage, StoreError> {
    let from = page.cursor.as_deref().and_then(|c| c.parse::<u32>().ok()).unwrap_or(0);
    let mut out = QueuePage::default();
    let Some(message) = mail.message(id)? else { return Ok(out) };
    // One that is named is the only one that is looked at.
    let (from, end) = match lowered.filter.index {
        Some(index) => (from.max(index), index.saturating_add(1).min(message.recipients)),
        None => (from, message.recipients),
    };
    for (looked, index) in (from..end).enumerate() {
        if out.rows.len() >= page.rows_max || patience.is_over(looked) {
            out.next = Some(index.to_string());
            break;
        }
        if let Some(recipient) = mail.recipient(RecipientKey { message: id, index })?
            && lowered.takes_recipient(&recipient)
            && lowered.takes_message(&message)
        {
            out.rows.push(QueueRow { message: message.clone(), recipient });
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
    let mut out = QueuePage::default();
    let next = walk(&due, lowered, start, end.as_deref(), page, patience, &mut |key| {
        let Some(recipient) = mail.recipient(key)?.filter(|r| lowered.takes_recipient(r)) else {
            return Ok(out.rows.len() < page.rows_max);
        };
        if let Some(message) = mail.message(key.message)?.filter(|m| lowered.takes_message(m)) {
            out.rows.push(QueueRow { message, recipient });
        }
        Ok(out.rows.len() < page.rows_max)
    })?;
    out.next = next.map(|key| hex(&key));
    Ok(out)
}

/// Looks at the keys that may be wanted, from `start` to `end`, until `each` says no, the page is tired, or all are seen. Answers
/// the key to go on with.
fn walk(
    due: &ReadOnlyTable<&'static [u8], &'static [u8]>,
    lowered: &Lowered<'_>,
    start: Vec<u8>,
    end: Option<&[u8]>,
    page: &Page,
    patience: &Patience,
    each: &mut dyn FnMut(RecipientKey) -> Result<bool, StoreError>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let (mut from, mut looked, mut goes_on) = (start, 0, true);
    loop {
        if end.is_some_and(|end| from.as_slice() >= end) {
            return Ok(None);
        }
        let mut seek = None;
        let until = end.map_or(Bound::Unbounded, Bound::Excluded);
        for entry in due.range::<&[u8]>((Bound::Included(from.as_slice()), until)).reading()? {
            let (key, _) = entry.reading()?;
            let key = key.value();
            if !goes_on || looked >= page.scan_max.max(1) || patience.is_over(looked) {
                return Ok(Some(key.to_vec()));
            }
            looked += 1;
            let Some(k) = read_due_key(key) else { continue };
            match lowered.step(&k) {
                Step::Take => goes_on = each(k.key)?,
                Step::To(target) if target.as_slice() > key => {
                    seek = Some(target);
                    break;
                }
                Step::Pass | Step::To(_) => {}
            }
        }
        match seek {
            Some(target) => from = target,
            None => return Ok(None),
        }
    }
}

/// How many waiting recipients a filter takes.
pub(super) fn count(
    db: &Database,
    unclean: Option<Unclean>,
    filter: &QueueFilter,
    page: &Page,
    patience: &Patience,
) -> Result<QueueCount, StoreError> {
    if let Some(recipients) = known_count(db, filter)? {
        return Ok(QueueCount { recipients, is_whole: true });
    }
    let lowered = Lowered::of(filter);
    let mut mail = MailReader::new(db, unclean)?;
    if let Some(id) = filter.message {
        let found = page_of_message(&mut mail, id, &lowered, page, patience)?;
        return Ok(QueueCount { recipients: found.rows.len() as u64, is_whole: found.next.is_none() });
    }
    let txn = db.begin_read().reading()?;
    let due = txn.open_table(tables::DUE).reading()?;
    let (start, end) = lanes_of(&lowered.destination);
    let mut recipients = 0;
    let next = walk(&due, &lowered, start, end.as_deref(), page, patience, &mut |key| {
        let takes = lowered.is_of_keys()
            || (mail.recipient(key)?.is_some_and(|r| lowered.takes_recipient(&r))
                && mail.message(key.message)?.is_some_and(|m| lowered.takes_message(&m)));
        recipients += u64::from(takes);
        Ok(true)
    })?;
    Ok(QueueCount { recipients, is_whole: next.is_none() })
}

/// The count, where sums have it.
fn known_count(db: &Database, filter: &QueueFilter) -> Result<Option<u64>, StoreError> {
    let bare = QueueFilter::default();
    let with = |class, wait, held, user: &str, destination: &str| QueueFilter {
        class,
        wait,
        held,
        user: user.to_owned(),
        destination: destination.to_owned(),
        ..bare.clone()
    };
    let f = filter;
    if *f == with(f.class, f.wait, false, "", "") {
        return Ok(Some(sums::shown(db)?.waiting(f.class, f.wait)));
    }
    if *f == with(f.class, None, true, "", "") {
        return Ok(Some(sums::shown(db)?.held(f.class)));
    }
    if *f == with(None, None, false, &f.user, "") {
        return Ok(Some(sums::shown(db)?.of_user(&f.user)));
    }
    if *f != with(f.class, None, false, "", &f.destination) {
        return Ok(None);
    }
    let txn = db.begin_read().reading()?;
    let lanes = txn.open_table(tables::LANES).reading()?;
    let destination = f.destination.to_lowercase();
    let mut recipients = 0;
    // The lane without a rule, and those with one.
    let (first, end) = (destination.as_bytes(), format!("{destination}{}", char::from(Lane::RULE_MARK as u8 + 1)));
    for entry in lanes.range(first..end.as_bytes()).reading()? {
        let (name, row) = entry.reading()?;
        let Ok(name) = std::str::from_utf8(name.value()) else { continue };
        if Lane::destination_of(name) != destination {
            continue;
        }
        let counts = rows::read_lane_counts(row.value()).map_err(|e| bad_row(format_args!("lane {name}"), e))?;
        recipients += f.class.map_or_else(|| counts.iter().sum(), |class| counts[class as usize]);
    }
    Ok(Some(recipients))
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
