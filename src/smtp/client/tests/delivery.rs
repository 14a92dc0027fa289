//! What a message says about its delivery, to peers that know the words and to others.

use super::*;
use crate::{
    ids::MessageId,
    smtp::params::{ByMode, DeliverBy, Hold},
};

fn by(mode: ByMode, trace: bool) -> MailParams {
    // What MAIL said; what is sent is what is left.
    MailParams { by: Some(DeliverBy { seconds: 600, mode, trace }), ..MailParams::default() }
}

fn mail_line(play: &mut Play) -> String {
    play.collect();
    let line = play.written.split(|b| *b == b'\r').next().unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}

/// A client that is ready under TLS, with the given EHLO lines.
fn secure(offers: &[&str]) -> Play {
    let mut play = Play::new(setup(TlsMode::IfOffered));
    play.run(
        "S: 220 hi\nC: EHLO us.example\nS: 250-them\nS: 250-REQUIRETLS\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\nC: EHLO us.example",
    );
    let lines: String = offers.iter().map(|offer| format!("250-{offer}\r\n")).collect();
    play.client.receive(format!("250-them\r\n{lines}250 HELP\r\n").as_bytes());
    play.run("READY");
    play
}

#[test]
fn a_priority_is_passed_on_where_it_is_understood() {
    let params = MailParams { mt_priority: Some(-4), hold: Some(Hold::For(60)), ..MailParams::default() };
    for (offers, expected) in [
        (
            &["MT-PRIORITY MIXER", "FUTURERELEASE 999 2030-01-01T00:00:00Z"][..],
            "MAIL FROM:<a@us.example> MT-PRIORITY=-4",
        ),
        (&[], "MAIL FROM:<a@us.example>"),
    ] {
        let mut play = ready(offers);
        play.begin(&["x@b"], &params);
        assert_eq!(mail_line(&mut play), expected);
    }
}

#[test]
fn a_deadline_is_passed_on_as_what_is_left_of_it() {
    for (offers, params, left, expected) in [
        (&["DELIVERBY"][..], by(ByMode::Notify, false), 599, " BY=599;N"),
        (&["DELIVERBY"], by(ByMode::Notify, true), -12, " BY=-12;NT"),
        (&["DELIVERBY 30"], by(ByMode::Notify, false), 5, " BY=5;N"),
        (&["DELIVERBY 30"], by(ByMode::Return, true), 30, " BY=30;RT"),
        (&["DELIVERBY"], by(ByMode::Notify, false), i64::MIN, " BY=-999999999;N"),
        (&[], by(ByMode::Notify, true), 5, ""),
    ] {
        let mut play = ready(offers);
        play.begin_from(Some("a@us.example"), &["x@b"], &params, Some(left));
        assert_eq!(mail_line(&mut play), format!("MAIL FROM:<a@us.example>{expected}"), "{offers:?}");
    }
}

#[test]
fn a_peer_without_deadlines_is_asked_to_tell_of_delays() {
    let rcpt = |play: &mut Play| {
        play.collect();
        let text = String::from_utf8_lossy(&play.written).into_owned();
        text.lines().find(|line| line.starts_with("RCPT")).unwrap_or_default().to_owned()
    };
    for (offers, left, notify) in [
        (&["PIPELINING", "DSN"][..], 599, " NOTIFY=FAILURE,DELAY"),
        (&["PIPELINING", "DSN", "DELIVERBY"], 599, ""),
        (&["PIPELINING", "DSN"], 0, ""),
        (&["PIPELINING"], 599, ""),
    ] {
        let mut play = ready(offers);
        play.begin_from(Some("a@us.example"), &["x@b"], &by(ByMode::Notify, false), Some(left));
        let line = rcpt(&mut play);
        assert_eq!(line.contains(" NOTIFY="), !notify.is_empty(), "{offers:?} {left}: {line}");
        assert!(line.contains(notify), "{offers:?} {left}: {line}");
    }
}

#[test]
fn a_mail_that_must_come_back_in_time_goes_only_where_that_is_understood_and_in_time() {
    for (offers, left, expected) in [
        (&[][..], 300, "mail NeedsDeliverBy"),
        (&["DELIVERBY soon"], 300, "mail NeedsDeliverBy"),
        (&["DELIVERBY 301"], 300, "mail TooLate"),
        (&["DELIVERBY"], 0, "mail TooLate"),
        (&[], -1, "mail TooLate"),
    ] {
        let mut play = ready(offers);
        play.begin_from(Some("a@us.example"), &["x@b", "y@b"], &by(ByMode::Return, false), Some(left));
        assert_eq!(play.ends(), [expected, expected], "{offers:?} {left}");
        assert!(play.client.is_reusable(), "the next message may go");
    }
}

#[test]
fn requiretls_is_asked_for_under_tls_and_nothing_leaves_without_it() {
    let params = MailParams { require_tls: true, ..MailParams::default() };
    let mut play = secure(&["REQUIRETLS"]);
    play.begin(&["x@b"], &params);
    assert_eq!(mail_line(&mut play), "MAIL FROM:<a@us.example> REQUIRETLS");

    // Offered in clear only, or not at all: an offer that an attacker could have written counts for nothing.
    for mut play in [secure(&[]), ready(&["REQUIRETLS"]), ready(&[])] {
        play.begin(&["x@b"], &params);
        assert_eq!(play.ends(), ["mail NeedsRequireTls"]);
    }
    // A notice is not lost for want of it (RFC 8689 §5).
    for (mut play, expected) in [(secure(&["REQUIRETLS"]), "MAIL FROM:<> REQUIRETLS"), (secure(&[]), "MAIL FROM:<>")] {
        play.begin_from(None, &["x@b"], &params, None);
        assert_eq!(mail_line(&mut play), expected);
    }
    // And nobody asks for it unasked.
    let mut play = secure(&["REQUIRETLS"]);
    play.begin(&["x@b"], &MailParams::default());
    assert_eq!(mail_line(&mut play), "MAIL FROM:<a@us.example>");
}

/// MAIL and RCPT as they are written to a peer with these offers.
fn dsn_lines(offers: &[&str], params: &MailParams, to: &str, rcpt: &RcptParams, ours: bool) -> (String, String) {
    let (mut play, from, to) = (ready(offers), Mailbox::parse("b@us.example").expect("an address"), boxes(&[to]));
    play.client.begin(&Transaction {
        sender: Some(&from),
        params,
        size: 1,
        header_is_8bit: false,
        by_left: None,
        reports_to_us: ours.then(|| MessageId::from_u64(7)),
        recipients: &[(&to[0], rcpt)],
    });
    play.collect();
    let text = String::from_utf8(play.written.clone()).expect("UTF-8");
    let after = |command: &str| {
        let line = text.lines().find(|line| line.starts_with(command)).expect("the command");
        line.split_once("> ").map_or("", |(_, params)| params).to_owned()
    };
    (after("MAIL"), after("RCPT"))
}

#[test]
fn where_reports_come_to_us_the_peer_is_asked_for_failures_alone_and_given_what_finds_them() {
    let all = &["PIPELINING", "DSN", "SMTPUTF8"][..];
    let own = "ENVID=0000000000007";
    let notify = |given, success, failure, delay| Notify { given, success, failure, delay };
    for (envid, asked, ours, mail, rcpt) in [
        // ENVID and NOTIFY of the submitter; whose return address it is; what the peer reads.
        (None, notify(false, false, false, false), true, own, ""),
        (None, notify(false, false, false, false), false, "", ""),
        (Some("E+2B1"), notify(true, false, false, false), true, "ENVID=E+2B1", "NOTIFY=NEVER "),
        (Some("E+2B1"), notify(true, false, false, false), false, "ENVID=E+2B1", "NOTIFY=NEVER "),
        (Some("E\n1"), notify(true, true, true, true), true, own, "NOTIFY=FAILURE "),
        (None, notify(true, true, false, true), true, own, "NOTIFY=FAILURE "),
        (None, notify(true, true, true, true), false, "", "NOTIFY=SUCCESS,FAILURE,DELAY "),
        (None, notify(true, false, true, false), true, own, "NOTIFY=FAILURE "),
    ] {
        let params = MailParams { envid: envid.map(str::to_owned), ..MailParams::default() };
        let asked = RcptParams { notify: asked, orcpt: None };
        let got = dsn_lines(all, &params, "x@b.example", &asked, ours);
        assert_eq!(got, (mail.to_owned(), format!("{rcpt}ORCPT=rfc822;x@b.example")), "{envid:?} {asked:?} {ours}");
        let got = dsn_lines(&["PIPELINING"], &params, "x@b.example", &asked, ours);
        assert_eq!(got, (String::new(), String::new()), "a peer without DSN reads none of it");
    }
}

#[test]
fn the_original_recipient_is_always_named() {
    let long = format!("{}@{}", "+".repeat(60), ["b"; 96].join("."));
    let long_xtext = format!("{}@{}", "+2B".repeat(60), ["b"; 96].join("."));
    for (to, orcpt, expected) in [
        ("x@b", Some("rfc822;orig@b"), "ORCPT=rfc822;orig@b"),
        ("x+y=z@b", None, "ORCPT=rfc822;x+2By+3Dz@b"),
        ("x@b", Some("evil x"), "ORCPT=rfc822;x@b"),
        (long.as_str(), None, &format!("ORCPT=rfc822;{long_xtext}")),
        ("飛脚+1@例え.jp", None, "ORCPT=utf-8;飛脚\\x{2B}1@例え.jp"),
        ("飛脚@例え.jp", Some("utf-8;配達@例え.jp"), "ORCPT=utf-8;配達@例え.jp"),
        // Where SMTPUTF8 is not asked for, what needs it is not said.
        ("x@b", Some("utf-8;配達@例え.jp"), "ORCPT=rfc822;x@b"),
    ] {
        let asked = RcptParams { notify: Notify::default(), orcpt: orcpt.map(str::to_owned) };
        let (_, rcpt) = dsn_lines(&["DSN", "SMTPUTF8", "PIPELINING"], &MailParams::default(), to, &asked, true);
        assert_eq!(rcpt, expected, "{to} {orcpt:?}");
    }
}
