//! A site: lanes that share their hosts share its ways, its troubles, its pauses, and the turns of their mail.
//!
//! In: what `locate` said, ends of conversations, the time.  Out: the way that the next one takes, or why there is none.
//! Always: each way has its own window and its own troubles, so that one that is dead leaves the others alone; a dead way
//! bears one probe at a time; ways are chosen by their weights among those that can take one more.
//! Sources: algorithms F2 and F4.

use std::{sync::Arc, time::Duration};

use super::{
    fair::{CLASSES, Ring, Turns},
    lane::End,
    limits::{Feedback, PROBE_WAIT_MAX, Speed, probe_wait},
    pace::{PaceRef, Parked},
    place::{Offer, Push, PushKind, WAYS_MAX},
    trouble::Temper,
    window::Window,
};
use crate::{
    clock::Timestamp,
    event::{AttemptDetail, Class},
    ids::UserKey,
};

/// A conversation by a way of weight 1 moves its turn by this much; by others by a part of it.
const TURN: u64 = 1 << 20;

/// A way that was dead must answer this long before everybody who waits for it is made due. What was held back in its last
/// dead moment is on disk by then.
pub(super) const SETTLE: Duration = Duration::from_secs(2);

/// A site in RAM.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SiteRef(pub(super) u32);

/// Where a site stands among those that want to start something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stand {
    /// It has nothing to start, or waits for something that will happen.
    Rest,
    /// It takes its turn.
    Rotation,
    /// It waits for its rule's speed.
    Parked(Parked),
}

/// A dead way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dead {
    pub(super) since: Timestamp,
    probes: u32,
    pub(super) probe_at: Timestamp,
}

/// A way, and how it behaves.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) offer: Offer,
    /// The last answer named it; if not, its conversations end and it is forgotten.
    pub(super) offered: bool,
    pub(super) window: Window,
    pub(super) busy: usize,
    pub(super) dead: Option<Dead>,
    /// Troubles since the last success.
    pub(super) troubles: u32,
    /// What the last bad conversation met.
    pub(super) last: Option<Arc<AttemptDetail>>,
    /// A ceiling that a response rule set, and until when.
    pub(super) slow: Option<(usize, Timestamp)>,
    /// Conversations so far, in parts of its weight: the least is next.
    turn: u64,
}

/// What the ways of a site say to a start.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Route {
    /// By this way.
    Go(u16),
    /// All are in use; an end changes that.
    Full,
    /// All are dead; this one is probed first, at that time.
    Dead(u16, Timestamp),
    /// All caps are used up; the next answer changes that.
    Spent,
}

/// The site.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) key: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) paths: Vec<Path>,
    pub(super) rings: [Ring; CLASSES],
    pub(super) busy: [usize; CLASSES],
    pub(super) turns: Turns,
    pub(super) pace: Option<PaceRef>,
    pub(super) stand: Stand,
    pub(super) alarm: Option<Timestamp>,
    /// Lanes in RAM that go here.
    pub(super) lanes: usize,
    /// A dead way answers again: when those who wait for the site are made due.
    pub(super) back_at: Option<Timestamp>,
    /// The response rule that pauses it, until when, and what it answered to.
    pub(super) pause: Option<(Arc<str>, Timestamp, Option<Arc<AttemptDetail>>)>,
    /// When its last conversation ended that says something about it.
    pub(super) tried_at: Timestamp,
    /// Some ways are for some submitters only.
    pub(super) restricted: bool,
    /// When it was last made use of: after that it is forgotten.
    pub(super) used_at: Timestamp,
    /// How it fared, for people.
    pub(super) temper: Temper,
}

impl Path {
    fn new(offer: Offer, limit: usize, turn: u64) -> Self {
        Path {
            offer,
            offered: true,
            window: Window::new(limit),
            busy: 0,
            dead: None,
            troubles: 0,
            last: None,
            slow: None,
            turn,
        }
    }

    /// Connections that it bears now.
    pub(super) fn limit(&self, speed: Speed, now: Timestamp) -> usize {
        if self.dead.is_some() {
            return 1;
        }
        if speed.fixed {
            return speed.connections_max;
        }
        let ceiling = self.slow.filter(|(_, until)| now < *until).map_or(usize::MAX, |(ceiling, _)| ceiling);
        self.window.n().min(ceiling).min(speed.connections_max).max(1)
    }

    pub(super) fn is_troubled(&self) -> bool {
        self.dead.is_some() || self.window.is_troubled()
    }

    fn admits(&self, user: UserKey) -> bool {
        self.offer.users.is_empty() || self.offer.users.contains(&user)
    }

    /// True when the way was dead and is no longer.
    fn ended(&mut self, end: &End<'_>, busy: usize, speed: Speed, now: Timestamp) -> bool {
        let was_dead = self.dead.is_some();
        let fixed = speed.fixed.then_some(speed.connections_max);
        match end.feedback {
            Feedback::Healthy => {
                if self.dead.take().is_some() {
                    self.window = Window::new(speed.connections_max);
                }
                self.troubles = 0;
                self.last = None;
                self.window.succeeded(busy, speed.connections_max);
            }
            Feedback::Trouble => {
                self.troubles = self.troubles.saturating_add(1);
                if let Some(said) = end.said {
                    self.last = Some(Arc::new(said.clone()));
                }
                if self.dead.is_none() && self.window.failed(fixed) {
                    self.dead = Some(Dead { since: now, probes: 0, probe_at: now });
                }
                self.next_probe(1, now);
            }
            Feedback::Unknown => self.next_probe(0, now),
        }
        was_dead && self.dead.is_none()
    }

    /// Connections that were open when the trouble began are one piece of news, not many: the last of them sets the probe.
    fn next_probe(&mut self, step: u32, now: Timestamp) {
        if let Some(dead) = &mut self.dead
            && self.busy == 0
        {
            dead.probes = dead.probes.saturating_add(step).max(1);
            dead.probe_at = now.plus(probe_wait(dead.probes));
        }
    }
}

impl Site {
    pub(super) fn new(key: Arc<str>, name: Arc<str>, now: Timestamp) -> Self {
        Site {
            key,
            name,
            paths: Vec::new(),
            rings: [(); CLASSES].map(|()| Ring::default()),
            busy: [0; CLASSES],
            turns: Turns::default(),
            pace: None,
            stand: Stand::Rest,
            alarm: None,
            lanes: 0,
            back_at: None,
            pause: None,
            tried_at: Timestamp::ZERO,
            restricted: false,
            used_at: now,
            temper: Temper::default(),
        }
    }

    /// Takes over the ways of the newest answer; those that are no more among them end with their conversations.
    pub(super) fn offer(&mut self, offers: &[Offer], limit: usize) {
        let any = [Offer::any()];
        let offers = if offers.is_empty() { &any } else { offers };
        self.paths.iter_mut().for_each(|path| path.offered = false);
        self.paths.reserve_exact(offers.len().min(WAYS_MAX).saturating_sub(self.paths.len()));
        let mut new = Vec::new();
        for offer in offers.iter().take(WAYS_MAX) {
            match self.paths.iter_mut().find(|path| path.offer.way == offer.way) {
                Some(path) => {
                    path.offered = true;
                    path.offer.clone_from(offer);
                }
                None => new.push(offer),
            }
        }
        // Who was not there before starts level with the others, and catches nothing up.
        let level = self.paths.iter().filter(|p| p.offered).map(|p| p.turn).min().unwrap_or(0);
        for offer in new {
            let path = Path::new(offer.clone(), limit, level);
            match self.paths.iter().position(|path| !path.offered && path.busy == 0) {
                Some(unused) => self.paths[unused] = path,
                None if self.paths.len() < 2 * WAYS_MAX => self.paths.push(path),
                None => {}
            }
        }
        self.paths.iter_mut().for_each(|path| path.turn = path.turn.max(level));
        self.restricted = self.paths.iter().any(|path| path.offered && !path.offer.users.is_empty());
    }

    /// The ways that the last answer named.
    pub(super) fn offered(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter().filter(|path| path.offered)
    }

    pub(super) fn waits(&self) -> [bool; CLASSES] {
        [0, 1, 2].map(|class: usize| !self.rings[class].is_empty())
    }

    pub(super) fn in_flight(&self) -> usize {
        self.busy.iter().sum()
    }

    /// Connections that all ways together bear now.
    pub(super) fn window(&self, speed: Speed, now: Timestamp) -> usize {
        let sum: usize = self.offered().map(|path| path.limit(speed, now)).sum();
        sum.min(speed.connections_of_rule).max(1)
    }

    /// The response rule that pauses it now, and until when.
    pub(super) fn pause(&self, now: Timestamp) -> Option<(&Arc<str>, Timestamp)> {
        self.pause.as_ref().filter(|(_, until, _)| now < *until).map(|(rule, until, _)| (rule, *until))
    }

    /// All its ways are dead: since when, and when the next probe is.
    pub(super) fn trouble(&self) -> Option<(Timestamp, Timestamp)> {
        let mut worst: Option<(Timestamp, Timestamp)> = None;
        for path in self.offered() {
            let dead = path.dead?;
            let (since, probe_at) = worst.unwrap_or((Timestamp::ZERO, Timestamp::MAX));
            worst = Some((since.max(dead.since), probe_at.min(dead.probe_at)));
        }
        worst
    }

    /// What the last bad conversation met, of the way that answered so longest ago or now.
    pub(super) fn last(&self) -> Option<&Arc<AttemptDetail>> {
        self.offered().filter(|p| p.troubles > 0).find_map(|p| p.last.as_ref())
    }

    /// [`Site::route`] where nobody has a way of its own.
    pub(super) fn common_route(&self, speed: Speed, now: Timestamp) -> Route {
        self.route(UserKey::default(), speed, now)
    }

    /// The way that the next conversation of `user` takes. Ways that are for others count only where none is for this one:
    /// its mail must not be stuck for ever.
    pub(super) fn route(&self, user: UserKey, speed: Speed, now: Timestamp) -> Route {
        let own = !self.restricted || self.offered().any(|path| path.admits(user));
        let (mut best, mut full, mut dead): (Option<u16>, bool, Option<(u16, Timestamp)>) = (None, false, None);
        for (at, path) in self.paths.iter().enumerate() {
            if !path.offered || (own && !path.admits(user)) || path.offer.cap == Some(0) {
                continue;
            }
            let at = u16::try_from(at).unwrap_or(u16::MAX);
            // A clock that stepped back must not postpone the probe.
            let sleeps = |d: &Dead| now < d.probe_at && d.probe_at.since(now) <= PROBE_WAIT_MAX;
            if path.busy >= path.limit(speed, now) {
                full = true;
            } else if let Some(d) = path.dead.filter(sleeps) {
                if dead.is_none_or(|(_, probe_at)| d.probe_at < probe_at) {
                    dead = Some((at, d.probe_at));
                }
            } else if best.is_none_or(|b| path.turn < self.paths[usize::from(b)].turn) {
                best = Some(at);
            }
        }
        match (best, full, dead) {
            (Some(at), _, _) => Route::Go(at),
            (None, true, _) => Route::Full,
            (None, false, Some((at, probe_at))) => Route::Dead(at, probe_at),
            (None, false, None) => Route::Spent,
        }
    }

    /// A way for one conversation that a pause lets through; `None`: something runs already.
    pub(super) fn exception(&self, user: UserKey, speed: Speed, now: Timestamp) -> Option<u16> {
        if self.in_flight() > 0 {
            return None;
        }
        match self.route(user, speed, now) {
            Route::Go(at) | Route::Dead(at, _) => Some(at),
            Route::Full | Route::Spent => None,
        }
    }

    /// A conversation begins.
    pub(super) fn started(&mut self, at: u16, class: Class, recipients: usize) {
        self.busy[class as usize] += 1;
        let Some(path) = self.paths.get_mut(usize::from(at)) else { return };
        path.busy += 1;
        if let Some(cap) = &mut path.offer.cap {
            *cap = cap.saturating_sub(recipients as u64);
        }
        if self.paths.len() > 1 {
            let turn = self.paths[usize::from(at)].turn;
            // Those that could not go now do not catch up later.
            self.paths.iter_mut().for_each(|path| path.turn = path.turn.max(turn));
            let path = &mut self.paths[usize::from(at)];
            path.turn += TURN / u64::from(path.offer.weight.clamp(1, 1_000_000));
        }
    }

    /// A conversation ended.
    pub(super) fn ended(&mut self, at: u16, class: Class, end: &End<'_>, speed: Speed, now: Timestamp) {
        let of_class = &mut self.busy[class as usize];
        *of_class = of_class.saturating_sub(1);
        self.used_at = now;
        if end.feedback != Feedback::Unknown {
            self.tried_at = now;
        }
        let connections = self.window(speed, now);
        if let Some(path) = self.paths.get_mut(usize::from(at)) {
            let busy = path.busy;
            path.busy = busy.saturating_sub(1);
            if path.ended(end, busy, speed, now) {
                self.back_at = Some(now.plus(SETTLE));
            }
        }
        if let Some(push) = end.push {
            self.push(push, end.said, speed, now);
        }
        let is_down = self.pause(now).is_some() || self.trouble().is_some();
        self.temper.ended(end, connections, is_down, now);
    }

    fn push(&mut self, push: &Push, said: Option<&AttemptDetail>, speed: Speed, now: Timestamp) {
        let until = now.plus(push.duration);
        match push.what {
            PushKind::Pause => {
                let longer = self.pause(now).is_none_or(|(_, before)| before < until);
                if longer {
                    self.pause = Some((push.rule.clone(), until, said.map(|said| Arc::new(said.clone()))));
                }
            }
            PushKind::Slow => {
                for path in &mut self.paths {
                    let half = (path.window.n().min(speed.connections_max) / 2).max(1);
                    path.slow = Some(match path.slow.filter(|(_, before)| now < *before) {
                        Some((ceiling, before)) => (ceiling.min(half), before.max(until)),
                        None => (half, until),
                    });
                }
            }
        }
    }

    /// The operator wants to know now: every dead way has its probe at once.
    pub(super) fn probe_now(&mut self, now: Timestamp) {
        for dead in self.paths.iter_mut().filter_map(|path| path.dead.as_mut()) {
            dead.probe_at = dead.probe_at.min(now);
        }
    }

    /// It remembers something that the next mail should know.
    pub(super) fn remembers(&self, now: Timestamp) -> bool {
        let slow = |path: &Path| path.slow.is_some_and(|(_, until)| now < until);
        self.pause(now).is_some() || self.paths.iter().any(|path| path.is_troubled() || slow(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::place::Way;

    const NOW: Timestamp = Timestamp::from_millis(1_795_527_310_000);
    const SPEED: Speed = Speed { connections_max: 20, connections_of_rule: usize::MAX, fixed: false };
    const TROUBLE: End<'static> =
        End { feedback: Feedback::Trouble, said: None, push: None, delivered: 0, deferred: 0 };
    const HEALTHY: End<'static> =
        End { feedback: Feedback::Healthy, said: None, push: None, delivered: 0, deferred: 0 };

    fn offer(n: u8, weight: u32) -> Offer {
        let way = Way { v4: Some(std::net::IpAddr::from([192, 0, 2, n])), v6: None };
        Offer { way, weight, users: Vec::new(), cap: None }
    }

    fn site(offers: &[Offer]) -> Site {
        let mut site = Site::new("key".into(), "name".into(), NOW);
        site.offer(offers, 20);
        site
    }

    fn go(site: &mut Site, user: UserKey, now: Timestamp) -> Option<u16> {
        let Route::Go(at) = site.route(user, SPEED, now) else { return None };
        site.started(at, Class::Normal, 1);
        Some(at)
    }

    #[test]
    fn ways_are_taken_by_their_weights_and_nothing_is_caught_up() {
        let mut site = site(&[offer(1, 3), offer(2, 1)]);
        let mut used = [0; 2];
        for _ in 0..400 {
            let at = go(&mut site, UserKey::default(), NOW).expect("both live");
            used[usize::from(at)] += 1;
            site.ended(at, Class::Normal, &HEALTHY, SPEED, NOW);
        }
        assert_eq!(used, [300, 100]);
        // One is dead for a while; when it is back, the weights hold from then on.
        while site.paths[1].dead.is_none() {
            site.started(1, Class::Normal, 1);
            site.ended(1, Class::Normal, &TROUBLE, SPEED, NOW);
        }
        assert_eq!(site.trouble(), None);
        let at = site.paths[1].dead.expect("dead").probe_at;
        for _ in 0..100 {
            assert_eq!(go(&mut site, UserKey::default(), NOW), Some(0), "the other carries on");
            site.ended(0, Class::Normal, &HEALTHY, SPEED, NOW);
        }
        site.started(1, Class::Normal, 1);
        site.ended(1, Class::Normal, &HEALTHY, SPEED, at);
        let mut used = [0; 2];
        for _ in 0..40 {
            let way = go(&mut site, UserKey::default(), at).expect("both live");
            used[usize::from(way)] += 1;
            site.ended(way, Class::Normal, &HEALTHY, SPEED, at);
        }
        assert!((28..=32).contains(&used[0]), "{used:?}");
    }

    #[test]
    fn a_way_may_belong_to_some_and_may_be_used_up() {
        let (own, other) = (UserKey::from_u64(1), UserKey::from_u64(2));
        let restricted = Offer { users: vec![own], ..offer(1, 1) };
        let capped = Offer { cap: Some(3), ..offer(2, 1) };
        let mut both = site(&[restricted.clone(), capped.clone()]);
        for _ in 0..3 {
            assert_eq!(go(&mut both, other, NOW), Some(1));
        }
        assert_eq!(both.route(other, SPEED, NOW), Route::Spent);
        assert_eq!(both.route(own, SPEED, NOW), Route::Go(0));
        both.offer(&[restricted.clone(), capped], 20);
        assert_eq!(both.route(other, SPEED, NOW), Route::Go(1));
        let only = site(&[restricted]);
        assert_eq!(only.route(other, SPEED, NOW), Route::Go(0), "nobody's mail is stuck for ever");
    }

    #[test]
    fn a_way_that_leaves_ends_with_its_conversations() {
        let mut site = site(&[offer(1, 1)]);
        assert_eq!(go(&mut site, UserKey::default(), NOW), Some(0));
        site.offer(&[offer(2, 1)], 20);
        assert_eq!(go(&mut site, UserKey::default(), NOW), Some(1));
        site.ended(0, Class::Normal, &HEALTHY, SPEED, NOW);
        site.offer(&[offer(2, 1), offer(3, 1)], 20);
        assert_eq!(site.paths.len(), 2, "its place is used again");
    }

    #[test]
    fn rules_pause_and_slow_and_a_fixed_speed_stays() {
        let mut site = site(&[offer(1, 1)]);
        for _ in 0..400 {
            site.started(0, Class::Normal, 1);
            site.paths[0].busy = 20;
            site.ended(0, Class::Normal, &HEALTHY, SPEED, NOW);
        }
        site.paths[0].busy = 0;
        assert_eq!(site.window(SPEED, NOW), 20);
        let push = |what| Push { rule: "busy".into(), what, duration: Duration::from_secs(60) };
        let (slow, pause) = (push(PushKind::Slow), push(PushKind::Pause));
        site.ended(0, Class::Normal, &End { push: Some(&slow), ..HEALTHY }, SPEED, NOW);
        site.ended(0, Class::Normal, &End { push: Some(&slow), ..HEALTHY }, SPEED, NOW);
        assert_eq!(site.window(SPEED, NOW), 10, "a second answer of the same burst halves nothing again");
        let fixed = Speed { fixed: true, connections_max: 4, ..SPEED };
        assert_eq!(site.window(fixed, NOW), 4);
        assert_eq!(site.window(SPEED, NOW.plus(Duration::from_secs(60))), 20);
        site.ended(0, Class::Normal, &End { push: Some(&pause), ..HEALTHY }, SPEED, NOW);
        assert!(site.pause(NOW).is_some() && site.pause(NOW.plus(Duration::from_secs(60))).is_none());
    }
}
