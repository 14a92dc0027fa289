//! The first account: made in the browser, by whoever reads the terminal or the journal.
//!
//! In: a token that the process made and the operator passed on.  Out: the group administrator.
//! Always: the token is in RAM alone, counts once, and only while there is no console account at all; a new one makes the old
//! one worthless; without it nobody learns more than that a set-up waits.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use super::{
    AccountError, Accounts, Actor, Inner, Login, NAME_MAX,
    manage::{flawed, hashed, name_flaw},
    rights::Changes,
    sessions::{digest_of, new_token},
    words::refused,
};
use crate::{
    secret::{Secret, equal_in_constant_time},
    store::{Account, AccountChange, AccountKind, Person, Rights, Role},
};

/// The digest of the token that was given out last.
#[derive(Default)]
pub(super) struct SetUp(Mutex<Option<Vec<u8>>>);

impl SetUp {
    fn put(&self, digest: Option<Vec<u8>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = digest;
    }

    fn fits(&self, token: &Secret<String>) -> bool {
        let digest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        digest.as_ref().is_some_and(|digest| equal_in_constant_time(digest, &digest_of(token)))
    }
}

/// Who the first person is.
#[derive(Clone, Debug)]
pub struct FirstPerson {
    /// The e-mail address: the login.
    pub name: String,
    /// The password.
    pub password: Secret<String>,
    /// The name of the person; may be empty.
    pub display_name: String,
    /// `en`, `ja`, or empty: the browser's.
    pub language: String,
    /// An IANA name, or empty: that of the server.
    pub time_zone: String,
    /// It may download logs: off unless it is granted (R13).
    pub download: bool,
}

impl Accounts {
    /// A token for the link by which the first account is made; `None`: there is a console account.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn set_up_begin(&self) -> Result<Option<Secret<String>>, AccountError> {
        let inner = &*self.0;
        if inner.has_people() {
            inner.set_up.put(None);
            return Ok(None);
        }
        let token = new_token()?;
        inner.set_up.put(Some(digest_of(&token)));
        Ok(Some(token))
    }

    /// There is no console account yet.
    pub fn set_up_waits(&self) -> bool {
        !self.0.has_people()
    }

    /// The token is the one that counts now.
    pub fn set_up_fits(&self, token: &Secret<String>) -> bool {
        !self.0.has_people() && self.0.set_up.fits(token)
    }

    /// Makes the group administrator; the answer opens its first session. What is refused uses the token not up.
    ///
    /// # Errors
    /// [`AccountError::Refused`] with words for the person; the store's failure.
    pub async fn set_up_finish(
        &self,
        token: &Secret<String>,
        first: FirstPerson,
        from: IpAddr,
    ) -> Result<Login, AccountError> {
        let inner = &*self.0;
        let _alone = inner.changes.lock().await;
        if !self.set_up_fits(token) {
            return Err(refused(
                "the link is not valid any more: restart or reload Hikyaku, and it writes another one to its journal",
                "このリンクは無効です。Hikyakuを再起動または再読み込みすると、新しいリンクがジャーナルに記録されます。",
            ));
        }
        let name = first.name.to_lowercase();
        if let Some(why) = name_flaw(&name, AccountKind::Console) {
            return Err(flawed(&name.chars().take(NAME_MAX).collect::<String>(), &why));
        }
        inner.must_have_room(&name)?;
        let now = inner.clock.now();
        let mut account = Account {
            name: name.clone(),
            kind: AccountKind::Console,
            hash: Secret::default(),
            created_at: now,
            password_set_at: now,
            rights: Rights { view: true, role: Role::GroupAdministrator, ..Rights::default() },
            person: Person::default(),
        };
        let changes = Changes {
            display_name: Some(first.display_name),
            language: Some(first.language),
            time_zone: Some(first.time_zone),
            permissions: Some((true, first.download)),
            ..Changes::default()
        };
        changes.apply(&mut account).map_err(AccountError::Refused)?;
        let (_, hash) = hashed(&name, Some(first.password), false).await?;
        account.hash = hash;
        let detail = format!("first account, role group-administrator, download {}", on_off(first.download));
        let by = Actor::Person { name: name.clone(), from };
        let audit = vec![inner.entry(&by, "user.set-up", &name, detail)];
        let change = AccountChange { put: vec![account.clone()], replace: false, remove: None, audit };
        if !inner.store.change(change).await? {
            return Err(refused(
                format!("there is a user {name} already"),
                format!("ユーザー {name} はすでにあります。"),
            ));
        }
        let login = Login::from(&account);
        inner.learn(account);
        inner.set_up.put(None);
        Ok(login)
    }
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

impl Inner {
    fn has_people(&self) -> bool {
        self.known().values().any(|account| account.kind == AccountKind::Console)
    }
}
