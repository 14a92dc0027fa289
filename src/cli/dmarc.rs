//! `hikyaku dmarc report|sources|reports|failures|import`: what others report about mail in our domains' names.
//!
//! Always: reports whose sender is not proven are left out of sums, and said to be, unless `--all` is given; a report is its
//! sender's word.

mod import;
pub(super) mod record;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{
    Target,
    args::{rows_wanted, text},
    client::{Client, DONE, NO, Query, Trouble},
    table::{Output, Table, clean, json_flag, on_terminal},
};
use crate::{
    dmarc::{
        monitor::{DAYS, DomainOut, DomainReport},
        row::Tally,
        views::{LeftOut, SourceOut, Who},
        watch::AlarmOut,
    },
    http::{
        control::dmarc::{FailureOut, ReportOut, SourceLine},
        when::of_rfc3339,
        words::number,
    },
};

/// Rows that a person sees when nothing is said.
const ROWS: u64 = 50;
/// Reports of a page.
const PAGE: &str = "500";
/// Names and reporters that a person sees.
const FEW: usize = 10;

/// The commands.
pub fn command() -> Command {
    Command::new("dmarc")
        .about("DMARC: what others report about mail in your domains' names")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(json_flag())
        .subcommand(
            Command::new("report")
                .about("Volume and authentication by day, what p=reject would do, and what is wrong; without NAME, all domains")
                .arg(Arg::new("domain").value_name("NAME").help("A domain: its own mail and that of names below it"))
                .args(span()),
        )
        .subcommand(
            Command::new("sources")
                .about("Who sends in a domain's name: this relay, known senders ([[dmarc.sender]]), and others")
                .arg(domain())
                .arg(limit())
                .args(span()),
        )
        .subcommand(
            Command::new("reports").about("The reports themselves, by day").arg(domain()).arg(limit()).args(span()),
        )
        .subcommand(
            Command::new("failures").about("Failure reports, by day").arg(domain()).arg(limit()).args(span()),
        )
        .subcommand(import::command())
        .subcommand(record::command())
}

fn domain() -> Arg {
    Arg::new("domain").value_name("NAME").required(true).help("A domain")
}

fn limit() -> Arg {
    Arg::new("limit")
        .long("limit")
        .value_name("N")
        .value_parser(clap::value_parser!(u64))
        .help(format!("Rows at most; 0: all [default: {ROWS}, all with --json]"))
}

fn span() -> [Arg; 2] {
    [
        Arg::new("days")
            .long("days")
            .value_name("N")
            .value_parser(clap::value_parser!(u32))
            .help(format!("So many days (UTC), today included [default: {DAYS}]")),
        Arg::new("all")
            .long("all")
            .action(ArgAction::SetTrue)
            .help("Count reports, too, whose sender is not proven (forged, unverified, unknown)"),
    ]
}

/// Runs one of them.
pub fn run(matches: &ArgMatches, target: &Target) -> u8 {
    on_terminal(|output| run_to(matches, target, output))
}

pub(super) fn run_to(matches: &ArgMatches, target: &Target, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let client = Client::new(target);
    match matches.subcommand() {
        Some(("report", args)) if text(args, "domain").is_empty() => all(&client, args, output),
        Some(("report", args)) => report(&client, args, output),
        Some(("sources", args)) => sources(&client, args, output),
        Some(("reports", args)) => reports(&client, args, output),
        Some(("failures", args)) => failures(&client, args, output),
        Some(("import", args)) => import::run_to(&client, args, output),
        _ => Err(Trouble::Usage("report, sources, reports, failures or import?".into())),
    }
}

fn query(args: &ArgMatches) -> Query {
    let days = args.get_one::<u32>("days").map_or_else(String::new, u32::to_string);
    Query::default().with("domain", text(args, "domain")).with("days", &days).flag("all", args.get_flag("all"))
}

/// `97.3 %`; a dash where there is nothing.
fn share(of: u64, all: u64) -> String {
    if all == 0 {
        return "-".into();
    }
    // In thousandths, so that no rounding calls one failure in a million 100 %.
    let thousandths = u128::from(of) * 1_000 / u128::from(all);
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

fn all(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let answer = client.get("dmarc/domains", &query(args))?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let zone = answer.zone();
    let rows: Vec<DomainOut> = answer.rows()?;
    let mut table = Table::new(&["DOMAIN", ">REPORTS", ">MAILS", ">PASSED", ">FAILED", "POLICY", "LAST REPORT"]);
    for row in &rows {
        table.row([
            row.domain.clone(),
            number(row.reports),
            number(row.tally.messages),
            share(row.tally.aligned, row.tally.messages),
            number(row.tally.spoofed),
            if row.policy.is_empty() { "-".into() } else { row.policy.clone() },
            of_rfc3339(&row.last_received).map_or_else(|| "-".to_owned(), |at| zone.full(at)),
        ]);
    }
    if table.is_empty() {
        output.line("There are no reports, and no [[domain]] in the config that there could be some about.")?;
    } else {
        table.print(output, "")?;
    }
    let mut out = LeftOut::default();
    for row in &rows {
        out.reports += row.left_out.reports;
        out.messages = out.messages.saturating_add(row.left_out.messages);
        out.forged += row.left_out.forged;
    }
    left_out(out, output)?;
    let alarms: Vec<AlarmOut> = rows.into_iter().flat_map(|row| row.alarms).collect();
    tell_alarms(&alarms, output)?;
    Ok(DONE)
}

fn left_out(out: LeftOut, output: &mut Output<'_>) -> Result<(), Trouble> {
    if out.reports == 0 {
        return Ok(());
    }
    output.line(&format!(
        "Left out: {} reports about {} mails whose sender is not proven, {} of them forged (--all counts them).",
        number(out.reports),
        number(out.messages),
        number(out.forged)
    ))
}

fn tell_alarms(alarms: &[AlarmOut], output: &mut Output<'_>) -> Result<(), Trouble> {
    for alarm in alarms {
        output.line(&format!("! {}", clean(&alarm.words)))?;
    }
    Ok(())
}

fn report(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let answer = client.get("dmarc/report", &query(args))?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let report: DomainReport = answer.row()?;
    output.line(&format!("{}, {} to {} (UTC)", clean(&report.domain), clean(&report.from), clean(&report.to)))?;
    tell_alarms(&report.alarms, output)?;
    if report.total.messages == 0 && report.days.iter().all(|day| day.reports == 0) {
        output.line("No reports in this time.")?;
        left_out(report.left_out, output)?;
        return Ok(NO);
    }
    output.line("")?;
    let columns = [
        "DAY", ">REPORTS", ">MAILS", ">DKIM", ">SPF", ">PASSED", ">FAILED", ">NONE", ">JUNK", ">REFUSED", ">OURS",
        ">SENT",
    ];
    let mut table = Table::new(&columns);
    for day in report.days.iter().filter(|day| day.reports > 0 || day.relay_delivered.unwrap_or(0) > 0) {
        let sent = day.relay_delivered.map_or_else(|| "-".to_owned(), number);
        table.row(day_cells(&day.day, day.reports, &day.tally, day.relay_reported, sent));
    }
    let reports = report.days.iter().map(|day| day.reports).sum();
    let ours = report.days.iter().map(|day| day.relay_reported).fold(0, u64::saturating_add);
    let sent = report.relay_delivered.map_or_else(|| "-".to_owned(), number);
    table.row(day_cells("all", reports, &report.total, ours, sent));
    table.print(output, "")?;
    output.line("  OURS: reported from this relay's addresses. SENT: delivered by this relay, by its own log.")?;
    if report.relay_unaccounted > 0 {
        output.line(&format!(
            "! {} mails came from this relay's addresses that it does not know of: somebody else sends from them.",
            number(report.relay_unaccounted)
        ))?;
    }
    if report.names.len() > 1 {
        output.line("")?;
        let mut table = Table::new(&["FROM", ">MAILS", ">PASSED", ">FAILED"]);
        for row in report.names.iter().take(FEW) {
            let t = &row.tally;
            table.row([row.name.clone(), number(t.messages), share(t.aligned, t.messages), number(t.spoofed)]);
        }
        table.print(output, "")?;
    }
    output.line("")?;
    what_if(&report, output)?;
    if report.failures > 0 {
        output.line(&format!("Failure reports: {} (hikyaku dmarc failures)", number(report.failures)))?;
    }
    let few: Vec<String> = report
        .reporters
        .iter()
        .take(FEW)
        .map(|r| format!("{} {}", clean(&r.organization), number(r.messages)))
        .collect();
    output.line(&format!("Reported by: {}", few.join(", ")))?;
    left_out(report.left_out, output)?;
    if report.is_cut {
        output.line("There is more than is looked at at once: ask for fewer days.")?;
    }
    Ok(DONE)
}

fn day_cells(day: &str, reports: u64, t: &Tally, ours: u64, sent: String) -> [String; 12] {
    [
        day.to_owned(),
        number(reports),
        number(t.messages),
        share(t.dkim, t.messages),
        share(t.spf, t.messages),
        share(t.aligned, t.messages),
        number(t.spoofed),
        number(t.none),
        number(t.quarantine),
        number(t.reject),
        number(ours),
        sent,
    ]
}

fn what_if(report: &DomainReport, output: &mut Output<'_>) -> Result<(), Trouble> {
    let what = &report.what_if;
    let policy = if what.policy.is_empty() { "not reported" } else { what.policy.as_str() };
    output.line(&format!(
        "With p=reject (now {}), {} of these mails would have been refused:",
        clean(policy),
        number(what.would_be_refused)
    ))?;
    let mut table = Table::new(&["WHOSE", ">MAILS", ">REFUSED"]);
    table.row(["this relay".into(), number(what.relay_messages), number(what.relay_refused)]);
    table.row(["known senders".into(), number(what.known_messages), number(what.known_refused)]);
    let refused = match what.unknown_forwarded {
        0 => number(what.unknown_refused),
        n => format!("{} ({} forwarded)", number(what.unknown_refused), number(n)),
    };
    table.row(["unknown".into(), number(what.unknown_messages), refused]);
    table.print(output, "  ")?;
    if !what.sources.is_empty() {
        output.line("  The sources of what would have been refused:")?;
        let mut table = Table::new(&["SOURCE", "WHOSE", ">REFUSED", "NAME"]);
        for source in what.sources.iter().take(FEW) {
            let name = if source.name.is_empty() { "-".to_owned() } else { source.name.clone() };
            table.row([source.source.to_string(), source.who.word().to_owned(), number(source.tally.spoofed), name]);
        }
        table.print(output, "  ")?;
    }
    output.line(&clean(&what.recommendation))
}

fn sources(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let answer = client.get("dmarc/sources", &query(args))?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let mut table = Table::new(&[
        "SOURCE",
        "WHOSE",
        ">MAILS",
        ">DKIM",
        ">SPF",
        ">PASSED",
        ">FAILED",
        ">REPORTERS",
        "LAST DAY",
        "NAME",
    ]);
    let (mut shown, mut more, mut out, mut beyond) = (0, 0, LeftOut::default(), Tally::default());
    for line in answer.rows::<SourceLine>()? {
        match line {
            SourceLine::Source(source) if shown < rows_wanted(args, false, ROWS) => {
                shown += 1;
                table.row(source_cells(&source));
            }
            SourceLine::Source(_) => more += 1,
            SourceLine::Beside { others, left_out } => (beyond, out) = (others, left_out),
        }
    }
    if shown == 0 {
        output.line("No source was reported in this time.")?;
        left_out(out, output)?;
        return Ok(NO);
    }
    table.print(output, "")?;
    if more > 0 {
        output.line(&format!("{} more sources (--limit 0 shows all).", number(more)))?;
    }
    if beyond.messages > 0 {
        output.line(&format!("{} mails of further sources that are not told apart.", number(beyond.messages)))?;
    }
    left_out(out, output)?;
    Ok(DONE)
}

fn source_cells(source: &SourceOut) -> [String; 10] {
    let t = &source.tally;
    let name = match (&source.who, source.name.as_str(), source.is_looked_up) {
        (_, "", false) => "(being looked up)".to_owned(),
        (Who::ThisRelay | Who::KnownSender(_) | Who::Unknown, "", true) => "-".to_owned(),
        (_, name, _) => name.to_owned(),
    };
    [
        source.source.to_string(),
        source.who.word().to_owned(),
        number(t.messages),
        share(t.dkim, t.messages),
        share(t.spf, t.messages),
        share(t.aligned, t.messages),
        number(t.spoofed),
        number(source.reporters),
        source.last_day.clone(),
        name,
    ]
}

/// Every page of a route, as far as rows are wanted.
fn pages(
    client: &Client,
    route: &str,
    args: &ArgMatches,
    output: &mut Output<'_>,
    each: &mut dyn FnMut(&super::client::Answer) -> Result<u64, Trouble>,
) -> Result<(), Trouble> {
    let json = args.get_flag("json");
    let (wanted, mut seen, mut cursor) = (rows_wanted(args, json, ROWS), 0, None::<String>);
    loop {
        let query = query(args).with("limit", PAGE).with("cursor", cursor.as_deref().unwrap_or_default());
        let answer = client.get(route, &query)?;
        if json {
            output.out.write_all(&answer.body)?;
            seen += answer.body.iter().filter(|b| **b == b'\n').count() as u64;
        } else {
            seen += each(&answer)?;
        }
        cursor = answer.next_cursor();
        if cursor.is_none() || seen >= wanted {
            return Ok(());
        }
    }
}

fn reports(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let mut table =
        Table::new(&["DAY", "FROM", ">ROWS", ">MAILS", ">PASSED", ">FAILED", "POLICY", "SENDER", "BY", "REPORT"]);
    let (wanted, mut shown) = (rows_wanted(args, false, ROWS), 0);
    pages(client, "dmarc/reports", args, output, &mut |answer| {
        let rows: Vec<ReportOut> = answer.rows()?;
        for row in &rows {
            if shown < wanted {
                shown += 1;
                let (r, t) = (&row.report, &row.report.tally);
                table.row([
                    r.begin.chars().take(10).collect(),
                    r.organization.clone(),
                    number(r.rows),
                    number(t.messages),
                    share(t.aligned, t.messages),
                    number(t.spoofed),
                    r.policy.p.clone(),
                    r.mark.word().to_owned(),
                    r.by.word().to_owned(),
                    r.report_id.clone(),
                ]);
            }
        }
        Ok(rows.len() as u64)
    })?;
    end(&table, args, "No report about this domain in this time.", output)
}

fn failures(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let mut table = Table::new(&["ARRIVED", "REPORTER", "SENDER", "SOURCE", "FAILED", "BECAME", "FROM", "SUBJECT"]);
    let (wanted, mut shown) = (rows_wanted(args, false, ROWS), 0);
    pages(client, "dmarc/failures", args, output, &mut |answer| {
        let zone = answer.zone();
        let rows: Vec<FailureOut> = answer.rows()?;
        for row in &rows {
            if shown < wanted {
                shown += 1;
                let r = &row.report;
                table.row([
                    of_rfc3339(&r.at).map_or_else(|| "-".to_owned(), |at| zone.full(at)),
                    r.reporter.clone(),
                    r.mark.clone(),
                    r.source.clone(),
                    r.failure.clone(),
                    r.delivery.clone(),
                    r.header_from.clone(),
                    r.subject.clone(),
                ]);
            }
        }
        Ok(rows.len() as u64)
    })?;
    end(&table, args, "No failure report about this domain in this time.", output)
}

fn end(table: &Table, args: &ArgMatches, nothing: &str, output: &mut Output<'_>) -> Result<u8, Trouble> {
    if args.get_flag("json") {
        return Ok(DONE);
    }
    if table.is_empty() {
        output.line(nothing)?;
        return Ok(NO);
    }
    table.print(output, "")?;
    Ok(DONE)
}

#[cfg(test)]
#[path = "dmarc/dmarc_tests.rs"]
mod tests;
