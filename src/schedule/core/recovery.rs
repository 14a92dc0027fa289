//! A dead site answers again: who waited for it is made due on disk, so that its backlog drains at full speed.
//!
//! In: sites with a way that was dead and is no longer.  Out: [`Recovered`] lanes, for the shell to walk over their recipients
//! on disk.
//! Always: a site must answer for a moment first, and one that is dead again is left alone until its next recovery; a lane
//! has one walk at a time and a rest after it, so that a site that flaps cannot keep the disk busy; a recovery during that
//! rest is remembered, not lost. Lanes that RAM does not know, because nobody of theirs has been due for a while, are not
//! looked for: they come when one of theirs is due by itself.

use std::{collections::HashSet, time::Duration};

use super::{
    super::{
        lane::{Back, LaneRef, Recovered},
        site::SiteRef,
    },
    Alarm, Core,
};
use crate::clock::Timestamp;

/// A lane's recipients are walked over at most this often.
const WALK_REST: Duration = Duration::from_secs(60);
/// Sites that came back are looked for at most this often: when the whole network was away, they all come at once.
const LOOK_WAIT: Duration = Duration::from_secs(1);
/// While a walk runs, what it has made due is looked for this often.
const READ_WAIT: Duration = Duration::from_secs(1);

impl<P> Core<P> {
    /// The next lane whose recipients that wait for their site are to be made due; [`Core::walked`] answers.
    pub fn recovered(&mut self, now: Timestamp) -> Option<Recovered> {
        while let Some(at) = self.recoveries.pop_front() {
            let Some(lane) = self.lane_mut(at).filter(|lane| lane.back == Back::Wanted) else { continue };
            let (site, name) = (lane.site, lane.name.clone());
            if site.and_then(|at| self.site_mut(at)).is_some_and(|site| site.trouble().is_some()) {
                self.set_back(at, Back::No);
                continue;
            }
            self.set_back(at, Back::Runs { again: false });
            self.alarms.insert((now.plus(READ_WAIT), Alarm::Walk(at)));
            return Some(Recovered { at, lane: name });
        }
        None
    }

    /// A walk ended; `moved`: somebody may be due who was not before.
    pub fn walked(&mut self, at: LaneRef, moved: bool, now: Timestamp) {
        let Some(lane) = self.lane_mut(at) else { return };
        let again = lane.back == Back::Runs { again: true };
        let until = now.plus(WALK_REST);
        lane.back = Back::Rests { until, again };
        self.alarms.insert((until, Alarm::Walk(at)));
        if moved {
            self.read_anew(at);
        }
    }

    /// The alarm of sites that came back rang.
    pub(super) fn bring_back(&mut self, now: Timestamp) {
        let look_at = self.looked_back_at.plus(LOOK_WAIT);
        // A clock that stepped back must not postpone it.
        if now >= self.looked_back_at && now < look_at {
            self.alarms.insert((look_at, Alarm::Back));
            return;
        }
        self.looked_back_at = now;
        let mut back: HashSet<SiteRef> = HashSet::new();
        let mut next: Option<Timestamp> = None;
        for (at, site) in self.sites.iter_mut().enumerate() {
            let Some(site) = site else { continue };
            let Some(mut time) = site.back_at.take() else { continue };
            if site.trouble().is_some() {
                continue;
            }
            if let Some((_, until)) = site.pause(now) {
                // A rule lets nothing go: made due now, they would only be held back once more.
                time = time.max(until);
            }
            if time > now {
                site.back_at = Some(time);
                next = Some(next.map_or(time, |next| next.min(time)));
            } else {
                back.insert(SiteRef(at as u32));
            }
        }
        if let Some(time) = next {
            self.alarms.insert((time, Alarm::Back));
        }
        if back.is_empty() {
            return;
        }
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            let Some(lane) = lane.as_mut().filter(|lane| lane.site.is_some_and(|site| back.contains(&site))) else {
                continue;
            };
            match &mut lane.back {
                Back::No => {
                    lane.back = Back::Wanted;
                    self.recoveries.push_back(LaneRef(at as u32));
                }
                Back::Wanted => {}
                Back::Runs { again } | Back::Rests { again, .. } => *again = true,
            }
        }
    }

    /// A lane's walk runs, or has rested.
    pub(super) fn wake_walk(&mut self, at: LaneRef, now: Timestamp) {
        let Some(lane) = self.lane_mut(at) else { return };
        match lane.back {
            Back::Runs { .. } => {
                self.read_anew(at);
                self.alarms.insert((now.plus(READ_WAIT), Alarm::Walk(at)));
            }
            Back::Rests { until, again: true } if until <= now => {
                lane.back = Back::Wanted;
                self.recoveries.push_back(at);
            }
            Back::Rests { until, again: false } if until <= now => lane.back = Back::No,
            Back::Rests { .. } | Back::No | Back::Wanted => {}
        }
    }

    fn set_back(&mut self, at: LaneRef, back: Back) {
        if let Some(lane) = self.lane_mut(at) {
            lane.back = back;
        }
    }

    /// Rows of the lane came to be due on disk.
    fn read_anew(&mut self, at: LaneRef) {
        let Some(lane) = self.lane_mut(at) else { return };
        for class in 0..lane.more.len() {
            lane.more[class] = true;
            // The answer under way may not have them.
            lane.missed[class] |= lane.loading[class];
        }
        self.want_all(at);
    }
}
