//! The languages in which people are told things, and numbers as both write them: the console, the API, the command line.
//!
//! Always: a text stands in both at the place where it is used.

use std::fmt;

/// A language.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Language {
    /// English: whatever is not Japanese.
    #[default]
    English,
    /// 日本語
    Japanese,
}

impl Language {
    /// The language of a code, `ja` or any other.
    pub fn of_code(code: &str) -> Self {
        if code == "ja" { Language::Japanese } else { Language::English }
    }

    /// The one of two that is in this language.
    pub fn pick<T>(self, english: T, japanese: T) -> T {
        match self {
            Language::English => english,
            Language::Japanese => japanese,
        }
    }
}

/// A character that turns the direction of those around it, or breaks their line, without being seen: what a stranger wrote
/// is shown without it.
pub fn turns_letters(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// A number with its thousands apart, as both languages write it: `12,345`.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Words for people, in both languages; shown without a language, they are English.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    english: String,
    japanese: String,
}

impl Said {
    /// Words.
    pub fn new(english: impl Into<String>, japanese: impl Into<String>) -> Self {
        Said { english: english.into(), japanese: japanese.into() }
    }

    /// Words that are made once for each language.
    pub fn told(words: impl Fn(Language) -> String) -> Self {
        Said { english: words(Language::English), japanese: words(Language::Japanese) }
    }

    /// The words of a language.
    pub fn words(&self, language: Language) -> &str {
        language.pick(&self.english, &self.japanese)
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.english)
    }
}
