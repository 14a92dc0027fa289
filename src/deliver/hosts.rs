//! Finds the hosts of a destination: asks DNS what [`super::route`] needs, and chooses the local address.
//!
//! In: where a recipient goes.  Out: hosts, and for each the addresses to try.
//! Always: addresses are asked for when a host's turn comes, not before; IPv6 is used as `[delivery] ipv6` says.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use super::{
    attempt::Settings,
    memory::Memory,
    route::{self, Answer, Choice, Mx, NoWay, Target},
    verdict::Kind,
};
use crate::{
    clock::Clock,
    config::{HostPort, Ipv6, Mode, Rule},
    net::{
        dns::{DnsError, Resolver},
        stream,
    },
    smtp::address::Mailbox,
};

/// An address of the global unicast space, asked only which of our own addresses would be the source towards it.
const SOMEWHERE_V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2620, 0xfe, 0, 0, 0, 0, 0, 0xfe)), 25);

/// Where a recipient goes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Way {
    /// To one configured host.
    Smarthost(HostPort),
    /// To the MX hosts of its domain, as it is written.
    Domain(String),
}

impl Way {
    /// Where a recipient goes under these settings, and the rule that says so.
    pub(super) fn of<'s>(settings: &'s Settings, address: &Mailbox) -> (Self, Option<&'s Rule>) {
        let delivery = &settings.delivery;
        let matches = |rule: &&Rule| rule.recipients.iter().any(|pattern| pattern.is_match(address.as_str()));
        let rule = delivery.rules.iter().find(matches);
        let smarthost = match delivery.mode {
            Mode::Smarthost => rule.and_then(|r| r.smarthost.as_ref()).or(delivery.smarthost.as_ref()),
            Mode::Internet | Mode::Sandbox => rule.and_then(|r| r.smarthost.as_ref()),
        };
        match smarthost {
            Some(host) => (Way::Smarthost(host.clone()), rule),
            None => (Way::Domain(address.domain_key()), rule),
        }
    }

    /// Its name in the log: the domain, or `host:port`.
    pub(super) fn destination(&self) -> Arc<str> {
        match self {
            Way::Smarthost(host) => host.to_string().into(),
            Way::Domain(domain) => domain.as_str().into(),
        }
    }
}

/// What asks and remembers.
pub(super) struct Finder<'a> {
    pub settings: &'a Settings,
    pub resolver: &'a Resolver,
    pub memory: &'a Memory,
    pub clock: &'a Clock,
    pub seed: u64,
}

/// A destination's hosts, best first.
#[derive(Debug)]
pub(super) struct Found {
    names: Vec<String>,
    kind: FoundKind,
    port: u16,
}

#[derive(Debug, PartialEq, Eq)]
enum FoundKind {
    Smarthost,
    Literal(IpAddr),
    Mx { implicit: bool },
}

impl Found {
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}

impl Finder<'_> {
    /// The hosts of a way.
    pub(super) async fn hosts(&self, way: &Way) -> Result<Found, NoWay> {
        let domain = match way {
            Way::Smarthost(host) => {
                let names = vec![host.host.clone()];
                return Ok(Found { names, kind: FoundKind::Smarthost, port: host.port });
            }
            Way::Domain(domain) => domain,
        };
        let port = self.settings.delivery.port;
        match route::target(domain)? {
            Target::Literal(address) => {
                Ok(Found { names: vec![domain.clone()], kind: FoundKind::Literal(address), port })
            }
            Target::Domain(domain) => {
                let records = self.resolver.mx(&domain).await.map(|records| {
                    records.into_iter().map(|r| Mx { preference: r.preference, host: r.host }).collect()
                });
                let hosts = route::hosts(&domain, answer(records), &[&self.settings.hello], self.seed)?;
                Ok(Found { names: hosts.names, kind: FoundKind::Mx { implicit: hosts.implicit }, port })
            }
        }
    }

    /// The addresses of one of them, those that did not answer lately last.
    pub(super) async fn addresses(
        &self,
        found: &Found,
        host: &str,
        source_v6: Option<IpAddr>,
    ) -> Result<Vec<SocketAddr>, NoWay> {
        let delivery = &self.settings.delivery;
        let list = match &found.kind {
            FoundKind::Literal(address) => route::literal(*address, delivery.block_private_destinations)?,
            FoundKind::Smarthost => {
                if let Some(address) = address_of(host) {
                    vec![address]
                } else {
                    let choice = Choice {
                        host,
                        implicit: false,
                        ipv6: delivery.ipv6 != Ipv6::Off,
                        guard: false,
                        seed: self.seed,
                    };
                    self.lookup(choice).await?
                }
            }
            FoundKind::Mx { implicit } => {
                let choice = Choice {
                    host,
                    implicit: *implicit,
                    ipv6: self.may_use_ipv6(source_v6).await,
                    guard: delivery.block_private_destinations,
                    seed: self.seed,
                };
                self.lookup(choice).await?
            }
        };
        let now = self.clock.instant();
        let mut list: Vec<SocketAddr> = list.into_iter().map(|a| SocketAddr::new(a, found.port)).collect();
        list.sort_by_key(|a| self.memory.is_dead(*a, now));
        Ok(list)
    }

    async fn lookup(&self, choice: Choice<'_>) -> Result<Vec<IpAddr>, NoWay> {
        let v4 = answer(self.resolver.a(choice.host).await);
        // Without IPv6 the question matters only where there is no IPv4: has the host no address at all?
        let ask_v6 = choice.ipv6 || !matches!(v4, Answer::Found(_));
        let v6 = if ask_v6 { Some(answer(self.resolver.aaaa(choice.host).await)) } else { None };
        route::addresses(choice, v4, v6)
    }

    /// `auto`: the address that we would come from has forward-confirmed reverse DNS.
    async fn may_use_ipv6(&self, source: Option<IpAddr>) -> bool {
        match self.settings.delivery.ipv6 {
            Ipv6::On => return true,
            Ipv6::Off => return false,
            Ipv6::Auto => {}
        }
        let now = self.clock.instant();
        if let Some(known) = self.memory.ipv6_from(source, now) {
            return known;
        }
        let may = match source.map_or_else(|| stream::source_towards(SOMEWHERE_V6), Ok) {
            Ok(address) => self.resolver.is_forward_confirmed(address).await.unwrap_or(false),
            Err(_) => false,
        };
        self.memory.remember_ipv6_from(source, may, now);
        may
    }
}

/// The local address to come from, one for each family: a destination always meets the same one of several.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Sources {
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
}

impl Sources {
    pub(super) fn of(settings: &Settings, rule: Option<&Rule>, destination: &str) -> Self {
        let configured = match rule {
            Some(rule) if !rule.source_addresses.is_empty() => &rule.source_addresses,
            _ => &settings.delivery.source_addresses,
        };
        if configured.is_empty() {
            return Sources::default();
        }
        let mut hasher = DefaultHasher::new();
        destination.hash(&mut hasher);
        let hash = hasher.finish() as usize;
        let choose = |of_family: fn(&IpAddr) -> bool| {
            let list: Vec<IpAddr> = configured.iter().copied().filter(of_family).collect();
            (!list.is_empty()).then(|| list[hash % list.len()])
        };
        Sources { v4: choose(IpAddr::is_ipv4), v6: choose(IpAddr::is_ipv6) }
    }

    pub(super) fn v6(self) -> Option<IpAddr> {
        self.v6
    }

    pub(super) fn towards(self, to: SocketAddr) -> Option<IpAddr> {
        if to.is_ipv4() { self.v4 } else { self.v6 }
    }
}

/// A smarthost that is an address already, or this machine.
fn address_of(host: &str) -> Option<IpAddr> {
    if host.eq_ignore_ascii_case("localhost") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    host.parse().ok()
}

fn answer<T>(result: Result<Vec<T>, DnsError>) -> Answer<T> {
    match result {
        Ok(records) if records.is_empty() => Answer::NoData,
        Ok(records) => Answer::Found(records),
        Err(DnsError::NxDomain) => Answer::NoSuchName,
        Err(DnsError::NoData) => Answer::NoData,
        // A name that cannot be asked for does not exist.
        Err(DnsError::BadName) => Answer::NoSuchName,
        Err(e @ (DnsError::Servfail(_) | DnsError::Timeout(_))) => Answer::Failed(e.to_string()),
    }
}

/// Our own trouble in the words of a route.
pub(super) fn ours(words: impl Into<String>) -> NoWay {
    NoWay { kind: Kind::Ours, words: words.into() }
}
