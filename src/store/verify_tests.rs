//! `verify` proves that the log, its indexes and its sums say the same.

use std::{path::Path, sync::Arc};

use redb::WriteTransaction;

use super::*;
use crate::{
    clock::{Clock, Timestamp},
    store::{
        Store, counts,
        migrate::tests::{database, filled},
        sim::DIR,
    },
};

/// What `verify` says of a store with twelve messages after somebody wrote into its file.
fn after(tamper: impl FnOnce(&WriteTransaction)) -> Vec<String> {
    let (disk, _) = filled(&Clock::manual(Timestamp::from_millis(1_793_491_200_000)));
    let verified = || Store::verify_on(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
    let before = verified();
    assert_eq!((before.damage.len(), before.index_rows_left), (0, 0), "{:#?}", before.damage);
    let db = database(&disk);
    let txn = db.begin_write().unwrap();
    tamper(&txn);
    txn.commit().unwrap();
    drop(db);
    verified().damage
}

fn assert_says(lines: &[String], words: &str) {
    assert!(lines.iter().any(|line| line.contains(words)), "{words:?}: {lines:#?}");
}

/// The last event, with its row.
fn last_event(txn: &WriteTransaction) -> (u64, Vec<u8>) {
    let events = txn.open_table(tables::EVENTS).unwrap();
    let (number, row) = events.last().unwrap().unwrap();
    (number.value(), row.value().to_vec())
}

#[test]
fn an_index_row_of_nothing_is_told() {
    for (table, words) in [(tables::BY_RECIPIENT, "index by recipient"), (tables::BY_API_DATA, "index by X-Api-Data")] {
        let lines = after(|txn| {
            let number = last_event(txn).0 + 1;
            let key = index_key(rows::number_time(number).day(), 7, number);
            txn.open_table(table).unwrap().insert(&key, ()).unwrap();
        });
        assert_says(&lines, words);
    }
    let lines = after(|txn| {
        let id = MessageId::from_u64(last_event(txn).0 + 1);
        txn.open_table(tables::BY_MESSAGE_ID).unwrap().insert(&index_key(id.time().day(), 7, id.as_u64()), ()).unwrap();
    });
    assert_says(&lines, "index by Message-ID");
}

#[test]
fn an_event_that_an_index_does_not_have_is_told() {
    let lines = after(|txn| {
        let mut index = txn.open_table(tables::BY_RECIPIENT).unwrap();
        let first = *index.first().unwrap().unwrap().0.value();
        index.remove(&first).unwrap();
    });
    assert_says(&lines, "the index by recipient does not have it");
}

#[test]
fn an_event_that_is_gone_without_its_message_is_told() {
    let lines = after(|txn| {
        let number = last_event(txn).0;
        txn.open_table(tables::EVENTS).unwrap().remove(number).unwrap();
    });
    assert_says(&lines, "is missing");
    assert_says(&lines, "is not in the log");
    assert_says(&lines, "but the log has");
}

#[test]
fn counts_that_the_log_does_not_bear_out_are_told() {
    let first = |txn: &WriteTransaction| {
        let table = txn.open_table(tables::COUNTS).unwrap();
        let (key, row) = table.iter().unwrap().find_map(|e| e.ok().filter(|(k, _)| k.value().len() > 4)).unwrap();
        (key.value().to_vec(), row.value().to_vec())
    };
    let lines = after(|txn| {
        let (key, row) = first(txn);
        let mut numbers = rows::read_numbers::<8>(&row).unwrap();
        numbers[2] += 1;
        let row = rows::write_numbers(&numbers);
        txn.open_table(tables::COUNTS).unwrap().insert(key.as_slice(), row.as_slice()).unwrap();
    });
    assert_says(&lines, "counts of ");
    let lines = after(|txn| {
        let (key, _) = first(txn);
        txn.open_table(tables::COUNTS).unwrap().remove(key.as_slice()).unwrap();
    });
    assert_says(&lines, "are missing, but the log has");
    let lines = after(|txn| {
        let (quarter, _) = counts::read_count_key(&first(txn).0).map(|(q, u)| (q, u.to_owned())).unwrap();
        let row = rows::write_numbers(&[1, 0, 0, 0, 0, 0, 0, 0]);
        let key = counts::count_key(quarter, "nobody we know");
        txn.open_table(tables::COUNTS).unwrap().insert(key.as_slice(), row.as_slice()).unwrap();
    });
    assert_says(&lines, "counts of nobody we know");
}

#[test]
fn minutes_that_do_not_add_up_to_their_quarters_are_told() {
    let lines = after(|txn| {
        let mut table = txn.open_table(tables::USER_MINUTES).unwrap();
        let (key, row) = table.last().unwrap().map(|(k, v)| (k.value().to_vec(), v.value().to_vec())).unwrap();
        let mut numbers = rows::read_numbers::<8>(&row).unwrap();
        numbers[2] += 1;
        table.insert(key.as_slice(), rows::write_numbers(&numbers).as_slice()).unwrap();
    });
    assert_says(&lines, "but the quarter says");
    let lines = after(|txn| {
        txn.open_table(tables::USER_MINUTES).unwrap().insert(&b"abcdx"[..], &b"\xff"[..]).unwrap();
    });
    assert_says(&lines, "minutes by user: a row that cannot be read");
}

#[test]
fn a_lead_that_nobody_waits_for_is_told() {
    let put = |txn: &WriteTransaction, key: tables::MailKey, row: &[u8]| {
        txn.open_table(tables::LEADS).unwrap().insert(&key, row).unwrap();
    };
    let lines = after(|txn| put(txn, message_key(MessageId::from_u64(9)), b"\x01X: 1\r\n"));
    assert_says(&lines, "its message has no row");
    let first = |txn: &WriteTransaction| {
        let mail = txn.open_table(tables::MAIL).unwrap();
        read_mail_key(mail.first().unwrap().unwrap().0.value()).0
    };
    let lines = after(|txn| put(txn, message_key(first(txn)), b"\x07"));
    assert_says(&lines, "its message does not know of it");
    assert_says(&lines, "its version 7 is not known");
    // The first message's second recipient has its mail.
    let lines = after(|txn| put(txn, recipient_key(RecipientKey { message: first(txn), index: 1 }), b"\x01X: 1\r\n"));
    assert_says(&lines, "its recipient is final");
}
