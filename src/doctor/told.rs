//! What changed between two checks of a domain, for those who are told.
//!
//! In: two reports.  Out: changes, each of one finding.
//! Always: a finding is known by its check and its subject; what a check could not find out changes nothing.

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, store::MemoChange};

/// One finding that came, went, or became better or worse.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DomainChange {
    /// Its number, greater than those of all changes before.
    pub id: u64,
    /// When it was seen.
    #[serde(with = "crate::clock::millis")]
    pub at: Timestamp,
    /// The domain.
    pub domain: String,
    /// The check, a stable word such as `spf.lookups`.
    pub check: String,
    /// What it is about: a record's name, an address.
    pub subject: String,
    /// The level before: `ok`, `note`, `warning`, `error`; empty: there was no such finding.
    pub was: String,
    /// The level now; empty: the finding has gone.
    pub is: String,
    /// What was seen, in English.
    pub seen: String,
    /// The same in Japanese.
    pub seen_ja: String,
    /// What to do, in English.
    pub fix: String,
    /// The same in Japanese.
    pub fix_ja: String,
    /// Records to publish, as lines of a zone file.
    pub records: Vec<String>,
}

impl DomainChange {
    /// It is worse than before: something to act on.
    pub fn is_worse(&self) -> bool {
        rank(&self.is) > rank(&self.was)
    }
}

/// How bad a level is; gone is as good as can be.
fn rank(level: &str) -> u8 {
    match level {
        "error" => 3,
        "warning" => 2,
        "note" => 1,
        _ => 0,
    }
}

/// Who is told of changes.
pub trait Tell: Send + Sync + 'static {
    /// Whether anybody listens now.
    fn wants(&self) -> bool;
    /// Held from the call of [`Tell::rows`] until its rows are written: numbers grow in the order of the commits.
    fn turn(&self) -> &smol::lock::Mutex<()>;
    /// What to write with these changes, in the same transaction. Their numbers are still to be given.
    fn rows(&self, changes: Vec<DomainChange>) -> Vec<MemoChange>;
}
