//! What a submitter says about the delivery of its mail (class, priority, hold, deadline, TLS on the way) is kept to.

use std::time::Duration;

use serde_json::Value;

use crate::support::{
    Act, Client, Config, Place, Relay, Sink, Step,
    client::{Reply, letter},
    place,
    sink::{Options, SinkTls},
    tls::{Authority, client_of},
    until, wait,
};

/// Sends one mail with parameters of MAIL, in a session of its own.
fn send(relay: &Relay, parameters: &str, to: &str, content: &str) -> Reply {
    let mut client = Client::hello(relay.smtp());
    let taken = client.say(&format!("MAIL FROM:<a@src.test>{parameters}"));
    if taken.code != 250 {
        return taken;
    }
    client.say(&format!("RCPT TO:<{to}>")).expect("250");
    client.data(content.as_bytes())
}

fn show(relay: &Relay, queue_id: &str) -> Value {
    serde_json::from_str(&relay.cli(&["queue", "show", queue_id, "--json"]).expect_done().stdout).expect("JSON")
}

fn busy() -> Sink {
    Sink::scripted(|m| match m.step {
        Step::Rcpt => Act::reply("450 4.2.2 Mailbox full"),
        _ => Act::Normal,
    })
}

#[test]
fn the_nearest_word_about_a_mails_class_counts() {
    let sink = busy();
    let relay = Relay::start(Config::smarthost(sink.address()).set("queue.retry_schedule", "[\"1h\"]").text(
        "[[delivery.priority.rule]]\nclass = \"high\"\nrecipients = ['^otp@']\n\
         [[delivery.priority.rule]]\nclass = \"low\"\nsenders = ['@src\\.test$']\nrecipients = ['@news\\.test$']\n",
    ));
    let plain = letter("x", "x\r\n");
    let low = format!("X-Priority-Class: low\r\n{plain}");
    for (parameters, to, content, expected) in [
        ("", "b@dst.test", &plain, "normal"),
        ("", "otp@dst.test", &plain, "high"),
        ("", "b@news.test", &plain, "low"),
        (" MT-PRIORITY=4", "b@news.test", &plain, "high"),
        (" MT-PRIORITY=-1", "otp@dst.test", &plain, "low"),
        (" MT-PRIORITY=0", "otp@dst.test", &plain, "high"),
        (" MT-PRIORITY=9", "otp@dst.test", &low, "low"),
    ] {
        let id = send(&relay, parameters, to, content).expect("250").queue_id();
        assert_eq!(show(&relay, &id)["class"], expected, "{parameters} {to}");
    }
}

#[test]
fn the_priority_header_goes_where_the_operator_wants_that_and_nothing_else_does() {
    let content = "Date: Tue, 24 Nov 2026 10:00:00 +0900\r\nX-Priority-Class: high\r\n\t\r\nMessage-ID: <1@src.test>\r\n\
                   X-Priority-Class-Other: kept\r\nx-priority-CLASS : nonsense\r\n\r\nX-Priority-Class: high\r\n";
    let without = "Date: Tue, 24 Nov 2026 10:00:00 +0900\r\nMessage-ID: <1@src.test>\r\n\
                   X-Priority-Class-Other: kept\r\n\r\nX-Priority-Class: high\r\n";
    for (strip, expected) in [("false", content), ("true", without)] {
        let sink = Sink::willing();
        let relay = Relay::start(Config::smarthost(sink.address()).set("delivery.priority.strip", strip));
        send(&relay, "", "b@dst.test", content).expect("250");
        let got = sink.wait_for(1)[0].text();
        assert!(got.starts_with("Received: ") && got.ends_with(expected), "strip = {strip}: {got}");
    }
}

#[test]
fn a_large_mail_loses_its_priority_header_too() {
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()).set("delivery.priority.strip", "true"));
    let body = "0123456789\r\n".repeat(60_000);
    send(&relay, "", "b@dst.test", &format!("X-Priority-Class: high\r\nSubject: large\r\n\r\n{body}")).expect("250");
    let got = sink.wait_for(1)[0].text();
    assert!(got.ends_with(&format!("Subject: large\r\n\r\n{body}")) && !got.contains("X-Priority-Class"));
}

#[test]
fn priority_and_deadline_are_passed_on_to_peers_that_know_them() {
    let sink = Options::default().with("MT-PRIORITY MIXER").with("DELIVERBY").start();
    let relay = Relay::start(Config::smarthost(sink.address()));
    send(&relay, " MT-PRIORITY=3 BY=600;R", "b@dst.test", &letter("x", "x\r\n")).expect("250");
    let got = &sink.wait_for(1)[0];
    let by: i64 = got.mail_line.split(" BY=").nth(1).and_then(|v| v.strip_suffix(";R")).expect("BY").parse().unwrap();
    assert!(got.mail_line.contains(" MT-PRIORITY=3 ") && (500..=600).contains(&by), "{}", got.mail_line);
    assert!(got.text().replace("\r\n\t", " ").contains(" PRIORITY 3;"), "RFC 6710: {}", got.text());
}

#[test]
fn a_mail_that_must_come_back_in_time_does() {
    // At once, where the next host could not keep the promise …
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()));
    send(&relay, " BY=600;R", "b@dst.test", &letter("x", "x\r\n")).expect("250");
    let failed = relay.wait_event("failed", "b@dst.test");
    assert!(failed.reply().starts_with("5.3.3 "), "{failed:?}");
    let notice = until("the notice", || sink.received().into_iter().find(|m| m.sender.is_empty()));
    assert!(notice.text().contains("Deliver-By-Date: "), "{}", notice.text());
    // … and when its time is over.
    let sink = Options::default()
        .with("DELIVERBY")
        .script(|m| match m.step {
            Step::Rcpt if m.line.contains("busy@") => Act::reply("450 4.2.2 Mailbox full"),
            _ => Act::Normal,
        })
        .start();
    let relay = Relay::start(Config::smarthost(sink.address()));
    let begun = wait::now();
    send(&relay, " BY=3;R", "busy@dst.test", &letter("x", "x\r\n")).expect("250");
    relay.wait_event("failed", "busy@dst.test");
    assert!(begun.elapsed() < Duration::from_secs(20), "not after the lifetime of four days");
    let notice = until("the notice", || sink.received().into_iter().find(|m| m.sender.is_empty()));
    assert!(notice.text().contains("Status: 5.4.7"), "{}", notice.text());
}

#[test]
fn the_sender_is_told_of_a_relay_that_keeps_no_deadlines_and_of_every_relay_that_it_traces() {
    for (params, offers, rcpt, told) in [
        (" BY=600;N", false, "", true),
        (" BY=600;N", true, "", false),
        (" BY=600;NT", true, "", true),
        (" BY=600;NT", false, " NOTIFY=NEVER", false),
    ] {
        let options = if offers { Options::default().with("DELIVERBY") } else { Options::default() };
        let sink = options.start();
        let relay = Relay::start(Config::smarthost(sink.address()));
        // The second mail's notice comes last, whatever becomes of the first.
        for (params, rcpt) in [(params, format!("b@dst.test>{rcpt}")), ("", "c@dst.test> NOTIFY=SUCCESS".to_owned())] {
            let mut client = Client::hello(relay.smtp());
            client.say(&format!("MAIL FROM:<a@src.test>{params}")).expect("250");
            client.say(&format!("RCPT TO:<{rcpt}")).expect("250");
            client.data(letter("x", "x\r\n").as_bytes()).expect("250");
            relay.wait_event("succeeded", rcpt.split('>').next().expect("an address"));
        }
        let notice_to = |to: &str| {
            let all = sink.received().into_iter().filter(|m| m.sender.is_empty());
            all.map(|m| m.text()).find(|text| text.contains(&format!("Final-Recipient: rfc822; {to}")))
        };
        until("the second notice", || notice_to("c@dst.test"));
        let first = notice_to("b@dst.test");
        assert_eq!(first.is_some(), told, "{params} {offers} {rcpt}: {first:?}");
        let by_words = |text: String| text.contains("Action: relayed") && text.contains("Deliver-By-Date: ");
        assert!(first.is_none_or(by_words), "{params} {offers} {rcpt}");
    }
}

#[test]
fn a_scheduled_mail_leaves_at_its_time_and_not_before() {
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()));
    let begun = wait::now();
    let id = send(&relay, " HOLDFOR=3", "b@dst.test", &letter("x", "x\r\n")).expect("250").queue_id();
    assert_eq!(show(&relay, &id)["recipients"][0]["wait"], "scheduled");
    let got = &sink.wait_for(1)[0];
    assert!(got.at.duration_since(begun) >= Duration::from_secs(3), "{:?}", got.at.duration_since(begun));
    assert!(!got.mail_line.contains("HOLD"), "a hold is over when the mail leaves: {}", got.mail_line);
    send(&relay, " HOLDFOR=99999999", "b@dst.test", "").expect("501");
}

#[test]
fn holds_are_not_offered_where_the_operator_does_not_want_them() {
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()).set("queue.future_release_max", "\"0s\""));
    let mut client = Client::connect(relay.smtp());
    let offers = client.ehlo();
    assert!(!offers.offers("FUTURERELEASE") && offers.offers("DELIVERBY") && offers.offers("MT-PRIORITY"));
    assert!(!offers.offers("REQUIRETLS"), "in clear it would be a lie");
    client.say("MAIL FROM:<a@src.test> HOLDFOR=3").expect("555");
}

#[test]
fn a_mail_under_requiretls_goes_only_where_it_stays_under_tls() {
    let ours = Authority::new();
    let files = Place::new();
    let (chain, key) = ours.certificate(&["relay.test"]).write(&files);
    for offered in [true, false] {
        let theirs = Authority::new();
        let roots = files.write("roots.pem", theirs.pem()).display().to_string();
        // Named, so that a certificate can match: under REQUIRETLS the host must be who it says it is.
        let at = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let options = Options::default().tls(SinkTls::Works(theirs.certificate(&["localhost"]).server())).at(at);
        let sink = if offered { options.with("REQUIRETLS") } else { options }.start();
        let second = place::address();
        let relay = Relay::start(
            Config::smarthost(at)
                .set("delivery.smarthost", &format!("\"localhost:{}\"", at.port()))
                .set("delivery.smarthost_tls", "\"require\"")
                .variable("SSL_CERT_FILE", &roots)
                .set("tls.certificate", &format!("\"{}\"", chain.display()))
                .set("tls.private_key", &format!("\"{}\"", key.display()))
                .listener(&format!("address = \"{second}:2587\"\ntls = \"starttls\"")),
        );
        let mut client = Client::connect((second, 2587).into());
        assert!(!client.ehlo().offers("REQUIRETLS"));
        client.starttls(client_of(&ours), "relay.test");
        assert!(client.ehlo().offers("REQUIRETLS"));
        client.say("MAIL FROM:<a@src.test> REQUIRETLS RET=FULL").expect("250");
        client.say("RCPT TO:<b@dst.test>").expect("250");
        client.data(letter("secret", "the secret\r\n").as_bytes()).expect("250");
        if offered {
            let got = &sink.wait_for(1)[0];
            assert!(got.tls && got.mail_line.ends_with(" REQUIRETLS"), "{}", got.mail_line);
        } else {
            let failed = relay.wait_event("failed", "b@dst.test");
            assert!(failed.reply().starts_with("5.7.30 "), "{failed:?}");
            // Its notice is not lost for want of the extension, and tells of the header alone (RFC 8689 §5).
            let notice = until("the notice", || sink.received().into_iter().find(|m| m.sender.is_empty()));
            assert!(notice.text().contains("Subject: secret") && !notice.text().contains("the secret"));
        }
    }
}
