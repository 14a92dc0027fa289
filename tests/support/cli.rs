//! The command line as a person or a program uses it, and the events it prints as JSON lines.

use std::{
    fmt,
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::wait;

/// How long a command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Ran {
    /// Panics unless it ended with 0.
    #[track_caller]
    pub fn expect_done(self) -> Self {
        self.expect_code(0)
    }

    /// Panics unless it ended with `code`.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// Both texts.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit {}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

/// Runs the binary with these words in `dir`.
#[track_caller]
pub fn run(words: &[&str], dir: &Path, input: &[u8]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hikyaku"));
    command.args(words).current_dir(dir).env_remove("HIKYAKU_CONFIG").env_remove("NOTIFY_SOCKET");
    run_command(command, input, COMMAND_LIMIT)
}

/// Runs any command to its end, within a limit.
#[track_caller]
pub fn run_command(mut command: Command, input: &[u8], limit: Duration) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => panic!("cannot run {command:?}: {e}"),
    };
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    let input = input.to_vec();
    thread::spawn(move || {
        // A command that does not read its input is fine.
        let _ = stdin.write_all(&input);
    });
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let start = wait::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if start.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{command:?} did not end within {limit:?}");
        }
        thread::sleep(Duration::from_millis(3));
    };
    let text = |reader: thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&reader.join().expect("the reader does not panic")).into_owned()
    };
    Ran { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// One event, as the command line prints it.
#[derive(Clone, PartialEq, Debug)]
pub struct Event(pub Value);

impl Event {
    /// The events of JSON lines, in their order.
    #[track_caller]
    pub fn parse_all(lines: &str) -> Vec<Event> {
        lines
            .lines()
            .filter(|l| !l.trim().is_empty())
            .map(|l| match serde_json::from_str(l) {
                Ok(value) => Event(value),
                Err(e) => panic!("not a JSON line ({e}): {l}"),
            })
            .collect()
    }

    /// queued, deferred, succeeded, failed or dropped.
    pub fn kind(&self) -> String {
        self.first_of(&["status", "kind", "event"])
    }

    /// The recipient's address.
    pub fn recipient(&self) -> String {
        self.first_of(&["recipient", "to"])
    }

    /// The queue id.
    pub fn message(&self) -> String {
        self.first_of(&["queue_id", "message", "id"])
    }

    /// The remote's answer or our own words.
    pub fn reply(&self) -> String {
        self.text("reply")
    }

    /// How far it got.
    pub fn phase(&self) -> String {
        self.text("phase")
    }

    /// Which try.
    pub fn attempt(&self) -> u64 {
        self.0.get("attempt").and_then(Value::as_u64).unwrap_or(0)
    }

    /// It may have left a duplicate.
    pub fn possible_duplicate(&self) -> bool {
        self.0.get("possible_duplicate").and_then(Value::as_bool).unwrap_or(false)
    }

    /// No other event follows.
    pub fn is_final(&self) -> bool {
        matches!(self.kind().as_str(), "succeeded" | "failed" | "dropped")
    }

    /// The first of these fields that is there.
    fn first_of(&self, fields: &[&str]) -> String {
        fields.iter().map(|f| self.text(f)).find(|t| !t.is_empty()).unwrap_or_default()
    }

    /// A field as text; empty when it is missing or null.
    pub fn text(&self, field: &str) -> String {
        match self.0.get(field) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(s)) => s.clone(),
            Some(other) => other.to_string(),
        }
    }
}
