//! Recipients that wait: which, why, until when; ticked or all together, they can be acted on.

use std::time::Duration;

use maud::{Markup, html};

use super::{
    act::{self, preview_button},
    filter, pages, wait_words,
};
use crate::{
    event::WaitReason,
    http::console::{
        Answer, Args, Right, Section, Visit,
        logs::{LOOK_MAX, filter::as_query, views},
        parts::{class_name, empty, foreign, heading, number, pager, pill, subject, tick_all, tick_row},
    },
    store::{Page, QueueCount, QueueFilter, QueueRow, QueueVerb, RecipientState},
};

/// Recipients of a page: what one act on ticks takes.
pub(super) const ROWS: usize = 100;
/// How long a count of what matches may take.
pub(super) const COUNT_MAX: Duration = Duration::from_millis(60);

/// `/queue/list`.
pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let lang = visit.lang;
    let filter = filter::of(visit, |name| visit.request.param(name))?;
    let cursor = Some(visit.request.param("cursor")).filter(|c| !c.is_empty()).map(str::to_owned);
    let page = Page { rows_max: ROWS, cursor, within: Some(LOOK_MAX - COUNT_MAX), ..Page::default() };
    let found = visit.daemon.queue_page(&filter, &page)?;
    let count = visit.daemon.count_waiting(&filter, COUNT_MAX)?;
    let title = lang.say("Queue", "キュー");
    let content = html! {
        (heading(title, ""))
        (pages(visit, true))
        (views::chosen(visit, "queue", "/queue/list", &as_query(visit, &filter::FIELDS))?)
        (filter::form(visit, &filter))
        section {
            h2 { (sentence_case(&filter::in_words(lang, &filter))) small { (count_words(visit, count)) } }
            @if visit.may(Right::Act) && count.recipients > 0 { (all_bar(visit, &filter, count)) }
            @if found.rows.is_empty() {
                @if found.next.is_some() {
                    (empty(lang.say("Nothing was found so far.", "ここまでの範囲では見つかりませんでした。"),
                        lang.say("There is more to look through: go on.", "「続きを見る」でさらに検索できます。")))
                } @else if filter.is_all() {
                    (empty(lang.say("Nothing waits.", "待機中のメールはありません。"),
                        lang.say("The delivery log has what became of the mail.", "結果は配信ログで確認できます。")))
                } @else {
                    (empty(lang.say("Nothing that waits matches.", "条件に一致する宛先はありません。"),
                        lang.say("Try fewer filters, or look in the delivery log: it may have been delivered.", "条件を減らすか、配信ログを確認してください（配信済みの可能性があります）。")))
                }
            } @else if visit.may(Right::Act) {
                (visit.post("/queue/preview", "", &html! {
                    (table(visit, &found.rows, true))
                    (act_bar(visit))
                }))
            } @else {
                (table(visit, &found.rows, false))
            }
            (pager(visit, found.next.as_deref(), None))
        }
    };
    visit.page(Section::Queue, lang.say("Queue: recipients", "キュー：宛先一覧"), &content)
}

/// With a large letter in front.
fn sentence_case(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// So many, or at least so many.
pub(super) fn count_words(visit: &Visit<'_>, count: QueueCount) -> String {
    let n = number(count.recipients);
    match (count.is_whole, visit.lang.japanese) {
        (true, false) => format!("{n} recipients"),
        (true, true) => format!("{n} 件"),
        (false, false) => format!("at least {n} recipients"),
        (false, true) => format!("{n} 件以上"),
    }
}

fn table(visit: &Visit<'_>, rows: &[QueueRow], ticks: bool) -> Markup {
    let lang = visit.lang;
    html! {
        table class=(if ticks { "stack ticks" } else { "stack" }) {
            thead {
                tr {
                    @if ticks { th class="tick-cell" { (tick_all(visit, "to")) } }
                    th { (lang.say("Recipient", "宛先")) }
                    th { (lang.say("Subject", "件名")) }
                    th { (lang.say("Why it waits", "待機の理由")) }
                    th class="number" { (lang.say("Tries", "試行")) }
                    th { (lang.say("Next try", "次回の試行")) }
                    th { (lang.say("Last answer", "直近の応答")) }
                }
            }
            tbody { @for row in rows { (line(visit, row, ticks)) } }
        }
    }
}

/// A recipient in a form: message and place.
pub(super) fn tick_of(row: &QueueRow) -> String {
    format!("{}.{}", row.message.id, row.recipient.key.index)
}

fn line(visit: &Visit<'_>, row: &QueueRow, ticks: bool) -> Markup {
    let (lang, message, recipient) = (visit.lang, &row.message, &row.recipient);
    let (wait, due) = match recipient.state {
        RecipientState::Waiting { wait, due } => (Some(wait), Some(due)),
        RecipientState::Final(_) => (None, None),
    };
    let class = match wait {
        Some(WaitReason::Held | WaitReason::Damaged) => "held",
        Some(WaitReason::Scheduled) => "scheduled",
        Some(WaitReason::Fresh) => "queued",
        Some(WaitReason::Retry | WaitReason::Site) | None => "waiting",
    };
    html! {
        tr {
            @if ticks { td class="tick-cell" { (tick_row("to", &tick_of(row), recipient.address.as_str())) } }
            td class="strong destination" {
                a href=(lang.href(&format!("/message/{}", message.id))) { (foreign(recipient.address.as_str(), 120)) }
                @if !message.user.is_empty() { " " span class="soft aside" { (foreign(&message.user, 60)) } }
            }
            td class="wide subject" {
                (subject(lang, &message.facts.subject, 80))
                " " span class="soft aside" { (class_name(lang, message.class)) " · " (visit.when_short(message.accepted_at)) }
            }
            td { @if let Some(wait) = wait { (pill(class, wait_words(lang, wait))) } }
            td class="number left" data-label=(lang.say("Tries", "試行")) { (recipient.attempts) }
            td class="nowrap" data-label=(lang.say("Next try", "次回の試行")) {
                @if let Some(due) = due { (lang.next_try(due, visit.now)) }
            }
            td class="wide reply" { span class="clip" { (foreign(&recipient.last_reply, 200)) } }
        }
    }
}

/// How its button looks: what cannot be undone looks so, and stands apart from what can.
fn class_of(verb: QueueVerb) -> &'static str {
    if act::is_final(verb) { "grave" } else { "plain" }
}

/// What to do with those that are ticked.
fn act_bar(visit: &Visit<'_>) -> Markup {
    html! {
        div class="actions" {
            span class="soft" { (visit.say("Ticked ones:", "選択した宛先：")) }
            @for verb in QueueVerb::ALL {
                button class=(class_of(verb)) name="verb" value=(verb.word()) { (act::button_words(visit.lang, verb)) }
            }
        }
    }
}

/// What to do with all that match.
fn all_bar(visit: &Visit<'_>, filter: &QueueFilter, count: QueueCount) -> Markup {
    html! {
        div class="actions bulk" {
            span class="soft" {
                @if visit.lang.japanese { "条件に一致するすべて（" (count_words(visit, count)) "）：" }
                @else { "All that match (" (count_words(visit, count)) "):" }
            }
            @for verb in QueueVerb::ALL { (preview_button(visit, verb, filter, class_of(verb))) }
        }
    }
}
