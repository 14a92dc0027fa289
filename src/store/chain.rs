//! The chain of the operation log: every entry names the one before it and holds a hash over both, so that nobody changes,
//! removes or adds one unnoticed.
//!
//! In: entries, as they are written and pruned.  Out: rows with their links; lines about what was tampered with.
//! Always: the head (number and hash of the last entry) and the start (of the last one that was pruned) are written in the
//! transaction of the entries, so that a log that was cut at either end does not verify, and a pruned one does. The hash is no
//! signature: who can write the database can write the whole chain anew. `hikyaku verify` and the start of the daemon
//! print the head; kept elsewhere (a journal on another host), it proves the entries up to it.
//! Sources: FIPS 180-4 (SHA-256).

use aws_lc_rs::digest;
use redb::{ReadTransaction, ReadableTable, Table};

use super::{
    audit,
    batch::Work,
    codec::{Eye, Pen, RowError},
    fault::{Fatal, Reading},
    rows::{VERSION, number_time},
    tables::{self, META_CHAIN},
    types::StoreError,
};

/// The version of entries with a link; those of version 1 (schema 3) have none.
pub(super) const LINKED_VERSION: u8 = 2;
/// Octets of a link at a row's end: the number of the entry before, and the hash.
pub(super) const LINK_LEN: usize = 8 + 32;
/// What every hash begins with, so that it is no hash of anything else.
const DOMAIN: &[u8] = b"hikyaku audit entry 2\n";

/// A hash.
pub(super) type Hash = [u8; 32];

/// The ends of the chain, and how long it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Chain {
    /// The number and hash of the last entry.
    pub head: (u64, Hash),
    /// Of the last one that was pruned; zeros: none was.
    pub start: (u64, Hash),
    /// Entries between them.
    pub entries: u64,
}

impl Chain {
    /// The stored row.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut pen = Pen::new(VERSION, 96);
        for (number, hash) in [&self.head, &self.start] {
            pen.number(*number);
            pen.raw(hash);
        }
        pen.number(self.entries);
        pen.done()
    }

    /// Reads it.
    pub(super) fn read(row: &[u8]) -> Result<Self, RowError> {
        let (_, mut eye) = Eye::open(row, VERSION)?;
        let head = (eye.number()?, eye.array()?);
        let start = (eye.number()?, eye.array()?);
        Ok(Chain { head, start, entries: eye.number()? })
    }

    /// The stored chain. One that is missing or damaged is a new one: what people do must not stop for it, and `verify` tells.
    pub(super) fn of(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Self, StoreError> {
        match meta.get(META_CHAIN).fatal()? {
            None => Ok(Chain::default()),
            Some(row) => Ok(Chain::read(row.value()).unwrap_or_else(|e| {
                log::error!("the row of the operation log's chain is damaged: {e}; run hikyaku verify");
                Chain::default()
            })),
        }
    }

    /// Puts an entry behind the head: completes its row, which so far holds its content.
    pub(super) fn append(&mut self, number: u64, row: &mut Vec<u8>) {
        if let Some(version) = row.first_mut() {
            *version = LINKED_VERSION;
        }
        let hash = hash_of(self.head, number, row);
        row.extend_from_slice(&self.head.0.to_be_bytes());
        row.extend_from_slice(&hash);
        self.head = (number, hash);
        self.entries += 1;
    }

    /// The first entries are pruned, up to this one.
    pub(super) fn prune(&mut self, last: u64, row: &[u8], count: u64) {
        self.start = (last, link_of(row).map_or([0; 32], |link| link.hash));
        self.entries = self.entries.saturating_sub(count);
    }
}

/// The end of a row.
pub(super) struct Link<'a> {
    content: &'a [u8],
    before: u64,
    hash: Hash,
}

/// Takes the link of a row off; `None`: it has none.
pub(super) fn link_of(row: &[u8]) -> Option<Link<'_>> {
    if row.first() != Some(&LINKED_VERSION) {
        return None;
    }
    let (content, link) = row.split_at_checked(row.len().checked_sub(LINK_LEN)?)?;
    let (before, hash) = link.split_first_chunk::<8>()?;
    Some(Link { content, before: u64::from_be_bytes(*before), hash: hash.try_into().ok()? })
}

/// Over the entry before, and everything of this one.
fn hash_of(before: (u64, Hash), number: u64, content: &[u8]) -> Hash {
    let mut sum = digest::Context::new(&digest::SHA256);
    sum.update(DOMAIN);
    sum.update(&before.0.to_be_bytes());
    sum.update(&before.1);
    sum.update(&number.to_be_bytes());
    sum.update(content);
    let mut out = [0; 32];
    out.copy_from_slice(sum.finish().as_ref());
    out
}

/// The chain of a transaction, read when the first entry comes.
#[derive(Default)]
pub(super) struct Chaining(Option<Chain>);

impl Chaining {
    /// The chain, to be changed.
    pub(super) fn get<'a>(work: &'a mut Work<'_, '_>) -> Result<&'a mut Chain, StoreError> {
        let chain = match work.chaining.0.take() {
            Some(chain) => chain,
            None => Chain::of(&work.t.meta)?,
        };
        Ok(work.chaining.0.insert(chain))
    }

    /// Writes what changed.
    pub(super) fn finish(self, meta: &mut Table<'_, &'static str, &'static [u8]>) -> Result<(), StoreError> {
        if let Some(chain) = self.0 {
            meta.insert(META_CHAIN, chain.write().as_slice()).fatal()?;
        }
        Ok(())
    }
}

/// What `verify` says of the log: its lines, and the chain with the entries that were read.
pub(super) fn verify(txn: &ReadTransaction) -> Result<(Vec<String>, Chain), StoreError> {
    let mut lines = Vec::new();
    let meta = txn.open_table(tables::META).reading()?;
    let chain = match meta.get(META_CHAIN).reading()?.map(|row| Chain::read(row.value())) {
        Some(Ok(chain)) => chain,
        Some(Err(e)) => {
            lines.push(format!("operation log: the row of its chain: {e}"));
            Chain::default()
        }
        None => Chain::default(),
    };
    let (mut last, mut entries) = (chain.start, 0u64);
    for entry in txn.open_table(tables::AUDIT).reading()?.iter().reading()? {
        let (number, row) = entry.reading()?;
        let (number, row) = (number.value(), row.value());
        entries += 1;
        let name = name_of(number, row);
        if let Err(e) = audit::read_row(row) {
            lines.push(format!("{name}: {e}"));
        }
        let Some(link) = link_of(row) else {
            lines.push(format!("{name}: it has no link: it was added or changed by another program"));
            continue;
        };
        if number <= chain.start.0 {
            lines.push(format!("{name}: it was added, or should have been pruned: the log begins behind it"));
            continue;
        }
        match link.before.cmp(&last.0) {
            std::cmp::Ordering::Equal if link.hash != hash_of(last, number, link.content) => {
                let before = last.0;
                lines.push(format!("{name}: its hash is another one: it was changed, or entry {before} before it was"));
            }
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => {
                lines.push(format!("operation log: entry {} is missing: {name} follows it", link.before));
            }
            std::cmp::Ordering::Less => {
                let (before, added) = (link.before, last.0);
                lines.push(format!("{name}: follows entry {before}, but entry {added} lies between: it was added"));
            }
        }
        last = (number, link.hash);
    }
    if last.0 < chain.head.0 {
        lines.push(format!("operation log: it was cut: entry {} is the last one, but is not there", chain.head.0));
    } else if last != chain.head {
        lines.push(format!(
            "operation log: entry {} is the last one with another hash, or entries were added behind entry {}",
            last.0, chain.head.0
        ));
    }
    if entries != chain.entries {
        lines.push(format!("operation log: {entries} entries, but there were {}", chain.entries));
    }
    Ok((lines, Chain { entries, ..chain }))
}

/// How an entry is called.
fn name_of(number: u64, row: &[u8]) -> String {
    let act = audit::read_row(row).map_or_else(|_| "?".to_owned(), |e| format!("{} by {}", e.act, e.who));
    format!("operation log, entry {number} ({}, {act})", number_time(number).rfc3339_seconds())
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
