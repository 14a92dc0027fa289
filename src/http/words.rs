//! The two languages of pages, and times, numbers and sizes as people say them.
//!
//! Always: a text stands in both languages at the place where it is used.
//! Sources: RFC 9110 §12.5.4 (Accept-Language).

use std::time::Duration;

pub use crate::language::number;
use crate::{
    clock::Timestamp,
    http::exchange::Request,
    language::{Language, turns_letters},
};

/// Ranges of Accept-Language that are read at most.
const RANGES_MAX: usize = 20;

/// A language, and how it was chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lang {
    /// Japanese; else English.
    pub japanese: bool,
    /// Chosen by `?lang=`, so that links carry it on.
    chosen: bool,
}

impl Lang {
    /// The language of a request: `?lang=`, else what the browser prefers, else English.
    pub fn of(request: &Request) -> Self {
        match request.param("lang") {
            "ja" => Lang { japanese: true, chosen: true },
            "en" => Lang { japanese: false, chosen: true },
            _ => Lang { japanese: prefers_japanese(&request.accept_language), chosen: false },
        }
    }

    /// The language of a reader: `?lang=`, else the one that the account names (`en`, `ja`), else what the browser prefers.
    pub fn for_reader(request: &Request, own: &str) -> Self {
        match (request.param("lang"), own) {
            ("en" | "ja", _) => Lang::of(request),
            (_, "en") => Lang { japanese: false, chosen: false },
            (_, "ja") => Lang { japanese: true, chosen: false },
            (_, _) => Lang::of(request),
        }
    }

    /// It was chosen by `?lang=`: forms carry it on.
    pub fn is_chosen(self) -> bool {
        self.chosen
    }

    /// The text of this language.
    pub fn say(self, english: &'static str, japanese: &'static str) -> &'static str {
        if self.japanese { japanese } else { english }
    }

    /// The same as whoever knows no page has it.
    pub fn language(self) -> Language {
        Language::of_code(self.code())
    }

    /// Words with how many they are about.
    pub fn in_brackets(self, words: &str, n: u64) -> String {
        let n = number(n);
        if self.japanese { format!("{words}（{n}）") } else { format!("{words} ({n})") }
    }

    /// What stands between a name and its value.
    pub fn colon(self) -> &'static str {
        self.say(": ", "：")
    }

    /// Its code, for `lang=`.
    pub fn code(self) -> &'static str {
        self.say("en", "ja")
    }

    /// A link to one of our paths, in the language that was chosen.
    pub fn href(self, path: &str) -> String {
        let joint = if path.contains('?') { '&' } else { '?' };
        if self.chosen { format!("{path}{joint}lang={}", self.code()) } else { path.to_owned() }
    }

    /// A duration in its largest unit: `4 min`, `4分`.
    pub fn duration(self, duration: Duration) -> String {
        let s = duration.as_secs();
        let (n, english, japanese) = match s {
            0..=59 => (s, "s", "秒"),
            60..=3599 => (s / 60, " min", "分"),
            3600..=86_399 => (s / 3600, " h", "時間"),
            _ if s < 2 * 86_400 => (1, " day", "日"),
            _ => (s / 86_400, " days", "日"),
        };
        format!("{n}{}", self.say(english, japanese))
    }

    /// A moment from now: `in 4 min`, `4 min ago`, `now`.
    pub fn relative(self, at: Timestamp, now: Timestamp) -> String {
        if at == Timestamp::MAX {
            return self.say("held", "保留中").to_owned();
        }
        let (ahead, behind) = (at.since(now), now.since(at));
        match (ahead.as_secs(), behind.as_secs(), self.japanese) {
            (0, 0, _) if at >= now => self.say("now", "まもなく").to_owned(),
            (0, 0..=1, _) => self.say("just now", "たった今").to_owned(),
            (0, _, false) => format!("{} ago", self.duration(behind)),
            (0, _, true) => format!("{}前", self.duration(behind)),
            (_, _, false) => format!("in {}", self.duration(ahead)),
            (_, _, true) => format!("{}後", self.duration(ahead)),
        }
    }

    /// The next try: like [`Lang::relative`], but one that is overdue is due now.
    pub fn next_try(self, at: Timestamp, now: Timestamp) -> String {
        self.relative(at.max(now), now)
    }

    /// An event's word.
    pub fn event(self, word: &'static str) -> &'static str {
        match word {
            "queued" => self.say("accepted", "受付"),
            "deferred" => self.say("deferred", "再送待ち"),
            "succeeded" => self.say("delivered", "配信済み"),
            "failed" => self.say("failed", "失敗"),
            "dropped" => self.say("dropped", "破棄"),
            "bounced" => self.say("bounced", "不達通知"),
            "complained" => self.say("complained", "迷惑メール申告"),
            "waiting" => self.say("waiting", "待機中"),
            "held" => self.say("held", "保留"),
            "scheduled" => self.say("scheduled", "配信予約"),
            other => other,
        }
    }
}

/// True when Japanese stands before every other language we have.
fn prefers_japanese(accept_language: &str) -> bool {
    let mut best = (0.0_f32, false);
    for range in accept_language.split(',').take(RANGES_MAX) {
        let mut parts = range.split(';').map(str::trim);
        let tag = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|p| p.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        let language = tag.split('-').next().unwrap_or_default();
        if matches!(language, "ja" | "en") && weight > best.0 {
            best = (weight, language == "ja");
        }
    }
    best.1
}

/// A size: `812 B`, `10.4 KiB`, `1.2 GiB`.
pub fn size(octets: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if octets < 1024 {
        return format!("{octets} B");
    }
    let mut value = octets as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 100.0 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

/// The first characters of a text, with an ellipsis when some are left out.
pub fn clip(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// A text that can neither drive a terminal nor reorder its line: such characters become `·`, line breaks become blanks.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if c.is_control() || turns_letters(c) => '·',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_says_which_language() {
        for (header, japanese) in [
            ("", false),
            ("ja", true),
            ("ja,en-US;q=0.9,en;q=0.8", true),
            ("en-US,en;q=0.9,ja;q=0.8", false),
            ("fr,ja;q=0.5", true),
            ("en;q=0.3,ja-JP;q=0.4", true),
            ("ja;q=0", false),
            ("ja;q=x", false),
            ("*", false),
        ] {
            assert_eq!(prefers_japanese(header), japanese, "{header}");
        }
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!([number(0), number(999), number(1000), number(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([size(0), size(1023), size(10_650), size(3 << 30)], ["0 B", "1023 B", "10.4 KiB", "3.0 GiB"]);
        assert_eq!([clip("飛脚便", 2), clip("ab", 2)], ["飛脚…", "ab"]);
    }
}
