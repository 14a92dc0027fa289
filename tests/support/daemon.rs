//! The real binary as a child process: its config, its start and readiness, its signals, its end.
//!
//! Always: standard error is kept from the first byte and shown when the test fails; a daemon that is still running is
//! killed when dropped; no wait is without a limit.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    Place,
    cli::{self, Event, Ran},
    place, wait,
};

/// How long a start may take on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long a stop may take: the drain of the test config and some.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Characters of the daemon's log that a failing test shows.
const LOG_SHOWN: usize = 12_000;

/// A config file under construction: keys by table, then free text for `[[…]]` tables.
#[derive(Clone, Debug, Default)]
pub struct Config {
    tables: BTreeMap<String, BTreeMap<String, String>>,
    listeners: Vec<String>,
    more: String,
    variables: Vec<(String, String)>,
}

impl Config {
    /// Everything goes to `smarthost`, in clear; short retries.
    pub fn smarthost(smarthost: SocketAddr) -> Self {
        Config::common()
            .set("delivery.mode", "\"smarthost\"")
            .set("delivery.smarthost", &format!("\"{smarthost}\""))
            .set("delivery.smarthost_tls", "\"none\"")
    }

    /// To MX hosts found by `dns`, at `port`, on loopback.
    pub fn internet(dns: SocketAddr, port: u16) -> Self {
        Config::common()
            .set("delivery.mode", "\"internet\"")
            .set("delivery.port", &port.to_string())
            .set("delivery.tls", "\"none\"")
            .set("delivery.mta_sts", "false")
            .set("delivery.dane", "false")
            .set("delivery.block_private_destinations", "false")
            .set("dns.servers", &format!("[\"{dns}\"]"))
    }

    /// Held in the sandbox.
    pub fn sandbox() -> Self {
        Config::common().set("delivery.mode", "\"sandbox\"")
    }

    fn common() -> Self {
        Config::default()
            .set("server.hostname", "\"relay.test\"")
            .set("server.drain_timeout", "\"5s\"")
            .set("queue.retry_schedule", "[\"1s\"]")
            .set("queue.disk_free_min", "\"1MiB\"")
            // Nobody answers there: a test that needs the DNS has its own, and none asks the world.
            .set("dns.servers", "[\"127.0.0.1:1\"]")
    }

    /// Sets `table.key` to a TOML value as it would be written.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        let (table, key) = key.rsplit_once('.').expect("the key names its table");
        self.tables.entry(table.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds a listener besides the first, as the lines of its table.
    #[must_use]
    pub fn listener(mut self, lines: &str) -> Self {
        self.listeners.push(lines.to_owned());
        self
    }

    /// Adds text as it is.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.more.push_str(text);
        self.more.push('\n');
        self
    }

    /// Replaces text that was added.
    #[must_use]
    pub fn replace(mut self, old: &str, new: &str) -> Self {
        assert!(self.more.contains(old), "{old} is not there");
        self.more = self.more.replace(old, new);
        self
    }

    /// Sets an environment variable of the daemon.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn render(&self, place: &Place, address: Ipv4Addr) -> String {
        let mut tables = self.tables.clone();
        let mut default = |table: &str, key: &str, value: String| {
            tables.entry(table.to_owned()).or_default().entry(key.to_owned()).or_insert(value);
        };
        default("server", "data_dir", format!("\"{}\"", place.path("data").display()));
        default("http", "address", format!("\"{address}:8025\""));
        default("http", "public_url", format!("\"http://{address}:8025\""));
        let mut out = String::new();
        for (table, keys) in &tables {
            let _ = writeln!(out, "[{table}]");
            for (key, value) in keys {
                let _ = writeln!(out, "{key} = {value}");
            }
        }
        let _ = writeln!(out, "[[listener]]\naddress = \"{address}:2525\"");
        for lines in &self.listeners {
            let _ = writeln!(out, "[[listener]]\n{lines}");
        }
        out.push_str(&self.more);
        out
    }
}

/// A daemon at its place.
pub struct Relay {
    /// Its folder: `config.toml` and `data/`.
    pub place: Place,
    /// Its address: SMTP at port 2525, HTTP at 8025.
    pub address: Ipv4Addr,
    config: Config,
    child: Option<Child>,
    log: Arc<Mutex<Vec<u8>>>,
    reader: Option<thread::JoinHandle<()>>,
    wrapper: Vec<String>,
}

impl Relay {
    /// Starts it and waits until it takes mail.
    #[track_caller]
    pub fn start(config: Config) -> Self {
        let mut relay = Relay::prepare(config);
        relay.restart();
        relay
    }

    /// Its place with the config written, and nothing running.
    pub fn prepare(config: Config) -> Self {
        Relay::prepare_at(config, Place::new(), place::address())
    }

    /// The same at a place and an address that are there already.
    pub fn prepare_at(config: Config, place: Place, address: Ipv4Addr) -> Self {
        let relay =
            Relay { place, address, config, child: None, log: Arc::default(), reader: None, wrapper: Vec::new() };
        relay.write_config();
        relay
    }

    /// Runs the binary under this command, e.g. `strace …`.
    #[must_use]
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|w| (*w).to_owned()).collect();
        self
    }

    /// Changes the config file; the daemon sees it at its next start or SIGHUP.
    pub fn reconfigure(&mut self, change: impl FnOnce(Config) -> Config) {
        self.config = change(std::mem::take(&mut self.config));
        self.write_config();
    }

    fn write_config(&self) {
        self.place.write("config.toml", self.config.render(&self.place, self.address));
    }

    /// The config file.
    pub fn config_path(&self) -> PathBuf {
        self.place.path("config.toml")
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.place.path("data")
    }

    /// Where it takes mail.
    pub fn smtp(&self) -> SocketAddr {
        (self.address, 2525).into()
    }

    /// Where its page is.
    pub fn http(&self) -> SocketAddr {
        (self.address, 8025).into()
    }

    /// Starts it (again) and waits until it is ready.
    #[track_caller]
    pub fn restart(&mut self) {
        self.spawn();
        self.wait_ready();
    }

    /// Starts it and waits for nothing.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let binary = env!("CARGO_BIN_EXE_hikyaku");
        let mut words = self.wrapper.clone();
        words.push(binary.to_owned());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args(["serve", "--config"])
            .arg(self.config_path())
            .current_dir(self.place.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .env_remove("NOTIFY_SOCKET")
            .env_remove("HIKYAKU_CONFIG")
            .env("RUST_BACKTRACE", "1");
        for (name, value) in &self.config.variables {
            command.env(name, value);
        }
        let mut child = command.spawn().expect("the binary can be run");
        let mut pipe = child.stderr.take().expect("standard error is a pipe");
        let log = self.log.clone();
        self.reader = Some(thread::spawn(move || {
            let mut block = [0; 4096];
            while let Ok(n @ 1..) = pipe.read(&mut block) {
                log.lock().expect("the reader does not panic").extend_from_slice(&block[..n]);
            }
        }));
        self.child = Some(child);
    }

    /// Waits until `/readyz` says 200 and the listener greets.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        let start = wait::now();
        loop {
            if let Some(status) = self.ended() {
                panic!("the daemon ended at its start: {status}\n{}", self.log());
            }
            if self.get("/readyz").is_some_and(|a| a.status == 200) && greets(self.smtp()) {
                return;
            }
            assert!(start.elapsed() < START_LIMIT, "not ready after {START_LIMIT:?}\n{}", self.log());
            thread::sleep(Duration::from_millis(15));
        }
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|c| c.try_wait().ok().flatten())
    }

    /// Its process id (the wrapper's, when it runs under one).
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid() as i32).expect("a child's id is not zero");
        kill_process(pid, signal).expect("the daemon runs");
    }

    /// `kill -9`, and waits for its end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.join();
    }

    /// SIGTERM, and waits for its end.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_end()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait_end(&mut self) -> ExitStatus {
        let status = wait::within(STOP_LIMIT, "the daemon's end", || self.ended());
        self.child = None;
        self.join();
        status
    }

    fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }

    /// What it has logged so far, over all its starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().expect("the reader does not panic")).into_owned()
    }

    /// Waits until the log holds this text.
    #[track_caller]
    pub fn wait_log(&self, text: &str) {
        wait::until(&format!("{text:?} in the log"), || self.log().contains(text).then_some(()));
    }

    /// Runs a command of the binary against this daemon.
    #[track_caller]
    pub fn cli(&self, words: &[&str]) -> Ran {
        let config = self.config_path();
        let config = config.to_str().expect("the place's path is text");
        let all: Vec<&str> = words.iter().copied().chain(["--config", config]).collect();
        cli::run(&all, self.place.dir(), b"")
    }

    /// The delivery log, oldest first.
    #[track_caller]
    pub fn deliveries(&self) -> Vec<Event> {
        self.events(&["log", "deliveries", "--json"])
    }

    /// The events that a command prints as JSON lines, oldest first.
    #[track_caller]
    pub fn events(&self, words: &[&str]) -> Vec<Event> {
        let mut events = Event::parse_all(&self.cli(words).expect_done().stdout);
        events.reverse();
        events
    }

    /// Waits until the delivery log holds `n` events of this kind for this recipient, and answers them.
    #[track_caller]
    pub fn wait_events(&self, kind: &str, recipient: &str, n: usize) -> Vec<Event> {
        wait::until(&format!("{n} × {kind} of {recipient} in the delivery log"), || {
            let found: Vec<Event> =
                self.deliveries().into_iter().filter(|e| e.kind() == kind && e.recipient() == recipient).collect();
            if found.len() < n {
                // Each look is a process of its own: leave the cores to the daemon.
                thread::sleep(Duration::from_millis(60));
                return None;
            }
            Some(found)
        })
    }

    /// Waits for the one event of this kind for this recipient.
    #[track_caller]
    pub fn wait_event(&self, kind: &str, recipient: &str) -> Event {
        self.wait_events(kind, recipient, 1).swap_remove(0)
    }

    /// Submits a plain mail in a session of its own; answers its queue id.
    #[track_caller]
    pub fn submit(&self, from: &str, recipients: &[&str], subject: &str) -> String {
        super::client::submit(self.smtp(), from, recipients, subject).queue_id()
    }

    /// GET over HTTP; `None` while nothing answers.
    pub fn get(&self, path: &str) -> Option<Answer> {
        get(self.http(), path)
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.pid())).unwrap_or_default();
        text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0)
            * rustix::param::page_size() as u64
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = self.log();
            let from = log.ceil_char_boundary(log.len().saturating_sub(LOG_SHOWN));
            wait::say(format_args!("--- log of the daemon in {}\n{}", self.place.dir().display(), &log[from..]));
        }
    }
}

/// An answer over HTTP.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head, as it came.
    pub head: String,
    /// The body.
    pub body: String,
}

/// One GET, with a short limit.
pub fn get(from: SocketAddr, path: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect_timeout(&from, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {from}\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

fn greets(at: SocketAddr) -> bool {
    super::Client::try_connect(at).is_ok_and(|mut client| {
        let greeted = client.greeting.code == 220;
        client.write(b"QUIT\r\n");
        greeted
    })
}
