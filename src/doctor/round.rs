//! The doctor's daily round: every domain is looked at, what was found is kept, and what changed is told.
//!
//! In: the config's domains, the time of day, a [`Check`].  Out: the last report of each domain in memos of the store; changes in
//! the journal, in memos for [`CHANGES_KEPT`], and for whoever listens ([`Tell`]), all three in one transaction.
//! Always: a report and what is told of it are written together, so that no change is told twice or lost; what the DNS did not
//! answer keeps what was known before; the first look at a domain changes nothing; a round that a stop cut off is made anew.
//! Sources: issue 6, part 3; R10.
//!
//! The keys: `r/DOMAIN` the last report; `b/DOMAIN` what the next one is compared with: the same without what was not answered;
//! `c/TIME/DOMAIN/N` a change; `round` when the last round began.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use smol::{Timer, future::FutureExt, lock::Mutex};

use super::{
    finding::{Area, Change, Finding, Level, Records, Report},
    told::{DomainChange, Tell},
    words::{self, Language},
};
use crate::{
    clock::{Clock, Timestamp},
    config::InForce,
    runtime::{Runtime, Shutdown, Stage},
    store::{MEMO_OCTETS_MAX, MemoChange, MemoKind, Memos, Store, StoreError},
    when::Zone,
};

/// How long changes are kept to be shown.
pub const CHANGES_KEPT: Duration = Duration::from_secs(90 * 86_400);
/// Changes that are kept; of more, the oldest go.
const CHANGES_MAX: usize = 5_000;
/// Changes of one domain that are told at once: more than a broken zone brings.
const CHANGES_AT_ONCE: usize = 100;
/// How often the time is looked at.
const EVERY: Duration = Duration::from_secs(60);
/// After a start the network, and the resolver's trial, get this long.
const AFTER_START: Duration = Duration::from_secs(90);
/// Rows of one read.
const PAGE: usize = 500;

const REPORT: &str = "r/";
const BASE: &str = "b/";
const CHANGE: &str = "c/";
const ROUND: &str = "round";

/// A report on its way.
pub type Checking<'a> = Pin<Box<dyn Future<Output = Report> + Send + 'a>>;

/// Records on their way.
pub type Gathering<'a> = Pin<Box<dyn Future<Output = Records> + Send + 'a>>;

/// Who looks at a domain: the doctor, or a test's.
pub trait Check: Send + Sync + 'static {
    /// Looks at it; bounded in time.
    fn check<'a>(&'a self, domain: &'a str) -> Checking<'a>;
    /// The records that it should have; bounded in time.
    fn records<'a>(&'a self, domain: &'a str) -> Gathering<'a>;
}

/// What the round is made of.
pub struct Parts<M = Store> {
    /// Where reports are kept.
    pub memory: M,
    /// The time.
    pub clock: Clock,
    /// The config in force: the domains, `[domain_check] run`, `[server] time_zone`.
    pub config: InForce,
    /// Who looks.
    pub check: Arc<dyn Check>,
    /// Who is told.
    pub tell: Option<Arc<dyn Tell>>,
}

/// The door to what was found; clones share it.
pub struct Rounds<M = Store>(Arc<Shared<M>>);

impl<M> Clone for Rounds<M> {
    fn clone(&self) -> Self {
        Rounds(self.0.clone())
    }
}

struct Shared<M> {
    parts: Parts<M>,
    /// One report is compared and kept at a time.
    turn: Mutex<()>,
    /// How the domains stand, as far as somebody asked: pages with all of them read no whole reports.
    standings: std::sync::Mutex<BTreeMap<String, Standing>>,
}

/// Findings that a standing names.
const WORST_MAX: usize = 3;

/// How a domain stands, in short.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The domain.
    pub domain: String,
    /// When it was looked at; `None`: not yet.
    pub at: Option<Timestamp>,
    /// Findings because of which mail is refused.
    pub errors: usize,
    /// Findings that want work.
    pub warnings: usize,
    /// The worst of them, without their records.
    pub worst: Vec<Finding>,
}

impl Standing {
    /// Of a report; `None`: nobody looked yet.
    pub fn of(domain: &str, report: Option<&Report>) -> Self {
        let count = |level| report.map_or(0, |report| report.count(level));
        let findings = report.map_or(&[][..], |report| &report.findings);
        let bad = findings.iter().filter(|finding| finding.level >= Level::Warning).take(WORST_MAX);
        Standing {
            domain: domain.to_owned(),
            at: report.map(|report| report.at),
            errors: count(Level::Error),
            warnings: count(Level::Warning),
            worst: bad.map(|finding| Finding { records: Vec::new(), ..finding.clone() }).collect(),
        }
    }

    /// It wants work.
    pub fn is_bad(&self) -> bool {
        self.errors + self.warnings > 0
    }
}

/// What was found, as pages and the control socket see it. Every method may block.
pub trait Findings: Send + Sync {
    /// See [`Rounds::check`]: as long as a check of a domain may take.
    ///
    /// # Errors
    /// The store's.
    fn check(&self, domain: &str) -> Result<Report, StoreError>;
    /// See [`Rounds::last`].
    ///
    /// # Errors
    /// The store's.
    fn last(&self, domain: &str) -> Result<Option<Report>, StoreError>;
    /// See [`Rounds::all`].
    ///
    /// # Errors
    /// The store's.
    fn all(&self) -> Result<Vec<(String, Option<Report>)>, StoreError>;
    /// The names of the config's domains, each once.
    ///
    /// # Errors
    /// The store's.
    fn domains(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.all()?.into_iter().map(|(domain, _)| domain).collect())
    }
    /// How each domain of the config stands, in its order.
    ///
    /// # Errors
    /// The store's.
    fn standings(&self) -> Result<Vec<Standing>, StoreError> {
        Ok(self.all()?.iter().map(|(domain, report)| Standing::of(domain, report.as_ref())).collect())
    }
    /// See [`Rounds::changes`].
    ///
    /// # Errors
    /// The store's.
    fn changes(&self, domain: &str, since: Timestamp, limit: usize) -> Result<Vec<DomainChange>, StoreError>;
    /// See [`Check::records`]: as long as a check of a domain may take.
    fn records(&self, domain: &str) -> Records;
}

impl<M: Memos + Clone> Findings for Rounds<M> {
    fn check(&self, domain: &str) -> Result<Report, StoreError> {
        smol::future::block_on(Rounds::check(self, domain))
    }

    fn last(&self, domain: &str) -> Result<Option<Report>, StoreError> {
        Rounds::last(self, domain)
    }

    fn all(&self) -> Result<Vec<(String, Option<Report>)>, StoreError> {
        Rounds::all(self)
    }

    fn domains(&self) -> Result<Vec<String>, StoreError> {
        Ok(Rounds::domains(self))
    }

    fn standings(&self) -> Result<Vec<Standing>, StoreError> {
        Rounds::standings(self)
    }

    fn changes(&self, domain: &str, since: Timestamp, limit: usize) -> Result<Vec<DomainChange>, StoreError> {
        Rounds::changes(self, domain, since, limit)
    }

    fn records(&self, domain: &str) -> Records {
        smol::future::block_on(self.0.parts.check.records(domain))
    }
}

impl<M: Memos + Clone> Rounds<M> {
    /// Without a task: [`Rounds::start`] has one.
    pub fn new(parts: Parts<M>) -> Self {
        Rounds(Arc::new(Shared { parts, turn: Mutex::new(()), standings: std::sync::Mutex::default() }))
    }

    /// Starts the daily round.
    pub fn start(parts: Parts<M>, runtime: &Runtime, shutdown: Shutdown) -> Self {
        let this = Self::new(parts);
        let round = this.clone();
        runtime.spawn("domain checks", async move {
            let stopped = shutdown.clone();
            let rounds = async {
                Timer::after(AFTER_START).await;
                loop {
                    if let Err(error) = round.run_if_due(&shutdown).await {
                        log::error!("domain_check error=\"{error}\"");
                    }
                    Timer::after(EVERY).await;
                }
            };
            rounds.or(stopped.drained()).await;
        });
        this
    }

    /// Looks at a domain now, keeps and tells what was found, and answers it.
    ///
    /// # Errors
    /// The store's; then nothing is kept or told.
    pub async fn check(&self, domain: &str) -> Result<Report, StoreError> {
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        let report = self.0.parts.check.check(&domain).await;
        // A domain that is not ours may be looked at; it is nothing to keep.
        if self.domains().contains(&domain) {
            self.keep(&report).await?;
        }
        Ok(report)
    }

    /// The last report of a domain. Blocking.
    ///
    /// # Errors
    /// The store's.
    pub fn last(&self, domain: &str) -> Result<Option<Report>, StoreError> {
        self.read(&format!("{REPORT}{}", domain.to_ascii_lowercase()))
    }

    /// The last report of each domain of the config, in its order; `None`: it was not looked at yet. Blocking.
    ///
    /// # Errors
    /// The store's.
    pub fn all(&self) -> Result<Vec<(String, Option<Report>)>, StoreError> {
        self.domains()
            .into_iter()
            .map(|domain| {
                let report = self.last(&domain)?;
                Ok((domain, report))
            })
            .collect()
    }

    /// How each domain of the config stands, in its order. Blocking.
    ///
    /// # Errors
    /// The store's.
    pub fn standings(&self) -> Result<Vec<Standing>, StoreError> {
        let known = self.known_standings().clone();
        let mut found = Vec::new();
        for domain in self.domains() {
            let standing = match known.get(&domain) {
                Some(standing) => standing.clone(),
                None => {
                    let standing = Standing::of(&domain, self.last(&domain)?.as_ref());
                    // One that was looked at meanwhile knows better.
                    self.known_standings().entry(domain).or_insert(standing).clone()
                }
            };
            found.push(standing);
        }
        Ok(found)
    }

    fn known_standings(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Standing>> {
        self.0.standings.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The changes since a moment, newest first, `limit` at most; of one domain, or of all where it is empty. Blocking.
    ///
    /// # Errors
    /// The store's.
    pub fn changes(&self, domain: &str, since: Timestamp, limit: usize) -> Result<Vec<DomainChange>, StoreError> {
        let mut found = Vec::new();
        let mut after = Some(format!("{CHANGE}{:016x}", since.as_millis()));
        loop {
            let rows = self.0.parts.memory.memos(MemoKind::DomainFindings, CHANGE, after.as_deref(), PAGE)?;
            let Some((last, _)) = rows.last() else { break };
            after = Some(last.clone());
            let changes = rows.iter().filter_map(|(_, value)| serde_json::from_slice::<DomainChange>(value).ok());
            found.extend(changes.filter(|change| domain.is_empty() || change.domain.eq_ignore_ascii_case(domain)));
        }
        found.reverse();
        found.truncate(limit);
        Ok(found)
    }

    /// The config's domains, each once.
    fn domains(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let config = self.0.parts.config.get();
        let names = config.domains.iter().map(|domain| domain.name.trim_end_matches('.').to_ascii_lowercase());
        names.filter(|name| seen.insert(name.clone())).collect()
    }

    fn read(&self, key: &str) -> Result<Option<Report>, StoreError> {
        let value = self.0.parts.memory.memo(MemoKind::DomainFindings, key)?;
        // A row of another version is as good as none: the next look writes it anew.
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }

    /// One round over all domains, where its time has come.
    async fn run_if_due(&self, shutdown: &Shutdown) -> Result<(), StoreError> {
        let (config, now) = (self.0.parts.config.get(), self.0.parts.clock.now());
        let Some(minute) = config.domain_check.run_at_minute else { return Ok(()) };
        let due = Zone::named(&config.server.time_zone).last_daily(minute, now);
        let memory = self.0.parts.memory.clone();
        let began = smol::unblock(move || memory.memo(MemoKind::DomainFindings, ROUND)).await?;
        let began = began.and_then(|value| String::from_utf8(value).ok()?.parse().ok()).map(Timestamp::from_millis);
        let domains = self.domains();
        let is_due = began.is_none_or(|began| began < due);
        // A domain that was just added is not left alone until tomorrow.
        let todo = if is_due { domains } else { self.unseen(&domains).await? };
        for domain in &todo {
            if shutdown.stage() != Stage::Running {
                return Ok(());
            }
            self.check(domain).await?;
        }
        if is_due {
            self.forget_old(now).await?;
            let value = Some(now.as_millis().to_string().into_bytes());
            let done = MemoChange { kind: MemoKind::DomainFindings, key: ROUND.to_owned(), value };
            self.0.parts.memory.put_memos(vec![done]).await?;
        }
        Ok(())
    }

    /// Domains without a report.
    async fn unseen(&self, domains: &[String]) -> Result<Vec<String>, StoreError> {
        let (this, domains) = (self.clone(), domains.to_vec());
        smol::unblock(move || {
            let mut unseen = Vec::new();
            for domain in domains {
                if this.last(&domain)?.is_none() {
                    unseen.push(domain);
                }
            }
            Ok(unseen)
        })
        .await
    }

    /// Keeps a report, and what it changes.
    async fn keep(&self, report: &Report) -> Result<(), StoreError> {
        let _turn = self.0.turn.lock().await;
        let base_key = format!("{BASE}{}", report.domain);
        let (this, key) = (self.clone(), base_key.clone());
        let before = smol::unblock(move || this.read(&key)).await?;
        let base = answered(report, before.as_ref());
        let changes = match &before {
            Some(before) => told(&base, before),
            None => Vec::new(),
        };
        journal(report, &changes, before.is_none());
        let mut rows = vec![row(format!("{REPORT}{}", report.domain), report), row(base_key, &base)];
        rows.extend(changes.iter().enumerate().map(|(n, change)| MemoChange {
            kind: MemoKind::DomainFindings,
            key: format!("{CHANGE}{:016x}/{}/{n:03}", change.at.as_millis(), change.domain),
            value: Some(serde_json::to_vec(change).expect("texts have a form in JSON")),
        }));
        let tell = self.0.parts.tell.as_ref().filter(|tell| !changes.is_empty() && tell.wants());
        let kept = match tell {
            Some(tell) => {
                let _numbers = tell.turn().lock().await;
                let tell = tell.clone();
                let told = smol::unblock(move || tell.rows(changes)).await;
                self.0.parts.memory.put_memos(rows.into_iter().chain(told).collect()).await
            }
            None => self.0.parts.memory.put_memos(rows).await,
        };
        if kept.is_ok() {
            let standing = Standing::of(&report.domain, Some(report));
            self.known_standings().insert(report.domain.clone(), standing);
        }
        kept
    }

    /// Forgets changes past their time or number, and domains that left the config.
    async fn forget_old(&self, now: Timestamp) -> Result<(), StoreError> {
        let ours: BTreeSet<String> = self.domains().into_iter().collect();
        self.known_standings().retain(|domain, _| ours.contains(domain));
        let memory = self.0.parts.memory.clone();
        let oldest = format!("{CHANGE}{:016x}", now.minus(CHANGES_KEPT).as_millis());
        let gone = smol::unblock(move || -> Result<Vec<String>, StoreError> {
            let keys = |prefix: &str| -> Result<Vec<String>, StoreError> {
                let mut keys: Vec<String> = Vec::new();
                loop {
                    let after = keys.last().map(String::as_str);
                    let some = memory.memo_keys(MemoKind::DomainFindings, prefix, after, PAGE)?;
                    if some.is_empty() {
                        return Ok(keys);
                    }
                    keys.extend(some);
                }
            };
            let changes = keys(CHANGE)?;
            let too_many = changes.len().saturating_sub(CHANGES_MAX);
            let mut gone: Vec<String> = changes
                .into_iter()
                .enumerate()
                .filter(|(n, key)| *n < too_many || *key < oldest)
                .map(|(_, key)| key)
                .collect();
            for prefix in [REPORT, BASE] {
                let there = keys(prefix)?.into_iter();
                gone.extend(there.filter(|key| key.strip_prefix(prefix).is_some_and(|domain| !ours.contains(domain))));
            }
            Ok(gone)
        })
        .await?;
        let forget = |key: &String| MemoChange { kind: MemoKind::DomainFindings, key: key.clone(), value: None };
        for some in gone.chunks(PAGE) {
            self.0.parts.memory.put_memos(some.iter().map(forget).collect()).await?;
        }
        Ok(())
    }
}

/// What the next report is compared with: what was answered now, and of areas that were not, what was known before. Where nothing
/// was known of such an area, it stays marked as unanswered, so that the first answer is no news.
fn answered(report: &Report, before: Option<&Report>) -> Report {
    let dark: BTreeSet<Area> = report.findings.iter().filter(|f| f.is_unanswered()).map(Finding::area).collect();
    let now = report.findings.iter().filter(|f| !dark.contains(&f.area()));
    let known = before.into_iter().flat_map(|before| &before.findings).filter(|f| dark.contains(&f.area()));
    let mut base: Vec<Finding> = now.chain(known).cloned().collect();
    for area in dark {
        if !base.iter().any(|finding| finding.area() == area) {
            let marker = report.findings.iter().find(|f| f.is_unanswered() && f.area() == area);
            base.extend(marker.cloned());
        }
    }
    Report::new(&report.domain, report.at, base)
}

/// The changes that people are told of: something was or is wrong.
fn told(now: &Report, before: &Report) -> Vec<DomainChange> {
    let matters = |change: &Change| change.before.max(change.after) >= Some(Level::Warning);
    let changes = now.changes_since(before).into_iter().filter(matters).take(CHANGES_AT_ONCE);
    changes.map(|change| one(now, before, &change)).collect()
}

fn one(now: &Report, before: &Report, change: &Change) -> DomainChange {
    let of = |report: &Report, level: Level| {
        let same = |f: &&Finding| f.check() == change.check && f.subject == change.subject && f.level == level;
        report.findings.iter().find(same).cloned()
    };
    let finding = change.after.and_then(|level| of(now, level)).or_else(|| change.before.and_then(|l| of(before, l)));
    let words = |say: fn(&Finding, Language) -> String, language| {
        finding.as_ref().map(|finding| say(finding, language)).unwrap_or_default()
    };
    let level = |level: Option<Level>| level.map_or(String::new(), |level| level.word().to_owned());
    let is_gone = change.after.is_none();
    DomainChange {
        id: 0,
        at: now.at,
        domain: now.domain.clone(),
        check: change.check.to_owned(),
        subject: change.subject.clone(),
        was: level(change.before),
        is: level(change.after),
        seen: words(words::seen, Language::English),
        seen_ja: words(words::seen, Language::Japanese),
        fix: if is_gone { String::new() } else { words(words::fix, Language::English) },
        fix_ja: if is_gone { String::new() } else { words(words::fix, Language::Japanese) },
        records: match &finding {
            Some(finding) if !is_gone => finding.records.iter().map(|record| record.zone_line()).collect(),
            Some(_) | None => Vec::new(),
        },
    }
}

fn journal(report: &Report, changes: &[DomainChange], is_first: bool) {
    let domain = &report.domain;
    let (errors, warnings) = (report.count(Level::Error), report.count(Level::Warning));
    log::info!(
        "domain_check domain={domain} errors={errors} warnings={warnings} first={is_first} changes={}",
        changes.len()
    );
    for change in changes {
        let (check, subject, was, is) = (&change.check, &change.subject, &change.was, &change.is);
        let line = format!(
            "domain_check domain={domain} check={check} subject={subject:?} was={} is={} what=\"{}\"",
            if was.is_empty() { "-" } else { was },
            if is.is_empty() { "-" } else { is },
            change.seen.escape_debug()
        );
        if change.is_worse() { log::warn!("{line}") } else { log::info!("{line}") }
    }
}

/// A report as a row; one that would be too large loses its mildest findings.
fn row(key: String, report: &Report) -> MemoChange {
    let mut report = report.clone();
    let mut value = serde_json::to_vec(&report).expect("texts and numbers have a form in JSON");
    while value.len() > MEMO_OCTETS_MAX && !report.findings.is_empty() {
        report.findings.truncate(report.findings.len() * 3 / 4);
        value = serde_json::to_vec(&report).expect("texts and numbers have a form in JSON");
    }
    MemoChange { kind: MemoKind::DomainFindings, key, value: Some(value) }
}

#[cfg(test)]
#[path = "round_tests.rs"]
mod tests;
