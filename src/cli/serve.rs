//! `hikyaku serve`: reads the config and hands it to the daemon.

use std::path::Path;

use clap::Command;

use super::{Around, Found, discover::find, refuse};
use crate::{
    app::{self, Started},
    config::{self, Config, Files, Loaded, Surroundings},
    journal,
    net::tls::check_files,
};

const HELP: &str = "\
Runs in the foreground. SIGHUP reads the config again and takes over what can change without a restart; SIGTERM
lets sessions and deliveries end (drain_timeout) and stops; a second SIGTERM stops at once.

Without any config file it runs a safe demo: SMTP on 127.0.0.1:2525, the status page on http://127.0.0.1:8025,
data in ./hikyaku-demo, and nothing is sent: the mail is kept and shown. A --config file that is missing, or a
start by systemd without one, is an error, never the demo.

Examples:
  hikyaku serve
  hikyaku serve --config /etc/hikyaku/config.toml

Exit codes: 0 stopped as asked, 1 it had to stop, 2 wrong usage or config.";

/// The command.
pub(super) fn command() -> Command {
    Command::new("serve").about("Runs the relay in the foreground").after_help(HELP)
}

/// Runs the daemon to its end.
pub(super) fn run(config: Option<&Path>, around: &Around) -> u8 {
    let started = match find(config, around) {
        Ok(Found::File(path)) => match config::read_with(&path, &surroundings(Files::Needed)) {
            Ok(Loaded { config, warnings }) => Started { config, config_path: Some(path), demo: false, warnings },
            Err(errors) => return refuse(format!("the config cannot be used.\n\n{errors}")),
        },
        Ok(Found::Nothing) if around.started_by_systemd => {
            return refuse(format!(
                "systemd started this without a config file, and a service is never a demo.\n  fix: create {}, or name \
                 the file in the unit: ExecStart=… serve --config FILE",
                around.system_config.display()
            ));
        }
        Ok(Found::Nothing) => {
            let config = Config::demo(&around.folder);
            Started { config, config_path: None, demo: true, warnings: Vec::new() }
        }
        Err(told) => return refuse(told),
    };
    journal::start(&started.config.log);
    app::run(started)
}

/// This machine, with the TLS room's opinion of certificates.
pub(super) fn surroundings(files: Files) -> Surroundings<'static> {
    Surroundings { check_tls: &check_files, ..Surroundings::of_this_machine(files) }
}
