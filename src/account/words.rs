//! What people are told about accounts, in both languages.
//!
//! In: English and Japanese, at the place where something is refused.  Out: [`Said`].
//! Always: no key, password or code is in it.

use std::fmt;

use super::AccountError;
use crate::language::Language;

/// Words for people, in both languages; shown without a language, they are English.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    english: String,
    japanese: String,
}

impl Said {
    /// Words.
    pub(super) fn new(english: impl Into<String>, japanese: impl Into<String>) -> Self {
        Said { english: english.into(), japanese: japanese.into() }
    }

    /// The words of a language.
    pub fn words(&self, language: Language) -> &str {
        match language {
            Language::English => &self.english,
            Language::Japanese => &self.japanese,
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.english)
    }
}

/// What is refused.
pub(super) fn refused(english: impl Into<String>, japanese: impl Into<String>) -> AccountError {
    AccountError::Refused(Said::new(english, japanese))
}

impl AccountError {
    /// What people are told.
    pub fn words(&self, language: Language) -> String {
        match (self, language) {
            (AccountError::Refused(said), _) => said.words(language).to_owned(),
            (AccountError::Unknown(name), Language::Japanese) => format!("「{name}」というユーザーはありません。"),
            (AccountError::Store(error), Language::Japanese) => {
                format!("保存できませんでした（{error}）。何も変更されていません。")
            }
            (AccountError::Unknown(_) | AccountError::Store(_), Language::English) => self.to_string(),
        }
    }
}
