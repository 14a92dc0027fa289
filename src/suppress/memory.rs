//! What the room asks of the store, so that its promises can be tried on a store that fails.

use std::sync::Arc;

use super::{
    row::{Row, read_row},
    told::{self, ListChange},
};
use crate::{
    clock::{Clock, Timestamp},
    event::EventKind,
    ids::MessageId,
    store::{AuditEntry, Followed, MemoChange, MemoKind, Memos, Store, StoreError, Writing},
};

/// Memos that one write may hold, with the cursor and a margin below the store's own limit.
pub(super) const CHANGES_MAX: usize = crate::store::MEMOS_A_CALL_MAX - 100;

/// The store, as this room sees it.
pub(super) trait Memory: Memos {
    /// See [`Store::follow`].
    fn follow(&self, after: u64, kinds: &[EventKind], limit: usize) -> Result<(Vec<Followed>, u64), StoreError>;
    /// See [`Store::put_memos_as`].
    fn put(&self, changes: Vec<MemoChange>, audit: Option<AuditEntry>) -> Writing<'_>;
    /// An id that no other has.
    fn new_id(&self, now: Timestamp) -> MessageId;
}

impl Memory for Store {
    fn follow(&self, after: u64, kinds: &[EventKind], limit: usize) -> Result<(Vec<Followed>, u64), StoreError> {
        Store::follow(self, after, kinds, limit)
    }

    fn put(&self, changes: Vec<MemoChange>, audit: Option<AuditEntry>) -> Writing<'_> {
        Box::pin(self.put_memos_as(changes, audit))
    }

    fn new_id(&self, now: Timestamp) -> MessageId {
        self.ids().next(now)
    }
}

/// Who is told of changes of the list.
pub trait Tell: Send + Sync + 'static {
    /// Whether anybody listens now.
    fn wants(&self) -> bool;
    /// Held from the call of [`Tell::rows`] until its rows are written: numbers grow in the order of the commits.
    fn turn(&self) -> &smol::lock::Mutex<()>;
    /// What to write with these changes, in the same transaction, at most [`TOLD_ROWS_MAX`] rows. Their numbers are still to be
    /// given. Called with the turn.
    fn rows(&self, changes: Vec<ListChange>) -> Vec<MemoChange>;
}

/// Rows that a [`Tell`] may add to one write.
pub const TOLD_ROWS_MAX: usize = crate::store::MEMOS_A_CALL_MAX - CHANGES_MAX;

/// A store whose changes of the list are told in the transaction that makes them.
pub(super) struct Telling<M> {
    pub(super) memory: Arc<M>,
    pub(super) tell: Arc<dyn Tell>,
    pub(super) clock: Clock,
}

impl<M: Memory> Telling<M> {
    /// The same changes, and what is told of them. Blocking.
    fn told(
        memory: &M,
        tell: &dyn Tell,
        now: Timestamp,
        mut changes: Vec<MemoChange>,
    ) -> Result<Vec<MemoChange>, StoreError> {
        // A damaged row tells nothing; who reads it next says so in the log.
        let row = |value: Option<&[u8]>| value.map_or(Some(Row::default()), read_row);
        let mut told = Vec::new();
        for change in changes.iter().filter(|change| change.kind == MemoKind::Suppressions) {
            // Whoever writes holds the room's turn, so what is stored is what was before.
            let before = row(memory.memo(change.kind, &change.key)?.as_deref());
            if let (Some(before), Some(after)) = (before, row(change.value.as_deref())) {
                told.extend(told::change(&change.key, &before, &after, now));
            }
        }
        if !told.is_empty() {
            changes.extend(tell.rows(told));
        }
        Ok(changes)
    }
}

impl<M: Memory> Memos for Telling<M> {
    fn memo(&self, kind: MemoKind, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.memory.memo(kind, key)
    }

    fn memos(
        &self,
        kind: MemoKind,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.memory.memos(kind, prefix, after, limit)
    }

    fn put_memos(&self, changes: Vec<MemoChange>) -> Writing<'_> {
        self.put(changes, None)
    }
}

impl<M: Memory> Memory for Telling<M> {
    fn follow(&self, after: u64, kinds: &[EventKind], limit: usize) -> Result<(Vec<Followed>, u64), StoreError> {
        self.memory.follow(after, kinds, limit)
    }

    fn put(&self, changes: Vec<MemoChange>, audit: Option<AuditEntry>) -> Writing<'_> {
        let touched = changes.iter().any(|change| change.kind == MemoKind::Suppressions);
        if !touched || !self.tell.wants() {
            return self.memory.put(changes, audit);
        }
        Box::pin(async move {
            let (memory, tell, now) = (self.memory.clone(), self.tell.clone(), self.clock.now());
            let _turn = self.tell.turn().lock().await;
            let changes = smol::unblock(move || Self::told(&memory, &*tell, now, changes)).await?;
            self.memory.put(changes, audit).await
        })
    }

    fn new_id(&self, now: Timestamp) -> MessageId {
        self.memory.new_id(now)
    }
}
