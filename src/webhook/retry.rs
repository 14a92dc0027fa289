//! When a post that failed is tried again.
//!
//! In: how often it failed, what the host asked for.  Out: a pause, or that it is over.
//! Always: pauses double from a second to a quarter of an hour, with jitter, so that endpoints behind one host do not come
//! together; a host may ask for a longer one, of an hour at most.
//! Sources: Standard Webhooks ("Deliverability and reliability"); RFC 9110 §10.2.3 (Retry-After).

use std::time::Duration;

use crate::clock::Timestamp;

/// The first pause.
const FIRST: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_secs(900);
/// The longest that a host may ask for.
const ASKED_LONGEST: Duration = Duration::from_secs(3600);

/// The pause after the `tries`-th failure in a row (from 1). `random`: from 0 to 1.
pub fn pause(tries: u32, asked: Option<Duration>, random: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST);
    let spread = doubled.mul_f64(0.8 + 0.4 * random.clamp(0.0, 1.0));
    asked.map_or(spread, |asked| spread.max(asked.min(ASKED_LONGEST)))
}

/// What `Retry-After` asks for: seconds, or a date.
pub fn asked(field: Option<&str>, now: Timestamp) -> Option<Duration> {
    let field = field?.trim();
    if let Ok(seconds) = field.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(field).ok()?.timestamp().as_millisecond();
    let at = Timestamp::from_millis(u64::try_from(at).ok()?);
    Some(at.since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_with_jitter_and_have_an_end() {
        let seconds = |tries, random| pause(tries, None, random).as_secs_f64();
        for (tries, least, most) in [(1, 0.8, 1.2), (2, 1.6, 2.4), (5, 12.8, 19.2), (11, 720.0, 1080.0)] {
            assert!((seconds(tries, 0.0) - least).abs() < 1e-6, "{tries}");
            assert!((seconds(tries, 1.0) - most).abs() < 1e-6, "{tries}");
        }
        assert_eq!(pause(u32::MAX, None, 0.5), LONGEST);
        assert_eq!(pause(0, None, 0.5), FIRST);
    }

    #[test]
    fn a_host_may_ask_for_longer_within_bounds() {
        let now = Timestamp::from_rfc3339("2026-11-29T01:00:00Z").expect("a time");
        for (field, expected) in [
            (None, None),
            (Some("120"), Some(120)),
            (Some("Sun, 29 Nov 2026 01:05:00 GMT"), Some(300)),
            (Some("Sun, 29 Nov 2026 00:05:00 GMT"), Some(0)),
            (Some("-1"), None),
            (Some("soon"), None),
        ] {
            assert_eq!(asked(field, now), expected.map(Duration::from_secs), "{field:?}");
        }
        let minute = Some(Duration::from_secs(60));
        assert_eq!(pause(1, minute, 0.5), Duration::from_secs(60));
        assert_eq!(pause(10, minute, 0.5), Duration::from_secs(512), "never shorter than its own");
        assert_eq!(pause(1, Some(Duration::from_secs(999_999)), 0.5), ASKED_LONGEST);
    }
}
