//! What comes back: whether bounces, reports, complaints and unsubscriptions find their way here.
//!
//! In: the return domain (R3), the addresses of `[bounce]`, `[tls_report]` and `[unsubscribe]`, our listeners.  Out: where each leads.
//! Always: where our addresses are not known, nothing is called wrong.
//! Sources: RFC 5321 §5.1; R2, R3.

use std::net::IpAddr;

use super::{Case, HOSTS_MAX, Outcome};
use crate::{
    config::{Role, inbound::alike},
    doctor::finding::{Area, Finding, Inlet, InletUse, Level, RecordKind, RecordToPublish, Seen},
    lookup::{DnsError, Lookup},
};

/// Where a name leads.
enum Leads {
    Here,
    Elsewhere(Vec<String>),
    Nowhere,
    Unknown { asked: String, why: DnsError },
}

pub(super) async fn check(case: &Case<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let config = case.config;
    let mut inlets: Vec<(InletUse, String)> = Vec::new();
    if case.rewrites {
        inlets.push((InletUse::Bounces, case.envelope.clone()));
    } else {
        outcome.found(Finding::new(Level::Note, case.domain, Seen::Inlet(Inlet::SendersOwn)));
    }
    for (by, address) in [
        (InletUse::DmarcReports, &config.bounce.report_address),
        (InletUse::Complaints, &config.bounce.complaint_address),
        (InletUse::TlsReports, &config.tls_report.address),
    ] {
        if let Some((_, domain)) = address.rsplit_once('@') {
            inlets.push((by, domain.to_ascii_lowercase()));
        }
    }
    for (by, domain) in &inlets {
        mail(case, *by, domain, &mut outcome).await;
    }
    if !inlets.is_empty() {
        let taken = config.listeners.iter().any(|listener| listener.role == Role::Inbound);
        let (level, seen) = if taken { (Level::Ok, Inlet::Listener) } else { (Level::Error, Inlet::NoListener) };
        outcome.found(Finding::new(level, &config.server.hostname, Seen::Inlet(seen)));
    }
    if config.unsubscribe.address.is_some()
        && let Some(host) = url_host(&config.unsubscribe.public_url)
    {
        page(case, host, &mut outcome).await;
    }
    outcome
}

/// A domain to which mail comes.
async fn mail(case: &Case<'_>, by: InletUse, domain: &str, outcome: &mut Outcome) {
    let hosts = match case.dns.mx(domain).await.records {
        Ok(mut records) => {
            records.sort_by_key(|mx| mx.preference);
            records.into_iter().take(HOSTS_MAX).map(|mx| mx.host).filter(|host| !host.is_empty()).collect()
        }
        // Without MX records the domain itself is the host.
        Err(DnsError::NoData) => vec![domain.to_owned()],
        Err(DnsError::NxDomain | DnsError::BadName) => Vec::new(),
        Err(why @ (DnsError::Servfail(_) | DnsError::Timeout(_))) => {
            outcome.trouble(Area::Inlet, domain, &format!("MX {domain}"), &why);
            return;
        }
    };
    let record = RecordToPublish::new(domain, RecordKind::Mx, format!("10 {}.", case.config.server.hostname));
    let level = if by == InletUse::Bounces { Level::Error } else { Level::Warning };
    told(case, by, domain, leads(case, hosts).await, level, Some(record), outcome);
}

/// The host of the unsubscribe page. A proxy before it is nothing wrong.
async fn page(case: &Case<'_>, host: &str, outcome: &mut Outcome) {
    if host.parse::<IpAddr>().is_ok() {
        return;
    }
    let leads = match leads(case, vec![host.to_owned()]).await {
        Leads::Elsewhere(hosts) => {
            let seen = Inlet::Elsewhere { by: InletUse::Unsubscribes, hosts };
            outcome.found(Finding::new(Level::Note, host, Seen::Inlet(seen)));
            return;
        }
        leads => leads,
    };
    told(case, InletUse::Unsubscribes, host, leads, Level::Error, None, outcome);
}

fn told(
    case: &Case<'_>,
    by: InletUse,
    subject: &str,
    leads: Leads,
    level: Level,
    record: Option<RecordToPublish>,
    outcome: &mut Outcome,
) {
    let found = |level, seen| Finding::new(level, subject, Seen::Inlet(seen));
    let mut wrong = match leads {
        Leads::Here => return outcome.found(found(Level::Ok, Inlet::Here { by })),
        Leads::Unknown { asked, why } => return outcome.trouble(Area::Inlet, subject, &asked, &why),
        Leads::Elsewhere(hosts) if !case.ours.are_known() => {
            return outcome.found(found(Level::Note, Inlet::Somewhere { by, hosts }));
        }
        Leads::Elsewhere(hosts) => found(level, Inlet::Elsewhere { by, hosts }),
        Leads::Nowhere => found(level, Inlet::Nowhere { by }),
    };
    wrong.records.extend(record);
    outcome.found(wrong);
}

/// Where these hosts lead; the first that leads here decides.
async fn leads(case: &Case<'_>, hosts: Vec<String>) -> Leads {
    let config = case.config;
    let listening = config.listeners.iter().map(|listener| listener.address.ip());
    let here: Vec<IpAddr> = case
        .ours
        .addresses()
        .into_iter()
        .chain(listening.filter(|a| !a.is_unspecified() && !a.is_loopback()))
        .collect();
    let names = config.delivery.sources.iter().map(|source| source.hostname.as_str());
    let names: Vec<&str> = names.chain([config.server.hostname.as_str()]).filter(|name| !name.is_empty()).collect();
    let (mut elsewhere, mut dark) = (Vec::new(), None);
    for host in hosts {
        match case.dns.addresses(&host).await {
            // Our own name leads here wherever it does: a NAT, a balancer.
            Ok(found) if found.iter().any(|a| here.contains(a)) || names.iter().any(|n| alike(n, &host)) => {
                return Leads::Here;
            }
            Ok(_) => elsewhere.push(host),
            Err(why) if why.is_temporary() => dark = Some((host, why)),
            Err(_) => {}
        }
    }
    match (elsewhere.is_empty(), dark) {
        (_, Some((host, why))) => Leads::Unknown { asked: format!("A/AAAA {host}"), why },
        (true, None) => Leads::Nowhere,
        (false, None) => Leads::Elsewhere(elsewhere),
    }
}

/// The host of an `https://` URL.
fn url_host(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map(|(_, rest)| rest)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url() {
        for (url, host) in [
            ("https://mail.example.jp", Some("mail.example.jp")),
            ("https://mail.example.jp:8443/u", Some("mail.example.jp")),
            ("https://[2001:db8::1]:8443/u", Some("2001:db8::1")),
            ("mail.example.jp", None),
            ("https://", None),
        ] {
            assert_eq!(url_host(url), host, "{url}");
        }
    }
}
