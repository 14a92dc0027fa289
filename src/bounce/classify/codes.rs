//! What the enhanced codes mean, out of the data file.
//!
//! In: an enhanced code.  Out: its reason, and how much weight it has.
//! Sources: RFC 3463 and IANA's registry of enhanced status codes.

use std::{collections::HashMap, sync::LazyLock};

use super::reason::Reason;
use crate::smtp::reply::Enhanced;

/// How much a code says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Weight {
    /// Used for many things: rules of general words come first.
    Vague,
    /// Used for nothing else.
    Clear,
}

/// Largest range of details in one line: more would be a typing error.
const RANGE_MAX: u16 = 100;

/// Reasons by class, subject and detail.
type Codes = HashMap<(u8, u16, u16), (Reason, Weight)>;

static CODES: LazyLock<Codes> = LazyLock::new(|| parse(include_str!("../data/enhanced.codes")));

/// What the code means; `None`: nothing that we know.
pub(super) fn reason(code: Enhanced) -> Option<(Reason, Weight)> {
    CODES.get(&(code.0, code.1, code.2)).copied()
}

/// How much the code says.
pub(super) fn weight(code: Enhanced) -> Option<Weight> {
    reason(code).map(|(_, weight)| weight)
}

fn parse(data: &str) -> Codes {
    let mut codes = Codes::new();
    for line in data.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (classes, subject, details, meaning) = parse_line(line).expect("every line of enhanced.codes can be read");
        for class in classes {
            for detail in details.clone() {
                let before = codes.insert((*class, subject, detail), meaning);
                assert!(before.is_none(), "enhanced.codes: twice: {line}");
            }
        }
    }
    codes
}

type Line = (&'static [u8], u16, std::ops::RangeInclusive<u16>, (Reason, Weight));

fn parse_line(line: &str) -> Option<Line> {
    let mut fields = line.split_whitespace();
    let classes: &[u8] = match fields.next()? {
        "4" => &[4],
        "5" => &[5],
        "*" => &[4, 5],
        _ => return None,
    };
    let (subject, details) = fields.next()?.split_once('.')?;
    let (first, last) = details.split_once('-').unwrap_or((details, details));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    let weight = match fields.next()? {
        "vague" => Weight::Vague,
        "clear" => Weight::Clear,
        _ => return None,
    };
    let reason = Reason::named(fields.next()?)?;
    (fields.next().is_none() && first <= last && last - first < RANGE_MAX).then_some((
        classes,
        subject.parse().ok()?,
        first..=last,
        (reason, weight),
    ))
}
