//! The next posts of an endpoint, read and built: events behind its place, cut into posts.
//!
//! In: a place, what the endpoint wants and how.  Out: windows of the stream, each with its posts, ready to be sent.
//! Always: the same place and cuts give the same posts with the same ids; a window ends where one of its posts is full; of a
//! window the deliveries come before the bounces, so that each kind keeps the log's order; what a page reads and holds is bounded.

use bytes::Bytes;

use super::{
    outbox::{self, Told},
    payload::{Feed, Style, Wants},
    place::{Place, time_of},
    sign,
};
use crate::{
    clock::Timestamp,
    store::{LogRow, Store, StoreError},
};

/// Events of a page at most; one window's where that is more.
const PAGE_EVENTS: usize = 1_000;
/// Octets of the records of one post, after which it is full.
const POST_OCTETS: usize = 512 * 1024;
/// Octets of all records of a page.
const PAGE_OCTETS: usize = 2 * 1024 * 1024;
/// Events that one read of the log brings.
const READ_EVENTS: usize = 500;
/// Events that a page looks at: an endpoint may want few of them.
const LOOKED_MAX: usize = 20_000;

/// A post.
#[derive(Clone, Debug)]
pub struct Post {
    /// What it holds.
    pub feed: Feed,
    /// Its id.
    pub id: String,
    /// Events in it.
    pub events: usize,
    /// The number of the first …
    pub first: u64,
    /// … and of the last.
    pub last: u64,
    /// The body.
    pub body: Bytes,
}

/// Events through a number, in one or two posts, or none.
#[derive(Clone, Debug)]
pub struct Window {
    /// The number.
    pub last: u64,
    /// Its posts, in order.
    pub posts: Vec<Post>,
    /// When the first of its events happened.
    pub from: Option<Timestamp>,
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Windows that are full, or were cut before.
    pub windows: Vec<Window>,
    /// What is behind them and does not fill a window.
    pub rest: Option<Window>,
    /// There is more behind all of these.
    pub more: bool,
}

/// How pages are read.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The endpoint.
    pub name: String,
    /// What it wants.
    pub wants: Wants,
    /// And how.
    pub style: Style,
    /// Events of one post.
    pub batch_max: usize,
}

/// A window that is being filled.
#[derive(Default)]
struct Filling {
    deliveries: Records,
    bounces: Records,
    blocks: Records,
    domains: Records,
    from: Option<Timestamp>,
}

#[derive(Default)]
struct Records {
    records: Vec<Vec<u8>>,
    numbers: Vec<u64>,
    octets: usize,
}

impl Records {
    fn push(&mut self, number: u64, record: Option<Vec<u8>>) {
        if let Some(record) = record {
            self.octets += record.len();
            self.records.push(record);
            self.numbers.push(number);
        }
    }

    fn is_full(&self, batch_max: usize) -> bool {
        self.records.len() >= batch_max || self.octets >= POST_OCTETS
    }

    fn post(&self, reader: &Reader, feed: Feed) -> Option<Post> {
        let (first, last) = (*self.numbers.first()?, *self.numbers.last()?);
        Some(Post {
            feed,
            id: sign::id(&reader.name, feed, first, last),
            events: self.records.len(),
            first,
            last,
            body: reader.style.body(feed, &self.records, &self.numbers).into(),
        })
    }
}

impl Filling {
    /// In the order of their posts; of one stream two at most.
    fn feeds(&self) -> [(&Records, Feed); 4] {
        [
            (&self.deliveries, Feed::Deliveries),
            (&self.bounces, Feed::Bounces),
            (&self.blocks, Feed::Blocks),
            (&self.domains, Feed::Domains),
        ]
    }

    fn is_full(&self, batch_max: usize) -> bool {
        self.feeds().iter().any(|(records, _)| records.is_full(batch_max))
    }

    fn len(&self) -> usize {
        self.feeds().iter().map(|(records, _)| records.records.len()).sum()
    }

    fn octets(&self) -> usize {
        self.feeds().iter().map(|(records, _)| records.octets).sum()
    }

    fn window(&self, reader: &Reader, last: u64) -> Window {
        let posts = self.feeds().into_iter().filter_map(|(records, feed)| records.post(reader, feed)).collect();
        Window { last, posts, from: self.from }
    }
}

/// A page that is being filled.
struct Cutter<'a> {
    reader: &'a Reader,
    place: &'a Place,
    page: Page,
    filling: Filling,
    /// Events and octets of whole windows.
    held: (usize, usize),
    /// The last number that was looked at.
    reached: u64,
    /// Cuts that are still ahead.
    cuts: std::slice::Iter<'a, u64>,
    next_cut: Option<u64>,
    over: bool,
}

impl<'a> Cutter<'a> {
    fn new(reader: &'a Reader, place: &'a Place) -> Self {
        let mut cuts = place.cuts.iter();
        let next_cut = cuts.next().copied();
        Cutter {
            reader,
            place,
            page: Page::default(),
            filling: Filling::default(),
            held: (0, 0),
            reached: place.after,
            cuts,
            next_cut,
            over: false,
        }
    }

    /// One event; false: the page is complete, and the event is not in it.
    fn take(&mut self, number: u64, at: Timestamp, fill: impl FnOnce(&mut Filling, &Reader)) -> bool {
        if !self.pass(number) {
            return false;
        }
        self.filling.from.get_or_insert(at);
        fill(&mut self.filling, self.reader);
        if self.next_cut.is_none() && self.filling.is_full(self.reader.batch_max) {
            self.close(number);
            self.over = self.held.0 >= PAGE_EVENTS || self.held.1 >= PAGE_OCTETS;
        }
        true
    }

    /// Comes to a number, whatever is there; false: it is behind the page's end.
    fn pass(&mut self, number: u64) -> bool {
        while let Some(cut) = self.next_cut.filter(|cut| number > *cut) {
            self.close(cut);
            self.next_cut = self.cuts.next().copied();
            self.over |= self.next_cut.is_none();
        }
        if let Some(to) = self.place.to.filter(|to| number > *to && !self.over) {
            // A range ends here, whatever is in its last window.
            if self.place.cuts.is_empty() {
                self.close(to);
            }
            self.over = true;
        }
        if self.over {
            return false;
        }
        self.reached = number;
        true
    }

    fn close(&mut self, last: u64) {
        let filling = std::mem::take(&mut self.filling);
        self.held.0 += filling.len();
        self.held.1 += filling.octets();
        self.page.windows.push(filling.window(self.reader, last));
    }

    /// `more`: the stream goes on behind what was looked at.
    fn done(mut self, more: bool) -> Page {
        // Cuts behind which nothing came yet.
        while let Some(cut) = self.next_cut {
            self.close(cut);
            self.next_cut = self.cuts.next().copied();
        }
        let last = self.page.windows.last().map_or(self.place.after, |window| window.last);
        // A range ends where it was said to end, though nothing may be there.
        let reached = match self.place.to {
            Some(to) if !more => self.reached.max(to),
            _ => self.reached,
        };
        if !self.over && self.place.cuts.is_empty() && reached > last {
            self.page.rest = Some(self.filling.window(self.reader, reached));
        }
        self.page.more = more || self.over;
        self.page
    }
}

impl Reader {
    /// The next posts behind a place. Blocking.
    ///
    /// # Errors
    /// The store's.
    pub fn page(&self, store: &Store, place: &Place) -> Result<Page, StoreError> {
        if place.list { self.list_page(store, place) } else { self.log_page(store, place) }
    }

    fn log_page(&self, store: &Store, place: &Place) -> Result<Page, StoreError> {
        let kinds = self.wants.kinds();
        let mut cutter = Cutter::new(self, place);
        let (mut after, mut looked) = (place.after, 0);
        loop {
            let (rows, reached) = store.follow_rows(after, &kinds, READ_EVENTS)?;
            if reached == after {
                return Ok(cutter.done(false));
            }
            for row in &rows {
                if !cutter.take(row.number, row.event.at, |filling, reader| reader.fill(filling, row)) {
                    return Ok(cutter.done(true));
                }
            }
            if !cutter.pass(reached) {
                return Ok(cutter.done(true));
            }
            after = reached;
            looked += READ_EVENTS;
            if looked >= LOOKED_MAX {
                return Ok(cutter.done(true));
            }
        }
    }

    fn fill(&self, filling: &mut Filling, row: &LogRow) {
        let kind = row.event.kind;
        if self.wants.delivery(kind) {
            filling.deliveries.push(row.number, self.style.delivery(row));
        }
        if self.wants.bounce(kind) {
            filling.bounces.push(row.number, self.style.bounce(row));
        }
    }

    fn list_page(&self, store: &Store, place: &Place) -> Result<Page, StoreError> {
        let mut cutter = Cutter::new(self, place);
        let (changes, more) = outbox::read(store, place.after, PAGE_EVENTS.max(self.batch_max))?;
        for change in &changes {
            let (wants, style) = (self.wants, &self.style);
            let fill = |filling: &mut Filling, _: &Reader| match change {
                Told::List(list) if wants.blocked => filling.blocks.push(list.id, Some(style.block(list))),
                Told::Domain(domain) if wants.domains => filling.domains.push(domain.id, Some(style.domain(domain))),
                Told::List(_) | Told::Domain(_) => {}
            };
            if !cutter.take(change.id(), change.at(), fill) {
                return Ok(cutter.done(true));
            }
        }
        Ok(cutter.done(more))
    }
}

impl Window {
    /// When its first event happened, as its numbers say where nothing is in it.
    pub fn began(&self) -> Timestamp {
        self.from.unwrap_or_else(|| time_of(self.last))
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
