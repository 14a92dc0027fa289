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
    let text = lines.collect::<Vec<_>>().join("\n");
    // A filter is an error where its links would lead nowhere.
    let (head, unsubscribe) = text.split_once("[unsubscribe]").expect("the example has the table");
    let unsubscribe = unsubscribe.replacen("address = \"\"", "address = \"127.0.0.1:8030\"", 1);
    let unsubscribe = unsubscribe.replacen("public_url = \"\"", "public_url = \"https://mail.example.jp\"", 1);
    format!("{head}[unsubscribe]{unsubscribe}")
}

/// What [`uncommented`] sets besides what the example says.
const SET_FOR_THE_FILTER: [&str; 2] = ["unsubscribe.address", "unsubscribe.public_url"];

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
    let is_default = |diff: &Diff| !diff.key.contains('[') && !SET_FOR_THE_FILTER.contains(&diff.key.as_str());
    let differing: Vec<Diff> = difference(&defaults, &all).into_iter().filter(is_default).collect();
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

#[test]
fn the_configs_of_the_readme_pass() {
    let readme = include_str!("../../README.md");
    let around = Surroundings { files: Files::Ignored, ..calm() };
    let blocks: Vec<&str> =
        readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect();
    assert!(blocks.len() >= 2, "the short one, and the one for what comes back");
    for block in blocks {
        let read =
            read_str(Path::new("/etc/hikyaku/config.toml"), block, &around).unwrap_or_else(|e| panic!("{e}\n{block}"));
        assert!(read.warnings.is_empty(), "{:?}", read.warnings);
    }
}
