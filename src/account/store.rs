//! What the accounts ask of the store, as a trait, so that tests need none.

use std::{future::Future, pin::Pin};

use crate::store::{Account, Store, StoreError};

/// A boxed answer of the store.
pub(super) type Answer<'a> = Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + 'a>>;

/// Where accounts are kept.
pub(super) trait AccountStore: Send + Sync {
    /// All of them.
    fn all(&self) -> Result<Vec<Account>, StoreError>;
    /// Writes one; false: the name exists and `replace` is false.
    fn put(&self, account: Account, replace: bool) -> Answer<'_>;
    /// Removes one; false: there is none.
    fn remove<'a>(&'a self, name: &'a str) -> Answer<'a>;
}

impl AccountStore for Store {
    fn all(&self) -> Result<Vec<Account>, StoreError> {
        self.accounts()
    }

    fn put(&self, account: Account, replace: bool) -> Answer<'_> {
        Box::pin(self.put_account(account, replace))
    }

    fn remove<'a>(&'a self, name: &'a str) -> Answer<'a> {
        Box::pin(self.remove_account(name))
    }
}
