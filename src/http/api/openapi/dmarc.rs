//! What is told of the calls to the DMARC monitor, and which keys have numbers.

use serde_json::json;

use super::{Answer, Param, Told, composition, flag, number, paging, param, text};
use crate::{dmarc::monitor::DAYS_MAX, http::api::transaction::dmarc as calls};

/// Keys whose values are numbers: the counts of statistics, and those of DMARC reports.
pub(super) const COUNTS: [&str; 22] = [
    "queued",
    "succeeded",
    "failed",
    "blocked",
    "valid",
    "reports",
    "messages",
    "dkimPass",
    "spfPass",
    "aligned",
    "spoofed",
    "forwarded",
    "none",
    "quarantine",
    "reject",
    "relayReported",
    "reporters",
    "rows",
    "wouldBeRefused",
    "relayRefused",
    "knownRefused",
    "unknownRefused",
];

/// A domain, and so many days.
fn of_domain() -> Vec<Param> {
    let domain = json!({ "type": "string", "minLength": 1, "maxLength": 253 });
    vec![
        composition(),
        param("domain", true, domain, "The domain: its own mail and that of names below it."),
        param("days", false, number(1, i64::from(DAYS_MAX)), "So many days, today included; 30 without it."),
        param("all", false, flag(), "Counts reports, too, whose sender is not proven."),
    ]
}

/// What is told of a call.
pub(super) fn told(path: &str) -> Told {
    let told = |summary, params: Vec<Vec<Param>>, answer| Told {
        summary,
        params: params.into_iter().flatten().collect(),
        answer,
    };
    match path {
        "dmarc/daily" => told(
            "Sums up DMARC reports about a domain by day (UTC), beside what this server delivered.",
            vec![of_domain()],
            Answer::Rows("days", &calls::DAY_KEYS),
        ),
        "dmarc/sources" => told(
            "Lists who sends in a domain's name, by address, those with the most mails first.",
            vec![of_domain(), paging()],
            Answer::Rows("sources", &calls::SOURCE_KEYS),
        ),
        "dmarc/reports" => told(
            "Lists the DMARC reports about a domain, by day.",
            vec![of_domain(), paging()],
            Answer::Rows("reports", &calls::REPORT_KEYS),
        ),
        "dmarc/advice" => told(
            "Tells how many mails p=reject would have refused, whose they were, and what to do.",
            vec![of_domain()],
            Answer::Rows("advice", &calls::ADVICE_KEYS),
        ),
        "dmarc/alarms" => told(
            "Lists what is wrong with DMARC reports that should come.",
            vec![vec![composition(), param("domain", false, text(253), "Of this domain only.")]],
            Answer::Rows("alarms", &calls::ALARM_KEYS),
        ),
        "dmarc/import" => told(
            "Takes DMARC reports: files of a multipart body (XML, gzip, ZIP, mails), or one in `report`.",
            vec![vec![
                composition(),
                param("report", false, json!({ "type": "string" }), "A report's XML, or any such file in base64."),
            ]],
            Answer::Files("imports", &calls::IMPORT_KEYS),
        ),
        _ => told("", Vec::new(), Answer::Done(&[])),
    }
}
