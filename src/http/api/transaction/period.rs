//! Which days, hours and minutes a call asks for, in the caller's zone.
//!
//! In: `date`, `hour`, `minute`, `start_date`, `end_date`.  Out: a [`Period`] of moments.
//! Always: both days of a range are inside; a day is as long as its zone makes it; what is before 1970 or behind the calendar
//! is simply without rows.
//! Sources: cmc.md §4, §5, §6.1, §9.

use jiff::{ToSpan, civil::Date};

use super::Call;
use crate::{
    clock::Timestamp,
    http::api::fault::{Fault, Why},
    when::Zone,
};

/// From (inclusive) and to (exclusive); `None`: no bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Period {
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

impl Period {
    /// What is in both.
    fn and(self, other: Period) -> Period {
        let to = match (self.to, other.to) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Period { from: self.from.max(other.from), to }
    }
}

/// The moment at which a day's time begins.
fn moment(zone: &Zone, day: Date, hour: i8, minute: i8) -> Timestamp {
    if day.year() < 1970 {
        return Timestamp::ZERO;
    }
    zone.moment(day.at(hour, minute, 0, 0)).unwrap_or(Timestamp::MAX)
}

/// The first moment of a day.
pub(super) fn start_of(zone: &Zone, day: Date) -> Timestamp {
    moment(zone, day, 0, 0)
}

/// The first moment after a day.
pub(super) fn end_of(zone: &Zone, day: Date) -> Timestamp {
    day.tomorrow().map_or(Timestamp::MAX, |next| moment(zone, next, 0, 0))
}

/// `date`, and within it `hour` and `minute`.
pub(super) fn day(call: &Call<'_>) -> Result<Option<Period>, Fault> {
    let date = call.ask.date("date")?;
    let hour = call.ask.number("hour", 0..=23)?.and_then(|n| i8::try_from(n).ok());
    let minute = call.ask.number("minute", 0..=59)?.and_then(|n| i8::try_from(n).ok());
    let zone = &call.caller.zone;
    Ok(match (date, hour, minute) {
        (None, None, None) => None,
        (None, Some(_), _) | (None, _, Some(_)) => return Err(Why::Missing.of("date")),
        (Some(_), None, Some(_)) => return Err(Why::Missing.of("hour")),
        (Some(day), None, None) => Some(Period { from: Some(start_of(zone, day)), to: Some(end_of(zone, day)) }),
        (Some(day), Some(hour), minute) => {
            let from = moment(zone, day, hour, minute.unwrap_or(0));
            let length = if minute.is_some() { 1.minute() } else { 1.hour() };
            let end = day.at(hour, minute.unwrap_or(0), 0, 0).checked_add(length).ok();
            let to = end.map_or(Timestamp::MAX, |end| moment(zone, end.date(), end.hour(), end.minute()));
            Some(Period { from: Some(from), to: Some(to) })
        }
    })
}

/// The same, where the day must be said and must not be in the future.
pub(super) fn past_day(call: &Call<'_>) -> Result<Period, Fault> {
    let period = day(call)?.ok_or_else(|| Why::Missing.of("date"))?;
    let now = call.daemon.now();
    if let Some(date) = call.ask.date("date")?
        && start_of(&call.caller.zone, date) > now
    {
        return Err(Why::InFuture.of("date"));
    }
    if period.from.is_some_and(|from| from > now) {
        // The day has begun: of hour and minute, the one that is not yet.
        let hour_only = call.ask.number("minute", 0..=59)?.is_none();
        return Err(Why::InFuture.of(if hour_only { "hour" } else { "minute" }));
    }
    Ok(period)
}

/// `start_date` to `end_date`, both inside.
pub(super) fn days(call: &Call<'_>) -> Result<Period, Fault> {
    let (first, last) = (call.ask.date("start_date")?, call.ask.date("end_date")?);
    if let (Some(first), Some(last)) = (first, last)
        && first > last
    {
        return Err(Why::WrongOrder.of("start_date"));
    }
    let zone = &call.caller.zone;
    Ok(Period { from: first.map(|day| start_of(zone, day)), to: last.map(|day| end_of(zone, day)) })
}

/// What both ways to say a period leave.
pub(super) fn any(call: &Call<'_>) -> Result<Period, Fault> {
    let days = days(call)?;
    Ok(day(call)?.map_or(days, |day| days.and(day)))
}

/// [`days`], of which one call asks for so many at most; where nothing is said, the last ones.
pub(super) fn at_most(call: &Call<'_>, most: u32) -> Result<Period, Fault> {
    let asked = days(call)?;
    let (first, last) = (call.ask.date("start_date")?, call.ask.date("end_date")?);
    let back = i64::from(most) - 1;
    let (zone, too_long) = (&call.caller.zone, || Why::RangeTooLong { days: most }.of("start_date"));
    let today = zone.date(call.daemon.now()).unwrap_or(Date::MAX);
    match (first, last) {
        (Some(first), Some(last)) => {
            let reach = first.checked_add(back.days()).unwrap_or(Date::MAX);
            if reach < last { Err(too_long()) } else { Ok(asked) }
        }
        (Some(first), None) => {
            let last = first.checked_add(back.days()).unwrap_or(Date::MAX);
            Ok(Period { from: asked.from, to: Some(end_of(zone, last)) })
        }
        (None, last) => {
            let last = last.unwrap_or(today);
            let first = last.checked_sub(back.days()).unwrap_or(Date::MIN);
            Ok(Period { from: Some(start_of(zone, first)), to: Some(end_of(zone, last)) })
        }
    }
}
