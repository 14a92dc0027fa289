//! `hikyaku domain dkim-rotate`: a running daemon replaces the key of a domain, step by step, and tells where it is.
//!
//! In: a domain, and what to do.  Out: what to publish, where the rotation stands, what every server says.
//! Always: called again, it goes on and never begins twice.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{
    super::{
        args::text,
        client::{Client, DONE, NO, Query, Trouble},
        table::{Output, clean, on_terminal},
    },
    Place, algorithm_arg, bits_arg, name_arg, record_lines, selector_arg,
};
use crate::{
    clock::Timestamp,
    http::{
        rows_keys::KeyOut,
        when::{human, of_rfc3339},
    },
    when::Zone,
};

const HELP: &str = "\
The daemon makes a key and keeps it; you publish its record; the rest goes by itself:

  pending    the record is to be published; the daemon asks every server of the zone and [dkim] resolvers for it
  published  all of them have it; caches may still remember that it was not there (its TTL, the zone's negative TTL)
  active     it signs, in the place of the key before (of the same algorithm), be that the config's or an older one of these
  retiring   the key before: signs no longer, and its record stays until the last mail that it may have signed has left the
             queue, and 7 days and its TTL after that
  retired    its private key is forgotten; set its record to \"v=DKIM1; p=\", or remove it

A server that does not answer holds a key back for a day; one that answers something else, for as long as it does. Called
again, this goes on: it asks the servers now and tells where the rotation is. --now also hurries one that is under way.
--abort gives a key up that does not sign yet; afterwards it goes back to the key before, while that one is retiring, or to
the config's.

Examples:
  hikyaku domain dkim-rotate example.jp
  hikyaku domain dkim-rotate example.jp --status
  hikyaku domain dkim-rotate example.jp --look
  hikyaku domain dkim-rotate example.jp --now       the key has leaked: sign as soon as the record is everywhere
  hikyaku domain dkim-rotate example.jp --abort";

/// The command.
pub(super) fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    Command::new("dkim-rotate")
        .about("Replaces a DKIM key, or makes the first one: the daemon waits until the DNS has it everywhere")
        .after_help(HELP)
        .arg(name_arg())
        .arg(algorithm_arg())
        .arg(selector_arg())
        .arg(bits_arg())
        .arg(flag("now", "Do not wait until caches have forgotten: sign as soon as every server has the record"))
        .arg(flag("status", "Only tell where the keys are").conflicts_with_all(["now", "abort", "selector", "bits"]))
        .arg(
            flag("look", "Only ask every server now, and tell")
                .conflicts_with_all(["now", "abort", "selector", "bits", "status"]),
        )
        .arg(flag("abort", "Give it up, or go back to the key before").conflicts_with_all(["now", "selector", "bits"]))
}

/// Runs it.
pub(super) fn run(matches: &ArgMatches, place: &Place<'_>) -> u8 {
    match place.target() {
        Ok(target) => on_terminal(|output| run_to(matches, &target, output)),
        Err(code) => code,
    }
}

pub(super) fn run_to(args: &ArgMatches, target: &super::super::Target, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let client = Client::new(target);
    let query = Query::default().with("name", text(args, "name")).with("algorithm", text(args, "algorithm"));
    let (answer, said) = if args.get_flag("status") {
        (client.get("domains/keys", &query)?, "")
    } else if args.get_flag("look") {
        (client.post("domains/look", &query, b"")?, "")
    } else if args.get_flag("abort") {
        (client.post("domains/rotate/abort", &query, b"")?, "It is given up.")
    } else {
        let bits = args.get_one::<usize>("bits").map(usize::to_string).unwrap_or_default();
        let wish = query.with("bits", &bits).with("selector", text(args, "selector")).flag("now", args.get_flag("now"));
        match client.post("domains/rotate", &wish, b"") {
            Ok(answer) => (answer, ""),
            Err(Trouble::Refused { status: 409, words }) if text(args, "selector").is_empty() => {
                log::debug!("{words}");
                let query = Query::default().with("name", text(args, "name"));
                (client.post("domains/look", &query, b"")?, "It is under way.")
            }
            Err(trouble) => return Err(trouble),
        }
    };
    let rows = answer.rows::<KeyOut>()?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(if rows.is_empty() { NO } else { DONE });
    }
    if !said.is_empty() {
        output.line(said)?;
    }
    if rows.is_empty() {
        output.line(&format!("{} has no DKIM key.", clean(text(args, "name"))))?;
        return Ok(NO);
    }
    let (zone, now) = (answer.zone(), answer.now());
    for row in &rows {
        show(row, &zone, now, output)?;
    }
    Ok(DONE)
}

fn show(row: &KeyOut, zone: &Zone, now: Timestamp, output: &mut Output<'_>) -> Result<(), Trouble> {
    let time = |text: &str| of_rfc3339(text).map_or_else(|| "-".to_owned(), |at| zone.full(at));
    let ago = |text: &str| of_rfc3339(text).map_or_else(String::new, |at| format!(" ({})", human(now.since(at))));
    let whose = if row.origin == "configured" { ", in the config" } else { "" };
    output.line(&format!(
        "\n{}  {}{whose}: {} since {}{}",
        clean(&row.selector),
        row.kind(),
        row.state,
        time(&row.since),
        ago(&row.since)
    ))?;
    for alarm in &row.alarms {
        output.line(&format!("  !     {}", clean(alarm)))?;
    }
    output.line(&format!("  next  {}", clean(&row.next)))?;
    if !row.todo.is_empty() {
        output.line(&format!("  do    {}", clean(&row.todo)))?;
    }
    if row.state == "pending" || !row.alarms.is_empty() && row.todo.starts_with("publish") {
        output.line("")?;
        record_lines(output, &row.record_name, &row.record)?;
        output.line("")?;
    }
    if !row.trouble.is_empty() {
        output.line(&format!("  dns   {}", clean(&row.trouble)))?;
    }
    for server in &row.servers {
        output.line(&format!("  dns   {} {}", clean(&server.server), clean(&server.words)))?;
    }
    if let Some(at) = &row.looked_at {
        output.line(&format!("        asked {}{}", time(at), ago(at)))?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "dkim_rotate_tests.rs"]
mod tests;
