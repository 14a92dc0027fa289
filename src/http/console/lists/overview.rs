//! The section of the overview: how many are not written to, and which destinations are held.

use maud::{Markup, html};

use super::held::past;
use crate::{
    clock::Timestamp,
    http::{
        console::parts::{foreign, number},
        daemon::About,
        rows_lists::{HoldOut, ListsOut},
        when::of_rfc3339,
        words::Lang,
    },
};

/// The section of the overview.
pub(in crate::http::console) fn section(lang: Lang, lists: &ListsOut, about: &About, now: Timestamp) -> Markup {
    let held: Vec<&HoldOut> = lists.held.iter().filter(|hold| hold.ended.is_none()).collect();
    html! {
        section id="suppression" {
            h2 {
                (lang.say("Suppression", "配信停止"))
                small { (counts(lang, lists, about, now)) }
                a class="more" href=(lang.href("/incidents")) { (lang.say("troubles of destinations", "宛先側の問題")) }
            }
            (search_box(lang))
            @if !held.is_empty() { (holds(lang, &held, about, now)) }
        }
    }
}

fn counts(lang: Lang, lists: &ListsOut, about: &About, now: Timestamp) -> String {
    let mut parts = Vec::new();
    parts.push(match (lists.suppressed, lists.suppressions) {
        (Some(0), _) | (None, 0) => lang.say("no address is suppressed", "停止中の宛先はありません").to_owned(),
        (Some(1), _) if !lang.japanese => "1 address is not written to".to_owned(),
        (Some(n), _) if lang.japanese => format!("停止中の宛先 {} 件", number(n)),
        (Some(n), _) => format!("{} addresses are not written to", number(n)),
        (None, n) if lang.japanese => format!("停止中の宛先 約 {} 件", number(n)),
        (None, n) => format!("about {} addresses are not written to", number(n)),
    });
    match lists.unsubscribes {
        0 => {}
        n if lang.japanese => parts.push(format!("配信解除 {} 件", number(n))),
        1 => parts.push("1 left a list".to_owned()),
        n => parts.push(format!("{} left a list", number(n))),
    }
    if let Some(run) = lists.last_run.as_deref().and_then(of_rfc3339) {
        parts.push(match lang.japanese {
            true => format!("最終実行 {}", about.zone.short(run, now)),
            false => format!("last run {}", about.zone.short(run, now)),
        });
    }
    parts.join(" · ")
}

fn search_box(lang: Lang) -> Markup {
    let placeholder = lang.say("Part of an address", "メールアドレスの一部");
    html! {
        form class="find" action="/suppression" method="get" {
            input type="search" name="key" maxlength="320" placeholder=(placeholder) aria-label=(placeholder);
            @if lang.is_chosen() { input type="hidden" name="lang" value=(lang.code()); }
            button { (lang.say("Look up", "照会")) }
        }
    }
}

fn holds(lang: Lang, held: &[&HoldOut], about: &About, now: Timestamp) -> Markup {
    html! {
        h3 {
            (lang.say("Held back: unknown users jumped there", "保留中: 宛先不明のエラーが急増した宛先"))
            small { (lang.say("nobody is suppressed until you look", "ご確認いただくまで配信停止にはしません")) }
        }
        table class="stack" {
            thead {
                tr {
                    th { (lang.say("Destination", "宛先ドメイン")) }
                    th class="number" { (lang.say("Held", "保留")) }
                    th class="number" { (lang.say("Rate", "割合")) }
                    th { (lang.say("Since", "発生")) }
                    th { (lang.say("Last answer", "直近の応答")) }
                }
            }
            tbody {
                @for hold in held {
                    @let since = of_rfc3339(&hold.since).map_or_else(String::new, |at| about.zone.short(at, now));
                    tr {
                        td class="strong destination" { (foreign(&hold.place, 120)) }
                        td class="number big" { (number(hold.held)) }
                        td class="number left" data-label=(lang.say("Rate", "割合")) {
                            (hold.rate_percent) " %" span class="soft" { (lang.say(", was ", "、通常 ")) (past(hold.past_permille)) " %" }
                        }
                        td class="nowrap" data-label=(lang.say("Since", "発生")) { (since) }
                        td class="wide reply" {
                            span class="clip" { (foreign(&hold.example, 300)) }
                            a href=(lang.href(&format!("/suppression/incident/{}", hold.id))) { (lang.say("Look, and decide", "確認して対応する")) " →" }
                        }
                    }
                }
            }
        }
    }
}
