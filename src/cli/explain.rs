//! `hikyaku explain RECIPIENT --from ADDR`: what would happen to such a mail, and why.

use clap::{Arg, ArgMatches, Command};

use super::{
    Target,
    args::{language, language_flag, text},
    client::{Client, DONE, NO, Query, Trouble},
    table::{Output, clean, json_flag, on_terminal, width},
};
use crate::{fact::topic_words, http::rows::FactOut, language::Language};

const HELP: &str = "\
Prints the chain of decisions: who may send, the class, the route, the site with its MX hosts, the TLS policy and
where it comes from, the delivery-speed rule, the source address, what runs now, and the next try. Nothing is sent.

Examples:
  hikyaku explain hanako@docomo.ne.jp --from shop@example.jp
  hikyaku explain hanako@docomo.ne.jp --from shop@example.jp --user shop-app
  hikyaku explain postmaster@example.com --from '<>'          as a notice of our own";

/// The command.
pub fn command() -> Command {
    Command::new("explain")
        .about("What would happen to a mail, and why")
        .after_help(HELP)
        .arg(Arg::new("recipient").value_name("RECIPIENT").required(true).help("Whom it is for"))
        .arg(
            Arg::new("from")
                .long("from")
                .value_name("ADDR")
                .required(true)
                .help("The envelope sender; <> for none at all"),
        )
        .arg(Arg::new("user").long("user").value_name("NAME").help("The API user that would submit it"))
        .arg(language_flag())
        .arg(json_flag())
}

/// Runs it.
pub fn run(matches: &ArgMatches, target: &Target) -> u8 {
    on_terminal(|output| run_to(matches, target, output))
}

pub(super) fn run_to(args: &ArgMatches, target: &Target, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let mut query = Query::default();
    for name in ["recipient", "from", "user"] {
        query = query.with(name, text(args, name));
    }
    let answer = Client::new(target).get("explain", &query)?;
    let facts = answer.rows::<FactOut>()?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
    } else {
        print_facts(language(args), &facts, "", output)?;
    }
    if facts.is_empty() {
        output.note("The daemon has nothing to say about it: this delivery mode decides nothing by address.")?;
    }
    Ok(if facts.is_empty() { NO } else { DONE })
}

/// Facts in a language, one a line, aligned; a topic that goes on is named once.
pub(super) fn print_facts(
    language: &str,
    facts: &[FactOut],
    indent: &str,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    let language = Language::of_code(language);
    let column = facts.iter().map(|fact| width(&clean(topic_words(&fact.topic, language)))).max().unwrap_or(0) + 2;
    let mut before = "";
    for fact in facts {
        let topic = if fact.topic == before { String::new() } else { clean(topic_words(&fact.topic, language)) };
        let pad = " ".repeat(column.saturating_sub(width(&topic)));
        // An older daemon tells it in English alone.
        let says = if fact.says_ja.is_empty() { &fact.says } else { language.pick(&fact.says, &fact.says_ja) };
        output.line(&format!("{indent}{topic}{pad}{}", clean(says)))?;
        before = &fact.topic;
    }
    Ok(())
}
