//! Keeps the MTA-STS policies of recipients' domains: finds, caches, renews and forgets them.
//!
//! In: a domain that mail goes to.  Out: its policy, if one holds now.
//! Always: a policy that holds is used at once and renewed beside; a fetch that fails takes nothing from it, and blocks no
//! mail; one fetch a domain at a time, [`FETCHES_MAX`] in all; what is cached is bounded in domains and octets; what holds
//! survives a restart.
//! Sources: RFC 8461 §3 and §5, RFC 8460 §4.3.
//!
//! ```text
//! ask ─► cached, holds ───────────────────────────► the policy   (and a renewal beside it, when it is time)
//!    ├─► cached: none, not long ago ──────────────► none
//!    ├─► on disk, holds ──────────────────────────► the policy
//!    └─► unknown ─► TXT ─► fetch, for FIRST_WAIT ─► the policy, or none this time while the fetch goes on
//! ```

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_io::Timer;
use serde::{Deserialize, Serialize};
use smol::{channel, future::FutureExt, lock::Semaphore};

use super::{
    sts_host::{FetchError, PolicyHost},
    sts_policy::{StsMode, StsPolicy},
    tls_results::{Collector, FailureResult, PolicyResult, PolicyType, ResultType},
};
use crate::{
    clock::{Clock, Timestamp},
    metrics::Metrics,
    runtime::Runtime,
    store::{MemoChange, MemoKind, Memos},
};

/// Fetches at once: slow hosts take few places, and others are still served.
pub const FETCHES_MAX: usize = 50;
/// Domains that are learnt about at once; mail to more goes on without a policy this time.
const FLIGHTS_MAX: usize = 1_000;
/// Domains in RAM.
const DOMAINS_MAX: usize = 20_000;
/// Octets of policies in RAM.
const OCTETS_MAX: usize = 8 << 20;
/// How long the first mail to a domain waits for its policy.
const FIRST_WAIT: Duration = Duration::from_secs(20);
/// How long the TXT record is waited for: a DNS that is silent must not hold up mail.
const RECORD_WITHIN: Duration = Duration::from_secs(5);
/// How long a fetch may take (RFC 8461 §3.3).
pub(super) const FETCH_WITHIN: Duration = Duration::from_secs(60);
/// How long it holds that a domain has no MTA-STS, and how often a policy's id is looked at.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(300);
/// How long after a failed fetch the next one waits, doubled each time up to …
const AGAIN_AFTER: Duration = Duration::from_secs(300);
/// … this.
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(3600);
/// A policy in use is fetched anew at this age, or at half of its `max_age` if that is less, its id being the same.
const RENEWED_AT: Duration = Duration::from_secs(86_400);
/// Memos that are looked at in one go.
const PAGE: usize = 500;

/// A policy, and when it was fetched.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Held {
    /// The policy.
    pub policy: StsPolicy,
    /// The id that stood in the DNS.
    pub id: String,
    /// When, in milliseconds since 1970.
    fetched: u64,
}

impl Held {
    pub(super) fn fetched(&self) -> Timestamp {
        Timestamp::from_millis(self.fetched)
    }

    pub(super) fn expires(&self) -> Timestamp {
        self.fetched().plus(self.policy.max_age)
    }

    fn renewed_at(&self) -> Timestamp {
        self.fetched().plus(RENEWED_AT.min(self.policy.max_age / 2))
    }

    fn octets(&self) -> usize {
        self.policy.mx.iter().map(|mx| mx.len() + 24).sum()
    }
}

/// What is known of a domain's MTA-STS.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The policy that holds, mode none left out.
    pub held: Option<Arc<Held>>,
    /// There may be a policy, and it could not be had.
    pub uncertain: bool,
}

/// The policies; clones share them.
#[derive(Clone)]
pub(super) struct StsCache(Arc<Inner>);

struct Inner {
    clock: Clock,
    metrics: Arc<Metrics>,
    runtime: Runtime,
    shelf: Arc<dyn Memos>,
    host: Arc<dyn PolicyHost>,
    results: Arc<Collector>,
    cache: Mutex<Cache>,
    /// Domains that are being learnt about; the channel closes at the end.
    flights: Mutex<HashMap<String, channel::Receiver<()>>>,
    places: Semaphore,
    /// Policy hosts on private addresses are refused.
    guard: AtomicBool,
}

#[derive(Default)]
struct Cache {
    domains: HashMap<String, Entry>,
    octets: usize,
}

#[derive(Clone, Default)]
struct Entry {
    held: Option<Arc<Held>>,
    uncertain: bool,
    /// When it is looked at again.
    look_at: Timestamp,
    /// Fetches that failed in a row.
    failures: u32,
    used: Timestamp,
}

impl Cache {
    fn put(&mut self, domain: &str, entry: Entry, now: Timestamp) {
        let octets = |entry: &Entry| entry.held.as_ref().map_or(0, |held| held.octets());
        let more = octets(&entry);
        if self.domains.len() >= DOMAINS_MAX || self.octets + more > OCTETS_MAX {
            self.domains.retain(|_, e| e.look_at > now && e.held.is_some());
            self.octets = self.domains.values().map(octets).sum();
            // All of them in use: what holds is on disk, and is read again.
            if self.domains.len() >= DOMAINS_MAX || self.octets + more > OCTETS_MAX {
                self.domains.clear();
                self.octets = 0;
            }
        }
        self.octets += more;
        if let Some(before) = self.domains.insert(domain.to_owned(), entry) {
            self.octets -= octets(&before).min(self.octets);
        }
    }
}

/// What the cache works with.
pub(super) struct StsParts {
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub runtime: Runtime,
    pub shelf: Arc<dyn Memos>,
    pub host: Arc<dyn PolicyHost>,
    pub results: Arc<Collector>,
}

impl StsCache {
    pub(super) fn new(parts: StsParts) -> Self {
        let StsParts { clock, metrics, runtime, shelf, host, results } = parts;
        StsCache(Arc::new(Inner {
            clock,
            metrics,
            runtime,
            shelf,
            host,
            results,
            cache: Mutex::default(),
            flights: Mutex::default(),
            places: Semaphore::new(FETCHES_MAX),
            guard: AtomicBool::new(true),
        }))
    }

    /// Whether policy hosts on private addresses are refused.
    pub(super) fn set_guard(&self, on: bool) {
        self.0.guard.store(on, Ordering::Relaxed);
    }

    /// The policy of a domain (in A-labels). Waits for a domain that is new, [`FIRST_WAIT`] at most.
    pub(super) async fn ask(&self, domain: &str) -> Known {
        if let Some(known) = self.cached(domain).or_else(|| self.on_disk(domain)) {
            return known;
        }
        let Some(flight) = self.learn(domain) else { return Known { held: None, uncertain: true } };
        let learnt = async {
            // It closes when the task ends, in whichever way.
            let _ = flight.recv().await;
            true
        };
        let late = async {
            Timer::after(FIRST_WAIT).await;
            false
        };
        if !learnt.or(late).await {
            log::info!("destination={domain} its MTA-STS policy takes long to fetch; this mail goes without it");
        }
        self.cached(domain).unwrap_or(Known { held: None, uncertain: true })
    }

    /// What RAM knows, if that is worth something now; looks at it again beside, when it is time.
    fn cached(&self, domain: &str) -> Option<Known> {
        let now = self.0.clock.now();
        let mut cache = lock(&self.0.cache);
        let entry = cache.domains.get_mut(domain)?;
        entry.used = now;
        let due = now >= entry.look_at;
        match &entry.held {
            Some(held) if now < held.expires() => {
                let known = Known { held: in_force(held), uncertain: false };
                drop(cache);
                if due {
                    self.learn(domain);
                }
                Some(known)
            }
            _ if due => None,
            _ => Some(Known { held: None, uncertain: entry.uncertain }),
        }
    }

    /// What was known before the restart, if it still holds.
    fn on_disk(&self, domain: &str) -> Option<Known> {
        let now = self.0.clock.now();
        let json = self.0.shelf.memo(MemoKind::MtaSts, domain).ok().flatten()?;
        let held: Arc<Held> = Arc::new(serde_json::from_slice(&json).ok()?);
        // A clock that was set back must not make it hold for ever.
        if now >= held.expires() || held.fetched() > now.plus(RENEWED_AT) {
            return None;
        }
        let entry = Entry { held: Some(held), look_at: now, used: now, ..Entry::default() };
        lock(&self.0.cache).put(domain, entry, now);
        self.cached(domain)
    }

    /// Starts to learn about a domain, or joins whoever does; `None`: too many are learnt about.
    fn learn(&self, domain: &str) -> Option<channel::Receiver<()>> {
        let mut flights = lock(&self.0.flights);
        if let Some(flight) = flights.get(domain) {
            return Some(flight.clone());
        }
        if flights.len() >= FLIGHTS_MAX {
            return None;
        }
        let (sender, receiver) = channel::bounded(1);
        flights.insert(domain.to_owned(), receiver.clone());
        drop(flights);
        let flight = Flight { inner: self.0.clone(), domain: domain.to_owned(), _sender: sender };
        self.0.runtime.spawn("mta-sts", async move { flight.inner.look(&flight.domain).await });
        Some(receiver)
    }

    /// Renews policies in use that grow old, and forgets those that are over, in RAM and on disk. For a call once an hour.
    pub(super) async fn maintain(&self) {
        let now = self.0.clock.now();
        let mut old = Vec::new();
        {
            let mut cache = lock(&self.0.cache);
            cache.domains.retain(|_, e| e.look_at > now || e.held.as_ref().is_some_and(|h| h.expires() > now));
            cache.octets = cache.domains.values().filter_map(|e| e.held.as_ref()).map(|h| h.octets()).sum();
            for (domain, entry) in &cache.domains {
                let is_old = entry.held.as_ref().is_some_and(|h| now >= h.renewed_at() && entry.used >= h.fetched());
                if is_old && now >= entry.look_at && old.len() < FLIGHTS_MAX / 2 {
                    old.push(domain.clone());
                }
            }
        }
        for domain in old {
            self.learn(&domain);
        }
        let mut after: Option<String> = None;
        loop {
            let Ok(page) = self.0.shelf.memos(MemoKind::MtaSts, "", after.as_deref(), PAGE) else { return };
            let Some((last, _)) = page.last() else { return };
            after = Some(last.clone());
            let is_over = |json: &[u8]| serde_json::from_slice::<Held>(json).map_or(true, |held| now >= held.expires());
            let over = page.into_iter().filter(|(_, json)| is_over(json));
            let over: Vec<MemoChange> =
                over.map(|(key, _)| MemoChange { kind: MemoKind::MtaSts, key, value: None }).collect();
            if !over.is_empty() && self.0.shelf.put_memos(over).await.is_err() {
                return;
            }
        }
    }
}

impl Inner {
    /// Looks at the TXT record, and fetches the policy if it is new, another, or old.
    async fn look(&self, domain: &str) {
        let record = self.host.record(domain);
        let late = async {
            Timer::after(RECORD_WITHIN).await;
            Err("no answer in time".to_owned())
        };
        let record = record.or(late).await;
        let now = self.clock.now();
        let before = lock(&self.cache).domains.get(domain).cloned().unwrap_or_default();
        let held = before.held.clone().filter(|held| now < held.expires());
        let unchanged =
            Entry { held: held.clone(), look_at: now.plus(LOOKED_AT_EVERY), used: before.used, ..Entry::default() };
        let id = match record {
            // Whoever holds back the record must not be able to end the policy: it holds until it runs out (§5.1).
            Err(why) => {
                log::debug!("destination={domain} looking for MTA-STS: {why}");
                return self.remember(domain, Entry { uncertain: true, ..unchanged });
            }
            Ok(None) => return self.remember(domain, unchanged),
            Ok(Some(id)) => id,
        };
        if held.as_ref().is_some_and(|held| held.id == id && now < held.renewed_at()) {
            return self.remember(domain, unchanged);
        }
        let fetched = {
            let _place = self.places.acquire().await;
            let late = async {
                Timer::after(FETCH_WITHIN).await;
                Err(FetchError { result: ResultType::StsPolicyFetchError, words: "it took too long".into() })
            };
            self.host.fetch(domain, self.guard.load(Ordering::Relaxed)).or(late).await
        };
        let policy = fetched.and_then(|text| {
            StsPolicy::parse(&text).map_err(|words| FetchError { result: ResultType::StsPolicyInvalid, words })
        });
        let now = self.clock.now();
        match policy {
            Ok(policy) => {
                self.metrics.sts_fetched.one();
                log::info!(
                    "destination={domain} its MTA-STS policy was fetched: mode={} id={id} max_age={}s",
                    policy.mode.word(),
                    policy.max_age.as_secs()
                );
                let held = Arc::new(Held { policy, id, fetched: now.as_millis() });
                self.keep(domain, &held).await;
                let entry = Entry {
                    held: Some(held),
                    look_at: now.plus(LOOKED_AT_EVERY),
                    used: before.used,
                    ..Entry::default()
                };
                self.remember(domain, entry);
            }
            Err(error) => {
                self.metrics.sts_failed.one();
                let what = if held.is_some() { "the one before holds" } else { "mail goes without" };
                log::warn!("destination={domain} its MTA-STS policy cannot be used: {}; {what}", error.words);
                self.report(domain, now, error);
                let wait = AGAIN_AFTER.saturating_mul(1 << before.failures.min(8)).min(AGAIN_AFTER_MAX);
                let failures = before.failures.saturating_add(1);
                let uncertain = held.is_none();
                let entry = Entry { held, uncertain, look_at: now.plus(wait), failures, used: before.used };
                self.remember(domain, entry);
            }
        }
    }

    fn remember(&self, domain: &str, mut entry: Entry) {
        let now = self.clock.now();
        let mut cache = lock(&self.cache);
        // It may have been used meanwhile.
        entry.used = entry.used.max(cache.domains.get(domain).map_or(Timestamp::ZERO, |e| e.used));
        cache.put(domain, entry, now);
    }

    async fn keep(&self, domain: &str, held: &Held) {
        let Ok(json) = serde_json::to_vec(held) else { return };
        let change = MemoChange { kind: MemoKind::MtaSts, key: domain.to_owned(), value: Some(json) };
        if let Err(error) = self.shelf.put_memos(vec![change]).await {
            log::warn!("destination={domain} its MTA-STS policy could not be stored: {error}");
        }
    }

    /// A policy that cannot be had is told to the domain, once a fetch (RFC 8460 §4.3.2.2).
    fn report(&self, domain: &str, now: Timestamp, error: FetchError) {
        let failure = FailureResult {
            result_type: error.result,
            sending_mta_ip: None,
            receiving_mx_hostname: String::new(),
            receiving_ip: None,
            count: 1,
            reason: error.words,
        };
        self.results.failure(now, &PolicyResult::new(PolicyType::Sts, domain), failure);
    }
}

/// A domain that is being learnt about, until this is dropped.
struct Flight {
    inner: Arc<Inner>,
    domain: String,
    _sender: channel::Sender<()>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        lock(&self.inner.flights).remove(&self.domain);
    }
}

/// A policy of mode none says that there is none.
fn in_force(held: &Arc<Held>) -> Option<Arc<Held>> {
    (held.policy.mode != StsMode::None).then(|| held.clone())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "sts_tests.rs"]
mod tests;
