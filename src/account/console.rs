//! Logins of people, and the way back for who forgot the password.
//!
//! In: name and password, then a code, with their source; tokens of reset mails.  Out: [`Login`] or [`ConsoleRefusal`].
//! Always: wrong passwords in a row are counted on disk and lock the account (R15), and each costs at most one small
//! transaction, so that a guesser makes no more of them than `failed_logins_max`; once locked, no password is looked at any
//! more; unknown, locked and wrong sound alike and cost the same hash; a code counts once, that of the app and that on paper alike,
//! and a wrong one counts as a wrong password; a reset by mail never unlocks the group administrator.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    AccountError, Accounts, Actor, Inner, Login, NAME_MAX, holds, is_group_administrator,
    log::Outcome,
    manage::hashed,
    password, recovery,
    sessions::{digest_of, new_token},
    tickets::Ticket,
    totp,
    words::refused,
};
use crate::{
    clock::Timestamp,
    secret::{Secret, equal_in_constant_time},
    store::{Account, AccountKind, AuditEntry, StoreError},
};

/// The word for the console in the login log.
pub(super) const DOOR: &str = "console";
/// How long the link of a reset mail counts.
pub(super) const RESET_LIFETIME: Duration = Duration::from_secs(3600);
/// One reset mail an account in this time: strangers ask for them, too.
const RESET_EVERY: Duration = Duration::from_secs(300);
/// So many in [`RESET_DAY`] are mailed at that pace; further ones that strangers ask for …
const RESETS_QUICK: usize = 3;
/// … are mailed once in this time: some ten a day, and whoever cannot get in waits no longer than this.
const RESET_SELDOM: Duration = Duration::from_secs(3 * 3600);
/// What a day is here.
const RESET_DAY: Duration = Duration::from_secs(86_400);
/// Links of one account that count at once: a new one leaves those before it, or strangers could void them.
const RESETS_MAX: usize = 5;
/// When each account was mailed links within the last day, in this process; the links themselves are in the store.
pub(super) type ResetTimes = Mutex<HashMap<String, Vec<Timestamp>>>;
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
    /// The password is right, and a code is needed beside it: [`Accounts::enter_code`].
    CodeNeeded {
        /// Stands for the password until the code is entered; counts for some minutes, for this account.
        ticket: Secret<String>,
    },
    /// The ticket is too old, or the account has another password since: sign in from the beginning.
    TicketOver,
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

/// Who came in by a code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entered {
    /// Who it is.
    pub login: Login,
    /// It was a recovery code: so many are left.
    pub codes_left: Option<usize>,
}

impl ConsoleRefusal {
    /// Makes the answer come [`REFUSED_AFTER`] the question at least, of which this has passed.
    pub(super) fn wait_at_least(&mut self, passed: Duration) {
        if let ConsoleRefusal::Wrong { after } | ConsoleRefusal::CodeWrong { after } = self {
            *after = (*after).max(REFUSED_AFTER).saturating_sub(passed);
        }
    }
}

impl Accounts {
    /// Checks name and password of a person.
    ///
    /// # Errors
    /// Why nobody is let in; [`ConsoleRefusal::CodeNeeded`]: half of the way is done.
    pub async fn log_in(&self, source: IpAddr, name: &str, password: &Secret<String>) -> Result<Login, ConsoleRefusal> {
        let inner = &*self.0;
        let began = inner.clock.instant();
        let (outcome, mut decided) = inner.log_in(source, &name.to_lowercase(), password).await;
        if let Err(refusal) = &mut decided {
            refusal.wait_at_least(inner.clock.instant() - began);
        }
        inner.note(name, source, DOOR, outcome);
        decided
    }

    /// Checks the code of who has entered the password, that of the app or a recovery code; the ticket goes on counting after a
    /// wrong one.
    ///
    /// # Errors
    /// Why nobody is let in.
    pub async fn enter_code(
        &self,
        source: IpAddr,
        ticket: &Secret<String>,
        code: &str,
    ) -> Result<Entered, ConsoleRefusal> {
        let inner = &*self.0;
        let began = inner.clock.instant();
        let Some(held) = inner.tickets.find(ticket, inner.clock.now()) else { return Err(ConsoleRefusal::TicketOver) };
        let (outcome, mut decided) = inner.enter_code(source, &held, code).await;
        if let Err(refusal) = &mut decided {
            refusal.wait_at_least(inner.clock.instant() - began);
        } else {
            inner.tickets.forget(ticket);
        }
        inner.note(&held.name, source, DOOR, outcome);
        decided
    }

    /// The token of a reset mail counts now.
    pub fn reset_fits(&self, name: &str, token: &Secret<String>) -> bool {
        let now = self.0.clock.now();
        self.0.person(&name.to_lowercase()).is_some_and(|account| counts(&account, token, now))
    }

    /// Begins a reset by mail: the token for the link, to be mailed to the account's address and to nobody else. `by`: who asks
    /// for it. `None`: there is no such account, or it was mailed one lately; the page says the same either way, and does not wait for this: it takes
    /// longer for an account that exists.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn reset_begin(&self, name: &str, by: &Actor) -> Result<Option<Secret<String>>, AccountError> {
        let inner = &*self.0;
        let _alone = inner.changes.lock().await;
        let now = inner.clock.now();
        let Some(mut account) = inner.person(&name.to_lowercase()) else { return Ok(None) };
        let mailed_lately =
            account.person.resets.last().is_some_and(|(_, until)| now < until.minus(RESET_LIFETIME).plus(RESET_EVERY));
        if mailed_lately || matches!(by, Actor::Stranger { .. }) && !inner.may_mail_reset(&account.name, now) {
            return Ok(None);
        }
        let token = new_token()?;
        let resets = &mut account.person.resets;
        resets.retain(|(_, until)| now < *until);
        resets.push((Secret::new(digest_of(&token)), now.plus(RESET_LIFETIME)));
        let too_many = resets.len().saturating_sub(RESETS_MAX);
        resets.drain(..too_many);
        let audit = vec![inner.entry(by, "user.reset-mail", &account.name, "")];
        let name = account.name.clone();
        inner.save(vec![account], audit).await?;
        inner.reset_times().entry(name).or_default().push(now);
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
        let mut account = account.ok_or_else(link_is_over)?;
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

fn link_is_over() -> AccountError {
    refused(
        "the link is not valid any more: ask for another mail",
        "このリンクは無効です。もう一度メールを請求してください。",
    )
}

/// The token of one of the account's last reset mails, in time.
fn counts(account: &Account, token: &Secret<String>, now: Timestamp) -> bool {
    let digest_given = digest_of(token);
    let fits = |(digest, until): &(Secret<Vec<u8>>, Timestamp)| {
        equal_in_constant_time(digest.reveal(), &digest_given) && now < *until
    };
    account.person.resets.iter().filter(|reset| fits(reset)).count() > 0
}

type Decided = (Outcome, Result<Login, ConsoleRefusal>);
/// A person whose password is right, with the lock on changes under which that was found.
type Verified<'a> = (Account, smol::lock::MutexGuard<'a, ()>);

impl Inner {
    /// A link may be mailed to this account again, whoever asks. The count begins anew with the process.
    fn may_mail_reset(&self, name: &str, now: Timestamp) -> bool {
        let mut times = self.reset_times();
        times.retain(|_, times| {
            times.retain(|at| now < at.plus(RESET_DAY));
            !times.is_empty()
        });
        match times.get(name).map(Vec::as_slice) {
            Some([.., last]) if times[name].len() >= RESETS_QUICK => now >= last.plus(RESET_SELDOM),
            Some(_) | None => true,
        }
    }

    fn reset_times(&self) -> MutexGuard<'_, HashMap<String, Vec<Timestamp>>> {
        self.reset_times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The console account of this name.
    pub(super) fn person(&self, name: &str) -> Option<Account> {
        let account = self.account(name).filter(|account| account.kind == AccountKind::Console)?;
        Some((*account).clone())
    }

    /// The password of a person, by all the rules for wrong ones.
    pub(super) async fn verify(
        &self,
        source: IpAddr,
        name: &str,
        password: &Secret<String>,
    ) -> (Outcome, Result<Verified<'_>, ConsoleRefusal>) {
        if let Err((outcome, refusal)) = self.may_try(source) {
            return (outcome, Err(refusal));
        }
        if name.len() > NAME_MAX || password.reveal().len() > password::KEY_LEN_MAX {
            return (Outcome::Wrong, Err(ConsoleRefusal::Wrong { after: self.failed(AccountKind::Console, source) }));
        }
        let Some(turn) = self.turn(source).await else {
            return (Outcome::Busy, Err(ConsoleRefusal::Busy { again_after: LINE_AGAIN_AFTER }));
        };
        let account = self.person(name);
        // Of a locked account the password is not looked at: who goes on guessing learns nothing by it.
        let open = account.as_ref().filter(|account| account.person.locked_at.is_none());
        let fits = self.fits(turn, password, open.map_or(&self.nobody, |account| &account.hash)).await;
        let Some(seen) = account else {
            return (Outcome::Wrong, Err(ConsoleRefusal::Wrong { after: self.failed(AccountKind::Console, source) }));
        };
        let alone = self.changes.lock().await;
        // Others may have guessed, or the operator acted, while we hashed.
        match self.current(&seen).map(|now| (*now).clone()) {
            None => (Outcome::Wrong, Err(ConsoleRefusal::Wrong { after: self.failed(AccountKind::Console, source) })),
            Some(now) if now.person.locked_at.is_some() => {
                (Outcome::Locked, Err(ConsoleRefusal::Wrong { after: self.failed(AccountKind::Console, source) }))
            }
            Some(now) if !fits => {
                let counted = self.count_failure(now, source).await;
                let wrong = ConsoleRefusal::Wrong { after: self.failed(AccountKind::Console, source) };
                match counted {
                    Ok(locks) => (if locks { Outcome::Locking } else { Outcome::Wrong }, Err(wrong)),
                    Err(stored) => (Outcome::Wrong, Err(stored)),
                }
            }
            Some(now) => (Outcome::Success, Ok((now, alone))),
        }
    }

    /// Who comes from there may try at all.
    fn may_try(&self, source: IpAddr) -> Result<(), (Outcome, ConsoleRefusal)> {
        if !holds(&self.config().allowed_ips.console, source) {
            return Err((Outcome::NotAllowed, ConsoleRefusal::NotAllowed));
        }
        match self.guard(AccountKind::Console).refuses(source, self.clock.instant()) {
            Some(refusing) => Err((Outcome::Busy, ConsoleRefusal::Busy { again_after: refusing.again_after })),
            None => Ok(()),
        }
    }

    async fn log_in(&self, source: IpAddr, name: &str, password: &Secret<String>) -> Decided {
        let (outcome, verified) = self.verify(source, name, password).await;
        match verified {
            Err(refusal) => (outcome, Err(refusal)),
            Ok((account, _alone)) => {
                if let Err((outcome, refusal)) = self.may_enter(&account, source) {
                    return (outcome, Err(refusal));
                }
                if account.person.totp.is_none() {
                    return self.let_in(account, Vec::new()).await;
                }
                // The count of wrong passwords stays: it ends with a whole login.
                match self.tickets.give(&account, self.clock.now()) {
                    Ok(ticket) => (Outcome::Totp, Err(ConsoleRefusal::CodeNeeded { ticket })),
                    Err(_) => (Outcome::Busy, Err(ConsoleRefusal::Busy { again_after: LINE_AGAIN_AFTER })),
                }
            }
        }
    }

    async fn enter_code(
        &self,
        source: IpAddr,
        held: &Ticket,
        code: &str,
    ) -> (Outcome, Result<Entered, ConsoleRefusal>) {
        if let Err((outcome, refusal)) = self.may_try(source) {
            return (outcome, Err(refusal));
        }
        let _alone = self.changes.lock().await;
        let account = self.person(&held.name).filter(|account| account.password_set_at == held.password_set_at);
        let Some(mut account) = account else { return (Outcome::Totp, Err(ConsoleRefusal::TicketOver)) };
        if account.person.locked_at.is_some() {
            return (
                Outcome::Locked,
                Err(ConsoleRefusal::CodeWrong { after: self.failed(AccountKind::Console, source) }),
            );
        }
        if let Err((outcome, refusal)) = self.may_enter(&account, source) {
            return (outcome, Err(refusal));
        }
        // Turned off meanwhile, there is nothing left to ask; but the way begins anew, so that nobody wonders.
        let Some(secret) = &account.person.totp else { return (Outcome::Totp, Err(ConsoleRefusal::TicketOver)) };
        let step = totp::step_of(secret, code, self.clock.now(), account.person.totp_step);
        let (codes_left, audit) = match (step, recovery::position(&account.name, &account.person.recovery, code)) {
            (Some(step), _) => {
                account.person.totp_step = step;
                (None, Vec::new())
            }
            (None, Some(at)) => {
                account.person.recovery.remove(at);
                let left = account.person.recovery.len();
                let by = Actor::Person { name: account.name.clone(), from: source };
                (
                    Some(left),
                    vec![self.entry(&by, "user.recovery-use", &account.name, format!("one used, {left} left"))],
                )
            }
            (None, None) => {
                let stored = self.count_failure(account, source).await;
                let wrong = ConsoleRefusal::CodeWrong { after: self.failed(AccountKind::Console, source) };
                return (Outcome::Totp, Err(stored.err().unwrap_or(wrong)));
            }
        };
        let (outcome, decided) = self.let_in(account, audit).await;
        (outcome, decided.map(|login| Entered { login, codes_left }))
    }

    /// The password fits; the account may be used from there, now.
    fn may_enter(&self, account: &Account, source: IpAddr) -> Result<(), (Outcome, ConsoleRefusal)> {
        if !holds(&account.rights.networks, source) {
            return Err((Outcome::NotAllowed, ConsoleRefusal::NotAllowed));
        }
        if self.has_expired(account) {
            return Err((Outcome::Expired, ConsoleRefusal::Expired));
        }
        Ok(())
    }

    /// Lets a person in, and writes what that changed.
    async fn let_in(&self, mut account: Account, audit: Vec<AuditEntry>) -> Decided {
        let login = Login::from(&account);
        account.person.failed_logins = 0;
        let is_known = self.account(&account.name).is_some_and(|known| known.person == account.person);
        if !is_known && let Err(error) = self.save(vec![account], audit).await {
            return (Outcome::Busy, Err(ConsoleRefusal::Store(error)));
        }
        (Outcome::Success, Ok(login))
    }

    /// Counts a wrong password or code, on disk before anybody hears of it; locks the account when there are too many, which is
    /// answered.
    async fn count_failure(&self, mut account: Account, source: IpAddr) -> Result<bool, ConsoleRefusal> {
        let failures_max = self.config().failed_logins_max;
        account.person.failed_logins = account.person.failed_logins.saturating_add(1);
        let mut audit: Vec<AuditEntry> = Vec::new();
        let locks = account.person.failed_logins >= failures_max;
        if locks {
            account.person.locked_at = Some(self.clock.now());
            let by = Actor::Stranger { from: source };
            let detail = format!("{} wrong passwords in a row", account.person.failed_logins);
            audit.push(self.entry(&by, "user.lock", &account.name, detail));
        }
        self.save(vec![account], audit).await.map_err(ConsoleRefusal::Store)?;
        Ok(locks)
    }
}
