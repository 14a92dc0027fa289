//! Refusals that are not the recipients' doing, and answers that no rule knows.

use maud::{Markup, html};

use super::{tabs, words::class};
use crate::{
    http::console::{
        Answer, Args, Section, Visit,
        parts::{self, Field, check_box, foreign, number, panel},
    },
    suppress::incidents::{TroubleIncident, TroubleQuery},
};

/// Troubles on the page.
const ROWS: usize = 100;

/// `/incidents`.
pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let request = visit.request;
    let query = TroubleQuery {
        part: request.param("key").trim().to_owned(),
        unclassified: request.flag("unclassified"),
        from: None,
    };
    let troubles = visit.daemon.suppressions().troubles(&query, ROWS)?;
    let (known, unknown): (Vec<&TroubleIncident>, Vec<&TroubleIncident>) = troubles.iter().partition(|row| row.known);
    let title = visit.say("Refusals by destination", "宛先別の拒否");
    let key = Field {
        name: "key",
        label: visit.say("Destination, or part of the answer", "宛先ドメイン・応答の一部"),
        value: &query.part,
        kind: "search",
        max: 200,
        ..Field::default()
    };
    let fields = html! {
        div class="fields" {
            (key.show())
            (check_box("unclassified", "1", visit.say("Only answers that no rule knows", "分類できなかった応答のみ"), query.unclassified))
        }
        div class="actions" { button { (visit.say("Search", "検索")) } }
    };
    let content = html! {
        (parts::heading(title, visit.say(
            "Refusals that are not the recipient's doing. They suppress nobody unless [suppression.thresholds] says so.",
            "受信者側の原因ではない拒否です。[suppression.thresholds] で設定しない限り、配信停止にはしません。",
        )))
        (tabs(visit, "/incidents"))
        section { (visit.ask("/incidents", "filters", &fields)) }
        @if known.is_empty() && unknown.is_empty() {
            section { (parts::empty(
                visit.say("Nothing of the kind was seen.", "該当する応答はありません。"),
                visit.say("Nothing is to be done.", "対応は不要です。"),
            )) }
        }
        @if !known.is_empty() {
            (panel(visit.say("Known answers", "分類済みの応答"), "", &table(visit, &known)))
        }
        @if !unknown.is_empty() {
            (panel(
                visit.say("Answers that no rule knows", "分類できなかった応答"),
                visit.say("please read them: they suppress nobody", "内容をご確認ください。配信停止にはしません"),
                &table(visit, &unknown),
            ))
        }
    };
    visit.page(Section::Suppression, title, &content)
}

fn table(visit: &Visit<'_>, rows: &[&TroubleIncident]) -> Markup {
    html! {
        table class="stack" {
            thead {
                tr {
                    th { (visit.say("Destination", "宛先ドメイン")) }
                    th { (visit.say("Whose trouble", "原因")) }
                    th class="number" { (visit.say("Count", "件数")) }
                    th { (visit.say("First", "初回")) }
                    th { (visit.say("Last", "最終")) }
                    th { (visit.say("Answer", "応答")) }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        td class="strong destination" {
                            a href=(visit.href(&format!("/suppression/incident/{}", row.id))) { (foreign(&row.destination, 120)) }
                        }
                        td class="nowrap" { (row.trouble.said(visit.lang.language())) " " span class="soft" { (class(visit.lang, row.class)) } }
                        td class="number left" data-label=(visit.say("Count", "件数")) { (number(row.count)) }
                        td class="nowrap" data-label=(visit.say("First", "初回")) { (visit.when_short(row.first())) }
                        td class="nowrap" data-label=(visit.say("Last", "最終")) { (visit.when_short(row.last())) }
                        td class="wide reply" { span class="clip" { (foreign(&row.example, 300)) } }
                    }
                }
            }
        }
    }
}
