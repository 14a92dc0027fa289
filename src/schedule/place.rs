//! Where a lane's mail goes, in the scheduler's own words: a site, the ways to it, the speed that a rule sets.
//!
//! In: what the deliverer's `locate` said.  Out: plain values for the core.
//! Always: nothing here knows DNS, sockets or the store, so that the core stays a function of its arguments.

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::ids::UserKey;

/// Ways to one site at most; further ones are not used.
pub const WAYS_MAX: usize = 64;

/// The local addresses of a way to a site; `None`: the system chooses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Way {
    /// For hosts reached by IPv4.
    pub v4: Option<IpAddr>,
    /// For hosts reached by IPv6.
    pub v6: Option<IpAddr>,
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.v4, self.v6) {
            (None, None) => f.write_str("any address"),
            (Some(one), None) | (None, Some(one)) => one.fmt(f),
            (Some(v4), Some(v6)) => write!(f, "{v4} and {v6}"),
        }
    }
}

/// A way to a site, and how much may go by it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// The way.
    pub way: Way,
    /// Its share against the others; at least 1.
    pub weight: u32,
    /// The submitters that use it; empty: all.
    pub users: Vec<UserKey>,
    /// Recipients that may still go by it until the next answer; `None`: no cap.
    pub cap: Option<u64>,
}

/// The speed that a delivery-speed rule sets, shared by every site that it matches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rate {
    /// The rule's name: the key of what is shared.
    pub rule: Arc<str>,
    /// Connections at once; `None`: the general limit, for each way by itself.
    pub connections_max: Option<usize>,
    /// Least time between two starts; zero: none.
    pub interval: Duration,
    /// The speed stays when the destination pushes back.
    pub fixed: bool,
}

/// The answer to "where does this lane go?".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The site's key: the same for every lane that shares it.
    pub site: Arc<str>,
    /// The site for people.
    pub name: Arc<str>,
    /// Ways to it; an empty list means the system's choice.
    pub offers: Vec<Offer>,
    /// The delivery-speed rule that applies.
    pub rate: Option<Rate>,
    /// How long the answer holds.
    pub valid_for: Duration,
}

impl Place {
    /// A site of that key, by the system's choice of address, without a rule.
    pub fn alone(site: Arc<str>, valid_for: Duration) -> Self {
        Place { name: site.clone(), site, offers: vec![Offer::any()], rate: None, valid_for }
    }
}

impl Offer {
    /// The system's choice of address, for everybody, without a cap.
    pub fn any() -> Self {
        Offer { way: Way::default(), weight: 1, users: Vec::new(), cap: None }
    }
}

/// How a site pushes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PushKind {
    /// Nothing more is sent for a while.
    Pause,
    /// Half the connections, for a while.
    Slow,
}

/// What a response rule asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Push {
    /// The rule's name.
    pub rule: Arc<str>,
    /// What to do with the site.
    pub what: PushKind,
    /// For how long.
    pub duration: Duration,
}
