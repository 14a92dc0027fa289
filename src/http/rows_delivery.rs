//! Rows about how mail goes: destinations, facts, pauses, warm-up, rules and ages; a second part of `rows`.
//!
//! Always: as there, a name is a contract with other people's programs.

use serde::{Deserialize, Serialize};

use super::rows::time;
use crate::{
    clock::Timestamp,
    deliver::counted::{RuleUse, WarmUpState},
    event::Class,
    fact::Fact,
    http::health::Destination,
    language::Language,
    net::dns::Validation,
    store::Pause,
};

/// Whether the resolvers validate DNSSEC: `yes`, `no`, or `unknown` (not tried, or no answer).
pub fn validation_word(validation: Validation) -> &'static str {
    match validation {
        Validation::Yes => "yes",
        Validation::No => "no",
        Validation::Unknown => "unknown",
    }
}

/// One step of a decision: a line of `explain`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FactOut {
    /// What it is about: `site`, `tls`, `rule`, …
    pub topic: String,
    /// What is true, and why.
    pub says: String,
    /// The same in Japanese; empty: an older daemon told it.
    #[serde(default)]
    pub says_ja: String,
}

impl From<&Fact> for FactOut {
    fn from(fact: &Fact) -> Self {
        let words = |language| fact.says.words(language).to_owned();
        FactOut { topic: fact.topic.to_owned(), says: words(Language::English), says_ja: words(Language::Japanese) }
    }
}

/// A destination of the queue.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DestinationOut {
    /// Domain, or smarthost.
    pub destination: String,
    /// Waiting recipients.
    pub waiting: u64,
    /// Attempts that run now.
    pub running: u32,
    /// An operator paused it.
    #[serde(default)]
    pub paused: bool,
    /// The earliest next try; `null`: all are held.
    pub next_try: Option<String>,
    /// What it last answered to a deferred recipient; empty: nothing was deferred.
    pub last_reply: String,
}

impl From<&Destination> for DestinationOut {
    fn from(d: &Destination) -> Self {
        DestinationOut {
            destination: d.name.clone(),
            waiting: d.waiting,
            running: d.running,
            paused: d.paused,
            next_try: time(d.earliest_due),
            last_reply: d.last_reply.clone(),
        }
    }
}

/// A destination to which an operator lets nothing go: a line of `queue pauses`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PauseOut {
    /// Domain, or smarthost.
    pub destination: String,
    /// Since when.
    pub since: String,
    /// Until when; `null`: until it is lifted.
    pub until: Option<String>,
    /// By whom.
    pub operator: String,
    /// In the operator's words; may be empty.
    pub reason: String,
    /// Recipients that wait for it.
    pub waiting: u64,
}

impl PauseOut {
    /// A pause, and how many recipients wait for its end.
    pub fn new(pause: &Pause, waiting: u64) -> Self {
        PauseOut {
            destination: pause.destination.clone(),
            since: pause.since.rfc3339(),
            until: pause.until.and_then(time),
            operator: pause.operator.clone(),
            reason: pause.reason.clone(),
            waiting,
        }
    }
}

/// `queue resume`: what was resumed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LiftOut {
    /// Domain, or smarthost.
    pub destination: String,
}

/// Ages of the oldest waiting mail, by class, in seconds; `null`: nothing of the class waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AgesOut {
    /// Of the class high.
    pub high: Option<u64>,
    /// Of the class normal.
    pub normal: Option<u64>,
    /// Of the class low.
    pub low: Option<u64>,
}

impl AgesOut {
    /// The ages of what was accepted at these times.
    pub fn new(oldest: [Option<Timestamp>; 3], now: Timestamp) -> Self {
        let age = |class: Class| {
            let place = Class::ALL.iter().position(|c| *c == class);
            place.and_then(|n| oldest[n]).map(|accepted| now.since(accepted).as_secs())
        };
        AgesOut { high: age(Class::High), normal: age(Class::Normal), low: age(Class::Low) }
    }

    /// Each class with its age, in the order of service.
    pub fn each(&self) -> [(Class, Option<u64>); 3] {
        [(Class::High, self.high), (Class::Normal, self.normal), (Class::Low, self.low)]
    }
}

/// How far a new source address has come with one provider today.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct WarmUpOut {
    /// The address.
    pub source: String,
    /// The provider, by the name of its site.
    pub provider: String,
    /// The day of its warm-up, from 1.
    pub day: u32,
    /// Days of the warm-up in all.
    pub days: u32,
    /// Recipients sent today.
    pub sent: u64,
    /// Recipients that may go today.
    pub cap: u64,
}

impl From<&WarmUpState> for WarmUpOut {
    fn from(w: &WarmUpState) -> Self {
        WarmUpOut {
            source: w.source.to_string(),
            provider: w.provider.clone(),
            day: w.day,
            days: w.days,
            sent: w.sent,
            cap: w.cap,
        }
    }
}

/// A delivery-speed rule that has matched nothing for thirty days.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct UnusedRuleOut {
    /// The rule's name.
    pub rule: String,
    /// When it last matched; `null`: never since it is watched.
    pub last_match: Option<String>,
    /// Since when it is watched.
    pub watched_since: String,
    /// How long it has matched nothing, in seconds.
    pub idle_seconds: u64,
}

impl UnusedRuleOut {
    /// The rule, if it is unused now.
    pub fn of(rule: &RuleUse, now: Timestamp) -> Option<Self> {
        let idle = rule.unused_for(now)?;
        Some(UnusedRuleOut {
            rule: rule.rule.clone(),
            last_match: rule.last.map(|at| at.rfc3339()),
            watched_since: rule.since.rfc3339(),
            idle_seconds: idle.as_secs(),
        })
    }
}
