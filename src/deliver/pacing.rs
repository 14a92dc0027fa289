//! The least time between two messages of a speed rule, within an attempt that sends several.
//!
//! The scheduler starts attempts an interval apart. An attempt whose recipients have a transaction each sends a message to
//! every one of them: those after the first take turns here, between the starts of other attempts of the same rule.
//!
//! In: a rule's interval, the time.  Out: how long the next message waits, or that it is for another attempt.
//! Always: an attempt waits for [`WAIT_MAX`] in all at most; what it leaves is as if it had not been in it; the first message of
//! an attempt never waits.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_io::Timer;

use super::{
    attempt::{Settings, Shared},
    job::Job,
};

/// How long an attempt may wait between its messages, in all: it holds a connection, and stops must not wait for it.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// When the next message of each rule may leave.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<Arc<str>, Instant>>);

impl Turns {
    /// A message leaves now, whatever was before: the scheduler let it start.
    fn start(&self, rule: &Arc<str>, interval: Duration, now: Instant) {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = next.entry(rule.clone()).or_insert(now);
        *at = now.max(*at) + interval;
    }

    /// How long the next message waits; `None`, and no turn is taken: longer than `most`.
    fn take(&self, rule: &Arc<str>, interval: Duration, now: Instant, most: Duration) -> Option<Duration> {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = next.entry(rule.clone()).or_insert(now);
        let wait = at.saturating_duration_since(now);
        if wait > most {
            return None;
        }
        *at = now.max(*at) + interval;
        Some(wait)
    }
}

/// An attempt under a rule with an interval.
pub(super) struct Paced {
    rule: Arc<str>,
    interval: Duration,
    waited: Duration,
    /// The first message was sent.
    begun: bool,
    /// The turn of the next message is taken and not used.
    taken: bool,
}

/// What the next message of an attempt does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// It goes at once.
    Now,
    /// It waited, and goes now.
    Waited,
    /// It is for another attempt, or the daemon stops.
    Later,
}

impl Paced {
    /// Waits for the next message's turn.
    pub(super) async fn turn(&mut self, shared: &Shared) -> Turn {
        if self.taken {
            return Turn::Now;
        }
        let now = shared.now();
        if !self.begun {
            shared.turns.start(&self.rule, self.interval, now);
            (self.begun, self.taken) = (true, true);
            return Turn::Now;
        }
        let most = WAIT_MAX.saturating_sub(self.waited);
        let Some(wait) = shared.turns.take(&self.rule, self.interval, now, most) else { return Turn::Later };
        self.waited += wait;
        if shared.unless_cut(Timer::after(wait)).await.is_none() {
            return Turn::Later;
        }
        self.taken = true;
        Turn::Waited
    }

    /// The message whose turn it was has left.
    pub(super) fn used(&mut self) {
        self.taken = false;
    }
}

impl Shared {
    /// The interval that a job's messages keep. Asked only where some rule has one.
    pub(super) async fn paced(&self, settings: &Settings, job: &Job) -> Option<Paced> {
        let site = self.unless_cut(self.site(settings, &job.lane)).await?;
        let pace = site.located.pace.filter(|pace| !pace.interval.is_zero())?;
        Some(Paced { rule: pace.rule, interval: pace.interval, waited: Duration::ZERO, begun: false, taken: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Timestamp};

    #[test]
    fn further_messages_fill_what_starts_leave_and_none_waits_too_long() {
        let (turns, rule, t) = (Turns::default(), Arc::from("r"), Clock::manual(Timestamp::ZERO).instant());
        let ms = Duration::from_millis;
        let take = |at, most| turns.take(&rule, ms(100), t + ms(at), ms(most));
        turns.start(&rule, ms(100), t);
        assert_eq!((take(10, 1_000), take(10, 1_000)), (Some(ms(90)), Some(ms(190))));
        turns.start(&rule, ms(100), t + ms(100));
        assert_eq!((take(100, 299), take(100, 300)), (None, Some(ms(300))), "behind the start, and none is lost");
        assert_eq!(take(5_000, 0), Some(ms(0)), "time that nobody used is not saved up");
        assert_eq!(take(5_000, 99), None);
        assert_eq!(turns.take(&Arc::from("other"), ms(100), t, ms(0)), Some(ms(0)));
    }
}
