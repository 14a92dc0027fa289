//! Finding the peers' programs, and running them as children that end with the test.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::support::{Ran, cli::run_command, say};

/// How long a peer's command may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Folders of servers, which an ordinary PATH may lack.
const SERVER_DIRS: &[&str] = &["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// Where a program is; `None`: it is missing, which was said, and the test has to be skipped.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain(SERVER_DIRS.iter().map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        missing(&format!("{name} is not installed"));
    }
    found
}

/// Says that a test is skipped, or fails where nothing may be skipped.
pub fn missing(why: &str) {
    assert!(env::var("HIKYAKU_PEERS").as_deref() != Ok("require"), "{why}, and HIKYAKU_PEERS=require");
    say(format_args!("skipped: {why}"));
}

/// Runs a program to its end.
#[track_caller]
pub fn run(program: &Path, words: &[&str]) -> Ran {
    let mut command = Command::new(program);
    command.args(words);
    run_command(command, b"", LIMIT)
}

/// A server that is killed when dropped.
pub struct Server(Child);

impl Server {
    /// Starts it; its output goes to `log`.
    pub fn start(program: &Path, words: &[&str], log: &Path) -> Self {
        let file = std::fs::File::create(log).expect("the log can be written");
        let child = Command::new(program)
            .args(words)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file can be shared"))
            .stderr(file)
            .spawn()
            .expect("the program can be run");
        Server(child)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// It has ended.
    pub fn ended(&mut self) -> bool {
        self.0.try_wait().is_ok_and(|s| s.is_some())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// We may start servers that change their user.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        missing("this peer needs root");
    }
    root
}
