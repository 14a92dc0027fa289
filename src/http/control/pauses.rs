//! Pauses over the control socket: destinations to which the operator lets nothing go for a while.

use std::time::Duration;

use super::{Answer, Refused, operator};
use crate::{
    config::{HostPort, parse_duration},
    deliver::route::{self, Target},
    http::{
        daemon::Daemon,
        exchange::{Request, Response},
        health,
        rows::LiftOut,
    },
    store::Pause,
};

/// Destinations looked at for counts.
const DESTINATIONS_MAX: usize = 10_000;
/// The longest pause with an end.
const PAUSE_MAX: Duration = Duration::from_secs(365 * 86_400);
/// From where these acts come, in the operation log.
const FROM: &str = "control socket";
/// Letters of a reason at most.
pub const REASON_MAX: usize = 200;

/// `queue pauses`.
pub(super) fn list(daemon: &dyn Daemon) -> Answer {
    rows(daemon, daemon.pauses()?)
}

fn rows(daemon: &dyn Daemon, pauses: Vec<Pause>) -> Answer {
    let destinations =
        if pauses.is_empty() { Vec::new() } else { health::destinations(daemon, &[], DESTINATIONS_MAX)? };
    Ok(Response::lines(&health::pause_rows(&pauses, &destinations)))
}

/// `queue pause DESTINATION [--for 2h] [--reason TEXT]`.
pub(super) fn pause(daemon: &dyn Daemon, request: &Request) -> Answer {
    let since = daemon.now();
    let until = match request.param("for") {
        "" => None,
        text => Some(since.plus(length_of(text)?)),
    };
    let reason = request.param("reason").trim();
    if reason.chars().count() > REASON_MAX || reason.chars().any(char::is_control) {
        return Err(Refused::new(400, format!("a reason is one line of at most {REASON_MAX} letters"), "reason"));
    }
    let pause = Pause {
        destination: destination_of(request)?,
        since,
        until,
        operator: operator(request),
        reason: reason.to_owned(),
    };
    daemon.pause(pause.clone(), FROM)?;
    rows(daemon, vec![pause])
}

/// `queue resume DESTINATION`.
pub(super) fn lift(daemon: &dyn Daemon, request: &Request) -> Answer {
    let destination = destination_of(request)?;
    if !daemon.unpause(&destination, &operator(request), FROM)? {
        return Err(Refused::new(404, format!("there is no pause of {destination}"), "destination"));
    }
    Ok(Response::json(200, &LiftOut { destination }))
}

fn length_of(text: &str) -> Result<Duration, Refused> {
    match parse_duration(text) {
        Some(length) if !length.is_zero() && length <= PAUSE_MAX => Ok(length),
        Some(_) => Err(Refused::new(400, "a pause lasts up to 365d; without --for it has no end", "for")),
        None => Err(Refused::new(400, format!("{text:?} is not a duration: write 30m, 2h or 1d"), "for")),
    }
}

/// A destination as lanes name it: a domain or `host:port` in lower case, as addresses write it.
fn destination_of(request: &Request) -> Result<String, Refused> {
    let text = request.param("destination").trim();
    destination_named(text).ok_or_else(|| {
        let words = format!("{text:?} is no destination: write a domain, or a smarthost's HOST:PORT");
        Refused::new(400, words, "destination")
    })
}

/// The destination that people name so; `None`: it is none.
pub fn destination_named(text: &str) -> Option<String> {
    if let Ok(smarthost) = text.parse::<HostPort>() {
        return Some(smarthost.to_string());
    }
    match route::target(text) {
        Ok(Target::Domain(_) | Target::Literal(_)) => Some(text.trim_end_matches('.').to_lowercase()),
        Err(_) => None,
    }
}
