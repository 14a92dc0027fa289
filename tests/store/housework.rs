//! Housework: pruning leaves nothing past its period and nothing else is touched; kept bodies go in time (R13).

use std::time::Duration;

use hikyaku::{
    clock::{Clock, Timestamp},
    event::EventKind,
    store::{LogQuery, NoticeKind, Page, Store, sim::SimDisk},
};

use crate::support::*;

fn report(disk: &SimDisk) -> hikyaku::store::VerifyReport {
    let report = Store::verify_on(std::sync::Arc::new(disk.clone()), std::path::Path::new(SIM_DIR)).unwrap();
    assert!(report.damage.is_empty(), "{:#?}", report.damage);
    report
}

/// Stops, counts what is stored, starts again.
fn reopened(disk: &SimDisk, clock: &Clock, store: Store) -> (Store, hikyaku::store::VerifyReport) {
    smol::block_on(store.stop()).unwrap();
    drop(store);
    let report = report(disk);
    (open_sim(disk, clock).unwrap().store, report)
}

#[test]
fn what_is_past_its_period_is_pruned_and_what_waits_or_is_owed_stays() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    let done = |n: usize| {
        submit(
            &store,
            &clock,
            Mail { message_id: format!("<{n}@x>"), api_data: "a".into(), ..Mail::to(&["u@a.example"; 3][..1 + n % 3]) },
        )
        .unwrap()
    };
    let mut changes = Vec::new();
    for n in 0..700 {
        let id = done(n).id();
        changes.extend((0..1 + n % 3).map(|i| succeeded(key(id, u32::try_from(i).unwrap()), clock.now())));
    }
    for chunk in changes.chunks(200) {
        apply(&store, chunk.to_vec()).unwrap();
    }
    let many = submit(&store, &clock, Mail::to(&["m@a.example"; 40])).unwrap().id();
    apply(&store, (0..40).map(|i| succeeded(key(many, i), clock.now())).collect()).unwrap();
    let waits = submit(&store, &clock, Mail::default()).unwrap().id();
    apply(&store, vec![deferred(key(waits, 0), clock.now(), Timestamp::MAX)]).unwrap();
    let owed = submit(&store, &clock, Mail::default()).unwrap().id();
    apply(&store, vec![owing(failed(key(owed, 0), clock.now()), NoticeKind::Failure)]).unwrap();
    clock.advance(39 * DAY);
    let young = submit(&store, &clock, Mail::default()).unwrap().id();
    apply(&store, vec![succeeded(key(young, 0), clock.now())]).unwrap();

    clock.advance(2 * DAY);
    let (mut store, mut left) = (store, 0);
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(100));
        let (again, r) = reopened(&disk, &clock, store);
        store = again;
        left = r.messages;
        if left == 3 {
            // The waiting one and the one that owes lost their old events; the young one kept both.
            assert_eq!((r.events, r.recipients), (2, 3));
            break;
        }
    }
    assert_eq!(left, 3);
    for id in [waits, owed, young] {
        assert!(load(&store, id).is_some());
    }
    assert!(body_of(&store, &load(&store, waits).unwrap().0).is_ok());
    assert!(store.message_story(waits).unwrap().is_some_and(|s| s.events.is_empty()), "it waits: it is shown");
    // It is delivered at last: its new event is as any other.
    apply(&store, vec![succeeded(key(waits, 0), clock.now())]).unwrap();
    assert_eq!(store.message_story(waits).unwrap().unwrap().events.len(), 1);
    // The notice is settled at last: the message goes with it.
    assert_eq!(smol::block_on(store.settle(vec![key(owed, 0)])).unwrap(), 1);
    assert!(load(&store, owed).is_none());
    smol::block_on(store.stop()).unwrap();
    drop(store);
    report(&disk);
}

#[test]
fn bodies_of_finished_messages_are_kept_as_long_as_configured() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let mut opts = options(SIM_DIR, &clock);
    opts.retention.message_bodies = 2 * DAY;
    let store = open_sim_with(&disk, opts).unwrap().store;
    let id = submit(&store, &clock, Mail::default()).unwrap().id();
    apply(&store, vec![succeeded(key(id, 0), clock.now())]).unwrap();
    clock.advance(DAY);
    std::thread::sleep(Duration::from_millis(100));
    assert!(body_of(&store, &load(&store, id).unwrap().0).is_ok());
    clock.advance(2 * DAY);
    eventually("the body is dropped", || body_of(&store, &load(&store, id).unwrap().0).is_err());
    assert_eq!(store.totals().body_octets, 0);
    let rows = store.log_page(&LogQuery::default(), &Page::default()).unwrap().rows;
    assert_eq!(rows[0].event.kind, EventKind::Succeeded);
    drop(store);
    report(&disk);
}
