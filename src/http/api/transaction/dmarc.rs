//! The DMARC monitor: what others report about mail in a domain's name, by day and by source; and reports brought in.
//!
//! In: a call.  Out: rows; or what became of the files that came.
//! Always: it is the domain's mail, not the caller's: who may see own data only sees nothing of it; reports whose sender is not
//! proven count only where `all` is set; counts are numbers, as in statistics.
//! Sources: RFC 9990.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Call, paging::Asked, paging::rows, stored};
use crate::{
    clock::Timestamp,
    dmarc::{
        monitor::{DAYS, DAYS_MAX, FileOut, Query, domain_named},
        row::{By, KeptReport, Tally},
        views::{DayOut, SourceOut, Who},
    },
    http::{
        api::{
            Language,
            fault::{Fault, Why},
            reply::{Cell, Rows},
        },
        exchange::Response,
        when::Zone,
    },
    store::Page,
};

/// The keys of a day.
pub(in crate::http::api) const DAY_KEYS: [&str; 15] = [
    "date",
    "domain",
    "reports",
    "messages",
    "dkimPass",
    "spfPass",
    "aligned",
    "spoofed",
    "forwarded",
    "none",
    "quarantine",
    "reject",
    "relayReported",
    "relayDelivered",
    "relayUnaccounted",
];
/// The keys of a source.
pub(in crate::http::api) const SOURCE_KEYS: [&str; 16] = [
    "source",
    "label",
    "sender",
    "name",
    "reporters",
    "firstDate",
    "lastDate",
    "messages",
    "dkimPass",
    "spfPass",
    "aligned",
    "spoofed",
    "forwarded",
    "none",
    "quarantine",
    "reject",
];
/// The keys of a report.
pub(in crate::http::api) const REPORT_KEYS: [&str; 20] = [
    "domain",
    "organization",
    "reportId",
    "contact",
    "begin",
    "end",
    "received",
    "by",
    "mark",
    "policy",
    "rows",
    "messages",
    "dkimPass",
    "spfPass",
    "aligned",
    "spoofed",
    "forwarded",
    "none",
    "quarantine",
    "reject",
];
/// The keys of what became of a report that was brought.
pub(in crate::http::api) const IMPORT_KEYS: [&str; 8] =
    ["file", "kind", "result", "domain", "organization", "reportId", "rows", "error"];
/// The keys of the advice about a domain.
pub(in crate::http::api) const ADVICE_KEYS: [&str; 8] = [
    "domain",
    "policy",
    "messages",
    "wouldBeRefused",
    "relayRefused",
    "knownRefused",
    "unknownRefused",
    "recommendation",
];
/// The keys of an alarm.
pub(in crate::http::api) const ALARM_KEYS: [&str; 4] = ["domain", "alarm", "since", "message"];

/// Files of one call.
const FILES_MAX: usize = 100;

/// It is a domain's mail, everybody's of the company.
fn not_own_data_only(call: &Call<'_>) -> Result<(), Fault> {
    if call.caller.rights.own_data_only { Err(call.denied("own data only")) } else { Ok(()) }
}

fn query_of(call: &Call<'_>) -> Result<Query, Fault> {
    call.composition()?;
    not_own_data_only(call)?;
    let domain = domain_named(&call.ask.required("domain")?).ok_or_else(|| Why::Unknown.of("domain"))?;
    let days = call.ask.number("days", 1..=i64::from(DAYS_MAX))?.and_then(|days| u32::try_from(days).ok());
    let all = call.ask.flag("all")?.unwrap_or(false);
    Ok(Query { domain, days: days.unwrap_or(DAYS), all })
}

fn counts(tally: &Tally) -> [Cell; 9] {
    let t = tally;
    [t.messages, t.dkim, t.spf, t.aligned, t.spoofed, t.forwarded, t.none, t.quarantine, t.reject].map(Cell::Number)
}

type Row = Vec<(&'static str, Cell)>;

fn row_of<const N: usize>(keys: [&'static str; N], cells: impl IntoIterator<Item = Cell>) -> Row {
    keys.into_iter().zip(cells).collect()
}

/// `dmarc/daily`.
pub(super) fn daily(call: &Call<'_>) -> Result<Response, Fault> {
    let query = query_of(call)?;
    let days = call.daemon.dmarc().daily(&query).map_err(|error| stored(&error))?;
    let told =
        days.into_iter().filter(|day| day.reports > 0 || day.tally.messages > 0 || day.relay_delivered > Some(0));
    let row = |day: DayOut| {
        // Unknown is no number.
        let known = |n: Option<u64>| Cell::Text(n.map_or_else(String::new, |n| n.to_string()));
        let head = [day.day.into(), day.domain.into(), day.reports.into()];
        let relay = [day.relay_reported.into(), known(day.relay_delivered), known(day.relay_unaccounted)];
        row_of(DAY_KEYS, head.into_iter().chain(counts(&day.tally)).chain(relay))
    };
    Ok(Rows { plural: "days", singular: "day", rows: told.map(row).collect() }.response(call.format))
}

/// `dmarc/sources`.
pub(super) fn sources(call: &Call<'_>) -> Result<Response, Fault> {
    let (query, asked) = (query_of(call)?, Asked::of(call)?);
    let found = call.daemon.dmarc().sources(&query).map_err(|error| stored(&error))?;
    let row = |source: SourceOut| {
        let (label, sender) = match source.who {
            Who::ThisRelay => ("this_relay", String::new()),
            Who::KnownSender(name) => ("known_sender", name),
            Who::Unknown => ("unknown", String::new()),
        };
        let head = [
            source.source.to_string().into(),
            label.into(),
            sender.into(),
            source.name.into(),
            source.reporters.into(),
            source.first_day.into(),
            source.last_day.into(),
        ];
        row_of(SOURCE_KEYS, head.into_iter().chain(counts(&source.tally)))
    };
    let page = found.rows.into_iter().skip(asked.page * asked.rows).take(asked.rows);
    Ok(Rows { plural: "sources", singular: "source", rows: page.map(row).collect() }.response(call.format))
}

/// `dmarc/reports`.
pub(super) fn reports(call: &Call<'_>) -> Result<Response, Fault> {
    let query = query_of(call)?;
    let (desk, zone) = (call.daemon.dmarc(), &call.caller.zone);
    let search = format!("{query:?}");
    let read = |page: &Page| {
        let found = desk.reports(&query, page.cursor.as_deref(), page.rows_max)?;
        Ok((found.rows.into_iter().map(|(_, report)| report).collect::<Vec<KeptReport>>(), found.next))
    };
    let found = rows(call, Asked::of(call)?, &search, false, read)?;
    let time = |text: &str| time_of(zone, text);
    let row = |report: KeptReport| {
        let head = [
            Cell::Text(report.domain),
            report.organization.into(),
            report.report_id.into(),
            report.contact.into(),
            time(&report.begin).into(),
            time(&report.end).into(),
            time(&report.received_at).into(),
            report.by.word().into(),
            report.mark.word().into(),
            report.policy.p.into(),
            report.rows.into(),
        ];
        row_of(REPORT_KEYS, head.into_iter().chain(counts(&report.tally)))
    };
    let rows = found.into_iter().map(row).collect();
    Ok(Rows { plural: "reports", singular: "report", rows }.response(call.format))
}

/// `dmarc/advice`.
pub(super) fn advice(call: &Call<'_>) -> Result<Response, Fault> {
    let query = query_of(call)?;
    let report = call.daemon.dmarc().report(&query).map_err(|error| stored(&error))?;
    let what = report.what_if;
    let words = match call.language {
        Language::English => what.recommendation,
        Language::Japanese => what.recommendation_ja,
    };
    let cells = [
        Cell::Text(report.domain),
        what.policy.into(),
        report.total.messages.into(),
        what.would_be_refused.into(),
        what.relay_refused.into(),
        what.known_refused.into(),
        what.unknown_refused.into(),
        words.into(),
    ];
    Ok(Rows { plural: "advice", singular: "domain", rows: vec![row_of(ADVICE_KEYS, cells)] }.response(call.format))
}

/// A time of our own rows, in this zone; empty: there is none.
fn time_of(zone: &Zone, text: &str) -> String {
    Timestamp::from_rfc3339(text).map_or_else(String::new, |at| zone.full(at))
}

/// `dmarc/alarms`.
pub(super) fn alarms(call: &Call<'_>) -> Result<Response, Fault> {
    call.composition()?;
    not_own_data_only(call)?;
    let domain = match call.ask.text("domain")? {
        Some(text) => domain_named(&text).ok_or_else(|| Why::Unknown.of("domain"))?,
        None => String::new(),
    };
    let zone = &call.caller.zone;
    let rows = call.daemon.dmarc().alarms(&domain).into_iter().map(|alarm| {
        let words = match call.language {
            Language::English => alarm.words,
            Language::Japanese => alarm.words_ja,
        };
        let word = alarm.alarm.word();
        row_of(ALARM_KEYS, [Cell::Text(alarm.domain), word.into(), time_of(zone, &alarm.since).into(), words.into()])
    });
    Ok(Rows { plural: "alarms", singular: "alarm", rows: rows.collect() }.response(call.format))
}

/// `dmarc/import`: files of a multipart body, or `report`: a report's XML, or any such file in base64.
pub(super) fn import(call: &Call<'_>) -> Result<Response, Fault> {
    call.composition()?;
    let mut decoded = Vec::new();
    if let Some(text) = call.ask.text("report")? {
        decoded = match text.trim_start().starts_with('<') {
            true => text.into_bytes(),
            false => {
                let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
                STANDARD.decode(packed).map_err(|_| Why::BadCharacter.of("report"))?
            }
        };
    }
    let sent = call.ask.files();
    let mut files: Vec<(String, &[u8])> = Vec::new();
    if !decoded.is_empty() {
        files.push(("report".to_owned(), &decoded));
    }
    files.extend(sent.iter().map(|file| (file.name.clone(), file.bytes)));
    if files.is_empty() {
        return Err(Why::Missing.of("report"));
    }
    if files.len() > FILES_MAX {
        return Err(Why::TooMany { max: FILES_MAX }.of("report"));
    }
    let done = call.daemon.dmarc().import(&files, By::Api).map_err(|error| stored(&error))?;
    let new = done.iter().flat_map(|file| &file.reports).filter(|report| report.became == "new").count();
    call.note("dmarc.import", format!("{} files", done.len()), format!("{new} new"))?;
    let rows = done.into_iter().flat_map(import_rows).collect();
    Ok(Rows { plural: "imports", singular: "import", rows }.response(call.format))
}

/// A row a report; one for a file without any.
fn import_rows(file: FileOut) -> Vec<Row> {
    let mut rows: Vec<Row> = file
        .reports
        .into_iter()
        .map(|report| {
            let cells = [
                Cell::Text(file.file.clone()),
                report.kind.into(),
                report.became.into(),
                report.domain.into(),
                report.organization.into(),
                report.report_id.into(),
                report.rows.into(),
                report.why.into(),
            ];
            row_of(IMPORT_KEYS, cells)
        })
        .collect();
    if !file.error.is_empty() {
        let nothing = || Cell::Text(String::new());
        let cells = [
            Cell::Text(file.file),
            nothing(),
            "no_report".into(),
            nothing(),
            nothing(),
            nothing(),
            Cell::Number(0),
            file.error.into(),
        ];
        rows.push(row_of(IMPORT_KEYS, cells));
    }
    rows
}
