//! A store in RAM and eyes that see what a test tells them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    look::{Eyes, Looking},
    memo::Shelf,
    witness::{Role, Says, Seen, Witness},
};
use crate::{
    clock::Timestamp,
    store::{AuditEntry, MemoChange, MemoKind, Memos, StoreError, Writing},
};

/// Rows in RAM.
#[derive(Clone, Default)]
pub struct RamShelf(pub Arc<Ram>);

/// What is behind it.
#[derive(Default)]
pub struct Ram {
    /// The memos of keys.
    pub rows: Mutex<BTreeMap<String, Vec<u8>>>,
    /// The operation log: act and object.
    pub audited: Mutex<Vec<String>>,
    /// Mail waits.
    pub mail_waits: AtomicBool,
    /// Writes fail.
    pub fails: AtomicBool,
}

impl RamShelf {
    /// What was audited since the last call.
    pub fn audited(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.audited.lock().expect("no panic before"))
    }
}

impl Memos for RamShelf {
    fn memo(&self, _: MemoKind, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.rows.lock().expect("no panic before").get(key).cloned())
    }
    fn memos(
        &self,
        kind: MemoKind,
        _: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        assert_eq!(kind, MemoKind::DkimKeys);
        let rows = self.0.rows.lock().expect("no panic before");
        let rows = rows.iter().filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
        Ok(rows.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
    fn put_memos(&self, changes: Vec<MemoChange>) -> Writing<'_> {
        Box::pin(async move {
            if self.0.fails.load(Ordering::SeqCst) {
                return Err(StoreError::Full);
            }
            let mut rows = self.0.rows.lock().expect("no panic before");
            for change in changes {
                match change.value {
                    Some(value) => rows.insert(change.key, value),
                    None => rows.remove(&change.key),
                };
            }
            Ok(())
        })
    }
}

impl Shelf for RamShelf {
    fn audit(&self, entry: AuditEntry) -> Writing<'_> {
        Box::pin(async move {
            let line = format!("{} {}", entry.act, entry.object);
            self.0.audited.lock().expect("no panic before").push(line);
            Ok(())
        })
    }
    fn mail_waits(&self, _: Timestamp) -> Result<bool, StoreError> {
        Ok(self.0.mail_waits.load(Ordering::SeqCst))
    }
}

/// Eyes that see what they are told, name by name; of other names, that nothing is there.
#[derive(Clone, Default)]
pub struct Script(Arc<Mutex<Scripted>>);

#[derive(Default)]
struct Scripted {
    says: BTreeMap<String, Says>,
    looks: Vec<String>,
}

impl Script {
    /// Everybody says this of a name from now on.
    pub fn set(&self, name: &str, says: Says) {
        self.0.lock().expect("no panic before").says.insert(name.to_owned(), says);
    }

    /// The names that were looked at since the last call.
    pub fn looks(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no panic before").looks)
    }
}

impl Eyes for Script {
    fn look<'a>(&'a self, name: &'a str, expected: &'a str, resolvers: &'a [SocketAddr]) -> Looking<'a> {
        assert!(expected.starts_with("v=DKIM1; k="));
        Box::pin(async move {
            let mut scripted = self.0.lock().expect("no panic before");
            scripted.looks.push(name.to_owned());
            let says = scripted.says.get(name).cloned().unwrap_or(Says::Absent);
            let witness = |role, server: String| Witness {
                role,
                server,
                address: None,
                says: says.clone(),
                ttl: Duration::from_secs(300),
            };
            let mut witnesses = vec![witness(Role::Own, "ns1.example.jp".into())];
            if says == Says::Right {
                witnesses.extend(resolvers.iter().map(|r| witness(Role::Resolver, r.to_string())));
            }
            Seen { witnesses, negative_ttl: Some(Duration::from_secs(900)), trouble: None }
        })
    }
}
