//! The scheduler's mind: which recipients are tried next, and which part of the due queue RAM holds.
//!
//! In: fresh tickets, pages of the due queue, ends of attempts, the time.  Out: [`Start`]s, [`Load`]s and the next wake-up.
//! Always: a recipient is in RAM at most once, from its entry until its verdict is on disk, so that it is never tried twice
//! at a time; ready lanes take turns, so that a slow or dead destination delays nobody (P6); the window is bounded (P5), what
//! does not fit is only marked as "more on disk"; within a lane high goes first and every tenth start is low's (R5).
//! Sources: architecture.md "Due index" and "Connections"; algorithms F2 and F14.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    lane::{CLASSES, Lane},
    limits::{
        ALLOWANCE_START, Feedback, LOAD_MAX, LOW_WATER, Limits, PROBE_PATIENCE, PROBE_WAIT_MAX, ROW_BYTES,
        SUSPENSIONS_PER_SECOND, TICKET_BYTES, probe_wait,
    },
};
use crate::{
    clock::Timestamp,
    event::{AttemptDetail, Class},
    ids::{MessageId, RecipientKey},
};

pub use super::lane::{DueLane, LaneRef, LaneView, Load, Page, Slip, Start};

/// The disk is asked for due lanes at most this often; in between, new due times only move the next question.
const SCAN_WAIT_MIN: Duration = Duration::from_secs(1);
/// The disk is asked at least this often, whatever RAM believes.
const SCAN_WAIT_MAX: Duration = Duration::from_secs(60);
/// A lane whose waiting recipients all seem to be in RAM is read anyhow after this time.
const LANE_READ_WAIT_MAX: Duration = Duration::from_secs(10);
/// Unknown lanes that one scan may find.
const SCAN_LANES: usize = 1_000;
/// Ready lanes looked at in one [`Core::poll`] before the rest waits for [`LOOK_AGAIN`].
const LOOK_MAX: usize = 64;
/// When lanes were left unlooked at.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// A read that failed, or skipped messages that are about to come by themselves, is repeated after this time.
const READ_AGAIN: Duration = Duration::from_secs(2);

/// What a ready lane may do now.
enum Turn {
    Start,
    Suspend,
    /// Something that will happen puts it back: a ticket, a page, an end.
    Rest,
    /// It goes on at this time.
    WakeAt(Timestamp),
    /// Others' connections are in its way.
    Later,
}

/// The scheduler's state. `P` is what a queued ticket keeps of its message.
#[derive(Debug)]
pub struct Core<P> {
    limits: Limits,
    lanes: Vec<Option<Lane<P>>>,
    free: Vec<LaneRef>,
    by_name: HashMap<Arc<str>, LaneRef>,
    rotation: VecDeque<LaneRef>,
    timers: BTreeSet<(Timestamp, LaneRef)>,
    loads: VecDeque<(LaneRef, Class)>,
    tickets: usize,
    rows: usize,
    in_flight: usize,
    in_flight_troubled: usize,
    lanes_in_flight: usize,
    generation: u64,
    scan_at: Timestamp,
    scanned_at: Timestamp,
    swept_at: Timestamp,
    suspensions: (Timestamp, u32),
    look_again: bool,
    memory_short: bool,
}

impl<P> Core<P> {
    /// A scheduler that knows nothing yet: it asks for a scan at once.
    pub fn new(limits: Limits) -> Self {
        Core {
            limits,
            lanes: Vec::new(),
            free: Vec::new(),
            by_name: HashMap::new(),
            rotation: VecDeque::new(),
            timers: BTreeSet::new(),
            loads: VecDeque::new(),
            tickets: 0,
            rows: 0,
            in_flight: 0,
            in_flight_troubled: 0,
            lanes_in_flight: 0,
            generation: 0,
            scan_at: Timestamp::ZERO,
            scanned_at: Timestamp::ZERO,
            swept_at: Timestamp::ZERO,
            suspensions: (Timestamp::ZERO, 0),
            look_again: false,
            memory_short: false,
        }
    }

    /// New limits, at a reload.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        for i in 0..self.lanes.len() {
            self.rotate(LaneRef(i as u32));
        }
    }

    /// Memory is short: queued tickets keep no message from now on.
    pub fn set_memory_short(&mut self, short: bool) {
        self.memory_short = short;
    }

    /// Takes a ticket of a message that was just accepted. When it does not fit it is found on disk later.
    pub fn fresh(&mut self, lane: &Arc<str>, class: Class, slip: Slip<P>, now: Timestamp) {
        let Some(at) = self.enter(lane, now) else {
            self.scan_by(now.plus(SCAN_WAIT_MIN));
            return;
        };
        let (limits, total) = (self.limits, self.tickets);
        let Some(lane) = self.lane_mut(at) else { return };
        let queue = lane.queues[class as usize].len();
        // Behind a backlog on disk a fresh one waits its turn there, unless the workers are about to run dry.
        if limits.room(lane.queued(), total) == 0 || (lane.more[class as usize] && queue >= LOW_WATER) {
            lane.more[class as usize] = true;
            lane.missed[class as usize] = lane.loading[class as usize];
            self.want(at, class);
            return;
        }
        if lane.known.insert(slip.key) {
            self.enqueue(at, class, slip);
        }
        self.rotate(at);
    }

    /// The next recipients whose turn it is; `None`: nobody's, until something happens or [`Core::wake_at`].
    pub fn poll(&mut self, now: Timestamp) -> Option<Start<P>> {
        self.fire_timers(now);
        self.look_again = false;
        if self.in_flight >= self.limits.connections_total {
            return None;
        }
        for _ in 0..self.rotation.len().min(LOOK_MAX) {
            let at = self.rotation.pop_front()?;
            let turn = self.judge(at, now);
            let Some(lane) = self.lane_mut(at) else { continue };
            match turn {
                Turn::Start | Turn::Suspend => {
                    let suspended = if matches!(turn, Turn::Suspend) { lane.trouble.clone() } else { None };
                    return self.take(at, suspended);
                }
                Turn::Rest => lane.rotating = false,
                Turn::WakeAt(time) => {
                    lane.rotating = false;
                    self.timers.insert((time, at));
                }
                Turn::Later => self.rotation.push_back(at),
            }
        }
        self.look_again = !self.rotation.is_empty();
        None
    }

    /// A conversation ended: its connection is free again. `trouble` is what it met, if that was the site's fault. Its
    /// recipients stay known until [`Core::released`].
    pub fn finished(&mut self, at: LaneRef, feedback: Feedback, trouble: Option<&AttemptDetail>, now: Timestamp) {
        let per_destination = self.limits.connections_per_destination;
        let Some(lane) = self.lane_mut(at) else { return };
        let before = (lane.in_flight, lane.troubles > 0);
        lane.in_flight = lane.in_flight.saturating_sub(1);
        match feedback {
            Feedback::Healthy => {
                lane.troubles = 0;
                lane.probes = 0;
                lane.probe_at = Timestamp::ZERO;
                lane.trouble = None;
                lane.allowance = (lane.allowance + 1).min(per_destination.max(ALLOWANCE_START));
            }
            Feedback::Trouble => {
                lane.troubles = lane.troubles.saturating_add(1);
                if let Some(detail) = trouble {
                    lane.trouble = Some(Arc::new(detail.clone()));
                }
                if lane.is_in_trouble() {
                    lane.allowance = 1;
                    // Connections that were open when the trouble began are one piece of news, not many.
                    if lane.in_flight == 0 {
                        lane.probes = lane.probes.saturating_add(1);
                        lane.probe_at = now.plus(probe_wait(lane.probes));
                    }
                }
            }
            Feedback::Unknown => {}
        }
        let after = (lane.in_flight, lane.troubles > 0);
        self.in_flight -= before.0 - after.0;
        if before.0 == 1 {
            self.lanes_in_flight -= 1;
        }
        self.in_flight_troubled -= if before.1 { before.0 } else { 0 };
        self.in_flight_troubled += if after.1 { after.0 } else { 0 };
        self.rotate(at);
    }

    /// The store holds these recipients' new state, or nothing happened to them: RAM forgets them.
    pub fn released(&mut self, at: LaneRef, keys: impl IntoIterator<Item = RecipientKey>) {
        let Some(lane) = self.lane_mut(at) else { return };
        let reading = lane.loading != [false; CLASSES];
        for key in keys {
            lane.known.remove(&key);
            if reading {
                lane.released.insert(key);
            }
        }
    }

    /// Somebody is due on disk at this time.
    pub fn due_at(&mut self, time: Timestamp) {
        self.scan_by(time);
    }

    /// The state on disk changed under us (an operator's act, a reload): queued tickets are forgotten, sites in trouble get
    /// their probe now, and the disk is read anew. Attempts that run go on.
    pub fn kick(&mut self) {
        self.generation += 1;
        for lane in self.lanes.iter_mut().flatten() {
            for queue in &mut lane.queues {
                for slip in queue.drain(..) {
                    lane.known.remove(&slip.key);
                }
            }
            lane.payload_bytes = 0;
            lane.probe_at = Timestamp::ZERO;
            lane.read_by = Timestamp::ZERO;
        }
        self.tickets = 0;
        self.rows = 0;
        self.scan_at = Timestamp::ZERO;
        for i in 0..self.lanes.len() {
            self.want_all(LaneRef(i as u32));
        }
    }

    /// Whether to ask the disk for due lanes now, and for how many at most.
    pub fn scan(&mut self, now: Timestamp) -> Option<usize> {
        // A clock that stepped back must not postpone the scan.
        if now < self.scan_at && now >= self.scanned_at {
            return None;
        }
        self.scanned_at = now;
        self.scan_at = now.plus(SCAN_WAIT_MAX);
        self.sweep(now, false);
        // The known ones may all come first: ask for as many again.
        Some(self.by_name.len() + SCAN_LANES)
    }

    /// What a scan found: the due lanes, whether there were more than asked for, and when the next recipient is due.
    pub fn scanned(&mut self, found: Vec<DueLane>, more: bool, next_due: Option<Timestamp>, now: Timestamp) {
        if more {
            self.scan_by(now.plus(SCAN_WAIT_MIN));
        }
        if let Some(time) = next_due {
            self.scan_by(time);
        }
        for due in found {
            let Some(at) = self.enter(&due.lane, now) else {
                self.scan_by(now.plus(SCAN_WAIT_MIN));
                continue;
            };
            let Some(lane) = self.lane_mut(at) else { continue };
            if due.count <= lane.known.len() as u64 && now < lane.read_by {
                continue;
            }
            lane.read_by = now.plus(LANE_READ_WAIT_MAX);
            Class::ALL.into_iter().for_each(|class| self.ask(at, class));
        }
    }

    /// The next part of the due queue to read.
    pub fn load(&mut self) -> Option<Load> {
        while let Some((at, class)) = self.loads.pop_front() {
            let (limits, total, generation) = (self.limits, self.tickets, self.generation);
            let Some(lane) = self.lane_mut(at) else { continue };
            lane.wanted[class as usize] = false;
            let limit = limits.room(lane.queued(), total).min(LOAD_MAX);
            if limit == 0 {
                lane.more[class as usize] = true;
                continue;
            }
            lane.loading[class as usize] = true;
            let (lane, skip) = (lane.name.clone(), lane.known.clone());
            return Some(Load { at, lane, class, limit, skip, generation });
        }
        None
    }

    /// A read ended; `None`: it failed.
    pub fn loaded(&mut self, load: Load, page: Option<Page<P>>, now: Timestamp) {
        let (at, class) = (load.at, load.class);
        let stale = load.generation != self.generation;
        let (limits, mut total) = (self.limits, self.tickets);
        let Some(lane) = self.lane_mut(at) else { return };
        lane.loading[class as usize] = false;
        lane.more[class as usize] = true;
        let missed = std::mem::take(&mut lane.missed[class as usize]);
        let mut entering = Vec::new();
        let mut again = true;
        let next_due = page.as_ref().and_then(|page| page.next_due);
        if let Some(page) = page.filter(|_| !stale) {
            let mut room = limits.room(lane.queued(), total);
            let mut left_out = false;
            for slip in page.slips {
                if room == 0 {
                    left_out = true;
                    break;
                }
                if !lane.released.contains(&slip.key) && lane.known.insert(slip.key) {
                    entering.push(slip);
                    (room, total) = (room - 1, total + 1);
                }
            }
            again = page.again;
            lane.more[class as usize] = !page.complete || left_out || again || missed;
        } else if stale {
            again = false;
        }
        if lane.loading == [false; CLASSES] {
            lane.released.clear();
        }
        entering.into_iter().for_each(|slip| self.enqueue(at, class, slip));
        next_due.into_iter().for_each(|time| self.scan_by(time));
        if again {
            self.timers.insert((now.plus(READ_AGAIN), at));
        } else {
            self.want(at, class);
        }
        self.rotate(at);
    }

    /// When to call [`Core::poll`], [`Core::scan`] and [`Core::load`] again if nothing happens before.
    pub fn wake_at(&self, now: Timestamp) -> Timestamp {
        let timer = self.timers.first().map_or(Timestamp::MAX, |(time, _)| *time);
        let look = if self.look_again { now.plus(LOOK_AGAIN) } else { Timestamp::MAX };
        self.scan_at.min(timer).min(look)
    }

    /// Attempts that run.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Tickets in RAM, those in flight not counted.
    pub fn tickets(&self) -> usize {
        self.tickets
    }

    /// Lanes in RAM.
    pub fn lanes(&self) -> usize {
        self.by_name.len()
    }

    /// Bytes of the window: tickets, and the rows that they keep. Bodies count for themselves.
    pub fn window_bytes(&self) -> usize {
        self.tickets * TICKET_BYTES + self.rows * ROW_BYTES
    }

    /// The busiest lanes, at most `limit`: by attempts and tickets, sites in trouble first.
    pub fn views(&self, limit: usize) -> Vec<LaneView> {
        let mut lanes: Vec<&Lane<P>> = self.lanes.iter().flatten().filter(|l| !l.is_idle() || l.troubles > 0).collect();
        lanes.sort_by_cached_key(|l| std::cmp::Reverse((l.is_in_trouble(), l.in_flight + l.queued())));
        let view = |lane: &&Lane<P>| LaneView {
            lane: lane.name.clone(),
            in_flight: lane.in_flight,
            queued: lane.queued(),
            more: lane.more != [false; CLASSES],
            troubles: lane.troubles,
            probe_at: lane.is_in_trouble().then_some(lane.probe_at),
            trouble: lane.trouble.clone(),
        };
        lanes.iter().take(limit).map(view).collect()
    }

    fn lane_mut(&mut self, at: LaneRef) -> Option<&mut Lane<P>> {
        self.lanes.get_mut(at.0 as usize).and_then(Option::as_mut)
    }

    /// The lane of that name, made if RAM has a place for it.
    fn enter(&mut self, name: &Arc<str>, now: Timestamp) -> Option<LaneRef> {
        if let Some(at) = self.by_name.get(name) {
            return Some(*at);
        }
        if self.by_name.len() >= self.limits.lanes_max() {
            self.sweep(now, true);
            if self.by_name.len() >= self.limits.lanes_max() {
                return None;
            }
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.lanes.push(None);
            LaneRef((self.lanes.len() - 1) as u32)
        });
        self.lanes[at.0 as usize] = Some(Lane::new(name.clone()));
        self.by_name.insert(name.clone(), at);
        Some(at)
    }

    /// Forgets idle lanes; `troubled` ones too when places are needed: that costs one probe more, no mail.
    fn sweep(&mut self, now: Timestamp, troubled: bool) {
        if troubled && now >= self.swept_at && now < self.swept_at.plus(SCAN_WAIT_MIN) {
            return;
        }
        self.swept_at = now;
        for i in 0..self.lanes.len() {
            if let Some(lane) = &self.lanes[i]
                && lane.is_idle()
                && !lane.rotating
                && (troubled || lane.troubles == 0)
            {
                self.by_name.remove(&lane.name);
                self.lanes[i] = None;
                self.free.push(LaneRef(i as u32));
            }
        }
    }

    fn enqueue(&mut self, at: LaneRef, class: Class, mut slip: Slip<P>) {
        let (short, payload_max) = (self.memory_short, self.limits.lane_payload_max);
        let Some(lane) = self.lanes.get_mut(at.0 as usize).and_then(Option::as_mut) else { return };
        // The next to start keeps its message in any case.
        let next = lane.queued() == 0 && lane.in_flight < lane.allowance;
        if !next && (short || lane.payload_bytes + slip.payload_bytes > payload_max) {
            slip.payload = None;
            slip.payload_bytes = 0;
        }
        lane.payload_bytes += slip.payload_bytes;
        self.tickets += 1;
        self.rows += usize::from(slip.payload.is_some());
        lane.queues[class as usize].push_back(slip);
    }

    fn rotate(&mut self, at: LaneRef) {
        let Some(lane) = self.lane_mut(at) else { return };
        if !lane.rotating && lane.queued() > 0 {
            lane.rotating = true;
            self.rotation.push_back(at);
        }
    }

    fn want_all(&mut self, at: LaneRef) {
        Class::ALL.into_iter().for_each(|class| self.want(at, class));
    }

    fn want(&mut self, at: LaneRef, class: Class) {
        let Some(lane) = self.lane_mut(at) else { return };
        let c = class as usize;
        if lane.more[c] && lane.queues[c].len() < LOW_WATER {
            self.ask(at, class);
        }
    }

    /// Puts a read of the lane on the list.
    fn ask(&mut self, at: LaneRef, class: Class) {
        let Some(lane) = self.lane_mut(at) else { return };
        let c = class as usize;
        if !lane.wanted[c] && !lane.loading[c] {
            lane.wanted[c] = true;
            self.loads.push_back((at, class));
        }
    }

    fn scan_by(&mut self, time: Timestamp) {
        self.scan_at = self.scan_at.min(time.max(self.scanned_at.plus(SCAN_WAIT_MIN)));
    }

    fn fire_timers(&mut self, now: Timestamp) {
        while let Some((time, at)) = self.timers.first().copied()
            && time <= now
        {
            self.timers.pop_first();
            self.want_all(at);
            self.rotate(at);
        }
    }

    fn judge(&mut self, at: LaneRef, now: Timestamp) -> Turn {
        let (limits, used, lanes) = (self.limits, self.in_flight, self.lanes_in_flight);
        let troubled_full = self.in_flight_troubled >= limits.troubled_max();
        let Some(lane) = self.lane_mut(at) else { return Turn::Rest };
        if lane.queued() == 0 {
            return Turn::Rest;
        }
        if lane.is_in_trouble() {
            if lane.in_flight > 0 {
                return Turn::Rest;
            }
            if now < lane.probe_at && lane.probe_at.since(now) <= PROBE_WAIT_MAX {
                let probe_at = lane.probe_at;
                if probe_at.since(now) <= PROBE_PATIENCE || lane.trouble.is_none() {
                    return Turn::WakeAt(probe_at);
                }
                return if self.may_suspend(now) { Turn::Suspend } else { Turn::WakeAt(now.plus(SCAN_WAIT_MIN)) };
            }
        }
        if lane.in_flight >= lane.allowance.min(limits.connections_per_destination) {
            return Turn::Rest;
        }
        if !limits.may_connect(lane.in_flight, used, lanes) || (lane.troubles > 0 && troubled_full) {
            return Turn::Later;
        }
        Turn::Start
    }

    fn may_suspend(&mut self, now: Timestamp) -> bool {
        if now >= self.suspensions.0.plus(Duration::from_secs(1)) || now < self.suspensions.0 {
            self.suspensions = (now, SUSPENSIONS_PER_SECOND);
        }
        self.suspensions.1 > 0
    }

    /// Takes the recipients of one message off the queue of the class whose turn it is.
    fn take(&mut self, at: LaneRef, suspended: Option<Arc<AttemptDetail>>) -> Option<Start<P>> {
        let recipients_max = self.limits.recipients_per_attempt;
        let lane = self.lane_mut(at)?;
        let class = lane.choose()?;
        let queue = &mut lane.queues[class as usize];
        let first = queue.pop_front()?;
        let message: MessageId = first.key.message;
        let mut bytes = first.payload_bytes;
        let mut slips = vec![first];
        while slips.len() < recipients_max
            && let Some(slip) = queue.pop_front_if(|next| next.key.message == message)
        {
            bytes += slip.payload_bytes;
            slips.push(slip);
        }
        lane.payload_bytes -= bytes;
        let more = lane.queued() > 0;
        lane.rotating = more;
        let name = lane.name.clone();
        if suspended.is_none() {
            lane.in_flight += 1;
            let (first_of_lane, troubled) = (lane.in_flight == 1, lane.troubles > 0);
            self.in_flight += 1;
            self.lanes_in_flight += usize::from(first_of_lane);
            self.in_flight_troubled += usize::from(troubled);
        } else {
            self.suspensions.1 = self.suspensions.1.saturating_sub(slips.len() as u32);
        }
        self.tickets -= slips.len();
        self.rows -= slips.iter().filter(|s| s.payload.is_some()).count();
        if more {
            self.rotation.push_back(at);
        }
        self.want_all(at);
        Some(Start { at, lane: name, class, slips, suspended })
    }
}
