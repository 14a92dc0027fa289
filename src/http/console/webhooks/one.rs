//! One webhook: how it stands, and what it posted lately.

use maud::{Markup, html};

use super::{
    super::{
        Answer, Args, Missing, Right, Section, Visit,
        parts::{Field, back_to, check_box, clean, clip, empty, foreign, number, pager, pill},
    },
    buttons, standing, state, trouble,
};
use crate::{
    clock::Timestamp,
    webhook::{
        OrderError,
        history::{KEPT, Tried},
        view::View,
    },
};

/// Posts of a page.
const ROWS: usize = 50;
/// Letters of an error.
const ERROR_MAX: usize = 200;

/// How the webhook of a name stands.
///
/// # Errors
/// There is none.
pub(super) fn found(visit: &Visit<'_>, name: &str) -> Result<View, Missing> {
    visit.daemon.webhooks().views().into_iter().find(|view| view.name == name).ok_or(Missing::Nothing)
}

pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let view = found(visit, visit.request.param("name"))?;
    let all = visit.daemon.webhooks().history(&view.name, KEPT as usize).map_err(|error| match error {
        OrderError::Store(error) => Missing::from(error),
        OrderError::Unknown | OrderError::NoPost | OrderError::Later => Missing::Nothing,
    })?;
    let only_failed = visit.request.flag("failed");
    let before = visit.request.param("cursor").parse::<u64>().unwrap_or(u64::MAX);
    let mut rows: Vec<&Tried> = all
        .iter()
        .filter(|tried| tried.number < before && (!only_failed || !tried.error.is_empty()))
        .take(ROWS + 1)
        .collect();
    let next = (rows.len() > ROWS).then(|| {
        rows.truncate(ROWS);
        rows.last().map(|tried| tried.number.to_string()).unwrap_or_default()
    });
    let title = clean(&clip(&view.name, 80));
    let content = html! {
        (back_to(visit, "/webhooks", visit.say("Webhooks", "Webhook")))
        div class="heading" { h1 { (foreign(&view.name, 64)) " " (state(visit, &view)) } }
        section { (standing(visit, &view)) (trouble(visit, &view)) (buttons(visit, &view)) }
        section {
            h2 { (visit.say("History", "送信履歴")) small { (visit.say("the last 1,000 posts", "直近1,000件")) } }
            (visit.ask("/webhooks/history", "actions", &html! {
                input type="hidden" name="name" value=(view.name);
                (check_box("failed", "1", visit.say("failures only", "失敗のみ"), only_failed))
                button class="plain" { (visit.say("Show", "表示")) }
            }))
            (history(visit, &view, &rows, only_failed))
            (pager(visit, next.as_deref(), None))
        }
        @if visit.may(Right::Act) { (again(visit, &view)) }
    };
    visit.page(Section::Webhooks, &title, &content)
}

fn history(visit: &Visit<'_>, view: &View, rows: &[&Tried], only_failed: bool) -> Markup {
    if rows.is_empty() {
        return match only_failed {
            true => empty(visit.say("No post failed.", "失敗した送信はありません。"), ""),
            false => empty(
                visit.say("Nothing was posted yet.", "まだ送信はありません。"),
                visit.say(
                    "Send a test event to see whether the URL answers.",
                    "「テスト送信」で送信先の応答を確認できます。",
                ),
            ),
        };
    }
    let may = visit.may(Right::Act);
    html! {
        table class="stack spaced" {
            thead { tr {
                th { (visit.say("Time", "日時")) } th { (visit.say("What", "種類")) } th class="number" { (visit.say("Events", "イベント数")) }
                th { (visit.say("Answer", "応答")) } th class="number" { "ms" } @if may { th { (visit.say("Act", "操作")) } }
            } }
            tbody { @for tried in rows {
                tr {
                    td class="nowrap" { (visit.when(Timestamp::from_millis(tried.at))) }
                    td { (tried.event_type) }
                    td class="number left" data-label=(visit.say("events", "イベント数")) { (number(tried.events)) }
                    td class="wide" {
                        @if tried.error.is_empty() { (pill("succeeded", &tried.status.to_string())) }
                        @else {
                            (pill("failed", &answer_word(visit, tried))) " "
                            span class="reply" { (foreign(&tried.error, ERROR_MAX)) }
                        }
                    }
                    td class="number left" data-label="ms" { (number(tried.took)) }
                    @if may {
                        td {
                            (visit.button("/webhooks/replay-post", "quiet", &[("name", &view.name), ("post", &tried.id)], visit.say("Post again", "再送")))
                        }
                    }
                }
            } }
        }
    }
}

fn answer_word(visit: &Visit<'_>, tried: &Tried) -> String {
    match tried.status {
        0 => visit.say("no answer", "応答なし").to_owned(),
        status => status.to_string(),
    }
}

/// Everything since a moment, once more: asked first, told how much, then done.
fn again(visit: &Visit<'_>, view: &View) -> Markup {
    html! {
        section {
            h2 { (visit.say("Post everything again since …", "指定した時刻以降をすべて再送")) }
            p { (visit.say("For a receiver that lost something. Each event has the same id as before, so that one can tell what is known. You see first how much it is.",
                "受信側でデータを失った場合などに使います。イベントのIDは前回と同じです。実行前に件数を確認できます。")) }
            (visit.ask("/webhooks/replay", "actions low", &html! {
                input type="hidden" name="name" value=(view.name);
                (Field {
                    name: "from", kind: "datetime-local", required: true, label: visit.say("Since", "開始時刻"), ..Field::default()
                }.show())
                button class="plain" { (visit.say("How much is it?", "件数を確認")) }
            }))
        }
    }
}
