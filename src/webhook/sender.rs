//! Sends one post to one endpoint, and says what its answer means.
//!
//! In: an endpoint's settings, a post.  Out: done, failed with when to come back, or gone for good.
//! Always: 2xx alone is done; redirects are not followed and count as failed; the host is looked up by our resolver and every
//! address is checked before it is connected to; one deadline covers all of it.
//! Sources: Standard Webhooks ("Deliverability and reliability"): 2xx is success, 410 ends it, 429 and 503 may say when.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{history::line, page::Post, payload::Style, retry, sign, target::Target};
use crate::{
    clock::Clock,
    config::{self, InForce, Ipv6},
    net::{
        dns::Resolver,
        https::Client,
        kept::{self, Kept},
    },
    secret::Secret,
};

/// What became of a post.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// The status of the answer; 0: there was none.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
    /// Why it failed; `None`: it was answered 2xx.
    pub error: Option<String>,
    /// The endpoint is gone for good (410).
    pub gone: bool,
    /// How long the host asks us to wait.
    pub wait: Option<Duration>,
}

/// What all senders share.
#[derive(Clone)]
pub struct Ways {
    /// The client; `None`: there are no roots to check certificates by.
    pub client: Option<Client>,
    /// Where hosts are looked up.
    pub resolver: Resolver,
    /// The time.
    pub clock: Clock,
    /// The config in force, for `[delivery] ipv6`.
    pub config: InForce,
}

/// The endpoint's settings, made ready.
#[derive(Clone)]
pub struct Aim {
    target: Option<Target>,
    keys: Arc<Vec<Secret<Vec<u8>>>>,
    content_type: &'static str,
    within: Duration,
    allow_private: bool,
}

impl Aim {
    /// Makes them ready.
    pub fn of(hook: &config::Webhook, style: &Style) -> Self {
        Aim {
            target: Target::parse(&hook.url),
            keys: Arc::new(sign::keys(&hook.signing_key)),
            content_type: style.content_type(),
            within: hook.timeout,
            allow_private: hook.allow_private,
        }
    }
}

/// The way to one endpoint.
pub struct Sender {
    ways: Ways,
    kept: Option<Kept>,
}

impl Sender {
    /// Not connected yet.
    pub fn new(ways: Ways) -> Self {
        let kept = ways.client.clone().map(|client| Kept::new(client, ways.clock.clone()));
        Sender { ways, kept }
    }

    /// Posts.
    pub async fn send(&mut self, aim: &Aim, post: &Post) -> Sent {
        let started = self.ways.clock.instant();
        let answer = self.answer(aim, post).await;
        let took = self.ways.clock.instant().saturating_duration_since(started);
        let nothing = Sent { status: 0, took, error: None, gone: false, wait: None };
        match answer {
            Err(error) => Sent { error: Some(line(&error)), ..nothing },
            Ok(answer) if (200..300).contains(&answer.status) => Sent { status: answer.status, ..nothing },
            Ok(answer) => {
                let words = match answer.status {
                    300..=399 => "HTTP status {}: redirects are not followed",
                    _ => "HTTP status {}",
                };
                let mut words = words.replace("{}", &answer.status.to_string());
                if !answer.words.is_empty() {
                    words = format!("{words}: {}", answer.words);
                }
                let wait = match answer.status {
                    429 | 503 => retry::asked(answer.retry_after.as_deref(), self.ways.clock.now()),
                    _ => None,
                };
                let gone = answer.status == 410;
                Sent { status: answer.status, error: Some(line(&words)), gone, wait, ..nothing }
            }
        }
    }

    async fn answer(&mut self, aim: &Aim, post: &Post) -> Result<kept::Answer, String> {
        let target = aim.target.as_ref().ok_or("the URL cannot be posted to")?;
        let kept = self.kept.as_mut().ok_or("there are no root certificates to check the host by")?;
        let mut fields = sign::fields(&aim.keys, &post.id, self.ways.clock.now(), &post.body);
        fields.push(("Content-Type", aim.content_type.to_owned()));
        let asked = kept::Post { path: &target.path, fields: &fields, body: &post.body, within: aim.within };
        let ways = &self.ways;
        let addresses = || addresses(ways, target, aim.allow_private);
        kept.post(&target.host, &asked, addresses).await.map_err(|e| e.to_string())
    }
}

/// The addresses of the host that may be posted to.
pub(super) async fn addresses(ways: &Ways, target: &Target, allow_private: bool) -> Result<Vec<IpAddr>, String> {
    let found = match target.literal() {
        Some(found) => found,
        None => {
            let ipv6 = ways.config.get().delivery.ipv6 != Ipv6::Off;
            let host = &target.host.name;
            let found = ways.resolver.addresses_answer(host, ipv6).await.records;
            found.map_err(|e| format!("looking up {host}: {e}"))?
        }
    };
    target.allowed(found, allow_private)
}
