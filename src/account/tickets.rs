//! Tickets: who has entered the right password, and still owes a code.
//!
//! In: accounts whose password was right.  Out: a ticket, and whose it is.
//! Always: in RAM alone, as digests; bounded in number and life; another password ends them; a restart forgets them.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    password::HashError,
    sessions::{digest_of, new_token},
};
use crate::{clock::Timestamp, secret::Secret, store::Account};

/// Time to find the phone and type a code.
const LIFETIME: Duration = Duration::from_secs(600);
/// Tickets at once: only who knows a password gets one. The oldest goes for a new one.
const TICKETS_MAX: usize = 1000;

/// The tickets, by the digest of their token.
#[derive(Default)]
pub(super) struct Tickets(Mutex<HashMap<Vec<u8>, Ticket>>);

/// What a ticket stands for.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    /// The account.
    pub name: String,
    /// When its password was set.
    pub password_set_at: Timestamp,
    until: Timestamp,
}

impl Tickets {
    /// A ticket for an account whose password was right.
    pub fn give(&self, account: &Account, now: Timestamp) -> Result<Secret<String>, HashError> {
        let token = new_token()?;
        let mut tickets = self.lock();
        tickets.retain(|_, ticket| now < ticket.until);
        if tickets.len() >= TICKETS_MAX
            && let Some(oldest) = tickets.iter().min_by_key(|(_, ticket)| ticket.until).map(|(key, _)| key.clone())
        {
            tickets.remove(&oldest);
        }
        let ticket =
            Ticket { name: account.name.clone(), password_set_at: account.password_set_at, until: now.plus(LIFETIME) };
        tickets.insert(digest_of(&token), ticket);
        Ok(token)
    }

    /// What a ticket stands for, while it counts.
    pub fn find(&self, token: &Secret<String>, now: Timestamp) -> Option<Ticket> {
        self.lock().get(&digest_of(token)).filter(|ticket| now < ticket.until).cloned()
    }

    /// It was used.
    pub fn forget(&self, token: &Secret<String>) {
        self.lock().remove(&digest_of(token));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Ticket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
