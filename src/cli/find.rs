//! `hikyaku find KEY`: where is my mail?

use clap::{Arg, ArgMatches, Command};

use super::{
    Target,
    client::{Client, DONE, NO, Query, Trouble},
    queue::{next_try, print_reasons, state_word},
    table::{Output, Table, clean, json_flag, on_terminal},
};
use crate::http::{rows::StoryOut, when::of_rfc3339};

/// The command.
pub fn command() -> Command {
    Command::new("find")
        .about("Where is my mail: by recipient, Message-ID, X-Api-Data or queue id")
        .arg(Arg::new("key").value_name("KEY").required(true).help("One of them, whole"))
        .arg(
            Arg::new("limit")
                .long("limit")
                .value_name("N")
                .value_parser(clap::value_parser!(u64).range(1..=1000))
                .help("Messages at most; default 20"),
        )
        .arg(json_flag())
}

/// Runs it.
pub fn run(matches: &ArgMatches, target: &Target) -> u8 {
    on_terminal(|output| run_to(matches, target, output))
}

pub(super) fn run_to(args: &ArgMatches, target: &Target, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let key = args.get_one::<String>("key").map_or("", String::as_str);
    let limit = args.get_one::<u64>("limit").map_or_else(String::new, u64::to_string);
    let answer = Client::new(target).get("find", &Query::default().with("key", key).with("limit", &limit))?;
    let stories = answer.rows::<StoryOut>()?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
    } else if stories.is_empty() {
        output.line(&format!("No message has the key {:?}. Addresses and ids are compared whole; for parts use `hikyaku log deliveries`.", clean(key)))?;
    } else {
        let (zone, now) = (answer.zone(), answer.now());
        let mut table = Table::new(&["ACCEPTED", "QUEUE ID", "RECIPIENT", "STATE", "SUBJECT", "LAST ANSWER"]);
        for story in &stories {
            let accepted = of_rfc3339(&story.message.accepted_at).map_or_else(String::new, |t| zone.short(t, now));
            for r in &story.recipients {
                let state = match state_word(r) {
                    "waiting" => format!("waiting, next try {}", next_try(r.next_try.as_deref(), now)),
                    "scheduled" => format!("scheduled, {}", next_try(r.next_try.as_deref(), now)),
                    other => other.to_owned(),
                };
                table.row([
                    accepted.clone(),
                    story.message.queue_id.clone(),
                    r.recipient.clone(),
                    state,
                    super::table::fit(&clean(&story.message.subject), 36),
                    r.last_reply.clone(),
                ]);
            }
        }
        table.print(output, "")?;
        for story in &stories {
            print_reasons(&story.recipients, output)?;
        }
    }
    Ok(if stories.is_empty() { NO } else { DONE })
}
