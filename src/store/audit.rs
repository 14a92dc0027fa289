//! The operation log: who did what, from where, on what, with which result (R13: kept for its own period).
//!
//! Always: numbered as events are, so that time and order agree; chained (`chain.rs`), so that tampering is noticed; nothing past
//! its period is shown.

use redb::ReadableDatabase;

use super::{
    asking::Patience,
    batch::{Work, first_number_of},
    chain::{Chaining, LINKED_VERSION},
    codec::{Eye, Pen, RowError},
    fault::{Fatal, Reading, bad_row},
    rows::{VERSION, number_time},
    tables::AUDIT,
    types::{AuditEntry, AuditPage, AuditQuery, Page, StoreError},
};
use crate::clock::Timestamp;

/// The act of the login log's entries.
const LOGIN: &str = "login";

/// Writes an entry.
pub(super) fn write(work: &mut Work<'_, '_>, entry: &AuditEntry) -> Result<(), StoreError> {
    let number = work.number();
    let mut row = write_row(entry);
    Chaining::get(work)?.append(number, &mut row);
    work.t.audit.insert(number, row.as_slice()).fatal()?;
    Ok(())
}

fn write_row(entry: &AuditEntry) -> Vec<u8> {
    let mut pen = Pen::new(VERSION, 128);
    pen.number(entry.at.as_millis());
    for text in [&entry.who, &entry.from, &entry.act, &entry.object, &entry.detail] {
        pen.text(text);
    }
    pen.done()
}

/// Reads an entry.
pub(super) fn read_row(row: &[u8]) -> Result<AuditEntry, RowError> {
    let (_, mut eye) = Eye::open(row, LINKED_VERSION)?;
    Ok(AuditEntry {
        at: Timestamp::from_millis(eye.number()?),
        who: eye.text()?.to_owned(),
        from: eye.text()?.to_owned(),
        act: eye.text()?.to_owned(),
        object: eye.text()?.to_owned(),
        detail: eye.text()?.to_owned(),
    })
}

/// One page, newest first; `floor`: what is older is past its period.
pub(super) fn page(
    db: &redb::Database,
    query: &AuditQuery,
    page: &Page,
    floor: Timestamp,
    patience: &Patience,
) -> Result<AuditPage, StoreError> {
    let cursor = page.cursor.as_deref().and_then(|c| c.parse::<u64>().ok());
    let start = first_number_of(query.from.map_or(floor, |f| f.max(floor)));
    let start = start.max(query.after.map_or(0, |n| n.saturating_add(1)));
    let txn = db.begin_read().reading()?;
    let table = txn.open_table(AUDIT).reading()?;
    let mut out = AuditPage::default();
    let [who, act, text] = [&query.who, &query.act, &query.text].map(|part| part.to_lowercase());
    let end = cursor.unwrap_or(u64::MAX);
    if end <= start {
        return Ok(out);
    }
    for (looked, entry) in table.range(start..end).reading()?.rev().enumerate() {
        let (number, row) = entry.reading()?;
        let number = number.value();
        let is_full = out.rows.len() >= page.rows_max;
        if is_full || looked >= page.scan_max.max(1) || patience.is_over(looked) {
            // This row is not looked at: the next page begins with it.
            out.next = Some((number + 1).to_string());
            out.looked_back_to = (!is_full).then(|| number_time(number));
            break;
        }
        let entry = read_row(row.value()).map_err(|e| bad_row(format_args!("operation log {number}"), e))?;
        let in_time = number_time(number) >= floor
            && query.from.is_none_or(|f| entry.at >= f)
            && query.to.is_none_or(|t| entry.at < t);
        let named = entry.who.to_lowercase().contains(&who) && entry.act.to_lowercase().contains(&act);
        let of_kind = query.logins.is_none_or(|logins| logins == (entry.act == LOGIN));
        let says = |part: &String| part.to_lowercase().contains(&text);
        let told = text.is_empty() || [&entry.object, &entry.detail, &entry.from].into_iter().any(says);
        if in_time && named && of_kind && told {
            out.rows.push(entry);
            out.numbers.push(number);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_entry_is_read_back_equal(at in any::<u64>(), who in ".{0,9}", from in ".{0,9}", act in ".{0,9}", object in ".{0,9}", detail in ".{0,50}") {
            let entry = AuditEntry { at: Timestamp::from_millis(at), who, from, act, object, detail };
            prop_assert_eq!(read_row(&write_row(&entry)).unwrap(), entry);
        }
    }
}
