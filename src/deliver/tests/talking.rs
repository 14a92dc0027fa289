//! What was said in an attempt, as each recipient's own conversation.

use super::*;
use crate::smtp::conversation::{CONVERSATION_OCTETS_MAX, Conversation, Said};

/// The lines of a recipient, without times and ports.
fn said(outcome: &Outcome, index: usize) -> Vec<String> {
    let lines = outcome.results[index].conversation.as_ref().map(Conversation::lines).unwrap_or_default();
    let text = |text: &str| text.split("]:").next().unwrap_or_default().to_owned();
    lines
        .iter()
        .map(|l| format!("{} {}", l.said.word(), if l.said == Said::Host { text(&l.text) } else { l.text.clone() }))
        .collect()
}

#[test]
fn a_delivery_tells_the_whole_dialog_and_over_a_kept_connection_what_was_said_about_it() {
    let world = World::new(|_| {});
    let _peer = world.domain("x.test", 1);
    let first = world.send(&["u@x.test"]);
    assert_eq!(
        said(&first, 0),
        [
            "host mx.x.test[127.0.0.1",
            "peer 220 peer.test ready",
            "we EHLO us.test",
            "peer 250-peer.test\n250-PIPELINING\n250 8BITMIME",
            "we MAIL FROM:<a@us.test>",
            "peer 250 2.0.0 ok",
            "we RCPT TO:<u@x.test>",
            "peer 250 2.1.5 ok",
            "we DATA",
            "peer 354 go on",
            "content 21",
            "peer 250 2.0.0 kept",
        ]
    );
    let times: Vec<_> = first.results[0].conversation.as_ref().unwrap().lines().iter().map(|l| l.after_ms).collect();
    let told: Vec<u32> = times.iter().copied().flatten().collect();
    assert!(told.is_sorted() && told.len() >= 6, "{times:?}");
    let second = said(&world.send(&["v@x.test"]), 0);
    assert_eq!(second[..3], ["host mx.x.test[127.0.0.1", "reused 1 0", "we MAIL FROM:<a@us.test>"]);
    assert_eq!(second.last().map(String::as_str), Some("peer 250 2.0.0 kept"));
    assert!(second.iter().all(|line| !line.contains("EHLO") && !line.contains("u@x.test")), "{second:?}");
}

#[test]
fn a_refusal_tells_the_opening_too_and_nothing_of_the_others() {
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    peer.offer("250-peer.test\n250 PIPELINING");
    check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
    peer.at("RCPT no@x.test", &[Act::Say("550-5.1.1 no such user\n550 5.1.1 <b>ask</b> us")]);
    let outcome = world.send(&["u@x.test", "no@x.test"]);
    assert_eq!(
        said(&outcome, 1),
        [
            "host mx.x.test[127.0.0.1",
            "reused 1 0",
            "peer 220 peer.test ready",
            "we EHLO us.test",
            "peer 250-peer.test\n250 PIPELINING",
            "we MAIL FROM:<a@us.test>",
            "peer 250 2.0.0 ok",
            "others 1",
            "we RCPT TO:<no@x.test>",
            "peer 550-5.1.1 no such user\n550 5.1.1 <b>ask</b> us",
        ]
    );
    let other = said(&outcome, 0);
    assert!(other.iter().all(|line| !line.contains("no@x.test")), "{other:?}");
    assert_eq!(other.last().map(String::as_str), Some("peer 250 2.0.0 kept"));
}

#[test]
fn every_host_of_an_attempt_is_told_in_turn() {
    let world = World::new(|_| {});
    world.dns.set("x.test", Says::Mx(vec![(10, "dead.x.test"), (20, "busy.x.test"), (30, "mx3.x.test")]));
    world.dns.set("dead.x.test", Says::Address(vec![ip(1)]));
    let busy = world.peer(2, "busy.x.test");
    busy.at("greeting", &[Act::SayAndClose("421 4.3.2 too busy")]);
    let last = world.peer(3, "mx3.x.test");
    last.at("MAIL", &[Act::Close]);
    let outcome = world.send(&["u@x.test"]);
    assert_eq!(
        said(&outcome, 0),
        [
            "host dead.x.test[127.0.0.1",
            "closed Connection refused",
            "host busy.x.test[127.0.0.2",
            "peer 421 4.3.2 too busy",
            "host mx3.x.test[127.0.0.3",
            "peer 220 peer.test ready",
            "we EHLO us.test",
            "peer 250-peer.test\n250-PIPELINING\n250 8BITMIME",
            "we MAIL FROM:<a@us.test>",
            "we RCPT TO:<u@x.test>",
            "we DATA",
            "closed ",
        ]
    );
}

#[test]
fn nothing_was_said_where_no_host_was_found() {
    let world = World::new(|_| {});
    world.dns.set("null.test", Says::Mx(vec![(0, ".")]));
    assert_eq!(world.send(&["u@null.test"]).results[0].conversation, None);
}

#[test]
fn talkative_hosts_are_bounded_and_the_deciding_one_stays() {
    let refusal: &'static str = format!("421-{}\n421 not now", "x".repeat(500)).leak();
    let world = World::new(|_| {});
    let hosts: Vec<(u16, &'static str)> = (1..7).map(|n| (n, &*format!("mx{n}.x.test").leak())).collect();
    world.dns.set("x.test", Says::Mx(hosts.clone()));
    let peers: Vec<Peer> = hosts.iter().map(|(n, host)| world.peer(*n as u8, host)).collect();
    let talk: &'static str = format!("{}250 peer", "250-ABCDEFGHIJKLMNOPQRSTUVWXYZ\n".repeat(60)).leak();
    for peer in &peers {
        peer.offer(talk).at("MAIL", &[Act::SayAndClose(refusal)]);
    }
    let to: Vec<String> = (0..60).map(|n| format!("user{n}@x.test")).collect();
    let outcome = world.send(&to.iter().map(String::as_str).collect::<Vec<_>>());
    let octets: Vec<usize> =
        outcome.results.iter().map(|r| r.conversation.as_ref().map_or(0, |c| c.octets().len())).collect();
    assert!(octets.iter().all(|n| (1..=CONVERSATION_OCTETS_MAX).contains(n)), "{octets:?}");
    assert!(octets.iter().sum::<usize>() <= 96 * 1024, "{octets:?}");
    for index in [0, 59] {
        let lines = said(&outcome, index);
        assert!(lines.contains(&"left_out ".to_owned()), "{lines:?}");
        assert!(lines.last().is_some_and(|line| line.starts_with("peer 421")), "{lines:?}");
    }
}
