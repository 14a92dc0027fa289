//! The sandbox: nothing leaves the machine, its simulator addresses show every state of the log, and its mail is there to be looked at:
//! all mail in its mode, else that of the API users whose sandbox is on.

use crate::support::{Browser, Client, Config, Relay, Sink, client::letter, until};

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

const KEY: &str = "correct-horse-battery-staple";

/// An API user on `relay`, logged in.
fn logged_in(relay: &Relay, name: &str, settings: &[&str]) -> Client {
    let key_file = relay.place.write("key", KEY);
    let key_file = key_file.to_str().expect("the place's path is text").to_owned();
    relay.cli(&[&["user", "add", name, "--api", "--key-file", &key_file], settings].concat()).expect_done();
    let mut client = Client::hello(relay.smtp());
    client.auth_plain(name, KEY).expect("235");
    client
}

#[test]
fn a_users_sandbox_keeps_its_mail_and_no_other() {
    let sink = Sink::willing();
    let mut relay =
        Relay::start(Config::smarthost(sink.address()).set("relay.policy", "\"auth\"").set("relay.networks", "[]"));
    let mut browser = Browser::downloader(&relay);
    assert!(browser.get("/sandbox").body.contains("No sandbox is in use"), "{}", browser.page);
    let mut shop = logged_in(&relay, "shop", &[]);
    let mut staging = logged_in(&relay, "staging", &["--sandbox", "on"]);
    let mut trial = logged_in(&relay, "trial", &["--sandbox", "on"]);
    assert!(browser.get("/sandbox").body.contains("What API users with their sandbox on send appears here"));
    relay.cli(&["suppress", "add", "left@dst.test"]).expect_done();

    shop.send("a@src.test", &["real@dst.test"], letter("A-real-mail", "x\r\n").as_bytes()).expect("250");
    let small = letter("A-small-one", "Hello <script>alert(1)</script>\r\n");
    let to = ["one@dst.test", "bounce@dst.test", "left@dst.test", "two@dst.test"];
    let small_id = staging.send("a@src.test", &to, small.as_bytes()).expect("250").queue_id();
    // Who heard 250 finds it: nobody waits for it here.
    let page = browser.get("/sandbox").body;
    assert!(
        page.contains("A-small-one") && page.contains("<bdi>one@dst.test</bdi>, <bdi>two@dst.test</bdi>"),
        "{page}"
    );
    assert!(!page.contains("bounce@dst.test") && !page.contains("left@dst.test"), "they did not get it: {page}");
    // One that is too large for RAM, of another user; and one that reaches nobody.
    let large = letter("A-large-one", &"0123456789abcdef0123456789abcdef\r\n".repeat(20_000));
    let large_id = trial.send("a@src.test", &["three@dst.test"], large.as_bytes()).expect("250").queue_id();
    trial.send("a@src.test", &["bounce+2@dst.test"], letter("A-bounce", "x\r\n").as_bytes()).expect("250");
    sink.wait_for(1);

    let check = |browser: &mut Browser| {
        let all = browser.get("/sandbox").body;
        assert!(all.contains("A-small-one") && all.contains("A-large-one"), "{all}");
        assert!(!all.contains("A-real-mail") && !all.contains("A-bounce"), "{all}");
        let one = browser.get("/sandbox?user=trial").body;
        assert!(one.contains("API user <bdi>trial</bdi>") && one.contains("A-large-one"), "{one}");
        assert!(!one.contains("A-small-one"), "{one}");
        for (id, content) in [(&small_id, &small), (&large_id, &large)] {
            let source = browser.get(&format!("/sandbox/{id}/mail.eml")).body;
            assert!(source.ends_with(content.as_str()) && source.starts_with("Received: "), "{} octets", source.len());
        }
        let page = browser.get(&format!("/sandbox/{small_id}")).body;
        assert!(page.contains("/sandbox?user=staging") && !page.contains("<script>alert(1)"), "{page}");
    };
    check(&mut browser);
    // One final event a recipient, as for all mail; nothing waits, and nothing left.
    for (kind, to) in [("succeeded", "one"), ("failed", "bounce"), ("failed", "left"), ("succeeded", "two")] {
        assert_eq!(relay.wait_events(kind, &format!("{to}@dst.test"), 1).len(), 1, "{to}");
    }
    assert!(relay.deliveries().iter().filter(|e| e.message() == small_id && e.is_final()).count() == 4);
    assert_eq!(sink.taken(), 1);
    relay.kill();
    relay.restart();
    check(&mut Browser::signed_in(relay.http(), crate::support::console::ADMIN));
}

#[test]
fn where_all_mail_is_kept_a_users_sandbox_keeps_it_too() {
    let relay = Relay::start(Config::sandbox());
    let mut staging = logged_in(&relay, "staging", &["--sandbox", "on"]);
    let id = staging.send("a@src.test", &["one@dst.test"], letter("Of-staging", "x\r\n").as_bytes()).expect("250");
    relay.submit("a@src.test", &["two@dst.test"], "Of-nobody");
    relay.wait_event("succeeded", "two@dst.test");
    let mut browser = Browser::administrator(&relay);
    let all = browser.get("/sandbox").body;
    assert!(all.contains("Of-staging") && all.contains("Of-nobody") && all.contains(&id.queue_id()), "{all}");
    let one = browser.get("/sandbox?user=staging").body;
    assert!(one.contains("Of-staging") && !one.contains("Of-nobody"), "{one}");
}

#[test]
fn a_sandbox_that_cannot_be_written_costs_nobody_a_mail() {
    let sink = Sink::willing();
    let relay =
        Relay::start(Config::smarthost(sink.address()).set("relay.policy", "\"auth\"").set("relay.networks", "[]"));
    let mut staging = logged_in(&relay, "staging", &["--sandbox", "on"]);
    let folder = relay.data_dir().join("sandbox");
    std::fs::remove_dir_all(&folder).expect("it was made at the start");
    let id = staging.send("a@src.test", &["one@dst.test"], letter("Not-kept", "x\r\n").as_bytes()).expect("250");
    relay.wait_event("succeeded", "one@dst.test");
    relay.wait_log("not kept in the sandbox");
    let mut browser = Browser::administrator(&relay);
    assert!(browser.get(&format!("/message/{}", id.queue_id())).body.contains("Not-kept"));
    assert!(!browser.get("/sandbox").body.contains("Not-kept"));
}
