//! What the room asks of the store, so that its promises can be tried on a store that fails.

use std::{future::Future, pin::Pin};

use crate::{
    clock::Timestamp,
    event::EventKind,
    ids::MessageId,
    store::{AuditEntry, Followed, MemoChange, MemoKind, Store, StoreError},
};

/// Memos that one write may hold, with the cursor and a margin below the store's own limit.
pub(super) const CHANGES_MAX: usize = crate::store::MEMOS_A_CALL_MAX - 100;

/// A write under way.
pub(super) type Writing<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

/// The store, as this room sees it.
pub(super) trait Memory: Send + Sync {
    /// See [`Store::memo`].
    fn memo(&self, kind: MemoKind, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// See [`Store::memos`].
    fn memos(
        &self,
        kind: MemoKind,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError>;
    /// See [`Store::follow`].
    fn follow(&self, after: u64, kinds: &[EventKind], limit: usize) -> Result<(Vec<Followed>, u64), StoreError>;
    /// See [`Store::put_memos_as`].
    fn put(&self, changes: Vec<MemoChange>, audit: Option<AuditEntry>) -> Writing<'_>;
    /// An id that no other has.
    fn new_id(&self, now: Timestamp) -> MessageId;
}

impl Memory for Store {
    fn memo(&self, kind: MemoKind, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Store::memo(self, kind, key)
    }

    fn memos(
        &self,
        kind: MemoKind,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        Store::memos(self, kind, prefix, after, limit)
    }

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
