//! MTA-STS over Knot, Unbound and a web host: policies that hold, that only look, that are nowhere, and that are over.
//!
//! Sources: RFC 8461; RFC 7672 §1.3.4 (DANE first).

use std::net::{IpAddr, SocketAddr};

use crate::{
    dane::{Wanted, outcome, tlsa_of_key},
    policy_host::PolicyHost,
    signed_dns::{SignedDns, Trust, Zone},
    support::{
        Config, Relay, Sink, place, say,
        sink::{Options, SinkTls},
        tls::Authority,
    },
};

const PORT: u16 = 2525;
const ZONE: &str = "sts.test";

/// How a domain's mail host shows itself.
#[derive(Clone, Copy)]
enum Host {
    /// With a certificate for its name, from an authority that we trust.
    Good,
    /// With one for another name.
    OtherName,
    /// Without TLS.
    Clear,
}

/// What the policy host answers.
enum Answer {
    /// A policy of this mode that names the host, for so many seconds.
    Mode(&'static str, u32),
    /// A policy of this mode that names another host.
    Elsewhere(&'static str),
    /// As it goes out.
    Raw(&'static str),
    /// There is no record.
    NoRecord,
    /// There is a record; the host has no such certificate.
    WrongCertificate,
    /// There is a record; nothing listens.
    Unreachable,
}

/// A domain, and what has to become of its mail.
struct Case {
    name: &'static str,
    host: Host,
    answer: Answer,
    wanted: Wanted,
}

const fn case(name: &'static str, host: Host, answer: Answer, wanted: Wanted) -> Case {
    Case { name, host, answer, wanted }
}

const CASES: &[Case] = &[
    case("enforce", Host::Good, Answer::Mode("enforce", 86_400), Wanted::Sts),
    case("enforce-name", Host::OtherName, Answer::Mode("enforce", 86_400), Wanted::Waits),
    case("enforce-clear", Host::Clear, Answer::Mode("enforce", 86_400), Wanted::Waits),
    case("enforce-unlisted", Host::Good, Answer::Elsewhere("enforce"), Wanted::Waits),
    case("testing", Host::Good, Answer::Mode("testing", 86_400), Wanted::Tls),
    case("testing-name", Host::OtherName, Answer::Mode("testing", 86_400), Wanted::Tls),
    case("testing-clear", Host::Clear, Answer::Mode("testing", 86_400), Wanted::Clear),
    case("testing-unlisted", Host::Good, Answer::Elsewhere("testing"), Wanted::Tls),
    case("none", Host::OtherName, Answer::Mode("none", 86_400), Wanted::Tls),
    case("norecord", Host::OtherName, Answer::NoRecord, Wanted::Tls),
    case("unreachable", Host::OtherName, Answer::Unreachable, Wanted::Tls),
    case("certificate", Host::OtherName, Answer::WrongCertificate, Wanted::Tls),
    case(
        "redirects",
        Host::OtherName,
        Answer::Raw(
            "HTTP/1.1 301 Moved\r\nLocation: https://mta-sts.enforce.sts.test/.well-known/mta-sts.txt\r\nContent-Length: 0\r\n\r\n",
        ),
        Wanted::Tls,
    ),
    case(
        "html",
        Host::OtherName,
        Answer::Raw(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 60\r\n\r\nversion: STSv1\nmode: enforce\nmx: mx.html.sts.test\nmax_age: 9\n",
        ),
        Wanted::Tls,
    ),
    case("nonsense", Host::OtherName, Answer::Raw("nonsense\r\n\r\n"), Wanted::Tls),
    // Its policy is over before its second try.
    case("expires", Host::OtherName, Answer::Mode("enforce", 4), Wanted::Waits),
];

fn policy(mode: &str, mx: &str, seconds: u32) -> String {
    format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: {seconds}\r\n")
}

#[test]
fn policies_are_kept_to_and_their_failure_blocks_nothing() {
    let (authority, web) = (Authority::new(), SocketAddr::from((place::address(), 443)));
    let (mut sinks, mut records, mut web_names) = (Vec::new(), String::new(), Vec::new());
    let mut server = |ip: Option<IpAddr>, tls: SinkTls| {
        let at = ip.unwrap_or_else(|| place::address().into());
        let sink: Sink = Options::default().tls(tls).at(SocketAddr::from((at, PORT))).start();
        let ip = sink.ip();
        sinks.push(sink);
        ip
    };
    for case in CASES {
        let (name, mx) = (case.name, format!("mx.{}.{ZONE}", case.name));
        let tls = |names: &str| SinkTls::Works(authority.certificate(&[names]).server());
        let ip = server(
            None,
            match case.host {
                Host::Good => tls(&mx),
                Host::OtherName => tls("other.test"),
                Host::Clear => SinkTls::None,
            },
        );
        records.push_str(&format!("{name} MX 10 mx.{name}\nmx.{name} A {ip}\n"));
        let policy_ip = if matches!(case.answer, Answer::Unreachable) { place::address().into() } else { web.ip() };
        records.push_str(&format!("mta-sts.{name} A {policy_ip}\n"));
        if !matches!(case.answer, Answer::NoRecord) {
            records.push_str(&format!("_mta-sts.{name} TXT \"v=STSv1; id=1;\"\n"));
        }
        if !matches!(case.answer, Answer::WrongCertificate) {
            web_names.push(format!("mta-sts.{name}.{ZONE}"));
        }
    }
    // A domain with both: its TLSA records are right, its policy names another host.
    let both = authority.certificate(&["other.test"]);
    let ip = server(None, SinkTls::Works(both.server()));
    let signed = format!(
        "@ MX 10 mx\nmx A {ip}\n_{PORT}._tcp.mx TLSA {}\nmta-sts A {}\n_mta-sts TXT \"v=STSv1; id=1;\"\n",
        tlsa_of_key(&both),
        web.ip()
    );
    web_names.push("mta-sts.both.test".to_owned());
    let zones = [
        Zone { name: ZONE, trust: Trust::Unsigned, records },
        Zone { name: "both.test", trust: Trust::Signed, records: signed },
    ];
    let Some(dns) = SignedDns::start(&zones) else { return };
    let web_names: Vec<&str> = web_names.iter().map(String::as_str).collect();
    let host = PolicyHost::start(web, authority.certificate(&web_names).server());
    for case in CASES {
        let (domain, mx) = (format!("{}.{ZONE}", case.name), format!("mx.{}.{ZONE}", case.name));
        match case.answer {
            Answer::Mode(mode, seconds) => host.policy(&domain, &policy(mode, &mx, seconds)),
            Answer::Elsewhere(mode) => host.policy(&domain, &policy(mode, "*.elsewhere.test", 86_400)),
            Answer::Raw(answer) => host.answer(&domain, answer.to_owned()),
            Answer::WrongCertificate => host.policy(&domain, &policy("enforce", &mx, 86_400)),
            Answer::NoRecord | Answer::Unreachable => {}
        }
    }
    host.policy("both.test", &policy("enforce", "*.elsewhere.test", 86_400));

    let roots = dns.files().write("roots.pem", authority.pem()).display().to_string();
    let mut relay = Relay::start(
        Config::internet(dns.resolver(), PORT)
            .set("delivery.tls", "\"opportunistic\"")
            .set("delivery.dane", "true")
            .set("delivery.mta_sts", "true")
            .set("queue.retry_schedule", "[\"1h\"]")
            .variable("SSL_CERT_FILE", &roots),
    );
    let mut all: Vec<(String, Wanted)> = CASES.iter().map(|c| (format!("{}.{ZONE}", c.name), c.wanted)).collect();
    all.push(("both.test".to_owned(), Wanted::Dane));
    for (domain, _) in &all {
        relay.submit("sender@src.test", &[&format!("user@{domain}")], domain);
    }
    let mut wrong = Vec::new();
    for (domain, wanted) in &all {
        let ours = outcome(&relay, domain);
        say(format_args!("{domain}: wanted {wanted:?}, ours {ours:?}"));
        if ours.0 != *wanted {
            wrong.push(format!("{domain}: {wanted:?} wanted, we: {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(host.asked() >= 10, "{} questions", host.asked());

    // The policy host is gone, and so is the process that asked it: what was fetched holds as long as it said.
    drop(host);
    relay.kill();
    std::thread::sleep(std::time::Duration::from_secs(4));
    relay.restart();
    relay.cli(&["queue", "flush", "--all"]).expect_done();
    relay.wait_events("deferred", &format!("user@enforce-name.{ZONE}"), 2);
    relay.wait_event("succeeded", &format!("user@expires.{ZONE}"));
    let kept = relay.deliveries();
    let name = format!("user@enforce-name.{ZONE}");
    assert!(!kept.iter().any(|e| e.recipient() == name && e.is_final()), "a policy on disk is kept to");
}
