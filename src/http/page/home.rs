//! The front page: how things stand, the last hour, what waits and why, what happened last, the sandbox's newest mail.

use maud::{Markup, html};

use super::{
    Answer, Frame, care,
    chart::chart,
    domains, foreign, layout,
    message::event_row,
    sandbox::mail_row,
    subject, suppression,
    words::{Lang, number, size},
};
use crate::{
    clock::Timestamp,
    config::Mode,
    deliver::sandbox::SandboxMail,
    http::{
        daemon::{About, Daemon, Unready},
        exchange::{Request, Response},
        health::{self, DESTINATIONS_MAX, Destination, Overview, State},
    },
    store::{LogQuery, LogRow, Page},
};

/// Events on the front page.
const EVENTS: usize = 15;
/// Rows that are looked at for them: the newest are the first that come.
const EVENTS_SCAN_MAX: usize = 2_000;
/// Sandbox mails on the front page.
const SANDBOX_MAILS: usize = 10;

pub(super) fn page(daemon: &dyn Daemon, request: &Request) -> Answer {
    let lang = Lang::of(request);
    let about = daemon.about();
    let overview = health::overview(daemon)?;
    let now = overview.now;
    let query = LogQuery { from: Some(now.minus(about.retention.delivery_log)), ..LogQuery::default() };
    let page = Page { rows_max: EVENTS, scan_max: EVENTS_SCAN_MAX, ..Page::default() };
    let events = daemon.log_page(&query, &page)?;
    let mails = daemon.sandbox_list(SANDBOX_MAILS)?;
    let title = state_line(lang, &overview);
    let content = html! {
        (state(lang, &about, &overview, title))
        @if about.mode == Mode::Sandbox {
            p class="note" {
                (lang.say(
                    "Sandbox: mail is kept and shown here. Nothing leaves this machine.",
                    "サンドボックス: メールはここに保管・表示され、外部には一切送信されません。",
                ))
            }
        }
        (hour(lang, &overview, &about))
        (find_box(lang, ""))
        @if let Some(mails) = &mails { (sandbox(lang, mails, &about, now)) }
        (queue(lang, &overview))
        (suppression::section(lang, &overview.status.lists, &about, now))
        (domains::section(lang, &overview.status.domains, &about, now))
        (care::pauses(lang, &overview.status, &about, now))
        (care::warm_ups(lang, &overview.status))
        (care::notes(lang, &overview.status))
        (latest(lang, &events.rows, &about, now))
    };
    let frame = Frame { lang, request, about: Some(&about), title, refresh: true };
    Ok(Response::html(200, layout(&frame, &content).into_string()))
}

fn state_line(lang: Lang, overview: &Overview) -> &'static str {
    let first = overview.unready.first();
    match (overview.state, first) {
        (State::Trouble, Some(Unready::Draining)) => lang.say("Stopping", "停止処理中です"),
        (State::Trouble, Some(Unready::Starting)) => lang.say("Starting", "起動中です"),
        (State::Trouble, _) => lang.say("No new mail is taken", "新しいメールを受け付けていません"),
        (State::Waiting, _) if overview.status.waiting == 0 => {
            lang.say("Running; some destinations are paused", "稼働中・一時停止中の宛先があります")
        }
        (State::Waiting, _) => {
            lang.say("Running; some mail waits for its next try", "稼働中・再送待ちのメールがあります")
        }
        (State::Fine, _) if overview.status.waiting > 0 => lang.say("All is well, delivering", "順調に配信しています"),
        (State::Fine, _) => lang.say("All is well", "順調です"),
    }
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
                        Mode::Smarthost => { (lang.say("delivering by ", "中継先: ")) (about.smarthost) },
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
        Unready::Starting => "起動中: ストアを開いています。".into(),
        Unready::Draining => "停止処理中: 処理中のセッションを終えています。新しいメールは受け付けません。".into(),
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

fn hour(lang: Lang, overview: &Overview, about: &About) -> Markup {
    let counts = overview.status.last_hour;
    let figures = [
        ("accepted", lang.say("Accepted", "受付"), counts.accepted),
        ("delivered", lang.say("Delivered", "配信"), counts.delivered),
        ("deferred", lang.say("Deferred", "再送待ち"), counts.deferred),
        ("failed", lang.say("Failed", "失敗"), counts.failed),
    ];
    html! {
        section {
            h2 { (lang.say("The last hour", "直近1時間")) small { (lang.say("recipients", "宛先数")) } }
            dl class="figures" {
                @for (class, name, n) in figures {
                    div class=(class) { dt { (name) } dd { (number(n)) } }
                }
            }
            (chart(lang, &overview.minutes, &about.zone))
        }
    }
}

/// "Where is my mail?"
pub(super) fn find_box(lang: Lang, key: &str) -> Markup {
    let placeholder =
        lang.say("Recipient, Message-ID, X-Api-Data or queue id", "宛先・Message-ID・X-Api-Data・キューID");
    html! {
        section {
            h2 { (lang.say("Where is my mail?", "メールを探す")) }
            form class="find" action="/find" method="get" {
                input type="search" name="key" value=(key) required maxlength="500" placeholder=(placeholder) aria-label=(placeholder);
                @if !lang.href("/").ends_with('/') { input type="hidden" name="lang" value=(lang.code()); }
                button { (lang.say("Find", "検索")) }
            }
        }
    }
}

fn queue(lang: Lang, overview: &Overview) -> Markup {
    let now = overview.now;
    html! {
        section {
            h2 {
                (lang.say("Queue by destination", "宛先ドメイン別のキュー"))
                @if overview.destinations.len() >= DESTINATIONS_MAX {
                    small { (lang.say("the largest 20", "上位20件")) }
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
                            th class="number" { (lang.say("Waiting", "待機")) }
                            th class="number" { (lang.say("Running", "配信中")) }
                            th { (lang.say("Next try", "次回の試行")) }
                            th { (lang.say("Last answer", "直近の応答")) }
                        }
                    }
                    tbody {
                        @for row in &overview.destinations { (destination(lang, row, now)) }
                    }
                }
            }
        }
    }
}

fn destination(lang: Lang, row: &Destination, now: Timestamp) -> Markup {
    html! {
        tr {
            td class="strong destination" { (foreign(&row.name, 120)) }
            td class="number big" { (number(row.waiting)) }
            td class="number left" data-label=(lang.say("Running", "配信中")) { @if row.running > 0 { (row.running) } @else { span class="soft" { "–" } } }
            td class="nowrap" data-label=(lang.say("Next try", "次回")) {
                @if row.paused {
                    span class="pill" { (lang.say("paused", "一時停止")) }
                } @else {
                    (lang.next_try(row.earliest_due, now))
                }
            }
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

fn latest(lang: Lang, rows: &[LogRow], about: &About, now: Timestamp) -> Markup {
    html! {
        section {
            h2 { (lang.say("Latest events", "最近の記録")) }
            @if rows.is_empty() {
                p class="empty" { (lang.say("No mail yet. The README shows how to send one.", "まだメールはありません。送り方は README をご覧ください。")) }
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
                    a class="more" href=(lang.href("/sandbox")) { (lang.say("all mail", "すべて表示")) }
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

/// A message's size and subject, as other pages write them in one line.
pub(super) fn line_of(lang: Lang, text: &str, len: u64) -> Markup {
    html! { (subject(lang, text, 160)) " " span class="soft nowrap" { (size(len)) } }
}
