//! How the daemon is, for machines: `/livez`, `/readyz`, `/status.json`; and the overview that the page shows too.
//!
//! Always: `/livez` answers whenever a thread can; `/readyz` is 503 exactly while new mail would be answered 4yz.

use std::{collections::HashMap, time::Duration};

use crate::{
    clock::Timestamp,
    http::{
        daemon::{Daemon, Unready},
        exchange::{JSON, Response},
        rows::{CountsOut, DestinationOut, ReasonOut, StatusOut, mode_word},
    },
    store::{LaneRow, MinuteCounts, StoreError},
};

/// Destinations in an overview.
pub const DESTINATIONS_MAX: usize = 20;
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
    /// The largest destinations, with their running attempts.
    pub lanes: Vec<(LaneRow, u32)>,
    /// When it was asked.
    pub now: Timestamp,
}

/// Asks the daemon for everything at a glance.
pub fn overview(daemon: &dyn Daemon) -> Result<Overview, StoreError> {
    let now = daemon.now();
    let about = daemon.about();
    let unready = daemon.unready();
    let totals = daemon.totals();
    let metrics = daemon.metrics();
    let minutes = last_hour(daemon, now)?;
    let running: HashMap<String, u32> = daemon.activity().into_iter().map(|a| (a.lane, a.running)).collect();
    let lanes: Vec<(LaneRow, u32)> = daemon
        .lanes(DESTINATIONS_MAX)?
        .into_iter()
        .map(|row| {
            let running = running.get(&*row.lane.0).copied().unwrap_or(0);
            (row, running)
        })
        .collect();
    let deferred = lanes.iter().any(|(row, _)| !row.last_reply.is_empty());
    let state = match (unready.is_empty(), deferred || totals.held > 0) {
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
        destinations: lanes.iter().map(|(row, running)| DestinationOut::new(row, *running)).collect(),
        ..StatusOut::default()
    };
    status.set_totals(&totals);
    Ok(Overview { state, unready, status, minutes, lanes, now })
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
    })
}

/// `/livez`: the process answers.
pub fn livez() -> Response {
    Response::text(200, "ok\n")
}

/// `/readyz`: 200, or 503 with a line for each reason.
pub fn readyz(daemon: &dyn Daemon) -> Response {
    let unready = daemon.unready();
    if unready.is_empty() {
        return Response::text(200, "ready\n");
    }
    let lines: String = unready.iter().map(|u| format!("{}: {}\n", u.word(), u.words())).collect();
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
        StoreError::Damaged(_) | StoreError::Newer(_) | StoreError::InUse(_) | StoreError::Read { .. } => 500,
    };
    log::error!("http=store error={error:?}");
    Response::error(status, &error.to_string(), "")
}
