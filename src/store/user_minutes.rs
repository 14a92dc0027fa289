//! Counts of each minute and API user, for the graph: what `counts.rs` keeps by quarter of an hour for 400 days, here by minute for
//! as long as the logs are kept.
//!
//! In: events, as they are written.  Out: sums of each minute and user.
//! Always: written in the transaction of the events (P4), one row for each minute and user that a transaction touches; the minutes of
//! a quarter add up to its row in the counts, which `verify` proves; a store of an older program has none from before it was
//! opened by this one, and [`complete_from`] says so.

use std::collections::BTreeMap;

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableError};

use super::{
    batch::minute_of,
    counts::{CountNumbers, counts_of, each_sum, quarter_of, quarter_start, read_count_key},
    fault::{Fatal, Reading, bad_row},
    rows,
    tables::{COUNTS, META, META_USER_MINUTES, Tables, USER_MINUTES},
    types::{QuarterCounts, StoreError},
};
use crate::clock::Timestamp;

/// Minutes of a quarter of an hour.
const QUARTER: u32 = 15;

/// A minute, as keys have it.
pub(super) fn minute_number(at: Timestamp) -> u32 {
    u32::try_from(minute_of(at)).unwrap_or(u32::MAX)
}

fn minute_start(minute: u32) -> Timestamp {
    Timestamp::from_millis(u64::from(minute) * 60_000)
}

/// A store that has no mark yet gets one: everything is counted from now on, and in a new store from the beginning.
pub(super) fn mark(t: &mut Tables<'_>, now: Timestamp, fresh: bool) -> Result<(), StoreError> {
    if t.meta.get(META_USER_MINUTES).fatal()?.is_none() {
        let from = if fresh { 0 } else { minute_of(now) + 1 };
        t.meta.insert(META_USER_MINUTES, rows::write_numbers(&[from]).as_slice()).fatal()?;
    }
    Ok(())
}

fn read_mark(txn: &ReadTransaction) -> Result<Option<u64>, StoreError> {
    let meta = txn.open_table(META).reading()?;
    let row = meta.get(META_USER_MINUTES).reading()?;
    Ok(row.and_then(|row| rows::read_numbers::<1>(row.value()).ok()).map(|[from]| from))
}

/// Since when every minute is counted by user.
pub(super) fn complete_from(db: &Database) -> Result<Timestamp, StoreError> {
    let minutes = read_mark(&db.begin_read().reading()?)?.unwrap_or(u64::MAX / 60_000);
    Ok(Timestamp::from_millis(minutes.saturating_mul(60_000)))
}

/// Hands every row of `[from, to)` to `each`, oldest first, and within a minute by name; a minute that is cut is taken whole.
pub(super) fn each(
    db: &Database,
    from: Timestamp,
    to: Timestamp,
    user: Option<&str>,
    floor: Timestamp,
    mut each: impl FnMut(QuarterCounts),
) -> Result<(), StoreError> {
    let first = minute_number(from.max(floor));
    let end = minute_number(to.plus(std::time::Duration::from_millis(59_999)));
    let txn = db.begin_read().reading()?;
    each_sum(&txn.open_table(USER_MINUTES).reading()?, (first, end), user, |minute, name, row| {
        let start = minute_start(minute);
        let numbers: CountNumbers = rows::read_numbers(row)
            .map_err(|e| bad_row(format_args!("the counts of {} by user", start.rfc3339_seconds()), e))?;
        each(counts_of(start, name, numbers));
        Ok(())
    })
}

/// Compares the minutes with the counts of their quarters; answers a line for each that is wrong. The counts are compared with the
/// log elsewhere.
pub(super) fn verify(txn: &ReadTransaction) -> Result<Vec<String>, StoreError> {
    let mut lines = Vec::new();
    let table = match txn.open_table(USER_MINUTES) {
        // A store that only an older program has opened.
        Err(TableError::TableDoesNotExist(_)) => return Ok(lines),
        other => other.reading()?,
    };
    let Some(from) = read_mark(txn)? else { return Ok(lines) };
    let counts = txn.open_table(COUNTS).reading()?;
    // Minutes are pruned one by one: the oldest quarter may be there in part. So may the first that was counted at all.
    let oldest = table.first().reading()?.and_then(|(key, _)| read_count_key(key.value()).map(|(minute, _)| minute));
    let Some(oldest) = oldest else { return Ok(lines) };
    let first = (oldest.max(u32::try_from(from).unwrap_or(u32::MAX))).div_ceil(QUARTER);
    let mut sums: BTreeMap<String, CountNumbers> = BTreeMap::new();
    let mut quarter = first;
    let mut compare = |quarter: u32, sums: &mut BTreeMap<String, CountNumbers>| -> Result<(), StoreError> {
        let mut minutes = std::mem::take(sums);
        let (start, stop) = (quarter.to_be_bytes(), quarter.saturating_add(1).to_be_bytes());
        let mut pairs: BTreeMap<String, (CountNumbers, CountNumbers)> = BTreeMap::new();
        if !minutes.is_empty() {
            for entry in counts.range::<&[u8]>(start.as_slice()..stop.as_slice()).reading()? {
                let (key, row) = entry.reading()?;
                let (Some((_, user)), Ok(stored)) = (read_count_key(key.value()), rows::read_numbers::<8>(row.value()))
                else {
                    continue;
                };
                pairs.insert(user.to_owned(), (stored, minutes.remove(user).unwrap_or_default()));
            }
        }
        pairs.extend(minutes.into_iter().map(|(user, sum)| (user, (CountNumbers::default(), sum))));
        for (user, (stored, sum)) in pairs {
            if stored != sum {
                let at = quarter_start(quarter).rfc3339_seconds();
                lines.push(format!("minutes of {user:?}, {at}: add up to {sum:?}, but the quarter says {stored:?}"));
            }
        }
        Ok(())
    };
    let mut unread = Vec::new();
    for entry in table.iter().reading()? {
        let (key, row) = entry.reading()?;
        let (Some((minute, user)), Ok(numbers)) = (read_count_key(key.value()), rows::read_numbers::<8>(row.value()))
        else {
            unread.push("minutes by user: a row that cannot be read".to_owned());
            continue;
        };
        let of = quarter_of(minute_start(minute));
        if of < first {
            continue;
        }
        if of != quarter {
            compare(quarter, &mut sums)?;
            quarter = of;
        }
        let sum = sums.entry(user.to_owned()).or_default();
        for (sum, n) in sum.iter_mut().zip(numbers) {
            *sum = sum.saturating_add(n);
        }
    }
    compare(quarter, &mut sums)?;
    lines.extend(unread);
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::{
        clock::Clock,
        store::{
            counts,
            migrate::tests::{filled, open},
        },
    };

    const START: Timestamp = Timestamp::from_millis(1_793_491_200_000);

    #[test]
    fn minutes_of_each_user_say_what_quarters_say() {
        let clock = Clock::manual(START);
        let (disk, ids) = filled(&clock);
        let store = open(&disk, &clock).unwrap().store;
        let (from, to) = (START, clock.now().plus(Duration::from_secs(60)));
        let sum = |by_minute: bool, user: Option<&str>| {
            let mut sum = QuarterCounts::default();
            let mut rows = 0;
            let mut each = |row: QuarterCounts| {
                assert!(user.is_none_or(|user| user == row.user));
                assert_eq!(row.start.as_seconds() % if by_minute { 60 } else { 900 }, 0);
                sum.add(&row);
                rows += 1;
            };
            match by_minute {
                true => store.each_minute_count(from, to, user, &mut each).unwrap(),
                false => store.each_count(from, to, user, &mut each).unwrap(),
            }
            (sum, rows)
        };
        for user in [None, Some(""), Some("shop"), Some("crm"), Some("stranger")] {
            assert_eq!(sum(true, user).0, sum(false, user).0, "{user:?}");
        }
        let (all, rows) = sum(true, None);
        assert_eq!(all.queued, ids.len() as u64 * 3);
        // A message each 41 seconds, by one of three users in turn.
        assert!(rows >= 9, "{rows} rows");
        assert_eq!(complete_from(&store.0.db).unwrap(), Timestamp::ZERO, "a new store counts from its beginning");
        let mut cut = 0;
        store.each_minute_count(START.plus(Duration::from_secs(90)), to, None, |row| cut += row.queued).unwrap();
        assert_eq!(cut, 33, "the minute that is cut is taken whole, the one before it is not");
    }

    #[test]
    fn a_year_of_eleven_users_is_summed_at_once() {
        let long = std::env::var("HIKYAKU_LONG").is_ok_and(|v| v == "1");
        let quarters: u32 = if long { 400 * 96 } else { 20 * 96 };
        let db = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        let txn = db.begin_write().unwrap();
        {
            let mut t = Tables::open(&txn).unwrap();
            for quarter in 1..=quarters {
                for user in 0..11 {
                    counts::add_to(&mut t.counts, quarter, &format!("application-{user}"), &[7; 8]).unwrap();
                }
            }
        }
        txn.commit().unwrap();
        let (from, to) = (Timestamp::ZERO, quarter_start(quarters + 1));
        let mut sum = QuarterCounts::default();
        let clock = Clock::system();
        let began = clock.instant();
        let each = |row: QuarterCounts| {
            sum.add(&row);
            Ok(())
        };
        counts::each(&db, from, to, None, Timestamp::ZERO, each).unwrap();
        let took = clock.instant() - began;
        assert_eq!(sum.queued, u64::from(quarters) * 11 * 7);
        let rows = quarters * 11;
        // Generous: other tests run beside it. The figure is what counts.
        assert!(took < Duration::from_secs(10), "{rows} rows in {took:?}");
    }
}
