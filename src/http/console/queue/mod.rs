//! The queue: what waits, by destination, class, API user and reason; and what a person can do about it.
//!
//! ```text
//! /queue (sums, destinations, pauses) ─► /queue/list (recipients) ─┬─► /queue/preview: how many, which ─► /queue/act
//!                                   └──────────────────────────────┘
//! ```
//!
//! In: filters, ticks.  Out: sums without a look at the queue, pages of recipients, acts.
//! Always: an act says first how many it meets and what it means; it is in the operation log with the account's name and address; a
//! long one goes on by itself and this page tells how far it is; a million that wait make no page slower.
//! Sources: PRODUCT.md R9; cmc.md §15.

mod act;
mod filter;
mod list;
mod pauses;

use maud::{Markup, html};

use super::{
    Answer, Args, Missing, Place, Right, Section, Visit,
    parts::{class_name, empty, foreign, heading, meter, number, panel, pill, tabs},
};
use crate::{
    clock::Timestamp,
    event::{Class, WaitReason},
    http::{
        health::{self, Destination},
        queue_acts::{ActState, ActView},
        words::Lang,
    },
    store::{QueueFilter, QueueSums},
};

/// Destinations of the page.
const DESTINATIONS_MAX: usize = 50;
/// API users of the page.
const USERS_MAX: usize = 20;
/// Acts of the page that are over.
const ENDED_MAX: usize = 3;
/// How often the page looks again by itself.
const REFRESH_SECONDS: u32 = 15;

pub(super) const PLACES: &[Place] = &[
    Place::read("/queue", Right::View, glance),
    Place::read("/queue/list", Right::View, list::page),
    Place::read("/queue/preview", Right::Act, act::preview),
    Place::act("/queue/preview", Right::Act, act::preview),
    Place::act("/queue/act", Right::Act, act::act),
    Place::act("/queue/pause", Right::Act, pauses::pause),
    Place::act("/queue/resume", Right::Act, pauses::resume),
];

/// A reason to wait, for people.
pub(super) fn wait_words(lang: Lang, wait: WaitReason) -> &'static str {
    match wait {
        WaitReason::Fresh => lang.say("not tried yet", "未試行"),
        WaitReason::Retry => lang.say("deferred", "再送待ち"),
        WaitReason::Site => lang.say("unreachable", "接続不可"),
        WaitReason::Held => lang.say("held", "保留"),
        WaitReason::Damaged => lang.say("held: damaged", "保留（本文破損）"),
        WaitReason::Scheduled => lang.say("scheduled", "配信予約"),
    }
}

/// The pages of the queue, side by side.
fn pages(visit: &Visit<'_>, is_list: bool) -> Markup {
    let lang = visit.lang;
    tabs(
        visit,
        lang.say("Queue", "キュー"),
        &[
            ("/queue", lang.say("At a glance", "集計"), !is_list),
            ("/queue/list", lang.say("Recipients", "宛先一覧"), is_list),
        ],
    )
}

/// `/queue`.
fn glance(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let lang = visit.lang;
    let sums = visit.daemon.queue_sums()?;
    let pauses = visit.daemon.pauses()?;
    let destinations = health::destinations(visit.daemon, &pauses, DESTINATIONS_MAX)?;
    let title = lang.say("Queue", "キュー");
    let waiting = sums.waiting(None, None);
    let content = html! {
        (heading(title, &lead(lang, waiting, sums.held(None))))
        (pages(visit, false))
        (running(visit))
        @if waiting == 0 {
            section {
                (empty(
                    lang.say("Nothing waits: all mail that was accepted has a result.", "待機中のメールはありません。"),
                    lang.say("The delivery log has what became of it.", "結果は配信ログで確認できます。"),
                ))
            }
        } @else {
            div class="columns" {
                (by_reason(visit, &sums))
                (by_class(visit, &sums)?)
                (by_user(visit, &sums))
            }
            (by_destination(visit, &destinations))
        }
        (pauses::section(visit, &pauses)?)
    };
    visit.live_page(Section::Queue, title, REFRESH_SECONDS, &content)
}

fn lead(lang: Lang, waiting: u64, held: u64) -> String {
    let (waiting, held) = (number(waiting), number(held));
    if lang.japanese {
        format!("待機中の宛先 {waiting} 件（うち保留 {held} 件）")
    } else {
        format!("{waiting} recipients wait, {held} of them held.")
    }
}

/// Acts that run, and the last ones that ended.
fn running(visit: &Visit<'_>) -> Markup {
    let acts = visit.daemon.acts();
    let (runs, ended): (Vec<&ActView>, Vec<&ActView>) = acts.iter().partition(|act| act.state == ActState::Runs);
    let shown: Vec<&ActView> = runs.into_iter().chain(ended.into_iter().take(ENDED_MAX)).collect();
    if shown.is_empty() {
        return html! {};
    }
    let lang = visit.lang;
    let rows = html! {
        ul class="rows" {
            @for view in shown {
                li {
                    p class="act" {
                        @match &view.state {
                            ActState::Runs => { (pill("waiting", lang.say("runs", "実行中"))) },
                            ActState::Done(_) => { (pill("succeeded", lang.say("done", "完了"))) },
                            ActState::Broken(_) => { (pill("failed", lang.say("broke off", "中断"))) },
                        }
                        " " span class="strong" { (act::verb_words(lang, view.act.verb)) }
                        " · " (filter::in_words(lang, &view.act.filter))
                        " · " (number(view.done))
                        @if view.state == ActState::Runs { (lang.say(" recipients so far", " 件まで処理")) } @else { (lang.say(" recipients", " 件")) }
                        " · " span class="soft" { (foreign(&view.act.operator, 100)) " " (visit.when_short(view.began)) }
                        @if let ActState::Broken(why) = &view.state { br; span class="reply" { (foreign(why, 300)) } }
                    }
                }
            }
        }
    };
    let content = html! {
        (rows)
        @if visit.may(Right::Administer) {
            p class="onward" { a href=(visit.href("/audit?area=queue.")) { (lang.say("Who did what: the operation log", "実行者の記録（操作ログ）")) } }
        }
    };
    panel(lang.say("Acts on the queue", "一括操作の状況"), "", &content)
}

fn list_link(visit: &Visit<'_>, filter: &QueueFilter) -> String {
    visit.href(&format!("/queue/list?{}", filter::as_query(filter)))
}

/// A row of sums: a name, a remark beside it, what it leads to, how many.
type SumRow = (Markup, String, QueueFilter, u64);

/// A table of sums, with the share of each.
fn sums_table(visit: &Visit<'_>, head: &str, rows: &[SumRow]) -> Markup {
    let max = rows.iter().map(|(.., count)| *count).max().unwrap_or(0);
    html! {
        table class="sums" {
            thead {
                tr { th { (head) } th class="number" { (visit.say("Recipients", "宛先数")) } th { span class="hidden" { (visit.say("Share", "割合")) } } }
            }
            tbody {
                @for (name, remark, filter, count) in rows {
                    tr {
                        td { a href=(list_link(visit, filter)) { (name) } @if !remark.is_empty() { " " span class="soft aside" { (remark) } } }
                        td class="number strong" { (number(*count)) }
                        td class="meter" { (meter(*count, max, visit.say("share", "割合"))) }
                    }
                }
            }
        }
    }
}

fn by_reason(visit: &Visit<'_>, sums: &QueueSums) -> Markup {
    let row = |wait: WaitReason| {
        let filter = QueueFilter { wait: Some(wait), ..QueueFilter::default() };
        (html! { (wait_words(visit.lang, wait)) }, String::new(), filter, sums.waiting(None, Some(wait)))
    };
    let mut rows: Vec<_> = WaitReason::ALL.map(row).into_iter().filter(|(.., count)| *count > 0).collect();
    rows.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
    panel(visit.say("By reason", "理由別"), "", &sums_table(visit, visit.say("Why it waits", "待機の理由"), &rows))
}

fn by_class(visit: &Visit<'_>, sums: &QueueSums) -> Result<Markup, Missing> {
    let oldest = visit.daemon.oldest()?;
    let row = |class: Class| {
        let filter = QueueFilter { class: Some(class), ..QueueFilter::default() };
        let age = |since| visit.lang.duration(visit.now.since(since));
        let remark = oldest[class as usize]
            .map_or_else(String::new, |since| format!("{}{}", visit.say("oldest ", "最古 "), age(since)));
        (html! { (class_name(visit.lang, class)) }, remark, filter, sums.waiting(Some(class), None))
    };
    let rows: Vec<_> = Class::ALL.map(row).into_iter().filter(|(.., count)| *count > 0).collect();
    let table = sums_table(visit, visit.say("Priority", "優先度"), &rows);
    Ok(panel(visit.say("By priority", "優先度別"), "", &table))
}

fn by_user(visit: &Visit<'_>, sums: &QueueSums) -> Markup {
    let row = |(name, count): &(String, u64)| {
        let filter = QueueFilter { user: name.clone(), ..QueueFilter::default() };
        (html! { (foreign(name, 60)) }, String::new(), filter, *count)
    };
    // A filter cannot ask for mail without a user: that is told below the table.
    let rows: Vec<_> = sums.users.iter().filter(|(name, _)| !name.is_empty()).take(USERS_MAX).map(row).collect();
    let nobodys = sums.of_user("");
    let content = html! {
        @if !rows.is_empty() { (sums_table(visit, visit.say("API user", "APIユーザー"), &rows)) }
        @if nobodys > 0 {
            p class="hint" { (visit.say("Without an API user: ", "APIユーザーなし：")) (number(nobodys)) }
        }
    };
    panel(visit.say("By API user", "APIユーザー別"), "", &content)
}

fn by_destination(visit: &Visit<'_>, destinations: &[Destination]) -> Markup {
    let lang = visit.lang;
    let small = if destinations.len() >= DESTINATIONS_MAX { lang.say("the 50 largest", "上位50件") } else { "" };
    let table = html! {
        table class="stack" {
            thead {
                tr {
                    th { (lang.say("Destination", "宛先ドメイン")) }
                    th class="number" { (lang.say("Waiting", "待機中")) }
                    th class="number" { (lang.say("Running", "送信中")) }
                    th { (lang.say("Next try", "次回の試行")) }
                    th { (lang.say("Last answer", "直近の応答")) }
                    @if visit.may(Right::Act) { th { span class="hidden" { (lang.say("Acts", "操作")) } } }
                }
            }
            tbody { @for destination in destinations { (destination_row(visit, destination)) } }
        }
    };
    panel(lang.say("By destination", "宛先ドメイン別"), small, &table)
}

fn destination_row(visit: &Visit<'_>, row: &Destination) -> Markup {
    let lang = visit.lang;
    let filter = QueueFilter { destination: row.name.clone(), ..QueueFilter::default() };
    html! {
        tr {
            td class="strong destination" {
                a href=(list_link(visit, &filter)) { (foreign(&row.name, 120)) }
                @if row.paused { " " (pill("waiting", lang.say("paused", "一時停止中"))) }
            }
            td class="number big" { (number(row.waiting)) }
            td class="number left" data-label=(lang.say("Running", "送信中")) { @if row.running > 0 { (number(u64::from(row.running))) } @else { span class="soft" { "–" } } }
            td class="nowrap" data-label=(lang.say("Next try", "次回の試行")) {
                @if row.paused { (lang.say("after the pause", "一時停止の終了後")) }
                @else if row.earliest_due == Timestamp::MAX { (lang.say("all held", "すべて保留")) }
                @else { (lang.next_try(row.earliest_due, visit.now)) }
            }
            td class="wide reply" { span class="clip" { (foreign(&row.last_reply, 200)) } }
            @if visit.may(Right::Act) {
                td class="wide acts" {
                    @for verb in act::OFTEN {
                        (act::preview_button(visit, verb, &filter, "quiet")) " "
                    }
                    @if !row.paused {
                        (visit.button("/queue/preview", "quiet", &[("verb", "pause"), ("destination", &row.name)], lang.say("Pause", "一時停止")))
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
