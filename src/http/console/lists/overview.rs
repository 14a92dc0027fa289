//! The section of the overview: how many are not written to, and a box to look one up.

use maud::{Markup, html};

use crate::{
    clock::Timestamp,
    http::{console::parts::number, daemon::About, rows_lists::ListsOut, when::of_rfc3339, words::Lang},
};

/// The section of the overview.
pub(in crate::http::console) fn section(lang: Lang, lists: &ListsOut, about: &About, now: Timestamp) -> Markup {
    html! {
        section id="suppression" {
            h2 {
                (lang.say("Suppression", "配信停止"))
                small { (counts(lang, lists, about, now)) }
                a class="more" href=(lang.href("/incidents")) { (lang.say("Refusals by destination", "宛先別の拒否")) }
            }
            (search_box(lang))
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
