//! A whole list that somebody brings along: read line by line, tried or taken over in batches.
//!
//! In: a file of one of the dialects.  Out: an [`ImportReport`]: what of it came onto which list, and which lines could not be used.
//! Always: what a trial counts is what the import would do to the lists as they are; each batch is taken over whole or not at
//! all, with its entry in the operation log; done again, it adds nothing twice; memory grows with the notes that are kept alone.
//! Sources: cmc.md §6.1, §8.1.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

use jiff::tz::TimeZone;
use smol::future::block_on;

use super::{
    Suppressions,
    acts::{Actor, IMPORT_BATCH_MAX, ImportRow, Imported},
    csv::{self, Item, NotAList, Reader},
    dialect::Dialect,
    row::key_of,
};
use crate::{
    smtp::address::Mailbox,
    store::StoreError,
    unsubscribe::{
        list::{Actor as ListActor, Leaver, Unsubscribes},
        row::How,
    },
};

/// Notes of each kind that a report keeps.
pub const NOTES_MAX: usize = 100;
/// Rows that a report shows as they were understood.
pub const SAMPLE_MAX: usize = 20;
/// Lines between two words of progress.
const TOLD_EVERY: u64 = 1_000;

/// A file that somebody brought.
pub struct Upload {
    /// Its name, as the operation log tells it.
    pub name: String,
    /// What is in it.
    pub octets: Vec<u8>,
    /// What it is, where its first line does not tell.
    pub dialect: Option<Dialect>,
    /// Also bounces that are no trouble of the recipient.
    pub all: bool,
    /// The zone of its times that say none.
    pub zone: TimeZone,
}

/// What became of a line that is told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NoteKind {
    /// It was taken, and a part of it was not understood.
    Odd,
    /// It was left out: no reason to stop writing to the address.
    LeftOut,
    /// It could not be used.
    Bad,
}

/// A line that is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// Its number, from 1.
    pub line: u64,
    /// What became of it.
    pub kind: NoteKind,
    /// Why, with what the file says; a stranger's words.
    pub why: String,
}

/// What became of a file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImportReport {
    /// What it is; `None`: no list, and `refused` says why.
    pub dialect: Option<Dialect>,
    /// Why nothing of it was read; empty: it was.
    pub refused: String,
    /// Addresses in it.
    pub rows: u64,
    /// Lines of which a part was not understood.
    pub odd: u64,
    /// Lines that are no reason to stop writing to their address.
    pub left_out: u64,
    /// Lines that could not be used.
    pub bad: u64,
    /// What came onto the suppression list, or would.
    pub list: Imported,
    /// Left their list, or would.
    pub unsubscribed: u64,
    /// Had left it already.
    pub had_left: u64,
    /// Are exempt now, or would be.
    pub exempted: u64,
    /// The first [`NOTES_MAX`] of each kind.
    pub notes: Vec<Note>,
    /// The first [`SAMPLE_MAX`] rows, as they were understood.
    pub sample: Vec<csv::Row>,
}

impl Imported {
    fn add(&mut self, other: Imported) {
        self.added += other.added;
        self.known += other.known;
        self.exempt += other.exempt;
        self.refused += other.refused;
    }
}

/// The keys that a trial has counted already, as their hashes: one in a thousand million files meets a wrong one.
#[derive(Default)]
pub struct Seen(HashSet<u64>, RandomState);

impl Seen {
    fn is_new(&mut self, key: &str) -> bool {
        self.0.insert(self.1.hash_one(key))
    }
}

/// Rows on their way.
#[derive(Default)]
struct Batch {
    rows: Vec<ImportRow>,
    left: Vec<Leaver>,
    exempt: Vec<(String, String)>,
}

impl Batch {
    fn len(&self) -> usize {
        self.rows.len() + self.left.len() + self.exempt.len()
    }
}

impl Suppressions {
    /// Takes a file over, or only tells what would become of it. `progress` hears how many lines were read. Blocking, long.
    ///
    /// # Errors
    /// The store's; batches before it are done.
    pub fn import_file(
        &self,
        left: &Unsubscribes,
        actor: &Actor,
        file: &Upload,
        dry: bool,
        progress: &dyn Fn(u64),
    ) -> Result<ImportReport, StoreError> {
        let mut report = ImportReport::default();
        let reader = match Reader::new(file.octets.as_slice(), file.zone.clone(), file.dialect, file.all) {
            Ok(reader) => reader,
            Err(why) => {
                report.refused = refused_words(&why);
                return Ok(report);
            }
        };
        report.dialect = Some(reader.dialect());
        let (mut batch, mut seen, mut lines) = (Batch::default(), Seen::default(), 0_u64);
        for item in reader {
            lines += 1;
            if lines.is_multiple_of(TOLD_EVERY) {
                progress(lines);
            }
            // What is read is in memory: no error can come of it.
            let item = item.map_err(|error| StoreError::Refused(error.to_string()))?;
            match item {
                Item::Row { line, row, note } => {
                    report.row(line, &row, note);
                    batch.push(*row);
                }
                Item::LeftOut { line, why } => report.note(line, NoteKind::LeftOut, why),
                Item::Bad { line, why } => report.note(line, NoteKind::Bad, why),
            }
            if batch.len() >= IMPORT_BATCH_MAX {
                self.take(left, actor, file, std::mem::take(&mut batch), dry, &mut seen, &mut report)?;
            }
        }
        self.take(left, actor, file, batch, dry, &mut seen, &mut report)?;
        progress(lines);
        Ok(report)
    }

    #[allow(clippy::too_many_arguments)] // one step of one loop
    fn take(
        &self,
        left: &Unsubscribes,
        actor: &Actor,
        file: &Upload,
        batch: Batch,
        dry: bool,
        seen: &mut Seen,
        report: &mut ImportReport,
    ) -> Result<(), StoreError> {
        let Batch { rows, left: leavers, exempt } = batch;
        if dry {
            report.list.add(self.would_import(&rows, seen)?);
            for leaver in &leavers {
                let known = left.row_of(leaver.address.as_str(), &leaver.list)?.is_some();
                let is_new = seen.is_new(&crate::unsubscribe::row::key(leaver.address.as_str(), &leaver.list));
                *(if known || !is_new { &mut report.had_left } else { &mut report.unsubscribed }) += 1;
            }
            report.exempted += exempt.len() as u64;
            return Ok(());
        }
        if !rows.is_empty() {
            report.list.add(block_on(self.import(actor, &file.name, rows))?);
        }
        if !leavers.is_empty() {
            let by = ListActor { who: actor.who.clone(), from: actor.from.clone() };
            let came = block_on(left.add_many(&leavers, How::Import, &by))? as u64;
            report.unsubscribed += came;
            report.had_left += leavers.len() as u64 - came;
        }
        if !exempt.is_empty() {
            block_on(self.exempt_many(actor, &exempt))?;
            report.exempted += exempt.len() as u64;
        }
        Ok(())
    }

    /// What would become of a batch, by the rules of [`Suppressions::import`]; `seen`: what earlier batches of the file hold.
    ///
    /// # Errors
    /// The store's.
    pub fn would_import(&self, rows: &[ImportRow], seen: &mut Seen) -> Result<Imported, StoreError> {
        let now = self.0.clock.now();
        let mut out = Imported::default();
        for row in rows {
            if row.until.is_some_and(|until| until <= now) || Mailbox::parse(row.address.trim()).is_err() {
                out.refused += 1;
                continue;
            }
            let known = self.get(&row.address, &row.user)?;
            let entry = known.as_ref().and_then(|known| known.entry.as_ref());
            let outranked = row.cause.is_will() && entry.is_some_and(|entry| !entry.cause.is_will());
            if (entry.is_some() && !outranked) || !seen.is_new(&key_of(&row.address, &row.user)) {
                out.known += 1;
            } else if known.as_ref().is_some_and(|known| known.exempt.is_some()) && !row.cause.is_will() {
                out.exempt += 1;
            } else {
                out.added += 1;
            }
        }
        Ok(out)
    }
}

impl Batch {
    fn push(&mut self, row: csv::Row) {
        if row.exempt {
            self.exempt.push((row.address, row.user));
            return;
        }
        if !row.list.is_empty()
            && let Ok(address) = Mailbox::parse(&row.address)
        {
            self.left.push(Leaver { address, list: row.list, created: row.since });
            return;
        }
        let csv::Row { address, cause, class, occurred, since, until, user, reason, .. } = row;
        self.rows.push(ImportRow { address, user, cause, class, occurred, reason, since, until });
    }
}

impl ImportReport {
    fn row(&mut self, line: u64, row: &csv::Row, note: String) {
        self.rows += 1;
        if self.sample.len() < SAMPLE_MAX {
            self.sample.push(row.clone());
        }
        if !note.is_empty() {
            self.note(line, NoteKind::Odd, note);
        }
    }

    fn note(&mut self, line: u64, kind: NoteKind, why: String) {
        let count = match kind {
            NoteKind::Odd => &mut self.odd,
            NoteKind::LeftOut => &mut self.left_out,
            NoteKind::Bad => &mut self.bad,
        };
        *count += 1;
        if *count <= NOTES_MAX as u64 {
            self.notes.push(Note { line, kind, why });
        }
    }
}

/// Why a file is no list, without the command line's option.
fn refused_words(why: &NotAList) -> String {
    match why {
        NotAList::Unknown(line) => format!("no column of the first line is an address: {line:?}"),
        NotAList::Io(_) | NotAList::Empty | NotAList::Utf16 => why.to_string(),
    }
}
