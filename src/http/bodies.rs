//! The memory that request bodies take: while they come in, and while the server works on them.
//!
//! In: octets as they arrive.  Out: shares of a bound, or a refusal.
//! Always: what is only announced takes nothing; small bodies ([`FREE`]) take nothing here either, for the number of connections
//! bounds them, so that people can sign in whatever else comes; nobody has more than what is still free for others; a body that is
//! worked on takes its copies from a part of its own, which nobody outside can hold for longer than the server works.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_io::Timer;
use smol::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    budget::{Budget, Lease},
    http::{
        exchange::Peer,
        front::{Duplex, Inner, Limits, network_of},
        relay::{BLOCK, within},
        wire::{Head, Refusal},
    },
};

/// Octets of a body that are always let in.
pub(super) const FREE: usize = 64 * 1024;
/// What the server makes of a body at most, in bodies: the request, its parameters, a mail.
const COPIES: usize = 3;
/// How often a body that waits for its turn asks for it.
const TURN_PAUSE: Duration = Duration::from_millis(20);

/// The memory of one door.
#[derive(Debug)]
pub(super) struct Bodies {
    max: usize,
    arriving: Mutex<Arriving>,
    working: Budget,
}

#[derive(Debug, Default)]
struct Arriving {
    used: usize,
    of: HashMap<IpAddr, usize>,
}

/// What one body takes while it is here.
#[derive(Debug)]
pub(super) struct Share {
    of: Arc<Bodies>,
    whose: IpAddr,
    octets: usize,
}

/// Why a body is not here.
pub(super) enum NoBody {
    /// The client went away.
    Gone,
    /// It is told why.
    Refused(Refusal),
}

const BUSY: NoBody = NoBody::Refused(Refusal { status: 503, words: "too many large requests at once: try again" });
const LATE: NoBody = NoBody::Refused(Refusal { status: 408, words: "the request took too long" });

impl From<io::Error> for NoBody {
    fn from(_: io::Error) -> Self {
        NoBody::Gone
    }
}

impl Bodies {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let (arriving, working) = (Mutex::default(), Budget::new(limits.bodies_working_max));
        Arc::new(Bodies { max: limits.bodies_max, arriving, working })
    }

    /// A share of whoever asks, with nothing in it.
    pub(super) fn share(self: &Arc<Self>, peer: &Peer) -> Share {
        let whose = match peer {
            Peer::Address(ip) => network_of(*ip),
            Peer::User(_) => IpAddr::from([127, 0, 0, 1]),
        };
        Share { of: self.clone(), whose, octets: 0 }
    }

    /// Waits until there is room for what the server makes of this many octets.
    pub(super) async fn turn(&self, octets: usize, patience: Duration) -> Result<Option<Lease>, NoBody> {
        if octets <= FREE {
            return Ok(None);
        }
        let turn = async {
            loop {
                if let Some(lease) = self.working.take(octets.saturating_mul(COPIES)) {
                    return lease;
                }
                Timer::after(TURN_PAUSE).await;
            }
        };
        within(patience, turn).await.map(Some).ok_or(BUSY)
    }

    fn lock(&self) -> MutexGuard<'_, Arriving> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes so much in all; false: that is more than this one may have now.
    fn grow_to(&mut self, octets: usize) -> bool {
        let more = octets.saturating_sub(self.octets);
        let mut arriving = self.of.lock();
        let used = arriving.used.saturating_add(more);
        let own = arriving.of.get(&self.whose).map_or(0, |own| *own).saturating_add(more);
        // Whoever takes all he may leaves as much for the next one.
        if used > self.of.max || own > self.of.max - used {
            return false;
        }
        arriving.used = used;
        arriving.of.insert(self.whose, own);
        self.octets += more;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.octets == 0 {
            return;
        }
        let mut arriving = self.of.lock();
        arriving.used -= self.octets;
        if let Some(own) = arriving.of.get_mut(&self.whose) {
            *own -= self.octets;
            if *own == 0 {
                arriving.of.remove(&self.whose);
            }
        }
    }
}

/// Reads a body, taking memory as its octets come; those that are in `buffer` came already, and what follows it stays there.
///
/// # Errors
/// The client went away, or is too slow; or it may not have so much.
pub(super) async fn read(
    stream: &mut impl Duplex,
    buffer: &mut Vec<u8>,
    head: &Head,
    front: &Inner,
    share: &mut Share,
) -> Result<Vec<u8>, NoBody> {
    let limits = &front.limits;
    let length = usize::try_from(head.content_length).map_err(|_| BUSY)?;
    if buffer.len() >= length {
        let after = buffer.split_off(length);
        return Ok(std::mem::replace(buffer, after));
    }
    if head.expects_continue {
        let go_on = async {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            stream.flush().await
        };
        within(limits.request, go_on).await.ok_or(LATE)??;
    }
    let mut body = std::mem::take(buffer);
    let mut left = limits.request;
    while body.len() < length {
        if body.len() == body.capacity() || body.capacity() < length.min(FREE) {
            // At most twice what came, and never more than it will be.
            let room = body.len().saturating_mul(2).max(FREE).min(length);
            if room > FREE && !share.grow_to(room) {
                return Err(BUSY);
            }
            body.reserve_exact(room - body.len());
        }
        let (had, now) = (body.len(), (length - body.len()).min(body.capacity() - body.len()).min(BLOCK));
        body.resize(had + now, 0);
        let began = front.clock.instant();
        let read = within(left, stream.read(&mut body[had..])).await.ok_or(LATE)?;
        let n = read?;
        body.truncate(had + n);
        if n == 0 {
            return Err(NoBody::Gone);
        }
        // Each octet that comes brings its own time: an announced one brings none.
        left = left.saturating_sub(front.clock.instant() - began)
            + limits.per_octet.saturating_mul(u32::try_from(n).unwrap_or(0));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> Peer {
        Peer::Address([192, 0, 2, n].into())
    }

    #[test]
    fn nobody_has_more_than_what_is_left_for_others() {
        const MAX: usize = 56 << 20;
        let bodies = Bodies::new(&Limits { bodies_max: MAX, ..Limits::default() });
        let mut shares: Vec<Share> = Vec::new();
        for n in 1..=6 {
            // Each takes all it can, by many connections.
            loop {
                let mut share = bodies.share(&peer(n));
                if !share.grow_to(256 * 1024) {
                    break;
                }
                shares.push(share);
            }
            let arriving = bodies.lock();
            let (used, own) = (arriving.used, arriving.of[&IpAddr::from([192, 0, 2, n])]);
            drop(arriving);
            assert!(own > 0 && used < MAX && own <= MAX / 2, "{n}: {own} of {used}");
        }
        assert!(bodies.share(&peer(99)).grow_to(256 * 1024), "six that take all they can leave room for another");
        drop(shares);
        assert_eq!(bodies.lock().used, 0);
        assert!(bodies.lock().of.is_empty());
        assert!(bodies.share(&peer(1)).grow_to(25 << 20), "one may send a whole mail");
    }

    #[test]
    fn a_body_that_is_worked_on_waits_for_its_turn() {
        let bodies = Bodies::new(&Limits::default());
        let wait = Duration::from_millis(100);
        let turn = |octets| smol::block_on(bodies.turn(octets, wait));
        let held = turn(25 << 20).ok().flatten().expect("room for one");
        assert!(turn(25 << 20).is_err(), "not for two");
        assert!(matches!(turn(FREE), Ok(None)), "a small one needs none");
        drop(held);
        assert!(turn(25 << 20).is_ok());
    }
}
