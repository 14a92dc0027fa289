//! Whether the reports come that should: once an hour, for each domain of the config.
//!
//! In: the DNS, our report address, the reports that are kept, what our own log says was delivered.  Out: [`Alarm`]s.
//! Always: nothing is watched where `[bounce] report_address` is empty; what the DNS does not say changes nothing that is known; a
//! change is told in the journal once; domains and time are bounded.
//! Sources: PRODUCT.md R2; RFC 9989 §4.10 (which record applies), RFC 9990 §4 (reports to another domain must be allowed there).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use smol::{Timer, future::FutureExt};

use super::{
    generate,
    keep::{Keeper, Memory},
    row::KeptReport,
    tree_walk,
    views::Delivered,
    words::Alarm,
};
use crate::{
    clock::Timestamp,
    config::Config,
    lookup::Lookup,
    runtime::{Runtime, Shutdown, Stage},
    smtp::address::Mailbox,
    store::StoreError,
};

/// How often it is looked.
const ROUND: Duration = Duration::from_secs(3_600);
/// After the start, so that the first look does not meet an empty cache and a busy start.
const FIRST: Duration = Duration::from_secs(5);
/// Steps of forgetting in one round, and the pause between two.
const FORGET_ROUNDS_MAX: usize = 50;
const FORGET_PAUSE: Duration = Duration::from_millis(200);
/// Domains that one round looks at.
pub const DOMAINS_MAX: usize = 2_000;
/// How long the DNS may take for one of them.
const DOMAIN_TIME_MAX: Duration = Duration::from_secs(30);
/// Without a report for so long, something is wrong: reports come once a day.
const SILENCE: Duration = Duration::from_secs(2 * 86_400);
/// Days that are looked back for the last report.
const LOOK_BACK_DAYS: u32 = 8;
/// Reports read at once, and pages at most.
const PAGE: usize = 500;
const PAGES_MAX: usize = 40;
/// Others that a record names, of which an alarm tells.
const NAMES_MAX: usize = 5;

/// What our own log says was delivered for a domain, from one day to another.
pub type DeliveredBy = Arc<dyn Fn(&str, u32, u32) -> Result<Delivered, StoreError> + Send + Sync>;

/// An alarm, for people and programs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AlarmOut {
    /// The domain.
    pub domain: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// What is wrong.
    #[serde(flatten)]
    pub alarm: Alarm,
    /// The same in a sentence …
    pub words: String,
    /// … and in Japanese.
    pub words_ja: String,
}

/// The alarms that stand; clones share them.
#[derive(Clone, Default)]
pub struct Alarms(Arc<Mutex<ByDomain>>);

/// Alarms by domain, each with the moment since when it stands.
type ByDomain = BTreeMap<String, Vec<(Timestamp, Alarm)>>;

impl Alarms {
    /// Those of a domain, or all where it is empty; by domain.
    pub fn list(&self, domain: &str) -> Vec<AlarmOut> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = all.iter().filter(|(of, _)| domain.is_empty() || of.as_str() == domain);
        let out = |domain: &String, (since, alarm): &(Timestamp, Alarm)| AlarmOut {
            domain: domain.clone(),
            since: since.rfc3339_seconds(),
            alarm: alarm.clone(),
            words: alarm.english(domain),
            words_ja: alarm.japanese(domain),
        };
        wanted.flat_map(|(domain, alarms)| alarms.iter().map(move |alarm| out(domain, alarm))).collect()
    }

    fn before(&self, domain: &str) -> Vec<(Timestamp, Alarm)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(domain).cloned().unwrap_or_default()
    }

    /// Puts what was found in the place of what was known; tells what changed.
    fn set(&self, domain: &str, found: Vec<Alarm>, now: Timestamp) {
        let before = self.before(domain);
        for (_, gone) in before.iter().filter(|(_, old)| !found.iter().any(|new| new.word() == old.word())) {
            log::info!("act=dmarc_alarm domain={domain} alarm={} state=over", gone.word());
        }
        let dated: Vec<(Timestamp, Alarm)> = found
            .into_iter()
            .map(|alarm| match before.iter().find(|(_, old)| old.word() == alarm.word()) {
                Some((since, _)) => (*since, alarm),
                None => {
                    log::warn!(
                        "act=dmarc_alarm domain={domain} alarm={} what={:?}",
                        alarm.word(),
                        alarm.english(domain)
                    );
                    (now, alarm)
                }
            })
            .collect();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if dated.is_empty() { drop(all.remove(domain)) } else { drop(all.insert(domain.to_owned(), dated)) }
    }

    fn retain(&self, domains: &[String]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|domain, _| domains.contains(domain));
    }
}

/// What the watch is made of.
#[derive(Clone)]
pub struct Watch<M> {
    /// The reports that are kept.
    pub keeper: Keeper<M>,
    /// The DNS.
    pub dns: Arc<dyn Lookup>,
    /// What our own log says was delivered.
    pub delivered: DeliveredBy,
    /// Where alarms stand.
    pub alarms: Alarms,
}

impl<M: Memory> Watch<M> {
    /// Starts watching; ends when the shutdown drains. Old reports are forgotten in the same rounds.
    pub fn start(self, runtime: &Runtime, shutdown: &Shutdown) {
        let shutdown = shutdown.clone();
        runtime.spawn("dmarc-watch", async move {
            let mut wait = FIRST;
            while shutdown.stage() == Stage::Running {
                let pause = async {
                    Timer::after(wait).await;
                };
                pause.or(shutdown.drained()).await;
                if shutdown.stage() != Stage::Running {
                    return;
                }
                wait = ROUND;
                match self.round().await {
                    Ok(()) => {}
                    Err(StoreError::Closed) => return,
                    Err(error) => log::warn!("act=dmarc_watch what=\"not done this time\" error=\"{error}\""),
                }
            }
        });
    }

    /// Forgets what is old, and looks at every domain.
    pub(super) async fn round(&self) -> Result<(), StoreError> {
        let keeper = self.keeper.clone();
        let now = keeper.clock.now();
        for _ in 0..FORGET_ROUNDS_MAX {
            let keeper = keeper.clone();
            if !smol::unblock(move || keeper.forget_old(now)).await? {
                break;
            }
            // Verdicts wait behind long runs of writes.
            Timer::after(FORGET_PAUSE).await;
        }
        let config = self.keeper.config.get();
        let Ok(address) = Mailbox::parse(&config.bounce.report_address) else {
            self.alarms.retain(&[]);
            return Ok(());
        };
        let domains = watched(&config);
        self.alarms.retain(&domains);
        for domain in domains {
            self.look_at(&domain, &address).await?;
        }
        Ok(())
    }

    async fn look_at(&self, domain: &str, address: &Mailbox) -> Result<(), StoreError> {
        let now = self.keeper.clock.now();
        let asked = async { self.dns_says(domain, address).await };
        let end = async {
            Timer::after(DOMAIN_TIME_MAX).await;
            None
        };
        let mut found = match asked.or(end).await {
            Some(alarms) => alarms,
            // Silence is no news: what stood before stands.
            None => {
                let before = self.alarms.before(domain).into_iter().map(|(_, alarm)| alarm);
                before.filter(|alarm| !matches!(alarm, Alarm::Silent { .. })).collect()
            }
        };
        // A record that sends reports elsewhere explains the silence.
        if found.is_empty() {
            let (watch, of) = (self.clone(), domain.to_owned());
            found.extend(smol::unblock(move || watch.silence(&of, now)).await?);
        }
        self.alarms.set(domain, found, now);
        Ok(())
    }

    /// What is wrong with the record; `None`: the DNS did not say.
    async fn dns_says(&self, domain: &str, address: &Mailbox) -> Option<Vec<Alarm>> {
        let found = tree_walk::discover(&*self.dns, domain).await;
        let (Some(record), Some(at)) = (&found.record, &found.policy_domain) else {
            return found.trouble.is_none().then(|| vec![Alarm::NoRecord]);
        };
        if !record.reports_to(address) {
            let names = record.rua.iter().take(NAMES_MAX).map(|place| place.uri.clone()).collect();
            return Some(vec![Alarm::NotOurs { at: at.clone(), wanted: address.to_string(), names }]);
        }
        // RFC 9990 §4: within an organization nobody needs to allow anything.
        let to = tree_walk::normal(address.domain())?;
        let theirs = tree_walk::organizational_domain(&*self.dns, &to).await.ok()?;
        // The walk of the domain itself is behind us.
        let ours = match *at == found.domain && found.organization_is_known() {
            true => found.organizational_domain.clone(),
            false => tree_walk::organizational_domain(&*self.dns, at).await.ok()?,
        };
        if theirs == ours {
            return Some(Vec::new());
        }
        let name = generate::authorisation_name(at, &to);
        Some(match generate::is_authorised(&*self.dns, &name).await? {
            true => Vec::new(),
            false => vec![Alarm::NotAllowed { name, value: generate::AUTHORISATION_TEXT.to_owned() }],
        })
    }

    /// No report for two days although mail left. Blocking.
    fn silence(&self, domain: &str, now: Timestamp) -> Result<Option<Alarm>, StoreError> {
        let today = now.day();
        // Mail of the day before yesterday and the day before that should have been reported by now.
        let (first, last_day) = (today.saturating_sub(3), today.saturating_sub(2));
        let delivered: u64 = (self.delivered)(domain, first, last_day)?.by_day.values().sum();
        if delivered == 0 {
            return Ok(None);
        }
        let last = self.last_report(domain, today)?;
        let since = Timestamp::from_rfc3339(&last).map(|at| now.since(at));
        Ok(since.is_none_or(|since| since > SILENCE).then_some(Alarm::Silent { last, delivered }))
    }

    /// When the last report about a domain, or one above it, came; empty: none within a week.
    fn last_report(&self, domain: &str, today: u32) -> Result<String, StoreError> {
        let mut last = String::new();
        let days = (today.saturating_sub(LOOK_BACK_DAYS), today);
        let mut of = domain;
        while of.contains('.') {
            let mut after: Option<String> = None;
            for _ in 0..PAGES_MAX {
                let page = self.keeper.page::<KeptReport>(of, days, after.as_deref(), PAGE)?;
                let counted = page.rows.into_iter().filter(|(_, report)| report.mark.counts());
                if let Some(newest) = counted.map(|(_, report)| report.received_at).max() {
                    last = last.max(newest);
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            of = of.split_once('.').map_or("", |(_, parent)| parent);
        }
        Ok(last)
    }
}

/// The domains of the config, in A-labels.
fn watched(config: &Config) -> Vec<String> {
    let mut domains: Vec<String> =
        config.domains.iter().filter_map(|domain| tree_walk::normal(&domain.name)).take(DOMAINS_MAX).collect();
    domains.sort_unstable();
    domains.dedup();
    domains
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
