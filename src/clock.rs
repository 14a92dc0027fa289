//! The only file that reads the operating system's clock.
//!
//! In: nothing.  Out: [`Timestamp`] (wall clock, stored and logged, UTC) and [`std::time::Instant`] (time-outs).
//! Always: everything else takes the time as an argument, or a [`Clock`], so that tests can move it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A moment of wall-clock time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

/// Milliseconds of a day.
pub const DAY_MILLIS: u64 = 86_400_000;

impl Timestamp {
    /// Later than every time that occurs.
    pub const MAX: Timestamp = Timestamp(u64::MAX);
    /// Earlier than every time that occurs.
    pub const ZERO: Timestamp = Timestamp(0);

    /// The moment `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Timestamp(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub const fn as_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Days since the Unix epoch, in UTC: the bucket of the log's indexes.
    pub const fn day(self) -> u32 {
        (self.0 / DAY_MILLIS) as u32
    }

    /// This moment moved forward, stopping at [`Timestamp::MAX`].
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Timestamp(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// This moment moved back, stopping at zero.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Timestamp(self.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Time passed since `earlier`; zero when the clock stepped back.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3339 in UTC with milliseconds: `2026-11-24T13:35:10.000Z`.
    pub fn rfc3339(self) -> String {
        match i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()) {
            Some(t) => format!("{t:.3}"),
            None => "never".into(),
        }
    }
}

impl Timestamp {
    /// Reads a date and time of RFC 3339 §5.6, with `Z` or an offset; times before 1970 and leap seconds' own second are none.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        // The library reads more forms (blanks, missing seconds, zone names); these places tell RFC 3339's apart.
        let b = text.as_bytes();
        let is_shaped = (20..=40).contains(&b.len())
            && text.is_ascii()
            && matches!((b[4], b[7], b[10], b[13], b[16]), (b'-', b'-', b'T' | b't', b':', b':'))
            && (b.ends_with(b"Z")
                || b.ends_with(b"z")
                || matches!(b[b.len() - 6], b'+' | b'-') && b[b.len() - 3] == b':');
        let at: jiff::Timestamp = is_shaped.then(|| text.parse().ok())??;
        u64::try_from(at.as_millisecond()).ok().map(Timestamp)
    }

    /// RFC 3339 in UTC, whole seconds: `2026-11-24T13:35:10Z`.
    pub fn rfc3339_seconds(self) -> String {
        match i64::try_from(self.as_seconds()).ok().and_then(|s| jiff::Timestamp::from_second(s).ok()) {
            Some(t) => t.to_string(),
            None => "9999-12-31T23:59:59Z".into(),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// Where the time comes from: the machine, or a test.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual { millis: Arc<AtomicU64>, start: Instant, start_millis: u64 },
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Clock(Source::System)
    }

    /// A clock that moves only when [`Clock::advance`] is called.
    pub fn manual(at: Timestamp) -> Self {
        Clock(Source::Manual { millis: Arc::new(AtomicU64::new(at.0)), start: read_instant(), start_millis: at.0 })
    }

    /// The wall clock.
    #[allow(clippy::disallowed_methods)]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp(
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            ),
            Source::Manual { millis, .. } => Timestamp(millis.load(Ordering::SeqCst)),
        }
    }

    /// The monotonic clock, for time-outs and durations.
    pub fn instant(&self) -> Instant {
        match &self.0 {
            Source::System => read_instant(),
            Source::Manual { millis, start, start_millis } => {
                *start + Duration::from_millis(millis.load(Ordering::SeqCst).saturating_sub(*start_millis))
            }
        }
    }

    /// Moves a manual clock forward; the machine's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { millis, .. } = &self.0 {
            millis.fetch_add(u64::try_from(by.as_millis()).unwrap_or(0), Ordering::SeqCst);
        }
    }
}

#[allow(clippy::disallowed_methods)]
fn read_instant() -> Instant {
    Instant::now()
}

/// A time as milliseconds since 1970, for rows kept as JSON: `#[serde(with = "crate::clock::millis")]`.
pub mod millis {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Timestamp;

    /// Writes it.
    ///
    /// # Errors
    /// The format's.
    pub fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(at.as_millis())
    }

    /// Reads it.
    ///
    /// # Errors
    /// The format's, and where it is no number.
    pub fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Timestamp, D::Error> {
        u64::deserialize(from).map(Timestamp::from_millis)
    }
}
