//! `hikyaku webhook list|history|replay|pause|resume|test`: what is posted to URLs of ours, and what could not be.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{
    Target,
    args::text,
    client::{Client, DONE, NO, Query, Trouble},
    table::{Output, Table, clean, json_flag, on_terminal},
};
use crate::{
    http::{
        rows_webhooks::{ReplayOut, TestOut, TriedOut, WebhookOut},
        when::{human, of_rfc3339},
        words::number,
    },
    when::Zone,
};

/// Rows of a history when nothing is said.
const ROWS: &str = "50";

/// The commands.
pub fn command() -> Command {
    let name = || Arg::new("name").value_name("NAME").required(true).help("As in [[webhook]]");
    Command::new("webhook")
        .about("Webhooks: how they stand, what they posted, what is to be posted again")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(json_flag())
        .subcommand(Command::new("list").about("Every webhook, how far it has come, and what is wrong with it"))
        .subcommand(
            Command::new("history").about("What it posted lately, the latest first").arg(name()).arg(
                Arg::new("limit")
                    .long("limit")
                    .value_name("N")
                    .default_value(ROWS)
                    .value_parser(clap::value_parser!(u32))
                    .help("At most so many posts; 1000 are kept"),
            ),
        )
        .subcommand(
            Command::new("replay")
                .about("Post again: from an event on, one post, or what was set aside")
                .arg(name())
                .arg(
                    Arg::new("from")
                        .long("from")
                        .value_name("EVENT")
                        .help("An event's number (as history and event_ids have it), or a time: 2h, 2026-11-24T09:00"),
                )
                .arg(
                    Arg::new("post")
                        .long("post")
                        .value_name("ID")
                        .conflicts_with_all(["from", "parked"])
                        .help("What was in one post, by its webhook-id (history --json has it)"),
                )
                .arg(
                    Arg::new("parked")
                        .long("parked")
                        .action(ArgAction::SetTrue)
                        .conflicts_with("from")
                        .required_unless_present_any(["from", "post"])
                        .help("What was set aside after failing for retry_for"),
                ),
        )
        .subcommand(
            Command::new("pause").about("Post nothing more until it is resumed; nothing is lost meanwhile").arg(name()),
        )
        .subcommand(
            Command::new("resume").about("Try at once, also one that is paused or answered 410 (gone)").arg(name()),
        )
        .subcommand(Command::new("test").about("Post a made-up delivery, now and once").arg(name()))
}

/// Runs one of them.
pub fn run(matches: &ArgMatches, target: &Target) -> u8 {
    on_terminal(|output| run_to(matches, target, output))
}

pub(super) fn run_to(matches: &ArgMatches, target: &Target, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let client = Client::new(target);
    match matches.subcommand() {
        Some(("list", args)) => list(&client, args, output),
        Some(("history", args)) => history(&client, args, output),
        Some(("replay", args)) => replay(&client, args, output),
        Some(("pause", args)) => pause(&client, args, output),
        Some(("resume", args)) => resume(&client, args, output),
        Some(("test", args)) => test(&client, args, output),
        _ => Err(Trouble::Usage("list, history, replay, pause, resume or test?".into())),
    }
}

fn time(zone: &Zone, text: Option<&str>) -> String {
    text.and_then(of_rfc3339).map_or_else(|| "-".to_owned(), |at| zone.full(at))
}

fn list(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let answer = client.get("webhooks", &Query::default())?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let (zone, rows) = (answer.zone(), answer.rows::<WebhookOut>()?);
    let mut table = Table::new(&["NAME", "STATE", ">BEHIND", ">POSTS", ">EVENTS", "LAST POST", "NEXT TRY", "URL"]);
    for row in &rows {
        table.row([
            row.name.clone(),
            row.state.clone(),
            human(std::time::Duration::from_secs(row.lag_seconds)),
            number(row.posts),
            number(row.events_posted),
            time(&zone, row.posted_at.as_deref()),
            time(&zone, row.next_try.as_deref()),
            row.url.clone(),
        ]);
    }
    if table.is_empty() {
        output.line("There is no [[webhook]] in the config.")?;
        return Ok(DONE);
    }
    table.print(output, "")?;
    for row in &rows {
        if let Some(since) = &row.paused_at {
            let (name, by, since) = (clean(&row.name), clean(&row.paused_by), time(&zone, Some(since)));
            output.line(&format!("\n{name}: paused since {since} by {by}\n  hikyaku webhook resume {name}"))?;
        }
        if row.tries > 0 || row.state == "gone" {
            let since = time(&zone, row.failing_since.as_deref());
            let name = clean(&row.name);
            output.line(&format!("\n{name}: failing since {since}, {} tries: {}", row.tries, clean(&row.error)))?;
        }
        for parked in &row.parked {
            output.line(&format!(
                "\n{}: set aside ({}): events {} to {}, of {} to {}: {}\n  hikyaku webhook replay {} --parked",
                clean(&row.name),
                parked.of,
                parked.after + 1,
                parked.through,
                time(&zone, Some(&parked.from)),
                time(&zone, Some(&parked.to)),
                clean(&parked.error),
                clean(&row.name),
            ))?;
        }
    }
    Ok(DONE)
}

fn history(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let limit = args.get_one::<u32>("limit").map_or_else(|| ROWS.to_owned(), u32::to_string);
    let query = Query::default().with("name", text(args, "name")).with("limit", &limit);
    let answer = client.get("webhooks/history", &query)?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let zone = answer.zone();
    let mut table = Table::new(&["TIME", "WHAT", ">EVENTS", ">STATUS", ">MS", "FIRST EVENT", "LAST EVENT", "ERROR"]);
    for row in answer.rows::<TriedOut>()? {
        table.row([
            time(&zone, Some(&row.at)),
            row.event_type,
            number(row.events),
            if row.status == 0 { "-".to_owned() } else { row.status.to_string() },
            number(row.millis),
            row.first.to_string(),
            row.last.to_string(),
            row.error,
        ]);
    }
    if table.is_empty() {
        output.line("Nothing was posted yet.")?;
    } else {
        table.print(output, "")?;
    }
    Ok(DONE)
}

fn replay(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let query = Query::default()
        .with("name", text(args, "name"))
        .with("from", text(args, "from"))
        .with("post", text(args, "post"))
        .flag("parked", args.get_flag("parked"));
    let answer = client.post("webhooks/replay", &query, b"")?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let done: ReplayOut = answer.row()?;
    let when = if done.later { " as soon as the post that is on its way has ended" } else { "" };
    let words = match (done.from, done.ranges, done.later) {
        (Some(from), _, _) => format!("Everything from event {from} on is posted again{when}."),
        (None, 0, false) => "Nothing was set aside.".to_owned(),
        (None, _, true) => format!("What was set aside is posted again{when}."),
        (None, 1, false) => "One range is posted again.".to_owned(),
        (None, n, false) => format!("{n} ranges are posted again."),
    };
    output.line(&words)?;
    Ok(if done.from.is_none() && done.ranges == 0 && !done.later { NO } else { DONE })
}

fn pause(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let answer = client.post("webhooks/pause", &Query::default().with("name", text(args, "name")), b"")?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let later = answer.row::<ReplayOut>()?.later;
    let when = if later { ", as soon as the post that is on its way has ended" } else { "" };
    output.line(&format!(
        "Nothing is posted until hikyaku webhook resume{when}. What happens meanwhile waits in the log."
    ))?;
    Ok(DONE)
}

fn resume(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let answer = client.post("webhooks/resume", &Query::default().with("name", text(args, "name")), b"")?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let later = answer.row::<ReplayOut>()?.later;
    let when = if later { "as soon as the post that is on its way has ended" } else { "now" };
    output.line(&format!("It is tried {when}."))?;
    Ok(DONE)
}

fn test(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let answer = client.post("webhooks/test", &Query::default().with("name", text(args, "name")), b"")?;
    let sent: TestOut = answer.row()?;
    let code = if sent.error.is_empty() { DONE } else { NO };
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(code);
    }
    let words = match sent.error.as_str() {
        "" => format!("It answered {} after {} ms.", sent.status, number(sent.millis)),
        error => format!("It did not take the post, after {} ms: {}", number(sent.millis), clean(error)),
    };
    output.line(&words)?;
    Ok(code)
}
