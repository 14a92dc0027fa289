//! What the operator may ask and do over the control socket: the daemon's half of the command line.
//!
//! In: requests under `/control/`.  Out: JSON Lines in snake_case; errors are `{"error": "...", "field": "..."}`.
//! Always: whoever gets here is root or the daemon's own user, told by the kernel; every act leaves an entry in the
//! operation log with the Unix user's name; pages are bounded, and the next one's cursor is in `X-Next-Cursor`.

pub(crate) mod dmarc;
pub(crate) mod domains;
mod explain;
mod log;
pub mod pauses;
mod queue;
mod stats;
pub(crate) mod suppress;
pub(crate) mod tls_reports;
mod unsubscribes;
pub(crate) mod users;
mod webhooks;

use std::time::Duration;

use crate::{
    clock::Timestamp,
    http::{
        daemon::{About, Daemon},
        exchange::{Method, Peer, Request, Response},
        health::{self, store_error},
    },
    store::{AuditEntry, Page, StoreError},
};

/// Rows of a page at most.
pub const PAGE_ROWS_MAX: usize = 1000;
/// Rows of a page when nothing is said.
const PAGE_ROWS: usize = 100;
/// How long a page is looked for; what is not found by then is on the next one.
const PAGE_WITHIN: Duration = Duration::from_secs(1);
/// Octets of /etc/passwd read at most, to name a user.
const PASSWD_MAX: u64 = 1 << 20;

/// The header that carries the next page's cursor.
pub const NEXT_CURSOR: &str = "X-Next-Cursor";
/// The header that says how far back an unfinished page looked (RFC 3339).
pub const LOOKED_BACK_TO: &str = "X-Looked-Back-To";
/// The header with the configured zone's IANA name, for tables.
pub const TIME_ZONE: &str = "X-Time-Zone";
/// The header with the daemon's present (RFC 3339).
pub const NOW: &str = "X-Now";

/// Answers `/control/<path>`.
pub(super) fn route(daemon: &dyn Daemon, request: &Request, path: &str) -> Response {
    let about = daemon.about();
    let asked = match path.split('/').collect::<Vec<_>>().as_slice() {
        ["status"] => read(request, || Ok(health::status_json(daemon))),
        ["queue"] => read(request, || queue::list(daemon, request)),
        ["destinations"] => read(request, || queue::destinations(daemon, request)),
        ["queue", verb] => act(request, || queue::act(daemon, request, verb)),
        ["pauses"] if request.method == Method::Post => pauses::pause(daemon, request),
        ["pauses"] => read(request, || pauses::list(daemon)),
        ["pauses", "lift"] => act(request, || pauses::lift(daemon, request)),
        ["explain"] => read(request, || explain::explain(daemon, request)),
        ["message", id] => read(request, || queue::show(daemon, &about, request, id)),
        ["find"] => read(request, || queue::find(daemon, &about, request)),
        ["log", "deliveries"] => read(request, || log::events(daemon, &about, request, false)),
        ["log", "errors"] => read(request, || log::events(daemon, &about, request, true)),
        ["log", "audit"] => read(request, || log::audit(daemon, &about, request)),
        ["stats"] => read(request, || stats::stats(daemon, &about, request)),
        ["users"] if request.method == Method::Post => users::add(daemon, request),
        ["users"] => read(request, || users::list(daemon)),
        ["users", "password"] => act(request, || users::password(daemon, request)),
        ["users", "set"] => act(request, || users::set(daemon, request)),
        ["users", "show"] => read(request, || users::show(daemon, request.param("name"))),
        ["users", "unlock"] => act(request, || users::unlock(daemon, request)),
        ["users", "make-admin"] => act(request, || users::make_admin(daemon, request)),
        ["users", "totp"] => act(request, || users::totp(daemon, request)),
        ["users", "remove"] => act(request, || users::remove(daemon, request)),
        ["suppress", rest @ ..] => suppress::route(daemon, &about, request, rest),
        ["incidents"] => read(request, || suppress::incidents(daemon, &about, request)),
        ["unsubscribes", rest @ ..] => unsubscribes::route(daemon, &about, request, rest),
        ["dmarc", rest @ ..] => dmarc::route(daemon, request, rest),
        ["tls-reports", rest @ ..] => tls_reports::route(daemon, request, rest),
        ["domains", rest @ ..] => domains::route(daemon, &about, request, rest),
        ["webhooks", rest @ ..] => webhooks::route(daemon, &about, request, rest),
        ["backup"] => read(request, || backup(daemon, request)),
        _ => Err(Refused::new(404, "no such control route: command line and daemon are of different versions", "")),
    };
    let response = match asked {
        Ok(response) => response,
        Err(refused) => refused.response(),
    };
    response.with(TIME_ZONE, about.zone.name()).with(NOW, daemon.now().rfc3339())
}

/// Why an act or question was not carried out.
enum Refused {
    Store(StoreError),
    Words { status: u16, words: String, field: &'static str },
}

impl Refused {
    fn new(status: u16, words: impl Into<String>, field: &'static str) -> Self {
        Refused::Words { status, words: words.into(), field }
    }

    fn response(self) -> Response {
        match self {
            Refused::Store(error) => store_error(&error),
            Refused::Words { status, words, field } => Response::error(status, &words, field),
        }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Refused::Store(error)
    }
}

type Answer = Result<Response, Refused>;

fn read(request: &Request, answer: impl FnOnce() -> Answer) -> Answer {
    match request.method {
        Method::Get | Method::Head => answer(),
        Method::Post | Method::Other => Err(Refused::new(405, "this route is for reading: GET", "")),
    }
}

fn act(request: &Request, answer: impl FnOnce() -> Answer) -> Answer {
    match request.method {
        Method::Post => answer(),
        Method::Get | Method::Head | Method::Other => Err(Refused::new(405, "this route acts: POST", "")),
    }
}

/// A number in the query; absent: `None`.
fn number(request: &Request, name: &'static str) -> Result<Option<u64>, Refused> {
    match request.param(name) {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| Refused::new(400, format!("{name} is a whole number"), name)),
    }
}

/// The page that `limit` and `cursor` ask for.
fn page_of(request: &Request) -> Result<Page, Refused> {
    let rows = number(request, "limit")?.map_or(PAGE_ROWS, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let cursor = request.param("cursor");
    Ok(Page {
        rows_max: rows.clamp(1, PAGE_ROWS_MAX),
        cursor: (!cursor.is_empty()).then(|| cursor.to_owned()),
        within: Some(PAGE_WITHIN),
        ..Page::default()
    })
}

/// A time in the query, as people write it; absent: `None`.
fn time(request: &Request, about: &About, now: Timestamp, name: &'static str) -> Result<Option<Timestamp>, Refused> {
    match request.param(name) {
        "" => Ok(None),
        text => about.zone.parse(text, now).map(Some).map_err(|e| Refused::new(400, format!("{name}: {e}"), name)),
    }
}

fn with_cursor(response: Response, next: Option<String>) -> Response {
    match next {
        Some(cursor) => response.with(NEXT_CURSOR, cursor),
        None => response,
    }
}

/// The operator's name in events and the operation log: `operator` with the Unix user.
fn operator(request: &Request) -> String {
    match &request.peer {
        Peer::User(uid) => format!("operator {}", user_name(*uid)),
        Peer::Address(ip) => format!("operator at {ip}"),
    }
}

/// The name of a Unix user; the number when /etc/passwd has none.
fn user_name(uid: u32) -> String {
    use std::io::Read;
    let mut text = String::new();
    let read = std::fs::File::open("/etc/passwd").and_then(|f| f.take(PASSWD_MAX).read_to_string(&mut text));
    if let Err(error) = read {
        ::log::debug!("file=/etc/passwd error={error:?}");
    }
    let number = uid.to_string();
    text.lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.len() >= 3 && fields[2] == number && !fields[0].is_empty())
        .map_or_else(|| format!("uid {uid}"), |fields| fields[0].to_owned())
}

/// Writes an entry of the operation log for an act that the store does not log by itself.
fn note(daemon: &dyn Daemon, request: &Request, act: &str, object: &str, detail: &str) -> Result<(), StoreError> {
    daemon.audit(AuditEntry {
        at: daemon.now(),
        who: operator(request),
        from: "control socket".into(),
        act: act.into(),
        object: object.into(),
        detail: detail.into(),
    })
}

/// `backup`: the store as a tar, written while it is made.
fn backup(daemon: &dyn Daemon, request: &Request) -> Answer {
    let Some(tar) = daemon.backup() else {
        return Err(Refused::new(409, "a backup is being made already", ""));
    };
    note(daemon, request, "backup", "store", "")?;
    Ok(Response::stream("application/x-tar", tar))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unix_user_has_a_name_or_a_number() {
        assert_eq!(user_name(0), "root");
        assert_eq!(user_name(3_999_999_999), "uid 3999999999");
    }
}
