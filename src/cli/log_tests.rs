//! Logs and statistics for programs: the same columns everywhere, and sums as CMC makes them.

use clap::Command;

use super::{Target, log, stats, status, table};
use crate::{
    http::{daemon::Daemon, fake::Fake, front::Limits, rig::Rig, stats::StatsOut, when::of_rfc3339},
    sheet::{BOM, Sheet},
    store::{LOG_COLUMNS, LogQuery, Page, QuarterCounts, log_cells},
};

fn run(rig: &Rig, line: &str) -> (u8, String, String) {
    let root = Command::new("hikyaku").subcommands([log::command(), stats::command(), status::command()]);
    let words = std::iter::once("hikyaku").chain(line.split_whitespace());
    let matches = match root.try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) => return (2, String::new(), error.to_string()),
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let target = Target { data_dir: rig.dir.clone() };
    let code =
        table::finish(&mut table::Output { out: &mut out, err: &mut err }, |output| match matches.subcommand() {
            Some(("log", args)) => log::run_to(args, &target, output, Some(1)),
            Some(("status", args)) => status::run_to(args, &target, output),
            Some((_, args)) => stats::run_to(args, &target, output),
            None => Ok(2),
        });
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (code, text(out), text(err))
}

#[test]
fn the_archive_and_the_command_line_write_the_same_rows() {
    let rig = Rig::new(Fake::bounced(), Limits::default());
    let rows = rig.fake.log_page(&LogQuery::default(), &Page { rows_max: 1000, ..Page::default() }).expect("rows").rows;
    let zone = jiff::tz::TimeZone::get("Asia/Tokyo").expect("a zone");
    let mut sheet = Sheet::new(Vec::new(), &LOG_COLUMNS).expect("RAM");
    for row in &rows {
        sheet.row(log_cells(row, &zone)).expect("RAM");
    }
    let archived = String::from_utf8(sheet.finish().expect("RAM")).expect("UTF-8");
    assert!(rows.len() > 5 && rows.iter().any(|row| !row.links.is_empty()), "{}", rows.len());
    let (_, shown, _) = run(&rig, "log deliveries --csv");
    assert_eq!(shown, archived);
    let (_, shown, _) = run(&rig, "log deliveries --csv --bom");
    assert_eq!(shown.as_bytes().strip_prefix(BOM), Some(archived.as_bytes()));
    assert_eq!(run(&rig, "log deliveries --bom").0, 2, "a mark is for CSV");
}

#[test]
fn new_entries_of_the_operation_log_are_shown_as_they_come() {
    let rig = Rig::new(Fake::busy(), Limits::default());
    let (code, out, err) = run(&rig, "log audit --follow");
    assert_eq!(code, 0, "{err}");
    assert!(out.lines().count() >= 1 && out.starts_with("2026-11-24 "), "{out}");
}

/// Two users over three days of Tokyo; numbers are prime, so that no wrong sum is right.
fn counted() -> Fake {
    let counts = |at: &str, user: &str, queued, succeeded, failed, blocked| QuarterCounts {
        start: of_rfc3339(at).expect("a time"),
        user: user.to_owned(),
        queued,
        succeeded,
        failed,
        blocked,
        ..QuarterCounts::default()
    };
    let counts = vec![
        // 23:45 of the last day of October, then midnight of November.
        counts("2026-10-31T14:45:00Z", "shop", 1009, 1000, 5, 4),
        counts("2026-10-31T15:00:00Z", "crm", 31, 29, 2, 0),
        counts("2026-10-31T15:00:00Z", "shop", 101, 83, 11, 7),
        counts("2026-11-01T14:45:00Z", "shop", 13, 13, 0, 0),
        counts("2026-11-01T15:00:00Z", "", 3, 0, 0, 3),
    ];
    Fake { counts, ..Fake::busy() }
}

#[test]
fn statistics_are_by_day_of_the_zone_and_as_cmc_counts() {
    let rig = Rig::new(counted(), Limits::default());
    let rows = |line: &str| -> Vec<StatsOut> {
        let (code, out, err) = run(&rig, line);
        assert_eq!(code, 0, "{line}: {err}");
        out.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
    };
    let of = |rows: &[StatsOut]| -> Vec<(String, Option<String>, u64, u64, u64)> {
        rows.iter().map(|r| (r.date.clone(), r.user.clone(), r.received, r.valid, r.blocked)).collect()
    };
    let row = |date: &str, user: Option<&str>, received, valid, blocked| {
        (date.to_owned(), user.map(str::to_owned), received, valid, blocked)
    };
    // The made-up present is in November.
    let november = rows("stats --json");
    let expected =
        [row("2026-11-01", None, 145, 138, 7), row("2026-11-02", None, 3, 0, 3), row("total", None, 148, 138, 10)];
    assert_eq!(of(&november), expected);
    assert_eq!(november[0].error_rate, Some(13.0 / 138.0));
    assert_eq!(november[1].error_rate, None, "blocked mail is no error");
    assert_eq!(november, rows("stats --json --month 2026-11"));
    let day = rows("stats --json --day 2026-11-01 --by-user");
    let expected = [
        row("2026-11-01", Some("crm"), 31, 31, 0),
        row("2026-11-01", Some("shop"), 114, 107, 7),
        row("total", Some("crm"), 31, 31, 0),
        row("total", Some("shop"), 114, 107, 7),
    ];
    assert_eq!(of(&day), expected);
    let shop = rows("stats --json --since 2026-10-31 --until 2026-11-02 --user shop");
    let expected = [
        row("2026-10-31", Some("shop"), 1009, 1005, 4),
        row("2026-11-01", Some("shop"), 114, 107, 7),
        row("total", Some("shop"), 1123, 1112, 11),
    ];
    assert_eq!(of(&shop), expected);
    assert!(rows("stats --json --month 2026-12").is_empty());
}

#[test]
fn statistics_are_a_table_for_people_and_csv_for_sheets() {
    let rig = Rig::new(counted(), Limits::default());
    let (_, out, _) = run(&rig, "stats --by-user");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("DATE        USER"), "{out}");
    assert!(lines[2].starts_with("2026-11-01  shop") && lines[2].contains("10.28 %"), "{out}");
    assert!(lines[3].starts_with("2026-11-02  -"), "{out}");
    let (_, out, _) = run(&rig, "stats --day 2026-11-02 --csv --bom");
    let head = "date,user,received,succeeded,failed,blocked,valid,error_rate,deferred,dropped,bounced,complained\r\n";
    assert_eq!(out, format!("\u{feff}{head}2026-11-02,,3,0,0,3,0,,0,0,0,0\r\ntotal,,3,0,0,3,0,,0,0,0,0\r\n"));
    let (_, out, _) = run(&rig, "stats --month 2026-12");
    assert_eq!(out, "No mail in this time.\n");
}

#[test]
fn a_period_that_is_none_is_refused_with_its_field() {
    let rig = Rig::new(counted(), Limits::default());
    for (line, words) in [
        ("stats --month 2026-13", "2026-13"),
        ("stats --month 2026-11-01", "is no month"),
        ("stats --day 2026-11", "is no day"),
        ("stats --day yesterday", "is no day"),
        ("stats --since 2026-11-02 --until 2026-11-01", "since must be before until"),
    ] {
        let (code, out, err) = run(&rig, line);
        assert!(code != 0 && out.is_empty() && err.contains(words), "{line}: {code} {err}");
    }
    assert_eq!(run(&rig, "stats --month 2026-11 --day 2026-11-01").0, 2);
    let broken = Rig::new(Fake { broken: true, ..counted() }, Limits::default());
    assert_ne!(run(&broken, "stats").0, 0);
}

#[test]
fn an_archive_in_trouble_is_in_the_status() {
    let words = "rows of the logs are not archived";
    let fake = Fake { archive_trouble: Some(words.into()), ..Fake::busy() };
    let rig = Rig::new(fake, Limits::default());
    let (code, out, _) = run(&rig, "status");
    assert_eq!(code, 0, "mail is taken all the same");
    assert!(out.contains(&format!("\n  ! {words}\n")), "{out}");
    assert!(!run(&Rig::new(Fake::busy(), Limits::default()), "status").1.contains("  ! "));
}
