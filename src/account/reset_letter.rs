//! The mail with the link by which a password is set anew.
//!
//! In: [`ResetLetter`].  Out: a whole message.
//! Always: plain text in the reader's language; the link is on a line of its own, for some programs break links in the middle of
//! a sentence; it says who asked and what to do if that was not the reader.

use super::{
    Actor,
    letter::{self, Head},
};
use crate::{clock::Timestamp, language::Language, secret::Secret, smtp::address::Mailbox, when::Zone};

/// Everything that the mail says.
#[derive(Clone, Debug)]
pub(super) struct ResetLetter<'a> {
    /// Who writes to whom.
    pub head: Head<'a>,
    /// Until when the link counts.
    pub until: Timestamp,
    /// The reader's zone.
    pub zone: &'a Zone,
    /// Who asked for it.
    pub by: &'a Actor,
    /// The link.
    pub link: &'a Secret<String>,
    /// The reader's language.
    pub language: Language,
}

/// Composes the mail.
pub(super) fn compose(letter: &ResetLetter<'_>) -> Vec<u8> {
    let subject = match letter.language {
        Language::English => "Set a new password for Hikyaku",
        Language::Japanese => "Hikyaku パスワード再設定のご案内",
    };
    letter::compose(letter.head, subject, text(letter))
}

fn text(letter: &ResetLetter<'_>) -> String {
    let ResetLetter { head: Head { hostname, to, .. }, by, link, .. } = letter;
    let until = letter.zone.full(letter.until);
    let zone = letter.zone.name();
    let link = link.reveal();
    let (asked, doubt) = words_of(by, hostname, to, letter.language);
    match letter.language {
        Language::English => format!(
            "{asked}\r\n\r\n\
             Open this link to set one:\r\n\r\n{link}\r\n\r\n\
             It works once, until {until} ({zone}).\r\n\r\n\
             {doubt} you need not do anything:\r\n\
             your password stays as it is, and without this mail nobody can change it.\r\n"
        ),
        Language::Japanese => format!(
            "{asked}\r\n\r\n\
             次のリンクを開いて、新しいパスワードを設定してください。\r\n\r\n{link}\r\n\r\n\
             リンクは1回だけ使えます。期限：{until}（{zone}）\r\n\r\n\
             {doubt}何もする必要はありません。パスワードは変わらず、\r\n\
             このメールがなければ誰も変更できません。\r\n"
        ),
    }
}

/// Who asked, and what to think of it.
fn words_of(by: &Actor, hostname: &str, to: &Mailbox, language: Language) -> (String, String) {
    match (by, language) {
        (Actor::Stranger { from }, Language::English) => (
            format!("Somebody asked for a new password for {to} at Hikyaku on {hostname}."),
            format!("It was asked for from {}. If that was not you,", from.to_canonical()),
        ),
        (Actor::Stranger { from }, Language::Japanese) => (
            format!("{hostname} の Hikyaku で、{to} のパスワード再設定が請求されました。"),
            format!("請求元のIPアドレス：{}\r\nお心当たりのない場合は、", from.to_canonical()),
        ),
        (Actor::Person { name: who, .. } | Actor::Operator { who, .. }, Language::English) => (
            format!("{who}, who administers Hikyaku on {hostname}, asks you to set a new password for {to}."),
            format!("If you do not know of this, ask {who};"),
        ),
        (Actor::Person { name: who, .. } | Actor::Operator { who, .. }, Language::Japanese) => (
            format!("{hostname} の Hikyaku の管理者（{who}）が、{to} のパスワードの設定を依頼しています。"),
            format!("お心当たりのない場合は {who} にお問い合わせください。設定しない場合は、"),
        ),
    }
}
