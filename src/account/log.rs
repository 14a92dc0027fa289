//! The login log: who logged in, from where, by which door, and what came of it.
//!
//! In: every login as it is decided.  Out: entries of the audit log, written by [`LoginLog::due`]'s caller.
//! Always: a login waits for no write; the first of equal logins is told at once and the rest together, at most once a minute
//! with their count; memory and rows are bounded, whatever strangers try, and no address blinds the log for others: of names that
//! nobody has, an address is told by some, then by itself; failures of accounts that exist are told by name, whoever else fails;
//! what is over a bound is told as a number; a password is never seen here.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{guard, rights::reorders};
use crate::{clock::Timestamp, store::AuditEntry};

/// Equal logins are told together after this time.
const TOGETHER: Duration = Duration::from_secs(60);
/// Kinds of logins of accounts that exist, counted at once; some 200 bytes each.
const KINDS_MAX: usize = 5000;
/// Of these, failures of one account: the rest is told by its name and as one number.
const FAILURES_OF_ONE_MAX: usize = 50;
/// Kinds of failures with names that nobody has, counted at once: guessers fill no disk in the ninety days that entries are kept.
const STRANGERS_MAX: usize = 120;
/// Of these, from one source as [`guard::key`] has it: an address that tries many names does not hide those of others.
const STRANGERS_OF_ONE_MAX: usize = 10;
/// Sources that are told without the names that they try, beside those.
const SOURCES_MAX: usize = 240;
/// Letters of a name as it was tried at most.
const NAME_MAX: usize = 64;
/// The act of these entries.
pub(super) const LOGIN: &str = "login";
/// Who tried or from where, when they are too many to be named.
const MANY: &str = "(many)";

/// What came of a login.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Outcome {
    Success,
    Wrong,
    /// Wrong, and the one that locked the account.
    Locking,
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
            Outcome::Wrong | Outcome::Locking => "wrong",
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

/// A login as it was decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried<'a> {
    /// The account's name, or what was tried in its place.
    pub name: &'a str,
    /// There is such an account.
    pub is_known: bool,
    /// From where.
    pub source: IpAddr,
    /// By which door.
    pub door: &'static str,
    /// What came of it.
    pub outcome: Outcome,
}

type Kinds = HashMap<Kind, Count>;

#[derive(Debug, Default)]
struct State {
    /// Logins of accounts that exist.
    known: Kinds,
    /// Failures with names that nobody has.
    strangers: Kinds,
    /// Failures of a source that tries many such names, or is not listened to.
    sources: Kinds,
    /// What is over a bound: by the account where there is one, and without a source.
    rest: Kinds,
    /// Told, and not fetched yet.
    ready: Vec<AuditEntry>,
}

impl LoginLog {
    /// Notes a login.
    pub fn note(&self, tried: Tried<'_>, at: Timestamp, now: Instant) {
        let Tried { name, is_known, source, door, outcome } = tried;
        let name: String = name.chars().filter(|c| !c.is_control() && !reorders(*c)).take(NAME_MAX).collect();
        let kind = |name: &str, source: Option<IpAddr>| Kind { name: name.to_owned(), source, door, outcome };
        let whole = kind(&name, Some(source.to_canonical()));
        let network = guard::key(source);
        let State { known, strangers, sources, rest, ready } = &mut *self.lock();
        let ready_has_room = ready.len() < KINDS_MAX;
        let mut told = |kinds: &mut Kinds, kind: Kind, has_room: &dyn Fn(&Kinds) -> bool| {
            if let Some(count) = kinds.get_mut(&kind) {
                count.logins += 1;
                return true;
            }
            if !ready_has_room || !has_room(kinds) {
                return false;
            }
            ready.push(entry(&kind, 1, at));
            kinds.insert(kind, Count { since: now, logins: 0 });
            true
        };
        let is_told = if is_known {
            told(known, whole, &|known| {
                let failures = || known.keys().filter(|kind| kind.is_failure_of(&name)).count();
                known.len() < KINDS_MAX && (outcome == Outcome::Success || failures() < FAILURES_OF_ONE_MAX)
            })
        } else {
            // Of a source that is not listened to nobody knows whether the names mean anything.
            let by_name = outcome != Outcome::Busy
                && told(strangers, whole, &|strangers| {
                    let of_one = strangers.keys().filter(|kind| kind.source.map(guard::key) == Some(network)).count();
                    strangers.len() < STRANGERS_MAX && of_one < STRANGERS_OF_ONE_MAX
                });
            by_name || told(sources, kind(MANY, Some(network)), &|sources| sources.len() < SOURCES_MAX)
        };
        if !is_told {
            let gathered = kind(if is_known { &name } else { MANY }, None);
            rest.entry(gathered).or_insert(Count { since: now, logins: 0 }).logins += 1;
        }
    }

    /// The entries whose time has come; `all`: those that still gather, too, before a stop.
    pub fn due(&self, all: bool, at: Timestamp, now: Instant) -> Vec<AuditEntry> {
        let mut state = self.lock();
        let State { known, strangers, sources, rest, ready } = &mut *state;
        for kinds in [known, strangers, sources, rest] {
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
        }
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

impl Kind {
    fn is_failure_of(&self, name: &str) -> bool {
        self.name == name && self.outcome != Outcome::Success
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
        /// Names with a digit are nobody's.
        fn note(&self, name: &str, n: u32, outcome: Outcome) {
            let is_known = !name.contains(|c: char| c.is_ascii_digit());
            let tried = Tried { name, is_known, source: ip(n), door: "smtp", outcome };
            self.log.note(tried, self.clock.now(), self.clock.instant());
        }

        fn kinds(&self) -> usize {
            let state = self.log.lock();
            [&state.known, &state.strangers, &state.sources, &state.rest].map(|kinds| kinds.len()).iter().sum()
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
        assert_eq!(rig.kinds(), 0, "what is over is forgotten");
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
        rig.note("shop", 2, Outcome::Wrong);
        let told = rig.due(false);
        assert_eq!(told.len(), STRANGERS_MAX + SOURCES_MAX + 2);
        assert_eq!(told[told.len() - 2..], ["shop 10.0.0.1 login smtp success", "shop 10.0.0.2 login smtp wrong"]);
        rig.clock.advance(TOGETHER);
        let rest = 200_000 - STRANGERS_MAX - SOURCES_MAX;
        assert_eq!(rig.due(false), [format!("(many) (many) login smtp wrong ×{rest}")]);
        for n in 0..(KINDS_MAX as u32 * 2) {
            rig.note("crm", n, Outcome::Success);
        }
        assert!(rig.kinds() <= KINDS_MAX + 2);
        assert!(rig.due(true).iter().any(|entry| entry.starts_with("crm (many) login smtp success ×")));
    }

    #[test]
    fn one_address_hides_nobody_elses_failures() {
        let rig = rig();
        for n in 0..5_000 {
            rig.note(&format!("guess{n}"), 1, Outcome::Wrong);
            rig.note(&format!("busy{n}"), 1, Outcome::Busy);
        }
        rig.note("other1", 2, Outcome::Wrong);
        rig.note("shop", 3, Outcome::Wrong);
        rig.note("shop", 1, Outcome::Busy);
        let told = rig.due(false);
        assert_eq!(told.len(), STRANGERS_OF_ONE_MAX + 2 + 3, "{told:?}");
        for line in [
            "(many) 10.0.0.1 login smtp wrong",
            "(many) 10.0.0.1 login smtp busy",
            "other1 10.0.0.2 login smtp wrong",
            "shop 10.0.0.3 login smtp wrong",
            "shop 10.0.0.1 login smtp busy",
        ] {
            assert!(told.iter().any(|entry| entry == line), "{line}: {told:?}");
        }
        assert!(!told.iter().any(|entry| entry.starts_with("busy")), "a busy source is told without its names");
        rig.clock.advance(TOGETHER);
        let later = rig.due(false);
        assert!(later.contains(&"(many) 10.0.0.1 login smtp wrong ×4989".to_owned()), "{later:?}");
    }

    #[test]
    fn who_guesses_at_one_account_from_everywhere_is_told_by_the_account() {
        let rig = rig();
        for n in 0..100_000 {
            rig.note("admin", n, Outcome::Wrong);
        }
        rig.note("shop", 1, Outcome::Wrong);
        let told = rig.due(true);
        let named = told.iter().filter(|entry| entry.starts_with("admin 10.")).count();
        assert_eq!(named, FAILURES_OF_ONE_MAX);
        assert!(
            told.contains(&format!("admin (many) login smtp wrong ×{}", 100_000 - FAILURES_OF_ONE_MAX)),
            "{told:?}"
        );
        assert!(told.contains(&"shop 10.0.0.1 login smtp wrong".to_owned()));
    }

    #[test]
    fn a_name_is_bounded_and_on_one_line_and_nothing_is_lost_when_the_store_is_away() {
        let rig = rig();
        rig.note(&format!("a\r\nb\u{202e}{}", "x".repeat(1000)), 1, Outcome::Busy);
        let entries = rig.log.due(false, rig.clock.now(), rig.clock.instant());
        assert_eq!(entries[0].who.len(), NAME_MAX);
        assert!(entries[0].who.starts_with("abx"));
        rig.note("later", 1, Outcome::Success);
        rig.log.give_back(entries);
        let again = rig.due(false);
        assert!(again[0].ends_with("busy") && again[1].starts_with("later"), "{again:?}");
    }
}
