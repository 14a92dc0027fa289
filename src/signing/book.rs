//! The keys in RAM as they are on disk, and how a change of some of them is written.
//!
//! In: keys in their next stages.  Out: memos to write, and what is to be put in force and told then.
//! Always: a private key goes with its row, and is left out once the key has retired.

use std::collections::BTreeMap;

use super::{
    life::{Life, Stage, Told},
    memo::{self, Kept},
    witness::Seen,
};
use crate::{clock::Timestamp, dkim::public::Algorithm, store::MemoChange};

/// All keys of a domain and algorithm.
pub(super) type Family = (String, Algorithm);

#[derive(Default)]
pub(super) struct Book {
    /// By the memo's key.
    pub(super) keys: BTreeMap<String, Entry>,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) kept: Kept,
    pub(super) looked_at: Option<Timestamp>,
    pub(super) seen: Seen,
}

impl Entry {
    pub(super) fn may_be_looked_at(&self) -> bool {
        self.kept.life.next_look(Timestamp::ZERO).is_some()
    }

    /// When it is to be looked at next.
    pub(super) fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let every = self.kept.life.next_look(now)?;
        // A key that has moved on since it was looked at begins anew.
        Some(self.looked_at.map_or(now, |at| at.plus(every)).min(now.plus(every)))
    }
}

impl Book {
    pub(super) fn family(&self, (domain, algorithm): &Family) -> Vec<Life> {
        // The rows of a domain stand together.
        let rows = self.keys.range(format!("{domain} ")..).map(|(_, entry)| &entry.kept.life);
        rows.take_while(|life| life.domain == *domain).filter(|life| life.algorithm() == *algorithm).cloned().collect()
    }
}

/// What is to be written, then put in force, then told.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) changes: Vec<MemoChange>,
    pub(super) put: Vec<(String, Kept)>,
    pub(super) gone: Vec<String>,
    pub(super) told: Vec<Told>,
}

impl Pending {
    /// Adds what became of a family; `fresh`: keys that the book does not have yet.
    pub(super) fn add(&mut self, book: &Book, family: &Family, lives: Vec<Life>, told: Vec<Told>, fresh: Vec<Kept>) {
        let before = book.family(family);
        for life in &before {
            if !lives.iter().any(|l| memo::memo_key(l) == memo::memo_key(life)) {
                let key = memo::memo_key(life);
                self.changes.push(memo::forget(&key));
                self.gone.push(key);
            }
        }
        for life in lives {
            if before.contains(&life) {
                continue;
            }
            let key = memo::memo_key(&life);
            let made = fresh.iter().find(|kept| memo::memo_key(&kept.life) == key);
            let private = made.map_or_else(
                || book.keys.get(&key).and_then(|entry| entry.kept.private.clone()),
                |kept| kept.private.clone(),
            );
            // A key that has retired is needed by nobody, least of all its private half.
            let private = private.filter(|_| life.stage != Stage::Retired);
            let kept = Kept { life, private };
            self.changes.push(memo::put(&kept));
            self.put.push((key, kept));
        }
        self.told.extend(told);
    }
}
