//! The redo log: what a commit changes in the database's file, in one record that is written and synced as a whole.
//!
//! In: blocks of the database's file.  Out: records; after a hard stop, the blocks again.
//! Always: a record counts or does not, as its checksum says; records of one epoch follow each other without a gap; a block
//! is written in place only after the record that holds it is durable, and an epoch ends only after everything of it is
//! durable in place. So a commit costs one write and one sync instead of fifty and two, whatever order the disk writes in.
//! The log of another database is refused by name, never replayed.

use std::{
    collections::BTreeMap,
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::disk::{Disk, DiskFile, OpenHow};

/// Octets of a block, redb's page: what is logged and written in place.
pub(super) const BLOCK: usize = 4096;
/// Octets of the log: a commit of thirty messages takes 200 KiB, and forty such commits go to their places together. What is
/// in the log is also in RAM, at most once a block.
pub(super) const REDO_OCTETS: u64 = 8 * 1024 * 1024;
/// The smallest log: its first block, and a record of one block.
const REDO_OCTETS_MIN: u64 = 16 * BLOCK as u64;

const FIRST_MAGIC: &[u8; 8] = b"HKREDO1\n";
const RECORD_MAGIC: &[u8; 4] = b"HKR1";
/// Octets in front of a record's list of blocks: magic, checksum, epoch, sequence, length of the database, blocks.
const RECORD_HEAD: usize = 40;

/// A block's octets.
pub(super) type Block = Arc<[u8]>;

/// Where the log of a database is.
pub(super) fn path_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".redo");
    name.into()
}

/// The log, open for writing.
pub(super) struct Redo {
    file: Arc<dyn DiskFile>,
    octets: u64,
    epoch: u64,
    sequence: u64,
    at: u64,
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum RedoError {
    /// The system says so.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no log, or another database's.
    #[error("{0}")]
    Foreign(&'static str),
}

/// What the first block says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct First {
    epoch: u64,
    /// Checksum of the database's first block when the epoch began.
    base: u32,
}

impl First {
    fn bytes(self) -> Vec<u8> {
        let mut out = vec![0; BLOCK];
        out[..8].copy_from_slice(FIRST_MAGIC);
        out[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        out[16..20].copy_from_slice(&self.base.to_le_bytes());
        let crc = crc32fast::hash(&out[..20]);
        out[20..24].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None`: a log that was never begun.
    fn read(block: &[u8]) -> Result<Option<Self>, RedoError> {
        if block.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        if &block[..8] != FIRST_MAGIC || four(block, 20) != crc32fast::hash(&block[..20]) {
            return Err(RedoError::Foreign("its first block is damaged"));
        }
        Ok(Some(First { epoch: eight(block, 8), base: four(block, 16) }))
    }
}

fn four(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn eight(bytes: &[u8], at: usize) -> u64 {
    u64::from(four(bytes, at)) | u64::from(four(bytes, at + 4)) << 32
}

/// Blocks that the head of a record of so many blocks takes.
fn head_blocks(count: usize) -> usize {
    (RECORD_HEAD + 8 * count).div_ceil(BLOCK)
}

fn record_octets(count: usize) -> u64 {
    ((head_blocks(count) + count) * BLOCK) as u64
}

/// The head of a record, with its checksum over everything behind that.
fn record_head(epoch: u64, sequence: u64, db_len: u64, blocks: &[(u64, Block)]) -> Vec<u8> {
    let mut head = vec![0; head_blocks(blocks.len()) * BLOCK];
    head[..4].copy_from_slice(RECORD_MAGIC);
    head[8..16].copy_from_slice(&epoch.to_le_bytes());
    head[16..24].copy_from_slice(&sequence.to_le_bytes());
    head[24..32].copy_from_slice(&db_len.to_le_bytes());
    head[32..40].copy_from_slice(&(blocks.len() as u64).to_le_bytes());
    for (n, (number, _)) in blocks.iter().enumerate() {
        head[RECORD_HEAD + 8 * n..][..8].copy_from_slice(&number.to_le_bytes());
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(&head[8..]);
    blocks.iter().for_each(|(_, block)| crc.update(block));
    head[4..8].copy_from_slice(&crc.finalize().to_le_bytes());
    head
}

impl Redo {
    /// Opens the log of the database `path`, or makes it; what it holds is put in place first. `None`: there is no room for
    /// one.
    pub(super) fn open(
        disk: &dyn Disk,
        path: &Path,
        db: &Arc<dyn DiskFile>,
        octets: u64,
    ) -> Result<Option<Redo>, RedoError> {
        let octets = octets.max(REDO_OCTETS_MIN) / BLOCK as u64 * BLOCK as u64;
        let log = path_of(path);
        let epoch = replay(disk, path, db)?;
        let file =
            if disk.exists(&log)? { disk.open(&log, OpenHow::Write)? } else { disk.open(&log, OpenHow::CreateNew)? };
        let made = (|| {
            if file.len()? < octets {
                file.preallocate(octets)?;
            }
            let mut redo = Redo { file, octets, epoch, sequence: 0, at: 0 };
            redo.begin(&read_block(&**db, 0)?)?;
            if let Some(dir) = path.parent() {
                disk.sync_dir(dir)?;
            }
            Ok(redo)
        })();
        match made {
            Ok(redo) => Ok(Some(redo)),
            Err(e) if super::disk::is_full(&e) => {
                log::warn!("file={} not made: {e}; commits go without it and are slower", log.display());
                Ok(None)
            }
            Err(e) => Err(e.into()),
        }
    }

    /// A record of so many blocks fits.
    pub(super) fn has_room(&self, count: usize) -> bool {
        self.at + record_octets(count) <= self.octets
    }

    /// Blocks that a record can hold when the log is empty; a little less.
    pub(super) fn blocks_max(&self) -> usize {
        usize::try_from(self.octets / BLOCK as u64).unwrap_or(usize::MAX) * 3 / 4
    }

    /// More than half of it is used.
    pub(super) fn is_half_full(&self) -> bool {
        self.at > self.octets / 2
    }

    /// Nothing was appended in this epoch.
    pub(super) fn is_empty(&self) -> bool {
        self.sequence == 0
    }

    /// Appends a record and makes it durable.
    pub(super) fn append(&mut self, db_len: u64, blocks: &[(u64, Block)]) -> io::Result<()> {
        let head = record_head(self.epoch, self.sequence, db_len, blocks);
        let parts: Vec<IoSlice<'_>> =
            std::iter::once(&head[..]).chain(blocks.iter().map(|(_, block)| &block[..])).map(IoSlice::new).collect();
        self.file.write_all_at(&parts, self.at)?;
        self.file.sync()?;
        self.at += record_octets(blocks.len());
        self.sequence += 1;
        Ok(())
    }

    /// Everything that was appended is durable in place: begins a new epoch. `base`: the database's first block.
    pub(super) fn begin(&mut self, base: &[u8]) -> io::Result<()> {
        self.epoch += 1;
        let first = First { epoch: self.epoch, base: crc32fast::hash(base) };
        self.file.write_all_at(&[IoSlice::new(&first.bytes())], 0)?;
        self.file.sync()?;
        (self.sequence, self.at) = (0, BLOCK as u64);
        Ok(())
    }
}

#[cfg(test)]
impl Redo {
    /// The same log, its file behind another one, which is answered, too.
    pub(super) fn behind<F: DiskFile>(self, wrap: impl Fn(Arc<dyn DiskFile>) -> Arc<F>) -> (Self, Arc<F>) {
        let file = wrap(self.file.clone());
        (Redo { file: file.clone(), ..self }, file)
    }
}

/// A block of the database as it is in its file; what is behind its end is zero.
pub(super) fn read_block(db: &dyn DiskFile, number: u64) -> io::Result<Vec<u8>> {
    let mut out = vec![0; BLOCK];
    let (at, len) = (number * BLOCK as u64, db.len()?);
    let there = usize::try_from(len.saturating_sub(at)).unwrap_or(BLOCK).min(BLOCK);
    db.read_exact_at(&mut out[..there], at)?;
    Ok(out)
}

/// Puts everything of the log of database `path` in place and ends its epoch; answers that epoch. Nothing happens where
/// there is no log.
pub(super) fn replay(disk: &dyn Disk, path: &Path, db: &Arc<dyn DiskFile>) -> Result<u64, RedoError> {
    let log = path_of(path);
    if !disk.exists(&log)? {
        return Ok(0);
    }
    let file = disk.open(&log, OpenHow::Write)?;
    if file.len()? < BLOCK as u64 {
        return Ok(0);
    }
    let Some(first) = First::read(&read_block(&*file, 0)?)? else { return Ok(0) };
    let found = scan(&*file, first)?;
    if found.records == 0 {
        return Ok(first.epoch);
    }
    // In place there is what was when the epoch began, or one of the images that were to be put there.
    let in_place = crc32fast::hash(&read_block(&**db, 0)?);
    if in_place != first.base && !found.headers.contains(&in_place) {
        return Err(RedoError::Foreign("it belongs to another database"));
    }
    if db.len()? < found.db_len {
        db.set_len(found.db_len)?;
    }
    for (number, at) in &found.blocks {
        // What was cut off the database's end since is not put back.
        if number * (BLOCK as u64) < found.db_len {
            let mut block = vec![0; BLOCK];
            file.read_exact_at(&mut block, *at)?;
            db.write_all_at(&[IoSlice::new(&block)], number * BLOCK as u64)?;
        }
    }
    db.sync()?;
    log::info!("file={} records={} replayed after a hard stop", log.display(), found.records);
    let mut redo = Redo { file, octets: 0, epoch: first.epoch, sequence: 0, at: 0 };
    redo.begin(&read_block(&**db, 0)?)?;
    Ok(redo.epoch)
}

/// What an epoch's records hold.
#[derive(Default)]
struct Found {
    records: u64,
    /// The last image of each block: where it is in the log.
    blocks: BTreeMap<u64, u64>,
    /// Checksums of all images of the first block.
    headers: Vec<u32>,
    /// The database's length at the last record.
    db_len: u64,
}

fn scan(file: &dyn DiskFile, first: First) -> io::Result<Found> {
    let end = file.len()?;
    let (mut at, mut found) = (BLOCK as u64, Found::default());
    while at + 2 * BLOCK as u64 <= end {
        let mut head = vec![0; BLOCK];
        file.read_exact_at(&mut head, at)?;
        let is_next = &head[..4] == RECORD_MAGIC && eight(&head, 8) == first.epoch && eight(&head, 16) == found.records;
        let count = eight(&head, 32);
        if !is_next || count > (end - at) / BLOCK as u64 {
            break;
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let octets = record_octets(count);
        if at + octets > end {
            break;
        }
        // A record is at most the log: tens of MiB, once, at a start.
        let mut record = vec![0; usize::try_from(octets).unwrap_or(0)];
        file.read_exact_at(&mut record, at)?;
        if four(&record, 4) != crc32fast::hash(&record[8..]) {
            break;
        }
        let data = head_blocks(count) * BLOCK;
        for n in 0..count {
            let number = eight(&record, RECORD_HEAD + 8 * n);
            let offset = data + n * BLOCK;
            if number == 0 {
                found.headers.push(crc32fast::hash(&record[offset..offset + BLOCK]));
            }
            found.blocks.insert(number, at + offset as u64);
        }
        found.db_len = eight(&record, 24);
        found.records += 1;
        at += octets;
    }
    Ok(found)
}

#[cfg(test)]
#[path = "redo_tests.rs"]
mod tests;
