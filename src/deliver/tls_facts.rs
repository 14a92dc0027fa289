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
use crate::{fact::Fact, language::Language};

/// The topic.
const TOPIC: &str = "tls";

impl Shared {
    /// TLS towards a destination: what is configured, the MTA-STS policy of the domain, and the TLSA records of the hosts
    /// that an attempt would try.
    pub(super) async fn tls_facts(&self, settings: &Settings, way: &Way) -> Vec<Fact> {
        let (policy, entry) = configured_tls(&settings.delivery, way);
        let same = |place: &str| [place.to_owned(), place.to_owned()];
        let [by, by_ja] = match (way, entry) {
            (Way::Smarthost(_), _) => same("[delivery] smarthost_tls"),
            (Way::Domain(_), None) => same("[delivery] tls"),
            (Way::Domain(_), Some(n)) => {
                [format!("[[delivery.tls_policy]] number {n}"), format!("{n} 番目の [[delivery.tls_policy]]")]
            }
        };
        let mut facts = vec![Fact::new(
            TOPIC,
            format!("configured: {} by {by}", policy.word()),
            format!("設定：{}（{by_ja} による）", policy.word()),
        )];
        if policy == Policy::None {
            return facts;
        }
        let finder =
            Finder { settings, resolver: &self.resolver, memory: &self.memory, clock: &self.clock, seed: self.seed() };
        // Without hosts there is nothing to protect; why there are none is said elsewhere.
        let Ok(found) = finder.hosts(way).await else { return facts };
        let Some(domain) = found.domain() else { return facts };
        let sts = if settings.delivery.mta_sts { self.tls.sts.ask(domain).await } else { Known::default() };
        facts.push(Fact::told(TOPIC, |language| self.sts_words(settings, &sts, language)));
        facts.extend(unlisted(&sts, &found));
        if settings.delivery.dane && found.names_are_secure() {
            for host in found.names() {
                let dane = finder.dane(&found, host, None).await;
                facts.push(Fact::told(TOPIC, |language| dane_words(&dane, host, language)));
            }
        } else if settings.delivery.dane {
            facts.push(Fact::new(
                TOPIC,
                format!("DANE: none, DNSSEC does not cover the MX records of {domain}"),
                format!("DANE：なし。{domain} の MX レコードは DNSSEC で保護されていません。"),
            ));
        } else {
            facts.push(Fact::new(
                TOPIC,
                "DANE: off, [delivery] dane = false",
                "DANE：無効です（[delivery] dane = false）。",
            ));
        }
        facts
    }

    fn sts_words(&self, settings: &Settings, known: &Known, language: Language) -> String {
        let either = |english: &str, japanese: &str| language.pick(english, japanese).to_owned();
        match (&known.held, known.uncertain) {
            _ if !settings.delivery.mta_sts => {
                either("MTA-STS: off, [delivery] mta_sts = false", "MTA-STS：無効です（[delivery] mta_sts = false）。")
            }
            (Some(held), _) => {
                let now = self.clock.now();
                let span = |d: Duration| span(d, language);
                let (age, left) = (span(now.since(held.fetched())), span(held.expires().since(now)));
                let (mode, id) = (held.policy.mode.word(), &held.id);
                language.pick(
                    format!("MTA-STS: {mode}, fetched {age} ago, id {id}, holds for {left} more"),
                    format!("MTA-STS：{mode}（{age}前に取得、id {id}、あと{left}有効）"),
                )
            }
            (None, true) => either(
                "MTA-STS: not known, the policy could not be had; mail goes without",
                "MTA-STS：不明です。ポリシーを取得できないため、適用せずに送信します。",
            ),
            (None, false) => either("MTA-STS: none", "MTA-STS：なし"),
        }
    }
}

fn unlisted(sts: &Known, found: &Found) -> Option<Fact> {
    let held = sts.held.as_ref()?;
    let unlisted: Vec<&str> =
        found.names().iter().map(String::as_str).filter(|host| !held.policy.allows(host)).collect();
    (!unlisted.is_empty()).then(|| {
        Fact::new(
            TOPIC,
            format!("MTA-STS: the policy does not list {}", unlisted.join(", ")),
            format!("MTA-STS：ポリシーに {} が含まれていません。", unlisted.join("、")),
        )
    })
}

fn dane_words(dane: &DaneHost, host: &str, language: Language) -> String {
    let words = &dane.words;
    match (dane.state, language) {
        (Dane::Absent, Language::English) => format!("DANE: none for {host}"),
        (Dane::Usable, Language::English) => format!("DANE: {words}"),
        (Dane::Unusable, Language::English) => format!("DANE: {words}: TLS without a check"),
        (Dane::Failed, Language::English) => format!("DANE: {words}: {host} gets no mail for now"),
        (Dane::Absent, Language::Japanese) => format!("DANE：{host} にはありません。"),
        (Dane::Usable, Language::Japanese) => format!("DANE：{host} で使用します（{words}）。"),
        (Dane::Unusable, Language::Japanese) => format!("DANE：{host} には検証なしの TLS で送信します（{words}）。"),
        (Dane::Failed, Language::Japanese) => {
            format!("DANE：確認できないため、{host} へは当面送信しません（{words}）。")
        }
    }
}

/// A span for people, rounded: `2 h`, `3 d`.
fn span(d: Duration, language: Language) -> String {
    let (n, english, japanese) = match d.as_secs() {
        s @ 0..120 => (s, "s", "秒"),
        s @ 120..7_200 => ((s + 30) / 60, "min", "分"),
        s @ 7_200..172_800 => ((s + 1_800) / 3600, "h", "時間"),
        s => ((s + 43_200) / 86_400, "d", "日"),
    };
    format!("{n} {}", language.pick(english, japanese))
}
