//! What people and programs see of a check, over a made-up daemon.

use super::*;
use crate::{
    cli::{Target, table},
    http::{fake::Fake, front::Limits, rig::Rig},
};

/// Exit code and what was printed.
fn run(of: &str, line: &str) -> (u8, String) {
    let rig = Rig::new(Fake::busy(), Limits::default());
    let client = Client::new(&Target { data_dir: rig.dir.clone() });
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let words = std::iter::once(of).chain(line.split_whitespace());
    let code = table::finish(&mut Output { out: &mut out, err: &mut err }, |output| match of {
        "check" => run_to(&command().get_matches_from(words), &client, output),
        _ => super::super::records::run_to(&super::super::records::command().get_matches_from(words), &client, output),
    });
    (code, String::from_utf8([out, err].concat()).expect("UTF-8"))
}

#[test]
fn the_verdict_comes_first_then_the_worst_and_records_can_be_copied() {
    let (code, text) = run("check", "shop.example --lang en");
    assert_eq!(code, NO, "there is an error: {text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("shop.example: errors: 1, warnings: 2."), "{text}");
    let at =
        |part: &str| lines.iter().position(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part} in {text}"));
    assert!(at("== error (1) ==") < at("[spf.address]") && at("[spf.address]") < at("== warning (2) =="), "{text}");
    let record = lines[at("Publish:") + 1];
    assert_eq!(record, "shop.example. 3600 IN TXT \"v=spf1 ip4:192.0.2.0/29 ip4:192.0.2.11 -all\"");
    assert!(!text.contains("[spf.record]") && text.contains("Not shown, with --all: note 1, ok 1"), "{text}");
    // What came from elsewhere cannot drive the terminal.
    assert!(text.contains("evil") && !text.chars().any(|c| c == '\u{1b}' || c == '\u{202e}'), "{text}");

    let (_, all) = run("check", "shop.example --lang ja --all");
    assert!(all.contains("[spf.record]") && all.contains("理由：") && all.contains("公開するレコード："), "{all}");
    let (code, fine) = run("check", "example.jp --lang en");
    assert_eq!((code, fine.contains("nothing is wrong")), (DONE, true), "{fine}");
}

#[test]
fn all_domains_of_the_config_are_looked_at_and_programs_get_a_line_each() {
    let (code, text) = run("check", "--json --lang en");
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let names: Vec<&str> = rows.iter().filter_map(|row| row["domain"].as_str()).collect();
    assert_eq!((code, names), (NO, vec!["example.jp", "shop.example", "new.example"]));
    let spf =
        rows[1]["findings"].as_array().expect("a list").iter().find(|f| f["check"] == "spf.address").expect("found");
    assert_eq!(spf["facts"]["fails"]["address"], "192.0.2.11");
    assert_eq!((&spf["records"][0]["type"], &spf["level"]), (&"TXT".into(), &"error".into()));
    let (code, text) = run("check", "no_name! --lang en");
    assert!(code != DONE && text.contains("no domain name"), "{code} {text}");
}

#[test]
fn records_are_lines_of_a_zone_file() {
    let (code, text) = run("records", "shop.example --lang en");
    assert_eq!(code, DONE);
    assert!(text.starts_with("; Records for shop.example\n"), "{text}");
    assert!(text.contains("\n; to be published\n_dmarc.shop.example. 3600 IN TXT \"v=DMARC1; p=none\"\n"), "{text}");
    assert!(text.lines().all(|line| line.starts_with(';') || line.starts_with("_dmarc.")), "{text}");
}
