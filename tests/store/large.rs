//! A mail to more recipients than are followed one by one, and more lanes than are looked at one by one: the answers are the same.

use std::{collections::HashMap, time::Duration};

use hikyaku::{
    clock::Clock,
    ids::MessageId,
    store::{GlanceAsk, LogQuery, Page, QueueFilter, Store},
};

use crate::support::*;

/// More than `FOLLOWED_MAX` of the store.
const RECIPIENTS: u32 = 1_100;
/// More than `LOOKED_AT_MAX` of its lanes.
const LANES: u32 = 6_000;

/// One mail to many, between mails to one: some of them tried twice, some for good.
fn to_many(store: &Store, clock: &Clock) -> MessageId {
    let to: Vec<String> = (0..RECIPIENTS).map(|n| format!("u{n}@d{}.example", n % 7)).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let id = submit(store, clock, Mail { message_id: "<many@example.jp>".into(), ..Mail::to(&to) }).unwrap().id();
    for round in 0..2 {
        let other = submit(store, clock, Mail::default()).unwrap().id();
        clock.advance(Duration::from_secs(60));
        apply(store, vec![succeeded(key(other, 0), clock.now())]).unwrap();
        let next = clock.now().plus(Duration::from_secs(600));
        let some = (0..RECIPIENTS).filter(|n| n % 3 > round);
        let changes = some.map(|n| match (n + round) % 5 {
            0 => failed(key(id, n), clock.now()),
            1 => succeeded(key(id, n), clock.now()),
            _ => deferred(key(id, n), clock.now(), next),
        });
        // One that was final in the first round is too late in the second.
        apply(store, changes.collect()).unwrap();
    }
    id
}

#[test]
fn pages_of_a_mail_to_very_many_leave_nothing_out_and_tell_nothing_twice() {
    let (place, clock) = (TempDir::new("large-mail"), Clock::manual(START));
    let store = Store::open(options(&place.0, &clock)).unwrap().store;
    let id = to_many(&store, &clock);
    let story = store.message_story(id).unwrap().unwrap();
    let numbers: Vec<u64> = story.numbers.iter().rev().copied().collect();
    assert!(numbers.len() > 1_900);
    // The log, asked for by the message and by its Message-ID.
    let by_id = LogQuery { message: Some(id), ..LogQuery::default() };
    let by_text = LogQuery { message_id: "<many@example.jp>".into(), exact: true, ..LogQuery::default() };
    for query in [by_id, by_text] {
        let (mut found, mut page) = (Vec::new(), Page { rows_max: 170, ..Page::default() });
        loop {
            let got = store.log_page(&query, &page).unwrap();
            found.extend(got.rows.iter().map(|row| row.number));
            page.cursor = got.next;
            if page.cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, numbers);
    }
    // The message at a glance.
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let ask = GlanceAsk { before, entries: 170, ..GlanceAsk::default() };
        let glance = store.message_glance(id, &ask).unwrap().unwrap();
        assert_eq!(glance.standing.all(), u64::from(RECIPIENTS));
        found.extend(glance.entries.iter().rev().map(|row| row.number));
        before = glance.earlier;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(found, numbers);
    // Those of it that wait.
    let filter = QueueFilter { message: Some(id), ..QueueFilter::default() };
    let (mut waiting, mut page) = (0, Page { rows_max: 170, ..Page::default() });
    loop {
        let got = store.queue_page(&filter, &page).unwrap();
        waiting += got.rows.len() as u64;
        page.cursor = got.next;
        if page.cursor.is_none() {
            break;
        }
    }
    let glance = store.message_glance(id, &GlanceAsk::default()).unwrap().unwrap();
    assert_eq!(waiting, glance.standing.open());
    assert_eq!(store.count_waiting(&filter, Duration::from_secs(60)).unwrap().recipients, waiting);
    let one = QueueFilter { index: Some(3), ..filter };
    assert!(store.queue_page(&one, &Page::default()).unwrap().rows.len() <= 1);
}

#[test]
fn of_very_many_lanes_the_largest_are_told_as_they_are_now() {
    let (place, clock) = (TempDir::new("large-lanes"), Clock::manual(START));
    let store = Store::open(options(&place.0, &clock)).unwrap().store;
    let mut counts: HashMap<String, u64> = HashMap::new();
    let add = |store: &Store, counts: &mut HashMap<String, u64>, lanes: std::ops::Range<u32>, each: u32| {
        let to: Vec<String> = lanes.flat_map(|n| (0..each).map(move |r| format!("u{r}@lane{n}.example"))).collect();
        for some in to.chunks(500) {
            let some: Vec<&str> = some.iter().map(String::as_str).collect();
            submit(store, &clock, Mail::to(&some)).unwrap();
        }
        for address in to {
            *counts.entry(address.split('@').nth(1).unwrap().to_owned()).or_default() += 1;
        }
    };
    add(&store, &mut counts, 0..LANES, 1);
    add(&store, &mut counts, 100..140, 5);
    let check = |store: &Store, counts: &HashMap<String, u64>| {
        let mut wanted: Vec<u64> = counts.values().copied().collect();
        wanted.sort_unstable_by_key(|count| std::cmp::Reverse(*count));
        wanted.truncate(60);
        eventually("the largest lanes", || {
            let told = store.lanes(60).unwrap();
            assert!(told.iter().all(|row| counts[&*row.lane.0] == row.count), "each as it is now");
            told.iter().map(|row| row.count).collect::<Vec<_>>() == wanted
        });
    };
    check(&store, &counts);
    // They grow while it is known which they are …
    add(&store, &mut counts, 4_000..4_030, 9);
    add(&store, &mut counts, 7_000..7_010, 11);
    check(&store, &counts);
    // … and leave.
    let filter = QueueFilter { destination: "lane7003.example".into(), ..QueueFilter::default() };
    let act = hikyaku::store::QueueAct {
        verb: hikyaku::store::QueueVerb::Drop,
        filter,
        operator: "op".into(),
        from: "test".into(),
    };
    assert_eq!(smol::block_on(store.act(act)).unwrap(), 11);
    counts.remove("lane7003.example");
    check(&store, &counts);
    // After a restart it is found anew.
    smol::block_on(store.stop()).unwrap();
    drop(store);
    let store = Store::open(options(&place.0, &clock)).unwrap().store;
    check(&store, &counts);
}
