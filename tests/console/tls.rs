//! Over real TLS: the first account, the sign-in and the way out, and what the browser keeps and is told meanwhile.
//!
//! Always: the certificate is made by the test, and the browser's profile trusts its key alone; the browser looks the name up at a
//! rule of its own, and nowhere else.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    support::{
        Config, Place, Relay,
        console::{ADMIN, PASSWORD},
        place,
        tls::Authority,
        until,
    },
    tab::Tab,
};

/// The name by which it is reached.
const HOST: &str = "console.test";
/// The session's cookie, and that of who is not signed in.
const SESSION: &str = "__Host-hikyaku";
const VISITOR: &str = "__Host-hikyaku-visitor";

/// A relay that answers HTTPS alone, and a browser that trusts its key.
fn scene() -> Option<(Relay, Browser, String)> {
    let place = Place::new();
    let certificate = Authority::new().certificate(&[HOST]);
    let (chain, key) = certificate.write(&place);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.public_key());
    let address = place::address();
    let browser = Browser::start_with(&[
        format!("--ignore-certificate-errors-spki-list={}", STANDARD.encode(digest)),
        format!("--host-resolver-rules=MAP {HOST} {address}, MAP * ~NOTFOUND, EXCLUDE 127.*"),
    ])?;
    let config = Config::sandbox()
        .set("http.tls", "true")
        .set("http.public_url", &format!("\"https://{HOST}:8025\""))
        .set("tls.certificate", &format!("\"{}\"", chain.display()))
        .set("tls.private_key", &format!("\"{}\"", key.display()));
    let mut relay = Relay::prepare_at(config, place, address);
    relay.spawn();
    relay.wait_log("act=set-up");
    Some((relay, browser, format!("https://{HOST}:8025")))
}

/// Signs in by the form of the page that is shown.
fn sign_in(tab: &Tab<'_>) {
    tab.fill("input[name=name]", ADMIN);
    tab.fill("input[name=password]", PASSWORD);
    let loaded = tab.click("form[action^='/sign-in'] button");
    assert_eq!((loaded.status, loaded.complaints.as_slice()), (200, &[][..]), "{}", tab.at());
}

/// Where the page is that somebody with this session's cookie gets, for a page of people who are signed in.
fn at_with(browser: &Browser, base: &str, name: &str, session: &str) -> String {
    let tab = browser.tab();
    let set = json!({ "name": name, "value": session, "url": base, "path": "/", "secure": true, "httpOnly": true });
    assert_eq!(tab.call("Network.setCookie", set)["success"], json!(true));
    tab.go(&format!("{base}/me"));
    tab.at().split('?').next().unwrap_or_default().to_owned()
}

/// A cookie that no other host and no script reads, and that goes with a link to us alone.
#[track_caller]
fn is_sealed(cookie: &Value) {
    let of = |name: &str| cookie[name].clone();
    assert_eq!((of("secure"), of("httpOnly")), (json!(true), json!(true)), "{cookie}");
    assert_eq!((of("sameSite"), of("path"), of("domain")), (json!("Lax"), json!("/"), json!(HOST)), "{cookie}");
}

#[test]
fn a_session_over_tls_is_sealed_new_at_each_sign_in_and_ends_with_the_sign_out() {
    let Some((relay, browser, base)) = scene() else { return };
    let log = relay.log();
    let link = log.split("link=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a link in the log");
    assert!(link.starts_with(&base), "{link}");
    let tab = browser.tab();
    // The first account, by the link.
    assert_eq!(tab.go(&format!("{link}&lang=en")).status, 200);
    is_sealed(&tab.cookie(&base, VISITOR));
    let visitor = tab.cookie(&base, VISITOR)["value"].as_str().unwrap_or_default().to_owned();
    for (field, text) in [("name", ADMIN), ("new", PASSWORD), ("again", PASSWORD)] {
        tab.fill(&format!("input[name={field}]"), text);
    }
    let made = tab.click("form[action^='/set-up'] button");
    assert_eq!((made.status, tab.at().split('?').next()), (200, Some("/")), "{made:?}");
    let first = tab.cookie(&base, SESSION);
    is_sealed(&first);
    assert_eq!(tab.cookie(&base, "hikyaku"), Value::Null, "no cookie without the prefix");
    assert_eq!(tab.text_of("document.cookie"), "", "no script reads any");
    let first = first["value"].as_str().expect("a session").to_owned();
    assert_ne!(first, visitor);
    assert_eq!(at_with(&browser, &base, SESSION, &visitor), "/sign-in", "what a visitor had opens nothing");
    assert_eq!(at_with(&browser, &base, "hikyaku", &first), "/sign-in", "nor does it without its prefix");
    assert_eq!(at_with(&browser, &base, SESSION, &first), "/me");

    // Out: the cookie goes, and whoever kept it has nothing.
    tab.click("form[action^='/sign-out'] button");
    assert_eq!(tab.cookie(&base, SESSION), Value::Null);
    assert_eq!(at_with(&browser, &base, SESSION, &first), "/sign-in");

    // In again, in a browser into which somebody put a session of their choice: it is not taken over.
    let planted = "planted-by-somebody-who-waits-0123456789abcd";
    let set = json!({ "name": SESSION, "value": &planted[..43], "url": base, "path": "/", "secure": true });
    assert_eq!(tab.call("Network.setCookie", set)["success"], json!(true));
    tab.go(&format!("{base}/sign-in?lang=en"));
    let before = tab.text_of("document.querySelector('input[name=form-token]').value");
    sign_in(&tab);
    let second = tab.cookie(&base, SESSION);
    is_sealed(&second);
    let second = second["value"].as_str().expect("a session").to_owned();
    assert!(second != planted[..43] && second != first && second != visitor);
    assert_eq!(at_with(&browser, &base, SESSION, &planted[..43]), "/sign-in");
    // A form that was loaded before the sign-in is nobody's any more.
    let stale = format!(
        "fetch('/me/sessions/close-others', {{ method: 'POST', body: new URLSearchParams({{ 'form-token': {before:?} }}), \
         redirect: 'manual' }}).then(r => r.status)"
    );
    assert_eq!(tab.evaluate(&stale), json!(403));

    // Signed in twice is two sessions, and the second sign-in here ends the first here.
    let other = browser.tab();
    other.go(&format!("{base}/sign-in?lang=en"));
    sign_in(&other);
    assert_eq!(at_with(&browser, &base, SESSION, &second), "/me", "another browser's sign-in ends none");
    let log = relay.log();
    for secret in [&first, &second, &visitor, &PASSWORD.to_owned()] {
        assert!(!log.contains(secret.as_str()), "the log has a secret");
    }
}

#[test]
fn a_browser_that_came_by_tls_never_comes_by_plain_http_again() {
    let Some((relay, browser, base)) = scene() else { return };
    let tab = browser.tab();
    tab.go(&format!("{base}/sign-in?lang=en"));
    let told = "fetch('/sign-in').then(r => r.headers.get('strict-transport-security'))";
    assert_eq!(tab.text_of(told), "max-age=31536000");
    // Nothing here answers plain HTTP: the browser itself turns it into HTTPS before it asks anybody.
    let loaded = tab.go(&format!("http://{HOST}:8025/sign-in?lang=ja"));
    assert_eq!(loaded.status, 200);
    assert_eq!(tab.text_of("location.href"), format!("{base}/sign-in?lang=ja"));
    // Names below ours are others' affair.
    until("the relay's answer to plain HTTP is none", || relay.get("/sign-in").is_none().then_some(()));
}
