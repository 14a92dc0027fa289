//! The typed config, second part: where mail goes, whose it is, and what its errors lead to.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use crate::{event::Class, secret::Secret};

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
    /// Local addresses to send from.
    pub source_addresses: Vec<IpAddr>,
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
            tls: TlsPolicy::Opportunistic,
            dane: true,
            mta_sts: true,
            block_private_destinations: true,
            priority: Priority::default(),
            rules: Vec::new(),
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
}

impl Default for Priority {
    fn default() -> Self {
        Priority { header: "X-Priority-Class".into(), strip: false, low_share_percent: 10, default: Class::Normal }
    }
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
}

/// The form of our return addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReturnForm {
    /// VERP with a keyed token.
    #[default]
    Token,
    /// CMC's form: the local part is kept.
    KeepLocal,
}

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
    /// `[suppression.thresholds]`.
    pub thresholds: Thresholds,
}

/// `[suppression.thresholds]`: errors of a class within the window; 0: never.
#[derive(Clone, Debug)]
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
