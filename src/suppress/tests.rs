//! The promises of the room, on a store that can fail: thresholds, lifts, undo, R7, the brake, a crash between two steps.

use std::time::Duration;

use super::{
    acts::{Actor, Added, IMPORT_BATCH_MAX, ImportRow, NewEntry},
    fake::{Rig, answer},
    incidents::{HoldState, TROUBLES_MAX, TroubleQuery},
    list::ListQuery,
    row::{Cause, LiftedBy},
    what_if::WhatIf,
};
use crate::{
    event::{ErrorClass, EventKind, Trouble},
    language::Language,
    store::{MemoKind, Page, StoreError},
};

use ErrorClass::{ForwardingError, Other, OverCapacity, Rejected, UnknownUser};

fn operator() -> Actor {
    Actor { who: "operator root".to_owned(), from: "control socket".to_owned() }
}

fn on(rig: &Rig) -> Vec<String> {
    rig.room.export(ListQuery::default()).map(|row| row.unwrap().address).collect()
}

fn removed(rig: &Rig) -> Vec<(String, LiftedBy)> {
    let query = ListQuery { removed: true, ..ListQuery::default() };
    let by = |row: super::list::Listed| (row.address, row.entry.unwrap().lifted.unwrap().by);
    rig.room.export(query).map(|row| by(row.unwrap())).collect()
}

#[test]
fn an_address_that_does_not_exist_is_suppressed_at_once_and_others_are_not() {
    let mut rig = Rig::new(|_| {});
    rig.fail("Gone@Example.JP", UnknownUser);
    rig.fail("policy@example.jp", Rejected);
    rig.fail("forward@example.jp", ForwardingError);
    rig.write(EventKind::Failed, "blocked@example.jp", Some(answer(ErrorClass::Blocked, Trouble::Recipient, "no")));
    rig.succeed("fine@example.jp");
    rig.learn();
    assert_eq!(on(&rig), ["gone@example.jp"]);
    let entry = rig.room.get("GONE@example.jp", "").unwrap().unwrap().entry.unwrap();
    assert_eq!((entry.cause, entry.class, entry.occurred), (Cause::Errors, Some(UnknownUser), 1));
    assert_eq!((entry.event, entry.hard), (Some(1), true));
    assert_eq!(entry.id.to_string().len(), 13);
    assert!(entry.reason.starts_with("550 5.1.1"), "{entry:?}");
    assert_eq!(rig.metrics.suppressed.get(), 1);
}

#[test]
fn full_mailboxes_are_suppressed_on_their_fifth_day_whatever_happens_in_between() {
    let mut rig = Rig::new(|_| {});
    for day in 1..=5 {
        for _ in 0..3 {
            rig.fail("full@example.jp", OverCapacity);
        }
        rig.learn();
        rig.restart();
        rig.tick();
        assert_eq!(rig.is_on("full@example.jp"), day == 5, "day {day}");
        rig.days(1);
    }
}

#[test]
fn a_daily_run_waits_for_its_time_but_a_complaint_does_not() {
    let mut rig = Rig::new(|config| config.suppression.run_at_minute = Some(180));
    rig.tick();
    rig.fail("gone@example.jp", UnknownUser);
    rig.complain("angry@example.jp");
    rig.learn();
    rig.tick();
    assert_eq!(on(&rig), ["angry@example.jp"]);
    let entry = rig.room.get("angry@example.jp", "").unwrap().unwrap().entry.unwrap();
    assert_eq!((entry.cause, entry.blocks_as(), entry.until), (Cause::Complaint, ErrorClass::Unsubscribed, None));
    rig.clock.advance(Duration::from_secs(2 * 3600));
    rig.tick();
    assert!(!rig.is_on("gone@example.jp"), "two o'clock");
    rig.clock.advance(Duration::from_secs(3600));
    rig.restart();
    rig.tick();
    assert!(rig.is_on("gone@example.jp"), "three o'clock");
    assert_eq!(smol::block_on(rig.room.last_run()).unwrap(), Some(rig.clock.now()));
}

#[test]
fn r7_no_change_of_a_condition_lifts_anybody_and_a_watch_end_is_fixed() {
    let month = Duration::from_secs(30 * 86_400);
    let mut rig = Rig::new(|config| config.suppression.watch = Some(month));
    rig.fail("gone@example.jp", UnknownUser);
    rig.learn();
    let end = rig.room.get("gone@example.jp", "").unwrap().unwrap().entry.unwrap().until.unwrap();
    assert_eq!(end, rig.clock.now().plus(month));
    rig.change(|config| {
        config.suppression.watch = None;
        config.suppression.thresholds.unknown_user = 0;
        config.suppression.thresholds.window = Duration::from_secs(86_400);
        config.suppression.per_user = true;
    });
    rig.tick();
    rig.days(29);
    rig.tick();
    assert!(rig.is_on("gone@example.jp"), "the conditions changed, the address stays");
    rig.change(|config| config.suppression.watch = Some(month * 10));
    rig.days(1);
    assert!(!rig.is_on("gone@example.jp"), "the end that was fixed has come, before housekeeping");
    rig.tick();
    assert_eq!(removed(&rig), [("gone@example.jp".to_owned(), LiftedBy::WatchEnd)]);
    // What was before the end counts no more.
    rig.change(|config| {
        config.suppression.thresholds.unknown_user = 2;
        config.suppression.thresholds.window = Duration::from_secs(900 * 86_400);
        config.suppression.per_user = false;
    });
    rig.fail("gone@example.jp", UnknownUser);
    rig.learn();
    rig.tick();
    assert!(!rig.is_on("gone@example.jp"));
}

#[test]
fn lowered_thresholds_apply_to_what_was_counted() {
    let mut rig = Rig::new(|config| config.suppression.thresholds.over_capacity = 9);
    rig.tick();
    for _ in 0..3 {
        rig.fail("full@example.jp", OverCapacity);
        rig.days(1);
    }
    rig.learn();
    rig.tick();
    assert!(!rig.is_on("full@example.jp"));
    rig.change(|config| config.suppression.thresholds.over_capacity = 3);
    rig.tick();
    assert!(rig.is_on("full@example.jp"));
}

#[test]
fn a_lift_lets_later_errors_count_and_an_exemption_lets_none() {
    let mut rig = Rig::new(|_| {});
    let sent = rig.clock.now();
    rig.fail("a@example.jp", UnknownUser);
    rig.fail("b@example.jp", UnknownUser);
    rig.learn();
    rig.clock.advance(Duration::from_secs(60));
    smol::block_on(async {
        let lifted = rig.room.lift(&operator(), "A@example.jp", "").await.unwrap().unwrap();
        assert_eq!(lifted.entry.unwrap().lifted.unwrap().operator, "operator root");
        assert_eq!(rig.room.lift(&operator(), "a@example.jp", "").await.unwrap(), None);
        let exempted = rig.room.exempt(&operator(), "b@example.jp", "").await.unwrap();
        assert!(exempted.lifted.is_some() && exempted.stays.is_none());
    });
    rig.tick();
    assert_eq!(on(&rig), Vec::<String>::new());
    let acts: Vec<String> = rig.store.audit().into_iter().map(|e| format!("{} {}", e.act, e.object)).collect();
    assert_eq!(acts, ["suppress.lift a@example.jp", "suppress.exempt b@example.jp"]);
    // A bounce that comes late, of a mail from before the lift, is about what was lifted.
    rig.clock.advance(Duration::from_secs(60));
    let late = Some(answer(UnknownUser, Trouble::Recipient, "550 5.1.1"));
    rig.write_of(EventKind::Bounced, "a@example.jp", "", sent, late.clone());
    rig.learn();
    assert!(!rig.is_on("a@example.jp"));
    rig.write_of(EventKind::Bounced, "a@example.jp", "", rig.clock.now(), late);
    rig.fail("b@example.jp", UnknownUser);
    rig.learn();
    assert_eq!(on(&rig), ["a@example.jp"]);
    rig.complain("b@example.jp");
    rig.learn();
    assert_eq!(on(&rig), ["a@example.jp", "b@example.jp"], "no exemption overrides a complaint");
    let exempted = smol::block_on(rig.room.exempt(&operator(), "b@example.jp", "")).unwrap();
    assert!(exempted.lifted.is_none() && exempted.stays.is_some());
    assert!(rig.is_on("b@example.jp"));
    smol::block_on(rig.room.lift(&operator(), "b@example.jp", "")).unwrap();
    assert!(!rig.is_on("b@example.jp"), "R4: each address can be lifted by itself");
    rig.clock.advance(Duration::from_secs(86_400));
    assert!(smol::block_on(rig.room.end_exemption(&operator(), "b@example.jp", "")).unwrap());
    rig.clock.advance(Duration::from_secs(1));
    rig.fail("b@example.jp", UnknownUser);
    rig.learn();
    assert!(rig.is_on("b@example.jp"));
}

#[test]
fn a_crash_between_two_steps_counts_nothing_twice_and_loses_nothing() {
    let world = |fails: Option<usize>| {
        let mut rig = Rig::new(|config| config.suppression.thresholds.unknown_user = 2);
        for day in 0..2 {
            for n in 0..1500 {
                rig.fail(&format!("u{n}@d{}.example", n % 300), UnknownUser);
            }
            for n in 0..if day == 0 { 0 } else { 40 } {
                rig.fail(&format!("v{n}@outage.example"), UnknownUser);
            }
            rig.days(1);
        }
        if let Some(first) = fails {
            for writes in first.. {
                rig.store.fail_after(Some(writes % 3));
                let done = smol::block_on(async {
                    loop {
                        match rig.room.step().await {
                            Ok(true) => {}
                            Ok(false) => return true,
                            Err(StoreError::Failed(_)) => return false,
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
                rig.restart();
                if done {
                    break;
                }
            }
            rig.store.fail_after(None);
        }
        rig.learn();
        rig
    };
    let calm = world(None);
    let expected = on(&calm);
    assert_eq!(expected.len(), 1500);
    let incidents = |rig: &Rig| {
        let all = rig.room.brake_incidents().unwrap();
        all.into_iter().map(|i| (i.place, i.held, i.errors)).collect::<Vec<_>>()
    };
    assert!(incidents(&calm).iter().any(|(place, held, _)| place == "outage.example" && *held > 0));
    for first in 0..3 {
        let crashed = world(Some(first));
        assert_eq!(on(&crashed), expected, "first {first}");
        assert_eq!(incidents(&crashed), incidents(&calm));
        let errors = |rig: &Rig| rig.store.keys(MemoKind::AddressErrors);
        assert_eq!(errors(&crashed), errors(&calm));
    }
}

#[test]
fn successes_alone_cost_no_write() {
    let mut rig = Rig::new(|_| {});
    rig.tick();
    let before = rig.store.writes();
    for n in 0..5000 {
        rig.succeed(&format!("u{n}@example.jp"));
    }
    rig.learn();
    assert_eq!(rig.store.writes(), before);
    assert!(rig.store.largest_page() <= 1000);
}

/// A provider's outage after an ordinary morning: 300 delivered, then everybody is unknown.
fn outage() -> Rig {
    let mut rig = Rig::new(|_| {});
    for n in 0..300 {
        rig.succeed(&format!("ok{n}@carrier.example"));
    }
    rig.fail("typo@carrier.example", UnknownUser);
    rig.learn();
    rig.days(1);
    for n in 0..500 {
        rig.clock.advance(Duration::from_secs(1));
        rig.fail(&format!("user{n:03}@carrier.example"), UnknownUser);
        if n % 10 == 0 {
            rig.fail(&format!("gone{n}@other.example"), UnknownUser);
            rig.succeed(&format!("there{n}@other.example"));
            rig.succeed(&format!("there{n}b@other.example"));
        }
    }
    rig.learn();
    rig
}

#[test]
fn an_outage_is_held_as_an_incident_and_its_undo_names_every_address() {
    let rig = outage();
    let [incident] = rig.room.brake_incidents().unwrap().try_into().unwrap();
    assert_eq!((incident.place.as_str(), incident.state), ("carrier.example", HoldState::Held));
    let carriers = || on(&rig).into_iter().filter(|a| a.contains("user")).count() as u64;
    let before = carriers();
    assert!(before < 64, "{before} came onto the list before the brake was pulled");
    assert_eq!(incident.held + before, 500);
    assert_eq!(rig.metrics.brakes_held.get(), 1);
    assert_eq!(rig.metrics.suppressions_held.get(), incident.held);
    assert!(rig.is_on("typo@carrier.example") && rig.is_on("gone0@other.example"));

    let ended = smol::block_on(rig.room.discard(&operator(), &incident.id)).unwrap().unwrap();
    assert_eq!((ended.errors, ended.suppressed), (incident.held, 0));
    assert_eq!(carriers(), before);
    assert!(smol::block_on(rig.room.discard(&operator(), &incident.id)).unwrap().is_none(), "it is over");

    let query = ListQuery { incident: incident.id.clone(), ..ListQuery::default() };
    assert_eq!(rig.room.list(&query, &Page { rows_max: 1000, ..Page::default() }).unwrap().rows.len() as u64, before);
    let undone = smol::block_on(rig.room.undo_incident(&operator(), &incident.id)).unwrap().unwrap();
    assert_eq!(undone.lifted, before);
    assert_eq!(carriers(), 0);
    assert!(rig.is_on("typo@carrier.example"), "yesterday's error is none of the incident's");
    assert!(rig.is_on("gone0@other.example"));
    let named: String = rig.store.audit().into_iter().map(|e| e.detail + " ").collect();
    assert!(undone.addresses.iter().all(|a| named.contains(a.as_str())), "the operation log names all of them");
    assert_eq!(smol::block_on(rig.room.undo_incident(&operator(), "nothing")).unwrap(), None);
    assert!(rig.store.keys(MemoKind::Incidents).iter().all(|key| !key.starts_with("h/")), "nothing is held any more");
}

#[test]
fn a_release_applies_what_was_held_even_over_a_crash() {
    for crash in [false, true] {
        let mut rig = outage();
        let [incident] = rig.room.brake_incidents().unwrap().try_into().unwrap();
        if crash {
            // The end is stored, and one step of the held errors.
            rig.store.fail_after(Some(2));
            smol::block_on(rig.room.release(&operator(), &incident.id)).unwrap_err();
            rig.store.fail_after(None);
            rig.restart();
            smol::block_on(rig.room.finish_ended()).unwrap();
        } else {
            let ended = smol::block_on(rig.room.release(&operator(), &incident.id)).unwrap().unwrap();
            assert_eq!((ended.errors, ended.suppressed), (incident.held, incident.held));
        }
        assert_eq!(on(&rig).iter().filter(|a| a.contains("user")).count(), 500, "crash {crash}");
        // What came by the incident can still be undone by it.
        let undone = smol::block_on(rig.room.undo_incident(&operator(), &incident.id)).unwrap().unwrap();
        assert_eq!(undone.lifted, 500);
        assert_eq!(rig.room.brake_incidents().unwrap()[0].state, HoldState::Released);
    }
}

#[test]
fn a_held_place_holds_back_the_daily_run_and_never_a_complaint() {
    let mut rig = Rig::new(|config| config.suppression.run_at_minute = Some(0));
    rig.tick();
    for n in 0..100 {
        rig.fail(&format!("user{n}@carrier.example"), UnknownUser);
    }
    rig.complain("angry@carrier.example");
    rig.learn();
    rig.days(1);
    rig.tick();
    assert_eq!(on(&rig), ["angry@carrier.example"]);
    let [incident] = rig.room.brake_incidents().unwrap().try_into().unwrap();
    smol::block_on(rig.room.discard(&operator(), &incident.id)).unwrap();
    let undone = smol::block_on(rig.room.undo_incident(&operator(), &incident.id)).unwrap().unwrap();
    assert_eq!(undone.lifted, 0);
    assert_eq!(undone.forgotten + incident.held, 100, "errors that were counted before the brake are forgotten, too");
    rig.days(1);
    rig.tick();
    assert_eq!(on(&rig), ["angry@carrier.example"]);
}

#[test]
fn troubles_of_destinations_are_told_together_and_bounded() {
    let mut rig = Rig::new(|_| {});
    for n in 0..50 {
        let reply =
            format!("550 5.7.1 Message {n:04}AB12 from user{n}@example.net is refused, see https://x.example/{n}");
        rig.write(
            EventKind::Failed,
            &format!("u{n}@Strict.example"),
            Some(answer(Rejected, Trouble::Reputation, &reply)),
        );
    }
    rig.write(EventKind::Failed, "a@odd.example", Some(answer(Other, Trouble::Destination, "554 the moon is full")));
    rig.learn();
    let all = rig.room.troubles(&TroubleQuery::default(), 100).unwrap();
    let strict = all.iter().find(|t| t.destination == "strict.example").unwrap();
    assert_eq!((strict.count, strict.trouble, strict.class), (50, Trouble::Reputation, Rejected));
    assert!(strict.example.contains("0049AB12"), "{strict:?}");
    let odd = TroubleQuery { part: "moon".to_owned(), ..TroubleQuery::default() };
    assert_eq!(rig.room.troubles(&odd, 100).unwrap().len(), 1);
    rig.restart();
    for n in 0..TROUBLES_MAX + 100 {
        rig.clock.advance(Duration::from_millis(1));
        rig.write(EventKind::Failed, &format!("a@d{n}.example"), Some(answer(Other, Trouble::Destination, "554 no")));
    }
    rig.learn();
    let all = rig.room.troubles(&TroubleQuery::default(), usize::MAX).unwrap();
    assert_eq!(all.len(), TROUBLES_MAX);
    assert!(all.iter().any(|t| t.destination == format!("d{}.example", TROUBLES_MAX + 99)), "the newest stay");
    assert!(all.iter().all(|t| t.destination != "strict.example"), "the oldest goes");
    assert_eq!(rig.store.keys(MemoKind::Incidents).len(), TROUBLES_MAX);
}

#[test]
fn an_operator_adds_and_a_list_is_imported_and_pages_show_all_of_it() {
    let rig = Rig::new(|_| {});
    smol::block_on(async {
        let new = NewEntry {
            address: "Boss@Example.jp".to_owned(),
            reason: "asked by phone".to_owned(),
            ..NewEntry::default()
        };
        assert!(matches!(rig.room.add(&operator(), new.clone()).await.unwrap(), Added::New(_)));
        assert!(matches!(rig.room.add(&operator(), new).await.unwrap(), Added::Known(_)));
        let bad = NewEntry { address: "no address".to_owned(), ..NewEntry::default() };
        assert!(matches!(rig.room.add(&operator(), bad).await, Err(StoreError::Refused(_))));
        rig.room.exempt(&operator(), "free@example.jp", "").await.unwrap();
        let row = |address: &str, cause| ImportRow {
            address: address.to_owned(),
            user: String::new(),
            cause,
            class: None,
            occurred: 0,
            reason: "hard bounce".to_owned(),
            since: None,
            until: None,
        };
        let mut rows: Vec<ImportRow> = (0..200).map(|n| row(&format!("i{n:03}@example.org"), Cause::Import)).collect();
        rows.push(row("boss@example.jp", Cause::Import));
        rows.push(row("free@example.jp", Cause::Import));
        rows.push(row("nonsense", Cause::Import));
        let done = rig.room.import(&operator(), "list.csv", rows.clone()).await.unwrap();
        assert_eq!((done.added, done.known, done.exempt, done.refused), (200, 1, 1, 1));
        let again = rig.room.import(&operator(), "list.csv", rows).await.unwrap();
        assert_eq!((again.added, again.known), (0, 201));
        let angry = vec![row("boss@example.jp", Cause::Complaint), row("free@example.jp", Cause::Unsubscribe)];
        assert_eq!(rig.room.import(&operator(), "list.csv", angry).await.unwrap().added, 2, "a will outranks");
        let many = vec![row("x@example.org", Cause::Import); IMPORT_BATCH_MAX + 1];
        assert!(matches!(rig.room.import(&operator(), "x", many).await, Err(StoreError::Refused(_))));
    });
    assert_eq!(on(&rig).len(), 202);
    let (mut seen, mut page) = (0, Page { rows_max: 7, ..Page::default() });
    loop {
        let found =
            rig.room.list(&ListQuery { part: "EXAMPLE.ORG".to_owned(), ..ListQuery::default() }, &page).unwrap();
        assert!(found.rows.len() <= 7);
        seen += found.rows.len();
        match found.next {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, 200);
    let short = Page { rows_max: 100, scan_max: 10, ..Page::default() };
    let found = rig.room.list(&ListQuery { part: "free@".to_owned(), ..ListQuery::default() }, &short).unwrap();
    assert!(found.next.is_some(), "it looked at ten rows and says where to go on");
    let acts: Vec<String> = rig.store.audit().into_iter().map(|e| e.act).collect();
    assert_eq!(acts, ["suppress.add", "suppress.exempt", "suppress.import", "suppress.import"]);
}

#[test]
fn ended_stays_are_listed_for_the_audit_period_and_then_gone() {
    let mut rig = Rig::new(|_| {});
    rig.fail("a@example.jp", UnknownUser);
    rig.learn();
    rig.clock.advance(Duration::from_secs(60));
    smol::block_on(rig.room.lift(&operator(), "a@example.jp", "")).unwrap();
    rig.days(89);
    rig.tick();
    assert_eq!(removed(&rig).len(), 1);
    rig.days(2);
    rig.tick();
    assert_eq!(removed(&rig).len(), 0);
    rig.days(10);
    rig.tick();
    let left = rig.store.all().into_keys().filter(|(kind, _)| *kind != MemoKind::Followers).count();
    assert_eq!(left, 0, "no row of the address is left");
}

#[test]
fn errors_of_one_submitter_are_his_alone_where_that_is_set() {
    let mut rig = Rig::new(|config| config.suppression.per_user = true);
    let now = rig.clock.now();
    let gone = Some(answer(UnknownUser, Trouble::Recipient, "550 5.1.1"));
    rig.write_of(EventKind::Failed, "a@example.jp", "crm", now, gone);
    rig.learn();
    assert!(rig.room.get("a@example.jp", "crm").unwrap().is_some());
    assert_eq!(rig.room.get("a@example.jp", "").unwrap(), None);
    assert_eq!(rig.room.get("a@example.jp", "shop").unwrap(), None);
    let facts = rig.room.explain("a@example.jp", "crm").unwrap();
    assert!(
        facts.iter().any(|f| {
            f.says.to_string().contains("suppressed since 2026-06-01: unknown user (550 5.1.1) for mail of crm")
                && f.says
                    .words(Language::Japanese)
                    .contains("crm のメールについて、2026-06-01 から配信停止中です。理由：宛先不明")
        }),
        "{facts:?}"
    );
    assert!(rig.room.explain("b@example.jp", "").unwrap()[0].says.to_string().contains("none"));

    // For whose mail an address is on the list: no other's, and none once it is lifted.
    rig.write_of(EventKind::Failed, "aa@example.jp", "crm", now, Some(answer(UnknownUser, Trouble::Recipient, "550")));
    rig.learn();
    let new = NewEntry { address: "a@example.jp".to_owned(), ..NewEntry::default() };
    smol::block_on(rig.room.add(&operator(), new)).unwrap();
    assert_eq!(rig.room.scopes("A@example.jp").unwrap(), ["crm", ""]);
    smol::block_on(rig.room.lift(&operator(), "a@example.jp", "crm")).unwrap();
    assert_eq!(rig.room.scopes("a@example.jp").unwrap(), [""]);
    assert!(rig.room.scopes("a@example").unwrap().is_empty());
}

#[test]
fn what_if_answers_both_sides_and_changes_nothing() {
    let mut rig = Rig::new(|_| {});
    for n in 0..20 {
        rig.fail(&format!("u{n:02}@example.jp"), UnknownUser);
        rig.succeed("fine@example.jp");
        rig.succeed("fine@example.jp");
    }
    for _ in 0..3 {
        rig.fail("full@example.org", OverCapacity);
        rig.learn();
        rig.days(1);
    }
    smol::block_on(rig.room.exempt(&operator(), "u00@example.jp", "")).unwrap();
    let before = rig.store.all();
    let asked = |change: fn(&mut crate::config::Thresholds)| {
        let mut thresholds = crate::config::Thresholds::default();
        change(&mut thresholds);
        let asked = WhatIf { thresholds, watch: None, per_user: false };
        rig.room.what_if(&asked, &|_| true).unwrap()
    };
    let same = asked(|_| {});
    assert_eq!((same.events, same.added.count, same.spared.count), (63, 0, 0), "{same:?}");
    assert_eq!(same.would_be, 19);
    let eager = asked(|t| t.over_capacity = 3);
    assert_eq!((eager.added.count, eager.added.addresses[0].address.as_str()), (1, "full@example.org"));
    assert_eq!(eager.added.destinations, [("example.org".to_owned(), 1)]);
    let mild = asked(|t| t.unknown_user = 2);
    assert_eq!((mild.spared.count, mild.spared.classes.get(&2)), (19, Some(&19)));
    assert_eq!(rig.store.all(), before);
    let stopped = WhatIf { thresholds: crate::config::Thresholds::default(), watch: None, per_user: false };
    assert!(rig.room.what_if(&stopped, &|_| false).unwrap().stopped);
}
