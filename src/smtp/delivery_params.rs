//! The parameters of MAIL that say when and how a mail is to be delivered: priority, hold, deadline, and TLS on the way.
//!
//! In: the value of a parameter, and what was offered.  Out: the typed value, or 501 with the way it is written.
//! Always: nothing here reads a clock: the time comes with what was offered.
//! Sources: RFC 6710 §3 and §7 (MT-PRIORITY), RFC 4865 §3 and §4.2 with erratum 2040 (HOLDFOR, HOLDUNTIL), RFC 2852 §4 (BY),
//! RFC 8689 §2 (REQUIRETLS).

use super::reply::Reply;
use crate::clock::Timestamp;

/// Most of HOLDFOR and BY, in seconds: nine digits.
pub const SECONDS_MAX: u32 = 999_999_999;

/// HOLDUNTIL may lie this far back, in seconds, and means *now*: clocks differ, and the mail may have waited for its turn in
/// the submitter's own queue. What lies further back is a mistake (last year's date), and mail cannot be called back.
pub const HOLD_PAST_SECONDS_MAX: u64 = 300;

/// What of these a session offers now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Offered {
    /// MT-PRIORITY.
    pub mt_priority: bool,
    /// FUTURERELEASE.
    pub hold: Option<HoldLimits>,
    /// DELIVERBY.
    pub deliver_by: bool,
    /// REQUIRETLS.
    pub require_tls: bool,
}

/// How far ahead FUTURERELEASE reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HoldLimits {
    /// Seconds ahead at most.
    pub seconds_max: u32,
    /// The time now, in seconds since 1970.
    pub now: u64,
}

impl HoldLimits {
    /// The latest time of HOLDUNTIL, in seconds since 1970.
    pub fn until_max(self) -> u64 {
        self.now.saturating_add(self.seconds_max.into())
    }
}

/// FUTURERELEASE (RFC 4865 §3): not before then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hold {
    /// HOLDFOR=: seconds from the acceptance.
    For(u32),
    /// HOLDUNTIL=: a point in time, in seconds since 1970.
    Until(u64),
}

impl Hold {
    /// When a mail that is accepted at this time may go.
    pub fn release_at(self, accepted_at: Timestamp) -> Timestamp {
        match self {
            Hold::For(seconds) => accepted_at.plus(std::time::Duration::from_secs(seconds.into())),
            Hold::Until(seconds) => Timestamp::from_millis(seconds.saturating_mul(1000)).max(accepted_at),
        }
    }

    /// Seconds that it holds a mail that comes now, in seconds since 1970.
    fn seconds_from(self, now: u64) -> u64 {
        match self {
            Hold::For(seconds) => seconds.into(),
            Hold::Until(at) => at.saturating_sub(now),
        }
    }
}

/// BY= (RFC 2852 §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeliverBy {
    /// Seconds from the acceptance; negative only with `Notify`: the deadline has passed.
    pub seconds: i64,
    /// What happens when they are over.
    pub mode: ByMode,
    /// `T`: every relay on the way tells the sender (RFC 2852 §4.1.4).
    pub trace: bool,
}

/// What happens at the end of a BY (RFC 2852 §4.1.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ByMode {
    /// `N`: the sender is told of the delay, the mail goes on.
    Notify,
    /// `R`: it fails.
    Return,
}

impl DeliverBy {
    /// The deadline of a mail that was accepted at this time.
    pub fn deadline(self, accepted_at: Timestamp) -> Timestamp {
        let millis = self.seconds.unsigned_abs().saturating_mul(1000);
        let span = std::time::Duration::from_millis(millis);
        if self.seconds < 0 { accepted_at.minus(span) } else { accepted_at.plus(span) }
    }

    /// Whole seconds until the deadline; negative: it has passed. They are never rounded in the mail's favour (RFC 2852 §4.1.4).
    pub fn left(self, accepted_at: Timestamp, now: Timestamp) -> i64 {
        let millis = |t: Timestamp| i64::try_from(t.as_millis()).unwrap_or(i64::MAX);
        millis(self.deadline(accepted_at)).saturating_sub(millis(now)).div_euclid(1000)
    }

    /// Whether the sender is told `relayed` when a peer takes the mail with so many seconds left: every relay is to be named
    /// (RFC 2852 §4.1.4), or the peer does not know deadlines and this one has not passed (§4.1.4.2). NOTIFY=NEVER still
    /// forbids it.
    pub fn wants_relayed_notice(self, peer_does_by: bool, left: i64) -> bool {
        self.trace || (!peer_does_by && left > 0)
    }
}

/// MT-PRIORITY=: -9 to 9, without a plus sign or leading zeros.
pub(super) fn mt_priority(value: Option<&str>) -> Result<i8, Reply> {
    let read = |text: &str| match text.as_bytes() {
        [b'0'] => Some(0),
        [digit @ b'1'..=b'9'] => Some((digit - b'0') as i8),
        [b'-', digit @ b'1'..=b'9'] => Some(-((digit - b'0') as i8)),
        _ => None,
    };
    value.and_then(read).ok_or_else(|| Reply::syntax("MT-PRIORITY= takes a number from -9 to 9."))
}

/// HOLDFOR=: 1 to nine digits, not zero.
pub(super) fn hold_for(value: Option<&str>, limits: HoldLimits) -> Result<Hold, Reply> {
    let seconds = value
        .and_then(|v| digits(v, 9))
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| Reply::syntax("HOLDFOR= takes seconds, from 1 on."))?;
    if seconds > u64::from(limits.seconds_max) {
        return Err(Reply::syntax("HOLDFOR= is longer than FUTURERELEASE of EHLO allows."));
    }
    Ok(Hold::For(u32::try_from(seconds).unwrap_or(SECONDS_MAX)))
}

/// HOLDUNTIL=: a date and time of RFC 3339.
pub(super) fn hold_until(value: Option<&str>, limits: HoldLimits) -> Result<Hold, Reply> {
    let at = value
        .and_then(Timestamp::from_rfc3339)
        .ok_or_else(|| Reply::syntax("HOLDUNTIL= takes a time such as 2027-01-31T09:00:00Z."))?
        .as_seconds();
    if at > limits.until_max() {
        return Err(Reply::syntax("HOLDUNTIL= is later than FUTURERELEASE of EHLO allows."));
    }
    if at.saturating_add(HOLD_PAST_SECONDS_MAX) < limits.now {
        return Err(Reply::syntax("HOLDUNTIL= is in the past."));
    }
    Ok(Hold::Until(at))
}

/// BY=: `seconds;N` or `seconds;R`, then perhaps `T`.
pub(super) fn deliver_by(value: Option<&str>) -> Result<DeliverBy, Reply> {
    let by = value
        .and_then(read_by)
        .ok_or_else(|| Reply::syntax("BY= takes seconds, a semicolon, N or R, and perhaps T: BY=3600;R."))?;
    if by.mode == ByMode::Return && by.seconds <= 0 {
        return Err(Reply::syntax("BY= with R takes seconds from 1 on."));
    }
    Ok(by)
}

fn read_by(value: &str) -> Option<DeliverBy> {
    let (time, mode) = value.split_once(';')?;
    let (sign, number) = match time.as_bytes().first()? {
        b'-' => (-1, &time[1..]),
        b'+' => (1, &time[1..]),
        _ => (1, time),
    };
    let seconds = sign * i64::try_from(digits(number, 9)?).ok()?;
    let (mode, trace) = match mode.to_ascii_uppercase().as_str() {
        "N" => (ByMode::Notify, false),
        "NT" => (ByMode::Notify, true),
        "R" => (ByMode::Return, false),
        "RT" => (ByMode::Return, true),
        _ => return None,
    };
    Some(DeliverBy { seconds, mode, trace })
}

/// A mail that may not leave before its deadline has passed contradicts itself (RFC 4865 §5.2.2).
pub(super) fn hold_fits(hold: Option<Hold>, by: Option<DeliverBy>, limits: Option<HoldLimits>) -> Result<(), Reply> {
    let (Some(hold), Some(by), Some(limits)) = (hold, by, limits) else { return Ok(()) };
    let held = i64::try_from(hold.seconds_from(limits.now)).unwrap_or(i64::MAX);
    if held >= by.seconds {
        return Err(Reply::syntax("BY= ends before the mail is released: give it more time than it is held."));
    }
    Ok(())
}

/// One to `most` digits.
fn digits(text: &str, most: usize) -> Option<u64> {
    ((1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-24T13:35:10Z.
    const NOW: u64 = 1_795_527_310;
    const LIMITS: HoldLimits = HoldLimits { seconds_max: 86_400, now: NOW };

    #[test]
    fn priorities_are_one_digit() {
        for (text, expected) in [("0", Some(0)), ("9", Some(9)), ("-9", Some(-9)), ("4", Some(4))] {
            assert_eq!(mt_priority(Some(text)).ok(), expected, "{text}");
        }
        for text in ["", "-", "-0", "+1", "10", "-10", "00", "1.5", "high"] {
            assert_eq!(mt_priority(Some(text)).unwrap_err().code, 501, "{text}");
        }
        assert_eq!(mt_priority(None).unwrap_err().code, 501);
    }

    #[test]
    fn holds_stay_within_what_ehlo_said() {
        for (text, expected) in [
            ("1", Some(Hold::For(1))),
            ("86400", Some(Hold::For(86_400))),
            ("000000060", Some(Hold::For(60))),
            ("86401", None),
            ("0", None),
            ("-1", None),
            ("+1", None),
            ("1000000000", None),
            ("", None),
        ] {
            assert_eq!(hold_for(Some(text), LIMITS).ok(), expected, "{text}");
        }
        for (text, expected) in [
            ("2026-11-24T13:40:10Z", Some(NOW + 300)),
            ("2026-11-24t22:40:10.5+09:00", Some(NOW + 300)),
            ("2026-11-25T13:35:10Z", Some(NOW + 86_400)),
            ("2026-11-25T13:35:11Z", None),
            // A few minutes of the past mean now; more is a mistake.
            ("2026-11-24T13:30:10Z", Some(NOW - 300)),
            ("2026-11-24T13:30:09Z", None),
            ("2026-11-24", None),
            ("2026-11-24 13:40:10Z", None),
            ("2026-11-24T13:40:10", None),
            ("2026-13-24T13:40:10Z", None),
            ("tomorrow", None),
        ] {
            assert_eq!(hold_until(Some(text), LIMITS).ok(), expected.map(Hold::Until), "{text}");
        }
    }

    #[test]
    fn deadlines_are_read_with_their_modes() {
        let by = |seconds, mode, trace| Some(DeliverBy { seconds, mode, trace });
        for (text, expected) in [
            ("120;R", by(120, ByMode::Return, false)),
            ("+120;rt", by(120, ByMode::Return, true)),
            ("-5;N", by(-5, ByMode::Notify, false)),
            ("0;NT", by(0, ByMode::Notify, true)),
            ("0;R", None),
            ("-5;R", None),
            ("1000000000;N", None),
            (";N", None),
            ("120", None),
            ("120;X", None),
            ("120;T", None),
            ("120;RTT", None),
            ("--1;N", None),
            ("飛;N", None),
        ] {
            assert_eq!(deliver_by(Some(text)).ok(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_left_is_never_rounded_up() {
        let at = Timestamp::from_millis(NOW * 1000);
        let by = DeliverBy { seconds: 10, mode: ByMode::Notify, trace: false };
        for (passed, left) in [(0, 10), (1, 9), (999, 9), (10_000, 0), (10_001, -1), (12_500, -3)] {
            assert_eq!(by.left(at, Timestamp::from_millis(NOW * 1000 + passed)), left, "{passed}");
        }
        let late = DeliverBy { seconds: -10, ..by };
        assert_eq!(late.left(at, at), -10);
        assert_eq!(DeliverBy { seconds: i64::MIN, ..by }.deadline(at), Timestamp::ZERO);
    }

    #[test]
    fn the_sender_hears_of_a_relay_that_keeps_no_deadlines() {
        for (trace, peer_does_by, left, told) in [
            (false, true, 60, false),
            (false, false, 60, true),
            (false, false, 0, false),
            (true, true, 60, true),
            (true, false, -60, true),
        ] {
            let by = DeliverBy { seconds: 90, mode: ByMode::Notify, trace };
            assert_eq!(by.wants_relayed_notice(peer_does_by, left), told, "{by:?} {peer_does_by} {left}");
        }
    }

    #[test]
    fn a_mail_is_released_before_its_deadline() {
        let by = |seconds| Some(DeliverBy { seconds, mode: ByMode::Notify, trace: false });
        let limits = Some(LIMITS);
        assert!(hold_fits(Some(Hold::For(60)), by(61), limits).is_ok());
        assert_eq!(hold_fits(Some(Hold::For(60)), by(60), limits).unwrap_err().code, 501);
        assert!(hold_fits(Some(Hold::Until(NOW + 60)), by(60), limits).is_err());
        assert!(hold_fits(Some(Hold::Until(NOW - 60)), by(60), limits).is_ok());
        assert!(hold_fits(None, by(1), limits).is_ok() && hold_fits(Some(Hold::For(9)), None, limits).is_ok());
    }
}
