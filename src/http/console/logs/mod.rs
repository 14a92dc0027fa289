//! The delivery log and the error log: 配信ログ, エラーログ.
//!
//! In: filters.  Out: entries, newest first, each linked to its message and to what came back about it; the same as a file.
//! Always: a page looks for [`LOOK_MAX`] at most, says how far back it came, and can go on there; nothing past its period is shown
//! (R13); who took a file is in the operation log before its first octet goes.
//! Sources: cmc.md §15; PRODUCT.md R11, R12, R13.

pub mod filter;
pub mod views;

use std::time::Duration;

use maud::{Markup, html};

use self::filter::Log;
use super::{
    Answer, Place, Right, Section, Visit,
    parts::{empty, foreign, heading, pager, pill, subject},
};
use crate::{
    event::{Event, EventKind},
    http::{
        download::{self, Rows},
        exchange::Response,
    },
    records::{Bounce, Delivery, bounce_class},
    store::{AuditEntry, Linked, LogRow, Page},
};

/// Entries of a page.
const ROWS: usize = 100;
/// How long a page looks for them.
pub(super) const LOOK_MAX: Duration = Duration::from_millis(125);
/// Letters of a reply that a list shows: the message's page has all of it.
const REPLY_MAX: usize = 240;

pub(super) const PLACES: &[Place] = &[
    Place::read("/log/deliveries", Right::View, |visit, _| page(visit, Log::Deliveries)),
    Place::read("/log/errors", Right::View, |visit, _| page(visit, Log::Errors)),
    Place::read("/log/deliveries.csv", Right::Download, |visit, _| file(visit, Log::Deliveries)),
    Place::read("/log/errors.csv", Right::Download, |visit, _| file(visit, Log::Errors)),
    Place::act("/views/save", Right::View, views::save),
    Place::act("/views/forget", Right::View, views::forget),
];

fn path(log: Log) -> &'static str {
    match log {
        Log::Deliveries => "/log/deliveries",
        Log::Errors => "/log/errors",
    }
}

fn page(visit: &Visit<'_>, log: Log) -> Answer {
    let lang = visit.lang;
    let query = filter::query_of(visit, log)?;
    let cursor = Some(visit.request.param("cursor")).filter(|c| !c.is_empty()).map(str::to_owned);
    let page = Page { rows_max: ROWS, cursor, within: Some(LOOK_MAX), ..Page::default() };
    let found = visit.daemon.log_page(&query, &page)?;
    let asked = filter::query_text(visit);
    let (section, title, lead) = match log {
        Log::Deliveries => (
            Section::Deliveries,
            lang.say("Delivery log", "配信ログ"),
            lang.say(
                "What became of every recipient, the newest first. Each try has its own entry.",
                "宛先ごとの配信結果を新しい順に表示します。再送は試行ごとに記録されます。",
            ),
        ),
        Log::Errors => (
            Section::Errors,
            lang.say("Error log", "エラーログ"),
            lang.say(
                "What failed, and bounces and complaints that came back later.",
                "配信エラーと、配信後に届いた不達通知・迷惑メール申告を表示します。",
            ),
        ),
    };
    let content = html! {
        (heading(title, lead))
        (views::chosen(visit, log.word(), path(log), &asked)?)
        (filter::form(visit, log, path(log)))
        section {
            @if found.rows.is_empty() {
                (nothing(visit, log, !asked.is_empty(), found.next.is_some()))
            } @else {
                (table(visit, log, &found.rows))
            }
            (pager(visit, found.next.as_deref(), found.looked_back_to))
        }
    };
    visit.page(section, title, &content)
}

/// No entry is here: whether there are none, and what to do next.
fn nothing(visit: &Visit<'_>, log: Log, is_filtered: bool, goes_on: bool) -> Markup {
    if goes_on {
        return empty(
            visit.say("Nothing was found so far.", "ここまでの範囲では見つかりませんでした。"),
            visit.say("There is more to look through: go on.", "「続きを見る」でさらに前を検索できます。"),
        );
    }
    let kept = match log {
        Log::Deliveries => visit.about.retention.delivery_log,
        Log::Errors => visit.about.retention.error_log,
    };
    let days = kept.as_secs() / 86_400;
    match (is_filtered, log) {
        (true, _) => html! {
            p class="empty" {
                (visit.say("No entry matches. Entries are kept ", "一致する記録はありません。ログの保存期間は "))
                (days) (visit.say(" days; try fewer filters.", " 日です。条件を減らして検索してください。"))
            }
        },
        (false, Log::Deliveries) => empty(
            visit.say("No mail yet.", "まだメールがありません。"),
            visit.say(
                "Send one through this server, and it appears here; the overview shows how.",
                "このサーバーから送信すると、ここに表示されます。送り方は「概要」に表示しています。",
            ),
        ),
        (false, Log::Errors) => empty(
            visit.say("No error: nothing failed and nothing came back.", "エラーはありません。"),
            visit.say("There is nothing to do.", "対応の必要はありません。"),
        ),
    }
}

fn table(visit: &Visit<'_>, log: Log, rows: &[LogRow]) -> Markup {
    let lang = visit.lang;
    html! {
        table class="stack log" {
            thead {
                tr {
                    th { (lang.say("Time", "日時")) }
                    th {
                        @match log {
                            Log::Deliveries => { (lang.say("Status", "状態")) },
                            Log::Errors => { (lang.say("Error", "エラー分類")) },
                        }
                    }
                    th { (lang.say("Recipient", "宛先")) }
                    th { (lang.say("Subject", "件名")) }
                    th { (lang.say("Answer", "応答")) }
                }
            }
            tbody { @for row in rows { (line(visit, log, row)) } }
        }
    }
}

fn line(visit: &Visit<'_>, log: Log, row: &LogRow) -> Markup {
    let (lang, event) = (visit.lang, &row.event);
    let reply = event.detail.as_ref().map_or("", |detail| detail.reply.as_str());
    let href = lang.href(&format!("/message/{}", row.message.id));
    html! {
        tr {
            td class="nowrap" { (visit.when_short(event.at)) }
            td class="nowrap" { (status(visit, log, event)) }
            td class="wide strong destination" { a href={ (href) "#e" (row.number) } { (foreign(&row.recipient, 120)) } }
            td class="wide" {
                (subject(lang, &row.message.facts.subject, 100))
                @if !row.message.user.is_empty() { " " span class="soft aside" { (foreign(&row.message.user, 60)) } }
            }
            td class="wide reply" {
                @if !reply.is_empty() { span class="clip" { (foreign(reply, REPLY_MAX)) } }
                (next_try(visit, event))
                @for link in &row.links { (linked(visit, link, &href)) }
            }
        }
    }
}

/// The status, and of an error its class.
fn status(visit: &Visit<'_>, log: Log, event: &Event) -> Markup {
    let word = event.kind.word();
    let state = pill(word, visit.lang.event(word));
    if !event.kind.is_error() {
        return state;
    }
    // A complaint has no class but in the files, where CMC's number for it is 99.
    if event.kind == EventKind::Complained {
        return state;
    }
    let class = bounce_class(event);
    html! {
        (state)
        @if log == Log::Errors { br; span class="soft" { (class.code()) " " (class.said(visit.lang.language())) } }
        @else if class.is_block() { br; span class="soft" { (class.said(visit.lang.language())) } }
    }
}

/// When it is tried again, where that is still ahead (R9).
fn next_try(visit: &Visit<'_>, event: &Event) -> Markup {
    html! {
        @if let Some(next) = event.next_try.filter(|next| *next > visit.now) {
            span class="soft" { (visit.say(" next try ", " 次回の試行 ")) (visit.ago(next)) }
        }
    }
}

/// What another entry says about this one (R11).
fn linked(visit: &Visit<'_>, link: &Linked, message: &str) -> Markup {
    let event = &link.event;
    html! {
        span class="aside" {
            a href={ (message) "#e" (link.number) } {
                @if event.kind.is_return() { (visit.say("came back later: ", "その後の返送：")) }
                @else { (visit.say("about: ", "対象の配信：")) }
                (visit.lang.event(event.kind.word())) " " (visit.when_short(event.at))
            }
        }
    }
}

/// The log as a CSV file, with the columns that the API's downloads have.
fn file(visit: &Visit<'_>, log: Log) -> Answer {
    let query = filter::query_of(visit, log)?;
    let asked = filter::in_words(visit, &query);
    let (logs, zone) = (visit.daemon.logs(), visit.about.zone.clone());
    let columns = match log {
        Log::Deliveries => Delivery::KEYS.to_vec(),
        Log::Errors => Bounce::KEYS.to_vec(),
    };
    let read = move |page: &Page| {
        let found = logs.log_page(&query, page)?;
        let row = |row: &LogRow| match log {
            Log::Deliveries => {
                Delivery::of(&row.event, &row.recipient, &row.message, &zone).map(|r| r.into_values().to_vec())
            }
            Log::Errors => {
                Bounce::of(&row.event, &row.recipient, &row.message, &zone).map(|r| r.into_values().to_vec())
            }
        };
        Ok((found.rows.iter().filter_map(row).collect(), found.next))
    };
    csv(visit, log.word(), &asked, columns, Box::new(read))
}

/// Answers a file named `<name>-yyyyMMdd_HHmmss.csv`; `asked` says for the operation log what of the list it is.
pub(super) fn csv(
    visit: &Visit<'_>,
    name: &'static str,
    asked: &str,
    columns: Vec<&'static str>,
    read: download::Read,
) -> Answer {
    let Some(place) = download::Place::take() else {
        let words = visit.say(
            "Two downloads run already, of this console and the API together. Try again in a minute.",
            "ほかのダウンロードが2件実行中です。1分ほど待ってから再度お試しください。",
        );
        return visit.refuse(503, words);
    };
    visit.daemon.audit(AuditEntry {
        at: visit.now,
        who: visit.who(),
        from: visit.from(),
        act: "console.download".to_owned(),
        object: name.to_owned(),
        detail: asked.to_owned(),
    })?;
    let file = format!("attachment; filename=\"{name}-{}.csv\"", visit.about.zone.file_stamp(visit.now));
    let stream = download::csv(place, name, visit.who(), columns, Rows::new(read));
    Ok(Response::stream("text/csv; charset=utf-8", stream).with("Content-Disposition", file))
}

#[cfg(test)]
mod tests;
