//! Names of things that are stored: messages, recipients, events.
//!
//! Always: ids grow with time, across restarts too, so that a key's order is the order of arrival.

use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::clock::Timestamp;

/// Bits of an id below its time: a counter within the millisecond.
const COUNTER_BITS: u32 = 20;
/// 2024-01-01T00:00:00Z, from which the 44 bits of milliseconds count.
const EPOCH_MILLIS: u64 = 1_704_067_200_000;
/// Letters of a printed id: digits and lower case without i, l, o, u, in the order of their values.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Letters of a printed id.
const PRINTED_LEN: usize = 13;

/// Octets as hexadecimal digits, in lower case: for digests and cursors.
pub fn hex(octets: &[u8]) -> String {
    use fmt::Write;
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut text, octet| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// One accepted submission; printed it is the *queue id* (13 letters, sorted by time).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MessageId(u64);

impl MessageId {
    /// The id with this number.
    pub const fn from_u64(n: u64) -> Self {
        MessageId(n)
    }

    /// Its number, the key of its rows.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// When it was given out, to the millisecond (it may run ahead of the clock after the clock stepped back).
    pub const fn time(self) -> Timestamp {
        Timestamp::from_millis((self.0 >> COUNTER_BITS) + EPOCH_MILLIS)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = [0u8; PRINTED_LEN];
        for (i, letter) in out.iter_mut().enumerate() {
            let shift = 5 * (PRINTED_LEN - 1 - i);
            *letter = ALPHABET[((self.0 >> shift) & 31) as usize];
        }
        f.write_str(std::str::from_utf8(&out).unwrap_or_default())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a queue id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a queue id: it has 13 letters or digits, without i, l, o and u")]
pub struct NotAnId;

impl FromStr for MessageId {
    type Err = NotAnId;

    fn from_str(s: &str) -> Result<Self, NotAnId> {
        if s.len() != PRINTED_LEN {
            return Err(NotAnId);
        }
        let mut n: u64 = 0;
        for (i, b) in s.bytes().enumerate() {
            let v = ALPHABET.iter().position(|a| *a == b.to_ascii_lowercase()).ok_or(NotAnId)? as u64;
            // 13 letters hold 65 bits: the first one may only be 0..=15.
            if i == 0 && v > 15 {
                return Err(NotAnId);
            }
            n = (n << 5) | v;
        }
        Ok(MessageId(n))
    }
}

/// One recipient of one message: the unit of delivery state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RecipientKey {
    /// The message it belongs to.
    pub message: MessageId,
    /// Its place in the envelope, from 0.
    pub index: u32,
}

/// The submitter of our own TLS report mail, as the log names it; no API user can have this name. Deliveries of such mail are
/// not counted for reports: a report about a report would never end (RFC 8460 §5.4).
pub const REPORT_USER: &str = "tls-report";

/// The user of mail that the console sends to people who sign in: no account has this name. Its content opens an account, so it is
/// for its recipient alone: nobody downloads it.
pub const CONSOLE_USER: &str = "console-mail";

/// A submitter in short: what fairness between API users is keyed by, in RAM and in the due index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct UserKey(u64);

impl UserKey {
    /// The key with this number.
    pub const fn from_u64(n: u64) -> Self {
        UserKey(n)
    }

    /// Its number, as it is stored.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The key of an API user's name; nobody's is 0. FNV-1a, then mixed, so that names that are alike lie apart: turns begin
    /// at any place of the keys' range. Stored, so it never changes.
    pub fn of(user: &str) -> Self {
        if user.is_empty() {
            return UserKey(0);
        }
        let step = |hash: u64, b: u8| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
        let mut key = user.bytes().fold(0xcbf2_9ce4_8422_2325, step);
        // SplitMix64's last steps.
        key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        UserKey((key ^ (key >> 31)).max(1))
    }
}

/// Gives out ids that grow, whatever the clock does.
#[derive(Debug)]
pub struct IdSource(AtomicU64);

impl IdSource {
    /// A source whose ids are all greater than `floor`, the last one stored.
    pub fn after(floor: MessageId) -> Self {
        IdSource(AtomicU64::new(floor.0))
    }

    /// A new id: of `now` where possible, else the one after the last.
    pub fn next(&self, now: Timestamp) -> MessageId {
        let of_now = now.as_millis().saturating_sub(EPOCH_MILLIS) << COUNTER_BITS;
        let mut last = self.0.load(Ordering::Relaxed);
        loop {
            let id = of_now.max(last.saturating_add(1));
            match self.0.compare_exchange_weak(last, id, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return MessageId(id),
                Err(seen) => last = seen,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_print_and_parse() {
        let source = IdSource::after(MessageId(0));
        let now = Timestamp::from_millis(EPOCH_MILLIS + 1_000);
        let a = source.next(now);
        let b = source.next(now);
        let c = source.next(Timestamp::ZERO);
        assert!(a < b && b < c, "{a} {b} {c}");
        assert!(a.to_string() < b.to_string());
        assert_eq!(a.time(), now);
        for id in [a, b, c, MessageId(u64::MAX)] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_eq!("zzzzzzzzzzzzz".parse::<MessageId>(), Err(NotAnId));
        assert_eq!("abc".parse::<MessageId>(), Err(NotAnId));
    }
}
