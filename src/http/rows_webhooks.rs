//! Webhooks as rows: for the control socket, the command line, and the page.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    webhook::{history::Tried, place::Parked, view::View},
};

/// How an endpoint stands.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct WebhookOut {
    /// Its name.
    pub name: String,
    /// Its URL, without the query.
    pub url: String,
    /// What it wants.
    pub events: Vec<String>,
    /// `ok`, `failing`, `gone` (it answered 410), or `paused` (somebody stopped it).
    pub state: String,
    /// How old the oldest event is that it has not got, in seconds.
    pub lag_seconds: u64,
    /// Everything through this event was posted.
    pub position: u64,
    /// When it last answered 2xx since the start.
    pub posted_at: Option<String>,
    /// Posts answered 2xx.
    pub posts: u64,
    /// Events in them.
    pub events_posted: u64,
    /// Failures in a row.
    pub tries: u32,
    /// Since when it fails.
    pub failing_since: Option<String>,
    /// When it is tried next.
    pub next_try: Option<String>,
    /// The last trouble.
    pub error: String,
    /// What was set aside.
    pub parked: Vec<ParkedOut>,
    /// Since when it is stopped; `null`: it is not.
    #[serde(default)]
    pub paused_at: Option<String>,
    /// Who stopped it.
    #[serde(default)]
    pub paused_by: String,
    /// Ranges that are still to be posted again.
    pub replaying: u64,
}

/// A range that was set aside.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ParkedOut {
    /// `log`, or `blocks`.
    pub of: String,
    /// Behind this event …
    pub after: u64,
    /// … through this one.
    pub through: u64,
    /// From when its events are …
    pub from: String,
    /// … until when.
    pub to: String,
    /// When it was set aside.
    pub at: String,
    /// Why.
    pub error: String,
}

impl From<&Parked> for ParkedOut {
    fn from(parked: &Parked) -> Self {
        ParkedOut {
            of: if parked.list { "blocks" } else { "log" }.to_owned(),
            after: parked.after,
            through: parked.to,
            from: parked.from_time().rfc3339(),
            to: parked.to_time().rfc3339(),
            at: Timestamp::from_millis(parked.at).rfc3339(),
            error: parked.error.clone(),
        }
    }
}

impl WebhookOut {
    /// The row of an endpoint.
    pub fn new(view: &View, now: Timestamp) -> Self {
        let mark = &view.mark;
        let waits = mark.tries > 0 && !mark.gone && mark.paused.is_none();
        WebhookOut {
            name: view.name.clone(),
            url: view.url.clone(),
            events: view.events.clone(),
            state: view.state().word().to_owned(),
            lag_seconds: view.lag(now).as_secs(),
            position: mark.log.after,
            posted_at: view.posted_at.map(Timestamp::rfc3339),
            posts: mark.posts,
            events_posted: mark.events,
            tries: mark.tries,
            failing_since: mark.failing_since.map(|at| Timestamp::from_millis(at).rfc3339()),
            next_try: waits.then(|| Timestamp::from_millis(mark.next_try).max(now).rfc3339()),
            error: mark.error.clone(),
            parked: mark.parked.iter().map(ParkedOut::from).collect(),
            paused_at: mark.paused.as_ref().map(|paused| Timestamp::from_millis(paused.at).rfc3339()),
            paused_by: mark.paused.as_ref().map(|paused| paused.by.clone()).unwrap_or_default(),
            replaying: mark.again.len() as u64,
        }
    }

    /// What is wrong with it, in words; `None`: nothing.
    pub fn trouble(&self) -> Option<String> {
        let parked = match self.parked.len() {
            0 => String::new(),
            1 => "1 range was set aside".to_owned(),
            n => format!("{n} ranges were set aside"),
        };
        let words = match self.state.as_str() {
            "gone" => "it answered 410 (gone): nothing is posted until it is resumed".to_owned(),
            "paused" => format!("it was stopped by {}: nothing is posted until it is resumed", self.paused_by),
            "failing" => format!("it fails: {}", self.error),
            _ if parked.is_empty() => return None,
            _ => return Some(parked),
        };
        Some(if parked.is_empty() { words } else { format!("{words}; {parked}") })
    }
}

/// One post that was tried.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TriedOut {
    /// When.
    pub at: String,
    /// The `webhook-id`.
    pub id: String,
    /// `deliveries`, `bounces` or `blocks`.
    pub event_type: String,
    /// Events in it.
    pub events: u64,
    /// The first event …
    pub first: u64,
    /// … and the last.
    pub last: u64,
    /// The status of the answer; 0: none.
    pub status: u16,
    /// How long it took.
    pub millis: u64,
    /// Why it failed; empty: it did not.
    pub error: String,
}

impl From<Tried> for TriedOut {
    fn from(tried: Tried) -> Self {
        TriedOut {
            at: Timestamp::from_millis(tried.at).rfc3339(),
            id: tried.id,
            event_type: tried.event_type,
            events: tried.events,
            first: tried.first,
            last: tried.last,
            status: tried.status,
            millis: tried.took,
            error: tried.error,
        }
    }
}

/// What a replay will do.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ReplayOut {
    /// Everything from this event on is posted again; `None`: what was set aside is.
    pub from: Option<u64>,
    /// Ranges that were set aside and are posted again.
    pub ranges: u64,
    /// A post is on its way: it is done behind it.
    pub later: bool,
}

/// What became of a post that tries an endpoint out.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TestOut {
    /// The status of the answer; 0: none.
    pub status: u16,
    /// How long it took.
    pub millis: u64,
    /// Why it failed; empty: it was answered 2xx.
    pub error: String,
}
