//! The typed config, part of what comes in: forwarding filters, webhooks for mail, and which addresses and domains are ours.
//!
//! In: the config, an address or a domain.  Out: whether it is one of ours.
//! Always: upper and lower case are alike, in local parts too: the addresses that we name here are our own, and senders of reports
//! fold them; nothing here reads a table or a key.
//! Sources: cmc.md §12.1 and §12.5, RFC 5321 §4.5.1 (postmaster in any case of letters).

use std::time::Duration;

use regex::Regex;

use super::Config;
use crate::{secret::Secret, smtp::address::Mailbox};

/// Which mail a `[[forward]]` looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ForwardSide {
    /// Mail that is submitted to be delivered.
    #[default]
    Relay,
    /// Mail that comes in: to `[inbound] addresses`, and bounces.
    Inbound,
}

/// What a `[[forward]]` does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ForwardMode {
    /// Its address gets the mail as well.
    #[default]
    Copy,
    /// Its address gets the mail instead.
    Rewrite,
}

impl ForwardMode {
    /// The word in config and logs.
    pub fn word(self) -> &'static str {
        match self {
            ForwardMode::Copy => "copy",
            ForwardMode::Rewrite => "rewrite",
        }
    }
}

/// One `[[forward]]`.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Its name in logs.
    pub name: String,
    /// Which mail it looks at.
    pub side: ForwardSide,
    /// The header field that it looks at.
    pub header: String,
    /// What must be found in the field's decoded value.
    pub pattern: Regex,
    /// Who gets the mail.
    pub to: String,
    /// As well, or instead.
    pub mode: ForwardMode,
}

impl Default for Forward {
    fn default() -> Self {
        Forward {
            name: String::new(),
            side: ForwardSide::default(),
            header: String::new(),
            pattern: Regex::new(r"[^\s\S]").expect("a class that holds no letter is a pattern"),
            to: String::new(),
            mode: ForwardMode::default(),
        }
    }
}

/// One `[[inbound.webhook]]`.
#[derive(Clone, Debug)]
pub struct InboundWebhook {
    /// Its name: CMC's `filter` in each post, and the destination in logs.
    pub name: String,
    /// Patterns of the addresses whose mail it posts; empty: every address of `[inbound] addresses`.
    pub addresses: Vec<Regex>,
    /// Where it posts.
    pub url: String,
    /// multipart/form-data, attachments included, instead of JSON, without them.
    pub multipart: bool,
    /// Sent along.
    pub api_key: Secret<String>,
    /// Signs the body with HMAC-SHA256.
    pub signing_key: Secret<String>,
    /// It may be at a private address.
    pub allow_private: bool,
    /// How long one post may take, from look-up to answer.
    pub timeout: Duration,
    /// Posts at once.
    pub connections_max: usize,
}

impl Default for InboundWebhook {
    fn default() -> Self {
        InboundWebhook {
            name: String::new(),
            addresses: Vec::new(),
            url: String::new(),
            multipart: false,
            api_key: Secret::default(),
            signing_key: Secret::default(),
            allow_private: false,
            timeout: Duration::from_secs(30),
            connections_max: 4,
        }
    }
}

impl InboundWebhook {
    /// Its URL for logs and screens: without a query, which may hold a secret.
    pub fn url_shown(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }

    /// It posts mail to this address, which is one of `[inbound] addresses`.
    pub fn takes(&self, address: &Mailbox) -> bool {
        self.addresses.is_empty() || self.addresses.iter().any(|pattern| pattern.is_match(address.as_str()))
    }
}

/// How `[inbound] addresses` names an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Named {
    /// In full.
    Address,
    /// By its domain.
    Domain,
}

/// The local parts that every domain which takes mail has (RFC 5321 §4.5.1, RFC 2142 §2 and §4).
pub const ROLES: [&str; 2] = ["postmaster", "abuse"];

impl Config {
    /// Return addresses of ours are at this domain.
    pub fn is_return_domain(&self, domain: &str) -> bool {
        self.return_domains().any(|ours| alike(ours, domain))
    }

    /// The domains of our return addresses; some may be there twice.
    fn return_domains(&self) -> impl Iterator<Item = &str> {
        let own = self.domains.iter().map(|d| d.return_domain.as_str());
        let more = self.bounce.domains.iter().map(String::as_str);
        std::iter::once(self.envelope_from.return_domain.as_str()).chain(own).chain(more).filter(|d| !d.is_empty())
    }

    /// How `[inbound] addresses` names this address, if it does.
    pub fn inbound_address(&self, address: &Mailbox) -> Option<Named> {
        let list = &self.inbound.addresses;
        if list.iter().any(|one| same_address(one, address)) {
            return Some(Named::Address);
        }
        let by_domain = |one: &String| one.strip_prefix('@').is_some_and(|domain| alike(domain, address.domain()));
        list.iter().any(by_domain).then_some(Named::Domain)
    }

    /// Some `[[inbound.webhook]]` posts mail to this address, which is one of `[inbound] addresses`.
    pub fn is_posted(&self, address: &Mailbox) -> bool {
        self.inbound.webhooks.iter().any(|hook| hook.takes(address))
    }

    /// An inbound listener takes mail for some address of this domain.
    pub fn is_accepted_domain(&self, domain: &str) -> bool {
        let addresses = [&self.tls_report.address, &self.bounce.complaint_address, &self.bounce.report_address];
        let at = |address: &str| address.rsplit_once('@').is_some_and(|(_, own)| alike(own, domain));
        alike(&self.server.hostname, domain)
            || self.is_return_domain(domain)
            || addresses.into_iter().chain(&self.inbound.addresses).any(|address| at(address))
    }

    /// An inbound listener may take mail for this address: what is forwarded there would come back.
    pub fn may_take(&self, address: &Mailbox) -> bool {
        let own = [&self.tls_report.address, &self.bounce.complaint_address, &self.bounce.report_address];
        let is_role = ROLES.iter().any(|role| address.local().eq_ignore_ascii_case(role));
        own.into_iter().any(|one| same_address(one, address))
            || self.inbound_address(address).is_some()
            || self.is_return_domain(address.domain())
            || (is_role && self.is_accepted_domain(address.domain()))
    }
}

/// A configured address is this one; empty: it is none.
pub fn same_address(configured: &str, address: &Mailbox) -> bool {
    configured
        .rsplit_once('@')
        .is_some_and(|(local, domain)| alike(local, address.local()) && alike(domain, address.domain()))
}

/// The same text, upper and lower case alike.
pub fn alike(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || (!a.is_ascii() && a.to_lowercase() == b.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Domain;

    #[test]
    fn what_is_ours_is_known_in_any_case_of_letters() {
        let mut config = Config::default();
        config.server.hostname = "relay.example.jp".into();
        config.envelope_from.return_domain = "return.relay.example.jp".into();
        config.domains.push(Domain { return_domain: "bounce.example.jp".into(), ..Domain::default() });
        config.bounce.domains = vec!["old.example.jp".into()];
        config.bounce.complaint_address = "fbl@reports.example.jp".into();
        config.inbound.addresses = vec!["info@in.example.jp".into(), "@all.example.jp".into()];
        for (domain, returns, accepted) in [
            ("RETURN.relay.example.jp", true, true),
            ("bounce.example.jp", true, true),
            ("old.example.jp", true, true),
            ("relay.example.jp", false, true),
            ("reports.example.jp", false, true),
            ("in.example.jp", false, true),
            ("ALL.example.jp", false, true),
            ("example.jp", false, false),
            ("sub.bounce.example.jp", false, false),
            ("", false, false),
        ] {
            assert_eq!(
                (config.is_return_domain(domain), config.is_accepted_domain(domain)),
                (returns, accepted),
                "{domain}"
            );
        }
        for (address, named, may_take) in [
            ("INFO@in.example.jp", Some(Named::Address), true),
            ("x@all.example.jp", Some(Named::Domain), true),
            ("x@in.example.jp", None, false),
            ("Abuse@in.example.jp", None, true),
            ("abuse@example.jp", None, false),
            ("FBL@reports.example.jp", None, true),
            ("x@bounce.example.jp", None, true),
        ] {
            let address = Mailbox::parse(address).expect("an address");
            assert_eq!((config.inbound_address(&address), config.may_take(&address)), (named, may_take), "{address}");
        }
    }
}
