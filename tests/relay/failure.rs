//! A permanent refusal is final at once, the sender hears of it in a DSN (RFC 3464), and the other recipients are untouched.

use crate::support::{Act, Client, Config, Received, Relay, Sink, Step, client::letter, until};

const SENDER: &str = "sender@src.test";

fn sink() -> Sink {
    Sink::scripted(|m| match m.step {
        Step::Rcpt if m.line.contains("gone@") => Act::reply("550 5.1.1 No such user here"),
        Step::Rcpt if m.line.contains("busy@") && m.nth < 4 => Act::reply("450 4.2.1 Busy"),
        _ => Act::Normal,
    })
}

fn notices(sink: &Sink) -> Vec<Received> {
    sink.received().into_iter().filter(|m| m.sender.is_empty()).collect()
}

fn wait_notice(sink: &Sink) -> Received {
    until("a notice at the sink", || notices(sink).pop())
}

#[test]
fn a_permanent_refusal_fails_and_the_sender_gets_a_dsn() {
    let sink = sink();
    let relay = Relay::start(Config::smarthost(sink.address()));
    relay.submit(SENDER, &["gone@dst.test"], "permanent");
    let failed = relay.wait_event("failed", "gone@dst.test");
    assert!(failed.reply().contains("550 5.1.1 No such user here"), "{failed:?}");
    assert_eq!((failed.phase().as_str(), failed.attempt()), ("rcpt", 1));
    let notice = wait_notice(&sink);
    assert_eq!(notice.recipients, [SENDER]);
    let text = notice.text();
    for part in [
        "multipart/report",
        "message/delivery-status",
        "Reporting-MTA: dns; relay.test",
        "Final-Recipient: rfc822; gone@dst.test",
        "Action: failed",
        "Status: 5.1.1",
        "550 5.1.1 No such user here",
        "Subject: permanent",
        "Auto-Submitted: auto-replied",
    ] {
        assert!(text.to_ascii_lowercase().contains(&part.to_ascii_lowercase()), "no {part:?} in:\n{text}");
    }
    relay.wait_event("succeeded", SENDER);
}

#[test]
fn one_bad_recipient_does_not_touch_the_others() {
    let sink = sink();
    let relay = Relay::start(Config::smarthost(sink.address()));
    relay.submit(SENDER, &["one@dst.test", "gone@dst.test", "busy@dst.test", "two@dst.test"], "partial");
    for taken in ["one@dst.test", "two@dst.test", "busy@dst.test"] {
        relay.wait_event("succeeded", taken);
    }
    relay.wait_event("failed", "gone@dst.test");
    let first = sink.wait_for_recipient("one@dst.test");
    assert_eq!(first.recipients, ["one@dst.test", "two@dst.test"], "one transaction for those that were taken");
    let events = relay.deliveries();
    for address in ["one@dst.test", "two@dst.test", "gone@dst.test", "busy@dst.test"] {
        let finals = events.iter().filter(|e| e.recipient() == address && e.is_final()).count();
        assert_eq!(finals, 1, "P2: exactly one final event for {address}: {events:#?}");
    }
    let copies: usize = ["one", "two", "busy"]
        .iter()
        .map(|n| sink.received().iter().filter(|m| m.recipients.contains(&format!("{n}@dst.test"))).count())
        .sum();
    assert_eq!(copies, 3, "each recipient got one copy");
    wait_notice(&sink);
}

#[test]
fn a_refusal_of_the_content_fails_every_recipient_in_one_dsn() {
    let sink = Sink::scripted(|m| match m.step {
        Step::Content if m.nth == 0 => Act::reply("554 5.7.1 Looks like spam"),
        _ => Act::Normal,
    });
    let relay = Relay::start(Config::smarthost(sink.address()));
    relay.submit(SENDER, &["one@dst.test", "two@dst.test"], "content");
    for address in ["one@dst.test", "two@dst.test"] {
        assert_eq!(relay.wait_event("failed", address).phase(), "content");
    }
    let text = wait_notice(&sink).text();
    assert!(text.contains("one@dst.test") && text.contains("two@dst.test"), "{text}");
    assert_eq!(notices(&sink).len(), 1, "recipients that fail together share a notice");
}

#[test]
fn nobody_is_told_who_asked_for_silence_and_a_notice_makes_no_notice() {
    let sink = sink();
    let relay = Relay::start(Config::smarthost(sink.address()));
    let mut client = Client::hello(relay.smtp());
    client.say(&format!("MAIL FROM:<{SENDER}>")).expect("250");
    client.say("RCPT TO:<gone@dst.test> NOTIFY=NEVER").expect("250");
    client.data(letter("never", "x\r\n").as_bytes()).expect("250");
    client.send("", &["gone@other.test"], letter("null", "x\r\n").as_bytes()).expect("250");
    relay.wait_event("failed", "gone@dst.test");
    relay.wait_event("failed", "gone@other.test");
    // What would come comes before this one, which is submitted later.
    relay.submit(SENDER, &["gone@third.test"], "marker");
    let notice = wait_notice(&sink);
    assert!(notice.text().contains("gone@third.test"));
    assert_eq!(notices(&sink).len(), 1);
}

#[test]
fn success_is_reported_to_those_who_ask() {
    let sink = sink();
    let relay = Relay::start(Config::smarthost(sink.address()));
    let mut client = Client::hello(relay.smtp());
    client.say(&format!("MAIL FROM:<{SENDER}> RET=HDRS ENVID=order+2D17")).expect("250");
    client.say("RCPT TO:<one@dst.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first@old.test").expect("250");
    client.data(letter("wanted", "The body stays at home.\r\n").as_bytes()).expect("250");
    let text = wait_notice(&sink).text();
    // The sink offers no DSN extension: this is where the trail ends (RFC 3461 §5.2.2).
    for part in ["Action: relayed", "Original-Recipient: rfc822;first@old.test", "Original-Envelope-Id: order-17"] {
        assert!(text.replace("; ", ";").contains(&part.replace("; ", ";")), "no {part:?} in:\n{text}");
    }
    assert!(!text.contains("The body stays at home"), "RET=HDRS was asked for:\n{text}");
}
