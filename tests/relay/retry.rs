//! R12: a destination that cannot be reached or answers 4yz is tried again, and each try has its own `deferred` entry.

use std::{net::SocketAddr, time::Duration};

use crate::support::{Act, Config, Relay, Sink, Step, place, sink::Options};

const TO: &str = "someone@dst.test";

#[test]
fn a_temporary_refusal_is_tried_again_and_each_try_is_logged() {
    let sink = Sink::scripted(|m| match m.step {
        Step::Rcpt if m.nth < 2 => Act::reply("450 4.2.1 Mailbox busy"),
        _ => Act::Normal,
    });
    let relay = Relay::start(Config::smarthost(sink.address()));
    let id = relay.submit("sender@src.test", &[TO], "retry");
    let done = relay.wait_event("succeeded", TO);
    let events = relay.deliveries();
    let kinds: Vec<String> = events.iter().map(|e| e.kind()).collect();
    assert_eq!(kinds, ["queued", "deferred", "deferred", "succeeded"], "{events:#?}");
    assert_eq!(events.iter().map(|e| e.attempt()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    for event in &events {
        assert_eq!((event.recipient().as_str(), event.message().as_str()), (TO, id.as_str()), "{event:?}");
    }
    for deferred in &events[1..3] {
        assert!(deferred.reply().contains("450 4.2.1 Mailbox busy"), "{deferred:?}");
        assert_eq!(deferred.phase(), "rcpt");
        assert!(!deferred.text("next_try").is_empty(), "{deferred:?}");
    }
    assert!(done.reply().contains("Taken"), "{done:?}");
    assert_eq!(sink.taken(), 1);
}

/// What goes wrong first, and in which phase the log must place it.
#[test]
fn trouble_in_any_phase_defers_and_heals() {
    let cases: &[(Step, Act, &str)] = &[
        (Step::Greeting, Act::reply("421 4.3.2 Not now"), "greeting"),
        (Step::Greeting, Act::reply("554 5.7.1 No service for you"), "greeting"),
        (Step::Greeting, Act::HangUp, "greeting"),
        (Step::Mail, Act::reply("451 4.3.0 Try later"), "mail"),
        (Step::Rcpt, Act::ReplyAndHangUp("421 4.7.0 Too many".into()), "rcpt"),
        (Step::Data, Act::reply("452 4.3.1 Disk full"), "data"),
        (Step::Content, Act::reply("451 4.7.1 Greylisted"), "content"),
        (Step::Content, Act::HangUp, "content"),
    ];
    for (step, act, phase) in cases {
        let (step, act, wanted) = (*step, act.clone(), *phase);
        let sink = Sink::scripted(move |m| if m.step == step && m.nth == 0 { act.clone() } else { Act::Normal });
        let relay = Relay::start(Config::smarthost(sink.address()));
        relay.submit("sender@src.test", &[TO], "trouble");
        let done = relay.wait_event("succeeded", TO);
        let deferred = relay.wait_event("deferred", TO);
        assert_eq!(deferred.phase(), wanted, "{deferred:?}");
        assert_eq!(sink.taken(), 1, "{wanted}");
        // P3: only a connection that died after the content may have left a copy.
        let lost_reply =
            step == Step::Content && sink.seen(Step::Content) == 2 && deferred.reply().find("451").is_none();
        assert_eq!(done.possible_duplicate(), lost_reply, "{wanted}: {done:?}");
    }
}

#[test]
fn a_destination_that_is_away_gets_its_mail_when_it_is_back() {
    let away = SocketAddr::from((place::address(), 2600));
    let relay = Relay::start(Config::smarthost(away));
    relay.submit("sender@src.test", &[TO], "away");
    let deferred = relay.wait_event("deferred", TO);
    assert_eq!(deferred.phase(), "connect", "{deferred:?}");
    let sink = Options::default().at(away).start();
    sink.wait_for(1);
    relay.wait_event("succeeded", TO);
}

#[test]
fn one_connection_carries_many_messages_and_its_death_costs_no_try() {
    // The destination hangs up at the second MAIL of every connection: the mail is sent at once over a new one.
    let sink = Sink::scripted(|m| match m.step {
        Step::Mail if m.transaction == 1 => Act::HangUp,
        _ => Act::Normal,
    });
    let relay = Relay::start(Config::smarthost(sink.address()).set("delivery.connections_per_destination", "1"));
    for n in 0..4 {
        relay.submit("sender@src.test", &[TO], &format!("reuse-{n}"));
    }
    let done = relay.wait_events("succeeded", TO, 4);
    assert!(done.iter().all(|e| e.attempt() == 1), "{done:#?}");
    assert_eq!(relay.deliveries().iter().filter(|e| e.kind() == "deferred").count(), 0);
}

#[test]
fn a_busy_queue_reuses_its_connections() {
    let sink = Sink::scripted(|m| match m.step {
        Step::Content => Act::Delay(Duration::from_millis(20)),
        _ => Act::Normal,
    });
    let relay = Relay::start(Config::smarthost(sink.address()).set("delivery.connections_per_destination", "2"));
    for n in 0..40 {
        relay.submit("sender@src.test", &[TO], &format!("busy-{n}"));
    }
    sink.wait_for(40);
    assert!(sink.sessions_at_once() <= 2, "{} connections at once", sink.sessions_at_once());
    assert!(sink.sessions() <= 10, "{} connections for 40 mails", sink.sessions());
}
