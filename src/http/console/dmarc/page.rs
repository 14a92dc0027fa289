//! A domain's reports at a glance: what is wrong with them, the days, our own mail, what `p=reject` would do, who reports.

use maud::{Markup, html};

use super::{
    super::parts,
    Answer, Args, DOMAIN_CHARS, Missing, Right, Section, Tab, Visit, chart, filters, foreign, head, left_out,
    list::{alarm_notes, policy_pill},
    made, overview, path, percent, query_of, title, who_pill,
};
use crate::{
    dmarc::{
        board::Overview,
        monitor::{DomainReport, Query},
        views::{NameOut, ReporterOut, WhatIf},
    },
    http::{exchange::percent_encode, when::of_rfc3339},
};

/// Names, and reporters, that are shown.
const SHOWN_MAX: usize = 20;

/// `/dmarc/NAME`
pub(super) fn page(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let query = query_of(visit, args)?;
    let overview = match overview(visit, &query, Tab::Days) {
        Ok(overview) => overview,
        Err(answer) => return answer,
    };
    let report = &overview.report;
    if report.total.messages == 0 && report.left_out.reports == 0 && !is_ours(visit, &query)? {
        return Err(Missing::Nothing);
    }
    let total = &report.total;
    let lead = html! {
        (report.from) " – " (report.to) " (UTC) · "
        (visit.say("Policy that receivers found: ", "受信側が確認したポリシー：")) (policy_pill(visit, &report.what_if.policy))
    };
    let content = html! {
        (head(visit, &query, Tab::Days, &lead))
        (alarm_notes(visit, &report.alarms))
        (left_out(visit, &report.left_out))
        @if report.is_cut {
            p class="note bad" { (visit.say("There are more reports than are looked at at once: choose a shorter period.", "レポートが多すぎるため一部のみ集計しています。期間を短くしてください。")) }
        }
        section {
            (filters(visit, &query, "", &html! {}))
            @if total.messages == 0 {
                (parts::empty(
                    visit.say("No mail was reported in this period.", "この期間に報告されたメールはありません。"),
                    visit.say("Reports come once a day, a day later. See that the record's rua names our report address.", "レポートは1日1回、翌日に届きます。DMARC レコードの rua に当サーバーの受信アドレスがあるか確認してください。"),
                ))
            } @else {
                (parts::figures(&[
                    ("accepted", visit.say("Mails reported", "報告されたメール"), total.messages),
                    ("delivered", visit.say("Passed", "合格"), total.aligned),
                    ("failed", visit.say("Failed", "不合格"), total.spoofed),
                    ("deferred", visit.say("Of these forwarded", "うち転送"), total.forwarded),
                ]))
                (chart::days(visit, &report.days))
            }
            p class="hint tail" { (visit.say("Added up ", "集計：")) (made(visit, overview.made_at)) }
        }
        @if total.messages > 0 {
            (what_if(visit, &query, &overview))
            (own_mail(visit, report))
            (names(visit, &report.names, total.messages))
            (reporters(visit, &report.reporters))
        }
    };
    visit.page(Section::Dmarc, &title(&query), &content)
}

/// The config names the domain, or one below it.
fn is_ours(visit: &Visit<'_>, query: &Query) -> Result<bool, Missing> {
    Ok(visit.daemon.domain_checks().domains()?.iter().any(|ours| crate::lookup::is_below(ours, &query.domain)))
}

/// What `p=reject` would have done in these days.
fn what_if(visit: &Visit<'_>, query: &Query, overview: &Overview) -> Markup {
    let what: &WhatIf = &overview.report.what_if;
    let words = if visit.lang.japanese { &what.recommendation_ja } else { &what.recommendation };
    let rows = [
        (visit.say("This relay", "このリレー"), what.relay_messages, what.relay_refused, 0),
        (visit.say("Known senders", "既知の送信元"), what.known_messages, what.known_refused, 0),
        (
            visit.say("Unknown sources", "不明な送信元"),
            what.unknown_messages,
            what.unknown_refused,
            what.unknown_forwarded,
        ),
    ];
    let (mails, refused) = (visit.say("Mails", "メール数"), visit.say("Would be refused", "拒否される数"));
    let forwarded = visit.say("Of these forwarded", "うち転送");
    html! {
        section id="reject" {
            h2 {
                @if what.policy == "reject" { (visit.say("What p=reject does", "p=reject の効果")) }
                @else { (visit.say("What would p=reject do?", "p=reject にした場合")) }
                small { (visit.say("counted from these reports", "このレポートからの試算")) }
            }
            p class="strong advice" { (foreign(words, 800)) }
            table class="stack" {
                thead { tr { th { (visit.say("From", "送信元")) } th class="number" { (mails) } th class="number" { (refused) } th class="number" { (visit.say("Share", "割合")) } th class="number" { (forwarded) } } }
                tbody {
                    @for (name, all, lost, by_detour) in rows {
                        tr {
                            td class="strong wide" { (name) }
                            td class="number" data-label=(mails) { (parts::number(all)) }
                            td class="number" data-label=(refused) { (parts::number(lost)) }
                            td class="number" data-label=(visit.say("Share", "割合")) { (percent(lost, all)) }
                            td class="number" data-label=(forwarded) { (parts::number(by_detour)) }
                        }
                    }
                }
            }
            @if !what.sources.is_empty() {
                h3 { (visit.say("Whose mail would be refused", "拒否されるメールの送信元")) small { (visit.say("yours first", "自社の送信元を先に表示")) } }
                ul class="plain-list" {
                    @for source in &what.sources {
                        li {
                            (who_pill(visit, &source.who)) " "
                            span class="mono" { (source.source) } " "
                            @if !source.name.is_empty() { span class="soft" { (foreign(&source.name, 253)) " " } }
                            span class="nowrap" { (parts::number(source.tally.spoofed)) (visit.say(" mails", " 通")) }
                        }
                    }
                }
                p class="onward" { a href=(visit.href(&path(query, "/sources"))) { (visit.say("All sources", "すべての送信元")) " →" } }
            }
            @if overview.is_unfinished {
                p class="hint" { (visit.say("Names of sources are still looked up: a known sender may yet be told from unknown ones.", "送信元の名前を確認中です。既知の送信元が「不明」と表示されている場合があります。")) }
            }
            @if visit.may(Right::View) {
                p class="actions" {
                    a class="button plain" href=(visit.href(&format!("/dmarc/record?domain={}&p=reject", percent_encode(&query.domain)))) {
                        (visit.say("Write the record", "レコードを作成"))
                    }
                }
            }
        }
    }
}

/// Our own mail, by the reports and by our own log.
fn own_mail(visit: &Visit<'_>, report: &DomainReport) -> Markup {
    html! {
        section {
            h2 { (visit.say("Our own mail", "自社のメール")) small { (visit.say("on days that our log knows", "配信ログのある日のみ")) } }
            @match report.relay_delivered {
                Some(delivered) => (parts::facts(&[
                    (visit.say("Delivered, by our own log", "配信数（配信ログ）"), html! { (parts::number(delivered)) }),
                    (visit.say("Reported from our addresses", "当サーバーのアドレスからの報告数"), html! { (parts::number(report.relay_reported)) }),
                ])),
                None => (parts::empty(visit.say("Our log knows none of these days: nothing can be compared.", "この期間の配信ログがないため、比較できません。"), "")),
            }
            @if report.relay_unaccounted > 0 {
                p class="note bad spaced" {
                    @if visit.lang.japanese {
                        "配信ログより " (parts::number(report.relay_unaccounted)) " 通多く報告されています。当サーバーのアドレスから、別のプログラムがこのドメインのメールを送っている可能性があります。"
                    } @else {
                        (parts::number(report.relay_unaccounted)) " mails more were reported than we delivered: somebody else may send from our addresses in this domain's name."
                    }
                }
            }
        }
    }
}

fn names(visit: &Visit<'_>, names: &[NameOut], all: u64) -> Markup {
    let (mails, failed) = (visit.say("Mails", "メール数"), visit.say("Failed", "不合格"));
    html! {
        @if names.len() > 1 {
            section {
                h2 { (visit.say("Names in From", "From のドメイン")) small { (parts::number(names.len() as u64)) } }
                table class="stack" {
                    thead { tr { th { (visit.say("Domain", "ドメイン")) } th class="number" { (mails) } th class="number" { (visit.say("Share", "割合")) } th class="number" { (failed) } } }
                    tbody {
                        @for name in names.iter().take(SHOWN_MAX) {
                            tr {
                                td class="destination wide" { (foreign(&name.name, DOMAIN_CHARS)) }
                                td class="number" data-label=(mails) { (parts::number(name.tally.messages)) }
                                td class="number" data-label=(visit.say("Share", "割合")) { (percent(name.tally.messages, all)) }
                                td class="number" data-label=(failed) { (parts::number(name.tally.spoofed)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn reporters(visit: &Visit<'_>, reporters: &[ReporterOut]) -> Markup {
    let (reports, mails) = (visit.say("Reports", "レポート"), visit.say("Mails", "メール数"));
    html! {
        section {
            h2 { (visit.say("Who reports", "レポート送信者")) small { (parts::number(reporters.len() as u64)) } }
            table class="stack" {
                thead { tr { th { (visit.say("Organisation", "組織")) } th class="number" { (reports) } th class="number" { (mails) } th { (visit.say("Last one", "最新")) } } }
                tbody {
                    @for reporter in reporters.iter().take(SHOWN_MAX) {
                        tr {
                            td class="destination wide" { (foreign(&reporter.organization, 120)) }
                            td class="number" data-label=(reports) { (parts::number(reporter.reports)) }
                            td class="number" data-label=(mails) { (parts::number(reporter.messages)) }
                            td class="nowrap" data-label=(visit.say("Last one", "最新")) {
                                @match of_rfc3339(&reporter.last_received) { Some(at) => (visit.when_short(at)), None => "–" }
                            }
                        }
                    }
                }
            }
        }
    }
}
