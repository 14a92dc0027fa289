//! What pages show of the reports: made in the background, kept for a while, so that no page waits for a long reading.
//!
//! In: questions of pages, each with how long it may wait.  Out: [`Overview`]s and the list of all domains; or nothing yet.
//! Always: the same question is worked on once at a time; what is past its time is still shown, with its time, while the next one
//! is made; what is kept and what is worked on are bounded in number, and each of them in size.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    keep::Memory,
    monitor::{DomainOut, DomainReport, Monitor, Query},
    row::Tally,
    views::SourceOut,
};
use crate::{
    clock::{Clock, Timestamp},
    store::StoreError,
};

/// Sources of a domain that pages tell apart, those with the most mails.
pub const SOURCES_SHOWN_MAX: usize = 1_000;
/// Of them, those whose names are waited for before an overview counts as finished.
const SETTLED_MAX: usize = 100;
/// Answers that are kept: an overview has up to half a megabyte.
const KEPT_MAX: usize = 8;
/// Questions that are worked on at once.
const MAKING_MAX: usize = 4;
/// How long a finished answer is good.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// … and one that waits for names.
const UNFINISHED_GOOD_FOR: Duration = Duration::from_secs(5);
/// An answer is good for so many times what it took.
const COST_TIMES: u32 = 20;

/// Everything that a page shows of a domain, from one reading.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Overview {
    /// The sums.
    pub report: DomainReport,
    /// The sources with the most mails, [`SOURCES_SHOWN_MAX`] at most.
    pub sources: Vec<SourceOut>,
    /// All sources that are told apart.
    pub sources_known: u64,
    /// What the sources beyond [`Overview::sources`] add up to.
    pub others: Tally,
    /// Names are still looked up.
    pub is_unfinished: bool,
    /// When it was made.
    pub made_at: Timestamp,
}

/// All domains.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Everyone {
    /// A row each.
    pub domains: Vec<DomainOut>,
    /// When it was made.
    pub made_at: Timestamp,
}

/// What pages were shown lately; clones share it.
#[derive(Clone, Default)]
pub struct Board {
    overviews: Cache<Query, Overview>,
    everyone: Cache<(u32, bool), Everyone>,
}

impl<M: Memory> Monitor<M> {
    pub(super) fn overview_within(&self, query: &Query, within: Duration) -> Result<Option<Arc<Overview>>, StoreError> {
        let (monitor, asked) = (self.clone(), query.clone());
        self.board.overviews.get(query.clone(), within, &self.keeper.clock, move || {
            let overview = monitor.make_overview(&asked)?;
            let good_for = if overview.is_unfinished { UNFINISHED_GOOD_FOR } else { GOOD_FOR };
            Ok((overview, good_for))
        })
    }

    pub(super) fn everyone_within(
        &self,
        days: u32,
        all: bool,
        within: Duration,
    ) -> Result<Option<Arc<Everyone>>, StoreError> {
        let monitor = self.clone();
        self.board.everyone.get((days, all), within, &self.keeper.clock, move || {
            let domains = monitor.domain_rows(days, all)?;
            Ok((Everyone { domains, made_at: monitor.keeper.clock.now() }, GOOD_FOR))
        })
    }

    fn make_overview(&self, query: &Query) -> Result<Overview, StoreError> {
        let view = self.view(query)?;
        let config = self.keeper.config.get();
        let mut sources = view.source_rows(&|address| self.labels.label(&config, address));
        let report = self.report_of(&view, &sources)?;
        let (mut others, sources_known) = (view.other_sources, sources.len() as u64);
        for beyond in sources.iter().skip(SOURCES_SHOWN_MAX) {
            others.add(&beyond.tally);
        }
        sources.truncate(SOURCES_SHOWN_MAX);
        sources.shrink_to_fit();
        let is_unfinished = sources.iter().take(SETTLED_MAX).any(|source| !source.is_looked_up);
        Ok(Overview { report, sources, sources_known, others, is_unfinished, made_at: self.keeper.clock.now() })
    }
}

/// Answers by question.
struct Cache<K, V>(Arc<Inner<K, V>>);

struct Inner<K, V> {
    slots: Mutex<HashMap<K, Slot<V>>>,
    changed: Condvar,
}

enum Slot<V> {
    /// It is worked on; what there was before.
    Making(Option<Arc<V>>),
    /// It is there, and good until then; when it was last asked for.
    Made(Arc<V>, Timestamp, Timestamp),
    /// It could not be made; whoever asks next hears it.
    Failed(StoreError),
}

impl<K, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Cache(self.0.clone())
    }
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Cache(Arc::new(Inner { slots: Mutex::default(), changed: Condvar::new() }))
    }
}

impl<K: Clone + Eq + Hash + Send + 'static, V: Send + Sync + 'static> Cache<K, V> {
    /// The answer, if it is there or made within this time; else the one before it; else nothing. Blocking.
    fn get(
        &self,
        key: K,
        within: Duration,
        clock: &Clock,
        make: impl FnOnce() -> Result<(V, Duration), StoreError> + Send + 'static,
    ) -> Result<Option<Arc<V>>, StoreError> {
        let now = clock.now();
        let mut slots = self.lock();
        let making = slots.values().filter(|slot| matches!(slot, Slot::Making(_))).count();
        let before = match slots.get_mut(&key) {
            Some(Slot::Made(value, until, asked)) => {
                *asked = now;
                if now < *until {
                    return Ok(Some(value.clone()));
                }
                Some(Some(value.clone()))
            }
            Some(Slot::Failed(error)) => {
                let error = error.clone();
                slots.remove(&key);
                return Err(error);
            }
            Some(Slot::Making(_)) => None,
            None => Some(None),
        };
        if let Some(before) = before {
            if making >= MAKING_MAX {
                return Ok(before);
            }
            slots.insert(key.clone(), Slot::Making(before));
            self.start(key.clone(), clock.clone(), make);
        }
        let still = |slots: &mut HashMap<K, Slot<V>>| matches!(slots.get(&key), Some(Slot::Making(_)));
        let (mut slots, _) =
            self.0.changed.wait_timeout_while(slots, within, still).unwrap_or_else(PoisonError::into_inner);
        match slots.get(&key) {
            Some(Slot::Made(value, ..)) => Ok(Some(value.clone())),
            Some(Slot::Making(before)) => Ok(before.clone()),
            Some(Slot::Failed(error)) => {
                let error = error.clone();
                slots.remove(&key);
                Err(error)
            }
            None => Ok(None),
        }
    }

    fn start(&self, key: K, clock: Clock, make: impl FnOnce() -> Result<(V, Duration), StoreError> + Send + 'static) {
        let this = self.clone();
        let work = smol::unblock(move || {
            let mut unmade = Unmade { cache: &this, key: Some(key) };
            let began = clock.now();
            let made = make();
            let now = clock.now();
            let slot = match made {
                Ok((value, good_for)) => {
                    let good_for = good_for.max(now.since(began) * COST_TIMES);
                    Slot::Made(Arc::new(value), now.plus(good_for), now)
                }
                Err(error) => Slot::Failed(error),
            };
            if let Some(key) = unmade.key.take() {
                this.put(key, slot);
            }
        });
        work.detach();
    }

    fn put(&self, key: K, slot: Slot<V>) {
        let mut slots = self.lock();
        slots.insert(key.clone(), slot);
        while slots.len() > KEPT_MAX {
            let asked = |slot: &Slot<V>| match slot {
                Slot::Making(_) => None,
                Slot::Made(_, _, asked) => Some(*asked),
                Slot::Failed(_) => Some(Timestamp::ZERO),
            };
            // Never the one that somebody waits for.
            let others = slots.iter().filter(|(other, _)| **other != key);
            let oldest = others.filter_map(|(key, slot)| Some((asked(slot)?, key))).min_by_key(|(at, _)| *at);
            let Some(oldest) = oldest.map(|(_, key)| key.clone()) else { break };
            slots.remove(&oldest);
        }
        drop(slots);
        self.0.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Slot<V>>> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work that must not stay "being made" if it panics.
struct Unmade<'a, K: Clone + Eq + Hash + Send + 'static, V: Send + Sync + 'static> {
    cache: &'a Cache<K, V>,
    key: Option<K>,
}

impl<K: Clone + Eq + Hash + Send + 'static, V: Send + Sync + 'static> Drop for Unmade<'_, K, V> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.cache.put(key, Slot::Failed(StoreError::Failed("the reports could not be added up".to_owned())));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(20);

    struct Rig {
        cache: Cache<u8, u32>,
        clock: Clock,
        made: Arc<AtomicU32>,
        go: (smol::channel::Sender<()>, smol::channel::Receiver<()>),
    }

    fn rig() -> Rig {
        let clock = Clock::manual(Timestamp::from_millis(1_000_000));
        Rig { cache: Cache::default(), clock, made: Arc::default(), go: smol::channel::unbounded() }
    }

    impl Rig {
        /// Asks; the answer is the number of answers made so far, once somebody says go.
        fn ask(&self, key: u8, within: Duration) -> Option<u32> {
            let (made, go) = (self.made.clone(), self.go.1.clone());
            let make = move || {
                smol::block_on(go.recv()).expect("a word");
                Ok((made.fetch_add(1, Ordering::SeqCst) + 1, GOOD_FOR))
            };
            self.cache.get(key, within, &self.clock, make).expect("no error").map(|value| *value)
        }

        fn go(&self) {
            self.go.0.try_send(()).expect("room");
        }
    }

    #[test]
    fn nobody_waits_longer_than_asked_and_what_was_made_is_kept_for_a_while() {
        let rig = rig();
        assert_eq!(rig.ask(1, SOON), None, "not there in time");
        assert_eq!(rig.ask(1, SOON), None, "and worked on once");
        rig.go();
        assert_eq!(rig.ask(1, LONG), Some(1));
        assert_eq!(rig.ask(1, SOON), Some(1), "kept");
        rig.clock.advance(GOOD_FOR);
        assert_eq!(rig.ask(1, SOON), Some(1), "past its time, it is shown until the next is there");
        rig.go();
        assert_eq!(rig.ask(1, LONG), Some(2));
        assert_eq!(rig.made.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn what_is_worked_on_and_kept_is_bounded_and_a_panic_is_an_error() {
        let rig = rig();
        for key in 0..10 {
            assert_eq!(rig.ask(key, Duration::ZERO), None);
        }
        let making = rig.cache.lock().len();
        assert_eq!(making, MAKING_MAX);
        (0..MAKING_MAX).for_each(|_| rig.go());
        for key in 0..u8::try_from(MAKING_MAX).expect("few") {
            assert!(rig.ask(key, LONG).is_some());
        }
        for key in 10..30 {
            rig.clock.advance(Duration::from_secs(1));
            rig.go();
            assert!(rig.ask(key, LONG).is_some());
        }
        let kept: Vec<u8> = {
            let slots = rig.cache.lock();
            let mut kept: Vec<u8> = slots.keys().copied().collect();
            kept.sort_unstable();
            kept
        };
        assert_eq!(kept, (22..30).collect::<Vec<u8>>(), "those asked for last");
        let failed = rig.cache.get(99, LONG, &rig.clock, || Err(StoreError::Closed));
        assert!(matches!(failed, Err(StoreError::Closed)));
        let panicked = rig.cache.get(99, LONG, &rig.clock, || panic!("on purpose"));
        assert!(matches!(panicked, Err(StoreError::Failed(_))), "{panicked:?}");
        rig.go();
        assert!(rig.ask(99, LONG).is_some(), "and then it may be asked again");
    }
}
