//! A recipient that cannot be delivered within the queue's lifetime fails, and the sender hears of it.

use crate::support::{Act, Config, Relay, Sink, Step, until};

#[test]
fn what_lingers_too_long_fails_and_is_reported() {
    let sink = Sink::scripted(|m| match m.step {
        Step::Rcpt if m.line.contains("busy@") => Act::reply("450 4.2.2 Mailbox full"),
        _ => Act::Normal,
    });
    let relay = Relay::start(Config::smarthost(sink.address()).set("queue.lifetime", "\"3s\""));
    relay.submit("sender@src.test", &["busy@dst.test"], "expiry");
    let failed = relay.wait_event("failed", "busy@dst.test");
    assert!(failed.reply().contains("450 4.2.2 Mailbox full"), "the last answer explains it: {failed:?}");
    let events = relay.deliveries();
    assert!(events.iter().any(|e| e.kind() == "deferred"), "{events:#?}");
    let notice = until("the notice", || sink.received().into_iter().find(|m| m.sender.is_empty()));
    assert_eq!(notice.recipients, ["sender@src.test"]);
    assert!(notice.text().contains("Action: failed"), "{}", notice.text());
}

#[test]
fn a_delay_is_reported_to_those_who_ask() {
    let sink = Sink::scripted(|m| match m.step {
        Step::Rcpt if m.line.contains("busy@") => Act::reply("450 4.2.2 Mailbox full"),
        _ => Act::Normal,
    });
    let relay = Relay::start(Config::smarthost(sink.address()).set("queue.delay_notice_after", "\"2s\""));
    relay.submit("sender@src.test", &["busy@dst.test"], "delay");
    let notice = until("the notice", || sink.received().into_iter().find(|m| m.sender.is_empty()));
    let text = notice.text();
    assert!(text.contains("Action: delayed") && text.contains("Will-Retry-Until:"), "{text}");
    assert_eq!(relay.deliveries().iter().filter(|e| e.recipient() == "busy@dst.test" && e.is_final()).count(), 0);
}
