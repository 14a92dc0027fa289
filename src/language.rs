//! The languages in which people are told things: the console, the API, the command line.
//!
//! Always: a text stands in both at the place where it is used.

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
}
