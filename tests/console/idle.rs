//! A page that looks again by itself: it says so, keeps nobody signed in, and goes away with the session.

use std::time::Duration;

use serde_json::json;

use crate::{
    browser::Browser,
    support::{
        Config, Relay,
        console::{self, ADMIN, PASSWORD},
        now,
    },
};

/// `accounts.session_idle` of this test.
const IDLE: Duration = Duration::from_secs(60);
/// The page looks again far more often than that.
const LOOKS: &str = "const slow = window.setInterval; window.setInterval = (act, after) => slow(act, Math.min(after, 500)); \
                     const ask = window.fetch; window.asked = []; \
                     window.fetch = (to, how) => { window.asked.push(new Headers(how.headers).get('Hikyaku-Looks-Again')); return ask(to, how); };";

#[test]
fn a_page_that_looks_again_keeps_nobody_signed_in() {
    let Some(browser) = Browser::start() else { return };
    let relay = Relay::start(Config::sandbox().set("accounts.session_idle", &format!("\"{}s\"", IDLE.as_secs())));
    let session = console::Browser::administrator(&relay).cookie("hikyaku").to_owned();
    let tab = browser.tab();
    tab.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": LOOKS }));
    let base = format!("http://{}", relay.http());
    tab.sign_in(&base, &session);
    let begun = now();
    assert_eq!(tab.go(&format!("{base}/?lang=en")).status, 200);
    assert_eq!(tab.at(), "/?lang=en");
    tab.until("window.asked.length > 5");
    assert_eq!(tab.evaluate("window.asked.every(mark => mark === 'yes')"), json!(true), "each look says what it is");
    // Nobody touches it: it goes by itself, soon after its time and not before.
    tab.onward_within(IDLE * 2, "the end of the session", || {});
    let took = begun.elapsed();
    assert_eq!(tab.text_of("location.pathname"), "/sign-in");
    assert!(took >= IDLE && took < IDLE + Duration::from_secs(20), "{took:?}");
    assert!(tab.words().contains("because the console was not used for 1 min"), "{}", tab.words());
    assert_eq!(tab.cookie(&base, "hikyaku"), json!(null));
    tab.fill("input[name=name]", ADMIN);
    tab.fill("input[name=password]", PASSWORD);
    assert_eq!(tab.click("form[action^='/sign-in'] button").status, 200);
    assert_eq!(tab.text_of("location.pathname"), "/");
}
