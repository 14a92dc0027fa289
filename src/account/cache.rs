//! Remembers good logins, so that a program that logs in with every mail is not hashed every time.
//!
//! In: name, key and when the key was set.  Out: whether exactly these were verified lately.
//! Always: what is kept is an HMAC under a key of this process: memory holds no password; another key, another name or
//! a newer password never hit; bounded in number and in life.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;

use crate::{clock::Timestamp, secret::Secret};

/// Good logins that are remembered; some 80 bytes each.
const LOGINS_MAX: usize = 1000;
/// How long after its last use.
const LIFE: Duration = Duration::from_secs(3600);

/// What stands for a name, a key and when it was set.
pub(super) type Token = [u8; 32];

/// The good logins.
pub(super) struct Cache {
    key: hmac::Key,
    known: Mutex<HashMap<Token, Instant>>,
}

impl Cache {
    /// An empty cache with a random key.
    pub fn new() -> Result<Self, super::password::HashError> {
        let mut random = [0u8; 32];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| super::password::HashError)?;
        Ok(Cache { key: hmac::Key::new(hmac::HMAC_SHA256, &random), known: Mutex::default() })
    }

    /// The token of a login.
    pub fn token(&self, name: &str, key: &Secret<String>, set_at: Timestamp) -> Token {
        let mut context = hmac::Context::with_key(&self.key);
        // The length keeps ("ab", "c") apart from ("a", "bc").
        context.update(&(name.len() as u64).to_be_bytes());
        context.update(name.as_bytes());
        context.update(&set_at.as_millis().to_be_bytes());
        context.update(key.reveal().as_bytes());
        let mut token = Token::default();
        token.copy_from_slice(context.sign().as_ref());
        token
    }

    /// This login was good lately; its life begins anew.
    pub fn knows(&self, token: &Token, now: Instant) -> bool {
        match self.lock().get_mut(token) {
            Some(used) if now.saturating_duration_since(*used) < LIFE => {
                *used = now;
                true
            }
            _ => false,
        }
    }

    /// Remembers a good login.
    pub fn learn(&self, token: Token, now: Instant) {
        let mut known = self.lock();
        if known.len() >= LOGINS_MAX && !known.contains_key(&token) {
            known.retain(|_, used| now.saturating_duration_since(*used) < LIFE);
            // Still full: the one that was not used for longest goes.
            if known.len() >= LOGINS_MAX
                && let Some(oldest) = known.iter().min_by_key(|(_, used)| **used).map(|(token, _)| *token)
            {
                known.remove(&oldest);
            }
        }
        known.insert(token, now);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Token, Instant>> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn only_the_same_name_key_and_setting_time_hit_and_only_for_a_while() {
        let clock = Clock::manual(Timestamp::ZERO);
        let cache = Cache::new().unwrap();
        let token =
            |name: &str, key: &str, at: u64| cache.token(name, &Secret::new(key.into()), Timestamp::from_millis(at));
        cache.learn(token("ab", "c", 1), clock.instant());
        assert!(cache.knows(&token("ab", "c", 1), clock.instant()));
        for (name, key, at) in [("a", "bc", 1), ("ab", "c", 2), ("ab", "d", 1), ("abc", "", 1)] {
            assert!(!cache.knows(&token(name, key, at), clock.instant()), "{name} {key} {at}");
        }
        clock.advance(LIFE / 2);
        assert!(cache.knows(&token("ab", "c", 1), clock.instant()), "its life begins anew");
        clock.advance(LIFE - Duration::from_secs(1));
        assert!(cache.knows(&token("ab", "c", 1), clock.instant()));
        clock.advance(LIFE);
        assert!(!cache.knows(&token("ab", "c", 1), clock.instant()));
    }

    #[test]
    fn it_is_bounded_and_drops_the_longest_unused() {
        let clock = Clock::manual(Timestamp::ZERO);
        let cache = Cache::new().unwrap();
        let token = |n: usize| cache.token("a", &Secret::new(n.to_string()), Timestamp::ZERO);
        for n in 0..LOGINS_MAX + 10 {
            clock.advance(Duration::from_millis(1));
            cache.learn(token(n), clock.instant());
        }
        assert_eq!(cache.lock().len(), LOGINS_MAX);
        assert!(!cache.knows(&token(9), clock.instant()) && cache.knows(&token(10), clock.instant()));
    }
}
