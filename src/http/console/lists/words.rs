//! The words of the lists, in both languages.

use crate::{
    event::ErrorClass,
    http::words::{Lang, number},
    suppress::{
        dialect::Dialect,
        incidents::HoldState,
        lookup::class_words,
        row::{Cause, LiftedBy},
    },
    unsubscribe::row::How,
};

/// A number in a sentence: `{}` stands for it.
pub(super) fn counted(lang: Lang, n: u64, one: &str, many: &str, japanese: &str) -> String {
    let words = match (lang.japanese, n) {
        (true, _) => japanese,
        (false, 1) => one,
        (false, _) => many,
    };
    words.replace("{}", &number(n))
}

/// Why an address is on the list.
pub(super) fn cause(lang: Lang, cause: Cause) -> &'static str {
    cause.said(lang.language())
}

/// CMC's class, as the list has it.
pub(super) fn class(lang: Lang, class: ErrorClass) -> &'static str {
    class_words(class, lang.language())
}

/// How an address came off the list.
pub(super) fn lifted_by(lang: Lang, by: LiftedBy) -> &'static str {
    by.said(lang.language())
}

/// How somebody left a list.
pub(super) fn how(lang: Lang, how: How) -> &'static str {
    match how {
        How::Link => lang.say("one click in the mail program", "メールソフトのワンクリック"),
        How::Form => lang.say("the page behind the link", "配信解除ページ"),
        How::Manual => lang.say("by hand", "手動"),
        How::Import => lang.say("imported", "取り込み"),
        How::Complaint => lang.say("a complaint", "迷惑メール申告"),
    }
}

/// Where a held place stands, with the colour of its oval.
pub(super) fn state(lang: Lang, state: HoldState) -> (&'static str, &'static str) {
    match state {
        HoldState::Held => ("waiting", lang.say("held", "保留中")),
        HoldState::Released => ("failed", lang.say("released", "停止に反映")),
        HoldState::Discarded => ("succeeded", lang.say("discarded", "破棄")),
    }
}

/// Where a file comes from.
pub(super) fn dialect(lang: Lang, dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Hikyaku => lang.say("Hikyaku's own export", "Hikyaku のエクスポート"),
        Dialect::CmcBlocks => lang.say("CMC: blocked addresses", "CMC：配信停止リスト"),
        Dialect::CmcUnsubscribes => lang.say("CMC: unsubscribes", "CMC：配信解除リスト"),
        Dialect::Ses => lang.say("Amazon SES: suppression list", "Amazon SES：サプレッションリスト"),
        Dialect::SendGridBounces => lang.say("SendGrid: bounces and blocks", "SendGrid：バウンス・ブロック"),
        Dialect::SendGridInvalid => lang.say("SendGrid: invalid addresses", "SendGrid：無効なアドレス"),
        Dialect::SendGridSpamReports => lang.say("SendGrid: spam reports", "SendGrid：迷惑メール報告"),
        Dialect::SendGridUnsubscribes => lang.say("SendGrid: global unsubscribes", "SendGrid：グローバル配信解除"),
        Dialect::MailgunBounces => lang.say("Mailgun: bounces", "Mailgun：バウンス"),
        Dialect::MailgunComplaints => lang.say("Mailgun: complaints", "Mailgun：迷惑メール申告"),
        Dialect::MailgunUnsubscribes => lang.say("Mailgun: unsubscribes", "Mailgun：配信解除"),
        Dialect::PostmarkSuppressions => lang.say("Postmark: suppressions", "Postmark：サプレッション"),
        Dialect::PostmarkBounces => lang.say("Postmark: bounces", "Postmark：バウンス"),
        Dialect::Addresses => lang.say("a column of addresses", "メールアドレスの一覧"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::exchange::{Door, Method, Peer, Request};

    #[test]
    fn one_is_not_many_and_numbers_are_grouped() {
        let lang = |code: &str| {
            let target = format!("/?lang={code}");
            Lang::of(&Request::of_target(Method::Get, &target, Door::Public, Peer::User(0)).expect("a target"))
        };
        let say = |code: &str, n| counted(lang(code), n, "1 address", "{} addresses", "{} 件");
        assert_eq!([say("en", 1), say("en", 0), say("en", 12_345)], ["1 address", "0 addresses", "12,345 addresses"]);
        assert_eq!([say("ja", 1), say("ja", 12_345)], ["1 件", "12,345 件"]);
    }
}
