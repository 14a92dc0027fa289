//! Our table of SPF scenarios before pyspf, an implementation that knows nothing of us: the results that the table says, which are
//! ours (`src/spf/suite_tests.rs`), are its results, too.

use std::{process::Command, time::Duration};

use serde_json::Value;

use crate::{api::python_with, support::cli::run_command};

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Tests that the table has at least.
const TESTS_MIN: usize = 50;

#[test]
fn pyspf_comes_to_the_results_of_our_table() {
    let Some(python) = python_with("spf") else { return };
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/spf/table.json");
    let mut command = Command::new(python);
    command.args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/spf_table.py"), data]);
    let said = run_command(command, b"", LIMIT).expect_done().stdout;
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let table: Value = serde_json::from_slice(&std::fs::read(data).expect("the table")).expect("JSON");
    let mut count = 0;
    for scenario in table.as_array().expect("scenarios") {
        let description = scenario["description"].as_str().expect("a text");
        for (name, test) in scenario["tests"].as_object().expect("tests") {
            let theirs = &said[format!("{description}/{name}")];
            assert_eq!(theirs[0], test["result"], "{name}");
            if let Some(words) = test["explanation"].as_str() {
                assert_eq!(theirs[1], words, "{name}");
            }
            count += 1;
        }
    }
    assert!(count >= TESTS_MIN, "{count} tests");
}
