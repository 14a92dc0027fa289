//! `hikyaku unsubscribe list|add|cancel|export`: who left which list by one-click unsubscription.
//!
//! Always: an act names its addresses; the export has CMC's columns.
//! Sources: cmc.md §8 and §12.6.

use clap::{Arg, ArgMatches, Command};

use super::{
    Target,
    args::{rows_wanted, text},
    client::{Client, DONE, NO, Query, Trouble},
    suppress::Pages,
    table::{Csv, Output, Table, json_flag, on_terminal},
};
use crate::http::{
    rows_lists::{UnsubscribeIn, UnsubscribeOut, UnsubscribedOut},
    when::of_rfc3339,
    words::number,
};

/// Rows of a table when nothing is said.
const TABLE_ROWS: u64 = 50;
/// CMC's columns.
const COLUMNS: [&str; 3] = ["created", "email", "filtername"];

/// The commands.
pub fn command() -> Command {
    let value = |name: &'static str, kind: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(kind).help(help)
    };
    let addresses = || Arg::new("addresses").value_name("ADDRESS").num_args(1..).required(true);
    let filters = |command: Command| {
        command
            .arg(Arg::new("part").value_name("TEXT").help("Part of the address"))
            .arg(value("list", "NAME", "The list: the name of its [[unsubscribe.filter]], whole"))
            .arg(value("since", "TIME", "Left at this time or later: 3d, 2026-11-24, RFC 3339"))
            .arg(value("until", "TIME", "Left before this time"))
    };
    Command::new("unsubscribe")
        .about("Who left which list, and is not written to in it")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(json_flag())
        .subcommand(
            filters(Command::new("list").about("Who left")).arg(
                value("limit", "N", "At most this many; 0: all. Default: 50 in a table, all in JSON")
                    .value_parser(clap::value_parser!(u64)),
            ),
        )
        .subcommand(
            Command::new("add")
                .about("Take addresses off a list on their owners' behalf")
                .arg(addresses())
                .arg(value("list", "NAME", "The list").required(true)),
        )
        .subcommand(Command::new("cancel").about("Write to these addresses again").arg(addresses()).arg(value(
            "list",
            "NAME",
            "Only in this list. Without it: in every list",
        )))
        .subcommand(filters(Command::new("export").about("Who left, as CSV with CMC's columns, on standard output")))
}

/// Runs one of them.
pub fn run(matches: &ArgMatches, target: &Target) -> u8 {
    on_terminal(|output| run_to(matches, target, output))
}

pub(super) fn run_to(matches: &ArgMatches, target: &Target, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let client = Client::new(target);
    match matches.subcommand() {
        Some(("list", args)) => list(&client, args, output),
        Some((verb @ ("add" | "cancel"), args)) => act(&client, verb, args, output),
        Some(("export", args)) => export(&client, args, output),
        Some(_) | None => Err(Trouble::Usage("list, add, cancel or export?".into())),
    }
}

fn query(args: &ArgMatches) -> Query {
    ["part", "list", "since", "until"].iter().fold(Query::default(), |query, name| query.with(name, text(args, name)))
}

fn list(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let json = args.get_flag("json");
    let limit = rows_wanted(args, json, TABLE_ROWS);
    let mut pages = Pages::new("unsubscribes", limit);
    let mut table = Table::new(&["ADDRESS", "LIST", "LEFT", "HOW", "FROM"]);
    while let Some(answer) = pages.next(client, query(args))? {
        if json {
            output.out.write_all(&answer.body)?;
            continue;
        }
        let zone = answer.zone();
        let time = |text: &str| of_rfc3339(text).map_or_else(String::new, |at| zone.full(at));
        for row in answer.rows::<UnsubscribeOut>()? {
            let later = row.effective_from > row.created;
            let from = if later { time(&row.effective_from) } else { String::new() };
            table.row([row.address, row.list, time(&row.created), row.how, from]);
        }
    }
    if json {
        return Ok(DONE);
    }
    if table.is_empty() {
        output.line(if query(args).text().is_empty() { "Nobody has left a list." } else { "Nobody matches." })?;
        return Ok(DONE);
    }
    table.print(output, "")?;
    if pages.more {
        output.note(&format!("… {limit} are shown; --limit 0 shows all."))?;
    }
    Ok(DONE)
}

fn act(client: &Client, verb: &str, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let addresses = args.get_many::<String>("addresses").unwrap_or_default().cloned().collect();
    let body = UnsubscribeIn { addresses, list: text(args, "list").to_owned() };
    let body = serde_json::to_vec(&body).map_err(std::io::Error::from)?;
    let answer = client.post(&format!("unsubscribes/{verb}"), &Query::default(), &body)?;
    let done: UnsubscribedOut = answer.row()?;
    let code = if done.rows == 0 { NO } else { DONE };
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(code);
    }
    let line = match (verb, done.rows) {
        ("add", 0) => "They had left before.".to_owned(),
        ("add", n) => format!("{} left the list.", number(n)),
        (_, 0) => "None of them had left.".to_owned(),
        (_, n) => format!("{} entries are gone: they are written to again.", number(n)),
    };
    output.line(&line)?;
    Ok(code)
}

fn export(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let json = args.get_flag("json");
    let mut pages = Pages::new("unsubscribes", u64::MAX);
    if json {
        while let Some(answer) = pages.next(client, query(args))? {
            output.out.write_all(&answer.body)?;
        }
        return Ok(DONE);
    }
    let mut csv = Csv::quoted(&mut *output.out, &COLUMNS)?;
    while let Some(answer) = pages.next(client, query(args))? {
        let zone = answer.zone();
        for row in answer.rows::<UnsubscribeOut>()? {
            let created = of_rfc3339(&row.created).map_or_else(String::new, |at| zone.full(at));
            csv.row([created, row.address, row.list])?;
        }
    }
    csv.finish()?;
    Ok(DONE)
}
