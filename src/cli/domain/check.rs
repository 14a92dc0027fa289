//! `hikyaku domain check [NAME…]`: what the DNS says of our sending domains, and what to publish.
//!
//! Always: the verdict first, the worst findings first; records stand at the left edge, ready to be copied; exit code 1 where there
//! is an error.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::super::{
    args::{language, language_flag},
    client::{Client, DONE, NO, Query, Trouble},
    table::{Output, clean, json_flag, on_terminal},
};
use super::Place;
use crate::{
    doctor::{
        finding::Level,
        words::{self, Language},
    },
    http::control::domains::check::{DomainOut, FindingOut, ReportOut},
    when::{Zone, of_rfc3339},
};

const HELP: &str = "\
Looks at SPF, DKIM and DMARC of the domain as our mail would leave, at the names of our addresses, at where bounces and
reports come in, at MTA-STS, TLS reports, DANE and BIMI, at blocklists if some are configured, and at what Gmail, Yahoo
and Microsoft ask of bulk senders. Each finding says what was seen, why it matters, and the exact record to publish.

Examples:
  hikyaku domain check                         all domains of the config
  hikyaku domain check example.jp --all        what is in order, too
  hikyaku domain check example.jp --lang ja

Exit codes: 0 no errors, 1 errors, 75 the daemon is not running.";

pub(super) fn command() -> Command {
    Command::new("check")
        .about("What the DNS says of our sending domains, why it matters, and what to publish")
        .after_help(HELP)
        .arg(Arg::new("names").value_name("NAME").num_args(0..).help("Domains; none: all of the config"))
        .arg(Arg::new("all").long("all").action(ArgAction::SetTrue).help("Notes, and what is in order, too"))
        .arg(language_flag())
        .arg(json_flag())
}

pub(super) fn run(matches: &ArgMatches, place: &Place<'_>) -> u8 {
    match place.target() {
        Ok(target) => on_terminal(|output| run_to(matches, &Client::new(&target), output)),
        Err(code) => code,
    }
}

fn run_to(args: &ArgMatches, client: &Client, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let mut names: Vec<String> = args.get_many::<String>("names").unwrap_or_default().cloned().collect();
    if names.is_empty() {
        let known = client.get("domains/names", &Query::default())?.rows::<DomainOut>()?;
        names = known.into_iter().map(|row| row.domain).collect();
    }
    if names.is_empty() {
        return Err(Trouble::Usage("the config has no [[domain]]: name the domain".into()));
    }
    let lang = language(args);
    let mut errors = 0;
    for (n, name) in names.iter().enumerate() {
        let answer = client.get("domains/check", &Query::default().with("name", name).with("lang", lang))?;
        let report = answer.row::<ReportOut>()?;
        errors += report.errors;
        if args.get_flag("json") {
            output.out.write_all(&answer.body)?;
        } else {
            if n > 0 {
                output.line("")?;
            }
            print(&report, args.get_flag("all"), Language::of_code(lang), &answer.zone(), output)?;
        }
        output.out.flush()?;
    }
    Ok(if errors > 0 { NO } else { DONE })
}

/// Blanks before what belongs to a finding.
const INDENT: &str = "    ";

fn print(
    report: &ReportOut,
    all: bool,
    language: Language,
    zone: &Zone,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    output.line(&clean(&report.verdict))?;
    let when = of_rfc3339(&report.checked_at).map(|at| zone.full(at)).unwrap_or_default();
    let (seen, at) = match language {
        Language::English => ("Looked at: ", "Not shown, with --all: "),
        Language::Japanese => ("確認日時：", "非表示（--all で表示）："),
    };
    output.line(&format!("{seen}{when}"))?;
    let mut hidden = Vec::new();
    for level in Level::WORST_FIRST {
        let of_level: Vec<&FindingOut> = report.findings.iter().filter(|f| f.level == level.word()).collect();
        if of_level.is_empty() {
            continue;
        }
        let name = words::level(level, language);
        if !all && level < Level::Warning {
            hidden.push(format!("{name} {}", of_level.len()));
            continue;
        }
        output.line("")?;
        let n = of_level.len();
        output.line(&language.pick(format!("== {name} ({n}) =="), format!("== {name}（{n}）==")))?;
        let mut area = "";
        for finding in of_level {
            if finding.area != area {
                area = &finding.area;
                output.line(area)?;
            }
            one(finding, language, output)?;
        }
    }
    if !hidden.is_empty() {
        output.line("")?;
        output.line(&format!("{at}{}", hidden.join(language.pick(", ", "、"))))?;
    }
    Ok(())
}

fn one(finding: &FindingOut, language: Language, output: &mut Output<'_>) -> Result<(), Trouble> {
    output.line(&format!("  [{}] {}", finding.check, clean(&finding.seen)))?;
    // What is in order needs no reasons.
    if finding.level == Level::Ok.word() {
        return Ok(());
    }
    let (why, fix, publish) = match language {
        Language::English => ("Why: ", "Do:  ", "Publish:"),
        Language::Japanese => ("理由：", "対応：", "公開するレコード："),
    };
    output.line(&format!("{INDENT}{why}{}", clean(&finding.why)))?;
    if !finding.fix.is_empty() {
        output.line(&format!("{INDENT}{fix}{}", clean(&finding.fix)))?;
    }
    if !finding.records.is_empty() {
        output.line(&format!("{INDENT}{publish}"))?;
        for record in &finding.records {
            for line in record.line.lines() {
                output.line(&clean(line))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
