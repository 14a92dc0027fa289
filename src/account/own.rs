//! What people change of their own account: password, name, language, time zone, the second factor.
//!
//! In: who is signed in, from where; for what a thief of a session must not do, the password again.  Out: the account changed.
//! Always: a wrong password here counts like one at the sign-in and locks (R15), and the lock ends the sessions by which it was
//! guessed; one that strangers brought about ends no session, or anybody could sign the group administrator out; while an account
//! is locked no password is looked at, here neither: a stolen session learns nothing, and its owner is told what to do; a second factor is on only after a right code of it, and its recovery codes come and go with it; another password ends
//! all sessions; each change and its entry of the operation log are one transaction.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    AccountError, Accounts, Actor, ConsoleRefusal, Inner, Login,
    log::Outcome,
    manage::hashed,
    password, recovery,
    rights::{self, Changes},
    totp,
    words::refused,
};
use crate::{clock::Timestamp, secret::Secret, store::Account};

/// How long a secret waits for its first code.
const OFFER_LIFETIME: Duration = Duration::from_secs(1800);
/// Offers at once; more sessions than that want theirs in the same half hour nowhere.
const OFFERS_MAX: usize = 200;

/// Secrets of second factors that nobody has shown a code of, by the session that they were shown to. In RAM alone.
#[derive(Default)]
pub(super) struct Offers(Mutex<HashMap<String, Offer>>);

#[derive(Clone)]
struct Offer {
    /// Whose it is, by which password: after another one it counts no more.
    name: String,
    password_set_at: Timestamp,
    secret: Secret<Vec<u8>>,
    until: Timestamp,
}

impl Offer {
    /// It may be accepted by this account, now.
    fn is_of(&self, account: &Account, now: Timestamp) -> bool {
        self.name == account.name && self.password_set_at == account.password_set_at && now < self.until
    }
}

impl Offers {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Offer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A second factor that waits for its first code.
#[derive(Clone, Debug)]
pub struct TotpOffer {
    /// The secret, as people type it: base32.
    pub secret: Secret<String>,
    /// The link that programs take, as a QR code.
    pub link: Secret<String>,
}

/// What people may change of themselves without their password.
#[derive(Clone, Default, Debug)]
pub struct OwnChanges {
    /// The name of the person.
    pub display_name: Option<String>,
    /// `en`, `ja`, or empty: the browser's.
    pub language: Option<String>,
    /// An IANA name, or empty: that of the server.
    pub time_zone: Option<String>,
}

/// Why a change of one's own account was not made.
#[derive(Debug)]
pub enum OwnRefusal {
    /// The password that was asked for is wrong, or not looked at now.
    Password(ConsoleRefusal),
    /// The account is locked by wrong passwords from elsewhere: none is looked at before it is unlocked. The session goes on.
    Locked,
    /// The code is not one of the secret that is shown.
    Code,
    /// The change itself.
    Act(AccountError),
}

impl From<AccountError> for OwnRefusal {
    fn from(error: AccountError) -> Self {
        OwnRefusal::Act(error)
    }
}

impl From<password::HashError> for OwnRefusal {
    fn from(error: password::HashError) -> Self {
        OwnRefusal::Act(error.into())
    }
}

impl Accounts {
    /// Changes name, language and time zone; answers the account as it is then.
    ///
    /// # Errors
    /// [`AccountError::Refused`] with words for the person; [`AccountError::Unknown`]; the store's failure.
    pub async fn change_own(&self, name: &str, from: IpAddr, own: OwnChanges) -> Result<Account, AccountError> {
        let inner = &*self.0;
        let _alone = inner.changes.lock().await;
        let before = inner.person(name).ok_or_else(|| AccountError::Unknown(name.to_owned()))?;
        let OwnChanges { display_name, language, time_zone } = own;
        let changes = Changes { display_name, language, time_zone, ..Changes::default() };
        let mut after = before.clone();
        changes.apply(&mut after).map_err(AccountError::Refused)?;
        let detail = rights::difference(&before, &after);
        if !detail.is_empty() {
            let by = Actor::Person { name: name.to_owned(), from };
            let audit = vec![inner.entry(&by, "user.set", name, detail)];
            inner.save(vec![after.clone()], audit).await?;
        }
        Ok(after)
    }

    /// Sets another password, by the old one. All sessions end; the answer opens a new one.
    ///
    /// # Errors
    /// The old one is wrong; the new one is weak; the store's failure.
    pub async fn set_own_password(
        &self,
        name: &str,
        from: IpAddr,
        old: &Secret<String>,
        new: Secret<String>,
    ) -> Result<Login, OwnRefusal> {
        let inner = &*self.0;
        let set_at = self.confirm(name, from, old).await?;
        if old == &new {
            return Err(refused("the new password is the old one", "新しいパスワードが今のものと同じです。").into());
        }
        // Hashed beside the lock; nothing else depends on it.
        let (_, hash) = hashed(name, Some(new), false).await?;
        let _alone = inner.changes.lock().await;
        // Another password meanwhile: the old one does not count any more.
        let account = inner.person(name).filter(|account| account.password_set_at == set_at);
        let mut account = account.ok_or_else(|| AccountError::Unknown(name.to_owned()))?;
        inner.give_key(&mut account, hash);
        let login = Login::from(&account);
        let by = Actor::Person { name: name.to_owned(), from };
        let audit = vec![inner.entry(&by, "user.password", name, "own password")];
        inner.save(vec![account], audit).await.map_err(AccountError::from)?;
        self.close_all(name).await?;
        Ok(login)
    }

    /// A secret for a second factor, to be shown in the session of this token: there the same for half an hour, so that a page may
    /// be loaded again; another session, and whoever sets another password, gets another one.
    ///
    /// # Errors
    /// The second factor is on; too many are asked for; the system has no randomness.
    pub fn totp_offer(&self, name: &str, session: &Secret<String>) -> Result<TotpOffer, AccountError> {
        let inner = &*self.0;
        let session = self.session_id(session);
        let account = inner.person(name).ok_or_else(|| AccountError::Unknown(name.to_owned()))?;
        if account.person.totp.is_some() {
            return Err(is_on());
        }
        let now = inner.clock.now();
        let mut offers = inner.offers.lock();
        offers.retain(|_, offer| now < offer.until && (offer.name != account.name || offer.is_of(&account, now)));
        let secret = match offers.get(&session).filter(|offer| offer.is_of(&account, now)) {
            Some(offer) => offer.secret.clone(),
            None if offers.len() >= OFFERS_MAX => {
                return Err(refused(
                    "too many people set up their second factor at once: try again in half an hour",
                    "二段階認証の設定が混み合っています。30分ほど待ってからもう一度お試しください。",
                ));
            }
            None => {
                let secret = totp::new_secret().ok_or(password::HashError)?;
                let (name, password_set_at) = (account.name.clone(), account.password_set_at);
                let until = now.plus(OFFER_LIFETIME);
                offers.insert(session, Offer { name, password_set_at, secret: secret.clone(), until });
                secret
            }
        };
        Ok(TotpOffer { secret: totp::text(&secret), link: totp::uri(name, &secret) })
    }

    /// Turns the second factor on: by the password, and a code of the secret that was offered in this session, which counts once.
    /// Answers the recovery codes, which are nowhere else.
    ///
    /// # Errors
    /// Password or code are wrong; nothing was offered; the store's failure.
    pub async fn totp_on(
        &self,
        name: &str,
        session: &Secret<String>,
        from: IpAddr,
        password: &Secret<String>,
        code: &str,
    ) -> Result<Vec<Secret<String>>, OwnRefusal> {
        let inner = &*self.0;
        self.confirm(name, from, password).await?;
        let _alone = inner.changes.lock().await;
        let mut account = inner.person(name).ok_or_else(|| AccountError::Unknown(name.to_owned()))?;
        if account.person.totp.is_some() {
            return Err(is_on().into());
        }
        let now = inner.clock.now();
        let session = self.session_id(session);
        let offer = inner.offers.lock().get(&session).filter(|offer| offer.is_of(&account, now)).cloned();
        let Some(Offer { secret, .. }) = offer else {
            return Err(refused(
                "the secret was shown too long ago: begin again with a new one",
                "シークレットの有効期限が切れました。新しいものでやり直してください。",
            )
            .into());
        };
        let step = totp::step_of(&secret, code, now, 0).ok_or(OwnRefusal::Code)?;
        let set = recovery::new_set(name).ok_or(password::HashError)?;
        account.person.totp = Some(secret);
        account.person.totp_step = step;
        account.person.recovery = set.digests;
        let by = Actor::Person { name: name.to_owned(), from };
        let audit = vec![inner.entry(&by, "user.totp", name, "two-factor login off → on, with a new secret")];
        inner.save(vec![account], audit).await.map_err(AccountError::from)?;
        inner.offers.lock().retain(|_, offer| offer.name != name);
        Ok(set.codes)
    }

    /// New recovery codes in the place of those that there were, by the password.
    ///
    /// # Errors
    /// The password is wrong; the second factor is off; the store's failure.
    pub async fn renew_recovery(
        &self,
        name: &str,
        from: IpAddr,
        password: &Secret<String>,
    ) -> Result<Vec<Secret<String>>, OwnRefusal> {
        let inner = &*self.0;
        self.confirm(name, from, password).await?;
        let _alone = inner.changes.lock().await;
        let mut account = inner.person(name).ok_or_else(|| AccountError::Unknown(name.to_owned()))?;
        if account.person.totp.is_none() {
            return Err(refused(
                "two-factor sign-in is off: without it nobody is asked for a code",
                "二段階認証が無効のため、リカバリーコードは使われません。先に有効にしてください。",
            )
            .into());
        }
        let set = recovery::new_set(name).ok_or(password::HashError)?;
        let left = std::mem::replace(&mut account.person.recovery, set.digests).len();
        let by = Actor::Person { name: name.to_owned(), from };
        let detail = format!("{} new ones; {left} were left", set.codes.len());
        let audit = vec![inner.entry(&by, "user.recovery-codes", name, detail)];
        inner.save(vec![account], audit).await.map_err(AccountError::from)?;
        Ok(set.codes)
    }

    /// Turns the second factor off, by the password.
    ///
    /// # Errors
    /// The password is wrong; the store's failure.
    pub async fn totp_off(&self, name: &str, from: IpAddr, password: &Secret<String>) -> Result<(), OwnRefusal> {
        let inner = &*self.0;
        self.confirm(name, from, password).await?;
        let _alone = inner.changes.lock().await;
        let mut account = inner.person(name).ok_or_else(|| AccountError::Unknown(name.to_owned()))?;
        if account.person.totp.take().is_none() {
            return Ok(());
        }
        account.person.totp_step = 0;
        account.person.recovery.clear();
        let by = Actor::Person { name: name.to_owned(), from };
        let audit = vec![inner.entry(&by, "user.totp", name, "two-factor login on → off")];
        inner.save(vec![account], audit).await.map_err(AccountError::from)?;
        Ok(())
    }

    /// The password of who is signed in, asked again; answers when it was set. The one too many locks the account and ends its
    /// sessions.
    async fn confirm(&self, name: &str, from: IpAddr, password: &Secret<String>) -> Result<Timestamp, OwnRefusal> {
        match self.0.confirm(name, from, password).await {
            Ok(set_at) => Ok(set_at),
            Err((Outcome::Locked, _)) => Err(OwnRefusal::Locked),
            Err((outcome, refusal)) => {
                if outcome == Outcome::Locking {
                    // Ended here in any case; a store that fails says so at the next write.
                    let _ = self.close_all(name).await;
                }
                Err(OwnRefusal::Password(refusal))
            }
        }
    }
}

fn is_on() -> AccountError {
    refused(
        "two-factor sign-in is on already: turn it off first",
        "二段階認証はすでに有効です。先に無効にしてください。",
    )
}

impl Inner {
    async fn confirm(
        &self,
        name: &str,
        source: IpAddr,
        password: &Secret<String>,
    ) -> Result<Timestamp, (Outcome, ConsoleRefusal)> {
        let began = self.clock.instant();
        let (outcome, verified) = self.verify(source, name, password).await;
        match verified {
            Ok((account, _alone)) => Ok(account.password_set_at),
            Err(mut refusal) => {
                refusal.wait_at_least(self.clock.instant() - began);
                self.note(name, source, super::console::DOOR, outcome);
                Err((outcome, refusal))
            }
        }
    }
}

#[cfg(test)]
impl Offers {
    pub(super) fn find_for_tests(&self, session: &str) -> Secret<Vec<u8>> {
        self.lock().get(session).expect("an offer").secret.clone()
    }

    pub(super) fn count_for_tests(&self) -> usize {
        self.lock().len()
    }
}

#[cfg(test)]
impl Inner {
    pub(super) fn offers_for_tests(&self, name: &str) -> Secret<Vec<u8>> {
        self.offers.lock().values().find(|offer| offer.name == name).expect("an offer").secret.clone()
    }
}
