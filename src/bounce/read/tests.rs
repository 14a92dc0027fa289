//! What the reader promises of whole mails.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::Clock;

fn kinds(mail: &str) -> (Kind, Vec<(String, Action)>) {
    let reading = read(mail.as_bytes());
    (reading.kind, reading.rows.into_iter().map(|r| (r.recipient, r.action)).collect())
}

const REPORT: &str = "Return-Path: <>\r\nFrom: Mail Delivery System <MAILER-DAEMON@mx.example>\r\nTo: b-token@return.example\r\n\
    Subject: Undelivered Mail Returned to Sender\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain\r\n\r\nI'm sorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
    Reporting-MTA: dns; mx.example\r\nOriginal-Envelope-Id: 42\r\nX-Postfix-Sender: rfc822; s@return.example\r\n\r\n\
    Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\nStatus: 5.0.0\r\nRemote-MTA: dns; in.b.example\r\n\
    Diagnostic-Code: smtp; 550 5.1.1 <a@b.example> unknown\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
    Return-Path: <r@return.example>\r\nMessage-ID: <1@s>\r\nSubject: =?utf-8?b?5pel5pys?=\r\nX-Api-Data: k1\r\n\r\nHello\r\n--b--\r\n";

#[test]
fn a_report_is_read_whole() {
    let reading = read(REPORT.as_bytes());
    assert_eq!(reading.kind, Kind::Bounce);
    let row = &reading.rows[0];
    assert_eq!(
        (row.recipient.as_str(), row.status.as_str(), row.reply_code, row.host.as_str()),
        ("a@b.example", "5.1.1", Some(550), "in.b.example")
    );
    let original = reading.original;
    assert_eq!(original.return_paths, ["r@return.example", "s@return.example", "b-token@return.example"]);
    assert_eq!((original.message_id.as_str(), original.envid.as_str()), ("<1@s>", "42"));
    assert_eq!((original.subject.as_str(), original.api_data.as_str()), ("日本", "k1"));
}

#[test]
fn what_is_certainly_no_failure_is_none() {
    let delivered = REPORT.replace("Action: failed", "Action: delivered").replace("5.0.0", "2.0.0");
    assert_eq!(kinds(&delivered).0, Kind::Delivered);
    let delayed = REPORT.replace("Action: failed", "Action: delayed").replace("5.0.0", "4.4.1");
    assert_eq!(kinds(&delayed), (Kind::Delay, vec![("a@b.example".into(), Action::Delayed)]));
    for (mail, kind) in [
        (
            "From: a@b.example\r\nSubject: hello\r\n\r\nThis could not be delivered yesterday, they said.\r\n",
            Kind::Other,
        ),
        ("From: a@b.example\r\nSubject: Re: Undelivered Mail\r\n\r\nWhy was it undeliverable?\r\n", Kind::Other),
        (
            "Return-Path: <>\r\nFrom: a@b.example\r\nSubject: Automatic reply: x\r\n\r\nI'm out. Mail is not delivered.\r\n",
            Kind::AutoReply,
        ),
        (
            "Auto-Submitted: auto-replied\r\nFrom: a@b.example\r\nSubject: away\r\n\r\nI am on vacation.\r\n",
            Kind::AutoReply,
        ),
        ("", Kind::Other),
    ] {
        assert_eq!(kinds(mail).0, kind, "{mail}");
    }
}

#[test]
fn a_bounce_of_a_bounce_is_about_the_outer_one() {
    let outer = REPORT.replace("Hello\r\n", REPORT);
    assert_eq!(kinds(&outer), kinds(REPORT));
}

#[test]
fn words_for_people_are_read() {
    for (text, recipient, status) in [
        (
            "Hi. This is the qmail-send program at x.example.\r\nI'm afraid I wasn't able to deliver your message to the following addresses.\r\n\
             This is a permanent error; I've given up. Sorry it didn't work out.\r\n\r\n<a@b.example>:\r\n192.0.2.1 does not like recipient.\r\n\
             Remote host said: 550 5.1.1 no mailbox here\r\nGiving up on 192.0.2.1.\r\n",
            "a@b.example",
            "5.1.1",
        ),
        (
            "Your message\r\n\r\n  Subject: x\r\n\r\nwas not delivered to:\r\n\r\n  a@b.example\r\n\r\nbecause:\r\n\r\n  User not listed\r\n",
            "a@b.example",
            "5.0.0",
        ),
        (
            "次のあて先へのメッセージはエラーのため送信できませんでした。\r\n\r\n宛先: a@b.example\r\n理由: 550 Unknown user\r\n",
            "a@b.example",
            "5.0.0",
        ),
    ] {
        let mail = format!(
            "Return-Path: <>\r\nFrom: MAILER-DAEMON@x.example\r\nTo: s@return.example\r\nSubject: failure notice\r\n\r\n{text}"
        );
        let reading = read(mail.as_bytes());
        assert_eq!(reading.kind, Kind::Bounce, "{text}");
        assert_eq!(
            (reading.rows[0].recipient.as_str(), reading.rows[0].status.as_str()),
            (recipient, status),
            "{text}"
        );
    }
}

#[test]
fn every_text_is_bounded() {
    let long = "x".repeat(100_000);
    let mail = REPORT
        .replace("unknown", &long)
        .replace("<1@s>", &format!("<{long}>"))
        .replace("r@return", &format!("{long}@return"))
        .replace("k1", &long);
    let reading = read(mail.as_bytes());
    assert!(reading.rows[0].diagnostic.len() <= 1_024 && !reading.rows[0].diagnostic.contains('\n'));
    let original = reading.original;
    assert!(original.message_id.len() <= 514 && original.api_data.len() <= 512);
    assert!(original.return_paths.iter().all(|p| p.len() <= 320));
}

/// A mail of 20 MiB in 10,000 parts.
fn large(kind: &str) -> Vec<u8> {
    let mut mail =
        b"Return-Path: <>\r\nSubject: failure notice\r\nContent-Type: multipart/report; boundary=b\r\n\r\n".to_vec();
    let line = "<a@b.example>: 550 ".to_owned() + &"x".repeat(51) + "\r\n";
    for _ in 0..10_000 {
        mail.extend_from_slice(format!("--b\r\nContent-Type: {kind}\r\n\r\n").as_bytes());
        for _ in 0..29 {
            mail.extend_from_slice(line.as_bytes());
        }
    }
    mail
}

#[test]
fn a_large_mail_costs_little() {
    // 100 ms with optimisation; without it the machine is up to twenty times slower, and shared.
    let allowed = if cfg!(debug_assertions) { Duration::from_secs(5) } else { Duration::from_millis(100) };
    read(REPORT.as_bytes());
    read(b"Subject: failure notice\r\n\r\nthe rules are compiled once");
    for kind in ["text/plain", "text/html", "message/delivery-status", "message/rfc822", "multipart/mixed; boundary=b"]
    {
        let mail = large(kind);
        assert!(mail.len() > 20 * 1024 * 1024);
        let clock = Clock::system();
        let start = clock.now();
        let reading = read(&mail);
        let took = clock.now().since(start);
        assert!(took < allowed, "{kind}: {took:?}");
        assert!(reading.rows.len() <= 1_000);
    }
}

proptest! {
    // Notices go through every rule; these many find what there is to find.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read(&bytes);
    }

    #[test]
    fn no_damaged_report_makes_it_panic(
        at in 0usize..1_400,
        len in 0usize..300,
        with in "[\\r\\n -~日\u{1b}é]{0,80}",
        headers in any::<bool>(),
    ) {
        let mut bytes = REPORT.as_bytes().to_vec();
        let at = at.min(bytes.len());
        let end = (at + len).min(bytes.len());
        bytes.splice(at..end, with.bytes());
        if headers {
            bytes.splice(0..0, b"Content-Transfer-Encoding: quoted-printable\r\n".iter().copied());
        }
        read(&bytes);
    }

    #[test]
    fn no_notice_makes_it_panic(
        lines in proptest::collection::vec("(<a@b.example>|550 |--- |>>> |Remote host said:|To:|@)?[ -~日é\u{3000}]{0,40}", 0..20),
        subject in "(failure notice|Undeliverable|[ -~]{0,20})",
    ) {
        let mail = format!("From: MAILER-DAEMON\r\nSubject: {subject}\r\n\r\n{}", lines.join("\r\n"));
        for row in read(mail.as_bytes()).rows {
            prop_assert!(!row.diagnostic.contains('\n') && row.recipient.len() <= 320);
        }
    }
}
