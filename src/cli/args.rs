//! Reading arguments, as every command does it.

use clap::{Arg, ArgMatches};

/// The text of an argument; empty: it was not given.
pub(super) fn text<'a>(args: &'a ArgMatches, name: &str) -> &'a str {
    args.get_one::<String>(name).map_or("", String::as_str)
}

/// Rows that are shown: what `--limit` says, where 0 is all; else all for a program, and so many for a person.
pub(super) fn rows_wanted(args: &ArgMatches, for_program: bool, for_person: u64) -> u64 {
    match args.get_one::<u64>("limit") {
        Some(0) => u64::MAX,
        Some(n) => *n,
        None if for_program => u64::MAX,
        None => for_person,
    }
}

/// `--lang`.
pub(super) fn language_flag() -> Arg {
    Arg::new("lang")
        .long("lang")
        .value_name("LANG")
        .value_parser(["en", "ja"])
        .help("The language of the words: en or ja [default: as LANG says]")
}

/// The language that is asked for, else that of the environment: `en`, `ja`.
pub(super) fn language(args: &ArgMatches) -> &str {
    let of_environment = || {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
        if set.is_some_and(|value| value.starts_with("ja")) { "ja" } else { "en" }
    };
    match text(args, "lang") {
        "" => of_environment(),
        given => given,
    }
}
