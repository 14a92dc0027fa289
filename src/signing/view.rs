//! A key as it is shown: its stage, what comes next, what the servers said.
//!
//! In: the keys, the config and the ring in force.  Out: [`KeyView`]s.
//! Always: a private key is not among what a view can hold.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use super::{
    life::Life,
    ring::{KeyInForce, Keyring},
    witness::Seen,
    words::{self, Around, Words},
};
use crate::{clock::Timestamp, config::Config, event::Class};

/// A key, as it is shown.
#[derive(Clone, Debug)]
pub struct KeyView {
    /// What is known of it.
    pub life: Life,
    /// It signs now.
    pub signs: bool,
    /// What is to be said.
    pub words: Words,
    /// The same in Japanese.
    pub words_ja: Words,
    /// When the DNS was last asked.
    pub looked_at: Option<Timestamp>,
    /// What it said.
    pub seen: Seen,
}

/// What is kept for whoever asks.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) life: Life,
    pub(super) looked_at: Option<Timestamp>,
    pub(super) seen: Seen,
}

/// What keys are looked at with.
pub(super) struct Surroundings {
    now: Timestamp,
    age_max: Option<Duration>,
    lifetime_max: Duration,
    listed: BTreeSet<String>,
    /// By domain.
    ring: HashMap<String, Vec<KeyInForce>>,
}

impl Surroundings {
    pub(super) fn of(config: &Config, keys: &Keyring, now: Timestamp) -> Self {
        let mut ring: HashMap<String, Vec<KeyInForce>> = HashMap::new();
        for key in keys.all() {
            ring.entry(key.domain.clone()).or_default().push(key);
        }
        let lifetimes = Class::ALL.into_iter().map(|class| config.queue.lifetime_of(class));
        Surroundings {
            now,
            age_max: config.dkim.key_age_max,
            lifetime_max: lifetimes.max().unwrap_or_default(),
            listed: listed(config),
            ring,
        }
    }

    pub(super) fn view(&self, shown: &Shown) -> KeyView {
        let life = &shown.life;
        let of_domain = self.ring.get(&life.domain).map(Vec::as_slice).unwrap_or_default();
        let same =
            |key: &&KeyInForce| key.selector.eq_ignore_ascii_case(&life.selector) && *key.key.public() == life.public;
        let around = Around {
            now: self.now,
            age_max: self.age_max,
            lifetime_max: self.lifetime_max,
            domain_is_listed: self.listed.contains(&life.domain),
            is_in_config: of_domain.iter().filter(same).any(|key| !key.managed),
            looked: shown.looked_at.is_some(),
        };
        KeyView {
            signs: of_domain.iter().filter(same).any(|key| key.signs),
            words: words::say(life, &around),
            words_ja: words::japanese::say(life, &around),
            looked_at: shown.looked_at,
            seen: shown.seen.clone(),
            life: life.clone(),
        }
    }
}

/// The name as keys have it: A-labels in lower case, no last dot.
pub(super) fn domain_of(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_ascii() { name.to_ascii_lowercase() } else { idna::domain_to_ascii(name).unwrap_or_default() }
}

/// The names of all `[[domain]]`.
pub(super) fn listed(config: &Config) -> BTreeSet<String> {
    config.domains.iter().map(|domain| domain_of(&domain.name)).collect()
}
