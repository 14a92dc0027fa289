//! What is told of our own actions in CMC's form: on the queue, and on the domains.

use serde_json::json;

use super::{Answer, Told, filter, flag, paging, param};
use crate::http::api::transaction;

/// What is told of a call.
pub(super) fn told(path: &str) -> Told {
    let told = |summary, params: Vec<Vec<super::Param>>, answer| Told {
        summary,
        params: params.into_iter().flatten().collect(),
        answer,
    };
    match path {
        "queue/list" => {
            told("Lists what waits.", vec![filter(false), paging()], Answer::Rows("queue", &transaction::queue::KEYS))
        }
        "queue/flush" => told("Tries waiting recipients now.", vec![filter(true)], Answer::Done(&["recipients"])),
        "queue/hold" => told("Holds waiting recipients.", vec![filter(true)], Answer::Done(&["recipients"])),
        "queue/release" => told("Releases held recipients.", vec![filter(true)], Answer::Done(&["recipients"])),
        "queue/drop" => {
            told("Removes waiting recipients, without a notice.", vec![filter(true)], Answer::Done(&["recipients"]))
        }
        "domains/check" => {
            let domain = json!({ "type": "string", "minLength": 1, "maxLength": 253 });
            told(
                "Tells what the last check of a sending domain found in the DNS, and what to publish.",
                vec![vec![
                    super::Param { required: false, ..super::composition() },
                    param("domain", true, domain, "A domain of the config."),
                    param("refresh", false, flag(), "Checks anew, at most once a minute."),
                ]],
                Answer::Rows("findings", &transaction::domains::KEYS),
            )
        }
        _ => told("", Vec::new(), Answer::Done(&[])),
    }
}
