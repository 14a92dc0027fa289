//! What a message says about its delivery, to peers that know the words and to others.

use super::*;
use crate::smtp::params::{ByMode, DeliverBy, Hold};

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
