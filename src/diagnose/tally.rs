//! Adds up what the log says of a period: how tries fared, by answer, recipient, destination, provider, source address, user and
//! subject.
//!
//! In: tries, in any order.  Out: [`Tally`].
//! Always: bounded in everything that comes from mail or from peers; what is over a bound is counted as the rest, and never as
//! something else. What only waited behind a destination in trouble, and was not tried, is counted apart.
//! Sources: PRODUCT.md R10.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    net::IpAddr,
};

use super::{
    patterns,
    topic::{self, Topic},
};
use crate::{
    bounce::normalise::normalised,
    clock::Timestamp,
    deliver::provider::Provider,
    event::{ErrorClass, EventKind, Phase},
};

/// Groups of answers that are told apart.
pub const GROUPS_MAX: usize = 500;
/// Names of each kind that are told apart, over all.
const NAMES_MAX: usize = 5_000;
/// Recipients that are told apart.
const RECIPIENTS_MAX: usize = 50_000;
/// Names of each kind that are told apart within one group.
const NAMES_A_GROUP_MAX: usize = 200;
/// Recipients that are told apart within one group.
const RECIPIENTS_A_GROUP_MAX: usize = 2_000;
/// Answers in their places of the dialog whose group is remembered; a group has few of them.
const SAID_MAX: usize = 4 * GROUPS_MAX;
/// How our own words begin where nothing was tried.
const NOT_TRIED: &str = "not tried,";

/// One entry of the log.
#[derive(Clone, Copy, Debug)]
pub struct Try<'a> {
    /// When.
    pub at: Timestamp,
    /// What became of the recipient.
    pub kind: EventKind,
    /// How far it got.
    pub phase: Option<Phase>,
    /// CMC's class.
    pub class: Option<ErrorClass>,
    /// What the peer said.
    pub reply: &'a str,
    /// The recipient.
    pub recipient: &'a str,
    /// Its destination.
    pub destination: &'a str,
    /// The host that answered; empty: none.
    pub host: &'a str,
    /// Our address.
    pub source: Option<IpAddr>,
    /// The API user; empty: none.
    pub user: &'a str,
    /// The subject.
    pub subject: &'a str,
    /// Octets of the mail.
    pub octets: u64,
}

/// Counts by name, bounded.
#[derive(Clone, Debug)]
pub struct Counter<K> {
    counts: HashMap<K, u64>,
    max: usize,
    /// What came beyond the bound.
    pub rest: u64,
}

impl<K: Hash + Eq + Clone + Ord> Counter<K> {
    fn new(max: usize) -> Self {
        Counter { counts: HashMap::new(), max, rest: 0 }
    }

    fn add<Q>(&mut self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized + ToOwned<Owned = K>,
    {
        if let Some(n) = self.counts.get_mut(key) {
            *n += 1;
        } else if self.counts.len() < self.max {
            self.counts.insert(key.to_owned(), 1);
        } else {
            self.rest += 1;
        }
    }

    /// How many names.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The count of a name.
    pub fn of<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> u64
    where
        K: std::borrow::Borrow<Q>,
    {
        self.counts.get(key).copied().unwrap_or(0)
    }

    /// The names with their counts, most first; of equal counts by name.
    pub fn top(&self) -> Vec<(&K, u64)> {
        let mut all: Vec<(&K, u64)> = self.counts.iter().map(|(k, n)| (k, *n)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        all
    }

    fn merge(&mut self, other: &Counter<K>) {
        for (key, n) in &other.counts {
            if let Some(sum) = self.counts.get_mut(key) {
                *sum += n;
            } else if self.counts.len() < self.max {
                self.counts.insert(key.clone(), *n);
            } else {
                self.rest += n;
            }
        }
        self.rest += other.rest;
    }
}

/// How tries fared at one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fared {
    /// Recipients delivered.
    pub delivered: u64,
    /// Tries refused, for now or for good, and returns.
    pub refused: u64,
    /// Octets of all of them.
    pub octets: u64,
}

impl Fared {
    /// All tries.
    pub fn tries(&self) -> u64 {
        self.delivered + self.refused
    }

    /// The share that was refused, 0 to 1.
    pub fn rate(&self) -> f64 {
        share(self.refused, self.tries())
    }
}

/// A part of a whole, 0 to 1; of nothing: 0.
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Answers that say the same.
#[derive(Clone, Debug)]
pub struct Group {
    /// The answer without what differs from mail to mail.
    pub text: String,
    /// What it is about.
    pub topic: Topic,
    /// CMC's class, of the first one.
    pub class: Option<ErrorClass>,
    /// How far the try got.
    pub phase: Option<Phase>,
    /// One of them as it came.
    pub example: String,
    /// Whom that one was about.
    pub example_recipient: String,
    /// How often.
    pub events: u64,
    /// Of them for good: failed, bounced, complained.
    pub failed: u64,
    /// The first and the last.
    pub first: Timestamp,
    /// See `first`.
    pub last: Timestamp,
    /// By destination.
    pub destinations: Counter<String>,
    /// By provider.
    pub providers: [u64; Provider::ALL.len()],
    /// By our address.
    pub sources: Counter<IpAddr>,
    /// By subject pattern.
    pub patterns: Counter<String>,
    /// By API user.
    pub users: Counter<String>,
    recipients: HashSet<u64>,
}

impl Group {
    /// Different recipients; at its bound it says "or more".
    pub fn recipients(&self) -> u64 {
        self.recipients.len() as u64
    }
}

/// An answer, and where in the dialog it came: alike ones mean the same.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Said {
    text: String,
    phase: Option<Phase>,
    class: Option<ErrorClass>,
    is_complaint: bool,
}

/// What a period brought.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Entries that were read.
    pub events: u64,
    /// Recipients delivered.
    pub delivered: u64,
    /// Tries deferred.
    pub deferred: u64,
    /// Recipients failed, without those on our own lists.
    pub failed: u64,
    /// Bounces that came back.
    pub bounced: u64,
    /// Complaints.
    pub complained: u64,
    /// Recipients that were on our own lists.
    pub listed: u64,
    /// Deferred without a try.
    pub held_back: u64,
    /// Octets of the delivered.
    pub octets: u64,
    /// The answers, in the order in which they were first met.
    pub groups: Vec<Group>,
    /// Refusals of no group, for there were too many.
    pub ungrouped: u64,
    /// By subject pattern.
    pub patterns: HashMap<String, Fared>,
    /// By destination.
    pub destinations: HashMap<String, Fared>,
    /// By provider.
    pub providers: [Fared; Provider::ALL.len()],
    /// By our address.
    pub sources: HashMap<IpAddr, Fared>,
    /// By API user.
    pub users: HashMap<String, Fared>,
    /// Refusals by recipient.
    pub refused_recipients: Counter<String>,
    /// MX hosts that refused, by destination: the last one.
    pub hosts: HashMap<String, String>,
    said: HashMap<Said, usize>,
    hasher: std::hash::RandomState,
}

impl Default for Tally {
    fn default() -> Self {
        Tally {
            events: 0,
            delivered: 0,
            deferred: 0,
            failed: 0,
            bounced: 0,
            complained: 0,
            listed: 0,
            held_back: 0,
            octets: 0,
            groups: Vec::new(),
            ungrouped: 0,
            patterns: HashMap::new(),
            destinations: HashMap::new(),
            providers: Default::default(),
            sources: HashMap::new(),
            users: HashMap::new(),
            refused_recipients: Counter::new(RECIPIENTS_MAX),
            hosts: HashMap::new(),
            said: HashMap::new(),
            hasher: std::hash::RandomState::new(),
        }
    }
}

/// The entry of a name, where there is room for it.
fn entry<'m, K, Q>(map: &'m mut HashMap<K, Fared>, key: &Q) -> Option<&'m mut Fared>
where
    K: std::borrow::Borrow<Q> + Hash + Eq,
    Q: Hash + Eq + ?Sized + ToOwned<Owned = K>,
{
    if !map.contains_key(key) {
        if map.len() >= NAMES_MAX {
            return None;
        }
        map.insert(key.to_owned(), Fared::default());
    }
    map.get_mut(key)
}

impl Tally {
    /// Refusals: tries refused for now and for good, and what came back, without our own lists.
    pub fn refused(&self) -> u64 {
        self.deferred + self.failed + self.bounced + self.complained
    }

    /// Recipients with a result.
    pub fn volume(&self) -> u64 {
        self.delivered + self.failed
    }

    /// The share of refusals among all tries, 0 to 1.
    pub fn refused_rate(&self) -> f64 {
        share(self.refused(), self.delivered + self.refused())
    }

    /// Adds an entry.
    pub fn add(&mut self, one: &Try<'_>) {
        self.events += 1;
        let is_listed = matches!(one.class, Some(ErrorClass::Blocked | ErrorClass::Unsubscribed));
        match one.kind {
            EventKind::Queued | EventKind::Dropped => return,
            EventKind::Deferred if one.reply.starts_with(NOT_TRIED) => {
                self.held_back += 1;
                return;
            }
            EventKind::Failed if is_listed => {
                self.listed += 1;
                return;
            }
            EventKind::Succeeded => {
                self.delivered += 1;
                self.octets = self.octets.saturating_add(one.octets);
            }
            EventKind::Deferred => self.deferred += 1,
            EventKind::Failed => self.failed += 1,
            EventKind::Bounced => self.bounced += 1,
            EventKind::Complained => self.complained += 1,
        }
        let refused = one.kind != EventKind::Succeeded;
        let pattern = patterns::pattern(one.subject);
        let domain = one.recipient.rsplit_once('@').map_or("", |(_, domain)| domain);
        let provider = Provider::of(one.host, domain);
        let mut fares = vec![&mut self.providers[provider as usize]];
        fares.extend(entry(&mut self.patterns, pattern.as_str()));
        fares.extend(entry(&mut self.destinations, one.destination));
        fares.extend(entry(&mut self.users, one.user));
        fares.extend(one.source.and_then(|source| entry(&mut self.sources, &source)));
        for fared in fares {
            fared.octets = fared.octets.saturating_add(one.octets);
            if refused {
                fared.refused += 1;
            } else {
                fared.delivered += 1;
            }
        }
        if refused {
            self.refusal(one, &pattern, provider);
        }
    }

    fn refusal(&mut self, one: &Try<'_>, pattern: &str, provider: Provider) {
        self.refused_recipients.add(one.recipient);
        if !one.host.is_empty() && (self.hosts.len() < NAMES_MAX || self.hosts.contains_key(one.destination)) {
            self.hosts.insert(one.destination.to_owned(), one.host.to_owned());
        }
        let Some(at) = self.group_of(one) else {
            self.ungrouped += 1;
            return;
        };
        let recipient = std::hash::BuildHasher::hash_one(&self.hasher, one.recipient);
        let group = &mut self.groups[at];
        group.events += 1;
        group.failed += u64::from(one.kind != EventKind::Deferred);
        group.first = group.first.min(one.at);
        group.last = group.last.max(one.at);
        group.destinations.add(one.destination);
        group.providers[provider as usize] += 1;
        if let Some(source) = one.source {
            group.sources.add(&source);
        }
        group.patterns.add(pattern);
        group.users.add(one.user);
        if group.recipients.len() < RECIPIENTS_A_GROUP_MAX {
            group.recipients.insert(recipient);
        }
    }

    /// The group of an answer. What an answer means is judged once for all that say the same in the same place of the dialog.
    fn group_of(&mut self, one: &Try<'_>) -> Option<usize> {
        let is_complaint = one.kind == EventKind::Complained;
        let key = Said { text: normalised(one.reply), phase: one.phase, class: one.class, is_complaint };
        if let Some(at) = self.said.get(&key) {
            return Some(*at);
        }
        // Of too many different answers the rest is not judged: it would find no group.
        if self.said.len() >= SAID_MAX || self.groups.len() >= GROUPS_MAX {
            return None;
        }
        let topic = if is_complaint { Topic::Complaint } else { topic::of(one.phase, one.reply, one.class) };
        let known = self.groups.iter().position(|group| group.topic == topic && group.text == key.text);
        let at = match known {
            Some(at) => at,
            None => {
                self.groups.push(Group {
                    text: key.text.clone(),
                    topic,
                    class: one.class,
                    phase: one.phase,
                    example: one.reply.to_owned(),
                    example_recipient: one.recipient.to_owned(),
                    events: 0,
                    failed: 0,
                    first: one.at,
                    last: one.at,
                    destinations: Counter::new(NAMES_A_GROUP_MAX),
                    providers: Default::default(),
                    sources: Counter::new(NAMES_A_GROUP_MAX),
                    patterns: Counter::new(NAMES_A_GROUP_MAX),
                    users: Counter::new(NAMES_A_GROUP_MAX),
                    recipients: HashSet::new(),
                });
                self.groups.len() - 1
            }
        };
        self.said.insert(key, at);
        Some(at)
    }

    /// What the answers about some topics have in common.
    pub fn about(&self, topics: &[Topic]) -> About<'_> {
        let groups = self.groups.iter().filter(|g| topics.contains(&g.topic)).collect();
        About::of(groups)
    }
}

/// Groups of answers, added up.
#[derive(Clone, Debug)]
pub struct About<'t> {
    /// The groups, most events first.
    pub groups: Vec<&'t Group>,
    /// How often.
    pub events: u64,
    /// Of them for good.
    pub failed: u64,
    /// When the first of them came; [`Timestamp::MAX`] when there is none.
    pub first: Timestamp,
    /// By destination.
    pub destinations: Counter<String>,
    /// By provider.
    pub providers: [u64; Provider::ALL.len()],
    /// By our address.
    pub sources: Counter<IpAddr>,
    /// By subject pattern.
    pub patterns: Counter<String>,
    /// By API user.
    pub users: Counter<String>,
}

impl<'t> About<'t> {
    fn of(mut groups: Vec<&'t Group>) -> Self {
        groups.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.text.cmp(&b.text)));
        let mut about = About {
            events: 0,
            failed: 0,
            first: Timestamp::MAX,
            destinations: Counter::new(NAMES_MAX),
            providers: Default::default(),
            sources: Counter::new(NAMES_MAX),
            patterns: Counter::new(NAMES_MAX),
            users: Counter::new(NAMES_MAX),
            groups: Vec::new(),
        };
        for group in &groups {
            about.events += group.events;
            about.failed += group.failed;
            about.first = about.first.min(group.first);
            about.destinations.merge(&group.destinations);
            about.providers.iter_mut().zip(group.providers).for_each(|(sum, n)| *sum += n);
            about.sources.merge(&group.sources);
            about.patterns.merge(&group.patterns);
            about.users.merge(&group.users);
        }
        about.groups = groups;
        about
    }

    /// The provider that said it most often, and how often.
    pub fn top_provider(&self) -> (Provider, u64) {
        let most = Provider::ALL.into_iter().zip(self.providers).max_by_key(|(p, n)| (*n, std::cmp::Reverse(*p)));
        most.unwrap_or((Provider::Other, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one<'a>(kind: EventKind, recipient: &'a str, reply: &'a str) -> Try<'a> {
        Try {
            at: Timestamp::from_millis(1_000),
            kind,
            phase: Some(Phase::Rcpt),
            class: None,
            reply,
            recipient,
            destination: recipient.rsplit_once('@').map_or("", |(_, d)| d),
            host: "",
            source: None,
            user: "",
            subject: "Order 17",
            octets: 10,
        }
    }

    #[test]
    fn answers_that_say_the_same_are_one_group() {
        let mut tally = Tally::default();
        for n in 0..50 {
            let to = format!("u{n}@gmail.com");
            tally.add(&one(EventKind::Failed, &to, &format!("550 5.1.1 <{to}>: User unknown")));
            tally.add(&one(EventKind::Succeeded, &to, "250 ok"));
        }
        tally.add(&one(EventKind::Deferred, "a@b.example", "not tried, the destination is in trouble"));
        let listed = Try { class: Some(ErrorClass::Blocked), ..one(EventKind::Failed, "a@b.example", "since May") };
        tally.add(&listed);
        assert_eq!((tally.groups.len(), tally.refused(), tally.volume()), (1, 50, 100));
        assert_eq!((tally.held_back, tally.listed), (1, 1));
        let about = tally.about(&[Topic::UnknownUser]);
        assert_eq!((about.events, about.failed, about.groups[0].recipients()), (50, 50, 50));
        assert_eq!(about.top_provider(), (Provider::Gmail, 50));
        assert_eq!(tally.patterns["Order #"], Fared { delivered: 50, refused: 50, octets: 1_000 });
        assert_eq!(tally.about(&[Topic::Dkim]).events, 0);
    }

    #[test]
    fn everything_is_bounded_and_the_rest_is_counted() {
        let mut tally = Tally::default();
        for n in 0..NAMES_MAX + 100 {
            let letters: String = n.to_string().bytes().map(|b| char::from(b'a' + (b - b'0'))).collect();
            let to = format!("{letters}@{letters}.example");
            let reply = format!("550 no {letters}");
            let subject = format!("subject {letters}");
            tally.add(&Try { subject: &subject, ..one(EventKind::Failed, &to, &reply) });
        }
        assert_eq!(tally.groups.len(), GROUPS_MAX);
        assert_eq!(tally.ungrouped + tally.groups.iter().map(|g| g.events).sum::<u64>(), (NAMES_MAX + 100) as u64);
        assert!(tally.destinations.len() == NAMES_MAX && tally.patterns.len() == NAMES_MAX);
        assert_eq!(tally.refused(), (NAMES_MAX + 100) as u64);
    }
}
