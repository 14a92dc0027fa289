//! What the delivery-speed rules were, and when one was loosened: kept, so that a refusal of today finds the change of last week.
//!
//! In: the configuration, at start and at reload.  Out: memos of kind RuleChanges; [`changes`] reads them.
//! Always: what is compared is what was in force last, over restarts, too; kept [`KEPT_FOR`], the newest [`CHANGES_MAX`]; the first
//! start only remembers. `now/NAME` holds a rule as it is, `c/TIME/NUMBER` a change.
//! Sources: PRODUCT.md R10.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    config::Delivery,
    store::{MEMO_KEY_MAX, MemoChange, MemoKind, Memos, StoreError},
};

/// How long a change is kept.
pub const KEPT_FOR: Duration = Duration::from_secs(90 * 86_400);
/// Changes that are kept; of more, the oldest go.
pub const CHANGES_MAX: usize = 5_000;
/// Rules that are compared; the rest of a longer list is not watched.
pub const RULES_MAX: usize = 10_000;
/// Patterns of a rule that are remembered, to know later whom it was for.
const PATTERNS_MAX: usize = 200;
/// Octets of a rule's patterns that are remembered, of each kind.
const PATTERN_OCTETS_MAX: usize = 8 * 1024;
/// Memos of one transaction: of the largest, some 4 MiB.
const CHANGES_A_CALL_MAX: usize = 60;
/// Octets of a rule's name in a key.
const NAME_OCTETS_MAX: usize = 400;

/// The name of the general limits in changes: no rule is called so, for it is no name of the config file.
pub const GENERAL: &str = "[delivery]";
const NOW: &str = "now/";
const CHANGE: &str = "c/";
/// The memo that says that rules were remembered at all.
const BEGAN: &str = "began";

/// The speed of a rule.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Speed {
    /// Connections at once; `None`: the general limit.
    pub connections_max: Option<usize>,
    /// Least time between two messages, in milliseconds.
    pub interval_millis: u64,
    /// The speed stays when the destination pushes back.
    pub fixed: bool,
    /// Patterns on addresses.
    pub recipients: Vec<String>,
    /// Patterns on MX hosts.
    pub mx_hosts: Vec<String>,
}

/// Which way a change went.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// More may go than before.
    Loosened,
    /// Less may go.
    Tightened,
    /// Both, or whom the rule is for.
    Changed,
}

impl Way {
    /// The word in rows.
    pub fn word(self) -> &'static str {
        match self {
            Way::Loosened => "loosened",
            Way::Tightened => "tightened",
            Way::Changed => "changed",
        }
    }
}

/// A change of a rule, or of the general limits ([`GENERAL`]).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RuleChange {
    /// When it came into force, in milliseconds since 1970.
    pub at_millis: u64,
    /// The rule.
    pub rule: String,
    /// Which way.
    pub way: Way,
    /// What it was; `None`: there was no such rule.
    pub before: Option<Speed>,
    /// What it became; `None`: it was removed.
    pub after: Option<Speed>,
    /// `connections_per_destination` before and after: what a rule without a limit of its own had.
    pub general: (usize, usize),
}

impl RuleChange {
    /// When it came into force.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.at_millis)
    }
}

/// The rules of a configuration.
fn rules_of(delivery: &Delivery) -> BTreeMap<String, Speed> {
    let texts = |list: &[regex::Regex]| {
        let mut left = PATTERN_OCTETS_MAX;
        let fits = |text: &&str| {
            let fits = text.len() <= left;
            left = left.saturating_sub(text.len());
            fits
        };
        list.iter().take(PATTERNS_MAX).map(regex::Regex::as_str).take_while(fits).map(str::to_owned).collect()
    };
    let rule = |rule: &crate::config::Rule| {
        let speed = Speed {
            connections_max: rule.connections_max,
            interval_millis: u64::try_from(rule.interval.as_millis()).unwrap_or(u64::MAX),
            fixed: rule.fixed,
            recipients: texts(&rule.recipients),
            mx_hosts: texts(&rule.mx_hosts),
        };
        (name_of(&rule.name), speed)
    };
    let general = Speed { connections_max: Some(delivery.connections_per_destination), ..Speed::default() };
    let mut rules: BTreeMap<String, Speed> = delivery.rules.iter().take(RULES_MAX).map(rule).collect();
    rules.insert(GENERAL.to_owned(), general);
    rules
}

fn name_of(name: &str) -> String {
    name[..name.floor_char_boundary(NAME_OCTETS_MAX)].to_owned()
}

/// What a change of a rule means for how much may go; `None`: nothing of it changed.
fn way(before: Option<&Speed>, after: Option<&Speed>, general: (usize, usize)) -> Option<Way> {
    // Without a rule the general limit applies, and no interval.
    let none = Speed::default();
    let limits = |speed: &Speed, general: usize| speed.connections_max.unwrap_or(general);
    let (b, a) = (before.unwrap_or(&none), after.unwrap_or(&none));
    let (was, is) = (limits(b, general.0), limits(a, general.1));
    let looser = is > was || a.interval_millis < b.interval_millis || (a.fixed && !b.fixed);
    let tighter = is < was || a.interval_millis > b.interval_millis || (!a.fixed && b.fixed);
    let moved = before.is_some() != after.is_some() || a.recipients != b.recipients || a.mx_hosts != b.mx_hosts;
    match (looser, tighter) {
        (true, false) => Some(Way::Loosened),
        (false, true) => Some(Way::Tightened),
        (true, true) => Some(Way::Changed),
        (false, false) => moved.then_some(Way::Changed),
    }
}

/// Compares the configuration with what was in force last and keeps what changed. Called at start, before mail leaves, and after
/// each reload. Answers what changed.
///
/// # Errors
/// The store's; then nothing, or a part, is remembered, and the next call finds the rest.
pub async fn note(memos: &dyn Memos, delivery: &Delivery, now: Timestamp) -> Result<Vec<RuleChange>, StoreError> {
    let is = rules_of(delivery);
    let known = memos.memos(MemoKind::RuleChanges, NOW, None, RULES_MAX + 1)?;
    let was: BTreeMap<String, Speed> = known
        .into_iter()
        .filter_map(|(key, json)| Some((key.strip_prefix(NOW)?.to_owned(), serde_json::from_slice(&json).ok()?)))
        .collect();
    let is_first = memos.memo(MemoKind::RuleChanges, BEGAN)?.is_none();
    let limit = |rules: &BTreeMap<String, Speed>| rules.get(GENERAL).and_then(|g| g.connections_max).unwrap_or(0);
    let general = (if was.is_empty() { limit(&is) } else { limit(&was) }, limit(&is));
    let mut found = Vec::new();
    let mut changes = Vec::new();
    let put = |key: String, value: Option<Vec<u8>>| MemoChange { kind: MemoKind::RuleChanges, key, value };
    let names: std::collections::BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    for name in names {
        let (before, after) = (was.get(name), is.get(name));
        if before == after {
            continue;
        }
        let known_now = put(format!("{NOW}{name}"), after.map(json));
        // A rule whose own numbers did not change moves with the general limit, which is told once, by its own name.
        let Some(way) = way(before, after, general).filter(|_| !is_first) else {
            changes.push(known_now);
            continue;
        };
        let change = RuleChange {
            at_millis: now.as_millis(),
            rule: name.clone(),
            way,
            before: before.cloned(),
            after: after.cloned(),
            general,
        };
        // First: where a write between the two fails, the change is told twice rather than never.
        changes.push(put(format!("{CHANGE}{:015}/{:05}", now.as_millis(), found.len()), Some(json(&change))));
        changes.push(known_now);
        found.push(change);
    }
    if is_first {
        changes.push(put(BEGAN.to_owned(), Some(now.rfc3339().into_bytes())));
    }
    changes.extend(too_old(memos, found.len(), now)?.into_iter().map(|key| put(key, None)));
    debug_assert!(changes.iter().all(|change| change.key.len() <= MEMO_KEY_MAX), "names are bounded");
    while !changes.is_empty() {
        let rest = changes.split_off(changes.len().min(CHANGES_A_CALL_MAX));
        memos.put_memos(changes).await?;
        changes = rest;
    }
    Ok(found)
}

/// Keys of changes that are past their time, or too many beside `more` new ones.
fn too_old(memos: &dyn Memos, more: usize, now: Timestamp) -> Result<Vec<String>, StoreError> {
    let oldest = format!("{CHANGE}{:015}", now.minus(KEPT_FOR).as_millis());
    let keys = memos.memo_keys(MemoKind::RuleChanges, CHANGE, None, 2 * (CHANGES_MAX + RULES_MAX))?;
    let over = (keys.len() + more).saturating_sub(CHANGES_MAX);
    Ok(keys.into_iter().enumerate().filter(|(n, key)| *n < over || *key < oldest).map(|(_, key)| key).collect())
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("numbers and texts have a form in JSON")
}

/// The changes since a moment, oldest first; at most [`CHANGES_MAX`]. Blocking, short.
///
/// # Errors
/// The store's.
pub fn changes(memos: &dyn Memos, since: Timestamp) -> Result<Vec<RuleChange>, StoreError> {
    let after = format!("{CHANGE}{:015}", since.as_millis());
    let rows = memos.memos(MemoKind::RuleChanges, CHANGE, Some(&after), CHANGES_MAX)?;
    Ok(rows.into_iter().filter_map(|(_, value)| serde_json::from_slice(&value).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Rule, deliver::shelf::RamShelf};

    fn at(days: u64) -> Timestamp {
        Timestamp::from_millis(days * 86_400_000)
    }

    fn rule(name: &str, connections: Option<usize>, millis: u64, fixed: bool) -> Rule {
        Rule {
            name: name.into(),
            connections_max: connections,
            interval: Duration::from_millis(millis),
            fixed,
            mx_hosts: vec![regex::Regex::new("docomo").unwrap()],
            ..Rule::default()
        }
    }

    fn told(shelf: &RamShelf, rules: Vec<Rule>, general: usize, day: u64) -> Vec<(String, Way)> {
        let delivery = Delivery { rules, connections_per_destination: general, ..Delivery::default() };
        let found = smol::block_on(note(shelf, &delivery, at(day))).unwrap();
        found.into_iter().map(|change| (change.rule, change.way)).collect()
    }

    #[test]
    fn a_change_is_told_with_its_way_and_what_did_not_change_is_not() {
        let shelf = RamShelf::default();
        assert!(told(&shelf, vec![rule("a", Some(2), 500, false), rule("b", None, 0, false)], 20, 1).is_empty());
        assert!(told(&shelf, vec![rule("a", Some(2), 500, false), rule("b", None, 0, false)], 20, 2).is_empty());
        let one = |name: &str, way| vec![(name.to_owned(), way)];
        for (day, rules, general, want) in [
            (3, vec![rule("a", Some(8), 500, false), rule("b", None, 0, false)], 20, one("a", Way::Loosened)),
            (4, vec![rule("a", Some(8), 0, false), rule("b", None, 0, false)], 20, one("a", Way::Loosened)),
            (5, vec![rule("a", Some(4), 0, false), rule("b", None, 0, false)], 20, one("a", Way::Tightened)),
            (6, vec![rule("a", Some(9), 100, false), rule("b", None, 0, false)], 20, one("a", Way::Changed)),
            (7, vec![rule("a", Some(9), 100, true), rule("b", None, 0, false)], 20, one("a", Way::Loosened)),
            // No rule any more: the general limit applies, and no interval.
            (8, vec![rule("b", None, 0, false)], 20, one("a", Way::Changed)),
            (9, vec![rule("b", None, 0, false), rule("c", Some(3), 0, false)], 20, one("c", Way::Tightened)),
            (10, vec![rule("b", None, 0, false)], 20, one("c", Way::Loosened)),
            (11, vec![rule("b", None, 0, false)], 40, one(GENERAL, Way::Loosened)),
            (12, vec![rule("b", Some(40), 0, false)], 40, Vec::new()),
        ] {
            assert_eq!(told(&shelf, rules, general, day), want, "day {day}");
        }
        let all = changes(&shelf, at(5)).unwrap();
        assert_eq!(all.len(), 7);
        let first = &all[0];
        assert_eq!((first.at(), first.rule.as_str(), first.way), (at(5), "a", Way::Tightened));
        let limits = |speed: &Option<Speed>| speed.as_ref().and_then(|s| s.connections_max);
        assert_eq!((limits(&first.before), limits(&first.after), first.general), (Some(8), Some(4), (20, 20)));
        assert_eq!((all[6].rule.as_str(), limits(&all[6].after)), (GENERAL, Some(40)));
        assert_eq!(all[3].before.as_ref().map(|s| s.mx_hosts.clone()), Some(vec!["docomo".to_owned()]));
    }

    #[test]
    fn changes_go_after_their_time_and_stay_bounded() {
        let shelf = RamShelf::default();
        told(&shelf, Vec::new(), 20, 1);
        told(&shelf, Vec::new(), 30, 2);
        told(&shelf, Vec::new(), 20, 3);
        assert_eq!(changes(&shelf, at(0)).unwrap().len(), 2);
        told(&shelf, Vec::new(), 20, 93);
        assert_eq!(changes(&shelf, at(0)).unwrap().len(), 1, "ninety days");
        let many: Vec<Rule> = (0..CHANGES_MAX + 5).map(|n| rule(&format!("r{n}"), Some(1), 0, false)).collect();
        told(&shelf, many, 20, 94);
        assert!(changes(&shelf, at(0)).unwrap().len() <= CHANGES_MAX + 5);
        told(&shelf, Vec::new(), 20, 95);
        told(&shelf, Vec::new(), 20, 96);
        assert_eq!(changes(&shelf, at(0)).unwrap().len(), CHANGES_MAX);
        assert!(2 * (CHANGES_MAX + RULES_MAX) + RULES_MAX < MemoKind::RuleChanges.max());
    }

    #[test]
    fn a_store_that_fails_loses_no_change() {
        let shelf = RamShelf::default();
        told(&shelf, Vec::new(), 20, 1);
        shelf.fail(true);
        let delivery = Delivery { connections_per_destination: 50, ..Delivery::default() };
        assert!(smol::block_on(note(&shelf, &delivery, at(2))).is_err());
        shelf.fail(false);
        let found = smol::block_on(note(&shelf, &delivery, at(3))).unwrap();
        assert_eq!((found.len(), found[0].way), (1, Way::Loosened));
    }
}
