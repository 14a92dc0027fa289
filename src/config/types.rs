//! The typed config: the file's shape, with its defaults. `config.example.toml` says the same in words, and a test compares them.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;

use crate::{event::Class, secret::Secret};

/// One mebibyte.
pub const MIB: u64 = 1 << 20;

/// Everything the config file says.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `[server]`.
    pub server: Server,
    /// `[[listener]]`; never empty after reading: none means one relay listener on 127.0.0.1:2525.
    pub listeners: Vec<Listener>,
    /// `[tls]`.
    pub tls: Tls,
    /// `[relay]`.
    pub relay: Relay,
    /// `[inbound]`.
    pub inbound: Inbound,
    /// `[queue]`.
    pub queue: Queue,
    /// `[delivery]`.
    pub delivery: Delivery,
    /// `[envelope_from]`.
    pub envelope_from: EnvelopeFrom,
    /// `[[domain]]`.
    pub domains: Vec<Domain>,
    /// `[bounce]`.
    pub bounce: Bounce,
    /// `[suppression]`.
    pub suppression: Suppression,
    /// `[retention]`.
    pub retention: Retention,
    /// `[accounts]`.
    pub accounts: Accounts,
    /// `[http]`.
    pub http: Http,
    /// `[unsubscribe]`.
    pub unsubscribe: Unsubscribe,
    /// `[[webhook]]`.
    pub webhooks: Vec<Webhook>,
    /// `[log]`.
    pub log: Log,
    /// `[dns]`.
    pub dns: Dns,
}

/// `[server]`: who this machine is.
#[derive(Clone, Debug)]
pub struct Server {
    /// EHLO name; default: the machine's name.
    pub hostname: String,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// CMC's "server composition".
    pub composition: String,
    /// Where postmaster@ and abuse@ mail goes; empty: nowhere.
    pub postmaster: String,
    /// IANA zone name for screens, CSV and API dates.
    pub time_zone: String,
    /// Executor threads; 0 chooses.
    pub threads: usize,
    /// How long a drain may take.
    pub drain_timeout: Duration,
    /// Bytes of bodies, tickets and session buffers in RAM.
    pub memory_limit: u64,
}

impl Default for Server {
    fn default() -> Self {
        Server {
            hostname: "localhost".into(),
            data_dir: "/var/lib/hikyaku".into(),
            composition: "main".into(),
            postmaster: String::new(),
            time_zone: "Asia/Tokyo".into(),
            threads: 0,
            drain_timeout: Duration::from_secs(15),
            memory_limit: 512 * MIB,
        }
    }
}

/// What a listener takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Role {
    /// Mail to deliver.
    #[default]
    Relay,
    /// Bounces and reports only.
    Inbound,
}

/// TLS on a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ListenerTls {
    /// Clear text only.
    #[default]
    None,
    /// STARTTLS is offered.
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Implicit,
}

/// One `[[listener]]`.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Address and port.
    pub address: SocketAddr,
    /// What it takes.
    pub role: Role,
    /// TLS.
    pub tls: ListenerTls,
    /// A PROXY v1/v2 header comes first.
    pub proxy_protocol: bool,
    /// The only peers whose PROXY header is believed.
    pub proxy_networks: Vec<IpNet>,
}

/// `[tls]`.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// PEM chain; `None` when no listener needs one.
    pub certificate: Option<PathBuf>,
    /// PEM key.
    pub private_key: Option<PathBuf>,
}

/// Who may relay.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RelayPolicy {
    /// An allowed network, or SMTP AUTH.
    #[default]
    NetworkOrAuth,
    /// An allowed network; AUTH is optional.
    Network,
    /// SMTP AUTH, from anywhere.
    Auth,
    /// Both.
    NetworkAndAuth,
}

/// The Received field that we add.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReceivedHeader {
    /// Without the client's address.
    #[default]
    Abbreviated,
    /// In full.
    Normal,
    /// None.
    None,
    /// None, and those that came are removed.
    DeleteAll,
}

/// What a bare LF or CR in content does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BareNewline {
    /// 550 5.5.2, then close.
    #[default]
    Refuse,
    /// Made CRLF, for `[relay].networks` only.
    Normalize,
}

/// `[relay]`.
#[derive(Clone, Debug)]
pub struct Relay {
    /// Networks that may relay under the policy.
    pub networks: Vec<IpNet>,
    /// Who may relay.
    pub policy: RelayPolicy,
    /// Sessions at once on relay listeners.
    pub sessions_max: usize,
    /// Sessions at once of one address; 0: `sessions_max`.
    pub sessions_per_address_max: usize,
    /// Least time between two accepted messages of a session.
    pub receive_interval: Duration,
    /// Octets of a message.
    pub message_size_max: u64,
    /// Recipients of a message.
    pub recipients_max: usize,
    /// The Received field.
    pub received_header: ReceivedHeader,
    /// A missing Date and Message-ID are added.
    pub add_missing_headers: bool,
    /// Bare LF and CR.
    pub bare_newline: BareNewline,
    /// Header From must be of a `[[domain]]`.
    pub sender_domains_only: bool,
}

impl Default for Relay {
    fn default() -> Self {
        Relay {
            networks: ["127.0.0.0/8", "::1/128"].iter().filter_map(|n| n.parse().ok()).collect(),
            policy: RelayPolicy::default(),
            sessions_max: 1000,
            sessions_per_address_max: 0,
            receive_interval: Duration::ZERO,
            message_size_max: 20 * MIB,
            recipients_max: 1000,
            received_header: ReceivedHeader::default(),
            add_missing_headers: true,
            bare_newline: BareNewline::default(),
            sender_domains_only: false,
        }
    }
}

/// `[inbound]`.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// Sessions at once on inbound listeners.
    pub sessions_max: usize,
    /// Octets of a message.
    pub message_size_max: u64,
    /// Least time between two accepted messages of a session.
    pub receive_interval: Duration,
}

impl Default for Inbound {
    fn default() -> Self {
        Inbound { sessions_max: 100, message_size_max: 20 * MIB, receive_interval: Duration::ZERO }
    }
}

/// `[queue]`.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Delays after the first, second … failed try; the last repeats.
    pub retry_schedule: Vec<Duration>,
    /// How long a message may wait in all.
    pub lifetime: Duration,
    /// When a delay notice goes out by itself; zero: never.
    pub delay_notice_after: Duration,
    /// Bytes that stay free on the disk.
    pub disk_free_min: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Queue {
            retry_schedule: [60, 300, 900, 1800, 3600, 7200, 14_400].map(Duration::from_secs).to_vec(),
            lifetime: Duration::from_secs(4 * 86_400),
            delay_notice_after: Duration::ZERO,
            disk_free_min: 256 * MIB,
        }
    }
}

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
#[derive(Clone, Debug)]
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

/// `[retention]` (R13).
#[derive(Clone, Debug)]
pub struct Retention {
    /// Delivery log.
    pub delivery_log: Duration,
    /// Error log.
    pub error_log: Duration,
    /// Login and operation log.
    pub audit_log: Duration,
    /// Where pruned rows are written as gzip CSV; `None`: nowhere.
    pub archive_dir: Option<PathBuf>,
    /// How long bodies of finished messages stay.
    pub message_bodies: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let days = |n: u64| Duration::from_secs(n * 86_400);
        Retention {
            delivery_log: days(40),
            error_log: days(40),
            audit_log: days(90),
            archive_dir: None,
            message_bodies: Duration::ZERO,
        }
    }
}

/// `[accounts]`.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// R16.
    pub users_max: usize,
    /// R15.
    pub failed_logins_max: u32,
    /// Of a console session.
    pub session_lifetime: Duration,
    /// `allowed_ips`; empty lists are open.
    pub allowed_ips: AllowedIps,
}

impl Default for Accounts {
    fn default() -> Self {
        Accounts {
            users_max: 10,
            failed_logins_max: 10,
            session_lifetime: Duration::from_secs(12 * 3600),
            allowed_ips: AllowedIps::default(),
        }
    }
}

/// `accounts.allowed_ips`.
#[derive(Clone, Debug, Default)]
pub struct AllowedIps {
    /// The console's.
    pub console: Vec<IpNet>,
    /// The API's.
    pub api: Vec<IpNet>,
    /// SMTP submission with AUTH.
    pub submit: Vec<IpNet>,
}

/// `[http]`.
#[derive(Clone, Debug)]
pub struct Http {
    /// Address of the page, API and machine endpoints.
    pub address: SocketAddr,
    /// TLS with the certificate of `[tls]`.
    pub tls: bool,
    /// The only peers whose X-Forwarded-For is believed.
    pub proxy_networks: Vec<IpNet>,
    /// How browsers reach it.
    pub public_url: String,
}

impl Default for Http {
    fn default() -> Self {
        Http {
            address: SocketAddr::from(([127, 0, 0, 1], 8025)),
            tls: false,
            proxy_networks: Vec::new(),
            public_url: "http://127.0.0.1:8025".into(),
        }
    }
}

/// `[unsubscribe]`.
#[derive(Clone, Debug, Default)]
pub struct Unsubscribe {
    /// A listener of its own; `None`: off.
    pub address: Option<SocketAddr>,
    /// How recipients reach it.
    pub public_url: String,
}

/// One `[[webhook]]`.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its name in logs.
    pub name: String,
    /// Where it posts.
    pub url: String,
    /// Which events it posts.
    pub events: Vec<String>,
    /// `form` instead of `json`.
    pub form: bool,
    /// CMC's payload version, 1 or 2.
    pub version: u8,
    /// Least time between two posts.
    pub interval: Duration,
    /// Events in one post.
    pub batch_max: usize,
    /// Sent along.
    pub api_key: Secret<String>,
    /// Signs the body with HMAC-SHA256.
    pub signing_key: Secret<String>,
}

/// The daemon's own log, to stderr.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// JSON lines instead of text.
    pub json: bool,
    /// error · warn · info · debug · trace.
    pub level: LogLevel,
}

/// `log.level`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// `[dns]`.
#[derive(Clone, Debug, Default)]
pub struct Dns {
    /// Resolvers; empty: /etc/resolv.conf.
    pub servers: Vec<SocketAddr>,
    /// Validating resolvers whose AD bit is believed.
    pub trusted: Vec<IpAddr>,
}
