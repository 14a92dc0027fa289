//! Where posts begin and end, over a real store.

use std::{path::PathBuf, time::Duration};

use super::*;
use crate::{
    clock::Clock,
    config::{self, Config, InForce},
    doctor::told::{self, DomainChange},
    event::EventKind,
    store::{RetentionPeriods, StoreOptions},
    suppress::{
        Tell,
        row::{Cause, Entry},
        told::{ListAct, ListChange},
    },
    webhook::{
        outbox::{Outbox, Told},
        place::number_at,
        tests::{log_of, now},
    },
};

struct House {
    dir: PathBuf,
    store: Store,
    clock: Clock,
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn house(name: &str) -> House {
    let dir = std::env::temp_dir().join(format!("hikyaku-page-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let day = Duration::from_secs(86_400);
    let retention = RetentionPeriods { delivery_log: day, error_log: day, audit_log: day, message_bodies: day };
    let clock = Clock::manual(now());
    let options = StoreOptions { data_dir: dir.clone(), clock: clock.clone(), disk_free_min: 0, retention };
    House { dir, store: Store::open(options).unwrap().store, clock }
}

fn reader(words: &[&str], batch_max: usize) -> Reader {
    let hook = config::Webhook {
        name: "crm".into(),
        events: words.iter().map(|w| (*w).to_owned()).collect(),
        ..config::Webhook::default()
    };
    let style = Style::of(&hook, &Config::default());
    Reader { name: "crm".into(), wants: Wants::of(&hook), style, batch_max }
}

fn numbers(page: &Page) -> Vec<(u64, Vec<(Feed, usize)>)> {
    page.windows.iter().map(|w| (w.last, w.posts.iter().map(|p| (p.feed, p.events)).collect())).collect()
}

#[test]
fn a_stretch_of_the_log_is_cut_into_posts_and_the_same_cuts_give_the_same_posts() {
    let house = house("cuts");
    // Seven mails: queued, then failed.
    log_of(&house.store, &house.clock, 7, EventKind::Failed);
    let reader = reader(&["queued", "failed", "bounced"], 4);
    let place = Place::at(false, 0);
    let page = reader.page(&house.store, &place).unwrap();
    // Fourteen deliveries and seven bounces: three full windows, two deliveries behind them.
    assert_eq!(page.windows.len(), 3);
    assert!(page.windows.iter().all(|w| w.posts[0].events == 4 && w.posts[0].feed == Feed::Deliveries));
    let bounces: usize = page.windows.iter().filter_map(|w| w.posts.get(1)).map(|p| p.events).sum();
    let rest = page.rest.clone().unwrap();
    assert_eq!((bounces + rest.posts.get(1).map_or(0, |p| p.events), rest.posts[0].events), (7, 2));
    assert_eq!(rest.last, house.store.log_end().unwrap());
    assert!(!page.more);

    let mut cut = place.clone();
    cut.cuts = page.windows.iter().map(|w| w.last).chain([rest.last]).collect();
    let again = reader.page(&house.store, &cut).unwrap();
    let posts = |windows: &[Window]| -> Vec<(String, Bytes)> {
        windows.iter().flat_map(|w| &w.posts).map(|p| (p.id.clone(), p.body.clone())).collect()
    };
    let all: Vec<Window> = page.windows.iter().cloned().chain([rest]).collect();
    assert_eq!(posts(&again.windows), posts(&all));
    assert!(again.rest.is_none());

    // What came later changes nothing before the last cut.
    log_of(&house.store, &house.clock, 3, EventKind::Failed);
    assert_eq!(posts(&reader.page(&house.store, &cut).unwrap().windows), posts(&all));
    let ids: std::collections::BTreeSet<String> = posts(&all).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), posts(&all).len(), "each post has its own id");
}

#[test]
fn a_range_ends_where_it_was_said_and_what_nobody_wants_is_passed_over() {
    let house = house("ranges");
    log_of(&house.store, &house.clock, 5, EventKind::Succeeded);
    let end = house.store.log_end().unwrap();
    log_of(&house.store, &house.clock, 5, EventKind::Succeeded);
    let wants_all = reader(&["queued", "succeeded"], 100);
    let range = Place { to: Some(end), ..Place::at(false, 0) };
    let page = wants_all.page(&house.store, &range).unwrap();
    assert_eq!(numbers(&page), [(end, vec![(Feed::Deliveries, 10)])]);
    assert!(page.rest.is_none());
    let behind = Place { to: Some(u64::MAX), ..Place::at(false, end) };
    let page = wants_all.page(&house.store, &behind).unwrap();
    assert_eq!((page.windows.len(), page.rest.unwrap().posts[0].events), (0, 10));

    let wants_none = reader(&["deferred"], 100);
    let page = wants_none.page(&house.store, &Place::at(false, 0)).unwrap();
    let rest = page.rest.unwrap();
    assert_eq!((rest.posts.len(), rest.last), (0, house.store.log_end().unwrap()));
    // Cuts of events that are gone are windows without posts.
    let place = Place { cuts: vec![5, 9], ..Place::at(false, 1) };
    assert_eq!(numbers(&wants_none.page(&house.store, &place).unwrap()), [(5, vec![]), (9, vec![])]);
}

#[test]
fn changes_of_the_list_are_read_behind_a_number_and_numbers_only_grow() {
    let house = house("list");
    let mut config = Config::default();
    config.webhooks.push(config::Webhook { name: "crm".into(), ..config::Webhook::default() });
    let open =
        |floor| Outbox::open(house.store.clone(), house.clock.clone(), InForce::new(config.clone()), floor).unwrap();
    let list = |told: &Told| match told {
        Told::List(change) => change.clone(),
        Told::Domain(change) => panic!("{change:?}"),
    };
    let outbox = open(0);
    assert!(Tell::wants(&*outbox) && !told::Tell::wants(&*outbox), "domains only where asked for");
    let change = |n: usize| ListChange {
        id: 0,
        at: now(),
        act: ListAct::Added,
        address: format!("u{n}@x.example"),
        user: String::new(),
        entry: Entry {
            reason: "x".repeat(499),
            occurred: 1,
            ..serde_json::from_str::<Entry>(r#"{"id":"02nh9mfx90000","since":1,"cause":"errors","class":2}"#).unwrap()
        },
    };
    assert_eq!(change(1).entry.cause, Cause::Errors);
    let rows = Tell::rows(&*outbox, (0..250).map(change).collect());
    assert_eq!(rows.len(), 3, "a hundred changes a row");
    smol::block_on(house.store.put_memos(rows)).unwrap();
    let (first, more) = outbox::read(&house.store, 0, 100).unwrap();
    assert!(first.len() == 100 && more && first.windows(2).all(|w| w[0].id() < w[1].id()));
    assert!(first[0].id() >= number_at(now()) && list(&first[0]).entry.reason.len() == 200);
    let (rest, more) = outbox::read(&house.store, first[99].id(), 1_000).unwrap();
    assert!(rest.len() == 150 && !more && list(&rest[0]).address == "u100@x.example");
    // The clock steps back over a restart, and numbers still grow.
    let outbox = open(rest[149].id() + 7);
    assert_eq!(outbox.end(), rest[149].id() + 7);
    let rows = Tell::rows(&*outbox, vec![change(1)]);
    smol::block_on(house.store.put_memos(rows)).unwrap();
    assert_eq!(outbox::read(&house.store, rest[149].id(), 10).unwrap().0.len(), 1);
    assert!(open(0).end() > rest[149].id() + 7);

    let page = reader(&["blocked"], 100).page(&house.store, &Place::at(true, 0)).unwrap();
    assert_eq!((page.windows.len(), page.rest.unwrap().posts[0].events), (2, 51));
    // All have passed, but the rows are young.
    smol::block_on(outbox::prune(&house.store, u64::MAX, now())).unwrap();
    assert_eq!(outbox::read(&house.store, 0, 1_000).unwrap().0.len(), 251);
    let later = now().plus(Duration::from_secs(8 * 86_400));
    smol::block_on(outbox::prune(&house.store, first[99].id(), later)).unwrap();
    assert_eq!(outbox::read(&house.store, 0, 1_000).unwrap().0.len(), 151);
    smol::block_on(outbox::prune(&house.store, u64::MAX, later)).unwrap();
    assert!(outbox::read(&house.store, 0, 1_000).unwrap().0.is_empty());
}

#[test]
fn changes_of_domains_stand_beside_those_of_the_list() {
    let house = house("domains");
    let mut config = Config::default();
    let events = vec!["domain".to_owned()];
    config.webhooks.push(config::Webhook { name: "ops".into(), events, ..config::Webhook::default() });
    let outbox = Outbox::open(house.store.clone(), house.clock.clone(), InForce::new(config), 0).unwrap();
    assert!(told::Tell::wants(&*outbox) && !Tell::wants(&*outbox));
    let change = |n: usize| DomainChange {
        at: now(),
        domain: "example.jp".to_owned(),
        check: "spf.record".to_owned(),
        subject: format!("s{n}.example.jp"),
        is: "error".to_owned(),
        seen: "あ".repeat(999),
        records: vec!["example.jp. IN TXT \"v=spf1 -all\"".to_owned(); 9],
        ..DomainChange::default()
    };
    let rows = told::Tell::rows(&*outbox, (0..50).map(change).collect());
    assert_eq!(rows.len(), 3, "twenty changes a row");
    smol::block_on(house.store.put_memos(rows)).unwrap();
    let listed = ListChange {
        id: 0,
        at: now(),
        act: ListAct::Added,
        address: "u@x.example".to_owned(),
        user: String::new(),
        entry: serde_json::from_str::<Entry>(r#"{"id":"02nh9mfx90000","since":1,"cause":"errors","class":2}"#).unwrap(),
    };
    smol::block_on(house.store.put_memos(Tell::rows(&*outbox, vec![listed]))).unwrap();

    let page = |words: &[&str]| reader(words, 100).page(&house.store, &Place::at(true, 0)).unwrap().rest.unwrap();
    let feeds = |window: &Window| window.posts.iter().map(|p| (p.feed, p.events)).collect::<Vec<_>>();
    assert_eq!(feeds(&page(&["domain"])), [(Feed::Domains, 50)]);
    assert_eq!(feeds(&page(&["blocked"])), [(Feed::Blocks, 1)]);
    let both = page(&["blocked", "domain"]);
    assert_eq!(feeds(&both), [(Feed::Blocks, 1), (Feed::Domains, 50)]);
    let body: serde_json::Value = serde_json::from_slice(&both.posts[1].body).unwrap();
    let first = &body["event"]["domains"][0];
    assert_eq!(
        (&first["check"], &first["level"], &first["previousLevel"]),
        (&"spf.record".into(), &"error".into(), &"".into())
    );
    assert_eq!(first["message"].as_str().unwrap().len(), 999, "a thousand octets at most, cut between letters");
    assert_eq!(first["records"].as_str().unwrap().lines().count(), 5);
}
