//! Bodies on disk: segment files of 64 MiB that small bodies are appended to, and one file for each large one.
//!
//! In: bodies of a commit.  Out: their places; and, for readers, the octets at a place.
//! Always (each with a test that crashes between the steps):
//! - a segment is created, preallocated, synced, and its folder synced, before a record goes in, ahead of need;
//! - a segment of an earlier process is never appended to: it is cut to its used length;
//! - a record is durable before the commit that names it; a record that no row names is garbage;
//! - a file is unlinked only after the durable commit that dropped its last reference; a reader that has it open keeps
//!   reading, and one that comes late asks the row again.

use std::{
    collections::HashMap,
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread::JoinHandle,
};

use bytes::Bytes;

use super::{
    disk::{Ballast, Disk, DiskFile, OpenHow, is_full},
    types::{BodyPlace, StoreError},
};
use crate::ids::MessageId;

/// Octets of a segment: large enough that files are few, small enough that one is soon empty and gone.
pub(super) const SEGMENT_OCTETS: u64 = 64 * 1024 * 1024;
/// Segment files that stay open for readers.
const HANDLES_MAX: usize = 64;
/// Folders of the data directory.
pub(super) const SEGMENTS_DIR: &str = "segments";
pub(super) const BODIES_DIR: &str = "bodies";
pub(super) const SEGMENT_SUFFIX: &str = ".seg";

/// Octets in front of each stored body.
pub(super) const RECORD_HEAD: usize = 32;
const MAGIC: &[u8; 4] = b"HKB1";

/// The head of a record: what follows, whose it is, and checksums of both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RecordHead {
    /// The message.
    pub id: MessageId,
    /// Octets of the body.
    pub len: u64,
    /// CRC-32 of the body.
    pub crc: u32,
}

impl RecordHead {
    /// The head of a body.
    pub(super) fn of(id: MessageId, body: &[u8]) -> Self {
        RecordHead { id, len: body.len() as u64, crc: crc32fast::hash(body) }
    }

    pub(super) fn bytes(&self) -> [u8; RECORD_HEAD] {
        let mut out = [0; RECORD_HEAD];
        out[..4].copy_from_slice(MAGIC);
        out[4..8].copy_from_slice(&self.crc.to_le_bytes());
        out[8..16].copy_from_slice(&self.id.as_u64().to_le_bytes());
        out[16..24].copy_from_slice(&self.len.to_le_bytes());
        let crc = crc32fast::hash(&out[..24]);
        out[24..28].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None`: this is no head.
    pub(super) fn read(bytes: &[u8; RECORD_HEAD]) -> Option<Self> {
        let four = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let eight = |at: usize| u64::from(four(at)) | u64::from(four(at + 4)) << 32;
        if &bytes[..4] != MAGIC || four(24) != crc32fast::hash(&bytes[..24]) {
            return None;
        }
        Some(RecordHead { id: MessageId::from_u64(eight(8)), len: eight(16), crc: four(4) })
    }
}

/// What the files' helper thread does, so that the writer does not wait for it.
enum Job {
    MakeSpare(u64),
    Unlink(PathBuf),
    Trim(u64, u64),
    TakeBallast(Arc<Ballast>),
}

enum Spare {
    None,
    Making,
    Ready(u64, Arc<dyn DiskFile>),
    Failed(io::Error),
}

/// The body files, shared by the writer, the readers and the helper.
pub(super) struct Segments {
    disk: Arc<dyn Disk>,
    segments_dir: PathBuf,
    bodies_dir: PathBuf,
    octets: u64,
    handles: Mutex<Handles>,
    spare: Mutex<Spare>,
    spare_made: Condvar,
    held: Mutex<Held>,
    helper: Mutex<Option<(mpsc::Sender<Job>, JoinHandle<()>)>>,
}

#[derive(Default)]
struct Handles {
    open: HashMap<u64, (Arc<dyn DiskFile>, u64)>,
    uses: u64,
}

/// Unlinking waits while a backup reads.
#[derive(Default)]
struct Held {
    backups: usize,
    paths: Vec<PathBuf>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Segments {
    /// The body files of `data_dir`; their folders are made and synced if missing.
    pub(super) fn open(disk: Arc<dyn Disk>, data_dir: &Path, octets: u64) -> io::Result<Self> {
        let (segments_dir, bodies_dir) = (data_dir.join(SEGMENTS_DIR), data_dir.join(BODIES_DIR));
        if !disk.exists(&segments_dir)? || !disk.exists(&bodies_dir)? {
            disk.create_dir(&segments_dir)?;
            disk.create_dir(&bodies_dir)?;
            disk.sync_dir(data_dir)?;
        }
        Ok(Segments {
            disk,
            segments_dir,
            bodies_dir,
            octets,
            handles: Mutex::default(),
            spare: Mutex::new(Spare::None),
            spare_made: Condvar::new(),
            held: Mutex::default(),
            helper: Mutex::new(None),
        })
    }

    /// True when no body file is there: a missing database is then a first start.
    pub(super) fn is_bare(disk: &dyn Disk, data_dir: &Path) -> io::Result<bool> {
        for dir in [SEGMENTS_DIR, BODIES_DIR] {
            let dir = data_dir.join(dir);
            if disk.exists(&dir)? && !disk.list(&dir)?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Starts the helper thread; without it, jobs are done where they arise (tests that count disk operations).
    pub(super) fn start_helper(self: &Arc<Self>) -> io::Result<()> {
        let (tx, rx) = mpsc::channel::<Job>();
        let me = Arc::downgrade(self);
        let thread = std::thread::Builder::new().name("hikyaku-files".into()).spawn(move || {
            while let (Ok(job), Some(me)) = (rx.recv(), me.upgrade()) {
                me.run(job);
            }
        })?;
        *lock(&self.helper) = Some((tx, thread));
        Ok(())
    }

    /// Ends the helper, after the jobs that it has.
    pub(super) fn stop_helper(&self) {
        let helper = lock(&self.helper).take();
        if let Some((tx, thread)) = helper {
            drop(tx);
            // The last owner may be the helper itself, which cannot wait for itself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }

    fn submit(&self, job: Job) {
        let left = match &*lock(&self.helper) {
            Some((tx, _)) => tx.send(job).err().map(|e| e.0),
            None => Some(job),
        };
        if let Some(job) = left {
            self.run(job);
        }
    }

    fn run(&self, job: Job) {
        match job {
            Job::MakeSpare(number) => {
                let made = self.make(number, self.octets);
                *lock(&self.spare) = match made {
                    Ok(file) => Spare::Ready(number, file),
                    Err(e) => Spare::Failed(e),
                };
                self.spare_made.notify_all();
            }
            Job::Unlink(path) => {
                if let Err(e) = self.disk.unlink(&path)
                    && e.kind() != io::ErrorKind::NotFound
                {
                    // It takes room until the next start, which deletes what no row names.
                    log::warn!("file={} not deleted: {e}", path.display());
                }
            }
            Job::Trim(number, used) => {
                let trimmed = self.file(number).and_then(|f| f.set_len(used));
                if let Err(e) = trimmed {
                    log::debug!("segment={number} not trimmed: {e}");
                }
            }
            Job::TakeBallast(ballast) => ballast.take(),
        }
    }

    /// Lets the helper take the ballast's room.
    pub(super) fn take_ballast(&self, ballast: Arc<Ballast>) {
        self.submit(Job::TakeBallast(ballast));
    }

    fn make(&self, number: u64, octets: u64) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.segment_path(number);
        let file = self.disk.open(&path, OpenHow::CreateNew)?;
        let made =
            file.preallocate(octets).and_then(|_| file.sync()).and_then(|()| self.disk.sync_dir(&self.segments_dir));
        match made {
            Ok(()) => Ok(file),
            Err(e) => {
                let _ = self.disk.unlink(&path);
                Err(e)
            }
        }
    }

    /// Path of a segment.
    pub(super) fn segment_path(&self, number: u64) -> PathBuf {
        self.segments_dir.join(format!("{number:016x}{SEGMENT_SUFFIX}"))
    }

    /// Path of a large body.
    pub(super) fn body_path(&self, id: MessageId) -> PathBuf {
        self.bodies_dir.join(id.to_string())
    }

    /// Path of the file that holds a body; `None` when it is gone.
    pub(super) fn path_of(&self, id: MessageId, place: BodyPlace) -> Option<PathBuf> {
        match place {
            BodyPlace::Segment { segment, .. } => Some(self.segment_path(segment)),
            BodyPlace::File => Some(self.body_path(id)),
            BodyPlace::Gone => None,
        }
    }

    /// Numbers of the segment files that exist.
    pub(super) fn segments_on_disk(&self) -> io::Result<Vec<u64>> {
        let names = self.disk.list(&self.segments_dir)?;
        let number = |name: &String| u64::from_str_radix(name.strip_suffix(SEGMENT_SUFFIX)?, 16).ok();
        Ok(names.iter().filter_map(number).collect())
    }

    /// Messages whose large body exists.
    pub(super) fn bodies_on_disk(&self) -> io::Result<Vec<MessageId>> {
        Ok(self.disk.list(&self.bodies_dir)?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// An open segment.
    pub(super) fn file(&self, number: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut h = lock(&self.handles);
        h.uses += 1;
        let now = h.uses;
        if let Some((file, used)) = h.open.get_mut(&number) {
            *used = now;
            return Ok(file.clone());
        }
        drop(h);
        let file = self.disk.open(&self.segment_path(number), OpenHow::Write)?;
        self.remember(number, &file);
        Ok(file)
    }

    fn remember(&self, number: u64, file: &Arc<dyn DiskFile>) {
        let mut h = lock(&self.handles);
        h.uses += 1;
        let now = h.uses;
        if h.open.len() >= HANDLES_MAX
            && let Some(oldest) = h.open.iter().min_by_key(|(_, (_, used))| *used).map(|(n, _)| *n)
        {
            h.open.remove(&oldest);
        }
        h.open.insert(number, (file.clone(), now));
    }

    /// The large body's file.
    pub(super) fn open_body_file(&self, id: MessageId) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(&self.body_path(id), OpenHow::Read)
    }

    /// A new file for a large body.
    pub(super) fn create_body_file(&self, id: MessageId) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(&self.body_path(id), OpenHow::CreateNew)
    }

    /// Makes the names of new large bodies durable.
    pub(super) fn sync_bodies_dir(&self) -> io::Result<()> {
        self.disk.sync_dir(&self.bodies_dir)
    }

    /// Unlinks a segment after the commit that dropped its row.
    pub(super) fn unlink_segment(&self, number: u64) {
        lock(&self.handles).open.remove(&number);
        self.unlink(self.segment_path(number));
    }

    /// Unlinks a large body after the commit that dropped it, or one that was never committed.
    pub(super) fn unlink_body(&self, id: MessageId) {
        self.unlink(self.body_path(id));
    }

    fn unlink(&self, path: PathBuf) {
        let mut held = lock(&self.held);
        if held.backups > 0 {
            held.paths.push(path);
        } else {
            drop(held);
            self.submit(Job::Unlink(path));
        }
    }

    /// Nothing is unlinked until the guard is dropped; `None` while another backup runs.
    pub(super) fn hold_unlinking(self: &Arc<Self>) -> Option<HoldUnlinking> {
        let mut held = lock(&self.held);
        if held.backups > 0 {
            return None;
        }
        held.backups = 1;
        drop(held);
        Some(HoldUnlinking(self.clone()))
    }

    /// The disk that they are on.
    pub(super) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Octets of a segment.
    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    /// A backup is reading.
    pub(super) fn is_held(&self) -> bool {
        lock(&self.held).backups > 0
    }
}

/// While it lives, a backup may read every file that its snapshot names.
pub(super) struct HoldUnlinking(Arc<Segments>);

impl Drop for HoldUnlinking {
    fn drop(&mut self) {
        let mut held = lock(&self.0.held);
        held.backups -= 1;
        let paths = if held.backups == 0 { std::mem::take(&mut held.paths) } else { Vec::new() };
        drop(held);
        paths.into_iter().for_each(|p| self.0.submit(Job::Unlink(p)));
    }
}

// ---- the writer's end ----

/// A segment's row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct SegmentRow {
    /// Live bodies.
    pub live: u64,
    /// Their octets, heads included.
    pub live_octets: u64,
    /// Octets used, garbage included.
    pub used: u64,
}

/// Why a body found no place.
#[derive(Debug)]
pub(super) enum NoPlace {
    /// The disk has no room for it.
    Full,
    /// A write or sync failed: final.
    Failed(io::Error),
}

impl From<io::Error> for NoPlace {
    fn from(e: io::Error) -> Self {
        if is_full(&e) { NoPlace::Full } else { NoPlace::Failed(e) }
    }
}

impl NoPlace {
    /// What the submitter hears.
    pub(super) fn words(self) -> StoreError {
        match self {
            NoPlace::Full => StoreError::Full,
            NoPlace::Failed(e) => StoreError::Failed(format!("writing a body: {e}")),
        }
    }
}

/// Appends the bodies of one commit: first collected, then written and synced together.
pub(super) struct Appender {
    segments: Arc<Segments>,
    current: Option<Current>,
    next: u64,
    parts: Vec<Part>,
}

type NumberedFile = (u64, Arc<dyn DiskFile>);

struct Current {
    number: u64,
    file: Arc<dyn DiskFile>,
    used: u64,
    octets: u64,
    asked_for_spare: bool,
}

struct Part {
    number: u64,
    file: Arc<dyn DiskFile>,
    offset: u64,
    head: [u8; RECORD_HEAD],
    body: Bytes,
}

impl Appender {
    /// Appends to segments from number `next` on.
    pub(super) fn new(segments: Arc<Segments>, next: u64) -> Self {
        Appender { segments, current: None, next, parts: Vec::new() }
    }

    /// The segment that is being filled.
    pub(super) fn current(&self) -> Option<u64> {
        self.current.as_ref().map(|c| c.number)
    }

    /// Used length of the segment that is being filled.
    pub(super) fn used_of(&self, number: u64) -> Option<u64> {
        self.current.as_ref().filter(|c| c.number == number).map(|c| c.used)
    }

    /// Gives a body its place; it is written by [`Appender::flush`].
    pub(super) fn add(&mut self, head: RecordHead, body: Bytes) -> Result<BodyPlace, NoPlace> {
        let need = (RECORD_HEAD + body.len()) as u64;
        if self.current.as_ref().is_none_or(|c| c.used + need > c.octets) {
            self.switch(need)?;
        }
        let Some(c) = &mut self.current else { return Err(NoPlace::Full) };
        let place = BodyPlace::Segment { segment: c.number, offset: c.used };
        self.parts.push(Part { number: c.number, file: c.file.clone(), offset: c.used, head: head.bytes(), body });
        c.used += need;
        if c.used > c.octets / 2 && !c.asked_for_spare {
            c.asked_for_spare = true;
            self.ask_for_spare();
        }
        Ok(place)
    }

    /// Writes what was added and makes it durable. After `Full` nothing of it counts.
    pub(super) fn flush(&mut self) -> Result<(), NoPlace> {
        let parts = std::mem::take(&mut self.parts);
        let mut from = 0;
        while from < parts.len() {
            let number = parts[from].number;
            let group_len = parts[from..].iter().take_while(|p| p.number == number).count();
            let group = &parts[from..from + group_len];
            let slices: Vec<IoSlice<'_>> =
                group.iter().flat_map(|p| [IoSlice::new(&p.head), IoSlice::new(&p.body)]).collect();
            if let Err(e) = group[0].file.write_all_at(&slices, group[0].offset) {
                self.take_back(&parts);
                return Err(e.into());
            }
            // Even for want of room, a sync that failed is final: the kernel may have dropped the pages.
            group[0].file.sync().map_err(NoPlace::Failed)?;
            from += group_len;
        }
        Ok(())
    }

    fn take_back(&mut self, parts: &[Part]) {
        if let Some(c) = &mut self.current
            && let Some(first) = parts.iter().find(|p| p.number == c.number)
        {
            c.used = first.offset;
        }
    }

    fn switch(&mut self, need: u64) -> Result<(), NoPlace> {
        let octets = self.segments.octets.max(need);
        let spare = if octets == self.segments.octets { self.take_spare() } else { None };
        let (number, file) = match spare {
            Some(ready) => ready?,
            None => {
                let number = self.next;
                self.next += 1;
                (number, self.segments.make(number, octets)?)
            }
        };
        if let Some(full) = self.current.take() {
            self.segments.submit(Job::Trim(full.number, full.used));
        }
        self.segments.remember(number, &file);
        self.current = Some(Current { number, file, used: 0, octets, asked_for_spare: false });
        Ok(())
    }

    fn ask_for_spare(&mut self) {
        let mut spare = lock(&self.segments.spare);
        if matches!(*spare, Spare::None | Spare::Failed(_)) {
            *spare = Spare::Making;
            drop(spare);
            let number = self.next;
            self.next += 1;
            self.segments.submit(Job::MakeSpare(number));
        }
    }

    fn take_spare(&mut self) -> Option<Result<NumberedFile, NoPlace>> {
        let mut spare = lock(&self.segments.spare);
        while matches!(*spare, Spare::Making) {
            spare = self.segments.spare_made.wait(spare).unwrap_or_else(PoisonError::into_inner);
        }
        match std::mem::replace(&mut *spare, Spare::None) {
            Spare::Ready(number, file) => Some(Ok((number, file))),
            Spare::Failed(e) if is_full(&e) => None,
            Spare::Failed(e) => Some(Err(NoPlace::Failed(e))),
            Spare::None | Spare::Making => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_head_is_read_back_and_a_damaged_one_is_none() {
        let head = RecordHead::of(MessageId::from_u64(77), b"hello");
        let bytes = head.bytes();
        assert_eq!(RecordHead::read(&bytes), Some(head));
        for at in 0..28 {
            let mut torn = bytes;
            torn[at] ^= 1;
            assert_eq!(RecordHead::read(&torn), None, "octet {at}");
        }
        assert_eq!(RecordHead::read(&[0; RECORD_HEAD]), None);
    }
}
