//! Idempotency-Key: a call that is repeated within 24 hours is answered, not done again.
//!
//! In: a user, its key, what the call says.  Out: the stored answer, or a claim to do the call.
//! Always: the answer is stored in the transaction of its message, so that after a crash there are both or neither; of a bulk call
//! each message has its own mark, so that a repetition sends the rest and nothing twice; the same key with another call is
//! refused; two calls with one key are never done at once; keys are bounded by user and forgotten after a day.
//! Sources: draft-ietf-httpapi-idempotency-key-header.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    http::api::{
        ask::Ask,
        fault::{Fault, Why},
    },
    ids::hex,
    store::{MEMOS_A_CALL_MAX, MemoChange, MemoKind, Store, StoreError},
};

/// How long an answer is kept for repetitions.
pub const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// Memos are filed by the quarter of a day in which they were written, so that the oldest are found first.
const SLOT: Duration = Duration::from_secs(6 * 3600);
/// Keys of one user within [`KEPT_FOR`], as far as this process knows: some 300 octets each on disk.
const KEYS_PER_USER_MAX: u64 = 1_000_000;
/// Characters of a key at most.
const KEY_LEN_MAX: usize = 255;

/// The keys; clones share what is under way.
#[derive(Clone)]
pub struct Keys {
    store: Store,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    under_way: Mutex<HashSet<String>>,
    used: Mutex<HashMap<String, BTreeMap<u64, u64>>>,
}

/// What was answered to a call, as far as it is to be answered again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    /// When, milliseconds.
    pub at: u64,
    /// What the call said.
    print: String,
    /// The Message-IDs, in order.
    pub ids: Vec<String>,
}

/// What to do with a call.
pub(super) enum Begun {
    /// It was done: this is its answer.
    Done(Answer),
    /// It is to be done, as far as it was not.
    Go(Claim),
}

/// The right to do a call; dropped, another call may use the key.
pub(super) struct Claim {
    shared: Arc<Shared>,
    name: String,
    slot: u64,
    print: String,
    user: String,
    /// Of a bulk call that was cut: the Message-IDs of what was accepted, by place.
    pub accepted: BTreeMap<usize, String>,
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a call says, whatever the way in which it is written: the key of the user and the way of the answer count for nothing.
pub(super) fn print_of(ask: &Ask<'_>, action: &str) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut add = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    add(action.as_bytes());
    for (name, value) in ask.values().filter(|(name, _)| *name != "api_key") {
        add(name.as_bytes());
        add(value.to_string().as_bytes());
    }
    for file in ask.files() {
        for part in [file.field.as_bytes(), file.name.as_bytes(), file.content_type.as_bytes(), file.bytes] {
            add(part);
        }
    }
    hex(hash.finish().as_ref())
}

fn memo_key(slot: u64, name: &str) -> String {
    format!("{slot:08}/{name}")
}

impl Keys {
    /// Over this store.
    pub fn new(store: Store) -> Self {
        Keys { store, shared: Arc::default() }
    }

    /// Begins a call with a key. Blocking, short.
    pub(super) fn begin(&self, user: &str, key: &str, print: String, now: Timestamp) -> Result<Begun, Fault> {
        if key.is_empty() || key.len() > KEY_LEN_MAX || !key.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            return Err(Why::BadKey.of("Idempotency-Key"));
        }
        let name = format!("{user}/{}", hex(digest::digest(&digest::SHA256, key.as_bytes()).as_ref()));
        if !lock(&self.shared.under_way).insert(name.clone()) {
            return Err(Why::KeyInUse.of("Idempotency-Key"));
        }
        let slot = slot_of(now);
        let mut claim =
            Claim { shared: self.shared.clone(), name, slot, print, user: user.to_owned(), accepted: BTreeMap::new() };
        let broken = |error: StoreError| {
            log::error!("act=idempotency error=\"{error}\"");
            Why::System.fault()
        };
        for slot in (slot.saturating_sub(KEPT_FOR.as_secs() / SLOT.as_secs())..=slot).rev() {
            let key = memo_key(slot, &claim.name);
            if let Some(row) = self.store.memo(MemoKind::Idempotency, &key).map_err(broken)? {
                match live(&row, now) {
                    Some(answer) if answer.print == claim.print => return Ok(Begun::Done(answer)),
                    Some(_) => return Err(Why::KeyReused.of("Idempotency-Key")),
                    None => {}
                }
            }
            let marks =
                self.store.memos(MemoKind::Idempotency, &format!("{key}/"), None, MEMOS_A_CALL_MAX).map_err(broken)?;
            for (place, answer) in marks.iter().filter_map(|(key, row)| Some((place_of(key)?, live(row, now)?))) {
                if answer.print != claim.print {
                    return Err(Why::KeyReused.of("Idempotency-Key"));
                }
                claim.accepted.extend(answer.ids.into_iter().next().map(|id| (place, id)));
                claim.slot = slot;
            }
            if !claim.accepted.is_empty() {
                break;
            }
        }
        self.count(&claim.user, slot)?;
        Ok(Begun::Go(claim))
    }

    /// Counts a key of a user.
    fn count(&self, user: &str, slot: u64) -> Result<(), Fault> {
        let mut used = lock(&self.shared.used);
        let slots = used.entry(user.to_owned()).or_default();
        slots.retain(|of, _| *of + KEPT_FOR.as_secs() / SLOT.as_secs() >= slot);
        if slots.values().sum::<u64>() >= KEYS_PER_USER_MAX {
            let max = usize::try_from(KEYS_PER_USER_MAX).unwrap_or(usize::MAX);
            return Err(Why::KeysFull { max, after: SLOT }.of("Idempotency-Key"));
        }
        *slots.entry(slot).or_default() += 1;
        Ok(())
    }

    /// Stores the answer of a bulk call whose messages are all accepted, and forgets their marks.
    pub(super) async fn finish(&self, claim: &Claim, answer: Vec<String>, now: Timestamp) -> Result<(), StoreError> {
        let places = answer.len();
        self.store.put_memos(vec![claim.memo(answer, now)]).await?;
        let marks: Vec<MemoChange> = (0..places).map(|place| claim.forgotten(place)).collect();
        for some in marks.chunks(MEMOS_A_CALL_MAX) {
            self.store.put_memos(some.to_vec()).await?;
        }
        Ok(())
    }

    /// Forgets what is past its time, oldest first; answers how many memos went.
    ///
    /// # Errors
    /// The store's.
    pub async fn prune(&self, now: Timestamp) -> Result<u64, StoreError> {
        let oldest = slot_of(now.minus(KEPT_FOR));
        let (mut gone, mut more) = (0, true);
        while more {
            let store = self.store.clone();
            let page = smol::unblock(move || store.memos(MemoKind::Idempotency, "", None, MEMOS_A_CALL_MAX)).await?;
            let old: Vec<MemoChange> = page
                .iter()
                .take_while(|(key, _)| {
                    key.split('/').next().and_then(|slot| slot.parse::<u64>().ok()).is_none_or(|s| s < oldest)
                })
                .map(|(key, _)| MemoChange { kind: MemoKind::Idempotency, key: key.clone(), value: None })
                .collect();
            // A page that is not full, or that ends in what is kept, was the last.
            more = old.len() == MEMOS_A_CALL_MAX;
            gone += old.len() as u64;
            if !old.is_empty() {
                self.store.put_memos(old).await?;
            }
        }
        Ok(gone)
    }
}

fn slot_of(at: Timestamp) -> u64 {
    at.as_seconds() / SLOT.as_secs()
}

/// A stored answer that still counts.
fn live(row: &[u8], now: Timestamp) -> Option<Answer> {
    let answer: Answer = serde_json::from_slice(row).ok()?;
    (now.since(Timestamp::from_millis(answer.at)) < KEPT_FOR).then_some(answer)
}

fn place_of(key: &str) -> Option<usize> {
    key.rsplit('/').next()?.parse().ok()
}

impl Claim {
    fn change(&self, key: String, ids: Vec<String>, now: Timestamp) -> MemoChange {
        let answer = Answer { at: now.as_millis(), print: self.print.clone(), ids };
        let value = serde_json::to_vec(&answer).expect("strings and numbers can be written as JSON");
        MemoChange { kind: MemoKind::Idempotency, key, value: Some(value) }
    }

    /// The answer, to be written with the message.
    pub fn memo(&self, ids: Vec<String>, now: Timestamp) -> MemoChange {
        self.change(memo_key(self.slot, &self.name), ids, now)
    }

    /// The mark of one message of a bulk call, to be written with it.
    pub fn mark(&self, place: usize, id: String, now: Timestamp) -> MemoChange {
        self.change(self.mark_key(place), vec![id], now)
    }

    fn forgotten(&self, place: usize) -> MemoChange {
        MemoChange { kind: MemoKind::Idempotency, key: self.mark_key(place), value: None }
    }

    fn mark_key(&self, place: usize) -> String {
        format!("{}/{place:04}", memo_key(self.slot, &self.name))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.shared.under_way).remove(&self.name);
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
