//! How long a diagnosis takes on a log of a million events (`HIKYAKU_BENCH_EVENTS`), and whether the writer goes on meanwhile.
//!
//! `cargo bench --bench diagnose` makes a store with a quarter of so many mails (queued, two deferrals, an end each), then prints how
//! long a diagnosis takes, how much of the log it read, and how many commits the writer made in that time against a time of the same
//! length without one.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)] // a measuring program: it prints, and stops at trouble

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use hikyaku::{
    bounce::envelope_from::ReturnPath,
    budget::Budget,
    clock::{Clock, Timestamp},
    config::{Config, InForce},
    diagnose::{Diagnoser, Parts, Question},
    event::{AttemptDetail, Class, ErrorClass, Event, EventKind, Phase, Trouble, WaitReason},
    ids::RecipientKey,
    mail::header::Facts,
    metrics::Metrics,
    runtime::{Runtime, Shutdown},
    smtp::{
        address::Mailbox,
        params::{Envelope, EnvelopeRecipient, MailParams, RcptParams},
    },
    store::{BodyIn, Change, Lane, MemoChange, MemoKind, Origin, RetentionPeriods, Store, StoreOptions, Submission},
    suppress::{self, Suppressions},
};

const DAY: Duration = Duration::from_secs(86_400);
/// Mails that are handed in together.
const BATCH: usize = 1_000;
/// Events of a mail.
const EVENTS: usize = 4;

fn submission(store: &Store, budget: &Budget, body: &Bytes, now: Timestamp, n: u64) -> Submission {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let address = Mailbox::parse(&format!("user{mixed:x}@d{}.example.org", mixed % 500)).unwrap();
    // Every second mail is of the domain that is asked about.
    let from = if n.is_multiple_of(2) { "shop@news.example.jp" } else { "info@other.example" };
    Submission {
        release_at: None,
        id: store.ids().next(now),
        accepted_at: now,
        expires_at: now.plus(4 * DAY),
        lanes: vec![Lane(address.domain_key().into())],
        envelope: Envelope {
            sender: Some(Mailbox::parse(from).unwrap()),
            params: MailParams::default(),
            recipients: vec![EnvelopeRecipient { address, params: RcptParams::default() }],
        },
        class: Class::Normal,
        facts: Facts {
            message_id: format!("<{mixed:x}.{n}@mail.example.jp>"),
            from: from.into(),
            subject: format!("Your order {n} has been sent"),
            ..Facts::default()
        },
        user: "shop".into(),
        source_ip: None,
        origin: Origin::Smtp,
        body: BodyIn::Ram { bytes: body.clone(), lease: budget.take(body.len()).unwrap() },
        settles: Vec::new(),
        return_path: ReturnPath::AsIs,
        list: String::new(),
        blocked: Vec::new(),
        sandboxed: Vec::new(),
        memos: Vec::new(),
    }
}

fn change(key: RecipientKey, kind: EventKind, at: Timestamp, attempt: u32) -> Change {
    let deferred = kind == EventKind::Deferred;
    let n = key.message.as_u64();
    let detail = AttemptDetail {
        destination: format!("d{}.example.org", n % 500),
        host: format!("mx{}.example.org", n % 50),
        sender_ip: Some("192.0.2.1".parse().unwrap()),
        phase: Some(Phase::Rcpt),
        reply: match kind {
            EventKind::Succeeded => "250 2.0.0 Ok".into(),
            _ => format!("450 4.7.1 <user{n}@example.org>: too many connections from 192.0.2.1, try {n}"),
        },
        error: (kind != EventKind::Succeeded).then_some(ErrorClass::Rejected),
        trouble: (kind != EventKind::Succeeded).then_some(Trouble::Reputation),
        ..AttemptDetail::default()
    };
    let event = Event {
        at,
        key,
        kind,
        attempt,
        next_try: deferred.then_some(at),
        wait: deferred.then_some(WaitReason::Retry),
        operator: None,
        detail: Some(Box::new(detail)),
    };
    Change::of(event, None)
}

fn fill(store: &Store, clock: &Clock, events: usize) {
    let (budget, body) = (Budget::new(1 << 30), Bytes::from_static(b"Subject: x\r\n\r\nx\r\n"));
    let executor = smol::LocalExecutor::new();
    for batch in 0..events / EVENTS / BATCH {
        let now = clock.now();
        let submits: Vec<_> = (0..BATCH)
            .map(|n| {
                let submission = submission(store, &budget, &body, now, (batch * BATCH + n) as u64);
                let store = store.clone();
                executor.spawn(async move { store.submit(submission).await.unwrap() })
            })
            .collect();
        smol::block_on(executor.run(async {
            let mut keys = Vec::with_capacity(BATCH);
            for submit in submits {
                keys.push(submit.await.loaded().recipients[0].key);
            }
            for (attempt, kind) in
                [EventKind::Deferred, EventKind::Deferred, EventKind::Succeeded].into_iter().enumerate()
            {
                let changes = keys.iter().map(|key| change(*key, kind, clock.now(), attempt as u32 + 1)).collect();
                store.apply(changes).await.unwrap();
            }
        }));
    }
}

/// Commits of a writer that is kept busy with small rows, until it is told to stop.
fn commits(store: &Store, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<u64> {
    let (store, stop, count) = (store.clone(), stop.clone(), AtomicU64::new(0));
    std::thread::spawn(move || {
        while !stop.load(Ordering::SeqCst) {
            let change = MemoChange { kind: MemoKind::WarmUp, key: "bench".into(), value: Some(b"{}".to_vec()) };
            smol::block_on(store.put_memos(vec![change])).unwrap();
            count.fetch_add(1, Ordering::SeqCst);
        }
        count.into_inner()
    })
}

fn main() {
    let events: usize = std::env::var("HIKYAKU_BENCH_EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let base = std::env::var_os("HIKYAKU_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = base.join(format!("hikyaku-bench-diagnose-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let clock = Clock::system();
    let retention = RetentionPeriods {
        delivery_log: 40 * DAY,
        error_log: 40 * DAY,
        audit_log: 90 * DAY,
        message_bodies: Duration::ZERO,
    };
    let options = StoreOptions { data_dir: dir.clone(), clock: clock.clone(), disk_free_min: 0, retention };
    let store = Store::open(options).unwrap().store;
    let began = clock.instant();
    fill(&store, &clock, events);
    println!("{events} events written in {:.1} s", (clock.instant() - began).as_secs_f64());
    let (runtime, config) = (Runtime::start(1).unwrap(), InForce::new(Config::default()));
    let suppressions = Suppressions::start(suppress::Parts {
        runtime,
        store: store.clone(),
        clock: clock.clone(),
        metrics: Arc::new(Metrics::default()),
        shutdown: Shutdown::new(),
        config: config.clone(),
        tell: None,
    });
    // The suppression list has the log to follow, too: it is let through first.
    std::thread::sleep(Duration::from_secs(5));
    let diagnoser = Diagnoser::new(Parts {
        store: store.clone(),
        clock: clock.clone(),
        config,
        suppressions,
        warm_ups: Box::new(Vec::new),
        doctor: None,
    });
    for domain in ["example.jp", "nobody.example"] {
        let stop = Arc::new(AtomicBool::new(false));
        let writer = commits(&store, &stop);
        let to = clock.now();
        let question =
            Question { domain: domain.into(), destination: None, from: to.minus(DAY), to, user: String::new() };
        let began = clock.instant();
        let found = diagnoser.diagnose(&question).unwrap();
        let took = clock.instant() - began;
        stop.store(true, Ordering::SeqCst);
        let busy = writer.join().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let writer = commits(&store, &stop);
        std::thread::sleep(took);
        stop.store(true, Ordering::SeqCst);
        let alone = writer.join().unwrap();
        let tally = &found.gathered.tally;
        println!(
            "{domain}: {:.2} s, {} entries of the domain read{}, {} groups of answers, first cause {:?}; commits meanwhile {busy}, alone {alone}",
            took.as_secs_f64(),
            tally.events,
            if found.gathered.looked_back_to.is_some() { " (not to the begin)" } else { "" },
            tally.groups.len(),
            found.causes.first().map(|cause| cause.id.word()),
        );
    }
    let _ = smol::block_on(store.stop());
    let _ = std::fs::remove_dir_all(&dir);
}
