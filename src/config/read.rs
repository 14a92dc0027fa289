//! Reads a file's text into a [`Config`]: TOML with recovery, then the table of keys, every fault noted with its place.
//!
//! In: the text.  Out: the config as far as it could be read, the problems, and which keys the file gives.
//! Always: a fault in one key keeps no other from being read; a key that is not in the table is a problem.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::{
    Config, keys,
    keys::Visit,
    kinds::{Kind, Notes, Raw},
    problem::{Problem, meant},
    show,
};

/// What a file says, beside the values.
pub(super) struct Facts<'s> {
    /// The text.
    pub source: &'s str,
    /// Where each key stands that the file gives: `listener[0].tls`.
    given: HashMap<String, Range<usize>>,
    /// Keys whose value could not be read.
    broken: HashSet<String>,
}

impl Facts<'_> {
    /// The facts of no file at all.
    pub fn none() -> Facts<'static> {
        Facts { source: "", given: HashMap::new(), broken: HashSet::new() }
    }

    /// The file gives this key.
    pub fn gives(&self, path: &str) -> bool {
        self.given.contains_key(path)
    }

    /// Every key and table that the file gives, with its place.
    pub fn given(&self) -> impl Iterator<Item = (&str, &Range<usize>)> {
        self.given.iter().map(|(path, span)| (path.as_str(), span))
    }

    /// The first place at which the file gives a key, in any row: `domain.name` finds `domain[0].name`.
    pub fn first_given(&self, key: &str) -> Option<String> {
        let named = self.given.iter().filter(|(path, _)| without_numbers(path) == key);
        named.min_by_key(|(_, span)| span.start).map(|(path, _)| path.clone())
    }

    /// The value of this key could not be read: say nothing more about it.
    pub fn is_broken(&self, path: &str) -> bool {
        self.broken.contains(path)
    }

    /// A problem at this key, else at the nearest table around it that the file gives.
    pub fn problem(&self, path: &str, reason: impl Into<String>, fix: impl Into<String>) -> Problem {
        let problem = Problem::new(without_numbers(path), reason, fix);
        let mut nearest = path;
        loop {
            if let Some(span) = self.given.get(nearest) {
                return problem.at(self.source, span.clone());
            }
            match nearest.rfind(['.', '[']) {
                Some(end) => nearest = &nearest[..end],
                None => return problem,
            }
        }
    }
}

/// Reads a whole text. `folder`: where relative paths start; `credentials`: systemd's folder.
pub(super) fn read<'s>(
    source: &'s str,
    folder: &Path,
    credentials: Option<PathBuf>,
) -> (Config, Facts<'s>, Vec<Problem>) {
    let (root, syntax) = DeTable::parse_recoverable(source);
    let notes = Notes { folder: folder.to_owned(), credentials, flaws: Vec::new() };
    let mut reader = Reader {
        source,
        frames: Vec::new(),
        notes,
        problems: Vec::new(),
        given: HashMap::new(),
        broken: HashSet::new(),
    };
    let mut last_line = None;
    for error in &syntax {
        let span = error.span().unwrap_or(0..0);
        let problem =
            Problem::new("", format!("not TOML: {}", error.message()), syntax_fix(source, &span)).at(source, span);
        // One slip makes the parser stumble more than once on its line.
        let line = problem.place.map(|place| place.line);
        if last_line != line {
            reader.problems.push(problem);
        }
        last_line = line;
    }
    let mut config = Config::default();
    reader.inside(root.get_ref(), String::new(), syntax.is_empty(), |reader| keys::all(reader, &mut config));
    let Reader { mut problems, given, broken, .. } = reader;
    drop_consequences(source, &mut problems);
    problems.sort_by_key(|problem| problem.place);
    (config, Facts { source, given, broken }, problems)
}

/// Drops what only follows from a line that is not TOML: keys under a broken [table] line end up in the table above and
/// seem strangers there, and a broken value is a stand-in of the wrong type.
fn drop_consequences(source: &str, problems: &mut Vec<Problem>) {
    let broken_lines: Vec<usize> = problems
        .iter()
        .filter(|problem| problem.key.is_empty())
        .filter_map(|problem| problem.place.map(|place| place.line))
        .collect();
    problems.retain(|problem| {
        let Some(line) = problem.place.map(|place| place.line).filter(|_| !problem.key.is_empty()) else { return true };
        let head = source.lines().take(line).enumerate().filter(|(_, text)| is_head(text)).last();
        !broken_lines.contains(&line) && head.is_none_or(|(n, _)| !broken_lines.contains(&(n + 1)))
    });
}

fn is_head(line: &str) -> bool {
    line.trim_start().starts_with('[')
}

/// The visitor that reads.
struct Reader<'a> {
    source: &'a str,
    frames: Vec<Frame<'a>>,
    notes: Notes,
    problems: Vec<Problem>,
    given: HashMap<String, Range<usize>>,
    broken: HashSet<String>,
}

/// A table that is being read.
struct Frame<'a> {
    table: &'a DeTable<'a>,
    path: String,
    asked: Vec<&'static str>,
    whole: bool,
}

impl<'a> Reader<'a> {
    /// Reads one table, then names what it holds and nobody asked for. `whole`: the file's TOML had no fault, so
    /// that a key that is missing is really missing.
    fn inside(&mut self, table: &'a DeTable<'a>, path: String, whole: bool, read: impl FnOnce(&mut Self)) {
        self.frames.push(Frame { table, path, asked: Vec::new(), whole });
        read(self);
        let Some(frame) = self.frames.pop() else { return };
        for (key, value) in table.iter() {
            if !frame.asked.contains(&key.get_ref().as_ref()) {
                let problem = unknown(&frame, key.get_ref(), value);
                self.problems.push(problem.at(self.source, key.span()));
            }
        }
    }

    /// Looks a key up in the table that is being read.
    fn find(&mut self, name: &'static str) -> Option<(&'a Raw<'a>, String)> {
        let frame = self.frames.last_mut()?;
        frame.asked.push(name);
        let path = join(&frame.path, name);
        let (key, raw) = frame.table.get_key_value(name)?;
        let is_table = matches!(raw.get_ref(), DeValue::Table(_) | DeValue::Array(_));
        self.given.insert(path.clone(), if is_table { key.span() } else { raw.span() });
        Some((raw, path))
    }

    fn note(&mut self, path: &str, span: Range<usize>, reason: impl Into<String>, fix: impl Into<String>) {
        self.problems.push(Problem::new(without_numbers(path), reason, fix).at(self.source, span));
    }

    fn take<T, K: Kind<T>>(&mut self, raw: &Raw<'_>, path: String, slot: &mut T, kind: &K) {
        match kind.read(raw, &mut self.notes) {
            Some(value) => *slot = value,
            None => {
                self.broken.insert(path.clone());
            }
        }
        for flaw in std::mem::take(&mut self.notes.flaws) {
            self.note(&path, flaw.span, flaw.reason, flaw.fix);
        }
    }
}

impl Visit for Reader<'_> {
    fn key<T, K: Kind<T>>(&mut self, name: &'static str, slot: &mut T, kind: K) {
        if let Some((raw, path)) = self.find(name) {
            self.take(raw, path, slot, &kind);
        }
    }

    fn required<T, K: Kind<T>>(&mut self, name: &'static str, slot: &mut T, kind: K) {
        match self.find(name) {
            Some((raw, path)) => self.take(raw, path, slot, &kind),
            None => {
                let Some(frame) = self.frames.last().filter(|frame| frame.whole) else { return };
                let (path, table) = (join(&frame.path, name), frame.path.clone());
                let span = self.given.get(&table).cloned().unwrap_or(0..0);
                self.broken.insert(path.clone());
                let reason = format!("every [[{}]] needs the key {name}", without_numbers(&table));
                self.note(&path, span, reason, format!("add {name} = … to this table"));
            }
        }
    }

    fn table(&mut self, name: &'static str, inside: impl FnOnce(&mut Self)) {
        let Some((raw, path)) = self.find(name) else { return };
        let whole = self.frames.last().is_some_and(|frame| frame.whole);
        match raw.get_ref() {
            DeValue::Table(table) => self.inside(table, path, whole, inside),
            DeValue::Array(_) => {
                let shown = without_numbers(&path);
                let span = self.given.get(&path).cloned().unwrap_or_else(|| raw.span());
                self.note(
                    &path,
                    span,
                    "this table exists once, not as a list",
                    format!("write [{shown}] in single brackets"),
                );
            }
            _ => {
                let fix = format!("write [{}] on a line of its own, and its keys below", without_numbers(&path));
                self.note(&path, raw.span(), "this is a table, not a key", fix);
            }
        }
    }

    fn tables<T: Default>(&mut self, name: &'static str, rows: &mut Vec<T>, inside: impl Fn(&mut Self, &mut T)) {
        let Some((raw, path)) = self.find(name) else { return };
        let whole = self.frames.last().is_some_and(|frame| frame.whole);
        let fix = format!("write [[{}]] in double brackets, once for each", without_numbers(&path));
        let Some(elements) = raw.get_ref().as_array() else {
            let span = self.given.get(&path).cloned().unwrap_or_else(|| raw.span());
            return self.note(&path, span, "there may be several of this table: it is a list", fix);
        };
        for (n, element) in elements.iter().enumerate() {
            let path = format!("{path}[{n}]");
            match element.get_ref() {
                DeValue::Table(table) => {
                    self.given.insert(path.clone(), element.span());
                    let mut row = T::default();
                    self.inside(table, path, whole, |reader| inside(reader, &mut row));
                    rows.push(row);
                }
                _ => self.note(&path, element.span(), "this is not a table", fix.clone()),
            }
        }
    }
}

/// What to say about a key or table that does not exist.
fn unknown(frame: &Frame<'_>, key: &str, value: &Raw<'_>) -> Problem {
    let table = without_numbers(&frame.path);
    let path = join(&table, key);
    let is_table = match value.get_ref() {
        DeValue::Table(_) => true,
        DeValue::Array(elements) => elements.iter().any(|element| element.get_ref().is_table()),
        _ => false,
    };
    let what = if is_table { "there is no such table" } else { "there is no such key" };
    if let Some(meant) = meant(key, frame.asked.iter().copied()) {
        return Problem::new(path, what, format!("did you mean {meant}?"));
    }
    let home = show::all_paths().into_iter().find(|known| known.rsplit('.').next() == Some(key));
    let fix = match home.as_deref().and_then(|home| home.rsplit_once('.')) {
        Some((home, _)) => format!("{key} belongs to [{home}]: move it there"),
        None if frame.path.is_empty() => format!("remove it; the tables are {}", frame.asked.join(", ")),
        None => format!("remove it; the keys of [{table}] are {}", frame.asked.join(", ")),
    };
    Problem::new(path, what, fix)
}

/// The most common slips, by the line they stand on.
fn syntax_fix(source: &str, span: &Range<usize>) -> String {
    let start = source.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |n| n + 1);
    let line = source.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default().trim();
    let value = line.split_once('=').map(|(_, value)| value.trim());
    let seen_before = source.get(..start).is_some_and(|before| {
        let head = line.split_once('=').map_or(line, |(key, _)| key).trim();
        !head.is_empty()
            && before.lines().any(|earlier| earlier.split_once('=').map_or(earlier, |(key, _)| key).trim() == head)
    });
    match value {
        _ if line.starts_with('[') && !line.contains(']') => "close the bracket: [name]".into(),
        None if !line.starts_with('[') => "a line is a [table], or key = value, or a # comment".into(),
        Some("") => "write a value after the =".into(),
        Some(value) if value.starts_with('"') && value.matches('"').count() == 1 => "close the quotes".into(),
        Some(value) if value.starts_with(|c: char| c.is_ascii_alphabetic()) && value != "true" && value != "false" => {
            format!("put the text in quotes: \"{}\"", value.split('#').next().unwrap_or(value).trim().trim_matches('"'))
        }
        Some(value) if value.contains('\\') && value.contains('"') => {
            "inside double quotes write \\\\ for a backslash, or use single quotes".into()
        }
        _ if seen_before => "each key and each [table] may be written once; remove one of the two".into(),
        _ => "see https://toml.io for the form of the file".into(),
    }
}

fn join(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

/// `listener[0].tls` as people write it: `listener.tls`.
fn without_numbers(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut skipping = false;
    for c in path.chars() {
        match c {
            '[' => skipping = true,
            ']' => skipping = false,
            c if !skipping => out.push(c),
            _ => {}
        }
    }
    out
}
