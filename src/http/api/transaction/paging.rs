//! Pages by number, as clients ask for them, over a store that knows cursors.
//!
//! In: `p` and `r`, and who reads on from a cursor.  Out: the rows of that page.
//! Always: a call looks for [`TIME_MAX`] at most, and answers a fault rather than a page that only seems to be the last one; a
//! client that asks for one page after the other is led on where the page before ended, so that the hundredth costs what the
//! first did.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{Call, stored};
use crate::{
    clock::{Clock, Timestamp},
    http::api::fault::{Fault, Why},
    store::{Page, StoreError},
};

/// How long one call looks for rows.
pub const TIME_MAX: Duration = Duration::from_secs(5);
/// Rows of a page where nothing is said.
const ROWS: usize = 10;
/// Rows of a page at most.
const ROWS_MAX: usize = 100;
/// Rows before a page at most: what is further back is asked for by a narrower search, or downloaded.
const BEFORE_MAX: usize = 1_000_000;
/// Rows that one read of the store brings.
const READ_ROWS: usize = 1_000;
/// Ends of pages that are remembered, of all users.
const MARKS_MAX: usize = 1_000;
/// How long one is: longer than a client takes to ask for the next page, short enough that what came in meanwhile is met again.
const MARK_AGE_MAX: Duration = Duration::from_secs(120);

/// Until when a call may look.
#[derive(Clone, Debug)]
pub struct Deadline {
    clock: Clock,
    at: Timestamp,
}

impl Deadline {
    /// [`TIME_MAX`] from now.
    pub fn of(clock: Clock) -> Self {
        let at = clock.now().plus(TIME_MAX);
        Deadline { clock, at }
    }

    /// How long that is; `None`: it is past.
    pub fn left(&self) -> Option<Duration> {
        let left = self.at.since(self.clock.now());
        (!left.is_zero()).then(|| left.min(TIME_MAX))
    }
}

/// Which page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    /// Its number, from 0.
    pub page: usize,
    /// Rows of a page.
    pub rows: usize,
}

impl Asked {
    /// `p` and `r`.
    pub(super) fn of(call: &Call<'_>) -> Result<Self, Fault> {
        let number =
            |name, max: usize| call.ask.number(name, i64::from(name == "r")..=i64::try_from(max).unwrap_or(i64::MAX));
        let rows = number("r", ROWS_MAX)?.and_then(|n| usize::try_from(n).ok()).unwrap_or(ROWS);
        let page = number("p", BEFORE_MAX / rows)?.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        Ok(Asked { page, rows })
    }
}

/// What a read of the store brought: rows that are wanted, and where to go on.
pub(super) type Found<T> = (Vec<T>, Option<String>);

/// The rows of a page. `search` names what is searched, wholly; `read` reads on from a page's cursor. A `read` that leaves rows out
/// (`is_sparse`) reads many at once, and cannot be led on.
pub(super) fn rows<T>(
    call: &Call<'_>,
    asked: Asked,
    search: &str,
    is_sparse: bool,
    mut read: impl FnMut(&Page) -> Result<Found<T>, StoreError>,
) -> Result<Vec<T>, Fault> {
    let (deadline, marks) = (call.deadline(), call.daemon.page_marks());
    let search = format!("{}\n{}\n{search}", call.caller.name, asked.rows);
    let mark = if is_sparse { None } else { marks.find(&search, asked.page, call.daemon.now()) };
    let mut before = if mark.is_some() { 0 } else { asked.page * asked.rows };
    let mut cursor = mark;
    let mut out: Vec<T> = Vec::new();
    loop {
        let Some(within) = deadline.left() else { return Err(Why::TooWide.fault()) };
        let wanted = before + asked.rows - out.len();
        let rows_max = if is_sparse { READ_ROWS } else { wanted.min(READ_ROWS) };
        let (rows, next) =
            read(&Page { rows_max, cursor, within: Some(within), ..Page::default() }).map_err(|e| stored(&e))?;
        let skipped = before.min(rows.len());
        before -= skipped;
        out.extend(rows.into_iter().skip(skipped));
        if out.len() >= asked.rows {
            // A list may bring a few more than it was asked for; then its cursor is behind them, and no good here.
            let is_exact = out.len() == asked.rows;
            out.truncate(asked.rows);
            if let (true, false, Some(next)) = (is_exact, is_sparse, next) {
                marks.keep(search, asked.page + 1, next, call.daemon.now());
            }
            return Ok(out);
        }
        match next {
            Some(next) => cursor = Some(next),
            None => return Ok(out),
        }
    }
}

/// Where pages ended that were just read.
#[derive(Debug, Default)]
pub struct PageMarks(Mutex<VecDeque<Mark>>);

#[derive(Debug)]
struct Mark {
    search: String,
    page: usize,
    cursor: String,
    at: Timestamp,
}

impl PageMarks {
    fn find(&self, search: &str, page: usize, now: Timestamp) -> Option<String> {
        if page == 0 {
            return None;
        }
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |mark: &&Mark| mark.page == page && mark.search == search && now.since(mark.at) <= MARK_AGE_MAX;
        marks.iter().find(is_it).map(|mark| mark.cursor.clone())
    }

    /// Forgets all of them.
    #[cfg(test)]
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn keep(&self, search: String, page: usize, cursor: String, at: Timestamp) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.retain(|mark| mark.page != page || mark.search != search);
        while marks.len() >= MARKS_MAX {
            marks.pop_front();
        }
        marks.push_back(Mark { search, page, cursor, at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_leads_on_for_a_while_and_their_number_is_bounded() {
        let (marks, at) = (PageMarks::default(), Timestamp::from_millis(1_000_000));
        marks.keep("a".into(), 1, "c1".into(), at);
        marks.keep("a".into(), 1, "c2".into(), at);
        marks.keep("b".into(), 1, "c3".into(), at);
        assert_eq!(marks.find("a", 1, at).as_deref(), Some("c2"));
        assert_eq!(marks.find("a", 2, at), None);
        assert_eq!(marks.find("a", 1, at.plus(MARK_AGE_MAX)).as_deref(), Some("c2"));
        assert_eq!(marks.find("a", 1, at.plus(MARK_AGE_MAX + Duration::from_millis(1))), None);
        for n in 0..MARKS_MAX {
            marks.keep(format!("s{n}"), 1, "c".into(), at);
        }
        assert_eq!(marks.0.lock().unwrap().len(), MARKS_MAX);
        assert_eq!(marks.find("a", 1, at), None, "the oldest went");
    }
}
