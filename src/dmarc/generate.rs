//! Writes DMARC records: a new one from what is wanted, or a better one from an old one, and says what each tag means.
//!
//! In: what is wanted, or an old record; our report address.  Out: a [`Record`] that RFC 9989 has, what was changed and why, and
//! what must be published beside it.
//! Always: what is written can be read again and says the same; reports that somebody asked for are still asked for; nothing gets
//! stricter than it was.
//! Sources: RFC 9989 §4.7 and appendix A.6, RFC 9990 §4 (external destinations), RFC 7489 §6.3 and §7.1; PRODUCT.md R1, R2.

mod words;

use super::{
    record::{FailureOptions, Mode, Policy, Psd, Record, RecordFault, Remark, RemarkKind, ReportUri},
    tree_walk::{self, Planned},
};
use crate::{
    lookup::{DnsError, Lookup},
    smtp::address::Mailbox,
};

pub use self::words::{Explained, explain};
pub use crate::language::Language;

/// What a record is to say. The default is a record that only asks what others see.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// For the domain.
    pub p: Policy,
    /// For subdomains that exist; `None`: the same.
    pub sp: Option<Policy>,
    /// For subdomains that do not; `None`: as for those that do.
    pub np: Option<Policy>,
    /// Alignment of DKIM.
    pub adkim: Mode,
    /// Alignment of SPF.
    pub aspf: Mode,
    /// The policies are tested.
    pub testing: bool,
    /// Whether this is where the organization ends.
    pub psd: Psd,
    /// Where aggregate reports go: ours, and others.
    pub rua: Vec<Mailbox>,
    /// Where failure reports go.
    pub ruf: Vec<Mailbox>,
    /// When failure reports are wanted.
    pub fo: FailureOptions,
}

/// Makes the record. A policy for subdomains that says what holds anyway is left out.
pub fn build(wanted: &Wanted) -> Record {
    let mut record = Record {
        p: Some(wanted.p),
        sp: wanted.sp.filter(|sp| *sp != wanted.p),
        adkim: wanted.adkim,
        aspf: wanted.aspf,
        testing: wanted.testing && [Some(wanted.p), wanted.sp, wanted.np].iter().flatten().any(|p| *p != Policy::None),
        psd: wanted.psd,
        fo: if wanted.ruf.is_empty() { FailureOptions::default() } else { wanted.fo },
        ..Record::default()
    };
    record.np = wanted.np.filter(|np| *np != record.sp.unwrap_or(wanted.p));
    wanted.rua.iter().for_each(|address| add(&mut record.rua, address));
    wanted.ruf.iter().for_each(|address| add(&mut record.ruf, address));
    record
}

/// Adds an address to a list, once.
fn add(uris: &mut Vec<ReportUri>, address: &Mailbox) {
    let is_known =
        uris.iter().filter_map(ReportUri::address).any(|a| a.as_str().eq_ignore_ascii_case(address.as_str()));
    if !is_known {
        uris.push(ReportUri::mailto(address));
    }
}

/// What was changed in an old record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changed {
    /// The tag, as it was written; may be empty.
    pub tag: String,
    /// Its value, or the part of it.
    pub value: String,
    /// What became of it.
    pub what: Change,
}

/// What can become of a tag.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Change {
    /// `pct` under 100 became `t=y`.
    PercentToTest,
    /// `pct` left: it says nothing.
    PercentDropped,
    /// `rf` or `ri` left.
    HistoricDropped,
    /// A tag that nobody knows left.
    UnknownDropped,
    /// A broken value, or a part without a tag, left.
    BrokenDropped,
    /// A second of a kind left.
    SecondDropped,
    /// The size behind a URI left.
    SizeDropped,
    /// It is written in small letters now.
    SmallLetters,
    /// `p=none` was added: it held already.
    PolicyAdded,
    /// `fo` left: without `ruf` it says nothing.
    FoDropped,
    /// Our report address was added (R2).
    OursAdded,
}

/// An old record, made better.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upgraded {
    /// The new record.
    pub record: Record,
    /// What was changed.
    pub changes: Vec<Changed>,
}

impl Upgraded {
    /// Adds one more address for aggregate reports, once.
    pub fn add_report_address(&mut self, address: &Mailbox) {
        add(&mut self.record.rua, address);
    }
}

/// Makes an old record better, and has it name our report address.
///
/// # Errors
/// It is no DMARC record.
pub fn upgrade(old: &str, ours: Option<&Mailbox>) -> Result<Upgraded, RecordFault> {
    let (was, remarks) = Record::parse(old)?;
    let mut changes: Vec<Changed> = remarks.iter().filter_map(|remark| changed(remark, &was)).collect();
    let mut record = Record {
        pct: None,
        rf: None,
        ri: None,
        unknown: Vec::new(),
        standing: super::record::Standing::AsWritten,
        ..was.clone()
    };
    for uri in record.rua.iter_mut().chain(&mut record.ruf) {
        uri.octets_max = None;
    }
    // A record whose policies do not count asks for nothing: the new one says so.
    if was.standing != super::record::Standing::AsWritten {
        (record.p, record.sp, record.np) = (Some(Policy::None), None, None);
        changes.retain(|change| change.what != Change::PolicyAdded);
        changes.push(Changed { tag: "p".into(), value: "none".into(), what: Change::PolicyAdded });
    }
    let enforces = [record.p, record.sp, record.np].into_iter().flatten().any(|p| p != Policy::None);
    if was.pct.is_some_and(|percent| percent < 100) && enforces {
        record.testing = true;
    }
    if record.ruf.is_empty() {
        record.fo = FailureOptions::default();
    }
    if let Some(ours) = ours
        && !record.reports_to(ours)
    {
        add(&mut record.rua, ours);
        changes.push(Changed { tag: "rua".into(), value: format!("mailto:{ours}"), what: Change::OursAdded });
    }
    Ok(Upgraded { record, changes })
}

fn changed(remark: &Remark, was: &Record) -> Option<Changed> {
    let enforces = [was.p, was.sp, was.np].into_iter().flatten().any(|p| p != Policy::None);
    let what = match remark.what {
        RemarkKind::Historic if remark.tag == "pct" => match was.pct {
            Some(percent) if percent < 100 && enforces => Change::PercentToTest,
            Some(_) | None => Change::PercentDropped,
        },
        RemarkKind::Historic => Change::HistoricDropped,
        RemarkKind::Unknown => Change::UnknownDropped,
        RemarkKind::BadValue | RemarkKind::NoTag | RemarkKind::TooMany => Change::BrokenDropped,
        RemarkKind::Twice => Change::SecondDropped,
        RemarkKind::Size => Change::SizeDropped,
        RemarkKind::Capitals => Change::SmallLetters,
        RemarkKind::NoPolicy => Change::PolicyAdded,
        RemarkKind::FoWithoutRuf => Change::FoDropped,
        RemarkKind::NotMail | RemarkKind::Softened => return None,
    };
    Some(Changed { tag: remark.tag.clone(), value: remark.value.clone(), what })
}

/// A record that lets reports about a domain go to an address elsewhere (RFC 9990 §4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authorisation {
    /// The address.
    pub address: Mailbox,
    /// Its name: `DOMAIN._report._dmarc.HOST`.
    pub name: String,
    /// Its text.
    pub text: &'static str,
    /// It is there; `None`: the DNS did not say.
    pub is_published: Option<bool>,
}

/// What authorises reports elsewhere.
pub const AUTHORISATION_TEXT: &str = "v=DMARC1;";

/// The name at which a host allows that reports about a domain come to it.
pub fn authorisation_name(domain: &str, host: &str) -> String {
    format!("{domain}._report._dmarc.{host}")
}

/// The host allows it: a record is at that name, whatever else it says; `None`: the DNS did not say.
pub async fn is_authorised(dns: &dyn Lookup, name: &str) -> Option<bool> {
    match dns.txt(name).await.records {
        Ok(texts) => Some(texts.iter().any(|text| super::record::is_record(text))),
        Err(DnsError::NxDomain | DnsError::NoData | DnsError::BadName) => Some(false),
        Err(DnsError::Servfail(_) | DnsError::Timeout(_)) => None,
    }
}

/// What must be published for the report addresses of a record at `domain` that belong to another organization.
///
/// # Errors
/// The DNS did not say whether they do.
pub async fn authorisations(dns: &dyn Lookup, domain: &str, record: &Record) -> Result<Vec<Authorisation>, DnsError> {
    let domain = tree_walk::normal(domain).ok_or(DnsError::BadName)?;
    let text = record.to_string();
    let planned = Some(Planned { domain: &domain, text: &text });
    let own = tree_walk::organizational_domain_with(dns, &domain, planned).await?;
    let mut found: Vec<Authorisation> = Vec::new();
    for address in record.rua.iter().chain(&record.ruf).filter_map(ReportUri::address) {
        let Some(host) = tree_walk::normal(address.domain()) else { continue };
        let name = authorisation_name(&domain, &host);
        if found.iter().any(|known| known.name == name)
            || tree_walk::organizational_domain_with(dns, &host, planned).await? == own
        {
            continue;
        }
        let is_published = is_authorised(dns, &name).await;
        found.push(Authorisation { address, name, text: AUTHORISATION_TEXT, is_published });
    }
    Ok(found)
}

#[cfg(test)]
#[path = "generate/tests.rs"]
mod tests;
