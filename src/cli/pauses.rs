//! `hikyaku queue pause|resume|pauses`: destinations to which nothing goes for a while.

use clap::{Arg, ArgMatches, Command};

use super::{
    args::text,
    client::{Client, DONE, Query, Trouble},
    table::{Output, Table, clean},
};
use crate::http::{
    rows::{LiftOut, PauseOut},
    when::of_rfc3339,
    words::number,
};

/// The three verbs.
pub(super) fn commands() -> [Command; 3] {
    let destination = || {
        Arg::new("destination").value_name("DESTINATION").required(true).help("A domain, or a smarthost's HOST:PORT")
    };
    [
        Command::new("pause")
            .about("Let nothing go to a destination; its mail waits")
            .arg(destination())
            .arg(
                Arg::new("for")
                    .long("for")
                    .value_name("TIME")
                    .help("For so long: 30m, 2h, 1d. Without it: until it is resumed"),
            )
            .arg(Arg::new("reason").long("reason").value_name("TEXT").help("Why, for whoever sees the pause")),
        Command::new("resume").about("End the pause of a destination").arg(destination()),
        Command::new("pauses").about("The destinations that are paused, by whom and until when"),
    ]
}

/// Pauses a destination.
pub(super) fn pause(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let query = Query::default()
        .with("destination", text(args, "destination"))
        .with("for", text(args, "for"))
        .with("reason", text(args, "reason"));
    let answer = client.post("pauses", &query, b"")?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    for pause in answer.rows::<PauseOut>()? {
        let until = match pause.until.as_deref().and_then(of_rfc3339) {
            Some(until) => format!("until {}", answer.zone().full(until)),
            None => "until it is resumed".to_owned(),
        };
        let waiting = match pause.waiting {
            0 => "nothing waits for it".to_owned(),
            1 => "1 recipient waits".to_owned(),
            n => format!("{} recipients wait", number(n)),
        };
        output.line(&format!("{} is paused {until}; {waiting}.", clean(&pause.destination)))?;
    }
    Ok(DONE)
}

/// Ends a pause.
pub(super) fn resume(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let destination = text(args, "destination");
    let answer = client.post("pauses/lift", &Query::default().with("destination", destination), b"")?;
    let lifted: LiftOut = answer.row()?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
    } else {
        output.line(&format!("{} is no longer paused.", clean(&lifted.destination)))?;
    }
    Ok(DONE)
}

/// Lists the pauses.
pub(super) fn list(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let answer = client.get("pauses", &Query::default())?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let (zone, now) = (answer.zone(), answer.now());
    let time = |text: &str| of_rfc3339(text).map_or_else(String::new, |at| zone.short(at, now));
    let mut table = Table::new(&["DESTINATION", ">WAITING", "SINCE", "UNTIL", "BY", "REASON"]);
    for pause in answer.rows::<PauseOut>()? {
        table.row([
            pause.destination,
            number(pause.waiting),
            time(&pause.since),
            pause.until.as_deref().map_or_else(|| "resumed".to_owned(), time),
            pause.operator,
            pause.reason,
        ]);
    }
    if table.is_empty() {
        output.line("No destination is paused.")?;
    } else {
        table.print(output, "")?;
    }
    Ok(DONE)
}
