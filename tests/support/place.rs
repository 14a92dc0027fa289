//! A place of its own for each daemon of a test: a folder and a loopback address that nobody else uses.
//!
//! Always: a whole address of 127.0.0.0/8 each, so that fixed ports on it are free, also for tests and builds that run
//! beside this one; the folder's path is short, because a Unix socket's path may have 107 bytes.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// Addresses and folders given out by this process.
static GIVEN: AtomicU32 = AtomicU32::new(0);

/// A folder that is removed when dropped (kept when `HIKYAKU_KEEP` is set or the test fails).
#[derive(Debug)]
pub struct Place {
    dir: PathBuf,
}

impl Place {
    /// A new, empty folder.
    pub fn new() -> Self {
        let n = GIVEN.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("hky-{}-{n}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("the temporary folder can be written");
        Place { dir }
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file in it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("the place's folder can be written");
        }
        fs::write(&path, content).expect("the place's folder can be written");
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !std::thread::panicking() && std::env::var_os("HIKYAKU_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// A loopback address that nothing uses: 127.16.0.0 to 127.255.255.255, from the process id and a counter.
pub fn address() -> Ipv4Addr {
    for _ in 0..1000 {
        let n = GIVEN.fetch_add(1, Ordering::Relaxed);
        let mixed = std::process::id().wrapping_mul(509).wrapping_add(n) % (239 << 16);
        let [_, b, c, d] = ((127 << 24) | ((16 << 16) + mixed)).to_be_bytes();
        // .0 and .255 look like networks and broadcasts to some programs.
        if d == 0 || d == 255 {
            continue;
        }
        let address = Ipv4Addr::new(127, b, c, d);
        if TcpListener::bind((address, 2525)).is_ok() && TcpListener::bind((address, 8025)).is_ok() {
            return address;
        }
    }
    panic!("no loopback address is free");
}
