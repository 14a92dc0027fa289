//! Where an endpoint is: its URL taken apart, and the addresses of its host that may be posted to.
//!
//! In: a URL that the config has checked, what the resolver finds.  Out: host, port, path; addresses.
//! Always: every address is looked at, also one that stands in the URL; private, loopback, link-local and reserved ones are
//! refused, whatever the DNS says, unless the endpoint allows them; plain HTTP goes to loopback and nowhere else; who connects
//! uses these addresses and asks nobody again.
//! Sources: RFC 3986 §3; PRODUCT.md (private-address targets refused unless allowed).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{deliver::route, net::kept::Host};

/// A URL in parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Host and port.
    pub host: Host,
    /// Path and query.
    pub path: String,
}

impl Target {
    /// Takes a URL apart; `None`: it is none that can be posted to.
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let tail = tail.split('#').next().unwrap_or_default();
        let (name, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                let address: Ipv6Addr = address.parse().ok()?;
                (address.to_string(), port.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((name, port)) => (name.to_owned(), Some(port)),
                None => (authority.to_owned(), None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None if tls => 443,
            None => 80,
        };
        if name.is_empty() || name.contains(['@', '%']) {
            return None;
        }
        let path = if tail.starts_with('/') { tail.to_owned() } else { format!("/{tail}") };
        Some(Target { host: Host { name, port, tls }, path })
    }

    /// The addresses that need no look-up: an address in place of the name, and this machine.
    pub fn literal(&self) -> Option<Vec<IpAddr>> {
        if self.host.name.eq_ignore_ascii_case("localhost") {
            return Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        self.host.name.parse().ok().map(|address| vec![address])
    }

    /// Those of the found addresses that may be posted to.
    ///
    /// # Errors
    /// In words, when none is left.
    pub fn allowed(&self, mut found: Vec<IpAddr>, allow_private: bool) -> Result<Vec<IpAddr>, String> {
        let name = &self.host.name;
        if !self.host.tls {
            found.retain(|address| address.to_canonical().is_loopback());
            let words = || format!("{name} is not this machine, and mail data goes nowhere else in clear");
            return if found.is_empty() { Err(words()) } else { Ok(found) };
        }
        if !allow_private {
            found.retain(|address| route::is_public(*address));
            if found.is_empty() {
                return Err(format!(
                    "{name} has only private or reserved addresses, which are refused (allow_private = true allows them)"
                ));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (url, name, port, tls, path) in [
            ("https://a.example/hook?k=v", "a.example", 443, true, "/hook?k=v"),
            ("https://a.example", "a.example", 443, true, "/"),
            ("https://a.example:8443?x", "a.example", 8443, true, "/?x"),
            ("http://127.0.0.1:9/x#y", "127.0.0.1", 9, false, "/x"),
            ("http://[::1]/", "::1", 80, false, "/"),
            ("https://[2001:DB8::1]:99/", "2001:db8::1", 99, true, "/"),
        ] {
            let expected = Target { host: Host { name: name.into(), port, tls }, path: path.into() };
            assert_eq!(Target::parse(url), Some(expected), "{url}");
        }
        for url in
            ["", "a.example", "ftp://a/", "https://", "https://a:0/", "https://a:x/", "https://u@a/", "https://[x]/"]
        {
            assert_eq!(Target::parse(url), None, "{url}");
        }
    }

    #[test]
    fn private_addresses_are_refused_in_every_disguise() {
        let over_tls = Target::parse("https://a.example/").expect("a URL");
        let allowed = |target: &Target, address: &str, private| {
            target.allowed(vec![address.parse().expect("an address")], private).is_ok()
        };
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            assert!(!allowed(&over_tls, address, false), "{address}");
            assert!(allowed(&over_tls, address, true), "{address}");
        }
        for address in ["8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(allowed(&over_tls, address, false), "{address}");
        }
        let mixed = ["10.0.0.1", "8.8.8.8"].map(|a| a.parse().expect("an address")).to_vec();
        assert_eq!(over_tls.allowed(mixed, false), Ok(vec!["8.8.8.8".parse().expect("an address")]));

        // Plain HTTP: loopback alone, and whatever `allow_private` says.
        let clear = Target::parse("http://localhost/").expect("a URL");
        for (address, good) in [("127.0.0.1", true), ("::1", true), ("10.0.0.1", false), ("8.8.8.8", false)] {
            assert_eq!((allowed(&clear, address, false), allowed(&clear, address, true)), (good, good), "{address}");
        }
        assert_eq!(clear.literal().map(|found| found.len()), Some(2));
        assert_eq!(Target::parse("https://10.0.0.1/").and_then(|t| t.literal()).map(|found| found.len()), Some(1));
        assert_eq!(over_tls.literal(), None);
    }
}
