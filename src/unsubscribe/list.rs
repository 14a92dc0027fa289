//! The list of who left which list: added by clicks, complaints and people, cancelled by people, read by everybody.
//!
//! In: addresses and lists.  Out: rows in the store ([`super::row`] documents their shape), pages, CSV.
//! Always: what is answered as done is on disk; an act and its entry in the operation log are one transaction, in steps of bounded
//! size, each of which names every address; who has left already keeps his first row; a click takes effect at once or at the
//! next daily time, as it was set when it came, and everything else at once; only an act that names the address takes a row away,
//! with its entry in the operation log.
//! Sources: cmc.md §8 and §12.6; R13 (a list is no log: rows have no period).

use std::{io, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::row::{self, How, Row};
use crate::{
    clock::{Clock, Timestamp},
    config::{Config, InForce},
    smtp::address::Mailbox,
    store::{AuditEntry, MemoChange, MemoKind, Page, Patience, Store, StoreError},
};

/// Lists of one address that a cancel of all of them takes at most: more lists than a config file has.
const LISTS_MAX: usize = 1_000;
/// Addresses that one cancel names at most, as CMC's clients send them.
pub const CANCEL_MAX: usize = 1_000;
/// Rows of one step of an act, all named in one entry of the operation log.
const STEP: usize = 200;
/// Rows read at once while the list is looked through.
const BLOCK: usize = 1_000;
/// The first line of an export, as CMC has it.
pub const COLUMNS: [&str; 3] = ["created", "email", "filtername"];

/// The list; clones share it.
#[derive(Clone)]
pub struct Unsubscribes {
    store: Store,
    clock: Clock,
    config: InForce,
}

/// Who leaves what, when many do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaver {
    /// The address.
    pub address: Mailbox,
    /// The list.
    pub list: String,
    /// Since when; `None`: now.
    pub created: Option<Timestamp>,
}

/// By whom an act was done, for the operation log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    /// As [`AuditEntry::who`].
    pub who: String,
    /// As [`AuditEntry::from`].
    pub from: String,
}

/// A question to the list. Empty fields match all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    /// Part of the address, any case.
    pub address: String,
    /// The list, exactly, any case.
    pub list: String,
    /// Left at or after this time.
    pub from: Option<Timestamp>,
    /// Left before this time.
    pub to: Option<Timestamp>,
}

/// An entry of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The address, in lower case.
    pub address: String,
    /// The rest.
    pub row: Row,
}

/// A page of the list, by address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListPage {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where to go on; `None`: this was the last page.
    pub next: Option<String>,
}

impl Unsubscribes {
    /// The list in this store.
    pub fn new(store: Store, clock: Clock, config: InForce) -> Self {
        Unsubscribes { store, clock, config }
    }

    /// An address leaves a list; false: it had left before, and nothing changed. On disk when it returns.
    ///
    /// # Errors
    /// The store's; `Refused` when the list is full.
    pub async fn add(&self, address: &Mailbox, list: &str, how: How) -> Result<bool, StoreError> {
        let leaver = Leaver { address: address.clone(), list: list.to_owned(), created: None };
        let Some(change) = self.change(&leaver, how)? else { return Ok(false) };
        self.store.put_memos(vec![change]).await?;
        log::info!("unsubscribe recipient={} list={list:?} how={}", address.as_str(), how.word());
        Ok(true)
    }

    /// Many leave, by an operator's act; answers how many had not left before. In steps, each on disk before the next.
    ///
    /// # Errors
    /// As for [`Unsubscribes::add`]; steps done before it are done.
    pub async fn add_many(&self, leavers: &[Leaver], how: How, by: &Actor) -> Result<usize, StoreError> {
        let act = if how == How::Import { "unsubscribe.import" } else { "unsubscribe.add" };
        let mut added = 0;
        for step in leavers.chunks(STEP) {
            let mut changes = Vec::with_capacity(step.len());
            for leaver in step {
                changes.extend(self.change(leaver, how)?);
            }
            // The same address twice in one step is one row.
            changes.sort_by(|a, b| a.key.cmp(&b.key));
            changes.dedup_by(|a, b| a.key == b.key);
            added += changes.len();
            self.write(by, act, changes).await?;
        }
        Ok(added)
    }

    /// One step of an act with its entry in the operation log; nothing where nothing changes.
    async fn write(&self, by: &Actor, act: &str, changes: Vec<MemoChange>) -> Result<(), StoreError> {
        let named = |key: &str| match key.split_once('\0') {
            Some((address, list)) => format!("{address} {list:?}"),
            None => key.to_owned(),
        };
        let (object, detail) = match changes.as_slice() {
            [] => return Ok(()),
            [one] => (named(&one.key), String::new()),
            many => {
                let names: Vec<String> = many.iter().map(|change| named(&change.key)).collect();
                (format!("{} entries", many.len()), names.join(", "))
            }
        };
        log::info!("act={act} who={:?} object={object:?}", by.who);
        let (at, act) = (self.clock.now(), act.to_owned());
        let entry = AuditEntry { at, who: by.who.clone(), from: by.from.clone(), act, object, detail };
        self.store.put_memos_as(changes, Some(entry)).await
    }

    /// What a leaving writes; `None`: he has left, and nothing about it would change.
    fn change(&self, leaver: &Leaver, how: How) -> Result<Option<MemoChange>, StoreError> {
        let now = self.clock.now();
        let effective_from = match how {
            How::Link | How::Form => effective_from(&self.config.get(), now),
            How::Manual | How::Import | How::Complaint => now,
        };
        let known = self.row_of(leaver.address.as_str(), &leaver.list)?;
        let row = match known {
            Some(known) if known.effective_from() <= effective_from => return Ok(None),
            // It takes effect sooner than it would have: the first leaving stays what it was.
            Some(known) => Row::new(known.created(), &known.list, known.how, effective_from),
            None => Row::new(leaver.created.unwrap_or(now).min(now), &leaver.list, how, effective_from),
        };
        let key = row::key(leaver.address.as_str(), &leaver.list);
        Ok(Some(MemoChange { kind: MemoKind::Unsubscribes, key, value: Some(row.to_value()) }))
    }

    /// The row of an address and a list, in any case. Short.
    ///
    /// # Errors
    /// The store's.
    pub fn row_of(&self, address: &str, list: &str) -> Result<Option<Row>, StoreError> {
        let key = row::key(address, list);
        Ok(self.store.memo(MemoKind::Unsubscribes, &key)?.and_then(|value| readable(&key, &value)))
    }

    /// These addresses are written to again: in the list that is named, or, when it is empty, in all of them. Answers how many
    /// rows went. At most [`CANCEL_MAX`] addresses.
    ///
    /// # Errors
    /// As for [`Unsubscribes::add`]; `Refused` when there are too many addresses.
    pub async fn cancel(&self, addresses: &[String], list: &str, by: &Actor) -> Result<usize, StoreError> {
        if addresses.len() > CANCEL_MAX {
            return Err(StoreError::Refused(format!(
                "{} addresses in one call: at most {CANCEL_MAX}",
                addresses.len()
            )));
        }
        let mut keys = Vec::new();
        for address in addresses {
            let prefix = if list.is_empty() { row::prefix(address) } else { row::key(address, list) };
            let found = self.store.memos(MemoKind::Unsubscribes, &prefix, None, LISTS_MAX)?;
            // A list's name may begin with another's.
            keys.extend(found.into_iter().map(|(key, _)| key).filter(|key| list.is_empty() || *key == prefix));
        }
        self.forget(keys, by).await
    }

    /// Each of these addresses is written to again in the list beside it. Answers how many rows went. At most [`CANCEL_MAX`].
    ///
    /// # Errors
    /// As for [`Unsubscribes::cancel`].
    pub async fn cancel_each(&self, whose: &[(String, String)], by: &Actor) -> Result<usize, StoreError> {
        if whose.len() > CANCEL_MAX {
            return Err(StoreError::Refused(format!("{} entries in one call: at most {CANCEL_MAX}", whose.len())));
        }
        let mut keys = Vec::new();
        for (address, list) in whose {
            let key = row::key(address, list);
            if self.store.memo(MemoKind::Unsubscribes, &key)?.is_some() {
                keys.push(key);
            }
        }
        self.forget(keys, by).await
    }

    async fn forget(&self, mut keys: Vec<String>, by: &Actor) -> Result<usize, StoreError> {
        keys.sort_unstable();
        keys.dedup();
        for step in keys.chunks(STEP) {
            let forget = |key: &String| MemoChange { kind: MemoKind::Unsubscribes, key: key.clone(), value: None };
            self.write(by, "unsubscribe.cancel", step.iter().map(forget).collect()).await?;
        }
        Ok(keys.len())
    }

    /// The lists that the config has, in its order; people may have left others.
    pub fn lists(&self) -> Vec<String> {
        self.config.get().unsubscribe.filters.iter().map(|filter| filter.name.clone()).collect()
    }

    /// Counts what a question finds, for `within` a time at most; the second is false when the time was over. Blocking.
    ///
    /// # Errors
    /// The store's.
    pub fn count(&self, query: &Query, within: Option<Duration>) -> Result<(u64, bool), StoreError> {
        let end = within.and_then(|within| self.clock.instant().checked_add(within));
        let (mut page, mut rows) = (Page { rows_max: BLOCK, within, ..Page::default() }, 0);
        loop {
            let got = self.page(query, &page)?;
            rows += got.entries.len() as u64;
            if got.next.is_none() {
                return Ok((rows, true));
            }
            page.cursor = got.next;
            if let Some(end) = end {
                let left = end.saturating_duration_since(self.clock.instant());
                if left.is_zero() {
                    return Ok((rows, false));
                }
                page.within = Some(left);
            }
        }
    }

    /// One page of the list, in the order of addresses. Blocking.
    ///
    /// # Errors
    /// The store's; `Refused` when the cursor is none of ours.
    pub fn page(&self, query: &Query, page: &Page) -> Result<ListPage, StoreError> {
        let mut after = match &page.cursor {
            None => None,
            Some(cursor) => Some(read_cursor(cursor).ok_or_else(|| StoreError::Refused("no such page".into()))?),
        };
        let mut out = ListPage::default();
        let (mut looked_at, patience) = (0, Patience::of(&self.clock, page));
        loop {
            let block = self.store.memos(MemoKind::Unsubscribes, "", after.as_deref(), BLOCK)?;
            let is_last = block.len() < BLOCK;
            for (key, value) in block {
                if out.entries.len() >= page.rows_max || looked_at >= page.scan_max || patience.is_over(looked_at) {
                    out.next = after.map(|key| URL_SAFE_NO_PAD.encode(key));
                    return Ok(out);
                }
                looked_at += 1;
                if let Some(row) = readable(&key, &value)
                    && query.matches(row::address_of(&key), &row)
                {
                    out.entries.push(Entry { address: row::address_of(&key).to_owned(), row });
                }
                after = Some(key);
            }
            if is_last {
                return Ok(out);
            }
        }
    }

    /// Writes what matches as CSV in CMC's form, `"created","email","filtername"`; `created` says a time as people read it.
    /// Blocking; memory does not grow with the list.
    ///
    /// # Errors
    /// The writer's, and the store's: the file is then cut.
    pub fn export(
        &self,
        query: &Query,
        created: &dyn Fn(Timestamp) -> String,
        to: &mut dyn io::Write,
    ) -> io::Result<u64> {
        let mut csv = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(to);
        csv.write_record(COLUMNS)?;
        let mut page = Page { rows_max: BLOCK, ..Page::default() };
        let mut rows = 0;
        loop {
            let got = self.page(query, &page).map_err(io::Error::other)?;
            for entry in &got.entries {
                csv.write_record([&created(entry.row.created()), &entry.address, &entry.row.list])?;
                rows += 1;
            }
            if got.next.is_none() {
                csv.flush()?;
                return Ok(rows);
            }
            page.cursor = got.next;
        }
    }
}

impl Query {
    fn matches(&self, address: &str, row: &Row) -> bool {
        (self.address.is_empty() || address.contains(&self.address.to_lowercase()))
            && (self.list.is_empty() || row.list.to_lowercase() == self.list.to_lowercase())
            && self.from.is_none_or(|from| row.created() >= from)
            && self.to.is_none_or(|to| row.created() < to)
    }
}

fn readable(key: &str, value: &[u8]) -> Option<Row> {
    let row = Row::of_value(value);
    if row.is_none() {
        log::error!("unsubscribe recipient={} error=\"the row cannot be read\"", row::address_of(key));
    }
    row
}

fn read_cursor(cursor: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

/// From when on a click counts: now, or from the next daily time in the zone of `[server]`.
pub fn effective_from(config: &Config, now: Timestamp) -> Timestamp {
    let Some(minute) = config.unsubscribe.run_at_minute else { return now };
    next_daily(now, minute, &config.server.time_zone).unwrap_or(now)
}

/// The first moment after `now` at which clocks of a zone show this minute of the day; where a clock skips it, the moment it
/// would have been.
fn next_daily(now: Timestamp, minute: u16, zone: &str) -> Option<Timestamp> {
    let zone = jiff::tz::TimeZone::get(zone).unwrap_or(jiff::tz::TimeZone::UTC);
    let millis = i64::try_from(now.as_millis()).ok()?;
    let today = jiff::Timestamp::from_millisecond(millis).ok()?.to_zoned(zone.clone()).date();
    let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
    for day in [today, today.tomorrow().ok()?] {
        let at = day.at(hour, minute, 0, 0).to_zoned(zone.clone()).ok()?.timestamp().as_millisecond();
        if at > millis {
            return u64::try_from(at).ok().map(Timestamp::from_millis);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_daily_time_is_that_of_the_zone() {
        let at = |text: &str| Timestamp::from_rfc3339(text).unwrap();
        for (now, minute, zone, expected) in [
            ("2026-11-24T13:35:10Z", 0, "Asia/Tokyo", "2026-11-24T15:00:00Z"),
            ("2026-11-24T15:00:00Z", 0, "Asia/Tokyo", "2026-11-25T15:00:00Z"),
            ("2026-11-24T14:59:59Z", 0, "Asia/Tokyo", "2026-11-24T15:00:00Z"),
            ("2026-11-24T13:35:10Z", 23 * 60 + 59, "UTC", "2026-11-24T23:59:00Z"),
            // Clocks skip 02:30 on that day.
            ("2026-03-28T23:00:00Z", 150, "Europe/Berlin", "2026-03-29T01:30:00Z"),
            ("2026-03-29T03:00:00Z", 150, "Europe/Berlin", "2026-03-30T00:30:00Z"),
            ("2026-11-24T13:35:10Z", 0, "No/Where", "2026-11-25T00:00:00Z"),
        ] {
            assert_eq!(next_daily(at(now), minute, zone), Some(at(expected)), "{now} {minute} {zone}");
        }
        let mut config = Config::default();
        let now = at("2026-11-24T13:35:10Z");
        assert_eq!(effective_from(&config, now), now);
        config.unsubscribe.run_at_minute = Some(0);
        assert_eq!(effective_from(&config, now), at("2026-11-24T15:00:00Z"));
    }
}
