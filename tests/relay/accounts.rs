//! What an API user may do, over real sessions; and locks of people, in a real store over restarts (R15, R16, R17).

use std::{net::IpAddr, sync::Arc, time::Duration};

use hikyaku::{
    account::{Accounts, Actor, AskedBy, Changes, ConsoleRefusal, NewUser},
    clock::Clock,
    config,
    metrics::Metrics,
    secret::Secret,
    store::{AccountKind, AuditQuery, Page, RetentionPeriods, Role, Store, StoreError, StoreOptions},
};
use smol::block_on;

use crate::support::{Client, Config, Event, Place, Relay, Sink, until};

const USER: &str = "shop";
const KEY: &str = "correct-horse-battery-staple";

fn with_user(sink: &Sink, settings: &[&str]) -> Relay {
    let relay =
        Relay::start(Config::smarthost(sink.address()).set("relay.policy", "\"auth\"").set("relay.networks", "[]"));
    let key_file = relay.place.write("key", KEY);
    let key_file = key_file.to_str().expect("the place's path is text").to_owned();
    let words = ["user", "add", USER, "--api", "--key-file", &key_file];
    relay.cli(&[&words[..], settings].concat()).expect_done();
    relay
}

fn logged_in(relay: &Relay) -> Client {
    let mut client = Client::hello(relay.smtp());
    client.auth_plain(USER, KEY).expect("235 2.7.0");
    client
}

fn letter(from: &str) -> Vec<u8> {
    format!("From: {from}\r\nTo: a@dst.test\r\nSubject: x\r\n\r\nGood morning.\r\n").into_bytes()
}

fn set(relay: &Relay, settings: &[&str]) {
    relay.cli(&[&["user", "set", USER], settings].concat()).expect_done();
}

/// The audit log's entries of an act, oldest first, as `who from object detail`.
fn audit(relay: &Relay, act: &str) -> Vec<String> {
    let entries = relay.events(&["log", "audit", "--act", act, "--json"]);
    let text = |e: &Event, names: [&str; 4]| names.map(|name| e.text(name)).join(" ");
    entries.iter().map(|e| text(e, ["who", "from", "object", "detail"])).collect()
}

#[test]
fn a_user_sends_as_its_senders_alone() {
    let sink = Sink::willing();
    let relay = with_user(&sink, &["--sender", "src.test,news@other.test"]);
    let mut client = logged_in(&relay);
    client.say("MAIL FROM:<someone@other.test>").expect("553 5.7.1");
    client.say("MAIL FROM:<x@src.test.evil.test>").expect("553 5.7.1");
    client.send("a@sub.src.test", &["a@dst.test"], &letter("News <News@Other.test>")).expect("250");
    for from in [
        "ceo@bank.test",
        "a@src.test, ceo@bank.test",
        "a@src.test\r\nFrom: ceo@bank.test",
        "ceo@bank.test <a@src.test>",
        "",
    ] {
        client.send("a@src.test", &["spoof@dst.test"], &letter(from)).expect("553 5.7.1");
    }
    client.send("a@src.test", &["spoof@dst.test"], b"Subject: without From\r\n\r\nx\r\n").expect("553 5.7.1");
    client.send("", &["a@dst.test"], &letter("\"ceo@bank.test\" <a@src.test>")).expect("250");
    sink.wait_for(2);
    assert!(relay.deliveries().iter().all(|e| e.recipient() != "spoof@dst.test"), "nothing refused was stored");
    // What is changed counts at the next mail of an open session.
    set(&relay, &["--sender", "none"]);
    client.send("ceo@bank.test", &["free@dst.test"], &letter("ceo@bank.test")).expect("250");
    let explained = relay.cli(&["explain", "a@dst.test", "--from", "a@src.test", "--user", USER]).expect_done();
    assert!(!explained.stdout.contains("sends as"), "{explained}");
    assert_eq!(
        audit(&relay, "user.set"),
        [format!("{} control socket {USER} senders src.test,news@other.test → none", operator())]
    );
}

fn operator() -> String {
    let name = std::process::Command::new("id").arg("-un").output().expect("id runs").stdout;
    format!("operator {}", String::from_utf8_lossy(&name).trim())
}

#[test]
fn over_its_rate_a_user_hears_451_before_anything_is_stored() {
    let sink = Sink::willing();
    let relay = with_user(&sink, &["--rate", "3/1h"]);
    let mut client = logged_in(&relay);
    client.send("a@src.test", &["one@dst.test", "two@dst.test"], &letter("a@src.test")).expect("250");
    client.say("MAIL FROM:<a@src.test>").expect("250");
    client.say("RCPT TO:<three@dst.test>").expect("250");
    let over = client.say("RCPT TO:<four@dst.test>").expect("451 4.7.1");
    assert!(over.text().contains("try again in "), "{over}");
    // Another session takes what is left; the content comes too late then, and nothing of it is kept.
    let mut other = logged_in(&relay);
    other.send("a@src.test", &["other@dst.test"], &letter("a@src.test")).expect("250");
    client.data(&letter("a@src.test")).expect("451 4.7.1");
    client.say("MAIL FROM:<a@src.test>").expect("451 4.7.1");
    sink.wait_for(2);
    let events = relay.deliveries();
    assert!(
        events.iter().all(|e| !["three@dst.test", "four@dst.test"].contains(&e.recipient().as_str())),
        "{events:?}"
    );
    set(&relay, &["--rate", "none"]);
    client.send("a@src.test", &["three@dst.test"], &letter("a@src.test")).expect("250");
}

#[test]
fn networks_time_and_access_are_looked_at_when_a_user_logs_in_and_at_every_mail() {
    let sink = Sink::willing();
    let relay = with_user(&sink, &["--network", "192.0.2.0/24"]);
    let mut client = Client::hello(relay.smtp());
    client.auth_plain(USER, KEY).expect("535 5.7.8");
    set(&relay, &["--network", "127.0.0.0/8", "--network", "::1"]);
    client.auth_plain(USER, KEY).expect("235");
    client.send("a@src.test", &["one@dst.test"], &letter("a@src.test")).expect("250");
    set(&relay, &["--expires", "now"]);
    let over = client.say("MAIL FROM:<a@src.test>").expect("421 4.7.0");
    assert!(over.text().contains("does not count any more"), "{over}");
    assert!(client.try_reply().map_or(true, |r| r.is_end()), "and the session is closed");
    let mut client = Client::hello(relay.smtp());
    client.auth_plain(USER, KEY).expect("535 5.7.8");
    set(&relay, &["--expires", "90d", "--access", "http"]);
    client.auth_plain(USER, KEY).expect("535 5.7.8");
    set(&relay, &["--access", "smtp,http", "--class", "low", "--sandbox", "on"]);
    client.auth_plain(USER, KEY).expect("235");
    client.send("a@src.test", &["sandboxed@dst.test"], &letter("a@src.test")).expect("250");
    let ended = relay.wait_event("succeeded", "sandboxed@dst.test");
    assert!(ended.reply().contains("sandbox"), "{ended:?}");
    assert_eq!(sink.taken(), 1, "it never left");
    relay.cli(&["user", "remove", USER]).expect_done();
    client.say("MAIL FROM:<a@src.test>").expect("421 4.7.0");
    // Who was refused, and why, is in the login log.
    let told = until("the logins in the audit log", || {
        let told = audit(&relay, "login");
        (told.len() >= 3).then_some(told)
    });
    for outcome in ["not-allowed", "success", "expired"] {
        let line = format!("{USER} {} smtp {outcome}", client_address(&relay));
        assert!(told.contains(&line), "{line}: {told:?}");
    }
}

/// From where this test's sessions come.
fn client_address(relay: &Relay) -> String {
    let entries = relay.events(&["log", "audit", "--act", "login", "--json"]);
    entries.first().map(|e| e.text("from")).unwrap_or_default()
}

#[test]
fn the_class_of_a_user_is_that_of_its_mail() {
    let sink = Sink::willing();
    let relay = with_user(&sink, &["--class", "low"]);
    let explained = relay.cli(&["explain", "a@dst.test", "--from", "a@src.test", "--user", USER]).expect_done();
    assert!(explained.stdout.contains("low: the class of shop"), "{explained}");
    set(&relay, &["--class", "high", "--sender", "other.test", "--sandbox", "on"]);
    let explained = relay.cli(&["explain", "a@dst.test", "--from", "a@src.test", "--user", USER]).expect_done();
    for words in ["high: the class of shop", "sends as other.test", "553 5.7.1", "never delivered"] {
        assert!(explained.stdout.contains(words), "{words}: {explained}");
    }
}

#[test]
fn a_source_that_guesses_hears_454_then_421_and_the_user_is_not_locked() {
    let sink = Sink::willing();
    let relay = with_user(&sink, &[]);
    // The answers to wrong guesses wait longer and longer: sessions side by side, as guessers come.
    let (heard, told) = std::sync::mpsc::channel();
    for _ in 0..30 {
        let (to, heard) = (relay.smtp(), heard.clone());
        std::thread::spawn(move || {
            let code = Client::hello(to).auth_plain("nobody", "a wrong guess").code;
            // The test may have seen enough.
            let _ = heard.send(code);
        });
    }
    drop(heard);
    let (mut codes, limit) = (Vec::new(), Duration::from_secs(30));
    // "Later" comes first, and who goes on is shown the door; the answers reach us in any order.
    while ![454, 421].iter().all(|code| codes.contains(code)) {
        codes.push(told.recv_timeout(limit).unwrap_or_else(|e| panic!("only {codes:?}: {e}")));
    }
    assert!(codes.iter().all(|code| [535, 454, 421].contains(code)), "{codes:?}");
    let list = relay.cli(&["user", "list", "--json"]).expect_done();
    assert!(list.stdout.contains("\"locked\":false") && !list.stdout.contains("\"locked\":true"), "R15: {list}");
}

#[test]
fn logins_survive_a_restart_in_the_log_and_rights_in_the_store() {
    let sink = Sink::willing();
    let mut relay = with_user(&sink, &["--sender", "src.test", "--rate", "100/1h", "--time-zone", "Europe/Paris"]);
    for _ in 0..20 {
        logged_in(&relay);
    }
    // A stop writes what is still gathered.
    assert!(relay.stop().success());
    relay.restart();
    let told = audit(&relay, "login");
    let logins: u64 = told
        .iter()
        .filter(|line| line.starts_with(USER) && line.contains(" smtp success"))
        .map(|line| line.rsplit_once('×').map_or(1, |(_, n)| n.parse().expect("a count")))
        .sum();
    assert_eq!(logins, 20, "{told:?}");
    assert!(told.len() <= 3, "told together: {told:?}");
    let shown = relay.cli(&["user", "show", USER, "--json"]).expect_done().stdout;
    for words in ["\"senders\":[\"src.test\"]", "\"rate\":\"100/1h\"", "\"time_zone\":\"Europe/Paris\""] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(!relay.log().contains(KEY), "no secret in the log");
}

// ---- people, in a real store ----

const ADMIN: &str = "admin@example.jp";
const PERSON: &str = "user@example.jp";
const PASSWORD: &str = "correct horse battery";

struct House {
    store: Store,
    accounts: Accounts,
}

fn open(place: &Place) -> House {
    let days = Duration::from_secs(90 * 86_400);
    let retention = RetentionPeriods { delivery_log: days, error_log: days, audit_log: days, message_bodies: days };
    let data_dir = place.path("data");
    std::fs::create_dir_all(&data_dir).expect("a folder");
    let clock = Clock::system();
    let options = StoreOptions { data_dir, clock: clock.clone(), disk_free_min: 0, retention };
    // The threads of the one before may hold its file a moment longer.
    let store = until("the store to open", || match Store::open(options.clone()) {
        Ok(opened) => Some(opened.store),
        Err(StoreError::InUse(_)) => None,
        Err(error) => panic!("{error}"),
    });
    let accounts =
        Accounts::new(store.clone(), clock, Arc::<Metrics>::default(), &config::Accounts::default()).expect("accounts");
    House { store, accounts }
}

fn close(house: House) {
    block_on(house.accounts.flush());
    block_on(house.store.stop()).expect("a clean stop");
}

fn log_in(house: &House, source: u32, name: &str, password: &str) -> bool {
    let source = IpAddr::V4(source.into());
    match block_on(house.accounts.log_in(source, name, &Secret::new(password.into()))) {
        Ok(_) => true,
        Err(ConsoleRefusal::Wrong { .. }) => false,
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn r15_a_lock_outlives_restarts_until_somebody_who_may_lifts_it() {
    let place = Place::new();
    let house = open(&place);
    let operator = Actor::Operator { who: "operator root".into(), from: "control socket".into() };
    for (name, role) in [(ADMIN, Role::GroupAdministrator), (PERSON, Role::User)] {
        let changes = Changes { role: Some(role), ..Changes::default() };
        let key = Some(Secret::new(PASSWORD.to_owned()));
        let new = NewUser { kind: AccountKind::Console, key, changes, ..NewUser::api(name) };
        block_on(house.accounts.add(&operator, new)).expect("room for it");
    }
    let here = IpAddr::from([192, 0, 2, 1]);
    let login = block_on(house.accounts.log_in(here, ADMIN, &Secret::new(PASSWORD.into()))).expect("a good login");
    let token = block_on(house.accounts.open_session(&login, here, "a browser")).expect("a session");
    assert!((0..6).all(|n| !log_in(&house, n, PERSON, "a wrong guess")));
    close(house);

    let house = open(&place);
    assert_eq!(
        house.accounts.session(&token, here, AskedBy::Person).map(|login| login.name).as_deref(),
        Some(ADMIN),
        "a session stays"
    );
    assert!((6..10).all(|n| !log_in(&house, n, PERSON, "a wrong guess")));
    assert!(!log_in(&house, 100, PERSON, PASSWORD), "ten in a row lock, a restart between them or not");
    close(house);

    let house = open(&place);
    assert!(!log_in(&house, 100, PERSON, PASSWORD), "and the lock stays");
    let admin = Actor::Person { name: ADMIN.into(), from: [192, 0, 2, 1].into() };
    assert!(block_on(house.accounts.unlock(&admin, PERSON)).expect("may unlock"));
    assert!(log_in(&house, 100, PERSON, PASSWORD));
    block_on(house.accounts.make_admin(&operator, PERSON)).expect("a console user");
    assert!(block_on(house.accounts.unlock(&admin, PERSON)).is_err(), "R17: the role went over");
    close(house);

    let house = open(&place);
    let roles: Vec<Role> = house.accounts.list().iter().map(|account| account.rights.role).collect();
    assert_eq!(roles, [Role::User, Role::GroupAdministrator]);
    let page = house.store.audit_page(&AuditQuery::default(), &Page::default()).expect("the audit log");
    let told: Vec<String> =
        page.rows.iter().map(|e| format!("{} {} {} {}", e.act, e.who, e.object, e.detail)).collect();
    for line in [
        "user.lock (not logged in) user@example.jp 10 wrong passwords in a row",
        "user.unlock admin@example.jp user@example.jp locked yes → no, wrong passwords 10 → 0",
        "user.make-admin operator root user@example.jp role user → group-administrator",
        "user.make-admin operator root admin@example.jp role group-administrator → user",
        "login user@example.jp console locked",
        "login admin@example.jp console success",
    ] {
        assert!(told.iter().any(|t| t == line), "{line}: {told:#?}");
    }
    assert!(!format!("{told:?}").contains("horse"));
    close(house);
}
