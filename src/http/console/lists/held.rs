//! Destinations whose unknown users jumped: their errors are held, and somebody says whether they were true.
//!
//! Always: a page shows how many addresses an act touches before there is a button for it; a count that ran out of time says so,
//! and can be made in full.
//! Sources: issue 4 part 6; R4, R7.

use std::time::Duration;

use maud::{Markup, html};

use super::{
    import::begin,
    tabs,
    words::{class, counted, state},
};
use crate::{
    http::{
        console::{
            Answer, Args, Missing, Right, Section, Visit,
            parts::{self, facts, foreign, number, panel, pill},
        },
        exchange::percent_encode,
    },
    store::Page,
    suppress::{
        count::{HoldPreview, NAMED_MAX, UndoPreview},
        incidents::{BrakeIncident, HeldError, HoldState, TroubleIncident},
        works::What,
    },
};

/// How long a page counts what an act would do.
const WITHIN: Duration = Duration::from_millis(40);
/// Held errors of a page.
const ROWS: usize = 50;
/// Places on the page of all.
const PLACES_SHOWN: usize = 100;

/// `/suppression/held`.
pub(super) fn list(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let all = visit.daemon.suppressions().brake_incidents()?;
    let (open, ended): (Vec<&BrakeIncident>, Vec<&BrakeIncident>) =
        all.iter().partition(|incident| incident.state == HoldState::Held);
    let title = visit.say("Destinations whose errors are held", "エラーを保留中の宛先");
    let content = html! {
        (parts::heading(title, visit.say(
            "In an outage some providers answer \u{201c}unknown user\u{201d} to everybody. Such errors are held here and suppress nobody, until you say whether they were true.",
            "障害時に、存在する宛先にも「宛先不明」を返すプロバイダーがあります。急増したエラーはここで保留し、確認されるまで配信停止にしません。",
        )))
        (tabs(visit, "/suppression/held"))
        section {
            h2 { (visit.say("Held now", "保留中")) }
            @if open.is_empty() {
                (parts::empty(
                    visit.say("No destination is held.", "保留中の宛先ドメインはありません。"),
                    visit.say("Nothing is to be done.", "対応は不要です。"),
                ))
            } @else { (table(visit, &open)) }
        }
        @if !ended.is_empty() {
            (panel(visit.say("Ended", "終了済み"), "", &table(visit, &ended)))
        }
    };
    visit.page(Section::Suppression, title, &content)
}

fn table(visit: &Visit<'_>, rows: &[&BrakeIncident]) -> Markup {
    html! {
        table class="stack" {
            thead {
                tr {
                    th { (visit.say("Destination", "宛先ドメイン")) }
                    th { (visit.say("State", "状態")) }
                    th class="number" { (visit.say("Held", "保留件数")) }
                    th class="number" { (visit.say("Rate", "割合")) }
                    th { (visit.say("Since", "発生")) }
                    th { (visit.say("Last answer", "直近の応答")) }
                }
            }
            tbody {
                @for incident in rows.iter().take(PLACES_SHOWN) {
                    @let (colour, words) = state(visit.lang, incident.state);
                    tr {
                        td class="strong destination" {
                            a href=(visit.href(&format!("/suppression/incident/{}", incident.id))) { (foreign(&incident.place, 120)) }
                        }
                        td { (pill(colour, words)) }
                        td class="number big" data-label=(visit.say("Held", "保留件数")) { (number(incident.held)) }
                        td class="number left" data-label=(visit.say("Rate", "割合")) {
                            (incident.rate_percent) " %" span class="soft" { (visit.say(", was ", "、通常 ")) (past(incident.past_permille)) " %" }
                        }
                        td class="nowrap" data-label=(visit.say("Since", "発生")) { (visit.when(incident.since())) }
                        td class="wide reply" { span class="clip" { (foreign(&incident.example, 300)) } }
                    }
                }
            }
        }
    }
}

/// Tenths of a percent as people write them.
pub(in crate::http::console) fn past(permille: u32) -> String {
    format!("{}.{}", permille / 10, permille % 10)
}

/// `/suppression/incident/:id`: a held place, or a trouble of a destination.
pub(super) fn page(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let (id, list) = (args.get("id"), visit.daemon.suppressions());
    if let Some(hold) = list.release_preview(id, Some(WITHIN))? {
        return hold_page(visit, id, &hold);
    }
    let Some(incident) = list.trouble(id)? else { return Err(Missing::Nothing) };
    let Some(undo) = list.undo_preview(id, Some(WITHIN))? else { return Err(Missing::Nothing) };
    trouble_page(visit, id, &incident, &undo)
}

fn hold_page(visit: &Visit<'_>, id: &str, hold: &HoldPreview) -> Answer {
    let (list, incident) = (visit.daemon.suppressions(), &hold.incident);
    let cursor = Some(visit.request.param("cursor")).filter(|cursor| !cursor.is_empty()).map(str::to_owned);
    let page = Page { rows_max: ROWS, cursor, ..Page::default() };
    let (held, next) = list.held(id, &page)?;
    let undo = list.undo_preview(id, Some(WITHIN))?.unwrap_or_default();
    let title =
        format!("{}{}", visit.say("Errors of ", "エラーの保留："), parts::clean(&parts::clip(&incident.place, 120)));
    let (colour, words) = state(visit.lang, incident.state);
    let content = html! {
        (parts::heading(&title, ""))
        (tabs(visit, "/suppression/held"))
        section {
            p class="whom" { (pill(colour, words)) }
            (facts(&[
                (visit.say("began", "発生"), visit.when(incident.since())),
                (visit.say("held since", "保留開始"), visit.when(incident.opened())),
                (visit.say("unknown users", "宛先不明の割合"), html! {
                    (incident.rate_percent) " % " (visit.say("of the last ", "（直近 ")) (incident.results) (visit.say(" results; usually ", " 件中。通常 "))
                    (past(incident.past_permille)) " %" (visit.say("", "）"))
                }),
                (visit.say("errors held", "保留中のエラー"), html! {
                    (number(incident.held))
                    @if incident.lost > 0 { " " span class="soft" { (counted(visit.lang, incident.lost, "and 1 more that was forgotten", "and {} more that were forgotten", "（ほか {} 件は記録の上限を超えたため破棄）")) } }
                }),
                (visit.say("last answer", "直近の応答"), foreign(&incident.example, 500)),
            ]))
            @if let Some(at) = incident.ended() {
                p class="hint" { (words) " " (visit.when(at)) " " (visit.say("by ", "実行者：")) (foreign(&incident.operator, 80)) }
            }
        }
        @if incident.state == HoldState::Held { (choice(visit, id, hold)) }
        (undo_panel(visit, id, &undo))
        @if !held.is_empty() { (held_table(visit, &held, next.as_deref())) }
    };
    visit.page(Section::Suppression, &title, &content)
}

fn choice(visit: &Visit<'_>, id: &str, hold: &HoldPreview) -> Markup {
    let lang = visit.lang;
    let at_least = if hold.is_whole { "" } else { visit.say("at least ", "少なくとも ") };
    let release = format!("/suppression/incident/{}/release", percent_encode(id));
    let discard = format!("/suppression/incident/{}/discard", percent_encode(id));
    panel(
        visit.say("Were these errors true?", "これらのエラーは正しいものですか？"),
        "",
        &html! {
            p {
                strong { (visit.say("No, it was their outage. ", "いいえ（宛先側の障害でした）")) } " "
                (counted(lang, hold.incident.held, "1 held error is forgotten; nobody is suppressed for it.", "{} held errors are forgotten; nobody is suppressed for them.", "保留中のエラー {} 件を破棄します。誰も停止しません。"))
            }
            p {
                strong { (visit.say("Yes, these addresses do not exist. ", "はい（存在しない宛先でした）")) } " "
                (counted(lang, hold.incident.held, "1 held error counts; ", "{} held errors count; ", "保留中のエラー {} 件を反映し、"))
                (at_least)
                (counted(lang, hold.suppresses, "1 address comes onto the list.", "{} addresses come onto the list.", "{} 件を停止リストに追加します。"))
            }
            @if visit.may(Right::Act) {
                div class="actions" {
                    (visit.button(&discard, "", &[], visit.say("Discard the errors", "エラーを破棄する")))
                    (visit.button(&release, "danger", &[], visit.say("Release: let them count", "エラーを反映する")))
                }
            }
        },
    )
}

/// What an undo would lift, and the button for it.
pub(super) fn undo_panel(visit: &Visit<'_>, id: &str, undo: &UndoPreview) -> Markup {
    let lang = visit.lang;
    let at_least = if undo.is_whole { "" } else { visit.say("at least ", "少なくとも ") };
    let path = |verb: &str| format!("/suppression/incident/{}/{verb}", percent_encode(id));
    let title = visit.say("Undo what it has suppressed", "このインシデントによる停止の取り消し");
    if undo.is_whole && undo.lifts == 0 && undo.forgets == 0 {
        return panel(
            title,
            "",
            &parts::empty(
                visit.say("No address is on the list because of it.", "これによって停止中の宛先はありません。"),
                "",
            ),
        );
    }
    panel(
        title,
        "",
        &html! {
            p {
                (at_least)
                (counted(lang, undo.lifts, "1 address comes off the list.", "{} addresses come off the list.", "{} 件の停止を解除します。"))
                @if undo.forgets > 0 {
                    (counted(lang, undo.forgets, " The errors of 1 more no longer count.", " The errors of {} more no longer count.", "ほか {} 件のエラーは今後数えません。"))
                }
            }
            @if !undo.named.is_empty() {
                details {
                    summary { (visit.say("Which", "対象の宛先")) }
                    ul class="notes" { @for row in &undo.named { li { (foreign(&row.address, 120)) @if !row.user.is_empty() { (parts::bracketed(visit.lang, &foreign(&row.user, 60))) } } } }
                    @if undo.lifts > NAMED_MAX as u64 {
                        a href=(visit.href(&format!("/suppression?incident={}", percent_encode(id)))) { (visit.say("All of them", "すべて表示")) " →" }
                    }
                }
            }
            @if visit.may(Right::Act) && !id.is_empty() {
                div class="actions" {
                    @if !undo.is_whole { (visit.button(&path("count"), "plain", &[], visit.say("Count them all first", "先に全件を数える"))) }
                    (visit.button(&path("undo"), "danger", &[], visit.say("Undo", "取り消す")))
                }
            }
        },
    )
}

fn held_table(visit: &Visit<'_>, held: &[HeldError], next: Option<&str>) -> Markup {
    panel(
        visit.say("The held errors", "保留中のエラー"),
        visit.say("by address", "宛先順"),
        &html! {
            table class="stack" {
                thead {
                    tr {
                        th { (visit.say("Address", "宛先")) }
                        th { (visit.say("When", "日時")) }
                        th { (visit.say("Error", "エラー分類")) }
                        th { (visit.say("Answer", "応答")) }
                    }
                }
                tbody {
                    @for one in held {
                        tr {
                            td class="strong destination" { (foreign(&one.address, 120)) @if !one.user.is_empty() { " " span class="soft" { (foreign(&one.user, 60)) } } }
                            td class="nowrap" { (visit.when(one.error.at)) }
                            td { (class(visit.lang, one.error.class)) }
                            td class="wide reply" { span class="clip" { (foreign(&one.reply, 300)) } }
                        }
                    }
                }
            }
            (parts::pager(visit, next, None))
        },
    )
}

fn trouble_page(visit: &Visit<'_>, id: &str, incident: &TroubleIncident, undo: &UndoPreview) -> Answer {
    let title =
        format!("{}{}", visit.say("Refusals of ", "拒否："), parts::clean(&parts::clip(&incident.destination, 120)));
    let content = html! {
        (parts::heading(&title, ""))
        (tabs(visit, "/incidents"))
        section {
            (facts(&[
                (visit.say("whose trouble", "原因"), html! { (incident.trouble.said(visit.lang.language())) }),
                (visit.say("error class", "エラー分類"), html! { (class(visit.lang, incident.class)) }),
                (visit.say("how often", "件数"), html! { (number(incident.count)) }),
                (visit.say("first", "初回"), visit.when(incident.first())),
                (visit.say("last", "最終"), visit.when(incident.last())),
                (visit.say("last answer", "直近の応答"), foreign(&incident.example, 500)),
            ]))
        }
        (undo_panel(visit, id, undo))
    };
    visit.page(Section::Suppression, &title, &content)
}

/// `/suppression/incident/:id/:verb`.
pub(super) fn act(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let id = args.get("id").to_owned();
    let list = visit.daemon.suppressions();
    let is_known = list.brake_incident(&id)?.is_some() || list.trouble(&id)?.is_some();
    if !is_known {
        return Err(Missing::Nothing);
    }
    begin(
        visit,
        match args.get("verb") {
            "release" => What::Release(id),
            "discard" => What::Discard(id),
            "undo" => What::Undo(id),
            "count" => What::Count(id),
            _ => return Err(Missing::Nothing),
        },
    )
}
