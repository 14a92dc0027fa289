//! The sender that goes out, and who shares a transaction.

use super::*;
use crate::{
    bounce::{envelope_from::ReturnPath, keys::NotOpened},
    smtp::params::Notify,
};

const THREE: [&str; 3] = ["one@x.test", "two@x.test", "three@x.test"];

fn token() -> ReturnPath {
    ReturnPath::Token { domain: "return.us.test".into(), epoch: 0 }
}

fn kept() -> ReturnPath {
    ReturnPath::KeepLocal { domain: "return.us.test".into() }
}

/// A mail whose message is changed before it is sent.
fn mail(to: &[&str], body: Option<&[u8]>, change: impl FnOnce(&mut Message)) -> Job {
    let len = body.map_or(0, |b| b.len() as u64);
    let mut job = job_with(to, body, len, MailParams::default(), false);
    change(&mut Arc::get_mut(&mut job.loaded).expect("its only owner").message);
    job
}

const BODY: &[u8] = b"Subject: x\r\n\r\n.hello\r\n";

/// Lines of these commands.
fn heard(peer: &Peer, commands: &[&str]) -> Vec<String> {
    let wanted = |line: &String| commands.iter().any(|command| line.starts_with(command));
    peer.heard().into_iter().filter(wanted).collect()
}

/// The recipient that the sender of a MAIL line names.
fn opened(line: &str) -> Result<RecipientKey, NotOpened> {
    let sender = line.split(['<', '>']).nth(1).expect("a path");
    let (local, domain) = sender.split_once('@').expect("an address");
    assert_eq!(domain, "return.us.test");
    keys().open(local, Timestamp::ZERO, Duration::ZERO)
}

#[test]
fn with_tokens_each_recipient_has_a_transaction_and_a_verdict_of_its_own_on_one_connection() {
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    let go = Act::Say("354 go on");
    peer.at("RCPT two@x.test", &[Act::Say("550 5.1.1 nobody")]);
    peer.at("DATA", &[go.clone(), Act::Say("503 5.5.1 for whom?"), go]);
    let outcome = world.deliver(mail(&THREE, Some(BODY), |m| m.return_path = token()));
    check(
        &outcome,
        &[("delivered", "250"), ("failed", "550 5.1.1 nobody"), ("delivered", "250")],
        SiteFeedback::Healthy,
    );
    assert_eq!(outcome.results.iter().map(|r| r.index).collect::<Vec<_>>(), [0, 1, 2]);
    let lines = heard(&peer, &["MAIL", "RCPT"]);
    let of = |index| Ok(RecipientKey { message: MessageId::from_u64(7), index });
    assert_eq!(lines.len(), 6, "{lines:?}");
    for (n, pair) in lines.chunks(2).enumerate() {
        assert_eq!(opened(&pair[0]), of(n as u32), "{pair:?}");
        assert!(pair[1].contains(THREE[n]), "{pair:?}");
    }
    assert_eq!((peer.connections(), peer.contents()), (1, vec![BODY.to_vec(); 2]), "the same content for both");
    // A retry goes out under the same address.
    world.deliver(mail(&THREE[..1], Some(BODY), |m| m.return_path = token()));
    assert_eq!(heard(&peer, &["MAIL"])[3], lines[0]);
}

#[test]
fn a_body_on_disk_is_read_again_for_each() {
    let body: Vec<u8> = b"Subject: x\r\n\r\n".iter().copied().chain(b".line\r\n".repeat(30_000)).collect();
    let world = World::with(TestBodies(body.clone(), None), Trust::Anybody, |_| {});
    let peer = world.domain("x.test", 1);
    let outcome = world.deliver(mail(&THREE, None, |m| (m.return_path, m.len) = (token(), body.len() as u64)));
    check(&outcome, &[("delivered", "250"); 3], SiteFeedback::Healthy);
    assert!(peer.contents() == vec![body; 3]);
}

#[test]
fn other_mail_shares_a_transaction_and_leaves_as_was_decided() {
    for (path, sender, expected) in [
        (ReturnPath::AsIs, Some("Shop@us.test"), "Shop@us.test"),
        (kept(), Some("Shop@us.test"), "Shop@return.us.test"),
        (ReturnPath::AsIs, None, ""),
        // Never: but if it were stored so, a null sender stays one.
        (token(), None, ""),
        (kept(), None, ""),
    ] {
        let world = World::new(|_| {});
        let peer = world.domain("x.test", 1);
        let job = mail(&THREE, Some(BODY), |m| {
            m.return_path = path.clone();
            m.sender = sender.and_then(|s| Mailbox::parse(s).ok());
        });
        check(&world.deliver(job), &[("delivered", "250"); 3], SiteFeedback::Healthy);
        assert_eq!(heard(&peer, &["MAIL"]), [format!("MAIL FROM:<{expected}>")], "{path:?}");
        assert_eq!(peer.contents().len(), 1);
    }
}

#[test]
fn what_is_a_recipients_own_stands_before_the_body_in_a_transaction_of_its_own() {
    let to = ["a@x.test", "plain@x.test", "plain@x.test", "b@x.test"];
    let own = |to: &str| [format!("X-Leave: {to}\r\n..folded: no\r\n").as_bytes(), BODY].concat();
    for in_ram in [true, false] {
        let world = World::with(TestBodies(BODY.to_vec(), None), Trust::Anybody, |_| {});
        let peer = world.domain("x.test", 1);
        peer.offer("250-peer.test\n250-PIPELINING\n250 SIZE 1000");
        let job = mail(&to, in_ram.then_some(BODY), |m| (m.list, m.len) = ("leave".into(), BODY.len() as u64));
        check(&world.deliver(job), &[("delivered", "250"); 4], SiteFeedback::Healthy);
        assert_eq!(peer.contents(), [own("a@x.test"), BODY.to_vec(), own("b@x.test")]);
        let sizes = [own("a@x.test").len(), BODY.len(), own("b@x.test").len()];
        assert_eq!(heard(&peer, &["MAIL"]), sizes.map(|n| format!("MAIL FROM:<a@us.test> SIZE={n}")));
    }
    // Both at once: the token and the line are of the same recipient.
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    let job = mail(&to, Some(BODY), |m| (m.list, m.return_path) = ("leave".into(), token()));
    check(&world.deliver(job), &[("delivered", "250"); 4], SiteFeedback::Healthy);
    assert_eq!(peer.contents(), [own("a@x.test"), BODY.to_vec(), BODY.to_vec(), own("b@x.test")]);
    let indexes: Vec<_> = heard(&peer, &["MAIL"]).iter().map(|line| opened(line).map(|of| of.index)).collect();
    assert_eq!(indexes, [Ok(0), Ok(1), Ok(2), Ok(3)]);
}

#[test]
fn the_peer_reports_to_the_sender_only_where_it_heard_the_senders_address() {
    for (path, offers, expected) in [
        (ReturnPath::AsIs, "250-peer.test\n250 DSN", true),
        (ReturnPath::AsIs, "250 peer.test", false),
        (token(), "250-peer.test\n250 DSN", false),
        (kept(), "250-peer.test\n250 DSN", false),
    ] {
        let world = World::new(|_| {});
        let peer = world.domain("x.test", 1);
        peer.offer(offers);
        let mut job = mail(&THREE[..1], Some(BODY), |m| m.return_path = path.clone());
        job.recipients[0].params.notify = Notify { given: true, success: true, ..Notify::default() };
        let outcome = world.deliver(job);
        assert_eq!(
            outcome.results[0].verdict,
            Verdict::Delivered { peer_does_dsn: expected, peer_does_by: false },
            "{path:?} {offers}"
        );
        let asked = heard(&peer, &["RCPT"])[0].contains("NOTIFY=SUCCESS");
        assert_eq!(asked, expected, "{path:?} {offers}");
    }
}

#[test]
fn a_connection_that_ends_midway_costs_nobody_a_second_copy_or_a_try() {
    let many: Vec<String> = (0..12).map(|n| format!("u{n}@x.test")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (limit, offers) in
        [(5, "250-peer.test\n250 PIPELINING"), (100, "250-peer.test\n250-PIPELINING\n250 LIMITS MAILMAX=5")]
    {
        let world = World::new(|c| c.delivery.messages_per_connection = limit);
        let peer = world.domain("x.test", 1);
        peer.offer(offers);
        let outcome = world.deliver(mail(&many, Some(BODY), |m| m.return_path = token()));
        check(&outcome, &[("delivered", "250"); 12], SiteFeedback::Healthy);
        assert_eq!((peer.connections(), peer.contents().len()), (3, 12), "{offers}");
    }
    // The peer goes away by itself: those that are left go over a new connection at once.
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    let well = Act::Say("250 ok");
    peer.at("MAIL", &[well.clone(), well.clone(), Act::SayAndClose("421 4.4.2 enough"), well]);
    let outcome = world.deliver(mail(&many, Some(BODY), |m| m.return_path = token()));
    check(&outcome, &[("delivered", "250"); 12], SiteFeedback::Healthy);
    assert_eq!((peer.connections(), peer.contents().len()), (2, 12));
}

#[test]
fn copies_of_their_own_keep_a_speed_rules_interval_and_leave_the_rest_to_other_attempts() {
    let clock = Clock::system();
    for (interval, expected) in [(Duration::from_millis(150), 4), (Duration::from_secs(40), 1)] {
        let world = World::new(|c| {
            let mut slow = rule("slow", &["@x\\.test$"], &[]);
            slow.interval = interval;
            c.delivery.rules = vec![slow];
        });
        let peer = world.domain("x.test", 1);
        let to = ["a@x.test", "b@x.test", "c@x.test", "d@x.test"];
        let began = clock.instant();
        let outcome = world.deliver(mail(&to, Some(BODY), |m| m.return_path = token()));
        let took = clock.instant().duration_since(began);
        assert_eq!((outcome.results.len(), outcome.interrupted), (expected, expected < to.len()), "{interval:?}");
        assert!(outcome.results.iter().all(|r| matches!(r.verdict, Verdict::Delivered { .. })));
        assert_eq!((peer.connections(), peer.contents().len()), (1, expected));
        assert!(took >= interval.min(Duration::from_secs(1)) * (expected as u32 - 1) && took < Duration::from_secs(20));
        // One copy for all is one message: it waits for nobody.
        let outcome = world.send(&to);
        check(&outcome, &[("delivered", "250"); 4], SiteFeedback::Healthy);
    }
}

#[test]
fn a_stop_midway_settles_those_that_were_served_and_nothing_happened_to_the_others() {
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    peer.at("MAIL", &[Act::Say("250 ok"), Act::Silence]);
    let shutdown = world.shutdown.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        shutdown.cut();
    });
    let outcome = world.deliver(mail(&THREE, Some(BODY), |m| m.return_path = token()));
    assert!(outcome.interrupted);
    let results: Vec<_> = outcome.results.iter().map(|r| (r.index, r.verdict.clone())).collect();
    assert_eq!(results, [(0, Verdict::Delivered { peer_does_dsn: false, peer_does_by: false })]);
}
