//! `hikyaku domain …`: the domains that we send from: their keys, their records, and what others make of their mail.
//!
//! In: arguments.  Out: what the verb's own file says.
//! Always: a verb is in [`VERBS`] with a file of its own below `domain/`; the order here is that of the help.

mod check;
mod diagnose;
mod dkim_new;
mod dkim_rotate;
mod records;

use std::path::Path;

use clap::{Arg, ArgMatches, Command};

use super::{
    Around, Target,
    client::Trouble,
    data_dir, exit,
    table::{Output, json_flag},
};
use crate::dkim::{
    public::Algorithm,
    record::{split_for_txt, zone_line},
};

/// What a verb may need besides its arguments: it decides itself whether it speaks to the daemon.
pub(super) struct Place<'a> {
    /// `--config`.
    pub config: Option<&'a Path>,
    /// The folder, the environment.
    pub around: &'a Around,
}

impl Place<'_> {
    /// The daemon of the config; else the exit code, when it has been said why there is none.
    pub fn target(&self) -> Result<Target, u8> {
        data_dir(self.config, self.around).map(|data_dir| Target { data_dir })
    }
}

/// One verb of `hikyaku domain`.
struct Verb {
    name: &'static str,
    /// Its arguments and help; called as `name`.
    command: fn() -> Command,
    /// Does it; answers the exit code.
    run: fn(&ArgMatches, &Place<'_>) -> u8,
}

/// All verbs.
const VERBS: &[Verb] = &[
    Verb { name: "check", command: check::command, run: check::run },
    Verb { name: "records", command: records::command, run: records::run },
    Verb { name: "diagnose", command: diagnose::command, run: diagnose::run },
    Verb { name: "dkim-new", command: dkim_new::command, run: dkim_new::run },
    Verb { name: "dkim-rotate", command: dkim_rotate::command, run: dkim_rotate::run },
];

/// The argument NAME: the domain.
pub(super) fn name_arg() -> Arg {
    Arg::new("name").value_name("NAME").required(true).help("The domain, as it stands behind the @ in From")
}

/// The option of a key's algorithm.
fn algorithm_arg() -> Arg {
    Arg::new("algorithm")
        .long("algorithm")
        .value_name("rsa|ed25519")
        .value_parser(Algorithm::ALL.map(Algorithm::key_type))
        .help("RSA is understood by every receiver; Ed25519 signs beside it, for those that know it [default: rsa]")
}

/// What it says; `None`: nothing.
fn algorithm_of(args: &ArgMatches) -> Option<Algorithm> {
    Algorithm::from_key_type(args.get_one::<String>("algorithm")?)
}

/// The option of an RSA key's length.
fn bits_arg() -> Arg {
    Arg::new("bits")
        .long("bits")
        .value_name("N")
        .value_parser(clap::value_parser!(usize))
        .help("Bits of an RSA key: 2048, 3072 or 4096. More make the record longer and signing slower [default: 2048]")
}

/// The option of a selector.
fn selector_arg() -> Arg {
    Arg::new("selector")
        .long("selector")
        .value_name("S")
        .help("Where the key is published: S._domainkey.NAME [default: the algorithm's letter and the day, r20261129]")
}

/// A TXT record, as a zone file has it and as web forms ask for it.
fn record_lines(output: &mut Output<'_>, name: &str, text: &str) -> Result<(), Trouble> {
    output.line("   In a zone file:\n")?;
    for line in zone_line(name, text).lines() {
        output.line(&format!("    {line}"))?;
    }
    output.line(&format!("\n   In a web form:\n\n    Type   TXT\n    Name   {name}\n    Value  {text}"))?;
    if split_for_txt(text).len() > 1 {
        output.line("\n   A form that takes no more than 255 characters wants the parts of the zone file, each in quotation marks.")?;
    }
    Ok(())
}

/// The commands.
pub(super) fn command() -> Command {
    Command::new("domain")
        .about("The domains that we send from: DKIM keys, DNS records, and what others make of their mail")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(json_flag())
        .subcommands(VERBS.iter().map(|verb| (verb.command)()))
}

/// Runs one of them.
pub(super) fn run(matches: &ArgMatches, config: Option<&Path>, around: &Around) -> u8 {
    let Some((name, args)) = matches.subcommand() else { return exit::USAGE };
    match VERBS.iter().find(|verb| verb.name == name) {
        Some(verb) => (verb.run)(args, &Place { config, around }),
        None => exit::USAGE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_called_by_its_name() {
        for verb in VERBS {
            assert_eq!((verb.command)().get_name(), verb.name);
        }
    }
}
