//! TLS reports, both ways: what went wrong with TLS towards us and from us, told once a day (RFC 8460).
//!
//! In: a day's results of our own sending (`deliver/tls_results`, in memos of the store); reports of others, by mail or file.
//! Out: reports by mail and by HTTPS to whom a domain's DNS record names; summaries of those that came in.
//! Always: reports are sent only where `[tls_report] contact` is set; report mail itself is never reported on; whatever comes
//! from others is bounded in octets, counts and time.
//!
//! The files, in the order of the flow: [`record`] (who wants reports) → [`json`] (the report) → [`mail`] (the mail around it)
//! → [`send`] (when, to whom, again) → [`outbox`] (the doors out); and the other way `sink` (from intake) → [`receive`].

pub mod json;
pub mod mail;
pub mod outbox;
pub mod receive;
pub mod record;
pub mod send;
mod sink;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

use std::io::Write as _;

use crate::{
    clock::Timestamp,
    store::{MemoChange, MemoKind, Memos, StoreError},
    when::day_named,
};

pub use crate::ids::REPORT_USER;

/// Milliseconds of a day.
const DAY_MILLIS: u64 = crate::clock::DAY_MILLIS;

/// What this room asks of the store.
pub trait Memory: Memos + Clone {}

impl<M: Memos + Clone> Memory for M {}

/// The memo of that key is forgotten.
fn forget(kind: MemoKind, key: impl Into<String>) -> MemoChange {
    MemoChange { kind, key: key.into(), value: None }
}

/// The day at the start of a key, and what stands behind its slash; `None`: the key is of another sort.
pub fn day_of_key(key: &str) -> Option<(u32, &str)> {
    let (name, rest) = key.split_once('/')?;
    Some((day_named(name)?, rest))
}

/// The moment at which a day of UTC begins.
fn midnight(day: u32) -> Timestamp {
    Timestamp::from_millis(u64::from(day) * DAY_MILLIS)
}

/// A number that stands for these texts: the same in every process (FNV-1a, mixed so that every bit counts).
fn fingerprint(parts: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for b in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// Octets as gzip (RFC 1952), without name and time, so that the same octets give the same file.
pub fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(octets).expect("a vector takes every octet");
    encoder.finish().expect("a vector takes every octet")
}

/// Memos forgotten at once.
const FORGET_PAGE: usize = 32;
/// Pages forgotten in one go; the next round goes on.
const FORGET_PAGES_MAX: usize = 4_000;

/// Forgets memos whose keys are `prefix` and a day before `day`; they stand first in their order.
async fn forget_before<M: Memory>(memory: &M, kind: MemoKind, prefix: &str, day: u32) -> Result<(), StoreError> {
    for _ in 0..FORGET_PAGES_MAX {
        let (there, prefix_there) = (memory.clone(), prefix.to_owned());
        let keys = smol::unblock(move || there.memo_keys(kind, &prefix_there, None, FORGET_PAGE)).await?;
        let whole = keys.len() == FORGET_PAGE;
        let old: Vec<MemoChange> = keys
            .into_iter()
            .take_while(|key| key.strip_prefix(prefix).and_then(day_of_key).is_some_and(|(of, _)| of < day))
            .map(|key| forget(kind, key))
            .collect();
        let more = whole && old.len() == FORGET_PAGE;
        if !old.is_empty() {
            memory.put_memos(old).await?;
        }
        if !more {
            return Ok(());
        }
    }
    Ok(())
}
