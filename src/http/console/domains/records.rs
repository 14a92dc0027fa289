//! All records that a domain should have, with whether they are there. The DNS is asked when the form says so: it takes its time.

use maud::{Markup, html};

use super::{super::parts, Answer, Args, Right, Section, Tab, Visit, domain_of, head, language, path, record, title};
use crate::doctor::{
    finding::{Published, Records, Wanted},
    words::records::purpose,
};

/// `/domains/NAME/records`
pub(super) fn page(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let domain = domain_of(visit, args)?;
    show(visit, &domain, None)
}

/// Asks the DNS, and shows what should be there.
pub(super) fn look(visit: &Visit<'_>, args: &Args<'_>) -> Answer {
    let domain = domain_of(visit, args)?;
    let records = visit.daemon.domain_checks().records(&domain);
    show(visit, &domain, Some(&records))
}

fn show(visit: &Visit<'_>, domain: &str, records: Option<&Records>) -> Answer {
    let lead = html! {
        (visit.say("Every record that this domain should have: what is published and good stays as it is, what is missing is added.",
            "このドメインに必要なすべてのレコードです。公開中の正しい内容はそのまま残し、不足分を加えています。"))
    };
    let content = html! {
        (head(visit, domain, Tab::Records, &lead))
        @if visit.may(Right::View) {
            (visit.post(&path(domain, "/records"), "actions above", &html! {
                button class=(if records.is_some() { "plain" } else { "" }) {
                    @if records.is_some() { (visit.say("Ask the DNS again", "もう一度 DNS に問い合わせる")) }
                    @else { (visit.say("Ask the DNS", "DNS に問い合わせる")) }
                }
                span class="soft" { (visit.say("Takes up to half a minute.", "最大30秒ほどかかります。")) }
            }))
        }
        @match records {
            None => section {
                (parts::empty(
                    visit.say("The records are put together from what the DNS says now.", "レコードは、現在の DNS の内容をもとに作成します。"),
                    if visit.may(Right::View) { visit.say("Press the button.", "上のボタンを押してください。") }
                    else { visit.say("Ask a user of the console to do so.", "管理画面のユーザーに依頼してください。") },
                ))
            },
            Some(records) if records.wanted.is_empty() => section {
                (parts::empty(
                    visit.say("The DNS did not answer in time.", "DNS の回答が時間内に得られませんでした。"),
                    visit.say("Try again; if it stays so, see whether the resolvers of [dns] answer.", "もう一度お試しください。続く場合は [dns] のリゾルバーが応答するか確認してください。"),
                ))
            },
            Some(records) => (lists(visit, records)),
        }
    };
    visit.page(Section::Domains, &title(visit, domain, Tab::Records), &content)
}

fn lists(visit: &Visit<'_>, records: &Records) -> Markup {
    let (there, missing): (Vec<&Wanted>, Vec<&Wanted>) =
        records.wanted.iter().partition(|wanted| wanted.published == Published::Yes);
    html! {
        section {
            h2 { (visit.say("To publish", "公開が必要なレコード")) }
            @if missing.is_empty() {
                (parts::empty(visit.say("Nothing: every record is there, word for word.", "ありません。すべてのレコードがこの内容どおりに公開されています。"), ""))
            } @else {
                ul class="findings" { @for wanted in missing { li { (card(visit, wanted)) } } }
            }
        }
        @if !there.is_empty() {
            section {
                h2 { (visit.say("Published", "公開済み")) small { (parts::number(there.len() as u64)) } }
                ul class="findings" {
                    @for wanted in there {
                        li { details { summary { (purpose(wanted.purpose, language(visit.lang))) } (record(visit, &wanted.record)) } }
                    }
                }
            }
        }
    }
}

fn card(visit: &Visit<'_>, wanted: &Wanted) -> Markup {
    let (class, words) = match wanted.published {
        Published::Yes => ("succeeded", visit.say("published", "公開済み")),
        Published::No => ("deferred", visit.say("missing or different", "未公開または相違")),
        Published::Unknown => ("", visit.say("the DNS did not say", "DNS の回答なし")),
    };
    html! {
        p class="whom" {
            (parts::pill(class, words)) " "
            span class="strong" { (purpose(wanted.purpose, language(visit.lang))) }
        }
        (record(visit, &wanted.record))
        @if !wanted.own_zone {
            p class="soft" {
                (visit.say("It belongs into somebody else's zone: the owner of that name or address publishes it.",
                    "別のゾーンのレコードです。その名前やアドレスの管理者が公開します。"))
            }
        }
    }
}
