//! What the scheduler's core is made of: tickets, lanes, and the questions and answers that pass between it and its shell.
//!
//! Always: a lane knows every recipient that RAM answers for, from its entry until its verdict is on disk.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use super::limits::{ALLOWANCE_START, LOW_TURN, TROUBLES_MAX};
use crate::{
    clock::Timestamp,
    event::{AttemptDetail, Class},
    ids::RecipientKey,
};

/// Number of classes.
pub(super) const CLASSES: usize = Class::ALL.len();

/// A waiting recipient in RAM. `P` is its message, where it is at hand.
#[derive(Debug)]
pub struct Slip<P> {
    /// Whom.
    pub key: RecipientKey,
    /// The message in RAM; `None`: read it when its turn comes.
    pub payload: Option<P>,
    /// Bytes that the payload holds: counted once, at the first recipient of a message.
    pub payload_bytes: usize,
}

/// A lane in RAM, as its attempts and reads name it. Valid until they have ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LaneRef(pub(super) u32);

/// Recipients of one message whose turn it is.
#[derive(Debug)]
pub struct Start<P> {
    /// Their lane: named again in [`Core::finished`](super::core::Core::finished) and [`Core::released`](super::core::Core::released).
    pub at: LaneRef,
    /// The lane's name.
    pub lane: Arc<str>,
    /// Their class.
    pub class: Class,
    /// Who they are; never empty, all of one message.
    pub slips: Vec<Slip<P>>,
    /// Not to be tried: the site is in trouble, and this is what its last attempt met. They are deferred with it, and
    /// [`Core::finished`](super::core::Core::finished) is not called for them.
    pub suspended: Option<Arc<AttemptDetail>>,
}

/// A part of the due queue that RAM wants.
#[derive(Debug)]
pub struct Load {
    /// Its lane.
    pub at: LaneRef,
    /// The lane's name.
    pub lane: Arc<str>,
    /// Its class.
    pub class: Class,
    /// Rows at most.
    pub limit: usize,
    /// Recipients that are in RAM already.
    pub skip: HashSet<RecipientKey>,
    pub(super) generation: u64,
}

/// What a read found.
#[derive(Debug)]
pub struct Page<P> {
    /// The rows, in the order of their due times.
    pub slips: Vec<Slip<P>>,
    /// There were fewer than the limit: nothing else is due.
    pub complete: bool,
    /// Rows were skipped that will be worth a look a little later.
    pub again: bool,
    /// When the first row behind these is due: the lane's earliest time on disk hides it while they wait.
    pub next_due: Option<Timestamp>,
}

/// A lane that the disk says is due.
#[derive(Clone, Debug)]
pub struct DueLane {
    /// Its name.
    pub lane: Arc<str>,
    /// Its waiting recipients in all.
    pub count: u64,
}

/// A lane as people see it.
#[derive(Clone, Debug)]
pub struct LaneView {
    /// Its name.
    pub lane: Arc<str>,
    /// Attempts that run.
    pub in_flight: usize,
    /// Tickets in RAM.
    pub queued: usize,
    /// There is more on disk that is due.
    pub more: bool,
    /// Site troubles since the last success.
    pub troubles: u32,
    /// The next probe, while the site is in trouble.
    pub probe_at: Option<Timestamp>,
    /// What the last attempt that found trouble met.
    pub trouble: Option<Arc<AttemptDetail>>,
}

/// A lane in RAM: its queues, who is known of it, and how its site behaved.
#[derive(Debug)]
pub(super) struct Lane<P> {
    pub(super) name: Arc<str>,
    pub(super) queues: [VecDeque<Slip<P>>; CLASSES],
    /// Everybody of this lane that RAM answers for: queued, in flight, or waiting for the commit of a verdict.
    pub(super) known: HashSet<RecipientKey>,
    /// Released while a read was under way: its page may still show them as waiting.
    pub(super) released: HashSet<RecipientKey>,
    /// There is more on disk that is due, or there may be.
    pub(super) more: [bool; CLASSES],
    /// A fresh one was left on disk while a read was under way, which may not have seen it.
    pub(super) missed: [bool; CLASSES],
    pub(super) wanted: [bool; CLASSES],
    pub(super) loading: [bool; CLASSES],
    pub(super) read_by: Timestamp,
    pub(super) in_flight: usize,
    pub(super) payload_bytes: usize,
    pub(super) allowance: usize,
    pub(super) starts_since_low: u8,
    pub(super) troubles: u32,
    pub(super) probes: u32,
    pub(super) probe_at: Timestamp,
    pub(super) trouble: Option<Arc<AttemptDetail>>,
    pub(super) rotating: bool,
}

impl<P> Lane<P> {
    pub(super) fn new(name: Arc<str>) -> Self {
        Lane {
            name,
            queues: [const { VecDeque::new() }; CLASSES],
            known: HashSet::new(),
            released: HashSet::new(),
            more: [false; CLASSES],
            missed: [false; CLASSES],
            wanted: [false; CLASSES],
            loading: [false; CLASSES],
            read_by: Timestamp::ZERO,
            in_flight: 0,
            payload_bytes: 0,
            allowance: ALLOWANCE_START,
            starts_since_low: 0,
            troubles: 0,
            probes: 0,
            probe_at: Timestamp::ZERO,
            trouble: None,
            rotating: false,
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.known.is_empty()
            && self.in_flight == 0
            && self.loading == [false; CLASSES]
            && self.more == [false; CLASSES]
    }

    pub(super) fn is_in_trouble(&self) -> bool {
        self.troubles >= TROUBLES_MAX
    }

    /// The class whose turn it is: high before normal before low, but low at least every tenth time (R5).
    pub(super) fn choose(&mut self) -> Option<Class> {
        let waits = |class: Class| !self.queues[class as usize].is_empty();
        let class = if waits(Class::Low) && self.starts_since_low + 1 >= LOW_TURN {
            Class::Low
        } else {
            Class::ALL.into_iter().find(|c| waits(*c))?
        };
        self.starts_since_low = if class == Class::Low { 0 } else { (self.starts_since_low + 1).min(LOW_TURN) };
        Some(class)
    }
}
