//! Who failed for good is not written to again until somebody lifts it (R4), and no setting lifts anybody (R7).

use rustix::process::Signal;

use crate::support::{Act, Client, Config, Relay, Sink, Step, client::letter, until};

fn refusing() -> Sink {
    Sink::scripted(|m| match m.step {
        Step::Rcpt if m.line.contains("gone@") => Act::reply("550 5.1.1 No such user here"),
        Step::Rcpt if m.line.contains("spam@") => Act::reply("550 5.7.1 Blocked: your address has a poor reputation"),
        _ => Act::Normal,
    })
}

fn send(relay: &Relay, to: &[&str]) {
    Client::hello(relay.smtp()).send("app@src.test", to, letter("to some", "hello\r\n").as_bytes()).expect("250");
}

fn listed(relay: &Relay) -> String {
    relay.cli(&["suppress", "list", "--json"]).stdout
}

#[test]
fn an_unknown_user_is_blocked_until_it_is_lifted_and_a_refusal_for_our_reputation_blocks_nobody() {
    let sink = refusing();
    let mut relay = Relay::start(Config::smarthost(sink.address()));
    send(&relay, &["gone@dst.test", "spam@dst.test", "here@dst.test"]);
    let unknown = relay.wait_event("failed", "gone@dst.test");
    assert_eq!((unknown.text("error_code").as_str(), unknown.text("trouble").as_str()), ("2", "recipient"));
    let refused = relay.wait_event("failed", "spam@dst.test");
    assert_eq!((refused.text("error_code").as_str(), refused.text("trouble").as_str()), ("4", "reputation"));
    until("gone@ on the list", || listed(&relay).contains("gone@dst.test").then_some(()));
    assert!(!listed(&relay).contains("spam@dst.test"));

    // Accepted, and failed at once with the cause; the others go.
    let seen = sink.seen(Step::Rcpt);
    send(&relay, &["gone@dst.test", "here@dst.test"]);
    let both = relay.wait_events("failed", "gone@dst.test", 2);
    let blocked = both.iter().find(|e| e.text("error_code") == "10").expect("blocked");
    assert!(blocked.reply().contains("5.1.1 No such user here"), "{blocked:?}");
    relay.wait_events("succeeded", "here@dst.test", 2);
    assert_eq!(sink.seen(Step::Rcpt), seen + 1, "it is not even tried");

    // A setting that would not have blocked it lifts nobody (R7); refusing at RCPT says why.
    relay.reconfigure(|config| {
        config.set("suppression.on_submit", "\"reject\"").set("suppression.thresholds.unknown_user", "0")
    });
    relay.signal(Signal::HUP);
    until("the new setting", || {
        let mut client = Client::hello(relay.smtp());
        client.say("MAIL FROM:<app@src.test>").expect("250");
        let answer = client.say("RCPT TO:<gone@dst.test>");
        answer.text().contains("550 5.7.1").then_some(())
    });
    assert!(relay.cli(&["explain", "gone@dst.test", "--from", "app@src.test"]).stdout.contains("suppress"));

    // Lifted, it is tried again.
    assert_eq!(relay.cli(&["suppress", "lift", "gone@dst.test"]).code, 0);
    send(&relay, &["gone@dst.test"]);
    until("another try", || {
        let tries = relay.wait_events("failed", "gone@dst.test", 3);
        tries.iter().filter(|e| e.text("error_code") == "2").count().eq(&2).then_some(())
    });
    assert!(relay.cli(&["log", "audit", "--json"]).stdout.contains("suppress"), "the act is in the operation log");
}
