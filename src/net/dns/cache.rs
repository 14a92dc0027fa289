//! What was answered lately, for as long as its TTL says.
//!
//! In: questions, answers, the time.  Out: answers that still hold.
//! Always: at most [`ENTRIES_MAX`] entries; nothing is kept for longer than a day, no absence for longer than an hour.
//! Sources: RFC 2181 §8, RFC 2308 §5.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{DnsError, Question, wire::Records};

/// Entries at most: some 5 MiB.
pub(super) const ENTRIES_MAX: usize = 20_000;
/// The longest that an answer is kept.
pub(super) const TTL_MAX: Duration = Duration::from_secs(86_400);
/// The longest that an absence is kept (RFC 2308 §5 suggests one to three hours).
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(3_600);
/// The shortest: those who waited for an answer with TTL 0 must find it.
const TTL_MIN: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Cache {
    entries: HashMap<Question, Entry>,
}

struct Entry {
    result: Result<Records, DnsError>,
    until: Instant,
}

impl Cache {
    pub(super) fn get(&self, question: &Question, now: Instant) -> Option<Result<Records, DnsError>> {
        let entry = self.entries.get(question)?;
        (entry.until > now).then(|| entry.result.clone())
    }

    pub(super) fn put(&mut self, question: Question, result: Result<Records, DnsError>, now: Instant, ttl: Duration) {
        let ttl_max = if result.is_ok() { TTL_MAX } else { NEGATIVE_TTL_MAX };
        if self.entries.len() >= ENTRIES_MAX {
            self.make_room(now);
        }
        self.entries.insert(question, Entry { result, until: now + ttl.clamp(TTL_MIN, ttl_max) });
    }

    /// Drops what is over, and when that is not enough the eighth that would be over first.
    fn make_room(&mut self, now: Instant) {
        self.entries.retain(|_, entry| entry.until > now);
        if self.entries.len() < ENTRIES_MAX - ENTRIES_MAX / 8 {
            return;
        }
        let mut ends: Vec<Instant> = self.entries.values().map(|entry| entry.until).collect();
        let nth = ENTRIES_MAX / 8;
        let (_, bound, _) = ends.select_nth_unstable(nth);
        let bound = *bound;
        let mut left = nth;
        self.entries.retain(|_, entry| {
            let drop = entry.until <= bound && left > 0;
            left -= usize::from(drop);
            !drop
        });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
