//! The receivers' own TLS policies: DANE and MTA-STS, what a message says of TLS, and what reports hear.

use aws_lc_rs::digest::{SHA256, digest};

use super::{
    super::tls_results::{PolicyResult, PolicyType, ResultType},
    *,
};
use crate::{ids::REPORT_USER, net::dns::Tlsa};

const STARTTLS: &str = "250-peer\n250-PIPELINING\n250 STARTTLS";

/// A policy's type, its successes, and its failures by type.
type Counted = (PolicyType, u64, Vec<(ResultType, u64)>);

/// A world of opportunistic TLS, a certificate for mx.x.test, and a peer with it that is the only MX of x.test.
struct Case {
    world: World,
    peer: Peer,
    certificate: Vec<u8>,
}

impl Case {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        Self::of("mx.x.test", change)
    }

    /// The certificate is for another name.
    fn of(name: &str, change: impl FnOnce(&mut Config)) -> Self {
        let (config, trust) = certificate(name);
        let Trust::Roots(roots) = &trust else { panic!("made with its root") };
        let certificate = roots[0].clone();
        let world = World::with(TestBodies(Vec::new(), None), trust, |c| {
            c.delivery.tls = TlsPolicy::Opportunistic;
            change(c);
        });
        let peer = world.domain("x.test", 1);
        peer.offer(STARTTLS).tls(config, false);
        Case { world, peer, certificate }
    }

    /// The whole world is signed, and the host has these TLSA records.
    fn dane(&self, records: Vec<Tlsa>) -> &Self {
        self.world.dns.sign(".");
        self.world.dns.set(&self.tlsa_name(), Says::Tlsa(records));
        self
    }

    fn tlsa_name(&self) -> String {
        format!("_{}._tcp.mx.x.test", self.world.port)
    }

    /// The record that its certificate matches, and one that it does not.
    fn good(&self) -> Tlsa {
        Tlsa { usage: 3, selector: 0, matching: 1, data: digest(&SHA256, &self.certificate).as_ref().to_vec() }
    }

    fn bad(&self) -> Tlsa {
        Tlsa { data: vec![7; 32], ..self.good() }
    }

    fn sts(&self, mode: &str, mx: &str) -> &Self {
        self.world.policies.set("x.test", mode, mx);
        self
    }

    /// Sends a mail: its verdict, answer and TLS.
    fn send(&self) -> (&'static str, String, String) {
        self.deliver(job(&["u@x.test"], b"Subject: x\r\n\r\nhello\r\n"))
    }

    fn deliver(&self, job: Job) -> (&'static str, String, String) {
        let outcome = self.world.deliver(job);
        let (verdict, reply) = short(&outcome).remove(0);
        (verdict, reply, outcome.results[0].detail.tls.clone())
    }

    #[track_caller]
    fn check(&self, verdict: &str, reply: &str, tls: &str) {
        let got = self.send();
        assert_eq!(got.0, verdict, "{got:?}");
        assert!(got.1.starts_with(reply), "{got:?} should begin with {reply:?}");
        assert!(got.2.ends_with(tls) && got.2.is_empty() == tls.is_empty(), "{got:?} should end with {tls:?}");
        let sent = self.peer.heard().iter().any(|c| c.starts_with("MAIL"));
        assert_eq!(sent, verdict == "delivered", "{got:?}");
    }

    /// (policy type, successes, failures by type) of x.test.
    fn counted(&self) -> Vec<Counted> {
        let results = self.world.tls_results().remove("x.test").unwrap_or_default();
        let failures = |p: &PolicyResult| {
            assert_eq!(p.failed, p.failures.iter().map(|f| f.count).sum::<u64>());
            let mut by_type: Vec<(ResultType, u64)> = Vec::new();
            for failure in &p.failures {
                match by_type.iter_mut().find(|(result, _)| *result == failure.result_type) {
                    Some((_, count)) => *count += failure.count,
                    None => by_type.push((failure.result_type, failure.count)),
                }
            }
            by_type
        };
        results.policies.iter().map(|p| (p.policy_type, p.successes, failures(p))).collect()
    }
}

fn marked(optional: bool, user: &str) -> Job {
    let mut job = job(&["u@x.test"], b"Subject: x\r\n\r\nhello\r\n");
    let loaded = Arc::get_mut(&mut job.loaded).expect("nobody else has it");
    loaded.message.facts.tls_optional = optional;
    loaded.message.user = user.to_owned();
    job
}

#[test]
fn dane_verifies_a_host_by_its_own_records() {
    let case = Case::of("another.name", |_| {});
    case.dane(vec![case.good(), case.bad()]).check("delivered", "250", " verified by DANE");
    assert_eq!(case.counted(), [(PolicyType::Tlsa, 1, Vec::new())]);
    assert_eq!((case.world.metrics.delivered_verified.get(), case.world.metrics.tls_refused.get()), (1, 0));
    // Once more over the same connection, which is not counted again.
    case.check("delivered", "250", " verified by DANE");
    assert_eq!((case.peer.connections(), case.counted()[0].1), (1, 1));
}

#[test]
fn what_dane_cannot_verify_gets_no_mail_and_nothing_in_clear() {
    let case = Case::new(|_| {});
    case.dane(vec![case.bad()]).check("site", "4.7.5 TLS with mx.x.test", "");
    assert_eq!(case.counted(), [(PolicyType::Tlsa, 0, vec![(ResultType::ValidationFailure, 1)])]);
    assert_eq!(case.world.metrics.tls_refused.get(), 1);

    let case = Case::new(|_| {});
    case.peer.offer("250-peer\n250 PIPELINING");
    case.dane(vec![case.good()]).check("site", "4.7.4 TLS is required", "");
    assert_eq!(case.counted(), [(PolicyType::Tlsa, 0, vec![(ResultType::StarttlsNotSupported, 1)])]);

    let case = Case::new(|_| {});
    case.dane(Vec::new());
    case.world.dns.set(&case.tlsa_name(), Says::Servfail);
    case.check("site", "4.7.5 DANE: looking up the TLSA records of ", "");
    assert_eq!(case.peer.connections(), 0);
    assert_eq!(case.counted(), [(PolicyType::Tlsa, 0, vec![(ResultType::DnssecInvalid, 1)])]);
}

#[test]
fn only_unusable_records_ask_for_tls_without_a_check() {
    let case = Case::of("another.name", |_| {});
    let unusable = Tlsa { usage: 1, ..case.good() };
    case.dane(vec![unusable.clone()]).check("delivered", "250", " unverified");
    assert_eq!(case.counted(), [(PolicyType::Tlsa, 0, vec![(ResultType::TlsaInvalid, 1)])]);

    let case = Case::new(|_| {});
    case.peer.at("STARTTLS", &[Act::BreakTls]);
    case.dane(vec![unusable]).check("site", "4.7.5 TLS with mx.x.test", "");
}

#[test]
fn dane_counts_only_where_dnssec_covers_the_whole_way() {
    for signed in [&[][..], &["x.test"][..], &["mx.x.test"][..]] {
        let case = Case::of("another.name", |_| {});
        case.world.dns.set(&case.tlsa_name(), Says::Tlsa(vec![case.bad()]));
        // The domain's MX unsigned, or its host's addresses: x.test signs its own names, so the host moves away.
        case.world.dns.set("x.test", Says::Mx(vec![(10, "mx.x.test")]));
        for zone in signed.iter().filter(|z| **z != "x.test") {
            case.world.dns.sign(zone);
        }
        case.check("delivered", "250", " unverified");
        assert_eq!(case.counted(), [(PolicyType::NoPolicyFound, 1, Vec::new())]);
    }
    // Signed, and without records.
    let case = Case::of("another.name", |_| {});
    case.world.dns.sign(".");
    case.check("delivered", "250", " unverified");
    // Switched off.
    let case = Case::of("another.name", |c| c.delivery.dane = false);
    case.dane(vec![case.bad()]).check("delivered", "250", " unverified");
}

#[test]
fn an_enforced_policy_asks_for_a_listed_host_and_a_certificate_of_its_name() {
    let case = Case::new(|_| {});
    case.sts("enforce", "*.x.test").check("delivered", "250", " verified by MTA-STS");
    assert_eq!(case.counted(), [(PolicyType::Sts, 1, Vec::new())]);

    let case = Case::new(|_| {});
    case.sts("enforce", "other.test").check("site", "4.7.5 the MTA-STS policy of x.test does not list mx.x.test", "");
    assert_eq!(case.peer.connections(), 0);
    assert_eq!(case.counted(), [(PolicyType::Sts, 0, vec![(ResultType::ValidationFailure, 1)])]);

    let case = Case::of("another.name", |_| {});
    case.sts("enforce", "mx.x.test").check("site", "4.7.5 TLS with mx.x.test", "");
    assert_eq!(case.counted(), [(PolicyType::Sts, 0, vec![(ResultType::CertificateHostMismatch, 1)])]);

    let case = Case::new(|_| {});
    case.peer.offer("250 peer");
    case.sts("enforce", "mx.x.test").check("site", "4.7.4 TLS is required", "");

    let case = Case::of("another.name", |c| c.delivery.mta_sts = false);
    case.sts("enforce", "other.test").check("delivered", "250", " unverified");
}

#[test]
fn an_unlisted_host_is_passed_over_for_a_listed_one() {
    let case = Case::new(|_| {});
    case.world.dns.set("x.test", Says::Mx(vec![(5, "evil.test"), (10, "mx.x.test")]));
    let evil = case.world.peer(2, "evil.test");
    case.sts("enforce", "mx.x.test").check("delivered", "250", " verified by MTA-STS");
    assert_eq!(evil.connections(), 0);
}

#[test]
fn a_policy_in_testing_only_reports() {
    let case = Case::of("another.name", |_| {});
    case.sts("testing", "mx.x.test").check("delivered", "250", " unverified");
    assert_eq!(case.peer.connections(), 2, "once with the check, once without");
    case.world.deliverer.shared().pool.take_all();
    case.check("delivered", "250", " unverified");
    assert_eq!(case.peer.connections(), 3, "the outcome of the check is remembered");
    assert_eq!(case.counted(), [(PolicyType::Sts, 0, vec![(ResultType::CertificateHostMismatch, 2)])]);

    let case = Case::new(|_| {});
    case.sts("testing", "other.test").check("delivered", "250", " unverified");
    assert_eq!(case.counted(), [(PolicyType::Sts, 0, vec![(ResultType::ValidationFailure, 1)])]);

    let case = Case::new(|_| {});
    case.sts("testing", "mx.x.test").check("delivered", "250", " verified");
    assert_eq!(case.counted(), [(PolicyType::Sts, 1, Vec::new())]);

    let case = Case::new(|_| {});
    case.peer.at("STARTTLS", &[Act::BreakTls]);
    case.sts("testing", "mx.x.test").check("delivered", "250", "");
    assert_eq!(case.peer.connections(), 2, "what is no certificate's fault goes on in clear at once");
    assert_eq!(case.counted(), [(PolicyType::Sts, 0, vec![(ResultType::ValidationFailure, 1)])]);
}

#[test]
fn mta_sts_never_overrides_dane() {
    let case = Case::of("another.name", |_| {});
    case.sts("enforce", "other.test").dane(vec![case.good()]).check("delivered", "250", " verified by DANE");
    let case = Case::new(|_| {});
    case.sts("enforce", "mx.x.test").dane(vec![case.bad()]).check("site", "4.7.5 TLS with mx.x.test", "");
}

#[test]
fn a_domains_own_entry_counts_before_the_general_policy() {
    let entry = |policy| config::DomainTls { domains: vec![".x.test".into()], policy };
    let case = Case::of("another.name", |c| c.delivery.tls_policies = vec![entry(TlsPolicy::Verify)]);
    case.check("site", "4.7.5 TLS with mx.x.test", "");
    let case = Case::new(|c| c.delivery.tls_policies = vec![entry(TlsPolicy::Verify)]);
    case.check("delivered", "250", " verified");
    // The operator's "none" is the way around a receiver whose policy is broken.
    let case = Case::new(|c| c.delivery.tls_policies = vec![entry(TlsPolicy::None)]);
    case.sts("enforce", "other.test").dane(vec![case.bad()]).check("delivered", "250", "");
    assert!(case.counted().is_empty());
}

#[test]
fn mail_that_would_rather_go_in_clear_leaves_the_receivers_policy_aside() {
    for dane in [true, false] {
        let case = Case::of("another.name", |_| {});
        if dane {
            case.dane(vec![case.bad()]);
        }
        case.sts("enforce", "other.test");
        let (verdict, _, tls) = case.deliver(marked(true, ""));
        assert_eq!((verdict, tls.ends_with(" unverified")), ("delivered", true));
        assert!(case.counted().is_empty());
        // The connection that it left behind is none for mail that heeds the policy.
        assert_eq!(case.send().0, "site");
        assert_eq!(case.peer.contents().len(), 1);
    }
    let case = Case::of("another.name", |c| c.delivery.tls = TlsPolicy::Verify);
    assert_eq!(case.deliver(marked(true, "")).0, "site", "the operator's own policy stands");
}

#[test]
fn report_mail_is_delivered_whatever_becomes_of_tls_and_never_counted() {
    let case = Case::of("another.name", |_| {});
    case.sts("enforce", "other.test");
    assert_eq!(case.deliver(marked(false, REPORT_USER)).0, "delivered");
    assert!(case.counted().is_empty());
}

#[test]
fn a_handshake_that_breaks_is_counted_and_the_next_session_in_clear_too() {
    let case = Case::new(|_| {});
    case.peer.at("STARTTLS", &[Act::BreakTls]);
    case.check("delivered", "250", "");
    case.world.deliverer.shared().pool.take_all();
    case.check("delivered", "250", "");
    assert_eq!(case.counted(), [(PolicyType::NoPolicyFound, 0, vec![(ResultType::ValidationFailure, 2)])]);
    let case = Case::new(|_| {});
    case.peer.offer("250 peer");
    case.check("delivered", "250", "");
    assert_eq!(case.counted(), [(PolicyType::NoPolicyFound, 0, vec![(ResultType::StarttlsNotSupported, 1)])]);
}

#[test]
fn a_connection_of_one_domains_policy_is_not_used_under_anothers() {
    let case = Case::new(|_| {});
    case.world.dns.set("y.test", Says::Mx(vec![(10, "mx.x.test")]));
    case.world.dns.set("z.test", Says::Mx(vec![(10, "mx.x.test")]));
    case.world.policies.set("y.test", "enforce", "mx.x.test");
    case.world.policies.set("z.test", "enforce", "mx.x.test");
    let tls = |to: &str| case.world.send(&[to]).results[0].detail.tls.clone();
    assert!(tls("u@x.test").ends_with(" unverified"));
    assert!(tls("u@y.test").ends_with(" verified by MTA-STS"));
    assert_eq!(case.peer.connections(), 2, "an unchecked connection is none for an enforced policy");
    assert!(tls("u@z.test").ends_with(" verified by MTA-STS"));
    assert_eq!(case.peer.connections(), 2, "checked alike: shared");
}

#[test]
fn an_absurd_mx_set_costs_bounded_questions() {
    for guard in [true, false] {
        let world = World::new(|c| c.delivery.block_private_destinations = guard);
        let hosts: Vec<(u16, &'static str)> =
            (0..300).map(|n| (n, &*Box::leak(format!("mx{n}.absurd.test").into_boxed_str()))).collect();
        for (_, host) in &hosts {
            world.dns.set(host, Says::Address((1..60).map(|n| IpAddr::from([10, 0, 0, n])).collect()));
        }
        world.dns.set("absurd.test", Says::Mx(hosts));
        if guard {
            check(&world.send(&["u@absurd.test"]), &[("failed", "5.4.4")], SiteFeedback::Unknown);
        } else {
            // Nobody connects to 10/8 in a test: the hosts alone are looked for.
            let shared = world.deliverer.shared();
            let settings = shared.settings();
            let finder = super::super::hosts::Finder {
                settings: &settings,
                resolver: &shared.resolver,
                memory: &shared.memory,
                clock: &shared.clock,
                seed: 1,
            };
            let way = super::super::hosts::Way::Domain("absurd.test".into());
            let found = smol::block_on(finder.hosts(&way)).expect("hosts");
            assert_eq!(found.names().len(), 5);
            let addresses = smol::block_on(finder.addresses(&found, &found.names()[0], None)).expect("addresses");
            assert_eq!(addresses.len(), 5);
        }
        assert!(world.dns.queries().0 < 30, "{:?}", world.dns.queries());
    }
}

#[test]
fn people_hear_which_tls_policy_applies_and_who_says_so() {
    let case = Case::new(|c| {
        c.delivery.tls_policies =
            vec![config::DomainTls { domains: vec!["x.test".into()], policy: TlsPolicy::Require }];
    });
    case.sts("enforce", "other.test").dane(vec![case.good(), Tlsa { usage: 0, ..case.good() }]);
    let says = |domain: &str| {
        let to = Mailbox::parse(&format!("u@{domain}")).expect("an address");
        let facts = smol::block_on(case.world.deliverer.explain(&to, ""));
        facts.into_iter().filter(|f| f.topic == "tls").map(|f| f.says.to_string()).collect::<Vec<_>>()
    };
    let [configured, sts, unlisted, dane] = &says("x.test")[..] else { panic!("{:?}", says("x.test")) };
    assert_eq!(configured, "configured: require by [[delivery.tls_policy]] number 1");
    assert!(
        sts.starts_with("MTA-STS: enforce, fetched ") && sts.ends_with(" s ago, id 1, holds for 24 h more"),
        "{sts}"
    );
    assert_eq!(unlisted, "MTA-STS: the policy does not list mx.x.test");
    assert_eq!(*dane, format!("DANE: 1 of 2 TLSA records at {} usable", case.tlsa_name()));
    assert_eq!(says("nowhere.test"), ["configured: opportunistic by [delivery] tls"]);
    case.world.dns.set("y.test", Says::Mx(vec![(10, "mx.x.test")]));
    assert_eq!(says("y.test")[1], "MTA-STS: none");
}

#[test]
fn requiretls_goes_only_to_verified_hosts_that_promise_the_same() {
    const PROMISES: &str = "250-peer\n250-PIPELINING\n250 REQUIRETLS";
    let require = || {
        let mut job = marked(true, "");
        Arc::get_mut(&mut job.loaded).expect("nobody else has it").message.params.require_tls = true;
        job
    };
    // Verified by what the domain says; with tls = "none", too, since the sender asks for more.
    for (dane, sts, name, tls) in
        [(true, false, "another.name", " verified by DANE"), (false, true, "mx.x.test", " verified by MTA-STS")]
    {
        let case = Case::of(name, |c| c.delivery.tls = TlsPolicy::None);
        if dane {
            case.dane(vec![case.good()]);
        }
        if sts {
            case.sts("testing", "mx.x.test");
        }
        case.peer.at("EHLO tls", &[Act::Say(PROMISES)]);
        let got = case.deliver(require());
        assert_eq!((got.0, got.2.ends_with(tls)), ("delivered", true), "{got:?}");
        assert!(case.peer.heard().iter().any(|c| c.starts_with("MAIL FROM") && c.contains(" REQUIRETLS")));
        // Mail without the wish does not find that connection, nor the other way round.
        assert_eq!(case.send().0, "delivered");
        assert_eq!(case.peer.connections(), 2);
    }
    // The MX is signed, and the certificate is of a public authority.
    let case = Case::new(|_| {});
    case.world.dns.sign(".");
    case.peer.at("EHLO tls", &[Act::Say(PROMISES)]);
    assert!(case.deliver(require()).2.ends_with(" verified"));

    let fails = |case: &Case, verdict: &str, reply: &str| {
        let got = case.deliver(require());
        assert_eq!(got.0, verdict, "{got:?}");
        assert!(got.1.starts_with(reply), "{got:?} should begin with {reply:?}");
        assert!(!case.peer.heard().iter().any(|c| c.starts_with("MAIL")));
    };
    // It makes no promise, or speaks no TLS: that fails at once.
    let case = Case::new(|_| {});
    case.sts("enforce", "mx.x.test");
    fails(&case, "failed", "5.7.30 ");
    assert_eq!(case.peer.connections(), 1, "asked once");
    let case = Case::new(|_| {});
    case.peer.offer("250-peer\n250 REQUIRETLS");
    case.sts("enforce", "mx.x.test");
    fails(&case, "failed", "5.7.30 REQUIRETLS: mx.x.test");
    // Another host that could not be asked may promise it: that waits.
    let case = Case::new(|_| {});
    case.world.dns.set("x.test", Says::Mx(vec![(10, "mx.x.test"), (20, "down.test")]));
    case.world.dns.set("down.test", Says::Address(vec![ip(6)]));
    case.sts("enforce", "*.test").world.policies.set("x.test", "enforce", "down.test\nmx: mx.x.test");
    fails(&case, "site", "4.4.1 connect to down.test");
    // Nobody vouches for the host's name: DNS that cannot tell may tell tomorrow, DNS that can says no.
    let case = Case::new(|_| {});
    fails(&case, "site", "4.7.5 REQUIRETLS: neither DNSSEC nor MTA-STS");
    let case = Case::new(|_| {});
    case.world.dns.sign("elsewhere.test").set("elsewhere.test", Says::Address(vec![ip(5)]));
    assert!(smol::block_on(case.world.deliverer.shared().resolver.addresses_answer("elsewhere.test", false)).secure);
    smol::block_on(case.world.deliverer.shared().resolver.try_validation());
    fails(&case, "failed", "5.7.30 REQUIRETLS: neither DNSSEC nor MTA-STS");
    // Its certificate is not good: a mistake that is mended one day.
    let case = Case::of("another.name", |_| {});
    case.peer.at("EHLO tls", &[Act::Say(PROMISES)]);
    case.sts("enforce", "mx.x.test");
    fails(&case, "site", "4.7.5 TLS with mx.x.test");
    // A notice goes out in any case.
    let case = Case::new(|_| {});
    let mut notice = require();
    Arc::get_mut(&mut notice.loaded).expect("nobody else has it").message.sender = None;
    assert_eq!(case.deliver(notice).0, "delivered");
}
