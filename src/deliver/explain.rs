//! Says in words where mail for a recipient would go, and why: route, rule, site, MX hosts, local addresses.
//!
//! In: a recipient and an API user, as a mail would have them.  Out: [`Fact`]s in the order of the decisions.
//! Always: the decisions are made by the code that makes them for mail; nothing is sent but DNS queries, each at most once;
//! the answer is bounded, whatever DNS says.

use std::net::IpAddr;

use super::{
    attempt::{Deliverer, Settings, Shared},
    hosts::Way,
    job::PathOffer,
    route::{self, HOSTS_MAX},
    rules::lane_of,
    site::{Mx, Routed, Site, smarthost_of},
    sources,
};
use crate::{
    clock::Timestamp,
    config::{Ipv6, Mode, Rule},
    fact::Fact,
    ids::UserKey,
    smtp::{address::Mailbox, client::words},
};

/// MX hosts that are shown.
const HOSTS_SHOWN_MAX: usize = 20;
/// Addresses of one host that are shown.
const ADDRESSES_SHOWN_MAX: usize = 10;
/// Ways that are shown.
const PATHS_SHOWN_MAX: usize = 32;

impl Deliverer {
    /// What would be decided for a mail of `user` (empty: nobody's) to this recipient, now. Waits for DNS as an attempt would.
    pub async fn explain(&self, recipient: &Mailbox, user: &str) -> Vec<Fact> {
        let shared = self.shared();
        let settings = shared.settings();
        let lane = lane_of(&settings.delivery, recipient);
        let site = shared.site(&settings, &lane).await;
        let mut facts = vec![
            Fact::new("route", route_words(&settings, &site.routed)),
            Fact::new("rule", rule_words(shared, &settings, recipient, &site.routed)),
            Fact::new("site", site_words(&site)),
        ];
        facts.extend(shared.mx_facts(&settings, &site.routed).await);
        facts.extend(shared.tls_facts(&settings, &site.routed.way).await);
        facts.extend(shared.source_facts(&settings, &site, user));
        facts
    }
}

fn route_words(settings: &Settings, routed: &Routed) -> String {
    let by_rule = |rule: &Rule| format!("as the rule \"{}\" says", rule.name);
    let rule = routed.rule.map(|at| &settings.delivery.rules[at]);
    if let Some(host) = smarthost_of(routed) {
        let why = match rule.filter(|rule| rule.smarthost.as_ref() == Some(host)) {
            Some(rule) => by_rule(rule),
            None => "as [delivery] smarthost says".to_owned(),
        };
        return format!("to the smarthost {host}, {why}");
    }
    let Way::Domain(domain) = &routed.way else { return String::new() };
    match &routed.mx {
        Mx::NotAsked => format!("to the address {domain} itself"),
        Mx::Hosts { implicit: true, .. } => format!("to {domain} itself: it has no MX"),
        Mx::Hosts { .. } => format!("to the MX hosts of {domain}"),
        Mx::None { why, .. } => format!("nowhere: {domain}: {why}"),
    }
}

fn rule_words(shared: &Shared, settings: &Settings, recipient: &Mailbox, routed: &Routed) -> String {
    let all = &settings.delivery.rules;
    let Some(at) = routed.rule else {
        return match all.len() {
            0 => "none is configured".to_owned(),
            n => format!("none of the {n} applies"),
        };
    };
    let rule = &all[at];
    let by_address = rule.recipients.iter().find(|pattern| pattern.is_match(recipient.as_str()));
    let smarthost = smarthost_of(routed).map(|host| host.host.as_str());
    let hosts = || routed.mx.names().chain(smarthost);
    let by_host = rule.mx_hosts.iter().find_map(|p| hosts().find(|host| p.is_match(host)).map(|host| (p, host)));
    let why = match (by_address, by_host) {
        (Some(pattern), _) => format!("its pattern '{pattern}' matches the address"),
        (None, Some((pattern, host))) => format!("its pattern '{pattern}' matches the MX host {host}"),
        (None, None) => "a pattern of it matches the domain".to_owned(),
    };
    let mut says = vec![format!("\"{}\", number {} of {}: {why}", rule.name, at + 1, all.len())];
    if let Some(n) = rule.connections_max {
        says.push(format!("at most {n} connections, shared by all that match it"));
    }
    if !rule.interval.is_zero() {
        says.push(format!("{} between two messages", words(rule.interval)));
    }
    if rule.fixed {
        says.push("the speed stays when the destination pushes back".to_owned());
    }
    if let Some(known) = shared.uses.of(&rule.name) {
        says.push(match known.last {
            Some(last) => format!("last used {last}"),
            None => format!("not used since {}", known.since),
        });
    }
    says.join("; ")
}

fn site_words(site: &Site) -> String {
    let located = &site.located;
    let until = words(located.valid_for);
    format!("{}, shared by all with the key {}; looked up again after {until}", located.name, located.site)
}

impl Shared {
    async fn mx_facts(&self, settings: &Settings, routed: &Routed) -> Vec<Fact> {
        let (Way::Domain(_), Mx::Hosts { hosts, ttl, .. }) = (&routed.way, &routed.mx) else { return Vec::new() };
        let ipv6 = settings.delivery.ipv6 != Ipv6::Off;
        let mut facts = Vec::new();
        for (n, record) in hosts.iter().take(HOSTS_SHOWN_MAX).enumerate() {
            let head = format!("{} {} (TTL {})", record.preference, record.host, words(*ttl));
            // Addresses of hosts that are never tried are not asked for.
            if n >= HOSTS_MAX {
                facts.push(Fact::new("mx", format!("{head}: not tried, it comes after the first {HOSTS_MAX}")));
                continue;
            }
            let answer = self.resolver.addresses_answer(&record.host, ipv6).await;
            let addresses = match &answer.records {
                Ok(list) if !list.is_empty() => {
                    let shown = list.iter().take(ADDRESSES_SHOWN_MAX).map(|a| address_words(settings, *a));
                    let more = list.len().saturating_sub(ADDRESSES_SHOWN_MAX);
                    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
                    let list: Vec<String> = shown.collect();
                    format!("{}{tail} (TTL {})", list.join(", "), words(answer.ttl))
                }
                Ok(_) => "no address".to_owned(),
                Err(error) => format!("no address: {error}"),
            };
            facts.push(Fact::new("mx", format!("{head}: {addresses}")));
        }
        if let Some(more) = hosts.len().checked_sub(HOSTS_SHOWN_MAX).filter(|more| *more > 0) {
            facts.push(Fact::new("mx", format!("and {more} more hosts, which are never tried")));
        }
        facts
    }

    fn source_facts(&self, settings: &Settings, site: &Site, user: &str) -> Vec<Fact> {
        let paths: Vec<&PathOffer> = sources::for_user(&site.located.paths, UserKey::of(user)).collect();
        let total: u64 = paths.iter().map(|offer| u64::from(offer.weight)).sum();
        let shown = paths.iter().take(PATHS_SHOWN_MAX);
        shown.map(|offer| Fact::new("source", self.source_words(settings, site, offer, total))).collect()
    }

    fn source_words(&self, settings: &Settings, site: &Site, offer: &PathOffer, total: u64) -> String {
        let list: Vec<IpAddr> = sources::addresses(offer.path).collect();
        if list.is_empty() {
            return format!("the system's choice; EHLO {}", settings.sources.hello(None));
        }
        let named = |address: &IpAddr| format!("{address} (EHLO {})", settings.sources.hello(Some(*address)));
        let mut says = vec![list.iter().map(named).collect::<Vec<_>>().join(" and ")];
        if u64::from(offer.weight) < total {
            says.push(format!("weight {} of {total}", offer.weight));
        }
        if !offer.users.is_empty() {
            let users = list.iter().filter_map(|a| settings.sources.entry(*a)).flat_map(|entry| &entry.users);
            let mut users: Vec<&str> = users.map(String::as_str).collect();
            users.sort_unstable();
            users.dedup();
            says.push(format!("for {} alone", users.join(", ")));
        }
        let now = self.clock.now();
        says.extend(list.iter().filter_map(|address| self.warm_up_words(settings, site, *address, now)));
        match offer.cap {
            Some(left) => says.push(format!("{left} recipients may still go by it today")),
            None if says.iter().any(|part| part.contains("warming up")) => {
                says.push("no warm address could take more, so that the schedule does not hold it back".to_owned());
            }
            None => {}
        }
        says.extend(
            list.iter()
                .filter(|a| !self.presence.has(**a, self.now()))
                .map(|address| format!("this machine does not have {address}")),
        );
        says.join("; ")
    }

    fn warm_up_words(&self, settings: &Settings, site: &Site, address: IpAddr, now: Timestamp) -> Option<String> {
        let cap = settings.cap_today(address, now.day())?;
        let from = settings.sources.entry(address)?.warm_up_from?;
        let Some(day) = (now.day() + 1).checked_sub(from).filter(|day| *day > 0) else {
            return Some(format!("{address} begins warming up in {} days", from - now.day()));
        };
        let sent = cap - self.warm_ups.left(address, &site.provider, cap, now.day());
        Some(format!("{address} is warming up, day {day}: {sent} of {cap} recipients of {} today", site.provider))
    }
}

fn address_words(settings: &Settings, address: IpAddr) -> String {
    let guarded = settings.delivery.block_private_destinations && settings.delivery.mode == Mode::Internet;
    if guarded && !route::is_public(address) {
        format!("{address} (private or reserved: refused)")
    } else {
        address.to_string()
    }
}
