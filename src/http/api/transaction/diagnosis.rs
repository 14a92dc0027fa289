//! Domains: why mail of one is refused. Our own action, in the form of CMC's.
//!
//! In: a call with a domain.  Out: the likely causes, the likeliest first, in the language that the caller accepts; where nothing
//! stands out, one row that says so.
//! Always: with own data only it reads the caller's own mail alone.
//! Sources: PRODUCT.md R10.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Call, stored};
use crate::{
    diagnose::{NoDiagnosis, Question},
    http::{
        api::{
            fault::{Fault, Why},
            reply::{Cell, Rows},
        },
        exchange::Response,
        rows_diagnose::{DiagnosisOut, Wrong, question_of},
    },
};

/// Hours that are looked at when nothing is said.
const HOURS: i64 = 24;
/// The same, at most: as long as CMC keeps its logs.
const HOURS_MAX: i64 = 40 * 24;
/// The word where nothing stands out.
const NONE: &str = "none";

/// The keys of a row.
pub(in crate::http::api) const KEYS: [&str; 7] = ["rank", "cause", "title", "certainty", "score", "figures", "next"];

/// What the action does, for its description.
pub(in crate::http::api) const SAYS: &str =
    "Tells why mail of a domain is refused: likely causes, the likeliest first, with figures and what to do.";

/// Its parameters besides `server_composition`: name, required, schema, description.
pub(in crate::http::api) fn params() -> impl Iterator<Item = (&'static str, bool, Value, &'static str)> {
    let text = |max: usize| json!({ "type": "string", "minLength": 1, "maxLength": max });
    [
        ("domain", true, text(253), "The domain of the header From or the envelope sender, with all below it."),
        (
            "destination",
            false,
            text(253),
            "A destination's domain, an MX host, or gmail, yahoo, microsoft, docomo, kddi, softbank, yahoo-japan.",
        ),
        (
            "hours",
            false,
            json!({ "type": "integer", "minimum": 1, "maximum": HOURS_MAX }),
            "How many hours back; 24 when nothing is said.",
        ),
    ]
    .into_iter()
}

fn question(call: &Call<'_>) -> Result<Question, Fault> {
    call.composition()?;
    let domain = call.ask.required("domain")?;
    let hours = call.ask.number("hours", 1..=HOURS_MAX)?.unwrap_or(HOURS);
    let to = call.daemon.now();
    let from = to.minus(Duration::from_secs(u64::try_from(hours).unwrap_or(0) * 3600));
    let destination = call.search("destination")?;
    question_of(&domain, &destination, (from, to), &call.own_user()).map_err(|wrong| match wrong {
        Wrong::Domain => Why::Unknown.of("domain"),
        Wrong::Destination => Why::Unknown.of("destination"),
        Wrong::Period => Why::Unknown.of("hours"),
    })
}

/// `domains/diagnose`.
pub(super) fn diagnose(call: &Call<'_>) -> Result<Response, Fault> {
    let found = call.daemon.diagnose(&question(call)?).map_err(|error| match error {
        NoDiagnosis::Busy => Why::Unavailable.fault(),
        NoDiagnosis::Store(error) => stored(&error),
    })?;
    let language = call.language;
    let out = DiagnosisOut::of(&found, language, &call.caller.zone);
    let cells = |values: [String; 7]| KEYS.into_iter().zip(values.map(Cell::Text)).collect();
    let mut rows = Vec::new();
    for (n, cause) in out.causes.into_iter().enumerate() {
        let figures: Vec<String> = cause.figures.into_iter().map(|figure| figure.says).collect();
        rows.push(cells([
            (n + 1).to_string(),
            cause.cause,
            cause.title,
            cause.certainty,
            cause.score.to_string(),
            figures.join("\n"),
            cause.next.join("\n"),
        ]));
    }
    if rows.is_empty() {
        let last = out.summary.last().cloned().unwrap_or_default();
        let rank = "1".to_owned();
        rows.push(cells([rank, NONE.into(), last, String::new(), "0".into(), out.summary.join("\n"), String::new()]));
    }
    Ok(Rows { plural: "diagnoses", singular: "diagnosis", rows }.response(call.format))
}
