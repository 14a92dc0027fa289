//! The typed config, second part: where mail goes, whose it is, and what its errors lead to.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use crate::{dkim::key::SigningKey, event::Class, secret::Secret};

/// Where mail goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// To the MX hosts.
    #[default]
    Internet,
    /// To one host.
    Smarthost,
    /// To the built-in sandbox: nothing leaves the machine.
    Sandbox,
}

/// TLS towards a destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsPolicy {
    /// Never.
    None,
    /// Where the peer offers it; its certificate is not checked.
    Opportunistic,
    /// Always, certificate not checked.
    Require,
    /// Always, with a certificate that matches the host's name.
    Verify,
}

/// A tri-state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ipv6 {
    /// Where our source address has forward-confirmed reverse DNS.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// A host and port.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HostPort {
    /// Name, address, or address in brackets (stored without them).
    pub host: String,
    /// Port.
    pub port: u16,
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// `[delivery]`.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Where mail goes.
    pub mode: Mode,
    /// The smarthost; set exactly when the mode is smarthost.
    pub smarthost: Option<HostPort>,
    /// Its login; empty: none.
    pub smarthost_user: String,
    /// The file that holds its password (read at start and reload).
    pub smarthost_password_file: Option<PathBuf>,
    /// What that file said.
    pub smarthost_password: Option<Secret<String>>,
    /// TLS towards it.
    pub smarthost_tls: TlsPolicy,
    /// Whether internet mail leaves by IPv6.
    pub ipv6: Ipv6,
    /// 8-bit mail is re-encoded for a peer without 8BITMIME.
    pub downgrade_8bit: bool,
    /// Connections at once in all.
    pub connections_total: usize,
    /// Remote port of MX hosts.
    pub port: u16,
    /// Connections at once to one destination.
    pub connections_per_destination: usize,
    /// Messages over one connection.
    pub messages_per_connection: usize,
    /// Local addresses to send from: the short form of `[[delivery.source]]`, all of one weight.
    pub source_addresses: Vec<IpAddr>,
    /// `[[delivery.source]]`.
    pub sources: Vec<Source>,
    /// `[delivery.warm_up]`.
    pub warm_up: WarmUp,
    /// TLS towards MX hosts.
    pub tls: TlsPolicy,
    /// DANE applies on top.
    pub dane: bool,
    /// MTA-STS applies on top.
    pub mta_sts: bool,
    /// Private and loopback MX hosts are refused.
    pub block_private_destinations: bool,
    /// `[delivery.priority]`.
    pub priority: Priority,
    /// `[[delivery.rule]]`.
    pub rules: Vec<Rule>,
    /// `[[delivery.response]]`; the first that matches applies, before the built-in ones.
    pub responses: Vec<Response>,
    /// The built-in response rules apply after the configured ones.
    pub response_defaults: bool,
    /// `[[delivery.tls_policy]]`; the first that matches applies.
    pub tls_policies: Vec<DomainTls>,
}

impl Default for Delivery {
    fn default() -> Self {
        Delivery {
            mode: Mode::default(),
            smarthost: None,
            smarthost_user: String::new(),
            smarthost_password_file: None,
            smarthost_password: None,
            smarthost_tls: TlsPolicy::Verify,
            ipv6: Ipv6::default(),
            downgrade_8bit: false,
            connections_total: 2000,
            port: 25,
            connections_per_destination: 20,
            messages_per_connection: 100,
            source_addresses: Vec::new(),
            sources: Vec::new(),
            warm_up: WarmUp::default(),
            tls: TlsPolicy::Opportunistic,
            dane: true,
            mta_sts: true,
            block_private_destinations: true,
            priority: Priority::default(),
            rules: Vec::new(),
            responses: Vec::new(),
            response_defaults: true,
            tls_policies: Vec::new(),
        }
    }
}

/// `[delivery.priority]`.
#[derive(Clone, Debug)]
pub struct Priority {
    /// The header that names a message's class.
    pub header: String,
    /// It is removed before delivery.
    pub strip: bool,
    /// What the low class is guaranteed at a busy destination, in percent.
    pub low_share_percent: u8,
    /// The class of mail that says nothing.
    pub default: Class,
    /// `[[delivery.priority.rule]]`; the first that matches names the class of mail that says nothing itself.
    pub rules: Vec<PriorityRule>,
}

impl Default for Priority {
    fn default() -> Self {
        Priority {
            header: "X-Priority-Class".into(),
            strip: false,
            low_share_percent: 10,
            default: Class::Normal,
            rules: Vec::new(),
        }
    }
}

/// One `[[delivery.priority.rule]]`: every list that is given must match.
#[derive(Clone, Debug, Default)]
pub struct PriorityRule {
    /// The class that it gives.
    pub class: Class,
    /// Patterns on the envelope sender.
    pub senders: Vec<regex::Regex>,
    /// Patterns of which one must match every recipient.
    pub recipients: Vec<regex::Regex>,
    /// API users, exactly.
    pub users: Vec<String>,
}

/// One `[[delivery.source]]`: a local address to send from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// The address.
    pub address: IpAddr,
    /// Its share of the traffic, against the weights of the others.
    pub weight: u32,
    /// Its EHLO name; empty: `[server] hostname`.
    pub hostname: String,
    /// The API users whose mail leaves by it alone; empty: everybody's.
    pub users: Vec<String>,
    /// The first day of its warm-up (UTC), in days since 1970; `None`: it is warm.
    pub warm_up_from: Option<u32>,
}

impl Default for Source {
    fn default() -> Self {
        Source {
            address: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            weight: 100,
            hostname: String::new(),
            users: Vec::new(),
            warm_up_from: None,
        }
    }
}

/// `[delivery.warm_up]`: how a new source address grows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WarmUp {
    /// Recipients a provider on each day, from the first; after the last the address is warm.
    pub schedule: Vec<u64>,
    /// The caps hold even where no warm address is left to take the overflow: mail then waits.
    pub alone: bool,
}

impl Default for WarmUp {
    fn default() -> Self {
        let schedule = vec![
            50, 100, 200, 400, 800, 1_500, 3_000, 5_000, 10_000, 20_000, 40_000, 70_000, 100_000, 150_000, 250_000,
        ];
        WarmUp { schedule, alone: false }
    }
}

/// What a `[[delivery.response]]` does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ResponseAction {
    /// Nothing more is sent to the site for a while.
    #[default]
    Pause,
    /// Half the connections, for a while.
    Slow,
    /// The recipient fails at once.
    Fail,
}

/// One `[[delivery.response]]`: what a reply means beyond its code.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its name in logs and `explain`.
    pub name: String,
    /// Patterns on the reply as it is logged: code, enhanced code, text.
    pub replies: Vec<regex::Regex>,
    /// Patterns on the recipient's domain or the MX host; empty: everywhere.
    pub destinations: Vec<regex::Regex>,
    /// What it does.
    pub action: ResponseAction,
    /// For how long.
    pub duration: Duration,
    /// It acts once it was seen this often …
    pub count: u32,
    /// … within this time.
    pub within: Duration,
}

impl Default for Response {
    fn default() -> Self {
        Response {
            name: String::new(),
            replies: Vec::new(),
            destinations: Vec::new(),
            action: ResponseAction::default(),
            duration: Duration::from_secs(600),
            count: 1,
            within: Duration::from_secs(60),
        }
    }
}

/// One `[[delivery.tls_policy]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DomainTls {
    /// Recipient domains; a leading dot means the subdomains too.
    pub domains: Vec<String>,
    /// The policy towards them: what MTA-STS or DANE ask for on top still counts.
    pub policy: TlsPolicy,
}

impl Default for DomainTls {
    fn default() -> Self {
        DomainTls { domains: Vec::new(), policy: TlsPolicy::Verify }
    }
}

/// `[tls_report]` (RFC 8460).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsReport {
    /// Who answers questions about our reports, and their sender; empty: no reports are sent.
    pub contact: String,
    /// The organisation that they name; empty: the host's name.
    pub organization: String,
    /// Where reports about our own domains come in; empty: nowhere.
    pub address: String,
}

/// One `[[delivery.rule]]`.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Its name in logs and `explain`.
    pub name: String,
    /// Patterns on the address …
    pub recipients: Vec<regex::Regex>,
    /// … or on the MX host's name.
    pub mx_hosts: Vec<regex::Regex>,
    /// Connections at once; `None`: the general limit.
    pub connections_max: Option<usize>,
    /// Least time between two messages.
    pub interval: Duration,
    /// The speed stays when the destination pushes back.
    pub fixed: bool,
    /// A smarthost for these recipients.
    pub smarthost: Option<HostPort>,
    /// Local addresses for these recipients.
    pub source_addresses: Vec<IpAddr>,
}

/// `[envelope_from]` (R3).
#[derive(Clone, Debug, Default)]
pub struct EnvelopeFrom {
    /// The advanced setting.
    pub rewrite: bool,
    /// Its return domain; default `return.<hostname>`.
    pub return_domain: String,
}

/// One `[[domain]]`.
#[derive(Clone, Debug, Default)]
pub struct Domain {
    /// The sending domain.
    pub name: String,
    /// Its own rewrite setting (R3).
    pub envelope_from_rewrite: bool,
    /// Its return domain; default that of `[envelope_from]`.
    pub return_domain: String,
    /// `[[domain.dkim]]`.
    pub dkim: Vec<DkimKey>,
}

/// One `[[domain.dkim]]`.
#[derive(Clone, Debug, Default)]
pub struct DkimKey {
    /// The selector.
    pub selector: String,
    /// PEM file.
    pub private_key: PathBuf,
    /// The key in it; `None` where files were not looked at.
    pub key: Option<Arc<SigningKey>>,
}

pub use crate::bounce::envelope_from::ReturnForm;

/// `[bounce]`.
#[derive(Clone, Debug, Default)]
pub struct Bounce {
    /// R6.
    pub forward_to_sender: bool,
    /// The form of return addresses.
    pub return_form: ReturnForm,
    /// Where feedback loops send; empty: nowhere.
    pub complaint_address: String,
    /// Where DMARC reports come; empty: nowhere.
    pub report_address: String,
    /// Extra bounce domains.
    pub domains: Vec<String>,
}

/// `[suppression]`.
#[derive(Clone, Debug, Default)]
pub struct Suppression {
    /// Daily time of the run in minutes after midnight; `None`: immediately.
    pub run_at_minute: Option<u16>,
    /// Watch period; `None`: until lifted.
    pub watch: Option<Duration>,
    /// A suppressed recipient is refused at RCPT instead of accepted and logged.
    pub reject_on_submit: bool,
    /// Errors of an API user's mail suppress the address for that user alone.
    pub per_user: bool,
    /// `[suppression.brake]`.
    pub brake: Brake,
    /// `[suppression.thresholds]`.
    pub thresholds: Thresholds,
}

/// `[suppression.brake]`: when too many addresses of one destination fail at once, they are held instead of suppressed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Brake {
    /// It is on.
    pub enabled: bool,
    /// Unknown users among the last 64 results of a destination at least.
    pub errors_min: u32,
    /// Their share of those results at least, in percent.
    pub rate_min_percent: u32,
    /// How many times the destination's own past that share must be.
    pub factor: u32,
}

impl Default for Brake {
    fn default() -> Self {
        Brake { enabled: true, errors_min: 20, rate_min_percent: 50, factor: 5 }
    }
}

/// `[suppression.thresholds]`: errors of a class within the window; 0: never.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the names are CMC's classes
pub struct Thresholds {
    pub unknown_host: u32,
    pub unknown_user: u32,
    pub bad_address: u32,
    pub complaint: u32,
    pub over_capacity: u32,
    pub resend_timeout: u32,
    pub rejected: u32,
    pub forwarding_error: u32,
    pub receiving_server_error: u32,
    pub too_large: u32,
    pub other: u32,
    pub window: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds {
            unknown_host: 3,
            unknown_user: 1,
            bad_address: 1,
            complaint: 1,
            over_capacity: 5,
            resend_timeout: 0,
            rejected: 0,
            forwarding_error: 0,
            receiving_server_error: 0,
            too_large: 0,
            other: 0,
            window: Duration::from_secs(90 * 86_400),
        }
    }
}
