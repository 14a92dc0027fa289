//! R11 in text, JSON and CSV: a delivery and what came back about it name each other.

use super::*;

#[test]
fn a_delivery_and_what_came_back_about_it_name_each_other() {
    let rig = rig(Fake::bounced());
    let found = run(&rig, "find order-8809").out;
    assert!(found.contains("  delivered, bounced hard, complained  "), "{found}");
    let told = "gone@example.com bounced 2026-11-24 21:11:50, entry 3 (unknown_user, recipient, hard): 550 5.1.1";
    assert!(
        found.lines().any(|l| l.starts_with(told) && l.contains("about: delivered 2026-11-24 20:05:20, entry 2")),
        "{found}"
    );
    let failed = run(&rig, "find order-8804").out;
    assert!(failed.contains("  failed hard  ") && failed.contains("(unknown_user, recipient, hard): 550"), "{failed}");
    let errors = run(&rig, "log errors --recipient gone@").out;
    let lines: Vec<&str> = errors.lines().skip(1).collect();
    assert_eq!(lines.len(), 2, "{errors}");
    assert!(lines.iter().all(|l| l.contains("(delivered 2026-11-24 20:05:20")), "{errors}");
    let deliveries = run(&rig, "log deliveries --recipient gone@ --status succeeded").out;
    assert!(deliveries.contains("(complained 2026-11-24 22:33:30"), "{deliveries}");

    let story: serde_json::Value = serde_json::from_str(&run(&rig, "find order-8809 --json").out).expect("JSON");
    let events = &story["events"];
    assert_eq!(events[1]["status"], "succeeded");
    let numbers = |list: &serde_json::Value| -> Vec<u64> {
        list.as_array().expect("a list").iter().map(|e| e["number"].as_u64().expect("a number")).collect()
    };
    assert_eq!(numbers(&events[1]["returned"]), numbers(events)[2..]);
    assert_eq!(events[2]["about"]["number"], events[1]["number"]);
    assert_eq!(events[3]["about"]["status"], "succeeded");
    let bounce = &events[1]["returned"][0];
    assert_eq!((&bounce["error_code"], &bounce["hard"]), (&2.into(), &true.into()));
    assert!(bounce["reply"].as_str().is_some_and(|r| r.starts_with("550 5.1.1")) && bounce["at"].is_string());

    let csv = run(&rig, "log deliveries --csv --recipient gone@").out;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let head = reader.headers().expect("a head").clone();
    let column = |name: &str| head.iter().position(|h| h == name).expect("a column");
    let rows: Vec<csv::StringRecord> = reader.records().map(|r| r.expect("a row")).collect();
    let row = |status: &str| rows.iter().find(|r| &r[column("status")] == status).expect("a row");
    assert_eq!(&row("succeeded")[column("returned_status")], "complained");
    assert_eq!(&row("succeeded")[column("about_number")], "");
    assert_eq!(&row("bounced")[column("trouble")], "recipient");
    assert_eq!((&row("bounced")[column("hard")], &row("queued")[column("hard")]), ("true", "false"));
    assert_eq!(&row("bounced")[column("about_at")], &row("succeeded")[column("at")]);
}
