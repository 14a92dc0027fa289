//! Which lanes share a site, and what a site is made of.

use super::*;
use crate::config::DomainTls;

#[test]
fn domains_with_the_same_mx_hosts_share_a_site_and_others_do_not() {
    let world = World::new(|c| {
        let domains = vec!["strict.test".to_owned()];
        c.delivery.tls_policies = vec![DomainTls { domains, policy: TlsPolicy::Verify }];
    });
    world.dns.set("a.test", Says::Mx(vec![(10, "mx1.test"), (20, "mx2.test")]));
    world.dns.set("b.test", Says::Mx(vec![(5, "MX2.test"), (5, "mx1.test"), (9, "mx1.test")]));
    world.dns.set("c.test", Says::Mx(vec![(10, "mx1.test")]));
    world.dns.set("strict.test", Says::Mx(vec![(10, "mx1.test"), (20, "mx2.test")]));
    let [a, b, c, strict] = ["a.test", "b.test", "c.test", "strict.test"].map(|d| world.locate(d));
    assert_eq!(a.site, b.site);
    assert_eq!((&*a.name, &*b.name, &*c.name), ("mx1.test (+1)", "mx1.test (+1)", "mx1.test"));
    assert_ne!(a.site, c.site);
    assert_ne!(a.site, strict.site, "connections with another TLS policy are not shared");
    assert_eq!(a.paths.len(), 1);
    assert_eq!((a.paths[0].path, a.pace), (Path::default(), None));
    assert!(a.valid_for >= Duration::from_secs(60) && a.valid_for <= Duration::from_secs(3600));
}

#[test]
fn what_has_no_mx_hosts_stands_alone() {
    let world = World::new(|_| {});
    world.dns.set("implicit.test", Says::Address(vec![ip(1)]));
    world.dns.set("null.test", Says::Mx(vec![(0, ".")]));
    world.dns.set("broken.test", Says::Servfail);
    let short = Duration::from_secs(30);
    for (lane, name, trouble) in [
        ("implicit.test", "implicit.test", false),
        ("null.test", "null.test", false),
        ("nowhere.test", "nowhere.test", false),
        ("broken.test", "broken.test", true),
        ("[127.0.0.1]", "[127.0.0.1]", false),
        ("bad..name", "bad..name", false),
        // Of a smarthost that is configured no more.
        ("old.test:25", "old.test:25", false),
    ] {
        let located = world.locate(lane);
        assert_eq!(&*located.name, name);
        assert!(located.site.starts_with(lane), "{}", located.site);
        assert_eq!(located.valid_for <= short, trouble, "{lane} {:?}", located.valid_for);
        assert_eq!(located.paths.len(), 1, "{lane}");
    }
}

#[test]
fn a_hostile_mx_set_makes_a_bounded_key() {
    let world = World::new(|_| {});
    let hosts: Vec<(u16, &'static str)> =
        (0..60).map(|n| (n, &*format!("{n}.{}.test", "x".repeat(60)).leak())).collect();
    world.dns.set("many.test", Says::Mx(hosts));
    let located = world.locate("many.test");
    assert!(located.site.len() < 700, "{}", located.site.len());
    assert!(located.name.ends_with("(+59)"), "{}", located.name);
}

#[test]
fn everything_for_the_smarthost_is_one_site_whatever_the_lane_says() {
    let world = World::new(|c| {
        c.delivery.mode = Mode::Smarthost;
        c.delivery.smarthost = Some(HostPort { host: "smart.test".into(), port: 26 });
    });
    for lane in ["smart.test:26", "x.test", "old.test:25"] {
        let located = world.locate(lane);
        assert_eq!((&*located.site, &*located.name), ("smart.test:26", "smart.test:26"), "{lane}");
    }
    assert_eq!(world.dns.queries().0, 0);
}

#[test]
fn the_first_rule_that_matches_address_or_mx_host_sets_the_pace() {
    let world = World::new(|c| {
        let mut google = rule("google", &[], &["\\.google\\.test$"]);
        google.connections_max = Some(4);
        google.interval = Duration::from_millis(250);
        google.fixed = true;
        c.delivery.rules = vec![rule("vip", &["^boss@"], &[]), google, rule("a", &["@a\\.test$"], &[])];
    });
    for domain in ["a.test", "b.test"] {
        world.dns.set(domain, Says::Mx(vec![(10, "mx.google.test")]));
    }
    world.dns.set("c.test", Says::Mx(vec![(10, "mx.c.test")]));
    let name = |lane: &str| world.locate(lane).pace.map(|pace| pace.rule.to_string());
    for (lane, want) in [
        ("a.test", Some("google")),
        ("b.test", Some("google")),
        ("c.test", None),
        ("b.test#vip", Some("vip")),
        ("c.test#vip", Some("vip")),
        ("b.test#gone", Some("google")),
    ] {
        assert_eq!(name(lane).as_deref(), want, "{lane}");
    }
    let pace =
        Pace { rule: "google".into(), connections_max: Some(4), interval: Duration::from_millis(250), fixed: true };
    assert_eq!(world.locate("a.test").pace, Some(pace));
    assert_eq!(world.locate("a.test").site, world.locate("b.test").site);
    assert_ne!(world.locate("b.test#vip").site, world.locate("b.test").site, "a site has one pace");
}

#[test]
fn a_rules_smarthost_and_addresses_apply_by_address_and_by_mx_host() {
    let port = free_port();
    let host = |name: &str| Some(HostPort { host: name.into(), port });
    let world = World::new(|c| {
        let mut by_mx = rule("by-mx", &[], &["^mx\\.big\\.test$"]);
        by_mx.smarthost = host("one.test");
        let mut by_address = rule("by-address", &["@x\\.test$"], &[]);
        by_address.smarthost = host("two.test");
        let mut addressed = rule("addressed", &[], &["^mx\\.y\\.test$"]);
        addressed.source_addresses = vec![ip(6)];
        c.delivery.rules = vec![by_mx, by_address, addressed];
        c.delivery.smarthost_tls = TlsPolicy::None;
    });
    world.dns.set("one.test", Says::Address(vec![ip(1)])).set("two.test", Says::Address(vec![ip(2)]));
    world.dns.set("big.test", Says::Mx(vec![(1, "mx.big.test")])).set("x.test", Says::Mx(vec![(1, "mx.x.test")]));
    let (one, two) = (Peer::start(SocketAddr::new(ip(1), port)), Peer::start(SocketAddr::new(ip(2), port)));
    let y = world.domain("y.test", 3);
    for (lane, site) in [("big.test", format!("one.test:{port}")), ("x.test", format!("two.test:{port}"))] {
        assert_eq!(*world.locate(lane).name, *site, "{lane}");
    }
    assert_eq!(world.locate("y.test").paths[0].path, by(6));
    let outcome = world.send_by(by(6), &["a@big.test", "b@x.test", "c@y.test", "d@big.test"]);
    check(&outcome, &[("delivered", "250"); 4], SiteFeedback::Healthy);
    assert_eq!([&one, &two, &y].map(|peer| peer.contents().len()), [1, 1, 1]);
    assert_eq!(outcome.results[0].detail.destination, format!("one.test:{port}"));
}

#[test]
fn a_rules_last_use_survives_a_restart_and_an_unused_one_is_seen() {
    let clock = Clock::manual(Timestamp::from_millis(86_400_000));
    let shelf = Arc::default();
    let rules =
        |c: &mut Config| c.delivery.rules = vec![rule("used", &["@a\\.test$"], &[]), rule("idle", &["@b"], &[])];
    let world = World::noting(clock.clone(), &shelf, rules);
    let begin = clock.now();
    clock.advance(Duration::from_secs(60));
    world.locate("a.test");
    let used = clock.now();
    smol::block_on(world.deliverer.flush());
    drop(world);
    clock.advance(Duration::from_secs(31 * 86_400));
    let world = World::noting(clock.clone(), &shelf, rules);
    let uses = world.deliverer.rule_uses();
    assert_eq!(uses.iter().map(|u| u.rule.as_str()).collect::<Vec<_>>(), ["used", "idle"]);
    assert_eq!((uses[0].last, uses[0].since), (Some(used), begin));
    assert_eq!((uses[1].last, uses[1].since), (None, begin));
}
