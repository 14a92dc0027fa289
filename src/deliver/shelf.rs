//! Memos of tests, in RAM, whose writes can fail.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::store::{MemoChange, MemoKind, Memos, StoreError, Writing};

/// Memos of tests.
#[derive(Default)]
pub(super) struct RamShelf {
    rows: Mutex<BTreeMap<(MemoKind, String), Vec<u8>>>,
    fails: AtomicBool,
}

impl RamShelf {
    pub(super) fn all(&self, kind: MemoKind) -> Vec<(String, Vec<u8>)> {
        self.memos(kind, "", None, usize::MAX).expect("readable")
    }

    /// Writes fail from now on, or no more.
    pub(super) fn fail(&self, yes: bool) {
        self.fails.store(yes, Ordering::SeqCst);
    }
}

impl Memos for RamShelf {
    fn memo(&self, kind: MemoKind, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.rows.lock().expect("rows").get(&(kind, key.to_owned())).cloned())
    }

    fn memos(
        &self,
        kind: MemoKind,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let rows = self.rows.lock().expect("rows");
        let wanted = rows.iter().filter(|((k, key), _)| {
            *k == kind && key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
        });
        Ok(wanted.take(limit).map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    fn put_memos(&self, changes: Vec<MemoChange>) -> Writing<'_> {
        Box::pin(async move {
            if self.fails.load(Ordering::SeqCst) {
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
