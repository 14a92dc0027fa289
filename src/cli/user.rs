//! `hikyaku user add|list|password|class|remove`: API users.
//!
//! Always: a key comes from a file, standard input or the daemon, never from the command line, where others could read it.

use std::{
    fs::File,
    io::{self, Read},
};

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{
    Target,
    args::text,
    client::{Client, DONE, Query, Trouble},
    table::{Output, Table, clean, json_flag, on_terminal},
};
use crate::http::{
    control::users::NO_CLASS,
    rows::{UserKeyOut, UserOut},
    when::of_rfc3339,
};

/// Octets of a key file at most.
const KEY_FILE_MAX: u64 = 4096;

/// The classes of mail.
const CLASSES: [&str; 3] = ["high", "normal", "low"];

/// The commands.
pub fn command() -> Command {
    let name = || Arg::new("name").value_name("NAME").required(true);
    let key_file = || {
        Arg::new("key-file")
            .long("key-file")
            .value_name("FILE")
            .help("Take the key from this file (-: standard input); without it one is made and shown once")
    };
    Command::new("user")
        .about("API users: the logins of SMTP AUTH and the HTTP API")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(json_flag())
        .subcommand(
            Command::new("add")
                .about("Add a user")
                .arg(name())
                .arg(
                    Arg::new("api")
                        .long("api")
                        .action(ArgAction::SetTrue)
                        .required(true)
                        .help("An API user (the only kind for now)"),
                )
                .arg(key_file())
                .arg(
                    Arg::new("class")
                        .long("class")
                        .value_name("CLASS")
                        .value_parser(CLASSES)
                        .help("The class of its mail"),
                ),
        )
        .subcommand(Command::new("list").about("All users"))
        .subcommand(Command::new("password").about("Set another key").arg(name()).arg(key_file()))
        .subcommand(
            Command::new("class")
                .about("The class of a user's mail, where neither the mail nor MT-PRIORITY says otherwise")
                .arg(name())
                .arg(
                    Arg::new("class")
                        .value_name("CLASS")
                        .value_parser([CLASSES[0], CLASSES[1], CLASSES[2], NO_CLASS])
                        .required(true)
                        .help("none: no class of its own"),
                ),
        )
        .subcommand(Command::new("remove").about("Remove a user").arg(name()))
}

/// Runs one of them.
pub fn run(matches: &ArgMatches, target: &Target) -> u8 {
    on_terminal(|output| run_to(matches, target, output, &mut io::stdin()))
}

pub(super) fn run_to(
    matches: &ArgMatches,
    target: &Target,
    output: &mut Output<'_>,
    input: &mut dyn Read,
) -> Result<u8, Trouble> {
    let client = Client::new(target);
    match matches.subcommand() {
        Some(("list", args)) => list(&client, args, output),
        Some(("add", args)) => set(&client, "users", args, output, input),
        Some(("password", args)) => set(&client, "users/password", args, output, input),
        Some(("class", args)) => class(&client, args, output),
        Some(("remove", args)) => remove(&client, args, output),
        _ => Err(Trouble::Usage("add, list, password, class or remove?".into())),
    }
}

fn name_of(args: &ArgMatches) -> &str {
    text(args, "name")
}

fn list(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let answer = client.get("users", &Query::default())?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let zone = answer.zone();
    let time = |text: &str| of_rfc3339(text).map_or_else(String::new, |t| zone.full(t));
    let mut table = Table::new(&["NAME", "KIND", "MAY", "CLASS", "MADE", "KEY SET"]);
    for user in answer.rows::<UserOut>()? {
        let rights = [
            (user.may_smtp, "smtp"),
            (user.may_http, "http"),
            (user.may_view, "view"),
            (user.may_download, "download"),
        ];
        let may: Vec<&str> = rights.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect();
        table.row([
            user.name,
            user.kind,
            may.join(" "),
            user.class.unwrap_or_else(|| "default".into()),
            time(&user.created_at),
            time(&user.password_set_at),
        ]);
    }
    if table.is_empty() {
        output.line("There are no users. Add one: hikyaku user add NAME --api")?;
    } else {
        table.print(output, "")?;
    }
    Ok(DONE)
}

fn set(
    client: &Client,
    path: &str,
    args: &ArgMatches,
    output: &mut Output<'_>,
    input: &mut dyn Read,
) -> Result<u8, Trouble> {
    let name = name_of(args);
    let key = args.get_one::<String>("key-file").map(|file| read_key(file, input)).transpose()?;
    let class = (path == "users").then(|| args.get_one::<String>("class")).flatten();
    let body = serde_json::json!({ "name": name, "key": key, "class": class }).to_string();
    let answer = client.post(path, &Query::default(), body.as_bytes())?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let user: UserKeyOut = answer.row()?;
    let what = if path == "users" { "was added" } else { "has another key" };
    match user.key {
        Some(key) => {
            output.note(&format!("User {} {what}. Its key, shown this once:", clean(&user.name)))?;
            output.line(&key)?;
        }
        None => output.line(&format!("User {} {what}.", clean(&user.name)))?,
    }
    Ok(DONE)
}

/// A key file's content without its last line break.
fn read_key(file: &str, input: &mut dyn Read) -> Result<String, Trouble> {
    let mut key = String::new();
    let read = match file {
        "-" => input.take(KEY_FILE_MAX + 1).read_to_string(&mut key),
        path => File::open(path).and_then(|f| f.take(KEY_FILE_MAX + 1).read_to_string(&mut key)),
    };
    read.map_err(|e| Trouble::Usage(format!("reading the key file {file}: {e}")))?;
    let key = key.strip_suffix('\n').unwrap_or(&key);
    let key = key.strip_suffix('\r').unwrap_or(key);
    if key.is_empty() || key.len() as u64 > KEY_FILE_MAX || key.chars().any(char::is_control) {
        return Err(Trouble::Usage(format!("the key file {file} must hold one line of 1 to {KEY_FILE_MAX} octets")));
    }
    Ok(key.to_owned())
}

fn class(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let body = serde_json::json!({ "name": name_of(args), "class": args.get_one::<String>("class") }).to_string();
    let answer = client.post("users/class", &Query::default(), body.as_bytes())?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let user: UserOut = answer.row()?;
    let what = user.class.map_or_else(|| "has no class of its own".to_owned(), |class| format!("is of class {class}"));
    output.line(&format!("Mail of {} {what}.", clean(&user.name)))?;
    Ok(DONE)
}

fn remove(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let name = name_of(args);
    let body = serde_json::json!({ "name": name }).to_string();
    let answer = client.post("users/remove", &Query::default(), body.as_bytes())?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
    } else {
        output.line(&format!("User {} was removed.", clean(name)))?;
    }
    Ok(DONE)
}
