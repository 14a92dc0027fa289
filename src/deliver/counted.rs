//! What the deliverer counts and others show: the use of delivery-speed rules, and how far source addresses are warmed up.

use std::{net::IpAddr, time::Duration};

use crate::clock::Timestamp;

/// What a warming address sent to a provider today.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WarmUpState {
    /// The address.
    pub source: IpAddr,
    /// The rule's name, or the end of the MX host's; empty: nothing went by it yet.
    pub provider: String,
    /// The day of its warm-up, from 1; 0: it begins later.
    pub day: u32,
    /// Days of the warm-up in all.
    pub days: u32,
    /// Recipients today.
    pub sent: u64,
    /// Recipients that the schedule gives to a provider today.
    pub cap: u64,
}

/// When a rule was last the one that applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleUse {
    /// The rule's name.
    pub rule: String,
    /// When it last applied to a destination; `None`: never since `since`.
    pub last: Option<Timestamp>,
    /// Since when its use is watched: it was new in the config file then.
    pub since: Timestamp,
}

/// A rule that matched nothing for so long is shown as unused.
pub const RULE_UNUSED_AFTER: Duration = Duration::from_secs(30 * 86_400);

impl RuleUse {
    /// How long it has matched nothing, if that is long enough to say so.
    pub fn unused_for(&self, now: Timestamp) -> Option<Duration> {
        let idle = now.since(self.last.unwrap_or(self.since));
        (idle >= RULE_UNUSED_AFTER).then_some(idle)
    }
}
