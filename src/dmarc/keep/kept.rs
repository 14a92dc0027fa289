//! What is kept of a report: its head without rows, and failures in short.

use aws_lc_rs::digest;

use super::Weighed;
use crate::{
    clock::Timestamp,
    dmarc::{
        report::{Disposition, Failure, Head},
        row::{By, KeptFailure, KeptPolicy, KeptReport, Tally},
    },
    ids::hex,
};

/// Octets of a text that is kept; real reports have a name, and an id of some forty.
const TEXT_MAX: usize = 255;
/// Errors of a report that are kept.
const ERRORS_MAX: usize = 5;
/// Digits of a fingerprint: 128 bits.
const FINGERPRINT_LEN: usize = 32;
/// Digits of a group's name: among the reports of one domain and day.
const GROUP_LEN: usize = 20;

/// What tells a report from others of its domain and day.
pub(super) fn fingerprint(head: &Head) -> String {
    digest_of([head.organization_key().as_str(), head.report_id.as_str()].into_iter())
}

pub(super) fn digest_of<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part.as_bytes());
        context.update(&[0]);
    }
    let mut text = hex(context.finish().as_ref());
    text.truncate(FINGERPRINT_LEN);
    text
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

fn time_of(seconds: u64) -> String {
    Timestamp::from_millis(seconds.saturating_mul(1_000)).rfc3339_seconds()
}

pub(super) fn kept_report(head: &Head, by: By, weighed: Weighed, now: Timestamp) -> KeptReport {
    let contact = [head.email.as_str(), head.contact.as_str()];
    let contact: Vec<&str> = contact.into_iter().filter(|text| !text.is_empty()).collect();
    let said = serde_json::to_string(head).expect("texts and numbers have a form in JSON");
    let mut group = digest_of([weighed.mark.word(), said.as_str()].into_iter());
    group.truncate(GROUP_LEN);
    let policy = &head.policy;
    let some = |disposition: Option<Disposition>| disposition.map_or("", |d| d.word()).to_owned();
    KeptReport {
        domain: policy.domain.trim_end_matches('.').to_ascii_lowercase(),
        organization: cut(&head.organization),
        report_id: cut(&head.report_id),
        contact: cut(&contact.join(" ")),
        begin: time_of(head.begin_seconds),
        end: time_of(head.end_seconds),
        received_at: now.rfc3339(),
        by,
        mark: weighed.mark,
        from: cut(&weighed.from),
        why: cut(&weighed.why),
        policy: KeptPolicy {
            p: policy.p.word().to_owned(),
            sp: some(policy.sp),
            np: some(policy.np),
            adkim: policy.adkim.word().to_owned(),
            aspf: policy.aspf.word().to_owned(),
            testing: if policy.testing == Some(true) { "y".into() } else { String::new() },
            pct: policy.pct.map_or_else(String::new, |pct| pct.to_string()),
        },
        rows: 0,
        tally: Tally::default(),
        errors: head.errors.iter().take(ERRORS_MAX).map(|error| cut(error)).collect(),
        group,
        pieces: 0,
    }
}

pub(super) fn kept_failure(failure: &Failure, weighed: Weighed, now: Timestamp) -> KeptFailure {
    let of_address = |address: &str| {
        let domain = address.rsplit('@').next().unwrap_or_default().trim_end_matches(['>', ' ', '.']);
        if address.contains('@') { domain.to_ascii_lowercase() } else { String::new() }
    };
    let candidates =
        [failure.reported_domain.clone(), of_address(&failure.message_from), failure.dkim_domain.to_ascii_lowercase()];
    KeptFailure {
        domain: candidates.into_iter().find(|domain| !domain.is_empty()).unwrap_or_default(),
        at: failure.arrived_seconds.map_or_else(|| now.rfc3339_seconds(), time_of),
        received_at: now.rfc3339(),
        reporter: cut(if weighed.from.is_empty() { &failure.reporter } else { &weighed.from }),
        mark: weighed.mark.word().to_owned(),
        source: failure.source_ip.map_or_else(String::new, |ip| ip.to_string()),
        failure: cut(&failure.auth_failure.join(" ")),
        delivery: cut(&failure.delivery_result),
        header_from: cut(&failure.message_from),
        envelope_from: cut(&failure.mail_from),
        subject: cut(&failure.message_subject),
        message_id: cut(&failure.message_id),
        results: cut(&failure.authentication_results),
    }
}
