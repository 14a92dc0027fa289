//! Slows guessing down, by the address that it comes from; the account itself is never locked (R15).
//!
//! In: failures with their source and time.  Out: how long an answer waits, or that the source is refused for now.
//! Always: programs and people have a guard each, so that failures at one door close no other; each is bounded in memory; a source's failures are forgiven one by one, so that an honest mistake heals by itself.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Mutex,
    time::{Duration, Instant},
};

/// Failures that cost nothing: typing errors.
const FREE_FAILURES: f64 = 2.0;
/// The wait after the first failure that costs; each further one doubles it …
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// … up to this: longer ones would only hold our own sessions.
const WAIT_MAX: Duration = Duration::from_secs(15);
/// Failures from which a source is refused without a look.
const FAILURES_MAX: f64 = 20.0;
/// After this time one failure is forgiven: a guesser gets two tries a minute, for ever.
const FORGIVEN_EVERY: Duration = Duration::from_secs(30);
/// Tries of a refused source that are answered with "later"; who goes on is shown the door.
const BUSY_ANSWERS: u32 = 3;
/// Sources that are remembered; some 100 bytes each.
const SOURCES_MAX: usize = 10_000;

/// What guessing costs each source.
#[derive(Debug, Default)]
pub(super) struct Guard(Mutex<HashMap<IpAddr, Record>>);

#[derive(Clone, Copy, Debug)]
struct Record {
    failures: f64,
    at: Instant,
    /// Tries while it is refused.
    refused: u32,
}

/// The source failed too often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Refusing {
    /// When it may try again.
    pub again_after: Duration,
    /// It was told so a few times and went on.
    pub insists: bool,
}

impl Record {
    /// Failures that are not forgiven yet.
    fn left(self, now: Instant) -> f64 {
        let forgiven = now.saturating_duration_since(self.at).as_secs_f64() / FORGIVEN_EVERY.as_secs_f64();
        (self.failures - forgiven).max(0.0)
    }
}

impl Guard {
    /// The source failed too often: do not even look at what it brings. Counts the try.
    pub fn refuses(&self, source: IpAddr, now: Instant) -> Option<Refusing> {
        let mut table = self.lock();
        let record = table.get_mut(&key(source))?;
        let over = record.left(now) - FAILURES_MAX;
        if over < 0.0 {
            record.refused = 0;
            return None;
        }
        record.refused = record.refused.saturating_add(1);
        // A moment longer than until the failure is forgiven that is one too many.
        let again_after = FORGIVEN_EVERY.mul_f64(over.max(0.0)) + FIRST_WAIT;
        Some(Refusing { again_after, insists: record.refused > BUSY_ANSWERS })
    }

    /// Counts a failure; answers how long its answer waits.
    pub fn failed(&self, source: IpAddr, now: Instant) -> Duration {
        let mut table = self.lock();
        let source = key(source);
        if table.len() >= SOURCES_MAX && !table.contains_key(&source) {
            make_room(&mut table, now);
        }
        let record = table.entry(source).or_insert(Record { failures: 0.0, at: now, refused: 0 });
        let failures = (record.left(now) + 1.0).min(FAILURES_MAX + 1.0);
        *record = Record { failures, at: now, ..*record };
        wait(failures)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, Record>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// One source: an IPv4 address, or the /64 of an IPv6 address, which is what one customer has.
pub(super) fn key(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

fn wait(failures: f64) -> Duration {
    if failures <= FREE_FAILURES {
        return Duration::ZERO;
    }
    let doublings = (failures - FREE_FAILURES - 1.0).clamp(0.0, 16.0);
    FIRST_WAIT.mul_f64(2f64.powf(doublings)).min(WAIT_MAX)
}

/// Forgets those who are forgiven, else the quarter with the fewest failures: who fails most is remembered longest.
fn make_room(table: &mut HashMap<IpAddr, Record>, now: Instant) {
    table.retain(|_, record| record.left(now) > 0.0);
    if table.len() < SOURCES_MAX {
        return;
    }
    let mut counts: Vec<f64> = table.values().map(|record| record.left(now)).collect();
    counts.sort_by(f64::total_cmp);
    let bound = counts[counts.len() / 4];
    let mut excess = counts.len() / 4 + 1;
    table.retain(|_, record| {
        let goes = excess > 0 && record.left(now) <= bound;
        excess -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Timestamp};

    #[test]
    fn failures_cost_more_and_more_until_the_source_is_refused_and_heals() {
        let clock = Clock::manual(Timestamp::ZERO);
        let guard = Guard::default();
        let source: IpAddr = "192.0.2.1".parse().unwrap();
        let waits: Vec<u64> = (0..8).map(|_| guard.failed(source, clock.instant()).as_secs()).collect();
        assert_eq!(waits, [0, 0, 1, 2, 4, 8, 15, 15]);
        assert_eq!(guard.refuses(source, clock.instant()), None);
        for _ in 0..100 {
            guard.failed(source, clock.instant());
        }
        for n in 1..=5 {
            let refusing = guard.refuses(source, clock.instant()).unwrap();
            assert_eq!(refusing, Refusing { again_after: Duration::from_secs(31), insists: n > 3 }, "{n}");
        }
        assert_eq!(guard.refuses("192.0.2.2".parse().unwrap(), clock.instant()), None, "nobody else pays");
        clock.advance(Duration::from_secs(31));
        assert_eq!(guard.refuses(source, clock.instant()), None, "when it was told to come again");
        guard.failed(source, clock.instant());
        assert!(guard.refuses(source, clock.instant()).is_some_and(|r| !r.insists), "it is told again first");
        clock.advance(FORGIVEN_EVERY * 2);
        assert_eq!(guard.refuses(source, clock.instant()), None, "a hundred failures are not held for an hour");
        clock.advance(FORGIVEN_EVERY * 30);
        assert_eq!(guard.failed(source, clock.instant()), Duration::ZERO);
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_64() {
        assert_eq!(key("2001:db8:1:2:3::4".parse().unwrap()), key("2001:db8:1:2:ffff::".parse().unwrap()));
        assert_ne!(key("2001:db8:1:2::".parse().unwrap()), key("2001:db8:1:3::".parse().unwrap()));
        assert_eq!(key("::ffff:192.0.2.1".parse().unwrap()), key("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn the_table_is_bounded_and_remembers_the_worst() {
        let clock = Clock::manual(Timestamp::ZERO);
        let guard = Guard::default();
        let worst: IpAddr = "198.51.100.1".parse().unwrap();
        for _ in 0..50 {
            guard.failed(worst, clock.instant());
        }
        for n in 0..(SOURCES_MAX as u32 * 2) {
            guard.failed(IpAddr::V4((0x0a00_0000 + n).into()), clock.instant());
        }
        assert!(guard.lock().len() <= SOURCES_MAX);
        assert!(guard.refuses(worst, clock.instant()).is_some());
    }
}
