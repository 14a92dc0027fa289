//! How many connections a way to a site bears: grows with success, shrinks with trouble, and says when the way is dead.
//!
//! In: ends of conversations.  Out: the number N, and whether the way is dead.
//! Always: N is at least 1; the size of a step is 1/N of a connection for each conversation, so that a whole round of them
//! moves N by one; a fall takes effect at the first trouble of a round, not at its last; any success forgets the troubles
//! that count towards death.
//! Sources: algorithms F2 (SCHEDULER_README: with a limiter at five connections a sixth of the mail is deferred with steps
//! of 1/N, a quarter with 1/√N, half with 1).

/// Connections before anything is known of a way, and how far N may run ahead of what is used.
pub const START: usize = 5;
/// Rounds of nothing but trouble that a way survives.
const COHORTS_MAX: f64 = 1.0;
/// Steps are sums of fractions: this much less than a whole connection is a whole one.
const ROUNDING: f64 = 1e-9;

/// How far one conversation moves N. The product uses [`Step::Inverse`]; the others are here to be compared with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A whole connection.
    One,
    /// 1/√N.
    InverseRoot,
    /// 1/N.
    Inverse,
}

impl Step {
    fn of(self, n: usize) -> f64 {
        match self {
            Step::One => 1.0,
            Step::InverseRoot => 1.0 / (n as f64).sqrt(),
            Step::Inverse => 1.0 / n as f64,
        }
    }
}

/// The window of one way.
#[derive(Clone, PartialEq, Debug)]
pub struct Window {
    n: usize,
    success: f64,
    failure: f64,
    cohorts: f64,
    step: Step,
}

impl Window {
    /// A window of [`START`] connections, or of `limit` if that is less.
    pub fn new(limit: usize) -> Self {
        Window::with_step(limit, Step::Inverse)
    }

    /// The same with another size of steps, for comparison.
    pub fn with_step(limit: usize, step: Step) -> Self {
        Window { n: START.min(limit).max(1), success: 0.0, failure: 0.0, cohorts: 0.0, step }
    }

    /// Connections that the way bears.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Trouble has been met since the last success.
    pub fn is_troubled(&self) -> bool {
        self.cohorts > 0.0
    }

    /// A conversation went well while `busy` connections were open, itself included; N grows to `limit` at most, and only
    /// while about as many are in use.
    pub fn succeeded(&mut self, busy: usize, limit: usize) {
        self.cohorts = 0.0;
        if self.n >= limit {
            self.n = limit.max(1);
            self.success = 0.0;
            return;
        }
        if self.n >= busy + START {
            return;
        }
        self.success += self.step.of(self.n);
        if self.success + ROUNDING >= 1.0 {
            self.success = 0.0;
            self.failure = 0.0;
            self.n += 1;
        }
    }

    /// A conversation met trouble; true: the way is dead. `fixed` keeps N as it is and only counts.
    pub fn failed(&mut self, fixed: Option<usize>) -> bool {
        self.cohorts += 1.0 / fixed.unwrap_or(self.n).max(1) as f64;
        if self.cohorts > COHORTS_MAX + ROUNDING {
            return true;
        }
        if fixed.is_none() {
            self.shrink();
        }
        false
    }

    /// The part of [`Window::failed`] that moves N, without counting towards death.
    pub fn shrink(&mut self) {
        self.failure -= self.step.of(self.n);
        if self.failure + ROUNDING < 0.0 {
            self.failure += 1.0;
            self.success = 0.0;
            self.n = (self.n - 1).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_of_successes_adds_one_and_growth_follows_use() {
        let mut window = Window::new(20);
        (0..4).for_each(|_| window.succeeded(5, 20));
        assert_eq!(window.n(), 5);
        window.succeeded(5, 20);
        assert_eq!(window.n(), 6);
        (0..1_000).for_each(|_| window.succeeded(1, 20));
        assert_eq!(window.n(), 6, "one connection in use justifies no more");
        (0..1_000).for_each(|_| window.succeeded(20, 20));
        assert_eq!(window.n(), 20);
        window.succeeded(20, 8);
        assert_eq!(window.n(), 8, "a lower limit applies at once");
    }

    #[test]
    fn trouble_takes_one_at_once_and_another_after_a_round() {
        let mut window = Window::new(20);
        (0..1_000).for_each(|_| window.succeeded(20, 20));
        assert!(!window.failed(None));
        assert_eq!(window.n(), 19);
        (0..18).for_each(|_| window.shrink());
        assert_eq!(window.n(), 19);
        (0..2).for_each(|_| window.shrink());
        assert_eq!(window.n(), 18);
        (0..1_000).for_each(|_| window.shrink());
        assert_eq!(window.n(), 1);
    }

    #[test]
    fn more_than_a_round_of_nothing_but_trouble_is_death_and_a_success_forgives() {
        for (fixed, deadly) in [(None, 5), (Some(4), 5), (Some(1), 2)] {
            let mut window = Window::new(20);
            let dead = (1..=20).find(|_| window.failed(fixed));
            assert_eq!(dead, Some(deadly), "{fixed:?}");
        }
        let mut window = Window::new(20);
        for _ in 0..100 {
            (0..3).for_each(|_| assert!(!window.failed(Some(4))));
            window.succeeded(4, 20);
        }
    }
}
