//! Reports that come in: found in a mail or a file, read, and kept in short.
//!
//! In: the octets of a mail, a gzip file or plain JSON.  Out: [`Stored`], a memo `YYYY-MM-DD/organization/report-id` of
//! [`MemoKind::TlsReports`], for ninety days.
//! Always: octets are bounded before and after inflation, a day's reports are counted, and a report that was seen is known by
//! organization and id; what a report says is its sender's word: it is shown with a mark that says what the mail was worth, and
//! changes nothing; one that is proven takes the place of one that is not, and those that are not leave room for those that are.
//! Sources: RFC 8460 §4.5, §5.1 and §5.3, RFC 1952, RFC 3339.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use mail_parser::{MessageParser, MimeHeaders, PartType};
use serde::{Deserialize, Serialize};

use super::{
    Memory, day_of_key, fingerprint,
    json::{Failure, JSON_OCTETS_MAX, NoReport, Report},
};
use crate::{
    authres::results::{Claim, Mark, Marked, Results},
    clock::{Clock, Timestamp},
    mail::inflate::{self, Bound, Inflated},
    metrics::Metrics,
    store::{MemoChange, MemoKind, Store, StoreError},
    when::day_name,
};

/// Octets of a mail or file that is looked at; the largest mail that intake takes by default, and some.
pub const RAW_OCTETS_MAX: usize = 25 << 20;
/// Octets of a compressed report; real ones stay below 100 KiB.
pub const GZIP_OCTETS_MAX: usize = 2 << 20;
/// Days for which reports are kept.
pub const RETENTION_DAYS: u32 = 90;
/// Reports taken in a day: ninety days of them stay below the store's bound for memos of a kind.
pub const REPORTS_PER_DAY_MAX: u32 = 1_000;
/// Of these, reports by mail whose sender is not proven: strangers cannot use up the day.
pub const UNPROVEN_PER_DAY_MAX: u32 = 500;
/// Parts of a mail that are looked at.
const PARTS_MAX: usize = 100;
/// Octets of an organization in a key.
const KEY_ORGANIZATION_MAX: usize = 150;
/// Octets of a report's id in a key; a key has 512 at most.
const KEY_ID_MAX: usize = 300;
/// Policies of a kept report.
const POLICIES_MAX: usize = 100;
/// Failures of a kept report, over all its policies.
const FAILURES_MAX: usize = 100;
/// Octets of a kept report: a memo may have 256 KiB.
const STORED_OCTETS_MAX: usize = 192 << 10;

/// Reports looked at for one page, the newest first …
pub const LOOKED_AT_MAX: usize = 1_000;
/// … of so many octets together: made-up ones are large …
const LOOKED_AT_OCTETS_MAX: usize = 4 << 20;
/// … so many at once.
const NEWEST_PAGE: usize = 20;

/// How a report came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// By mail.
    Mail,
    /// By the command line.
    File,
}

/// A report in short, as it is kept and shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// Who reports.
    pub organization: String,
    /// Its id.
    pub report_id: String,
    /// Whom to ask.
    pub contact: String,
    /// Begin of its period, RFC 3339.
    pub start: String,
    /// End of its period; empty: it said none.
    pub end: String,
    /// When it came in, RFC 3339.
    pub received_at: String,
    /// How.
    pub by: By,
    /// Sessions that met the policies, of all policies.
    pub successes: u64,
    /// Sessions that did not.
    pub failed: u64,
    /// Policy by policy.
    pub policies: Vec<StoredPolicy>,
    /// Failures and policies that are not kept.
    pub left_out: u64,
    /// What the mail that brought it was worth; `None`: it came by a file, or its mail was not looked at, which proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Marked>,
}

/// Where a report by mail came from.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// Whether the mail is its sender's.
    pub results: Results,
    /// Whom the mail's header names as the reporter.
    pub submitters: Vec<Claim>,
}

impl Provenance {
    /// What a report is worth that came so.
    fn mark(&self, report: &Report) -> Marked {
        let name = Claim::name(&report.organization_name);
        let contact = Claim::contact(&report.contact_info);
        let claims: Vec<Claim> = name.into_iter().chain(self.submitters.iter().cloned()).chain(contact).collect();
        self.results.mark(&claims)
    }
}

/// One policy of a kept report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoredPolicy {
    /// The domain.
    pub domain: String,
    /// `tlsa`, `sts`, `no-policy-found`.
    pub policy_type: String,
    /// Sessions that met it.
    pub successes: u64,
    /// Sessions that did not.
    pub failed: u64,
    /// The failures, most frequent first.
    pub failures: Vec<StoredFailure>,
}

/// Failures of one kind at one place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoredFailure {
    /// What went wrong (RFC 8460 §4.3).
    pub result_type: String,
    /// The receiving host.
    pub mx: String,
    /// Its address.
    pub mx_ip: String,
    /// The sender's address.
    pub sender_ip: String,
    /// Sessions.
    pub count: u64,
    /// The sender's words.
    pub reason: String,
}

/// What became of a report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It is kept under this key.
    New(String),
    /// It was known already, under this key.
    Known(String),
}

/// Why a report was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    /// Nothing in it is a report.
    #[error("no TLS report in it: {0}")]
    NoReport(String),
    /// Its period is not of the last ninety days.
    #[error("its period ({0}) is not within the last {RETENTION_DAYS} days")]
    Period(String),
    /// Too many came today.
    #[error("more than {REPORTS_PER_DAY_MAX} reports today")]
    TooMany,
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NoReport> for Refused {
    fn from(error: NoReport) -> Self {
        Refused::NoReport(error.to_string())
    }
}

/// Takes reports in and shows them; clones share the day's count.
#[derive(Clone)]
pub struct Receiver<M = Store> {
    memory: M,
    clock: Clock,
    metrics: Arc<Metrics>,
    today: Arc<Mutex<Today>>,
}

/// A day and how many reports were taken in it.
#[derive(Default)]
struct Today {
    day: u32,
    taken: u32,
    unproven: u32,
}

impl<M: Memory> Receiver<M> {
    /// A receiver that keeps reports in this store.
    pub fn new(memory: M, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Receiver { memory, clock, metrics, today: Arc::default() }
    }

    /// Takes the report of a mail to `[tls_report] address`; one that is known already is taken, too.
    ///
    /// # Errors
    /// It holds no report, or the report could not be kept.
    pub async fn take(&self, raw: Bytes, from: Option<Provenance>) -> Result<(), Refused> {
        let taken = self.receive_marked(raw, By::Mail, move |report| from.map(|from| from.mark(report))).await;
        match &taken {
            Ok(Taken::New(key)) => log::info!("act=tls_report report={key:?} verdict=received"),
            Ok(Taken::Known(key)) => log::info!("act=tls_report report={key:?} verdict=known"),
            Err(error) => log::info!("act=tls_report verdict=refused error={:?}", error.to_string()),
        }
        taken.map(drop)
    }

    /// Takes a report that nobody proves: of a file it needs no proof.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn receive(&self, raw: Bytes, by: By) -> Result<Taken, Refused> {
        self.receive_marked(raw, by, |_| None).await
    }

    /// Takes a report; `mark` says what its mail is worth, once it is known whom it names.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn receive_marked(
        &self,
        raw: Bytes,
        by: By,
        mark: impl FnOnce(&Report) -> Option<Marked> + Send + 'static,
    ) -> Result<Taken, Refused> {
        let now = self.clock.now();
        let memory = self.memory.clone();
        let read = smol::unblock(move || {
            let report = read(&raw)?;
            let key = key(&report, now.day())?;
            let mark = mark(&report);
            let is_proven = by == By::File || mark.as_ref().is_some_and(|marked| marked.mark == Mark::Verified);
            // A report that somebody forged first must not keep the true one out.
            let stands =
                |value: Vec<u8>| !is_proven || serde_json::from_slice(&value).is_ok_and(|kept| was_proven(&kept));
            let known = memory.memo(MemoKind::TlsReports, &key)?.is_some_and(stands);
            Ok::<_, Refused>((key, known, is_proven, stored_octets(&report, (by, mark), now)))
        });
        let (key, known, is_proven, value) = read.await?;
        if known {
            return Ok(Taken::Known(key));
        }
        self.count(now.day(), is_proven)?;
        let change = MemoChange { kind: MemoKind::TlsReports, key: key.clone(), value: Some(value) };
        self.memory.put_memos(vec![change]).await?;
        self.metrics.tls_reports_received.one();
        Ok(Taken::New(key))
    }

    fn count(&self, day: u32, is_proven: bool) -> Result<(), Refused> {
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        if today.day != day {
            *today = Today { day, ..Today::default() };
        }
        if today.taken >= REPORTS_PER_DAY_MAX || (!is_proven && today.unproven >= UNPROVEN_PER_DAY_MAX) {
            return Err(Refused::TooMany);
        }
        today.taken += 1;
        today.unproven += u32::from(!is_proven);
        Ok(())
    }

    /// Kept reports in the order of their days, behind `after` (a key or a day's name), at most `limit` looked at: with
    /// the key of each, and the key to go on behind. Those that name `domain` only, if it is not empty. Blocking.
    ///
    /// # Errors
    /// The store's.
    pub fn list(&self, domain: &str, after: Option<&str>, limit: usize) -> Result<Listed, StoreError> {
        let oldest = day_name(self.clock.now().day().saturating_sub(RETENTION_DAYS));
        let after = after.filter(|after| *after > oldest.as_str()).unwrap_or(&oldest);
        let rows = self.memory.memos(MemoKind::TlsReports, "", Some(after), limit)?;
        let next = (rows.len() == limit).then(|| rows.last().map(|(key, _)| key.clone())).flatten();
        let reports = rows
            .into_iter()
            .filter_map(|(key, value)| Some((key, serde_json::from_slice::<Stored>(&value).ok()?)))
            .filter(|(_, stored)| {
                domain.is_empty() || stored.policies.iter().any(|p| p.domain.eq_ignore_ascii_case(domain))
            })
            .collect();
        Ok(Listed { reports, next })
    }

    /// Kept reports of so many days, those of the newest day first, behind `after`; at most `limit`, and at most
    /// [`LOOKED_AT_MAX`] looked at: then there may be a next page behind a short one. Blocking.
    ///
    /// # Errors
    /// The store's.
    pub fn newest(&self, domain: &str, days: u32, after: Option<&str>, limit: usize) -> Result<Listed, StoreError> {
        let today = self.clock.now().day();
        let oldest = today.saturating_sub(days.clamp(1, RETENTION_DAYS) - 1);
        let cursor = after.and_then(|key| Some((day_of_key(key)?.0, key.to_owned())));
        // A sender's day may be one ahead of ours.
        let first = cursor.as_ref().map_or(today + 1, |(day, _)| (*day).min(today + 1));
        let mut found = Listed { reports: Vec::new(), next: None };
        let (mut looked_at, mut octets, mut last) = (0, 0, None);
        for day in (oldest..=first).rev() {
            let mut within = cursor.as_ref().filter(|(of, _)| *of == day).map(|(_, key)| key.clone());
            let prefix = format!("{}/", day_name(day));
            loop {
                let rows = self.memory.memos(MemoKind::TlsReports, &prefix, within.as_deref(), NEWEST_PAGE)?;
                let is_last = rows.len() < NEWEST_PAGE;
                for (key, value) in rows {
                    let is_enough = looked_at >= LOOKED_AT_MAX || octets >= LOOKED_AT_OCTETS_MAX;
                    if found.reports.len() >= limit || is_enough {
                        found.next = last;
                        return Ok(found);
                    }
                    (looked_at, octets) = (looked_at + 1, octets + value.len());
                    (within, last) = (Some(key.clone()), Some(key.clone()));
                    let Ok(stored) = serde_json::from_slice::<Stored>(&value) else { continue };
                    if domain.is_empty() || stored.policies.iter().any(|p| p.domain.eq_ignore_ascii_case(domain)) {
                        found.reports.push((key, stored));
                    }
                }
                if is_last {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// One kept report. Blocking.
    ///
    /// # Errors
    /// The store's.
    pub fn show(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        let value = self.memory.memo(MemoKind::TlsReports, key)?;
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }
}

/// Kept reports as the control socket and pages see them. Every method may block.
pub trait Shelf: Send + Sync {
    /// See [`Receiver::list`].
    fn list(&self, domain: &str, after: Option<&str>, limit: usize) -> Result<Listed, StoreError>;
    /// See [`Receiver::newest`].
    fn newest(&self, domain: &str, days: u32, after: Option<&str>, limit: usize) -> Result<Listed, StoreError>;
    /// See [`Receiver::show`].
    fn show(&self, key: &str) -> Result<Option<Stored>, StoreError>;
    /// See [`Receiver::receive`]; it is a file of the operator's.
    fn import(&self, raw: Vec<u8>) -> Result<Taken, Refused>;
}

impl<M: Memory> Shelf for Receiver<M> {
    fn list(&self, domain: &str, after: Option<&str>, limit: usize) -> Result<Listed, StoreError> {
        Receiver::list(self, domain, after, limit)
    }
    fn newest(&self, domain: &str, days: u32, after: Option<&str>, limit: usize) -> Result<Listed, StoreError> {
        Receiver::newest(self, domain, days, after, limit)
    }
    fn show(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        Receiver::show(self, key)
    }
    fn import(&self, raw: Vec<u8>) -> Result<Taken, Refused> {
        smol::block_on(self.receive(raw.into(), By::File))
    }
}

/// A page of kept reports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Keys and reports.
    pub reports: Vec<(String, Stored)>,
    /// Where the next page starts; `None`: this was the last.
    pub next: Option<String>,
}

/// Forgets reports whose time is over.
pub(super) async fn prune<M: Memory>(memory: &M, today: u32) -> Result<(), StoreError> {
    super::forget_before(memory, MemoKind::TlsReports, "", today.saturating_sub(RETENTION_DAYS)).await
}

/// Finds and reads the report in a mail, a gzip file, or JSON.
///
/// # Errors
/// There is none, or it is too large or broken.
pub fn read(raw: &[u8]) -> Result<Report, Refused> {
    if raw.len() > RAW_OCTETS_MAX {
        return Err(Refused::NoReport(format!("it is over {} MiB", RAW_OCTETS_MAX >> 20)));
    }
    let raw = inflated(raw)?;
    if is_json(&raw) {
        return Ok(Report::read(&raw)?);
    }
    let message = MessageParser::default().parse(raw.as_ref());
    let parts = message.as_ref().map_or(&[][..], |m| m.parts.as_slice());
    // Of those that look alike, the first.
    let best = parts.iter().take(PARTS_MAX).rev().max_by_key(|part| likeness(part)).filter(|part| likeness(part) > 0);
    let Some(part) = best else { return Err(Refused::NoReport("no part of the mail looks like one".into())) };
    Ok(Report::read(&inflated(part.contents())?)?)
}

/// How much a part looks like a report: by its type, by the name of its file, or not at all.
fn likeness(part: &mail_parser::MessagePart<'_>) -> u8 {
    if matches!(part.body, PartType::Multipart(_) | PartType::Message(_)) {
        return 0;
    }
    let (kind, subtype) = part.content_type().map_or(("", ""), |t| (t.ctype(), t.subtype().unwrap_or_default()));
    let subtype = subtype.to_ascii_lowercase();
    let name = part.attachment_name().unwrap_or_default().to_ascii_lowercase();
    match subtype.as_str() {
        "tlsrpt+gzip" | "tlsrpt+json" | "tlsrpt" if kind.eq_ignore_ascii_case("application") => 3,
        _ if name.ends_with(".json.gz") || name.ends_with(".json") => 2,
        "gzip" | "x-gzip" | "json" => 1,
        _ => 0,
    }
}

fn is_json(octets: &[u8]) -> bool {
    octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets).trim_ascii_start().starts_with(b"{")
}

/// What gzip holds; what is no gzip stays as it is.
fn inflated(octets: &[u8]) -> Result<Cow<'_, [u8]>, Refused> {
    if !inflate::is_gzip(octets) {
        return Ok(Cow::Borrowed(octets));
    }
    if octets.len() > GZIP_OCTETS_MAX {
        return Err(Refused::NoReport(format!("the compressed file is over {} MiB", GZIP_OCTETS_MAX >> 20)));
    }
    match Inflated::gzip(octets, Bound { octets_max: JSON_OCTETS_MAX as u64 }).all() {
        Ok(out) => Ok(Cow::Owned(out)),
        Err(inflate::Fault::TooLong(_)) => Err(NoReport::TooLarge.into()),
        Err(fault) => Err(Refused::NoReport(fault.to_string())),
    }
}

/// The key of a report.
fn key(report: &Report, today: u32) -> Result<String, Refused> {
    let day = report.start().unwrap_or(Timestamp::ZERO).day();
    if day > today + 1 || day < today.saturating_sub(RETENTION_DAYS) {
        return Err(Refused::Period(report.date_range.start_datetime.clone()));
    }
    let organization = part_of_key(&report.organization_name, KEY_ORGANIZATION_MAX);
    Ok(format!("{}/{organization}/{}", day_name(day), part_of_key(&report.report_id, KEY_ID_MAX)))
}

/// A text as part of a key: ASCII without slash, bounded; where that changed it, with a mark that keeps it apart from others.
fn part_of_key(text: &str, octets_max: usize) -> String {
    let plain = |c: char| if c == ' ' || (c.is_ascii_graphic() && c != '/') { c } else { '_' };
    let part: String = text.chars().map(plain).take(octets_max).collect();
    if part == text { part } else { format!("{part}~{:016x}", fingerprint(&[text])) }
}

/// A kept report that another of its name does not replace: its mail was proven, or it is from a file.
fn was_proven(kept: &Stored) -> bool {
    kept.by == By::File || kept.mark.as_ref().is_some_and(|marked| marked.mark == Mark::Verified)
}

/// The report in short, in JSON of at most [`STORED_OCTETS_MAX`].
fn stored_octets(report: &Report, (by, mark): (By, Option<Marked>), now: Timestamp) -> Vec<u8> {
    let mut stored = Stored { mark, ..Stored::of(report, by, now) };
    for policies_max in [POLICIES_MAX, POLICIES_MAX / 10] {
        let octets = serde_json::to_vec(&stored).expect("texts and numbers have a form in JSON");
        if octets.len() <= STORED_OCTETS_MAX {
            return octets;
        }
        // Only made-up reports have a hundred failures with long texts of characters that need escapes.
        stored.policies.truncate(policies_max);
        for policy in &mut stored.policies {
            stored.left_out += policy.failures.len() as u64;
            policy.failures.clear();
        }
    }
    serde_json::to_vec(&stored).expect("texts and numbers have a form in JSON")
}

impl Stored {
    fn of(report: &Report, by: By, now: Timestamp) -> Self {
        let mut room = FAILURES_MAX;
        let mut left_out = report.policies.len().saturating_sub(POLICIES_MAX) as u64;
        let policies = report.policies.iter().take(POLICIES_MAX).map(|policy| {
            let mut failures: Vec<StoredFailure> = policy.failure_details.iter().map(StoredFailure::of).collect();
            failures.sort_by_key(|failure| std::cmp::Reverse(failure.count));
            left_out += failures.len().saturating_sub(room) as u64;
            failures.truncate(room);
            room -= failures.len();
            StoredPolicy {
                domain: policy.policy.policy_domain.to_ascii_lowercase(),
                policy_type: policy.policy.policy_type.clone(),
                successes: policy.summary.total_successful_session_count,
                failed: policy.summary.total_failure_session_count,
                failures,
            }
        });
        let policies: Vec<StoredPolicy> = policies.collect();
        let sum = |count: fn(&super::json::Summary) -> u64| {
            report.policies.iter().map(|p| count(&p.summary)).fold(0, u64::saturating_add)
        };
        let time = |at: Option<Timestamp>| at.map_or_else(String::new, Timestamp::rfc3339);
        Stored {
            organization: report.organization_name.clone(),
            report_id: report.report_id.clone(),
            contact: report.contact_info.clone(),
            start: time(report.start()),
            end: time(report.end()),
            received_at: now.rfc3339(),
            by,
            successes: sum(|s| s.total_successful_session_count),
            failed: sum(|s| s.total_failure_session_count),
            policies,
            left_out,
            mark: None,
        }
    }
}

impl StoredFailure {
    fn of(failure: &Failure) -> Self {
        let words = [&failure.failure_reason_code, &failure.additional_information];
        let words: Vec<&str> = words.into_iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        StoredFailure {
            result_type: failure.result_type.clone(),
            mx: failure.receiving_mx_hostname.clone(),
            mx_ip: failure.receiving_ip.clone(),
            sender_ip: failure.sending_mta_ip.clone(),
            count: failure.failed_session_count,
            reason: words.join("; "),
        }
    }
}
