//! The DMARC monitor by the API, word for word.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::*;
use crate::{dmarc::keep::tests::simple, tls_report::gzip};

fn about(domain: &str) -> Value {
    with(main_only(), &[("domain", json!(domain))])
}

fn import(fake: &Fake, report: &str) -> Value {
    let answer = ask(fake, "admin", "dmarc/import.json", with(main_only(), &[("report", json!(report))]));
    rows_of(answer, "imports").remove(0)
}

#[test]
fn a_report_is_brought_and_shown_by_day_source_and_report() {
    let fake = fake();
    assert_eq!(ask(&fake, "reader", "dmarc/daily.json", about("example.jp")), (204, String::new()));
    let row = import(&fake, &STANDARD.encode(gzip(simple("r-1").as_bytes())));
    let told = json!({ "file": "report", "kind": "aggregate", "result": "new", "domain": "example.jp",
        "organization": "reporter.example", "reportId": "r-1", "rows": 2, "error": "" });
    assert_eq!(row, told);
    assert_eq!(import(&fake, &simple("r-1"))["result"], "known", "the same as XML");
    let none = import(&fake, &STANDARD.encode(b"Subject: hi"));
    assert_eq!((&none["result"], none["error"].as_str().is_some_and(|e| !e.is_empty())), (&json!("no_report"), true));

    let (status, body) = ask(&fake, "reader", "dmarc/daily.json", about("Example.jp"));
    assert_eq!(status, 200);
    assert_eq!(
        body,
        r#"{"days":[{"date":"2026-11-23","domain":"example.jp","reports":1,"messages":3,"dkimPass":2,"spfPass":2,"aligned":2,"spoofed":1,"forwarded":0,"none":2,"quarantine":1,"reject":0,"relayReported":0,"relayDelivered":"","relayUnaccounted":""}]}"#
    );
    let sources = rows_of(ask(&fake, "reader", "dmarc/sources.json", about("example.jp")), "sources");
    let told: Vec<_> = sources.iter().map(|s| (s["source"].as_str().unwrap(), s["label"].as_str().unwrap())).collect();
    assert_eq!(told, [("192.0.2.10", "unknown"), ("203.0.113.9", "unknown")]);
    let second = with(about("example.jp"), &[("p", json!(1)), ("r", json!(1))]);
    assert_eq!(rows_of(ask(&fake, "reader", "dmarc/sources.json", second), "sources"), sources[1..]);
    let reports = rows_of(ask(&fake, "reader", "dmarc/reports.json", about("example.jp")), "reports");
    assert_eq!(
        (&reports[0]["begin"], &reports[0]["by"], &reports[0]["mark"]),
        (&json!("2026-11-23 09:00:00"), &json!("api"), &json!("imported")),
        "in the caller's zone"
    );
    let (_, xml) = ask(&fake, "reader", "dmarc/reports.xml", about("example.jp"));
    assert!(xml.contains("<reportId>r-1</reportId>"), "{xml}");
    let (_, advice) = ask_in(&fake, "ja", "reader", "dmarc/advice.json", about("example.jp"));
    assert!(advice.contains("もう少し待ってください") && advice.contains(r#""wouldBeRefused":1"#), "{advice}");
    assert_eq!(ask(&fake, "reader", "dmarc/alarms.json", main_only()), (204, String::new()));
    let audits = fake.audits.lock().unwrap();
    assert_eq!(audits.iter().filter(|a| a.act == "dmarc.import" && a.who == "admin").count(), 3);
}

#[test]
fn files_come_in_a_form_and_rights_and_parameters_are_checked() {
    let fake = fake();
    let boundary = "b";
    let mut body = String::new();
    for (name, value) in [("api_user", "admin"), ("api_key", KEY), ("server_composition", "main")] {
        body += &format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    }
    for (n, id) in ["r-1", "r-2"].iter().enumerate() {
        body += &format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"f{n}\"; filename=\"{id}.xml\"\r\nContent-Type: text/xml\r\n\r\n{}\r\n",
            simple(id)
        );
    }
    body += &format!("--{boundary}--\r\n");
    let path = "/transaction/v2/dmarc/import.json";
    let response = raw(&fake, path, "", "multipart/form-data; boundary=b", body.as_bytes());
    let rows = rows_of((response.status, String::from_utf8(octets(response)).unwrap()), "imports");
    assert_eq!((rows.len(), &rows[1]["file"], &rows[1]["result"]), (2, &json!("r-2.xml"), &json!("new")));

    for (user, path, body, code) in [
        ("reader", "dmarc/import.json", main_only(), "11-003"),
        ("loader", "dmarc/daily.json", about("example.jp"), "11-003"),
        ("shop-app", "dmarc/daily.json", about("example.jp"), "11-003"),
        ("crm", "dmarc/alarms.json", main_only(), "11-003"),
        ("reader", "dmarc/daily.json", main_only(), "03-001"),
        ("reader", "dmarc/daily.json", about("not a domain"), "03-017"),
        ("reader", "dmarc/daily.json", with(about("example.jp"), &[("days", json!(0))]), "03-005"),
        ("reader", "dmarc/daily.json", with(about("example.jp"), &[("server_composition", json!("x"))]), "03-017"),
        ("admin", "dmarc/import.json", main_only(), "03-001"),
        ("admin", "dmarc/import.json", with(main_only(), &[("report", json!("%%%"))]), "03-013"),
    ] {
        let (status, answer) = ask(&fake, user, path, body);
        assert!(status >= 400 && answer.contains(code), "{user} {path}: {answer}");
    }
}
