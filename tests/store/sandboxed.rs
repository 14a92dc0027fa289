//! Mail of an API user in the sandbox: accepted and final in one transaction; and memos that are stored with a message or not at
//! all.

use hikyaku::{
    clock::Clock,
    event::{ErrorClass, EventKind, SANDBOX_HOST},
    store::{MemoChange, MemoKind, RecipientState, Sandboxed, Store, StoreError, sim::SimDisk},
};

use crate::support::*;
use EventKind::{Failed, Queued, Succeeded};

fn sandboxed(index: u32, class: Option<ErrorClass>) -> Sandboxed {
    Sandboxed { index, class, reply: "250 taken".into() }
}

fn memo(key: &str, value: &[u8]) -> MemoChange {
    MemoChange { kind: MemoKind::Idempotency, key: key.into(), value: Some(value.to_vec()) }
}

fn open(disk: &SimDisk, clock: &Clock) -> Store {
    open_sim(disk, clock).unwrap().store
}

#[test]
fn a_sandboxed_message_is_finished_when_it_is_accepted() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let mut store = open(&disk, &clock);
    let mail = Mail {
        sandboxed: vec![
            sandboxed(2, None),
            sandboxed(1, Some(ErrorClass::UnknownUser)),
            sandboxed(0, None),
            sandboxed(7, None),
        ],
        // The list is asked in the sandbox, too.
        blocked: vec![blocked(2, ErrorClass::Blocked)],
        ..Mail::to(&["a@x.example", "bounce@x.example", "c@z.example"])
    };
    let receipt = submit(&store, &clock, mail).unwrap();
    let states: Vec<_> = receipt.loaded().recipients.iter().map(|r| r.state.clone()).collect();
    assert_eq!(states, [Succeeded, Failed, Failed].map(RecipientState::Final));
    for reopened in [false, true] {
        if reopened {
            drop(store);
            assert_sound(&disk);
            store = open(&disk, &clock);
        }
        assert_eq!((store.totals().waiting, store.totals().body_octets), (0, 0));
        let story = store.message_story(receipt.id()).unwrap().unwrap();
        let told: Vec<_> = story.events.iter().map(|e| (e.key.index, e.kind, e.is_sandboxed())).collect();
        assert_eq!(
            told,
            [
                (0, Queued, false),
                (0, Succeeded, true),
                (1, Queued, false),
                (1, Failed, true),
                (2, Queued, false),
                (2, Failed, false)
            ]
        );
        let detail = story.events[3].detail.as_ref().unwrap();
        assert_eq!(
            (detail.host.as_str(), detail.error, detail.destination.as_str()),
            (SANDBOX_HOST, Some(ErrorClass::UnknownUser), "x.example")
        );
    }
    smol::block_on(store.stop()).unwrap();
    drop(store);
    assert_sound(&disk);
}

#[test]
fn memos_are_stored_with_their_message_or_neither_is() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open(&disk, &clock);
    let mail = Mail { memos: vec![memo("a", b"1"), memo("b", b"2")], ..Mail::default() };
    submit(&store, &clock, mail).unwrap();
    assert_eq!(store.memo(MemoKind::Idempotency, "a").unwrap(), Some(b"1".to_vec()));
    let too_long = "k".repeat(1_000);
    let mail = Mail { memos: vec![memo("c", b"1"), memo(&too_long, b"2")], ..Mail::default() };
    let refused = submit(&store, &clock, mail);
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    // More than one transaction takes.
    let mail = Mail { memos: (0..1_001).map(|n| memo(&n.to_string(), b"")).collect(), ..Mail::default() };
    assert!(submit(&store, &clock, mail).is_err());
    assert_eq!((store.totals().waiting, store.memo_count(MemoKind::Idempotency).unwrap()), (1, 2));
    smol::block_on(store.stop()).unwrap();
    drop(store);
    assert_sound(&disk);
    let store = open(&disk, &clock);
    assert_eq!((store.totals().waiting, store.memo_count(MemoKind::Idempotency).unwrap()), (1, 2));
}
