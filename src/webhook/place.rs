//! How far an endpoint has come, as it is stored: its place in the log and in the outbox, what is to be posted again, its trouble.
//!
//! In: a row of kind Webhooks.  Out: the same as types, and back.
//! Always: where posts begin and end is stored before the first of them leaves, so that after a hard stop the same events go in
//! the same posts with the same ids; a row of this version is read by every later one (fields are only added, with a default).

use serde::{Deserialize, Serialize};

use super::sign::fingerprint;
use crate::{clock::Timestamp, ids::MessageId};

/// Ranges that were given up, at most; beyond, the oldest is forgotten with a line in the journal.
pub const PARKED_MAX: usize = 100;
/// Ranges that wait to be posted again; beyond, no single post is asked for again.
pub const AGAIN_MAX: usize = 2 * PARKED_MAX;

/// Bits of a number below its milliseconds.
const COUNTER_BITS: u32 = 20;

/// The smallest number of a moment: of events and of changes of the list alike.
pub fn number_at(at: Timestamp) -> u64 {
    let epoch = MessageId::from_u64(0).time();
    let millis = u64::try_from(at.since(epoch).as_millis()).unwrap_or(u64::MAX);
    millis.min(u64::MAX >> COUNTER_BITS) << COUNTER_BITS
}

/// When a number was given.
pub fn time_of(number: u64) -> Timestamp {
    MessageId::from_u64(number).time()
}

/// A place in one of the two streams, and the posts that begin there.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Place {
    /// In the outbox of the suppression list, else in the log.
    #[serde(default)]
    pub list: bool,
    /// Everything through this number is done.
    pub after: u64,
    /// The last number; `None`: it goes on as long as the stream does.
    #[serde(default)]
    pub to: Option<u64>,
    /// The last number of each post that is under way, in their order.
    #[serde(default)]
    pub cuts: Vec<u64>,
    /// Of the first of them the deliveries went out already, and the bounces are still to come.
    #[serde(default)]
    pub half: bool,
}

impl Place {
    /// The end of a stream.
    pub fn at(list: bool, after: u64) -> Self {
        Place { list, after, ..Place::default() }
    }

    /// A range has come to its end.
    pub fn is_over(&self) -> bool {
        self.to.is_some_and(|to| self.after >= to)
    }

    /// The first post is done.
    pub fn pass(&mut self, last: u64) {
        self.after = self.after.max(last);
        self.cuts.retain(|cut| *cut > last);
        self.half = false;
    }

    /// A number, or an earlier one: of what is cut into posts already, none is torn.
    pub fn whole_posts(&self, to: u64) -> u64 {
        match self.cuts.last() {
            Some(last) if *last > to => self.cuts.iter().copied().rfind(|cut| *cut <= to).unwrap_or(self.after),
            Some(_) | None => to,
        }
    }

    /// Posts begin anew behind this number.
    pub fn jump(&mut self, after: u64) {
        self.after = after;
        self.cuts.clear();
        self.half = false;
    }
}

/// What was given up: events in one stream, from behind one number through another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Parked {
    /// In the outbox of the suppression list, else in the log.
    pub list: bool,
    /// Behind this number …
    pub after: u64,
    /// … through this one.
    pub to: u64,
    /// When it was given up, in milliseconds.
    pub at: u64,
    /// Why: the last answer or trouble.
    pub error: String,
}

/// A stop by hand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Paused {
    /// When, in milliseconds.
    pub at: u64,
    /// Who, as the operation log has it.
    pub by: String,
}

/// The row of an endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Mark {
    /// Its place in the log.
    pub log: Place,
    /// Its place in the outbox.
    pub list: Place,
    /// Ranges that are posted again before anything else.
    #[serde(default)]
    pub again: Vec<Place>,
    /// What was given up, oldest first.
    #[serde(default)]
    pub parked: Vec<Parked>,
    /// Failures in a row.
    #[serde(default)]
    pub tries: u32,
    /// The first of them, in milliseconds.
    #[serde(default)]
    pub failing_since: Option<u64>,
    /// Not before, in milliseconds.
    #[serde(default)]
    pub next_try: u64,
    /// The last trouble; empty: none.
    #[serde(default)]
    pub error: String,
    /// It answered 410: nothing is posted until somebody resumes it, or its URL changes.
    #[serde(default)]
    pub gone: bool,
    /// Somebody stopped it: nothing is posted until it is resumed, and nothing gets too old meanwhile.
    #[serde(default)]
    pub paused: Option<Paused>,
    /// The fingerprint of the URL as it was, for that.
    #[serde(default)]
    pub url: String,
    /// It had everything when this was written: what is missing since is missing because nobody ran.
    #[serde(default)]
    pub caught_up: bool,
    /// Not in the config any more, since this moment in milliseconds.
    #[serde(default)]
    pub removed_at: Option<u64>,
    /// Posts tried in all: the number of the next row of its history.
    #[serde(default)]
    pub tried: u64,
    /// Posts answered 2xx.
    #[serde(default)]
    pub posts: u64,
    /// Events in them.
    #[serde(default)]
    pub events: u64,
}

impl Mark {
    /// A new endpoint: it begins with what happens next.
    pub fn new(url: &str, log_end: u64, list_end: u64) -> Self {
        Mark {
            log: Place::at(false, log_end),
            list: Place::at(true, list_end),
            url: fingerprint(url),
            caught_up: true,
            ..Mark::default()
        }
    }

    /// Reads a row; `None`: it is damaged.
    pub fn read(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    /// Writes it.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and texts have a form in JSON")
    }

    /// Gives up everything through `to` of a stream that is still to be posted; what touches a range given up before becomes
    /// one with it. Answers the range.
    pub fn park(&mut self, list: bool, to: u64, now: Timestamp) -> Option<Parked> {
        let place = if list { &mut self.list } else { &mut self.log };
        if place.after >= to {
            return None;
        }
        let parked = Parked { list, after: place.after, to, at: now.as_millis(), error: self.error.clone() };
        place.after = to;
        place.cuts.retain(|cut| *cut > to);
        place.half = false;
        self.keep(parked.clone());
        Some(parked)
    }

    /// Notes what was given up.
    pub fn keep(&mut self, parked: Parked) {
        let joins = |known: &&mut Parked| known.list == parked.list && known.to == parked.after;
        match self.parked.iter_mut().rev().find(joins) {
            Some(known) => {
                known.to = parked.to;
                known.at = parked.at;
                known.error = parked.error;
            }
            None => self.parked.push(parked),
        }
        while self.parked.len() > PARKED_MAX {
            let lost = self.parked.remove(0);
            log::error!("webhook what=\"a range that was set aside is forgotten\" after={} to={}", lost.after, lost.to);
        }
    }

    /// It goes on as if it had never failed.
    pub fn resume(&mut self) {
        self.gone = false;
        self.next_try = 0;
        if self.paused.take().is_some() {
            // What waited because somebody wished it is not old by failing.
            self.tries = 0;
            self.failing_since = None;
            self.error.clear();
        }
    }

    /// A range is posted again, before anything else; false: too many wait for it.
    pub fn post_again(&mut self, list: bool, first: u64, last: u64) -> bool {
        if self.again.len() >= AGAIN_MAX {
            return false;
        }
        self.again.push(Place { to: Some(last), ..Place::at(list, first.saturating_sub(1)) });
        true
    }

    /// What was given up is posted again.
    pub fn unpark(&mut self) -> usize {
        let parked = std::mem::take(&mut self.parked);
        let ranges = parked.len();
        self.again.extend(parked.into_iter().map(|p| Place { to: Some(p.to), ..Place::at(p.list, p.after) }));
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_lead_to_each_other() {
        let at = Timestamp::from_millis(1_795_527_310_250);
        assert_eq!(time_of(number_at(at)), at);
        assert!(number_at(at) > number_at(Timestamp::from_millis(1_795_527_310_249)));
        assert_eq!(number_at(Timestamp::ZERO), 0);
        assert!(number_at(Timestamp::MAX) > number_at(at));
    }

    #[test]
    fn a_row_reads_back_and_one_of_the_first_version_too() {
        let mut mark = Mark::new("https://a.example/", 17, 23);
        mark.log.cuts = vec![20, 30];
        mark.keep(Parked { list: false, after: 1, to: 5, at: 9, error: "x".into() });
        assert_eq!(Mark::read(&mark.write()), Some(mark));
        let first = br#"{"log":{"after":17},"list":{"after":3,"list":true}}"#;
        assert_eq!(Mark::read(first).map(|m| (m.log.after, m.list.after, m.tries)), Some((17, 3, 0)));
        assert_eq!(Mark::read(b"{}"), None);
    }

    #[test]
    fn who_resumes_what_was_stopped_by_hand_starts_the_clock_of_giving_up_anew() {
        let failing = Mark { tries: 3, failing_since: Some(5), next_try: 9, error: "x".into(), ..Mark::new("u", 1, 1) };
        let mut mark = failing.clone();
        mark.resume();
        assert_eq!((mark.tries, mark.failing_since, mark.next_try), (3, Some(5), 0));
        let mut mark = Mark { paused: Some(Paused { at: 7, by: "hanako".into() }), ..failing };
        assert_eq!(Mark::read(&mark.write()).as_ref(), Some(&mark));
        mark.resume();
        assert_eq!((mark.tries, mark.failing_since, mark.error.as_str(), mark.paused), (0, None, "", None));
    }

    #[test]
    fn what_is_given_up_is_one_range_and_can_be_posted_again() {
        let now = Timestamp::from_millis(1_000);
        let mut mark = Mark::new("u", 10, 10);
        mark.log.cuts = vec![15, 30];
        assert_eq!([12, 15, 29, 30, 99].map(|to| mark.log.whole_posts(to)), [10, 15, 15, 30, 99]);
        mark.log.half = true;
        assert_eq!(mark.park(false, 10, now), None, "nothing is there");
        assert!(mark.park(false, 20, now).is_some());
        assert_eq!((mark.log.after, &mark.log.cuts, mark.log.half), (20, &vec![30], false));
        assert!(mark.park(true, 12, now).is_some() && mark.park(false, 25, now).is_some());
        let ranges: Vec<_> = mark.parked.iter().map(|p| (p.list, p.after, p.to)).collect();
        assert_eq!(ranges, [(false, 10, 25), (true, 10, 12)]);
        assert!(mark.post_again(false, 30, 40));
        assert_eq!((mark.again[0].after, mark.again[0].to), (29, Some(40)));
        while mark.post_again(true, 1, 1) {}
        assert_eq!(mark.again.len(), AGAIN_MAX);
        mark.again.clear();
        assert_eq!(mark.unpark(), 2);
        assert!(mark.parked.is_empty());
        let again: Vec<_> = mark.again.iter().map(|p| (p.list, p.after, p.to, p.is_over())).collect();
        assert_eq!(again, [(false, 10, Some(25), false), (true, 10, Some(12), false)]);
        for n in 0..PARKED_MAX as u64 + 5 {
            mark.keep(Parked { list: false, after: n * 10, to: n * 10 + 5, at: 0, error: String::new() });
        }
        assert_eq!((mark.parked.len(), mark.parked[0].after), (PARKED_MAX, 50));
    }
}
