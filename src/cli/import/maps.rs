//! Reads Postfix's lookup tables from their source files, and takes apart what stands in them.
//!
//! In: `type:name` of a setting, a table's text, `[host]:port`.  Out: entries with their lines, hosts with ports.
//! Always: only sources are read (`hash:/etc/postfix/transport` is the file `transport`, never its database); types whose entries
//! are asked for over a network, or are patterns, are named and not read.
//! Sources: postconf(5), DATABASE_README, postmap(1), transport(5).

use super::main_cf::{list, logical_lines};

/// Entries of one table that are taken over; more would be a database, which belongs elsewhere.
pub const ENTRIES_MAX: usize = 10_000;

/// A table that a setting names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Map {
    /// A file with lines `key value`.
    Source(String),
    /// Something else; the text says what.
    Other(String, &'static str),
}

/// The tables of a setting.
pub fn maps_of(value: &str) -> Vec<Map> {
    list(value)
        .into_iter()
        .map(|whole| {
            let one = whole.strip_prefix("proxy:").unwrap_or(&whole);
            match one.split_once(':') {
                Some(("hash" | "btree" | "texthash" | "lmdb" | "cdb" | "dbm" | "sdbm", path)) => {
                    Map::Source(path.to_owned())
                }
                Some(("regexp" | "pcre", _)) => {
                    Map::Other(whole, "patterns of Postfix are not taken over: write them by hand")
                }
                Some(("cidr", _)) => {
                    Map::Other(whole, "tables of networks are not taken over: write the networks by hand")
                }
                Some(("inline" | "static" | "unionmap" | "pipemap" | "randmap", _)) => {
                    Map::Other(whole, "tables without a file are not taken over: write them by hand")
                }
                Some(_) => Map::Other(whole, "tables of other programs (LDAP, SQL …) are not asked"),
                None => Map::Source(one.to_owned()),
            }
        })
        .collect()
}

/// The entries of a table's source: line, key, value.
pub fn entries(text: &str) -> Vec<(usize, String, String)> {
    let entry = |(line, text): (usize, String)| {
        let (key, value) = text.split_once(char::is_whitespace).unwrap_or((&text, ""));
        (line, key.to_owned(), value.trim().to_owned())
    };
    logical_lines(text).into_iter().take(ENTRIES_MAX).map(entry).collect()
}

/// A host that mail goes to next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NextHop {
    /// `host:port`, as the config wants it.
    pub host_port: String,
    /// Postfix would ask for its MX records: there were no brackets.
    pub by_mx: bool,
}

/// Takes `[host]:port`, `host`, `[ipv6:…]` apart; `None`: it is no host.
pub fn next_hop(text: &str) -> Option<NextHop> {
    let text = text.trim();
    let (host, port, by_mx) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            let port = if after.is_empty() { "25" } else { after.strip_prefix(':')? };
            (host.strip_prefix("ipv6:").or_else(|| host.strip_prefix("IPv6:")).unwrap_or(host), port, false)
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, port, true),
            None => (text, "25", true),
        },
    };
    let port: u16 = match port {
        "smtp" => 25,
        "submission" => 587,
        "smtps" | "submissions" | "ssmtp" => 465,
        port => port.parse().ok().filter(|port| *port > 0)?,
    };
    let is_name = |host: &str| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    if host.parse::<std::net::Ipv6Addr>().is_ok() {
        return Some(NextHop { host_port: format!("[{host}]:{port}"), by_mx: false });
    }
    let by_mx = by_mx && host.parse::<std::net::Ipv4Addr>().is_err();
    is_name(host).then(|| NextHop { host_port: format!("{host}:{port}"), by_mx })
}

/// A time of Postfix in seconds: a number with a unit, or with the setting's usual one.
pub fn seconds(text: &str, usual: char) -> Option<u64> {
    let text = text.trim();
    let (digits, unit) = match text.chars().last().filter(char::is_ascii_alphabetic) {
        Some(unit) => (&text[..text.len() - 1], unit),
        None => (text, usual),
    };
    let number: u64 = digits.trim().parse().ok()?;
    number.checked_mul(match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_from_their_sources_alone() {
        let source = |path: &str| Map::Source(path.to_owned());
        let maps = maps_of("hash:/etc/postfix/a, proxy:lmdb:/b texthash:c,/d mysql:/e.cf pcre:/f inline:{ {a = b} }");
        assert_eq!(maps[..4], [source("/etc/postfix/a"), source("/b"), source("c"), source("/d")]);
        assert!(maps[4..].iter().all(|map| matches!(map, Map::Other(..))) && maps.len() == 7, "{maps:?}");
        assert_eq!(
            entries("# x\nexample.jp\tsmtp:[a]:25\n  # y\n.b  relay:\n\t[c]\nalone\n"),
            [
                (2, "example.jp".into(), "smtp:[a]:25".into()),
                (4, ".b".into(), "relay: [c]".into()),
                (6, "alone".into(), String::new())
            ]
        );
    }

    #[test]
    fn next_hops_and_times() {
        for (text, expected) in [
            ("[smart.example]:587", Some(("smart.example:587", false))),
            ("[smart.example]", Some(("smart.example:25", false))),
            ("smart.example:submission", Some(("smart.example:587", true))),
            ("smart.example", Some(("smart.example:25", true))),
            ("192.0.2.1", Some(("192.0.2.1:25", false))),
            ("[192.0.2.1]:10025", Some(("192.0.2.1:10025", false))),
            ("[ipv6:2001:db8::1]:25", Some(("[2001:db8::1]:25", false))),
            ("[2001:db8::1]", Some(("[2001:db8::1]:25", false))),
            ("", None),
            ("[]", None),
            ("a b", None),
            ("[a]x", None),
            ("a:0", None),
            ("a:99999", None),
        ] {
            let got = next_hop(text);
            assert_eq!(got.as_ref().map(|hop| (hop.host_port.as_str(), hop.by_mx)), expected, "{text}");
        }
        for (text, usual, expected) in [
            ("5d", 's', Some(432_000)),
            ("5", 'd', Some(432_000)),
            ("300s", 'd', Some(300)),
            ("4h", 'h', Some(14_400)),
            ("0", 'h', Some(0)),
            ("1 w", 's', Some(604_800)),
            ("x", 's', None),
            ("", 's', None),
            ("99999999999999999999d", 's', None),
            ("999999999999999999w", 's', None),
        ] {
            assert_eq!(seconds(text, usual), expected, "{text}");
        }
    }
}
