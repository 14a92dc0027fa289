//! How much an API user may submit: a bucket of recipients for each, in RAM.
//!
//! In: a user's limit, the recipients of a message, the time.  Out: yes, or when to come again.
//! Always: nothing is taken from a bucket for a message that is refused; a message with more recipients than the bucket holds
//! is taken from a full one and paid back, so that no message waits for ever; one bucket a user that has a limit.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::store::RateLimit;

/// The limit is reached: come again after this time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryAfter(pub Duration);

impl RetryAfter {
    /// The seconds of a Retry-After header: rounded up, at least one.
    pub fn seconds(self) -> u64 {
        let seconds = self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0);
        seconds.max(1)
    }
}

/// The buckets, by user.
#[derive(Debug, Default)]
pub(super) struct Buckets(Mutex<HashMap<String, Bucket>>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    limit: RateLimit,
    /// Recipients that may come now; below zero: owed by a message larger than the bucket.
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(limit: RateLimit, now: Instant) -> Self {
        Bucket { limit, left: f64::from(limit.recipients), at: now }
    }

    /// What flows in during a second.
    fn a_second(self) -> f64 {
        f64::from(self.limit.recipients) / self.limit.per.as_secs_f64().max(1.0)
    }

    fn filled(self, limit: RateLimit, now: Instant) -> Self {
        let came = now.saturating_duration_since(self.at).as_secs_f64() * self.a_second();
        let left = (self.left + came).min(f64::from(limit.recipients));
        Bucket { limit, left, at: now }
    }

    fn wait_for(self, wanted: f64) -> Duration {
        let seconds = (wanted - self.left) / self.a_second().max(f64::MIN_POSITIVE);
        Duration::try_from_secs_f64(seconds).unwrap_or(self.limit.per).min(self.limit.per.saturating_mul(2))
    }
}

impl Buckets {
    /// Whether so many recipients may come now; taken if `take`.
    pub fn ask(
        &self,
        name: &str,
        limit: RateLimit,
        recipients: usize,
        take: bool,
        now: Instant,
    ) -> Result<(), RetryAfter> {
        let recipients = recipients.min(u32::MAX as usize) as f64;
        let mut buckets = self.lock();
        let bucket = match buckets.get(name) {
            Some(bucket) => bucket.filled(limit, now),
            None => Bucket::full(limit, now),
        };
        // A message that is larger than the bucket needs a full one.
        let needed = recipients.min(f64::from(limit.recipients));
        let answer = if bucket.left + 1e-9 >= needed { Ok(()) } else { Err(RetryAfter(bucket.wait_for(needed))) };
        let taken = if take && answer.is_ok() { recipients } else { 0.0 };
        buckets.insert(name.to_owned(), Bucket { left: bucket.left - taken, ..bucket });
        answer
    }

    /// Forgets a user.
    pub fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Bucket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Timestamp};

    const HOUR: Duration = Duration::from_secs(3600);

    fn limit(recipients: u32, per: Duration) -> RateLimit {
        RateLimit { recipients, per }
    }

    #[test]
    fn a_bucket_empties_and_fills_and_says_when() {
        let (clock, buckets) = (Clock::manual(Timestamp::ZERO), Buckets::default());
        let ask = |n: usize, take: bool| buckets.ask("shop", limit(60, HOUR), n, take, clock.instant());
        assert_eq!((ask(50, true), ask(10, false), ask(10, true)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(ask(1, true), Err(RetryAfter(Duration::from_secs(60))));
        assert_eq!(ask(2, false), Err(RetryAfter(Duration::from_secs(120))), "nothing is taken for what is refused");
        clock.advance(Duration::from_secs(60));
        assert_eq!(ask(1, false), Ok(()));
        assert_eq!(ask(1, true), Ok(()));
        assert!(ask(1, true).is_err());
        clock.advance(HOUR * 100);
        assert_eq!((ask(60, true), ask(1, true).is_err()), (Ok(()), true), "it never holds more than its limit");
        assert_eq!(buckets.ask("crm", limit(60, HOUR), 60, true, clock.instant()), Ok(()), "each user has its own");
    }

    #[test]
    fn a_message_larger_than_the_limit_goes_once_and_is_paid_back() {
        let (clock, buckets) = (Clock::manual(Timestamp::ZERO), Buckets::default());
        let ask = |n: usize| buckets.ask("shop", limit(10, HOUR), n, true, clock.instant());
        assert_eq!(ask(25), Ok(()));
        assert_eq!(ask(1), Err(RetryAfter(Duration::from_secs(16 * 360))));
        clock.advance(Duration::from_secs(15 * 360));
        assert!(ask(1).is_err());
        clock.advance(Duration::from_secs(360));
        assert_eq!(ask(1), Ok(()));
        assert!(ask(25).is_err(), "not before the bucket is full again");
    }

    #[test]
    fn another_limit_counts_at_once() {
        let (clock, buckets) = (Clock::manual(Timestamp::ZERO), Buckets::default());
        let ask = |limit: RateLimit, n: usize| buckets.ask("shop", limit, n, true, clock.instant());
        assert_eq!(ask(limit(1000, HOUR), 100), Ok(()));
        assert_eq!(ask(limit(10, HOUR), 10), Ok(()), "of the 900 that were left, ten");
        assert!(ask(limit(10, HOUR), 1).is_err());
        buckets.forget("shop");
        assert_eq!(ask(limit(10, HOUR), 10), Ok(()));
        assert!(ask(limit(10, Duration::from_secs(1)), 1).is_err());
        clock.advance(Duration::from_secs(1));
        assert_eq!(ask(limit(10, Duration::from_secs(1)), 1), Ok(()));
    }

    #[test]
    fn seconds_are_rounded_up() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
            assert_eq!(RetryAfter(Duration::from_millis(millis)).seconds(), seconds, "{millis}");
        }
    }
}
