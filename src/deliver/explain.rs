//! Says in words where mail for a recipient would go, and why: route, rule, site, MX hosts, local addresses.
//!
//! In: a recipient and an API user, as a mail would have them.  Out: [`Fact`]s in the order of the decisions.
//! Always: the decisions are made by the code that makes them for mail; nothing is sent but DNS queries, each at most once;
//! the answer is bounded, whatever DNS says.

use std::net::IpAddr;

use super::{
    attempt::{Deliverer, Settings, Shared},
    hosts::Way,
    job::PathOffer,
    route::{self, HOSTS_MAX},
    rules::lane_of,
    site::{Mx, Routed, Site, smarthost_of},
    sources,
};
use crate::{
    clock::Timestamp,
    config::{Ipv6, Mode, Rule},
    fact::Fact,
    ids::UserKey,
    language::Language,
    smtp::{address::Mailbox, client::words},
};

/// MX hosts that are shown.
const HOSTS_SHOWN_MAX: usize = 20;
/// Addresses of one host that are shown.
const ADDRESSES_SHOWN_MAX: usize = 10;
/// Ways that are shown.
const PATHS_SHOWN_MAX: usize = 32;

impl Deliverer {
    /// What would be decided for a mail of `user` (empty: nobody's) to this recipient, now. Waits for DNS as an attempt would.
    pub async fn explain(&self, recipient: &Mailbox, user: &str) -> Vec<Fact> {
        let shared = self.shared();
        let settings = shared.settings();
        let lane = lane_of(&settings.delivery, recipient);
        let site = shared.site(&settings, &lane).await;
        let mut facts = vec![
            Fact::told("route", |language| route_words(&settings, &site.routed, language)),
            Fact::told("rule", |language| rule_words(shared, &settings, recipient, &site.routed, language)),
            Fact::told("site", |language| site_words(&site, language)),
        ];
        facts.extend(shared.mx_facts(&settings, &site.routed).await);
        facts.extend(shared.tls_facts(&settings, &site.routed.way).await);
        facts.extend(shared.source_facts(&settings, &site, user));
        facts
    }
}

fn route_words(settings: &Settings, routed: &Routed, language: Language) -> String {
    let by_rule = |rule: &Rule| {
        language.pick(format!("as the rule \"{}\" says", rule.name), format!("配信速度ルール「{}」による", rule.name))
    };
    let rule = routed.rule.map(|at| &settings.delivery.rules[at]);
    if let Some(host) = smarthost_of(routed) {
        let why = match rule.filter(|rule| rule.smarthost.as_ref() == Some(host)) {
            Some(rule) => by_rule(rule),
            None => language.pick("as [delivery] smarthost says", "[delivery] smarthost による").to_owned(),
        };
        return language
            .pick(format!("to the smarthost {host}, {why}"), format!("スマートホスト {host} へ送信します（{why}）。"));
    }
    let Way::Domain(domain) = &routed.way else { return String::new() };
    let (english, japanese) = match &routed.mx {
        Mx::NotAsked => (format!("to the address {domain} itself"), format!("アドレス {domain} へ直接送信します。")),
        Mx::Hosts { implicit: true, .. } => {
            (format!("to {domain} itself: it has no MX"), format!("MX レコードがないため、{domain} へ直接送信します。"))
        }
        Mx::Hosts { .. } => (format!("to the MX hosts of {domain}"), format!("{domain} の MX ホストへ送信します。")),
        Mx::None { why, .. } => (format!("nowhere: {domain}: {why}"), format!("送信先がありません。{domain}：{why}")),
    };
    language.pick(english, japanese)
}

fn rule_words(
    shared: &Shared,
    settings: &Settings,
    recipient: &Mailbox,
    routed: &Routed,
    language: Language,
) -> String {
    let all = &settings.delivery.rules;
    let n = all.len();
    let Some(at) = routed.rule else {
        return match n {
            0 => language.pick("none is configured", "配信速度ルールは設定されていません。").to_owned(),
            n => language
                .pick(format!("none of the {n} applies"), format!("{n} 個の配信速度ルールのいずれにも一致しません。")),
        };
    };
    let rule = &all[at];
    let by_address = rule.recipients.iter().find(|pattern| pattern.is_match(recipient.as_str()));
    let smarthost = smarthost_of(routed).map(|host| host.host.as_str());
    let hosts = || routed.mx.names().chain(smarthost);
    let by_host = rule.mx_hosts.iter().find_map(|p| hosts().find(|host| p.is_match(host)).map(|host| (p, host)));
    let why = match (by_address, by_host) {
        (Some(pattern), _) => language.pick(
            format!("its pattern '{pattern}' matches the address"),
            format!("パターン '{pattern}' が宛先アドレスに一致します"),
        ),
        (None, Some((pattern, host))) => language.pick(
            format!("its pattern '{pattern}' matches the MX host {host}"),
            format!("パターン '{pattern}' が MX ホスト {host} に一致します"),
        ),
        (None, None) => {
            language.pick("a pattern of it matches the domain", "パターンがドメインに一致します").to_owned()
        }
    };
    let (name, number) = (&rule.name, at + 1);
    let mut says = vec![language.pick(
        format!("\"{name}\", number {number} of {n}: {why}"),
        format!("配信速度ルール「{name}」（{n} 個中の {number} 番目）：{why}"),
    )];
    if let Some(n) = rule.connections_max {
        says.push(language.pick(
            format!("at most {n} connections, shared by all that match it"),
            format!("一致する宛先全体で最大 {n} 接続です"),
        ));
    }
    if !rule.interval.is_zero() {
        let interval = words(rule.interval);
        says.push(language.pick(format!("{interval} between two messages"), format!("送信の間隔は {interval} です")));
    }
    if rule.fixed {
        let words =
            language.pick("the speed stays when the destination pushes back", "宛先から抑制されても速度を変えません");
        says.push(words.to_owned());
    }
    if let Some(known) = shared.uses.of(&rule.name) {
        says.push(match known.last {
            Some(last) => language.pick(format!("last used {last}"), format!("最終使用は {last} です")),
            None => {
                let since = known.since;
                language.pick(format!("not used since {since}"), format!("{since} 以降使用されていません"))
            }
        });
    }
    sentence(&says, language)
}

/// Parts that make one line.
fn sentence(parts: &[String], language: Language) -> String {
    language.pick(parts.join("; "), format!("{}。", parts.join("。")))
}

fn site_words(site: &Site, language: Language) -> String {
    let located = &site.located;
    let (name, key, until) = (&located.name, &located.site, words(located.valid_for));
    language.pick(
        format!("{name}, shared by all with the key {key}; looked up again after {until}"),
        format!("{name}（キー {key} の宛先で共有）。{until} 後に再確認します。"),
    )
}

impl Shared {
    async fn mx_facts(&self, settings: &Settings, routed: &Routed) -> Vec<Fact> {
        let (Way::Domain(_), Mx::Hosts { hosts, ttl, .. }) = (&routed.way, &routed.mx) else { return Vec::new() };
        let ipv6 = settings.delivery.ipv6 != Ipv6::Off;
        let mut facts = Vec::new();
        for (n, record) in hosts.iter().take(HOSTS_SHOWN_MAX).enumerate() {
            let head = format!("{} {} (TTL {})", record.preference, record.host, words(*ttl));
            // Addresses of hosts that are never tried are not asked for.
            if n >= HOSTS_MAX {
                facts.push(Fact::new(
                    "mx",
                    format!("{head}: not tried, it comes after the first {HOSTS_MAX}"),
                    format!("{head}：先頭の {HOSTS_MAX} 台に入らないため、接続しません。"),
                ));
                continue;
            }
            let answer = self.resolver.addresses_answer(&record.host, ipv6).await;
            let addresses = |language: Language| match &answer.records {
                Ok(list) if !list.is_empty() => {
                    let shown = list.iter().take(ADDRESSES_SHOWN_MAX).map(|a| address_words(settings, *a, language));
                    let more = list.len().saturating_sub(ADDRESSES_SHOWN_MAX);
                    let tail = if more > 0 {
                        language.pick(format!(" and {more} more"), format!("、ほか {more} 個"))
                    } else {
                        String::new()
                    };
                    let list: Vec<String> = shown.collect();
                    format!("{}{tail} (TTL {})", list.join(language.pick(", ", "、")), words(answer.ttl))
                }
                Ok(_) => language.pick("no address", "アドレスがありません。").to_owned(),
                Err(error) => {
                    language.pick(format!("no address: {error}"), format!("アドレスがありません（{error}）。"))
                }
            };
            let fact = |language: Language| format!("{head}{}{}", language.pick(": ", "："), addresses(language));
            facts.push(Fact::told("mx", fact));
        }
        if let Some(more) = hosts.len().checked_sub(HOSTS_SHOWN_MAX).filter(|more| *more > 0) {
            facts.push(Fact::new(
                "mx",
                format!("and {more} more hosts, which are never tried"),
                format!("ほかに {more} 台のホストがありますが、接続しません。"),
            ));
        }
        facts
    }

    fn source_facts(&self, settings: &Settings, site: &Site, user: &str) -> Vec<Fact> {
        let paths: Vec<&PathOffer> = sources::for_user(&site.located.paths, UserKey::of(user)).collect();
        let total: u64 = paths.iter().map(|offer| u64::from(offer.weight)).sum();
        let shown = paths.iter().take(PATHS_SHOWN_MAX);
        let words = |offer: &PathOffer, language| self.source_words(settings, site, offer, total, language);
        shown.map(|offer| Fact::told("source", |language| words(offer, language))).collect()
    }

    fn source_words(
        &self,
        settings: &Settings,
        site: &Site,
        offer: &PathOffer,
        total: u64,
        language: Language,
    ) -> String {
        let list: Vec<IpAddr> = sources::addresses(offer.path).collect();
        if list.is_empty() {
            let hello = settings.sources.hello(None);
            return language.pick(
                format!("the system's choice; EHLO {hello}"),
                format!("送信元アドレスは OS が選びます（EHLO {hello}）。"),
            );
        }
        let named = |address: &IpAddr| format!("{address} (EHLO {})", settings.sources.hello(Some(*address)));
        let and = language.pick(" and ", " と ");
        let mut says = vec![list.iter().map(named).collect::<Vec<_>>().join(and)];
        if u64::from(offer.weight) < total {
            let weight = offer.weight;
            says.push(
                language
                    .pick(format!("weight {weight} of {total}"), format!("重みは合計 {total} のうち {weight} です")),
            );
        }
        if !offer.users.is_empty() {
            let users = list.iter().filter_map(|a| settings.sources.entry(*a)).flat_map(|entry| &entry.users);
            let mut users: Vec<&str> = users.map(String::as_str).collect();
            users.sort_unstable();
            users.dedup();
            says.push(
                language.pick(format!("for {} alone", users.join(", ")), format!("{} 専用です", users.join("、"))),
            );
        }
        let now = self.clock.now();
        let before = says.len();
        says.extend(list.iter().filter_map(|address| self.warm_up_words(settings, site, *address, now, language)));
        match offer.cap {
            Some(left) => says.push(language.pick(
                format!("{left} recipients may still go by it today"),
                format!("本日はあと {left} 件の受信者に送信できます"),
            )),
            None if says.len() > before => says.push(
                language
                    .pick(
                        "no warm address could take more, so that the schedule does not hold it back",
                        "ほかに送信できるウォームアップ済みのアドレスがないため、ウォームアップの上限は適用しません",
                    )
                    .to_owned(),
            ),
            None => {}
        }
        says.extend(list.iter().filter(|a| !self.presence.has(**a, self.now())).map(|address| {
            language
                .pick(format!("this machine does not have {address}"), format!("このサーバーに {address} はありません"))
        }));
        sentence(&says, language)
    }

    fn warm_up_words(
        &self,
        settings: &Settings,
        site: &Site,
        address: IpAddr,
        now: Timestamp,
        language: Language,
    ) -> Option<String> {
        let cap = settings.cap_today(address, now.day())?;
        let from = settings.sources.entry(address)?.warm_up_from?;
        let Some(day) = (now.day() + 1).checked_sub(from).filter(|day| *day > 0) else {
            let days = from - now.day();
            return Some(language.pick(
                format!("{address} begins warming up in {days} days"),
                format!("{address} のウォームアップは {days} 日後に始まります"),
            ));
        };
        let provider = &site.provider;
        let sent = cap - self.warm_ups.left(address, provider, cap, now.day());
        Some(language.pick(
            format!("{address} is warming up, day {day}: {sent} of {cap} recipients of {provider} today"),
            format!(
                "{address} はウォームアップ {day} 日目です（本日の {provider} 宛は {cap} 件中 {sent} 件を送信済み）"
            ),
        ))
    }
}

fn address_words(settings: &Settings, address: IpAddr, language: Language) -> String {
    let guarded = settings.delivery.block_private_destinations && settings.delivery.mode == Mode::Internet;
    if guarded && !route::is_public(address) {
        language.pick(
            format!("{address} (private or reserved: refused)"),
            format!("{address}（プライベートまたは予約済みのため接続しません）"),
        )
    } else {
        address.to_string()
    }
}
