//! The brake: a provider in an outage can answer "unknown user" to everybody, and then its answers must suppress nobody.
//!
//! In: the results of deliveries by place, the settings.  Out: whether a place's unknown users have jumped.
//! Always: memory is bounded (the place that was quiet longest is forgotten first); the same results in the same order always
//! give the same counters, so that they can be told again after a restart; what happens in a jump never becomes the past that
//! the next jump is measured by, unless the operator says that it was true.
//!
//! A place is a recipient's domain, and the provider whose hosts answered: an outage of a provider with many small domains
//! shows only there. Of each place the last 64 results are kept, bit by bit, and what falls out of them becomes its past, which
//! halves every week. A place jumps when its last results hold at least `errors_min` unknown users, those are at least
//! `rate_min_percent` of them, and that share is at least `factor` times the past's. Counting results, not minutes, finds the
//! jump of a busy provider within a second and that of a quiet one as surely; the defaults (20 errors, half of the last
//! results, five times the past) let an old list of addresses with a third of them dead pass, and stop an outage after its
//! first twenty answers. An address counts once a day, so that one dead address alone never pulls the brake.
//! Sources: algorithms F6; issue 4 part 6.

use std::collections::{BTreeMap, HashMap};

use crate::{
    clock::{DAY_MILLIS, Timestamp},
    config::Brake as Settings,
};

/// Results of a place that are looked at: the bits of a word.
pub const RESULTS: u32 = u64::BITS;
/// Places that are remembered; the one that was quiet longest goes first.
pub const PLACES_MAX: usize = 5_000;
/// Of so many places, this many of the quietest are forgotten at once: finding them walks over all.
const PLACES_FORGOTTEN: usize = PLACES_MAX / 10;
/// A pause after which the last results say nothing about now.
const PAUSE_MILLIS: u64 = 6 * 3_600_000;
/// The past halves in this time.
const HALF_LIFE_MILLIS: f64 = (7 * DAY_MILLIS) as f64;
/// What is taken for the past of a place that has none: one unknown user in fifty.
const PRIOR_ERRORS: f64 = 1.0;
/// See [`PRIOR_ERRORS`].
const PRIOR_RESULTS: f64 = 50.0;
/// What begins the name of a provider's place.
pub(super) const PROVIDER_MARK: &str = "*.";
/// Second-level labels below a country, under which names are given out.
const BRANCHES: [&str; 12] = ["co", "ne", "or", "ac", "go", "ad", "ed", "gr", "lg", "com", "net", "org"];

/// A place's counters.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Counters {
    /// The last results, newest lowest; a set bit is an unknown user.
    results: u64,
    /// How many of the bits are results.
    len: u32,
    /// Results before those, faded.
    past_results: f64,
    /// Unknown users among them, faded.
    past_errors: f64,
    /// When the last result came, milliseconds.
    last: u64,
    /// When the errors among the last results began, milliseconds.
    since: u64,
}

/// Counters as they are stored; the fractions as their bits, so that they come back as they were.
type Stored = (u64, u32, u64, u64, u64, u64);

impl Counters {
    fn stored(&self) -> Stored {
        (self.results, self.len, self.past_results.to_bits(), self.past_errors.to_bits(), self.last, self.since)
    }

    fn of((results, len, past_results, past_errors, last, since): Stored) -> Self {
        let fraction = |bits| Some(f64::from_bits(bits)).filter(|f| f.is_finite() && *f >= 0.0).unwrap_or(0.0);
        let (past_results, past_errors) = (fraction(past_results), fraction(past_errors));
        Counters { results, len: len.min(RESULTS), past_results, past_errors, last, since }
    }

    fn errors(&self) -> u32 {
        self.results.count_ones()
    }

    /// The share of unknown users in the last results.
    fn rate(&self) -> f64 {
        f64::from(self.errors()) / f64::from(self.len.max(1))
    }

    /// The same in the past.
    fn past_rate(&self) -> f64 {
        (self.past_errors + PRIOR_ERRORS) / (self.past_results + PRIOR_RESULTS)
    }

    /// Time passes until `at`: results from before a pause become past, and the past fades.
    fn pass(&mut self, at: u64, is_held: bool) {
        let passed = at.saturating_sub(self.last);
        if passed > PAUSE_MILLIS {
            self.forget_results(!is_held);
        }
        if passed > 0 {
            let faded = (-(passed as f64) / HALF_LIFE_MILLIS).exp2();
            self.past_results *= faded;
            self.past_errors *= faded;
        }
        self.last = self.last.max(at);
    }

    /// Begins with new results; the old ones become past if they are to be believed.
    fn forget_results(&mut self, are_true: bool) {
        if are_true {
            self.past_results += f64::from(self.len);
            self.past_errors += f64::from(self.errors());
        }
        self.results = 0;
        self.len = 0;
    }

    fn add(&mut self, is_error: bool, is_held: bool) {
        if self.len == RESULTS {
            if !is_held {
                self.past_results += 1.0;
                self.past_errors += f64::from(u32::from(self.results >> (RESULTS - 1) == 1));
            }
        } else {
            self.len += 1;
        }
        if is_error && self.results == 0 {
            self.since = self.last;
        }
        self.results = (self.results << 1) | u64::from(is_error);
    }

    fn has_jumped(&self, settings: &Settings) -> bool {
        settings.enabled
            && self.errors() >= settings.errors_min
            && self.rate() * 100.0 >= f64::from(settings.rate_min_percent)
            && self.rate() >= f64::from(settings.factor) * self.past_rate()
    }
}

/// A jump, in numbers for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Jump {
    /// Unknown users among the last results.
    pub errors: u32,
    /// Those results.
    pub results: u32,
    /// Their share, in percent.
    pub rate_percent: u32,
    /// The share in the place's past, in tenths of a percent.
    pub past_permille: u32,
    /// When those errors began, at most six hours ago.
    pub since: Timestamp,
}

/// The counters of all places.
#[derive(Clone, Debug, Default)]
pub struct Brake {
    places: HashMap<String, Counters>,
}

impl Brake {
    /// A result at a place, whose suppression is held back now or not. Answers a jump, which only an error can bring.
    pub fn add(
        &mut self,
        place: &str,
        is_error: bool,
        at: Timestamp,
        is_held: bool,
        settings: &Settings,
    ) -> Option<Jump> {
        if !self.places.contains_key(place) {
            self.make_room();
            self.places.insert(place.to_owned(), Counters::default());
        }
        let counters = self.places.get_mut(place)?;
        if counters.last == 0 {
            counters.last = at.as_millis();
        }
        counters.pass(at.as_millis(), is_held);
        counters.add(is_error, is_held);
        let jumps = is_error && !is_held && counters.has_jumped(settings);
        jumps.then(|| Jump {
            errors: counters.errors(),
            results: counters.len,
            rate_percent: (counters.rate() * 100.0).round() as u32,
            past_permille: (counters.past_rate() * 1000.0).round() as u32,
            since: Timestamp::from_millis(counters.since.max(counters.last.saturating_sub(PAUSE_MILLIS))),
        })
    }

    /// The operator ended a place's incident; `were_true`: its errors were what they said, and are its past from now on.
    pub fn reset(&mut self, place: &str, were_true: bool) {
        if let Some(counters) = self.places.get_mut(place) {
            counters.forget_results(were_true);
        }
    }

    /// Places that are remembered.
    pub fn places(&self) -> usize {
        self.places.len()
    }

    fn make_room(&mut self) {
        if self.places.len() < PLACES_MAX {
            return;
        }
        let mut by_age: BTreeMap<(u64, String), ()> = BTreeMap::new();
        for (place, counters) in &self.places {
            by_age.insert((counters.last, place.clone()), ());
            if by_age.len() > PLACES_FORGOTTEN {
                by_age.pop_last();
            }
        }
        for ((_, place), ()) in by_age {
            self.places.remove(&place);
        }
    }

    /// The counters as rows of at most `row_octets` octets each.
    pub fn write(&self, row_octets: usize) -> Vec<Vec<u8>> {
        let mut places: Vec<(&String, &Counters)> = self.places.iter().collect();
        places.sort_by_key(|(place, _)| *place);
        let mut rows = Vec::new();
        let mut row = Vec::new();
        for (place, counters) in places {
            let line = serde_json::to_vec(&(place, counters.stored())).expect("numbers and texts have a form in JSON");
            if !row.is_empty() && row.len() + line.len() + 1 > row_octets {
                rows.push(std::mem::take(&mut row));
            }
            row.extend_from_slice(&line);
            row.push(b'\n');
        }
        if !row.is_empty() {
            rows.push(row);
        }
        rows
    }

    /// Adds the counters of such a row; lines that cannot be read are left out.
    pub fn read(&mut self, row: &[u8]) {
        for line in row.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            if let Ok((place, stored)) = serde_json::from_slice::<(String, Stored)>(line)
                && self.places.len() < PLACES_MAX
            {
                self.places.insert(place, Counters::of(stored));
            }
        }
    }
}

/// The place of a provider: its name without the host's own labels, `*.google.com`; empty where there is none.
pub fn provider_of(host: &str) -> String {
    let host = host.trim_end_matches('.').to_lowercase();
    let labels: Vec<&str> = host.rsplit('.').take(3).collect();
    if labels.len() < 2 || host.contains(['[', ':', ']']) || host.parse::<std::net::IpAddr>().is_ok() {
        return String::new();
    }
    let is_branch = labels[0].len() == 2 && BRANCHES.contains(&labels[1]);
    let kept = if is_branch { labels.len().min(3) } else { 2 };
    let name: Vec<&str> = labels[..kept].iter().rev().copied().collect();
    format!("{PROVIDER_MARK}{}", name.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const START: u64 = 20_000 * DAY_MILLIS;

    /// Results one a minute from `hour` on, `e` an error, with a count: `"500. 30e"`; answers after how many results it jumped.
    fn run(brake: &mut Brake, hour: u64, results: &str, settings: &Settings) -> Option<usize> {
        let mut n = 0;
        let mut jumped = None;
        for part in results.split_whitespace() {
            let (count, kind) = part.split_at(part.len() - 1);
            for _ in 0..count.parse::<usize>().unwrap() {
                let at = Timestamp::from_millis(START + hour * HOUR + n as u64 * 60_000);
                n += 1;
                let found = brake.add("example.jp", kind == "e", at, jumped.is_some(), settings);
                if found.is_some() && jumped.is_none() {
                    jumped = Some(n);
                }
            }
        }
        jumped
    }

    #[test]
    fn a_jump_far_above_the_own_past_pulls_the_brake_and_ordinary_dirt_does_not() {
        let d = Settings::default();
        let off = Settings { enabled: false, ..d.clone() };
        let eager = Settings { errors_min: 5, rate_min_percent: 20, ..d.clone() };
        for (results, settings, expected) in [
            ("1000.", &d, None),
            // An outage: after 32 errors in a row half of the last 64 results are errors.
            ("1000. 100e", &d, Some(1032)),
            ("1000. 31e 1000.", &d, None),
            // A new destination that knows nobody at all.
            ("19e", &d, None),
            ("20e", &d, Some(20)),
            // A third of an old list is dead.
            (
                "1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2. 1e 2.",
                &d,
                None,
            ),
            ("1000. 100e", &off, None),
            ("1000. 100e", &eager, Some(1013)),
        ] {
            assert_eq!(run(&mut Brake::default(), 0, results, settings), expected, "{results} {settings:?}");
        }
        // A place whose past is as bad as its present does not jump: it is what it is.
        let mut bad = Brake::default();
        let half = "1e 1. ".repeat(200);
        let strict = Settings { errors_min: 60, ..d.clone() };
        assert_eq!(run(&mut bad, 0, &half, &strict), None);
        assert_eq!(run(&mut bad, 8, &half, &d), None, "half of all is its usual share");
    }

    #[test]
    fn what_was_held_is_no_past_unless_the_operator_says_so() {
        let d = Settings::default();
        for (were_true, again) in [(false, Some(20)), (true, None)] {
            let mut brake = Brake::default();
            assert_eq!(run(&mut brake, 0, "100. 400e", &d), Some(132));
            brake.reset("example.jp", were_true);
            assert_eq!(run(&mut brake, 9, "20e", &d), again, "{were_true}");
        }
    }

    #[test]
    fn a_pause_makes_results_past_and_the_past_fades() {
        let d = Settings::default();
        let mut brake = Brake::default();
        assert_eq!(run(&mut brake, 0, "15e", &d), None);
        assert_eq!(run(&mut brake, 24, "15e", &d), None, "yesterday's errors are not today's");
        let mut faded = Brake::default();
        run(&mut faded, 0, &"1e 1. ".repeat(100), &Settings { errors_min: 60, ..d.clone() });
        assert_eq!(run(&mut faded, 24 * 365, "25e", &d), Some(20), "a year later its past is gone");
    }

    #[test]
    fn counters_are_bounded_and_read_back() {
        let d = Settings::default();
        let mut brake = Brake::default();
        for n in 0..(PLACES_MAX as u64 * 2) {
            brake.add(&format!("d{n}.example"), n % 3 == 0, Timestamp::from_millis(START + n), false, &d);
            assert!(brake.places() <= PLACES_MAX);
        }
        assert!(brake.places.contains_key(&format!("d{}.example", PLACES_MAX * 2 - 1)), "the newest stay");
        let rows = brake.write(10_000);
        assert!(rows.len() > 10 && rows.iter().all(|row| row.len() <= 10_000));
        let mut again = Brake::default();
        rows.iter().for_each(|row| again.read(row));
        assert_eq!(again.places, brake.places);
        again.read(b"not json\n[\"x\"]\n");
        assert_eq!(again.places(), brake.places());
    }

    #[test]
    fn providers_are_named_without_their_hosts() {
        for (host, provider) in [
            ("aspmx.l.google.com", "*.google.com"),
            ("MX1.Example.CO.JP.", "*.example.co.jp"),
            ("mail.example.jp", "*.example.jp"),
            ("example.jp", "*.example.jp"),
            ("co.jp", "*.co.jp"),
            ("localhost", ""),
            ("", ""),
            ("[192.0.2.1]", ""),
            ("192.0.2.1", ""),
            ("relay.example.net:587", ""),
        ] {
            assert_eq!(provider_of(host), provider, "{host}");
        }
    }
}
