//! Where lanes go: asks for it, joins lanes to their sites, and lets the operator's pauses apply.
//!
//! Always: a lane rests until it is located once, and is located again in the background when the answer is old;
//! conversations that run count against the site and the way where they began.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    super::{
        lane::{LaneRef, Locate},
        place::Place,
        site::{Site, SiteRef, Stand},
    },
    Alarm, Core, READ_AGAIN,
};
use crate::{clock::Timestamp, event::Class};

/// An answer holds at least this long, however short its records live.
const VALID_MIN: Duration = Duration::from_secs(5);
/// … and at most this long.
const VALID_MAX: Duration = Duration::from_secs(86_400);

impl<P> Core<P> {
    /// The next lane whose place is wanted; [`Core::located`] or [`Core::not_located`] answers.
    pub fn locate(&mut self) -> Option<Locate> {
        while let Some(at) = self.locates.pop_front() {
            if let Some(lane) = self.lane_mut(at) {
                return Some(Locate { at, lane: lane.name.clone() });
            }
        }
        None
    }

    /// Where a lane goes.
    pub fn located(&mut self, at: LaneRef, place: &Place, now: Timestamp) {
        let Some(lane) = self.lane_mut(at) else { return };
        lane.asked = false;
        lane.locate_at = now.plus(place.valid_for.clamp(VALID_MIN, VALID_MAX));
        let before = lane.site;
        let site = self.site_of(place, now);
        if before != Some(site) {
            if let Some(before) = before {
                self.detach(at, before);
                self.leave_site(before, now);
            }
            self.attach(at, site);
        }
        self.rotate(site);
    }

    /// The question could not even be asked: it is asked again soon.
    pub fn not_located(&mut self, at: LaneRef, now: Timestamp) {
        let Some(lane) = self.lane_mut(at) else { return };
        lane.asked = false;
        lane.locate_at = now.plus(READ_AGAIN);
        self.alarms.insert((now.plus(READ_AGAIN), Alarm::Lane(at)));
    }

    /// The destinations that the operator paused, and until when; [`Timestamp::MAX`]: until it is lifted.
    pub fn set_pauses(&mut self, pauses: HashMap<Arc<str>, Timestamp>, now: Timestamp) {
        self.pauses = pauses;
        for i in 0..self.lanes.len() {
            let Some(lane) = &mut self.lanes[i] else { continue };
            let paused = self.pauses.get(lane.destination()).copied().filter(|until| now < *until);
            let (before, at) = (lane.paused, LaneRef(i as u32));
            lane.paused = paused;
            match (before, paused) {
                (None, Some(_)) => self.give_back(at),
                (Some(_), None) => self.want_all(at),
                (None, None) | (Some(_), Some(_)) => {}
            }
            if let Some(until) = paused.filter(|until| *until != Timestamp::MAX) {
                self.alarms.insert((until, Alarm::Lane(at)));
            }
        }
    }

    /// A lane's alarm rang: a read is due again, a pause is over, or its place is still unknown.
    pub(super) fn wake_lane(&mut self, at: LaneRef, now: Timestamp) {
        let Some(lane) = self.lane_mut(at) else { return };
        if lane.paused.is_some_and(|until| until <= now) {
            lane.paused = None;
        }
        let homeless = lane.site.is_none() && lane.queued() > 0;
        self.want_all(at);
        if homeless {
            self.ask_place(at);
        }
    }

    /// Puts the lane on the list of those to be located.
    pub(super) fn ask_place(&mut self, at: LaneRef) {
        let Some(lane) = self.lane_mut(at) else { return };
        if !lane.asked {
            lane.asked = true;
            self.locates.push_back(at);
        }
    }

    /// A site whose caps are used up wants a new answer: now, or when the old one ends.
    pub(super) fn ask_again(&mut self, site: SiteRef, at: LaneRef, now: Timestamp) {
        let Some(lane) = self.lane_mut(at) else { return };
        if now < lane.locate_at {
            let time = lane.locate_at;
            self.wake_site(site, time);
        } else {
            self.ask_place(at);
        }
    }

    pub(super) fn leave_site(&mut self, at: SiteRef, now: Timestamp) {
        if let Some(site) = self.site_mut(at) {
            site.lanes = site.lanes.saturating_sub(1);
            site.used_at = now;
        }
    }

    pub(super) fn forget_site(&mut self, at: SiteRef, now: Timestamp) {
        let Some(site) = self.sites.get_mut(at.0 as usize).and_then(Option::take) else { return };
        if let Some(alarm) = site.alarm {
            self.alarms.remove(&(alarm, Alarm::Site(at)));
        }
        if let Some(pace) = site.pace {
            self.paces.leave(pace);
        }
        self.by_key.remove(&site.key);
        self.old_spells.keep(&site.key, &site.name, site.temper, now);
        self.free_sites.push(at);
    }

    /// The site of that answer, with its newest ways and speed.
    fn site_of(&mut self, place: &Place, now: Timestamp) -> SiteRef {
        // A rule that singles some of a site's lanes out gives them windows and ways of their own.
        let key: Arc<str> = match &place.rate {
            Some(rate) => format!("{}\n{}", place.site, rate.rule).into(),
            None => place.site.clone(),
        };
        let at = match self.by_key.get(&key) {
            Some(at) => *at,
            None => {
                let at = self.free_sites.pop().unwrap_or_else(|| {
                    self.sites.push(None);
                    SiteRef((self.sites.len() - 1) as u32)
                });
                let mut site = Site::new(key.clone(), place.name.clone(), now);
                site.temper = self.old_spells.take(&key, now);
                site.pace = place.rate.as_ref().map(|rate| self.paces.join(rate));
                self.sites[at.0 as usize] = Some(site);
                self.by_key.insert(key, at);
                at
            }
        };
        let limit = self.limits.speed(place.rate.as_ref()).connections_max;
        if let Some(site) = self.sites.get_mut(at.0 as usize).and_then(Option::as_mut) {
            site.name.clone_from(&place.name);
            site.offer(&place.offers, limit);
            if let (Some(pace), Some(rate)) = (site.pace, &place.rate) {
                self.paces.renew(pace, rate);
            }
        }
        at
    }

    fn attach(&mut self, at: LaneRef, site_at: SiteRef) {
        let Some(lane) = self.lanes.get_mut(at.0 as usize).and_then(Option::as_mut) else { return };
        lane.site = Some(site_at);
        let Some(site) = self.sites.get_mut(site_at.0 as usize).and_then(Option::as_mut) else { return };
        site.lanes += 1;
        for class in Class::ALL {
            for user in lane.queues[class as usize].users() {
                site.rings[class as usize].add(user, at);
            }
        }
    }

    fn detach(&mut self, at: LaneRef, site_at: SiteRef) {
        let Some(lane) = self.lanes.get(at.0 as usize).and_then(Option::as_ref) else { return };
        let Some(site) = self.sites.get_mut(site_at.0 as usize).and_then(Option::as_mut) else { return };
        for class in Class::ALL {
            for user in lane.queues[class as usize].users() {
                site.rings[class as usize].remove(user, at);
            }
        }
        if !site.waits().contains(&true) && matches!(site.stand, Stand::Parked(_)) {
            self.unpark(site_at);
        }
    }

    /// The lane's tickets go back to disk.
    fn give_back(&mut self, at: LaneRef) {
        if let Some(site) = self.lanes.get(at.0 as usize).and_then(Option::as_ref).and_then(|lane| lane.site) {
            self.detach(at, site);
        }
        let Some(lane) = self.lanes.get_mut(at.0 as usize).and_then(Option::as_mut) else { return };
        let (tickets, rows) = (&mut self.tickets, &mut self.rows);
        lane.give_back(&mut |slip| {
            *tickets -= 1;
            *rows -= usize::from(slip.payload.is_some());
        });
    }
}
