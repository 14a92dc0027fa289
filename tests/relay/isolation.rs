//! P6: one slow destination delays nobody else.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::support::{Act, Client, Config, Dns, Relay, Sink, Step, client::letter, now, place, sink::Options, wait};

const PORT: u16 = 2525;
/// Mails for the slow destinations: far more than they can take while the test lasts.
const SLOW_MAILS: usize = 300;
const FAST_MAILS: usize = 60;
/// From 250 to the fast destination's end of data, on a busy machine.
const FAST_LIMIT: Duration = Duration::from_secs(3);

#[test]
fn slow_and_dead_destinations_delay_nobody_else() {
    let at = || Options::default().at(SocketAddr::from((place::address(), PORT)));
    let slow = at()
        .script(|m| match m.step {
            Step::Content => Act::Delay(Duration::from_secs(3)),
            _ => Act::Normal,
        })
        .start();
    let mute = at()
        .script(|m| match m.step {
            Step::Greeting => Act::Delay(Duration::from_secs(60)),
            _ => Act::Normal,
        })
        .start();
    let fast = at().start();
    let ip = |sink: &Sink| match sink.ip() {
        IpAddr::V4(a) => a,
        IpAddr::V6(a) => panic!("sinks are at 127.0.0.0/8, not {a}"),
    };
    let dns = Dns::start()
        .a("slow.test", ip(&slow))
        .a("mute.test", ip(&mute))
        .a("fast.test", ip(&fast))
        .silent("unanswered.test");
    let relay = Relay::start(Config::internet(dns.address(), PORT));

    let mut client = Client::hello(relay.smtp());
    let mut send = |to: String, subject: String| {
        client.send("", &[&to], letter(&subject, "x\r\n").as_bytes()).expect("250");
        now()
    };
    for n in 0..SLOW_MAILS {
        let domain = ["slow.test", "mute.test", "unanswered.test"][n % 3];
        send(format!("user@{domain}"), format!("slow-{n}"));
    }
    let accepted: Vec<_> = (0..FAST_MAILS).map(|n| send("user@fast.test".into(), format!("fast-{n}"))).collect();
    fast.wait_for(FAST_MAILS);
    assert!(slow.taken() < SLOW_MAILS / 3, "the slow destination was not slow enough for this test");
    let received = fast.received();
    for (n, accepted) in accepted.iter().enumerate() {
        let mail = received.iter().find(|m| m.text().contains(&format!("Subject: fast-{n}\r\n"))).expect("it arrived");
        let late = mail.at.saturating_duration_since(*accepted);
        assert!(late < FAST_LIMIT, "fast mail {n} took {late:?}");
    }
    assert!(slow.sessions_at_once() <= 20, "connections_per_destination holds: {}", slow.sessions_at_once());
    // A page still answers while all of this hangs.
    let page = wait::until("the status", || relay.get("/status.json"));
    assert_eq!(page.status, 200);
}
