//! What single values cannot show: settings that contradict each other, the machine, or good sense.
//!
//! In: a config whose keys were read, and the facts of its file.  Out: errors, warnings, and the defaults that follow
//! from other keys.
//! Always: no error follows from a key that is an error itself; an open relay is an error, never a warning (P7).
//! Sources: config.md; RFC 5321 §4.5.3.1.8; unix(7) for the socket path.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;

use super::{
    Config, Listener, ListenerTls, Mode, RelayPolicy, Role,
    kinds_net::domain_flaw,
    problem::Problem,
    read::Facts,
    surroundings::{FileFault, Files, Surroundings, look_at_folder, look_at_pem},
};
use crate::smtp::address::{ADDRESS_OCTETS_MAX, LOCAL_OCTETS_MAX};

/// Octets of a Unix socket's path at most, without the closing NUL (unix(7): 108 with it).
const SOCKET_PATH_MAX: usize = 107;
/// The control socket in the data directory.
const CONTROL_SOCKET: &str = "control.sock";
/// Files that the daemon needs beside sessions and connections: store, sockets, logs, HTTP.
const FILES_RESERVED: u64 = 256;
/// Networks wider than this are the internet, or a good part of it.
const WIDEST_V4: u8 = 8;
/// The same for IPv6.
const WIDEST_V6: u8 = 16;
/// Recipients that RFC 5321 §4.5.3.1.8 asks every server to take.
const RECIPIENTS_EXPECTED: usize = 100;
/// Characters of a return domain at most.
const RETURN_DOMAIN_MAX: usize = ADDRESS_OCTETS_MAX - LOCAL_OCTETS_MAX - 1;
/// Internet hosts take a faster retry than this as abuse.
const POLITE_RETRY: Duration = Duration::from_secs(10);

/// The checks at work.
pub(super) struct Checks<'a> {
    pub config: &'a mut Config,
    pub facts: &'a Facts<'a>,
    pub around: &'a Surroundings<'a>,
    pub errors: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl Checks<'_> {
    /// Fills defaults that follow from other keys, then looks for contradictions.
    pub fn run(&mut self) {
        self.server();
        self.listeners();
        self.tls();
        self.relay();
        self.queue();
        self.delivery();
        self.sources();
        self.tls_policies();
        self.rules();
        self.responses();
        self.priority_rules();
        self.suppression();
        self.tls_report();
        self.dns();
        self.return_domains();
        self.inbound();
        self.dkim_keys();
        self.http();
        self.unsubscribe();
        self.webhooks();
        self.names_are_unique();
        self.file_limit();
        self.archive();
        super::not_yet::warn(self);
    }

    pub(super) fn error(&mut self, path: &str, reason: impl Into<String>, fix: impl Into<String>) {
        if !self.facts.is_broken(path) {
            self.errors.push(self.facts.problem(path, reason, fix));
        }
    }

    pub(super) fn warn(&mut self, path: &str, reason: impl Into<String>, fix: impl Into<String>) {
        if !self.facts.is_broken(path) {
            self.warnings.push(self.facts.problem(path, reason, fix));
        }
    }

    pub(super) fn file_fault(&mut self, path: &str, fault: FileFault) {
        if fault.unsure { self.warn(path, fault.reason, fault.fix) } else { self.error(path, fault.reason, fault.fix) }
    }

    fn server(&mut self) {
        if !self.facts.gives("server.hostname") {
            let name = self.around.hostname.clone();
            if domain_flaw(&name).is_some() {
                self.warn(
                    "server.hostname",
                    format!("this machine's name {name:?} is no host name; \"localhost\" is used"),
                    HOSTNAME_FIX,
                );
            } else if !name.contains('.') {
                self.warn(
                    "server.hostname",
                    format!("this machine's name {name:?} has no dot: many servers refuse it"),
                    HOSTNAME_FIX,
                );
                self.config.server.hostname = name;
            } else {
                self.config.server.hostname = name;
            }
        } else if !self.config.server.hostname.contains('.') {
            let name = self.config.server.hostname.clone();
            self.warn("server.hostname", format!("{name:?} has no dot: many servers refuse it"), HOSTNAME_FIX);
        }
        let zone = self.config.server.time_zone.clone();
        if jiff::tz::TimeZone::get(&zone).is_err() {
            self.error(
                "server.time_zone",
                format!("there is no time zone {zone:?}"),
                "write an IANA name: \"Asia/Tokyo\", \"Europe/Berlin\", \"UTC\"",
            );
        }
        let socket = self.config.server.data_dir.join(CONTROL_SOCKET);
        let len = socket.as_os_str().len();
        if len > SOCKET_PATH_MAX {
            let longest = SOCKET_PATH_MAX - CONTROL_SOCKET.len() - 1;
            self.error(
                "server.data_dir",
                format!(
                    "the control socket {} would have a path of {len} bytes; {SOCKET_PATH_MAX} are possible",
                    socket.display()
                ),
                format!("use a data directory with a path of at most {longest} bytes"),
            );
        }
    }

    fn listeners(&mut self) {
        if self.config.listeners.is_empty() && !self.facts.gives("listener") {
            self.config.listeners.push(Listener::default());
        }
        if self.config.listeners.is_empty() {
            // `listener = []`, or rows that could not be read.
            self.config.listeners.push(Listener::default());
            self.warn(
                "listener",
                "the list is empty: one relay listener on 127.0.0.1:2525 is used",
                "add a [[listener]]",
            );
        }
        for n in 0..self.config.listeners.len() {
            let listener = self.config.listeners[n].clone();
            let path = |key: &str| format!("listener[{n}].{key}");
            let networks = path("proxy_networks");
            if listener.proxy_protocol && listener.proxy_networks.is_empty() && !self.facts.is_broken(&networks) {
                let at = path("proxy_protocol");
                self.error(
                    &at,
                    "nobody's PROXY header would be believed: proxy_networks is empty",
                    "set proxy_networks to the networks of your proxies",
                );
            }
            if !listener.proxy_protocol && !listener.proxy_networks.is_empty() {
                self.warn(
                    &networks,
                    "it has no effect without proxy_protocol = true",
                    "set proxy_protocol = true, or remove it",
                );
            }
            for wide in
                listener.proxy_networks.iter().filter(|_| listener.proxy_protocol).filter(|net| is_too_wide(net))
            {
                let reason = format!(
                    "a client anywhere in {wide} could claim any address, also one that may relay: an open relay"
                );
                self.error(&networks, reason, "name the networks of your proxies alone");
            }
            let nobody_logs_in = matches!(self.config.relay.policy, RelayPolicy::Auth | RelayPolicy::NetworkAndAuth)
                && listener.role == Role::Relay
                && listener.tls == ListenerTls::None
                && !listener.address.ip().is_loopback();
            if nobody_logs_in {
                let reason = "relay.policy asks for AUTH, which this listener cannot offer: it has no TLS";
                self.warn(&path("tls"), reason, "set tls = \"starttls\" or \"implicit\"");
            }
        }
        self.listener_clashes();
    }

    fn listener_clashes(&mut self) {
        let mut taken: Vec<(SocketAddr, String)> = Vec::new();
        for (n, listener) in self.config.listeners.iter().enumerate() {
            taken.push((listener.address, format!("listener[{n}].address")));
        }
        taken.push((self.config.http.address, "http.address".into()));
        if let Some(address) = self.config.unsubscribe.address {
            taken.push((address, "unsubscribe.address".into()));
        }
        for (n, (address, path)) in taken.iter().enumerate() {
            let earlier = taken[..n].iter().find(|(other, at)| clash(*other, *address) && !self.facts.is_broken(at));
            if let Some((other, at)) = earlier {
                // The key that the file gives is the one to change.
                let (path, other_path) = if self.facts.gives(path) { (path, at) } else { (at, path) };
                let other_name = other_path.split('[').next().unwrap_or_default();
                let reason = if other == address {
                    format!(
                        "{address} is taken already by {}",
                        if other_path.contains('[') { format!("another [[{other_name}]]") } else { other_path.clone() }
                    )
                } else {
                    format!("{address} and {other} cannot both be listened on: one stands for all addresses")
                };
                self.error(path, reason, "give each its own port or address");
            }
        }
    }

    fn tls(&mut self) {
        let uses: Vec<String> = self
            .config
            .listeners
            .iter()
            .enumerate()
            .filter(|(_, listener)| listener.tls != ListenerTls::None)
            .map(|(n, _)| format!("listener[{n}].tls"))
            .chain(self.config.http.tls.then(|| "http.tls".to_owned()))
            .chain(self.config.unsubscribe.tls.then(|| "unsubscribe.tls".to_owned()))
            .collect();
        let (certificate, key) = (self.config.tls.certificate.clone(), self.config.tls.private_key.clone());
        let broken = self.facts.is_broken("tls.certificate") || self.facts.is_broken("tls.private_key");
        match (certificate, key) {
            (Some(certificate), Some(key)) if self.around.files != Files::Ignored => {
                let mut whole = true;
                for (path, file) in [("tls.certificate", &certificate), ("tls.private_key", &key)] {
                    if let Err(fault) = look_at_pem(file, self.around.files) {
                        whole = false;
                        self.file_fault(path, fault);
                    }
                }
                if whole && let Err(reason) = (self.around.check_tls)(&certificate, &key) {
                    self.error(
                        "tls.certificate",
                        reason,
                        "give the full chain, its own certificate first, and the key that belongs to it",
                    );
                }
            }
            (Some(_), Some(_)) => {}
            _ if broken => {}
            (Some(_), None) => {
                self.error("tls.certificate", "a certificate without its key", "set tls.private_key too")
            }
            (None, Some(_)) => {
                self.error("tls.private_key", "a key without its certificate", "set tls.certificate too")
            }
            (None, None) => {
                for path in uses {
                    self.error(
                        &path,
                        "TLS needs a certificate",
                        "set certificate and private_key in [tls], or tls = \"none\" (false in [http] and [unsubscribe])",
                    );
                }
            }
        }
    }

    fn relay(&mut self) {
        let relay = self.config.relay.clone();
        let by_network = matches!(relay.policy, RelayPolicy::Network | RelayPolicy::NetworkOrAuth);
        // Two halves of the internet are the internet, too.
        for wide in IpNet::aggregate(&relay.networks).iter().filter(|net| by_network && is_too_wide(net)) {
            let reason =
                format!("{wide} would make this an open relay: anyone there could send through it without a password");
            let fix = "name your own networks, or set policy = \"auth\" or \"network-and-auth\"";
            self.error("relay.networks", reason, fix);
        }
        if relay.networks.is_empty() && matches!(relay.policy, RelayPolicy::Network | RelayPolicy::NetworkAndAuth) {
            self.error(
                "relay.networks",
                "the policy asks for a network, and there is none: nobody could relay",
                "name your networks, or set policy = \"auth\"",
            );
        }
        if relay.sessions_per_address_max > relay.sessions_max {
            self.warn(
                "relay.sessions_per_address_max",
                "it is more than sessions_max and has no effect",
                "lower it, or set 0",
            );
        }
        if relay.recipients_max < RECIPIENTS_EXPECTED {
            let reason =
                format!("RFC 5321 asks every server to take {RECIPIENTS_EXPECTED} recipients; clients may fail");
            self.warn("relay.recipients_max", reason, format!("set at least {RECIPIENTS_EXPECTED}"));
        }
        if relay.sender_domains_only && self.config.domains.is_empty() {
            self.error(
                "relay.sender_domains_only",
                "without any [[domain]] it would refuse all mail",
                "add your domains, or set it to false",
            );
        }
    }

    fn queue(&mut self) {
        let queue = self.config.queue.clone();
        let Some(first) = queue.retry_schedule.first() else { return };
        let lifetimes = [
            ("queue.lifetime", queue.lifetime),
            ("queue.lifetime_high", queue.lifetime_high),
            ("queue.lifetime_low", queue.lifetime_low),
        ];
        for (key, lifetime) in lifetimes {
            // Zero stands for "as lifetime", which has its own line.
            let short = lifetime <= *first && !(lifetime.is_zero() && key != "queue.lifetime");
            if short && !self.facts.is_broken("queue.retry_schedule") {
                let reason = "mail would expire before it is tried a second time";
                let path = if self.facts.gives(key) { key } else { "queue.retry_schedule" };
                self.error(path, reason, "make it longer than the first retry");
            }
        }
        if *first < POLITE_RETRY && self.config.delivery.mode == Mode::Internet {
            self.warn(
                "queue.retry_schedule",
                "hosts on the internet take so fast a retry as abuse",
                "start with \"1m\"",
            );
        }
        if queue.delay_notice_after > queue.lifetime {
            self.warn(
                "queue.delay_notice_after",
                "it is longer than lifetime: no delay notice is ever sent",
                "shorten it, or set \"0s\"",
            );
        }
    }

    fn return_domains(&mut self) {
        let config = &mut *self.config;
        if config.envelope_from.return_domain.is_empty() {
            config.envelope_from.return_domain = format!("return.{}", config.server.hostname);
        }
        for domain in config.domains.iter_mut().filter(|domain| domain.return_domain.is_empty()) {
            domain.return_domain.clone_from(&config.envelope_from.return_domain);
        }
        self.return_domain_lengths();
        let config = &*self.config;
        if config.listeners.iter().any(|listener| listener.role == Role::Inbound) {
            return;
        }
        let mut wanting: Vec<String> =
            (0..config.domains.len()).map(|n| format!("domain[{n}].return_domain")).collect();
        let rewriting = config.domains.iter().enumerate().filter(|(_, domain)| domain.envelope_from_rewrite);
        wanting.extend(rewriting.map(|(n, _)| format!("domain[{n}].envelope_from_rewrite")));
        wanting.extend(config.envelope_from.rewrite.then(|| "envelope_from.rewrite".to_owned()));
        wanting.extend(
            [
                "envelope_from.return_domain",
                "bounce.domains",
                "inbound.addresses",
                "bounce.complaint_address",
                "bounce.report_address",
                "tls_report.address",
            ]
            .map(String::from),
        );
        if let Some(path) = wanting.into_iter().find(|path| self.facts.gives(path)) {
            let reason = "no listener takes the mail that comes there";
            self.warn(&path, reason, "add a [[listener]] with role = \"inbound\" on port 25");
        }
    }

    /// A local part of any length must fit before a return domain.
    fn return_domain_lengths(&mut self) {
        let domains = self.config.domains.iter().enumerate();
        let mut all: Vec<(String, usize)> =
            domains.map(|(n, domain)| (format!("domain[{n}].return_domain"), domain.return_domain.len())).collect();
        all.push(("envelope_from.return_domain".to_owned(), self.config.envelope_from.return_domain.len()));
        for (path, octets) in
            all.into_iter().filter(|(path, octets)| *octets > RETURN_DOMAIN_MAX && self.facts.gives(path))
        {
            let reason = format!("its {octets} characters leave no room for a local part in an address");
            self.error(&path, reason, format!("use a name of at most {RETURN_DOMAIN_MAX} characters"));
        }
    }

    fn http(&mut self) {
        let address = self.config.http.address;
        if !self.facts.gives("http.public_url") {
            let scheme = if self.config.http.tls { "https" } else { "http" };
            self.config.http.public_url = format!("{scheme}://{address}");
        }
        let http = &self.config.http;
        if !address.ip().is_loopback() && !http.tls && http.proxy_networks.is_empty() {
            let fix = format!(
                "set http.tls = true, or http.proxy_networks to the proxies that end TLS (nobody else is served then); or use \"127.0.0.1:{}\"",
                address.port()
            );
            self.error("http.address", "away from loopback the keys of API users would travel in clear", fix);
        }
        for wide in self.config.http.proxy_networks.clone().iter().filter(|net| is_too_wide(net)) {
            let reason = format!("a client anywhere in {wide} could claim any address, and be served without TLS");
            self.error("http.proxy_networks", reason, "name the networks of your proxies alone");
        }
    }

    fn names_are_unique(&mut self) {
        let mut names: Vec<(String, String)> = Vec::new();
        let config = &*self.config;
        for (n, domain) in config.domains.iter().enumerate() {
            names.push((format!("domain[{n}].name"), domain.name.to_ascii_lowercase()));
            for (k, key) in domain.dkim.iter().enumerate() {
                names.push((
                    format!("domain[{n}].dkim[{k}].selector"),
                    format!("{n} {}", key.selector.to_ascii_lowercase()),
                ));
            }
        }
        names.extend(
            config
                .delivery
                .rules
                .iter()
                .enumerate()
                .map(|(n, rule)| (format!("delivery.rule[{n}].name"), rule.name.clone())),
        );
        names.extend(
            config
                .delivery
                .responses
                .iter()
                .enumerate()
                .map(|(n, response)| (format!("delivery.response[{n}].name"), response.name.clone())),
        );
        names.extend(config.forwards.iter().enumerate().map(|(n, f)| (format!("forward[{n}].name"), f.name.clone())));
        let posts = config.inbound.webhooks.iter().enumerate();
        names.extend(posts.map(|(n, hook)| (format!("inbound.webhook[{n}].name"), hook.name.to_lowercase())));
        names.extend(
            config.webhooks.iter().enumerate().map(|(n, hook)| (format!("webhook[{n}].name"), hook.name.clone())),
        );
        let lists = config.unsubscribe.filters.iter().enumerate();
        names.extend(lists.map(|(n, list)| (format!("unsubscribe.filter[{n}].name"), list.name.to_lowercase())));
        let kind = |path: &str| {
            path.split('[').next().unwrap_or_default().to_owned() + path.rsplit('.').next().unwrap_or_default()
        };
        let twice: Vec<(String, String)> = names
            .iter()
            .enumerate()
            .filter(|(n, (path, name))| {
                names[..*n].iter().any(|(other, taken)| taken == name && kind(other) == kind(path))
            })
            .map(|(_, pair)| pair.clone())
            .collect();
        for (path, name) in twice {
            // A selector stands behind the number of its domain.
            let name = if path.ends_with("selector") { name.rsplit(' ').next().unwrap_or_default() } else { &name };
            self.error(&path, format!("\"{name}\" is there twice"), "give each its own name, or join the two tables");
        }
    }

    /// The archive's folder. A daemon starts without it, too: mail goes on, rows are kept, and `status` says so.
    fn archive(&mut self) {
        let Some(dir) = self.config.retention.archive_dir.clone() else { return };
        if self.around.files == Files::Ignored {
            return;
        }
        if let Err(mut fault) = look_at_folder(&dir) {
            fault.unsure |= self.around.files == Files::Needed;
            self.file_fault("retention.archive_dir", fault);
        }
    }

    fn file_limit(&mut self) {
        let Some(limit) = self.around.open_files_max.filter(|_| self.around.files != Files::Ignored) else { return };
        let config = &*self.config;
        let has = |role| config.listeners.iter().any(|listener| listener.role == role);
        let sessions = if has(Role::Relay) { config.relay.sessions_max } else { 0 }
            + if has(Role::Inbound) { config.inbound.sessions_max } else { 0 };
        let needed = (sessions + config.delivery.connections_total) as u64 + FILES_RESERVED;
        if needed > limit {
            let reason =
                format!("sessions and connections may need {needed} open files, and this process may have {limit}");
            self.warn(
                "relay.sessions_max",
                reason,
                "raise LimitNOFILE= in the unit (ulimit -n), or lower sessions_max and connections_total",
            );
        }
    }
}

const HOSTNAME_FIX: &str =
    "set hostname in [server] to a full name whose address leads back to it, as relay.example.jp";

/// So wide that it holds strangers. Unique local and link-local networks hold none, however wide.
fn is_too_wide(net: &IpNet) -> bool {
    match net {
        IpNet::V4(net) => net.prefix_len() < WIDEST_V4,
        IpNet::V6(net) => {
            let begins = net.addr().segments()[0];
            let is_local = (net.prefix_len() >= 7 && begins & 0xfe00 == 0xfc00)
                || (net.prefix_len() >= 10 && begins & 0xffc0 == 0xfe80);
            net.prefix_len() < WIDEST_V6 && !is_local
        }
    }
}

/// Two addresses that one machine cannot listen on at once.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |x: IpAddr, y: IpAddr| x == y || (x.is_unspecified() && x.is_ipv4() == y.is_ipv4());
    // Port 0 asks for any free port, each time another one.
    a.port() != 0 && a.port() == b.port() && (covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}
