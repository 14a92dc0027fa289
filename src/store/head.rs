//! The head of a lane: who is due, so that no submitter's backlog and no message with many recipients hides the others.
//!
//! In: a lane, a class, limits.  Out: tickets, earliest due first within each submitter, submitters in equal shares.
//! Always: the work is bounded by [`ROWS_LOOKED_MAX`], whatever the table holds; a submitter's backlog and a message's further
//! recipients are passed over by seeks; where more submitters wait than are looked at, each call begins with another one.

use std::collections::HashMap;

use redb::{Database, ReadOnlyTable, ReadableDatabase};

use super::{
    fault::{Reading, bad_row},
    rows,
    tables::{self, DueKey, due_key, due_user_prefix, read_due_key},
    types::{Head, HeadLimits, Lane, StoreError, Ticket},
};
use crate::{
    clock::Timestamp,
    event::Class,
    ids::{MessageId, RecipientKey, UserKey},
};

/// Rows and seeks of one call: some milliseconds. Most of them are rows that the scheduler has in RAM already.
const ROWS_LOOKED_MAX: usize = 16_384;
/// Submitters of one call: a seek each.
const SUBMITTERS_MAX: usize = 1_024;

/// Which part of the queue.
pub(super) struct Question<'a> {
    pub lane: &'a Lane,
    pub class: Class,
    /// Due at or before this.
    pub until: Timestamp,
    pub limits: HeadLimits,
    /// Whom the caller has already.
    pub skip: &'a dyn Fn(RecipientKey) -> bool,
}

/// Reads the head; `first_user`: with whom to begin.
pub(super) fn read(db: &Database, q: &Question<'_>, first_user: UserKey) -> Result<Head, StoreError> {
    let txn = db.begin_read().reading()?;
    let table = txn.open_table(tables::DUE).reading()?;
    let mut reader = Reader { table, q, left: ROWS_LOOKED_MAX, of_message: HashMap::new(), head: Head::default() };
    reader.head.complete = true;
    let mut submitters = reader.submitters(first_user)?;
    if reader.head.complete && !submitters.is_empty() {
        // All are known: they have the first turn equally often, however their keys lie.
        let turn = first_user.as_u64() >> 32;
        submitters.sort_by(|a, b| a.last.cmp(&b.last));
        let first = usize::try_from(turn % submitters.len() as u64).unwrap_or(0);
        submitters.rotate_left(first);
    }
    while !submitters.is_empty() && reader.room() > 0 {
        let share = (reader.room() / submitters.len()).max(1);
        for n in 0..submitters.len() {
            let looks = reader.left / (submitters.len() - n);
            let want = share.min(reader.room());
            if want == 0 {
                break;
            }
            reader.take(&mut submitters[n], want, looks)?;
        }
        submitters.retain(|s| !s.done);
    }
    // Full: is there anything else?
    for n in 0..submitters.len() {
        if !reader.head.complete {
            break;
        }
        let looks = reader.left / (submitters.len() - n);
        reader.take(&mut submitters[n], 0, looks)?;
    }
    Ok(reader.head)
}

/// One submitter's range.
struct Submitter {
    /// Where to go on.
    next: Vec<u8>,
    /// Its last key that may be due.
    last: Vec<u8>,
    /// Nothing is left, or it was given up.
    done: bool,
}

struct Reader<'a> {
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    q: &'a Question<'a>,
    left: usize,
    of_message: HashMap<MessageId, usize>,
    head: Head,
}

/// Behind every recipient of a message.
fn last_of(message: MessageId) -> RecipientKey {
    RecipientKey { message, index: u32::MAX }
}

impl Reader<'_> {
    fn room(&self) -> usize {
        self.q.limits.rows.saturating_sub(self.head.tickets.len())
    }

    /// Held recipients are never due.
    fn until(&self) -> Timestamp {
        self.q.until.min(Timestamp::from_millis(u64::MAX - 1))
    }

    /// Submitters who have somebody due, from `first` on and around: one seek each.
    fn submitters(&mut self, first: UserKey) -> Result<Vec<Submitter>, StoreError> {
        let lane = &*self.q.lane.0;
        let mut out = Vec::new();
        let mut seeks = 0;
        for (from, to) in [(first.as_u64(), u64::MAX), (0, first.as_u64().saturating_sub(1))] {
            if from > to || (from == 0 && first.as_u64() == 0 && seeks > 0) {
                continue;
            }
            let mut from = Some(from);
            while let Some(user) = from {
                if seeks >= SUBMITTERS_MAX {
                    self.head.complete = false;
                    return Ok(out);
                }
                seeks += 1;
                self.left = self.left.saturating_sub(1);
                let start = due_user_prefix(lane, self.q.class, UserKey::from_u64(user));
                let Some(entry) = self.table.range::<&[u8]>(start.as_slice()..).reading()?.next() else { break };
                let (key, _) = entry.reading()?;
                let found = read_due_key(key.value())
                    .filter(|k| k.lane == lane && k.class == self.q.class && k.user.as_u64() <= to);
                let Some(found) = found else { break };
                if found.due <= self.until() {
                    let last = last_of(MessageId::from_u64(u64::MAX));
                    let last = due_key(lane, self.q.class, found.user, self.until(), last);
                    out.push(Submitter { next: key.value().to_vec(), last, done: false });
                }
                from = found.user.as_u64().checked_add(1).filter(|next| *next <= to);
            }
        }
        Ok(out)
    }

    /// Takes up to `want` tickets of a submitter and goes on from there next time; with none wanted, only finds out whether
    /// there is one more.
    fn take(&mut self, s: &mut Submitter, want: usize, looks: usize) -> Result<(), StoreError> {
        let (mut want_left, mut looks) = (want, looks.max(1));
        loop {
            let mut over_full = None;
            for entry in self.table.range::<&[u8]>(s.next.as_slice()..=s.last.as_slice()).reading()? {
                let (key, row) = entry.reading()?;
                if looks == 0 {
                    // The rest waits for the next call.
                    self.head.complete = false;
                    s.done = true;
                    return Ok(());
                }
                looks -= 1;
                self.left = self.left.saturating_sub(1);
                let Some(DueKey { user, due, key: whom, .. }) = read_due_key(key.value()) else { continue };
                if (self.q.skip)(whom) {
                    continue;
                }
                let of_message = self.of_message.entry(whom.message).or_default();
                if *of_message >= self.q.limits.per_message {
                    self.head.complete = false;
                    over_full = Some(due_key(&self.q.lane.0, self.q.class, user, due, last_of(whom.message)));
                    break;
                }
                if want_left == 0 {
                    if want == 0 {
                        self.head.complete = false;
                    }
                    s.next = key.value().to_vec();
                    return Ok(());
                }
                let (attempts, expires_at) = rows::read_due(row.value())
                    .map_err(|e| bad_row(format_args!("the due index for {}/{}", whom.message, whom.index), e))?;
                *of_message += 1;
                want_left -= 1;
                self.head.tickets.push(Ticket {
                    key: whom,
                    lane: self.q.lane.clone(),
                    class: self.q.class,
                    user,
                    due,
                    attempts,
                    expires_at,
                    loaded: None,
                });
            }
            match over_full {
                // Its other recipients of that due time are passed over.
                Some(key) => {
                    s.next = key;
                    s.next.push(0);
                }
                None => {
                    s.done = true;
                    return Ok(());
                }
            }
        }
    }
}
