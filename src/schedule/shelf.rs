//! What the scheduler asks of the store, and how its answers become the core's tickets.
//!
//! In: messages just accepted, rows of the due queue.  Out: tickets for the core.
//! Always: a message that is about to come by itself is left out of what is read from disk, so that it comes once.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::Arc,
    time::Duration,
};

use smol::Timer;

use super::{
    core::{Core, DueLane, Load, Page, Slip},
    limits::ROW_BYTES,
};
use crate::{
    clock::Timestamp,
    deliver::job::RECIPIENTS_PER_JOB_MAX,
    event::Class,
    ids::{MessageId, RecipientKey, UserKey},
    store::{
        Applied, Change, Head, HeadLimits, Lane, LaneRow, Loaded, Message, Recipient, RecipientState, Store,
        StoreError, StoredLead, Ticket,
    },
    suppress::lookup::{self, Block},
};

/// How long a store that cannot take verdicts, or a read that failed, is left alone.
pub(super) const STORE_WAIT: Duration = Duration::from_secs(1);
/// A message this young may still be on its way from intake to the scheduler: reads of the disk leave it out.
pub(super) const YOUNG: Duration = Duration::from_secs(2);
/// Submitters whose next due time is looked for behind what was read.
const NEXT_DUE_ROWS: usize = 16;
/// Later than every due time, but before that of held recipients.
const EVER: Timestamp = Timestamp::from_millis(u64::MAX - 1);

/// What the scheduler asks of the store.
pub trait Shelf: Clone + Send + Sync + 'static {
    /// See [`Store::apply`].
    fn apply(&self, changes: Vec<Change>) -> impl Future<Output = Result<Applied, StoreError>> + Send;
    /// See [`Store::site_is_back`].
    fn site_is_back(&self, lane: &Lane) -> impl Future<Output = Result<u64, StoreError>> + Send;
    /// See [`Store::verdicts_are_stuck`].
    fn verdicts_are_stuck(&self) -> bool;
    /// See [`Store::lanes_due`].
    fn lanes_due(&self, until: Timestamp, limit: usize) -> Result<Vec<LaneRow>, StoreError>;
    /// See [`Store::next_due`].
    fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError>;
    /// See [`Store::head`].
    fn head(
        &self,
        lane: &Lane,
        class: Class,
        until: Timestamp,
        limits: HeadLimits,
        skip: &dyn Fn(RecipientKey) -> bool,
    ) -> Result<Head, StoreError>;
    /// See [`Store::load`].
    fn load(&self, id: MessageId, indexes: &[u32]) -> Result<Option<(Message, Vec<Recipient>)>, StoreError>;
    /// See [`Store::leads`].
    fn leads(&self, id: MessageId, indexes: &[u32]) -> Result<Vec<StoredLead>, StoreError> {
        let _ = (id, indexes);
        Ok(Vec::new())
    }
    /// Why a recipient is no longer written to: see [`lookup::block_of`].
    fn block_of(
        &self,
        recipient: &Recipient,
        user: &str,
        list: &str,
        now: Timestamp,
    ) -> Result<Option<Block>, StoreError> {
        let _ = (recipient, user, list, now);
        Ok(None)
    }
}

impl Shelf for Store {
    fn apply(&self, changes: Vec<Change>) -> impl Future<Output = Result<Applied, StoreError>> + Send {
        Store::apply(self, changes)
    }
    fn site_is_back(&self, lane: &Lane) -> impl Future<Output = Result<u64, StoreError>> + Send {
        Store::site_is_back(self, lane)
    }
    fn verdicts_are_stuck(&self) -> bool {
        Store::verdicts_are_stuck(self)
    }
    fn lanes_due(&self, until: Timestamp, limit: usize) -> Result<Vec<LaneRow>, StoreError> {
        Store::lanes_due(self, until, limit)
    }
    fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        Store::next_due(self, after)
    }
    fn head(
        &self,
        lane: &Lane,
        class: Class,
        until: Timestamp,
        limits: HeadLimits,
        skip: &dyn Fn(RecipientKey) -> bool,
    ) -> Result<Head, StoreError> {
        Store::head(self, lane, class, until, limits, skip)
    }
    fn load(&self, id: MessageId, indexes: &[u32]) -> Result<Option<(Message, Vec<Recipient>)>, StoreError> {
        Store::load(self, id, indexes)
    }
    fn leads(&self, id: MessageId, indexes: &[u32]) -> Result<Vec<StoredLead>, StoreError> {
        Store::leads(self, id, indexes)
    }
    fn block_of(
        &self,
        recipient: &Recipient,
        user: &str,
        list: &str,
        now: Timestamp,
    ) -> Result<Option<Block>, StoreError> {
        lookup::block_of(self, &recipient.address, user, list, now)
    }
}

/// What a scan of the due queue found.
pub(super) struct Scan {
    pub lanes: Vec<DueLane>,
    pub more: bool,
    pub next_due: Option<Timestamp>,
}

/// Gives the recipients of a message that was just accepted to the core.
pub(super) fn enter(core: &mut Core<Arc<Loaded>>, loaded: &Arc<Loaded>, now: Timestamp) {
    let bytes = ROW_BYTES + loaded.body.as_ref().map_or(0, |(body, _)| body.len());
    let class = loaded.message.class;
    let later = now.plus(YOUNG);
    let is_due = |r: &&Recipient| matches!(r.state, RecipientState::Waiting { due, .. } if due <= later);
    for recipient in &loaded.recipients {
        // Mail for later, and mail accepted by a clock that has stepped back since, is found on disk when its time comes.
        if let RecipientState::Waiting { due, .. } = recipient.state
            && due > later
            && due != Timestamp::MAX
        {
            core.due_at(due);
        }
    }
    let (user, expires_at) = (UserKey::of(&loaded.message.user), loaded.message.expires_at);
    let mut fresh = |recipient: &Recipient, payload: Option<Arc<Loaded>>| {
        let payload_bytes = if payload.is_some() { bytes } else { 0 };
        let (key, attempts) = (recipient.key, recipient.attempts);
        core.fresh(&recipient.lane.0, class, Slip { key, user, attempts, expires_at, payload, payload_bytes }, now);
    };
    if let [recipient] = loaded.recipients.as_slice() {
        if is_due(&recipient) {
            fresh(recipient, Some(loaded.clone()));
        }
        return;
    }
    // One ticket of each attempt keeps the message.
    let mut lanes: HashMap<&Lane, usize> = HashMap::new();
    for recipient in loaded.recipients.iter().filter(is_due) {
        let nth = lanes.entry(&recipient.lane).or_default();
        let first = nth.is_multiple_of(RECIPIENTS_PER_JOB_MAX);
        *nth += 1;
        fresh(recipient, first.then(|| loaded.clone()));
    }
}

/// Stores changes, waiting while the store cannot; false when it never will.
pub(super) async fn store<S: Shelf>(shelf: &S, changes: Vec<Change>) -> bool {
    while shelf.verdicts_are_stuck() {
        Timer::after(STORE_WAIT).await;
    }
    let count = changes.len();
    match shelf.apply(changes).await {
        Ok(applied) => {
            if applied.too_late > 0 {
                log::info!("verdicts={} came after an operator's act and were left out", applied.too_late);
            }
            true
        }
        Err(error) => {
            log::error!("verdicts={count} could not be stored: {error}");
            false
        }
    }
}

pub(super) fn scan<S: Shelf>(shelf: &S, now: Timestamp, limit: usize) -> Option<Scan> {
    let found = shelf.lanes_due(now, limit).and_then(|lanes| Ok((lanes, shelf.next_due(now)?)));
    match found {
        Ok((lanes, next_due)) => {
            let more = lanes.len() >= limit;
            let lanes = lanes.into_iter().map(|row| DueLane { lane: row.lane.0, count: row.count }).collect();
            Some(Scan { lanes, more, next_due })
        }
        Err(error) => {
            log::error!("the due queue could not be read: {error}");
            None
        }
    }
}

pub(super) fn page<S: Shelf>(
    shelf: &S,
    load: Load,
    now: Timestamp,
    boot: Timestamp,
) -> (Load, Option<Page<Arc<Loaded>>>) {
    let young = std::cell::Cell::new(false);
    let skip = |key: RecipientKey| {
        if load.skip.contains(&key) {
            return true;
        }
        let born = key.message.time();
        let is_young = born >= boot && born <= now.plus(YOUNG) && now.since(born) < YOUNG;
        young.set(young.get() | is_young);
        is_young
    };
    let limits = HeadLimits { rows: load.limit, per_message: load.per_message };
    let lane = Lane(load.lane.clone());
    let read = shelf.head(&lane, load.class, now, limits, &skip).and_then(|head| {
        if !head.complete {
            return Ok((head, None));
        }
        // Nothing else is due: what comes next hides behind those who wait in RAM.
        let found: HashSet<RecipientKey> = head.tickets.iter().map(|t| t.key).collect();
        let next = HeadLimits { rows: NEXT_DUE_ROWS, per_message: 1 };
        let known = |key| skip(key) || found.contains(&key);
        let later = shelf.head(&lane, load.class, EVER, next, &known)?;
        let next_due = later.tickets.iter().map(|t| t.due).filter(|due| *due > now).min();
        Ok((head, next_due))
    });
    match read {
        Ok((Head { tickets, complete }, next_due)) => {
            let slip = |t: Ticket| {
                let bytes = |l: &Arc<Loaded>| ROW_BYTES + l.body.as_ref().map_or(0, |(body, _)| body.len());
                let payload_bytes = t.loaded.as_ref().map_or(0, bytes);
                let Ticket { key, user, attempts, expires_at, loaded: payload, .. } = t;
                Slip { key, user, attempts, expires_at, payload, payload_bytes }
            };
            let slips = tickets.into_iter().map(slip).collect();
            (load, Some(Page { slips, complete, again: young.get(), next_due }))
        }
        Err(error) => {
            log::error!("destination={} the due queue could not be read: {error}", load.lane);
            (load, None)
        }
    }
}
