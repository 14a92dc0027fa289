//! What recipients see behind a link: one question, one button, in their language.
//!
//! Always: no script, no picture, no link that leads away, nothing that tells anybody who looked; the address is masked, for
//! mail is forwarded and screens are shared; all of it is one file.
//! Sources: WCAG 2.2 (contrast, target size), HTML Living Standard.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::{http::words::Lang, smtp::address::Mailbox, unsubscribe::token::Leaving};

pub(super) const STYLE: &str = include_str!("style.css");
/// What the button sends.
pub(super) const BUTTON_NAME: &str = "leave";
/// Its value.
pub(super) const BUTTON_VALUE: &str = "yes";

/// The question.
pub(super) fn ask(lang: Lang, leaving: &Leaving) -> String {
    let title = lang.say("Unsubscribe from this list?", "このリストの配信を停止しますか？");
    layout(
        lang,
        title,
        "ask",
        &html! {
            (list(lang, leaving))
            form method="post" {
                button name=(BUTTON_NAME) value=(BUTTON_VALUE) { (lang.say("Unsubscribe", "配信を停止する")) }
            }
            p class="soft" {
                (lang.say(
                    "If you want to stay on the list, just close this page.",
                    "引き続き受け取る場合は、このページを閉じてください。",
                ))
            }
        },
    )
}

/// He has left; `daily`: it may take a day.
pub(super) fn done(lang: Lang, leaving: &Leaving, daily: bool) -> String {
    let title = lang.say("You are unsubscribed", "配信を停止しました");
    let words = if daily {
        lang.say(
            "Within a day, no more mail of this list is sent to you. What is sent until then may still arrive.",
            "このリストのメールは1日以内に停止します。それまでに配信されるメールは届くことがあります。",
        )
    } else {
        lang.say(
            "No more mail of this list is sent to you. What was on its way already may still arrive.",
            "このリストのメールは今後届きません。すでに配信中のメールは届くことがあります。",
        )
    };
    let content = html! {
        (list(lang, leaving))
        p class="soft" { (words) }
    };
    layout(lang, title, "done", &content)
}

/// The token is not ours.
pub(super) fn not_ours(lang: Lang) -> String {
    let title = lang.say("This link does not work", "このリンクは使えません");
    let why = lang.say(
        "It may have been cut when it was copied, or be too old.",
        "コピーの途中で切れたか、古くなった可能性があります。",
    );
    let what_to_do = lang.say(
        "Open the mail again and use the whole link. If that does not help, use the link in a newer mail, or write to its sender.",
        "メールをもう一度開き、リンク全体を使ってください。それでも開けない場合は、新しいメールのリンクを使うか、送信者にご連絡ください。",
    );
    layout(lang, title, "trouble", &html! { p { (why) } p class="soft" { (what_to_do) } })
}

/// Nothing is here.
pub(super) fn nothing(lang: Lang) -> String {
    let title = lang.say("There is nothing here", "ページが見つかりません");
    let text = lang.say(
        "To unsubscribe, use the link in the mail that you received.",
        "配信を停止するには、受け取ったメールのリンクを使ってください。",
    );
    layout(lang, title, "trouble", &html! { p { (text) } })
}

/// The disk could not take it.
pub(super) fn trouble(lang: Lang) -> String {
    let title = lang.say("This did not work", "処理できませんでした");
    let text = lang.say(
        "Nothing was changed. Please try again in a few minutes.",
        "変更は行われていません。数分後にもう一度お試しください。",
    );
    layout(lang, title, "trouble", &html! { p { (text) } })
}

/// The list and the masked address.
fn list(lang: Lang, leaving: &Leaving) -> Markup {
    html! {
        dl {
            dt { (lang.say("List", "リスト")) }
            dd { bdi { (leaving.list) } }
            dt { (lang.say("Address", "アドレス")) }
            dd { bdi { (masked(&leaving.address)) } }
        }
    }
}

/// An address that its owner recognises and nobody else learns: `t•••@example.jp`.
fn masked(address: &Mailbox) -> String {
    let mut letters = address.local().chars().filter(|c| *c != '"');
    let first = match (letters.next(), letters.next()) {
        (Some(first), Some(_)) => first.to_string(),
        // One letter would be the whole of it.
        (Some(_) | None, _) => String::new(),
    };
    format!("{first}•••@{}", address.domain())
}

fn layout(lang: Lang, title: &str, kind: &str, content: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang=(lang.code()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex, nofollow";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                nav {
                    @for (japanese, name, code) in [(false, "English", "en"), (true, "日本語", "ja")] {
                        @if japanese == lang.japanese {
                            span lang=(code) aria-current="true" { (name) }
                        } @else {
                            a lang=(code) hreflang=(code) rel="nofollow" href={ "?lang=" (code) } { (name) }
                        }
                    }
                }
                main class=(kind) {
                    h1 { (title) }
                    (content)
                }
            }
        }
    };
    page.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_masked() {
        for (address, expected) in [
            ("taro@example.jp", "t•••@example.jp"),
            ("t@example.jp", "•••@example.jp"),
            ("\"a b\"@example.jp", "a•••@example.jp"),
            ("用戸@例え.jp", "用•••@例え.jp"),
        ] {
            assert_eq!(masked(&Mailbox::parse(address).unwrap()), expected);
        }
    }
}
