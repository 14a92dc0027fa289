//! What was said in an attempt stands and falls with its event; mail is found by a part of what one remembers.

use std::time::Duration;

use hikyaku::{
    clock::{Clock, Timestamp},
    event::EventKind,
    ids::{MessageId, RecipientKey},
    smtp::conversation::{CONVERSATION_OCTETS_MAX, Conversation, Said},
    store::{
        Change, FoundPage, Page, Store,
        sim::{Fate, SimDisk},
    },
};

use crate::support::*;

fn talk(text: &str) -> Conversation {
    let mut out = Conversation::default();
    assert!(out.push(Some(1), Said::Host, "mx.example.org[192.0.2.1]:25", CONVERSATION_OCTETS_MAX));
    assert!(out.push(Some(2), Said::Peer, text, CONVERSATION_OCTETS_MAX));
    out
}

fn saying(mut change: Change, text: &str) -> Change {
    change.conversation = Some(talk(text));
    change
}

/// What was said before each event of a message, oldest first.
fn said(store: &Store, id: MessageId) -> Vec<Option<String>> {
    let Some(story) = store.message_story(id).unwrap() else { return Vec::new() };
    let found = store.conversations(&story.numbers).unwrap();
    found.into_iter().map(|c| c.map(|c| c.lines()[1].text.clone())).collect()
}

fn later(key: RecipientKey, clock: &Clock) -> Change {
    deferred(key, clock.now(), clock.now().plus(Duration::from_secs(60)))
}

#[test]
fn it_is_stored_with_its_event_wherever_the_power_is_cut() {
    for at in 0.. {
        let (disk, clock) = (SimDisk::default(), Clock::manual(START));
        let store = open_sim(&disk, &clock).unwrap().store;
        let id = submit(&store, &clock, Mail::to(&["a@x.example", "b@x.example"])).unwrap().id();
        disk.plan(Some(Fate::CrashAt(at)));
        let changes =
            vec![saying(later(key(id, 0), &clock), "450 later"), saying(failed(key(id, 1), clock.now()), "550 no")];
        let done = apply(&store, changes).is_ok();
        drop(store);
        disk.restart(at);
        let store = open_sim(&disk, &clock).unwrap().store;
        let story = store.message_story(id).unwrap().unwrap();
        let kinds: Vec<EventKind> = story.events.iter().map(|e| e.kind).collect();
        let said = said(&store, id);
        // P4: both or none.
        for (kind, said) in kinds.iter().zip(&said) {
            let want = match kind {
                EventKind::Deferred => Some("450 later"),
                EventKind::Failed => Some("550 no"),
                _ => None,
            };
            assert_eq!(said.as_deref(), want, "cut at {at}");
        }
        assert!(!done || kinds.len() == 4, "cut at {at}: {kinds:?}");
        smol::block_on(store.stop()).unwrap();
        drop(store);
        assert_sound(&disk);
        if done {
            return;
        }
    }
}

#[test]
fn it_goes_with_its_event_and_is_not_read_past_its_period() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    let old = submit(&store, &clock, Mail::default()).unwrap().id();
    apply(&store, vec![saying(failed(key(old, 0), clock.now()), "550 old")]).unwrap();
    let numbers = store.message_story(old).unwrap().unwrap().numbers;
    clock.advance(39 * DAY);
    let young = submit(&store, &clock, Mail::default()).unwrap().id();
    apply(&store, vec![saying(succeeded(key(young, 0), clock.now()), "250 young")]).unwrap();
    assert_eq!(store.conversations(&numbers).unwrap()[1], Some(talk("550 old")));
    clock.advance(2 * DAY);
    // Not even before anybody came by to prune it (R13).
    assert_eq!(store.conversations(&numbers).unwrap(), [None, None]);
    assert_eq!(said(&store, young), [None, Some("250 young".into())]);
    let path = std::path::Path::new(SIM_DIR);
    let mut store = Some(store);
    for round in 0.. {
        assert!(round < 100, "never pruned");
        std::thread::sleep(Duration::from_millis(50));
        let open = store.take().unwrap();
        smol::block_on(open.stop()).unwrap();
        drop(open);
        // `verify` tells a conversation without its event.
        let report = Store::verify_on(std::sync::Arc::new(disk.clone()), path).unwrap();
        assert!(report.damage.is_empty(), "{:#?}", report.damage);
        store = Some(open_sim(&disk, &clock).unwrap().store);
        if report.messages == 1 {
            break;
        }
    }
    assert_eq!(said(&store.unwrap(), young), [None, Some("250 young".into())]);
}

#[test]
fn a_backup_holds_it_and_what_is_too_long_stops_no_verdict() {
    let (dir, clock) = (TempDir::new("said"), Clock::manual(START));
    let store = Store::open(options(&dir.0, &clock)).unwrap().store;
    let id = submit(&store, &clock, Mail::to(&["a@x.example", "b@x.example"])).unwrap().id();
    let mut long = failed(key(id, 1), clock.now());
    long.conversation = Some(Conversation::of_octets(&vec![0; CONVERSATION_OCTETS_MAX + 1]));
    let applied = apply(&store, vec![saying(later(key(id, 0), &clock), "450 later"), long]).unwrap();
    assert_eq!(applied.applied, 2);
    let mut tar = Vec::new();
    store.backup(&mut tar).unwrap();
    let to = TempDir::new("said-restored");
    Store::restore(&to.0, &clock, &mut tar.as_slice()).unwrap();
    let restored = Store::open(options(&to.0, &clock)).unwrap().store;
    assert_eq!(said(&restored, id), [None, None, Some("450 later".into()), None]);
}

// ---- the search ----

fn subjects(page: &FoundPage) -> Vec<String> {
    page.messages.iter().map(|found| found.message.facts.subject.clone()).collect()
}

fn with_subject(store: &Store, clock: &Clock, subject: &str, mail: Mail) -> MessageId {
    let now = clock.now();
    let mut submission = mail.submission(store.ids().next(now), now);
    submission.facts.subject = subject.into();
    smol::block_on(store.submit(submission)).unwrap().id()
}

#[test]
fn a_part_of_anything_finds_mail_and_goes_on_from_its_cursor() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    let send = |subject: &str, mail| {
        clock.advance(Duration::from_secs(1));
        with_subject(&store, &clock, subject, mail)
    };
    send("ご請求書のお知らせ（12月）", Mail::to(&["hanako@shop.example", "taro@other.example"]));
    send("Your ORDER 4711", Mail { api_data: "Campaign-7".into(), ..Mail::to(&["x@y.example"]) });
    send("Übersicht", Mail { message_id: "<needle@z>".into(), ..Mail::to(&["w@y.example"]) });
    send("last", Mail { from: Some("boss@Head.example".into()), ..Mail::to(&["v@y.example"]) });
    for (text, want) in [
        ("請求書", vec!["ご請求書のお知らせ（12月）"]),
        ("order 47", vec!["Your ORDER 4711"]),
        ("TARO@", vec!["ご請求書のお知らせ（12月）"]),
        ("campaign", vec!["Your ORDER 4711"]),
        ("übers", vec!["Übersicht"]),
        ("ÜBERS", vec!["Übersicht"]),
        ("<needle", vec!["Übersicht"]),
        ("boss@head", vec!["last"]),
        ("y.example", vec!["last", "Übersicht", "Your ORDER 4711"]),
        ("nowhere", vec![]),
        ("  ", vec![]),
        // Octets of a row that are no text of it.
        ("mx.example.org", vec![]),
    ] {
        let page = store.search(text, &Page::default()).unwrap();
        assert_eq!(subjects(&page), want, "{text}");
        assert_eq!((page.next, page.looked_back_to), (None, None), "{text}");
    }
    let found = store.search("taro@", &Page::default()).unwrap();
    assert_eq!(found.messages[0].recipient.as_ref().unwrap().address.as_str(), "taro@other.example");
    // Page by page, nothing twice and nothing lost, however little a page looks at.
    for (rows_max, scan_max) in [(1, 1_000), (100, 1), (2, 2)] {
        let mut page = Page { rows_max, scan_max, ..Page::default() };
        let mut all = Vec::new();
        for round in 0.. {
            assert!(round < 20, "it never ends");
            let got = store.search("example", &page).unwrap();
            assert!(got.messages.len() <= rows_max);
            all.extend(subjects(&got));
            match got.next {
                Some(next) => page.cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(
            all,
            ["last", "Übersicht", "Your ORDER 4711", "ご請求書のお知らせ（12月）"],
            "{rows_max} {scan_max}"
        );
    }
    for cursor in ["", "zz", "ffffffffffffffffffffffff", "00", "é23456789012345678901234"] {
        let page = Page { cursor: Some(cursor.into()), ..Page::default() };
        assert_eq!(store.search("order", &page).unwrap().messages.len(), 1, "{cursor:?}");
    }
    smol::block_on(store.stop()).unwrap();
}

#[test]
fn a_search_ends_in_time_in_the_middle_of_a_large_message_too() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    let to: Vec<String> = (0..300).map(|n| format!("u{n}@many.example")).collect();
    let many = with_subject(&store, &clock, "many", Mail { to, ..Mail::default() });
    // No time at all: a page looks at some rows all the same, and each goes on behind the one before.
    let mut page = Page { within: Some(Duration::ZERO), scan_max: usize::MAX, ..Page::default() };
    let (mut pages, mut found) = (0, 0);
    loop {
        let got = store.search("u0@many", &page).unwrap();
        assert!(got.next.is_none() || got.looked_back_to.is_some());
        found += got.messages.len();
        pages += 1;
        match got.next {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    assert!(found == 1 && (10..=30).contains(&pages), "{found} on {pages} pages");
    assert_eq!(store.search("u0@many", &Page::default()).unwrap().messages[0].message.id, many);
    smol::block_on(store.stop()).unwrap();
}

#[test]
fn nothing_past_its_period_is_found() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    let done = with_subject(&store, &clock, "needle", Mail::default());
    apply(&store, vec![succeeded(key(done, 0), clock.now())]).unwrap();
    let waits = with_subject(&store, &clock, "needle too", Mail::default());
    apply(&store, vec![deferred(key(waits, 0), clock.now(), Timestamp::MAX)]).unwrap();
    assert_eq!(store.search("needle", &Page::default()).unwrap().messages.len(), 2);
    clock.advance(41 * DAY);
    assert_eq!(subjects(&store.search("needle", &Page::default()).unwrap()), ["needle too"]);
    assert!(store.found(&[done], "").unwrap().is_empty());
    assert_eq!(store.found(&[waits], "YOU@example.org").unwrap()[0].recipient.as_ref().unwrap().key.index, 0);
    smol::block_on(store.stop()).unwrap();
}
