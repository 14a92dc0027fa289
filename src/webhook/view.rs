//! How an endpoint stands, as people and the metrics see it.

use std::time::Duration;

use super::place::{Mark, Parked, time_of};
use crate::{clock::Timestamp, config};

/// In one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It takes what is posted.
    Fine,
    /// The last post failed and is tried again.
    Failing,
    /// It answered 410: nothing is posted until it is resumed.
    Gone,
    /// Somebody stopped it: nothing is posted until it is resumed.
    Paused,
}

impl State {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            State::Fine => "ok",
            State::Failing => "failing",
            State::Gone => "gone",
            State::Paused => "paused",
        }
    }
}

/// How it stands.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Its URL, without what is behind a question mark: that may be a secret.
    pub url: String,
    /// Which events it wants.
    pub events: Vec<String>,
    /// What is stored of it.
    pub mark: Mark,
    /// When the oldest event happened that it has not got; `None`: it has everything.
    pub behind_since: Option<Timestamp>,
    /// When it last answered 2xx, in this process.
    pub posted_at: Option<Timestamp>,
    /// Posts that failed, in this process.
    pub failures: u64,
}

impl View {
    /// One that has not begun.
    pub fn new(hook: &config::Webhook) -> Self {
        View {
            name: hook.name.clone(),
            url: shown(&hook.url),
            events: hook.events.clone(),
            mark: Mark::default(),
            behind_since: None,
            posted_at: None,
            failures: 0,
        }
    }

    /// In one word.
    pub fn state(&self) -> State {
        match (self.mark.gone, self.mark.tries) {
            _ if self.mark.paused.is_some() => State::Paused,
            (true, _) => State::Gone,
            (false, 0) => State::Fine,
            (false, _) => State::Failing,
        }
    }

    /// How old the oldest event is that it has not got.
    pub fn lag(&self, now: Timestamp) -> Duration {
        self.behind_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// It needs somebody: it fails, is gone, is stopped, or something was set aside.
    pub fn is_in_trouble(&self) -> bool {
        self.state() != State::Fine || !self.mark.parked.is_empty()
    }
}

impl Parked {
    /// From when its events are.
    pub fn from_time(&self) -> Timestamp {
        time_of(self.after)
    }

    /// Until when.
    pub fn to_time(&self) -> Timestamp {
        time_of(self.to)
    }
}

/// A URL without its query.
pub(super) fn shown(url: &str) -> String {
    match url.split_once('?') {
        Some((before, _)) => format!("{before}?…"),
        None => url.to_owned(),
    }
}
