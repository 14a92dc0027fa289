//! `hikyaku domain diagnose NAME`: why mail of a domain is refused (R10).

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{
    super::{
        args::{language, language_flag, text},
        client::{Client, DONE, NO, Query, Trouble},
        table::{Output, clean, json_flag, on_terminal, width},
    },
    Place, name_arg,
};
use crate::{
    http::rows_diagnose::{AnswerOut, CauseOut, DiagnosisOut},
    language::number,
};

/// Columns for what an answer is about.
const TOPIC_WIDTH: usize = 24;

const HELP: &str = "\
Joins the error log with what the DNS says of the domain, the delivery-speed rules and their latest changes, volume,
size and subjects against the fourteen days before, and where refusals concentrate. The likeliest cause comes first,
with the figures that speak for it and what to do next. Nothing is changed.

NAME is the domain behind the @ of From or of the envelope sender; what is below it is looked at, too.
DESTINATION is a domain, an MX host, or gmail, yahoo, microsoft, docomo, kddi, softbank, yahoo-japan.

Examples:
  hikyaku domain diagnose shop.example.jp
  hikyaku domain diagnose shop.example.jp --destination gmail --since 3d
  hikyaku domain diagnose shop.example.jp --lang ja --answers

Exit codes: 0 a cause was found, 1 nothing stands out.";

/// The command.
pub(super) fn command() -> Command {
    let value = |name: &'static str, kind: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(kind).help(help)
    };
    Command::new("diagnose")
        .about("Why mail of a domain is refused: likely causes, with figures and what to do")
        .after_help(HELP)
        .arg(name_arg())
        .arg(value("destination", "DESTINATION", "Only mail to this destination or provider"))
        .arg(value("since", "TIME", "From this time: 24h (the default), 3d, 2026-11-24"))
        .arg(value("until", "TIME", "Before this time; the default: now"))
        .arg(
            Arg::new("answers")
                .long("answers")
                .action(ArgAction::SetTrue)
                .help("What was answered, too, most often first"),
        )
        .arg(language_flag())
        .arg(json_flag())
}

/// Runs it.
pub(super) fn run(matches: &ArgMatches, place: &Place<'_>) -> u8 {
    match place.target() {
        Ok(target) => on_terminal(|output| run_to(matches, &Client::new(&target), output)),
        Err(code) => code,
    }
}

fn run_to(args: &ArgMatches, client: &Client, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let lang = language(args);
    let query = ["name", "destination", "since", "until"]
        .into_iter()
        .fold(Query::default(), |query, name| query.with(name, text(args, name)))
        .with("lang", lang);
    let answer = client.get("domains/diagnose", &query)?;
    let found = answer.row::<DiagnosisOut>()?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
    } else {
        print(&found, lang == "ja", args.get_flag("answers"), output)?;
    }
    Ok(if found.causes.is_empty() { NO } else { DONE })
}

fn print(found: &DiagnosisOut, japanese: bool, answers: bool, output: &mut Output<'_>) -> Result<(), Trouble> {
    for line in &found.summary {
        output.line(&clean(line))?;
    }
    for (n, cause) in found.causes.iter().enumerate() {
        output.line("")?;
        output.line(&head(n + 1, cause, japanese))?;
        for figure in &cause.figures {
            output.line(&format!("   - {}", clean(&figure.says)))?;
        }
        for step in &cause.next {
            output.line(&format!("   > {}", clean(step)))?;
        }
    }
    if answers && !found.answers.is_empty() {
        output.line("")?;
        output.line(if japanese { "応答（多い順）：" } else { "Answers, most often first:" })?;
        for answer in &found.answers {
            output.line(&line_of(answer))?;
        }
    }
    Ok(())
}

fn head(n: usize, cause: &CauseOut, japanese: bool) -> String {
    let (title, certainty, score) = (clean(&cause.title), &cause.certainty_says, cause.score);
    if japanese {
        format!("{n}. {title}（{certainty}、{score}）")
    } else {
        format!("{n}. {title} ({certainty}, {score})")
    }
}

fn line_of(answer: &AnswerOut) -> String {
    let AnswerOut { reply, topic, topic_says, destination, .. } = answer;
    let (events, recipients) = (number(answer.events), number(answer.recipients));
    // An older daemon has no words for it.
    let about = if topic_says.is_empty() { topic } else { topic_says };
    let pad = " ".repeat(TOPIC_WIDTH.saturating_sub(width(about)));
    format!("{events:>7}  {recipients:>6}  {about}{pad}  {}  {}", clean(destination), clean(reply))
}
