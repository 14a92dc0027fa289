//! `hikyaku log deliveries|errors|audit`: what became of every recipient, and who did what.
//!
//! Always: tables show the newest entries first, fifty unless more are asked for; CSV and JSON hold all that match.

use std::{thread, time::Duration};

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{
    Target,
    args::{rows_wanted, text},
    client::{Answer, Client, DONE, Query, Trouble},
    table::{Csv, Output, Table, json_flag, on_terminal},
};
use crate::{
    clock::Timestamp,
    http::{
        control::PAGE_ROWS_MAX,
        rows::{AuditOut, LinkOut, LogOut},
        when::{Zone, of_rfc3339},
    },
    sheet::Style,
    store::{AUDIT_COLUMNS, LOG_COLUMNS},
};

/// Entries of a table when nothing is said.
const TABLE_ROWS: u64 = 50;
/// Entries that `--follow` shows first.
const FOLLOW_ROWS: u64 = 10;
/// An entry's time may lie before that of one with a smaller number; `--follow` looks this much further back.
const FOLLOW_OVERLAP: Duration = Duration::from_secs(60);
/// Pause between two looks of `--follow`.
const FOLLOW_PAUSE: Duration = Duration::from_secs(1);

/// The commands.
pub fn command() -> Command {
    Command::new("log")
        .about("What became of every recipient, and who did what")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(json_flag())
        .subcommand(events(Command::new("deliveries").about("Every acceptance, try and result, one entry each")))
        .subcommand(events(Command::new("errors").about("Failed recipients, bounces and complaints only")))
        .subcommand(
            followed(output(period(Command::new("audit").about("The operation log: logins, acts and reloads"))))
                .arg(value("who", "TEXT", "Part of who did it"))
                .arg(value("act", "TEXT", "Part of the act: queue, user.add, config.reload …")),
        )
}

fn value(name: &'static str, kind: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(kind).help(help)
}

fn period(command: Command) -> Command {
    command.arg(value("since", "TIME", "From this time: 2h, 3d, 2026-11-24, 2026-11-24T09:00, or RFC 3339")).arg(value(
        "until",
        "TIME",
        "Before this time",
    ))
}

fn output(command: Command) -> Command {
    command
        .arg(
            value("limit", "N", "At most this many entries; 0: all. Default: 50 in a table, all in CSV and JSON")
                .value_parser(clap::value_parser!(u64)),
        )
        .arg(
            Arg::new("csv")
                .long("csv")
                .action(ArgAction::SetTrue)
                .conflicts_with("json")
                .help("CSV with a head line; times in the configured zone"),
        )
        .arg(
            Arg::new("bom")
                .long("bom")
                .action(ArgAction::SetTrue)
                .requires("csv")
                .help("Begin the CSV with a byte order mark, for Excel"),
        )
}

fn followed(command: Command) -> Command {
    command.arg(
        Arg::new("follow")
            .long("follow")
            .short('f')
            .action(ArgAction::SetTrue)
            .conflicts_with_all(["until", "csv"])
            .help("Show the newest entries, then new ones as they come"),
    )
}

fn events(command: Command) -> Command {
    followed(output(period(command)))
        .arg(value("recipient", "TEXT", "Part of the recipient's address"))
        .arg(value("sender", "TEXT", "Part of the envelope sender or the From address"))
        .arg(value("message-id", "TEXT", "Part of the Message-ID"))
        .arg(value("api-data", "TEXT", "Part of X-Api-Data"))
        .arg(value("subject", "TEXT", "Part of the subject"))
        .arg(value(
            "status",
            "LIST",
            "Only these, with commas: queued, deferred, succeeded, failed, dropped, bounced, complained",
        ))
        .arg(value("user", "NAME", "The API user"))
        .arg(value("domain", "DOMAIN", "The recipient's domain, whole"))
        .arg(value(
            "class",
            "LIST",
            "Only errors of these classes, with commas: unknown_user, rejected … or CMC's numbers",
        ))
        .arg(value("id", "QUEUE-ID", "One message"))
        .arg(
            Arg::new("exact")
                .long("exact")
                .action(ArgAction::SetTrue)
                .help("The texts match whole: much faster in a large log"),
        )
}

/// Runs one of them.
pub fn run(matches: &ArgMatches, target: &Target) -> u8 {
    on_terminal(|output| run_to(matches, target, output, None))
}

/// `looks`: how often `--follow` looks; `None`: for ever.
pub(super) fn run_to(
    matches: &ArgMatches,
    target: &Target,
    output: &mut Output<'_>,
    looks: Option<usize>,
) -> Result<u8, Trouble> {
    let client = Client::new(target);
    match matches.subcommand() {
        Some(("audit", args)) if args.get_flag("follow") => {
            follow(&client, "log/audit", audit_query(args), args, output, looks, &Audit)?;
            Ok(DONE)
        }
        Some(("audit", args)) => show_all(&client, "log/audit", &audit_query(args), args, output, &Audit),
        Some((name, args)) if args.get_flag("follow") => {
            follow(&client, &format!("log/{name}"), query_of(args), args, output, looks, &Events)?;
            Ok(DONE)
        }
        Some((name, args)) => show_all(&client, &format!("log/{name}"), &query_of(args), args, output, &Events),
        None => Err(Trouble::Usage("deliveries, errors or audit?".into())),
    }
}

/// The filters, as the daemon's route has them.
fn pairs(args: &ArgMatches) -> Vec<(&'static str, String)> {
    [
        ("since", "since"),
        ("until", "until"),
        ("recipient", "recipient"),
        ("domain", "domain"),
        ("class", "class"),
        ("sender", "sender"),
        ("message-id", "message_id"),
        ("api-data", "api_data"),
        ("subject", "subject"),
        ("status", "status"),
        ("user", "user"),
        ("id", "id"),
    ]
    .map(|(option, name)| (name, text(args, option).to_owned()))
    .into()
}

fn query_of(args: &ArgMatches) -> Vec<(&'static str, String)> {
    let mut all = pairs(args);
    if args.get_flag("exact") {
        all.push(("exact", "1".into()));
    }
    all
}

fn audit_query(args: &ArgMatches) -> Vec<(&'static str, String)> {
    ["since", "until", "who", "act"].map(|name| (name, text(args, name).to_owned())).into()
}

fn query(pairs: &[(&'static str, String)]) -> Query {
    pairs.iter().fold(Query::default(), |q, (name, value)| q.with(name, value))
}

/// How rows of one log are shown.
trait Shown {
    type Row: serde::de::DeserializeOwned + serde::Serialize;
    fn csv_head(&self) -> &'static [&'static str];
    fn csv_row(&self, row: Self::Row, zone: &Zone) -> Vec<String>;
    fn table(&self) -> Table;
    fn table_row(&self, table: &mut Table, row: &Self::Row, zone: &Zone, now: Timestamp);
    /// The line of `--follow`.
    fn line(&self, row: &Self::Row, zone: &Zone) -> String;
    /// A row's number and time.
    fn place<'r>(&self, row: &'r Self::Row) -> (u64, &'r str);
}

/// Pages through the whole answer.
fn show_all<S: Shown>(
    client: &Client,
    path: &str,
    pairs: &[(&'static str, String)],
    args: &ArgMatches,
    output: &mut Output<'_>,
    shown: &S,
) -> Result<u8, Trouble> {
    let (csv, json) = (args.get_flag("csv"), args.get_flag("json"));
    let limit = rows_wanted(args, csv || json, TABLE_ROWS);
    let mut pages = Pages { client, path, pairs, left: limit, cursor: None, more: true };
    if json {
        while let Some(answer) = pages.next()? {
            output.out.write_all(&answer.body)?;
        }
        return Ok(DONE);
    }
    if csv {
        let style = Style { bom: args.get_flag("bom"), quoted: false };
        let mut csv = Csv::with(&mut *output.out, shown.csv_head(), style)?;
        while let Some(answer) = pages.next()? {
            let zone = answer.zone();
            for row in answer.rows::<S::Row>()? {
                csv.row(shown.csv_row(row, &zone))?;
            }
        }
        csv.finish()?;
        return Ok(DONE);
    }
    let mut table = shown.table();
    while let Some(answer) = pages.next()? {
        let (zone, now) = (answer.zone(), answer.now());
        for row in answer.rows::<S::Row>()? {
            shown.table_row(&mut table, &row, &zone, now);
        }
    }
    if table.is_empty() {
        output.line("No entries.")?;
        return Ok(DONE);
    }
    table.print(output, "")?;
    if pages.more {
        output.note(&format!("… the newest {limit} are shown; --limit 0 shows all."))?;
    }
    Ok(DONE)
}

struct Pages<'a> {
    client: &'a Client,
    path: &'a str,
    pairs: &'a [(&'static str, String)],
    left: u64,
    cursor: Option<String>,
    more: bool,
}

impl Pages<'_> {
    fn next(&mut self) -> Result<Option<Answer>, Trouble> {
        if !self.more || self.left == 0 {
            return Ok(None);
        }
        let rows = self.left.min(PAGE_ROWS_MAX as u64);
        let query =
            query(self.pairs).with("limit", &rows.to_string()).with("cursor", self.cursor.as_deref().unwrap_or(""));
        let answer = self.client.get(self.path, &query)?;
        // An unfinished page may hold fewer rows than were asked for, even none.
        let got = answer.body.iter().filter(|b| **b == b'\n').count() as u64;
        self.left = self.left.saturating_sub(got);
        self.cursor = answer.next_cursor();
        self.more = self.cursor.is_some();
        Ok(Some(answer))
    }
}

/// The newest entries, then new ones as they come, each printed at once.
fn follow<S: Shown>(
    client: &Client,
    path: &str,
    mut pairs: Vec<(&'static str, String)>,
    args: &ArgMatches,
    output: &mut Output<'_>,
    looks: Option<usize>,
    shown: &S,
) -> Result<(), Trouble> {
    let json = args.get_flag("json");
    let rows = args.get_one::<u64>("limit").copied().unwrap_or(FOLLOW_ROWS).clamp(1, PAGE_ROWS_MAX as u64);
    let answer = client.get(path, &query(&pairs).with("limit", &rows.to_string()))?;
    let (mut last, mut since) = (0, answer.now().rfc3339());
    let mut rows = answer.rows::<S::Row>()?;
    rows.reverse();
    let mut look = 0;
    let mut zone = answer.zone();
    loop {
        for row in &rows {
            if json {
                let line = serde_json::to_string(row).map_err(|e| Trouble::Broken(e.to_string()))?;
                output.line(&line)?;
            } else {
                output.line(&shown.line(row, &zone))?;
            }
        }
        output.out.flush()?;
        if let Some(newest) = rows.last() {
            let (number, at) = shown.place(newest);
            last = number;
            if let Some(at) = of_rfc3339(at) {
                since = at.minus(FOLLOW_OVERLAP).rfc3339();
            }
        }
        look += 1;
        if looks.is_some_and(|n| look > n) {
            return Ok(());
        }
        thread::sleep(FOLLOW_PAUSE);
        for pair in pairs.iter_mut().filter(|(name, _)| *name == "since") {
            pair.1.clone_from(&since);
        }
        let answer = client.get(path, &query(&pairs).with("after", &last.to_string()))?;
        rows = answer.rows()?;
        zone = answer.zone();
    }
}

fn follow_line(row: &LogOut, zone: &Zone) -> String {
    let time = of_rfc3339(&row.event.at).map_or_else(String::new, |t| zone.full(t));
    let line = format!("{time}  {:<10}  {}  {}", word(&row.event.status), row.event.recipient, what(row, zone));
    super::table::clean(line.trim_end())
}

/// People read `delivered`; the log's own word is `succeeded`.
pub(super) fn word(status: &str) -> &str {
    match status {
        "queued" => "accepted",
        "succeeded" => "delivered",
        other => other,
    }
}

/// What a person wants to know of an entry: the answer where something went wrong, else the subject; and what it is linked
/// with (R11).
fn what(row: &LogOut, zone: &Zone) -> String {
    let e = &row.event;
    let mut text = match e.status.as_str() {
        "deferred" | "failed" | "bounced" | "complained" if !e.reply.is_empty() => e.reply.clone(),
        _ => row.message.subject.clone(),
    };
    if let Some(link) = e.about.iter().chain(e.returned.last()).next() {
        text.push_str(&format!(" ({})", link_words(link, zone)));
    }
    text
}

/// The entry that another one names: its number, what it was, when, and what it says.
pub(super) fn link_words(link: &LinkOut, zone: &Zone) -> String {
    let at = of_rfc3339(&link.at).map_or_else(String::new, |t| zone.full(t));
    let mut text = format!("{} {at}, entry {}", word(&link.status), link.number);
    if let Some(trouble) = trouble_words(link.error.as_deref(), link.trouble.as_deref(), link.hard) {
        text.push_str(&format!(", {trouble}: {}", link.reply));
    }
    text
}

/// What kind of failure it is: `unknown_user, recipient, hard`; `None`: it is none.
pub(super) fn trouble_words(error: Option<&str>, trouble: Option<&str>, hard: bool) -> Option<String> {
    let error = error?;
    let strength = if hard { "hard" } else { "soft" };
    Some([Some(error), trouble, Some(strength)].into_iter().flatten().collect::<Vec<_>>().join(", "))
}

struct Events;

impl Shown for Events {
    type Row = LogOut;

    fn csv_head(&self) -> &'static [&'static str] {
        &LOG_COLUMNS
    }

    fn csv_row(&self, row: LogOut, zone: &Zone) -> Vec<String> {
        let (e, m) = (row.event, row.message);
        let time = |text: Option<&str>| text.and_then(of_rfc3339).map_or_else(String::new, |t| zone.rfc3339(t));
        let (about, returned) = (e.about.unwrap_or_default(), e.returned.into_iter().next_back().unwrap_or_default());
        let number = |n: u64| if n == 0 { String::new() } else { n.to_string() };
        vec![
            time(Some(&e.at)),
            e.status,
            e.recipient,
            m.sender,
            m.from,
            m.subject,
            m.message_id,
            m.api_data,
            m.user,
            m.queue_id,
            e.attempt.to_string(),
            e.destination,
            e.host,
            e.address.unwrap_or_default(),
            e.sender_ip.unwrap_or_default(),
            m.source_ip.unwrap_or_default(),
            e.tls,
            e.phase.unwrap_or_default(),
            e.reply,
            e.duration_ms.to_string(),
            e.error.unwrap_or_default(),
            e.error_code.map_or_else(String::new, |n| n.to_string()),
            e.possible_duplicate.to_string(),
            time(e.next_try.as_deref()),
            e.operator.unwrap_or_default(),
            m.size.to_string(),
            m.class,
            number(e.number),
            e.trouble.unwrap_or_default(),
            e.hard.to_string(),
            number(about.number),
            time(Some(&about.at)),
            number(returned.number),
            time(Some(&returned.at)),
            returned.status,
            returned.error.unwrap_or_default(),
            returned.reply,
        ]
    }

    fn table(&self) -> Table {
        Table::new(&["TIME", "STATUS", "QUEUE ID", "RECIPIENT", "ANSWER OR SUBJECT"])
    }

    fn table_row(&self, table: &mut Table, row: &LogOut, zone: &Zone, now: Timestamp) {
        let time = of_rfc3339(&row.event.at).map_or_else(String::new, |t| zone.short(t, now));
        table.row([
            time,
            word(&row.event.status).to_owned(),
            row.message.queue_id.clone(),
            row.event.recipient.clone(),
            what(row, zone),
        ]);
    }

    fn line(&self, row: &LogOut, zone: &Zone) -> String {
        follow_line(row, zone)
    }

    fn place<'r>(&self, row: &'r LogOut) -> (u64, &'r str) {
        (row.event.number, &row.event.at)
    }
}

struct Audit;

impl Shown for Audit {
    type Row = AuditOut;

    fn csv_head(&self) -> &'static [&'static str] {
        &AUDIT_COLUMNS
    }

    fn csv_row(&self, row: AuditOut, zone: &Zone) -> Vec<String> {
        let at = of_rfc3339(&row.at).map_or_else(String::new, |t| zone.rfc3339(t));
        vec![at, row.who, row.from, row.act, row.object, row.detail]
    }

    fn table(&self) -> Table {
        Table::new(&["TIME", "WHO", "FROM", "ACT", "OBJECT", "DETAIL"])
    }

    fn table_row(&self, table: &mut Table, row: &AuditOut, zone: &Zone, now: Timestamp) {
        let time = of_rfc3339(&row.at).map_or_else(String::new, |t| zone.short(t, now));
        table.row([time, row.who.clone(), row.from.clone(), row.act.clone(), row.object.clone(), row.detail.clone()]);
    }

    fn line(&self, row: &AuditOut, zone: &Zone) -> String {
        let time = of_rfc3339(&row.at).map_or_else(String::new, |t| zone.full(t));
        let line = format!("{time}  {}  {}  {}  {}  {}", row.who, row.from, row.act, row.object, row.detail);
        super::table::clean(line.trim_end())
    }

    fn place<'r>(&self, row: &'r AuditOut) -> (u64, &'r str) {
        (row.number, &row.at)
    }
}
