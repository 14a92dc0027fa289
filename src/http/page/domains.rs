//! Our domains: a line each on the front page, and a page for each with what was found, why it matters and what to publish.
//!
//! Always: pages only tell what the last look found; a fresh look is a command line. Records stand in a field of their own, ready to
//! be copied.

use maud::{Markup, html};

use super::{
    Answer, Frame, Missing, foreign, layout,
    words::{Lang, number},
};
use crate::{
    clock::Timestamp,
    doctor::{
        finding::{Area, Finding, Level, Report},
        told::DomainChange,
        words::{self, Language},
    },
    http::{
        daemon::{About, Daemon},
        domain_status::DomainStatusOut,
        exchange::{Request, Response, percent_encode},
        when::of_rfc3339,
    },
};

/// Domains on the front page; the others are behind the link.
const ROWS_MAX: usize = 8;
/// Changes on a domain's page.
const CHANGES_MAX: usize = 20;

fn language(lang: Lang) -> Language {
    if lang.japanese { Language::Japanese } else { Language::English }
}

fn link(lang: Lang, domain: &str) -> String {
    lang.href(&format!("/domains/{}", percent_encode(domain)))
}

/// The section of the front page; nothing where no domain is configured.
pub(super) fn section(lang: Lang, domains: &[DomainStatusOut], about: &About, now: Timestamp) -> Markup {
    html! {
        @if !domains.is_empty() {
            section id="domains" {
                h2 {
                    (lang.say("Domains", "送信ドメイン"))
                    small { (lang.say("what the DNS says of them", "DNS の確認結果")) }
                    @if domains.len() > ROWS_MAX {
                        a class="more" href=(lang.href("/domains")) { (lang.say("all of them", "すべて表示")) }
                    }
                }
                (table(lang, &domains[..domains.len().min(ROWS_MAX)], about, now))
            }
        }
    }
}

fn table(lang: Lang, domains: &[DomainStatusOut], about: &About, now: Timestamp) -> Markup {
    html! {
        table class="stack" {
            thead {
                tr {
                    th { (lang.say("Domain", "ドメイン")) }
                    th { (lang.say("State", "状態")) }
                    th { (lang.say("Looked at", "確認時刻")) }
                    th { (lang.say("First of all", "最も重要な指摘")) }
                }
            }
            tbody { @for row in domains { (domain_row(lang, row, about, now)) } }
        }
    }
}

fn domain_row(lang: Lang, row: &DomainStatusOut, about: &About, now: Timestamp) -> Markup {
    let at = row.checked_at.as_deref().and_then(of_rfc3339);
    let worst = row.worst.first().map(|worst| if lang.japanese { &worst.seen_ja } else { &worst.seen });
    html! {
        tr {
            td class="strong destination" { a href=(link(lang, &row.domain)) { (foreign(&row.domain, 120)) } }
            td class="nowrap" { (state(lang, row, at.is_some())) }
            td class="nowrap" data-label=(lang.say("Looked at", "確認時刻")) {
                @match at {
                    Some(at) => (about.zone.short(at, now)),
                    None => span class="soft" { "–" },
                }
            }
            td class="wide reply" {
                @match worst {
                    Some(worst) => span class="clip" { (foreign(worst, 300)) },
                    None if at.is_none() => (lang.say("It is looked at within minutes.", "まもなく確認します。")),
                    None => (lang.say("Nothing to do.", "対応は不要です。")),
                }
            }
        }
    }
}

fn state(lang: Lang, row: &DomainStatusOut, is_known: bool) -> Markup {
    let count = |n: usize, english: [&str; 2], japanese: &str| match lang.japanese {
        true => format!("{japanese} {}", number(n as u64)),
        false => format!("{} {}", number(n as u64), english[usize::from(n != 1)]),
    };
    html! {
        @if row.errors > 0 { span class="pill failed" { (count(row.errors, ["error", "errors"], "エラー")) } " " }
        @if row.warnings > 0 { span class="pill deferred" { (count(row.warnings, ["warning", "warnings"], "警告")) } }
        @if is_known && !row.is_bad() { span class="pill succeeded" { (lang.say("fine", "正常")) } }
        @if !is_known { span class="pill" { (lang.say("not yet", "未確認")) } }
    }
}

/// `/domains`: all of them.
pub(super) fn list(daemon: &dyn Daemon, request: &Request) -> Answer {
    let (lang, about, now) = (Lang::of(request), daemon.about(), daemon.now());
    let rows: Vec<DomainStatusOut> = daemon
        .domain_checks()
        .all()?
        .iter()
        .map(|(domain, report)| DomainStatusOut::new(domain, report.as_ref()))
        .collect();
    let title = lang.say("Domains", "送信ドメイン");
    let content = html! {
        div class="heading" { h1 { (title) } }
        section {
            @if rows.is_empty() {
                p class="empty" {
                    (lang.say("No domain is configured. Add a [[domain]] to the config file for each domain that you send from.",
                        "送信ドメインが設定されていません。設定ファイルに、送信に使うドメインごとに [[domain]] を追加してください。"))
                }
            } @else {
                (table(lang, &rows, &about, now))
            }
        }
    };
    let frame = Frame { lang, request, about: Some(&about), title, refresh: false };
    Ok(Response::html(200, layout(&frame, &content).into_string()))
}

/// `/domains/NAME`: one of them.
pub(super) fn page(daemon: &dyn Daemon, request: &Request, domain: &str) -> Answer {
    let (lang, about, now) = (Lang::of(request), daemon.about(), daemon.now());
    let domain = domain.to_ascii_lowercase();
    let checks = daemon.domain_checks();
    let Some((_, report)) = checks.all()?.into_iter().find(|(name, _)| *name == domain) else {
        return Err(Missing::Nothing);
    };
    let changes = checks.changes(&domain, Timestamp::ZERO, CHANGES_MAX)?;
    let content = html! {
        div class="heading" {
            h1 { (foreign(&domain, 253)) }
            p class="lead" {
                @match &report {
                    Some(report) => {
                        (foreign(&words::verdict(report, language(lang)), 500)) " "
                        span class="soft nowrap" { (lang.say("Looked at ", "確認: ")) (about.zone.short(report.at, now)) }
                    }
                    None => (lang.say("It is looked at within minutes.", "まもなく確認します。")),
                }
            }
        }
        @if let Some(report) = &report { (findings(lang, report)) }
        @if !changes.is_empty() { (change_list(lang, &changes, &about, now)) }
        section {
            h2 { (lang.say("Next", "次の操作")) }
            ul class="notes" {
                li {
                    (lang.say("Look again now: ", "今すぐ確認: "))
                    code class="command" { "hikyaku domain check " (domain) }
                }
                li {
                    (lang.say("All records that this domain should have: ", "このドメインに必要なすべてのレコード: "))
                    code class="command" { "hikyaku domain records " (domain) }
                }
                li {
                    (lang.say("Why its mail is refused: ", "メールが拒否される理由: "))
                    code class="command" { "hikyaku domain diagnose " (domain) }
                }
            }
        }
    };
    let frame = Frame { lang, request, about: Some(&about), title: &domain, refresh: false };
    Ok(Response::html(200, layout(&frame, &content).into_string()))
}

/// What wants work stands in full, the worst first; what is well is folded away by area.
fn findings(lang: Lang, report: &Report) -> Markup {
    let (open, fine): (Vec<&Finding>, Vec<&Finding>) =
        report.findings.iter().partition(|finding| finding.level >= Level::Warning);
    html! {
        @if !open.is_empty() {
            section {
                h2 { (lang.say("To do", "対応が必要な項目")) }
                ul class="findings" { @for finding in open { li { (finding_card(lang, finding)) } } }
            }
        }
        @if !fine.is_empty() {
            section {
                h2 { (lang.say("In order, or worth knowing", "正常・参考")) }
                @for area in Area::ALL {
                    @let of_area: Vec<&&Finding> = fine.iter().filter(|finding| finding.area() == area).collect();
                    @if !of_area.is_empty() {
                        details class="area" {
                            summary { (words::area(area, language(lang))) " " span class="soft" { (of_area.len()) } }
                            ul class="findings" { @for finding in of_area { li { (finding_card(lang, finding)) } } }
                        }
                    }
                }
            }
        }
    }
}

fn finding_card(lang: Lang, finding: &Finding) -> Markup {
    let say = language(lang);
    let pill = match finding.level {
        Level::Error => "pill failed",
        Level::Warning => "pill deferred",
        Level::Note => "pill",
        Level::Ok => "pill succeeded",
    };
    let (why, fix) = (words::why(finding, say), words::fix(finding, say));
    html! {
        p class="whom" {
            span class=(pill) { (words::level(finding.level, say)) } " "
            span class="strong" { (foreign(&words::seen(finding, say), 1_000)) }
        }
        @if finding.level >= Level::Note && !why.is_empty() { p class="soft" { (foreign(&why, 1_000)) } }
        @if !fix.is_empty() { p { (foreign(&fix, 1_000)) } }
        @for record in &finding.records { pre class="record" { (super::clean_lines(&record.zone_line())) } }
        p class="soft check" { (finding.check()) " · " (foreign(&finding.subject, 253)) }
    }
}

fn change_list(lang: Lang, changes: &[DomainChange], about: &About, now: Timestamp) -> Markup {
    let level = |word: &str| match word {
        "" => lang.say("none", "なし").to_owned(),
        word => Level::WORST_FIRST
            .into_iter()
            .find(|level| level.word() == word)
            .map_or_else(|| word.to_owned(), |level| words::level(level, language(lang)).to_owned()),
    };
    html! {
        section {
            h2 { (lang.say("What changed", "変化の履歴")) }
            ul class="rows" {
                @for change in changes {
                    li {
                        div class="row" {
                            time { (about.zone.short(change.at, now)) }
                            span class={ "pill " (if change.is_worse() { "failed" } else { "succeeded" }) } {
                                (level(&change.was)) " → " (level(&change.is))
                            }
                            span class="what" {
                                (foreign(if lang.japanese { &change.seen_ja } else { &change.seen }, 300))
                                span class="reply" { (foreign(&change.check, 60)) " · " (foreign(&change.subject, 253)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
