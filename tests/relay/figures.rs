//! One figure, one source: what waits, and what became of the mail, is the same number wherever it is shown.

use serde_json::Value;

use crate::support::{Act, Browser, Client, Config, Relay, Sink, Step, client::letter, until};

const USER: &str = "shop";
const KEY: &str = "correct-horse-battery-staple";

/// Accepted, delivered, deferred, failed, blocked.
type Figures = [u64; 5];

/// Four arrive, two fail, three are deferred, one is blocked; of the deferred one is held.
fn busy(sink: &Sink) -> Relay {
    let config = Config::smarthost(sink.address())
        .set("relay.policy", "\"auth\"")
        .set("relay.networks", "[]")
        .set("queue.retry_schedule", "[\"1h\"]");
    let relay = Relay::start(config);
    let key_file = relay.place.write("key", KEY);
    let key_file = key_file.to_str().expect("the place's path is text").to_owned();
    relay.cli(&["user", "add", USER, "--api", "--key-file", &key_file]).expect_done();
    relay.cli(&["suppress", "add", "left@dst.test"]).expect_done();
    let mut client = Client::hello(relay.smtp());
    client.auth_plain(USER, KEY).expect("235");
    // The null sender: nobody is told of what fails, so that no notice of our own is counted.
    for name in ["a", "b", "c", "d", "gone1", "gone2", "busy1", "busy2", "busy3", "left"] {
        let to = format!("{name}@dst.test");
        client.send("", &[&to], letter(name, "Good morning.\r\n").as_bytes()).expect("250");
    }
    for (kind, names) in [
        ("succeeded", &["a", "b", "c", "d"][..]),
        ("failed", &["gone1", "gone2", "left"]),
        ("deferred", &["busy1", "busy2", "busy3"]),
    ] {
        names.iter().for_each(|name| drop(relay.wait_event(kind, &format!("{name}@dst.test"))));
    }
    relay.cli(&["queue", "hold", "--recipient", "busy1@dst.test"]).expect_done();
    relay
}

fn sink() -> Sink {
    Sink::scripted(|m| match m.step {
        Step::Rcpt if m.line.contains("gone") => Act::reply("550 5.1.1 No such user here"),
        Step::Rcpt if m.line.contains("busy") => Act::reply("450 4.2.1 Busy"),
        _ => Act::Normal,
    })
}

/// The large numbers of a page.
fn on_page(page: &str) -> Figures {
    let figures = page.split("<dl class=\"figures\">").nth(1).and_then(|rest| rest.split("</dl>").next());
    let figures = figures.unwrap_or_else(|| panic!("no figures in {page}"));
    ["Accepted", "Delivered", "Deferred", "Failed", "Blocked"].map(|name| {
        let of = figures.split(&format!("<dt>{name}</dt><dd>")).nth(1).and_then(|rest| rest.split('<').next());
        of.map_or(0, |n| n.parse().unwrap_or_else(|_| panic!("{name}: {n}")))
    })
}

/// Members of an object, as figures.
fn members(of: &Value, names: [&str; 5]) -> Figures {
    names.map(|name| of[name].as_u64().unwrap_or_else(|| panic!("{name} in {of}")))
}

fn status(relay: &Relay) -> Value {
    serde_json::from_str(&relay.get("/status.json").expect("it answers").body).expect("JSON")
}

#[test]
fn what_waits_is_one_number() {
    let sink = sink();
    let relay = busy(&sink);
    let mut browser = Browser::administrator(&relay);
    let told = status(&relay);
    assert_eq!((told["waiting"].as_u64(), told["held"].as_u64()), (Some(3), Some(1)), "{told}");
    let cli = relay.cli(&["status"]).expect_done().stdout;
    assert!(cli.contains("3 recipients wait, 1 of them held"), "{cli}");
    for path in ["/", "/queue"] {
        let page = browser.get(&format!("{path}?lang=en")).body;
        assert!(page.contains("3 recipients wait, 1 of them held"), "{path}: {page}");
        let page = browser.get(&format!("{path}?lang=ja")).body;
        assert!(page.contains("待機中の宛先 3 件") && page.contains("保留 1 件"), "{path}: {page}");
    }
    // Each of them is a row of the list, of the command line's too, and they are all of one destination.
    let list = browser.get("/queue/list?lang=en").body;
    assert_eq!(list.matches("name=\"to\"").count(), 3, "{list}");
    let rows = relay.cli(&["queue", "list", "--json"]).expect_done().stdout;
    assert_eq!(rows.lines().count(), 3, "{rows}");
    let destinations: u64 =
        told["destinations"].as_array().map_or(0, |all| all.iter().filter_map(|one| one["waiting"].as_u64()).sum());
    assert_eq!(destinations, 3, "{told}");
    let metrics = relay.get("/metrics").expect("it answers").body;
    let waits = metrics.lines().find(|line| line.starts_with("hikyaku_queue_recipients ")).unwrap_or_default();
    assert!(waits.ends_with(" 3"), "{metrics}");
}

#[test]
fn what_became_of_mail_is_one_number() {
    let sink = sink();
    let relay = busy(&sink);
    let wanted: Figures = [10, 4, 3, 2, 1];
    let mut browser = Browser::administrator(&relay);
    // The whole relay: the front page by the minute, the same for programs, and the statistics by any other step.
    let told = until("the counts of the last hour", || {
        Some(status(&relay)).filter(|told| told["last_hour"]["failed"].as_u64() == Some(2))
    });
    let hour = ["accepted", "delivered", "deferred", "failed", "blocked"];
    assert_eq!(members(&told["last_hour"], hour), wanted, "/status.json: {told}");
    for path in ["/", "/?range=24h", "/?range=7d", "/statistics", "/statistics?range=7d", "/statistics?user=shop"] {
        let page = browser.get(path).body;
        assert_eq!(on_page(&page), wanted, "{path}");
        if path.starts_with("/statistics") {
            assert!(page.contains("33.3"), "two of six with a result failed: {path}");
        }
    }
    let cli = relay.cli(&["status"]).expect_done().stdout;
    assert!(cli.contains("10 accepted · 4 delivered · 3 deferred · 2 failed · 1 blocked"), "{cli}");
    // The page of the application's owner.
    browser.get("/owner-links");
    let made = browser.post("/owner-links/add", &[("user", USER), ("note", "the team"), ("life", "90")]);
    let token = made.body.split("/owner/").nth(1).and_then(|rest| rest.split(['"', '<', ' ', '\n']).next());
    let owner = format!("/owner/{}", token.expect("a link"));
    assert_eq!(on_page(&Browser::new(relay.http()).get(&owner).body), wanted, "the owner's page");
    // The command line, for all and for the user; CSV of the page.
    let names = ["received", "succeeded", "deferred", "failed", "blocked"];
    for words in [&["stats", "--since", "2d", "--json"][..], &["stats", "--since", "2d", "--user", USER, "--json"]] {
        let rows = relay.cli(words).expect_done().stdout;
        let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let total = rows.iter().find(|row| row["date"] == "total").or(rows.last()).expect("a row");
        assert_eq!(members(total, names), wanted, "{words:?}: {rows:?}");
        assert!((total["error_rate"].as_f64().unwrap_or_default() - 2.0 / 6.0).abs() < 1e-9, "{total}");
    }
    let csv = browser.get("/statistics.csv?range=24h").body;
    let mut sums = [0; 5];
    for line in csv.lines().skip(1) {
        let cells: Vec<u64> = line.split(',').skip(1).filter_map(|cell| cell.trim().parse().ok()).collect();
        sums.iter_mut().zip(&cells).for_each(|(sum, n)| *sum += n);
    }
    assert_eq!(sums, wanted, "{csv}");
}
