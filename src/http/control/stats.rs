//! `stats` over the control socket: the period that was asked for, by day and in all.

use super::{Answer, Refused, time};
use crate::http::{
    daemon::{About, Daemon},
    exchange::{Request, Response},
    stats,
};

/// `month=2026-11`, `day=2026-11-24`, or `since` and `until`; nothing: this month.
pub(super) fn stats(daemon: &dyn Daemon, about: &About, request: &Request) -> Answer {
    let now = daemon.now();
    let given: Vec<&'static str> =
        ["month", "day", "since"].into_iter().filter(|name| !request.param(name).is_empty()).collect();
    let until = time(request, about, now, "until")?;
    let span = |name: &'static str, text: &str| {
        let span = about.zone.span_of(text).filter(|_| (name == "month") == (text.len() == "2026-11".len()));
        let example = if name == "month" { "2026-11" } else { "2026-11-24" };
        span.ok_or_else(|| Refused::new(400, format!("{text:?} is no {name}: write {example}"), name))
    };
    let (from, to) = match given.as_slice() {
        [] if until.is_none() => {
            let this = about.zone.month(now);
            span("month", &this)?
        }
        ["since"] => {
            let from = time(request, about, now, "since")?.unwrap_or(now);
            (from, until.unwrap_or(now.plus(std::time::Duration::from_secs(1))))
        }
        [name] if until.is_none() => span(name, request.param(name))?,
        _ => return Err(Refused::new(400, "one of month, day, and since with until", "month")),
    };
    if from >= to {
        return Err(Refused::new(400, "since must be before until", "since"));
    }
    let user = request.param("user");
    let user = (!user.is_empty()).then_some(user);
    let rows = stats::by_day(daemon, (from, to), &about.zone, user, request.flag("by_user"))?;
    Ok(Response::lines(&rows))
}
