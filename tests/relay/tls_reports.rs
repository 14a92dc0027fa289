//! TLS reports: one that comes in by mail is kept and shown, once, and over a restart; other mail to its address is refused.

use std::net::SocketAddr;

use hikyaku::{clock::Clock, tls_report::gzip, when::day_name};

use crate::support::{Client, Config, Relay, place};

const TO: &str = "tls-reports@own.test";

fn report(id: &str) -> String {
    let day = day_name(Clock::system().now().day() - 1);
    format!(
        "{{\"organization-name\":\"Example Inc.\",\"date-range\":{{\"start-datetime\":\"{day}T00:00:00Z\",\
         \"end-datetime\":\"{day}T23:59:59Z\"}},\"contact-info\":\"tls@sender.test\",\"report-id\":\"{id}\",\"policies\":[{{\
         \"policy\":{{\"policy-type\":\"sts\",\"policy-domain\":\"own.test\"}},\"summary\":{{\
         \"total-successful-session-count\":41,\"total-failure-session-count\":2}},\"failure-details\":[{{\
         \"result-type\":\"certificate-expired\",\"failed-session-count\":2}}]}}]}}"
    )
}

fn mail(id: &str) -> String {
    format!(
        "From: tls@sender.test\r\nTo: {TO}\r\nSubject: Report Domain: own.test\r\n\
         Content-Type: application/tlsrpt+json\r\n\r\n{}\r\n",
        report(id)
    )
}

#[test]
fn a_report_that_comes_in_is_kept_shown_and_not_delivered() {
    let inbound = SocketAddr::from((place::address(), 2525));
    let mut relay = Relay::start(
        Config::sandbox()
            .listener(&format!("address = \"{inbound}\"\nrole = \"inbound\""))
            .set("tls_report.address", &format!("\"{TO}\"")),
    );
    let mut client = Client::hello(inbound);
    client.send("tls@sender.test", &[TO], mail("r-1").as_bytes()).expect("250");
    client.send("tls@sender.test", &[TO], mail("r-1").as_bytes()).expect("250");
    client.send("tls@sender.test", &[TO], b"Subject: hello\r\n\r\nhello\r\n").expect("550");
    relay.place.write("r-2.json.gz", gzip(report("r-2").as_bytes()));
    relay.cli(&["tls-report", "import", "r-2.json.gz"]).expect_done();

    relay.kill();
    relay.restart();
    let listed = relay.cli(&["tls-report", "list", "--json"]).expect_done().stdout;
    let rows: Vec<serde_json::Value> = listed.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let ids: Vec<&str> = rows.iter().map(|r| r["report_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["r-1", "r-2"], "{listed}");
    assert_eq!((&rows[0]["successes"], &rows[0]["failed"], &rows[0]["by"]), (&41.into(), &2.into(), &"mail".into()));
    let shown = relay.cli(&["tls-report", "show", rows[0]["key"].as_str().unwrap()]).expect_done().stdout;
    assert!(shown.contains("certificate-expired"), "{shown}");
    assert!(relay.deliveries().is_empty(), "nothing to deliver");
}
