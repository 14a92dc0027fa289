//! Changes of the suppression list on their way to those endpoints that want `blocked`: the log of deliveries has none of them.
//!
//! In: changes, as the room of the list makes them.  Out: rows written in the transaction of the change; changes behind a number.
//! Always: while an endpoint wants them no change is lost; numbers grow in the order of the commits; a row is kept until every
//! endpoint has passed it, and for a week at least, so that it can be replayed; the rows are bounded: beyond
//! `ROWS_MAX` changes are dropped with an error in the journal, never a change of the list itself.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

pub use crate::suppress::told::{ListAct, ListChange};
use crate::{
    clock::{Clock, Timestamp},
    config::InForce,
    store::{MemoChange, MemoKind, Store, StoreError},
    suppress::{TOLD_ROWS_MAX, Tell},
};

use super::place::number_at;

/// Rows at most, each with up to [`ROW_CHANGES`] changes.
const ROWS_MAX: u64 = 100_000;
/// Changes in one row.
const ROW_CHANGES: usize = 100;
/// Octets of a reason that are kept with a change, so that a row fits.
const REASON_MAX: usize = 200;
/// Rows that one read brings.
const READ_ROWS: usize = 50;
/// Rows that one step of the pruning forgets.
const PRUNE_ROWS: usize = 500;
/// How long rows are kept at least.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// The outbox's writing end.
pub struct Outbox {
    store: Store,
    clock: Clock,
    config: InForce,
    last: AtomicU64,
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
            let rows = store.memos(MemoKind::WebhookEvents, "", after.as_deref(), READ_ROWS)?;
            let Some((key, _)) = rows.last() else { break };
            last = last.max(number_of(key));
            after = Some(key.clone());
        }
        Ok(Arc::new(Outbox { store, clock, config, last: AtomicU64::new(last) }))
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

impl Tell for Outbox {
    fn wants(&self) -> bool {
        self.config.get().webhooks.iter().any(|hook| super::payload::Wants::of(hook).blocked)
    }

    fn rows(&self, mut changes: Vec<ListChange>) -> Vec<MemoChange> {
        let full = self.store.memo_count(MemoKind::WebhookEvents).is_ok_and(|n| n >= ROWS_MAX);
        if full || changes.len() > ROW_CHANGES * TOLD_ROWS_MAX {
            log::error!(
                "webhook what=\"the outbox of the suppression list is full: these changes are posted to nobody\" changes={}",
                changes.len()
            );
            return Vec::new();
        }
        let now = self.clock.now();
        for change in &mut changes {
            change.id = self.next(now);
            truncate(&mut change.entry.reason, REASON_MAX);
        }
        let row = |part: &[ListChange]| MemoChange {
            kind: MemoKind::WebhookEvents,
            key: key_of(part.last().map_or(0, |change| change.id)),
            value: Some(serde_json::to_vec(part).expect("numbers and texts have a form in JSON")),
        };
        changes.chunks(ROW_CHANGES).map(row).collect()
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
pub fn read(store: &Store, after: u64, limit: usize) -> Result<(Vec<ListChange>, bool), StoreError> {
    let mut out: Vec<ListChange> = Vec::new();
    let mut behind = key_of(after);
    loop {
        let rows = store.memos(MemoKind::WebhookEvents, "", Some(&behind), READ_ROWS)?;
        let Some((last, _)) = rows.last() else { return Ok((out, false)) };
        behind.clone_from(last);
        for (key, value) in &rows {
            match serde_json::from_slice::<Vec<ListChange>>(value) {
                Ok(changes) => out.extend(changes.into_iter().filter(|change| change.id > after)),
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
        let rows = smol::unblock(move || there.memos(MemoKind::WebhookEvents, "", None, PRUNE_ROWS)).await?;
        let old: Vec<MemoChange> = rows
            .into_iter()
            .filter(|(key, _)| number_of(key) <= end)
            .map(|(key, _)| MemoChange { kind: MemoKind::WebhookEvents, key, value: None })
            .collect();
        if old.is_empty() {
            return Ok(());
        }
        store.put_memos(old).await?;
    }
}
