//! Keeps the window full: which lanes to look for on disk, which part of which to read, and what to keep of the answer.
//!
//! Always: who is known is left out, who was released while the read was under way too; an answer older than an operator's
//! act is not believed; a lane that the operator paused is not read.

use std::{collections::HashMap, time::Duration};

use super::{
    super::{
        fair::CLASSES,
        lane::{DueLane, LaneRef, Load, Page},
        limits::{LOAD_MAX, LOAD_MIN, LOAD_OF_MESSAGE_MAX, LOW_WATER, USER_MESSAGES_FLOOR},
    },
    Alarm, Core, READ_AGAIN, SCAN_WAIT_MIN,
};
use crate::{clock::Timestamp, event::Class, ids::UserKey};

/// The disk is asked at least this often, whatever RAM believes.
const SCAN_WAIT_MAX: Duration = Duration::from_secs(60);
/// A lane whose waiting recipients all seem to be in RAM is read anyhow after this time.
const LANE_READ_WAIT_MAX: Duration = Duration::from_secs(10);
/// Unknown lanes that one scan may find.
const SCAN_LANES: usize = 1_000;

impl<P> Core<P> {
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
            if lane.paused.is_some() {
                lane.more = [true; CLASSES];
                continue;
            }
            if due.count <= lane.known.len() as u64 && now < lane.read_by {
                continue;
            }
            lane.read_by = now.plus(LANE_READ_WAIT_MAX);
            if lane.site.is_none() {
                self.ask_place(at);
            }
            Class::ALL.into_iter().for_each(|class| self.ask(at, class));
        }
    }

    /// The next part of the due queue to read.
    pub fn load(&mut self) -> Option<Load> {
        while let Some((at, class)) = self.loads.pop_front() {
            let (limits, total, generation) = (self.limits, self.tickets, self.generation);
            let Some(lane) = self.lane_mut(at) else { continue };
            let c = class as usize;
            lane.wanted[c] = false;
            let room = limits.room(lane.queues[c].len(), lane.queued(), total);
            // Where one submitter has filled the room, another may still have some.
            let has_little = |user: &UserKey| lane.queues[c].messages_of(*user) < USER_MESSAGES_FLOOR;
            let owed = total < limits.shared_tickets() && lane.behind[c].iter().any(has_little);
            let least = if owed { LOAD_MIN } else { 0 };
            let limit = room.clamp(least, LOAD_MAX);
            if limit == 0 || lane.paused.is_some() {
                lane.more[c] = true;
                continue;
            }
            lane.loading[c] = true;
            let (lane, skip) = (lane.name.clone(), lane.known.clone());
            return Some(Load { at, lane, class, limit, per_message: LOAD_OF_MESSAGE_MAX, skip, generation });
        }
        None
    }

    /// A read ended; `None`: it failed.
    pub fn loaded(&mut self, load: Load, page: Option<Page<P>>, now: Timestamp) {
        let (at, class, c) = (load.at, load.class, load.class as usize);
        let stale = load.generation != self.generation;
        let (limits, mut total) = (self.limits, self.tickets);
        let Some(lane) = self.lane_mut(at) else { return };
        lane.loading[c] = false;
        lane.more[c] = true;
        let missed = std::mem::take(&mut lane.missed[c]);
        let paused = lane.paused.is_some();
        let mut entering = Vec::new();
        let (mut again, mut left_out) = (!stale, false);
        let next_due = page.as_ref().and_then(|page| page.next_due);
        if let Some(page) = page.filter(|_| !stale && !paused) {
            let mut of_lane = lane.queued();
            let mut of_class = lane.queues[c].len();
            let mut behind: Vec<UserKey> = Vec::new();
            let mut entered: HashMap<UserKey, usize> = HashMap::new();
            for slip in page.slips {
                if behind.last() != Some(&slip.user) && !behind.contains(&slip.user) {
                    behind.push(slip.user);
                }
                let of_user = entered.entry(slip.user).or_insert_with(|| lane.queues[c].messages_of(slip.user));
                if !limits.admits(of_class, of_lane, total, || *of_user) {
                    left_out = true;
                    continue;
                }
                *of_user += 1;
                if !lane.released.contains(&slip.key) && lane.known.insert(slip.key) {
                    entering.push(slip);
                    (of_class, of_lane, total) = (of_class + 1, of_lane + 1, total + 1);
                }
            }
            // An answer that brings nobody although somebody is left would only be asked for again at once.
            again = page.again || (!page.complete && !left_out && entering.is_empty());
            lane.more[c] = !page.complete || left_out || page.again || missed;
            if !missed {
                lane.behind[c].clear();
            }
            if !page.complete || left_out {
                behind.into_iter().for_each(|user| lane.leave_behind(class, user));
            }
        }
        if !lane.is_loading() {
            lane.released.clear();
        }
        entering.into_iter().for_each(|slip| self.enqueue(at, class, slip));
        next_due.into_iter().for_each(|time| self.scan_by(time));
        if again {
            self.alarms.insert((now.plus(READ_AGAIN), Alarm::Lane(at)));
        } else if !left_out {
            // Where RAM is full, the next start of the lane makes room and asks again.
            self.want(at, class);
        }
    }

    pub(super) fn want_all(&mut self, at: LaneRef) {
        Class::ALL.into_iter().for_each(|class| self.want(at, class));
    }

    pub(super) fn want(&mut self, at: LaneRef, class: Class) {
        let (limits, total) = (self.limits, self.tickets);
        let Some(lane) = self.lane_mut(at) else { return };
        let queued = lane.queues[class as usize].len();
        // In a narrow window a read must bring enough to be worth it: half of what is there.
        if lane.more[class as usize]
            && lane.paused.is_none()
            && queued < LOW_WATER
            && limits.room(queued, lane.queued(), total) * 2 >= queued
        {
            self.ask(at, class);
        }
    }

    /// A submitter has nothing left in RAM, although others have: whoever has more on disk is read for.
    pub(super) fn ran_dry(&mut self, at: LaneRef, class: Class, user: UserKey) {
        let Some(lane) = self.lane_mut(at) else { return };
        let c = class as usize;
        let behind = &mut lane.behind[c];
        if let Some(place) = behind.iter().position(|u| *u == user)
            && lane.more[c]
        {
            behind.swap_remove(place);
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
}
