//! Fields that somebody wants to look at: which ones, and what a message's header holds of them.
//!
//! In: names of the config, fields of [`super::header::scan_watching`].  Out: [`Watch`], [`Watched`].
//! Always: names match in any case; values are decoded, unfolded and bounded, as texts of [`super::header::Facts`] are; that a
//! field was there is known even when its value was over a bound; nothing is allocated where nothing is watched.
//! Sources: RFC 5322 §2.2 (names in any case).

use std::{cmp::Ordering, sync::Arc};

/// Octets kept of one value: longer than any list's name, shorter than what fills memory.
pub const VALUE_MAX: usize = 2 * 1024;
/// Values kept of one name: a field that is there more often is trace, not a mark.
pub const VALUES_A_NAME_MAX: usize = 16;
/// Values kept of a message in all: 128 KiB, while the message is accepted.
pub const VALUES_MAX: usize = 64;

/// The names of the fields to look at; cheap to copy.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Watch {
    /// In lower case, by length and then by letters, each once.
    names: Arc<[Arc<str>]>,
}

impl Watch {
    /// Watches these names, in any case, in any order; empty ones name no field.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut names: Vec<Arc<str>> =
            names.into_iter().filter(|n| !n.is_empty()).map(|n| n.to_ascii_lowercase().into()).collect();
        names.sort_by(|a, b| by_length(a.as_bytes(), b.as_bytes()));
        names.dedup();
        Watch { names: names.into() }
    }

    /// Nothing is watched.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The watched name that this field has.
    pub(super) fn find(&self, field: &[u8]) -> Option<&Arc<str>> {
        let at = self.names.binary_search_by(|name| by_length(name.as_bytes(), field)).ok()?;
        self.names.get(at)
    }
}

/// `name` is in lower case, `field` in any.
fn by_length(name: &[u8], field: &[u8]) -> Ordering {
    name.len().cmp(&field.len()).then_with(|| name.iter().copied().cmp(field.iter().map(u8::to_ascii_lowercase)))
}

/// What a header holds of the watched fields.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Watched {
    fields: Vec<(Arc<str>, Vec<String>)>,
    values: usize,
}

impl Watched {
    /// Whether a watched field is there, whatever its value is.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// The values of a watched field, decoded, in the order in which they stand in the header.
    pub fn values(&self, name: &str) -> &[String] {
        self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or(&[], |(_, values)| values)
    }

    /// A field of this name is there; true: its value is wanted, too.
    pub(super) fn meet(&mut self, name: &Arc<str>) -> bool {
        let known = self.fields.iter().position(|(known, _)| Arc::ptr_eq(known, name));
        let at = known.unwrap_or_else(|| {
            self.fields.push((name.clone(), Vec::new()));
            self.fields.len() - 1
        });
        self.values < VALUES_MAX && self.fields[at].1.len() < VALUES_A_NAME_MAX
    }

    /// Keeps a value of a field that was met.
    pub(super) fn keep(&mut self, name: &Arc<str>, value: String) {
        if let Some((_, values)) = self.fields.iter_mut().find(|(known, _)| Arc::ptr_eq(known, name)) {
            values.push(value);
            self.values += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::header::{Facts, scan, scan_watching};

    fn watched(head: &[u8], names: &[&str]) -> Watched {
        let (facts, watched) = scan_watching(head, "", &Watch::of(names.iter().copied()));
        assert_eq!(facts, scan(head, ""), "watching changes no fact");
        watched
    }

    #[test]
    fn values_come_decoded_in_order_and_by_any_case_of_the_name() {
        let head = "List-ID: =?UTF-8?B?5pel5pys?=\r\n  <news.example.jp>\r\nX-Tag: one\r\nSubject: x\r\nx-tag:\r\n\ttwo and\r\n more\r\n\
                    X-Other: \x1b$BF|K\\\x1b(B\r\nX-Empty:\r\n\r\nX-Tag: in the body\r\n";
        let found = watched(head.as_bytes(), &["x-TAG", "List-Id", "X-Other", "X-Empty", "X-Absent", "", "List-Id"]);
        assert_eq!(found.values("list-id"), ["日本 <news.example.jp>"]);
        assert_eq!(found.values("X-Tag"), ["one", "two and more"]);
        assert_eq!(found.values("X-Other"), ["日本"]);
        assert!(found.has("x-empty") && found.values("X-Empty") == [""]);
        assert!(!found.has("X-Absent") && !found.has("Subject") && found.values("Subject").is_empty());
    }

    #[test]
    fn facts_and_watched_values_come_from_the_same_field() {
        let (facts, found) = scan_watching(b"Subject: =?utf-8?q?a=20b?=\r\n\r\n", "", &Watch::of(["subject"]));
        assert_eq!((facts.subject.as_str(), found.values("Subject")), ("a b", &["a b".to_owned()][..]));
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_watched() {
        assert!(Watch::default().is_empty() && Watch::of([""]).is_empty());
        assert_eq!(watched(b"A: b\r\n\r\n", &[]), Watched::default());
        assert_eq!(scan_watching(b"", "", &Watch::of(["a"])), (Facts::default(), Watched::default()));
    }

    #[test]
    fn a_hostile_header_fills_its_bounds_and_hides_no_field() {
        let mut head = String::new();
        for name in ["A", "B", "C", "D", "E"] {
            head.push_str(&format!("{name}: {}\r\n", "日".repeat(700)).repeat(20));
        }
        head.push_str("List-Unsubscribe: <https://example.jp/>\r\n\r\n");
        let found = watched(head.as_bytes(), &["a", "b", "c", "d", "e", "List-Unsubscribe"]);
        assert_eq!(found.values("A").len(), VALUES_A_NAME_MAX);
        assert!(found.values("A").iter().all(|v| v.len() <= VALUE_MAX && v.len() > VALUE_MAX - 3));
        assert_eq!(["A", "B", "C", "D", "E"].iter().map(|n| found.values(n).len()).sum::<usize>(), VALUES_MAX);
        assert!(found.has("list-unsubscribe") && found.values("list-unsubscribe").is_empty());
    }
}
