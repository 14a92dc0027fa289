//! DANE as we do it and as Postfix's probe does it, name by name, over zones that Knot signs and Unbound validates.
//!
//! Sources: RFC 7672, RFC 7671.

use std::{fmt::Write as _, net::SocketAddr};

use aws_lc_rs::digest;

use crate::{
    signed_dns::{Finger, Fingered, SignedDns, Trust, Zone},
    support::{
        Config, Relay, Sink, place, say,
        sink::{Options, SinkTls},
        tls::{Authority, Certificate},
    },
};

const PORT: u16 = 2525;
const ZONE: &str = "dane.test";

/// What has to become of a mail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// Delivered under TLS that DANE vouches for.
    Dane,
    /// Delivered under TLS whose certificate is the one that an MTA-STS policy asks for.
    Sts,
    /// Delivered under TLS that nobody vouches for.
    Tls,
    /// Delivered in clear.
    Clear,
    /// It waits.
    Waits,
}

/// How a host shows itself.
enum Host {
    /// Its certificate is for its name.
    Named,
    /// … for another name.
    OtherName,
    /// … out of date.
    Expired,
    /// It has no TLS.
    Clear,
}

/// A name below [`ZONE`], its host and its TLSA records.
struct Case {
    name: &'static str,
    host: Host,
    /// Usage, selector, matching type, and of what.
    tlsa: &'static [(u8, u8, u8, Of)],
    wanted: Wanted,
    /// Where the probe and the standard part, and why.
    probe: Option<(Fingered, &'static str)>,
}

/// A domain, what has to become of its mail, and where the probe parts from that.
type Asked = (String, Wanted, Option<(Fingered, &'static str)>);

/// Whose digest a TLSA record holds.
#[derive(Clone, Copy)]
enum Of {
    Host,
    Authority,
    Nobody,
}

const fn case(name: &'static str, host: Host, tlsa: &'static [(u8, u8, u8, Of)], wanted: Wanted) -> Case {
    Case { name, host, tlsa, wanted, probe: None }
}

const CASES: &[Case] = &[
    case("ee-key", Host::Named, &[(3, 1, 1, Of::Host)], Wanted::Dane),
    case("ee-cert", Host::Named, &[(3, 0, 1, Of::Host)], Wanted::Dane),
    case("ee-sha512", Host::Named, &[(3, 1, 2, Of::Host)], Wanted::Dane),
    case("ee-whole", Host::Named, &[(3, 1, 0, Of::Host)], Wanted::Dane),
    // RFC 7672 §3.1.1: names and dates count for nothing.
    case("ee-name", Host::OtherName, &[(3, 1, 1, Of::Host)], Wanted::Dane),
    case("ee-expired", Host::Expired, &[(3, 1, 1, Of::Host)], Wanted::Dane),
    case("ee-rollover", Host::Named, &[(3, 1, 1, Of::Nobody), (3, 1, 1, Of::Host)], Wanted::Dane),
    case("ta-cert", Host::Named, &[(2, 0, 1, Of::Authority)], Wanted::Dane),
    case("ta-name", Host::OtherName, &[(2, 0, 1, Of::Authority)], Wanted::Waits),
    case("ta-expired", Host::Expired, &[(2, 0, 1, Of::Authority)], Wanted::Waits),
    case("bad", Host::Named, &[(3, 1, 1, Of::Nobody)], Wanted::Waits),
    case("ta-bad", Host::Named, &[(2, 0, 1, Of::Nobody)], Wanted::Waits),
    case("bad-or-unusable", Host::Named, &[(3, 1, 1, Of::Nobody), (1, 1, 1, Of::Host)], Wanted::Waits),
    case("unusable", Host::Named, &[(1, 1, 1, Of::Nobody), (3, 9, 1, Of::Nobody)], Wanted::Tls),
    case("no-tls", Host::Clear, &[(3, 1, 1, Of::Nobody)], Wanted::Waits),
    case("unusable-no-tls", Host::Clear, &[(1, 1, 1, Of::Nobody)], Wanted::Waits),
    case("none", Host::Named, &[], Wanted::Tls),
    case("none-expired", Host::Expired, &[], Wanted::Tls),
    // The probe wants TLS in any case; mail goes in clear where nobody asks for more.
    Case {
        name: "none-no-tls",
        host: Host::Clear,
        tlsa: &[],
        wanted: Wanted::Clear,
        probe: Some((Fingered::Refused, "it looks for TLS")),
    },
];

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// One TLSA record's data.
fn tlsa((usage, selector, matching, of): (u8, u8, u8, Of), host: &Certificate, authority: &Authority) -> String {
    let octets = match of {
        Of::Host if selector == 0 => host.der().to_vec(),
        Of::Host => host.public_key().to_vec(),
        Of::Authority => authority.der(),
        Of::Nobody => b"nobody".to_vec(),
    };
    let data = match matching {
        0 => octets,
        1 => digest::digest(&digest::SHA256, &octets).as_ref().to_vec(),
        _ => digest::digest(&digest::SHA512, &octets).as_ref().to_vec(),
    };
    format!("{usage} {selector} {matching} {}", hex(&data))
}

/// The data of a TLSA record that names a certificate's key.
pub fn tlsa_of_key(certificate: &Certificate) -> String {
    let digest = digest::digest(&digest::SHA256, certificate.public_key());
    format!("3 1 1 {}", hex(digest.as_ref()))
}

/// The records of a name with its host at `ip`, TLSA records at our port.
fn records(name: &str, ip: std::net::IpAddr, tlsa: &[String]) -> String {
    let mut out = format!("{name} MX 10 mx.{name}\nmx.{name} A {ip}\n");
    for record in tlsa {
        let _ = writeln!(out, "_{PORT}._tcp.mx.{name} TLSA {record}");
    }
    out
}

/// A server at an address of its own.
fn sink(tls: SinkTls) -> Sink {
    Options::default().tls(tls).at(SocketAddr::from((place::address(), PORT))).start()
}

#[test]
fn dane_decides_as_the_standard_says_and_as_postfix_does() {
    let authority = Authority::new();
    let mut sinks = Vec::new();
    let mut main = String::new();
    for case in CASES {
        let host = format!("mx.{}.{ZONE}", case.name);
        let (names, year) = match case.host {
            Host::Named | Host::Clear => (host.as_str(), 4096),
            Host::OtherName => ("other.test", 4096),
            Host::Expired => (host.as_str(), 2020),
        };
        let certificate = authority.certificate_until(&[names], year).with_authority(&authority);
        let data: Vec<String> = case.tlsa.iter().map(|t| tlsa(*t, &certificate, &authority)).collect();
        let sink = sink(match case.host {
            Host::Clear => SinkTls::None,
            Host::Named | Host::OtherName | Host::Expired => SinkTls::Works(certificate.server()),
        });
        main.push_str(&records(case.name, sink.ip(), &data));
        sinks.push(sink);
    }

    // Names whose DNS is what makes the difference. All of these hosts have the right certificate for their records.
    let good = authority.certificate(&["good.test"]).with_authority(&authority);
    let record = [tlsa((3, 1, 1, Of::Host), &good, &authority)];
    let wrong = [tlsa((3, 1, 1, Of::Nobody), &good, &authority)];
    let server = sink(SinkTls::Works(good.server()));
    let ip = server.ip();
    // Two hosts: the first has a wrong record, the second the right one.
    main.push_str(&format!(
        "two MX 10 mx.first\ntwo MX 20 mx.second\n{}{}",
        records("first", ip, &wrong),
        records("second", ip, &record)
    ));
    // The domain is an alias; the MX host is one, within the signed zone.
    main.push_str("alias CNAME second\n");
    main.push_str("mxalias MX 10 mx.mxalias\nmx.mxalias CNAME mx.second\n");
    // No MX: the domain itself is the host.
    main.push_str(&format!("nomx A {ip}\n_{PORT}._tcp.nomx TLSA {}\n", record[0]));
    // The TLSA records are in zones whose answers are bogus, or never come.
    main.push_str(&format!("bogustlsa MX 10 mx.bogustlsa\nmx.bogustlsa A {ip}\n_tcp.mx.bogustlsa NS ns\n"));
    main.push_str(&format!("_tcp.mx.bogustlsa DS 12345 13 2 {}\n", "0".repeat(64)));
    main.push_str(&format!("darktlsa MX 10 mx.darktlsa\nmx.darktlsa A {ip}\n_tcp.mx.darktlsa NS ns\n"));
    main.push_str(&format!("_tcp.mx.darktlsa DS 12345 13 2 {}\n", "0".repeat(64)));
    // MX hosts in zones of another kind.
    main.push_str("mxunsigned MX 10 mx.plain.test.\nmxbogus MX 10 mx.bogus.test.\n");
    let apex = format!("@ MX 10 mx\nmx A {ip}\n_{PORT}._tcp.mx TLSA {}\n", record[0]);
    let zones = [
        Zone { name: ZONE, trust: Trust::Signed, records: main },
        Zone {
            name: "plain.test",
            trust: Trust::Unsigned,
            records: apex.clone() + "toward MX 10 mx.second.dane.test.\n",
        },
        Zone { name: "bogus.test", trust: Trust::Bogus, records: apex },
        Zone {
            name: "_tcp.mx.bogustlsa.dane.test",
            trust: Trust::BogusBelow,
            records: format!("_{PORT} TLSA {}\n", record[0]),
        },
        Zone { name: "_tcp.mx.darktlsa.dane.test", trust: Trust::Dark, records: String::new() },
    ];
    let Some(dns) = SignedDns::start(&zones) else { return };
    let Some(finger) = Finger::find(&dns) else { return };

    let mut all: Vec<Asked> = CASES.iter().map(|c| (format!("{}.{ZONE}", c.name), c.wanted, c.probe)).collect();
    for (domain, wanted, probe) in [
        ("two.dane.test", Wanted::Dane, Some((Fingered::Refused, "it looks at the first host only"))),
        ("alias.dane.test", Wanted::Dane, None),
        ("mxalias.dane.test", Wanted::Dane, None),
        ("nomx.dane.test", Wanted::Dane, None),
        ("bogustlsa.dane.test", Wanted::Waits, None),
        ("darktlsa.dane.test", Wanted::Waits, None),
        ("mxunsigned.dane.test", Wanted::Tls, None),
        ("mxbogus.dane.test", Wanted::Waits, None),
        ("plain.test", Wanted::Tls, None),
        ("bogus.test", Wanted::Waits, None),
        ("toward.plain.test", Wanted::Tls, None),
    ] {
        all.push((domain.to_owned(), wanted, probe));
    }

    let relay = Relay::start(
        Config::internet(dns.resolver(), PORT)
            .set("delivery.tls", "\"opportunistic\"")
            .set("delivery.dane", "true")
            .set("queue.retry_schedule", "[\"1h\"]"),
    );
    for (domain, ..) in &all {
        relay.submit("sender@src.test", &[&format!("user@{domain}")], domain);
    }
    let probed: Vec<(Fingered, String)> = std::thread::scope(|scope| {
        let (finger, dns) = (&finger, &dns);
        let probes: Vec<_> =
            all.iter().map(|(domain, ..)| scope.spawn(move || finger.probe(dns, domain, PORT))).collect();
        probes.into_iter().map(|probe| probe.join().expect("a probe ends")).collect()
    });
    let mut wrong = Vec::new();
    for ((domain, wanted, parts), (fingered, said)) in all.iter().zip(probed) {
        let ours = outcome(&relay, domain);
        let agrees = match wanted {
            Wanted::Dane => Fingered::Verified,
            Wanted::Tls | Wanted::Sts => Fingered::Unverified,
            Wanted::Clear | Wanted::Waits => Fingered::Refused,
        };
        say(format_args!("{domain}: wanted {wanted:?}, ours {ours:?}, the probe {fingered:?}"));
        if ours.0 != *wanted {
            wrong.push(format!("{domain}: {wanted:?} wanted, we: {ours:?}"));
        }
        match parts {
            Some((expected, why)) if fingered != *expected => {
                wrong.push(format!(
                    "{domain}: the probe was expected to say {expected:?} ({why}): {fingered:?}\n{said}"
                ));
            }
            None if fingered != agrees => {
                wrong.push(format!("{domain}: {wanted:?} wanted, the probe says {fingered:?}:\n{said}"));
            }
            Some(_) | None => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What became of the mail to a domain, and the words of it.
#[track_caller]
pub fn outcome(relay: &Relay, domain: &str) -> (Wanted, String) {
    let recipient = format!("user@{domain}");
    let event = crate::support::until(&format!("a try of {recipient}"), || {
        let ours = |e: &crate::support::Event| {
            e.recipient() == recipient && matches!(e.kind().as_str(), "succeeded" | "deferred" | "failed")
        };
        relay.deliveries().into_iter().find(ours)
    });
    let tls = event.text("tls");
    let wanted = match event.kind().as_str() {
        "succeeded" if tls.is_empty() => Wanted::Clear,
        "succeeded" if tls.contains("by DANE") => Wanted::Dane,
        "succeeded" if tls.contains("by MTA-STS") => Wanted::Sts,
        "succeeded" => Wanted::Tls,
        _ => Wanted::Waits,
    };
    (wanted, if tls.is_empty() { event.reply() } else { tls })
}
