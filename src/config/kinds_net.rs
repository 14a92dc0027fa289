//! The kinds of values that name things outside: files, hosts, addresses, networks, patterns, URLs.
//!
//! Always: nothing here opens a file or asks the DNS; whether a file is there is seen by the cross-checks.
//! Sources: RFC 1123 §2.1 (host names), RFC 4291 §2.3 (CIDR), RFC 3986 (URLs).

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};

use super::{
    HostPort,
    kinds::{Kind, Notes, Raw, quoted, string},
};
use crate::smtp::address::Mailbox;

/// What starts the name of a credential that systemd hands to the service, instead of a path.
pub(super) const CREDENTIAL_PREFIX: &str = "credential:";
/// Octets of a path at most, as Linux has it.
const PATH_MAX: usize = 4095;
/// Letters of a pattern at most.
const PATTERN_MAX: usize = 1000;
/// Bytes of a compiled pattern at most: `(a{1000}){1000}` must not eat the machine.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Letters of a URL at most.
const URL_MAX: usize = 2000;

/// A path; relative ones start from the config file's folder, `credential:NAME` is a file of `$CREDENTIALS_DIRECTORY`.
pub(super) struct File;

impl Kind<PathBuf> for File {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<PathBuf> {
        let text = string(raw, "\"/etc/hikyaku/file\"", notes)?;
        if text.is_empty() || text.len() > PATH_MAX || text.chars().any(char::is_control) {
            return notes.flaw(raw, "this is not a path", "write the whole path of a file, or credential:NAME");
        }
        if let Some(name) = text.strip_prefix(CREDENTIAL_PREFIX) {
            if name.is_empty() || name.contains('/') || name == "." || name == ".." {
                let fix = "write credential:NAME with the NAME that LoadCredential= gives it";
                return notes.flaw(raw, format!("{} is not the name of a credential", quoted(text)), fix);
            }
            return Some(match &notes.credentials {
                Some(folder) => folder.join(name),
                None => PathBuf::from(text),
            });
        }
        Some(notes.folder.join(text))
    }

    fn show(&self, value: &PathBuf) -> Option<String> {
        Some(quoted(&value.display().to_string()))
    }
}

/// True when the path is a credential's name that could not be turned into a file.
pub(super) fn is_unresolved_credential(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.starts_with(CREDENTIAL_PREFIX))
}

/// A domain name.
pub(super) struct DomainName;

impl Kind<String> for DomainName {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<String> {
        let text = string(raw, "\"relay.example.jp\"", notes)?;
        match domain_flaw(text) {
            None => Some(text.to_owned()),
            Some(fix) => notes.flaw(raw, format!("{} is not a domain name", quoted(text)), fix),
        }
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }
}

/// What to do about a text that is no domain name; `None` when it is one.
pub(super) fn domain_flaw(text: &str) -> Option<&'static str> {
    if !text.is_ascii() {
        return Some("write it in its ASCII form (xn--…)");
    }
    if text.parse::<IpAddr>().is_ok() {
        return Some("write a name, not an address");
    }
    if text.ends_with('.') {
        return Some("leave out the dot at its end");
    }
    let label_is_good = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if text.len() <= 253 && text.split('.').all(label_is_good) {
        return None;
    }
    Some("use letters, digits and hyphens, divided by dots, as in relay.example.jp")
}

/// A domain, in lower case; with a dot before it, its subdomains too.
pub(super) struct DomainSuffix;

impl Kind<String> for DomainSuffix {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<String> {
        let text = string(raw, "\"example.jp\" or \".example.jp\"", notes)?;
        let fix = match text.strip_prefix('.').unwrap_or(text) {
            name if name.contains('*') => Some("write \".example.jp\" for a domain with its subdomains"),
            name if name.contains('@') => Some("write the domain alone, without the part before the @"),
            name => domain_flaw(name),
        };
        match fix {
            None => Some(text.to_ascii_lowercase()),
            Some(fix) => notes.flaw(raw, format!("{} is not a domain", quoted(text)), fix),
        }
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }
}

/// A value of this kind, or the empty string.
pub(super) struct EmptyOr<K>(pub K);

impl<K: Kind<String>> Kind<String> for EmptyOr<K> {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<String> {
        if raw.get_ref().as_str() == Some("") { Some(String::new()) } else { self.0.read(raw, notes) }
    }

    fn show(&self, value: &String) -> Option<String> {
        self.0.show(value)
    }
}

/// A mail address.
pub(super) struct Address;

impl Kind<String> for Address {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<String> {
        let text = string(raw, "\"postmaster@example.jp\"", notes)?;
        match Mailbox::parse(text) {
            Ok(address) => Some(address.as_str().to_owned()),
            Err(why) => notes.flaw(
                raw,
                format!("{} is not a mail address: {why}", quoted(text)),
                "write one address, without a display name",
            ),
        }
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }
}

/// A mail address, or `@` and a domain for all addresses there.
pub(super) struct AddressOrDomain;

impl Kind<String> for AddressOrDomain {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<String> {
        let text = string(raw, "\"info@example.jp\" or \"@example.jp\"", notes)?;
        match text.strip_prefix('@').map(|domain| (domain, domain_flaw(domain))) {
            None => Address.read(raw, notes),
            Some((_, None)) => Some(text.to_owned()),
            Some((domain, Some(fix))) => notes.flaw(raw, format!("{} is not a domain name", quoted(domain)), fix),
        }
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }
}

/// A network in CIDR form; a single address is a network of its own.
pub(super) struct Network;

impl Kind<IpNet> for Network {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<IpNet> {
        let text = string(raw, "\"192.0.2.0/24\"", notes)?;
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(IpNet::from(address));
        }
        match text.parse::<IpNet>() {
            Ok(network) if network.trunc() == network => Some(network),
            Ok(network) => notes.flaw(
                raw,
                format!("{} has bits set after its /{}", quoted(text), network.prefix_len()),
                format!("write \"{}\" for the network, or \"{}\" for the one address", network.trunc(), network.addr()),
            ),
            Err(_) => notes.flaw(
                raw,
                format!("{} is not a network", quoted(text)),
                "write ADDRESS/BITS: \"192.0.2.0/24\", \"2001:db8::/32\"",
            ),
        }
    }

    fn show(&self, value: &IpNet) -> Option<String> {
        Some(quoted(&value.to_string()))
    }
}

/// An address without a port.
pub(super) struct Ip;

impl Kind<IpAddr> for Ip {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<IpAddr> {
        let text = string(raw, "\"192.0.2.1\"", notes)?;
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => notes.flaw(
                raw,
                format!("{} is not an IP address", quoted(text)),
                "write an IPv4 or IPv6 address without port and brackets: \"192.0.2.1\"",
            ),
        }
    }

    fn show(&self, value: &IpAddr) -> Option<String> {
        Some(quoted(&value.to_string()))
    }
}

/// An IP address and port to listen on or to ask; the port may be left out where there is a usual one.
pub(super) struct Socket {
    /// The usual port.
    pub port: Option<u16>,
}

impl Kind<SocketAddr> for Socket {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<SocketAddr> {
        let text = string(raw, "\"127.0.0.1:2525\"", notes)?;
        if let Ok(address) = text.parse() {
            return Some(address);
        }
        if let (Some(port), Ok(ip)) = (self.port, text.parse::<IpAddr>()) {
            return Some(SocketAddr::new(ip, port));
        }
        let fix = match text.rsplit_once(':') {
            Some(("", port)) if port.parse::<u16>().is_ok() => {
                format!(
                    "name the address too: \"127.0.0.1:{port}\", \"0.0.0.0:{port}\" (all of IPv4) or \"[::]:{port}\""
                )
            }
            Some(("localhost", port)) if port.parse::<u16>().is_ok() => {
                format!("write \"127.0.0.1:{port}\" or \"[::1]:{port}\"")
            }
            _ if text.parse::<IpAddr>().is_ok() => "add the port: \"192.0.2.1:25\", \"[2001:db8::1]:25\"".into(),
            _ => "write an IP address and a port: \"127.0.0.1:2525\", \"[::1]:2525\"".into(),
        };
        notes.flaw(raw, format!("{} is not an address with port", quoted(text)), fix)
    }

    fn show(&self, value: &SocketAddr) -> Option<String> {
        Some(quoted(&value.to_string()))
    }
}

/// A host, by name or address, and a port.
pub(super) struct HostAndPort;

impl Kind<HostPort> for HostAndPort {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<HostPort> {
        let text = string(raw, "\"smtp.example.jp:587\"", notes)?;
        match parse_host_port(text) {
            Some(value) => Some(value),
            None => notes.flaw(
                raw,
                format!("{} is not a host with port", quoted(text)),
                "write HOST:PORT: \"smtp.example.jp:587\", \"192.0.2.1:25\", \"[2001:db8::1]:25\"",
            ),
        }
    }

    fn show(&self, value: &HostPort) -> Option<String> {
        Some(quoted(&value.to_string()))
    }
}

impl std::str::FromStr for HostPort {
    type Err = NotHostPort;

    fn from_str(text: &str) -> Result<Self, NotHostPort> {
        parse_host_port(text).ok_or(NotHostPort)
    }
}

/// The text is no host with port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a host with port: write HOST:PORT")]
pub struct NotHostPort;

fn parse_host_port(text: &str) -> Option<HostPort> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(literal) => literal.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
        None if host.parse::<std::net::Ipv4Addr>().is_ok() || domain_flaw(host).is_none() => host.to_ascii_lowercase(),
        None => return None,
    };
    Some(HostPort { host, port })
}

/// A regular expression, bounded in size.
pub(super) struct Pattern;

impl Kind<Regex> for Pattern {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<Regex> {
        let text = string(raw, "'@example\\.jp$'", notes)?;
        if text.is_empty() || text.chars().count() > PATTERN_MAX || text.contains('\n') {
            let reason =
                if text.is_empty() { "an empty pattern matches everything" } else { "the pattern is too long" };
            return notes.flaw(raw, reason, format!("write a pattern of 1 to {PATTERN_MAX} letters on one line"));
        }
        compiled(text, raw, notes)
    }

    fn show(&self, value: &Regex) -> Option<String> {
        Some(quoted(value.as_str()))
    }
}

/// A pattern ready for use, upper and lower case alike; what is wrong with it is noted.
pub(super) fn compiled(text: &str, raw: &Raw<'_>, notes: &mut Notes) -> Option<Regex> {
    match RegexBuilder::new(text)
        .case_insensitive(true)
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_BYTES_MAX)
        .build()
    {
        Ok(pattern) => Some(pattern),
        Err(regex::Error::CompiledTooBig(_)) => {
            notes.flaw(raw, "the pattern is too large when compiled", "use smaller repetitions, such as {0,20}")
        }
        Err(error) => {
            let told = error.to_string();
            let why = told.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or("it cannot be read");
            // The engine draws a caret under the letter, four blanks in.
            let letter = told.lines().find(|line| line.trim_start().starts_with('^')).and_then(|line| line.find('^'));
            let place = letter.map_or(String::new(), |at| format!(" at letter {}", at.saturating_sub(4) + 1));
            let fix = "see https://docs.rs/regex/#syntax; single quotes keep backslashes as they are: '@example\\.jp$'";
            notes.flaw(raw, format!("the pattern {} is wrong{place}: {why}", quoted(text)), fix)
        }
    }
}

/// An absolute http or https URL.
pub(super) struct Url {
    /// Plain http is for loopback hosts alone.
    pub tls_away_from_loopback: bool,
}

impl Kind<String> for Url {
    fn read(&self, raw: &Raw<'_>, notes: &mut Notes) -> Option<String> {
        let text = string(raw, "\"https://example.jp/path\"", notes)?;
        let Some((scheme, host)) = split_url(text) else {
            return notes.flaw(
                raw,
                format!("{} is not a URL", quoted(text)),
                "write https://HOST/PATH, without user name and blanks",
            );
        };
        if self.tls_away_from_loopback && scheme == "http" && !is_loopback_host(&host) {
            return notes.flaw(
                raw,
                "http:// would send mail data in clear over the network",
                "write https://; http:// is for loopback hosts",
            );
        }
        Some(text.to_owned())
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }
}

/// Scheme and host of a URL.
fn split_url(text: &str) -> Option<(&str, String)> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let graphic = text.len() <= URL_MAX && text.bytes().all(|b| b.is_ascii_graphic());
    if !graphic || !matches!(scheme, "http" | "https") || authority.contains('@') {
        return None;
    }
    let usual = if scheme == "https" { 443 } else { 80 };
    let host = parse_host_port(authority).or_else(|| parse_host_port(&format!("{authority}:{usual}")))?.host;
    Some((scheme, host))
}

/// A host that is this machine.
pub(super) fn is_loopback_host(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_ports_and_urls() {
        for (text, shown) in
            [("a.example:25", "a.example:25"), ("127.0.0.1:2600", "127.0.0.1:2600"), ("[::1]:25", "[::1]:25")]
        {
            assert_eq!(parse_host_port(text).map(|h| h.to_string()).as_deref(), Some(shown));
        }
        for bad in ["", "a.example", "a.example:", "a.example:0", "a.example:70000", "::1:25", "a b:25", "[1.2.3.4]:25"]
        {
            assert_eq!(parse_host_port(bad), None, "{bad}");
        }
        assert_eq!(split_url("https://a.example/x?y"), Some(("https", "a.example".into())));
        assert_eq!(split_url("http://[::1]:8025"), Some(("http", "::1".into())));
        for bad in ["a.example", "ftp://a.example/", "https://", "https://u@a.example/", "https://a b/"] {
            assert_eq!(split_url(bad), None, "{bad}");
        }
        assert!(is_loopback_host("127.8.0.1") && is_loopback_host("LocalHost") && !is_loopback_host("192.0.2.1"));
    }
}
