//! Walks for people: costs, networks, and each fault once.

use super::*;
use crate::lookup::fake::Zones;

fn kinds(walk: &Walk) -> Vec<String> {
    walk.faults
        .iter()
        .map(|fault| format!("{:?}", fault.kind).split(['(', ' ']).next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn a_walk_tells_records_costs_and_networks() {
    let zones = Zones::default()
        .with_txt("example.jp", "v=spf1 ip4:192.0.2.0/24 mx include:_spf.example.net ?ip4:203.0.113.9 -all")
        .with_mx("example.jp", 10, "mx.example.jp")
        .with_ip("mx.example.jp", "198.51.100.1")
        .with_ip("mx.example.jp", "2001:db8::1")
        .with_txt("_spf.example.net", "v=spf1 include:_a.example.net ip4:192.0.2.5/24 ~all")
        .with_txt("_a.example.net", "v=spf1 ip6:2001:db8:1::/48 a:%{i}.example.net -ip4:203.0.113.7 -all");
    let found = smol::block_on(walk(&zones, "Example.jp."));
    let records: Vec<(&str, &str, usize)> =
        found.records.iter().map(|r| (r.domain.as_str(), r.by.as_str(), r.depth)).collect();
    assert_eq!(
        records,
        [
            ("example.jp", "", 0),
            ("_spf.example.net", "include:_spf.example.net", 1),
            ("_a.example.net", "include:_a.example.net", 2)
        ]
    );
    let nets: Vec<String> = found.networks.iter().map(|n| n.net.to_string()).collect();
    assert_eq!(
        nets,
        ["192.0.2.0/24", "198.51.100.1/32", "2001:db8::1/128", "2001:db8:1::/48"],
        "each once, and only what passes"
    );
    let spent: Vec<(&str, usize)> = found.spent.iter().map(|s| (s.term.as_str(), s.lookups)).collect();
    assert_eq!(
        spent,
        [("mx", 1), ("include:_spf.example.net", 3), ("include:_a.example.net", 2), ("a:%{i}.example.net", 1)]
    );
    assert_eq!(
        (found.lookups, found.void_lookups, found.all, found.trouble.is_none()),
        (4, 0, Some(Qualifier::Fail), true)
    );
    assert!(found.faults.is_empty(), "{:?}", found.faults);
    // What the walk says may send, a check lets pass.
    let sender = crate::smtp::address::Mailbox::parse("a@example.jp").expect("an address");
    for network in &found.networks {
        let query = crate::spf::Query { ip: network.net.addr(), helo: "h.example.jp", sender: Some(&sender) };
        let outcome = smol::block_on(crate::spf::check(&zones, query));
        assert_eq!(outcome.result, crate::spf::SpfResult::Pass, "{network:?}: {outcome:?}");
    }
}

#[test]
fn each_fault_is_found_and_said() {
    let many: String = (0..12).map(|n| format!(" a:h{n}.example.jp")).collect();
    let base = || {
        Zones::default()
            .with_txt("loop.example.jp", "v=spf1 include:loop.example.jp -all")
            .with_txt("ok.example.jp", "v=spf1 ip4:192.0.2.1 -all")
            .with_txt("open.example.jp", "v=spf1 +all")
            .failing("slow.example.jp")
    };
    let table: Vec<(String, &[&str])> = vec![
        ("v=spf1 ip4:192.0.2.1 -all".into(), &[]),
        ("v=spf1 ip4:192.0.2.1".into(), &["NothingForOthers"]),
        ("v=spf1 ip4:192.0.2.1 ?all".into(), &["NothingForOthers"]),
        ("v=spf1 all".into(), &["EverybodyMay"]),
        ("v=spf1 include:open.example.jp -all".into(), &["EverybodyMay"]),
        ("v=spf1 -all ip4:192.0.2.1".into(), &["BehindAll"]),
        ("v=spf1 -all redirect=ok.example.jp".into(), &["RedirectBesideAll"]),
        ("v=spf1 redirect=ok.example.jp".into(), &[]),
        ("v=spf1 redirect=gone.example.jp".into(), &["LeadsNowhere", "NothingForOthers"]),
        ("v=spf1 include:gone.example.jp -all".into(), &["LeadsNowhere"]),
        ("v=spf1 include:loop.example.jp -all".into(), &["Loop"]),
        ("v=spf1 ptr -all".into(), &["Ptr"]),
        ("v=spf1 ip4:10.0.0.0/8 -all".into(), &["LargeNetwork"]),
        ("v=spf1 x=y -all".into(), &["UnknownModifier"]),
        ("v=spf1 ipv4:192.0.2.1 -all".into(), &["Syntax"]),
        ("v=spf1 a:gone.example.jp -all".into(), &["Void"]),
        (
            format!("v=spf1{many} -all"),
            &[
                "Void",
                "Void",
                "Void",
                "Void",
                "Void",
                "Void",
                "Void",
                "Void",
                "Void",
                "Void",
                "Void",
                "Void",
                "TooManyLookups",
                "TooManyVoidLookups",
            ],
        ),
        (format!("v=spf1{} -all", " ip4:192.0.2.1".repeat(40)), &["LongAnswer"]),
        ("v=spf1 include:slow.example.jp -all".into(), &[]),
    ];
    for (text, expected) in &table {
        let zones = base().with_txt("example.jp", text);
        let found = smol::block_on(walk(&zones, "example.jp"));
        assert_eq!(kinds(&found), *expected, "{text}: {:?}", found.faults);
        assert_eq!(found.trouble.is_some(), text.contains("slow"), "{text}");
        for fault in &found.faults {
            let said = fault.to_string();
            assert!(said.ends_with('.') && said.contains(".jp"), "{said}");
        }
    }
    assert_eq!(kinds(&smol::block_on(walk(&base(), "gone.example.jp"))), ["NoRecord"]);
    let two = base().with_txt("example.jp", "v=spf1 -all").with_txt("example.jp", "v=spf1 ~all");
    assert_eq!(kinds(&smol::block_on(walk(&two, "example.jp"))), ["SeveralRecords"]);
    let mut hosts = base().with_txt("example.jp", "v=spf1 mx -all");
    for n in 0..11 {
        hosts = hosts.with_mx("example.jp", n, "mx.example.jp").with_ip("mx.example.jp", "192.0.2.1");
    }
    assert_eq!(kinds(&smol::block_on(walk(&hosts, "example.jp"))), ["TooManyHosts"]);
    let trouble = smol::block_on(walk(&base(), "slow.example.jp"));
    assert!(trouble.trouble.is_some() && trouble.faults.is_empty(), "silence is no missing record");
}

#[test]
fn a_walk_is_bounded_whatever_it_meets() {
    // Each record includes the next five of a hundred thousand.
    let mut zones = Zones::default();
    for n in 0..400 {
        let all: String = (1..6).map(|k| format!(" include:d{}.example.jp", n * 5 + k)).collect();
        zones = zones
            .with_txt(&format!("d{n}.example.jp"), &format!("v=spf1{all} ip4:10.{}.{}.0/24 -all", n / 250, n % 250));
    }
    let found = smol::block_on(walk(&zones, "d0.example.jp"));
    assert!(found.records.len() <= RECORDS_MAX && zones.asked().len() <= QUESTIONS_MAX, "{}", zones.asked().len());
    assert!(kinds(&found).contains(&"NotAllRead".to_owned()) && kinds(&found).contains(&"TooManyLookups".to_owned()));
    // As many addresses as an answer can hold, in every host.
    let mut zones = Zones::default().with_txt("example.jp", "v=spf1 a mx -all");
    for n in 0..5_000u32 {
        zones = zones.with_ip("example.jp", &std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string());
    }
    let found = smol::block_on(walk(&zones, "example.jp"));
    assert_eq!((found.networks.len(), found.networks_left_out), (NETWORKS_MAX, 5_000 - NETWORKS_MAX));
}
