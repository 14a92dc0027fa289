//! The list of addresses that are not written to, as people and programs read it: searched, in pages, whole.
//!
//! In: rows of kind Suppressions.  Out: [`Listed`] rows in the order of the addresses.
//! Always: a page looks at a bounded number of rows; a stay whose watch period is over counts as ended from that moment,
//! whether housekeeping was there or not; a damaged row is left out and told in the log.
//! Sources: cmc.md §6.1.

use std::sync::Arc;

use super::{
    Suppressions,
    memory::Memory,
    row::{Cause, Entry, Exemption, Row, SCOPE_MARK, key_of, read_row, split_key},
};
use crate::{
    clock::Timestamp,
    event::ErrorClass,
    ids::hex,
    store::{MemoKind, Page, Patience, StoreError},
};

/// Rows that one read of the store brings.
const READ_ROWS: usize = 500;
/// Submitters of one address that are looked at, at most: more than an appliance has.
pub const SCOPES_MAX: usize = 1_000;

/// An address of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The address, in lower case.
    pub address: String,
    /// For whose mail; empty: for everybody's.
    pub user: String,
    /// Its stay; `None` only of an exempt address that is not on the list.
    pub entry: Option<Entry>,
    /// Its errors do not count.
    pub exempt: Option<Exemption>,
}

/// A question to the list. Empty fields match all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListQuery {
    /// Part of the address, any case.
    pub part: String,
    /// On the list since this time or later.
    pub from: Option<Timestamp>,
    /// On the list since before this time.
    pub to: Option<Timestamp>,
    /// Ended stays instead of present ones (CMC's `removed`).
    pub removed: bool,
    /// Exempt addresses, on the list or not.
    pub exempt: bool,
    /// Why.
    pub cause: Option<Cause>,
    /// CMC's class.
    pub class: Option<ErrorClass>,
    /// For whose mail, exactly.
    pub user: Option<String>,
    /// What an undo of this incident would lift; an id of [`super::incidents`], else nothing matches.
    pub incident: String,
}

/// A page of the list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListPage {
    /// By address. Ended stays of one address come together, newest first, even where they go over `rows_max`.
    pub rows: Vec<Listed>,
    /// Where to go on; `None`: this was the last page. A page may be short and still have a next one: it looked at
    /// [`Page::scan_max`] rows, or for [`Page::within`] a time.
    pub next: Option<String>,
}

impl Suppressions {
    /// One page of the list. Blocking.
    ///
    /// # Errors
    /// The store's.
    pub fn list(&self, query: &ListQuery, page: &Page) -> Result<ListPage, StoreError> {
        let incident = match query.incident.as_str() {
            "" => None,
            id => match super::incidents::undoes(&*self.0.memory, id)? {
                Some(scope) => Some(scope),
                None => return Ok(ListPage::default()),
            },
        };
        let (part, now) = (query.part.to_lowercase(), self.0.clock.now());
        let mut after = page.cursor.as_deref().and_then(cursor_key);
        let (mut out, mut looked, patience) = (ListPage::default(), 0, Patience::of(&self.0.clock, page));
        loop {
            let limit = READ_ROWS.min(page.scan_max.max(1) - looked);
            let rows = self.0.memory.memos(MemoKind::Suppressions, "", after.as_deref(), limit)?;
            let is_last = rows.len() < limit;
            for (key, value) in rows {
                if patience.is_over(looked) {
                    out.next = after.as_deref().map(cursor_of);
                    return Ok(out);
                }
                looked += 1;
                let (address, user) = split_key(&key);
                let fits = (part.is_empty() || address.contains(&part))
                    && query.user.as_ref().is_none_or(|wanted| wanted == user)
                    && incident.as_ref().is_none_or(|scope| scope.may_cover(address));
                let found = if fits { matches(&key, &value, query, now) } else { Vec::new() };
                let found: Vec<Listed> =
                    found.into_iter().filter(|l| incident.as_ref().is_none_or(|scope| scope.covers(l))).collect();
                if !out.rows.is_empty() && !found.is_empty() && out.rows.len() + found.len() > page.rows_max {
                    out.next = after.as_deref().map(cursor_of);
                    return Ok(out);
                }
                out.rows.extend(found);
                after = Some(key);
            }
            if is_last {
                return Ok(out);
            }
            if looked >= page.scan_max.max(1) || out.rows.len() >= page.rows_max {
                out.next = after.as_deref().map(cursor_of);
                return Ok(out);
            }
        }
    }

    /// What is stored of an address for a submitter's mail (empty: for everybody's). Short.
    ///
    /// # Errors
    /// The store's.
    pub fn get(&self, address: &str, user: &str) -> Result<Option<Listed>, StoreError> {
        let key = key_of(address, user);
        let Some(value) = self.0.memory.memo(MemoKind::Suppressions, &key)? else { return Ok(None) };
        let Some(mut row) = readable(&key, &value) else { return Ok(None) };
        row.end_watch(self.0.clock.now());
        let is_known = row.now.is_some() || row.exempt.is_some();
        Ok(is_known.then(|| listed(&key, row.now, row.exempt.as_ref())))
    }

    /// For whose mail an address is on the list now: submitters, or the empty name for everybody. Short; at most
    /// [`SCOPES_MAX`].
    ///
    /// # Errors
    /// The store's.
    pub fn scopes(&self, address: &str) -> Result<Vec<String>, StoreError> {
        let (address, now) = (address.to_lowercase(), self.0.clock.now());
        let of_users = format!("{address}{SCOPE_MARK}");
        let mut rows = self.0.memory.memos(MemoKind::Suppressions, &of_users, None, SCOPES_MAX)?;
        let of_all = self.0.memory.memo(MemoKind::Suppressions, &address)?;
        rows.extend(of_all.map(|value| (address, value)));
        let is_on = |(key, value): &(String, Vec<u8>)| {
            readable(key, value).is_some_and(|row| row.now.is_some_and(|entry| entry.is_on(now)))
        };
        Ok(rows.iter().filter(|row| is_on(row)).map(|(key, _)| split_key(key).1.to_owned()).collect())
    }

    /// Every row that a query matches, read page by page as the iterator goes, so that a list of any length streams. Blocking.
    pub fn export(&self, query: ListQuery) -> Export {
        Export {
            list: self.clone(),
            query,
            page: Some(Page { rows_max: READ_ROWS, ..Page::default() }),
            rows: Vec::new(),
        }
    }
}

/// See [`Suppressions::export`]. After an error it ends.
pub struct Export {
    list: Suppressions,
    query: ListQuery,
    page: Option<Page>,
    rows: Vec<Listed>,
}

impl Iterator for Export {
    type Item = Result<Listed, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.rows.pop() {
                return Some(Ok(row));
            }
            let page = self.page.take()?;
            match self.list.list(&self.query, &page) {
                Ok(found) => {
                    self.rows = found.rows;
                    self.rows.reverse();
                    self.page = found.next.map(|cursor| Page { cursor: Some(cursor), ..page });
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The stays of one row that a query asks for.
fn matches(key: &str, value: &[u8], query: &ListQuery, now: Timestamp) -> Vec<Listed> {
    let Some(mut row) = readable(key, value) else { return Vec::new() };
    row.end_watch(now);
    let fits = |entry: &Entry| {
        query.from.is_none_or(|from| entry.since >= from)
            && query.to.is_none_or(|to| entry.since < to)
            && query.cause.is_none_or(|cause| entry.cause == cause)
            && query.class.is_none_or(|class| entry.class == Some(class))
    };
    if query.exempt {
        return if row.exempt.is_some() { vec![listed(key, row.now, row.exempt.as_ref())] } else { Vec::new() };
    }
    let entries: Vec<Entry> = if query.removed { row.past } else { row.now.into_iter().collect() };
    entries.into_iter().filter(fits).map(|entry| listed(key, Some(entry), row.exempt.as_ref())).collect()
}

pub(super) fn listed(key: &str, entry: Option<Entry>, exempt: Option<&Exemption>) -> Listed {
    let (address, user) = split_key(key);
    Listed { address: address.to_owned(), user: user.to_owned(), entry, exempt: exempt.cloned() }
}

/// A stored row; one that is damaged is told in the log, once for each look, and taken for none.
pub(super) fn readable(key: &str, value: &[u8]) -> Option<Row> {
    let row = read_row(value);
    if row.is_none() {
        log::error!("suppression address={:?} what=\"its row cannot be read; it blocks nobody\"", split_key(key).0);
    }
    row
}

/// The stored row of a key; an empty one where there is none.
pub(super) fn row_of(memory: &Arc<dyn Memory>, key: &str) -> Result<Row, StoreError> {
    let value = memory.memo(MemoKind::Suppressions, key)?;
    Ok(value.and_then(|value| readable(key, &value)).unwrap_or_default())
}

/// An address and for whose mail, as one value of a form or a URL.
pub fn token_of(address: &str, user: &str) -> String {
    cursor_of(&key_of(address, user))
}

/// What [`token_of`] made; `None`: it is none.
pub fn of_token(token: &str) -> Option<(String, String)> {
    let key = cursor_key(token)?;
    let (address, user) = split_key(&key);
    Some((address.to_owned(), user.to_owned()))
}

/// A cursor holds no sign that a URL or a shell would mind.
pub(super) fn cursor_of(key: &str) -> String {
    hex(key.as_bytes())
}

pub(super) fn cursor_key(cursor: &str) -> Option<String> {
    let digits = cursor.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let octets: Vec<u8> = digits.chunks(2).map(octet).collect::<Option<_>>()?;
    String::from_utf8(octets).ok()
}
