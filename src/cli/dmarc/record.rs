//! `hikyaku dmarc record NAME`: a record to publish, what each of its tags means, what must stand beside it, and what applies now.
//!
//! In: the domain, what is wanted, the config (our report address, the resolvers).  Out: zone file lines and words, or JSON.
//! Always: it needs no running daemon, changes nothing, and answers within a bounded time; what the DNS does not say is said to be
//! unknown, and the record is written all the same.
//! Sources: RFC 9989 §4.7 and §4.10, RFC 9990 §4; PRODUCT.md R1, R2.

use std::{path::Path, sync::Arc, time::Duration};

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde::Serialize;
use smol::{Timer, block_on, future::FutureExt};

use crate::{
    cli::{
        Around, Found,
        args::{language, language_flag, text},
        client::{DONE, NO, Trouble},
        discover::find,
        serve::surroundings,
        table::{Output, clean, on_terminal},
    },
    clock::Clock,
    config::{self, Config, Files},
    dkim::record::zone_line,
    dmarc::{
        generate::{self, Authorisation, Language, Wanted},
        record::{FailureOptions, Mode, Policy, Psd, Record},
        tree_walk::{self, Discovery},
    },
    lookup::Lookup,
    net::dns::Resolver,
    smtp::address::Mailbox,
};

/// How long the DNS may take, in all.
const DNS_PATIENCE: Duration = Duration::from_secs(20);
/// Report addresses that may be named.
const ADDRESSES_MAX: usize = 10;

const HELP: &str = "\
Writes a DMARC record as RFC 9989 has it, with our report address ([bounce] report_address) in rua, and explains every
tag. Where reports go to another organization, it shows the record that must be published there. It also shows which
record applies to NAME today, where it was found, and why. Nothing is changed: publish the lines in your DNS.

Examples:
  hikyaku dmarc record example.jp                                    a start: p=none, and reports to this relay
  hikyaku dmarc record example.jp --policy reject --testing          before the last step
  hikyaku dmarc record example.jp --policy reject --nonexistent-policy reject
  hikyaku dmarc record example.jp --upgrade-published                makes the published record better
  hikyaku dmarc record example.jp --upgrade 'v=DMARC1; p=reject; pct=20; ri=3600'

Exit codes: 0 a record was written, 1 there is none to upgrade, 2 wrong usage.";

/// The command.
pub(super) fn command() -> Command {
    let policy = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("none|quarantine|reject")
            .value_parser(["none", "quarantine", "reject"])
            .help(help)
    };
    let mode = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("relaxed|strict").value_parser(["relaxed", "strict"]).help(help)
    };
    let addresses = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("ADDR").action(ArgAction::Append).value_delimiter(',').help(help)
    };
    let wanted = ["policy", "subdomain-policy", "nonexistent-policy", "adkim", "aspf", "testing", "ruf", "fo", "psd"];
    Command::new("record")
        .about("A DMARC record to publish: a new one, or an old one made better, tag by tag")
        .after_help(HELP)
        .arg(Arg::new("domain").value_name("NAME").required(true).help("The domain, as it stands behind the @ in From"))
        .arg(policy("policy", "What receivers do with mail that fails [default: none]"))
        .arg(policy("subdomain-policy", "The same for subdomains that exist [default: as --policy]"))
        .arg(policy("nonexistent-policy", "The same for subdomains that do not exist [default: as --subdomain-policy]"))
        .arg(mode("adkim", "How close the domain of a DKIM signature must be to that of From [default: relaxed]"))
        .arg(mode("aspf", "How close the envelope sender's domain must be [default: relaxed]"))
        .arg(
            Arg::new("testing")
                .long("testing")
                .action(ArgAction::SetTrue)
                .help("t=y: one level below the policy is asked for"),
        )
        .arg(
            Arg::new("psd")
                .long("psd")
                .value_name("y|n")
                .value_parser(["y", "n"])
                .help("n: the organization ends at NAME; y: others register below it"),
        )
        .arg(addresses("rua", "Daily reports go there, too; ours is always among them"))
        .arg(addresses("ruf", "Reports about single mails go there"))
        .arg(
            Arg::new("fo")
                .long("fo")
                .value_name("0|1|d|s")
                .help("When a report about a single mail is wanted, e.g. 1:d:s [default: 0]"),
        )
        .arg(
            Arg::new("upgrade")
                .long("upgrade")
                .value_name("RECORD")
                .conflicts_with_all(wanted)
                .help("Makes this record better instead"),
        )
        .arg(
            Arg::new("upgrade-published")
                .long("upgrade-published")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(wanted)
                .conflicts_with("upgrade")
                .help("Makes the record that NAME has in the DNS better instead"),
        )
        .arg(language_flag())
}

/// Runs it.
pub(in crate::cli) fn run(args: &ArgMatches, config: Option<&Path>, around: &Around) -> u8 {
    on_terminal(|output| {
        let config = match find(config, around) {
            Ok(Found::File(path)) => match config::read_with(&path, &surroundings(Files::Ignored)) {
                Ok(loaded) => loaded.config,
                Err(errors) => return Err(Trouble::Usage(errors.to_string())),
            },
            Ok(Found::Nothing) => Config::demo(&around.folder),
            Err(told) => return Err(Trouble::Usage(told)),
        };
        let resolver: Arc<dyn Lookup> = Arc::new(Resolver::new(Clock::system(), Arc::default(), &config.dns));
        run_to(args, &config, &*resolver, output)
    })
}

/// What is told as JSON.
#[derive(Serialize)]
struct RecordOut {
    domain: String,
    name: String,
    record: String,
    zone: String,
    tags: Vec<TagOut>,
    changes: Vec<ChangeOut>,
    authorisations: Vec<AuthorisationOut>,
    today: TodayOut,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct TagOut {
    tag: &'static str,
    value: String,
    is_default: bool,
    meaning: String,
}

#[derive(Serialize)]
struct ChangeOut {
    tag: String,
    value: String,
    what: String,
}

#[derive(Serialize)]
struct AuthorisationOut {
    address: String,
    name: String,
    record: &'static str,
    zone: String,
    is_published: Option<bool>,
}

#[derive(Serialize)]
struct TodayOut {
    policy: Option<String>,
    policy_domain: Option<String>,
    record: Option<String>,
    organizational_domain: String,
    why: String,
    steps: Vec<String>,
    remarks: Vec<String>,
    reports_to_us: Option<bool>,
}

pub(in crate::cli) fn run_to(
    args: &ArgMatches,
    config: &Config,
    dns: &dyn Lookup,
    output: &mut Output<'_>,
) -> Result<u8, Trouble> {
    let domain = tree_walk::normal(text(args, "domain"))
        .ok_or_else(|| Trouble::Usage(format!("{:?} is no domain name", text(args, "domain"))))?;
    let ours = Mailbox::parse(&config.bounce.report_address).ok();
    let today = within(tree_walk::discover(dns, &domain)).unwrap_or_else(|| unknown(&domain));
    let language = Language::of_code(language(args));
    let mut notes = Vec::new();
    if ours.is_none() {
        notes.push(
            "No [bounce] report_address is set: no report will reach this relay. Set it, reload, and run this again."
                .to_owned(),
        );
    }
    let (record, changes) = match old_record(args, &today) {
        Ok(None) => (generate::build(&wanted(args, ours.as_ref())?), Vec::new()),
        Ok(Some(old)) => match generate::upgrade(&old, ours.as_ref()) {
            Ok(mut upgraded) => {
                named(args, "rua")?.into_iter().for_each(|address| upgraded.add_report_address(&address));
                (upgraded.record, upgraded.changes)
            }
            Err(fault) => return Err(Trouble::Usage(format!("that is no DMARC record: {fault}"))),
        },
        Err(why) => {
            output.note(&format!("hikyaku: {why}"))?;
            return Ok(NO);
        }
    };
    let authorisations = match within(generate::authorisations(dns, &domain, &record)) {
        Some(Ok(found)) => found,
        Some(Err(_)) | None => {
            notes.push(
                "The DNS did not say whether the report addresses belong to another organization: run this again later.".to_owned(),
            );
            Vec::new()
        }
    };
    let out = RecordOut {
        name: format!("_dmarc.{domain}"),
        zone: zone_line(&format!("_dmarc.{domain}"), &record.to_string()),
        tags: generate::explain(&record, language)
            .into_iter()
            .map(|tag| TagOut { tag: tag.tag, value: tag.value, is_default: tag.is_default, meaning: tag.text })
            .collect(),
        changes: changes
            .iter()
            .map(|change| ChangeOut {
                tag: change.tag.clone(),
                value: change.value.clone(),
                what: change.text(language),
            })
            .collect(),
        authorisations: authorisations.iter().map(authorisation).collect(),
        today: today_out(&today, ours.as_ref()),
        notes,
        record: record.to_string(),
        domain,
    };
    if args.get_flag("json") {
        let text = serde_json::to_string(&out).map_err(|error| Trouble::Usage(error.to_string()))?;
        output.line(&text)?;
    } else {
        print(&out, output)?;
    }
    Ok(DONE)
}

/// What comes in time.
fn within<T>(work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::after(DNS_PATIENCE).await;
        None
    };
    block_on(async { Some(work.await) }.or(late))
}

fn unknown(domain: &str) -> Discovery {
    let silence = crate::lookup::DnsError::Timeout("no answer in time".to_owned());
    Discovery::unanswered(domain, silence)
}

/// The record to make better; `None`: a new one is wanted.
fn old_record(args: &ArgMatches, today: &Discovery) -> Result<Option<String>, String> {
    if let Some(old) = args.get_one::<String>("upgrade") {
        return Ok(Some(old.clone()));
    }
    if !args.get_flag("upgrade-published") {
        return Ok(None);
    }
    match (&today.whence, &today.text, &today.trouble) {
        (Some(tree_walk::Whence::Own), Some(text), _) => Ok(Some(text.clone())),
        (_, _, Some(error)) => Err(format!("the DNS did not say which record {} has ({error})", today.domain)),
        (Some(_), Some(_), None) => Err(format!(
            "{} has no record of its own; that of {} applies: upgrade that one, or write a new one without --upgrade-published",
            today.domain,
            today.policy_domain.as_deref().unwrap_or_default()
        )),
        _ => Err(format!("{} has no DMARC record: run this without --upgrade-published to write one", today.domain)),
    }
}

fn wanted(args: &ArgMatches, ours: Option<&Mailbox>) -> Result<Wanted, Trouble> {
    let policy = |name| args.get_one::<String>(name).and_then(|word| Policy::read(word));
    let mode = |name| match args.get_one::<String>(name).map(String::as_str) {
        Some("strict") => Mode::Strict,
        _ => Mode::Relaxed,
    };
    let fo = match args.get_one::<String>("fo") {
        None => FailureOptions::default(),
        Some(text) => FailureOptions::read(text)
            .ok_or_else(|| Trouble::Usage(format!("--fo {text}: it is 0 or 1, d, s, with colons between")))?,
    };
    let mut rua: Vec<Mailbox> = ours.into_iter().cloned().collect();
    rua.extend(named(args, "rua")?);
    Ok(Wanted {
        p: policy("policy").unwrap_or_default(),
        sp: policy("subdomain-policy"),
        np: policy("nonexistent-policy"),
        adkim: mode("adkim"),
        aspf: mode("aspf"),
        testing: args.get_flag("testing"),
        psd: match args.get_one::<String>("psd").map(String::as_str) {
            Some("y") => Psd::Yes,
            Some("n") => Psd::No,
            _ => Psd::Unknown,
        },
        rua,
        ruf: named(args, "ruf")?,
        fo,
    })
}

fn named(args: &ArgMatches, name: &str) -> Result<Vec<Mailbox>, Trouble> {
    let addresses: Vec<&String> = args.get_many::<String>(name).into_iter().flatten().collect();
    if addresses.len() > ADDRESSES_MAX {
        return Err(Trouble::Usage(format!("--{name}: {ADDRESSES_MAX} addresses at most")));
    }
    let read = |address: &&String| {
        let bare = address.trim();
        let bare = bare.strip_prefix("mailto:").unwrap_or(bare);
        Mailbox::parse(bare).map_err(|error| Trouble::Usage(format!("--{name} {address}: {error}")))
    };
    addresses.iter().map(read).collect()
}

fn authorisation(a: &Authorisation) -> AuthorisationOut {
    AuthorisationOut {
        address: a.address.to_string(),
        name: a.name.clone(),
        record: a.text,
        zone: zone_line(&a.name, a.text),
        is_published: a.is_published,
    }
}

fn today_out(today: &Discovery, ours: Option<&Mailbox>) -> TodayOut {
    let reports_to = |record: &Record| ours.map(|ours| record.reports_to(ours));
    TodayOut {
        policy: today.applies.then(|| today.effective.word().to_owned()),
        policy_domain: today.policy_domain.clone(),
        record: today.text.clone(),
        organizational_domain: today.organizational_domain.clone(),
        why: today.why(),
        steps: today.steps.iter().map(ToString::to_string).collect(),
        remarks: today.remarks.iter().map(ToString::to_string).collect(),
        reports_to_us: today.record.as_ref().and_then(reports_to),
    }
}

fn print(out: &RecordOut, output: &mut Output<'_>) -> Result<(), Trouble> {
    output.line("Publish:")?;
    for line in out.zone.lines() {
        output.line(&format!("  {}", clean(line)))?;
    }
    for needed in &out.authorisations {
        let state = match needed.is_published {
            Some(true) => "is there already",
            Some(false) => "is missing: without it, receivers send no reports there",
            None => "may be there: the DNS did not say",
        };
        output
            .line(&format!("\nReports to {} leave the organization: this record {state}.", clean(&needed.address)))?;
        for line in needed.zone.lines() {
            output.line(&format!("  {}", clean(line)))?;
        }
    }
    for note in &out.notes {
        output.line(&format!("\n{note}"))?;
    }
    if !out.changes.is_empty() {
        output.line("\nChanged:")?;
        for change in &out.changes {
            output.line(&format!("  {}", clean(&change.what)))?;
        }
    }
    output.line("\nWhat it says:")?;
    for tag in &out.tags {
        let value = if tag.value.is_empty() { "-" } else { &tag.value };
        let mark = if tag.is_default { " (not written: default)" } else { "" };
        output.line(&format!("  {}={}{mark}", tag.tag, clean(value)))?;
        output.line(&format!("      {}", tag.meaning))?;
    }
    output.line("\nWhat applies today:")?;
    for step in &out.today.steps {
        output.line(&format!("  {}", clean(step)))?;
    }
    output.line(&format!("  {}", clean(&out.today.why)))?;
    for remark in &out.today.remarks {
        output.line(&format!("  {}", clean(remark)))?;
    }
    if out.today.reports_to_us == Some(false) {
        output.line("  Its rua does not name our report address: no report reaches this relay.")?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
