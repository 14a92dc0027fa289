//! `hikyaku user add|list|show|set|password|class|unlock|make-admin|totp|remove`: programs and people, and what each may do.
//!
//! Always: a key comes from a file, standard input or the daemon, never from the command line, where others could read it.

use std::{
    fs::File,
    io::{self, Read},
};

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};

use super::{
    Target,
    args::text,
    client::{Answer, Client, DONE, Query, Trouble},
    table::{Output, Table, clean, json_flag, on_terminal},
};
use crate::http::{
    control::users::{NO_CLASS, UserIn},
    rows::{UserActOut, UserKeyOut, UserOut},
    when::{Zone, of_rfc3339},
};

/// Octets of a key file at most.
const KEY_FILE_MAX: u64 = 4096;

/// The classes of mail, and none.
const CLASSES: [&str; 4] = ["high", "normal", "low", NO_CLASS];
/// The words of a switch.
const ON_OFF: [&str; 2] = ["on", "off"];

/// The commands.
pub fn command() -> Command {
    Command::new("user")
        .about("Users: programs that send and read (API users), and people (console users)")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(json_flag())
        .subcommand(rights(
            Command::new("add")
                .about("Add a user: --api for a program, --console for a person (NAME is an e-mail address)")
                .arg(name())
                .arg(switch("api", "An API user: the login of SMTP AUTH and the HTTP API"))
                .arg(switch("console", "A console user"))
                .group(ArgGroup::new("kind").args(["api", "console"]).required(true))
                .arg(key_file())
                .arg(imported()),
        ))
        .subcommand(Command::new("list").about("All users"))
        .subcommand(Command::new("show").about("One user, with all that it may do").arg(name()))
        .subcommand(rights(Command::new("set").about("Change what a user may do; what is not named stays").arg(name())))
        .subcommand(
            Command::new("password")
                .about("Set another key or password; it unlocks nobody")
                .arg(name())
                .arg(key_file())
                .arg(imported()),
        )
        .subcommand(
            Command::new("class")
                .about("The class of a user's mail, where neither the mail nor MT-PRIORITY says otherwise")
                .arg(name())
                .arg(class_arg().required(true)),
        )
        .subcommand(Command::new("unlock").about("Unlock a console user after too many wrong passwords").arg(name()))
        .subcommand(
            Command::new("make-admin")
                .about("Hand the role of the group administrator to a console user; who had it is a user then")
                .arg(name()),
        )
        .subcommand(
            Command::new("totp")
                .about("Two-factor logins of a console user; on makes a new secret and shows its link once")
                .arg(name())
                .arg(Arg::new("state").value_name("on|off").value_parser(ON_OFF).required(true)),
        )
        .subcommand(Command::new("remove").about("Remove a user").arg(name()))
}

fn name() -> Arg {
    Arg::new("name").value_name("NAME").required(true)
}

fn key_file() -> Arg {
    Arg::new("key-file")
        .long("key-file")
        .visible_alias("password-file")
        .value_name("FILE")
        .help("Take the key or password from this file (-: standard input); without it one is made and shown once")
}

fn imported() -> Arg {
    switch(
        "imported",
        "The key of --key-file comes from Customers Mail Cloud: its rule (8 characters, letters and digits) is enough",
    )
    .requires("key-file")
}

fn class_arg() -> Arg {
    Arg::new("class").value_name("CLASS").value_parser(CLASSES).help("The class of its mail; none: no class of its own")
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// What a user may do.
fn rights(command: Command) -> Command {
    let one = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let list = |name: &'static str, value: &'static str, help: &'static str| {
        one(name, value, help).action(ArgAction::Append).value_delimiter(',')
    };
    command
        .arg(one("role", "ROLE", "group-administrator, user or report-viewer (the last for console users)"))
        .arg(class_arg().long("class"))
        .arg(list("access", "DOORS", "Of smtp and http; none: none of them"))
        .arg(list("permissions", "RIGHTS", "Of view and download (reading and downloading logs); none"))
        .arg(
            one("own-data-only", "on|off", "It reads deliveries, bounces and statistics of its own mail only")
                .value_parser(ON_OFF),
        )
        .arg(list("network", "NETWORK", "From where it may be used; may be repeated; none: from everywhere"))
        .arg(list(
            "sender",
            "SENDER",
            "As whom it may send, in envelope and header From: addresses, or domains with all \
             below them; may be repeated; none: as anybody",
        ))
        .arg(one("time-zone", "ZONE", "The zone of its dates, such as Asia/Tokyo; none: that of [server]"))
        .arg(one("rate", "N/TIME", "Recipients that it may submit in a time, such as 1000/1h; none: no limit"))
        .arg(one("expires", "TIME", "When it ends: 90d, 2027-03-31, 2027-03-31T18:00, now; none: never"))
        .arg(
            one("sandbox", "on|off", "Its mail is taken, logged and kept in the console's sandbox; never delivered")
                .value_parser(ON_OFF),
        )
        .arg(one("display-name", "TEXT", "A console user's name").visible_alias("name"))
        .arg(one("language", "LANGUAGE", "A console user's language: en, ja; none: the browser's"))
}

/// What is asked for, as the daemon takes it.
fn body(args: &ArgMatches) -> UserIn {
    let one = |name: &str| given(args, name).then(|| text(args, name).to_owned());
    let list =
        |name: &str| given(args, name).then(|| args.get_many::<String>(name).into_iter().flatten().cloned().collect());
    let flag = |name: &str| given(args, name).then(|| text(args, name) == ON_OFF[0]);
    UserIn {
        name: text(args, "name").to_owned(),
        role: one("role"),
        class: one("class"),
        access: list("access"),
        permissions: list("permissions"),
        own_data_only: flag("own-data-only"),
        networks: list("network"),
        senders: list("sender"),
        time_zone: one("time-zone"),
        rate: one("rate"),
        expires: one("expires"),
        sandbox: flag("sandbox"),
        display_name: one("display-name"),
        language: one("language"),
        ..UserIn::default()
    }
}

/// The argument exists for this command and was given.
fn given(args: &ArgMatches, name: &str) -> bool {
    args.try_contains_id(name).unwrap_or(false)
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
        Some(("show", args)) => {
            let answer = client.get("users/show", &Query::default().with("name", text(args, "name")))?;
            show(&answer, args, output)
        }
        Some(("add", args)) => {
            let kind = if args.get_flag("console") { "console" } else { "api" };
            let user = UserIn { kind: Some(kind.to_owned()), ..body(args) };
            give_key(&client, "users", user, args, output, input)
        }
        Some(("password", args)) => give_key(&client, "users/password", body(args), args, output, input),
        Some(("class", args)) => class(&client, args, output),
        Some(("set", args)) => show(&post(&client, "users/set", &body(args))?, args, output),
        Some(("unlock", args)) => {
            let words = |did: &UserActOut| match did.done {
                true => format!("User {} is unlocked.", clean(&did.name)),
                false => format!("User {} was not locked.", clean(&did.name)),
            };
            act(&client, "users/unlock", body(args), args, output, words)
        }
        Some(("make-admin", args)) => {
            let words = |did: &UserActOut| {
                let before = did.before.as_ref().map(|old| format!(", after {}, who is a user now", clean(old)));
                format!("User {} is the group administrator{}.", clean(&did.name), before.unwrap_or_default())
            };
            act(&client, "users/make-admin", body(args), args, output, words)
        }
        Some(("totp", args)) => totp(&client, args, output),
        Some(("remove", args)) => remove(&client, args, output),
        _ => Err(Trouble::Usage("add, list, show, set, password, class, unlock, make-admin, totp or remove?".into())),
    }
}

fn post(client: &Client, path: &str, user: &UserIn) -> Result<Answer, Trouble> {
    let body = serde_json::to_vec(user).map_err(|e| Trouble::Usage(e.to_string()))?;
    client.post(path, &Query::default(), &body)
}

fn list(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let answer = client.get("users", &Query::default())?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let zone = answer.zone();
    let mut table = Table::new(&["NAME", "KIND", "MAY", "CLASS", "ROLE", "LIMITS", "MADE", "KEY SET"]);
    for user in answer.rows::<UserOut>()? {
        table.row([
            user.name.clone(),
            user.kind.clone(),
            may(&user),
            user.class.clone().unwrap_or_else(|| "default".into()),
            user.role.clone(),
            limits(&user, &zone),
            time(&zone, &user.created_at),
            time(&zone, &user.password_set_at),
        ]);
    }
    if table.is_empty() {
        output.line("There are no users. Add one: hikyaku user add NAME --api")?;
    } else {
        table.print(output, "")?;
    }
    Ok(DONE)
}

fn time(zone: &Zone, text: &str) -> String {
    of_rfc3339(text).map_or_else(String::new, |t| zone.full(t))
}

fn may(user: &UserOut) -> String {
    let rights =
        [(user.may_smtp, "smtp"), (user.may_http, "http"), (user.may_view, "view"), (user.may_download, "download")];
    let may: Vec<&str> = rights.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect();
    may.join(" ")
}

/// What keeps a user from more, in a few words.
fn limits(user: &UserOut, zone: &Zone) -> String {
    let mut all = Vec::new();
    if user.locked {
        all.push("LOCKED".to_owned());
    }
    if let Some(at) = &user.expires_at {
        all.push(format!("{} {}", if user.expired { "EXPIRED" } else { "until" }, time(zone, at)));
    }
    all.extend(user.sandbox.then(|| "sandbox".to_owned()));
    all.extend(user.rate.clone());
    all.extend(user.own_data_only.then(|| "own data".to_owned()));
    let counted =
        |n: usize, one: &str| (n > 0).then(|| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") });
    all.extend(counted(user.senders.len(), "sender"));
    all.extend(counted(user.networks.len(), "network"));
    all.extend(user.totp.then(|| "two-factor".to_owned()));
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

/// One user, a line for each thing.
fn show(answer: &Answer, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let (user, zone) = (answer.row::<UserOut>()?, answer.zone());
    let or = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { clean(text) };
    let on = |on: bool| if on { "on" } else { "off" }.to_owned();
    let is_person = user.kind == "console";
    let mut lines = vec![
        ("name", or(&user.name, "")),
        ("kind", user.kind.clone()),
        ("role", user.role.clone()),
        ("may", or(&may(&user), "nothing")),
        ("networks", or(&user.networks.join(", "), "from everywhere")),
        ("time zone", user.time_zone.clone().unwrap_or_else(|| format!("that of [server]: {}", zone.name()))),
        ("expires", user.expires_at.as_deref().map_or_else(|| "never".into(), |at| time(&zone, at))),
    ];
    if is_person {
        let since = user.locked_at.as_deref().map(|at| format!("since {}", time(&zone, at)));
        lines.extend([
            ("display name", or(&user.display_name, "-")),
            ("language", or(&user.language, "the browser's")),
            ("two-factor", on(user.totp)),
            ("wrong passwords", user.failed_logins.to_string()),
            ("locked", since.unwrap_or_else(|| "no".into())),
        ]);
    } else {
        lines.extend([
            ("senders", or(&user.senders.join(", "), "anybody")),
            ("class", user.class.clone().unwrap_or_else(|| "default".into())),
            ("rate", user.rate.clone().unwrap_or_else(|| "no limit".into())),
            ("own data only", on(user.own_data_only)),
            ("sandbox", on(user.sandbox)),
        ]);
    }
    lines.extend([("made", time(&zone, &user.created_at)), ("key set", time(&zone, &user.password_set_at))]);
    for (what, value) in lines {
        output.line(&format!("{what:<16}{value}"))?;
    }
    Ok(DONE)
}

fn give_key(
    client: &Client,
    path: &str,
    user: UserIn,
    args: &ArgMatches,
    output: &mut Output<'_>,
    input: &mut dyn Read,
) -> Result<u8, Trouble> {
    let key = args.get_one::<String>("key-file").map(|file| read_key(file, input)).transpose()?;
    let is_person = user.kind.as_deref() == Some("console");
    let answer = post(client, path, &UserIn { key, imported: args.get_flag("imported"), ..user })?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let user: UserKeyOut = answer.row()?;
    let what = if path == "users" { "was added" } else { "has another key" };
    match user.key {
        Some(key) => {
            let its = if is_person { "password" } else { "key" };
            output.note(&format!("User {} {what}. Its {its}, shown this once:", clean(&user.name)))?;
            output.line(&key)?;
        }
        None => output.line(&format!("User {} {what}.", clean(&user.name)))?,
    }
    Ok(DONE)
}

fn act(
    client: &Client,
    path: &str,
    user: UserIn,
    args: &ArgMatches,
    output: &mut Output<'_>,
    words: impl Fn(&UserActOut) -> String,
) -> Result<u8, Trouble> {
    let answer = post(client, path, &user)?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    output.line(&words(&answer.row()?))?;
    Ok(DONE)
}

fn totp(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let on = text(args, "state") == ON_OFF[0];
    let answer = post(client, "users/totp", &UserIn { totp: Some(on), ..body(args) })?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let did: UserActOut = answer.row()?;
    match did.link {
        Some(link) => {
            output.note(&format!(
                "User {} is asked for a code from now on. The link for its program, shown this once:",
                clean(&did.name)
            ))?;
            output.line(&link)?;
        }
        None => output.line(&format!("User {} is asked for no code any more.", clean(&did.name)))?,
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
    let answer = post(client, "users/set", &body(args))?;
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
    let user = body(args);
    let answer = post(client, "users/remove", &user)?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
    } else {
        output.line(&format!("User {} was removed.", clean(&user.name)))?;
    }
    Ok(DONE)
}
