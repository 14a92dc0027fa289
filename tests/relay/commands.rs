//! The command line against a running daemon: the queue, finding a mail, a copy, and the offline check of the store.

use std::net::SocketAddr;

use crate::support::{Config, Relay, cli::run, place};

#[test]
fn the_queue_the_log_and_find_tell_the_same_story() {
    let away = SocketAddr::from((place::address(), 2600));
    let mut relay = Relay::start(Config::smarthost(away).set("queue.retry_schedule", "[\"1h\"]"));
    let id = relay.submit("sender@src.test", &["someone@dst.test", "other@dst.test"], "story");
    relay.wait_event("deferred", "someone@dst.test");
    relay.wait_event("deferred", "other@dst.test");
    let queue = relay.events(&["queue", "list", "--json"]);
    assert_eq!(queue.len(), 2, "{queue:?}");
    assert!(queue.iter().all(|e| e.message() == id && !e.text("next_try").is_empty() || !e.text("due").is_empty()));
    for key in [id.as_str(), "someone@dst.test", "<story@src.test>"] {
        let found = relay.cli(&["find", key, "--json"]).expect_done();
        assert!(found.stdout.contains(&id) && found.stdout.contains("someone@dst.test"), "{key}: {found}");
    }
    relay.cli(&["find", "unknown@dst.test"]).expect_code(1);
    let shown = relay.cli(&["queue", "show", &id]).expect_done();
    assert!(shown.stdout.contains("someone@dst.test") && shown.stdout.contains("other@dst.test"), "{shown}");
    let status = relay.cli(&["status", "--json"]).expect_done();
    serde_json::from_str::<serde_json::Value>(status.stdout.trim()).expect("one JSON value");
    let table = relay.cli(&["log", "deliveries", "--recipient", "someone@dst.test"]).expect_done();
    assert!(!table.stdout.contains("other@dst.test"), "the filter filters: {table}");

    let copy = relay.place.path("backup.tar").display().to_string();
    relay.cli(&["backup", &copy]).expect_done();
    assert!(std::fs::metadata(&copy).unwrap().len() > 512);
    assert!(relay.stop().success());
    let data = relay.data_dir().display().to_string();
    run(&["verify", "--data-dir", &data], relay.place.dir(), b"").expect_done();
}

#[test]
fn a_damaged_database_is_named_and_never_recreated() {
    let away = SocketAddr::from((place::address(), 2600));
    let mut relay = Relay::start(Config::smarthost(away));
    relay.submit("sender@src.test", &["someone@dst.test"], "damage");
    assert!(relay.stop().success());
    let databases: Vec<_> =
        walk(&relay.data_dir()).into_iter().filter(|p| p.extension().is_some_and(|e| e == "redb")).collect();
    assert_eq!(databases.len(), 1, "{databases:?}");
    let length = std::fs::metadata(&databases[0]).unwrap().len();
    std::fs::write(&databases[0], vec![0x5a; length as usize]).unwrap();
    relay.spawn();
    assert!(!relay.wait_end().success());
    let name = databases[0].file_name().unwrap().to_str().unwrap();
    assert!(relay.log().contains(name), "{}", relay.log());
    assert_eq!(std::fs::read(&databases[0]).unwrap(), vec![0x5a; length as usize], "the evidence is kept");
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.flat_map(|e| if e.path().is_dir() { walk(&e.path()) } else { vec![e.path()] }).collect()
}
