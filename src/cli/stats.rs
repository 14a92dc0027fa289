//! `hikyaku stats`: how many mails were taken, delivered, failed and blocked, by day and API user (R14).

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{
    Target,
    args::text,
    client::{Client, DONE, Query, Trouble},
    table::{Csv, Output, Table, json_flag, on_terminal},
};
use crate::{
    http::{stats::StatsOut, words::number},
    sheet::Style,
};

const HELP: &str = "\
Days are those of [server] time_zone. VALID is delivered and failed together; the rate is failed of valid. Blocked
recipients (suppressed, unsubscribed) were accepted and not written to: they are neither. What bounced after it was
delivered stays delivered. Statistics are kept for 400 days.

Examples:
  hikyaku stats
  hikyaku stats --month 2026-10 --by-user
  hikyaku stats --since 2026-10-01 --until 2026-10-08 --user shop --csv";

/// The columns of CSV.
const COLUMNS: [&str; 12] = [
    "date",
    "user",
    "received",
    "succeeded",
    "failed",
    "blocked",
    "valid",
    "error_rate",
    "deferred",
    "dropped",
    "bounced",
    "complained",
];

/// The command.
pub fn command() -> Command {
    let value = |name: &'static str, kind: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(kind).help(help)
    };
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    Command::new("stats")
        .about("How many mails were taken, delivered, failed and blocked, by day and API user")
        .arg(json_flag())
        .arg(
            value("month", "MONTH", "A month: 2026-11. Without any period: this one")
                .conflicts_with_all(["day", "since"]),
        )
        .arg(value("day", "DAY", "A day: 2026-11-24").conflicts_with("since"))
        .arg(value("since", "TIME", "From this time: 7d, 2026-11-24"))
        .arg(value("until", "TIME", "Before this time").requires("since"))
        .arg(value("user", "NAME", "Mail of this API user"))
        .arg(flag("by-user", "A line for each API user"))
        .arg(flag("csv", "CSV with a head line").conflicts_with("json"))
        .arg(flag("bom", "Begin the CSV with a byte order mark, for Excel").requires("csv"))
        .after_help(HELP)
}

/// Runs it.
pub fn run(matches: &ArgMatches, target: &Target) -> u8 {
    on_terminal(|output| run_to(matches, target, output))
}

pub(super) fn run_to(args: &ArgMatches, target: &Target, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let query = ["month", "day", "since", "until", "user"]
        .into_iter()
        .fold(Query::default(), |query, name| query.with(name, text(args, name)))
        .flag("by_user", args.get_flag("by-user"));
    let answer = Client::new(target).get("stats", &query)?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let rows = answer.rows::<StatsOut>()?;
    if args.get_flag("csv") {
        let style = Style { bom: args.get_flag("bom"), quoted: false };
        let mut csv = Csv::with(&mut *output.out, &COLUMNS, style)?;
        for row in rows {
            csv.row(cells(row))?;
        }
        csv.finish()?;
        return Ok(DONE);
    }
    if rows.is_empty() {
        output.line("No mail in this time.")?;
        return Ok(DONE);
    }
    let mut table = Table::new(&[
        "DATE",
        "USER",
        ">ACCEPTED",
        ">DELIVERED",
        ">FAILED",
        ">BLOCKED",
        ">VALID",
        ">FAILURE RATE",
        ">DEFERRED",
    ]);
    for row in rows {
        table.row([
            row.date,
            match row.user {
                None => "all".to_owned(),
                Some(name) if name.is_empty() => "-".to_owned(),
                Some(name) => name,
            },
            number(row.received),
            number(row.succeeded),
            number(row.failed),
            number(row.blocked),
            number(row.valid),
            row.error_rate.map_or_else(String::new, |rate| format!("{:.2} %", rate * 100.0)),
            number(row.deferred),
        ]);
    }
    table.print(output, "")?;
    Ok(DONE)
}

fn cells(row: StatsOut) -> Vec<String> {
    let mut cells = vec![row.date, row.user.unwrap_or_default()];
    cells.extend([row.received, row.succeeded, row.failed, row.blocked, row.valid].map(|n| n.to_string()));
    cells.push(row.error_rate.map_or_else(String::new, |rate| format!("{rate:.6}")));
    cells.extend([row.deferred, row.dropped, row.bounced, row.complained].map(|n| n.to_string()));
    cells
}
