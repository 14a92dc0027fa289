//! The header-From domain as a place that could be answered.
//!
//! In: the domain.  Out: whether it takes mail, and whether its MX hosts are there.
//! Sources: RFC 5321 §5.1, RFC 7505.

use super::{Case, HOSTS_MAX, Outcome};
use crate::{
    doctor::finding::{Area, Domain, Finding, Level, Seen},
    lookup::{DnsError, Lookup},
};

pub(super) async fn check(case: &Case<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let domain = case.domain;
    let found = |level, seen| Finding::new(level, domain, Seen::Domain(seen));
    match case.dns.mx(domain).await.records {
        Ok(records) if records.iter().any(|mx| mx.host.is_empty()) => {
            // Where bounces go elsewhere, the header's domain is only answered by people.
            let level = if case.rewrites { Level::Warning } else { Level::Error };
            outcome.found(found(level, Domain::NullMx));
        }
        Ok(mut records) => {
            records.sort_by_key(|mx| mx.preference);
            let hosts: Vec<String> = records.into_iter().take(HOSTS_MAX).map(|mx| mx.host).collect();
            for host in &hosts {
                match case.dns.addresses(host).await {
                    Ok(_) => {}
                    Err(error) if error.is_temporary() => {
                        outcome.trouble(Area::Domain, domain, &format!("A/AAAA {host}"), &error);
                    }
                    Err(_) => outcome.found(found(Level::Warning, Domain::DeadHost { host: host.clone() })),
                }
            }
            outcome.found(found(Level::Ok, Domain::Mx { hosts }));
        }
        Err(error @ (DnsError::Servfail(_) | DnsError::Timeout(_))) => {
            outcome.trouble(Area::Domain, domain, &format!("MX {domain}"), &error);
        }
        Err(DnsError::NxDomain | DnsError::BadName) => outcome.found(found(Level::Error, Domain::Unknown)),
        Err(DnsError::NoData) => match case.dns.addresses(domain).await {
            Ok(_) => outcome.found(found(Level::Ok, Domain::AddressOnly)),
            Err(error) if error.is_temporary() => {
                outcome.trouble(Area::Domain, domain, &format!("A/AAAA {domain}"), &error);
            }
            Err(_) => outcome.found(found(Level::Error, Domain::Unreachable)),
        },
    }
    outcome
}
