//! Reading the log: pages of deliveries and errors.
//!
//! In: a [`LogQuery`] and a [`Page`].  Out: rows, newest first, and a cursor.
//! Always: an exact recipient, Message-ID or X-Api-Data is found by its index, and a page costs what it shows; everything else is
//! a scan that stops after `scan_max` steps or `within` a time, and says how far back it looked; nothing past its period is shown, pruned or not (R13); a bounce or
//! complaint and the delivery that it is about name each other (R11).

use std::{collections::BinaryHeap, sync::Arc};

use redb::{Database, ReadOnlyTable, ReadableDatabase};

use super::{
    asking::Patience,
    batch::{Unclean, first_number_of},
    fault::{Reading, bad_row},
    indexes::{Index, IndexNumbers},
    messages::MailReader,
    rows::{self, EventHead, number_time},
    tables,
    types::{Linked, LogPage, LogQuery, LogRow, Message, Page, RETURNS_MAX, RetentionPeriods, StoreError},
};
use crate::{
    clock::{Clock, Timestamp},
    event::{ErrorClass, Event, EventKind},
    ids::{MessageId, RecipientKey},
    smtp::address::Mailbox,
};

/// Steps that a read of a message's rows counts against `scan_max`: about what it costs beside reading one event.
const MAIL_STEPS: usize = 4;
/// Events are numbered when they are stored, a little after they happened; a clock stepped back makes the gap larger. A
/// query's end looks this much further, and compares the true time.
const NUMBER_AHEAD: std::time::Duration = std::time::Duration::from_secs(3600);
/// Messages that a Message-ID may name before the rest is left out: the identifier is meant to be unique.
pub(super) const SAME_MESSAGE_ID_MAX: usize = 1000;
/// Recipients up to which a later page follows each one's events to where it begins.
pub(super) const FOLLOWED_MAX: usize = 1_000;
/// Recipients whose events a search by Message-ID merges: some megabytes. The rest is left out.
const MERGED_MAX: usize = 250_000;

/// What a reader of the log needs.
pub(super) struct LogReader {
    pub(super) events: ReadOnlyTable<u64, &'static [u8]>,
    by_recipient: Index,
    by_api_data: Index,
    pub(super) by_message_id: Index,
    pub(super) mail: MailReader,
    pub(super) now: Timestamp,
    pub(super) periods: RetentionPeriods,
    pub(super) clock: Clock,
}

/// A query, lowered and bounded.
struct Wanted<'q> {
    query: &'q LogQuery,
    recipient: String,
    sender: String,
    message_id: String,
    api_data: String,
    domain: String,
    subject: String,
    from: Timestamp,
    /// Numbers looked at: from (inclusive), to (exclusive).
    first: u64,
    end: u64,
    rows_max: usize,
    scan_max: usize,
    /// Events of these messages alone; empty: of all.
    only: Vec<u64>,
    /// When a scan ends with what it has.
    patience: Patience,
}

impl Wanted<'_> {
    fn takes_kind(&self, kind: EventKind) -> bool {
        (!self.query.errors_only || kind.is_error())
            && (self.query.kinds.is_empty() || self.query.kinds.contains(&kind))
    }

    fn takes_time(&self, at: Timestamp) -> bool {
        at >= self.from && self.query.to.is_none_or(|to| at < to)
    }

    fn takes_class(&self, event: &Event) -> bool {
        let classes = &self.query.classes;
        let class = || event.detail.as_deref().and_then(|d| d.error).unwrap_or(ErrorClass::Other);
        classes.is_empty() || (event.kind.is_error() && classes.contains(&class()))
    }

    fn takes_domain(&self, address: &Mailbox) -> bool {
        self.domain.is_empty() || address.domain_key() == self.domain
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
            && self.takes_text(&self.subject, &m.facts.subject)
    }
}

/// What a page cost so far.
#[derive(Default)]
struct Effort {
    /// Events looked at.
    looked: usize,
    /// Steps, which `scan_max` bounds.
    steps: usize,
}

impl LogReader {
    /// A reader on a fresh snapshot.
    pub(super) fn new(
        db: &Database,
        unclean: Option<Unclean>,
        clock: &Clock,
        periods: RetentionPeriods,
    ) -> Result<Self, StoreError> {
        let txn = db.begin_read().reading()?;
        Ok(LogReader {
            events: txn.open_table(tables::EVENTS).reading()?,
            by_recipient: Arc::new(txn.open_table(tables::BY_RECIPIENT).reading()?),
            by_api_data: Arc::new(txn.open_table(tables::BY_API_DATA).reading()?),
            by_message_id: Arc::new(txn.open_table(tables::BY_MESSAGE_ID).reading()?),
            mail: MailReader::of(&txn, unclean)?,
            now: clock.now(),
            periods,
            clock: clock.clone(),
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
            domain: query.domain.to_lowercase(),
            subject: query.subject.to_lowercase(),
            from,
            first: first_number_of(from).max(query.after.map_or(0, |n| n.saturating_add(1))),
            end: end.min(cursor),
            rows_max: page.rows_max.max(1),
            scan_max: page.scan_max.max(1),
            only: Vec::new(),
            patience: Patience::of(&self.clock, page),
        };
        if wanted.first >= wanted.end {
            return Ok(LogPage::default());
        }
        if let Some(id) = query.message {
            return self.merge(wanted, vec![id.as_u64()]);
        }
        if query.exact && !wanted.message_id.is_empty() {
            let ids = IndexNumbers::newest(&self.by_message_id, &wanted.message_id, SAME_MESSAGE_ID_MAX)?;
            return self.merge(wanted, ids);
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
        let mut effort = Effort::default();
        let range = self.events.range(wanted.first..wanted.end).reading()?;
        for entry in range.rev() {
            let (number, row) = entry.reading()?;
            let number = number.value();
            if Self::page_is_full(&mut out, wanted, &mut effort, number) {
                return Ok(out);
            }
            out.rows.extend(self.look(wanted, number, row.value(), &mut effort)?);
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
        let mut effort = Effort::default();
        for number in numbers {
            let number = number?;
            if Self::page_is_full(&mut out, wanted, &mut effort, number) {
                return Ok(out);
            }
            // Pruned already: its index row follows later.
            let Some(row) = self.events.get(number).reading()? else { continue };
            out.rows.extend(self.look(wanted, number, row.value(), &mut effort)?);
        }
        Ok(out)
    }

    /// The events of whole messages, newest first: each recipient's last one is known, and names the one before it, so that
    /// no more of them are read than the page shows, whatever the messages hold.
    ///
    /// A later page of very many recipients is found in the log itself: to follow each of them to where the page begins would
    /// cost more with each page.
    fn merge(&mut self, mut wanted: Wanted<'_>, messages: Vec<u64>) -> Result<LogPage, StoreError> {
        let mut last = Vec::new();
        for id in &messages {
            self.mail.last_events(MessageId::from_u64(*id), MERGED_MAX, &mut last)?;
        }
        if last.len() > FOLLOWED_MAX && wanted.end < u64::MAX {
            wanted.only = messages;
            return self.scan(&wanted);
        }
        let wanted = &wanted;
        let mut next = BinaryHeap::from(last);
        let mut out = LogPage::default();
        let mut effort = Effort::default();
        while let Some(number) = next.pop() {
            if number < wanted.first {
                break;
            }
            let is_wanted = number < wanted.end;
            if is_wanted && Self::page_is_full(&mut out, wanted, &mut effort, number) {
                return Ok(out);
            }
            let Some(row) = self.events.get(number).reading()? else { continue };
            let head = EventHead::read(row.value()).map_err(|e| bad_row(format_args!("event {number}"), e))?;
            // The chain only leads back, so that it ends.
            next.extend(number.checked_sub(head.back).filter(|_| head.back > 0));
            if is_wanted {
                out.rows.extend(self.look(wanted, number, row.value(), &mut effort)?);
            }
        }
        Ok(out)
    }

    /// The page ends before the event `number`, which the next one begins with.
    fn page_is_full(out: &mut LogPage, wanted: &Wanted<'_>, effort: &mut Effort, number: u64) -> bool {
        let full = out.rows.len() >= wanted.rows_max;
        let tired = effort.steps >= wanted.scan_max || wanted.patience.is_over(effort.looked);
        effort.looked += 1;
        effort.steps += 1;
        if full || tired {
            out.next = Some(number.saturating_add(1).to_string());
        }
        if tired && !full {
            out.looked_back_to = Some(number_time(number));
        }
        full || tired
    }

    fn look(
        &mut self,
        wanted: &Wanted<'_>,
        number: u64,
        row: &[u8],
        effort: &mut Effort,
    ) -> Result<Option<LogRow>, StoreError> {
        let bad = |e| bad_row(format_args!("event {number}"), e);
        let head = EventHead::read(row).map_err(bad)?;
        if !wanted.takes_kind(head.kind) || !(wanted.only.is_empty() || wanted.only.contains(&head.message.as_u64())) {
            return Ok(None);
        }
        effort.steps += MAIL_STEPS;
        let key = RecipientKey { message: head.message, index: head.index };
        // Nearly all rows of a search by a part of the address end here.
        if !wanted.query.exact && !self.mail.recipient_may_hold(key, &wanted.recipient)? {
            return Ok(None);
        }
        if !self.mail.recipient_may_hold(key, &wanted.domain)? {
            return Ok(None);
        }
        let (event, prev) = rows::read_event(number, row).map_err(bad)?;
        if !wanted.takes_time(event.at) || !wanted.takes_class(&event) {
            return Ok(None);
        }
        // The message's row lives as long as its last event; without it the event says nothing to anybody.
        let Some(message) = self.mail.message(head.message)? else { return Ok(None) };
        if !wanted.takes_message(&message) {
            return Ok(None);
        }
        let Some(recipient) = self.mail.recipient_row(event.key)? else { return Ok(None) };
        let address = recipient.shown.address.as_str();
        if !wanted.takes_text(&wanted.recipient, address) || !wanted.takes_domain(&recipient.shown.address) {
            return Ok(None);
        }
        let links = self.links(number, &event, prev, recipient.last_event)?;
        effort.steps += links.len();
        Ok(Some(LogRow { event, number, recipient: address.to_owned(), message, links }))
    }

    /// A row as it is, whatever its period; `None`: its message or recipient is gone.
    pub(super) fn row_of(&mut self, number: u64, row: &[u8]) -> Result<Option<LogRow>, StoreError> {
        let (event, prev) = rows::read_event(number, row).map_err(|e| bad_row(format_args!("event {number}"), e))?;
        let Some(message) = self.mail.message(event.key.message)? else { return Ok(None) };
        let Some(recipient) = self.mail.recipient_row(event.key)? else { return Ok(None) };
        let links = self.links(number, &event, prev, recipient.last_event)?;
        Ok(Some(LogRow { event, number, recipient: recipient.shown.address.as_str().to_owned(), message, links }))
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
}

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
