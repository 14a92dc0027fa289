//! How many addresses a question to the list finds, and what an act on an incident would do, before it is done.
//!
//! In: a question or an incident's id, how long to look.  Out: counts, and the first addresses by name.
//! Always: nothing is changed; a count that ran out of time says so and is a lower bound; what is counted is what the act itself
//! would find.
//! Sources: PRODUCT.md R4, R7.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Suppressions,
    incidents::{self, BrakeIncident, HeldError, Undo, brake_incident, domain_of, held_page},
    list::{ListQuery, Listed, cursor_key, cursor_of, row_of},
    row::{Cause, History, key_of, read_history, split_key},
    rules::decide,
};
use crate::store::{MemoKind, Page, Patience, StoreError};

/// Addresses that a preview names.
pub const NAMED_MAX: usize = 100;
/// Rows that one read brings.
const READ_ROWS: usize = 500;

/// How many rows a question finds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Count {
    /// In all.
    pub rows: u64,
    /// By cause; exempt addresses that are not on the list have none.
    pub causes: BTreeMap<Cause, u64>,
    /// Every row was looked at; false: the time was over, and there may be more.
    pub is_whole: bool,
}

/// What the undo of an incident would do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UndoPreview {
    /// The incident, as the operation log names it.
    pub words: String,
    /// Addresses that would come off the list.
    pub lifts: u64,
    /// The first [`NAMED_MAX`] of them.
    pub named: Vec<Listed>,
    /// Addresses that are not on the list, and whose errors of that time would no longer count.
    pub forgets: u64,
    /// Every row was looked at; false: the time was over, and there may be more.
    pub is_whole: bool,
}

/// What the end of a held place would do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HoldPreview {
    /// The held place.
    pub incident: BrakeIncident,
    /// Addresses that a release would put on the list.
    pub suppresses: u64,
    /// Held errors that were looked at.
    pub looked: u64,
    /// Every one was looked at; false: the time was over, and there may be more.
    pub is_whole: bool,
}

impl Suppressions {
    /// Counts what a question finds, for `within` a time at most. Blocking.
    ///
    /// # Errors
    /// The store's.
    pub fn count(&self, query: &ListQuery, within: Option<Duration>) -> Result<Count, StoreError> {
        let mut count = Count::default();
        count.is_whole = self.each_row(query, within, &mut |row| {
            count.rows += 1;
            if let Some(entry) = row.entry {
                *count.causes.entry(entry.cause).or_default() += 1;
            }
        })?;
        Ok(count)
    }

    /// Every row of the list that a question finds, until the time is over: then false.
    fn each_row(
        &self,
        query: &ListQuery,
        within: Option<Duration>,
        each: &mut dyn FnMut(Listed),
    ) -> Result<bool, StoreError> {
        let clock = &self.0.clock;
        let end = within.and_then(|within| clock.instant().checked_add(within));
        let mut page = Page { rows_max: READ_ROWS, within, ..Page::default() };
        loop {
            let found = self.list(query, &page)?;
            found.rows.into_iter().for_each(&mut *each);
            let Some(cursor) = found.next else { return Ok(true) };
            page.cursor = Some(cursor);
            if let Some(end) = end {
                let left = end.saturating_duration_since(clock.instant());
                if left.is_zero() {
                    return Ok(false);
                }
                page.within = Some(left);
            }
        }
    }

    /// What [`Suppressions::undo_incident`] would do. `None`: there is no such incident. Blocking.
    ///
    /// # Errors
    /// The store's.
    pub fn undo_preview(&self, id: &str, within: Option<Duration>) -> Result<Option<UndoPreview>, StoreError> {
        let Some(undo) = incidents::undoes(&*self.0.memory, id)? else { return Ok(None) };
        let clock = &self.0.clock;
        let end = within.and_then(|within| clock.instant().checked_add(within));
        let mut preview = UndoPreview { words: undo.words(), ..UndoPreview::default() };
        let query = ListQuery { incident: id.to_owned(), ..ListQuery::default() };
        preview.is_whole = self.each_row(&query, within, &mut |row| {
            preview.lifts += 1;
            if preview.named.len() < NAMED_MAX {
                preview.named.push(row);
            }
        })?;
        if let Undo::Brake(incident) = &undo {
            let left = end.map(|end| end.saturating_duration_since(clock.instant()));
            preview.is_whole &= self.forgettable(incident, left, &mut preview.forgets)?;
        }
        Ok(Some(preview))
    }

    /// Addresses whose errors an undo would forget, and that it does not lift; false: the time was over.
    fn forgettable(
        &self,
        incident: &BrakeIncident,
        within: Option<Duration>,
        count: &mut u64,
    ) -> Result<bool, StoreError> {
        let memory = &self.0.memory;
        let (mut after, mut looked) = (None::<String>, 0);
        let patience = Patience::of(&self.0.clock, &Page { within, ..Page::default() });
        loop {
            let rows = memory.memos(MemoKind::AddressErrors, "", after.as_deref(), READ_ROWS)?;
            let Some((last, _)) = rows.last() else { return Ok(true) };
            after = Some(last.clone());
            for (key, value) in &rows {
                if patience.is_over(looked) {
                    return Ok(false);
                }
                looked += 1;
                let Some(history) = incident.errors_of(key, value) else { continue };
                if !history.errors.iter().any(|error| incident.is_of_its_time(error)) {
                    continue;
                }
                // The lift of an address forgets its errors already.
                let mut row = row_of(memory, key)?;
                row.end_watch(self.0.clock.now());
                let entry = row.now.take();
                let is_lifted = entry.is_some_and(|entry| {
                    let listed = super::list::listed(key, Some(entry), None);
                    Undo::Brake(incident.clone()).covers(&listed)
                });
                *count += u64::from(!is_lifted);
            }
        }
    }

    /// What [`Suppressions::release`] would do. `None`: there is no such held place. Blocking.
    ///
    /// # Errors
    /// The store's.
    pub fn release_preview(&self, id: &str, within: Option<Duration>) -> Result<Option<HoldPreview>, StoreError> {
        let memory = &self.0.memory;
        let Some(incident) = brake_incident(&**memory, id)? else { return Ok(None) };
        let (config, now) = (self.0.config.get(), self.0.clock.now());
        let thresholds = &config.suppression.thresholds;
        let patience = Patience::of(&self.0.clock, &Page { within, ..Page::default() });
        let mut preview = HoldPreview { incident, suppresses: 0, looked: 0, is_whole: false };
        let (mut after, mut looked) = (None::<String>, 0);
        loop {
            let rows = held_page(&**memory, id, after.as_deref(), READ_ROWS)?;
            let Some((last, _)) = rows.last() else {
                preview.is_whole = true;
                return Ok(Some(preview));
            };
            after = Some(last.clone());
            for held in rows.into_iter().filter_map(|(_, held)| held) {
                if patience.is_over(looked) {
                    return Ok(Some(preview));
                }
                looked += 1;
                preview.looked += 1;
                let key = key_of(&held.address, &held.user);
                let mut row = row_of(memory, &key)?;
                row.end_watch(now);
                let mut history: History = memory
                    .memo(MemoKind::AddressErrors, &key)?
                    .and_then(|value| read_history(&value))
                    .unwrap_or_default();
                history.note(held.error, &held.provider, &held.reply);
                let reached = decide(&history, thresholds, row.exempt.is_some(), now);
                preview.suppresses += u64::from(row.now.is_none() && reached.is_some());
            }
        }
    }

    /// One page of the errors that a held place holds, by address. Blocking, short.
    ///
    /// # Errors
    /// The store's.
    pub fn held(&self, id: &str, page: &Page) -> Result<(Vec<HeldError>, Option<String>), StoreError> {
        let prefix = incidents::held_prefix(id);
        let after = page.cursor.as_deref().and_then(cursor_key).map(|key| format!("{prefix}{key}"));
        let rows = held_page(&*self.0.memory, id, after.as_deref(), page.rows_max)?;
        let next = rows.last().filter(|_| rows.len() >= page.rows_max);
        let next = next.and_then(|(key, _)| key.strip_prefix(&prefix)).map(cursor_of);
        Ok((rows.into_iter().filter_map(|(_, held)| held).collect(), next))
    }
}

impl BrakeIncident {
    /// The errors of an address that is of this place; `None`: it is of another, or damaged.
    pub(super) fn errors_of(&self, key: &str, value: &[u8]) -> Option<History> {
        let is_of_domain = self.place == domain_of(split_key(key).0);
        let of_provider = self.place.starts_with(super::brake::PROVIDER_MARK);
        if !is_of_domain && !of_provider {
            return None;
        }
        read_history(value).filter(|history| is_of_domain || history.provider == self.place)
    }

    /// An unknown user of the time that the incident went on.
    pub(super) fn is_of_its_time(&self, error: &super::row::AddressError) -> bool {
        let is_in_time = error.at >= self.since() && self.ended().is_none_or(|end| error.at <= end);
        is_in_time && incidents::is_unknown(error.class)
    }
}
