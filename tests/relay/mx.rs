//! Delivery by MX records: which hosts are tried, in which order, and what the DNS can say (RFC 5321 §5.1, RFC 7505).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::support::{Act, Config, Dns, Relay, Sink, Step, place, sink::Options};

const PORT: u16 = 2525;

fn sink_at(address: Ipv4Addr) -> Sink {
    Options::default().at(SocketAddr::from((address, PORT))).start()
}

fn v4(sink: &Sink) -> Ipv4Addr {
    match sink.ip() {
        IpAddr::V4(a) => a,
        IpAddr::V6(a) => panic!("sinks are at 127.0.0.0/8, not {a}"),
    }
}

#[test]
fn each_kind_of_domain_ends_as_its_records_say() {
    let first = sink_at(place::address());
    let second = sink_at(place::address());
    let dead = place::address();
    let dns = Dns::start()
        .mx("plain.test", 10, "mx.plain.test")
        .a("mx.plain.test", v4(&first))
        .mx("two.test", 20, "b.two.test")
        .mx("two.test", 10, "a.two.test")
        .a("a.two.test", v4(&first))
        .a("b.two.test", v4(&second))
        .mx("dead.test", 10, "a.dead.test")
        .mx("dead.test", 20, "b.dead.test")
        .a("a.dead.test", dead)
        .a("b.dead.test", v4(&second))
        .mx("lost.test", 10, "nowhere.lost.test")
        .mx("lost.test", 20, "b.dead.test")
        .a("implicit.test", v4(&first))
        .cname("alias.test", "plain.test")
        .mx("tcp.test", 10, "mx.plain.test")
        .over_tcp("tcp.test")
        .null_mx("null.test")
        .empty("empty.test")
        .mx("own.test", 10, "relay.test")
        .failing("sick.test");
    let relay = Relay::start(Config::internet(dns.address(), PORT));

    let delivered = ["plain.test", "two.test", "dead.test", "lost.test", "implicit.test", "alias.test", "tcp.test"];
    // Domain, and what the log's reply must name.
    let failing = [("null.test", "5.1.10"), ("unknown.test", "5.1.2"), ("empty.test", "5.1.2"), ("own.test", "5.4.6")];
    for domain in delivered.iter().copied().chain(failing.map(|(d, _)| d)).chain(["sick.test"]) {
        relay.submit("", &[&format!("user@{domain}")], domain);
    }
    for domain in delivered {
        relay.wait_event("succeeded", &format!("user@{domain}"));
    }
    for (domain, code) in failing {
        let failed = relay.wait_event("failed", &format!("user@{domain}"));
        assert!(failed.reply().contains(code), "{domain}: {failed:?}");
        assert_eq!(failed.phase(), "route", "{failed:?}");
    }
    for (domain, sink) in [("two.test", &first), ("dead.test", &second), ("lost.test", &second)] {
        let address = format!("user@{domain}");
        assert_eq!(sink.received().iter().filter(|m| m.recipients.contains(&address)).count(), 1, "{domain}");
    }
    let sick = relay.wait_event("deferred", "user@sick.test");
    assert_eq!(sick.phase(), "route", "{sick:?}");
    let done = relay.wait_event("succeeded", "user@dead.test");
    assert!(done.text("host").contains("b.dead.test"), "{done:?}");
}

#[test]
fn a_domain_whose_dns_heals_gets_its_mail() {
    let sink = sink_at(place::address());
    let dns = Dns::start().mx("sick.test", 10, "mx.sick.test").a("mx.sick.test", v4(&sink)).failing("sick.test");
    let relay = Relay::start(Config::internet(dns.address(), PORT));
    relay.submit("", &["user@sick.test"], "sick");
    relay.wait_event("deferred", "user@sick.test");
    dns.heal("sick.test");
    relay.wait_event("succeeded", "user@sick.test");
}

#[test]
fn the_next_host_is_asked_when_one_is_busy_but_not_when_one_refuses() {
    let busy = Options::default()
        .at(SocketAddr::from((place::address(), PORT)))
        .script(|m| match m.step {
            Step::Greeting => Act::reply("421 4.3.2 Busy"),
            _ => Act::Normal,
        })
        .start();
    let strict = Options::default()
        .at(SocketAddr::from((place::address(), PORT)))
        .script(|m| match m.step {
            Step::Rcpt => Act::reply("550 5.1.1 No such user"),
            _ => Act::Normal,
        })
        .start();
    let willing = sink_at(place::address());
    let dns = Dns::start()
        .mx("busy.test", 10, "a.busy.test")
        .mx("busy.test", 20, "b.busy.test")
        .a("a.busy.test", v4(&busy))
        .a("b.busy.test", v4(&willing))
        .mx("strict.test", 10, "a.strict.test")
        .mx("strict.test", 20, "b.strict.test")
        .a("a.strict.test", v4(&strict))
        .a("b.strict.test", v4(&willing));
    let relay = Relay::start(Config::internet(dns.address(), PORT));
    relay.submit("", &["user@busy.test"], "busy");
    relay.submit("", &["user@strict.test"], "strict");
    relay.wait_event("succeeded", "user@busy.test");
    relay.wait_event("failed", "user@strict.test");
    assert_eq!(willing.taken(), 1);
}

#[test]
fn private_hosts_are_refused_where_the_operator_did_not_allow_them() {
    let sink = sink_at(place::address());
    let dns = Dns::start().mx("inside.test", 10, "mx.inside.test").a("mx.inside.test", v4(&sink));
    let relay = Relay::start(Config::internet(dns.address(), PORT).set("delivery.block_private_destinations", "true"));
    relay.submit("", &["user@inside.test"], "inside");
    relay.submit("", &[&format!("user@[{}]", sink.ip())], "literal");
    relay.wait_event("failed", "user@inside.test");
    relay.wait_event("failed", &format!("user@[{}]", sink.ip()));
    assert_eq!(sink.sessions(), 0, "nothing inside was touched");
}
