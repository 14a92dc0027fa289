//! Deadlines of many sockets, kept by one task that looks at all of them once a tick.
//!
//! In: a socket, and until when its peer may stay silent.  Out: a socket whose time is up is shut down, so that the task
//! that waits on it wakes and sees a time-out; [`Deadlines::cut`] does that to all of them.
//! Always: setting a deadline is one atomic store (a timer a read costs 5.6 µs); a time-out comes at most a tick late.

use std::{
    net::{Shutdown, TcpStream},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_io::{Async, Timer};

use crate::{clock::Clock, runtime::Runtime};

/// How often the sweep looks.
pub const TICK: Duration = Duration::from_secs(1);
/// No deadline.
const NEVER: u64 = u64::MAX;

/// A socket that has a deadline.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) io: Async<TcpStream>,
    /// Milliseconds after the registry's start.
    until: AtomicU64,
    expired: AtomicBool,
}

impl Watched {
    /// The sweep shut it down.
    pub(super) fn expired(&self) -> bool {
        self.expired.load(Ordering::Acquire)
    }

    fn expire(&self) {
        self.expired.store(true, Ordering::Release);
        // An error means that the peer was faster.
        let _ = self.io.get_ref().shutdown(Shutdown::Both);
    }
}

/// The registry of watched sockets; clones share it.
#[derive(Clone, Debug)]
pub struct Deadlines(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    start: Instant,
    sockets: Mutex<Vec<Weak<Watched>>>,
    cut: AtomicBool,
}

impl Deadlines {
    /// Starts the sweep; it ends when every clone and every socket is gone.
    pub fn start(runtime: &Runtime, clock: Clock) -> Self {
        Self::start_with_tick(runtime, clock, TICK)
    }

    /// The same with a tick of another length.
    pub fn start_with_tick(runtime: &Runtime, clock: Clock, tick: Duration) -> Self {
        let inner = Arc::new(Inner {
            start: clock.instant(),
            clock,
            sockets: Mutex::new(Vec::new()),
            cut: AtomicBool::new(false),
        });
        let weak = Arc::downgrade(&inner);
        runtime.spawn("deadlines", async move {
            loop {
                Timer::after(tick).await;
                match weak.upgrade() {
                    Some(inner) => inner.sweep(),
                    None => return,
                }
            }
        });
        Deadlines(inner)
    }

    /// Shuts every socket down, those that are registered later included.
    pub fn cut(&self) {
        self.0.cut.store(true, Ordering::SeqCst);
        self.0.sweep();
    }

    /// The clock that deadlines are read on.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(super) fn watch(&self, io: Async<TcpStream>) -> Arc<Watched> {
        let socket = Arc::new(Watched { io, until: AtomicU64::new(NEVER), expired: AtomicBool::new(false) });
        self.0.lock().push(Arc::downgrade(&socket));
        if self.0.cut.load(Ordering::SeqCst) {
            socket.expire();
        }
        socket
    }

    pub(super) fn set(&self, socket: &Watched, within: Option<Duration>) {
        let until = within.map_or(NEVER, |w| self.0.millis(self.0.clock.instant() + w));
        socket.until.store(until, Ordering::Relaxed);
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Watched>>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_millis()).unwrap_or(NEVER)
    }

    fn sweep(&self) {
        let now = self.millis(self.clock.instant());
        let cut = self.cut.load(Ordering::SeqCst);
        let mut due = Vec::new();
        self.lock().retain(|weak| {
            let Some(socket) = weak.upgrade() else { return false };
            if cut || socket.until.load(Ordering::Relaxed) <= now {
                due.push(socket);
                return false;
            }
            true
        });
        // Outside the lock: a shutdown is a system call.
        due.iter().for_each(|socket| socket.expire());
    }
}
