//! What the accounts ask of the store, as a trait, so that tests need none.

use std::{future::Future, pin::Pin};

use crate::store::{Account, AccountChange, MemoChange, MemoKind, Store, StoreError, Writing};

/// A boxed answer of the store.
pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + 'a>>;

/// Where accounts and the console's sessions are kept.
pub(crate) trait AccountStore: Send + Sync {
    /// All accounts.
    fn all(&self) -> Result<Vec<Account>, StoreError>;
    /// See [`Store::change_accounts`].
    fn change(&self, change: AccountChange) -> Answer<'_>;
    /// Sessions behind a key, in the order of their keys.
    fn sessions(&self, after: Option<&str>, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StoreError>;
    /// Writes sessions, all or none.
    fn put_sessions(&self, changes: Vec<MemoChange>) -> Writing<'_>;
}

impl AccountStore for Store {
    fn all(&self) -> Result<Vec<Account>, StoreError> {
        self.accounts()
    }

    fn change(&self, change: AccountChange) -> Answer<'_> {
        Box::pin(self.change_accounts(change))
    }

    fn sessions(&self, after: Option<&str>, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.memos(MemoKind::Sessions, "", after, limit)
    }

    fn put_sessions(&self, changes: Vec<MemoChange>) -> Writing<'_> {
        Box::pin(self.put_memos(changes))
    }
}
