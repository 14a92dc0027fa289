//! How entries of the logs look as rows of a sheet: the columns of archives, and of the command line's CSV.
//!
//! In: an entry.  Out: its cells, in the order of the head.
//! Always: columns are added at the end, never renamed or moved: other people's programs read old archives with new ones. Times
//! are RFC 3339 with the offset of the zone.

use jiff::tz::TimeZone;

use super::types::{AuditEntry, LogRow};
use crate::{
    clock::Timestamp,
    event::{ErrorClass, Event},
};

/// The columns of the delivery and error log.
pub const LOG_COLUMNS: [&str; 37] = [
    "at",
    "status",
    "recipient",
    "sender",
    "from",
    "subject",
    "message_id",
    "api_data",
    "user",
    "queue_id",
    "attempt",
    "destination",
    "host",
    "address",
    "sender_ip",
    "source_ip",
    "tls",
    "phase",
    "reply",
    "duration_ms",
    "error",
    "error_code",
    "possible_duplicate",
    "next_try",
    "operator",
    "size",
    "class",
    "number",
    "trouble",
    "hard",
    "about_number",
    "about_at",
    "returned_number",
    "returned_at",
    "returned_status",
    "returned_error",
    "returned_reply",
];

/// The columns of the login and operation log.
pub const AUDIT_COLUMNS: [&str; 6] = ["at", "who", "from", "act", "object", "detail"];

/// A time in a zone: `2026-11-24T22:35:10+09:00`; empty where it is none.
fn time(at: Timestamp, zone: &TimeZone) -> String {
    i64::try_from(at.as_millis())
        .ok()
        .filter(|_| at != Timestamp::MAX)
        .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
        .map_or_else(String::new, |at| at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
}

/// An entry of the delivery log.
pub fn log_cells(row: &LogRow, zone: &TimeZone) -> Vec<String> {
    let (e, m) = (&row.event, &*row.message);
    let detail = e.detail.clone().unwrap_or_default();
    let last = row.links.last();
    let about = last.filter(|_| e.kind.is_return());
    let returned = last.filter(|_| !e.kind.is_return());
    let error = |event: &Event| event.detail.as_ref().and_then(|d| d.error);
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let shown = |value: Option<String>| value.unwrap_or_default();
    let at = |event: Option<&super::types::Linked>| shown(event.map(|l| time(l.event.at, zone)));
    vec![
        time(e.at, zone),
        e.kind.word().to_owned(),
        row.recipient.clone(),
        shown(m.sender.as_ref().map(ToString::to_string)),
        m.facts.from.clone(),
        m.facts.subject.clone(),
        m.facts.message_id.clone(),
        m.facts.api_data.clone(),
        m.user.clone(),
        m.id.to_string(),
        e.attempt.to_string(),
        detail.destination,
        detail.host,
        shown(detail.address.map(|a| a.to_string())),
        shown(detail.sender_ip.map(|a| a.to_string())),
        shown(m.source_ip.map(|a| a.to_string())),
        detail.tls,
        text(detail.phase.map(|p| p.word())),
        detail.reply,
        u64::try_from(detail.duration.as_millis()).unwrap_or(u64::MAX).to_string(),
        text(error(e).map(ErrorClass::word)),
        shown(error(e).map(|class| class.code().to_string())),
        detail.possible_duplicate.to_string(),
        shown(e.next_try.map(|next| time(next, zone))),
        text(e.operator.as_deref()),
        m.len.to_string(),
        m.class.word().to_owned(),
        row.number.to_string(),
        text(detail.trouble.map(|t| t.word())),
        detail.hard.to_string(),
        shown(about.map(|l| l.number.to_string())),
        at(about),
        shown(returned.map(|l| l.number.to_string())),
        at(returned),
        text(returned.map(|l| l.event.kind.word())),
        text(returned.and_then(|l| error(&l.event)).map(ErrorClass::word)),
        shown(returned.and_then(|l| l.event.detail.as_ref()).map(|d| d.reply.clone())),
    ]
}

/// An entry whose message or row is damaged: what is left of it.
pub(super) fn damaged_cells(number: u64, at: Timestamp, status: &str, queue_id: &str, zone: &TimeZone) -> Vec<String> {
    let mut cells = vec![String::new(); LOG_COLUMNS.len()];
    let known = [
        ("at", time(at, zone)),
        ("status", status.to_owned()),
        ("queue_id", queue_id.to_owned()),
        ("number", number.to_string()),
    ];
    for (cell, column) in cells.iter_mut().zip(LOG_COLUMNS) {
        if let Some((_, value)) = known.iter().find(|(name, _)| *name == column) {
            cell.clone_from(value);
        }
    }
    cells
}

/// An entry of the operation log.
pub fn audit_cells(entry: &AuditEntry, zone: &TimeZone) -> Vec<String> {
    let AuditEntry { at, who, from, act, object, detail } = entry.clone();
    vec![time(at, zone), who, from, act, object, detail]
}
