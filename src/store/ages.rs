//! How old the oldest mail of each class is, without looking at the queue.
//!
//! In: recipients that begin and cease to wait.  Out: for each class, since when the oldest waits.
//! Always: one row for each class and second in which something that still waits was accepted, holding how many recipients
//! that are and the earliest moment of them; written once a transaction, however many recipients it touches. Held recipients
//! are not counted. Mail that was scheduled for later (RFC 4865) counts from its release, so that it is not old on the
//! morning that it goes out. Exact, but for mail accepted within the same second: there the age may stay up to one second
//! too high while the rest of that second's mail waits.

use std::collections::{HashMap, hash_map::Entry};

use redb::{Database, ReadableDatabase, ReadableTable, Table};

use super::{
    batch::is_held,
    fault::{Fatal, Reading, bad_row},
    rows,
    tables::{AGES, AgeKey},
    types::StoreError,
};
use crate::{
    clock::Timestamp,
    event::{Class, WaitReason},
};

/// The changes of a transaction, by bucket.
#[derive(Default)]
pub(super) struct Ages(HashMap<(Class, u64), Bucket>);

#[derive(Default)]
struct Bucket {
    added: u64,
    removed: u64,
    first: Option<u64>,
}

/// The key of a bucket.
pub(super) fn age_key(class: Class, second: u64) -> AgeKey {
    let mut key = [0; 9];
    key[0] = class as u8;
    key[1..].copy_from_slice(&second.to_be_bytes());
    key
}

/// Counts for the age: it waits, and for nobody's leave.
pub(super) fn counts(wait: WaitReason) -> bool {
    !is_held(wait)
}

impl Ages {
    /// A recipient's state changes; `since` is its message's.
    pub(super) fn change(
        &mut self,
        class: Class,
        since: Timestamp,
        before: Option<WaitReason>,
        after: Option<WaitReason>,
    ) {
        let (was, is) = (before.is_some_and(counts), after.is_some_and(counts));
        if was == is {
            return;
        }
        let bucket = self.0.entry((class, since.as_seconds())).or_default();
        if is {
            bucket.added += 1;
            bucket.first = Some(bucket.first.map_or(since.as_millis(), |first| first.min(since.as_millis())));
        } else {
            bucket.removed += 1;
        }
    }

    /// Writes what changed.
    pub(super) fn finish(self, table: &mut Table<'_, &'static AgeKey, &'static [u8]>) -> Result<(), StoreError> {
        for ((class, second), bucket) in self.0 {
            let key = age_key(class, second);
            let old = match table.get(&key).fatal()? {
                Some(row) => Some(read(class, second, row.value())?),
                None => None,
            };
            let (count, first) = old.unwrap_or((0, u64::MAX));
            let left = (count + bucket.added).saturating_sub(bucket.removed);
            if left > 0 {
                let first = bucket.first.map_or(first, |added| added.min(first)).min(second.saturating_mul(1000) + 999);
                let row = rows::write_numbers(&[left, first]);
                if old != Some((left, first)) {
                    table.insert(&key, row.as_slice()).fatal()?;
                }
            } else if old.is_some() {
                table.remove(&key).fatal()?;
            }
        }
        Ok(())
    }
}

fn read(class: Class, second: u64, row: &[u8]) -> Result<(u64, u64), StoreError> {
    let [count, first] =
        rows::read_numbers(row).map_err(|e| bad_row(format_args!("ages {} {second}", class.word()), e))?;
    Ok((count, first))
}

/// Since when the oldest of each class waits.
pub(super) fn oldest(db: &Database, now: Timestamp) -> Result<[Option<Timestamp>; 3], StoreError> {
    let txn = db.begin_read().reading()?;
    let table = txn.open_table(AGES).reading()?;
    let mut out = [None; 3];
    for class in Class::ALL {
        let (start, end) = (age_key(class, 0), age_key(class, u64::MAX));
        if let Some(first) = table.range::<&AgeKey>(&start..=&end).reading()?.next() {
            let (_, row) = first.reading()?;
            let (_, since) = read(class, 0, row.value())?;
            // What is scheduled for later stands behind everything that waits.
            out[class as usize] = Some(Timestamp::from_millis(since)).filter(|since| *since <= now);
        }
    }
    Ok(out)
}

/// A recount, for `verify`.
#[derive(Default)]
pub(super) struct Recount(HashMap<(Class, u64), (u64, u64)>);

impl Recount {
    /// A recipient that waits.
    pub(super) fn add(&mut self, class: Class, since: Timestamp, wait: WaitReason) {
        if counts(wait) {
            match self.0.entry((class, since.as_seconds())) {
                Entry::Occupied(mut known) => {
                    let (count, first) = known.get_mut();
                    *count += 1;
                    *first = (*first).min(since.as_millis());
                }
                Entry::Vacant(place) => {
                    place.insert((1, since.as_millis()));
                }
            }
        }
    }

    /// Lines of damage: where the table says something else.
    pub(super) fn compare(
        mut self,
        table: &impl ReadableTable<&'static AgeKey, &'static [u8]>,
    ) -> Result<Vec<String>, StoreError> {
        let mut damage = Vec::new();
        for entry in table.iter().reading()? {
            let (key, row) = entry.reading()?;
            let [class, second @ ..] = *key.value();
            let second = u64::from_be_bytes(second);
            let Some(class) = Class::ALL.get(usize::from(class)).copied() else {
                damage.push(format!("ages: a class {class} that is none"));
                continue;
            };
            let counted = self.0.remove(&(class, second));
            let stored = read(class, second, row.value()).ok();
            let agree = matches!((stored, counted), (Some((n, at)), Some((count, first)))
                if n == count && at <= first && at / 1000 == second);
            if !agree {
                let word = class.word();
                damage.push(format!("ages: {word} mail of second {second}: says {stored:?}, but {counted:?}"));
            }
        }
        for ((class, second), (count, _)) in self.0 {
            damage.push(format!("ages: {} mail of second {second}: {count} wait, but it has no row", class.word()));
        }
        Ok(damage)
    }
}
