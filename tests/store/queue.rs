//! The queue: due times, lanes, acts of operators, notices, bodies that go with their last reader.

use std::{collections::HashSet, path::Path, time::Duration};

use hikyaku::{
    clock::{Clock, Timestamp},
    event::{Class, EventKind, WaitReason},
    store::{
        AuditQuery, Lane, NoticeKind, Page, QueueAct, QueueFilter, QueueVerb, RecipientState, Store, sim::SimDisk,
    },
};

use crate::support::*;

fn lane(name: &str) -> Lane {
    Lane(name.into())
}

fn head(store: &Store, name: &str, class: Class, until: Timestamp) -> Vec<hikyaku::ids::MessageId> {
    lane_head(store, &lane(name), class, until, 100, &|_| false).iter().map(|t| t.key.message).collect()
}

fn new_store() -> (SimDisk, Clock, Store) {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    (disk, clock, store)
}

#[test]
fn each_lane_and_class_is_read_in_the_order_of_its_due_times() {
    let (disk, clock, store) = new_store();
    let a = submit(&store, &clock, Mail::to(&["x@a.example"])).unwrap().id();
    clock.advance(Duration::from_secs(1));
    let b = submit(&store, &clock, Mail::to(&["x@b.example"])).unwrap().id();
    let high = submit(&store, &clock, Mail { class: Class::High, ..Mail::to(&["y@a.example"]) }).unwrap().id();
    clock.advance(Duration::from_secs(1));
    let c = submit(&store, &clock, Mail::to(&["z@a.example"])).unwrap().id();
    let now = clock.now();

    assert_eq!(head(&store, "a.example", Class::Normal, now), [a, c]);
    assert_eq!(head(&store, "a.example", Class::High, now), [high]);
    assert_eq!(head(&store, "a.example", Class::Low, now), []);
    let lanes = store.lanes_due(now, 10).unwrap();
    let names: Vec<_> = lanes.iter().map(|l| (l.lane.to_string(), l.count, l.earliest_due)).collect();
    assert_eq!(names, [("a.example".into(), 3, START), ("b.example".into(), 1, START.plus(Duration::from_secs(1)))]);
    let after = (lanes[0].earliest_due, lanes[0].lane.clone());
    assert_eq!(store.lanes_due_after(now, &after, 10).unwrap().len(), 1);
    assert_eq!(store.lanes_due(now, 1).unwrap().len(), 1);

    // In flight: skipped. Deferred: behind the others, and the lane's earliest due time follows.
    let tickets = lane_head(&store, &lane("a.example"), Class::Normal, now, 1, &|k| k.message == a);
    assert_eq!(tickets[0].key, key(c, 0));
    let next = now.plus(Duration::from_secs(300));
    apply(&store, vec![deferred(key(a, 0), now, next), succeeded(key(high, 0), now), succeeded(key(b, 0), now)])
        .unwrap();
    assert_eq!(head(&store, "a.example", Class::Normal, now), [c]);
    assert_eq!(head(&store, "a.example", Class::Normal, next), [c, a]);
    apply(&store, vec![succeeded(key(c, 0), now)]).unwrap();
    assert_eq!(store.next_due(now).unwrap(), Some(next));
    assert_eq!(store.lanes_due(now, 10).unwrap().len(), 0);
    let l = store.lanes(10).unwrap().remove(0);
    assert_eq!((l.count, l.earliest_due, l.last_reply.as_str()), (1, next, "450 4.2.1 later"));
    let t = lane_head(&store, &lane("a.example"), Class::Normal, next, 9, &|_| false).remove(0);
    assert_eq!((t.attempts, t.due, t.expires_at), (1, next, START.plus(4 * DAY)));
    apply(&store, vec![succeeded(key(a, 0), now)]).unwrap();
    assert_eq!((store.lanes(10).unwrap().len(), store.next_due(Timestamp::ZERO).unwrap()), (0, None));
    assert_eq!(store.totals().waiting, 0);
    drop(store);
    assert_sound(&disk);
}

#[test]
fn a_final_recipient_is_never_changed_again() {
    let (disk, clock, store) = new_store();
    let id = submit(&store, &clock, Mail::to(&["x@a.example", "y@a.example"])).unwrap().id();
    let applied = apply(
        &store,
        vec![failed(key(id, 0), clock.now()), succeeded(key(id, 0), clock.now()), succeeded(key(id, 7), clock.now())],
    )
    .unwrap();
    assert_eq!((applied.applied, applied.too_late), (1, 2));
    let events = store.message_story(id).unwrap().unwrap().events;
    assert_eq!(events.iter().filter(|e| e.kind.is_final()).count(), 1);
    drop(store);
    assert_sound(&disk);
}

#[test]
fn a_fresh_message_is_handed_back_with_its_body_and_place() {
    let (_disk, clock, store) = new_store();
    let receipt = submit(&store, &clock, Mail { body: b"octets".to_vec(), ..Mail::default() }).unwrap();
    let loaded = receipt.loaded();
    assert_eq!(loaded.body.as_ref().map(|(b, _)| &b[..]), Some(&b"octets"[..]));
    assert_eq!(loaded.recipients.len(), 1);
    let (stored, _) = load(&store, receipt.id()).unwrap();
    assert_eq!(stored.place, loaded.message.place);
    assert_eq!(body_of(&store, &loaded.message), Ok(b"octets".to_vec()));
}

#[test]
fn a_body_goes_with_the_last_recipient_and_its_files_with_the_last_body() {
    let (disk, clock, store) = new_store();
    let segments = |disk: &SimDisk| disk.names(&Path::new(SIM_DIR).join("segments")).len();
    let ids: Vec<_> = (0..20)
        .map(|_| {
            submit(&store, &clock, Mail { body: vec![7; 3000], ..Mail::to(&["x@a.example", "y@b.example"]) })
                .unwrap()
                .id()
        })
        .collect();
    assert!(segments(&disk) >= 10);
    for id in &ids {
        apply(&store, vec![succeeded(key(*id, 0), clock.now())]).unwrap();
        assert_eq!(body_of(&store, &load(&store, *id).unwrap().0), Ok(vec![7; 3000]));
        apply(&store, vec![failed(key(*id, 1), clock.now())]).unwrap();
        assert!(body_of(&store, &load(&store, *id).unwrap().0).is_err());
    }
    assert!(segments(&disk) <= 2, "{}", segments(&disk));
    assert_eq!(store.totals().body_octets, 0);
    drop(store);
    assert_sound(&disk);
}

#[test]
fn an_owed_notice_keeps_the_body_until_it_is_sent_and_each_is_sent_once() {
    let (disk, clock, store) = new_store();
    let id = submit(&store, &clock, Mail::to(&["x@a.example", "y@a.example"])).unwrap().id();
    let now = clock.now();
    apply(&store, vec![owing(deferred(key(id, 0), now, now), NoticeKind::Delay)]).unwrap();
    assert!(load(&store, id).unwrap().1[0].delay_noticed);
    let owed = store.notices_owed(10).unwrap();
    assert_eq!(owed.iter().map(|n| (n.key, n.kind)).collect::<Vec<_>>(), [(key(id, 0), NoticeKind::Delay)]);
    // The delay notice is being written while the recipient fails: what is settled is the delay, not the failure.
    apply(
        &store,
        vec![owing(failed(key(id, 0), now), NoticeKind::Failure), owing(failed(key(id, 1), now), NoticeKind::Failure)],
    )
    .unwrap();
    assert_eq!(store.notices_owed(10).unwrap().len(), 2, "of one recipient only the oldest");
    let dsn = |settles| Mail { from: None, settles, ..Mail::to(&["me@example.jp"]) };
    submit(&store, &clock, dsn(vec![key(id, 0)])).unwrap();
    let owed = store.notices_owed(10).unwrap();
    assert_eq!(
        owed.iter().map(|n| (n.key.index, n.kind)).collect::<Vec<_>>(),
        [(0, NoticeKind::Failure), (1, NoticeKind::Failure)]
    );
    assert_eq!(owed[0].event.kind, EventKind::Failed);
    assert!(body_of(&store, &load(&store, id).unwrap().0).is_ok(), "the notice returns the message");
    submit(&store, &clock, dsn(vec![key(id, 0)])).unwrap();
    assert_eq!(smol::block_on(store.settle(vec![key(id, 1), key(id, 1)])).unwrap(), 1);
    assert!(store.notices_owed(10).unwrap().is_empty());
    assert!(body_of(&store, &load(&store, id).unwrap().0).is_err(), "nobody needs it any more");
    drop(store);
    assert_sound(&disk);
}

#[test]
fn an_operators_act_reaches_whom_the_filter_names_and_is_in_the_operation_log() {
    let (disk, clock, store) = new_store();
    let mut ids = Vec::new();
    for n in 0..600 {
        let domain = if n % 2 == 0 { "even.example" } else { "odd.example" };
        ids.push(submit(&store, &clock, Mail::to(&[&format!("u{n}@{domain}")])).unwrap().id());
    }
    let later = clock.now().plus(DAY);
    apply(&store, ids.iter().map(|id| deferred(key(*id, 0), clock.now(), later)).collect()).unwrap();
    let act = |verb, filter: &QueueFilter| {
        smol::block_on(store.act(QueueAct {
            verb,
            filter: filter.clone(),
            operator: "alice".into(),
            from: "test".into(),
        }))
        .unwrap()
    };
    let even = QueueFilter { destination: "EVEN.example".into(), ..QueueFilter::default() };
    let one = QueueFilter { recipient: "u7@".into(), ..QueueFilter::default() };
    assert_eq!(act(QueueVerb::Hold, &even), 300);
    assert_eq!(act(QueueVerb::Hold, &even), 0, "held already");
    assert_eq!(store.totals().held, 300);
    assert_eq!(act(QueueVerb::Flush, &QueueFilter::default()), 300, "held ones are not flushed");
    assert_eq!(
        store.lanes_due(clock.now(), 10).unwrap().iter().map(|l| l.lane.to_string()).collect::<Vec<_>>(),
        ["odd.example"]
    );
    assert_eq!(act(QueueVerb::Fail, &one), 1);
    assert_eq!(store.notices_owed(10).unwrap()[0].kind, NoticeKind::Failure);
    assert_eq!(
        act(QueueVerb::Drop, &QueueFilter { message: Some(ids[9]), index: Some(0), ..QueueFilter::default() }),
        1
    );
    assert_eq!(act(QueueVerb::Release, &QueueFilter { held: true, ..QueueFilter::default() }), 300);
    assert_eq!(act(QueueVerb::Drop, &QueueFilter { sender: "nobody".into(), ..QueueFilter::default() }), 0);
    assert_eq!((store.totals().held, store.totals().waiting), (0, 598));
    let story = store.message_story(ids[9]).unwrap().unwrap();
    let last = story.events.last().unwrap();
    assert_eq!((last.kind, last.operator.as_deref()), (EventKind::Dropped, Some("alice")));
    let audit =
        store.audit_page(&AuditQuery { act: "queue.".into(), ..AuditQuery::default() }, &Page::default()).unwrap().rows;
    let acts: Vec<_> = audit.iter().rev().map(|a| (a.act.as_str(), a.detail.as_str())).collect();
    let hold = [("queue.hold", "begun"), ("queue.hold", "recipients=300")];
    assert_eq!(acts[..2], hold, "an act of several steps has an entry of its beginning, too");
    assert_eq!(acts.iter().filter(|(_, detail)| detail.starts_with("recipients=")).count(), 7);
    assert!(audit.iter().all(|a| a.who == "alice"));
    drop(store);
    assert_sound(&disk);
}

#[test]
fn the_queue_is_paged_without_gap_or_repetition() {
    let (_disk, clock, store) = new_store();
    for n in 0..50 {
        submit(
            &store,
            &clock,
            Mail {
                user: if n % 5 == 0 { "crm".into() } else { String::new() },
                ..Mail::to(&[&format!("u{n}@d{}.example", n % 7), "b@d0.example"])
            },
        )
        .unwrap();
    }
    for (filter, expected) in [
        (QueueFilter::default(), 100),
        (QueueFilter { user: "crm".into(), ..QueueFilter::default() }, 20),
        (QueueFilter { destination: "d0.example".into(), ..QueueFilter::default() }, 58),
        (QueueFilter { recipient: "U1".into(), ..QueueFilter::default() }, 11),
    ] {
        let mut seen = HashSet::new();
        let mut page = Page { rows_max: 7, scan_max: 13, ..Page::default() };
        loop {
            let got = store.queue_page(&filter, &page).unwrap();
            assert!(got.rows.len() <= 7);
            for row in got.rows {
                assert!(seen.insert(row.recipient.key), "{filter:?}");
                assert!(matches!(row.recipient.state, RecipientState::Waiting { wait: WaitReason::Fresh, .. }));
            }
            match got.next {
                Some(next) => page.cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(seen.len(), expected, "{filter:?}");
    }
}

#[test]
fn who_waits_for_a_site_that_is_back_is_due_and_nobody_else() {
    let (disk, clock, store) = new_store();
    let mut ids = Vec::new();
    for n in 0..700 {
        let user = ["", "shop", "bulk"][n % 3].into();
        let mail = Mail { user, class: Class::ALL[n / 3 % 3], ..Mail::to(&["x@a.example", "y@b.example"]) };
        ids.push(submit(&store, &clock, mail).unwrap().id());
    }
    let scheduled = START.plus(Duration::from_secs(7_200));
    let later = Mail { release_at: Some(scheduled), ..Mail::to(&["x@a.example"]) };
    let later = submit(&store, &clock, later).unwrap().id();
    let alike = Mail { lane: Some(lane("a.example#rule")), ..Mail::to(&["x@a.example"]) };
    let alike = submit(&store, &clock, alike).unwrap().id();

    // Of a.example: some were refused, some are held, damaged, or due still; all others wait for the site, as b.example's do.
    clock.advance(Duration::from_secs(10));
    let next = clock.now().plus(Duration::from_secs(4 * 3_600));
    let waits = |key, wait, next| {
        let mut change = deferred(key, clock.now(), next);
        change.event.wait = Some(wait);
        change
    };
    let (mut changes, mut expected) = (vec![waits(key(alike, 0), WaitReason::Site, next)], 0);
    for (n, id) in ids.iter().enumerate() {
        match n % 10 {
            0 => changes.push(waits(key(*id, 0), WaitReason::Retry, next)),
            1 => changes.push(waits(key(*id, 0), WaitReason::Damaged, Timestamp::MAX)),
            2 => {}
            _ => {
                changes.push(waits(key(*id, 0), WaitReason::Site, next));
                expected += u64::from(n % 10 != 3);
            }
        }
        changes.push(waits(key(*id, 1), WaitReason::Site, next));
    }
    apply(&store, changes).unwrap();
    for id in ids.iter().skip(3).step_by(10) {
        let filter = QueueFilter { message: Some(*id), index: Some(0), ..QueueFilter::default() };
        let hold = QueueAct { verb: QueueVerb::Hold, filter, operator: "op".into(), from: "test".into() };
        assert_eq!(smol::block_on(store.act(hold)).unwrap(), 1);
    }
    // A commit is counted after its answers are given: the round trip waits for that.
    let count = || {
        smol::block_on(store.ping()).unwrap();
        store.commits().0
    };
    let audit = || store.audit_page(&AuditQuery::default(), &Page::default()).unwrap().rows.len();
    let events = || store.message_story(ids[5]).unwrap().unwrap().events.len();
    let (acts, logged, held, commits) = (audit(), events(), store.totals().held, count());

    clock.advance(Duration::from_secs(1));
    let now = clock.now();
    assert_eq!(smol::block_on(store.site_is_back(&lane("a.example"))).unwrap(), expected);
    assert_eq!(count() - commits, expected.div_ceil(256), "in bounded steps");
    for (n, id) in ids.iter().enumerate() {
        let recipients = load(&store, *id).unwrap().1;
        let (due, wait) = match n % 10 {
            0 => (next, WaitReason::Retry),
            1 => (Timestamp::MAX, WaitReason::Damaged),
            2 => (START, WaitReason::Fresh),
            3 => (Timestamp::MAX, WaitReason::Held),
            _ => (now, WaitReason::Site),
        };
        assert_eq!(recipients[0].state, RecipientState::Waiting { due, wait }, "{n}");
        assert_eq!(recipients[0].attempts, u32::from(n % 10 != 2), "tries stay as they were");
        assert_eq!(recipients[1].state, RecipientState::Waiting { due: next, wait: WaitReason::Site }, "{n}");
    }
    assert_eq!(
        load(&store, later).unwrap().1[0].state,
        RecipientState::Waiting { due: scheduled, wait: WaitReason::Scheduled }
    );
    assert_eq!(load(&store, alike).unwrap().1[0].state, RecipientState::Waiting { due: next, wait: WaitReason::Site });
    assert_eq!((audit(), events(), store.totals().held), (acts, logged, held), "no entry of its own");
    // Who is due already is passed over.
    assert_eq!(smol::block_on(store.site_is_back(&lane("a.example"))).unwrap(), 0);
    assert_eq!(count() - commits, expected.div_ceil(256), "nothing to write");
    assert_eq!(smol::block_on(store.site_is_back(&lane("none.example"))).unwrap(), 0);
    assert_eq!((store.totals().waiting, store.totals().held), (1_402, held));
    assert_eq!(store.lanes_due(now, 10).unwrap()[0].lane, lane("a.example"));
    drop(store);
    assert_sound(&disk);
}
