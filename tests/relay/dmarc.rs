//! DMARC reports: by mail, by files and by the API each counts once; forged ones are marked and left out; people's mail reaches
//! postmaster; old ones go; and whoever asks hears when none can come.

use std::{
    io::{Read, Write},
    net::SocketAddr,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hikyaku::{clock::Clock, tls_report::gzip};
use serde_json::{Value, json};

use crate::support::{Client, Config, Dns, Relay, Sink, place, until};

const TO: &str = "dmarc@own.test";
const KEY: &str = "tide-97-lantern-quay";

/// A report about `src.test` from `reporter.test`: mails from an address of this relay, and some of somebody else's.
fn report(id: &str, days_ago: u64, ours: u64, others: u64) -> String {
    let begin = (Clock::system().now().as_seconds() / 86_400 - days_ago) * 86_400;
    let record = |ip: &str, count: u64, result: &str| {
        format!(
            "<record><row><source_ip>{ip}</source_ip><count>{count}</count><policy_evaluated><disposition>none</disposition>\
             <dkim>{result}</dkim><spf>{result}</spf></policy_evaluated></row><identifiers><header_from>src.test</header_from>\
             </identifiers><auth_results><spf><domain>src.test</domain><result>{result}</result></spf></auth_results></record>"
        )
    };
    format!(
        "<?xml version=\"1.0\"?><feedback><report_metadata><org_name>reporter.test</org_name><email>noreply@reporter.test</email>\
         <report_id>{id}</report_id><date_range><begin>{begin}</begin><end>{}</end></date_range></report_metadata>\
         <policy_published><domain>src.test</domain><p>none</p></policy_published>{}{}</feedback>",
        begin + 86_399,
        record("192.0.2.10", ours, "pass"),
        record("203.0.113.9", others, "fail"),
    )
}

/// The report as reporters mail it.
fn mail(report: &str) -> String {
    let packed = STANDARD.encode(gzip(report.as_bytes()));
    let lines: Vec<&str> = packed.as_bytes().chunks(76).map(|l| std::str::from_utf8(l).unwrap()).collect();
    format!(
        "From: DMARC <noreply@reporter.test>\r\nTo: {TO}\r\nSubject: Report Domain: src.test Submitter: reporter.test\r\n\
         MIME-Version: 1.0\r\nContent-Type: application/gzip; name=\"reporter.test!src.test!1!2.xml.gz\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n",
        lines.join("\r\n")
    )
}

fn dns() -> Dns {
    Dns::start()
        .txt("_dmarc.reporter.test", "v=DMARC1; p=reject")
        .txt("reporter.test", "v=spf1 ip4:127.0.0.0/8 -all")
        .txt("_dmarc.src.test", &format!("v=DMARC1; p=none; rua=mailto:{TO}"))
        .txt("src.test._report._dmarc.own.test", "v=DMARC1")
}

fn config(dns: &Dns, port: u16, inbound: SocketAddr) -> Config {
    Config::internet(dns.address(), port)
        .listener(&format!("address = \"{inbound}\"\nrole = \"inbound\""))
        .set("bounce.report_address", &format!("\"{TO}\""))
        .set("domain_check.addresses", "[\"192.0.2.10\"]")
        .text("[[domain]]\nname = \"src.test\"\n")
}

fn inbound() -> SocketAddr {
    SocketAddr::from((place::address(), 2525))
}

fn view(relay: &Relay, more: &[&str]) -> Value {
    let ran = relay.cli(&[&["dmarc", "report", "src.test", "--json"], more].concat()).expect_done();
    serde_json::from_str(&ran.stdout).unwrap()
}

fn messages(relay: &Relay) -> u64 {
    view(relay, &[])["total"]["messages"].as_u64().unwrap()
}

#[test]
fn reports_count_once_by_every_way_and_forged_ones_not_at_all() {
    let (dns, at) = (dns(), inbound());
    let mut relay = Relay::start(config(&dns, 2525, at));
    let send = |from: &str, content: &str| Client::hello(at).send(from, &[TO], content.as_bytes());

    send("b@reporter.test", &mail(&report("r-1", 1, 10, 3))).expect("250");
    send("b@reporter.test", &mail(&report("r-1", 1, 10, 3))).expect("250");
    assert_eq!(messages(&relay), 13, "the same again is known");
    // From a stranger, in the reporter's name: kept, marked, and in no sum.
    send("b@evil.test", &mail(&report("r-2", 1, 0, 1_000_000))).expect("250");
    let seen = view(&relay, &[]);
    assert_eq!((&seen["total"]["messages"], &seen["left_out"]["forged"]), (&json!(13), &json!(1)), "{seen}");
    assert_eq!(view(&relay, &["--all"])["total"]["messages"], json!(1_000_013));
    // The genuine one takes its place.
    send("b@reporter.test", &mail(&report("r-2", 1, 5, 0))).expect("250");
    assert_eq!(view(&relay, &["--all"])["total"]["messages"], json!(18));
    send("b@reporter.test", &mail(&report("r-3", 1, 1, 1)).replace("src.test!1", "x")).expect("250");
    let refused = send(
        "b@reporter.test",
        &mail(&report("x", 1, 1, 1).replace("<domain>src.test</domain><p>", "<domain>other.test</domain><p>")),
    );
    assert!(refused.text().starts_with("554") && refused.text().contains("other.test is no domain"), "{refused}");
    let refused = send("b@reporter.test", "Subject: hello\r\n\r\nwho reads this?\r\n");
    assert!(refused.text().starts_with("554") && refused.text().contains("takes DMARC and TLS reports"), "{refused}");

    // A folder with a mailbox in it: one report known, one new, one old, and a mail without one.
    let mbox: String = [report("r-1", 1, 10, 3), report("r-4", 2, 7, 0)]
        .iter()
        .map(|report| format!("From x@y Tue Nov 24 00:00:00 2026\n{}\n\n", mail(report).replace("\r\n", "\n")))
        .collect();
    std::fs::create_dir_all(relay.place.path("in/deep")).unwrap();
    relay.place.write("in/box", &mbox);
    relay.place.write("in/deep/a.xml", report("r-5", 3, 2, 0));
    relay.place.write("in/deep/old.xml", report("r-6", 500, 2, 0));
    relay.place.write("in/note.txt", "nothing");
    let ran = relay.cli(&["dmarc", "import", "in"]).expect_code(1);
    assert!(
        ran.stdout.contains("5 files: 2 new with 4 rows, 1 known before, 1 refused, 1 files without a report."),
        "{ran:?}"
    );
    assert_eq!(messages(&relay), 13 + 5 + 2 + 7 + 2);

    relay.kill();
    relay.restart();
    assert_eq!(messages(&relay), 29, "over a restart");
    let listed = relay.cli(&["dmarc", "reports", "src.test", "--json"]).expect_done().stdout;
    let rows: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<(&str, &str, &str)> = rows
        .iter()
        .map(|r| (r["report_id"].as_str().unwrap(), r["by"].as_str().unwrap(), r["mark"].as_str().unwrap()))
        .collect();
    for expected in [("r-1", "mail", "verified"), ("r-2", "mail", "verified"), ("r-4", "file", "imported")] {
        assert!(told.contains(&expected), "{told:?}");
    }
    let audit = relay.cli(&["log", "audit"]).expect_done().stdout;
    assert!(audit.contains("dmarc.import"), "{audit}");

    let table = relay.cli(&["dmarc", "sources", "src.test"]).expect_done().stdout;
    let ours = table.lines().find(|line| line.starts_with("192.0.2.10")).unwrap();
    assert!(ours.contains("this relay") && table.contains("203.0.113.9  unknown"), "{table}");
    let shown = relay.cli(&["dmarc", "report", "src.test"]).expect_done().stdout;
    assert!(shown.contains("With p=reject (now none), 4 of these mails would have been refused:"), "{shown}");

    // What is older than the retention is not shown, and goes.
    relay.reconfigure(|config| config.set("retention.dmarc", "\"2d\""));
    relay.stop();
    relay.restart();
    assert_eq!(messages(&relay), 27, "three days ago is past");
}

#[test]
fn people_who_write_there_reach_postmaster() {
    let sink = Sink::willing();
    let std::net::IpAddr::V4(ip) = sink.address().ip() else { panic!("sinks are on IPv4") };
    let dns = dns().mx("office.test", 10, "mx.office.test").a("mx.office.test", ip);
    let at = inbound();
    let relay = Relay::start(config(&dns, sink.address().port(), at).set("server.postmaster", "\"admin@office.test\""));
    let checked = relay.cli(&["check"]);
    assert!(!checked.stderr.contains("report_address"), "{checked:?}");
    let content = "From: p@them.test\r\nSubject: about your reports\r\n\r\nPlease call.\r\n";
    Client::hello(at).send("p@them.test", &[TO], content.as_bytes()).expect("250");
    let passed = sink.wait_for_recipient("admin@office.test").text();
    assert!(passed.ends_with(content), "{passed}");
    let broken = mail("<feedback><report_metadata>");
    let refused = Client::hello(at).send("p@them.test", &[TO], broken.as_bytes());
    assert!(refused.text().starts_with("554"), "a broken report is nobody's mail: {refused}");
}

#[test]
fn our_own_log_stands_beside_and_a_record_that_does_not_name_us_is_told() {
    let sink = Sink::willing();
    let std::net::IpAddr::V4(ip) = sink.address().ip() else { panic!("sinks are on IPv4") };
    let dns = dns()
        .mx("dst.test", 10, "mx.dst.test")
        .a("mx.dst.test", ip)
        .txt("_dmarc.lost.test", "v=DMARC1; p=none; rua=mailto:reports@elsewhere.test");
    let config = config(&dns, sink.address().port(), inbound()).text("[[domain]]\nname = \"lost.test\"\n");
    let mut relay = Relay::start(config);
    relay.submit("app@src.test", &["one@dst.test"], "first");
    relay.wait_event("succeeded", "one@dst.test");
    relay.place.write("today.xml", report("r-1", 0, 3, 0));
    relay.cli(&["dmarc", "import", "today.xml"]).expect_done();
    relay.stop();
    relay.restart();
    let seen = view(&relay, &[]);
    let beside = (&seen["relay_reported"], &seen["relay_delivered"], &seen["relay_unaccounted"]);
    assert_eq!(beside, (&json!(3), &json!(1), &json!(2)), "{seen}");
    let shown = relay.cli(&["dmarc", "report", "src.test"]).expect_done().stdout;
    assert!(shown.contains("2 mails came from this relay's addresses that it does not know of"), "{shown}");

    let words = "sends reports to mailto:reports@elsewhere.test but not to dmarc@own.test";
    until("the alarm", || relay.cli(&["status"]).stdout.contains(words).then_some(()));
    let all = relay.cli(&["dmarc", "report"]).expect_done().stdout;
    assert!(all.contains(words) && all.lines().any(|line| line.starts_with("lost.test")), "{all}");
    let status = relay.get("/status.json").unwrap();
    let status: Value = serde_json::from_str(&status.body).unwrap();
    assert_eq!(status["dmarc_alarms"][0]["alarm"], json!("not_ours"), "{status}");
    assert_eq!(status["dmarc_alarms"].as_array().unwrap().len(), 1, "src.test is well: {status}");
    relay.wait_log("act=dmarc_alarm domain=lost.test alarm=not_ours");
}

#[test]
fn the_api_takes_reports_and_shows_them() {
    let dns = dns();
    let relay = Relay::start(config(&dns, 2525, inbound()));
    let key = relay.place.write("key", KEY);
    relay.cli(&["user", "add", "boss", "--api", "--key-file", key.to_str().unwrap()]).expect_done();
    relay
        .cli(&["user", "set", "boss", "--role", "group-administrator", "--access", "http", "--permissions", "view"])
        .expect_done();
    let ask = |path: &str, mut body: Value| {
        body["api_user"] = json!("boss");
        body["api_key"] = json!(KEY);
        body["server_composition"] = json!("main");
        post(relay.http(), &format!("/transaction/v2/{path}"), &body.to_string())
    };
    let packed = STANDARD.encode(gzip(report("r-1", 1, 10, 3).as_bytes()));
    let (status, answer) = ask("dmarc/import.json", json!({ "report": packed }));
    assert_eq!((status, &answer["imports"][0]["result"]), (200, &json!("new")), "{answer}");
    // More than other bodies may have.
    let small = report("r-2", 1, 1, 0);
    let (from, to) = (small.find("<record>").unwrap(), small.find("</record>").unwrap() + "</record>".len());
    let large = small.replace("</feedback>", &format!("{}</feedback>", small[from..to].repeat(5_000)));
    assert!(large.len() > 1 << 20);
    let (status, answer) = ask("dmarc/import.json", json!({ "report": large }));
    assert_eq!((status, &answer["imports"][0]["result"]), (200, &json!("new")), "{answer}");
    let (_, answer) = ask("dmarc/daily.json", json!({ "domain": "src.test" }));
    assert_eq!(answer["days"][0]["messages"], json!(13 + 5_001), "{answer}");
    let (_, answer) = ask("dmarc/sources.json", json!({ "domain": "src.test" }));
    assert_eq!(answer["sources"][0]["label"], json!("this_relay"), "{answer}");
}

fn post(to: SocketAddr, path: &str, body: &str) -> (u16, Value) {
    let mut stream = std::net::TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}
