//! What was said in the attempts of a message, on the terminal: `--conversation` of `queue show` and `find`.

use clap::{Arg, ArgAction, ArgMatches};

use super::{
    args::language,
    client::{Query, Trouble},
    log::word,
    table::{Output, clean},
};
use crate::http::{
    rows::{EventOut, StoryOut},
    rows_said::SaidOut,
    when::{Zone, of_rfc3339},
};

/// `--conversation`.
pub(super) fn flag() -> Arg {
    Arg::new("conversation")
        .long("conversation")
        .short('c')
        .action(ArgAction::SetTrue)
        .help("Show the SMTP conversation of every attempt, and what the answers mean; --json always has them")
}

/// Asks for it, for a person who wants it, and for every program.
pub(super) fn asked(query: Query, args: &ArgMatches) -> Query {
    query.flag("conversation", wanted(args) || args.get_flag("json")).with("lang", language(args))
}

/// It is to be shown.
pub(super) fn wanted(args: &ArgMatches) -> bool {
    args.get_flag("conversation")
}

/// Every attempt of a message, the oldest first: what was said, and what it means.
pub(super) fn print(story: &StoryOut, zone: &Zone, output: &mut Output<'_>) -> Result<(), Trouble> {
    let tries: Vec<&EventOut> = story.events.iter().filter(|e| !e.conversation.is_empty()).collect();
    if tries.is_empty() {
        return output.line("\nNothing was said to any host yet, or it is past its period.");
    }
    for event in tries {
        let at = of_rfc3339(&event.at).map_or_else(String::new, |at| zone.full(at));
        let head = format!("\nTry {} for {}, {at}: {}", event.attempt, event.recipient, word(&event.status));
        output.line(&clean_lines(&head))?;
        for words in [&event.means, &event.to_do].into_iter().filter(|words| !words.is_empty()) {
            output.line(&format!("  {words}"))?;
        }
        for said in &event.conversation {
            for line in lines(said) {
                output.line(&clean(&line))?;
            }
        }
    }
    Ok(())
}

fn clean_lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(clean).collect();
    lines.join("\n")
}

/// A line as a person reads it: seconds, who, and the words.
fn lines(said: &SaidOut) -> Vec<String> {
    let time = said.after_ms.map_or_else(String::new, |ms| format!("{:.3}", f64::from(ms) / 1000.0));
    let text = said.text.as_str();
    let (mark, words) = match said.said.as_str() {
        "we" => (">", text.to_owned()),
        "peer" => ("<", text.to_owned()),
        "host" => ("=", text.to_owned()),
        "tls" => ("*", format!("TLS: {text}")),
        "content" => (">", format!("({text} octets of mail, and the final dot)")),
        "secret" => (">", format!("({text}: credentials, which are not kept)")),
        "reused" => {
            let (messages, seconds) = text.split_once(' ').unwrap_or((text, "?"));
            ("*", format!("the connection had been open for {seconds} s and carried {messages} messages before"))
        }
        "others" => ("*", format!("({text} other recipients in the same transaction)")),
        "left_out" => ("*", "(lines are left out here)".to_owned()),
        "closed" if text.is_empty() => ("*", "the connection was closed".to_owned()),
        "closed" => ("*", format!("the connection was lost: {text}")),
        "silent" => ("*", format!("no answer within {text}")),
        "nonsense" => ("*", format!("this is not SMTP: {text}")),
        "tls_broken" => ("*", format!("the TLS handshake failed: {text}")),
        "stopped" => ("*", format!("we went no further: {text}")),
        _ => ("*", text.to_owned()),
    };
    let mut time = Some(time);
    words.split('\n').map(|line| format!("  {:>9} {mark} {line}", time.take().unwrap_or_default())).collect()
}
