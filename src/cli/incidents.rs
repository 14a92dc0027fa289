//! `hikyaku incidents`: troubles of destinations that are not the recipients', and answers that no rule knows.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{
    Target,
    args::text,
    client::{Client, DONE, Query, Trouble},
    suppress::class_words,
    table::{Output, Table, json_flag, on_terminal},
};
use crate::http::{rows_lists::TroubleOut, when::of_rfc3339, words::number};

/// Rows when nothing is said.
const ROWS: &str = "50";

/// The command.
pub fn command() -> Command {
    Command::new("incidents")
        .about("What destinations refuse for reasons of ours or theirs: reputation, authentication, content, policy, outages")
        .arg(json_flag())
        .arg(Arg::new("part").value_name("TEXT").help("Part of the destination or of the answer"))
        .arg(
            Arg::new("unclassified")
                .long("unclassified")
                .action(ArgAction::SetTrue)
                .help("Only answers that no rule knows: report them, so that one does"),
        )
        .arg(Arg::new("since").long("since").value_name("TIME").help("Seen at this time or later: 2h, 3d, 2026-11-24"))
        .arg(
            Arg::new("limit")
                .long("limit")
                .value_name("N")
                .default_value(ROWS)
                .value_parser(clap::value_parser!(u32))
                .help("At most this many, the latest first; 1000 at most"),
        )
}

/// Runs it.
pub fn run(matches: &ArgMatches, target: &Target) -> u8 {
    on_terminal(|output| run_to(matches, target, output))
}

pub(super) fn run_to(args: &ArgMatches, target: &Target, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let limit = args.get_one::<u32>("limit").map_or_else(|| ROWS.to_owned(), u32::to_string);
    let query = Query::default()
        .with("part", text(args, "part"))
        .with("since", text(args, "since"))
        .with("limit", &limit)
        .flag("unclassified", args.get_flag("unclassified"));
    let answer = Client::new(target).get("incidents", &query)?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let (zone, now) = (answer.zone(), answer.now());
    let time = |text: &str| of_rfc3339(text).map_or_else(String::new, |at| zone.short(at, now));
    let mut table = Table::new(&["ID", "DESTINATION", "TROUBLE", "CLASS", ">COUNT", "FIRST", "LAST", "ANSWER"]);
    for row in answer.rows::<TroubleOut>()? {
        table.row([
            row.id,
            row.destination,
            if row.known { row.trouble } else { "unclassified".into() },
            class_words(Some(row.class)),
            number(row.count),
            time(&row.first),
            time(&row.last),
            row.example,
        ]);
    }
    if table.is_empty() {
        output.line("Nothing of the kind was seen.")?;
    } else {
        table.print(output, "")?;
    }
    Ok(DONE)
}
