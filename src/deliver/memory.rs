//! What was learnt about hosts lately: which broke the TLS handshake, which could not be reached; and of ourselves, by
//! which sources IPv6 may be used.
//!
//! Always: bounded, and forgotten after a while; a host that is remembered as dead is tried last, never left out.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::tls_results::ResultType;

/// How long a broken handshake is remembered: the next try within it goes out in clear. As long, a certificate that did
/// not pass where that was only tried.
const TLS_BROKE_FOR: Duration = Duration::from_secs(1800);
/// How long a host counts as dead.
const DEAD_FOR: Duration = Duration::from_secs(60);
/// How long the answer about a source address holds.
const SOURCE_FOR: Duration = Duration::from_secs(600);
/// Hosts remembered, of each kind.
const HOSTS_MAX: usize = 10_000;

/// What is remembered.
#[derive(Default)]
pub(super) struct Memory {
    tls_broke: Mutex<Recent<SocketAddr, ()>>,
    check_failed: Mutex<Recent<SocketAddr, ResultType>>,
    dead: Mutex<Recent<SocketAddr, ()>>,
    sources: Mutex<Recent<Option<IpAddr>, bool>>,
}

impl Memory {
    pub(super) fn tls_broke(&self, host: SocketAddr, now: Instant) -> bool {
        lock(&self.tls_broke).get(&host, now).is_some()
    }

    pub(super) fn remember_tls_broke(&self, host: SocketAddr, now: Instant) {
        lock(&self.tls_broke).put(host, (), now + TLS_BROKE_FOR, now);
    }

    /// How the check of this host's certificate failed.
    pub(super) fn check_failed(&self, host: SocketAddr, now: Instant) -> Option<ResultType> {
        lock(&self.check_failed).get(&host, now).copied()
    }

    pub(super) fn remember_check_failed(&self, host: SocketAddr, how: ResultType, now: Instant) {
        lock(&self.check_failed).put(host, how, now + TLS_BROKE_FOR, now);
    }

    pub(super) fn is_dead(&self, host: SocketAddr, now: Instant) -> bool {
        lock(&self.dead).get(&host, now).is_some()
    }

    pub(super) fn remember_dead(&self, host: SocketAddr, now: Instant) {
        lock(&self.dead).put(host, (), now + DEAD_FOR, now);
    }

    pub(super) fn remember_alive(&self, host: SocketAddr) {
        let mut dead = lock(&self.dead);
        if !dead.entries.is_empty() {
            dead.entries.remove(&host);
        }
    }

    /// Whether IPv6 may be used from this source; `None`: not known.
    pub(super) fn ipv6_from(&self, source: Option<IpAddr>, now: Instant) -> Option<bool> {
        lock(&self.sources).get(&source, now).copied()
    }

    pub(super) fn remember_ipv6_from(&self, source: Option<IpAddr>, may: bool, now: Instant) {
        lock(&self.sources).put(source, may, now + SOURCE_FOR, now);
    }
}

/// A bounded map whose entries run out.
struct Recent<K, V> {
    entries: HashMap<K, (Instant, V)>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Recent { entries: HashMap::new() }
    }
}

impl<K: Hash + Eq, V> Recent<K, V> {
    fn get(&self, key: &K, now: Instant) -> Option<&V> {
        self.entries.get(key).filter(|(until, _)| *until > now).map(|(_, value)| value)
    }

    fn put(&mut self, key: K, value: V, until: Instant, now: Instant) {
        if self.entries.len() >= HOSTS_MAX {
            self.entries.retain(|_, (until, _)| *until > now);
            // Everything fresh: forgetting all costs a few tries, keeping all would cost memory without bound.
            if self.entries.len() >= HOSTS_MAX {
                self.entries.clear();
            }
        }
        self.entries.insert(key, (until, value));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Timestamp};

    #[test]
    fn what_is_learnt_is_bounded_and_forgotten() {
        let clock = Clock::manual(Timestamp::from_millis(1));
        let now = clock.instant();
        let memory = Memory::default();
        let host = |n: u32| SocketAddr::new(IpAddr::V4(n.into()), 25);
        memory.remember_dead(host(0), now);
        memory.remember_tls_broke(host(0), now);
        assert!(memory.is_dead(host(0), now) && memory.tls_broke(host(0), now));
        assert!(!memory.is_dead(host(0), now + DEAD_FOR) && memory.tls_broke(host(0), now + DEAD_FOR));
        assert!(!memory.tls_broke(host(0), now + TLS_BROKE_FOR));
        memory.remember_alive(host(0));
        assert!(!memory.is_dead(host(0), now));
        for n in 0..3 * HOSTS_MAX as u32 {
            memory.remember_dead(host(n), now);
        }
        assert!(lock(&memory.dead).entries.len() <= HOSTS_MAX);
    }
}
