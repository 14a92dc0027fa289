//! The effect of other conditions, by the day of a zone.
//!
//! In: an effect by the quarter of an hour.  Out: days, for a chart.
//! Always: at most [`DAYS_MAX`] days, the newest; a day without anything is there as well, so that the days keep their distance.

use crate::{clock::Timestamp, http::when::Zone, suppress::what_if::Effect};

/// Days that are drawn at most: a quarter of a year, wider than any screen shows well.
const DAYS_MAX: usize = 92;

/// A day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Day {
    /// `2026-11-24`.
    pub name: String,
    /// What happened on it.
    pub effect: Effect,
}

/// The days of a zone from the first with an effect until today, at most [`DAYS_MAX`]; empty where there is no effect at all.
pub(super) fn by_day(quarters: &[(Timestamp, Effect)], zone: &Zone, now: Timestamp) -> Vec<Day> {
    let Some((first, _)) = quarters.first() else { return Vec::new() };
    let mut days: Vec<Day> = Vec::new();
    let (mut at, mut rest) = (*first, quarters.iter().peekable());
    while at <= now {
        let (name, end) = zone.day_of(at);
        let mut effect = Effect::default();
        while let Some((_, more)) = rest.next_if(|(quarter, _)| *quarter < end) {
            effect.add(more);
        }
        days.push(Day { name, effect });
        if days.len() > DAYS_MAX {
            days.remove(0);
        }
        if end <= at {
            break;
        }
        at = end;
    }
    days
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_become_the_days_of_a_zone_with_no_gap() {
        let at = |text: &str| Timestamp::from_rfc3339(text).expect("a time");
        let effect = |n| Effect { would_come: n, ..Effect::default() };
        // 23:45 in Tokyo, a quarter later, and two days later.
        let quarters = [
            (at("2026-11-20T14:45:00Z"), effect(1)),
            (at("2026-11-20T15:00:00Z"), effect(2)),
            (at("2026-11-20T23:00:00Z"), effect(4)),
            (at("2026-11-23T03:00:00Z"), effect(8)),
        ];
        let days = |zone: &str, now: &str| -> Vec<(String, u64)> {
            let days = by_day(&quarters, &Zone::named(zone), at(now));
            days.into_iter().map(|day| (day.name, day.effect.would_come)).collect()
        };
        let named =
            |rows: &[(&str, u64)]| -> Vec<(String, u64)> { rows.iter().map(|(d, n)| ((*d).to_owned(), *n)).collect() };
        assert_eq!(
            days("Asia/Tokyo", "2026-11-23T14:00:00Z"),
            named(&[("2026-11-20", 1), ("2026-11-21", 6), ("2026-11-22", 0), ("2026-11-23", 8)])
        );
        assert_eq!(
            days("UTC", "2026-11-24T00:00:00Z"),
            named(&[("2026-11-20", 7), ("2026-11-21", 0), ("2026-11-22", 0), ("2026-11-23", 8), ("2026-11-24", 0)])
        );
        assert_eq!(days("UTC", "2027-11-24T00:00:00Z").len(), DAYS_MAX, "the newest days");
        assert!(by_day(&[], &Zone::named("UTC"), at("2026-11-24T00:00:00Z")).is_empty());
    }
}
