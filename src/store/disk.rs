//! Every touch of the disk: a trait that the real file system and a simulated, crashing one implement.
//!
//! In: paths under the data directory, octets.  Out: files, octets, errors of the system as they are.
//! Always: nothing else in this room opens, writes, syncs or unlinks a file; a write is durable only after `sync`, a new
//! name only after `sync_dir` of its folder. redb's file: `pages.rs`.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, IoSlice},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::fs::{FallocateFlags, FlockOperation};

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenHow {
    /// It exists; reading only.
    Read,
    /// It exists; reading and writing.
    Write,
    /// It must not exist yet.
    CreateNew,
}

/// A file system, as far as the store needs one.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Opens or creates a file, mode 0600.
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes a folder, mode 0700; one that exists is fine.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes new and removed names of a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Gives a file another name in the same folder.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Names of the files in a folder.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// True when the path names a file or folder.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Free octets of the file system that holds `path`.
    fn free_space(&self, path: &Path) -> io::Result<u64>;
}

/// An open file.
#[allow(clippy::len_without_is_empty, reason = "a file's length may fail, and nobody asks whether it is empty")]
pub trait DiskFile: fmt::Debug + Send + Sync + 'static {
    /// Reads exactly `out.len()` octets.
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all parts one after another from `offset` on.
    fn write_all_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()>;
    /// Makes the file's octets durable.
    fn sync(&self) -> io::Result<()>;
    /// Its length.
    fn len(&self) -> io::Result<u64>;
    /// Cuts or grows it; new octets are zero.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Reserves room up to `len`, which becomes its length; false where the file system cannot.
    fn preallocate(&self, len: u64) -> io::Result<bool>;
    /// Locks it against other processes and other opens; false when somebody has it.
    fn try_lock(&self) -> io::Result<bool>;
}

/// The machine's own file system.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).mode(0o600);
        match how {
            OpenHow::Read => {}
            OpenHow::Write => {
                options.write(true);
            }
            OpenHow::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().into_string().ok());
            }
        }
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn free_space(&self, path: &Path) -> io::Result<u64> {
        let s = rustix::fs::statvfs(path)?;
        Ok(s.f_bavail.saturating_mul(s.f_frsize))
    }
}

#[derive(Debug)]
struct RealFile(File);

/// Parts of one `pwritev` (IOV_MAX is 1024 on Linux).
const PARTS_MAX: usize = 1024;

impl DiskFile for RealFile {
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn write_all_at(&self, parts: &[IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        for group in parts.chunks(PARTS_MAX) {
            let total: usize = group.iter().map(|p| p.len()).sum();
            let mut written = rustix::io::pwritev(&self.0, group, offset)?;
            if written < total {
                // Short: write the rest part by part, which tells the reason if there is one.
                let mut start = 0;
                for part in group {
                    let end = start + part.len();
                    if end > written {
                        let from = written.max(start) - start;
                        self.0.write_all_at(&part[from..], offset + (start + from) as u64)?;
                        written = end;
                    }
                    start = end;
                }
            }
            offset += total as u64;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn preallocate(&self, len: u64) -> io::Result<bool> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    fn try_lock(&self) -> io::Result<bool> {
        match rustix::fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

/// True when the system says that there is no room.
pub(super) fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Octets of the ballast file: room for the verdicts of everything in flight once the disk is full.
pub(super) const BALLAST_OCTETS: u64 = 16 * 1024 * 1024;

/// A file that takes room while there is some, and gives it back when the database finds none.
#[derive(Debug)]
pub(super) struct Ballast {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    there: AtomicBool,
    lock: Mutex<()>,
}

impl Ballast {
    pub(super) fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        let there = disk.exists(&path).unwrap_or(false);
        Ballast { disk, path, there: AtomicBool::new(there), lock: Mutex::new(()) }
    }

    /// The ballast is in place.
    pub(super) fn is_there(&self) -> bool {
        self.there.load(Ordering::Acquire)
    }

    /// Takes the room; nothing happens where there is none.
    pub(super) fn take(&self) {
        let _one = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_there() {
            return;
        }
        let made = self.disk.open(&self.path, OpenHow::CreateNew).and_then(|file| file.preallocate(BALLAST_OCTETS));
        match made {
            Ok(_) => self.there.store(true, Ordering::Release),
            Err(e) => {
                // Best effort: without ballast the free-space check alone guards the verdicts.
                log::debug!("ballast={} not made: {e}", self.path.display());
                let _ = self.disk.unlink(&self.path);
            }
        }
    }

    /// Gives the room back; true when there was some to give.
    pub(super) fn free(&self) -> bool {
        let _one = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_there() {
            return false;
        }
        self.there.store(false, Ordering::Release);
        log::error!("disk=full ballast=freed: verdicts can still be stored; no new mail is taken. Make room.");
        self.disk.unlink(&self.path).is_ok()
    }
}
