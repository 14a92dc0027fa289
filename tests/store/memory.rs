//! What outlives a restart beside mail: memos, pauses, ages; each in the transaction that makes it true.

use std::time::Duration;

use hikyaku::{
    clock::{Clock, Timestamp},
    event::Class,
    store::{
        AuditQuery, MEMO_KEY_MAX, MEMO_OCTETS_MAX, MEMOS_A_CALL_MAX, MEMOS_MAX, MemoChange, MemoKind, Page, Pause,
        QueueAct, QueueFilter, QueueVerb, Store, StoreError,
        sim::{Fate, SimDisk},
    },
};

use crate::support::*;

fn new_store() -> (SimDisk, Clock, Store) {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    (disk, clock, store)
}

fn memo(kind: MemoKind, key: &str, value: Option<&[u8]>) -> MemoChange {
    MemoChange { kind, key: key.into(), value: value.map(<[u8]>::to_vec) }
}

fn put(store: &Store, changes: Vec<MemoChange>) -> Result<(), StoreError> {
    smol::block_on(store.put_memos(changes))
}

#[test]
fn memos_are_kept_by_kind_and_listed_in_order() {
    let (disk, clock, store) = new_store();
    use MemoKind::{MtaSts, WarmUp};
    put(&store, (0..20).map(|n| memo(MtaSts, &format!("d{n:02}.example"), Some(&[n]))).collect()).unwrap();
    put(&store, vec![memo(WarmUp, "d05.example", Some(b"w")), memo(MtaSts, "d05.example", Some(b""))]).unwrap();
    put(&store, vec![memo(MtaSts, "d07.example", None), memo(MtaSts, "never", None)]).unwrap();
    // The last change of a key counts.
    put(&store, vec![memo(MtaSts, "d08.example", None), memo(MtaSts, "d08.example", Some(b"8"))]).unwrap();
    let check = |store: &Store| {
        assert_eq!(store.memo(MtaSts, "d05.example").unwrap(), Some(vec![]));
        assert_eq!(store.memo(WarmUp, "d05.example").unwrap(), Some(b"w".to_vec()));
        assert_eq!(store.memo(MtaSts, "d07.example").unwrap(), None);
        assert_eq!(store.memo(MtaSts, "d08.example").unwrap(), Some(b"8".to_vec()));
        let keys = |prefix: &str, after: Option<&str>, limit| {
            let memos = store.memos(MtaSts, prefix, after, limit).unwrap();
            let keys = memos.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
            assert_eq!(store.memo_keys(MtaSts, prefix, after, limit).unwrap(), keys);
            keys
        };
        assert_eq!(keys("", None, 100).len(), 19);
        assert_eq!(keys("d1", None, 3), ["d10.example", "d11.example", "d12.example"]);
        assert_eq!(keys("d1", Some("d11.example"), 1), ["d12.example"]);
        assert_eq!(keys("d0", Some("d09.example"), 9), [""; 0]);
        assert_eq!(store.memos(WarmUp, "", None, 9).unwrap(), [("d05.example".to_owned(), b"w".to_vec())]);
        assert!(store.memos(MemoKind::RuleUse, "", None, 9).unwrap().is_empty());
    };
    check(&store);
    drop(store); // no stop: as kill -9
    let store = open_sim(&disk, &clock).unwrap().store;
    check(&store);
    drop(store);
    assert_sound(&disk);
}

#[test]
fn a_memo_over_a_limit_is_refused_and_harms_nothing_else() {
    let (disk, clock, store) = new_store();
    let kind = MemoKind::RuleUse;
    let long = "k".repeat(MEMO_KEY_MAX + 1);
    let large = vec![0; MEMO_OCTETS_MAX + 1];
    let refused = |changes: Vec<MemoChange>| match put(&store, changes) {
        Err(StoreError::Refused(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(refused(vec![memo(kind, "good", Some(b"x")), memo(kind, &long, Some(b"x"))]).contains("512"));
    assert!(refused(vec![memo(kind, "good", Some(b"x")), memo(kind, "large", Some(&large))]).contains("262144"));
    refused((0..=MEMOS_A_CALL_MAX).map(|n| memo(kind, &n.to_string(), None)).collect());
    refused((0..17).map(|n| memo(kind, &n.to_string(), Some(&large[1..]))).collect());
    assert_eq!(store.memo(kind, "good").unwrap(), None, "all or none");
    put(&store, vec![memo(kind, &long[1..], Some(&large[1..]))]).unwrap();
    submit(&store, &clock, Mail::default()).unwrap();
    drop(store);
    assert_sound(&disk);
}

#[test]
fn a_kind_that_is_full_takes_no_new_key_but_new_values_and_other_kinds() {
    let dir = TempDir::new("memos");
    let clock = Clock::system();
    let store = Store::open(options(&dir.0, &clock)).unwrap().store;
    let kind = MemoKind::TlsResults;
    for n in (0..MEMOS_MAX).step_by(MEMOS_A_CALL_MAX) {
        put(&store, (n..n + MEMOS_A_CALL_MAX).map(|n| memo(kind, &format!("{n:06}"), Some(b"x"))).collect()).unwrap();
    }
    let one_more = || put(&store, vec![memo(kind, "more", Some(b"x")), memo(kind, "000000", Some(b"y"))]);
    assert!(matches!(one_more(), Err(StoreError::Refused(why)) if why.contains("100000")));
    assert_eq!(store.memo(kind, "000000").unwrap(), Some(b"x".to_vec()), "all or none");
    put(&store, vec![memo(kind, "000000", Some(b"y")), memo(MemoKind::MtaSts, "more", Some(b"x"))]).unwrap();
    put(&store, vec![memo(kind, "000001", None), memo(kind, "more", Some(b"x"))]).unwrap();
    assert!(matches!(put(&store, vec![memo(kind, "again", Some(b"x"))]), Err(StoreError::Refused(_))));
    drop(store);
    let store = Store::open(options(&dir.0, &clock)).unwrap().store;
    assert!(matches!(put(&store, vec![memo(kind, "again", Some(b"x"))]), Err(StoreError::Refused(_))));
    drop(store);
    assert_eq!(Store::verify(&dir.0, &clock).unwrap().damage, [""; 0]);
}

#[test]
fn a_power_cut_loses_no_memo_and_no_pause_that_was_answered() {
    for at in 1.. {
        let (disk, clock, store) = new_store();
        disk.plan(Some(Fate::CrashAt(at)));
        let mut kept = 0;
        for n in 0..4u8 {
            let key = format!("m{n}");
            if put(&store, vec![memo(MemoKind::MtaSts, &key, Some(&[n]))]).is_err()
                || smol::block_on(store.pause(pause(&key, None), "test")).is_err()
            {
                break;
            }
            kept += 1;
        }
        let finished = !disk.has_crashed();
        drop(store);
        disk.restart(at);
        let store = open_sim(&disk, &clock).unwrap().store;
        for n in 0..kept {
            assert_eq!(store.memo(MemoKind::MtaSts, &format!("m{n}")).unwrap(), Some(vec![n]), "cut at {at}");
        }
        let entries = store.audit_page(&AuditQuery::default(), &Page::default()).unwrap().rows.len();
        assert_eq!(store.pauses().unwrap().len(), entries, "cut at {at}: pause and entry are one");
        assert!(entries >= usize::from(kept), "cut at {at}");
        drop(store);
        assert_sound(&disk);
        if finished {
            assert!(at > 10);
            return;
        }
    }
}

fn pause(destination: &str, until: Option<Timestamp>) -> Pause {
    let (operator, reason) = ("alice".into(), "their maintenance".into());
    Pause { destination: destination.into(), since: START, until, operator, reason }
}

#[test]
fn a_pause_is_listed_until_it_is_lifted_or_over_and_is_in_the_operation_log() {
    let (disk, clock, store) = new_store();
    let hour = START.plus(Duration::from_secs(3600));
    smol::block_on(async {
        store.pause(pause("B.example", Some(hour)), "test").await.unwrap();
        store.pause(pause("a.example", None), "192.0.2.7").await.unwrap();
        store.pause(pause("b.example", None), "test").await.unwrap();
        store.pause(pause("c.example", Some(hour)), "test").await.unwrap();
    });
    drop(store);
    let store = open_sim(&disk, &clock).unwrap().store;
    let names = || store.pauses().unwrap().into_iter().map(|p| p.destination).collect::<Vec<_>>();
    assert_eq!(names(), ["a.example", "b.example", "c.example"]);
    assert_eq!(store.pauses().unwrap()[0], pause("a.example", None));
    clock.advance(Duration::from_secs(3600));
    assert_eq!(names(), ["a.example", "b.example"]);
    let lift = |destination: &str| smol::block_on(store.unpause(destination, "bob", "test")).unwrap();
    assert_eq!(["A.example", "a.example", "c.example", "x.example"].map(lift), [true, false, false, false]);
    assert_eq!(names(), ["b.example"]);
    let rows = store.audit_page(&AuditQuery::default(), &Page::default()).unwrap().rows;
    let acts: Vec<_> = rows.iter().rev().map(|a| (a.who.as_str(), a.act.as_str(), a.object.as_str())).collect();
    assert_eq!(
        acts,
        [
            ("alice", "queue.pause", "b.example"),
            ("alice", "queue.pause", "a.example"),
            ("alice", "queue.pause", "b.example"),
            ("alice", "queue.pause", "c.example"),
            ("bob", "queue.resume", "a.example"),
        ]
    );
    assert_eq!(rows[4].detail, format!("until={hour} reason=\"their maintenance\""));
    let long = Pause { reason: "x".repeat(2000), ..pause("d.example", None) };
    assert!(matches!(smol::block_on(store.pause(long, "test")), Err(StoreError::Refused(_))));
    drop(store);
    assert_sound(&disk);
}

#[test]
fn memos_and_pauses_are_part_of_a_backup() {
    let (dir, clock) = (TempDir::new("memo-backup"), Clock::system());
    let store = Store::open(options(&dir.0, &clock)).unwrap().store;
    put(&store, vec![memo(MemoKind::MtaSts, "a.example", Some(b"policy"))]).unwrap();
    smol::block_on(store.pause(pause("a.example", None), "test")).unwrap();
    submit(&store, &clock, Mail::default()).unwrap();
    let mut tar = Vec::new();
    store.backup(&mut tar).unwrap();
    let to = TempDir::new("memo-restored");
    assert_eq!(Store::restore(&to.0, &clock, &mut &tar[..]).unwrap(), 1);
    assert_eq!(Store::verify(&to.0, &clock).unwrap().damage, [""; 0]);
    let store = Store::open(options(&to.0, &clock)).unwrap().store;
    assert_eq!(store.memo(MemoKind::MtaSts, "a.example").unwrap(), Some(b"policy".to_vec()));
    assert_eq!(store.pauses().unwrap().len(), 1);
    assert_eq!(store.oldest().unwrap(), [None; 3], "everybody is on hold");
}

#[test]
fn the_oldest_mail_of_each_class_is_the_one_that_could_be_delivered() {
    let (disk, clock, store) = new_store();
    let mut ids = Vec::new();
    for n in 0..6 {
        clock.advance(Duration::from_millis(1500));
        let class = if n % 2 == 0 { Class::High } else { Class::Low };
        let mail = Mail { class, ..Mail::to(&["x@a.example", "y@b.example"]) };
        ids.push((submit(&store, &clock, mail).unwrap().id(), clock.now()));
    }
    let high = |n: usize| Some(ids[n].1);
    let act = |verb, n: usize| {
        let filter = QueueFilter { message: Some(ids[n].0), ..QueueFilter::default() };
        smol::block_on(store.act(QueueAct { verb, filter, operator: "op".into(), from: "test".into() })).unwrap()
    };
    assert_eq!(store.oldest().unwrap(), [high(0), None, high(1)]);
    // One recipient is delivered, the other is tried again: it still waits.
    let later = clock.now().plus(DAY);
    apply(&store, vec![succeeded(key(ids[0].0, 0), clock.now()), deferred(key(ids[0].0, 1), clock.now(), later)])
        .unwrap();
    assert_eq!(store.oldest().unwrap()[0], high(0));
    assert_eq!(act(QueueVerb::Hold, 0), 1);
    assert_eq!(store.oldest().unwrap()[0], high(2), "what is held waits for the operator");
    assert_eq!(act(QueueVerb::Release, 0), 1);
    assert_eq!(store.oldest().unwrap()[0], high(0));
    apply(&store, vec![failed(key(ids[0].0, 1), clock.now())]).unwrap();
    assert_eq!(store.oldest().unwrap()[0], high(2));
    // Scheduled mail is not old before its time, and counts from then on.
    let at = clock.now().plus(DAY);
    submit(&store, &clock, Mail { release_at: Some(at), ..Mail::default() }).unwrap();
    assert_eq!(store.oldest().unwrap()[1], None);
    drop(store); // no stop: as kill -9
    clock.advance(DAY);
    let store = open_sim(&disk, &clock).unwrap().store;
    assert_eq!(store.oldest().unwrap(), [high(2), Some(at), high(1)]);
    drop(store);
    assert_sound(&disk);
}

#[test]
fn what_people_do_to_a_list_is_in_the_operation_log_or_was_not_done() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    let entry = |act: &str| hikyaku::store::AuditEntry {
        at: clock.now(),
        who: "op".into(),
        from: "control socket".into(),
        act: act.into(),
        object: "a@x.example".into(),
        detail: String::new(),
    };
    let acts = || {
        let rows = store.audit_page(&Default::default(), &hikyaku::store::Page::default()).unwrap().rows;
        rows.into_iter().map(|r| r.act).collect::<Vec<_>>()
    };
    let put_as = |changes, act: &str| smol::block_on(store.put_memos_as(changes, Some(entry(act))));
    let kind = MemoKind::Suppressions;
    put_as(vec![memo(kind, "a@x.example", Some(b"1")), memo(kind, "b@x.example", Some(b"2"))], "suppress.add").unwrap();
    put_as(vec![memo(kind, "a@x.example", None)], "suppress.lift").unwrap();
    put_as(Vec::new(), "suppress.settings").unwrap();
    put(&store, vec![memo(kind, "c@x.example", Some(b"3"))]).unwrap();
    put(&store, Vec::new()).unwrap();
    let long = "x".repeat(MEMO_KEY_MAX + 1);
    assert!(matches!(put_as(vec![memo(kind, &long, Some(b"1"))], "suppress.add"), Err(StoreError::Refused(_))));
    assert_eq!(acts(), ["suppress.settings", "suppress.lift", "suppress.add"]);
    assert_eq!((store.memo_count(kind).unwrap(), store.memo_count(MemoKind::Unsubscribes).unwrap()), (2, 0));
    drop(store);
    assert_sound(&disk);
}

#[test]
fn the_keys_of_return_addresses_are_printed_nowhere_and_are_in_a_backup() {
    let dir = TempDir::new("keys");
    let clock = Clock::system();
    let store = Store::open(options(&dir.0, &clock)).unwrap().store;
    let secret = memo(MemoKind::ReturnKeys, "7", Some(b"correct horse"));
    let printed = format!("{secret:?} {:?}", memo(MemoKind::MtaSts, "x.example", Some(b"policy")));
    assert!(!printed.contains("horse") && !printed.contains("99, 111") && printed.contains("6 octets"), "{printed}");
    put(&store, vec![secret]).unwrap();
    let mut tar = Vec::new();
    store.backup(&mut tar).unwrap();
    let to = TempDir::new("keys-restored");
    Store::restore(&to.0, &clock, &mut tar.as_slice()).unwrap();
    let restored = Store::open(options(&to.0, &clock)).unwrap().store;
    assert_eq!(restored.memo(MemoKind::ReturnKeys, "7").unwrap().as_deref(), Some(&b"correct horse"[..]));
}
