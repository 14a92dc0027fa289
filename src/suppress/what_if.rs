//! What other thresholds would have done to the stored log: who would be on the list and is not, and the reverse; and what that
//! would have meant for mail, by the quarter of an hour, so that it can be drawn over the days of any zone.
//!
//! In: thresholds, the log from its beginning.  Out: counts, the first addresses of both sides, and the effect over time.
//! Always: nothing is changed; the rules are those that decide for real, exemptions and lifts as they are, the brake off;
//! the effect compares the settings in force with those that are asked about, over the same log by the same rules;
//! memory is bounded, and an answer over a part of the log says so.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{
    Suppressions,
    incidents::{domain_of, trouble_of},
    learn::{KINDS, is_about_recipient},
    list::{ListQuery, row_of},
    row::{AddressError, Cause, History, key_of, read_history, split_key},
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
/// Quarters of an hour that the effect is told for: a year and a day. What is older is told with the oldest of them.
pub const QUARTERS_MAX: usize = 366 * 96;
/// Milliseconds of a quarter of an hour: the zones of the world differ by whole ones.
const QUARTER_MILLIS: u64 = 15 * 60 * 1000;
/// Events that one read brings.
const PAGE: usize = 1_000;

/// A question.
#[derive(Clone, PartialEq, Eq, Debug)]
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

/// What the settings that are asked about would have meant, beside those in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Effect {
    /// Addresses that come onto the list by the settings in force.
    pub came: u64,
    /// Addresses that would come onto it.
    pub would_come: u64,
    /// Mails that were delivered, and would not have been sent.
    pub lost: u64,
    /// Mails that failed or came back, and would not have been sent.
    pub spared: u64,
    /// Mails that were blocked, and would have been sent.
    pub sent: u64,
}

impl Effect {
    /// Adds another's counts.
    pub fn add(&mut self, other: &Effect) {
        self.came += other.came;
        self.would_come += other.would_come;
        self.lost += other.lost;
        self.spared += other.spared;
        self.sent += other.sent;
    }
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
    /// The effect in all.
    pub effect: Effect,
    /// The same by the quarter of an hour, each named by its beginning, oldest first; empty ones are left out. At most
    /// [`QUARTERS_MAX`].
    pub quarters: Vec<(Timestamp, Effect)>,
    /// `progress` said stop: the answer is over a part of the log.
    pub stopped: bool,
}

/// A stay on the list that is only thought of.
#[derive(Clone, Copy)]
struct Stay {
    since: Timestamp,
    until: Option<Timestamp>,
    class: ErrorClass,
    occurred: u32,
}

/// An address under one of the two settings.
#[derive(Clone, Copy, Default)]
struct Fate {
    /// Errors up to this moment do not count.
    lifted: Option<Timestamp>,
    on: Option<Stay>,
}

impl Fate {
    /// Ends a stay whose watch period is over at `at`.
    fn end_watch(&mut self, at: Timestamp) {
        if let Some(until) = self.on.and_then(|stay| stay.until).filter(|until| *until <= at) {
            (self.lifted, self.on) = (self.lifted.max(Some(until)), None);
        }
    }
}

/// An address on the way through the log.
struct Case {
    /// Of each day and class the first, oldest first, whichever settings count them.
    errors: Vec<AddressError>,
    exempt: bool,
    /// When it last came off the list for real.
    lifted: Option<Timestamp>,
    /// By the settings in force.
    now: Fate,
    /// By those that are asked about.
    asked: Fate,
}

impl Case {
    /// Adds an error; answers whether it puts the address on the list by the settings in force, and by those asked about.
    fn note(&mut self, error: &AddressError, now: &WhatIf, asked: &WhatIf) -> (bool, bool) {
        let errors = std::mem::take(&mut self.errors);
        let mut history = History { lifted: self.lifted, errors, ..History::default() };
        let is_new = history.note(error.clone(), "", "");
        let mut put = |fate: &mut Fate, settings: &WhatIf| {
            let counts = threshold(error.class, error.trouble, &settings.thresholds) > 0;
            if !is_new || !counts || fate.on.is_some() {
                return false;
            }
            history.lifted = fate.lifted.max(self.lifted);
            let Some(reached) = decide(&history, &settings.thresholds, self.exempt, error.at) else { return false };
            let until = settings.watch.filter(|_| !reached.is_complaint()).map(|watch| error.at.plus(watch));
            fate.on = Some(Stay { since: error.at, until, class: reached.class, occurred: reached.occurred });
            true
        };
        let came = (put(&mut self.now, now), put(&mut self.asked, asked));
        self.errors = history.errors;
        came
    }

    /// What an event of a mail to this address means.
    fn meant(&self, followed: &Followed) -> Effect {
        let event = &followed.event;
        let is_blocked = event
            .detail
            .as_ref()
            .is_some_and(|detail| matches!(detail.error, Some(ErrorClass::Blocked | ErrorClass::Unsubscribed)));
        let mut effect = Effect::default();
        match (self.now.on, self.asked.on, event.kind) {
            (None, Some(_), EventKind::Succeeded) => effect.lost = 1,
            (None, Some(_), EventKind::Failed) if !is_blocked && event.operator.is_none() => effect.spared = 1,
            // The mail had been delivered before it came back: only one that was sent while the address would be on the list.
            (None, Some(stay), EventKind::Bounced) if stay.since <= event.key.message.time() => effect.spared = 1,
            (Some(_), None, EventKind::Failed) if is_blocked => effect.sent = 1,
            (_, _, _) => {}
        }
        effect
    }
}

/// One walk through the log.
struct Walk<'a> {
    room: &'a Suppressions,
    now: WhatIf,
    asked: &'a WhatIf,
    cases: HashMap<String, Case>,
    quarters: BTreeMap<u64, Effect>,
    answer: Answer,
}

impl Suppressions {
    /// Runs the rules over the stored log. `progress` hears how many events were looked at, after each page; false stops.
    /// Blocking, long.
    ///
    /// # Errors
    /// The store's.
    pub fn what_if(&self, asked: &WhatIf, progress: &dyn Fn(u64) -> bool) -> Result<Answer, StoreError> {
        let config = self.0.config.get();
        let (thresholds, watch) = (config.suppression.thresholds.clone(), config.suppression.watch);
        // Both sides count by the same addresses, or they could not be compared.
        let now = WhatIf { thresholds, watch, per_user: asked.per_user };
        let (cases, quarters, answer) = (HashMap::new(), BTreeMap::new(), Answer::default());
        let mut walk = Walk { room: self, now, asked, cases, quarters, answer };
        let mut at = 0;
        loop {
            let (events, next) = self.0.memory.follow(at, &KINDS, PAGE)?;
            for followed in &events {
                walk.answer.events += 1;
                walk.answer.from.get_or_insert(followed.event.at);
                walk.take(followed)?;
            }
            if next <= at {
                break;
            }
            at = next;
            if !progress(walk.answer.events) {
                walk.answer.stopped = true;
                break;
            }
        }
        walk.done()
    }
}

impl Walk<'_> {
    fn take(&mut self, followed: &Followed) -> Result<(), StoreError> {
        if !is_about_recipient(followed) {
            return Ok(());
        }
        let error = error_of(followed, [&self.now.thresholds, &self.asked.thresholds]);
        if error.is_none() && self.cases.is_empty() {
            return Ok(());
        }
        let key = key_of(&followed.address, if self.asked.per_user { &followed.user } else { "" });
        if error.is_some() && !self.cases.contains_key(&key) {
            if self.cases.len() >= ADDRESSES_MAX {
                self.answer.left_out += 1;
                return Ok(());
            }
            let case = self.room.case(&key)?;
            self.cases.insert(key.clone(), case);
        }
        let Some(case) = self.cases.get_mut(&key) else { return Ok(()) };
        let (at, born) = (followed.event.at, followed.event.key.message.time());
        case.now.end_watch(at);
        case.asked.end_watch(at);
        let mut effect = case.meant(followed);
        let is_return = followed.event.kind == EventKind::Bounced;
        // Its mail is from before the lift: late bounces tell nothing new.
        let is_late = is_return && case.lifted.is_some_and(|lifted| born <= lifted);
        if let Some(error) = error.filter(|_| !is_late) {
            let (came, would_come) = case.note(&error, &self.now, self.asked);
            (effect.came, effect.would_come) = (u64::from(came), u64::from(would_come));
        }
        // A mail that came back was counted as lost when it was delivered.
        if is_return && effect.spared > 0 {
            let counted = self.quarters.range_mut(quarter_of(born)..).map(|(_, effect)| effect);
            if let Some(of_mail) = counted.into_iter().find(|effect| effect.lost > 0) {
                of_mail.lost -= 1;
            }
        }
        self.tell(at, &effect);
        Ok(())
    }

    fn tell(&mut self, at: Timestamp, effect: &Effect) {
        if *effect == Effect::default() {
            return;
        }
        self.quarters.entry(quarter_of(at)).or_default().add(effect);
        if self.quarters.len() > QUARTERS_MAX
            && let Some((_, oldest)) = self.quarters.pop_first()
            && let Some(mut next) = self.quarters.first_entry()
        {
            next.get_mut().add(&oldest);
        }
    }

    fn done(mut self) -> Result<Answer, StoreError> {
        let now = self.room.0.clock.now();
        for effect in self.quarters.values() {
            self.answer.effect.add(effect);
        }
        let start = |quarter: u64| Timestamp::from_millis(quarter * QUARTER_MILLIS);
        self.answer.quarters = self.quarters.iter().map(|(quarter, effect)| (start(*quarter), *effect)).collect();
        self.answer.addresses = self.cases.len() as u64;
        let is_on = |stay: &Stay| stay.until.is_none_or(|until| until > now);
        self.cases.retain(|_, case| case.asked.on.as_ref().is_some_and(is_on));
        self.answer.would_be = self.cases.len() as u64;
        let (mut added, mut spared) = (Tally::default(), Tally::default());
        for listed in self.room.export(ListQuery::default()) {
            let listed = listed?;
            let key = key_of(&listed.address, &listed.user);
            let Some(entry) = listed.entry else { continue };
            if self.cases.remove(&key).is_some() || !matches!(entry.cause, Cause::Errors | Cause::Complaint) {
                continue;
            }
            if self.answer.from.is_none_or(|from| entry.since < from) || self.answer.stopped {
                self.answer.unknown += 1;
                continue;
            }
            let (address, user, class) = (listed.address, listed.user, entry.class);
            spared.add(Told { address, user, class, occurred: entry.occurred, since: entry.since });
        }
        let mut rest: Vec<(String, Stay)> =
            self.cases.into_iter().filter_map(|(key, case)| Some((key, case.asked.on?))).collect();
        rest.sort_by(|a, b| a.0.cmp(&b.0));
        for (key, stay) in rest {
            let (address, user) = split_key(&key);
            let (address, user) = (address.to_owned(), user.to_owned());
            added.add(Told { address, user, class: Some(stay.class), occurred: stay.occurred, since: stay.since });
        }
        (self.answer.added, self.answer.spared) = (added.done(), spared.done());
        Ok(self.answer)
    }
}

impl Suppressions {
    /// An address as it is before the log begins: its lift and its exemption.
    fn case(&self, key: &str) -> Result<Case, StoreError> {
        let stored = self.0.memory.memo(MemoKind::AddressErrors, key)?.and_then(|value| read_history(&value));
        let lifted = stored.and_then(|history| history.lifted);
        let exempt = row_of(&self.0.memory, key)?.exempt.is_some();
        Ok(Case { errors: Vec::new(), exempt, lifted, now: Fate::default(), asked: Fate::default() })
    }
}

/// The quarter of an hour of a time.
fn quarter_of(at: Timestamp) -> u64 {
    at.as_millis() / QUARTER_MILLIS
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

/// The error of an address that an event is under any of these thresholds.
fn error_of(followed: &Followed, thresholds: [&Thresholds; 2]) -> Option<AddressError> {
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
    let counts = thresholds.iter().any(|thresholds| threshold(class, trouble, thresholds) > 0);
    counts.then_some(AddressError { at: event.at, number: followed.number, class, trouble, hard })
}
