//! What the daemon's stop does to attempts.

use super::*;

/// Cuts while the peer is at `command`, and gives the outcome.
fn cut_at(command: &str) -> (Outcome, Duration) {
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    peer.at(command, &[Act::Silence]);
    let clock = Clock::system();
    let start = clock.instant();
    let shutdown = world.shutdown.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        shutdown.drain();
        shutdown.cut();
    });
    (world.send(&["u@x.test"]), clock.instant() - start)
}

#[test]
fn an_attempt_cut_before_the_final_dot_never_happened() {
    for command in ["greeting", "EHLO", "MAIL", "RCPT"] {
        let (outcome, took) = cut_at(command);
        assert!(outcome.interrupted, "{command}: {:?}", short(&outcome));
        assert!(outcome.results.is_empty());
        assert_eq!(outcome.feedback, SiteFeedback::Unknown, "{command}");
        assert!(took < Duration::from_secs(10), "{command} {took:?}");
    }
}

#[test]
fn an_attempt_cut_after_the_final_dot_is_a_possible_duplicate() {
    let (outcome, _) = cut_at(".");
    assert!(!outcome.interrupted);
    assert_eq!(short(&outcome)[0].0, "deferred");
    assert!(outcome.results[0].detail.possible_duplicate);
}

#[test]
fn a_wait_for_dns_or_a_place_ends_at_the_cut() {
    let world = World::new(|_| {});
    world.dns.set("x.test", Says::Silence);
    let shutdown = world.shutdown.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        shutdown.cut();
    });
    assert!(world.send(&["u@x.test"]).interrupted);
}

#[test]
fn a_drain_lets_attempts_finish_and_keeps_no_connection() {
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
    world.shutdown.drain();
    check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
    for _ in 0..30 {
        if world.metrics.connections.get() == 0 && peer.heard().contains(&"QUIT".to_owned()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("connections are still open");
}
