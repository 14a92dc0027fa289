//! The list on a real store: what is answered is on disk, and only an act takes it away.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use smol::block_on;

use super::{
    list::{Actor, Leaver, Query, Unsubscribes},
    row::How,
};
use crate::{
    clock::{Clock, Timestamp},
    config::{Config, InForce},
    smtp::address::Mailbox,
    store::{AuditQuery, MemoChange, MemoKind, Page, RetentionPeriods, Store, StoreError, StoreOptions},
};

static RIGS: AtomicU32 = AtomicU32::new(0);

/// 2026-11-24T13:35:10Z, 22:35 in Tokyo.
const START: u64 = 1_795_527_310_000;

struct Rig {
    dir: PathBuf,
    store: Store,
    clock: Clock,
    config: InForce,
    list: Unsubscribes,
}

impl Rig {
    fn new() -> Self {
        let n = RIGS.fetch_add(1, Ordering::SeqCst);
        let dir = std::env::temp_dir().join(format!("hikyaku-unsubscribe-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let day = Duration::from_secs(86_400);
        let retention = RetentionPeriods { delivery_log: day, error_log: day, audit_log: day, message_bodies: day };
        let clock = Clock::manual(Timestamp::from_millis(START));
        let options = StoreOptions { data_dir: dir.clone(), clock: clock.clone(), disk_free_min: 0, retention };
        let store = Store::open(options).unwrap().store;
        let config = InForce::new(Config::default());
        let list = Unsubscribes::new(store.clone(), clock.clone(), config.clone());
        Rig { dir, store, clock, config, list }
    }

    fn add(&self, address: &str, list: &str, how: How) -> bool {
        block_on(self.list.add(&mailbox(address), list, how)).unwrap()
    }

    fn all(&self, query: &Query) -> Vec<String> {
        let page = self.list.page(query, &Page::default()).unwrap();
        assert_eq!(page.next, None);
        page.entries.iter().map(|e| format!("{} {} {}", e.address, e.row.list, e.row.how.word())).collect()
    }

    fn acts(&self) -> Vec<String> {
        let page = self.store.audit_page(&AuditQuery::default(), &Page::default()).unwrap();
        page.rows.iter().map(|e| format!("{} {} {} {}", e.who, e.act, e.object, e.detail)).collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn operator() -> Actor {
    Actor { who: "operator uid=0".into(), from: "control socket".into() }
}

#[test]
fn who_left_stays_off_with_his_first_row() {
    let rig = Rig::new();
    assert!(rig.add("Taro@example.jp", "Newsletter A", How::Link));
    let first = rig.list.row_of("taro@EXAMPLE.jp", "newsletter a").unwrap().unwrap();
    assert_eq!((first.created().as_millis(), first.how, first.list.as_str()), (START, How::Link, "Newsletter A"));
    assert!(first.applies(rig.clock.now()), "at once");
    rig.clock.advance(Duration::from_secs(60));
    assert!(!rig.add("taro@example.jp", "NEWSLETTER A", How::Form), "a second click changes nothing");
    assert_eq!(rig.list.row_of("taro@example.jp", "Newsletter A").unwrap(), Some(first));
    assert_eq!(rig.list.row_of("taro@example.jp", "Newsletter B").unwrap(), None);
    assert_eq!(rig.all(&Query::default()), ["taro@example.jp Newsletter A link"]);
    assert_eq!(rig.acts(), [""; 0], "a recipient's click is no operator's act");
}

#[test]
fn a_daily_run_makes_clicks_wait_and_nothing_else() {
    let rig = Rig::new();
    let mut config = Config::default();
    config.unsubscribe.run_at_minute = Some(0);
    rig.config.swap(config);
    assert!(rig.add("click@example.jp", "news", How::Link));
    assert!(rig.add("complaint@example.jp", "news", How::Complaint));
    let applies = |address: &str| rig.list.row_of(address, "news").unwrap().unwrap().applies(rig.clock.now());
    assert!(!applies("click@example.jp") && applies("complaint@example.jp"));
    // Midnight in Tokyo is 84 minutes and 50 seconds away.
    rig.clock.advance(Duration::from_secs(84 * 60 + 49));
    assert!(!applies("click@example.jp"));
    rig.clock.advance(Duration::from_secs(1));
    assert!(applies("click@example.jp"));

    assert!(rig.add("later@example.jp", "news", How::Form));
    rig.config.swap(Config::default());
    assert!(!applies("later@example.jp"), "it takes effect as it was set when it came");
    assert!(rig.add("later@example.jp", "news", How::Link), "unless he clicks again");
    let row = rig.list.row_of("later@example.jp", "news").unwrap().unwrap();
    assert!(row.applies(rig.clock.now()) && row.how == How::Form);
}

#[test]
fn people_add_and_cancel_one_or_many_and_it_is_told() {
    let rig = Rig::new();
    let leaver = |address: &str, list: &str| Leaver { address: mailbox(address), list: list.into(), created: None };
    let many: Vec<Leaver> = (0..2_500).map(|n| leaver(&format!("a{n:04}@example.jp"), "news")).collect();
    assert_eq!(block_on(rig.list.add_many(&many, How::Import, &operator())).unwrap(), 2_500);
    assert_eq!(block_on(rig.list.add_many(&many[..3], How::Import, &operator())).unwrap(), 0);
    let one = [leaver("a0000@example.jp", "new"), leaver("A0000@example.jp", "new")];
    assert_eq!(block_on(rig.list.add_many(&one, How::Manual, &operator())).unwrap(), 1);
    let of = |address: &str| rig.all(&Query { address: address.into(), ..Query::default() });
    assert_eq!(of("A0000@"), ["a0000@example.jp new manual", "a0000@example.jp news import"]);

    let names = |names: &[&str]| -> Vec<String> { names.iter().map(|n| (*n).to_owned()).collect() };
    let cancel = |addresses: &[&str], list: &str| block_on(rig.list.cancel(&names(addresses), list, &operator()));
    assert_eq!(cancel(&["a0000@example.jp"], "new").unwrap(), 1, "a list whose name begins alike stays");
    assert_eq!(of("a0000@"), ["a0000@example.jp news import"]);
    assert_eq!(cancel(&["a0000@EXAMPLE.jp", "a0001@example.jp", "nobody@example.jp"], "").unwrap(), 2);
    assert_eq!(of("a000").len(), 8);
    assert!(matches!(cancel(&["x"; 1_001], ""), Err(StoreError::Refused(_))));
    let each = |whose: &[(&str, &str)]| -> Vec<(String, String)> {
        whose.iter().map(|(address, list)| ((*address).to_owned(), (*list).to_owned())).collect()
    };
    let ticked = each(&[("a0002@example.jp", "NEWS"), ("a0003@example.jp", "new"), ("a0002@example.jp", "news")]);
    assert_eq!(block_on(rig.list.cancel_each(&ticked, &operator())).unwrap(), 1, "the entry that is named, once");
    assert!(matches!(
        block_on(rig.list.cancel_each(&each(&[("x", "y"); 1_001]), &operator())),
        Err(StoreError::Refused(_))
    ));
    let acts = rig.acts();
    assert_eq!(
        acts[..4],
        [
            "operator uid=0 unsubscribe.cancel a0002@example.jp \"news\" ",
            "operator uid=0 unsubscribe.cancel 2 entries a0000@example.jp \"news\", a0001@example.jp \"news\"",
            "operator uid=0 unsubscribe.cancel a0000@example.jp \"new\" ",
            "operator uid=0 unsubscribe.add a0000@example.jp \"new\" ",
        ]
    );
    // What is done to many names every one of them, in entries of bounded size; what changes nothing is no act.
    assert_eq!(acts.len(), 4 + 13);
    assert!(acts[4..].iter().all(|act| act.starts_with("operator uid=0 unsubscribe.import ")), "{acts:?}");
    assert_eq!(acts[4..].iter().map(|act| act.matches("@example.jp").count()).sum::<usize>(), 2_500);
}

#[test]
fn the_list_is_searched_paged_and_exported_as_cmc_does() {
    let rig = Rig::new();
    rig.add("a@example.org", "newsletter A", How::Link);
    rig.clock.advance(Duration::from_secs(3_600));
    rig.add("b@example.org", "say \"hi\", all", How::Form);
    rig.add("a@other.example", "newsletter A", How::Link);
    let query = |address: &str, list: &str, from: u64, to: u64| {
        let time = |t: u64| (t > 0).then(|| Timestamp::from_millis(START + t));
        rig.all(&Query { address: address.into(), list: list.into(), from: time(from), to: time(to) }).len()
    };
    assert_eq!(query("", "", 0, 0), 3);
    assert_eq!(query("EXAMPLE.org", "", 0, 0), 2);
    assert_eq!(query("", "Newsletter a", 0, 0), 2);
    assert_eq!(query("", "Newsletter", 0, 0), 0, "the list is named exactly");
    assert_eq!(query("", "", 1, 0), 2);
    assert_eq!(query("", "", 0, 3_600_000), 1);
    assert_eq!(query("", "", 3_600_000, 3_600_001), 2);

    let mut seen = Vec::new();
    let mut page = Page { rows_max: 1, ..Page::default() };
    for _ in 0..4 {
        let got = rig.list.page(&Query::default(), &page).unwrap();
        seen.extend(got.entries.into_iter().map(|e| e.address));
        page.cursor = got.next;
        if page.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["a@example.org", "a@other.example", "b@example.org"]);
    let lost = Page { cursor: Some("%".into()), ..Page::default() };
    assert!(matches!(rig.list.page(&Query::default(), &lost), Err(StoreError::Refused(_))));
    assert_eq!(rig.list.count(&Query::default(), None).unwrap(), (3, true));
    let other = Query { address: "OTHER".into(), ..Query::default() };
    assert_eq!(rig.list.count(&other, Some(Duration::from_secs(1))).unwrap(), (1, true));
    let short = Page { scan_max: 2, ..Page::default() };
    assert!(rig.list.page(&Query::default(), &short).unwrap().next.is_some(), "an unfinished page says so");

    let mut out = Vec::new();
    let rows = rig.list.export(&Query::default(), &|at| at.rfc3339_seconds(), &mut out).unwrap();
    assert_eq!(rows, 3);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "\"created\",\"email\",\"filtername\"\n\
         \"2026-11-24T13:35:10Z\",\"a@example.org\",\"newsletter A\"\n\
         \"2026-11-24T14:35:10Z\",\"a@other.example\",\"newsletter A\"\n\
         \"2026-11-24T14:35:10Z\",\"b@example.org\",\"say \"\"hi\"\", all\"\n"
    );
}

#[test]
fn an_unreadable_row_hides_no_other() {
    let rig = Rig::new();
    rig.add("a@example.org", "news", How::Link);
    rig.add("c@example.org", "news", How::Link);
    let bad =
        MemoChange { kind: MemoKind::Unsubscribes, key: "b@example.org\0news".into(), value: Some(b"?".to_vec()) };
    block_on(rig.store.put_memos(vec![bad])).unwrap();
    assert_eq!(rig.all(&Query::default()).len(), 2);
    assert_eq!(rig.list.row_of("b@example.org", "news").unwrap(), None);
    assert!(rig.add("b@example.org", "news", How::Link), "it is written anew");
    assert_eq!(rig.all(&Query::default()).len(), 3);
}
