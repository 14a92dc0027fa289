//! Deadlines and places of all sessions: one sweep a second instead of a timer a read.
//!
//! In: sessions that enter and say how long their peer may stay silent.  Out: half-closed sockets, which their sessions
//! notice as an end of input and explain to the peer.
//! Always: no more sessions than the limits; nobody waits longer than its deadline and one sweep.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{clock::Clock, config::Role, net::server::Socket};

/// How often deadlines are looked at.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// After its input was closed, a session has this long to say goodbye before its output is closed too.
const GOODBYE: Duration = Duration::from_secs(10);

/// Why the input of a session was closed by us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It was not: the peer closed it.
    ByPeer,
    /// The peer was silent too long.
    TimedOut,
    /// The daemon is stopping.
    Draining,
}

/// One session, as the sweep sees it.
#[derive(Debug)]
pub struct Place {
    socket: Socket,
    /// Milliseconds on the sweep's clock; `u64::MAX`: none.
    deadline: AtomicU64,
    ended: AtomicU8,
    /// Content is on its way: a drain lets it finish.
    busy: AtomicBool,
    board: Board,
    number: u64,
    role: Role,
    address: IpAddr,
}

impl Place {
    /// The peer may stay silent this long from now.
    pub fn wait_at_most(&self, within: Duration) {
        let at = self.board.millis().saturating_add(u64::try_from(within.as_millis()).unwrap_or(u64::MAX));
        self.deadline.store(at, Ordering::Relaxed);
    }

    /// Nothing is awaited from the peer (we are deciding or writing to disk).
    pub fn wait_for_ever(&self) {
        self.deadline.store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether content is on its way, which a drain lets finish.
    pub fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::SeqCst);
    }

    /// Why the input ended.
    pub fn ended(&self) -> Ended {
        match self.ended.load(Ordering::SeqCst) {
            0 => Ended::ByPeer,
            1 => Ended::TimedOut,
            _ => Ended::Draining,
        }
    }

    /// The client's address as the limits count it.
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.board.leave(self.number, self.role, self.address);
    }
}

/// How many sessions may be open.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// On listeners of the role.
    pub sessions_max: usize,
    /// Of one address.
    pub per_address_max: usize,
}

/// Why a session may not enter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crowded {
    /// The role's limit.
    All,
    /// The address's limit.
    Address,
}

/// All open sessions; clones share them.
#[derive(Clone, Debug)]
pub struct Board(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    start: std::time::Instant,
    open: Mutex<Open>,
    draining: AtomicBool,
}

#[derive(Debug, Default)]
struct Open {
    places: HashMap<u64, std::sync::Weak<Place>>,
    relay: usize,
    inbound: usize,
    by_address: HashMap<IpAddr, usize>,
    next: u64,
}

impl Open {
    fn of_role(&mut self, role: Role) -> &mut usize {
        match role {
            Role::Relay => &mut self.relay,
            Role::Inbound => &mut self.inbound,
        }
    }
}

impl Board {
    /// An empty board.
    pub fn new(clock: Clock) -> Self {
        let start = clock.instant();
        Board(Arc::new(Inner { clock, start, open: Mutex::default(), draining: AtomicBool::new(false) }))
    }

    /// Gives a session its place, unless the limits are reached.
    pub fn enter(&self, socket: Socket, role: Role, address: IpAddr, limits: Limits) -> Result<Arc<Place>, Crowded> {
        let mut open = self.open();
        if *open.of_role(role) >= limits.sessions_max {
            return Err(Crowded::All);
        }
        let of_address = open.by_address.entry(address).or_insert(0);
        if *of_address >= limits.per_address_max {
            return Err(Crowded::Address);
        }
        *of_address += 1;
        *open.of_role(role) += 1;
        open.next += 1;
        let number = open.next;
        let place = Arc::new(Place {
            socket,
            deadline: AtomicU64::new(u64::MAX),
            ended: AtomicU8::new(0),
            busy: AtomicBool::new(false),
            board: self.clone(),
            number,
            role,
            address,
        });
        open.places.insert(number, Arc::downgrade(&place));
        Ok(place)
    }

    /// Sessions open now.
    pub fn count(&self) -> usize {
        let open = self.open();
        open.relay + open.inbound
    }

    /// Looks at every deadline once; closes the input of those that are over.
    pub fn sweep(&self) {
        let now = self.millis();
        let draining = self.0.draining.load(Ordering::SeqCst);
        for place in self.places() {
            let over = place.deadline.load(Ordering::Relaxed) <= now;
            let ended = place.ended.load(Ordering::SeqCst);
            if ended == 0 && over {
                self.end(&place, 1, now);
            } else if ended == 0 && draining && !place.busy.load(Ordering::SeqCst) {
                self.end(&place, 2, now);
            } else if ended != 0 && over {
                place.socket.close_both();
            }
        }
    }

    /// The daemon is stopping: sessions that wait for a command hear 421, content on its way may finish.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
        self.sweep();
    }

    /// Whether a drain has begun.
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::SeqCst)
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
        for place in self.places() {
            place.ended.store(2, Ordering::SeqCst);
            place.socket.close_both();
        }
    }

    fn end(&self, place: &Place, why: u8, now: u64) {
        place.ended.store(why, Ordering::SeqCst);
        place.deadline.store(now + u64::try_from(GOODBYE.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        place.socket.close_input();
    }

    fn places(&self) -> Vec<Arc<Place>> {
        // Upgraded outside of a `Place`'s drop, which takes the same lock.
        self.open().places.values().filter_map(std::sync::Weak::upgrade).collect()
    }

    fn leave(&self, number: u64, role: Role, address: IpAddr) {
        let mut open = self.open();
        open.places.remove(&number);
        *open.of_role(role) -= 1;
        if let Some(n) = open.by_address.get_mut(&address) {
            *n -= 1;
            if *n == 0 {
                open.by_address.remove(&address);
            }
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.0.clock.instant().duration_since(self.0.start).as_millis()).unwrap_or(u64::MAX)
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        // Every change under the lock is a few counters: a panic elsewhere leaves them whole.
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
