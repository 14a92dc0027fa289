//! All domains with reports, and those that should have some.

use maud::{Markup, html};

use super::{
    super::parts, Answer, Args, DOMAIN_CHARS, Right, Section, Visit, WITHIN, days_field, days_of, foreign, made,
    percent, still_adding,
};
use crate::{
    dmarc::{monitor::DomainOut, watch::AlarmOut, words::Alarm},
    http::{exchange::percent_encode, when::of_rfc3339},
};

/// Alarms that are shown.
const ALARMS_MAX: usize = 20;
/// Domains on a page.
const ROWS_MAX: usize = 50;

/// `/dmarc`
pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let desk = visit.daemon.dmarc();
    let (days, all) = (days_of(visit), visit.request.flag("all"));
    let title = visit.say("DMARC monitor", "DMARCモニター");
    let lead = visit.say(
        "What receivers report about mail in your domains' names: whose it was, and whether it passed.",
        "ドメインを名乗るメールについて、受信側から届いたレポートの集計です。誰が送り、認証に合格したかがわかります。",
    );
    let head = html! { (parts::heading(title, lead)) (links(visit)) };
    let Some(everyone) = desk.everyone(days, all, WITHIN)? else { return still_adding(visit, title, &head) };
    let mut rows: Vec<&DomainOut> = everyone.domains.iter().collect();
    rows.sort_by(|a, b| {
        let order = |row: &DomainOut| (row.alarms.is_empty(), std::cmp::Reverse(row.tally.messages));
        order(a).cmp(&order(b)).then_with(|| a.domain.cmp(&b.domain))
    });
    let from: usize = visit.request.param("cursor").parse().unwrap_or(0).min(rows.len());
    let next = (from + ROWS_MAX < rows.len()).then(|| (from + ROWS_MAX).to_string());
    let alarms: Vec<AlarmOut> = desk.alarms("");
    let content = html! {
        (head)
        @if desk.report_address().is_none() {
            p class="note" {
                (visit.say("No report address is set, so no report can arrive: set [bounce] report_address in the config file, publish it in the domains' records, and reload.",
                    "レポートの受信アドレスが設定されていないため、レポートが届きません。設定ファイルの [bounce] report_address を設定し、各ドメインの DMARC レコードに記載して再読み込みしてください。"))
            }
        }
        (alarm_notes(visit, &alarms))
        section {
            (visit.ask("/dmarc", "fields narrowed", &html! {
                (days_field(visit, days))
                (parts::check_box("all", "1", visit.say("Also reports whose sender is not proven", "送信者を確認できないレポートも含める"), all))
                div class="actions" { button class="plain" { (visit.say("Show", "表示")) } }
            }))
            @if rows.is_empty() {
                (parts::empty(
                    visit.say("There are no domains and no reports yet.", "ドメインもレポートもまだありません。"),
                    visit.say("Name your domains in [[domain]], or import reports that you have.", "[[domain]] にドメインを設定するか、手元のレポートを取り込んでください。"),
                ))
            } @else {
                (table(visit, rows.iter().skip(from).take(ROWS_MAX).copied(), days, all))
            }
            (parts::pager(visit, next.as_deref(), None))
            p class="hint tail" { (visit.say("Added up ", "集計：")) (made(visit, everyone.made_at)) }
        }
    };
    visit.page(Section::Dmarc, title, &content)
}

fn links(visit: &Visit<'_>) -> Markup {
    html! {
        p class="actions above" {
            @if visit.may(Right::View) {
                a class="button plain" href=(visit.href("/dmarc/record")) { (visit.say("Write a record", "レコードを作成")) }
            }
            a class="button plain" href=(visit.href("/dmarc/tls")) { (visit.say("TLS reports", "TLSレポート")) }
            @if visit.may(Right::Administer) {
                a class="button plain" href=(visit.href("/dmarc/import")) { (visit.say("Import reports", "レポートを取り込む")) }
            }
        }
    }
}

/// What is wrong with the reports, so that no empty graph looks like good news (R2).
pub(super) fn alarm_notes(visit: &Visit<'_>, alarms: &[AlarmOut]) -> Markup {
    html! {
        @for alarm in alarms.iter().take(ALARMS_MAX) {
            p class="note bad" {
                (foreign(if visit.lang.japanese { &alarm.words_ja } else { &alarm.words }, 600))
                @if let Some(since) = of_rfc3339(&alarm.since) {
                    span class="nowrap" { (parts::bracketed(visit.lang, &html! { (visit.say("since ", "発生：")) (visit.when_short(since)) })) }
                }
                @if alarm.alarm == Alarm::NoRecord && visit.may(Right::View) {
                    " " a href=(visit.href(&format!("/dmarc/record?domain={}", percent_encode(&alarm.domain)))) { (visit.say("Write the record", "レコードを作成")) }
                }
            }
        }
        @if alarms.len() > ALARMS_MAX {
            p class="hint" { (parts::number((alarms.len() - ALARMS_MAX) as u64)) (visit.say(" more such notes.", " 件の通知を省略しました。")) }
        }
    }
}

fn table<'d>(visit: &Visit<'_>, rows: impl Iterator<Item = &'d DomainOut>, days: u32, all: bool) -> Markup {
    let query = match (days == super::DAYS_USUAL, all) {
        (true, false) => String::new(),
        (true, true) => "?all=1".to_owned(),
        (false, false) => format!("?days={days}"),
        (false, true) => format!("?days={days}&all=1"),
    };
    let mails = visit.say("Mails", "メール数");
    let passed = visit.say("Passed", "合格");
    let failed = visit.say("Failed", "不合格");
    html! {
        table class="stack" {
            thead {
                tr {
                    th { (visit.say("Domain", "ドメイン")) }
                    th { (visit.say("Policy", "ポリシー")) }
                    th class="number" { (mails) }
                    th class="number" { (passed) }
                    th class="number" { (failed) }
                    th { (visit.say("Last report", "最新のレポート")) }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        td class="strong destination" {
                            a href=(visit.href(&format!("/dmarc/{}{query}", percent_encode(&row.domain)))) { (foreign(&row.domain, DOMAIN_CHARS)) }
                            @if !row.alarms.is_empty() { " " (parts::pill("failed", visit.say("see the note", "要確認"))) }
                        }
                        td class="nowrap" { (policy_pill(visit, &row.policy)) }
                        td class="number" data-label=(mails) { (parts::number(row.tally.messages)) }
                        td class="number" data-label=(passed) { (percent(row.tally.aligned, row.tally.messages)) }
                        td class="number" data-label=(failed) { (parts::number(row.tally.spoofed)) }
                        td class="nowrap" data-label=(visit.say("Last report", "最新のレポート")) {
                            @match of_rfc3339(&row.last_received) {
                                Some(at) => (visit.when_short(at)),
                                None => span class="soft" { (visit.say("none", "なし")) },
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A policy as receivers reported it: their text.
pub(super) fn policy_pill(visit: &Visit<'_>, policy: &str) -> Markup {
    match policy {
        "reject" => parts::pill("succeeded", "p=reject"),
        "quarantine" => parts::pill("queued", "p=quarantine"),
        "none" => parts::pill("deferred", "p=none"),
        "" => html! { span class="soft" { (visit.say("not reported", "報告なし")) } },
        other => html! { span class="pill" { (foreign(other, 20)) } },
    }
}
