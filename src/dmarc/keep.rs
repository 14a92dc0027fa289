//! Keeps reports: each once, with its rows, within the bounds of a day.
//!
//! ```text
//! octets ─► read ─► report ─┬─► known? bounds? ─► rows packed in pieces ─┬─► pieces of a large report, ahead
//!                           ├─► failure ─────────────────────────────────┤
//!                           └─► TLS report ─► (whoever takes those)       └─► last: its pieces and the report, one transaction
//! ```
//!
//! In: a mail, a file, or an archive; how it came, and what its sender is worth.  Out: what became of each report in it.
//! Always: a report is known by its domain, the day on which its period begins (UTC), its organisation and its id; its rows count
//! only once the report itself is on disk, and that comes in the transaction of its last rows: a crash before leaves pieces that
//! nobody counts (a repeat writes the same ones again, and pruning takes them), a crash after leaves all of it. A report whose
//! sender is proven takes the place of the same one from somebody unproven, never the other way. What strangers send is bounded
//! by the day, so that no flood fills the disk; what an operator brings is not.
//! Sources: RFC 9990 §3.5 and §5.2 (duplicates, trust), RFC 7489 §7.2, RFC 9991.

mod batch;
mod kept;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use smol::block_on;

pub use self::batch::Batch;
use super::{
    report::{Fault, NoReport},
    row::{By, KeptReport, Mark},
};
use crate::{
    clock::{Clock, DAY_MILLIS, Timestamp},
    config::{Config, InForce},
    lookup::is_below,
    metrics::Metrics,
    store::{MEMOS_A_CALL_MAX, MEMOS_A_CALL_OCTETS_MAX, MemoChange, MemoKind, Memos, Store, StoreError},
};

/// Reports that are taken in a day of all whose mail proves no sender …
pub const UNPROVEN_REPORTS_A_DAY: u64 = 1_000;
/// … their rows …
pub const UNPROVEN_ROWS_A_DAY: u64 = 20_000;
/// … and octets as they are kept: 3 GB in thirteen months.
pub const UNPROVEN_OCTETS_A_DAY: u64 = 8 << 20;
/// Reports of one proven sender in a day: one for each of many domains.
pub const PROVEN_REPORTS_A_DAY: u64 = 5_000;
/// Their rows.
pub const PROVEN_ROWS_A_DAY: u64 = 2_000_000;
/// Their octets.
pub const PROVEN_OCTETS_A_DAY: u64 = 64 << 20;
/// Octets of all proven senders together: whoever owns a domain can prove it.
pub const ALL_OCTETS_A_DAY: u64 = 256 << 20;
/// Proven senders that are told apart in a day.
const SENDERS_MAX: usize = 10_000;
/// Failure reports in a day: with [`MemoKind::DmarcFailures`] at 100,000, thirteen months of them.
pub const FAILURES_A_DAY: u64 = 250;
/// Of these, from senders who are not proven.
pub const UNPROVEN_FAILURES_A_DAY: u64 = 50;
/// Memos and octets that wait to be written, below what one transaction may have.
const WAITING_MEMOS_MAX: usize = MEMOS_A_CALL_MAX - 100;
const WAITING_OCTETS_MAX: usize = MEMOS_A_CALL_OCTETS_MAX - (512 << 10);

/// What this room asks of the store.
pub trait Memory: Memos + Clone {}

impl<M: Memos + Clone> Memory for M {}

/// What a report is worth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Weighed {
    /// Whether it is its sender's word.
    pub mark: Mark,
    /// The domain of its mail's From field; empty: it came otherwise.
    pub from: String,
    /// Why, in a few words.
    pub why: String,
}

/// What a report is worth that names this organisation and this contact.
pub type Weigh = Arc<dyn Fn(&str, &str) -> Weighed + Send + Sync>;

/// How something came in.
#[derive(Clone)]
pub struct Origin {
    /// By which way.
    pub by: By,
    /// What its reports are worth.
    pub weigh: Weigh,
}

impl Origin {
    /// Brought by somebody who may change things here.
    pub fn brought(by: By) -> Self {
        Origin::of(by, Weighed { mark: Mark::Imported, from: String::new(), why: String::new() })
    }

    /// All of it is worth the same.
    pub fn of(by: By, weighed: Weighed) -> Self {
        Origin { by, weigh: Arc::new(move |_, _| weighed.clone()) }
    }
}

/// What became of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Became {
    /// It is kept.
    New,
    /// It is kept in the place of the same one from a sender who is worth less.
    Better,
    /// It was known.
    Known,
    /// It was not taken.
    Refused,
}

/// What a report is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Many mails by rows.
    Aggregate,
    /// One mail that failed.
    Failure,
    /// TLS.
    Tls,
}

impl Kind {
    /// The word in rows and tables.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Aggregate => "aggregate",
            Kind::Failure => "failure",
            Kind::Tls => "tls",
        }
    }
}

/// A report and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// What it is about.
    pub kind: Kind,
    /// What became of it.
    pub became: Became,
    /// The domain that it is about.
    pub domain: String,
    /// Who reports.
    pub organization: String,
    /// Its id.
    pub report_id: String,
    /// Its rows.
    pub rows: u64,
    /// Whether it is its sender's word.
    pub mark: Mark,
    /// Why it was refused; empty: it was not.
    pub why: String,
}

impl Taken {
    /// Nothing came, nothing became of it.
    pub fn nothing() -> Self {
        Taken {
            kind: Kind::Tls,
            became: Became::Refused,
            domain: String::new(),
            organization: String::new(),
            report_id: String::new(),
            rows: 0,
            mark: Mark::Unknown,
            why: String::new(),
        }
    }
}

/// Why nothing was taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    /// There is no report in it, or none that can be read.
    #[error(transparent)]
    NoReport(#[from] NoReport),
    /// The store could not: nothing of it counts.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refused {
    /// It does not even look like a report: a person may have written it.
    pub fn is_no_report_at_all(&self) -> bool {
        matches!(self, Refused::NoReport(no) if no.fault == Fault::Nothing)
    }
}

/// Whoever takes TLS reports that come here, with how they came: what became of it, or the store's fault.
pub type TakeTls = Arc<dyn Fn(Vec<u8>, &Origin) -> Result<Taken, StoreError> + Send + Sync>;

/// Takes reports in; clones share the day's counts.
#[derive(Clone)]
pub struct Keeper<M = Store> {
    pub(super) memory: M,
    pub(super) clock: Clock,
    pub(super) config: InForce,
    metrics: Arc<Metrics>,
    today: Arc<Mutex<Today>>,
    /// Held while it is asked whether reports are known and they are written, so that two copies at once count once.
    writing: Arc<Mutex<()>>,
    take_tls: TakeTls,
    /// Memos and octets that wait to be written at most.
    waiting_max: (usize, usize),
}

/// What came in on a day.
#[derive(Default)]
struct Today {
    day: u32,
    unproven: Counted,
    proven: HashMap<String, Counted>,
    all_octets: u64,
    failures: u64,
    unproven_failures: u64,
}

#[derive(Clone, Copy, Default)]
struct Counted {
    reports: u64,
    rows: u64,
    octets: u64,
}

impl<M: Memory> Keeper<M> {
    /// A keeper over this store.
    pub fn new(memory: M, clock: Clock, config: InForce, metrics: Arc<Metrics>, take_tls: TakeTls) -> Self {
        let waiting_max = (WAITING_MEMOS_MAX, WAITING_OCTETS_MAX);
        Keeper { memory, clock, config, metrics, today: Arc::default(), writing: Arc::default(), take_tls, waiting_max }
    }

    /// Takes all reports of one mail, file or archive. Blocking.
    ///
    /// # Errors
    /// There is none, or the store could not keep it.
    pub fn take(&self, raw: &[u8], origin: &Origin) -> Result<Vec<Taken>, Refused> {
        let mut batch = self.batch(origin.clone());
        let found = batch.add(raw);
        let mut taken = batch.finish()?;
        found?;
        Ok(taken.pop().unwrap_or_default())
    }

    /// Several files in as few transactions as their size lets.
    pub fn batch(&self, origin: Origin) -> Batch<'_, M> {
        let now = self.clock.now();
        let config = self.config.get();
        Batch {
            keeper: self,
            origin,
            now,
            oldest: oldest_day(&config, now),
            config,
            files: Vec::new(),
            current: Vec::new(),
            open: None,
            waiting: Vec::new(),
            octets: 0,
            failed: None,
        }
    }

    /// Whether one more report of so many rows is taken today; counts it.
    fn admit(&self, by: By, mark: Mark, from: &str, rows: u64, now: Timestamp) -> Result<(), String> {
        if by != By::Mail {
            return Ok(());
        }
        let mut today = self.today(now);
        if mark.counts() {
            if today.all_octets >= ALL_OCTETS_A_DAY {
                return Err("more reports came today than are kept".into());
            }
            if today.proven.len() >= SENDERS_MAX && !today.proven.contains_key(from) {
                return Err("reports of more senders came today than are kept".into());
            }
            let one = today.proven.entry(from.to_owned()).or_default();
            let most = Counted { reports: PROVEN_REPORTS_A_DAY, rows: PROVEN_ROWS_A_DAY, octets: PROVEN_OCTETS_A_DAY };
            one.admit(rows, most).map_err(|what| format!("more {what} of {from} came today than are kept"))
        } else {
            let most =
                Counted { reports: UNPROVEN_REPORTS_A_DAY, rows: UNPROVEN_ROWS_A_DAY, octets: UNPROVEN_OCTETS_A_DAY };
            let admitted = today.unproven.admit(rows, most);
            admitted.map_err(|what| {
                format!(
                    "more {what} whose sender is not proven came today than are kept: align the mail with SPF or DKIM"
                )
            })
        }
    }

    /// The same for a failure report.
    fn admit_failure(&self, by: By, mark: Mark, now: Timestamp) -> Result<(), String> {
        if by != By::Mail {
            return Ok(());
        }
        let mut today = self.today(now);
        let proven = mark.counts();
        if today.failures >= FAILURES_A_DAY || (!proven && today.unproven_failures >= UNPROVEN_FAILURES_A_DAY) {
            return Err("more failure reports came today than are kept".into());
        }
        today.failures += 1;
        today.unproven_failures += u64::from(!proven);
        Ok(())
    }

    fn count_octets(&self, by: By, mark: Mark, from: &str, octets: u64, now: Timestamp) {
        if by != By::Mail {
            return;
        }
        let mut today = self.today(now);
        if mark.counts() {
            today.all_octets += octets;
            if let Some(one) = today.proven.get_mut(from) {
                one.octets += octets;
            }
        } else {
            today.unproven.octets += octets;
        }
    }

    fn today(&self, now: Timestamp) -> std::sync::MutexGuard<'_, Today> {
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        if today.day != now.day() {
            *today = Today { day: now.day(), ..Today::default() };
        }
        today
    }
}

impl Counted {
    /// Counts a report, or says what there is too much of.
    fn admit(&mut self, rows: u64, most: Counted) -> Result<(), &'static str> {
        if self.reports >= most.reports {
            return Err("reports");
        }
        if self.rows.saturating_add(rows) > most.rows || self.octets >= most.octets {
            return Err("rows of reports");
        }
        self.reports += 1;
        self.rows += rows;
        Ok(())
    }
}

/// The first day whose reports are kept.
pub fn oldest_day(config: &Config, now: Timestamp) -> u32 {
    let days = config.retention.dmarc.as_secs() / (DAY_MILLIS / 1_000);
    now.day().saturating_sub(u32::try_from(days).unwrap_or(u32::MAX))
}

/// By mail, reports come only about these: a domain of the config, a name above one (whose policy it may inherit), or below one.
/// Where the config names no domain, about all.
fn is_watched(config: &Config, domain: &str) -> bool {
    config.domains.is_empty()
        || config
            .domains
            .iter()
            .any(|ours| is_below(domain, &ours.name) || (domain.contains('.') && is_below(&ours.name, domain)))
}

impl<M: Memory> Keeper<M> {
    /// The report that is kept under this key.
    fn known(&self, key: &str) -> Result<Option<KeptReport>, StoreError> {
        let value = self.memory.memo(MemoKind::DmarcReports, key)?;
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }
}

pub(super) fn forget(kind: MemoKind, key: String) -> MemoChange {
    MemoChange { kind, key, value: None }
}

impl<M: Memory> Keeper<M> {
    /// Writes changes in their order, in as many transactions as they need.
    fn put_all(&self, changes: Vec<MemoChange>) -> Result<(), StoreError> {
        let mut some: Vec<MemoChange> = Vec::new();
        let mut octets = 0;
        for change in changes {
            octets += change.value.as_ref().map_or(0, Vec::len);
            some.push(change);
            if some.len() >= self.waiting_max.0 || octets >= self.waiting_max.1 {
                block_on(self.memory.put_memos(std::mem::take(&mut some)))?;
                octets = 0;
            }
        }
        if some.is_empty() { Ok(()) } else { block_on(self.memory.put_memos(some)) }
    }
}

#[cfg(test)]
pub(crate) mod tests;
