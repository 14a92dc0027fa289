//! What was said in each attempt, beside the event that it led to.
//!
//! In: conversations that come with verdicts.  Out: the same, for people.
//! Always: one is written in the transaction of its event (P4), under its number, and goes with it; none is read whose event is
//! past its period or gone (R13); one that cannot be read says so in itself and hides nothing else.

use redb::{ReadTransaction, ReadableDatabase, ReadableTable};

use super::{
    batch::Work,
    events::LogReader,
    fault::{Fatal, Reading},
    rows::{self, VERSION},
    tables::{self, CONVERSATIONS},
    types::StoreError,
};
use crate::smtp::conversation::{CONVERSATION_OCTETS_MAX, Conversation};

/// Keeps what led to the event with this number.
pub(super) fn keep(work: &mut Work<'_, '_>, number: u64, conversation: &Conversation) -> Result<(), StoreError> {
    let octets = conversation.octets();
    // Whoever makes one keeps to the bound; a longer one must not stop a verdict.
    if octets.is_empty() || octets.len() > CONVERSATION_OCTETS_MAX {
        return Ok(());
    }
    let mut row = Vec::with_capacity(1 + octets.len());
    row.push(VERSION);
    row.extend_from_slice(octets);
    work.t.conversations.insert(number, row.as_slice()).fatal()?;
    Ok(())
}

/// Events up to this number were pruned: so is what was said.
pub(super) fn prune(work: &mut Work<'_, '_>, last: u64) -> Result<(), StoreError> {
    work.t.conversations.retain_in(..=last, |_, _| false).fatal()
}

impl LogReader {
    /// What led to the events with these numbers, in their order; `None`: nothing was said, or nothing may be read any more.
    pub(super) fn conversations(
        &self,
        db: &redb::Database,
        numbers: &[u64],
    ) -> Result<Vec<Option<Conversation>>, StoreError> {
        let txn = db.begin_read().reading()?;
        let table = txn.open_table(CONVERSATIONS).reading()?;
        let mut out = Vec::with_capacity(numbers.len());
        for number in numbers {
            out.push(self.conversation(&table, *number)?);
        }
        Ok(out)
    }

    fn conversation(
        &self,
        table: &redb::ReadOnlyTable<u64, &'static [u8]>,
        number: u64,
    ) -> Result<Option<Conversation>, StoreError> {
        let Some(event) = self.events.get(number).reading()? else { return Ok(None) };
        // A damaged event is told where it is read for itself.
        let Ok((event, _)) = rows::read_event(number, event.value()) else { return Ok(None) };
        if !self.periods.keeps(event.kind, event.at, self.now) {
            return Ok(None);
        }
        let row = table.get(number).reading()?;
        Ok(row.and_then(|row| row.value().split_first().map(|(_, octets)| Conversation::of_octets(octets))))
    }
}

/// Lines of damage.
pub(super) fn verify(txn: &ReadTransaction) -> Result<Vec<String>, StoreError> {
    let mut damage = Vec::new();
    let events = txn.open_table(tables::EVENTS).reading()?;
    for entry in txn.open_table(CONVERSATIONS).reading()?.iter().reading()? {
        let (number, row) = entry.reading()?;
        let number = number.value();
        match row.value().split_first() {
            Some((&VERSION, octets)) if Conversation::of_octets(octets).is_sound() => {}
            Some(_) | None => damage.push(format!("conversation {number}: it cannot be read")),
        }
        if events.get(number).reading()?.is_none() {
            damage.push(format!("conversation {number}: its event is not in the log"));
        }
    }
    Ok(damage)
}
