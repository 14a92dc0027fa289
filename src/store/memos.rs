//! Memos: small rows of other rooms that outlive a restart.
//!
//! In: changes, kinds, keys.  Out: values as they were given.
//! Always: sizes are checked before anything is written, and all changes of one call are written or none; the number of memos
//! of each kind is exact and stored with the transaction that changes it; a kind that is full refuses new keys and still
//! takes new values of known ones.

use std::collections::BTreeMap;

use redb::{Database, ReadableDatabase, ReadableTable};

use super::{
    batch::Work,
    codec::{Eye, Pen, RowError},
    fault::{Fatal, Reading, bad_row},
    rows::VERSION,
    tables::{MEMOS, META, META_MEMOS},
    types::{
        MEMO_KEY_MAX, MEMO_OCTETS_MAX, MEMOS_A_CALL_MAX, MEMOS_A_CALL_OCTETS_MAX, MemoChange, MemoKind, StoreError,
    },
};

/// The number of a kind: stored, never changed.
fn number(kind: MemoKind) -> u8 {
    match kind {
        MemoKind::MtaSts => 1,
        MemoKind::WarmUp => 2,
        MemoKind::TlsResults => 3,
        MemoKind::TlsReports => 4,
        MemoKind::RuleUse => 5,
        MemoKind::ReturnKeys => 6,
        MemoKind::ReturnPaths => 7,
        MemoKind::Suppressions => 8,
        MemoKind::AddressErrors => 9,
        MemoKind::Unsubscribes => 10,
        MemoKind::Incidents => 11,
        MemoKind::Followers => 12,
        MemoKind::Idempotency => 13,
        MemoKind::Webhooks => 14,
        MemoKind::WebhookEvents => 15,
        MemoKind::WebhookHistory => 16,
        MemoKind::Sessions => 17,
        MemoKind::DkimKeys => 18,
        MemoKind::DomainFindings => 19,
        MemoKind::Streams => 20,
        MemoKind::RuleChanges => 21,
        MemoKind::DmarcReports => 22,
        MemoKind::DmarcRecords => 23,
        MemoKind::DmarcFailures => 24,
        MemoKind::Views => 26,
        MemoKind::OwnerLinks => 25,
    }
}

fn memo_key(kind: MemoKind, key: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + key.len());
    out.push(number(kind));
    out.extend_from_slice(key.as_bytes());
    out
}

fn write_value(value: &[u8]) -> Vec<u8> {
    let mut pen = Pen::new(VERSION, 1 + value.len());
    pen.raw(value);
    pen.done()
}

fn read_value(row: &[u8]) -> Result<&[u8], RowError> {
    Eye::open(row, VERSION)?;
    Ok(&row[1..])
}

/// How many memos of each kind there are, as a row.
pub(super) fn write_counts(counts: &BTreeMap<u8, u64>) -> Vec<u8> {
    let mut pen = Pen::new(VERSION, 2 + counts.len() * 4);
    pen.number(counts.len() as u64);
    for (kind, count) in counts {
        pen.byte(*kind);
        pen.number(*count);
    }
    pen.done()
}

/// Reads that row.
pub(super) fn read_counts(row: &[u8]) -> Result<BTreeMap<u8, u64>, RowError> {
    let (_, mut eye) = Eye::open(row, VERSION)?;
    (0..eye.number()?.min(256)).map(|_| Ok((eye.byte()?, eye.number()?))).collect()
}

/// The sizes of a call's changes: checked before they are handed to the writer.
pub(super) fn check(changes: &[MemoChange]) -> Result<(), StoreError> {
    let refused = |why: String| Err(StoreError::Refused(why));
    if changes.len() > MEMOS_A_CALL_MAX {
        return refused(format!("{} memos in one call: at most {MEMOS_A_CALL_MAX}", changes.len()));
    }
    let mut octets = 0;
    for change in changes {
        let word = change.kind.word();
        if change.key.len() > MEMO_KEY_MAX {
            return refused(format!("a {word} memo's key has {} octets: at most {MEMO_KEY_MAX}", change.key.len()));
        }
        let len = change.value.as_ref().map_or(0, Vec::len);
        if len > MEMO_OCTETS_MAX {
            let key = &change.key;
            return refused(format!("the {word} memo {key} has {len} octets: at most {MEMO_OCTETS_MAX}"));
        }
        octets += len;
    }
    if octets > MEMOS_A_CALL_OCTETS_MAX {
        return refused(format!("memos of {octets} octets in one call: at most {MEMOS_A_CALL_OCTETS_MAX}"));
    }
    Ok(())
}

/// Writes the changes of one call; the last one of a key counts.
pub(super) fn put(work: &mut Work<'_, '_>, changes: Vec<MemoChange>) -> Result<(), StoreError> {
    let mut last: BTreeMap<(MemoKind, String), Option<Vec<u8>>> = BTreeMap::new();
    last.extend(changes.into_iter().map(|c| ((c.kind, c.key), c.value)));
    let mut counts = work.books.memos.clone();
    for ((kind, key), value) in &last {
        let known = work.t.memos.get(memo_key(*kind, key).as_slice()).fatal()?.is_some();
        let count = counts.entry(number(*kind)).or_default();
        match (known, value.is_some()) {
            (false, true) => *count += 1,
            (true, false) => *count = count.saturating_sub(1),
            (true, true) | (false, false) => {}
        }
    }
    for kind in MemoKind::ALL {
        let (was, is) = [&work.books.memos, &counts].map(|c| c.get(&number(kind)).copied().unwrap_or(0)).into();
        let max = kind.max();
        if is > was && is > max as u64 {
            return Err(StoreError::Refused(format!("there are {was} {} memos: at most {max}", kind.word())));
        }
    }
    for ((kind, key), value) in last {
        let key = memo_key(kind, &key);
        match value {
            Some(value) => {
                work.t.memos.insert(key.as_slice(), write_value(&value).as_slice()).fatal()?;
            }
            None => {
                work.t.memos.remove(key.as_slice()).fatal()?;
            }
        }
    }
    if work.books.memos != counts {
        work.books.memos = counts;
        work.memos_changed();
    }
    Ok(())
}

/// One memo.
pub(super) fn get(db: &Database, kind: MemoKind, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let txn = db.begin_read().reading()?;
    let table = txn.open_table(MEMOS).reading()?;
    let Some(row) = table.get(memo_key(kind, key).as_slice()).reading()? else { return Ok(None) };
    let value = read_value(row.value()).map_err(|e| bad_row(format_args!("the {} memo {key}", kind.word()), e))?;
    Ok(Some(value.to_vec()))
}

/// How many of a kind there are.
pub(super) fn count(db: &Database, kind: MemoKind) -> Result<u64, StoreError> {
    let txn = db.begin_read().reading()?;
    let table = txn.open_table(META).reading()?;
    let Some(row) = table.get(META_MEMOS).reading()? else { return Ok(0) };
    let counts = read_counts(row.value()).map_err(|e| bad_row(format_args!("the counts of memos"), e))?;
    Ok(counts.get(&number(kind)).copied().unwrap_or(0))
}

/// Memos in the order of their keys, behind `after`.
pub(super) fn list(
    db: &Database,
    kind: MemoKind,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    each(db, kind, prefix, after, limit, |key, row| match read_value(row) {
        Ok(value) => Ok((key, value.to_vec())),
        Err(e) => Err(bad_row(format_args!("the {} memo {key}", kind.word()), e)),
    })
}

/// Their keys alone.
pub(super) fn keys(
    db: &Database,
    kind: MemoKind,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    each(db, kind, prefix, after, limit, |key, _| Ok(key))
}

fn each<T>(
    db: &Database,
    kind: MemoKind,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    take: impl Fn(String, &[u8]) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let txn = db.begin_read().reading()?;
    let table = txn.open_table(MEMOS).reading()?;
    let prefix = memo_key(kind, prefix);
    let mut start = prefix.clone();
    if let Some(after) = after {
        let mut behind = memo_key(kind, after);
        behind.push(0);
        start = start.max(behind);
    }
    let mut out = Vec::new();
    for entry in table.range::<&[u8]>(start.as_slice()..).reading()? {
        let (key, row) = entry.reading()?;
        if out.len() >= limit || !key.value().starts_with(&prefix) {
            break;
        }
        out.push(take(String::from_utf8_lossy(&key.value()[1..]).into_owned(), row.value())?);
    }
    Ok(out)
}

/// Lines of damage: rows that cannot be read, counts that are wrong.
pub(super) fn verify(txn: &redb::ReadTransaction) -> Result<Vec<String>, StoreError> {
    let mut damage = Vec::new();
    let mut counted: BTreeMap<u8, u64> = BTreeMap::new();
    for entry in txn.open_table(MEMOS).reading()?.iter().reading()? {
        let (key, row) = entry.reading()?;
        let Some((kind, key)) = key.value().split_first() else {
            damage.push("memos: an empty key".to_owned());
            continue;
        };
        *counted.entry(*kind).or_default() += 1;
        let name = std::str::from_utf8(key);
        if let (Err(_), _) | (_, Err(_)) = (name, read_value(row.value())) {
            damage.push(format!("memo {kind}/{}: it cannot be read", String::from_utf8_lossy(key)));
        }
    }
    let stored = match txn.open_table(META).reading()?.get(META_MEMOS).reading()? {
        Some(row) => read_counts(row.value()),
        None => Ok(BTreeMap::new()),
    };
    let stored = stored.map(|counts| counts.into_iter().filter(|(_, n)| *n > 0).collect::<BTreeMap<u8, u64>>());
    if stored.as_ref() != Ok(&counted) {
        damage.push(format!("memos: counts by kind say {stored:?}, but there are {counted:?}"));
    }
    Ok(damage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_and_counts_are_read_back_equal(value in proptest::collection::vec(any::<u8>(), 0..99), counts in proptest::collection::btree_map(any::<u8>(), any::<u64>(), 0..9)) {
            let row = write_value(&value);
            prop_assert_eq!(read_value(&row).unwrap(), &value[..]);
            prop_assert_eq!(read_counts(&write_counts(&counts)).unwrap(), counts);
        }
    }
}
