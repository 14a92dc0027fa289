//! DMARC: which record applies to the domain, where it stands, and what it asks (R1, R2).
//!
//! In: the domain, our report address.  Out: the record with whence it comes, its policy, and where reports go.
//! Always: whose record applies is said by the same walk that judges mail that comes in.
//! Sources: RFC 9989 §4.10, RFC 9990 §4; R1, R2.

use super::{Case, Outcome};
use crate::{
    dmarc::{
        generate::{self, Wanted},
        record::{Policy, Record, RemarkKind, ReportUri, Standing},
        tree_walk::{Discovery, Found, Whence, discover},
    },
    doctor::finding::{Area, Dmarc, Finding, Level, RecordToPublish, Seen, clipped},
    lookup::Lookup,
    smtp::address::Mailbox,
};

/// Remarks on a record that are told.
const REMARKS_MAX: usize = 12;
/// Places of reports that are told.
const PLACES_MAX: usize = 8;

pub(super) async fn check(case: &Case<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let found = discover(case.dns, case.domain).await;
    on_the_way(case, &found, &mut outcome).await;
    if let Some(trouble) = &found.trouble {
        outcome.trouble(Area::Dmarc, case.domain, &format!("TXT _dmarc.{}", case.domain), trouble);
    }
    match (&found.record, &found.policy_domain) {
        (Some(record), Some(at)) => {
            which(case, &found, record, at, &mut outcome);
            policies(case, &found, record, &mut outcome);
            reports(case, record, at, &mut outcome).await;
        }
        _ if found.trouble.is_none() => {
            let asked = found.steps.iter().map(|step| format!("_dmarc.{}", step.name)).collect();
            let record = RecordToPublish::txt(format!("_dmarc.{}", case.domain), fresh(case).to_string());
            let seen = Seen::Dmarc(Dmarc::Missing { asked });
            outcome.found(Finding::new(Level::Error, case.domain, seen).with(record));
        }
        _ => {}
    }
    outcome.known.dmarc = Some(found);
    outcome
}

/// Our report address, if there is one.
pub(in crate::doctor) fn report_address(case: &Case<'_>) -> Option<Mailbox> {
    Mailbox::parse(&case.config.bounce.report_address).ok()
}

/// A record where there is none: it asks for nothing but reports.
pub(in crate::doctor) fn fresh(case: &Case<'_>) -> Record {
    generate::build(&Wanted { rua: report_address(case).into_iter().collect(), ..Wanted::default() })
}

/// The record as it should be: what is published, made better, with our report address in it.
pub(in crate::doctor) fn better(case: &Case<'_>, text: &str) -> Record {
    let upgraded = generate::upgrade(text, report_address(case).as_ref());
    upgraded.map_or_else(|_| fresh(case), |upgraded| upgraded.record)
}

/// Names on the way whose records do not count.
async fn on_the_way(case: &Case<'_>, found: &Discovery, outcome: &mut Outcome) {
    for step in &found.steps {
        let at = format!("_dmarc.{}", step.name);
        let is_own = step.name == case.domain;
        let why = match &step.found {
            Found::Several(texts) => format!("there are {} records, and several count as none", texts.len()),
            Found::Nothing if is_own => match near_miss(case, &at).await {
                Some(text) => format!("it does not begin with \"v=DMARC1;\": {text}"),
                None => continue,
            },
            Found::Record { record, .. } if record.standing == Standing::Void => {
                "there is no valid p=, and no rua=: DMARC does not apply".to_owned()
            }
            Found::Record { record, .. } if record.standing == Standing::AsNone && is_own => {
                "there is no valid p=: it counts as p=none".to_owned()
            }
            Found::Nothing | Found::Record { .. } | Found::Trouble(_) => continue,
        };
        let level = if is_own { Level::Error } else { Level::Warning };
        let text = match &step.found {
            Found::Record { text, .. } => text.as_str(),
            Found::Several(texts) => texts.first().map_or("", String::as_str),
            Found::Nothing | Found::Trouble(_) => "",
        };
        let record = RecordToPublish::txt(&at, better(case, text).to_string());
        let seen = Seen::Dmarc(Dmarc::Invalid { at, why: clipped(&why) });
        outcome.found(Finding::new(level, case.domain, seen).with(record));
    }
}

/// A text at the name that was meant as a record.
async fn near_miss(case: &Case<'_>, at: &str) -> Option<String> {
    let texts = case.dns.txt(at).await.records.ok()?;
    texts.iter().find(|text| text.to_ascii_lowercase().contains("dmarc")).map(|text| clipped(text))
}

/// Which record applies, and why (R1).
fn which(case: &Case<'_>, found: &Discovery, record: &Record, at: &str, outcome: &mut Outcome) {
    let text = clipped(found.text.as_deref().unwrap_or_default());
    let (level, seen) = match found.whence {
        Some(Whence::Own) | None => (Level::Ok, Dmarc::Own { record: text }),
        Some(whence @ (Whence::Organizational | Whence::PublicSuffix)) => {
            let asked = found.steps.iter().map(|step| format!("_dmarc.{}", step.name)).collect();
            let public_suffix = whence == Whence::PublicSuffix;
            let (from, tag) = (at.to_owned(), found.tag.to_owned());
            (Level::Note, Dmarc::Inherited { record: text, from, public_suffix, tag, asked })
        }
    };
    outcome.found(Finding::new(level, case.domain, Seen::Dmarc(seen)));
    let told = found.remarks.iter().filter(|remark| remark.what != RemarkKind::Softened);
    let remarks: Vec<String> = told.take(REMARKS_MAX).map(|remark| clipped(&remark.to_string())).collect();
    if !remarks.is_empty() {
        let better = RecordToPublish::txt(format!("_dmarc.{at}"), better_text(record, found));
        let seen = Seen::Dmarc(Dmarc::Remarks { remarks });
        outcome.found(Finding::new(Level::Note, case.domain, seen).with(better));
    }
}

fn better_text(record: &Record, found: &Discovery) -> String {
    let text = found.text.as_deref().unwrap_or_default();
    generate::upgrade(text, None).map_or_else(|_| record.to_string(), |upgraded| upgraded.record.to_string())
}

fn policies(case: &Case<'_>, found: &Discovery, record: &Record, outcome: &mut Outcome) {
    if !found.applies {
        return;
    }
    let dmarc = |level, seen| Finding::new(level, case.domain, Seen::Dmarc(seen));
    let policy = found.effective;
    let level = match policy {
        _ if record.testing && policy != Policy::None => Level::Note,
        Policy::None => Level::Note,
        Policy::Quarantine | Policy::Reject => Level::Ok,
    };
    let testing = record.testing && policy != Policy::None;
    outcome.found(dmarc(level, Dmarc::Policy { policy: policy.word().into(), testing }));
    if found.whence != Some(Whence::Own) {
        return;
    }
    let Some(own) = record.p else { return };
    for (tag, below) in [("sp", record.sp), ("np", record.np)] {
        if let Some(below) = below.filter(|below| *below < own) {
            let (policy, own) = (below.word().to_owned(), own.word().to_owned());
            let seen = Dmarc::Subdomains { tag: tag.into(), policy, own };
            outcome.found(dmarc(Level::Warning, seen));
        }
    }
}

/// Whether reports come to us, and may (R2).
async fn reports(case: &Case<'_>, record: &Record, at: &str, outcome: &mut Outcome) {
    let places: Vec<String> = record.rua.iter().take(PLACES_MAX).map(|uri| clipped(&uri.uri)).collect();
    let dmarc = |level, seen| Finding::new(level, case.domain, Seen::Dmarc(seen));
    let Some(address) = report_address(case) else {
        outcome.found(dmarc(Level::Note, Dmarc::NoReportAddress { places }));
        return;
    };
    let mut planned = record.clone();
    if record.reports_to(&address) {
        outcome.found(dmarc(Level::Ok, Dmarc::ReportsHere { address: address.to_string() }));
    } else {
        planned.rua.push(ReportUri::mailto(&address));
        let seen = Dmarc::ReportsElsewhere { address: address.to_string(), places };
        let record = RecordToPublish::txt(format!("_dmarc.{at}"), planned.to_string());
        outcome.found(dmarc(Level::Warning, seen).with(record));
    }
    match generate::authorisations(case.dns, at, &planned).await {
        Ok(needed) => {
            for needed in needed {
                let is_ours = needed.address.as_str().eq_ignore_ascii_case(address.as_str());
                let finding = match needed.is_published {
                    Some(true) => dmarc(Level::Ok, Dmarc::Authorised { name: needed.name }),
                    Some(false) => {
                        let record = RecordToPublish::txt(&needed.name, needed.text);
                        let level = if is_ours { Level::Error } else { Level::Warning };
                        let seen = Dmarc::NotAuthorised { name: needed.name, address: needed.address.to_string() };
                        dmarc(level, seen).with(record)
                    }
                    None => {
                        let why = crate::lookup::DnsError::Servfail("no answer".into());
                        outcome.trouble(Area::Dmarc, case.domain, &format!("TXT {}", needed.name), &why);
                        continue;
                    }
                };
                outcome.found(finding);
            }
        }
        Err(why) => outcome.trouble(Area::Dmarc, case.domain, "whose the report addresses are", &why),
    }
}
