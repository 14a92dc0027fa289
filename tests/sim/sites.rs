//! Sites, ways, speeds and pauses: what lanes share, and what a dead site costs through its whole life.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use hikyaku::{
    clock::Timestamp,
    event::Class,
    schedule::{
        limits::Limits,
        place::{Offer, Place, Rate, Way},
    },
};

use super::{
    scheduler::{after, is_long, limits, seeds},
    world::{Peer, World},
};

fn place(site: &str, offers: Vec<Offer>, rate: Option<Rate>) -> Place {
    Place { site: site.into(), name: site.into(), offers, rate, valid_for: Duration::from_secs(60) }
}

fn rate(connections_max: Option<usize>, millis: u64) -> Option<Rate> {
    Some(Rate { rule: "rule".into(), connections_max, interval: Duration::from_millis(millis), fixed: false })
}

fn way(n: u8) -> Way {
    Way { v4: Some(IpAddr::from([192, 0, 2, n])), v6: None }
}

fn offer(n: u8, weight: u32) -> Offer {
    Offer { way: way(n), weight, users: Vec::new(), cap: None }
}

/// `count` lanes that go to one site each, or all to one.
fn lanes(world: &mut World, count: usize, peer: Peer, place: impl Fn(usize) -> Place) -> Vec<Arc<str>> {
    let lane = |n: usize| {
        let lane = world.site(&format!("d{n}.example"), peer);
        world.places.insert(lane.clone(), place(n));
        lane
    };
    (0..count).map(lane).collect()
}

#[test]
fn domains_of_one_site_share_its_limits_and_take_turns() {
    for seed in seeds(400..402) {
        let mut world = World::new(seed, limits(500, 8));
        let all = lanes(&mut world, 100, Peer::Fast, |_| place("mx.example", vec![offer(1, 1)], None));
        // One has most of the mail; the bound of eight connections is asserted by the world, by site.
        for n in 0..5_000 {
            let lane = if n % 2 == 0 { 0 } else { n / 2 % 100 };
            world.accept(&all[lane].clone(), Class::Normal, 1, true);
        }
        world.run(after(10));
        assert!(all.iter().all(|lane| world.delays.contains_key(lane)), "seed {seed}: each has had its turn");
        world.run(after(200));
        assert_eq!(world.delivered.len(), 5_000, "seed {seed}");
        assert_eq!(world.core.sites(), 1, "seed {seed}");
    }
}

#[test]
fn a_dead_site_of_many_domains_is_probed_once_for_all() {
    let mut world = World::new(410, limits(500, 20));
    let all = lanes(&mut world, 300, Peer::Dead, |_| place("mx.example", vec![offer(1, 1)], None));
    for lane in &all {
        (0..5).for_each(|_| _ = world.accept(lane, Class::Normal, 1, true));
    }
    world.run(after(2 * 3_600));
    assert!(world.started.len() < 100, "{} conversations in two hours", world.started.len());
    assert!(world.disk.rows.values().all(|row| row.tries >= 4), "each recipient has its own entries (R12)");
}

#[test]
fn a_rules_speed_is_shared_by_all_its_sites() {
    for seed in seeds(420..422) {
        let mut world = World::new(seed, limits(500, 20));
        let all =
            lanes(&mut world, 400, Peer::Fast, |n| place(&format!("mx{n}.example"), Vec::new(), rate(Some(4), 50)));
        for lane in &all {
            (0..5).for_each(|_| _ = world.accept(lane, Class::Normal, 1, true));
        }
        // The world asserts the interval and the connections. 20 a second go.
        world.run(after(60));
        let started = world.started.len();
        assert!((1_100..=1_201).contains(&started), "seed {seed}: {started} in a minute");
        let served = all.iter().filter(|lane| world.delays.contains_key(*lane)).count();
        assert_eq!(served, 400, "seed {seed}: sites take turns at the rule's speed");
        // High does not wait for all of them.
        let high = world.accept(&all[7].clone(), Class::High, 1, true);
        world.run(after(61));
        assert!(world.delivered.keys().any(|key| key.message == high), "seed {seed}");
        world.run(after(200));
        assert!(world.disk.rows.is_empty(), "seed {seed}");
    }
}

#[test]
fn a_rule_without_an_interval_bounds_connections_alone() {
    let mut world = World::new(425, limits(500, 20));
    let all = lanes(&mut world, 50, Peer::Fast, |n| place(&format!("mx{n}.example"), Vec::new(), rate(Some(3), 0)));
    for lane in &all {
        (0..40).for_each(|_| _ = world.accept(lane, Class::Normal, 1, true));
    }
    world.run(after(120));
    assert!(world.disk.rows.is_empty(), "{} left: three connections carry 2,000 mails", world.disk.rows.len());
}

#[test]
fn mail_goes_by_the_ways_that_live_and_comes_back_to_the_others() {
    for seed in seeds(430..432) {
        let mut world = World::new(seed, limits(500, 20));
        let offers = || vec![offer(1, 3), offer(2, 1)];
        let all = lanes(&mut world, 3, Peer::Fast, |_| place("mx.example", offers(), None));
        let send = |world: &mut World, from: u64, to: u64| {
            for second in from..to {
                (0..20).for_each(|n| _ = world.accept(&all[n % 3].clone(), Class::Normal, 1, true));
                world.run(after(second + 1));
            }
        };
        send(&mut world, 0, 60);
        let by = |world: &World, n: u8, from: usize| {
            let these = &world.started[from..];
            these.iter().filter(|s| s.way == way(n)).count() * 100 / these.len()
        };
        assert!((70..=80).contains(&by(&world, 1, 0)), "seed {seed}: {} percent by the heavy way", by(&world, 1, 0));
        world.dead_ways.insert(way(1));
        send(&mut world, 60, 120);
        let from = world.started.len();
        send(&mut world, 120, 420);
        assert!(by(&world, 2, from) >= 98, "seed {seed}: the living way carries on");
        world.dead_ways.clear();
        send(&mut world, 420, 800);
        let from = world.started.len();
        send(&mut world, 800, 860);
        assert!(
            (70..=80).contains(&by(&world, 1, from)),
            "seed {seed}: the weights hold again: {}",
            by(&world, 1, from)
        );
        world.run(after(10_000));
        assert!(world.disk.rows.is_empty(), "seed {seed}");
    }
}

#[test]
fn a_cap_is_kept_until_the_next_answer() {
    let mut world = World::new(440, limits(500, 20));
    let capped = || vec![Offer { cap: Some(50), ..offer(1, 1) }];
    let all = lanes(&mut world, 1, Peer::Fast, |_| place("mx.example", capped(), None));
    for _ in 0..200 {
        world.accept(&all[0].clone(), Class::Normal, 1, true);
    }
    let mut seen = Vec::new();
    for minute in 0..5 {
        world.run(after(minute * 60 + 50));
        seen.push(world.started.len());
    }
    assert_eq!(seen, [50, 100, 150, 200, 200], "fifty a minute: the answer holds so long");
}

#[test]
fn a_lane_that_moves_takes_nothing_with_it_and_loses_nothing() {
    for seed in seeds(450..453) {
        let mut world = World::new(seed, limits(500, 100));
        let all = lanes(&mut world, 40, Peer::Fast, |n| place(&format!("mx{}.example", n % 4), Vec::new(), None));
        let mut sent = 0;
        for second in 0..300 {
            for (n, lane) in all.iter().enumerate() {
                if world.rng().below(3) > 0 {
                    world.accept(lane, Class::ALL[n % 3], 1 + n as u32 % 2 * 30, true);
                    sent += 1 + n % 2 * 30;
                }
            }
            if second % 20 == 0 {
                let (from, to, paced) = (world.rng().below(40), world.rng().below(6), world.rng().below(2) == 0);
                let rate = if paced { rate(Some(50), 1) } else { None };
                let moved = Place { rate, ..place(&format!("mx{to}.example"), Vec::new(), None) };
                world.places.insert(all[from as usize].clone(), Place { valid_for: Duration::from_secs(5), ..moved });
            }
            world.run(after(second + 1));
        }
        world.run(after(3_000));
        assert_eq!((world.delivered.len(), world.core.in_flight(), world.core.tickets()), (sent, 0, 0), "seed {seed}");
    }
}

#[test]
fn an_operators_pause_starts_nothing_and_writes_nothing() {
    let mut world = World::new(460, limits(500, 20));
    let (lane, other) = (world.site("d.example", Peer::Fast), world.site("other.example", Peer::Fast));
    let ruled = world.site("d.example#rule", Peer::Fast);
    let until = after(3_600);
    let pauses = |until: Timestamp| HashMap::from([(Arc::<str>::from("d.example"), until)]);
    for n in 0..300 {
        world.accept(if n % 2 == 0 { &lane } else { &ruled }, Class::Normal, 1, n % 3 > 0);
        world.accept(&other, Class::Normal, 1, true);
        if n == 100 {
            world.core.set_pauses(pauses(until), world.now);
        }
    }
    world.run(after(3_590));
    assert_eq!(world.delivered.len(), 300, "the other's mail went");
    assert!(world.disk.rows.values().all(|row| row.tries == 0) && world.held_back == 0, "without an entry");
    assert!(world.core.views(10).iter().any(|view| view.paused == Some(until)), "and it can be seen");
    world.run(after(3_700));
    assert!(world.disk.rows.is_empty(), "it ends by itself: {} left", world.disk.rows.len());
    world.core.set_pauses(pauses(Timestamp::MAX), world.now);
    world.accept(&lane, Class::Normal, 1, true);
    world.run(after(90_000));
    assert_eq!(world.disk.rows.len(), 1);
    world.core.set_pauses(HashMap::new(), world.now);
    world.run(after(90_001));
    assert!(world.disk.rows.is_empty(), "lifted");
}

#[test]
fn a_dead_site_holds_its_mail_to_the_end_and_nobody_expires_untried() {
    let recipients = if is_long() { 60_000 } else { 4_000 };
    for (hours, seed) in [(96, 470), (5, 471), (1, 472)] {
        let mut world = World::new(seed, limits(200, 20));
        world.lifetime = Duration::from_secs(hours * 3_600);
        let lane = world.site("dead.example", Peer::Dead);
        for n in 0..recipients {
            world.accept(&lane, Class::ALL[n % 3], 1, n % 2 == 0);
            if n % 500 == 0 {
                world.run(world.now.plus(Duration::from_secs(20)));
            }
        }
        // The world asserts that whoever expires was tried, or its site was since its last entry.
        world.run(after(hours * 3_600 + 7_200));
        assert_eq!((world.expired, world.disk.rows.len()), (recipients, 0), "seed {seed}");
        assert!(world.held_back > recipients * 3, "seed {seed}: entries at each due time");
        assert!(world.started.len() < 40 * hours as usize + 200, "seed {seed}: {} conversations", world.started.len());
    }
}

#[test]
fn a_flush_probes_at_once_and_keeps_the_limits() {
    let mut world = World::new(480, limits(200, 20));
    let lane = world.site("dead.example", Peer::Dead);
    (0..500).for_each(|_| _ = world.accept(&lane, Class::Normal, 1, true));
    world.run(after(4_000));
    world.site("dead.example", Peer::Fast);
    world.flush();
    world.run(after(4_030));
    assert_eq!(world.delivered.len(), 500, "at full speed, limits asserted by the world");
}

#[test]
fn rules_that_push_back_are_obeyed() {
    for (peer, seed) in [(Peer::Pausing, 490), (Peer::Slowing, 491)] {
        let mut world = World::new(seed, limits(200, 20));
        let lane = world.site("d.example", peer);
        (0..300).for_each(|_| _ = world.accept(&lane, Class::Normal, 1, true));
        // The world asserts that nothing starts during a pause.
        world.run(after(9 * 3_600));
        assert_eq!(world.delivered.len(), 300, "{peer:?}");
    }
}

#[test]
fn a_storm_of_hostile_peers_loses_nobody() {
    let (sites, seconds) = if is_long() { (5_000, 600) } else { (1_500, 60) };
    let kinds = [
        Peer::Stormy,
        Peer::Fast,
        Peer::Limiter(3),
        Peer::DropsEarly,
        Peer::Tarpit,
        Peer::DropsLate,
        Peer::Pausing,
        Peer::Slowing,
        Peer::Greylisting,
        Peer::Dead,
    ];
    for seed in seeds(500..503) {
        let mut world = World::new(seed, Limits { tickets_max: 10_000, ..limits(1_000, 10) });
        world.lifetime = Duration::from_secs(86_400);
        (world.read_millis, world.locate_millis) = (200, 3_000);
        let all: Vec<Arc<str>> =
            (0..sites).map(|n| world.site(&format!("d{n}.example"), kinds[n % kinds.len()])).collect();
        for (n, lane) in all.iter().enumerate().filter(|(n, _)| n % 3 == 0) {
            let shared = format!("mx{}.example", n % kinds.len() + n % 30 * 10);
            world.places.insert(lane.clone(), place(&shared, vec![offer(1, 2), offer(2, 1)], None));
        }
        let mut recipients = 0;
        for second in 0..seconds {
            for _ in 0..100 {
                let lane = all[world.rng().below(sites as u64) as usize].clone();
                let class = Class::ALL[world.rng().below(3) as usize];
                let count = if world.rng().below(50) == 0 { 1 + world.rng().below(300) as u32 } else { 1 };
                let (user, told) = (world.rng().below(5), world.rng().below(10) != 0);
                let user = hikyaku::ids::UserKey::from_u64(user);
                world.accept_of(user, &lane, class, count, told);
                recipients += count as usize;
            }
            world.run(after(second + 1));
        }
        world.run(after(100_000));
        assert!(world.disk.rows.is_empty(), "seed {seed}: {} still wait", world.disk.rows.len());
        let copies: u32 = world.delivered.values().sum();
        let doubled = copies as usize - world.delivered.len();
        assert!(doubled <= world.lost_replies, "seed {seed}: {doubled} doubled, {} replies lost", world.lost_replies);
        assert!(world.delivered.len() + world.expired >= recipients, "seed {seed}: somebody is lost");
        assert_eq!((world.core.tickets(), world.core.in_flight()), (0, 0), "seed {seed}");
    }
}
