//! Connections that serve several messages.

use super::*;

#[test]
fn the_next_message_uses_the_same_connection() {
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    for _ in 0..3 {
        check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
    }
    assert_eq!((peer.connections(), peer.contents().len()), (1, 3));
    assert_eq!(world.metrics.connections.get(), 1);
    assert!(!peer.heard().contains(&"RSET".to_owned()), "straight to the next MAIL");
}

#[test]
fn another_domain_on_the_same_host_shares_the_connection() {
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    world.dns.set("y.test", Says::Mx(vec![(10, "mx.x.test")]));
    check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
    check(&world.send(&["u@y.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
    assert_eq!(peer.connections(), 1);
}

#[test]
fn a_connection_that_died_while_idle_costs_no_try() {
    for act in [Act::Close, Act::SayAndClose("421 4.4.2 idle for too long")] {
        for command in ["MAIL", "RCPT", "DATA"] {
            let world = World::new(|_| {});
            let peer = world.domain("x.test", 1);
            check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
            let well = if command == "DATA" { Act::Say("354 go") } else { Act::Say("250 ok") };
            peer.at(command, &[act.clone(), well]);
            check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
            assert_eq!((peer.connections(), peer.contents().len()), (2, 2), "{command}");
        }
    }
    // After the final dot the same death is a possible duplicate, on a reused connection too.
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
    peer.at(".", &[Act::Close]);
    let outcome = world.send(&["u@x.test"]);
    check(&outcome, &[("deferred", "4.4.2 no answer")], SiteFeedback::Trouble);
    assert!(outcome.results[0].detail.possible_duplicate);
    assert_eq!(peer.connections(), 1);
}

#[test]
fn after_so_many_messages_a_connection_says_goodbye() {
    let world = World::new(|c| c.delivery.messages_per_connection = 2);
    let peer = world.domain("x.test", 1);
    for _ in 0..4 {
        check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
    }
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(peer.connections(), 2);
    assert_eq!(peer.heard().iter().filter(|c| *c == "QUIT").count(), 2);
    assert_eq!(world.metrics.connections.get(), 0);
}

#[test]
fn an_idle_connection_is_closed_after_five_seconds() {
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
    assert_eq!(world.deliverer.shared().pool.idle_count(), 1);
    for _ in 0..80 {
        std::thread::sleep(Duration::from_millis(100));
        if peer.heard().last().is_some_and(|c| c == "QUIT") {
            assert_eq!(world.deliverer.shared().pool.idle_count(), 0);
            return;
        }
    }
    panic!("the connection is still idle");
}

#[test]
fn idle_connections_give_way_when_all_places_are_taken() {
    let world = World::new(|c| c.delivery.connections_total = 2);
    let peers: Vec<Peer> = (1..6).map(|n| world.domain(&format!("d{n}.test"), n)).collect();
    for n in 1..6 {
        check(&world.send(&[&format!("u@d{n}.test")]), &[("delivered", "250")], SiteFeedback::Healthy);
        assert!(world.metrics.connections.get() <= 3, "two, and one that says goodbye");
    }
    assert!(peers.iter().all(|p| p.connections() == 1));
}

#[test]
fn a_reload_drops_idle_connections_and_the_new_settings_apply() {
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
    let mut config = Config::default();
    config.server.hostname = "us.test".into();
    config.delivery.block_private_destinations = true;
    world.deliverer.reconfigure(&config);
    check(&world.send(&["u@x.test"]), &[("failed", "5.4.4")], SiteFeedback::Unknown);
    assert_eq!(peer.connections(), 1);
}

#[test]
fn many_at_once_share_few_connections_and_all_arrive() {
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    smol::block_on(async {
        for _ in 0..5 {
            let round: Vec<_> = (0..20)
                .map(|_| {
                    let deliverer = world.deliverer.clone();
                    smol::spawn(async move { deliverer.deliver(job(&["u@x.test"], b"x: y\r\n\r\n")).await })
                })
                .collect();
            for task in round {
                check(&task.await, &[("delivered", "250")], SiteFeedback::Healthy);
            }
        }
    });
    assert_eq!(peer.contents().len(), 100);
    assert!(peer.connections() <= 20, "{}", peer.connections());
}

#[test]
fn a_connection_older_than_five_minutes_takes_no_further_message() {
    let clock = Clock::manual(Timestamp::from_millis(86_400_000));
    let world = World::noting(clock.clone(), &Arc::default(), |_| {});
    let peer = world.domain("x.test", 1);
    // Never idle for five seconds.
    for _ in 0..75 {
        check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
        clock.advance(Duration::from_secs(4));
    }
    assert_eq!(peer.connections(), 1);
    check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
    assert_eq!(peer.connections(), 2);
}

#[test]
fn a_peer_that_takes_few_messages_a_connection_gets_no_more() {
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    peer.offer("250-peer\n250 LIMITS MAILMAX=2");
    for _ in 0..4 {
        check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
    }
    assert_eq!((peer.connections(), peer.contents().len()), (2, 4));
}
