//! What happened besides mail, on its way to those endpoints that want it: changes of the suppression list (`blocked`) and of what
//! the checks of domains find (`domain`). The log of deliveries has none of them.
//!
//! In: changes, as the rooms of the list and of the checks make them.  Out: rows written in the transaction of the change; changes behind a number.
//! Always: while an endpoint wants them no change is lost; numbers grow in the order of the commits; a row is kept until every
//! endpoint has passed it, and for a week at least, so that it can be replayed; the rows are bounded: beyond
//! `ROWS_MAX` changes are dropped with an error in the journal, never a change of the list itself; one writer at a time
//! holds the turn.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smol::lock::Mutex;

pub use crate::suppress::told::{ListAct, ListChange};
use crate::{
    clock::{Clock, Timestamp},
    config::InForce,
    doctor::told::{self, DomainChange},
    store::{MemoChange, MemoKind, Store, StoreError},
    suppress::{self, TOLD_ROWS_MAX},
};

use super::{payload::Wants, place::number_at};

/// Rows at most, each with up to [`ROW_CHANGES`] changes.
const ROWS_MAX: u64 = 100_000;
/// Changes in one row.
const ROW_CHANGES: usize = 100;
/// Octets of a reason that are kept with a change, so that a row fits.
const REASON_MAX: usize = 200;
/// Rows that one read brings.
const READ_ROWS: usize = 50;
/// Rows of which one step reads the names, and that one step of the pruning forgets.
const PRUNE_ROWS: usize = 500;
/// How long rows are kept at least.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// Octets of a finding's text that are kept.
const FINDING_MAX: usize = 1_000;
/// Changes of domains in one row: each has four texts and its records.
const ROW_DOMAIN_CHANGES: usize = 20;
/// Records that go along with a change.
const RECORDS_MAX: usize = 5;

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Told {
    /// To the suppression list.
    List(ListChange),
    /// To what a check of a domain finds.
    Domain(DomainChange),
}

impl Told {
    /// Its number.
    pub fn id(&self) -> u64 {
        match self {
            Told::List(change) => change.id,
            Told::Domain(change) => change.id,
        }
    }

    /// When.
    pub fn at(&self) -> Timestamp {
        match self {
            Told::List(change) => change.at,
            Told::Domain(change) => change.at,
        }
    }
}

/// The outbox's writing end.
pub struct Outbox {
    store: Store,
    clock: Clock,
    config: InForce,
    last: AtomicU64,
    turn: Mutex<()>,
}

impl Outbox {
    /// Behind all numbers that were given before. Blocking.
    ///
    /// # Errors
    /// The store's.
    pub fn open(store: Store, clock: Clock, config: InForce, floor: u64) -> Result<Arc<Self>, StoreError> {
        let mut last = floor;
        let mut after: Option<String> = None;
        loop {
            let keys = store.memo_keys(MemoKind::WebhookEvents, "", after.as_deref(), PRUNE_ROWS)?;
            let Some(key) = keys.into_iter().next_back() else { break };
            last = last.max(number_of(&key));
            after = Some(key);
        }
        Ok(Arc::new(Outbox { store, clock, config, last: AtomicU64::new(last), turn: Mutex::new(()) }))
    }

    /// The number of the last change, or one that is as good: what comes later is greater.
    pub fn end(&self) -> u64 {
        self.last.load(Ordering::SeqCst)
    }

    fn next(&self, now: Timestamp) -> u64 {
        let next = number_at(now).max(self.end() + 1);
        self.last.store(next, Ordering::SeqCst);
        next
    }
}

impl Outbox {
    fn wants_any(&self, wants: fn(Wants) -> bool) -> bool {
        self.config.get().webhooks.iter().any(|hook| wants(Wants::of(hook)))
    }

    /// There is no room for so many changes.
    fn is_full(&self, changes: usize) -> bool {
        let full = self.store.memo_count(MemoKind::WebhookEvents).is_ok_and(|n| n >= ROWS_MAX);
        if full || changes > ROW_CHANGES * TOLD_ROWS_MAX {
            log::error!("webhook what=\"the outbox is full: these changes are posted to nobody\" changes={changes}");
            return true;
        }
        false
    }

    fn row(part: &[Told]) -> MemoChange {
        MemoChange {
            kind: MemoKind::WebhookEvents,
            key: key_of(part.last().map_or(0, Told::id)),
            value: Some(serde_json::to_vec(part).expect("numbers and texts have a form in JSON")),
        }
    }
}

impl suppress::Tell for Outbox {
    fn wants(&self) -> bool {
        self.wants_any(|wants| wants.blocked)
    }

    fn turn(&self) -> &Mutex<()> {
        &self.turn
    }

    fn rows(&self, changes: Vec<ListChange>) -> Vec<MemoChange> {
        if self.is_full(changes.len()) {
            return Vec::new();
        }
        let now = self.clock.now();
        let number = |mut change: ListChange| {
            change.id = self.next(now);
            truncate(&mut change.entry.reason, REASON_MAX);
            Told::List(change)
        };
        let told: Vec<Told> = changes.into_iter().map(number).collect();
        told.chunks(ROW_CHANGES).map(Self::row).collect()
    }
}

impl told::Tell for Outbox {
    fn wants(&self) -> bool {
        self.wants_any(|wants| wants.domains)
    }

    fn turn(&self) -> &Mutex<()> {
        &self.turn
    }

    fn rows(&self, changes: Vec<DomainChange>) -> Vec<MemoChange> {
        if self.is_full(changes.len()) {
            return Vec::new();
        }
        let now = self.clock.now();
        let number = |mut change: DomainChange| {
            change.id = self.next(now);
            change.records.truncate(RECORDS_MAX);
            let texts = [&mut change.seen, &mut change.seen_ja, &mut change.fix, &mut change.fix_ja];
            texts.into_iter().chain(change.records.iter_mut()).for_each(|text| truncate(text, FINDING_MAX));
            Told::Domain(change)
        };
        let told: Vec<Told> = changes.into_iter().map(number).collect();
        told.chunks(ROW_DOMAIN_CHANGES).map(Self::row).collect()
    }
}

/// A row is named by the last number in it: what is behind a number is in rows of greater names.
fn key_of(number: u64) -> String {
    format!("{number:016x}")
}

fn number_of(key: &str) -> u64 {
    u64::from_str_radix(key, 16).unwrap_or(0)
}

fn truncate(text: &mut String, max: usize) {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

/// Up to `limit` changes behind `after`, in their order; true: there may be more. Blocking.
pub fn read(store: &Store, after: u64, limit: usize) -> Result<(Vec<Told>, bool), StoreError> {
    let mut out: Vec<Told> = Vec::new();
    let mut behind = key_of(after);
    loop {
        let rows = store.memos(MemoKind::WebhookEvents, "", Some(&behind), READ_ROWS)?;
        let Some((last, _)) = rows.last() else { return Ok((out, false)) };
        behind.clone_from(last);
        for (key, value) in &rows {
            match serde_json::from_slice::<Vec<Told>>(value) {
                Ok(changes) => out.extend(changes.into_iter().filter(|change| change.id() > after)),
                Err(error) => {
                    log::error!("webhook what=\"a row of the outbox is damaged\" row={key} error=\"{error}\"")
                }
            }
        }
        if out.len() >= limit {
            out.truncate(limit);
            return Ok((out, true));
        }
    }
}

/// Forgets rows that every endpoint has passed and that are old; `passed` is the place of the last one.
pub async fn prune(store: &Store, passed: u64, now: Timestamp) -> Result<(), StoreError> {
    let end = passed.min(number_at(now.minus(KEPT)));
    loop {
        let there = store.clone();
        let keys = smol::unblock(move || there.memo_keys(MemoKind::WebhookEvents, "", None, PRUNE_ROWS)).await?;
        let old: Vec<MemoChange> = keys
            .into_iter()
            .filter(|key| number_of(key) <= end)
            .map(|key| MemoChange { kind: MemoKind::WebhookEvents, key, value: None })
            .collect();
        if old.is_empty() {
            return Ok(());
        }
        store.put_memos(old).await?;
    }
}
