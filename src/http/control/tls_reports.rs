//! TLS reports over the control socket: those that came in, one of them, and files that the operator brings.

use serde::{Deserialize, Serialize};

use super::{Answer, Refused, act, note, number, page_of, read, with_cursor};
use crate::{
    http::{
        daemon::Daemon,
        exchange::{Request, Response},
    },
    tls_report::receive::{self, RETENTION_DAYS, Stored, Taken},
    when::day_name,
};

/// A kept report with its key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TlsReportOut {
    /// What `show` takes.
    pub key: String,
    /// The report.
    #[serde(flatten)]
    pub report: Stored,
}

/// What became of an imported file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ImportOut {
    /// The report's key.
    pub key: String,
    /// It was there before.
    pub known: bool,
}

/// Answers `/control/tls-reports…`.
pub(super) fn route(daemon: &dyn Daemon, request: &Request, rest: &[&str]) -> Answer {
    match rest {
        [] => read(request, || list(daemon, request)),
        ["show"] => read(request, || show(daemon, request)),
        ["import"] => act(request, || import(daemon, request)),
        _ => Err(Refused::new(404, "no such control route: command line and daemon are of different versions", "")),
    }
}

/// `tls-report list`: those of the last `days` days, oldest first.
fn list(daemon: &dyn Daemon, request: &Request) -> Answer {
    let page = page_of(request)?;
    let days = number(request, "days")?.map_or(RETENTION_DAYS, |days| u32::try_from(days).unwrap_or(u32::MAX));
    let first = day_name(daemon.now().day().saturating_sub(days));
    let after = page.cursor.unwrap_or(first);
    let listed = daemon.tls_reports().list(request.param("domain"), Some(&after), page.rows_max)?;
    let rows: Vec<TlsReportOut> =
        listed.reports.into_iter().map(|(key, report)| TlsReportOut { key, report }).collect();
    Ok(with_cursor(Response::lines(&rows), listed.next))
}

/// `tls-report show KEY`.
fn show(daemon: &dyn Daemon, request: &Request) -> Answer {
    let key = request.param("key");
    match daemon.tls_reports().show(key)? {
        Some(report) => Ok(Response::json(200, &TlsReportOut { key: key.to_owned(), report })),
        None => Err(Refused::new(404, format!("there is no TLS report {key:?}"), "key")),
    }
}

/// `tls-report import FILE`.
fn import(daemon: &dyn Daemon, request: &Request) -> Answer {
    let (key, known) = match daemon.tls_reports().import(request.body.clone()) {
        Ok(Taken::New(key)) => (key, false),
        Ok(Taken::Known(key)) => (key, true),
        Err(receive::Refused::Store(error)) => return Err(error.into()),
        Err(error) => return Err(Refused::new(422, error.to_string(), "")),
    };
    note(daemon, request, "tls_report.import", &key, if known { "known before" } else { "" })?;
    Ok(Response::json(200, &ImportOut { key, known }))
}
