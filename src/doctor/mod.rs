//! The domain doctor: what the DNS says of a sending domain, and of the machine that sends in its name.
//!
//! ```text
//!   config, keys ─► ours (our addresses), Case ─┐
//!   lookup ─► ask (bounded) ────────────────────┤
//!                                               ▼
//!        checks/{spf, dkim, dmarc, address, sender, inlet, receiving, sts, bimi, blocklist}   at once
//!                                               │ findings, and what is Known by then
//!                                               ▼
//!        checks/{alignment, bulk} ─► finding::Report ─► words (English, Japanese)
//! ```
//!
//! In: a domain.  Out: a [`Report`]; the [`Records`] that the domain should have.
//! Always: one check takes at most [`CHECK_WITHIN`] and `ask::QUERIES_MAX` questions; where the DNS gave no answer, nothing is
//! claimed; nothing is sent to anybody but questions to the DNS and one to the domain's policy host.
//! Sources: issue 6 part 3; R1, R2, R3, R10.

mod ask;
mod checks;
pub mod finding;
mod ours;
pub mod policy;
pub mod records;
pub mod round;
pub mod rules;
mod seen;
pub mod told;
pub mod words;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use smol::{Timer, future::FutureExt};

use self::{
    ask::Share,
    checks::{Case, Known, Outcome},
    finding::{Area, Finding, Level, Report, Seen},
    ours::Ours,
    policy::Policies,
    records::Records,
};
use crate::{
    clock::Clock,
    config::{Config, InForce},
    lookup::{DnsError, Lookup},
    signing::Keyring,
    store::Memos,
};

/// How long one check of a domain may take. What is not answered by then is told as unanswered. With the second part on top it is
/// less than an answer over HTTP may take.
pub const CHECK_WITHIN: Duration = Duration::from_secs(20);
/// How long the second part, which rests on the first, may take on top.
const SECOND_WITHIN: Duration = Duration::from_secs(5);

/// What the doctor needs.
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// The DNS.
    pub dns: Arc<dyn Lookup>,
    /// Where MTA-STS policies come from.
    pub policies: Arc<dyn Policies>,
    /// The config in force.
    pub config: InForce,
    /// The keys in force.
    pub keys: Keyring,
    /// Where the streams are counted.
    pub memos: Arc<dyn Memos>,
}

/// The doctor; clones share the parts.
#[derive(Clone)]
pub struct Doctor(Arc<Parts>);

impl Doctor {
    /// A doctor of these parts.
    pub fn new(parts: Parts) -> Self {
        Doctor(Arc::new(parts))
    }

    /// Looks at a header-From domain. What is no domain name has one finding: that it does not exist.
    pub async fn check(&self, domain: &str) -> Report {
        let parts = &self.0;
        let Some(domain) = domain_name(domain) else {
            let domain = finding::clipped(domain);
            let unknown = Finding::new(Level::Error, domain.clone(), Seen::Domain(finding::Domain::Unknown));
            return Report::new(&domain, parts.clock.now(), vec![unknown]);
        };
        let config = parts.config.get();
        let share = Share::of(parts.dns.clone());
        let ours = self.ours(&config, &share).await;
        let case = Case::new(&domain, &share, &config, ours, &parts.keys);
        let Outcome { mut findings, known } = within(checks::first(&case, &*parts.policies), CHECK_WITHIN).await;
        let streams = self.streams(&known, &domain).await;
        let dark = findings.iter().filter(|f| f.is_unanswered()).map(Finding::area).collect();
        let second = Box::pin(checks::second(&case, &known, &dark, streams.as_ref()));
        findings.extend(within(vec![(Area::Dmarc, second)], SECOND_WITHIN).await.findings);
        Report::new(&domain, parts.clock.now(), findings)
    }

    /// All records that a header-From domain should have. What is no domain name should have none.
    pub async fn records(&self, domain: &str) -> Records {
        let Some(domain) = domain_name(domain) else {
            return Records { domain: finding::clipped(domain), wanted: Vec::new() };
        };
        let config = self.0.config.get();
        let share = Share::of(self.0.dns.clone());
        let ours = self.ours(&config, &share).await;
        let case = Case::new(&domain, &share, &config, ours, &self.0.keys);
        let late = async {
            Timer::after(CHECK_WITHIN).await;
            Records { domain: domain.clone(), wanted: Vec::new() }
        };
        records::of(&case).or(late).await
    }

    /// Our addresses; an IPv6 address that the deliverer would not use is left out.
    async fn ours(&self, config: &Config, share: &Share) -> Ours {
        let mut ours = Ours::of(config);
        let is_left_to_us =
            ours.whence != ours::Whence::Configured && config.delivery.ipv6 == crate::config::Ipv6::Auto;
        if is_left_to_us {
            let mut kept = Vec::new();
            for own in ours.seen {
                if own.address.is_ipv4() || checks::address::is_confirmed(share, own.address).await != Some(false) {
                    kept.push(own);
                }
            }
            ours.seen = kept;
        }
        ours
    }

    /// What was counted of the domain's organization.
    async fn streams(&self, known: &Known, domain: &str) -> Option<checks::bulk::Streams> {
        let organization = known.dmarc.as_ref().map_or(domain, |found| found.organizational_domain.as_str()).to_owned();
        let (memos, today, domain) = (self.0.memos.clone(), self.0.clock.now().day(), domain.to_owned());
        smol::unblock(move || checks::bulk::Streams::read(&*memos, &organization, &domain, today)).await
    }
}

impl round::Check for Doctor {
    fn check<'a>(&'a self, domain: &'a str) -> round::Checking<'a> {
        Box::pin(Doctor::check(self, domain))
    }

    fn records<'a>(&'a self, domain: &'a str) -> round::Gathering<'a> {
        Box::pin(Doctor::records(self, domain))
    }
}

/// A domain as it is asked for: A-labels, in lower case, without the last dot; `None`: it is none.
pub fn domain_name(text: &str) -> Option<String> {
    crate::dmarc::tree_walk::normal(text.trim()).filter(|name| name.contains('.') && name.is_ascii())
}

/// A check on its way.
type Checking<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Runs all at once; those that are not done in time are told as unanswered.
async fn within(mut checks: Vec<(Area, Checking<'_>)>, limit: Duration) -> Outcome {
    let mut all = Outcome::default();
    let mut late = Box::pin(Timer::after(limit));
    poll_fn(|context| {
        checks.retain_mut(|(_, check)| match check.as_mut().poll(context) {
            Poll::Ready(outcome) => {
                all.add(outcome);
                false
            }
            Poll::Pending => true,
        });
        if checks.is_empty() || late.as_mut().poll(context).is_ready() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    for (area, _) in checks {
        let why = DnsError::Timeout(format!("not done within {} s", limit.as_secs()));
        all.findings.push(unanswered(area, "", "", &why));
    }
    all
}

/// The finding that nobody could tell.
fn unanswered(area: Area, subject: &str, asked: &str, why: &DnsError) -> Finding {
    let seen = Seen::Unanswered { area, asked: asked.to_owned(), why: finding::clipped(&why.to_string()) };
    Finding::new(Level::Warning, subject, seen)
}

#[cfg(test)]
mod tests;
