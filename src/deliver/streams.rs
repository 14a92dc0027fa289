//! Mail streams: how much mail of each header-From domain went to each large provider, day by day, and how it fared.
//!
//! In: tries that ended, with their message.  Out: [`Counts`] in memos of the store, one a day (UTC) and domain; [`days`] reads
//! them. The domain doctor holds them against the bulk-sender rules, the diagnosis compares them with the days before.
//!
//! Always: a try costs one lock, one look-up and no memory once its domain is known today; bounded in domains a day, the rest is
//! counted together as [`OTHERS`]; kept [`KEPT_DAYS`] days. The counts are written once a minute and at a stop: a process that is
//! killed loses the last minute's at most, and the log, which is exact, loses nothing. Mail that only passes through (bounces passed
//! on), what a webhook posts, and the sandbox are not counted: they are nobody's stream.
//! Sources: PRODUCT.md R10; the bulk-sender rules of Gmail, Yahoo and Microsoft (volume a day, one-click, TLS).

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use smol::Timer;

use super::{
    lately::{Ended, LastHour, Lately},
    provider::Provider,
};
use crate::{
    clock::{Clock, Timestamp},
    event::{ErrorClass, EventKind, SANDBOX_HOST},
    runtime::{Runtime, Shutdown, Stage},
    store::{Change, MEMO_KEY_MAX, MemoChange, MemoKind, Memos, Message, Origin, Recipient, StoreError},
    webhook::inbound_lane::hook_name,
};

/// Header-From domains that are told apart on one day. Sixty-one days of so many stay below what the store takes of a kind.
pub const DOMAINS_A_DAY_MAX: usize = 1_500;
/// Days that are kept, today included.
pub const KEPT_DAYS: u32 = 60;
/// The domain under which the rest of a day is counted, and mail without a domain in From: no domain has a tilde.
pub const OTHERS: &str = "~other";
/// How often the counts are written.
pub const FLUSH_EVERY: Duration = Duration::from_secs(60);
/// Memos of one transaction.
const CHANGES_MAX: usize = 500;
/// Memos of one read.
const PAGE: usize = 2_000;
/// Octets of a domain that is looked up without memory; no longer one is a name of the DNS.
const DOMAIN_OCTETS_MAX: usize = 253;
/// Error classes: rows have a number for each, in the order of [`ErrorClass::ALL`].
const CLASSES: usize = ErrorClass::ALL.len();

/// What one day brought for one header-From domain at one provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Counts {
    /// Recipients that the destination took.
    pub delivered: u64,
    /// Tries that failed for now.
    pub deferred: u64,
    /// Recipients that failed, by class, in the order of CMC's numbers.
    pub(crate) failed: [u64; CLASSES],
    /// Octets of the mail that was delivered, once for each recipient.
    pub octets: u64,
    /// Recipients among the delivered whose mail could be left with one click (RFC 8058).
    pub one_click: u64,
    /// Recipients among the delivered whose mail went over TLS.
    pub tls: u64,
}

impl Counts {
    /// Recipients that failed with this class.
    pub fn failed_by(&self, class: ErrorClass) -> u64 {
        place_of(class).map_or(0, |at| self.failed[at])
    }

    /// Recipients that failed, of all classes.
    pub fn failed(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// Recipients with a result: what Gmail and its like call the volume.
    pub fn volume(&self) -> u64 {
        self.delivered.saturating_add(self.failed())
    }

    /// One more recipient that failed.
    pub fn add_failed(&mut self, class: ErrorClass, n: u64) {
        if let Some(at) = place_of(class) {
            self.failed[at] = self.failed[at].saturating_add(n);
        }
    }

    /// Adds another's numbers.
    pub fn add(&mut self, other: &Counts) {
        let pairs = [
            (&mut self.delivered, other.delivered),
            (&mut self.deferred, other.deferred),
            (&mut self.octets, other.octets),
            (&mut self.one_click, other.one_click),
            (&mut self.tls, other.tls),
        ];
        let classes = self.failed.iter_mut().zip(other.failed);
        for (sum, n) in pairs.into_iter().chain(classes) {
            *sum = sum.saturating_add(n);
        }
    }

    fn is_empty(&self) -> bool {
        *self == Counts::default()
    }
}

fn place_of(class: ErrorClass) -> Option<usize> {
    ErrorClass::ALL.iter().position(|c| *c == class)
}

/// How [`Counts`] are written: zeros are left out.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    #[serde(skip_serializing_if = "is_zero")]
    delivered: u64,
    #[serde(skip_serializing_if = "is_zero")]
    deferred: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    failed: BTreeMap<u8, u64>,
    #[serde(skip_serializing_if = "is_zero")]
    octets: u64,
    #[serde(skip_serializing_if = "is_zero")]
    one_click: u64,
    #[serde(skip_serializing_if = "is_zero")]
    tls: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for it
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl From<Counts> for Stored {
    fn from(counts: Counts) -> Self {
        let Counts { delivered, deferred, failed, octets, one_click, tls } = counts;
        let failed = ErrorClass::ALL.iter().zip(failed).filter(|(_, n)| *n > 0).map(|(c, n)| (c.code(), n)).collect();
        Stored { delivered, deferred, failed, octets, one_click, tls }
    }
}

impl From<Stored> for Counts {
    fn from(stored: Stored) -> Self {
        let Stored { delivered, deferred, failed, octets, one_click, tls } = stored;
        let mut counts = Counts { delivered, deferred, octets, one_click, tls, ..Counts::default() };
        for (code, n) in failed {
            counts.add_failed(ErrorClass::from_code(code).unwrap_or(ErrorClass::Other), n);
        }
        counts
    }
}

/// One row of [`days`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DayCounts {
    /// The day (UTC), in days since 1970.
    pub day: u32,
    /// The domain of the header From, in lower case and A-labels.
    pub domain: String,
    /// Where it went.
    pub provider: Provider,
    /// How it fared.
    pub counts: Counts,
}

/// The streams of a domain and everything below it, from one day to another, both included; an empty domain: all streams, those that
/// were counted together with them. By domain and day. Blocking: one short read for each 2,000 rows.
///
/// What happened within the last minute may be missing.
///
/// # Errors
/// The store's.
pub fn days(memos: &dyn Memos, domain: &str, from_day: u32, to_day: u32) -> Result<Vec<DayCounts>, StoreError> {
    let mut out = Vec::new();
    let prefixes = if domain.is_empty() {
        vec![String::new()]
    } else {
        let name = turned(&domain.trim_end_matches('.').to_ascii_lowercase());
        vec![format!("{name}/"), format!("{name}.")]
    };
    for prefix in prefixes {
        each_row(memos, &prefix, |key, value| {
            let Some((domain, day)) = read_key(key).filter(|(_, day)| (from_day..=to_day).contains(day)) else {
                return;
            };
            let row: Row = serde_json::from_slice(value).unwrap_or_default();
            out.extend(row.into_iter().map(|(provider, counts)| DayCounts {
                day,
                domain: domain.clone(),
                provider,
                counts,
            }));
        })?;
    }
    out.sort_by(|a, b| (&a.domain, a.day, a.provider).cmp(&(&b.domain, b.day, b.provider)));
    Ok(out)
}

/// A memo's value.
type Row = BTreeMap<Provider, Counts>;

/// `shop.example.jp` → `jp.example.shop`: a domain and what is below it stand together.
fn turned(domain: &str) -> String {
    let mut labels: Vec<&str> = domain.split('.').collect();
    labels.reverse();
    labels.join(".")
}

fn key_of(domain: &str, day: u32) -> String {
    format!("{}/{day}", turned(domain))
}

fn read_key(key: &str) -> Option<(String, u32)> {
    let (domain, day) = key.rsplit_once('/')?;
    Some((turned(domain), day.parse().ok()?))
}

fn each_row(memos: &dyn Memos, prefix: &str, mut each: impl FnMut(&str, &[u8])) -> Result<(), StoreError> {
    let mut after: Option<String> = None;
    for _ in 0..=MemoKind::Streams.max() / PAGE {
        let page = memos.memos(MemoKind::Streams, prefix, after.as_deref(), PAGE)?;
        page.iter().for_each(|(key, value)| each(key, value));
        if page.len() < PAGE {
            break;
        }
        after = page.into_iter().next_back().map(|(key, _)| key);
    }
    Ok(())
}

fn each_key(memos: &dyn Memos, mut each: impl FnMut(String)) -> Result<(), StoreError> {
    let mut after: Option<String> = None;
    for _ in 0..=MemoKind::Streams.max() / PAGE {
        let page = memos.memo_keys(MemoKind::Streams, "", after.as_deref(), PAGE)?;
        let (last, is_last) = (page.last().cloned(), page.len() < PAGE);
        page.into_iter().for_each(&mut each);
        if is_last {
            break;
        }
        after = last;
    }
    Ok(())
}

/// Counts streams; clones share the counts.
#[derive(Clone, Default)]
pub struct Streams(Arc<Mutex<Pending>>);

/// What was counted and not written yet.
#[derive(Default)]
struct Pending {
    /// The day that runs.
    day: u32,
    /// Its domains, with what came since they were last written.
    today: HashMap<Box<str>, Fresh>,
    /// The day's domains, those with them that were written before this process started.
    named: HashSet<Box<str>>,
    /// What is left of days that are over.
    over: Vec<(u32, Box<str>, Fresh)>,
    /// The day whose start swept the old rows away.
    swept: u32,
    /// Every provider's last hour.
    lately: LastHour,
}

/// Counts by provider, in the order of [`Provider::ALL`].
type Fresh = [Counts; Provider::ALL.len()];

impl Pending {
    fn turn_to(&mut self, day: u32) {
        if self.day != day {
            let before = self.day;
            let unwritten = self.today.drain().filter(|(_, fresh)| has_counts(fresh));
            self.over.extend(unwritten.map(|(domain, fresh)| (before, domain, fresh)));
            self.named.clear();
            self.day = day;
        }
    }

    /// The counts of a domain today.
    fn of(&mut self, domain: &str) -> Option<&mut Fresh> {
        let mut name = domain;
        if !self.today.contains_key(name) {
            let fits = self.named.contains(name) || self.named.len() < DOMAINS_A_DAY_MAX || name == OTHERS;
            if !fits {
                name = OTHERS;
            }
            self.named.insert(name.into());
            self.today.entry(name.into()).or_default();
        }
        self.today.get_mut(name)
    }
}

fn has_counts(fresh: &Fresh) -> bool {
    fresh.iter().any(|counts| !counts.is_empty())
}

impl Streams {
    /// Writes the counts each minute from now on, and forgets days that are over once a day. Ends when the daemon stops; the last
    /// minute is written by [`Streams::flush`].
    pub fn start(&self, runtime: &Runtime, shutdown: &Shutdown, memos: Arc<dyn Memos>, clock: Clock) {
        let (weak, shutdown) = (Arc::downgrade(&self.0), shutdown.clone());
        runtime.spawn("mail streams", async move {
            while shutdown.stage() == Stage::Running {
                {
                    let Some(pending) = weak.upgrade() else { return };
                    let streams = Streams(pending);
                    streams.sweep(&memos, clock.now().day()).await;
                    streams.flush(&*memos).await;
                }
                Timer::after(FLUSH_EVERY).await;
            }
        });
    }

    /// Counts what became of recipients of a message: one change for each of them, in the same order.
    pub fn count(&self, message: &Message, recipients: &[Recipient], changes: &[Change]) {
        if message.origin == Origin::Forward {
            return;
        }
        let mut room = [0; DOMAIN_OCTETS_MAX];
        let sender = message.sender.as_ref().map_or("", |s| s.domain());
        let owned;
        let domain = match domain_in(&message.facts.from, &mut room) {
            Named::Domain(domain) => domain,
            Named::Foreign(domain) => {
                owned = domain;
                &owned
            }
            Named::Nobody if sender.is_empty() => OTHERS,
            Named::Nobody => {
                owned = sender.to_ascii_lowercase();
                &owned
            }
        };
        let one_click = !message.list.is_empty() || message.facts.one_click;
        let mut pending = self.lock();
        for (recipient, change) in recipients.iter().zip(changes) {
            let event = &change.event;
            let Some(detail) = &event.detail else { continue };
            if event.key != recipient.key || detail.host == SANDBOX_HOST || hook_name(&detail.destination).is_some() {
                continue;
            }
            pending.turn_to(event.at.day());
            let Some(fresh) = pending.of(domain) else { continue };
            let provider = Provider::of(&detail.host, recipient.address.domain());
            let counts = &mut fresh[provider as usize];
            let ended = match event.kind {
                EventKind::Succeeded => {
                    counts.delivered += 1;
                    counts.octets = counts.octets.saturating_add(message.len);
                    counts.one_click += u64::from(one_click);
                    counts.tls += u64::from(!detail.tls.is_empty());
                    Ended::Delivered
                }
                EventKind::Failed => {
                    counts.add_failed(detail.error.unwrap_or(ErrorClass::Other), 1);
                    Ended::Failed
                }
                EventKind::Deferred => {
                    counts.deferred += 1;
                    Ended::Deferred
                }
                EventKind::Queued | EventKind::Dropped | EventKind::Bounced | EventKind::Complained => continue,
            };
            pending.lately.count(provider, ended, event.at);
        }
    }

    /// How the large providers took our mail within the last hour, since the start at most.
    pub fn lately(&self, now: Timestamp) -> Vec<Lately> {
        self.lock().lately.read(now)
    }

    /// Adds what was counted to the memos of its days; what cannot be written is kept for the next time.
    pub async fn flush(&self, memos: &dyn Memos) {
        let mut rows = self.take();
        while !rows.is_empty() {
            let rest = rows.split_off(rows.len().min(CHANGES_MAX));
            let written = match rows.iter().map(|row| change(memos, row)).collect::<Result<Vec<_>, _>>() {
                Ok(changes) => memos.put_memos(changes).await,
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                log::warn!("mail streams could not be written: {error}; they are kept");
                rows.extend(rest);
                self.put_back(rows);
                return;
            }
            rows = rest;
        }
    }

    fn take(&self) -> Vec<(u32, Box<str>, Fresh)> {
        let mut pending = self.lock();
        let day = pending.day;
        let mut rows = std::mem::take(&mut pending.over);
        for (domain, fresh) in &mut pending.today {
            if has_counts(fresh) {
                // The name stays, so that the next try of the domain finds it.
                rows.push((day, domain.clone(), std::mem::take(fresh)));
            }
        }
        rows
    }

    fn put_back(&self, rows: Vec<(u32, Box<str>, Fresh)>) {
        let mut pending = self.lock();
        pending.over.extend(rows);
        // Rows of one day and domain are added up, so that a store that refuses for long costs no more than its domains.
        let mut sums: HashMap<(u32, Box<str>), Fresh> = HashMap::new();
        for (day, domain, fresh) in std::mem::take(&mut pending.over) {
            let sum = sums.entry((day, domain)).or_default();
            sum.iter_mut().zip(&fresh).for_each(|(sum, counts)| sum.add(counts));
        }
        pending.over = sums.into_iter().map(|((day, domain), fresh)| (day, domain, fresh)).collect();
    }

    /// Once a day: forgets what is too old, and learns which domains the day has already.
    async fn sweep(&self, memos: &Arc<dyn Memos>, today: u32) {
        if self.lock().swept == today {
            return;
        }
        let shelf = memos.clone();
        let oldest = (today + 1).saturating_sub(KEPT_DAYS);
        let found = smol::unblock(move || {
            let (mut old, mut known) = (Vec::new(), HashSet::new());
            each_key(&*shelf, |key| match read_key(&key) {
                Some((domain, day)) if day == today => drop(known.insert(domain.into_boxed_str())),
                Some((_, day)) if day >= oldest => {}
                Some(_) | None => old.push(key),
            })
            .map(|()| (old, known))
        })
        .await;
        let swept = match found {
            Ok((old, known)) => {
                self.learn(today, known);
                forget(&**memos, old).await
            }
            Err(error) => Err(error),
        };
        match swept {
            Ok(()) => self.lock().swept = today,
            Err(error) => log::warn!("old mail streams could not be forgotten: {error}; tried again in a minute"),
        }
    }

    fn learn(&self, today: u32, known: HashSet<Box<str>>) {
        let mut pending = self.lock();
        pending.turn_to(today);
        pending.named.extend(known);
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn forget(memos: &dyn Memos, mut keys: Vec<String>) -> Result<(), StoreError> {
    while !keys.is_empty() {
        let rest = keys.split_off(keys.len().min(CHANGES_MAX));
        let gone = |key| MemoChange { kind: MemoKind::Streams, key, value: None };
        memos.put_memos(keys.into_iter().map(gone).collect()).await?;
        keys = rest;
    }
    Ok(())
}

/// The memo with what is new added.
fn change(memos: &dyn Memos, (day, domain, fresh): &(u32, Box<str>, Fresh)) -> Result<MemoChange, StoreError> {
    let key = key_of(domain, *day);
    debug_assert!(key.len() <= MEMO_KEY_MAX, "a domain has at most 253 octets");
    let known = memos.memo(MemoKind::Streams, &key)?;
    // A memo that cannot be read any more is begun anew.
    let mut row: Row = known.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    for (provider, counts) in Provider::ALL.iter().zip(fresh).filter(|(_, counts)| !counts.is_empty()) {
        row.entry(*provider).or_default().add(counts);
    }
    let value = serde_json::to_vec(&row).expect("numbers and words have a form in JSON");
    Ok(MemoChange { kind: MemoKind::Streams, key, value: Some(value) })
}

/// What the domain of a header From is.
enum Named<'r> {
    /// In lower case.
    Domain(&'r str),
    /// It has letters beyond ASCII: here are its A-labels.
    Foreign(String),
    /// There is none that a name of the DNS could be.
    Nobody,
}

/// The domain of an address in lower case, written into `room`: no memory is asked for.
fn domain_in<'r>(address: &str, room: &'r mut [u8; DOMAIN_OCTETS_MAX]) -> Named<'r> {
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain).trim_end_matches('.');
    if !domain.is_ascii() {
        let read = idna::domain_to_ascii(domain).ok().filter(|name| name.len() <= DOMAIN_OCTETS_MAX && is_name(name));
        return read.map_or(Named::Nobody, Named::Foreign);
    }
    if domain.len() > DOMAIN_OCTETS_MAX || !is_name(domain) {
        return Named::Nobody;
    }
    let room = &mut room[..domain.len()];
    room.copy_from_slice(domain.as_bytes());
    room.make_ascii_lowercase();
    std::str::from_utf8(room).map_or(Named::Nobody, Named::Domain)
}

fn is_name(domain: &str) -> bool {
    !domain.is_empty() && domain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
