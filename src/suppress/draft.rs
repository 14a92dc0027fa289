//! Rows that are about to change: read from the store once, changed in RAM, written together.
//!
//! In: keys.  Out: rows as they are now, with what was changed already; in the end one list of changes.
//! Always: whoever writes a draft holds the room's turn, so that nobody changed the rows in between.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    list::readable,
    memory::Memory,
    row::{History, Row, read_history, split_key, write_history, write_row},
};
use crate::{
    clock::Timestamp,
    ids::MessageId,
    store::{MemoChange, MemoKind, StoreError},
};

/// See the file's head.
pub(super) struct Draft {
    memory: Arc<dyn Memory>,
    values: BTreeMap<(MemoKind, String), Option<Vec<u8>>>,
}

impl Draft {
    /// Nothing changed yet.
    pub fn new(memory: &Arc<dyn Memory>) -> Self {
        Draft { memory: memory.clone(), values: BTreeMap::new() }
    }

    /// A value, changed or stored.
    pub fn get(&self, kind: MemoKind, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self.values.get(&(kind, key.to_owned())) {
            Some(value) => Ok(value.clone()),
            None => self.memory.memo(kind, key),
        }
    }

    /// An address's row of the list; an empty one where there is none.
    pub fn row(&self, key: &str) -> Result<Row, StoreError> {
        let value = self.get(MemoKind::Suppressions, key)?;
        Ok(value.and_then(|value| readable(key, &value)).unwrap_or_default())
    }

    /// An address's errors; none where there are none.
    pub fn history(&self, key: &str) -> Result<History, StoreError> {
        let Some(value) = self.get(MemoKind::AddressErrors, key)? else { return Ok(History::default()) };
        Ok(read_history(&value).unwrap_or_else(|| {
            log::error!(
                "suppression address={:?} what=\"its errors cannot be read; they begin anew\"",
                split_key(key).0
            );
            History::default()
        }))
    }

    pub fn put_row(&mut self, key: &str, row: &Row) {
        let value = (!row.is_empty()).then(|| write_row(row));
        self.values.insert((MemoKind::Suppressions, key.to_owned()), value);
    }

    pub fn put_history(&mut self, key: &str, history: &History) {
        let is_empty = history.errors.is_empty() && history.lifted.is_none();
        let value = (!is_empty).then(|| write_history(history));
        self.values.insert((MemoKind::AddressErrors, key.to_owned()), value);
    }

    pub fn put(&mut self, kind: MemoKind, key: impl Into<String>, value: Vec<u8>) {
        self.values.insert((kind, key.into()), Some(value));
    }

    pub fn forget(&mut self, kind: MemoKind, key: impl Into<String>) {
        self.values.insert((kind, key.into()), None);
    }

    /// An id that no other has.
    pub fn new_id(&self, now: Timestamp) -> MessageId {
        self.memory.new_id(now)
    }

    /// Rows that change.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// The changes.
    pub fn changes(self) -> Vec<MemoChange> {
        self.values.into_iter().map(|((kind, key), value)| MemoChange { kind, key, value }).collect()
    }
}
