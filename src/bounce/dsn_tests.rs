//! Notices as their readers see them: fields, parts, what RET and NOTIFY ask for.

use mail_parser::{MessageParser, MimeHeaders, PartType};

use super::*;

const AT: Timestamp = Timestamp::from_millis(1_795_527_310_000);
const ORIGINAL: &[u8] = b"From: a@example.jp\r\nSubject: x\r\n\r\nHello --\r\n.\r\n";

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("an address")
}

fn recipient<'a>(address: &'a Mailbox, action: Action, reply: &'a str) -> RecipientReport<'a> {
    RecipientReport {
        address,
        orcpt: Some("rfc822;Han+2Bako@example.org"),
        action,
        in_time: InTime::NoDeadline,
        reply,
        host: "mx.example.org",
        last_attempt: Some(AT),
        will_retry_until: Some(AT),
    }
}

fn report<'a>(to: &'a Mailbox, recipients: &'a [RecipientReport<'a>], original: Original<'a>) -> Report<'a> {
    Report {
        hostname: "relay.example.jp",
        id: "n.1@relay.example.jp",
        at: AT,
        to,
        message: MessageId::from_u64(1 << 60),
        arrived_at: AT,
        hold: None,
        subject: "請求書",
        message_id: "<1@example.jp>",
        envid: Some("env+2Bid"),
        smtputf8: false,
        deliver_by: None,
        recipients,
        original,
    }
}

/// The parts of a report: (content type, body as text).
fn parts(composed: &Composed) -> Vec<(String, String)> {
    let message = MessageParser::new().parse(&composed.bytes).expect("parses");
    let mut out = Vec::new();
    for part in message.parts.iter().skip(1) {
        let kind =
            part.content_type().map_or_else(String::new, |c| format!("{}/{}", c.ctype(), c.subtype().unwrap_or("")));
        let raw = &composed.bytes[part.raw_body_offset() as usize..part.raw_end_offset() as usize];
        let text = match &part.body {
            PartType::Text(text) if kind == "text/plain" => text.to_string(),
            _ => String::from_utf8_lossy(raw).into_owned(),
        };
        out.push((kind, text));
    }
    out
}

#[test]
fn a_deadline_that_passed_has_its_own_status() {
    let (to, a) = (mailbox("a@example.jp"), mailbox("hanako@example.org"));
    let expired = "4.4.7 not delivered within 1h; last answer: 450 4.2.1 busy";
    for (action, in_time, reply, status) in [
        (Action::Delayed, InTime::Over, "450 4.2.1 busy", "4.4.7"),
        (Action::Delayed, InTime::Not, "450 4.2.1 busy", "4.2.1"),
        (Action::Failed, InTime::OverReturned, expired, "5.4.7"),
        (Action::Failed, InTime::OverReturned, "550 5.1.1 no", "5.1.1"),
        (Action::Failed, InTime::Over, expired, "4.4.7"),
        (Action::Failed, InTime::NoDeadline, expired, "4.4.7"),
    ] {
        let recipients = [RecipientReport { in_time, ..recipient(&a, action, reply) }];
        let mut report = report(&to, &recipients, Original::Nothing);
        report.deliver_by = Some(AT);
        report.hold = Some(Hold::Until(AT.as_seconds()));
        let parts = parts(&compose(&report));
        assert!(parts[1].1.contains(&format!("Status: {status}\r\n")), "{in_time:?} {reply}: {}", parts[1].1);
        assert!(parts[1].1.contains("Deliver-By-Date: Tue, 24 Nov 2026 13:35:10 +0000\r\n"), "{}", parts[1].1);
        assert!(parts[1].1.contains("Future-Release-Request: until;2026-11-24T13:35:10Z\r\n"), "{}", parts[1].1);
        assert!(parts[0].1.contains("Held until: Tue, 24 Nov 2026 13:35:10 +0000"), "{}", parts[0].1);
        let says_over = parts[0].1.contains("The time that you gave for its delivery is over.");
        assert_eq!(says_over, matches!(in_time, InTime::Over | InTime::OverReturned), "{}", parts[0].1);
    }
}

#[test]
fn a_failure_notice_tells_people_and_programs() {
    let (to, a, b) = (mailbox("a@example.jp"), mailbox("hanako@example.org"), mailbox("taro@example.org"));
    let recipients = [
        recipient(&a, Action::Failed, "550 5.1.1 <hanako@example.org>: no such user 日本"),
        recipient(&b, Action::Failed, "4.4.7 not delivered within 4 days; last answer: 450 4.2.1 busy"),
    ];
    let composed = compose(&report(&to, &recipients, Original::Full(ORIGINAL)));
    assert!(!composed.smtputf8 && !composed.is_8bit);
    let message = MessageParser::new().parse(&composed.bytes).expect("parses");
    let content_type = message.content_type().expect("typed");
    assert_eq!((content_type.ctype(), content_type.subtype()), ("multipart", Some("report")));
    assert_eq!(content_type.attribute("report-type"), Some("delivery-status"));
    assert_eq!(message.header_raw("Auto-Submitted").map(str::trim), Some("auto-replied"));
    assert_eq!(message.subject(), Some(dsn_text::subject(Action::Failed)));
    assert_eq!(message.message_id(), Some("n.1@relay.example.jp"));

    let parts = parts(&composed);
    let kinds: Vec<&str> = parts.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds[..3], ["text/plain", "message/delivery-status", "message/rfc822"]);
    for wanted in ["could not be delivered", "配信できませんでした", "請求書", "no such user", "check its spelling"]
    {
        assert!(parts[0].1.contains(wanted), "{wanted}: {}", parts[0].1);
    }
    assert_eq!(
        parts[1].1.trim_end(),
        "Reporting-MTA: dns; relay.example.jp\r\n\
         Original-Envelope-Id: env+id\r\n\
         Arrival-Date: Tue, 24 Nov 2026 13:35:10 +0000\r\n\
         X-Hikyaku-Queue-ID: 1000000000000\r\n\
         \r\n\
         Original-Recipient: rfc822; Han+ako@example.org\r\n\
         Final-Recipient: rfc822; hanako@example.org\r\n\
         Action: failed\r\n\
         Status: 5.1.1\r\n\
         Remote-MTA: dns; mx.example.org\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 <hanako@example.org>: no such user ??\r\n\
         Last-Attempt-Date: Tue, 24 Nov 2026 13:35:10 +0000\r\n\
         \r\n\
         Original-Recipient: rfc822; Han+ako@example.org\r\n\
         Final-Recipient: rfc822; taro@example.org\r\n\
         Action: failed\r\n\
         Status: 4.4.7\r\n\
         Remote-MTA: dns; mx.example.org\r\n\
         Diagnostic-Code: X-Hikyaku; 4.4.7 not delivered within 4 days; last answer:\r\n \
         450 4.2.1 busy\r\n\
         Last-Attempt-Date: Tue, 24 Nov 2026 13:35:10 +0000"
    );
    let source = String::from_utf8_lossy(&composed.bytes);
    assert!(!source.contains("delivery-status; charset"), "the builder's charset must not appear");
    assert!(source.contains(std::str::from_utf8(ORIGINAL).expect("text")), "the mail comes back as it is");
}

#[test]
fn delays_and_receipts_say_so() {
    let (to, a) = (mailbox("a@example.jp"), mailbox("hanako@example.org"));
    for (action, reply, fields) in [
        (Action::Delayed, "450 4.2.1 busy", vec!["Action: delayed", "Status: 4.2.1", "Will-Retry-Until: Tue, 24"]),
        (Action::Delayed, "554 5.7.1 at greeting", vec!["Status: 4.0.0"]),
        (Action::Relayed, "250 2.6.0 ok", vec!["Action: relayed", "Status: 2.6.0"]),
        (Action::Delivered, "250 ok", vec!["Action: delivered", "Status: 2.0.0"]),
    ] {
        let recipients = [recipient(&a, action, reply)];
        let parts = parts(&compose(&report(&to, &recipients, Original::Headers(b"Subject: x\r\n\r\n"))));
        assert_eq!(parts[2].0, "text/rfc822-headers");
        for field in fields {
            assert!(parts[1].1.contains(field), "{field}: {}", parts[1].1);
        }
        assert_eq!(parts[1].1.contains("Will-Retry"), action == Action::Delayed);
    }
}

#[test]
fn an_international_address_makes_the_global_forms() {
    let (to, a) = (mailbox("送信@例え.jp"), mailbox("花子@例え.jp"));
    let recipients = [RecipientReport { orcpt: None, ..recipient(&a, Action::Failed, "550 5.1.1 いません") }];
    let composed = compose(&report(&to, &recipients, Original::Full("Subject: 件\r\n\r\n本文\r\n".as_bytes())));
    assert!(composed.smtputf8 && composed.is_8bit);
    let source = String::from_utf8(composed.bytes.clone()).expect("UTF-8");
    assert!(
        source.contains("report-type=\"global-delivery-status\"")
            || source.contains("report-type=global-delivery-status")
    );
    assert!(source.contains("To: <送信@例え.jp>\r\n"), "{source}");
    let parts = parts(&composed);
    assert_eq!(parts[1].0, "message/global-delivery-status");
    assert!(parts[1].1.contains("Final-Recipient: utf-8; 花子@例え.jp"), "{}", parts[1].1);
    assert!(parts[1].1.contains("Diagnostic-Code: smtp; 550 5.1.1 いません"), "{}", parts[1].1);
    assert_eq!(parts[2].0, "message/global");
}

#[test]
fn a_peers_words_cannot_forge_a_field() {
    let (to, a) = (mailbox("a@example.jp"), mailbox("hanako@example.org"));
    let reply = format!("550 x\r\n\r\nFinal-Recipient: rfc822; victim@example.org\r\nAction: {}", "y".repeat(5_000));
    let recipients = [RecipientReport { orcpt: Some("rfc822;a+0D+0Ab"), ..recipient(&a, Action::Failed, &reply) }];
    let composed = compose(&report(&to, &recipients, Original::Nothing));
    let parts = parts(&composed);
    assert_eq!(parts[1].1.matches("\r\nFinal-Recipient:").count(), 1, "{}", parts[1].1);
    assert!(!parts[1].1.contains("Original-Recipient"), "an ORCPT with a line end is left out");
    assert!(parts[1].1.lines().all(|line| line.len() <= 998));
    assert_eq!(parts.len(), 2);
}

#[test]
fn statuses_come_from_the_answer() {
    for (action, reply, expected) in [
        (Action::Failed, "550 5.1.1 x", "5.1.1"),
        (Action::Failed, "550 no code", "5.0.0"),
        (Action::Failed, "550 2.1.1 nonsense", "5.0.0"),
        (Action::Failed, "550 5.1.1.1 nonsense", "5.0.0"),
        (Action::Failed, "5.1.2 no such domain", "5.1.2"),
        (Action::Failed, "", "5.0.0"),
        (Action::Failed, "450 busy", "4.0.0"),
        (Action::Delayed, "421 4.3.2 closing", "4.3.2"),
    ] {
        assert_eq!(status(action, reply), expected, "{reply}");
    }
}
