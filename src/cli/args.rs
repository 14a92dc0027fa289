//! Reading arguments, as every command does it.

use clap::ArgMatches;

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
