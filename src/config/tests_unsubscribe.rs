//! The promises of `[unsubscribe]`, by data.

use super::{
    tests::{check, check_warning, load},
    *,
};

/// A good table, as far as its filter; `more` follows on line 4.
fn with(more: &str) -> String {
    format!("[unsubscribe]\naddress = \"127.0.0.1:8030\"\npublic_url = \"https://mail.example.jp/\"\n{more}")
}

const FILTER: &str = "[[unsubscribe.filter]]\nname = \"news\"\nheader = \"List-Id\"\npattern = \"<news.example.jp>\"\n";

#[test]
fn a_filter_whose_links_lead_nowhere_is_refused_with_line_and_fix() {
    let key = "unsubscribe.filter.name";
    check(FILTER, 2, key, "no listener", "set address in [unsubscribe]");
    let text = format!("[unsubscribe]\naddress = \"127.0.0.1:8030\"\n{FILTER}");
    let errors = load(&text).expect_err("no public_url").errors;
    assert_eq!((errors.len(), errors[0].key.as_str()), (1, key), "{errors:#?}");
    assert!(errors[0].reason.contains("public_url is empty") && errors[0].fix.contains("https://"));
    let line = |value: &str| format!("[unsubscribe]\npublic_url = \"{value}\"\n");
    check(&line("http://mail.example.jp"), 2, "unsubscribe.public_url", "in clear", "https://");
    check(&line("https://mail.example.jp/?a=b"), 2, "unsubscribe.public_url", "path follows", "https://HOST/PATH");
    let long = format!("https://mail.example.jp/{}", "x".repeat(200));
    check(&line(&long), 2, "unsubscribe.public_url", "too long", "at most 200");
}

#[test]
fn filters_are_bounded_and_read_as_they_are_meant() {
    let filter = |name: &str, header: &str, pattern: &str| {
        with(&format!("[[unsubscribe.filter]]\nname = \"{name}\"\nheader = \"{header}\"\npattern = '{pattern}'\n"))
    };
    let at = |key: &str| format!("unsubscribe.filter.{key}");
    check(&filter(&"x".repeat(51), "List-Id", "a"), 5, &at("name"), "too long", "50");
    check(&filter(" news", "List-Id", "a"), 5, &at("name"), "no blank", "newsletter");
    check(&filter("news", &"x".repeat(101), "a"), 6, &at("header"), "too long", "100");
    check(&filter("news", "List-Id:", "a"), 6, &at("header"), "not the name", "without the colon");
    check(&filter("news", "List-Id", &"x".repeat(101)), 7, &at("pattern"), "too long", "1 to 100");
    check(&filter("news", "List-Id", "  "), 7, &at("pattern"), "empty", "1 to 100");
    check(&filter("news", "List-Id", "/(/"), 7, &at("pattern"), "unclosed group", "syntax");
    check(&filter("news", "List-Id", "/x*/"), 7, &at("pattern"), "every value", "special");
    let missing = with("[[unsubscribe.filter]]\nname = \"news\"\nheader = \"List-Id\"\n");
    check(&missing, 4, &at("pattern"), "needs the key pattern", "add pattern");
    let twice = with(&format!("{FILTER}{}", FILTER.replace("news\"", "NEWS\"")));
    check(&twice, 9, &at("name"), "twice", "its own name");

    for (pattern, value, expected) in [
        ("<news.example.jp>", "<news.example.jp>", true),
        ("<news.example.jp>", "<NEWS.example.jp>", true),
        ("<news.example.jp>", "News <news.example.jp>", false),
        ("<news.example.jp>", "<newsXexample.jp>", false),
        ("/<news\\.example\\.jp>$/", "News <news.example.jp>", true),
        ("/^(today|weekly)/", "Weekly news", true),
        ("/^(today|weekly)/", "The weekly", false),
        ("お知らせÉ", "お知らせé", true),
        ("お知らせ", "重要なお知らせ", false),
    ] {
        let config = load(&filter("news", "List-Id", pattern)).expect(pattern).config;
        assert_eq!(config.unsubscribe.filters[0].pattern.matches(value), expected, "{pattern} on {value}");
        let shown = effective(&config);
        assert!(
            shown.contains(&format!("pattern = '{pattern}'")) || shown.contains(&format!("pattern = \"{pattern}\""))
        );
    }
}

#[test]
fn the_listener_is_safe_or_refused() {
    let open = "[unsubscribe]\naddress = \"0.0.0.0:8030\"\npublic_url = \"https://mail.example.jp\"\n";
    check(open, 2, "unsubscribe.address", "in clear", "tls = true");
    assert!(load(&format!("{open}proxy_networks = [\"10.0.0.0/8\"]\n")).is_ok());
    check(&format!("{open}tls = true\n"), 4, "unsubscribe.tls", "needs a certificate", "[tls]");
    let clash = "[unsubscribe]\naddress = \"127.0.0.1:8025\"\npublic_url = \"https://mail.example.jp\"\n";
    check(clash, 2, "unsubscribe.address", "taken already by http.address", "port");
    check(&with("run = \"daily\"\n"), 4, "unsubscribe.run", "not a time of day", "immediately");

    let config = load(&with(&format!("run = \"04:30\"\n{FILTER}"))).expect("good").config;
    assert_eq!(config.unsubscribe.run_at_minute, Some(270));
    assert_eq!(config.unsubscribe.public_url, "https://mail.example.jp", "links are made of it with one slash");
    assert_eq!(load(&with(FILTER)).expect("good").warnings, [], "it is in force, and nothing is said to be missing");
    let clear = with(FILTER).replace("https://mail.example.jp/", "http://127.0.0.1:8030");
    check_warning(&clear, 3, "unsubscribe.public_url", "https:// alone");
    check_warning(&with(&FILTER.replace("List-Id", "list-unsubscribe")), 6, "unsubscribe.filter.header", "never acts");
    check_warning("[unsubscribe]\naddress = \"127.0.0.1:8030\"\n", 2, "unsubscribe.address", "public_url is empty");
}

#[test]
fn what_a_reload_changes_is_told() {
    let other = FILTER.replace("news", "offers");
    let old = load(&with(&format!("{FILTER}{other}"))).expect("good").config;
    let new = load(&with(&format!("{other}{FILTER}tls = false\n")).replace("tls = false\n", "")).expect("good").config;
    let diffs = difference(&old, &new);
    assert_eq!(diffs.len(), 1, "{diffs:#?}");
    assert_eq!((diffs[0].key.as_str(), diffs[0].needs_restart), ("unsubscribe.filter (order)", false));
    let moved = load(&with(&format!("{FILTER}{other}")).replace("8030", "8031")).expect("good").config;
    assert!(difference(&old, &moved).iter().all(|d| d.key == "unsubscribe.address" && d.needs_restart));
}
