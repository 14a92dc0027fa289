//! The addresses that others see our mail come from, and the names that we say hello with.
//!
//! In: the config; what the system would choose.  Out: [`Ours`].
//! Always: what `[domain_check] addresses` says goes before everything; private addresses alone mean a NAT, whose outside is not
//! guessed; the system is asked without a packet being sent.
//! Sources: config.md; connect(2) on a datagram socket; RFC 1918.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::{
    config::{Config, Ipv6, Mode},
    deliver::route::is_public,
};

/// Addresses that are looked at: more are looked at as if they were these.
pub const ADDRESSES_MAX: usize = 16;

/// Public addresses towards which the system chooses; nothing is sent there.
const TOWARDS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 5, 6, 30)), IpAddr::V6(Ipv6Addr::new(0x2001, 0x503, 0xa83e, 0, 0, 0, 2, 0x30))];

/// Where the addresses come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whence {
    /// `[domain_check] addresses`.
    Configured,
    /// The source addresses of `[delivery]`.
    Sources,
    /// What the system chooses.
    System,
}

impl Whence {
    /// The word for programs.
    pub fn word(self) -> &'static str {
        match self {
            Whence::Configured => "configured",
            Whence::Sources => "sources",
            Whence::System => "system",
        }
    }
}

/// One address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Own {
    /// The address.
    pub address: IpAddr,
    /// What we say hello with when mail leaves by it; empty: another host says hello.
    pub hello: String,
}

/// Our addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ours {
    /// Those that others see; empty: not known.
    pub seen: Vec<Own>,
    /// Private ones, which others do not see.
    pub private: Vec<IpAddr>,
    /// Where they come from.
    pub whence: Whence,
    /// Mail leaves by this smarthost.
    pub smarthost: Option<String>,
}

impl Ours {
    /// Of this config on this machine.
    pub fn of(config: &Config) -> Self {
        Self::on(config, chosen_by_system)
    }

    /// Of this config; `system`: the addresses that the system would choose.
    pub fn on(config: &Config, system: impl FnOnce() -> Vec<IpAddr>) -> Self {
        let smarthost = match (config.delivery.mode, &config.delivery.smarthost) {
            (Mode::Smarthost, Some(host)) => Some(host.to_string()),
            (Mode::Smarthost, None) => Some(String::new()),
            (Mode::Internet | Mode::Sandbox, _) => None,
        };
        let configured = &config.domain_check.addresses;
        if !configured.is_empty() {
            let seen = seen(config, configured, smarthost.is_none());
            return Ours { seen, private: Vec::new(), whence: Whence::Configured, smarthost };
        }
        if smarthost.is_some() {
            return Ours { seen: Vec::new(), private: Vec::new(), whence: Whence::System, smarthost };
        }
        let delivery = &config.delivery;
        let rules = delivery.rules.iter().flat_map(|rule| &rule.source_addresses);
        let sources = delivery.sources.iter().map(|source| &source.address);
        let mut named: Vec<IpAddr> = sources.chain(&delivery.source_addresses).chain(rules).copied().collect();
        let whence = if named.is_empty() { Whence::System } else { Whence::Sources };
        if named.is_empty() {
            named = system();
        }
        if delivery.ipv6 == Ipv6::Off {
            named.retain(IpAddr::is_ipv4);
        }
        let (public, private): (Vec<IpAddr>, Vec<IpAddr>) = named.into_iter().partition(|a| is_public(*a));
        Ours { seen: seen(config, &public, true), private, whence, smarthost }
    }

    /// The addresses that others see.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.seen.iter().map(|own| own.address).collect()
    }

    /// They are known.
    pub fn are_known(&self) -> bool {
        !self.seen.is_empty()
    }
}

/// Each address once, with its name.
fn seen(config: &Config, addresses: &[IpAddr], says_hello: bool) -> Vec<Own> {
    let mut seen: Vec<Own> = Vec::new();
    for address in addresses {
        if seen.len() < ADDRESSES_MAX && seen.iter().all(|own| own.address != *address) {
            let source = config.delivery.sources.iter().find(|source| source.address == *address);
            let own = source.map(|source| source.hostname.as_str()).filter(|name| !name.is_empty());
            let hello = if says_hello { own.unwrap_or(&config.server.hostname) } else { "" };
            seen.push(Own { address: *address, hello: hello.to_owned() });
        }
    }
    seen
}

/// The local addresses of sockets that are connected towards the internet: for datagrams that sends nothing.
fn chosen_by_system() -> Vec<IpAddr> {
    let towards = |to: IpAddr| {
        let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
        socket.connect(SocketAddr::new(to, 25)).ok()?;
        socket.local_addr().ok().map(|local| local.ip()).filter(|address| !address.is_unspecified())
    };
    TOWARDS.into_iter().filter_map(towards).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HostPort, Source};

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[track_caller]
    fn check(config: &Config, system: &[&str], seen: &[(&str, &str)], private: &[&str], whence: Whence) {
        let ours = Ours::on(config, || system.iter().map(|a| ip(a)).collect());
        let found: Vec<(String, &str)> = ours.seen.iter().map(|o| (o.address.to_string(), o.hello.as_str())).collect();
        let found: Vec<(&str, &str)> = found.iter().map(|(a, h)| (a.as_str(), *h)).collect();
        assert_eq!((found.as_slice(), ours.whence), (seen, whence));
        assert_eq!(ours.private, private.iter().map(|a| ip(a)).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_configured_goes_before_the_sources_and_those_before_the_system() {
        let mut config = Config::default();
        config.server.hostname = "mail.example.jp".into();
        check(&config, &["9.9.9.9"], &[("9.9.9.9", "mail.example.jp")], &[], Whence::System);
        check(&config, &["10.0.0.5", "fd00::5"], &[], &["10.0.0.5", "fd00::5"], Whence::System);
        check(&config, &[], &[], &[], Whence::System);
        let mut named = Source { address: ip("9.9.9.1"), ..Source::default() };
        named.hostname = "one.example.jp".into();
        config.delivery.sources = vec![named];
        config.delivery.source_addresses = vec![ip("9.9.9.2"), ip("9.9.9.1"), ip("192.168.0.1"), ip("2600::1")];
        let one = ("9.9.9.1", "one.example.jp");
        let (two, six) = (("9.9.9.2", "mail.example.jp"), ("2600::1", "mail.example.jp"));
        check(&config, &["9.9.9.9"], &[one, two, six], &["192.168.0.1"], Whence::Sources);
        config.delivery.ipv6 = Ipv6::Off;
        check(&config, &["9.9.9.9"], &[one, two], &["192.168.0.1"], Whence::Sources);
        // Whoever says which addresses they are is believed, documentation addresses and all.
        config.domain_check.addresses = vec![ip("192.0.2.7"), ip("9.9.9.1")];
        check(&config, &[], &[("192.0.2.7", "mail.example.jp"), one], &[], Whence::Configured);
    }

    #[test]
    fn a_smarthosts_addresses_are_its_owners() {
        let mut config = Config::default();
        config.delivery.mode = Mode::Smarthost;
        config.delivery.smarthost = Some(HostPort { host: "smart.example".into(), port: 587 });
        check(&config, &["9.9.9.9"], &[], &[], Whence::System);
        assert_eq!(Ours::of(&config).smarthost.as_deref(), Some("smart.example:587"));
        config.domain_check.addresses = vec![ip("192.0.2.7")];
        check(&config, &[], &[("192.0.2.7", "")], &[], Whence::Configured);
    }
}
