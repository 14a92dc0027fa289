//! All records that a sending domain should have.
//!
//! In: a `Case`.  Out: [`Records`]: each with what it is for, whether it is published already, and in whose zone it belongs.
//! Always: what is published and good stays as it is; a record is made better, never replaced by a poorer one; where the DNS did not
//! answer, the record says so instead of standing for what is there.
//! Sources: issue 6 part 3; R1, R2, R3.

pub use super::finding::{Published, Purpose, Records, Wanted};
use super::{
    checks::{Case, dmarc, receiving, spf},
    finding::{RecordKind, RecordToPublish},
};
use crate::{
    deliver::sts_policy::record_id,
    dkim::record::name,
    dmarc::{
        generate,
        tree_walk::{Discovery, Whence, discover},
    },
    lookup::{DnsError, Lookup, is_below},
};

/// Records of one domain at most.
const RECORDS_MAX: usize = 200;

/// Gathers them.
pub(super) async fn of(case: &Case<'_>) -> Records {
    let found = discover(case.dns, case.domain).await;
    let mut gathering = Gathering { case, zone: zone_of(case, &found), wanted: Vec::new() };
    gathering.sending().await;
    gathering.keys().await;
    gathering.policy(&found).await;
    gathering.receiving().await;
    gathering.addresses().await;
    Records { domain: case.domain.to_owned(), wanted: gathering.wanted }
}

/// The zone that is taken to be the domain's own: that of its organization.
fn zone_of(case: &Case<'_>, found: &Discovery) -> String {
    let known = found.organization_is_known() && found.whence != Some(Whence::PublicSuffix);
    if known { found.organizational_domain.clone() } else { case.domain.to_owned() }
}

struct Gathering<'g, 'c> {
    case: &'g Case<'c>,
    zone: String,
    wanted: Vec<Wanted>,
}

impl Gathering<'_, '_> {
    /// Adds a record, once.
    async fn add(&mut self, purpose: Purpose, record: RecordToPublish) {
        if self.wanted.len() >= RECORDS_MAX || self.wanted.iter().any(|known| known.record == record) {
            return;
        }
        let published = self.published(&record).await;
        let own_zone = is_below(&record.name, &self.zone);
        self.wanted.push(Wanted { purpose, record, published, own_zone });
    }

    async fn published(&self, record: &RecordToPublish) -> Published {
        let dns = self.case.dns;
        let (name, value) = (record.name.as_str(), record.value.as_str());
        let is_there: Result<bool, DnsError> = match record.kind {
            RecordKind::Txt => dns.txt(name).await.records.map(|texts| texts.iter().any(|text| text == value)),
            RecordKind::Mx => {
                let host = value.split_once(' ').map_or(value, |(_, host)| host).trim_end_matches('.');
                dns.mx(name).await.records.map(|all| all.iter().any(|mx| mx.host.eq_ignore_ascii_case(host)))
            }
            RecordKind::A | RecordKind::Aaaa => {
                dns.addresses(name).await.map(|all| all.iter().any(|address| address.to_string() == value))
            }
            RecordKind::Ptr => {
                let own = self.case.ours.seen.iter().find(|own| crate::lookup::reverse_name(own.address) == name);
                let Some(own) = own else { return Published::Unknown };
                let names = dns.ptr(own.address).await.records;
                names.map(|names| names.iter().any(|name| name.eq_ignore_ascii_case(value.trim_end_matches('.'))))
            }
            RecordKind::Tlsa => return Published::Unknown,
        };
        match is_there {
            Ok(true) => Published::Yes,
            Ok(false) => Published::No,
            Err(error) if error.is_temporary() => Published::Unknown,
            Err(_) => Published::No,
        }
    }

    /// SPF of both domains, and where bounces come in.
    async fn sending(&mut self) {
        let case = self.case;
        let record = spf::wanted(case, case.domain).await;
        self.add(Purpose::Spf, record).await;
        if case.rewrites {
            let record = spf::wanted(case, &case.envelope).await;
            self.add(Purpose::ReturnSpf, record).await;
            self.mx(Purpose::ReturnMx, &case.envelope.clone()).await;
        }
        let config = case.config;
        for address in [&config.bounce.report_address, &config.bounce.complaint_address, &config.tls_report.address] {
            if let Some((_, domain)) = address.rsplit_once('@') {
                self.mx(Purpose::ReportMx, &domain.to_ascii_lowercase()).await;
            }
        }
    }

    async fn mx(&mut self, purpose: Purpose, domain: &str) {
        let host = &self.case.config.server.hostname;
        // Mail to a host's own name finds it without.
        if domain != host {
            self.add(purpose, RecordToPublish::new(domain, RecordKind::Mx, format!("10 {host}."))).await;
        }
    }

    async fn keys(&mut self) {
        for key in &self.case.keys {
            let purpose = if key.signs { Purpose::Dkim } else { Purpose::DkimWaiting };
            self.add(purpose, RecordToPublish::txt(name(&key.selector, &key.domain), key.key.record())).await;
        }
    }

    /// DMARC: the one that applies, made better, or a new one.
    async fn policy(&mut self, found: &Discovery) {
        let (purpose, at, record) = match (found.whence, &found.policy_domain, &found.text) {
            (Some(Whence::Own), Some(at), Some(text)) => (Purpose::Dmarc, at.clone(), dmarc::better(self.case, text)),
            (Some(Whence::Organizational), Some(at), Some(text)) => {
                (Purpose::DmarcInherited, at.clone(), dmarc::better(self.case, text))
            }
            _ => (Purpose::Dmarc, self.case.domain.to_owned(), dmarc::fresh(self.case)),
        };
        self.add(purpose, RecordToPublish::txt(format!("_dmarc.{at}"), record.to_string())).await;
        for needed in generate::authorisations(self.case.dns, &at, &record).await.unwrap_or_default() {
            self.add(Purpose::DmarcAuthorisation, RecordToPublish::txt(needed.name, needed.text)).await;
        }
    }

    async fn receiving(&mut self) {
        let domain = self.case.domain;
        if let Some(record) = receiving::proposed(self.case) {
            self.add(Purpose::TlsRpt, record).await;
        }
        // A record without a policy behind it would be worse than none: only what is there is told.
        let name = format!("_mta-sts.{domain}");
        let texts = self.case.dns.txt(&name).await.records.unwrap_or_default();
        if record_id(&texts).is_some()
            && let Some(text) = texts.iter().find(|text| text.starts_with("v=STSv1"))
        {
            self.add(Purpose::Sts, RecordToPublish::txt(name, text)).await;
        }
    }

    /// The names that we say hello with, and those of our addresses.
    async fn addresses(&mut self) {
        for own in self.case.ours.seen.clone() {
            if own.hello.contains('.') {
                self.add(Purpose::Hello, RecordToPublish::address(&own.hello, own.address)).await;
                self.add(Purpose::ReverseName, RecordToPublish::ptr(own.address, &own.hello)).await;
            }
        }
    }
}
