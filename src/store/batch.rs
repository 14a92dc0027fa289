//! One transaction's work: what many operations of a commit change together is gathered here and written once.
//!
//! In: operations (`accept.rs`, `verdicts.rs`, `retention.rs` …).  Out: rows, and what to do after the commit.
//! Always: totals, lanes, segments, minutes, counts of users and message rows are written once a transaction, however many operations touch
//! them; a damaged row is found before anything of its operation is written.
//! B-tree operations, one recipient, besides what the whole commit shares: accept 6 (message, recipient, due, event,
//! by-recipient, by-message-id), verdict 7 (recipient read and write, message read and write, due, event, by-recipient).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
};

use redb::ReadableTable;

use super::{
    ages::Ages,
    chain::Chaining,
    counts::{Counting, Whose, place_of},
    fault::{Fatal, bad_row},
    rows::{self, LANE_REPLY_MAX, LaneTotals, MessageHead, MinuteNumbers, RecipientRow},
    segments::{RECORD_HEAD, SegmentRow},
    sums::{Sums, Whom},
    tables::{
        self, META_MEMOS, META_TOTALS, Tables, due_user_prefix, index_hash, index_key, lane_due_key, message_key,
        recipient_key,
    },
    types::{BodyPlace, Lane, RecipientState, StoreError, Totals},
};
use crate::{
    clock::Timestamp,
    event::{Class, Event, WaitReason},
    ids::{MessageId, RecipientKey, UserKey},
};

/// What the writer knows between transactions; each commit stores it.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    /// Waiting recipients.
    pub waiting: u64,
    /// Of them, held.
    pub held: u64,
    /// Octets of live bodies.
    pub body_octets: u64,
    /// The last message id stored.
    pub last_id: u64,
    /// The last event number.
    pub last_number: u64,
    /// Every segment's row.
    pub segments: HashMap<u64, SegmentRow>,
    /// The last unclean start.
    pub unclean: Option<Unclean>,
    /// Memos of each kind, by the kind's number.
    pub memos: BTreeMap<u8, u64>,
    /// Rows of leads; counted by the table itself.
    pub leads: u64,
    /// What waits, by class, reason and submitter.
    pub sums: Sums,
}

/// When the process before stopped hard: who was due then and was not tried since may have been in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unclean {
    /// The last event number before.
    pub number: u64,
    /// When it was noticed.
    pub at: Timestamp,
}

impl Unclean {
    /// The next attempt of this recipient may be a duplicate (P3).
    pub(super) fn marks(this: Option<Unclean>, row: &RecipientRow) -> bool {
        match (&row.shown.state, this) {
            (RecipientState::Waiting { due, .. }, Some(u)) => *due <= u.at && row.last_event <= u.number,
            _ => false,
        }
    }
}

impl Books {
    /// The stored totals.
    pub(super) fn totals_row(&self) -> Vec<u8> {
        rows::write_numbers(&[self.waiting, self.held, self.body_octets, self.last_id, self.last_number])
    }

    /// Reads the stored totals.
    pub(super) fn read_totals(&mut self, row: &[u8]) -> Result<(), super::codec::RowError> {
        [self.waiting, self.held, self.body_octets, self.last_id, self.last_number] = rows::read_numbers(row)?;
        Ok(())
    }

    /// What people see of them; the disk's part is filled in elsewhere.
    pub(super) fn totals(&self) -> Totals {
        Totals {
            waiting: self.waiting,
            held: self.held,
            body_octets: self.body_octets,
            leads: self.leads,
            ..Totals::default()
        }
    }
}

/// The part of the due index that a recipient waits in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot<'a> {
    /// Its lane.
    pub lane: &'a Lane,
    /// Its class.
    pub class: Class,
    /// Its submitter.
    pub user: UserKey,
}

/// Submitters of a lane that are looked at to find its earliest due time: some milliseconds. Beyond it the time is a lower
/// bound: the lane is looked at too early, never too late.
const SUBMITTERS_LOOKED_MAX: usize = 10_000;

/// A lane's changes in this transaction.
#[derive(Default)]
struct LaneWork {
    added: [u64; 3],
    removed: [u64; 3],
    earliest_added: Option<u64>,
    earliest_removed: Option<u64>,
    last_reply: Option<String>,
}

/// A message row in work.
pub(super) struct MessageWork {
    pub head: MessageHead,
    pub row: Vec<u8>,
    changed: bool,
}

/// What the commit makes possible.
#[derive(Default)]
pub(super) struct After {
    /// Large bodies whose last reference is gone.
    pub unlink_bodies: Vec<MessageId>,
    /// Segments in which nothing lives.
    pub unlink_segments: Vec<u64>,
    /// Lanes that changed, with how many wait there now.
    pub lanes: Vec<(Arc<str>, u64)>,
}

/// One transaction's work.
pub(super) struct Work<'t, 'w> {
    pub t: Tables<'t>,
    pub books: &'w mut Books,
    pub now: Timestamp,
    pub after: After,
    pub chaining: Chaining,
    keep_bodies: bool,
    current_segment: Option<u64>,
    lanes: HashMap<Arc<str>, LaneWork>,
    messages: HashMap<MessageId, MessageWork>,
    minutes: HashMap<u64, MinuteNumbers>,
    counts: Counting,
    segments: BTreeSet<u64>,
    ages: Ages,
    memos_changed: bool,
}

/// The minute of a time, the key of its counts.
pub(super) fn minute_of(at: Timestamp) -> u64 {
    at.as_seconds() / 60
}

/// Held rows are not due before somebody releases them.
pub(super) fn is_held(wait: WaitReason) -> bool {
    match wait {
        WaitReason::Held | WaitReason::Damaged => true,
        WaitReason::Fresh | WaitReason::Retry | WaitReason::Site | WaitReason::Scheduled => false,
    }
}

impl<'t, 'w> Work<'t, 'w> {
    /// Work on the tables of a transaction. `keep_bodies`: finished messages keep their body for a while.
    pub(super) fn new(
        t: Tables<'t>,
        books: &'w mut Books,
        now: Timestamp,
        keep_bodies: bool,
        current_segment: Option<u64>,
    ) -> Self {
        Work {
            t,
            books,
            now,
            after: After::default(),
            chaining: Chaining::default(),
            keep_bodies,
            current_segment,
            lanes: HashMap::new(),
            messages: HashMap::new(),
            minutes: HashMap::new(),
            counts: Counting::default(),
            segments: BTreeSet::new(),
            ages: Ages::default(),
            memos_changed: false,
        }
    }

    /// The segment that is being filled has changed.
    pub(super) fn set_current(&mut self, current: Option<u64>) {
        self.current_segment = current;
    }

    /// The next event number: of now, and above every earlier one.
    pub(super) fn number(&mut self) -> u64 {
        let of_now = first_number_of(self.now);
        self.books.last_number = of_now.max(self.books.last_number + 1);
        self.books.last_number
    }

    /// Writes an event under `number`, its index rows, and counts it.
    pub(super) fn log(
        &mut self,
        number: u64,
        prev: u64,
        closes: bool,
        event: &Event,
        address: &str,
        whose: Whose<'_>,
    ) -> Result<(), StoreError> {
        let row = rows::write_event(number, prev, closes, event);
        self.t.events.insert(number, row.as_slice()).fatal()?;
        let day = rows::number_time(number).day();
        self.t.by_recipient.insert(&index_key(day, index_hash(address), number), ()).fatal()?;
        if let Some(hash) = whose.api_hash {
            self.t.by_api_data.insert(&index_key(day, hash, number), ()).fatal()?;
        }
        let place = place_of(event);
        // A minute has room for queued, deferred, succeeded, failed and blocked.
        let minute = self.minutes.entry(minute_of(event.at)).or_default();
        if let Some(count) = minute.get_mut(place) {
            *count += 1;
        }
        let messages = &self.messages;
        self.counts.count(event, whose.user, || match whose.name {
            Some(name) => name.to_owned(),
            // Its row is in work. Where it cannot be read, it is nobody's: a verdict must not fail for that.
            None => messages
                .get(&event.key.message)
                .and_then(|m| rows::read_message(event.key.message, &m.row).ok())
                .map_or_else(String::new, |m| m.user),
        });
        Ok(())
    }

    // ---- the queue ----

    /// Puts a recipient into the due index.
    pub(super) fn wait(
        &mut self,
        spot: Spot<'_>,
        due: Timestamp,
        key: RecipientKey,
        value: &[u8],
    ) -> Result<(), StoreError> {
        let Spot { lane, class, user } = spot;
        self.t.due.insert(tables::due_key(&lane.0, class, user, due, key).as_slice(), value).fatal()?;
        let work = self.lane(lane);
        work.added[class as usize] += 1;
        work.earliest_added = Some(work.earliest_added.map_or(due.as_millis(), |e| e.min(due.as_millis())));
        self.books.waiting += 1;
        Ok(())
    }

    /// Takes a recipient out of the due index; answers the value of its row.
    pub(super) fn unwait(
        &mut self,
        spot: Spot<'_>,
        due: Timestamp,
        key: RecipientKey,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Spot { lane, class, user } = spot;
        let removed = self.t.due.remove(tables::due_key(&lane.0, class, user, due, key).as_slice()).fatal()?;
        let value = removed.map(|guard| guard.value().to_vec());
        if value.is_some() {
            let work = self.lane(lane);
            work.removed[class as usize] += 1;
            work.earliest_removed = Some(work.earliest_removed.map_or(due.as_millis(), |e| e.min(due.as_millis())));
            self.books.waiting = self.books.waiting.saturating_sub(1);
        }
        Ok(value)
    }

    /// Remembers what a destination said last.
    pub(super) fn lane_says(&mut self, lane: &Lane, reply: &str) {
        let mut end = reply.len().min(LANE_REPLY_MAX);
        while !reply.is_char_boundary(end) {
            end -= 1;
        }
        self.lane(lane).last_reply = Some(reply[..end].to_owned());
    }

    fn lane(&mut self, lane: &Lane) -> &mut LaneWork {
        self.lanes.entry(lane.0.clone()).or_default()
    }

    /// Counts a recipient's change of state in the sums, among the held ones and in the ages; `since` is its message's.
    pub(super) fn count(
        &mut self,
        whom: Whom<'_>,
        since: Option<Timestamp>,
        before: Option<WaitReason>,
        after: Option<WaitReason>,
    ) {
        match (before.is_some_and(is_held), after.is_some_and(is_held)) {
            (false, true) => self.books.held += 1,
            (true, false) => self.books.held = self.books.held.saturating_sub(1),
            (true, true) | (false, false) => {}
        }
        self.books.sums.change(whom, before, after);
        if let Some(since) = since {
            self.ages.change(whom.class, since, before, after);
        }
    }

    /// The number of memos has changed: it is stored with the transaction.
    pub(super) fn memos_changed(&mut self) {
        self.memos_changed = true;
    }

    // ---- rows ----

    /// A recipient's row; `None` when there is none.
    pub(super) fn recipient(&self, key: RecipientKey) -> Result<Option<RecipientRow>, StoreError> {
        match self.t.mail.get(&recipient_key(key)).fatal()? {
            None => Ok(None),
            Some(row) => rows::read_recipient(key, row.value())
                .map(Some)
                .map_err(|e| bad_row(format_args!("recipient {} of message {}", key.index, key.message), e)),
        }
    }

    /// Writes a recipient's row.
    pub(super) fn put_recipient(&mut self, row: &RecipientRow) -> Result<(), StoreError> {
        let bytes = rows::write_recipient(row);
        self.t.mail.insert(&recipient_key(row.shown.key), bytes.as_slice()).fatal()?;
        Ok(())
    }

    /// A message's row, read once a transaction; `None` when there is none.
    pub(super) fn message(&mut self, id: MessageId) -> Result<Option<&mut MessageWork>, StoreError> {
        match self.messages.entry(id) {
            Entry::Occupied(known) => Ok(Some(known.into_mut())),
            Entry::Vacant(place) => {
                let Some(row) = self.t.mail.get(&message_key(id)).fatal()? else { return Ok(None) };
                let row = row.value().to_vec();
                let head = MessageHead::read(&row).map_err(|e| bad_row(format_args!("message {id}"), e))?;
                Ok(Some(place.insert(MessageWork { head, row, changed: false })))
            }
        }
    }

    /// Changes the front of a message's row, written at the end of the transaction.
    pub(super) fn change_message(&mut self, id: MessageId, change: impl FnOnce(&mut MessageHead)) {
        if let Some(m) = self.messages.get_mut(&id) {
            change(&mut m.head);
            m.changed = true;
        }
    }

    /// Forgets a message that was deleted in this transaction.
    pub(super) fn forget_message(&mut self, id: MessageId) {
        self.messages.remove(&id);
    }

    // ---- bodies ----

    /// Counts a body that a message of this transaction names.
    pub(super) fn body_added(&mut self, place: BodyPlace, len: u64) {
        self.books.body_octets += len;
        if let BodyPlace::Segment { segment, offset } = place {
            let row = self.books.segments.entry(segment).or_default();
            row.live += 1;
            row.live_octets += len + RECORD_HEAD as u64;
            row.used = row.used.max(offset + len + RECORD_HEAD as u64);
            self.segments.insert(segment);
        }
    }

    /// Counts a body that no row names any more.
    pub(super) fn body_dropped(&mut self, id: MessageId, place: BodyPlace, len: u64) {
        match place {
            BodyPlace::Gone => return,
            BodyPlace::File => self.after.unlink_bodies.push(id),
            BodyPlace::Segment { segment, .. } => {
                let row = self.books.segments.entry(segment).or_default();
                row.live = row.live.saturating_sub(1);
                row.live_octets = row.live_octets.saturating_sub(len + RECORD_HEAD as u64);
                self.segments.insert(segment);
            }
        }
        self.books.body_octets = self.books.body_octets.saturating_sub(len);
    }

    /// The message needs its body no longer for delivery or notices: drops it, or keeps it for `[retention] message_bodies`.
    pub(super) fn body_unneeded(&mut self, id: MessageId) -> Result<(), StoreError> {
        let Some(m) = self.messages.get(&id) else { return Ok(()) };
        let (place, len) = (m.head.place, m.head.len);
        if place == BodyPlace::Gone {
            return Ok(());
        }
        if self.keep_bodies {
            // The message's own last event number is not known here; its time is, and a fresh number is unique.
            let number = self.number();
            self.t.kept_bodies.insert(number, id.as_u64()).fatal()?;
            return Ok(());
        }
        self.body_dropped(id, place, len);
        self.change_message(id, |head| head.place = BodyPlace::Gone);
        Ok(())
    }

    // ---- the end ----

    /// Writes what was gathered. `used_of_current`: the used length of the segment that is being filled.
    pub(super) fn finish(mut self, used_of_current: Option<u64>) -> Result<After, StoreError> {
        self.finish_messages()?;
        self.finish_lanes()?;
        self.finish_segments(used_of_current)?;
        for (minute, add) in std::mem::take(&mut self.minutes) {
            let old = match self.t.minutes.get(minute).fatal()? {
                Some(row) => rows::read_minute(row.value()).map_err(|e| bad_row(format_args!("minute {minute}"), e))?,
                None => MinuteNumbers::default(),
            };
            let sums: MinuteNumbers = std::array::from_fn(|n| old[n] + add[n]);
            self.t.minutes.insert(minute, rows::write_numbers(&sums).as_slice()).fatal()?;
        }
        std::mem::take(&mut self.chaining).finish(&mut self.t.meta)?;
        std::mem::take(&mut self.counts).finish(&mut self.t.counts, &mut self.t.user_minutes)?;
        std::mem::take(&mut self.ages).finish(&mut self.t.ages)?;
        self.books.sums.store(&mut self.t.meta)?;
        if self.memos_changed {
            self.t.meta.insert(META_MEMOS, super::memos::write_counts(&self.books.memos).as_slice()).fatal()?;
        }
        self.t.meta.insert(META_TOTALS, self.books.totals_row().as_slice()).fatal()?;
        Ok(self.after)
    }

    fn finish_messages(&mut self) -> Result<(), StoreError> {
        for (id, mut m) in std::mem::take(&mut self.messages) {
            if m.changed {
                m.head.patch(&mut m.row);
                self.t.mail.insert(&message_key(id), m.row.as_slice()).fatal()?;
            }
        }
        Ok(())
    }

    fn finish_segments(&mut self, used_of_current: Option<u64>) -> Result<(), StoreError> {
        for number in std::mem::take(&mut self.segments) {
            let Some(row) = self.books.segments.get_mut(&number) else { continue };
            let is_current = self.current_segment == Some(number);
            if is_current && let Some(used) = used_of_current {
                row.used = row.used.max(used);
            }
            if row.live == 0 && !is_current {
                self.books.segments.remove(&number);
                self.t.segments.remove(number).fatal()?;
                self.after.unlink_segments.push(number);
            } else {
                let bytes = rows::write_numbers(&[row.live, row.live_octets, row.used]);
                self.t.segments.insert(number, bytes.as_slice()).fatal()?;
            }
        }
        Ok(())
    }

    fn finish_lanes(&mut self) -> Result<(), StoreError> {
        for (name, work) in std::mem::take(&mut self.lanes) {
            let old = match self.t.lanes.get(name.as_bytes()).fatal()? {
                Some(row) => Some(rows::read_lane(row.value()).map_err(|e| bad_row(format_args!("lane {name}"), e))?),
                None => None,
            };
            let was = old.as_ref().map(|l| l.earliest);
            let mut lane = old.unwrap_or(LaneTotals { earliest: u64::MAX, ..LaneTotals::default() });
            for class in 0..lane.counts.len() {
                lane.counts[class] = (lane.counts[class] + work.added[class]).saturating_sub(work.removed[class]);
            }
            self.after.lanes.push((name.clone(), lane.counts.iter().sum()));
            if lane.counts.iter().all(|n| *n == 0) {
                if let Some(earliest) = was {
                    self.t.lanes.remove(name.as_bytes()).fatal()?;
                    self.t.lane_due.remove(lane_due_key(earliest, &name).as_slice()).fatal()?;
                }
                continue;
            }
            let head_left = work
                .earliest_removed
                .is_some_and(|gone| gone <= lane.earliest.min(work.earliest_added.unwrap_or(u64::MAX)));
            // Nobody was earlier before, and nobody earlier has come.
            let floor = lane.earliest.min(work.earliest_added.unwrap_or(u64::MAX));
            lane.earliest =
                if head_left || was.is_none() { self.earliest_of(&name, &lane.counts, floor)? } else { floor };
            if let Some(reply) = work.last_reply {
                lane.last_reply = reply;
            }
            if was != Some(lane.earliest) {
                if let Some(earliest) = was {
                    self.t.lane_due.remove(lane_due_key(earliest, &name).as_slice()).fatal()?;
                }
                self.t.lane_due.insert(lane_due_key(lane.earliest, &name).as_slice(), ()).fatal()?;
            }
            self.t.lanes.insert(name.as_bytes(), rows::write_lane(&lane).as_slice()).fatal()?;
        }
        Ok(())
    }

    /// The earliest due time of a lane, from the due index: one seek for each class and submitter that has somebody. It is
    /// not before `floor`.
    fn earliest_of(&self, lane: &str, counts: &[u64; 3], floor: u64) -> Result<u64, StoreError> {
        let (mut earliest, mut looked) = (u64::MAX, 0);
        for class in Class::ALL {
            let mut from = (counts[class as usize] > 0).then_some(0);
            while let Some(user) = from.take() {
                let start = due_user_prefix(lane, class, UserKey::from_u64(user));
                let Some(first) = self.t.due.range(start.as_slice()..).fatal()?.next() else { break };
                let (key, _) = first.fatal()?;
                let Some(k) = tables::read_due_key(key.value()).filter(|k| k.lane == lane && k.class == class) else {
                    break;
                };
                earliest = earliest.min(k.due.as_millis());
                looked += 1;
                if earliest <= floor || looked >= SUBMITTERS_LOOKED_MAX {
                    return Ok(floor);
                }
                if counts[class as usize] > 1 {
                    from = k.user.as_u64().checked_add(1);
                }
            }
        }
        Ok(earliest)
    }
}

/// The smallest event number of a moment.
pub(super) fn first_number_of(at: Timestamp) -> u64 {
    /// Bits below the milliseconds, as in message ids.
    const COUNTER_BITS: u32 = 20;
    let epoch = MessageId::from_u64(0).time().as_millis();
    let millis = at.as_millis().saturating_sub(epoch).min(u64::MAX >> COUNTER_BITS);
    millis << COUNTER_BITS
}
