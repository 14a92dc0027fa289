//! A config under construction: settings by table, where each comes from, and what could not be taken over.
//!
//! In: settings and notes.  Out: TOML that the config reader takes: a line that it refuses becomes a comment with its reason.
//! Always: whatever was read, no value can end its quotes; a table that lacks what it needs is a comment as a whole.

use std::path::Path;

use crate::config::{self, Surroundings};

/// Rounds of reading and correcting at most: each takes at least one line out.
const ROUNDS_MAX: usize = 500;

/// Something that was not taken over.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Note {
    /// The file.
    pub file: String,
    /// The line, from 1; 0: none.
    pub line: usize,
    /// What stands there.
    pub what: String,
    /// Why it has no equivalent, and what to do instead.
    pub why: String,
}

/// A config under construction.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Head line and settings of each table, in the order in which they came.
    tables: Vec<(String, Vec<String>)>,
    notes: Vec<Note>,
}

/// Octets of a value that a note shows.
const SHOWN_MAX: usize = 200;

impl Draft {
    /// Sets a key of a single table, `[table]`; `from` says why it is there.
    pub fn set(&mut self, table: &str, key: &str, value: &str, from: &str) {
        let head = format!("[{table}]");
        let line = setting(key, value, from);
        match self.tables.iter_mut().find(|(known, _)| *known == head) {
            Some((_, lines)) => {
                let begins = format!("{key} = ");
                lines.retain(|line| !line.starts_with(&begins));
                lines.push(line);
            }
            None => self.tables.push((head, vec![line])),
        }
    }

    /// Adds a row, `[[table]]`.
    pub fn row(&mut self, table: &str, settings: &[(&str, String)], from: &str) {
        let lines =
            settings.iter().enumerate().map(|(n, (key, value))| setting(key, value, if n == 0 { from } else { "" }));
        self.tables.push((format!("[[{table}]]"), lines.collect()));
    }

    /// Notes what was not taken over.
    pub fn note(&mut self, file: &str, line: usize, what: &str, why: impl Into<String>) {
        let what: String = what.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let cut = what.floor_char_boundary(SHOWN_MAX);
        let what = if cut < what.len() { format!("{}…", &what[..cut]) } else { what };
        self.notes.push(Note { file: one_line(file), line, what, why: one_line(&why.into()) });
    }

    /// What was not taken over.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The config, which the reader takes; beside it what the reader warns of.
    ///
    /// # Errors
    /// What the reader says in the end, which is a fault of ours.
    pub fn finish(mut self, title: &str, path: &Path, around: &Surroundings) -> Result<(String, Vec<String>), String> {
        // Single tables of one name stand together, before the rows below them: TOML wants the table first.
        self.tables.sort_by_key(|(head, _)| head.starts_with("[["));
        let mut lines: Vec<String> = title.lines().map(|line| format!("# {line}").trim_end().to_owned()).collect();
        for (head, settings) in &self.tables {
            lines.push(String::new());
            lines.push(head.clone());
            lines.extend(settings.iter().cloned());
        }
        let mut left_out = Vec::new();
        for _ in 0..ROUNDS_MAX {
            match config::read_str(path, &lines.join("\n"), around) {
                Ok(read) => {
                    self.notes.sort();
                    if !self.notes.is_empty() || !left_out.is_empty() {
                        lines.push(String::new());
                        lines.push("# What has no equivalent here, by file and line:".to_owned());
                    }
                    lines.extend(left_out);
                    lines.extend(self.notes.iter().map(|note| {
                        let place =
                            if note.line == 0 { note.file.clone() } else { format!("{}:{}", note.file, note.line) };
                        format!("# {place}: {}: {}", note.what, note.why)
                    }));
                    let warnings = read.warnings.iter().map(ToString::to_string).collect();
                    return Ok((format!("{}\n", lines.join("\n")), warnings));
                }
                Err(errors) => {
                    let Some(error) = errors.errors.iter().find(|e| e.place.is_some()) else {
                        return Err(errors.to_string());
                    };
                    let at = error.place.map_or(0, |place| place.line.saturating_sub(1));
                    let why = one_line(&format!("{}; {}", error.reason, error.fix));
                    if !comment_out(&mut lines, at, &why) {
                        return Err(errors.to_string());
                    }
                    left_out.push(format!("# left out: {}: {why}", error.key));
                }
            }
        }
        Err("the config could not be made right".to_owned())
    }
}

/// Makes a comment of a setting, or of a whole row; false: there is nothing to be taken out.
fn comment_out(lines: &mut [String], at: usize, why: &str) -> bool {
    let Some(line) = lines.get(at).filter(|line| !line.is_empty() && !line.starts_with('#')) else { return false };
    let is_head = line.starts_with('[');
    let end = if is_head {
        let next = lines[at + 1..].iter().position(|line| line.is_empty());
        next.map_or(lines.len(), |n| at + 1 + n)
    } else {
        at + 1
    };
    for line in &mut lines[at..end] {
        if !line.starts_with('#') {
            *line = format!("#{line}");
        }
    }
    lines[at].push_str(&format!("  # left out: {why}"));
    true
}

fn setting(key: &str, value: &str, from: &str) -> String {
    if from.is_empty() { format!("{key} = {value}") } else { format!("{key} = {value}  # {}", one_line(from)) }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace(|c: char| c.is_control(), " ")
}

/// A text as TOML.
pub fn text(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Texts as TOML.
pub fn texts<S: AsRef<str>>(values: &[S]) -> String {
    format!("[{}]", values.iter().map(|value| text(value.as_ref())).collect::<Vec<_>>().join(", "))
}

/// A time in seconds as TOML.
pub fn seconds(seconds: u64) -> String {
    for (unit, word) in [(86_400, 'd'), (3_600, 'h'), (60, 'm')] {
        if seconds > 0 && seconds.is_multiple_of(unit) {
            return format!("\"{}{word}\"", seconds / unit);
        }
    }
    format!("\"{seconds}s\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Files;

    fn finish(draft: Draft) -> (String, Vec<String>) {
        let around = Surroundings::of_this_machine(Files::Ignored);
        draft.finish("Title", Path::new("/x.toml"), &around).expect("a config")
    }

    #[test]
    fn what_the_reader_refuses_becomes_a_comment() {
        let mut draft = Draft::default();
        draft.set("relay", "recipients_max", "50", "main.cf:3");
        draft.set("relay", "sessions_max", "\"many\"", "main.cf:4");
        draft.set("relay", "recipients_max", "60", "main.cf:9");
        draft.row("listener", &[("address", text("nowhere"))], "master.cf:1");
        draft.row("listener", &[("address", text("127.0.0.1:2525")), ("role", text("relay"))], "master.cf:2");
        draft.row("delivery.rule", &[("name", text("a\"b\n")), ("recipients", texts(&["("]))], "transport:1");
        draft.note("main.cf", 7, "x = \u{1b}[2J", "a\nb");
        let (text, _) = finish(draft);
        for line in [
            "recipients_max = 60  # main.cf:9",
            "#sessions_max = \"many\"",
            "#[[listener]]",
            "address = \"127.0.0.1:2525\"  # master.cf:2",
            "# main.cf:7: x =  [2J: a b",
        ] {
            assert!(text.lines().any(|l| l.starts_with(line)), "{line} is missing in:\n{text}");
        }
        assert!(!text.contains("recipients_max = 50"));
        let around = Surroundings::of_this_machine(Files::Ignored);
        let read = config::read_str(Path::new("/x.toml"), &text, &around).expect("it passes").config;
        assert_eq!((read.relay.recipients_max, read.listeners.len()), (60, 1));
    }

    #[test]
    fn values_are_written_as_toml() {
        assert_eq!(text("a\"b\\c\u{7}"), "\"a\\\"b\\\\c\\u0007\"");
        assert_eq!(texts(&["a", "b"]), "[\"a\", \"b\"]");
        for (n, expected) in [(0, "\"0s\""), (300, "\"5m\""), (86_400, "\"1d\""), (90, "\"90s\""), (7_200, "\"2h\"")] {
            assert_eq!(seconds(n), expected);
        }
    }
}
