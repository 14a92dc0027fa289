//! A store of memos in RAM, for tests of this room and of those that show its reports.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use crate::store::{MemoChange, MemoKind, Memos, StoreError, Writing};

/// Memos in RAM.
#[derive(Clone, Default)]
pub(crate) struct RamMemos(pub Arc<Mutex<Rows>>);

pub(crate) type Rows = BTreeMap<(MemoKind, String), Vec<u8>>;

impl RamMemos {
    pub fn keys(&self, kind: MemoKind) -> Vec<String> {
        let all = self.0.lock().expect("no panic before");
        all.keys().filter(|(k, _)| *k == kind).map(|(_, key)| key.clone()).collect()
    }
    pub fn set(&self, kind: MemoKind, key: &str, value: impl Into<Vec<u8>>) {
        self.0.lock().expect("no panic before").insert((kind, key.to_owned()), value.into());
    }
}

impl Memos for RamMemos {
    fn memo(&self, kind: MemoKind, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().expect("no panic before").get(&(kind, key.to_owned())).cloned())
    }
    fn memos(
        &self,
        kind: MemoKind,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let all = self.0.lock().expect("no panic before");
        let of_kind = all.iter().filter(|((k, key), _)| {
            *k == kind && key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
        });
        Ok(of_kind.take(limit).map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }
    fn put_memos(&self, changes: Vec<MemoChange>) -> Writing<'_> {
        Box::pin(async move {
            let mut all = self.0.lock().expect("no panic before");
            for change in changes {
                match change.value {
                    Some(value) => all.insert((change.kind, change.key), value),
                    None => all.remove(&(change.kind, change.key)),
                };
            }
            Ok(())
        })
    }
}
