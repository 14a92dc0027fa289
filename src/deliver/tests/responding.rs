//! Replies that pause or slow a site, or fail a recipient at once.

use super::*;
use crate::config::{Response, ResponseAction};

fn response(name: &str, reply: &str, action: ResponseAction, count: u32) -> Response {
    let replies = vec![regex::Regex::new(reply).expect("a pattern")];
    Response { name: name.into(), replies, action, count, ..Response::default() }
}

fn push(rule: &str, what: PushKind, seconds: u64) -> Option<Push> {
    Some(Push { rule: rule.into(), what, duration: Duration::from_secs(seconds) })
}

#[test]
fn a_well_known_reply_pushes_the_site_and_defers_as_before() {
    for (command, reply, want) in [
        (
            "greeting",
            "421 4.7.0 Error: too many connections from 192.0.2.1",
            push("too-many-connections", PushKind::Slow, 600),
        ),
        ("greeting", "554 5.7.1 too many connections", push("too-many-connections", PushKind::Slow, 600)),
        ("MAIL", "421 4.7.0 [TSS04] Messages temporarily deferred", push("yahoo-deferred", PushKind::Pause, 900)),
        (".", "451 4.7.500 Server busy. Please try again later", push("microsoft-busy", PushKind::Pause, 600)),
        ("RCPT", "450 4.7.1 Greylisted, come back later", None),
        ("RCPT", "550 5.1.1 no such user", None),
    ] {
        let world = World::new(|_| {});
        let peer = world.domain("x.test", 1);
        peer.at(command, &[Act::Say(reply)]);
        let outcome = world.send(&["u@x.test"]);
        assert_eq!(outcome.push, want, "{reply}");
        assert_eq!(world.metrics.pushes.get(), u64::from(want.is_some()));
        let verdict = if reply.starts_with("550") { "failed" } else { "deferred" };
        let got = short(&outcome)[0].0;
        assert!(got == verdict || (verdict == "deferred" && got == "site"), "{reply} {got}");
    }
}

#[test]
fn a_rule_may_fail_a_recipient_at_once_with_the_peers_words() {
    let world = World::new(|c| {
        c.delivery.responses = vec![response("closed", "account closed|go away", ResponseAction::Fail, 1)];
    });
    let peer = world.domain("x.test", 1);
    peer.at("RCPT a@x.test", &[Act::Say("450 4.2.1 account closed")]);
    let outcome = world.send(&["a@x.test", "b@x.test"]);
    check(&outcome, &[("failed", "450 4.2.1 account closed"), ("delivered", "250")], SiteFeedback::Healthy);
    assert_eq!(outcome.push, None);
    // At the greeting, too, and then no other host is tried.
    world.dns.set("y.test", Says::Mx(vec![(10, "one.test"), (20, "two.test")]));
    let (one, two) = (world.peer(2, "one.test"), world.peer(3, "two.test"));
    one.at("greeting", &[Act::Say("554 go away")]);
    check(&world.send(&["u@y.test"]), &[("failed", "554 go away")], SiteFeedback::Trouble);
    assert_eq!(two.connections(), 0);
}

#[test]
fn a_rule_that_counts_acts_on_the_last_of_its_hits() {
    let world = World::new(|c| {
        c.delivery.responses = vec![response("busy", "^45.*busy", ResponseAction::Pause, 3)];
        c.delivery.response_defaults = false;
    });
    let peer = world.domain("x.test", 1);
    peer.at("MAIL", &[Act::Say("451 busy")]);
    let pushes: Vec<bool> = (0..4).map(|_| world.send(&["a@x.test", "b@x.test"]).push.is_some()).collect();
    assert_eq!(pushes, [false, false, true, false], "one reply counts once, however many recipients it was for");
    // At RCPT each recipient has its own.
    peer.at("MAIL", &[Act::Say("250 ok")]).at("RCPT", &[Act::Say("450 busy")]);
    assert!(world.send(&["a@x.test", "b@x.test", "c@x.test"]).push.is_some());
}

#[test]
fn of_several_the_strongest_push_counts() {
    let world = World::new(|c| {
        c.delivery.responses = vec![
            response("slow", "slowly", ResponseAction::Slow, 1),
            response("pause", "stop", ResponseAction::Pause, 1),
        ];
    });
    let peer = world.domain("x.test", 1);
    peer.at("RCPT a@x.test", &[Act::Say("450 slowly")]).at("RCPT b@x.test", &[Act::Say("450 stop")]);
    let outcome = world.send(&["a@x.test", "b@x.test", "c@x.test"]);
    assert_eq!(outcome.push, push("pause", PushKind::Pause, 600));
}
