//! Days as bars: what passed, what failed, what failed on a detour; with our own log as a line, and the same as a table.
//!
//! Always: at most [`BARS_MAX`] bars, of several days each where a period is long; a period without our log has no such line.

use maud::Markup;

use super::Visit;
use crate::{
    dmarc::views::DayOut,
    http::chart::{Chart, Series},
};

/// Bars at most.
const BARS_MAX: usize = 60;

/// A day, or several.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Bar {
    from: String,
    to: String,
    passed: u64,
    forwarded: u64,
    failed: u64,
    delivered: Option<u64>,
}

impl Bar {
    fn of(days: &[DayOut]) -> Self {
        let sum = |of: fn(&DayOut) -> u64| days.iter().map(of).fold(0, u64::saturating_add);
        let known = days.iter().any(|day| day.relay_delivered.is_some());
        Bar {
            from: days.first().map_or_else(String::new, |day| day.day.clone()),
            to: days.last().map_or_else(String::new, |day| day.day.clone()),
            passed: sum(|day| day.tally.aligned),
            forwarded: sum(|day| day.tally.forwarded),
            failed: sum(|day| day.tally.spoofed.saturating_sub(day.tally.forwarded)),
            delivered: known.then(|| sum(|day| day.relay_delivered.unwrap_or(0))),
        }
    }

    fn name(&self) -> String {
        if self.from == self.to { self.from.clone() } else { format!("{} – {}", self.from, self.to) }
    }
}

fn bars(days: &[DayOut]) -> Vec<Bar> {
    let size = days.len().div_ceil(BARS_MAX).max(1);
    days.chunks(size).map(Bar::of).collect()
}

/// A day on the axis: without its year, which stands above, but where the period is long.
fn tick(day: &str, bars: usize) -> String {
    let short = day.get(5..).filter(|_| bars < BARS_MAX);
    short.unwrap_or(day).to_owned()
}

/// The chart with its table.
pub(super) fn days(visit: &Visit<'_>, days: &[DayOut]) -> Markup {
    let bars = bars(days);
    let series = |name, class, of: fn(&Bar) -> u64| Series { name, class, values: bars.iter().map(of).collect() };
    let is_known = bars.iter().any(|bar| bar.delivered.is_some());
    let ours = visit.say("Delivered by this relay, by our own log", "このリレーが配信した数（配信ログ）");
    Chart {
        label: visit.say(
            "Mails reported by day: passed, failed after forwarding, failed",
            "日別の報告メール数（合格・転送による不合格・不合格）",
        ),
        at: visit.say("Day (UTC)", "日付（UTC）"),
        table: visit.say("The numbers as a table", "数値を表で見る"),
        names: bars.iter().map(Bar::name).collect(),
        ticks: bars.iter().map(|bar| tick(&bar.from, bars.len())).collect(),
        end: "",
        bars: vec![
            series(visit.say("Passed", "合格"), "delivered", |bar| bar.passed),
            series(
                visit.say("Failed, forwarded as receivers say", "不合格（受信側によると転送）"),
                "deferred",
                |bar| bar.forwarded,
            ),
            series(visit.say("Failed", "不合格"), "failed", |bar| bar.failed),
        ],
        lines: is_known.then(|| series(ours, "accepted", |bar| bar.delivered.unwrap_or(0))).into_iter().collect(),
    }
    .draw()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bar: &Bar) -> u64 {
        bar.passed.saturating_add(bar.forwarded).saturating_add(bar.failed)
    }
    use crate::dmarc::row::Tally;

    fn day(n: u64, aligned: u64, spoofed: u64, forwarded: u64, delivered: Option<u64>) -> DayOut {
        DayOut {
            day: format!("2026-11-{n:02}"),
            domain: "example.jp".into(),
            reports: 1,
            tally: Tally { messages: aligned + spoofed, aligned, spoofed, forwarded, ..Tally::default() },
            relay_reported: 0,
            relay_delivered: delivered,
            relay_unaccounted: None,
        }
    }

    #[test]
    fn a_long_period_has_no_more_bars_and_loses_no_mail() {
        for count in [0usize, 1, 30, 60, 61, 365] {
            let days: Vec<DayOut> = (0..count).map(|n| day(n as u64 % 28 + 1, 3, 2, 1, Some(5))).collect();
            let bars = bars(&days);
            assert!(bars.len() <= BARS_MAX && (count == 0) == bars.is_empty(), "{count}");
            assert_eq!(bars.iter().map(all).sum::<u64>(), 5 * count as u64);
            assert_eq!(bars.iter().filter_map(|bar| bar.delivered).sum::<u64>(), 5 * count as u64);
        }
        let unknown = Bar::of(&[day(1, 1, 0, 0, None), day(2, 0, 0, 0, None)]);
        assert_eq!((unknown.delivered, unknown.name().as_str()), (None, "2026-11-01 – 2026-11-02"));
        let huge = Bar::of(&[day(1, u64::MAX / 2, 0, 0, None), day(2, u64::MAX / 2 + 9, 0, 0, None)]);
        assert_eq!(all(&huge), u64::MAX);
    }
}
