//! Which hosts are tried, in which order, and what happens when there are none.

use super::*;

#[test]
fn a_mail_reaches_the_mx_and_the_log_says_everything() {
    let world = World::new(|_| {});
    let peer = world.domain("x.test", 1);
    let outcome = world.send(&["u@x.test"]);
    check(&outcome, &[("delivered", "250 2.0.0 kept")], SiteFeedback::Healthy);
    let detail = &outcome.results[0].detail;
    assert_eq!((&*detail.destination, &*detail.host), ("x.test", "mx.x.test"));
    assert_eq!(detail.address, Some(peer.address));
    assert_eq!(detail.sender_ip, Some(ip(1)));
    assert_eq!((detail.phase, detail.error, detail.tls.as_str()), (Some(Phase::Content), None, ""));
    assert_eq!(peer.contents(), [b"Subject: x\r\n\r\nhello\r\n"]);
    assert_eq!(peer.heard(), ["EHLO us.test", "MAIL FROM:<a@us.test>", "RCPT TO:<u@x.test>", "DATA"]);
}

#[test]
fn a_dead_first_mx_gives_way_to_the_second_and_is_tried_last_for_a_while() {
    let world = World::new(|_| {});
    world.dns.set("x.test", Says::Mx(vec![(10, "dead.x.test"), (20, "mx2.x.test")]));
    world.dns.set("dead.x.test", Says::Address(vec![ip(1)]));
    let second = world.peer(2, "mx2.x.test");
    check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
    // With both dead, both are tried, and the last word is about one of them.
    drop(second);
    world.deliverer.shared().pool.take_all();
    std::thread::sleep(Duration::from_millis(100));
    let outcome = world.send(&["u@x.test"]);
    assert_eq!(outcome.results[0].verdict, Verdict::Deferred { site: true, damaged: false });
}

#[test]
fn connections_refused_or_silent_defer_and_blame_the_site() {
    let world = World::impatient();
    world.dns.set("x.test", Says::Mx(vec![(10, "dead.x.test")]));
    world.dns.set("dead.x.test", Says::Address(vec![ip(1)]));
    let place = format!("dead.x.test[127.0.0.1]:{}", world.port);
    let want = format!("4.4.1 connect to {place}: Connection refused");
    check(&world.send(&["u@x.test"]), &[("site", &want)], SiteFeedback::Trouble);
    let peer = Peer::start(SocketAddr::new(ip(1), world.port));
    peer.at("greeting", &[Act::Silence]);
    let want = format!("4.4.2 {place} was silent for 300ms before its greeting");
    check(&world.send(&["u@x.test"]), &[("site", &want)], SiteFeedback::Trouble);
}

#[test]
fn domains_that_take_no_mail_fail_and_dns_trouble_defers() {
    let world = World::new(|_| {});
    world.dns.set("null.test", Says::Mx(vec![(0, ".")]));
    world.dns.set("empty.test", Says::Nothing(60));
    world.dns.set("broken.test", Says::Servfail);
    world.dns.set("us.example", Says::Mx(vec![(10, "us.test")]));
    world.dns.set("hostless.test", Says::Mx(vec![(10, "none.test")]));
    for (to, verdict, reply, class) in [
        ("u@null.test", "failed", "5.1.10 the domain null.test takes no mail (null MX)", ErrorClass::UnknownHost),
        ("u@gone.test", "failed", "5.1.2 the domain gone.test does not exist", ErrorClass::UnknownHost),
        ("u@empty.test", "failed", "5.1.2 the domain empty.test has neither MX nor address", ErrorClass::UnknownHost),
        ("u@broken.test", "site", "4.4.3 looking up the MX of broken.test: SERVFAIL", ErrorClass::ResendTimeout),
        ("u@us.example", "failed", "5.4.6 mail for us.example loops back", ErrorClass::ReceivingServerError),
        ("u@hostless.test", "site", "4.4.4 the mail host none.test has no address", ErrorClass::ResendTimeout),
    ] {
        let outcome = world.send(&[to]);
        check(&outcome, &[(verdict, reply)], SiteFeedback::Unknown);
        assert_eq!(outcome.results[0].detail.error, Some(class), "{to}");
        assert_eq!(outcome.results[0].detail.phase, Some(Phase::Route));
    }
}

#[test]
fn without_mx_the_domains_own_address_is_used_and_literals_need_no_dns() {
    let world = World::new(|_| {});
    let peer = world.peer(3, "implicit.test");
    check(&world.send(&["u@implicit.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
    check(&world.send(&["u@[127.0.0.3]"]), &[("delivered", "250")], SiteFeedback::Healthy);
    assert_eq!(peer.contents().len(), 2);
}

#[test]
fn private_addresses_are_refused_when_the_guard_is_on() {
    let world = World::new(|c| c.delivery.block_private_destinations = true);
    let peer = world.domain("x.test", 1);
    let want = "5.4.4 the mail host mx.x.test has only private or reserved addresses";
    check(&world.send(&["u@x.test"]), &[("failed", want)], SiteFeedback::Unknown);
    check(&world.send(&["u@[127.0.0.1]"]), &[("failed", "5.4.4 [127.0.0.1] is a private")], SiteFeedback::Unknown);
    assert_eq!(peer.connections(), 0);
}

#[test]
fn a_smarthost_takes_everything_and_every_address_of_it_is_tried() {
    let port = free_port();
    let world = World::new(|c| {
        c.delivery.block_private_destinations = true;
        c.delivery.mode = crate::config::Mode::Smarthost;
        c.delivery.smarthost = Some(crate::config::HostPort { host: "smart.test".into(), port });
        c.delivery.smarthost_tls = TlsPolicy::None;
    });
    world.dns.set("smart.test", Says::Address(vec![ip(1), ip(2), ip(3)]));
    let peer = Peer::start(SocketAddr::new(ip(3), port));
    let outcome = world.send(&["u@x.test", "v@y.test"]);
    check(&outcome, &[("delivered", "250"), ("delivered", "250")], SiteFeedback::Healthy);
    assert_eq!(outcome.results[0].detail.destination, format!("smart.test:{port}"));
    assert_eq!(peer.contents().len(), 1, "both in one transaction");
}

#[test]
fn recipients_that_go_different_ways_each_go_theirs() {
    let world = World::new(|_| {});
    let (x, y) = (world.domain("x.test", 1), world.domain("y.test", 2));
    let outcome = world.send(&["a@x.test", "b@y.test", "c@x.test"]);
    check(&outcome, &[("delivered", "250"); 3], SiteFeedback::Healthy);
    assert_eq!((x.contents().len(), y.contents().len()), (1, 1));
}

#[test]
fn a_chosen_source_address_is_used() {
    let world = World::new(|c| c.delivery.source_addresses = vec![ip(5)]);
    let _peer = world.domain("x.test", 1);
    let outcome = world.send(&["u@x.test"]);
    check(&outcome, &[("delivered", "250")], SiteFeedback::Healthy);
    assert_eq!(outcome.results[0].detail.sender_ip, Some(ip(5)));
    // One that this machine does not have is our own trouble: deferred, and the site is not blamed.
    let world = World::new(|c| c.delivery.source_addresses = vec![IpAddr::from([192, 0, 2, 1])]);
    let _peer = world.domain("x.test", 1);
    check(&world.send(&["u@x.test"]), &[("site", "4.3.5 connect to mx.x.test")], SiteFeedback::Unknown);
}

#[test]
fn ipv6_is_used_as_configured() {
    for (ipv6, verdict) in [
        (crate::config::Ipv6::On, "delivered"),
        (crate::config::Ipv6::Off, "site"),
        (crate::config::Ipv6::Auto, "site"),
    ] {
        let world = World::new(|c| c.delivery.ipv6 = ipv6);
        let v6: IpAddr = "::1".parse().expect("an address");
        world.dns.set("x.test", Says::Mx(vec![(10, "six.test")])).set("six.test", Says::Address(vec![v6]));
        let Ok(free) = TcpListener::bind((v6, world.port)) else { return };
        drop(free);
        let _peer = Peer::start(SocketAddr::new(v6, world.port));
        assert_eq!(short(&world.send(&["u@x.test"]))[0].0, verdict, "{ipv6:?}");
    }
    // auto, and the source has forward-confirmed reverse DNS.
    let v6: IpAddr = "::1".parse().expect("an address");
    let world = World::new(|c| c.delivery.source_addresses = vec![v6]);
    world.dns.set("x.test", Says::Mx(vec![(10, "six.test")])).set("six.test", Says::Address(vec![v6]));
    world.dns.set(&("1.".to_owned() + &"0.".repeat(31) + "ip6.arpa"), Says::Ptr("six.test"));
    let _peer = Peer::start(SocketAddr::new(v6, world.port));
    assert_eq!(short(&world.send(&["u@x.test"]))[0].0, "delivered");
}
