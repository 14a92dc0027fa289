//! The promises of `config::lines`: each value with its line, no secret, and what waits for a restart.

use std::path::Path;

use super::{
    lines::{FileNow, Setting, Table, note_waiting, settings, without_path},
    tests::{calm, load},
    tests_example::uncommented,
    *,
};

fn find<'t>(tables: &'t [Table], head: &str, row: &str, key: &str) -> &'t Setting {
    let table = tables.iter().find(|table| table.head == head && table.row == row);
    let table = table.unwrap_or_else(|| panic!("no {head} of {row:?}"));
    table.settings.iter().find(|setting| setting.key == key).unwrap_or_else(|| panic!("no {key} in {head}"))
}

#[test]
fn every_line_that_is_told_holds_that_key() {
    let text = uncommented(include_str!("../../config.example.toml"));
    let around = Surroundings { files: Files::Ignored, ..calm() };
    let config =
        read_str(Path::new("/etc/hikyaku/config.toml"), &text, &around).unwrap_or_else(|e| panic!("{e}")).config;
    let lines: Vec<&str> = text.lines().collect();
    let mut told = 0;
    for table in settings(&config, true) {
        if let Some(line) = table.line.filter(|_| table.settings.iter().any(|setting| setting.line.is_some())) {
            let bare = table.head.trim_matches(['[', ']']);
            let its_line = lines[line - 1].trim_matches(['[', ']']);
            // A table around others may be named by its first child alone.
            assert!(bare == its_line || its_line.starts_with(bare), "{} at {line}: {its_line}", table.head);
        }
        for setting in &table.settings {
            // The example says all of a table; of a second row only what differs.
            let Some(line) = setting.line else {
                assert!(table.head.starts_with("[["), "{}{} has no line", table.head, setting.key);
                continue;
            };
            let there = lines[line - 1];
            assert!(there.trim_start().starts_with(&format!("{} =", setting.key)), "{}: {there}", setting.key);
            told += 1;
        }
    }
    assert!(told > 150, "{told}");
}

#[test]
fn rows_have_the_lines_of_their_own_keys_and_defaults_have_none() {
    let text = "\
[relay]
recipients_max = 500

[[domain]]
name = \"a.example\"
[[domain.dkim]]
selector = \"s1\"
private_key = \"/k/a1\"
[[domain.dkim]]
selector = \"s2\"
private_key = \"/k/a2\"
[[domain]]
return_domain = \"r.b.example\"
name = \"b.example\"
[[domain.dkim]]
selector = \"s1\"
private_key = \"/k/b1\"
";
    let around = Surroundings { files: Files::Ignored, ..calm() };
    let config = read_str(Path::new("/c.toml"), text, &around).unwrap_or_else(|e| panic!("{e}")).config;
    let tables = settings(&config, true);
    let of = |head, row, key| {
        let setting = find(&tables, head, row, key);
        (setting.value.as_deref().unwrap_or("-").to_owned(), setting.line)
    };
    assert_eq!(of("[relay]", "", "recipients_max"), ("500".into(), Some(2)));
    assert_eq!(find(&tables, "[relay]", "", "recipients_max").default.as_deref(), Some("1000"));
    assert_eq!(of("[relay]", "", "sessions_max").1, None);
    assert_eq!(find(&tables, "[[domain]]", "b.example", "return_domain").default, None, "it follows from another key");
    assert_eq!(of("[[domain]]", "b.example", "return_domain"), ("\"r.b.example\"".into(), Some(13)));
    // Made of another key: no line says it.
    assert_eq!(of("[[domain]]", "a.example", "return_domain"), ("\"return.relay.example.jp\"".into(), None));
    assert_eq!(of("[[domain.dkim]]", "a.example · s2", "private_key"), ("\"/k/a2\"".into(), Some(11)));
    assert_eq!(of("[[domain.dkim]]", "b.example · s1", "private_key"), ("\"/k/b1\"".into(), Some(17)));
    // The machine's name is no default of the table, and no line of the file.
    assert_eq!(of("[server]", "", "hostname"), ("\"relay.example.jp\"".into(), None));
    // Without a listener there is one all the same.
    assert_eq!(of("[[listener]]", "127.0.0.1:2525", "role"), ("\"relay\"".into(), None));
}

#[test]
fn no_secret_is_told() {
    let text = "[[webhook]]\nname = \"crm\"\nurl = \"https://a.example/hook?token=hush1\"\napi_key = \"hush2\"\n\
                signing_key = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n";
    let tables = settings(&load(text).expect("good").config, true);
    let all = format!("{tables:?}");
    assert!(!all.contains("hush") && !all.contains("MfKQ"), "{all}");
    let of = |key| find(&tables, "[[webhook]]", "crm", key).value.clone();
    assert_eq!(of("url").as_deref(), Some("\"https://a.example/hook?…\""));
    assert_eq!((of("api_key").as_deref(), of("time_zone").as_deref()), (Some("\"(hidden)\""), Some("\"\"")));
    // Without one, that is told: an empty key is a finding, not a secret.
    let none =
        settings(&load("[[webhook]]\nname = \"crm\"\nurl = \"https://a.example/\"\n").expect("good").config, true);
    assert_eq!(find(&none, "[[webhook]]", "crm", "api_key").value.as_deref(), Some("\"\""));
}

#[test]
fn what_waits_for_a_restart_is_told_with_the_line_that_says_it() {
    let mut in_force = load("[server]\nthreads = 2\n").expect("good").config;
    let as_read = load("# one more line\n[server]\nthreads = 4\n").expect("good").config;
    note_waiting(&mut in_force, &as_read);
    let tables = settings(&in_force, true);
    let threads = find(&tables, "[server]", "", "threads");
    assert_eq!((threads.value.as_deref(), threads.line, threads.waits.as_deref()), (Some("2"), Some(3), Some("4")));
    assert!(threads.needs_restart && !find(&tables, "[log]", "", "level").needs_restart);
    assert_eq!(in_force.origin.waiting.len(), 1);
}

#[test]
fn an_edit_of_the_file_is_seen() {
    let file = std::env::temp_dir().join(format!("hikyaku-config-lines-{}.toml", std::process::id()));
    let text = "[log]\nlevel = \"warn\"\n";
    std::fs::write(&file, text).unwrap();
    let origin = read_str(&file, text, &calm()).expect("good").config.origin;
    assert_eq!((origin.file.as_deref(), origin.now()), (Some(file.as_path()), FileNow::Same));
    std::fs::write(&file, "[log]\nlevel = \"info\"\n").unwrap();
    assert_eq!(origin.now(), FileNow::Changed);
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(origin.now(), FileNow::Unreadable(why) if why.contains("No such file")));
    assert_eq!(Config::default().origin.now(), FileNow::None);
}

#[test]
fn a_url_without_its_path_is_scheme_and_host() {
    for (url, shown) in [
        ("https://hooks.chat.example/services/T0/B0/secret", "https://hooks.chat.example/…"),
        ("\"https://hooks.chat.example:8443/services?a=b\"", "\"https://hooks.chat.example:8443/…\""),
        ("https://u:p@h.example?x", "https://h.example/…"),
        ("\"https://h.example/\"", "\"https://h.example\""),
        ("https://h.example", "https://h.example"),
        ("(hidden)", "(hidden)"),
    ] {
        assert_eq!(without_path(url), shown, "{url}");
    }
}
