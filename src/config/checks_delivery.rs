//! Cross-checks of `[delivery]`: smarthosts, source addresses, TLS policies, rules of speed, response and priority.
//!
//! In and out: as for `checks`, whose second part this is.
//! Always: a setting that could never act is said to be so; one that would act on everything by mistake is an error.
//! Sources: config.md; RFC 8460, RFC 7672.

use std::net::IpAddr;

use regex::Regex;

use super::{
    Ipv6, Mode, Response, ResponseAction, Rule, Source, TlsPolicy,
    checks::Checks,
    kinds_net::is_loopback_host,
    surroundings::{Files, mode_open_to_others, read_password},
};

impl Checks<'_> {
    pub(super) fn delivery(&mut self) {
        let facts = self.facts;
        if self.config.delivery.smarthost.is_some() && !facts.gives("delivery.mode") {
            self.config.delivery.mode = Mode::Smarthost;
        }
        let delivery = self.config.delivery.clone();
        match (delivery.mode, &delivery.smarthost) {
            (Mode::Smarthost, None) if !facts.is_broken("delivery.smarthost") => {
                self.error(
                    "delivery.mode",
                    "smarthost mode needs a smarthost",
                    "set smarthost = \"HOST:PORT\" in [delivery]",
                );
            }
            (Mode::Internet | Mode::Sandbox, Some(smarthost)) if !facts.is_broken("delivery.mode") => {
                let reason = format!("{smarthost} would not be used in this mode");
                self.error("delivery.smarthost", reason, "set mode = \"smarthost\", or remove smarthost");
            }
            _ => {}
        }
        let has_user = !delivery.smarthost_user.is_empty();
        match &delivery.smarthost_password_file {
            Some(_) if !has_user => {
                self.error("delivery.smarthost_password_file", "a password without a user", "set smarthost_user too")
            }
            None if has_user && !facts.is_broken("delivery.smarthost_password_file") => {
                self.error("delivery.smarthost_user", "a user without a password", "set smarthost_password_file too");
            }
            Some(file) if self.around.files != Files::Ignored => self.password_file(file),
            _ => {}
        }
        let loopback = delivery.smarthost.as_ref().is_some_and(|smarthost| is_loopback_host(&smarthost.host));
        if has_user && delivery.smarthost.is_some() && delivery.smarthost_tls != TlsPolicy::Verify && !loopback {
            let path = if facts.gives("delivery.smarthost_tls") {
                "delivery.smarthost_tls"
            } else {
                "delivery.smarthost_user"
            };
            self.error(
                path,
                "the password would go to whoever answers: AUTH needs verified TLS",
                "set smarthost_tls = \"verify\"",
            );
        }
        if delivery.priority.header.is_empty()
            || !delivery.priority.header.bytes().all(|b| b.is_ascii_graphic() && b != b':')
        {
            self.error(
                "delivery.priority.header",
                "this is not the name of a header field",
                "use letters, digits and hyphens: \"X-Priority-Class\"",
            );
        }
    }

    fn password_file(&mut self, file: &std::path::Path) {
        let path = "delivery.smarthost_password_file";
        match read_password(file, self.around.files) {
            Ok(password) => {
                self.config.delivery.smarthost_password = Some(password);
                let given_by_systemd = self.around.credentials.as_ref().is_some_and(|folder| file.starts_with(folder));
                if let Some(mode) = mode_open_to_others(file).filter(|_| !given_by_systemd) {
                    let reason = format!("{} can be read or changed by others (mode {mode})", file.display());
                    self.warn(path, reason, format!("chmod 0600 {}", file.display()));
                }
            }
            Err(fault) => self.file_fault(path, fault),
        }
    }

    /// Local addresses to send from, in both forms.
    pub(super) fn sources(&mut self) {
        let delivery = self.config.delivery.clone();
        let broken =
            (0..delivery.sources.len()).any(|n| self.facts.is_broken(&format!("delivery.source[{n}].address")));
        if !delivery.source_addresses.is_empty() && !delivery.sources.is_empty() {
            self.error(
                "delivery.source_addresses",
                "the local addresses are named twice, here and by [[delivery.source]]",
                "keep one of the two; [[delivery.source]] knows weights, names and users",
            );
        }
        for address in &delivery.source_addresses {
            self.source_address("delivery.source_addresses", *address);
        }
        for (n, source) in delivery.sources.iter().enumerate() {
            let path = |key: &str| format!("delivery.source[{n}].{key}");
            if self.facts.is_broken(&path("address")) {
                continue;
            }
            self.source_address(&path("address"), source.address);
            if delivery.sources[..n].iter().any(|other| other.address == source.address) {
                let reason = format!("{} is there twice", source.address);
                self.error(&path("address"), reason, "join the two tables, and add their weights");
            }
            let cold = source.warm_up_from.is_some() && !delivery.warm_up.alone;
            if cold && !delivery.sources.iter().any(|other| takes_overflow(source, other)) {
                let reason = format!(
                    "{} has no warm address beside it to take what is over its caps: they will not hold",
                    source.address
                );
                let fix = "add a [[delivery.source]] that is warm, or set alone = true in [delivery.warm_up]: mail then waits";
                self.warn(&path("warm_up_from"), reason, fix);
            }
        }
        if !delivery.sources.is_empty() && !broken && delivery.sources.iter().all(|source| !source.users.is_empty()) {
            self.error(
                "delivery.source[0].users",
                "every local address is for some users alone: the mail of all others could not leave",
                "leave users out at one of them",
            );
        }
        let warms = delivery.sources.iter().any(|source| source.warm_up_from.is_some());
        if delivery.warm_up.alone && !warms && !broken {
            let fix = "set warm_up_from in a [[delivery.source]]";
            self.warn("delivery.warm_up.alone", "no address is warming up: it has no effect", fix);
        }
        if let Some(day) = delivery.warm_up.schedule.windows(2).position(|days| days[1] < days[0]) {
            let reason = format!("day {} would take less than the day before", day + 2);
            self.warn("delivery.warm_up.schedule", reason, "let the numbers grow");
        }
    }

    /// One local address.
    fn source_address(&mut self, path: &str, address: IpAddr) {
        if address.is_unspecified() || address.is_multicast() {
            let fix = "name one of this machine's addresses (ip addr), or none: the system then chooses";
            return self.error(path, format!("nothing can be sent from {address}"), fix);
        }
        if address.is_ipv6() && self.config.delivery.ipv6 == Ipv6::Off {
            self.warn(path, format!("{address} has no effect: ipv6 is off"), "set ipv6 = \"auto\", or remove it");
        } else if self.around.files != Files::Ignored && !(self.around.is_local)(address) {
            let fix = "add it to a network interface, or correct it (ip addr lists those that are there)";
            self.warn(path, format!("{address} is not an address of this machine now: nothing can leave by it"), fix);
        }
    }

    /// `[[delivery.tls_policy]]`.
    pub(super) fn tls_policies(&mut self) {
        let delivery = self.config.delivery.clone();
        for (n, policy) in delivery.tls_policies.iter().enumerate() {
            let path = format!("delivery.tls_policy[{n}].domains");
            for domain in &policy.domains {
                let taken = delivery.tls_policies[..n].iter().any(|other| covers(&other.domains, domain));
                if taken {
                    let reason = format!("a table above says what applies to {domain}: this one never does");
                    self.error(
                        &path,
                        reason,
                        "the first that matches applies: remove the domain here, or move this table up",
                    );
                }
            }
        }
        if delivery.mode == Mode::Smarthost && !delivery.tls_policies.is_empty() {
            self.warn(
                "delivery.tls_policy[0].policy",
                "in smarthost mode no mail goes to these domains' hosts: the smarthost sees to it",
                "set smarthost_tls for the way to the smarthost",
            );
        }
    }

    /// `[[delivery.rule]]`.
    pub(super) fn rules(&mut self) {
        let delivery = self.config.delivery.clone();
        for (n, rule) in delivery.rules.iter().enumerate() {
            let path = |key: &str| format!("delivery.rule[{n}].{key}");
            let broken = self.facts.is_broken(&path("recipients")) || self.facts.is_broken(&path("mx_hosts"));
            if rule.recipients.is_empty() && rule.mx_hosts.is_empty() && !broken {
                self.error(&path("name"), "this rule matches nothing", "give it recipients or mx_hosts");
            }
            if let Some(earlier) = delivery.rules[..n].iter().find(|earlier| is_shadowed(rule, earlier)) {
                let reason = format!("the rule {:?} above has the same patterns: this one never applies", earlier.name);
                self.warn(&path("name"), reason, "the first that matches applies: remove one, or move this one up");
            }
            if rule.connections_max.is_some_and(|n| n > delivery.connections_total) {
                let reason = format!("connections_total allows {} in all", delivery.connections_total);
                self.warn(&path("connections_max"), reason, "lower it, or raise connections_total");
            }
            if n + 1 == delivery.rules.len() && changes_nothing(rule) {
                let reason = "this rule sets neither speed nor way, and no rule stands below it: it changes nothing";
                self.warn(&path("name"), reason, "set connections_max, interval, fixed, smarthost or source_addresses");
            }
            self.rule_route(n, rule, delivery.mode);
            for address in &rule.source_addresses {
                let known = delivery.sources.iter().any(|source| source.address == *address);
                if !delivery.sources.is_empty() && !known {
                    let reason = format!("{address} is not among the addresses of [[delivery.source]]");
                    self.error(&path("source_addresses"), reason, "add a [[delivery.source]] for it, or correct it");
                } else if !known {
                    self.source_address(&path("source_addresses"), *address);
                }
            }
        }
    }

    /// Whether a rule can act in this mode.
    fn rule_route(&mut self, n: usize, rule: &Rule, mode: Mode) {
        let path = |key: &str| format!("delivery.rule[{n}].{key}");
        if let (Mode::Sandbox, Some(smarthost)) = (mode, &rule.smarthost) {
            let reason = format!("{smarthost} would not be used: in the sandbox nothing leaves this machine");
            self.error(&path("smarthost"), reason, "remove smarthost, or set another mode");
        }
        if rule.smarthost.is_some() && rule.recipients.is_empty() && !rule.mx_hosts.is_empty() {
            let reason = "a smarthost is chosen by the recipient's address, before any MX host is known";
            self.error(&path("smarthost"), reason, "name the domains in recipients");
        }
        if mode == Mode::Smarthost && rule.recipients.is_empty() && !rule.mx_hosts.is_empty() {
            let reason = "in smarthost mode no MX host is looked up: this rule never matches";
            self.warn(&path("mx_hosts"), reason, "name the domains in recipients");
        }
    }

    /// `[[delivery.response]]`.
    pub(super) fn responses(&mut self) {
        let responses = self.config.delivery.responses.clone();
        for (n, response) in responses.iter().enumerate() {
            let path = |key: &str| format!("delivery.response[{n}].{key}");
            let Response { replies, action, count, .. } = response;
            if replies.is_empty() && !self.facts.is_broken(&path("replies")) {
                self.error(&path("name"), "this rule matches no reply", "give it replies, such as '^421 .*too many'");
            }
            // What matches a text of no letters matches every text.
            if let Some(all) = replies.iter().find(|pattern| pattern.is_match("")) {
                let reason = format!("the pattern {:?} matches every reply", all.as_str());
                self.error(&path("replies"), reason, "name what is special about the reply");
            }
            if let Some(good) = replies.iter().find(|pattern| pattern.as_str().starts_with("^2")) {
                let reason = format!("{:?} can never match: only replies of 4yz and 5yz are looked at", good.as_str());
                self.warn(&path("replies"), reason, "write a pattern of a refusal");
            }
            if *action == ResponseAction::Fail && self.facts.gives(&path("duration")) {
                self.warn(&path("duration"), "it has no effect with action = \"fail\"", "remove it");
            }
            if *count == 1 && self.facts.gives(&path("within")) {
                self.warn(&path("within"), "it has no effect with count = 1", "set count, or remove within");
            }
        }
    }

    /// `[[delivery.priority.rule]]`.
    pub(super) fn priority_rules(&mut self) {
        for n in 0..self.config.delivery.priority.rules.len() {
            let rule = &self.config.delivery.priority.rules[n];
            let path = |key: &str| format!("delivery.priority.rule[{n}].{key}");
            let broken = ["senders", "recipients", "users"].iter().any(|key| self.facts.is_broken(&path(key)));
            if rule.senders.is_empty() && rule.recipients.is_empty() && rule.users.is_empty() && !broken {
                let reason = "this rule would give its class to all mail that says nothing";
                self.error(&path("class"), reason, "give it senders, recipients or users");
            }
        }
    }

    /// `[tls_report]`.
    pub(super) fn tls_report(&mut self) {
        let report = self.config.tls_report.clone();
        if report.contact.is_empty() && !report.organization.is_empty() {
            self.warn("tls_report.organization", "no report is sent: contact is empty", "set contact, or remove it");
        }
        if !report.contact.is_empty() && self.config.delivery.mode != Mode::Internet {
            self.warn(
                "tls_report.contact",
                "reports are about mail to MX hosts, and in this mode there is none",
                "remove it, or set mode = \"internet\" in [delivery]",
            );
        }
        let taken = &self.config.bounce;
        let reading = [("report_address", &taken.report_address), ("complaint_address", &taken.complaint_address)];
        let clash =
            reading.iter().find(|(_, other)| !report.address.is_empty() && same_address(other, &report.address));
        if let Some((key, _)) = clash {
            let reason = format!("this is the {key} of [bounce], too: what comes there could not be told apart");
            self.error("tls_report.address", reason, "give each its own address");
        }
    }

    /// `[dns]`.
    pub(super) fn dns(&mut self) {
        let (dns, delivery) = (self.config.dns.clone(), &self.config.delivery);
        let wants_dane = delivery.mode == Mode::Internet && delivery.dane && self.facts.gives("delivery.dane");
        if dns.servers.is_empty() {
            return;
        }
        let named = |address: &IpAddr| dns.servers.iter().any(|server| server.ip() == *address);
        if let Some(stranger) = dns.trusted.iter().find(|address| !named(address)) {
            let reason = format!("{stranger} is not among servers: it is never asked");
            self.warn("dns.trusted", reason, "add it to servers, or remove it");
        }
        let believed = |address: IpAddr| address.is_loopback() || dns.trusted.contains(&address);
        if wants_dane && !dns.servers.iter().any(|server| believed(server.ip())) {
            let reason = "DANE needs a resolver whose word on DNSSEC is believed, and none of [dns] servers is";
            self.warn("delivery.dane", reason, "run a validating resolver on this machine, or name one in trusted");
        }
    }
}

/// Mail of the warming address may leave by the other one, which is warm.
fn takes_overflow(warming: &Source, other: &Source) -> bool {
    let same_family = warming.address.is_ipv4() == other.address.is_ipv4();
    let same_users = other.users.is_empty() || warming.users.iter().any(|user| other.users.contains(user));
    other.warm_up_from.is_none() && same_family && same_users
}

/// One of these entries matches whatever `domain` stands for.
fn covers(entries: &[String], domain: &str) -> bool {
    let name = domain.strip_prefix('.').unwrap_or(domain);
    entries.iter().any(|entry| {
        entry == domain
            || entry.strip_prefix('.').is_some_and(|parent| {
                name == parent || name.strip_suffix(parent).is_some_and(|front| front.ends_with('.'))
            })
    })
}

/// Every pattern of a rule stands in an earlier one, too.
fn is_shadowed(rule: &Rule, earlier: &Rule) -> bool {
    let within = |patterns: &[Regex], others: &[Regex]| {
        patterns.iter().all(|pattern| others.iter().any(|other| other.as_str() == pattern.as_str()))
    };
    let has_some = !rule.recipients.is_empty() || !rule.mx_hosts.is_empty();
    has_some && within(&rule.recipients, &earlier.recipients) && within(&rule.mx_hosts, &earlier.mx_hosts)
}

/// It leaves everything as it is; above others it still keeps its recipients from them.
fn changes_nothing(rule: &Rule) -> bool {
    let Rule { connections_max, interval, fixed, smarthost, source_addresses, .. } = rule;
    connections_max.is_none() && interval.is_zero() && !fixed && smarthost.is_none() && source_addresses.is_empty()
}

fn same_address(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}
