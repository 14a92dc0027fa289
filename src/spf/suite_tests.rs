//! Runs tables of scenarios: our own, and the RFC 7208 test suite where it is on the machine.
//!
//! A table is JSON: a list of `{description, zonedata: {name: ["TIMEOUT" | {type: value}]}, tests: {name: {helo, host, mailfrom,
//! result, explanation}}}`, which is what the suite's YAML (rfc7208-tests.yml, in the source package of pyspf) says.

use std::{collections::BTreeMap, net::Ipv6Addr, time::Duration};

use serde_json::Value;

use super::{super::SpfResult, *};
use crate::lookup::{Asking, MxRecord, Tlsa};

/// Where the suite is, as JSON.
const SUITE: &str = "HIKYAKU_SPF_SUITE";

/// A scenario's DNS.
struct Zone(BTreeMap<String, Vec<(String, Value)>>);

impl Zone {
    fn of(scenario: &Value) -> Self {
        let mut names = BTreeMap::new();
        for (name, records) in scenario["zonedata"].as_object().expect("zones") {
            let mut kept: Vec<(String, Value)> = Vec::new();
            for record in records.as_array().expect("records") {
                match record {
                    Value::Object(one) => kept.extend(one.iter().map(|(kind, value)| (kind.clone(), value.clone()))),
                    other => kept.push(("ALL".to_owned(), other.clone())),
                }
            }
            // What is written as SPF is published as TXT, unless TXT is there.
            if !kept.iter().any(|(kind, _)| kind == "TXT") {
                let spf: Vec<_> =
                    kept.iter().filter(|(kind, _)| kind == "SPF").map(|(_, v)| ("TXT".to_owned(), v.clone())).collect();
                kept.extend(spf);
            }
            kept.retain(|(_, value)| value != "NONE");
            names.insert(name.to_ascii_lowercase(), kept);
        }
        Zone(names)
    }

    fn get<T: Send + 'static>(&self, kind: &str, name: &str, read: impl Fn(&Value) -> Option<T>) -> Asking<'_, T> {
        Box::pin(std::future::ready(Answer {
            records: self.find(kind, name, &read, 0),
            secure: false,
            ttl: Duration::ZERO,
        }))
    }

    fn find<T>(
        &self,
        kind: &str,
        name: &str,
        read: &dyn Fn(&Value) -> Option<T>,
        depth: u8,
    ) -> Result<Vec<T>, DnsError> {
        let timeout = || Err(DnsError::Timeout("test".into()));
        let name = name.to_ascii_lowercase();
        if name.split('.').any(|label| label.is_empty() || label.len() > 63) || name.len() > 253 {
            return Err(DnsError::BadName);
        }
        let Some(records) = self.0.get(&name) else {
            return if name.starts_with("error.") { timeout() } else { Err(DnsError::NxDomain) };
        };
        let mut found = Vec::new();
        for (of, value) in records {
            // What is listed before a silence is still told.
            if value == "TIMEOUT" && (of == kind || (of == "ALL" && found.is_empty())) {
                return timeout();
            }
            if of == kind {
                found.push(read(value).unwrap_or_else(|| panic!("{name} {kind} {value}")));
            }
            if of == "CNAME" && depth < 8 {
                return self.find(kind, value.as_str().expect("a name"), read, depth + 1);
            }
        }
        if found.is_empty() { Err(DnsError::NoData) } else { Ok(found) }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Array(parts) => Some(parts.iter().filter_map(Value::as_str).collect()),
        other => other.as_str().map(str::to_owned),
    }
}

impl Lookup for Zone {
    fn txt<'a>(&'a self, name: &'a str) -> Asking<'a, String> {
        self.get("TXT", name, text)
    }
    fn mx<'a>(&'a self, name: &'a str) -> Asking<'a, MxRecord> {
        self.get("MX", name, |value| {
            let pair = value.as_array()?;
            let host = pair.get(1)?.as_str()?.trim_end_matches('.').to_ascii_lowercase();
            Some(MxRecord { preference: pair.first()?.as_u64()? as u16, host })
        })
    }
    fn a<'a>(&'a self, name: &'a str) -> Asking<'a, std::net::Ipv4Addr> {
        self.get("A", name, |value| value.as_str()?.parse().ok())
    }
    fn aaaa<'a>(&'a self, name: &'a str) -> Asking<'a, Ipv6Addr> {
        self.get("AAAA", name, |value| value.as_str()?.parse().ok())
    }
    fn ptr(&self, address: IpAddr) -> Asking<'_, String> {
        let name = match address {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            IpAddr::V6(ip) => {
                let nibbles = ip.octets().into_iter().rev().flat_map(|o| [o & 15, o >> 4]);
                nibbles.map(|n| format!("{n:x}.")).collect::<String>() + "ip6.arpa"
            }
        };
        self.get("PTR", &name, text)
    }
    fn ns<'a>(&'a self, name: &'a str) -> Asking<'a, String> {
        self.get("NS", name, text)
    }
    fn tlsa<'a>(&'a self, _: &'a str) -> Asking<'a, Tlsa> {
        Box::pin(std::future::ready(Answer { records: Err(DnsError::NoData), secure: false, ttl: Duration::ZERO }))
    }
}

/// Runs a table; answers how many tests it has, and those that came out otherwise.
fn run_table(table: &Value) -> (usize, Vec<String>) {
    let (mut count, mut wrong) = (0, Vec::new());
    for scenario in table.as_array().expect("scenarios") {
        let zone = Zone::of(scenario);
        for (name, test) in scenario["tests"].as_object().expect("tests") {
            count += 1;
            let field = |field: &str| test[field].as_str().unwrap_or_default();
            let (helo, from) = (field("helo"), field("mailfrom"));
            let (local, domain) = match from.rsplit_once('@') {
                Some(parts) => parts,
                None if from.is_empty() => ("", helo),
                None => ("", from),
            };
            let ip: IpAddr = field("host").parse().expect("an address");
            let explaining = Explaining { receiver: "receiver.example", now: Timestamp::from_millis(7_000) };
            let outcome = smol::block_on(run_as(&zone, (ip, helo), (local, domain), Some(explaining)));
            let expected: Vec<&str> = match &test["result"] {
                Value::Array(any) => any.iter().filter_map(Value::as_str).collect(),
                one => one.as_str().into_iter().collect(),
            };
            let fits = expected.contains(&outcome.result.word());
            let words = match test["explanation"].as_str() {
                None => true,
                Some("DEFAULT") => outcome.explanation.is_none(),
                // Nibbles in capitals are the same name.
                Some(words) => outcome.explanation.as_deref().is_some_and(|said| said.eq_ignore_ascii_case(words)),
            };
            // An explanation is told of a fail only; the suite lists it for other results that it accepts.
            let words = words || outcome.result != SpfResult::Fail;
            if !fits || !words {
                wrong.push(format!("{name}: {expected:?} {:?}, not {outcome:?}", test["explanation"].as_str()));
            }
            // A check of the same record as the walk for people sees never contradicts it.
            assert!(outcome.lookups <= LOOKUPS_MAX + 1 && outcome.void_lookups <= VOID_LOOKUPS_MAX + 1, "{name}");
        }
    }
    (count, wrong)
}

#[test]
fn the_rfc_7208_suite_where_it_is_at_hand() {
    let Some(path) = std::env::var_os(SUITE) else {
        return;
    };
    let octets = std::fs::read(&path).expect("the suite");
    let (count, wrong) = run_table(&serde_json::from_slice(&octets).expect("JSON"));
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 200, "{count} tests are not the suite");
}

#[test]
fn our_own_table() {
    let table: Value = serde_json::from_str(include_str!("../../tests/data/spf/table.json")).expect("JSON");
    let (count, wrong) = run_table(&table);
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 50, "{count} tests");
}
