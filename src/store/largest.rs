//! The largest lanes, however many there are: a few thousand names in RAM that always hold them.
//!
//! ```text
//! a walk over all lanes, beside everything else ─┐
//! each commit: the lanes that it changed ────────┴─► names with their counts, and a floor that nobody else is above
//! ```
//!
//! In: lanes that a commit changed.  Out: the names of the largest.
//! Always: a lane that is none of the names has at most `floor` recipients, once a walk has ended; so the largest are among the names
//! as long as enough of them are at the floor or above it, and if not, all lanes are walked over again, seldom and beside everything
//! else. Nothing is written for it. Until the first walk has ended, some tenths of a second after the start, some may be missing.
//! Whoever shows a lane reads its row: the counts here only choose.

use std::{
    collections::HashMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::{
    fault::{Reading, bad_row},
    rows, tables,
    types::StoreError,
};
use crate::clock::Clock;

/// Lanes up to which all are looked at for every answer: a few milliseconds.
pub(super) const LOOKED_AT_MAX: u64 = 5_000;
/// Names that are kept; twice as many for a moment.
pub(super) const KEPT: usize = 2_000;
/// How long the first one who asks waits for the first walk.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// Walks begin at least so far apart, and so many times as long as one takes.
const WALK_EVERY: Duration = Duration::from_secs(1);
const COST_TIMES: u32 = 20;
/// Rows between two looks at what happens meanwhile.
const STEP: usize = 1_000;

/// The names; the writer and the readers share them.
#[derive(Default)]
pub(super) struct Largest {
    state: Mutex<State>,
    ended: Condvar,
    /// The store ends: a walk does, too.
    stops: AtomicBool,
}

#[derive(Default)]
struct State {
    known: HashMap<Arc<str>, u64>,
    /// No other lane has more.
    floor: u64,
    walk: Walk,
    /// When the last walk began, and how long it took.
    began: Option<Instant>,
    took: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Walk {
    /// Nobody asked yet.
    #[default]
    Never,
    /// The first one is under way.
    First,
    /// Another one is.
    Again,
    /// None is, and one was.
    Done,
}

impl State {
    /// A lane has so many now.
    fn note(&mut self, name: &Arc<str>, count: u64) {
        match self.known.get_mut(name) {
            Some(_) if count == 0 => drop(self.known.remove(name)),
            Some(known) => *known = count,
            None if count > self.floor => {
                self.known.insert(name.clone(), count);
                self.prune();
            }
            None => {}
        }
    }

    /// A walk met a lane: what was noted meanwhile is newer.
    fn meet(&mut self, name: &str, count: u64) {
        if count > self.floor && !self.known.contains_key(name) {
            self.known.insert(name.into(), count);
            self.prune();
        }
    }

    fn prune(&mut self) {
        if self.known.len() < 2 * KEPT {
            return;
        }
        let mut all: Vec<(Arc<str>, u64)> = self.known.drain().collect();
        all.sort_unstable_by_key(|(_, count)| std::cmp::Reverse(*count));
        self.floor = self.floor.max(all.get(KEPT).map_or(0, |(_, count)| *count));
        all.truncate(KEPT);
        self.known.extend(all);
    }

    /// The names with the most, and whether none can be missing.
    fn top(&self, limit: usize) -> (Vec<Arc<str>>, bool) {
        let mut all: Vec<(&Arc<str>, u64)> = self.known.iter().map(|(name, count)| (name, *count)).collect();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let is_sure =
            self.floor == 0 || all.get(limit.saturating_sub(1)).is_some_and(|(_, count)| *count >= self.floor);
        (all.into_iter().take(limit).map(|(name, _)| name.clone()).collect(), is_sure)
    }

    /// Whether a walk is due that somebody wants.
    fn may_walk(&self, now: Instant) -> bool {
        match self.walk {
            Walk::Never => true,
            Walk::First | Walk::Again => false,
            Walk::Done => {
                let pause = WALK_EVERY.max(self.took * COST_TIMES);
                self.began.is_none_or(|began| now.saturating_duration_since(began) >= pause)
            }
        }
    }
}

impl Largest {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These lanes have so many now, on disk. Cheap.
    pub(super) fn moved(&self, lanes: &[(Arc<str>, u64)]) {
        let mut state = self.lock();
        if state.walk != Walk::Never {
            lanes.iter().for_each(|(name, count)| state.note(name, *count));
        }
    }

    /// No walk goes on.
    pub(super) fn stop(&self) {
        self.stops.store(true, Ordering::Relaxed);
    }

    /// The names of the `limit` largest lanes, in no order that is promised. Waits a moment for the first walk.
    pub(super) fn names(self: &Arc<Self>, db: &Arc<Database>, clock: &Clock, limit: usize) -> Vec<Arc<str>> {
        self.walk_if(db, clock, |state| state.walk == Walk::Never || !state.top(limit).1);
        let first = |state: &mut State| state.walk == Walk::First;
        let (state, _) =
            self.ended.wait_timeout_while(self.lock(), FIRST_WAIT, first).unwrap_or_else(PoisonError::into_inner);
        state.top(limit).0
    }

    /// Begins the first walk: the store was opened.
    pub(super) fn begin(self: &Arc<Self>, db: &Arc<Database>, clock: &Clock) {
        self.walk_if(db, clock, |state| state.walk == Walk::Never);
    }

    /// Begins a walk in the background, if one is wanted and due.
    fn walk_if(self: &Arc<Self>, db: &Arc<Database>, clock: &Clock, is_wanted: impl Fn(&State) -> bool) {
        let mut state = self.lock();
        if !is_wanted(&state) || !state.may_walk(clock.instant()) {
            return;
        }
        state.walk = if state.walk == Walk::Never { Walk::First } else { Walk::Again };
        state.began = Some(clock.instant());
        // What is known stays known; everybody else is to be met.
        state.floor = 0;
        drop(state);
        let (this, db, clock) = (self.clone(), db.clone(), clock.clone());
        smol::unblock(move || this.walk(&db, &clock)).detach();
    }

    fn walk(&self, db: &Database, clock: &Clock) {
        let began = clock.instant();
        if let Err(error) = self.meet_all(db) {
            log::error!("store=lanes what=\"they could not be looked through\" error=\"{error}\"");
        }
        let mut state = self.lock();
        state.walk = Walk::Done;
        state.took = clock.instant().saturating_duration_since(began);
        drop(state);
        self.ended.notify_all();
    }

    fn meet_all(&self, db: &Database) -> Result<(), StoreError> {
        let table = db.begin_read().reading()?.open_table(tables::LANES).reading()?;
        let mut met: Vec<(String, u64)> = Vec::with_capacity(STEP);
        let mut floor = 0;
        for (looked, entry) in table.iter().reading()?.enumerate() {
            let (name, row) = entry.reading()?;
            let name = String::from_utf8_lossy(name.value());
            let counts = rows::read_lane_counts(row.value()).map_err(|e| bad_row(format_args!("lane {name}"), e))?;
            let count = counts.iter().sum();
            if count > floor {
                met.push((name.into_owned(), count));
            }
            if looked % STEP == 0 {
                if self.stops.load(Ordering::Relaxed) {
                    return Ok(());
                }
                floor = self.meet(&mut met);
            }
        }
        self.meet(&mut met);
        Ok(())
    }

    fn meet(&self, met: &mut Vec<(String, u64)>) -> u64 {
        let mut state = self.lock();
        met.drain(..).for_each(|(name, count)| state.meet(&name, count));
        state.floor
    }
}

/// How many lanes there are. Short.
pub(super) fn lanes_len(db: &Database) -> Result<u64, StoreError> {
    db.begin_read().reading()?.open_table(tables::LANES).reading()?.len().reading()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: u64) -> Arc<str> {
        format!("lane{n}").into()
    }

    /// What a list of everything would say.
    fn truth(all: &HashMap<Arc<str>, u64>, limit: usize) -> Vec<u64> {
        let mut counts: Vec<u64> = all.values().copied().collect();
        counts.sort_unstable_by_key(|count| std::cmp::Reverse(*count));
        counts.truncate(limit);
        counts
    }

    #[test]
    fn the_largest_are_always_among_the_names_or_it_is_said_that_they_may_not_be() {
        const LANES: u64 = 20_000;
        const LIMIT: usize = 200;
        let mut seed = 7u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let mut all: HashMap<Arc<str>, u64> = (0..LANES).map(|n| (name(n), 1 + next(50))).collect();
        let mut state = State { walk: Walk::First, ..State::default() };
        // Lanes change while the walk meets them as they were.
        for (name, count) in all.clone() {
            state.meet(&name, count);
            let (changed, count) = (self::name(next(LANES)), next(400));
            state.note(&changed, count);
            all.insert(changed, count);
        }
        state.walk = Walk::Done;
        let mut unsure = 0;
        for round in 0..30_000u64 {
            // The queue grows, and empties, lane by lane.
            let grows = round < 10_000;
            let changed = name(if grows { next(LANES) } else { round - 10_000 });
            let count = if grows { next(500) } else { next(3) };
            state.note(&changed, count);
            all.insert(changed, count);
            assert!(state.known.len() < 2 * KEPT);
            if round % 500 == 0 {
                let (names, is_sure) = state.top(LIMIT);
                let counts: Vec<u64> = names.iter().map(|name| all[name]).collect();
                match is_sure {
                    true => assert_eq!(counts, truth(&all, LIMIT), "{round}"),
                    false => unsure += 1,
                }
            }
        }
        assert!(unsure > 0, "an emptied queue is walked over again");
    }

    #[test]
    fn lanes_that_are_all_alike_are_kept_in_bounds_and_none_is_surely_missing() {
        let mut state = State { walk: Walk::First, ..State::default() };
        (0..50_000).for_each(|n| state.meet(&name(n), 2));
        assert!(state.known.len() < 2 * KEPT && state.floor == 2);
        let (names, is_sure) = state.top(50);
        assert!(is_sure && names.len() == 50);
        // Two of five thousand go on; as long as enough of the known ones are left, that is no reason to look again.
        for name in names.iter().take(40) {
            state.note(name, 0);
        }
        assert!(state.top(50).1);
    }
}
