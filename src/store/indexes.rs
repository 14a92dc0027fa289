//! The day-bucketed indexes of the log: recipient, Message-ID, X-Api-Data.
//!
//! In: a text, a range of numbers.  Out: numbers of events or messages, newest first.
//! Always: one seek a day, and as many steps as numbers are taken; a checksum stands for the text, so that whoever reads the row
//! compares it.

use std::sync::Arc;

use redb::{ReadOnlyTable, ReadableTable};

use super::{
    fault::Reading,
    rows::number_time,
    tables::{self, IndexKey, index_hash, index_key},
    types::StoreError,
};

pub(super) type Index = Arc<ReadOnlyTable<&'static IndexKey, ()>>;

/// The numbers that a day-bucketed index holds for one text, newest first: one seek a day.
pub(super) struct IndexNumbers {
    index: Index,
    hash: u32,
    numbers: std::ops::Range<u64>,
    /// Days that are still to be looked at, the newest last.
    days: std::ops::RangeInclusive<u32>,
    today: Option<redb::Range<'static, &'static IndexKey, ()>>,
}

impl IndexNumbers {
    pub(super) fn new(index: &Index, text: &str, numbers: std::ops::Range<u64>) -> Result<Self, StoreError> {
        let day_of = |key: &IndexKey| tables::read_index_key(key).0;
        let first = index.first().reading()?.map(|(key, _)| day_of(key.value()));
        let last = index.last().reading()?.map(|(key, _)| day_of(key.value()));
        // The table's own first and last day bound the loop, whatever was asked.
        #[allow(clippy::reversed_empty_ranges)]
        let days = match (first, last) {
            (Some(first), Some(last)) => {
                first.max(number_time(numbers.start).day())..=last.min(number_time(numbers.end.saturating_sub(1)).day())
            }
            _ => 1..=0,
        };
        Ok(IndexNumbers { index: index.clone(), hash: index_hash(text), numbers, days, today: None })
    }

    /// The newest `limit` numbers.
    pub(super) fn newest(index: &Index, text: &str, limit: usize) -> Result<Vec<u64>, StoreError> {
        IndexNumbers::new(index, text, 0..u64::MAX)?.take(limit).collect()
    }
}

impl Iterator for IndexNumbers {
    type Item = Result<u64, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(today) = &mut self.today {
                match today.next_back() {
                    Some(Ok((key, _))) => return Some(Ok(tables::read_index_key(key.value()).2)),
                    Some(Err(e)) => return Some(Err(e).reading()),
                    None => self.today = None,
                }
            }
            let day = self.days.next_back()?;
            let start = index_key(day, self.hash, self.numbers.start);
            let end = index_key(day, self.hash, self.numbers.end);
            match self.index.range::<&IndexKey>(&start..&end).reading() {
                Ok(range) => self.today = Some(range),
                Err(e) => return Some(Err(e)),
            }
        }
    }
}
