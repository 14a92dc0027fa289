//! P1, P2 and P3 under `kill -9`: what heard 250 arrives, ends in one final event each, and comes twice only where the log
//! says that it may.
//!
//! Load from several sessions, a kill at a random moment, a restart on the same data, again and again: 5 rounds, or 30
//! with `HIKYAKU_LONG=1`. The seed is printed; `HIKYAKU_SEED=…` replays its choices (not the machine's timing).
#![allow(dead_code, unused_imports, reason = "each test program uses its part of the harness")]
#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use support::{
    Act, Client, Config, Event, Received, Relay, Rng, Sink, Step, cli::run, client::letter, long, say, wait,
};

/// Sessions that submit at once.
const SESSIONS: usize = 4;
/// Mails of one session in one round at most: enough that the kill comes first.
const MAILS_PER_SESSION_MAX: usize = 400;
/// The latest moment of the kill, after the daemon is ready.
const KILL_AFTER_MAX: Duration = Duration::from_millis(1200);
/// How long the backlog of all rounds may take to leave.
const DRAIN_LIMIT: Duration = Duration::from_secs(180);

/// What became of a mail at its submission.
#[derive(Default)]
struct Submitted {
    /// Heard 250.
    accepted: Mutex<HashSet<String>>,
    /// Was sent, and the answer was lost with the daemon: it may exist or not.
    unsure: Mutex<HashSet<String>>,
}

#[test]
fn every_accepted_mail_survives_being_killed() {
    let rounds = if long() { 30 } else { 5 };
    let mut rng = Rng::of_this_run("crash");
    let away = Arc::new(AtomicBool::new(false));
    let of_script = away.clone();
    let sink = Sink::scripted(move |m| match m.step {
        Step::Greeting if of_script.load(Ordering::SeqCst) => Act::reply("421 4.3.2 Away"),
        // A deferral for some, so that the kill also meets waiting recipients and their commits.
        Step::Rcpt if m.nth % 17 == 3 => Act::reply("450 4.2.1 Busy"),
        _ => Act::Normal,
    });
    let submitted = Arc::new(Submitted::default());
    let mut relay = Relay::prepare(Config::smarthost(sink.address()));
    for round in 0..rounds {
        away.store(rng.below(3) == 0, Ordering::SeqCst);
        relay.restart();
        let to = relay.smtp();
        let threads: Vec<_> = (0..SESSIONS)
            .map(|session| {
                let submitted = submitted.clone();
                thread::spawn(move || load(to, round, session, &submitted))
            })
            .collect();
        thread::sleep(KILL_AFTER_MAX.mul_f64(rng.below(1000) as f64 / 1000.0));
        relay.kill();
        for thread in threads {
            thread.join().expect("a session ends with its daemon");
        }
        let accepted = submitted.accepted.lock().unwrap().len();
        say(format_args!("round {round}: {accepted} accepted so far, {} at the sink", sink.taken()));
    }
    away.store(false, Ordering::SeqCst);
    relay.restart();
    wait::within(DRAIN_LIMIT, "an empty queue", || {
        thread::sleep(Duration::from_millis(200));
        relay.events(&["queue", "list", "--json"]).is_empty().then_some(())
    });
    judge(&relay.deliveries(), &sink.received(), &submitted);

    assert!(relay.stop().success());
    let data = relay.data_dir().display().to_string();
    run(&["verify", "--data-dir", &data], relay.place.dir(), b"").expect_done();
}

/// Submits until the daemon is gone.
fn load(to: SocketAddr, round: usize, session: usize, submitted: &Submitted) {
    let Ok(mut client) = Client::try_connect(to) else { return };
    client.write(b"EHLO client.test\r\n");
    if client.reply().code != 250 {
        return;
    }
    for n in 0..MAILS_PER_SESSION_MAX {
        let name = format!("m{round}-{session}-{n}");
        let envelope = format!("MAIL FROM:<{name}@src.test>\r\nRCPT TO:<{name}@dst.test>\r\nDATA\r\n");
        client.write(envelope.as_bytes());
        if [250, 250, 354].iter().any(|code| client.reply().code != *code) {
            return;
        }
        submitted.unsure.lock().unwrap().insert(name.clone());
        // Sizes around the block sizes of disks and rings, too.
        let body = "x".repeat(60).repeat(1 + n % 90).replace("xxxxxxxxxxxxxxx", "xxxxxxxxxxxxx\r\n");
        client.write(format!("{}\r\n.\r\n", letter(&name, &body)).as_bytes());
        if client.reply().code != 250 {
            return;
        }
        submitted.unsure.lock().unwrap().remove(&name);
        submitted.accepted.lock().unwrap().insert(name);
    }
    client.write(b"QUIT\r\n");
}

fn judge(events: &[Event], received: &[Received], submitted: &Submitted) {
    let (accepted, unsure) = (submitted.accepted.lock().unwrap(), submitted.unsure.lock().unwrap());
    let name = |address: &str| address.split('@').next().unwrap_or_default().to_owned();
    let mut copies: HashMap<String, usize> = HashMap::new();
    for mail in received {
        for recipient in &mail.recipients {
            assert_eq!(name(recipient), name(&mail.sender), "envelopes are not mixed up");
            *copies.entry(name(recipient)).or_default() += 1;
        }
        let subject = format!("Subject: {}\r\n", name(&mail.sender));
        assert!(mail.text().contains(&subject), "the content belongs to the envelope of {}", mail.sender);
    }
    let mut stories: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
    for event in events {
        stories.entry(name(&event.recipient())).or_default().push(event);
    }

    let lost: Vec<_> = accepted.iter().filter(|n| !copies.contains_key(*n)).collect();
    assert!(lost.is_empty(), "P2: {} of {} accepted mails are lost: {lost:?}", lost.len(), accepted.len());
    for name in accepted.iter() {
        assert!(stories.contains_key(name), "P4: {name} was accepted and the log does not know it");
    }
    for (name, story) in &stories {
        assert!(accepted.contains(name) || unsure.contains(name), "{name} was never submitted");
        let count = |kind: &str| story.iter().filter(|e| e.kind() == kind).count();
        assert_eq!((count("queued"), count("succeeded"), count("failed")), (1, 1, 0), "{name}: {story:#?}");
        let copies = copies.get(name).copied().unwrap_or(0);
        assert!(copies >= 1, "the log says that {name} was delivered, and it was not");
        let said = story.iter().any(|e| e.possible_duplicate());
        assert!(copies == 1 || said, "P3: {name} came {copies} times and the log does not say why: {story:#?}");
    }
    let twice = copies.values().filter(|n| **n > 1).count();
    let possible = stories.values().filter(|s| s.iter().any(|e| e.possible_duplicate())).count();
    say(format_args!(
        "{} accepted, {} unsure, {} at the sink, {twice} came more than once, {possible} logged as possible duplicates",
        accepted.len(),
        unsure.len(),
        received.len()
    ));
    assert!(accepted.len() > 50, "the load was no load");
}
