//! Warming up new source addresses: how much may go by each of them today, and how much went.
//!
//! In: `warm_up_from` of a source, `[delivery.warm_up]`, what was handed over.  Out: what is left today.
//!
//! The day is counted in UTC from `warm_up_from`; the schedule says how many recipients a provider may get that day by that
//! address; after its last day the address is warm. A *provider* is the delivery-speed rule that applies, by its name; without
//! one it is what the best MX host's name ends in: two labels, three where the last two are only a country's branch
//! (`co.jp`). Before its first day an address gets nothing.
//!
//! Always: what is counted is bounded, and survives a restart (memos of the store, written every few seconds: a crash lets
//! a few seconds' worth too many go out, never too few for long).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use super::counted::WarmUpState;
use crate::{
    config::Source,
    store::{MemoChange, MemoKind},
};

/// Pairs of address and provider that are counted on one day; what comes beyond is let go uncounted.
const COUNTS_MAX: usize = 50_000;
/// Rows of the status page.
const SHOWN_MAX: usize = 1_000;
/// Second-level names below a country that are branches, not owners.
const BRANCHES: [&str; 16] =
    ["ac", "ad", "co", "com", "ed", "edu", "go", "gob", "gov", "gr", "lg", "ne", "net", "nom", "or", "org"];

/// The counts of the day.
#[derive(Default)]
pub(super) struct WarmUps(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    day: u32,
    sent: HashMap<(IpAddr, Arc<str>), Count>,
    /// Memos of days that are over.
    over: Vec<String>,
}

#[derive(Clone, Copy, Default)]
struct Count {
    sent: u64,
    unwritten: bool,
}

/// Recipients a provider that an address may get today; `None`: it is warm.
pub(super) fn cap_today(source: &Source, schedule: &[u64], today: u32) -> Option<u64> {
    let from = source.warm_up_from?;
    match today.checked_sub(from) {
        None => Some(0),
        Some(day) => schedule.get(usize::try_from(day).unwrap_or(usize::MAX)).copied(),
    }
}

/// Who stands behind a site: the rule, else the end of its best MX host's name.
pub(super) fn provider(rule: Option<&str>, host: &str) -> Arc<str> {
    if let Some(rule) = rule {
        return rule.into();
    }
    let mut labels: Vec<&str> = host.rsplit('.').take(3).collect();
    let branch = |labels: &[&str]| labels[0].len() == 2 && BRANCHES.contains(&labels[1]);
    // An address literal or `host:port` is its own provider.
    if host.starts_with('[') || host.contains(':') || labels.len() < 2 {
        return host.into();
    }
    if labels.len() == 3 && !branch(&labels) {
        labels.pop();
    }
    labels.reverse();
    labels.join(".").into()
}

impl WarmUps {
    /// What was counted today, before a restart.
    pub(super) fn load(&self, memos: Vec<(String, Vec<u8>)>, today: u32) {
        let mut counts = self.lock();
        counts.day = today;
        for (key, value) in memos {
            match read(&key, &value) {
                Some((day, source, provider, sent)) if day == today && counts.sent.len() < COUNTS_MAX => {
                    counts.sent.insert((source, provider), Count { sent, unwritten: false });
                }
                Some(_) | None => counts.over.push(key),
            }
        }
    }

    /// What is left of a cap.
    pub(super) fn left(&self, source: IpAddr, provider: &Arc<str>, cap: u64, today: u32) -> u64 {
        cap.saturating_sub(self.today(today).sent.get(&(source, provider.clone())).map_or(0, |count| count.sent))
    }

    /// Counts recipients that are about to go, unless that would be over the cap (`None`: there is none).
    pub(super) fn take(&self, source: IpAddr, provider: &Arc<str>, n: u64, cap: Option<u64>, today: u32) -> bool {
        let mut counts = self.today(today);
        let key = (source, provider.clone());
        let full = counts.sent.len() >= COUNTS_MAX;
        let sent = counts.sent.get(&key).map_or(0, |count| count.sent);
        if cap.is_some_and(|cap| sent.saturating_add(n) > cap) {
            return false;
        }
        if !full || counts.sent.contains_key(&key) {
            counts.sent.insert(key, Count { sent: sent.saturating_add(n), unwritten: true });
        }
        true
    }

    /// Recipients that did not go after all.
    pub(super) fn give_back(&self, source: IpAddr, provider: &Arc<str>, n: u64, today: u32) {
        if let Some(count) = self.today(today).sent.get_mut(&(source, provider.clone())) {
            *count = Count { sent: count.sent.saturating_sub(n), unwritten: true };
        }
    }

    /// What is to be written since the last time.
    pub(super) fn changes(&self, today: u32) -> Vec<MemoChange> {
        let mut counts = self.today(today);
        let day = counts.day;
        let change = |key, value| MemoChange { kind: MemoKind::WarmUp, key, value };
        let mut changes: Vec<MemoChange> =
            std::mem::take(&mut counts.over).into_iter().map(|key| change(key, None)).collect();
        for ((source, provider), count) in counts.sent.iter_mut().filter(|(_, count)| count.unwritten) {
            count.unwritten = false;
            let value = serde_json::json!({ "sent": count.sent });
            changes.push(change(memo_key(day, *source, provider), Some(value.to_string().into_bytes())));
        }
        changes
    }

    /// They could not be written.
    pub(super) fn write_again(&self, changes: Vec<MemoChange>) {
        let mut counts = self.lock();
        counts.sent.values_mut().for_each(|count| count.unwritten = true);
        counts.over.extend(changes.into_iter().filter(|c| c.value.is_none()).map(|c| c.key));
    }

    /// What each of these addresses sent today, most first.
    pub(super) fn states<'s>(
        &self,
        sources: impl Iterator<Item = &'s Source>,
        schedule: &[u64],
        today: u32,
    ) -> Vec<WarmUpState> {
        let counts = self.today(today);
        let mut out = Vec::new();
        for source in sources {
            let Some(cap) = cap_today(source, schedule, today) else { continue };
            let day = source.warm_up_from.map_or(0, |from| (today + 1).saturating_sub(from));
            let days = u32::try_from(schedule.len()).unwrap_or(u32::MAX);
            let state = |provider: &str, sent| WarmUpState {
                source: source.address,
                provider: provider.to_owned(),
                day,
                days,
                sent,
                cap,
            };
            let before = out.len();
            let own = counts.sent.iter().filter(|((address, _), _)| *address == source.address);
            out.extend(own.map(|((_, provider), count)| state(provider, count.sent)));
            if out.len() == before {
                out.push(state("", 0));
            }
        }
        out.sort_by(|a, b| (b.sent, a.source, &a.provider).cmp(&(a.sent, b.source, &b.provider)));
        out.truncate(SHOWN_MAX);
        out
    }

    /// The counts, begun anew at midnight.
    fn today(&self, today: u32) -> std::sync::MutexGuard<'_, Counts> {
        let mut counts = self.lock();
        if counts.day != today {
            let day = counts.day;
            let old = std::mem::take(&mut counts.sent);
            counts.over.extend(old.into_keys().map(|(source, provider)| memo_key(day, source, &provider)));
            counts.day = today;
        }
        counts
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn memo_key(day: u32, source: IpAddr, provider: &str) -> String {
    format!("{day}/{source}/{provider}")
}

fn read(key: &str, value: &[u8]) -> Option<(u32, IpAddr, Arc<str>, u64)> {
    let mut parts = key.splitn(3, '/');
    let day = parts.next()?.parse().ok()?;
    let source = parts.next()?.parse().ok()?;
    let provider = parts.next()?.into();
    let value: serde_json::Value = serde_json::from_slice(value).ok()?;
    Some((day, source, provider, value.get("sent")?.as_u64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn google() -> Arc<str> {
        "google.com".into()
    }

    #[test]
    fn the_schedule_is_read_by_the_day() {
        let source = |from| Source { address: SOURCE, warm_up_from: from, ..Source::default() };
        for (from, today, want) in [
            (None, 100, None),
            (Some(100), 99, Some(0)),
            (Some(100), 100, Some(50)),
            (Some(100), 101, Some(200)),
            (Some(100), 102, None),
        ] {
            assert_eq!(cap_today(&source(from), &[50, 200], today), want, "{from:?} {today}");
        }
    }

    #[test]
    fn a_provider_is_the_rule_or_the_end_of_the_host() {
        for (rule, host, want) in [
            (Some("gmail"), "aspmx.l.google.com", "gmail"),
            (None, "aspmx.l.google.com", "google.com"),
            (None, "example-jp.mail.protection.outlook.com", "outlook.com"),
            (None, "mx.mail.example.co.jp", "example.co.jp"),
            (None, "mx.docomo.ne.jp", "docomo.ne.jp"),
            (None, "mx1.example.jp", "example.jp"),
            (None, "example.jp", "example.jp"),
            (None, "localhost", "localhost"),
            (None, "[192.0.2.1]", "[192.0.2.1]"),
            (None, "smart.example.jp:25", "smart.example.jp:25"),
        ] {
            assert_eq!(&*provider(rule, host), want, "{host}");
        }
    }

    #[test]
    fn no_more_than_the_cap_goes_on_a_day_and_a_restart_forgets_nothing() {
        let counts = WarmUps::default();
        assert!(counts.take(SOURCE, &google(), 40, Some(50), 7));
        assert!(!counts.take(SOURCE, &google(), 11, Some(50), 7));
        assert!(counts.take(SOURCE, &google(), 11, None, 7), "without a cap it is only counted");
        counts.give_back(SOURCE, &google(), 6, 7);
        assert_eq!(counts.left(SOURCE, &google(), 50, 7), 5);
        let written = counts.changes(7);
        assert_eq!(written.len(), 1);
        assert!(counts.changes(7).is_empty(), "written once");

        let restarted = WarmUps::default();
        let memos = |changes: &[MemoChange]| {
            changes.iter().filter_map(|c| c.value.clone().map(|v| (c.key.clone(), v))).collect::<Vec<_>>()
        };
        restarted.load(memos(&written), 7);
        assert_eq!(restarted.left(SOURCE, &google(), 50, 7), 5);
        // The next day begins at zero, and yesterday's memo is forgotten.
        assert_eq!(restarted.left(SOURCE, &google(), 50, 8), 50);
        let gone = restarted.changes(8);
        assert_eq!((gone.len(), &gone[0].value), (1, &None));
        assert_eq!(gone[0].key, written[0].key);
        restarted.write_again(gone);
        assert_eq!(restarted.changes(8).len(), 1, "what was not written is written later");
        // A memo that says nothing readable goes, too.
        restarted.load(vec![("rubbish".into(), b"{}".to_vec())], 8);
        assert_eq!(restarted.changes(8)[0].key, "rubbish");
    }

    #[test]
    fn the_status_shows_each_warming_address() {
        let counts = WarmUps::default();
        let warming = Source { address: SOURCE, warm_up_from: Some(10), ..Source::default() };
        let warm = Source { address: IpAddr::from([192, 0, 2, 2]), ..Source::default() };
        let sources = [warming, warm];
        let shown = counts.states(sources.iter(), &[50, 100], 11);
        let nothing = WarmUpState { source: SOURCE, provider: String::new(), day: 2, days: 2, sent: 0, cap: 100 };
        assert_eq!(shown, std::slice::from_ref(&nothing));
        counts.take(SOURCE, &google(), 3, None, 11);
        counts.take(SOURCE, &"outlook.com".into(), 9, None, 11);
        let shown = counts.states(sources.iter(), &[50, 100], 11);
        let row = |provider: &str, sent| WarmUpState { provider: provider.into(), sent, ..nothing.clone() };
        assert_eq!(shown, [row("outlook.com", 9), row("google.com", 3)]);
        assert!(counts.states(sources.iter(), &[50, 100], 12).is_empty(), "after the schedule it is warm");
    }

    #[test]
    fn what_is_counted_is_bounded() {
        let counts = WarmUps::default();
        for n in 0..COUNTS_MAX + 10 {
            assert!(counts.take(SOURCE, &format!("p{n}").into(), 1, Some(5), 7));
        }
        assert_eq!(counts.lock().sent.len(), COUNTS_MAX);
    }
}
