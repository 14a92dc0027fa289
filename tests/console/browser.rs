//! Chromium as a child process: found, started without a window and with a profile of its own, and ended with the test.
//!
//! Always: it asks nobody but loopback (names are not looked up); what it says on standard error stays in its folder.

use std::{
    cell::RefCell,
    fs::File,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    devtools::DevTools,
    program,
    support::{Place, now, wait},
    tab::Tab,
};

/// How long the start may take on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long an orderly end may take before it is ended.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Names under which it is installed.
const PROGRAMS: &[&str] = &["chromium", "chromium-browser", "google-chrome"];

/// How it is started, besides its profile.
const ARGUMENTS: &[&str] = &[
    "--headless=new",
    "--remote-debugging-port=0",
    // Tests run as root, too, where Chromium's own sandbox cannot be; it sees nothing but our own pages.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-search-engine-choice-screen",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--password-store=basic",
    "--use-mock-keychain",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.*",
    "about:blank",
];

/// A running browser.
pub struct Browser {
    child: Child,
    devtools: RefCell<DevTools>,
    // Removed last: the child writes into it.
    _profile: Place,
}

impl Browser {
    /// Starts it; `None`: it is not installed, which was said.
    pub fn start() -> Option<Self> {
        Browser::start_with(&[])
    }

    /// The same with further arguments; of those that come twice the later counts.
    pub fn start_with(more: &[String]) -> Option<Self> {
        let program = installed()?;
        let profile = Place::new();
        let log = File::create(profile.path("stderr")).expect("the place's folder can be written");
        let child = Command::new(program)
            .args(ARGUMENTS.iter().take(ARGUMENTS.len() - 1))
            .args(more)
            .arg(format!("--user-data-dir={}", profile.dir().display()))
            .args(ARGUMENTS.last())
            .env("HOME", profile.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Chromium can be run");
        let (port, path) = wait::within(START_LIMIT, "Chromium's start", || {
            let text = std::fs::read_to_string(profile.path("DevToolsActivePort")).ok()?;
            let (port, path) = text.split_once('\n')?;
            Some((port.parse().ok()?, path.trim().to_owned()))
        });
        let devtools = RefCell::new(DevTools::connect(port, &path));
        Some(Browser { child, devtools, _profile: profile })
    }

    /// A new tab with cookies of its own, as another person's browser.
    pub fn tab(&self) -> Tab<'_> {
        let context = self.command("Target.createBrowserContext", json!({}));
        let context = context["browserContextId"].as_str().expect("a context has an id").to_owned();
        let target = self.command("Target.createTarget", json!({ "url": "about:blank", "browserContextId": context }));
        let attached =
            self.command("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        Tab::new(self, attached["sessionId"].as_str().expect("a session has an id").to_owned())
    }

    /// The connection, for one command.
    pub fn devtools(&self) -> std::cell::RefMut<'_, DevTools> {
        self.devtools.borrow_mut()
    }

    #[track_caller]
    fn command(&self, method: &str, params: Value) -> Value {
        self.devtools().call(None, method, params).expect("the browser does it")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.devtools.get_mut().call(None, "Browser.close", json!({}));
        let start = now();
        while start.elapsed() < END_LIMIT {
            if self.child.try_wait().is_ok_and(|s| s.is_some()) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = PROGRAMS.iter().find(|name| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()));
    program::find(found.unwrap_or(&PROGRAMS[0]))
}
