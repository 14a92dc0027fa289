//! The scheduler's shell and sites in trouble: what is held back, shown, paused, and brought back.

use super::*;
use crate::schedule::trouble::Standing;

#[test]
fn a_site_in_trouble_is_shown_with_its_answer() {
    let world = world(Fake::default());
    for n in 1..=6 {
        world.accept(mail(n, &["site"]));
    }
    world.settles(5);
    world.until("the trouble is shown", |w| w.handle.snapshot(10).first().is_some_and(|l| l.probe_at.is_some()));
    let lane = world.handle.snapshot(10).remove(0);
    assert_eq!(lane.trouble.expect("known").reply, "450 4.2.1 busy");
    assert!(world.fake.state().changes.iter().all(|c| c.event.wait == Some(WaitReason::Site)));
    let trouble = world.handle.troubles(10).remove(0);
    assert!(matches!(trouble.standing, Standing::Dead { .. }), "{trouble:?}");
    assert_eq!((trouble.since, trouble.percent(), trouble.destinations_count), (START, Some(0), 1));
    assert!(trouble.deferred >= 5 && trouble.said.is_some_and(|said| said.reply == "450 4.2.1 busy"));
    assert!(world.handle.troubles(0).is_empty());
}

#[test]
fn the_backlog_of_a_site_that_comes_back_does_not_wait_for_its_old_times() {
    let world = world(Fake::default());
    let next_second = || {
        world.clock.advance(Duration::from_secs(1));
        world.handle.set_pauses(Vec::new()); // it looks around
        std::thread::sleep(Duration::from_millis(10));
    };
    for n in 1..=300 {
        world.accept(mail(n, &["site"]));
    }
    let waits = |r: &Recipient| matches!(r.state, RecipientState::Waiting { wait: WaitReason::Site, .. });
    let all_wait = || world.fake.state().recipients.values().all(waits);
    (0..120).take_while(|_| !all_wait()).for_each(|_| next_second());
    world.until("all are held back", |_| all_wait());
    // A new mail is the probe; the others' next tries are about a minute away.
    world.peers.back.store(true, Ordering::SeqCst);
    world.accept(mail(301, &["ok"]));
    world.handle.kick();
    let delivered = || world.fake.state().changes.iter().filter(|c| c.event.kind == EventKind::Succeeded).count();
    // On a loaded machine the last probe may have been answered late, and the next one has its time still to come.
    let comes_back = || {
        (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            delivered() > 0
        })
    };
    (0..120).take_while(|_| !comes_back()).for_each(|_| next_second());
    world.until("it is back", |_| delivered() > 0);
    let back_at = world.clock.now();
    assert_eq!(world.fake.state().walks, 0, "it must answer for a moment first");
    (0..10).for_each(|_| next_second());
    world.until("all are delivered", |_| delivered() == 301);
    assert_eq!(world.clock.now(), back_at.plus(Duration::from_secs(10)));
    assert_eq!(world.fake.state().walks, 1, "one walk for a recovery");
}

#[test]
fn a_wait_is_no_spin() {
    let world = world(Fake::default());
    // A site in trouble with a ticket left sets an alarm for its probe …
    for n in 1..=8 {
        world.accept(mail(n, &["site"]));
    }
    world.settles(5);
    world.until("the site is in trouble", |w| w.handle.snapshot(1).first().is_some_and(|l| l.probe_at.is_some()));
    // On a loaded machine all eight may have been tried before that: this one waits for sure.
    world.accept(mail(10, &["site"]));
    world.until("the probe has its alarm", |w| {
        w.handle.snapshot(1).first().is_some_and(|l| l.probe_at.is_some() && l.queued > 0)
    });
    // … which rings while no attempt may start, and during a scan that an operator's act asked for.
    world.fake.state().stuck = true;
    world.clock.advance(Duration::from_secs(3));
    world.accept(mail(9, &["site"]));
    std::thread::sleep(Duration::from_millis(50));
    let before = world.fake.state().asked_if_stuck;
    std::thread::sleep(Duration::from_millis(200));
    let turns = world.fake.state().asked_if_stuck - before;
    assert!(turns < 50, "{turns} turns in 200 ms");
}

#[test]
fn a_site_that_a_rule_pauses_defers_with_the_rules_name() {
    let world = world(Fake::default());
    world.accept(mail(1, &["pause"]));
    world.settles(1);
    world.until("it is paused", |w| w.handle.sites(1).first().is_some_and(|site| site.pause.is_some()));
    world.accept(mail(2, &["ok"]));
    world.settles(2);
    let state = world.fake.state();
    let event = &state.changes[1].event;
    assert_eq!((event.kind, event.wait, event.attempt), (EventKind::Deferred, Some(WaitReason::Site), 1));
    let reply = &event.detail.as_ref().expect("told").reply;
    assert!(
        reply.contains("response rule \"too many\"") && reply.ends_with("its last answer: 450 4.2.1 busy"),
        "{reply}"
    );
    assert_eq!(world.peers.calls.load(Ordering::SeqCst), 1);
    assert_eq!((world.metrics.pushes.get(), world.metrics.held_back.get()), (1, 1));
}

#[test]
fn a_paused_destination_waits_without_an_entry() {
    let world = world(Fake::default());
    let (destination, operator, reason) = ("example.org".into(), "root".into(), String::new());
    world.handle.set_pauses(vec![Pause { destination, since: START, until: None, operator, reason }]);
    world.accept(mail(1, &["ok"]));
    world.until("it is shown", |w| w.handle.snapshot(1).first().is_some_and(|l| l.paused == Some(Timestamp::MAX)));
    std::thread::sleep(Duration::from_millis(50));
    assert!(world.fake.state().changes.is_empty());
    world.handle.set_pauses(Vec::new());
    world.clock.advance(Duration::from_secs(10));
    world.handle.kick();
    world.settles(1);
    assert_eq!(world.fake.events(1), [(EventKind::Succeeded, 1, None, None)]);
}

#[test]
fn a_deadline_by_its_sender_ends_a_life_or_owes_one_notice() {
    let never = Notify { given: true, ..Notify::default() };
    for (mode, notify, ends, notices) in [
        (ByMode::Return, Notify::default(), true, 1),
        (ByMode::Notify, Notify::default(), false, 1),
        (ByMode::Notify, Notify { delay: true, ..never }, false, 1),
        (ByMode::Notify, Notify { failure: true, ..never }, false, 0),
        (ByMode::Notify, never, false, 0),
    ] {
        let world = world(Fake::default());
        let mut loaded = mail(1, &["defer"]);
        loaded.message.params.by = Some(DeliverBy { seconds: 180, mode, trace: false });
        loaded.recipients[0].params.notify = notify;
        world.accept(loaded);
        let deadline = START.plus(Duration::from_secs(180));
        for tries in 1..=4 {
            world.settles(tries);
            let change = world.fake.state().changes[tries - 1].clone();
            let Some(next) = change.event.next_try else { break };
            if notices > 0 && change.event.at < deadline {
                assert!(next <= deadline, "{mode:?}: a try is timed at the deadline");
            }
            world.fake.state().recipients.values_mut().for_each(|r| r.delay_noticed |= change.notice.is_some());
            world.clock.advance(next.since(world.clock.now()));
            world.handle.kick();
        }
        let state = world.fake.state();
        let last = state.changes.last().expect("some");
        assert_eq!(last.event.kind == EventKind::Failed, ends, "{mode:?} {notify:?}");
        let owed: Vec<NoticeKind> = state.changes.iter().filter_map(|c| c.notice).collect();
        assert_eq!(owed.len(), notices, "{mode:?} {notify:?}: {owed:?}");
        if ends {
            let reply = &last.event.detail.as_ref().expect("a try").reply;
            assert!(reply.starts_with("5.4.7 not delivered within 3 minutes, as its sender asked"), "{reply}");
        } else if let [kind] = owed[..] {
            assert_eq!(kind, NoticeKind::Delay);
        }
    }
}

#[test]
fn whoever_came_onto_the_suppression_list_is_not_tried_again_and_fresh_mail_is_not_looked_up() {
    let world = world(Fake::default());
    let told = Arc::new(AtomicUsize::new(0));
    world.handle.on_failures({
        let told = told.clone();
        move || {
            told.fetch_add(1, Ordering::SeqCst);
        }
    });
    world.fake.state().suppressed = vec!["defer"];
    world.accept(mail(1, &["defer", "ok"]));
    world.settles(2);
    assert_eq!(world.fake.state().looked_up, 0, "it was looked up when it was accepted");
    assert_eq!(told.load(Ordering::SeqCst), 0);
    let calls = world.peers.calls.load(Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(70));
    world.handle.kick();
    world.settles(3);
    let failed = (EventKind::Failed, 1, None, None);
    assert_eq!(world.fake.events(1).last(), Some(&failed), "final, without a notice, and without another try");
    assert_eq!(world.peers.calls.load(Ordering::SeqCst), calls);
    let detail = world.fake.state().changes.last().and_then(|c| c.event.detail.clone()).expect("it says why");
    assert_eq!((detail.error, detail.reply.as_str()), (Some(ErrorClass::Blocked), "suppressed since yesterday"));
    world.until("it is counted", |w| w.metrics.blocked.get() == 1);
    world.accept(mail(2, &["fail"]));
    world.until("a failure rings", |_| told.load(Ordering::SeqCst) == 1);
    // A message that was accepted a while ago and never tried: its other recipients go on.
    world.accept(mail(3, &["defer", "ok"]));
    world.settles(6);
    assert_eq!(world.fake.events(3).len(), 2);
    assert!(world.fake.events(3).contains(&(EventKind::Failed, 0, None, None)));
    assert!(world.fake.events(3).iter().any(|e| e.0 == EventKind::Succeeded));
}
