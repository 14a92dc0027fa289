//! A NOTIFY_SOCKET of the test's own: what the daemon would tell systemd.

use std::{
    os::unix::net::UnixDatagram,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{Place, wait};

/// The receiving end.
pub struct Notify {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Notify {
    /// A socket in `place`.
    pub fn new(place: &Place) -> Self {
        let path = place.path("notify.sock");
        let socket = UnixDatagram::bind(&path).expect("the place's folder can be written");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out can be set");
        Notify { socket, path }
    }

    /// The value of `NOTIFY_SOCKET`.
    pub fn path(&self) -> String {
        self.path.display().to_string()
    }

    /// Waits for a message with this line; answers when it came.
    #[track_caller]
    pub fn wait_for(&self, line: &str) -> Instant {
        let mut seen = Vec::new();
        let start = wait::now();
        let mut block = [0; 4096];
        while start.elapsed() < wait::SOON {
            let Ok(n) = self.socket.recv(&mut block) else { continue };
            let text = String::from_utf8_lossy(&block[..n]).into_owned();
            if text.lines().any(|l| l == line || l.starts_with(&format!("{line}="))) {
                return wait::now();
            }
            seen.push(text);
        }
        panic!("no {line} on the notify socket; seen: {seen:?}");
    }
}
