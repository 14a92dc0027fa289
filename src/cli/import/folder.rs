//! The folder of a Postfix, and the files that its settings name.
//!
//! In: paths, as settings write them.  Out: their texts.
//! Always: regular files alone, of a bounded size; what a setting names below Postfix's own folder is looked for in the folder
//! that the operator named, which may be a copy; a link that leads out of it is not followed; what is outside is read only by its
//! full path, and remembered.

use std::{
    fs::{self, File, OpenOptions},
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Component, Path, PathBuf},
};

use super::postfix::Files;

/// Octets of one file.
const FILE_MAX: u64 = 16 << 20;
/// Where Postfix has its files, as its settings write it.
const USUAL: &str = "/etc/postfix";
/// Files outside the folder that are read.
const OUTSIDE_MAX: usize = 50;

/// The folder.
pub(super) struct Folder {
    dir: PathBuf,
    outside: Vec<String>,
}

impl Folder {
    /// Opens it.
    ///
    /// # Errors
    /// It is none.
    pub fn open(dir: &Path) -> Result<Self, String> {
        let real = fs::canonicalize(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        if !real.is_dir() {
            return Err(format!("{} is no folder: name the one that holds main.cf", dir.display()));
        }
        Ok(Folder { dir: real, outside: Vec::new() })
    }

    /// Files outside of it that were read, by their names.
    pub fn outside(&self) -> &[String] {
        &self.outside
    }

    fn inside(&self, below: &Path) -> Result<(String, String), String> {
        if !below.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err("this path leads out of the folder: it was not read".into());
        }
        let whole = self.dir.join(below);
        let real = fs::canonicalize(&whole).map_err(|error| error.to_string())?;
        if !real.starts_with(&self.dir) {
            return Err("this link leads out of the folder: it was not followed".into());
        }
        Ok((text(&real)?, below.display().to_string()))
    }
}

impl Files for Folder {
    fn read(&mut self, path: &str) -> Result<(String, String), String> {
        let path = Path::new(path);
        if path.is_relative() {
            return self.inside(path);
        }
        for begin in [self.dir.clone(), PathBuf::from(USUAL)] {
            if let Ok(below) = path.strip_prefix(&begin)
                && (begin == self.dir || self.dir.join(below).exists())
            {
                return self.inside(below);
            }
        }
        if self.outside.len() >= OUTSIDE_MAX {
            return Err("too many files are outside of the folder: it was not read".into());
        }
        let read = text(path)?;
        let name = path.display().to_string();
        if !self.outside.contains(&name) {
            self.outside.push(name.clone());
        }
        Ok((read, name))
    }
}

fn text(path: &Path) -> Result<String, String> {
    octets(path).map(|octets| String::from_utf8_lossy(&octets).into_owned())
}

/// A regular file's octets.
///
/// # Errors
/// In words.
pub(super) fn octets(path: &Path) -> Result<Vec<u8>, String> {
    // A pipe would wait for a writer: it is opened without waiting, and refused.
    let file = OpenOptions::new().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(path);
    let file: File = file.map_err(|error| error.to_string())?;
    let about = file.metadata().map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("this is no regular file".into());
    }
    if about.len() > FILE_MAX {
        return Err(format!("it has more than {} MiB", FILE_MAX >> 20));
    }
    let mut octets = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut octets).map_err(|error| error.to_string())?;
    Ok(octets)
}
