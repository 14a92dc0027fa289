//! The sandbox: nothing leaves the machine, and its simulator addresses show every state of the log.

use crate::support::{Browser, Client, Config, Relay, client::letter, until};

#[test]
fn simulator_addresses_answer_as_such_destinations_do() {
    let relay = Relay::start(Config::sandbox());
    for name in ["anyone", "bounce", "defer", "slow", "blocked"] {
        relay.submit("sender@src.test", &[&format!("{name}@example.test")], name);
    }
    relay.wait_event("succeeded", "anyone@example.test");
    let bounced = relay.wait_event("failed", "bounce@example.test");
    assert!(bounced.reply().starts_with('5'), "a destination's own words: {bounced:?}");
    let deferred = relay.wait_event("deferred", "defer@example.test");
    assert!(deferred.reply().starts_with('4'), "{deferred:?}");
    let blocked = relay.wait_event("failed", "blocked@example.test");
    assert_eq!(blocked.text("error_code"), "10", "CMC's class of suppressed addresses: {blocked:?}");
    relay.wait_event("succeeded", "slow@example.test");
}

#[test]
fn the_page_shows_what_would_have_been_sent() {
    let relay = Relay::start(Config::sandbox());
    let mut client = Client::hello(relay.smtp());
    let content = letter("A-subject-to-find", "Hello <script>alert(1)</script>\r\n");
    let id = client.send("sender@src.test", &["anyone@example.test"], content.as_bytes()).expect("250").queue_id();
    relay.wait_event("succeeded", "anyone@example.test");
    assert_eq!(relay.get("/sandbox").map(|a| a.status), Some(303), "nobody reads it without signing in");
    let mut browser = Browser::administrator(&relay);
    let page = until("the mail on the page", || {
        Some(browser.get("/sandbox")).filter(|a| a.body.contains("A-subject-to-find"))
    });
    assert_eq!(page.status, 200);
    assert!(page.body.contains(&id), "the page names the queue id");
    assert!(!page.body.contains("<script>alert(1)"), "mail never becomes markup");
    for path in ["/livez", "/readyz", "/metrics", "/status.json"] {
        let answer = relay.get(path).expect("the endpoint answers");
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    assert!(relay.get("/metrics").expect("it answers").body.contains("hikyaku_"));
    assert_eq!(relay.get("/nothing/here").expect("it answers").status, 404);
}
