//! The repository's own rules as tests: who may import whom, who owns which crate, how files open and how long they are,
//! who reads the clock, that every config key is explained, how Japanese is written, and which dependencies and licences are let in.
//!
//! A rule that is broken for a good reason is changed here, with the reason beside it.
#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

#[path = "tidy/dependencies.rs"]
mod dependencies;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/japanese.rs"]
mod japanese;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Lines of one file at most: a longer one has two purposes.
const FILE_LINES_MAX: usize = 600;

/// Names of config fields that are no keys of the file, and why.
const FIELDS_WITHOUT_KEY: &[(&str, &str)] = &[
    ("smarthost_password", "what smarthost_password_file says"),
    ("key", "what private_key says"),
    ("origin", "where the file is, and its lines"),
    ("run_at_minute", "key: run"),
    ("reject_on_submit", "key: on_submit"),
    ("form", "key: format"),
    ("json", "key: format"),
    ("listeners", "[[listener]]"),
    ("forwards", "[[forward]]"),
    ("domains", "[[domain]]"),
    ("webhooks", "[[webhook]]"),
    ("filters", "[[unsubscribe.filter]]"),
    ("rules", "[[delivery.rule]]"),
    ("sources", "[[delivery.source]]"),
    ("responses", "[[delivery.response]]"),
    ("tls_policies", "[[delivery.tls_policy]]"),
    ("filters", "[[unsubscribe.filter]]"),
    ("default", "the priority of mail that says nothing"),
    ("host", "part of smarthost"),
    ("port", "also a part of smarthost"),
];

#[test]
fn every_file_opens_with_its_purpose_and_is_short_enough() {
    let mut wrong = Vec::new();
    for (path, text) in rust_files(&["src", "tests", "benches"]) {
        let lines = text.lines().count();
        if !text.starts_with("//!") {
            wrong.push(format!("{path}: does not open with //! and what it is for"));
        }
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{path}: {lines} lines, over {FILE_LINES_MAX}"));
        }
    }
    none(&wrong);
}

#[test]
fn only_clock_reads_the_clock() {
    let mut wrong = Vec::new();
    for (path, text) in rust_files(&["src", "tests", "benches"]) {
        if path == "src/clock.rs" {
            continue;
        }
        for (n, line) in text.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//")) {
            for call in [concat!("SystemTime::", "now("), concat!("Instant::", "now(")] {
                if line.contains(call) {
                    wrong.push(format!("{path}:{}: {call}) — take a Clock", n + 1));
                }
            }
        }
    }
    none(&wrong);
}

#[test]
fn nothing_is_left_open() {
    let marks = [
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("TO", "DO"),
        concat!("HA", "CK"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
    ];
    let mut wrong = Vec::new();
    for (path, text) in rust_files(&["src", "tests", "benches"]) {
        for (n, line) in text.lines().enumerate() {
            for mark in marks {
                if line.contains(mark) {
                    wrong.push(format!("{path}:{}: {mark}", n + 1));
                }
            }
        }
    }
    none(&wrong);
}

#[test]
fn every_config_field_has_its_key_in_the_example() {
    let types: Vec<_> = rust_files(&["src/config"]).into_iter().filter(|(path, _)| path.contains("/types")).collect();
    let example = fs::read_to_string(root().join("config.example.toml")).unwrap();
    let keys: Vec<&str> = example
        .lines()
        .map(|l| l.trim_start_matches(['#', ' ']))
        .filter_map(|l| l.split_once('=').map(|(key, _)| key.trim()).or(Some(l.trim_matches(['[', ']']))))
        .flat_map(|k| k.split('.'))
        .collect();
    let mut wrong = Vec::new();
    for (path, line) in types.iter().flat_map(|(path, text)| text.lines().map(move |l| (path, l))) {
        let Some(field) = line.trim().strip_prefix("pub ").and_then(|l| l.split_once(':')).map(|(f, _)| f) else {
            continue;
        };
        let is_name = field.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if is_name && !keys.contains(&field) && !FIELDS_WITHOUT_KEY.iter().any(|(f, _)| *f == field) {
            wrong.push(format!("{path}: {field} is not in config.example.toml"));
        }
    }
    none(&wrong);
}

#[test]
fn every_key_of_the_example_is_explained() {
    let example = fs::read_to_string(root().join("config.example.toml")).unwrap();
    let mut wrong = Vec::new();
    // Words above the key (or the group it stands in), or beside it.
    let mut explained = false;
    for (n, line) in example.lines().enumerate() {
        let setting = line.strip_prefix('#').unwrap_or(line);
        let key = setting.split_once('=').map(|(key, _)| key.trim()).filter(|key| is_key_name(key));
        if line.trim().is_empty() {
            explained = false;
        } else if line.starts_with("# ") {
            explained = true;
        } else if let Some(key) = key {
            let beside = setting.split_once(" # ").is_some_and(|(_, words)| words.contains(' '));
            if !explained && !beside {
                wrong.push(format!("config.example.toml:{}: {key} has no words", n + 1));
            }
        }
    }
    none(&wrong);
}

fn is_key_name(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.')
}

#[test]
fn the_map_in_lib_names_every_room() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let map: String = lib.lines().filter(|l| l.starts_with("//!")).collect();
    let mut wrong = Vec::new();
    for room in lib.lines().filter_map(|l| l.strip_prefix("pub mod ")).map(|l| l.trim_end_matches(';')) {
        if !map.contains(room) {
            wrong.push(format!("src/lib.rs: the map does not mention {room}"));
        }
    }
    none(&wrong);
}

#[test]
fn what_must_be_committed_is_there() {
    for file in
        ["Cargo.lock", "README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "config.example.toml", ".ci/run"]
    {
        assert!(root().join(file).is_file(), "{file} is missing");
    }
    let listed = Command::new("git").args(["ls-files", "--error-unmatch", "Cargo.lock"]).current_dir(root()).output();
    // Outside a repository (a source archive) there is nothing to ask.
    if let Ok(output) = listed
        && root().join(".git").exists()
    {
        assert!(output.status.success(), "Cargo.lock is not committed");
    }
}

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below these folders: its path from the root, and its text.
fn rust_files(dirs: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = dirs.iter().map(|d| root().join(d)).collect();
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                // Built things, and the fuzzers' corpora.
                if !path.ends_with("target") && !path.ends_with("corpus") {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty());
    found.sort();
    found
}

/// Panics with all of them at once.
#[track_caller]
fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} broken rules:\n{}", wrong.len(), wrong.join("\n"));
}
