//! A store in RAM whose writes can fail, and a log that tests write: for the tests of this room.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Suppressions, memory::Memory};
use crate::{
    clock::{Clock, Timestamp},
    config::{Config, InForce},
    event::{AttemptDetail, ErrorClass, Event, EventKind, Trouble},
    ids::{IdSource, MessageId, RecipientKey},
    metrics::Metrics,
    store::{AuditEntry, Followed, MEMOS_A_CALL_MAX, MemoChange, MemoKind, Memos, StoreError, Writing},
};

/// 2026-06-01T00:00:00Z, a day's start.
pub(super) const START: u64 = 1_780_272_000_000;

#[derive(Default)]
struct Inside {
    memos: BTreeMap<(MemoKind, String), Vec<u8>>,
    audit: Vec<AuditEntry>,
    log: Vec<Followed>,
    /// Writes that succeed before the others fail.
    writes_left: Option<usize>,
    writes: usize,
}

/// See the file's head.
pub(super) struct FakeStore {
    inside: Mutex<Inside>,
    ids: IdSource,
    largest: AtomicU64,
}

impl Default for FakeStore {
    fn default() -> Self {
        let ids = IdSource::after(MessageId::default());
        FakeStore { inside: Mutex::default(), ids, largest: AtomicU64::new(0) }
    }
}

impl FakeStore {
    fn with<T>(&self, act: impl FnOnce(&mut Inside) -> T) -> T {
        act(&mut self.inside.lock().unwrap())
    }

    pub fn audit(&self) -> Vec<AuditEntry> {
        self.with(|i| i.audit.clone())
    }

    pub fn keys(&self, kind: MemoKind) -> Vec<String> {
        self.with(|i| i.memos.keys().filter(|(k, _)| *k == kind).map(|(_, key)| key.clone()).collect())
    }

    pub fn all(&self) -> BTreeMap<(MemoKind, String), Vec<u8>> {
        self.with(|i| i.memos.clone())
    }

    pub fn writes(&self) -> usize {
        self.with(|i| i.writes)
    }

    /// After so many writes the store fails; `None`: never.
    pub fn fail_after(&self, writes: Option<usize>) {
        self.with(|i| i.writes_left = writes);
    }

    /// The largest page of the log that was asked for.
    pub fn largest_page(&self) -> u64 {
        self.largest.load(Ordering::Relaxed)
    }
}

impl Memos for FakeStore {
    fn memo(&self, kind: MemoKind, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.with(|i| i.memos.get(&(kind, key.to_owned())).cloned()))
    }

    fn memos(
        &self,
        kind: MemoKind,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let fits = |(k, key): &(MemoKind, String)| {
            *k == kind && key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
        };
        Ok(self.with(|i| {
            let found = i.memos.iter().filter(|(key, _)| fits(key)).take(limit);
            found.map(|((_, key), value)| (key.clone(), value.clone())).collect()
        }))
    }

    fn put_memos(&self, changes: Vec<MemoChange>) -> Writing<'_> {
        self.put(changes, None)
    }
}

impl Memory for FakeStore {
    fn follow(&self, after: u64, kinds: &[EventKind], limit: usize) -> Result<(Vec<Followed>, u64), StoreError> {
        self.largest.fetch_max(limit as u64, Ordering::Relaxed);
        Ok(self.with(|i| {
            let page: Vec<&Followed> = i.log.iter().filter(|f| f.number > after).take(limit).collect();
            let next = page.last().map_or(after, |f| f.number);
            (page.into_iter().filter(|f| kinds.contains(&f.event.kind)).cloned().collect(), next)
        }))
    }

    fn put(&self, changes: Vec<MemoChange>, audit: Option<AuditEntry>) -> Writing<'_> {
        Box::pin(async move {
            self.with(|i| {
                assert!(changes.len() <= MEMOS_A_CALL_MAX, "{} changes in one call", changes.len());
                if let Some(left) = &mut i.writes_left {
                    if *left == 0 {
                        return Err(StoreError::Failed("the test says so".to_owned()));
                    }
                    *left -= 1;
                }
                i.writes += 1;
                for MemoChange { kind, key, value } in changes {
                    match value {
                        Some(value) => i.memos.insert((kind, key), value),
                        None => i.memos.remove(&(kind, key)),
                    };
                }
                i.audit.extend(audit);
                Ok(())
            })
        })
    }

    fn new_id(&self, now: Timestamp) -> MessageId {
        self.ids.next(now)
    }
}

/// A room, its store and its clock.
pub(super) struct Rig {
    pub store: Arc<FakeStore>,
    pub clock: Clock,
    pub config: InForce,
    pub metrics: Arc<Metrics>,
    pub room: Suppressions,
    number: u64,
}

impl Rig {
    /// With these settings: `[suppression]` and the like.
    pub fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.server.time_zone = "UTC".to_owned();
        change(&mut config);
        let (store, config) = (Arc::new(FakeStore::default()), InForce::new(config));
        let (clock, metrics) = (Clock::manual(Timestamp::from_millis(START)), Arc::new(Metrics::default()));
        let room = Suppressions::new(store.clone(), clock.clone(), metrics.clone(), config.clone());
        Rig { store, clock, config, metrics, room, number: 0 }
    }

    /// The process starts anew on the same store.
    pub fn restart(&mut self) {
        let (store, config) = (self.store.clone(), self.config.clone());
        self.room = Suppressions::new(store, self.clock.clone(), self.metrics.clone(), config);
    }

    /// Other settings, as a reload brings them.
    pub fn change(&self, change: impl FnOnce(&mut Config)) {
        let mut config = Config::clone(&self.config.get());
        change(&mut config);
        self.config.swap(config);
    }

    pub fn days(&self, days: u64) {
        self.clock.advance(Duration::from_secs(days * 86_400));
    }

    pub fn write(&mut self, kind: EventKind, address: &str, detail: Option<AttemptDetail>) {
        self.write_of(kind, address, "", self.clock.now(), detail);
    }

    /// `born`: when the mail was accepted.
    pub fn write_of(
        &mut self,
        kind: EventKind,
        address: &str,
        user: &str,
        born: Timestamp,
        detail: Option<AttemptDetail>,
    ) {
        self.number += 1;
        let now = self.clock.now();
        let message = IdSource::after(MessageId::default()).next(born);
        let event = Event {
            at: now,
            key: RecipientKey { message, index: 0 },
            kind,
            attempt: 1,
            next_try: None,
            wait: None,
            operator: None,
            detail: detail.map(Box::new),
        };
        let (address, user) = (address.to_lowercase(), user.to_owned());
        let followed = Followed { number: self.number, event, address, user };
        self.store.with(|i| i.log.push(followed));
    }

    /// A failure of this class, as the destination's hosts tell it.
    pub fn fail(&mut self, address: &str, class: ErrorClass) {
        let trouble = match class {
            ErrorClass::UnknownUser | ErrorClass::BadAddress | ErrorClass::OverCapacity => Trouble::Recipient,
            ErrorClass::UnknownHost | ErrorClass::ResendTimeout | ErrorClass::ReceivingServerError => {
                Trouble::Destination
            }
            _ => Trouble::Policy,
        };
        self.write(EventKind::Failed, address, Some(answer(class, trouble, "550 5.1.1 no such user here")));
    }

    pub fn succeed(&mut self, address: &str) {
        self.write(EventKind::Succeeded, address, Some(AttemptDetail::default()));
    }

    pub fn complain(&mut self, address: &str) {
        self.write(EventKind::Complained, address, Some(answer(ErrorClass::Other, Trouble::Recipient, "abuse")));
    }

    /// Learns all that is new.
    pub fn learn(&self) {
        smol::block_on(async { while self.room.step().await.unwrap() {} });
    }

    /// Does what is due.
    pub fn tick(&self) {
        let shutdown = crate::runtime::Shutdown::new();
        smol::block_on(async {
            self.room.run_if_due(&shutdown).await.unwrap();
            self.room.keep_house(&shutdown).await.unwrap();
        });
    }

    pub fn is_on(&self, address: &str) -> bool {
        self.room.get(address, "").unwrap().is_some_and(|l| l.entry.is_some())
    }
}

pub(super) fn answer(class: ErrorClass, trouble: Trouble, reply: &str) -> AttemptDetail {
    AttemptDetail {
        destination: "example.jp".to_owned(),
        reply: reply.to_owned(),
        error: Some(class),
        trouble: Some(trouble),
        hard: class == ErrorClass::UnknownUser,
        ..AttemptDetail::default()
    }
}
