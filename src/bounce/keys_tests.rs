//! Keys over their whole life: made once, kept over restarts, followed by others, forgotten in time.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use super::*;
use crate::{
    bounce::return_paths::{ReturnPaths, is_known_return_path},
    ids::MessageId,
    smtp::address::Mailbox,
    store::{RetentionPeriods, StoreOptions},
};

const DAY: Duration = Duration::from_secs(86_400);
const KEEP: Duration = Duration::from_secs(51 * 86_400);

/// A store in a folder of its own, gone with it.
struct House(Store, PathBuf);

impl Drop for House {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.1);
    }
}

fn house() -> House {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let n = MADE.fetch_add(1, Ordering::SeqCst);
    let data_dir = std::env::temp_dir().join(format!("hikyaku-keys-{}-{n}", std::process::id()));
    std::fs::create_dir_all(&data_dir).unwrap();
    let retention = RetentionPeriods { delivery_log: DAY, error_log: DAY, audit_log: DAY, message_bodies: DAY };
    let options = StoreOptions { data_dir: data_dir.clone(), clock: Clock::system(), disk_free_min: 0, retention };
    House(Store::open(options).unwrap().store, data_dir)
}

/// The time so many days after a message's.
fn day(n: u64) -> Timestamp {
    MessageId::from_u64(1 << 40).time().plus(DAY * n as u32)
}

fn of() -> RecipientKey {
    RecipientKey { message: MessageId::from_u64(1 << 40), index: 2 }
}

fn open(store: &Store, at: Timestamp) -> KeyRing {
    smol::block_on(KeyRing::open_in(store, at)).unwrap()
}

fn tend(ring: &KeyRing, store: &Store, at: Timestamp) {
    smol::block_on(ring.tend(store, at, KEEP)).unwrap();
}

#[test]
fn a_token_opens_after_restarts_and_new_epochs_until_its_mail_is_forgotten() {
    let House(store, _) = &house();
    let ring = open(store, day(0));
    let token = ring.mint(ring.newest(), of()).unwrap();
    assert_eq!(store.memos(MemoKind::ReturnKeys, "", None, 9).unwrap().len(), 1, "on disk before the first token");
    assert_eq!(open(store, day(1)).mint(0, of()), Some(token.clone()), "the same key after a restart");

    for (n, newest, alive) in [(1, 0, 1), (89, 0, 1), (90, 1, 2), (141, 1, 2), (142, 1, 1), (180, 2, 2), (270, 3, 2)] {
        tend(&ring, store, day(n));
        assert_eq!((ring.newest(), ring.epochs().alive.len()), (newest, alive), "day {n}");
        let again = open(store, day(n));
        assert_eq!(again.newest(), newest, "day {n}");
        let expected = match n {
            0..=51 => Ok(of()),
            52..=141 => Err(NotOpened::Expired),
            _ => Err(NotOpened::Forged),
        };
        for ring in [&ring, &again] {
            assert_eq!(ring.open(&token, day(n), KEEP), expected, "day {n}");
            assert_eq!(ring.open(&token.to_uppercase(), day(n), KEEP), expected, "day {n}");
        }
    }
    assert_eq!(ring.open("taro", day(0), KEEP), Err(NotOpened::NotAToken));
    // Mail that was held for so long that its key is gone gets a token all the same.
    let late = ring.mint(0, of()).unwrap();
    assert_eq!(ring.open(&late, day(0), KEEP), Ok(of()));
}

#[test]
fn a_forged_token_does_not_open() {
    let (ring, other) = (KeyRing::fixed([1; 32]), KeyRing::fixed([2; 32]));
    let token = other.mint(0, of()).unwrap();
    assert_eq!(ring.open(&token, day(0), KEEP), Err(NotOpened::Forged));
    assert!(!format!("{ring:?}").contains('1'));
}

#[test]
fn keys_of_different_purposes_and_epochs_are_independent() {
    let House(store, _) = &house();
    let ring = open(store, day(0));
    tend(&ring, store, day(90));
    let mut keys = Vec::new();
    for epoch in [0, 1] {
        for purpose in [RETURN_ADDRESS, "unsubscribe", "unsubscribe "] {
            keys.push(ring.derive(epoch, purpose).unwrap());
            assert_eq!(open(store, day(91)).derive(epoch, purpose), keys.last().copied());
        }
        keys.push(*ring.epochs().of(epoch).unwrap().root.reveal());
    }
    let distinct: std::collections::HashSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len());
    assert_eq!(ring.derive(77, "unsubscribe"), None);
}

#[test]
fn numbers_go_round_and_none_is_given_twice() {
    let epoch = |number: u8, n: u64| Epoch::new(number, day(n), [number; KEY_OCTETS]);
    let make = |alive: Vec<Epoch>, damaged: &[u8], n| Epochs { alive, damaged: damaged.to_vec() }.plan(day(n), KEEP);
    assert_eq!(make(vec![epoch(255, 0)], &[], 90).make, Some(0));
    assert_eq!(make(vec![epoch(0, 0), epoch(255, 60)], &[1], 150), Plan { forget: vec![0], make: Some(2) });
    assert_eq!(make(vec![epoch(4, 0)], &[5, 6], 90).make, Some(7));
    // A clock that stepped back makes nothing and forgets nothing.
    assert_eq!(make(vec![epoch(3, 100), epoch(4, 200)], &[], 0), Plan { forget: Vec::new(), make: None });
    let all: Vec<Epoch> = (0..=255).map(|n| epoch(n, u64::from(n))).collect();
    let full = Epochs { alive: all, damaged: Vec::new() };
    assert_eq!(full.plan(day(400), DAY * 9_999), Plan { forget: Vec::new(), make: None }, "the newest goes on");
}

#[test]
fn a_damaged_key_costs_its_own_tokens_only() {
    let House(store, _) = &house();
    let token = open(store, day(0)).mint(0, of()).unwrap();
    smol::block_on(store.put_memos(vec![memo(0, Some(b"{}".to_vec()))])).unwrap();
    let ring = open(store, day(1));
    assert_eq!((ring.newest(), ring.open(&token, day(1), KEEP)), (1, Err(NotOpened::Forged)));
    assert!(ring.mint(0, of()).is_some());
}

#[test]
fn what_may_come_back_is_kept_for_hold_lifetime_log_and_a_margin() {
    let mut config = Config::default();
    assert_eq!(keep_for(&config), DAY * (30 + 4 + 40 + 7));
    config.queue.lifetime_low = DAY * 10;
    config.retention.error_log = DAY * 400;
    assert_eq!(keep_for(&config), DAY * (30 + 10 + 400 + 7));
}

#[test]
fn senders_that_keep_their_local_part_are_known_from_their_first_mail_until_they_are_forgotten() {
    let House(store, _) = &house();
    let mailbox = |text: &str| Mailbox::parse(text).unwrap();
    let known = |text: &str| is_known_return_path(store, &mailbox(text)).unwrap();
    let paths = ReturnPaths::default();
    let remember = |text: &str, day| smol::block_on(paths.remember(store, &mailbox(text), day)).unwrap();
    assert!(!known("Taro@return.example"));
    remember("Taro@return.example", 10);
    assert!(known("Taro@return.example") && known("taro@RETURN.example"));
    assert!(!known("jiro@return.example") && !known("taro@other.example"));
    // Once a day only.
    let commits = store.commits();
    remember("taro@return.example", 10);
    remember("Taro@return.example", 10);
    assert_eq!(store.commits(), commits);
    smol::block_on(ReturnPaths::default().remember(store, &mailbox("taro@return.example"), 10)).unwrap();
    assert_eq!(store.commits(), commits, "a restart reads what is on disk");
    remember("taro@return.example", 11);
    remember("jiro@return.example", 9);
    assert_eq!(smol::block_on(paths.forget(store, 11)).unwrap(), 1);
    assert!(known("taro@return.example") && !known("jiro@return.example"));
}
