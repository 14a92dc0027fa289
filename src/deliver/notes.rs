//! What the deliverer notes for after a restart: when each delivery-speed rule last matched, and the warm-up counts.
//!
//! In: rules that matched, recipients that went.  Out: memos of the store.
//! Always: a rule's use is written at most once an hour; a note that cannot be written is kept and written later; only what
//! the configuration names is kept for long.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::counted::RuleUse;
use crate::{
    clock::Timestamp,
    store::{MemoChange, MemoKind, Memos},
};

/// How often notes are written.
pub(super) const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// How often the use of one rule is written.
const USE_WRITTEN_EVERY: Duration = Duration::from_secs(3600);
/// How long the use of a rule that is not configured any more is kept: somebody may bring it back.
const GONE_KEPT_FOR: Duration = Duration::from_secs(90 * 86_400);
/// Changes of one transaction.
const CHANGES_MAX: usize = 1_000;

/// Writes changes in transactions of bounded size; answers those that could not be written.
pub(super) async fn write(shelf: &dyn Memos, mut changes: Vec<MemoChange>) -> Result<(), Vec<MemoChange>> {
    while !changes.is_empty() {
        let rest = changes.split_off(changes.len().min(CHANGES_MAX));
        if let Err(error) = shelf.put_memos(changes.clone()).await {
            log::warn!("notes of the deliverer could not be written: {error}; they are kept");
            changes.extend(rest);
            return Err(changes);
        }
        changes = rest;
    }
    Ok(())
}

/// The uses of all rules.
#[derive(Default)]
pub(super) struct RuleUses(Mutex<HashMap<String, Watched>>);

#[derive(Clone, Copy)]
struct Watched {
    last: Option<Timestamp>,
    since: Timestamp,
    unwritten: bool,
    written_at: Option<Timestamp>,
    configured: bool,
}

impl RuleUses {
    /// What was known before a restart.
    pub(super) fn load(&self, memos: Vec<(String, Vec<u8>)>) {
        let mut uses = self.lock();
        for (name, value) in memos {
            let value: serde_json::Value = serde_json::from_slice(&value).unwrap_or_default();
            let at = |key: &str| value.get(key).and_then(serde_json::Value::as_u64).map(Timestamp::from_millis);
            let Some(since) = at("since") else { continue };
            let last = at("last");
            let written_at = Some(last.unwrap_or(since));
            uses.insert(name, Watched { last, since, unwritten: false, written_at, configured: false });
        }
    }

    /// These are the rules now; new ones are watched from now on.
    pub(super) fn configure<'r>(&self, names: impl Iterator<Item = &'r str>, now: Timestamp) {
        let mut uses = self.lock();
        uses.values_mut().for_each(|watched| watched.configured = false);
        for name in names {
            let new = Watched { last: None, since: now, unwritten: true, written_at: None, configured: true };
            uses.entry(name.to_owned()).or_insert(new).configured = true;
        }
    }

    /// A rule applied.
    pub(super) fn mark(&self, name: &str, now: Timestamp) {
        if let Some(watched) = self.lock().get_mut(name) {
            watched.last = Some(now);
            watched.unwritten = true;
        }
    }

    /// The use of one rule.
    pub(super) fn of(&self, name: &str) -> Option<RuleUse> {
        let watched = *self.lock().get(name)?;
        Some(RuleUse { rule: name.to_owned(), last: watched.last, since: watched.since })
    }

    /// What is to be written; `all`: what was written less than an hour ago, too.
    pub(super) fn changes(&self, now: Timestamp, all: bool) -> Vec<MemoChange> {
        let change = |name: &str, value| MemoChange { kind: MemoKind::RuleUse, key: name.to_owned(), value };
        let mut uses = self.lock();
        let mut changes = Vec::new();
        uses.retain(|name, watched| {
            let kept = watched.configured || now.since(watched.last.unwrap_or(watched.since)) < GONE_KEPT_FOR;
            if !kept {
                changes.push(change(name, None));
            }
            kept
        });
        for (name, watched) in uses.iter_mut().filter(|(_, watched)| watched.unwritten) {
            if all || watched.written_at.is_none_or(|at| now.since(at) >= USE_WRITTEN_EVERY) {
                watched.unwritten = false;
                watched.written_at = Some(now);
                let last = watched.last.map(Timestamp::as_millis);
                let value = serde_json::json!({ "last": last, "since": watched.since.as_millis() });
                changes.push(change(name, Some(value.to_string().into_bytes())));
            }
        }
        changes
    }

    /// They could not be written.
    pub(super) fn write_again(&self, changes: &[MemoChange]) {
        let mut uses = self.lock();
        for change in changes {
            if let Some(watched) = uses.get_mut(&change.key) {
                (watched.unwritten, watched.written_at) = (true, None);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: u64) -> Timestamp {
        Timestamp::from_millis(hours * 3_600_000)
    }

    fn rows(changes: &[MemoChange]) -> Vec<(String, Vec<u8>)> {
        changes.iter().filter_map(|c| c.value.clone().map(|v| (c.key.clone(), v))).collect()
    }

    #[test]
    fn a_rules_last_use_is_known_after_a_restart_and_written_once_an_hour() {
        let uses = RuleUses::default();
        uses.configure(["a", "b"].into_iter(), at(1));
        assert_eq!(uses.changes(at(1), false).len(), 2, "both are new");
        uses.mark("a", at(2));
        uses.mark("unknown", at(2));
        let written = uses.changes(at(2), false);
        assert_eq!(written.len(), 1);
        uses.mark("a", at(2).plus(Duration::from_secs(60)));
        assert!(uses.changes(at(2).plus(Duration::from_secs(61)), false).is_empty(), "not twice within an hour");
        assert_eq!(uses.changes(at(2).plus(Duration::from_secs(62)), true).len(), 1, "but at the stop");

        let restarted = RuleUses::default();
        restarted.load(rows(&written));
        restarted.load(vec![("broken".into(), b"?".to_vec())]);
        restarted.configure(["a", "c"].into_iter(), at(9));
        assert_eq!(restarted.of("a"), Some(RuleUse { rule: "a".into(), last: Some(at(2)), since: at(1) }));
        assert_eq!(restarted.of("c"), Some(RuleUse { rule: "c".into(), last: None, since: at(9) }));
        assert_eq!(restarted.of("broken"), None);
    }

    #[test]
    fn what_is_configured_no_more_is_forgotten_after_a_while() {
        let uses = RuleUses::default();
        uses.configure(["a"].into_iter(), at(0));
        uses.changes(at(0), false);
        uses.configure([].into_iter(), at(1));
        assert!(uses.changes(at(24), false).is_empty());
        let gone = uses.changes(at(91 * 24), false);
        assert_eq!((gone.len(), &gone[0].value), (1, &None));
        assert_eq!(uses.of("a"), None);
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let uses = RuleUses::default();
        uses.configure(["a"].into_iter(), at(0));
        let lost = uses.changes(at(0), false);
        uses.write_again(&lost);
        assert_eq!(uses.changes(at(0), false), lost);
    }
}
