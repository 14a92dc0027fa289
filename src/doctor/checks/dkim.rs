//! DKIM: each key of the domain against its record.
//!
//! In: the keys in force.  Out: whether each record is there, is of the key, and lets us sign.
//! Always: a key that does not sign now (it waits, or has retired) is worth a note, not an error.
//! Sources: RFC 6376 §3.6.1, RFC 8301, RFC 8463.

use super::{Case, Outcome};
use crate::{
    dkim::{
        key::Algorithm,
        record::{KeyRecord, looks_like_key, name},
    },
    doctor::finding::{Area, Dkim, Finding, Level, RecordToPublish, Seen, clipped},
    lookup::{DnsError, Lookup},
    signing::KeyInForce,
};

/// Keys of a domain that are looked at.
const KEYS_MAX: usize = 20;

pub(super) async fn check(case: &Case<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(signing) = &case.signing else {
        outcome.found(Finding::new(Level::Error, case.domain, Seen::Dkim(Dkim::NoKey)));
        outcome.known.dkim = Some(false);
        keys(case, &mut outcome).await;
        return outcome;
    };
    let signs: Vec<&KeyInForce> = case.keys.iter().filter(|key| key.signs).collect();
    let names = signs.iter().map(|key| name(&key.selector, &key.domain)).collect();
    let seen = Dkim::Signs { keys: names, domain: signing.clone() };
    outcome.found(Finding::new(Level::Ok, case.domain, Seen::Dkim(seen)));
    if signs.iter().all(|key| key.key.algorithm() == Algorithm::Ed25519Sha256) {
        outcome.found(Finding::new(Level::Warning, case.domain, Seen::Dkim(Dkim::NoRsa)));
    }
    outcome.known.dkim = keys(case, &mut outcome).await;
    outcome
}

/// Every key; whether a signature of one that signs verifies.
async fn keys(case: &Case<'_>, outcome: &mut Outcome) -> Option<bool> {
    let mut verifies = Some(false);
    for key in case.keys.iter().take(KEYS_MAX) {
        let good = one(case, key, outcome).await;
        if key.signs {
            verifies = match (verifies, good) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (None, _) | (_, None) => None,
                (Some(false), Some(false)) => Some(false),
            };
        }
    }
    verifies
}

/// One key; whether its signatures verify.
async fn one(case: &Case<'_>, key: &KeyInForce, outcome: &mut Outcome) -> Option<bool> {
    let at = name(&key.selector, &key.domain);
    let bad = if key.signs { Level::Error } else { Level::Note };
    let record = RecordToPublish::txt(&at, key.key.record());
    let found = |level, seen| Finding::new(level, &at, Seen::Dkim(seen));
    let bits = key.key.bits();
    // Shorter ones than 1024 bits sign nothing here.
    if key.key.is_weak() {
        outcome.found(found(Level::Warning.min(bad), Dkim::Short { bits }));
    }
    let texts = match case.dns.txt(&at).await.records {
        Ok(texts) => texts,
        Err(error @ (DnsError::Servfail(_) | DnsError::Timeout(_))) => {
            outcome.trouble(Area::Dkim, &at, &format!("TXT {at}"), &error);
            return None;
        }
        Err(DnsError::NxDomain | DnsError::NoData | DnsError::BadName) => Vec::new(),
    };
    let records: Vec<&String> = texts.iter().filter(|text| looks_like_key(text)).collect();
    let text = match records.as_slice() {
        [] => {
            outcome.found(found(bad, Dkim::Missing).with(record));
            return Some(false);
        }
        [one] => *one,
        several => {
            outcome.found(found(bad, Dkim::Several { count: several.len() }).with(record));
            return Some(false);
        }
    };
    let published = match KeyRecord::parse(text) {
        Ok(published) => published,
        Err(fault) => {
            let seen = Dkim::Invalid { record: clipped(text), why: clipped(&fault.to_string()) };
            outcome.found(found(bad, seen).with(record));
            return Some(false);
        }
    };
    if published.key.is_none() {
        outcome.found(found(bad, Dkim::Revoked).with(record));
        return Some(false);
    }
    if !published.matches(&key.key) {
        outcome.found(found(bad, Dkim::Differs { record: clipped(text) }).with(record));
        return Some(false);
    }
    let mut good = true;
    if !published.takes_hash("sha256") {
        let allowed = clipped(&published.hashes.clone().unwrap_or_default().join(":"));
        outcome.found(found(bad, Dkim::Hash { allowed }).with(record.clone()));
        good = false;
    }
    if !published.is_for_mail() {
        let allowed = clipped(&published.services.join(":"));
        outcome.found(found(bad, Dkim::Service { allowed }).with(record.clone()));
        good = false;
    }
    if published.testing {
        outcome.found(found(Level::Warning.min(bad), Dkim::Testing).with(record));
    }
    if good {
        outcome.found(found(Level::Ok, Dkim::Matches { bits }));
    }
    Some(good)
}
