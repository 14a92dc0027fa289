//! `hikyaku queue list|show|flush|hold|release|drop|fail|pause|resume|pauses`: what waits, why, and the operator's acts on it.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{
    Target,
    args::{language, language_flag, rows_wanted, text},
    client::{Answer, Client, DONE, NO, Query, Trouble},
    explain::print_facts,
    log::word,
    pauses, said,
    table::{Output, Table, clean, json_flag, on_terminal},
};
use crate::{
    clock::Timestamp,
    event::{Class, WaitReason},
    http::{
        control::PAGE_ROWS_MAX,
        rows::{ActOut, DestinationOut, QueueOut, RecipientOut, StoryOut},
        when::{Zone, human, of_rfc3339},
        words::{number, size},
    },
    ids::MessageId,
    language::Language,
};

/// The wait reason of mail whose submitter asked for a later time.
const SCHEDULED: &str = "scheduled";
/// Recipients of a table when nothing is said.
const TABLE_ROWS: u64 = 50;

/// The commands.
pub fn command() -> Command {
    let verb = |name: &'static str, about: &'static str| {
        filters(Command::new(name).about(about))
            .arg(Arg::new("all").long("all").action(ArgAction::SetTrue).help("The whole queue"))
    };
    Command::new("queue")
        .about("What waits, why, and what to do about it")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(json_flag())
        .subcommand(
            filters(Command::new("list").about("Waiting recipients"))
                .arg(Arg::new("held").long("held").action(ArgAction::SetTrue).help("Held ones only"))
                .arg(
                    Arg::new("destinations")
                        .long("destinations")
                        .short('d')
                        .action(ArgAction::SetTrue)
                        .conflicts_with_all([
                            "id",
                            "recipient",
                            "sender",
                            "destination",
                            "user",
                            "class",
                            "wait",
                            "reply",
                            "held",
                        ])
                        .help("Counts by destination"),
                )
                .arg(
                    Arg::new("limit")
                        .long("limit")
                        .value_name("N")
                        .value_parser(clap::value_parser!(u64))
                        .help("At most this many; 0: all. Default: 50 in a table, all in JSON"),
                ),
        )
        .subcommand(
            Command::new("show")
                .about("One message: its recipients and everything that happened")
                .arg(Arg::new("id").value_name("QUEUE-ID").required(true))
                .arg(said::flag())
                .arg(language_flag()),
        )
        .subcommand(
            verb("flush", "Try now; back-off is ignored, limits are not")
                .mut_arg("id", |arg| arg.value_name("WHICH").help("all, a queue id, a recipient, or a destination")),
        )
        .subcommand(verb("hold", "Do not try until released"))
        .subcommand(verb("release", "Try held ones again"))
        .subcommand(verb("drop", "Remove for good, without a notice to the sender"))
        .subcommand(verb("fail", "Fail for good, with a notice to the sender"))
        .subcommands(pauses::commands())
}

fn filters(command: Command) -> Command {
    let value = |name: &'static str, kind: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(kind).help(help)
    };
    command
        .arg(Arg::new("id").value_name("QUEUE-ID").help("One message"))
        .arg(
            value("index", "N", "One recipient of it, as `queue show --json` numbers them")
                .requires("id")
                .value_parser(clap::value_parser!(u32)),
        )
        .arg(value("recipient", "TEXT", "Part of the recipient's address"))
        .arg(value("sender", "TEXT", "Part of the envelope sender"))
        .arg(value("destination", "DOMAIN", "The destination, whole"))
        .arg(value("user", "NAME", "The API user"))
        .arg(value("class", "CLASS", "The priority: high, normal or low").value_parser(Class::ALL.map(Class::word)))
        .arg(
            value("wait", "REASON", "Why it waits: fresh, retry, site, held, damaged or scheduled")
                .value_parser(WaitReason::ALL.map(WaitReason::word)),
        )
        .arg(value("reply", "TEXT", "Part of what the last try heard"))
}

/// Runs one of them.
pub fn run(matches: &ArgMatches, target: &Target) -> u8 {
    on_terminal(|output| run_to(matches, target, output))
}

pub(super) fn run_to(matches: &ArgMatches, target: &Target, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let client = Client::new(target);
    match matches.subcommand() {
        Some(("list", args)) if args.get_flag("destinations") => destinations(&client, args, output),
        Some(("list", args)) => list(&client, args, output),
        Some(("show", args)) => show(&client, args, output),
        Some(("pause", args)) => pauses::pause(&client, args, output),
        Some(("resume", args)) => pauses::resume(&client, args, output),
        Some(("pauses", args)) => pauses::list(&client, args, output),
        Some((verb, args)) => act(&client, verb, args, output),
        None => Err(Trouble::Usage("list, show, flush, hold, release, drop, fail, pause, resume or pauses?".into())),
    }
}

fn filter_query(args: &ArgMatches) -> Query {
    let mut query = Query::default();
    for name in ["id", "recipient", "sender", "destination", "user", "class", "wait", "reply"] {
        query = query.with(name, text(args, name));
    }
    match args.get_one::<u32>("index") {
        Some(index) => query.with("index", &index.to_string()),
        None => query,
    }
}

/// `flush` knows by its look what is meant: `all`, a queue id, a recipient with its @, or else a destination.
fn flush_query(args: &ArgMatches) -> Result<Query, Trouble> {
    let mut query = Query::default();
    let word = text(args, "id");
    let named = match word {
        "" => "id",
        "all" => "all",
        _ if word.parse::<MessageId>().is_ok() => "id",
        _ if word.contains('@') => "recipient",
        _ => "destination",
    };
    if matches!(named, "recipient" | "destination") && !text(args, named).is_empty() {
        return Err(Trouble::Usage(format!("{:?} is a {named}, and --{named} names another one", clean(word))));
    }
    query = query.with(named, if named == "all" { "1" } else { word });
    for name in ["recipient", "sender", "destination", "user", "class", "wait", "reply"] {
        query = query.with(name, text(args, name));
    }
    match args.get_one::<u32>("index") {
        Some(_) if named != "id" => Err(Trouble::Usage("--index goes with a queue id".into())),
        Some(index) => Ok(query.with("index", &index.to_string())),
        None => Ok(query),
    }
}

fn list(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let json = args.get_flag("json");
    let mut left = rows_wanted(args, json, TABLE_ROWS);
    let limit = left;
    let mut table = Table::new(&["QUEUE ID", "AGE", "NEXT TRY", ">TRIES", "SENDER", "RECIPIENT", "LAST ANSWER"]);
    let mut cursor = String::new();
    loop {
        let query = filter_query(args)
            .flag("held", args.get_flag("held"))
            .with("limit", &left.min(PAGE_ROWS_MAX as u64).to_string())
            .with("cursor", &cursor);
        let answer = client.get("queue", &query)?;
        let rows = answer.rows::<QueueOut>()?;
        if json {
            output.out.write_all(&answer.body)?;
        } else {
            for row in &rows {
                list_row(&mut table, row, answer.now());
            }
        }
        left = left.saturating_sub(rows.len() as u64);
        match answer.next_cursor() {
            Some(next) if left > 0 => cursor = next,
            Some(_) => break,
            None => {
                left = left.max(1);
                break;
            }
        }
    }
    if json {
        return Ok(DONE);
    }
    if table.is_empty() {
        let narrowed = !filter_query(args).text().is_empty() || args.get_flag("held");
        output.line(if narrowed { "Nothing that matches waits." } else { "The queue is empty." })?;
        return Ok(DONE);
    }
    table.print(output, "")?;
    if left == 0 {
        output.note(&format!("… {limit} are shown; --limit 0 shows all, --destinations counts them."))?;
    }
    Ok(DONE)
}

fn list_row(table: &mut Table, row: &QueueOut, now: Timestamp) {
    let (m, r) = (&row.message, &row.recipient);
    let age = of_rfc3339(&m.accepted_at).map_or_else(String::new, |t| human(now.since(t)));
    table.row([
        m.queue_id.clone(),
        age,
        next_try(r.next_try.as_deref(), now),
        r.attempts.to_string(),
        if m.sender.is_empty() { "<>".into() } else { m.sender.clone() },
        r.recipient.clone(),
        match (r.wait.as_deref(), r.last_reply.as_str()) {
            (Some(SCHEDULED), "") => "its sender asked for a later time".into(),
            (_, "") if r.attempts == 0 => "not tried yet".into(),
            (_, reply) => reply.to_owned(),
        },
    ]);
}

/// `now`, `in 4m 10s`, `held`.
pub(super) fn next_try(text: Option<&str>, now: Timestamp) -> String {
    match text.and_then(of_rfc3339) {
        None => "held".into(),
        Some(at) if at.since(now).as_secs() == 0 => "now".into(),
        Some(at) => format!("in {}", human(at.since(now))),
    }
}

fn destinations(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let limit = args.get_one::<u64>("limit").filter(|n| **n > 0).map_or_else(String::new, u64::to_string);
    let answer = client.get("destinations", &Query::default().with("limit", &limit))?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let rows = answer.rows()?;
    if rows.is_empty() {
        output.line("The queue is empty.")?;
        return Ok(DONE);
    }
    destination_table(&rows, answer.now()).print(output, "")?;
    Ok(DONE)
}

/// The queue by destination.
pub(super) fn destination_table(rows: &[DestinationOut], now: Timestamp) -> Table {
    let mut table = Table::new(&["DESTINATION", ">WAITING", ">RUNNING", "NEXT TRY", "LAST ANSWER"]);
    for row in rows {
        table.row([
            row.destination.clone(),
            number(row.waiting),
            row.running.to_string(),
            if row.paused { "paused".into() } else { next_try(row.next_try.as_deref(), now) },
            if row.last_reply.is_empty() { "not tried yet".into() } else { row.last_reply.clone() },
        ]);
    }
    table
}

fn show(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let id = text(args, "id");
    if !id.bytes().all(|b| b.is_ascii_alphanumeric()) || id.is_empty() {
        return Err(Trouble::Usage(format!(
            "{:?} is not a queue id: see `hikyaku queue list`, or look with `hikyaku find`",
            clean(id)
        )));
    }
    let answer = client.get(&format!("message/{id}"), &said::asked(Query::default(), args))?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    for story in answer.rows::<StoryOut>()? {
        print_story(&story, &answer, language(args), output)?;
        if said::wanted(args) {
            said::print(&story, &answer.zone(), output)?;
        }
    }
    Ok(DONE)
}

fn print_story(story: &StoryOut, answer: &Answer, language: &str, output: &mut Output<'_>) -> Result<(), Trouble> {
    let (zone, now) = (answer.zone(), answer.now());
    let m = &story.message;
    let time = |text: &str, zone: &Zone| of_rfc3339(text).map_or_else(String::new, |t| zone.full(t));
    let mut origin = format!("{} by {}", time(&m.accepted_at, &zone), m.origin);
    if let Some(ip) = &m.source_ip {
        origin.push_str(&format!(" from {ip}"));
    }
    if !m.user.is_empty() {
        origin.push_str(&format!(", user {}", m.user));
    }
    output.line(&format!("Message {}", m.queue_id))?;
    let sender = if m.sender.is_empty() { "<>" } else { &m.sender };
    let body = if m.body_stored { "" } else { ", body no longer stored" };
    let facts = [
        ("subject", m.subject.clone()),
        ("accepted", origin),
        ("sender", sender.to_owned()),
        ("from", m.from.clone()),
        ("message-id", m.message_id.clone()),
        ("x-api-data", m.api_data.clone()),
        ("size", format!("{}, class {}{body}", size(m.size), m.class)),
        ("expires", time(&m.expires_at, &zone)),
    ];
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        output.line(&format!("  {name:<11} {}", clean(value)))?;
    }
    output.line("\nRecipients")?;
    let mut table = Table::new(&["RECIPIENT", "STATE", ">TRIES", "NEXT TRY", "LAST ANSWER"]);
    for r in &story.recipients {
        let next = if r.state == "waiting" { next_try(r.next_try.as_deref(), now) } else { String::new() };
        table.row([r.recipient.clone(), state_word(r).to_owned(), r.attempts.to_string(), next, r.last_reply.clone()]);
    }
    table.print(output, "  ")?;
    print_reasons(language, &story.recipients, output)?;
    output.line("\nWhat happened")?;
    let mut table = Table::new(&["TIME", "STATUS", "RECIPIENT", "HOST", "ANSWER"]);
    for e in &story.events {
        let by = e.operator.as_ref().map_or_else(|| e.reply.clone(), |who| format!("by {who} {}", e.reply));
        table.row([time(&e.at, &zone), word(&e.status).to_owned(), e.recipient.clone(), e.host.clone(), by]);
    }
    table.print(output, "  ")
}

/// Where a recipient stands, in a word.
pub(super) fn state_word(recipient: &RecipientOut) -> &str {
    match recipient.wait.as_deref() {
        Some(SCHEDULED) if recipient.state == "waiting" => SCHEDULED,
        _ => word(&recipient.state),
    }
}

/// How those that wait are treated, and why.
pub(super) fn print_reasons(
    language: &str,
    recipients: &[RecipientOut],
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    for recipient in recipients.iter().filter(|r| !r.facts.is_empty()) {
        let who = clean(&recipient.recipient);
        output.line(
            &Language::of_code(language)
                .pick(format!("\nHow {who} goes, and why"), format!("\n{who} の配信方法と理由")),
        )?;
        print_facts(language, &recipient.facts, "  ", output)?;
    }
    Ok(())
}

fn act(client: &Client, verb: &str, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let query = if verb == "flush" { flush_query(args)? } else { filter_query(args) };
    let query = query.flag("all", args.get_flag("all"));
    if query.text().is_empty() {
        return Err(Trouble::Usage(format!("{verb} whom? Give a queue id, a filter such as --destination, or --all.")));
    }
    let answer = client.post(&format!("queue/{verb}"), &query, b"")?;
    let done: ActOut = answer.row()?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
    } else {
        let past = match verb {
            "flush" => "will be tried now",
            "hold" => "held",
            "release" => "released",
            "drop" => "dropped",
            _ => "failed, with a notice to the sender",
        };
        let line = match done.recipients {
            0 => "No waiting recipient matches.".to_owned(),
            1 => format!("1 recipient {past}."),
            n => format!("{} recipients {past}.", number(n)),
        };
        output.line(&line)?;
    }
    Ok(if done.recipients == 0 { NO } else { DONE })
}
