//! Decides whether an address is no longer written to: its errors, the thresholds, and what was lifted.
//!
//! In: the errors of an address, `[suppression.thresholds]`, the time.  Out: the threshold that was reached, or none.
//! Always: of an address's errors of one day (UTC) one counts: the one whose threshold is lowest, of equals the first; classes
//! 10 and 11 are never errors; class 6 is somebody else's address and never counts; errors from before a lift never count
//! again; a complaint counts whatever the address was exempted from. Nothing here takes an address off the list: that is what
//! makes R7 hold.
//! Hard or soft changes nothing: a threshold is a class's patience (1 for an unknown user, 5 for a full mailbox), and whoever
//! sets one for `rejected` or `other` means all of them. The last answer's hardness is kept with the address, for people.
//! Sources: PRODUCT.md R7; cmc.md §5.1 and §12.4; algorithms F6.

use std::collections::BTreeMap;

use super::row::{AddressError, History};
use crate::{
    clock::Timestamp,
    config::Thresholds,
    event::{ErrorClass, Trouble},
};

/// A threshold that was reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reached {
    /// Of which class; [`ErrorClass::Unsubscribed`] is a complaint.
    pub class: ErrorClass,
    /// How many errors of it count.
    pub occurred: u32,
    /// The newest of them.
    pub last: AddressError,
}

impl Reached {
    /// It is a complaint.
    pub fn is_complaint(&self) -> bool {
        self.class == ErrorClass::Unsubscribed
    }
}

/// How many errors of this class and trouble suppress; 0: they never do.
pub fn threshold(class: ErrorClass, trouble: Trouble, thresholds: &Thresholds) -> u32 {
    let recipients_own = trouble == Trouble::Recipient;
    let only_if = |is_its_trouble: bool, threshold: u32| if is_its_trouble { threshold } else { 0 };
    match class {
        // Refusals for our reputation are dressed up as an unknown user at times: whose trouble it is decides.
        ErrorClass::UnknownUser => only_if(recipients_own, thresholds.unknown_user),
        ErrorClass::BadAddress => only_if(recipients_own, thresholds.bad_address),
        // A full disk of the site is not a full mailbox.
        ErrorClass::OverCapacity => only_if(recipients_own, thresholds.over_capacity),
        // A domain that does not exist is its DNS's word; one that does not answer is class 3.
        ErrorClass::UnknownHost => only_if(recipients_own || trouble == Trouble::Destination, thresholds.unknown_host),
        // Off unless the operator asks for them, and then whoever's trouble they are.
        ErrorClass::ResendTimeout => thresholds.resend_timeout,
        ErrorClass::Rejected => thresholds.rejected,
        ErrorClass::ReceivingServerError => thresholds.receiving_server_error,
        ErrorClass::TooLarge => thresholds.too_large,
        ErrorClass::Other => thresholds.other,
        // The address that failed is not the one that we wrote to.
        ErrorClass::ForwardingError => 0,
        ErrorClass::Blocked => 0,
        // In a history this is a complaint.
        ErrorClass::Unsubscribed => thresholds.complaint,
    }
}

/// The threshold that the errors reach at `now`. An exempt address's errors reach none; its complaints do.
pub fn decide(history: &History, thresholds: &Thresholds, exempt: bool, now: Timestamp) -> Option<Reached> {
    let floor = now.minus(thresholds.window);
    let counts = |e: &&AddressError| {
        let is_free = exempt && e.class != ErrorClass::Unsubscribed;
        let in_time = e.at >= floor && history.lifted.is_none_or(|lifted| e.at > lifted);
        in_time && !is_free && threshold(e.class, e.trouble, thresholds) > 0
    };
    // A complaint is the recipient's will, not one of its errors: it is counted by itself, and comes first.
    let complaints: Vec<&AddressError> =
        history.errors.iter().filter(counts).filter(|e| e.class == ErrorClass::Unsubscribed).collect();
    if let Some(reached) = reach(&complaints, thresholds.complaint) {
        return Some(reached);
    }
    let mut days: BTreeMap<u32, &AddressError> = BTreeMap::new();
    for error in history.errors.iter().filter(counts).filter(|e| e.class != ErrorClass::Unsubscribed) {
        let weight = |e: &AddressError| (threshold(e.class, e.trouble, thresholds), e.at, e.number);
        let of_day = days.entry(error.at.day()).or_insert(error);
        if weight(error) < weight(of_day) {
            *of_day = error;
        }
    }
    let mut classes: BTreeMap<u8, Vec<&AddressError>> = BTreeMap::new();
    for error in days.into_values() {
        classes.entry(error.class.code()).or_default().push(error);
    }
    classes.into_values().find_map(|errors| {
        let last = errors.last()?;
        reach(&errors, threshold(last.class, last.trouble, thresholds))
    })
}

/// The errors, oldest first, against a threshold.
fn reach(errors: &[&AddressError], threshold: u32) -> Option<Reached> {
    let occurred = u32::try_from(errors.len()).unwrap_or(u32::MAX);
    let last = errors.last()?;
    let reached = threshold > 0 && occurred >= threshold;
    reached.then(|| Reached { class: last.class, occurred, last: (*last).clone() })
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
