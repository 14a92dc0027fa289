//! What the scheduler's core is made of: tickets, lanes, and the questions and answers that pass between it and its shell.
//!
//! Always: a lane knows every recipient that RAM answers for, from its entry until its verdict is on disk.

use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use super::{
    fair::CLASSES,
    place::{Push, Way},
    queue::ClassQueue,
    site::SiteRef,
};
use crate::{
    clock::Timestamp,
    event::{AttemptDetail, Class},
    ids::{RecipientKey, UserKey},
    schedule::{limits::Feedback, pace::PaceRef},
};

/// What parts the destination from the rule in a lane's name, as the store writes it.
pub const RULE_MARK: char = '#';

/// Submitters with more on disk that a lane and class remembers; the others are read in their turn.
const BEHIND_MAX: usize = 64;

/// A waiting recipient in RAM. `P` is its message, where it is at hand.
#[derive(Debug)]
pub struct Slip<P> {
    /// Whom.
    pub key: RecipientKey,
    /// Its submitter.
    pub user: UserKey,
    /// Tries so far.
    pub attempts: u32,
    /// When it expires.
    pub expires_at: Timestamp,
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
    /// Their lane: named again in [`Core::released`](super::core::Core::released).
    pub at: LaneRef,
    /// The lane's name.
    pub lane: Arc<str>,
    /// Their class.
    pub class: Class,
    /// Who they are; never empty, all of one message.
    pub slips: Vec<Slip<P>>,
    /// What is to happen to them.
    pub turn: Turn,
}

/// What is to happen to recipients whose turn it is.
#[derive(Debug)]
pub enum Turn {
    /// They are tried; [`Core::finished`](super::core::Core::finished) is told how it ended.
    Try(Conversation),
    /// They are deferred without a try.
    HoldBack(Box<HeldBack>),
}

impl<P> Start<P> {
    /// The conversation, if they are tried.
    pub fn conversation(&self) -> Option<Conversation> {
        match &self.turn {
            Turn::Try(conversation) => Some(*conversation),
            Turn::HoldBack(_) => None,
        }
    }
}

/// A conversation that runs, with all that it counts against.
#[derive(Clone, Copy, Debug)]
pub struct Conversation {
    /// Its way.
    pub way: Way,
    pub(super) lane: LaneRef,
    pub(super) site: SiteRef,
    pub(super) path: u16,
    pub(super) pace: Option<PaceRef>,
    pub(super) class: Class,
}

/// Why recipients are deferred without a try.
#[derive(Clone, Debug)]
pub struct HeldBack {
    /// The response rule that pauses the site, and until when; `None`: the site is in trouble.
    pub pause: Option<(Arc<str>, Timestamp)>,
    /// What the site's last bad conversation met.
    pub last: Option<Arc<AttemptDetail>>,
    /// The moment for which this was decided: their next try and the end of their life are reckoned from it.
    pub now: Timestamp,
}

/// How a conversation ended.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// About the site.
    pub feedback: Feedback,
    /// What the peer said to those that were not delivered, for people.
    pub said: Option<&'a AttemptDetail>,
    /// A response rule that acts on the site.
    pub push: Option<&'a Push>,
    /// Recipients that it delivered.
    pub delivered: u32,
    /// Recipients that the peer put off.
    pub deferred: u32,
}

/// Keys of recipients. They are ours, so a cheap hash does.
pub type Keys = HashSet<RecipientKey, BuildHasherDefault<KeyHasher>>;

/// Mixes the two numbers of a [`RecipientKey`]: nobody outside chooses them.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.write_u64(u64::from(*b)));
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(23) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }
}

/// A lane whose site is asked for.
#[derive(Clone, Debug)]
pub struct Locate {
    /// Named again in [`Core::located`](super::core::Core::located).
    pub at: LaneRef,
    /// The lane's name.
    pub lane: Arc<str>,
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
    /// Rows of one message at most.
    pub per_message: usize,
    /// Recipients that are in RAM already.
    pub skip: Keys,
    pub(super) generation: u64,
}

/// What a read found.
#[derive(Debug)]
pub struct Page<P> {
    /// The rows, in the order of their due times within each submitter.
    pub slips: Vec<Slip<P>>,
    /// Nothing else is due.
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

/// A lane whose site was dead and answers again.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// Named again in [`Core::walked`](super::core::Core::walked).
    pub at: LaneRef,
    /// The lane's name.
    pub lane: Arc<str>,
}

/// The walk over a lane's recipients that wait for their site.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Back {
    /// None is wanted.
    No,
    /// It is on the list.
    Wanted,
    /// It runs; `again`: the site was dead and came back once more.
    Runs { again: bool },
    /// One has run; the next must wait until then.
    Rests { until: Timestamp, again: bool },
}

/// A lane in RAM: its queues, who is known of it, and where it goes.
#[derive(Debug)]
pub(super) struct Lane<P> {
    pub(super) name: Arc<str>,
    pub(super) queues: [ClassQueue<P>; CLASSES],
    /// Everybody of this lane that RAM answers for: queued, in flight, or waiting for the commit of a verdict.
    pub(super) known: Keys,
    /// Released while a read was under way: its page may still show them as waiting.
    pub(super) released: Keys,
    /// There is more on disk that is due, or there may be.
    pub(super) more: [bool; CLASSES],
    /// A fresh one was left on disk while a read was under way, which may not have seen it.
    pub(super) missed: [bool; CLASSES],
    /// Submitters who have more on disk, as far as is known: read for them when they have nothing left in RAM.
    pub(super) behind: [Vec<UserKey>; CLASSES],
    pub(super) wanted: [bool; CLASSES],
    pub(super) loading: [bool; CLASSES],
    pub(super) read_by: Timestamp,
    pub(super) in_flight: usize,
    pub(super) payload_bytes: usize,
    /// Its site; `None`: it rests until the answer is there.
    pub(super) site: Option<SiteRef>,
    /// The question is on the list or under way.
    pub(super) asked: bool,
    /// The answer holds until then.
    pub(super) locate_at: Timestamp,
    /// The operator lets nothing go, until this time. RAM holds no tickets then.
    pub(super) paused: Option<Timestamp>,
    /// Whether those who wait for its site are made due.
    pub(super) back: Back,
}

impl<P> Lane<P> {
    pub(super) fn new(name: Arc<str>) -> Self {
        Lane {
            name,
            queues: [(); CLASSES].map(|()| ClassQueue::default()),
            known: Keys::default(),
            released: Keys::default(),
            more: [false; CLASSES],
            missed: [false; CLASSES],
            behind: [const { Vec::new() }; CLASSES],
            wanted: [false; CLASSES],
            loading: [false; CLASSES],
            read_by: Timestamp::ZERO,
            in_flight: 0,
            payload_bytes: 0,
            site: None,
            asked: false,
            locate_at: Timestamp::ZERO,
            paused: None,
            back: Back::No,
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.queues.iter().map(ClassQueue::len).sum()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.known.is_empty()
            && self.in_flight == 0
            && !self.asked
            && self.loading == [false; CLASSES]
            && self.more == [false; CLASSES]
            && !matches!(self.back, Back::Runs { .. })
    }

    pub(super) fn is_loading(&self) -> bool {
        self.loading != [false; CLASSES]
    }

    /// A submitter's mail was left on disk.
    pub(super) fn leave_behind(&mut self, class: Class, user: UserKey) {
        let behind = &mut self.behind[class as usize];
        if behind.len() < BEHIND_MAX && !behind.contains(&user) {
            behind.push(user);
        }
    }

    pub(super) fn has_more(&self) -> bool {
        self.more != [false; CLASSES]
    }

    /// The destination in its name.
    pub(super) fn destination(&self) -> &str {
        destination(&self.name)
    }

    /// Forgets its tickets, which stay on disk: they are read again.
    pub(super) fn give_back(&mut self, forgotten: &mut impl FnMut(&Slip<P>)) {
        for (class, queue) in self.queues.iter_mut().enumerate() {
            self.more[class] |= !queue.is_empty();
            for slip in queue.drain() {
                self.known.remove(&slip.key);
                forgotten(&slip);
            }
        }
        self.payload_bytes = 0;
    }
}

/// The destination in a lane's name: what stands before the rule.
pub fn destination(lane: &str) -> &str {
    lane.split_once(RULE_MARK).map_or(lane, |(destination, _)| destination)
}
