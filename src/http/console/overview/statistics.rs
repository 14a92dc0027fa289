//! Statistics: the delivery graph of any time, in any step, of all mail or of one API user's, and the sums by API user (R14).
//!
//! Always: sums only, no address: every role may see them, and take them away as CSV.
//! Sources: cmc.md §14 (statistics: valid is succeeded and failed; blocked apart).

use maud::{Markup, html};

use super::{
    graph::{self, Graph},
    span::{Asked, PRESETS, Remark, Span, Step, preset_words},
};
use crate::{
    account::Accounts,
    http::{
        console::{
            Answer, Args, Right, Section, Visit,
            parts::{Field, empty, figures, foreign, heading, number, select},
        },
        exchange::{Response, percent_encode},
    },
    store::{AccountKind, QuarterCounts},
};

/// What is shown where nothing is asked.
const STANDARD: &str = "24h";
/// Mail of nobody, as the address names it: no account has this name.
const NOBODY: &str = "-";
/// API users in the table.
const USERS_MAX: usize = 100;

/// Whose mail is asked for: nobody's is the empty name.
fn user_of<'v>(visit: &'v Visit<'_>) -> Option<&'v str> {
    match visit.request.param("user") {
        "" => None,
        NOBODY => Some(""),
        name => Some(name),
    }
}

fn span_of(visit: &Visit<'_>) -> Result<Span, crate::store::StoreError> {
    let from = graph::minutes_from(visit.daemon, user_of(visit))?;
    Ok(Span::of(Asked::of(visit), STANDARD, &visit.about.zone, visit.now, from))
}

/// The page.
pub fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let user = user_of(visit);
    let span = span_of(visit)?;
    let graph = Graph::of(visit.daemon, &span, &visit.about.zone, user)?;
    let title = visit.say("Statistics", "統計");
    let content = html! {
        (heading(title, visit.say(
            "What became of recipients. A deferred one counts at each try; one that bounced after it was delivered is not failed.",
            "宛先ごとの配信結果です。再送待ちは試行ごとに数え、配信後に不達通知が届いた宛先は失敗に含めません。",
        )))
        section class="asking" {
            (presets(visit, &span))
            (form(visit, &span))
        }
        @if let Some(remark) = span.remark { p class="note" { (remark_words(visit, remark)) } }
        section {
            h2 {
                (period(visit, &span))
                small { (visit.say("recipients", "宛先数")) }
                @let csv = csv_link(visit);
                a class="more" href=(csv) { "CSV" }
            }
            (numbers(visit, &graph))
            @if graph.is_empty() {
                (empty(visit.say("Nothing happened in this time.", "この期間の配信はありません。"),
                    visit.say("Choose a longer one, or all API users.", "期間を広げるか、すべてのAPIユーザーを選んでください。")))
            } @else {
                (graph.chart(visit, &span))
            }
        }
        @if user.is_none() { (by_user(visit, &graph)) }
    };
    visit.page(Section::Overview, title, &content)
}

/// The times that are one click away.
pub fn presets(visit: &Visit<'_>, span: &Span) -> Markup {
    html! {
        nav class="tabs" aria-label=(visit.say("Time", "期間")) {
            @for (word, _) in PRESETS {
                a href=(visit.link_with(&[("range", word), ("from", ""), ("to", ""), ("step", "")]))
                    aria-current=[(span.preset == Some(word)).then_some("page")] { (preset_words(visit, word)) }
            }
        }
    }
}

fn form(visit: &Visit<'_>, span: &Span) -> Markup {
    let time = |at| visit.about.zone.full(at).get(..16).unwrap_or_default().replace(' ', "T");
    let asked = Asked::of(visit);
    let (from, to) = match span.preset {
        Some(_) if asked.from.is_empty() => (String::new(), String::new()),
        _ => (time(span.from), time(span.to)),
    };
    let automatic = visit.say("automatic", "自動");
    let mut steps = vec![("", automatic)];
    steps.extend(Step::ALL.into_iter().map(|step| (step.word(), step.words(visit))));
    let chosen = Step::ALL.into_iter().find(|step| step.word() == asked.step).map_or("", Step::word);
    let names = users(visit.daemon.users());
    let mut options = vec![("", visit.say("all mail", "すべてのメール"))];
    options.extend(names.iter().map(|name| (name.as_str(), name.as_str())));
    options.push((NOBODY, visit.say("mail without an API user", "APIユーザーなし")));
    let content = html! {
        @if let Some(preset) = span.preset { input type="hidden" name="range" value=(preset); }
        div class="fields" {
            (Field { name: "from", label: visit.say("From", "開始"), value: &from, kind: "datetime-local", max: 32, ..Field::default() }.show())
            (Field { name: "to", label: visit.say("To", "終了"), value: &to, kind: "datetime-local", max: 32, ..Field::default() }.show())
            (select("step", visit.say("Step", "集計単位"), &steps, chosen))
            (select("user", visit.say("API user", "APIユーザー"), &options, visit.request.param("user")))
        }
        p class="actions" { button { (visit.say("Show", "表示")) } }
    };
    let is_custom = span.preset.is_none() || !asked.step.is_empty() || !visit.request.param("user").is_empty();
    html! {
        details class="seldom" open[is_custom] {
            summary { (visit.say("Another time, another step, one API user", "期間・集計単位・APIユーザーを指定")) }
            (visit.ask("/statistics", "", &content))
        }
    }
}

/// The API users' names.
pub(in crate::http::console) fn users(accounts: &Accounts) -> Vec<String> {
    let api = accounts.list().into_iter().filter(|account| account.kind == AccountKind::Api);
    api.map(|account| account.name).take(USERS_MAX).collect()
}

fn period(visit: &Visit<'_>, span: &Span) -> String {
    let zone = &visit.about.zone;
    let time = |at| zone.full(at).get(..16).unwrap_or_default().to_owned();
    format!("{} – {}", time(span.from), if span.is_live { visit.say("now", "現在").to_owned() } else { time(span.to) })
}

fn remark_words(visit: &Visit<'_>, remark: Remark) -> &'static str {
    match remark {
        Remark::NotATime => visit.say(
            "From and to must be times, the first before the second, and not in the future. The last 24 hours are shown.",
            "開始と終了を正しい日時で指定してください（開始は終了より前、未来は不可）。直近24時間を表示しています。",
        ),
        Remark::TooLong => visit.say(
            "Counts are kept for 400 days. The last 400 days of that time are shown.",
            "集計の保存期間は400日です。指定期間の最後の400日を表示しています。",
        ),
        Remark::TooFine => visit.say(
            "So short a step would make more than 400 points. The shortest that fits is used; choose a shorter time for a finer one.",
            "この集計単位では400点を超えるため、表示できる最小の単位にしました。細かく見るには期間を短くしてください。",
        ),
        Remark::NoMinutes => visit.say(
            "Counts by minute do not reach back so far. 15 minutes are the shortest step of that time.",
            "この期間の毎分の集計は残っていないため、15分単位で表示しています。",
        ),
    }
}

/// The sums in large.
pub fn numbers(visit: &Visit<'_>, graph: &Graph) -> Markup {
    let t = &graph.total;
    let mut rows = vec![
        ("accepted", visit.say("Accepted", "受付"), t.queued),
        ("delivered", visit.say("Delivered", "配信済み"), t.succeeded),
        ("deferred", visit.say("Deferred", "再送待ち"), t.deferred),
        ("failed", visit.say("Failed", "失敗"), t.failed),
    ];
    for (name, n) in [
        (visit.say("Blocked", "配信停止"), t.blocked),
        (visit.say("Bounced later", "不達通知"), t.bounced),
        (visit.say("Complaints", "迷惑メール申告"), t.complained),
        (visit.say("Dropped", "破棄"), t.dropped),
    ] {
        if n > 0 {
            rows.push(("quiet", name, n));
        }
    }
    html! {
        (figures(&rows))
        @if t.valid() > 0 {
            p class="rate" {
                (visit.say("Of those with a result, failed: ", "結果が出た宛先の失敗率："))
                span class="strong" { (percent(t)) }
            }
        }
    }
}

/// Failed of valid, in hundredths with one place behind the point.
pub fn percent(counts: &QuarterCounts) -> String {
    match counts.valid() {
        0 => "–".to_owned(),
        valid => {
            let thousandths = counts.failed.saturating_mul(1_000) / valid;
            if thousandths == 0 && counts.failed > 0 {
                return "< 0.1 %".to_owned();
            }
            format!("{}.{} %", thousandths / 10, thousandths % 10)
        }
    }
}

fn by_user(visit: &Visit<'_>, graph: &Graph) -> Markup {
    let mut rows: Vec<(&String, &QuarterCounts)> = graph.by_user.iter().collect();
    rows.sort_by(|a, b| b.1.queued.cmp(&a.1.queued).then_with(|| a.0.cmp(b.0)));
    let columns = [
        visit.say("Accepted", "受付"),
        visit.say("Delivered", "配信済み"),
        visit.say("Deferred", "再送待ち"),
        visit.say("Failed", "失敗"),
        visit.say("Blocked", "配信停止"),
    ];
    html! {
        @if !rows.is_empty() {
            section id="users" {
                h2 {
                    (visit.say("By API user", "APIユーザー別"))
                    @if visit.may(Right::Administer) {
                        a class="more" href=(visit.href("/owner-links")) { (visit.say("Share one’s numbers", "数値を共有する")) }
                    }
                }
                table class="stack" {
                    thead {
                        tr {
                            th { (visit.say("API user", "APIユーザー")) }
                            @for name in columns { th class="number" { (name) } }
                            th class="number" { (visit.say("Failure rate", "失敗率")) }
                        }
                    }
                    tbody {
                        @for (user, counts) in rows.iter().take(USERS_MAX) {
                            tr {
                                td class="strong wide" {
                                    @let name = if user.is_empty() { NOBODY } else { user.as_str() };
                                    a href=(visit.link_with(&[("user", name)])) {
                                        @if user.is_empty() { (visit.say("mail without an API user", "APIユーザーなし")) } @else { (foreign(user, 100)) }
                                    }
                                }
                                @let numbers = [counts.queued, counts.succeeded, counts.deferred, counts.failed, counts.blocked];
                                @for (name, n) in columns.iter().zip(numbers) {
                                    td class="number left" data-label=(name) { (number(n)) }
                                }
                                td class="number left" data-label=(visit.say("Failure rate", "失敗率")) { (percent(counts)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The same question, for the file.
fn csv_link(visit: &Visit<'_>) -> String {
    let mut target = "/statistics.csv".to_owned();
    let asked = ["range", "from", "to", "step", "user"].map(|name| (name, visit.request.param(name)));
    for (i, (name, value)) in asked.into_iter().filter(|(_, value)| !value.is_empty()).enumerate() {
        target.push(if i == 0 { '?' } else { '&' });
        target.extend([name, "=", &percent_encode(value)]);
    }
    target
}

/// The numbers as a file.
pub fn csv(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let span = span_of(visit)?;
    let zone = &visit.about.zone;
    let graph = Graph::of(visit.daemon, &span, zone, user_of(visit))?;
    let mut text =
        String::from("\u{feff}time,accepted,delivered,deferred,failed,blocked,dropped,bounced,complained\r\n");
    for (bucket, c) in graph.buckets.iter().zip(&graph.sums) {
        let time = zone.rfc3339(bucket.start);
        let numbers = [c.queued, c.succeeded, c.deferred, c.failed, c.blocked, c.dropped, c.bounced, c.complained];
        text.push_str(&time);
        for n in numbers {
            text.push(',');
            text.push_str(&n.to_string());
        }
        text.push_str("\r\n");
    }
    let name = format!("attachment; filename=\"statistics_{}.csv\"", zone.file_stamp(visit.now));
    Ok(Response::new(200, "text/csv; charset=utf-8", text).with("Content-Disposition", name))
}
