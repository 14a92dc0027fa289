//! The resolver against a server of its own.

use std::{net::IpAddr, sync::Arc, time::Duration};

use domain::base::Rtype;
use smol::future::zip;

use super::{
    exchange::Patience,
    testserver::{Says, TestServer},
    *,
};
use crate::clock::Timestamp;

/// For servers that are silent.
fn quick() -> Patience {
    Patience { rounds: [100, 200, 2000].map(Duration::from_millis), tcp: Duration::from_secs(2) }
}

fn resolver(servers: &[SocketAddr], clock: &Clock, patience: Patience) -> Resolver {
    let config = config::Dns { servers: servers.to_vec(), trusted: Vec::new() };
    Resolver::with_patience(clock.clone(), Arc::new(Metrics::default()), &config, patience)
}

fn start() -> (TestServer, Resolver, Clock) {
    let server = TestServer::start();
    let clock = Clock::manual(Timestamp::from_millis(1));
    let resolver = resolver(&[server.address()], &clock, Patience::default());
    (server, resolver, clock)
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn each_type_is_found_and_absences_are_told_apart() {
    let (server, _, clock) = start();
    let resolver = resolver(&[server.address()], &clock, quick());
    server.set("x.test", Says::Mx(vec![(10, "mx.x.test"), (0, ".")]));
    server.set("mx.x.test", Says::Address(vec![ip("192.0.2.1"), ip("2001:db8::1")]));
    server.set("1.2.0.192.in-addr.arpa", Says::Ptr("mx.x.test"));
    server.set("broken.test", Says::Servfail);
    server.set("dead.test", Says::Silence);
    smol::block_on(async {
        let mx = |preference, host: &str| MxRecord { preference, host: host.into() };
        assert_eq!(resolver.mx("X.test.").await, Ok(vec![mx(10, "mx.x.test"), mx(0, "")]));
        assert_eq!(resolver.a("mx.x.test").await, Ok(vec!["192.0.2.1".parse().expect("v4")]));
        assert_eq!(resolver.aaaa("mx.x.test").await, Ok(vec!["2001:db8::1".parse().expect("v6")]));
        assert_eq!(resolver.ptr(ip("192.0.2.1")).await, Ok(vec!["mx.x.test".into()]));
        assert_eq!(resolver.is_forward_confirmed(ip("192.0.2.1")).await, Ok(true));
        assert_eq!(resolver.is_forward_confirmed(ip("192.0.2.9")).await, Ok(false));
        assert_eq!(resolver.a("x.test").await, Err(DnsError::NoData));
        assert_eq!(resolver.mx("none.test").await, Err(DnsError::NxDomain));
        assert_eq!(resolver.mx("broken.test").await, Err(DnsError::Servfail("SERVFAIL".into())));
        assert!(matches!(resolver.mx("dead.test").await, Err(DnsError::Timeout(_))));
        assert_eq!(resolver.mx("not a name").await, Err(DnsError::BadName));
    });
}

#[test]
fn answers_are_kept_for_their_ttl_and_absences_for_that_of_the_soa() {
    let (server, resolver, clock) = start();
    server.set("x.test", Says::Address(vec![ip("192.0.2.1")]));
    server.set("none.test", Says::NoSuchName(30));
    smol::block_on(async {
        for (after, want) in [(0, 2), (29, 2), (2, 3), (268, 4), (2, 5)] {
            clock.advance(Duration::from_secs(after));
            assert!(resolver.a("x.test").await.is_ok());
            assert_eq!(resolver.a("none.test").await, Err(DnsError::NxDomain));
            assert_eq!(server.queries().0, want, "{after} seconds later");
        }
        server.set("x.test", Says::Servfail);
        clock.advance(Duration::from_secs(400));
        let before = server.queries().0;
        for _ in 0..3 {
            assert!(resolver.a("x.test").await.is_err());
        }
        assert_eq!(server.queries().0, before + 1, "a failure is remembered for a moment");
    });
}

#[test]
fn the_same_question_is_asked_once_however_many_wait_for_it() {
    let (server, resolver, _) = start();
    server.set("x.test", Says::Address(vec![ip("192.0.2.1")]));
    smol::block_on(async {
        let all = (0..50).map(|_| {
            let resolver = resolver.clone();
            smol::spawn(async move { resolver.a("x.test").await })
        });
        for task in all.collect::<Vec<_>>() {
            assert!(task.await.is_ok());
        }
    });
    assert_eq!(server.queries().0, 1);
}

#[test]
fn an_answer_too_large_for_udp_comes_by_tcp() {
    let (server, resolver, _) = start();
    server.set("big.test", Says::Address((0..200).map(|n| IpAddr::from([10, 0, 0, n])).collect()));
    assert_eq!(smol::block_on(resolver.a("big.test")).map(|a| a.len()), Ok(200));
    assert_eq!(server.queries(), (1, 1));
}

#[test]
fn aliases_are_followed_and_circles_end() {
    let (server, resolver, _) = start();
    server.set("a.test", Says::Alias("b.test")).set("b.test", Says::Alias("c.test"));
    server.set("c.test", Says::Address(vec![ip("192.0.2.1")]));
    server.set("x.test", Says::Alias("y.test")).set("y.test", Says::Alias("x.test"));
    server.set("gone.test", Says::Alias("none.test"));
    smol::block_on(async {
        assert_eq!(resolver.a("a.test").await, Ok(vec!["192.0.2.1".parse().expect("v4")]));
        assert!(matches!(resolver.a("x.test").await, Err(DnsError::Servfail(_))));
        assert_eq!(resolver.mx("gone.test").await, Err(DnsError::NxDomain));
    });
}

#[test]
fn forged_answers_are_passed_over() {
    let (server, resolver, _) = start();
    server.set("x.test", Says::Address(vec![ip("192.0.2.1")]));
    server.forge();
    assert_eq!(smol::block_on(resolver.a("x.test")), Ok(vec!["192.0.2.1".parse().expect("v4")]));
}

#[test]
fn a_server_without_edns_is_asked_without() {
    let (server, resolver, _) = start();
    server.set("x.test", Says::Address(vec![ip("192.0.2.1")]));
    server.refuse_edns();
    assert!(smol::block_on(resolver.a("x.test")).is_ok());
}

#[test]
fn when_one_server_is_dead_or_confused_the_next_is_asked() {
    let (good, silent, confused) = (TestServer::start(), TestServer::start(), TestServer::start());
    good.set("x.test", Says::Address(vec![ip("192.0.2.1")]));
    silent.set("x.test", Says::Silence);
    confused.set("x.test", Says::Servfail);
    let clock = Clock::manual(Timestamp::from_millis(1));
    for first in [&silent, &confused] {
        let resolver = resolver(&[first.address(), good.address()], &clock, quick());
        assert!(smol::block_on(resolver.a("x.test")).is_ok());
    }
}

#[test]
fn a_dead_zone_leaves_room_for_the_others() {
    let (server, resolver, _) = start();
    let dead: Vec<String> = (0..300).map(|n| format!("h{n}.dead.example")).collect();
    dead.iter().for_each(|d| {
        server.set_type(d, Rtype::A, Says::Silence);
    });
    server.set("x.test", Says::Address(vec![ip("192.0.2.1")]));
    smol::block_on(async {
        let waiting: Vec<_> = dead
            .into_iter()
            .map(|d| {
                let resolver = resolver.clone();
                smol::spawn(async move { resolver.a(&d).await })
            })
            .collect();
        let (answer, ()) = zip(resolver.a("x.test"), async {}).await;
        assert!(answer.is_ok());
        assert!(waiting.iter().any(|t| !t.is_finished()), "the dead zone still waits");
    });
}

#[test]
fn the_cache_is_bounded() {
    let mut cache = cache::Cache::default();
    let clock = Clock::manual(Timestamp::from_millis(1));
    for n in 0..cache::ENTRIES_MAX as u64 + 5000 {
        let name = format!("{n}.test").into();
        cache.put((name, Type::A), Err(DnsError::NxDomain), clock.instant(), Duration::from_secs(100 + n % 7));
    }
    assert!(cache.len() <= cache::ENTRIES_MAX);
}

#[test]
fn zones_and_resolv_conf_are_read() {
    for (name, zone) in [
        ("example.org", "example.org"),
        ("a.b.example.org", "example.org"),
        ("mx.example.co.jp", "example.co.jp"),
        ("org", "org"),
        ("1.2.0.192.in-addr.arpa", "0.192.in-addr.arpa"),
    ] {
        assert_eq!(zone_of(name), zone);
    }
    let text =
        "# comment\nsearch x\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver ::1 # here\noptions rotate\n";
    assert_eq!(nameservers(text), ["192.0.2.53:53".parse().expect("v4"), "[::1]:53".parse().expect("v6")]);
}
