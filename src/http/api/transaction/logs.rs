//! Deliveries and bounces: the delivery log and the error log.
//!
//! In: a call.  Out: a page of records, newest first, or all of them as a download.
//! Always: what is past its period is not told (R13): the store sees to that; a caller of own data only reads its own mail's.
//! Sources: cmc.md §4, §5.

use super::{
    Call,
    download::download,
    paging::{Asked, rows},
    period::{self, Period},
};
use crate::{
    clock::Timestamp,
    event::{ErrorClass, EventKind},
    http::{
        api::{
            fault::{Fault, Why},
            reply::{Cell, Rows},
        },
        archive::Row,
        daemon::Logs,
        exchange::Response,
    },
    records::{Bounce, Delivery, bounce_class},
    store::{LogPage, LogQuery, LogRow, Page, StoreError},
    when::Zone,
};

/// The words of `status`, CMC's four and our own for what an operator removed.
pub(in crate::http::api) const STATUSES: &[&str] = &["queued", "succeeded", "failed", "deferred", "dropped"];
/// The words of `search_option`: how texts are compared.
const SEARCH_OPTIONS: &[&str] = &["partial", "exact"];
/// The kinds of the delivery log.
const DELIVERIES: [EventKind; 5] =
    [EventKind::Queued, EventKind::Deferred, EventKind::Succeeded, EventKind::Failed, EventKind::Dropped];

/// A search: what the store is asked, and what is left out of its answer.
#[derive(Clone, Debug)]
struct Search {
    query: LogQuery,
    class: Option<ErrorClass>,
}

impl Search {
    fn of(call: &Call<'_>, period: Period) -> Result<Self, Fault> {
        call.composition()?;
        let query = LogQuery {
            from: period.from,
            to: period.to,
            sender: call.search("from")?,
            recipient: call.search("to")?,
            api_data: call.search("api_data")?,
            exact: call.ask.word("search_option", SEARCH_OPTIONS)? == Some("exact"),
            user: call.own_user(),
            ..LogQuery::default()
        };
        Ok(Search { query, class: None })
    }

    fn deliveries(call: &Call<'_>) -> Result<Self, Fault> {
        let mut search = Search::of(call, period::past_day(call)?)?;
        let status = call.ask.word("status", STATUSES)?.and_then(EventKind::from_word);
        search.query.kinds = status.map_or(DELIVERIES.to_vec(), |kind| vec![kind]);
        Ok(search)
    }

    fn bounces(call: &Call<'_>) -> Result<Self, Fault> {
        let mut search = Search::of(call, period::any(call)?)?;
        search.query.errors_only = true;
        search.class = class_of(call)?;
        Ok(search)
    }

    fn read(&self, logs: &dyn Logs, page: &Page) -> Result<LogPage, StoreError> {
        let mut found = logs.log_page(&self.query, page)?;
        if let Some(class) = self.class {
            found.rows.retain(|row| bounce_class(&row.event) == class);
        }
        Ok(found)
    }

    /// What of the log it is, for the operation log.
    fn words(&self, zone: &Zone) -> String {
        let time = |at: Option<Timestamp>| at.map_or_else(String::new, |at| zone.full(at));
        let q = &self.query;
        let parts = [
            ("from", time(q.from)),
            ("to", time(q.to)),
            ("sender", q.sender.clone()),
            ("recipient", q.recipient.clone()),
            ("api_data", q.api_data.clone()),
            ("user", q.user.clone()),
        ];
        parts.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
    }

    fn page(&self, call: &Call<'_>) -> Result<Vec<LogRow>, Fault> {
        let logs = call.daemon.logs();
        rows(call, Asked::of(call)?, &format!("{self:?}"), self.class.is_some(), |page| {
            self.read(&*logs, page).map(|found| (found.rows, found.next))
        })
    }
}

/// `status`: the number of an error's class.
fn class_of(call: &Call<'_>) -> Result<Option<ErrorClass>, Fault> {
    let Some(code) = call.ask.number("status", 1..=99)? else { return Ok(None) };
    let class = u8::try_from(code).ok().and_then(ErrorClass::from_code);
    class.map(Some).ok_or_else(|| Why::Unknown.of("status"))
}

fn cells<const N: usize>(keys: [&'static str; N], values: [String; N]) -> Vec<(&'static str, Cell)> {
    keys.into_iter().zip(values.map(Cell::Text)).collect()
}

/// `deliveries/list`.
pub(super) fn deliveries(call: &Call<'_>) -> Result<Response, Fault> {
    let found = Search::deliveries(call)?.page(call)?;
    let records =
        found.iter().filter_map(|row| Delivery::of(&row.event, &row.recipient, &row.message, &call.caller.zone));
    let rows = records.map(|record| cells(Delivery::KEYS, record.into_values())).collect();
    Ok(Rows { plural: "deliveries", singular: "delivery", rows }.response(call.format))
}

/// `bounces/list`.
pub(super) fn bounces(call: &Call<'_>) -> Result<Response, Fault> {
    let found = Search::bounces(call)?.page(call)?;
    let records =
        found.iter().filter_map(|row| Bounce::of(&row.event, &row.recipient, &row.message, &call.caller.zone));
    let rows = records.map(|record| cells(Bounce::KEYS, record.into_values())).collect();
    Ok(Rows { plural: "bounces", singular: "bounce", rows }.response(call.format))
}

/// `deliveries/download`.
pub(super) fn deliveries_download(call: &Call<'_>) -> Result<Response, Fault> {
    let record = |row: &LogRow, zone: &Zone| {
        Delivery::of(&row.event, &row.recipient, &row.message, zone).map(|record| record.into_values().into())
    };
    download_log(call, "deliveries", &Delivery::KEYS, Search::deliveries(call)?, record)
}

/// `bounces/download`.
pub(super) fn bounces_download(call: &Call<'_>) -> Result<Response, Fault> {
    let record = |row: &LogRow, zone: &Zone| {
        Bounce::of(&row.event, &row.recipient, &row.message, zone).map(|record| record.into_values().into())
    };
    download_log(call, "bounces", &Bounce::KEYS, Search::bounces(call)?, record)
}

fn download_log(
    call: &Call<'_>,
    name: &'static str,
    columns: &'static [&'static str],
    search: Search,
    record: fn(&LogRow, &Zone) -> Option<Row>,
) -> Result<Response, Fault> {
    let (logs, zone) = (call.daemon.logs(), call.caller.zone.clone());
    let asked = search.words(&zone);
    let read = move |page: &Page| {
        let found = search.read(&*logs, page)?;
        Ok((found.rows.iter().filter_map(|row| record(row, &zone)).collect(), found.next))
    };
    download(call, name, columns, &asked, Box::new(read))
}
