//! All domains, those that want work first; and the few of them that the overview shows.

use maud::{Markup, html};

use super::{super::parts, Answer, Args, DOMAIN_CHARS, Section, Visit, foreign, path};
use crate::{
    clock::Timestamp,
    http::{daemon::About, domain_status::DomainStatusOut, when::of_rfc3339, words::Lang},
};

/// Domains on the front page; the others are behind the link.
const FRONT_MAX: usize = 8;
/// Domains on a page.
const ROWS_MAX: usize = 50;

/// The section of the front page; nothing where no domain is configured.
pub(in super::super) fn section(lang: Lang, domains: &[DomainStatusOut], about: &About, now: Timestamp) -> Markup {
    html! {
        @if !domains.is_empty() {
            section id="domains" {
                h2 {
                    (lang.say("Sending domains", "送信ドメイン"))
                    small { (lang.say("what the DNS says of them", "DNS の確認結果")) }
                    @if domains.len() > FRONT_MAX {
                        a class="more" href=(lang.href("/domains")) { (lang.say("All of them", "すべて表示")) }
                    }
                }
                (table(lang, domains.iter().take(FRONT_MAX), about, now))
            }
        }
    }
}

fn table<'d>(lang: Lang, domains: impl Iterator<Item = &'d DomainStatusOut>, about: &About, now: Timestamp) -> Markup {
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
            td class="strong destination" {
                a href=(lang.href(&path(&row.domain, ""))) { (foreign(&row.domain, DOMAIN_CHARS)) }
            }
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
        true => format!("{japanese} {}", parts::number(n as u64)),
        false => format!("{} {}", parts::number(n as u64), english[usize::from(n != 1)]),
    };
    html! {
        @if row.errors > 0 { (parts::pill("failed", &count(row.errors, ["error", "errors"], "エラー"))) " " }
        @if row.warnings > 0 { (parts::pill("deferred", &count(row.warnings, ["warning", "warnings"], "警告"))) }
        @if is_known && !row.is_bad() { (parts::pill("succeeded", lang.say("fine", "正常"))) }
        @if !is_known { (parts::pill("", lang.say("not yet", "未確認"))) }
    }
}

/// `/domains`: all of them.
pub(super) fn page(visit: &Visit<'_>, _: &Args<'_>) -> Answer {
    let lang = visit.lang;
    let mut rows: Vec<DomainStatusOut> =
        visit.daemon.domain_checks().standings()?.iter().map(DomainStatusOut::of).collect();
    let (all, looked_at) = (rows.len(), rows.iter().filter(|row| row.checked_at.is_some()).count());
    let (errors, warned) = (
        rows.iter().filter(|row| row.errors > 0).count(),
        rows.iter().filter(|row| row.errors == 0 && row.is_bad()).count(),
    );
    let fine = looked_at - errors - warned;
    let (asked, only_bad) = (visit.request.param("q").trim().to_ascii_lowercase(), visit.request.flag("work"));
    rows.retain(|row| row.domain.contains(&asked) && (!only_bad || row.is_bad()));
    rows.sort_by(|a, b| (b.errors, b.warnings).cmp(&(a.errors, a.warnings)).then_with(|| a.domain.cmp(&b.domain)));
    let from: usize = visit.request.param("cursor").parse().unwrap_or(0).min(rows.len());
    let next = (from + ROWS_MAX < rows.len()).then(|| (from + ROWS_MAX).to_string());
    let title = visit.say("Sending domains", "送信ドメイン");
    let lead = visit.say(
        "What the DNS says of each domain that you send from. Each is looked at once a day; what changes is told in the journal and by webhook.",
        "送信に使う各ドメインの DNS を1日1回確認しています。変化があればジャーナルと Webhook で通知します。",
    );
    let content = html! {
        (parts::heading(title, lead))
        @if all == 0 {
            section {
                (parts::empty(
                    visit.say("No domain is configured.", "送信ドメインが設定されていません。"),
                    visit.say("Add a [[domain]] to the config file for each domain that you send from, and reload:",
                        "設定ファイルに、送信に使うドメインごとに [[domain]] を追加して再読み込みしてください："),
                ))
                div class="spaced" { (parts::copyable("[[domain]]\nname = \"example.jp\"")) (parts::copyable("hikyaku check && systemctl reload hikyaku")) }
            }
        } @else {
            section {
                (parts::figures(&[
                    ("failed", visit.say("With errors", "エラーあり"), errors as u64),
                    ("deferred", visit.say("With warnings", "警告あり"), warned as u64),
                    ("delivered", visit.say("Fine", "正常"), fine as u64),
                    ("accepted", visit.say("Not looked at yet", "未確認"), (all - looked_at) as u64),
                ]))
                @if all > 8 || !asked.is_empty() || only_bad {
                    (visit.ask("/domains", "fields spaced", &html! {
                        (parts::Field { name: "q", label: visit.say("Part of the name", "ドメイン名の一部"), value: &asked, kind: "search", max: 253, ..parts::Field::default() }.show())
                        (parts::check_box("work", "1", visit.say("Only those that want work", "対応が必要なもののみ"), only_bad))
                        div class="actions" { button class="plain" { (visit.say("Show", "表示")) } }
                    }))
                }
            }
            section {
                @if rows.is_empty() {
                    (parts::empty(visit.say("No domain fits.", "該当するドメインはありません。"), visit.say("Ask for less.", "条件を減らしてください。")))
                } @else {
                    (table(lang, rows.iter().skip(from).take(ROWS_MAX), &visit.about, visit.now))
                }
                (parts::pager(visit, next.as_deref(), None))
            }
        }
    };
    visit.page(Section::Domains, title, &content)
}
