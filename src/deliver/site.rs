//! Finds the site of a lane: recipients whose domains share their MX hosts share one (algorithms F4), and with it
//! connections, pace and trouble.
//!
//! In: a lane.  Out: [`Located`]: the site's key and name, the ways to it, the speed rule, and how long that holds.
//!
//! ```text
//! lane ─► rule by address ─► smarthost? ─────────────────────────► host:port
//!            └─► MX hosts (DNS) ─► rule by host ─► smarthost? ───► host:port
//!                                       └─► key: sorted hosts + TLS policy + rule; name: best host (+n)
//! ```
//!
//! The key holds every MX host, also those that are never tried, so that it does not depend on chance; the TLS policy of the
//! domain's configuration, since connections are shared within a site; and the rule, since a site has one pace and one set of
//! ways. A domain without MX hosts, an address literal, and what DNS gives no answer for stand alone.
//!
//! Always: there is an answer for every lane; nothing is sent but DNS queries; keys are bounded in length.
//! Sources: RFC 5321 §5.1, RFC 7505.

use std::{sync::Arc, time::Duration};

use super::{
    attempt::{Settings, Shared},
    hosts::Way,
    job::{Located, Pace, PathOffer},
    route::{self, Target},
    sources, warm_up,
};
use crate::{
    config::{HostPort, Mode, Rule},
    ids::hex,
    net::dns::{DnsError, MxRecord, Resolver},
    store::Lane,
};

/// MX hosts that a key spells; the rest are in it as a hash.
const HOSTS_SPELLED_MAX: usize = 20;
/// Octets of host names that a key spells.
const HOSTS_OCTETS_MAX: usize = 512;
/// An answer holds at least this long, whatever its TTL says …
const VALID_MIN: Duration = Duration::from_secs(60);
/// … and no longer than this.
const VALID_MAX: Duration = Duration::from_secs(3600);
/// What needs no DNS is asked for again after this: the configuration may have changed.
const VALID_CONFIGURED: Duration = Duration::from_secs(300);
/// A domain that takes no mail, or does not exist.
const VALID_NOWHERE: Duration = Duration::from_secs(300);
/// DNS gave no answer.
const VALID_TROUBLE: Duration = Duration::from_secs(15);

/// Where a domain's mail goes, and why.
#[derive(Debug)]
pub(super) struct Routed {
    pub way: Way,
    /// The rule that applies: its place.
    pub rule: Option<usize>,
    /// The MX hosts, where they were asked for.
    pub mx: Mx,
}

/// The MX hosts of a domain.
#[derive(Debug)]
pub(super) enum Mx {
    /// Not asked: a smarthost or an address literal.
    NotAsked,
    /// The hosts, best first, and within a preference by name; without any MX record the domain itself.
    Hosts { hosts: Vec<MxRecord>, implicit: bool, ttl: Duration },
    /// There is no way, or DNS gave no answer; the attempt says it in full.
    None { why: String, valid_for: Duration },
}

/// A lane's site with what it was made of.
#[derive(Debug)]
pub(super) struct Site {
    pub located: Located,
    /// Who stands behind it, for warm-up.
    pub provider: Arc<str>,
    pub routed: Routed,
}

/// Where mail for a domain goes, its addresses matching `by_address`.
pub(super) async fn route(settings: &Settings, resolver: &Resolver, domain: &str, by_address: Option<usize>) -> Routed {
    let rules = &settings.rules;
    if let Some(way) = way_without_dns(settings, domain, by_address)
        && let Way::Smarthost(host) = &way
    {
        let rule = rules.with_hosts(by_address, std::iter::once(host.host.as_str()));
        return Routed { way, rule, mx: Mx::NotAsked };
    }
    let mx = match route::target(domain) {
        Err(no_way) => Mx::None { why: no_way.words, valid_for: VALID_NOWHERE },
        Ok(Target::Literal(_)) => Mx::NotAsked,
        Ok(Target::Domain(ascii)) => mx_hosts(resolver, &ascii).await,
    };
    let rule = rules.with_hosts(by_address, mx.names());
    let smarthost = rule.and_then(|at| settings.delivery.rules[at].smarthost.clone());
    let way = smarthost.map_or_else(|| Way::Domain(domain.to_owned()), Way::Smarthost);
    Routed { way, rule, mx }
}

/// Where it goes, where that does not depend on the MX hosts.
pub(super) fn way_without_dns(settings: &Settings, domain: &str, by_address: Option<usize>) -> Option<Way> {
    let delivery = &settings.delivery;
    let own = by_address.and_then(|at| delivery.rules[at].smarthost.as_ref());
    let general = delivery.smarthost.as_ref().filter(|_| delivery.mode == Mode::Smarthost);
    match (general, own) {
        (Some(general), own) => Some(Way::Smarthost(own.unwrap_or(general).clone())),
        // An earlier rule may match the MX hosts.
        (None, _) if settings.rules.ask_for_hosts(by_address) => None,
        (None, Some(own)) => Some(Way::Smarthost(own.clone())),
        (None, None) => Some(Way::Domain(domain.to_owned())),
    }
}

async fn mx_hosts(resolver: &Resolver, domain: &str) -> Mx {
    let answer = resolver.mx_answer(domain).await;
    let ttl = answer.ttl;
    let nowhere = |why: String| Mx::None { why, valid_for: ttl.clamp(VALID_MIN, VALID_NOWHERE) };
    let records = match answer.records {
        Ok(records) => records,
        Err(DnsError::NoData) => Vec::new(),
        Err(DnsError::NxDomain | DnsError::BadName) => return nowhere("the domain does not exist".to_owned()),
        Err(e @ (DnsError::Servfail(_) | DnsError::Timeout(_))) => {
            return Mx::None { why: format!("looking up the MX: {e}"), valid_for: VALID_TROUBLE };
        }
    };
    if records.is_empty() {
        let hosts = vec![MxRecord { preference: 0, host: domain.to_owned() }];
        return Mx::Hosts { hosts, implicit: true, ttl };
    }
    let mut hosts: Vec<MxRecord> = records
        .into_iter()
        .map(|record| MxRecord { host: record.host.to_ascii_lowercase(), ..record })
        .filter(|record| route::is_host_name(&record.host))
        .collect();
    if hosts.is_empty() {
        return nowhere("the domain takes no mail (null MX), or no MX is a host name".to_owned());
    }
    hosts.sort_by(|a, b| (a.preference, &a.host).cmp(&(b.preference, &b.host)));
    // The same host at two preferences counts once.
    let mut seen = std::collections::HashSet::new();
    hosts.retain(|record| seen.insert(record.host.clone()));
    Mx::Hosts { hosts, implicit: false, ttl }
}

impl Mx {
    /// The hosts' names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let hosts: &[MxRecord] = match self {
            Mx::Hosts { hosts, .. } => hosts,
            Mx::NotAsked | Mx::None { .. } => &[],
        };
        hosts.iter().map(|record| record.host.as_str())
    }
}

impl Shared {
    /// The site of a lane.
    pub(super) async fn site(&self, settings: &Settings, lane: &Lane) -> Site {
        let destination = lane.destination();
        let by_address = settings.rules.of_lane(lane);
        if settings.delivery.mode != Mode::Smarthost && is_host_port(destination) {
            // Queued for the smarthost of an earlier configuration: its recipients go their own ways, which the attempt finds.
            let way = Way::Domain(destination.to_owned());
            let routed = Routed { way, rule: by_address, mx: Mx::NotAsked };
            return self.seat(settings, routed, destination.into(), destination.into(), destination, VALID_CONFIGURED);
        }
        let routed = route(settings, &self.resolver, destination, by_address).await;
        let with_rule = |mut key: String| {
            if let Some(rule) = routed.rule {
                key.push_str(";rule=");
                key.push_str(&settings.delivery.rules[rule].name);
            }
            key.into()
        };
        let tls = settings.policy(&Way::Domain(destination.to_owned())).word();
        let (key, name, best, valid_for): (Arc<str>, Arc<str>, String, Duration) = match (&routed.way, &routed.mx) {
            (Way::Smarthost(host), _) => {
                let place = host.to_string();
                (with_rule(place.clone()), place.as_str().into(), host.host.clone(), VALID_CONFIGURED)
            }
            (Way::Domain(_), Mx::Hosts { hosts, ttl, .. }) => {
                let best = hosts[0].host.clone();
                let others = hosts.len() - 1;
                let name = if others == 0 { best.clone() } else { format!("{best} (+{others})") };
                let key = format!("{};tls={tls}", spelled(hosts.iter().map(|record| record.host.as_str())));
                (with_rule(key), name.into(), best, (*ttl).clamp(VALID_MIN, VALID_MAX))
            }
            (Way::Domain(domain), Mx::NotAsked) => {
                (with_rule(format!("{domain};tls={tls}")), domain.as_str().into(), domain.clone(), VALID_CONFIGURED)
            }
            (Way::Domain(domain), Mx::None { valid_for, .. }) => {
                (lane.0.clone(), domain.as_str().into(), domain.clone(), *valid_for)
            }
        };
        self.seat(settings, routed, key, name, &best, valid_for)
    }

    fn seat(
        &self,
        settings: &Settings,
        routed: Routed,
        site: Arc<str>,
        name: Arc<str>,
        best: &str,
        valid_for: Duration,
    ) -> Site {
        let rule = routed.rule.map(|at| &settings.delivery.rules[at]);
        let provider = warm_up::provider(rule.map(|rule| rule.name.as_str()), best);
        let (paths, passing) = self.paths(settings, routed.rule, &provider);
        let valid_for = if passing { valid_for.min(VALID_MIN) } else { valid_for };
        let pace = rule.map(pace_of);
        Site { located: Located { site, name, paths, pace, valid_for }, provider, routed }
    }

    /// The ways for a rule's recipients, with what may still go by them today; true: that will change soon.
    fn paths(&self, settings: &Settings, rule: Option<usize>, provider: &Arc<str>) -> (Vec<PathOffer>, bool) {
        let all = settings.sources.offers(rule);
        if !settings.sources.any() {
            return (all.to_vec(), false);
        }
        let now = self.now();
        let here = |offer: &PathOffer| self.presence.has_all(offer.path, now);
        // An address that the machine lacks is left out where the same users have another one.
        let replaced = |offer: &PathOffer| all.iter().any(|other| other.users == offer.users && here(other));
        let mut paths: Vec<PathOffer> = all.iter().filter(|offer| here(offer) || !replaced(offer)).cloned().collect();
        let missing = paths.len() < all.len();
        if !settings.warming {
            return (paths, missing);
        }
        let left: Vec<Option<u64>> = paths.iter().map(|offer| self.left_today(settings, offer, provider)).collect();
        let warm_users: Vec<_> =
            paths.iter().zip(&left).filter(|(_, left)| left.is_none()).map(|(offer, _)| offer.users.clone()).collect();
        for (offer, left) in paths.iter_mut().zip(&left) {
            // Never a cap where the overflow has nowhere to go, unless the operator says so.
            if settings.delivery.warm_up.alone || warm_users.contains(&offer.users) {
                offer.cap = *left;
            }
        }
        (paths, missing || left.iter().any(Option::is_some))
    }

    /// What may go by a way today; `None`: all of its addresses are warm.
    fn left_today(&self, settings: &Settings, offer: &PathOffer, provider: &Arc<str>) -> Option<u64> {
        let today = self.clock.now().day();
        sources::addresses(offer.path)
            .filter_map(|address| {
                let cap = settings.cap_today(address, today)?;
                Some(self.warm_ups.left(address, provider, cap, today))
            })
            .min()
    }
}

/// The pace of a rule.
pub(super) fn pace_of(rule: &Rule) -> Pace {
    Pace {
        rule: rule.name.as_str().into(),
        connections_max: rule.connections_max,
        interval: rule.interval,
        fixed: rule.fixed,
    }
}

/// Host names in one text, sorted; many or long ones end in a hash of all.
fn spelled<'h>(names: impl Iterator<Item = &'h str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    let all = names.join(",");
    if names.len() <= HOSTS_SPELLED_MAX && all.len() <= HOSTS_OCTETS_MAX {
        return all;
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, all.as_bytes());
    let hash = hex(&digest.as_ref()[..16]);
    let mut out = String::new();
    for name in names.iter().take(HOSTS_SPELLED_MAX) {
        if out.len() + name.len() > HOSTS_OCTETS_MAX {
            break;
        }
        out.push_str(name);
        out.push(',');
    }
    out + &hash
}

/// `host:port`, which no domain is.
fn is_host_port(destination: &str) -> bool {
    !destination.ends_with(']') && destination.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// A smarthost's host and port, in words.
pub(super) fn smarthost_of(routed: &Routed) -> Option<&HostPort> {
    match &routed.way {
        Way::Smarthost(host) => Some(host),
        Way::Domain(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_spell_few_hosts_and_hash_many() {
        let names = |n: usize| -> Vec<String> { (0..n).map(|i| format!("mx{i:03}.example.jp")).collect() };
        let key = |list: &[String]| spelled(list.iter().map(String::as_str));
        assert_eq!(key(&["b".into(), "a".into()]), "a,b");
        let (many, mut turned) = (names(300), names(300));
        turned.reverse();
        assert_eq!(key(&many), key(&turned), "the order does not matter");
        assert_ne!(key(&many), key(&names(301)), "the rest counts");
        assert!(key(&many).len() < HOSTS_OCTETS_MAX + 64);
        let long: Vec<String> = (0..9).map(|n| format!("{}{n}", "x".repeat(250))).collect();
        assert!(key(&long).len() < HOSTS_OCTETS_MAX + 64);
    }

    #[test]
    fn a_smarthosts_lane_is_told_from_a_domains() {
        for (text, want) in [
            ("smart.example:25", true),
            ("[::1]:25", true),
            ("example.jp", false),
            ("[IPv6:::1]", false),
            ("[192.0.2.1]", false),
        ] {
            assert_eq!(is_host_port(text), want, "{text}");
        }
    }
}
