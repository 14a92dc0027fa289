//! `hikyaku suppress try`: what other thresholds would have done to the stored log.
//!
//! Always: it changes nothing, and says that those who would be spared stay on the list (R7).

use clap::{Arg, ArgMatches, Command};

use super::{class_words, text};
use crate::{
    cli::{
        client::{Client, DONE, Query, Trouble},
        table::{Output, Table, clean},
    },
    http::{
        control::suppress::THRESHOLDS,
        rows_lists::{SideOut, TryOut},
        when::of_rfc3339,
        words::number,
    },
};

/// Addresses and destinations that each side names; `--json` has more.
const ROWS: usize = 10;

/// The command.
pub(super) fn command() -> Command {
    let mut command = Command::new("try")
        .about("What other thresholds would have done to the stored log; what is not said stays as it is");
    for (name, option, _) in THRESHOLDS {
        command = command.arg(
            Arg::new(name)
                .long(option)
                .value_name("N")
                .value_parser(clap::value_parser!(u32))
                .help(format!("Errors of this kind; 0: never ({name})")),
        );
    }
    command.arg(super::value("window", "TIME", "How long an error counts: 90d")).arg(super::value(
        "watch",
        "TIME",
        "The watch period: 30d",
    ))
}

/// Runs it.
pub(super) fn run(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let mut query = Query::default().with("window", text(args, "window")).with("watch", text(args, "watch"));
    for (name, _, _) in THRESHOLDS {
        if let Some(n) = args.get_one::<u32>(name) {
            query = query.with(name, &n.to_string());
        }
    }
    let answer = client.get("suppress/try", &query)?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let said: TryOut = answer.row()?;
    let zone = answer.zone();
    let from = said.from.as_deref().and_then(of_rfc3339);
    match from {
        None => output.line("The log holds no error that would count.")?,
        Some(from) => output.line(&format!(
            "{} events since {}; addresses with errors that count: {}; of them on the list now: {}.",
            number(said.events),
            zone.full(from),
            number(said.addresses),
            number(said.would_be)
        ))?,
    }
    side("would come onto the list", &said.added, output)?;
    side("are on it and would not be; they stay, for no setting lifts anybody", &said.spared, output)?;
    if said.unknown > 0 {
        output.line(&format!(
            "\n{} are on it for errors older than the log: nothing can be said of them.",
            number(said.unknown)
        ))?;
    }
    if said.left_out > 0 {
        output.note(&format!(
            "{} events of further addresses were left out: the answer is over a part.",
            number(said.left_out)
        ))?;
    }
    Ok(DONE)
}

fn side(what: &str, side: &SideOut, output: &mut Output<'_>) -> Result<(), Trouble> {
    output.line(&format!("\n{} {what}", number(side.count)))?;
    for (class, count) in &side.classes {
        let words = class_words(Some(*class).filter(|class| *class > 0));
        output.line(&format!("  {:>8}  {}", number(*count), if words.is_empty() { "no class" } else { &words }))?;
    }
    for (destination, count) in side.destinations.iter().take(ROWS) {
        output.line(&format!("  {:>8}  at {}", number(*count), clean(destination)))?;
    }
    if side.addresses.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["ADDRESS", "CLASS", ">ERRORS"]);
    for told in side.addresses.iter().take(ROWS) {
        table.row([told.address.clone(), class_words(told.class), told.occurred.to_string()]);
    }
    table.print(output, "  ")
}
