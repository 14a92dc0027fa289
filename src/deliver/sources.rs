//! The local addresses to send from: which ways (paths) there are, for whom, and with which name each says hello.
//!
//! In: `[[delivery.source]]`, `source_addresses`, those of the rules; the path that a job names.  Out: [`PathOffer`]s, and
//! the [`Sources`] of an attempt.
//!
//! An IPv4 and an IPv6 address make one way: those of the same `users` are paired in their order; where one family has
//! fewer, they are used again from the first. A family without any configured address leaves by the one that the system
//! chooses. A pair has the weight of the address of the longer list (of its IPv4 address where both are equally long).
//!
//! Always: there is at least one way for everybody; a job whose path is no longer configured goes by another one; an
//! address that this machine does not have is avoided as long as there are others.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::job::{Path, PathOffer};
use crate::{
    config::{Delivery, Source},
    ids::UserKey,
};

/// How long it is believed that an address is, or is not, on this machine.
const PRESENCE_FOR: Duration = Duration::from_secs(60);

/// The local address to come from, one for each family; `None`: the system chooses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Sources(Path);

impl Sources {
    pub(super) fn v6(self) -> Option<IpAddr> {
        self.0.v6
    }

    pub(super) fn towards(self, to: SocketAddr) -> Option<IpAddr> {
        if to.is_ipv4() { self.0.v4 } else { self.0.v6 }
    }
}

impl From<Path> for Sources {
    fn from(path: Path) -> Self {
        Sources(path)
    }
}

/// Every way that the configuration knows.
#[derive(Debug)]
pub(super) struct Table {
    general: Vec<PathOffer>,
    /// Of the rules that name addresses, by their places.
    rules: HashMap<usize, Vec<PathOffer>>,
    known: HashSet<Path>,
    entries: HashMap<IpAddr, Source>,
    /// The EHLO name of addresses without one of their own.
    hello: String,
}

impl Table {
    /// `hello`: the name of addresses that have none of their own.
    pub(super) fn new(delivery: &Delivery, hello: &str) -> Self {
        let mut all = delivery.sources.clone();
        for address in &delivery.source_addresses {
            if all.iter().all(|source| source.address != *address) {
                all.push(Source { address: *address, ..Source::default() });
            }
        }
        let mut entries: HashMap<IpAddr, Source> = all.iter().map(|s| (s.address, s.clone())).collect();
        let mut rules = HashMap::new();
        for (at, rule) in delivery.rules.iter().enumerate().filter(|(_, rule)| !rule.source_addresses.is_empty()) {
            let named = |address: &IpAddr| {
                entries.entry(*address).or_insert_with(|| Source { address: *address, ..Source::default() }).clone()
            };
            let list: Vec<Source> = rule.source_addresses.iter().map(named).collect();
            rules.insert(at, offers(&list));
        }
        let general = offers(&all);
        let known = general.iter().chain(rules.values().flatten()).map(|offer| offer.path).collect();
        Table { general, rules, known, entries, hello: hello.to_owned() }
    }

    /// The ways of a rule's recipients.
    pub(super) fn offers(&self, rule: Option<usize>) -> &[PathOffer] {
        rule.and_then(|rule| self.rules.get(&rule)).unwrap_or(&self.general)
    }

    /// The path is one of ours.
    pub(super) fn knows(&self, path: Path) -> bool {
        self.known.contains(&path)
    }

    /// The EHLO name of an address.
    pub(super) fn hello(&self, source: Option<IpAddr>) -> &str {
        let own = source.and_then(|source| self.entries.get(&source)).map(|entry| entry.hostname.as_str());
        own.filter(|name| !name.is_empty()).unwrap_or(&self.hello)
    }

    /// Every name that we say hello with.
    pub(super) fn names(&self) -> Vec<&str> {
        let own = self.entries.values().map(|entry| entry.hostname.as_str()).filter(|name| !name.is_empty());
        std::iter::once(self.hello.as_str()).chain(own).collect()
    }

    /// What the config file says of an address.
    pub(super) fn entry(&self, address: IpAddr) -> Option<&Source> {
        self.entries.get(&address)
    }

    /// Some address is configured.
    pub(super) fn any(&self) -> bool {
        !self.entries.is_empty()
    }

    /// All addresses.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Source> {
        self.entries.values()
    }
}

/// The addresses of a path.
pub(super) fn addresses(path: Path) -> impl Iterator<Item = IpAddr> {
    [path.v4, path.v6].into_iter().flatten()
}

/// The offers that a user's mail goes by: those that name the user, else those for everybody.
pub(super) fn for_user(offers: &[PathOffer], user: UserKey) -> impl Iterator<Item = &PathOffer> {
    let own = offers.iter().any(|offer| offer.users.contains(&user));
    offers.iter().filter(move |offer| if own { offer.users.contains(&user) } else { offer.users.is_empty() })
}

/// The ways by these addresses.
fn offers(list: &[Source]) -> Vec<PathOffer> {
    let mut audiences: Vec<(Vec<UserKey>, Vec<&Source>)> = Vec::new();
    for source in list {
        let mut users: Vec<UserKey> = source.users.iter().map(|user| UserKey::of(user)).collect();
        users.sort_unstable();
        users.dedup();
        match audiences.iter_mut().find(|(same, _)| *same == users) {
            Some((_, sources)) => sources.push(source),
            None => audiences.push((users, vec![source])),
        }
    }
    let mut out: Vec<PathOffer> = audiences.into_iter().flat_map(|(users, sources)| pairs(&users, &sources)).collect();
    if out.iter().all(|offer| !offer.users.is_empty()) {
        out.push(PathOffer { path: Path::default(), weight: 1, users: Vec::new(), cap: None });
    }
    out
}

fn pairs(users: &[UserKey], sources: &[&Source]) -> Vec<PathOffer> {
    let (v4, v6): (Vec<&Source>, Vec<&Source>) = sources.iter().partition(|s| s.address.is_ipv4());
    let cycle = |list: &[&Source], at: usize| (!list.is_empty()).then(|| list[at % list.len()].address);
    let longer = if v4.len() >= v6.len() { &v4 } else { &v6 };
    let offer = |(at, source): (usize, &&Source)| PathOffer {
        path: Path { v4: cycle(&v4, at), v6: cycle(&v6, at) },
        weight: source.weight.max(1),
        users: users.to_vec(),
        cap: None,
    };
    longer.iter().enumerate().map(offer).collect()
}

/// Which of our addresses this machine has.
#[derive(Default)]
pub(super) struct Presence(Mutex<HashMap<IpAddr, (Instant, bool)>>);

impl Presence {
    /// The machine has the address; looked up at most once in a while.
    pub(super) fn has(&self, address: IpAddr, now: Instant) -> bool {
        if let Some((since, has)) = self.lock().get(&address)
            && now.saturating_duration_since(*since) < PRESENCE_FOR
        {
            return *has;
        }
        self.look(address, now)
    }

    /// Looks it up now.
    pub(super) fn look(&self, address: IpAddr, now: Instant) -> bool {
        // A port of the system's choice: nothing is sent, and it is free again at once.
        let has = UdpSocket::bind(SocketAddr::new(address, 0)).is_ok();
        let before = self.lock().insert(address, (now, has));
        if !has && before.is_none_or(|(_, had)| had) {
            log::warn!(
                "source={address} is not an address of this machine: mail leaves by the others, if there are any"
            );
        }
        has
    }

    /// The machine has every address of the path.
    pub(super) fn has_all(&self, path: Path, now: Instant) -> bool {
        addresses(path).all(|address| self.has(address, now))
    }

    /// Only configured addresses are ever asked for; those of an earlier configuration go.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, (Instant, bool)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Rule;

    fn source(address: &str, weight: u32, users: &[&str]) -> Source {
        let users = users.iter().map(|u| (*u).to_owned()).collect();
        Source { address: address.parse().expect("an address"), weight, users, ..Source::default() }
    }

    /// The offers as text: addresses, weight, number of users.
    fn shown(offers: &[PathOffer]) -> Vec<String> {
        let word = |a: Option<IpAddr>| a.map_or_else(|| "-".to_owned(), |a| a.to_string());
        offers
            .iter()
            .map(|o| format!("{} {} {} {}", word(o.path.v4), word(o.path.v6), o.weight, o.users.len()))
            .collect()
    }

    #[test]
    fn addresses_make_ways_in_pairs() {
        for (sources, want) in [
            (vec![], vec!["- - 1 0"]),
            (vec![source("192.0.2.1", 7, &[])], vec!["192.0.2.1 - 7 0"]),
            (vec![source("2001:db8::1", 0, &[])], vec!["- 2001:db8::1 1 0"]),
            (
                vec![source("192.0.2.1", 3, &[]), source("2001:db8::1", 9, &[]), source("192.0.2.2", 4, &[])],
                vec!["192.0.2.1 2001:db8::1 3 0", "192.0.2.2 2001:db8::1 4 0"],
            ),
            (
                vec![source("2001:db8::1", 5, &[]), source("2001:db8::2", 6, &[]), source("192.0.2.1", 1, &[])],
                vec!["192.0.2.1 2001:db8::1 5 0", "192.0.2.1 2001:db8::2 6 0"],
            ),
            (
                vec![source("192.0.2.1", 1, &["a", "b"]), source("2001:db8::1", 1, &["b", "a"])],
                // Nobody else may leave by it: the system chooses for them.
                vec!["192.0.2.1 2001:db8::1 1 2", "- - 1 0"],
            ),
            (
                vec![source("192.0.2.1", 1, &[]), source("192.0.2.2", 1, &["a"])],
                vec!["192.0.2.1 - 1 0", "192.0.2.2 - 1 1"],
            ),
        ] {
            let delivery = Delivery { sources, ..Delivery::default() };
            assert_eq!(shown(Table::new(&delivery, "h").offers(None)), want);
        }
    }

    #[test]
    fn the_short_form_and_the_rules_add_ways_and_names_are_kept_by_address() {
        let mut named = source("192.0.2.1", 50, &[]);
        named.hostname = "one.example".into();
        let rule =
            Rule { source_addresses: vec![named.address, "192.0.2.9".parse().expect("an address")], ..Rule::default() };
        let delivery = Delivery {
            sources: vec![named.clone()],
            source_addresses: vec![named.address, "192.0.2.2".parse().expect("an address")],
            rules: vec![Rule::default(), rule],
            ..Delivery::default()
        };
        let table = Table::new(&delivery, "us.example");
        assert_eq!(shown(table.offers(None)), ["192.0.2.1 - 50 0", "192.0.2.2 - 100 0"]);
        assert_eq!(shown(table.offers(Some(0))), shown(table.offers(None)));
        assert_eq!(shown(table.offers(Some(1))), ["192.0.2.1 - 50 0", "192.0.2.9 - 100 0"]);
        for (address, name) in
            [(Some("192.0.2.1"), "one.example"), (Some("192.0.2.9"), "us.example"), (None, "us.example")]
        {
            assert_eq!(table.hello(address.map(|a| a.parse().expect("an address"))), name);
        }
        assert_eq!(table.names(), ["us.example", "one.example"]);
        assert!(table.offers(Some(1)).iter().all(|offer| table.knows(offer.path)));
        assert!(!table.knows(Path::default()));
        assert!(Table::new(&Delivery::default(), "h").knows(Path::default()));
    }

    #[test]
    fn a_user_with_ways_of_its_own_leaves_by_those_alone() {
        let sources = vec![source("192.0.2.1", 1, &[]), source("192.0.2.2", 1, &["a"])];
        let table = Table::new(&Delivery { sources, ..Delivery::default() }, "h");
        for (user, want) in [("a", "192.0.2.2 - 1 1"), ("b", "192.0.2.1 - 1 0"), ("", "192.0.2.1 - 1 0")] {
            let own: Vec<PathOffer> = for_user(table.offers(None), UserKey::of(user)).cloned().collect();
            assert_eq!(shown(&own), [want], "{user}");
        }
    }

    #[test]
    fn an_address_that_the_machine_lacks_is_known_for_a_while() {
        let clock = crate::clock::Clock::manual(crate::clock::Timestamp::from_millis(1));
        let presence = Presence::default();
        let now = clock.instant();
        assert!(presence.has(IpAddr::from([127, 0, 0, 9]), now));
        assert!(!presence.has(IpAddr::from([192, 0, 2, 1]), now));
        assert!(!presence.has_all(Path { v4: Some(IpAddr::from([192, 0, 2, 1])), v6: None }, now + PRESENCE_FOR));
        assert!(presence.has_all(Path::default(), now));
    }
}
