//! Looking for mail by a part of what a person remembers: an address, a subject, an id.
//!
//! In: a text, a [`Page`].  Out: messages that hold it anywhere, newest first, and a cursor.
//! Always: a search ends when its time, its steps or its page is over, says how far back it looked, and goes on from there; rows
//! are told apart by their octets before any is read; nothing past its period is found (R13).

use redb::{Database, ReadableDatabase};

use super::{
    asking::Patience,
    events::LogReader,
    fault::{Reading, bad_row},
    messages::holds,
    rows, tables,
    types::{Found, FoundPage, Message, Page, Recipient, StoreError},
};
use crate::{
    clock::Clock,
    ids::{MessageId, RecipientKey, hex},
};

/// Letters of a search at most; the rest does not count.
const TEXT_OCTETS_MAX: usize = 500;

/// What is looked for.
struct Wanted {
    /// In lower case.
    text: String,
    /// Octets tell whether a row may hold it: ASCII letters in any case are told alike, and others have no case.
    by_octets: bool,
}

impl Wanted {
    fn new(text: &str) -> Self {
        let text = text[..text.floor_char_boundary(TEXT_OCTETS_MAX)].to_lowercase();
        let by_octets = text.chars().all(|c| c.is_ascii() || c.to_uppercase().eq([c]));
        Wanted { text, by_octets }
    }

    fn may_be_in(&self, row: &[u8]) -> bool {
        !self.by_octets || holds(row, self.text.as_bytes())
    }

    fn is_in(&self, text: &str) -> bool {
        text.to_lowercase().contains(&self.text)
    }

    fn is_of(&self, m: &Message) -> bool {
        let f = &m.facts;
        let sender = m.sender.as_ref().map_or("", |sender| sender.as_str());
        [sender, &f.from, &f.subject, &f.message_id, &f.api_data].iter().any(|text| self.is_in(text))
    }
}

impl LogReader {
    /// One page of messages that hold the text, newest first.
    pub(super) fn search(
        &mut self,
        db: &Database,
        clock: &Clock,
        text: &str,
        page: &Page,
    ) -> Result<FoundPage, StoreError> {
        let wanted = Wanted::new(text.trim());
        let mut out = FoundPage::default();
        if wanted.text.is_empty() {
            return Ok(out);
        }
        let patience = Patience::of(clock, page);
        let table = db.begin_read().reading()?.open_table(tables::MAIL).reading()?;
        let end = page.cursor.as_deref().and_then(key_of).unwrap_or([u8::MAX; size_of::<tables::MailKey>()]);
        // A message's recipients stand behind it: read backwards, they come first.
        let mut hit: Option<(MessageId, u32)> = None;
        for (looked, entry) in table.range::<&tables::MailKey>(..&end).reading()?.rev().enumerate() {
            let (key, row) = entry.reading()?;
            let (id, index) = tables::read_mail_key(key.value());
            if let Some(index) = index {
                let is_hit = hit.is_none_or(|(other, _)| other != id) && wanted.may_be_in(row.value());
                if is_hit && self.recipient_holds(&wanted, id, index, row.value())? {
                    hit = Some((id, index));
                }
                // A message may have very many recipients. One that was found is told with the message's own row, soon.
                if hit.is_none() && patience.is_over(looked) {
                    out.next = Some(cursor_of(key.value()));
                    out.looked_back_to = Some(id.time());
                    break;
                }
                continue;
            }
            let by_recipient = hit.take().filter(|(other, _)| *other == id).map(|(_, index)| index);
            if by_recipient.is_some() || wanted.may_be_in(row.value()) {
                out.messages.extend(self.found(&wanted, id, by_recipient)?);
            }
            let full = out.messages.len() >= page.rows_max.max(1);
            let tired = looked >= page.scan_max || patience.is_over_now(looked);
            if full || tired {
                out.next = Some(cursor_of(key.value()));
                out.looked_back_to = (tired && !full).then(|| id.time());
                break;
            }
        }
        Ok(out)
    }

    fn recipient_holds(&self, wanted: &Wanted, id: MessageId, index: u32, row: &[u8]) -> Result<bool, StoreError> {
        let key = RecipientKey { message: id, index };
        let row = rows::read_recipient(key, row)
            .map_err(|e| bad_row(format_args!("recipient {index} of message {id}"), e))?;
        Ok(wanted.is_in(row.shown.address.as_str()))
    }

    fn found(
        &mut self,
        wanted: &Wanted,
        id: MessageId,
        by_recipient: Option<u32>,
    ) -> Result<Option<Found>, StoreError> {
        let Some(message) = self.mail.message(id)? else { return Ok(None) };
        if (by_recipient.is_none() && !wanted.is_of(&message)) || !self.is_shown(id)? {
            return Ok(None);
        }
        let key = RecipientKey { message: id, index: by_recipient.unwrap_or(0) };
        let recipient = self.mail.recipient(key)?;
        Ok(Some(Found { message, recipient }))
    }

    /// A message as a search shows it; `None`: nothing of it may be shown any more.
    pub(super) fn shown(&mut self, id: MessageId, address: &str) -> Result<Option<Found>, StoreError> {
        let Some(message) = self.mail.message(id)? else { return Ok(None) };
        if !self.is_shown(id)? {
            return Ok(None);
        }
        let mut first: Option<Recipient> = None;
        for index in 0..message.recipients.min(RECIPIENTS_LOOKED_MAX) {
            let Some(recipient) = self.mail.recipient(RecipientKey { message: id, index })? else { continue };
            if recipient.address.as_str().eq_ignore_ascii_case(address) {
                return Ok(Some(Found { message, recipient: Some(recipient) }));
            }
            first.get_or_insert(recipient);
        }
        Ok(Some(Found { message, recipient: first }))
    }
}

/// The key of the last row that was looked at, as a cursor.
fn cursor_of(key: &tables::MailKey) -> String {
    hex(key)
}

/// The key of a cursor; `None`: it is none of ours.
fn key_of(cursor: &str) -> Option<tables::MailKey> {
    let mut key = [0; size_of::<tables::MailKey>()];
    if cursor.len() != 2 * key.len() || !cursor.is_ascii() {
        return None;
    }
    for (octet, at) in key.iter_mut().zip((0..cursor.len()).step_by(2)) {
        *octet = u8::from_str_radix(&cursor[at..at + 2], 16).ok()?;
    }
    Some(key)
}

/// Recipients of a message among which the one that was asked for is looked for.
const RECIPIENTS_LOOKED_MAX: u32 = 1_000;
