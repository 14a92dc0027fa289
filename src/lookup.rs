//! What the pure rooms ask of the DNS: records by name, without knowing who answers.
//!
//! In: names and addresses.  Out: an [`Answer`]: records, or why there are none, with what it is worth.
//! Always: who implements [`Lookup`] bounds time, tries and records (live: `net/dns`); a name that cannot be asked for is
//! [`DnsError::BadName`], never a panic.
//! Sources: RFC 1035, RFC 2308 (no such name, no such records), RFC 6698 §2.1, RFC 6840 §5.8 (AD).

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    pin::Pin,
    time::Duration,
};

#[cfg(test)]
pub mod fake;

/// Why there are no records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The name does not exist.
    #[error("NXDOMAIN")]
    NxDomain,
    /// The name exists, without such records.
    #[error("no such records")]
    NoData,
    /// The resolvers answered that they cannot tell.
    #[error("{0}")]
    Servfail(String),
    /// No resolver answered in time, or none can be reached.
    #[error("no resolver answered ({0})")]
    Timeout(String),
    /// The text is no domain name.
    #[error("not a domain name")]
    BadName,
}

impl DnsError {
    /// The DNS did not say: another time it may.
    pub fn is_temporary(&self) -> bool {
        match self {
            DnsError::Servfail(_) | DnsError::Timeout(_) => true,
            DnsError::NxDomain | DnsError::NoData | DnsError::BadName => false,
        }
    }
}

/// One MX record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MxRecord {
    /// Lower is better.
    pub preference: u16,
    /// Its host, lower case, without the last dot; empty: the root (null MX).
    pub host: String,
}

/// One TLSA record (RFC 6698 §2.1).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Tlsa {
    /// Certificate usage: 2 (DANE-TA) and 3 (DANE-EE) count for mail.
    pub usage: u8,
    /// 0: the certificate; 1: its public key.
    pub selector: u8,
    /// 0: the whole; 1: SHA-256; 2: SHA-512.
    pub matching: u8,
    /// What must match.
    pub data: Vec<u8>,
}

/// An answer with what it is worth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer<T> {
    /// The records, never an empty list, or why there are none.
    pub records: Result<Vec<T>, DnsError>,
    /// A resolver that is believed validated it (DNSSEC).
    pub secure: bool,
    /// How long it holds.
    pub ttl: Duration,
}

/// The name is the parent itself, or stands below it; in any case.
pub fn is_below(name: &str, parent: &str) -> bool {
    let (name, parent) = (name.as_bytes(), parent.as_bytes());
    let Some(start) = name.len().checked_sub(parent.len()) else { return false };
    name[start..].eq_ignore_ascii_case(parent) && (start == 0 || name[start - 1] == b'.')
}

/// The name under which an address has its own names: `4.3.2.1.in-addr.arpa`, `….ip6.arpa` (RFC 1035 §3.5, RFC 3596 §2.5).
pub fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(a) => {
            let [a, b, c, d] = a.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(a) => {
            let mut name = String::with_capacity(72);
            for octet in a.octets().iter().rev() {
                name.push_str(&format!("{:x}.{:x}.", octet & 15, octet >> 4));
            }
            name + "ip6.arpa"
        }
    }
}

/// An answer on its way.
pub type Asking<'a, T> = Pin<Box<dyn Future<Output = Answer<T>> + Send + 'a>>;

/// The DNS.
pub trait Lookup: Send + Sync + 'static {
    /// TXT records, the strings of each joined.
    fn txt<'a>(&'a self, name: &'a str) -> Asking<'a, String>;
    /// MX records, in the order of the answer.
    fn mx<'a>(&'a self, name: &'a str) -> Asking<'a, MxRecord>;
    /// IPv4 addresses.
    fn a<'a>(&'a self, name: &'a str) -> Asking<'a, Ipv4Addr>;
    /// IPv6 addresses.
    fn aaaa<'a>(&'a self, name: &'a str) -> Asking<'a, Ipv6Addr>;
    /// The names of an address, lower case, without the last dot.
    fn ptr(&self, address: IpAddr) -> Asking<'_, String>;
    /// The names of a zone's servers, lower case, without the last dot.
    fn ns<'a>(&'a self, name: &'a str) -> Asking<'a, String>;
    /// TLSA records of a name such as `_25._tcp.mx.example.jp`.
    fn tlsa<'a>(&'a self, name: &'a str) -> Asking<'a, Tlsa>;
}

/// A domain as it is asked for and compared: A-labels, small letters, no last dot; `None`: it is no domain name (RFC 1035 §2.3.4).
pub fn normal_name(domain: &str) -> Option<String> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let ascii = if domain.is_ascii() { domain.to_ascii_lowercase() } else { idna::domain_to_ascii(domain).ok()? };
    let label_is_valid = |label: &str| !label.is_empty() && label.len() <= 63;
    (ascii.len() <= 253 && ascii.split('.').all(label_is_valid)).then_some(ascii)
}
