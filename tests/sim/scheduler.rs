//! P2, P5, P6 and R5, as the scheduler's core keeps them.

use std::{sync::Arc, time::Duration};

use hikyaku::{clock::Timestamp, event::Class, schedule::limits::Limits};

use super::world::{Peer, START, World};

const MEMORY: usize = 512 << 20;

pub fn seeds(all: std::ops::Range<u64>) -> Vec<u64> {
    match std::env::var("HIKYAKU_SEED").ok().and_then(|s| s.parse().ok()) {
        Some(seed) => vec![seed],
        None => all.collect(),
    }
}

pub fn is_long() -> bool {
    std::env::var_os("HIKYAKU_LONG").is_some()
}

pub fn limits(total: usize, per_destination: usize) -> Limits {
    Limits::for_memory(MEMORY, total, per_destination, 100)
}

pub fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

/// The delay that all but one in a hundred stay below.
pub fn p99(delays: &mut [Duration]) -> Duration {
    delays.sort_unstable();
    delays[delays.len() * 99 / 100]
}

#[test]
fn one_slow_or_dead_destination_delays_nobody() {
    for (bad, seed) in [Peer::Slow, Peer::Dead, Peer::Refusing].into_iter().zip(seeds(1..4).into_iter().cycle()) {
        let mut world = World::new(seed, limits(200, 20));
        let bad_lane = world.site("bad.example", bad);
        let good: Vec<Arc<str>> = (0..500).map(|n| world.site(&format!("d{n}.example"), Peer::Fast)).collect();
        // The bad one has a backlog of 20,000 before anybody else sends; then each second brings 50 mails, half of them to it.
        for _ in 0..20_000 {
            world.accept(&bad_lane, Class::Normal, 1, true);
        }
        for second in 0..120 {
            for n in 0..25 {
                let lane = good[(second * 25 + n) as usize % good.len()].clone();
                world.accept(&lane, Class::Normal, 1, true);
                world.accept(&bad_lane, Class::Normal, 1, true);
            }
            world.run(after(second + 1));
        }
        world.run(after(125));
        let mut delays: Vec<Duration> = good.iter().filter_map(|lane| world.delays.remove(lane)).flatten().collect();
        assert_eq!(delays.len(), 25 * 120, "seed {seed}, {bad:?}: everybody else's mail is delivered");
        let worst = p99(&mut delays);
        assert!(worst < Duration::from_millis(50), "seed {seed}, {bad:?}: others wait {worst:?}");
    }
}

#[test]
fn many_dead_destinations_leave_room_for_the_living() {
    for seed in seeds(10..12) {
        let mut world = World::new(seed, limits(500, 20));
        let dead: Vec<Arc<str>> = (0..2_000).map(|n| world.site(&format!("dead{n}.example"), Peer::Dead)).collect();
        let good: Vec<Arc<str>> = (0..50).map(|n| world.site(&format!("good{n}.example"), Peer::Fast)).collect();
        for lane in &dead {
            for _ in 0..10 {
                world.accept(lane, Class::Normal, 1, true);
            }
        }
        // The first contact costs each dead site its time-outs; after that, the dead hold half of the connections at most.
        world.run(after(400));
        for second in 400..460u64 {
            for n in 0..20 {
                world.accept(&good[(second * 20 + n) as usize % good.len()], Class::Normal, 1, true);
            }
            world.run(after(second + 1));
        }
        world.run(after(470));
        let mut delays: Vec<Duration> = good.iter().filter_map(|lane| world.delays.remove(lane)).flatten().collect();
        assert_eq!(delays.len(), 20 * 60, "seed {seed}");
        let worst = p99(&mut delays);
        assert!(worst < Duration::from_millis(500), "seed {seed}: the living wait {worst:?}");
    }
}

#[test]
fn the_window_is_bounded_with_a_million_queued() {
    let rows: u32 = if is_long() { 1_000_000 } else { 60_000 };
    let mut world = World::new(20, Limits { tickets_max: 5_000, ..limits(1_000, 20) });
    let lanes: Vec<Arc<str>> = (0..1_500).map(|n| world.site(&format!("d{n}.example"), Peer::Fast)).collect();
    // Three lanes own most of the backlog, the rest a few each.
    for n in 0..rows {
        let lane = if n % 10 < 9 { n % 3 } else { 3 + n % 1_497 };
        world.accept(&lanes[lane as usize].clone(), Class::ALL[n as usize / 10 % 3], 1, false);
    }
    world.run(after(20));
    assert!(world.tickets_seen <= 5_000);
    let small = lanes[3..].iter().filter(|lane| !world.delays.contains_key(*lane)).count();
    assert_eq!(small, 0, "every small lane got its turn, however much the large ones hold");
    assert!(world.delivered.len() > 15_000, "{} delivered in 20 s", world.delivered.len());
}

#[test]
fn every_recipient_settles_exactly_once() {
    for seed in seeds(30..34) {
        let mut world = World::new(seed, Limits { tickets_max: 1_000, ..limits(60, 5) });
        world.read_millis = 400;
        let kinds = [Peer::Fast, Peer::Fast, Peer::Greylisting, Peer::Fast];
        let lanes: Vec<Arc<str>> = (0..300).map(|n| world.site(&format!("d{n}.example"), kinds[n % 4])).collect();
        let mut recipients = 0;
        for second in 0..60 {
            for _ in 0..60 {
                let lane = lanes[world.rng().below(300) as usize].clone();
                let (class, many) = (Class::ALL[world.rng().below(3) as usize], world.rng().below(20) == 0);
                let count = if many { 1 + world.rng().below(250) as u32 } else { 1 };
                let told = world.rng().below(50) != 0;
                world.accept(&lane, class, count, told);
                recipients += count as usize;
            }
            let moment = world.rng().millis(1, 999);
            world.run(after(second).plus(moment));
            if world.rng().below(4) == 0 {
                world.hold_one_in(3);
            }
            world.run(after(second + 1));
        }
        world.run(after(8_000));
        assert!(world.disk.rows.is_empty(), "seed {seed}: {} still wait", world.disk.rows.len());
        assert_eq!(world.delivered.len(), recipients, "seed {seed}");
        assert!(world.delivered.values().all(|n| *n == 1), "seed {seed}: somebody got it twice");
        assert_eq!((world.core.tickets(), world.core.in_flight()), (0, 0), "seed {seed}");
    }
}

#[test]
fn a_late_answer_of_the_disk_brings_nobody_back() {
    for seed in seeds(80..84) {
        let mut world = World::new(seed, Limits { tickets_max: 1_000, ..limits(500, 20) });
        (world.read_millis, world.reads_see_all) = (200, true);
        let lanes: Vec<Arc<str>> = (0..20).map(|n| world.site(&format!("d{n}.example"), Peer::Fast)).collect();
        for second in 0..30 {
            for n in 0..200 {
                world.accept(&lanes[n % 20].clone(), Class::Normal, 1, n % 40 != 0);
            }
            world.run(after(second + 1));
        }
        world.run(after(300));
        assert_eq!(world.delivered.len(), 200 * 30, "seed {seed}");
        assert!(world.delivered.values().all(|n| *n == 1), "seed {seed}: somebody got it twice");
    }
}

#[test]
fn what_did_not_fit_is_fetched_as_soon_as_there_is_room() {
    for seed in seeds(90..120) {
        let mut world = World::new(seed, limits(20, 20));
        world.read_millis = 100;
        let lane = world.site("relay.example:25", Peer::Fast);
        // The first are found on disk, by the scan at the start; more come while it is read.
        for _ in 0..10 {
            world.accept(&lane, Class::Normal, 1, false);
        }
        let mut moment = START;
        for _ in 0..6 {
            let burst = 10 + world.rng().below(300);
            for _ in 0..burst {
                world.accept(&lane, Class::Normal, 1, true);
            }
            moment = moment.plus(world.rng().millis(1, 60));
            world.run(moment);
        }
        // Some 900 mails over 20 connections take 3 s; the disk is scanned anew only after a minute.
        world.run(after(20));
        assert!(world.disk.rows.is_empty(), "seed {seed}: {} wait for the next scan", world.disk.rows.len());
    }
}

#[test]
fn a_restart_loses_nobody_and_doubles_only_what_was_in_flight() {
    for seed in seeds(40..44) {
        let mut world = World::new(seed, limits(50, 5));
        let lanes: Vec<Arc<str>> = (0..100).map(|n| world.site(&format!("d{n}.example"), Peer::Fast)).collect();
        let mut in_flight = 0;
        for round in 0..5u64 {
            for n in 0..1_000 {
                world.accept(&lanes[n % 100].clone(), Class::Normal, 1, true);
            }
            world.run(after(round * 10).plus(Duration::from_millis(300 + world_jitter(seed, round))));
            in_flight += world.crash();
        }
        world.run(after(600));
        assert_eq!(world.delivered.len(), 5_000, "seed {seed}: nobody is lost");
        let doubled = world.delivered.values().filter(|n| **n > 1).count();
        assert!(doubled <= in_flight, "seed {seed}: {doubled} doubled, {in_flight} were in flight");
    }
}

fn world_jitter(seed: u64, round: u64) -> u64 {
    super::world::Rng::new(seed + round).below(400)
}

#[test]
fn high_goes_first_and_every_tenth_start_is_lows() {
    let mut world = World::new(50, limits(10, 1));
    let lane = world.site("d.example", Peer::Fast);
    for n in 0..300 {
        world.accept(&lane, Class::ALL[n % 3], 1, true);
    }
    world.run(after(1));
    world.run(after(3_600));
    let order: Vec<Class> = world.started.iter().map(|s| s.class).collect();
    assert_eq!(order.len(), 300);
    let first: Vec<Class> = order[1..101].to_vec();
    let count = |class| first.iter().filter(|c| **c == class).count();
    assert_eq!(count(Class::Normal), 0, "normal waits for high: {first:?}");
    assert!((9..=11).contains(&count(Class::Low)), "low has its tenth: {first:?}");
    let gap = order.split(|c| *c == Class::Low).map(<[Class]>::len).max();
    assert!(gap <= Some(10), "low waits for {gap:?} others");
}

#[test]
fn a_dead_sites_backlog_is_deferred_by_its_probes_not_by_itself() {
    let mut world = World::new(60, limits(200, 20));
    let lane = world.site("dead.example", Peer::Dead);
    for _ in 0..5_000 {
        world.accept(&lane, Class::Normal, 1, true);
    }
    world.run(after(2 * 3_600));
    let conversations = world.started.len();
    assert!(conversations < 100, "{conversations} conversations with a dead site in two hours");
    assert!(world.held_back > 5_000, "everybody's wait is told: {}", world.held_back);
    let waiting = world.disk.rows.values().filter(|row| row.tries == 0).count();
    assert_eq!(waiting, 0, "nobody waits without an event (R9)");
}

#[test]
fn a_site_that_comes_back_is_used_again() {
    let mut world = World::new(70, limits(200, 20));
    let lane = world.site("d.example", Peer::Refusing);
    for _ in 0..200 {
        world.accept(&lane, Class::Normal, 1, true);
    }
    world.run(after(600));
    assert!(world.delivered.is_empty());
    world.site("d.example", Peer::Fast);
    world.core.kick(world.now);
    world.run(after(3 * 3_600));
    assert_eq!(world.delivered.len(), 200);
}

#[test]
fn a_dead_sites_backlog_drains_at_full_speed_when_it_comes_back() {
    for seed in seeds(71..74) {
        let mut world = World::new(seed, limits(200, 20));
        let lane = world.site("d.example", Peer::Dead);
        let other = world.site("other.example", Peer::Dead);
        for _ in 0..3_000 {
            world.accept(&lane, Class::Normal, 1, true);
        }
        world.accept(&other, Class::Normal, 10, true);
        // By now the next tries are hours apart.
        world.run(after(8 * 3_600));
        assert!(world.delivered.is_empty() && world.walks_begun == 0, "seed {seed}");
        world.site("d.example", Peer::Fast);
        // Probes go on; the one that gets through is the news.
        let mut back = 8 * 3_600;
        while world.delivered.is_empty() {
            back += 1;
            world.run(after(back));
        }
        let probe = back - 8 * 3_600;
        assert!(probe <= 3_600, "seed {seed}: no probe for {probe} s");
        world.run(after(back + 30));
        assert_eq!(world.delivered.len(), 3_000, "seed {seed}: delivered half a minute after it came back");
        assert!(world.delivered.values().all(|n| *n == 1), "seed {seed}");
        assert_eq!((world.walks_begun, world.disk.rows.len()), (1, 10), "seed {seed}: the other is dead still");
    }
}

#[test]
fn a_site_that_flaps_is_walked_over_once_a_minute_at_most() {
    let mut world = World::new(75, limits(200, 20));
    let lane = world.site("d.example", Peer::Refusing);
    for _ in 0..2_000 {
        world.accept(&lane, Class::Normal, 1, true);
    }
    world.run(after(600));
    // It takes a mail or two, then refuses again: the operator's impatience makes it worse. The world asserts the minute.
    for second in 0..600 {
        world.site("d.example", if second % 6 < 5 { Peer::Limiter(1) } else { Peer::Refusing });
        if second % 6 == 0 {
            world.core.kick(world.now);
        }
        world.run(after(601 + second));
    }
    assert!((1..=11).contains(&world.walks_begun), "{} walks in ten minutes", world.walks_begun);
    world.site("d.example", Peer::Fast);
    world.run(after(3 * 3_600));
    assert_eq!(world.delivered.len(), 2_000, "nobody is lost");
}
