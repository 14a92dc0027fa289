//! One daemon a data directory: the folder itself, and the lock in it.
//!
//! Always: the lock is held by the kernel for the life of the process, so that a crash leaves none behind; the pid inside
//! is for people.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rustix::fs::{FlockOperation, flock};

/// Held while the daemon runs.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon has it.
    #[error(
        "{path}: another hikyaku (pid {pid}) uses this data directory; stop it first, or set server.data_dir to another one"
    )]
    Taken {
        /// The data directory.
        path: String,
        /// The other's pid, as its lock file says.
        pid: String,
    },
    /// The system said no.
    #[error("{path}: {cause}; the data directory must be a folder that this user may write")]
    Io {
        /// What was opened.
        path: String,
        /// Why not.
        cause: io::Error,
    },
}

/// Creates the data directory if it is missing (0700), tightens it if it is not, and takes its lock.
pub fn take(data_dir: &Path) -> Result<Lock, LockError> {
    prepare(data_dir).map_err(|cause| LockError::Io { path: data_dir.display().to_string(), cause })?;
    let path = data_dir.join("lock");
    let failed = |cause: io::Error| LockError::Io { path: path.display().to_string(), cause };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut pid = String::new();
        // The pid is a courtesy: the refusal stands without it.
        let _ = (&mut file).take(20).read_to_string(&mut pid);
        return Err(LockError::Taken { path: data_dir.display().to_string(), pid: pid.trim().to_owned() });
    }
    file.set_len(0).map_err(failed)?;
    file.rewind().map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(Lock { _file: file })
}

fn prepare(data_dir: &Path) -> io::Result<()> {
    if !data_dir.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
        sync_parent(data_dir)?;
    }
    let mode = fs::metadata(data_dir)?.permissions().mode() & 0o777;
    if mode != 0o700 {
        log::warn!("data_dir={} was open to others (mode {mode:03o}); made 0700", data_dir.display());
        fs::set_permissions(data_dir, fs::Permissions::from_mode(0o700))?;
    }
    File::open(data_dir)?.sync_all()
}

/// A folder's name is durable only once its parent is synced; redb never does that.
fn sync_parent(data_dir: &Path) -> io::Result<()> {
    let parent = data_dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_hears_the_pid_of_the_first() {
        let dir = std::env::temp_dir().join(format!("hikyaku-lock-{}", std::process::id()));
        let first = take(&dir).expect("free");
        let mode = fs::metadata(&dir).expect("made").permissions().mode() & 0o777;
        assert_eq!(mode, 0o700);
        let refusal = take(&dir).expect_err("taken").to_string();
        assert!(refusal.contains(&format!("pid {}", std::process::id())), "{refusal}");
        drop(first);
        take(&dir).expect("free again");
        fs::remove_dir_all(&dir).expect("removed");
    }
}
