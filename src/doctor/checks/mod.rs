//! The checks, one file a subject, and what they share.
//!
//! In: a [`Case`]: the domain, the DNS, the config, our addresses, our keys.  Out: [`Outcome`]s: findings, and what the checks after
//! them rest on.
//! Always: a check that met trouble of the DNS says so by `Seen::Unanswered`, and leaves what it could not tell unknown.

pub(super) mod address;
mod alignment;
mod bimi;
mod blocklist;
pub(super) mod bulk;
mod dkim;
pub(super) mod dmarc;
mod inlet;
pub(super) mod receiving;
mod sender;
pub(super) mod spf;
mod sts;

use std::collections::BTreeSet;

use super::{
    Checking,
    ask::Share,
    finding::{Area, Finding},
    ours::Ours,
    policy::Policies,
    unanswered,
};
use crate::{
    bounce::envelope_from::Mail,
    config::Config,
    dmarc::tree_walk::Discovery,
    lookup::DnsError,
    signing::{KeyInForce, Keyring},
    smtp::address::Mailbox,
};

/// Hosts of one name that are looked at.
pub(super) const HOSTS_MAX: usize = 10;

/// What is looked at.
pub(super) struct Case<'a> {
    /// The header-From domain, in A-labels and lower case.
    pub domain: &'a str,
    /// The DNS.
    pub dns: &'a Share,
    /// The config in force.
    pub config: &'a Config,
    /// Our addresses.
    pub ours: Ours,
    /// The domain of the sender that our mail leaves with (R3).
    pub envelope: String,
    /// That is a return domain of ours; else it is the sender's own, taken to be the header's.
    pub rewrites: bool,
    /// The domain of the signatures; `None`: nobody signs.
    pub signing: Option<String>,
    /// Its keys, those that do not sign too.
    pub keys: Vec<KeyInForce>,
}

impl<'a> Case<'a> {
    pub fn new(domain: &'a str, dns: &'a Share, config: &'a Config, ours: Ours, keys: &Keyring) -> Self {
        let (envelope, rewrites) = envelope(config, domain);
        let signing = keys.for_from(domain).and_then(|ids| ids.first().map(|identity| identity.domain.clone()));
        let of = signing.clone().unwrap_or_else(|| domain.to_owned());
        let keys = keys.all().into_iter().filter(|key| key.domain == of).collect();
        Case { domain, dns, config, ours, envelope, rewrites, signing, keys }
    }
}

/// The domain of the sender that mail from this header-From domain leaves with, and whether it is rewritten.
pub(super) fn envelope(config: &Config, domain: &str) -> (String, bool) {
    let address = format!("postmaster@{domain}");
    let sender = Mailbox::parse(&address).ok();
    // The key's epoch plays no part in the domain.
    let decided = config.return_path(&Mail { header_from: &address, sender: sender.as_ref(), is_ours: false }, 0);
    match decided.path.domain() {
        "" => (domain.to_owned(), false),
        ours => (ours.to_ascii_lowercase(), true),
    }
}

/// What is known by then; `None`: nobody could tell.
#[derive(Default)]
pub(super) struct Known {
    /// SPF of the envelope's domain passes for all our addresses.
    pub spf: Option<bool>,
    /// Some signature verifies.
    pub dkim: Option<bool>,
    /// All our addresses have names that lead back.
    pub reverse: Option<bool>,
    /// Which DMARC record applies.
    pub dmarc: Option<Discovery>,
}

/// What a check brought.
#[derive(Default)]
pub(super) struct Outcome {
    pub findings: Vec<Finding>,
    pub known: Known,
}

impl Outcome {
    /// Another check's beside it.
    pub fn add(&mut self, other: Outcome) {
        self.findings.extend(other.findings);
        let Known { spf, dkim, reverse, dmarc } = other.known;
        let known = &mut self.known;
        known.spf = spf.or(known.spf);
        known.dkim = dkim.or(known.dkim);
        known.reverse = reverse.or(known.reverse);
        known.dmarc = dmarc.or_else(|| known.dmarc.take());
    }

    fn found(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn trouble(&mut self, area: Area, subject: &str, asked: &str, why: &DnsError) {
        self.findings.push(unanswered(area, subject, asked, why));
    }
}

/// The checks that rest on nothing but the DNS.
pub(super) fn first<'a>(case: &'a Case<'a>, policies: &'a dyn Policies) -> Vec<(Area, Checking<'a>)> {
    vec![
        (Area::Spf, Box::pin(spf::check(case))),
        (Area::Dkim, Box::pin(dkim::check(case))),
        (Area::Dmarc, Box::pin(dmarc::check(case))),
        (Area::Address, Box::pin(address::check(case))),
        (Area::Domain, Box::pin(sender::check(case))),
        (Area::Inlet, Box::pin(inlet::check(case))),
        (Area::Sts, Box::pin(sts::check(case, policies))),
        (Area::TlsRpt, Box::pin(receiving::tls_rpt(case))),
        (Area::Dane, Box::pin(receiving::dane(case))),
        (Area::Bimi, Box::pin(bimi::check(case))),
        (Area::Blocklist, Box::pin(blocklist::check(case))),
    ]
}

/// What rests on them: whether our mail passes DMARC, and what providers ask. `dark`: areas with a question that was not answered:
/// what rests on them is not answered either, so that an outage of the DNS is no change here.
pub(super) async fn second(
    case: &Case<'_>,
    known: &Known,
    dark: &BTreeSet<Area>,
    streams: Option<&bulk::Streams>,
) -> Outcome {
    let (mut outcome, aligned) = alignment::check(case, known).await;
    outcome.add(bulk::check(case, known, aligned, streams));
    let is_dark = |areas: &[Area]| areas.iter().any(|area| dark.contains(area));
    let why = DnsError::Servfail("other questions were not answered".into());
    if is_dark(&[Area::Spf, Area::Dkim]) && !is_dark(&[Area::Dmarc]) {
        outcome.trouble(Area::Dmarc, case.domain, "whether SPF and DKIM pass", &why);
    }
    if is_dark(&[Area::Spf, Area::Dkim, Area::Dmarc, Area::Address]) {
        outcome.trouble(Area::Bulk, case.domain, "whether SPF, DKIM, DMARC and reverse names are in order", &why);
    }
    outcome
}

/// Three answers into one: false where one is false, else unknown where one is unknown.
fn all(answers: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    let mut sum = Some(true);
    for answer in answers {
        match answer {
            Some(false) => return Some(false),
            Some(true) => {}
            None => sum = None,
        }
    }
    sum
}
