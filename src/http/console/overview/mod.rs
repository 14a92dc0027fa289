//! The front page: how things stand, what is in trouble, the delivery graph, what waits and why, the machine; and the pages behind
//! it: statistics of any time, delivery incidents.
//!
//! Always: whoever may see reports only sees no address, no subject and no answer of a destination here.

use maud::{Markup, html};

mod attention;
mod care;
mod first_steps;
pub(super) mod graph;
mod machine;
pub(super) mod providers;
pub(super) mod span;
pub(super) mod statistics;
mod troubles;

use self::{
    graph::Graph,
    span::{Asked, Span, preset_words},
    troubles::Incident,
};
use super::{
    Answer, Args, Place, Right, Section, Visit, domains, lists,
    mail::event_row,
    parts::{foreign, number},
    sandbox::mail_row,
};
use crate::{
    clock::Timestamp,
    config::Mode,
    http::{
        daemon::{About, Unready},
        exchange::percent_encode,
        health::{self, Destination, Overview, State},
        words::Lang,
    },
    sandbox::SandboxMail,
    schedule::trouble::Standing,
    store::{LogQuery, LogRow, Page, StoreError},
};

/// Events on the front page.
const EVENTS: usize = 15;
/// Rows that are looked at for them: the newest are the first that come.
const EVENTS_SCAN_MAX: usize = 2_000;
/// Sandbox mails on the front page.
const SANDBOX_MAILS: usize = 10;
/// Destinations on the front page; the queue has them all.
const DESTINATIONS: usize = 8;
/// Times of the front page's graph.
const RANGES: [&str; 3] = ["1h", "24h", "7d"];

pub(super) const PLACES: &[Place] = &[
    Place::read("/", Right::Reports, page),
    Place::read("/statistics", Right::Reports, statistics::page),
    Place::read("/statistics.csv", Right::Reports, statistics::csv),
    Place::read("/troubles", Right::Reports, troubles::page),
];

/// Seconds between two looks of the page by itself.
const REFRESH_SECONDS: u32 = 15;

fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let (daemon, lang, about) = (visit.daemon, visit.lang, &visit.about);
    let overview = health::overview(daemon)?;
    let incidents = troubles::incidents(visit)?;
    let now = overview.now;
    let title = state_line(lang, &overview, &incidents);
    let title = title.as_str();
    let views = visit.may(Right::View);
    // Where only some API users' mail is kept, it has its own page.
    let sandbox_is_all = views && about.mode == Mode::Sandbox;
    let latest = if views { latest_rows(visit)? } else { Vec::new() };
    let is_new = views && latest.is_empty() && overview.status.waiting == 0;
    let mails = if sandbox_is_all { daemon.sandbox_list(SANDBOX_MAILS)? } else { Vec::new() };
    let content = html! {
        (state(lang, about, &overview, title))
        @if about.mode == Mode::Sandbox {
            p class="note" {
                (lang.say(
                    "Sandbox: mail is kept and shown here. Nothing leaves this machine.",
                    "サンドボックス：メールはここに保管・表示され、外部には一切送信されません。",
                ))
            }
        }
        (attention::section(visit, &incidents, &overview.status))
        @if is_new { (first_steps::section(visit)) }
        (delivery(visit)?)
        @if sandbox_is_all { (sandbox(lang, &mails, about, now)) }
        (queue(visit, &overview))
        (providers::section(visit))
        (domains::section(lang, &overview.status.domains, about, now))
        @if views { (lists::section(lang, &overview.status.lists, about, now)) }
        (care::pauses(visit, &overview.status))
        (care::warm_ups(lang, &overview.status))
        (care::notes(lang, &overview.status))
        (machine::section(visit))
        @if views { (latest_section(visit, &latest)) }
    };
    visit.live_page(Section::Overview, title, REFRESH_SECONDS, &content)
}

fn state_line(lang: Lang, overview: &Overview, incidents: &[Incident]) -> String {
    let first = overview.unready.first();
    // Greylisting and full mailboxes are a day like any other.
    let is_news = |incident: &&Incident| incident.waiting > 0 && incident.trouble.standing != Standing::Deferring;
    let mut troubled = incidents.iter().filter(is_news);
    let words = match (overview.state, first) {
        (State::Trouble, Some(Unready::Draining)) => lang.say("Stopping", "停止処理中です"),
        (State::Trouble, Some(Unready::Starting)) => lang.say("Starting", "起動中です"),
        (State::Trouble, _) => lang.say("No new mail is taken", "新しいメールを受け付けていません"),
        (State::Waiting | State::Fine, _) if overview.status.waiting > 0 && troubled.next().is_some() => {
            let n = 1 + troubled.count() as u64;
            return match (n, lang.japanese) {
                (1, false) => "Running; one destination is in trouble".to_owned(),
                (n, false) => format!("Running; {} destinations are in trouble", number(n)),
                (n, true) => format!("稼働中・配信障害の宛先 {} 件", number(n)),
            };
        }
        (State::Waiting, _) if overview.status.waiting == 0 => {
            lang.say("Running; some destinations are paused", "稼働中・一時停止中の宛先があります")
        }
        (State::Waiting, _) => {
            lang.say("Running; some mail waits for its next try", "稼働中・再送待ちのメールがあります")
        }
        (State::Fine, _) if overview.status.waiting > 0 => lang.say("All is well, delivering", "順調に配信しています"),
        (State::Fine, _) => lang.say("All is well", "順調です"),
    };
    words.to_owned()
}

fn state(lang: Lang, about: &About, overview: &Overview, title: &str) -> Markup {
    let status = &overview.status;
    let class = match overview.state {
        State::Fine => "state fine",
        State::Waiting => "state waiting",
        State::Trouble => "state trouble",
    };
    html! {
        div class=(class) {
            span class="lamp" {}
            div {
                h1 { (title) }
                p {
                    @if status.waiting == 0 {
                        (lang.say("The queue is empty", "キューは空です"))
                    } @else if lang.japanese {
                        "待機中の宛先 " (number(status.waiting)) " 件"
                        @if status.held > 0 { "（保留 " (number(status.held)) " 件）" }
                    } @else {
                        (number(status.waiting)) @if status.waiting == 1 { " recipient waits" } @else { " recipients wait" }
                        @if status.held > 0 { ", " (number(status.held)) " of them held" }
                    }
                    " · "
                    @match about.mode {
                        Mode::Internet => (lang.say("delivering to the internet", "インターネットへ配信")),
                        Mode::Smarthost => { (lang.say("delivering by ", "中継先：")) (about.smarthost) },
                        Mode::Sandbox => (lang.say("delivering to the sandbox", "サンドボックスへ配信")),
                    }
                    " · "
                    @let age = lang.duration(overview.now.since(about.started_at));
                    @if lang.japanese { "起動から " (age) } @else { "up " (age) }
                    @if status.dns_validation.as_deref() == Some("yes") {
                        " · " (lang.say("DNSSEC validated", "DNSSEC 検証あり"))
                    }
                }
            }
        }
        @for reason in &overview.unready {
            p class="note bad" { (reason_words(lang, reason)) }
        }
    }
}

fn reason_words(lang: Lang, reason: &Unready) -> String {
    if !lang.japanese {
        return reason.words();
    }
    match reason {
        Unready::Starting => "起動中：ストアを開いています。".into(),
        Unready::Draining => "停止処理中：処理中のセッションを終えています。新しいメールは受け付けません。".into(),
        Unready::StoreFailed(why) => {
            format!("ストアが停止しました（{why}）。受付済みのメールは安全です。デーモンのログを確認してください。")
        }
        Unready::DiskFull => {
            "ディスクの空きが不足しています。[queue].disk_free_min の空きが戻るまで、新しいメールには 452 を返します。"
                .into()
        }
        Unready::VerdictsStuck => "配信結果を保存できません。ディスクに空きができるまで配信を待ちます。".into(),
        Unready::WriterBehind(by) => {
            format!("ディスクへの書き込みが {} 秒遅れています。新しいメールには 451 を返します。", by.as_secs())
        }
    }
}

/// The graph of the last hour, day or week.
fn delivery(visit: &Visit<'_>) -> Result<Markup, StoreError> {
    let asked = Asked { range: visit.request.param("range"), ..Asked::default() };
    let minutes_from = graph::minutes_from(visit.daemon, None)?;
    let zone = &visit.about.zone;
    let span = Span::of(asked, RANGES[0], zone, visit.now, minutes_from);
    let graph = Graph::of(visit.daemon, &span, zone, None)?;
    let words = if visit.lang.japanese {
        format!("直近{}", preset_words(visit, span.preset.unwrap_or(RANGES[0])))
    } else {
        match span.preset {
            Some("1h") | None => "The last hour".to_owned(),
            Some(preset) => format!("The last {}", preset_words(visit, preset)),
        }
    };
    Ok(html! {
        section id="delivery" {
            h2 {
                (words) small { (visit.say("recipients", "宛先数")) }
                span class="ranges" {
                    @for range in RANGES {
                        a href=(visit.link_with(&[("range", range)])) aria-current=[(span.preset == Some(range)).then_some("page")] {
                            (preset_words(visit, range))
                        }
                    }
                }
                a class="more" href=(visit.href("/statistics")) { (visit.say("Statistics", "統計")) }
            }
            (statistics::numbers(visit, &graph))
            @if graph.is_empty() {
                p class="empty" {
                    (visit.say("No mail in this time. What is accepted and what becomes of it is drawn here.",
                        "この期間のメールはありません。受付と配信結果がここに表示されます。"))
                }
            } @else { (graph.chart(visit, &span)) }
        }
    })
}

fn queue(visit: &Visit<'_>, overview: &Overview) -> Markup {
    let (lang, views) = (visit.lang, visit.may(Right::View));
    let shown = overview.destinations.iter().take(DESTINATIONS);
    html! {
        section id="queue" {
            h2 {
                (lang.say("Queue by destination", "宛先ドメイン別のキュー"))
                @if overview.destinations.len() > DESTINATIONS { small { (lang.say("the largest", "上位")) } }
                @if views && !overview.destinations.is_empty() {
                    a class="more" href=(lang.href("/queue")) { (lang.say("The whole queue", "キューを開く")) }
                }
            }
            (care::ages(lang, &overview.status))
            @if overview.destinations.is_empty() {
                p class="empty" { (lang.say("Nothing waits. Mail that cannot be delivered at once shows up here, with the reason and the next try.",
                    "待機中のメールはありません。すぐに配信できなかったメールが、理由と次回の試行時刻とともにここに表示されます。")) }
            } @else {
                table class="stack" {
                    thead {
                        tr {
                            th { (lang.say("Destination", "宛先ドメイン")) }
                            th class="number" { (lang.say("Waiting", "待機中")) }
                            th class="number" { (lang.say("Running", "送信中")) }
                            th { (lang.say("Next try", "次回の試行")) }
                            @if views { th { (lang.say("Last answer", "直近の応答")) } }
                        }
                    }
                    tbody { @for row in shown { (destination(lang, row, overview.now, views)) } }
                }
            }
        }
    }
}

fn destination(lang: Lang, row: &Destination, now: Timestamp, views: bool) -> Markup {
    html! {
        tr {
            td class="strong destination" {
                @if views {
                    a href=(lang.href(&format!("/queue/list?destination={}", percent_encode(&row.name)))) { (foreign(&row.name, 120)) }
                } @else {
                    (foreign(&row.name, 120))
                }
            }
            td class="number big" { (number(row.waiting)) }
            td class="number left" data-label=(lang.say("Running", "送信中")) { @if row.running > 0 { (row.running) } @else { span class="soft" { "–" } } }
            td class="nowrap" data-label=(lang.say("Next try", "次回の試行")) {
                @if row.paused {
                    span class="pill" { (lang.say("paused", "一時停止")) }
                } @else {
                    (lang.next_try(row.earliest_due, now))
                }
            }
            @if views {
                td class="wide reply" {
                    @if row.last_reply.is_empty() {
                        (lang.say("not tried yet", "未試行"))
                    } @else {
                        span class="clip" { (foreign(&row.last_reply, 300)) }
                    }
                }
            }
        }
    }
}

fn latest_rows(visit: &Visit<'_>) -> Result<Vec<LogRow>, StoreError> {
    let from = visit.now.minus(visit.about.retention.delivery_log);
    let query = LogQuery { from: Some(from), ..LogQuery::default() };
    let page = Page { rows_max: EVENTS, scan_max: EVENTS_SCAN_MAX, ..Page::default() };
    Ok(visit.daemon.log_page(&query, &page)?.rows)
}

fn latest_section(visit: &Visit<'_>, rows: &[LogRow]) -> Markup {
    let (lang, about, now) = (visit.lang, &visit.about, visit.now);
    html! {
        section id="latest" {
            h2 {
                (lang.say("Latest events", "最近の記録"))
                @if !rows.is_empty() {
                    a class="more" href=(lang.href("/log/deliveries")) { (lang.say("The delivery log", "配信ログ")) }
                }
            }
            @if rows.is_empty() {
                p class="empty" { (lang.say("No mail yet. The first steps above show how to send one.", "まだメールはありません。上の「はじめに」の手順で送信できます。")) }
            } @else {
                ol class="rows" {
                    @for row in rows { li { (event_row(lang, row, about, now)) } }
                }
            }
        }
    }
}

fn sandbox(lang: Lang, mails: &[SandboxMail], about: &About, now: Timestamp) -> Markup {
    html! {
        section {
            h2 {
                (lang.say("Sandbox mail", "サンドボックスのメール"))
                @if !mails.is_empty() {
                    a class="more" href=(lang.href("/sandbox")) { (lang.say("All mail", "すべて表示")) }
                }
            }
            @if mails.is_empty() {
                p class="empty" { (lang.say("Nothing here yet: send a mail to the relay listener and it appears here.",
                    "まだありません。リレー用ポートにメールを送ると、ここに表示されます。")) }
            } @else {
                ul class="rows" {
                    @for mail in mails { li { (mail_row(lang, mail, about, now)) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
