//! TLS reports and DANE of the domain as a receiver.
//!
//! In: the domain, its MX hosts.  Out: where reports go; whether senders may use TLSA records.
//! Always: a TLSA record counts only where the answers for the MX and for it are proven by DNSSEC; hosts are not connected to.
//! Sources: RFC 8460 §3, RFC 7672 §2.

use super::{Case, HOSTS_MAX, Outcome};
use crate::{
    doctor::finding::{Area, Dane, Finding, Level, RecordToPublish, Seen, TlsRpt, clipped},
    lookup::{DnsError, Lookup},
    net::tls::usable,
    tls_report::record,
};

/// Texts at the name that are told.
const RECORDS_MAX: usize = 4;

pub(super) async fn tls_rpt(case: &Case<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let domain = case.domain;
    let found = |level, seen| Finding::new(level, domain, Seen::TlsRpt(seen));
    let name = record::name(domain);
    let texts = match case.dns.txt(&name).await.records {
        Ok(texts) => texts,
        Err(why @ (DnsError::Servfail(_) | DnsError::Timeout(_))) => {
            outcome.trouble(Area::TlsRpt, domain, &format!("TXT {name}"), &why);
            return outcome;
        }
        Err(DnsError::NxDomain | DnsError::NoData | DnsError::BadName) => Vec::new(),
    };
    let meant: Vec<&String> = texts.iter().filter(|text| text.to_ascii_lowercase().contains("tlsrpt")).collect();
    outcome.found(match record::wanted(&texts) {
        Some(wanted) => {
            let places = wanted.0.iter().map(|place| clipped(&place.to_string())).collect();
            found(Level::Ok, TlsRpt::Found { places })
        }
        None if meant.is_empty() => {
            let finding = found(Level::Note, TlsRpt::Absent);
            proposed(case).into_iter().fold(finding, Finding::with)
        }
        None => {
            let records = meant.iter().take(RECORDS_MAX).map(|text| clipped(text)).collect();
            let finding = found(Level::Warning, TlsRpt::Bad { records });
            proposed(case).into_iter().fold(finding, Finding::with)
        }
    });
    outcome
}

/// The record with our address, where we have one.
pub(in crate::doctor) fn proposed(case: &Case<'_>) -> Option<RecordToPublish> {
    let address = &case.config.tls_report.address;
    let text = format!("v=TLSRPTv1; rua=mailto:{address}");
    (!address.is_empty()).then(|| RecordToPublish::txt(record::name(case.domain), text))
}

pub(super) async fn dane(case: &Case<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let domain = case.domain;
    let answer = case.dns.mx(domain).await;
    let mut records = match answer.records {
        Ok(records) => records,
        Err(why @ (DnsError::Servfail(_) | DnsError::Timeout(_))) => {
            outcome.trouble(Area::Dane, domain, &format!("MX {domain}"), &why);
            return outcome;
        }
        // It receives nothing, or under its own name, where nobody looks for TLSA records of senders to it.
        Err(DnsError::NxDomain | DnsError::NoData | DnsError::BadName) => return outcome,
    };
    records.retain(|mx| !mx.host.is_empty());
    if records.is_empty() {
        return outcome;
    }
    let (level, seen) = if answer.secure { (Level::Ok, Dane::MxSecure) } else { (Level::Note, Dane::MxNotSecure) };
    outcome.found(Finding::new(level, domain, Seen::Dane(seen)));
    records.sort_by_key(|mx| mx.preference);
    for mx in records.into_iter().take(HOSTS_MAX) {
        let name = format!("_25._tcp.{}", mx.host);
        let answer = case.dns.tlsa(&name).await;
        let (level, seen) = match answer.records {
            Ok(found) => {
                let (count, good) = (found.len(), usable(&found).len());
                match (answer.secure, good) {
                    (false, _) => (Level::Warning, Dane::NotSecure { count }),
                    (true, 0) => (Level::Warning, Dane::Unusable { count }),
                    (true, usable) => (Level::Ok, Dane::Found { usable, count }),
                }
            }
            Err(why @ (DnsError::Servfail(_) | DnsError::Timeout(_))) => {
                outcome.trouble(Area::Dane, &mx.host, &format!("TLSA {name}"), &why);
                continue;
            }
            Err(DnsError::NxDomain | DnsError::NoData | DnsError::BadName) => (Level::Note, Dane::Absent),
        };
        outcome.found(Finding::new(level, &mx.host, Seen::Dane(seen)));
    }
    outcome
}
