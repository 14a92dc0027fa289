//! Leads: what stood in front of a copy at its first try, kept for the tries that follow, so that they are the same octets.
//!
//! In: leads that come with a deferral.  Out: the same, at the next try, after a restart, too.
//! Always: a lead is written in the transaction of the verdict that makes it needed, and is never replaced; recipients of a
//! message share one, and who was sent another one keeps it as their own; all are gone when nobody waits any more. Mail that
//! is delivered at its first try never meets the table.

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable};

use super::{
    batch::Work,
    codec::{Eye, Pen, RowError},
    fault::{Fatal, Reading, bad_row},
    rows::{self, MessageHead, VERSION},
    tables::{self, LEADS, MAIL, MailKey, mail_end, message_key, read_mail_key, recipient_key},
    types::{Lead, RecipientState, StoreError, StoredLead},
};
use crate::ids::{MessageId, RecipientKey};

/// Octets of a lead at most: some signatures and the fields of a list take two or three thousand. A longer one is not kept, and
/// made anew at the next try.
pub const LEAD_OCTETS_MAX: usize = 64 * 1024;

fn write_row(octets: &[u8]) -> Vec<u8> {
    let mut pen = Pen::new(VERSION, 1 + octets.len());
    pen.raw(octets);
    pen.done()
}

fn read_row(row: &[u8]) -> Result<&[u8], RowError> {
    Eye::open(row, VERSION)?;
    Ok(&row[1..])
}

/// Keeps the lead of a recipient that waits on. Its message was read in this transaction.
pub(super) fn keep(work: &mut Work<'_, '_>, key: RecipientKey, lead: &Lead) -> Result<(), StoreError> {
    if lead.octets.len() > LEAD_OCTETS_MAX {
        log::warn!("message={} recipient={} its header fields are too long to be kept", key.message, key.index);
        return Ok(());
    }
    let row = write_row(&lead.octets);
    let own = recipient_key(key);
    if work.books.leads > 0 && work.t.leads.get(&own).fatal()?.is_some() {
        return Ok(());
    }
    let mut at = own;
    if !lead.own {
        let shared = message_key(key.message);
        let known = work.t.leads.get(&shared).fatal()?.map(|known| known.value() == row.as_slice());
        match known {
            Some(true) => return Ok(()),
            // Another attempt at the same moment made another one, and was stored first.
            Some(false) => {}
            None => at = shared,
        }
    }
    work.t.leads.insert(&at, row.as_slice()).fatal()?;
    work.books.leads += 1;
    work.change_message(key.message, |head| head.leads = true);
    Ok(())
}

/// The recipient is final: its own lead goes.
pub(super) fn forget_own(work: &mut Work<'_, '_>, key: RecipientKey) -> Result<(), StoreError> {
    let removed = work.t.leads.remove(&recipient_key(key)).fatal()?.is_some();
    work.books.leads = work.books.leads.saturating_sub(u64::from(removed));
    Ok(())
}

/// Nobody of the message waits: all of its leads go. Its row is in work.
pub(super) fn forget_all(work: &mut Work<'_, '_>, id: MessageId) -> Result<(), StoreError> {
    loop {
        // Those of final recipients are gone already: few are left.
        let first = work.t.leads.range::<&MailKey>(&message_key(id)..&mail_end(id)).fatal()?.next();
        let Some(key) = first.transpose().fatal()?.map(|(key, _)| *key.value()) else { break };
        work.t.leads.remove(&key).fatal()?;
        work.books.leads = work.books.leads.saturating_sub(1);
    }
    work.change_message(id, |head| head.leads = false);
    Ok(())
}

/// The leads of these recipients: their own, and the one that they share.
pub(super) fn of(db: &Database, id: MessageId, indexes: &[u32]) -> Result<Vec<StoredLead>, StoreError> {
    let txn = db.begin_read().reading()?;
    let table = txn.open_table(LEADS).reading()?;
    let mut out = Vec::new();
    let keys = indexes.iter().map(|index| (Some(*index), recipient_key(RecipientKey { message: id, index: *index })));
    for (index, key) in std::iter::once((None, message_key(id))).chain(keys) {
        let Some(row) = table.get(&key).reading()? else { continue };
        let octets = read_row(row.value()).map_err(|e| bad_row(format_args!("a lead of message {id}"), e))?;
        out.push(StoredLead { index, octets: Bytes::copy_from_slice(octets) });
    }
    Ok(out)
}

/// Lines of damage.
pub(super) fn verify(txn: &redb::ReadTransaction) -> Result<Vec<String>, StoreError> {
    let mut damage = Vec::new();
    let mail = txn.open_table(MAIL).reading()?;
    for entry in txn.open_table(LEADS).reading()?.iter().reading()? {
        let (key, row) = entry.reading()?;
        let (id, index) = read_mail_key(key.value());
        let name = index.map_or_else(|| format!("lead of message {id}"), |n| format!("lead of recipient {n} of {id}"));
        if let Err(e) = read_row(row.value()) {
            damage.push(format!("{name}: {e}"));
        }
        match mail.get(&message_key(id)).reading()?.map(|row| MessageHead::read(row.value())) {
            None => damage.push(format!("{name}: its message has no row")),
            // A row that cannot be read is told with the messages.
            Some(Err(_)) => {}
            Some(Ok(head)) if !head.leads => damage.push(format!("{name}: its message does not know of it")),
            Some(Ok(head)) if head.waiting == 0 => damage.push(format!("{name}: nobody waits for it")),
            Some(Ok(_)) => {}
        }
        let Some(index) = index else { continue };
        let key = RecipientKey { message: id, index };
        let state = match mail.get(&tables::recipient_key(key)).reading()? {
            None => None,
            Some(row) => rows::read_recipient(key, row.value()).ok().map(|row| row.shown.state),
        };
        match state {
            Some(RecipientState::Final(_)) => damage.push(format!("{name}: its recipient is final")),
            // A message that is gone was told; a row that cannot be read is told with the recipients.
            Some(RecipientState::Waiting { .. }) | None => {}
        }
    }
    Ok(damage)
}
