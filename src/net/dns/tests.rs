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
fn the_cache_is_bounded_in_entries_and_in_octets() {
    let clock = Clock::manual(Timestamp::from_millis(1));
    let put = |cache: &mut cache::Cache, n: u64, result: Result<wire::Records, DnsError>| {
        let until = clock.instant() + Duration::from_secs(100 + n % 7);
        let found = Found { result, secure: false, alias: None, until };
        cache.put((format!("{n}.test").into(), Type::Txt), found, clock.instant());
    };
    let mut cache = cache::Cache::default();
    for n in 0..cache::ENTRIES_MAX as u64 + 5000 {
        put(&mut cache, n, Err(DnsError::NxDomain));
    }
    assert!(cache.len() <= cache::ENTRIES_MAX && cache.len() > cache::ENTRIES_MAX / 2);
    let mut cache = cache::Cache::default();
    let large = || Ok((0..16).map(|_| wire::Record::Txt("x".repeat(4000))).collect());
    for n in 0..2000 {
        put(&mut cache, n, large());
        assert!(cache.octets() <= cache::OCTETS_MAX + 70_000, "{}", cache.octets());
    }
    assert!(cache.len() > 100);
    // What is asked again and again takes its place once.
    let before = cache.octets();
    for _ in 0..100 {
        put(&mut cache, 1999, large());
    }
    assert_eq!(cache.octets(), before);
}

fn tlsa(usage: u8, data: &[u8]) -> Tlsa {
    Tlsa { usage, selector: 1, matching: 1, data: data.to_vec() }
}

#[test]
fn an_answer_is_secure_only_with_ad_from_a_resolver_that_is_believed() {
    let server = TestServer::start();
    server.sign("signed.test");
    for zone in ["signed.test", "plain.test"] {
        server.set(zone, Says::Mx(vec![(10, "mx.signed.test")]));
    }
    server.set("bogus.test", Says::Servfail);
    let clock = Clock::manual(Timestamp::from_millis(1));
    let believed = resolver(&[server.address()], &clock, quick());
    smol::block_on(async {
        assert_eq!(believed.validation(), Validation::Unknown);
        for (domain, secure) in
            [("signed.test", true), ("none.signed.test", true), ("plain.test", false), ("none.plain.test", false)]
        {
            // The second time from the cache.
            for _ in 0..2 {
                assert_eq!(believed.mx_answer(domain).await.secure, secure, "{domain}");
            }
        }
        assert_eq!(believed.validation(), Validation::Yes);
        assert_eq!(believed.tlsa("_25._tcp.mx.signed.test").await.records, Err(DnsError::NxDomain));
        assert!(believed.tlsa("_25._tcp.mx.signed.test").await.secure, "proof that there are none");
        let bogus = believed.tlsa("_25._tcp.bogus.test").await;
        assert_eq!((bogus.records, bogus.secure), (Err(DnsError::NxDomain), false));
        let bogus = believed.tlsa("bogus.test").await;
        assert!(matches!(bogus.records, Err(DnsError::Servfail(_))) && !bogus.secure);
        // A reload that leaves the resolver as it is forgets what was known all the same.
        believed.reconfigure(&config::Dns { servers: vec![server.address()], trusted: Vec::new() });
        assert_eq!(believed.validation(), Validation::Unknown);
    });
}

#[test]
fn who_is_believed_is_a_matter_of_address() {
    let servers: Vec<SocketAddr> =
        ["127.0.0.53:53", "[::1]:53", "[::ffff:127.0.0.1]:53", "192.0.2.1:53", "192.0.2.2:5353"]
            .map(|s| s.parse().expect("an address"))
            .to_vec();
    let config = config::Dns { servers: Vec::new(), trusted: vec![ip("::ffff:192.0.2.2")] };
    let both = Servers::new(servers.clone(), &config);
    assert_eq!(both.believed, [&servers[..3], &servers[4..]].concat());
    assert_eq!(both.to_ask(Validation::Unknown), servers);
    assert_eq!(both.to_ask(Validation::Yes), both.believed);
    let clock = Clock::manual(Timestamp::from_millis(1));
    let nobody = resolver(&servers[3..], &clock, quick());
    assert_eq!(nobody.validation(), Validation::No);
    assert!(nobody.validation_words().contains("none of the resolvers (192.0.2.1:53, 192.0.2.2:5353) is on loopback"));
    assert_eq!(smol::block_on(nobody.try_validation()), Validation::No, "and nobody is asked");
}

#[test]
fn a_trial_tells_who_validates_and_silence_leaves_it_as_it_was() {
    let (server, _, clock) = start();
    let resolver = resolver(&[server.address()], &clock, quick());
    smol::block_on(async {
        server.set(".", Says::Silence);
        assert_eq!(resolver.try_validation().await, Validation::Unknown);
        assert!(resolver.validation_words().starts_with("not known: "), "{}", resolver.validation_words());
        server.set(".", Says::Nothing(60));
        assert_eq!(resolver.try_validation().await, Validation::No);
        assert!(resolver.validation_words().ends_with("without AD"), "{}", resolver.validation_words());
        server.sign(".");
        assert_eq!(resolver.try_validation().await, Validation::Yes);
        assert_eq!(resolver.validation_words(), format!("yes: {} answers with AD", server.address()));
        server.set(".", Says::Silence);
        clock.advance(Duration::from_secs(7200));
        assert_eq!(resolver.try_validation().await, Validation::Yes);
        assert!(resolver.validation_words().starts_with("yes when last heard"), "{}", resolver.validation_words());
        // A closed network: its zones are signed, the root is not.
        server.stop_signing().sign("lab.test");
        server.set(".", Says::Nothing(60));
        assert_eq!(resolver.try_validation().await, Validation::No);
        server.set_ttl(86_400);
        server.set("lab.test", Says::Mx(vec![(10, "mx.lab.test")]));
        assert!(resolver.mx_answer("lab.test").await.secure);
        assert_eq!(resolver.try_validation().await, Validation::Yes);
        clock.advance(Duration::from_secs(7200));
        assert_eq!(resolver.try_validation().await, Validation::No, "nothing with AD for two hours");
        assert!(resolver.mx_answer("lab.test").await.secure, "what was validated stays so");
    });
}

#[test]
fn once_a_resolver_validates_its_refusal_is_not_taken_elsewhere() {
    let (validating, other) = (TestServer::start(), TestServer::start());
    validating.sign("x.test").set("x.test", Says::Mx(vec![(10, "mx.x.test")]));
    validating.set("bogus.test", Says::Servfail);
    other.set("bogus.test", Says::Mx(vec![(10, "forged.test")]));
    // Both on loopback, as they must be in a test: the second is taken out of the believed by hand.
    let servers = Servers { all: vec![validating.address(), other.address()], believed: vec![validating.address()] };
    let clock = Clock::manual(Timestamp::from_millis(1));
    let resolver = resolver(&servers.all, &clock, quick());
    *lock(&resolver.0.servers) = Arc::new(servers);
    smol::block_on(async {
        assert!(resolver.mx_answer("x.test").await.secure);
        assert!(matches!(resolver.mx("bogus.test").await, Err(DnsError::Servfail(_))));
    });
    assert_eq!(other.queries().0, 0);
}

#[test]
fn aliases_are_secure_step_by_step_and_the_first_by_itself() {
    for chain in [Says::Alias, Says::Chain] {
        let (server, resolver, _) = start();
        server.sign("signed.test");
        let address = Says::Address(vec![ip("192.0.2.1")]);
        server.set("mx.signed.test", chain("end.signed.test")).set("end.signed.test", address.clone());
        server.set("out.signed.test", chain("end.plain.test")).set("end.plain.test", address.clone());
        server.set("mx.plain.test", chain("end.signed.test"));
        server.set("far.signed.test", chain("mx.plain.test"));
        server.set("gone.signed.test", chain("none.signed.test"));
        server.set("v4.signed.test", address);
        smol::block_on(async {
            for (host, secure, alias) in [
                ("mx.signed.test", true, Some("end.signed.test")),
                ("out.signed.test", false, Some("end.plain.test")),
                ("mx.plain.test", false, None),
                ("far.signed.test", false, Some("mx.plain.test")),
                ("gone.signed.test", true, Some("none.signed.test")),
                ("v4.signed.test", true, None),
            ] {
                for ipv6 in [false, true] {
                    let answer = resolver.addresses_answer(host, ipv6).await;
                    assert_eq!((answer.secure, answer.secure_alias.as_deref()), (secure, alias), "{host} {ipv6}");
                }
            }
            assert_eq!(resolver.addresses_answer("gone.signed.test", true).await.records, Err(DnsError::NxDomain));
            // For mail the alias matters only where all of it is secure.
            assert_eq!(resolver.mx_answer("out.signed.test").await.secure_alias, None);
        });
    }
}

#[test]
fn a_family_that_fails_takes_nothing_from_the_other() {
    let (server, resolver, _) = start();
    server.sign("signed.test");
    let v4 = Says::Address(vec![ip("192.0.2.1")]);
    server.set("a.signed.test", v4.clone()).set_type("a.signed.test", Rtype::AAAA, Says::Servfail);
    server.set_type("b.signed.test", Rtype::AAAA, Says::Servfail).set_type(
        "b.signed.test",
        Rtype::MX,
        Says::Nothing(60),
    );
    server.set("c.signed.test", Says::Address(vec![ip("192.0.2.1"), ip("2001:db8::1")]));
    smol::block_on(async {
        let a = resolver.addresses_answer("a.signed.test", true).await;
        assert_eq!((a.records, a.secure), (Ok(vec![ip("192.0.2.1")]), true));
        let b = resolver.addresses_answer("b.signed.test", true).await;
        assert!(matches!(b.records, Err(DnsError::Servfail(_))), "absent and unknown is unknown");
        let c = resolver.addresses_answer("c.signed.test", true).await;
        assert_eq!(c.records, Ok(vec![ip("192.0.2.1"), ip("2001:db8::1")]));
    });
}

#[test]
fn answers_say_how_long_they_still_hold() {
    let (server, resolver, clock) = start();
    server.set("x.test", Says::Mx(vec![(10, "mx.x.test")]));
    smol::block_on(async {
        assert_eq!(resolver.mx_answer("x.test").await.ttl, Duration::from_secs(300));
        clock.advance(Duration::from_secs(100));
        assert_eq!(resolver.mx_answer("x.test").await.ttl, Duration::from_secs(200));
    });
    assert_eq!(server.queries().0, 1);
}

#[test]
fn tlsa_records_come_whole_whatever_they_are_and_bounded() {
    let (server, resolver, _) = start();
    server.sign("x.test");
    let odd = Tlsa { usage: 77, selector: 9, matching: 200, data: vec![1; 5] };
    server.set("_25._tcp.mx.x.test", Says::Tlsa(vec![tlsa(3, &[7; 32]), tlsa(0, &[]), odd.clone()]));
    server.set("many.x.test", Says::Tlsa((0..150).map(|n| tlsa(3, &[n; 32])).collect()));
    server.set("huge.x.test", Says::Tlsa(vec![tlsa(3, &[1; 30_000])]));
    smol::block_on(async {
        let answer = resolver.tlsa("_25._tcp.mx.x.test").await;
        assert_eq!(answer.records, Ok(vec![tlsa(3, &[7; 32]), tlsa(0, &[]), odd]));
        assert!(answer.secure);
        assert_eq!(resolver.tlsa("many.x.test").await.records.map(|r| r.len()), Ok(wire::LARGE_RECORDS_MAX));
        let huge = resolver.tlsa("huge.x.test").await.records.expect("kept");
        assert_eq!(huge[0].data.len(), wire::TLSA_OCTETS_MAX);
    });
}

#[test]
fn txt_records_are_joined_and_bounded() {
    let (server, resolver, _) = start();
    let long = "v=STSv1; id=".to_owned() + &"a".repeat(600) + ";";
    server.set("_mta-sts.x.test", Says::Txt(vec![long.clone(), "other".into()]));
    server.set("huge.x.test", Says::Txt(vec!["x".repeat(wire::TXT_OCTETS_MAX + 1), "short".into()]));
    server.set("many.x.test", Says::Txt(vec!["x".into(); 150]));
    smol::block_on(async {
        assert_eq!(resolver.txt("_mta-sts.x.test").await.records, Ok(vec![long, "other".into()]));
        assert_eq!(resolver.txt("huge.x.test").await.records, Ok(vec!["short".into()]));
        assert_eq!(resolver.txt("many.x.test").await.records.map(|r| r.len()), Ok(wire::LARGE_RECORDS_MAX));
        assert_eq!(resolver.txt("none.x.test").await.records, Err(DnsError::NxDomain));
    });
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
