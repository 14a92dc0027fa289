//! R5 and turns between submitters: nobody's small or urgent mail waits behind somebody else's backlog.

use std::{sync::Arc, time::Duration};

use hikyaku::{event::Class, ids::UserKey, schedule::limits::Limits};

use super::{
    scheduler::{after, is_long, limits, p99, seeds},
    world::{Peer, Started, World},
};

fn user(n: u64) -> UserKey {
    UserKey::from_u64(n)
}

#[test]
fn a_single_mail_passes_another_users_backlog() {
    let backlog = if is_long() { 100_000 } else { 20_000 };
    for told in [true, false] {
        for seed in seeds(300..302) {
            let mut world = World::new(seed, limits(200, 5));
            let lane = world.site("d.example", Peer::Fast);
            for _ in 0..backlog {
                world.accept_of(user(1), &lane, Class::Normal, 1, true);
            }
            world.run(after(10));
            let mut singles = Vec::new();
            for second in 10..70 {
                singles.push(world.accept_of(user(2), &lane, Class::Normal, 1, told));
                world.run(after(second + 1));
            }
            assert!(world.disk.rows.len() > backlog / 2, "the backlog is still there");
            world.run(after(90));
            let delay = |id| world.delay_of.get(&hikyaku::ids::RecipientKey { message: id, index: 0 }).copied();
            let mut delays: Vec<Duration> = singles.into_iter().filter_map(delay).collect();
            assert_eq!(delays.len(), 60, "seed {seed}, told {told}: all are delivered");
            // What the scheduler was not told of comes with the next page from disk.
            let bound = Duration::from_secs(if told { 1 } else { 8 });
            assert!(p99(&mut delays) < bound, "seed {seed}, told {told}: {:?}", p99(&mut delays));
        }
    }
}

#[test]
fn small_mail_passes_a_message_of_ten_thousand_of_its_own_submitter() {
    for seed in seeds(310..312) {
        let mut world = World::new(seed, limits(200, 5));
        let lane = world.site("d.example", Peer::Tarpit);
        world.accept(&lane, Class::Normal, 10_000, true);
        world.run(after(2));
        world.site("d.example", Peer::Fast);
        let mut small = Vec::new();
        for n in 0..10 {
            small.push(world.accept(&lane, Class::Normal, 1, n % 2 == 0));
        }
        world.run(after(2_000));
        let places: Vec<usize> =
            world.started.iter().enumerate().filter(|(_, s)| s.recipients == 1).map(|(place, _)| place).collect();
        assert_eq!(places.len(), small.len(), "seed {seed}");
        assert!(*places.last().expect("some") < 60, "seed {seed}: small mail is served at {places:?} of 110");
        assert_eq!(world.delivered.len(), 10_010, "seed {seed}");
    }
}

#[test]
fn users_share_by_recipients_whatever_their_messages_hold() {
    let mut world = World::new(320, limits(200, 5));
    let lane = world.site("d.example", Peer::Fast);
    for n in 0..400u32 {
        world.accept_of(user(1), &lane, Class::Normal, 100, true);
        for _ in 0..20 {
            world.accept_of(user(2), &lane, Class::Normal, 1, true);
        }
        if n % 40 == 0 {
            world.accept_of(user(3), &lane, Class::Normal, 10, true);
        }
    }
    world.run(after(60));
    let of = |who: u64| {
        let mine: Vec<&Started> = world.started.iter().filter(|s| s.user == user(who)).collect();
        mine.iter().map(|s| s.recipients).sum::<usize>()
    };
    let (large, small) = (of(1), of(2));
    assert!(small > 500, "{small} small ones in a minute");
    assert!(large.abs_diff(small) <= 400 + large / 10, "{large} by large messages, {small} by small ones");
    assert_eq!(of(3), 100, "who has little is served at once");
}

#[test]
fn one_high_a_second_passes_a_huge_low_backlog() {
    let backlog = if is_long() { 1_000_000 } else { 30_000 };
    for told in [true, false] {
        for seed in seeds(330..331) {
            let mut world = World::new(seed, limits(200, 10));
            let lane = world.site("d.example", Peer::Fast);
            for _ in 0..backlog {
                world.accept(&lane, Class::Low, 1, false);
            }
            world.run(after(5));
            let from = world.started.len();
            let mut highs = Vec::new();
            for second in 5..65 {
                highs.push(world.accept(&lane, Class::High, 1, told));
                world.run(after(second + 1));
            }
            world.run(after(70));
            let delay = |id| world.delay_of.get(&hikyaku::ids::RecipientKey { message: id, index: 0 }).copied();
            let mut delays: Vec<Duration> = highs.into_iter().filter_map(delay).collect();
            assert_eq!(delays.len(), 60, "seed {seed}, told {told}");
            let bound = Duration::from_millis(if told { 300 } else { 8_000 });
            assert!(p99(&mut delays) < bound, "seed {seed}, told {told}: {:?}", p99(&mut delays));
            let low = world.started[from..].iter().filter(|s| s.class == Class::Low).count();
            assert!(low > 5_000, "seed {seed}: low goes on, {low} in a minute");
        }
    }
}

#[test]
fn low_keeps_its_share_of_connections_and_of_the_window_under_a_flood_of_high() {
    for (each, seed) in [(20, 340), (10, 341), (3, 342), (1, 343)] {
        // A small window: what is guaranteed in it matters.
        let mut world = World::new(seed, Limits { tickets_max: 1_000, ..limits(200, each) });
        let lane = world.site("d.example", Peer::Fast);
        for n in 0..20_000u32 {
            let class = if n % 2 == 0 { Class::High } else { Class::Low };
            world.accept(&lane, class, 1, n % 3 == 0);
        }
        world.run(after(5));
        let from = world.started.len();
        world.run(after(25));
        let started = &world.started[from..];
        let low = started.iter().filter(|s| s.class == Class::Low).count() * 100 / started.len();
        assert!((8..=13).contains(&low), "{each} connections: low has {low} percent of {}", started.len());
    }
}

#[test]
fn low_keeps_its_share_where_all_connections_are_nearly_used() {
    for seed in seeds(350..352) {
        let mut world = World::new(seed, limits(40, 20));
        let lanes: Vec<Arc<str>> = (0..60).map(|n| world.site(&format!("d{n}.example"), Peer::Fast)).collect();
        for lane in &lanes {
            for n in 0..400 {
                let class = Class::ALL[n % 3];
                world.accept(lane, class, 1, true);
            }
        }
        world.run(after(2));
        let from = world.started.len();
        world.run(after(12));
        let started = &world.started[from..];
        let share = |class| started.iter().filter(|s| s.class == class).count() * 100 / started.len();
        assert!(share(Class::Low) >= 8, "seed {seed}: low has {} percent", share(Class::Low));
        assert!(share(Class::High) > 60, "seed {seed}: high has {} percent", share(Class::High));
        for lane in &lanes {
            assert!(started.iter().any(|s| s.lane == *lane), "seed {seed}: {lane} has had no turn in ten seconds");
        }
    }
}

#[test]
fn high_finds_a_connection_where_normal_fills_the_window_with_slow_mail() {
    let mut world = World::new(360, limits(200, 5));
    let lane = world.site("d.example", Peer::Slow);
    for _ in 0..50 {
        world.accept(&lane, Class::Normal, 1, true);
    }
    world.run(after(5));
    world.accept(&lane, Class::High, 1, true);
    world.run(after(6));
    let last = world.started.last().expect("some");
    assert_eq!((world.started.len(), last.class), (5, Class::High), "one of five is high's alone");
}
