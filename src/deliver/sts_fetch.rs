//! One question to a domain's MTA-STS policy host, for whoever delivers there and for whoever looks after the domain.
//!
//! In: a domain, the addresses of its policy host, found and allowed by the caller.  Out: the policy's text, or why there is none.
//! Always: no redirect is followed; only text/plain counts; size and time are bounded.
//! Sources: RFC 8461 §3.3.

use std::{net::IpAddr, time::Duration};

use super::sts_policy::POLICY_OCTETS_MAX;
use crate::net::{
    https::{Client, Fetch, HttpError},
    tls::TlsFailure,
};

/// The port of policy hosts.
pub const HTTPS_PORT: u16 = 443;
/// Where the policy is.
const POLICY_PATH: &str = "/.well-known/mta-sts.txt";

/// Why there is no policy.
#[derive(Debug)]
pub enum NoPolicy {
    /// The host answered with another status than 200.
    Status(u16),
    /// It could not be asked.
    Http(HttpError),
}

impl NoPolicy {
    /// The host's certificate is not accepted; another trouble of TLS is none of the certificate's.
    pub fn is_certificate(&self) -> bool {
        match self {
            NoPolicy::Http(HttpError::Tls { failure, .. }) => !matches!(failure, TlsFailure::Protocol(_)),
            NoPolicy::Http(_) | NoPolicy::Status(_) => false,
        }
    }
}

/// The name of a domain's policy host.
pub fn host_of(domain: &str) -> String {
    format!("mta-sts.{domain}")
}

/// Asks it.
///
/// # Errors
/// See [`NoPolicy`].
pub async fn fetch(
    client: &Client,
    domain: &str,
    port: u16,
    mut addresses: Vec<IpAddr>,
    within: Duration,
) -> Result<Vec<u8>, NoPolicy> {
    // IPv4 first: this machine has it in any case, and one dead address must not take the time of all.
    addresses.sort_by_key(IpAddr::is_ipv6);
    let fetch = Fetch {
        host: host_of(domain),
        port,
        path: POLICY_PATH.into(),
        addresses,
        expect: Some("text/plain".into()),
        body_max: POLICY_OCTETS_MAX,
        within,
    };
    match client.get(&fetch).await {
        Ok(response) if response.status == 200 => Ok(response.body),
        Ok(response) => Err(NoPolicy::Status(response.status)),
        Err(error) => Err(NoPolicy::Http(error)),
    }
}
