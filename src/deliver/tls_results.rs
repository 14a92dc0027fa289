//! Collects how TLS went with each policy domain, day by day, for the reports that its owners may ask for.
//!
//! In: sessions that were opened under TLS, or should have been.  Out: [`DayResults`] in memos of the store, one a day (UTC)
//! and domain, whose names are those of the report.
//! Always: bounded in domains a day and in kinds of failure a domain; what is over is counted, not kept; report mail itself
//! is not counted.
//! Sources: RFC 8460 §4.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    store::{MEMO_OCTETS_MAX, MemoChange, MemoKind, Memos},
};

/// Domains that are counted on one day; mail to more is sent as ever, and not counted.
pub const DOMAINS_A_DAY_MAX: usize = 20_000;
/// Policies of one domain and day: a domain has one, or two while it changes, for each of its hosts' TLSA records.
pub const POLICIES_MAX: usize = 8;
/// Kinds of failure of one policy and day that are told apart.
pub const FAILURES_MAX: usize = 50;
/// Octets of a reason.
const REASON_OCTETS_MAX: usize = 200;
/// Memos of one transaction.
const CHANGES_MAX: usize = 200;

/// What one day brought for one policy domain: the value of the memo `YYYY-MM-DD/domain`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DayResults {
    /// One entry for each policy that was met.
    pub policies: Vec<PolicyResult>,
}

/// One policy of a domain and how sessions went under it (RFC 8460 §4.2).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PolicyResult {
    /// Which kind.
    pub policy_type: PolicyType,
    /// The policy as it was found: the lines of an MTA-STS policy, or TLSA records; empty where there is none.
    pub policy_string: Vec<String>,
    /// The recipients' domain, in A-labels.
    pub policy_domain: String,
    /// The `mx` patterns of an MTA-STS policy, or the host whose TLSA records they are.
    pub mx_host: Vec<String>,
    /// Sessions that met it.
    pub successes: u64,
    /// Sessions that did not, those beyond the bound of `failures` included.
    pub failed: u64,
    /// The failures, alike ones counted together.
    pub failures: Vec<FailureResult>,
}

/// Failures of one kind at one place (RFC 8460 §4.3).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FailureResult {
    /// What went wrong.
    pub result_type: ResultType,
    /// Our address.
    pub sending_mta_ip: Option<IpAddr>,
    /// The host; empty when none was met (a policy could not be fetched).
    pub receiving_mx_hostname: String,
    /// Its address.
    pub receiving_ip: Option<IpAddr>,
    /// Sessions.
    pub count: u64,
    /// What the TLS library or the fetch said; may be empty.
    pub reason: String,
}

/// `policy-type` (RFC 8460 §4.2); its serde name is the report's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyType {
    /// DANE.
    Tlsa,
    /// MTA-STS.
    Sts,
    /// Neither.
    NoPolicyFound,
}

/// `result-type` (RFC 8460 §4.3); its serde name is the report's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultType {
    /// The host does not offer STARTTLS.
    StarttlsNotSupported,
    /// Its certificate is for other names.
    CertificateHostMismatch,
    /// Its certificate is out of date.
    CertificateExpired,
    /// Its certificate leads to no root that we trust.
    CertificateNotTrusted,
    /// Any other failure of the handshake or of the check.
    ValidationFailure,
    /// No TLSA record is usable.
    TlsaInvalid,
    /// The TLSA records are there, and DNSSEC does not validate or they cannot be had.
    DnssecInvalid,
    /// DANE is required, and the host has none.
    DaneRequired,
    /// The MTA-STS policy could not be fetched.
    StsPolicyFetchError,
    /// It cannot be read.
    StsPolicyInvalid,
    /// The certificate of the host that the policy is fetched from is not good.
    StsWebpkiInvalid,
}

impl PolicyType {
    /// The report's word.
    pub fn word(self) -> &'static str {
        match self {
            PolicyType::Tlsa => "tlsa",
            PolicyType::Sts => "sts",
            PolicyType::NoPolicyFound => "no-policy-found",
        }
    }
}

impl ResultType {
    /// The report's word.
    pub fn word(self) -> &'static str {
        match self {
            ResultType::StarttlsNotSupported => "starttls-not-supported",
            ResultType::CertificateHostMismatch => "certificate-host-mismatch",
            ResultType::CertificateExpired => "certificate-expired",
            ResultType::CertificateNotTrusted => "certificate-not-trusted",
            ResultType::ValidationFailure => "validation-failure",
            ResultType::TlsaInvalid => "tlsa-invalid",
            ResultType::DnssecInvalid => "dnssec-invalid",
            ResultType::DaneRequired => "dane-required",
            ResultType::StsPolicyFetchError => "sts-policy-fetch-error",
            ResultType::StsPolicyInvalid => "sts-policy-invalid",
            ResultType::StsWebpkiInvalid => "sts-webpki-invalid",
        }
    }
}

/// The day of a moment, as a memo's key begins: `2026-11-24`.
pub fn day_text(at: Timestamp) -> String {
    let mut text = at.rfc3339();
    text.truncate(10);
    text
}

impl PolicyResult {
    /// A policy under which nothing was counted yet.
    pub fn new(policy_type: PolicyType, policy_domain: &str) -> Self {
        PolicyResult {
            policy_type,
            policy_string: Vec::new(),
            policy_domain: policy_domain.to_owned(),
            mx_host: Vec::new(),
            successes: 0,
            failed: 0,
            failures: Vec::new(),
        }
    }

    fn is_same_policy(&self, other: &PolicyResult) -> bool {
        self.policy_type == other.policy_type
            && self.policy_string == other.policy_string
            && self.mx_host == other.mx_host
    }

    fn add_failure(&mut self, failure: &FailureResult) {
        self.failed += failure.count;
        match self.failures.iter().position(|f| f.is_same_failure(failure)) {
            Some(at) => self.failures[at].count += failure.count,
            None if self.failures.len() < FAILURES_MAX => self.failures.push(failure.clone()),
            None => {}
        }
    }
}

impl FailureResult {
    fn is_same_failure(&self, other: &FailureResult) -> bool {
        self.result_type == other.result_type
            && self.sending_mta_ip == other.sending_mta_ip
            && self.receiving_mx_hostname == other.receiving_mx_hostname
            && self.receiving_ip == other.receiving_ip
            && self.reason == other.reason
    }
}

impl DayResults {
    /// Adds what another part of the day brought.
    pub fn merge(&mut self, other: DayResults) {
        for policy in other.policies {
            let mine = self.policy(&policy);
            let Some(mine) = mine else { continue };
            mine.successes += policy.successes;
            // Failures beyond the bound are in the sum alone.
            let uncounted = policy.failed.saturating_sub(policy.failures.iter().map(|f| f.count).sum());
            policy.failures.iter().for_each(|failure| mine.add_failure(failure));
            mine.failed += uncounted;
        }
    }

    /// The entry of this policy; `None`: there are too many already.
    fn policy(&mut self, policy: &PolicyResult) -> Option<&mut PolicyResult> {
        if let Some(at) = self.policies.iter().position(|p| p.is_same_policy(policy)) {
            return self.policies.get_mut(at);
        }
        if self.policies.len() >= POLICIES_MAX {
            return None;
        }
        let PolicyResult { policy_type, policy_string, policy_domain, mx_host, .. } = policy.clone();
        let empty = PolicyResult::new(policy_type, &policy_domain);
        self.policies.push(PolicyResult { policy_string, mx_host, ..empty });
        self.policies.last_mut()
    }

    /// As JSON that fits a memo: what is too long loses details first, then whole policies, the last ones first.
    fn to_json(&self) -> Option<Vec<u8>> {
        let mut fitting = self.clone();
        // One step for each policy's details, one for each policy.
        for _ in 0..=2 * POLICIES_MAX {
            let json = serde_json::to_vec(&fitting).ok()?;
            if json.len() <= MEMO_OCTETS_MAX {
                return Some(json);
            }
            match fitting.policies.iter_mut().rev().find(|p| !p.failures.is_empty()) {
                Some(policy) => policy.failures.clear(),
                None => drop(fitting.policies.pop()),
            }
        }
        None
    }
}

/// What was counted since the last flush.
#[derive(Default)]
pub(super) struct Collector(Mutex<Pending>);

#[derive(Default)]
struct Pending {
    /// By day and domain.
    results: HashMap<(u32, String), DayResults>,
    /// The domains of the day that runs, as hashes.
    day: u32,
    domains: HashSet<u64>,
    hasher: RandomState,
}

impl Pending {
    fn of(&mut self, at: Timestamp, domain: &str) -> Option<&mut DayResults> {
        if self.day != at.day() {
            self.day = at.day();
            self.domains.clear();
        }
        let hash = self.hasher.hash_one(domain);
        if self.domains.len() >= DOMAINS_A_DAY_MAX && !self.domains.contains(&hash) {
            return None;
        }
        self.domains.insert(hash);
        Some(self.results.entry((at.day(), domain.to_owned())).or_default())
    }
}

impl Collector {
    /// A session met this policy.
    pub(super) fn success(&self, at: Timestamp, policy: &PolicyResult) {
        let mut pending = self.lock();
        if let Some(mine) = pending.of(at, &policy.policy_domain).and_then(|day| day.policy(policy)) {
            mine.successes += 1;
        }
    }

    /// A session did not meet it, or could not be tried.
    pub(super) fn failure(&self, at: Timestamp, policy: &PolicyResult, mut failure: FailureResult) {
        failure.count = 1;
        if failure.reason.len() > REASON_OCTETS_MAX {
            failure.reason.truncate(failure.reason.floor_char_boundary(REASON_OCTETS_MAX));
        }
        let mut pending = self.lock();
        if let Some(mine) = pending.of(at, &policy.policy_domain).and_then(|day| day.policy(policy)) {
            mine.add_failure(&failure);
        }
    }

    /// Adds what was counted to the memos of its days; what cannot be written is kept for the next time.
    pub(super) async fn flush(&self, shelf: &dyn Memos) {
        let mut results: Vec<((u32, String), DayResults)> = self.lock().results.drain().collect();
        while !results.is_empty() {
            let rest = results.split_off(results.len().min(CHANGES_MAX));
            let changes = results.iter().filter_map(|((day, domain), fresh)| {
                let key = format!(
                    "{}/{domain}",
                    day_text(Timestamp::from_millis(u64::from(*day) * crate::clock::DAY_MILLIS))
                );
                let known = shelf.memo(MemoKind::TlsResults, &key).ok().flatten();
                // A memo that cannot be read any more is begun anew.
                let mut sum: DayResults = known.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
                sum.merge(fresh.clone());
                Some(MemoChange { kind: MemoKind::TlsResults, key, value: Some(sum.to_json()?) })
            });
            let changes: Vec<MemoChange> = changes.collect();
            if let Err(error) = shelf.put_memos(changes).await {
                log::warn!("TLS results could not be written: {error}; they are kept");
                results.extend(rest);
                let mut pending = self.lock();
                for (key, fresh) in results {
                    pending.results.entry(key).or_default().merge(fresh);
                }
                return;
            }
            results = rest;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::shelf::RamShelf;

    const DAY: Timestamp = Timestamp::from_millis(1_796_000_000_000);

    fn failure(result_type: ResultType, host: &str) -> FailureResult {
        FailureResult {
            result_type,
            sending_mta_ip: "192.0.2.1".parse().ok(),
            receiving_mx_hostname: host.into(),
            receiving_ip: "192.0.2.2".parse().ok(),
            count: 1,
            reason: "because".into(),
        }
    }

    fn read(shelf: &RamShelf) -> Vec<(String, DayResults)> {
        let read = |(key, json): (String, Vec<u8>)| (key, serde_json::from_slice(&json).expect("JSON"));
        shelf.all(MemoKind::TlsResults).into_iter().map(read).collect()
    }

    #[test]
    fn a_days_results_grow_over_flushes_and_restarts() {
        let shelf = RamShelf::default();
        let policy = PolicyResult {
            policy_string: vec!["version: STSv1".into()],
            mx_host: vec!["*.x.test".into()],
            ..PolicyResult::new(PolicyType::Sts, "x.test")
        };
        for _ in 0..2 {
            let collector = Collector::default();
            collector.success(DAY, &policy);
            collector.failure(DAY, &policy, failure(ResultType::CertificateExpired, "mx.x.test"));
            collector.failure(
                DAY,
                &PolicyResult::new(PolicyType::NoPolicyFound, "x.test"),
                failure(ResultType::StarttlsNotSupported, "b"),
            );
            smol::block_on(collector.flush(&shelf));
            smol::block_on(collector.flush(&shelf));
        }
        let rows = read(&shelf);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].0, "2026-11-30/x.test");
        let [sts, none] = &rows[0].1.policies[..] else { panic!("{rows:?}") };
        assert_eq!((sts.successes, sts.failed, sts.failures.len(), sts.failures[0].count), (2, 2, 1, 2));
        assert_eq!((none.successes, none.failed), (0, 2));
        let json = serde_json::to_string(&rows[0].1).expect("JSON");
        assert!(
            json.contains(r#""policy_type":"no-policy-found""#)
                && json.contains(r#""result_type":"starttls-not-supported""#)
        );
    }

    #[test]
    fn results_are_bounded_in_domains_policies_failures_and_octets() {
        let shelf = RamShelf::default();
        let collector = Collector::default();
        for n in 0..DOMAINS_A_DAY_MAX + 10 {
            collector.success(DAY, &PolicyResult::new(PolicyType::NoPolicyFound, &format!("d{n}.test")));
        }
        assert_eq!(collector.lock().results.len(), DOMAINS_A_DAY_MAX);
        let collector = Collector::default();
        for n in 0..200_u32 {
            for host in 0..200 {
                let policy = PolicyResult {
                    policy_string: vec!["x".repeat(20_000), n.to_string()],
                    ..PolicyResult::new(PolicyType::Tlsa, "x.test")
                };
                let mut one = failure(ResultType::ValidationFailure, &format!("mx{host}"));
                one.reason = "だ".repeat(10_000);
                collector.failure(DAY, &policy, one);
            }
        }
        smol::block_on(collector.flush(&shelf));
        let rows = read(&shelf);
        let policies = &rows[0].1.policies;
        assert!(!policies.is_empty() && policies.len() <= POLICIES_MAX);
        assert!(policies.iter().all(|p| p.failed == 200 && p.failures.len() <= FAILURES_MAX));
        assert!(serde_json::to_vec(&rows[0].1).expect("JSON").len() <= MEMO_OCTETS_MAX);
    }

    #[test]
    fn what_cannot_be_written_is_written_later() {
        let shelf = RamShelf::default();
        let collector = Collector::default();
        let policy = PolicyResult::new(PolicyType::NoPolicyFound, "x.test");
        collector.success(DAY, &policy);
        shelf.fail(true);
        smol::block_on(collector.flush(&shelf));
        assert!(read(&shelf).is_empty());
        shelf.fail(false);
        collector.success(DAY, &policy);
        smol::block_on(collector.flush(&shelf));
        assert_eq!(read(&shelf)[0].1.policies[0].successes, 2);
    }
}
