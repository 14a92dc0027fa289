//! Reading the log around one message: its story, what a key finds, the notices that it owes.
//!
//! In: a message, a key that somebody pasted.  Out: everything known of it.
//! Always: nothing past its period is told (R13); a recipient's events are followed from its last one back, a bounded number of
//! them.

use redb::{Database, ReadableDatabase, ReadableTable};

use super::{
    batch::first_number_of,
    events::LogReader,
    fault::{Reading, bad_row},
    indexes::IndexNumbers,
    retention::log_floor,
    rows, tables,
    types::{LogQuery, NoticeOwed, Page, RecipientState, StoreError, Story},
};
use crate::{
    event::Event,
    ids::{MessageId, RecipientKey},
};

/// Events of one recipient that its story follows back: tries a minute for longer than any queue lifetime.
const STORY_EVENTS_MAX: usize = 10_000;

impl LogReader {
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
        if events.is_empty() && recipients.iter().all(|r| matches!(r.state, RecipientState::Final(_))) {
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

    /// True while anything of the message may be shown (R13): somebody waits, or has an event within the longer period.
    pub(super) fn is_shown(&mut self, id: MessageId) -> Result<bool, StoreError> {
        let Some(message) = self.mail.message(id)? else { return Ok(false) };
        let first = first_number_of(log_floor(self.now, &self.periods));
        for index in 0..message.recipients {
            let Some(row) = self.mail.recipient_row(RecipientKey { message: id, index })? else { continue };
            let waits = matches!(row.shown.state, RecipientState::Waiting { .. });
            if waits || (row.last_event >= first && self.events.get(row.last_event).reading()?.is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
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
