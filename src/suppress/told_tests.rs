//! Who listens hears of every change of the list, once, in the transaction that makes it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    Suppressions, Tell,
    acts::{Actor, IMPORT_BATCH_MAX, ImportRow, NewEntry},
    fake::Rig,
    memory::Telling,
    row::Cause,
    told::{ListAct, ListChange},
};
use crate::{
    event::ErrorClass::UnknownUser,
    store::{MemoChange, MemoKind, StoreError},
};

/// Writes each call's changes as one row.
#[derive(Default)]
struct Listener {
    deaf: AtomicBool,
    rows: AtomicU64,
    turn: smol::lock::Mutex<()>,
}

impl Tell for Listener {
    fn wants(&self) -> bool {
        !self.deaf.load(Ordering::SeqCst)
    }

    fn turn(&self) -> &smol::lock::Mutex<()> {
        &self.turn
    }

    fn rows(&self, changes: Vec<ListChange>) -> Vec<MemoChange> {
        let key = format!("{:08}", self.rows.fetch_add(1, Ordering::SeqCst));
        vec![MemoChange { kind: MemoKind::WebhookEvents, key, value: Some(serde_json::to_vec(&changes).unwrap()) }]
    }
}

fn operator() -> Actor {
    Actor { who: "operator root".to_owned(), from: "control socket".to_owned() }
}

fn told_rig(change: impl FnOnce(&mut crate::config::Config)) -> (Rig, Arc<Listener>) {
    let mut rig = Rig::new(change);
    let listener = Arc::new(Listener::default());
    let memory = Telling { memory: rig.store.clone(), tell: listener.clone(), clock: rig.clock.clone() };
    rig.room = Suppressions::new(Arc::new(memory), rig.clock.clone(), rig.metrics.clone(), rig.config.clone());
    (rig, listener)
}

fn told(rig: &Rig) -> Vec<(String, ListAct)> {
    let rows = rig.store.all().into_iter().filter(|((kind, _), _)| *kind == MemoKind::WebhookEvents);
    let changes = rows.flat_map(|(_, value)| serde_json::from_slice::<Vec<ListChange>>(&value).unwrap());
    changes.map(|change| (change.address, change.act)).collect()
}

#[test]
fn every_way_onto_the_list_and_off_it_is_told_once() {
    let (mut rig, _) = told_rig(|c| c.suppression.watch = Some(Duration::from_secs(10 * 86_400)));
    rig.fail("gone@example.jp", UnknownUser);
    rig.fail("watched@example.jp", UnknownUser);
    rig.learn();
    rig.fail("gone@example.jp", UnknownUser);
    rig.learn();
    smol::block_on(async {
        let new = NewEntry { address: "manual@example.jp".into(), ..NewEntry::default() };
        rig.room.add(&operator(), new.clone()).await.unwrap();
        rig.room.add(&operator(), new).await.unwrap();
        rig.room.lift(&operator(), "gone@example.jp", "").await.unwrap();
        rig.room.lift(&operator(), "gone@example.jp", "").await.unwrap();
        rig.room.exempt(&operator(), "manual@example.jp", "").await.unwrap();
        rig.room.end_exemption(&operator(), "manual@example.jp", "").await.unwrap();
    });
    rig.days(11);
    // The watch is over; the next error ends the stay and begins another, which is told alone.
    rig.fail("watched@example.jp", UnknownUser);
    rig.learn();
    let expected = [
        ("gone@example.jp", ListAct::Added),
        ("watched@example.jp", ListAct::Added),
        ("manual@example.jp", ListAct::Added),
        ("gone@example.jp", ListAct::Lifted),
        ("manual@example.jp", ListAct::Exempted),
        ("watched@example.jp", ListAct::Added),
    ];
    assert_eq!(told(&rig), expected.map(|(address, act)| (address.to_owned(), act)));
}

#[test]
fn what_could_not_be_written_is_not_told_and_nobody_who_is_deaf_costs_anything() {
    let (rig, listener) = told_rig(|_| {});
    let add = |address: &str| {
        let new = NewEntry { address: address.into(), ..NewEntry::default() };
        smol::block_on(rig.room.add(&operator(), new)).map(drop)
    };
    rig.store.fail_after(Some(0));
    assert!(matches!(add("a@example.jp"), Err(StoreError::Failed(_))));
    rig.store.fail_after(None);
    assert_eq!(told(&rig), []);
    add("b@example.jp").unwrap();
    listener.deaf.store(true, Ordering::SeqCst);
    add("c@example.jp").unwrap();
    assert_eq!(told(&rig), [("b@example.jp".to_owned(), ListAct::Added)]);
    assert_eq!(rig.store.keys(MemoKind::Suppressions).len(), 2);
}

#[test]
fn a_whole_batch_of_an_import_is_told_and_a_complaint_over_an_error_too() {
    let (rig, _) = told_rig(|_| {});
    let row = |n: usize, cause| ImportRow {
        address: format!("u{n}@example.jp"),
        user: String::new(),
        cause,
        class: Some(UnknownUser),
        occurred: 1,
        reason: String::new(),
        since: None,
        until: None,
    };
    let rows = (0..IMPORT_BATCH_MAX).map(|n| row(n, Cause::Import)).collect();
    smol::block_on(rig.room.import(&operator(), "list.csv", rows)).unwrap();
    assert_eq!(told(&rig).len(), IMPORT_BATCH_MAX);
    smol::block_on(rig.room.import(&operator(), "list.csv", vec![row(3, Cause::Complaint), row(4, Cause::Import)]))
        .unwrap();
    let all = told(&rig);
    assert_eq!(
        (all.len(), &all[IMPORT_BATCH_MAX]),
        (IMPORT_BATCH_MAX + 1, &("u3@example.jp".to_owned(), ListAct::Added))
    );
}
