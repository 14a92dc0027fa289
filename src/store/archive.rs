//! The archive: rows of the logs are written as compressed CSV, one file a day and log, before they are pruned (R13).
//!
//! In: `[retention] archive_dir`, rows that are about to end their period.  Out: `deliveries-2026-11-24.csv.gz`,
//! `audit-2026-11-24.csv.gz`; a mark up to which rows may be pruned.
//! Always: a row is pruned only when the file that holds it is whole and durable (the file's octets, its name, then the mark, in
//! this order); until then it waits, hidden from every reader. A file is written under another name and renamed when whole, and
//! what it holds is named by numbers that are never given again: a stop at any moment costs a file that is written anew with the
//! same rows. Days are those of `[server] time_zone`; where a day was begun in another zone, the file's name says from when it goes
//! on. Memory does not grow with the day. What fails is said in the log and in `hikyaku status`, and tried again.
//! A day is written a day before its rows end their period, so that pruning keeps its pace.

use std::{
    io::{self, BufReader, BufWriter, IoSlice, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use jiff::tz::TimeZone;
use redb::{Database, ReadableDatabase};

use super::{
    archive_rows::{AUDIT_COLUMNS, LOG_COLUMNS, audit_cells, damaged_cells, log_cells},
    audit,
    batch::first_number_of,
    disk::{Disk, DiskFile, OpenHow},
    events::LogReader,
    fault::{Reading, bad_row},
    inbox::{Inbox, answer},
    retention::log_floor,
    rows::{self, EventHead, number_time},
    shared::Shared,
    tables,
    types::{RetentionPeriods, StoreError},
    writer::{Op, WRITER_THREAD},
};
use crate::{
    clock::{Clock, Timestamp},
    sheet::Sheet,
};

/// How long before their end of period rows are written.
const AHEAD: Duration = Duration::from_secs(86_400);
/// How often it is looked whether a day is to be written, and what failed is tried again.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Rows read in one snapshot, so that a long day pins no old pages of the database.
const ROWS_A_SNAPSHOT: usize = 5_000;
/// Pause between two snapshots: mail goes first.
const BREATH: Duration = Duration::from_millis(10);
/// Files of one day and log at most.
const SAME_NAME_MAX: u32 = 100;
/// Octets that are written at once.
const BLOCK: usize = 128 * 1024;
/// Behind a file's name while it is written.
const UNFINISHED: &str = ".unfinished";

/// Where the archive is, and whose days it has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Archive {
    /// The folder: exists, 0700.
    pub dir: PathBuf,
    /// `[server] time_zone`, an IANA name.
    pub time_zone: String,
}

/// Which log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Deliveries and errors: one table, one file.
    Deliveries = 0,
    /// Logins and operations.
    Audit = 1,
}

impl Kind {
    const ALL: [Kind; 2] = [Kind::Deliveries, Kind::Audit];

    fn word(self) -> &'static str {
        match self {
            Kind::Deliveries => "deliveries",
            Kind::Audit => "audit",
        }
    }
}

/// Numbers below these may be pruned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Limits {
    pub events: u64,
    pub audit: u64,
}

/// What the archiver and the writer see together.
#[derive(Default)]
pub(super) struct ArchiveState {
    to: Mutex<Option<Archive>>,
    /// Rows below are in files: by kind.
    marks: [AtomicU64; 2],
    trouble: Mutex<Option<String>>,
    stop: AtomicBool,
    woken: (Mutex<bool>, Condvar),
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ArchiveState {
    /// With the stored marks.
    pub(super) fn new(to: Option<Archive>, marks: [u64; 2]) -> Self {
        ArchiveState { to: Mutex::new(to), marks: marks.map(AtomicU64::new), ..ArchiveState::default() }
    }

    /// What may be pruned.
    pub(super) fn limits(&self) -> Limits {
        if lock(&self.to).is_none() {
            return Limits { events: u64::MAX, audit: u64::MAX };
        }
        let mark = |kind: Kind| self.marks[kind as usize].load(Ordering::Acquire);
        Limits { events: mark(Kind::Deliveries), audit: mark(Kind::Audit) }
    }

    /// Another folder, or none.
    pub(super) fn reconfigure(&self, to: Option<Archive>) {
        *lock(&self.to) = to;
        *lock(&self.trouble) = None;
        self.wake();
    }

    /// What keeps rows from being archived, in words; `None`: nothing.
    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    /// A mark is committed.
    pub(super) fn set_mark(&self, kind: Kind, mark: u64) {
        self.marks[kind as usize].fetch_max(mark, Ordering::AcqRel);
    }

    /// The marks, as they are stored.
    pub(super) fn row_with(&self, kind: Kind, mark: u64) -> Vec<u8> {
        let mut marks = [0, 1].map(|n: usize| self.marks[n].load(Ordering::Acquire));
        marks[kind as usize] = marks[kind as usize].max(mark);
        rows::write_numbers(&marks)
    }

    fn wake(&self) {
        *lock(&self.woken.0) = true;
        self.woken.1.notify_all();
    }

    /// Waits for the time, or until something is to be done.
    fn wait(&self, time: Duration) {
        let mut woken = lock(&self.woken.0);
        if !*woken {
            woken = self.woken.1.wait_timeout(woken, time).unwrap_or_else(PoisonError::into_inner).0;
        }
        *woken = false;
    }
}

/// Writes the files.
pub(super) struct Archiver {
    pub db: Arc<Database>,
    pub disk: Arc<dyn Disk>,
    pub clock: Clock,
    pub inbox: Arc<Inbox<Op>>,
    pub shared: Arc<Shared>,
}

/// The thread that archives, stopped with the store.
pub(super) struct ArchiveThread {
    shared: Arc<Shared>,
    handle: Option<JoinHandle<()>>,
}

impl Drop for ArchiveThread {
    fn drop(&mut self) {
        self.shared.archive.stop.store(true, Ordering::Release);
        self.shared.archive.wake();
        // The last handle of the store may be dropped by the writer's own answer: the archiver may wait for the next one.
        let is_writer = std::thread::current().name() == Some(WRITER_THREAD);
        if let Some(handle) = self.handle.take().filter(|_| !is_writer) {
            let _ = handle.join();
        }
    }
}

/// Starts it.
pub(super) fn start(archiver: Archiver) -> io::Result<ArchiveThread> {
    let shared = archiver.shared.clone();
    let handle = std::thread::Builder::new().name("hikyaku-archive".into()).spawn(move || archiver.run())?;
    Ok(ArchiveThread { shared, handle: Some(handle) })
}

/// None: tests archive by hand.
pub(super) fn not_started(shared: Arc<Shared>) -> ArchiveThread {
    ArchiveThread { shared, handle: None }
}

/// Why a day was not written.
#[derive(Debug)]
enum NotArchived {
    /// The store is stopping.
    Stopped,
    /// The archive's disk, or the store.
    Trouble(String),
}

impl From<StoreError> for NotArchived {
    fn from(e: StoreError) -> Self {
        NotArchived::Trouble(e.to_string())
    }
}

impl Archiver {
    fn run(self) {
        let state = &self.shared.archive;
        while !state.stop.load(Ordering::Acquire) {
            self.round();
            state.wait(LOOK_EVERY);
        }
    }

    /// Writes every day that is to be written; answers how many files that were.
    pub(super) fn round(&self) -> usize {
        let state = &self.shared.archive;
        let Some(to) = lock(&state.to).clone() else { return 0 };
        let zone = TimeZone::get(&to.time_zone).unwrap_or(TimeZone::UTC);
        let mut files = 0;
        for kind in Kind::ALL {
            loop {
                match self.next_day(kind, &to, &zone) {
                    Ok(true) => files += 1,
                    Ok(false) => break,
                    Err(NotArchived::Stopped) => return files,
                    Err(NotArchived::Trouble(why)) => {
                        self.say(&to, &why);
                        return files;
                    }
                }
            }
        }
        *lock(&state.trouble) = None;
        files
    }

    /// Told once for as long as it stays the same.
    fn say(&self, to: &Archive, why: &str) {
        let words = format!("rows of the logs are not archived, and not pruned: {}: {why}", to.dir.display());
        let mut trouble = lock(&self.shared.archive.trouble);
        if trouble.as_deref() != Some(words.as_str()) {
            log::error!("act=archive error=\"{words}\"");
            *trouble = Some(words);
        }
    }

    /// Writes the first day of a log that is ripe; false: none is.
    fn next_day(&self, kind: Kind, to: &Archive, zone: &TimeZone) -> Result<bool, NotArchived> {
        let (now, periods) = (self.clock.now(), self.shared.retention());
        let floor = match kind {
            Kind::Deliveries => log_floor(now, &periods),
            Kind::Audit => now.minus(periods.audit_log),
        };
        let mark = self.shared.archive.marks[kind as usize].load(Ordering::Acquire);
        let Some(first) = self.first_behind(kind, mark)? else { return Ok(false) };
        let day = Day::of(number_time(first), zone)
            .ok_or_else(|| NotArchived::Trouble(format!("entry {first} is of no day of a calendar")))?;
        if day.end > floor.plus(AHEAD) || day.end > now {
            return Ok(false);
        }
        // A part of the day is in another file: it was begun in another zone.
        let is_part = mark > first_number_of(day.start);
        let from = mark.max(first_number_of(day.start));
        let name = match (is_part, Day::clock_of(number_time(mark), zone)) {
            (true, Some(clock)) => format!("{}-{}T{clock}.csv.gz", kind.word(), day.name),
            _ => format!("{}-{}.csv.gz", kind.word(), day.name),
        };
        let end = first_number_of(day.end);
        let rows = self.write_file(kind, to, zone, &name, from..end)?;
        self.commit_mark(kind, end)?;
        log::info!("act=archive file={} rows={rows}", to.dir.join(name).display());
        Ok(true)
    }

    fn first_behind(&self, kind: Kind, mark: u64) -> Result<Option<u64>, StoreError> {
        let txn = self.db.begin_read().reading()?;
        let table = match kind {
            Kind::Deliveries => txn.open_table(tables::EVENTS).reading()?,
            Kind::Audit => txn.open_table(tables::AUDIT).reading()?,
        };
        let first = table.range(mark..).reading()?.next().transpose().reading()?;
        Ok(first.map(|(number, _)| number.value()))
    }

    fn commit_mark(&self, kind: Kind, mark: u64) -> Result<(), NotArchived> {
        let (give, wait) = answer();
        smol::block_on(async {
            let op = Op::Archived(kind, mark, give);
            let line = op.line();
            if !self.inbox.put(line, op).await {
                return Err(NotArchived::Stopped);
            }
            wait.await.unwrap_or(Err(StoreError::Closed)).map_err(|_| NotArchived::Stopped)
        })
    }

    /// Writes a whole file, durably; answers its rows.
    fn write_file(
        &self,
        kind: Kind,
        to: &Archive,
        zone: &TimeZone,
        name: &str,
        numbers: std::ops::Range<u64>,
    ) -> Result<u64, NotArchived> {
        let (path, unfinished) = (to.dir.join(name), to.dir.join(format!("{name}{UNFINISHED}")));
        let io = |e: io::Error| NotArchived::Trouble(format!("{name}: {e}"));
        if !self.disk.exists(&to.dir).map_err(io)? {
            let fix = "it is missing: mount it, or make it (0700, of the daemon's user)";
            return Err(NotArchived::Trouble(fix.to_owned()));
        }
        if self.disk.exists(&unfinished).map_err(io)? {
            self.disk.unlink(&unfinished).map_err(io)?;
        }
        let file = self.disk.open(&unfinished, OpenHow::CreateNew).map_err(io)?;
        let written = self.write_rows(kind, zone, name, file.clone(), numbers).and_then(|rows| {
            file.sync().map_err(io)?;
            let path = self.name_for(path, rows).map_err(io)?;
            self.disk.rename(&unfinished, &path).map_err(io)?;
            self.disk.sync_dir(&to.dir).map_err(io)?;
            Ok(rows)
        });
        if written.is_err() {
            // The room is needed, and the rows are still in the store.
            let _ = self.disk.unlink(&unfinished);
        }
        written
    }

    /// The name under which a file of so many rows is kept. One that is there was written before a stop, and is replaced by
    /// the same rows; but where it holds more of them (a store that was restored from an old backup), or cannot be read, it stays.
    fn name_for(&self, path: PathBuf, rows: u64) -> io::Result<PathBuf> {
        let mut wanted = path.clone();
        for n in 2..SAME_NAME_MAX {
            if !self.disk.exists(&wanted)? || self.rows_in(&wanted).is_ok_and(|there| there <= rows) {
                return Ok(wanted);
            }
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            wanted = path.with_file_name(name.replacen(".csv", &format!(".{n}.csv"), 1));
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "there are too many files of this name"))
    }

    fn rows_in(&self, path: &Path) -> io::Result<u64> {
        let file = self.disk.open(path, OpenHow::Read)?;
        let end = file.len()?;
        let octets = BufReader::with_capacity(BLOCK, FromStart { file, at: 0, end });
        let mut rows = csv::Reader::from_reader(GzDecoder::new(octets));
        let (mut row, mut count) = (csv::ByteRecord::new(), 0);
        while rows.read_byte_record(&mut row)? {
            count += 1;
        }
        Ok(count)
    }

    fn write_rows(
        &self,
        kind: Kind,
        zone: &TimeZone,
        name: &str,
        file: Arc<dyn DiskFile>,
        numbers: std::ops::Range<u64>,
    ) -> Result<u64, NotArchived> {
        let io = |e: io::Error| NotArchived::Trouble(format!("{name}: {e}"));
        let head: &[&str] = match kind {
            Kind::Deliveries => &LOG_COLUMNS,
            Kind::Audit => &AUDIT_COLUMNS,
        };
        let out = BufWriter::with_capacity(BLOCK, AtEnd { file, at: 0 });
        let mut sheet = Sheet::new(GzEncoder::new(out, Compression::fast()), head).map_err(io)?;
        let (mut from, mut rows) = (numbers.start, 0);
        loop {
            if self.shared.archive.stop.load(Ordering::Acquire) {
                return Err(NotArchived::Stopped);
            }
            let mut wrote = Ok(());
            let mut write = |cells: Vec<String>| {
                rows += 1;
                if wrote.is_ok() {
                    wrote = sheet.row(cells);
                }
            };
            let next = match kind {
                Kind::Deliveries => self.some_events(zone, from..numbers.end, &mut write)?,
                Kind::Audit => self.some_entries(zone, from..numbers.end, &mut write)?,
            };
            wrote.map_err(io)?;
            match next {
                Some(next) => {
                    from = next;
                    std::thread::sleep(BREATH);
                }
                None => break,
            }
        }
        let mut out = sheet.finish().and_then(GzEncoder::finish).map_err(io)?;
        out.flush().map_err(io)?;
        Ok(rows)
    }

    /// Some events, from one snapshot; answers where to go on.
    fn some_events(
        &self,
        zone: &TimeZone,
        numbers: std::ops::Range<u64>,
        write: &mut impl FnMut(Vec<String>),
    ) -> Result<Option<u64>, StoreError> {
        // What is about to be pruned is past what readers see: its links are, too.
        let periods =
            RetentionPeriods { delivery_log: Duration::MAX, error_log: Duration::MAX, ..self.shared.retention() };
        let mut log = LogReader::new(&self.db, self.shared.unclean, &self.clock, periods)?;
        for (seen, entry) in log.events.range(numbers).reading()?.enumerate() {
            let (number, row) = entry.reading()?;
            let number = number.value();
            if seen >= ROWS_A_SNAPSHOT {
                return Ok(Some(number));
            }
            match log.row_of(number, row.value()) {
                Ok(Some(row)) => write(log_cells(&row, zone)),
                // The rest of it is damaged: what is known is kept.
                Ok(None) | Err(StoreError::Damaged(_)) => {
                    let head = EventHead::read(row.value()).ok();
                    let (status, id) =
                        head.map_or(("damaged", String::new()), |h| (h.kind.word(), h.message.to_string()));
                    log::error!("act=archive event={number} damaged, archived without its message; run hikyaku verify");
                    write(damaged_cells(number, number_time(number), status, &id, zone));
                }
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    fn some_entries(
        &self,
        zone: &TimeZone,
        numbers: std::ops::Range<u64>,
        write: &mut impl FnMut(Vec<String>),
    ) -> Result<Option<u64>, StoreError> {
        let txn = self.db.begin_read().reading()?;
        let table = txn.open_table(tables::AUDIT).reading()?;
        for (seen, entry) in table.range(numbers).reading()?.enumerate() {
            let (number, row) = entry.reading()?;
            let number = number.value();
            if seen >= ROWS_A_SNAPSHOT {
                return Ok(Some(number));
            }
            match audit::read_row(row.value()) {
                Ok(entry) => write(audit_cells(&entry, zone)),
                Err(e) => {
                    let why = bad_row(format_args!("operation log {number}"), e).to_string();
                    let entry = super::AuditEntry {
                        at: number_time(number),
                        who: "hikyaku".to_owned(),
                        from: String::new(),
                        act: "damaged".to_owned(),
                        object: number.to_string(),
                        detail: why,
                    };
                    write(audit_cells(&entry, zone));
                }
            }
        }
        Ok(None)
    }
}

/// A day of a zone.
struct Day {
    name: String,
    start: Timestamp,
    end: Timestamp,
}

impl Day {
    fn of(at: Timestamp, zone: &TimeZone) -> Option<Day> {
        let at = jiff::Timestamp::from_millisecond(i64::try_from(at.as_millis()).ok()?).ok()?;
        let day = at.to_zoned(zone.clone());
        let start = day.start_of_day().ok()?;
        let end = day.tomorrow().ok()?.start_of_day().ok()?;
        let millis = |at: jiff::Zoned| u64::try_from(at.timestamp().as_millisecond()).ok();
        Some(Day {
            name: day.date().to_string(),
            start: Timestamp::from_millis(millis(start).unwrap_or(0)),
            end: Timestamp::from_millis(millis(end)?),
        })
    }

    /// The time of day, for a name: `150000`.
    fn clock_of(at: Timestamp, zone: &TimeZone) -> Option<String> {
        let at = jiff::Timestamp::from_millisecond(i64::try_from(at.as_millis()).ok()?).ok()?;
        Some(at.to_zoned(zone.clone()).strftime("%H%M%S").to_string())
    }
}

/// Reads from its beginning.
struct FromStart {
    file: Arc<dyn DiskFile>,
    at: u64,
    end: u64,
}

impl Read for FromStart {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        let n = octets.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        self.file.read_exact_at(&mut octets[..n], self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

/// Writes behind what was written.
struct AtEnd {
    file: Arc<dyn DiskFile>,
    at: u64,
}

impl Write for AtEnd {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.file.write_all_at(&[IoSlice::new(octets)], self.at)?;
        self.at += octets.len() as u64;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
