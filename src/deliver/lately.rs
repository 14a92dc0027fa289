//! The last hour at each large provider: whether mail goes through there now.
//!
//! In: what became of tries, the time.  Out: [`Lately`], one for each provider.
//! Always: a fixed 1.2 KiB; begins empty at each start; a clock that steps back costs what it steps over, and no more.

use std::time::Duration;

use super::provider::Provider;
use crate::clock::Timestamp;

/// What "lately" means.
pub const LATELY: Duration = Duration::from_secs(3_600);
const SLOTS: usize = 12;
const SLOT_SECONDS: u64 = LATELY.as_secs() / SLOTS as u64;
const PROVIDERS: usize = Provider::ALL.len();

/// What became of tries at a provider within the last hour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lately {
    /// Whose they were.
    pub provider: Provider,
    /// Recipients that it took.
    pub delivered: u64,
    /// Tries that it put off, or that did not reach it.
    pub deferred: u64,
    /// Recipients that it refused.
    pub failed: u64,
}

impl Lately {
    /// Tries in all.
    pub fn tries(&self) -> u64 {
        self.delivered + self.deferred + self.failed
    }
}

/// How a try ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    Delivered = 0,
    Deferred = 1,
    Failed = 2,
}

/// Twelve slots of five minutes.
#[derive(Debug)]
pub(super) struct LastHour([Slot; SLOTS]);

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Its number since 1970; 0: never used.
    number: u64,
    counts: [[u32; 3]; PROVIDERS],
}

impl Default for LastHour {
    fn default() -> Self {
        LastHour([Slot::default(); SLOTS])
    }
}

impl LastHour {
    pub(super) fn count(&mut self, provider: Provider, ended: Ended, now: Timestamp) {
        let number = now.as_seconds() / SLOT_SECONDS;
        let Some(slot) = self.0.get_mut((number % SLOTS as u64) as usize) else { return };
        if slot.number != number {
            *slot = Slot { number, ..Slot::default() };
        }
        let count = &mut slot.counts[provider as usize][ended as usize];
        *count = count.saturating_add(1);
    }

    /// Every provider with tries, in the order of the table.
    pub(super) fn read(&self, now: Timestamp) -> Vec<Lately> {
        let this = now.as_seconds() / SLOT_SECONDS;
        let fresh = |slot: &&Slot| slot.number <= this && slot.number + SLOTS as u64 > this;
        let sum = |provider: Provider| {
            let of = |ended: Ended| -> u64 {
                self.0.iter().filter(fresh).map(|s| u64::from(s.counts[provider as usize][ended as usize])).sum()
            };
            Lately {
                provider,
                delivered: of(Ended::Delivered),
                deferred: of(Ended::Deferred),
                failed: of(Ended::Failed),
            }
        };
        Provider::ALL.into_iter().map(sum).filter(|l| l.tries() > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_told_and_what_is_older_is_not() {
        let t0 = Timestamp::from_millis(1_795_527_310_000);
        let after = |minutes: u64| t0.plus(Duration::from_secs(minutes * 60));
        let mut hour = LastHour::default();
        for minute in 0..180 {
            hour.count(Provider::Gmail, Ended::Delivered, after(minute));
            if minute >= 170 {
                hour.count(Provider::Docomo, Ended::Deferred, after(minute));
            }
        }
        let told = hour.read(after(179));
        assert_eq!(told.iter().map(|l| l.provider).collect::<Vec<_>>(), [Provider::Gmail, Provider::Docomo]);
        assert!((55..=60).contains(&told[0].delivered), "{told:?}");
        assert_eq!((told[1].deferred, told[1].tries()), (10, 10));
        assert_eq!(hour.read(after(179 + 61)), [], "an hour later there is nothing to tell");
        assert_eq!(hour.read(t0).len(), 0, "a clock that stepped back");
    }
}
