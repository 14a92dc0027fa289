//! The mail with the link by which a password is set anew.
//!
//! In: [`ResetLetter`].  Out: a whole message.
//! Always: plain text in the reader's language; the link is on a line of its own, for some programs break links in the middle of
//! a sentence; it says who asked and what to do if that was not the reader; `Auto-Submitted`, so that no program answers.
//! Sources: RFC 5322, RFC 3834 §5.

use mail_builder::{
    MessageBuilder,
    headers::{HeaderType, raw::Raw},
};

use crate::{clock::Timestamp, language::Language, mail::compose, secret::Secret, smtp::address::Mailbox, when::Zone};

/// Everything that the mail says.
#[derive(Clone, Debug)]
pub(super) struct ResetLetter<'a> {
    /// Our name.
    pub hostname: &'a str,
    /// To.
    pub to: &'a Mailbox,
    /// The Message-ID, without brackets.
    pub id: &'a str,
    /// When it is written.
    pub at: Timestamp,
    /// Until when the link counts.
    pub until: Timestamp,
    /// The reader's zone.
    pub zone: &'a Zone,
    /// From where it was asked for.
    pub from: std::net::IpAddr,
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
    let builder = MessageBuilder::new()
        .header("From", raw(format!("Hikyaku <postmaster@{}>", letter.hostname)))
        .header("To", raw(format!("<{}>", letter.to)))
        .subject(subject)
        .header("Date", raw(compose::date(letter.at)))
        .header("Message-ID", raw(format!("<{}>", letter.id)))
        .header("Auto-Submitted", raw("auto-generated".to_owned()))
        .text_body(text(letter));
    let mut bytes = Vec::new();
    builder.serialize(&mut bytes);
    bytes
}

fn raw(text: String) -> HeaderType<'static> {
    HeaderType::Raw(Raw::new(text))
}

fn text(letter: &ResetLetter<'_>) -> String {
    let ResetLetter { hostname, to, from, link, .. } = letter;
    let until = letter.zone.full(letter.until);
    let zone = letter.zone.name();
    let link = link.reveal();
    match letter.language {
        Language::English => format!(
            "Somebody asked for a new password for {to} at Hikyaku on {hostname}.\r\n\r\n\
             Open this link to set one:\r\n\r\n{link}\r\n\r\n\
             It works once, until {until} ({zone}).\r\n\r\n\
             It was asked for from {from}. If that was not you, you need not do anything:\r\n\
             your password stays as it is, and without this mail nobody can change it.\r\n"
        ),
        Language::Japanese => format!(
            "{hostname} の Hikyaku で、{to} のパスワード再設定が請求されました。\r\n\r\n\
             次のリンクを開いて、新しいパスワードを設定してください。\r\n\r\n{link}\r\n\r\n\
             リンクは1回だけ使えます。期限: {until}（{zone}）\r\n\r\n\
             請求元のIPアドレス: {from}\r\n\
             お心当たりのない場合は、何もする必要はありません。パスワードは変わらず、\r\n\
             このメールがなければ誰も変更できません。\r\n"
        ),
    }
}
