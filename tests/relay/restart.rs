//! P2: what was accepted survives a stop, a `kill -9` and a restart, and ends in exactly one final event each.

use std::net::SocketAddr;

use crate::support::{Config, Relay, Sink, place, sink::Options};

/// Mails accepted before the end.
const MAILS: usize = 30;

enum End {
    Stop,
    Kill,
}

fn check(end: End) {
    let away = SocketAddr::from((place::address(), 2600));
    let mut relay = Relay::start(Config::smarthost(away));
    let ids: Vec<String> = (0..MAILS)
        .map(|n| relay.submit("sender@src.test", &[&format!("user{n}@dst.test")], &format!("keep-{n}")))
        .collect();
    match end {
        End::Stop => assert!(relay.stop().success(), "{}", relay.log()),
        End::Kill => relay.kill(),
    }
    let sink = Options::default().at(away).start();
    relay.restart();
    sink.wait_for(MAILS);
    for n in 0..MAILS {
        relay.wait_event("succeeded", &format!("user{n}@dst.test"));
    }
    let events = relay.deliveries();
    for id in &ids {
        let of_id: Vec<_> = events.iter().filter(|e| e.message() == *id).collect();
        assert_eq!(of_id.iter().filter(|e| e.kind() == "queued").count(), 1, "{of_id:#?}");
        assert_eq!(of_id.iter().filter(|e| e.is_final()).count(), 1, "{of_id:#?}");
    }
    let subjects: std::collections::HashSet<String> = sink
        .received()
        .iter()
        .filter_map(|m| m.text().lines().find(|l| l.starts_with("Subject:")).map(String::from))
        .collect();
    assert_eq!((subjects.len(), sink.taken()), (MAILS, MAILS), "each mail arrived once");
}

#[test]
fn a_clean_stop_keeps_the_queue() {
    check(End::Stop);
}

#[test]
fn a_kill_keeps_the_queue() {
    check(End::Kill);
}

#[test]
fn the_log_survives_and_finished_mail_is_not_sent_again() {
    let sink = Sink::willing();
    let mut relay = Relay::start(Config::smarthost(sink.address()));
    relay.submit("sender@src.test", &["user@dst.test"], "once");
    relay.wait_event("succeeded", "user@dst.test");
    relay.kill();
    relay.restart();
    relay.submit("sender@src.test", &["later@dst.test"], "later");
    relay.wait_event("succeeded", "later@dst.test");
    assert_eq!(relay.deliveries().iter().filter(|e| e.is_final()).count(), 2);
    assert_eq!(sink.taken(), 2);
}
