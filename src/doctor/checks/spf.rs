//! SPF of the header-From domain and of the domain that our mail leaves with.
//!
//! In: both domains, our addresses.  Out: whether there is one good record, what it costs, whether our addresses pass, and the
//! record to publish.
//! Always: whether an address passes is asked of the same code that judges mail that comes in; a proposed record keeps what the
//! published one has.
//! Sources: RFC 7208; R10.

use super::{Case, Outcome, all};
use crate::{
    doctor::{
        finding::{Area, Finding, Level, RecordToPublish, Seen, Spent, Spf, clipped},
        ours::Own,
    },
    lookup::Lookup,
    smtp::address::Mailbox,
    spf::{
        self, FaultKind, LOOKUPS_MAX, Query, SpfResult, VOID_LOOKUPS_MAX, Walk,
        record::{Qualifier, RECORD_OCTETS_MAX},
    },
};

/// Terms that are named as costly.
const SPENT_MAX: usize = 12;
/// Findings beside which the record that heals them all is told.
const RECORD_TOLD_MAX: usize = 4;
/// Look-ups that leave little room.
const LOOKUPS_MANY: usize = LOOKUPS_MAX - 1;
/// Texts at a name that are told.
const NEIGHBOURS_MAX: usize = 4;

pub(super) async fn check(case: &Case<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    outcome.known.spf = one(case, &case.envelope, true, &mut outcome).await;
    if case.envelope != case.domain {
        one(case, case.domain, false, &mut outcome).await;
    }
    outcome
}

/// One domain; whether all our addresses pass. What nobody's mail leaves with is not worth an error.
async fn one(case: &Case<'_>, domain: &str, decides: bool, outcome: &mut Outcome) -> Option<bool> {
    let found = |level, seen| Finding::new(level, domain, Seen::Spf(seen));
    let bad = if decides { Level::Error } else { Level::Warning };
    let walk = spf::walk(case.dns, domain).await;
    let own = walk.records.first().filter(|reached| reached.by.is_empty());
    let several = fault(&walk, |kind| matches!(kind, FaultKind::SeveralRecords(_)), Some(domain));
    if let (Some(trouble), None) = (&walk.trouble, own) {
        outcome.trouble(Area::Spf, domain, &format!("TXT {domain}"), trouble);
        return None;
    }
    let wanted = mechanisms(case);
    if several.is_some() {
        let records = texts(case, domain, spf::record::is_record).await;
        let merged = merged(&records, &wanted);
        let finding = found(bad, Spf::Several { records: shown(&records) });
        // What is too long to be read is no cure.
        let record = (merged.len() <= RECORD_OCTETS_MAX).then(|| RecordToPublish::txt(domain, merged));
        outcome.found(record.into_iter().fold(finding, Finding::with));
        return Some(false);
    }
    let Some(own) = own else {
        let looks_alike = |text: &str| {
            let text = text.to_ascii_lowercase();
            text.contains("spf1") || text.contains("v=spf") || text.contains("spf2.0/")
        };
        let neighbours = shown(&texts(case, domain, looks_alike).await);
        outcome.found(found(bad, Spf::Missing { neighbours }).with(fresh(case, domain, &wanted)));
        return Some(false);
    };
    outcome.found(found(Level::Ok, Spf::Found { record: clipped(&own.text) }));
    validity(&walk, &own.text, domain, bad, outcome);
    costs(&walk, domain, bad, outcome);
    ending(&walk, domain, bad, outcome);
    passes(case, domain, &own.text, bad, outcome).await
}

fn fault<'w>(walk: &'w Walk, of: impl Fn(&FaultKind) -> bool, domain: Option<&str>) -> Option<&'w spf::Fault> {
    walk.faults.iter().find(|fault| of(&fault.kind) && domain.is_none_or(|domain| fault.domain == domain))
}

/// Texts at the name, those of a kind, as they are.
async fn texts(case: &Case<'_>, domain: &str, of: impl Fn(&str) -> bool) -> Vec<String> {
    let texts = case.dns.txt(domain).await.records.unwrap_or_default();
    texts.into_iter().filter(|text| of(text)).collect()
}

/// A few of them, as they are told and kept.
fn shown(texts: &[String]) -> Vec<String> {
    texts.iter().take(NEIGHBOURS_MAX).map(|text| clipped(text)).collect()
}

fn validity(walk: &Walk, text: &str, domain: &str, bad: Level, outcome: &mut Outcome) {
    // Limits are told by themselves, with where the look-ups go.
    let is_limit = |kind: &FaultKind| matches!(kind, FaultKind::TooManyLookups(_) | FaultKind::TooManyVoidLookups(_));
    let broken: Vec<String> = walk
        .faults
        .iter()
        .filter(|fault| fault.kind.breaks() && !is_limit(&fault.kind))
        .map(ToString::to_string)
        .collect();
    let seen = |level, seen| Finding::new(level, domain, Seen::Spf(seen));
    if !broken.is_empty() {
        let why = clipped(&broken.join(" "));
        outcome.found(seen(bad, Spf::Invalid { record: clipped(text), why }));
    } else if let Some(trouble) = &walk.trouble {
        outcome.trouble(Area::Spf, domain, &format!("what the SPF record of {domain} reaches"), trouble);
    } else {
        outcome.found(seen(Level::Ok, Spf::Valid));
    }
    if fault(walk, |kind| matches!(kind, FaultKind::Ptr), None).is_some() {
        outcome.found(seen(Level::Warning, Spf::Ptr));
    }
}

fn costs(walk: &Walk, domain: &str, bad: Level, outcome: &mut Outcome) {
    let level = match walk.lookups {
        n if n > LOOKUPS_MAX => bad,
        n if n >= LOOKUPS_MANY => Level::Warning,
        // What was not reached may cost more.
        _ if walk.trouble.is_some() => return,
        _ => Level::Ok,
    };
    let own = walk.spent.iter().filter(|spent| spent.domain == domain);
    let mut spent: Vec<Spent> = own.map(|spent| Spent { term: clipped(&spent.term), lookups: spent.lookups }).collect();
    spent.sort_by_key(|spent| std::cmp::Reverse(spent.lookups));
    spent.truncate(SPENT_MAX);
    outcome.found(Finding::new(level, domain, Seen::Spf(Spf::Lookups { lookups: walk.lookups, spent })));
    let void = walk.void_lookups;
    let level = match void {
        0 => return,
        n if n > VOID_LOOKUPS_MAX => bad,
        _ => Level::Note,
    };
    outcome.found(Finding::new(level, domain, Seen::Spf(Spf::Void { void })));
}

fn ending(walk: &Walk, domain: &str, bad: Level, outcome: &mut Outcome) {
    if walk.trouble.is_some() && walk.all.is_none() {
        return;
    }
    let everybody = fault(walk, |kind| matches!(kind, FaultKind::EverybodyMay), None).is_some();
    let (level, seen) = match walk.all {
        _ if everybody => (bad, Spf::Everybody),
        Some(Qualifier::Pass) => (bad, Spf::Everybody),
        Some(Qualifier::Fail) => (Level::Ok, Spf::Closed { all: "-all".into() }),
        Some(Qualifier::SoftFail) => (Level::Ok, Spf::Closed { all: "~all".into() }),
        Some(Qualifier::Neutral) => (Level::Warning, Spf::Open { all: "?all".into() }),
        None => (Level::Warning, Spf::Open { all: String::new() }),
    };
    outcome.found(Finding::new(level, domain, Seen::Spf(seen)));
}

async fn passes(case: &Case<'_>, domain: &str, text: &str, bad: Level, outcome: &mut Outcome) -> Option<bool> {
    if !case.ours.are_known() {
        let (level, seen) = match &case.ours.smarthost {
            Some(host) => (Level::Note, Spf::Smarthost { host: host.clone() }),
            None => (Level::Note, Spf::NoAddress),
        };
        outcome.found(Finding::new(level, domain, Seen::Spf(seen)));
        return None;
    }
    let (mut answers, mut failed) = (Vec::new(), Vec::new());
    for own in &case.ours.seen {
        let result = result(case, domain, own).await?;
        let subject = format!("{domain} {}", own.address);
        let address = own.address;
        match result.result {
            SpfResult::Pass => {
                answers.push(Some(true));
                let seen = Spf::Passes { address, matched: clipped(&result.matched) };
                outcome.found(Finding::new(Level::Ok, subject, Seen::Spf(seen)));
            }
            SpfResult::TempError => {
                answers.push(None);
                let why = crate::lookup::DnsError::Servfail(result.why);
                outcome.trouble(Area::Spf, &subject, &format!("SPF of {domain} for {address}"), &why);
            }
            SpfResult::Fail | SpfResult::SoftFail | SpfResult::Neutral | SpfResult::None | SpfResult::PermError => {
                answers.push(Some(false));
                failed.push(mechanism(address));
                let (mechanism, matched) = (mechanism(address), clipped(&result.matched));
                let seen = Spf::Fails { address, result: result.result.word().into(), matched, mechanism };
                outcome.found(Finding::new(bad, subject, Seen::Spf(seen)));
            }
        }
    }
    // The record that all of them pass; long ones many times would not fit what is kept of a report.
    let record = RecordToPublish::txt(domain, with_mechanisms(text, &failed));
    let unproven = outcome.findings.iter_mut().filter(|f| matches!(&f.seen, Seen::Spf(Spf::Fails { .. })));
    let ours = unproven.filter(|f| f.subject.starts_with(&format!("{domain} ")) && f.records.is_empty());
    ours.take(RECORD_TOLD_MAX).for_each(|finding| finding.records.push(record.clone()));
    all(answers)
}

/// What receivers find for mail of the domain from one of our addresses; `None`: the domain can have no address.
async fn result(case: &Case<'_>, domain: &str, own: &Own) -> Option<spf::Outcome> {
    let sender = Mailbox::parse(&format!("postmaster@{domain}")).ok()?;
    let helo = if own.hello.is_empty() { &case.config.server.hostname } else { &own.hello };
    Some(spf::check(case.dns, Query { ip: own.address, helo, sender: Some(&sender) }).await)
}

/// The mechanism that names an address.
fn mechanism(address: std::net::IpAddr) -> String {
    if address.is_ipv4() { format!("ip4:{address}") } else { format!("ip6:{address}") }
}

/// The record that the domain should have: the published one with those of our addresses that do not pass by it, or a new one.
pub(in crate::doctor) async fn wanted(case: &Case<'_>, domain: &str) -> RecordToPublish {
    let all = mechanisms(case);
    let records = texts(case, domain, spf::record::is_record).await;
    let text = match records.as_slice() {
        [] => return fresh(case, domain, &all),
        [one] if spf::record::parse(one).is_ok() => one,
        _ => return RecordToPublish::txt(domain, merged(&records, &all)),
    };
    let mut missing = Vec::new();
    for own in &case.ours.seen {
        let result = result(case, domain, own).await.map(|result| result.result);
        if !matches!(result, Some(SpfResult::Pass | SpfResult::TempError)) {
            missing.push(mechanism(own.address));
        }
    }
    let text = if missing.is_empty() { text.clone() } else { with_mechanisms(text, &missing) };
    RecordToPublish::txt(domain, text)
}

/// Of all our addresses.
fn mechanisms(case: &Case<'_>) -> Vec<String> {
    case.ours.seen.iter().map(|own| mechanism(own.address)).collect()
}

/// A record where there is none: a return domain is ours alone, behind a header's domain others may send.
fn fresh(case: &Case<'_>, domain: &str, wanted: &[String]) -> RecordToPublish {
    let all = if case.rewrites && domain == case.envelope { "-all" } else { "~all" };
    let mut terms = vec!["v=spf1"];
    terms.extend(wanted.iter().map(String::as_str));
    terms.push(all);
    RecordToPublish::txt(domain, terms.join(" "))
}

/// The record with these mechanisms in front of what ends it.
fn with_mechanisms(text: &str, wanted: &[String]) -> String {
    let mut terms: Vec<&str> = text.split_ascii_whitespace().collect();
    let missing: Vec<&str> =
        wanted.iter().map(String::as_str).filter(|w| !terms.iter().any(|t| t.eq_ignore_ascii_case(w))).collect();
    // In front of everything: what stands before it may match first, and say no.
    let at = 1.min(terms.len());
    terms.splice(at..at, missing);
    terms.join(" ")
}

/// One record of several: the terms of all, each once, and the strictest that was said of others.
fn merged(records: &[String], wanted: &[String]) -> String {
    let (mut terms, mut all): (Vec<String>, &str) = (wanted.to_vec(), "~all");
    let mut add = |term: String| {
        if !terms.iter().any(|known| known.eq_ignore_ascii_case(&term)) {
            terms.push(term);
        }
    };
    for term in records.iter().flat_map(|record| record.split_ascii_whitespace().skip(1)) {
        match term.to_ascii_lowercase().as_str() {
            "-all" => all = "-all",
            "all" | "+all" | "~all" | "?all" => {}
            // In a record that goes on, the other's whole is an include.
            lower if lower.starts_with("redirect=") => add(format!("include:{}", &term["redirect=".len()..])),
            _ => add(term.to_owned()),
        }
    }
    format!("v=spf1 {} {all}", terms.join(" ")).replace("  ", " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposed_record_keeps_what_is_there() {
        let ours = ["ip4:192.0.2.1".to_owned(), "ip6:2001:db8::1".to_owned()];
        for (text, want) in [
            ("v=spf1 -all", "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all"),
            (
                "v=spf1 include:_spf.x.test IP4:192.0.2.1 ~all",
                "v=spf1 ip6:2001:db8::1 include:_spf.x.test IP4:192.0.2.1 ~all",
            ),
            ("v=spf1 redirect=x.test", "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 redirect=x.test"),
        ] {
            assert_eq!(with_mechanisms(text, &ours), want);
            assert!(spf::record::parse(want).is_ok());
        }
        let several = ["v=spf1 include:a.test mx ~all".to_owned(), "v=spf1 MX redirect=b.test".to_owned()];
        let one = merged(&several, &ours[..1]);
        assert_eq!(one, "v=spf1 ip4:192.0.2.1 include:a.test mx include:b.test ~all");
        assert_eq!(merged(&["v=spf1 -all".to_owned()], &[]), "v=spf1 -all");
        let twice = ["v=spf1 include:b.test redirect=b.test".to_owned(), "v=spf1 redirect=B.test".to_owned()];
        assert_eq!(merged(&twice, &[]), "v=spf1 include:b.test ~all", "an include stands there once");
    }
}
