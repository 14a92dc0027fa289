//! What a site's trouble is, as a person wants to hear it: since when, what it answers, how much it is slowed.
//!
//! In: ends of conversations, the time.  Out: [`SiteTrouble`].
//! Always: it changes nothing about deliveries; a spell of trouble goes on while something bad happened within [`QUIET`], whatever
//! succeeded in between, for a server that takes every third connection is one trouble and not many; a site costs some octets, and
//! a box while it is in trouble; spells of sites that RAM forgets are kept, [`OLD_MAX`] of them, for [`OLD_FOR`]: longer than the
//! usual retry schedule's longest wait.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{lane::End, limits::Feedback};
use crate::{clock::Timestamp, event::AttemptDetail};

/// A spell ends when nothing bad happened for so long: twice the longest wait between two probes.
pub const QUIET: Duration = Duration::from_secs(600);
/// The rate of deliveries is a mean over about so long.
const FLOW_MEMORY: Duration = Duration::from_secs(300);
/// Spells of forgotten sites.
pub const OLD_MAX: usize = 500;
/// How long these are kept.
pub const OLD_FOR: Duration = Duration::from_secs(8 * 3_600);
/// Destinations that a trouble names.
pub const NAMED_MAX: usize = 5;
/// Bad conversations within a spell from which on a living site is worth telling of …
const BAD_MIN: u32 = 5;
/// … or recipients that it deferred, …
const DEFERRED_MIN: u64 = 10;
/// … if they are at least one in so many of those that it took.
const DEFERRED_PART: u64 = 4;
/// Deliveries a minute from which on the rate says more than the connections.
const FLOW_MIN: f32 = 5.0;
/// What is this much of the usual is the usual.
const USUAL_PERCENT: u32 = 90;

/// How a site stands that is in trouble.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// No way to it answers; one connection tries again at this time.
    Dead {
        /// The next probe.
        probe_at: Timestamp,
    },
    /// A response rule pauses it.
    Paused {
        /// The rule's name.
        rule: String,
        /// Until when.
        until: Timestamp,
    },
    /// It takes mail by fewer connections than before.
    Slowed,
    /// It takes connections as before, and puts recipients off.
    Deferring,
    /// Nothing is tried now: all its mail waits for the next try.
    Between,
}

/// A site that is in trouble.
#[derive(Clone, PartialEq, Debug)]
pub struct SiteTrouble {
    /// The site, for people: its best host.
    pub site: String,
    /// Its destinations, at most [`NAMED_MAX`] of them.
    pub destinations: Vec<String>,
    /// How many destinations it has that RAM knows.
    pub destinations_count: usize,
    /// How it stands.
    pub standing: Standing,
    /// When the trouble began, as far as this process knows.
    pub since: Timestamp,
    /// When something bad last happened.
    pub last_at: Timestamp,
    /// Connections that it bears now …
    pub connections: usize,
    /// … and before the trouble.
    pub connections_before: usize,
    /// Recipients delivered a minute now …
    pub per_minute: f32,
    /// … and before the trouble.
    pub per_minute_before: f32,
    /// Recipients that it put off since then.
    pub deferred: u64,
    /// Recipients that it took since then.
    pub delivered: u64,
    /// Recipients in RAM: those on disk are counted by the store.
    pub queued: usize,
    /// What it last answered, to whom it was bad.
    pub said: Option<Arc<AttemptDetail>>,
}

impl SiteTrouble {
    /// How much of its usual speed it has, in hundredths: of the rate where there was one, else of the connections. `None`: it is
    /// as fast as before.
    pub fn percent(&self) -> Option<u32> {
        let percent = match self.standing {
            Standing::Dead { .. } | Standing::Paused { .. } => 0,
            Standing::Between => return None,
            Standing::Slowed | Standing::Deferring if self.per_minute_before >= FLOW_MIN => {
                // A rate is no whole number, and never negative.
                (self.per_minute * 100.0 / self.per_minute_before).round() as u32
            }
            Standing::Slowed | Standing::Deferring => {
                let before = self.connections_before.max(1);
                u32::try_from(self.connections * 100 / before).unwrap_or(u32::MAX)
            }
        };
        (percent < USUAL_PERCENT).then_some(percent)
    }
}

/// A rate that fades.
#[derive(Clone, Copy, Debug)]
struct Flow {
    amount: f32,
    at: Timestamp,
}

impl Flow {
    const NONE: Flow = Flow { amount: 0.0, at: Timestamp::ZERO };

    fn add(&mut self, recipients: u32, now: Timestamp) {
        self.amount = self.faded(now) + recipients as f32;
        self.at = now;
    }

    fn faded(&self, now: Timestamp) -> f32 {
        self.amount * (-now.since(self.at).as_secs_f32() / FLOW_MEMORY.as_secs_f32()).exp()
    }

    fn per_minute(&self, now: Timestamp) -> f32 {
        self.faded(now) * 60.0 / FLOW_MEMORY.as_secs_f32()
    }
}

/// A spell of trouble.
#[derive(Clone, Debug)]
pub(super) struct Spell {
    since: Timestamp,
    pub(super) last_at: Timestamp,
    bad: u32,
    deferred: u64,
    delivered: u64,
    connections_before: usize,
    per_minute_before: f32,
    said: Option<Arc<AttemptDetail>>,
}

/// What a site remembers of how it fared.
#[derive(Debug)]
pub(super) struct Temper {
    flow: Flow,
    spell: Option<Box<Spell>>,
}

impl Default for Temper {
    fn default() -> Self {
        Temper { flow: Flow::NONE, spell: None }
    }
}

impl Temper {
    /// That of a site whose spell was kept.
    pub(super) fn of(spell: Option<Box<Spell>>) -> Self {
        Temper { flow: Flow::NONE, spell }
    }

    /// A conversation ended; `connections`: what the site bore before that, `is_down`: it is dead or paused since.
    pub(super) fn ended(&mut self, end: &End<'_>, connections: usize, is_down: bool, now: Timestamp) {
        let is_bad = end.feedback == Feedback::Trouble || end.push.is_some() || end.deferred > 0;
        if is_bad {
            let before = self.flow.per_minute(now);
            if self.spell.as_ref().is_some_and(|spell| spell.is_over(is_down, now)) {
                self.spell = None;
            }
            let spell = self.spell.get_or_insert_with(|| Box::new(Spell::new(connections, before, now)));
            spell.last_at = now;
            spell.bad = spell.bad.saturating_add(u32::from(end.feedback == Feedback::Trouble || end.push.is_some()));
            spell.deferred = spell.deferred.saturating_add(u64::from(end.deferred));
            if let Some(said) = end.said {
                spell.said = Some(Arc::new(said.clone()));
            }
        }
        if end.delivered > 0 {
            self.flow.add(end.delivered, now);
            if let Some(spell) = &mut self.spell {
                spell.delivered = spell.delivered.saturating_add(u64::from(end.delivered));
            }
        }
        if !is_bad && self.spell.as_ref().is_some_and(|spell| spell.is_over(is_down, now)) {
            self.spell = None;
        }
    }

    /// The spell, for who keeps it while the site is forgotten.
    pub(super) fn into_spell(self) -> Option<Box<Spell>> {
        self.spell
    }
}

impl Spell {
    fn new(connections: usize, per_minute_before: f32, now: Timestamp) -> Self {
        Spell {
            since: now,
            last_at: now,
            bad: 0,
            deferred: 0,
            delivered: 0,
            connections_before: connections.max(1),
            per_minute_before,
            said: None,
        }
    }

    fn is_over(&self, is_down: bool, now: Timestamp) -> bool {
        !is_down && now.since(self.last_at) > QUIET
    }

    /// It puts off more than a few.
    fn defers(&self) -> bool {
        self.deferred >= DEFERRED_MIN && self.deferred.saturating_mul(DEFERRED_PART) >= self.delivered
    }
}

/// What is true of a site now.
pub(super) struct Seen<'a> {
    pub(super) name: &'a str,
    pub(super) destinations: Vec<String>,
    pub(super) destinations_count: usize,
    /// It is dead; the next probe.
    pub(super) dead: Option<Timestamp>,
    /// A response rule pauses it.
    pub(super) pause: Option<(&'a str, Timestamp)>,
    pub(super) connections: usize,
    pub(super) queued: usize,
}

impl Temper {
    /// The trouble, if there is one that a person should hear of.
    pub(super) fn trouble(&self, seen: Seen<'_>, now: Timestamp) -> Option<SiteTrouble> {
        let spell = self.spell.as_ref()?;
        let is_down = seen.dead.is_some() || seen.pause.is_some();
        if spell.is_over(is_down, now) {
            return None;
        }
        let is_halved = seen.connections * 2 <= spell.connections_before;
        let standing = match (seen.dead, seen.pause) {
            (Some(probe_at), _) => Standing::Dead { probe_at },
            (None, Some((rule, until))) => Standing::Paused { rule: rule.to_owned(), until },
            (None, None) if is_halved || spell.bad >= BAD_MIN => Standing::Slowed,
            (None, None) if spell.defers() => Standing::Deferring,
            (None, None) => return None,
        };
        Some(spell.told(seen, standing, self.flow.per_minute(now)))
    }
}

impl Spell {
    fn told(&self, seen: Seen<'_>, standing: Standing, per_minute: f32) -> SiteTrouble {
        SiteTrouble {
            site: seen.name.to_owned(),
            destinations: seen.destinations,
            destinations_count: seen.destinations_count,
            standing,
            since: self.since,
            last_at: self.last_at,
            connections: seen.connections,
            connections_before: self.connections_before,
            per_minute,
            per_minute_before: self.per_minute_before,
            deferred: self.deferred,
            delivered: self.delivered,
            queued: seen.queued,
            said: self.said.clone(),
        }
    }
}

/// Spells of sites that RAM has forgotten.
#[derive(Debug, Default)]
pub(super) struct OldSpells(HashMap<Arc<str>, (Arc<str>, Box<Spell>)>);

impl OldSpells {
    /// Keeps the spell of a site that is forgotten now.
    pub(super) fn keep(&mut self, key: &Arc<str>, name: &Arc<str>, temper: Temper, now: Timestamp) {
        let Some(spell) = temper.into_spell().filter(|spell| now.since(spell.last_at) < OLD_FOR) else { return };
        if self.0.len() >= OLD_MAX {
            self.0.retain(|_, (_, spell)| now.since(spell.last_at) < OLD_FOR);
        }
        if self.0.len() < OLD_MAX {
            self.0.insert(key.clone(), (name.clone(), spell));
        }
    }

    /// The spell of a site that is back; it goes on if the site is still bad.
    pub(super) fn take(&mut self, key: &str, now: Timestamp) -> Temper {
        let spell = self.0.remove(key).map(|(_, spell)| spell);
        // It slept: only what happens now can end it.
        let spell = spell.filter(|spell| now.since(spell.last_at) < OLD_FOR).map(|mut spell| {
            spell.last_at = now;
            spell
        });
        Temper::of(spell)
    }

    /// The troubles of sites to which nothing is tried now; `destination` names what a site's answer was about.
    pub(super) fn troubles(&self, now: Timestamp) -> impl Iterator<Item = SiteTrouble> {
        self.0.values().filter(move |(_, spell)| now.since(spell.last_at) < OLD_FOR && spell.bad > 0).map(
            |(name, spell)| {
                let of = spell.said.as_ref().map(|said| said.destination.clone()).filter(|name| !name.is_empty());
                let seen = Seen {
                    name,
                    destinations_count: usize::from(of.is_some()),
                    destinations: of.into_iter().collect(),
                    dead: None,
                    pause: None,
                    connections: 0,
                    queued: 0,
                };
                spell.told(seen, Standing::Between, 0.0)
            },
        )
    }
}

#[cfg(test)]
#[path = "trouble_tests.rs"]
mod tests;
