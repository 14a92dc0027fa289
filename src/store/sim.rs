//! A disk that lives in RAM and crashes on command, for tests: what was not synced is lost, in part, or torn.
//!
//! In: the operations of [`Disk`], and the number of the operation at which to crash or fail.  Out: what a machine would
//! find after power came back.
//! Always: each crash is decided by a seed, so that a failing case can be repeated.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::disk::{Disk, DiskFile, OpenHow};

/// Octets that a disk writes as one: a torn write keeps whole sectors.
const SECTOR: usize = 512;

/// The one folder that a new disk has.
pub const DIR: &str = "/sim";

/// What may go wrong, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Everything stops at this operation (writes, syncs and changes of names count; from 1).
    CrashAt(u64),
    /// The nth sync of a file fails, and everything goes on.
    FailSync(u64),
    /// The nth write of a file fails with EIO.
    FailWrite(u64),
}

/// A simulated disk; clones share it.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Names as programs see them, and as they are on the platter.
    names: BTreeMap<PathBuf, u64>,
    names_durable: BTreeMap<PathBuf, u64>,
    dirs: BTreeSet<PathBuf>,
    files: HashMap<u64, Content>,
    next_file: u64,
    operations: u64,
    syncs: u64,
    writes: u64,
    fate: Option<Fate>,
    crashed: bool,
    capacity: u64,
    locked: BTreeSet<u64>,
    /// Grows at each restart: files opened before it are dead.
    life: u64,
    touched_after_failure: bool,
    failed_file: Option<u64>,
}

#[derive(Debug, Default)]
struct Content {
    live: Octets,
    durable: Octets,
    pending: Vec<Pending>,
}

/// Octets with a length of their own: a preallocated file takes no RAM.
#[derive(Debug, Default, Clone)]
struct Octets {
    data: Vec<u8>,
    len: u64,
}

#[derive(Debug, Clone)]
enum Pending {
    Write { offset: u64, data: Vec<u8> },
    SetLen(u64),
}

impl Octets {
    fn apply(&mut self, p: &Pending) {
        match p {
            Pending::SetLen(len) => {
                self.len = *len;
                self.data.truncate(usize::try_from(*len).unwrap_or(usize::MAX));
            }
            Pending::Write { offset, data } => {
                let start = usize::try_from(*offset).unwrap_or(usize::MAX);
                let end = start + data.len();
                if self.data.len() < end {
                    self.data.resize(end, 0);
                }
                self.data[start..end].copy_from_slice(data);
                self.len = self.len.max(end as u64);
            }
        }
    }
}

/// A small random generator for the choices of a crash.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        SimDisk(Arc::new(Mutex::new(State {
            names: BTreeMap::new(),
            names_durable: BTreeMap::new(),
            dirs: BTreeSet::from([PathBuf::from(DIR)]),
            files: HashMap::new(),
            next_file: 1,
            operations: 0,
            syncs: 0,
            writes: 0,
            fate: None,
            crashed: false,
            capacity: u64::MAX / 2,
            locked: BTreeSet::new(),
            life: 0,
            touched_after_failure: false,
            failed_file: None,
        })))
    }
}

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides what goes wrong from here on; counting starts anew.
    pub fn plan(&self, fate: Option<Fate>) {
        let mut s = self.state();
        s.fate = fate;
        (s.operations, s.syncs, s.writes) = (0, 0, 0);
    }

    /// Changes of the disk since the last [`SimDisk::plan`].
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Syncs of files since the last [`SimDisk::plan`].
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Writes of files since the last [`SimDisk::plan`].
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    /// The planned crash has happened.
    pub fn has_crashed(&self) -> bool {
        self.state().crashed
    }

    /// A file was written or synced after a write or sync of it had failed.
    pub fn was_touched_after_failure(&self) -> bool {
        self.state().touched_after_failure
    }

    /// Octets of the whole disk.
    pub fn set_capacity(&self, octets: u64) {
        self.state().capacity = octets;
    }

    /// Octets that files take now.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Names under a folder, as programs see them.
    pub fn names(&self, dir: &Path) -> Vec<PathBuf> {
        self.state().names.keys().filter(|p| p.parent() == Some(dir)).cloned().collect()
    }

    /// Flips one octet of a file, durably.
    pub fn damage(&self, path: &Path, offset: u64) {
        let mut s = self.state();
        if let Some(id) = s.names.get(path).copied()
            && let Some(c) = s.files.get_mut(&id)
        {
            for octets in [&mut c.live, &mut c.durable] {
                if let Some(b) = octets.data.get_mut(usize::try_from(offset).unwrap_or(usize::MAX)) {
                    *b ^= 0x55;
                }
            }
        }
    }

    /// Power comes back: unsynced writes and names are kept, dropped or torn as the seed says.
    pub fn restart(&self, seed: u64) {
        let mut s = self.state();
        let mut dice = Dice(seed);
        // One crash in four loses everything unsynced, one keeps everything, the others mix.
        let mood = dice.roll(4);
        let mut ids: Vec<u64> = s.files.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            if let Some(c) = s.files.get_mut(&id) {
                for p in std::mem::take(&mut c.pending) {
                    let keep = match mood {
                        0 => false,
                        1 => true,
                        _ => dice.roll(2) == 0,
                    };
                    match p {
                        Pending::Write { offset, data } if mood > 1 => c.tear(offset, &data, &mut dice, keep),
                        p if keep => c.durable.apply(&p),
                        _ => {}
                    }
                }
                c.live = c.durable.clone();
            }
        }
        let paths: BTreeSet<PathBuf> = s.names.keys().chain(s.names_durable.keys()).cloned().collect();
        for path in paths {
            let keep_new = match mood {
                0 => false,
                1 => true,
                _ => dice.roll(2) == 0,
            };
            if keep_new {
                match s.names.get(&path).copied() {
                    Some(id) => s.names_durable.insert(path, id),
                    None => s.names_durable.remove(&path),
                };
            }
        }
        s.names = s.names_durable.clone();
        s.crashed = false;
        s.fate = None;
        s.locked.clear();
        s.life += 1;
        s.failed_file = None;
    }
}

impl Content {
    fn tear(&mut self, offset: u64, data: &[u8], dice: &mut Dice, keep: bool) {
        for (n, sector) in data.chunks(SECTOR).enumerate() {
            if keep || dice.roll(3) == 0 {
                let at = offset + (n * SECTOR) as u64;
                self.durable.apply(&Pending::Write { offset: at, data: sector.to_vec() });
            }
        }
    }
}

impl State {
    fn used(&self) -> u64 {
        self.names.values().filter_map(|id| self.files.get(id)).map(|c| c.live.len).sum()
    }

    /// Counts one change of the disk; the planned crash happens before it.
    fn operate(&mut self) -> io::Result<()> {
        if self.crashed {
            return Err(io::Error::other("the machine is off"));
        }
        self.operations += 1;
        if self.fate == Some(Fate::CrashAt(self.operations)) {
            self.crashed = true;
            return Err(io::Error::other("power cut"));
        }
        Ok(())
    }

    fn note_touch(&mut self, id: u64) {
        if self.failed_file == Some(id) {
            self.touched_after_failure = true;
        }
    }
}

fn missing() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: u64,
    life: u64,
    locked: Mutex<bool>,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut s = self.disk.state();
        if *self.locked.lock().unwrap_or_else(PoisonError::into_inner) && s.life == self.life {
            s.locked.remove(&self.id);
        }
    }
}

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let s = self.disk.state();
        if s.life != self.life || s.crashed { Err(io::Error::other("the machine is off")) } else { Ok(s) }
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Arc<dyn DiskFile>> {
        let mut s = self.state();
        let known = s.names.get(path).copied();
        let id = match (how, known) {
            (OpenHow::CreateNew, Some(_)) => return Err(io::Error::from(io::ErrorKind::AlreadyExists)),
            (OpenHow::CreateNew, None) => {
                s.operate()?;
                if !path.parent().is_some_and(|p| s.dirs.contains(p)) {
                    return Err(missing());
                }
                let id = s.next_file;
                s.next_file += 1;
                s.names.insert(path.to_owned(), id);
                s.files.insert(id, Content::default());
                id
            }
            (_, Some(id)) => id,
            (_, None) => return Err(missing()),
        };
        if s.crashed {
            return Err(io::Error::other("the machine is off"));
        }
        Ok(Arc::new(SimFile { disk: self.clone(), id, life: s.life, locked: Mutex::new(false) }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        // Folders are made once at the first start and synced with it; losing one is no case of its own.
        let mut s = self.state();
        s.operate()?;
        s.dirs.insert(path.to_owned());
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut s = self.state();
        s.operate()?;
        let in_dir = |p: &PathBuf| p.parent() == Some(path);
        s.names_durable.retain(|p, _| !in_dir(p));
        let now: Vec<_> = s.names.iter().filter(|(p, _)| in_dir(p)).map(|(p, id)| (p.clone(), *id)).collect();
        s.names_durable.extend(now);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut s = self.state();
        s.operate()?;
        let id = s.names.remove(from).ok_or_else(missing)?;
        s.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut s = self.state();
        s.operate()?;
        s.names.remove(path).map(|_| ()).ok_or_else(missing)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let s = self.state();
        let name = |p: &PathBuf| Some(p.file_name()?.to_str()?.to_owned());
        Ok(s.names.keys().filter(|p| p.parent() == Some(dir)).filter_map(name).collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let s = self.state();
        Ok(s.names.contains_key(path) || s.dirs.contains(path))
    }

    fn free_space(&self, _path: &Path) -> io::Result<u64> {
        let s = self.state();
        Ok(s.capacity.saturating_sub(s.used()))
    }
}

impl DiskFile for SimFile {
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let s = self.state()?;
        let c = s.files.get(&self.id).ok_or_else(missing)?;
        let end = offset + out.len() as u64;
        if end > c.live.len {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        out.fill(0);
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(c.live.data.len());
        let have = c.live.data.len().min(start + out.len()) - start;
        out[..have].copy_from_slice(&c.live.data[start..start + have]);
        Ok(())
    }

    fn write_all_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let data: Vec<u8> = parts.iter().flat_map(|p| p.iter().copied()).collect();
        let mut s = self.state()?;
        s.note_touch(self.id);
        s.writes += 1;
        if s.fate == Some(Fate::FailWrite(s.writes)) {
            s.failed_file = Some(self.id);
            return Err(io::Error::from_raw_os_error(5));
        }
        let grown = (offset + data.len() as u64).saturating_sub(s.files.get(&self.id).map_or(0, |c| c.live.len));
        if s.used() + grown > s.capacity {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let pending = Pending::Write { offset, data };
        // A write that the crash interrupts may still have reached the disk in part.
        let stopped = s.operate();
        let c = s.files.get_mut(&self.id).ok_or_else(missing)?;
        c.live.apply(&pending);
        c.pending.push(pending);
        stopped
    }

    fn sync(&self) -> io::Result<()> {
        let mut s = self.state()?;
        s.note_touch(self.id);
        s.operate()?;
        s.syncs += 1;
        if s.fate == Some(Fate::FailSync(s.syncs)) {
            s.failed_file = Some(self.id);
            return Err(io::Error::from_raw_os_error(5));
        }
        let c = s.files.get_mut(&self.id).ok_or_else(missing)?;
        for p in std::mem::take(&mut c.pending) {
            c.durable.apply(&p);
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let s = self.state()?;
        Ok(s.files.get(&self.id).ok_or_else(missing)?.live.len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut s = self.state()?;
        let now = s.files.get(&self.id).map_or(0, |c| c.live.len);
        if s.used() + len.saturating_sub(now) > s.capacity {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        s.operate()?;
        let c = s.files.get_mut(&self.id).ok_or_else(missing)?;
        c.live.apply(&Pending::SetLen(len));
        c.pending.push(Pending::SetLen(len));
        Ok(())
    }

    fn preallocate(&self, len: u64) -> io::Result<bool> {
        self.set_len(len).map(|()| true)
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut s = self.state()?;
        if !s.locked.insert(self.id) {
            return Ok(false);
        }
        *self.locked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        Ok(true)
    }
}
