//! Destinations to which the operator lets nothing go.
//!
//! In: a pause, or a destination.  Out: rows, each with its entry of the operation log in the same transaction.
//! Always: one pause for each destination, the later one counts; one whose end is past is not listed, and goes with the next
//! change.

use redb::{Database, ReadableDatabase, ReadableTable};

use super::{
    audit,
    batch::Work,
    codec::{Eye, Pen, RowError},
    fault::{Fatal, Reading, bad_row},
    rows::VERSION,
    tables::PAUSES,
    types::{AuditEntry, PAUSE_TEXT_MAX, PAUSES_MAX, Pause, StoreError},
};
use crate::clock::Timestamp;

fn write_row(p: &Pause) -> Vec<u8> {
    let mut pen = Pen::new(VERSION, 64);
    pen.number(p.since.as_millis());
    pen.maybe_number(p.until.map(Timestamp::as_millis));
    pen.text(&p.operator);
    pen.text(&p.reason);
    pen.done()
}

fn read_row(destination: &str, row: &[u8]) -> Result<Pause, RowError> {
    let (_, mut eye) = Eye::open(row, VERSION)?;
    Ok(Pause {
        destination: destination.to_owned(),
        since: Timestamp::from_millis(eye.number()?),
        until: eye.maybe_number()?.map(Timestamp::from_millis),
        operator: eye.text()?.to_owned(),
        reason: eye.text()?.to_owned(),
    })
}

fn is_over(p: &Pause, now: Timestamp) -> bool {
    p.until.is_some_and(|until| until <= now)
}

/// The sizes of its texts, before it is handed to the writer.
pub(super) fn check(p: &Pause) -> Result<(), StoreError> {
    for (what, text) in [("destination", &p.destination), ("operator", &p.operator), ("reason", &p.reason)] {
        if text.len() > PAUSE_TEXT_MAX {
            return Err(StoreError::Refused(format!("the pause's {what} is longer than {PAUSE_TEXT_MAX} octets")));
        }
    }
    Ok(())
}

/// Writes a pause and its entry; `from`: from where it was made.
pub(super) fn put(work: &mut Work<'_, '_>, pause: Pause, from: String) -> Result<(), StoreError> {
    let now = work.now;
    // A row that cannot be read stays for `verify`.
    work.t.pauses.retain(|destination, row| !read_row(destination, row).is_ok_and(|p| is_over(&p, now))).fatal()?;
    let destination = pause.destination.to_lowercase();
    let known = work.t.pauses.get(destination.as_str()).fatal()?.is_some();
    if !known && work.t.pauses.iter().fatal()?.take(PAUSES_MAX).count() >= PAUSES_MAX {
        return Err(StoreError::Refused(format!("{PAUSES_MAX} destinations are paused already: lift one first")));
    }
    work.t.pauses.insert(destination.as_str(), write_row(&pause).as_slice()).fatal()?;
    let until = pause.until.map_or_else(|| "lifted".to_owned(), Timestamp::rfc3339);
    let detail = if pause.reason.is_empty() {
        format!("until={until}")
    } else {
        format!("until={until} reason={:?}", pause.reason)
    };
    let act = "queue.pause".to_owned();
    audit::write(work, &AuditEntry { at: now, who: pause.operator, from, act, object: destination, detail })
}

/// Lifts a pause; false: there was none, or it was over.
pub(super) fn lift(
    work: &mut Work<'_, '_>,
    destination: &str,
    operator: String,
    from: String,
) -> Result<bool, StoreError> {
    let destination = destination.to_lowercase();
    let now = work.now;
    let removed = match work.t.pauses.remove(destination.as_str()).fatal()? {
        None => return Ok(false),
        // One that cannot be read may still hold: it is lifted all the same.
        Some(row) => read_row(&destination, row.value()).ok(),
    };
    if removed.as_ref().is_some_and(|p| is_over(p, now)) {
        return Ok(false);
    }
    let detail = removed.map_or(String::new(), |p| format!("paused since={}", p.since));
    let act = "queue.resume".to_owned();
    audit::write(work, &AuditEntry { at: now, who: operator, from, act, object: destination, detail })?;
    Ok(true)
}

/// The pauses that hold now, by destination.
pub(super) fn all(db: &Database, now: Timestamp) -> Result<Vec<Pause>, StoreError> {
    let txn = db.begin_read().reading()?;
    let table = txn.open_table(PAUSES).reading()?;
    let mut out = Vec::new();
    for entry in table.iter().reading()?.take(PAUSES_MAX) {
        let (name, row) = entry.reading()?;
        let pause = read_row(name.value(), row.value())
            .map_err(|e| bad_row(format_args!("the pause of {}", name.value()), e))?;
        if !is_over(&pause, now) {
            out.push(pause);
        }
    }
    Ok(out)
}

/// Lines of damage.
pub(super) fn verify(txn: &redb::ReadTransaction) -> Result<Vec<String>, StoreError> {
    let mut damage = Vec::new();
    for entry in txn.open_table(PAUSES).reading()?.iter().reading()? {
        let (name, row) = entry.reading()?;
        if let Err(e) = read_row(name.value(), row.value()) {
            damage.push(format!("pause of {}: {e}", name.value()));
        }
    }
    Ok(damage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pause_is_read_back_equal(since in any::<u64>(), until in any::<Option<u64>>(), operator in ".{0,9}", reason in ".{0,50}") {
            let pause = Pause {
                destination: "a.example".into(), since: Timestamp::from_millis(since), until: until.map(Timestamp::from_millis), operator, reason,
            };
            prop_assert_eq!(read_row("a.example", &write_row(&pause)).unwrap(), pause);
        }
    }
}
