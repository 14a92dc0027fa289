//! Looks at servers of our own: zones on one address each, a resolver beside them.

use std::sync::Arc;

use super::*;
use crate::{
    clock::{Clock, Timestamp},
    config,
    dkim::{key::SigningKey, public::Algorithm},
    metrics::Metrics,
    net::dns::testserver::{Says as Dns, TestServer},
};

const NAME: &str = "s1._domainkey.example.test";

/// The zone's server, which is also our resolver, and one elsewhere.
struct Rig {
    own: TestServer,
    elsewhere: TestServer,
    resolver: Resolver,
    record: String,
}

impl Rig {
    fn new() -> Self {
        let (own, elsewhere) = (TestServer::start(), TestServer::start());
        let config = config::Dns { servers: vec![own.address()], trusted: Vec::new() };
        let clock = Clock::manual(Timestamp::from_millis(1));
        let resolver = Resolver::new(clock, Arc::new(Metrics::default()), &config);
        own.set("example.test", Dns::Ns(vec!["ns1.example.test"]));
        own.set("ns1.example.test", Dns::Address(vec![own.address().ip()]));
        let record = SigningKey::generate(Algorithm::RsaSha256, 2048).expect("a key").0.record();
        Rig { own, elsewhere, resolver, record }
    }

    fn look(&self) -> Seen {
        let resolvers = [self.elsewhere.address()];
        smol::block_on(look(&self.resolver, NAME, &self.record, &resolvers, self.own.address().port()))
    }

    fn says(&self) -> Vec<(Role, &'static str)> {
        self.look().witnesses.iter().map(|w| (w.role, w.says.word())).collect()
    }
}

#[test]
fn the_zones_servers_are_asked_and_then_the_resolvers() {
    let rig = Rig::new();
    assert_eq!(rig.says(), [(Role::Own, "absent")]);
    assert_eq!(rig.elsewhere.queries(), (0, 0), "nobody is made to remember the absence");
    let seen = rig.look();
    assert_eq!((seen.negative_ttl, seen.trouble.clone()), (Some(Duration::from_secs(60)), None));
    rig.own.set(NAME, Dns::Txt(vec![rig.record.clone()]));
    assert_eq!(rig.says(), [(Role::Own, "right"), (Role::Resolver, "absent")]);
    rig.elsewhere.set(NAME, Dns::Txt(vec![rig.record.clone()]));
    let seen = rig.look();
    assert_eq!((seen.judge(1), seen.ttl()), (Judgement::Everywhere, Duration::from_secs(300)));
    rig.elsewhere.set(NAME, Dns::Servfail);
    assert_eq!(rig.look().judge(1), Judgement::Not);
}

#[test]
fn an_alias_leads_to_the_zone_that_counts() {
    let rig = Rig::new();
    // As with a mail service that is to change keys itself.
    rig.own.set(NAME, Dns::Alias("s1.keys.other.test"));
    rig.own.set("other.test", Dns::Ns(vec!["ns1.example.test"]));
    assert_eq!(rig.says(), [(Role::Own, "absent")]);
    rig.own.set("s1.keys.other.test", Dns::Txt(vec![rig.record.clone()]));
    rig.elsewhere.set(NAME, Dns::Txt(vec![rig.record.clone()]));
    assert_eq!(rig.look().judge(1), Judgement::Everywhere);
    // From zone to zone for ever.
    rig.own.set("s1.keys.other.test", Dns::Alias("a.test"));
    for (name, next) in [("a.test", "b.test"), ("b.test", "c.test"), ("c.test", "d.test"), ("d.test", "e.test")] {
        rig.own.set_type(name, domain::base::Rtype::NS, Dns::Ns(vec!["ns1.example.test"]));
        rig.own.set_type(name, domain::base::Rtype::TXT, Dns::Alias(next));
    }
    let seen = rig.look();
    assert_eq!(
        seen.complaints(),
        [format!("ns1.example.test ({}) leads on and on, from zone to zone", rig.own.address().ip())]
    );
    assert_eq!(seen.judge(1), Judgement::Not);
}

#[test]
fn a_delegation_below_is_followed_and_servers_without_address_are_told() {
    let rig = Rig::new();
    rig.own.set("_domainkey.example.test", Dns::Ns(vec!["ns1.example.test", "ns2.gone.test"]));
    rig.own.set(NAME, Dns::Txt(vec![rig.record.clone()]));
    rig.elsewhere.set(NAME, Dns::Txt(vec![rig.record.clone()]));
    let seen = rig.look();
    assert_eq!(seen.judge(1), Judgement::ButSilent);
    assert_eq!(seen.complaints(), ["ns2.gone.test does not answer: its address is not known: NXDOMAIN"]);
    let lost = Rig::new();
    lost.own.set(NAME, Dns::Referral(NAME));
    // Our resolver does not know the zone that the server sends on to: the parent's servers are asked again, and again send on.
    let seen = lost.look();
    assert_ne!(seen.judge(1), Judgement::Everywhere);
    assert!(lost.own.queries().0 < 60, "{:?}", lost.own.queries());
}

#[test]
fn a_dead_server_and_a_dead_resolver_are_waited_for_within_bounds() {
    let rig = Rig::new();
    rig.own.set("example.test", Dns::Ns(vec!["ns1.example.test", "ns2.example.test"]));
    rig.own.set("ns2.example.test", Dns::Address(vec!["127.0.0.2".parse().expect("an address")]));
    rig.own.set(NAME, Dns::Txt(vec![rig.record.clone()]));
    rig.elsewhere.set(NAME, Dns::Silence);
    let seen = rig.look();
    assert_eq!(seen.judge(1), Judgement::ButSilent);
    let told = seen.complaints().join("\n");
    assert!(told.contains("ns2.example.test (127.0.0.2) does not answer"), "{told}");
    assert!(told.contains(&format!("resolver {} does not answer", rig.elsewhere.address())), "{told}");
    rig.own.set("example.test", Dns::Servfail);
    rig.resolver.reconfigure(&config::Dns { servers: vec![rig.own.address()], trusted: Vec::new() });
    let seen = rig.look();
    assert!(seen.trouble.as_ref().is_some_and(|t| t.contains("cannot be found: SERVFAIL")), "{seen:?}");
    assert_eq!(seen.judge(1), Judgement::Unknown);
}
