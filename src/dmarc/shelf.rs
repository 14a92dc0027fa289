//! What is kept, read again: views of a domain, its reports, its failures, the domains that there are; and forgetting the old.
//!
//! In: a domain and a span of days.  Out: a [`View`], pages of reports.
//! Always: only the days that are asked for are read; rows count only where their report is known and names their group; the
//! number of reports and rows looked at is bounded, and a view says when it was cut; nothing older than the retention is shown.
//! Blocking.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use serde::de::DeserializeOwned;
use smol::block_on;

use super::{
    keep::{Keeper, Memory, forget, oldest_day},
    row::{self, KeptFailure, KeptReport, day_of_key, domain_of_key, reversed},
    views::{Asked, View},
};
use crate::{
    clock::Timestamp,
    lookup::is_below,
    store::{MemoKind, StoreError},
    when::day_name,
};

/// Reports that one view looks at.
pub const REPORTS_MAX: usize = 200_000;
/// Rows that one view looks at: some seconds of a core.
pub const ROWS_MAX: u64 = 5_000_000;
/// Domains with reports that are listed, and looked at below a domain.
pub const DOMAINS_MAX: usize = 10_000;
/// Reports read at once; each has about a kilobyte.
const REPORTS_PAGE: usize = 500;
/// Pieces read at once; each may have 256 KiB, and has some 20 KiB.
const PIECES_PAGE: usize = 16;
/// Memos that one round of forgetting takes; the next goes on.
pub const FORGET_A_ROUND: usize = 20_000;
/// Memos forgotten at once.
const FORGET_PAGE: usize = 500;

/// A page of reports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    /// Keys and what is behind them.
    pub rows: Vec<(String, T)>,
    /// The key to go on behind; `None`: this was the last.
    pub next: Option<String>,
}

/// What is kept of a report: aggregate or failure.
pub trait Kept: DeserializeOwned {
    /// The memos that hold it.
    const KIND: MemoKind;
}

impl Kept for KeptReport {
    const KIND: MemoKind = MemoKind::DmarcReports;
}

impl Kept for KeptFailure {
    const KIND: MemoKind = MemoKind::DmarcFailures;
}

/// What is known of a report while its rows are read.
#[derive(Clone, Copy)]
struct Slim {
    reporter: u32,
    pieces: u32,
    counts: bool,
}

impl<M: Memory> Keeper<M> {
    /// What the reports of a domain and of names below it add up to. `ours`: the addresses that our mail comes from.
    ///
    /// # Errors
    /// The store's.
    pub fn view(&self, asked: Asked, ours: HashSet<IpAddr>) -> Result<View, StoreError> {
        let now = self.clock.now();
        let from = asked.from.max(oldest_day(&self.config.get(), now));
        let (to, domain) = (asked.to, asked.domain.clone());
        let mut view = View::new(Asked { from, ..asked }, ours);
        let (mut reports, mut rows) = (0, 0);
        for stored in self.domains_about(&domain)? {
            let slim = self.add_reports(&mut view, &stored, (from, to), &mut reports)?;
            if !slim.is_empty() {
                self.add_rows(&mut view, &stored, (from, to), &slim, &mut rows)?;
            }
        }
        Ok(view)
    }

    /// The same of the domain's own reports alone, without their rows: sums by day, and who reports.
    ///
    /// # Errors
    /// The store's.
    pub fn summary(&self, asked: Asked) -> Result<View, StoreError> {
        let from = asked.from.max(oldest_day(&self.config.get(), self.clock.now()));
        let (to, domain) = (asked.to, asked.domain.clone());
        let mut view = View::new(Asked { from, ..asked }, HashSet::new());
        let mut looked_at = 0;
        self.each_memo(MemoKind::DmarcReports, &domain, (from, to), REPORTS_PAGE, &mut |key, value| {
            if let (Some(day), Ok(report)) = (day_of_key(key), serde_json::from_slice::<KeptReport>(value)) {
                view.add_summary(day, &report);
            }
            looked_at += 1;
            view.is_cut = looked_at >= REPORTS_MAX;
            !view.is_cut
        })?;
        Ok(view)
    }

    /// The domains whose reports may speak of this one: itself, those below it, and those above it, whose policy it inherits.
    fn domains_about(&self, domain: &str) -> Result<Vec<String>, StoreError> {
        let mut all = vec![domain.to_owned()];
        let below = format!("{}.", reversed(domain));
        all.extend(self.domains_with(&below)?);
        let mut rest = domain;
        while let Some((_, parent)) = rest.split_once('.') {
            if parent.contains('.') {
                all.push(parent.to_owned());
            }
            rest = parent;
        }
        Ok(all)
    }

    /// Every domain that there are reports about, at most [`DOMAINS_MAX`].
    ///
    /// # Errors
    /// The store's.
    pub fn domains(&self) -> Result<Vec<String>, StoreError> {
        self.domains_with("")
    }

    fn domains_with(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        while all.len() < DOMAINS_MAX {
            let found = self.memory.memos(MemoKind::DmarcReports, prefix, after.as_deref(), 1)?;
            let Some((key, _)) = found.first() else { break };
            after = Some(behind_domain(key));
            all.extend(domain_of_key(key));
        }
        Ok(all)
    }

    /// Adds a domain's reports; answers what their rows need, by group.
    fn add_reports(
        &self,
        view: &mut View,
        stored: &str,
        (from, to): (u32, u32),
        looked_at: &mut usize,
    ) -> Result<HashMap<String, Slim>, StoreError> {
        let mut slim = HashMap::new();
        let is_within = is_below(stored, &view.asked.domain);
        let kind = MemoKind::DmarcReports;
        self.each_memo(kind, stored, (from, to), REPORTS_PAGE, &mut |key, value| {
            if *looked_at >= REPORTS_MAX {
                view.is_cut = true;
                return false;
            }
            *looked_at += 1;
            let (Some(day), Ok(report)) = (day_of_key(key), serde_json::from_slice::<KeptReport>(value)) else {
                view.unread += 1;
                return true;
            };
            let counts = view.counts(report.mark);
            // A report about a domain above is one of ours only if a row of it is.
            if is_within {
                view.add_report(day, &report);
            } else {
                view.add_inherited_policy(&report);
            }
            let reporter = view.number_of(&report.organization);
            slim.insert(report.group, Slim { reporter, pieces: report.pieces, counts });
            true
        })?;
        Ok(slim)
    }

    fn add_rows(
        &self,
        view: &mut View,
        stored: &str,
        (from, to): (u32, u32),
        reports: &HashMap<String, Slim>,
        looked_at: &mut u64,
    ) -> Result<(), StoreError> {
        let kind = MemoKind::DmarcRecords;
        let is_within = is_below(stored, &view.asked.domain);
        let mut last_group = String::new();
        self.each_memo(kind, stored, (from, to), PIECES_PAGE, &mut |key, value| {
            let (Some(day), Some((group, piece))) = (day_of_key(key), row::group_of_key(key)) else {
                view.unread += 1;
                return true;
            };
            // Without its report it was left by a crash, and nobody knows what it is worth.
            let Some(report) = reports.get(group).filter(|r| r.counts && piece < r.pieces) else { return true };
            let mut read = 0;
            let unread = row::each_row(value, &mut |row| {
                read += 1;
                if !view.has(stored, &row) {
                    return;
                }
                view.add_row(day, stored, report.reporter, &row);
                if !is_within {
                    // The pieces of a report stand side by side.
                    view.add_inherited(day, report.reporter, last_group != group, &row);
                    if last_group != group {
                        group.clone_into(&mut last_group);
                    }
                }
            });
            view.unread += unread;
            *looked_at += read;
            view.is_cut |= *looked_at >= ROWS_MAX;
            *looked_at < ROWS_MAX
        })
    }

    /// Memos of a domain and span of days, in their order, until `each` says no.
    fn each_memo(
        &self,
        kind: MemoKind,
        domain: &str,
        (from, to): (u32, u32),
        page: usize,
        each: &mut dyn FnMut(&str, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let prefix = format!("{}/", reversed(domain));
        let mut after = format!("{prefix}{}", day_name(from));
        // Names of days sort as the days do.
        let end = format!("{prefix}{}", day_name(to.saturating_add(1)));
        loop {
            let rows = self.memory.memos(kind, &prefix, Some(&after), page)?;
            let is_last = rows.len() < page;
            for (key, value) in &rows {
                if key.as_str() >= end.as_str() || !each(key, value) {
                    return Ok(());
                }
            }
            match rows.into_iter().next_back() {
                Some((key, _)) if !is_last => after = key,
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// Reports of a kind about a domain, those of the newest day first, behind `after`; at most `limit`.
    ///
    /// # Errors
    /// The store's.
    pub fn newest<T: Kept>(
        &self,
        domain: &str,
        (from, to): (u32, u32),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<T>, StoreError> {
        let prefix = format!("{}/", reversed(domain));
        let cursor = after.filter(|key| key.starts_with(&prefix)).and_then(|key| Some((day_of_key(key)?, key)));
        let first = cursor.map_or(to, |(day, _)| day.min(to));
        let mut page = Page { rows: Vec::new(), next: None };
        for day in (from..=first).rev() {
            let mut within = cursor.filter(|(of, _)| *of == day).map(|(_, key)| key.to_owned());
            loop {
                let some = self.page::<T>(domain, (day, day), within.as_deref(), limit - page.rows.len() + 1)?;
                page.rows.extend(some.rows);
                within = some.next;
                if page.rows.len() > limit {
                    // One more than asked for: there is a page behind this one.
                    page.rows.truncate(limit);
                    page.next = page.rows.last().map(|(key, _)| key.clone());
                    return Ok(page);
                }
                if within.is_none() {
                    break;
                }
            }
        }
        Ok(page)
    }

    /// Reports of a kind about a domain, by day, behind `after`; at most `limit`.
    ///
    /// # Errors
    /// The store's.
    pub fn page<T: Kept>(
        &self,
        domain: &str,
        (from, to): (u32, u32),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<T>, StoreError> {
        let prefix = format!("{}/", reversed(domain));
        let first = format!("{prefix}{}", day_name(from.max(oldest_day(&self.config.get(), self.clock.now()))));
        let end = format!("{prefix}{}", day_name(to.saturating_add(1)));
        let after = after.filter(|after| *after > first.as_str()).unwrap_or(&first);
        let mut rows = self.memory.memos(T::KIND, &prefix, Some(after), limit)?;
        let was_whole = rows.len() == limit;
        rows.retain(|(key, _)| key.as_str() < end.as_str());
        let next = (was_whole && rows.len() == limit).then(|| rows.last().map(|(key, _)| key.clone())).flatten();
        let read = |(key, value): (String, Vec<u8>)| Some((key, serde_json::from_slice(&value).ok()?));
        Ok(Page { rows: rows.into_iter().filter_map(read).collect(), next })
    }

    /// Forgets what is older than the retention, so many memos at most; true: there may be more.
    ///
    /// # Errors
    /// The store's.
    pub fn forget_old(&self, now: Timestamp) -> Result<bool, StoreError> {
        let oldest = oldest_day(&self.config.get(), now);
        let mut room = FORGET_A_ROUND;
        for kind in [MemoKind::DmarcRecords, MemoKind::DmarcReports, MemoKind::DmarcFailures] {
            let mut after: Option<String> = None;
            loop {
                let first = self.memory.memo_keys(kind, "", after.as_deref(), 1)?;
                let Some(first) = first.first() else { break };
                let domain_end = behind_domain(first);
                // The domain's days stand in their order: behind the first that is kept, all are.
                let is_old = |key: &str| key < domain_end.as_str() && day_of_key(key).is_none_or(|day| day < oldest);
                if !is_old(first) {
                    after = Some(domain_end);
                    continue;
                }
                let keys = self.memory.memo_keys(kind, "", after.as_deref(), FORGET_PAGE)?;
                let read = keys.len();
                let old: Vec<String> = keys.into_iter().take_while(|key| is_old(key)).collect();
                let all_old = old.len() == read;
                after = if all_old { old.last().cloned() } else { Some(domain_end) };
                room = room.saturating_sub(old.len());
                block_on(self.memory.put_memos(old.into_iter().map(|key| forget(kind, key)).collect()))?;
                if room == 0 {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// Behind every key of this key's domain, before those of the next.
fn behind_domain(key: &str) -> String {
    // `0` follows `/`.
    format!("{}0", key.split('/').next().unwrap_or(key))
}
