//! How much may happen at once: tickets in RAM, connections in all and to one destination, turns between the classes.
//!
//! In: numbers.  Out: yes or no.
//! Always: a lane that has no connection can get one while any is left; nothing here grows with the backlog (P5).
//! Sources: R5 for the low class' turn; a shared window whose share shrinks as it fills is the dynamic threshold of shared
//! packet buffers: k greedy lanes get 1/(k+1) of it each and leave as much for those who come later.

use std::time::Duration;

/// Lanes that RAM knows at once; others wait on disk until one of these is idle. About 300 bytes each.
pub const LANES_MAX: usize = 10_000;
/// Tickets that each known lane may hold whatever the others hold, so that nobody starves nobody (P6).
pub const LANE_TICKETS_FLOOR: usize = 4;
/// Tickets in RAM at most, floors included: 12 MiB at [`TICKET_BYTES`].
pub const TICKETS_MAX: usize = 100_000;
/// RAM of a queued ticket without its message: its place in the queue and in the set of known recipients.
pub const TICKET_BYTES: usize = 128;
/// RAM of a message's row with one recipient, beside its body.
pub const ROW_BYTES: usize = 1_536;
/// A lane and class with fewer tickets than this, and more on disk, is loaded again: what twenty connections use up while
/// the disk is read.
pub const LOW_WATER: usize = 256;
/// Tickets read from disk in one go.
pub const LOAD_MAX: usize = 1_024;
/// Connections that a lane may open before any of them was seen to work; each success allows one more.
pub const ALLOWANCE_START: usize = 5;
/// This many site troubles in a row, without a success between them, leave a lane one connection at a time.
pub const TROUBLES_MAX: u32 = 5;
/// The first wait between probes of a site in trouble; it doubles up to [`PROBE_WAIT_MAX`].
pub const PROBE_WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest wait between two probes of a site in trouble.
pub const PROBE_WAIT_MAX: Duration = Duration::from_secs(300);
/// Tickets wait in RAM for a probe that comes this soon; for a later one they are deferred with the site's last answer.
pub const PROBE_PATIENCE: Duration = Duration::from_secs(10);
/// Recipients a second that are deferred without a conversation, so that a dead site's backlog does not keep the disk busy.
pub const SUSPENSIONS_PER_SECOND: u32 = 2_000;
/// Every so many starts of a lane, one is low's (R5).
pub const LOW_TURN: u8 = 10;

/// The limits that the config file sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections at once in all; at least 1.
    pub connections_total: usize,
    /// Connections at once to one destination; at least 1.
    pub connections_per_destination: usize,
    /// Recipients of one attempt; at least 1.
    pub recipients_per_attempt: usize,
    /// Tickets in RAM, the lanes' floors included.
    pub tickets_max: usize,
    /// Octets of bodies and rows that one lane may keep in RAM beside its running attempts.
    pub lane_payload_max: usize,
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
        }
    }

    /// Lanes that RAM knows at once.
    pub fn lanes_max(&self) -> usize {
        (self.tickets_max * 2 / 5 / LANE_TICKETS_FLOOR).clamp(1, LANES_MAX)
    }

    /// Tickets that a lane holding `held` may add while all lanes hold `total`.
    pub fn room(&self, held: usize, total: usize) -> usize {
        let shared = self.tickets_max - self.lanes_max() * LANE_TICKETS_FLOOR;
        let share = shared.saturating_sub(total);
        share.max(LANE_TICKETS_FLOOR).saturating_sub(held)
    }

    /// A lane with `mine` of `used` connections, shared by `lanes` lanes, may open one more. Once four fifths of the total are
    /// used a lane keeps to its fair share; the last tenth is for lanes that have none.
    pub fn may_connect(&self, mine: usize, used: usize, lanes: usize) -> bool {
        let total = self.connections_total;
        if used >= total {
            return false;
        }
        if mine == 0 {
            return true;
        }
        if used * 10 >= total * 9 {
            return false;
        }
        used * 5 < total * 4 || mine < total / (lanes + 1).max(1)
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
                    let add = limits.room(held[lane], total).min(64);
                    held[lane] += add;
                    grew |= add > 0;
                }
            }
            let total: usize = held.iter().sum();
            assert!(total <= limits.tickets_max, "{greedy} lanes hold {total}");
            let newcomer = limits.room(0, total);
            assert!(newcomer * (greedy + 2) > limits.tickets_max / 3, "{greedy} lanes leave {newcomer}");
        }
        assert!(limits.room(0, usize::MAX / 2) >= LANE_TICKETS_FLOOR);
    }

    #[test]
    fn a_lane_without_a_connection_gets_one_while_any_is_left() {
        let limits = limits();
        assert!(limits.may_connect(0, 99, 99));
        assert!(!limits.may_connect(0, 100, 50));
        assert!(limits.may_connect(19, 79, 4));
        assert!(!limits.may_connect(20, 85, 4), "over its fair share");
        assert!(limits.may_connect(1, 85, 4));
        assert!(!limits.may_connect(1, 90, 4), "the last tenth");
    }

    #[test]
    fn probes_double_up_to_a_bound() {
        let waits: Vec<u64> = [1, 2, 3, 9, 10, 400].map(|n| probe_wait(n).as_secs()).to_vec();
        assert_eq!(waits, [1, 2, 4, 256, 300, 300]);
    }
}
