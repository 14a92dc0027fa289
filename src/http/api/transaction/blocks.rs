//! Blocks: the list of addresses that are not written to, read and changed.
//!
//! In: a call.  Out: a page of stays, by address; a download; or what became of a change.
//! Always: the list is everybody's, own data only or not; `cancel` lifts the present stay, `delete` exempts for good (R4), and
//! neither does more than its name says; a change checks every address before it changes the first one.
//! Sources: cmc.md §6; PRODUCT.md R4.

use smol::future::block_on;

use super::{
    Call,
    download::download,
    paging::{Asked, Found, rows},
    period, stored,
};
use crate::{
    http::{
        api::{
            fault::{Fault, Unit, Why},
            reply::{self, Cell, Rows},
        },
        exchange::Response,
    },
    records::Block,
    store::{Page, StoreError},
    suppress::{
        Suppressions,
        acts::{Actor, NewEntry},
        list::ListQuery,
        row::REASON_MAX,
    },
    when::Zone,
};

fn query_of(call: &Call<'_>) -> Result<ListQuery, Fault> {
    call.composition()?;
    let period = period::days(call)?;
    Ok(ListQuery {
        part: call.search("email")?,
        from: period.from,
        to: period.to,
        removed: call.ask.flag("removed")?.unwrap_or(false),
        ..ListQuery::default()
    })
}

fn read(list: &Suppressions, query: &ListQuery, page: &Page, zone: &Zone) -> Result<Found<[String; 5]>, StoreError> {
    let found = list.list(query, page)?;
    let record = |address: &str, entry| Block::of(address, entry, zone).into_values();
    let rows = found.rows.iter().filter_map(|row| row.entry.as_ref().map(|entry| record(&row.address, entry)));
    Ok((rows.collect(), found.next))
}

/// `blocks/list`.
pub(super) fn list(call: &Call<'_>) -> Result<Response, Fault> {
    let (query, list, zone) = (query_of(call)?, call.daemon.suppressions(), &call.caller.zone);
    // Of a page's cursor the list says where it stopped, not where the rows that were asked for did.
    let found = rows(call, Asked::of(call)?, "", true, |page| read(list, &query, page, zone))?;
    let rows = found.into_iter().map(|values| Block::KEYS.into_iter().zip(values.map(Cell::Text)).collect()).collect();
    Ok(Rows { plural: "blocks", singular: "block", rows }.response(call.format))
}

/// `blocks/download`.
pub(super) fn download_list(call: &Call<'_>) -> Result<Response, Fault> {
    let (query, list, zone) = (query_of(call)?, call.daemon.suppressions().clone(), call.caller.zone.clone());
    let asked = format!("email={} removed={}", query.part, query.removed);
    let read = move |page: &Page| {
        let (rows, next) = read(&list, &query, page, &zone)?;
        Ok((rows.into_iter().map(Vec::from).collect(), next))
    };
    download(call, "blocks", &Block::KEYS, &asked, Box::new(read))
}

fn actor(call: &Call<'_>) -> Actor {
    Actor { who: call.caller.name.clone(), from: call.caller.source.to_string() }
}

/// For whose mail a change is: everybody's, and each submitter's for whose mail alone the address is blocked.
fn scopes(call: &Call<'_>, address: &str) -> Result<Vec<String>, Fault> {
    let mut scopes = call.daemon.suppressions().scopes(address).map_err(|error| stored(&error))?;
    if !scopes.iter().any(String::is_empty) {
        scopes.push(String::new());
    }
    Ok(scopes)
}

/// `blocks/add`: our own action, for addresses that the operator's programs know to be bad.
pub(super) fn add(call: &Call<'_>) -> Result<Response, Fault> {
    call.composition()?;
    let (emails, reason) = (call.emails()?, call.ask.text("reason")?.unwrap_or_default());
    if reason.len() > REASON_MAX {
        return Err(Why::TooLong { max: REASON_MAX, unit: Unit::Octets }.of("reason"));
    }
    for email in &emails {
        let new = NewEntry { address: email.as_str().to_owned(), reason: reason.clone(), ..NewEntry::default() };
        block_on(call.daemon.suppressions().add(&actor(call), new)).map_err(|error| stored(&error))?;
    }
    Ok(reply::message(call.format, "success"))
}

/// `blocks/cancel`: the present block is lifted; later errors that meet the condition block the address again.
pub(super) fn cancel(call: &Call<'_>) -> Result<Response, Fault> {
    call.composition()?;
    let by = actor(call);
    for email in call.emails()? {
        for scope in scopes(call, email.as_str())? {
            let lifted = call.daemon.suppressions().lift(&by, email.as_str(), &scope);
            // Who is not blocked needs no lifting: the caller has what it wanted.
            block_on(lifted).map_err(|error| stored(&error))?;
        }
    }
    Ok(reply::message(call.format, "success"))
}

/// `blocks/delete`: the address is never blocked again, even if errors recur. Whoever complained or unsubscribed stays blocked,
/// which is told after all others were done: 409 with those addresses.
pub(super) fn delete(call: &Call<'_>) -> Result<Response, Fault> {
    call.composition()?;
    let (emails, list) = (call.emails()?, call.daemon.suppressions());
    let per_user = call.daemon.suppression().per_user;
    let mut stay: Option<Fault> = None;
    for (n, email) in emails.iter().enumerate() {
        let mut scopes = scopes(call, email.as_str())?;
        if per_user && !scopes.contains(&call.caller.name) {
            scopes.push(call.caller.name.clone());
        }
        let mut stays = false;
        for scope in scopes {
            let exempted =
                block_on(list.exempt(&actor(call), email.as_str(), &scope)).map_err(|error| stored(&error))?;
            stays |= exempted.stays.is_some();
        }
        if stays {
            let fault = Why::OwnersWill.of(if emails.len() > 1 { format!("email[{n}]") } else { "email".to_owned() });
            stay = Some(match stay {
                Some(before) => before.and(fault),
                None => fault,
            });
        }
    }
    match stay {
        Some(fault) => Err(fault),
        None => Ok(reply::message(call.format, "success")),
    }
}
