//! Recipients that are not written to: accepted, and final from the first, in the transaction that stores the message (P2).

use std::{path::Path, sync::Arc, time::Duration};

use hikyaku::{
    clock::{Clock, Timestamp},
    event::{Class, ErrorClass, EventKind, Phase, Trouble},
    ids::RecipientKey,
    store::{BodyIn, Lane, LogQuery, MinuteCounts, Page, RecipientState, Store, sim::SimDisk},
};

use crate::support::*;
use EventKind::{Failed, Queued, Succeeded};

fn sums(store: &Store, clock: &Clock) -> MinuteCounts {
    let minutes = store.minutes(START, clock.now().plus(DAY)).unwrap();
    minutes.iter().fold(MinuteCounts::default(), |sum, m| MinuteCounts {
        minute: sum.minute,
        queued: sum.queued + m.queued,
        deferred: sum.deferred + m.deferred,
        succeeded: sum.succeeded + m.succeeded,
        failed: sum.failed + m.failed,
        blocked: sum.blocked + m.blocked,
    })
}

#[test]
fn a_blocked_recipient_is_final_from_the_first_and_the_others_go_their_way() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let mut store = open_sim(&disk, &clock).unwrap().store;
    let mail = Mail {
        api_data: "c7".into(),
        // In any order, one twice, one that names nobody.
        blocked: vec![
            blocked(2, ErrorClass::Unsubscribed),
            blocked(0, ErrorClass::Blocked),
            blocked(2, ErrorClass::Blocked),
            blocked(9, ErrorClass::Blocked),
        ],
        ..Mail::to(&["a@x.example", "b@y.example", "c@z.example"])
    };
    let receipt = submit(&store, &clock, mail).unwrap();
    let id = receipt.id();
    let states: Vec<_> = receipt.loaded().recipients.iter().map(|r| r.state.clone()).collect();
    assert_eq!((&states[0], &states[2]), (&RecipientState::Final(Failed), &RecipientState::Final(Failed)));
    assert!(matches!(states[1], RecipientState::Waiting { .. }), "the scheduler sees who is to be tried");
    for reopened in [false, true] {
        if reopened {
            drop(store);
            assert_sound(&disk);
            store = open_sim(&disk, &clock).unwrap().store;
        }
        assert_eq!(store.totals().waiting, 1);
        let lanes = store.lanes(9).unwrap();
        assert_eq!(lanes.iter().map(|l| (&*l.lane.0, l.count)).collect::<Vec<_>>(), [("y.example", 1)]);
        let none: &dyn Fn(RecipientKey) -> bool = &|_| false;
        for lane in ["x.example", "z.example"] {
            assert!(lane_head(&store, &Lane(lane.into()), Class::Normal, Timestamp::MAX, 9, none).is_empty());
        }
        let states_stored: Vec<_> = load(&store, id).unwrap().1.into_iter().map(|r| r.state).collect();
        assert_eq!(states_stored, states);
        assert!(store.notices_owed(9).unwrap().is_empty(), "no notice is owed");
        let story = store.message_story(id).unwrap().unwrap();
        let told: Vec<_> = story.events.iter().map(|e| (e.key.index, e.kind)).collect();
        assert_eq!(told, [(0, Queued), (0, Failed), (1, Queued), (2, Queued), (2, Failed)]);
        let detail = story.events[4].detail.as_ref().unwrap();
        assert_eq!(
            (detail.error, detail.trouble, detail.phase, story.events[4].attempt),
            (Some(ErrorClass::Unsubscribed), Some(Trouble::Policy), Some(Phase::Queue), 0)
        );
        assert_eq!(detail.destination, "z.example");
        let detail = story.events[1].detail.as_ref().unwrap();
        assert_eq!((detail.error, detail.trouble), (Some(ErrorClass::Blocked), Some(Trouble::Recipient)));
        assert_eq!(story.recipients[0].last_reply, "suppressed since 2026-10-01: Blocked");
        let errors = LogQuery { errors_only: true, ..LogQuery::default() };
        assert_eq!(store.log_page(&errors, &Page::default()).unwrap().rows.len(), 2);
        for query in [
            LogQuery { recipient: "c@z.example".into(), exact: true, ..LogQuery::default() },
            LogQuery { api_data: "c7".into(), kinds: vec![Failed], exact: true, ..LogQuery::default() },
        ] {
            assert_eq!(store.log_page(&query, &Page::default()).unwrap().rows.len(), 2, "{query:?}");
        }
        let sum = sums(&store, &clock);
        assert_eq!((sum.queued, sum.failed, sum.blocked), (3, 0, 2), "blocked apart, not failed");
    }
    // P2: a verdict about one of them comes too late.
    let changes = (0..3).map(|i| succeeded(key(id, i), clock.now())).collect();
    let applied = apply(&store, changes).unwrap();
    assert_eq!((applied.applied, applied.too_late), (1, 2));
    assert_eq!(store.totals().body_octets, 0, "the one that was written to was the last");
    // Before a retry, another one turns out to be blocked: counted alike.
    let late = submit(&store, &clock, Mail::default()).unwrap().id();
    let mut change = failed(key(late, 0), clock.now());
    change.event.detail.as_mut().unwrap().error = Some(ErrorClass::Blocked);
    apply(&store, vec![change]).unwrap();
    let sum = sums(&store, &clock);
    assert_eq!((sum.queued, sum.succeeded, sum.failed, sum.blocked), (4, 1, 0, 3));
    smol::block_on(store.stop()).unwrap();
    drop(store);
    assert_sound(&disk);
}

#[test]
fn a_message_of_which_all_are_blocked_is_finished_at_once() {
    for kept in [Duration::ZERO, 2 * DAY] {
        let (disk, clock) = (SimDisk::default(), Clock::manual(START));
        let mut opts = options(SIM_DIR, &clock);
        opts.retention.message_bodies = kept;
        let store = open_sim_with(&disk, opts.clone()).unwrap().store;
        let all = || vec![blocked(0, ErrorClass::Blocked), blocked(1, ErrorClass::Blocked)];
        let small = Mail { blocked: all(), message_id: "<s@x>".into(), ..Mail::to(&["a@x.example", "b@x.example"]) };
        let small = submit(&store, &clock, small).unwrap().id();
        let id = store.ids().next(clock.now());
        let mut body = store.large_body(id).unwrap();
        body.write(&[b'L'; 9000]).unwrap();
        let large = Mail { blocked: all(), ..Mail::to(&["a@x.example", "b@x.example"]) };
        let large = large.submission_with(id, clock.now(), BodyIn::File(body.finish().unwrap()));
        smol::block_on(store.submit(large)).unwrap();
        let folder = Path::new(SIM_DIR).join("bodies");
        assert_eq!((store.totals().waiting, store.lanes(9).unwrap().len()), (0, 0));
        assert_eq!(store.totals().body_octets > 0, !kept.is_zero(), "the body goes as for any finished message");
        // Who hears of the commit may be faster than the file's end.
        eventually("a file that nobody needs is deleted", || disk.names(&folder).is_empty() == kept.is_zero());
        assert_eq!(body_of(&store, &load(&store, small).unwrap().0).is_ok(), !kept.is_zero());
        // Something may come back all the same, and all of it goes in time.
        returned(&store, back(key(small, 1), clock.now(), EventKind::Bounced, "")).unwrap();
        clock.advance(3 * DAY);
        eventually("the bodies go", || store.totals().body_octets == 0 && disk.names(&folder).is_empty());
        clock.advance(40 * DAY);
        eventually("the rows go", || load(&store, small).is_none() && load(&store, id).is_none());
        eventually("the minutes go", || store.find("<s@x>", 9).unwrap().is_empty());
        smol::block_on(store.stop()).unwrap();
        drop(store);
        let report = Store::verify_on(Arc::new(disk.clone()), Path::new(SIM_DIR)).unwrap();
        assert!(report.damage.is_empty(), "{:#?}", report.damage);
        assert_eq!((report.messages, report.events), (0, 0));
    }
}

#[test]
fn a_notice_is_settled_even_by_a_message_that_goes_to_nobody() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    let id = submit(&store, &clock, Mail::default()).unwrap().id();
    apply(&store, vec![owing(failed(key(id, 0), clock.now()), hikyaku::store::NoticeKind::Failure)]).unwrap();
    let notice = Mail {
        settles: vec![key(id, 0)],
        from: None,
        blocked: vec![blocked(0, ErrorClass::Blocked)],
        ..Mail::to(&["me@example.jp"])
    };
    submit(&store, &clock, notice).unwrap();
    assert!(store.notices_owed(9).unwrap().is_empty());
    assert_eq!((store.totals().waiting, store.totals().body_octets), (0, 0));
    let kinds = LogQuery { kinds: vec![Succeeded, Failed], ..LogQuery::default() };
    assert_eq!(store.log_page(&kinds, &Page::default()).unwrap().rows.len(), 2);
    drop(store);
    assert_sound(&disk);
}
