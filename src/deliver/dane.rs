//! What DANE says of one host: asks for its TLSA records where DNSSEC covers the way to them.
//!
//! In: a host, what the answers about it are worth.  Out: a [`DaneHost`]: absent, usable with its TLS configuration, unusable,
//! or failed.
//! Always: an answer that does not come never switches DANE off: the host is passed over instead; records are asked for only
//! where both the MX records and the addresses (or the alias into another zone) are secure.
//! Sources: RFC 7672 §2.1, §2.2 and §3.2, RFC 7671 §9.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::tls_policy::Dane;
use crate::net::{
    dns::{Answered, DnsError, Resolver, Tlsa},
    tls::{self, ClientTls},
};

/// DANE-TA: the names of the certificate count (RFC 7672 §3.1.2).
const TRUST_ANCHOR: u8 = 2;
/// Records that the log and a report quote of one host.
const RECORDS_QUOTED_MAX: usize = 10;

/// What DANE says of a host.
#[derive(Clone, Debug)]
pub(super) struct DaneHost {
    /// In one word.
    pub state: Dane,
    /// Why it failed, else how many records there are and where; empty when there is nothing to say.
    pub words: String,
    /// Usable: how TLS is spoken.
    pub tls: Option<DaneTls>,
}

/// TLS with a host whose TLSA records are usable.
#[derive(Clone, Debug)]
pub(super) struct DaneTls {
    /// Checks by the records.
    pub config: ClientTls,
    /// The TLSA base domain, which the host hears in SNI (RFC 7672 §8.1).
    pub base: Arc<str>,
    /// Tells connections apart that were checked by other records, or for other names.
    pub fingerprint: u64,
    /// The records, as a report quotes them.
    pub lines: Vec<String>,
}

/// Whose records are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// The host, in A-labels.
    pub host: &'a str,
    /// The recipients' domain: a certificate under DANE-TA may be for it, too (RFC 7672 §3.2.3).
    pub domain: &'a str,
    /// The port.
    pub port: u16,
    /// The MX records that named the host are secure; a domain that is its own host needs none.
    pub mx_is_secure: bool,
    /// IPv6 addresses are used.
    pub ipv6: bool,
}

impl DaneHost {
    pub(super) fn absent() -> Self {
        DaneHost { state: Dane::Absent, words: String::new(), tls: None }
    }

    fn failed(what: String) -> Self {
        DaneHost { state: Dane::Failed, words: what, tls: None }
    }
}

/// Asks the DNS.
pub(super) async fn of_host(resolver: &Resolver, q: Question<'_>) -> DaneHost {
    if !q.mx_is_secure {
        return DaneHost::absent();
    }
    let addresses = resolver.addresses_answer(q.host, q.ipv6).await;
    if let Err(e @ (DnsError::Servfail(_) | DnsError::Timeout(_))) = &addresses.records {
        return DaneHost::failed(format!("looking up the addresses of {}: {e}", q.host));
    }
    for base in bases(q.host, addresses.secure, addresses.secure_alias.as_deref()) {
        let name = format!("_{}._tcp.{base}", q.port);
        match read(&resolver.tlsa(&name).await) {
            Records::None => {}
            Records::Failed(why) => return DaneHost::failed(format!("looking up the TLSA records of {name}: {why}")),
            Records::Some(records) => return found(&name, base, q, records),
        }
    }
    DaneHost::absent()
}

/// The base domains under which TLSA records may be, in the order of asking (RFC 7672 §2.2.2): the end of a secure chain of
/// aliases, then the name itself; a secure alias into a zone that is not signed leaves the name itself.
fn bases<'a>(host: &'a str, secure: bool, alias: Option<&'a str>) -> Vec<&'a str> {
    match (secure, alias) {
        (true, Some(end)) => vec![end, host],
        (true, None) | (false, Some(_)) => vec![host],
        (false, None) => Vec::new(),
    }
}

#[derive(PartialEq, Eq, Debug)]
enum Records<'a> {
    /// There are none, or they are worth nothing.
    None,
    /// There are some.
    Some(&'a [Tlsa]),
    /// Nobody can tell.
    Failed(String),
}

fn read(answer: &Answered<Tlsa>) -> Records<'_> {
    match &answer.records {
        Ok(records) if answer.secure && !records.is_empty() => Records::Some(records),
        Ok(_) | Err(DnsError::NxDomain | DnsError::NoData | DnsError::BadName) => Records::None,
        Err(e @ (DnsError::Servfail(_) | DnsError::Timeout(_))) => Records::Failed(e.to_string()),
    }
}

fn found(name: &str, base: &str, q: Question<'_>, records: &[Tlsa]) -> DaneHost {
    let usable = tls::usable(records);
    let words = format!("{} of {} TLSA records at {name} usable", usable.len(), records.len());
    let names = reference_names(base, q);
    // A configuration that cannot be made of usable records is as good as none: TLS is asked for all the same.
    let Ok(config) = tls::dane_config(&usable, &names) else {
        return DaneHost { state: Dane::Unusable, words, tls: None };
    };
    let tls = DaneTls { config, base: base.into(), fingerprint: fingerprint(&usable, &names), lines: lines(&usable) };
    DaneHost { state: Dane::Usable, words, tls: Some(tls) }
}

/// The names that a certificate under DANE-TA may be for (RFC 7672 §3.2.3).
fn reference_names(base: &str, q: Question<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(3);
    for name in [base, q.host, q.domain] {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Connections with the same fingerprint were checked alike. Names count only where a record asks for them, so that the
/// domains of one provider share its connections.
fn fingerprint(records: &[Tlsa], names: &[String]) -> u64 {
    let mut sorted: Vec<&Tlsa> = records.iter().collect();
    sorted.sort_by(|a, b| (a.usage, a.selector, a.matching, &a.data).cmp(&(b.usage, b.selector, b.matching, &b.data)));
    let mut hasher = DefaultHasher::new();
    sorted.hash(&mut hasher);
    if records.iter().any(|r| r.usage == TRUST_ANCHOR) {
        names.hash(&mut hasher);
    }
    hasher.finish()
}

/// `3 1 1 1F85…`, as RFC 8460 §4.2 quotes them.
fn lines(records: &[Tlsa]) -> Vec<String> {
    /// Octets of a record's data that are quoted: a digest has 64 at most, a certificate thousands.
    const OCTETS_MAX: usize = 64;
    let line = |r: &Tlsa| {
        let hex: String = r.data.iter().take(OCTETS_MAX).map(|octet| format!("{octet:02X}")).collect();
        format!("{} {} {} {hex}", r.usage, r.selector, r.matching)
    };
    records.iter().take(RECORDS_QUOTED_MAX).map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tlsa(usage: u8, data: u8) -> Tlsa {
        Tlsa { usage, selector: 1, matching: 1, data: vec![data; 32] }
    }

    #[test]
    fn an_answer_is_worth_what_dnssec_says() {
        let answer = |records, secure| Answered { records, secure, secure_alias: None, ttl: Duration::ZERO };
        let one = vec![tlsa(3, 1)];
        for (records, secure, want) in [
            (Ok(one.clone()), true, Records::Some(&one[..])),
            (Ok(one.clone()), false, Records::None),
            (Ok(Vec::new()), true, Records::None),
            (Err(DnsError::NxDomain), true, Records::None),
            (Err(DnsError::NoData), true, Records::None),
            (Err(DnsError::NoData), false, Records::None),
            (Err(DnsError::BadName), false, Records::None),
            (Err(DnsError::Servfail("SERVFAIL".into())), false, Records::Failed("SERVFAIL".into())),
            (Err(DnsError::Timeout("x".into())), false, Records::Failed("no resolver answered (x)".into())),
        ] {
            assert_eq!(read(&answer(records.clone(), secure)), want, "{records:?} {secure}");
        }
    }

    #[test]
    fn the_end_of_a_secure_alias_is_asked_before_the_name_itself() {
        assert_eq!(bases("mx", true, None), ["mx"]);
        assert_eq!(bases("mx", true, Some("end")), ["end", "mx"]);
        assert_eq!(bases("mx", false, Some("end")), ["mx"]);
        assert!(bases("mx", false, None).is_empty());
    }

    #[test]
    fn connections_are_told_apart_by_records_and_by_the_names_that_count() {
        let names = |domain: &str| vec!["mx.p.test".to_owned(), domain.to_owned()];
        let ee = [tlsa(3, 1), tlsa(3, 2)];
        let same = [tlsa(3, 2), tlsa(3, 1)];
        assert_eq!(fingerprint(&ee, &names("a.test")), fingerprint(&same, &names("b.test")));
        assert_ne!(fingerprint(&ee, &names("a.test")), fingerprint(&ee[..1], &names("a.test")));
        let ta = [tlsa(2, 1)];
        assert_eq!(fingerprint(&ta, &names("a.test")), fingerprint(&ta, &names("a.test")));
        assert_ne!(fingerprint(&ta, &names("a.test")), fingerprint(&ta, &names("b.test")));
    }

    #[test]
    fn a_trust_anchors_certificate_may_be_for_base_host_or_domain() {
        let q = |host, domain| Question { host, domain, port: 25, mx_is_secure: true, ipv6: false };
        assert_eq!(reference_names("end.test", q("mx.test", "x.test")), ["end.test", "mx.test", "x.test"]);
        assert_eq!(reference_names("x.test", q("x.test", "x.test")), ["x.test"]);
        assert_eq!(lines(&[tlsa(3, 0xab)]), [format!("3 1 1 {}", "AB".repeat(32))]);
    }
}
