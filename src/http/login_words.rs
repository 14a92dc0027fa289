//! What the login log's entries say, in words.
//!
//! In: the detail of an entry.  Out: CMC's code, the result and the reason, in the reader's language.
//! Always: a reason that is not known is told as it stands; how many logins an entry tells together stays beside it.
//! Sources: cmc.md §9.

use crate::language::Language;

/// What a login's reason is called: the word in the log, its `code`, and the words for people.
const REASONS: [(&str, &str, &str, &str); 7] = [
    ("success", "0", "", ""),
    ("wrong", "1", "wrong user or password", "ユーザーまたはパスワードが正しくありません"),
    ("locked", "2", "locked", "ロックされています"),
    ("not-allowed", "3", "not allowed from here", "この接続元からは許可されていません"),
    ("expired", "4", "expired", "有効期限が切れています"),
    ("busy", "5", "too many attempts", "試行回数が多すぎます"),
    ("totp", "6", "wrong one-time code", "ワンタイムコードが正しくありません"),
];

/// A login in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoginWords {
    /// It was let in.
    pub is_success: bool,
    /// CMC's code; 9 for what it does not know.
    pub code: &'static str,
    /// Success or failure.
    pub result: &'static str,
    /// Why not, and how many are told together: `wrong user or password ×12`.
    pub reason: String,
}

impl LoginWords {
    /// The words for an entry's detail.
    pub fn of(detail: &str, language: Language) -> Self {
        // A count where several are told together stands behind the word: `wrong ×12`.
        let (word, count) = detail.split_once(' ').unwrap_or((detail, ""));
        let is_success = word == "success";
        let (code, reason) = match (REASONS.iter().find(|(known, ..)| *known == word), language) {
            (Some((_, code, english, _)), Language::English) => (*code, *english),
            (Some((_, code, _, japanese)), Language::Japanese) => (*code, *japanese),
            (None, _) => ("9", word),
        };
        let result = match (is_success, language) {
            (true, Language::English) => "success",
            (true, Language::Japanese) => "成功",
            (false, Language::English) => "failure",
            (false, Language::Japanese) => "失敗",
        };
        let reason = [reason, count].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        LoginWords { is_success, code, result, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_told_in_both_languages_with_its_count() {
        let words = |detail, language| {
            let LoginWords { is_success, code, result, reason } = LoginWords::of(detail, language);
            (is_success, code, result, reason)
        };
        assert_eq!(words("success", Language::English), (true, "0", "success", String::new()));
        assert_eq!(
            words("wrong ×12", Language::Japanese),
            (false, "1", "失敗", "ユーザーまたはパスワードが正しくありません ×12".to_owned())
        );
        assert_eq!(words("odd", Language::English), (false, "9", "failure", "odd".to_owned()));
    }
}
