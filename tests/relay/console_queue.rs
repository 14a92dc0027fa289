//! The console's queue and logs against the real binary: what a person sees, holds, lets go and takes away is what the store has.

use std::net::SocketAddr;

use crate::support::{Config, Relay, console::Browser, place, wait};

#[test]
fn a_person_holds_pauses_drops_and_finds_it_in_the_logs() {
    let away = SocketAddr::from((place::address(), 2600));
    let relay = Relay::start(Config::smarthost(away).set("queue.retry_schedule", "[\"1h\"]"));
    relay.submit("sender@src.test", &["one@dst.test", "two@dst.test", "three@dst.test"], "console");
    for recipient in ["one@dst.test", "two@dst.test", "three@dst.test"] {
        relay.wait_event("deferred", recipient);
    }
    let mut browser = Browser::administrator(&relay);
    let queue = browser.get("/queue");
    assert!(queue.status == 200 && queue.body.contains("3 recipients wait, 0 of them held."), "{}", queue.body);

    // One recipient is held: asked first, then done.
    let list = browser.get("/queue/list?recipient=one@dst.test");
    assert!(list.body.contains("one@dst.test") && !list.body.contains("two@dst.test"), "{}", list.body);
    let tick = browser.field("to");
    let preview = browser.post("/queue/preview", &[("verb", "hold"), ("to", &tick)]);
    assert!(preview.body.contains("Hold: 1 recipients?"), "{}", preview.body);
    let done = browser.post("/queue/act", &[("verb", "hold"), ("to", &tick)]);
    assert!(done.body.contains("1 recipient held."), "{}", done.body);
    let held = browser.get("/queue/list?held=1");
    assert!(held.body.contains("one@dst.test") && !held.body.contains("two@dst.test"));
    assert!(browser.get("/queue").body.contains("3 recipients wait, 1 of them held."));

    // A pause, and its end.
    let paused = browser.post("/queue/pause", &[("destination", "dst.test"), ("for", "1h"), ("reason", "their night")]);
    assert!(
        paused.body.contains("dst.test is paused: 1 hour.") && paused.body.contains("their night"),
        "{}",
        paused.body
    );
    assert!(relay.cli(&["queue", "pauses"]).expect_done().stdout.contains("their night"));
    let resumed = browser.post("/queue/resume", &[("destination", "dst.test")]);
    assert!(resumed.body.contains("Mail goes to dst.test again."), "{}", resumed.body);

    // All that match are dropped; without the tick they are not.
    browser.get("/queue/list?sender=sender@src.test");
    let fields = [("verb", "drop"), ("sender", "sender@src.test")];
    assert_eq!(browser.send("/queue/act", &fields).status, 400);
    let dropped = browser.post("/queue/act", &[fields[0], fields[1], ("sure", "1")]);
    assert!(dropped.body.contains("3 recipients dropped."), "{}", dropped.body);
    let empty = browser.get("/queue");
    assert!(empty.body.contains("Nothing waits"), "{}", empty.body);

    // The logs have all of it, and so has the operation log, in the person's name.
    let log = browser.get("/log/deliveries?recipient=two@dst.test");
    assert!(["accepted", "deferred", "dropped"].iter().all(|word| log.body.contains(word)), "{}", log.body);
    let none = browser.get("/log/deliveries?subject=nothing-like-it");
    assert!(none.body.contains("No entry matches"));
    let found = browser.get("/log/deliveries?subject=CONSOLE&domain=dst.test&status=dropped");
    assert_eq!(found.body.matches("class=\"pill dropped\"").count(), 3, "{}", found.body);
    let audit = browser.get("/audit?area=queue.");
    for text in ["queue.hold", "queue.pause", "queue.resume", "queue.drop", "admin@console.test", "recipients=3"] {
        assert!(audit.body.contains(text), "{text}: {}", audit.body);
    }
    assert!(!audit.body.contains("control socket"), "{}", audit.body);
    // The login log is written a little later: a login waits for no write.
    let logins = wait::until("the login is in its log", || {
        Some(browser.get("/audit/logins")).filter(|logins| logins.body.contains("pill succeeded"))
    });
    assert!(logins.body.contains("admin@console.test") && logins.body.contains("success"), "{}", logins.body);

    // A view is kept across a restart.
    browser.get("/log/deliveries?status=dropped");
    let saved = browser.post("/views/save", &[("page", "deliveries"), ("name", "gone"), ("query", "status=dropped")]);
    assert!(saved.body.contains("The view is saved.") && saved.body.contains(">gone<"), "{}", saved.body);
    let mut relay = relay;
    assert!(relay.stop().success());
    relay.restart();
    assert!(
        browser.get("/log/deliveries").body.contains("href=\"/log/deliveries?status=dropped\""),
        "{}",
        browser.page
    );
}

#[test]
fn a_file_is_for_whoever_may_download() {
    let away = SocketAddr::from((place::address(), 2600));
    let relay = Relay::start(Config::smarthost(away));
    relay.submit("sender@src.test", &["one@dst.test"], "=cmd");
    relay.wait_event("deferred", "one@dst.test");
    let mut browser = Browser::administrator(&relay);
    let refused = browser.look("/log/deliveries.csv");
    assert_eq!(refused.status, 403, "downloading is off until it is granted (R13)");
    relay.cli(&["user", "set", crate::support::console::ADMIN, "--permissions", "view,download"]).expect_done();
    let file = browser.look("/log/deliveries.csv?recipient=one@dst.test");
    assert!(file.status == 200 && file.body.contains("one@dst.test"), "{}", file.body);
    assert!(file.body.contains("\"'=cmd\""), "no cell is a formula: {}", file.body);
    let audit = browser.get("/audit?text=recipient%3Done");
    assert!(audit.body.contains("console.download"), "{}", audit.body);
}
