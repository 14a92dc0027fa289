//! Opening: what is not ours, damaged, newer or in use is refused by name and left as it is; a hard stop is noticed.

use std::time::Duration;

use hikyaku::{
    clock::Clock,
    event::WaitReason,
    store::{QueueAct, QueueFilter, QueueVerb, RecipientState, Store, StoreError, sim::SimDisk},
};

use crate::support::*;

fn open_error(dir: &TempDir) -> StoreError {
    match Store::open(options(&dir.0, &Clock::system())) {
        Err(e) => e,
        Ok(_) => panic!("opened"),
    }
}

#[test]
fn a_file_that_is_no_database_is_refused_by_name_and_left_alone() {
    for content in [&b"not a database at all, but long enough to be read as a header"[..], &[0u8; 8192], b""] {
        let dir = TempDir::new("garbage");
        let path = dir.0.join("hikyaku.redb");
        std::fs::write(&path, content).unwrap();
        match open_error(&dir) {
            StoreError::Damaged(why) => {
                assert!(why.contains(path.to_str().unwrap()) && why.contains("backup"), "{why}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_missing_database_beside_bodies_is_damage_and_not_a_first_start() {
    let dir = TempDir::new("missing");
    let clock = Clock::system();
    let opened = Store::open(options(&dir.0, &clock)).unwrap();
    submit(&opened.store, &clock, Mail::default()).unwrap();
    drop(opened);
    std::fs::remove_file(dir.0.join("hikyaku.redb")).unwrap();
    let error = open_error(&dir);
    assert!(matches!(&error, StoreError::Damaged(why) if why.contains("missing")), "{error}");
    assert!(!dir.0.join("hikyaku.redb").exists());
}

#[test]
fn a_newer_schema_is_refused_with_words() {
    let dir = TempDir::new("newer");
    drop(Store::open(options(&dir.0, &Clock::system())).unwrap());
    {
        // Version octet 1, then the schema number as a varint: what a program of the next schema writes.
        let db = redb::Database::open(dir.0.join("hikyaku.redb")).unwrap();
        let txn = db.begin_write().unwrap();
        txn.open_table(redb::TableDefinition::<&str, &[u8]>::new("meta"))
            .unwrap()
            .insert("schema", &[1u8, 99][..])
            .unwrap();
        txn.commit().unwrap();
    }
    let error = open_error(&dir);
    assert!(matches!(&error, StoreError::Newer(why) if why.contains("99") && why.contains("hikyaku.redb")), "{error}");
}

#[test]
fn a_second_store_on_the_same_directory_is_refused() {
    let dir = TempDir::new("second");
    let clock = Clock::system();
    let first = Store::open(options(&dir.0, &clock)).unwrap();
    assert!(matches!(open_error(&dir), StoreError::InUse(why) if why.contains("hikyaku.redb")));
    assert!(matches!(Store::verify(&dir.0, &clock), Err(StoreError::InUse(_))));
    submit(&first.store, &clock, Mail::default()).unwrap();
    drop(first);
    assert!(Store::open(options(&dir.0, &clock)).is_ok());
}

#[test]
fn after_a_hard_stop_those_that_were_due_carry_the_mark_until_they_are_tried() {
    let disk = SimDisk::default();
    let clock = Clock::manual(START);
    let store = open_sim(&disk, &clock).unwrap().store;
    let due = submit(&store, &clock, Mail::default()).unwrap().id();
    let later = submit(&store, &clock, Mail::default()).unwrap().id();
    let held = submit(&store, &clock, Mail::default()).unwrap().id();
    apply(&store, vec![deferred(key(later, 0), clock.now(), clock.now().plus(DAY))]).unwrap();
    let marked = |store: &Store, id| load(store, id).unwrap().1[0].possible_duplicate;
    assert!(!marked(&store, due));
    drop(store); // no stop: as kill -9

    clock.advance(Duration::from_secs(60));
    let opened = open_sim(&disk, &clock).unwrap();
    assert!(!opened.clean);
    let store = opened.store;
    assert!(marked(&store, due) && !marked(&store, later));
    let fresh = submit(&store, &clock, Mail::default()).unwrap().id();
    assert!(!marked(&store, fresh), "accepted after the hard stop");
    // Tried once, the question is answered by that try's own event.
    apply(&store, vec![deferred(key(due, 0), clock.now(), clock.now().plus(DAY))]).unwrap();
    assert!(!marked(&store, due));
    // An operator's act moves the due time and must not wash the mark off.
    let filter = QueueFilter { message: Some(held), ..QueueFilter::default() };
    for verb in [QueueVerb::Hold, QueueVerb::Release] {
        let act = QueueAct { verb, filter: filter.clone(), operator: "op".into(), from: "test".into() };
        assert_eq!(smol::block_on(store.act(act)).unwrap(), 1);
        assert!(marked(&store, held), "{verb:?}");
    }
    smol::block_on(store.stop()).unwrap();
    drop(store);
    let opened = open_sim(&disk, &clock).unwrap();
    assert!(opened.clean);
    assert!(marked(&opened.store, held) && !marked(&opened.store, fresh));
}

#[test]
fn a_lost_reply_stays_marked() {
    let disk = SimDisk::default();
    let clock = Clock::manual(START);
    let store = open_sim(&disk, &clock).unwrap().store;
    let id = submit(&store, &clock, Mail::default()).unwrap().id();
    let mut lost = deferred(key(id, 0), clock.now(), clock.now());
    lost.event.detail.as_mut().unwrap().possible_duplicate = true;
    apply(&store, vec![lost]).unwrap();
    apply(&store, vec![deferred(key(id, 0), clock.now(), clock.now())]).unwrap();
    let r = load(&store, id).unwrap().1.remove(0);
    assert!(r.possible_duplicate);
    assert!(matches!(r.state, RecipientState::Waiting { wait: WaitReason::Retry, .. }));
    assert_eq!(r.last_reply, "450 4.2.1 later");
}

#[test]
fn ids_grow_across_restarts_although_the_clock_stepped_back() {
    let disk = SimDisk::default();
    let clock = Clock::manual(START.plus(DAY));
    let store = open_sim(&disk, &clock).unwrap().store;
    let before = submit(&store, &clock, Mail::default()).unwrap().id();
    drop(store);
    let clock = Clock::manual(START);
    let store = open_sim(&disk, &clock).unwrap().store;
    let after = submit(&store, &clock, Mail::default()).unwrap().id();
    assert!(after > before, "{after} {before}");
    assert_eq!(store.log_page(&Default::default(), &Default::default()).unwrap().rows.len(), 2);
}

#[test]
fn a_backup_made_while_running_restores_every_live_message_on_hold() {
    let (dir, clock) = (TempDir::new("backup"), Clock::system());
    let store = Store::open(options(&dir.0, &clock)).unwrap().store;
    let mut live = Vec::new();
    for n in 0..40u8 {
        let id = submit(&store, &clock, Mail { body: vec![n; 3000], ..Mail::default() }).unwrap().id();
        if n % 2 == 0 {
            apply(&store, vec![succeeded(key(id, 0), clock.now())]).unwrap();
        } else {
            live.push((id, vec![n; 3000]));
        }
    }
    let id = store.ids().next(clock.now());
    let mut large = store.large_body(id).unwrap();
    large.write(&vec![b'L'; 300_000]).unwrap();
    let body = hikyaku::store::BodyIn::File(large.finish().unwrap());
    smol::block_on(store.submit(Mail::default().submission_with(id, clock.now(), body))).unwrap();
    live.push((id, vec![b'L'; 300_000]));
    let mut tar = Vec::new();
    let summary = store.backup(&mut tar).unwrap();
    assert_eq!((summary.messages, summary.octets), (21, 20 * 3000 + 300_000));
    assert!(!dir.0.join("backup.redb.tmp").exists());
    // It goes on while the backup exists.
    submit(&store, &clock, Mail::default()).unwrap();
    drop(store);

    let to = TempDir::new("restored");
    assert_eq!(Store::restore(&to.0, &clock, &mut &tar[..]).unwrap(), 21);
    assert!(matches!(Store::restore(&to.0, &clock, &mut &tar[..]), Err(StoreError::InUse(_))));
    let report = Store::verify(&to.0, &clock).unwrap();
    assert_eq!((report.damage, report.messages, report.bodies), (vec![], 41, 21));
    let store = Store::open(options(&to.0, &clock)).unwrap().store;
    assert_eq!((store.totals().waiting, store.totals().held), (21, 21));
    for (id, body) in live {
        let (message, recipients) = load(&store, id).unwrap();
        assert!(matches!(recipients[0].state, RecipientState::Waiting { wait: WaitReason::Held, .. }));
        assert!(recipients[0].possible_duplicate, "it may have been sent since");
        assert_eq!(body_of(&store, &message), Ok(body));
    }
}

#[test]
fn a_forged_backup_reaches_no_other_file() {
    for name in ["x", "segments/../x", "bodies/x/y", "segments/zz.seg"] {
        let dir = TempDir::new("forged");
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(1);
        header.set_cksum();
        tar.append(&header, &b"x"[..]).unwrap();
        let bytes = tar.into_inner().unwrap();
        let error = Store::restore(&dir.0, &Clock::system(), &mut &bytes[..]).unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{name}: {error}");
    }
}
