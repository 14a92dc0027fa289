//! Opening the store: lock, schema, marks, and a tidy-up that looks at files, never at all messages.
//!
//! In: the options.  Out: a store whose writer runs.
//! Always: a data directory with bodies and no database is damage, not a first start; a segment of an earlier process is cut
//! to its used length and never appended to; files that no row names are deleted; a million queued recipients cost nothing,
//! since totals and live counts are rows.

use std::{collections::HashSet, io, sync::Arc, time::Duration};

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::{
    Inner, Store,
    archive::{self, Archive, ArchiveState, Archiver},
    batch::{Books, Unclean},
    disk::{Ballast, Disk, RealDisk},
    fault::{Fatal, Reading, bad_row},
    inbox::{COMPANY_WAIT, Inbox},
    largest::{LOOKED_AT_MAX, lanes_len},
    memos, migrate, redo,
    retention::Housework,
    rows::{self, MessageHead},
    segments::{Appender, SEGMENT_OCTETS, SegmentRow, Segments},
    shared::Shared,
    sums::Sums,
    tables::{self, META_CLEAN, META_MEMOS, META_TOTALS, META_UNCLEAN, Tables, message_key},
    types::{BodyPlace, StoreError, StoreOptions},
    user_minutes,
    writer::{self, IDLE_TICK, Writer},
};
use crate::{
    clock::Timestamp,
    ids::{IdSource, MessageId},
};

/// A store that was just opened.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// The last process stopped cleanly: nothing was in flight.
    pub clean: bool,
}

/// What tests and measurements change about a store.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// Octets of a segment file.
    pub segment_octets: u64,
    /// File jobs run where they arise instead of on the helper thread: a simulated disk then sees one order.
    pub jobs_inline: bool,
    /// How long verdicts alone wait for company.
    pub company_wait: Duration,
    /// How often the idle writer looks for housework.
    pub idle_tick: Duration,
    /// Recipients that one transaction of a migration moves.
    pub migration_step: usize,
    /// Octets of the redo log.
    pub redo_octets: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            disk: Arc::new(RealDisk),
            segment_octets: SEGMENT_OCTETS,
            jobs_inline: false,
            company_wait: COMPANY_WAIT,
            idle_tick: IDLE_TICK,
            migration_step: migrate::STEP,
            redo_octets: redo::REDO_OCTETS,
        }
    }
}

const BALLAST_FILE: &str = "ballast";

/// Opens the store and starts its writer.
pub(super) fn open(options: StoreOptions, to: Option<Archive>, tuning: Tuning) -> Result<Opened, StoreError> {
    let StoreOptions { data_dir, clock, disk_free_min, retention } = options;
    let disk = tuning.disk;
    let read = |e: io::Error| StoreError::Read { what: data_dir.display().to_string(), cause: e.to_string() };

    let database = data_dir.join(tables::DATABASE_FILE);
    if !disk.exists(&database).map_err(read)? {
        if !Segments::is_bare(&*disk, &data_dir).map_err(read)? {
            return Err(tables::damaged(&database, "it is missing, although there are bodies beside it"));
        }
        if disk.exists(&redo::path_of(&database)).map_err(read)? {
            return Err(tables::damaged(&database, "it is missing, although its redo log is there"));
        }
    }
    let ballast = Arc::new(Ballast::new(disk.clone(), data_dir.join(BALLAST_FILE)));
    let opened = tables::open_database(&*disk, &data_dir, Some(ballast.clone()), tuning.redo_octets)?;
    migrate::run(&opened.db, tuning.migration_step)?;
    let segments = Arc::new(Segments::open(disk.clone(), &data_dir, tuning.segment_octets).map_err(read)?);

    let db = Arc::new(opened.db);
    let now = clock.now();
    let (books, clean) = start_marks(&db, now, opened.fresh)?;
    let next_segment = tidy_segments(&segments, &books)?;
    tidy_bodies(&db, &segments)?;

    if !tuning.jobs_inline {
        segments.start_helper().map_err(read)?;
    }
    let ids = IdSource::after(MessageId::from_u64(books.last_id));
    let archive = ArchiveState::new(to, archived(&db)?);
    let mut shared =
        Shared::new(disk.clone(), data_dir.clone(), opened.file, ballast, &books, retention, disk_free_min);
    shared.archive = archive;
    let shared = Arc::new(shared);
    shared.look_at_disk(&segments);
    if !tuning.jobs_inline && lanes_len(&db)? > LOOKED_AT_MAX {
        shared.largest.begin(&db, &clock);
    }
    let inbox = Arc::new(Inbox::new(tuning.company_wait));
    let writer = Writer {
        db: db.clone(),
        pages: opened.pages,
        clock: clock.clone(),
        inbox: inbox.clone(),
        shared: shared.clone(),
        segments: segments.clone(),
        appender: Appender::new(segments.clone(), next_segment),
        books,
        housework: Housework::default(),
        idle_tick: tuning.idle_tick,
    };
    let thread = writer::start(writer).map_err(read)?;
    let archiver =
        Archiver { db: db.clone(), disk, clock: clock.clone(), inbox: inbox.clone(), shared: shared.clone() };
    let archive_thread = match tuning.jobs_inline {
        true => archive::not_started(shared.clone()),
        false => archive::start(archiver).map_err(read)?,
    };
    Ok(Opened {
        store: Store(Arc::new(Inner {
            _archive: archive_thread,
            ids,
            clock,
            db,
            inbox,
            shared,
            segments,
            thread,
            turn: Default::default(),
        })),
        clean,
    })
}

/// Up to which numbers the logs are archived. A damaged row is none: days are written anew.
fn archived(db: &Database) -> Result<[u64; 2], StoreError> {
    let txn = db.begin_read().reading()?;
    let meta = txn.open_table(tables::META).reading()?;
    let row = meta.get(tables::META_ARCHIVE).reading()?;
    Ok(row.and_then(|row| rows::read_numbers(row.value()).ok()).unwrap_or_default())
}

/// Reads totals and marks, and marks the store as in use, in one transaction.
fn start_marks(db: &Database, now: Timestamp, fresh: bool) -> Result<(Books, bool), StoreError> {
    let mut txn = db.begin_write().fatal()?;
    txn.set_quick_repair(true);
    let mut books = Books::default();
    let clean;
    {
        let mut t = Tables::open(&txn).fatal()?;
        read_books(&t, &mut books)?;
        let mark = t.meta.get(META_CLEAN).fatal()?.map(|row| rows::read_numbers::<1>(row.value()));
        user_minutes::mark(&mut t, now, fresh)?;
        clean = fresh || matches!(mark, Some(Ok([1])));
        t.meta.insert(META_CLEAN, rows::write_numbers(&[0]).as_slice()).fatal()?;
        if !clean {
            let unclean = Unclean { number: books.last_number, at: now };
            let row = rows::write_numbers(&[unclean.number, unclean.at.as_millis()]);
            t.meta.insert(META_UNCLEAN, row.as_slice()).fatal()?;
            books.unclean = Some(unclean);
        }
        let empty: Vec<u64> = books.segments.iter().filter(|(_, r)| r.live == 0).map(|(n, _)| *n).collect();
        for number in empty {
            t.segments.remove(number).fatal()?;
            books.segments.remove(&number);
        }
        books.sums.store(&mut t.meta)?;
    }
    txn.commit().fatal()?;
    Ok((books, clean))
}

/// Reads totals, marks and segments into the books.
pub(super) fn read_books(t: &Tables<'_>, books: &mut Books) -> Result<(), StoreError> {
    if let Some(row) = t.meta.get(META_TOTALS).fatal()? {
        books.read_totals(row.value()).map_err(|e| bad_row(format_args!("totals"), e))?;
    }
    if let Some(row) = t.meta.get(META_UNCLEAN).fatal()? {
        let [number, at] = rows::read_numbers(row.value()).map_err(|e| bad_row(format_args!("the last stop"), e))?;
        books.unclean = Some(Unclean { number, at: Timestamp::from_millis(at) });
    }
    if let Some(row) = t.meta.get(META_MEMOS).fatal()? {
        books.memos = memos::read_counts(row.value()).map_err(|e| bad_row(format_args!("the counts of memos"), e))?;
    }
    books.leads = t.leads.len().fatal()?;
    books.sums = Sums::load(t, books.waiting)?;
    for entry in t.segments.iter().fatal()? {
        let (number, row) = entry.fatal()?;
        let number = number.value();
        let [live, live_octets, used] =
            rows::read_numbers(row.value()).map_err(|e| bad_row(format_args!("segment {number}"), e))?;
        books.segments.insert(number, SegmentRow { live, live_octets, used });
    }
    Ok(())
}

/// Deletes segments that no row names, cuts the others to their used length; answers the next free number.
fn tidy_segments(segments: &Segments, books: &Books) -> Result<u64, StoreError> {
    let read = |e: io::Error| StoreError::Read { what: "segments".to_owned(), cause: e.to_string() };
    let on_disk: HashSet<u64> = segments.segments_on_disk().map_err(read)?.into_iter().collect();
    for number in &on_disk {
        match books.segments.get(number) {
            None => segments.unlink_segment(*number),
            Some(row) => {
                let file = segments.file(*number).map_err(read)?;
                if file.len().map_err(read)? > row.used {
                    file.set_len(row.used).map_err(read)?;
                }
            }
        }
    }
    for (number, row) in &books.segments {
        if !on_disk.contains(number) {
            // Its recipients will be held when they are tried; the rest of the queue runs.
            log::error!(
                "file={} missing: the bodies of {} messages are lost; run hikyaku verify, restore the file from a backup",
                segments.segment_path(*number).display(),
                row.live
            );
        }
    }
    let last = on_disk.iter().chain(books.segments.keys()).max();
    Ok(last.map_or(1, |n| n + 1))
}

/// Deletes large bodies that no row names.
fn tidy_bodies(db: &Database, segments: &Segments) -> Result<(), StoreError> {
    let read = |e: io::Error| StoreError::Read { what: "bodies".to_owned(), cause: e.to_string() };
    let on_disk = segments.bodies_on_disk().map_err(read)?;
    if on_disk.is_empty() {
        return Ok(());
    }
    let txn = db.begin_read().reading()?;
    let mail = txn.open_table(tables::MAIL).reading()?;
    for id in on_disk {
        let named = match mail.get(&message_key(id)).reading()? {
            None => false,
            // A row that cannot be read might name it: it stays.
            Some(row) => MessageHead::read(row.value()).map_or(true, |head| head.place == BodyPlace::File),
        };
        if !named {
            segments.unlink_body(id);
        }
    }
    Ok(())
}
