//! The kinds of values that look at a mail's header: a field's name, and what its value must be.
//!
//! Always: as for `kinds`.
//! Sources: RFC 5322 §2.2 (field names); cmc.md §12.6 (lengths; exact unless written as a pattern).

use super::{
    ValuePattern,
    kinds::{Kind, Notes, Raw, Text, quoted, string},
    kinds_net::compiled,
};

/// Letters of a field's name at most.
const FIELD_NAME_MAX: usize = 100;
/// Letters of a value or pattern at most.
const VALUE_PATTERN_MAX: usize = 100;

/// The name of a header field.
pub(super) struct FieldName;

impl Kind<String> for FieldName {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<String> {
        let text = Text(FIELD_NAME_MAX).read(raw, notes)?;
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
            let reason = format!("{} is not the name of a header field", quoted(&text));
            return notes.flaw(raw, reason, "use letters, digits and hyphens, without the colon: \"List-Id\"");
        }
        Some(text)
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }
}

/// A name that people see: a short text without blanks at its ends.
pub(super) struct Label(pub usize);

impl Kind<String> for Label {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<String> {
        let text = Text(self.0).read(raw, notes)?;
        if text.is_empty() || text.trim() != text {
            return notes.flaw(
                raw,
                "a name has letters, and no blank at its ends",
                "write \"newsletter\", for example",
            );
        }
        Some(text)
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }
}

/// The whole value of a field, or a regular expression between slashes.
pub(super) struct FieldPattern;

/// The expression of a text that is written between slashes.
fn between_slashes(text: &str) -> Option<&str> {
    text.strip_prefix('/')?.strip_suffix('/').filter(|inside| !inside.is_empty())
}

impl Kind<ValuePattern> for FieldPattern {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<ValuePattern> {
        let text = string(raw, "\"<news.example.jp>\"", notes)?;
        let fix = format!("write the whole value, or a pattern between slashes, in 1 to {VALUE_PATTERN_MAX} letters");
        if text.trim().is_empty() {
            return notes.flaw(raw, "an empty value is not what mail of a list has", fix);
        }
        if text.chars().count() > VALUE_PATTERN_MAX || text.chars().any(char::is_control) {
            return notes.flaw(raw, "the value is too long, or has a line break or another control character", fix);
        }
        let Some(pattern) = between_slashes(text) else { return Some(ValuePattern::Exact(text.trim().to_owned())) };
        let regex = compiled(pattern, raw, notes)?;
        // What matches a text of no letters matches every text.
        if regex.is_match("") {
            let reason = format!("the pattern {} matches every value", quoted(text));
            return notes.flaw(raw, reason, "name what is special about the value");
        }
        Some(ValuePattern::Regex(regex))
    }

    fn show(&self, value: &ValuePattern) -> Option<String> {
        Some(match value {
            ValuePattern::Exact(text) => quoted(text),
            ValuePattern::Regex(regex) => quoted(&format!("/{}/", regex.as_str())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_between_slashes() {
        for (text, inside) in [
            ("/a/", Some("a")),
            ("/a/b/", Some("a/b")),
            ("//", None),
            ("/", None),
            ("a/", None),
            ("/a", None),
            ("", None),
        ] {
            assert_eq!(between_slashes(text), inside, "{text}");
        }
    }
}
