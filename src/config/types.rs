//! The typed config: the file's shape, with its defaults. `config.example.toml` says the same in words, and a test compares them.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use ipnet::IpNet;

use super::{
    Accounts, Bounce, Delivery, Dkim, Dmarc, Dns, Domain, DomainCheck, EnvelopeFrom, Forward, Http, InboundWebhook,
    Log, Retention, Suppression, TlsReport, Unsubscribe, Webhook, lines::Origin,
};
use crate::mail::watched::Watch;

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
    /// `[dkim]`.
    pub dkim: Dkim,
    /// `[domain_check]`.
    pub domain_check: DomainCheck,
    /// `[dmarc]`.
    pub dmarc: Dmarc,
    /// `[bounce]`.
    pub bounce: Bounce,
    /// `[[forward]]`; of those that rewrite, the first that matches counts.
    pub forwards: Vec<Forward>,
    /// `[suppression]`.
    pub suppression: Suppression,
    /// `[tls_report]`.
    pub tls_report: TlsReport,
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
    /// The header fields that filters look at: no key, [`super::InForce`] gathers them of the filters.
    pub watch: Watch,
    /// Where it was read: no key.
    pub origin: Arc<Origin>,
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

impl Default for Listener {
    fn default() -> Self {
        Listener {
            address: SocketAddr::from(([127, 0, 0, 1], 2525)),
            role: Role::default(),
            tls: ListenerTls::default(),
            proxy_protocol: false,
            proxy_networks: Vec::new(),
        }
    }
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

pub use crate::mail::trace::ReceivedForm as ReceivedHeader;

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
    /// Addresses, and domains (`@example.jp`), whose mail is taken, and passed on by `[[forward]]` or posted by
    /// `[[inbound.webhook]]`.
    pub addresses: Vec<String>,
    /// `[[inbound.webhook]]`; each that names an address gets its mail.
    pub webhooks: Vec<InboundWebhook>,
}

impl Default for Inbound {
    fn default() -> Self {
        Inbound {
            sessions_max: 100,
            message_size_max: 20 * MIB,
            receive_interval: Duration::ZERO,
            addresses: Vec::new(),
            webhooks: Vec::new(),
        }
    }
}

/// `[queue]`.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Delays after the first, second … failed try; the last repeats.
    pub retry_schedule: Vec<Duration>,
    /// How long a message may wait in all.
    pub lifetime: Duration,
    /// The same for the class high; zero: as `lifetime`.
    pub lifetime_high: Duration,
    /// The same for the class low; zero: as `lifetime`.
    pub lifetime_low: Duration,
    /// How far ahead a submitter may ask for delivery (FUTURERELEASE, RFC 4865); zero: not offered.
    pub future_release_max: Duration,
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
            lifetime_high: Duration::ZERO,
            lifetime_low: Duration::ZERO,
            future_release_max: Duration::from_secs(30 * 86_400),
            delay_notice_after: Duration::ZERO,
            disk_free_min: 256 * MIB,
        }
    }
}

impl Queue {
    /// How long a message of this class may wait.
    pub fn lifetime_of(&self, class: crate::event::Class) -> Duration {
        let own = match class {
            crate::event::Class::High => self.lifetime_high,
            crate::event::Class::Normal => Duration::ZERO,
            crate::event::Class::Low => self.lifetime_low,
        };
        if own.is_zero() { self.lifetime } else { own }
    }
}
