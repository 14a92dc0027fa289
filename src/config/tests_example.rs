//! The promises of `config.example.toml` and of the contract: every key is there, with its default.

use std::path::Path;

use super::{
    tests::{calm, load},
    *,
};

/// Un-comments the settings of the example: `#key = …` and `#[table]`; `# Words` stay comments.
pub(super) fn uncommented(example: &str) -> String {
    let is_setting = |line: &str| {
        line.starts_with('[')
            || line
                .split_once(" = ")
                .is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
    };
    let lines = example.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if is_setting(setting) => setting,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_holds_every_key_with_its_default() {
    let example = include_str!("../../config.example.toml");
    let as_it_is = load(example).expect("check passes on the example").config;
    assert_eq!(
        difference(&load("").expect("defaults").config, &as_it_is),
        [],
        "the example changes nothing as it stands"
    );

    let around = Surroundings { files: Files::Ignored, ..calm() };
    let text = uncommented(example);
    let all = read_str(Path::new("/etc/hikyaku/config.toml"), &text, &around).unwrap_or_else(|e| panic!("{e}")).config;
    // Single tables hold the defaults; arrays of tables are examples, with the rows' defaults where a row has one.
    let defaults = read_str(Path::new("/etc/hikyaku/config.toml"), "", &around).expect("defaults").config;
    let differing: Vec<Diff> = difference(&defaults, &all).into_iter().filter(|diff| !diff.key.contains('[')).collect();
    assert_eq!(differing, []);

    let (_, facts, _) = read::read(&text, Path::new("/"), None);
    for key in show::all_paths() {
        assert!(facts.first_given(&key).is_some(), "{key} is missing in config.example.toml");
    }
}

#[test]
fn every_key_of_the_contract_is_known() {
    // The design notes live beside the repository; where they are absent there is nothing to compare.
    let Ok(contract) = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/design/config.md"))
    else {
        return;
    };
    let toml: String =
        contract.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).expect("a TOML block").into();
    let (_, _, problems) = read::read(&toml, Path::new("/"), None);
    assert!(problems.is_empty(), "the contract has keys that are unknown here: {problems:#?}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    /// However a file was cut, joined or mangled, it is read or refused, and every error can be printed.
    #[test]
    fn no_text_stops_the_reader(cut in 0usize..22_000, skip in 0usize..200, junk in "[\\[\\]{}\"'=.,#\\\\\r\n\ta-z0-9飛\u{7f}]{0,40}") {
        let text = uncommented(include_str!("../../config.example.toml"));
        let boundary = |mut at: usize| {
            at = at.min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let mangled = format!("{}{junk}{}", &text[..boundary(cut)], &text[boundary(cut + skip)..]);
        let around = Surroundings { files: Files::Ignored, ..calm() };
        match read_str(Path::new("/c.toml"), &mangled, &around) {
            Ok(loaded) => drop(effective(&loaded.config)),
            Err(errors) => {
                proptest::prop_assert!(!errors.errors.is_empty());
                proptest::prop_assert!(errors.to_string().contains("/c.toml"));
                proptest::prop_assert!(errors.errors.iter().all(|error| !error.reason.is_empty() && !error.fix.is_empty()));
            }
        }
    }
}
