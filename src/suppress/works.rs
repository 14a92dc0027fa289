//! What takes longer than a page may: trials of other settings, imports, undoes. They run by themselves; people look how far they
//! are, and what came of them.
//!
//! In: what to do, and for whom.  Out: a [`Work`] with its progress and, in the end, its [`Outcome`].
//! Always: one look through the log or a file and one act run at once, a second is refused with the first one's id; the last
//! [`KEPT_MAX`] works and the last [`UPLOADS_MAX`] files are kept in RAM for [`KEPT`], not beyond the process; an act is done in
//! steps that are each on disk, so that what a stop cuts off can be done again.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use smol::future::block_on;

use super::{
    Suppressions,
    acts::{Actor, Ended, Undone},
    count::UndoPreview,
    import::{ImportReport, Upload},
    what_if::{Answer, WhatIf},
};
use crate::{clock::Timestamp, store::StoreError, unsubscribe::list::Unsubscribes};

/// Works that are kept, running ones included.
pub const KEPT_MAX: usize = 8;
/// Files of theirs that are kept, each of [`UPLOAD_MAX`] octets at most.
pub const UPLOADS_MAX: usize = 2;
/// Octets of a file at most; longer lists are for the command line, which reads them as it goes.
pub const UPLOAD_MAX: usize = 8 << 20;
/// How long a work is kept.
pub const KEPT: Duration = Duration::from_secs(3_600);

/// What to do.
#[derive(Clone)]
pub enum What {
    /// Try other settings on the stored log.
    Try(WhatIf),
    /// Tell what would become of a file.
    Check(Arc<Upload>),
    /// Take a file over.
    Import(Arc<Upload>),
    /// Count what the undo of an incident would lift.
    Count(String),
    /// Undo an incident.
    Undo(String),
    /// The errors that a held place holds count.
    Release(String),
    /// They are forgotten.
    Discard(String),
}

/// What a work is, without its load.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// See [`What::Try`].
    Try(WhatIf),
    /// See [`What::Check`]: the file's name.
    Check(String),
    /// See [`What::Import`]: the file's name.
    Import(String),
    /// See [`What::Count`]: the incident.
    Count(String),
    /// See [`What::Undo`]: the incident.
    Undo(String),
    /// See [`What::Release`]: the incident.
    Release(String),
    /// See [`What::Discard`]: the incident.
    Discard(String),
}

impl Kind {
    /// It changes lists.
    pub fn is_act(&self) -> bool {
        match self {
            Kind::Import(_) | Kind::Undo(_) | Kind::Release(_) | Kind::Discard(_) => true,
            Kind::Try(_) | Kind::Check(_) | Kind::Count(_) => false,
        }
    }
}

/// What came of a work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// What other settings would have done.
    Tried(Box<Answer>),
    /// What would become of a file, or did.
    Read(Box<ImportReport>),
    /// What an undo would do; `None`: there is no such incident.
    Counted(Option<UndoPreview>),
    /// What an undo did; `None`: there is no such incident.
    Undone(Option<Undone>),
    /// What the end of a held place did; `None`: no such place is held.
    Ended(Option<Ended>),
    /// It failed; steps before that are done.
    Failed(String),
}

/// A work under way, or done.
pub struct Work {
    /// Its id, 13 letters.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// For whom.
    pub actor: Actor,
    /// Since when.
    pub started: Timestamp,
    looked: AtomicU64,
    stop: AtomicBool,
    upload: Mutex<Option<Arc<Upload>>>,
    end: Mutex<Option<(Timestamp, Arc<Outcome>)>>,
    ended: Condvar,
}

impl Work {
    /// Events, lines or rows that were looked at so far.
    pub fn looked(&self) -> u64 {
        self.looked.load(Ordering::Relaxed)
    }

    /// What came of it, and when; `None`: it runs.
    pub fn outcome(&self) -> Option<(Timestamp, Arc<Outcome>)> {
        locked(&self.end).clone()
    }

    /// Its file, while that is kept.
    pub fn upload(&self) -> Option<Arc<Upload>> {
        locked(&self.upload).clone()
    }

    /// A trial ends at its next step; nothing else minds.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits for its end, so long at most; true: it has ended.
    pub fn wait(&self, at_most: Duration) -> bool {
        let end = locked(&self.end);
        let waited = self.ended.wait_timeout_while(end, at_most, |end| end.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_some()
    }

    fn finish(&self, at: Timestamp, outcome: Outcome) {
        let mut end = locked(&self.end);
        if end.is_none() {
            *end = Some((at, Arc::new(outcome)));
        }
        self.ended.notify_all();
    }
}

/// Whoever panicked while holding it left it as it was: each of these is written in one step.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The works of a room; newest last.
#[derive(Default)]
pub(super) struct Works(Mutex<VecDeque<Arc<Work>>>);

/// Another of its sort runs: its id.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("another one runs: {0}")]
pub struct Busy(pub String);

/// A work that panicked ends all the same.
struct Ending {
    room: Suppressions,
    work: Arc<Work>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.work.finish(self.room.0.clock.now(), Outcome::Failed("it broke off: see the daemon's log".to_owned()));
    }
}

impl Suppressions {
    /// Begins a work. `left`: the list for what of a file is no suppression.
    ///
    /// # Errors
    /// One of its sort runs already.
    pub fn begin(&self, actor: &Actor, what: What, left: &Unsubscribes) -> Result<Arc<Work>, Busy> {
        let now = self.0.clock.now();
        let (kind, upload) = match &what {
            What::Try(asked) => (Kind::Try(asked.clone()), None),
            What::Check(file) => (Kind::Check(file.name.clone()), Some(file.clone())),
            What::Import(file) => (Kind::Import(file.name.clone()), None),
            What::Count(id) => (Kind::Count(id.clone()), None),
            What::Undo(id) => (Kind::Undo(id.clone()), None),
            What::Release(id) => (Kind::Release(id.clone()), None),
            What::Discard(id) => (Kind::Discard(id.clone()), None),
        };
        let work = Arc::new(Work {
            id: self.0.memory.new_id(now).to_string(),
            kind,
            actor: actor.clone(),
            started: now,
            looked: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            upload: Mutex::new(upload),
            end: Mutex::new(None),
            ended: Condvar::new(),
        });
        self.0.works.keep(&work, now)?;
        let (room, left, this) = (self.clone(), left.clone(), work.clone());
        smol::unblock(move || {
            let ending = Ending { room: room.clone(), work: this.clone() };
            let outcome = room.run(&this, what, &left).unwrap_or_else(|error| {
                log::warn!("suppression what=\"a long act or look failed\" kind={:?} error=\"{error}\"", this.kind);
                Outcome::Failed(error.to_string())
            });
            this.finish(room.0.clock.now(), outcome);
            drop(ending);
        })
        .detach();
        Ok(work)
    }

    fn run(&self, work: &Work, what: What, left: &Unsubscribes) -> Result<Outcome, StoreError> {
        let looked = |count: u64| work.looked.store(count, Ordering::Relaxed);
        let actor = &work.actor;
        Ok(match what {
            What::Try(asked) => {
                let goes_on = |count: u64| {
                    looked(count);
                    !work.stop.load(Ordering::Relaxed)
                };
                Outcome::Tried(Box::new(self.what_if(&asked, &goes_on)?))
            }
            What::Check(file) => Outcome::Read(Box::new(self.import_file(left, actor, &file, true, &looked)?)),
            What::Import(file) => Outcome::Read(Box::new(self.import_file(left, actor, &file, false, &looked)?)),
            What::Count(id) => Outcome::Counted(self.undo_preview(&id, None)?),
            What::Undo(id) => Outcome::Undone(block_on(self.undo_incident(actor, &id))?),
            What::Release(id) => Outcome::Ended(block_on(self.release(actor, &id))?),
            What::Discard(id) => Outcome::Ended(block_on(self.discard(actor, &id))?),
        })
    }

    /// The daemon stops: trials end at their next step. An act goes on as long as the store does; its steps are on disk.
    pub(super) fn stop_works(&self) {
        self.works().iter().for_each(|work| work.stop());
    }

    /// A work that is kept.
    pub fn work(&self, id: &str) -> Option<Arc<Work>> {
        self.works().into_iter().find(|work| work.id == id)
    }

    /// Those that are kept, newest first.
    pub fn works(&self) -> Vec<Arc<Work>> {
        self.0.works.all(self.0.clock.now())
    }
}

impl Works {
    /// Keeps a new one, unless one of its sort runs; older ones go.
    fn keep(&self, work: &Arc<Work>, now: Timestamp) -> Result<(), Busy> {
        let mut all = locked(&self.0);
        forget(&mut all, now);
        let runs = all.iter().find(|w| w.kind.is_act() == work.kind.is_act() && w.outcome().is_none());
        if let Some(runs) = runs {
            return Err(Busy(runs.id.clone()));
        }
        while all.len() >= KEPT_MAX {
            let Some(at) = all.iter().position(|work| work.outcome().is_some()) else { break };
            all.remove(at);
        }
        all.push_back(work.clone());
        for old in all.iter().rev().filter(|work| work.upload().is_some()).skip(UPLOADS_MAX) {
            *locked(&old.upload) = None;
        }
        Ok(())
    }

    fn all(&self, now: Timestamp) -> Vec<Arc<Work>> {
        let mut all = locked(&self.0);
        forget(&mut all, now);
        all.iter().rev().cloned().collect()
    }
}

fn forget(all: &mut VecDeque<Arc<Work>>, now: Timestamp) {
    all.retain(|work| work.outcome().is_none_or(|(at, _)| at.plus(KEPT) > now));
}
