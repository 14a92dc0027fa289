//! `hikyaku domain records NAME`: all records that the domain should have, as lines of a zone file.
//!
//! Always: what belongs into somebody else's zone is a comment; the output as a whole can be included into the domain's zone.

use clap::{ArgMatches, Command};

use super::super::{
    args::{language, language_flag, text},
    client::{Client, DONE, NO, Query, Trouble},
    table::{Output, clean, json_flag, on_terminal},
};
use super::{Place, name_arg};
use crate::{
    doctor::{finding::Published, words::Language},
    http::control::domains::check::WantedOut,
};

const HELP: &str = "\
The lines can go into the domain's zone file as they are; records that are published already are told apart by a comment,
and those of other zones (a report address elsewhere, reverse names) are comments as a whole. Nothing is published.

Examples:
  hikyaku domain records example.jp
  hikyaku domain records example.jp --json";

pub(super) fn command() -> Command {
    Command::new("records")
        .about("All DNS records that a sending domain should have, as a zone-file snippet")
        .after_help(HELP)
        .arg(name_arg())
        .arg(language_flag())
        .arg(json_flag())
}

pub(super) fn run(matches: &ArgMatches, place: &Place<'_>) -> u8 {
    match place.target() {
        Ok(target) => on_terminal(|output| run_to(matches, &Client::new(&target), output)),
        Err(code) => code,
    }
}

pub(super) fn run_to(args: &ArgMatches, client: &Client, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let (name, lang) = (text(args, "name"), language(args));
    let answer = client.get("domains/records", &Query::default().with("name", name).with("lang", lang))?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let rows = answer.rows::<WantedOut>()?;
    if rows.is_empty() {
        output.note("The DNS did not answer in time: try again.")?;
        return Ok(NO);
    }
    let language = Language::of_code(lang);
    let (here, elsewhere): (Vec<&WantedOut>, Vec<&WantedOut>) = rows.iter().partition(|row| row.own_zone);
    let head = match language {
        Language::English => ("Records for", "Of other zones: whoever runs those publishes them."),
        Language::Japanese => ("レコード一覧：", "他のゾーンのレコード（それぞれの管理者が公開します）"),
    };
    output.line(&format!("; {} {}", head.0, clean(name)))?;
    print(&here, false, language, output)?;
    if !elsewhere.is_empty() {
        output.line(";")?;
        output.line(&format!("; {}", head.1))?;
        print(&elsewhere, true, language, output)?;
    }
    Ok(DONE)
}

fn print(rows: &[&WantedOut], as_comment: bool, language: Language, output: &mut Output<'_>) -> Result<(), Trouble> {
    let mut before = "";
    for row in rows {
        if row.about != before {
            before = &row.about;
            output.line(";")?;
            output.line(&format!("; {}", clean(&row.about)))?;
        }
        let state = match (row.published, language) {
            (Published::Yes, Language::English) => "; published",
            (Published::No, Language::English) => "; to be published",
            (Published::Unknown, Language::English) => "; whether it is published is not known",
            (Published::Yes, Language::Japanese) => "; 公開済み",
            (Published::No, Language::Japanese) => "; 未公開",
            (Published::Unknown, Language::Japanese) => "; 公開状況は不明",
        };
        output.line(state)?;
        for line in row.record.line.lines() {
            let mark = if as_comment { "; " } else { "" };
            output.line(&format!("{mark}{}", clean(line)))?;
        }
    }
    Ok(())
}
