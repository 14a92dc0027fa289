//! The delivery graph: what was accepted and what became of it, in the buckets of a span, of all mail or of one API user's.
//!
//! In: a span, an API user.  Out: [`Graph`]: its buckets with their sums, the sums in all and by user, and the chart of them.
//! Always: one pass over the counts, whatever the span; counted in recipients, deferred ones by tries; what bounced after it was
//! delivered is not failed a second time (R11, R14).

use std::collections::BTreeMap;

use maud::Markup;

use super::span::{Bucket, Span, Step};
use crate::{
    clock::Timestamp,
    http::{
        chart::{Chart, Series},
        console::Visit,
        daemon::Daemon,
        day_sums::Day,
        when::Zone,
    },
    store::{QuarterCounts, StoreError},
};

/// Users that are summed apart at most; the rest is counted together with mail of nobody.
const USERS_MAX: usize = 100;

/// The graph's numbers.
pub struct Graph {
    /// The buckets.
    pub buckets: Vec<Bucket>,
    /// Their sums.
    pub sums: Vec<QuarterCounts>,
    /// Of all of them.
    pub total: QuarterCounts,
    /// By API user; the empty name is mail without one.
    pub by_user: BTreeMap<String, QuarterCounts>,
    /// The counts know only what was accepted, deferred, delivered, failed and blocked.
    pub is_short: bool,
}

/// Since when there are counts by minute: of one user, or of all mail.
///
/// # Errors
/// The store's.
pub fn minutes_from(daemon: &dyn Daemon, user: Option<&str>) -> Result<Timestamp, StoreError> {
    let by_user = daemon.minutes_by_user_from()?;
    let logs = daemon.now().minus(daemon.about().retention.delivery_log);
    Ok(if user.is_some() { by_user } else { by_user.min(logs) })
}

impl Graph {
    /// Reads a span's counts; `user`: of this one only.
    ///
    /// # Errors
    /// The store's.
    pub fn of(daemon: &dyn Daemon, span: &Span, zone: &Zone, user: Option<&str>) -> Result<Self, StoreError> {
        let buckets = span.buckets(zone);
        let mut graph = Graph {
            sums: vec![QuarterCounts::default(); buckets.len()],
            buckets,
            total: QuarterCounts::default(),
            by_user: BTreeMap::new(),
            is_short: false,
        };
        let (from, to) = (span.from, span.to);
        if span.step == Step::Day {
            graph.take_days(daemon, to, user)?;
        } else if !span.step.is_fine() {
            daemon.each_count(from, to, user, &mut |row| graph.take(&row, true))?;
        } else if user.is_some() || from >= daemon.minutes_by_user_from()? {
            daemon.each_minute_count(from, to, user, &mut |row| graph.take(&row, true))?;
        } else {
            graph.is_short = true;
            for minute in daemon.minutes(from, to)? {
                let row = QuarterCounts {
                    start: minute.minute,
                    queued: minute.queued,
                    deferred: minute.deferred,
                    succeeded: minute.succeeded,
                    failed: minute.failed,
                    blocked: minute.blocked,
                    ..QuarterCounts::default()
                };
                graph.take(&row, false);
            }
        }
        Ok(graph)
    }

    /// Whole days, but for the one that `to` cuts.
    fn take_days(&mut self, daemon: &dyn Daemon, to: Timestamp, user: Option<&str>) -> Result<(), StoreError> {
        let starts: Vec<Timestamp> = self.buckets.iter().map(|bucket| bucket.start).collect();
        let ends = starts.iter().skip(1).copied().chain([to]);
        let days: Vec<Day> = starts.iter().copied().zip(ends).collect();
        for (start, sums) in starts.into_iter().zip(daemon.day_sums().read(daemon, &days)?) {
            for (name, counts) in sums.iter().filter(|(name, _)| user.is_none_or(|user| user == name)) {
                self.take(&QuarterCounts { start, user: name.clone(), ..counts.clone() }, true);
            }
        }
        Ok(())
    }

    fn take(&mut self, row: &QuarterCounts, has_user: bool) {
        let behind = self.buckets.partition_point(|bucket| bucket.start <= row.start);
        // A quarter that the beginning cuts is the first bucket's.
        let Some(sum) = self.sums.get_mut(behind.saturating_sub(1)) else { return };
        sum.add(row);
        self.total.add(row);
        if has_user {
            let name =
                if self.by_user.len() < USERS_MAX || self.by_user.contains_key(&row.user) { &row.user } else { "" };
            match self.by_user.get_mut(name) {
                Some(known) => known.add(row),
                None => self.by_user.entry(name.to_owned()).or_default().add(row),
            }
        }
    }

    /// Nothing happened in it.
    pub fn is_empty(&self) -> bool {
        let t = &self.total;
        t.queued + t.deferred + t.succeeded + t.failed + t.blocked + t.dropped + t.bounced + t.complained == 0
    }

    /// The picture with its table.
    pub fn chart(&self, visit: &Visit<'_>, span: &Span) -> Markup {
        let values = |of: fn(&QuarterCounts) -> u64| self.sums.iter().map(of).collect::<Vec<u64>>();
        let series = |name, class, of| Series { name, class, values: values(of) };
        let mut bars = vec![
            series(visit.say("Delivered", "配信済み"), "delivered", |c| c.succeeded),
            series(visit.say("Deferred", "再送待ち"), "deferred", |c| c.deferred),
            series(visit.say("Failed", "失敗"), "failed", |c| c.failed),
        ];
        if self.total.blocked > 0 {
            bars.push(series(visit.say("Blocked", "配信停止"), "blocked", |c| c.blocked));
        }
        let step = span.step.words(visit);
        let label =
            if visit.lang.japanese { format!("{step}ごとの宛先数") } else { format!("Recipients each {step}") };
        Chart {
            label: &label,
            at: visit.say("Time", "時刻"),
            table: visit.say("The numbers as a table", "数値を表で見る"),
            names: self.buckets.iter().map(|b| b.name.clone()).collect(),
            ticks: self.buckets.iter().map(|b| b.tick.clone()).collect(),
            end: if span.is_live { visit.say("now", "現在") } else { "" },
            bars,
            lines: vec![series(visit.say("Accepted", "受付"), "accepted", |c| c.queued)],
        }
        .draw()
    }
}
