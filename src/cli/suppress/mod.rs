//! `hikyaku suppress list|show|add|lift|exempt|import|export|try|incidents|release|discard|undo`: who is not written to.
//!
//! Always: an act names its address or its incident; what is done to many addresses at once is counted first, and done with
//! `--yes`.
//! Sources: PRODUCT.md R4, R7; cmc.md §6 and §12.4.

mod holds;
mod import;
mod show;
mod try_out;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{
    Target,
    args::{language_flag, rows_wanted, text},
    client::{Client, DONE, NO, Query, Trouble},
    table::{Csv, Output, Table, clean, json_flag, on_terminal},
};
use crate::{
    event::ErrorClass,
    http::{
        control::PAGE_ROWS_MAX,
        rows_lists::{SUPPRESSION_COLUMNS, SuppressActOut, SuppressionOut},
        when::{Zone, of_rfc3339},
        words::number,
    },
    language::Language,
    suppress::{lookup, row::Cause},
};

/// Addresses of a table when nothing is said.
const TABLE_ROWS: u64 = 50;
/// CMC's (cmc.md §6.1).
const CMC_COLUMNS: [&str; 5] = ["created", "email", "id", "occurred", "status"];

/// The commands.
pub fn command() -> Command {
    Command::new("suppress")
        .about("Addresses that are not written to: why, since when, and what to do about it")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(json_flag())
        .subcommand(
            filters(Command::new("list").about("Addresses on the list")).arg(
                value("limit", "N", "At most this many; 0: all. Default: 50 in a table, all in JSON")
                    .value_parser(clap::value_parser!(u64)),
            ),
        )
        .subcommand(
            Command::new("show")
                .about("One address: its row, its past, and why")
                .arg(address())
                .arg(user())
                .arg(language_flag()),
        )
        .subcommand(
            Command::new("add")
                .about("Put an address on the list by hand")
                .arg(address())
                .arg(user())
                .arg(value("for", "TIME", "For so long: 30d, 12h. Without it: until it is lifted"))
                .arg(value("reason", "TEXT", "Why, for whoever sees it")),
        )
        .subcommand(
            Command::new("lift")
                .about("Write to these addresses again; later errors may put them back")
                .arg(addresses())
                .arg(user()),
        )
        .subcommand(
            Command::new("exempt")
                .about("Never suppress this address for its errors again; complaints and unsubscribes still count")
                .arg(address())
                .arg(user())
                .arg(Arg::new("end").long("end").action(ArgAction::SetTrue).help("End an exemption")),
        )
        .subcommand(import::command())
        .subcommand(
            filters(Command::new("export").about("The list as CSV on standard output")).arg(
                value("format", "FORMAT", "hikyaku (all we know, can be imported again) or cmc")
                    .value_parser(["hikyaku", "cmc"])
                    .default_value("hikyaku"),
            ),
        )
        .subcommand(try_out::command())
        .subcommands(holds::commands())
}

fn value(name: &'static str, kind: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(kind).help(help)
}

fn address() -> Arg {
    Arg::new("address").value_name("ADDRESS").required(true)
}

fn addresses() -> Arg {
    Arg::new("addresses").value_name("ADDRESS").num_args(1..).required(true)
}

fn user() -> Arg {
    value("user", "NAME", "Only for mail of this API user")
}

fn filters(command: Command) -> Command {
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    command
        .arg(Arg::new("part").value_name("TEXT").help("Part of the address"))
        .arg(value("since", "TIME", "On the list since this time or later: 3d, 2026-11-24, RFC 3339"))
        .arg(value("until", "TIME", "On the list since before this time"))
        .arg(value("cause", "CAUSE", "Why").value_parser(Cause::ALL.map(Cause::word)))
        .arg(value("class", "N", "CMC's class of the errors: 2 unknown user, 5 over capacity …"))
        .arg(user())
        .arg(value("incident", "ID", "What the undo of this incident would lift"))
        .arg(flag("removed", "Those that came off the list lately"))
        .arg(flag("exempt", "Exempt addresses"))
}

/// Runs one of them.
pub fn run(matches: &ArgMatches, target: &Target) -> u8 {
    on_terminal(|output| run_to(matches, target, output))
}

pub(super) fn run_to(matches: &ArgMatches, target: &Target, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let client = Client::new(target);
    match matches.subcommand() {
        Some(("list", args)) => list(&client, args, output),
        Some(("show", args)) => show::run(&client, args, output),
        Some(("add", args)) => add(&client, args, output),
        Some(("lift", args)) => lift(&client, args, output),
        Some(("exempt", args)) => exempt(&client, args, output),
        Some(("import", args)) => import::run(&client, args, output),
        Some(("export", args)) => export(&client, args, output),
        Some(("try", args)) => try_out::run(&client, args, output),
        Some(("incidents", args)) => holds::list(&client, args, output),
        Some((verb @ ("release" | "discard" | "undo"), args)) => holds::end(&client, verb, args, output),
        Some(_) | None => {
            Err(Trouble::Usage("list, show, add, lift, exempt, import, export, try or incidents?".into()))
        }
    }
}

fn query(args: &ArgMatches) -> Query {
    let mut query = Query::default();
    for name in ["part", "since", "until", "cause", "class", "user", "incident"] {
        query = query.with(name, text(args, name));
    }
    query.flag("removed", args.get_flag("removed")).flag("exempt", args.get_flag("exempt"))
}

fn is_narrowed(args: &ArgMatches) -> bool {
    !query(args).text().is_empty()
}

fn list(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let json = args.get_flag("json");
    let limit = rows_wanted(args, json, TABLE_ROWS);
    let mut pages = Pages::new("suppress", limit);
    let mut table = Table::new(&["ADDRESS", "SINCE", "UNTIL", "CAUSE", "CLASS", ">ERRORS", "WHY"]);
    while let Some(answer) = pages.next(client, query(args))? {
        if json {
            output.out.write_all(&answer.body)?;
            continue;
        }
        let (zone, now) = (answer.zone(), answer.now());
        let time = |text: Option<&str>| text.and_then(of_rfc3339).map(|at| zone.short(at, now));
        for row in answer.rows::<SuppressionOut>()? {
            let until = time(row.until.as_deref()).unwrap_or_default();
            table.row([
                who(&row),
                time(row.since.as_deref().or(row.exempt_since.as_deref())).unwrap_or_default(),
                if row.state == "lifted" {
                    format!("lifted {}", time(row.lifted_at.as_deref()).unwrap_or_default())
                } else {
                    until
                },
                if row.cause.is_empty() { row.state.clone() } else { row.cause.clone() },
                class_words(row.class),
                if row.occurred == 0 { String::new() } else { row.occurred.to_string() },
                why(&row),
            ]);
        }
    }
    if json {
        return Ok(DONE);
    }
    if table.is_empty() {
        output.line(if is_narrowed(args) { "No address matches." } else { "No address is suppressed." })?;
        return Ok(DONE);
    }
    table.print(output, "")?;
    if pages.more {
        output.note(&format!("… {limit} are shown; --limit 0 shows all, `suppress export` writes them as CSV."))?;
    }
    Ok(DONE)
}

fn who(row: &SuppressionOut) -> String {
    if row.user.is_empty() { row.address.clone() } else { format!("{} (user {})", row.address, row.user) }
}

fn why(row: &SuppressionOut) -> String {
    match (row.reason.as_str(), row.operator.as_str()) {
        ("", "") => String::new(),
        ("", by) => format!("by {by}"),
        (reason, "") => reason.to_owned(),
        (reason, by) => format!("{reason} (by {by})"),
    }
}

/// CMC's number with its meaning.
pub(super) fn class_words(class: Option<u8>) -> String {
    in_words(class, Language::English)
}

/// The same in a language.
fn in_words(class: Option<u8>, language: Language) -> String {
    let words = |code| ErrorClass::from_code(code).map_or("", |class| lookup::class_words(class, language));
    class.map_or_else(String::new, |code| format!("{code} {}", words(code)).trim_end().to_owned())
}

/// Pages through the rows of a route.
pub(super) struct Pages {
    path: &'static str,
    left: u64,
    cursor: String,
    done: bool,
    /// There are more rows than were asked for.
    pub more: bool,
}

impl Pages {
    pub fn new(path: &'static str, limit: u64) -> Self {
        Pages { path, left: limit, cursor: String::new(), done: false, more: false }
    }

    pub fn next(&mut self, client: &Client, query: Query) -> Result<Option<super::client::Answer>, Trouble> {
        if self.done {
            return Ok(None);
        }
        let limit = self.left.clamp(1, PAGE_ROWS_MAX as u64).to_string();
        let answer = client.get(self.path, &query.with("limit", &limit).with("cursor", &self.cursor))?;
        let rows = answer.body.iter().filter(|b| **b == b'\n').count() as u64;
        self.left = self.left.saturating_sub(rows);
        match answer.next_cursor() {
            Some(next) if self.left > 0 => self.cursor = next,
            next => {
                self.more = next.is_some();
                self.done = true;
            }
        }
        Ok(Some(answer))
    }
}

fn add(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let mut asked = Query::default();
    for name in ["address", "user", "for", "reason"] {
        asked = asked.with(name, text(args, name));
    }
    let answer = client.post("suppress/add", &asked, b"")?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let done: SuppressActOut = answer.row()?;
    let zone = answer.zone();
    let until = done.row.as_ref().and_then(|row| row.until.as_deref()).and_then(of_rfc3339);
    let until = until.map_or_else(|| "until it is lifted".to_owned(), |until| format!("until {}", zone.full(until)));
    let known = if done.done { "" } else { " already" };
    output.line(&format!("{} is suppressed{known} {until}.", clean(&done.address)))?;
    Ok(DONE)
}

fn lift(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let mut code = DONE;
    for address in args.get_many::<String>("addresses").unwrap_or_default() {
        let asked = Query::default().with("address", address).with("user", text(args, "user"));
        let answer = match client.post("suppress/lift", &asked, b"") {
            Ok(answer) => answer,
            // What is no address keeps the others from nothing.
            Err(Trouble::Refused { status: 400, words }) => {
                code = NO;
                output.note(&format!("hikyaku: {}", clean(&words)))?;
                continue;
            }
            Err(trouble) => return Err(trouble),
        };
        let done: SuppressActOut = answer.row()?;
        if !done.done {
            code = NO;
        }
        if args.get_flag("json") {
            output.out.write_all(&answer.body)?;
        } else if done.done {
            output.line(&format!("{} is written to again.", clean(&done.address)))?;
        } else {
            output.line(&format!("{} was not suppressed.", clean(&done.address)))?;
        }
    }
    Ok(code)
}

fn exempt(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let end = args.get_flag("end");
    let asked = Query::default().with("address", text(args, "address")).with("user", text(args, "user"));
    let answer = client.post("suppress/exempt", &asked.flag("end", end), b"")?;
    let done: SuppressActOut = answer.row()?;
    let code = if done.done { DONE } else { NO };
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(code);
    }
    let address = clean(&done.address);
    let line = match (end, done.done, &done.row) {
        (true, true, _) => format!("{address} is no longer exempt: its errors count from now on."),
        (true, false, _) => format!("{address} was not exempt."),
        (false, true, Some(_)) => format!("{address} is written to again, and its errors never suppress it."),
        (false, true, None) => format!("Errors of {address} never suppress it."),
        (false, false, _) => format!(
            "Errors of {address} never suppress it, but it stays on the list: its owner complained or unsubscribed. `suppress lift` would lift it."
        ),
    };
    output.line(&line)?;
    Ok(code)
}

fn export(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    if args.get_flag("json") {
        let mut pages = Pages::new("suppress", u64::MAX);
        while let Some(answer) = pages.next(client, query(args))? {
            output.out.write_all(&answer.body)?;
        }
        return Ok(DONE);
    }
    let cmc = text(args, "format") == "cmc";
    let mut csv = match cmc {
        true => Csv::quoted(&mut *output.out, &CMC_COLUMNS)?,
        false => Csv::new(&mut *output.out, &SUPPRESSION_COLUMNS)?,
    };
    let mut rows = 0_u64;
    // Exempt addresses are on no page of the list: a whole export holds them too, so that nothing is lost when we move.
    let whole = !is_narrowed(args) && !cmc;
    for exempt in [false, true] {
        if exempt && !whole {
            break;
        }
        let mut pages = Pages::new("suppress", u64::MAX);
        while let Some(answer) = pages.next(client, query(args).flag("exempt", exempt))? {
            let zone = answer.zone();
            for row in answer.rows::<SuppressionOut>()? {
                rows += 1;
                if cmc {
                    csv.row(cmc_row(&row, &zone))?;
                } else {
                    csv.row(row.cells(&zone, exempt))?;
                }
            }
        }
    }
    csv.finish()?;
    output.note(&format!("{} rows.", number(rows)))?;
    Ok(DONE)
}

/// CMC knows a class for every address: complaints and unsubscribes are its 11, what nobody classed its 99.
fn cmc_row(row: &SuppressionOut, zone: &Zone) -> [String; 5] {
    let will = matches!(Cause::from_word(&row.cause), Some(Cause::Complaint | Cause::Unsubscribe));
    let class = if will { 11 } else { row.class.unwrap_or(99) };
    let created = row.since.as_deref().and_then(of_rfc3339).map_or_else(String::new, |at| zone.full(at));
    [created, row.address.clone(), row.id.clone(), row.occurred.max(1).to_string(), class.to_string()]
}

#[cfg(test)]
mod tests;
