//! `hikyaku check`: the effective settings, or every error with its line and fix.

use std::path::Path;

use clap::Command;

use super::{Around, Found, complain, discover::find, exit, print, refuse, serve::surroundings};
use crate::config::{self, Config, Files, Problem, effective};

const HELP: &str = "\
Reads the config as serve would, looks at the files it names, and changes nothing. If all is well it prints the
settings in force, defaults included, as TOML with passwords and keys hidden. Otherwise it prints every error at
once: file:line:column, key, reason, fix. Warnings go to stderr and keep nothing from working.

Examples:
  hikyaku check
  hikyaku check && systemctl reload hikyaku
  hikyaku check --config new.toml > effective.toml

Exit codes: 0 the config can be used, 2 it cannot.";

/// The command.
pub(super) fn command() -> Command {
    Command::new("check").about("Shows the settings in force, or every error in the config").after_help(HELP)
}

/// Checks the config.
pub(super) fn run(config: Option<&Path>, around: &Around) -> u8 {
    let path = match find(config, around) {
        Ok(Found::File(path)) => path,
        Ok(Found::Nothing) => {
            let shown = effective(&Config::demo(&around.folder));
            print(&format!("# There is no config file: this is the demo that `hikyaku serve` runs.\n\n{shown}"));
            return exit::DONE;
        }
        Err(told) => return refuse(told),
    };
    match config::read_with(&path, &surroundings(Files::Checked)) {
        Ok(loaded) => {
            print(&format!("# The settings in force with {}.\n\n{}", path.display(), effective(&loaded.config)));
            warn(&path, &loaded.warnings);
            let told = match loaded.warnings.len() {
                0 => "no errors, no warnings".to_owned(),
                1 => "no errors, 1 warning".to_owned(),
                n => format!("no errors, {n} warnings"),
            };
            complain(&format!("{}: {told}\n", path.display()));
            exit::DONE
        }
        Err(errors) => {
            warn(&path, &errors.warnings);
            complain(&format!("{errors}\n"));
            exit::USAGE
        }
    }
}

fn warn(path: &Path, warnings: &[Problem]) {
    for warning in warnings {
        complain(&format!("warning: {}\n\n", warning.page(Some(path))));
    }
}
