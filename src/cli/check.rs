//! `hikyaku check`: the effective settings, or every error with its line and fix.

use std::{path::Path, sync::Arc, time::Duration};

use clap::Command;
use smol::{Timer, block_on, future::or};

use super::{Around, Found, complain, discover::find, exit, print, refuse, serve::surroundings};
use crate::{
    clock::Clock,
    config::{self, Config, Files, Mode, Problem, effective},
    net::dns::{Resolver, Validation},
};

/// How long the resolver may take to show whether it validates.
const RESOLVER_PATIENCE: Duration = Duration::from_secs(3);

const HELP: &str = "\
Reads the config as serve would, looks at the files it names, and changes nothing. If all is well it prints the
settings in force, defaults included, as TOML with passwords and keys hidden. Otherwise it prints every error at
once: file:line:column, key, reason, fix. Warnings go to stderr and keep nothing from working. Where DANE is on, the
DNS resolver is asked whether it validates DNSSEC.

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
            if let Some(words) = validation(&loaded.config) {
                complain(&words);
            }
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

/// Whether the resolver validates, in words; `None` where nobody asks.
fn validation(config: &Config) -> Option<String> {
    if config.delivery.mode != Mode::Internet || !config.delivery.dane {
        return None;
    }
    let resolver = Resolver::new(Clock::system(), Arc::default(), &config.dns);
    let found = block_on(or(resolver.try_validation(), async {
        Timer::after(RESOLVER_PATIENCE).await;
        Validation::Unknown
    }));
    Some(match found {
        Validation::Yes => "DNSSEC: the resolver validates; DANE is in force.\n".to_owned(),
        Validation::No => format!(
            "DNSSEC: the resolver does not validate, or may not be believed; DANE has no effect.\n  fix: {VALIDATION_FIX}\n\n"
        ),
        Validation::Unknown => format!(
            "DNSSEC: no resolver told whether it validates (asked for at most {} s): DANE has no effect until one does.\n",
            RESOLVER_PATIENCE.as_secs()
        ),
    })
}

const VALIDATION_FIX: &str = "run a validating resolver on this machine, or name one that is near in [dns] servers and trusted; \
                              dane = false in [delivery] ends this line";
