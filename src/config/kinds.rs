//! What a value may look like: each kind reads its TOML form with every fault named, and writes it back.
//!
//! In: a spanned TOML value.  Out: the typed value, or flaws with reason and fix.
//! Always: what `show` writes, `read` takes, and gives the same value; a list names each of its bad elements.
//! Sources: config.md.

use std::{ops::Range, time::Duration};

use toml::{Spanned, de::DeValue};

use super::problem::meant;
use crate::secret::Secret;

/// A TOML value with its place.
pub(super) type Raw<'v> = Spanned<DeValue<'v>>;

/// What is wrong with a value.
pub(super) struct Flaw {
    /// The bytes it is about.
    pub span: Range<usize>,
    /// What is wrong.
    pub reason: String,
    /// What to write instead.
    pub fix: String,
}

/// What a kind needs to know, and where it writes flaws.
#[derive(Default)]
pub(super) struct Notes {
    /// The folder that relative paths start from: the config file's.
    pub folder: std::path::PathBuf,
    /// systemd's folder of this service's credentials.
    pub credentials: Option<std::path::PathBuf>,
    /// What was found wrong.
    pub flaws: Vec<Flaw>,
}

impl Notes {
    /// Notes a flaw; answers `None` so that a reader can end with it.
    pub fn flaw<T>(&mut self, raw: &Raw<'_>, reason: impl Into<String>, fix: impl Into<String>) -> Option<T> {
        self.flaws.push(Flaw { span: raw.span(), reason: reason.into(), fix: fix.into() });
        None
    }
}

/// How one kind of value is read and shown.
pub(super) trait Kind<T> {
    /// The value, or `None` after a flaw was noted.
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<T>;

    /// The value as TOML; `None`: it is not set, and there is no way to write that.
    fn show(&self, value: &T) -> Option<String>;

    /// It must never be shown to anybody.
    fn is_secret(&self) -> bool {
        false
    }
}

/// The string of a value; a value of another type is a flaw, and `example` shows what to write.
pub(super) fn string<'v>(raw: &'v Raw<'_>, example: &str, notes: &mut Notes) -> Option<&'v str> {
    match raw.get_ref() {
        DeValue::String(text) => Some(text),
        other => notes.flaw(
            raw,
            format!("this is {}, not a string", type_name(other)),
            format!("write it in quotes, as {example}"),
        ),
    }
}

/// `text` as a TOML string: literal quotes where that saves backslashes.
pub(super) fn quoted(text: &str) -> String {
    if text.contains('\\') && !text.contains('\'') && !text.chars().any(char::is_control) {
        return format!("'{text}'");
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// `true` or `false`.
pub(super) struct Bool;

impl Kind<bool> for Bool {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<bool> {
        match raw.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            other => notes.flaw(
                raw,
                format!("this is {}, not true or false", type_name(other)),
                "write true or false, without quotes",
            ),
        }
    }

    fn show(&self, value: &bool) -> Option<String> {
        Some(value.to_string())
    }
}

/// A whole number between two bounds.
pub(super) struct Whole(pub u64, pub u64);

impl<T: Copy + TryFrom<u64> + TryInto<u64>> Kind<T> for Whole {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<T> {
        let Whole(min, max) = *self;
        let DeValue::Integer(number) = raw.get_ref() else {
            let found = type_name(raw.get_ref());
            return notes.flaw(
                raw,
                format!("this is {found}, not a whole number"),
                format!("write a number from {min} to {max}, without quotes"),
            );
        };
        let value = i128::from_str_radix(number.as_str(), number.radix()).ok().and_then(|n| u64::try_from(n).ok());
        match value.filter(|n| (min..=max).contains(n)).and_then(|n| T::try_from(n).ok()) {
            Some(value) => Some(value),
            None => notes.flaw(raw, format!("{number} is out of range"), format!("write a number from {min} to {max}")),
        }
    }

    fn show(&self, value: &T) -> Option<String> {
        (*value).try_into().ok().map(|n: u64| n.to_string())
    }
}

/// A duration between two bounds, such as `"30s"`.
pub(super) struct Time(pub Duration, pub Duration);

/// Units of durations, longest first, in milliseconds.
const TIME_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// So many days.
pub(super) const fn days(n: u64) -> Duration {
    Duration::from_secs(n * 86_400)
}

/// So many hours.
pub(super) const fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

impl Kind<Duration> for Time {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<Duration> {
        if let DeValue::Integer(number) = raw.get_ref() {
            return notes.flaw(
                raw,
                "a duration needs a unit",
                format!("write \"{number}s\" for seconds; units are ms, s, m, h and d"),
            );
        }
        let text = string(raw, "\"30s\"", notes)?;
        let Some(value) = parse_duration(text) else {
            let fix = match text.parse::<u64>() {
                Ok(n) => format!("add a unit: \"{n}s\"; units are ms, s, m, h and d"),
                Err(_) => {
                    "write a whole number and one of the units ms, s, m, h and d: \"250ms\", \"30s\", \"4h\", \"40d\""
                        .into()
                }
            };
            return notes.flaw(raw, format!("{} is not a duration", quoted(text)), fix);
        };
        let Time(min, max) = *self;
        if !(min..=max).contains(&value) {
            let bounds = format!("write a duration from \"{}\" to \"{}\"", show_duration(min), show_duration(max));
            return notes.flaw(raw, format!("{} is out of range", quoted(text)), bounds);
        }
        Some(value)
    }

    fn show(&self, value: &Duration) -> Option<String> {
        Some(quoted(&show_duration(*value)))
    }
}

/// Reads a duration as the config file writes it: a whole number and one of the units ms, s, m, h and d (`"30s"`, `"4h"`).
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, millis) = TIME_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*millis).map(Duration::from_millis)
}

/// The same, in the largest unit that loses nothing.
pub(super) fn show_duration(value: Duration) -> String {
    let millis = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".into();
    }
    let (name, unit) = TIME_UNITS.iter().find(|(_, unit)| millis.is_multiple_of(*unit)).unwrap_or(&("ms", 1));
    format!("{}{name}", millis / unit)
}

/// A number of bytes between two bounds, such as `"20MiB"`.
pub(super) struct Bytes(pub u64, pub u64);

/// Units of sizes, largest first.
const SIZE_UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl Kind<u64> for Bytes {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<u64> {
        let Bytes(min, max) = *self;
        let written;
        let text = match raw.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => {
                written = number.as_str().to_owned();
                &written
            }
            _ => string(raw, "\"20MiB\"", notes)?,
        };
        let Some(value) = parse_size(text) else {
            return notes.flaw(raw, format!("{} is not a size", quoted(text)), size_fix(text));
        };
        if !(min..=max).contains(&value) {
            let bounds = format!("write a size from \"{}\" to \"{}\"", show_size(min), show_size(max));
            return notes.flaw(raw, format!("{} is out of range", quoted(text)), bounds);
        }
        Some(value)
    }

    fn show(&self, value: &u64) -> Option<String> {
        Some(quoted(&show_size(*value)))
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" | "B" => 1,
        _ => SIZE_UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Most people who write `20MB` mean `20MiB`, but only they can know.
fn size_fix(text: &str) -> String {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    match SIZE_UNITS.iter().find(|(name, _)| unit.starts_with(&name[..1].to_ascii_lowercase())) {
        Some((name, _)) if !number.is_empty() => {
            format!("write \"{number}{name}\"; units are KiB, MiB and GiB, or none for bytes")
        }
        _ => "write a whole number and one of the units KiB, MiB and GiB, or none for bytes: \"20MiB\"".into(),
    }
}

/// A size in the largest unit that loses nothing.
pub(super) fn show_size(value: u64) -> String {
    match SIZE_UNITS.iter().find(|(_, unit)| value >= *unit && value.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", value / unit),
        None => value.to_string(),
    }
}

/// One of a few words, each with what it means.
pub(super) struct Words<T: 'static>(pub &'static [(&'static str, T)]);

impl<T: Clone + PartialEq> Kind<T> for Words<T> {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<T> {
        let all = || self.0.iter().map(|(word, _)| quoted(word)).collect::<Vec<_>>().join(", ");
        let DeValue::String(text) = raw.get_ref() else {
            let found = type_name(raw.get_ref());
            return notes.flaw(
                raw,
                format!("this is {found}, not one of this key's words"),
                format!("write one of {}", all()),
            );
        };
        match self.0.iter().find(|(word, _)| *word == text.as_ref()) {
            Some((_, value)) => Some(value.clone()),
            None => {
                let fix = match meant(text, self.0.iter().map(|(word, _)| *word)) {
                    Some(word) => format!("did you mean {}? The words are {}", quoted(word), all()),
                    None => format!("write one of {}", all()),
                };
                notes.flaw(raw, format!("{} is not a word of this key", quoted(text)), fix)
            }
        }
    }

    fn show(&self, value: &T) -> Option<String> {
        self.0.iter().find(|(_, of)| of == value).map(|(word, _)| quoted(word))
    }
}

/// An optional value: the empty string is none.
pub(super) struct OrEmpty<K>(pub K);

impl<T, K: Kind<T>> Kind<Option<T>> for OrEmpty<K> {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<Option<T>> {
        match raw.get_ref() {
            DeValue::String(text) if text.is_empty() => Some(None),
            _ => self.0.read(raw, notes).map(Some),
        }
    }

    fn show(&self, value: &Option<T>) -> Option<String> {
        value.as_ref().map_or_else(|| Some(quoted("")), |value| self.0.show(value))
    }
}

/// An optional value: absent is none.
pub(super) struct OrAbsent<K>(pub K);

impl<T, K: Kind<T>> Kind<Option<T>> for OrAbsent<K> {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<Option<T>> {
        self.0.read(raw, notes).map(Some)
    }

    fn show(&self, value: &Option<T>) -> Option<String> {
        value.as_ref().and_then(|value| self.0.show(value))
    }
}

/// A list of values.
pub(super) struct List<K> {
    /// The kind of each.
    pub of: K,
    /// How many there must be.
    pub min: usize,
    /// How many there may be.
    pub max: usize,
}

/// Up to 1,000 values: a list that a person still oversees.
pub(super) const fn list<K>(of: K) -> List<K> {
    List { of, min: 0, max: 1000 }
}

impl<T, K: Kind<T>> Kind<Vec<T>> for List<K> {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<Vec<T>> {
        let Some(elements) = raw.get_ref().as_array() else {
            return notes.flaw(
                raw,
                format!("this is {}, not a list", type_name(raw.get_ref())),
                "put it in brackets: [ … ]",
            );
        };
        if elements.len() < self.min {
            return notes.flaw(raw, "the list is empty", format!("give at least {} value(s)", self.min));
        }
        if elements.len() > self.max {
            return notes.flaw(
                raw,
                format!("the list has {} values", elements.len()),
                format!("give at most {}", self.max),
            );
        }
        let values: Vec<T> = elements.iter().filter_map(|element| self.of.read(element, notes)).collect();
        (values.len() == elements.len()).then_some(values)
    }

    fn show(&self, values: &Vec<T>) -> Option<String> {
        let shown: Option<Vec<String>> = values.iter().map(|value| self.of.show(value)).collect();
        shown.map(|shown| format!("[{}]", shown.join(", ")))
    }
}

/// A text of one line, at most so many letters.
pub(super) struct Text(pub usize);

impl Kind<String> for Text {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<String> {
        let text = string(raw, "\"text\"", notes)?;
        if text.chars().any(char::is_control) {
            return notes.flaw(raw, "the text has a line break or another control character", "keep it on one line");
        }
        if text.chars().count() > self.0 {
            return notes.flaw(raw, "the text is too long", format!("use at most {} letters", self.0));
        }
        Some(text.to_owned())
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }
}

/// The name of a rule: a short text of one line, without the sign that parts a destination from a rule's name.
pub(super) struct Name;

/// Letters of a name at most.
const NAME_MAX: usize = 64;

impl Kind<String> for Name {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<String> {
        let text = Text(NAME_MAX).read(raw, notes)?;
        if text.trim().is_empty() || text.trim() != text {
            return notes.flaw(raw, "a name has letters, and no blank at its ends", "write \"docomo\", for example");
        }
        if text.contains('#') {
            return notes.flaw(raw, format!("{} has a #", quoted(&text)), "use any other sign");
        }
        Some(text)
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }
}

/// A day, `"YYYY-MM-DD"`, in days since 1970-01-01.
pub(super) struct Day;

/// The day from which days are counted.
const EPOCH: jiff::civil::Date = jiff::civil::date(1970, 1, 1);

impl Kind<u32> for Day {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<u32> {
        let text = string(raw, "\"2026-11-24\"", notes)?;
        let shape = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let day = text.parse::<jiff::civil::Date>().ok().filter(|_| shape);
        match day.and_then(|day| u32::try_from((day - EPOCH).get_days()).ok()) {
            Some(days) => Some(days),
            None => notes.flaw(raw, format!("{} is not a day", quoted(text)), "write \"YYYY-MM-DD\": \"2026-11-24\""),
        }
    }

    fn show(&self, value: &u32) -> Option<String> {
        let span = jiff::Span::new().try_days(*value).ok()?;
        EPOCH.checked_add(span).ok().map(|day| quoted(&day.to_string()))
    }
}

/// A text that is never shown.
pub(super) struct Hidden;

impl Kind<Secret<String>> for Hidden {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<Secret<String>> {
        Text(1024).read(raw, notes).map(Secret::new)
    }

    fn show(&self, value: &Secret<String>) -> Option<String> {
        Some(quoted(value.reveal()))
    }

    fn is_secret(&self) -> bool {
        true
    }
}

/// `"03:40"` in minutes after midnight.
fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let shape = hour.len() == 2 && minute.len() == 2;
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (shape && hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

/// The time of a daily run in minutes after midnight, or the word that stands for none.
pub(super) struct DailyTime {
    /// The word.
    pub none: &'static str,
    /// A time to name where something else was written.
    pub example: &'static str,
}

impl DailyTime {
    /// A run that may as well be at once.
    pub const OR_IMMEDIATELY: DailyTime = DailyTime { none: "immediately", example: "00:00" };
    /// A run that may as well not be.
    pub const OR_NEVER: DailyTime = DailyTime { none: "never", example: "03:40" };
}

impl Kind<Option<u16>> for DailyTime {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<Option<u16>> {
        let DailyTime { none, example } = self;
        let text = string(raw, &format!("\"{none}\" or \"{example}\""), notes)?;
        match minute_of_day(text) {
            Some(minutes) => Some(Some(minutes)),
            None if text == *none => Some(None),
            None => {
                let fix = format!("write \"{none}\", or a time of day from \"00:00\" to \"23:59\"");
                notes.flaw(raw, format!("{} is not a time of day", quoted(text)), fix)
            }
        }
    }

    fn show(&self, value: &Option<u16>) -> Option<String> {
        Some(match value {
            None => quoted(self.none),
            Some(minutes) => format!("\"{:02}:{:02}\"", minutes / 60, minutes % 60),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_reads_back_what_it_shows() {
        for (text, days) in [("1970-01-01", 0), ("2026-11-24", 20_781), ("2028-02-29", 21_243)] {
            assert_eq!(Day.show(&days), Some(quoted(text)));
        }
    }

    #[test]
    fn durations_and_sizes_read_back_what_they_show() {
        for (text, millis) in
            [("250ms", 250), ("30s", 30_000), ("1m", 60_000), ("4h", 14_400_000), ("40d", 3_456_000_000)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)));
            assert_eq!(show_duration(Duration::from_millis(millis)), text);
        }
        for bad in ["", "s", "5", "1.5h", "-1s", "1 h", "1w", "1H", "99999999999999999999d", "18446744073709551615d"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        for (text, bytes) in [("20MiB", 20 << 20), ("1KiB", 1024), ("3GiB", 3 << 30), ("1000", 1000), ("0", 0)] {
            assert_eq!(parse_size(text), Some(bytes));
            assert_eq!(show_size(bytes), text);
        }
        for bad in ["", "MiB", "20MB", "1.5MiB", "20 MiB", "-1", "99999999999999999999"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
        assert!(size_fix("20MB").contains("\"20MiB\""));
    }
}
