//! The command line: one file a noun, exit codes, and how every command finds the config.
//!
//! In: arguments and a little of the environment.  Out: the exit code.
//! Always: 0 done, 1 no, 2 usage or config, 75 try later; answers go to stdout, complaints to stderr.
//! Sources: config.md; sysexits(3).

mod args;
pub mod backup;
pub mod bounce;
mod check;
mod client;
mod discover;
pub mod dmarc;
mod domain;
pub mod explain;
pub mod find;
mod import;
pub mod incidents;
pub mod log;
mod pauses;
pub mod queue;
mod restore;
mod said;
mod sendmail;
mod serve;
pub mod stats;
pub mod status;
pub mod suppress;
mod table;
pub mod tls_report;
pub mod unsubscribe;
pub mod user;
mod verify;
pub mod webhook;

#[cfg(test)]
mod daemon_tests;
#[cfg(test)]
mod log_tests;

use std::{
    ffi::{OsStr, OsString},
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Arg, ArgMatches, Command};

use discover::{Around, Found};

/// Exit codes.
pub mod exit {
    /// It was done; the answer is yes.
    pub const DONE: u8 = 0;
    /// It was understood, and the answer is no: nothing found, damage, refused.
    pub const NO: u8 = 1;
    /// Wrong usage, or the config has errors.
    pub const USAGE: u8 = 2;
    /// The daemon cannot be reached now (EX_TEMPFAIL).
    pub const TRY_LATER: u8 = 75;
}

/// What a command that speaks to the daemon needs.
#[derive(Clone, Debug)]
pub struct Target {
    /// The daemon's data directory; its control socket is `control.sock` in there.
    pub data_dir: PathBuf,
}

/// Runs the command line of this process.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    ExitCode::from(run(&args, &Around::of_this_process()))
}

fn run(args: &[OsString], around: &Around) -> u8 {
    match called_as(args) {
        "sendmail" => return sendmail::run(&args[1..], None, around),
        "mailq" => return mailq(&args[1..], around),
        _ => {}
    }
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            let text = error.render().to_string();
            if error.use_stderr() {
                complain(&text)
            } else {
                print(&text)
            }
            return u8::try_from(error.exit_code()).unwrap_or(exit::USAGE);
        }
    };
    let config = matches.get_one::<PathBuf>("config").map(PathBuf::as_path);
    let Some((name, matches)) = matches.subcommand() else { return exit::USAGE };
    match name {
        "serve" => serve::run(config, around),
        "check" => check::run(config, around),
        "verify" => verify::run(matches, config, around),
        "bounce" => bounce::run(matches),
        "import" => import::run(matches),
        "restore" => restore::run(matches, config, around),
        "domain" => domain::run(matches, config, around),
        "dmarc" if matches.subcommand_name() == Some("record") => {
            matches.subcommand().map_or(exit::USAGE, |(_, args)| dmarc::record::run(args, config, around))
        }
        "sendmail" => {
            let args: Vec<OsString> = matches.get_many::<OsString>("args").unwrap_or_default().cloned().collect();
            sendmail::run(&args, config, around)
        }
        _ => match data_dir(config, around) {
            Ok(data_dir) => talk(name, matches, &Target { data_dir }),
            Err(code) => code,
        },
    }
}

/// The commands that speak to the running daemon.
fn talk(name: &str, matches: &ArgMatches, target: &Target) -> u8 {
    match name {
        "queue" => queue::run(matches, target),
        "log" => log::run(matches, target),
        "find" => find::run(matches, target),
        "explain" => explain::run(matches, target),
        "status" => status::run(matches, target),
        "user" => user::run(matches, target),
        "backup" => backup::run(matches, target),
        "tls-report" => tls_report::run(matches, target),
        "dmarc" => dmarc::run(matches, target),
        "suppress" => suppress::run(matches, target),
        "unsubscribe" => unsubscribe::run(matches, target),
        "incidents" => incidents::run(matches, target),
        "stats" => stats::run(matches, target),
        "webhook" => webhook::run(matches, target),
        _ => exit::USAGE,
    }
}

/// The name under which the binary was called, without folders.
fn called_as(args: &[OsString]) -> &str {
    args.first().and_then(|name| Path::new(name).file_name()).and_then(OsStr::to_str).unwrap_or_default()
}

/// `mailq` is `hikyaku queue list`; whatever options other systems' `mailq` takes are ignored.
fn mailq(args: &[OsString], around: &Around) -> u8 {
    let mut line: Vec<OsString> = ["hikyaku", "queue", "list"].map(OsString::from).to_vec();
    if args.iter().any(|arg| arg == "--json") {
        line.push("--json".into());
    }
    run(&line, around)
}

/// The data directory that the config names, or the demo's.
fn data_dir(config: Option<&Path>, around: &Around) -> Result<PathBuf, u8> {
    match discover::find(config, around).map_err(refuse)? {
        Found::File(path) => match crate::config::glance(&path) {
            Ok(glance) => Ok(glance.data_dir),
            Err(errors) => Err(refuse(errors.to_string())),
        },
        Found::Nothing => {
            let demo = around.demo_dir();
            if demo.is_dir() {
                return Ok(demo);
            }
            Err(refuse(format!(
                "no config file and no demo: there is neither {} nor {}.\n  fix: name the config with --config FILE or \
                 $HIKYAKU_CONFIG, or go to the folder where the demo was started",
                around.system_config.display(),
                demo.display()
            )))
        }
    }
}

/// Complains and answers exit code 2.
fn refuse(text: impl AsRef<str>) -> u8 {
    complain(&format!("hikyaku: {}\n", text.as_ref()));
    exit::USAGE
}

/// Writes to stdout. A reader that went away (`| head`) is no error.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Writes to stderr.
pub(crate) fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

const ABOUT: &str =
    "Hikyaku, a mail relay that answers 250 only when the mail is safe on disk, and knows what became of it";

const FIRST_STEPS: &str = "\
Examples:
  hikyaku serve                                try it: a demo on 127.0.0.1:2525 that sends nothing
  hikyaku check --config hikyaku.toml          is this config right, and what does it amount to?
  hikyaku serve --config hikyaku.toml          run it
  hikyaku find hanako@example.jp               where is my mail?
  hikyaku explain hanako@example.jp --from shop@example.jp    how would it go, and why?
  hikyaku log deliveries --follow              watch what happens
  hikyaku queue list                           what waits, why, and until when
  hikyaku import postfix /etc/postfix          moving here: a config from another mail server's
  hikyaku user add shop --api                  a name and key for a program that sends mail

The config file is the one of --config, else of $HIKYAKU_CONFIG, else /etc/hikyaku/config.toml, else there is
none, and the demo in ./hikyaku-demo is meant. config.example.toml explains every key.

Called as sendmail or mailq, it behaves as those do.

Exit codes: 0 done, 1 no (nothing found, refused, damaged), 2 wrong usage or config, 75 try later (the daemon is
not running).";

/// The tree of commands.
fn command() -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .global(true)
        .help("The config file [default: $HIKYAKU_CONFIG, else /etc/hikyaku/config.toml, else the demo]");
    let nouns = [
        queue::command(),
        log::command(),
        find::command(),
        explain::command(),
        status::command(),
        user::command(),
        backup::command(),
        tls_report::command(),
        dmarc::command(),
        suppress::command(),
        unsubscribe::command(),
        incidents::command(),
        stats::command(),
        webhook::command(),
    ];
    Command::new("hikyaku")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(FIRST_STEPS)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .arg(config)
        .subcommand(serve::command())
        .subcommand(check::command())
        .subcommand(bounce::command())
        .subcommand(import::command())
        .subcommands(nouns)
        .subcommand(domain::command())
        .subcommand(restore::command())
        .subcommand(verify::command())
        .subcommand(sendmail::command())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_commands_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn the_name_decides_what_it_is() {
        for (arg, name) in [("/usr/sbin/sendmail", "sendmail"), ("mailq", "mailq"), ("./hikyaku", "hikyaku")] {
            assert_eq!(called_as(&[arg.into()]), name);
        }
    }
}
