//! What people change of their own account: password, name, language, time zone, the second factor.
//!
//! In: who is signed in, from where; for what a thief of a session must not do, the password again.  Out: the account changed.
//! Always: a wrong password here counts like one at the sign-in and locks (R15), and the lock ends the sessions by which it was
//! guessed; a second factor is on only after a right code of it; another password ends all sessions; each change and its entry of
//! the operation log are one transaction.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    AccountError, Accounts, Actor, ConsoleRefusal, Inner, Login,
    manage::hashed,
    password,
    rights::{self, Changes},
    totp,
    words::refused,
};
use crate::{clock::Timestamp, secret::Secret, store::Account};

/// How long a secret waits for its first code.
const OFFER_LIFETIME: Duration = Duration::from_secs(1800);
/// Offers at once; more accounts than that want theirs in the same half hour nowhere.
const OFFERS_MAX: usize = 200;

/// Secrets of second factors that nobody has shown a code of, by account. In RAM alone.
#[derive(Default)]
pub(super) struct Offers(Mutex<HashMap<String, Offer>>);

#[derive(Clone)]
struct Offer {
    secret: Secret<Vec<u8>>,
    until: Timestamp,
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

    /// A secret for a second factor, to be shown: the same for half an hour, so that a page may be loaded again.
    ///
    /// # Errors
    /// The second factor is on; too many are asked for; the system has no randomness.
    pub fn totp_offer(&self, name: &str) -> Result<TotpOffer, AccountError> {
        let inner = &*self.0;
        let account = inner.person(name).ok_or_else(|| AccountError::Unknown(name.to_owned()))?;
        if account.person.totp.is_some() {
            return Err(is_on());
        }
        let now = inner.clock.now();
        let mut offers = inner.offers.lock();
        offers.retain(|_, offer| now < offer.until);
        let secret = match offers.get(name) {
            Some(offer) => offer.secret.clone(),
            None if offers.len() >= OFFERS_MAX => {
                return Err(refused(
                    "too many people set up their second factor at once: try again in half an hour",
                    "二段階認証の設定が混み合っています。30分ほど待ってからもう一度お試しください。",
                ));
            }
            None => {
                let secret = totp::new_secret().ok_or(password::HashError)?;
                offers.insert(name.to_owned(), Offer { secret: secret.clone(), until: now.plus(OFFER_LIFETIME) });
                secret
            }
        };
        Ok(TotpOffer { secret: totp::text(&secret), link: totp::uri(name, &secret) })
    }

    /// Turns the second factor on: by the password, and a code of the secret that was offered. The code counts once.
    ///
    /// # Errors
    /// Password or code are wrong; nothing was offered; the store's failure.
    pub async fn totp_on(
        &self,
        name: &str,
        from: IpAddr,
        password: &Secret<String>,
        code: &str,
    ) -> Result<(), OwnRefusal> {
        let inner = &*self.0;
        self.confirm(name, from, password).await?;
        let _alone = inner.changes.lock().await;
        let mut account = inner.person(name).ok_or_else(|| AccountError::Unknown(name.to_owned()))?;
        if account.person.totp.is_some() {
            return Err(is_on().into());
        }
        let now = inner.clock.now();
        let offer = inner.offers.lock().get(name).filter(|offer| now < offer.until).cloned();
        let Some(Offer { secret, .. }) = offer else {
            return Err(refused(
                "the secret was shown too long ago: begin again with a new one",
                "シークレットの有効期限が切れました。新しいものでやり直してください。",
            )
            .into());
        };
        let step = totp::step_of(&secret, code, now, 0).ok_or(OwnRefusal::Code)?;
        account.person.totp = Some(secret);
        account.person.totp_step = step;
        let by = Actor::Person { name: name.to_owned(), from };
        let audit = vec![inner.entry(&by, "user.totp", name, "two-factor login off → on, with a new secret")];
        inner.save(vec![account], audit).await.map_err(AccountError::from)?;
        inner.offers.lock().remove(name);
        Ok(())
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
        let by = Actor::Person { name: name.to_owned(), from };
        let audit = vec![inner.entry(&by, "user.totp", name, "two-factor login on → off")];
        inner.save(vec![account], audit).await.map_err(AccountError::from)?;
        Ok(())
    }

    /// The password of who is signed in, asked again; answers when it was set. Too many wrong ones lock the account and end its sessions.
    async fn confirm(&self, name: &str, from: IpAddr, password: &Secret<String>) -> Result<Timestamp, OwnRefusal> {
        let inner = &*self.0;
        match inner.confirm(name, from, password).await {
            Ok(set_at) => Ok(set_at),
            Err(refusal) => {
                if inner.person(name).is_some_and(|account| account.person.locked_at.is_some()) {
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
    ) -> Result<Timestamp, ConsoleRefusal> {
        let began = self.clock.instant();
        let (outcome, verified) = self.verify(source, name, password).await;
        match verified {
            Ok((account, _alone)) => Ok(account.password_set_at),
            Err(mut refusal) => {
                refusal.wait_at_least(self.clock.instant() - began);
                self.log.note(name, source, super::console::DOOR, outcome, self.clock.now(), self.clock.instant());
                Err(refusal)
            }
        }
    }
}

#[cfg(test)]
impl Inner {
    pub(super) fn offers_for_tests(&self, name: &str) -> Secret<Vec<u8>> {
        self.offers.lock().get(name).expect("an offer").secret.clone()
    }
}
