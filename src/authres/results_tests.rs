//! Results in the words of RFC 8601, claims of reports, and the marks that follow from both.

use super::*;
use crate::spf::{Outcome, SpfResult};

fn signature(domain: &str, result: DkimResult) -> Verified {
    Verified {
        domain: domain.to_owned(),
        selector: "s1".to_owned(),
        result,
        why: String::new(),
        bits: 2048,
        testing: false,
    }
}

fn results(result: DmarcWord, policy: Policy, aligned: bool) -> Results {
    Results {
        spf: Outcome { result: SpfResult::Pass, domain: "bounce.reporter.example".into(), ..Outcome::default() },
        dkim: vec![signature("reporter.example", DkimResult::Pass)],
        dmarc: DmarcResult {
            result,
            from: "mail.reporter.example".into(),
            organizational_domain: "reporter.example".into(),
            policy_domain: "reporter.example".into(),
            policy,
            aligned: if aligned {
                vec![Aligned { by: "dkim", domain: "reporter.example".into(), mode: Mode::Relaxed }]
            } else {
                Vec::new()
            },
            why: String::new(),
        },
    }
}

#[test]
fn results_read_as_the_standard_writes_them() {
    let text = results(DmarcWord::Pass, Policy::Reject, true).text();
    assert_eq!(
        text,
        "spf=pass smtp.mailfrom=bounce.reporter.example; dkim=pass header.d=reporter.example header.s=s1; \
         dmarc=pass (p=reject) header.from=mail.reporter.example"
    );
    let field = results(DmarcWord::Pass, Policy::Reject, true).field("relay.example.jp");
    assert!(field.starts_with("Authentication-Results: relay.example.jp;\r\n\tspf=pass ") && field.ends_with("\r\n"));
    assert!(
        field.lines().all(|line| line.len() <= 78) && field.lines().skip(1).all(|line| line.starts_with('\t')),
        "{field}"
    );
    let nothing = Results { spf: Outcome { by_helo: true, ..Outcome::default() }, ..Results::default() };
    assert_eq!(nothing.text(), "spf=none; dkim=none; dmarc=none");
}

#[test]
fn words_of_strangers_stay_words() {
    assert_eq!(pvalue("example.jp"), "example.jp");
    assert_eq!(pvalue("a\r\nb; dkim=pass\""), "\"ab;dkim=pass\\\"\"");
    assert_eq!(pvalue("飛脚"), "\"??\"");
    assert!(pvalue(&"x".repeat(10_000)).len() <= WORD_OCTETS_MAX);
    let mut odd = results(DmarcWord::Pass, Policy::Reject, true);
    odd.spf.domain = "x\r\nSubject: y (\\".into();
    odd.dkim[0].selector = "a;b\u{0}".into();
    let field = odd.field("relay.example.jp");
    assert!(field.lines().skip(1).all(|line| line.starts_with('\t')) && !field.contains("Subject: "), "{field}");
}

#[test]
fn claims_are_domains_or_nothing() {
    let name = |text: &str| Claim::name(text).map(|claim| claim.domain);
    assert_eq!(name("Google.com").as_deref(), Some("google.com"));
    assert_eq!(name(" google.com. ").as_deref(), Some("google.com"));
    for none in ["Google Inc.", "Yahoo", "", "1.2.3.4", "a@b.example", "Example Inc", "x/y.z", "v2.0"] {
        assert_eq!(name(none), None, "{none}");
    }
    let contact = |text: &str| Claim::contact(text).map(|claim| claim.domain);
    for (text, expected) in [
        ("noreply@google.com", Some("google.com")),
        ("mailto:tls@Example.NET?subject=x", Some("example.net")),
        ("MAILTO:a@b.example, c@d.example", Some("b.example")),
        ("<a@b.example>", Some("b.example")),
        ("postmaster", None),
        ("https://example.net/contact", None),
        ("飛脚", None),
        ("", None),
    ] {
        assert_eq!(contact(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn a_mark_says_what_was_proven() {
    use Mark::*;
    let named = |text: &str| Claim::name(text).expect("a domain");
    let contact = |text: &str| Claim::contact(text).expect("an address");
    let none = Policy::None;
    let table: Vec<(&str, Results, Vec<Claim>, Mark)> = vec![
        ("aligned, and it says nothing else", results(DmarcWord::Pass, none, true), vec![], Verified),
        (
            "of the same organization",
            results(DmarcWord::Pass, none, true),
            vec![named("reporter.example"), contact("a@dmarc.reporter.example")],
            Verified,
        ),
        ("aligned, without a policy", results(DmarcWord::None, none, true), vec![named("reporter.example")], Verified),
        ("aligned, although the policy is not known now", results(DmarcWord::TempError, none, true), vec![], Verified),
        (
            "it says that somebody else reports",
            results(DmarcWord::Pass, Policy::Reject, true),
            vec![named("google.com")],
            Forged,
        ),
        (
            "a name that only ends alike",
            results(DmarcWord::Pass, none, true),
            vec![named("evilreporter.example")],
            Forged,
        ),
        (
            "its contact is elsewhere",
            results(DmarcWord::Pass, none, true),
            vec![contact("a@yahooinc.example")],
            Unverified,
        ),
        (
            "its name fits, its contact is elsewhere",
            results(DmarcWord::Pass, none, true),
            vec![named("reporter.example"), contact("a@helpdesk.example")],
            Verified,
        ),
        (
            "one name fits, another does not",
            results(DmarcWord::Pass, none, true),
            vec![named("reporter.example"), named("google.com")],
            Forged,
        ),
        ("fails under a policy", results(DmarcWord::Fail, Policy::Reject, false), vec![], Forged),
        (
            "fails under quarantine",
            results(DmarcWord::Fail, Policy::Quarantine, false),
            vec![named("reporter.example")],
            Forged,
        ),
        ("fails without one", results(DmarcWord::Fail, none, false), vec![named("reporter.example")], Unverified),
        ("no record", results(DmarcWord::None, none, false), vec![], Unverified),
        ("several From", results(DmarcWord::PermError, none, false), vec![], Unverified),
        ("silence", results(DmarcWord::TempError, Policy::Reject, false), vec![named("reporter.example")], Unknown),
    ];
    for (what, results, claims, expected) in table {
        let marked = results.mark(&claims);
        assert_eq!(marked.mark, expected, "{what}: {}", marked.why);
        assert!(!marked.why.is_empty() && marked.from == "mail.reporter.example");
    }
    let mut unsure = results(DmarcWord::None, none, false);
    unsure.dkim = vec![signature("x.example", DkimResult::TempError)];
    assert_eq!(unsure.mark(&[]).mark, Unknown);
    // How far the organization reaches is not known: its own name is certain, a parent's is not.
    let mut unsure = results(DmarcWord::TempError, none, true);
    unsure.dmarc.organizational_domain.clear();
    assert_eq!(unsure.mark(&[named("mail.reporter.example")]).mark, Verified);
    assert_eq!(unsure.mark(&[named("reporter.example")]).mark, Unknown);
    for mark in [Verified, Unverified, Forged, Unknown] {
        assert_eq!(serde_json::to_value(mark).ok(), Some(mark.word().into()));
    }
}
