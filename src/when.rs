//! Times for people: the configured zone's words out, and what people write as a time in.
//!
//! In: timestamps, or texts such as `2h`, `2026-11-24`, `2026-11-24T09:00`, RFC 3339.  Out: texts, or timestamps.
//! Always: the caller gives the present; nothing here reads a clock.
//! Sources: RFC 3339, RFC 9557.

use std::time::Duration;

use jiff::{civil, tz::TimeZone};

use crate::clock::{DAY_MILLIS, Timestamp};

/// The zone that people read times in: `[server].time_zone`.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// The zone of an IANA name; UTC when there is none of that name (the config room has refused it long before).
    pub fn named(name: &str) -> Self {
        match TimeZone::get(name) {
            Ok(zone) => Zone { name: name.to_owned(), zone },
            Err(_) => Zone { name: "UTC".to_owned(), zone: TimeZone::UTC },
        }
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn zoned(&self, at: Timestamp) -> Option<jiff::Zoned> {
        let millis = i64::try_from(at.as_millis()).ok()?;
        Some(jiff::Timestamp::from_millisecond(millis).ok()?.to_zoned(self.zone.clone()))
    }

    fn print(&self, at: Timestamp, form: &str) -> String {
        self.zoned(at).map_or_else(|| "never".to_owned(), |z| z.strftime(form).to_string())
    }

    /// `2026-11-24 22:35:10`.
    pub fn full(&self, at: Timestamp) -> String {
        self.print(at, "%Y-%m-%d %H:%M:%S")
    }

    /// `22:35`.
    pub fn hour_minute(&self, at: Timestamp) -> String {
        self.print(at, "%H:%M")
    }

    /// `22:35:10`, or `11-24 22:35` when it is of another day than `now`.
    pub fn short(&self, at: Timestamp, now: Timestamp) -> String {
        let same_day = match (self.zoned(at), self.zoned(now)) {
            (Some(a), Some(b)) => a.date() == b.date(),
            _ => false,
        };
        self.print(at, if same_day { "%H:%M:%S" } else { "%m-%d %H:%M" })
    }

    /// RFC 3339 with the zone's offset: `2026-11-24T22:35:10+09:00`, for CSV.
    pub fn rfc3339(&self, at: Timestamp) -> String {
        self.print(at, "%Y-%m-%dT%H:%M:%S%:z")
    }

    /// `20261124_223510`, for names of files.
    pub fn file_stamp(&self, at: Timestamp) -> String {
        self.print(at, "%Y%m%d_%H%M%S")
    }

    /// The day that clocks of this zone show; `None` far outside the calendar.
    pub fn date(&self, at: Timestamp) -> Option<civil::Date> {
        self.zoned(at).map(|zoned| zoned.date())
    }

    /// The moment at which clocks of this zone show this time: the first of two, and where a clock skips it, the moment it
    /// would have been. `None` before 1970 and far outside the calendar.
    pub fn moment(&self, at: civil::DateTime) -> Option<Timestamp> {
        let millis = at.to_zoned(self.zone.clone()).ok()?.timestamp().as_millisecond();
        u64::try_from(millis).ok().map(Timestamp::from_millis)
    }

    /// The last moment, now or earlier, at which clocks of this zone showed this minute of a day; `Timestamp::ZERO` where there
    /// is none.
    pub fn last_daily(&self, minute: u16, now: Timestamp) -> Timestamp {
        let minute = minute % (24 * 60);
        let time = civil::time((minute / 60) as i8, (minute % 60) as i8, 0, 0);
        let today = self.date(now);
        let at = |day: civil::Date| self.moment(day.to_datetime(time));
        let todays = today.and_then(at).filter(|at| *at <= now);
        todays.or_else(|| today.and_then(|day| day.yesterday().ok()).and_then(at)).unwrap_or(Timestamp::ZERO)
    }

    /// `2026-11`: the month of a time.
    pub fn month(&self, at: Timestamp) -> String {
        self.print(at, "%Y-%m")
    }

    /// The day of a time, `2026-11-24`, and when it ends.
    pub fn day_of(&self, at: Timestamp) -> (String, Timestamp) {
        let end = self.zoned(at).and_then(|z| moment(&z.tomorrow().ok()?.start_of_day().ok()?));
        (self.print(at, "%Y-%m-%d"), end.unwrap_or(Timestamp::MAX))
    }

    /// Beginning and end of a month (`2026-11`) or a day (`2026-11-24`) in this zone; `None`: it is neither.
    pub fn span_of(&self, text: &str) -> Option<(Timestamp, Timestamp)> {
        let (first, span) = match text.len() {
            7 => (format!("{text}-01"), jiff::Span::new().months(1)),
            10 => (text.to_owned(), jiff::Span::new().days(1)),
            _ => return None,
        };
        let first: civil::Date = first.parse().ok()?;
        let start = |day: civil::Date| moment(&day.to_zoned(self.zone.clone()).ok()?);
        Some((start(first)?, start(first.checked_add(span).ok()?)?))
    }

    /// Reads what people write: a duration before `now` (`90s`, `2h`, `3 days`), a day or a minute in this zone
    /// (`2026-11-24`, `2026-11-24T09:00`, `2026-11-24 09:00`), or RFC 3339 with its offset.
    pub fn parse(&self, text: &str, now: Timestamp) -> Result<Timestamp, NotATime> {
        let text = text.trim();
        let bad = || NotATime(text.chars().take(40).collect());
        let read = || -> Option<i64> {
            if let Ok(at) = text.parse::<jiff::Timestamp>() {
                return Some(at.as_millisecond());
            }
            if let Ok(at) = text.parse::<civil::DateTime>() {
                return Some(at.to_zoned(self.zone.clone()).ok()?.timestamp().as_millisecond());
            }
            if let Ok(day) = text.parse::<civil::Date>() {
                return Some(day.to_zoned(self.zone.clone()).ok()?.timestamp().as_millisecond());
            }
            let span: jiff::Span = text.parse().ok()?;
            Some(self.zoned(now)?.checked_sub(span.abs()).ok()?.timestamp().as_millisecond())
        };
        read().and_then(|ms| u64::try_from(ms).ok()).map(Timestamp::from_millis).ok_or_else(bad)
    }
}

fn moment(at: &jiff::Zoned) -> Option<Timestamp> {
    u64::try_from(at.timestamp().as_millisecond()).ok().map(Timestamp::from_millis)
}

/// A text that names no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time: write 2h, 3d, 2026-11-24, 2026-11-24T09:00 or 2026-11-24T09:00:00Z")]
pub struct NotATime(String);

/// Characters of a day's name, `YYYY-MM-DD`.
const DAY_NAME_LEN: usize = 10;

/// A day of UTC (days since 1970) as keys and rows name it: `2026-11-24`.
pub fn day_name(day: u32) -> String {
    Timestamp::from_millis(u64::from(day) * DAY_MILLIS).rfc3339().chars().take(DAY_NAME_LEN).collect()
}

/// The day of such a name.
pub fn day_named(name: &str) -> Option<u32> {
    let date: civil::Date = (name.len() == DAY_NAME_LEN).then(|| name.parse().ok()).flatten()?;
    let midnight = date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond();
    u32::try_from(u64::try_from(midnight).ok()? / DAY_MILLIS).ok()
}

/// The time of an RFC 3339 text, as our own rows have it.
pub fn of_rfc3339(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok().map(Timestamp::from_millis)
}

/// A duration in its two largest units: `45s`, `4m 10s`, `2h 5m`, `3d 4h`.
pub fn human(duration: Duration) -> String {
    let s = duration.as_secs();
    let two = |big: u64, b: &str, small: u64, l: &str| match small {
        0 => format!("{big}{b}"),
        _ => format!("{big}{b} {small}{l}"),
    };
    match s {
        0..=59 => format!("{s}s"),
        60..=599 => two(s / 60, "m", s % 60, "s"),
        600..=3599 => format!("{}m", s / 60),
        3600..=86_399 => two(s / 3600, "h", s % 3600 / 60, "m"),
        _ => two(s / 86_400, "d", s % 86_400 / 3600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_days_are_those_of_the_zone() {
        let (tokyo, london) = (Zone::named("Asia/Tokyo"), Zone::named("Europe/London"));
        let span =
            |zone: &Zone, text: &str| zone.span_of(text).map(|(a, b)| (a.rfc3339_seconds(), b.rfc3339_seconds()));
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(span(&tokyo, "2026-02"), pair("2026-01-31T15:00:00Z", "2026-02-28T15:00:00Z"));
        assert_eq!(span(&tokyo, "2026-12-31"), pair("2026-12-30T15:00:00Z", "2026-12-31T15:00:00Z"));
        // The night that has twenty-five hours.
        assert_eq!(span(&london, "2026-10-25"), pair("2026-10-24T23:00:00Z", "2026-10-26T00:00:00Z"));
        for text in ["", "2026", "2026-13", "2026-11-31", "11-2026", "2026-1-1", "2026-11-1x"] {
            assert_eq!(span(&tokyo, text), None, "{text}");
        }
        let late = of_rfc3339("2026-10-24T23:30:00Z").expect("a time");
        assert_eq!(london.day_of(late), ("2026-10-25".to_owned(), of_rfc3339("2026-10-26T00:00:00Z").expect("a time")));
        assert_eq!(tokyo.month(of_rfc3339("2026-10-31T15:00:00Z").expect("a time")), "2026-11");
    }

    #[test]
    fn people_write_times_in_many_ways() {
        let tokyo = Zone::named("Asia/Tokyo");
        let now = of_rfc3339("2026-11-24T13:35:10Z").expect("a time");
        for (text, expected) in [
            ("2h", "2026-11-24T11:35:10.000Z"),
            ("90s", "2026-11-24T13:33:40.000Z"),
            ("3d", "2026-11-21T13:35:10.000Z"),
            ("2 days", "2026-11-22T13:35:10.000Z"),
            ("1h30m", "2026-11-24T12:05:10.000Z"),
            ("2026-11-24", "2026-11-23T15:00:00.000Z"),
            ("2026-11-24T09:00", "2026-11-24T00:00:00.000Z"),
            ("2026-11-24 09:00:05", "2026-11-24T00:00:05.000Z"),
            ("2026-11-24T09:00:00Z", "2026-11-24T09:00:00.000Z"),
            ("2026-11-24T09:00:00+09:00", "2026-11-24T00:00:00.000Z"),
        ] {
            assert_eq!(tokyo.parse(text, now).map(|t| t.rfc3339()), Ok(expected.to_owned()), "{text}");
        }
        for text in ["", "yesterday", "2h ago from", "2026-13-01", "99999999999999 years", "-"] {
            assert!(tokyo.parse(text, now).is_err(), "{text}");
        }
        assert_eq!(tokyo.full(now), "2026-11-24 22:35:10");
        assert_eq!(tokyo.rfc3339(now), "2026-11-24T22:35:10+09:00");
        assert_eq!(tokyo.short(now, now), "22:35:10");
        assert_eq!(tokyo.short(now.minus(Duration::from_secs(86_400)), now), "11-23 22:35");
        assert_eq!(tokyo.full(Timestamp::MAX), "never");
    }

    #[test]
    fn a_day_begins_when_its_zone_says_so() {
        let midnight = |zone: &str, day: &str| {
            let day: civil::Date = day.parse().expect("a date");
            Zone::named(zone).moment(day.at(0, 0, 0, 0)).map(|t| t.rfc3339_seconds())
        };
        assert_eq!(midnight("Asia/Tokyo", "2026-11-24").as_deref(), Some("2026-11-23T15:00:00Z"));
        assert_eq!(midnight("Europe/Berlin", "2026-03-29").as_deref(), Some("2026-03-28T23:00:00Z"));
        // Clocks of Santiago skip midnight of that day.
        assert_eq!(midnight("America/Santiago", "2026-09-06").as_deref(), Some("2026-09-06T04:00:00Z"));
        assert_eq!(midnight("UTC", "1969-12-31"), None);
        let tokyo = Zone::named("Asia/Tokyo");
        let now = of_rfc3339("2026-11-24T15:35:10Z").expect("a time");
        assert_eq!(tokyo.date(now).map(|d| d.to_string()).as_deref(), Some("2026-11-25"));
        assert_eq!(tokyo.file_stamp(now), "20261125_003510");
        assert_eq!(tokyo.date(Timestamp::MAX), None);
    }

    #[test]
    fn durations_read_well() {
        for (s, text) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (250, "4m 10s"), (1800, "30m"), (7500, "2h 5m"), (273_600, "3d 4h")]
        {
            assert_eq!(human(Duration::from_secs(s)), text);
        }
    }

    #[test]
    fn the_daily_time_is_that_of_the_zone() {
        let read = |text: &str| Timestamp::from_rfc3339(text).unwrap();
        for (zone, minute, now, expected) in [
            ("Asia/Tokyo", 0, "2026-11-24T14:59:59Z", "2026-11-23T15:00:00Z"),
            ("Asia/Tokyo", 0, "2026-11-24T15:00:00Z", "2026-11-24T15:00:00Z"),
            ("Asia/Tokyo", 210, "2026-11-24T20:00:00Z", "2026-11-24T18:30:00Z"),
            ("UTC", 1439, "2026-11-24T23:58:00Z", "2026-11-23T23:59:00Z"),
            // The clocks skip half past two that night.
            ("Europe/Berlin", 150, "2026-03-29T02:00:00Z", "2026-03-29T01:30:00Z"),
        ] {
            assert_eq!(Zone::named(zone).last_daily(minute, read(now)), read(expected), "{zone} {minute} {now}");
        }
    }
}
