//! Reports on their way to the disk: what each of them becomes, and the transactions that keep it.
//!
//! In: files.  Out: memos, and what became of each report.
//! Always: what a call answers as kept is on disk; see [`super`] for what a crash leaves.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError},
};

use super::{
    Became, Keeper, Kind, Memory, Origin, Taken, forget, is_watched,
    kept::{digest_of, fingerprint, kept_failure, kept_report},
};
use crate::{
    clock::Timestamp,
    config::Config,
    dmarc::{
        read,
        report::{Aggregate, Failure, Found, Head, NoReport},
        row::{self, By, KeptReport, KeptRow},
    },
    store::{MemoChange, MemoKind, StoreError},
};

/// A report that is on its way to the disk.
pub(super) struct Waiting {
    place: usize,
    report: KeptReport,
    key: String,
    day: u32,
    pieces: Vec<Vec<u8>>,
    octets: usize,
}

/// Files on their way to the disk.
pub struct Batch<'k, M: Memory> {
    pub(super) keeper: &'k Keeper<M>,
    pub(super) origin: Origin,
    pub(super) now: Timestamp,
    pub(super) oldest: u32,
    pub(super) config: Arc<Config>,
    pub(super) files: Vec<Vec<Taken>>,
    pub(super) current: Vec<Taken>,
    /// The report whose next piece may come; with the number of pieces that are on disk already.
    pub(super) open: Option<(Waiting, u32)>,
    pub(super) waiting: Vec<Ready>,
    pub(super) octets: usize,
    pub(super) failed: Option<StoreError>,
}

/// What is ready for the disk.
pub(super) enum Ready {
    Report(usize, usize, Box<Waiting>, u32),
    Failure(usize, usize, MemoChange),
}

impl<M: Memory> Batch<'_, M> {
    /// Adds a file. What was added is on disk once [`Batch::finish`] returns.
    ///
    /// # Errors
    /// There is no report in it.
    pub fn add(&mut self, raw: &[u8]) -> Result<(), NoReport> {
        self.current = Vec::new();
        let counted = read::read(raw, &mut |found| self.found(found));
        // Its last piece always comes: a report is read to its end before the first is handed over.
        self.open = None;
        let taken = std::mem::take(&mut self.current);
        self.files.push(taken);
        counted.map(drop)
    }

    /// Writes what is left; answers what became of each file's reports, in their order.
    ///
    /// # Errors
    /// The store's: what the last calls added is not kept then.
    pub fn finish(mut self) -> Result<Vec<Vec<Taken>>, StoreError> {
        self.flush();
        match self.failed {
            Some(error) => Err(error),
            None => Ok(self.files),
        }
    }

    pub(super) fn found(&mut self, found: Found) {
        if self.failed.is_some() {
            return;
        }
        match found {
            Found::Aggregate(piece) => self.aggregate(piece),
            Found::Failure(failure) => self.failure(&failure),
            Found::Tls(json) => match (self.keeper.take_tls)(json, &self.origin) {
                Ok(taken) => self.current.push(taken),
                Err(error) => self.failed = Some(error),
            },
        }
        if self.octets > self.keeper.waiting_max.1 || self.memos() > self.keeper.waiting_max.0 {
            self.flush();
        }
    }

    fn memos(&self) -> usize {
        self.waiting
            .iter()
            .map(|ready| match ready {
                Ready::Report(_, _, waiting, _) => 1 + waiting.pieces.len(),
                Ready::Failure(..) => 1,
            })
            .sum()
    }

    fn aggregate(&mut self, piece: Aggregate) {
        if piece.first_row == 0 {
            self.open = self.begin(&piece.head);
        }
        let Some((mut waiting, written)) = self.open.take() else { return };
        let rows: Vec<KeptRow> = piece.rows.into_iter().map(KeptRow::of).collect();
        for row in &rows {
            waiting.report.tally.add_row(row);
        }
        let packed = row::pieces(&rows);
        let octets: usize = packed.iter().map(Vec::len).sum();
        waiting.report.rows += rows.len() as u64;
        waiting.octets += octets;
        waiting.pieces.extend(packed);
        let report = &waiting.report;
        self.keeper.count_octets(report.by, report.mark, &report.from, octets as u64, self.now);
        if !piece.is_last {
            // Ahead of its last rows: nobody counts these before the report itself is there.
            let (memos_max, octets_max) = self.keeper.waiting_max;
            let large = waiting.octets > octets_max / 2 || waiting.pieces.len() > memos_max / 2;
            let ahead = if large { self.write_ahead(waiting, written) } else { Ok((waiting, written)) };
            self.open = ahead.map_err(|error| self.failed = Some(error)).ok();
            return;
        }
        self.octets += waiting.octets;
        let place = waiting.place;
        self.waiting.push(Ready::Report(self.files.len(), place, Box::new(waiting), written));
    }

    /// The report of this head, unless it is refused or known, which is noted.
    fn begin(&mut self, head: &Head) -> Option<(Waiting, u32)> {
        let report = kept_report(head, self.origin.by, (self.origin.weigh)(&head.organization, &head.email), self.now);
        let place = self.current.len();
        self.current.push(Taken {
            kind: Kind::Aggregate,
            became: Became::Refused,
            domain: report.domain.clone(),
            organization: report.organization.clone(),
            report_id: report.report_id.clone(),
            rows: head.totals.rows,
            mark: report.mark,
            why: String::new(),
        });
        let day = Timestamp::from_millis(head.begin_seconds.saturating_mul(1_000)).day();
        let key = row::report_key(&report.domain, day, &fingerprint(head));
        match self.judge(&report, day, &key, head.totals.rows) {
            Ok(None) => Some((Waiting { place, report, key, day, pieces: Vec::new(), octets: 0 }, 0)),
            Ok(Some(became)) => {
                self.current[place].became = became;
                None
            }
            Err(why) => {
                self.keeper.metrics.dmarc_reports_refused.one();
                self.current[place].why = why;
                None
            }
        }
    }

    /// Why a report about a domain is not taken, whatever it says.
    fn is_about_ours(&self, domain: &str) -> Result<(), String> {
        if domain.is_empty() || domain.len() > DOMAIN_MAX {
            return Err("it names no domain that it is about".to_owned());
        }
        if self.origin.by == By::Mail && !is_watched(&self.config, domain) {
            return Err(format!("{domain} is no domain of this server's"));
        }
        Ok(())
    }

    fn judge(&mut self, report: &KeptReport, day: u32, key: &str, rows: u64) -> Result<Option<Became>, String> {
        self.is_about_ours(&report.domain)?;
        if day < self.oldest || day > self.now.day() + 1 {
            let days = self.now.day().saturating_sub(self.oldest);
            return Err(format!("its period ({}) is not within the last {days} days", report.begin));
        }
        match self.keeper.known(key) {
            Ok(Some(known)) if known.mark.worth() >= report.mark.worth() => return Ok(Some(Became::Known)),
            Ok(_) => {}
            Err(error) => {
                self.failed = Some(error);
                return Err("the store could not be read".into());
            }
        }
        self.keeper.admit(report.by, report.mark, &report.from, rows, self.now).map(|()| None)
    }

    fn failure(&mut self, failure: &Failure) {
        let weighed = (self.origin.weigh)(&failure.reporter, "");
        let mark = weighed.mark;
        let kept = kept_failure(failure, weighed, self.now);
        let day = Timestamp::from_rfc3339(&kept.at).map_or(self.now.day(), Timestamp::day);
        let day = if day < self.oldest || day > self.now.day() + 1 { self.now.day() } else { day };
        let place = self.current.len();
        let mut taken = Taken {
            kind: Kind::Failure,
            became: Became::Refused,
            domain: kept.domain.clone(),
            organization: kept.reporter.clone(),
            report_id: kept.message_id.clone(),
            rows: 1,
            mark,
            why: String::new(),
        };
        let said = [&kept.reporter, &kept.source, &kept.message_id, &kept.at, &kept.header_from, &kept.failure];
        let key = row::report_key(&kept.domain, day, &digest_of(said.into_iter().map(String::as_str)));
        let admitted = match self.is_about_ours(&kept.domain) {
            Err(why) => Err(why),
            Ok(()) => match self.keeper.memory.memo(MemoKind::DmarcFailures, &key) {
                Ok(Some(_)) => Ok(false),
                Ok(None) => self.keeper.admit_failure(self.origin.by, mark, self.now).map(|()| true),
                Err(error) => {
                    self.failed = Some(error);
                    return;
                }
            },
        };
        match admitted {
            Ok(true) => {
                let value = serde_json::to_vec(&kept).expect("texts have a form in JSON");
                self.octets += value.len();
                let change = MemoChange { kind: MemoKind::DmarcFailures, key, value: Some(value) };
                self.waiting.push(Ready::Failure(self.files.len(), place, change));
            }
            Ok(false) => taken.became = Became::Known,
            Err(why) => {
                self.keeper.metrics.dmarc_reports_refused.one();
                taken.why = why;
            }
        }
        self.current.push(taken);
    }

    /// Writes the pieces that there are of a large report.
    pub(super) fn write_ahead(&mut self, mut waiting: Waiting, written: u32) -> Result<(Waiting, u32), StoreError> {
        let pieces = std::mem::take(&mut waiting.pieces);
        let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        self.keeper.put_all(piece_changes(&waiting, pieces, written))?;
        waiting.octets = 0;
        Ok((waiting, written + count))
    }

    /// Writes what waits.
    fn flush(&mut self) {
        let ready = std::mem::take(&mut self.waiting);
        self.octets = 0;
        if ready.is_empty() || self.failed.is_some() {
            return;
        }
        if let Err(error) = self.write(ready) {
            self.failed = Some(error);
        }
    }

    fn write(&mut self, ready: Vec<Ready>) -> Result<(), StoreError> {
        let keeper = self.keeper;
        let _writing = keeper.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changes: Vec<MemoChange> = Vec::new();
        let mut outcomes: Vec<(usize, usize, Became)> = Vec::new();
        let mut afterwards: Vec<MemoChange> = Vec::new();
        // The reports of this round, with the groups of their rows: of two copies, the second has the first's rows.
        let mut here: HashMap<String, String> = HashMap::new();
        let mut failures: HashSet<String> = HashSet::new();
        for one in ready {
            match one {
                Ready::Failure(file, place, change) => {
                    let known = keeper.memory.memo(MemoKind::DmarcFailures, &change.key)?.is_some();
                    if known || !failures.insert(change.key.clone()) {
                        outcomes.push((file, place, Became::Known));
                        continue;
                    }
                    outcomes.push((file, place, Became::New));
                    changes.push(change);
                }
                Ready::Report(file, place, mut waiting, written) => {
                    let known = keeper.known(&waiting.key)?;
                    let is_known =
                        known.as_ref().is_some_and(|known| known.mark.worth() >= waiting.report.mark.worth());
                    let twin = here.get(&waiting.key);
                    if is_known || twin.is_some() {
                        outcomes.push((file, place, Became::Known));
                        let standing = twin.or(known.as_ref().map(|known| &known.group));
                        if written > 0 && standing != Some(&waiting.report.group) {
                            afterwards.extend((0..written).map(|piece| forget_piece(&waiting, piece)));
                        }
                        continue;
                    }
                    here.insert(waiting.key.clone(), waiting.report.group.clone());
                    outcomes.push((file, place, if known.is_some() { Became::Better } else { Became::New }));
                    let pieces = std::mem::take(&mut waiting.pieces);
                    waiting.report.pieces = written + u32::try_from(pieces.len()).unwrap_or(u32::MAX);
                    if let Some(old) = known.filter(|old| old.group != waiting.report.group) {
                        let domain = &waiting.report.domain;
                        let old = (0..old.pieces).map(|n| row::piece_key(domain, waiting.day, &old.group, n));
                        afterwards.extend(old.map(|key| forget(MemoKind::DmarcRecords, key)));
                    }
                    let value = serde_json::to_vec(&waiting.report).expect("texts and numbers have a form in JSON");
                    changes.extend(piece_changes(&waiting, pieces, written));
                    let key = waiting.key.clone();
                    changes.push(MemoChange { kind: MemoKind::DmarcReports, key, value: Some(value) });
                    keeper.metrics.dmarc_rows.add(waiting.report.rows);
                }
            }
        }
        // In this order: should it need several transactions, each report comes with or behind its last rows.
        keeper.put_all(changes)?;
        // What nobody counts any more: a crash before this leaves it to the pruning.
        keeper.put_all(afterwards)?;
        for (file, place, became) in outcomes {
            let taken = match self.files.get_mut(file) {
                Some(taken) => taken.get_mut(place),
                None => self.current.get_mut(place),
            };
            if let Some(taken) = taken {
                taken.became = became;
            }
            if matches!(became, Became::New | Became::Better) {
                keeper.metrics.dmarc_reports_received.one();
            }
        }
        Ok(())
    }
}

/// Octets of a domain's name.
const DOMAIN_MAX: usize = 253;

fn piece_changes(waiting: &Waiting, pieces: Vec<Vec<u8>>, first: u32) -> Vec<MemoChange> {
    let (domain, group) = (&waiting.report.domain, &waiting.report.group);
    let change = |(n, value)| MemoChange {
        kind: MemoKind::DmarcRecords,
        key: row::piece_key(domain, waiting.day, group, n),
        value: Some(value),
    };
    (first..).zip(pieces).map(change).collect()
}

fn forget_piece(waiting: &Waiting, piece: u32) -> MemoChange {
    forget(MemoKind::DmarcRecords, row::piece_key(&waiting.report.domain, waiting.day, &waiting.report.group, piece))
}
