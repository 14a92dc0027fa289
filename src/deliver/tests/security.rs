//! TLS policies and the smarthost's login.

use super::*;
use crate::{
    config::{HostPort, Mode},
    secret::Secret,
};

const STARTTLS: &str = "250-peer\n250-PIPELINING\n250 STARTTLS";

#[test]
fn tls_is_used_where_it_is_offered_and_said_in_the_log() {
    let (config, _) = certificate("whoever.test");
    let world = World::new(|c| c.delivery.tls = TlsPolicy::Opportunistic);
    let peer = world.domain("x.test", 1);
    peer.offer(STARTTLS).tls(config, false);
    let body = "x".repeat(100_000) + "\r\n.\r\n";
    for _ in 0..2 {
        let outcome = world.deliver(job(&["u@x.test"], body.as_bytes()));
        check(&outcome, &[("delivered", "250")], SiteFeedback::Healthy);
        let tls = &outcome.results[0].detail.tls;
        assert!(tls.starts_with("TLSv1.3 TLS13_") && tls.ends_with(" unverified"), "{tls}");
    }
    assert_eq!(peer.connections(), 1);
    assert!(peer.contents().iter().all(|c| c == body.as_bytes()));
    // Without STARTTLS the mail goes out in clear.
    let plain = world.domain("y.test", 2);
    let outcome = world.send(&["u@y.test"]);
    check(&outcome, &[("delivered", "250")], SiteFeedback::Healthy);
    assert_eq!((outcome.results[0].detail.tls.as_str(), plain.connections()), ("", 1));
    let m = &world.metrics;
    assert_eq!((m.delivered_tls.get(), m.delivered_verified.get(), m.clear_after_tls.get()), (2, 0, 0));
}

#[test]
fn a_broken_handshake_falls_back_in_clear_within_the_same_try_and_is_remembered() {
    for acts in [[Act::BreakTls], [Act::Close]] {
        let world = World::new(|c| c.delivery.tls = TlsPolicy::Opportunistic);
        let peer = world.domain("x.test", 1);
        peer.offer(STARTTLS).at("STARTTLS", &acts);
        check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
        assert_eq!(peer.connections(), 2);
        world.deliverer.shared().pool.take_all();
        check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
        assert_eq!(peer.connections(), 3);
        assert_eq!(peer.heard().iter().filter(|c| *c == "STARTTLS").count(), 1);
        assert_eq!((world.metrics.clear_after_tls.get(), world.metrics.delivered_tls.get()), (2, 0));
    }
}

#[test]
fn a_refused_starttls_is_no_trouble_for_the_opportunistic() {
    let world = World::new(|c| c.delivery.tls = TlsPolicy::Opportunistic);
    let peer = world.domain("x.test", 1);
    peer.offer(STARTTLS).at("STARTTLS", &[Act::Say("454 4.7.0 not now")]);
    check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
    assert_eq!(peer.connections(), 1);
}

#[test]
fn required_tls_never_goes_out_in_clear() {
    for (acts, want) in [
        (None, "4.7.4 TLS is required"),
        (Some(Act::Say("454 4.7.0 not now")), "454 4.7.0 not now"),
        (Some(Act::BreakTls), "4.7.5 TLS with mx.x.test"),
    ] {
        for policy in [TlsPolicy::Require, TlsPolicy::Verify] {
            let world = World::new(|c| c.delivery.tls = policy);
            let peer = world.domain("x.test", 1);
            if let Some(act) = &acts {
                peer.offer(STARTTLS).at("STARTTLS", std::slice::from_ref(act));
            }
            check(&world.send(&["u@x.test"]), &[("site", want)], SiteFeedback::Trouble);
            assert!(!peer.heard().iter().any(|c| c.starts_with("MAIL")));
            assert_eq!(world.metrics.tls_refused.get(), 1);
        }
    }
}

#[test]
fn a_verified_host_needs_a_certificate_of_its_name_and_a_trusted_root() {
    let (good, trust) = certificate("mx.x.test");
    let (bad_name, trust_bad_name) = certificate("other.test");
    let (stranger, _) = certificate("mx.x.test");
    for (config, trust, policy, want) in [
        (good.clone(), trust.clone(), TlsPolicy::Verify, ("delivered", "250")),
        (bad_name, trust_bad_name, TlsPolicy::Verify, ("site", "4.7.5 TLS with mx.x.test")),
        (stranger.clone(), trust.clone(), TlsPolicy::Verify, ("site", "4.7.5 TLS with mx.x.test")),
        (stranger, trust, TlsPolicy::Require, ("delivered", "250")),
    ] {
        let world = World::with(TestBodies(Vec::new(), None), trust, |c| c.delivery.tls = policy);
        let peer = world.domain("x.test", 1);
        peer.offer(STARTTLS).tls(config, false);
        let outcome = world.send(&["u@x.test"]);
        let feedback = if want.0 == "delivered" { SiteFeedback::Healthy } else { SiteFeedback::Trouble };
        check(&outcome, &[want], feedback);
        if want.0 == "delivered" {
            let word = if policy == TlsPolicy::Verify { " verified" } else { " unverified" };
            assert!(outcome.results[0].detail.tls.ends_with(word));
        }
    }
}

fn smarthost(port: u16, tls: TlsPolicy, password: &str) -> impl FnOnce(&mut Config) {
    let password = Secret::new(password.to_owned());
    move |c: &mut Config| {
        c.delivery.mode = Mode::Smarthost;
        c.delivery.smarthost = Some(HostPort { host: "smart.test".into(), port });
        c.delivery.smarthost_tls = tls;
        c.delivery.smarthost_user = "u".into();
        c.delivery.smarthost_password = Some(password);
    }
}

#[test]
fn the_smarthost_hears_the_login_and_a_wrong_password_defers() {
    let (config, trust) = certificate("smart.test");
    let port = free_port();
    let world = World::with(TestBodies(Vec::new(), None), trust, smarthost(port, TlsPolicy::Verify, "p"));
    world.dns.set("smart.test", Says::Address(vec![ip(1)]));
    let peer = Peer::start(SocketAddr::new(ip(1), port));
    peer.offer(STARTTLS).at("EHLO tls", &[Act::Say("250-peer\n250-PIPELINING\n250 AUTH PLAIN")]).tls(config, false);
    check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
    assert!(peer.heard().contains(&"AUTH PLAIN AHUAcA==".to_owned()));
    world.deliverer.shared().pool.take_all();
    peer.at("AUTH", &[Act::Say("535 5.7.8 wrong")]);
    let outcome = world.send(&["u@x.test"]);
    check(&outcome, &[("site", "535 5.7.8 wrong")], SiteFeedback::Trouble);
    assert_eq!(outcome.results[0].detail.phase, Some(Phase::Auth));
}

#[test]
fn on_loopback_the_login_may_go_in_clear() {
    let port = free_port();
    let world = World::new(smarthost(port, TlsPolicy::None, "p"));
    world.dns.set("smart.test", Says::Address(vec![ip(1)]));
    let peer = Peer::start(SocketAddr::new(ip(1), port));
    peer.offer("250-peer\n250 AUTH LOGIN");
    peer.at("AUTH", &[Act::Say("334 VXNlcm5hbWU6")]);
    peer.at("DQ==", &[Act::Say("334 UGFzc3dvcmQ6")]).at("CA==", &[Act::Say("235 ok")]);
    check(&world.send(&["u@x.test"]), &[("delivered", "250")], SiteFeedback::Healthy);
}
