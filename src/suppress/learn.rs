//! Turns a page of the log into rows: errors of addresses, stays on the list, held errors, incidents, and how far it came.
//!
//! In: final events and what came back, oldest first, and what is known.  Out: a [`Draft`] that holds everything, the place
//! in the log included, so that one write makes all of it true and a crash before it counts nothing.
//! Always: blocked mail (classes 10 and 11) and what an operator failed is no error; a bounce of mail from before a lift does
//! not count, however late it comes; a place that is held suppresses nobody, but complaints do whatever is held.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    brake::Brake,
    draft::Draft,
    incidents::{
        self, BRAKE_INCIDENTS_MAX, BrakeIncident, HELD_MAX, HELD_TOTAL_MAX, HeldError, HoldState, Places, TROUBLES_MAX,
        TroubleIncident, TroubleName, brake_key, domain_of, held_prefix, is_known, is_unknown, trouble_key, trouble_of,
    },
    memory::{CHANGES_MAX, Memory},
    row::{AddressError, Cause, Entry, History, bounded, key_of, split_key},
    rules::{decide, threshold},
};
use crate::{
    bounce::normalise::normalised,
    clock::Timestamp,
    config::Suppression,
    event::{AttemptDetail, ErrorClass, EventKind, Trouble},
    store::{Followed, MemoKind, StoreError},
    webhook::inbound_lane::hook_name,
};

/// Which events are followed.
pub(super) const KINDS: [EventKind; 4] =
    [EventKind::Succeeded, EventKind::Failed, EventKind::Bounced, EventKind::Complained];
/// Events that one step reads.
pub(super) const PAGE: usize = 1_000;
/// Rows that one event may change at most: errors, list, incident, held error, trouble and the one that goes for it.
const CHANGES_AN_EVENT: usize = 8;
/// Pages that are told to the brake again after a crash: what came since its counters were last written.
const RETOLD_PAGES: usize = 64;
/// Octets of one row of the brake's counters, below what the store takes.
const BRAKE_ROW_OCTETS: usize = 200 * 1024;

/// How far the follower came.
const CURSOR: &str = "suppress";
/// The brake's counters, in rows.
const BRAKE: &str = "suppress/brake/";

/// What the follower knows, beside the rows of addresses.
#[derive(Default)]
pub(super) struct Known {
    /// Events up to this one are learnt.
    pub cursor: u64,
    /// The same, as it is stored.
    pub stored: Stored,
    /// The counters of places.
    pub brake: Brake,
    /// Rows that the stored counters take.
    brake_rows: usize,
    /// Held places, by place.
    pub held: HashMap<String, BrakeIncident>,
    /// Errors that they hold.
    pub held_errors: u64,
    /// Incidents that ended, but whose errors may not have been applied or forgotten yet.
    pub unfinished: Vec<BrakeIncident>,
    /// Ended incidents, oldest end first.
    ended: Vec<(u64, String)>,
    troubles: HashMap<TroubleName, TroubleIncident>,
}

/// The follower's own row.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Stored {
    /// Events up to this one are learnt.
    pub cursor: u64,
    /// Events up to this one are in the stored counters of the brake.
    #[serde(default)]
    pub brake_cursor: u64,
    /// When the counters were written, milliseconds.
    #[serde(default)]
    pub brake_at: u64,
    /// When the thresholds were last applied to all addresses, milliseconds; 0: never.
    #[serde(default)]
    pub run_at: u64,
    /// The settings of that run.
    #[serde(default)]
    pub settings: String,
    /// The day of the last housekeeping.
    #[serde(default)]
    pub day: u32,
}

/// What a page taught.
pub(super) struct Learnt {
    /// The rows.
    pub draft: Draft,
    /// Events were learnt up to this one.
    pub cursor: u64,
    /// Addresses that came onto the list.
    pub suppressed: u64,
    /// Errors that are held.
    pub held: u64,
}

impl Known {
    /// Reads it from the store. Blocking.
    pub fn load(memory: &dyn Memory, settings: &Suppression, now: Timestamp) -> Result<Self, StoreError> {
        let stored: Stored = match memory.memo(MemoKind::Followers, CURSOR)? {
            Some(value) => serde_json::from_slice(&value).unwrap_or_else(|error| {
                log::error!("suppression what=\"the place in the log cannot be read: it is followed from its start\" error=\"{error}\"");
                Stored::default()
            }),
            // A daily run that was never made is not owed from the past.
            None => Stored { run_at: now.as_millis(), ..Stored::default() },
        };
        let mut known = Known { cursor: stored.cursor, stored, ..Known::default() };
        let rows = memory.memos(MemoKind::Followers, BRAKE, None, super::brake::PLACES_MAX)?;
        known.brake_rows = rows.len();
        rows.iter().for_each(|(_, row)| known.brake.read(row));
        for incident in incidents::brake_incidents(memory)? {
            match incident.state {
                HoldState::Held => {
                    known.held_errors += incident.held;
                    known.held.insert(incident.place.clone(), incident);
                }
                HoldState::Released | HoldState::Discarded => {
                    known.ended.push((incident.ended_millis.unwrap_or(0), incident.id.clone()));
                    if !memory.memos(MemoKind::Incidents, &held_prefix(&incident.id), None, 1)?.is_empty() {
                        known.unfinished.push(incident);
                    }
                }
            }
        }
        known.ended.sort();
        for trouble in incidents::troubles(memory)? {
            known.troubles.insert(trouble.name(), trouble);
        }
        known.tell_brake_again(memory, settings)?;
        Ok(known)
    }

    /// Events between the brake's stored counters and the place in the log: they are counted and decide nothing.
    fn tell_brake_again(&mut self, memory: &dyn Memory, settings: &Suppression) -> Result<(), StoreError> {
        let (mut at, mut seen) = (self.stored.brake_cursor, HashSet::new());
        for _ in 0..RETOLD_PAGES {
            if at >= self.cursor {
                break;
            }
            let (events, next) = memory.follow(at, &KINDS, PAGE)?;
            for followed in events.iter().filter(|f| f.number <= self.cursor) {
                let Some(is_error) = result_of(followed) else { continue };
                if is_error && !seen.insert((followed.address.clone(), followed.event.at.day())) {
                    continue;
                }
                let places = Places::of(followed);
                for place in places.each() {
                    let is_held = self.held.contains_key(place);
                    self.brake.add(place, is_error, followed.event.at, is_held, &settings.brake);
                }
            }
            if next <= at {
                break;
            }
            at = next;
        }
        Ok(())
    }

    /// The held place of an incident.
    pub fn held_place(&self, id: &str) -> Option<String> {
        self.held.values().find(|incident| incident.id == id).map(|incident| incident.place.clone())
    }

    /// Which of an address's places is held.
    pub fn holds(&self, places: &Places) -> Option<String> {
        places.each().find(|place| self.held.contains_key(*place)).map(str::to_owned)
    }

    /// Learns from events, as far as one write can hold them. `next`: the end of the page. Blocking.
    pub fn learn(
        &mut self,
        memory: &Arc<dyn Memory>,
        settings: &Suppression,
        events: &[Followed],
        next: u64,
        now: Timestamp,
    ) -> Result<Learnt, StoreError> {
        let mut learnt = Learnt { draft: Draft::new(memory), cursor: next, suppressed: 0, held: 0 };
        let mut before = self.cursor;
        for followed in events {
            if learnt.draft.len() + CHANGES_AN_EVENT > CHANGES_MAX {
                learnt.cursor = before;
                break;
            }
            if !is_about_recipient(followed) {
                before = followed.number;
                continue;
            }
            let mut lesson = Lesson { known: self, settings, memory, followed, now, learnt: &mut learnt };
            lesson.take()?;
            before = followed.number;
        }
        Ok(learnt)
    }

    /// Adds the follower's own rows to a draft: the place in the log, and the counters where `counters` says so.
    pub fn sign(&mut self, draft: &mut Draft, counters: bool, now: Timestamp) {
        self.stored.cursor = self.cursor;
        if counters {
            self.stored.brake_cursor = self.cursor;
            self.stored.brake_at = now.as_millis();
            let rows = self.brake.write(BRAKE_ROW_OCTETS);
            let count = rows.len();
            for (n, row) in rows.into_iter().enumerate() {
                draft.put(MemoKind::Followers, format!("{BRAKE}{n:04}"), row);
            }
            for n in count..self.brake_rows {
                draft.forget(MemoKind::Followers, format!("{BRAKE}{n:04}"));
            }
            self.brake_rows = count;
        }
        draft.put(MemoKind::Followers, CURSOR, incidents::json(&self.stored));
    }

    /// Opens an incident for a place; `None`: there are too many open ones.
    fn open(
        &mut self,
        memory: &Arc<dyn Memory>,
        place: &str,
        jump: &super::brake::Jump,
        now: Timestamp,
        draft: &mut Draft,
    ) -> Option<()> {
        if self.held.len() >= BRAKE_INCIDENTS_MAX {
            return None;
        }
        while self.held.len() + self.ended.len() >= BRAKE_INCIDENTS_MAX && !self.ended.is_empty() {
            let (_, id) = self.ended.remove(0);
            draft.forget(MemoKind::Incidents, brake_key(&id));
        }
        let id = memory.new_id(now).to_string();
        log::warn!(
            "suppression place={place} incident={id} verdict=held errors={} results={} rate_percent={} past_permille={} \
             what=\"its unknown users jumped: they suppress nobody until the incident is released or discarded\"",
            jump.errors,
            jump.results,
            jump.rate_percent,
            jump.past_permille
        );
        self.held.insert(place.to_owned(), BrakeIncident::open(id, place, jump, now));
        Some(())
    }

    /// An operator ended a held place.
    pub fn note_ended(&mut self, incident: &BrakeIncident) {
        self.ended.push((incident.ended_millis.unwrap_or(0), incident.id.clone()));
    }

    /// Counts a trouble.
    fn trouble(&mut self, memory: &Arc<dyn Memory>, met: &Met<'_>, now: Timestamp, draft: &mut Draft) {
        let reply = normalised(&met.detail.reply);
        let destination = domain_of(&met.followed.address).to_owned();
        let name = (destination.clone(), reply.clone(), met.class, met.trouble);
        if !self.troubles.contains_key(&name) && self.troubles.len() >= TROUBLES_MAX {
            let oldest = self.troubles.values().min_by_key(|t| t.last_millis).map(|t| (t.name(), t.id.clone()));
            if let Some((oldest, id)) = oldest {
                self.troubles.remove(&oldest);
                draft.forget(MemoKind::Incidents, trouble_key(&id));
            }
        }
        let at = met.followed.event.at.as_millis();
        let row = self.troubles.entry(name).or_insert_with(|| TroubleIncident {
            id: memory.new_id(now).to_string(),
            destination,
            reply,
            class: met.class,
            trouble: met.trouble,
            known: met.known,
            count: 0,
            first_millis: at,
            last_millis: at,
            example: String::new(),
            event: met.followed.number,
        });
        row.count += 1;
        row.last_millis = row.last_millis.max(at);
        row.known = met.known;
        row.example = bounded(&met.detail.reply);
        row.event = met.followed.number;
        draft.put(MemoKind::Incidents, trouble_key(&row.id), incidents::json(row));
    }
}

/// A trouble that was met.
struct Met<'a> {
    followed: &'a Followed,
    detail: &'a AttemptDetail,
    class: ErrorClass,
    trouble: Trouble,
    known: bool,
}

/// Whether an event says anything about the recipient's address: a mail for the sandbox went nowhere, and a program that does not
/// take a mail says nothing about the address that the mail was for.
pub(super) fn is_about_recipient(followed: &Followed) -> bool {
    let to_program = |detail: &AttemptDetail| hook_name(&detail.destination).is_some();
    !followed.event.is_sandboxed() && !followed.event.detail.as_deref().is_some_and(to_program)
}

/// Whether an event is a result for the brake, and then whether it is an unknown user.
fn result_of(followed: &Followed) -> Option<bool> {
    if followed.event.is_sandboxed() {
        return None;
    }
    match followed.event.kind {
        EventKind::Succeeded => Some(false),
        EventKind::Failed | EventKind::Bounced => {
            let detail = followed.event.detail.as_ref().filter(|_| followed.event.operator.is_none())?;
            detail.error.is_some_and(is_unknown).then_some(true)
        }
        EventKind::Queued | EventKind::Deferred | EventKind::Dropped | EventKind::Complained => None,
    }
}

/// One event, and all that it may change.
struct Lesson<'a> {
    known: &'a mut Known,
    settings: &'a Suppression,
    memory: &'a Arc<dyn Memory>,
    followed: &'a Followed,
    now: Timestamp,
    learnt: &'a mut Learnt,
}

impl Lesson<'_> {
    fn take(&mut self) -> Result<(), StoreError> {
        let followed = self.followed;
        match followed.event.kind {
            EventKind::Succeeded => {
                let places = Places::of(followed);
                self.count(&places, false);
                Ok(())
            }
            EventKind::Failed | EventKind::Bounced => {
                let Some(detail) = followed.event.detail.as_ref().filter(|_| followed.event.operator.is_none()) else {
                    return Ok(());
                };
                match detail.error {
                    None | Some(ErrorClass::Blocked | ErrorClass::Unsubscribed) => Ok(()),
                    Some(class) => self.error(detail, class),
                }
            }
            EventKind::Complained => self.complaint(),
            EventKind::Queued | EventKind::Deferred | EventKind::Dropped => Ok(()),
        }
    }

    fn error(&mut self, detail: &AttemptDetail, class: ErrorClass) -> Result<(), StoreError> {
        let (followed, now) = (self.followed, self.now);
        let trouble = trouble_of(detail);
        let known = is_known(detail, class);
        if trouble != Trouble::Recipient || !known {
            let met = Met { followed, detail, class, trouble, known };
            self.known.trouble(self.memory, &met, now, &mut self.learnt.draft);
        }
        let counts = threshold(class, trouble, &self.settings.thresholds) > 0;
        let pulls = is_unknown(class) && (trouble == Trouble::Recipient || class == ErrorClass::UnknownHost);
        if !counts && !pulls {
            return Ok(());
        }
        let key = self.key();
        let mut history = self.history(&key)?;
        // Its mail is from before the lift: late bounces tell nothing new.
        let is_late = followed.event.kind == EventKind::Bounced
            && history.lifted.is_some_and(|lifted| followed.event.key.message.time() <= lifted);
        let error = AddressError { at: followed.event.at, number: followed.number, class, trouble, hard: detail.hard };
        let places = Places::of(followed);
        if is_late || !history.note(error.clone(), &places.provider, &detail.reply) {
            return Ok(());
        }
        if pulls {
            self.count(&places, true);
        }
        let held = self.known.holds(&places).filter(|_| is_unknown(class) || class == ErrorClass::OverCapacity);
        if let Some(place) = held {
            let reply = bounded(&detail.reply);
            let (address, user) = split_key(&key);
            let (address, user) = (address.to_owned(), user.to_owned());
            let held = HeldError { address, user, error, provider: places.provider, reply };
            return self.hold(&place, &key, &held);
        }
        if !counts {
            return Ok(());
        }
        self.learnt.draft.put_history(&key, &history);
        if self.settings.run_at_minute.is_none() {
            let put = put_on_list(&mut self.learnt.draft, &key, self.settings, "", now, false)?;
            self.learnt.suppressed += u64::from(put);
        }
        Ok(())
    }

    /// A complaint: at once, whatever the time of the run, and whatever is held.
    fn complaint(&mut self) -> Result<(), StoreError> {
        let followed = self.followed;
        let key = self.key();
        let mut history = self.history(&key)?;
        let class = ErrorClass::Unsubscribed;
        let (reply, hard) = followed.event.detail.as_ref().map_or(("", false), |d| (d.reply.as_str(), d.hard));
        let error =
            AddressError { at: followed.event.at, number: followed.number, class, trouble: Trouble::Recipient, hard };
        let reply = if reply.is_empty() { "the recipient complained" } else { reply };
        if history.note(error, "", reply) {
            self.learnt.draft.put_history(&key, &history);
            let put = put_on_list(&mut self.learnt.draft, &key, self.settings, "", self.now, true)?;
            self.learnt.suppressed += u64::from(put);
        }
        Ok(())
    }

    fn key(&self) -> String {
        key_of(&self.followed.address, if self.settings.per_user { &self.followed.user } else { "" })
    }

    /// The errors of an address; a stay whose watch is over ends on the way.
    fn history(&mut self, key: &str) -> Result<History, StoreError> {
        let mut history = self.learnt.draft.history(key)?;
        end_watch(&mut self.learnt.draft, key, &mut history, self.now)?;
        Ok(history)
    }

    /// Tells the brake a result, and opens an incident where it is pulled.
    fn count(&mut self, places: &Places, is_error: bool) {
        let (at, brake) = (self.followed.event.at, &self.settings.brake);
        for place in places.each() {
            let is_held = self.known.held.contains_key(place);
            let jump = self.known.brake.add(place, is_error, at, is_held, brake);
            if let Some(jump) = jump {
                let opened = self.known.open(self.memory, place, &jump, self.now, &mut self.learnt.draft);
                if opened.is_none() {
                    log::error!(
                        "suppression place={place} what=\"its unknown users jumped, and {BRAKE_INCIDENTS_MAX} places are held already\""
                    );
                }
            }
        }
    }

    fn hold(&mut self, place: &str, key: &str, held: &HeldError) -> Result<(), StoreError> {
        let Some(incident) = self.known.held.get_mut(place) else { return Ok(()) };
        let draft = &mut self.learnt.draft;
        let row = format!("{}{key}", held_prefix(&incident.id));
        if draft.get(MemoKind::Incidents, &row)?.is_some() {
            return Ok(());
        }
        incident.example.clone_from(&held.reply);
        if incident.held >= HELD_MAX || self.known.held_errors >= HELD_TOTAL_MAX {
            incident.lost += 1;
        } else {
            incident.held += 1;
            self.known.held_errors += 1;
            draft.put(MemoKind::Incidents, row, incidents::write_held(held));
        }
        self.learnt.held += 1;
        draft.put(MemoKind::Incidents, brake_key(&incident.id), incidents::json(incident));
        Ok(())
    }
}

/// A stay whose watch period is over ends, and what was before its end never counts again.
pub(super) fn end_watch(
    draft: &mut Draft,
    key: &str,
    history: &mut History,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut row = draft.row(key)?;
    let Some(ended) = row.end_watch(now) else { return Ok(false) };
    if let Some(until) = ended.until {
        history.lift(until);
    }
    draft.put_row(key, &row);
    draft.put_history(key, history);
    Ok(true)
}

/// Puts an address on the list if its errors reach a threshold, with the watch period of now (R7). Answers whether it came
/// onto it; `complaints_only`: nothing but a complaint is looked at.
pub(super) fn put_on_list(
    draft: &mut Draft,
    key: &str,
    settings: &Suppression,
    incident: &str,
    now: Timestamp,
    complaints_only: bool,
) -> Result<bool, StoreError> {
    let mut history = draft.history(key)?;
    end_watch(draft, key, &mut history, now)?;
    let mut row = draft.row(key)?;
    let exempt = row.exempt.is_some() || complaints_only;
    let Some(reached) = decide(&history, &settings.thresholds, exempt, now) else { return Ok(false) };
    // Whoever is on the list stays as he is, but for a complaint: that is his own will, which lasts.
    let is_will = reached.is_complaint();
    if row.now.as_ref().is_some_and(|entry| entry.cause.is_will() || !is_will) {
        return Ok(false);
    }
    let entry = Entry {
        until: settings.watch.filter(|_| !is_will).map(|watch| now.plus(watch)),
        class: Some(reached.class),
        occurred: reached.occurred,
        reason: bounded(&history.reply),
        event: Some(reached.last.number),
        hard: reached.last.hard,
        provider: history.provider.clone(),
        incident: incident.to_owned(),
        ..super::acts::blank(draft.new_id(now), now, if is_will { Cause::Complaint } else { Cause::Errors })
    };
    let (address, user) = split_key(key);
    log::info!(
        "suppression address={address:?} user={user:?} verdict=suppressed cause={} class={} occurred={} event={} reply={:?}",
        entry.cause.word(),
        reached.class.code(),
        reached.occurred,
        reached.last.number,
        entry.reason
    );
    row.now = Some(entry);
    draft.put_row(key, &row);
    Ok(true)
}
