//! What people see before they act: counts and previews say what the act then does; other settings tell their effect; a file is
//! tried before it is taken over.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use jiff::tz::TimeZone;
use smol::block_on;

use super::{
    Suppressions,
    acts::{Actor, Imported, NewEntry},
    dialect::Dialect,
    fake::{Rig, START, answer},
    import::{NoteKind, Upload},
    list::ListQuery,
    row::Cause,
    what_if::{Effect, WhatIf},
    works::{Busy, KEPT, KEPT_MAX, Outcome, UPLOADS_MAX, What},
};
use crate::{
    clock::{Clock, Timestamp},
    config::{Config, InForce, Thresholds},
    event::{AttemptDetail, ErrorClass, EventKind, Trouble},
    smtp::address::Mailbox,
    store::{AuditQuery, Page, RetentionPeriods, Store, StoreError, StoreOptions},
    unsubscribe::list::Unsubscribes,
};

use ErrorClass::{Blocked, OverCapacity, UnknownUser};

/// Nothing here takes as long.
const LONG: Duration = Duration::from_secs(30);

fn operator() -> Actor {
    Actor { who: "hanako".to_owned(), from: "192.0.2.7".to_owned() }
}

fn asked(change: impl FnOnce(&mut Thresholds)) -> WhatIf {
    let mut thresholds = Thresholds::default();
    change(&mut thresholds);
    WhatIf { thresholds, watch: None, per_user: false }
}

fn blocked() -> Option<AttemptDetail> {
    Some(answer(Blocked, Trouble::Recipient, "suppressed since 2026-06-01"))
}

#[test]
fn a_stricter_setting_tells_what_it_would_have_spared_and_lost() {
    let mut rig = Rig::new(|_| {});
    // Full on three days; then it has room again for two mails, fails once more, and one mail comes back.
    for _ in 0..3 {
        rig.fail("full@example.org", OverCapacity);
        rig.days(1);
    }
    rig.succeed("full@example.org");
    rig.succeed("full@example.org");
    rig.fail("full@example.org", OverCapacity);
    rig.days(1);
    let born = rig.clock.now();
    rig.succeed("full@example.org");
    rig.days(1);
    let bounce = Some(answer(OverCapacity, Trouble::Recipient, "452 full"));
    rig.write_of(EventKind::Bounced, "full@example.org", "", born, bounce);
    // Neither is a mail to this address: a sandbox's, and a webhook's.
    let mut detail = answer(UnknownUser, Trouble::Recipient, "550");
    detail.destination = "webhook/crm".to_owned();
    rig.write(EventKind::Failed, "hook@example.org", Some(detail));
    rig.learn();
    let strict = rig.room.what_if(&asked(|t| t.over_capacity = 3), &|_| true).unwrap();
    let effect = Effect { came: 1, would_come: 1, lost: 2, spared: 2, sent: 0 };
    assert_eq!(strict.effect, effect, "{strict:?}");
    assert_eq!(strict.addresses, 1, "what a webhook did not take is no error of the address");
    let mut sum = Effect::default();
    strict.quarters.iter().for_each(|(_, effect)| sum.add(effect));
    assert_eq!(sum, strict.effect);
    let third = Timestamp::from_millis(START + 2 * 86_400_000);
    assert_eq!(strict.quarters[0], (third, Effect { would_come: 1, ..Effect::default() }));
    assert!(strict.quarters.windows(2).all(|pair| pair[0].0 < pair[1].0));
    let same = rig.room.what_if(&asked(|_| {}), &|_| true).unwrap();
    assert_eq!(same.effect, Effect { came: 1, would_come: 1, ..Effect::default() });
    assert!(rig.room.what_if(&asked(|t| t.over_capacity = 0), &|_| true).unwrap().effect.would_come == 0);
}

#[test]
fn a_milder_setting_tells_what_would_have_been_sent() {
    let mut rig = Rig::new(|_| {});
    rig.fail("gone@example.jp", UnknownUser);
    rig.learn();
    for _ in 0..3 {
        rig.days(1);
        rig.write(EventKind::Failed, "gone@example.jp", blocked());
        rig.write(EventKind::Failed, "by-hand@example.jp", blocked());
    }
    let mild = rig.room.what_if(&asked(|t| t.unknown_user = 2), &|_| true).unwrap();
    assert_eq!(mild.effect, Effect { came: 1, sent: 3, ..Effect::default() });
    assert_eq!((mild.added.count, mild.spared.count), (0, 1));
    // A watch of a day: it is off again before the second block.
    let watched = WhatIf { watch: Some(Duration::from_secs(86_400)), ..asked(|_| {}) };
    assert_eq!(rig.room.what_if(&watched, &|_| true).unwrap().effect.sent, 3);
}

#[test]
fn a_bounce_of_mail_from_before_a_lift_puts_nobody_on_a_list_that_is_thought_of() {
    let mut rig = Rig::new(|_| {});
    let born = rig.clock.now();
    rig.fail("a@example.jp", UnknownUser);
    rig.learn();
    rig.clock.advance(Duration::from_secs(60));
    block_on(rig.room.lift(&operator(), "a@example.jp", "")).unwrap();
    rig.clock.advance(Duration::from_secs(60));
    let bounce = Some(answer(UnknownUser, Trouble::Recipient, "550 5.1.1"));
    rig.write_of(EventKind::Bounced, "a@example.jp", "", born, bounce);
    rig.learn();
    assert!(!rig.is_on("a@example.jp"));
    assert_eq!(rig.room.what_if(&asked(|_| {}), &|_| true).unwrap().would_be, 0);
}

/// Forty good results, then an outage of a provider: its unknown users until the brake, and those that it holds.
fn outage() -> (Rig, String) {
    let mut rig = Rig::new(|_| {});
    for n in 0..40 {
        rig.succeed(&format!("fine{n:02}@docomo.example"));
    }
    rig.learn();
    for n in 0..60 {
        rig.clock.advance(Duration::from_secs(1));
        rig.fail(&format!("u{n:02}@docomo.example"), UnknownUser);
    }
    rig.fail("elsewhere@example.jp", UnknownUser);
    rig.learn();
    let incidents = rig.room.brake_incidents().unwrap();
    assert_eq!(incidents.len(), 1, "the brake was pulled");
    let id = incidents[0].id.clone();
    (rig, id)
}

#[test]
fn a_preview_counts_what_the_act_then_does() {
    let (rig, id) = outage();
    let count = rig.room.count(&ListQuery::default(), Some(LONG)).unwrap();
    assert!(count.is_whole && count.rows > 1, "{count:?}");
    assert_eq!(count.causes.get(&Cause::Errors), Some(&count.rows));
    let release = rig.room.release_preview(&id, Some(LONG)).unwrap().unwrap();
    assert_eq!((release.looked, release.is_whole), (release.incident.held, true));
    let undo = rig.room.undo_preview(&id, Some(LONG)).unwrap().unwrap();
    assert!(undo.is_whole && undo.words.contains("docomo.example"), "{undo:?}");
    assert_eq!((undo.lifts, undo.forgets), (count.rows - 1, 0), "all but the one elsewhere");
    assert!(undo.named.iter().all(|row| row.address.ends_with("@docomo.example")));
    let (held, next) = rig.room.held(&id, &Page { rows_max: 5, ..Page::default() }).unwrap();
    assert_eq!(held.len(), 5);
    let rest = Page { rows_max: 1_000, cursor: next, ..Page::default() };
    assert_eq!(rig.room.held(&id, &rest).unwrap().0.len() as u64, release.looked - 5);

    let ended = block_on(rig.room.release(&operator(), &id)).unwrap().unwrap();
    assert_eq!((ended.errors, ended.suppressed), (release.looked, release.suppresses));
    let after = rig.room.undo_preview(&id, None).unwrap().unwrap();
    assert_eq!(after.lifts, undo.lifts + ended.suppressed);
    let undone = block_on(rig.room.undo_incident(&operator(), &id)).unwrap().unwrap();
    assert_eq!((undone.lifted, undone.forgotten), (after.lifts, after.forgets));
    assert_eq!(rig.room.undo_preview(&id, None).unwrap().unwrap().lifts, 0);
    assert!(rig.room.undo_preview("0000000000000", None).unwrap().is_none());
    assert!(rig.room.release_preview("0000000000000", None).unwrap().is_none());
    assert!(rig.is_on("elsewhere@example.jp"));
}

#[test]
fn errors_that_an_undo_would_forget_are_counted_apart() {
    // Two unknown users suppress: those before the brake have one, and are on no list yet.
    let mut rig = Rig::new(|config| config.suppression.thresholds.unknown_user = 2);
    for n in 0..30 {
        rig.fail(&format!("u{n:02}@docomo.example"), UnknownUser);
    }
    rig.learn();
    let id = rig.room.brake_incidents().unwrap()[0].id.clone();
    let preview = rig.room.undo_preview(&id, Some(LONG)).unwrap().unwrap();
    assert!(preview.lifts == 0 && preview.forgets >= 15, "{preview:?}");
    let undone = block_on(rig.room.undo_incident(&operator(), &id)).unwrap().unwrap();
    assert_eq!((undone.lifted, undone.forgotten), (0, preview.forgets));
}

#[test]
fn a_look_that_ends_in_no_time_still_goes_on() {
    let rig = Rig::new(|_| {});
    let new = |n: usize| NewEntry { address: format!("u{n:03}@example.jp"), ..NewEntry::default() };
    assert_eq!(block_on(rig.room.add_many(&operator(), (0..300).map(new).collect())).unwrap(), 300);
    let now = Some(Duration::ZERO);
    let count = rig.room.count(&ListQuery::default(), now).unwrap();
    assert!(!count.is_whole && count.rows > 0 && count.rows < 300, "{count:?}");
    let (mut page, mut seen, mut looks) = (Page { within: now, ..Page::default() }, 0, 0);
    loop {
        let found = rig.room.list(&ListQuery { part: "9@".to_owned(), ..ListQuery::default() }, &page).unwrap();
        (seen, looks) = (seen + found.rows.len(), looks + 1);
        match found.next {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    assert!(seen == 30 && looks > 5, "{seen} {looks}");
    let acts: Vec<usize> = rig.store.audit().iter().map(|e| e.detail.split(' ').count()).collect();
    assert_eq!(acts, [200, 100], "each step names all of it");
    assert_eq!(block_on(rig.room.add_many(&operator(), vec![new(7), new(301)])).unwrap(), 1);
}

#[test]
fn a_dossier_holds_every_scope_and_its_past() {
    let mut rig = Rig::new(|config| config.suppression.per_user = true);
    let now = rig.clock.now();
    let gone = Some(answer(UnknownUser, Trouble::Recipient, "550 5.1.1 gone"));
    rig.write_of(EventKind::Failed, "a@example.jp", "crm", now, gone.clone());
    rig.write_of(EventKind::Failed, "aa@example.jp", "crm", now, gone);
    rig.learn();
    block_on(rig.room.add(&operator(), NewEntry { address: "A@example.jp".to_owned(), ..NewEntry::default() }))
        .unwrap();
    let mailbox = Mailbox::parse("a@EXAMPLE.jp").unwrap();
    let dossier = rig.room.dossier(&mailbox).unwrap();
    assert!(dossier.is_on());
    let scopes: Vec<(&str, Option<Cause>, usize)> =
        dossier.scopes.iter().map(|s| (s.user.as_str(), s.now.as_ref().map(|e| e.cause), s.errors.len())).collect();
    assert_eq!(scopes, [("", Some(Cause::Manual), 0), ("crm", Some(Cause::Errors), 1)]);
    assert_eq!((dossier.scopes[1].errors[0].threshold, dossier.scopes[1].reply.as_str()), (1, "550 5.1.1 gone"));
    rig.clock.advance(Duration::from_secs(60));
    block_on(rig.room.lift(&operator(), "a@example.jp", "")).unwrap();
    block_on(rig.room.exempt(&operator(), "a@example.jp", "crm")).unwrap();
    let dossier = rig.room.dossier(&mailbox).unwrap();
    assert!(!dossier.is_on() && dossier.scopes.iter().all(|scope| scope.past.len() == 1));
    assert!(dossier.scopes[1].exempt.is_some());
    let nobody = rig.room.dossier(&Mailbox::parse("nobody@example.jp").unwrap()).unwrap();
    assert!(nobody.scopes.is_empty() && nobody.left.is_empty() && nobody.held.is_empty());
}

#[test]
fn ticked_addresses_are_lifted_or_exempted_by_name_in_one_step() {
    let mut rig = Rig::new(|_| {});
    for n in 0..5 {
        rig.fail(&format!("u{n}@example.jp"), UnknownUser);
    }
    rig.complain("angry@example.jp");
    rig.learn();
    let of = |names: &[&str]| -> Vec<(String, String)> { names.iter().map(|n| ((*n).into(), String::new())).collect() };
    let before = rig.store.writes();
    let ticked = of(&["u0@example.jp", "U1@example.jp", "u0@example.jp", "never@example.jp"]);
    let lifted = block_on(rig.room.lift_many(&operator(), &ticked)).unwrap();
    assert_eq!(lifted.iter().map(|l| l.address.as_str()).collect::<Vec<_>>(), ["u0@example.jp", "u1@example.jp"]);
    assert_eq!(rig.store.writes() - before, 1);
    let done =
        block_on(rig.room.exempt_many(&operator(), &of(&["u2@example.jp", "angry@example.jp", "new@example.jp"])))
            .unwrap();
    assert_eq!((done.exempted.len(), done.lifted.len(), done.stay.len()), (3, 1, 1));
    assert_eq!(done.stay[0].address, "angry@example.jp");
    assert!(rig.is_on("angry@example.jp") && !rig.is_on("u2@example.jp") && rig.is_on("u3@example.jp"));
    let again = block_on(rig.room.exempt_many(&operator(), &of(&["u2@example.jp"]))).unwrap();
    assert!(again.exempted.is_empty(), "it was exempt already");
    let acts: Vec<(String, String, String)> =
        rig.store.audit().into_iter().map(|e| (e.act, e.object, e.detail)).collect();
    let expected = [
        ("suppress.lift", "2 addresses", "u0@example.jp u1@example.jp"),
        ("suppress.exempt", "3 addresses", "angry@example.jp new@example.jp u2@example.jp"),
    ];
    assert_eq!(acts, expected.map(|(a, o, d)| (a.to_owned(), o.to_owned(), d.to_owned())));
    let many = vec![("x@example.jp".to_owned(), String::new()); super::many::MANY_MAX + 1];
    assert!(matches!(block_on(rig.room.lift_many(&operator(), &many)), Err(StoreError::Refused(_))));
    assert!(matches!(
        block_on(rig.room.lift_many(&operator(), &of(&["u3@example.jp", "nonsense"]))),
        Err(StoreError::Refused(_))
    ));
    assert!(rig.is_on("u3@example.jp"), "nothing was done");
    rig.store.fail_after(Some(0));
    assert!(block_on(rig.room.lift_many(&operator(), &of(&["u3@example.jp"]))).is_err());
    rig.store.fail_after(None);
    assert!(rig.is_on("u3@example.jp"));
}

static HOUSES: AtomicU32 = AtomicU32::new(0);

/// Both lists on a real store.
struct House {
    dir: PathBuf,
    store: Store,
    clock: Clock,
    room: Suppressions,
    left: Unsubscribes,
}

impl House {
    fn new() -> Self {
        let n = HOUSES.fetch_add(1, Ordering::SeqCst);
        let dir = std::env::temp_dir().join(format!("hikyaku-ahead-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let day = Duration::from_secs(86_400);
        let retention = RetentionPeriods { delivery_log: day, error_log: day, audit_log: day, message_bodies: day };
        let clock = Clock::manual(Timestamp::from_millis(START));
        let options = StoreOptions { data_dir: dir.clone(), clock: clock.clone(), disk_free_min: 0, retention };
        let store = Store::open(options).unwrap().store;
        let config = InForce::new(Config::default());
        let room = Suppressions::without_task(store.clone(), clock.clone(), config.clone());
        let left = Unsubscribes::new(store.clone(), clock.clone(), config);
        House { dir, store, clock, room, left }
    }

    fn run(&self, what: What) -> Outcome {
        let work = self.room.begin(&operator(), what, &self.left).unwrap();
        assert!(work.wait(LONG), "it did not end");
        let (_, outcome) = work.outcome().unwrap();
        Outcome::clone(&outcome)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn upload(text: &str) -> Arc<Upload> {
    let octets = text.as_bytes().to_vec();
    Arc::new(Upload { name: "list.csv".to_owned(), octets, dialect: None, all: false, zone: TimeZone::UTC })
}

#[test]
fn a_file_is_tried_before_it_is_taken_over_and_both_count_alike() {
    let house = House::new();
    block_on(house.room.exempt(&operator(), "boss@example.jp", "")).unwrap();
    block_on(house.room.add(&operator(), NewEntry { address: "known@example.jp".to_owned(), ..NewEntry::default() }))
        .unwrap();
    let mut text = "email,since,cause,status,list,state\n".to_owned();
    for n in 0..1_200 {
        text.push_str(&format!("u{n}@example.jp,,errors,2,,\n"));
    }
    text.push_str(
        "u7@example.jp,,errors,2,,\nboss@example.jp,,errors,2,,\nknown@example.jp,,errors,2,,\nangry@example.jp,,complaint,,,\n\
         reader@example.jp,,unsubscribe,,newsletter,\nREADER@example.jp,,unsubscribe,,Newsletter,\nvip@example.jp,,,,,exempt\n\
         gone@example.jp,,errors,2,,lifted\nnonsense,,errors,2,,\n",
    );
    let file = upload(&text);
    let Outcome::Read(tried) = house.run(What::Check(file.clone())) else { panic!("a report") };
    assert_eq!(house.room.count(&ListQuery::default(), None).unwrap().rows, 1, "nothing was done");
    assert_eq!(tried.dialect, Some(Dialect::Hikyaku));
    assert_eq!(tried.list, Imported { added: 1_201, known: 2, exempt: 1, refused: 0 });
    assert_eq!((tried.unsubscribed, tried.had_left, tried.exempted), (1, 1, 1));
    assert_eq!((tried.rows, tried.left_out, tried.bad, tried.sample.len()), (1_207, 1, 1, 20));
    assert!(tried.notes.iter().any(|note| note.kind == NoteKind::Bad && note.line == 1_210), "{:?}", tried.notes);
    let Outcome::Read(done) = house.run(What::Import(file.clone())) else { panic!("a report") };
    assert_eq!(done, tried);
    assert_eq!(house.room.count(&ListQuery::default(), None).unwrap().rows, 1_202);
    let Outcome::Read(again) = house.run(What::Import(file)) else { panic!("a report") };
    assert_eq!((again.list.added, again.unsubscribed), (0, 0), "done again, it adds nothing");
    let acts = house.store.audit_page(&AuditQuery::default(), &Page::default()).unwrap().rows;
    assert_eq!(acts.iter().filter(|act| act.act == "suppress.import" && act.who == "hanako").count(), 3);

    let Outcome::Read(none) = house.run(What::Check(upload("name,age\nx,1\n"))) else { panic!("a report") };
    assert!(none.dialect.is_none() && !none.refused.is_empty() && !none.refused.contains("--"), "{none:?}");
}

#[test]
fn works_are_kept_for_a_while_and_one_of_a_sort_runs_at_once() {
    let house = House::new();
    let Outcome::Tried(answer) = house.run(What::Try(asked(|_| {}))) else { panic!("an answer") };
    assert_eq!((answer.events, answer.stopped), (0, false));
    assert_eq!(house.run(What::Undo("0000000000000".to_owned())), Outcome::Undone(None));
    assert_eq!(house.run(What::Release("0000000000000".to_owned())), Outcome::Ended(None));
    assert_eq!(house.run(What::Discard("0000000000000".to_owned())), Outcome::Ended(None));
    assert_eq!(house.run(What::Count("0000000000000".to_owned())), Outcome::Counted(None));
    for _ in 0..KEPT_MAX {
        house.run(What::Check(upload("a@example.jp\n")));
    }
    let works = house.room.works();
    assert_eq!(works.len(), KEPT_MAX);
    assert_eq!(works.iter().filter(|work| work.upload().is_some()).count(), UPLOADS_MAX);
    assert!(works[0].upload().is_some(), "the newest files are kept");
    assert!(house.room.work(&works[0].id).is_some() && house.room.work("0000000000000").is_none());
    house.clock.advance(KEPT);
    assert!(house.room.works().is_empty());

    // While somebody changes the list, an act waits for its turn: another is refused, a look is not.
    let turn = house.room.0.known.lock_blocking();
    let undo = house.room.begin(&operator(), What::Release("x".to_owned()), &house.left).unwrap();
    assert!(!undo.wait(Duration::from_millis(20)));
    let second = house.room.begin(&operator(), What::Undo("y".to_owned()), &house.left);
    assert_eq!(second.err(), Some(Busy(undo.id.clone())));
    assert!(house.room.begin(&operator(), What::Count("z".to_owned()), &house.left).is_ok());
    drop(turn);
    assert!(undo.wait(LONG));
}
