//! A domain: what was found, why it matters, what to publish; what changed; and a look now.

use maud::{Markup, html};

use super::{
    super::{Told, parts},
    Answer, Args, Right, Section, Tab, Visit, domain_of, foreign, head, language, note, path, record, title,
};
use crate::{
    clock::Timestamp,
    doctor::{
        finding::{Area, Finding, Level, Report},
        told::DomainChange,
        words,
    },
};

/// Changes that are shown.
const CHANGES_MAX: usize = 20;
/// Letters of a sentence of the doctor's.
const SENTENCE_CHARS: usize = 1_000;

/// `/domains/NAME`
pub(super) fn page(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let domain = domain_of(visit, args)?;
    let checks = visit.daemon.domain_checks();
    let report = checks.last(&domain)?;
    let changes = checks.changes(&domain, Timestamp::ZERO, CHANGES_MAX)?;
    let lead = html! {
        @match &report {
            Some(report) => {
                (foreign(&words::verdict(report, language(visit.lang)), 500)) " "
                span class="soft nowrap" { (visit.say("Looked at ", "確認：")) (visit.when_short(report.at)) }
            }
            None => (visit.say("Nobody looked at it yet; that happens within minutes.", "まだ確認していません。まもなく確認します。")),
        }
    };
    let content = html! {
        (head(visit, &domain, Tab::Findings, &lead))
        @if visit.may(Right::Act) {
            (visit.post(&path(&domain, "/check"), "actions above", &html! {
                button { (visit.say("Check now", "今すぐ確認")) }
                span class="soft" { (visit.say("Asks the DNS; takes up to half a minute.", "DNS に問い合わせます（最大30秒ほど）。")) }
            }))
        }
        @if let Some(report) = &report { (findings(visit, &domain, report)) }
        @if !changes.is_empty() { (change_list(visit, &changes)) }
    };
    visit.page(Section::Domains, &title(visit, &domain, Tab::Findings), &content)
}

/// Looks now.
pub(super) fn check(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let domain = domain_of(visit, args)?;
    let report = visit.daemon.domain_checks().check(&domain)?;
    let (errors, warnings) = (report.count(Level::Error), report.count(Level::Warning));
    note(visit, "domain.check", &domain, &format!("{errors} errors, {warnings} warnings"))?;
    let verdict = words::verdict(&report, language(visit.lang));
    let told = if errors + warnings == 0 { Told::good(verdict) } else { Told::bad(verdict) };
    visit.done(&path(&domain, ""), &told)
}

/// What wants work stands in full, the worst first; what is well is folded away by area.
fn findings(visit: &Visit<'_>, domain: &str, report: &Report) -> Markup {
    let (open, fine): (Vec<&Finding>, Vec<&Finding>) =
        report.findings.iter().partition(|finding| finding.level >= Level::Warning);
    html! {
        section {
            h2 { (visit.say("To do", "対応が必要な項目")) }
            @if open.is_empty() {
                (parts::empty(visit.say("Nothing. All that could be looked at is in order.", "ありません。確認できた項目はすべて正常です。"), ""))
            } @else {
                ul class="findings" { @for finding in open { li { (card(visit, domain, finding)) } } }
            }
        }
        @if !fine.is_empty() {
            section {
                h2 { (visit.say("In order, or worth knowing", "正常・参考")) }
                @for area in Area::ALL {
                    @let of_area: Vec<&&Finding> = fine.iter().filter(|finding| finding.area() == area).collect();
                    @if !of_area.is_empty() {
                        details class="area" {
                            summary { (words::area(area, language(visit.lang))) " " span class="soft" { (of_area.len()) } }
                            ul class="findings" { @for finding in of_area { li { (card(visit, domain, finding)) } } }
                        }
                    }
                }
            }
        }
    }
}

fn level_class(level: Level) -> &'static str {
    match level {
        Level::Error => "failed",
        Level::Warning => "deferred",
        Level::Note => "",
        Level::Ok => "succeeded",
    }
}

/// A key of the domain that was made here would end it.
fn wants_key(finding: &Finding) -> bool {
    finding.level >= Level::Warning && matches!(finding.check(), "dkim.keys" | "dmarc.dkim_alignment")
}

fn card(visit: &Visit<'_>, domain: &str, finding: &Finding) -> Markup {
    let say = language(visit.lang);
    let (why, fix) = (words::why(finding, say), words::fix(finding, say));
    html! {
        p class="whom" {
            (parts::pill(level_class(finding.level), words::level(finding.level, say))) " "
            span class="strong" { (parts::with_code(&words::seen(finding, say), SENTENCE_CHARS)) }
        }
        @if finding.level >= Level::Note && !why.is_empty() { p class="soft" { (parts::with_code(&why, SENTENCE_CHARS)) } }
        @if !fix.is_empty() { p { (parts::with_code(&fix, SENTENCE_CHARS)) } }
        @if wants_key(finding) && visit.may(Right::Administer) {
            p { a href=(visit.href(&path(domain, "/keys"))) { (visit.say("Make the key here", "この画面で鍵を作成する")) " →" } }
        }
        @for to_publish in &finding.records { (record(visit, to_publish)) }
        p class="soft check" { (finding.check()) " · " (foreign(&finding.subject, 253)) }
    }
}

fn change_list(visit: &Visit<'_>, changes: &[DomainChange]) -> Markup {
    let level = |word: &str| match word {
        "" => visit.say("none", "なし").to_owned(),
        word => Level::WORST_FIRST
            .into_iter()
            .find(|level| level.word() == word)
            .map_or_else(|| word.to_owned(), |level| words::level(level, language(visit.lang)).to_owned()),
    };
    html! {
        section {
            h2 { (visit.say("What changed", "変化の履歴")) }
            ul class="rows" {
                @for change in changes {
                    li {
                        div class="row" {
                            (visit.when_short(change.at))
                            (parts::pill(if change.is_worse() { "failed" } else { "succeeded" },
                                &format!("{} → {}", level(&change.was), level(&change.is))))
                            span class="what" {
                                (foreign(if visit.lang.japanese { &change.seen_ja } else { &change.seen }, 300))
                                span class="reply" { (foreign(&change.check, 60)) " · " (foreign(&change.subject, 253)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
