//! Logins of programs: SMTP AUTH and the HTTP API.
//!
//! In: name, key, source, door.  Out: [`Login`] or [`LoginRefusal`].
//! Always: a login that was good lately costs no hash; others wait in a bounded line; the name of a person is unknown here, so
//! that nobody guesses a console password by a door that does not lock it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use smol::lock::SemaphoreGuardArc;

use super::{Accounts, Door, Inner, Login, LoginRefusal, NAME_MAX, holds, log::Outcome, networks_of, password};
use crate::{
    secret::Secret,
    store::{Account, AccountKind},
};

/// Logins that wait for a verification, in all: some ten seconds of work.
const LINE_MAX: usize = 256;
/// Of these, from one source: a stranger alone does not fill the line.
pub(super) const LINE_PER_SOURCE_MAX: usize = 128;
/// When to come again after the line was full.
const LINE_AGAIN_AFTER: Duration = Duration::from_secs(5);

impl Accounts {
    /// Checks the login of an API user. Cancel-safe.
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
        let checked = inner.check(door, source, name, password).await;
        let outcome = match &checked {
            Ok(_) => Outcome::Success,
            Err(LoginRefusal::Wrong { .. }) => Outcome::Wrong,
            Err(LoginRefusal::NotAllowed) => Outcome::NotAllowed,
            Err(LoginRefusal::Expired) => Outcome::Expired,
            Err(LoginRefusal::Busy { .. } | LoginRefusal::TurnedAway { .. }) => Outcome::Busy,
        };
        inner.note(name, source, door.word(), outcome);
        checked
    }
}

impl Inner {
    async fn check(
        &self,
        door: Door,
        source: IpAddr,
        name: &str,
        password: &Secret<String>,
    ) -> Result<Login, LoginRefusal> {
        // Before anything is hashed, and alike for every name: from here nobody learns which one is right.
        if !holds(networks_of(&self.config().allowed_ips, door), source) {
            return Err(LoginRefusal::NotAllowed);
        }
        let account = self.account(name).filter(|account| account.kind == AccountKind::Api);
        let token = account.as_ref().map(|account| self.cache.token(name, password, account.password_set_at));
        let is_known = || token.as_ref().is_some_and(|token| self.cache.knows(token, self.clock.instant()));
        if !is_known() {
            self.not_refused(source)?;
            if name.len() > NAME_MAX || password.reveal().len() > password::KEY_LEN_MAX {
                return Err(LoginRefusal::Wrong { after: self.failed(AccountKind::Api, source) });
            }
            let turn = self.turn(source).await.ok_or(LoginRefusal::Busy { again_after: LINE_AGAIN_AFTER })?;
            // While we waited, another session of the same program may have been verified, or the source refused.
            if !is_known() {
                self.not_refused(source)?;
                let hash = account.as_ref().map_or(&self.nobody, |account| &account.hash);
                let fits = self.fits(turn, password, hash).await;
                match (token, fits) {
                    (Some(token), true) => self.cache.learn(token, self.clock.instant()),
                    _ => return Err(LoginRefusal::Wrong { after: self.failed(AccountKind::Api, source) }),
                }
            }
        }
        // It may have been removed or given another key while we verified; what it may do may have changed, too.
        let account = account.and_then(|account| self.current(&account));
        let account = account.ok_or_else(|| LoginRefusal::Wrong { after: self.failed(AccountKind::Api, source) })?;
        self.may_use(door, source, &account)?;
        Ok(Login::from(&*account))
    }

    /// The account as it is now, unless it is gone or has another key.
    pub(super) fn current(&self, account: &Account) -> Option<Arc<Account>> {
        self.account(&account.name).filter(|now| now.password_set_at == account.password_set_at)
    }

    /// The source has not failed too often.
    fn not_refused(&self, source: IpAddr) -> Result<(), LoginRefusal> {
        match self.guard(AccountKind::Api).refuses(source, self.clock.instant()) {
            None => Ok(()),
            Some(refusing) if refusing.insists => Err(LoginRefusal::TurnedAway { again_after: refusing.again_after }),
            Some(refusing) => Err(LoginRefusal::Busy { again_after: refusing.again_after }),
        }
    }

    /// Waits for a turn to verify; `None`: the line is full.
    pub(super) async fn turn(&self, source: IpAddr) -> Option<Turn> {
        let place = Place::take(&self.line, source)?;
        Some(Turn { _verifies: self.turns.acquire_arc().await, _place: place })
    }

    /// Whether the password fits the hash. Turn and place go along: a caller who gives up does not let one more in.
    pub(super) async fn fits(&self, turn: Turn, password: &Secret<String>, hash: &Secret<String>) -> bool {
        let (password, hash) = (password.clone(), hash.clone());
        self.metrics.logins_hashed.one();
        smol::unblock(move || {
            let fits = password::fits(&password, &hash);
            drop(turn);
            fits
        })
        .await
    }
}

/// One of the few who verify at once.
pub(super) struct Turn {
    _verifies: SemaphoreGuardArc,
    _place: Place,
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

pub(super) fn lock(line: &Mutex<HashMap<IpAddr, usize>>) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}
