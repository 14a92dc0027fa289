//! Downloads: the rows of a list, read page by page while they are written out.
//!
//! In: who reads a list page by page.  Out: its rows, one after the other; a stream of CSV.
//! Always: one page of rows is in memory; at most [`DOWNLOADS_MAX`] run at once, for each keeps a thread of the server until it is
//! done; an error cuts the stream, so that nobody takes it for whole.
//! Sources: R13 (downloading is a right of its own).

use std::{
    collections::VecDeque,
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    http::{archive::Row, exchange::Stream},
    sheet::{Sheet, Style},
    store::{Page, StoreError},
};

/// Downloads at once, of all users.
pub const DOWNLOADS_MAX: usize = 2;
/// Rows that are read at once.
const READ_ROWS: usize = 1_000;

/// Reads a page of a list: its rows, and where to go on.
pub type Read = Box<dyn FnMut(&Page) -> Result<(Vec<Row>, Option<String>), StoreError> + Send>;

/// The rows of a list. After an error it ends.
pub struct Rows {
    read: Read,
    ready: VecDeque<Row>,
    /// The next one to read; `None`: that was all.
    page: Option<Page>,
}

impl Rows {
    /// All that `read` brings.
    pub fn new(read: Read) -> Self {
        Rows { read, ready: VecDeque::new(), page: Some(Page { rows_max: READ_ROWS, ..Page::default() }) }
    }

    /// None was read yet.
    pub fn is_bare(&self) -> bool {
        self.ready.is_empty()
    }

    /// Nothing is left to read.
    pub fn is_all(&self) -> bool {
        self.page.is_none()
    }

    /// Reads the next page.
    ///
    /// # Errors
    /// The store's.
    pub fn read_on(&mut self) -> Result<(), StoreError> {
        let Some(page) = self.page.take() else { return Ok(()) };
        let (rows, next) = (self.read)(&page)?;
        self.ready.extend(rows);
        self.page = next.map(|cursor| Page { cursor: Some(cursor), ..page });
        Ok(())
    }
}

impl Iterator for Rows {
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
pub struct Place(());

impl Place {
    /// Takes one; `None`: none is free.
    pub fn take() -> Option<Self> {
        let more = |n: usize| (n < DOWNLOADS_MAX).then_some(n + 1);
        RUNNING.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        // Not made where there was none: dropped, it would free another's.
        Some(Place(()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A CSV file that spreadsheets open as UTF-8; `name` and `who` are for the journal.
pub fn csv(place: Place, name: &'static str, who: String, columns: Vec<&'static str>, rows: Rows) -> Stream {
    Box::new(move |to| {
        let _place = place;
        let mut sheet = Sheet::with(to, &columns, Style { bom: true, quoted: true })?;
        // The file begins at once, however far its first row lies.
        sheet.flush()?;
        let mut written = 0u64;
        for row in rows {
            sheet.row(row?)?;
            written += 1;
        }
        sheet.flush()?;
        log::info!("act=console.download list={name} user={who} rows={written}");
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(pages: usize, fails: bool) -> Rows {
        let mut page = 0;
        Rows::new(Box::new(move |asked| {
            assert_eq!(asked.cursor.as_deref().map_or(0, |c| c.parse::<usize>().unwrap()), page);
            page += 1;
            if fails && page == 2 {
                return Err(StoreError::Closed);
            }
            let rows = (0..2).map(|n| vec![format!("{page}.{n}"), "=1+1".to_owned()]).collect();
            Ok((rows, (page < pages).then(|| page.to_string())))
        }))
    }

    /// Other tests may have them all for a moment.
    fn places() -> Vec<Place> {
        loop {
            let places: Vec<Place> = std::iter::from_fn(Place::take).take(DOWNLOADS_MAX).collect();
            if places.len() == DOWNLOADS_MAX {
                return places;
            }
        }
    }

    #[test]
    fn who_is_refused_takes_nobodys_place_away() {
        let places = places();
        assert!((0..9).all(|_| Place::take().is_none()));
        drop(places);
        assert_eq!(self::places().len(), DOWNLOADS_MAX);
    }

    #[test]
    fn rows_are_read_page_by_page_and_an_error_cuts_the_file() {
        let mut out = Vec::new();
        let place = loop {
            // Another test may have them all for a moment.
            if let Some(place) = Place::take() {
                break place;
            }
        };
        csv(place, "x", "mari".into(), vec!["a", "b"], rows(2, false))(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().collect();
        assert_eq!(
            lines,
            ["\"a\",\"b\"", "\"1.0\",\"'=1+1\"", "\"1.1\",\"'=1+1\"", "\"2.0\",\"'=1+1\"", "\"2.1\",\"'=1+1\""]
        );
        let mut cut = rows(3, true);
        assert_eq!(cut.by_ref().take_while(Result::is_ok).count(), 2);
        assert!(cut.next().is_none() && cut.is_all());
    }
}
