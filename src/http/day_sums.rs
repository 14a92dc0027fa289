//! Sums of days that are over, kept in RAM: a year's graph would read some hundred thousand rows at each look.
//!
//! In: days (whose are the zone's), the counts.  Out: the sums of each day, by API user.
//! Always: a day is kept only when it has been over for `SETTLED`, for then nothing is added to it; bounded in days, zones and users;
//! what is not kept is read in as few passes as there are gaps.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::daemon::Daemon;
use crate::{
    clock::Timestamp,
    store::{QuarterCounts, StoreError},
};

/// How long after its end nothing is counted for a day any more.
const SETTLED: Duration = Duration::from_secs(3_600);
/// Days that are kept, of all zones: four zones' 400 days.
const DAYS_MAX: usize = 1_600;
/// Users of one day; a day with more is not kept.
const USERS_MAX: usize = 200;

/// The sums of a day, by API user; the empty name is mail without one.
pub type Sums = Vec<(String, QuarterCounts)>;

/// A day, as a zone has it: its beginning and its end.
pub type Day = (Timestamp, Timestamp);

/// The days that are kept.
#[derive(Default)]
pub struct DaySums(Mutex<HashMap<Day, Arc<Sums>>>);

impl DaySums {
    /// The sums of these days, in their order; each begins where the one before it ends.
    ///
    /// # Errors
    /// The store's.
    pub fn read(&self, daemon: &dyn Daemon, days: &[Day]) -> Result<Vec<Arc<Sums>>, StoreError> {
        let mut found: Vec<Option<Arc<Sums>>> = {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            days.iter().map(|day| kept.get(day).cloned()).collect()
        };
        let mut at = 0;
        while at < days.len() {
            if found[at].is_some() {
                at += 1;
                continue;
            }
            let behind = found[at..].iter().position(Option::is_some).map_or(days.len(), |n| at + n);
            for (place, sums) in read_run(daemon, &days[at..behind])?.into_iter().enumerate() {
                found[at + place] = Some(Arc::new(sums));
            }
            self.keep(daemon.now(), &days[at..behind], &found[at..behind]);
            at = behind;
        }
        Ok(found.into_iter().flatten().collect())
    }

    fn keep(&self, now: Timestamp, days: &[Day], sums: &[Option<Arc<Sums>>]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() + days.len() > DAYS_MAX {
            kept.clear();
        }
        for (day, sums) in days.iter().zip(sums) {
            if let Some(sums) = sums
                && day.1.plus(SETTLED) <= now
                && sums.len() <= USERS_MAX
                && kept.len() < DAYS_MAX
            {
                kept.insert(*day, sums.clone());
            }
        }
    }
}

/// Days that follow each other, in one pass over the counts.
fn read_run(daemon: &dyn Daemon, days: &[Day]) -> Result<Vec<Sums>, StoreError> {
    let (Some(first), Some(last)) = (days.first(), days.last()) else { return Ok(Vec::new()) };
    let mut sums: Vec<BTreeMap<String, QuarterCounts>> = vec![BTreeMap::new(); days.len()];
    daemon.each_count(first.0, last.1, None, &mut |row| {
        let behind = days.partition_point(|(start, _)| *start <= row.start);
        let Some(day) = sums.get_mut(behind.saturating_sub(1)) else { return };
        match day.get_mut(&row.user) {
            Some(sum) => sum.add(&row),
            None => day.entry(row.user.clone()).or_default().add(&row),
        }
    })?;
    Ok(sums.into_iter().map(|day| day.into_iter().collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fake::{Fake, now};

    fn row(start: Timestamp, user: &str, queued: u64) -> QuarterCounts {
        QuarterCounts { start, user: user.into(), queued, ..QuarterCounts::default() }
    }

    #[test]
    fn days_that_are_over_are_read_once_and_today_each_time() {
        let day = Duration::from_secs(86_400);
        let midnight = Timestamp::from_millis(now().as_millis() / 86_400_000 * 86_400_000);
        let mut fake = Fake::busy();
        let yesterday = midnight.minus(day);
        fake.counts = vec![row(yesterday, "shop", 3), row(yesterday.plus(day / 2), "shop", 4), row(midnight, "crm", 5)];
        let days = [(yesterday.minus(day), yesterday), (yesterday, midnight), (midnight, midnight.plus(day))];
        let sums = DaySums::default();
        let queued = |fake: &Fake| -> Vec<u64> {
            let read = sums.read(fake, &days).expect("sums");
            read.iter().map(|day| day.iter().map(|(_, c)| c.queued).sum()).collect()
        };
        assert_eq!(queued(&fake), [0, 7, 5]);
        // What is over is not read again; the day that runs is.
        fake.counts = vec![row(yesterday, "shop", 999), row(midnight, "crm", 6)];
        assert_eq!(queued(&fake), [0, 7, 6]);
        // Days of another zone are other days.
        let shifted = days.map(|(from, to)| (from.minus(day / 4), to.minus(day / 4)));
        assert_eq!(sums.read(&fake, &shifted).expect("sums")[1].len(), 1);
        fake.broken = true;
        assert!(sums.read(&fake, &days).is_err(), "today cannot be read");
        assert_eq!(sums.read(&fake, &days[..2]).expect("kept")[1][0].1.queued, 7);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let fake = Fake::empty();
        let sums = DaySums::default();
        for n in 0..(DAYS_MAX as u64 * 2) {
            let start = Timestamp::from_millis(n * 1_000);
            sums.read(&fake, &[(start, start.plus(Duration::from_secs(1)))]).expect("nothing");
        }
        assert!(sums.0.lock().expect("no panic before").len() <= DAYS_MAX);
    }
}
