//! The database's file as redb wants it, with a redo log in front of it.
//!
//! In: redb's reads, writes and syncs.  Out: the file.
//! Always: after the first failed write or sync nothing is touched again (the kernel may have dropped the pages); what redb
//! was told is synced as a commit is durable. With a log, a commit's blocks wait in RAM, are logged as one record when redb
//! syncs the header that makes the commit the current one, and go to their places later, many commits at once. Of redb's two
//! syncs a commit the first only asks for order, and one record is all or nothing: it costs nothing. RAM is bounded by the
//! log: what does not fit is put in place first.
//! redb's readers write, too: short of cache, they put out pages that wait in it. So whatever is taken off the fresh blocks
//! is exactly what was written or logged, never what came meanwhile.
//! Without a log (a backup's copy, a restore, `verify`), everything goes to the file as it comes.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, IoSlice},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    disk::{Ballast, DiskFile, is_full},
    redo::{BLOCK, Block, Redo, read_block},
};

/// Where redb's header says which of its two commit slots is the current one (format 3, pinned in `Cargo.toml`): a sync that
/// changes it ends a commit. The tests of this room count syncs and cut the power, and notice if this ceases to be true.
const PRIMARY_AT: usize = 9;
const PRIMARY_BIT: u8 = 1;

/// The database file; clones share it.
#[derive(Clone)]
pub(super) struct DatabaseFile(Arc<Inner>);

struct Inner {
    file: Arc<dyn DiskFile>,
    ballast: Option<Arc<Ballast>>,
    broken: AtomicBool,
    log: Option<Mutex<Redo>>,
    /// Fresh blocks that one record can hold.
    fresh_max: usize,
    pages: RwLock<Pages>,
}

/// Blocks that are not in their places yet.
#[derive(Default)]
struct Pages {
    /// Written by redb since the last record.
    fresh: BTreeMap<u64, Block>,
    /// In a record, hence durable.
    logged: BTreeMap<u64, Block>,
    /// Fresh blocks went to their places for want of room, and are not synced.
    spilled: bool,
    /// The current slot of the last durable header.
    primary: u8,
}

impl Pages {
    fn get(&self, number: u64) -> Option<&Block> {
        self.fresh.get(&number).or_else(|| self.logged.get(&number))
    }

    /// Takes these images off the fresh blocks; a block that was written again meanwhile stays.
    fn no_longer_fresh(&mut self, images: &[(u64, Block)]) {
        for (number, image) in images {
            if self.fresh.get(number).is_some_and(|block| Arc::ptr_eq(block, image)) {
                self.fresh.remove(number);
            }
        }
    }
}

impl DatabaseFile {
    /// The file, without a log.
    pub(super) fn new(file: Arc<dyn DiskFile>, ballast: Option<Arc<Ballast>>) -> Self {
        let broken = AtomicBool::new(false);
        DatabaseFile(Arc::new(Inner { file, ballast, broken, log: None, fresh_max: 0, pages: RwLock::default() }))
    }

    /// The file with its log, which was replayed.
    pub(super) fn with_log(file: Arc<dyn DiskFile>, ballast: Option<Arc<Ballast>>, log: Redo) -> io::Result<Self> {
        let pages = Pages { primary: primary_of(&read_block(&*file, 0)?), ..Pages::default() };
        let (broken, fresh_max, log) = (AtomicBool::new(false), log.blocks_max(), Some(Mutex::new(log)));
        Ok(DatabaseFile(Arc::new(Inner { file, ballast, broken, log, fresh_max, pages: RwLock::new(pages) })))
    }

    /// Puts logged blocks in place when there are many: for the writer, when nobody waits.
    pub(super) fn tidy(&self) -> io::Result<()> {
        let this = &self.0;
        match &this.log {
            Some(log) if lock(log).is_half_full() && !this.is_broken() => {
                this.fence(|| this.put_in_place(&mut lock(log)))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn primary_of(header: &[u8]) -> u8 {
    header[PRIMARY_AT] & PRIMARY_BIT
}

fn lock(log: &Mutex<Redo>) -> MutexGuard<'_, Redo> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

fn earlier_failure() -> io::Error {
    io::Error::other("an earlier write or sync failed")
}

impl Inner {
    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    fn pages(&self) -> RwLockReadGuard<'_, Pages> {
        self.pages.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_pages(&self) -> RwLockWriteGuard<'_, Pages> {
        self.pages.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs something after whose failure nothing is touched again.
    fn fence<T>(&self, what: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if self.is_broken() {
            return Err(earlier_failure());
        }
        what().inspect_err(|_| self.broken.store(true, Ordering::Release))
    }

    /// Runs one change of the file, with the ballast's room if the disk is full.
    fn change(&self, what: impl Fn(&dyn DiskFile) -> io::Result<()>) -> io::Result<()> {
        self.fence(|| match what(&*self.file) {
            Err(e) if is_full(&e) && self.ballast.as_ref().is_some_and(|b| b.free()) => what(&*self.file),
            other => other,
        })
    }

    /// Writes blocks to their places, neighbours together.
    fn write_blocks(&self, blocks: &[(u64, Block)]) -> io::Result<()> {
        for run in blocks.chunk_by(|a, b| a.0 + 1 == b.0) {
            let parts: Vec<IoSlice<'_>> = run.iter().map(|(_, block)| IoSlice::new(block)).collect();
            self.change(|f| f.write_all_at(&parts, run[0].0 * BLOCK as u64))?;
        }
        Ok(())
    }

    /// Writes what is logged to its places, makes it durable there, and begins the log anew.
    fn put_in_place(&self, log: &mut Redo) -> io::Result<()> {
        if log.is_empty() {
            return Ok(());
        }
        // Whoever has the log changes them, and readers find them here until they are in place.
        let logged: Vec<(u64, Block)> = self.pages().logged.iter().map(|(n, b)| (*n, b.clone())).collect();
        self.write_blocks(&logged)?;
        self.file.sync()?;
        match logged.first() {
            Some((0, header)) => log.begin(header)?,
            _ => log.begin(&read_block(&*self.file, 0)?)?,
        }
        self.change_pages().logged.clear();
        Ok(())
    }

    /// Too much for a record: all but the header goes to its places, where redb's current state has nothing.
    fn spill(&self, log: &mut Redo) -> io::Result<()> {
        self.put_in_place(log)?;
        let fresh: Vec<(u64, Block)> =
            self.pages().fresh.iter().filter(|(n, _)| **n != 0).map(|(n, b)| (*n, b.clone())).collect();
        self.write_blocks(&fresh)?;
        let mut pages = self.change_pages();
        pages.no_longer_fresh(&fresh);
        pages.spilled = true;
        Ok(())
    }

    /// Logs what is fresh.
    fn make_durable(&self, log: &mut Redo) -> io::Result<()> {
        let (fresh, spilled) = {
            let pages = self.pages();
            (pages.fresh.iter().map(|(n, b)| (*n, b.clone())).collect::<Vec<_>>(), pages.spilled)
        };
        if fresh.is_empty() && !spilled {
            return Ok(());
        }
        if spilled {
            self.file.sync()?;
        }
        if !log.has_room(fresh.len()) {
            self.put_in_place(log)?;
        }
        log.append(self.file.len()?, &fresh)?;
        let mut pages = self.change_pages();
        pages.spilled = false;
        if let Some((0, header)) = fresh.first() {
            pages.primary = primary_of(header);
        }
        pages.no_longer_fresh(&fresh);
        pages.logged.extend(fresh);
        Ok(())
    }
}

impl fmt::Debug for DatabaseFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseFile")
    }
}

impl redb::StorageBackend for DatabaseFile {
    fn len(&self) -> io::Result<u64> {
        self.0.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let this = &self.0;
        if this.log.is_none() {
            return this.file.read_exact_at(out, offset);
        }
        // Held to the end: what is taken out of the map meanwhile would be missed here, and was not there before.
        let pages = this.pages();
        let spans = Span::of(offset, out.len());
        if spans.clone().any(|s| pages.get(s.number).is_none()) {
            this.file.read_exact_at(out, offset)?;
        }
        for s in spans {
            if let Some(block) = pages.get(s.number) {
                out[s.at..s.at + s.len].copy_from_slice(&block[s.skip..s.skip + s.len]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        // Blocks on their way to their places would make a shrunk file long again.
        let _log = self.0.log.as_ref().map(lock);
        self.0.change(|f| f.set_len(len))?;
        let mut pages = self.0.change_pages();
        let end = len.div_ceil(BLOCK as u64);
        pages.fresh.retain(|n, _| *n < end);
        pages.logged.retain(|n, _| *n < end);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let this = &self.0;
        let Some(log) = &this.log else {
            // A failed sync is final: it is not tried again, with or without the ballast.
            return this.fence(|| this.file.sync());
        };
        let ends_a_commit = {
            let pages = this.pages();
            pages.fresh.get(&0).is_some_and(|header| primary_of(header) != pages.primary)
        };
        if this.is_broken() {
            return Err(earlier_failure());
        }
        // Anything else only asks that what was written before it comes before what is written after it: so it does.
        if ends_a_commit { this.fence(|| this.make_durable(&mut lock(log))) } else { Ok(()) }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let this = &self.0;
        let Some(log) = &this.log else { return this.change(|f| f.write_all_at(&[IoSlice::new(data)], offset)) };
        if this.is_broken() {
            return Err(earlier_failure());
        }
        let mut pages = this.change_pages();
        for s in Span::of(offset, data.len()) {
            let part = &data[s.at..s.at + s.len];
            let block = if s.len == BLOCK {
                Block::from(part)
            } else {
                let mut block = match pages.get(s.number) {
                    Some(block) => block.to_vec(),
                    None => read_block(&*this.file, s.number)?,
                };
                block[s.skip..s.skip + s.len].copy_from_slice(part);
                Block::from(block)
            };
            pages.fresh.insert(s.number, block);
        }
        let count = pages.fresh.len();
        drop(pages);
        if count > this.fresh_max { this.fence(|| this.spill(&mut lock(log))) } else { Ok(()) }
    }

    fn close(&self) -> io::Result<()> {
        let this = &self.0;
        let Some(log) = &this.log else { return Ok(()) };
        if this.is_broken() {
            return Err(earlier_failure());
        }
        let mut log = lock(log);
        this.fence(|| this.make_durable(&mut log).and_then(|()| this.put_in_place(&mut log)))
    }
}

/// The part of a read or write that falls into one block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    number: u64,
    /// Where it begins in the block.
    skip: usize,
    /// Where it begins in the caller's octets.
    at: usize,
    len: usize,
}

impl Span {
    fn of(offset: u64, len: usize) -> impl Iterator<Item = Span> + Clone {
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= len {
                return None;
            }
            let here = offset + at as u64;
            let skip = usize::try_from(here % BLOCK as u64).unwrap_or(0);
            let span = Span { number: here / BLOCK as u64, skip, at, len: (BLOCK - skip).min(len - at) };
            at += span.len;
            Some(span)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use redb::StorageBackend;

    use super::*;
    use crate::store::{
        disk::{Disk, OpenHow},
        sim::{DIR, SimDisk},
    };

    /// While it is written to, somebody else writes a block of the database, once.
    #[derive(Debug)]
    struct Busy {
        file: Arc<dyn DiskFile>,
        meanwhile: Mutex<Option<(DatabaseFile, u64)>>,
    }

    impl DiskFile for Busy {
        fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
            self.file.read_exact_at(out, offset)
        }
        fn write_all_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
            let meanwhile = self.meanwhile.lock().unwrap().take();
            if let Some((other, number)) = meanwhile {
                // On a thread of its own, as a reader would: it may have to wait for this write's end.
                let reader = other.clone();
                std::thread::spawn(move || reader.write(number * BLOCK as u64, &[7; BLOCK]).unwrap());
                while first_octet(&other, number) != 7 {
                    std::thread::yield_now();
                }
            }
            self.file.write_all_at(parts, offset)
        }
        fn sync(&self) -> io::Result<()> {
            self.file.sync()
        }
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.file.set_len(len)
        }
        fn preallocate(&self, len: u64) -> io::Result<bool> {
            self.file.preallocate(len)
        }
        fn try_lock(&self) -> io::Result<bool> {
            self.file.try_lock()
        }
    }

    /// The file of a database of 64 blocks behind a small log; both tell when they are written to.
    fn busy() -> (DatabaseFile, [Arc<Busy>; 2], SimDisk) {
        let disk = SimDisk::default();
        let path = Path::new(DIR).join("db");
        let busy = |file| Arc::new(Busy { file, meanwhile: Mutex::default() });
        let file = busy(disk.open(&path, OpenHow::CreateNew).unwrap());
        file.set_len(64 * BLOCK as u64).unwrap();
        let db: Arc<dyn DiskFile> = file.clone();
        let redo = Redo::open(&disk, &path, &db, 0).unwrap().unwrap();
        let (redo, log) = redo.behind(busy);
        (DatabaseFile::with_log(db, None, redo).unwrap(), [file, log], disk)
    }

    fn first_octet(db: &DatabaseFile, number: u64) -> u8 {
        let mut out = [0; BLOCK];
        db.read(number * BLOCK as u64, &mut out).unwrap();
        out[0]
    }

    /// The header, with the other slot as the current one: the sync that follows ends a commit.
    fn write_header(db: &DatabaseFile, commit: u8) {
        let mut header = [commit; BLOCK];
        header[PRIMARY_AT] = commit & PRIMARY_BIT;
        db.write(0, &header).unwrap();
    }

    #[test]
    fn what_a_reader_writes_while_blocks_are_spilled_is_not_lost() {
        for number in [40, 3] {
            let (db, [file, _], _disk) = busy();
            *file.meanwhile.lock().unwrap() = Some((db.clone(), number));
            for n in 1..=db.0.fresh_max as u64 + 1 {
                db.write(n * BLOCK as u64, &[1; BLOCK]).unwrap();
            }
            assert!(file.meanwhile.lock().unwrap().is_none(), "nothing was spilled");
            assert_eq!((first_octet(&db, number), first_octet(&db, 1)), (7, 1));
        }
    }

    #[test]
    fn what_a_reader_writes_while_a_commit_is_logged_is_in_the_next_commit() {
        for number in [40, 3] {
            let (db, [_, log], disk) = busy();
            *log.meanwhile.lock().unwrap() = Some((db.clone(), number));
            db.write(3 * BLOCK as u64, &[1; BLOCK]).unwrap();
            write_header(&db, 1);
            db.sync_data().unwrap();
            assert!(log.meanwhile.lock().unwrap().is_none(), "nothing was logged");
            assert_eq!(first_octet(&db, number), 7);
            write_header(&db, 2);
            db.sync_data().unwrap();
            drop(db);
            disk.restart(0);
            let path = Path::new(DIR).join("db");
            let file = disk.open(&path, OpenHow::Write).unwrap();
            crate::store::redo::replay(&disk, &path, &file).unwrap();
            assert_eq!(read_block(&*file, number).unwrap()[0], 7, "after a hard stop");
        }
    }

    #[test]
    fn spans_cover_what_was_asked_for_once() {
        for (offset, len) in [(0, 4096), (0, 320), (4096, 8192), (100, 5000), (4095, 2), (8192, 0)] {
            let spans: Vec<Span> = Span::of(offset, len).collect();
            assert_eq!(spans.iter().map(|s| s.len).sum::<usize>(), len);
            let mut at = 0;
            for s in spans {
                assert_eq!((s.at, s.number * BLOCK as u64 + s.skip as u64), (at, offset + at as u64));
                assert!(s.skip + s.len <= BLOCK);
                at += s.len;
            }
        }
    }
}
