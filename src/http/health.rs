//! How the daemon is, for machines: `/livez`, `/readyz`, `/status.json`; and the overview that the page shows too.
//!
//! Always: `/livez` answers whenever a thread can; `/readyz` is 503 exactly while new mail would be answered 4yz.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use crate::{
    clock::Timestamp,
    http::{
        daemon::{Daemon, Unready},
        domain_status,
        exchange::{JSON, Response},
        rows::{
            AgesOut, CountsOut, DestinationOut, PauseOut, ReasonOut, StatusOut, UnusedRuleOut, WarmUpOut, WebhookOut,
            mode_word, validation_word,
        },
        rows_keys::DkimOut,
        rows_lists::{HoldOut, ListsOut},
    },
    store::{Lane, MemoKind, MinuteCounts, Page, Pause, StoreError},
    suppress::list::ListQuery,
};

/// Destinations in an overview.
pub const DESTINATIONS_MAX: usize = 20;
/// Rows of the suppression list up to which it is counted at each look: a few milliseconds.
const COUNTED_MAX: u64 = 2_000;
/// Held destinations in an overview.
const HELD_MAX: usize = 20;
/// Alarms about DMARC reports in an overview.
const ALARMS_MAX: usize = 50;
/// Minutes in an overview's chart.
pub const MINUTES: u64 = 60;

/// How things stand, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// All is well.
    Fine,
    /// Some mail was deferred or is held; that is normal life, and worth a look.
    Waiting,
    /// No new mail is taken.
    Trouble,
}

impl State {
    /// The word in `/status.json`.
    pub fn word(self) -> &'static str {
        match self {
            State::Fine => "ok",
            State::Waiting => "waiting",
            State::Trouble => "trouble",
        }
    }
}

/// Everything at a glance.
pub struct Overview {
    /// In one word.
    pub state: State,
    /// Why it is in trouble.
    pub unready: Vec<Unready>,
    /// The numbers.
    pub status: StatusOut,
    /// The last hour, one entry a minute, the oldest first, none left out.
    pub minutes: Vec<MinuteCounts>,
    /// The largest destinations.
    pub destinations: Vec<Destination>,
    /// When it was asked.
    pub now: Timestamp,
}

/// A destination of the queue: its lanes together, however many rules part them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination {
    /// Domain, or smarthost.
    pub name: String,
    /// Waiting recipients.
    pub waiting: u64,
    /// Attempts that run now.
    pub running: u32,
    /// The earliest next try; [`Timestamp::MAX`]: all are held.
    pub earliest_due: Timestamp,
    /// What it last answered to a deferred recipient; empty: nothing was deferred.
    pub last_reply: String,
    /// An operator paused it.
    pub paused: bool,
}

/// Lanes that one destination may be parted into, by the number of rules that look at the local part: a guess.
const LANES_PER_DESTINATION: usize = 4;

/// The destinations with the most waiting recipients, largest first.
pub fn destinations(daemon: &dyn Daemon, pauses: &[Pause], limit: usize) -> Result<Vec<Destination>, StoreError> {
    let paused: HashSet<&str> = pauses.iter().map(|pause| pause.destination.as_str()).collect();
    let mut running: HashMap<String, u32> = HashMap::new();
    for activity in daemon.activity() {
        let lane = Lane(activity.lane.into());
        *running.entry(lane.destination().to_owned()).or_default() += activity.running;
    }
    let mut found: Vec<Destination> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for row in daemon.lanes(limit.saturating_mul(LANES_PER_DESTINATION))? {
        let name = row.lane.destination().to_owned();
        match places.get(&name).and_then(|place| found.get_mut(*place)) {
            Some(known) => {
                known.waiting += row.count;
                known.earliest_due = known.earliest_due.min(row.earliest_due);
                if known.last_reply.is_empty() {
                    known.last_reply = row.last_reply;
                }
            }
            None => {
                places.insert(name.clone(), found.len());
                found.push(Destination {
                    waiting: row.count,
                    running: running.get(&name).copied().unwrap_or(0),
                    earliest_due: row.earliest_due,
                    last_reply: row.last_reply,
                    paused: paused.contains(name.as_str()),
                    name,
                });
            }
        }
    }
    found.sort_by_key(|d| std::cmp::Reverse(d.waiting));
    found.truncate(limit);
    Ok(found)
}

/// The pauses with the number of recipients that wait for their end, as far as `destinations` names them.
pub fn pause_rows(pauses: &[Pause], destinations: &[Destination]) -> Vec<PauseOut> {
    let waiting: HashMap<&str, u64> = destinations.iter().map(|d| (d.name.as_str(), d.waiting)).collect();
    pauses.iter().map(|p| PauseOut::new(p, waiting.get(p.destination.as_str()).copied().unwrap_or(0))).collect()
}

/// Asks the daemon for everything at a glance.
pub fn overview(daemon: &dyn Daemon) -> Result<Overview, StoreError> {
    let now = daemon.now();
    let about = daemon.about();
    let unready = daemon.unready();
    let totals = daemon.totals();
    let metrics = daemon.metrics();
    let minutes = last_hour(daemon, now)?;
    let pauses = daemon.pauses()?;
    let destinations = destinations(daemon, &pauses, DESTINATIONS_MAX)?;
    let deferred = destinations.iter().any(|d| !d.last_reply.is_empty());
    let waits = deferred || totals.held > 0 || !pauses.is_empty();
    let state = match (unready.is_empty(), waits) {
        (false, _) => State::Trouble,
        (true, true) => State::Waiting,
        (true, false) => State::Fine,
    };
    let mut status = StatusOut {
        state: state.word().to_owned(),
        reasons: unready.iter().map(|u| ReasonOut { reason: u.word().to_owned(), words: u.words() }).collect(),
        hostname: about.hostname,
        version: about.version.to_owned(),
        mode: mode_word(about.mode).to_owned(),
        at: now.rfc3339(),
        started_at: about.started_at.rfc3339(),
        time_zone: about.zone.name().to_owned(),
        sessions: metrics.sessions.get(),
        connections: metrics.connections.get(),
        last_hour: sum(&minutes),
        destinations: destinations.iter().map(DestinationOut::from).collect(),
        oldest_seconds: AgesOut::new(daemon.oldest()?, now),
        dns_validation: daemon.validation().map(|v| validation_word(v).to_owned()),
        pauses: pause_rows(&pauses, &destinations),
        warm_ups: daemon.warm_ups().iter().map(WarmUpOut::from).collect(),
        unused_rules: daemon.rule_uses().iter().filter_map(|rule| UnusedRuleOut::of(rule, now)).collect(),
        lists: lists(daemon)?,
        archive_trouble: daemon.archive_trouble(),
        webhooks: webhooks(daemon, now),
        dmarc_alarms: daemon.dmarc().alarms("").into_iter().take(ALARMS_MAX).collect(),
        domains: domain_status::domains(daemon)?,
        dkim: DkimOut::new(&daemon.signing_keys().keys(None), now),
        ..StatusOut::default()
    };
    status.set_totals(&totals);
    Ok(Overview { state, unready, status, minutes, destinations, now })
}

/// The lists of who is not written to, at a glance.
fn lists(daemon: &dyn Daemon) -> Result<ListsOut, StoreError> {
    let list = daemon.suppressions();
    let suppressions = daemon.memo_count(MemoKind::Suppressions)?;
    let suppressed = match suppressions {
        0 => Some(0),
        1..=COUNTED_MAX => {
            let page = Page { rows_max: usize::MAX, scan_max: usize::MAX, ..Page::default() };
            Some(list.list(&ListQuery::default(), &page)?.rows.len() as u64)
        }
        _ => None,
    };
    Ok(ListsOut {
        suppressions,
        suppressed,
        last_run: smol::future::block_on(list.last_run())?.filter(|at| *at > Timestamp::ZERO).map(Timestamp::rfc3339),
        held: list.brake_incidents()?.iter().take(HELD_MAX).map(HoldOut::from).collect(),
        unsubscribes: daemon.memo_count(MemoKind::Unsubscribes)?,
    })
}

/// Webhooks that need somebody.
fn webhooks(daemon: &dyn Daemon, now: Timestamp) -> Vec<WebhookOut> {
    let views = daemon.webhooks().views();
    views.iter().filter(|view| view.is_in_trouble()).map(|view| WebhookOut::new(view, now)).collect()
}

fn last_hour(daemon: &dyn Daemon, now: Timestamp) -> Result<Vec<MinuteCounts>, StoreError> {
    const MINUTE: u64 = 60_000;
    let this = now.as_millis() / MINUTE;
    let first = this.saturating_sub(MINUTES - 1);
    let from = Timestamp::from_millis(first * MINUTE);
    let to = Timestamp::from_millis((this + 1) * MINUTE);
    let known: HashMap<u64, MinuteCounts> =
        daemon.minutes(from, to)?.into_iter().map(|m| (m.minute.as_millis() / MINUTE, m)).collect();
    Ok((first..=this)
        .map(|minute| MinuteCounts {
            minute: Timestamp::from_millis(minute * MINUTE),
            ..known.get(&minute).copied().unwrap_or_default()
        })
        .collect())
}

fn sum(minutes: &[MinuteCounts]) -> CountsOut {
    minutes.iter().fold(CountsOut::default(), |sum, m| CountsOut {
        accepted: sum.accepted + m.queued,
        delivered: sum.delivered + m.succeeded,
        deferred: sum.deferred + m.deferred,
        failed: sum.failed + m.failed,
        blocked: sum.blocked + m.blocked,
    })
}

/// `/livez`: the process answers.
pub fn livez() -> Response {
    Response::text(200, "ok\n")
}

/// `/readyz`: 200, or 503 with a line for each reason.
pub fn readyz(daemon: &dyn Daemon, is_near: bool) -> Response {
    let unready = daemon.unready();
    if unready.is_empty() {
        return Response::text(200, "ready\n");
    }
    let line = |u: &Unready| if is_near { format!("{}: {}\n", u.word(), u.words()) } else { format!("{}\n", u.word()) };
    let mut lines = if is_near { String::new() } else { "not ready\n".to_owned() };
    lines.extend(unready.iter().map(line));
    Response::text(503, lines).with("Retry-After", retry_after(&unready).as_secs().to_string())
}

fn retry_after(unready: &[Unready]) -> Duration {
    let slow =
        unready.iter().any(|u| matches!(u, Unready::DiskFull | Unready::VerdictsStuck | Unready::StoreFailed(_)));
    Duration::from_secs(if slow { 60 } else { 5 })
}

/// `/status.json`.
pub fn status_json(daemon: &dyn Daemon) -> Response {
    match overview(daemon) {
        Ok(overview) => Response::new(200, JSON, {
            let mut json = serde_json::to_vec(&overview.status).expect("a struct of strings and numbers");
            json.push(b'\n');
            json
        }),
        Err(error) => store_error(&error),
    }
}

/// What a machine route answers when the store did not.
pub fn store_error(error: &StoreError) -> Response {
    let status = match error {
        StoreError::Closed | StoreError::Full | StoreError::Failed(_) => 503,
        StoreError::Refused(_) => 400,
        StoreError::Damaged(_) | StoreError::Newer(_) | StoreError::InUse(_) | StoreError::Read { .. } => 500,
    };
    log::error!("http=store error={error:?}");
    Response::error(status, &error.to_string(), "")
}
