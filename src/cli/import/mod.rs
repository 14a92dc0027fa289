//! `hikyaku import postfix DIR`, `hikyaku import cmc`: a config for those who move here, with a comment for each line that has no
//! equivalent.
//!
//! In: files of another mail server.  Out: a config that `hikyaku check` takes, on standard output or in a new file; lists.
//! Always: nothing is executed, asked for over a network, or written over; a password goes into a file of its own that its
//! owner alone reads, never into the config; files outside the named folder are read only where a setting names them by their
//! full path, and the config says so.
//! Sources: config.md; postconf(5); cmc.md §6.1 and §12.2.

mod cmc;
mod draft;
mod folder;
mod main_cf;
mod maps;
mod postfix;
mod postfix_doors;
mod reasons;

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgMatches, Command};
use jiff::tz::TimeZone;

use super::{complain, exit, print, refuse, serve::surroundings};
use crate::{
    config::Files,
    suppress::csv::{Item, Reader},
};
use draft::{Draft, text};
use folder::Folder;

const HELP: &str = "\
Reads the settings of another mail server and writes a config for this one: what it could take over, and a comment
with file, line and reason for each line that has no equivalent. The config passes `hikyaku check` on this machine:
a value that it would refuse becomes a comment, too. Read it before you use it.

Examples:
  hikyaku import postfix /etc/postfix
  hikyaku import postfix /etc/postfix --out /etc/hikyaku/config.toml
  hikyaku import cmc --filters filters.csv --blocks blocks.csv --out new.toml --list blocked.csv
  hikyaku suppress import blocked.csv          (then, while Hikyaku runs)

Nothing is executed and nothing is written over. The smarthost's password is written with --out alone, to
FILE.smarthost-password, which its owner alone can read (chown it to the user hikyaku).

Exit codes: 0 done, 1 done but for rows of a list that could not be read, 2 not done.";

/// Rows of a list that are told one by one; of more, only how many.
const TOLD_MAX: u64 = 100;

/// The command.
pub(super) fn command() -> Command {
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("FILE").value_parser(clap::value_parser!(PathBuf)).help(help)
    };
    let out = || file("out", "Write the config to this new file [default: standard output]");
    Command::new("import")
        .about("Writes a config from another mail server's: Postfix, Customers Mail Cloud")
        .after_help(HELP)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("postfix")
                .about("main.cf, master.cf, transport and password tables of a Postfix")
                .arg(
                    Arg::new("dir")
                        .value_name("DIR")
                        .required(true)
                        .value_parser(clap::value_parser!(PathBuf))
                        .help("/etc/postfix, or a copy of it"),
                )
                .arg(out()),
        )
        .subcommand(
            Command::new("cmc")
                .about("Downloads of Customers Mail Cloud: delivery speed filters, blocked addresses")
                .arg(file("filters", "The CSV of the delivery speed filters"))
                .arg(file("blocks", "The CSV of the blocked addresses"))
                .arg(out())
                .arg(file("list", "Write the blocked addresses to this new file, for `hikyaku suppress import`")),
        )
}

/// Runs it.
pub(super) fn run(matches: &ArgMatches) -> u8 {
    let ran = match matches.subcommand() {
        Some(("postfix", args)) => from_postfix(args),
        Some(("cmc", args)) => from_cmc(args),
        _ => Err("postfix or cmc?".to_owned()),
    };
    ran.unwrap_or_else(refuse)
}

fn path<'a>(args: &'a ArgMatches, name: &str) -> Option<&'a Path> {
    args.get_one::<PathBuf>(name).map(PathBuf::as_path)
}

fn from_postfix(args: &ArgMatches) -> Result<u8, String> {
    let dir = path(args, "dir").ok_or("which folder?")?;
    let out = path(args, "out").map(absolute).transpose()?;
    is_new(out.as_deref())?;
    let mut folder = Folder::open(dir)?;
    let mut imported = postfix::import(&mut folder)?;
    for name in folder.outside() {
        imported.draft.note(
            name,
            0,
            "this file",
            "it is outside of the folder; a setting names it by its full path, so it was read",
        );
    }
    let mut made = Made::default();
    if let Some(login) = &imported.login {
        match &out {
            Some(out) => {
                let file = PathBuf::from(format!("{}.smarthost-password", out.display()));
                made.write(&file, 0o600, format!("{}\n", login.password.reveal()).as_bytes())?;
                let shown = text(&file.to_string_lossy());
                imported.draft.set(
                    "delivery",
                    "smarthost_password_file",
                    &shown,
                    &format!("{}, for {}", login.from, login.user),
                );
            }
            None => imported.draft.note(
                "--out",
                0,
                "the smarthost's password",
                "it is written with --out FILE alone, into a file beside it",
            ),
        }
    }
    let title = format!("Written by `hikyaku import postfix {}`. Read it before you use it.", dir.display());
    finish(imported.draft, &title, out.as_deref(), made)?;
    Ok(exit::DONE)
}

fn from_cmc(args: &ArgMatches) -> Result<u8, String> {
    let (filters, blocks) = (path(args, "filters"), path(args, "blocks"));
    let (out, list) = (path(args, "out").map(absolute).transpose()?, path(args, "list").map(absolute).transpose()?);
    if filters.is_none() && blocks.is_none() {
        return Err("name --filters FILE, --blocks FILE, or both".to_owned());
    }
    if blocks.is_some() != list.is_some() {
        return Err("--blocks FILE and --list FILE go together".to_owned());
    }
    is_new(out.as_deref())?;
    is_new(list.as_deref())?;
    let mut made = Made::default();
    let mut code = exit::DONE;
    if let (Some(blocks), Some(list)) = (blocks, &list)
        && !blocked(blocks, list, &mut made)?
    {
        code = exit::NO;
    }
    if let Some(filters) = filters {
        let name =
            filters.file_name().map_or_else(|| filters.display().to_string(), |n| n.to_string_lossy().into_owned());
        let octets = folder::octets(filters).map_err(|why| format!("{}: {why}", filters.display()))?;
        let mut draft = Draft::default();
        cmc::filters(&name, &octets, &mut draft).map_err(|why| format!("{}: {why}", filters.display()))?;
        let title = format!(
            "Written by `hikyaku import cmc --filters {name}`. Read it before you use it: it holds the delivery speed filters alone."
        );
        finish(draft, &title, out.as_deref(), made)?;
    } else {
        made.keep();
    }
    Ok(code)
}

/// Writes the config, and says on standard error what the reader warns of.
fn finish(draft: Draft, title: &str, out: Option<&Path>, mut made: Made) -> Result<(), String> {
    let notes = draft.notes().len();
    let place = out.unwrap_or(Path::new("config.toml"));
    let (text, warnings) = draft.finish(title, place, &surroundings(Files::Checked))?;
    match out {
        Some(out) => made.write(out, 0o640, text.as_bytes())?,
        None => print(&text),
    }
    made.keep();
    for warning in &warnings {
        complain(&format!("warning: {warning}\n"));
    }
    let shown = out.map_or_else(|| "standard output".to_owned(), |out| out.display().to_string());
    complain(
        &format!("hikyaku: the config is on {shown}; {notes} lines have no equivalent, and stand in its comments\n")
            .replace("is on /", "is in /"),
    );
    Ok(())
}

/// Files that were made; they go again when the whole does not come to its end.
#[derive(Default)]
struct Made(Vec<PathBuf>);

impl Made {
    fn create(&mut self, path: &Path, mode: u32) -> Result<fs::File, String> {
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        let file = file.map_err(|error| format!("{}: {error}", path.display()))?;
        self.0.push(path.to_owned());
        Ok(file)
    }

    fn write(&mut self, path: &Path, mode: u32, octets: &[u8]) -> Result<(), String> {
        let mut file = self.create(path, mode)?;
        let written = file.write_all(octets).and_then(|()| file.sync_all());
        written.map_err(|error| format!("{}: {error}", path.display()))
    }

    fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

fn is_new(path: Option<&Path>) -> Result<(), String> {
    match path.filter(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(format!("{} is there already, and is not written over", path.display())),
        None => Ok(()),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes the list of blocked addresses as `hikyaku suppress import` takes it; false: some rows could not be read.
fn blocked(from: &Path, to: &Path, made: &mut Made) -> Result<bool, String> {
    let file = fs::File::open(from).map_err(|error| format!("{}: {error}", from.display()))?;
    let reader = Reader::new(io::BufReader::new(file), TimeZone::system(), None, false);
    let reader = reader.map_err(|why| format!("{}: {why}", from.display()))?;
    let mut writer = csv::Writer::from_writer(io::BufWriter::new(made.create(to, 0o640)?));
    let failed = |error: csv::Error| format!("{}: {error}", to.display());
    let head = ["email", "user", "state", "cause", "class", "occurred", "since", "until", "reason", "operator"];
    writer.write_record(head).map_err(failed)?;
    let (mut rows, mut bad) = (0u64, 0u64);
    for item in reader {
        let (line, why) = match item.map_err(|error| format!("{}: {error}", from.display()))? {
            Item::Row { row, .. } => {
                rows += 1;
                let time = |at: Option<crate::clock::Timestamp>| at.map(|at| at.rfc3339()).unwrap_or_default();
                let state = if row.exempt { "exempt" } else { "suppressed" };
                let class = row.class.map(|class| class.code().to_string()).unwrap_or_default();
                let fields = [
                    row.address,
                    row.user,
                    state.to_owned(),
                    row.cause.word().to_owned(),
                    class,
                    row.occurred.to_string(),
                    time(row.since),
                    time(row.until),
                    row.reason,
                    String::new(),
                ];
                writer.write_record(&fields).map_err(failed)?;
                continue;
            }
            Item::LeftOut { line, why } | Item::Bad { line, why } => (line, why),
        };
        bad += 1;
        if bad <= TOLD_MAX {
            complain(&format!("{}:{line}: {}\n", from.display(), why.escape_debug()));
        }
    }
    writer.flush().map_err(|error| format!("{}: {error}", to.display()))?;
    complain(&format!(
        "hikyaku: {rows} addresses are in {}, {bad} rows were left out; next: hikyaku suppress import {}\n",
        to.display(),
        to.display()
    ));
    Ok(bad == 0)
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
