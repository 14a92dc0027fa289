//! `hikyaku find KEY`: where is my mail?

use clap::{Arg, ArgMatches, Command};

use super::{
    Target,
    args::{language, language_flag, text},
    client::{Client, DONE, NO, Query, Trouble},
    log::{link_words, trouble_words, word},
    queue::{next_try, print_reasons, state_word},
    said,
    table::{Output, Table, clean, json_flag, on_terminal},
};
use crate::{
    event::EventKind,
    http::{
        rows::{EventOut, StoryOut},
        when::{Zone, of_rfc3339},
    },
};

/// What comes back about a recipient.
const RETURNS: [EventKind; 2] = [EventKind::Bounced, EventKind::Complained];

/// Failures, bounces and complaints of one message that are told below the table.
const TROUBLES_MAX: usize = 100;

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
        .arg(said::flag())
        .arg(language_flag())
        .arg(json_flag())
}

/// Runs it.
pub fn run(matches: &ArgMatches, target: &Target) -> u8 {
    on_terminal(|output| run_to(matches, target, output))
}

pub(super) fn run_to(args: &ArgMatches, target: &Target, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let key = text(args, "key");
    let limit = args.get_one::<u64>("limit").map_or_else(String::new, u64::to_string);
    let answer =
        Client::new(target).get("find", &said::asked(Query::default().with("key", key).with("limit", &limit), args))?;
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
                let last = |status: &str| story.events.iter().rfind(|e| e.index == r.index && e.status == status);
                let mut state = match state_word(r) {
                    "waiting" => format!("waiting, next try {}", next_try(r.next_try.as_deref(), now)),
                    "scheduled" => format!("scheduled, {}", next_try(r.next_try.as_deref(), now)),
                    other => other.to_owned() + last(&r.state).map_or("", strength),
                };
                // What came back about it, whatever its state (R11).
                let returns: Vec<&EventOut> = RETURNS.iter().filter_map(|kind| last(kind.word())).collect();
                for e in &returns {
                    state.push_str(&format!(", {}{}", word(&e.status), strength(e)));
                }
                let answer = returns.last().map_or(&r.last_reply, |e| &e.reply);
                table.row([
                    accepted.clone(),
                    story.message.queue_id.clone(),
                    r.recipient.clone(),
                    state,
                    super::table::fit(&clean(&story.message.subject), 36),
                    answer.clone(),
                ]);
            }
        }
        table.print(output, "")?;
        for m in stories.iter().map(|story| &story.message).filter(|m| !m.return_domain.is_empty()) {
            let form = if m.return_path == "token" { "a token for each recipient" } else { "its local part kept" };
            output.line(&format!("{}  return path: {form}, at {}", clean(&m.queue_id), clean(&m.return_domain)))?;
        }
        for story in &stories {
            print_troubles(story, &zone, output)?;
        }
        for story in &stories {
            print_reasons(language(args), &story.recipients, output)?;
            if said::wanted(args) {
                output.line(&format!("\nMessage {}", clean(&story.message.queue_id)))?;
                said::print(story, &zone, output)?;
            }
        }
    }
    Ok(if stories.is_empty() { NO } else { DONE })
}

/// How final a failure is, in a word behind its state.
fn strength(e: &EventOut) -> &'static str {
    match (&e.error, e.hard) {
        (None, _) => "",
        (Some(_), true) => " hard",
        (Some(_), false) => " soft",
    }
}

/// Each failure, bounce and complaint: when, what kind it is and whose trouble, its words, and what it is about (R11).
fn print_troubles(story: &StoryOut, zone: &Zone, output: &mut Output<'_>) -> Result<(), Trouble> {
    let is_error = |e: &&EventOut| EventKind::from_word(&e.status).is_some_and(EventKind::is_error);
    for e in story.events.iter().filter(is_error).take(TROUBLES_MAX) {
        let at = of_rfc3339(&e.at).map_or_else(String::new, |t| zone.full(t));
        let kind = trouble_words(e.error.as_deref(), e.trouble.as_deref(), e.hard).map(|words| format!(" ({words})"));
        let about = e.about.as_ref().map(|link| format!("; about: {}", link_words(link, zone)));
        let line = format!(
            "{} {} {at}, entry {}{}: {}{}",
            e.recipient,
            word(&e.status),
            e.number,
            kind.unwrap_or_default(),
            e.reply,
            about.unwrap_or_default()
        );
        output.line(&clean(&line))?;
    }
    Ok(())
}
