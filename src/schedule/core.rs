//! The scheduler's mind: which recipients are tried next, and which part of the due queue RAM holds.
//!
//! In: fresh tickets, places of lanes, pages of the due queue, ends of conversations, the time.  Out: [`Start`]s, [`Load`]s,
//! [`Locate`]s and the next wake-up.
//! Always: a recipient is in RAM at most once, from its entry until its verdict is on disk, so that it is never tried twice
//! at a time; sites take turns, so that a slow or dead one delays nobody (P6); the window is bounded (P5), what does not fit
//! is only marked as "more on disk"; within a site the classes have their shares (R5), within a class submitters take turns.
//! Sources: architecture.md "Due index" and "Connections"; algorithms F2 and F14.
//!
//! `core/choice` finds the next start, `core/reading` keeps the window full, `core/recovery` brings back who waited for a dead
//! site, `core/sites` knows where lanes go, `core/views` tells people.

mod choice;
mod reading;
mod recovery;
mod sites;
mod views;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    fair::CLASSES,
    lane::{Back, Lane},
    limits::{LOW_WATER, Limits, ROW_BYTES, SITE_MEMORY, SITES_KEPT_MAX, TICKET_BYTES, USER_MESSAGES_FLOOR},
    pace::{PaceRef, Paces},
    site::{Site, SiteRef, Stand},
    trouble::OldSpells,
    window::START,
};
use crate::{clock::Timestamp, event::Class, ids::RecipientKey};

pub use super::lane::{
    Conversation, DueLane, End, HeldBack, Keys, LaneRef, Load, Locate, Page, Recovered, Slip, Start, Turn, destination,
};
pub use views::{LaneView, PaceView, PathView, SiteView};

/// The disk is asked for due lanes at most this often; in between, new due times only move the next question.
const SCAN_WAIT_MIN: Duration = Duration::from_secs(1);
/// Ready sites looked at in one [`Core::poll`] before the rest waits for [`LOOK_AGAIN`].
const LOOK_MAX: usize = 64;
/// When sites were left unlooked at.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// A read that failed, or skipped messages that are about to come by themselves, is repeated after this time.
const READ_AGAIN: Duration = Duration::from_secs(2);

/// Whom an alarm wakes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Alarm {
    Lane(LaneRef),
    Site(SiteRef),
    Pace(PaceRef),
    /// Sites that were dead answer again.
    Back,
    Walk(LaneRef),
}

/// The scheduler's state. `P` is what a queued ticket keeps of its message.
#[derive(Debug)]
pub struct Core<P> {
    limits: Limits,
    /// `[queue] retry_schedule`: says whose next turn would be the last.
    schedule: Arc<[Duration]>,
    lanes: Vec<Option<Lane<P>>>,
    free_lanes: Vec<LaneRef>,
    by_name: HashMap<Arc<str>, LaneRef>,
    sites: Vec<Option<Site>>,
    free_sites: Vec<SiteRef>,
    by_key: HashMap<Arc<str>, SiteRef>,
    old_spells: OldSpells,
    paces: Paces,
    rotation: VecDeque<SiteRef>,
    alarms: BTreeSet<(Timestamp, Alarm)>,
    loads: VecDeque<(LaneRef, Class)>,
    locates: VecDeque<LaneRef>,
    /// Lanes whose site was dead and answers again.
    recoveries: VecDeque<LaneRef>,
    /// Destinations that the operator paused, and until when.
    pauses: HashMap<Arc<str>, Timestamp>,
    tickets: usize,
    rows: usize,
    busy: [usize; CLASSES],
    busy_troubled: usize,
    sites_in_flight: usize,
    generation: u64,
    scan_at: Timestamp,
    scanned_at: Timestamp,
    swept_at: Timestamp,
    /// When sites that came back were looked for.
    looked_back_at: Timestamp,
    held_back: (Timestamp, u32),
    look_again: bool,
    memory_short: bool,
}

impl<P> Core<P> {
    /// A scheduler that knows nothing yet: it asks for a scan at once.
    pub fn new(limits: Limits, schedule: &[Duration]) -> Self {
        Core {
            limits,
            schedule: schedule.into(),
            lanes: Vec::new(),
            free_lanes: Vec::new(),
            by_name: HashMap::new(),
            sites: Vec::new(),
            free_sites: Vec::new(),
            by_key: HashMap::new(),
            old_spells: OldSpells::default(),
            paces: Paces::default(),
            rotation: VecDeque::new(),
            alarms: BTreeSet::new(),
            loads: VecDeque::new(),
            locates: VecDeque::new(),
            recoveries: VecDeque::new(),
            pauses: HashMap::new(),
            tickets: 0,
            rows: 0,
            busy: [0; CLASSES],
            busy_troubled: 0,
            sites_in_flight: 0,
            generation: 0,
            scan_at: Timestamp::ZERO,
            scanned_at: Timestamp::ZERO,
            swept_at: Timestamp::ZERO,
            looked_back_at: Timestamp::ZERO,
            held_back: (Timestamp::ZERO, 0),
            look_again: false,
            memory_short: false,
        }
    }

    /// New limits, at a reload: rules may have changed with them, so every lane is located anew.
    pub fn set_limits(&mut self, limits: Limits, schedule: &[Duration]) {
        self.limits = limits;
        self.schedule = schedule.into();
        for i in 0..self.lanes.len() {
            let at = LaneRef(i as u32);
            if let Some(lane) = self.lane_mut(at) {
                lane.locate_at = Timestamp::ZERO;
                if lane.site.is_some() {
                    self.ask_place(at);
                }
            }
        }
        (0..self.sites.len()).for_each(|i| self.rotate(SiteRef(i as u32)));
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
        let (limits, total, c) = (self.limits, self.tickets, class as usize);
        let Some(lane) = self.lane_mut(at) else { return };
        let of_lane = lane.queued();
        let queue = &lane.queues[c];
        // Behind a backlog on disk a fresh one waits its turn there, unless the workers are about to run dry, or its
        // submitter has little in RAM: then the backlog is somebody else's, or of one large message.
        let of_user = || queue.messages_of(slip.user);
        let waits_behind = lane.more[c] && queue.len() >= LOW_WATER && of_user() >= USER_MESSAGES_FLOOR;
        if lane.paused.is_some() || waits_behind || !limits.admits(queue.len(), of_lane, total, of_user) {
            lane.more[c] = true;
            lane.missed[c] = lane.loading[c];
            lane.leave_behind(class, slip.user);
            self.want(at, class);
            return;
        }
        if lane.known.insert(slip.key) {
            self.enqueue(at, class, slip);
        }
    }

    /// A conversation ended: its connection is free again. Its recipients stay known until [`Core::released`].
    pub fn finished(&mut self, conversation: &Conversation, end: &End<'_>, now: Timestamp) {
        let Conversation { lane, site: at, path, pace, class, .. } = *conversation;
        if let Some(lane) = self.lane_mut(lane) {
            lane.in_flight = lane.in_flight.saturating_sub(1);
        }
        let speed = self.speed(at);
        if let Some(site) = self.sites.get_mut(at.0 as usize).and_then(Option::as_mut) {
            let troubled = |site: &Site| match site.paths.get(usize::from(path)) {
                Some(path) if path.is_troubled() => path.busy,
                Some(_) | None => 0,
            };
            let before = troubled(site);
            let back_before = site.back_at;
            site.ended(path, class, end, speed, now);
            let back_at = site.back_at.filter(|_| site.back_at != back_before);
            self.busy_troubled = (self.busy_troubled + troubled(site)).saturating_sub(before);
            self.sites_in_flight -= usize::from(site.in_flight() == 0);
            self.busy[class as usize] -= 1;
            if let Some(time) = back_at {
                self.alarms.insert((time, Alarm::Back));
            }
        }
        if let Some(pace) = pace {
            self.paces.finished(pace, class);
            self.call(pace, now);
        }
        self.rotate(at);
    }

    /// The store holds these recipients' new state, or nothing happened to them: RAM forgets them.
    pub fn released(&mut self, at: LaneRef, keys: impl IntoIterator<Item = RecipientKey>) {
        let Some(lane) = self.lane_mut(at) else { return };
        let reading = lane.is_loading();
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
    pub fn kick(&mut self, now: Timestamp) {
        self.generation += 1;
        for lane in self.lanes.iter_mut().flatten() {
            lane.give_back(&mut |_| {});
            lane.read_by = Timestamp::ZERO;
        }
        for i in 0..self.sites.len() {
            let Some(site) = &mut self.sites[i] else { continue };
            site.rings.iter_mut().for_each(super::fair::Ring::clear);
            site.probe_now(now);
            self.unpark(SiteRef(i as u32));
        }
        self.tickets = 0;
        self.rows = 0;
        self.scan_at = Timestamp::ZERO;
        for i in 0..self.lanes.len() {
            self.want_all(LaneRef(i as u32));
        }
    }

    /// When to call [`Core::poll`], [`Core::scan`], [`Core::load`] and [`Core::locate`] again if nothing happens before.
    pub fn wake_at(&self, now: Timestamp) -> Timestamp {
        let alarm = self.alarms.first().map_or(Timestamp::MAX, |(time, _)| *time);
        let look = if self.look_again { now.plus(LOOK_AGAIN) } else { Timestamp::MAX };
        self.scan_at.min(alarm).min(look)
    }

    /// Attempts that run.
    pub fn in_flight(&self) -> usize {
        self.busy.iter().sum()
    }

    /// Tickets in RAM, those in flight not counted.
    pub fn tickets(&self) -> usize {
        self.tickets
    }

    /// Lanes in RAM.
    pub fn lanes(&self) -> usize {
        self.by_name.len()
    }

    /// Sites in RAM.
    pub fn sites(&self) -> usize {
        self.by_key.len()
    }

    /// Bytes of the window: tickets, and the rows that they keep. Bodies count for themselves.
    pub fn window_bytes(&self) -> usize {
        self.tickets * TICKET_BYTES + self.rows * ROW_BYTES
    }

    fn lane_mut(&mut self, at: LaneRef) -> Option<&mut Lane<P>> {
        self.lanes.get_mut(at.0 as usize).and_then(Option::as_mut)
    }

    fn site_mut(&mut self, at: SiteRef) -> Option<&mut Site> {
        self.sites.get_mut(at.0 as usize).and_then(Option::as_mut)
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
        let at = self.free_lanes.pop().unwrap_or_else(|| {
            self.lanes.push(None);
            LaneRef((self.lanes.len() - 1) as u32)
        });
        let mut lane = Lane::new(name.clone());
        lane.paused = self.pauses.get(destination(name)).copied().filter(|until| now < *until);
        if let Some(until) = lane.paused {
            self.alarms.insert((until, Alarm::Lane(at)));
        }
        self.lanes[at.0 as usize] = Some(lane);
        self.by_name.insert(name.clone(), at);
        Some(at)
    }

    /// Forgets idle lanes whose answer does not hold any more, and all idle ones when places are needed; then the sites
    /// that nobody needs.
    fn sweep(&mut self, now: Timestamp, places_needed: bool) {
        if places_needed {
            if now >= self.swept_at && now < self.swept_at.plus(SCAN_WAIT_MIN) {
                return;
            }
            self.swept_at = now;
        }
        for i in 0..self.lanes.len() {
            if let Some(lane) = &self.lanes[i]
                && lane.is_idle()
                && (places_needed || (now >= lane.locate_at && lane.back == Back::No))
            {
                self.by_name.remove(&lane.name);
                if let Some(site) = lane.site {
                    self.leave_site(site, now);
                }
                self.lanes[i] = None;
                self.free_lanes.push(LaneRef(i as u32));
            }
        }
        self.sweep_sites(now);
    }

    fn sweep_sites(&mut self, now: Timestamp) {
        let unused = |site: &Site| site.lanes == 0 && site.in_flight() == 0 && site.stand == Stand::Rest;
        let kept = self.sites.iter().flatten().filter(|site| unused(site)).count();
        for i in 0..self.sites.len() {
            let Some(site) = &self.sites[i] else { continue };
            let remembered = kept <= SITES_KEPT_MAX && site.remembers(now) && now.since(site.used_at) < SITE_MEMORY;
            if unused(site) && !remembered {
                self.forget_site(SiteRef(i as u32), now);
            }
        }
    }

    fn enqueue(&mut self, at: LaneRef, class: Class, mut slip: Slip<P>) {
        let (short, payload_max) = (self.memory_short, self.limits.lane_payload_max);
        let Some(lane) = self.lanes.get_mut(at.0 as usize).and_then(Option::as_mut) else { return };
        // The next to start keeps its message in any case.
        let next = lane.in_flight < START && lane.queued() == 0;
        if !next && (short || lane.payload_bytes + slip.payload_bytes > payload_max) {
            slip.payload = None;
            slip.payload_bytes = 0;
        }
        lane.payload_bytes += slip.payload_bytes;
        self.tickets += 1;
        self.rows += usize::from(slip.payload.is_some());
        let user = slip.user;
        let first_of_user = lane.queues[class as usize].push(slip);
        match lane.site {
            Some(site_at) => {
                if first_of_user && let Some(site) = self.site_mut(site_at) {
                    site.rings[class as usize].add(user, at);
                }
                self.rotate(site_at);
            }
            None => self.ask_place(at),
        }
    }

    fn scan_by(&mut self, time: Timestamp) {
        self.scan_at = self.scan_at.min(time.max(self.scanned_at.plus(SCAN_WAIT_MIN)));
    }

    fn fire_alarms(&mut self, now: Timestamp) {
        while let Some((time, alarm)) = self.alarms.first().copied()
            && time <= now
        {
            self.alarms.pop_first();
            match alarm {
                Alarm::Lane(at) => self.wake_lane(at, now),
                Alarm::Site(at) => {
                    if let Some(site) = self.site_mut(at)
                        && site.alarm == Some(time)
                    {
                        site.alarm = None;
                    }
                    self.rotate(at);
                }
                Alarm::Pace(at) => self.call(at, now),
                Alarm::Back => self.bring_back(now),
                Alarm::Walk(at) => self.wake_walk(at, now),
            }
        }
    }

    /// The site takes its turn, if it has something to start. One that waits for its rule moves up with its best class.
    fn rotate(&mut self, at: SiteRef) {
        let Some(site) = self.sites.get_mut(at.0 as usize).and_then(Option::as_mut) else { return };
        let Some(best) = Class::ALL.into_iter().find(|class| !site.rings[*class as usize].is_empty()) else { return };
        match site.stand {
            Stand::Rest => {
                site.stand = Stand::Rotation;
                self.rotation.push_back(at);
            }
            Stand::Rotation => {}
            Stand::Parked(parked) => {
                if best < parked.class
                    && let Some(pace) = site.pace.and_then(|pace| self.paces.get_mut(pace))
                {
                    pace.unpark(at, parked);
                    site.stand = Stand::Parked(pace.park(at, best));
                }
            }
        }
    }
}
