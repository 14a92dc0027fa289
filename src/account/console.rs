//! Logins of people, and the way back for who forgot the password.
//!
//! In: name, password, code, source; tokens of reset mails.  Out: [`Login`] or [`ConsoleRefusal`].
//! Always: wrong passwords in a row are counted on disk and lock the account (R15), and each costs at most one small
//! transaction, so that a guesser makes no more of them than `failed_logins_max`; once locked, no password is looked at any
//! more; unknown, locked and wrong sound alike and cost the same hash; a code counts once; a reset by mail never unlocks the
//! group administrator.

use std::{net::IpAddr, time::Duration};

use super::{
    AccountError, Accounts, Actor, Inner, Login, NAME_MAX, holds, is_group_administrator,
    log::Outcome,
    manage::{hashed, refused},
    password,
    sessions::{digest_of, new_token},
    totp,
};
use crate::{
    clock::Timestamp,
    secret::{Secret, equal_in_constant_time},
    store::{Account, AccountKind, AuditEntry, StoreError},
};

/// The word for the console in the login log.
const DOOR: &str = "console";
/// How long the link of a reset mail counts.
const RESET_LIFETIME: Duration = Duration::from_secs(3600);
/// One reset mail an account in this time: strangers ask for them, too.
const RESET_EVERY: Duration = Duration::from_secs(300);
/// A refused login is answered this long after it came, or later: the write that counts a wrong password takes its time, and
/// would tell which names exist.
const REFUSED_AFTER: Duration = Duration::from_secs(1);
/// When to come again after the line was full.
const LINE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Why somebody is not let into the console.
#[derive(Debug)]
pub enum ConsoleRefusal {
    /// Unknown, wrong or locked: it is not told which, or strangers would learn who has an account here. Say that ten wrong
    /// passwords lock a login, and who unlocks it.
    Wrong {
        /// How long the answer still waits.
        after: Duration,
    },
    /// The password is right, and a code is needed beside it.
    CodeNeeded,
    /// The code is wrong or was used; counts as a wrong password.
    CodeWrong {
        /// How long the answer waits.
        after: Duration,
    },
    /// Not from this address (`accounts.allowed_ips.console`, the account's own networks).
    NotAllowed,
    /// The password is right, and the account's time is over.
    Expired,
    /// Too many verifications at once, or too many failures of this address.
    Busy {
        /// When to try again.
        again_after: Duration,
    },
    /// The count of wrong passwords, or the use of a code, could not be written: nobody is let in.
    Store(StoreError),
}

impl Accounts {
    /// Checks the login of a person. `code`: the second factor, if one was entered.
    ///
    /// # Errors
    /// Why nobody is let in.
    pub async fn log_in(
        &self,
        source: IpAddr,
        name: &str,
        password: &Secret<String>,
        code: Option<&str>,
    ) -> Result<Login, ConsoleRefusal> {
        let inner = &*self.0;
        let began = inner.clock.instant();
        let (outcome, mut decided) = inner.log_in(source, &name.to_lowercase(), password, code).await;
        if let Err(ConsoleRefusal::Wrong { after } | ConsoleRefusal::CodeWrong { after }) = &mut decided {
            *after = (*after).max(REFUSED_AFTER).saturating_sub(inner.clock.instant() - began);
        }
        inner.log.note(name, source, DOOR, outcome, inner.clock.now(), inner.clock.instant());
        decided
    }

    /// Begins a reset by mail: the token for the link, to be mailed to the account's address and to nobody else. `None`: there
    /// is no such account, or it was mailed one lately; the page says the same either way, and does not wait for this: it takes
    /// longer for an account that exists.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn reset_begin(&self, name: &str, source: IpAddr) -> Result<Option<Secret<String>>, AccountError> {
        let inner = &*self.0;
        let _alone = inner.changes.lock().await;
        let now = inner.clock.now();
        let Some(mut account) = inner.person(&name.to_lowercase()) else { return Ok(None) };
        let mailed_lately = account.person.reset.as_ref().is_some_and(|(_, until)| {
            let mailed = until.minus(RESET_LIFETIME);
            now < mailed.plus(RESET_EVERY)
        });
        if mailed_lately {
            return Ok(None);
        }
        let token = new_token()?;
        account.person.reset = Some((Secret::new(digest_of(&token)), now.plus(RESET_LIFETIME)));
        let by = Actor::Stranger { from: source };
        let audit = vec![inner.entry(&by, "user.reset-mail", &account.name, "")];
        inner.save(vec![account], audit).await?;
        Ok(Some(token))
    }

    /// Sets another password by the token of a reset mail; it unlocks the account, unless it is the group administrator's
    /// (R15). The token counts once; a password that is too weak does not use it up. Answers whether the account is still locked.
    ///
    /// # Errors
    /// [`AccountError::Refused`]: the token does not count, or the password is weak; the store's failure.
    pub async fn reset_finish(
        &self,
        name: &str,
        token: &Secret<String>,
        password: Secret<String>,
        source: IpAddr,
    ) -> Result<bool, AccountError> {
        let inner = &*self.0;
        let _alone = inner.changes.lock().await;
        let now = inner.clock.now();
        let account = inner.person(&name.to_lowercase()).filter(|account| counts(account, token, now));
        let mut account =
            account.ok_or_else(|| refused("the link is not valid any more: ask for another mail".into()))?;
        let (_, hash) = hashed(&account.name, Some(password), false).await?;
        inner.give_key(&mut account, hash);
        let was_locked = account.person.locked_at.is_some();
        let stays_locked = was_locked && is_group_administrator(&account);
        if !stays_locked {
            account.person.failed_logins = 0;
            account.person.locked_at = None;
        }
        let detail = match (was_locked, stays_locked) {
            (true, true) => "by mail; still locked",
            (true, false) => "by mail; unlocked",
            (false, _) => "by mail",
        };
        let by = Actor::Person { name: account.name.clone(), from: source };
        let audit = vec![inner.entry(&by, "user.reset", &account.name, detail)];
        inner.save(vec![account], audit).await?;
        Ok(stays_locked)
    }
}

/// The token of the account's last reset mail, in time.
fn counts(account: &Account, token: &Secret<String>, now: Timestamp) -> bool {
    account
        .person
        .reset
        .as_ref()
        .is_some_and(|(digest, until)| now < *until && equal_in_constant_time(digest.reveal(), &digest_of(token)))
}

type Decided = (Outcome, Result<Login, ConsoleRefusal>);

impl Inner {
    /// The console account of this name.
    fn person(&self, name: &str) -> Option<Account> {
        let account = self.account(name).filter(|account| account.kind == AccountKind::Console)?;
        Some((*account).clone())
    }

    async fn log_in(&self, source: IpAddr, name: &str, password: &Secret<String>, code: Option<&str>) -> Decided {
        if !holds(&self.config().allowed_ips.console, source) {
            return (Outcome::NotAllowed, Err(ConsoleRefusal::NotAllowed));
        }
        if let Some(refusing) = self.guard.refuses(source, self.clock.instant()) {
            return (Outcome::Busy, Err(ConsoleRefusal::Busy { again_after: refusing.again_after }));
        }
        if name.len() > NAME_MAX || password.reveal().len() > password::KEY_LEN_MAX {
            return (Outcome::Wrong, Err(ConsoleRefusal::Wrong { after: self.failed(source) }));
        }
        let Some(turn) = self.turn(source).await else {
            return (Outcome::Busy, Err(ConsoleRefusal::Busy { again_after: LINE_AGAIN_AFTER }));
        };
        let account = self.person(name);
        // Of a locked account the password is not looked at: who goes on guessing learns nothing by it.
        let open = account.as_ref().filter(|account| account.person.locked_at.is_none());
        let fits = self.fits(turn, password, open.map_or(&self.nobody, |account| &account.hash)).await;
        let Some(seen) = account else {
            return (Outcome::Wrong, Err(ConsoleRefusal::Wrong { after: self.failed(source) }));
        };
        let _alone = self.changes.lock().await;
        // Others may have guessed, or the operator acted, while we hashed.
        match self.current(&seen).map(|now| (*now).clone()) {
            None => (Outcome::Wrong, Err(ConsoleRefusal::Wrong { after: self.failed(source) })),
            Some(now) if now.person.locked_at.is_some() => {
                (Outcome::Locked, Err(ConsoleRefusal::Wrong { after: self.failed(source) }))
            }
            Some(now) if !fits => {
                let stored = self.count_failure(now, source).await;
                let wrong = ConsoleRefusal::Wrong { after: self.failed(source) };
                (Outcome::Wrong, Err(stored.err().unwrap_or(wrong)))
            }
            Some(now) => self.second_factor(now, source, code).await,
        }
    }

    /// The password fits.
    async fn second_factor(&self, mut account: Account, source: IpAddr, code: Option<&str>) -> Decided {
        if !holds(&account.rights.networks, source) {
            return (Outcome::NotAllowed, Err(ConsoleRefusal::NotAllowed));
        }
        if self.has_expired(&account) {
            return (Outcome::Expired, Err(ConsoleRefusal::Expired));
        }
        let used = account.person.totp_step;
        if let Some(secret) = &account.person.totp {
            // The count of wrong passwords stays: it ends with a whole login.
            let Some(code) = code else { return (Outcome::Totp, Err(ConsoleRefusal::CodeNeeded)) };
            let Some(step) = totp::step_of(secret, code, self.clock.now(), used) else {
                let stored = self.count_failure(account, source).await;
                let wrong = ConsoleRefusal::CodeWrong { after: self.failed(source) };
                return (Outcome::Totp, Err(stored.err().unwrap_or(wrong)));
            };
            account.person.totp_step = step;
        }
        let login = Login::from(&account);
        if account.person.failed_logins > 0 || account.person.totp_step != used {
            account.person.failed_logins = 0;
            if let Err(error) = self.save(vec![account], Vec::new()).await {
                return (Outcome::Busy, Err(ConsoleRefusal::Store(error)));
            }
        }
        (Outcome::Success, Ok(login))
    }

    /// Counts a wrong password or code, on disk before anybody hears of it; locks the account when there are too many.
    async fn count_failure(&self, mut account: Account, source: IpAddr) -> Result<(), ConsoleRefusal> {
        let failures_max = self.config().failed_logins_max;
        account.person.failed_logins = account.person.failed_logins.saturating_add(1);
        let mut audit: Vec<AuditEntry> = Vec::new();
        if account.person.failed_logins >= failures_max {
            account.person.locked_at = Some(self.clock.now());
            let by = Actor::Stranger { from: source };
            let detail = format!("{} wrong passwords in a row", account.person.failed_logins);
            audit.push(self.entry(&by, "user.lock", &account.name, detail));
        }
        self.save(vec![account], audit).await.map_err(ConsoleRefusal::Store)
    }
}
