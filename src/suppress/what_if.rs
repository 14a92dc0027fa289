//! What other thresholds would have done to the stored log: who would be on the list and is not, and the reverse.
//!
//! In: thresholds, the log from its beginning.  Out: counts and the first addresses of both sides.
//! Always: nothing is changed; the rules are those that decide for real, exemptions and lifts as they are, the brake off;
//! memory is bounded, and an answer over a part of the log says so.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{
    Suppressions,
    incidents::{domain_of, trouble_of},
    learn::KINDS,
    list::{ListQuery, row_of},
    row::{AddressError, Cause, History, key_of, read_history},
    rules::{decide, threshold},
};
use crate::{
    clock::Timestamp,
    config::Thresholds,
    event::{ErrorClass, EventKind, Trouble},
    store::{Followed, MemoKind, StoreError},
};

/// Addresses with errors that are kept in RAM; errors of others are left out, and the answer says so.
pub const ADDRESSES_MAX: usize = 500_000;
/// Addresses that each side of the answer lists.
pub const LISTED_MAX: usize = 1_000;
/// Destinations that each side of the answer counts.
pub const DESTINATIONS_MAX: usize = 100;
/// Events that one read brings.
const PAGE: usize = 1_000;

/// A question.
#[derive(Clone, Debug)]
pub struct WhatIf {
    /// `[suppression.thresholds]`, the window included.
    pub thresholds: Thresholds,
    /// `[suppression] watch`.
    pub watch: Option<Duration>,
    /// `[suppression] per_user`.
    pub per_user: bool,
}

/// An address of the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// The address.
    pub address: String,
    /// For whose mail; empty: for everybody's.
    pub user: String,
    /// CMC's class.
    pub class: Option<ErrorClass>,
    /// Errors that were counted.
    pub occurred: u32,
    /// Since when it would be, or is, on the list.
    pub since: Timestamp,
}

/// One side of the answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Side {
    /// Addresses in all.
    pub count: u64,
    /// By CMC's class; 0: none was said.
    pub classes: BTreeMap<u8, u64>,
    /// By destination, the most first, at most [`DESTINATIONS_MAX`].
    pub destinations: Vec<(String, u64)>,
    /// The first [`LISTED_MAX`] by address.
    pub addresses: Vec<Told>,
}

/// What would have been.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answer {
    /// Events that were looked at.
    pub events: u64,
    /// The time of the first of them; `None`: the log is empty.
    pub from: Option<Timestamp>,
    /// Addresses with errors that count.
    pub addresses: u64,
    /// Addresses that would be on the list now.
    pub would_be: u64,
    /// Of them, those that are not.
    pub added: Side,
    /// On the list for their errors, and would not be.
    pub spared: Side,
    /// On the list for errors that are older than the log: nothing can be said of them.
    pub unknown: u64,
    /// Errors of so many events were left out: more than [`ADDRESSES_MAX`] addresses have errors.
    pub left_out: u64,
    /// `progress` said stop: the answer is over a part of the log.
    pub stopped: bool,
}

/// An address on the way through the log.
#[derive(Default)]
struct Case {
    history: History,
    exempt: bool,
    on: Option<Told>,
    until: Option<Timestamp>,
}

impl Suppressions {
    /// Runs the rules over the stored log. `progress` hears how many events were looked at, after each page; false stops.
    /// Blocking, long.
    ///
    /// # Errors
    /// The store's.
    pub fn what_if(&self, asked: &WhatIf, progress: &dyn Fn(u64) -> bool) -> Result<Answer, StoreError> {
        let (memory, now) = (&*self.0.memory, self.0.clock.now());
        let (mut answer, mut cases) = (Answer::default(), HashMap::new());
        let mut at = 0;
        loop {
            let (events, next) = memory.follow(at, &KINDS, PAGE)?;
            for followed in &events {
                answer.events += 1;
                answer.from.get_or_insert(followed.event.at);
                if let Some(error) = error_of(followed, &asked.thresholds) {
                    self.weigh(asked, followed, error, &mut cases, &mut answer)?;
                }
            }
            if next <= at {
                break;
            }
            at = next;
            if !progress(answer.events) {
                answer.stopped = true;
                break;
            }
        }
        self.compare(cases, now, &mut answer)?;
        Ok(answer)
    }

    fn weigh(
        &self,
        asked: &WhatIf,
        followed: &Followed,
        error: AddressError,
        cases: &mut HashMap<String, Case>,
        answer: &mut Answer,
    ) -> Result<(), StoreError> {
        let key = key_of(&followed.address, if asked.per_user { &followed.user } else { "" });
        if !cases.contains_key(&key) {
            if cases.len() >= ADDRESSES_MAX {
                answer.left_out += 1;
                return Ok(());
            }
            cases.insert(key.clone(), self.case(&key)?);
        }
        let Some(case) = cases.get_mut(&key) else { return Ok(()) };
        let at = error.at;
        if let Some(until) = case.until.filter(|until| *until <= at) {
            case.history.lift(until);
            (case.on, case.until) = (None, None);
        }
        if !case.history.note(error, "", "") || case.on.is_some() {
            return Ok(());
        }
        if let Some(reached) = decide(&case.history, &asked.thresholds, case.exempt, at) {
            let (address, user) = super::row::split_key(&key);
            case.on = Some(Told {
                address: address.to_owned(),
                user: user.to_owned(),
                class: Some(reached.class),
                occurred: reached.occurred,
                since: at,
            });
            case.until = asked.watch.filter(|_| !reached.is_complaint()).map(|watch| at.plus(watch));
        }
        Ok(())
    }

    /// An address as it is before the log begins: its lift and its exemption.
    fn case(&self, key: &str) -> Result<Case, StoreError> {
        let stored = self.0.memory.memo(MemoKind::AddressErrors, key)?.and_then(|value| read_history(&value));
        let lifted = stored.and_then(|history| history.lifted);
        let exempt = row_of(&self.0.memory, key)?.exempt.is_some();
        Ok(Case { history: History { lifted, ..History::default() }, exempt, ..Case::default() })
    }

    fn compare(&self, mut cases: HashMap<String, Case>, now: Timestamp, answer: &mut Answer) -> Result<(), StoreError> {
        answer.addresses = cases.len() as u64;
        cases.retain(|_, case| case.on.is_some() && case.until.is_none_or(|until| until > now));
        answer.would_be = cases.len() as u64;
        let (mut added, mut spared) = (Tally::default(), Tally::default());
        for listed in self.export(ListQuery::default()) {
            let listed = listed?;
            let key = key_of(&listed.address, &listed.user);
            let Some(entry) = listed.entry else { continue };
            if cases.remove(&key).is_some() || !matches!(entry.cause, Cause::Errors | Cause::Complaint) {
                continue;
            }
            if answer.from.is_none_or(|from| entry.since < from) || answer.stopped {
                answer.unknown += 1;
                continue;
            }
            let (address, user, class) = (listed.address, listed.user, entry.class);
            spared.add(Told { address, user, class, occurred: entry.occurred, since: entry.since });
        }
        let mut rest: Vec<Told> = cases.into_values().filter_map(|case| case.on).collect();
        rest.sort_by(|a, b| (&a.address, &a.user).cmp(&(&b.address, &b.user)));
        rest.into_iter().for_each(|told| added.add(told));
        (answer.added, answer.spared) = (added.done(), spared.done());
        Ok(())
    }
}

/// Counts one side.
#[derive(Default)]
struct Tally {
    side: Side,
    destinations: HashMap<String, u64>,
}

impl Tally {
    fn add(&mut self, told: Told) {
        self.side.count += 1;
        *self.side.classes.entry(told.class.map_or(0, ErrorClass::code)).or_default() += 1;
        let domain = domain_of(&told.address);
        // As many as there are addresses with errors at most; beyond, new ones are not told apart.
        if self.destinations.len() < ADDRESSES_MAX || self.destinations.contains_key(domain) {
            *self.destinations.entry(domain.to_owned()).or_default() += 1;
        }
        if self.side.addresses.len() < LISTED_MAX {
            self.side.addresses.push(told);
        }
    }

    fn done(mut self) -> Side {
        let mut all: Vec<(String, u64)> = self.destinations.into_iter().collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all.truncate(DESTINATIONS_MAX);
        self.side.destinations = all;
        self.side
    }
}

/// The error of an address that an event is under these thresholds.
fn error_of(followed: &Followed, thresholds: &Thresholds) -> Option<AddressError> {
    let event = &followed.event;
    let (class, trouble, hard) = match event.kind {
        EventKind::Failed | EventKind::Bounced => {
            let detail = event.detail.as_ref().filter(|_| event.operator.is_none())?;
            let class = detail.error.filter(|c| !matches!(c, ErrorClass::Blocked | ErrorClass::Unsubscribed))?;
            (class, trouble_of(detail), detail.hard)
        }
        EventKind::Complained => (ErrorClass::Unsubscribed, Trouble::Recipient, false),
        EventKind::Queued | EventKind::Deferred | EventKind::Succeeded | EventKind::Dropped => return None,
    };
    let counts = threshold(class, trouble, thresholds) > 0;
    counts.then_some(AddressError { at: event.at, number: followed.number, class, trouble, hard })
}
