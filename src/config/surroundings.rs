//! What a config is compared with outside of its file: this machine, its limits, and the files that keys name.
//!
//! In: paths.  Out: what is wrong with them, in words.
//! Always: a file is read at most once and only up to a bound; nothing read here is printed.

use std::{
    io::Read,
    net::{IpAddr, UdpSocket},
    path::{Path, PathBuf},
};

use super::kinds_net::is_unresolved_credential;
use crate::secret::Secret;

/// Octets of a password file at most.
const PASSWORD_FILE_MAX: u64 = 1024;
/// Octets of a PEM file at most.
const PEM_FILE_MAX: u64 = 1 << 20;

/// How closely the files are looked at that a config names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Files {
    /// Every file must be readable: the daemon is about to use them.
    Needed,
    /// The same, but credentials that systemd hands to the service alone may be out of sight.
    Checked,
    /// Not at all: a command only wants to know where the daemon is.
    Ignored,
}

/// Says whether a certificate and its key fit together and can be used; the words go into the error.
pub type CheckTls<'a> = &'a dyn Fn(&Path, &Path) -> Result<(), String>;

/// Whether an address is one of this machine's.
pub type IsLocal<'a> = &'a dyn Fn(IpAddr) -> bool;

/// What is around the config file.
pub struct Surroundings<'a> {
    /// The machine's name, the default of `server.hostname`.
    pub hostname: String,
    /// How many files the process may have open at most (`None`: any number).
    pub open_files_max: Option<u64>,
    /// `$CREDENTIALS_DIRECTORY`, where systemd puts what `LoadCredential=` names.
    pub credentials: Option<PathBuf>,
    /// How closely files are looked at.
    pub files: Files,
    /// The TLS room's opinion of a certificate and key.
    pub check_tls: CheckTls<'a>,
    /// Whether an address is one of this machine's, so that mail can leave by it.
    pub is_local: IsLocal<'a>,
}

impl Surroundings<'_> {
    /// This machine, as it is. Certificates are only looked at, not parsed, until the caller sets `check_tls`.
    pub fn of_this_machine(files: Files) -> Surroundings<'static> {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        Surroundings {
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            open_files_max: limit.maximum,
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").filter(|dir| !dir.is_empty()).map(PathBuf::from),
            files,
            check_tls: &|_, _| Ok(()),
            is_local: &can_be_bound,
        }
    }
}

/// Asks the system for a port of this address: it refuses one that is nobody's here. Nothing is sent.
fn can_be_bound(address: IpAddr) -> bool {
    match UdpSocket::bind((address, 0)) {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::AddrNotAvailable,
    }
}

/// What is wrong with a file.
pub(super) struct FileFault {
    /// In words.
    pub reason: String,
    /// What to do.
    pub fix: String,
    /// It may be right where the daemon runs: a warning.
    pub unsure: bool,
}

/// Reads a file as far as `max` octets and refuses a longer one.
fn read_bounded(path: &Path, max: u64, files: Files) -> Result<Vec<u8>, FileFault> {
    if is_unresolved_credential(path) {
        return Err(FileFault {
            reason: format!("{} can only be seen by the service that systemd starts", path.display()),
            fix: "give it with LoadCredential= in the unit; $CREDENTIALS_DIRECTORY is not set here".into(),
            unsure: files == Files::Checked,
        });
    }
    let fault = |error: &std::io::Error| {
        let fix = match error.kind() {
            std::io::ErrorKind::NotFound => "create the file, or correct the path",
            std::io::ErrorKind::PermissionDenied => {
                "let the user that runs hikyaku read it (chgrp hikyaku, chmod 0640), and its folder"
            }
            _ => "see that it is a plain file that can be read",
        };
        FileFault { reason: format!("{} cannot be read: {error}", path.display()), fix: fix.into(), unsure: false }
    };
    let mut content = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| fault(&e))?;
    file.take(max + 1).read_to_end(&mut content).map_err(|e| fault(&e))?;
    if content.len() as u64 > max {
        let reason = format!("{} is longer than {max} bytes", path.display());
        return Err(FileFault { reason, fix: "name the right file".into(), unsure: false });
    }
    Ok(content)
}

/// A folder that the daemon writes private files into.
pub(super) fn look_at_folder(path: &Path) -> Result<(), FileFault> {
    use std::os::unix::fs::PermissionsExt;
    let make = || {
        format!("make it: install -d -m 0700 -o hikyaku {}; and name it in ReadWritePaths= of the unit", path.display())
    };
    let metadata = std::fs::metadata(path).map_err(|error| FileFault {
        reason: format!("{} cannot be used: {error}", path.display()),
        fix: make(),
        unsure: error.kind() == std::io::ErrorKind::PermissionDenied,
    })?;
    if !metadata.is_dir() {
        return Err(FileFault { reason: format!("{} is no folder", path.display()), fix: make(), unsure: false });
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        let reason = format!("{} is open to other users of this machine", path.display());
        return Err(FileFault { reason, fix: format!("chmod 0700 {}", path.display()), unsure: true });
    }
    Ok(())
}

/// Reads a password file: one line, its line end is not part of the password.
pub(super) fn read_password(path: &Path, files: Files) -> Result<Secret<String>, FileFault> {
    let content = read_bounded(path, PASSWORD_FILE_MAX, files)?;
    let wrong = |what: &str| FileFault {
        reason: format!("{} {what}", path.display()),
        fix: "write the password alone, on one line".into(),
        unsure: false,
    };
    let text = String::from_utf8(content).map_err(|_| wrong("is not UTF-8 text"))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(wrong("is empty"));
    }
    if line.chars().any(char::is_control) {
        return Err(wrong("has more than one line"));
    }
    Ok(Secret::new(line.to_owned()))
}

/// Looks whether a file is there, can be read, and is PEM.
pub(super) fn look_at_pem(path: &Path, files: Files) -> Result<(), FileFault> {
    let content = read_bounded(path, PEM_FILE_MAX, files)?;
    if content.windows(11).any(|part| part == b"-----BEGIN ") {
        return Ok(());
    }
    Err(FileFault {
        reason: format!("{} is not a PEM file", path.display()),
        fix: "name a file with -----BEGIN … lines; openssl converts other forms".into(),
        unsure: false,
    })
}

/// Reads a file with a private key.
pub(super) fn read_key(path: &Path, files: Files) -> Result<Secret<Vec<u8>>, FileFault> {
    read_bounded(path, PEM_FILE_MAX, files).map(Secret::new)
}

/// Others than the owner may read the file: its mode, such as `0644`.
pub(super) fn mode_open_to_others(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let mode = std::fs::metadata(path).ok()?.mode() & 0o777;
    // The owner's group may read it: that is how root gives a file to the service.
    (mode & 0o037 != 0).then(|| format!("{mode:04o}"))
}
