//! Where what the deliverer knows is kept over a restart: the store's memos, or a test's map.

use std::{future::Future, pin::Pin};

use crate::store::{MemoChange, MemoKind, Store, StoreError};

/// A future in a box.
pub(super) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Memos.
pub(super) trait Shelf: Send + Sync + 'static {
    /// One memo. Short.
    fn get(&self, kind: MemoKind, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Some memos of a kind behind a key, in the order of their keys. Short.
    fn page(&self, kind: MemoKind, after: Option<&str>, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Writes some.
    fn put(&self, changes: Vec<MemoChange>) -> Boxed<'_, Result<(), StoreError>>;
}

impl Shelf for Store {
    fn get(&self, kind: MemoKind, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.memo(kind, key)
    }

    fn page(&self, kind: MemoKind, after: Option<&str>, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.memos(kind, "", after, limit)
    }

    fn put(&self, changes: Vec<MemoChange>) -> Boxed<'_, Result<(), StoreError>> {
        Box::pin(self.put_memos(changes))
    }
}

/// Memos of tests.
#[cfg(test)]
#[derive(Default)]
pub(super) struct RamShelf {
    rows: std::sync::Mutex<std::collections::BTreeMap<(MemoKind, String), Vec<u8>>>,
    fails: std::sync::atomic::AtomicBool,
}

#[cfg(test)]
impl RamShelf {
    pub(super) fn all(&self, kind: MemoKind) -> Vec<(String, Vec<u8>)> {
        self.page(kind, None, usize::MAX).expect("readable")
    }

    /// Writes fail from now on, or no more.
    pub(super) fn fail(&self, yes: bool) {
        self.fails.store(yes, std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(test)]
impl Shelf for RamShelf {
    fn get(&self, kind: MemoKind, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.rows.lock().expect("rows").get(&(kind, key.to_owned())).cloned())
    }

    fn page(&self, kind: MemoKind, after: Option<&str>, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let rows = self.rows.lock().expect("rows");
        let wanted = rows.iter().filter(|((k, key), _)| *k == kind && after.is_none_or(|after| key.as_str() > after));
        Ok(wanted.take(limit).map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    fn put(&self, changes: Vec<MemoChange>) -> Boxed<'_, Result<(), StoreError>> {
        Box::pin(async move {
            if self.fails.load(std::sync::atomic::Ordering::SeqCst) {
                return Err(StoreError::Closed);
            }
            let mut rows = self.rows.lock().expect("rows");
            for MemoChange { kind, key, value } in changes {
                match value {
                    Some(value) => drop(rows.insert((kind, key), value)),
                    None => drop(rows.remove(&(kind, key))),
                }
            }
            Ok(())
        })
    }
}
