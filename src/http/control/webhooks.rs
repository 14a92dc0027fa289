//! Webhooks over the control socket: how they stand, what they posted, replays, a try.

use smol::future::block_on;

use super::{Answer, Refused, act, note, number, operator, read, time};
use crate::{
    http::{
        daemon::{About, Daemon},
        exchange::{Request, Response},
        rows_webhooks::{ReplayOut, TestOut, TriedOut, WebhookOut},
    },
    webhook::{OrderError, history::KEPT, place::number_at},
};

/// Rows of a history when nothing is said.
const ROWS: u64 = 50;

/// Answers `/control/webhooks…`.
pub(super) fn route(daemon: &dyn Daemon, about: &About, request: &Request, rest: &[&str]) -> Answer {
    match rest {
        [] => read(request, || list(daemon)),
        ["history"] => read(request, || history(daemon, request)),
        ["replay"] => act(request, || replay(daemon, about, request)),
        ["pause"] => act(request, || pause(daemon, request)),
        ["resume"] => act(request, || resume(daemon, request)),
        ["test"] => act(request, || test(daemon, request)),
        _ => Err(Refused::new(404, "no such control route: command line and daemon are of different versions", "")),
    }
}

/// `webhook list`.
fn list(daemon: &dyn Daemon) -> Answer {
    let now = daemon.now();
    let rows: Vec<WebhookOut> = daemon.webhooks().views().iter().map(|view| WebhookOut::new(view, now)).collect();
    Ok(Response::lines(&rows))
}

fn refused(error: OrderError) -> Refused {
    match error {
        OrderError::Unknown => Refused::new(404, error.to_string(), "name"),
        OrderError::NoPost => Refused::new(404, error.to_string(), "post"),
        OrderError::Later => Refused::new(409, error.to_string(), ""),
        OrderError::Store(error) => error.into(),
    }
}

/// `webhook history NAME`.
fn history(daemon: &dyn Daemon, request: &Request) -> Answer {
    let limit = number(request, "limit")?.unwrap_or(ROWS).clamp(1, KEPT) as usize;
    let tried = daemon.webhooks().history(request.param("name"), limit).map_err(refused)?;
    Ok(Response::lines(&tried.into_iter().map(TriedOut::from).collect::<Vec<_>>()))
}

/// `webhook replay NAME --post ID`.
fn replay_post(daemon: &dyn Daemon, request: &Request, id: &str) -> Answer {
    let name = request.param("name");
    let (later, ranges) = match block_on(daemon.webhooks().replay_post(name, id)) {
        Ok(0) => return Err(Refused::new(409, "too much waits to be posted again already: try later", "post")),
        Ok(ranges) => (false, ranges),
        Err(OrderError::Later) => (true, 1),
        Err(error) => return Err(refused(error)),
    };
    note(daemon, request, "webhook.replay", name, &format!("post {id}"))?;
    Ok(Response::json(200, &ReplayOut { from: None, ranges, later }))
}

/// `webhook replay NAME --parked`, or `--from` with an event's number or a time.
fn replay(daemon: &dyn Daemon, about: &About, request: &Request) -> Answer {
    let (name, from) = (request.param("name"), request.param("from"));
    if !request.param("post").is_empty() {
        return replay_post(daemon, request, request.param("post"));
    }
    let first = match from {
        "" if request.flag("parked") => None,
        "" => return Err(Refused::new(400, "from which event on, or what was set aside?", "from")),
        text if text.len() > 12 && text.bytes().all(|b| b.is_ascii_digit()) => number(request, "from")?,
        _ => time(request, about, daemon.now(), "from")?.map(number_at),
    };
    let webhooks = daemon.webhooks();
    let asked = match first {
        Some(first) => block_on(webhooks.replay_from(name, first)),
        None => block_on(webhooks.replay_parked(name)),
    };
    let (later, answer) = match asked {
        Ok(answer) => (false, answer),
        Err(OrderError::Later) => (true, 0),
        Err(error) => return Err(refused(error)),
    };
    let detail = first.map_or_else(|| "what was set aside".to_owned(), |first| format!("from event {first}"));
    note(daemon, request, "webhook.replay", name, &detail)?;
    let ranges = if first.is_none() { answer } else { 0 };
    let from = first.map(|first| if later { first } else { answer });
    Ok(Response::json(200, &ReplayOut { from, ranges, later }))
}

/// `webhook pause NAME`.
fn pause(daemon: &dyn Daemon, request: &Request) -> Answer {
    let name = request.param("name");
    let later = match block_on(daemon.webhooks().pause(name, &operator(request))) {
        Ok(_) => false,
        Err(OrderError::Later) => true,
        Err(error) => return Err(refused(error)),
    };
    note(daemon, request, "webhook.pause", name, "")?;
    Ok(Response::json(200, &ReplayOut { later, ..ReplayOut::default() }))
}

/// `webhook resume NAME`.
fn resume(daemon: &dyn Daemon, request: &Request) -> Answer {
    let name = request.param("name");
    let later = match block_on(daemon.webhooks().resume(name)) {
        Ok(_) => false,
        Err(OrderError::Later) => true,
        Err(error) => return Err(refused(error)),
    };
    note(daemon, request, "webhook.resume", name, "")?;
    Ok(Response::json(200, &ReplayOut { later, ..ReplayOut::default() }))
}

/// `webhook test NAME`.
fn test(daemon: &dyn Daemon, request: &Request) -> Answer {
    let name = request.param("name");
    let Some(sent) = block_on(daemon.webhooks().test(name)) else { return Err(refused(OrderError::Unknown)) };
    let millis = u64::try_from(sent.took.as_millis()).unwrap_or(u64::MAX);
    let out = TestOut { status: sent.status, millis, error: sent.error.unwrap_or_default() };
    note(daemon, request, "webhook.test", name, &format!("status {}", out.status))?;
    Ok(Response::json(200, &out))
}
