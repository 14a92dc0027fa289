//! `hikyaku tls-report list|show|import`: what others report about TLS towards our domains.
//!
//! Always: a report is its sender's word: it is shown as it was said, with a mark that says whether it is its sender's, and
//! changes nothing.

use std::{fs::File, io::Read, path::Path};

use clap::{Arg, ArgMatches, Command};

use super::{
    Target,
    args::text,
    client::{Client, DONE, NO, Query, Trouble},
    table::{Output, Table, clean, json_flag, on_terminal},
};
use crate::{
    authres::Marked,
    http::{
        control::tls_reports::{ImportOut, TlsReportOut},
        when::of_rfc3339,
    },
    mail::inflate::is_gzip,
    tls_report::{gzip, receive::RAW_OCTETS_MAX},
};

/// Days that `list` shows when nothing is said.
const DAYS: &str = "14";

/// The commands.
pub fn command() -> Command {
    Command::new("tls-report")
        .about("TLS reports that came in about our domains (RFC 8460)")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(json_flag())
        .subcommand(
            Command::new("list")
                .about("Reports by day, oldest first")
                .arg(Arg::new("domain").long("domain").value_name("DOMAIN").help("Only those about this domain"))
                .arg(
                    Arg::new("days")
                        .long("days")
                        .value_name("N")
                        .default_value(DAYS)
                        .value_parser(clap::value_parser!(u32))
                        .help("Of so many days, 90 at most"),
                ),
        )
        .subcommand(
            Command::new("show")
                .about("One report, failure by failure")
                .arg(Arg::new("key").value_name("KEY").required(true).help("As list shows it, in quotes")),
        )
        .subcommand(
            Command::new("import")
                .about("Takes reports from files: a mail, .json.gz or .json")
                .arg(Arg::new("files").value_name("FILE").num_args(1..).required(true)),
        )
}

/// Runs one of them.
pub fn run(matches: &ArgMatches, target: &Target) -> u8 {
    on_terminal(|output| run_to(matches, target, output))
}

pub(super) fn run_to(matches: &ArgMatches, target: &Target, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let client = Client::new(target);
    match matches.subcommand() {
        Some(("list", args)) => list(&client, args, output),
        Some(("show", args)) => show(&client, args, output),
        Some(("import", args)) => import(&client, args, output),
        _ => Err(Trouble::Usage("list, show or import?".into())),
    }
}

fn list(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let days = args.get_one::<u32>("days").map_or_else(|| DAYS.to_owned(), u32::to_string);
    let domain = text(args, "domain");
    let mut table = Table::new(&["DAY", "FROM", "MARK", "ABOUT", ">GOOD", ">BAD", "MOST OFTEN", "KEY"]);
    let mut cursor = None;
    loop {
        let query = Query::default().with("days", &days).with("domain", domain).with("limit", "200");
        let query = query.with("cursor", cursor.as_deref().unwrap_or_default());
        let answer = client.get("tls-reports", &query)?;
        if args.get_flag("json") {
            output.out.write_all(&answer.body)?;
        } else {
            for row in answer.rows::<TlsReportOut>()? {
                table.row(cells(row));
            }
        }
        cursor = answer.next_cursor();
        if cursor.is_none() {
            break;
        }
    }
    if args.get_flag("json") {
        return Ok(DONE);
    }
    if table.is_empty() {
        output.line(&format!("No TLS report came in within {days} days."))?;
    } else {
        table.print(output, "")?;
    }
    Ok(DONE)
}

fn cells(row: TlsReportOut) -> [String; 8] {
    let report = row.report;
    let mut domains: Vec<&str> = report.policies.iter().map(|p| p.domain.as_str()).collect();
    domains.sort_unstable();
    domains.dedup();
    let worst = report.policies.iter().flat_map(|p| &p.failures).max_by_key(|f| f.count);
    [
        row.key.split('/').next().unwrap_or_default().to_owned(),
        report.organization.clone(),
        report.mark.as_ref().map_or("-", |marked| marked.mark.word()).to_owned(),
        domains.join(" "),
        report.successes.to_string(),
        report.failed.to_string(),
        worst.map_or_else(String::new, |f| f.result_type.clone()),
        row.key.clone(),
    ]
}

/// What a report is worth, in words.
fn marked(mark: Option<&Marked>) -> String {
    match mark {
        None => "- (it came by a file, or before mail was looked at)".to_owned(),
        Some(Marked { mark, from, why }) if from.is_empty() => format!("{} ({why})", mark.word()),
        Some(Marked { mark, from, why }) => format!("{}: mail from {from} ({why})", mark.word()),
    }
}

fn show(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let key = text(args, "key");
    let answer = client.get("tls-reports/show", &Query::default().with("key", key))?;
    if args.get_flag("json") {
        output.out.write_all(&answer.body)?;
        return Ok(DONE);
    }
    let zone = answer.zone();
    let time = |text: &str| of_rfc3339(text).map_or_else(|| "-".to_owned(), |at| zone.full(at));
    let report = answer.row::<TlsReportOut>()?.report;
    for (name, value) in [
        ("From", report.organization.clone()),
        ("Contact", report.contact.clone()),
        ("Report", report.report_id.clone()),
        ("Period", format!("{} to {}", time(&report.start), time(&report.end))),
        ("Received", time(&report.received_at)),
        ("Mark", marked(report.mark.as_ref())),
    ] {
        output.line(&format!("{:<9} {}", format!("{name}:"), clean(&value)))?;
    }
    for policy in &report.policies {
        output.line("")?;
        output.line(&clean(&format!(
            "{} ({}): {} sessions good, {} bad",
            policy.domain, policy.policy_type, policy.successes, policy.failed
        )))?;
        let mut table = Table::new(&["WHAT", ">SESSIONS", "MX", "MX ADDRESS", "SENDER", "WORDS"]);
        for failure in &policy.failures {
            table.row([
                failure.result_type.clone(),
                failure.count.to_string(),
                failure.mx.clone(),
                failure.mx_ip.clone(),
                failure.sender_ip.clone(),
                failure.reason.clone(),
            ]);
        }
        if !table.is_empty() {
            table.print(output, "  ")?;
        }
    }
    if report.left_out > 0 {
        output.line(&format!("\n{} more entries were not kept.", report.left_out))?;
    }
    Ok(DONE)
}

fn import(client: &Client, args: &ArgMatches, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let mut code = DONE;
    for file in args.get_many::<String>("files").unwrap_or_default() {
        // What cannot be read or is no report keeps the others from nothing.
        let taken =
            octets(Path::new(file)).and_then(|octets| client.post("tls-reports/import", &Query::default(), &octets));
        match taken {
            Ok(answer) if args.get_flag("json") => output.out.write_all(&answer.body)?,
            Ok(answer) => {
                let taken: ImportOut = answer.row()?;
                let known = if taken.known { "known before: " } else { "" };
                output.line(&format!("{}: {known}{}", clean(file), clean(&taken.key)))?;
            }
            Err(Trouble::Refused { status: 400..500, words }) | Err(Trouble::Usage(words)) => {
                code = NO;
                output.note(&format!("hikyaku: {}: {}", clean(file), clean(&words)))?;
            }
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(code)
}

/// The file, packed for the way.
fn octets(file: &Path) -> Result<Vec<u8>, Trouble> {
    let mut octets = Vec::new();
    File::open(file)
        .and_then(|file| file.take(RAW_OCTETS_MAX as u64 + 1).read_to_end(&mut octets))
        .map_err(|error| Trouble::Usage(error.to_string()))?;
    if octets.len() > RAW_OCTETS_MAX {
        return Err(Trouble::Usage(format!("it is over {} MiB", RAW_OCTETS_MAX >> 20)));
    }
    Ok(if is_gzip(&octets) { octets } else { gzip(&octets) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::table::finish,
        http::{
            fake::{Fake, HOSTILE},
            front::Limits,
            rig::Rig,
        },
        tls_report::json::Report,
    };

    fn run(rig: &Rig, words: &[&str]) -> (u8, String, String) {
        let root = Command::new("hikyaku").subcommand(command());
        let all = ["hikyaku", "tls-report"].iter().chain(words).copied();
        let matches = root.try_get_matches_from(all).expect("such a command");
        let args = matches.subcommand_matches("tls-report").expect("this command");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let target = Target { data_dir: rig.dir.clone() };
        let code = finish(&mut Output { out: &mut out, err: &mut err }, |output| run_to(args, &target, output));
        (code, String::from_utf8(out).expect("UTF-8"), String::from_utf8(err).expect("UTF-8"))
    }

    fn report(organization: &str, day: &str) -> Vec<u8> {
        let text = serde_json::json!({
            "organization-name": organization,
            "date-range": { "start-datetime": format!("{day}T00:00:00Z"), "end-datetime": format!("{day}T23:59:59Z") },
            "contact-info": "tls@example.com",
            "report-id": "r-1",
            "policies": [{
                "policy": { "policy-type": "sts", "policy-domain": "example.jp" },
                "summary": { "total-successful-session-count": 7, "total-failure-session-count": 2 },
                "failure-details": [{ "result-type": "certificate-expired", "failed-session-count": 2, "failure-reason-code": HOSTILE }]
            }]
        });
        serde_json::to_vec(&text).expect("JSON")
    }

    #[test]
    fn reports_are_imported_listed_and_shown() {
        let rig = Rig::new(Fake::busy(), Limits::default());
        let (code, out, _) = run(&rig, &["list"]);
        assert_eq!((code, out.as_str()), (DONE, "No TLS report came in within 14 days.\n"));
        let file = |name: &str, octets: &[u8]| {
            let path = rig.dir.join(name);
            std::fs::write(&path, octets).expect("written");
            path.to_str().expect("text").to_owned()
        };
        let (good, packed) = (
            file("a.json", &report("Example Inc.", "2026-11-23")),
            file("a.json.gz", &gzip(&report("Example Inc.", "2026-11-23"))),
        );
        let (old, none) =
            (file("b.json", &report("Other", "2026-11-01")), file("c.eml", b"Subject: hello\r\n\r\nhello\r\n"));
        let (code, out, err) = run(&rig, &["import", &good, &none, "/no/such/file", &packed, &old]);
        assert_eq!(code, NO);
        let key = "2026-11-23/Example Inc./r-1";
        assert!(
            out.contains(&format!("a.json: {key}\n")) && out.contains(&format!("a.json.gz: known before: {key}\n")),
            "{out}"
        );
        assert!(err.contains("c.eml: no TLS report in it") && err.contains("/no/such/file: "), "{err}");

        let (_, out, _) = run(&rig, &["list"]);
        let rows: Vec<&str> = out.lines().collect();
        assert_eq!(rows.len(), 2, "{out}");
        assert!(
            rows[1]
                .starts_with("2026-11-23  Example Inc.  -     example.jp     7    2  certificate-expired  2026-11-23/"),
            "{out}"
        );
        let (_, out, _) = run(&rig, &["list", "--days", "90", "--json"]);
        assert_eq!(out.lines().count(), 2, "{out}");
        let (_, out, _) = run(&rig, &["list", "--domain", "example.com"]);
        assert!(out.starts_with("No TLS report"), "{out}");

        let (code, out, _) = run(&rig, &["show", key]);
        assert_eq!(code, DONE);
        assert!(
            out.contains("example.jp (sts): 7 sessions good, 2 bad")
                && !out.contains('\u{1b}')
                && !out.contains('\u{202e}'),
            "{out}"
        );
        let (code, _, err) = run(&rig, &["show", "2026-11-23/x/y"]);
        assert!(code == NO && err.contains("there is no TLS report"), "{err}");
        assert_eq!(
            rig.fake.audits.lock().expect("no panic before").iter().filter(|a| a.act == "tls_report.import").count(),
            3
        );
        assert!(Report::read(&report("x", "2026-11-23")).is_ok());
    }
}
