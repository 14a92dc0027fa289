//! The monitor, as the command line, the API and the console see it: reports taken in, views given out.
//!
//! In: files, domains, spans of days.  Out: rows.
//! Always: every method may block; the DNS is waited for a bounded time, and only for the names of sources.

use std::{collections::HashSet, net::IpAddr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use smol::{Timer, block_on, future::FutureExt, lock::Semaphore};

use super::{
    board::{Board, Everyone, Overview},
    generate::{self, Authorisation},
    keep::{Became, Keeper, Memory, Origin, Taken},
    label::{Labels, ours},
    record::Record,
    row::{By, KeptFailure, KeptReport, Tally},
    shelf::Page,
    tree_walk::{self, Discovery},
    views::{Asked, DayOut, LeftOut, NameOut, ReporterOut, SourceOut, View, WhatIf},
    watch::{AlarmOut, Alarms, DeliveredBy},
};
use crate::{
    lookup::Lookup,
    smtp::address::Mailbox,
    store::{Store, StoreError},
    when::day_name,
};

/// Days of a view at most: the longest retention that makes sense, and some.
pub const DAYS_MAX: u32 = 800;
/// Days of a view when nothing is said.
pub const DAYS: u32 = 30;
/// Domains that the list of all of them tells of.
pub const DOMAINS_TOLD_MAX: usize = 500;
/// How long the DNS is asked for a domain's policy.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(5);
/// How long the names of sources are waited for …
const SETTLE: Duration = Duration::from_secs(2);
/// … and of how many, those with the most mails.
const SETTLED_MAX: usize = 200;

/// The monitor; clones share it.
#[derive(Clone)]
pub struct Monitor<M = Store> {
    /// What takes reports in.
    pub keeper: Keeper<M>,
    /// Whose addresses there are.
    pub labels: Labels,
    /// What is wrong with the reports.
    pub alarms: Alarms,
    /// What our own log says was delivered.
    pub delivered: DeliveredBy,
    /// Turns of those who read rows.
    pub turns: Turns,
    /// What pages were shown lately.
    pub board: Board,
    /// The DNS, for who asks what is published.
    pub dns: Arc<dyn Lookup>,
}

/// Views that read rows at once: each may take seconds of a core, and memory for every source that reports name.
pub const VIEWS_MAX: usize = 2;

/// [`VIEWS_MAX`] at once, the others wait; clones share them.
#[derive(Clone)]
pub struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Turns(Arc::new(Semaphore::new(VIEWS_MAX)))
    }
}

#[cfg(test)]
impl Turns {
    /// Takes every turn: whoever wants to read rows waits until they are dropped.
    pub(crate) fn hold_all(&self) -> Vec<smol::lock::SemaphoreGuardArc> {
        (0..VIEWS_MAX).map(|_| block_on(self.0.acquire_arc())).collect()
    }
}

/// What is asked of a domain.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Query {
    /// The domain.
    pub domain: String,
    /// So many days back, today included.
    pub days: u32,
    /// Reports whose sender is not proven count, too.
    pub all: bool,
}

/// Everything about a domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DomainReport {
    /// The domain.
    pub domain: String,
    /// The first day (UTC) …
    pub from: String,
    /// … and the last one.
    pub to: String,
    /// The sum.
    pub total: Tally,
    /// Mails from our own addresses, as reported, on days that our own log knows.
    pub relay_reported: u64,
    /// Mails that we delivered on these days, by our own log; `None`: it knows none of them.
    pub relay_delivered: Option<u64>,
    /// Reported from our addresses beyond what we delivered, summed up by day.
    pub relay_unaccounted: u64,
    /// Day by day.
    pub days: Vec<DayOut>,
    /// The names of the From field.
    pub names: Vec<NameOut>,
    /// Who reports.
    pub reporters: Vec<ReporterOut>,
    /// What `p=reject` would have done.
    pub what_if: WhatIf,
    /// Failure reports in these days.
    pub failures: u64,
    /// Reports that are left out of all this, since nobody proves that they are genuine.
    pub left_out: LeftOut,
    /// There was more than is looked at at once.
    pub is_cut: bool,
    /// What is wrong with the reports.
    pub alarms: Vec<AlarmOut>,
}

/// The sources of a domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sources {
    /// The sources, those with the most mails first.
    pub rows: Vec<SourceOut>,
    /// Those beyond what is told apart.
    pub others: Tally,
    /// Left out.
    pub left_out: LeftOut,
}

/// A domain in the list of all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DomainOut {
    /// The domain.
    pub domain: String,
    /// Reports.
    pub reports: u64,
    /// What they say.
    #[serde(flatten)]
    pub tally: Tally,
    /// The policy that receivers found last; empty: none was reported.
    pub policy: String,
    /// When the last report came, RFC 3339; empty: none did.
    pub last_received: String,
    /// Left out.
    pub left_out: LeftOut,
    /// What is wrong with its reports.
    pub alarms: Vec<AlarmOut>,
}

/// What became of a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileOut {
    /// Its name.
    pub file: String,
    /// What became of the reports in it.
    pub reports: Vec<TakenOut>,
    /// Why there is none; empty: there is.
    pub error: String,
}

/// What became of a report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TakenOut {
    /// `aggregate`, `failure` or `tls`.
    pub kind: String,
    /// `new`, `known` or `refused`.
    pub became: String,
    /// The domain that it is about.
    pub domain: String,
    /// Who reports.
    pub organization: String,
    /// Its id.
    pub report_id: String,
    /// Its rows.
    pub rows: u64,
    /// Why it was refused; empty: it was not.
    pub why: String,
}

impl From<&Taken> for TakenOut {
    fn from(taken: &Taken) -> Self {
        TakenOut {
            kind: taken.kind.word().to_owned(),
            became: taken.became.word().to_owned(),
            domain: taken.domain.clone(),
            organization: taken.organization.clone(),
            report_id: taken.report_id.clone(),
            rows: taken.rows,
            why: taken.why.clone(),
        }
    }
}

impl Became {
    /// The word in rows and tables.
    pub fn word(self) -> &'static str {
        match self {
            Became::New | Became::Better => "new",
            Became::Known => "known",
            Became::Refused => "refused",
        }
    }
}

/// A domain as somebody wrote it, in lower case and A-labels; `None`: it is none.
pub fn domain_named(text: &str) -> Option<String> {
    let domain = tree_walk::normal(text.trim())?;
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    domain.chars().all(is_host).then_some(domain)
}

/// The monitor as the routes see it. Every method may block.
pub trait Desk: Send + Sync {
    /// Everything about a domain.
    fn report(&self, query: &Query) -> Result<DomainReport, StoreError>;
    /// The days of a domain.
    fn daily(&self, query: &Query) -> Result<Vec<DayOut>, StoreError>;
    /// Its sources.
    fn sources(&self, query: &Query) -> Result<Sources, StoreError>;
    /// All domains: those of the config, and those that there are reports about.
    fn domains(&self, days: u32, all: bool) -> Result<Vec<DomainOut>, StoreError>;
    /// Reports about a domain, by day.
    fn reports(&self, query: &Query, after: Option<&str>, limit: usize) -> Result<Page<KeptReport>, StoreError>;
    /// Failure reports about a domain, by day.
    fn failures(&self, query: &Query, after: Option<&str>, limit: usize) -> Result<Page<KeptFailure>, StoreError>;
    /// Reports about a domain, those of the newest day first.
    fn newest_reports(&self, query: &Query, after: Option<&str>, limit: usize) -> Result<Page<KeptReport>, StoreError>;
    /// Failure reports about a domain, likewise.
    fn newest_failures(
        &self,
        query: &Query,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<KeptFailure>, StoreError>;
    /// What is wrong with the reports of a domain, or of all where it is empty.
    fn alarms(&self, domain: &str) -> Vec<AlarmOut>;
    /// Takes files that somebody who may change things brings: names and octets.
    fn import(&self, files: &[(String, &[u8])], by: By) -> Result<Vec<FileOut>, StoreError>;
    /// What a page shows of a domain, if it is there within this time; else it is made meanwhile: ask again.
    fn overview(&self, query: &Query, within: Duration) -> Result<Option<Arc<Overview>>, StoreError>;
    /// The same of [`Desk::domains`].
    fn everyone(&self, days: u32, all: bool, within: Duration) -> Result<Option<Arc<Everyone>>, StoreError>;
    /// `[bounce] report_address`, where reports come in; `None`: there is none.
    fn report_address(&self) -> Option<Mailbox>;
    /// What the DNS says of a domain's policy, and of what must allow the reports of a record that is planned there. Takes some
    /// seconds at most.
    fn look_up(&self, domain: &str, planned: Option<&Record>) -> LookedUp;
}

/// What the DNS says of a domain's policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LookedUp {
    /// The record that applies; `None`: nothing came in time.
    pub found: Option<Discovery>,
    /// What must be published elsewhere for the reports of the planned record; `None`: nothing came in time.
    pub authorisations: Option<Vec<Authorisation>>,
}

impl<M: Memory> Monitor<M> {
    fn span(&self, days: u32) -> (u32, u32) {
        let today = self.keeper.clock.now().day();
        (today.saturating_sub(days.clamp(1, DAYS_MAX) - 1), today)
    }

    pub(super) fn view(&self, query: &Query) -> Result<View, StoreError> {
        let (from, to) = self.span(query.days);
        let domain = tree_walk::normal(&query.domain).unwrap_or_else(|| query.domain.to_ascii_lowercase());
        let _turn = block_on(self.turns.0.acquire());
        let ours: HashSet<IpAddr> = ours(&self.keeper.config.get()).collect();
        self.keeper.view(Asked { domain, from, to, all: query.all }, ours)
    }

    pub(super) fn report_of(&self, view: &View, sources: &[SourceOut]) -> Result<DomainReport, StoreError> {
        let Asked { domain, from, to, .. } = view.asked.clone();
        let days = view.day_rows(&(self.delivered)(&domain, from, to)?);
        let known = || days.iter().filter(|day| day.relay_delivered.is_some());
        let delivered = known().filter_map(|day| day.relay_delivered).fold(0, u64::saturating_add);
        Ok(DomainReport {
            from: day_name(from),
            to: day_name(to),
            total: view.total(),
            relay_reported: known().map(|day| day.relay_reported).fold(0, u64::saturating_add),
            relay_delivered: known().next().map(|_| delivered),
            relay_unaccounted: known().filter_map(|day| day.relay_unaccounted).fold(0, u64::saturating_add),
            names: view.name_rows(),
            reporters: view.reporter_rows(),
            what_if: view.what_if(sources),
            failures: self.failures_in(&domain, (from, to))?,
            left_out: view.left_out,
            is_cut: view.is_cut,
            alarms: self.alarms.list(&domain),
            days,
            domain,
        })
    }

    fn labelled(&self, view: &View) -> Vec<SourceOut> {
        let config = self.keeper.config.get();
        let mut by_mails: Vec<(u64, IpAddr)> = view.sources.iter().map(|(ip, s)| (s.tally.messages, *ip)).collect();
        by_mails.sort_unstable_by(|a, b| b.cmp(a));
        let first: Vec<IpAddr> = by_mails.into_iter().take(SETTLED_MAX).map(|(_, ip)| ip).collect();
        block_on(self.labels.settle(&first, SETTLE));
        view.source_rows(&|address| self.labels.label(&config, address))
    }

    fn failures_in(&self, domain: &str, days: (u32, u32)) -> Result<u64, StoreError> {
        let mut count = 0;
        let mut after: Option<String> = None;
        loop {
            let page = self.keeper.page::<KeptFailure>(domain, days, after.as_deref(), FAILURES_PAGE)?;
            count += page.rows.len() as u64;
            after = page.next;
            if after.is_none() || count >= FAILURES_COUNTED_MAX {
                return Ok(count);
            }
        }
    }
}

/// Failure reports read at once.
const FAILURES_PAGE: usize = 500;
/// Failure reports of a domain that are counted.
const FAILURES_COUNTED_MAX: u64 = 100_000;

impl<M: Memory> Desk for Monitor<M> {
    fn report(&self, query: &Query) -> Result<DomainReport, StoreError> {
        let view = self.view(query)?;
        let sources = self.labelled(&view);
        self.report_of(&view, &sources)
    }

    fn daily(&self, query: &Query) -> Result<Vec<DayOut>, StoreError> {
        let view = self.view(query)?;
        let Asked { domain, from, to, .. } = &view.asked;
        Ok(view.day_rows(&(self.delivered)(domain, *from, *to)?))
    }

    fn sources(&self, query: &Query) -> Result<Sources, StoreError> {
        let view = self.view(query)?;
        let rows = self.labelled(&view);
        Ok(Sources { rows, others: view.other_sources, left_out: view.left_out })
    }

    fn domains(&self, days: u32, all: bool) -> Result<Vec<DomainOut>, StoreError> {
        self.domain_rows(days, all)
    }

    fn reports(&self, query: &Query, after: Option<&str>, limit: usize) -> Result<Page<KeptReport>, StoreError> {
        self.keeper.page(&query.domain, self.span(query.days), after, limit)
    }

    fn failures(&self, query: &Query, after: Option<&str>, limit: usize) -> Result<Page<KeptFailure>, StoreError> {
        self.keeper.page(&query.domain, self.span(query.days), after, limit)
    }

    fn newest_reports(&self, query: &Query, after: Option<&str>, limit: usize) -> Result<Page<KeptReport>, StoreError> {
        self.keeper.newest(&query.domain, self.span(query.days), after, limit)
    }

    fn newest_failures(
        &self,
        query: &Query,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<KeptFailure>, StoreError> {
        self.keeper.newest(&query.domain, self.span(query.days), after, limit)
    }

    fn alarms(&self, domain: &str) -> Vec<AlarmOut> {
        self.alarms.list(domain)
    }

    fn import(&self, files: &[(String, &[u8])], by: By) -> Result<Vec<FileOut>, StoreError> {
        let mut batch = self.keeper.batch(Origin::brought(by));
        let errors: Vec<String> = files
            .iter()
            .map(|(_, octets)| batch.add(octets).err().map_or_else(String::new, |error| error.to_string()))
            .collect();
        let taken = batch.finish()?;
        let mut out = Vec::with_capacity(files.len());
        for (((file, _), error), taken) in files.iter().zip(errors).zip(taken) {
            out.push(FileOut { file: file.clone(), reports: taken.iter().map(TakenOut::from).collect(), error });
        }
        Ok(out)
    }

    fn overview(&self, query: &Query, within: Duration) -> Result<Option<Arc<Overview>>, StoreError> {
        self.overview_within(query, within)
    }

    fn everyone(&self, days: u32, all: bool, within: Duration) -> Result<Option<Arc<Everyone>>, StoreError> {
        self.everyone_within(days, all, within)
    }

    fn report_address(&self) -> Option<Mailbox> {
        Mailbox::parse(&self.keeper.config.get().bounce.report_address).ok()
    }

    fn look_up(&self, domain: &str, planned: Option<&Record>) -> LookedUp {
        let within = async {
            Timer::after(LOOK_UP_WITHIN).await;
            None
        };
        let late = async {
            Timer::after(LOOK_UP_WITHIN).await;
            None
        };
        let found = async { Some(tree_walk::discover(&*self.dns, domain).await) };
        let authorisations = async {
            match planned {
                Some(record) => generate::authorisations(&*self.dns, domain, record).await.ok(),
                None => Some(Vec::new()),
            }
        };
        let (found, authorisations) = block_on(smol::future::zip(found.or(within), authorisations.or(late)));
        LookedUp { found, authorisations }
    }
}

impl<M: Memory> Monitor<M> {
    pub(super) fn domain_rows(&self, days: u32, all: bool) -> Result<Vec<DomainOut>, StoreError> {
        let config = self.keeper.config.get();
        let mut domains = self.keeper.domains()?;
        domains.extend(config.domains.iter().filter_map(|domain| tree_walk::normal(&domain.name)));
        domains.sort_unstable();
        domains.dedup();
        domains.truncate(DOMAINS_TOLD_MAX);
        domains.into_iter().map(|domain| self.domain_row(domain, self.span(days), all)).collect()
    }

    /// A domain in the list of all: its own reports alone, without their rows.
    fn domain_row(&self, domain: String, days: (u32, u32), all: bool) -> Result<DomainOut, StoreError> {
        let asked = Asked { domain: domain.clone(), from: days.0, to: days.1, all };
        let view = self.keeper.summary(asked)?;
        let last_received = view.reporters.values().map(|r| r.last.clone()).max().unwrap_or_default();
        Ok(DomainOut {
            reports: view.days.values().map(|day| day.reports).sum(),
            tally: view.total(),
            policy: view.policy.as_ref().map_or_else(String::new, |(_, p, _)| p.clone()),
            last_received,
            left_out: view.left_out,
            alarms: self.alarms.list(&domain),
            domain,
        })
    }
}

/// A monitor over nothing but these, for tests of those that show it.
#[cfg(test)]
pub(crate) fn over<M: Memory>(memory: M, clock: &crate::clock::Clock, config: crate::config::Config) -> Monitor<M> {
    use super::views::Delivered;
    let config = crate::config::InForce::new(config);
    let no_tls = Arc::new(|_, _: &Origin| Ok(Taken::nothing()));
    Monitor {
        keeper: Keeper::new(memory, clock.clone(), config.clone(), Default::default(), no_tls),
        labels: Labels::new(clock.clone(), config),
        alarms: Alarms::default(),
        delivered: Arc::new(|_, _, _| Ok(Delivered::unknown())),
        turns: Turns::default(),
        board: Board::default(),
        dns: Arc::new(crate::lookup::fake::Zones::default()),
    }
}
