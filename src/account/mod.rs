//! Who may log in: accounts, their passwords, and how guessing is slowed.
//!
//! Always: argon2id at 19 MiB, at most a bounded number at once and never on an executor thread; API users are never
//! locked by wrong credentials (R15): their source address is slowed instead; nothing here prints a secret.

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::{clock::Clock, event::Class, metrics::Metrics, secret::Secret, store::Store};

/// The accounts; clones share cache and counters.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {}

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
    /// The account may not use this door.
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
    /// The name is taken, malformed, or there are `users_max` already; the text says so.
    #[error("{0}")]
    Refused(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

#[allow(clippy::unimplemented, unused_variables, missing_docs)] // contract
impl Accounts {
    /// Reads the accounts of the store.
    pub fn new(store: Store, clock: Clock, metrics: Arc<Metrics>, users_max: usize) -> Result<Self, AccountError> {
        unimplemented!()
    }

    /// Checks a login. Cancel-safe.
    pub async fn check(
        &self,
        door: Door,
        source: IpAddr,
        name: &str,
        password: &Secret<String>,
    ) -> Result<Login, LoginRefusal> {
        unimplemented!()
    }

    /// Adds an API user. `key`: its key; `None` makes one. Answers the key, to be shown once.
    pub async fn add_api(&self, name: &str, key: Option<Secret<String>>) -> Result<Secret<String>, AccountError> {
        unimplemented!()
    }

    /// Sets another key; `None` makes one.
    pub async fn set_key(&self, name: &str, key: Option<Secret<String>>) -> Result<Secret<String>, AccountError> {
        unimplemented!()
    }

    /// Removes a user; false when there is none.
    pub async fn remove(&self, name: &str) -> Result<bool, AccountError> {
        unimplemented!()
    }

    /// A new `users_max`, at reload.
    pub fn reconfigure(&self, users_max: usize) {}
}
