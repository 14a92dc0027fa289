//! Which time a graph shows, and in which steps.
//!
//! In: what the address says (`range=24h`, or `from=` and `to=`; `step=`), the zone, the time.  Out: [`Span`] and its buckets.
//! Always: whatever the address says there is a span, of [`BUCKETS_MAX`] buckets at most and no longer than the counts are kept; hours
//! and days are those of the zone, whole ones; what was not done as asked is said.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    http::{chart::BUCKETS_MAX, console::Visit, when::Zone},
};

/// Counts are kept for so long.
pub const LONGEST: Duration = Duration::from_secs(400 * 86_400);
/// Buckets that a step that nobody chose makes at most.
const BUCKETS_CHOSEN: u64 = 180;

/// The width of a bucket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)] // each says its width
pub enum Step {
    Minute,
    FiveMinutes,
    Quarter,
    Hour,
    Day,
}

impl Step {
    /// Every step, the shortest first.
    pub const ALL: [Step; 5] = [Step::Minute, Step::FiveMinutes, Step::Quarter, Step::Hour, Step::Day];

    /// The word in an address.
    pub fn word(self) -> &'static str {
        match self {
            Step::Minute => "minute",
            Step::FiveMinutes => "5min",
            Step::Quarter => "15min",
            Step::Hour => "hour",
            Step::Day => "day",
        }
    }

    /// Its seconds; a day may have an hour more or less.
    pub fn seconds(self) -> u64 {
        match self {
            Step::Minute => 60,
            Step::FiveMinutes => 300,
            Step::Quarter => 900,
            Step::Hour => 3_600,
            Step::Day => 86_400,
        }
    }

    /// It needs counts by minute; others are sums of quarters of an hour.
    pub fn is_fine(self) -> bool {
        self < Step::Quarter
    }

    /// For people: "each …".
    pub fn words(self, visit: &Visit<'_>) -> &'static str {
        match self {
            Step::Minute => visit.say("minute", "1分"),
            Step::FiveMinutes => visit.say("5 minutes", "5分"),
            Step::Quarter => visit.say("15 minutes", "15分"),
            Step::Hour => visit.say("hour", "1時間"),
            Step::Day => visit.say("day", "1日"),
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        Step::ALL.into_iter().find(|step| step.word() == word)
    }

    /// The shortest step that makes of so long a time no more than `buckets`.
    fn for_length(length: Duration, buckets: u64) -> Self {
        let fits = |step: &Step| length.as_secs().div_ceil(step.seconds()) <= buckets;
        Step::ALL.into_iter().find(fits).unwrap_or(Step::Day)
    }
}

/// The times that are one click away: word, length.
pub const PRESETS: [(&str, Duration); 6] = [
    ("1h", Duration::from_secs(3_600)),
    ("6h", Duration::from_secs(6 * 3_600)),
    ("24h", Duration::from_secs(86_400)),
    ("7d", Duration::from_secs(7 * 86_400)),
    ("30d", Duration::from_secs(30 * 86_400)),
    ("13m", Duration::from_secs(396 * 86_400)),
];

/// A preset for people.
pub fn preset_words(visit: &Visit<'_>, word: &str) -> &'static str {
    match word {
        "1h" => visit.say("1 hour", "1時間"),
        "6h" => visit.say("6 hours", "6時間"),
        "24h" => visit.say("24 hours", "24時間"),
        "7d" => visit.say("7 days", "7日間"),
        "30d" => visit.say("30 days", "30日間"),
        _ => visit.say("13 months", "13か月"),
    }
}

/// What was not done as it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remark {
    /// `from` or `to` is no time, or ends before it begins: the last day is shown.
    NotATime,
    /// Longer than counts are kept: the end of it is shown.
    TooLong,
    /// So short a step makes too many buckets: a longer one is used.
    TooFine,
    /// Counts by minute do not reach back so far: a longer step is used.
    NoMinutes,
}

/// A time with its step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// Where it begins: the beginning of a bucket.
    pub from: Timestamp,
    /// Where it ends, this moment not included.
    pub to: Timestamp,
    /// The width of its buckets.
    pub step: Step,
    /// The preset, if it is one.
    pub preset: Option<&'static str>,
    /// It ends now.
    pub is_live: bool,
    /// What was not done as it was asked for.
    pub remark: Option<Remark>,
}

/// What the address says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// `range`
    pub range: &'a str,
    /// `from`
    pub from: &'a str,
    /// `to`
    pub to: &'a str,
    /// `step`
    pub step: &'a str,
}

impl<'a> Asked<'a> {
    /// What this visit's address says.
    pub fn of(visit: &'a Visit<'_>) -> Self {
        let param = |name| visit.request.param(name);
        Asked { range: param("range"), from: param("from"), to: param("to"), step: param("step") }
    }
}

impl Span {
    /// The span that is asked for; `standard`: the preset where nothing is asked. `minutes_from`: since when there are counts by
    /// minute.
    pub fn of(asked: Asked<'_>, standard: &str, zone: &Zone, now: Timestamp, minutes_from: Timestamp) -> Self {
        let mut remark = None;
        let mut preset = None;
        let (mut from, to) = match Self::custom(asked, zone, now) {
            Some(Some(times)) => times,
            other => {
                if other.is_some() {
                    remark = Some(Remark::NotATime);
                }
                let find = |word: &str| PRESETS.into_iter().find(|(name, _)| *name == word);
                let fallback = if other.is_some() { "24h" } else { standard };
                let (word, length) = find(asked.range).or_else(|| find(fallback)).unwrap_or(PRESETS[2]);
                preset = Some(word);
                (now.minus(length), now)
            }
        };
        if to.since(from) > LONGEST {
            from = to.minus(LONGEST);
            remark = Some(Remark::TooLong);
        }
        let length = to.since(from);
        let chosen = Step::of_word(asked.step);
        let mut step = chosen.unwrap_or_else(|| Step::for_length(length, BUCKETS_CHOSEN));
        // One bucket more where both ends cut one.
        let least = Step::for_length(length, BUCKETS_MAX as u64 - 1);
        if step < least {
            (step, remark) = (least, Some(Remark::TooFine));
        }
        if step.is_fine() && from < minutes_from {
            step = Step::Quarter;
            // Where the quarter is nobody's choice, there is nothing to remark.
            remark = remark.or(chosen.map(|_| Remark::NoMinutes));
        }
        let from = bucket_start(from, step, zone);
        Span { from, to, step, preset, is_live: to == now, remark }
    }

    /// `None`: no such thing is asked; `Some(None)`: it is, and wrong.
    fn custom(asked: Asked<'_>, zone: &Zone, now: Timestamp) -> Option<Option<(Timestamp, Timestamp)>> {
        if asked.from.is_empty() && asked.to.is_empty() {
            return None;
        }
        let time = |text: &str, otherwise: Timestamp| match text {
            "" => Some(otherwise),
            text => zone.parse(text, now).ok(),
        };
        let to = time(asked.to, now).map(|to| to.min(now));
        let from = to.and_then(|to| time(asked.from, to.minus(PRESETS[2].1)));
        Some(from.zip(to).filter(|(from, to)| from < to))
    }

    /// The buckets, oldest first, with their names.
    pub fn buckets(&self, zone: &Zone) -> Vec<Bucket> {
        let is_long = self.to.since(self.from) > Duration::from_secs(2 * 86_400);
        let mut buckets = Vec::new();
        let mut at = self.from;
        while at < self.to && buckets.len() < BUCKETS_MAX {
            let end = match self.step {
                Step::Day => zone.day_of(at).1,
                step => at.plus(Duration::from_secs(step.seconds())),
            };
            let full = zone.full(at);
            // `2026-11-24 22:35:10`: the day, and the minute.
            let part = |range: std::ops::Range<usize>| full.get(range).unwrap_or(&full).to_owned();
            let (name, tick) = match self.step {
                Step::Day => (part(0..10), part(5..10)),
                _ if is_long => (part(0..16), part(5..10)),
                _ => (part(5..16), part(11..16)),
            };
            buckets.push(Bucket { start: at, name, tick });
            if end <= at {
                break;
            }
            at = end;
        }
        buckets
    }
}

/// A part of a span.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bucket {
    /// Where it begins; it ends where the next one does.
    pub start: Timestamp,
    /// Its name in tables.
    pub name: String,
    /// Its name below a picture.
    pub tick: String,
}

/// Where the bucket of a moment begins, by the clocks of the zone.
fn bucket_start(at: Timestamp, step: Step, zone: &Zone) -> Timestamp {
    let seconds = match step {
        Step::Day => {
            let day = zone.day_of(at).0;
            return zone.span_of(&day).map_or(at, |(start, _)| start);
        }
        Step::Hour => {
            // Zones are whole quarters of an hour apart, not whole hours.
            let minute: u64 = zone.hour_minute(at).get(3..).and_then(|m| m.parse().ok()).unwrap_or(0);
            at.as_seconds() - (at.as_seconds() % 60).min(at.as_seconds()) - (minute * 60).min(at.as_seconds())
        }
        step => at.as_seconds() / step.seconds() * step.seconds(),
    };
    Timestamp::from_millis(seconds * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::when::of_rfc3339;

    fn at(text: &str) -> Timestamp {
        of_rfc3339(text).expect("a time")
    }

    fn now() -> Timestamp {
        at("2026-11-24T13:35:10.250Z")
    }

    fn span(asked: Asked<'_>) -> Span {
        Span::of(asked, "1h", &Zone::named("Asia/Tokyo"), now(), now().minus(Duration::from_secs(40 * 86_400)))
    }

    #[test]
    fn a_preset_has_a_step_and_whole_buckets() {
        let zone = Zone::named("Asia/Tokyo");
        for (range, step, first, count) in [
            ("", Step::Minute, "2026-11-24T12:35:00Z", 61),
            ("6h", Step::FiveMinutes, "2026-11-24T07:35:00Z", 73),
            ("24h", Step::Quarter, "2026-11-23T13:30:00Z", 97),
            ("7d", Step::Hour, "2026-11-17T13:00:00Z", 169),
            // Days of Tokyo.
            ("30d", Step::Day, "2026-10-24T15:00:00Z", 31),
            ("13m", Step::Day, "2025-10-23T15:00:00Z", 397),
            ("nonsense", Step::Minute, "2026-11-24T12:35:00Z", 61),
        ] {
            let span = span(Asked { range, ..Asked::default() });
            let buckets = span.buckets(&zone);
            assert_eq!((span.step, span.from, buckets.len()), (step, at(first), count), "{range}");
            assert!(span.is_live && span.remark.is_none(), "{range}");
            assert_eq!(buckets[0].start, span.from);
        }
    }

    #[test]
    fn any_range_is_read_in_the_visitors_zone() {
        let asked = Asked { from: "2026-11-20T09:00", to: "2026-11-20T12:00", ..Asked::default() };
        let span = span(asked);
        assert_eq!((span.from, span.to), (at("2026-11-20T00:00:00Z"), at("2026-11-20T03:00:00Z")));
        assert_eq!((span.step, span.preset, span.is_live), (Step::Minute, None, false));
        assert_eq!(span.buckets(&Zone::named("Asia/Tokyo"))[5].name, "11-20 09:05");
        let days = self::span(Asked { from: "2026-11-01", to: "2026-11-20", step: "day", ..Asked::default() });
        let buckets = days.buckets(&Zone::named("Asia/Tokyo"));
        assert_eq!((buckets.len(), buckets[0].name.as_str(), buckets[0].tick.as_str()), (19, "2026-11-01", "11-01"));
    }

    #[test]
    fn what_cannot_be_is_remarked_and_something_is_shown() {
        for (asked, remark, step) in [
            (Asked { from: "yesterday <b>", ..Asked::default() }, Remark::NotATime, Step::Quarter),
            (Asked { from: "2026-11-20", to: "2026-11-19", ..Asked::default() }, Remark::NotATime, Step::Quarter),
            (Asked { from: "2100-01-01", ..Asked::default() }, Remark::NotATime, Step::Quarter),
            (Asked { from: "1999-01-01", ..Asked::default() }, Remark::TooLong, Step::Day),
            (Asked { range: "7d", step: "minute", ..Asked::default() }, Remark::TooFine, Step::Hour),
            (
                Asked { from: "2026-09-01T09:00", to: "2026-09-01T10:00", step: "minute", ..Asked::default() },
                Remark::NoMinutes,
                Step::Quarter,
            ),
        ] {
            let span = span(asked);
            assert_eq!((span.remark, span.step), (Some(remark), step), "{asked:?}");
            let buckets = span.buckets(&Zone::named("UTC"));
            assert!(!buckets.is_empty() && buckets.len() <= BUCKETS_MAX, "{asked:?}");
        }
        let quiet = span(Asked { from: "2026-09-01T09:00", to: "2026-09-01T10:00", ..Asked::default() });
        assert_eq!((quiet.remark, quiet.step), (None, Step::Quarter), "a step that nobody chose is nobody's remark");
    }

    #[test]
    fn hours_are_those_of_the_clock_on_the_wall() {
        let kolkata = Zone::named("Asia/Kolkata");
        // 19:05:10 in Kolkata is 13:35:10 in UTC: the hour began at 13:30.
        assert_eq!(bucket_start(now(), Step::Hour, &kolkata), at("2026-11-24T13:30:00Z"));
        assert_eq!(bucket_start(now(), Step::Day, &kolkata), at("2026-11-23T18:30:00Z"));
        assert_eq!(bucket_start(Timestamp::ZERO, Step::Hour, &kolkata), Timestamp::ZERO);
    }
}
