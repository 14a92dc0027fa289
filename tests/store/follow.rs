//! Who follows the log sees each event once and in order, whatever is written meanwhile; who has a Message-ID finds the mail.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use hikyaku::{
    clock::Clock,
    event::{ErrorClass, EventKind},
    store::{Store, sim::SimDisk},
};

use crate::support::*;
use EventKind::{Bounced, Failed, Queued, Succeeded};

#[test]
fn who_follows_misses_nothing_that_is_written_meanwhile() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    let done = AtomicBool::new(false);
    let (mut seen, mut after) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|n| {
                let (store, clock) = (&store, &clock);
                scope.spawn(move || {
                    for i in 0..60 {
                        let id = submit(store, clock, Mail::to(&["a@x.example", "b@x.example"])).unwrap().id();
                        apply(store, vec![succeeded(key(id, 0), clock.now()), failed(key(id, 1), clock.now())])
                            .unwrap();
                        if i % 3 == n % 3 {
                            returned(store, back(key(id, 0), clock.now(), Bounced, "")).unwrap();
                        }
                        clock.advance(Duration::from_millis(i % 2));
                    }
                })
            })
            .collect();
        let follower = scope.spawn(|| {
            loop {
                let last_look = done.load(Ordering::Acquire);
                let (events, next) = store.follow(after, &[Failed, Bounced], 7).unwrap();
                assert!(next >= after && events.iter().all(|e| (after + 1..=next).contains(&e.number)));
                let is_end = next == after;
                after = next;
                seen.extend(events.into_iter().map(|e| (e.number, e.event)));
                if is_end && last_look {
                    return;
                }
            }
        });
        writers.into_iter().for_each(|w| w.join().unwrap());
        done.store(true, Ordering::Release);
        follower.join().unwrap();
    });
    assert!(seen.windows(2).all(|w| w[0].0 < w[1].0), "each once, in order");
    let all = store.follow(0, &[Failed, Bounced], usize::MAX).unwrap().0;
    assert_eq!(all.len(), 180 + 60);
    assert_eq!(seen, all.into_iter().map(|e| (e.number, e.event)).collect::<Vec<_>>());
    drop(store);
    assert_sound(&disk);
}

#[test]
fn events_come_with_address_and_submitter_from_behind_a_number_on() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    assert_eq!(store.follow(0, &[], 10).unwrap(), (vec![], 0));
    let mail = |to: &str| Mail { user: "shop".into(), ..Mail::to(&[to]) };
    let first = submit(&store, &clock, mail("You@Example.ORG")).unwrap().id();
    let blocked = Mail { blocked: vec![blocked(0, ErrorClass::Blocked)], ..mail("b@x.example") };
    submit(&store, &clock, blocked).unwrap();
    apply(&store, vec![failed(key(first, 0), clock.now())]).unwrap();
    let (events, end) = store.follow(0, &[Failed], 10).unwrap();
    let told: Vec<_> = events.iter().map(|e| (e.address.as_str(), e.user.as_str(), e.event.attempt)).collect();
    assert_eq!(told, [("b@x.example", "shop", 0), ("you@example.org", "shop", 1)]);
    assert_eq!(end, events[1].number, "at the end: the last number");
    assert_eq!(store.follow(end, &[Failed], 10).unwrap(), (vec![], end));
    assert_eq!(store.follow(u64::MAX, &[], 10).unwrap(), (vec![], u64::MAX));
    // Bounded by what is read, not by what is found; it goes on where it stopped.
    let (none, middle) = store.follow(0, &[Succeeded], 2).unwrap();
    assert!(none.is_empty() && middle < end);
    assert_eq!(store.follow(middle, &[], 10).unwrap().0.len(), 2);
    assert_eq!(store.follow(0, &[Queued, Failed], 10).unwrap().0.len(), 4);
    // A clock that steps back changes nothing.
    drop(store);
    let back_then = Clock::manual(START.minus(DAY));
    let store = open_sim(&disk, &back_then).unwrap().store;
    submit(&store, &back_then, mail("c@x.example")).unwrap();
    let (events, _) = store.follow(end, &[], 10).unwrap();
    assert_eq!(events.iter().map(|e| e.address.as_str()).collect::<Vec<_>>(), ["c@x.example"]);
    assert!(events[0].number > end);
}

fn subjects(store: &Store, message_id: &str, limit: usize) -> Vec<(u64, usize)> {
    let found = store.sent_as(message_id, limit).unwrap();
    found.iter().map(|(m, recipients)| (m.id.as_u64(), recipients.len())).collect()
}

#[test]
fn a_message_id_finds_what_was_sent_as_it_newest_first() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    let mut ids = Vec::new();
    for n in 0..3 {
        let mail = Mail { message_id: "<One@Example.JP>".into(), ..Mail::to(&["a@x.example", "b@x.example"]) };
        let id = submit(&store, &clock, mail).unwrap().id();
        if n < 2 {
            apply(&store, (0..2).map(|i| succeeded(key(id, i), clock.now())).collect()).unwrap();
        }
        ids.push(id.as_u64());
        clock.advance(DAY);
    }
    submit(&store, &clock, Mail::default()).unwrap();
    for key in ["<one@example.jp>", "One@Example.JP", " <ONE@example.jp> "] {
        assert_eq!(subjects(&store, key, 100), [(ids[2], 2), (ids[1], 2), (ids[0], 2)], "{key}");
    }
    assert_eq!(subjects(&store, "<one@example.jp>", 3), [(ids[2], 2), (ids[1], 1)]);
    for nothing in ["<two@example.jp>", "", "<>", "<one@example.jp"] {
        assert!(subjects(&store, nothing, 100).is_empty(), "{nothing:?}");
    }
    clock.advance(39 * DAY);
    assert_eq!(subjects(&store, "<one@example.jp>", 100), [(ids[2], 2)], "it still waits; the others are past");
}
