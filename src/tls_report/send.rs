//! The reports' shell: once a day, for each domain that our mail went to, asks who wants a report, composes and sends it.
//!
//! In: yesterday's results, memos `YYYY-MM-DD/domain` of [`MemoKind::TlsResults`].  Out: reports by [`Ways`].
//! Always: nothing is sent unless `[tls_report] contact` is set; each report has its own moment within four hours after the
//! day (UTC), the same after a restart; what failed is tried again for a day and no longer; results leave the store once they
//! were sent, nobody wants them, or they are three days old; a report that goes out twice (a crash between sending and
//! noting) has the same id, by which its receiver knows it.
//! Sources: RFC 8460 §3, §4.1 and §5.5.

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smol::{Timer, future::FutureExt};

use super::{
    Memory, day_of_key, fingerprint, forget, gzip,
    json::{Report, SaidBy},
    mail::{self, ReportMail},
    midnight, receive,
    record::{self, HttpsPlace, Place},
};
use crate::{
    clock::{Clock, Timestamp},
    config::InForce,
    deliver::tls_results::DayResults,
    metrics::Metrics,
    net::dns::DnsError,
    runtime::{Runtime, Shutdown, Stage},
    smtp::address::Mailbox,
    store::{MemoChange, MemoKind, StoreError},
    when::day_name,
};

/// How often it is looked whether a report is due.
const ROUND_WAIT: Duration = Duration::from_secs(300);
/// Not before this long after midnight: the last sessions of a day are counted when they end.
const OFFSET_MIN: Duration = Duration::from_secs(600);
/// Not later than this, so that not everybody reports at midnight, and all still do in the night (RFC 8460 §4.1).
const OFFSET_MAX: Duration = Duration::from_secs(4 * 3600);
/// Pauses after failed tries: a day in all (RFC 8460 §5.5).
const RETRY_WAITS: [Duration; 8] = [
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(4 * 3600),
    Duration::from_secs(8 * 3600),
    Duration::from_secs(8 * 3600),
];
/// Results older than this many days are forgotten unsent: nobody waits for them any more.
const DAYS_KEPT: u32 = 3;
/// Results read at once: each may have 256 KiB.
const PAGE: usize = 32;
/// Reports on their way at once.
const AT_ONCE: usize = 8;
/// Where the memos about unfinished sending begin; days begin with a digit.
const PROGRESS: &str = "sending/";

/// A mail that is ready for the door.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutMail {
    /// Its envelope sender: the contact.
    pub from: Mailbox,
    /// Its recipient.
    pub to: Mailbox,
    /// The message.
    pub bytes: Bytes,
}

/// The ways out.
pub trait Ways: Send + Sync + 'static {
    /// The TXT records of a name.
    fn records(&self, name: &str) -> impl Future<Output = Result<Vec<String>, DnsError>> + Send;
    /// Submits a mail; returns when it is on disk.
    fn mail(&self, mail: OutMail) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Posts a report's file; words on failure.
    fn post(&self, to: &HttpsPlace, gzip: Bytes) -> impl Future<Output = Result<(), String>> + Send;
}

/// What the reports' task is made of.
pub struct Parts<M, W> {
    /// Where it runs.
    pub runtime: Runtime,
    /// The store.
    pub memory: M,
    /// The time.
    pub clock: Clock,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The daemon's stop.
    pub shutdown: Shutdown,
    /// The ways out.
    pub ways: W,
    /// The config in force: hostname, contact and organization.
    pub config: InForce,
}

/// Starts the task; it ends when the shutdown drains.
pub fn start<M: Memory, W: Ways>(parts: Parts<M, W>) {
    let runtime = parts.runtime.clone();
    runtime.spawn("tls-reports", run(Arc::new(parts)));
}

async fn run<M: Memory, W: Ways>(parts: Arc<Parts<M, W>>) {
    while parts.shutdown.stage() == Stage::Running {
        match round(&parts).await {
            Ok(()) => {}
            Err(StoreError::Closed) => return,
            Err(error) => log::warn!("act=tls_report what=\"reports wait\" error=\"{error}\""),
        }
        let pause = async {
            Timer::after(ROUND_WAIT).await;
        };
        pause.or(parts.shutdown.drained()).await;
    }
}

/// Forgets what is old, and sends what is due.
pub(super) async fn round<M: Memory, W: Ways>(parts: &Arc<Parts<M, W>>) -> Result<(), StoreError> {
    let today = parts.clock.now().day();
    receive::prune(&parts.memory, today).await?;
    forget_old(&parts.memory, today).await?;
    let config = parts.config.get();
    let contact = match Mailbox::parse(&config.tls_report.contact) {
        Ok(contact) => contact,
        // Empty: no reports are sent. The config's own check refuses what is no address.
        Err(_) => return Ok(()),
    };
    let hostname = config.server.hostname.clone();
    let organization = match config.tls_report.organization.as_str() {
        "" => hostname.clone(),
        organization => organization.to_owned(),
    };
    let us = Arc::new(Us { contact, organization, hostname });
    for day in (today.saturating_sub(DAYS_KEPT)..today).filter(|day| *day > 0) {
        send_day(parts, &us, day).await?;
    }
    Ok(())
}

/// Who reports.
struct Us {
    contact: Mailbox,
    organization: String,
    hostname: String,
}

/// When the report of a day about a domain is due: spread over the night by what it is about, so that a restart changes
/// nothing and domains with many senders are not met by all of them at once.
pub(super) fn due_at(hostname: &str, day: u32, domain: &str) -> Timestamp {
    let span = OFFSET_MAX.saturating_sub(OFFSET_MIN).as_secs();
    let offset = fingerprint(&[hostname, &day.to_string(), domain]) % span;
    midnight(day + 1).plus(OFFSET_MIN).plus(Duration::from_secs(offset))
}

/// One report that is due.
struct Due {
    key: String,
    day: u32,
    domain: String,
    results: Vec<u8>,
    progress: Progress,
}

/// How far the sending of one report has come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// Tries that failed.
    tries: u32,
    /// Not before this, milliseconds since 1970.
    next: u64,
    /// Places that have it.
    done: BTreeSet<String>,
}

async fn send_day<M: Memory, W: Ways>(parts: &Arc<Parts<M, W>>, us: &Arc<Us>, day: u32) -> Result<(), StoreError> {
    let mut after: Option<String> = None;
    loop {
        let (memory, us_there, now) = (parts.memory.clone(), us.clone(), parts.clock.now());
        let page = smol::unblock(move || due_page(&memory, &us_there, day, after.as_deref(), now)).await?;
        let mut due = page.due.into_iter();
        while due.len() > 0 && parts.shutdown.stage() == Stage::Running {
            let start = |due| {
                let (there, us) = (parts.clone(), us.clone());
                parts.runtime.task("tls-report", async move { report(&there, &us, due).await })
            };
            let group: Vec<_> = due.by_ref().take(AT_ONCE).map(start).collect();
            for task in group {
                task.await.unwrap_or(Ok(()))?;
            }
        }
        if parts.shutdown.stage() != Stage::Running {
            return Ok(());
        }
        match page.last {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}

/// A page of results, those of it that are due, and the key of its last; `None`: there is no other page.
struct DuePage {
    due: Vec<Due>,
    last: Option<String>,
}

/// Blocking.
fn due_page<M: Memory>(
    memory: &M,
    us: &Us,
    day: u32,
    after: Option<&str>,
    now: Timestamp,
) -> Result<DuePage, StoreError> {
    let rows = memory.memos(MemoKind::TlsResults, &format!("{}/", day_name(day)), after, PAGE)?;
    let last = (rows.len() == PAGE).then(|| rows.last().map(|(key, _)| key.clone())).flatten();
    let mut due = Vec::new();
    for (key, results) in rows {
        let Some((_, domain)) = day_of_key(&key) else { continue };
        if due_at(&us.hostname, day, domain) > now {
            continue;
        }
        let progress = memory.memo(MemoKind::TlsResults, &format!("{PROGRESS}{key}"))?;
        let progress: Progress = progress.and_then(|value| serde_json::from_slice(&value).ok()).unwrap_or_default();
        if progress.next <= now.as_millis() {
            due.push(Due { domain: domain.to_owned(), key, day, results, progress });
        }
    }
    Ok(DuePage { due, last })
}

/// Sends one report to all who want it and have not got it.
async fn report<M: Memory, W: Ways>(parts: &Arc<Parts<M, W>>, us: &Us, mut due: Due) -> Result<(), StoreError> {
    let results: DayResults = match serde_json::from_slice(&due.results) {
        Ok(results) => results,
        Err(error) => {
            log::warn!("act=tls_report what=\"a day's results cannot be read\" key={} error=\"{error}\"", due.key);
            return finish(parts, &due).await;
        }
    };
    let wanted = match parts.ways.records(&record::name(&due.domain)).await {
        Ok(records) => record::wanted(&records),
        Err(DnsError::NxDomain | DnsError::NoData | DnsError::BadName) => None,
        Err(error @ (DnsError::Servfail(_) | DnsError::Timeout(_))) => {
            log::info!("act=tls_report domain={} what=\"who wants it is not known\" error=\"{error}\"", due.domain);
            return later(parts, due).await;
        }
    };
    let Some(wanted) = wanted.filter(|_| !results.policies.is_empty()) else { return finish(parts, &due).await };
    let sheet = Sheet::new(us, &due, &results);
    let mut all = true;
    for place in wanted.0 {
        let name = place.to_string();
        if due.progress.done.contains(&name) {
            continue;
        }
        let sent = match place {
            Place::Mail(to) => {
                let bytes = sheet.mail(us, &due, &to, parts.clock.now());
                let sent = parts.ways.mail(OutMail { from: us.contact.clone(), to, bytes }).await;
                if let Err(StoreError::Closed) = sent {
                    return Err(StoreError::Closed);
                }
                sent.map_err(|e| e.to_string())
            }
            Place::Https(to) => parts.ways.post(&to, sheet.gzip.clone()).await,
        };
        match sent {
            Ok(()) => {
                parts.metrics.tls_reports_sent.one();
                log::info!("act=tls_report domain={} report={} to={name} verdict=sent", due.domain, sheet.id);
                due.progress.done.insert(name);
            }
            Err(error) => {
                all = false;
                log::info!(
                    "act=tls_report domain={} report={} to={name} verdict=deferred try={} error={error:?}",
                    due.domain,
                    sheet.id,
                    due.progress.tries + 1
                );
            }
        }
    }
    if all { finish(parts, &due).await } else { later(parts, due).await }
}

/// A report and what its mails say of it.
struct Sheet {
    id: String,
    gzip: Bytes,
    start: Timestamp,
    end: Timestamp,
    successes: u64,
    failed: u64,
}

impl Sheet {
    fn new(us: &Us, due: &Due, results: &DayResults) -> Self {
        let id = format!("{}.{}@{}", day_name(due.day), due.domain, us.hostname);
        let said_by = SaidBy { organization: &us.organization, contact: us.contact.as_str(), id: &id };
        let report = Report::of_day(results, &said_by, due.day);
        let sum = |count: fn(&crate::deliver::tls_results::PolicyResult) -> u64| {
            results.policies.iter().map(count).fold(0, u64::saturating_add)
        };
        Sheet {
            gzip: gzip(&report.write()).into(),
            start: midnight(due.day),
            end: midnight(due.day + 1).minus(Duration::from_secs(1)),
            successes: sum(|p| p.successes),
            failed: sum(|p| p.failed),
            id,
        }
    }

    fn mail(&self, us: &Us, due: &Due, to: &Mailbox, at: Timestamp) -> Bytes {
        let bytes = mail::compose(&ReportMail {
            hostname: &us.hostname,
            contact: &us.contact,
            to,
            domain: &due.domain,
            id: &self.id,
            start: self.start,
            end: self.end,
            at,
            successes: self.successes,
            failed: self.failed,
            gzip: &self.gzip,
        });
        bytes.into()
    }
}

/// The day's results of this domain have served.
async fn finish<M: Memory, W>(parts: &Parts<M, W>, due: &Due) -> Result<(), StoreError> {
    let kind = MemoKind::TlsResults;
    parts.memory.put_memos(vec![forget(kind, &due.key), forget(kind, format!("{PROGRESS}{}", due.key))]).await
}

/// Another try, if one is left.
async fn later<M: Memory, W>(parts: &Parts<M, W>, mut due: Due) -> Result<(), StoreError> {
    let Some(wait) = RETRY_WAITS.get(due.progress.tries as usize) else {
        log::warn!("act=tls_report domain={} day={} verdict=failed what=\"given up\"", due.domain, day_name(due.day));
        return finish(parts, &due).await;
    };
    due.progress.tries += 1;
    due.progress.next = parts.clock.now().plus(*wait).as_millis();
    let value = serde_json::to_vec(&due.progress).expect("numbers and texts have a form in JSON");
    let key = format!("{PROGRESS}{}", due.key);
    parts.memory.put_memos(vec![MemoChange { kind: MemoKind::TlsResults, key, value: Some(value) }]).await
}

/// Forgets results that are too old, sent or not, and the notes about sending them.
async fn forget_old<M: Memory>(memory: &M, today: u32) -> Result<(), StoreError> {
    for prefix in ["", PROGRESS] {
        super::forget_before(memory, MemoKind::TlsResults, prefix, today.saturating_sub(DAYS_KEPT)).await?;
    }
    Ok(())
}
