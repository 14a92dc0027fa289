//! How every command finds its config file.
//!
//! In: `--config`, the environment, the current folder.  Out: a file, or nothing (the demo).
//! Always: a file that somebody named and that is missing is an error, never the demo: a mistyped path must not turn
//! production into a sandbox that eats mail. A start by systemd never becomes the demo either.
//! Sources: config.md; sd_notify(3); systemd.exec(5) (`SYSTEMD_EXEC_PID`, `JOURNAL_STREAM`).

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::config::DEMO_FOLDER;

/// Where packages put the config.
const SYSTEM_CONFIG: &str = "/etc/hikyaku/config.toml";

/// What is around the command.
#[derive(Clone, Debug)]
pub(super) struct Around {
    /// The current folder.
    pub folder: PathBuf,
    /// `$HIKYAKU_CONFIG`, when it is not empty.
    pub env_config: Option<OsString>,
    /// `/etc/hikyaku/config.toml`, but for tests.
    pub system_config: PathBuf,
    /// systemd started this process.
    pub started_by_systemd: bool,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// A config file; whether it can be read is seen when it is read.
    File(PathBuf),
    /// No config file: the demo is meant.
    Nothing,
}

impl Around {
    /// This process as it is.
    pub fn of_this_process() -> Self {
        Around {
            folder: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            env_config: std::env::var_os("HIKYAKU_CONFIG").filter(|path| !path.is_empty()),
            system_config: SYSTEM_CONFIG.into(),
            started_by_systemd: started_by_systemd(),
        }
    }

    /// Where the demo keeps its data.
    pub fn demo_dir(&self) -> PathBuf {
        self.folder.join(DEMO_FOLDER)
    }
}

/// Finds the config file: `flag` is `--config`.
///
/// # Errors
/// A named file that is not there, in words.
pub(super) fn find(flag: Option<&Path>, around: &Around) -> Result<Found, String> {
    let named = flag
        .map(|path| (path.to_owned(), "--config"))
        .or_else(|| around.env_config.as_ref().map(|path| (PathBuf::from(path), "$HIKYAKU_CONFIG")));
    if let Some((path, by)) = named {
        return match std::fs::metadata(&path) {
            Err(error) if is_missing(&error) => {
                Err(format!("{} is not there ({by} names it).\n  fix: correct the path", path.display()))
            }
            _ => Ok(Found::File(path)),
        };
    }
    match std::fs::metadata(&around.system_config) {
        Err(error) if is_missing(&error) => Ok(Found::Nothing),
        // It is there, or we may not see: then reading it says so. Never the demo on a machine that is set up.
        _ => Ok(Found::File(around.system_config.clone())),
    }
}

fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// systemd started this very process. Its variables are inherited by everything below a service (terminals and CI
/// runners among them), so that their presence alone proves nothing; `NOTIFY_SOCKET` is for the daemon itself.
fn started_by_systemd() -> bool {
    let is_ours = |name: &str| std::env::var(name).is_ok_and(|pid| pid == std::process::id().to_string());
    let child_of_init = || rustix::process::getppid().is_some_and(rustix::process::Pid::is_init);
    std::env::var_os("NOTIFY_SOCKET").is_some()
        || is_ours("SYSTEMD_EXEC_PID")
        || crate::journal::stderr_is_the_journal()
        || (std::env::var_os("INVOCATION_ID").is_some() && child_of_init())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_then_the_environment_then_etc_then_the_demo() {
        let folder = std::env::temp_dir().join(format!("hikyaku-discover-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = |name: &str| {
            let path = folder.join(name);
            std::fs::write(&path, "").unwrap();
            path
        };
        let (flag, env, etc) = (file("flag.toml"), file("env.toml"), file("etc.toml"));
        let missing = folder.join("missing.toml");
        let around = |env: Option<&Path>, etc: &Path| Around {
            folder: folder.clone(),
            env_config: env.map(|path| path.as_os_str().to_owned()),
            system_config: etc.to_owned(),
            started_by_systemd: false,
        };
        let cases = [
            (Some(flag.as_path()), Some(env.as_path()), &etc, Ok(Found::File(flag.clone()))),
            (None, Some(&env), &etc, Ok(Found::File(env.clone()))),
            (None, None, &etc, Ok(Found::File(etc.clone()))),
            (None, None, &missing, Ok(Found::Nothing)),
            (Some(&missing), Some(&env), &etc, Err("--config names it")),
            (None, Some(&missing), &etc, Err("$HIKYAKU_CONFIG names it")),
        ];
        for (flag, env, etc, expected) in cases {
            match (find(flag, &around(env, etc)), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(told), Err(part)) => assert!(told.contains(part), "{told}"),
                (found, expected) => panic!("{found:?} instead of {expected:?}"),
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
