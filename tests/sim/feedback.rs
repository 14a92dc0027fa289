//! Concurrency feedback against a peer that refuses connections beyond five: small steps are refused far less often than
//! large ones (algorithms F2: half of the mail with steps of 1, a quarter with 1/√N, a sixth with 1/N).

use std::collections::VecDeque;

use hikyaku::schedule::window::{Step, Window};

use super::{
    scheduler::{after, limits, seeds},
    world::{Peer, Rng, World},
};
use hikyaku::event::Class;

/// Deliveries under way last about as long as each other; a refusal is heard almost at once.
const DELIVERIES: usize = 20_000;
const SERVER_MAX: usize = 5;
const LIMIT: usize = 20;

/// The share of conversations that a server of [`SERVER_MAX`] connections refuses.
fn refused(step: Step, seed: u64) -> f64 {
    let mut rng = Rng::new(seed);
    let mut window = Window::with_step(LIMIT, step);
    // Conversations that run: whether they were let in. They end in an order that the seed chooses.
    let mut running: VecDeque<bool> = VecDeque::new();
    let (mut all, mut refusals) = (0, 0);
    while all < DELIVERIES {
        while running.len() < window.n() {
            let open = running.iter().filter(|let_in| **let_in).count();
            running.push_back(open < SERVER_MAX);
        }
        // Who is refused ends before those who are let in.
        let ends = running.iter().position(|let_in| !let_in);
        let ends = ends.unwrap_or_else(|| rng.below(running.len() as u64) as usize);
        let busy = running.len();
        let let_in = running.remove(ends).expect("it runs");
        all += 1;
        if let_in {
            window.succeeded(busy, LIMIT);
        } else {
            refusals += 1;
            // The limiter is no dead site: what is compared here is the window alone.
            window.shrink();
        }
    }
    f64::from(refusals) / all as f64
}

#[test]
fn small_steps_are_refused_far_less_often_by_a_limiter() {
    for seed in seeds(200..203) {
        let shares = [Step::One, Step::InverseRoot, Step::Inverse].map(|step| refused(step, seed) * 100.0);
        let [one, root, inverse] = shares;
        assert!((40.0..=55.0).contains(&one), "seed {seed}: {shares:?} percent");
        assert!((20.0..=33.0).contains(&root), "seed {seed}: {shares:?} percent");
        assert!((10.0..=20.0).contains(&inverse), "seed {seed}: {shares:?} percent");
        assert!(one > 1.5 * root && root > 1.3 * inverse, "seed {seed}: {shares:?} percent");
    }
}

#[test]
fn a_limiter_is_used_to_its_limit_and_refuses_a_sixth() {
    for seed in seeds(210..213) {
        let mut world = World::new(seed, limits(500, 20));
        let lane = world.site("limiter.example", Peer::Limiter(5));
        for _ in 0..5_000 {
            world.accept(&lane, Class::Normal, 1, true);
        }
        // The peer bears five connections of 55 ms each: 90 a second.
        world.run(after(75));
        assert!(world.delivered.len() > 4_000, "seed {seed}: {} in 75 s", world.delivered.len());
        let refused = world.started.len() - world.delivered.len();
        let share = refused * 100 / world.started.len();
        assert!(share < 20, "seed {seed}: {share} percent refused");
        world.run(after(8 * 3_600));
        assert_eq!(world.delivered.len(), 5_000, "seed {seed}");
    }
}
