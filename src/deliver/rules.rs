//! Decides which `[[delivery.rule]]` applies to an address, a lane, or a site.
//!
//! In: the rules in their order, an address, a lane, the names of MX hosts.  Out: a rule's place in the list; the lane of
//! a recipient.
//! Always: the first rule that matches applies; a lane names a rule only where its destination alone would lead to another
//! one, so that the queue keeps one lane a domain; a name in a lane that no rule has any more is as good as none.
//!
//! ```text
//! recipient ─► lane_of ─► "docomo.ne.jp"  or  "example.jp#vip"        (intake; no DNS)
//! lane ─► of_lane ─► rule by address ┐
//! MX hosts ─► of_hosts ─► rule by host ┴─► the lower of the two       (site, attempt, explain)
//! ```

use regex::{Regex, RegexSet, RegexSetBuilder};

use crate::{
    config::{Delivery, Rule},
    smtp::address::Mailbox,
    store::Lane,
};

/// Bytes of a compiled set of patterns; one that is larger is tried pattern by pattern.
const SET_BYTES_MAX: usize = 32 << 20;
/// What a lane names where a rule matches the domain, and none the recipient's address.
const NO_RULE: &str = "";

/// The lane of a recipient: the smarthost, or its domain in lower case; known without DNS.
///
/// A rule's name is added where the rule of the whole address differs from that of `@domain` alone: where a pattern looks at
/// the local part. A smarthost's lane says nothing of domains, so there the rule of an address always stands in it.
/// Measured: some 40 ns a pattern and look, two looks a recipient.
pub fn lane_of(delivery: &Delivery, address: &Mailbox) -> Lane {
    let by_address = first(delivery, address.as_str());
    if let Some(host) = &delivery.smarthost {
        return Lane::new(&host.to_string(), by_address);
    }
    let domain = address.domain_key();
    // With the `@`, as it is written: patterns know no upper and lower case.
    if by_address == first(delivery, &address.as_str()[address.local().len()..]) {
        return Lane(domain.into());
    }
    Lane::new(&domain, Some(by_address.unwrap_or(NO_RULE)))
}

/// The name of the first rule with a pattern that matches.
fn first<'a>(delivery: &'a Delivery, text: &str) -> Option<&'a str> {
    let matches = |rule: &&Rule| rule.recipients.iter().any(|pattern| pattern.is_match(text));
    delivery.rules.iter().find(matches).map(|rule| rule.name.as_str())
}

/// The rules, made ready: all patterns of a kind are tried at once.
#[derive(Debug)]
pub struct Rules {
    names: Vec<String>,
    addresses: Patterns,
    hosts: Patterns,
    /// One of them sends mail elsewhere.
    reroute: bool,
}

impl Rules {
    /// Made ready once a configuration.
    pub fn new(rules: &[Rule]) -> Self {
        Rules {
            names: rules.iter().map(|rule| rule.name.clone()).collect(),
            addresses: Patterns::new(rules.iter().map(|rule| rule.recipients.as_slice())),
            hosts: Patterns::new(rules.iter().map(|rule| rule.mx_hosts.as_slice())),
            reroute: rules.iter().any(|rule| rule.smarthost.is_some()),
        }
    }

    /// A rule may name a smarthost: where mail goes depends on them.
    pub fn reroute(&self) -> bool {
        self.reroute
    }

    /// The rule of an address.
    pub fn of_address(&self, address: &Mailbox) -> Option<usize> {
        self.addresses.first(address.as_str())
    }

    /// The rule of a lane's recipients, by their addresses.
    pub fn of_lane(&self, lane: &Lane) -> Option<usize> {
        match lane.rule() {
            Some(NO_RULE) => return None,
            Some(name) => {
                if let Some(at) = self.names.iter().position(|n| n == name) {
                    return Some(at);
                }
            }
            None => {}
        }
        if self.addresses.is_empty() {
            return None;
        }
        self.addresses.first(&format!("@{}", lane.destination()))
    }

    /// Some rule before this one looks at MX hosts; `None`: some rule at all.
    pub fn ask_for_hosts(&self, before: Option<usize>) -> bool {
        self.hosts.owners.first().is_some_and(|first| before.is_none_or(|before| *first < before))
    }

    /// The rule that applies: the one by address, or an earlier one that matches one of the MX hosts.
    pub fn with_hosts<'h>(&self, by_address: Option<usize>, hosts: impl Iterator<Item = &'h str>) -> Option<usize> {
        if !self.ask_for_hosts(by_address) {
            return by_address;
        }
        let by_host = hosts.filter_map(|host| self.hosts.first(host)).min();
        match (by_address, by_host) {
            (Some(a), Some(h)) => Some(a.min(h)),
            (a, h) => a.or(h),
        }
    }
}

/// Patterns with an owner each; the owners are places in a list.
#[derive(Debug)]
pub struct Patterns {
    engine: Engine,
    owners: Vec<usize>,
}

#[derive(Debug)]
enum Engine {
    /// One pass over the text for all of them.
    Together(RegexSet),
    OneByOne(Vec<Regex>),
}

impl Patterns {
    /// The patterns of each owner, in the owners' order; upper and lower case are the same, as in the config file.
    pub fn new<'r>(owned: impl Iterator<Item = &'r [Regex]>) -> Self {
        let (mut patterns, mut owners) = (Vec::new(), Vec::new());
        for (owner, list) in owned.enumerate() {
            patterns.extend_from_slice(list);
            owners.extend(list.iter().map(|_| owner));
        }
        let together = RegexSetBuilder::new(patterns.iter().map(Regex::as_str))
            .case_insensitive(true)
            .size_limit(SET_BYTES_MAX)
            .build();
        let engine = together.map_or(Engine::OneByOne(patterns), Engine::Together);
        Patterns { engine, owners }
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// The first owner whose pattern matches.
    pub fn first(&self, text: &str) -> Option<usize> {
        self.all(text).next()
    }

    /// The owners whose patterns match, in their order, each as often as it has such patterns.
    pub fn all(&self, text: &str) -> impl Iterator<Item = usize> {
        let found: Vec<usize> = match &self.engine {
            _ if self.owners.is_empty() => Vec::new(),
            Engine::Together(set) => set.matches(text).iter().collect(),
            Engine::OneByOne(list) => (0..list.len()).filter(|at| list[*at].is_match(text)).collect(),
        };
        found.into_iter().map(|at| self.owners[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HostPort, Mode};

    fn rule(name: &str, recipients: &[&str], mx_hosts: &[&str]) -> Rule {
        let patterns = |list: &[&str]| {
            list.iter()
                .map(|p| regex::RegexBuilder::new(p).case_insensitive(true).build().expect("a pattern"))
                .collect()
        };
        Rule { name: name.into(), recipients: patterns(recipients), mx_hosts: patterns(mx_hosts), ..Rule::default() }
    }

    fn delivery(rules: Vec<Rule>) -> Delivery {
        Delivery { rules, ..Delivery::default() }
    }

    fn address(text: &str) -> Mailbox {
        Mailbox::parse(text).expect("an address")
    }

    #[test]
    fn a_lane_names_a_rule_only_where_the_domain_alone_leads_to_another() {
        let rules = vec![
            rule("vip", &["^boss@example\\.jp$"], &[]),
            rule("docomo", &["@docomo\\.ne\\.jp$"], &[]),
            rule("short", &["^.{0,3}@short\\.jp$"], &[]),
            rule("example", &["@example\\.jp$"], &[]),
            rule("tests", &["^test", "\\.test$"], &[]),
        ];
        let mut delivery = delivery(rules);
        let ready = Rules::new(&delivery.rules);
        for (to, lane, rule) in [
            ("boss@example.jp", "example.jp#vip", Some(0)),
            ("BOSS@Example.JP", "example.jp#vip", Some(0)),
            ("other@example.jp", "example.jp", Some(3)),
            ("a@docomo.ne.jp", "docomo.ne.jp", Some(1)),
            ("a@docomo.ne.jp.example", "docomo.ne.jp.example", None),
            ("abc@short.jp", "short.jp", Some(2)),
            // The pattern matches "@short.jp", and not this address.
            ("longer@short.jp", "short.jp#", None),
            ("test7@elsewhere.example", "elsewhere.example#tests", Some(4)),
            ("x@a.test", "a.test", Some(4)),
            ("nobody@nowhere.example", "nowhere.example", None),
        ] {
            let got = lane_of(&delivery, &address(to));
            assert_eq!(&*got.0, lane, "{to}");
            assert_eq!(ready.of_address(&address(to)), rule, "{to}");
            assert_eq!(ready.of_lane(&got), rule, "{to} by its lane {got}");
        }
        // Towards a smarthost the lane holds no domain, so that it must hold the rule.
        delivery.mode = Mode::Smarthost;
        delivery.smarthost = Some(HostPort { host: "smart.example".into(), port: 25 });
        for (to, lane, rule) in [
            ("boss@example.jp", "smart.example:25#vip", Some(0)),
            ("other@example.jp", "smart.example:25#example", Some(3)),
            ("nobody@nowhere.example", "smart.example:25", None),
        ] {
            let got = lane_of(&delivery, &address(to));
            assert_eq!((&*got.0, ready.of_lane(&got)), (lane, rule), "{to}");
        }
    }

    #[test]
    fn a_rule_that_is_gone_is_ignored_in_a_lane() {
        let ready = Rules::new(&[rule("example", &["@example\\.jp$"], &[])]);
        assert_eq!(ready.of_lane(&Lane::new("example.jp", Some("gone"))), Some(0));
        assert_eq!(ready.of_lane(&Lane::new("other.jp", Some("gone"))), None);
        assert_eq!(Rules::new(&[]).of_lane(&Lane::new("example.jp", Some("gone"))), None);
    }

    #[test]
    fn of_a_rule_by_address_and_one_by_host_the_first_applies() {
        let ready = Rules::new(&[
            rule("a", &["@a\\.jp$"], &[]),
            rule("google", &[], &["\\.google\\.com$"]),
            rule("b", &["@b\\.jp$"], &["\\.b\\.jp$"]),
            rule("all", &[], &["."]),
        ]);
        for (by_address, hosts, want) in [
            (Some(0), &["aspmx.l.google.com"][..], Some(0)),
            (Some(2), &["aspmx.l.google.com"], Some(1)),
            (Some(2), &["mx.c.jp"], Some(2)),
            (None, &["mx.c.jp", "alt1.ASPMX.l.google.com"], Some(1)),
            (None, &["mx.b.jp"], Some(2)),
            (None, &["mx.c.jp"], Some(3)),
            (None, &[], None),
        ] {
            assert_eq!(ready.with_hosts(by_address, hosts.iter().copied()), want, "{by_address:?} {hosts:?}");
        }
        assert!(!ready.ask_for_hosts(Some(1)) && ready.ask_for_hosts(Some(2)) && ready.ask_for_hosts(None));
        assert!(!Rules::new(&[rule("a", &["."], &[])]).ask_for_hosts(None));
    }

    #[test]
    fn too_large_a_set_is_tried_one_by_one_with_the_same_result() {
        let list: Vec<Regex> = ["@a\\.jp$", "^x"].iter().map(|p| Regex::new(p).expect("a pattern")).collect();
        let together = Patterns::new([&list[..1], &list[1..]].into_iter());
        let apart = Patterns { engine: Engine::OneByOne(list), owners: vec![0, 1] };
        for text in ["x@a.jp", "y@a.jp", "x@b.jp", "y"] {
            assert!(together.all(text).eq(apart.all(text)), "{text}");
        }
    }
}
