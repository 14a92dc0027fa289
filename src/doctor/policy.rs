//! Where the doctor gets a domain's MTA-STS policy from: its policy host, or a test's words.
//!
//! In: a domain, the addresses of its policy host.  Out: the policy's text, or why there is none.
//! Always: no redirect is followed; size and time are bounded; addresses were found and allowed by the caller.
//! Sources: RFC 8461 §3.3.

use std::{future::Future, net::IpAddr, pin::Pin, time::Duration};

use crate::{
    deliver::sts_policy::POLICY_OCTETS_MAX,
    net::{
        https::{Client, Fetch, HttpError},
        tls::{TlsFailure, Trust},
    },
};

/// How long the policy host may take; RFC 8461 §3.3 suggests a minute, which is more than a check has.
const FETCH_WITHIN: Duration = Duration::from_secs(12);
/// The port of policy hosts.
const HTTPS_PORT: u16 = 443;
/// Where the policy is (RFC 8461 §3.3).
const POLICY_PATH: &str = "/.well-known/mta-sts.txt";

/// Why there is no policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoPolicy {
    /// The host's certificate is not accepted.
    Certificate(String),
    /// It could not be fetched.
    NotFetched(String),
}

/// A text on its way.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, NoPolicy>> + Send + 'a>>;

/// Where policies come from.
pub trait Policies: Send + Sync + 'static {
    /// The text of a domain's policy, from its host at one of these addresses.
    fn fetch<'a>(&'a self, domain: &'a str, addresses: Vec<IpAddr>) -> Fetching<'a>;
}

/// The internet.
#[derive(Clone)]
pub struct PolicyHosts(Result<Client, String>);

impl PolicyHosts {
    /// Hosts must have a certificate that these vouch for. Reads the system's roots from disk.
    pub fn new(trust: Trust) -> Self {
        PolicyHosts(Client::new(trust))
    }

    async fn get(&self, domain: &str, mut addresses: Vec<IpAddr>) -> Result<Vec<u8>, NoPolicy> {
        let client = self.0.as_ref().map_err(|why| NoPolicy::NotFetched(why.clone()))?;
        // IPv4 first: one dead address must not take the time of all.
        addresses.sort_by_key(IpAddr::is_ipv6);
        let fetch = Fetch {
            host: format!("mta-sts.{domain}"),
            port: HTTPS_PORT,
            path: POLICY_PATH.into(),
            addresses,
            expect: Some("text/plain".into()),
            body_max: POLICY_OCTETS_MAX,
            within: FETCH_WITHIN,
        };
        match client.get(&fetch).await {
            Ok(response) if response.status == 200 => Ok(response.body),
            Ok(response) => Err(NoPolicy::NotFetched(format!("it answered with status {}", response.status))),
            Err(HttpError::Tls { failure: TlsFailure::Protocol(_), words }) => Err(NoPolicy::NotFetched(words)),
            Err(HttpError::Tls { words, .. }) => Err(NoPolicy::Certificate(words)),
            Err(error) => Err(NoPolicy::NotFetched(error.to_string())),
        }
    }
}

impl Policies for PolicyHosts {
    fn fetch<'a>(&'a self, domain: &'a str, addresses: Vec<IpAddr>) -> Fetching<'a> {
        Box::pin(self.get(domain, addresses))
    }
}
