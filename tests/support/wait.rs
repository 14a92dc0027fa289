//! Waiting with a limit, the clock, seeded chance, and the switch for the long runs.

use std::{
    thread,
    time::{Duration, Instant},
};

use hikyaku::clock::Clock;

/// How long a test waits for something that is expected to happen at once, on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// Pause between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(15);

/// The monotonic clock, read through the product's own door.
pub fn now() -> Instant {
    Clock::system().instant()
}

/// Looks until `probe` finds something; panics with `what` after [`SOON`].
pub fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(SOON, what, probe)
}

/// Looks until `probe` finds something; panics with `what` after `limit`.
pub fn within<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for: {what}");
        thread::sleep(LOOK_INTERVAL);
    }
}

/// The full sizes are asked for (`HIKYAKU_LONG=1`).
pub fn long() -> bool {
    std::env::var_os("HIKYAKU_LONG").is_some_and(|v| v != "0" && !v.is_empty())
}

/// Prints a line of the test's own, shown when it fails or with `--nocapture`.
#[allow(clippy::print_stderr, reason = "tests tell people what they skip and with which seed they ran")]
pub fn say(text: impl std::fmt::Display) {
    eprintln!("{text}");
}

/// Seeded chance (splitmix64): the same seed gives the same run.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A source that starts at `seed`.
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    /// The seed of this run: `HIKYAKU_SEED`, else of the clock; printed, so that a failure can be replayed.
    pub fn of_this_run(test: &str) -> Self {
        let seed = std::env::var("HIKYAKU_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| {
            let millis = Clock::system().now().as_millis();
            millis ^ (u64::from(std::process::id()) << 40)
        });
        say(format_args!("{test}: HIKYAKU_SEED={seed}"));
        Rng(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
