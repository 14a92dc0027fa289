//! The reports themselves, the newest day first; and reports of single mails that failed.

use maud::{Markup, html};

use super::{
    super::parts, Answer, Args, DOMAIN_CHARS, ROWS_MAX, Section, Tab, Visit, filters, foreign, head, list::policy_pill,
    mark_pill, query_of, title,
};
use crate::{
    dmarc::row::{By, KeptFailure, KeptReport},
    http::when::of_rfc3339,
};

/// Letters of a text that a reporter chose.
const TEXT_CHARS: usize = 200;

/// `/dmarc/NAME/reports`
pub(super) fn aggregate(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let query = query_of(visit, args)?;
    let cursor = Some(visit.request.param("cursor")).filter(|cursor| !cursor.is_empty());
    let page = visit.daemon.dmarc().newest_reports(&query, cursor, ROWS_MAX)?;
    let lead = html! {
        (visit.say("Every report that came, whether it counts or not; the newest day first.", "届いたすべてのレポート（集計に含めないものも表示、新しい日から）"))
    };
    let content = html! {
        (head(visit, &query, Tab::Reports, &lead))
        section {
            (filters(visit, &query, "/reports", &html! {}))
            @if page.rows.is_empty() {
                (parts::empty(
                    visit.say("No report of this period is here.", "この期間のレポートはありません。"),
                    visit.say("Choose a longer period, or import reports that you have.", "期間を長くするか、手元のレポートを取り込んでください。"),
                ))
            } @else {
                (table(visit, page.rows.iter().map(|(_, report)| report)))
            }
            (parts::pager(visit, page.next.as_deref(), None))
        }
    };
    visit.page(Section::Dmarc, &title(&query), &content)
}

fn table<'r>(visit: &Visit<'_>, rows: impl Iterator<Item = &'r KeptReport>) -> Markup {
    let (mails, failed) = (visit.say("Mails", "メール数"), visit.say("Failed", "不合格"));
    let came = visit.say("Came", "受信");
    html! {
        table class="stack" {
            thead {
                tr {
                    th { (visit.say("Day (UTC)", "日付（UTC）")) }
                    th { (visit.say("Organisation", "組織")) }
                    th { (visit.say("Worth", "信頼性")) }
                    th { (visit.say("Policy", "ポリシー")) }
                    th class="number" { (mails) }
                    th class="number" { (failed) }
                    th { (came) }
                }
            }
            tbody {
                @for report in rows {
                    tr {
                        td class="nowrap" { (foreign(report.begin.get(..10).unwrap_or(&report.begin), 20)) }
                        td class="destination wide" {
                            span class="strong" { (foreign(&report.organization, 120)) }
                            span class="reply block clip" { (foreign(&report.report_id, 120)) }
                            @for error in &report.errors { span class="reply block" { (visit.say("It says: ", "エラー報告：")) (foreign(error, TEXT_CHARS)) } }
                        }
                        td {
                            (mark_pill(visit, report.mark))
                            @if !report.why.is_empty() { span class="reply block" { (foreign(&report.why, TEXT_CHARS)) } }
                        }
                        td class="nowrap" { (policy_pill(visit, &report.policy.p)) }
                        td class="number" data-label=(mails) { (parts::number(report.tally.messages)) }
                        td class="number" data-label=(failed) { (parts::number(report.tally.spoofed)) }
                        td class="nowrap" data-label=(came) {
                            @match of_rfc3339(&report.received_at) { Some(at) => (visit.when_short(at)), None => "–" }
                            span class="reply block" {
                                @match report.by {
                                    By::Mail => (visit.say("by mail", "メール")),
                                    By::File => (visit.say("from a file", "ファイル")),
                                    By::Api => (visit.say("by the API", "API")),
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `/dmarc/NAME/failures`
pub(super) fn failures(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let query = query_of(visit, args)?;
    let cursor = Some(visit.request.param("cursor")).filter(|cursor| !cursor.is_empty());
    let page = visit.daemon.dmarc().newest_failures(&query, cursor, ROWS_MAX)?;
    let lead = html! {
        (visit.say("Single mails that failed, from the few receivers that report them; the newest day first.", "不合格になった個々のメールの報告です。送信する受信側は一部に限られます（新しい日から）。"))
    };
    let content = html! {
        (head(visit, &query, Tab::Failures, &lead))
        section {
            (filters(visit, &query, "/failures", &html! {}))
            @if page.rows.is_empty() {
                (parts::empty(
                    visit.say("No such report of this period is here.", "この期間の失敗レポートはありません。"),
                    visit.say("Receivers send them only where the record has a ruf, and most never do.", "DMARC レコードに ruf がある場合のみ送られ、ほとんどの受信側は送信しません。"),
                ))
            } @else {
                ul class="findings" { @for (_, failure) in &page.rows { li { (card(visit, failure)) } } }
            }
            (parts::pager(visit, page.next.as_deref(), None))
        }
    };
    visit.page(Section::Dmarc, &title(&query), &content)
}

fn card(visit: &Visit<'_>, failure: &KeptFailure) -> Markup {
    let text = |text: &str| html! { @if text.is_empty() { "–" } @else { (foreign(text, TEXT_CHARS)) } };
    html! {
        p class="whom" {
            @match of_rfc3339(&failure.at) { Some(at) => (visit.when(at)), None => (foreign(&failure.at, 40)) } " "
            (parts::pill("failed", &parts::clean(&parts::clip(if failure.failure.is_empty() { "dmarc" } else { &failure.failure }, 40)))) " "
            span class="strong" { (foreign(&failure.subject, TEXT_CHARS)) }
        }
        (parts::facts(&[
            (visit.say("From field", "ヘッダー From"), text(&failure.header_from)),
            (visit.say("Envelope sender", "エンベロープFrom"), text(&failure.envelope_from)),
            (visit.say("Came from", "送信元"), text(&failure.source)),
            (visit.say("What became of it", "処理結果"), text(&failure.delivery)),
            (visit.say("Reported by", "報告者"), html! { (foreign(&failure.reporter, DOMAIN_CHARS)) span class="soft" { (parts::bracketed(visit.lang, &foreign(&failure.mark, 20))) } }),
            ("Message-ID", text(&failure.message_id)),
        ]))
        @if !failure.results.is_empty() {
            details { summary { (visit.say("What the receiver found", "受信側の認証結果")) } p class="mono" { (foreign(&failure.results, 1_000)) } }
        }
    }
}
