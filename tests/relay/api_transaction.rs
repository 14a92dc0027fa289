//! The Transactional API of the real program: what became of mail, blocks, statistics, downloads, rights, the queue.

use std::io::{BufRead, BufReader, Read, Write};

use serde_json::{Value, json};

use crate::{
    log_export,
    support::{Act, Config, Relay, Sink, Step, long, say, until},
};

/// The key of every API user here.
const KEY: &str = "tide-97-lantern-quay";

/// An answer, its body as octets.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text()))
    }
}

fn ask_as(relay: &Relay, user: &str, path: &str, mut body: Value, more: &str) -> Answer {
    body["api_user"] = json!(user);
    body["api_key"] = json!(KEY);
    let body = body.to_string();
    let to = relay.http();
    let mut stream = std::net::TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    write!(
        stream,
        "POST /transaction/v2/{path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         {more}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut octets = Vec::new();
    stream.read_to_end(&mut octets).unwrap();
    let end = octets.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_else(|| panic!("no answer: {octets:?}"));
    let head = String::from_utf8(octets[..end].to_vec()).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let chunked = head.contains("transfer-encoding: chunked");
    let body = octets[end + 4..].to_vec();
    Answer { status, head, body: if chunked { unchunked(&body) } else { body } }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n").expect("a chunk's length");
        let len = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        rest = &rest[end + 2..];
        if len == 0 {
            return out;
        }
        out.extend_from_slice(&rest[..len]);
        rest = &rest[len + 2..];
    }
}

fn ask(relay: &Relay, user: &str, path: &str, body: Value) -> Answer {
    ask_as(relay, user, path, body, "")
}

/// A user of the API with these rights.
fn user(relay: &Relay, name: &str, rights: &[&str]) {
    let key = relay.place.write("api-key", KEY);
    relay.cli(&["user", "add", name, "--api", "--key-file", key.to_str().unwrap()]).expect_done();
    if !rights.is_empty() {
        relay.cli(&[&["user", "set", name], rights].concat()).expect_done();
    }
}

/// A relay whose destination refuses `gone@`, defers `later@` and takes the rest; with an administrator, a reader of its own data
/// and one who may nothing.
fn relay() -> (Relay, Sink) {
    let sink = Sink::scripted(|m| match m.step {
        Step::Rcpt if m.line.contains("gone@") => Act::reply("550 5.1.1 No such user here"),
        Step::Rcpt if m.line.contains("later@") => Act::reply("451 4.7.1 Come again"),
        _ => Act::Normal,
    });
    let relay = Relay::start(Config::smarthost(sink.address()).set("server.time_zone", "\"Asia/Tokyo\""));
    user(&relay, "admin", &["--role", "group-administrator", "--access", "http", "--permissions", "view,download"]);
    user(&relay, "own", &["--access", "http", "--permissions", "view", "--own-data-only", "on"]);
    user(&relay, "nobody", &["--access", "http", "--permissions", "none"]);
    (relay, sink)
}

fn main_only() -> Value {
    json!({ "server_composition": "main" })
}

fn with(mut body: Value, more: Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// Today in the zone of the API user, as the daemon tells it.
fn today(relay: &Relay) -> String {
    let event = relay.deliveries().into_iter().next().expect("an event");
    let at: jiff::Timestamp = event.text("at").parse().unwrap();
    at.in_tz("Asia/Tokyo").unwrap().date().to_string()
}

#[test]
fn what_became_of_mail_is_listed_found_counted_and_downloaded() {
    let (relay, _sink) = relay();
    relay.submit("shop@src.test", &["here@dst.test", "gone@dst.test", "later@dst.test"], "Order 42");
    relay.wait_event("succeeded", "here@dst.test");
    relay.wait_event("failed", "gone@dst.test");
    relay.wait_event("deferred", "later@dst.test");
    let day = with(main_only(), json!({ "date": today(&relay) }));

    let answer = ask(&relay, "admin", "deliveries/list.json", with(day.clone(), json!({ "to": "gone@", "r": 100 })));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.head.contains("content-type: application/json; charset=utf-8"), "{}", answer.head);
    let rows = answer.json()["deliveries"].as_array().unwrap().clone();
    let statuses: Vec<&str> = rows.iter().map(|row| row["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["failed", "queued"], "newest first");
    let (failed, queued) = (&rows[0], &rows[1]);
    for (key, failed_value, queued_value) in [
        ("returnPath", "shop@src.test", "shop@src.test"),
        ("to", "gone@dst.test", "gone@dst.test"),
        ("reason", "550 5.1.1 No such user here", ""),
        ("subject", "Order 42", "Order 42"),
    ] {
        assert_eq!((&failed[key], &queued[key]), (&json!(failed_value), &json!(queued_value)), "{key}");
    }
    assert_ne!((&failed["senderIp"], &queued["sourceIp"]), (&json!(""), &json!("")));
    assert_eq!((&failed["sourceIp"], &queued["senderIp"]), (&json!(""), &json!("")));
    assert_eq!(failed.as_object().unwrap().len(), 11);

    let bounces = ask(&relay, "admin", "bounces/list.json", with(main_only(), json!({ "status": 2, "r": 100 })));
    let rows = bounces.json()["bounces"].as_array().unwrap().clone();
    assert_eq!((rows.len(), &rows[0]["to"], &rows[0]["status"]), (1, &json!("gone@dst.test"), &json!("2")));
    let xml = ask(&relay, "admin", "bounces/list.xml", main_only()).text();
    assert!(
        xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<bounces><bounce><created>20")
    );
    assert_eq!(ask(&relay, "own", "bounces/list.json", main_only()).status, 204, "none of it is its own");
    assert_eq!(ask(&relay, "own", "deliveries/list.json", day.clone()).status, 204);

    let date = today(&relay);
    let month = json!({ "year": date[..4], "month": date[5..7], "total": true });
    let counts = ask(&relay, "admin", "statistics/list.json", month.clone()).json();
    let expected = json!({ "date": "total", "queued": 3, "succeeded": 1, "failed": 1, "blocked": 0, "valid": 2 });
    assert_eq!(counts["statistics"][0], expected);
    assert_eq!(ask(&relay, "own", "statistics/list.json", month).status, 204);

    let found =
        ask(&relay, "admin", "messages/find.json", with(main_only(), json!({ "key": "later@dst.test" }))).json();
    let row = &found["messages"][0];
    assert_eq!(
        (&row["status"], &row["subject"], &row["reason"]),
        (&json!("waiting"), &json!("Order 42"), &json!("451 4.7.1 Come again"))
    );

    let zip = ask(&relay, "admin", "deliveries/download.json", day);
    assert_eq!(zip.status, 200);
    assert!(zip.head.contains("content-type: application/octet-stream"), "{}", zip.head);
    assert!(zip.head.contains("content-disposition: attachment; filename=\"deliveries-20"), "{}", zip.head);
    assert!(zip.body.starts_with(b"PK\x03\x04"));
    let audit = relay.cli(&["log", "audit", "--json"]).stdout;
    assert!(audit.contains("api.download"), "who took it away is written down: {audit}");
}

#[test]
fn blocks_are_lifted_and_exempted_and_every_change_is_in_the_operation_log() {
    let (relay, sink) = relay();
    relay.submit("shop@src.test", &["gone@dst.test"], "one");
    relay.wait_event("failed", "gone@dst.test");
    let list = |more: Value| ask(&relay, "own", "blocks/list.json", with(main_only(), more));
    let block = until("the block", || {
        let answer = list(json!({ "email": "gone@" }));
        (answer.status == 200).then(|| answer.json()["blocks"][0].clone())
    });
    assert_eq!(
        (&block["email"], &block["occurred"], &block["status"]),
        (&json!("gone@dst.test"), &json!("1"), &json!("2"))
    );
    let act = |verb: &str, email: Value| {
        let answer = ask(&relay, "admin", &format!("blocks/{verb}.json"), with(main_only(), json!({ "email": email })));
        assert_eq!((answer.status, answer.text()), (200, r#"{"message":"success"}"#.to_owned()), "{verb}");
    };

    // Cancelled, it is tried again, and blocked again.
    act("cancel", json!("gone@dst.test"));
    assert_eq!(list(json!({})).status, 204);
    assert_eq!(list(json!({ "removed": true })).status, 200);
    let tries = sink.seen(Step::Rcpt);
    relay.submit("shop@src.test", &["gone@dst.test"], "two");
    until("another try", || (sink.seen(Step::Rcpt) > tries).then_some(()));
    until("blocked again", || (list(json!({})).status == 200).then_some(()));

    // Deleted, it never is.
    act("delete", json!(["gone@dst.test"]));
    relay.submit("shop@src.test", &["gone@dst.test"], "three");
    until("three failures", || {
        let failed = relay.wait_events("failed", "gone@dst.test", 3);
        (failed.iter().filter(|e| e.text("error_code") == "2").count() == 3).then_some(())
    });
    act("add", json!("other@dst.test"));
    let on: Vec<Value> = list(json!({})).json()["blocks"].as_array().unwrap().clone();
    assert_eq!(on.iter().map(|row| &row["email"]).collect::<Vec<_>>(), [&json!("other@dst.test")]);

    let audit = relay.cli(&["log", "audit", "--json"]).stdout;
    for act in ["suppress.lift", "suppress.exempt", "suppress.add"] {
        let line = audit.lines().find(|line| line.contains(act)).unwrap_or_else(|| panic!("no {act}: {audit}"));
        assert!(line.contains("\"admin\"") && line.contains("127."), "with name and address: {line}");
    }
}

#[test]
fn who_lacks_a_right_is_refused_and_written_down_and_a_wrong_key_says_nothing_more() {
    let (relay, _sink) = relay();
    for (user, path) in [
        ("nobody", "deliveries/list.json"),
        ("own", "bounces/download.json"),
        ("own", "blocks/cancel.json"),
        ("own", "queue/drop.json"),
        ("own", "auditlogs/list.json"),
    ] {
        let answer = ask_as(&relay, user, path, main_only(), "Accept-Language: ja\r\n");
        assert_eq!(answer.status, 403, "{user} {path}");
        assert_eq!(
            answer.text(),
            r#"{"errors":[{"code":"11-003","field":"","message":"このAPIユーザーには権限がありません。"}]}"#
        );
    }
    let denied = relay.cli(&["log", "audit", "--json"]).stdout;
    let denied: Vec<&str> = denied.lines().filter(|line| line.contains("api.denied")).collect();
    assert_eq!(denied.len(), 5, "{denied:?}");
    let logs =
        ask(&relay, "admin", "auditlogs/list.json", json!({ "type": "operation", "account": "own", "r": 100 })).json();
    let rows = logs["operationlogs"].as_array().unwrap();
    assert_eq!(rows.iter().filter(|row| row["function"] == "api.denied").count(), 4);

    let wrong = ask(&relay, "stranger", "blocks/list.json", main_only());
    assert_eq!(wrong.status, 401);
    assert_eq!(
        wrong.text(),
        r#"{"errors":[{"code":"11-001","field":"","message":"The api_user or api_key is wrong."}]}"#
    );
}

#[test]
fn the_queue_is_acted_on_by_administrators() {
    let (relay, _sink) = relay();
    let id = relay.submit("shop@src.test", &["later@dst.test"], "waits");
    relay.wait_event("deferred", "later@dst.test");
    let named = with(main_only(), json!({ "queue_id": id }));
    let status = || ask(&relay, "admin", "queue/list.json", main_only()).json()["queue"][0]["status"].clone();
    for (verb, then) in [("hold", "held"), ("release", "waiting"), ("flush", "waiting")] {
        let answer = ask(&relay, "admin", &format!("queue/{verb}.json"), named.clone());
        assert_eq!(answer.text(), r#"{"message":"success","recipients":"1"}"#, "{verb}");
        assert_eq!(status(), then, "{verb}");
    }
    assert_eq!(ask(&relay, "own", "queue/list.json", main_only()).status, 204, "it is not its own");
    until("the drop", || {
        // While a try runs, there is nothing to drop.
        let answer = ask(&relay, "admin", "queue/drop.json", named.clone());
        answer.text().contains(r#""recipients":"1""#).then_some(())
    });
    assert_eq!(ask(&relay, "admin", "queue/list.json", main_only()).status, 204);
    relay.wait_event("dropped", "later@dst.test");
    let audit = relay.cli(&["log", "audit", "--json"]).stdout;
    let line = audit.lines().find(|line| line.contains("queue.drop")).expect("an entry");
    assert!(line.contains("\"admin\"") && line.contains("127.") && !line.contains("control socket"), "{line}");
}

#[test]
fn a_day_of_many_rows_leaves_by_the_api_and_takes_no_memory() {
    let rows = if long() { 1_000_000 } else { 20_000 };
    let mut relay = Relay::start(Config::sandbox().set("server.time_zone", "\"Asia/Tokyo\""));
    user(&relay, "loader", &["--access", "http", "--permissions", "download"]);
    assert!(relay.stop().success());
    log_export::fill(&relay, rows);
    relay.restart();
    let before = log_export::peak(relay.pid());
    // The rows were written around midnight, perhaps.
    let now: jiff::Timestamp = hikyaku::clock::Clock::system().now().rfc3339().parse().unwrap();
    let today = now.in_tz("Asia/Tokyo").unwrap().date();
    let mut lines = 0;
    for day in [today.yesterday().unwrap(), today] {
        let answer =
            ask(&relay, "loader", "deliveries/download.json", with(main_only(), json!({ "date": day.to_string() })));
        if answer.status == 204 {
            continue;
        }
        assert_eq!(answer.status, 200, "{}", answer.head);
        let archive = rawzip::ZipArchive::from_slice(&answer.body).expect("a whole ZIP");
        let mut entries = archive.entries();
        while let Some(header) = entries.next_entry().unwrap() {
            let entry = archive.get_entry(header.wayfinder()).unwrap();
            let inflated = flate2::read::DeflateDecoder::new(entry.data());
            let text = BufReader::new(entry.verifying_reader(inflated));
            lines += text.lines().map(Result::unwrap).filter(|line| !line.starts_with("\"created\"")).count();
        }
    }
    let grown = log_export::peak(relay.pid()).saturating_sub(before);
    say(format_args!("{rows} rows: the daemon grew by {} KiB", grown / 1024));
    assert_eq!(lines, rows);
    assert!(grown < log_export::DAEMON_MAX, "the daemon grew by {grown} octets");
}

#[test]
fn the_description_of_the_api_is_served_and_names_its_paths() {
    let (relay, _sink) = relay();
    let answer = relay.get("/openapi.json").unwrap();
    assert_eq!(answer.status, 200);
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/transaction/v2/deliveries/list.json"]["post"].is_object());
    assert!(!answer.body.contains(relay.place.dir().to_str().unwrap()));
}
