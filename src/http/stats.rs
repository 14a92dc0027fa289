//! Statistics: what became of the mail of each day and API user, as CMC counts it (R14).
//!
//! In: a period, a zone, an API user.  Out: a row for each day (and user) that had mail, then the sums.
//! Always: valid is succeeded and failed together, the error rate is failed of valid; blocked stands apart; what bounced after it
//! was delivered is not failed. Days are those of the zone. One day is gathered at a time, whatever the period holds.
//! Sources: cmc.md §7 and §14 (statistics).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{daemon::Daemon, when::Zone};
use crate::{
    clock::Timestamp,
    store::{QuarterCounts, StoreError},
};

/// The word for the sums of the whole period, in place of a date.
pub const TOTAL: &str = "total";

/// One line of `stats`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct StatsOut {
    /// The day in the zone, `2026-11-24`; `total`: all of them.
    pub date: String,
    /// The API user; empty: mail without one; `null`: whoever's.
    pub user: Option<String>,
    /// Recipients accepted.
    pub received: u64,
    /// Recipients delivered.
    pub succeeded: u64,
    /// Recipients failed.
    pub failed: u64,
    /// Recipients that were not written to.
    pub blocked: u64,
    /// Succeeded and failed.
    pub valid: u64,
    /// Failed of valid, from 0 to 1; `null`: nothing is valid.
    pub error_rate: Option<f64>,
    /// Tries that deferred.
    pub deferred: u64,
    /// Recipients dropped by an operator.
    pub dropped: u64,
    /// Bounces that came back later.
    pub bounced: u64,
    /// Complaints that came back later.
    pub complained: u64,
}

impl StatsOut {
    fn of(date: &str, user: Option<&str>, c: &QuarterCounts) -> Self {
        let valid = c.valid();
        StatsOut {
            date: date.to_owned(),
            user: user.map(str::to_owned),
            received: c.queued,
            succeeded: c.succeeded,
            failed: c.failed,
            blocked: c.blocked,
            valid,
            error_rate: (valid > 0).then(|| c.failed as f64 / valid as f64),
            deferred: c.deferred,
            dropped: c.dropped,
            bounced: c.bounced,
            complained: c.complained,
        }
    }
}

/// A period's statistics: by day, and in all. `user`: of this one only. `by_user`: a row for each, instead of one for all.
///
/// # Errors
/// What the store says.
pub fn by_day(
    daemon: &dyn Daemon,
    (from, to): (Timestamp, Timestamp),
    zone: &Zone,
    user: Option<&str>,
    by_user: bool,
) -> Result<Vec<StatsOut>, StoreError> {
    let mut days = Days { zone, user, by_user, rows: Vec::new(), day: None, of_day: Sums::new(), total: Sums::new() };
    daemon.each_count(from, to, user, &mut |row| days.take(row))?;
    Ok(days.finish())
}

type Sums = BTreeMap<String, QuarterCounts>;

struct Days<'z> {
    zone: &'z Zone,
    user: Option<&'z str>,
    by_user: bool,
    rows: Vec<StatsOut>,
    /// The day that is being summed: its name and its end.
    day: Option<(String, Timestamp)>,
    of_day: Sums,
    total: Sums,
}

impl Days<'_> {
    fn take(&mut self, row: QuarterCounts) {
        if self.day.as_ref().is_none_or(|(_, end)| row.start >= *end) {
            self.close_day();
            self.day = Some(self.zone.day_of(row.start));
        }
        let name = if self.by_user { row.user.clone() } else { String::new() };
        self.of_day.entry(name).or_default().add(&row);
    }

    fn close_day(&mut self) {
        let Some((date, _)) = self.day.take() else { return };
        for (user, sums) in std::mem::take(&mut self.of_day) {
            self.rows.push(StatsOut::of(&date, self.name(&user), &sums));
            self.total.entry(user).or_default().add(&sums);
        }
    }

    fn name<'a>(&'a self, user: &'a str) -> Option<&'a str> {
        if self.by_user { Some(user) } else { self.user }
    }

    fn finish(mut self) -> Vec<StatsOut> {
        self.close_day();
        let total = std::mem::take(&mut self.total);
        let mut rows = std::mem::take(&mut self.rows);
        rows.extend(total.iter().map(|(user, sums)| StatsOut::of(TOTAL, self.name(user), sums)));
        rows
    }
}
