//! Senders that went out with their local part kept: what comes back to them is taken, everything else at a return domain is not.
//!
//! In: senders that go out, with the day; addresses at which something comes in.  Out: whether one is known.
//! Always: a sender is on disk before its first mail of a day can leave, and is not forgotten between; it costs one write a day
//! at most, and RAM for some thousand senders only; addresses are compared in lower case, because servers fold them.
//! Sources: PRODUCT.md P7; cmc.md §12.3.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use smol::lock::RwLock;

use crate::{
    smtp::address::Mailbox,
    store::{MEMOS_A_CALL_MAX, MemoChange, MemoKind, Store, StoreError},
};

/// Senders of the day that are kept in RAM: some megabytes at worst. One more empties it, and costs a read each again.
const SEEN_MAX: usize = 20_000;

/// The senders of the day; clones share them.
#[derive(Clone, Debug, Default)]
pub struct ReturnPaths(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    today: Mutex<Seen>,
    /// Many note senders at a time; who forgets some is alone, so that none is forgotten that was just noted.
    notes: RwLock<()>,
}

#[derive(Debug, Default)]
struct Seen {
    day: u32,
    keys: HashSet<Box<str>>,
}

impl ReturnPaths {
    /// Notes that mail goes out under this sender on this day ([`crate::clock::Timestamp::day`]); when it returns, that is on
    /// disk. Nearly always short; it waits for a commit once a day and sender.
    ///
    /// # Errors
    /// The store's; then nothing may go out under it.
    pub async fn remember(&self, store: &Store, sender: &Mailbox, day: u32) -> Result<(), StoreError> {
        let key = key(sender);
        if self.seen(&key, day) {
            return Ok(());
        }
        let _noting = self.0.notes.read().await;
        if last_use(store, &key)? != Some(day) {
            let value = Some(day.to_string().into_bytes());
            store.put_memos(vec![MemoChange { kind: MemoKind::ReturnPaths, key: key.clone(), value }]).await?;
        }
        self.see(key, day);
        Ok(())
    }

    /// Forgets senders that were last used before this day, in bounded steps; answers how many.
    ///
    /// # Errors
    /// The store's; steps done before it are done.
    pub async fn forget(&self, store: &Store, before: u32) -> Result<usize, StoreError> {
        let (mut forgotten, mut after) = (0, None::<String>);
        loop {
            let _alone = self.0.notes.write().await;
            let (reader, behind) = (store.clone(), after.take());
            let page = move || reader.memos(MemoKind::ReturnPaths, "", behind.as_deref(), MEMOS_A_CALL_MAX);
            let rows = smol::unblock(page).await?;
            let Some((last, _)) = rows.last() else { return Ok(forgotten) };
            after = Some(last.clone());
            let old = rows.into_iter().filter(|(_, value)| day_of(value).is_none_or(|day| day < before));
            let changes: Vec<MemoChange> =
                old.map(|(key, _)| MemoChange { kind: MemoKind::ReturnPaths, key, value: None }).collect();
            forgotten += changes.len();
            store.put_memos(changes).await?;
        }
    }

    fn seen(&self, key: &str, day: u32) -> bool {
        let seen = self.0.today.lock().unwrap_or_else(PoisonError::into_inner);
        seen.day == day && seen.keys.contains(key)
    }

    fn see(&self, key: String, day: u32) {
        let mut seen = self.0.today.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.day != day || seen.keys.len() >= SEEN_MAX {
            seen.day = day;
            seen.keys.clear();
        }
        seen.keys.insert(key.into());
    }
}

/// Mail went out under this sender, not longer ago than things are kept. Short.
///
/// # Errors
/// The store's.
pub fn is_known_return_path(store: &Store, address: &Mailbox) -> Result<bool, StoreError> {
    Ok(last_use(store, &key(address))?.is_some())
}

fn last_use(store: &Store, key: &str) -> Result<Option<u32>, StoreError> {
    Ok(store.memo(MemoKind::ReturnPaths, key)?.as_deref().and_then(day_of))
}

fn day_of(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn key(address: &Mailbox) -> String {
    address.as_str().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What they do with a store is tested beside the keys.
    #[test]
    fn the_senders_in_ram_are_bounded() {
        let paths = ReturnPaths::default();
        for n in 0..3 * SEEN_MAX {
            paths.see(format!("u{n}@return.example"), 1);
        }
        assert!(paths.0.today.lock().unwrap().keys.len() <= SEEN_MAX);
        assert!(paths.seen(&format!("u{}@return.example", 3 * SEEN_MAX - 1), 1));
        assert!(!paths.seen(&format!("u{}@return.example", 3 * SEEN_MAX - 1), 2));
    }
}
