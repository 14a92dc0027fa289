//! What was answered lately, for as long as its TTL says.
//!
//! In: questions, answers, the time.  Out: answers that still hold.
//! Always: at most [`ENTRIES_MAX`] entries of together some [`OCTETS_MAX`] octets, however large hostile zones make their
//! records; nothing is kept for longer than a day, no absence for longer than an hour.
//! Sources: RFC 2181 §8, RFC 2308 §5.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    DnsError, Question,
    wire::{Record, Records},
};

/// Entries at most: some 5 MiB of usual ones.
pub(super) const ENTRIES_MAX: usize = 20_000;
/// Octets of all entries at most, about.
pub(super) const OCTETS_MAX: usize = 16 << 20;
/// The longest that an answer is kept.
pub(super) const TTL_MAX: Duration = Duration::from_secs(86_400);
/// The longest that an absence is kept (RFC 2308 §5 suggests one to three hours).
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(3_600);
/// The shortest: those who waited for an answer with TTL 0 must find it.
const TTL_MIN: Duration = Duration::from_secs(1);
/// Octets of an entry beside its records and names: table, pointers, times.
const ENTRY_OCTETS: usize = 160;

/// An answer, with what it is worth.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) result: Result<Records, DnsError>,
    /// A resolver that is believed said of each step that it was validated.
    pub(super) secure: bool,
    /// The end of its chain of aliases, if there is one.
    pub(super) alias: Option<Arc<str>>,
    /// Until when it holds.
    pub(super) until: Instant,
}

impl Found {
    fn octets(&self) -> usize {
        let records = self.result.as_ref().map_or(0, |records| records.iter().map(Record::octets).sum());
        ENTRY_OCTETS + records + self.alias.as_ref().map_or(0, |alias| alias.len())
    }
}

#[derive(Default)]
pub(super) struct Cache {
    entries: HashMap<Question, Found>,
    octets: usize,
}

/// How long that is kept whose TTL is this.
pub(super) fn kept(result: &Result<Records, DnsError>, ttl: Duration) -> Duration {
    ttl.clamp(TTL_MIN, if result.is_ok() { TTL_MAX } else { NEGATIVE_TTL_MAX })
}

impl Cache {
    pub(super) fn get(&self, question: &Question, now: Instant) -> Option<Found> {
        self.entries.get(question).filter(|found| found.until > now).cloned()
    }

    pub(super) fn put(&mut self, question: Question, found: Found, now: Instant) {
        if self.entries.len() >= ENTRIES_MAX || self.octets >= OCTETS_MAX {
            self.make_room(now);
        }
        self.octets += question.0.len() + found.octets();
        let key_octets = question.0.len();
        if let Some(old) = self.entries.insert(question, found) {
            self.octets -= key_octets + old.octets();
        }
    }

    /// Drops what is over, and when that is not enough those that would be over first, until an eighth is free.
    fn make_room(&mut self, now: Instant) {
        self.entries.retain(|_, found| found.until > now);
        let weigh = |(question, found): (&Question, &Found)| question.0.len() + found.octets();
        let mut octets: usize = self.entries.iter().map(weigh).sum();
        let mut ends: Vec<(Instant, usize)> = self.entries.iter().map(|e| (e.1.until, weigh(e))).collect();
        ends.sort_unstable_by_key(|(until, _)| *until);
        let mut left = 0;
        while left < ends.len() && (ends.len() - left > ENTRIES_MAX / 8 * 7 || octets > OCTETS_MAX / 8 * 7) {
            octets -= ends[left].1;
            left += 1;
        }
        if let Some((bound, _)) = left.checked_sub(1).map(|last| ends[last]) {
            self.entries.retain(|_, found| {
                let drop = found.until <= bound && left > 0;
                left -= usize::from(drop);
                !drop
            });
        }
        self.octets = self.entries.iter().map(weigh).sum();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    pub(super) fn octets(&self) -> usize {
        self.octets
    }
}
