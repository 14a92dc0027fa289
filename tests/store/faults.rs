//! P2: a failing sync or write stops the store and loses nothing promised; a full disk refuses mail and still takes verdicts.

use std::{path::Path, time::Duration};

use hikyaku::{
    clock::Clock,
    event::EventKind,
    store::{
        RecipientState, StoreError,
        sim::{Fate, SimDisk},
    },
};
use smol::future::FutureExt;

use crate::support::*;

#[test]
fn a_failed_sync_or_write_is_final_and_that_file_is_never_touched_again() {
    for n in 1..=9 {
        for fate in [Fate::FailSync(n), Fate::FailWrite(n)] {
            let disk = SimDisk::default();
            let clock = Clock::manual(START);
            let store = open_sim(&disk, &clock).unwrap().store;
            let kept = submit(&store, &clock, Mail::default()).unwrap().id();
            disk.plan(Some(fate));
            let mut promised = vec![kept];
            let error = loop {
                match submit(&store, &clock, Mail::default()) {
                    Ok(receipt) => promised.push(receipt.id()),
                    Err(e) => break e,
                }
                assert!(promised.len() < 50, "{fate:?} never struck");
            };
            assert!(matches!(error, StoreError::Failed(_)), "{fate:?}: {error}");
            let words = smol::block_on(store.failed());
            assert!(!words.is_empty());
            assert!(store.verdicts_are_stuck(), "{fate:?}: attempts would start");
            assert!(matches!(apply(&store, vec![succeeded(key(kept, 0), START)]), Err(StoreError::Failed(_))));
            assert!(matches!(smol::block_on(store.ping()), Err(StoreError::Failed(_))));
            drop(store);
            assert!(!disk.was_touched_after_failure(), "{fate:?}: the file was used again");
            disk.restart(n);
            let store = open_sim(&disk, &clock).unwrap().store;
            for id in promised {
                assert!(load(&store, id).is_some(), "{fate:?}: {id} is lost");
            }
        }
    }
}

#[test]
fn without_a_failure_nobody_is_told_of_one() {
    let disk = SimDisk::default();
    let clock = Clock::manual(START);
    let store = open_sim(&disk, &clock).unwrap().store;
    let told = smol::block_on(
        async {
            store.failed().await;
            true
        }
        .or(async {
            smol::Timer::after(Duration::from_millis(50)).await;
            false
        }),
    );
    assert!(!told);
    smol::block_on(store.stop()).unwrap();
    assert!(matches!(submit(&store, &clock, Mail::default()), Err(StoreError::Closed)));
}

#[test]
fn a_full_disk_refuses_mail_but_takes_verdicts_from_the_ballast() {
    let disk = SimDisk::default();
    disk.set_capacity(60 * 1024 * 1024);
    let clock = Clock::manual(START);
    let mut opts = options(SIM_DIR, &clock);
    opts.disk_free_min = 1024 * 1024;
    let store = open_sim_with(&disk, opts.clone()).unwrap().store;
    eventually("the ballast is taken", || disk.names(Path::new(SIM_DIR)).iter().any(|p| p.ends_with("ballast")));
    let ids: Vec<_> = (0..20).map(|_| submit(&store, &clock, Mail::default()).unwrap().id()).collect();
    // Somebody else fills the disk.
    disk.set_capacity(disk.used());
    store.reconfigure(opts.retention, opts.disk_free_min);
    assert!(store.disk_is_full());
    // Open sessions may still finish: either they fit or they hear that there is no room. Nothing breaks.
    let mut full = 0;
    for _ in 0..40 {
        match submit(&store, &clock, Mail { body: vec![b'x'; 4000], ..Mail::default() }) {
            Ok(_) => {}
            Err(StoreError::Full) => full += 1,
            Err(e) => panic!("{e}"),
        }
    }
    assert!(full > 0, "the disk was never full");
    for id in &ids {
        let applied = apply(&store, vec![succeeded(key(*id, 0), clock.now())]).unwrap();
        assert_eq!(applied.applied, 1);
    }
    assert_eq!(smol::block_on(store.ping()).map_err(|e| e.to_string()), Ok(()));
    smol::block_on(store.stop()).unwrap();
    drop(store);
    assert_sound(&disk);
    let store = open_sim_with(&disk, opts).unwrap().store;
    for id in ids {
        let (_, recipients) = load(&store, id).unwrap();
        assert_eq!(recipients[0].state, RecipientState::Final(EventKind::Succeeded));
    }
}

#[test]
fn a_damaged_or_missing_body_is_reported_by_name_and_the_rest_is_read() {
    let disk = SimDisk::default();
    let clock = Clock::manual(START);
    let store = open_sim(&disk, &clock).unwrap().store;
    let mail = |n: u8| submit(&store, &clock, Mail { body: vec![n; 500], ..Mail::default() }).unwrap().id();
    let (a, b) = (mail(1), mail(2));
    let segment = disk.names(&Path::new(SIM_DIR).join("segments")).remove(0);
    disk.damage(&segment, 32 + 100);
    let message = load(&store, a).unwrap().0;
    let why = body_of(&store, &message).unwrap_err();
    assert!(why.contains(segment.to_str().unwrap()), "{why}");
    assert_eq!(body_of(&store, &load(&store, b).unwrap().0), Ok(vec![2; 500]));
    smol::block_on(store.stop()).unwrap();
    drop(store);
    let report = hikyaku::store::Store::verify_on(std::sync::Arc::new(disk.clone()), Path::new(SIM_DIR)).unwrap();
    assert_eq!((report.damage.len(), report.bodies), (1, 1), "{:?}", report.damage);
    use hikyaku::store::disk::Disk;
    disk.unlink(&segment).unwrap();
    let store = open_sim(&disk, &clock).unwrap().store;
    let message = load(&store, b).unwrap().0;
    match store.open_body(&message) {
        Err(StoreError::Damaged(why)) => assert!(why.contains(segment.to_str().unwrap()), "{why}"),
        other => panic!("{other:?}"),
    }
}
