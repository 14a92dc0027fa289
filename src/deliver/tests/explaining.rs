//! What `explain` says, and that it sends nothing.

use super::*;
use crate::{config::Source, language::Language};

fn explain(world: &World, to: &str, user: &str) -> Vec<(&'static str, String)> {
    let address = Mailbox::parse(to).expect("an address");
    let facts = smol::block_on(world.deliverer.explain(&address, user));
    for says in facts.iter().map(|fact| &fact.says) {
        assert!(!says.words(Language::Japanese).is_ascii() && says.words(Language::English).is_ascii(), "{says:?}");
    }
    facts.into_iter().map(|fact| (fact.topic, fact.says.to_string())).collect()
}

#[track_caller]
fn says(facts: &[(&str, String)], topic: &str, parts: &[&str]) {
    let found = facts.iter().any(|(t, says)| *t == topic && parts.iter().all(|part| says.contains(part)));
    assert!(found, "{topic} should say {parts:?}: {facts:#?}");
}

#[test]
fn the_chain_of_decisions_is_told_and_nothing_is_sent() {
    let clock = Clock::manual(Timestamp::from_millis(100 * 86_400_000));
    let world = World::noting(clock, &Arc::default(), |c| {
        let mut google = rule("google", &[], &["^mx2\\."]);
        google.connections_max = Some(4);
        google.interval = Duration::from_millis(250);
        c.delivery.rules = vec![rule("vip", &["^boss@"], &[]), google];
        c.delivery.sources = vec![
            Source { address: ip(5), hostname: "five.test".into(), ..Source::default() },
            Source { address: ip(6), warm_up_from: Some(99), ..Source::default() },
            Source { address: ip(7), users: vec!["app".into()], ..Source::default() },
        ];
        c.delivery.block_private_destinations = true;
    });
    world.dns.set("x.test", Says::Mx(vec![(10, "mx1.test"), (20, "mx2.test")]));
    let peer = world.peer(1, "mx1.test");
    world.dns.set("mx2.test", Says::Address(vec![IpAddr::from([9, 9, 9, 9])]));
    let facts = explain(&world, "u@x.test", "");
    says(&facts, "route", &["to the MX hosts of x.test"]);
    says(
        &facts,
        "rule",
        &["\"google\", number 2 of 2", "'^mx2\\.' matches the MX host mx2.test", "at most 4 connections"],
    );
    says(&facts, "rule", &["250ms between two messages", "not used since"]);
    says(&facts, "site", &["mx1.test (+1)", "mx1.test,mx2.test;tls=none;rule=google"]);
    says(&facts, "mx", &["10 mx1.test (TTL", "127.0.0.1 (private or reserved: refused)"]);
    says(&facts, "mx", &["20 mx2.test (TTL", "9.9.9.9"]);
    says(&facts, "source", &["127.0.0.5 (EHLO five.test)", "weight 100 of 200"]);
    says(&facts, "source", &["127.0.0.6 (EHLO us.test)", "day 2: 0 of 100 recipients of google today"]);
    assert!(facts.iter().all(|(_, says)| !says.contains("127.0.0.7")));
    let facts = explain(&world, "boss@x.test", "app");
    says(&facts, "rule", &["\"vip\", number 1 of 2: its pattern '^boss@' matches the address"]);
    says(&facts, "source", &["127.0.0.7", "for app alone"]);
    assert_eq!(peer.connections(), 0);
    let uses = world.deliverer.rule_uses();
    assert!(uses.iter().all(|u| u.last.is_none()), "asking is no use");
}

#[test]
fn smarthosts_and_dead_ends_are_named() {
    let world = World::new(|c| {
        let mut other = rule("other", &["@other\\.test$"], &[]);
        other.smarthost = Some(HostPort { host: "two.test".into(), port: 26 });
        c.delivery.rules = vec![other];
    });
    world.dns.set("implicit.test", Says::Address(vec![ip(1)]));
    world.dns.set("null.test", Says::Mx(vec![(0, ".")]));
    for (to, want) in [
        ("u@other.test", "to the smarthost two.test:26, as the rule \"other\" says"),
        ("u@implicit.test", "to implicit.test itself: it has no MX"),
        ("u@null.test", "nowhere: null.test: the domain takes no mail"),
        ("u@gone.test", "nowhere: gone.test: the domain does not exist"),
        ("u@[127.0.0.1]", "to the address [127.0.0.1] itself"),
    ] {
        let facts = explain(&world, to, "");
        says(&facts, "route", &[want]);
        says(&facts, "source", &["the system's choice; EHLO us.test"]);
    }
    says(&explain(&world, "u@gone.test", ""), "rule", &["none of the 1 applies"]);
    let address = Mailbox::parse("u@other.test").expect("an address");
    let facts = smol::block_on(world.deliverer.explain(&address, ""));
    let japanese: Vec<&str> = facts.iter().map(|fact| fact.says.words(Language::Japanese)).collect();
    for sentence in [
        "スマートホスト two.test:26 へ送信します（配信速度ルール「other」による）。",
        "送信元アドレスは OS が選びます（EHLO us.test）。",
        "設定：verify（[delivery] smarthost_tls による）",
    ] {
        assert!(japanese.contains(&sentence), "{sentence}: {japanese:#?}");
    }
    let world = World::new(|c| {
        c.delivery.mode = Mode::Smarthost;
        c.delivery.smarthost = Some(HostPort { host: "smart.test".into(), port: 25 });
    });
    let facts = explain(&world, "u@x.test", "");
    says(&facts, "route", &["to the smarthost smart.test:25, as [delivery] smarthost says"]);
    says(&facts, "rule", &["none is configured"]);
    assert_eq!(world.dns.queries().0, 0);
}
