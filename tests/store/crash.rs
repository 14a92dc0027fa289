//! P1, P2, P4: a power cut before any single disk operation loses no receipt, no verdict, and leaves no orphan.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bytes::Bytes;
use hikyaku::{
    clock::Clock,
    event::{
        ErrorClass::{Blocked, Unsubscribed},
        EventKind,
    },
    ids::MessageId,
    store::{
        BodyIn, Lead, NoticeKind, QueueAct, QueueFilter, QueueVerb, RecipientState, ReturnedAs, Store,
        sim::{Fate, SimDisk},
    },
};

use crate::support::*;

/// What was promised before the crash.
#[derive(Default)]
struct Promised {
    bodies: BTreeMap<MessageId, Vec<u8>>,
    finals: BTreeMap<(MessageId, u32), EventKind>,
    deferred: BTreeMap<MessageId, usize>,
    /// Leads that were stored with verdicts of recipients that still wait, their own and the shared ones.
    leads: BTreeMap<(MessageId, Option<u32>), Bytes>,
    /// Numbers of what came back.
    returned: BTreeMap<MessageId, Vec<u64>>,
    /// Handed over, not answered: either is right.
    unsure: Vec<MessageId>,
}

/// A small life of a store: accepts, verdicts, segment switches, large bodies, notices, acts, blocked ones, bounces. Stops at the first error.
fn live(store: &Store, clock: &Clock, p: &mut Promised) -> Option<()> {
    let mut ids = Vec::new();
    for n in 0..9u8 {
        let body = vec![b'a' + n; 1500 + usize::from(n)];
        let mail = Mail {
            to: vec![format!("u{n}@example.org"), "v@other.example".into()],
            body: body.clone(),
            message_id: format!("<{n}@x>"),
            ..Mail::default()
        };
        ids.push(accept(store, clock, p, mail)?);
    }
    let large = large(store, clock, p)?;
    for id in &ids[..7] {
        verdict(store, p, succeeded(key(*id, 0), clock.now()))?;
    }
    for id in &ids[..5] {
        let mut change = deferred(key(*id, 1), clock.now(), clock.now().plus(DAY));
        change.lead = Some(Lead { own: false, octets: vec![b's'; 700].into() });
        verdict(store, p, change)?;
        *p.deferred.entry(*id).or_default() += 1;
    }
    // Two that wait to the end: one with a lead of its own, one with the shared one.
    for (id, own) in [(ids[7], true), (large, false)] {
        let mut change = deferred(key(id, 0), clock.now(), clock.now().plus(DAY));
        let octets = Bytes::from(vec![b'w'; 900]);
        change.lead = Some(Lead { own, octets: octets.clone() });
        verdict(store, p, change)?;
        *p.deferred.entry(id).or_default() += 1;
        p.leads.insert((id, own.then_some(0)), octets);
    }
    // The first segment holds five bodies: all of them go, so that its file does.
    for id in &ids[..2] {
        verdict(store, p, owing(failed(key(*id, 1), clock.now()), NoticeKind::Failure))?;
    }
    for id in &ids[2..5] {
        verdict(store, p, succeeded(key(*id, 1), clock.now()))?;
    }
    let notice = Mail { settles: vec![key(ids[0], 1), key(ids[1], 1)], from: None, ..Mail::to(&["me@example.jp"]) };
    accept(store, clock, p, notice)?;
    p.leads.remove(&(large, None));
    verdict(store, p, succeeded(key(large, 0), clock.now()))?;
    let filter = QueueFilter { message: Some(ids[8]), ..QueueFilter::default() };
    p.unsure.push(ids[8]);
    smol::block_on(store.act(QueueAct { verb: QueueVerb::Drop, filter, operator: "op".into(), from: "test".into() }))
        .ok()?;
    p.unsure.pop();
    for index in 0..2 {
        p.finals.insert((ids[8], index), EventKind::Dropped);
    }
    let half = Mail { blocked: vec![blocked(1, Blocked)], ..Mail::to(&["a@b.example"; 2]) };
    let half = accept(store, clock, p, half)?;
    p.finals.insert((half, 1), EventKind::Failed);
    let none = accept(store, clock, p, Mail { blocked: vec![blocked(0, Unsubscribed)], ..Mail::default() })?;
    p.finals.insert((none, 0), EventKind::Failed);
    for (id, index) in [(ids[2], 0), (half, 0), (ids[2], 1), (ids[2], 0)] {
        p.unsure.push(id);
        let answer = returned(store, back(key(id, index), clock.now(), EventKind::Bounced, "no such user")).ok()?;
        p.unsure.pop();
        if let ReturnedAs::Written(number) = answer {
            p.returned.entry(id).or_default().push(number);
        }
    }
    smol::block_on(store.stop()).ok()
}

fn accept(store: &Store, clock: &Clock, p: &mut Promised, mail: Mail) -> Option<MessageId> {
    let body = mail.body.clone();
    let receipt = submit(store, clock, mail).ok()?;
    p.bodies.insert(receipt.id(), body);
    Some(receipt.id())
}

fn large(store: &Store, clock: &Clock, p: &mut Promised) -> Option<MessageId> {
    let id = store.ids().next(clock.now());
    let mut body = store.large_body(id).ok()?;
    body.write(&[b'L'; 9000]).ok()?;
    body.write(b"end").ok()?;
    let file = body.finish().ok()?;
    let submission = Mail::default().submission_with(id, clock.now(), BodyIn::File(file));
    smol::block_on(store.submit(submission)).ok()?;
    let mut whole = vec![b'L'; 9000];
    whole.extend_from_slice(b"end");
    p.bodies.insert(id, whole);
    Some(id)
}

fn verdict(store: &Store, p: &mut Promised, change: hikyaku::store::Change) -> Option<()> {
    let (key, kind) = (change.event.key, change.event.kind);
    p.unsure.push(key.message);
    apply(store, vec![change]).ok()?;
    p.unsure.pop();
    if kind.is_final() {
        p.finals.insert((key.message, key.index), kind);
    }
    Some(())
}

fn check(store: &Store, p: &Promised, context: &str) {
    for (id, body) in &p.bodies {
        let (message, recipients) = load(store, *id).unwrap_or_else(|| panic!("{context}: message {id} is gone"));
        for r in &recipients {
            let known = p.finals.get(&(*id, r.key.index));
            match (&r.state, known) {
                (RecipientState::Final(kind), Some(promised)) => assert_eq!(kind, promised, "{context}: {id}"),
                (RecipientState::Waiting { .. }, Some(_)) => panic!("{context}: a verdict of {id} is lost"),
                (RecipientState::Final(_), None) => assert!(p.unsure.contains(id), "{context}: {id} final by itself"),
                (RecipientState::Waiting { .. }, None) => {}
            }
        }
        if recipients.iter().any(|r| matches!(r.state, RecipientState::Waiting { .. })) {
            assert_eq!(body_of(store, &message).as_deref(), Ok(&body[..]), "{context}: body of {id}");
        }
        let story = store.message_story(*id).unwrap().unwrap();
        let finals = story.events.iter().filter(|e| e.kind.is_final()).count();
        let state_finals = recipients.iter().filter(|r| matches!(r.state, RecipientState::Final(_))).count();
        assert_eq!(finals, state_finals, "{context}: log and state of {id} disagree");
        let numbers = |n: &&u64| !story.numbers.contains(n);
        let lost: Vec<&u64> = p.returned.get(id).into_iter().flatten().filter(numbers).collect();
        assert!(lost.is_empty(), "{context}: what came back about {id} is lost: {lost:?}");
        let back = story.events.iter().filter(|e| e.kind.is_return()).count();
        let promised = p.returned.get(id).map_or(0, Vec::len);
        assert!(back == promised || p.unsure.contains(id) && back == promised + 1, "{context}: bounces of {id}");
        let tries = story.events.iter().filter(|e| e.kind == EventKind::Deferred).count();
        let promised = p.deferred.get(id).copied().unwrap_or(0);
        assert!(tries == promised || p.unsure.contains(id) && tries == promised + 1, "{context}: tries of {id}");
    }
}

/// A lead is on disk with the verdict that needs it, and gone with the last one.
fn check_leads(store: &Store, p: &Promised, context: &str) {
    for ((id, index), octets) in &p.leads {
        let stored = store.leads(*id, &[0, 1]).unwrap();
        let found = stored.iter().find(|s| s.index == *index).map(|s| &s.octets);
        assert_eq!(found, Some(octets), "{context}: the lead of {id} is lost");
    }
    for id in p.bodies.keys() {
        let (message, _) = load(store, *id).unwrap();
        let all: Vec<u32> = (0..message.recipients).collect();
        let waits = load(store, *id).unwrap().1.iter().any(|r| matches!(r.state, RecipientState::Waiting { .. }));
        assert!(waits || store.leads(*id, &all).unwrap().is_empty(), "{context}: leads of {id} are left");
    }
}

/// Nothing on disk that no row names: one segment being filled and one spare at most.
fn assert_no_orphans(store: &Store, disk: &SimDisk, context: &str) {
    let used = disk.names(&Path::new(SIM_DIR).join("segments")).len();
    let live = store.totals().body_octets;
    assert!(used <= 2 + usize::try_from(live / 1000).unwrap(), "{context}: {used} segments for {live} octets");
    for path in disk.names(&Path::new(SIM_DIR).join("bodies")) {
        let id: MessageId = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        assert!(load(store, id).is_some(), "{context}: {} is an orphan", path.display());
    }
}

/// Sizes of the redo log: it holds a few commits, one or two, none at all.
const REDO_OCTETS: [u64; 3] = [1024 * 1024, 192 * 1024, 64 * 1024];

#[test]
fn a_power_cut_before_any_disk_operation_loses_nothing_that_was_promised() {
    let long = std::env::var_os("HIKYAKU_LONG").is_some();
    for (n, redo_octets) in REDO_OCTETS.into_iter().enumerate() {
        // The long run cuts before each operation, eight times; the short one here and there.
        let (seeds, step) = if long { (0..8u64, 1) } else { (0..1, [7, 3, 9][n]) };
        let total = {
            let disk = SimDisk::default();
            let clock = Clock::manual(START);
            let opened = prepared_redo(&disk, &clock, redo_octets);
            let mut p = Promised::default();
            live(&opened, &clock, &mut p).expect("no fault was planned");
            drop(opened);
            assert_sound(&disk);
            disk.operations()
        };
        assert!(total > 80, "{total}");
        for at in (1..=total).step_by(step) {
            for seed in seeds.clone() {
                let context = format!("crash at {at} of {total}, seed {seed}, redo log of {redo_octets}");
                crash_once(at, total, seed * 1000 + at, redo_octets, &context);
            }
        }
    }
}

fn prepared(disk: &SimDisk, clock: &Clock) -> Store {
    prepared_redo(disk, clock, REDO_OCTETS[1])
}

fn prepared_redo(disk: &SimDisk, clock: &Clock, redo_octets: u64) -> Store {
    let opened = open_sim_redo(disk, options(SIM_DIR, clock), redo_octets).unwrap();
    assert!(opened.clean, "a fresh store is clean");
    disk.plan(None);
    opened.store
}

fn crash_once(at: u64, total: u64, seed: u64, redo_octets: u64, context: &str) {
    let disk = SimDisk::default();
    let clock = Clock::manual(START);
    let store = prepared_redo(&disk, &clock, redo_octets);
    disk.plan(Some(Fate::CrashAt(at)));
    let mut p = Promised::default();
    let finished = live(&store, &clock, &mut p).is_some();
    drop(store);
    disk.restart(seed);

    let opened =
        open_sim_redo(&disk, options(SIM_DIR, &clock), redo_octets).unwrap_or_else(|e| panic!("{context}: {e}"));
    // The last operations put in place what the mark of the clean stop is part of.
    let stopping = at + total / 3 > total;
    assert!(!opened.clean || finished || disk.operations() == 0 || stopping, "{context}: called clean");
    check(&opened.store, &p, context);
    check_leads(&opened.store, &p, context);
    assert_no_orphans(&opened.store, &disk, context);
    // It works on: what comes now is as safe.
    let id =
        accept(&opened.store, &clock, &mut p, Mail::default()).unwrap_or_else(|| panic!("{context}: takes no mail"));
    assert!(p.bodies.keys().all(|known| *known <= id), "{context}: an id was given twice");
    check(&opened.store, &p, context);
    smol::block_on(opened.store.stop()).unwrap();
    drop(opened);
    let report = Store::verify_on(Arc::new(disk.clone()), Path::new(SIM_DIR)).unwrap();
    assert!(report.damage.is_empty(), "{context}: {:#?}", report.damage);
}

#[test]
fn a_power_cut_during_the_first_start_leaves_a_directory_that_starts() {
    let clock = Clock::manual(START);
    let total = {
        let disk = SimDisk::default();
        disk.plan(None);
        drop(open_sim(&disk, &clock).unwrap());
        disk.operations()
    };
    for at in 1..=total {
        for seed in 0..3 {
            let disk = SimDisk::default();
            disk.plan(Some(Fate::CrashAt(at)));
            let _ = open_sim(&disk, &clock);
            disk.restart(seed);
            let opened = open_sim(&disk, &clock).unwrap_or_else(|e| panic!("crash at {at}, seed {seed}: {e}"));
            submit(&opened.store, &clock, Mail::default()).unwrap();
        }
    }
}

#[test]
fn a_power_cut_while_a_sparse_segment_is_rewritten_loses_no_body() {
    let total = rewriting(None, 0);
    assert!(total > 8, "{total}");
    for at in 1..=total {
        for seed in 0..2 {
            rewriting(Some(at), seed);
        }
    }
}

/// Fills segments, empties most of them, lets the housework rewrite the rest; answers the disk operations of that.
fn rewriting(crash_at: Option<u64>, seed: u64) -> u64 {
    let context = format!("crash at {crash_at:?}, seed {seed}");
    let disk = SimDisk::default();
    let clock = Clock::manual(START);
    let store = prepared(&disk, &clock);
    let mut p = Promised::default();
    let ids: Vec<MessageId> = (0..24u8)
        .map(|n| accept(&store, &clock, &mut p, Mail { body: vec![n; 1000], ..Mail::default() }).unwrap())
        .collect();
    // One of eight survives in each segment.
    for (n, id) in ids.iter().enumerate() {
        if n % 8 != 3 {
            verdict(&store, &mut p, succeeded(key(*id, 0), clock.now())).unwrap();
        }
    }
    let before = disk.names(&Path::new(SIM_DIR).join("segments")).len();
    disk.plan(crash_at.map(Fate::CrashAt));
    // The housework looks once, and again ten minutes later.
    let emptied = || disk.names(&Path::new(SIM_DIR).join("segments")).len() < before;
    eventually("sparse segments are rewritten", || {
        clock.advance(std::time::Duration::from_secs(700));
        disk.has_crashed() || emptied()
    });
    std::thread::sleep(std::time::Duration::from_millis(40));
    let operations = disk.operations();
    drop(store);
    disk.restart(seed);
    let opened = open_sim(&disk, &clock).unwrap_or_else(|e| panic!("{context}: {e}"));
    check(&opened.store, &p, &context);
    drop(opened);
    assert_sound(&disk);
    operations
}

#[test]
fn a_power_cut_under_concurrent_load_loses_no_receipt() {
    for at in (1..160).step_by(9) {
        let context = format!("crash at {at}");
        let disk = SimDisk::default();
        let clock = Clock::manual(START);
        let store = prepared(&disk, &clock);
        disk.plan(Some(Fate::CrashAt(at)));
        let executor = smol::LocalExecutor::new();
        let tasks: Vec<_> = (0..150u8)
            .map(|n| {
                let (store, clock) = (store.clone(), clock.clone());
                executor.spawn(async move {
                    let now = clock.now();
                    let body = vec![n; 600 + usize::from(n)];
                    let mail = Mail { body: body.clone(), ..Mail::default() };
                    let id = store.submit(mail.submission(store.ids().next(now), now)).await.ok()?.id();
                    let delivered = n % 2 == 0 && store.apply(vec![succeeded(key(id, 0), now)]).await.is_ok();
                    Some((id, body, delivered))
                })
            })
            .collect();
        let mut p = Promised::default();
        smol::block_on(executor.run(async {
            for (n, task) in tasks.into_iter().enumerate() {
                if let Some((id, body, delivered)) = task.await {
                    p.bodies.insert(id, body);
                    if delivered {
                        p.finals.insert((id, 0), EventKind::Succeeded);
                    } else if n % 2 == 0 {
                        p.unsure.push(id);
                    }
                }
            }
        }));
        drop(store);
        disk.restart(at);
        let opened = open_sim(&disk, &clock).unwrap_or_else(|e| panic!("{context}: {e}"));
        check(&opened.store, &p, &context);
        drop(opened);
        assert_sound(&disk);
    }
}
