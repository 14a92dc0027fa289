//! Who left which list, over the control socket: search, add, cancel.
//!
//! Always: an act names its addresses; it is in the operation log with the Unix user's name.
//! Sources: cmc.md §8 and §12.6.

use smol::future::block_on;

use super::{Answer, Refused, act, operator, page_of, read, time, with_cursor};
use crate::{
    http::{
        daemon::{About, Daemon},
        exchange::{Request, Response},
        rows_lists::{UnsubscribeIn, UnsubscribeOut, UnsubscribedOut},
    },
    smtp::address::Mailbox,
    unsubscribe::{
        list::{Actor, CANCEL_MAX, Leaver, Query},
        row::How,
    },
};

/// Letters of a list's name at most (cmc.md §12.6).
const NAME_MAX: usize = 50;

/// Answers `/control/unsubscribes…`.
pub(super) fn route(daemon: &dyn Daemon, about: &About, request: &Request, rest: &[&str]) -> Answer {
    match rest {
        [] => read(request, || list(daemon, about, request)),
        ["add"] => act(request, || add(daemon, request)),
        ["cancel"] => act(request, || cancel(daemon, request)),
        _ => Err(Refused::new(404, "no such control route: command line and daemon are of different versions", "")),
    }
}

/// `unsubscribe list` and `export`.
fn list(daemon: &dyn Daemon, about: &About, request: &Request) -> Answer {
    let now = daemon.now();
    let query = Query {
        address: request.param("part").to_owned(),
        list: request.param("list").to_owned(),
        from: time(request, about, now, "since")?,
        to: time(request, about, now, "until")?,
    };
    let page = daemon.unsubscribes().page(&query, &page_of(request)?)?;
    let rows: Vec<UnsubscribeOut> = page.entries.iter().map(UnsubscribeOut::from).collect();
    Ok(with_cursor(Response::lines(&rows), page.next))
}

fn body(request: &Request) -> Result<UnsubscribeIn, Refused> {
    let body: UnsubscribeIn = serde_json::from_slice(&request.body)
        .map_err(|_| Refused::new(400, "the body is {\"addresses\": […], \"list\": …}", "addresses"))?;
    if body.addresses.is_empty() || body.addresses.len() > CANCEL_MAX {
        return Err(Refused::new(400, format!("name 1 to {CANCEL_MAX} addresses"), "addresses"));
    }
    Ok(body)
}

fn mailbox(text: &str) -> Result<Mailbox, Refused> {
    let refused = |why| Refused::new(400, format!("{text:?} is not a mail address: {why}"), "addresses");
    Mailbox::parse(text.trim()).map_err(refused)
}

fn actor(request: &Request) -> Actor {
    Actor { who: operator(request), from: "control socket".into() }
}

/// `unsubscribe add ADDRESS… --list NAME`.
fn add(daemon: &dyn Daemon, request: &Request) -> Answer {
    let UnsubscribeIn { addresses, list } = body(request)?;
    if list.is_empty() || list.chars().count() > NAME_MAX || list.chars().any(char::is_control) {
        return Err(Refused::new(400, format!("a list has a name of 1 to {NAME_MAX} letters"), "list"));
    }
    let leaver = |text: &String| Ok(Leaver { address: mailbox(text)?, list: list.clone(), created: None });
    let leavers: Vec<Leaver> = addresses.iter().map(leaver).collect::<Result<_, Refused>>()?;
    let rows = block_on(daemon.unsubscribes().add_many(&leavers, How::Manual, &actor(request)))? as u64;
    Ok(Response::json(200, &UnsubscribedOut { rows }))
}

/// `unsubscribe cancel ADDRESS… [--list NAME]`.
fn cancel(daemon: &dyn Daemon, request: &Request) -> Answer {
    let UnsubscribeIn { addresses, list } = body(request)?;
    let addresses: Vec<String> =
        addresses.iter().map(|text| Ok(mailbox(text)?.as_str().to_owned())).collect::<Result<_, Refused>>()?;
    let rows = block_on(daemon.unsubscribes().cancel(&addresses, &list, &actor(request)))? as u64;
    Ok(Response::json(200, &UnsubscribedOut { rows }))
}
