//! The mail that tells people that something of their sign-in was changed, by whom and from where, so that they see what they did
//! not do.
//!
//! In: accounts before and after a change, and what the operation log says of it; [`ChangedLetter`].  Out: [`Changed`]; a message.
//! Always: no link that changes anything, and no secret; who has chosen no language reads both.
//! Sources: OWASP ASVS 5.0 6.3.7, NIST SP 800-63B-4 §4.6.

use super::letter::{self, Head};
use crate::{
    clock::Timestamp,
    language::Language,
    store::{Account, AccountKind, AuditEntry},
    when::Zone,
};

/// What was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// The password, by whatever way.
    Password,
    /// The second factor was turned off, or has another secret.
    SecondFactor,
    /// Somebody came in by a recovery code.
    RecoveryCode,
}

/// A change, to be told to whose account it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Changed {
    /// The account.
    pub name: String,
    /// What was changed.
    pub what: What,
    /// By whom, as the operation log has it.
    pub who: String,
    /// From where.
    pub from: String,
    /// When.
    pub at: Timestamp,
}

/// What the owner of an account is told of a change; `None`: nothing.
pub(super) fn of(before: &Account, after: &Account, audit: &[AuditEntry]) -> Option<Changed> {
    let entry = audit.iter().find(|entry| entry.object == after.name)?;
    let (was, is) = (&before.person, &after.person);
    let what = if before.hash != after.hash {
        What::Password
    } else if was.totp.is_some() && was.totp != is.totp {
        What::SecondFactor
    } else if was.totp == is.totp && is.recovery.len() < was.recovery.len() {
        What::RecoveryCode
    } else {
        return None;
    };
    let changed =
        Changed { name: after.name.clone(), what, who: entry.who.clone(), from: entry.from.clone(), at: entry.at };
    (after.kind == AccountKind::Console).then_some(changed)
}

/// Everything that the mail says.
#[derive(Clone, Debug)]
pub(super) struct ChangedLetter<'a> {
    /// Who writes to whom.
    pub head: Head<'a>,
    /// What was changed.
    pub changed: &'a Changed,
    /// The reader's zone.
    pub zone: &'a Zone,
    /// Where the console is.
    pub url: &'a str,
    /// The reader's language; `None`: it is not known.
    pub language: Option<Language>,
}

/// Composes the mail.
pub(super) fn compose(letter: &ChangedLetter<'_>) -> Vec<u8> {
    let languages = match letter.language {
        Some(language) => vec![language],
        None => vec![Language::English, Language::Japanese],
    };
    let subjects: Vec<&str> = languages.iter().map(|language| subject(letter.changed.what, *language)).collect();
    let texts: Vec<String> = languages.iter().map(|language| text(letter, *language)).collect();
    letter::compose(letter.head, &subjects.join(" / "), texts.join("\r\n--\r\n\r\n"))
}

fn subject(what: What, language: Language) -> &'static str {
    match (what, language) {
        (What::Password, Language::English) => "Your password for Hikyaku was changed",
        (What::Password, Language::Japanese) => "Hikyaku パスワード変更のお知らせ",
        (What::SecondFactor, Language::English) => "Two-factor sign-in for Hikyaku was turned off or replaced",
        (What::SecondFactor, Language::Japanese) => "Hikyaku 二段階認証の解除・変更のお知らせ",
        (What::RecoveryCode, Language::English) => "A recovery code for Hikyaku was used",
        (What::RecoveryCode, Language::Japanese) => "Hikyaku リカバリーコード使用のお知らせ",
    }
}

fn text(letter: &ChangedLetter<'_>, language: Language) -> String {
    let ChangedLetter { head: Head { hostname, to, .. }, changed: Changed { what, who, from, at, .. }, url, .. } =
        letter;
    let (at, zone) = (letter.zone.full(*at), letter.zone.name());
    match language {
        Language::English => {
            let what = match what {
                What::Password => "The password was changed",
                What::SecondFactor => "Two-factor sign-in was turned off, or got another secret,",
                What::RecoveryCode => "Somebody signed in with a recovery code",
            };
            format!(
                "{what} of {to} at Hikyaku on {hostname}.\r\n\r\n\
                 When: {at} ({zone})\r\nBy: {who}\r\nFrom: {from}\r\n\r\n\
                 If you know of this, you need not do anything. If not, set a new password at once\r\n\
                 (\"Forgot your password?\" at {url}) and tell whoever runs Hikyaku.\r\n"
            )
        }
        Language::Japanese => {
            let what = match what {
                What::Password => "パスワードが変更されました",
                What::SecondFactor => "二段階認証が解除されたか、シークレットが変更されました",
                What::RecoveryCode => "リカバリーコードでログインがありました",
            };
            format!(
                "{hostname} の Hikyaku で、{to} の{what}。\r\n\r\n\
                 日時：{at}（{zone}）\r\n実行者：{who}\r\n接続元：{from}\r\n\r\n\
                 お心当たりがある場合は、何もする必要はありません。お心当たりのない場合は、\r\n\
                 すぐに {url} の「パスワードを忘れた場合」からパスワードを再設定し、\r\n\
                 Hikyaku の管理者にご連絡ください。\r\n"
            )
        }
    }
}
