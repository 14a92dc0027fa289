//! The daemon's own log: the `log` crate's records as lines on standard error, text or JSON.
//!
//! In: records of this crate's rooms, and warnings of the libraries.  Out: one write a record, so that lines stay whole.
//! Always: a record is one line, whatever a peer sent; under journald each line carries its priority instead of a time,
//! which the journal keeps itself; a broken stderr stops nobody. Secrets are kept out by their type ([`crate::secret`]).
//! Sources: sd-daemon(3) (`<n>` prefixes), systemd.exec(5) (`JOURNAL_STREAM`).

use std::{
    fmt::Write as _,
    io::Write as _,
    sync::atomic::{AtomicBool, Ordering},
};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::clock::{Clock, Timestamp};

/// Octets of a record's text at most: a peer's answer is bounded long before.
const TEXT_MAX: usize = 8192;
/// How this crate's targets begin; other crates are heard from `warn` upwards only.
const OWN: &str = "hikyaku";

/// The one logger of the process.
struct Journal {
    json: AtomicBool,
    to_journald: AtomicBool,
    clock: Clock,
}

static JOURNAL: std::sync::OnceLock<Journal> = std::sync::OnceLock::new();

/// How the log looks and how much it says (`[log]`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// JSON lines instead of text.
    pub json: bool,
    /// The least important level that is written.
    pub level: LevelFilter,
}

/// Starts logging to standard error; called again it only changes form and level.
pub fn start(settings: impl Into<Settings>) {
    let settings = settings.into();
    let journal = JOURNAL.get_or_init(|| Journal {
        json: AtomicBool::new(settings.json),
        to_journald: AtomicBool::new(stderr_is_the_journal()),
        clock: Clock::system(),
    });
    // Fails when a test harness has a logger of its own: then that one stays.
    let _ = log::set_logger(journal);
    reconfigure(settings);
}

/// A new form and level, at reload.
pub fn reconfigure(settings: impl Into<Settings>) {
    let settings = settings.into();
    if let Some(journal) = JOURNAL.get() {
        journal.json.store(settings.json, Ordering::Relaxed);
    }
    log::set_max_level(settings.level);
}

/// Standard error leads into systemd's journal: `JOURNAL_STREAM` names its device and inode.
pub fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = rustix::fs::fstat(std::io::stderr()) else { return false };
    // The variable is inherited by every child: only the very same stream counts.
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

/// Tells as a warning what must reach the terminal or the journal whatever `log.level` leaves out: without it nobody gets in.
pub fn tell(target: &str, text: &str) {
    if let Some(journal) = JOURNAL.get() {
        journal.write(Level::Warn, target, text);
    }
}

impl Journal {
    fn write(&self, level: Level, target: &str, text: &str) {
        let form =
            Form { json: self.json.load(Ordering::Relaxed), to_journald: self.to_journald.load(Ordering::Relaxed) };
        let line = form.line(self.clock.now(), level, target, text);
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

impl Log for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_wanted(metadata.target(), metadata.level())
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.write(record.level(), record.target(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

fn is_wanted(target: &str, level: Level) -> bool {
    level <= Level::Warn || target == OWN || target.strip_prefix(OWN).is_some_and(|rest| rest.starts_with("::"))
}

/// How lines look.
#[derive(Clone, Copy)]
struct Form {
    json: bool,
    to_journald: bool,
}

impl Form {
    /// One record as a line with its line end.
    fn line(self, now: Timestamp, level: Level, target: &str, text: &str) -> String {
        let room = target.strip_prefix("hikyaku::").unwrap_or(target);
        let mut out = String::with_capacity(text.len() + 64);
        if self.to_journald {
            let _ = write!(out, "<{}>", priority(level));
        }
        if self.json {
            let fields: serde_json::Map<String, serde_json::Value> =
                fields(bounded(text)).into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
            let mut object = serde_json::Map::new();
            object.insert("time".into(), now.rfc3339().into());
            object.insert("level".into(), level.as_str().to_ascii_lowercase().into());
            object.insert("room".into(), room.into());
            object.insert("text".into(), bounded(text).into());
            if !fields.is_empty() {
                object.insert("fields".into(), fields.into());
            }
            out.push_str(&serde_json::Value::Object(object).to_string());
        } else {
            if !self.to_journald {
                let _ = write!(out, "{} {:<5} ", now.rfc3339(), level.as_str().to_ascii_lowercase());
            }
            let _ = write!(out, "{room}: ");
            push_on_one_line(&mut out, bounded(text));
        }
        out.push('\n');
        out
    }
}

/// syslog's number (RFC 5424 §6.2.1).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

fn bounded(text: &str) -> &str {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Control characters become visible, so that no peer writes lines or moves the cursor of whoever reads.
fn push_on_one_line(out: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() {
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
}

/// The `key=value` words of a text; a value in quotes is Rust's `{:?}`.
fn fields(text: &str) -> Vec<(&str, String)> {
    let mut out: Vec<(&str, String)> = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let word_end = rest.find(' ').unwrap_or(rest.len());
        let pair = rest[..word_end].find('=').map(|at| rest.split_at(at));
        match pair.filter(|(key, _)| is_key(key)) {
            Some((key, after)) => {
                let (value, len) = value(&after[1..]);
                if !out.iter().any(|(known, _)| *known == key) {
                    out.push((key, value));
                }
                rest = after[1 + len..].trim_start();
            }
            None => rest = rest[word_end..].trim_start(),
        }
    }
    out
}

fn is_key(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The value at the start of a text, and its length there.
fn value(text: &str) -> (String, usize) {
    let plain = || {
        let len = text.find(' ').unwrap_or(text.len());
        (text[..len].to_owned(), len)
    };
    let Some(inside) = text.strip_prefix('"') else { return plain() };
    let mut out = String::new();
    let mut letters = inside.char_indices();
    while let Some((at, c)) = letters.next() {
        match c {
            '"' => return (out, at + 2),
            '\\' => match letters.next().map(|(_, escaped)| escaped) {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some('0') => out.push('\0'),
                Some('u') => {
                    let code: String = letters.by_ref().map(|(_, c)| c).skip(1).take_while(|c| *c != '}').collect();
                    out.extend(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32));
                }
                Some(other) => out.push(other),
                None => break,
            },
            c => out.push(c),
        }
    }
    // No closing quote: an ordinary word that begins with one.
    plain()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_527_310_000);

    #[test]
    fn a_record_is_one_line_whatever_a_peer_sent() {
        let text = "session=1 reply=550 no\r\n2026 forged line\u{1b}[2J";
        let plain = Form { json: false, to_journald: false }.line(NOW, Level::Warn, "hikyaku::intake::session", text);
        assert_eq!(
            plain,
            "2026-11-24T13:35:10.000Z warn  intake::session: session=1 reply=550 no\\r\\n2026 forged line\\u{1b}[2J\n"
        );
        let journald = Form { json: false, to_journald: true }.line(NOW, Level::Error, "hikyaku::app", "stopped");
        assert_eq!(journald, "<3>app: stopped\n");
        let long = "é".repeat(TEXT_MAX);
        let line = Form { json: false, to_journald: true }.line(NOW, Level::Info, "hikyaku", &long);
        assert!(line.len() <= TEXT_MAX + 32, "{}", line.len());
    }

    #[test]
    fn json_lines_carry_the_fields() {
        let reply = "450 4.2.1 \"busy\"\ntry later\u{7}";
        let text = format!("message=01j verdict=deferred reply={reply:?} next try follows, next_try=soon message=2");
        let line = Form { json: true, to_journald: false }.line(NOW, Level::Info, "hikyaku::deliver", &text);
        assert_eq!(line.matches('\n').count(), 1);
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["time"], "2026-11-24T13:35:10.000Z");
        assert_eq!(
            (&json["level"], &json["room"], &json["text"]),
            (&"info".into(), &"deliver".into(), &text.as_str().into())
        );
        assert_eq!(
            json["fields"],
            serde_json::json!({"message": "01j", "verdict": "deferred", "reply": reply, "next_try": "soon"})
        );
        for odd in ["", "=", "a=", "a=\"", "a=\"x", "a=\"\\", "a=\"\\u{", "é=1", "a=é b"] {
            let _ = fields(odd);
        }
        assert_eq!(fields("a=\"open b=2"), [("a", "\"open".to_owned()), ("b", "2".to_owned())]);
    }

    #[test]
    fn libraries_are_heard_only_when_they_warn() {
        assert!(is_wanted("hikyaku::net", Level::Trace) && is_wanted("rustls::conn", Level::Warn));
        assert!(!is_wanted("rustls::conn", Level::Debug) && !is_wanted("hikyakux", Level::Info));
    }
}
