//! Unsubscribes: who left which list, read, and written to again.
//!
//! In: a call.  Out: a page of rows, by address; a download; or what became of a cancel.
//! Always: the list is everybody's, own data only or not; only an address that the call names is written to again.
//! Sources: cmc.md §8, §17.

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
            fault::Fault,
            reply::{self, Cell, Rows},
        },
        exchange::Response,
    },
    store::{Page, StoreError},
    unsubscribe::list::{Actor, Query, Unsubscribes},
    when::Zone,
};

/// The keys of a row.
pub(in crate::http::api) const KEYS: [&str; 3] = ["created", "email", "filterName"];
/// The same in CSV, as CMC has them.
const COLUMNS: [&str; 3] = ["created", "email", "filtername"];

fn query_of(call: &Call<'_>) -> Result<Query, Fault> {
    call.composition()?;
    let period = period::days(call)?;
    Ok(Query { address: call.search("email")?, list: call.search("filter_name")?, from: period.from, to: period.to })
}

fn read(list: &Unsubscribes, query: &Query, page: &Page, zone: &Zone) -> Result<Found<[String; 3]>, StoreError> {
    let found = list.page(query, page)?;
    let values = found.entries.into_iter().map(|entry| [zone.full(entry.row.created()), entry.address, entry.row.list]);
    Ok((values.collect(), found.next))
}

/// `unsubscribes/list`.
pub(super) fn list(call: &Call<'_>) -> Result<Response, Fault> {
    let (query, list, zone) = (query_of(call)?, call.daemon.unsubscribes(), &call.caller.zone);
    let search = format!("{query:?}");
    let found = rows(call, Asked::of(call)?, &search, false, |page| read(list, &query, page, zone))?;
    let rows = found.into_iter().map(|values| KEYS.into_iter().zip(values.map(Cell::Text)).collect()).collect();
    Ok(Rows { plural: "unsubscribes", singular: "unsubscribe", rows }.response(call.format))
}

/// `unsubscribes/download`.
pub(super) fn download_list(call: &Call<'_>) -> Result<Response, Fault> {
    let (query, list, zone) = (query_of(call)?, call.daemon.unsubscribes().clone(), call.caller.zone.clone());
    let asked = format!("email={} filter_name={}", query.address, query.list);
    let read = move |page: &Page| {
        let (rows, next) = read(&list, &query, page, &zone)?;
        Ok((rows.into_iter().map(Vec::from).collect(), next))
    };
    download(call, "unsubscribes", &COLUMNS, &asked, Box::new(read))
}

/// `unsubscribes/cancel`: of one list, or of all where none is named.
pub(super) fn cancel(call: &Call<'_>) -> Result<Response, Fault> {
    call.composition()?;
    let (emails, list) = (call.emails()?, call.search("filter_name")?);
    let addresses: Vec<String> = emails.iter().map(|email| email.as_str().to_owned()).collect();
    let by = Actor { who: call.caller.name.clone(), from: call.caller.source.to_string() };
    block_on(call.daemon.unsubscribes().cancel(&addresses, &list, &by)).map_err(|error| stored(&error))?;
    Ok(reply::message(call.format, "success"))
}
