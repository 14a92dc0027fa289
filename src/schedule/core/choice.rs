//! Finds the next start: which site, which class, which submitter, by which way; or why nothing starts now.
//!
//! Always: a start costs about the same however much waits; a recipient is held back only when all ways of its site are
//! dead or a response rule pauses it, and never into its expiry without a real try.

use super::{
    super::{
        backoff,
        fair::{USERS_LOOK_MAX, may_hold},
        lane::{Conversation, HeldBack, LaneRef, Start, Turn},
        limits::{PROBE_PATIENCE, SUSPENSIONS_PER_SECOND, Speed},
        pace::{Gate, PaceRef},
        queue::Batch,
        site::{Path, Route, Site, SiteRef, Stand},
    },
    Alarm, Core, LOOK_MAX, SCAN_WAIT_MIN,
};
use crate::{clock::Timestamp, event::Class, ids::UserKey};

use std::time::Duration;

/// What a site may do now.
enum Next {
    Try(Class, u16),
    HoldBack(Class, Box<HeldBack>),
    /// Something that will happen puts it back: a ticket, a place, an end.
    Rest,
    /// It goes on at this time.
    WakeAt(Timestamp),
    /// Others' connections are in its way.
    Later,
    /// Its rule's speed is in its way, at least until this time.
    Park(Class, Option<Timestamp>),
    /// All its caps are used up: this lane is asked for anew.
    Spent(LaneRef),
}

/// Whether recipients that have no live way may be held back.
enum Hold {
    /// By this way, one of them must be tried.
    Try(u16),
    /// Held back.
    Back(Box<HeldBack>),
    /// Not yet: at this time, or when a conversation ends.
    WaitUntil(Option<Timestamp>),
}

impl<P> Core<P> {
    /// The next recipients whose turn it is; `None`: nobody's, until something happens or [`Core::wake_at`].
    pub fn poll(&mut self, now: Timestamp) -> Option<Start<P>> {
        self.fire_alarms(now);
        self.look_again = false;
        if self.in_flight() >= self.limits.connections_total {
            return None;
        }
        for _ in 0..self.rotation.len().min(LOOK_MAX) {
            let at = self.rotation.pop_front()?;
            let next = self.judge(at, now);
            let Some(site) = self.site_mut(at) else { continue };
            let pace = site.pace;
            site.stand = Stand::Rest;
            let start = match next {
                Next::Try(class, path) => self.take(at, class, Some(path), None, now),
                Next::HoldBack(class, held) => self.take(at, class, None, Some(held), now),
                Next::Rest => None,
                Next::WakeAt(time) => {
                    self.wake_site(at, time);
                    None
                }
                Next::Later => {
                    site.stand = Stand::Rotation;
                    self.rotation.push_back(at);
                    None
                }
                Next::Park(class, until) => {
                    self.park(at, class, until);
                    None
                }
                Next::Spent(lane) => {
                    self.ask_again(at, lane, now);
                    None
                }
            };
            if let Some(pace) = pace {
                if let Some(pace) = self.paces.get_mut(pace) {
                    pace.looked_at(at);
                }
                self.call(pace, now);
            }
            if start.is_some() {
                return start;
            }
        }
        self.look_again = !self.rotation.is_empty();
        None
    }

    pub(super) fn speed(&self, at: SiteRef) -> Speed {
        let site = self.sites.get(at.0 as usize).and_then(Option::as_ref);
        let pace = site.and_then(|site| site.pace).and_then(|pace| self.paces.get(pace));
        self.limits.speed(pace.map(|pace| &pace.rate))
    }

    /// Calls the next of the sites that wait for a rule, if its speed allows.
    pub(super) fn call(&mut self, at: PaceRef, now: Timestamp) {
        let percent = self.limits.low_share_percent;
        let Some(pace) = self.paces.get_mut(at) else { return };
        if let Some(called) = pace.call(now, percent) {
            if let Some(site) = self.site_mut(called) {
                site.stand = Stand::Rotation;
            }
            self.rotation.push_back(called);
        } else if pace.waiting() > 0 && pace.next_at() > now {
            let time = pace.next_at();
            self.alarms.insert((time, Alarm::Pace(at)));
        }
    }

    /// The site waits for its rule no more.
    pub(super) fn unpark(&mut self, at: SiteRef) {
        let Some(site) = self.sites.get_mut(at.0 as usize).and_then(Option::as_mut) else { return };
        if let Stand::Parked(parked) = site.stand {
            if let Some(pace) = site.pace.and_then(|pace| self.paces.get_mut(pace)) {
                pace.unpark(at, parked);
            }
            site.stand = Stand::Rest;
        }
    }

    fn park(&mut self, at: SiteRef, class: Class, until: Option<Timestamp>) {
        let Some(site) = self.sites.get_mut(at.0 as usize).and_then(Option::as_mut) else { return };
        let Some((pace_at, pace)) = site.pace.and_then(|at| self.paces.get_mut(at).map(|pace| (at, pace))) else {
            return;
        };
        site.stand = Stand::Parked(pace.park(at, class));
        if let Some(time) = until {
            self.alarms.insert((time, Alarm::Pace(pace_at)));
        }
    }

    pub(super) fn wake_site(&mut self, at: SiteRef, time: Timestamp) {
        let Some(site) = self.sites.get_mut(at.0 as usize).and_then(Option::as_mut) else { return };
        if let Some(before) = site.alarm {
            if before <= time {
                return;
            }
            self.alarms.remove(&(before, Alarm::Site(at)));
        }
        site.alarm = Some(time);
        self.alarms.insert((time, Alarm::Site(at)));
    }

    fn judge(&mut self, at: SiteRef, now: Timestamp) -> Next {
        let speed = self.speed(at);
        let Some(site) = self.sites.get(at.0 as usize).and_then(Option::as_ref) else { return Next::Rest };
        if site.restricted || site.pause.is_some() {
            return self.judge_by_user(at, speed, now);
        }
        // The usual case: one way serves everybody.
        let path = match site.common_route(speed, now) {
            Route::Go(path) => path,
            // An end puts it back.
            Route::Full => return Next::Rest,
            Route::Dead(..) | Route::Spent => return self.judge_by_user(at, speed, now),
        };
        let window = site.window(speed, now);
        let mut otherwise = Next::Rest;
        for class in site.turns.order(site.waits(), &site.busy, self.limits.low_share_percent) {
            // What the window keeps for high may be in the way.
            if !may_hold(class, &site.busy, window) {
                continue;
            }
            match self.admit(at, site, class, path, now) {
                next @ (Next::Try(..) | Next::Park(_, Some(_))) => return next,
                next => otherwise = next,
            }
        }
        otherwise
    }

    /// Whether connections and the rule's speed let a start go.
    fn admit(&self, at: SiteRef, site: &Site, class: Class, path: u16, now: Timestamp) -> Next {
        let troubled = site.paths.get(usize::from(path)).is_some_and(Path::is_troubled);
        if !self.limits.may_connect(class, site.in_flight(), &self.busy, self.sites_in_flight)
            || (troubled && self.busy_troubled >= self.limits.troubled_max())
        {
            return Next::Later;
        }
        let pace = site.pace.and_then(|pace| self.paces.get(pace));
        match pace.map_or(Gate::Open, |pace| pace.may_start(at, class, now)) {
            Gate::Open => Next::Try(class, path),
            Gate::At(time) => Next::Park(best(site.waits(), class), Some(time)),
            Gate::Full => Next::Park(best(site.waits(), class), None),
        }
    }

    /// The same where submitters differ in their ways, or no way is open.
    fn judge_by_user(&mut self, at: SiteRef, speed: Speed, now: Timestamp) -> Next {
        let percent = self.limits.low_share_percent;
        let Some(site) = self.site_mut(at) else { return Next::Rest };
        let (window, paused) = (site.window(speed, now), site.pause(now).is_some());
        if !paused {
            site.pause = None;
        }
        let (busy, restricted) = (site.busy, site.restricted);
        let mut otherwise = Next::Rest;
        for class in site.turns.order(site.waits(), &busy, percent).collect::<Classes>() {
            let Some(site) = self.sites.get(at.0 as usize).and_then(Option::as_ref) else { return Next::Rest };
            let looks = if restricted { site.rings[class as usize].users().min(USERS_LOOK_MAX) } else { 1 };
            for _ in 0..looks {
                let Some(site) = self.sites.get_mut(at.0 as usize).and_then(Option::as_mut) else { return Next::Rest };
                let Some((user, lane)) = site.rings[class as usize].front() else { break };
                let route = if paused { Route::Dead(0, Timestamp::ZERO) } else { site.route(user, speed, now) };
                let path = match route {
                    Route::Go(path) if may_hold(class, &busy, window) => path,
                    // What the window keeps for high is in the way.
                    Route::Go(_) => break,
                    Route::Full => {
                        site.rings[class as usize].skip();
                        continue;
                    }
                    Route::Spent => {
                        otherwise = Next::Spent(lane);
                        site.rings[class as usize].skip();
                        continue;
                    }
                    Route::Dead(path, probe_at) => match self.hold(at, (class, user, lane), (path, probe_at), now) {
                        Hold::Try(path) => path,
                        Hold::Back(held) => return Next::HoldBack(class, held),
                        Hold::WaitUntil(None) => break,
                        Hold::WaitUntil(Some(time)) => {
                            otherwise = match otherwise {
                                Next::WakeAt(before) => Next::WakeAt(before.min(time)),
                                _ => Next::WakeAt(time),
                            };
                            if let Some(site) = self.site_mut(at).filter(|_| restricted) {
                                site.rings[class as usize].skip();
                            }
                            continue;
                        }
                    },
                };
                let Some(site) = self.sites.get(at.0 as usize).and_then(Option::as_ref) else { return Next::Rest };
                match self.admit(at, site, class, path, now) {
                    next @ (Next::Try(..) | Next::Park(_, Some(_))) => return next,
                    next => otherwise = next,
                }
                break;
            }
        }
        otherwise
    }

    /// What to do with the next batch of a submitter who has no live way.
    fn hold(
        &mut self,
        at: SiteRef,
        (class, user, lane): (Class, UserKey, LaneRef),
        (path, probe_at): (u16, Timestamp),
        now: Timestamp,
    ) -> Hold {
        let speed = self.speed(at);
        let Some(site) = self.sites.get(at.0 as usize).and_then(Option::as_ref) else { return Hold::WaitUntil(None) };
        let (pause, until, last) = match site.pause(now) {
            Some((rule, until)) => {
                let said = site.pause.as_ref().and_then(|(_, _, said)| said.clone());
                (Some((rule.clone(), until)), until, said)
            }
            None => (None, probe_at, site.paths.get(usize::from(path)).and_then(|path| path.last.clone())),
        };
        if until.since(now) <= PROBE_PATIENCE || (pause.is_none() && last.is_none()) {
            return Hold::WaitUntil(Some(until));
        }
        let batch = self.lanes.get(lane.0 as usize).and_then(Option::as_ref).map(|lane| &lane.queues[class as usize]);
        let must = batch.is_some_and(|queue| {
            queue.peek(user, self.limits.recipients_per_attempt).any(|slip| {
                let who = (slip.key.message, slip.attempts);
                backoff::must_be_tried(&self.schedule, who, now, slip.expires_at, site.tried_at)
            })
        });
        if must {
            let path = if pause.is_some() { site.exception(user, speed, now) } else { Some(path) };
            return path.map_or(Hold::WaitUntil(None), Hold::Try);
        }
        if !self.may_hold_back(now) {
            return Hold::WaitUntil(Some(now.plus(SCAN_WAIT_MIN)));
        }
        Hold::Back(Box::new(HeldBack { pause, last, now }))
    }

    fn may_hold_back(&mut self, now: Timestamp) -> bool {
        if now >= self.held_back.0.plus(Duration::from_secs(1)) || now < self.held_back.0 {
            self.held_back = (now, SUSPENSIONS_PER_SECOND);
        }
        self.held_back.1 > 0
    }

    /// Takes the batch whose turn it is off its queue.
    fn take(
        &mut self,
        at: SiteRef,
        class: Class,
        path: Option<u16>,
        held: Option<Box<HeldBack>>,
        now: Timestamp,
    ) -> Option<Start<P>> {
        let recipients_max = self.limits.recipients_per_attempt;
        let site = self.sites.get_mut(at.0 as usize).and_then(Option::as_mut)?;
        let (user, lane_at) = site.rings[class as usize].front()?;
        let lane = self.lanes.get_mut(lane_at.0 as usize).and_then(Option::as_mut);
        let Some((lane, Batch { slips, left })) =
            lane.and_then(|lane| lane.queues[class as usize].take(user, recipients_max).map(|batch| (lane, batch)))
        else {
            site.rings[class as usize].started(0, false);
            self.rotate(at);
            return None;
        };
        site.rings[class as usize].started(slips.len(), left);
        site.turns.started(class);
        lane.payload_bytes -= slips.iter().map(|slip| slip.payload_bytes).sum::<usize>();
        self.tickets -= slips.len();
        self.rows -= slips.iter().filter(|slip| slip.payload.is_some()).count();
        let (name, wants, is_old) = (lane.name.clone(), lane.has_more(), now >= lane.locate_at);
        let turn = match (path, held) {
            (Some(path), _) => {
                lane.in_flight += 1;
                self.sites_in_flight += usize::from(site.in_flight() == 0);
                site.started(path, class, slips.len());
                self.busy[class as usize] += 1;
                let way = site.paths.get(usize::from(path)).map(|p| (p.offer.way, p.is_troubled()));
                let (way, troubled) = way.unwrap_or_default();
                self.busy_troubled += usize::from(troubled);
                if let Some(pace) = site.pace.and_then(|pace| self.paces.get_mut(pace)) {
                    pace.started(class, now);
                }
                Turn::Try(Conversation { way, lane: lane_at, site: at, path, pace: site.pace, class })
            }
            (None, held) => {
                self.held_back.1 = self.held_back.1.saturating_sub(slips.len() as u32);
                Turn::HoldBack(held.unwrap_or_else(|| Box::new(HeldBack { pause: None, last: None, now })))
            }
        };
        if site.waits().contains(&true) {
            site.stand = Stand::Rotation;
            self.rotation.push_back(at);
        }
        if wants {
            self.want_all(lane_at);
            if !left {
                self.ran_dry(lane_at, class, user);
            }
        }
        if is_old {
            self.ask_place(lane_at);
        }
        Some(Start { at: lane_at, lane: name, class, slips, turn })
    }
}

/// The classes in the order of service, without an allocation.
struct Classes([Option<Class>; 3]);

impl FromIterator<Class> for Classes {
    fn from_iter<I: IntoIterator<Item = Class>>(classes: I) -> Self {
        let mut all = [None; 3];
        all.iter_mut().zip(classes).for_each(|(place, class)| *place = Some(class));
        Classes(all)
    }
}

impl IntoIterator for Classes {
    type Item = Class;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<Class>, 3>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().flatten()
    }
}

/// The best class that waits.
fn best(waits: [bool; 3], at_least: Class) -> Class {
    Class::ALL.into_iter().find(|class| waits[*class as usize]).unwrap_or(at_least)
}
