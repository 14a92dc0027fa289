//! Downloads: the rows of a list as a ZIP of CSV, written while they are read.
//!
//! In: who reads a list page by page.  Out: a response that streams; 204 where there is nothing.
//! Always: one page of rows is in memory; at most [`DOWNLOADS_MAX`] run at once; who took what is in the operation log before the
//! first octet goes.
//! Sources: cmc.md §8.1; R13 (downloading is a right of its own).

use std::{
    collections::VecDeque,
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{Call, paging::Found, stored};
use crate::{
    http::{
        api::fault::{Fault, Why},
        archive::{Row, zip_of_csv},
        exchange::Response,
    },
    store::{Page, StoreError},
};

/// Downloads at once, of all users: each keeps a thread of the server until it is done.
const DOWNLOADS_MAX: usize = 2;
/// Rows that are read at once.
const READ_ROWS: usize = 1_000;

/// Reads a page of a list.
pub(super) type Read = Box<dyn FnMut(&Page) -> Result<Found<Row>, StoreError> + Send>;

/// Answers a download named `<name>-yyyyMMdd_HHmmss.zip`; `asked` says for the operation log what of the list it is.
pub(super) fn download(
    call: &Call<'_>,
    name: &'static str,
    columns: &'static [&'static str],
    asked: &str,
    read: Read,
) -> Result<Response, Fault> {
    let place = Place::take().ok_or(Why::Unavailable.fault())?;
    let mut rows = Pages { read, ready: VecDeque::new(), page: Some(Page { rows_max: READ_ROWS, ..Page::default() }) };
    // Where nothing is found in time, nothing may still be found later.
    let deadline = call.deadline();
    while rows.ready.is_empty() && rows.page.is_some() && deadline.left().is_some() {
        rows.read_on().map_err(|error| stored(&error))?;
    }
    if rows.ready.is_empty() && rows.page.is_none() {
        return Ok(Response::new(204, "", Vec::new()));
    }
    call.note("api.download", name.to_owned(), asked.to_owned())?;
    let (now, user) = (call.daemon.now(), call.caller.name.clone());
    let file = format!("{name}-{}", call.caller.zone.file_stamp(now));
    let disposition = format!("attachment; filename=\"{file}.zip\"");
    let stream = Box::new(move |to: &mut dyn io::Write| {
        let _place = place;
        let written = zip_of_csv(to, &file, now, columns, &mut rows)?;
        log::info!("act=api.download list={name} user={user} rows={written}");
        Ok(())
    });
    Ok(Response::stream("application/octet-stream", stream).with("Content-Disposition", disposition))
}

/// The rows of a list. After an error it ends.
struct Pages {
    read: Read,
    ready: VecDeque<Row>,
    /// The next one to read; `None`: that was all.
    page: Option<Page>,
}

impl Pages {
    fn read_on(&mut self) -> Result<(), StoreError> {
        let Some(page) = self.page.take() else { return Ok(()) };
        let (rows, next) = (self.read)(&page)?;
        self.ready.extend(rows);
        self.page = next.map(|cursor| Page { cursor: Some(cursor), ..page });
        Ok(())
    }
}

impl Iterator for Pages {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<io::Result<Row>> {
        while self.ready.is_empty() && self.page.is_some() {
            if let Err(error) = self.read_on() {
                return Some(Err(io::Error::other(error)));
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

/// Downloads under way.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// A download's place among [`DOWNLOADS_MAX`]; dropped, it is free again.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let more = |n: usize| (n < DOWNLOADS_MAX).then_some(n + 1);
        RUNNING.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok().then_some(Place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}
