//! A record counts whole or not at all; the log of another database is refused.

use proptest::prelude::*;

use super::*;
use crate::store::sim::{DIR, SimDisk};

fn block(fill: u8) -> Block {
    Block::from(vec![fill; BLOCK])
}

/// A database of eight blocks of zeros, and its log.
fn new_log(disk: &SimDisk) -> (PathBuf, Arc<dyn DiskFile>, Redo) {
    let path = Path::new(DIR).join("db");
    let db = disk.open(&path, OpenHow::CreateNew).unwrap();
    db.set_len(8 * BLOCK as u64).unwrap();
    db.sync().unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
    let log = Redo::open(disk, &path, &db, 256 * 1024).unwrap().unwrap();
    (path, db, log)
}

fn content(db: &Arc<dyn DiskFile>) -> Vec<u8> {
    (0..8).map(|n| read_block(&**db, n).unwrap()[7]).collect()
}

#[test]
fn what_was_appended_is_put_in_place_after_a_hard_stop_and_only_once() {
    let disk = SimDisk::default();
    let (path, _, mut log) = new_log(&disk);
    let len = 8 * BLOCK as u64;
    log.append(len, &[(0, block(1)), (3, block(1)), (7, block(1))]).unwrap();
    log.append(len, &[(3, block(2))]).unwrap();
    disk.restart(0);
    let db = disk.open(&path, OpenHow::Write).unwrap();
    let mut log = Redo::open(&disk, &path, &db, 256 * 1024).unwrap().unwrap();
    assert_eq!(content(&db), [1, 0, 0, 2, 0, 0, 0, 1]);
    // The next epoch's record stands where the first one stood; what is behind it is another epoch's.
    log.append(len, &[(5, block(9))]).unwrap();
    db.write_all_at(&[IoSlice::new(&block(4))], 3 * BLOCK as u64).unwrap();
    db.sync().unwrap();
    disk.restart(0);
    let db = disk.open(&path, OpenHow::Write).unwrap();
    replay(&disk, &path, &db).unwrap();
    assert_eq!(content(&db), [1, 0, 0, 4, 0, 9, 0, 1]);
}

#[test]
fn the_log_of_another_database_is_refused_and_nothing_is_changed() {
    let disk = SimDisk::default();
    let (path, db, mut log) = new_log(&disk);
    log.append(8 * BLOCK as u64, &[(2, block(1))]).unwrap();
    db.write_all_at(&[IoSlice::new(&block(200))], 0).unwrap();
    match replay(&disk, &path, &db) {
        Err(RedoError::Foreign(why)) => assert!(why.contains("another database")),
        other => panic!("{other:?}"),
    }
    assert_eq!(content(&db), [200, 0, 0, 0, 0, 0, 0, 0]);
    disk.damage(&path_of(&path), 9);
    assert!(matches!(replay(&disk, &path, &db), Err(RedoError::Foreign(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_damaged_record_ends_the_log_before_it(counts in proptest::collection::vec(1..6u64, 1..5), at in any::<proptest::sample::Index>()) {
        let disk = SimDisk::default();
        let (path, db, mut log) = new_log(&disk);
        let mut ends = vec![log.at];
        for (n, count) in (1u8..).zip(&counts) {
            let blocks: Vec<(u64, Block)> = (0..*count).map(|b| (b, block(n))).collect();
            log.append(8 * BLOCK as u64, &blocks).unwrap();
            ends.push(log.at);
        }
        let offset = BLOCK as u64 + at.index(usize::try_from(log.at).unwrap() - BLOCK) as u64;
        disk.damage(&path_of(&path), offset);
        let whole = ends.iter().skip(1).take_while(|end| **end <= offset).count();
        replay(&disk, &path, &db).unwrap();
        let expected = (0..8u64).map(|b| (1u8..).zip(&counts).take(whole).filter(|(_, count)| b < **count).map(|(n, _)| n).last().unwrap_or(0));
        prop_assert_eq!(content(&db), expected.collect::<Vec<_>>());
    }
}
