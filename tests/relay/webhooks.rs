//! What happens to mail and to the suppression list is posted: in order, at least once, over stops of every kind; an endpoint that
//! fails or is slow harms nobody but itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Act, Config, HttpSink, Relay, Reply, Sink, Step, until};

/// A table of a webhook; `more` are its other lines.
fn hook(name: &str, url: &str, more: &str) -> String {
    format!("[[webhook]]\nname = \"{name}\"\nurl = \"{url}\"\ninterval = \"50ms\"\n{more}\n")
}

fn start(mail: &Sink, hooks: &str) -> Relay {
    Relay::start(Config::smarthost(mail.address()).set("server.time_zone", "\"UTC\"").text(hooks))
}

fn of(row: &Value, key: &str) -> String {
    row[key].as_str().unwrap_or_else(|| panic!("{key} is a string in {row}")).to_owned()
}

/// What a status of the endpoint says.
#[track_caller]
fn listed(relay: &Relay, name: &str) -> Value {
    let ran = relay.cli(&["webhook", "list", "--json"]).expect_done();
    let rows = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON lines"));
    rows.into_iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {ran}"))
}

#[track_caller]
fn wait_state(relay: &Relay, name: &str, what: &str, good: impl Fn(&Value) -> bool) -> Value {
    until(what, || {
        let row = listed(relay, name);
        if good(&row) {
            return Some(row);
        }
        thread::sleep(Duration::from_millis(100));
        None
    })
}

#[test]
fn a_mails_life_is_posted_in_order_signed_and_once() {
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let asked = AtomicUsize::new(0);
    let mail = Sink::scripted(move |moment| {
        let is_first = moment.step == Step::Rcpt && asked.fetch_add(1, Ordering::SeqCst) == 0;
        if is_first { Act::reply("450 4.2.1 later") } else { Act::Normal }
    });
    let sink = HttpSink::willing();
    let more = format!("api_key = \"hook-secret\"\nevent_ids = true\nsigning_key = \"{key}\"");
    let relay = start(&mail, &hook("crm", &sink.url("/in?a=b"), &more));
    relay.submit("app@src.test", &["taro@dst.test"], "<飛脚>");
    let rows = sink.wait_rows("three events", "deliveries", |rows| rows.len() >= 3);
    let told: Vec<String> = rows.iter().map(|row| of(row, "status")).collect();
    assert_eq!(told, ["queued", "deferred", "succeeded"]);
    for row in &rows {
        let keys: BTreeSet<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "apiData",
            "created",
            "from",
            "messageId",
            "reason",
            "returnPath",
            "senderIp",
            "sourceIp",
            "status",
            "subject",
            "to",
        ];
        assert_eq!(keys, BTreeSet::from(expected));
        assert_eq!((of(row, "to"), of(row, "subject")), ("taro@dst.test".into(), "<飛脚>".into()));
        assert!(row.as_object().unwrap().values().all(Value::is_string), "{row}");
    }
    assert!(!of(&rows[0], "sourceIp").is_empty() && of(&rows[0], "senderIp").is_empty());
    assert!(of(&rows[2], "sourceIp").is_empty() && !of(&rows[2], "senderIp").is_empty());
    assert!(of(&rows[1], "reason").contains("450 4.2.1 later"));
    let mut ids = Vec::new();
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(&key[6..]).unwrap());
    for post in sink.posts() {
        let envelope = post.json();
        assert_eq!((&envelope["api_key"], &envelope["server_composition"]), (&json!("hook-secret"), &json!("main")));
        assert_eq!(post.path, "/in?a=b");
        assert_eq!(post.field("content-type"), "application/json");
        assert!(!post.body.contains(&b'<') && !post.body.contains(&b'>'), "angle brackets are escaped");
        ids.extend(
            envelope["event_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().parse::<u64>().unwrap()),
        );
        let signed = [post.field("webhook-id"), post.field("webhook-timestamp")].join(".");
        let signed = [signed.as_bytes(), b".", &post.body].concat();
        let signature = STANDARD.decode(post.field("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
        hmac::verify(&secret, &signed, &signature).expect("the signature is good");
    }
    assert!(ids.len() == 3 && ids.is_sorted(), "{ids:?}");
    assert!(sink.posts().iter().all(|post| post.connection == 1), "one connection is kept");

    until("the history", || {
        let tried = relay.cli(&["webhook", "history", "crm", "--json"]).expect_done().stdout;
        let is_whole = tried.lines().count() == sink.posts().len() && tried.contains("\"status\":200");
        is_whole.then_some(()).or_else(|| {
            thread::sleep(Duration::from_millis(100));
            None
        })
    });
    let metrics = relay.get("/metrics").expect("metrics").body;
    assert!(metrics.contains("hikyaku_webhook_events_total 3\n"), "{metrics}");
    assert!(metrics.contains("hikyaku_webhook_failing{webhook=\"crm\"} 0\n"));

    relay.cli(&["webhook", "test", "crm"]).expect_done();
    let last = sink.rows("deliveries").pop().unwrap();
    assert_eq!(of(&last, "subject"), "Hikyaku webhook test");
    // Everything again, from the first event on.
    let before = sink.rows("deliveries").len();
    relay.cli(&["webhook", "replay", "crm", "--from", &ids[0].to_string()]).expect_done();
    let again = sink.wait_rows("the replay", "deliveries", |rows| rows.len() >= before + 3).split_off(before);
    assert_eq!(again, rows);
}

#[test]
fn errors_are_bounces_too_and_the_list_tells_blocks() {
    let mail = Sink::scripted(|moment| {
        let is_nobody = moment.step == Step::Rcpt && moment.line.contains("nobody@");
        if is_nobody { Act::reply("550 5.1.1 no such user") } else { Act::Normal }
    });
    let (json_sink, form, first) = (HttpSink::willing(), HttpSink::willing(), HttpSink::willing());
    let hooks = [
        hook("json", &json_sink.url("/"), ""),
        hook("form", &form.url("/"), "format = \"form\"\nevents = [\"bounced\", \"blocked\"]"),
        hook("first", &first.url("/"), "format = \"form\"\nversion = 1\ntime_zone = \"Asia/Tokyo\""),
    ];
    let relay = start(&mail, &hooks.concat());
    relay.submit("app@src.test", &["nobody@dst.test"], "hello");
    let bounced = json_sink.wait_rows("the bounce", "bounces", |rows| !rows.is_empty());
    assert_eq!((of(&bounced[0], "status"), of(&bounced[0], "to")), ("2".into(), "nobody@dst.test".into()));
    assert_eq!(bounced[0].as_object().unwrap().len(), 9);
    let blocked = json_sink.wait_rows("the block", "blocks", |rows| !rows.is_empty());
    assert_eq!((of(&blocked[0], "email"), of(&blocked[0], "operation")), ("nobody@dst.test".into(), "add".into()));
    assert_eq!(of(&blocked[0], "status"), "2");
    relay.cli(&["suppress", "lift", "nobody@dst.test"]).expect_done();
    relay.cli(&["suppress", "add", "someone@dst.test"]).expect_done();
    let blocked = json_sink.wait_rows("three changes", "blocks", |rows| rows.len() >= 3);
    let told: Vec<(String, String)> = blocked.iter().map(|b| (of(b, "email"), of(b, "operation"))).collect();
    let expected = [("nobody@dst.test", "add"), ("nobody@dst.test", "cancel"), ("someone@dst.test", "add")];
    assert_eq!(told, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    // The sender's notice is mail, too.
    let rows = json_sink.rows("deliveries").into_iter().filter(|row| of(row, "to") == "nobody@dst.test");
    assert_eq!(rows.map(|row| of(&row, "status")).collect::<Vec<_>>(), ["queued", "failed"]);

    // A form holds the event as JSON in a string.
    until("bounces and blocks as forms", || {
        let kinds: BTreeSet<String> =
            form.taken().iter().flat_map(|p| p.form()).filter(|(n, _)| n == "event_type").map(|(_, v)| v).collect();
        (kinds == BTreeSet::from(["bounces".to_owned(), "blocks".to_owned()])).then_some(())
    });
    for post in form.taken() {
        assert_eq!(post.field("content-type"), "application/x-www-form-urlencoded");
        let fields: BTreeMap<String, String> = post.form().into_iter().collect();
        let event: Value = serde_json::from_str(&fields["event"]).expect("JSON");
        assert!(event[&fields["event_type"]].is_array() && fields["server_composition"] == "main", "{fields:?}");
    }
    // Version 1 has its own names, its zone, and no blocks.
    let wanted = [("deliveries", "queued"), ("deliveries", "failed"), ("bounces", "2")];
    until("version 1", || {
        let mut seen = BTreeSet::new();
        for post in first.taken() {
            let fields: BTreeMap<String, String> = post.form().into_iter().collect();
            let event: Value = serde_json::from_str(&fields["event"]).expect("JSON");
            assert!(matches!(&*fields["event_type"], "deliveries" | "bounces"), "{fields:?}");
            for row in event[&fields["event_type"]].as_array().expect("rows") {
                assert_eq!(row.as_object().unwrap().len(), 9, "{row}");
                if of(row, "envelopeTo") == "nobody@dst.test" {
                    seen.insert((fields["event_type"].clone(), of(row, "status")));
                }
            }
        }
        (seen == BTreeSet::from(wanted.map(|(kind, status)| (kind.to_owned(), status.to_owned())))).then_some(())
    });
}

#[test]
fn nothing_is_lost_over_restarts_and_hard_stops() {
    const MAILS: usize = 60;
    let mail = Sink::willing();
    let asked = Arc::new(AtomicUsize::new(0));
    let sink = HttpSink::new({
        let asked = asked.clone();
        move |_| {
            let n = asked.fetch_add(1, Ordering::SeqCst);
            let status = if n % 7 == 3 { 500 } else { 200 };
            Reply { delay: Duration::from_millis(15), ..Reply::status(status) }
        }
    });
    let mut relay = start(&mail, &hook("crm", &sink.url("/"), "batch_max = 3\nevent_ids = true"));
    for n in 0..MAILS {
        relay.submit("app@src.test", &[&format!("u{n}@dst.test")], "hello");
        match n {
            14 | 44 => {
                relay.kill();
                relay.restart();
            }
            30 => {
                assert!(relay.stop().success());
                relay.restart();
            }
            _ => {}
        }
    }
    let all: BTreeSet<(String, String)> = (0..MAILS)
        .flat_map(|n| ["queued", "succeeded"].map(|status| (format!("u{n}@dst.test"), status.to_owned())))
        .collect();
    let seen = |rows: &[Value]| rows.iter().map(|r| (of(r, "to"), of(r, "status"))).collect::<BTreeSet<_>>();
    sink.wait_rows("every event", "deliveries", |rows| seen(rows).is_superset(&all));
    // The same id is the same post, and posts come in order, but for those that came again.
    let mut bodies: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut last = 0;
    for post in sink.taken() {
        let numbers: Vec<u64> = post.json()["event_ids"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_str().unwrap().parse().unwrap())
            .collect();
        assert!(numbers.is_sorted() && numbers.len() <= 3);
        let id = post.field("webhook-id").to_owned();
        if let Some(body) = bodies.insert(id.clone(), post.body.clone()) {
            assert_eq!(body, post.body, "{id} is another post");
        } else {
            assert!(numbers[0] > last, "{id} came after {last}");
            last = *numbers.last().unwrap();
        }
    }
}

#[test]
fn what_fails_for_too_long_is_set_aside_and_posted_again_when_asked() {
    let mail = Sink::willing();
    let sink = HttpSink::new(|_| Reply::status(500));
    let relay = start(&mail, &hook("crm", &sink.url("/secret?key=x"), "retry_for = \"2s\""));
    relay.submit("app@src.test", &["first@dst.test"], "hello");
    let row = wait_state(&relay, "crm", "it fails", |row| row["state"] == "failing");
    assert!(row["error"].as_str().unwrap().starts_with("HTTP status 500") && row["lag_seconds"].is_u64(), "{row}");
    let row = wait_state(&relay, "crm", "a range is set aside", |row| !row["parked"].as_array().unwrap().is_empty());
    let status = relay.cli(&["status"]).all();
    assert!(status.contains("webhook") && status.contains("set aside"), "{status}");
    assert!(!row["url"].as_str().unwrap().contains("key=x"), "{row}");
    let table = relay.cli(&["webhook", "list"]).expect_done().stdout;
    assert!(
        table.contains("set aside (log): events ") && table.contains("hikyaku webhook replay crm --parked"),
        "{table}"
    );
    let table = relay.cli(&["webhook", "history", "crm", "--limit", "1"]).expect_done().stdout;
    assert!(table.contains("HTTP status 500") && table.lines().count() == 2, "{table}");
    assert!(sink.posts().len() >= 2, "it was tried again");
    relay.wait_log("set aside");

    // The rest goes on.
    sink.answer(|_| Reply::status(204));
    relay.submit("app@src.test", &["second@dst.test"], "hello");
    sink.wait_rows("what came later", "deliveries", |rows| rows.iter().any(|r| of(r, "to") == "second@dst.test"));
    relay.cli(&["webhook", "replay", "crm", "--parked"]).expect_done();
    let rows = sink.wait_rows("what was set aside", "deliveries", |rows| {
        rows.iter().filter(|r| of(r, "to") == "first@dst.test").count() == 2
    });
    assert_eq!(rows.iter().filter(|r| of(r, "to") == "second@dst.test").count(), 2, "once each: {rows:?}");
    let row = wait_state(&relay, "crm", "all is well", |row| row["state"] == "ok");
    assert!(row["parked"].as_array().unwrap().is_empty() && row["replaying"] == 0, "{row}");
    relay.cli(&["webhook", "replay", "crm", "--parked"]).expect_code(1);
    relay.cli(&["webhook", "history", "nobody"]).expect_code(1);
}

#[test]
fn one_that_is_gone_waits_for_the_operator() {
    let mail = Sink::willing();
    let sink = HttpSink::new(|_| Reply::status(410));
    let mut relay = start(&mail, &hook("crm", &sink.url("/"), ""));
    relay.submit("app@src.test", &["first@dst.test"], "hello");
    wait_state(&relay, "crm", "it is gone", |row| row["state"] == "gone");
    sink.answer(|_| Reply::status(200));
    relay.kill();
    relay.restart();
    thread::sleep(Duration::from_millis(1500));
    assert!(sink.taken().is_empty(), "still gone after a restart");
    relay.cli(&["webhook", "resume", "crm"]).expect_done();
    sink.wait_rows("both events", "deliveries", |rows| rows.len() == 2);
    wait_state(&relay, "crm", "it is well", |row| row["state"] == "ok");
}

#[test]
fn a_slow_one_holds_up_no_other_and_no_mail() {
    let mail = Sink::willing();
    let slow = HttpSink::new(|_| Reply { delay: Duration::from_secs(20), ..Reply::status(200) });
    let quick = HttpSink::willing();
    let hooks = [hook("slow", &slow.url("/"), "timeout = \"30s\""), hook("quick", &quick.url("/"), "batch_max = 2")];
    let relay = start(&mail, &hooks.concat());
    for n in 0..10 {
        relay.submit("app@src.test", &[&format!("u{n}@dst.test")], "hello");
    }
    let begun = crate::support::now();
    quick.wait_rows("all events", "deliveries", |rows| rows.len() >= 20);
    assert_eq!(mail.received().len(), 10);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(slow.posts().len(), 1, "the slow one still thinks about its first");
}

#[test]
fn a_reload_adds_removes_and_changes_endpoints() {
    let mail = Sink::willing();
    let (one, two) = (HttpSink::willing(), HttpSink::willing());
    let mut relay = start(&mail, &hook("one", &one.url("/a"), ""));
    relay.submit("app@src.test", &["first@dst.test"], "hello");
    one.wait_rows("the first", "deliveries", |rows| rows.len() == 2);

    let config = || Config::smarthost(mail.address()).set("server.time_zone", "\"UTC\"");
    let reload = |relay: &mut Relay, text: String| {
        relay.reconfigure(|_| config().text(&text));
        let before = relay.log().matches("act=config.reload").count();
        relay.signal(Signal::HUP);
        until("the reload", || (relay.log().matches("act=config.reload").count() > before).then_some(()));
    };
    let both = hook("one", &one.url("/b"), "events = [\"succeeded\"]") + &hook("two", &two.url("/"), "");
    reload(&mut relay, both);
    wait_state(&relay, "two", "it is there", |row| row["position"].as_u64().unwrap() > 0);
    relay.submit("app@src.test", &["second@dst.test"], "hello");
    two.wait_rows("what happens after it was added", "deliveries", |rows| rows.len() == 2);
    let rows = one.wait_rows("the second", "deliveries", |rows| rows.len() == 3);
    assert_eq!((of(&rows[2], "status"), one.posts().pop().unwrap().path), ("succeeded".into(), "/b".into()));
    assert!(two.rows("deliveries").iter().all(|r| of(r, "to") == "second@dst.test"), "nothing from before");

    reload(&mut relay, hook("two", &two.url("/"), ""));
    relay.wait_log("it left the config");
    relay.submit("app@src.test", &["third@dst.test"], "hello");
    two.wait_rows("the third", "deliveries", |rows| rows.len() == 4);
    assert_eq!(one.rows("deliveries").len(), 3);
    // Back within three days it goes on where it was.
    reload(&mut relay, hook("one", &one.url("/b"), "events = [\"succeeded\"]"));
    let rows = one.wait_rows("what happened meanwhile", "deliveries", |rows| rows.len() == 4);
    assert_eq!(of(&rows[3], "to"), "third@dst.test");
}

#[test]
fn private_addresses_are_refused_and_redirects_not_followed() {
    let mail = Sink::willing();
    let (sink, other) = (HttpSink::willing(), HttpSink::willing());
    let to = other.url("/");
    sink.answer(move |_| Reply { lines: format!("Location: {to}\r\n"), ..Reply::status(302) });
    let port = sink.url("").rsplit(':').next().unwrap().to_owned();
    let hooks = [
        hook("inner", &format!("https://127.0.0.1:{port}/"), ""),
        hook("meta", "https://169.254.169.254/latest/meta-data", ""),
        hook("away", &sink.url("/"), ""),
    ];
    let relay = start(&mail, &hooks.concat());
    relay.submit("app@src.test", &["first@dst.test"], "hello");
    for (name, words) in [("inner", "private"), ("meta", "private"), ("away", "redirects are not followed")] {
        let row = wait_state(&relay, name, "it fails", |row| row["state"] == "failing");
        assert!(row["error"].as_str().unwrap().contains(words), "{row}");
    }
    assert!(other.posts().is_empty());
    let tried = relay.cli(&["webhook", "test", "inner"]).expect_code(1).all();
    assert!(tried.contains("private"), "{tried}");
}

#[test]
fn one_that_is_stopped_by_hand_gets_everything_later_and_one_post_can_be_had_again() {
    let mail = Sink::willing();
    let sink = HttpSink::willing();
    let relay = start(&mail, &hook("crm", &sink.url("/in"), ""));
    relay.cli(&["webhook", "pause", "crm"]).expect_done();
    let row = listed(&relay, "crm");
    assert_eq!(row["state"], "paused");
    assert!(of(&row, "paused_by").starts_with("operator") && row["paused_at"].is_string(), "{row}");
    relay.submit("app@src.test", &["taro@dst.test"], "while it was stopped");
    until("the delivery", || {
        let log = relay.cli(&["log", "deliveries", "--json"]).expect_done().stdout;
        log.contains("succeeded").then_some(()).or_else(|| {
            thread::sleep(Duration::from_millis(50));
            None
        })
    });
    thread::sleep(Duration::from_millis(400));
    assert!(sink.posts().is_empty(), "nothing is posted while it is stopped");

    relay.cli(&["webhook", "resume", "crm"]).expect_done();
    let rows = sink.wait_rows("both events", "deliveries", |rows| rows.len() >= 2);
    assert_eq!(rows.iter().map(|row| of(row, "status")).collect::<Vec<_>>(), ["queued", "succeeded"]);
    wait_state(&relay, "crm", "it is well", |row| row["state"] == "ok" && row["paused_at"].is_null());

    let id = sink.posts()[0].field("webhook-id").to_owned();
    let before = sink.posts().len();
    until("the history has the post", || {
        let tried = relay.cli(&["webhook", "history", "crm", "--json"]).expect_done().stdout;
        tried.contains(&id).then_some(()).or_else(|| {
            thread::sleep(Duration::from_millis(100));
            None
        })
    });
    relay.cli(&["webhook", "replay", "crm", "--post", &id]).expect_done();
    until("the post comes again", || {
        let again = sink.posts().iter().skip(before).any(|post| post.field("webhook-id") == id);
        again.then_some(()).or_else(|| {
            thread::sleep(Duration::from_millis(50));
            None
        })
    });
    let missing = relay.cli(&["webhook", "replay", "crm", "--post", "msg_none"]);
    assert!(missing.to_string().contains("no such post"), "{missing}");
}
