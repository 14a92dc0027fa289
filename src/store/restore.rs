//! Unpacking a backup into an empty data directory, with every waiting recipient on hold.
//!
//! In: a tar that `backup` wrote.  Out: a store that `open` takes.
//! Always: nothing is overwritten; only the names that a backup has are taken, so that a forged tar reaches no other file;
//! the database gets its name last, so that an interrupted restore leaves no half store.

use std::{
    io::{self, IoSlice, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{Database, ReadableDatabase};

use super::{
    batch::{Books, Unclean, Work},
    disk::{Disk, OpenHow},
    fault::{Fatal, Reading},
    migrate,
    open::read_books,
    segments::{BODIES_DIR, SEGMENT_SUFFIX, SEGMENTS_DIR, Segments},
    tables::{self, DATABASE_FILE, META_CLEAN, Tables, read_due_key},
    types::{QueueVerb, StoreError},
    verdicts,
};
use crate::{
    clock::{Clock, Timestamp},
    ids::{MessageId, RecipientKey},
};

/// The database under this name until it is whole and everybody is on hold.
const TEMPORARY_FILE: &str = "restore.redb.tmp";
/// Octets copied at once.
const BLOCK: usize = 256 * 1024;
/// Recipients put on hold in one transaction.
const HOLD_STEP: usize = 5000;

/// Unpacks; answers how many recipients are on hold.
pub(super) fn run(disk: Arc<dyn Disk>, data_dir: &Path, clock: &Clock, from: &mut dyn Read) -> Result<u64, StoreError> {
    let trouble = |e: io::Error| StoreError::Read { what: "restoring".to_owned(), cause: e.to_string() };
    let database = data_dir.join(DATABASE_FILE);
    let log = super::redo::path_of(&database);
    let there = disk.exists(&database).map_err(trouble)? || disk.exists(&log).map_err(trouble)?;
    if there || !Segments::is_bare(&*disk, data_dir).map_err(trouble)? {
        let dir = data_dir.display();
        return Err(StoreError::InUse(format!("{dir} holds a store already: move it away first; nothing was changed")));
    }
    let temporary = data_dir.join(TEMPORARY_FILE);
    if disk.exists(&temporary).map_err(trouble)? {
        disk.unlink(&temporary).map_err(trouble)?;
    }
    drop(Segments::open(disk.clone(), data_dir, super::segments::SEGMENT_OCTETS).map_err(trouble)?);
    unpack(&*disk, data_dir, from).map_err(|e| match e.kind() {
        io::ErrorKind::InvalidData => StoreError::Damaged(format!("the backup cannot be read: {e}")),
        _ => trouble(e),
    })?;
    if !disk.exists(&temporary).map_err(trouble)? {
        return Err(StoreError::Damaged(format!("the backup holds no {DATABASE_FILE}")));
    }
    let (db, file) = tables::open_existing(&*disk, &temporary)?;
    migrate::run(&db, migrate::STEP)?;
    let held = hold_everybody(&db, clock)?;
    drop(db);
    file.sync().map_err(trouble)?;
    drop(file);
    disk.rename(&temporary, &database).map_err(trouble)?;
    disk.sync_dir(data_dir).map_err(trouble)?;
    Ok(held)
}

fn unpack(disk: &dyn Disk, data_dir: &Path, from: &mut dyn Read) -> io::Result<()> {
    let mut tar = tar::Archive::new(from);
    for entry in tar.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        let path = target(data_dir, &name).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{} is no file of a backup", name.display()))
        })?;
        let file = disk.open(&path, OpenHow::CreateNew)?;
        let mut block = vec![0; BLOCK];
        let mut at = 0;
        loop {
            let n = entry.read(&mut block)?;
            if n == 0 {
                break;
            }
            file.write_all_at(&[IoSlice::new(&block[..n])], at)?;
            at += n as u64;
        }
        file.sync()?;
    }
    disk.sync_dir(&data_dir.join(SEGMENTS_DIR))?;
    disk.sync_dir(&data_dir.join(BODIES_DIR))
}

/// Where a file of a backup goes; `None` for any other name.
fn target(data_dir: &Path, name: &Path) -> Option<PathBuf> {
    let name = name.to_str()?;
    if name == DATABASE_FILE {
        return Some(data_dir.join(TEMPORARY_FILE));
    }
    let (dir, file) = name.split_once('/')?;
    let is_segment = || {
        let number = file.strip_suffix(SEGMENT_SUFFIX)?;
        (number.len() == 16 && number.bytes().all(|b| b.is_ascii_hexdigit())).then_some(())
    };
    match dir {
        SEGMENTS_DIR if is_segment().is_some() => Some(data_dir.join(SEGMENTS_DIR).join(file)),
        BODIES_DIR if file.parse::<MessageId>().is_ok() => Some(data_dir.join(BODIES_DIR).join(file)),
        _ => None,
    }
}

fn hold_everybody(db: &Database, clock: &Clock) -> Result<u64, StoreError> {
    let mut books = Books::default();
    let mut held = 0;
    let mut start: Vec<u8> = Vec::new();
    loop {
        let keys: Vec<(Vec<u8>, RecipientKey)> = {
            let txn = db.begin_read().reading()?;
            let due = txn.open_table(tables::DUE).reading()?;
            let mut keys = Vec::new();
            for entry in due.range(start.as_slice()..).reading()?.take(HOLD_STEP) {
                let (key, _) = entry.reading()?;
                keys.extend(read_due_key(key.value()).map(|k| (key.value().to_vec(), k.key)));
            }
            keys
        };
        let txn = db.begin_write().fatal()?;
        {
            let tables = Tables::open(&txn).fatal()?;
            read_books(&tables, &mut books)?;
            // Everybody who waits may have been sent since the backup was made.
            books.unclean = Some(Unclean { number: u64::MAX, at: Timestamp::MAX });
            let mut work = Work::new(tables, &mut books, clock.now(), false, None);
            for (_, key) in &keys {
                held += u64::from(verdicts::act(&mut work, QueueVerb::Hold, *key, "restore")?);
            }
            if keys.is_empty() {
                let clean = super::rows::write_numbers(&[0]);
                work.t.meta.insert(META_CLEAN, clean.as_slice()).fatal()?;
            }
            work.finish(None)?;
        }
        txn.commit().fatal()?;
        match keys.into_iter().next_back() {
            // Held rows move to the end of their lane and are met again there: they are passed over.
            Some((last, _)) => {
                start = last;
                start.push(0);
            }
            None => return Ok(held),
        }
    }
}
