//! How destinations behave: well, slowly, not at all, or with malice.

use std::time::Duration;

use hikyaku::schedule::{
    limits::Feedback,
    place::{Push, PushKind},
};

/// Small, seeded, good enough.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from + 1))
    }
}

/// How a destination behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// Delivers within 100 ms.
    Fast,
    /// Delivers, after ten minutes.
    Slow,
    /// Takes some minutes for each mail.
    Tarpit,
    /// Times out after 30 s.
    Dead,
    /// Refuses connections at once.
    Refusing,
    /// Defers each recipient's first try.
    Greylisting,
    /// 421 to each connection beyond so many.
    Limiter(usize),
    /// Refuses a third of the recipients for now, and a tenth of the connections.
    Stormy,
    /// Drops a third of the connections in the middle of the content.
    DropsEarly,
    /// Takes the mail and drops a fifth of the connections before its reply.
    DropsLate,
    /// Answers one in ten with words that a rule reads as "pause for a minute".
    Pausing,
    /// Answers one in ten with words that a rule reads as "slower for a minute".
    Slowing,
}

/// What a conversation comes to.
pub struct Meeting {
    pub lasts: Duration,
    pub feedback: Feedback,
    pub push: Option<Push>,
    /// The peer took the mail.
    pub taken: bool,
    /// We heard that it did.
    pub heard: bool,
}

impl Meeting {
    fn good(lasts: Duration) -> Self {
        Meeting { lasts, feedback: Feedback::Healthy, push: None, taken: true, heard: true }
    }

    fn deferred(lasts: Duration) -> Self {
        Meeting { taken: false, heard: false, ..Meeting::good(lasts) }
    }

    pub fn trouble(lasts: Duration) -> Self {
        Meeting { feedback: Feedback::Trouble, ..Meeting::deferred(lasts) }
    }
}

impl Peer {
    /// A conversation while `open` connections of the site are open, itself included, for a recipient tried `tries` times.
    pub fn meet(self, rng: &mut Rng, open: usize, tries: u32) -> Meeting {
        let fast = rng.millis(10, 100);
        let dice = rng.below(30);
        let push = |what| Some(Push { rule: "temporarily deferred".into(), what, duration: Duration::from_secs(60) });
        match self {
            Peer::Fast => Meeting::good(fast),
            Peer::Slow => Meeting::good(Duration::from_secs(600)),
            Peer::Tarpit => Meeting::good(rng.millis(60_000, 300_000)),
            Peer::Dead => Meeting::trouble(Duration::from_secs(30)),
            Peer::Refusing => Meeting::trouble(rng.millis(0, 3)),
            Peer::Greylisting if tries == 0 => Meeting::deferred(fast),
            Peer::Greylisting => Meeting::good(fast),
            Peer::Limiter(max) if open > max => Meeting::trouble(rng.millis(1, 5)),
            Peer::Limiter(_) => Meeting::good(fast),
            Peer::Stormy if dice < 10 => Meeting::deferred(fast),
            Peer::Stormy if dice < 13 => Meeting::trouble(fast),
            Peer::Stormy => Meeting::good(fast),
            Peer::DropsEarly if dice < 10 => Meeting::deferred(fast),
            Peer::DropsEarly => Meeting::good(fast),
            Peer::DropsLate if dice < 6 => Meeting { heard: false, ..Meeting::good(fast) },
            Peer::DropsLate => Meeting::good(fast),
            Peer::Pausing if dice < 3 => Meeting { push: push(PushKind::Pause), ..Meeting::deferred(fast) },
            Peer::Slowing if dice < 3 => Meeting { push: push(PushKind::Slow), ..Meeting::deferred(fast) },
            Peer::Pausing | Peer::Slowing => Meeting::good(fast),
        }
    }
}
