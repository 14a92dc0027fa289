//! `hikyaku domain check` and `records` over the control socket.
//!
//! In: `name`, `lang`.  Out: a report with its words, a line; the records that a domain should have, a line each; the names of the
//! configured domains.

use serde::{Deserialize, Serialize};

use super::super::{Answer, Refused};
use crate::{
    doctor::{
        domain_name,
        finding::{Finding, Published, Purpose, Report, Seen},
        words::{self, Language},
    },
    http::{
        daemon::{About, Daemon},
        exchange::{Request, Response},
    },
};

/// A configured domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DomainOut {
    /// Its name.
    pub domain: String,
}

/// A report with its words.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ReportOut {
    /// The header-From domain.
    pub domain: String,
    /// When it was looked at, RFC 3339.
    pub checked_at: String,
    /// The verdict in one sentence.
    pub verdict: String,
    /// Findings of level error.
    pub errors: usize,
    /// Findings of level warning.
    pub warnings: usize,
    /// The findings, the worst first.
    pub findings: Vec<FindingOut>,
}

/// A finding with its words.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FindingOut {
    /// The stable id, `spf.lookups`.
    pub check: String,
    /// Its area for people.
    pub area: String,
    /// ok, note, warning, error.
    pub level: String,
    /// What it is about.
    pub subject: String,
    /// What was seen.
    pub seen: String,
    /// Why it matters.
    pub why: String,
    /// What to do; empty: nothing.
    pub fix: String,
    /// What was seen, as data.
    pub facts: serde_json::Value,
    /// The records to publish.
    pub records: Vec<RecordOut>,
}

/// A record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecordOut {
    /// Its name, in full.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its value; of TXT the text in one piece.
    pub value: String,
    /// Seconds.
    pub ttl: u32,
    /// As a zone file has it; several lines for a long text.
    pub line: String,
}

/// A record that a domain should have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WantedOut {
    /// What it is for.
    pub purpose: Purpose,
    /// The same for people.
    pub about: String,
    /// Whether it is published.
    pub published: Published,
    /// It belongs into the domain's own zone.
    pub own_zone: bool,
    /// It.
    #[serde(flatten)]
    pub record: RecordOut,
}

impl From<&crate::doctor::finding::RecordToPublish> for RecordOut {
    fn from(record: &crate::doctor::finding::RecordToPublish) -> Self {
        RecordOut {
            name: record.name.clone(),
            kind: record.kind.word().to_owned(),
            value: record.value.clone(),
            ttl: record.ttl,
            line: record.zone_line(),
        }
    }
}

impl FindingOut {
    /// In this language.
    pub fn new(finding: &Finding, language: Language) -> Self {
        FindingOut {
            check: finding.check().to_owned(),
            area: words::area(finding.area(), language).to_owned(),
            level: finding.level.word().to_owned(),
            subject: finding.subject.clone(),
            seen: words::seen(finding, language),
            why: words::why(finding, language),
            fix: words::fix(finding, language),
            facts: facts(&finding.seen),
            records: finding.records.iter().map(RecordOut::from).collect(),
        }
    }
}

impl ReportOut {
    /// In this language.
    pub fn new(report: &Report, language: Language) -> Self {
        use crate::doctor::finding::Level;
        ReportOut {
            domain: report.domain.clone(),
            checked_at: report.at.rfc3339(),
            verdict: words::verdict(report, language),
            errors: report.count(Level::Error),
            warnings: report.count(Level::Warning),
            findings: report.findings.iter().map(|finding| FindingOut::new(finding, language)).collect(),
        }
    }
}

/// What was seen, without the area around it: `{"lookups": {…}}`.
fn facts(seen: &Seen) -> serde_json::Value {
    let value = serde_json::to_value(seen).unwrap_or_default();
    match value {
        serde_json::Value::Object(fields) => fields.into_iter().next().map(|(_, inner)| inner).unwrap_or_default(),
        other => other,
    }
}

/// `domains/names`
pub(super) fn names(daemon: &dyn Daemon, _: &About, _: &Request) -> Answer {
    let rows: Vec<DomainOut> =
        daemon.domain_checks().domains()?.into_iter().map(|domain| DomainOut { domain }).collect();
    Ok(Response::lines(&rows))
}

/// `domains/check`
pub(super) fn check(daemon: &dyn Daemon, _: &About, request: &Request) -> Answer {
    let (domain, language) = (name(request)?, language(request)?);
    let report = daemon.domain_checks().check(&domain)?;
    Ok(Response::json(200, &ReportOut::new(&report, language)))
}

/// `domains/records`
pub(super) fn records(daemon: &dyn Daemon, _: &About, request: &Request) -> Answer {
    let (domain, language) = (name(request)?, language(request)?);
    let records = daemon.domain_checks().records(&domain);
    let rows: Vec<WantedOut> = records
        .wanted
        .iter()
        .map(|wanted| WantedOut {
            purpose: wanted.purpose,
            about: words::records::purpose(wanted.purpose, language),
            published: wanted.published,
            own_zone: wanted.own_zone,
            record: RecordOut::from(&wanted.record),
        })
        .collect();
    Ok(Response::lines(&rows))
}

fn name(request: &Request) -> Result<String, Refused> {
    let text = request.param("name");
    domain_name(text).ok_or_else(|| Refused::new(400, format!("{text:?} is no domain name"), "name"))
}

fn language(request: &Request) -> Result<Language, Refused> {
    match request.param("lang") {
        "" | "en" => Ok(Language::English),
        "ja" => Ok(Language::Japanese),
        _ => Err(Refused::new(400, "lang is en or ja", "lang")),
    }
}
