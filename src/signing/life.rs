//! The life of a signing key: pending → published → active → retiring → retired, and the ways back.
//!
//! In: what is known of a domain's keys, what a look at the DNS and at the queue brought, the time.  Out: the same keys in
//! their next stages, and what is to be told.
//! Always: pure; the time is an argument, so that months pass in a test. Of one domain and algorithm one key that we look after
//! signs at most, and while it does, keys of the config do not. A key signs only after its record was everywhere for as long as
//! anybody may have remembered something else; a key that signed keeps its record until the last mail that may bear its
//! signature has left the queue, and [`RECORD_STAYS`] and a TTL longer, since receivers look when they please.
//! Sources: algorithms F13; RFC 6376 §3.6.1 and §5 (keys are rotated by selectors), RFC 2308 §5, M3AAWG on DKIM key rotation.

use std::time::Duration;

use super::witness::{Judgement, Seen, silence};
use crate::{
    clock::Timestamp,
    dkim::{
        public::{Algorithm, PublicKey},
        record,
    },
};

/// How long a record stays after the last mail left the queue: receivers queue, and verify what they filed.
pub const RECORD_STAYS: Duration = Duration::from_secs(7 * 86_400);
/// How long a record is looked at before its key signs, at least: servers of one name are many machines.
pub const HOLD_MIN: Duration = Duration::from_secs(5 * 60);
/// … and at most: no resolver remembers for longer (a week is the most that they are set to).
pub const HOLD_MAX: Duration = Duration::from_secs(7 * 86_400);
/// A TTL that nobody told us.
const TTL_UNKNOWN: Duration = Duration::from_secs(3600);
/// How long a key that is done is still listed, once its record is gone …
const LISTED_WHEN_GONE: Duration = Duration::from_secs(30 * 86_400);
/// … and if nobody removes it.
const LISTED_AT_MOST: Duration = Duration::from_secs(180 * 86_400);

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Who keeps the private key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// We do: `dkim-rotate` made it.
    Managed,
    /// A file that the config names.
    Configured,
}

impl Origin {
    /// The word for programs.
    pub fn word(self) -> &'static str {
        match self {
            Origin::Managed => "managed",
            Origin::Configured => "configured",
        }
    }
}

/// How far a key has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// Made; its record is not everywhere yet.
    Pending,
    /// Its record is everywhere; caches may still remember that it was not.
    Published,
    /// In the config, and another key signs instead.
    Idle,
    /// It signs.
    Active,
    /// It signs no longer; mail that it signed is on its way.
    Retiring,
    /// Nobody needs it any more; its private key is forgotten.
    Retired,
}

impl Stage {
    /// All of them.
    pub const ALL: [Stage; 6] =
        [Stage::Pending, Stage::Published, Stage::Idle, Stage::Active, Stage::Retiring, Stage::Retired];

    /// The word for people and programs.
    pub fn word(self) -> &'static str {
        match self {
            Stage::Pending => "pending",
            Stage::Published => "published",
            Stage::Idle => "idle",
            Stage::Active => "active",
            Stage::Retiring => "retiring",
            Stage::Retired => "retired",
        }
    }
}

/// What is known of a key, but for its private half.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Life {
    /// The domain, in lower case.
    pub domain: String,
    /// The selector, in lower case.
    pub selector: String,
    /// The public half.
    pub public: PublicKey,
    /// Who keeps the private half.
    pub origin: Origin,
    /// How far it has come …
    pub stage: Stage,
    /// … and since when.
    pub since: Timestamp,
    /// When it was made, or first seen in the config.
    pub made: Timestamp,
    /// When it first signed, by which its age counts: for a key of the config, when this daemon first had it sign.
    pub signs_since: Option<Timestamp>,
    /// It is to sign as soon as its record is everywhere, whatever caches remember.
    pub hurry: bool,
    /// How long others may keep its record.
    pub ttl: Duration,
    /// How long others may keep what was there before.
    pub stale: Duration,
    /// Since when only silent servers hold it back.
    pub silent_since: Option<Timestamp>,
    /// Since when the record is missing or wrong, although it is needed.
    pub denied_since: Option<Timestamp>,
    /// When the last mail that may bear its signature had left the queue.
    pub drained: Option<Timestamp>,
    /// When its record was gone, after it retired.
    pub gone: Option<Timestamp>,
}

/// A key that the config names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Configured {
    /// The domain, in lower case.
    pub domain: String,
    /// The selector, in lower case.
    pub selector: String,
    /// The public half of what the file holds.
    pub public: PublicKey,
}

/// What happened to a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// It was made.
    Made,
    /// It is to sign as soon as its record is everywhere, as the operator asked.
    Hurried,
    /// The config has it, and it is new to us; true: it signs.
    Appeared(bool),
    /// Its record is everywhere.
    Published,
    /// Its record is not everywhere any more: what the servers say.
    Unpublished(Vec<String>),
    /// It signs from now on.
    Activated,
    /// It signs no longer.
    Retiring,
    /// The last mail that may bear its signature has left.
    Drained,
    /// Nobody needs it any more.
    Retired,
    /// Its record is gone, as it should.
    Gone,
    /// It is needed, and its record is missing or wrong: what the servers say.
    Denied(Vec<String>),
    /// Its record is there again.
    Confirmed,
    /// The operator gave it up before it signed.
    Aborted,
    /// The config has it no longer, and it never signed.
    Left,
}

/// Something to be told of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// Its domain.
    pub domain: String,
    /// Its selector.
    pub selector: String,
    /// What happened.
    pub what: What,
}

/// What one look brought.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Look {
    /// What the servers say.
    pub seen: Seen,
    /// Resolvers that had to be asked.
    pub resolvers: usize,
    /// Mail waits that was accepted before the key stopped signing.
    pub mail_waits: bool,
}

/// Why there is nothing to go back to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CannotAbort {
    /// Nothing is under way.
    #[error("no rotation is under way, and no key that we look after signs")]
    Nothing,
    /// The key before is forgotten.
    #[error(
        "the key before is forgotten, and the config names none for this algorithm: nothing else could sign. Start another \
         rotation instead, with --now if this key has leaked"
    )]
    NoOther,
}

impl Life {
    /// A key that was just made.
    pub fn made(domain: &str, selector: &str, public: PublicKey, hurry: bool, now: Timestamp) -> Self {
        Life::new(domain, selector, public, Origin::Managed, Stage::Pending, hurry, now)
    }

    fn new(
        domain: &str,
        selector: &str,
        public: PublicKey,
        origin: Origin,
        stage: Stage,
        hurry: bool,
        now: Timestamp,
    ) -> Self {
        Life {
            domain: domain.to_owned(),
            selector: selector.to_owned(),
            public,
            origin,
            stage,
            since: now,
            made: now,
            signs_since: (stage == Stage::Active).then_some(now),
            hurry,
            ttl: Duration::ZERO,
            stale: Duration::ZERO,
            silent_since: None,
            denied_since: None,
            drained: None,
            gone: None,
        }
    }

    /// Which signatures it makes.
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// The name of its record.
    pub fn record_name(&self) -> String {
        record::name(&self.selector, &self.domain)
    }

    /// The record that has to be published.
    pub fn record(&self) -> String {
        self.public.record()
    }

    /// It is on its way to sign.
    pub fn is_under_way(&self) -> bool {
        matches!(self.stage, Stage::Pending | Stage::Published)
    }

    /// How long the record has to be everywhere before the key signs: as long as anybody may remember something else.
    pub fn hold(&self) -> Duration {
        if self.hurry { Duration::ZERO } else { self.ttl.max(self.stale).clamp(HOLD_MIN, HOLD_MAX) }
    }

    /// How long the record stays once the last mail has left.
    pub fn record_stays(&self) -> Duration {
        RECORD_STAYS + if self.ttl.is_zero() { TTL_UNKNOWN } else { self.ttl.min(HOLD_MAX) }
    }

    /// How long it has signed; `None`: it does not.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.signs_since.filter(|_| self.stage == Stage::Active).map(|since| now.since(since))
    }

    /// When to look again, counted from the last look; `None`: there is nothing to see. Quick at first, while somebody is
    /// waiting for it, then with patience.
    pub fn next_look(&self, now: Timestamp) -> Option<Duration> {
        let here = now.since(self.since);
        Some(match (self.stage, self.origin) {
            (Stage::Pending, _) if here < HOUR => MINUTE,
            (Stage::Pending, _) if here < DAY => 10 * MINUTE,
            (Stage::Pending, _) => HOUR,
            (Stage::Published, _) => self.hold().saturating_sub(here).clamp(MINUTE, 10 * MINUTE),
            (Stage::Active | Stage::Retiring, _) if self.denied_since.is_some() => 10 * MINUTE,
            (Stage::Active, Origin::Managed) => HOUR,
            // The daily check of domains looks at these.
            (Stage::Active, Origin::Configured) | (Stage::Idle, _) => return None,
            (Stage::Retiring, _) => 6 * HOUR,
            (Stage::Retired, _) if self.gone.is_some() => return None,
            (Stage::Retired, _) => DAY,
        })
    }

    /// It need not be listed any more.
    pub fn is_done(&self, now: Timestamp) -> bool {
        let listed = self.gone.is_some_and(|gone| now.since(gone) >= LISTED_WHEN_GONE);
        self.stage == Stage::Retired && (listed || now.since(self.since) >= LISTED_AT_MOST)
    }

    fn go(&mut self, stage: Stage, now: Timestamp) {
        self.stage = stage;
        self.since = now;
        self.silent_since = None;
        match stage {
            Stage::Active => {
                self.signs_since = self.signs_since.or(Some(now));
                self.drained = None;
                self.gone = None;
            }
            Stage::Pending | Stage::Published | Stage::Idle | Stage::Retiring => self.drained = None,
            Stage::Retired => self.denied_since = None,
        }
    }

    fn told(&self, what: What) -> Told {
        Told { domain: self.domain.clone(), selector: self.selector.clone(), what }
    }
}

/// Puts a look at one key into force. `family`: all keys of its domain and algorithm; `at`: which one was looked at.
pub fn looked(family: &mut [Life], at: usize, look: &Look, now: Timestamp) -> Vec<Told> {
    let Some(life) = family.get_mut(at) else { return Vec::new() };
    let mut told = Vec::new();
    life.ttl = life.ttl.max(look.seen.ttl());
    match life.stage {
        Stage::Pending => {
            life.stale = life.stale.max(look.seen.stale_ttl());
            let judgement = look.seen.judge(look.resolvers);
            let (silent_since, long_enough) = silence(&judgement, life.silent_since, now);
            life.silent_since = silent_since;
            if judgement == Judgement::Everywhere || long_enough {
                life.go(Stage::Published, now);
                told.push(life.told(What::Published));
                if life.hold().is_zero() {
                    told.extend(activate(family, at, now));
                }
            }
        }
        Stage::Published => match look.seen.judge(look.resolvers) {
            Judgement::Everywhere | Judgement::ButSilent if now.since(life.since) >= life.hold() => {
                told.extend(activate(family, at, now));
            }
            Judgement::Not => {
                // What was seen now may be in caches for as long as it says.
                life.stale = life.stale.max(look.seen.stale_ttl());
                life.go(Stage::Pending, now);
                told.push(life.told(What::Unpublished(look.seen.complaints())));
            }
            Judgement::Everywhere | Judgement::ButSilent | Judgement::Unknown => {}
        },
        Stage::Active => told.extend(watch(life, &look.seen, now)),
        Stage::Retiring => {
            told.extend(watch(life, &look.seen, now));
            if life.drained.is_none() && !look.mail_waits {
                life.drained = Some(now);
                told.push(life.told(What::Drained));
            }
            if life.drained.is_some_and(|drained| now.since(drained) >= life.record_stays()) {
                life.go(Stage::Retired, now);
                told.push(life.told(What::Retired));
            }
        }
        Stage::Retired => {
            if life.gone.is_none() && look.seen.is_gone() {
                life.gone = Some(now);
                told.push(life.told(What::Gone));
            }
        }
        Stage::Idle => {}
    }
    told
}

/// A record that is needed: its absence is told once, and its return.
fn watch(life: &mut Life, seen: &Seen, now: Timestamp) -> Option<Told> {
    match life.denied_since {
        None if seen.denies() => {
            life.denied_since = Some(now);
            Some(life.told(What::Denied(seen.complaints())))
        }
        Some(_) if seen.confirms() => {
            life.denied_since = None;
            Some(life.told(What::Confirmed))
        }
        None | Some(_) => None,
    }
}

/// The key signs from now on, and those that signed before retire.
fn activate(family: &mut [Life], at: usize, now: Timestamp) -> Vec<Told> {
    let mut told = Vec::new();
    for (n, life) in family.iter_mut().enumerate() {
        if n == at {
            life.go(Stage::Active, now);
            told.insert(0, life.told(What::Activated));
        } else if life.stage == Stage::Active {
            life.go(Stage::Retiring, now);
            told.push(life.told(What::Retiring));
        }
    }
    told
}

/// Brings the keys of one domain and algorithm in line with the config.
///
/// A key of the config signs while no key that we look after does. One that signed and is gone from the config retires, since
/// its mail is still on its way; one that comes back signs again, and its age counts on.
pub fn follow_config(family: &mut Vec<Life>, configured: &[Configured], now: Timestamp) -> Vec<Told> {
    let mut told = Vec::new();
    let managed_signs = family.iter().any(|life| life.origin == Origin::Managed && life.stage == Stage::Active);
    for key in configured {
        if family.iter().any(|life| life.selector == key.selector && life.public == key.public) {
            continue;
        }
        let stage = if managed_signs { Stage::Idle } else { Stage::Active };
        let life = Life::new(&key.domain, &key.selector, key.public.clone(), Origin::Configured, stage, false, now);
        told.push(life.told(What::Appeared(!managed_signs)));
        family.push(life);
    }
    family.retain_mut(|life| {
        if life.origin == Origin::Managed {
            return true;
        }
        let is_there = configured.iter().any(|key| key.selector == life.selector && key.public == life.public);
        match (life.stage, is_there && !managed_signs) {
            (Stage::Idle | Stage::Retiring | Stage::Retired, true) => {
                life.go(Stage::Active, now);
                told.push(life.told(What::Activated));
            }
            (Stage::Active, false) => {
                life.go(Stage::Retiring, now);
                told.push(life.told(What::Retiring));
            }
            (Stage::Idle, false) if !is_there => {
                told.push(life.told(What::Left));
                return false;
            }
            (Stage::Pending | Stage::Published | Stage::Idle | Stage::Active, _)
            | (Stage::Retiring | Stage::Retired, false) => {}
        }
        true
    });
    told
}

/// Goes back: a key that does not sign yet is given up; else the key before signs again, or those of the config do.
///
/// # Errors
/// Nothing could sign instead; then nothing changed.
pub fn abort(family: &mut Vec<Life>, configured: &[Configured], now: Timestamp) -> Result<Vec<Told>, CannotAbort> {
    if let Some(at) = family.iter().position(Life::is_under_way) {
        return Ok(vec![family.remove(at).told(What::Aborted)]);
    }
    let signs = |life: &Life| life.origin == Origin::Managed && life.stage == Stage::Active;
    let at = family.iter().position(signs).ok_or(CannotAbort::Nothing)?;
    let before = |life: &Life| life.origin == Origin::Managed && life.stage == Stage::Retiring;
    // The last one that signed.
    let candidates = family.iter().enumerate().filter(|(_, life)| before(life));
    if let Some((back, _)) = candidates.max_by_key(|(_, life)| life.since) {
        return Ok(activate(family, back, now));
    }
    if configured.is_empty() {
        return Err(CannotAbort::NoOther);
    }
    family[at].go(Stage::Retiring, now);
    let mut told = vec![family[at].told(What::Retiring)];
    told.extend(follow_config(family, configured, now));
    Ok(told)
}

/// A selector that is not taken: the algorithm's letter and the day, `r20261129`, and `b`, `c`, … behind it for a second key of
/// that day. A day comes once, so that no selector is used twice and no receiver confuses two keys.
pub fn new_selector(algorithm: Algorithm, now: Timestamp, taken: &dyn Fn(&str) -> bool) -> Option<String> {
    let date: String = now.rfc3339().chars().take(10).filter(|c| *c != '-').collect();
    let letter = match algorithm {
        Algorithm::RsaSha256 => 'r',
        Algorithm::Ed25519Sha256 => 'e',
    };
    let first = format!("{letter}{date}");
    let more = ('b'..='z').map(|more| format!("{first}{more}"));
    std::iter::once(first.clone()).chain(more).find(|selector| !taken(selector))
}

/// What is wrong with a selector; `None`: nothing.
pub fn selector_flaw(selector: &str, domain: &str) -> Option<&'static str> {
    if !selector.split('.').all(label_is_good) {
        return Some("a selector has letters, digits and hyphens, at most 63 in a row between dots");
    }
    (record::name(selector, domain).len() > 253)
        .then_some("with its domain, the selector is longer than a name may be (253)")
}

/// The name is one that a key may be made for.
pub fn is_domain(domain: &str) -> bool {
    domain.len() <= 253 && domain.split('.').all(label_is_good)
}

fn label_is_good(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
