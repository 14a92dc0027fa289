//! What each answer means, on the wire.

use proptest::prelude::*;

use super::*;
use crate::smtp::params::BodyType;

#[test]
fn recipients_have_verdicts_of_their_own() {
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    peer.at("RCPT b@x.test", &[Act::Say("550 5.1.1 no such user")]);
    peer.at("RCPT c@x.test", &[Act::Say("450-4.2.1 try\n450 4.2.1 later")]);
    let outcome = world.send(&["a@x.test", "b@x.test", "c@x.test"]);
    let want = [("delivered", "250"), ("failed", "550 5.1.1 no such user"), ("deferred", "450 4.2.1 try later")];
    check(&outcome, &want, SiteFeedback::Healthy);
    assert_eq!(outcome.results[1].detail.error, Some(ErrorClass::UnknownUser));
    assert_eq!(outcome.results[1].detail.phase, Some(Phase::Rcpt));
    assert_eq!(peer.contents().len(), 1);
}

#[test]
fn permanent_answers_fail_about_the_mail_and_defer_about_the_session() {
    for (command, answer, verdict, feedback) in [
        ("greeting", "554 go away", "site", SiteFeedback::Trouble),
        ("HELO", "550 bad name", "site", SiteFeedback::Trouble),
        ("MAIL", "553 5.1.8 bad sender", "failed", SiteFeedback::Healthy),
        ("RCPT", "550 no", "failed", SiteFeedback::Healthy),
        ("DATA", "554 no", "failed", SiteFeedback::Healthy),
        (".", "554 5.7.1 spam", "failed", SiteFeedback::Healthy),
        ("greeting", "450 busy", "site", SiteFeedback::Trouble),
        ("MAIL", "451 busy", "deferred", SiteFeedback::Healthy),
        ("RCPT", "451 greylisted", "deferred", SiteFeedback::Healthy),
        ("DATA", "451 busy", "deferred", SiteFeedback::Healthy),
        (".", "451 busy", "deferred", SiteFeedback::Healthy),
    ] {
        let world = World::new(|_| {});
        let peer = world.domain("x.test", 1);
        if command == "HELO" {
            peer.at("EHLO", &[Act::Say("502 what")]);
        }
        peer.at(command, &[Act::Say(answer)]);
        check(&world.send(&["u@x.test"]), &[(verdict, answer)], feedback);
    }
}

#[test]
fn a_goodbye_or_a_dropped_connection_in_any_phase_tries_the_next_host_and_then_defers() {
    for command in ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "."] {
        for act in [Act::SayAndClose("421 4.3.2 bye"), Act::Close] {
            if command == "." && matches!(act, Act::Close) {
                continue;
            }
            let world = World::new(|_| {});
            world.dns.set("x.test", Says::Mx(vec![(10, "one.test"), (20, "two.test")]));
            let (one, two) = (world.peer(1, "one.test"), world.peer(2, "two.test"));
            one.at(command, std::slice::from_ref(&act));
            check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
            assert_eq!((one.connections(), two.connections()), (1, 1), "{command} {act:?}");

            let world = World::new(|_| {});
            let only = world.domain("x.test", 1);
            only.at(command, std::slice::from_ref(&act));
            let outcome = world.send(&["u@x.test"]);
            let want = if matches!(act, Act::Close) { "4.4.2 mx.x.test[127.0.0.1]" } else { "421 4.3.2 bye" };
            check(&outcome, &[("site", want)], SiteFeedback::Trouble);
            assert!(!outcome.results[0].detail.possible_duplicate);
        }
    }
}

#[test]
fn a_reply_lost_after_the_final_dot_is_a_possible_duplicate_and_no_other_host_is_tried() {
    for act in [Act::Close, Act::Silence, Act::Say("gibberish")] {
        let world = if matches!(act, Act::Silence) { World::impatient() } else { World::new(|_| {}) };
        world.dns.set("x.test", Says::Mx(vec![(10, "one.test"), (20, "two.test")]));
        let (one, two) = (world.peer(1, "one.test"), world.peer(2, "two.test"));
        one.at(".", &[act]);
        let outcome = world.send(&["u@x.test"]);
        check(&outcome, &[("deferred", "4.4.2 no answer of one.test")], SiteFeedback::Trouble);
        assert!(outcome.results[0].detail.possible_duplicate);
        assert_eq!((one.contents().len(), two.connections()), (1, 0));
    }
}

#[test]
fn helo_lockstep_and_peers_that_offer_nothing_are_served() {
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    peer.at("EHLO", &[Act::Say("500 what")]);
    check(&world.send(&["u@x.test", "v@x.test"]), &[("delivered", "250"); 2], SiteFeedback::Healthy);
    assert_eq!(peer.heard()[..2], ["EHLO us.test", "HELO us.test"]);
}

#[test]
fn an_answer_that_is_no_smtp_defers() {
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    peer.at("greeting", &[Act::Say("HTTP/1.1 400 Bad Request")]);
    check(&world.send(&["u@x.test"]), &[("site", "4.5.0 mx.x.test")], SiteFeedback::Trouble);
}

#[test]
fn all_recipients_refused_and_354_all_the_same_ends_with_a_lone_dot() {
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    peer.at("RCPT", &[Act::Say("550 no"), Act::Say("250 ok")]);
    peer.at(".", &[Act::Say("554 nobody"), Act::Say("250 kept")]);
    check(&world.send(&["u@x.test"]), &[("failed", "550 no")], SiteFeedback::Healthy);
    assert_eq!(peer.contents(), [b""]);
    // The connection is good for the next message.
    check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
    assert_eq!(peer.connections(), 1);
}

#[test]
fn what_the_peer_cannot_take_fails_with_its_code() {
    let utf8 = || MailParams { smtputf8: true, ..MailParams::default() };
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    peer.offer("250-peer\n250 SIZE 10");
    let body = b"x\r\n";
    for (to, len, params, header_8bit, want, class) in [
        ("u@x.test", 11, MailParams::default(), false, "5.3.4 mx.x.test", ErrorClass::TooLarge),
        ("ü@x.test", 3, utf8(), false, "5.6.7 the address", ErrorClass::Other),
        ("u@x.test", 3, utf8(), true, "5.6.9 the header", ErrorClass::Other),
    ] {
        let outcome = world.deliver(job_with(&[to], Some(body), len, params, header_8bit));
        check(&outcome, &[("failed", want)], SiteFeedback::Healthy);
        assert_eq!(outcome.results[0].detail.error, Some(class));
    }
    // A raw 8-bit header and 8-bit content go out as they came, with or without 8BITMIME.
    let raw = "Subject: ü\r\n\r\nü\r\n".as_bytes();
    let params = MailParams { body: BodyType::EightBitMime, ..MailParams::default() };
    peer.offer("250 peer");
    world.deliverer.shared().pool.take_all();
    let world2 = World::new(|_| {});
    let eight = world2.domain("x.test", 2);
    for (world, peer) in [(&world, &peer), (&world2, &eight)] {
        let outcome = world.deliver(job_with(&["u@x.test"], Some(raw), raw.len() as u64, params.clone(), true));
        check(&outcome, &[("delivered", "250")], SiteFeedback::Healthy);
        assert_eq!(peer.contents().last().map(Vec::as_slice), Some(raw));
    }
    assert!(eight.heard().contains(&"MAIL FROM:<a@us.test> BODY=8BITMIME".to_owned()));
}

#[test]
fn a_peer_that_takes_few_recipients_or_messages_at_once_gets_them_in_parts() {
    for (offers, connections) in
        [("250-peer\n250 LIMITS RCPTMAX=2", 1), ("250-peer\n250 LIMITS RCPTMAX=2 MAILMAX=1", 3)]
    {
        let world = World::new(|_| {});
        let peer = world.domain("x.test", 1);
        peer.offer(offers);
        let to = ["a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test"];
        check(&world.send(&to), &[("delivered", "250"); 5], SiteFeedback::Healthy);
        assert_eq!((peer.contents().len(), peer.connections()), (3, connections));
    }
}

#[test]
fn a_stored_body_is_read_in_blocks_and_a_damaged_one_never_gets_its_dot() {
    let body: Vec<u8> =
        (0..200_000u32).flat_map(|n| if n % 40 == 39 { *b"\r\n." } else { [b'a' + (n % 26) as u8; 3] }).collect();
    let world = World::with(TestBodies(body.clone(), None), Trust::Anybody, |_| {});
    let peer = world.domain("x.test", 1);
    let stored = |len| job_with(&["u@x.test"], None, len, MailParams::default(), false);
    check(&world.deliver(stored(body.len() as u64)), &[("delivered", "250")], SiteFeedback::Healthy);
    let mut want = body.clone();
    want.extend_from_slice(b"\r\n");
    assert!(peer.contents() == [want]);

    for (bodies, want, heard) in [
        (TestBodies(body, Some("checksum")), "4.3.0 checksum", true),
        (TestBodies(Vec::new(), Some("missing")), "4.3.0 bodies/x is missing", false),
    ] {
        let world = World::with(bodies, Trust::Anybody, |_| {});
        let peer = world.domain("x.test", 1);
        check(&world.deliver(stored(600_000)), &[("damaged", want)], SiteFeedback::Unknown);
        std::thread::sleep(Duration::from_millis(50));
        assert!(peer.contents().is_empty());
        assert_eq!(peer.connections() == 1, heard);
    }
}

#[test]
fn content_arrives_octet_for_octet() {
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    let line = prop_oneof![
        4 => prop::collection::vec(any::<u8>().prop_filter("no line end", |b| *b != b'\r' && *b != b'\n'), 0..80),
        2 => Just(b".".to_vec()),
        1 => Just(b"..".to_vec()),
        1 => Just(vec![b'x'; 5000]),
    ];
    let body = (prop::collection::vec(line, 0..20), any::<bool>()).prop_map(|(lines, end)| {
        let mut body = lines.join(&b"\r\n"[..]);
        if end {
            body.extend_from_slice(b"\r\n");
        }
        body
    });
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(300));
    runner
        .run(&body, |body| {
            let outcome = world.deliver(job(&["u@x.test"], &body));
            prop_assert_eq!(short(&outcome)[0].0, "delivered");
            let mut want = body;
            if !want.is_empty() && !want.ends_with(b"\r\n") {
                want.extend_from_slice(b"\r\n");
            }
            prop_assert_eq!(peer.contents().pop(), Some(want));
            Ok(())
        })
        .expect("every body arrives");
}
