//! `sendmail`, for cron, web servers and every program that only knows that name: submits by SMTP to the relay listener.
//!
//! In: options, a mail on stdin.  Out: the listener's answer as an exit code.
//! Always: 0 only after the listener's 250, which means that the mail is on disk; 75 when it may be tried again.
//! No right on the control socket or the config file is needed: where the config may not be read, the usual places of the
//! listener are tried.
//! Sources: sysexits(3).

mod content;
mod options;
mod submit;

use std::{
    ffi::OsString,
    io::BufRead,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use clap::{Arg, Command};

use super::{Around, Found, complain, discover::find};
use crate::{
    config::{self, Files, Glance, Listener, ListenerTls, Surroundings},
    smtp::address::Mailbox,
};
use options::Options;
use submit::{Submission, submit};

/// Exit codes of sysexits(3).
mod code {
    /// EX_USAGE.
    pub const USAGE: u8 = 64;
    /// EX_DATAERR: the mail is at fault.
    pub const DATA: u8 = 65;
    /// EX_NOUSER: an address was refused.
    pub const NO_USER: u8 = 67;
    /// EX_UNAVAILABLE: refused.
    pub const UNAVAILABLE: u8 = 69;
    /// EX_TEMPFAIL: try again.
    pub const TRY_LATER: u8 = 75;
    /// EX_CONFIG: the config file is at fault.
    pub const CONFIG: u8 = 78;
}

/// Why nothing was sent.
#[derive(Debug)]
struct Refusal {
    code: u8,
    text: String,
}

impl Refusal {
    fn usage(text: String) -> Self {
        Refusal { code: code::USAGE, text }
    }
}

/// Ports where the listener usually is, for callers who may not read the config: our own default, then the classic one.
const USUAL_PORTS: [u16; 2] = [2525, 25];
/// Octets of a mail at most for such a caller; the listener knows the real bound.
const MESSAGE_MAX: u64 = 1 << 30;

const HELP: &str = "\
Options: -t recipients from To, Cc and Bcc (Bcc is taken out); -i or -oi a lone dot does not end the mail;
-f ADDR envelope sender; -bp lists the queue. -o*, -F, -N, -B, -bm and others that change nothing are ignored.

Examples:
  sendmail -t -i < mail.eml
  printf 'Subject: backup done\\n\\nAll well.\\n' | sendmail -f cron@example.jp root@example.jp

Exit codes: 0 the mail is on disk, 64 usage, 65 the mail is at fault, 67 an address was refused, 69 refused,
75 try again, 78 config.";

/// The command, for those who want it without a link named sendmail.
pub(super) fn command() -> Command {
    let args = Arg::new("args")
        .value_name("ARGS")
        .help("What sendmail takes: options and recipients, see below")
        .num_args(0..)
        .value_parser(clap::value_parser!(OsString))
        .trailing_var_arg(true)
        .allow_hyphen_values(true);
    Command::new("sendmail").about("Sends a mail from stdin, as programs expect of sendmail").arg(args).after_help(HELP)
}

/// Runs it; answers the exit code.
pub(super) fn run(args: &[OsString], config: Option<&Path>, around: &Around) -> u8 {
    let outcome = Options::parse(args).and_then(|options| {
        if options.list_queue {
            return Ok(super::mailq(&[], around));
        }
        let place = place(config, around)?;
        let mut input = std::io::stdin().lock();
        send(&options, &place, &mut input, &login_name()).map(|()| 0)
    });
    outcome.unwrap_or_else(|Refusal { code, text }| {
        complain(&format!("sendmail: {text}\n"));
        code
    })
}

/// Where to submit.
struct Place {
    listeners: Vec<SocketAddr>,
    hostname: String,
    message_size_max: u64,
}

/// Sends what `input` holds. `login`: who calls, for addresses that are not given in full.
fn send(options: &Options, place: &Place, input: &mut dyn BufRead, login: &str) -> Result<(), Refusal> {
    let in_full = |address: &str| {
        if address.contains('@') { address.to_owned() } else { format!("{address}@{}", place.hostname) }
    };
    let checked = |address: &str| match Mailbox::parse(&in_full(address)) {
        Ok(mailbox) => Ok(mailbox.as_str().to_owned()),
        Err(why) => Err(Refusal { code: code::DATA, text: format!("{address:?} is not a mail address: {why}") }),
    };
    let caller = in_full(login);
    let sender = match options.sender.as_deref() {
        Some("") => String::new(),
        Some(address) => checked(address)?,
        None => checked(&caller)?,
    };
    if options.recipients.is_empty() && !options.recipients_from_header {
        return Err(Refusal::usage("name recipients, or use -t to take them from the header".into()));
    }
    let read = content::read(input, options.dot_is_text, place.message_size_max);
    let mail =
        match read.map_err(|error| Refusal { code: code::DATA, text: format!("the mail cannot be read: {error}") })? {
            Some(mail) => mail,
            None => {
                let text = format!("the mail is larger than message_size_max ({} bytes)", place.message_size_max);
                return Err(Refusal { code: code::DATA, text });
            }
        };
    let from = if sender.is_empty() { &caller } else { &sender };
    let content = content::prepare(&mail, from, options.recipients_from_header);
    let mut recipients: Vec<String> = Vec::new();
    for address in options.recipients.iter().chain(&content.recipients) {
        let address = checked(address.trim_start_matches('<').trim_end_matches('>'))?;
        if !recipients.contains(&address) {
            recipients.push(address);
        }
    }
    if recipients.is_empty() {
        return Err(Refusal { code: code::DATA, text: "the header names no recipient (To, Cc, Bcc)".into() });
    }
    let Place { listeners, hostname, .. } = place;
    submit(listeners, &Submission { hostname, sender: &sender, recipients: &recipients, octets: &content.octets })
}

/// Finds the listener: by the config, or where it usually is.
fn place(config: Option<&Path>, around: &Around) -> Result<Place, Refusal> {
    let failed = |text| Refusal { code: code::CONFIG, text };
    match find(config, around).map_err(failed)? {
        Found::File(path) if std::fs::File::open(&path).is_ok() => match config::glance(&path) {
            Ok(Glance { listeners, hostname, message_size_max, .. }) => {
                let listeners = plain_addresses(&listeners);
                if listeners.is_empty() {
                    let text =
                        format!("{} has no relay listener that takes plain SMTP from this machine", path.display());
                    return Err(failed(format!("{text}; add a [[listener]] on 127.0.0.1:2525")));
                }
                Ok(Place { listeners, hostname, message_size_max })
            }
            Err(errors) => Err(failed(errors.to_string())),
        },
        // The demo, or a config that this user may not read: it holds secrets, the listener's address is none.
        _ => Ok(Place {
            listeners: USUAL_PORTS.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).to_vec(),
            hostname: Surroundings::of_this_machine(Files::Ignored).hostname,
            message_size_max: MESSAGE_MAX,
        }),
    }
}

/// Addresses of listeners that speak plain SMTP, those on loopback first.
fn plain_addresses(listeners: &[Listener]) -> Vec<SocketAddr> {
    let speaks_plainly = |listener: &&Listener| listener.tls != ListenerTls::Implicit && !listener.proxy_protocol;
    let mut addresses: Vec<SocketAddr> = listeners
        .iter()
        .filter(speaks_plainly)
        .map(|listener| match listener.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, listener.address.port())),
            IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, listener.address.port())),
            _ => listener.address,
        })
        .collect();
    addresses.sort_by_key(|address| !address.ip().is_loopback());
    addresses
}

/// The caller's login name: what the system says, else what the environment says.
fn login_name() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let known = std::fs::read_to_string("/etc/passwd").ok().and_then(|table| {
        let mut rows = table.lines().map(|row| row.split(':'));
        rows.find_map(|mut row| {
            let name = row.next()?;
            (row.nth(1)? == uid && !name.is_empty()).then(|| name.to_owned())
        })
    });
    let told = || std::env::var("LOGNAME").or_else(|_| std::env::var("USER")).ok();
    known.or_else(told).unwrap_or_else(|| "nobody".into())
}

#[cfg(test)]
mod tests;
