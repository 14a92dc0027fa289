//! How much may happen at once: tickets in RAM, connections in all and to one destination.
//!
//! In: numbers.  Out: yes or no.
//! Always: a site that has no connection can get one while any is left that is not high's alone; nothing here grows with the
//! backlog (P5).
//! Sources: R5 for the shares of the classes; a shared window whose share shrinks as it fills is the dynamic threshold of
//! shared packet buffers: k greedy lanes get equal parts of it each and leave as much for those who come later; the same
//! again among the classes of a lane.

use std::time::Duration;

use super::{fair::CLASSES, place::Rate};
use crate::event::Class;

/// Lanes that RAM knows at once; others wait on disk until one of these is idle. About 2 KiB each, with their sites.
pub const LANES_MAX: usize = 10_000;
/// Sites that RAM remembers although no lane in RAM goes there.
pub const SITES_KEPT_MAX: usize = 2_000;
/// How long a site in trouble is remembered after its last use.
pub const SITE_MEMORY: Duration = Duration::from_secs(1_800);
/// Tickets that each class of a known lane may hold whatever the others hold, so that nobody starves nobody (P6, R5).
pub const CLASS_TICKETS_FLOOR: usize = 2;
/// Tickets in RAM at most, floors included: 20 MiB at [`TICKET_BYTES`].
pub const TICKETS_MAX: usize = 100_000;
/// RAM of a queued ticket without its message: its place in the queue and in the set of known recipients.
pub const TICKET_BYTES: usize = 208;
/// RAM of a message's row with one recipient, beside its body.
pub const ROW_BYTES: usize = 1_536;
/// A lane and class with fewer tickets than this, and more on disk, is loaded again: what twenty connections use up while
/// the disk is read.
pub const LOW_WATER: usize = 256;
/// Tickets read from disk in one go.
pub const LOAD_MAX: usize = 1_024;
/// Tickets of one message in such a read: two batches, so that it hides none of its submitter's other mail.
pub const LOAD_OF_MESSAGE_MAX: usize = 200;
/// A submitter with fewer messages than this in a lane and class has its fresh mail taken whatever waits on disk.
pub const USER_MESSAGES_FLOOR: usize = 16;
/// Rows that a read asks for at least, to find submitters with little in RAM where one has filled the lane's room.
pub const LOAD_MIN: usize = 128;
/// The first wait between probes of a site in trouble; it doubles up to [`PROBE_WAIT_MAX`].
pub const PROBE_WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest wait between two probes of a site in trouble.
pub const PROBE_WAIT_MAX: Duration = Duration::from_secs(300);
/// Tickets wait in RAM for a probe that comes this soon; for a later one they are deferred with the site's last answer.
pub const PROBE_PATIENCE: Duration = Duration::from_secs(10);
/// Recipients a second that are deferred without a conversation, so that a dead site's backlog does not keep the disk busy.
pub const SUSPENSIONS_PER_SECOND: u32 = 2_000;
/// Of all connections one in so many is high's alone.
const HIGH_PART: usize = 50;
/// … where there are at least so many.
const HIGH_PART_MIN: usize = 10;

/// The limits that the config file sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections at once in all; at least 1.
    pub connections_total: usize,
    /// Connections at once to one destination, by one way; at least 1.
    pub connections_per_destination: usize,
    /// Recipients of one attempt; at least 1.
    pub recipients_per_attempt: usize,
    /// Tickets in RAM, the lanes' floors included.
    pub tickets_max: usize,
    /// Octets of bodies and rows that one lane may keep in RAM beside its running attempts.
    pub lane_payload_max: usize,
    /// What the low class is guaranteed at a busy destination, in hundredths.
    pub low_share_percent: usize,
}

/// How fast a site may go: the general limit and its rule's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Speed {
    /// Connections by one way at most; at least 1.
    pub connections_max: usize,
    /// Connections that all sites of the rule share.
    pub connections_of_rule: usize,
    /// The rule's speed stays when the destination pushes back.
    pub fixed: bool,
}

impl Limits {
    /// Limits for a memory budget of `memory` bytes: at most a sixteenth of it for tickets, an eighth for one lane's bodies.
    pub fn for_memory(memory: usize, connections_total: usize, per_destination: usize, recipients: usize) -> Self {
        Limits {
            connections_total: connections_total.max(1),
            connections_per_destination: per_destination.max(1),
            recipients_per_attempt: recipients.max(1),
            tickets_max: (memory / 16 / TICKET_BYTES).clamp(1_000, TICKETS_MAX),
            lane_payload_max: memory / 8,
            low_share_percent: 10,
        }
    }

    /// Lanes that RAM knows at once: their floors take three fifths of the tickets at most.
    pub fn lanes_max(&self) -> usize {
        (self.tickets_max * 3 / 5 / (CLASSES * CLASS_TICKETS_FLOOR)).clamp(1, LANES_MAX)
    }

    /// Tickets that are nobody's by right.
    pub fn shared_tickets(&self) -> usize {
        self.tickets_max.saturating_sub(self.lanes_max() * CLASSES * CLASS_TICKETS_FLOOR)
    }

    /// Tickets that a class may add while it holds `of_class`, its lane `of_lane`, and all lanes `total`.
    pub fn room(&self, of_class: usize, of_lane: usize, total: usize) -> usize {
        let share = self.shared_tickets().saturating_sub(total);
        let room = share.saturating_sub(of_lane).saturating_sub(of_class);
        room.max(CLASS_TICKETS_FLOOR.saturating_sub(of_class))
    }

    /// Whether a ticket enters a lane and class: there is room, or its submitter has fewer than
    /// [`USER_MESSAGES_FLOOR`] messages there and RAM as a whole is not full.
    pub fn admits(
        &self,
        of_class: usize,
        of_lane: usize,
        total: usize,
        messages_of_user: impl FnOnce() -> usize,
    ) -> bool {
        self.room(of_class, of_lane, total) > 0
            || (total < self.shared_tickets() && messages_of_user() < USER_MESSAGES_FLOOR)
    }

    /// How fast a site of that rule may go.
    pub(super) fn speed(&self, rate: Option<&Rate>) -> Speed {
        let of_rule = rate.and_then(|rate| rate.connections_max).unwrap_or(usize::MAX).max(1);
        Speed {
            connections_max: self.connections_per_destination.min(of_rule),
            connections_of_rule: of_rule,
            fixed: rate.is_some_and(|rate| rate.fixed),
        }
    }

    /// A site with `mine` of the connections, which `sites` sites share and of which the classes hold `busy`, may open one
    /// more. Once four fifths of the total are used a site keeps to its fair share; the last tenth is for sites that have
    /// none; the last of all are high's, and low's while it has less than its share.
    pub fn may_connect(&self, class: Class, mine: usize, busy: &[usize; CLASSES], sites: usize) -> bool {
        let (used, total) = (busy.iter().sum::<usize>(), self.connections_total);
        if used >= total {
            return false;
        }
        let reserve = if total < HIGH_PART_MIN { 0 } else { (total / HIGH_PART).max(1) };
        let is_owed = match class {
            Class::High => true,
            Class::Normal => false,
            Class::Low => busy[Class::Low as usize] * 100 < total * self.low_share_percent,
        };
        if used + reserve >= total && !is_owed {
            return false;
        }
        if mine == 0 {
            return true;
        }
        if used * 10 >= total * 9 {
            return false;
        }
        used * 5 < total * 4 || mine < total / (sites + 1).max(1)
    }

    /// Connections that sites in trouble may hold together: half, so that many dead sites leave room for the living.
    pub fn troubled_max(&self) -> usize {
        (self.connections_total / 2).max(1)
    }
}

/// The wait before probe number `probes` (from 1) of a site in trouble.
pub fn probe_wait(probes: u32) -> Duration {
    PROBE_WAIT_MIN.saturating_mul(1 << probes.saturating_sub(1).min(16)).min(PROBE_WAIT_MAX)
}

/// What an attempt taught about its site.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feedback {
    /// A host answered and took commands.
    Healthy,
    /// Connection, greeting, EHLO trouble, or 421 in any phase.
    Trouble,
    /// Nothing was learnt.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::for_memory(512 << 20, 100, 20, 100)
    }

    #[test]
    fn greedy_lanes_share_the_window_and_leave_room_for_others() {
        let limits = limits();
        for greedy in [1usize, 2, 5, 50] {
            let mut held = vec![0usize; greedy];
            let mut grew = true;
            while grew {
                grew = false;
                for lane in 0..greedy {
                    let total: usize = held.iter().sum();
                    let add = limits.room(held[lane], held[lane], total).min(64);
                    held[lane] += add;
                    grew |= add > 0;
                }
            }
            let total: usize = held.iter().sum();
            assert!(total <= limits.tickets_max, "{greedy} lanes hold {total}");
            let newcomer = limits.room(0, 0, total);
            assert!(newcomer * (greedy + 3) > limits.shared_tickets(), "{greedy} lanes leave {newcomer}");
            // So does a class of a lane that another class has filled.
            let class = limits.room(0, held[0], total);
            assert!(class * 2 > held[0], "{greedy} lanes leave {class} to another class");
        }
        assert!(limits.room(0, usize::MAX / 2, usize::MAX / 2) >= CLASS_TICKETS_FLOOR);
    }

    #[test]
    fn a_site_without_a_connection_gets_one_while_any_is_left_that_is_not_highs() {
        let limits = limits();
        let normal = |mine, used, sites| limits.may_connect(Class::Normal, mine, &[0, used, 0], sites);
        assert!(normal(0, 97, 97));
        assert!(!normal(0, 98, 98), "the last two are high's");
        assert!(limits.may_connect(Class::High, 0, &[0, 99, 0], 99));
        assert!(!limits.may_connect(Class::High, 0, &[0, 100, 0], 50));
        assert!(limits.may_connect(Class::Low, 0, &[90, 0, 9], 50), "low is owed a tenth");
        assert!(!limits.may_connect(Class::Low, 0, &[88, 0, 10], 50));
        assert!(normal(19, 79, 4));
        assert!(!normal(20, 85, 4), "over its fair share");
        assert!(normal(1, 85, 4));
        assert!(!normal(1, 90, 4), "the last tenth");
    }

    #[test]
    fn probes_double_up_to_a_bound() {
        let waits: Vec<u64> = [1, 2, 3, 9, 10, 400].map(|n| probe_wait(n).as_secs()).to_vec();
        assert_eq!(waits, [1, 2, 4, 256, 300, 300]);
    }
}
