//! A key is answered once, kept a day, and forgotten; nothing of it is done twice.

use std::sync::atomic::{AtomicU32, Ordering};

use smol::future::block_on;

use super::*;
use crate::{
    clock::Clock,
    store::{RetentionPeriods, StoreOptions},
};

const NOW: Timestamp = Timestamp::from_millis(1_795_527_310_000);
static STORES: AtomicU32 = AtomicU32::new(0);

/// A store in a folder of its own.
struct Rig {
    store: Store,
    dir: std::path::PathBuf,
}

impl Rig {
    fn new() -> Self {
        let n = STORES.fetch_add(1, Ordering::SeqCst);
        let dir = std::env::temp_dir().join(format!("hikyaku-keys-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let day = Duration::from_secs(86_400);
        let retention = RetentionPeriods { delivery_log: day, error_log: day, audit_log: day, message_bodies: day };
        let options = StoreOptions { data_dir: dir.clone(), clock: Clock::manual(NOW), disk_free_min: 0, retention };
        Rig { store: Store::open(options).unwrap().store, dir }
    }

    fn keys(&self) -> Keys {
        Keys::new(self.store.clone())
    }

    fn put(&self, change: MemoChange) {
        block_on(self.store.put_memos(vec![change])).unwrap();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn begin(keys: &Keys, key: &str, print: &str, now: Timestamp) -> Result<Begun, (u16, &'static str)> {
    keys.begin("shop", key, print.to_owned(), now).map_err(|fault| (fault.status, fault.errors[0].why.code()))
}

#[track_caller]
fn go(begun: Result<Begun, (u16, &'static str)>) -> Claim {
    match begun {
        Ok(Begun::Go(claim)) => claim,
        Ok(Begun::Done(answer)) => panic!("it was done: {answer:?}"),
        Err(fault) => panic!("{fault:?}"),
    }
}

#[track_caller]
fn done(begun: Result<Begun, (u16, &'static str)>) -> Vec<String> {
    match begun {
        Ok(Begun::Done(answer)) => answer.ids,
        Ok(Begun::Go(_)) => panic!("it is to be done"),
        Err(fault) => panic!("{fault:?}"),
    }
}

fn ids(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

#[test]
fn an_answer_is_given_again_for_a_day_and_to_the_same_call_alone() {
    let (rig, hour) = (Rig::new(), Duration::from_secs(3600));
    let keys = rig.keys();
    let claim = go(begin(&keys, "k", "p", NOW));
    assert_eq!(begin(&keys, "k", "p", NOW).err(), Some((409, "12-003")), "one at a time");
    go(begin(&keys, "other", "p", NOW));
    rig.put(claim.memo(ids(&["<1@x>"]), NOW));
    drop(claim);
    for keys in [keys, rig.keys()] {
        for later in [0, 5, 23] {
            assert_eq!(done(begin(&keys, "k", "p", NOW.plus(hour * later))), ["<1@x>"], "{later} h");
        }
        assert_eq!(begin(&keys, "k", "another", NOW).err(), Some((422, "12-002")));
        go(begin(&keys, "k", "another", NOW.plus(hour * 24)));
        let other_user = keys.begin("crm", "k", "p".to_owned(), NOW);
        assert!(matches!(other_user, Ok(Begun::Go(_))), "a key is its user's");
    }
    for bad in ["", "a\nb", "キー", &"k".repeat(256)] {
        assert_eq!(begin(&rig.keys(), bad, "p", NOW).err(), Some((400, "12-001")), "{bad:?}");
    }
}

#[test]
fn a_bulk_call_that_was_cut_goes_on_where_it_was() {
    let rig = Rig::new();
    let keys = rig.keys();
    let claim = go(begin(&keys, "k", "p", NOW));
    assert!(claim.accepted.is_empty());
    rig.put(claim.mark(0, "<a@x>".to_owned(), NOW));
    rig.put(claim.mark(2, "<c@x>".to_owned(), NOW));
    drop(claim);
    // Another process, in the next quarter of a day.
    let (keys, later) = (rig.keys(), NOW.plus(SLOT));
    assert_eq!(begin(&keys, "k", "another", later).err(), Some((422, "12-002")));
    let claim = go(begin(&keys, "k", "p", later));
    assert_eq!(claim.accepted, BTreeMap::from([(0, "<a@x>".to_owned()), (2, "<c@x>".to_owned())]));
    block_on(keys.finish(&claim, ids(&["<a@x>", "<b@x>", "<c@x>"]), later)).unwrap();
    drop(claim);
    assert_eq!(done(begin(&keys, "k", "p", later)), ["<a@x>", "<b@x>", "<c@x>"]);
    assert_eq!(rig.store.memo_count(MemoKind::Idempotency).unwrap(), 1, "the marks went");
}

#[test]
fn what_is_past_its_time_is_forgotten_and_nothing_else() {
    let rig = Rig::new();
    let keys = rig.keys();
    for n in 0..5_u32 {
        let claim = go(begin(&keys, &format!("k{n}"), "p", NOW));
        rig.put(claim.memo(ids(&["<1@x>"]), NOW));
    }
    let next = NOW.plus(KEPT_FOR);
    let claim = go(begin(&keys, "new", "p", next));
    rig.put(claim.memo(ids(&["<2@x>"]), next));
    assert_eq!(block_on(keys.prune(next)).unwrap(), 0, "a day is kept whole");
    assert_eq!(block_on(keys.prune(next.plus(SLOT))).unwrap(), 5);
    assert_eq!(rig.store.memo_count(MemoKind::Idempotency).unwrap(), 1);
}

#[test]
fn what_a_call_says_is_told_by_its_parameters_and_files() {
    use crate::http::exchange::{Door, Method, Peer, Request};
    let print = |content_type: &str, body: &str, action: &str| {
        let mut request = Request::of_target(Method::Post, "/x", Door::Public, Peer::User(0)).unwrap();
        (request.content_type, request.body) = (content_type.to_owned(), body.as_bytes().to_vec());
        print_of(&Ask::read(&request).unwrap(), action)
    };
    let json = |body: &str| print("application/json", body, "send");
    let part = |boundary: &str, file: &str| {
        let body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=f; filename=n\r\n\r\n{file}\r\n--{boundary}--"
        );
        print(&format!("multipart/form-data; boundary={boundary}"), &body, "send")
    };
    assert_eq!(json(r#"{"a":"1","b":2,"api_key":"x"}"#), json(r#"{ "b":2,"a":"1","api_key":"y" }"#));
    assert_ne!(json(r#"{"a":"1"}"#), json(r#"{"a":"2"}"#));
    assert_ne!(json(r#"{"a":"1"}"#), print("application/json", r#"{"a":"1"}"#, "bulk"));
    assert_eq!(part("x", "one"), part("y", "one"));
    assert_ne!(part("x", "one"), part("x", "two"));
}
