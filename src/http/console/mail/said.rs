//! A conversation as a table: when, who, and the words.

use maud::{Markup, html};

use super::{
    super::parts::{foreign, number, size},
    Visit,
};
use crate::smtp::conversation::{Conversation, Line, Said};

/// Letters of one line that are shown; a stored text has no more.
const LETTERS_MAX: usize = 600;

pub(super) fn table(visit: &Visit<'_>, conversation: &Conversation) -> Markup {
    html! {
        table class="talk" {
            thead class="unseen" {
                tr {
                    th scope="col" { (visit.say("Seconds", "秒")) }
                    th scope="col" { (visit.say("Who", "方向")) }
                    th scope="col" { (visit.say("Words", "内容")) }
                }
            }
            tbody { @for line in conversation.lines() { (row(visit, &line)) } }
        }
    }
}

fn row(visit: &Visit<'_>, line: &Line) -> Markup {
    let (class, who) = match line.said {
        Said::We | Said::Content | Said::Secret => ("we", visit.say("we", "送信")),
        Said::Peer if line.text.starts_with(['4', '5']) => ("peer no", visit.say("they", "応答")),
        Said::Peer => ("peer", visit.say("they", "応答")),
        Said::Host => ("host", visit.say("to", "接続先")),
        Said::Tls => ("hush", "TLS"),
        Said::Reused | Said::Others | Said::LeftOut => ("hush", ""),
        Said::Closed | Said::Silent | Said::Nonsense | Said::TlsBroken | Said::Stopped => ("trouble", ""),
    };
    html! {
        tr class=(class) {
            td class="number" { @if let Some(ms) = line.after_ms { (format!("{:.3}", f64::from(ms) / 1000.0)) } }
            td { (who) }
            td { (words(visit, line)) }
        }
    }
}

fn words(visit: &Visit<'_>, line: &Line) -> Markup {
    let text = line.text.as_str();
    let quoted = || foreign(text, LETTERS_MAX);
    match line.said {
        Said::We | Said::Peer => html! {
            @for (n, part) in text.split('\n').enumerate() { @if n > 0 { br; } code { (foreign(part, LETTERS_MAX)) } }
        },
        Said::Host | Said::Tls => quoted(),
        Said::Content => html! {
            (visit.say("the mail, ", "本文 ")) (text.parse().map_or_else(|_| text.to_owned(), size)) (visit.say(", and the final dot", "と終端のピリオド"))
        },
        Said::Secret => {
            html! { (quoted()) (visit.say(": credentials, which are not kept", "（認証情報は記録しません）")) }
        }
        Said::Reused => {
            let (messages, seconds) = text.split_once(' ').unwrap_or((text, "?"));
            html! {
                @if visit.lang.japanese {
                    "接続を再利用（" (messages) " 通送信済み、" (seconds) " 秒前から接続）"
                } @else {
                    "a connection that was kept: open for " (seconds) " s, " (messages) " messages before"
                }
            }
        }
        Said::Others => html! {
            (visit.say("and ", "同じ送信にほか ")) (text.parse().map_or_else(|_| text.to_owned(), number)) (visit.say(" other recipients with it", " 件の宛先"))
        },
        Said::LeftOut => html! { (visit.say("lines are left out here", "（一部省略）")) },
        Said::Closed if text.is_empty() => html! { (visit.say("the connection was closed", "接続が切断されました")) },
        Said::Closed => html! { (visit.say("the connection was lost: ", "接続が失われました：")) (quoted()) },
        Said::Silent => html! { (visit.say("no answer within ", "応答なし：")) (text) },
        Said::Nonsense => html! { (visit.say("this is not SMTP: ", "SMTP ではない応答：")) (quoted()) },
        Said::TlsBroken => {
            html! { (visit.say("the TLS handshake failed: ", "TLS のハンドシェイクに失敗：")) (quoted()) }
        }
        Said::Stopped => html! { (visit.say("we went no further: ", "ここで中止しました：")) (quoted()) },
    }
}
