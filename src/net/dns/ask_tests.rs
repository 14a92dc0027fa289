//! Zones and their servers, one server at a time.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use super::{
    DnsError, Resolver,
    ask::{NameServer, Said, To, Told, Unheard},
    exchange::Patience,
    testserver::{Says, TestServer},
};
use crate::{
    clock::{Clock, Timestamp},
    config,
    metrics::Metrics,
};

const NAME: &str = "s1._domainkey.example.test";

fn start() -> (TestServer, Resolver) {
    let server = TestServer::start();
    let config = config_of(&server);
    let patience = Patience { rounds: [100, 100, 100].map(Duration::from_millis), tcp: Duration::from_millis(500) };
    let clock = Clock::manual(Timestamp::from_millis(1));
    (server, Resolver::with_patience(clock, Arc::new(Metrics::default()), &config, patience))
}

fn config_of(server: &TestServer) -> config::Dns {
    config::Dns { servers: vec![server.address()], trusted: Vec::new() }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn the_zone_is_the_nearest_name_with_servers() {
    let (server, resolver) = start();
    server.set("example.test", Says::Ns(vec!["ns2.other.test", "NS1.example.test", "ns1.example.test"]));
    server.set("ns1.example.test", Says::Address(vec![ip("192.0.2.1"), ip("2001:db8::1")]));
    let zone = smol::block_on(resolver.zone_servers(NAME)).expect("it has servers");
    assert_eq!(zone.name, "example.test");
    let ns1 = NameServer { name: "ns1.example.test".into(), addresses: Ok(vec![ip("192.0.2.1"), ip("2001:db8::1")]) };
    let ns2 = NameServer { name: "ns2.other.test".into(), addresses: Err(DnsError::NxDomain) };
    assert_eq!(zone.servers, [ns1, ns2]);
    // A selector may be a zone of its own.
    server.set(NAME, Says::Ns(vec!["ns1.example.test"]));
    // What our resolver said before is kept for its TTL, by a new one not at all.
    resolver.reconfigure(&config_of(&server));
    assert_eq!(smol::block_on(resolver.zone_servers(NAME)).expect("it has servers").name, NAME);
}

#[test]
fn no_servers_no_zone_and_a_failure_is_none_either() {
    let (server, resolver) = start();
    assert_eq!(smol::block_on(resolver.zone_servers("a.b.nowhere.test")), Err(DnsError::NxDomain));
    let deep = "a.".repeat(100) + "example.test";
    server.set("example.test", Says::Ns(vec!["ns1.example.test"]));
    assert_eq!(
        smol::block_on(resolver.zone_servers(&deep)),
        Err(DnsError::NxDomain),
        "so many labels are not taken off"
    );
    assert!(server.queries().0 < 40, "{:?}", server.queries());
    server.set("broken.test", Says::Servfail);
    let failed = smol::block_on(resolver.zone_servers("x.broken.test"));
    assert_eq!(failed, Err(DnsError::Servfail("SERVFAIL".into())));
    // An alias is not where a zone begins, whatever its target is.
    server.set("alias.example.test", Says::Alias("other.test"));
    server.set("other.test", Says::Ns(vec!["ns.other.test"]));
    let zone = smol::block_on(resolver.zone_servers("alias.example.test")).expect("it has servers");
    assert_eq!(zone.name, "example.test");
}

#[test]
fn a_server_tells_what_it_has() {
    let (server, resolver) = start();
    let long = "v=DKIM1; k=rsa; p=".to_owned() + &"A".repeat(2000);
    server.set(NAME, Says::Txt(vec![long.clone()]));
    server.set("alias.example.test", Says::Alias("s1.elsewhere.test"));
    server.set("sub.example.test", Says::Referral("sub.example.test"));
    server.set("empty.example.test", Says::Nothing(77));
    server.set("broken.example.test", Says::Servfail);
    server.set("silent.example.test", Says::Silence);
    let ask = |name: &str, to| smol::block_on(resolver.txt_by(server.address(), name, to));
    let said = |told, secs| Ok(Said { told, ttl: Duration::from_secs(secs) });
    // By TCP: it does not fit a datagram.
    assert_eq!(ask(NAME, To::Own), said(Told::Records(vec![long]), 300));
    assert!(server.queries().1 > 0);
    assert_eq!(ask("alias.example.test", To::Own), said(Told::Alias("s1.elsewhere.test".into()), 300));
    let referral = ask("sub.example.test", To::Own).expect("it answers");
    assert_eq!(referral.told, Told::Referral("sub.example.test".into()));
    assert_eq!(ask("empty.example.test", To::Own), said(Told::Nothing, 77));
    assert_eq!(ask("none.example.test", To::Own), said(Told::Nothing, 60));
    assert_eq!(ask("broken.example.test", To::Own), Err(Unheard::Refused("SERVFAIL".into())));
    assert!(matches!(ask("silent.example.test", To::Own), Err(Unheard::Silent(_))));
    assert!(matches!(ask("no name", To::Own), Err(Unheard::Refused(_))));
    let negative = smol::block_on(resolver.negative_ttl_by(server.address(), "empty.example.test"));
    assert_eq!(negative, Ok(Duration::from_secs(77)));
}

#[test]
fn a_lame_server_is_not_taken_for_an_absence() {
    let (server, resolver) = start();
    server.be_lame();
    server.set("example.test", Says::Nothing(60));
    let ask = |name: &str, to| smol::block_on(resolver.txt_by(server.address(), name, to));
    // A referral to the root says the same in other words.
    server.set("up.example.test", Says::Referral("."));
    for name in ["example.test", "none.example.test", "up.example.test"] {
        assert!(matches!(ask(name, To::Own), Err(Unheard::Refused(why)) if why.contains("lame")), "{name}");
    }
    for name in ["example.test", "none.example.test"] {
        assert_eq!(ask(name, To::Resolver).expect("a resolver need not be responsible").told, Told::Nothing);
    }
}

#[test]
fn no_way_and_nobody_there_are_told_apart() {
    let (_server, resolver) = start();
    let ask = |server: &str| {
        let server: SocketAddr = server.parse().expect("an address");
        smol::block_on(resolver.txt_by(server, NAME, To::Own))
    };
    assert!(matches!(ask("127.0.0.1:9"), Err(Unheard::Silent(_))));
    // A link-local address without its interface leads nowhere; on a machine without IPv6 there is no such family.
    let nowhere = ask("[fe80::1]:53");
    assert!(matches!(nowhere, Err(Unheard::NoWay(_) | Unheard::Silent(_))), "{nowhere:?}");
}
