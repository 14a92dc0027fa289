//! Sums of the log: how many mails each API user sent, by quarter of an hour, for reports and statistics in any time zone (R14);
//! and all of them by minute, for the graph.
//!
//! In: events, as they are written.  Out: sums of each quarter and user.
//! Always: written in the transaction of the events (P4), one row for each user and quarter that a transaction touches,
//! however many events it holds; no row holds an address, so that sums are kept longer than the log, [`COUNTS_KEPT`]. Offsets of time
//! zones are whole quarters of an hour: a day of any zone is a sum of rows.
//! Sources: cmc.md §7 (statistics: valid = succeeded + failed; blocked apart).

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table};

use super::{
    batch::minute_of,
    fault::{Fatal, Reading, bad_row},
    rows,
    tables::{self, COUNTS, META, META_COUNTS},
    types::{MinuteCounts, QuarterCounts, StoreError},
    user_minutes::minute_number,
};
use crate::{
    clock::Timestamp,
    event::{ErrorClass, Event, EventKind},
    ids::UserKey,
};

/// Seconds of a quarter of an hour.
const QUARTER_SECONDS: u64 = 900;
/// Minutes of one.
const MINUTES_A_QUARTER: u32 = 15;
/// How long sums are kept: a year and a month, so that a month can be compared with the same one a year before.
pub(super) const COUNTS_KEPT: Duration = Duration::from_secs(400 * 86_400);
/// Rows of one answer: a year of five users, or a month of sixty.
pub(super) const COUNTS_MAX: usize = 200_000;

/// Numbers of a row: queued, deferred, succeeded, failed, blocked, dropped, bounced, complained.
pub(super) type CountNumbers = [u64; 8];

/// Whose an event is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whose<'a> {
    /// The submitter.
    pub user: UserKey,
    /// Its name, where that is at hand.
    pub name: Option<&'a str>,
    /// The hash of the message's X-Api-Data, if it has one.
    pub api_hash: Option<u32>,
}

/// A table of sums.
type Sums<'t> = Table<'t, &'static [u8], &'static [u8]>;

/// The sums of a transaction.
#[derive(Default)]
pub(super) struct Counting {
    quarters: HashMap<(u32, UserKey), (String, CountNumbers)>,
    minutes: HashMap<(u32, UserKey), CountNumbers>,
}

/// The quarter of a time: the front of its key.
pub(super) fn quarter_of(at: Timestamp) -> u32 {
    u32::try_from(at.as_seconds() / QUARTER_SECONDS).unwrap_or(u32::MAX)
}

/// When a quarter begins.
pub(super) fn quarter_start(quarter: u32) -> Timestamp {
    Timestamp::from_millis(u64::from(quarter) * QUARTER_SECONDS * 1000)
}

/// The key of a row.
pub(super) fn count_key(quarter: u32, user: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(4 + user.len());
    key.extend_from_slice(&quarter.to_be_bytes());
    key.extend_from_slice(user.as_bytes());
    key
}

/// A key, taken apart; `None` for bytes that are none.
pub(super) fn read_count_key(key: &[u8]) -> Option<(u32, &str)> {
    let (quarter, user) = key.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*quarter), std::str::from_utf8(user).ok()?))
}

/// The number of a row that an event counts in.
pub(super) fn place_of(event: &Event) -> usize {
    let is_block = || event.detail.as_ref().and_then(|d| d.error).is_some_and(ErrorClass::is_block);
    match event.kind {
        EventKind::Queued => 0,
        EventKind::Deferred => 1,
        EventKind::Succeeded => 2,
        EventKind::Failed if is_block() => 4,
        EventKind::Failed => 3,
        EventKind::Dropped => 5,
        // It was counted when it was delivered, and is not failed a second time (R11).
        EventKind::Bounced => 6,
        EventKind::Complained => 7,
    }
}

impl Counting {
    /// Counts an event; `name` is asked once a transaction, quarter and user.
    pub(super) fn count(&mut self, event: &Event, user: UserKey, name: impl FnOnce() -> String) {
        let counts = match self.quarters.entry((quarter_of(event.at), user)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert((name(), CountNumbers::default())),
        };
        counts.1[place_of(event)] += 1;
        self.minutes.entry((minute_number(event.at), user)).or_default()[place_of(event)] += 1;
    }

    /// Writes the sums.
    pub(super) fn finish(self, quarters: &mut Sums<'_>, minutes: &mut Sums<'_>) -> Result<(), StoreError> {
        for ((minute, user), add) in self.minutes {
            let quarter = minute / MINUTES_A_QUARTER;
            let name = self.quarters.get(&(quarter, user)).map_or("", |(name, _)| name);
            add_to(minutes, minute, name, &add)?;
        }
        for ((quarter, _), (user, add)) in self.quarters {
            add_to(quarters, quarter, &user, &add)?;
        }
        Ok(())
    }
}

/// Adds to a row.
pub(super) fn add_to(table: &mut Sums<'_>, quarter: u32, user: &str, add: &CountNumbers) -> Result<(), StoreError> {
    let key = count_key(quarter, user);
    let old = match table.get(key.as_slice()).fatal()? {
        Some(row) => read(quarter, row.value())?,
        None => CountNumbers::default(),
    };
    let sums: CountNumbers = std::array::from_fn(|n| old[n].saturating_add(add[n]));
    table.insert(key.as_slice(), rows::write_numbers(&sums).as_slice()).fatal()?;
    Ok(())
}

fn read(quarter: u32, row: &[u8]) -> Result<CountNumbers, StoreError> {
    rows::read_numbers(row).map_err(|e| bad_row(format_args!("counts of {}", quarter_start(quarter).rfc3339()), e))
}

/// Hands every row of `[from, to)` to `each`, oldest first, and within a quarter by name; a quarter that `from` or `to` cuts is
/// taken whole. `user`: of this user only; the empty name is mail without one.
pub(super) fn each(
    db: &Database,
    from: Timestamp,
    to: Timestamp,
    user: Option<&str>,
    floor: Timestamp,
    mut each: impl FnMut(QuarterCounts) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let first = quarter_of(from.max(floor));
    let end = quarter_of(to.plus(Duration::from_millis(QUARTER_SECONDS * 1000 - 1)));
    let txn = db.begin_read().reading()?;
    each_sum(&txn.open_table(COUNTS).reading()?, (first, end), user, |quarter, name, row| {
        each(counts_of(quarter_start(quarter), name, read(quarter, row)?))
    })
}

/// Hands every sum with a number in `[first, end)` to `each`, by number and then by name; `user`: of this one only.
pub(super) fn each_sum(
    table: &ReadOnlyTable<&'static [u8], &'static [u8]>,
    (first, end): (u32, u32),
    user: Option<&str>,
    mut each: impl FnMut(u32, &str, &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    if first >= end {
        return Ok(());
    }
    let (start, stop) = (first.to_be_bytes(), end.to_be_bytes());
    for entry in table.range::<&[u8]>(start.as_slice()..stop.as_slice()).reading()? {
        let (key, row) = entry.reading()?;
        // A key that is none is `verify`'s to tell.
        let Some((number, name)) = read_count_key(key.value()) else { continue };
        if user.is_none_or(|user| user == name) {
            each(number, name, row.value())?;
        }
    }
    Ok(())
}

/// The sums of a row, by their names.
pub(super) fn counts_of(start: Timestamp, user: &str, numbers: CountNumbers) -> QuarterCounts {
    let [queued, deferred, succeeded, failed, blocked, dropped, bounced, complained] = numbers;
    let user = user.to_owned();
    QuarterCounts { start, user, queued, deferred, succeeded, failed, blocked, dropped, bounced, complained }
}

/// [`each`], gathered; more than [`COUNTS_MAX`] rows are refused.
pub(super) fn all(
    db: &Database,
    from: Timestamp,
    to: Timestamp,
    user: Option<&str>,
    floor: Timestamp,
) -> Result<Vec<QuarterCounts>, StoreError> {
    let mut out = Vec::new();
    each(db, from, to, user, floor, |row| {
        if out.len() >= COUNTS_MAX {
            let why = format!("more than {COUNTS_MAX} counts: ask for a shorter time, or for one user");
            return Err(StoreError::Refused(why));
        }
        out.push(row);
        Ok(())
    })?;
    Ok(out)
}

/// Counts of each minute in `[from, to)`, but not of what is past its period.
pub(super) fn minutes(
    db: &Database,
    from: Timestamp,
    to: Timestamp,
    floor: Timestamp,
) -> Result<Vec<MinuteCounts>, StoreError> {
    let (first, end) = (minute_of(from.max(floor)), minute_of(to.plus(ALMOST_A_MINUTE)));
    let mut out = Vec::new();
    if first >= end {
        return Ok(out);
    }
    let txn = db.begin_read().reading()?;
    let table = txn.open_table(tables::MINUTES).reading()?;
    for entry in table.range(first..end).reading()?.take(MINUTES_MAX) {
        let (minute, row) = entry.reading()?;
        let minute = minute.value();
        let [queued, deferred, succeeded, failed, blocked] =
            rows::read_minute(row.value()).map_err(|e| bad_row(format_args!("minute {minute}"), e))?;
        out.push(MinuteCounts {
            minute: Timestamp::from_millis(minute.saturating_mul(60_000)),
            queued,
            deferred,
            succeeded,
            failed,
            blocked,
        });
    }
    Ok(out)
}

/// So that a minute that `to` cuts is counted whole.
const ALMOST_A_MINUTE: Duration = Duration::from_millis(59_999);
/// Minutes of one answer: 90 days.
const MINUTES_MAX: usize = 90 * 24 * 60;

/// The log before this number was pruned: counts of what lies behind its time are all that can be counted again.
pub(super) fn log_pruned(meta: &mut Table<'_, &'static str, &'static [u8]>, last: u64) -> Result<(), StoreError> {
    /// An event may have happened a little before it was numbered, or after, where a clock was stepped back.
    const MARGIN_QUARTERS: u32 = 5;
    let from = u64::from(quarter_of(rows::number_time(last)).saturating_add(MARGIN_QUARTERS));
    let before = meta.get(META_COUNTS).fatal()?.and_then(|row| rows::read_numbers::<1>(row.value()).ok());
    if before.is_none_or(|[before]| before < from) {
        meta.insert(META_COUNTS, rows::write_numbers(&[from]).as_slice()).fatal()?;
    }
    Ok(())
}

/// What `verify` counts of the events that are left.
#[derive(Default)]
pub(super) struct Recount {
    counted: HashMap<(u32, UserKey), CountNumbers>,
    /// Something could not be counted, and has been told: the sums cannot be compared.
    unsure: bool,
}

impl Recount {
    /// An event of the log.
    pub(super) fn add(&mut self, event: &Event, user: UserKey) {
        self.counted.entry((quarter_of(event.at), user)).or_default()[place_of(event)] += 1;
    }

    /// An event whose kind or user is not known.
    pub(super) fn lost(&mut self) {
        self.unsure = true;
    }

    /// Compares the stored rows; answers a line for each that is wrong.
    pub(super) fn compare(mut self, txn: &ReadTransaction) -> Result<Vec<String>, StoreError> {
        let mut lines = Vec::new();
        let meta = txn.open_table(META).reading()?;
        let from = match meta.get(META_COUNTS).reading()?.map(|row| rows::read_numbers::<1>(row.value())) {
            None => 0,
            Some(Ok([from])) => from,
            Some(Err(e)) => {
                lines.push(format!("counts: since when they are complete: {e}"));
                u64::MAX
            }
        };
        let name = |quarter: u32, user: &str| {
            let user = if user.is_empty() { "nobody" } else { user };
            format!("counts of {user}, {}", quarter_start(quarter).rfc3339_seconds())
        };
        for entry in txn.open_table(COUNTS).reading()?.iter().reading()? {
            let (key, row) = entry.reading()?;
            let Some((quarter, user)) = read_count_key(key.value()) else {
                lines.push("counts: a key that is none".to_owned());
                continue;
            };
            let stored = match rows::read_numbers::<8>(row.value()) {
                Ok(stored) => stored,
                Err(e) => {
                    lines.push(format!("{}: {e}", name(quarter, user)));
                    continue;
                }
            };
            let counted = self.counted.remove(&(quarter, UserKey::of(user))).unwrap_or_default();
            if !self.unsure && u64::from(quarter) >= from && stored != counted {
                lines.push(format!("{}: say {stored:?}, but the log has {counted:?}", name(quarter, user)));
            }
        }
        if !self.unsure {
            for ((quarter, _), counted) in self.counted {
                if u64::from(quarter) >= from {
                    lines.push(format!("{}: are missing, but the log has {counted:?}", name(quarter, "a user")));
                }
            }
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back_and_sort_by_time_then_name() {
        let (a, b, c) = (count_key(1, "shop"), count_key(2, ""), count_key(2, "crm"));
        assert!(a < b && b < c);
        assert_eq!(read_count_key(&a), Some((1, "shop")));
        assert_eq!(read_count_key(&b), Some((2, "")));
        assert_eq!([read_count_key(b"ab"), read_count_key(b"\0\0\0\x01\xff")], [None, None]);
    }

    #[test]
    fn days_of_every_zone_are_whole_quarters() {
        let midnight = Timestamp::from_millis(1_793_491_200_000);
        // UTC, Tokyo (+9), Kolkata (+5:30), Nepal (+5:45), Chatham (+12:45), Newfoundland (-3:30).
        for minutes in [0u64, 540, 330, 345, 765, 1230] {
            let start = midnight.minus(Duration::from_secs(minutes * 60));
            assert_eq!(quarter_start(quarter_of(start)), start);
        }
    }
}
