//! Idle connections, kept for the next message to the same host, and the bound on all connections.
//!
//! In: connections that are ready.  Out: the freshest idle one to a host, or to the host that a destination used last.
//! Always: a connection is reused only for the same host, address, source, TLS policy and login; idle ones are few, and
//! each is closed after [`IDLE_MAX`]; at most `connections_total` are open, idle ones give way to new ones.
//! Sources: algorithms F3.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use smol::lock::{Semaphore, SemaphoreGuardArc};

use super::connection::{Connection, Key};
use crate::clock::Clock;

/// How long a connection waits for the next message: longer is impolite to a busy receiver.
pub const IDLE_MAX: Duration = Duration::from_secs(5);
/// How old a connection may be when it takes another message.
pub const AGE_MAX: Duration = Duration::from_secs(300);
/// Idle connections at most.
pub const IDLE_CONNECTIONS_MAX: usize = 1000;

/// The pool.
pub(super) struct Pool {
    clock: Clock,
    idle: Mutex<Idle>,
    places: RwLock<(usize, Arc<Semaphore>)>,
    /// Attempts that wait for a place.
    waiting: AtomicUsize,
    /// Connections of an earlier configuration are not kept.
    generation: AtomicU64,
    messages_max: AtomicUsize,
}

#[derive(Default)]
struct Idle {
    hosts: HashMap<Arc<Key>, Vec<(Instant, Connection)>>,
    /// The host that a destination used last from each local address, so that the next message needs no look-up.
    last: HashMap<Arc<str>, Vec<Arc<Key>>>,
    count: usize,
}

impl Idle {
    fn pop(&mut self, key: &Key) -> Option<(Instant, Connection)> {
        let parked = self.hosts.get_mut(key)?;
        let found = parked.pop();
        if parked.is_empty() {
            self.hosts.remove(key);
        }
        self.count -= usize::from(found.is_some());
        found
    }

    /// The destination used this host last; of each local address one host is remembered.
    fn remember(&mut self, destination: &Arc<str>, key: &Arc<Key>) {
        let Some(last) = self.last.get_mut(destination) else {
            self.last.insert(destination.clone(), vec![key.clone()]);
            return;
        };
        match last.iter_mut().find(|other| other.source == key.source) {
            Some(same) if same == key => {}
            Some(other) => *other = key.clone(),
            None => last.push(key.clone()),
        }
    }
}

impl Pool {
    pub(super) fn new(clock: Clock, connections_total: usize, messages_max: usize) -> Self {
        Pool {
            clock,
            idle: Mutex::default(),
            places: RwLock::new((connections_total, Arc::new(Semaphore::new(connections_total.max(1))))),
            waiting: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
            messages_max: AtomicUsize::new(messages_max),
        }
    }

    /// Another configuration: connections of the old one are not reused. Answers those that were idle, to be closed.
    pub(super) fn reconfigure(&self, connections_total: usize, messages_max: usize) -> Vec<Connection> {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.messages_max.store(messages_max, Ordering::Relaxed);
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        if places.0 != connections_total {
            // Those that are open keep the place that they have; the bound holds once they are closed.
            *places = (connections_total, Arc::new(Semaphore::new(connections_total.max(1))));
        }
        drop(places);
        self.take_all()
    }

    /// Which configuration is in force.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// An idle connection to the host that this destination used last, if it would be opened alike.
    pub(super) fn take_for(&self, destination: &str, same: impl Fn(&Key) -> bool) -> Option<Connection> {
        let mut idle = self.lock();
        let key = idle.last.get(destination)?.iter().find(|key| same(key)).cloned()?;
        self.freshest(&mut idle, &key)
    }

    /// An idle connection to exactly this host.
    pub(super) fn take_at(&self, key: &Key) -> Option<Connection> {
        self.freshest(&mut self.lock(), key)
    }

    fn freshest(&self, idle: &mut Idle, key: &Key) -> Option<Connection> {
        let now = self.clock.instant();
        // The last one parked has waited the shortest: when it is too old, so are the others, and the sweep closes them.
        let parked = idle.hosts.get(key)?.last()?;
        if is_over(parked, now) {
            return None;
        }
        let (_, mut connection) = idle.pop(key)?;
        connection.reused = true;
        Some(connection)
    }

    /// Keeps a connection for the next message, or gives it back to be closed.
    pub(super) fn put(&self, mut connection: Connection, destination: &Arc<str>) -> Option<Connection> {
        let now = self.clock.instant();
        let used_up = connection.messages() as usize >= self.messages_max.load(Ordering::Relaxed);
        let old = now.saturating_duration_since(connection.opened) >= AGE_MAX;
        let foreign = connection.generation != self.generation();
        if !connection.is_reusable() || used_up || old || foreign || self.waiting.load(Ordering::SeqCst) > 0 {
            return Some(connection);
        }
        connection.park();
        let mut idle = self.lock();
        if idle.count >= IDLE_CONNECTIONS_MAX {
            return Some(connection);
        }
        idle.count += 1;
        let key = connection.key.clone();
        idle.remember(destination, &key);
        idle.hosts.entry(key).or_default().push((now, connection));
        None
    }

    /// Idle connections whose time is up, to be closed; all of them while somebody waits for a place.
    pub(super) fn sweep(&self) -> Vec<Connection> {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            return self.take_all();
        }
        let now = self.clock.instant();
        let mut idle = self.lock();
        let mut over = Vec::new();
        for parked in idle.hosts.values_mut() {
            let mut at = 0;
            while at < parked.len() {
                if is_over(&parked[at], now) {
                    over.push(parked.remove(at).1);
                } else {
                    at += 1;
                }
            }
        }
        idle.count -= over.len();
        let Idle { hosts, last, .. } = &mut *idle;
        hosts.retain(|_, parked| !parked.is_empty());
        last.retain(|_, keys| {
            keys.retain(|key| hosts.contains_key(key));
            !keys.is_empty()
        });
        over
    }

    /// Every idle connection, to be closed.
    pub(super) fn take_all(&self) -> Vec<Connection> {
        let mut idle = self.lock();
        let all = std::mem::take(&mut *idle);
        all.hosts.into_values().flatten().map(|(_, connection)| connection).collect()
    }

    /// A place for a new connection; an idle one is given up for it, to be closed by `close`.
    pub(super) async fn place(&self, close: impl FnOnce(Connection)) -> SemaphoreGuardArc {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner).1.clone();
        if let Some(place) = places.try_acquire_arc() {
            return place;
        }
        // Counted by a guard: whoever waits may be cut.
        let _waiting = Waiting::new(&self.waiting);
        if let Some(mut idle) = self.take_any() {
            idle.release_place();
            close(idle);
        }
        places.acquire_arc().await
    }

    fn take_any(&self) -> Option<Connection> {
        let mut idle = self.lock();
        let key = idle.hosts.keys().next().cloned()?;
        idle.pop(&key).map(|(_, connection)| connection)
    }

    #[cfg(test)]
    pub(super) fn idle_count(&self) -> usize {
        self.lock().count
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_over((since, connection): &(Instant, Connection), now: Instant) -> bool {
    now.saturating_duration_since(*since) >= IDLE_MAX || now.saturating_duration_since(connection.opened) >= AGE_MAX
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
