//! Says how TLS is used with a domain and its hosts, and who says so: what `explain` and the pages show.
//!
//! In: a destination.  Out: facts of the topic `tls`.
//! Always: it asks what a delivery would ask, within the same bounds; it counts and changes nothing.

use std::time::Duration;

use super::{
    attempt::{Settings, Shared},
    dane::DaneHost,
    hosts::{Finder, Found, Way, configured_tls},
    sts::Known,
    tls_policy::{Dane, Policy},
};
use crate::fact::Fact;

/// The topic.
const TOPIC: &str = "tls";

impl Shared {
    /// TLS towards a destination: what is configured, the MTA-STS policy of the domain, and the TLSA records of the hosts
    /// that an attempt would try.
    pub(super) async fn tls_facts(&self, settings: &Settings, way: &Way) -> Vec<Fact> {
        let (policy, entry) = configured_tls(&settings.delivery, way);
        let by = match (way, entry) {
            (Way::Smarthost(_), _) => "[delivery] smarthost_tls".to_owned(),
            (Way::Domain(_), None) => "[delivery] tls".to_owned(),
            (Way::Domain(_), Some(n)) => format!("[[delivery.tls_policy]] number {n}"),
        };
        let mut facts = vec![Fact::new(TOPIC, format!("configured: {} by {by}", policy.word()))];
        if policy == Policy::None {
            return facts;
        }
        let finder =
            Finder { settings, resolver: &self.resolver, memory: &self.memory, clock: &self.clock, seed: self.seed() };
        // Without hosts there is nothing to protect; why there are none is said elsewhere.
        let Ok(found) = finder.hosts(way).await else { return facts };
        let Some(domain) = found.domain() else { return facts };
        let sts = if settings.delivery.mta_sts { self.tls.sts.ask(domain).await } else { Known::default() };
        facts.push(Fact::new(TOPIC, self.sts_words(settings, &sts)));
        facts.extend(unlisted(&sts, &found));
        if settings.delivery.dane && found.names_are_secure() {
            for host in found.names() {
                let dane = finder.dane(&found, host, None).await;
                facts.push(Fact::new(TOPIC, dane_words(&dane, host)));
            }
        } else if settings.delivery.dane {
            facts.push(Fact::new(TOPIC, format!("DANE: none, DNSSEC does not cover the MX records of {domain}")));
        } else {
            facts.push(Fact::new(TOPIC, "DANE: off, [delivery] dane = false"));
        }
        facts
    }

    fn sts_words(&self, settings: &Settings, known: &Known) -> String {
        match (&known.held, known.uncertain) {
            _ if !settings.delivery.mta_sts => "MTA-STS: off, [delivery] mta_sts = false".into(),
            (Some(held), _) => {
                let now = self.clock.now();
                let (age, left) = (span(now.since(held.fetched())), span(held.expires().since(now)));
                let mode = held.policy.mode.word();
                format!("MTA-STS: {mode}, fetched {age} ago, id {}, holds for {left} more", held.id)
            }
            (None, true) => "MTA-STS: not known, the policy could not be had; mail goes without".into(),
            (None, false) => "MTA-STS: none".into(),
        }
    }
}

fn unlisted(sts: &Known, found: &Found) -> Option<Fact> {
    let held = sts.held.as_ref()?;
    let unlisted: Vec<&str> =
        found.names().iter().map(String::as_str).filter(|host| !held.policy.allows(host)).collect();
    (!unlisted.is_empty())
        .then(|| Fact::new(TOPIC, format!("MTA-STS: the policy does not list {}", unlisted.join(", "))))
}

fn dane_words(dane: &DaneHost, host: &str) -> String {
    match dane.state {
        Dane::Absent => format!("DANE: none for {host}"),
        Dane::Usable => format!("DANE: {}", dane.words),
        Dane::Unusable => format!("DANE: {}: TLS without a check", dane.words),
        Dane::Failed => format!("DANE: {}: {host} gets no mail for now", dane.words),
    }
}

/// A span for people, rounded: `2 h`, `3 d`.
fn span(d: Duration) -> String {
    match d.as_secs() {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7_200 => format!("{} min", (s + 30) / 60),
        s @ 7_200..172_800 => format!("{} h", (s + 1_800) / 3600),
        s => format!("{} d", (s + 43_200) / 86_400),
    }
}
