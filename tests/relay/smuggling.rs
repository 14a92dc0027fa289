//! One mail in is one mail out: bare LF, bare CR and NUL are refused, and nothing after a disputed end of data becomes a
//! second mail or a command.

use crate::support::{Client, Config, Relay, Sink, until};

const INNER: &str =
    "MAIL FROM:<evil@src.test>\r\nRCPT TO:<victim@dst.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n";

fn relay(sink: &Sink) -> Relay {
    Relay::start(Config::smarthost(sink.address()))
}

#[test]
fn disputed_ends_of_data_smuggle_nothing() {
    let sink = Sink::willing();
    let relay = relay(&sink);
    for end in
        ["\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\r\n\0.\r\n", "\n\n.\r\r\n", "\r\r\n.\r\r\n"]
    {
        let mut client = Client::hello(relay.smtp());
        client.envelope("sender@src.test", &["user@dst.test"]);
        client.say("DATA").expect("354");
        client.write(format!("Subject: outer\r\n\r\nfirst{end}{INNER}").as_bytes());
        let reply = client.reply();
        assert!(reply.text().starts_with("550 5.5.2"), "{end:?}: {reply}");
        assert!(client.reply().is_end(), "{end:?}: the session goes on");
    }
    assert_eq!(relay.deliveries().len(), 0);
    assert_eq!(sink.sessions(), 0);
}

#[test]
fn bare_line_ends_and_nul_are_refused_in_bdat_too() {
    let sink = Sink::willing();
    let relay = relay(&sink);
    for body in ["Subject: x\n\nlines\n", "Subject: x\r\n\r\na\rb\r\n", "Subject: x\r\n\r\na\0b\r\n", "a\r"] {
        let mut client = Client::hello(relay.smtp());
        client.envelope("sender@src.test", &["user@dst.test"]);
        client.bdat(body.as_bytes(), true).expect("550 5.5.2");
        assert!(client.reply().is_end(), "{body:?}: the session goes on");
    }
    // A CRLF that two chunks share is whole.
    let mut client = Client::hello(relay.smtp());
    client.envelope("sender@src.test", &["user@dst.test"]);
    client.bdat(b"Subject: x\r\n\r\nsplit\r", false).expect("250");
    client.bdat(b"\nend\r\n", true).expect("250");
    assert!(sink.wait_for(1)[0].text().ends_with("split\r\nend\r\n"));
}

#[test]
fn legacy_programs_are_helped_only_where_the_operator_says_so() {
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()).set("relay.bare_newline", "\"normalize\""));
    let mut client = Client::hello(relay.smtp());
    client.envelope("sender@src.test", &["user@dst.test"]);
    client.say("DATA").expect("354");
    client.write(format!("Subject: legacy\n\nfirst\n.\n{INNER}").as_bytes());
    client.reply().expect("250");
    client.write(b"QUIT\r\n");
    let mails = until("the mail", || Some(sink.received()).filter(|m| !m.is_empty()));
    assert_eq!(mails[0].recipients, ["user@dst.test"]);
    relay.wait_event("succeeded", "user@dst.test");
    assert!(sink.received().iter().all(|m| m.sender != "evil@src.test"), "the inner mail got out");
    assert!(sink.received()[0].text().contains("Subject: legacy\r\n\r\nfirst\r\n"));
}

#[test]
fn commands_before_starttls_are_forgotten() {
    let place = crate::support::Place::new();
    let (chain, key) = crate::support::tls::Authority::new().certificate(&["relay.test"]).write(&place);
    let sink = Sink::willing();
    let second = crate::support::place::address();
    let relay = Relay::start(
        Config::smarthost(sink.address())
            .set("tls.certificate", &format!("\"{}\"", chain.display()))
            .set("tls.private_key", &format!("\"{}\"", key.display()))
            .listener(&format!("address = \"{second}:2526\"\ntls = \"starttls\"")),
    );
    let mut client = Client::hello((second, 2526).into());
    client.write(b"STARTTLS\r\nMAIL FROM:<evil@src.test>\r\nRCPT TO:<victim@dst.test>\r\n");
    client.reply().expect("220");
    client.wire().connect_tls(crate::support::tls::trusting_client(), "relay.test").expect("the handshake succeeds");
    // If the injected MAIL had been taken, this RCPT would be answered 250.
    client.ehlo();
    client.say("RCPT TO:<user@dst.test>").expect("503");
    assert_eq!(relay.deliveries().len(), 0);
}
