//! The archive (R13): every row is in exactly one file before it is pruned, wherever the power is cut; what cannot be archived is
//! kept, hidden, and told.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hikyaku::{
    clock::{Clock, Timestamp},
    event::EventKind,
    ids::MessageId,
    store::{
        Archive, AuditEntry, AuditQuery, LOG_COLUMNS, LogQuery, Opened, Page, Store, StoreError, Tuning,
        disk::{Disk, OpenHow, RealDisk},
        sim::{Fate, SimDisk},
    },
};

use crate::support::*;

const HOUR: Duration = Duration::from_secs(3600);

fn dir() -> PathBuf {
    Path::new(SIM_DIR).join("archive")
}

fn archive(zone: &str) -> Archive {
    Archive { dir: dir(), time_zone: zone.into() }
}

/// A store that keeps its logs three days, and archives when it is told to.
fn open(disk: &SimDisk, clock: &Clock, to: Option<Archive>) -> Result<Opened, StoreError> {
    let mut options = options(SIM_DIR, clock);
    options.retention.delivery_log = 3 * DAY;
    options.retention.error_log = 2 * DAY;
    options.retention.audit_log = 3 * DAY;
    let tuning = Tuning {
        disk: Arc::new(disk.clone()),
        segment_octets: 8 * 1024,
        jobs_inline: true,
        company_wait: Duration::ZERO,
        idle_tick: Duration::from_millis(5),
        ..Tuning::default()
    };
    Store::open_tuned_archiving(options, to, tuning)
}

/// Six mails a day, every four hours from 02:00 UTC on, each accepted, deferred, failed; and one entry of the operation log.
fn live(store: &Store, clock: &Clock, days: usize) -> Vec<MessageId> {
    let mut ids = Vec::new();
    for n in 0..days * 6 {
        clock.advance(if n == 0 { 2 * HOUR } else { 4 * HOUR });
        let id = submit(store, clock, Mail { api_data: "=cmd()".into(), ..Mail::default() }).unwrap().id();
        apply(store, vec![deferred(key(id, 0), clock.now(), clock.now().plus(HOUR))]).unwrap();
        apply(store, vec![failed(key(id, 0), clock.now())]).unwrap();
        let entry = AuditEntry {
            at: clock.now(),
            who: "operator".into(),
            from: "control socket".into(),
            act: "queue.flush".into(),
            object: format!("+{n}"),
            detail: String::new(),
        };
        smol::block_on(store.audit(entry)).unwrap();
        ids.push(id);
    }
    ids
}

fn octets(disk: &dyn Disk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenHow::Read).unwrap();
    let mut octets = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut octets, 0).unwrap();
    octets
}

/// The rows of each finished file, by its name.
fn files(disk: &dyn Disk, dir: &Path) -> BTreeMap<String, Vec<csv::StringRecord>> {
    let mut out = BTreeMap::new();
    for name in disk.list(dir).unwrap().into_iter().filter(|n| n.ends_with(".gz")) {
        let octets = octets(disk, &dir.join(&name));
        let mut text = String::new();
        flate2::read::GzDecoder::new(octets.as_slice())
            .read_to_string(&mut text)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let rows = csv::Reader::from_reader(text.as_bytes()).records().map(|row| row.unwrap()).collect();
        out.insert(name, rows);
    }
    out
}

fn column(name: &str) -> usize {
    LOG_COLUMNS.iter().position(|column| *column == name).unwrap()
}

/// Every number that the delivery log's files hold, each once.
fn numbers(files: &BTreeMap<String, Vec<csv::StringRecord>>) -> BTreeSet<u64> {
    let mut out = BTreeSet::new();
    for (name, rows) in files.iter().filter(|(name, _)| name.starts_with("deliveries")) {
        for row in rows {
            let number = row[column("number")].parse().unwrap();
            assert!(out.insert(number), "{name}: {number} twice");
        }
    }
    out
}

fn all_numbers(store: &Store) -> BTreeSet<u64> {
    let page = Page { rows_max: 10_000, ..Page::default() };
    store.log_page(&LogQuery::default(), &page).unwrap().rows.iter().map(|row| row.number).collect()
}

fn events_left(disk: &SimDisk) -> u64 {
    let report = Store::verify_on(Arc::new(disk.clone()), Path::new(SIM_DIR)).unwrap();
    assert!(report.damage.is_empty(), "{:#?}", report.damage);
    report.events
}

/// Stops the store when it has pruned all that it may, and answers the events that are left.
fn pruned(disk: &SimDisk, store: Store) -> u64 {
    std::thread::sleep(Duration::from_millis(300));
    smol::block_on(store.stop()).unwrap();
    drop(store);
    events_left(disk)
}

#[test]
fn every_row_is_in_the_file_of_its_day_before_it_is_pruned() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    disk.create_dir(&dir()).unwrap();
    let store = open(&disk, &clock, Some(archive("Asia/Tokyo"))).unwrap().store;
    assert_eq!(store.archive_now(), 0, "nothing is old enough");
    let ids = live(&store, &clock, 2);
    let all = all_numbers(&store);
    assert_eq!(all.len(), 36);
    // The bounce of a later day is a row of that day.
    assert!(matches!(
        returned(&store, back(key(ids[0], 0), clock.now(), EventKind::Bounced, "=no")).unwrap(),
        hikyaku::store::ReturnedAs::Written(_)
    ));
    assert_eq!(store.archive_now(), 0);
    clock.advance(4 * DAY);
    let files_now = store.archive_now();
    assert_eq!(store.archive_trouble(), None);
    assert_eq!(store.archive_now(), 0, "once");
    let files = files(&disk, &dir());
    let rows: Vec<(&str, usize)> = files.iter().map(|(name, rows)| (name.as_str(), rows.len())).collect();
    // 02:00 UTC is 11:00 in Tokyo: four mails are of the first day (until 14:00 UTC: 23:00), six of the second, two of the third.
    let expected = [
        ("audit-2026-11-01.csv.gz", 4),
        ("audit-2026-11-02.csv.gz", 6),
        ("audit-2026-11-03.csv.gz", 2),
        ("deliveries-2026-11-01.csv.gz", 12),
        ("deliveries-2026-11-02.csv.gz", 18),
        ("deliveries-2026-11-03.csv.gz", 7),
    ];
    assert_eq!(rows, expected);
    assert_eq!(files_now, 6);
    assert!(numbers(&files).is_superset(&all));
    let first = &files["deliveries-2026-11-01.csv.gz"][2];
    assert_eq!(&first[column("at")], "2026-11-01T11:00:00+09:00");
    assert_eq!((&first[column("status")], &first[column("error")]), ("failed", "unknown_user"));
    assert_eq!(&first[column("api_data")], "'=cmd()", "no formula");
    assert_eq!((&first[column("returned_status")], &first[column("returned_reply")]), ("bounced", "'=no"));
    assert_eq!(&files["audit-2026-11-01.csv.gz"][0][4], "'+0");
    assert_eq!(pruned(&disk, store), 0);
    // The indexes are empty, too: a day later they would have been anyway.
    let report = Store::verify_on(Arc::new(disk.clone()), Path::new(SIM_DIR)).unwrap();
    assert_eq!((report.index_rows_left, report.messages, report.audit_entries), (0, 0, 0));
}

#[test]
fn wherever_the_power_is_cut_no_row_is_lost_or_doubled() {
    let long = std::env::var_os("HIKYAKU_LONG").is_some();
    for at in (1..).step_by(if long { 1 } else { 2 }) {
        let (disk, clock) = (SimDisk::default(), Clock::manual(START));
        disk.create_dir(&dir()).unwrap();
        disk.sync_dir(Path::new(SIM_DIR)).unwrap();
        let store = open(&disk, &clock, Some(archive("UTC"))).unwrap().store;
        live(&store, &clock, 2);
        let all = all_numbers(&store);
        clock.advance(4 * DAY);
        disk.plan(Some(Fate::CrashAt(at)));
        store.archive_now();
        std::thread::sleep(Duration::from_millis(30)); // it prunes
        let crashed = disk.has_crashed();
        drop(store);
        disk.restart(at);
        let store = open(&disk, &clock, Some(archive("UTC"))).unwrap_or_else(|e| panic!("cut at {at}: {e}")).store;
        store.archive_now();
        assert_eq!(store.archive_trouble(), None, "cut at {at}");
        assert_eq!(numbers(&files(&disk, &dir())), all, "cut at {at}");
        if at % 5 == 0 {
            assert_eq!(pruned(&disk, store), 0, "cut at {at}");
        }
        if !crashed {
            assert!(at > 20, "{at}");
            return;
        }
    }
}

#[test]
fn what_cannot_be_archived_stays_hidden_and_is_told_until_it_can() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open(&disk, &clock, Some(archive("UTC"))).unwrap().store;
    let ids = live(&store, &clock, 1);
    let all = all_numbers(&store);
    clock.advance(5 * DAY);
    assert_eq!(store.archive_now(), 0);
    let trouble = store.archive_trouble().unwrap();
    assert!(trouble.contains("/sim/archive") && trouble.contains("missing"), "{trouble}");
    std::thread::sleep(Duration::from_millis(200));
    // By no route.
    assert!(all_numbers(&store).is_empty());
    assert!(store.audit_page(&AuditQuery::default(), &Page::default()).unwrap().rows.is_empty());
    assert!(store.message_story(ids[0]).unwrap().is_none());
    assert!(store.find("you@example.org", 10).unwrap().is_empty());
    assert!(store.find(&ids[0].to_string(), 10).unwrap().is_empty());
    assert!(store.follow(0, &[], 100).unwrap().0.is_empty());
    assert!(store.minutes(Timestamp::ZERO, clock.now()).unwrap().is_empty());
    let errors = LogQuery { errors_only: true, message: Some(ids[0]), ..LogQuery::default() };
    assert!(store.log_page(&errors, &Page::default()).unwrap().rows.is_empty());
    smol::block_on(store.stop()).unwrap();
    drop(store);
    assert_eq!(events_left(&disk), 18, "nothing was pruned");

    // A full disk, then room.
    let store = open(&disk, &clock, Some(archive("UTC"))).unwrap().store;
    disk.create_dir(&dir()).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    disk.set_capacity(disk.used() + 10);
    assert_eq!(store.archive_now(), 0);
    assert!(store.archive_trouble().unwrap().contains("deliveries-2026-11-01"));
    assert!(disk.list(&dir()).unwrap().is_empty(), "what was begun gives its room back");
    disk.set_capacity(u64::MAX / 2);
    assert_eq!(store.archive_now(), 2);
    assert_eq!(store.archive_trouble(), None);
    assert_eq!(numbers(&files(&disk, &dir())), all);
    assert_eq!(pruned(&disk, store), 0);
}

#[test]
fn another_time_zone_or_a_pause_of_the_archive_doubles_nothing() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    disk.create_dir(&dir()).unwrap();
    let store = open(&disk, &clock, Some(archive("Asia/Tokyo"))).unwrap().store;
    live(&store, &clock, 3);
    let all = all_numbers(&store);
    // The first day of Tokyo ends at 15:00 UTC.
    clock.advance(4 * HOUR);
    assert_eq!(store.archive_now(), 2);
    store.archive_to(Some(archive("UTC")));
    clock.advance(5 * DAY);
    assert_eq!(store.archive_now(), 6);
    let names: Vec<String> = disk.list(&dir()).unwrap().into_iter().filter(|n| n.starts_with("del")).collect();
    let mut expected =
        ["deliveries-2026-11-01.csv.gz", "deliveries-2026-11-01T150000.csv.gz"].map(String::from).to_vec();
    expected.extend(["deliveries-2026-11-02.csv.gz", "deliveries-2026-11-03.csv.gz"].map(String::from));
    assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), expected.into_iter().collect());
    assert_eq!(numbers(&files(&disk, &dir())), all);
    // Without an archive, rows go as they did before there was one.
    store.archive_to(None);
    live(&store, &clock, 1);
    clock.advance(5 * DAY);
    assert_eq!(store.archive_now(), 0);
    assert_eq!(pruned(&disk, store), 0);
}

#[test]
fn rows_are_numbered_behind_what_is_archived_whatever_the_clock_does() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    disk.create_dir(&dir()).unwrap();
    let store = open(&disk, &clock, Some(archive("UTC"))).unwrap().store;
    live(&store, &clock, 1);
    clock.advance(3 * DAY);
    assert_eq!(store.archive_now(), 2);
    let archived = numbers(&files(&disk, &dir()));
    smol::block_on(store.stop()).unwrap();
    drop(store);
    // The clock was wrong, and is set back into the day that was archived.
    let clock = Clock::manual(START.plus(23 * HOUR));
    let store = open(&disk, &clock, Some(archive("UTC"))).unwrap().store;
    let id = submit(&store, &clock, Mail::default()).unwrap().id();
    apply(&store, vec![failed(key(id, 0), clock.now())]).unwrap();
    clock.advance(8 * DAY);
    store.archive_now();
    assert_eq!(numbers(&files(&disk, &dir())).len(), archived.len() + 2);
    assert_eq!(pruned(&disk, store), 0);
}

#[test]
fn a_store_restored_from_an_old_backup_overwrites_no_file_that_holds_more() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    disk.create_dir(&dir()).unwrap();
    let store = open(&disk, &clock, Some(archive("UTC"))).unwrap().store;
    live(&store, &clock, 1);
    let all = all_numbers(&store);
    clock.advance(4 * DAY);
    assert_eq!(store.archive_now(), 2);
    drop(store);
    // Another store, which knows the first hours of that day alone, with the same archive.
    let other = SimDisk::default();
    other.create_dir(&dir()).unwrap();
    for name in ["deliveries-2026-11-01.csv.gz", "audit-2026-11-01.csv.gz"] {
        let file = other.open(&dir().join(name), OpenHow::CreateNew).unwrap();
        file.write_all_at(&[std::io::IoSlice::new(&octets(&disk, &dir().join(name)))], 0).unwrap();
    }
    let clock = Clock::manual(START);
    let store = open(&other, &clock, Some(archive("UTC"))).unwrap().store;
    clock.advance(HOUR);
    submit(&store, &clock, Mail::default()).unwrap();
    clock.advance(4 * DAY);
    assert_eq!(store.archive_now(), 1);
    let files = files(&other, &dir());
    assert_eq!(files["deliveries-2026-11-01.csv.gz"].len(), all.len());
    assert_eq!(files["deliveries-2026-11-01.2.csv.gz"].len(), 1);
}

#[test]
fn files_are_for_the_daemon_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (data, archived) = (TempDir::new("archive-data"), TempDir::new("archive"));
    let clock = Clock::manual(START);
    let to = Archive { dir: archived.0.clone(), time_zone: "UTC".into() };
    let store = Store::open_archiving(options(&data.0, &clock), Some(to)).unwrap().store;
    live(&store, &clock, 1);
    clock.advance(40 * DAY);
    // The store's own thread looks when it is told of a folder, and each minute.
    store.archive_to(Some(Archive { dir: archived.0.clone(), time_zone: "UTC".into() }));
    eventually("the day is archived", || archived.0.join("deliveries-2026-11-01.csv.gz").exists());
    let mode = std::fs::metadata(archived.0.join("deliveries-2026-11-01.csv.gz")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(files(&RealDisk, &archived.0)["deliveries-2026-11-01.csv.gz"].len(), 18);
}
