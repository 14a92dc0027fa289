//! Gathers what a diagnosis needs: the log of the period, a sample of the days before, streams, rules, the doctor.
//!
//! In: a question.  Out: [`Gathered`], and the diagnosis that the rules make of it.
//! Always: it only reads, in short pages on snapshots of their own, so that the writer never waits; bounded in time and rows
//! ([`LOG_WITHIN`], [`ROWS_MAX`], [`SAMPLES_WITHIN`]), and what was not read is said; the doctor is asked meanwhile.
//! Sources: PRODUCT.md R10, R13.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use regex::RegexBuilder;

use super::{
    figures::{Before, Brake, Broke, DAYS_BEFORE, Diagnosis, Gathered, Loosened, Question, Speed, WarmUp},
    patterns,
    rules::{LOOSENED_WITHIN_DAYS, rank},
    tally::{Tally, Try, share},
};
use crate::{
    clock::{Clock, DAY_MILLIS, Timestamp},
    config::{Delivery, InForce},
    deliver::{
        counted::WarmUpState,
        provider::Provider,
        rule_history::{self, RuleChange, Way},
        rules::Rules,
        streams::{self, Counts, DayCounts},
    },
    doctor::{
        finding::{Level, Report},
        round::Findings,
        told::DomainChange,
    },
    event::{AttemptDetail, ErrorClass, EventKind},
    lookup::is_below,
    store::{Lane, LogQuery, LogRow, Memos, Message, Page, Store, StoreError},
    suppress::{Suppressions, incidents::HoldState},
};

/// How long the log of the period is read.
pub const LOG_WITHIN: Duration = Duration::from_secs(5);
/// Entries of the period that are looked at in full.
pub const ROWS_MAX: usize = 300_000;
/// How long the days before are sampled, in all.
pub const SAMPLES_WITHIN: Duration = Duration::from_millis(2_500);
/// Diagnoses that are made at once: each reads the log for seconds.
pub const AT_ONCE: usize = 2;
/// How long the doctor is waited for, once the log is read.
const DOCTOR_WITHIN: Duration = Duration::from_secs(12);
/// Changes of the doctor's findings that are looked at.
const BROKE_MAX: usize = 200;
/// Rows of a page.
const PAGE_ROWS: usize = 2_000;
/// How long one page is looked for: as long as a snapshot of the store lives.
const PAGE_WITHIN: Duration = Duration::from_millis(500);
/// Steps of a page; its time comes first.
const SCAN_MAX: usize = 5_000_000;
/// Places a day at which the days before are sampled, and rows of each.
const SAMPLES_A_DAY: u64 = 2;
/// See [`SAMPLES_A_DAY`].
const SAMPLE_ROWS: usize = 200;
/// Patterns of subjects of the sample.
const PATTERNS_MAX: usize = 5_000;
/// Destinations whose rules are looked up.
const PLACES_MAX: usize = 20;
/// Changes of rules that are looked at, the newest.
const CHANGES_MAX: usize = 200;
/// Octets of a compiled pattern of an old rule.
const PATTERN_OCTETS_MAX: usize = 1 << 20;
/// Held places that are told.
const BRAKES_MAX: usize = 10;
/// What tries and returns leave in the log.
const ENTRIES: [EventKind; 5] =
    [EventKind::Succeeded, EventKind::Deferred, EventKind::Failed, EventKind::Bounced, EventKind::Complained];

/// What a diagnosis is made from.
pub struct Parts {
    /// The log, streams and changes of rules.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// The rules in force.
    pub config: InForce,
    /// Held places.
    pub suppressions: Suppressions,
    /// New source addresses.
    pub warm_ups: Box<dyn Fn() -> Vec<WarmUpState> + Send + Sync>,
    /// The doctor; `None`: there is none.
    pub doctor: Option<Arc<dyn Findings>>,
}

/// Why there is no diagnosis.
#[derive(Debug, thiserror::Error)]
pub enum NoDiagnosis {
    /// Two are being made already.
    #[error("other diagnoses are being made: try again in some seconds")]
    Busy,
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Diagnoses domains; clones share what it reads.
#[derive(Clone)]
pub struct Diagnoser(Arc<(Parts, AtomicUsize)>);

/// One of the diagnoses that are being made; gives its place back.
struct Turn<'c>(&'c AtomicUsize);

impl<'c> Turn<'c> {
    fn take(count: &'c AtomicUsize) -> Option<Self> {
        let turn = Turn(count);
        (count.fetch_add(1, Ordering::SeqCst) < AT_ONCE).then_some(turn)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Diagnoser {
    /// One that reads these.
    pub fn new(parts: Parts) -> Self {
        Diagnoser(Arc::new((parts, AtomicUsize::new(0))))
    }

    /// Why mail of a domain is refused. Blocking: up to ten seconds or so on a busy log, or while the DNS is slow.
    ///
    /// # Errors
    /// The store's, and [`NoDiagnosis::Busy`].
    pub fn diagnose(&self, question: &Question) -> Result<Diagnosis, NoDiagnosis> {
        let (parts, running) = &*self.0;
        let _turn = Turn::take(running).ok_or(NoDiagnosis::Busy)?;
        let asked = parts.ask_doctor(&question.domain);
        let mut gathered = parts.read(question)?;
        if let (Some(asked), Some(doctor)) = (asked, &parts.doctor) {
            let now = asked.recv_timeout(DOCTOR_WITHIN).ok().flatten();
            // What it found last is better than nothing.
            let report = now.or_else(|| doctor.last(&question.domain).ok().flatten());
            gathered.findings = report.map(|report| report.findings);
            let since = question.from.minus(Duration::from_millis(u64::from(DAYS_BEFORE) * DAY_MILLIS));
            gathered.broke = broke(doctor.changes(&question.domain, since, BROKE_MAX)?);
        }
        let causes = rank(&gathered);
        Ok(Diagnosis { gathered, causes })
    }
}

impl Parts {
    /// Asks the doctor on a thread of its own, which ends with the doctor's own time limit.
    fn ask_doctor(&self, domain: &str) -> Option<mpsc::Receiver<Option<Report>>> {
        let (doctor, domain) = (self.doctor.clone()?, domain.to_owned());
        let (sender, receiver) = mpsc::sync_channel(1);
        let ask = move || {
            let report = doctor.check(&domain).map_err(|error| log::warn!("domain={domain} check={error:?}")).ok();
            // Nobody waits any more: it was too late.
            let _ = sender.try_send(report);
        };
        std::thread::Builder::new().name("domain check".to_owned()).spawn(ask).ok().map(|_| receiver)
    }

    /// All but the doctor's part.
    fn read(&self, question: &Question) -> Result<Gathered, StoreError> {
        let (tally, looked_back_to) = self.log(question)?;
        let memos: &dyn Memos = &self.store;
        let (first, last) = (question.from.day(), question.to.day());
        let rows = streams::days(memos, &question.domain, first.saturating_sub(DAYS_BEFORE), last)?;
        let rows: Vec<DayCounts> = rows.into_iter().filter(|row| is_wanted_stream(question, row)).collect();
        let mut before = before(&rows, first);
        self.sample(question, &mut before)?;
        let config = self.config.get();
        let places = Places::of(&tally, &config.delivery);
        let since = question.to.minus(Duration::from_millis(LOOSENED_WITHIN_DAYS * DAY_MILLIS));
        let changes = rule_history::changes(memos, since)?;
        let newest = changes.into_iter().rev().take(CHANGES_MAX);
        let looked = question.to.since(looked_back_to.unwrap_or(question.from)).as_millis().max(u128::from(DAY_MILLIS));
        let by_log = (tally.volume() as f64 * DAY_MILLIS as f64 / looked as f64).round() as u64;
        let is_held =
            |b: &crate::suppress::incidents::BrakeIncident| b.state == HoldState::Held && places.has(&b.place);
        let brakes = self.suppressions.brake_incidents()?.into_iter().filter(is_held).take(BRAKES_MAX);
        Ok(Gathered {
            question: question.clone(),
            volume_a_day: busiest(&rows, first..=last).max(by_log),
            before,
            findings: None,
            broke: Vec::new(),
            loosened: newest.filter_map(|change| places.loosened(&change)).collect(),
            speeds: places.speeds(&config.delivery),
            warm_ups: (self.warm_ups)().into_iter().map(WarmUp::from).collect(),
            brakes: brakes.map(Brake::from).collect(),
            tally,
            looked_back_to,
        })
    }

    /// The log of the period, newest first, and how far back it was read where that is not all.
    fn log(&self, question: &Question) -> Result<(Tally, Option<Timestamp>), StoreError> {
        let mut tally = Tally::default();
        let began = self.clock.instant();
        let query = LogQuery { kinds: ENTRIES.to_vec(), ..query_of(question, question.from, question.to) };
        let mut page = Page { rows_max: PAGE_ROWS, cursor: None, scan_max: SCAN_MAX, within: Some(PAGE_WITHIN) };
        loop {
            let found = self.store.log_page(&query, &page)?;
            let oldest = found.looked_back_to.or_else(|| found.rows.last().map(|row| row.event.at));
            found
                .rows
                .iter()
                .filter(|row| is_of_domain(question, &row.message))
                .for_each(|row| add(&mut tally, question, row));
            let Some(next) = found.next else { return Ok((tally, None)) };
            let is_over = self.clock.instant().saturating_duration_since(began) >= LOG_WITHIN;
            if is_over || tally.events >= ROWS_MAX as u64 {
                return Ok((tally, oldest));
            }
            page.cursor = Some(next);
        }
    }

    /// What mail there was in the days before: some of each day, at two times of it.
    fn sample(&self, question: &Question, before: &mut Before) -> Result<(), StoreError> {
        let began = self.clock.instant();
        let steps = u64::from(DAYS_BEFORE) * SAMPLES_A_DAY;
        let step = DAY_MILLIS / SAMPLES_A_DAY;
        let mut octets = (0_u64, 0_u64);
        for n in 0..steps {
            let passed = self.clock.instant().saturating_duration_since(began);
            let Some(left) = SAMPLES_WITHIN.checked_sub(passed) else { break };
            let to = question.from.minus(Duration::from_millis(n * step));
            let from = to.minus(Duration::from_millis(step));
            let query = LogQuery { kinds: vec![EventKind::Queued], ..query_of(question, from, to) };
            // What the earlier samples did not need is for the later ones.
            let within = left / u32::try_from(steps - n).unwrap_or(1);
            let page = Page { rows_max: SAMPLE_ROWS, cursor: None, scan_max: SCAN_MAX, within: Some(within) };
            for row in self.store.log_page(&query, &page)?.rows {
                if !is_of_domain(question, &row.message) {
                    continue;
                }
                let pattern = patterns::pattern(&row.message.facts.subject);
                if before.patterns.len() < PATTERNS_MAX || before.patterns.contains_key(&pattern) {
                    *before.patterns.entry(pattern).or_default() += 1;
                }
                before.sampled += 1;
                octets = (octets.0.saturating_add(row.message.len), octets.1 + 1);
            }
        }
        if before.octets == 0.0 {
            before.octets = share(octets.0, octets.1);
        }
        Ok(())
    }
}

fn query_of(question: &Question, from: Timestamp, to: Timestamp) -> LogQuery {
    // A domain of other letters may stand in From as it is written: then the log is not narrowed down.
    let is_foreign = question.domain.split('.').any(|label| label.starts_with("xn--"));
    LogQuery {
        from: Some(from),
        to: Some(to),
        sender: if is_foreign { String::new() } else { question.domain.clone() },
        user: question.user.clone(),
        ..LogQuery::default()
    }
}

/// The mail's header-From domain, or its envelope sender's, is the domain or below it.
fn is_of_domain(question: &Question, message: &Message) -> bool {
    let domain = |address: &str| address.rsplit_once('@').map_or(String::new(), |(_, domain)| domain.to_owned());
    let is_ours = |domain: &str| {
        is_below(domain.trim_end_matches('.'), &question.domain)
            || !domain.is_ascii() && idna::domain_to_ascii(domain).is_ok_and(|name| is_below(&name, &question.domain))
    };
    is_ours(&domain(&message.facts.from)) || message.sender.as_ref().is_some_and(|sender| is_ours(sender.domain()))
}

fn is_wanted_stream(question: &Question, row: &DayCounts) -> bool {
    let Some(wanted) = question.destination.as_deref() else { return true };
    let provider = Provider::from_word(wanted).unwrap_or_else(|| Provider::of("", wanted));
    // Of a small destination there are no figures of its own: those of all mail say at least whether that grew.
    provider == Provider::Other || row.provider == provider
}

fn is_wanted_place(question: &Question, detail: &AttemptDetail, recipient: &str) -> bool {
    let Some(wanted) = question.destination.as_deref() else { return true };
    let domain = recipient.rsplit_once('@').map_or("", |(_, domain)| domain);
    match Provider::from_word(wanted) {
        Some(provider) => Provider::of(&detail.host, domain) == provider,
        None => is_below(&detail.destination, wanted) || is_below(domain, wanted) || is_below(&detail.host, wanted),
    }
}

fn add(tally: &mut Tally, question: &Question, row: &LogRow) {
    let Some(detail) = &row.event.detail else { return };
    if row.event.is_sandboxed() || !is_wanted_place(question, detail, &row.recipient) {
        return;
    }
    tally.add(&Try {
        at: row.event.at,
        kind: row.event.kind,
        phase: detail.phase,
        class: detail.error,
        reply: &detail.reply,
        recipient: &row.recipient,
        destination: &detail.destination,
        host: &detail.host,
        source: detail.sender_ip,
        user: &row.message.user,
        subject: &row.message.facts.subject,
        octets: row.message.len,
    });
}

/// Recipients with a result on the busiest of these days.
fn busiest(rows: &[DayCounts], days: std::ops::RangeInclusive<u32>) -> u64 {
    let mut by_day: HashMap<u32, u64> = HashMap::new();
    for row in rows.iter().filter(|row| days.contains(&row.day)) {
        *by_day.entry(row.day).or_default() += row.counts.volume();
    }
    by_day.into_values().max().unwrap_or(0)
}

/// The findings that became errors, the newest of each.
fn broke(changes: Vec<DomainChange>) -> Vec<Broke> {
    let mut out: Vec<Broke> = Vec::new();
    for change in changes.into_iter().filter(|change| change.is == Level::Error.word()) {
        match out.iter_mut().find(|known| known.check == change.check) {
            Some(known) => known.at = known.at.max(change.at),
            None => out.push(Broke { check: change.check, at: change.at }),
        }
    }
    out
}

/// The figures of the days before `first`.
fn before(rows: &[DayCounts], first: u32) -> Before {
    let earlier: Vec<&DayCounts> = rows.iter().filter(|row| row.day < first).collect();
    let Some(begin) = earlier.iter().map(|row| row.day).min() else { return Before::default() };
    let mut sum = Counts::default();
    earlier.iter().for_each(|row| sum.add(&row.counts));
    let unknown: u64 = [ErrorClass::UnknownUser, ErrorClass::UnknownHost, ErrorClass::BadAddress]
        .into_iter()
        .map(|class| sum.failed_by(class))
        .sum();
    // Days without mail count since the first with some.
    let days = first - begin;
    Before {
        days,
        volume_a_day: sum.volume() as f64 / f64::from(days.max(1)),
        busiest: busiest(rows, 0..=first.saturating_sub(1)),
        refused_rate: share(sum.deferred + sum.failed(), sum.delivered + sum.deferred + sum.failed()),
        unknown_rate: share(unknown, sum.volume()),
        octets: share(sum.octets, sum.delivered),
        ..Before::default()
    }
}

/// The destinations that refuse most, and the rules that apply to them.
struct Places {
    /// Name, host, rule.
    places: Vec<(String, String, Option<usize>)>,
    /// Everything that refuses.
    refusing: std::collections::HashSet<String>,
}

impl Places {
    fn of(tally: &Tally, delivery: &Delivery) -> Self {
        let mut refusing: Vec<(&String, u64)> =
            tally.destinations.iter().filter(|(_, f)| f.refused > 0).map(|(name, f)| (name, f.refused)).collect();
        refusing.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let rules = Rules::new(&delivery.rules);
        let place = |name: &String| {
            let host = tally.hosts.get(name).cloned().unwrap_or_default();
            let by_address = rules.of_lane(&Lane::new(name, None));
            let rule = rules.with_hosts(by_address, std::iter::once(host.as_str()).filter(|h| !h.is_empty()));
            (name.clone(), host, rule)
        };
        Places {
            places: refusing.iter().take(PLACES_MAX).map(|(name, _)| place(name)).collect(),
            refusing: refusing.into_iter().map(|(name, _)| name.clone()).collect(),
        }
    }

    /// A place of the suppression list is among them.
    fn has(&self, place: &str) -> bool {
        match place.strip_prefix("*.") {
            Some(provider) => self.places.iter().any(|(_, host, _)| is_below(host, provider)),
            None => self.refusing.contains(place),
        }
    }

    fn speeds(&self, delivery: &Delivery) -> Vec<Speed> {
        let speed = |(name, _, rule): &(String, String, Option<usize>)| {
            let rule = rule.and_then(|at| delivery.rules.get(at));
            Speed {
                destination: name.clone(),
                rule: rule.map(|rule| rule.name.clone()),
                connections: rule.and_then(|r| r.connections_max).unwrap_or(delivery.connections_per_destination),
                interval_millis: rule.map_or(0, |r| u64::try_from(r.interval.as_millis()).unwrap_or(u64::MAX)),
            }
        };
        self.places.iter().map(speed).collect()
    }

    /// The change as a cause, where it made something looser for one of them.
    fn loosened(&self, change: &RuleChange) -> Option<Loosened> {
        let speed = |speed: &Option<rule_history::Speed>, general: usize| {
            let speed = speed.as_ref();
            (speed.and_then(|s| s.connections_max).unwrap_or(general), speed.map_or(0, |s| s.interval_millis))
        };
        let (before, after) = (speed(&change.before, change.general.0), speed(&change.after, change.general.1));
        let is_looser = after.0 > before.0 || after.1 < before.1 || change.way == Way::Loosened;
        if !is_looser || change.way == Way::Tightened {
            return None;
        }
        let is_general = change.rule == rule_history::GENERAL;
        let patterns: Vec<(bool, regex::Regex)> = if is_general {
            Vec::new()
        } else {
            [&change.before, &change.after].into_iter().flatten().flat_map(patterns_of).collect()
        };
        let applies = |(name, host, rule): &&(String, String, Option<usize>)| {
            if is_general {
                return rule.is_none();
            }
            let address = format!("@{name}");
            patterns.iter().any(|(is_host, p)| p.is_match(if *is_host { host } else { &address }))
        };
        let destinations: Vec<String> = self.places.iter().filter(applies).map(|(name, ..)| name.clone()).collect();
        (!destinations.is_empty()).then(|| Loosened {
            rule: change.rule.clone(),
            at: change.at(),
            connections: (before.0, after.0),
            interval_millis: (before.1, after.1),
            destinations,
        })
    }
}

/// The patterns of an old rule; true: on hosts. Those that are none any more are left out.
fn patterns_of(speed: &rule_history::Speed) -> Vec<(bool, regex::Regex)> {
    let compiled =
        |text: &String| RegexBuilder::new(text).case_insensitive(true).size_limit(PATTERN_OCTETS_MAX).build().ok();
    let addresses = speed.recipients.iter().filter_map(compiled).map(|p| (false, p));
    addresses.chain(speed.mx_hosts.iter().filter_map(compiled).map(|p| (true, p))).collect()
}

impl From<WarmUpState> for WarmUp {
    fn from(state: WarmUpState) -> Self {
        let WarmUpState { source, provider, day, days, sent, cap } = state;
        WarmUp { source, provider, day, days, sent, cap }
    }
}

impl From<crate::suppress::incidents::BrakeIncident> for Brake {
    fn from(incident: crate::suppress::incidents::BrakeIncident) -> Self {
        let since = incident.since();
        Brake { place: incident.place, since, errors: incident.errors, results: incident.results }
    }
}
