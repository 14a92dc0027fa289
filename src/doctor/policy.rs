//! Where the doctor gets a domain's MTA-STS policy from: its policy host, or a test's words.
//!
//! In: a domain, the addresses of its policy host.  Out: the policy's text, or why there is none.
//! Always: no redirect is followed; size and time are bounded; addresses were found and allowed by the caller.
//! Sources: RFC 8461 §3.3.

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::{
    deliver::sts_fetch::{self, HTTPS_PORT},
    net::{
        https::{Client, HttpError},
        tls::Trust,
    },
};

/// How long the policy host may take; RFC 8461 §3.3 suggests a minute, which is more than a check has.
const FETCH_WITHIN: Duration = Duration::from_secs(12);

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
pub struct PolicyHosts {
    trust: Trust,
    /// Made when the first policy is asked for: most domains have none, and the roots take time to read.
    client: Arc<OnceLock<Result<Client, String>>>,
}

impl PolicyHosts {
    /// Hosts must have a certificate that these vouch for.
    pub fn new(trust: Trust) -> Self {
        PolicyHosts { trust, client: Arc::default() }
    }

    async fn get(&self, domain: &str, addresses: Vec<IpAddr>) -> Result<Vec<u8>, NoPolicy> {
        let this = self.clone();
        let made = smol::unblock(move || this.client.get_or_init(|| Client::new(this.trust.clone())).clone());
        let client = made.await.map_err(NoPolicy::NotFetched)?;
        let fetched = sts_fetch::fetch(&client, domain, HTTPS_PORT, addresses, FETCH_WITHIN).await;
        fetched.map_err(|why| {
            let is_certificate = why.is_certificate();
            match why {
                sts_fetch::NoPolicy::Status(status) => {
                    NoPolicy::NotFetched(format!("it answered with status {status}"))
                }
                sts_fetch::NoPolicy::Http(HttpError::Tls { words, .. }) if is_certificate => {
                    NoPolicy::Certificate(words)
                }
                sts_fetch::NoPolicy::Http(HttpError::Tls { words, .. }) => NoPolicy::NotFetched(words),
                sts_fetch::NoPolicy::Http(error) => NoPolicy::NotFetched(error.to_string()),
            }
        })
    }
}

impl Policies for PolicyHosts {
    fn fetch<'a>(&'a self, domain: &'a str, addresses: Vec<IpAddr>) -> Fetching<'a> {
        Box::pin(self.get(domain, addresses))
    }
}
