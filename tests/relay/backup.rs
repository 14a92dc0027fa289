//! A backup of a running server comes back in an empty data directory, with every waiting recipient on hold.

use std::{fs, net::SocketAddr};

use crate::support::{Config, Relay, place, sink::Options};

/// Mails that wait when the backup is made.
const WAITING: usize = 5;

#[test]
fn a_backup_comes_back_on_hold_and_goes_out_when_released() {
    let away = SocketAddr::from((place::address(), 2600));
    let mut relay = Relay::start(Config::smarthost(away));
    for n in 0..WAITING {
        relay.submit("sender@src.test", &[&format!("user{n}@dst.test")], &format!("kept-{n}"));
    }
    let backup = relay.place.path("backup.tar");
    let file = backup.to_str().expect("UTF-8");
    relay.cli(&["backup", file]).expect_done();
    let running = relay.cli(&["restore", file]).expect_code(75);
    assert!(running.all().contains("pid"), "{}", running.all());
    assert!(relay.stop().success(), "{}", relay.log());

    let kept = relay.cli(&["restore", file]).expect_code(1);
    assert!(kept.all().contains("holds a store already"), "{}", kept.all());
    fs::rename(relay.data_dir(), relay.place.path("moved-away")).expect("moved");
    let restored = relay.cli(&["restore", file]).expect_done();
    assert!(restored.all().contains(&format!("{WAITING} recipients are on hold")), "{}", restored.all());

    let sink = Options::default().at(away).start();
    relay.restart();
    let held = relay.cli(&["queue", "list", "--json"]).expect_done();
    assert_eq!(held.all().matches("\"state\":\"held\"").count(), WAITING, "{}", held.all());
    assert_eq!(sink.taken(), 0, "nothing goes out before it is released");
    relay.cli(&["queue", "release", "--all"]).expect_done();
    sink.wait_for(WAITING);
    for n in 0..WAITING {
        assert!(relay.wait_event("succeeded", &format!("user{n}@dst.test")).possible_duplicate());
    }
}
