//! Who may log in and what each may do: API users (programs) and console users (people).
//!
//! In: names, keys and passwords with their source; changes by the operator.  Out: [`Login`], or why not; the login log.
//! Always: argon2id at 19 MiB, at most a bounded number at once and never on an executor thread; API users are never
//! locked by wrong credentials (R15): their source address is slowed and refused instead; console users are, by ten wrong
//! passwords in a row; an unknown name takes as long as a wrong key; what an account may do is asked anew for every mail;
//! a change and its entry of the operation log are one transaction; nothing here prints a secret.

mod cache;
mod changed_letter;
mod console;
#[cfg(test)]
mod console_tests;
#[cfg(test)]
pub(crate) mod fake;
mod guard;
mod letter;
mod log;
mod login;
mod manage;
#[cfg(test)]
mod manage_tests;
mod own;
#[cfg(test)]
mod own_tests;
mod password;
mod rate;
mod recovery;
mod reset_letter;
pub mod reset_mail;
pub mod rights;
mod sessions;
mod set_up;
mod store;
#[cfg(test)]
mod tests;
mod tickets;
mod totp;
mod words;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use ipnet::IpNet;
use smol::{Timer, future::FutureExt, lock::Semaphore};

use crate::{
    clock::{Clock, Timestamp},
    config::{self, AllowedIps},
    metrics::Metrics,
    runtime::{Runtime, Shutdown, Stage},
    secret::Secret,
    store::{Account, AccountChange, AccountKind, AuditEntry, Rights, Role, Store, StoreError},
};
use cache::Cache;
use changed_letter::Changed;
use guard::Guard;
use log::{LoginLog, Outcome, Tried};
use own::Offers;
use password::HashError;
use rate::Buckets;
use reset_mail::Owners;
use sessions::Sessions;
use set_up::SetUp;
use store::AccountStore;
use tickets::Tickets;

pub use console::{ConsoleRefusal, Entered};
pub use manage::NewUser;
pub use own::{OwnChanges, OwnRefusal, TotpOffer};
pub use rate::RetryAfter;
pub use recovery::CODES as RECOVERY_CODES;
pub use rights::Changes;
pub use sessions::{AskedBy, SessionEnd, SessionView};
pub use set_up::FirstPerson;
pub use words::Said;

/// Verifications at once: each takes 19 MiB and a core for tens of milliseconds.
const VERIFICATIONS_MAX: usize = 2;
/// Letters of a given password at least.
pub const PASSWORD_LEN_MIN: usize = password::GIVEN_LEN_MIN;
/// Letters of a name at most.
const NAME_MAX: usize = 64;
/// How often the login log is written: soon enough for `--follow`, seldom enough for the disk.
const LOG_EVERY: Duration = Duration::from_secs(1);
/// Entries of the login log in one transaction.
const LOG_ENTRIES_MAX: usize = 500;

/// The accounts; clones share cache and counters.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    store: Box<dyn AccountStore>,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// All accounts, by name: there are few, and each login asks.
    known: RwLock<HashMap<String, Arc<Account>>>,
    config: RwLock<config::Accounts>,
    cache: Cache,
    /// What guessing costs each source, of programs and of people apart: neither shuts the other out.
    programs: Guard,
    people: Guard,
    buckets: Buckets,
    log: LoginLog,
    sessions: Sessions,
    set_up: SetUp,
    tickets: Tickets,
    offers: Offers,
    reset_times: console::ResetTimes,
    owners: Owners,
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
    /// What it may do.
    pub rights: Rights,
    /// When the key was set that it came with: another key ends the login.
    pub key_set_at: Timestamp,
}

impl From<&Account> for Login {
    fn from(account: &Account) -> Self {
        Login { name: account.name.clone(), rights: account.rights.clone(), key_set_at: account.password_set_at }
    }
}

/// Why a login was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoginRefusal {
    /// Unknown name or wrong password; the answer waits this long first (the source address is slowed).
    Wrong {
        /// How long to wait before answering 535.
        after: Duration,
    },
    /// The account may not use this door, or not from this address (`accounts.allowed_ips`, its own networks).
    NotAllowed,
    /// The key is right, and its time is over.
    Expired,
    /// Too many verifications at once, or too many failures of this address: 454, HTTP 429.
    Busy {
        /// When to try again.
        again_after: Duration,
    },
    /// This address was told [`LoginRefusal::Busy`] and goes on: 421, HTTP 429.
    TurnedAway {
        /// When to try again.
        again_after: Duration,
    },
}

/// By which door a program logs in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    /// SMTP AUTH.
    Smtp,
    /// The HTTP API that reads and changes: `allowed_ips.api`.
    Http,
    /// The HTTP API that sends: `allowed_ips.submit`, as SMTP.
    Send,
}

impl Door {
    /// The word in the login log.
    pub fn word(self) -> &'static str {
        match self {
            Door::Smtp => "smtp",
            Door::Http | Door::Send => "api",
        }
    }

    fn is_open_for(self, rights: &Rights) -> bool {
        match self {
            Door::Smtp => rights.smtp,
            Door::Http | Door::Send => rights.http,
        }
    }
}

/// Who acts on accounts, as the operation log has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Actor {
    /// The operator, by the command line.
    Operator {
        /// `operator` and the Unix user.
        who: String,
        /// The control socket.
        from: String,
    },
    /// A console user.
    Person {
        /// Its login.
        name: String,
        /// From where.
        from: IpAddr,
    },
    /// Somebody who is not logged in: guesses lock an account, and anybody may ask for a reset mail.
    Stranger {
        /// From where.
        from: IpAddr,
    },
}

impl Actor {
    /// Who and from where, as the operation log has it.
    pub fn words(&self) -> (String, String) {
        match self {
            Actor::Operator { who, from } => (who.clone(), from.clone()),
            Actor::Person { name, from } => (name.clone(), from.to_string()),
            Actor::Stranger { from } => (STRANGER.to_owned(), from.to_string()),
        }
    }
}

/// Who acted, where that is not known.
const STRANGER: &str = "(not logged in)";

/// Why an act on accounts was not done.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The name is taken, malformed, or there are `users_max` already; the key is weak; the text says so.
    #[error("{0}")]
    Refused(Said),
    /// There is no such user.
    #[error("there is no user {0:?}")]
    Unknown(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<HashError> for AccountError {
    fn from(error: HashError) -> Self {
        words::refused(error.to_string(), "パスワードを処理できません。システムの乱数かメモリが不足しています。")
    }
}

impl Accounts {
    /// Reads the accounts of the store. Blocking.
    ///
    /// # Errors
    /// The store cannot be read, or the system has no randomness.
    pub fn new(
        store: Store,
        clock: Clock,
        metrics: Arc<Metrics>,
        config: &config::Accounts,
    ) -> Result<Self, AccountError> {
        Self::with_store(Box::new(store), clock, metrics, config)
    }

    pub(crate) fn with_store(
        store: Box<dyn AccountStore>,
        clock: Clock,
        metrics: Arc<Metrics>,
        config: &config::Accounts,
    ) -> Result<Self, AccountError> {
        let known = store.all()?.into_iter().map(|account| (account.name.clone(), Arc::new(account))).collect();
        let inner = Inner {
            sessions: Sessions::load(&*store)?,
            store,
            clock,
            metrics,
            known: RwLock::new(known),
            config: RwLock::new(config.clone()),
            cache: Cache::new()?,
            programs: Guard::default(),
            people: Guard::default(),
            buckets: Buckets::default(),
            log: LoginLog::default(),
            set_up: SetUp::default(),
            tickets: Tickets::default(),
            offers: Offers::default(),
            reset_times: console::ResetTimes::default(),
            owners: Owners::default(),
            turns: Arc::new(Semaphore::new(VERIFICATIONS_MAX)),
            line: Arc::default(),
            nobody: password::nobody(),
            changes: smol::lock::Mutex::new(()),
        };
        Ok(Accounts(Arc::new(inner)))
    }

    /// Writes the login log from now on, until the drain begins; [`Accounts::flush`] writes the rest.
    pub fn start(&self, runtime: &Runtime, shutdown: &Shutdown) {
        let (accounts, shutdown) = (self.clone(), shutdown.clone());
        runtime.spawn("login log", async move {
            while shutdown.stage() == Stage::Running {
                let pause = async {
                    Timer::after(LOG_EVERY).await;
                };
                pause.or(shutdown.drained()).await;
                accounts.write_log(false).await;
                accounts.write_seen(false).await;
            }
        });
    }

    /// Writes what the login log still gathers, and when sessions were last used. Called once no session runs any more.
    pub async fn flush(&self) {
        self.write_log(true).await;
        self.write_seen(true).await;
    }

    async fn write_log(&self, all: bool) {
        let inner = &*self.0;
        let mut entries = inner.log.due(all, inner.clock.now(), inner.clock.instant());
        while !entries.is_empty() {
            let rest = entries.split_off(entries.len().min(LOG_ENTRIES_MAX));
            let change = AccountChange { audit: entries.clone(), ..AccountChange::default() };
            if let Err(error) = inner.store.change(change).await {
                ::log::warn!("act=login-log entries={} error=\"{error}\"", entries.len() + rest.len());
                entries.extend(rest);
                inner.log.give_back(entries);
                return;
            }
            entries = rest;
        }
    }

    /// All accounts, by name.
    pub fn list(&self) -> Vec<Account> {
        let mut accounts: Vec<Account> = self.0.known().values().map(|account| (**account).clone()).collect();
        accounts.sort_by(|a, b| a.name.cmp(&b.name));
        accounts
    }

    /// The account of this name.
    pub fn get(&self, name: &str) -> Option<Account> {
        self.0.account(name).map(|account| (*account).clone())
    }

    /// What a login that is still open may do now.
    ///
    /// # Errors
    /// The account is gone, has another key, has expired or may not use this door from there any more.
    pub fn renew(&self, door: Door, source: IpAddr, login: &Login) -> Result<Login, LoginRefusal> {
        let account = self.0.account(&login.name).filter(|account| account.password_set_at == login.key_set_at);
        let Some(account) = account.filter(|account| account.kind == AccountKind::Api) else {
            return Err(LoginRefusal::NotAllowed);
        };
        if !holds(networks_of(&self.0.config().allowed_ips, door), source) {
            return Err(LoginRefusal::NotAllowed);
        }
        self.0.may_use(door, source, &account)?;
        Ok(Login::from(&*account))
    }

    /// Takes so many recipients from what the user may submit.
    ///
    /// # Errors
    /// The limit is reached; nothing was taken.
    pub fn may_submit(&self, name: &str, recipients: usize) -> Result<(), RetryAfter> {
        self.0.rate(name, recipients, true)
    }

    /// Whether [`Accounts::may_submit`] would take so many now; takes none.
    ///
    /// # Errors
    /// The limit is reached.
    pub fn could_submit(&self, name: &str, recipients: usize) -> Result<(), RetryAfter> {
        self.0.rate(name, recipients, false)
    }

    /// How long a session of the console lasts.
    pub fn session_lifetime(&self) -> Duration {
        self.0.config().session_lifetime
    }

    /// Wrong passwords in a row that lock a person's account (R15).
    pub fn failed_logins_max(&self) -> u32 {
        self.0.config().failed_logins_max
    }

    /// The console may be used from there (`accounts.allowed_ips.console`).
    pub fn lets_in_from(&self, source: IpAddr) -> bool {
        holds(&self.0.config().allowed_ips.console, source)
    }

    /// New settings, at reload.
    pub fn reconfigure(&self, config: &config::Accounts) {
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = config.clone();
    }
}

impl Inner {
    fn known(&self) -> std::sync::RwLockReadGuard<'_, HashMap<String, Arc<Account>>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn config(&self) -> std::sync::RwLockReadGuard<'_, config::Accounts> {
        self.config.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn account(&self, name: &str) -> Option<Arc<Account>> {
        self.known().get(name).cloned()
    }

    fn learn(&self, account: Account) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(account.name.clone(), Arc::new(account));
    }

    fn rate(&self, name: &str, recipients: usize, take: bool) -> Result<(), RetryAfter> {
        let Some(limit) = self.known().get(name).and_then(|account| account.rights.rate) else { return Ok(()) };
        self.buckets.ask(name, limit, recipients, take, self.clock.instant())
    }

    /// An API user whose key is right may use this door, from there, now.
    fn may_use(&self, door: Door, source: IpAddr, account: &Account) -> Result<(), LoginRefusal> {
        let rights = &account.rights;
        if !door.is_open_for(rights) || !holds(&rights.networks, source) {
            return Err(LoginRefusal::NotAllowed);
        }
        if self.has_expired(account) {
            return Err(LoginRefusal::Expired);
        }
        Ok(())
    }

    fn has_expired(&self, account: &Account) -> bool {
        account.rights.expires_at.is_some_and(|at| at <= self.clock.now())
    }

    /// The guard of those who come by the doors of this kind of account.
    fn guard(&self, kind: AccountKind) -> &Guard {
        match kind {
            AccountKind::Api => &self.programs,
            AccountKind::Console => &self.people,
        }
    }

    /// Counts a failure of this source at the doors of this kind; how long its answer waits.
    fn failed(&self, kind: AccountKind, source: IpAddr) -> Duration {
        self.metrics.logins_failed.one();
        self.guard(kind).failed(source, self.clock.instant())
    }

    /// Notes a login in the login log, by the account's own name where there is one.
    fn note(&self, name: &str, source: IpAddr, door: &'static str, outcome: Outcome) {
        let known = {
            let all = self.known();
            let found = all
                .get(name)
                .or_else(|| all.get(&name.to_lowercase()).filter(|account| account.kind == AccountKind::Console));
            found.map(|account| account.name.clone())
        };
        let tried = Tried { name: known.as_deref().unwrap_or(name), is_known: known.is_some(), source, door, outcome };
        self.log.note(tried, self.clock.now(), self.clock.instant());
    }

    /// An entry of the operation log.
    fn entry(&self, by: &Actor, act: &str, object: &str, detail: impl Into<String>) -> AuditEntry {
        let (who, from) = by.words();
        AuditEntry {
            at: self.clock.now(),
            who,
            from,
            act: act.to_owned(),
            object: object.to_owned(),
            detail: detail.into(),
        }
    }

    /// Writes accounts that exist, with what the operation log says of it, and knows them from then on. People are told what
    /// changed of their sign-in: here, so that no way of changing it is forgotten.
    async fn save(&self, accounts: Vec<Account>, audit: Vec<AuditEntry>) -> Result<(), StoreError> {
        let told = |after: &Account| changed_letter::of(&*self.account(&after.name)?, after, &audit);
        let told: Vec<Changed> = accounts.iter().filter_map(told).collect();
        let change = AccountChange { put: accounts.clone(), replace: true, remove: None, audit };
        self.store.change(change).await?;
        accounts.into_iter().for_each(|account| self.learn(account));
        told.into_iter().for_each(|changed| self.owners.tell(changed));
        Ok(())
    }
}

/// `accounts.allowed_ips` and an account's own networks: empty lets everybody.
fn holds(networks: &[IpNet], source: IpAddr) -> bool {
    let source = source.to_canonical();
    networks.is_empty() || networks.iter().any(|network| network.contains(&source))
}

/// The networks of a door.
fn networks_of(allowed: &AllowedIps, door: Door) -> &[IpNet] {
    match door {
        Door::Smtp | Door::Send => &allowed.submit,
        Door::Http => &allowed.api,
    }
}

/// The console's group administrator (R17).
fn is_group_administrator(account: &Account) -> bool {
    account.kind == AccountKind::Console && account.rights.role == Role::GroupAdministrator
}
