//! The login log: who logged in, from where, by which door, and what came of it.
//!
//! In: every login as it is decided.  Out: entries of the audit log, written by [`LoginLog::due`]'s caller.
//! Always: a login waits for no write; the first of equal logins is told at once and the rest together, at most once a minute
//! with their count; memory and rows are bounded, whatever strangers try: what is over a bound is told as one number;
//! a password is never seen here.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{clock::Timestamp, store::AuditEntry};

/// Equal logins are told together after this time.
const TOGETHER: Duration = Duration::from_secs(60);
/// Kinds of logins that are counted at once; some 200 bytes each.
const KINDS_MAX: usize = 5000;
/// Entries about failed logins in a minute: guessers fill no disk in the ninety days that entries are kept.
const REFUSALS_A_MINUTE_MAX: u32 = 120;
/// Letters of a name as it was tried at most.
const NAME_MAX: usize = 64;
/// The act of these entries.
pub(super) const LOGIN: &str = "login";
/// Who tried, when they are too many to be named.
const MANY: &str = "(many)";

/// What came of a login.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Outcome {
    Success,
    Wrong,
    Locked,
    NotAllowed,
    Expired,
    Busy,
    Totp,
}

impl Outcome {
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Wrong => "wrong",
            Outcome::Locked => "locked",
            Outcome::NotAllowed => "not-allowed",
            Outcome::Expired => "expired",
            Outcome::Busy => "busy",
            Outcome::Totp => "totp",
        }
    }
}

/// Logins that are equal.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Kind {
    name: String,
    source: Option<IpAddr>,
    door: &'static str,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    /// When the last entry was told, or counting began.
    since: Instant,
    /// Logins since then.
    logins: u64,
}

/// Logins that are not written yet.
#[derive(Debug, Default)]
pub(super) struct LoginLog(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    kinds: HashMap<Kind, Count>,
    /// Told, and not fetched yet.
    ready: Vec<AuditEntry>,
    /// The minute in which entries about failed logins are counted, and how many there were.
    minute: Option<(Instant, u32)>,
}

impl LoginLog {
    /// Notes a login.
    pub fn note(&self, name: &str, source: IpAddr, door: &'static str, outcome: Outcome, at: Timestamp, now: Instant) {
        let name = name.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect();
        let kind = Kind { name, source: Some(source.to_canonical()), door, outcome };
        let mut state = self.lock();
        if let Some(count) = state.kinds.get_mut(&kind) {
            count.logins += 1;
            return;
        }
        if state.has_room(outcome, now) {
            state.kinds.insert(kind.clone(), Count { since: now, logins: 0 });
            state.ready.push(entry(&kind, 1, at));
            return;
        }
        let many = Kind { name: MANY.to_owned(), source: None, ..kind };
        state.kinds.entry(many).or_insert(Count { since: now, logins: 0 }).logins += 1;
    }

    /// The entries whose time has come; `all`: those that still gather, too, before a stop.
    pub fn due(&self, all: bool, at: Timestamp, now: Instant) -> Vec<AuditEntry> {
        let mut state = self.lock();
        let State { kinds, ready, .. } = &mut *state;
        kinds.retain(|kind, count| {
            if !all && now.saturating_duration_since(count.since) < TOGETHER {
                return true;
            }
            if count.logins == 0 {
                // Nobody came for a minute: the next one is a first one again.
                return false;
            }
            ready.push(entry(kind, count.logins, at));
            *count = Count { since: now, logins: 0 };
            true
        });
        std::mem::take(ready)
    }

    /// Entries that could not be written come first the next time, unless there are too many by now.
    pub fn give_back(&self, entries: Vec<AuditEntry>) {
        let mut state = self.lock();
        let newer = std::mem::replace(&mut state.ready, entries);
        state.ready.extend(newer);
        state.ready.truncate(KINDS_MAX * 2);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Another kind may be told by itself.
    fn has_room(&mut self, outcome: Outcome, now: Instant) -> bool {
        if self.kinds.len() >= KINDS_MAX || self.ready.len() >= KINDS_MAX {
            return false;
        }
        if outcome == Outcome::Success {
            return true;
        }
        let (began, told) =
            self.minute.filter(|(began, _)| now.saturating_duration_since(*began) < TOGETHER).unwrap_or((now, 0));
        self.minute = Some((began, told.saturating_add(1)));
        told < REFUSALS_A_MINUTE_MAX
    }
}

fn entry(kind: &Kind, logins: u64, at: Timestamp) -> AuditEntry {
    let word = kind.outcome.word();
    AuditEntry {
        at,
        who: kind.name.clone(),
        from: kind.source.map_or_else(|| MANY.to_owned(), |source| source.to_string()),
        act: LOGIN.to_owned(),
        object: kind.door.to_owned(),
        detail: if logins == 1 { word.to_owned() } else { format!("{word} ×{logins}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn ip(n: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + n).into())
    }

    struct Rig {
        clock: Clock,
        log: LoginLog,
    }

    impl Rig {
        fn note(&self, name: &str, n: u32, outcome: Outcome) {
            self.log.note(name, ip(n), "smtp", outcome, self.clock.now(), self.clock.instant());
        }

        fn due(&self, all: bool) -> Vec<String> {
            let entries = self.log.due(all, self.clock.now(), self.clock.instant());
            entries.iter().map(|e| format!("{} {} {} {} {}", e.who, e.from, e.act, e.object, e.detail)).collect()
        }
    }

    fn rig() -> Rig {
        Rig { clock: Clock::manual(Timestamp::from_millis(1)), log: LoginLog::default() }
    }

    #[test]
    fn the_first_is_told_at_once_and_equal_ones_once_a_minute_with_their_count() {
        let rig = rig();
        for _ in 0..500 {
            rig.note("shop", 1, Outcome::Success);
        }
        rig.note("shop", 1, Outcome::Wrong);
        rig.note("shop", 2, Outcome::Success);
        assert_eq!(
            rig.due(false),
            ["shop 10.0.0.1 login smtp success", "shop 10.0.0.1 login smtp wrong", "shop 10.0.0.2 login smtp success"]
        );
        assert!(rig.due(false).is_empty());
        rig.clock.advance(TOGETHER);
        assert_eq!(rig.due(false), ["shop 10.0.0.1 login smtp success ×499"]);
        rig.note("shop", 1, Outcome::Success);
        assert!(rig.due(false).is_empty(), "a minute has not passed since the last entry");
        assert_eq!(rig.due(true), ["shop 10.0.0.1 login smtp success"], "a stop loses none");
        rig.clock.advance(TOGETHER);
        assert!(rig.due(false).is_empty());
        assert!(rig.log.lock().kinds.is_empty(), "what is over is forgotten");
        rig.note("shop", 1, Outcome::Success);
        assert_eq!(rig.due(false).len(), 1, "and told at once again");
    }

    #[test]
    fn strangers_fill_neither_memory_nor_disk_and_users_are_still_told() {
        let rig = rig();
        for n in 0..200_000 {
            rig.note(&format!("guess{n}"), n, Outcome::Wrong);
        }
        rig.note("shop", 1, Outcome::Success);
        let told = rig.due(false);
        assert_eq!(told.len(), REFUSALS_A_MINUTE_MAX as usize + 1);
        assert_eq!(told.last().unwrap(), "shop 10.0.0.1 login smtp success");
        rig.clock.advance(TOGETHER);
        assert_eq!(rig.due(false), [format!("(many) (many) login smtp wrong ×{}", 200_000 - REFUSALS_A_MINUTE_MAX)]);
        for n in 0..(KINDS_MAX as u32 * 2) {
            rig.note(&format!("user{n}"), n, Outcome::Success);
        }
        assert!(rig.log.lock().kinds.len() <= KINDS_MAX + 2);
        assert!(rig.due(true).iter().any(|entry| entry.starts_with("(many) (many) login smtp success ×")));
    }

    #[test]
    fn a_name_is_bounded_and_on_one_line_and_nothing_is_lost_when_the_store_is_away() {
        let rig = rig();
        rig.note(&format!("a\r\nb{}", "x".repeat(1000)), 1, Outcome::Busy);
        let entries = rig.log.due(false, rig.clock.now(), rig.clock.instant());
        assert_eq!(entries[0].who.len(), NAME_MAX);
        assert!(entries[0].who.starts_with("abx"));
        rig.note("later", 1, Outcome::Success);
        rig.log.give_back(entries);
        let again = rig.due(false);
        assert!(again[0].ends_with("busy") && again[1].starts_with("later"), "{again:?}");
    }
}
