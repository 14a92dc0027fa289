//! Finds the hosts of a destination: asks DNS what [`super::route`] needs.
//!
//! In: where a recipient goes.  Out: hosts, and for each the addresses to try.
//! Always: addresses are asked for when a host's turn comes, not before; IPv6 is used as `[delivery] ipv6` says.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use super::{
    attempt::Settings,
    dane::{self, DaneHost},
    memory::Memory,
    route::{self, Answer, Choice, Mx, NoWay, Target},
    tls_policy::Policy,
    verdict::Kind,
};
use crate::{
    clock::Clock,
    config::{Delivery, HostPort, Ipv6, TlsPolicy},
    net::{
        dns::{DnsError, Resolver},
        stream,
    },
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
    /// Its name in the log: the domain, or `host:port`.
    pub(super) fn destination(&self) -> Arc<str> {
        match self {
            Way::Smarthost(host) => host.to_string().into(),
            Way::Domain(domain) => domain.as_str().into(),
        }
    }
}

/// The TLS policy that is configured for a way, and the number of the `[[delivery.tls_policy]]` that says so, from 1.
pub(super) fn configured_tls(delivery: &Delivery, way: &Way) -> (Policy, Option<usize>) {
    let (policy, entry) = match way {
        Way::Smarthost(_) => (delivery.smarthost_tls, None),
        Way::Domain(domain) => {
            let at = entry_of(delivery, domain);
            (at.map_or(delivery.tls, |at| delivery.tls_policies[at].policy), at.map(|at| at + 1))
        }
    };
    let policy = match policy {
        TlsPolicy::None => Policy::None,
        TlsPolicy::Opportunistic => Policy::Opportunistic,
        TlsPolicy::Require => Policy::Require,
        TlsPolicy::Verify => Policy::Verify,
    };
    (policy, entry)
}

/// The first entry that names the domain, or one above it with a leading dot.
fn entry_of(delivery: &Delivery, domain: &str) -> Option<usize> {
    if delivery.tls_policies.is_empty() {
        return None;
    }
    let Ok(Target::Domain(domain)) = route::target(domain) else { return None };
    let names = |pattern: &String| {
        let wanted = pattern.strip_prefix('.').unwrap_or(pattern);
        let Ok(Target::Domain(wanted)) = route::target(wanted) else { return false };
        let below = || domain.strip_suffix(wanted.as_str()).is_some_and(|rest| rest.ends_with('.'));
        domain == wanted || (pattern.starts_with('.') && below())
    };
    delivery.tls_policies.iter().position(|entry| entry.domains.iter().any(names))
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
    /// The MX records are secure (DNSSEC), or no DNS was asked for names.
    secure: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum FoundKind {
    Smarthost,
    Literal(IpAddr),
    Mx { domain: String, implicit: bool },
}

impl Found {
    /// Those that are tried, best first.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The domain whose own TLS policies count, in A-labels; `None`: a smarthost or an address literal, which have none.
    pub(super) fn domain(&self) -> Option<&str> {
        match &self.kind {
            FoundKind::Mx { domain, .. } => Some(domain),
            FoundKind::Smarthost | FoundKind::Literal(_) => None,
        }
    }

    /// Nobody on the way could have put other names in: DNSSEC, or no DNS, says what the hosts are called.
    pub(super) fn names_are_secure(&self) -> bool {
        self.secure || matches!(self.kind, FoundKind::Mx { implicit: true, .. })
    }

    fn fixed(name: &str, kind: FoundKind, port: u16) -> Self {
        Found { names: vec![name.to_owned()], kind, port, secure: true }
    }
}

impl Finder<'_> {
    /// The hosts of a way.
    pub(super) async fn hosts(&self, way: &Way) -> Result<Found, NoWay> {
        let domain = match way {
            Way::Smarthost(host) => {
                return Ok(Found::fixed(&host.host, FoundKind::Smarthost, host.port));
            }
            Way::Domain(domain) => domain,
        };
        let port = self.settings.delivery.port;
        match route::target(domain)? {
            Target::Literal(address) => Ok(Found::fixed(domain, FoundKind::Literal(address), port)),
            Target::Domain(domain) => {
                let answered = self.resolver.mx_answer(&domain).await;
                let records = answered.records.map(|records| {
                    records.into_iter().map(|r| Mx { preference: r.preference, host: r.host }).collect()
                });
                let hosts = route::hosts(&domain, answer(records), &self.settings.sources.names(), self.seed)?;
                let kind = FoundKind::Mx { domain, implicit: hosts.implicit };
                Ok(Found { names: hosts.names, kind, port, secure: answered.secure })
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
            FoundKind::Mx { implicit, .. } => {
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

    /// What DANE says of one of them; only a domain's hosts have it.
    pub(super) async fn dane(&self, found: &Found, host: &str, source_v6: Option<IpAddr>) -> DaneHost {
        let Some(domain) = found.domain() else { return DaneHost::absent() };
        let question = dane::Question {
            host,
            domain,
            port: found.port,
            mx_is_secure: found.names_are_secure(),
            ipv6: self.may_use_ipv6(source_v6).await,
        };
        dane::of_host(self.resolver, question).await
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DomainTls;

    #[test]
    fn the_first_entry_that_names_the_domain_sets_its_tls_policy() {
        let entry =
            |domains: &[&str], policy| DomainTls { domains: domains.iter().map(|d| (*d).to_owned()).collect(), policy };
        let delivery = Delivery {
            tls_policies: vec![
                entry(&["a.test", ".b.test", "例え.jp"], TlsPolicy::Verify),
                entry(&["x.b.test", "c.test"], TlsPolicy::None),
            ],
            ..Delivery::default()
        };
        for (domain, want) in [
            ("a.test", (Policy::Verify, Some(1))),
            ("A.Test", (Policy::Verify, Some(1))),
            ("x.a.test", (Policy::Opportunistic, None)),
            ("b.test", (Policy::Verify, Some(1))),
            ("x.b.test", (Policy::Verify, Some(1))),
            ("xb.test", (Policy::Opportunistic, None)),
            ("xn--r8jz45g.jp", (Policy::Verify, Some(1))),
            ("例え.jp", (Policy::Verify, Some(1))),
            ("c.test", (Policy::None, Some(2))),
            ("[192.0.2.1]", (Policy::Opportunistic, None)),
        ] {
            assert_eq!(configured_tls(&delivery, &Way::Domain(domain.into())), want, "{domain}");
        }
        let host = HostPort { host: "a.test".into(), port: 25 };
        assert_eq!(configured_tls(&delivery, &Way::Smarthost(host)), (Policy::Verify, None));
    }
}
