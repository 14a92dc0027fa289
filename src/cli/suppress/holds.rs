//! `hikyaku suppress incidents|release|discard|undo`: destinations whose errors are held, and what to do about them.
//!
//! Always: an act on many addresses tells first how many and which; only with `--yes` is it done.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Pages, text};
use crate::{
    cli::{
        client::{Client, DONE, NO, Query, Trouble},
        table::{Output, Table, clean},
    },
    http::{
        rows_lists::{EndedOut, HeldOut, HoldOut, SuppressionOut, UndoneOut},
        when::of_rfc3339,
        words::number,
    },
};

/// Addresses that a preview names.
const PREVIEW_ROWS: usize = 20;
/// Addresses that a preview counts; of more it says so.
const PREVIEW_COUNT_MAX: u64 = 100_000;

/// The verbs.
pub(super) fn commands() -> [Command; 4] {
    let id = || Arg::new("id").value_name("ID").required(true).help("As `suppress incidents` lists it");
    let yes = || Arg::new("yes").long("yes").short('y').action(ArgAction::SetTrue).help("Do it; without it, only tell");
    [
        Command::new("incidents")
            .about("Destinations whose unknown users jumped: their errors are held, nobody is suppressed"),
        Command::new("release").about("The held errors were true: they count, and suppress").arg(id()).arg(yes()),
        Command::new("discard").about("The held errors were the destination's fault: forget them").arg(id()).arg(yes()),
        Command::new("undo")
            .about("Lift every address that an incident put on the list")
            .arg(id().help("As `suppress incidents` or `incidents` list it"))
            .arg(yes()),
    ]
}

/// `suppress incidents`.
pub(super) fn list(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let answer = client.get("suppress/incidents", &Query::default())?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let (zone, now) = (answer.zone(), answer.now());
    let time = |text: &str| of_rfc3339(text).map_or_else(String::new, |at| zone.short(at, now));
    let mut table = Table::new(&["ID", "DESTINATION", "STATE", "SINCE", ">HELD", ">RATE", "LAST ANSWER"]);
    for row in answer.rows::<HoldOut>()? {
        let state = match &row.ended {
            Some(at) => format!("{} {} by {}", row.state, time(at), row.operator),
            None => row.state.clone(),
        };
        table.row([
            row.id,
            row.place,
            state,
            time(&row.since),
            number(row.held),
            format!("{} %", row.rate_percent),
            row.example,
        ]);
    }
    if table.is_empty() {
        output.line("No destination is held.")?;
    } else {
        table.print(output, "")?;
    }
    Ok(DONE)
}

/// `suppress release|discard|undo ID`.
pub(super) fn end(client: &Client, verb: &str, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let id = text(args, "id");
    if !args.get_flag("yes") {
        return preview(client, verb, id, args, output);
    }
    let answer = client.post(&format!("suppress/{verb}"), &Query::default().with("id", id), b"")?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    if verb == "undo" {
        let done: UndoneOut = answer.row()?;
        for address in &done.addresses {
            output.line(&clean(address))?;
        }
        let more = done.lifted.saturating_sub(done.addresses.len() as u64);
        let named = if more > 0 { format!(" ({} more are in the operation log)", number(more)) } else { String::new() };
        output.note(&format!(
            "{} addresses lifted{named}; errors of {} more no longer count.",
            number(done.lifted),
            number(done.forgotten)
        ))?;
        return Ok(DONE);
    }
    let done: EndedOut = answer.row()?;
    let line = match verb {
        "release" => format!(
            "{} held errors count now; {} addresses came onto the list.",
            number(done.errors),
            number(done.suppressed)
        ),
        _ => format!("{} held errors are forgotten.", number(done.errors)),
    };
    output.line(&line)?;
    Ok(DONE)
}

/// What it would be done to. Exit code 1: nothing was done.
fn preview(client: &Client, verb: &str, id: &str, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let undo = verb == "undo";
    let (path, query): (&'static str, fn(&str) -> Query) = match undo {
        true => ("suppress", |id| Query::default().with("incident", id)),
        false => ("suppress/held", |id| Query::default().with("id", id)),
    };
    let mut pages = Pages::new(path, PREVIEW_COUNT_MAX);
    let (mut count, mut named) = (0_u64, Vec::new());
    while let Some(answer) = pages.next(client, query(id))? {
        if args.get_flag("json") {
            output.out.write_all(&answer.body)?;
            continue;
        }
        let addresses: Vec<String> = match undo {
            true => answer.rows::<SuppressionOut>()?.into_iter().map(|row| row.address).collect(),
            false => answer.rows::<HeldOut>()?.into_iter().map(|row| row.address).collect(),
        };
        count += addresses.len() as u64;
        named.extend(addresses.into_iter().take(PREVIEW_ROWS.saturating_sub(named.len())));
    }
    if args.get_flag("json") {
        return Ok(NO);
    }
    for address in &named {
        output.line(&clean(address))?;
    }
    if count > named.len() as u64 {
        output.line(&format!("… and {} more", number(count - named.len() as u64)))?;
    }
    let over = if pages.more { "more than " } else { "" };
    let what = match verb {
        "release" => "have held errors, which would count",
        "discard" => "have held errors, which would be forgotten",
        _ => "would be lifted",
    };
    output.note(&format!("{over}{} addresses {what}. Nothing was done: say --yes to do it.", number(count)))?;
    Ok(NO)
}
