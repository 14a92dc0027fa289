//! The typed config, third part: how long things are kept, who may look, and how the daemon talks about itself.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use regex::Regex;

use crate::secret::Secret;

/// `[retention]` (R13).
#[derive(Clone, Debug)]
pub struct Retention {
    /// Delivery log.
    pub delivery_log: Duration,
    /// Error log.
    pub error_log: Duration,
    /// Login and operation log.
    pub audit_log: Duration,
    /// DMARC reports.
    pub dmarc: Duration,
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
            dmarc: days(396),
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
    /// Of a console session, however much it is used.
    pub session_lifetime: Duration,
    /// A console session that nobody used for so long has ended.
    pub session_idle: Duration,
    /// `allowed_ips`; empty lists are open.
    pub allowed_ips: AllowedIps,
}

impl Default for Accounts {
    fn default() -> Self {
        Accounts {
            users_max: 10,
            failed_logins_max: 10,
            session_lifetime: Duration::from_secs(12 * 3600),
            session_idle: Duration::from_secs(3600),
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
    /// The only peers whose X-Forwarded-For is believed; away from loopback and without TLS, the only ones that are served.
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
    /// How recipients reach it; no slash at its end.
    pub public_url: String,
    /// TLS with the certificate of `[tls]`.
    pub tls: bool,
    /// The only peers whose X-Forwarded-For is believed.
    pub proxy_networks: Vec<IpNet>,
    /// The daily time, in minutes after midnight, from which who left is not written to; `None`: at once.
    pub run_at_minute: Option<u16>,
    /// `[[unsubscribe.filter]]`; the first that matches names the list.
    pub filters: Vec<UnsubscribeFilter>,
}

/// One `[[unsubscribe.filter]]`: which mail is of which list.
#[derive(Clone, Debug, Default)]
pub struct UnsubscribeFilter {
    /// The list's name: who leaves, leaves this name.
    pub name: String,
    /// The header field that it looks at.
    pub header: String,
    /// What a value of that field must be.
    pub pattern: ValuePattern,
}

/// What a header field's decoded value must be, upper and lower case alike.
#[derive(Clone, Debug)]
pub enum ValuePattern {
    /// The whole value.
    Exact(String),
    /// Written between slashes: found in the value.
    Regex(Regex),
}

impl Default for ValuePattern {
    fn default() -> Self {
        ValuePattern::Exact(String::new())
    }
}

impl ValuePattern {
    /// Whether a decoded value, without blanks at its ends, is meant.
    pub fn matches(&self, value: &str) -> bool {
        let lower = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<String>();
        match self {
            ValuePattern::Exact(text) if text.is_ascii() => text.eq_ignore_ascii_case(value),
            ValuePattern::Exact(text) => lower(text) == lower(value),
            ValuePattern::Regex(regex) => regex.is_match(value),
        }
    }
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
    /// Signs the body with HMAC-SHA256; several, divided by blanks, each make a signature.
    pub signing_key: Secret<String>,
    /// The zone of the dates; empty: `[server] time_zone`.
    pub time_zone: String,
    /// The numbers of the events go along, as `event_ids`.
    pub event_ids: bool,
    /// How long one post may take.
    pub timeout: Duration,
    /// How long what fails is tried again before it is set aside.
    pub retry_for: Duration,
    /// The host may have a private address.
    pub allow_private: bool,
}

impl Default for Webhook {
    fn default() -> Self {
        Webhook {
            name: String::new(),
            url: String::new(),
            events: super::WEBHOOK_EVENTS
                .iter()
                .map(|(word, _)| (*word).to_owned())
                .filter(|word| word != "domain")
                .collect(),
            form: false,
            version: 2,
            interval: Duration::from_secs(1),
            batch_max: 100,
            api_key: Secret::default(),
            signing_key: Secret::default(),
            time_zone: String::new(),
            event_ids: false,
            timeout: Duration::from_secs(15),
            retry_for: Duration::from_secs(3 * 86_400),
            allow_private: false,
        }
    }
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

impl From<&Log> for crate::journal::Settings {
    fn from(log: &Log) -> Self {
        crate::journal::Settings { json: log.json, level: log.level.into() }
    }
}

impl From<LogLevel> for log::LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => log::LevelFilter::Error,
            LogLevel::Warn => log::LevelFilter::Warn,
            LogLevel::Info => log::LevelFilter::Info,
            LogLevel::Debug => log::LevelFilter::Debug,
            LogLevel::Trace => log::LevelFilter::Trace,
        }
    }
}

/// `[dns]`.
#[derive(Clone, Debug, Default)]
pub struct Dns {
    /// Resolvers; empty: /etc/resolv.conf.
    pub servers: Vec<SocketAddr>,
    /// Validating resolvers whose AD bit is believed.
    pub trusted: Vec<IpAddr>,
}
