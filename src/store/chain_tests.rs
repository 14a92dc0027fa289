//! Tampering with the operation log is noticed and named, whoever wrote into the database's file.

use crate::ids::hex;
use std::{path::Path, sync::Arc, time::Duration};

use proptest::prelude::*;
use redb::{Database, ReadableDatabase, WriteTransaction};

use super::{super::*, *};
use crate::store::{
    disk::{Disk, OpenHow},
    pages::DatabaseFile,
    sim::{DIR, SimDisk},
    tables::{AUDIT, DATABASE_FILE, META},
};

const START: Timestamp = Timestamp::from_millis(1_793_491_200_000);
const DAY: Duration = Duration::from_secs(86_400);

fn open(disk: &SimDisk, clock: &Clock) -> Store {
    let retention =
        RetentionPeriods { delivery_log: DAY, error_log: DAY, audit_log: 90 * DAY, message_bodies: Duration::ZERO };
    let options = StoreOptions { data_dir: DIR.into(), clock: clock.clone(), disk_free_min: 0, retention };
    let tuning = Tuning {
        disk: Arc::new(disk.clone()),
        segment_octets: 8 * 1024,
        jobs_inline: true,
        company_wait: Duration::ZERO,
        idle_tick: Duration::from_millis(10),
        ..Tuning::default()
    };
    Store::open_tuned(options, tuning).unwrap().store
}

fn entry(at: Timestamp, n: usize) -> AuditEntry {
    AuditEntry {
        at,
        who: format!("operator {n}"),
        from: "control socket".into(),
        act: "user.add".into(),
        object: format!("account {n}"),
        detail: String::new(),
    }
}

/// A store with this many entries, stopped.
fn filled(count: usize) -> (SimDisk, Clock, Vec<u64>) {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open(&disk, &clock);
    for n in 0..count {
        clock.advance(Duration::from_secs(1));
        smol::block_on(store.audit(entry(clock.now(), n))).unwrap();
    }
    smol::block_on(store.stop()).unwrap();
    drop(store);
    let db = database(&disk);
    let audit = db.begin_read().unwrap().open_table(AUDIT).unwrap();
    let numbers = audit.iter().unwrap().map(|entry| entry.unwrap().0.value()).collect();
    drop((audit, db));
    (disk, clock, numbers)
}

fn database(disk: &SimDisk) -> Database {
    let path = Path::new(DIR).join(DATABASE_FILE);
    let file = disk.open(&path, OpenHow::Write).unwrap();
    crate::store::redo::replay(disk, &path, &file).unwrap();
    Database::builder().create_with_backend(DatabaseFile::new(file, None)).unwrap()
}

fn verified(disk: &SimDisk) -> VerifyReport {
    Store::verify_on(Arc::new(disk.clone()), Path::new(DIR)).unwrap()
}

/// Does something to the file, and answers what `verify` says of it.
fn after(tamper: impl FnOnce(&WriteTransaction, &[u64])) -> (Vec<String>, Vec<u64>) {
    let (disk, _, numbers) = filled(5);
    assert!(verified(&disk).damage.is_empty());
    {
        let db = database(&disk);
        let txn = db.begin_write().unwrap();
        tamper(&txn, &numbers);
        txn.commit().unwrap();
    }
    (verified(&disk).damage, numbers)
}

fn row_of(txn: &WriteTransaction, number: u64) -> Vec<u8> {
    txn.open_table(AUDIT).unwrap().get(number).unwrap().unwrap().value().to_vec()
}

fn put(txn: &WriteTransaction, number: u64, row: &[u8]) {
    txn.open_table(AUDIT).unwrap().insert(number, row).unwrap();
}

fn remove(txn: &WriteTransaction, number: u64) {
    txn.open_table(AUDIT).unwrap().remove(number).unwrap();
}

/// Replaces a word in a row by one of the same length.
fn reword(row: &mut [u8], from: &[u8], to: &[u8]) {
    let at = row.windows(from.len()).position(|w| w == from).unwrap();
    row[at..at + to.len()].copy_from_slice(to);
}

fn assert_named(lines: &[String], number: u64, words: &str) {
    let named = lines.iter().any(|line| line.contains(&number.to_string()) && line.contains(words));
    assert!(named, "{number} {words:?}: {lines:#?}");
}

#[test]
fn a_changed_entry_is_named() {
    let (lines, numbers) = after(|txn, numbers| {
        let mut row = row_of(txn, numbers[2]);
        reword(&mut row, b"operator 2", b"operator 9");
        put(txn, numbers[2], &row);
    });
    assert_named(&lines, numbers[2], "changed");
    assert_eq!(lines.len(), 1, "the others stand: {lines:#?}");
}

#[test]
fn a_changed_entry_with_a_hash_of_its_own_is_noticed_at_the_next() {
    let (lines, numbers) = after(|txn, numbers| {
        let before = link_of(&row_of(txn, numbers[1])).unwrap().hash;
        let mut row = row_of(txn, numbers[2]);
        reword(&mut row, b"operator 2", b"operator 9");
        row.truncate(row.len() - LINK_LEN);
        let mut forged = Chain { head: (numbers[1], before), ..Chain::default() };
        forged.append(numbers[2], &mut row);
        put(txn, numbers[2], &row);
    });
    assert_named(&lines, numbers[3], "changed");
    assert_named(&lines, numbers[2], "before it");
    assert_eq!(lines.len(), 1, "{lines:#?}");
}

#[test]
fn a_removed_entry_is_named() {
    let (lines, numbers) = after(|txn, numbers| remove(txn, numbers[2]));
    assert_named(&lines, numbers[2], "is missing");
    assert!(lines.iter().any(|line| line.contains("4 entries, but there were 5")), "{lines:#?}");
}

#[test]
fn an_added_entry_is_named() {
    let (lines, numbers) = after(|txn, numbers| {
        let before = link_of(&row_of(txn, numbers[1])).unwrap().hash;
        let mut row = row_of(txn, numbers[1]);
        row.truncate(row.len() - LINK_LEN);
        let mut forged = Chain { head: (numbers[1], before), ..Chain::default() };
        forged.append(numbers[1] + 1, &mut row);
        put(txn, numbers[1] + 1, &row);
    });
    assert_named(&lines, numbers[1] + 1, "was added");
}

#[test]
fn an_entry_that_another_program_wrote_is_named() {
    let (lines, numbers) = after(|txn, numbers| {
        let mut row = row_of(txn, numbers[4]);
        row.truncate(row.len() - LINK_LEN);
        row[0] = 1;
        put(txn, numbers[4] + 1, &row);
        put(txn, 1, &row);
    });
    assert_named(&lines, numbers[4] + 1, "no link");
    assert_named(&lines, 1, "no link");
}

#[test]
fn a_log_that_was_cut_at_either_end_or_emptied_does_not_verify() {
    let (lines, numbers) = after(|txn, numbers| numbers[3..].iter().for_each(|n| remove(txn, *n)));
    assert_named(&lines, numbers[4], "it was cut");
    let (lines, numbers) = after(|txn, numbers| remove(txn, numbers[0]));
    assert_named(&lines, numbers[0], "is missing");
    let (lines, numbers) = after(|txn, numbers| numbers.iter().for_each(|n| remove(txn, *n)));
    assert_named(&lines, numbers[4], "it was cut");
    let (lines, _) = after(|txn, _| {
        txn.open_table(META).unwrap().remove(META_CHAIN).unwrap();
    });
    assert!(!lines.is_empty());
}

#[test]
fn a_pruned_log_verifies_and_goes_on() {
    let (disk, clock, numbers) = filled(1200);
    let head = verified(&disk).audit_head;
    assert_eq!(head.0, numbers[1199]);
    clock.advance(90 * DAY - Duration::from_secs(600));
    let store = open(&disk, &clock);
    let mut left = Vec::new();
    for _ in 0..600 {
        std::thread::sleep(Duration::from_millis(20));
        let txn = store.0.db.begin_read().unwrap();
        let audit = txn.open_table(AUDIT).unwrap();
        left = audit.iter().unwrap().map(|entry| entry.unwrap().0.value()).collect();
        if left.len() < 700 {
            break;
        }
    }
    assert!(left.len() < 700 && !left.is_empty(), "{}", left.len());
    smol::block_on(store.audit(entry(clock.now(), 7))).unwrap();
    smol::block_on(store.stop()).unwrap();
    drop(store);
    let report = verified(&disk);
    assert!(report.damage.is_empty(), "{:#?}", report.damage);
    assert!(report.audit_head.0 > head.0);
    // What was left out of the front by hand is noticed all the same.
    {
        let db = database(&disk);
        let txn = db.begin_write().unwrap();
        let first = txn.open_table(AUDIT).unwrap().first().unwrap().unwrap().0.value();
        remove(&txn, first);
        txn.commit().unwrap();
        drop(db);
        assert_named(&verified(&disk).damage, first, "is missing");
    }
}

proptest! {
    #[test]
    fn a_chain_is_read_back_equal(head in any::<(u64, [u8; 32])>(), start in any::<(u64, [u8; 32])>(), entries in any::<u64>()) {
        let chain = Chain { head, start, entries };
        prop_assert_eq!(Chain::read(&chain.write()).unwrap(), chain);
    }

    #[test]
    fn every_octet_counts(content in proptest::collection::vec(any::<u8>(), 1..50), at in any::<prop::sample::Index>(), number in 1..u64::MAX) {
        let sum = hash_of((7, [1; 32]), number, &content);
        let mut other = content.clone();
        other[at.index(content.len())] ^= 1;
        prop_assert_ne!(hash_of((7, [1; 32]), number, &other), sum);
        prop_assert_ne!(hash_of((7, [1; 32]), number - 1, &content), sum);
        prop_assert_ne!(hash_of((6, [1; 32]), number, &content), sum);
        prop_assert_ne!(hash_of((7, [2; 32]), number, &content), sum);
    }
}

/// The hash is stored: it never changes. Computed with Python's hashlib.
#[test]
fn the_hash_is_the_documented_one() {
    let mut chain = Chain::default();
    let mut row = vec![1, 2, 3];
    chain.append(5, &mut row);
    assert_eq!(hex(&chain.head.1), "2c16006bc22bffe63b93f928e81d67beb5083ceb9616003f73a48913eb23e33a");
    assert_eq!(row.len(), 3 + LINK_LEN);
    assert_eq!(link_of(&row).map(|l| (l.content.to_vec(), l.before)), Some((vec![2, 2, 3], 0)));
    assert!(link_of(&row[..LINK_LEN - 1]).is_none() && link_of(&[]).is_none());
}
