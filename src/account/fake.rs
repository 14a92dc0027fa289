//! A store of accounts in RAM, for tests of this room and of those that show accounts.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::store::{AccountStore, Answer};
use crate::store::{Account, AccountChange, AuditEntry, MemoChange, StoreError, Writing};

/// Accounts, sessions and the audit log in RAM; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Inner>);

#[derive(Default)]
struct Inner {
    accounts: Mutex<BTreeMap<String, Account>>,
    sessions: Mutex<BTreeMap<String, Vec<u8>>>,
    audit: Mutex<Vec<AuditEntry>>,
    broken: AtomicBool,
    writes: AtomicU64,
}

impl Shelf {
    pub fn account(&self, name: &str) -> Option<Account> {
        self.0.accounts.lock().expect("no panic before").get(name).cloned()
    }

    pub fn put(&self, account: Account) {
        self.0.accounts.lock().expect("no panic before").insert(account.name.clone(), account);
    }

    pub fn session_rows(&self) -> Vec<(String, Vec<u8>)> {
        self.0.sessions.lock().expect("no panic before").clone().into_iter().collect()
    }

    pub fn put_session(&self, key: &str, row: &[u8]) {
        self.0.sessions.lock().expect("no panic before").insert(key.to_owned(), row.to_vec());
    }

    pub fn audit(&self) -> Vec<AuditEntry> {
        self.0.audit.lock().expect("no panic before").clone()
    }

    /// Every write fails from now on, or no more.
    pub fn break_writes(&self, broken: bool) {
        self.0.broken.store(broken, Ordering::SeqCst);
    }

    /// Transactions so far.
    pub fn writes(&self) -> u64 {
        self.0.writes.load(Ordering::SeqCst)
    }

    fn begin(&self) -> Result<(), StoreError> {
        self.0.writes.fetch_add(1, Ordering::SeqCst);
        if self.0.broken.load(Ordering::SeqCst) { Err(StoreError::Failed("the disk broke".into())) } else { Ok(()) }
    }
}

impl AccountStore for Shelf {
    fn all(&self) -> Result<Vec<Account>, StoreError> {
        Ok(self.0.accounts.lock().expect("no panic before").values().cloned().collect())
    }

    fn change(&self, change: AccountChange) -> Answer<'_> {
        Box::pin(async move {
            self.begin()?;
            let mut accounts = self.0.accounts.lock().expect("no panic before");
            let is_taken = change.put.iter().any(|account| accounts.contains_key(&account.name));
            if is_taken && !change.replace || change.remove.as_ref().is_some_and(|name| !accounts.contains_key(name)) {
                return Ok(false);
            }
            if let Some(name) = change.remove {
                accounts.remove(&name);
            }
            accounts.extend(change.put.into_iter().map(|account| (account.name.clone(), account)));
            self.0.audit.lock().expect("no panic before").extend(change.audit);
            Ok(true)
        })
    }

    fn sessions(&self, after: Option<&str>, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let rows = self.session_rows().into_iter();
        Ok(rows.filter(|(key, _)| after.is_none_or(|after| key.as_str() > after)).take(limit).collect())
    }

    fn put_sessions(&self, changes: Vec<MemoChange>) -> Writing<'_> {
        Box::pin(async move {
            self.begin()?;
            let mut sessions = self.0.sessions.lock().expect("no panic before");
            for change in changes {
                match change.value {
                    Some(value) => sessions.insert(change.key, value),
                    None => sessions.remove(&change.key),
                };
            }
            Ok(())
        })
    }
}
