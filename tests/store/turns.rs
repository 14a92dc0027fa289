//! P6 and R5 on disk: no submitter's backlog and no message with many recipients hides anybody at the head of a lane.

use std::{collections::BTreeMap, time::Duration};

use hikyaku::{
    clock::{Clock, Timestamp},
    event::{Class, EventKind, WaitReason},
    ids::{RecipientKey, UserKey},
    store::{Head, HeadLimits, Lane, Page, QueueAct, QueueFilter, QueueVerb, RecipientState, Store, sim::SimDisk},
};

use crate::support::*;

fn new_store() -> (SimDisk, Clock, Store) {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    (disk, clock, store)
}

fn head(store: &Store, until: Timestamp, rows: usize, per_message: usize, skip: &[RecipientKey]) -> Head {
    let lane = Lane("a.example".into());
    store.head(&lane, Class::Normal, until, HeadLimits { rows, per_message }, &|key| skip.contains(&key)).unwrap()
}

fn by_user(head: &Head) -> BTreeMap<UserKey, usize> {
    head.tickets.iter().fold(BTreeMap::new(), |mut sums, t| {
        *sums.entry(t.user).or_default() += 1;
        sums
    })
}

fn from(user: &str, recipients: usize) -> Mail {
    let to = (0..recipients).map(|n| format!("u{n}@a.example")).collect();
    Mail { user: user.into(), to, ..Mail::default() }
}

#[test]
fn submitters_have_equal_shares_and_what_some_leave_goes_to_the_others() {
    let (disk, clock, store) = new_store();
    for (user, messages) in [("bulk", 300), ("shop", 40), ("", 3)] {
        for _ in 0..messages {
            submit(&store, &clock, from(user, 1)).unwrap();
        }
    }
    let now = clock.now();
    let [bulk, shop, nobody] = ["bulk", "shop", ""].map(UserKey::of);
    for (rows, expected) in [
        (3, [(nobody, 1), (shop, 1), (bulk, 1)]),
        (30, [(nobody, 3), (shop, 13), (bulk, 14)]),
        (200, [(nobody, 3), (shop, 40), (bulk, 157)]),
    ] {
        let head = head(&store, now, rows, 10, &[]);
        assert_eq!((head.tickets.len(), head.complete), (rows, false));
        let sums = by_user(&head);
        for (user, count) in expected {
            // An odd row goes to one or the other, by turns.
            assert!(sums[&user].abs_diff(count) <= 1, "{rows}: {sums:?}");
        }
    }
    let all = head(&store, now, 343, 10, &[]);
    assert_eq!((all.tickets.len(), all.complete), (343, true));
    let skip: Vec<RecipientKey> = all.tickets.iter().filter(|t| t.user != nobody).map(|t| t.key).collect();
    let rest = head(&store, now, 3, 10, &skip);
    assert_eq!((rest.tickets.len(), rest.complete), (3, true));
    assert_eq!(by_user(&head(&store, now, 2, 10, &skip)), BTreeMap::from([(nobody, 2)]));
    drop(store);
    assert_sound(&disk);
}

#[test]
fn with_more_submitters_than_rows_each_has_its_turn() {
    let (_disk, clock, store) = new_store();
    for n in 0..40 {
        for _ in 0..3 {
            submit(&store, &clock, from(&format!("user{n}"), 1)).unwrap();
        }
    }
    let mut seen: BTreeMap<UserKey, usize> = BTreeMap::new();
    for _ in 0..100 {
        let head = head(&store, clock.now(), 5, 10, &[]);
        assert!(!head.complete);
        assert_eq!(by_user(&head).values().max(), Some(&1));
        head.tickets.iter().for_each(|t| *seen.entry(t.user).or_default() += 1);
    }
    assert_eq!(seen.len(), 40, "{seen:?}");
}

#[test]
fn a_message_with_many_recipients_hides_nobody() {
    let (disk, clock, store) = new_store();
    let large = submit(&store, &clock, from("shop", 1000)).unwrap().id();
    clock.advance(Duration::from_secs(1));
    let small = submit(&store, &clock, from("shop", 1)).unwrap().id();
    let now = clock.now();
    let first = head(&store, now, 50, 20, &[]);
    assert_eq!((first.tickets.len(), first.complete), (21, false));
    assert_eq!(first.tickets[20].key, key(small, 0));
    // What is in RAM already does not count.
    let skip: Vec<RecipientKey> = first.tickets.iter().map(|t| t.key).collect();
    let second = head(&store, now, 50, 20, &skip);
    assert_eq!((second.tickets.len(), second.complete), (20, false));
    assert_eq!(second.tickets[0].key, key(large, 20));
    // Its other recipients are passed over by a seek: a million of them would cost no more.
    let third = head(&store, now, 1, 1, &[]);
    assert_eq!((third.tickets[0].key, third.complete), (key(large, 0), false));
    let rest = head(&store, now, 1000, 1000, &skip);
    assert_eq!((rest.tickets.len(), rest.complete), (980, true));
    drop(store);
    assert_sound(&disk);
}

#[test]
fn a_lane_knows_its_earliest_due_time_whoever_submitted_it() {
    let (disk, clock, store) = new_store();
    let lane = |store: &Store| store.lanes(1).unwrap().remove(0).earliest_due;
    let mut ids = Vec::new();
    for user in ["a", "b", "c", ""] {
        clock.advance(Duration::from_secs(10));
        ids.push((submit(&store, &clock, from(user, 1)).unwrap().id(), clock.now()));
    }
    for (n, (id, at)) in ids.iter().enumerate() {
        assert_eq!(lane(&store), *at);
        let later = START.plus(DAY).plus(Duration::from_secs(60 - n as u64));
        apply(&store, vec![deferred(key(*id, 0), clock.now(), later)]).unwrap();
    }
    assert_eq!(lane(&store), START.plus(DAY).plus(Duration::from_secs(57)));
    drop(store);
    assert_sound(&disk);
}

#[test]
fn a_destination_is_every_lane_of_it_whatever_its_rule() {
    let (disk, clock, store) = new_store();
    let lanes =
        ["docomo.ne.jp", "docomo.ne.jp#dots", "docomo.ne.jp#long", "docomo.ne.jp.example", "docomo.ne", "[1.2.3.4]:25"];
    for (n, lane) in lanes.iter().enumerate() {
        for _ in 0..=n {
            submit(&store, &clock, Mail { lane: Some(Lane((*lane).into())), ..Mail::default() }).unwrap();
        }
    }
    let count = |destination: &str| {
        let filter = QueueFilter { destination: destination.into(), ..QueueFilter::default() };
        let (mut count, mut page) = (0, Page { rows_max: 2, scan_max: 3, ..Page::default() });
        loop {
            let got = store.queue_page(&filter, &page).unwrap();
            count += got.rows.len();
            match got.next {
                Some(next) => page.cursor = Some(next),
                None => return count,
            }
        }
    };
    assert_eq!(["DOCOMO.ne.jp", "docomo.ne.jp.example", "docomo.ne", "[1.2.3.4]:25"].map(count), [6, 4, 5, 6]);
    assert_eq!(["docomo.ne.jp#dots", "docomo", "nowhere.example", ""].map(count), [0, 0, 0, 21]);
    let filter = QueueFilter { destination: "docomo.ne.jp".into(), ..QueueFilter::default() };
    let act = |verb| {
        smol::block_on(store.act(QueueAct { verb, filter: filter.clone(), operator: "op".into(), from: "test".into() }))
            .unwrap()
    };
    assert_eq!((act(QueueVerb::Hold), store.totals().held), (6, 6));
    assert_eq!((act(QueueVerb::Release), store.totals().held), (6, 0));
    drop(store);
    assert_sound(&disk);
}

#[test]
fn mail_for_later_waits_for_its_time_and_can_be_sent_at_once_by_an_operator() {
    let (disk, clock, store) = new_store();
    let at = START.plus(Duration::from_secs(3600));
    let receipt = submit(&store, &clock, Mail { release_at: Some(at), ..from("", 1) }).unwrap();
    let scheduled = RecipientState::Waiting { due: at, wait: WaitReason::Scheduled };
    assert_eq!(receipt.loaded().recipients[0].state, scheduled);
    let id = receipt.id();
    let past = submit(&store, &clock, Mail { release_at: Some(START), ..from("", 1) }).unwrap();
    let fresh = RecipientState::Waiting { due: START, wait: WaitReason::Fresh };
    assert_eq!(past.loaded().recipients[0].state, fresh, "a release that is past is none");
    apply(&store, vec![succeeded(key(past.id(), 0), clock.now())]).unwrap();
    assert_eq!((store.totals().waiting, store.totals().held), (1, 0));
    let story = store.message_story(id).unwrap().unwrap();
    assert_eq!(story.events.iter().map(|e| e.kind).collect::<Vec<_>>(), [EventKind::Queued]);
    assert_eq!((head(&store, clock.now(), 9, 9, &[]).tickets.len(), store.next_due(START).unwrap()), (0, Some(at)));
    drop(store);
    let store = open_sim(&disk, &clock).unwrap().store;
    assert_eq!(load(&store, id).unwrap().1[0].state, scheduled);
    assert_eq!(head(&store, at, 9, 9, &[]).tickets.len(), 1);
    let act = |verb| {
        let filter = QueueFilter { message: Some(id), ..QueueFilter::default() };
        smol::block_on(store.act(QueueAct { verb, filter, operator: "op".into(), from: "test".into() })).unwrap()
    };
    assert_eq!((act(QueueVerb::Release), act(QueueVerb::Flush)), (0, 1), "it is not held");
    assert_eq!(load(&store, id).unwrap().1[0].state, fresh);
    drop(store);
    assert_sound(&disk);
}
