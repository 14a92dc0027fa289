//! People at the door of the console: the first account by the link of the journal, a forgotten password by mail, guesses that
//! wait while others do not.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use rustix::process::Signal;

use crate::support::{
    Act, Browser, Config, Relay, Sink, Step,
    console::{ADMIN, PASSWORD, add_person, header},
    now, until,
};

/// The link in the newest line about the set-up.
fn set_up_path(relay: &Relay) -> Option<String> {
    let log = relay.log();
    let link = log.rsplit("link=http://").next().filter(|_| log.contains("act=set-up"))?;
    let path = link.split_whitespace().next()?;
    path.find('/').map(|at| path[at..].to_owned())
}

#[test]
fn the_first_account_is_made_by_the_newest_link_of_the_journal_and_its_session_outlives_a_restart() {
    let sink = Sink::willing();
    let mut relay = Relay::start(Config::smarthost(sink.address()));
    let old = until("the link", || set_up_path(&relay));
    relay.signal(Signal::HUP);
    let link = until("a new link", || set_up_path(&relay).filter(|link| *link != old));
    let mut browser = Browser::new(relay.http());
    assert!(browser.get("/").body.contains("There is no account yet"));
    assert_eq!(browser.get(&old).status, 403, "a new link ends the old one");
    assert_eq!(browser.get(&link).status, 200);
    let key = browser.field("key");
    let first = [("key", key.as_str()), ("name", ADMIN), ("new", PASSWORD), ("again", PASSWORD), ("language", "en")];
    let answer = browser.send("/set-up", &first);
    assert_eq!((answer.status, header(&answer, "location").as_deref()), (303, Some("/")), "{answer:?}");
    let cookie = answer.head.lines().find(|line| line.contains("hikyaku=")).expect("a session");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && !cookie.contains("Secure"), "{cookie}");
    assert!(browser.get("/me").body.contains(ADMIN));
    let listed = relay.cli(&["user", "show", ADMIN]).expect_done().stdout;
    assert!(listed.contains("group-administrator"), "{listed}");
    let audit = relay.cli(&["log", "audit", "--json"]).expect_done().stdout;
    assert!(audit.contains("user.set-up"), "{audit}");

    let links = relay.log().matches("act=set-up what=").count();
    assert!(relay.stop().success());
    relay.restart();
    assert_eq!(relay.log().matches("act=set-up what=").count(), links, "who has an account needs no link");
    assert!(browser.get("/me").body.contains(ADMIN), "the session is still open");
    assert!(browser.page.contains("Firefox, Linux"), "and known by its browser");
    browser.post("/sign-out", &[]);
    assert_eq!(browser.look("/me").status, 303);
    assert_eq!(browser.get(&link).status, 200, "the link leads to the sign-in");
    assert!(browser.page.contains("name=\"password\""), "{}", browser.page);
}

#[test]
fn the_link_of_the_first_account_is_told_at_every_level_and_in_every_form() {
    for (level, format) in [("error", "text"), ("warn", "text"), ("error", "json")] {
        let config = Config::sandbox().set("log.level", &format!("\"{level}\""));
        let relay = Relay::start(config.set("log.format", &format!("\"{format}\"")));
        let log = until("the link", || Some(relay.log()).filter(|log| log.contains("act=set-up")));
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("act=set-up")).collect();
        let [line] = lines.as_slice() else { panic!("one line: {log}") };
        let link = if format == "json" {
            let json: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
            assert_eq!((&json["level"], &json["room"]), (&"warn".into(), &"app::set_up".into()), "{line}");
            json["fields"]["link"].as_str().expect("a link").to_owned()
        } else {
            set_up_path(&relay).expect("a link")
        };
        let path = &link[link.find("/set-up").expect("the page")..];
        assert_eq!(Browser::new(relay.http()).get(path).status, 200, "{level} {format}");
        if level == "error" {
            assert_eq!(log.lines().count(), 1, "the level holds for all else: {log}");
        }
    }
}

#[test]
fn the_mail_of_a_forgotten_password_is_of_the_class_that_goes_first() {
    let sink = Sink::scripted(|m| match m.step {
        Step::Rcpt => Act::reply("450 4.2.1 Not now"),
        _ => Act::Normal,
    });
    let relay = Relay::start(Config::smarthost(sink.address()).set("queue.retry_schedule", "[\"20m\"]"));
    add_person(&relay, ADMIN, "group-administrator");
    let mut browser = Browser::new(relay.http());
    browser.get("/forgot");
    browser.post("/forgot", &[("name", ADMIN)]);
    relay.wait_event("deferred", ADMIN);
    let waiting = relay.events(&["queue", "list", "--json"]);
    let [mail] = waiting.as_slice() else { panic!("one mail waits: {waiting:?}") };
    assert_eq!((mail.recipient().as_str(), mail.text("class").as_str()), (ADMIN, "high"));
}

#[test]
fn a_forgotten_password_is_set_by_the_link_of_a_mail_that_nobody_but_its_recipient_reads() {
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()).set("http.public_url", "\"https://console.test\""));
    add_person(&relay, ADMIN, "group-administrator");
    let mut browser = Browser::new(relay.http());
    for name in ["nobody@console.test", ADMIN, ADMIN] {
        browser.get("/forgot");
        let said = browser.post("/forgot", &[("name", name)]).body;
        assert!(said.contains("If this address has an account"), "{said}");
    }
    let mail = sink.wait_for_recipient(ADMIN);
    assert_eq!(mail.sender, "", "nothing comes back for it");
    let text = mail.text().replace("=\r\n", "").replace("=3D", "=");
    let link = text.lines().find_map(|line| line.trim().strip_prefix("https://console.test")).expect("a link");
    relay.wait_event("succeeded", ADMIN);
    assert_eq!(sink.received().len(), 1, "one mail in five minutes, and none to nobody");
    assert_eq!(browser.get(link).status, 200, "{link}");
    let (who, key) = (browser.field("who"), browser.field("key"));
    let new = "a new long pass";
    let answer = browser.post("/reset", &[("who", &who), ("key", &key), ("new", new), ("again", new)]);
    assert!(answer.body.contains("Sign in with it"), "{answer:?}");
    browser.sign_in(ADMIN, new);
    assert!(browser.get("/me").body.contains(ADMIN));
    assert!(!relay.log().contains(&key), "the key is in no log");
    assert_eq!(browser.get(link).status, 403, "it counts once");
}

#[test]
fn who_guesses_waits_and_keeps_nobody_waiting() {
    const GUESSERS: usize = 6;
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()));
    add_person(&relay, ADMIN, "group-administrator");
    let (at, done) = (relay.http(), AtomicUsize::new(0));
    let start = now();
    thread::scope(|scope| {
        for _ in 0..GUESSERS {
            scope.spawn(|| {
                let answer = Browser::new(at).sign_in("nobody@console.test", "a wrong guess");
                done.fetch_add(1, Ordering::SeqCst);
                assert_eq!(answer.status, 403);
                assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
            });
        }
        // More of them wait than there are threads for sign-ins; the last for eight seconds.
        until("the guesses are on their way", || (start.elapsed() > Duration::from_millis(700)).then_some(()));
        let mut browser = Browser::signed_in(at, ADMIN);
        assert_eq!(browser.get("/me").status, 200);
        assert!(done.load(Ordering::SeqCst) < GUESSERS, "a good password came in while guessers still waited");
    });
}
