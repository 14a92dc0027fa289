//! P5 and the log's speed at size, on the real disk: 20,000 queued and 200,000 events; with HIKYAKU_LONG=1 the full million
//! and ten million.

use std::{sync::Arc, time::Duration};

use hikyaku::{
    clock::{Clock, Timestamp},
    event::{Class, EventKind},
    store::{LogQuery, Page, QueueFilter, Store},
};

use crate::support::*;

fn long() -> bool {
    std::env::var_os("HIKYAKU_LONG").is_some()
}

/// The process's resident memory, in octets.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn timed<T>(what: &str, most: Duration, f: impl FnOnce() -> T) -> T {
    let clock = Clock::system();
    let start = clock.instant();
    let out = f();
    let took = clock.instant() - start;
    println!("{what}: {took:?}");
    assert!(took < most, "{what} took {took:?}");
    out
}

/// Queues `recipients`, 100 a message, over 1,000 lanes.
fn fill(store: &Store, clock: &Clock, recipients: usize) {
    let mut waiting = Vec::new();
    for n in 0..recipients / 100 {
        let to = (0..100).map(|i| format!("user{i}@domain{}.example", (n * 7 + i) % 1000)).collect();
        let mail = Mail { to, body: vec![b'x'; 500], message_id: format!("<{n}@example.jp>"), ..Mail::default() };
        let (store, now) = (store.clone(), clock.now());
        waiting.push(async move { store.submit(mail.submission(store.ids().next(now), now)).await });
        if waiting.len() == 64 {
            join(std::mem::take(&mut waiting));
        }
    }
    join(waiting);
}

fn join<T: std::future::Future<Output = Result<hikyaku::store::Receipt, hikyaku::store::StoreError>>>(all: Vec<T>) {
    let ex = smol::LocalExecutor::new();
    let tasks: Vec<_> = all.into_iter().map(|f| ex.spawn(f)).collect();
    smol::block_on(ex.run(async {
        for t in tasks {
            t.await.unwrap();
        }
    }));
}

#[test]
fn a_long_queue_opens_at_once_and_takes_no_memory() {
    let recipients = if long() { 1_000_000 } else { 20_000 };
    let dir = TempDir::new("size-queue");
    let clock = Clock::system();
    let store = Store::open(options(&dir.0, &clock)).unwrap().store;
    fill(&store, &clock, recipients);
    assert_eq!(store.totals().waiting, recipients as u64);
    drop(store); // no stop: as kill -9
    let before = resident();
    let opened = timed("opening", Duration::from_secs(3), || Store::open(options(&dir.0, &clock)).unwrap());
    let store = opened.store;
    assert_eq!(store.totals().waiting, recipients as u64);
    let now = clock.now();
    let lanes = timed("lanes_due", Duration::from_millis(500), || store.lanes_due(now, 100).unwrap());
    assert_eq!(lanes.len(), 100);
    let head = timed("lane_head", Duration::from_millis(500), || {
        lane_head(&store, &lanes[0].lane, Class::Normal, now, 50, &|_| false)
    });
    assert!(!head.is_empty());
    timed("next_due", Duration::from_millis(500), || store.next_due(Timestamp::ZERO).unwrap()).unwrap();
    timed("lanes", Duration::from_secs(1), || store.lanes(20).unwrap());
    timed("queue page", Duration::from_secs(1), || {
        store.queue_page(&QueueFilter::default(), &Page::default()).unwrap()
    });
    let grown = resident().saturating_sub(before);
    println!("grown: {} KiB", grown / 1024);
    assert!(grown < 64 * 1024 * 1024, "{grown} octets more");
}

/// Each recipient at a destination of its own: the widest queue that there is.
#[test]
fn the_largest_of_many_destinations_are_found() {
    let (dir, clock) = (TempDir::new("size-lanes"), Clock::system());
    let store = Store::open(options(&dir.0, &clock)).unwrap().store;
    let lanes = if long() { 1_000_000 } else { 20_000 };
    let mut waiting = Vec::new();
    for n in 0..lanes / 100 {
        let mail = Mail { to: (0..100).map(|i| format!("u@d{}.example", n * 100 + i)).collect(), ..Mail::default() };
        let (store, now) = (store.clone(), clock.now());
        waiting.push(async move { store.submit(mail.submission(store.ids().next(now), now)).await });
        if waiting.len() == 64 {
            join(std::mem::take(&mut waiting));
        }
    }
    join(waiting);
    let most = Duration::from_secs(if long() { 20 } else { 2 });
    let found = timed(&format!("200 largest of {lanes} lanes"), most, || store.lanes(200).unwrap());
    assert_eq!((found.len(), found[0].classes), (200, [0, 1, 0]));
    timed("again", most, || store.lanes(200).unwrap());
}

/// Sums, counts and pages that the console asks of a queue, each within its part of a page's 100 ms.
#[test]
fn a_long_queue_is_summed_counted_and_paged_at_once() {
    let recipients = if long() { 1_000_000 } else { 20_000 };
    let dir = TempDir::new("size-sums");
    let clock = Clock::system();
    let store = Store::open(options(&dir.0, &clock)).unwrap().store;
    fill(&store, &clock, recipients);
    // The test build is slow, and other tests run beside this one.
    let most = Duration::from_millis(if cfg!(debug_assertions) { 400 } else { 50 });
    let within = Duration::from_millis(60);
    let sums = timed("queue_sums", most, || store.queue_sums().unwrap());
    assert_eq!((sums.waiting(None, None), sums.of_user("")), (recipients as u64, recipients as u64));
    let lanes = timed("lanes, 200 largest of 1,000", most, || store.lanes(200).unwrap());
    assert_eq!(lanes.len(), 200);
    let bare = QueueFilter::default();
    for (what, filter, expected) in [
        ("all", bare.clone(), Some(recipients as u64)),
        ("a class", QueueFilter { class: Some(Class::Low), ..bare.clone() }, Some(0)),
        ("held ones", QueueFilter { held: true, ..bare.clone() }, Some(0)),
        ("a user", QueueFilter { user: "nobody".into(), ..bare.clone() }, Some(0)),
        ("a destination", QueueFilter { destination: lanes[7].lane.to_string(), ..bare.clone() }, Some(lanes[7].count)),
        ("held ones of a user", QueueFilter { held: true, user: "nobody".into(), ..bare.clone() }, Some(0)),
        ("part of an address", QueueFilter { recipient: "user42@".into(), ..bare.clone() }, None),
        ("part of an answer", QueueFilter { reply: "421".into(), ..bare.clone() }, None),
    ] {
        // What has to be looked for ends with its time, and not much later.
        let counted =
            timed(&format!("count of {what}"), within + most, || store.count_waiting(&filter, within).unwrap());
        if let Some(expected) = expected {
            assert_eq!((counted.recipients, counted.is_whole), (expected, true), "{what}");
        }
        let page = Page { within: Some(within), ..Page::default() };
        timed(&format!("page of {what}"), within + most, || store.queue_page(&filter, &page).unwrap());
    }
}

#[test]
fn the_log_answers_quickly_at_size() {
    // Each recipient makes two events.
    let events = if long() { 10_000_000 } else { 200_000 };
    let dir = TempDir::new("size-log");
    let clock = Clock::system();
    let store = Arc::new(Store::open(options(&dir.0, &clock)).unwrap().store);
    let rounds = events / 200_000;
    for _ in 0..rounds {
        fill(&store, &clock, 100_000);
        deliver_everything(&store, &clock);
    }
    let quick = Duration::from_millis(if cfg!(debug_assertions) { 4000 } else { 1500 });
    let at_once = Duration::from_millis(if cfg!(debug_assertions) { 2000 } else { 10 });
    // What a person asks after the cache has seen other mail: the first question of each kind is told, the second one counts.
    let exact = LogQuery { recipient: "user5@domain5.example".into(), exact: true, ..LogQuery::default() };
    timed("exact recipient, the first time", quick, || store.log_page(&exact, &Page::default()).unwrap());
    let other = LogQuery { recipient: "user7@domain7.example".into(), ..exact.clone() };
    for query in [&exact, &other] {
        let page = timed("exact recipient", at_once, || store.log_page(query, &Page::default()).unwrap());
        assert_eq!(page.rows.len(), (2 * rounds).min(100));
    }
    let by_id = LogQuery { message_id: "<77@example.jp>".into(), exact: true, ..LogQuery::default() };
    timed("exact Message-ID, the first time", quick, || store.log_page(&by_id, &Page::default()).unwrap());
    let other = LogQuery { message_id: "<78@example.jp>".into(), ..by_id.clone() };
    for query in [&by_id, &other] {
        let page =
            timed("exact Message-ID of 5,000 recipients", at_once, || store.log_page(query, &Page::default()).unwrap());
        assert_eq!(page.rows.len(), 100);
    }
    let mut page = Page { rows_max: 1000, ..Page::default() };
    let mut found = 0;
    loop {
        let got = timed("a page of it", quick, || store.log_page(&by_id, &page).unwrap());
        found += got.rows.len();
        let Some(next) = got.next else { break };
        page.cursor = Some(next);
    }
    assert_eq!(found, 200 * rounds, "every event of every recipient, once");
    within_a_time(&store);
    let rare = LogQuery { recipient: "nobody@nowhere".into(), ..LogQuery::default() };
    let page = timed("part of a recipient that nobody has", quick, || store.log_page(&rare, &Page::default()).unwrap());
    assert!(page.rows.is_empty() && page.next.is_some());
    let all = timed("newest hundred", quick, || store.log_page(&LogQuery::default(), &Page::default()).unwrap());
    assert_eq!(all.rows.len(), 100);
    let failed = LogQuery { kinds: vec![EventKind::Failed], ..LogQuery::default() };
    timed("a kind that nothing has", quick, || store.log_page(&failed, &Page::default()).unwrap());
    timed("opening", Duration::from_secs(3), || {
        let store = Arc::into_inner(store).unwrap();
        drop(store);
        Store::open(options(&dir.0, &clock)).unwrap()
    });
}

/// A search by a part of the address says within its time what it found, and how far back that is.
fn within_a_time(store: &Store) {
    let wait = Duration::from_millis(150);
    let most = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 200 });
    let part = |text: &str| LogQuery { recipient: text.into(), ..LogQuery::default() };
    let page = |cursor| Page { within: Some(wait), scan_max: usize::MAX, cursor, ..Page::default() };
    let got = timed("part of a recipient, found", most, || store.log_page(&part("ser5@"), &page(None)).unwrap());
    assert_eq!(got.rows.len(), 100);
    let (mut cursor, mut looked, mut pages) = (None, Timestamp::MAX, 0);
    loop {
        let got = timed("part of a recipient that nobody has, 150 ms", most, || {
            store.log_page(&part("nobody@nowhere"), &page(cursor.take())).unwrap()
        });
        pages += 1;
        assert!(got.rows.is_empty());
        cursor = got.next;
        if cursor.is_none() {
            assert_eq!(got.looked_back_to, None);
            break;
        }
        let back = got.looked_back_to.unwrap();
        assert!(back <= looked, "each page looks further back");
        looked = back;
    }
    println!("the whole log in {pages} pages");
}

fn deliver_everything(store: &Store, clock: &Clock) {
    let now = clock.now();
    loop {
        let mut changes = Vec::new();
        for lane in store.lanes_due(Timestamp::from_millis(u64::MAX - 1), 10).unwrap() {
            let head =
                lane_head(store, &lane.lane, Class::Normal, Timestamp::from_millis(u64::MAX - 1), 1000, &|_| false);
            changes.extend(head.into_iter().map(|t| succeeded(t.key, now)));
        }
        if changes.is_empty() {
            return;
        }
        apply(store, changes).unwrap();
    }
}
