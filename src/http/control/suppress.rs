//! The suppression list over the control socket: search, acts on one address, imports, held places, undo, and what if.
//!
//! Always: every act carries the Unix user's name into the operation log; an act names its address or its incident; imports come
//! in batches, each whole or not at all.
//! Sources: PRODUCT.md R4, R7; cmc.md §6.

use std::time::Duration;

use smol::future::block_on;

use super::{Answer, Refused, act, number, operator, page_of, read, time, with_cursor};
use crate::{
    clock::Timestamp,
    config::{Thresholds, parse_duration},
    event::ErrorClass,
    http::{
        daemon::{About, Daemon},
        exchange::{Request, Response},
        rows::FactOut,
        rows_lists::{
            EndedOut, HeldOut, HoldOut, ImportIn, ImportOut, SuppressActOut, SuppressionOut, TroubleOut, TryOut,
            UndoneOut,
        },
        when::of_rfc3339,
    },
    smtp::address::Mailbox,
    store::{Page, StoreError},
    suppress::{
        acts::{Actor, Added, IMPORT_BATCH_MAX, ImportRow, NewEntry},
        import::Seen,
        incidents::TroubleQuery,
        list::ListQuery,
        row::Cause,
        what_if::WhatIf,
    },
    unsubscribe::{
        list::{Actor as ListActor, Leaver},
        row::How,
    },
};

/// Letters of an operator's words at most.
const REASON_MAX: usize = 200;
/// The longest stay with an end.
const STAY_MAX: Duration = Duration::from_secs(20 * 365 * 86_400);
/// Octets of the name of an imported file that the operation log keeps.
const FILE_NAME_MAX: usize = 200;
/// Earlier stays of one address that `show` tells.
const PAST_ROWS: usize = 20;

/// Answers `/control/suppress…`.
pub(super) fn route(daemon: &dyn Daemon, about: &About, request: &Request, rest: &[&str]) -> Answer {
    match rest {
        [] => read(request, || list(daemon, about, request)),
        ["show"] => read(request, || show(daemon, request)),
        ["add"] => act(request, || add(daemon, request)),
        ["lift"] => act(request, || lift(daemon, request)),
        ["exempt"] => act(request, || exempt(daemon, request)),
        ["import"] => act(request, || import(daemon, request)),
        ["incidents"] => read(request, || holds(daemon)),
        ["held"] => read(request, || held(daemon, request)),
        ["release"] => act(request, || end(daemon, request, true)),
        ["discard"] => act(request, || end(daemon, request, false)),
        ["undo"] => act(request, || undo(daemon, request)),
        ["try"] => read(request, || try_out(daemon, request)),
        _ => Err(Refused::new(404, "no such control route: command line and daemon are of different versions", "")),
    }
}

fn actor(request: &Request) -> Actor {
    Actor { who: operator(request), from: "control socket".into() }
}

/// What `suppress list` asks for.
fn query_of(request: &Request, about: &About, now: Timestamp) -> Result<ListQuery, Refused> {
    let cause = match request.param("cause") {
        "" => None,
        word => Some(Cause::from_word(word).ok_or_else(|| {
            let all = Cause::ALL.map(Cause::word).join(", ");
            Refused::new(400, format!("{word:?} is no cause: {all}"), "cause")
        })?),
    };
    let class = match request.param("class") {
        "" => None,
        text => Some(class_of(text)?),
    };
    let user = request.query.iter().find(|(name, _)| name == "user").map(|(_, user)| user.clone());
    Ok(ListQuery {
        part: request.param("part").to_owned(),
        from: time(request, about, now, "since")?,
        to: time(request, about, now, "until")?,
        removed: request.flag("removed"),
        exempt: request.flag("exempt"),
        cause,
        class,
        user,
        incident: request.param("incident").to_owned(),
    })
}

fn class_of(text: &str) -> Result<ErrorClass, Refused> {
    let class = text.parse().ok().and_then(ErrorClass::from_code);
    class.ok_or_else(|| Refused::new(400, format!("{text:?} is no class: 1 to 11, or 99"), "class"))
}

/// `suppress list` and `export`.
fn list(daemon: &dyn Daemon, about: &About, request: &Request) -> Answer {
    let query = query_of(request, about, daemon.now())?;
    let page = daemon.suppressions().list(&query, &page_of(request)?)?;
    let rows: Vec<SuppressionOut> = page.rows.iter().map(SuppressionOut::from).collect();
    Ok(with_cursor(Response::lines(&rows), page.next))
}

fn address(request: &Request) -> Result<String, Refused> {
    let text = request.param("address").trim();
    match Mailbox::parse(text) {
        Ok(mailbox) => Ok(mailbox.as_str().to_lowercase()),
        Err(why) => Err(Refused::new(400, format!("{text:?} is not a mail address: {why}"), "address")),
    }
}

/// An answer about one address: its row, its earlier stays, and what is true of it in words.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct ShowOut {
    /// The address.
    pub address: String,
    /// Its row; `null`: it is not on the list, and not exempt.
    pub row: Option<SuppressionOut>,
    /// Earlier stays, newest first.
    pub past: Vec<SuppressionOut>,
    /// What is true of it.
    pub facts: Vec<FactOut>,
}

/// `suppress show ADDRESS`.
fn show(daemon: &dyn Daemon, request: &Request) -> Answer {
    let (address, user) = (address(request)?, request.param("user"));
    let list = daemon.suppressions();
    let row = list.get(&address, user)?;
    // Keys are in the order of the addresses: the page begins right at this one.
    let query = ListQuery { part: address.clone(), removed: true, user: Some(user.to_owned()), ..ListQuery::default() };
    let page = Page { rows_max: PAST_ROWS, ..Page::default() };
    let past = list.list(&query, &page)?.rows;
    let past = past.iter().filter(|row| row.address == address).map(SuppressionOut::from).collect();
    let facts = list.explain(&address, user)?.iter().map(FactOut::from).collect();
    Ok(Response::json(200, &ShowOut { address, row: row.as_ref().map(SuppressionOut::from), past, facts }))
}

/// The operator's words.
fn reason(request: &Request) -> Result<String, Refused> {
    let text = request.param("reason").trim();
    if text.chars().count() > REASON_MAX || text.chars().any(char::is_control) {
        return Err(Refused::new(400, format!("a reason is one line of at most {REASON_MAX} letters"), "reason"));
    }
    Ok(text.to_owned())
}

/// A submitter that exists; empty: everybody.
fn user(daemon: &dyn Daemon, request: &Request) -> Result<String, Refused> {
    let user = request.param("user");
    if !user.is_empty() && !daemon.accounts()?.iter().any(|account| account.name == user) {
        return Err(Refused::new(404, format!("there is no user {user:?}"), "user"));
    }
    Ok(user.to_owned())
}

/// `suppress add ADDRESS [--for 30d] [--reason TEXT] [--user NAME]`.
fn add(daemon: &dyn Daemon, request: &Request) -> Answer {
    let until = match request.param("for") {
        "" => None,
        text => match parse_duration(text) {
            Some(length) if !length.is_zero() && length <= STAY_MAX => Some(daemon.now().plus(length)),
            Some(_) | None => {
                return Err(Refused::new(400, format!("{text:?} is not how long: write 30d or 12h"), "for"));
            }
        },
    };
    let new = NewEntry { address: address(request)?, user: user(daemon, request)?, until, reason: reason(request)? };
    let (done, row) = match block_on(daemon.suppressions().add(&actor(request), new))? {
        Added::New(row) => (true, row),
        Added::Known(row) => (false, row),
    };
    Ok(Response::json(200, &SuppressActOut { address: row.address.clone(), done, row: Some((&row).into()) }))
}

/// `suppress lift ADDRESS` (CMC's cancel).
fn lift(daemon: &dyn Daemon, request: &Request) -> Answer {
    let (address, user) = (address(request)?, request.param("user"));
    let row = block_on(daemon.suppressions().lift(&actor(request), &address, user))?;
    Ok(Response::json(200, &SuppressActOut { address, done: row.is_some(), row: row.as_ref().map(Into::into) }))
}

/// `suppress exempt ADDRESS [--end]` (CMC's delete). `row`: what it ended, or what stays although it is exempt.
fn exempt(daemon: &dyn Daemon, request: &Request) -> Answer {
    let (address, user, list) = (address(request)?, user(daemon, request)?, daemon.suppressions());
    if request.flag("end") {
        let done = block_on(list.end_exemption(&actor(request), &address, &user))?;
        return Ok(Response::json(200, &SuppressActOut { address, done, row: None }));
    }
    let exempted = block_on(list.exempt(&actor(request), &address, &user))?;
    let row = exempted.stays.as_ref().or(exempted.lifted.as_ref()).map(Into::into);
    Ok(Response::json(200, &SuppressActOut { address, done: exempted.stays.is_none(), row }))
}

/// `suppress import FILE`: one batch; with `dry_run` it only tells what would become of it.
fn import(daemon: &dyn Daemon, request: &Request) -> Answer {
    let rows = import_rows(&request.body)?;
    let file: String = request.param("file").chars().filter(|c| !c.is_control()).take(FILE_NAME_MAX).collect();
    let mut out = ImportOut::default();
    let (exempt, rows): (Vec<ImportIn>, Vec<ImportIn>) = rows.into_iter().partition(|row| row.exempt);
    let (left, rows): (Vec<ImportIn>, Vec<ImportIn>) = rows.into_iter().partition(|row| !row.list.is_empty());
    let leavers: Vec<Leaver> = left.iter().map(leaver).collect::<Result<_, _>>()?;
    let rows: Vec<ImportRow> = rows.into_iter().map(row_of).collect::<Result<_, _>>()?;
    if request.flag("dry_run") {
        would(daemon, &rows, &leavers, &mut out)?;
        out.exempted = exempt.len() as u64;
        return Ok(Response::json(200, &out));
    }
    let who = actor(request);
    if !rows.is_empty() {
        out.take(block_on(daemon.suppressions().import(&who, &file, rows))?);
    }
    if !leavers.is_empty() {
        let by = ListActor { who: who.who.clone(), from: who.from.clone() };
        let new = block_on(daemon.unsubscribes().add_many(&leavers, How::Import, &by))? as u64;
        out.unsubscribed = new;
        out.known += leavers.len() as u64 - new;
    }
    for row in exempt {
        block_on(daemon.suppressions().exempt(&who, &row.address, &row.user))?;
        out.exempted += 1;
    }
    Ok(Response::json(200, &out))
}

fn import_rows(body: &[u8]) -> Result<Vec<ImportIn>, Refused> {
    let lines = body.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let rows: Result<Vec<ImportIn>, _> = lines.take(IMPORT_BATCH_MAX + 1).map(serde_json::from_slice).collect();
    match rows {
        Ok(rows) if rows.len() <= IMPORT_BATCH_MAX => Ok(rows),
        Ok(_) => Err(Refused::new(400, format!("a batch has at most {IMPORT_BATCH_MAX} rows"), "")),
        Err(why) => Err(Refused::new(400, format!("a row is not as it should be: {why}"), "")),
    }
}

fn instant(text: Option<&str>) -> Result<Option<Timestamp>, Refused> {
    let read = |text: &str| of_rfc3339(text).ok_or_else(|| Refused::new(400, format!("{text:?} is no time"), "since"));
    text.map(read).transpose()
}

fn row_of(row: ImportIn) -> Result<ImportRow, Refused> {
    let cause = Cause::from_word(&row.cause);
    Ok(ImportRow {
        cause: cause.ok_or_else(|| Refused::new(400, format!("{:?} is no cause", row.cause), "cause"))?,
        class: row.class.map(|class| class_of(&class.to_string())).transpose()?,
        occurred: row.occurred,
        since: instant(row.since.as_deref())?,
        until: instant(row.until.as_deref())?,
        address: row.address,
        user: row.user,
        reason: row.reason,
    })
}

fn leaver(row: &ImportIn) -> Result<Leaver, Refused> {
    let address = Mailbox::parse(&row.address)
        .map_err(|why| Refused::new(400, format!("{:?} is not a mail address: {why}", row.address), "address"))?;
    Ok(Leaver { address, list: row.list.clone(), created: instant(row.since.as_deref())? })
}

/// What would become of a batch.
fn would(daemon: &dyn Daemon, rows: &[ImportRow], left: &[Leaver], out: &mut ImportOut) -> Result<(), StoreError> {
    out.take(daemon.suppressions().would_import(rows, &mut Seen::default())?);
    for leaver in left {
        match daemon.unsubscribes().row_of(leaver.address.as_str(), &leaver.list)? {
            Some(_) => out.known += 1,
            None => out.unsubscribed += 1,
        }
    }
    Ok(())
}

/// `suppress incidents`.
fn holds(daemon: &dyn Daemon) -> Answer {
    let rows: Vec<HoldOut> = daemon.suppressions().brake_incidents()?.iter().map(HoldOut::from).collect();
    Ok(Response::lines(&rows))
}

fn incident(request: &Request) -> Result<&str, Refused> {
    match request.param("id") {
        "" => Err(Refused::new(400, "which incident? Give its id, as `suppress incidents` lists it", "id")),
        id => Ok(id),
    }
}

fn unknown(id: &str, what: &str) -> Refused {
    Refused::new(404, format!("there is no {what} {id:?}"), "id")
}

/// The errors that a held place holds, by address.
fn held(daemon: &dyn Daemon, request: &Request) -> Answer {
    let (id, page) = (incident(request)?, page_of(request)?);
    let list = daemon.suppressions();
    if !list.brake_incidents()?.iter().any(|known| known.id == id) {
        return Err(unknown(id, "incident"));
    }
    let (found, next) = list.held(id, &page)?;
    let rows: Vec<HeldOut> = found.iter().map(HeldOut::from).collect();
    Ok(with_cursor(Response::lines(&rows), next))
}

/// `suppress release|discard ID`.
fn end(daemon: &dyn Daemon, request: &Request, release: bool) -> Answer {
    let (id, who, list) = (incident(request)?, actor(request), daemon.suppressions());
    let ended = if release { block_on(list.release(&who, id))? } else { block_on(list.discard(&who, id))? };
    let ended = ended.ok_or_else(|| unknown(id, "held incident"))?;
    Ok(Response::json(200, &EndedOut::from(ended)))
}

/// `suppress undo ID`.
fn undo(daemon: &dyn Daemon, request: &Request) -> Answer {
    let id = incident(request)?;
    let undone = block_on(daemon.suppressions().undo_incident(&actor(request), id))?;
    Ok(Response::json(200, &UndoneOut::from(undone.ok_or_else(|| unknown(id, "incident"))?)))
}

/// `suppress try`: what other thresholds would have done; what is not said stays as it is in the config.
fn try_out(daemon: &dyn Daemon, request: &Request) -> Answer {
    let settings = daemon.suppression();
    let mut thresholds = settings.thresholds.clone();
    for (name, _, of) in THRESHOLDS {
        if let Some(n) = number(request, name)? {
            *of(&mut thresholds) =
                u32::try_from(n).map_err(|_| Refused::new(400, format!("{name} is too large"), name))?;
        }
    }
    let span = |name: &'static str| match request.param(name) {
        "" => Ok(None),
        text => {
            let bad = || Refused::new(400, format!("{text:?} is not how long: write 90d"), name);
            parse_duration(text).map(Some).ok_or_else(bad)
        }
    };
    if let Some(window) = span("window")? {
        thresholds.window = window;
    }
    let watch = span("watch")?.or(settings.watch);
    let asked = WhatIf { thresholds, watch, per_user: settings.per_user };
    let answer = daemon.suppressions().what_if(&asked, &|_| true)?;
    Ok(Response::json(200, &TryOut::from(&answer)))
}

/// A threshold's name, the option of the command line, and where it is.
type Threshold = (&'static str, &'static str, fn(&mut Thresholds) -> &mut u32);

/// The thresholds by their names in the config.
pub const THRESHOLDS: [Threshold; 10] = [
    ("unknown_host", "unknown-host", |t| &mut t.unknown_host),
    ("unknown_user", "unknown-user", |t| &mut t.unknown_user),
    ("bad_address", "bad-address", |t| &mut t.bad_address),
    ("complaint", "complaint", |t| &mut t.complaint),
    ("over_capacity", "over-capacity", |t| &mut t.over_capacity),
    ("resend_timeout", "resend-timeout", |t| &mut t.resend_timeout),
    ("rejected", "rejected", |t| &mut t.rejected),
    ("receiving_server_error", "receiving-server-error", |t| &mut t.receiving_server_error),
    ("too_large", "too-large", |t| &mut t.too_large),
    ("other", "other", |t| &mut t.other),
];

/// `incidents`: troubles of destinations, and answers that nothing knows.
pub(super) fn incidents(daemon: &dyn Daemon, about: &About, request: &Request) -> Answer {
    let query = TroubleQuery {
        part: request.param("part").to_owned(),
        unclassified: request.flag("unclassified"),
        from: time(request, about, daemon.now(), "since")?,
    };
    let troubles = daemon.suppressions().troubles(&query, page_of(request)?.rows_max)?;
    let rows: Vec<TroubleOut> = troubles.iter().map(TroubleOut::from).collect();
    Ok(Response::lines(&rows))
}
