//! The typed config, part of sender authentication: DKIM, the daily check of domains, the DMARC monitor.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// `[dkim]`: what all signing keys have in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dkim {
    /// Threads that sign; 0: one a core, up to 4.
    pub threads: usize,
    /// A key that signs for longer raises an alarm; `None`: never.
    pub key_age_max: Option<Duration>,
    /// Resolvers elsewhere that must see a new key before it signs.
    pub resolvers: Vec<SocketAddr>,
}

impl Default for Dkim {
    fn default() -> Self {
        Dkim {
            threads: 0,
            key_age_max: Some(Duration::from_secs(365 * 86_400)),
            resolvers: vec![SocketAddr::from(([1, 1, 1, 1], 53)), SocketAddr::from(([8, 8, 8, 8], 53))],
        }
    }
}

/// `[domain_check]`: the doctor's daily round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DomainCheck {
    /// Its daily time in minutes after midnight; `None`: never.
    pub run_at_minute: Option<u16>,
    /// The addresses that others see our mail come from; empty: the source addresses, or those that the system chooses.
    pub addresses: Vec<IpAddr>,
    /// DNS blocklists that are asked about them.
    pub blocklists: Vec<String>,
}

impl Default for DomainCheck {
    fn default() -> Self {
        DomainCheck { run_at_minute: Some(3 * 60 + 40), addresses: Vec::new(), blocklists: Vec::new() }
    }
}

/// `[dmarc]`: the monitor.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Dmarc {
    /// `[[dmarc.sender]]`: who else sends in our domains' names, with our consent.
    pub senders: Vec<KnownSender>,
}

/// One `[[dmarc.sender]]`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KnownSender {
    /// Its name in tables.
    pub name: String,
    /// A domain whose SPF record names its addresses; empty: none.
    pub include: String,
    /// A domain under which its addresses have their names (`.outlook.com`, subdomains included); empty: none.
    pub rdns: String,
}
