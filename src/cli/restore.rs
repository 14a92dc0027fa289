//! `hikyaku restore`: unpacks a backup into an empty data directory of a stopped daemon.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgMatches, Command};

use super::{Around, complain, data_dir, exit, print};
use crate::{
    app::lock::{self, LockError},
    clock::Clock,
    store::Store,
};

const HELP: &str = "\
Unpacks a backup into the data directory, which must hold no store yet. The daemon must be stopped. Every waiting
recipient comes back on hold, because it may have been sent since the backup: look with `hikyaku queue list`, then
`hikyaku queue release`, or drop what arrived.

Examples:
  hikyaku restore /backup/hikyaku.tar
  hikyaku restore hikyaku.tar --data-dir /var/lib/hikyaku

Exit codes: 0 restored, 1 it could not be (the words say why, nothing that was there is changed), 2 wrong usage or
config, 75 the daemon is running.";

/// The command.
pub(super) fn command() -> Command {
    let file = Arg::new("file")
        .value_name("FILE")
        .required(true)
        .value_parser(clap::value_parser!(PathBuf))
        .help("What `hikyaku backup` wrote");
    let data_dir = Arg::new("data-dir")
        .long("data-dir")
        .value_name("DIR")
        .value_parser(clap::value_parser!(PathBuf))
        .help("The data directory [default: the config's]");
    Command::new("restore")
        .about("Unpacks a backup into an empty data directory (daemon stopped)")
        .arg(file)
        .arg(data_dir)
        .after_help(HELP)
}

/// Restores a backup.
pub(super) fn run(matches: &ArgMatches, config: Option<&Path>, around: &Around) -> u8 {
    let Some(file) = matches.get_one::<PathBuf>("file") else { return exit::USAGE };
    let data_dir = match matches.get_one::<PathBuf>("data-dir") {
        Some(dir) => dir.clone(),
        None => match data_dir(config, around) {
            Ok(dir) => dir,
            Err(code) => return code,
        },
    };
    let backup = match File::open(file) {
        Ok(backup) => backup,
        Err(error) => {
            complain(&format!("hikyaku: {}: {error}\n", file.display()));
            return exit::NO;
        }
    };
    let _lock = match lock::take(&data_dir) {
        Ok(lock) => lock,
        Err(error) => {
            complain(&format!("hikyaku: {error}\n"));
            return match error {
                LockError::Taken { .. } => exit::TRY_LATER,
                LockError::Io { .. } => exit::NO,
            };
        }
    };
    match Store::restore(&data_dir, &Clock::system(), &mut BufReader::new(backup)) {
        Ok(held) => {
            print(&format!(
                "{}: restored; {held} recipients are on hold: see `hikyaku queue list`, then release or drop them\n",
                data_dir.display()
            ));
            exit::DONE
        }
        Err(error) => {
            complain(&format!("hikyaku: {} was not restored: {error}\n", data_dir.display()));
            exit::NO
        }
    }
}
