//! A consistent copy while running: a tar of a fresh database and the live bodies.
//!
//! In: the running store.  Out: `hikyaku.redb`, `segments/…`, `bodies/…` as tar entries.
//! Always: one read transaction; unlinking and pruning wait until it is done; live bodies are packed into new segments, and
//! the copied rows name the new places, so that garbage is not copied; a body that cannot be read leaves a hole that
//! `verify` reports, and never stops the backup.

use std::{
    io::{self, Read, Write},
    path::Path,
    sync::Arc,
};

use redb::{Database, Durability, Key, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, Value};

use super::{
    disk::{DiskFile, OpenHow},
    fault::{Reading, bad_row},
    messages::read_whole,
    pages::DatabaseFile,
    rows::{self, MessageHead},
    segments::{RECORD_HEAD, RecordHead, SEGMENT_SUFFIX, SEGMENTS_DIR, SegmentRow, Segments},
    tables::{self, DATABASE_FILE, MailKey, Tables, read_mail_key},
    types::{BackupSummary, BodyPlace, StoreError},
};
use crate::ids::MessageId;

/// The fresh database while it is written.
const TEMPORARY_FILE: &str = "backup.redb.tmp";
/// Rows of one transaction of the copy: bounds its memory.
const ROWS_A_TRANSACTION: usize = 50_000;

/// Where the packed bodies go: segments filled in the order of the messages.
#[derive(Default)]
struct Packing {
    segments: Vec<SegmentRow>,
    octets_max: u64,
}

impl Packing {
    /// The place of the next body of `len` octets; numbers start at 1.
    fn place(&mut self, len: u64) -> BodyPlace {
        let need = RECORD_HEAD as u64 + len;
        if self.segments.last().is_none_or(|s| s.used > 0 && s.used + need > self.octets_max) {
            self.segments.push(SegmentRow::default());
        }
        let segment = self.segments.len() as u64;
        let mut offset = 0;
        if let Some(row) = self.segments.last_mut() {
            offset = row.used;
            *row = SegmentRow { live: row.live + 1, live_octets: row.live_octets + need, used: row.used + need };
        }
        BodyPlace::Segment { segment, offset }
    }
}

/// Writes the tar.
pub(super) fn write(
    db: &Database,
    segments: &Arc<Segments>,
    data_dir: &Path,
    to: &mut dyn Write,
) -> Result<BackupSummary, StoreError> {
    let Some(_hold) = segments.hold_unlinking() else {
        return Err(StoreError::InUse("another backup is being written: wait for it".to_owned()));
    };
    let txn = db.begin_read().reading()?;
    let temporary = data_dir.join(TEMPORARY_FILE);
    let disk = segments.disk();
    let written = |e: io::Error| StoreError::Read {
        what: format!("writing the backup ({})", temporary.display()),
        cause: e.to_string(),
    };
    if disk.exists(&temporary).map_err(written)? {
        disk.unlink(&temporary).map_err(written)?;
    }
    let file = disk.open(&temporary, OpenHow::CreateNew).map_err(written)?;
    let result = copy_rows(&txn, file.clone(), segments.octets())
        .and_then(|packing| write_tar(&txn, segments, &file, &packing, to).map_err(written)?);
    if let Err(e) = disk.unlink(&temporary) {
        log::warn!("file={} not deleted: {e}", temporary.display());
    }
    result
}

// ---- rows ----

fn copy_rows(txn: &ReadTransaction, file: Arc<dyn DiskFile>, octets_max: u64) -> Result<Packing, StoreError> {
    let to = Database::builder().create_with_backend(DatabaseFile::new(file, None)).reading()?;
    tables::make_tables(&to).reading()?;
    let mut packing = Packing { octets_max, ..Packing::default() };
    copy(txn, &to, tables::META, |_, _| Ok(None))?;
    copy(txn, &to, tables::MAIL, |key: &MailKey, row| repack(key, row, &mut packing))?;
    copy(txn, &to, tables::DUE, |_, _| Ok(None))?;
    copy(txn, &to, tables::LANES, |_, _| Ok(None))?;
    copy_plain(txn, &to, tables::LANE_DUE)?;
    copy(txn, &to, tables::EVENTS, |_, _| Ok(None))?;
    copy_plain(txn, &to, tables::BY_RECIPIENT)?;
    copy_plain(txn, &to, tables::BY_MESSAGE_ID)?;
    copy_plain(txn, &to, tables::BY_API_DATA)?;
    copy(txn, &to, tables::NOTICES, |_, _| Ok(None))?;
    copy_plain(txn, &to, tables::KEPT_BODIES)?;
    copy(txn, &to, tables::MINUTES, |_, _| Ok(None))?;
    copy(txn, &to, tables::COUNTS, |_, _| Ok(None))?;
    copy(txn, &to, tables::USER_MINUTES, |_, _| Ok(None))?;
    copy(txn, &to, tables::AUDIT, |_, _| Ok(None))?;
    copy(txn, &to, tables::ACCOUNTS, |_, _| Ok(None))?;
    copy(txn, &to, tables::AGES, |_, _| Ok(None))?;
    copy(txn, &to, tables::MEMOS, |_, _| Ok(None))?;
    copy(txn, &to, tables::PAUSES, |_, _| Ok(None))?;
    copy(txn, &to, tables::LEADS, |_, _| Ok(None))?;
    copy(txn, &to, tables::CONVERSATIONS, |_, _| Ok(None))?;
    let last = to.begin_write().reading()?;
    {
        let mut t = Tables::open(&last).reading()?;
        for (n, row) in packing.segments.iter().enumerate() {
            let numbers = rows::write_numbers(&[row.live, row.live_octets, row.used]);
            t.segments.insert(n as u64 + 1, numbers.as_slice()).reading()?;
        }
    }
    last.commit().reading()?;
    Ok(packing)
}

/// A message row with the place that its body will have in the copy.
fn repack(key: &MailKey, row: &[u8], packing: &mut Packing) -> Result<Option<Vec<u8>>, StoreError> {
    let (id, recipient) = read_mail_key(key);
    if recipient.is_some() {
        return Ok(None);
    }
    let mut head = MessageHead::read(row).map_err(|e| bad_row(format_args!("message {id}"), e))?;
    let BodyPlace::Segment { .. } = head.place else { return Ok(None) };
    head.place = packing.place(head.len);
    let mut row = row.to_vec();
    head.patch(&mut row);
    Ok(Some(row))
}

/// Copies a table of byte rows; `change` may answer another row.
fn copy<K: Key + 'static>(
    txn: &ReadTransaction,
    to: &Database,
    table: TableDefinition<'static, K, &'static [u8]>,
    mut change: impl for<'a> FnMut(K::SelfType<'a>, &[u8]) -> Result<Option<Vec<u8>>, StoreError>,
) -> Result<(), StoreError> {
    let source = txn.open_table(table).reading()?;
    let mut rows = source.iter().reading()?.peekable();
    while rows.peek().is_some() {
        let write = unsynced(to)?;
        {
            let mut target = write.open_table(table).reading()?;
            for entry in rows.by_ref().take(ROWS_A_TRANSACTION) {
                let (key, row) = entry.reading()?;
                match change(key.value(), row.value())? {
                    Some(changed) => target.insert(key.value(), changed.as_slice()).reading()?,
                    None => target.insert(key.value(), row.value()).reading()?,
                };
            }
        }
        write.commit().reading()?;
    }
    Ok(())
}

/// Copies a table as it is.
fn copy_plain<K: Key + 'static, V: Value + 'static>(
    txn: &ReadTransaction,
    to: &Database,
    table: TableDefinition<'static, K, V>,
) -> Result<(), StoreError> {
    let source = txn.open_table(table).reading()?;
    let mut rows = source.iter().reading()?.peekable();
    while rows.peek().is_some() {
        let write = unsynced(to)?;
        {
            let mut target = write.open_table(table).reading()?;
            for entry in rows.by_ref().take(ROWS_A_TRANSACTION) {
                let (key, value) = entry.reading()?;
                target.insert(key.value(), value.value()).reading()?;
            }
        }
        write.commit().reading()?;
    }
    Ok(())
}

/// A transaction of the copy: the last one makes all of them durable.
fn unsynced(to: &Database) -> Result<redb::WriteTransaction, StoreError> {
    let mut write = to.begin_write().reading()?;
    write.set_durability(Durability::None).reading()?;
    Ok(write)
}

// ---- the tar ----

type Written = Result<BackupSummary, StoreError>;

/// The outer error is the tar's, the inner one the store's.
fn write_tar(
    txn: &ReadTransaction,
    segments: &Segments,
    database: &Arc<dyn DiskFile>,
    packing: &Packing,
    to: &mut dyn Write,
) -> io::Result<Written> {
    let mut tar = tar::Builder::new(to);
    let len = database.len()?;
    let mut rows = FileStream { file: database.clone(), at: 0, end: len };
    append(&mut tar, DATABASE_FILE, len, &mut rows)?;

    let table = match txn.open_table(tables::MAIL).reading() {
        Ok(table) => table,
        Err(e) => return Ok(Err(e)),
    };
    let live = || {
        let rows = table.iter().reading()?;
        Ok::<_, StoreError>(rows.filter_map(|entry| {
            let (key, row) = entry.ok()?;
            let (id, recipient) = read_mail_key(key.value());
            let head = MessageHead::read(row.value()).ok().filter(|_| recipient.is_none())?;
            (head.place != BodyPlace::Gone).then_some((id, head))
        }))
    };
    let mut summary = BackupSummary::default();
    let mut packed = match live() {
        Ok(rows) => rows.filter(|(_, head)| head.place != BodyPlace::File),
        Err(e) => return Ok(Err(e)),
    };
    for (n, row) in packing.segments.iter().enumerate() {
        let name = format!("{SEGMENTS_DIR}/{:016x}{SEGMENT_SUFFIX}", n + 1);
        let mut stream = RecordStream { segments, bodies: &mut packed, left: row.live, record: Vec::new(), taken: 0 };
        append(&mut tar, &name, row.used, &mut stream)?;
        summary.messages += row.live;
        summary.octets += row.live_octets - row.live * RECORD_HEAD as u64;
    }
    let large = match live() {
        Ok(rows) => rows.filter(|(_, head)| head.place == BodyPlace::File),
        Err(e) => return Ok(Err(e)),
    };
    for (id, head) in large {
        let end = head.len + RECORD_HEAD as u64;
        let Ok(file) = segments.open_body_file(id) else {
            log::error!("message={id} body missing: not in the backup");
            continue;
        };
        if file.len()? < end {
            log::error!("message={id} body cut short: not in the backup");
            continue;
        }
        let name = format!("{}/{id}", super::segments::BODIES_DIR);
        append(&mut tar, &name, end, &mut FileStream { file, at: 0, end })?;
        summary.messages += 1;
        summary.octets += head.len;
    }
    tar.finish()?;
    Ok(Ok(summary))
}

fn append(tar: &mut tar::Builder<&mut dyn Write>, name: &str, len: u64, from: &mut dyn Read) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name)?;
    header.set_size(len);
    header.set_mode(0o600);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    tar.append(&header, from)
}

/// A file's octets, in order.
struct FileStream {
    file: Arc<dyn DiskFile>,
    at: u64,
    end: u64,
}

impl Read for FileStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = buf.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        self.file.read_exact_at(&mut buf[..n], self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

/// Records of one packed segment, in the order in which [`Packing`] placed them.
struct RecordStream<'a, I> {
    segments: &'a Segments,
    bodies: &'a mut I,
    left: u64,
    record: Vec<u8>,
    taken: usize,
}

impl<I: Iterator<Item = (MessageId, MessageHead)>> RecordStream<'_, I> {
    fn next_record(&mut self) {
        self.record.clear();
        self.taken = 0;
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        let Some((id, head)) = self.bodies.next() else { return };
        match read_whole(self.segments, id, head.place, head.len) {
            Ok(body) => {
                self.record.extend_from_slice(&RecordHead::of(id, &body).bytes());
                self.record.extend_from_slice(&body);
            }
            Err(e) => {
                log::error!("message={id} body not in the backup: {e}");
                // A hole of the same size: what follows keeps its place.
                let size = usize::try_from(head.len).unwrap_or(0) + RECORD_HEAD;
                self.record.resize(size, 0);
            }
        }
    }
}

impl<I: Iterator<Item = (MessageId, MessageHead)>> Read for RecordStream<'_, I> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.record.len() {
            self.next_record();
        }
        let n = buf.len().min(self.record.len() - self.taken);
        buf[..n].copy_from_slice(&self.record[self.taken..self.taken + n]);
        self.taken += n;
        Ok(n)
    }
}
