//! What people are told about accounts, in both languages.
//!
//! In: English and Japanese, at the place where something is refused.  Out: [`Said`].
//! Always: no key, password or code is in it.

use super::AccountError;
use crate::language::Language;
pub use crate::language::Said;

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
