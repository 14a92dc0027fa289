//! Who may log in: accounts, their passwords, and how guessing is slowed.
//!
//! In: names and keys, the source address, the door.  Out: [`Login`] or [`LoginRefusal`]; changes to the accounts.
//! Always: argon2id at 19 MiB, at most a bounded number at once and never on an executor thread; API users are never
//! locked by wrong credentials (R15): their source address is slowed and refused instead; an unknown name takes as long
//! as a wrong key; nothing here prints a secret.

mod cache;
mod guard;
mod password;
mod store;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ipnet::IpNet;
use smol::lock::Semaphore;

use crate::{
    clock::Clock,
    config::AllowedIps,
    event::Class,
    ids::REPORT_USER,
    metrics::Metrics,
    secret::Secret,
    store::{Account, AccountKind, Store},
};
use cache::Cache;
use guard::Guard;
use password::HashError;
use store::AccountStore;

/// Verifications at once: each takes 19 MiB and a core for tens of milliseconds.
const VERIFICATIONS_MAX: usize = 2;
/// Logins that wait for a verification, in all: some ten seconds of work.
const LINE_MAX: usize = 256;
/// Of these, from one source: a stranger alone does not fill the line.
const LINE_PER_SOURCE_MAX: usize = 128;
/// Letters of a name at most.
const NAME_MAX: usize = 64;

/// The accounts; clones share cache and counters.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    store: Box<dyn AccountStore>,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// All accounts, by name: there are few, and each login asks.
    known: RwLock<HashMap<String, Account>>,
    users_max: AtomicUsize,
    allowed: RwLock<AllowedIps>,
    cache: Cache,
    guard: Guard,
    turns: Arc<Semaphore>,
    line: Arc<Mutex<HashMap<IpAddr, usize>>>,
    /// What an unknown name is compared with.
    nobody: Secret<String>,
    /// Held by whoever changes accounts: two adds at once must not pass `users_max`.
    changes: smol::lock::Mutex<()>,
}

/// A good login.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// The account's name.
    pub name: String,
    /// The class of its mail.
    pub class: Option<Class>,
}

/// Why a login was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoginRefusal {
    /// Unknown name or wrong password; the answer waits this long first (the source address is slowed).
    Wrong {
        /// How long to wait before answering 535.
        after: Duration,
    },
    /// The account may not use this door, or not from this address (`accounts.allowed_ips`).
    NotAllowed,
    /// Too many verifications at once, or too many failures of this address: 454.
    Busy,
}

/// By which door somebody logs in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    /// SMTP AUTH.
    Smtp,
    /// The HTTP API.
    Http,
}

/// What `user add` answers.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The name is taken, malformed, or there are `users_max` already; the key is weak; the text says so.
    #[error("{0}")]
    Refused(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

impl From<HashError> for AccountError {
    fn from(error: HashError) -> Self {
        AccountError::Refused(error.to_string())
    }
}

impl Accounts {
    /// Reads the accounts of the store. Blocking; hashes once.
    ///
    /// # Errors
    /// The store cannot be read, or the system has no randomness.
    pub fn new(store: Store, clock: Clock, metrics: Arc<Metrics>, users_max: usize) -> Result<Self, AccountError> {
        Self::with_store(Box::new(store), clock, metrics, users_max)
    }

    fn with_store(
        store: Box<dyn AccountStore>,
        clock: Clock,
        metrics: Arc<Metrics>,
        users_max: usize,
    ) -> Result<Self, AccountError> {
        let known = store.all()?.into_iter().map(|account| (account.name.clone(), account)).collect();
        let inner = Inner {
            store,
            clock,
            metrics,
            known: RwLock::new(known),
            users_max: AtomicUsize::new(users_max),
            allowed: RwLock::default(),
            cache: Cache::new()?,
            guard: Guard::default(),
            turns: Arc::new(Semaphore::new(VERIFICATIONS_MAX)),
            line: Arc::default(),
            nobody: password::hash(&password::generate()?)?,
            changes: smol::lock::Mutex::new(()),
        };
        Ok(Accounts(Arc::new(inner)))
    }

    /// Checks a login. Cancel-safe.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn check(
        &self,
        door: Door,
        source: IpAddr,
        name: &str,
        password: &Secret<String>,
    ) -> Result<Login, LoginRefusal> {
        let inner = &*self.0;
        // Before anything is hashed, and alike for every name: from here nobody learns which one is right.
        if !inner.is_open_to(door, source) {
            return Err(LoginRefusal::NotAllowed);
        }
        let account = inner.account(name);
        let token = account.as_ref().map(|account| inner.cache.token(name, password, account.password_set_at));
        let is_known = || token.as_ref().is_some_and(|token| inner.cache.knows(token, inner.clock.instant()));
        if !is_known() {
            if inner.guard.refuses(source, inner.clock.instant()) {
                return Err(LoginRefusal::Busy);
            }
            if name.len() > NAME_MAX || password.reveal().len() > password::KEY_LEN_MAX {
                return Err(inner.wrong(source));
            }
            let place = Place::take(&inner.line, source).ok_or(LoginRefusal::Busy)?;
            let turn = inner.turns.acquire_arc().await;
            // While we waited, another session of the same program may have been verified, or the source refused.
            if !is_known() {
                if inner.guard.refuses(source, inner.clock.instant()) {
                    return Err(LoginRefusal::Busy);
                }
                let hash = account.as_ref().map_or_else(|| inner.nobody.clone(), |account| account.hash.clone());
                let key = password.clone();
                inner.metrics.logins_hashed.one();
                // Turn and place go along: a caller who gives up does not let one more in.
                let fits = smol::unblock(move || {
                    let fits = password::fits(&key, &hash);
                    drop((turn, place));
                    fits
                });
                match (token, fits.await) {
                    (Some(token), true) => inner.cache.learn(token, inner.clock.instant()),
                    _ => return Err(inner.wrong(source)),
                }
            }
        }
        // It may have been removed while we verified.
        let account = account.filter(|account| inner.is_current(account)).ok_or_else(|| inner.wrong(source))?;
        // Its class may have changed meanwhile; its key has not.
        let account = inner.account(&account.name).unwrap_or(account);
        let may = match door {
            Door::Smtp => account.may_smtp,
            Door::Http => account.may_http,
        };
        if !may {
            return Err(LoginRefusal::NotAllowed);
        }
        Ok(Login { name: account.name, class: account.class })
    }

    /// All accounts, by name.
    pub fn list(&self) -> Vec<Account> {
        let mut accounts: Vec<Account> = self.0.known().values().cloned().collect();
        accounts.sort_by(|a, b| a.name.cmp(&b.name));
        accounts
    }

    /// Adds an API user. `key`: its key; `None` makes one. `class`: of its mail; `None`: none of its own. Answers the key, to be
    /// shown once.
    ///
    /// # Errors
    /// [`AccountError::Refused`] with words for the operator; the store's failure.
    pub async fn add_api(
        &self,
        name: &str,
        key: Option<Secret<String>>,
        class: Option<Class>,
    ) -> Result<Secret<String>, AccountError> {
        let inner = &*self.0;
        let _alone = inner.changes.lock().await;
        if let Some(words) = name_flaw(name) {
            return Err(AccountError::Refused(format!("{name:?} cannot be a user's name: {words}")));
        }
        let (taken, count) = {
            let known = inner.known();
            (known.keys().find(|taken| taken.eq_ignore_ascii_case(name)).cloned(), known.len())
        };
        if let Some(taken) = taken {
            return Err(AccountError::Refused(format!("there is a user {taken} already")));
        }
        let users_max = inner.users_max.load(Ordering::Relaxed);
        if count >= users_max {
            let text =
                format!("there are {count} users, and users_max in [accounts] is {users_max}: remove one or raise it");
            return Err(AccountError::Refused(text));
        }
        let (key, hash) = hashed(name, key).await?;
        let now = inner.clock.now();
        let account = Account {
            name: name.to_owned(),
            kind: AccountKind::Api,
            hash,
            class,
            created_at: now,
            password_set_at: now,
            may_smtp: true,
            may_http: true,
            may_view: true,
            may_download: true,
        };
        if !inner.store.put(account.clone(), false).await? {
            return Err(AccountError::Refused(format!("there is a user {name} already")));
        }
        inner.learn(account);
        Ok(key)
    }

    /// Sets another key; `None` makes one.
    ///
    /// # Errors
    /// [`AccountError::Refused`] with words for the operator; the store's failure.
    pub async fn set_key(&self, name: &str, key: Option<Secret<String>>) -> Result<Secret<String>, AccountError> {
        let inner = &*self.0;
        let _alone = inner.changes.lock().await;
        let mut account =
            inner.account(name).ok_or_else(|| AccountError::Refused(format!("there is no user {name:?}")))?;
        let (key, hash) = hashed(name, key).await?;
        account.hash = hash;
        // Strictly later, so that the old key's cached logins can never hit, whatever the clock does.
        account.password_set_at = inner.clock.now().max(account.password_set_at.plus(Duration::from_millis(1)));
        inner.store.put(account.clone(), true).await?;
        inner.learn(account);
        Ok(key)
    }

    /// Sets the class of an API user's mail; `None`: it has none of its own.
    ///
    /// # Errors
    /// [`AccountError::Refused`] when there is no such user; the store's failure.
    pub async fn set_class(&self, name: &str, class: Option<Class>) -> Result<(), AccountError> {
        let inner = &*self.0;
        let _alone = inner.changes.lock().await;
        let mut account =
            inner.account(name).ok_or_else(|| AccountError::Refused(format!("there is no user {name:?}")))?;
        account.class = class;
        inner.store.put(account.clone(), true).await?;
        inner.learn(account);
        Ok(())
    }

    /// Removes a user; false when there is none.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn remove(&self, name: &str) -> Result<bool, AccountError> {
        let inner = &*self.0;
        let _alone = inner.changes.lock().await;
        let removed = inner.store.remove(name).await?;
        inner.known.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(removed)
    }

    /// A new `users_max`, at reload.
    pub fn reconfigure(&self, users_max: usize) {
        self.0.users_max.store(users_max, Ordering::Relaxed);
    }

    /// From where accounts may be used (`accounts.allowed_ips`), at start and reload.
    pub fn allow(&self, allowed: &AllowedIps) {
        *self.0.allowed.write().unwrap_or_else(PoisonError::into_inner) = allowed.clone();
    }
}

impl Inner {
    fn known(&self) -> std::sync::RwLockReadGuard<'_, HashMap<String, Account>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn account(&self, name: &str) -> Option<Account> {
        self.known().get(name).cloned()
    }

    fn is_current(&self, account: &Account) -> bool {
        self.known().get(&account.name).is_some_and(|now| now.password_set_at == account.password_set_at)
    }

    fn learn(&self, account: Account) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(account.name.clone(), account);
    }

    /// Counts a failure of this source.
    fn wrong(&self, source: IpAddr) -> LoginRefusal {
        self.metrics.logins_failed.one();
        LoginRefusal::Wrong { after: self.guard.failed(source, self.clock.instant()) }
    }

    /// Accounts may use this door from this address (`accounts.allowed_ips`).
    fn is_open_to(&self, door: Door, source: IpAddr) -> bool {
        let allowed = self.allowed.read().unwrap_or_else(PoisonError::into_inner);
        let networks: &[IpNet] = match door {
            Door::Smtp => &allowed.submit,
            Door::Http => &allowed.api,
        };
        let source = source.to_canonical();
        networks.is_empty() || networks.iter().any(|network| network.contains(&source))
    }
}

/// A place in the line of those who wait for a verification; given back when dropped.
struct Place {
    line: Arc<Mutex<HashMap<IpAddr, usize>>>,
    source: IpAddr,
}

impl Place {
    /// A place, unless the line is full.
    fn take(line: &Arc<Mutex<HashMap<IpAddr, usize>>>, source: IpAddr) -> Option<Place> {
        let mut waiting = lock(line);
        let of_source = waiting.get(&source).copied().unwrap_or(0);
        if of_source >= LINE_PER_SOURCE_MAX || waiting.values().sum::<usize>() >= LINE_MAX {
            return None;
        }
        waiting.insert(source, of_source + 1);
        Some(Place { line: line.clone(), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = lock(&self.line);
        if let Some(count) = waiting.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.source);
            }
        }
    }
}

fn lock(line: &Mutex<HashMap<IpAddr, usize>>) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The given key, if it is strong enough, or a new one; with its hash.
async fn hashed(name: &str, key: Option<Secret<String>>) -> Result<(Secret<String>, Secret<String>), AccountError> {
    let key = match key {
        Some(key) => match password::weakness(&key, name) {
            Some(words) => return Err(AccountError::Refused(words)),
            None => key,
        },
        None => password::generate()?,
    };
    let to_hash = key.clone();
    let hash = smol::unblock(move || password::hash(&to_hash)).await?;
    Ok((key, hash))
}

/// What is wrong with a name; `None`: it will do.
fn name_flaw(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Some("it needs 1 to 64 letters");
    }
    if !name.bytes().all(|b| b.is_ascii_graphic()) {
        return Some("use ASCII letters, digits and signs, without blanks");
    }
    if name == REPORT_USER {
        return Some("Hikyaku's own reports go by it");
    }
    if name.starts_with('-') {
        return Some("it would look like an option");
    }
    // Where names are listed, quoted and put into paths and headers, these have a meaning of their own.
    name.contains([
        '"', '\'', '\\', '/', '<', '>', ',', ';', ':', '`', '$', '?', '#', '&', '%', '*', '(', ')', '[', ']', '{', '}',
        '|', '^', '!',
    ])
    .then_some("use letters, digits and . - _ + = @ ~")
}
