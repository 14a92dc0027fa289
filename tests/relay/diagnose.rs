//! Why is mail of a domain refused? The diagnosis of the running daemon names the cause that the sinks were given (R10).

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hikyaku::{
    clock::Clock,
    deliver::{provider::Provider, rule_history, streams},
    event::ErrorClass,
    store::{RetentionPeriods, Store, StoreOptions},
};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Act, Client, Config, Dns, Relay, Sink, Step, client::letter, place, sink::Options, until};

const PORT: u16 = 2526;

fn sink_at(refuse: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static) -> Sink {
    Options::default()
        .at(SocketAddr::from((place::address(), PORT)))
        .script(move |m| match (m.step, refuse(m.line)) {
            (Step::Rcpt, Some(reply)) => Act::reply(reply),
            _ => Act::Normal,
        })
        .start()
}

fn v4(sink: &Sink) -> Ipv4Addr {
    match sink.ip() {
        IpAddr::V4(a) => a,
        IpAddr::V6(a) => panic!("sinks are at 127.0.0.0/8, not {a}"),
    }
}

fn send(relay: &Relay, to: &str, subject: &str) {
    let content = letter(subject, "hello\r\n").replace("src.test", "shop.test");
    Client::hello(relay.smtp()).send("app@shop.test", &[to], content.as_bytes()).expect("250");
}

fn diagnose(relay: &Relay, more: &[&str]) -> Value {
    let words = [&["domain", "diagnose", "shop.test", "--json", "--lang", "en"], more].concat();
    let ran = relay.cli(&words);
    assert!(ran.code <= 1, "{}", ran.all());
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.all()))
}

fn first(found: &Value) -> (String, String) {
    let cause = &found["causes"][0];
    (cause["cause"].as_str().unwrap_or_default().into(), cause["certainty"].as_str().unwrap_or_default().into())
}

fn store_of(relay: &Relay) -> Store {
    let day = std::time::Duration::from_secs(86_400);
    let retention = RetentionPeriods { delivery_log: day, error_log: day, audit_log: day, message_bodies: day };
    let options = StoreOptions { data_dir: relay.data_dir(), clock: Clock::system(), disk_free_min: 0, retention };
    Store::open(options).expect("the daemon has stopped").store
}

#[test]
fn the_provider_that_blocks_us_is_told_from_the_one_mailbox_that_is_full_and_streams_outlive_a_stop() {
    let blocked = "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Part of their network is on our block list (S3140).";
    let microsoft = sink_at(move |_| Some(blocked));
    let fine = sink_at(|line| line.contains("full@").then_some("452 4.2.2 The mailbox is full"));
    let dns = Dns::start()
        .mx("outlook.com", 10, "outlook-com.olc.protection.outlook.com")
        .a("outlook-com.olc.protection.outlook.com", v4(&microsoft))
        .mx("gmail.com", 10, "gmail-smtp-in.l.google.com")
        .a("gmail-smtp-in.l.google.com", v4(&fine))
        .a("small.test", v4(&fine))
        .a("shop.test", v4(&fine));
    let mut relay = Relay::start(Config::internet(dns.address(), PORT));
    for n in 0..6 {
        send(&relay, &format!("u{n}@gmail.com"), "Order 1");
        send(&relay, &format!("u{n}@small.test"), "Order 2");
        send(&relay, &format!("u{n}@outlook.com"), "Order 3");
    }
    for n in 0..6 {
        relay.wait_event("failed", &format!("u{n}@outlook.com"));
        relay.wait_event("succeeded", &format!("u{n}@gmail.com"));
        relay.wait_event("succeeded", &format!("u{n}@small.test"));
    }
    let found = diagnose(&relay, &[]);
    assert_eq!(first(&found), ("one_provider".to_owned(), "likely".to_owned()), "{found:#}");
    assert_eq!((&found["delivered"], &found["failed"]), (&12.into(), &6.into()));
    let told = found["causes"][0].to_string();
    assert!(told.contains("microsoft") && told.contains("S3140") && told.contains("olcsupport.office.com"), "{told}");
    assert_eq!(found["answers"][0]["events"], 6, "{found:#}");

    // Of Gmail's mail alone nothing is refused, and somebody else's domain has no mail.
    let gmail = diagnose(&relay, &["--destination", "gmail"]);
    assert_eq!((&gmail["delivered"], &gmail["failed"]), (&6.into(), &0.into()));
    assert!(gmail["causes"].as_array().unwrap().iter().all(|cause| cause["certainty"] == "hint"), "{gmail:#}");
    let other = relay.cli(&["domain", "diagnose", "other.test", "--lang", "en"]);
    assert!(other.stdout.contains("0 of 0 tries refused"), "{}", other.all());
    let japanese = relay.cli(&["domain", "diagnose", "shop.test", "--lang", "ja"]);
    assert!(japanese.stdout.contains("1. 特定の 1 プロバイダーだけが拒否しています"), "{}", japanese.all());
    assert_eq!(relay.cli(&["domain", "diagnose", "no domain"]).code, 2);

    // One mailbox is tried every second: with it most refusals lie on one recipient.
    send(&relay, "full@small.test", "Order 4");
    relay.wait_events("deferred", "full@small.test", 5);
    let small = diagnose(&relay, &["--destination", "small.test"]);
    assert_eq!(first(&small).0, "one_recipient", "{small:#}");

    // What was counted is there after a stop.
    relay.stop();
    let store = store_of(&relay);
    let rows = streams::days(&store, "shop.test", 0, u32::MAX).expect("the streams");
    let volume = |provider| {
        let of = |row: &&streams::DayCounts| row.provider == provider;
        rows.iter().filter(of).fold((0, 0), |(d, f), row| (d + row.counts.delivered, f + row.counts.failed()))
    };
    assert_eq!((volume(Provider::Gmail), volume(Provider::Microsoft)), ((6, 0), (0, 6)), "{rows:?}");
    assert_eq!(rows.iter().map(|row| row.counts.failed_by(ErrorClass::Rejected)).sum::<u64>(), 6);
    assert!(rows.iter().map(|row| row.counts.deferred).sum::<u64>() >= 5);
    assert!(rows.iter().all(|row| row.domain == "shop.test" && row.counts.one_click == 0));
}

#[test]
fn a_rule_that_was_loosened_is_named_with_the_limits_that_it_ran_into() {
    let strict = Arc::new(AtomicBool::new(false));
    let docomo = sink_at({
        let strict = strict.clone();
        move |_| strict.load(Ordering::SeqCst).then_some("450 4.7.1 Too many concurrent connections from your host")
    });
    let dns = Dns::start()
        .mx("docomo.ne.jp", 10, "mfsmax.docomo.ne.jp")
        .a("mfsmax.docomo.ne.jp", v4(&docomo))
        .a("shop.test", v4(&docomo));
    let rule = "[[delivery.rule]]\nname = \"docomo\"\nmx_hosts = ['docomo\\.ne\\.jp$']\nconnections_max = 1\n";
    let mut relay = Relay::start(Config::internet(dns.address(), PORT).text(rule));
    for n in 0..5 {
        send(&relay, &format!("a{n}@docomo.ne.jp"), "Order 1");
        relay.wait_event("succeeded", &format!("a{n}@docomo.ne.jp"));
    }
    relay.reconfigure(|config| config.replace("connections_max = 1", "connections_max = 50"));
    relay.signal(Signal::HUP);
    relay.wait_log("act=loosened");
    strict.store(true, Ordering::SeqCst);
    for n in 0..8 {
        send(&relay, &format!("b{n}@docomo.ne.jp"), "Order 1");
    }
    for n in 0..8 {
        relay.wait_event("deferred", &format!("b{n}@docomo.ne.jp"));
    }
    let found = diagnose(&relay, &[]);
    assert_eq!(first(&found), ("rule_loosened".to_owned(), "likely".to_owned()), "{found:#}");
    let figure = &found["causes"][0]["figures"][0];
    assert_eq!((&figure["rule"], &figure["connections"]), (&"docomo".into(), &serde_json::json!([1, 50])), "{found:#}");
    let says = figure["says"].as_str().unwrap_or_default();
    assert!(says.contains("1 → 50 connections") && says.contains("docomo.ne.jp"), "{says}");

    // A restart with the same rules changes nothing; the change is still known.
    relay.stop();
    relay.spawn();
    relay.wait_ready();
    let again = until("the diagnosis after a restart", || Some(diagnose(&relay, &[])));
    assert_eq!(first(&again).0, "rule_loosened", "{again:#}");
    relay.stop();
    let changes = rule_history::changes(&store_of(&relay), hikyaku::clock::Timestamp::ZERO).expect("the changes");
    assert_eq!(changes.len(), 1, "{changes:?}");
}

#[test]
fn a_bad_list_is_told_from_ordinary_mail() {
    let sink = sink_at(|line| line.contains("nobody").then_some("550 5.1.1 User unknown"));
    let dns = Dns::start().a("dst.test", v4(&sink)).a("shop.test", v4(&sink));
    let relay = Relay::start(Config::internet(dns.address(), PORT));
    for n in 0..10 {
        send(&relay, &format!("here{n}@dst.test"), "Order 1");
    }
    for n in 0..10 {
        send(&relay, &format!("nobody{n}@dst.test"), "Welcome");
    }
    for n in 0..10 {
        relay.wait_event("failed", &format!("nobody{n}@dst.test"));
        relay.wait_event("succeeded", &format!("here{n}@dst.test"));
    }
    let found = diagnose(&relay, &[]);
    assert_eq!(first(&found), ("dead_list".to_owned(), "likely".to_owned()), "{found:#}");
    // The same over the control socket in the other formats of the command line.
    let ran = relay.cli(&["domain", "diagnose", "shop.test", "--lang", "en", "--answers"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert!(
        ran.stdout.contains("1. Many addresses that do not exist") && ran.stdout.contains("an unknown user"),
        "{}",
        ran.all()
    );
}
