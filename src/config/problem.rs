//! What is wrong with a config file, said so that it can be put right: place, key, reason, fix.
//!
//! In: spans and words.  Out: [`Problem`]s in the order of the file, and [`ConfigErrors`], all of them at once.
//! Always: a line that may hold a secret is never quoted.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

/// Letters of a quoted line that are shown at most; a longer line is not quoted.
const QUOTED_LINE_MAX: usize = 160;
/// Words in a line that keep it from being quoted.
const SECRET_WORDS: [&str; 4] = ["api_key", "signing_key", "password", "secret"];

/// Where in a file: both count from 1; the column counts letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One thing that is wrong (an error) or looks wrong (a warning).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Where; `None` when it is about something that the file does not say.
    pub place: Option<Place>,
    /// The key, `table.key`; empty for a fault of TOML itself.
    pub key: String,
    /// What is wrong, in words.
    pub reason: String,
    /// What to do about it.
    pub fix: String,
    /// The line in question and the letters that are marked in it.
    quote: Option<(String, Range<usize>)>,
}

/// A problem that keeps nothing from working.
pub type Warning = Problem;

impl Problem {
    /// A problem without a place.
    pub fn new(key: impl Into<String>, reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Problem { place: None, key: key.into(), reason: reason.into(), fix: fix.into(), quote: None }
    }

    /// The same problem at the bytes `span` of `source`.
    #[must_use]
    pub fn at(mut self, source: &str, span: Range<usize>) -> Self {
        let start = floor_boundary(source, span.start);
        let line_start = source[..start].rfind('\n').map_or(0, |n| n + 1);
        let line_end = source[start..].find('\n').map_or(source.len(), |n| start + n);
        let line = source[line_start..line_end].trim_end_matches('\r');
        let column = source[line_start..start].chars().count();
        self.place = Some(Place { line: source[..line_start].matches('\n').count() + 1, column: column + 1 });
        let lower = line.to_ascii_lowercase();
        if line.chars().count() <= QUOTED_LINE_MAX && !SECRET_WORDS.iter().any(|word| lower.contains(word)) {
            let end = floor_boundary(source, span.end.clamp(start, line_end));
            let marked = source[start..end].trim_end().chars().count().max(1);
            self.quote = Some((line.to_owned(), column..column + marked));
        }
        self
    }

    /// One line, for the daemon's log: place, key, reason, fix.
    pub fn line(&self, file: Option<&Path>) -> String {
        let mut out = self.head(file);
        if !self.fix.is_empty() {
            out.push_str("; ");
            out.push_str(&self.fix);
        }
        out
    }

    /// Several lines, for people: the head, the line in question with a mark under it, and the fix.
    pub fn page(&self, file: Option<&Path>) -> String {
        let mut out = self.head(file);
        if let (Some(place), Some((line, marked))) = (self.place, &self.quote) {
            let number = place.line.to_string();
            // A tab is one letter to us and many columns to a terminal: show it as one blank.
            let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            out.push_str(&format!("\n  {number} | {line}\n  {:>1$} | ", "", number.len()));
            out.push_str(&" ".repeat(marked.start));
            out.push_str(&"^".repeat(marked.len()));
        }
        if !self.fix.is_empty() {
            out.push_str("\n  fix: ");
            out.push_str(&self.fix);
        }
        out
    }

    fn head(&self, file: Option<&Path>) -> String {
        let mut out = String::new();
        if let Some(file) = file {
            out.push_str(&file.display().to_string());
            if let Some(Place { line, column }) = self.place {
                out.push_str(&format!(":{line}:{column}"));
            }
            out.push_str(": ");
        }
        if !self.key.is_empty() {
            out.push_str(&self.key);
            out.push_str(": ");
        }
        out.push_str(&self.reason);
        out
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line(None))
    }
}

/// Everything that keeps a config file from being used.
#[derive(Clone, Debug, thiserror::Error)]
pub struct ConfigErrors {
    /// The file.
    pub file: PathBuf,
    /// The errors, in the order of the file; never empty.
    pub errors: Vec<Problem>,
    /// Warnings that were found on the way.
    pub warnings: Vec<Warning>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.errors {
            writeln!(f, "{}\n", error.page(Some(&self.file)))?;
        }
        match self.errors.len() {
            1 => write!(f, "1 error"),
            n => write!(f, "{n} errors"),
        }
    }
}

/// The greatest letter boundary that is not after `at`.
fn floor_boundary(source: &str, at: usize) -> usize {
    let mut at = at.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The one of `known` that `word` was probably meant to be.
pub(super) fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace('-', "_");
    let bound = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.replace('-', "_")), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, delete, replace or swap with their neighbour to make `b` of `a` (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_key_and_a_stranger_finds_none() {
        let known = ["hostname", "data_dir", "time_zone", "threads"];
        assert_eq!(meant("hostnmae", known), Some("hostname"));
        assert_eq!(meant("time-zone", known), Some("time_zone"));
        assert_eq!(meant("Threads", known), Some("threads"));
        assert_eq!(meant("colour", known), None);
    }

    #[test]
    fn the_place_counts_letters_and_secrets_are_not_quoted() {
        let source = "a = 1\n\u{98db}\u{811a} = \"x\" # y\napi_key = 5\n";
        let at = source.find("\"x\"").unwrap();
        let problem = Problem::new("k", "r", "f").at(source, at..at + 3);
        assert_eq!(problem.place, Some(Place { line: 2, column: 6 }));
        assert!(problem.page(None).contains("     ^^^"), "{}", problem.page(None));
        let at = source.find('5').unwrap();
        let problem = Problem::new("k", "r", "f").at(source, at..at + 1);
        assert!(!problem.page(None).contains("= 5"), "{}", problem.page(None));
    }
}
