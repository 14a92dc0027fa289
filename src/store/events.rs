//! Reading the log: pages of deliveries and errors, the story of one message, counts by minute, notices owed.
//!
//! In: a [`LogQuery`] and a [`Page`].  Out: rows, newest first, and a cursor.
//! Always: an exact recipient, Message-ID or X-Api-Data is found by its index; everything else is a scan that stops after
//! `scan_max` steps and says how far back it looked; nothing past its period is shown, pruned or not (R13); a bounce or
//! complaint and the delivery that it is about name each other (R11).

use std::sync::Arc;

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable};

use super::{
    batch::{Unclean, first_number_of, minute_of},
    fault::{Reading, bad_row},
    messages::MailReader,
    retention::log_floor,
    rows::{self, EventHead, number_time},
    tables::{self, IndexKey, index_hash, index_key},
    types::{
        Linked, LogPage, LogQuery, LogRow, Message, MinuteCounts, NoticeOwed, Page, RETURNS_MAX, RetentionPeriods,
        StoreError, Story,
    },
};
use crate::{
    clock::Timestamp,
    event::{Event, EventKind},
    ids::{MessageId, RecipientKey},
};

/// Steps that a read of a message's rows counts against `scan_max`: about what it costs beside reading one event.
const MAIL_STEPS: usize = 4;
/// Events are numbered when they are stored, a little after they happened; a clock stepped back makes the gap larger. A
/// query's end looks this much further, and compares the true time.
const NUMBER_AHEAD: std::time::Duration = std::time::Duration::from_secs(3600);
/// Messages that a Message-ID may name before the rest is left out: the identifier is meant to be unique.
pub(super) const SAME_MESSAGE_ID_MAX: usize = 1000;
/// Events of one recipient that its story follows back: tries a minute for longer than any queue lifetime.
const STORY_EVENTS_MAX: usize = 10_000;

/// What a reader of the log needs.
pub(super) struct LogReader {
    events: ReadOnlyTable<u64, &'static [u8]>,
    by_recipient: Index,
    by_api_data: Index,
    by_message_id: Index,
    mail: MailReader,
    now: Timestamp,
    periods: RetentionPeriods,
}

/// A query, lowered and bounded.
struct Wanted<'q> {
    query: &'q LogQuery,
    recipient: String,
    sender: String,
    message_id: String,
    api_data: String,
    from: Timestamp,
    /// Numbers looked at: from (inclusive), to (exclusive).
    first: u64,
    end: u64,
    rows_max: usize,
    scan_max: usize,
}

impl Wanted<'_> {
    fn takes_kind(&self, kind: EventKind) -> bool {
        (!self.query.errors_only || kind.is_error())
            && (self.query.kinds.is_empty() || self.query.kinds.contains(&kind))
    }

    fn takes_time(&self, at: Timestamp) -> bool {
        at >= self.from && self.query.to.is_none_or(|to| at < to)
    }

    /// One text field: whole (any case) or in part.
    fn takes_text(&self, wanted: &str, text: &str) -> bool {
        if wanted.is_empty() {
            return true;
        }
        let text = text.to_lowercase();
        if self.query.exact { text == wanted } else { text.contains(wanted) }
    }

    fn takes_message(&self, m: &Message) -> bool {
        let q = self.query;
        let sender = m.sender.as_ref().map_or("", |s| s.as_str());
        q.message.is_none_or(|id| id == m.id)
            && (q.user.is_empty() || q.user == m.user)
            && (self.takes_text(&self.sender, sender) || self.takes_text(&self.sender, &m.facts.from))
            && self.takes_text(&self.message_id, &m.facts.message_id)
            && self.takes_text(&self.api_data, &m.facts.api_data)
    }
}

/// What looking at one event cost and gave.
enum Looked {
    Row(Box<LogRow>),
    Nothing,
}

impl LogReader {
    /// A reader on a fresh snapshot.
    pub(super) fn new(
        db: &Database,
        unclean: Option<Unclean>,
        now: Timestamp,
        periods: RetentionPeriods,
    ) -> Result<Self, StoreError> {
        let txn = db.begin_read().reading()?;
        Ok(LogReader {
            events: txn.open_table(tables::EVENTS).reading()?,
            by_recipient: Arc::new(txn.open_table(tables::BY_RECIPIENT).reading()?),
            by_api_data: Arc::new(txn.open_table(tables::BY_API_DATA).reading()?),
            by_message_id: Arc::new(txn.open_table(tables::BY_MESSAGE_ID).reading()?),
            mail: MailReader::of(&txn, unclean)?,
            now,
            periods,
        })
    }

    /// One page, newest first.
    pub(super) fn page(&mut self, query: &LogQuery, page: &Page) -> Result<LogPage, StoreError> {
        let period = if query.errors_only { self.periods.error_log } else { self.periods.delivery_log };
        let floor = self.now.minus(period);
        let from = query.from.map_or(floor, |f| f.max(floor));
        let cursor = page.cursor.as_deref().and_then(|c| c.parse::<u64>().ok()).unwrap_or(u64::MAX);
        let end = query.to.map_or(u64::MAX, |to| first_number_of(to.plus(NUMBER_AHEAD)));
        let wanted = Wanted {
            query,
            recipient: query.recipient.to_lowercase(),
            sender: query.sender.to_lowercase(),
            message_id: query.message_id.to_lowercase(),
            api_data: query.api_data.to_lowercase(),
            from,
            first: first_number_of(from).max(query.after.map_or(0, |n| n.saturating_add(1))),
            end: end.min(cursor),
            rows_max: page.rows_max.max(1),
            scan_max: page.scan_max.max(1),
        };
        if wanted.first >= wanted.end {
            return Ok(LogPage::default());
        }
        if let Some(id) = query.message {
            let numbers = self.numbers_of_message(id)?;
            return self.gather(&wanted, numbers.into_iter());
        }
        if query.exact && !wanted.message_id.is_empty() {
            let numbers = self.numbers_of_message_id(&wanted)?;
            return self.gather(&wanted, numbers.into_iter());
        }
        if query.exact && !wanted.recipient.is_empty() {
            let numbers = IndexNumbers::new(&self.by_recipient, &wanted.recipient, wanted.first..wanted.end)?;
            return self.walk(&wanted, numbers);
        }
        if query.exact && !wanted.api_data.is_empty() {
            let numbers = IndexNumbers::new(&self.by_api_data, &wanted.api_data, wanted.first..wanted.end)?;
            return self.walk(&wanted, numbers);
        }
        self.scan(&wanted)
    }

    /// Every event in order, from the table itself.
    fn scan(&mut self, wanted: &Wanted<'_>) -> Result<LogPage, StoreError> {
        let mut out = LogPage::default();
        let mut steps = 0;
        let range = self.events.range(wanted.first..wanted.end).reading()?;
        for entry in range.rev() {
            let (number, row) = entry.reading()?;
            let number = number.value();
            if self.page_is_full(&mut out, wanted, steps, number) {
                return Ok(out);
            }
            steps += 1;
            if let Looked::Row(row) = self.look(wanted, number, row.value(), &mut steps)? {
                out.rows.push(*row);
            }
        }
        Ok(out)
    }

    /// Events whose numbers an index gives, newest first.
    fn walk(
        &mut self,
        wanted: &Wanted<'_>,
        numbers: impl Iterator<Item = Result<u64, StoreError>>,
    ) -> Result<LogPage, StoreError> {
        let mut out = LogPage::default();
        let mut steps = 0;
        for number in numbers {
            let number = number?;
            if self.page_is_full(&mut out, wanted, steps, number) {
                return Ok(out);
            }
            steps += 1;
            // Pruned already: its index row follows later.
            let Some(row) = self.events.get(number).reading()? else { continue };
            if let Looked::Row(row) = self.look(wanted, number, row.value(), &mut steps)? {
                out.rows.push(*row);
            }
        }
        Ok(out)
    }

    fn gather(&mut self, wanted: &Wanted<'_>, numbers: impl Iterator<Item = u64>) -> Result<LogPage, StoreError> {
        let inside = numbers.filter(|n| (wanted.first..wanted.end).contains(n));
        self.walk(wanted, inside.map(Ok))
    }

    /// The page ends before the event `number`, which the next one begins with.
    fn page_is_full(&self, out: &mut LogPage, wanted: &Wanted<'_>, steps: usize, number: u64) -> bool {
        let full = out.rows.len() >= wanted.rows_max;
        let tired = steps >= wanted.scan_max;
        if full || tired {
            out.next = Some(number.saturating_add(1).to_string());
        }
        if tired && !full {
            out.looked_back_to = Some(number_time(number));
        }
        full || tired
    }

    fn look(&mut self, wanted: &Wanted<'_>, number: u64, row: &[u8], steps: &mut usize) -> Result<Looked, StoreError> {
        let bad = |e| bad_row(format_args!("event {number}"), e);
        let head = EventHead::read(row).map_err(bad)?;
        if !wanted.takes_kind(head.kind) {
            return Ok(Looked::Nothing);
        }
        *steps += MAIL_STEPS;
        // The message's row lives as long as its last event; without it the event says nothing to anybody.
        let Some(message) = self.mail.message(head.message)? else { return Ok(Looked::Nothing) };
        if !wanted.takes_message(&message) {
            return Ok(Looked::Nothing);
        }
        let (event, prev) = rows::read_event(number, row).map_err(bad)?;
        if !wanted.takes_time(event.at) {
            return Ok(Looked::Nothing);
        }
        let Some(recipient) = self.mail.recipient_row(event.key)? else { return Ok(Looked::Nothing) };
        let address = recipient.shown.address.as_str();
        if !wanted.takes_text(&wanted.recipient, address) {
            return Ok(Looked::Nothing);
        }
        let links = self.links(number, &event, prev, recipient.last_event)?;
        *steps += links.len();
        Ok(Looked::Row(Box::new(LogRow { event, number, recipient: address.to_owned(), message, links })))
    }

    /// What an event is about, or what came back about it (R11), as far as it is within its period. Costs nothing where
    /// nothing came back.
    fn links(&self, number: u64, event: &Event, prev: u64, last_event: u64) -> Result<Vec<Linked>, StoreError> {
        let is_return = event.kind.is_return();
        let (start, end) = match (is_return, event.kind.is_final()) {
            (true, _) => (prev, 0),
            (false, true) => (last_event, number),
            (false, false) => return Ok(Vec::new()),
        };
        let mut links = Vec::new();
        let mut at = start;
        for _ in 0..=RETURNS_MAX {
            if at <= end {
                break;
            }
            let Some(row) = self.events.get(at).reading()? else { break };
            // A damaged neighbour is told where it is read for itself.
            let Ok((linked, prev)) = rows::read_event(at, row.value()) else { break };
            if linked.kind.is_return() != is_return {
                if self.periods.keeps(linked.kind, linked.at, self.now) {
                    links.push(Linked { number: at, event: linked });
                }
                if is_return {
                    break;
                }
            }
            if prev >= at {
                break;
            }
            at = prev;
        }
        links.reverse();
        Ok(links)
    }

    // ---- one message ----

    /// Everything known of one message, within the longer period.
    pub(super) fn story(&mut self, id: MessageId) -> Result<Option<Story>, StoreError> {
        let Some(message) = self.mail.message(id)? else { return Ok(None) };
        let first = first_number_of(log_floor(self.now, &self.periods));
        let mut recipients = Vec::new();
        let mut events: Vec<(u64, Event)> = Vec::new();
        for index in 0..message.recipients {
            let Some(row) = self.mail.recipient_row(RecipientKey { message: id, index })? else { continue };
            let mut shown = row.shown;
            let chain = self.chain(row.last_event, first)?;
            // A final recipient's last answer is in its final event; what came back later stands for itself.
            if shown.last_reply.is_empty()
                && let Some((_, event)) = chain.iter().find(|(_, event)| !event.kind.is_return())
                && let Some(d) = &event.detail
            {
                shown.last_reply = d.reply.clone();
            }
            events.extend(chain);
            recipients.push(shown);
        }
        if events.is_empty() && recipients.iter().all(|r| matches!(r.state, super::RecipientState::Final(_))) {
            // Finished, and everything of it is past its period (R13).
            return Ok(None);
        }
        events.sort_by_key(|(number, _)| *number);
        let (numbers, events) = events.into_iter().unzip();
        Ok(Some(Story { message, recipients, events, numbers }))
    }

    /// A recipient's events, newest first, back to number `first`.
    fn chain(&self, last: u64, first: u64) -> Result<Vec<(u64, Event)>, StoreError> {
        let mut out = Vec::new();
        let mut number = last;
        while number >= first && number != 0 && out.len() < STORY_EVENTS_MAX {
            let Some(row) = self.events.get(number).reading()? else { break };
            let (event, prev) =
                rows::read_event(number, row.value()).map_err(|e| bad_row(format_args!("event {number}"), e))?;
            out.push((number, event));
            // The chain only leads back, so that it ends.
            number = if prev < number { prev } else { 0 };
        }
        Ok(out)
    }

    /// Numbers of a message's events, newest first.
    fn numbers_of_message(&mut self, id: MessageId) -> Result<Vec<u64>, StoreError> {
        let Some(message) = self.mail.message(id)? else { return Ok(Vec::new()) };
        let mut numbers = Vec::new();
        for index in 0..message.recipients {
            if let Some(row) = self.mail.recipient_row(RecipientKey { message: id, index })? {
                numbers.extend(self.chain(row.last_event, 1)?.into_iter().map(|(n, _)| n));
            }
        }
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }

    fn numbers_of_message_id(&mut self, wanted: &Wanted<'_>) -> Result<Vec<u64>, StoreError> {
        let ids = IndexNumbers::newest(&self.by_message_id, &wanted.message_id, SAME_MESSAGE_ID_MAX)?;
        let mut numbers = Vec::new();
        for id in ids {
            numbers.extend(self.numbers_of_message(MessageId::from_u64(id))?);
        }
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }

    /// Messages that a key finds, newest first.
    pub(super) fn find(&mut self, key: &str, limit: usize) -> Result<Vec<MessageId>, StoreError> {
        let mut found: Vec<MessageId> = Vec::new();
        if let Ok(id) = key.parse::<MessageId>()
            && self.is_shown(id)?
        {
            found.push(id);
        }
        let lower = key.to_lowercase();
        for id in IndexNumbers::newest(&self.by_message_id, &lower, limit)? {
            let id = MessageId::from_u64(id);
            if self.mail.message(id)?.is_some_and(|m| m.facts.message_id.to_lowercase() == lower)
                && self.is_shown(id)?
            {
                found.push(id);
            }
        }
        for field in [Field::Recipient, Field::ApiData] {
            self.find_by_event(&lower, field, limit, &mut found)?;
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.dedup();
        found.truncate(limit);
        Ok(found)
    }

    /// True while anything of the message may be shown (R13).
    fn is_shown(&mut self, id: MessageId) -> Result<bool, StoreError> {
        Ok(self.story(id)?.is_some())
    }

    fn find_by_event(
        &mut self,
        key: &str,
        field: Field,
        limit: usize,
        found: &mut Vec<MessageId>,
    ) -> Result<(), StoreError> {
        let mut query = LogQuery { exact: true, ..LogQuery::default() };
        match field {
            Field::Recipient => query.recipient = key.to_owned(),
            Field::ApiData => query.api_data = key.to_owned(),
        }
        let mut page = Page { rows_max: limit.saturating_mul(2).max(1), ..Page::default() };
        let start = found.len();
        // A message has a few events: a few pages give `limit` different ones.
        for _ in 0..FIND_PAGES_MAX {
            let got = self.page(&query, &page)?;
            found.extend(got.rows.iter().map(|r| r.message.id));
            found[start..].sort_unstable();
            let mut seen = found.split_off(start);
            seen.dedup();
            found.append(&mut seen);
            if found.len() - start >= limit || got.next.is_none() {
                break;
            }
            page.cursor = got.next;
        }
        Ok(())
    }

    /// Notices owed, oldest first; of one recipient only the oldest.
    pub(super) fn notices_owed(&mut self, db: &Database, limit: usize) -> Result<Vec<NoticeOwed>, StoreError> {
        let txn = db.begin_read().reading()?;
        let table = txn.open_table(tables::NOTICES).reading()?;
        let mut out: Vec<NoticeOwed> = Vec::new();
        for entry in table.iter().reading()? {
            if out.len() >= limit {
                break;
            }
            let (number, row) = entry.reading()?;
            let number = number.value();
            let (key, kind) =
                rows::read_notice(row.value()).map_err(|e| bad_row(format_args!("owed notice {number}"), e))?;
            let oldest = self.mail.recipient_row(key)?.is_some_and(|r| r.owed.first() == Some(&number));
            let event = self.events.get(number).reading()?;
            if let (true, Some(event)) = (oldest, event) {
                let (event, _) =
                    rows::read_event(number, event.value()).map_err(|e| bad_row(format_args!("event {number}"), e))?;
                out.push(NoticeOwed { key, kind, since: event.at, event });
            }
        }
        Ok(out)
    }
}

/// Pages that `find` reads of an index at most.
const FIND_PAGES_MAX: usize = 50;

#[derive(Clone, Copy)]
enum Field {
    Recipient,
    ApiData,
}

pub(super) type Index = Arc<ReadOnlyTable<&'static IndexKey, ()>>;

/// The numbers that a day-bucketed index holds for one text, newest first: one seek a day.
pub(super) struct IndexNumbers {
    index: Index,
    hash: u32,
    numbers: std::ops::Range<u64>,
    /// Days that are still to be looked at, the newest last.
    days: std::ops::RangeInclusive<u32>,
    today: Option<redb::Range<'static, &'static IndexKey, ()>>,
}

impl IndexNumbers {
    fn new(index: &Index, text: &str, numbers: std::ops::Range<u64>) -> Result<Self, StoreError> {
        let day_of = |key: &IndexKey| tables::read_index_key(key).0;
        let first = index.first().reading()?.map(|(key, _)| day_of(key.value()));
        let last = index.last().reading()?.map(|(key, _)| day_of(key.value()));
        // The table's own first and last day bound the loop, whatever was asked.
        #[allow(clippy::reversed_empty_ranges)]
        let days = match (first, last) {
            (Some(first), Some(last)) => {
                first.max(number_time(numbers.start).day())..=last.min(number_time(numbers.end.saturating_sub(1)).day())
            }
            _ => 1..=0,
        };
        Ok(IndexNumbers { index: index.clone(), hash: index_hash(text), numbers, days, today: None })
    }

    /// The newest `limit` numbers.
    pub(super) fn newest(index: &Index, text: &str, limit: usize) -> Result<Vec<u64>, StoreError> {
        IndexNumbers::new(index, text, 0..u64::MAX)?.take(limit).collect()
    }
}

impl Iterator for IndexNumbers {
    type Item = Result<u64, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(today) = &mut self.today {
                match today.next_back() {
                    Some(Ok((key, _))) => return Some(Ok(tables::read_index_key(key.value()).2)),
                    Some(Err(e)) => return Some(Err(e).reading()),
                    None => self.today = None,
                }
            }
            let day = self.days.next_back()?;
            let start = index_key(day, self.hash, self.numbers.start);
            let end = index_key(day, self.hash, self.numbers.end);
            match self.index.range::<&IndexKey>(&start..&end).reading() {
                Ok(range) => self.today = Some(range),
                Err(e) => return Some(Err(e)),
            }
        }
    }
}

/// Counts of each minute in `[from, to)`, but not of what is past its period.
pub(super) fn minutes(
    db: &Database,
    from: Timestamp,
    to: Timestamp,
    floor: Timestamp,
) -> Result<Vec<MinuteCounts>, StoreError> {
    let (first, end) = (minute_of(from.max(floor)), minute_of(to.plus(ALMOST_A_MINUTE)));
    let mut out = Vec::new();
    if first >= end {
        return Ok(out);
    }
    let txn = db.begin_read().reading()?;
    let table = txn.open_table(tables::MINUTES).reading()?;
    for entry in table.range(first..end).reading()?.take(MINUTES_MAX) {
        let (minute, row) = entry.reading()?;
        let minute = minute.value();
        let [queued, deferred, succeeded, failed, blocked] =
            rows::read_minute(row.value()).map_err(|e| bad_row(format_args!("minute {minute}"), e))?;
        out.push(MinuteCounts {
            minute: Timestamp::from_millis(minute.saturating_mul(60_000)),
            queued,
            deferred,
            succeeded,
            failed,
            blocked,
        });
    }
    Ok(out)
}

/// So that a minute that `to` cuts is counted whole.
const ALMOST_A_MINUTE: std::time::Duration = std::time::Duration::from_millis(59_999);
/// Minutes of one answer: 90 days.
const MINUTES_MAX: usize = 90 * 24 * 60;

/// A numbered event row, or why it cannot be read.
type NumberedEvent = (u64, Result<(Event, u64), super::codec::RowError>);

/// Every event of a snapshot, oldest first, readable or not.
pub(super) fn events_of(
    txn: &redb::ReadTransaction,
) -> Result<impl Iterator<Item = Result<NumberedEvent, StoreError>> + use<>, StoreError> {
    let events = txn.open_table(tables::EVENTS).reading()?;
    let rows = events.range::<u64>(..).reading()?;
    Ok(rows.map(|entry| {
        let (number, row) = entry.reading()?;
        let number = number.value();
        Ok((number, rows::read_event(number, row.value())))
    }))
}
