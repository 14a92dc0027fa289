//! By which local address mail leaves, under which name, and how new addresses are warmed up.

use super::*;
use crate::{config::Source, ids::UserKey};

/// Day 100 since 1970, at noon.
fn noon() -> Clock {
    Clock::manual(Timestamp::from_millis(100 * 86_400_000 + 43_200_000))
}

fn source(n: u8) -> Source {
    Source { address: ip(n), ..Source::default() }
}

fn warming(n: u8) -> Source {
    Source { warm_up_from: Some(100), ..source(n) }
}

fn sender(outcome: &Outcome) -> Option<IpAddr> {
    outcome.results[0].detail.sender_ip
}

#[test]
fn a_job_leaves_by_its_path_under_the_name_of_its_address() {
    let world = World::new(|c| {
        let named = Source { hostname: "out6.test".into(), weight: 30, ..source(6) };
        c.delivery.sources = vec![source(5), named];
    });
    let peer = world.domain("x.test", 1);
    let located = world.locate("x.test");
    let offered: Vec<_> = located.paths.iter().map(|offer| (offer.path, offer.weight)).collect();
    assert_eq!(offered, [(by(5), 100), (by(6), 30)]);
    for n in [5, 6, 5, 6] {
        let outcome = world.send_by(by(n), &["u@x.test"]);
        check(&outcome, &[("delivered", "250")], SiteFeedback::Healthy);
        assert_eq!(sender(&outcome), Some(ip(n)));
    }
    let hellos: Vec<String> = peer.heard().into_iter().filter(|c| c.starts_with("EHLO")).collect();
    assert_eq!(hellos, ["EHLO us.test", "EHLO out6.test"], "each address has a connection of its own, and keeps it");
}

#[test]
fn a_path_of_an_earlier_configuration_gives_way_to_a_current_one() {
    let world = World::new(|c| {
        let users = vec!["app".to_owned()];
        c.delivery.sources = vec![Source { users, ..source(7) }, source(5)];
    });
    let _peer = world.domain("x.test", 1);
    for (user, want) in [("", 5), ("app", 7)] {
        for path in [Path::default(), by(99)] {
            let mut job = job(&["u@x.test"], b"Subject: x\r\n\r\n");
            job.path = path;
            Arc::get_mut(&mut job.loaded).expect("ours").message.user = user.into();
            let outcome = world.deliver(job);
            check(&outcome, &[("delivered", "250")], SiteFeedback::Healthy);
            assert_eq!(sender(&outcome), Some(ip(want)), "{user} {path:?}");
        }
    }
    let offers = world.locate("x.test").paths;
    assert_eq!((offers[0].users.as_slice(), offers[1].users.len()), (&[UserKey::of("app")][..], 0));
}

#[test]
fn an_address_that_the_machine_lacks_is_avoided_and_named_when_it_is_the_only_one() {
    let strange = IpAddr::from([192, 0, 2, 1]);
    let strangers = Path { v4: Some(strange), v6: None };
    let world = World::new(|c| c.delivery.source_addresses = vec![strange, ip(5)]);
    let _peer = world.domain("x.test", 1);
    let located = world.locate("x.test");
    assert_eq!(located.paths.iter().map(|offer| offer.path).collect::<Vec<_>>(), [by(5)]);
    assert!(located.valid_for <= Duration::from_secs(60), "it is looked for again soon");
    let words =
        format!("4.3.5 connect to mx.x.test[127.0.0.1]:{}: this machine does not have the source address", world.port);
    check(&world.send_by(strangers, &["u@x.test"]), &[("site", &words)], SiteFeedback::Unknown);
    let alone = World::new(|c| c.delivery.source_addresses = vec![strange]);
    let _peer = alone.domain("x.test", 2);
    assert_eq!(alone.locate("x.test").paths[0].path, strangers);
}

#[test]
fn a_new_address_takes_no_more_than_its_day_allows_and_the_warm_one_takes_the_rest() {
    let (clock, shelf) = (noon(), Arc::default());
    let change = |c: &mut Config| {
        c.delivery.sources = vec![warming(6), source(5)];
        c.delivery.warm_up.schedule = vec![3, 10];
    };
    let world = World::noting(clock.clone(), &shelf, change);
    let peer = world.domain("x.test", 1);
    let cap = |world: &World| world.locate("x.test").paths.iter().find(|o| o.path == by(6)).and_then(|o| o.cap);
    assert_eq!(cap(&world), Some(3));
    assert_eq!(world.locate("x.test").valid_for, Duration::from_secs(60));
    let two = ["a@x.test", "b@x.test"];
    assert_eq!(sender(&world.send_by(by(6), &two)), Some(ip(6)));
    assert_eq!(cap(&world), Some(1));
    assert_eq!(sender(&world.send_by(by(6), &two)), Some(ip(5)), "two would be one too many");
    assert_eq!(sender(&world.send_by(by(6), &["c@x.test"])), Some(ip(6)));
    assert_eq!(cap(&world), Some(0));
    let shown = world.deliverer.warm_ups();
    assert_eq!((shown.len(), shown[0].sent, shown[0].cap, shown[0].day), (1, 3, 3, 1));
    assert_eq!((shown[0].source, shown[0].provider.as_str()), (ip(6), "x.test"));
    // A restart remembers; the next day allows more.
    smol::block_on(world.deliverer.flush());
    drop((world, peer));
    let world = World::noting(clock.clone(), &shelf, change);
    let _peer = world.domain("x.test", 1);
    assert_eq!(cap(&world), Some(0));
    clock.advance(Duration::from_secs(86_400));
    assert_eq!(cap(&world), Some(10));
    clock.advance(Duration::from_secs(86_400));
    assert_eq!(cap(&world), None, "it is warm");
    assert_eq!(world.deliverer.warm_ups(), []);
}

#[test]
fn what_did_not_go_is_not_counted() {
    let world = World::noting(noon(), &Arc::default(), |c| {
        c.delivery.sources = vec![warming(6), source(5)];
        c.delivery.warm_up.schedule = vec![3];
    });
    let peer = world.domain("x.test", 1);
    peer.at("greeting", &[Act::SayAndClose("421 4.3.2 not now")]);
    check(&world.send_by(by(6), &["a@x.test"]), &[("site", "421 4.3.2 not now")], SiteFeedback::Trouble);
    assert_eq!(world.deliverer.warm_ups()[0].sent, 0);
}

#[test]
fn the_only_usable_address_is_not_held_back_unless_the_operator_says_so() {
    for alone in [false, true] {
        let world = World::noting(noon(), &Arc::default(), |c| {
            c.delivery.sources = vec![warming(6)];
            c.delivery.warm_up.schedule = vec![1];
            c.delivery.warm_up.alone = alone;
        });
        let peer = world.domain("x.test", 1);
        assert_eq!(world.locate("x.test").paths[0].cap, alone.then_some(1));
        check(&world.send_by(by(6), &["a@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
        let second = world.send_by(by(6), &["a@x.test"]);
        if alone {
            check(&second, &[("site", "4.3.5 what may go to x.test today")], SiteFeedback::Unknown);
            assert_eq!(second.results[0].detail.phase, Some(Phase::Queue));
        } else {
            check(&second, &[("delivered", "250")], SiteFeedback::Healthy);
        }
        assert_eq!(peer.contents().len(), if alone { 1 } else { 2 });
        assert_eq!(world.deliverer.warm_ups()[0].sent, if alone { 1 } else { 2 });
    }
}

#[test]
fn with_ipv6_addresses_alone_the_system_chooses_for_ipv4_hosts() {
    let v6: IpAddr = "::1".parse().expect("an address");
    let Ok(free) = TcpListener::bind((v6, 0)) else { return };
    drop(free);
    let world = World::new(|c| {
        c.delivery.sources = vec![Source { address: v6, ..Source::default() }];
        c.delivery.ipv6 = crate::config::Ipv6::On;
    });
    let path = Path { v4: None, v6: Some(v6) };
    let _four = world.domain("four.test", 1);
    assert_eq!(world.locate("four.test").paths[0].path, path);
    assert_eq!(sender(&world.send_by(path, &["u@four.test"])), Some(ip(1)));
    // A host with both is tried by IPv6 first, and by IPv4 where that fails.
    world.dns.set("both.test", Says::Mx(vec![(10, "both.test")])).set("both.test", Says::Address(vec![v6, ip(1)]));
    assert_eq!(sender(&world.send_by(path, &["u@both.test"])), Some(ip(1)));
    let six = Peer::start(SocketAddr::new(v6, world.port));
    world.deliverer.shared().pool.take_all();
    world.deliverer.shared().memory.remember_alive(six.address);
    assert_eq!(sender(&world.send_by(path, &["u@both.test"])), Some(v6));
}
