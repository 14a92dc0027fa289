//! What stands in front of a copy: made once, shared where it can be, and never left out because something of ours failed.

use super::*;
use crate::{
    config::{DkimKey, Domain},
    dkim::key::{Algorithm, SigningKey},
    signing::{Keyring, Signer, Signing},
    store::{Lead, Leads, Origin, StoredLead},
};

const BODY: &[u8] = b"From: a@us.test\r\nSubject: x\r\n\r\nhello\r\n";

fn signing(domain: &str, metrics: &Arc<Metrics>) -> Signing {
    let key = Arc::new(SigningKey::generate(Algorithm::Ed25519Sha256, 0).expect("a key").0);
    let dkim = vec![DkimKey { selector: "s".into(), key: Some(key), ..DkimKey::default() }];
    let mut config = Config::default();
    config.domains.push(Domain { name: domain.into(), dkim, ..Domain::default() });
    let signer = Signer::start(2, &Clock::system(), metrics).expect("threads");
    Signing { keys: Keyring::new(&config), signer }
}

/// A mail from `a@DOMAIN`.
fn mail(domain: &str, to: &[&str], on_disk: bool) -> Job {
    let body = BODY.to_vec();
    let mut job = job_with(to, (!on_disk).then_some(&body), body.len() as u64, MailParams::default(), false);
    let loaded = Arc::get_mut(&mut job.loaded).expect("its only owner");
    loaded.message.facts.from = format!("a@{domain}");
    job
}

fn signed_world(domain: &str) -> World {
    World::signing(TestBodies(BODY.to_vec(), None), |metrics| Some(signing(domain, metrics)))
}

/// A job with some recipients of another one, of the same message in RAM.
fn part(job: &Job, which: std::ops::Range<usize>) -> Job {
    let recipients = job.recipients[which].to_vec();
    Job { lane: recipients[0].lane.clone(), path: job.path, loaded: job.loaded.clone(), recipients }
}

#[test]
fn jobs_of_one_message_that_run_at_the_same_moment_share_one_signature() {
    for on_disk in [false, true] {
        let world = signed_world("us.test");
        let peers = [world.domain("x.test", 1), world.domain("y.test", 2), world.domain("z.test", 3)];
        let to = ["a@x.test", "b@y.test", "c@z.test"];
        let whole = mail("us.test", &to, on_disk);
        // From disk each attempt has read the message by itself.
        let jobs: Vec<Job> = (0..3)
            .map(|n| {
                let mut job = part(&whole, n..n + 1);
                if on_disk {
                    let (message, recipients) = (whole.loaded.message.clone(), job.recipients.clone());
                    job.loaded = Arc::new(Loaded { message, recipients, body: None, leads: Leads::default() });
                }
                job
            })
            .collect();
        // Somebody of the message is still held in RAM.
        let held: Vec<Arc<Loaded>> = jobs.iter().map(|job| job.loaded.clone()).collect();
        let [a, b, c] = jobs.try_into().expect("three");
        let run = |job| world.deliverer.deliver(job);
        let (a, (b, c)) = smol::block_on(smol::future::zip(run(a), smol::future::zip(run(b), run(c))));
        for outcome in [a, b, c] {
            check(&outcome, &[("delivered", "250")], SiteFeedback::Healthy);
        }
        let contents: Vec<Vec<u8>> = peers.iter().flat_map(Peer::contents).collect();
        assert_eq!(contents.len(), 3);
        assert!(contents[0].starts_with(b"DKIM-Signature:") && contents[0].ends_with(BODY));
        assert!(contents.iter().all(|c| *c == contents[0]), "on_disk={on_disk}");
        assert_eq!(world.metrics.dkim_signed.get(), 1, "on_disk={on_disk}");
        drop(held);
    }
}

#[test]
fn what_was_kept_goes_out_whatever_keys_are_in_force_now() {
    let world = signed_world("us.test");
    let peer = world.domain("x.test", 1);
    let mut job = mail("us.test", &["one@x.test", "two@x.test", "three@x.test"], false);
    let kept = vec![
        StoredLead { index: None, octets: Bytes::from_static(b"X-Shared: 1\r\n") },
        StoredLead { index: Some(1), octets: Bytes::from_static(b"X-Own: 1\r\n") },
    ];
    Arc::get_mut(&mut job.loaded).expect("its only owner").leads = Leads::stored(kept);
    let outcome = world.deliver(job);
    check(&outcome, &[("delivered", "250"); 3], SiteFeedback::Healthy);
    let expected: Vec<Vec<u8>> =
        [&b"X-Shared: 1\r\n"[..], b"X-Own: 1\r\n", b"X-Shared: 1\r\n"].iter().map(|top| [top, BODY].concat()).collect();
    assert_eq!(peer.contents(), expected, "who has a lead of his own has a transaction of his own");
    assert_eq!(world.metrics.dkim_signed.get(), 0);
}

#[test]
fn a_failure_of_the_cryptography_defers_and_never_sends_unsigned() {
    // A name that no signature can bear.
    let domain = format!("{}.test", "x".repeat(64));
    let world = signed_world(&domain);
    let peer = world.domain("x.test", 1);
    let job = mail(&domain, &["one@x.test"], false);
    let leads = job.loaded.clone();
    let outcome = world.deliver(job);
    check(&outcome, &[("site", "4.3.5 signing failed")], SiteFeedback::Unknown);
    assert!(peer.contents().is_empty());
    assert_eq!((world.metrics.dkim_failed.get(), world.metrics.dkim_signed.get()), (1, 0));
    assert_eq!(leads.leads.slot().and_then(|slot| slot.over(0)), None, "nothing to keep");
}

#[test]
fn a_body_that_cannot_be_read_for_its_signature_is_held() {
    let damage = Some("the body is damaged (checksum)");
    let body: Vec<u8> = BODY.iter().copied().chain(b"line\r\n".repeat(30_000)).collect();
    let world = World::signing(TestBodies(body, damage), |metrics| Some(signing("us.test", metrics)));
    let peer = world.domain("x.test", 1);
    let outcome = world.deliver(mail("us.test", &["one@x.test"], true));
    assert_eq!(outcome.results[0].verdict, Verdict::Deferred { site: false, damaged: true }, "{outcome:?}");
    assert!(peer.contents().is_empty());
}

#[test]
fn a_dead_destination_costs_no_signature_and_nothing_is_kept() {
    let world = signed_world("us.test");
    world.dns.set("x.test", Says::Address(vec![ip(6)]));
    let job = mail("us.test", &["one@x.test"], false);
    let loaded = job.loaded.clone();
    let outcome = world.deliver(job);
    assert!(matches!(outcome.results[0].verdict, Verdict::Deferred { .. }), "{outcome:?}");
    assert!(loaded.leads.slot().is_none() && world.metrics.dkim_signed.get() == 0);
}

#[test]
fn what_is_to_be_kept_is_told_once_for_each_who_waits() {
    let world = signed_world("us.test");
    let peer = world.domain("x.test", 1);
    for who in ["plain", "own"] {
        peer.at(&format!("RCPT {who}@x.test"), &[Act::Say("450 4.2.1 later")]);
    }
    // The second has a line of its own, as `own_lines` says.
    let mut job = mail("us.test", &["plain@x.test", "own@x.test"], false);
    Arc::get_mut(&mut job.loaded).expect("its only owner").message.list = "leave".into();
    let loaded = job.loaded.clone();
    world.deliver(job);
    let slot = loaded.leads.slot().expect("signed");
    let (shared, own) = (slot.over(0).expect("kept"), slot.over(1).expect("kept"));
    assert!(!shared.own && shared.octets.starts_with(b"DKIM-Signature:"));
    assert!(own.own && own.octets.starts_with(b"DKIM-Signature:") && own.octets.ends_with(b"..folded: no\r\n"));
    assert_ne!(own.octets, shared.octets);
    assert_eq!(slot.own(1), None::<Lead>, "what is one recipient's is held while it is tried");
}

#[test]
fn mail_without_a_key_has_no_slot_and_mail_that_is_passed_on_is_not_signed() {
    let world = signed_world("us.test");
    let peer = world.domain("x.test", 1);
    let other = mail("them.test", &["one@x.test"], false);
    let mut forward = mail("us.test", &["one@x.test"], false);
    Arc::get_mut(&mut forward.loaded).expect("its only owner").message.origin = Origin::Forward;
    for job in [other, forward] {
        let loaded = job.loaded.clone();
        check(&world.deliver(job), &[("delivered", "250")], SiteFeedback::Healthy);
        assert!(loaded.leads.slot().is_none());
    }
    assert_eq!(peer.contents(), [BODY, BODY]);
    let m = &world.metrics;
    assert_eq!((m.dkim_unsigned_no_key.get(), m.dkim_unsigned_passed_on.get(), m.dkim_signed.get()), (1, 1, 0));
}
