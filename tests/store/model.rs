//! Random lives of a store against a simple model in RAM, with reopening in between.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use bytes::Bytes;
use hikyaku::{
    clock::{Clock, Timestamp},
    event::{Class, ErrorClass, EventKind},
    ids::{MessageId, RecipientKey, UserKey},
    store::{
        HeadLimits, Lane, Lead, NoticeKind, QueueAct, QueueFilter, QueueVerb, RecipientState, ReturnedAs, Store,
        sim::SimDisk,
    },
};
use proptest::{prelude::*, sample::Index};

use crate::support::*;

#[derive(Clone, Debug)]
enum Step {
    Submit { to: Vec<u8>, class: u8, len: u16, user: u8, later: u16, blocked: u8 },
    Return { whom: Index, complains: bool, reply: u8 },
    Verdict { whom: Index, what: u8, notice: bool, lead: u8 },
    Act { verb: u8, whom: Index },
    Settle { whom: Index },
    Wait { seconds: u16 },
    Reopen { cleanly: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        // Of the recipients, those whose bits are set are blocked.
        4 => (
            proptest::collection::vec(0..5u8, 1..4), 0..3u8, 0..6000u16, 0..3u8, prop_oneof![Just(0u16), 0..4000u16],
            prop_oneof![3 => Just(0u8), 1 => 0..8u8],
        )
            .prop_map(|(to, class, len, user, later, blocked)| Step::Submit { to, class, len, user, later, blocked }),
        2 => (any::<Index>(), any::<bool>(), 0..3u8)
            .prop_map(|(whom, complains, reply)| Step::Return { whom, complains, reply }),
        6 => (any::<Index>(), 0..4u8, any::<bool>(), 0..6u8)
            .prop_map(|(whom, what, notice, lead)| Step::Verdict { whom, what, notice, lead }),
        2 => (0..5u8, any::<Index>()).prop_map(|(verb, whom)| Step::Act { verb, whom }),
        2 => any::<Index>().prop_map(|whom| Step::Settle { whom }),
        1 => (0..3000u16).prop_map(|seconds| Step::Wait { seconds }),
        1 => any::<bool>().prop_map(|cleanly| Step::Reopen { cleanly }),
    ]
}

/// What the store should know of a recipient.
#[derive(Clone, Debug)]
struct Known {
    lane: String,
    class: Class,
    since: Timestamp,
    user: String,
    state: Result<(Timestamp, bool), EventKind>,
    events: Vec<EventKind>,
    owed: usize,
    is_blocked: bool,
    /// Its own lead.
    lead: Option<Bytes>,
    back: BTreeMap<(bool, u8), u64>,
}

#[derive(Default)]
struct Model {
    recipients: BTreeMap<RecipientKey, Known>,
    bodies: BTreeMap<MessageId, Vec<u8>>,
    /// Leads that a message's recipients share.
    leads: BTreeMap<MessageId, Bytes>,
}

impl Model {
    fn pick(&self, whom: &Index) -> Option<RecipientKey> {
        (!self.recipients.is_empty()).then(|| *self.recipients.keys().nth(whom.index(self.recipients.len())).unwrap())
    }

    fn check(&self, store: &Store, now: Timestamp) {
        let waiting: Vec<&Known> = self.recipients.values().filter(|k| k.state.is_ok()).collect();
        let totals = store.totals();
        assert_eq!(totals.waiting, waiting.len() as u64);
        assert_eq!(totals.held, waiting.iter().filter(|k| matches!(k.state, Ok((_, true)))).count() as u64);
        let mut lanes: BTreeMap<&str, (u64, Timestamp)> = BTreeMap::new();
        for k in &waiting {
            let lane = lanes.entry(&k.lane).or_insert((0, Timestamp::MAX));
            lane.0 += 1;
            lane.1 = lane.1.min(k.state.unwrap().0);
        }
        let stored = store.lanes(100).unwrap();
        assert_eq!(stored.len(), lanes.len());
        for l in &stored {
            assert_eq!((l.count, l.earliest_due), lanes[&*l.lane.0], "{}", l.lane);
        }
        let next = lanes.values().map(|l| l.1).filter(|t| *t != Timestamp::MAX).min();
        assert_eq!(store.next_due(Timestamp::ZERO).unwrap(), next);
        self.check_heads(store, now);
        let oldest = Class::ALL.map(|class| {
            let waits = waiting.iter().filter(|k| k.class == class && !k.state.unwrap().1 && k.since <= now);
            waits.map(|k| k.since).min()
        });
        for (stored, exact) in store.oldest().unwrap().into_iter().zip(oldest) {
            // Within a second: several may have begun to wait in one.
            let second = |t: Option<Timestamp>| t.map(Timestamp::as_seconds);
            assert_eq!(second(stored), second(exact));
            assert!(stored <= exact);
        }
        let owed: usize = self.recipients.values().filter(|k| k.owed > 0).count();
        assert_eq!(store.notices_owed(1000).unwrap().len(), owed);
        let mut octets = 0;
        for (id, body) in &self.bodies {
            let of: Vec<&Known> = self.recipients.range(key(*id, 0)..=key(*id, u32::MAX)).map(|(_, k)| k).collect();
            let (message, recipients) = load(store, *id).unwrap();
            for (r, k) in recipients.iter().zip(&of) {
                match (&r.state, k.state) {
                    (RecipientState::Waiting { due, .. }, Ok((expected, _))) => assert_eq!(*due, expected),
                    (RecipientState::Final(kind), Err(expected)) => assert_eq!(*kind, expected),
                    other => panic!("{other:?}"),
                }
            }
            let needed = of.iter().any(|k| k.state.is_ok() || k.owed > 0);
            assert_eq!(body_of(store, &message).ok().as_ref(), needed.then_some(body));
            octets += if needed { body.len() as u64 } else { 0 };
            let story = store.message_story(*id).unwrap().unwrap();
            for (index, k) in (0..).zip(&of) {
                let events: Vec<EventKind> =
                    story.events.iter().filter(|e| e.key.index == index).map(|e| e.kind).collect();
                assert_eq!(events, k.events);
            }
        }
        assert_eq!(totals.body_octets, octets);
        self.check_leads(store);
        self.check_counts(store);
    }

    /// Who waits has the lead of its first try, and nobody else has one.
    fn check_leads(&self, store: &Store) {
        let mut count = 0;
        for id in self.bodies.keys() {
            let of: Vec<(u32, &Known)> =
                self.recipients.range(key(*id, 0)..=key(*id, u32::MAX)).map(|(k, known)| (k.index, known)).collect();
            let waits = of.iter().any(|(_, k)| k.state.is_ok());
            let shared = self.leads.get(id).filter(|_| waits).map(|octets| (None, octets.clone()));
            let own = of.iter().filter_map(|(n, k)| Some((Some(*n), k.lead.clone().filter(|_| k.state.is_ok())?)));
            let expected: Vec<(Option<u32>, Bytes)> = shared.into_iter().chain(own).collect();
            let indexes: Vec<u32> = of.iter().map(|(n, _)| *n).collect();
            let stored = store.leads(*id, &indexes).unwrap();
            let stored: Vec<(Option<u32>, Bytes)> = stored.into_iter().map(|s| (s.index, s.octets)).collect();
            assert_eq!(stored, expected);
            count += expected.len() as u64;
        }
        assert_eq!(store.totals().leads, count);
    }

    /// What each submitter's recipients went through is counted under its name, whatever the quarter.
    fn check_counts(&self, store: &Store) {
        let mut expected: BTreeMap<String, [u64; 8]> = BTreeMap::new();
        for k in self.recipients.values() {
            let counts = expected.entry(k.user.clone()).or_default();
            for (n, kind) in k.events.iter().enumerate() {
                // Blocked: failed in the moment of acceptance, without a try.
                let blocked = *kind == EventKind::Failed && n == 1 && k.is_blocked;
                counts[match kind {
                    EventKind::Queued => 0,
                    EventKind::Deferred => 1,
                    EventKind::Succeeded => 2,
                    EventKind::Failed => 3 + usize::from(blocked),
                    EventKind::Dropped => 5,
                    EventKind::Bounced => 6,
                    EventKind::Complained => 7,
                }] += 1;
            }
        }
        let mut stored: BTreeMap<String, [u64; 8]> = BTreeMap::new();
        for c in store.counts(Timestamp::ZERO, Timestamp::MAX, None).unwrap() {
            assert_eq!(c.start.as_millis() % 900_000, 0);
            let numbers = [c.queued, c.deferred, c.succeeded, c.failed, c.blocked, c.dropped, c.bounced, c.complained];
            let sums = stored.entry(c.user.clone()).or_default();
            sums.iter_mut().zip(numbers).for_each(|(sum, n)| *sum += n);
        }
        assert_eq!(stored, expected);
        for (user, sums) in &expected {
            let rows = store.counts(Timestamp::ZERO, Timestamp::MAX, Some(user)).unwrap();
            assert_eq!(rows.iter().map(|c| c.queued).sum::<u64>(), sums[0], "{user}");
            assert!(rows.iter().all(|c| c.user == *user));
        }
    }

    /// Every lane's head holds who is due, submitter by submitter.
    fn check_heads(&self, store: &Store, now: Timestamp) {
        let lanes: std::collections::BTreeSet<&str> = self.recipients.values().map(|k| k.lane.as_str()).collect();
        for (lane, class) in lanes.into_iter().flat_map(|lane| Class::ALL.map(|class| (lane, class))) {
            let due: BTreeMap<RecipientKey, Timestamp> = self
                .recipients
                .iter()
                .filter(|(_, k)| k.lane == lane && k.class == class)
                .filter_map(|(key, k)| Some((*key, k.state.ok().filter(|(due, _)| *due <= now)?.0)))
                .collect();
            for (rows, per_message) in [(1000, 1000), (3, 1), (2, 1000)] {
                let limits = HeadLimits { rows, per_message };
                let head = store.head(&Lane(lane.into()), class, now, limits, &|_| false).unwrap();
                let mut of_message: BTreeMap<MessageId, usize> = BTreeMap::new();
                let mut last: BTreeMap<u64, Timestamp> = BTreeMap::new();
                for t in &head.tickets {
                    assert_eq!(due.get(&t.key), Some(&t.due));
                    assert_eq!(t.user, UserKey::of(&self.recipients[&t.key].user));
                    *of_message.entry(t.key.message).or_default() += 1;
                    let before = last.insert(t.user.as_u64(), t.due);
                    assert!(before.is_none_or(|before| before <= t.due));
                }
                assert!(head.tickets.len() <= rows && of_message.values().all(|n| *n <= per_message));
                assert_eq!(head.complete, head.tickets.len() == due.len(), "{lane} {class:?} {limits:?}");
                let users: std::collections::BTreeSet<_> = due.keys().map(|k| &self.recipients[k].user).collect();
                assert!(last.len() == users.len().min(rows), "each submitter has a turn");
            }
        }
    }
}

fn run(steps: &[Step]) {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let mut store = open_sim(&disk, &clock).unwrap().store;
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Reopen { cleanly } => {
                if *cleanly {
                    smol::block_on(store.stop()).unwrap();
                }
                drop(store);
                let opened = open_sim(&disk, &clock).unwrap();
                assert_eq!(opened.clean, *cleanly);
                store = opened.store;
                model.check(&store, clock.now());
            }
            other => do_step(&store, &clock, &mut model, other),
        }
    }
    model.check(&store, clock.now());
    drop(store);
    assert_sound(&disk);
}

fn do_step(store: &Store, clock: &Clock, model: &mut Model, step: &Step) {
    match step {
        Step::Submit { to, class, len, user, later, blocked: bits } => {
            let to: Vec<String> = to.iter().map(|n| format!("u{n}@d{n}.example")).collect();
            let body = vec![to.len() as u8; usize::from(*len)];
            let class = Class::ALL[usize::from(*class)];
            let user = ["", "shop", "crm"][usize::from(*user)].to_owned();
            let since = clock.now().plus(Duration::from_secs((*later).into()));
            let release_at = (*later > 0).then_some(since);
            let is_blocked = |index: u32| bits & (1 << index) != 0;
            let mail = Mail {
                to: to.clone(),
                body: body.clone(),
                class,
                user: user.clone(),
                release_at,
                // Some name nobody.
                blocked: (0..4).rev().filter(|i| is_blocked(*i)).map(|i| blocked(i, ErrorClass::Blocked)).collect(),
                ..Mail::default()
            };
            let id = submit(store, clock, mail).unwrap().id();
            for (index, address) in (0..).zip(to) {
                let lane = address.split('@').nth(1).unwrap().to_owned();
                let (state, events) = if is_blocked(index) {
                    (Err(EventKind::Failed), vec![EventKind::Queued, EventKind::Failed])
                } else {
                    (Ok((since, false)), vec![EventKind::Queued])
                };
                let back = BTreeMap::new();
                let is_blocked = is_blocked(index);
                let user = user.clone();
                let lead = None;
                let known = Known { lane, class, since, user, state, events, owed: 0, is_blocked, lead, back };
                model.recipients.insert(key(id, index), known);
            }
            model.bodies.insert(id, body);
        }
        Step::Verdict { whom, what, notice, lead } => {
            let Some(key) = model.pick(whom) else { return };
            let known = model.recipients.get_mut(&key).unwrap();
            let next = clock.now().plus(Duration::from_secs(300));
            let (mut change, state) = match what {
                0 => (succeeded(key, clock.now()), Err(EventKind::Succeeded)),
                1 => (failed(key, clock.now()), Err(EventKind::Failed)),
                _ => (deferred(key, clock.now(), next), Ok((next, false))),
            };
            if *notice {
                change = owing(change, if state.is_ok() { NoticeKind::Delay } else { NoticeKind::Failure });
            }
            // Final ones bring none to disk, whatever they say.
            change.lead = match lead {
                0 | 1 => Some(Lead { own: false, octets: Bytes::from(format!("X: {lead}\r\n")) }),
                2 => Some(Lead { own: true, octets: Bytes::from(format!("X: {}\r\n", key.index)) }),
                _ => None,
            };
            let brought = change.lead.clone().filter(|_| state.is_ok() && known.state.is_ok() && known.lead.is_none());
            if let Some(lead) = brought {
                let shared = model.leads.entry(key.message);
                match shared {
                    _ if lead.own => known.lead = Some(lead.octets),
                    Entry::Occupied(first) if *first.get() != lead.octets => known.lead = Some(lead.octets),
                    Entry::Occupied(_) => {}
                    Entry::Vacant(place) => drop(place.insert(lead.octets)),
                }
            }
            let kind = change.event.kind;
            let applied = apply(store, vec![change]).unwrap();
            assert_eq!(applied.applied == 1, known.state.is_ok());
            if known.state.is_ok() {
                known.state = state;
                known.events.push(kind);
                known.owed = (known.owed + usize::from(*notice)).min(2);
            }
        }
        Step::Return { whom, complains, reply } => {
            let Some(key) = model.pick(whom) else { return };
            let known = model.recipients.get_mut(&key).unwrap();
            let kind = if *complains { EventKind::Complained } else { EventKind::Bounced };
            let answer = returned(store, back(key, clock.now(), kind, &format!("said {reply}"))).unwrap();
            match (known.back.get(&(*complains, *reply)), answer) {
                (Some(before), ReturnedAs::Known(number)) => assert_eq!(number, *before),
                (None, ReturnedAs::Written(number)) => {
                    known.back.insert((*complains, *reply), number);
                    known.events.push(kind);
                }
                other => panic!("{other:?}"),
            }
        }
        Step::Act { verb, whom } => {
            let Some(whom) = model.pick(whom) else { return };
            let verb = [QueueVerb::Flush, QueueVerb::Hold, QueueVerb::Release, QueueVerb::Drop, QueueVerb::Fail]
                [usize::from(*verb)];
            let filter = QueueFilter { message: Some(whom.message), index: Some(whom.index), ..QueueFilter::default() };
            let count =
                smol::block_on(store.act(QueueAct { verb, filter, operator: "op".into(), from: "test".into() }))
                    .unwrap();
            let known = model.recipients.get_mut(&whom).unwrap();
            let Ok((due, held)) = known.state else {
                assert_eq!(count, 0);
                return;
            };
            let applies = match verb {
                QueueVerb::Flush | QueueVerb::Hold => !held,
                QueueVerb::Release => held,
                QueueVerb::Drop | QueueVerb::Fail => true,
            };
            assert_eq!(count, u64::from(applies), "{verb:?}");
            if applies {
                let kind = if verb == QueueVerb::Drop { EventKind::Dropped } else { EventKind::Failed };
                known.state = match verb {
                    QueueVerb::Flush => Ok((due.min(clock.now()), false)),
                    QueueVerb::Hold => Ok((Timestamp::MAX, true)),
                    QueueVerb::Release => Ok((clock.now(), false)),
                    QueueVerb::Drop | QueueVerb::Fail => Err(kind),
                };
                if known.state.is_err() {
                    known.events.push(kind);
                    known.owed = (known.owed + usize::from(verb == QueueVerb::Fail)).min(2);
                }
            }
        }
        Step::Settle { whom } => {
            let Some(key) = model.pick(whom) else { return };
            let known = model.recipients.get_mut(&key).unwrap();
            let settled = smol::block_on(store.settle(vec![key])).unwrap();
            assert_eq!(settled, usize::from(known.owed > 0));
            known.owed = known.owed.saturating_sub(1);
        }
        Step::Wait { seconds } => clock.advance(Duration::from_secs((*seconds).into())),
        Step::Reopen { .. } => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_random_life_ends_as_the_model_says(steps in proptest::collection::vec(step(), 1..60)) {
        run(&steps);
    }
}
