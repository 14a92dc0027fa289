//! The made-up daemon's domains: one in good order, one whose records want work, one that nobody looked at yet.

use std::time::Duration;

use super::fake::{HOSTILE, now};
use crate::{
    clock::Timestamp,
    diagnose::{
        Diagnosis, NoDiagnosis, Question,
        figures::{Before, Gathered},
        rules::rank,
        tally::{Tally, Try},
    },
    doctor::{
        finding::{
            Bulk, Dmarc, Finding, Level, Published, Purpose, RecordToPublish, Records, Report, Seen, Spf, Wanted,
        },
        round::Findings,
        told::DomainChange,
    },
    store::{StoreError, Story},
};

/// What the doctor would find.
pub(crate) struct FakeFindings {
    reports: Vec<(String, Option<Report>)>,
    changes: Vec<DomainChange>,
}

impl FakeFindings {
    /// Three domains.
    pub(crate) fn busy() -> Self {
        let at = now().minus(Duration::from_secs(7 * 3600));
        let spf = |domain: &str| {
            let record = "v=spf1 ip4:192.0.2.0/24 -all".to_owned();
            Finding::new(Level::Ok, domain, Seen::Spf(Spf::Found { record }))
        };
        let fails = Spf::Fails {
            address: "192.0.2.11".parse().expect("an address"),
            result: "fail".to_owned(),
            matched: "-all".to_owned(),
            mechanism: "ip4:192.0.2.11".to_owned(),
        };
        let shop = vec![
            spf("shop.example"),
            Finding::new(Level::Note, "shop.example", Seen::Bulk(Bulk::NoFigures)),
            Finding::new(Level::Error, "shop.example", Seen::Spf(fails))
                .with(RecordToPublish::txt("shop.example", "v=spf1 ip4:192.0.2.0/29 ip4:192.0.2.11 -all")),
            Finding::new(Level::Warning, "shop.example", Seen::Spf(Spf::Open { all: HOSTILE.to_owned() })),
            Finding::new(
                Level::Warning,
                "_dmarc.shop.example",
                Seen::Dmarc(Dmarc::Missing { asked: vec!["_dmarc.shop.example".to_owned()] }),
            )
            .with(RecordToPublish::txt("_dmarc.shop.example", "v=DMARC1; p=none; rua=mailto:dmarc@relay.example.jp")),
        ];
        let broke = DomainChange {
            at,
            domain: "shop.example".to_owned(),
            check: "spf.address".to_owned(),
            subject: "shop.example".to_owned(),
            was: "ok".to_owned(),
            is: "error".to_owned(),
            seen: "SPF fails for 192.0.2.11".to_owned(),
            seen_ja: "192.0.2.11 は SPF に失敗します".to_owned(),
            ..DomainChange::default()
        };
        FakeFindings {
            reports: vec![
                ("example.jp".to_owned(), Some(Report::new("example.jp", at, vec![spf("example.jp")]))),
                ("shop.example".to_owned(), Some(Report::new("shop.example", at, shop))),
                ("new.example".to_owned(), None),
            ],
            changes: vec![broke],
        }
    }

    /// No domain is configured.
    pub(crate) fn none() -> Self {
        FakeFindings { reports: Vec::new(), changes: Vec::new() }
    }
}

impl Findings for FakeFindings {
    fn check(&self, domain: &str) -> Result<Report, StoreError> {
        let known = self.last(domain)?;
        Ok(known.unwrap_or_else(|| Report::new(domain, now(), vec![])))
    }

    fn last(&self, domain: &str) -> Result<Option<Report>, StoreError> {
        Ok(self.reports.iter().find(|(name, _)| name == domain).and_then(|(_, report)| report.clone()))
    }

    fn all(&self) -> Result<Vec<(String, Option<Report>)>, StoreError> {
        Ok(self.reports.clone())
    }

    fn changes(&self, domain: &str, since: Timestamp, limit: usize) -> Result<Vec<DomainChange>, StoreError> {
        let wanted = |c: &&DomainChange| (domain.is_empty() || c.domain == domain) && c.at >= since;
        Ok(self.changes.iter().filter(wanted).take(limit).cloned().collect())
    }

    fn records(&self, domain: &str) -> Records {
        let record = RecordToPublish::txt(format!("_dmarc.{domain}"), "v=DMARC1; p=none");
        let wanted = Wanted { purpose: Purpose::Dmarc, record, published: Published::No, own_zone: true };
        Records { domain: domain.to_owned(), wanted: vec![wanted] }
    }
}

/// What the stories of the made-up daemon say of a domain; a domain that begins with "busy" has to wait.
pub(crate) fn diagnosis(question: &Question, stories: &[Story]) -> Result<Diagnosis, NoDiagnosis> {
    if question.domain.starts_with("busy") {
        return Err(NoDiagnosis::Busy);
    }
    let mut tally = Tally::default();
    for story in stories.iter().filter(|s| s.message.facts.from.ends_with(&format!("@{}", question.domain))) {
        if !question.user.is_empty() && question.user != story.message.user {
            continue;
        }
        for event in &story.events {
            let Some(detail) = &event.detail else { continue };
            let recipient = story.recipients.iter().find(|r| r.key == event.key).map_or("", |r| r.address.as_str());
            tally.add(&Try {
                at: event.at,
                kind: event.kind,
                phase: detail.phase,
                class: detail.error,
                reply: &detail.reply,
                recipient,
                destination: &detail.destination,
                host: &detail.host,
                source: detail.sender_ip,
                user: &story.message.user,
                subject: &story.message.facts.subject,
                octets: story.message.len,
            });
        }
    }
    let gathered = Gathered {
        question: question.clone(),
        volume_a_day: tally.volume(),
        tally,
        looked_back_to: None,
        before: Before::default(),
        findings: None,
        broke: Vec::new(),
        loosened: Vec::new(),
        speeds: Vec::new(),
        warm_ups: Vec::new(),
        brakes: Vec::new(),
    };
    let causes = rank(&gathered);
    Ok(Diagnosis { gathered, causes })
}
