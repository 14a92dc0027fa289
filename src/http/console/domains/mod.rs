//! Our domains: what the DNS says of each, the records to publish, the keys that sign, and why mail is refused.
//!
//! ```text
//! list ─► page (findings, check now) · records (all that should be published) · keys (rotation) · diagnose (why it is refused)
//! ```
//!
//! In: visits.  Out: pages; looks at the DNS and rotations, by forms.
//! Always: pages tell what the last look found, and say when that was; only acts wait for the DNS; records stand in fields of their
//! own, ready to be copied; a domain that the config does not name has no page.

mod diagnose;
mod keys;
mod list;
mod page;
mod records;

use maud::{Markup, html};

use super::{
    Answer, Args, Missing, Place, Right, Section, Visit,
    parts::{self, copyable, facts, foreign},
};
use crate::{
    doctor::{finding::RecordToPublish, words::Language},
    http::{exchange::percent_encode, words::Lang},
    store::AuditEntry,
};

pub(super) use list::section;

pub(super) const PLACES: &[Place] = &[
    Place::read("/domains", Right::Reports, list::page),
    Place::read("/domains/:name", Right::Reports, page::page),
    Place::act("/domains/:name/check", Right::Act, page::check).waits(),
    Place::read("/domains/:name/records", Right::Reports, records::page),
    Place::act("/domains/:name/records", Right::View, records::look).waits(),
    Place::read("/domains/:name/keys", Right::Reports, keys::page),
    Place::act("/domains/:name/keys/rotate", Right::Administer, keys::rotate).waits(),
    Place::act("/domains/:name/keys/abort", Right::Administer, keys::abort),
    Place::act("/domains/:name/keys/look", Right::Act, keys::look).waits(),
    Place::read("/domains/:name/diagnose", Right::View, diagnose::page),
    Place::act("/domains/:name/diagnose", Right::View, diagnose::run).waits(),
];

/// Letters of a domain's name at most.
pub(super) const DOMAIN_CHARS: usize = 253;

/// The doctor's name for the visitor's language.
pub(super) fn language(lang: Lang) -> Language {
    if lang.japanese { Language::Japanese } else { Language::English }
}

/// A path below a domain's page: `""`, `/keys`, …
fn path(domain: &str, below: &str) -> String {
    format!("/domains/{}{below}", percent_encode(domain))
}

/// The domain that a visit is about.
///
/// # Errors
/// The config names none of that name.
fn domain_of(visit: &Visit<'_>, args: &Args<'_>) -> Result<String, Missing> {
    let domain = args.get("name").trim_end_matches('.').to_ascii_lowercase();
    let known = visit.daemon.domain_checks().domains()?;
    if known.contains(&domain) { Ok(domain) } else { Err(Missing::Nothing) }
}

/// The views of a domain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tab {
    Findings,
    Records,
    Keys,
    Diagnose,
}

impl Tab {
    fn words(self, visit: &Visit<'_>) -> &'static str {
        match self {
            Tab::Findings => visit.say("Findings", "確認結果"),
            Tab::Records => visit.say("Records", "DNSレコード"),
            Tab::Keys => visit.say("DKIM keys", "DKIM鍵"),
            Tab::Diagnose => visit.say("Diagnosis", "診断"),
        }
    }
}

/// What a tab of the browser says: the domain, and which view of it.
fn title(visit: &Visit<'_>, domain: &str, tab: Tab) -> String {
    format!("{domain}: {}", tab.words(visit))
}

/// The title of a domain's page with its tabs.
fn head(visit: &Visit<'_>, domain: &str, tab: Tab, lead: &Markup) -> Markup {
    let mut tabs = vec![
        (path(domain, ""), Tab::Findings.words(visit), tab == Tab::Findings),
        (path(domain, "/records"), Tab::Records.words(visit), tab == Tab::Records),
        (path(domain, "/keys"), Tab::Keys.words(visit), tab == Tab::Keys),
    ];
    if visit.may(Right::View) {
        tabs.push((path(domain, "/diagnose"), Tab::Diagnose.words(visit), tab == Tab::Diagnose));
    }
    tabs.push((format!("/dmarc/{}", percent_encode(domain)), visit.say("DMARC reports", "DMARCレポート"), false));
    let tabs: Vec<(&str, &str, bool)> = tabs.iter().map(|(path, name, is)| (path.as_str(), *name, *is)).collect();
    html! {
        (parts::back_to(visit, "/domains", visit.say("All domains", "すべての送信ドメイン")))
        div class="heading" { h1 { (foreign(domain, DOMAIN_CHARS)) } p class="lead" { (lead) } }
        (parts::tabs(visit, visit.say("Views of the domain", "ドメインの表示"), &tabs))
    }
}

/// A record as web forms of DNS providers ask for it, and as a line of a zone file.
pub(super) fn record(visit: &Visit<'_>, record: &RecordToPublish) -> Markup {
    let kind = html! {
        (record.kind.word()) span class="soft" { " · TTL " (record.ttl) }
    };
    html! {
        div class="to-publish" {
            (facts(&[
                (visit.say("Name", "名前"), copyable(&record.name)),
                (visit.say("Type", "タイプ"), kind),
                (visit.say("Value", "値"), copyable(&record.value)),
            ]))
            details {
                summary { (visit.say("As a line of a zone file", "ゾーンファイルの行として表示")) }
                (copyable(&record.zone_line()))
            }
        }
    }
}

/// Notes an act in the operation log.
fn note(visit: &Visit<'_>, act: &str, object: &str, detail: &str) -> Result<(), Missing> {
    let entry = AuditEntry {
        at: visit.now,
        who: visit.who(),
        from: visit.from(),
        act: act.to_owned(),
        object: object.to_owned(),
        detail: detail.to_owned(),
    };
    Ok(visit.daemon.audit(entry)?)
}

#[cfg(test)]
mod tests;
