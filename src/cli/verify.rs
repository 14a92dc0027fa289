//! `hikyaku verify`: reads the whole store of a stopped daemon and reports damage.

use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgMatches, Command};

use super::{Around, complain, data_dir, exit, print};
use crate::{
    clock::Clock,
    store::{Store, VerifyReport},
};

const HELP: &str = "\
Reads every row and every stored mail and compares checksums. The daemon must be stopped. Nothing is changed.

Examples:
  hikyaku verify
  hikyaku verify --data-dir /mnt/rescued/hikyaku

Exit codes: 0 everything is whole, 1 something is damaged (one line each), 2 wrong usage or config, 75 the daemon
is running.";

/// The command.
pub(super) fn command() -> Command {
    let data_dir = Arg::new("data-dir")
        .long("data-dir")
        .value_name("DIR")
        .value_parser(clap::value_parser!(PathBuf))
        .help("The data directory [default: the config's]");
    Command::new("verify")
        .about("Reads the whole store and reports damage (daemon stopped)")
        .arg(data_dir)
        .after_help(HELP)
}

/// Verifies a store.
pub(super) fn run(matches: &ArgMatches, config: Option<&Path>, around: &Around) -> u8 {
    let data_dir = match matches.get_one::<PathBuf>("data-dir") {
        Some(dir) => dir.clone(),
        None => match data_dir(config, around) {
            Ok(dir) => dir,
            Err(code) => return code,
        },
    };
    if UnixStream::connect(data_dir.join("control.sock")).is_ok() {
        complain(&format!("hikyaku: a daemon is running on {}; stop it first\n", data_dir.display()));
        return exit::TRY_LATER;
    }
    match Store::verify(&data_dir, &Clock::system()) {
        Ok(report) => {
            print(&told(&data_dir, &report));
            if report.damage.is_empty() { exit::DONE } else { exit::NO }
        }
        Err(error) => {
            complain(&format!("hikyaku: {} cannot be verified: {error}\n", data_dir.display()));
            exit::NO
        }
    }
}

fn told(data_dir: &Path, report: &VerifyReport) -> String {
    let mut out: String = report.damage.iter().map(|line| format!("damaged: {line}\n")).collect();
    let VerifyReport { messages, recipients, events, bodies, index_rows_left, audit_entries, audit_head, damage } =
        report;
    if *index_rows_left > 0 {
        out.push_str(&format!("{index_rows_left} index rows of pruned entries go with their day\n"));
    }
    let (last, hash) = audit_head;
    out.push_str(&format!("operation log: {audit_entries} entries; the last is {last} with the hash {hash}\n"));
    let verdict = match damage.len() {
        0 => "everything is whole".to_owned(),
        1 => "1 thing is damaged".to_owned(),
        n => format!("{n} things are damaged"),
    };
    out.push_str(&format!(
        "{}: read {messages} messages, {recipients} recipients, {events} events, {bodies} bodies: {verdict}\n",
        data_dir.display()
    ));
    out
}
