//! `hikyaku domain dkim-new`: makes a signing key and says what to publish and what to write into the config. Needs no daemon.
//!
//! In: a domain, the config if there is one.  Out: a file that its owner alone may read; the record and the config's lines.
//! Always: a file that is there is never written over, and never followed where it is a link (O_EXCL); when root runs this, the key
//! belongs to who owns the data directory, so that a daemon with a user of its own can read it.
//! Sources: open(2); RFC 6376 §3.6.2.1; algorithms F13.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown, fchown},
    path::{Path, PathBuf},
};

use clap::{Arg, ArgMatches, Command};
use serde::Serialize;

use super::{
    super::{
        client::{DONE, NO, Trouble},
        discover::{Found, find},
        table::{Output, on_terminal},
    },
    Place, algorithm_arg, bits_arg, name_arg, selector_arg,
};
use crate::{
    clock::Clock,
    config::{self, Config, Files, Surroundings},
    dkim::{
        key::SigningKey,
        public::Algorithm,
        record::{self, split_for_txt, zone_line},
    },
    signing::life::{is_domain, new_selector, selector_flaw},
};

/// The folder of keys beside the config file.
const FOLDER: &str = "dkim";

const HELP: &str = "\
The key goes into dkim/NAME.SELECTOR.pem beside the config file, readable by the daemon alone. Without --selector, it is
called after its algorithm and the day: r20261129, or r20261129b when there is one of that name already. A day comes
once, so that no selector is ever used for two keys.

A daemon that runs can make and replace keys by itself: hikyaku domain dkim-rotate NAME.

Examples:
  hikyaku domain dkim-new example.jp
  hikyaku domain dkim-new example.jp --algorithm ed25519
  hikyaku domain dkim-new example.jp --selector h2026a --out /root/h2026a.pem";

/// The command.
pub(super) fn command() -> Command {
    Command::new("dkim-new")
        .about("Makes a DKIM key and prints the DNS record and the lines for the config")
        .after_help(HELP)
        .arg(name_arg())
        .arg(selector_arg())
        .arg(algorithm_arg().default_value("rsa"))
        .arg(bits_arg())
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Where the private key goes [default: dkim/NAME.SELECTOR.pem beside the config file]"),
        )
}

/// Runs it.
pub(super) fn run(matches: &ArgMatches, place: &Place<'_>) -> u8 {
    on_terminal(|output| run_to(matches, place, output))
}

/// What was made, for programs.
#[derive(Serialize)]
struct MadeOut<'a> {
    domain: &'a str,
    selector: &'a str,
    algorithm: &'static str,
    bits: usize,
    private_key: &'a str,
    record: RecordOut<'a>,
    config: &'a str,
}

#[derive(Serialize)]
struct RecordOut<'a> {
    name: &'a str,
    kind: &'static str,
    value: &'a str,
    strings: Vec<String>,
    zone_line: String,
}

pub(super) fn run_to(args: &ArgMatches, place: &Place<'_>, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let usage = |what: String| Trouble::Usage(what);
    let domain = domain_of(args.get_one::<String>("name").map_or("", String::as_str)).map_err(usage)?;
    let algorithm = super::algorithm_of(args).unwrap_or(Algorithm::RsaSha256);
    let found = known(place, output)?;
    let named = args.get_one::<PathBuf>("out");
    let folder = match (named, &found) {
        (Some(_), _) => PathBuf::new(),
        (None, Known { file: Some(file), .. }) => {
            // The path goes into the config, where it holds from wherever the daemon is started.
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            file.parent().map(|folder| folder.join(FOLDER)).unwrap_or_default()
        }
        (None, Known { file: None, .. }) => {
            return Err(usage("there is no config file beside which the key could go: say --out FILE".into()));
        }
    };
    let path_of = |selector: &str| match named {
        Some(out) => std::path::absolute(out).unwrap_or_else(|_| out.clone()),
        None => folder.join(format!("{domain}.{selector}.pem")),
    };
    let selector = selector_of(args, &domain, algorithm, &found, &path_of).map_err(usage)?;
    let path = path_of(&selector);
    let Some(path_text) = path.to_str() else {
        return Err(usage("the file's name is not UTF-8, and the config could not name it".into()));
    };
    let bits = args.get_one::<usize>("bits").copied().unwrap_or(crate::dkim::key::RSA_BITS_DEFAULT);
    let (key, pkcs8) = SigningKey::generate(algorithm, bits).map_err(|fault| usage(fault.to_string()))?;
    let owner = match store(&path, named.is_none(), SigningKey::pem_of(pkcs8.reveal()).reveal(), found.owner) {
        Ok(owner) => owner,
        Err(error) => {
            let what = match error.kind() {
                io::ErrorKind::AlreadyExists => "it is there already, and is not written over".to_owned(),
                _ => error.to_string(),
            };
            output.note(&format!("hikyaku: {}: {what}", path.display()))?;
            return Ok(NO);
        }
    };
    let (name, text) = (record::name(&selector, &domain), key.record());
    let lines = format!("[[domain.dkim]]\nselector = {}\nprivate_key = {}\n", quoted(&selector), quoted(path_text));
    if args.get_flag("json") {
        let made = MadeOut {
            domain: &domain,
            selector: &selector,
            algorithm: algorithm.key_type(),
            bits: key.bits(),
            private_key: path_text,
            record: RecordOut {
                name: &name,
                kind: "TXT",
                value: &text,
                strings: split_for_txt(&text),
                zone_line: zone_line(&name, &text),
            },
            config: &lines,
        };
        output.line(&serde_json::to_string(&made).map_err(|e| Trouble::Broken(e.to_string()))?)?;
        return Ok(DONE);
    }
    let size = match algorithm {
        Algorithm::RsaSha256 => format!("An RSA key of {} bits", key.bits()),
        Algorithm::Ed25519Sha256 => "An Ed25519 key".to_owned(),
    };
    output.line(&format!("{size} is in {path_text}{owner}.\n\n1. Publish its TXT record.\n"))?;
    super::record_lines(output, &name, &text)?;
    let config = found.file.as_deref().unwrap_or(Path::new("the config"));
    let listed = found.config.as_ref().is_some_and(|config| is_listed(config, &domain));
    let (whither, lines) = if listed {
        (format!("below the [[domain]] of the name {domain}, before the next [[domain]]"), lines)
    } else {
        ("at its end".to_owned(), format!("[[domain]]\nname = {}\n\n{lines}", quoted(&domain)))
    };
    output.line(&format!(
        "\n2. When the record is everywhere (dig +short TXT {name}), add this to {}, {whither}:\n\n{}\n\
         3. Read the config again: systemctl reload hikyaku. From then on mail of {domain} is signed.",
        config.display(),
        indented(&lines)
    ))?;
    Ok(DONE)
}

fn indented(lines: &str) -> String {
    lines.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") }).collect()
}

/// What is known of where the key is for.
struct Known {
    file: Option<PathBuf>,
    config: Option<Config>,
    /// The user and group of the data directory.
    owner: Option<(u32, u32)>,
}

fn known(place: &Place<'_>, output: &mut Output<'_>) -> Result<Known, Trouble> {
    let file = match find(place.config, place.around).map_err(Trouble::Usage)? {
        Found::File(file) => file,
        Found::Nothing => return Ok(Known { file: None, config: None, owner: None }),
    };
    let around = Surroundings::of_this_machine(Files::Ignored);
    let (config, data_dir) = match config::read_with(&file, &around) {
        Ok(loaded) => {
            let data_dir = loaded.config.server.data_dir.clone();
            (Some(loaded.config), Some(data_dir))
        }
        Err(_) => {
            output
                .note(&format!("hikyaku: {} has errors (hikyaku check): its keys are not compared", file.display()))?;
            (None, config::glance(&file).ok().map(|glance| glance.data_dir))
        }
    };
    let owner = data_dir.and_then(|dir| fs::metadata(dir).ok()).map(|data| (data.uid(), data.gid()));
    Ok(Known { file: Some(file), config, owner })
}

fn selector_of(
    args: &ArgMatches,
    domain: &str,
    algorithm: Algorithm,
    known: &Known,
    path_of: &dyn Fn(&str) -> PathBuf,
) -> Result<String, String> {
    let domains = known.config.iter().flat_map(|config| &config.domains);
    let selectors: Vec<&str> = domains
        .filter(|listed| listed.name.eq_ignore_ascii_case(domain))
        .flat_map(|listed| listed.dkim.iter().map(|key| key.selector.as_str()))
        .collect();
    let in_config = |selector: &str| selectors.iter().any(|taken| taken.eq_ignore_ascii_case(selector));
    let selector = match args.get_one::<String>("selector") {
        Some(selector) if in_config(selector) => {
            return Err(format!(
                "the config has a key of {domain} with the selector {selector} already: choose another"
            ));
        }
        Some(selector) => selector.to_ascii_lowercase(),
        None => {
            let has_out = args.contains_id("out");
            let taken = |selector: &str| in_config(selector) || !has_out && path_of(selector).exists();
            new_selector(algorithm, Clock::system().now(), &taken)
                .ok_or("every selector of this day is taken: say --selector")?
        }
    };
    match selector_flaw(&selector, domain) {
        Some(flaw) => Err(flaw.to_owned()),
        None => Ok(selector),
    }
}

/// Writes the key, and says whose it is.
fn store(path: &Path, may_make_folder: bool, pem: &str, owner: Option<(u32, u32)>) -> io::Result<String> {
    let owner = owner.filter(|(uid, _)| rustix::process::geteuid().is_root() && *uid != 0);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if may_make_folder {
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => {
                if let Some((uid, gid)) = owner {
                    chown(folder, Some(uid), Some(gid))?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io::Error::new(error.kind(), format!("its folder cannot be made: {error}"))),
        }
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = || -> io::Result<()> {
        if let Some((uid, gid)) = owner {
            fchown(&file, Some(uid), Some(gid))?;
        }
        Ok(())
    };
    let done = written()
        .and_then(|()| file.write_all(pem.as_bytes()))
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(folder)?.sync_all());
    if let Err(error) = done {
        // Half a key is none, and would be in the way of the next try.
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(match owner {
        Some((uid, _)) => format!(" (mode 0600, of the user {uid}, who owns the data directory)"),
        None => " (mode 0600)".to_owned(),
    })
}

fn is_listed(config: &Config, domain: &str) -> bool {
    config.domains.iter().any(|listed| listed.name.eq_ignore_ascii_case(domain))
}

/// The domain as the DNS has it.
fn domain_of(name: &str) -> Result<String, String> {
    let bare = name.strip_suffix('.').unwrap_or(name);
    let ascii = if bare.is_ascii() { Ok(bare.to_ascii_lowercase()) } else { idna::domain_to_ascii(bare) };
    ascii.ok().filter(|domain| is_domain(domain)).ok_or_else(|| format!("{name} is not a domain name"))
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
#[path = "dkim_new_tests.rs"]
mod tests;
