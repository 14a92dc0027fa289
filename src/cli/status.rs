//! `hikyaku status`: how things stand, in a dozen lines.

use std::time::Duration;

use clap::{ArgMatches, Command};

use super::{
    Target,
    client::{Client, DONE, NO, Query, Trouble},
    queue::destination_table,
    table::{Output, clean, json_flag, on_terminal},
};
use crate::http::{
    domain_status::DomainStatusOut,
    rows::StatusOut,
    rows_keys::DkimOut,
    when::{human, of_rfc3339},
    words::{number, size},
};

/// The command.
pub fn command() -> Command {
    Command::new("status").about("How things stand; exit code 1 while no new mail is taken").arg(json_flag())
}

/// Runs it.
pub fn run(matches: &ArgMatches, target: &Target) -> u8 {
    on_terminal(|output| run_to(matches, target, output))
}

pub(super) fn run_to(args: &ArgMatches, target: &Target, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let answer = Client::new(target).get("status", &Query::default())?;
    let status: StatusOut = answer.row()?;
    let code = if status.state == "trouble" { NO } else { DONE };
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(code);
    }
    let words = match status.state.as_str() {
        "ok" => "all is well",
        "waiting" => "running, some mail waits for its next try",
        _ => "no new mail is taken",
    };
    output.line(&format!("Hikyaku {} on {}: {words}", clean(&status.version), clean(&status.hostname)))?;
    for reason in &status.reasons {
        output.line(&format!("  ! {}", clean(&reason.words)))?;
    }
    if let Some(trouble) = &status.archive_trouble {
        output.line(&format!("  ! {}", clean(trouble)))?;
    }
    let now = answer.now();
    let up = of_rfc3339(&status.started_at).map_or_else(String::new, |t| human(now.since(t)));
    let mode = match status.mode.as_str() {
        "internet" => "to the internet",
        "smarthost" => "by the smarthost",
        _ => "to the sandbox: nothing leaves this machine",
    };
    let hour = &status.last_hour;
    let held = if status.held > 0 { format!(", {} of them held", number(status.held)) } else { String::new() };
    let queue = match status.waiting {
        0 => "empty".to_owned(),
        1 => format!("1 recipient waits{held}"),
        n => format!("{} recipients wait{held}", number(n)),
    };
    for (name, value) in [
        ("up", format!("{up}, delivering {mode}")),
        (
            "last hour",
            format!(
                "{} accepted · {} delivered · {} deferred · {} failed · {} blocked",
                number(hour.accepted),
                number(hour.delivered),
                number(hour.deferred),
                number(hour.failed),
                number(hour.blocked)
            ),
        ),
        ("queue", queue),
        ("oldest", oldest(&status)),
        (
            "now",
            format!("{} SMTP sessions, {} outbound connections", number(status.sessions), number(status.connections)),
        ),
        (
            "disk",
            format!(
                "{} of bodies, {} database, {} free",
                size(status.body_octets),
                size(status.database_octets),
                size(status.disk_free_octets)
            ),
        ),
        ("DNSSEC", dnssec(&status)),
        ("paused", paused(&status)),
        ("suppressed", suppressed(&status)),
    ] {
        if !value.is_empty() {
            output.line(&format!("  {name:<10} {value}"))?;
        }
    }
    dkim(&status.dkim, output)?;
    for row in &status.warm_ups {
        let (sent, cap) = (number(row.sent), number(row.cap));
        let provider = clean(&row.provider);
        let day = format!("day {} of {}", row.day, row.days);
        output.line(&format!("  {:<10} {} to {provider}: {sent} of {cap} today, {day}", "warm-up", row.source))?;
    }
    for rule in &status.unused_rules {
        let idle = human(Duration::from_secs(rule.idle_seconds));
        output.line(&format!("  {:<10} rule {} has matched nothing for {idle}", "unused", clean(&rule.rule)))?;
    }
    for webhook in &status.webhooks {
        if let Some(trouble) = webhook.trouble() {
            let (name, trouble) = (clean(&webhook.name), clean(&trouble));
            output.line(&format!("  {:<10} {name}: {trouble} (hikyaku webhook list)", "webhook"))?;
        }
    }
    for alarm in &status.dmarc_alarms {
        output.line(&format!("  {:<10} {}", "DMARC", clean(&alarm.words)))?;
    }
    for domain in status.domains.iter().filter(|domain| domain.is_bad()) {
        output.line(&format!("  {:<10} {}", "domain", domain_line(domain)))?;
    }
    if !status.destinations.is_empty() {
        output.line("")?;
        destination_table(&status.destinations, now).print(output, "  ")?;
    }
    Ok(code)
}

/// The keys: how many sign, and those with which something is to be done.
fn dkim(dkim: &DkimOut, output: &mut Output<'_>) -> Result<(), Trouble> {
    if dkim.known == 0 {
        return Ok(());
    }
    let keys = if dkim.signing == 1 { "1 key signs" } else { &format!("{} keys sign", number(dkim.signing)) };
    let domains = if dkim.domains == 1 { "1 domain" } else { &format!("{} domains", number(dkim.domains)) };
    let oldest = match dkim.signing {
        0 => String::new(),
        _ => format!(", the oldest for {}", human(Duration::from_secs(dkim.oldest_seconds))),
    };
    output.line(&format!("  {:<10} {keys} for {domains}{oldest}", "DKIM"))?;
    for key in dkim.keys.iter().filter(|key| key.is_worth_a_look()) {
        let (domain, selector) = (clean(&key.domain), clean(&key.selector));
        let what = if key.alarms.is_empty() { key.next.clone() } else { key.alarms.join("; ") };
        let mark = if key.alarms.is_empty() { "" } else { "! " };
        let state = &key.state;
        output.line(&format!("  {:<10} {mark}{domain} {selector} ({}, {state}): {}", "", key.kind(), clean(&what)))?;
        if !key.todo.is_empty() {
            output.line(&format!("  {:<10}   {}", "", clean(&key.todo)))?;
        }
    }
    Ok(())
}

/// The age of the oldest mail of each class; empty while nothing waits.
fn oldest(status: &StatusOut) -> String {
    let aged = status.oldest_seconds.each().into_iter().filter_map(|(class, age)| age.map(|age| (class, age)));
    let parts: Vec<String> =
        aged.map(|(class, age)| format!("{} {}", class.word(), human(Duration::from_secs(age)))).collect();
    parts.join(" · ")
}

/// Whether the resolver validates; empty where nobody asks.
fn dnssec(status: &StatusOut) -> String {
    let words = match status.dns_validation.as_deref() {
        Some("yes") => "validated: DANE is in force",
        Some("no") => "not validated, or by nobody who is trusted: DANE has no effect",
        Some(_) => "not known: the resolver has not answered, and DANE has no effect",
        None => "",
    };
    words.to_owned()
}

/// Who is not written to; empty where everybody is.
fn suppressed(status: &StatusOut) -> String {
    let lists = &status.lists;
    let mut parts = Vec::new();
    match (lists.suppressed, lists.suppressions) {
        (Some(0), _) | (None, 0) => {}
        (Some(1), _) => parts.push("1 address (hikyaku suppress list)".to_owned()),
        (Some(n), _) => parts.push(format!("{} addresses (hikyaku suppress list)", number(n))),
        (None, n) => parts.push(format!("about {} addresses (hikyaku suppress list)", number(n))),
    }
    if lists.unsubscribes > 0 {
        parts.push(format!("{} left a list", number(lists.unsubscribes)));
    }
    let held: Vec<String> = lists.held.iter().filter(|h| h.ended.is_none()).map(|h| clean(&h.place)).collect();
    if !held.is_empty() {
        parts.push(format!("held: {} (hikyaku suppress incidents)", held.join(", ")));
    }
    parts.join(" · ")
}

/// A domain whose records want work, with the worst of it.
fn domain_line(domain: &DomainStatusOut) -> String {
    let plural = |n: usize, word: &str| if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") };
    let counts: Vec<String> = [(domain.errors, "error"), (domain.warnings, "warning")]
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| plural(n, word))
        .collect();
    let worst = domain.worst.first().map(|worst| format!(": {}", clean(&worst.seen))).unwrap_or_default();
    let name = clean(&domain.domain);
    format!("{name}: {}{worst} (hikyaku domain check {name})", counts.join(", "))
}

fn paused(status: &StatusOut) -> String {
    match status.pauses.as_slice() {
        [] => String::new(),
        [one] => format!("{} (hikyaku queue pauses)", clean(&one.destination)),
        all => format!("{} destinations (hikyaku queue pauses)", all.len()),
    }
}
