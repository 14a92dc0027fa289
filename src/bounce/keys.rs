//! The keys of our return addresses and unsubscribe links: one an epoch, made, kept and forgotten in time.
//!
//! In: the store's memos, the clock.  Out: a [`KeyRing`], which mints tokens, opens them, and derives keys for other purposes.
//! Always: a key is on disk before anything made with it can leave; it is kept for as long as something made with it may come
//! back; two epochs that are alive never share a number, and keys of different purposes say nothing about each other; nothing
//! here prints a key.
//! Sources: algorithms F7; RFC 2104.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use smol::{Timer, future::FutureExt};

use super::{
    return_paths::ReturnPaths,
    verp::{self, Token, TokenKey},
};
use crate::{
    clock::{Clock, Timestamp},
    config::{Config, InForce},
    event::Class,
    ids::RecipientKey,
    runtime::{Runtime, Shutdown, Stage},
    secret::Secret,
    store::{MemoChange, MemoKind, Store, StoreError},
};

/// How long a key makes new tokens: what somebody could learn from one is worth something for a season at most.
pub const EPOCH_LENGTH: Duration = Duration::from_secs(90 * 86_400);
/// How long after the last moment that a bounce could count its key is kept: peers have queues of their own.
pub const KEEP_MARGIN: Duration = Duration::from_secs(7 * 86_400);
/// How long keys are kept at least: links of old mails, by which their recipients leave a list, are to work for a year and more.
/// Return addresses are judged by [`keep_for`] all the same.
pub const LINKS_WORK_FOR: Duration = Duration::from_secs(400 * 86_400);
/// Epochs at most: their numbers are octets.
const EPOCHS_MAX: usize = 256;
/// Octets of a key.
const KEY_OCTETS: usize = 32;
/// How often the ring is looked at.
const TEND_EVERY: Duration = Duration::from_secs(3600);
/// What the keys of return addresses are derived for.
const RETURN_ADDRESS: &str = "return address";

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The store's.
    #[error("the keys of return addresses: {0}")]
    Store(#[from] StoreError),
    /// The system gives no random bytes.
    #[error("a key for return addresses: the system gives no random bytes")]
    Random,
}

/// Why a local part is no return address that counts. The peer hears the same for all of them; the log tells them apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotOpened {
    /// It has not the form of a token.
    NotAToken,
    /// It has, and no key of ours made it.
    Forged,
    /// It was ours, and its mail is forgotten.
    Expired,
}

impl NotOpened {
    /// The word in logs.
    pub fn word(self) -> &'static str {
        match self {
            NotOpened::NotAToken => "no token",
            NotOpened::Forged => "forged",
            NotOpened::Expired => "expired",
        }
    }
}

/// How long after its acceptance a mail may have something come back that counts: the longest hold and lifetime, then the log
/// that the bounce would be written into, and [`KEEP_MARGIN`].
pub fn keep_for(config: &Config) -> Duration {
    let lifetime = Class::ALL.into_iter().map(|class| config.queue.lifetime_of(class)).max().unwrap_or_default();
    let log = config.retention.delivery_log.max(config.retention.error_log);
    config.queue.future_release_max + lifetime + log + KEEP_MARGIN
}

/// The keys of all epochs, and beside them the senders that need no key; clones share them.
#[derive(Clone)]
pub struct KeyRing(Arc<Shared>);

struct Shared {
    epochs: RwLock<Arc<Epochs>>,
    paths: ReturnPaths,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing(hidden)")
    }
}

/// What the keys need of the daemon.
pub struct Parts {
    /// Where they are looked after.
    pub runtime: Runtime,
    /// Where they are kept.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// The daemon's stop.
    pub shutdown: Shutdown,
    /// How long things are kept.
    pub config: InForce,
}

/// Reads the keys, makes the first one, and looks after them from now on. When it returns, the newest is on disk.
///
/// # Errors
/// The store's; or there are no random bytes.
pub async fn start(parts: Parts) -> Result<KeyRing, KeysError> {
    let ring = KeyRing::open_in(&parts.store, parts.clock.now()).await?;
    let tended = ring.clone();
    parts.runtime.clone().spawn("return keys", async move {
        let mut forgot_on = None;
        while parts.shutdown.stage() == Stage::Running {
            let (now, keep) = (parts.clock.now(), keep_for(&parts.config.get()));
            if let Err(error) = tended.tend(&parts.store, now, keep.max(LINKS_WORK_FOR)).await {
                log::error!("act=keys error=\"{error}\"");
            }
            if forgot_on != Some(now.day()) {
                forgot_on = Some(now.day());
                if let Err(error) = tended.return_paths().forget(&parts.store, now.minus(keep).day()).await {
                    log::error!("act=return-paths error=\"{error}\"");
                }
            }
            let pause = async {
                Timer::after(TEND_EVERY).await;
            };
            pause.or(parts.shutdown.drained()).await;
        }
    });
    Ok(ring)
}

impl KeyRing {
    /// Reads the keys of a store, and makes the first one.
    ///
    /// # Errors
    /// As for [`start`].
    pub async fn open_in(store: &Store, now: Timestamp) -> Result<Self, KeysError> {
        let mut epochs = Epochs::default();
        for (key, value) in store.memos(MemoKind::ReturnKeys, "", None, EPOCHS_MAX)? {
            let Ok(number) = key.parse::<u8>() else { continue };
            match Epoch::read(number, &value) {
                Some(epoch) => epochs.alive.push(epoch),
                None => {
                    log::error!(
                        "act=keys epoch={number} error=\"its key cannot be read: what it made is taken for forged\""
                    );
                    epochs.damaged.push(number);
                }
            }
        }
        epochs.alive.sort_by_key(|epoch| epoch.since);
        let ring = KeyRing::of(epochs);
        if ring.epochs().alive.is_empty() {
            ring.change(store, Plan { forget: Vec::new(), make: ring.epochs().free_number() }, now).await?;
        }
        Ok(ring)
    }

    /// A ring of one key that is kept nowhere, for tests and measurements.
    #[doc(hidden)]
    pub fn fixed(octets: [u8; KEY_OCTETS]) -> Self {
        let epoch = Epoch::new(0, Timestamp::ZERO, octets);
        KeyRing::of(Epochs { alive: vec![epoch], damaged: Vec::new() })
    }

    fn of(epochs: Epochs) -> Self {
        KeyRing(Arc::new(Shared { epochs: RwLock::new(Arc::new(epochs)), paths: ReturnPaths::default() }))
    }

    /// The senders that went out with their local part kept.
    pub fn return_paths(&self) -> &ReturnPaths {
        &self.0.paths
    }

    /// Makes the next key when the newest has served its time, and forgets those that nothing can come back to: what was made
    /// with a key that another followed `keep` ago.
    ///
    /// # Errors
    /// As for [`start`]; then nothing changed.
    pub async fn tend(&self, store: &Store, now: Timestamp, keep: Duration) -> Result<(), KeysError> {
        let plan = self.epochs().plan(now, keep);
        if plan.forget.is_empty() && plan.make.is_none() {
            return Ok(());
        }
        self.change(store, plan, now).await
    }

    async fn change(&self, store: &Store, plan: Plan, now: Timestamp) -> Result<(), KeysError> {
        let mut epochs = Epochs::clone(&self.epochs());
        let mut changes: Vec<MemoChange> = plan.forget.iter().map(|number| memo(*number, None)).collect();
        epochs.alive.retain(|epoch| !plan.forget.contains(&epoch.number));
        if let Some(number) = plan.make {
            let mut octets = [0; KEY_OCTETS];
            aws_lc_rs::rand::fill(&mut octets).map_err(|_| KeysError::Random)?;
            // The order of the keys is that of their times, whatever the clock does.
            let after =
                epochs.alive.last().map_or(Timestamp::ZERO, |newest| newest.since.plus(Duration::from_millis(1)));
            let epoch = Epoch::new(number, now.max(after), octets);
            changes.push(memo(number, Some(epoch.row())));
            epochs.alive.push(epoch);
        }
        store.put_memos(changes).await?;
        for number in plan.forget {
            log::info!("act=keys epoch={number} what=\"forgotten: nothing of its time can come back\"");
        }
        if let Some(number) = plan.make {
            log::info!("act=keys epoch={number} what=\"a new key for return addresses\"");
        }
        *self.0.epochs.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(epochs);
        Ok(())
    }

    /// The epoch whose key makes what is new. Short.
    pub fn newest(&self) -> u8 {
        self.epochs().newest().map_or(0, |epoch| epoch.number)
    }

    /// The local part of a recipient's return address, in this epoch; in the newest where this one is forgotten, which happens
    /// only to mail that an operator held for longer than the log is kept. Short.
    pub fn mint(&self, epoch: u8, of: RecipientKey) -> Option<String> {
        let epochs = self.epochs();
        let epoch = epochs.of(epoch).or(epochs.newest())?;
        Some(verp::mint(&epoch.token, epoch.number, of))
    }

    /// Whom a return address is about. `keep`: see [`keep_for`]. Short.
    ///
    /// # Errors
    /// Why it does not count; a peer hears 550 5.1.1 for all of them.
    pub fn open(&self, local: &str, now: Timestamp, keep: Duration) -> Result<RecipientKey, NotOpened> {
        let token = Token::read(local).ok_or(NotOpened::NotAToken)?;
        let epochs = self.epochs();
        let of = epochs.of(token.epoch()).and_then(|epoch| token.open(&epoch.token)).ok_or(NotOpened::Forged)?;
        if of.message.time().plus(keep) < now { Err(NotOpened::Expired) } else { Ok(of) }
    }

    /// A key for another purpose, of this epoch; `None` when it is forgotten. Whoever has it learns nothing about others.
    pub fn derive(&self, epoch: u8, purpose: &str) -> Option<[u8; KEY_OCTETS]> {
        Some(derive(self.epochs().of(epoch)?.root.reveal(), purpose))
    }

    fn epochs(&self) -> Arc<Epochs> {
        // A swap is one assignment: a panic elsewhere cannot leave half a ring.
        self.0.epochs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An epoch and its keys.
#[derive(Clone)]
struct Epoch {
    number: u8,
    since: Timestamp,
    root: Secret<[u8; KEY_OCTETS]>,
    token: TokenKey,
}

/// An epoch in its memo.
#[derive(Serialize, Deserialize)]
struct Row {
    /// Milliseconds since 1970.
    since: u64,
    /// In base64.
    key: String,
}

impl Epoch {
    fn new(number: u8, since: Timestamp, root: [u8; KEY_OCTETS]) -> Self {
        Epoch { number, since, token: TokenKey::new(&derive(&root, RETURN_ADDRESS)), root: Secret::new(root) }
    }

    fn read(number: u8, value: &[u8]) -> Option<Self> {
        let row: Row = serde_json::from_slice(value).ok()?;
        let root: [u8; KEY_OCTETS] = BASE64.decode(row.key).ok()?.try_into().ok()?;
        Some(Epoch::new(number, Timestamp::from_millis(row.since), root))
    }

    fn row(&self) -> Vec<u8> {
        let row = Row { since: self.since.as_millis(), key: BASE64.encode(self.root.reveal()) };
        serde_json::to_vec(&row).expect("a number and a text are JSON")
    }
}

fn memo(number: u8, value: Option<Vec<u8>>) -> MemoChange {
    MemoChange { kind: MemoKind::ReturnKeys, key: format!("{number:03}"), value }
}

/// HMAC-SHA256 with the epoch's key, of the purpose's name: as good as keys drawn one by one.
fn derive(root: &[u8; KEY_OCTETS], purpose: &str) -> [u8; KEY_OCTETS] {
    let mut out = [0; KEY_OCTETS];
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, root), purpose.as_bytes());
    out.copy_from_slice(&tag.as_ref()[..KEY_OCTETS]);
    out
}

/// The epochs that are alive, oldest first.
#[derive(Clone, Default)]
struct Epochs {
    alive: Vec<Epoch>,
    /// Numbers whose rows cannot be read: they are not given out again.
    damaged: Vec<u8>,
}

/// What is to change.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Plan {
    forget: Vec<u8>,
    make: Option<u8>,
}

impl Epochs {
    fn newest(&self) -> Option<&Epoch> {
        self.alive.last()
    }

    fn of(&self, number: u8) -> Option<&Epoch> {
        self.alive.iter().find(|epoch| epoch.number == number)
    }

    fn plan(&self, now: Timestamp, keep: Duration) -> Plan {
        let followed = self.alive.iter().zip(self.alive.iter().skip(1));
        let forget = followed.filter(|(_, next)| next.since.plus(keep) < now).map(|(epoch, _)| epoch.number).collect();
        let served = self.newest().is_none_or(|newest| now.since(newest.since) >= EPOCH_LENGTH);
        Plan { forget, make: if served { self.free_number() } else { None } }
    }

    /// The number after the newest that no epoch has; `None`: every number is taken, and the newest key goes on.
    fn free_number(&self) -> Option<u8> {
        let first = self.newest().map_or(0, |newest| newest.number.wrapping_add(1));
        let taken = |number: &u8| self.of(*number).is_some() || self.damaged.contains(number);
        (0..=u8::MAX).map(|n| first.wrapping_add(n)).find(|number| !taken(number))
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
