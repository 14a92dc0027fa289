//! The promises of `[[webhook]]`, by data.

use std::time::Duration;

use super::{
    difference,
    tests::{check, check_warning, load},
};

/// A good table; `more` follows on line 4.
fn with(more: &str) -> String {
    format!("[[webhook]]\nname = \"crm\"\nurl = \"https://a.example/hook?k=v\"\n{more}")
}

#[test]
fn a_webhook_that_could_not_work_is_refused_with_line_and_fix() {
    for (more, key, reason, fix) in [
        ("version = 1\n", "webhook.version", "no JSON", "format = \"form\""),
        ("signing_key = \"short\"\n", "webhook.signing_key", "cannot sign", "whsec_"),
        ("signing_key = \"whsec_not*base64*at*all\"\n", "webhook.signing_key", "cannot sign", "whsec_"),
        ("time_zone = \"Asia/Tokio\"\n", "webhook.time_zone", "no time zone", "IANA"),
        ("timeout = \"10ms\"\n", "webhook.timeout", "", ""),
        ("retry_for = \"40d\"\n", "webhook.retry_for", "", ""),
        ("events = []\n", "webhook.events", "", ""),
    ] {
        check(&with(more), 4, key, reason, fix);
    }
    let four = ["0123456789abcdef"; 4].join(" ");
    check(&with(&format!("signing_key = \"{four}\"\n")), 4, "webhook.signing_key", "at most 3", "the old one");
    check("[[webhook]]\nname = \"a\"\nurl = \"https://a.example/#x\"\n", 3, "webhook.url", "never sent", "leave");
    check("[[webhook]]\nname = \"\"\nurl = \"https://a.example/\"\n", 2, "webhook.name", "", "");
    check(&format!("{}{}", with(""), with("")), 5, "webhook.name", "twice", "its own name");
}

#[test]
fn what_a_webhook_never_does_is_warned_of() {
    check_warning(
        &with("format = \"form\"\nversion = 1\nevents = [\"failed\", \"blocked\"]\n"),
        6,
        "webhook.events",
        "no blocks",
    );
    check_warning(&with("events = [\"failed\", \"failed\"]\n"), 4, "webhook.events", "twice");
    let loaded = load(&with("format = \"form\"\nversion = 1\n")).expect("all events by default");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn a_webhook_has_defaults_that_the_issue_names() {
    let hook = load(&with("signing_key = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw 0123456789abcdef\"\n"))
        .expect("good")
        .config
        .webhooks[0]
        .clone();
    assert_eq!((hook.interval, hook.batch_max), (Duration::from_secs(1), 100));
    assert_eq!((hook.version, hook.form, hook.allow_private, hook.event_ids), (2, false, false, false));
    assert_eq!((hook.timeout, hook.retry_for), (Duration::from_secs(15), Duration::from_secs(259_200)));
    assert_eq!(hook.events, ["queued", "succeeded", "deferred", "failed", "bounced", "blocked"]);
}

#[test]
fn what_is_told_of_a_change_has_no_secret_of_a_url() {
    let hook =
        |token: &str| format!("[[webhook]]\nname = \"crm\"\nurl = \"https://crm.example.jp/in?token={token}\"\n");
    let inbound = "[inbound]\naddresses = [\"a@in.example.jp\"]\n[[inbound.webhook]]\nname = \"in\"\nurl = \"https://crm.example.jp/mail?token=HUSH3\"\n";
    let config = |text: &str| load(text).unwrap_or_else(|e| panic!("{e}")).config;
    let (none, before, after) = (config(""), config(&hook("HUSH1")), config(&hook("HUSH2")));
    for (old, new, shown) in [
        (&before, &after, "https://crm.example.jp/in?…"),
        (&none, &after, "https://crm.example.jp/in?…"),
        (&before, &none, "https://crm.example.jp/in?…"),
        (&none, &config(inbound), "https://crm.example.jp/mail?…"),
    ] {
        let told = difference(old, new);
        assert!(!told.is_empty(), "it changed, and that is told");
        let words: String = told.iter().map(|diff| format!("{}: {} -> {}; ", diff.key, diff.old, diff.new)).collect();
        assert!(words.contains(shown) && !words.contains("HUSH"), "{words}");
    }
}
