//! `hikyaku suppress import FILE`: lists of other services and our own come onto the list.
//!
//! Always: the file is read line by line and sent in batches, so that memory stays small; lines that cannot be used are told with
//! their numbers and cost no other line; done again, it adds nothing twice.

use std::{
    fs::File,
    io::{self, Read},
};

use clap::{Arg, ArgAction, ArgMatches, Command};
use jiff::tz::TimeZone;

use super::text;
use crate::{
    cli::{
        client::{Client, DONE, NO, Query, Trouble},
        table::{Output, clean},
    },
    event::ErrorClass,
    http::{
        rows_lists::{ImportIn, ImportOut},
        words::number,
    },
    suppress::{
        acts::IMPORT_BATCH_MAX,
        csv::{Item, Reader, Row},
        dialect::Dialect,
    },
};

/// Lines that are told one by one; of more, only how many.
const TOLD_MAX: u64 = 100;

/// The command.
pub(super) fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    Command::new("import")
        .about("Takes over a CSV list: SES, SendGrid, Mailgun, Postmark, CMC, ours, or a column of addresses")
        .arg(Arg::new("file").value_name("FILE").required(true).help("-: standard input"))
        .arg(
            super::value("as", "DIALECT", "What the file is, where its head line does not tell")
                .value_parser(Dialect::ALL.map(Dialect::word)),
        )
        .arg(flag("dry-run", "Tell what would become of it, and do nothing"))
        .arg(flag("all", "Also bounces that are no trouble of the recipient, e.g. SendGrid's blocks"))
}

/// Counts of a file.
#[derive(Default)]
struct Tally {
    rows: u64,
    noted: u64,
    left_out: u64,
    bad: u64,
    done: ImportOut,
}

/// Runs it.
pub(super) fn run(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let file = text(args, "file");
    let unreadable = |error: io::Error| Trouble::Usage(format!("{file}: {error}"));
    match file {
        "-" => import(client, args, "standard input", io::stdin().lock(), output),
        path => import(client, args, path, File::open(path).map_err(unreadable)?, output),
    }
}

fn import<R: Read>(
    client: &Client,
    args: &ArgMatches,
    file: &str,
    input: R,
    output: &mut Output<'_>,
) -> Result<u8, Trouble> {
    // Times without a zone are those of the daemon's screens; the question also finds out early whether it is there.
    let zone = client.get("suppress/incidents", &Query::default())?.zone();
    let zone = TimeZone::get(zone.name()).unwrap_or(TimeZone::UTC);
    let (json, dry) = (args.get_flag("json"), args.get_flag("dry-run"));
    let asked = args.get_one::<String>("as").and_then(|word| Dialect::from_word(word));
    let reader = Reader::new(input, zone, asked, args.get_flag("all"));
    let reader = reader.map_err(|why| Trouble::Usage(format!("{}: {why}", clean(file))))?;
    let dialect = reader.dialect();
    let name = std::path::Path::new(file).file_name().and_then(|name| name.to_str()).unwrap_or(file).to_owned();
    let mut batches = Batches { client, name: &name, dry, lines: Vec::new(), rows: 0 };
    let mut tally = Tally::default();
    for item in reader {
        let item = item.map_err(|error| Trouble::Usage(format!("{}: {error}", clean(file))))?;
        let (line, told, count) = match item {
            Item::Row { line, row, note } => {
                tally.rows += 1;
                if let Some(done) = batches.push(&row)? {
                    tally.done.add(done);
                }
                tally.noted += u64::from(!note.is_empty());
                (line, note, tally.noted)
            }
            Item::LeftOut { line, why } => {
                tally.left_out += 1;
                (line, format!("left out: {why}"), tally.left_out)
            }
            Item::Bad { line, why } => {
                tally.bad += 1;
                (line, why, tally.bad)
            }
        };
        if !told.is_empty() && count <= TOLD_MAX {
            output.note(&format!("{}:{line}: {}", clean(&name), clean(&told)))?;
        }
    }
    if let Some(done) = batches.send()? {
        tally.done.add(done);
    }
    let code = if tally.bad > 0 { NO } else { DONE };
    if json {
        let line = serde_json::json!({
            "file": name, "dialect": dialect.word(), "dry_run": dry, "rows": tally.rows, "left_out": tally.left_out,
            "bad": tally.bad, "added": tally.done.added, "known": tally.done.known, "exempt": tally.done.exempt,
            "refused": tally.done.refused, "unsubscribed": tally.done.unsubscribed, "exempted": tally.done.exempted,
        });
        output.line(&line.to_string())?;
        return Ok(code);
    }
    summary(&name, dialect, dry, &tally, output)?;
    Ok(code)
}

fn summary(name: &str, dialect: Dialect, dry: bool, tally: &Tally, output: &mut Output<'_>) -> Result<(), Trouble> {
    output.line(&format!("{} ({}): {} addresses.", clean(name), dialect.word(), number(tally.rows)))?;
    let done = &tally.done;
    let counts = [
        (done.added, if dry { "would come onto the list" } else { "came onto the list" }),
        (done.unsubscribed, if dry { "would leave their list" } else { "left their list" }),
        (done.exempted, if dry { "would be exempt" } else { "are exempt now" }),
        (done.known, "were there already"),
        (done.exempt, "are exempt here, and stay so"),
        (done.refused, "have a time that is over already"),
        (tally.left_out, "were left out: no trouble of the recipient (--all takes them)"),
        (tally.bad, "could not be read"),
    ];
    for (count, what) in counts.iter().filter(|(count, _)| *count > 0) {
        output.line(&format!("  {:>9}  {what}", number(*count)))?;
    }
    let told = tally.noted.max(tally.left_out).max(tally.bad);
    if told > TOLD_MAX {
        output.note(&format!("Of each kind of note the first {TOLD_MAX} are shown."))?;
    }
    if dry {
        output.note("Nothing was done: say it without --dry-run to do it.")?;
    }
    Ok(())
}

/// Rows on their way to the daemon.
struct Batches<'a> {
    client: &'a Client,
    name: &'a str,
    dry: bool,
    lines: Vec<u8>,
    rows: usize,
}

impl Batches<'_> {
    fn push(&mut self, row: &Row) -> Result<Option<ImportOut>, Trouble> {
        let row = ImportIn {
            address: row.address.clone(),
            user: row.user.clone(),
            cause: row.cause.word().to_owned(),
            class: row.class.map(ErrorClass::code),
            occurred: row.occurred,
            reason: row.reason.clone(),
            since: row.since.map(|at| at.rfc3339()),
            until: row.until.map(|at| at.rfc3339()),
            list: row.list.clone(),
            exempt: row.exempt,
        };
        serde_json::to_writer(&mut self.lines, &row).map_err(io::Error::from)?;
        self.lines.push(b'\n');
        self.rows += 1;
        if self.rows >= IMPORT_BATCH_MAX { self.send() } else { Ok(None) }
    }

    fn send(&mut self) -> Result<Option<ImportOut>, Trouble> {
        if self.rows == 0 {
            return Ok(None);
        }
        let query = Query::default().with("file", self.name).flag("dry_run", self.dry);
        let answer = self.client.post("suppress/import", &query, &self.lines)?;
        self.lines.clear();
        self.rows = 0;
        answer.row().map(Some)
    }
}
