//! What stood in front of a copy at its first try is there for the next one, and gone with the last recipient.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use hikyaku::{
    clock::Clock,
    ids::{MessageId, RecipientKey},
    store::{
        Change, LEAD_OCTETS_MAX, Lead, NoticeKind, QueueAct, QueueFilter, QueueVerb, Store, StoredLead, sim::SimDisk,
    },
};

use crate::support::*;

fn later(key: RecipientKey, clock: &Clock, own: bool, octets: &str) -> Change {
    let mut change = deferred(key, clock.now(), clock.now().plus(Duration::from_secs(60)));
    change.lead = Some(Lead { own, octets: Bytes::copy_from_slice(octets.as_bytes()) });
    change
}

fn leads(store: &Store, id: MessageId) -> Vec<(Option<u32>, String)> {
    let text = |s: StoredLead| (s.index, String::from_utf8(s.octets.to_vec()).unwrap());
    store.leads(id, &[0, 1, 2]).unwrap().into_iter().map(text).collect()
}

fn three(store: &Store, clock: &Clock) -> MessageId {
    submit(store, clock, Mail::to(&["a@x.example", "b@x.example", "c@y.example"])).unwrap().id()
}

fn of(index: Option<u32>, text: &str) -> (Option<u32>, String) {
    (index, text.to_owned())
}

#[test]
fn the_first_lead_stays_whatever_comes_later_and_goes_when_nobody_waits() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    let (id, other) = (three(&store, &clock), three(&store, &clock));
    assert_eq!((leads(&store, id), store.totals().leads), (vec![], 0));
    apply(&store, vec![later(key(id, 0), &clock, false, "S"), later(key(id, 1), &clock, false, "S")]).unwrap();
    assert_eq!((leads(&store, id), store.totals().leads), (vec![of(None, "S")], 1));
    // Another attempt of the same message made another one at the same moment.
    apply(&store, vec![later(key(id, 2), &clock, false, "T"), later(key(other, 0), &clock, true, "O")]).unwrap();
    assert_eq!(leads(&store, id), [of(None, "S"), of(Some(2), "T")]);
    assert_eq!((leads(&store, other), store.totals().leads), (vec![of(Some(0), "O")], 3));
    // Nothing replaces them.
    apply(&store, vec![later(key(id, 2), &clock, false, "U"), later(key(other, 0), &clock, true, "P")]).unwrap();
    assert_eq!(leads(&store, id), [of(None, "S"), of(Some(2), "T")]);
    assert_eq!(leads(&store, other), [of(Some(0), "O")]);
    // A lead without octets, or too many of them, is none.
    apply(&store, vec![later(key(other, 1), &clock, true, &"x".repeat(LEAD_OCTETS_MAX + 1))]).unwrap();
    assert_eq!(leads(&store, other), [of(Some(0), "O")]);
    // After a restart, and whatever stopped it.
    drop(store);
    let store = open_sim(&disk, &clock).unwrap().store;
    assert_eq!((leads(&store, id), store.totals().leads), (vec![of(None, "S"), of(Some(2), "T")], 3));
    // Each goes with its recipient, the shared one with the last.
    apply(&store, vec![succeeded(key(id, 0), clock.now()), failed(key(id, 2), clock.now())]).unwrap();
    assert_eq!(leads(&store, id), [of(None, "S")]);
    apply(&store, vec![owing(failed(key(id, 1), clock.now()), NoticeKind::Failure)]).unwrap();
    assert_eq!((leads(&store, id), store.totals().leads), (vec![], 1), "a notice needs none");
    let filter = QueueFilter { message: Some(other), ..QueueFilter::default() };
    let drop_it = QueueAct { verb: QueueVerb::Drop, filter, operator: "op".into(), from: "test".into() };
    assert_eq!(smol::block_on(store.act(drop_it)).unwrap(), 3);
    assert_eq!((leads(&store, other), store.totals().leads), (vec![], 0));
    smol::block_on(store.stop()).unwrap();
    drop(store);
    assert_sound(&disk);
}

#[test]
fn a_verdict_that_ends_a_recipient_brings_no_lead() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    let id = three(&store, &clock);
    let mut change = succeeded(key(id, 0), clock.now());
    change.lead = Some(Lead { own: true, octets: Bytes::from_static(b"S") });
    let mut late = later(key(id, 0), &clock, true, "late");
    late.event.at = clock.now();
    apply(&store, vec![change, late]).unwrap();
    assert_eq!((leads(&store, id), store.totals().leads), (vec![], 0));
    drop(store);
    assert_sound(&disk);
}

#[test]
fn a_hold_keeps_it_and_a_backup_holds_it() {
    let dir = std::env::temp_dir().join(format!("hikyaku-leads-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let (from, to) = (dir.join("from"), dir.join("to"));
    for folder in [&from, &to] {
        std::fs::create_dir_all(folder).unwrap();
    }
    let clock = Clock::manual(START);
    let open = |folder: &Path| Store::open(options(folder.to_str().unwrap(), &clock)).unwrap().store;
    let store = open(&from);
    let id = three(&store, &clock);
    apply(&store, vec![later(key(id, 0), &clock, false, "S"), later(key(id, 1), &clock, true, "O")]).unwrap();
    let filter = QueueFilter { message: Some(id), index: Some(0), ..QueueFilter::default() };
    let hold = QueueAct { verb: QueueVerb::Hold, filter, operator: "op".into(), from: "test".into() };
    assert_eq!(smol::block_on(store.act(hold)).unwrap(), 1);
    let kept = [of(None, "S"), of(Some(1), "O")];
    assert_eq!(leads(&store, id), kept);
    let mut tar = Vec::new();
    store.backup(&mut tar).unwrap();
    assert_eq!(Store::restore(&to, &clock, &mut tar.as_slice()).unwrap(), 2, "one was on hold already");
    let restored = open(&to);
    assert_eq!((leads(&restored, id), restored.totals().leads), (kept.to_vec(), 2));
    for (store, folder) in [(store, from), (restored, to)] {
        smol::block_on(store.stop()).unwrap();
        drop(store);
        let report = Store::verify(&folder, &clock).unwrap();
        assert!(report.damage.is_empty(), "{:#?}", report.damage);
    }
    let _ = std::fs::remove_dir_all(dir);
}
