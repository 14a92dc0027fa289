//! When a recipient is tried again, and when it is given up.
//!
//! In: the retry schedule, the tries so far, the time, a jitter.  Out: [`NextTry`].
//! Always: the last try happens at the end of the lifetime or right before it, so that nobody expires untried; all
//! recipients of a message that failed together are tried together again.
//! Sources: RFC 5321 §4.5.4.1; algorithms F1.

use std::time::Duration;

use crate::{clock::Timestamp, ids::MessageId};

/// The jitter's width: the delay is changed by up to this many thousandths, either way.
pub const JITTER_PERMILLE: i64 = 150;
/// A rest of life shorter than this is not worth a last try of its own: the one that just failed was right before the end.
pub const LAST_TRY_SLACK: Duration = Duration::from_secs(60);
/// The delay when a schedule is empty, which the config refuses.
const FALLBACK: Duration = Duration::from_secs(3_600);
/// NOTIFY=DELAY is honoured once a message is this old, unless the config says another time (RFC 3461 leaves it to us).
pub const DELAY_NOTICE_AFTER: Duration = Duration::from_secs(4 * 3_600);

/// A number between -1000 and 1000 that moves a delay within ±15 %.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Jitter(i64);

impl Jitter {
    /// The middle: no change.
    pub const NONE: Jitter = Jitter(0);

    /// A jitter of a random or hashed number.
    pub fn from_bits(bits: u64) -> Self {
        Jitter((bits % 2_001) as i64 - 1_000)
    }

    /// The jitter of a message's try: equal for all its recipients, different for each message and each try.
    pub fn of(message: MessageId, tries: u32) -> Self {
        // One round of splitmix64: cheap, and neighbours in time get unrelated values.
        let mut z = message.as_u64().wrapping_add(u64::from(tries).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Jitter::from_bits(z ^ (z >> 31))
    }

    fn apply(self, delay: Duration) -> Duration {
        let millis = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX / 2_000_000);
        let moved = millis + millis.saturating_mul(self.0 * JITTER_PERMILLE / 1_000) / 1_000;
        Duration::from_millis(u64::try_from(moved).unwrap_or(0))
    }
}

/// What follows a try that did not settle the recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NextTry {
    /// It is tried again at this time.
    At(Timestamp),
    /// That was the last try: its life is over.
    Expired,
}

/// When to try again after try number `tries` (from 1) failed at `now`.
pub fn next_try(schedule: &[Duration], tries: u32, now: Timestamp, expires_at: Timestamp, jitter: Jitter) -> NextTry {
    if now >= expires_at {
        return NextTry::Expired;
    }
    let delay = delay(schedule, tries, jitter);
    let at = now.plus(delay);
    if at < expires_at {
        return NextTry::At(at);
    }
    if expires_at.since(now) < slack(delay) {
        return NextTry::Expired;
    }
    NextTry::At(expires_at)
}

/// The wait after try number `tries` (from 1).
fn delay(schedule: &[Duration], tries: u32, jitter: Jitter) -> Duration {
    let step = usize::try_from(tries.max(1) - 1).unwrap_or(usize::MAX).min(schedule.len().saturating_sub(1));
    jitter.apply(schedule.get(step).copied().unwrap_or(FALLBACK))
}

fn slack(delay: Duration) -> Duration {
    LAST_TRY_SLACK.min(delay / 10)
}

/// Whether a recipient of `message` with `tries` tries behind it, held back at `now`, would expire although its site, really
/// tried last at `tried_at`, may not have been tried since the recipient's own last turn: then it must be tried itself.
pub fn must_be_tried(
    schedule: &[Duration],
    (message, tries): (MessageId, u32),
    now: Timestamp,
    expires_at: Timestamp,
    tried_at: Timestamp,
) -> bool {
    // Most live far longer than any wait: no need to reckon.
    if expires_at == Timestamp::MAX {
        return false;
    }
    let this = tries.saturating_add(1);
    if next_try(schedule, this, now, expires_at, Jitter::of(message, this)) != NextTry::Expired {
        return false;
    }
    // The wait that ends now may have been cut by the end of life, but never to less than its slack.
    let since = match tries {
        0 => message.time(),
        _ => now.minus(slack(delay(schedule, tries, Jitter::of(message, tries)))),
    };
    tried_at < since
}

/// Whether a delay notice goes out with a deferral at `now`, and if not yet, when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DelayNotice {
    /// Never: nobody wants it, or it was sent.
    No,
    /// With this deferral.
    Now,
    /// Not before this time; a try then carries it.
    At(Timestamp),
}

/// Decides about the delay notice. `asked` is NOTIFY=DELAY, `given` that NOTIFY was given at all, `configured` is
/// `[queue] delay_notice_after` (zero: only when asked for).
pub fn delay_notice(
    asked: bool,
    given: bool,
    configured: Duration,
    accepted: Timestamp,
    now: Timestamp,
) -> DelayNotice {
    let after = match (asked, given, configured.is_zero()) {
        (true, _, true) => DELAY_NOTICE_AFTER,
        (true, _, false) | (false, false, false) => configured,
        (false, true, _) | (false, false, true) => return DelayNotice::No,
    };
    notice_at(accepted.plus(after), now)
}

/// A notice that is wanted at that time.
pub fn notice_at(at: Timestamp, now: Timestamp) -> DelayNotice {
    if now >= at { DelayNotice::Now } else { DelayNotice::At(at) }
}

impl DelayNotice {
    /// The earlier of two that are wanted.
    pub fn or(self, other: DelayNotice) -> DelayNotice {
        match (self, other) {
            (DelayNotice::Now, _) | (_, DelayNotice::Now) => DelayNotice::Now,
            (DelayNotice::No, one) | (one, DelayNotice::No) => one,
            (DelayNotice::At(one), DelayNotice::At(other)) => DelayNotice::At(one.min(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: u64 = 60_000;
    const NOW: Timestamp = Timestamp::from_millis(1_764_000_000_000);

    fn schedule() -> Vec<Duration> {
        crate::config::Queue::default().retry_schedule
    }

    #[test]
    fn tries_follow_the_schedule_and_its_last_step_repeats() {
        for (tries, minutes) in [(1, 1), (2, 5), (3, 15), (4, 30), (5, 60), (6, 120), (7, 240), (8, 240), (1_000, 240)]
        {
            let at = next_try(&schedule(), tries, NOW, Timestamp::MAX, Jitter::NONE);
            assert_eq!(at, NextTry::At(NOW.plus(Duration::from_millis(minutes * MINUTE))), "try {tries}");
        }
    }

    #[test]
    fn the_last_try_is_at_the_end_of_life() {
        let hour = Duration::from_secs(3_600);
        // (try, rest of life in seconds, expected)
        for (tries, rest, expected) in [
            (7, 3_600, NextTry::At(NOW.plus(hour))), // 4 h delay, 1 h left: tried at the end
            (7, 30, NextTry::Expired),               // right before the end: this was the last one
            (1, 30, NextTry::At(NOW.plus(Duration::from_secs(30)))),
            (1, 0, NextTry::Expired),
        ] {
            let expires = NOW.plus(Duration::from_secs(rest));
            assert_eq!(next_try(&schedule(), tries, NOW, expires, Jitter::NONE), expected, "try {tries}, rest {rest}");
        }
        assert_eq!(next_try(&schedule(), 3, NOW, NOW.minus(hour), Jitter::NONE), NextTry::Expired);
    }

    #[test]
    fn a_life_of_four_days_has_its_tries_and_ends_on_time() {
        let accepted = NOW;
        let expires = accepted.plus(crate::config::Queue::default().lifetime);
        let (mut now, mut tries) = (accepted, 0);
        loop {
            tries += 1;
            match next_try(&schedule(), tries, now, expires, Jitter::of(MessageId::from_u64(77), tries)) {
                NextTry::At(at) => now = at,
                NextTry::Expired => break,
            }
            assert!(tries < 100);
        }
        assert!(expires.since(now) < LAST_TRY_SLACK, "gave up at {now}, life ends at {expires}");
        assert!((25..40).contains(&tries), "{tries} tries");
    }

    #[test]
    fn only_who_would_expire_untried_must_be_tried() {
        let id = MessageId::from_u64((NOW.as_millis() - 1_704_067_200_000) << 20);
        let ago = |seconds| NOW.minus(Duration::from_secs(seconds));
        for (tries, expires_at, tried_at, expected) in [
            (7, Timestamp::MAX, Timestamp::ZERO, false),
            (7, NOW.plus(Duration::from_secs(86_400)), Timestamp::ZERO, false), // it has another turn
            (7, NOW, Timestamp::ZERO, true),
            (7, NOW, ago(61), true), // its last wait may have been cut to a minute
            (7, NOW, ago(60), false),
            (1, NOW, ago(8), true), // a tenth of a minute
            (1, NOW, ago(5), false),
            (0, NOW, id.time().minus(Duration::from_millis(1)), true), // never since it came
            (0, NOW, id.time(), false),
        ] {
            let must = must_be_tried(&schedule(), (id, tries), NOW, expires_at, tried_at);
            assert_eq!(must, expected, "{tries} tries, tried at {tried_at}");
        }
    }

    #[test]
    fn delay_notices_go_to_those_who_want_them() {
        let four = DELAY_NOTICE_AFTER;
        let hour = Duration::from_secs(3_600);
        for (asked, given, configured, age, expected) in [
            (false, false, Duration::ZERO, four, DelayNotice::No),
            (true, true, Duration::ZERO, four, DelayNotice::Now),
            (true, true, Duration::ZERO, hour, DelayNotice::At(NOW.plus(four))),
            (false, false, hour, hour, DelayNotice::Now),
            (false, true, hour, four, DelayNotice::No), // NOTIFY=FAILURE, or NEVER
            (true, true, hour, hour, DelayNotice::Now),
        ] {
            assert_eq!(delay_notice(asked, given, configured, NOW, NOW.plus(age)), expected);
        }
    }

    proptest! {
        #[test]
        fn jitter_stays_within_fifteen_percent(bits: u64, tries in 1u32..20) {
            let NextTry::At(at) = next_try(&schedule(), tries, NOW, Timestamp::MAX, Jitter::from_bits(bits)) else {
                panic!("expired")
            };
            let plain = schedule()[(tries as usize - 1).min(6)].as_millis() as f64;
            let got = at.since(NOW).as_millis() as f64;
            prop_assert!((got - plain).abs() <= plain * 0.1501, "{got} of {plain}");
        }

        #[test]
        fn nobody_expires_before_the_end_or_is_tried_long_after(tries in 1u32..50, rest in 0u64..400_000_000, bits: u64) {
            let expires = NOW.plus(Duration::from_millis(rest));
            match next_try(&schedule(), tries, NOW, expires, Jitter::from_bits(bits)) {
                NextTry::At(at) => prop_assert!(at > NOW && at <= expires),
                NextTry::Expired => prop_assert!(rest < 60_000),
            }
        }
    }
}
