//! The log: newest first, exact by index, in part by a bounded scan, by user, by kind; nothing past its period (R12–R14).

use std::time::Duration;

use hikyaku::{
    clock::Clock,
    event::EventKind,
    ids::MessageId,
    store::{AccountKind, AuditEntry, LogQuery, LogRow, Page, Store, sim::SimDisk},
};

use crate::support::*;

struct World {
    disk: SimDisk,
    clock: Clock,
    store: Store,
    ids: Vec<MessageId>,
}

/// Thirty messages over three days, each queued, deferred once, and then delivered or failed.
fn world() -> World {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    let mut ids = Vec::new();
    for n in 0..30u32 {
        let mail = Mail {
            message_id: format!("<M{n}@Example.JP>"),
            api_data: if n % 3 == 0 { "Campaign-7".into() } else { String::new() },
            user: ["crm", "shop"][n as usize % 2].into(),
            from: if n == 5 { None } else { Some(format!("s{n}@example.jp")) },
            ..Mail::to(&[&format!("User{}@example.org", n % 10), "both@example.net"])
        };
        let id = submit(&store, &clock, mail).unwrap().id();
        clock.advance(Duration::from_secs(60));
        apply(&store, vec![deferred(key(id, 0), clock.now(), clock.now())]).unwrap();
        clock.advance(Duration::from_secs(60));
        let last = if n % 6 == 0 { failed(key(id, 0), clock.now()) } else { succeeded(key(id, 0), clock.now()) };
        apply(&store, vec![last, succeeded(key(id, 1), clock.now())]).unwrap();
        clock.advance(DAY / 10);
        ids.push(id);
    }
    World { disk, clock, store, ids }
}

fn all(store: &Store, query: &LogQuery, rows_max: usize, scan_max: usize) -> Vec<LogRow> {
    let mut out: Vec<LogRow> = Vec::new();
    let mut page = Page { rows_max, scan_max, ..Page::default() };
    for _ in 0..10_000 {
        let got = store.log_page(query, &page).unwrap();
        assert!(got.rows.len() <= rows_max);
        out.extend(got.rows);
        match got.next {
            Some(next) => page.cursor = Some(next),
            None => {
                assert!(out.windows(2).all(|w| w[0].number > w[1].number), "newest first, none twice");
                return out;
            }
        }
    }
    panic!("the pages never end");
}

#[test]
fn every_filter_finds_exactly_its_rows_whatever_the_page() {
    let w = world();
    let q = LogQuery::default;
    let exact = || LogQuery { exact: true, ..LogQuery::default() };
    let cases = [
        (q(), 150),
        (LogQuery { kinds: vec![EventKind::Deferred], ..q() }, 30),
        (LogQuery { errors_only: true, ..q() }, 5),
        (LogQuery { user: "crm".into(), ..q() }, 75),
        (LogQuery { recipient: "user1@EXAMPLE.org".into(), ..exact() }, 9),
        (LogQuery { recipient: "ser1".into(), ..q() }, 9),
        (LogQuery { recipient: "ser1".into(), ..exact() }, 0),
        (LogQuery { recipient: "both@example.net".into(), kinds: vec![EventKind::Succeeded], ..exact() }, 30),
        (LogQuery { message_id: "<m4@example.jp>".into(), ..exact() }, 5),
        (LogQuery { message_id: "m4@".into(), ..q() }, 5),
        (LogQuery { api_data: "campaign-7".into(), ..exact() }, 50),
        (LogQuery { api_data: "paign".into(), ..q() }, 50),
        (LogQuery { api_data: "campaign-7".into(), user: "shop".into(), ..exact() }, 25),
        (LogQuery { sender: "s7@example.jp".into(), ..exact() }, 5),
        (LogQuery { sender: "author@".into(), ..q() }, 150),
        (LogQuery { message: Some(w.ids[3]), ..q() }, 5),
        (LogQuery { from: Some(START.plus(DAY)), ..q() }, 0),
        (LogQuery { to: Some(START.plus(Duration::from_secs(60))), ..q() }, 2),
    ];
    for (mut query, expected) in cases {
        if query.from.is_some() {
            // From the tenth message on, less a little: time bounds are exact on the event's own time.
            query.from = Some(w.ids[10].time());
            assert_eq!(all(&w.store, &query, 1000, 100_000).len(), 100);
            query.to = Some(w.ids[11].time());
            assert_eq!(all(&w.store, &query, 1000, 100_000).len(), 5);
            continue;
        }
        let whole = all(&w.store, &query, 1000, 100_000);
        assert_eq!(whole.len(), expected, "{query:?}");
        let paged = all(&w.store, &query, 4, 11);
        let numbers = |rows: &[LogRow]| rows.iter().map(|r| r.number).collect::<Vec<_>>();
        assert_eq!(numbers(&paged), numbers(&whole), "{query:?}");
    }
}

#[test]
fn an_unfinished_scan_says_how_far_back_it_looked() {
    let w = world();
    let query = LogQuery { recipient: "nobody".into(), ..LogQuery::default() };
    let page = w.store.log_page(&query, &Page { rows_max: 10, scan_max: 50, ..Page::default() }).unwrap();
    assert!(page.rows.is_empty() && page.next.is_some());
    assert!(page.looked_back_to.is_some_and(|t| t > START && t < w.clock.now()));
}

#[test]
fn follow_sees_what_came_after() {
    let w = world();
    let newest =
        w.store.log_page(&LogQuery::default(), &Page { rows_max: 1, ..Page::default() }).unwrap().rows.remove(0);
    let query = LogQuery { after: Some(newest.number), ..LogQuery::default() };
    assert!(all(&w.store, &query, 10, 1000).is_empty());
    submit(&w.store, &w.clock, Mail::default()).unwrap();
    assert_eq!(all(&w.store, &query, 10, 1000).len(), 1);
}

#[test]
fn the_story_tells_everything_in_order_and_find_finds_by_any_key() {
    let w = world();
    let story = w.store.message_story(w.ids[6]).unwrap().unwrap();
    let kinds: Vec<_> = story.events.iter().map(|e| (e.key.index, e.kind)).collect();
    use EventKind::{Deferred, Failed, Queued, Succeeded};
    assert_eq!(kinds, [(0, Queued), (1, Queued), (0, Deferred), (0, Failed), (1, Succeeded)]);
    assert_eq!(story.recipients[0].last_reply, "550 5.1.1 no such user");
    let find = |k: &str| w.store.find(k, 10).unwrap();
    assert_eq!(find(&w.ids[6].to_string()), [w.ids[6]]);
    assert_eq!(find("USER6@example.org"), [w.ids[26], w.ids[16], w.ids[6]]);
    assert_eq!(find("<m6@example.jp>"), [w.ids[6]]);
    assert_eq!(find("campaign-7").len(), 10);
    assert_eq!(find("<nothing>"), []);
}

#[test]
fn minutes_count_what_happened() {
    let w = world();
    let minutes = w.store.minutes(START, START.plus(10 * DAY)).unwrap();
    let sum = |f: fn(&hikyaku::store::MinuteCounts) -> u64| minutes.iter().map(f).sum::<u64>();
    assert_eq!(sum(|m| m.queued), 60);
    assert_eq!(sum(|m| m.deferred), 30);
    assert_eq!(sum(|m| m.succeeded), 55);
    assert_eq!(sum(|m| m.failed), 5);
    assert_eq!(minutes[0].minute, START);
    assert!(w.store.minutes(START, START).unwrap().is_empty());
}

#[test]
fn rows_past_their_period_cannot_be_read_by_any_route_even_before_they_are_pruned() {
    let w = world();
    smol::block_on(w.store.audit(AuditEntry {
        at: w.clock.now(),
        who: "op".into(),
        from: "here".into(),
        act: "login".into(),
        object: String::new(),
        detail: String::new(),
    }))
    .unwrap();
    let mut periods = retention();
    periods.error_log = 10 * DAY;
    w.store.reconfigure(periods, 0);
    w.clock.advance(11 * DAY);
    let errors = LogQuery { errors_only: true, ..LogQuery::default() };
    assert!(all(&w.store, &errors, 100, 1000).is_empty(), "the error log has its own, shorter period");
    assert_eq!(all(&w.store, &LogQuery::default(), 1000, 100_000).len(), 150);
    periods.delivery_log = 10 * DAY;
    w.store.reconfigure(periods, 0);
    let exact = |recipient: &str| LogQuery { recipient: recipient.into(), exact: true, ..LogQuery::default() };
    assert!(all(&w.store, &LogQuery::default(), 1000, 100_000).is_empty());
    assert!(all(&w.store, &exact("both@example.net"), 1000, 100_000).is_empty());
    assert!(w.store.message_story(w.ids[3]).unwrap().is_none());
    for k in [w.ids[3].to_string().as_str(), "both@example.net", "<m3@example.jp>", "campaign-7"] {
        assert!(w.store.find(k, 10).unwrap().is_empty(), "{k}");
    }
    assert!(w.store.minutes(START, w.clock.now()).unwrap().is_empty());
    let audit = |store: &Store| store.audit_page(&Default::default(), &Page::default()).unwrap().rows.len();
    assert_eq!(audit(&w.store), 1);
    w.clock.advance(80 * DAY);
    assert_eq!(audit(&w.store), 0);
}

#[test]
fn accounts_are_kept_replaced_and_removed() {
    let w = world();
    let account = |name: &str, hash: &str| hikyaku::store::Account {
        name: name.into(),
        kind: AccountKind::Api,
        hash: hikyaku::secret::Secret::new(hash.to_owned()),
        created_at: START,
        password_set_at: START,
        rights: Default::default(),
        person: Default::default(),
    };
    smol::block_on(async {
        assert!(w.store.put_account(account("b", "1"), false).await.unwrap());
        assert!(w.store.put_account(account("a", "2"), false).await.unwrap());
        assert!(!w.store.put_account(account("a", "3"), false).await.unwrap());
        assert!(w.store.put_account(account("b", "4"), true).await.unwrap());
        assert!(w.store.remove_account("a").await.unwrap());
        assert!(!w.store.remove_account("a").await.unwrap());
    });
    let kept = w.store.accounts().unwrap();
    assert_eq!(kept.iter().map(|a| (a.name.as_str(), a.hash.reveal().as_str())).collect::<Vec<_>>(), [("b", "4")]);
    assert!(!format!("{kept:?}").contains('4'), "the hash is never printed");
    drop(w.store);
    assert_sound(&w.disk);
}
