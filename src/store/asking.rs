//! What people ask of the store: pages of the queue and the logs, one message's story, sums.
//!
//! In: questions.  Out: answers, paged.
//! Always: these block and belong on `smol::unblock`; nothing past its period is answered (R13).

use std::time::{Duration, Instant};

use super::{Store, audit, counts, events, queue, retention, sums, types::*, user_minutes};
use crate::{
    clock::{Clock, Timestamp},
    ids::MessageId,
    smtp::conversation::Conversation,
};

/// How long a page may still look ([`Page::within`]).
pub struct Patience {
    clock: Clock,
    until: Option<Instant>,
}

impl Patience {
    /// Rows between two looks at the clock.
    const ROWS: usize = 16;

    /// From now on.
    pub fn of(clock: &Clock, page: &Page) -> Self {
        let until = page.within.and_then(|within| clock.instant().checked_add(within));
        Patience { clock: clock.clone(), until }
    }

    /// True when the time is over; `looked`: rows looked at so far. A page looks at some rows at least, so that every one goes on.
    pub fn is_over(&self, looked: usize) -> bool {
        let looks = looked > 0 && looked.is_multiple_of(Self::ROWS);
        looks && self.until.is_some_and(|until| self.clock.instant() >= until)
    }
}

impl Patience {
    /// The same for one who does not look at the clock at each row: true when the time is over.
    pub(super) fn is_over_now(&self, looked: usize) -> bool {
        looked > 0 && self.until.is_some_and(|until| self.clock.instant() >= until)
    }
}

impl Store {
    pub(super) fn log(&self) -> Result<events::LogReader, StoreError> {
        let s = &self.0;
        events::LogReader::new(&s.db, s.shared.unclean, &s.clock, s.shared.retention())
    }

    /// One page of waiting recipients.
    pub fn queue_page(&self, filter: &QueueFilter, page: &Page) -> Result<QueuePage, StoreError> {
        queue::page(&self.0.db, self.0.shared.unclean, filter, page, &Patience::of(&self.0.clock, page))
    }

    /// How many waiting recipients a filter takes; looks at what no sum answers for `within` at most.
    pub fn count_waiting(&self, filter: &QueueFilter, within: Duration) -> Result<QueueCount, StoreError> {
        let page = Page { rows_max: usize::MAX, cursor: None, scan_max: usize::MAX, within: Some(within) };
        queue::count(&self.0.db, self.0.shared.unclean, filter, &page, &Patience::of(&self.0.clock, &page))
    }

    /// What waits, by class, reason and API user. Short.
    pub fn queue_sums(&self) -> Result<QueueSums, StoreError> {
        sums::shown(&self.0.db)
    }

    /// Every lane with its count and earliest due time, largest first.
    pub fn lanes(&self, limit: usize) -> Result<Vec<LaneRow>, StoreError> {
        queue::lanes(&self.0.db, &self.0.shared.largest, &self.0.clock, limit)
    }

    /// One page of the delivery or error log, newest first.
    pub fn log_page(&self, query: &LogQuery, page: &Page) -> Result<LogPage, StoreError> {
        self.log()?.page(query, page)
    }

    /// Everything known of one message: its row, recipients and events, oldest event first.
    pub fn message_story(&self, id: MessageId) -> Result<Option<Story>, StoreError> {
        self.log()?.story(id)
    }

    /// One message at a glance: counts of all its recipients, some of them, a page of what happened. `None`: there is none, or
    /// nothing of it may be told any more.
    pub fn message_glance(&self, id: MessageId, ask: &GlanceAsk) -> Result<Option<Glance>, StoreError> {
        self.log()?.glance(&self.0.db, id, ask)
    }

    /// Messages that hold a text anywhere: in an address, the subject, the Message-ID, the X-Api-Data; in any case, newest first.
    pub fn search(&self, text: &str, page: &Page) -> Result<FoundPage, StoreError> {
        let s = &self.0;
        self.log()?.search(&s.db, &s.clock, text, page)
    }

    /// These messages as a search shows them, with the recipient of this address where there is one.
    pub fn found(&self, ids: &[MessageId], address: &str) -> Result<Vec<Found>, StoreError> {
        let mut log = self.log()?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(log.shown(*id, address)?);
        }
        Ok(found)
    }

    /// What was said in the attempts that led to the events with these numbers, in their order; `None`: nothing was, or it may
    /// not be read any more.
    pub fn conversations(&self, numbers: &[u64]) -> Result<Vec<Option<Conversation>>, StoreError> {
        self.log()?.conversations(&self.0.db, numbers)
    }

    /// Messages that a key finds: queue id, recipient address, Message-ID or X-Api-Data, newest first.
    pub fn find(&self, key: &str, limit: usize) -> Result<Vec<MessageId>, StoreError> {
        self.log()?.find(key, limit)
    }

    /// One page of the operation log, newest first.
    pub fn audit_page(&self, query: &AuditQuery, page: &Page) -> Result<AuditPage, StoreError> {
        let floor = self.0.clock.now().minus(self.0.shared.retention().audit_log);
        audit::page(&self.0.db, query, page, floor, &Patience::of(&self.0.clock, page))
    }

    /// Counts of events for each minute in `[from, to)`; minutes without events are left out.
    pub fn minutes(&self, from: Timestamp, to: Timestamp) -> Result<Vec<MinuteCounts>, StoreError> {
        counts::minutes(&self.0.db, from, to, self.log_floor())
    }

    /// Counts of events for each quarter of an hour in `[from, to)` and API user, oldest first; quarters without events are left
    /// out, one that is cut is taken whole. `user`: this one only; the empty name is mail without one. Kept for 400 days. Blocking.
    ///
    /// # Errors
    /// `Refused` for more than 200,000 rows: a year of five users; [`Store::each_count`] has no bound. `Damaged`, `Read`.
    pub fn counts(&self, from: Timestamp, to: Timestamp, user: Option<&str>) -> Result<Vec<QuarterCounts>, StoreError> {
        counts::all(&self.0.db, from, to, user, self.counts_floor())
    }

    /// [`Store::counts`], one row after the other.
    ///
    /// # Errors
    /// `Damaged`, `Read`.
    pub fn each_count(
        &self,
        from: Timestamp,
        to: Timestamp,
        user: Option<&str>,
        mut each: impl FnMut(QuarterCounts),
    ) -> Result<(), StoreError> {
        let each = |row| {
            each(row);
            Ok(())
        };
        counts::each(&self.0.db, from, to, user, self.counts_floor(), each)
    }

    /// The same for each minute, as long as the logs are kept; [`QuarterCounts::start`] is the minute's.
    ///
    /// # Errors
    /// `Damaged`, `Read`.
    pub fn each_minute_count(
        &self,
        from: Timestamp,
        to: Timestamp,
        user: Option<&str>,
        each: impl FnMut(QuarterCounts),
    ) -> Result<(), StoreError> {
        user_minutes::each(&self.0.db, from, to, user, self.log_floor(), each)
    }

    /// Since when [`Store::each_minute_count`] knows every minute: the first start of a program that counts so, or before.
    ///
    /// # Errors
    /// `Read`.
    pub fn minutes_by_user_from(&self) -> Result<Timestamp, StoreError> {
        Ok(user_minutes::complete_from(&self.0.db)?.max(self.log_floor()))
    }

    fn counts_floor(&self) -> Timestamp {
        self.0.clock.now().minus(counts::COUNTS_KEPT)
    }

    /// What is older is past the period of every log.
    pub(super) fn log_floor(&self) -> Timestamp {
        retention::log_floor(self.0.clock.now(), &self.0.shared.retention())
    }

    /// Totals of what waits now. Short.
    pub fn totals(&self) -> Totals {
        self.0.shared.totals()
    }

    /// Commits since the start, and the operations that they held: for the metrics. Short.
    pub fn commits(&self) -> (u64, u64) {
        self.0.shared.commits()
    }
}
