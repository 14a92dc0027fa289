//! The settings in force, each with the line of the file that says so: for people who look at a running daemon.
//!
//! In: a config as it was read.  Out: [`Table`]s of [`Setting`]s in the order of the keys; what the file says by now.
//! Always: secrets are hidden, also those in the query of a URL; a setting that the file does not give has no line; what the
//! file says and the daemon does not do before its next start is told.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::Hasher,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Config, Diff, Warning, keys,
    keys::Visit,
    kinds::Kind,
    read::Facts,
    read_text,
    show::{self, Entry},
};

/// Keys whose default is made of the machine's name or of other keys: none is written in a table.
const DERIVED: [&str; 5] = [
    "server.hostname",
    "envelope_from.return_domain",
    "domain.return_domain",
    "http.public_url",
    "unsubscribe.public_url",
];

/// Where a config was read.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The file; `None`: there is none, everything has its default.
    pub file: Option<PathBuf>,
    /// What looked wrong when it was read, and keeps nothing from working.
    pub warnings: Vec<Warning>,
    /// What the file says otherwise than the daemon does: it takes the next start.
    pub waiting: Vec<Diff>,
    /// The line of each key that the file gives, and of each table.
    lines: HashMap<String, usize>,
    fingerprint: u64,
}

/// What the file says now, beside what was read of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FileNow {
    /// There is no file.
    None,
    /// The same.
    Same,
    /// Something else: it was edited since.
    Changed,
    /// It cannot be read any more; why, in words.
    Unreadable(String),
}

/// Some settings under one bracketed line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// `[server]`, `[[listener]]`.
    pub head: String,
    /// What tells it from others of its name, such as `127.0.0.1:2525`; empty: it exists once.
    pub row: String,
    /// The line of its head; `None`: the file does not have it.
    pub line: Option<usize>,
    /// Its settings.
    pub settings: Vec<Setting>,
}

/// One setting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Its key, without the table.
    pub key: &'static str,
    /// The value in TOML, secrets hidden; `None`: it is not set, and has no default.
    pub value: Option<String>,
    /// What it would be if the file did not say otherwise; `None`: it is that, or there is no default.
    pub default: Option<String>,
    /// The line of the file; `None`: the file does not give it, the value is the default.
    pub line: Option<usize>,
    /// What the file says for the next start; `None`: this.
    pub waits: Option<String>,
    /// A change of it takes a restart.
    pub needs_restart: bool,
}

impl Origin {
    pub(super) fn of(path: &Path, text: &str, facts: &Facts<'_>, warnings: &[Warning]) -> Self {
        let starts: Vec<usize> = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let line = |at: usize| starts.partition_point(|start| *start <= at);
        Origin {
            file: Some(std::path::absolute(path).unwrap_or_else(|_| path.to_owned())),
            warnings: warnings.to_vec(),
            waiting: Vec::new(),
            lines: facts.given().map(|(place, span)| (place.to_owned(), line(span.start))).collect(),
            fingerprint: fingerprint(text),
        }
    }

    /// Looks at the file again. Blocking, short.
    pub fn now(&self) -> FileNow {
        let Some(file) = &self.file else { return FileNow::None };
        match read_text(file) {
            Ok(text) if fingerprint(&text) == self.fingerprint => FileNow::Same,
            Ok(_) => FileNow::Changed,
            Err(problem) => FileNow::Unreadable(problem.reason),
        }
    }
}

/// Notes in a config that was not put in force as it was read what the next start will make another.
pub fn note_waiting(in_force: &mut Config, as_read: &Config) {
    let mut origin = (*as_read.origin).clone();
    origin.waiting = super::difference(in_force, as_read);
    in_force.origin = Arc::new(origin);
}

/// URLs whose path may be a secret, too: whoever has the URL of a chat service may post there.
const SECRET_PATHS: [&str; 2] = ["webhook.url", "inbound.webhook.url"];

/// The settings in force. `paths`: with the paths of webhooks' URLs, which are for who manages the house.
pub fn settings(config: &Config, paths: bool) -> Vec<Table> {
    let mut defaults = Defaults { path: Vec::new(), out: HashMap::new() };
    keys::all(&mut defaults, &mut Config::default());
    let mut tables: Vec<Table> = Vec::new();
    let mut last = None;
    for entry in show::entries(config) {
        if last.as_ref() != Some(&entry.head) {
            tables.push(table(&entry, &config.origin));
            last = Some(entry.head.clone());
        }
        if let Some(table) = tables.last_mut() {
            table.settings.push(setting(&entry, &config.origin, &defaults.out, paths));
        }
    }
    tables
}

fn table(entry: &Entry, origin: &Origin) -> Table {
    let place = entry.place.rsplit_once('.').map_or("", |(table, _)| table);
    // Of `domain[example.jp].dkim[s1].selector` it is the rows that tell one table from the next.
    let path = entry.path.rsplit_once('.').map_or("", |(table, _)| table);
    let row = match path.contains('[') {
        true => {
            path.split(']').filter_map(|part| part.split_once('[')).map(|(_, row)| row).collect::<Vec<_>>().join(" · ")
        }
        false => String::new(),
    };
    Table { head: entry.head.text.clone(), row, line: origin.lines.get(place).copied(), settings: Vec::new() }
}

fn setting(entry: &Entry, origin: &Origin, defaults: &HashMap<String, Option<String>>, paths: bool) -> Setting {
    let line = origin.lines.get(&entry.place).copied();
    let of_url = |value: String| match paths || !SECRET_PATHS.contains(&entry.key.as_str()) {
        true => value,
        false => without_path(&value),
    };
    let value = entry.shown_to_people().map(of_url);
    let default = match line {
        Some(_) if !DERIVED.contains(&entry.key.as_str()) => {
            defaults.get(&entry.key).cloned().flatten().filter(|usual| value.as_ref() != Some(usual))
        }
        Some(_) | None => None,
    };
    Setting {
        key: entry.name,
        value,
        default,
        line,
        waits: origin.waiting.iter().find(|diff| diff.key == entry.path).map(|diff| of_url(diff.new.clone())),
        needs_restart: show::needs_restart(&entry.key),
    }
}

/// A URL's query may be a secret: `?token=…` is a common way to know who posts.
pub(super) fn without_query(value: &str) -> String {
    match (value.contains("://"), value.split_once('?')) {
        (true, Some((before, _))) => format!("{before}?…\""),
        _ => value.to_owned(),
    }
}

/// Of a URL, in quotes or without, its scheme and host; what is hidden is a `…`.
pub fn without_path(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (inside, quote) = rest.strip_suffix('"').map_or((rest, ""), |inside| (inside, "\""));
    let (authority, hidden) = match inside.find(['/', '?', '#']) {
        Some(at) => (&inside[..at], inside.len() > at + 1),
        None => (inside, false),
    };
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{}{quote}", if hidden { "/…" } else { "" })
}

fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// The visitor that gathers defaults, by key without row numbers.
struct Defaults {
    path: Vec<&'static str>,
    out: HashMap<String, Option<String>>,
}

impl Visit for Defaults {
    fn key<T, K: Kind<T>>(&mut self, name: &'static str, slot: &mut T, kind: K) {
        self.path.push(name);
        self.out.insert(self.path.join("."), kind.show(slot));
        self.path.pop();
    }

    fn required<T, K: Kind<T>>(&mut self, _: &'static str, _: &mut T, _: K) {}

    fn table(&mut self, name: &'static str, inside: impl FnOnce(&mut Self)) {
        self.path.push(name);
        inside(self);
        self.path.pop();
    }

    fn tables<T: Default>(&mut self, name: &'static str, _: &mut Vec<T>, inside: impl Fn(&mut Self, &mut T)) {
        self.path.push(name);
        inside(self, &mut T::default());
        self.path.pop();
    }
}
