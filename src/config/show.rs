//! Shows a config: as TOML for `check`, and what a reload changes for the log.
//!
//! In: configs.  Out: text and [`Diff`]s.
//! Always: secrets are hidden, and in what is told of a change the query of a URL, too, for that goes to the journal and the
//! operation log; every key of the table is shown, also where it has its default.

use super::{
    Config, DkimKey, Domain, keys,
    keys::Visit,
    kinds::{Kind, quoted},
    lines::without_query,
};
use crate::secret::Secret;

/// What a secret looks like.
const HIDDEN: &str = "\"(hidden)\"";
/// Keys, and whole tables, that a running daemon does not change: they take the next start.
pub(super) const NEEDS_RESTART: [&str; 10] = [
    "server.data_dir",
    "server.threads",
    "server.hostname",
    "server.memory_limit",
    "dkim.threads",
    "listener",
    "http.address",
    "http.tls",
    "unsubscribe.address",
    "unsubscribe.tls",
];

/// One setting that differs between two configs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diff {
    /// The key; rows of an array of tables are told apart by their first key: `listener[127.0.0.1:2525].tls`.
    pub key: String,
    /// As it was, in TOML; `-` where it was not there. Secrets are hidden, and queries of URLs.
    pub old: String,
    /// As it is, in TOML; `-` where it is no longer there. Secrets are hidden, and queries of URLs.
    pub new: String,
    /// It takes effect at the next start only.
    pub needs_restart: bool,
}

/// The settings in force as TOML, defaults included, secrets hidden.
pub fn effective(config: &Config) -> String {
    let mut out = String::new();
    let mut head = None;
    for entry in entries(config) {
        if head.as_ref() != Some(&entry.head) {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&entry.head.text);
            out.push('\n');
            head = Some(entry.head.clone());
        }
        if let Some((key, value)) = &entry.setting {
            out.push_str(&format!("{key} = {}\n", entry.shown(value)));
        }
    }
    out
}

/// What differs between two configs, in the order of the keys; empty: nothing.
pub fn difference(old: &Config, new: &Config) -> Vec<Diff> {
    let (before, after) = (entries(old), entries(new));
    let mut out = Vec::new();
    for entry in &before {
        match find(&after, entry) {
            Some(now) if entry.value() != now.value() => out.push(setting_diff(entry, now)),
            None if entry.names_row => out.push(row_diff(entry, Some(&before), None)),
            _ => {}
        }
    }
    for entry in after.iter().filter(|entry| entry.names_row && find(&before, entry).is_none()) {
        out.push(row_diff(entry, None, Some(&after)));
    }
    order_diff(&mut out, &before, &after);
    if old.delivery.smarthost_password != new.delivery.smarthost_password {
        let hidden = || HIDDEN.to_owned();
        let key = "delivery.smarthost_password_file (content)".into();
        out.push(Diff { key, old: hidden(), new: hidden(), needs_restart: false });
    }
    out.extend(changed_keys(old, new));
    out
}

/// Every path of the table, without row numbers: `listener.address`.
pub(super) fn all_paths() -> Vec<String> {
    let mut lister = Lister { path: Vec::new(), out: Vec::new() };
    keys::all(&mut lister, &mut Config::default());
    lister.out
}

/// Every setting of a config, in the order of the table.
pub(super) fn entries(config: &Config) -> Vec<Entry> {
    let mut printer = Printer { frames: vec![Frame::default()], out: Vec::new() };
    keys::all(&mut printer, &mut config.clone());
    printer.out
}

/// One setting.
#[derive(Clone)]
pub(super) struct Entry {
    /// The bracketed line above it.
    pub head: Head,
    /// The last part of its key.
    pub name: &'static str,
    /// With row numbers, as the file's places have them: `listener[0].tls`.
    pub place: String,
    /// With row names: `listener[127.0.0.1:2525].tls`.
    pub path: String,
    /// Without them: `listener.tls`.
    pub key: String,
    setting: Option<(&'static str, Secret<String>)>,
    is_secret: bool,
    /// The key that names a row of an array of tables.
    names_row: bool,
    /// What it would name its row, if no other row had the name; else empty.
    named: String,
    /// The row that it belongs to, by path.
    row: String,
}

/// The bracketed line above some settings; two rows of an array are told apart by their number.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// As the file writes it.
    pub text: String,
    number: usize,
    /// The rows around it, so that the first key pair of one domain is not that of the next.
    place: String,
}

impl Entry {
    /// The value in TOML, not hidden: for comparison only.
    pub fn value(&self) -> Option<&String> {
        self.setting.as_ref().map(|(_, value)| value.reveal())
    }

    fn shown(&self, value: &Secret<String>) -> String {
        match self.is_secret && value.reveal() != &quoted("") {
            true => HIDDEN.into(),
            false => value.reveal().clone(),
        }
    }

    /// For people and logs: a secret in a URL's query is hidden, too. `None`: it is not set.
    pub fn shown_to_people(&self) -> Option<String> {
        self.setting.as_ref().map(|(_, value)| without_query(&self.shown(value)))
    }
}

fn find<'e>(entries: &'e [Entry], like: &Entry) -> Option<&'e Entry> {
    entries.iter().find(|entry| entry.path == like.path)
}

fn setting_diff(old: &Entry, new: &Entry) -> Diff {
    let shown = |entry: &Entry| entry.shown_to_people().unwrap_or_else(|| "-".into());
    let (was, is) = (shown(old), shown(new));
    // The sandbox and real delivery are different parts of the daemon.
    let sandbox = old.key == "delivery.mode" && [&was, &is].into_iter().any(|mode| mode == "\"sandbox\"");
    Diff { key: old.path.clone(), old: was, new: is, needs_restart: sandbox || needs_restart(&old.key) }
}

/// Signing keys whose file has another content than before.
fn changed_keys(old: &Config, new: &Config) -> Vec<Diff> {
    let keys = |config: &Config| -> Vec<(String, String, Option<String>)> {
        let of = |domain: &Domain| -> Vec<(String, String, Option<String>)> {
            let shown = |key: &DkimKey| key.key.as_ref().map(|key| key.public_key_base64());
            domain.dkim.iter().map(|key| (domain.name.clone(), key.selector.clone(), shown(key))).collect()
        };
        config.domains.iter().flat_map(of).collect()
    };
    let before = keys(old);
    let is_changed = |(domain, selector, key): &(String, String, Option<String>)| {
        before.iter().any(|(d, s, k)| d == domain && s == selector && k != key)
    };
    let hidden = || HIDDEN.to_owned();
    let diff = |(domain, selector, _)| Diff {
        key: format!("domain.dkim.private_key (content) of {selector} for {domain}"),
        old: hidden(),
        new: hidden(),
        needs_restart: false,
    };
    keys(new).into_iter().filter(is_changed).map(diff).collect()
}

/// A running daemon does not change it.
pub(super) fn needs_restart(key: &str) -> bool {
    let covers = |known: &str| key.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    NEEDS_RESTART.iter().any(|known| covers(known))
}

/// A row that came or went, on one line.
fn row_diff(of: &Entry, old: Option<&[Entry]>, new: Option<&[Entry]>) -> Diff {
    let inline = |entries: Option<&[Entry]>| {
        let Some(entries) = entries else { return "-".to_owned() };
        let settings: Vec<String> = entries
            .iter()
            .filter(|entry| entry.row == of.row)
            .filter_map(|entry| Some(format!("{} = {}", entry.name, entry.shown_to_people()?)))
            .collect();
        format!("{{ {} }}", settings.join(", "))
    };
    Diff { key: of.row.clone(), old: inline(old), new: inline(new), needs_restart: needs_restart(&of.key) }
}

/// Lists whose order counts, by the key that names their rows: the first row that matches applies.
const ORDERED: [&str; 5] = [
    "delivery.rule.name",
    "delivery.response.name",
    "delivery.tls_policy.domains",
    "unsubscribe.filter.name",
    "forward.name",
];

/// The same rules in another order act differently.
fn order_diff(out: &mut Vec<Diff>, before: &[Entry], after: &[Entry]) {
    for key in ORDERED {
        let names = |entries: &[Entry]| -> Vec<String> {
            entries.iter().filter(|entry| entry.key == key).filter_map(|entry| entry.value().cloned()).collect()
        };
        let (old, new) = (names(before), names(after));
        let sorted = |names: &[String]| {
            let mut names = names.to_vec();
            names.sort();
            names
        };
        if old != new && sorted(&old) == sorted(&new) {
            let list = |names: &[String]| format!("[{}]", names.join(", "));
            let table = key.rsplit_once('.').map_or(key, |(table, _)| table);
            let key = format!("{table} (order)");
            out.push(Diff { key, old: list(&old), new: list(&new), needs_restart: false });
        }
    }
}

/// The visitor that shows.
struct Printer {
    frames: Vec<Frame>,
    out: Vec<Entry>,
}

#[derive(Clone, Default)]
struct Frame {
    /// `listener`.
    key: String,
    /// `listener[127.0.0.1:2525]`.
    path: String,
    /// `listener[0]`.
    place: String,
    /// The number of the row, from 1; 0 in a table.
    number: usize,
    /// The row's first key was not seen yet.
    unnamed: bool,
    /// In an array of tables, at any depth.
    row: String,
}

impl Printer {
    fn push<T, K: Kind<T>>(&mut self, name: &'static str, slot: &T, kind: &K) {
        let value = kind.show(slot);
        let Some(frame) = self.frames.last_mut() else { return };
        let names_row = frame.unnamed;
        let mut named_as = String::new();
        if frame.unnamed {
            frame.unnamed = false;
            let value = value.as_deref().unwrap_or_default();
            let label = value.strip_prefix("[\"").map_or(value, |list| list.trim_end_matches("\"]")).trim_matches('"');
            let named = format!("{}[{label}]", frame.path);
            // Two rows may have the same first key, such as the class of a priority rule.
            frame.path = match self.out.iter().filter(|row| row.names_row && row.named == named).count() {
                0 => named.clone(),
                taken => format!("{}[{label} #{}]", frame.path, taken + 1),
            };
            named_as = named;
            frame.row.clone_from(&frame.path);
        }
        let brackets = if frame.number > 0 { ("[[", "]]") } else { ("[", "]") };
        let text = format!("{}{}{}", brackets.0, frame.key, brackets.1);
        let head = Head { text, number: frame.number, place: frame.place.clone() };
        let [key, path, place] = [&frame.key, &frame.path, &frame.place].map(|table| format!("{table}.{name}"));
        let setting = value.map(|value| (name, Secret::new(value)));
        self.out.push(Entry {
            head,
            name,
            place,
            path,
            key,
            setting,
            is_secret: kind.is_secret(),
            names_row,
            named: named_as,
            row: frame.row.clone(),
        });
    }

    fn enter(&mut self, name: &str, number: usize) {
        let outer = self.frames.last().cloned().unwrap_or_default();
        let join = |outer: &str| if outer.is_empty() { name.to_owned() } else { format!("{outer}.{name}") };
        let (key, path, mut place) = (join(&outer.key), join(&outer.path), join(&outer.place));
        if let Some(index) = number.checked_sub(1) {
            place = format!("{place}[{index}]");
        }
        self.frames.push(Frame { key, path, place, number, unnamed: number > 0, row: outer.row });
    }
}

impl Visit for Printer {
    fn key<T, K: Kind<T>>(&mut self, name: &'static str, slot: &mut T, kind: K) {
        self.push(name, slot, &kind);
    }

    fn required<T, K: Kind<T>>(&mut self, name: &'static str, slot: &mut T, kind: K) {
        self.push(name, slot, &kind);
    }

    fn table(&mut self, name: &'static str, inside: impl FnOnce(&mut Self)) {
        self.enter(name, 0);
        inside(self);
        self.frames.pop();
    }

    fn tables<T: Default>(&mut self, name: &'static str, rows: &mut Vec<T>, inside: impl Fn(&mut Self, &mut T)) {
        for (n, row) in rows.iter_mut().enumerate() {
            self.enter(name, n + 1);
            inside(self, row);
            self.frames.pop();
        }
    }
}

/// The visitor that only names.
struct Lister {
    path: Vec<&'static str>,
    out: Vec<String>,
}

impl Lister {
    fn push(&mut self, name: &'static str) {
        self.path.push(name);
        self.out.push(self.path.join("."));
        self.path.pop();
    }
}

impl Visit for Lister {
    fn key<T, K: Kind<T>>(&mut self, name: &'static str, _: &mut T, _: K) {
        self.push(name);
    }

    fn required<T, K: Kind<T>>(&mut self, name: &'static str, _: &mut T, _: K) {
        self.push(name);
    }

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
