//! Who is served next at a site: the classes' shares (R5), and turns between submitters inside a class.
//!
//! In: who waits, how many connections each class holds.  Out: the classes in the order in which they may start; the
//! submitter whose turn it is.
//! Always: high goes first and some connections are its alone where there are two or more; low has its share of the
//! connections, or of the starts where connections are few; a submitter pays for each recipient, so that a large message
//! costs as many turns as the small ones of the others.
//! Sources: R5; algorithms F14 (deficit round-robin).

use std::collections::VecDeque;

use super::lane::LaneRef;
use crate::{event::Class, ids::UserKey};

/// Number of classes.
pub(super) const CLASSES: usize = Class::ALL.len();
/// Below this many connections the low class has turns instead of connections.
const SHARED_MIN: usize = 10;
/// Every so many starts one is low's, where it has turns, whatever the config says less.
const LOW_TURN_MAX: usize = 10;
/// Of so many connections one is high's alone, but at least one.
const RESERVE_PART: usize = 5;
/// Users who are looked at in search of one that has a way.
pub(super) const USERS_LOOK_MAX: usize = 64;

/// Connections of a window that only high may use.
pub fn reserve(window: usize) -> usize {
    if window < 2 { 0 } else { (window / RESERVE_PART).max(1) }
}

/// Whether a class may hold one connection more of a window, of which the classes hold `busy`.
pub(super) fn may_hold(class: Class, busy: &[usize; CLASSES], window: usize) -> bool {
    let [high, normal, low] = *busy;
    let others = normal + low;
    high + others < window
        && match class {
            Class::High => true,
            Class::Normal | Class::Low => others < window - reserve(window),
        }
}

/// Remembers the starts since low's last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns {
    since_low: u8,
}

impl Turns {
    pub(super) fn started(&mut self, class: Class) {
        self.since_low = if class == Class::Low { 0 } else { self.since_low.saturating_add(1) };
    }

    /// The next start is low's where it has turns.
    pub(super) fn is_lows(&self, low_share_percent: usize) -> bool {
        let turn = 100usize.checked_div(low_share_percent).unwrap_or(LOW_TURN_MAX).clamp(1, LOW_TURN_MAX);
        usize::from(self.since_low) + 1 >= turn
    }

    /// The classes that wait, in the order of service.
    pub(super) fn order(
        &self,
        waits: [bool; CLASSES],
        busy: &[usize; CLASSES],
        low_share_percent: usize,
    ) -> impl Iterator<Item = Class> {
        let next = busy.iter().sum::<usize>() + 1;
        let lows = waits[Class::Low as usize]
            && if next < SHARED_MIN {
                self.is_lows(low_share_percent)
            } else {
                busy[Class::Low as usize] * 100 < next * low_share_percent
            };
        let order =
            if lows { [Class::Low, Class::High, Class::Normal] } else { [Class::High, Class::Normal, Class::Low] };
        order.into_iter().filter(move |class| waits[*class as usize])
    }
}

/// A submitter who waits at a site, and the lanes that hold its mail.
#[derive(Debug)]
struct Waiting {
    user: UserKey,
    /// Recipients that it may still send before the others have had their turn; at most 0: it is the others' turn.
    credit: i64,
    /// The lane whose turn it is; the others follow. Most have one, and need no allocation.
    lane: LaneRef,
    others: VecDeque<LaneRef>,
}

/// The submitters of one class who wait at a site.
#[derive(Debug, Default)]
pub(super) struct Ring(VecDeque<Waiting>);

impl Ring {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn users(&self) -> usize {
        self.0.len()
    }

    /// A lane has mail of this user now, and had none.
    pub(super) fn add(&mut self, user: UserKey, lane: LaneRef) {
        match self.0.iter_mut().find(|w| w.user == user) {
            Some(waiting) => waiting.others.push_back(lane),
            None => self.0.push_back(Waiting { user, credit: 1, lane, others: VecDeque::new() }),
        }
    }

    /// A lane leaves with its mail.
    pub(super) fn remove(&mut self, user: UserKey, lane: LaneRef) {
        let Some(place) = self.0.iter().position(|w| w.user == user) else { return };
        let waiting = &mut self.0[place];
        if waiting.lane == lane {
            match waiting.others.pop_front() {
                Some(next) => waiting.lane = next,
                None => drop(self.0.remove(place)),
            }
        } else {
            waiting.others.retain(|l| *l != lane);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whose turn it is, and which lane's.
    pub(super) fn front(&mut self) -> Option<(UserKey, LaneRef)> {
        if self.0.len() == 1 {
            let alone = self.0.front_mut()?;
            alone.credit = 1;
            return Some((alone.user, alone.lane));
        }
        // Each round gives everybody one recipient; debts are at most one start's recipients.
        loop {
            let front = self.0.front_mut()?;
            if front.credit <= 0 {
                front.credit += 1;
            }
            if front.credit > 0 {
                return Some((front.user, front.lane));
            }
            self.skip();
        }
    }

    /// The one at the front lets the next go first.
    pub(super) fn skip(&mut self) {
        if let Some(front) = self.0.pop_front() {
            self.0.push_back(front);
        }
    }

    /// The one at the front has started `recipients`; `left`: its lane has more of its mail.
    pub(super) fn started(&mut self, recipients: usize, left: bool) {
        let Some(front) = self.0.front_mut() else { return };
        front.credit -= i64::try_from(recipients).unwrap_or(i64::MAX);
        if !front.others.is_empty() {
            let last = front.lane;
            if left {
                front.others.push_back(last);
            }
            if let Some(next) = front.others.pop_front() {
                front.lane = next;
            }
        } else if !left {
            self.0.pop_front();
            return;
        }
        if self.0.len() > 1 && self.0.front().is_some_and(|f| f.credit <= 0) {
            self.skip();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(turns: Turns, waits: [bool; 3], busy: [usize; 3]) -> Vec<Class> {
        turns.order(waits, &busy, 10).collect()
    }

    #[test]
    fn high_goes_first_and_low_keeps_its_share() {
        use Class::{High, Low, Normal};
        let (new, late) = (Turns::default(), Turns { since_low: 9 });
        for (turns, waits, busy, expected) in [
            (new, [true; 3], [0, 0, 0], vec![High, Normal, Low]),
            (late, [true; 3], [0, 0, 0], vec![Low, High, Normal]),
            (late, [true, true, false], [0, 0, 0], vec![High, Normal]),
            // From ten connections on it is connections that count, whatever the turns say.
            (late, [true; 3], [3, 14, 2], vec![High, Normal, Low]),
            (new, [true; 3], [3, 15, 1], vec![Low, High, Normal]),
            (new, [true; 3], [9, 0, 0], vec![Low, High, Normal]),
        ] {
            assert_eq!(orders(turns, waits, busy), expected, "{waits:?} {busy:?}");
        }
    }

    #[test]
    fn some_connections_are_highs_alone_where_there_are_two() {
        for (window, reserved) in [(1, 0), (2, 1), (5, 1), (9, 1), (10, 2), (20, 4)] {
            assert_eq!(reserve(window), reserved);
            let full = [0, window - reserved, 0];
            assert!(!may_hold(Class::Normal, &full, window) && !may_hold(Class::Low, &full, window));
            assert_eq!(may_hold(Class::High, &full, window), reserved > 0);
        }
        assert!(may_hold(Class::Low, &[4, 0, 0], 5), "what high leaves is for the others");
    }

    #[test]
    fn a_recipient_costs_a_turn() {
        let (a, b, lane) = (UserKey::from_u64(1), UserKey::from_u64(2), LaneRef(0));
        let mut ring = Ring::default();
        ring.add(a, lane);
        ring.add(b, lane);
        let mut sent = [0usize; 2];
        for _ in 0..1_010 {
            let (user, _) = ring.front().expect("both wait");
            // One sends to a hundred at a time, the other to one.
            let (who, cost) = if user == a { (0, 100) } else { (1, 1) };
            sent[who] += cost;
            ring.started(cost, true);
        }
        assert!(sent[0].abs_diff(sent[1]) <= 100, "{sent:?}");
    }

    #[test]
    fn lanes_of_a_user_take_turns_and_leave() {
        let user = UserKey::from_u64(1);
        let mut ring = Ring::default();
        (0..3).for_each(|n| ring.add(user, LaneRef(n)));
        let mut order = Vec::new();
        for left in [true, true, false, true, false, true] {
            order.push(ring.front().expect("some wait").1.0);
            ring.started(1, left);
        }
        assert_eq!(order, [0, 1, 2, 0, 1, 0]);
        ring.remove(user, LaneRef(0));
        assert!(ring.is_empty());
    }
}
