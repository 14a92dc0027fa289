//! `hikyaku dmarc record` against a DNS in a table.

use super::*;
use crate::lookup::fake::Zones;

const OURS: &str = "dmarc@relay.example.jp";

fn run(zones: &Zones, ours: &str, args: &[&str]) -> (Result<u8, String>, String) {
    let mut config = Config::default();
    config.bounce.report_address = ours.to_owned();
    let all = ["record"].iter().chain(args);
    let matches = command().arg(crate::cli::table::json_flag()).try_get_matches_from(all).expect("arguments");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut output = Output { out: &mut out, err: &mut err };
    let code = run_to(&matches, &config, zones, &mut output).map_err(|trouble| format!("{trouble:?}"));
    (code, String::from_utf8_lossy(&[out, err].concat()).into_owned())
}

fn json(zones: &Zones, args: &[&str]) -> serde_json::Value {
    let (code, text) = run(zones, OURS, &[args, &["--json"]].concat());
    assert_eq!(code, Ok(DONE), "{text}");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_record_is_written_explained_and_shown_beside_what_applies() {
    let zones =
        Zones::default().with_txt("_dmarc.example.jp", "v=DMARC1; p=quarantine; sp=none; rua=mailto:x@example.jp");
    let (code, text) = run(&zones, OURS, &["shop.example.jp", "--policy", "reject", "--testing"]);
    assert_eq!(code, Ok(DONE));
    for part in [
        "_dmarc.shop.example.jp. IN TXT \"v=DMARC1; p=reject; t=y; rua=mailto:dmarc@relay.example.jp\"",
        "  p=reject\n      Receivers are asked to refuse mail in the name of this domain that fails DMARC.",
        "  sp=reject (not written: default)",
        "_dmarc.example.jp: v=DMARC1; p=quarantine",
        "shop.example.jp has no record of its own; its organizational domain example.jp has one, and its sp applies",
        "Its rua does not name our report address",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(!text.contains("leave the organization"), "both are of example.jp: {text}");
    let (_, japanese) = run(&zones, OURS, &["shop.example.jp", "--lang", "ja"]);
    assert!(japanese.contains("このドメインを名乗り"), "{japanese}");
    let (_, without) = run(&zones, "", &["shop.example.jp"]);
    assert!(without.contains("No [bounce] report_address is set"), "{without}");
}

#[test]
fn reports_that_leave_the_organization_need_a_record_that_is_shown() {
    let zones = Zones::default().with_txt("shop.example._report._dmarc.there.example.net", "v=DMARC1");
    let out = json(&zones, &["Shop.example", "--rua", "a@there.example.net,mailto:b@shop.example"]);
    assert_eq!(
        out["record"],
        "v=DMARC1; p=none; rua=mailto:dmarc@relay.example.jp,mailto:a@there.example.net,mailto:b@shop.example"
    );
    let needed = out["authorisations"].as_array().expect("a list");
    assert_eq!(needed.len(), 2, "{out}");
    assert_eq!(needed[0]["zone"], "shop.example._report._dmarc.relay.example.jp. IN TXT \"v=DMARC1;\"");
    assert_eq!((&needed[0]["is_published"], &needed[1]["is_published"]), (&false.into(), &true.into()));
}

#[test]
fn old_records_are_made_better_from_the_line_or_from_the_dns() {
    let zones =
        Zones::default().with_txt("_dmarc.example.jp", "v=DMARC1; p=reject; pct=50; ri=3600; rua=mailto:x@example.jp");
    let new = "v=DMARC1; p=reject; t=y; rua=mailto:x@example.jp,mailto:dmarc@relay.example.jp";
    for args in [
        ["example.jp", "--upgrade-published", "--json"].as_slice(),
        &["example.jp", "--upgrade", "v=DMARC1; p=reject; pct=50; ri=3600; rua=mailto:x@example.jp"],
    ] {
        let out = json(&zones, &args.iter().filter(|a| **a != "--json").copied().collect::<Vec<_>>());
        assert_eq!(out["record"], new);
        assert_eq!(out["changes"].as_array().map(Vec::len), Some(3), "{out}");
    }
    let refused = |args: &[&str]| run(&zones, OURS, args);
    let (code, text) = refused(&["shop.example.jp", "--upgrade-published"]);
    assert!(code == Ok(NO) && text.contains("that of example.jp applies"), "{text}");
    let (code, text) = refused(&["other.example", "--upgrade-published"]);
    assert!(code == Ok(NO) && text.contains("has no DMARC record"), "{text}");
    let slow = Zones::default().failing("_dmarc.example.jp");
    let (code, text) = run(&slow, OURS, &["example.jp", "--upgrade-published"]);
    assert!(code == Ok(NO) && text.contains("did not say"), "{text}");
    for bad in [
        &["example.jp", "--upgrade", "v=spf1 -all"][..],
        &["exa mple..jp"],
        &["example.jp", "--fo", "2"],
        &["example.jp", "--rua", "nobody"],
    ] {
        assert!(refused(bad).0.is_err(), "{bad:?}");
    }
    let conflicting = command().try_get_matches_from(["record", "example.jp", "--upgrade", "x", "--policy", "none"]);
    assert!(conflicting.is_err());
}
