//! MTA-STS of the domain as a receiver.
//!
//! In: the domain.  Out: its record, its policy, and whether that allows the domain's MX hosts.
//! Always: the policy host is asked once, at addresses that deliveries would use too.
//! Sources: RFC 8461.

use super::{Case, HOSTS_MAX, Outcome};
use crate::{
    deliver::{
        route::is_public,
        sts_fetch::host_of,
        sts_policy::{StsMode, StsPolicy, record_id},
    },
    doctor::{
        finding::{Area, Finding, Level, RecordToPublish, Seen, Sts, clipped},
        policy::{NoPolicy, Policies},
    },
    lookup::{DnsError, Lookup},
};

/// A policy that is kept for less than a day is gone before the next mail.
const MAX_AGE_GOOD_SECONDS: u64 = 86_400;
/// Texts at the name that are told.
const RECORDS_MAX: usize = 4;

pub(super) async fn check(case: &Case<'_>, policies: &dyn Policies) -> Outcome {
    let mut outcome = Outcome::default();
    let domain = case.domain;
    let found = |level, seen| Finding::new(level, domain, Seen::Sts(seen));
    let name = format!("_mta-sts.{domain}");
    let texts = match case.dns.txt(&name).await.records {
        Ok(texts) => texts,
        Err(why @ (DnsError::Servfail(_) | DnsError::Timeout(_))) => {
            outcome.trouble(Area::Sts, domain, &format!("TXT {name}"), &why);
            return outcome;
        }
        Err(DnsError::NxDomain | DnsError::NoData | DnsError::BadName) => Vec::new(),
    };
    let meant: Vec<&String> = texts.iter().filter(|text| text.to_ascii_lowercase().contains("stsv1")).collect();
    if meant.is_empty() {
        outcome.found(found(Level::Note, Sts::Absent));
        return outcome;
    }
    let Some(id) = record_id(&texts) else {
        let records = meant.iter().take(RECORDS_MAX).map(|text| clipped(text)).collect();
        let record = RecordToPublish::txt(name, "v=STSv1; id=1");
        outcome.found(found(Level::Warning, Sts::BadRecord { records }).with(record));
        return outcome;
    };
    outcome.found(found(Level::Ok, Sts::Record { id: id.to_owned() }));
    let Some(policy) = policy(case, policies, &mut outcome).await else { return outcome };
    let level = match policy.mode {
        StsMode::Enforce => Level::Ok,
        StsMode::Testing => Level::Note,
        StsMode::None => Level::Warning,
    };
    let max_age = policy.max_age.as_secs();
    let mx = policy.mx.iter().map(|mx| clipped(mx)).collect();
    outcome.found(found(level, Sts::Policy { mode: policy.mode.word().into(), mx, max_age }));
    if policy.mode == StsMode::None {
        return outcome;
    }
    if max_age < MAX_AGE_GOOD_SECONDS {
        outcome.found(found(Level::Warning, Sts::ShortLived { max_age }));
    }
    hosts(case, &policy, &mut outcome).await;
    outcome
}

async fn policy(case: &Case<'_>, policies: &dyn Policies, outcome: &mut Outcome) -> Option<StsPolicy> {
    let domain = case.domain;
    let mut wrong = |seen| outcome.found(Finding::new(Level::Error, domain, Seen::Sts(seen)));
    let host = host_of(domain);
    let mut addresses = match case.dns.addresses(&host).await {
        Ok(addresses) => addresses,
        Err(why) if why.is_temporary() => {
            outcome.trouble(Area::Sts, domain, &format!("A/AAAA {host}"), &why);
            return None;
        }
        Err(why) => {
            wrong(Sts::NotFetched { why: format!("{host} has no address: {why}") });
            return None;
        }
    };
    if case.config.delivery.block_private_destinations {
        addresses.retain(|address| is_public(*address));
        if addresses.is_empty() {
            wrong(Sts::NotFetched { why: format!("{host} has only private or reserved addresses, which are refused") });
            return None;
        }
    }
    match policies.fetch(domain, addresses).await {
        Ok(text) => StsPolicy::parse(&text).map_err(|why| wrong(Sts::BadPolicy { why: clipped(&why) })).ok(),
        Err(NoPolicy::Certificate(why)) => {
            wrong(Sts::Certificate { why: clipped(&why) });
            None
        }
        Err(NoPolicy::NotFetched(why)) => {
            wrong(Sts::NotFetched { why: clipped(&why) });
            None
        }
    }
}

async fn hosts(case: &Case<'_>, policy: &StsPolicy, outcome: &mut Outcome) {
    let domain = case.domain;
    let hosts = match case.dns.mx(domain).await.records {
        Ok(mut records) => {
            // Of many, those that mail goes to first.
            records.sort_by_key(|mx| mx.preference);
            records.into_iter().map(|mx| mx.host).filter(|host| !host.is_empty()).collect()
        }
        Err(DnsError::NoData) => vec![domain.to_owned()],
        Err(why @ (DnsError::Servfail(_) | DnsError::Timeout(_))) => {
            outcome.trouble(Area::Sts, domain, &format!("MX {domain}"), &why);
            return;
        }
        Err(DnsError::NxDomain | DnsError::BadName) => Vec::new(),
    };
    let enforced = policy.mode == StsMode::Enforce;
    let mut all = true;
    for host in hosts.into_iter().take(HOSTS_MAX).filter(|host| !policy.allows(host)) {
        all = false;
        let level = if enforced { Level::Error } else { Level::Warning };
        outcome.found(Finding::new(level, domain, Seen::Sts(Sts::HostNotAllowed { host, enforced })));
    }
    if all {
        outcome.found(Finding::new(Level::Ok, domain, Seen::Sts(Sts::HostsAllowed)));
    }
}
