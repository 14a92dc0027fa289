//! Reports as they are in the world, and as attackers make them.
//!
//! In: `../shared/corpora/dmarc` (or the folder that `HIKYAKU_DMARC` names): reports and `expected.tsv`; and hostile files made
//! here.  Out: a table of differences; skipped with a printed reason where the folder is absent.
#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]
#![allow(clippy::print_stdout, reason = "the figures are the point")]

#[path = "dmarc_reports/hostile.rs"]
mod hostile;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use hikyaku::{
    dmarc::{
        read::read,
        report::{Aggregate, Failure, Found},
    },
    tls_report::json::Report,
};

const COLUMNS: [&str; 12] = [
    "type",
    "schema",
    "org",
    "report_id",
    "begin",
    "end",
    "domain",
    "policy",
    "records",
    "count",
    "dmarc_pass",
    "errors",
];

fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("HIKYAKU_DMARC").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora/dmarc");
    named.into_iter().chain([beside]).find(|folder| folder.join("expected.tsv").is_file())
}

/// `2024-01-25 05:12:24`, in UTC.
fn utc(seconds: u64) -> String {
    let at = jiff::Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap();
    at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn cells(values: [String; 12]) -> BTreeMap<&'static str, String> {
    COLUMNS.into_iter().zip(values).collect()
}

/// A report's row of the table, from its pieces.
fn of_aggregate(pieces: &[Aggregate]) -> BTreeMap<&'static str, String> {
    let head = &pieces[0].head;
    let rows: Vec<_> = pieces.iter().flat_map(|p| &p.rows).collect();
    let messages: u64 = rows.iter().map(|r| r.count).sum();
    let passed: u64 = rows.iter().filter(|r| r.passed()).map(|r| r.count).sum();
    assert_eq!((head.totals.rows, head.totals.messages, head.totals.passed), (rows.len() as u64, messages, passed));
    cells([
        "aggregate".into(),
        head.schema.clone(),
        head.organization_key(),
        head.report_id.clone(),
        utc(head.begin_seconds),
        utc(head.end_seconds),
        head.policy.domain.clone(),
        head.policy.p.to_string(),
        rows.len().to_string(),
        messages.to_string(),
        passed.to_string(),
        if head.errors.is_empty() { String::new() } else { head.errors.len().to_string() },
    ])
}

fn of_failure(failure: &Failure) -> BTreeMap<&'static str, String> {
    assert!(failure.arrived_seconds.is_some() && failure.source_ip.is_some(), "{failure:?}");
    let mut row = cells(std::array::from_fn(|_| String::new()));
    row.insert("type", "failure".into());
    row.insert("org", failure.reported_domain.clone());
    // These reports have no id.
    row.insert("report_id", "None".into());
    row.insert("begin", failure.arrival_date.clone());
    row.insert("domain", failure.reported_domain.clone());
    row.insert("policy", failure.feedback_type.clone());
    row
}

fn of_tls(json: &[u8]) -> BTreeMap<&'static str, String> {
    let report = Report::read(json).unwrap();
    let passed: u64 = report.policies.iter().map(|p| p.summary.total_successful_session_count).sum();
    let failed: u64 = report.policies.iter().map(|p| p.summary.total_failure_session_count).sum();
    cells([
        "smtp_tls".into(),
        String::new(),
        report.organization_name.clone(),
        report.report_id.clone(),
        report.date_range.start_datetime.clone(),
        report.date_range.end_datetime.clone(),
        report.policies.first().map(|p| p.policy.policy_domain.clone()).unwrap_or_default(),
        String::new(),
        report.policies.len().to_string(),
        (passed + failed).to_string(),
        passed.to_string(),
        String::new(),
    ])
}

/// The rows of the table that a file makes, or why it makes none.
fn rows_of(file: &[u8]) -> Result<Vec<BTreeMap<&'static str, String>>, String> {
    let mut found = Vec::new();
    read(file, &mut |f| found.push(f)).map_err(|no| no.to_string())?;
    let (mut rows, mut pieces) = (Vec::new(), Vec::new());
    for found in found {
        match found {
            Found::Aggregate(piece) => {
                pieces.push(piece);
                if pieces.last().is_some_and(|p| p.is_last) {
                    rows.push(of_aggregate(&pieces));
                    pieces.clear();
                }
            }
            Found::Failure(failure) => rows.push(of_failure(&failure)),
            Found::Tls(json) => rows.push(of_tls(&json)),
        }
    }
    assert!(pieces.is_empty(), "every report has a last piece");
    Ok(rows)
}

#[test]
fn the_corpus_is_read_as_expected() {
    let Some(folder) = folder() else {
        println!("skipped: ../shared/corpora/dmarc is absent");
        return;
    };
    let table = fs::read_to_string(folder.join("expected.tsv")).unwrap();
    let mut lines = table.lines();
    let header: Vec<&str> = lines.next().unwrap().split('\t').collect();
    assert_eq!(header[1..], COLUMNS, "expected.tsv has other columns");
    let (mut files, mut right, mut differences) = (0, 0, 0);
    for line in lines {
        let mut expected = line.split('\t');
        let name = expected.next().unwrap();
        let expected: Vec<&str> = expected.chain(std::iter::repeat("")).take(COLUMNS.len()).collect();
        let read = rows_of(&fs::read(folder.join(name)).unwrap());
        files += 1;
        if expected[0].is_empty() {
            // What the tool that made the table refuses: a TLS report with another type, or with a policy it does not know.
            println!("note: {name}: nothing is expected; read: {read:?}");
            continue;
        }
        let rows = match read {
            Ok(rows) if rows.len() == 1 => rows,
            other => {
                println!("difference: {name}: expected one {} report, read {other:?}", expected[0]);
                differences += 1;
                continue;
            }
        };
        for (column, expected) in COLUMNS.into_iter().zip(expected) {
            if rows[0][column] == expected {
                right += 1;
            } else {
                println!("difference: {name}: {column}: expected {expected:?}, read {:?}", rows[0][column]);
                differences += 1;
            }
        }
    }
    println!("figure: corpus: {files} files, {right} cells equal, {differences} differ");
    assert!(files >= 20 && differences == 0, "{differences} differences in {files} files");
}
