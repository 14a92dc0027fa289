//! What the checks of our sending domains found. Our own action.
//!
//! In: a call with `domain`, one of the config.  Out: a row a finding, the worst first, in the caller's language.
//! Always: the last check is told; `refresh` makes a new one, at most one a minute, so that a caller cannot make this server a source
//! of DNS queries; other domains are not looked at. Who may read their own data only does not see what others' mail amounts to: the
//! findings on bulk senders are left out. The rest stands in the DNS for everybody, or is about this server.
//! Sources: issue 6 part 3; R10.

use std::time::Duration;

use super::{Call, stored, time_of};
use crate::{
    doctor::{
        domain_name,
        finding::{Area, RecordToPublish, Report},
        words,
    },
    http::{
        api::{
            fault::{Fault, Why},
            reply::{Cell, Rows},
        },
        exchange::Response,
    },
};

/// A check that is younger is told in the place of a new one.
const FRESH_FOR: Duration = Duration::from_secs(60);

/// The keys of a row.
pub(in crate::http::api) const KEYS: [&str; 9] =
    ["checked", "domain", "check", "level", "subject", "seen", "why", "fix", "records"];

/// `domains/check`.
pub(super) fn check(call: &Call<'_>) -> Result<Response, Fault> {
    call.composition_if_named()?;
    let asked = call.search("domain")?;
    if asked.trim().is_empty() {
        return Err(Why::Missing.of("domain"));
    }
    let checks = call.daemon.domain_checks();
    let domain = domain_name(&asked).ok_or_else(|| Why::Unknown.of("domain"))?;
    let known = checks.all().map_err(|error| stored(&error))?;
    let Some((_, last)) = known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(&domain)) else {
        return Err(Why::Unknown.of("domain"));
    };
    let wants_new = call.ask.flag("refresh")?.unwrap_or(false);
    let now = call.daemon.now();
    let is_good = |report: &Report| !wants_new || now.since(report.at) < FRESH_FOR;
    let report = match last.filter(is_good) {
        Some(report) => report,
        None => checks.check(&domain).map_err(|error| stored(&error))?,
    };
    Ok(rows(call, &report).response(call.format))
}

fn rows(call: &Call<'_>, report: &Report) -> Rows {
    let language = call.language;
    let own_only = !call.own_user().is_empty();
    let checked = time_of(&call.caller.zone, Some(report.at));
    let shown = report.findings.iter().filter(|finding| !own_only || finding.area() != Area::Bulk);
    let rows = shown.map(|finding| {
        let lines: Vec<String> = finding.records.iter().map(RecordToPublish::zone_line).collect();
        let values = [
            checked.clone(),
            report.domain.clone(),
            finding.check().to_owned(),
            finding.level.word().to_owned(),
            finding.subject.clone(),
            words::seen(finding, language),
            words::why(finding, language),
            words::fix(finding, language),
            lines.join("\n"),
        ];
        KEYS.into_iter().zip(values.map(Cell::Text)).collect()
    });
    Rows { plural: "findings", singular: "finding", rows: rows.collect() }
}
