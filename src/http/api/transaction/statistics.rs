//! Statistics: how much was accepted, delivered, failed and blocked, by day or for a month.
//!
//! In: a call.  Out: a record for each day of the month that has any, or one whose `date` is `total`.
//! Always: days are the caller's zone's; valid is succeeded and failed together, and blocked stands apart; what bounced after it
//! was delivered stays delivered; numbers are numbers here, as everywhere else they are strings.
//! Sources: cmc.md §7, §15.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::{Call, period, stored};
use crate::{
    http::{
        api::{
            fault::{Fault, Why},
            reply::{Cell, Rows},
        },
        exchange::Response,
    },
    store::QuarterCounts,
};

/// The keys of a record.
pub(in crate::http::api) const KEYS: [&str; 6] = ["date", "queued", "succeeded", "failed", "blocked", "valid"];

/// `statistics/list`.
pub(super) fn list(call: &Call<'_>) -> Result<Response, Fault> {
    call.composition_if_named()?;
    let year = call.ask.number("year", 1970..=9998)?.ok_or_else(|| Why::Missing.of("year"))?;
    let month = call.ask.number("month", 1..=12)?.ok_or_else(|| Why::Missing.of("month"))?;
    let total = call.ask.flag("total")?.unwrap_or(false);
    let (year, month) = (i16::try_from(year).unwrap_or(1970), i8::try_from(month).unwrap_or(1));
    let first = Date::new(year, month, 1).map_err(|_| Why::BadDate.of("month"))?;
    let zone = &call.caller.zone;
    let (from, to) = (period::start_of(zone, first), period::end_of(zone, first.last_of_month()));
    let own = call.own_user();
    let mut days: BTreeMap<Date, QuarterCounts> = BTreeMap::new();
    let mut each = |count: QuarterCounts| {
        // Zones are whole quarters of an hour away from UTC: a quarter is of one day.
        if let Some(day) = zone.date(count.start) {
            days.entry(if total { first } else { day }).or_default().add(&count);
        }
    };
    let user = (!own.is_empty()).then_some(&*own);
    call.daemon.each_count(from, to, user, &mut each).map_err(|error| stored(&error))?;
    let told = days.into_iter().filter(|(_, c)| c.queued + c.succeeded + c.failed + c.blocked > 0);
    let row = |(day, c): (Date, QuarterCounts)| {
        let date = if total { "total".to_owned() } else { day.to_string() };
        let numbers = [c.queued, c.succeeded, c.failed, c.blocked, c.valid()].map(Cell::Number);
        KEYS.into_iter().zip(std::iter::once(Cell::Text(date)).chain(numbers)).collect()
    };
    Ok(Rows { plural: "statistics", singular: "statistic", rows: told.map(row).collect() }.response(call.format))
}
