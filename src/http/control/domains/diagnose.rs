//! `hikyaku domain diagnose` over the control socket: why mail of a domain is refused.
//!
//! In: `name`, `destination`, `since`, `until`, `lang`.  Out: one object, [`DiagnosisOut`].

use std::time::Duration;

use super::super::{Answer, Refused, time};
use crate::{
    diagnose::NoDiagnosis,
    doctor::words::Language,
    http::{
        daemon::{About, Daemon},
        exchange::{Request, Response},
        rows_diagnose::{DiagnosisOut, Wrong, question_of},
    },
};

/// The period when nothing is said.
const PERIOD: Duration = Duration::from_secs(24 * 3600);

/// `domains/diagnose`
pub(super) fn diagnose(daemon: &dyn Daemon, about: &About, request: &Request) -> Answer {
    let now = daemon.now();
    let to = time(request, about, now, "until")?.unwrap_or(now);
    let from = time(request, about, now, "since")?.unwrap_or(to.minus(PERIOD));
    let (name, destination) = (request.param("name"), request.param("destination"));
    let question = question_of(name, destination, (from, to), "").map_err(|wrong| match wrong {
        Wrong::Domain => Refused::new(400, format!("{name:?} is no domain name"), "name"),
        Wrong::Destination => Refused::new(
            400,
            format!("{destination:?} is no destination: a domain, a host, or gmail, …"),
            "destination",
        ),
        Wrong::Period => Refused::new(400, "the period ends before it begins, or is longer than the log", "since"),
    })?;
    let language = match request.param("lang") {
        "" | "en" => Language::English,
        "ja" => Language::Japanese,
        _ => return Err(Refused::new(400, "lang is en or ja", "lang")),
    };
    match daemon.diagnose(&question) {
        Ok(diagnosis) => Ok(Response::json(200, &DiagnosisOut::of(&diagnosis, language, &about.zone))),
        Err(error @ NoDiagnosis::Busy) => Err(Refused::new(503, error.to_string(), "")),
        Err(NoDiagnosis::Store(error)) => Err(error.into()),
    }
}
