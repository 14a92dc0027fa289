//! The rules of suppression: a table of single decisions, and addresses over simulated weeks.

use std::time::Duration;

use super::*;

const DAY: u64 = 86_400_000;
/// A day well inside the epoch, so that windows reach back from it.
const START: u64 = 20_000 * DAY;

fn at(day: u64, hour: u64) -> Timestamp {
    Timestamp::from_millis(START + day * DAY + hour * 3_600_000)
}

fn error(day: u64, hour: u64, class: ErrorClass, trouble: Trouble) -> AddressError {
    AddressError { at: at(day, hour), number: day * 100 + hour, class, trouble, hard: true }
}

fn history(errors: &[(u64, u64, ErrorClass, Trouble)]) -> History {
    let mut history = History::default();
    for (day, hour, class, trouble) in errors {
        history.note(error(*day, *hour, *class, *trouble), "", "550 no");
    }
    history
}

use ErrorClass::*;
use Trouble::{Authentication, Content, Destination, Policy, Recipient, Reputation};

/// Class and count that are reached on day 50.
fn check(errors: &[(u64, u64, ErrorClass, Trouble)], thresholds: &Thresholds) -> Option<(ErrorClass, u32)> {
    decide(&history(errors), thresholds, false, at(50, 12)).map(|r| (r.class, r.occurred))
}

#[test]
fn by_default_the_recipients_own_errors_and_complaints_suppress_and_nothing_else() {
    let defaults = Thresholds::default();
    for (class, trouble, expected) in [
        (UnknownUser, Recipient, true),
        (UnknownUser, Reputation, false),
        (UnknownUser, Policy, false),
        (BadAddress, Recipient, true),
        (BadAddress, Content, false),
        (Unsubscribed, Recipient, true),
        (Rejected, Policy, false),
        (Rejected, Recipient, false),
        (Rejected, Reputation, false),
        (ResendTimeout, Destination, false),
        (ResendTimeout, Recipient, false),
        (ReceivingServerError, Destination, false),
        (TooLarge, Content, false),
        (ForwardingError, Recipient, false),
        (Other, Authentication, false),
        (Other, Recipient, false),
        (Blocked, Recipient, false),
    ] {
        assert_eq!(check(&[(49, 1, class, trouble)], &defaults).is_some(), expected, "{class:?} {trouble:?}");
    }
    let host = |days: u64| (0..days).map(|d| (40 + d, 1, UnknownHost, Destination)).collect::<Vec<_>>();
    assert_eq!(check(&host(2), &defaults), None);
    assert_eq!(check(&host(3), &defaults), Some((UnknownHost, 3)));
    let full = |days: u64, whose| (0..days).map(|d| (40 + d, 1, OverCapacity, whose)).collect::<Vec<_>>();
    assert_eq!(check(&full(4, Recipient), &defaults), None);
    assert_eq!(check(&full(5, Recipient), &defaults), Some((OverCapacity, 5)));
    assert_eq!(check(&full(9, Destination), &defaults), None, "the site's disk is full, not the mailbox");
}

#[test]
fn other_classes_count_where_the_operator_set_a_threshold_but_class_six_never_does() {
    let two = Thresholds {
        rejected: 2,
        other: 2,
        too_large: 2,
        resend_timeout: 2,
        receiving_server_error: 2,
        forwarding_error: 1,
        ..Thresholds::default()
    };
    for class in [Rejected, Other, TooLarge, ResendTimeout, ReceivingServerError] {
        for trouble in Trouble::ALL {
            assert_eq!(check(&[(48, 1, class, trouble)], &two), None, "{class:?}");
            assert_eq!(check(&[(48, 1, class, trouble), (49, 1, class, trouble)], &two), Some((class, 2)), "{class:?}");
        }
    }
    let six: Vec<_> = (30..50).map(|d| (d, 1, ForwardingError, Recipient)).collect();
    assert_eq!(check(&six, &two), None);
}

#[test]
fn at_most_one_error_of_an_address_counts_a_day() {
    let t = Thresholds { unknown_user: 3, over_capacity: 2, rejected: 2, ..Thresholds::default() };
    let one_day: Vec<_> = (0..24).map(|h| (49, h, UnknownUser, Recipient)).collect();
    assert_eq!(check(&one_day, &t), None);
    // Two kinds on each of two days: the one nearer to its threshold counts, the other does not.
    let both = [
        (48, 1, UnknownUser, Recipient),
        (48, 2, OverCapacity, Recipient),
        (49, 1, UnknownUser, Recipient),
        (49, 2, OverCapacity, Recipient),
        (50, 1, UnknownUser, Recipient),
    ];
    assert_eq!(check(&both, &t), Some((OverCapacity, 2)));
    let of_these_none = Thresholds { over_capacity: 4, ..t.clone() };
    assert_eq!(check(&both, &of_these_none), Some((UnknownUser, 3)));
    // Equal thresholds: the first of the day.
    let equal = [(49, 1, Rejected, Policy), (49, 2, OverCapacity, Recipient), (50, 1, OverCapacity, Recipient)];
    assert_eq!(check(&equal, &t), None);
    // What does not count takes no day away from what does.
    let off = [(48, 1, TooLarge, Content), (48, 2, OverCapacity, Recipient), (49, 3, OverCapacity, Recipient)];
    assert_eq!(check(&off, &t), Some((OverCapacity, 2)));
}

#[test]
fn errors_leave_the_window_and_never_come_back_from_before_a_lift() {
    let t = Thresholds { unknown_user: 2, window: Duration::from_secs(10 * 86_400), ..Thresholds::default() };
    assert_eq!(check(&[(39, 1, UnknownUser, Recipient), (49, 1, UnknownUser, Recipient)], &t), None);
    assert!(check(&[(41, 1, UnknownUser, Recipient), (49, 1, UnknownUser, Recipient)], &t).is_some());
    let mut lifted = history(&[(47, 1, UnknownUser, Recipient), (48, 1, UnknownUser, Recipient)]);
    lifted.lift(at(48, 2));
    assert_eq!(decide(&lifted, &t, false, at(50, 0)), None);
    let wide = Thresholds { window: Duration::from_secs(900 * 86_400), unknown_user: 1, ..t.clone() };
    assert_eq!(decide(&lifted, &wide, false, at(50, 0)), None, "no change of a condition brings them back");
    assert!(!lifted.note(error(48, 1, BadAddress, Recipient), "", ""), "one that is heard of late is from before, too");
    lifted.note(error(49, 1, UnknownUser, Recipient), "", "");
    assert_eq!(decide(&lifted, &t, false, at(50, 0)), None);
    lifted.note(error(50, 1, UnknownUser, Recipient), "", "");
    assert_eq!(decide(&lifted, &t, false, at(50, 2)).map(|r| r.occurred), Some(2));
}

#[test]
fn an_exemption_covers_errors_and_never_a_complaint() {
    let t = Thresholds::default();
    let errors = history(&[(48, 1, UnknownUser, Recipient), (49, 1, BadAddress, Recipient)]);
    assert!(decide(&errors, &t, false, at(50, 0)).is_some());
    assert_eq!(decide(&errors, &t, true, at(50, 0)), None);
    let complaint = history(&[(48, 1, UnknownUser, Recipient), (49, 1, Unsubscribed, Recipient)]);
    let reached = decide(&complaint, &t, true, at(50, 0)).unwrap();
    assert!(reached.is_complaint());
    let off = Thresholds { complaint: 0, ..t };
    assert_eq!(decide(&complaint, &off, true, at(50, 0)), None, "0 is never, as for every class");
}

/// Weeks of mail to one address: one a day, each with its answer; the day on which it is suppressed.
fn suppressed_on(answers: &str, thresholds: &Thresholds) -> Option<u64> {
    let mut history = History::default();
    for (day, answer) in answers.chars().filter(|c| !c.is_whitespace()).enumerate() {
        let day = day as u64;
        let (class, trouble) = match answer {
            '.' => continue,
            'u' => (UnknownUser, Recipient),
            'f' => (OverCapacity, Recipient),
            'h' => (UnknownHost, Destination),
            't' => (ResendTimeout, Destination),
            's' => (Rejected, Reputation),
            'c' => (Unsubscribed, Recipient),
            other => panic!("{other}"),
        };
        for hour in [3, 9, 15] {
            history.note(error(day, hour, class, trouble), "", "no");
            if decide(&history, thresholds, false, at(day, hour)).is_some() {
                return Some(day);
            }
        }
    }
    None
}

#[test]
fn thresholds_over_simulated_weeks() {
    let defaults = Thresholds::default();
    let window_of = |n: u64| Thresholds { window: Duration::from_secs(n * 86_400), ..Thresholds::default() };
    for (answers, thresholds, expected) in [
        // Three weeks without an error.
        (".......  .......  .......", &defaults, None),
        // Gone from one day to the other.
        (".......  ....u..  .......", &defaults, Some(11)),
        // A mailbox that is full over a holiday and emptied in time.
        (".......  .ffff..  .......", &defaults, None),
        (".......  .fffff.  .......", &defaults, Some(12)),
        // Full on the weekends: five days within 90.
        (".....ff  .....ff  .....ff", &defaults, Some(19)),
        // The same with a window of a week: never more than two or three of them at once.
        (".....ff  .....ff  .....ff", &window_of(8), None),
        // A domain in DNS trouble for two days, later for one: the third day within the window.
        ("hh.....  .......  h......", &defaults, Some(14)),
        ("hh.....  .......  h......", &window_of(13), None),
        // An outage of three weeks and reputation trouble suppress nobody.
        ("ttttttt  ttttttt  ttttttt", &defaults, None),
        ("sssssss  ttttttt  sssssss", &defaults, None),
        // A complaint at once.
        (".......  c......", &defaults, Some(7)),
    ] {
        assert_eq!(suppressed_on(answers, thresholds), expected, "{answers}");
    }
}
