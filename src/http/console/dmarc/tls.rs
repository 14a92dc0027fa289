//! TLS reports: whether others could deliver to our domains over TLS (RFC 8460).

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{super::parts, Answer, Args, DOMAIN_CHARS, Missing, Right, Section, Visit, days_field, days_of, foreign};
use crate::{
    authres::results::{Mark, Marked},
    dmarc::monitor::domain_named,
    http::{exchange::percent_encode, when::of_rfc3339},
    tls_report::receive::{By, RETENTION_DAYS, Stored, StoredFailure},
};

/// Reports on a page.
const ROWS_MAX: usize = 50;
/// Failures of a report, and of a page, that are shown.
const FAILURES_MAX: usize = 50;
/// Letters of a text that a reporter chose.
const TEXT_CHARS: usize = 200;

/// `/dmarc/tls`
pub(super) fn list(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let days = days_of(visit).min(RETENTION_DAYS);
    let asked = visit.request.param("domain").trim();
    let domain = match asked {
        "" => String::new(),
        text => match domain_named(text) {
            Some(domain) => domain,
            None => {
                return visit.refuse(
                    400,
                    visit.say(
                        "That is no domain name. Write it as example.jp.",
                        "ドメイン名ではありません。example.jp のように入力してください。",
                    ),
                );
            }
        },
    };
    let cursor = Some(visit.request.param("cursor")).filter(|cursor| !cursor.is_empty());
    let page = visit.daemon.tls_reports().newest(&domain, days, cursor, ROWS_MAX)?;
    let title = visit.say("TLS reports", "TLSレポート");
    let lead = visit.say(
        "Whether others could deliver to your domains over TLS: one report a day from each large sender.",
        "他社からあなたのドメインへの配信で TLS が使えたかどうかの報告です。大手の送信者から1日1回届きます。",
    );
    let content = html! {
        (parts::back_to(visit, "/dmarc", visit.say("DMARC monitor", "DMARCモニター")))
        (parts::heading(title, lead))
        section {
            (visit.ask("/dmarc/tls", "fields narrowed", &html! {
                (days_field(visit, days))
                (parts::Field { name: "domain", label: visit.say("Domain", "ドメイン"), value: asked, kind: "search", max: 253, ..parts::Field::default() }.show())
                div class="actions" { button class="plain" { (visit.say("Show", "表示")) } }
            }))
            @if page.reports.is_empty() {
                (parts::empty(
                    visit.say("No report of this period is here.", "この期間のレポートはありません。"),
                    visit.say("Publish the TLSRPT record that the domain's records page shows, with [tls_report] address set; then wait a day.",
                        "[tls_report] address を設定し、ドメインの「DNSレコード」ページに表示される TLSRPT レコードを公開してから、1日ほどお待ちください。"),
                ))
            } @else {
                (table(visit, &page.reports))
            }
            (parts::pager(visit, page.next.as_deref(), None))
        }
        (failures(visit, &page.reports))
    };
    visit.page(Section::Dmarc, title, &content)
}

fn table(visit: &Visit<'_>, rows: &[(String, Stored)]) -> Markup {
    let (good, bad) = (visit.say("Sessions", "成功"), visit.say("Failed", "失敗"));
    html! {
        table class="stack" {
            thead {
                tr {
                    th { (visit.say("Day (UTC)", "日付（UTC）")) }
                    th { (visit.say("Organisation", "組織")) }
                    th { (visit.say("Domains", "ドメイン")) }
                    th { (visit.say("Worth", "信頼性")) }
                    th class="number" { (good) }
                    th class="number" { (bad) }
                }
            }
            tbody {
                @for (key, report) in rows {
                    tr {
                        td class="nowrap" { (foreign(report.start.get(..10).unwrap_or(&report.start), 20)) }
                        td class="destination strong" {
                            @if visit.may(Right::View) {
                                a href=(visit.href(&format!("/dmarc/tls/report?key={}", percent_encode(key)))) { (foreign(&report.organization, 120)) }
                            } @else { (foreign(&report.organization, 120)) }
                        }
                        td class="destination wide" {
                            @for policy in report.policies.iter().take(3) { span class="block" { (foreign(&policy.domain, DOMAIN_CHARS)) } }
                            @if report.policies.len() > 3 { span class="soft" { "+ " (report.policies.len() - 3) } }
                        }
                        td { (mark(visit, report)) }
                        td class="number" data-label=(good) { (parts::number(report.successes)) }
                        td class="number" data-label=(bad) {
                            @if report.failed > 0 { span class="strong" { (parts::number(report.failed)) } } @else { "0" }
                        }
                    }
                }
            }
        }
    }
}

fn mark(visit: &Visit<'_>, report: &Stored) -> Markup {
    match (report.by, &report.mark) {
        (By::File, _) => parts::pill("queued", visit.say("imported", "取り込み")),
        (By::Mail, None) => parts::pill("", visit.say("not known", "不明")),
        (By::Mail, Some(Marked { mark, .. })) => match mark {
            Mark::Verified => parts::pill("succeeded", visit.say("verified", "確認済み")),
            Mark::Unverified => parts::pill("deferred", visit.say("not proven", "未確認")),
            Mark::Forged => parts::pill("failed", visit.say("forged", "偽装")),
            Mark::Unknown => parts::pill("", visit.say("not known", "不明")),
        },
    }
}

/// What failed, of all reports on the page.
fn failures(visit: &Visit<'_>, rows: &[(String, Stored)]) -> Markup {
    let mut sums: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for policy in rows.iter().flat_map(|(_, report)| &report.policies) {
        for failure in &policy.failures {
            let sum = sums.entry((&failure.result_type, &failure.mx)).or_default();
            *sum = sum.saturating_add(failure.count);
        }
    }
    let mut sums: Vec<((&str, &str), u64)> = sums.into_iter().collect();
    sums.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    html! {
        @if !sums.is_empty() {
            section {
                h2 { (visit.say("What failed", "失敗の内訳")) small { (visit.say("of the reports above, most often first", "上のレポートの合計、多い順")) } }
                table class="stack" {
                    thead { tr { th { (visit.say("What", "種類")) } th { (visit.say("At the host", "受信ホスト")) } th class="number" { (visit.say("Sessions", "セッション数")) } } }
                    tbody {
                        @for ((what, host), count) in sums.iter().take(FAILURES_MAX) {
                            tr {
                                td class="wide" { (explained(visit, what)) }
                                td class="destination" { @if host.is_empty() { "–" } @else { (foreign(host, DOMAIN_CHARS)) } }
                                td class="number" data-label=(visit.say("Sessions", "セッション数")) { (parts::number(*count)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A result type of RFC 8460 §4.3, and what it means.
fn explained(visit: &Visit<'_>, what: &str) -> Markup {
    let words = match what {
        "starttls-not-supported" => {
            visit.say("The host offered no STARTTLS.", "ホストが STARTTLS に対応していませんでした。")
        }
        "certificate-host-mismatch" => {
            visit.say("The certificate is for another name.", "証明書の名前が一致しませんでした。")
        }
        "certificate-expired" => visit.say("The certificate has expired.", "証明書の有効期限が切れていました。"),
        "certificate-not-trusted" => {
            visit.say("Nobody who is trusted issued the certificate.", "信頼できる認証局の証明書ではありませんでした。")
        }
        "validation-failure" => visit
            .say("The certificate or the connection could not be checked.", "証明書または接続を検証できませんでした。"),
        "tlsa-invalid" => {
            visit.say("The TLSA record does not fit the certificate.", "TLSA レコードが証明書と一致しませんでした。")
        }
        "dnssec-invalid" => visit.say("DNSSEC of the records is broken.", "DNSSEC の検証に失敗しました。"),
        "dane-required" => visit.say(
            "The sender asks for DANE, and there is none.",
            "送信側が DANE を必須としていますが、設定がありませんでした。",
        ),
        "sts-policy-fetch-error" => {
            visit.say("The MTA-STS policy could not be fetched.", "MTA-STS ポリシーを取得できませんでした。")
        }
        "sts-policy-invalid" => {
            visit.say("The MTA-STS policy cannot be read.", "MTA-STS ポリシーの内容が正しくありませんでした。")
        }
        "sts-webpki-invalid" => visit.say(
            "The certificate of the MTA-STS policy's host is not good.",
            "MTA-STS ポリシーを配布するホストの証明書に問題がありました。",
        ),
        _ => "",
    };
    html! {
        @if words.is_empty() { (foreign(what, 80)) }
        @else { (words) span class="reply block" { (foreign(what, 80)) } }
    }
}

/// `/dmarc/tls/report?key=…`
pub(super) fn show(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let key = visit.request.param("key");
    let Some(report) = visit.daemon.tls_reports().show(key)? else { return Err(Missing::Nothing) };
    let title = visit.say("TLS report", "TLSレポート");
    let at = |text: &str| match of_rfc3339(text) {
        Some(at) => visit.when(at),
        None => html! { "–" },
    };
    let why = report.mark.as_ref().map_or("", |marked| marked.why.as_str());
    let content = html! {
        (parts::back_to(visit, "/dmarc/tls", visit.say("TLS reports", "TLSレポート")))
        div class="heading" { h1 { (foreign(&report.organization, 120)) } }
        section {
            (parts::facts(&[
                (visit.say("From", "開始"), at(&report.start)),
                (visit.say("To", "終了"), at(&report.end)),
                (visit.say("Came", "受信"), at(&report.received_at)),
                (visit.say("Worth", "信頼性"), html! { (mark(visit, &report)) " " span class="soft" { (foreign(why, TEXT_CHARS)) } }),
                (visit.say("Contact", "連絡先"), html! { (foreign(&report.contact, TEXT_CHARS)) }),
                (visit.say("Its id", "レポートID"), html! { (foreign(&report.report_id, TEXT_CHARS)) }),
            ]))
        }
        @for policy in &report.policies {
            section {
                h2 { (foreign(&policy.domain, DOMAIN_CHARS)) small { (foreign(&policy.policy_type, 40)) } }
                (parts::figures(&[
                    ("delivered", visit.say("Sessions as they should be", "正常なセッション"), policy.successes),
                    ("failed", visit.say("Failed", "失敗"), policy.failed),
                ]))
                @if !policy.failures.is_empty() { (failure_table(visit, &policy.failures)) }
            }
        }
        @if report.left_out > 0 {
            p class="hint" { (parts::number(report.left_out)) (visit.say(" more parts of the report were not kept.", " 件の詳細は保存していません。")) }
        }
    };
    visit.page(Section::Dmarc, title, &content)
}

fn failure_table(visit: &Visit<'_>, failures: &[StoredFailure]) -> Markup {
    html! {
        table class="stack" {
            thead {
                tr {
                    th { (visit.say("What", "種類")) }
                    th { (visit.say("Receiving host", "受信ホスト")) }
                    th { (visit.say("Sending address", "送信元アドレス")) }
                    th class="number" { (visit.say("Sessions", "セッション数")) }
                }
            }
            tbody {
                @for failure in failures.iter().take(FAILURES_MAX) {
                    tr {
                        td class="wide" {
                            (explained(visit, &failure.result_type))
                            @if !failure.reason.is_empty() { span class="reply block" { (foreign(&failure.reason, TEXT_CHARS)) } }
                        }
                        td class="destination" {
                            (foreign(&failure.mx, DOMAIN_CHARS))
                            @if !failure.mx_ip.is_empty() { span class="reply block" { (foreign(&failure.mx_ip, 60)) } }
                        }
                        td { (foreign(&failure.sender_ip, 60)) }
                        td class="number" data-label=(visit.say("Sessions", "セッション数")) { (parts::number(failure.count)) }
                    }
                }
            }
        }
    }
}
