//! R11: what comes back is an entry of its own, and it and the delivery name each other; P2 and P3 stay; R13: all of it goes.

use std::{path::Path, sync::Arc, time::Duration};

use hikyaku::{
    clock::Clock,
    event::{ErrorClass, EventKind},
    ids::MessageId,
    store::{
        LogQuery, LogRow, NoticeKind, Page, RETURNED_A_CALL_MAX, RETURNS_MAX, RecipientState, ReturnedAs, Store,
        StoreError, Tuning, VerifyReport, sim::SimDisk,
    },
};

use crate::support::*;
use EventKind::{Bounced, Complained, Deferred, Failed, Queued, Succeeded};

fn written(answer: Result<ReturnedAs, StoreError>) -> u64 {
    match answer {
        Ok(ReturnedAs::Written(number)) => number,
        other => panic!("{other:?}"),
    }
}

fn rows(store: &Store, query: &LogQuery) -> Vec<LogRow> {
    let page = store.log_page(query, &Page::default()).unwrap();
    assert!(page.next.is_none());
    page.rows
}

fn delivered(store: &Store, clock: &Clock) -> MessageId {
    let mail = Mail { message_id: "<m1@example.jp>".into(), api_data: "campaign-7".into(), ..Mail::default() };
    let id = submit(store, clock, mail).unwrap().id();
    clock.advance(Duration::from_secs(60));
    apply(store, vec![succeeded(key(id, 0), clock.now())]).unwrap();
    clock.advance(Duration::from_secs(3600));
    id
}

#[test]
fn what_comes_back_after_a_delivery_and_the_delivery_name_each_other() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let mut store = open_sim(&disk, &clock).unwrap().store;
    let id = delivered(&store, &clock);
    let bounce = || back(key(id, 0), clock.now(), Bounced, "550 5.1.1 no such user");
    let first = written(returned(&store, bounce()));
    // The peer did not hear our 250 and sends it again, in the same call and later.
    assert_eq!(
        smol::block_on(store.returned(vec![bounce(), bounce()])).unwrap(),
        [ReturnedAs::Known(first), ReturnedAs::Known(first)]
    );
    clock.advance(Duration::from_secs(3600));
    let second = written(returned(&store, back(key(id, 0), clock.now(), Complained, "")));
    let mut other_class = bounce();
    other_class.detail.error = Some(ErrorClass::Other);
    let third = written(returned(&store, other_class));
    assert!(first < second && second < third);

    for reopened in [false, true] {
        if reopened {
            drop(store);
            assert_sound(&disk);
            store = open_sim(&disk, &clock).unwrap().store;
            assert_eq!(returned(&store, bounce()).unwrap(), ReturnedAs::Known(first));
        }
        let (message, recipients) = load(&store, id).unwrap();
        assert_eq!(recipients[0].state, RecipientState::Final(Succeeded), "no state changes");
        assert!(body_of(&store, &message).is_err(), "and no body comes back");
        let story = store.message_story(id).unwrap().unwrap();
        let kinds: Vec<_> = story.events.iter().map(|e| e.kind).collect();
        assert_eq!(kinds, [Queued, Succeeded, Bounced, Complained, Bounced]);
        assert_eq!(story.events.iter().filter(|e| e.kind.is_final()).count(), 1, "P2");
        assert_eq!(story.recipients[0].last_reply, "250 2.0.0 ok", "the delivery's answer stays its last");
        let named = |place: usize| story.links(place).iter().map(|l| l.number).collect::<Vec<_>>();
        assert!(named(0).is_empty());
        assert_eq!(named(1), [first, second, third]);
        assert!((2..5).all(|place| named(place) == [story.numbers[1]]));

        let all = rows(&store, &LogQuery::default());
        assert_eq!(all.len(), 5);
        for row in &all {
            let links: Vec<_> = row.links.iter().map(|l| (l.number, l.event.kind)).collect();
            let expected = match row.event.kind {
                Succeeded => vec![(first, Bounced), (second, Complained), (third, Bounced)],
                Bounced | Complained => vec![(story.numbers[1], Succeeded)],
                _ => vec![],
            };
            assert_eq!(links, expected, "{:?}", row.event.kind);
        }
        let bounced = all.iter().find(|r| r.number == first).unwrap();
        let detail = bounced.event.detail.as_ref().unwrap();
        assert_eq!((detail.destination.as_str(), detail.hard), ("example.org", true));
        let errors = rows(&store, &LogQuery { errors_only: true, ..LogQuery::default() });
        assert_eq!(errors.iter().map(|r| r.number).collect::<Vec<_>>(), [third, second, first]);
        let exact = |q: LogQuery| rows(&store, &LogQuery { exact: true, ..q }).len();
        assert_eq!(exact(LogQuery { recipient: "you@example.org".into(), ..LogQuery::default() }), 5);
        assert_eq!(exact(LogQuery { api_data: "campaign-7".into(), ..LogQuery::default() }), 5);
        assert_eq!(exact(LogQuery { message_id: "<m1@example.jp>".into(), ..LogQuery::default() }), 5);
        let minutes = store.minutes(START, clock.now().plus(DAY)).unwrap();
        assert_eq!(minutes.iter().map(|m| (m.succeeded, m.failed)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)), (1, 0));
    }
}

#[test]
fn what_no_one_knows_or_may_come_back_is_refused_and_a_recipient_takes_a_bounded_number() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    let id = delivered(&store, &clock);
    let bounce = |n: usize| back(key(id, 0), clock.now(), Bounced, &format!("550 bounce {n}"));
    assert_eq!(returned(&store, back(key(id, 1), clock.now(), Bounced, "")).unwrap(), ReturnedAs::Unknown);
    let nobody = MessageId::from_u64(id.as_u64() + 1);
    assert_eq!(returned(&store, back(key(nobody, 0), clock.now(), Bounced, "")).unwrap(), ReturnedAs::Unknown);
    assert!(matches!(returned(&store, back(key(id, 0), clock.now(), Failed, "")), Err(StoreError::Refused(_))));
    let many = (0..=RETURNED_A_CALL_MAX).map(bounce).collect();
    assert!(matches!(smol::block_on(store.returned(many)), Err(StoreError::Refused(_))));
    assert!(smol::block_on(store.returned(Vec::new())).unwrap().is_empty());

    let answers = smol::block_on(store.returned((0..RETURNS_MAX + 3).map(bounce).collect())).unwrap();
    let last = written(Ok(answers[RETURNS_MAX - 1]));
    assert!(answers[RETURNS_MAX..].iter().all(|a| *a == ReturnedAs::Known(last)), "{answers:?}");
    let delivery = rows(&store, &LogQuery { kinds: vec![Succeeded], ..LogQuery::default() }).remove(0);
    assert_eq!(delivery.links.len(), RETURNS_MAX);
    for row in rows(&store, &LogQuery { kinds: vec![Bounced], ..LogQuery::default() }) {
        assert_eq!(row.links[0].number, delivery.number);
    }
    drop(store);
    assert_sound(&disk);
}

#[test]
fn one_that_still_waits_may_bounce_too_and_is_delivered_as_ever() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    let id = submit(&store, &clock, Mail::to(&["a@x.example", "b@y.example"])).unwrap().id();
    let next = clock.now().plus(Duration::from_secs(300));
    apply(&store, vec![deferred(key(id, 0), clock.now(), next)]).unwrap();
    let lost = written(returned(&store, back(key(id, 0), clock.now(), Bounced, "a copy bounced")));
    assert_eq!((store.totals().waiting, store.next_due(START).unwrap()), (2, Some(next)), "it waits as before");
    let (_, recipients) = load(&store, id).unwrap();
    assert_eq!(recipients[0].last_reply, "450 4.2.1 later");
    // The process stops hard. Both were due: a bounce since does not hide that they may have been in flight (P3).
    drop(store);
    clock.advance(Duration::from_secs(600));
    let opened = open_sim(&disk, &clock).unwrap();
    assert!(!opened.clean);
    let store = opened.store;
    written(returned(&store, back(key(id, 0), clock.now(), Complained, "spam")));
    assert!(load(&store, id).unwrap().1.iter().all(|r| r.possible_duplicate), "P3");
    apply(&store, vec![succeeded(key(id, 0), clock.now()), succeeded(key(id, 1), clock.now())]).unwrap();
    let story = store.message_story(id).unwrap().unwrap();
    let of_first: Vec<usize> = (0..story.events.len()).filter(|n| story.events[*n].key.index == 0).collect();
    let kinds: Vec<_> = of_first.iter().map(|n| story.events[*n].kind).collect();
    assert_eq!(kinds, [Queued, Deferred, Bounced, Complained, Succeeded]);
    assert_eq!(story.links(of_first[1])[0].number, lost, "it is about the try before");
    assert_eq!(story.links(of_first[2])[0].event.kind, Deferred);
    assert!(story.links(of_first[4]).is_empty());
    assert_eq!(store.totals().body_octets, 0);
    smol::block_on(store.stop()).unwrap();
    drop(store);
    assert_sound(&disk);
}

fn verified(disk: &SimDisk) -> VerifyReport {
    let report = Store::verify_on(Arc::new(disk.clone()), Path::new(SIM_DIR)).unwrap();
    assert!(report.damage.is_empty(), "{:#?}", report.damage);
    report
}

/// Lets the pruner work until so many events are left; answers what is stored then.
fn pruned_to(disk: &SimDisk, clock: &Clock, mut store: Store, events: u64) -> (Store, VerifyReport) {
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(50));
        smol::block_on(store.stop()).unwrap();
        drop(store);
        let report = verified(disk);
        store = open_sim(disk, clock).unwrap().store;
        if report.events == events {
            return (store, report);
        }
    }
    panic!("never {events} events");
}

fn is_gone(store: &Store, id: MessageId) {
    assert!(load(store, id).is_none());
    assert!(store.message_story(id).unwrap().is_none());
    for k in [id.to_string().as_str(), "you@example.org", "<m1@example.jp>", "campaign-7"] {
        assert!(store.find(k, 10).unwrap().is_empty(), "{k}");
    }
    assert!(store.sent_as("<m1@example.jp>", 10).unwrap().is_empty());
    assert!(store.follow(0, &[], 100).unwrap().0.is_empty());
    assert!(rows(store, &LogQuery::default()).is_empty());
}

#[test]
fn a_message_lives_as_long_as_its_last_bounce_and_goes_with_it() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    let id = delivered(&store, &clock);
    // A message of many recipients, some of which bounce, beside it; and one that never does.
    let many = submit(&store, &clock, Mail::to(&["you@example.org"; 12])).unwrap().id();
    apply(&store, (0..12).map(|i| succeeded(key(many, i), clock.now())).collect()).unwrap();
    let quiet = submit(&store, &clock, Mail::default()).unwrap().id();
    apply(&store, vec![succeeded(key(quiet, 0), clock.now())]).unwrap();
    written(returned(&store, back(key(many, 3), clock.now(), Bounced, "early")));
    clock.advance(39 * DAY);
    let late = written(returned(&store, back(key(id, 0), clock.now(), Bounced, "late")));
    written(returned(&store, back(key(many, 11), clock.now(), Bounced, "late")));
    written(returned(&store, back(key(many, 0), clock.now(), Complained, "late")));

    clock.advance(2 * DAY);
    let (store, report) = pruned_to(&disk, &clock, store, 3);
    assert_eq!((report.messages, report.recipients), (2, 13), "the quiet one went with its delivery");
    assert!(load(&store, quiet).is_none());
    let row = rows(&store, &LogQuery { message: Some(id), ..LogQuery::default() }).remove(0);
    assert_eq!((row.number, row.links.len()), (late, 0), "the delivery is past its period, and is not named");
    assert_eq!(store.message_story(id).unwrap().unwrap().events.len(), 1);
    assert_eq!(store.find("<m1@example.jp>", 9).unwrap(), [id]);
    assert_eq!(store.sent_as("<M1@example.jp>", 9).unwrap().len(), 1);
    // It may come back again, and lives longer.
    clock.advance(20 * DAY);
    written(returned(&store, back(key(id, 0), clock.now(), Complained, "later still")));
    clock.advance(20 * DAY);
    let (store, report) = pruned_to(&disk, &clock, store, 1);
    assert_eq!((report.messages, report.recipients), (1, 1));
    assert!(load(&store, many).is_none());
    clock.advance(21 * DAY);
    let (store, report) = pruned_to(&disk, &clock, store, 0);
    assert_eq!((report.messages, report.recipients), (0, 0));
    is_gone(&store, id);
}

#[test]
fn an_owed_notice_and_a_bounce_each_keep_the_message_for_the_other() {
    for bounce_goes_first in [true, false] {
        let (disk, clock) = (SimDisk::default(), Clock::manual(START));
        let store = open_sim(&disk, &clock).unwrap().store;
        let id = submit(&store, &clock, Mail::default()).unwrap().id();
        apply(&store, vec![owing(failed(key(id, 0), clock.now()), NoticeKind::Failure)]).unwrap();
        clock.advance(30 * DAY);
        written(returned(&store, back(key(id, 0), clock.now(), Bounced, "")));
        clock.advance(11 * DAY);
        let (store, _) = pruned_to(&disk, &clock, store, 1);
        assert!(load(&store, id).is_some());
        let settle = |store: &Store| assert_eq!(smol::block_on(store.settle(vec![key(id, 0)])).unwrap(), 1);
        let store = if bounce_goes_first {
            clock.advance(30 * DAY);
            let (store, report) = pruned_to(&disk, &clock, store, 0);
            assert_eq!(report.messages, 1, "it is owed");
            settle(&store);
            store
        } else {
            settle(&store);
            assert_eq!(store.message_story(id).unwrap().unwrap().events.len(), 1, "its bounce is in the log");
            clock.advance(30 * DAY);
            pruned_to(&disk, &clock, store, 0).0
        };
        is_gone(&store, id);
        drop(store);
        assert_eq!(verified(&disk).messages, 0);
    }
}

#[test]
fn nothing_brings_back_what_is_past_its_period_even_before_it_is_pruned() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let tuning = Tuning {
        disk: Arc::new(disk.clone()),
        jobs_inline: true,
        // The pruner does not come by.
        idle_tick: Duration::from_secs(600),
        ..Tuning::default()
    };
    let store = Store::open_tuned(options(SIM_DIR, &clock), tuning).unwrap().store;
    let id = delivered(&store, &clock);
    let waits = submit(&store, &clock, Mail::default()).unwrap().id();
    clock.advance(41 * DAY);
    let late = |id| returned(&store, back(key(id, 0), clock.now(), Bounced, "very late")).unwrap();
    assert_eq!(late(id), ReturnedAs::Unknown);
    assert!(store.message_story(id).unwrap().is_none());
    assert!(store.sent_as("<m1@example.jp>", 9).unwrap().is_empty());
    assert_eq!(store.follow(0, &[], 100).unwrap(), (vec![], 0));
    assert!(matches!(late(waits), ReturnedAs::Written(_)), "it waits: it is known");
    assert_eq!(store.message_story(waits).unwrap().unwrap().events.len(), 1);
}

#[test]
fn each_log_shows_what_is_within_its_own_period_and_no_link_beyond() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    let mut periods = retention();
    periods.delivery_log = 10 * DAY;
    store.reconfigure(periods, 0);
    let id = delivered(&store, &clock);
    written(returned(&store, back(key(id, 0), clock.now(), Bounced, "550")));
    let errors = LogQuery { errors_only: true, ..LogQuery::default() };
    assert_eq!(rows(&store, &errors)[0].links.len(), 1);
    clock.advance(11 * DAY);
    assert!(rows(&store, &LogQuery::default()).is_empty());
    let row = rows(&store, &errors).remove(0);
    assert!(row.links.is_empty(), "the delivery is past its period");
    drop(store);
    assert_sound(&disk);
}

#[test]
fn a_bounce_never_waits_behind_submissions() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    let id = delivered(&store, &clock);
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let executor = smol::LocalExecutor::new();
    smol::block_on(executor.run(async {
        let mut tasks = Vec::new();
        for n in 0..3_000u32 {
            let (store, now, order) = (&store, clock.now(), order.clone());
            let mail = Mail::default().submission(store.ids().next(now), now);
            tasks.push(executor.spawn(async move {
                if n == 2_999 {
                    store.returned(vec![back(key(id, 0), now, Bounced, "")]).await.unwrap();
                } else {
                    store.submit(mail).await.unwrap();
                }
                order.lock().unwrap().push(n);
            }));
        }
        for task in tasks {
            task.await;
        }
    }));
    let order = order.lock().unwrap();
    let place = order.iter().position(|n| *n == 2_999).unwrap();
    assert!(place < 2_100, "it came last and was answered as number {place} of {}", order.len());
}
