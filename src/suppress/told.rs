//! What became of the suppression list, for those who are told: an address came onto it, or off it.
//!
//! In: an address's row before and after a write.  Out: the change, if its stay is another one.
//! Always: a row that changes otherwise (its history is pruned, an exemption ends) tells nothing; a stay that replaces another
//! tells its coming alone.
//! Sources: cmc.md §6.2 (add, cancel, delete), §10.1.

use serde::{Deserialize, Serialize};

use super::row::{Entry, LiftedBy, Row, split_key};
use crate::clock::Timestamp;

/// Which way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListAct {
    /// It came onto the list.
    Added,
    /// It came off: later errors may put it there again.
    Lifted,
    /// It came off for good.
    Exempted,
}

impl ListAct {
    /// CMC's verb.
    pub fn cmc_word(self) -> &'static str {
        match self {
            ListAct::Added => "add",
            ListAct::Lifted => "cancel",
            ListAct::Exempted => "delete",
        }
    }
}

/// One change of the list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListChange {
    /// Its number, greater than those of all changes before.
    pub id: u64,
    /// When.
    #[serde(with = "crate::clock::millis")]
    pub at: Timestamp,
    /// Which way.
    pub act: ListAct,
    /// The address, in lower case.
    pub address: String,
    /// For whose mail; empty: for everybody's.
    pub user: String,
    /// The stay that began or ended.
    pub entry: Entry,
}

/// What a write of this row changes; its number is still to be given.
pub(super) fn change(key: &str, before: &Row, after: &Row, now: Timestamp) -> Option<ListChange> {
    let (was, is) = (before.now.as_ref(), after.now.as_ref());
    if was.map(|entry| entry.id) == is.map(|entry| entry.id) {
        return None;
    }
    let (address, user) = split_key(key);
    let told = |at, act, entry: &Entry| {
        Some(ListChange { id: 0, at, act, address: address.to_owned(), user: user.to_owned(), entry: entry.clone() })
    };
    let Some(was) = was.filter(|_| is.is_none()) else { return told(now, ListAct::Added, is?) };
    // The ended stay says how it ended.
    let ended = after.past.iter().find(|entry| entry.id == was.id).unwrap_or(was);
    match ended.lifted.as_ref() {
        Some(lifted) => {
            let act = match lifted.by {
                LiftedBy::Exemption => ListAct::Exempted,
                LiftedBy::Lift | LiftedBy::Undo | LiftedBy::WatchEnd => ListAct::Lifted,
            };
            told(lifted.at, act, ended)
        }
        None => told(now, ListAct::Lifted, ended),
    }
}
