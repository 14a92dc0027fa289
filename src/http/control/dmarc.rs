//! The DMARC monitor over the control socket: what the reports of domains add up to, and files that the operator brings.
//!
//! A file travels as a line of JSON ([`FileHead`]) and its octets; several may follow one another in one request.

use serde::{Deserialize, Serialize};

use super::{Answer, Refused, act, note, number, page_of, read, with_cursor};
use crate::{
    dmarc::{
        monitor::{DAYS, DAYS_MAX, FileOut, Query, domain_named},
        row::{By, KeptFailure, KeptReport, Tally},
        views::{LeftOut, SourceOut},
    },
    http::{
        daemon::Daemon,
        exchange::{Request, Response},
    },
};

/// Files that one request may bring.
pub const FILES_MAX: usize = 2_000;
/// Octets of a file's line.
const HEAD_MAX: usize = 8 << 10;

/// What stands before a file's octets, on a line of its own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileHead {
    /// Its name.
    pub file: String,
    /// How many octets follow.
    pub octets: u64,
}

/// The sources of a domain; those that are not told apart stand in the last row, without an address.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SourceLine {
    /// One source.
    Source(Box<SourceOut>),
    /// What is beside the sources.
    Beside {
        /// Sources beyond what is told apart.
        others: Tally,
        /// Reports that are left out.
        left_out: LeftOut,
    },
}

/// A kept report, of whichever kind, with its key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Keyed<T> {
    /// Its key.
    pub key: String,
    /// The report.
    #[serde(flatten)]
    pub report: T,
}

/// A kept report with its key.
pub type ReportOut = Keyed<KeptReport>;
/// A failure report with its key.
pub type FailureOut = Keyed<KeptFailure>;

/// Answers `/control/dmarc…`.
pub(super) fn route(daemon: &dyn Daemon, request: &Request, rest: &[&str]) -> Answer {
    match rest {
        ["domains"] => read(request, || {
            let (days, all) = (days(request)?, request.flag("all"));
            Ok(Response::lines(&daemon.dmarc().domains(days, all)?))
        }),
        ["report"] => read(request, || Ok(Response::json(200, &daemon.dmarc().report(&query(request)?)?))),
        ["sources"] => read(request, || sources(daemon, request)),
        ["reports"] => read(request, || {
            let (query, page) = (query(request)?, page_of(request)?);
            let found = daemon.dmarc().reports(&query, page.cursor.as_deref(), page.rows_max)?;
            let rows: Vec<ReportOut> = found.rows.into_iter().map(|(key, report)| Keyed { key, report }).collect();
            Ok(with_cursor(Response::lines(&rows), found.next))
        }),
        ["failures"] => read(request, || {
            let (query, page) = (query(request)?, page_of(request)?);
            let found = daemon.dmarc().failures(&query, page.cursor.as_deref(), page.rows_max)?;
            let rows: Vec<FailureOut> = found.rows.into_iter().map(|(key, report)| Keyed { key, report }).collect();
            Ok(with_cursor(Response::lines(&rows), found.next))
        }),
        ["import"] => act(request, || import(daemon, request)),
        _ => Err(Refused::new(404, "no such control route: command line and daemon are of different versions", "")),
    }
}

fn days(request: &Request) -> Result<u32, Refused> {
    let days = number(request, "days")?.unwrap_or(u64::from(DAYS));
    Ok(u32::try_from(days).unwrap_or(u32::MAX).clamp(1, DAYS_MAX))
}

fn query(request: &Request) -> Result<Query, Refused> {
    let domain = domain_named(request.param("domain"))
        .ok_or_else(|| Refused::new(400, "name a domain: example.jp", "domain"))?;
    Ok(Query { domain, days: days(request)?, all: request.flag("all") })
}

fn sources(daemon: &dyn Daemon, request: &Request) -> Answer {
    let found = daemon.dmarc().sources(&query(request)?)?;
    let mut rows: Vec<SourceLine> = found.rows.into_iter().map(|source| SourceLine::Source(Box::new(source))).collect();
    rows.push(SourceLine::Beside { others: found.others, left_out: found.left_out });
    Ok(Response::lines(&rows))
}

/// `dmarc import`.
fn import(daemon: &dyn Daemon, request: &Request) -> Answer {
    let files = files(&request.body)?;
    let done: Vec<FileOut> = daemon.dmarc().import(&files, By::File)?;
    let count = |became: &str| done.iter().flat_map(|file| &file.reports).filter(|r| r.became == became).count();
    let (new, known) = (count("new"), count("known"));
    let first = done.first().map_or("", |file| file.file.as_str());
    let object = if done.len() > 1 { format!("{first} and {} more", done.len() - 1) } else { first.to_owned() };
    note(daemon, request, "dmarc.import", &object, &format!("{new} new, {known} known"))?;
    Ok(Response::lines(&done))
}

/// The files of a body.
fn files(mut body: &[u8]) -> Result<Vec<(String, &[u8])>, Refused> {
    let wrong = |why: &str| Refused::new(400, format!("the request's files cannot be read: {why}"), "");
    let mut files = Vec::new();
    while !body.is_empty() {
        if files.len() >= FILES_MAX {
            return Err(wrong("there are too many"));
        }
        let end = body.iter().take(HEAD_MAX).position(|b| *b == b'\n').ok_or_else(|| wrong("a line has no end"))?;
        let head: FileHead = serde_json::from_slice(&body[..end]).map_err(|error| wrong(&error.to_string()))?;
        let rest = &body[end + 1..];
        let octets = usize::try_from(head.octets).ok().filter(|octets| *octets <= rest.len());
        let octets = octets.ok_or_else(|| wrong("a file is cut"))?;
        files.push((head.file, &rest[..octets]));
        body = &rest[octets..];
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_one_after_another_or_not_at_all() {
        let body =
            b"{\"file\":\"a\",\"octets\":3}\nx\ny{\"file\":\"b\",\"octets\":0}\n{\"file\":\"c\",\"octets\":1}\nz";
        let read = files(body).unwrap_or_else(|_| panic!("three files"));
        assert_eq!(read, [("a".to_owned(), &b"x\ny"[..]), ("b".to_owned(), b""), ("c".to_owned(), b"z")]);
        for broken in [
            &b"x"[..],
            b"{}\n",
            b"{\"file\":\"a\",\"octets\":3}\nxy",
            b"{\"file\":\"a\",\"octets\":18446744073709551615}\nxy",
        ] {
            assert!(files(broken).is_err());
        }
        let many = "{\"file\":\"a\",\"octets\":0}\n".repeat(FILES_MAX + 1);
        assert!(files(many.as_bytes()).is_err() && files(&[b' '; 2 * HEAD_MAX]).is_err());
    }
}
