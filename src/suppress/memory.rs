//! What the room asks of the store, so that its promises can be tried on a store that fails.

use crate::{
    clock::Timestamp,
    event::EventKind,
    ids::MessageId,
    store::{AuditEntry, Followed, MemoChange, Memos, Store, StoreError, Writing},
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
