//! Times as the services and spreadsheets write them.
//!
//! In: a cell.  Out: the time, or nothing where it is none that is known.
//! Always: a time without a zone is of the zone that the caller names; day and month are never guessed.
//! Sources: RFC 3339, RFC 5322 §3.3; the services' own descriptions.

use jiff::{Timestamp as Instant, civil, fmt::strtime, tz::TimeZone};

use crate::clock::Timestamp;

/// Octets of a time at most.
const LEN_MAX: usize = 64;
/// Seconds since 1970 have fewer digits than this until the year 5138; milliseconds have more since 1973.
const SECONDS_DIGITS_MAX: usize = 11;

/// Forms without a zone.
const LOCAL_FORMS: [&str; 4] = ["%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y年%m月%d日 %H:%M:%S", "%Y年%m月%d日 %H:%M"];
/// Forms of a day alone.
const DAY_FORMS: [&str; 2] = ["%Y/%m/%d", "%Y年%m月%d日"];
/// Forms with an offset: SES's console, and times with a blank before it.
const ZONED_FORMS: [&str; 4] =
    ["%B %d, %Y, %H:%M:%S (UTC%:z)", "%B %d, %Y, %H:%M (UTC%:z)", "%Y-%m-%d %H:%M:%S %z", "%Y-%m-%d %H:%M:%S %:z"];

/// Reads a time; `zone`: of one without.
pub fn read(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let text = text.trim();
    if text.is_empty() || text.len() > LEN_MAX {
        return None;
    }
    let millis = since_1970(text).or_else(|| absolute(text)).or_else(|| local(text, zone))?;
    u64::try_from(millis).ok().map(Timestamp::from_millis)
}

fn since_1970(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if ![whole, part].iter().all(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    // Eight digits would be a day without hyphens as well.
    if whole.len() < 9 {
        return None;
    }
    let number: i64 = whole.parse().ok()?;
    if whole.len() <= SECONDS_DIGITS_MAX { number.checked_mul(1000) } else { Some(number) }
}

fn absolute(text: &str) -> Option<i64> {
    let plain = text.strip_suffix(" UTC").or_else(|| text.strip_suffix(" GMT")).map(|rest| format!("{rest} +0000"));
    let text = plain.as_deref().unwrap_or(text);
    if let Ok(at) = text.parse::<Instant>() {
        return Some(at.as_millisecond());
    }
    if let Ok(at) = jiff::fmt::rfc2822::parse(text) {
        return Some(at.timestamp().as_millisecond());
    }
    ZONED_FORMS.iter().find_map(|form| Some(strtime::parse(form, text).ok()?.to_timestamp().ok()?.as_millisecond()))
}

fn local(text: &str, zone: &TimeZone) -> Option<i64> {
    let time = text.parse::<civil::DateTime>().ok();
    let time = time.or_else(|| LOCAL_FORMS.iter().find_map(|form| civil::DateTime::strptime(form, text).ok()));
    let time = time.or_else(|| {
        let day = DAY_FORMS.iter().find_map(|form| civil::Date::strptime(form, text).ok())?;
        Some(day.at(0, 0, 0, 0))
    })?;
    Some(time.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_writes_times_in_its_own_way() {
        let tokyo = TimeZone::get("Asia/Tokyo").expect("a zone");
        for (text, expected) in [
            // CMC and our own.
            ("2026-11-24 22:35:10", Some("2026-11-24T13:35:10.000Z")),
            ("2026-11-24T22:35:10+09:00", Some("2026-11-24T13:35:10.000Z")),
            ("2026-11-24", Some("2026-11-23T15:00:00.000Z")),
            // SES.
            ("1795527310.123", Some("2026-11-24T13:35:10.000Z")),
            ("November 24, 2026, 22:35:10 (UTC+09:00)", Some("2026-11-24T13:35:10.000Z")),
            ("2026-11-24T13:35:10.250000+00:00", Some("2026-11-24T13:35:10.250Z")),
            // SendGrid.
            ("1795527310", Some("2026-11-24T13:35:10.000Z")),
            ("2026-11-24 13:35:10 +0000", Some("2026-11-24T13:35:10.000Z")),
            ("2026-11-24 13:35:10 UTC", Some("2026-11-24T13:35:10.000Z")),
            // Mailgun.
            ("Tue, 24 Nov 2026 13:35:10 UTC", Some("2026-11-24T13:35:10.000Z")),
            ("Tue, 24 Nov 2026 13:35:10 GMT", Some("2026-11-24T13:35:10.000Z")),
            // Postmark.
            ("2026-11-24T08:35:10-05:00", Some("2026-11-24T13:35:10.000Z")),
            ("2026-11-24T08:35:10.1234567-05:00", Some("2026-11-24T13:35:10.123Z")),
            // Spreadsheets in Japan, and milliseconds.
            ("2026/11/24 22:35", Some("2026-11-24T13:35:00.000Z")),
            ("2026/11/24 9:05:01", Some("2026-11-24T00:05:01.000Z")),
            ("2026/1/4", Some("2026-01-03T15:00:00.000Z")),
            ("2026年11月24日", Some("2026-11-23T15:00:00.000Z")),
            ("1795527310123", Some("2026-11-24T13:35:10.123Z")),
            // What could be two days is neither.
            ("11/24/2026", None),
            ("24.11.2026", None),
            ("yesterday", None),
            ("2026-13-01", None),
            ("12", None),
            ("", None),
        ] {
            assert_eq!(read(text, &tokyo).map(|at| at.rfc3339()).as_deref(), expected, "{text}");
        }
        assert_eq!(read(&"1".repeat(65), &tokyo), None);
        assert_eq!(read("99999999999999999999", &tokyo), None);
    }
}
