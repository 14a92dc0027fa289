//! The examples of RFC 9989, and a table of our own.

use super::*;
use crate::lookup::fake::Zones;

/// Names below `_dmarc`, and their records.
type Records<'a> = &'a [(&'a str, &'a str)];
/// The record that applies: its domain, the policy, the tag that gives it, and whence it is.
type Applies<'a> = Option<(&'a str, Policy, &'a str, Whence)>;

fn zones(records: &[(&str, &str)]) -> Zones {
    let published = |zones: Zones, (name, text): &(&str, &str)| zones.with_txt(&format!("_dmarc.{name}"), text);
    records.iter().fold(Zones::default(), published)
}

fn organization(zones: &Zones, domain: &str) -> String {
    smol::block_on(organizational_domain(zones, domain)).expect("the DNS says")
}

fn asked(zones: &Zones) -> Vec<String> {
    zones.asked().into_iter().filter_map(|q| q.strip_prefix("TXT _dmarc.").map(str::to_owned)).collect()
}

#[test]
fn a_walk_asks_the_names_that_the_standard_lists() {
    let none = zones(&[]);
    let found = smol::block_on(discover(&none, "a.b.c.d.e.f.g.h.i.j.mail.example.com"));
    let expected = [
        "a.b.c.d.e.f.g.h.i.j.mail.example.com",
        "g.h.i.j.mail.example.com",
        "h.i.j.mail.example.com",
        "i.j.mail.example.com",
        "j.mail.example.com",
        "mail.example.com",
        "example.com",
        "com",
    ];
    assert_eq!(asked(&none), expected);
    assert_eq!((found.record.is_none(), found.applies, found.trouble), (true, false, None));
    assert_eq!(found.organizational_domain, "a.b.c.d.e.f.g.h.i.j.mail.example.com");
    // §5.1.8: nine labels; the record at the cut between is never seen.
    let cut = zones(&[("example.com", "v=DMARC1; p=none"), ("b.c.d.e.f.g.example.com", "v=DMARC1; p=reject; psd=n")]);
    assert_eq!(organization(&cut, "mail.a.b.c.d.e.f.g.example.com"), "example.com");
    assert_eq!(asked(&cut).len(), 8);
    // With eight labels, seven are left, and every name is asked.
    for (domain, questions) in [("h.g.f.e.d.c.b.a", 8), ("i.h.g.f.e.d.c.b.a", 8), ("g.f.e.d.c.b.a", 7), ("a", 1)] {
        assert_eq!(names(domain).len(), questions, "{domain}");
        assert!(names(domain).iter().skip(1).all(|name| name.split('.').count() <= LABELS_MAX));
    }
}

#[test]
fn organizational_domains_of_the_standards_examples() {
    let table: &[(&str, Records<'_>, &str)] = &[
        // §4.10.2
        (
            "a.mail.example.com",
            &[("mail.example.com", "v=DMARC1; p=none"), ("example.com", "v=DMARC1; p=none")],
            "example.com",
        ),
        (
            "a.mail.example.com",
            &[("mail.example.com", "v=DMARC1; p=none; psd=n"), ("example.com", "v=DMARC1; p=none")],
            "mail.example.com",
        ),
        ("a.mail.example.com", &[("com", "v=DMARC1; p=none; psd=y")], "example.com"),
        ("mail.example.com", &[("example.com", "v=DMARC1; p=none; psd=y")], "mail.example.com"),
        // B.4.1, B.4.2
        (
            "example.com",
            &[("example.com", "v=DMARC1; p=none"), ("signing.example.com", "v=DMARC1; p=none")],
            "example.com",
        ),
        (
            "signing.example.com",
            &[("example.com", "v=DMARC1; p=none"), ("signing.example.com", "v=DMARC1; p=none")],
            "example.com",
        ),
        (
            "a.b.c.d.e.f.g.h.i.j.k.example.com",
            &[("example.com", "v=DMARC1; p=none"), ("signing.example.com", "v=DMARC1; p=none")],
            "example.com",
        ),
        // B.4.3
        ("giant.bank.example", BANK, "giant.bank.example"),
        ("mail.giant.bank.example", BANK, "giant.bank.example"),
        ("mail.mega.bank.example", BANK, "mega.bank.example"),
        // Our own: where the walk starts at psd=y, there is nothing above to be below of.
        ("bank.example", BANK, "bank.example"),
        ("example.com", &[], "example.com"),
        ("x.example.com", &[("com", "v=DMARC1; p=none")], "com"),
        // psd=n ends the walk before psd=y is seen, and the other way round.
        (
            "a.b.example",
            &[("b.example", "v=DMARC1; p=none; psd=n"), ("example", "v=DMARC1; p=none; psd=y")],
            "b.example",
        ),
        (
            "a.b.c.example",
            &[("b.c.example", "v=DMARC1; p=none; psd=y"), ("c.example", "v=DMARC1; p=none; psd=n")],
            "a.b.c.example",
        ),
        // Several records are none; so is what only looks like one.
        (
            "a.b.example",
            &[("b.example", "v=DMARC1; p=none"), ("b.example", "v=DMARC1; p=none; psd=n"), ("example", "v=dmarc1")],
            "a.b.example",
        ),
        // Other TXT records beside it do not count.
        ("a.b.example", &[("b.example", "hello"), ("b.example", "v=DMARC1; p=none")], "b.example"),
    ];
    for (domain, records, expected) in table {
        assert_eq!(organization(&zones(records), domain), *expected, "{domain} {records:?}");
    }
}

const BANK: &[(&str, &str)] =
    &[("bank.example", "v=DMARC1; p=reject; psd=y"), ("giant.bank.example", "v=DMARC1; p=quarantine")];

#[test]
fn the_bank_example_aligns_spf_and_not_dkim() {
    let zones = zones(BANK);
    let author = smol::block_on(discover(&zones, "giant.bank.example"));
    assert_eq!((author.whence, author.effective), (Some(Whence::Own), Policy::Quarantine));
    let aligned = |mode, domain: &str| smol::block_on(aligned(&zones, mode, &author, domain)).expect("the DNS says");
    assert!(aligned(Mode::Relaxed, "mail.giant.bank.example"));
    assert!(!aligned(Mode::Strict, "mail.giant.bank.example"));
    assert!(aligned(Mode::Strict, "GIANT.bank.example."));
    assert!(!aligned(Mode::Relaxed, "mail.mega.bank.example"));
    assert!(!aligned(Mode::Relaxed, "giant.bank.test"));
    assert!(!aligned(Mode::Relaxed, "not a domain"));
}

/// R1: a record covers what is below it, with sp and np; a subdomain's own goes before it; none between does.
#[test]
fn the_record_that_applies_and_why() {
    let org = ("example.jp", "v=DMARC1; p=reject; sp=quarantine; np=none");
    let table: &[(&str, Records<'_>, Applies<'_>)] = &[
        ("example.jp", &[org], Some(("example.jp", Policy::Reject, "p", Whence::Own))),
        ("here.example.jp", &[org], Some(("example.jp", Policy::Quarantine, "sp", Whence::Organizational))),
        ("nowhere.example.jp", &[org], Some(("example.jp", Policy::None, "np", Whence::Organizational))),
        ("below.here.example.jp", &[org], Some(("example.jp", Policy::None, "np", Whence::Organizational))),
        (
            "here.example.jp",
            &[org, ("here.example.jp", "v=DMARC1; p=none; sp=reject")],
            Some(("here.example.jp", Policy::None, "p", Whence::Own)),
        ),
        // Between the domain and its organizational domain: never used.
        (
            "a.here.example.jp",
            &[org, ("here.example.jp", "v=DMARC1; p=none; sp=none; np=none")],
            Some(("example.jp", Policy::None, "np", Whence::Organizational)),
        ),
        (
            "a.here.example.jp",
            &[("example.jp", "v=DMARC1; p=reject"), ("here.example.jp", "v=DMARC1; p=none")],
            Some(("example.jp", Policy::Reject, "p", Whence::Organizational)),
        ),
        // psd=n makes the subdomain the organization.
        (
            "a.here.example.jp",
            &[org, ("here.example.jp", "v=DMARC1; p=none; psd=n")],
            Some(("here.example.jp", Policy::None, "p", Whence::Organizational)),
        ),
        // The suffix's record holds where the organization has none, …
        (
            "here.example.jp",
            &[("jp", "v=DMARC1; p=none; np=reject; psd=y")],
            Some(("jp", Policy::None, "p", Whence::PublicSuffix)),
        ),
        (
            "nowhere.example.jp",
            &[("jp", "v=DMARC1; p=none; np=reject; psd=y")],
            Some(("jp", Policy::Reject, "np", Whence::PublicSuffix)),
        ),
        // … and only there, even if a name between has one.
        (
            "example.jp",
            &[org, ("jp", "v=DMARC1; p=none; psd=y")],
            Some(("example.jp", Policy::Reject, "p", Whence::Own)),
        ),
        (
            "a.here.example.jp",
            &[("here.example.jp", "v=DMARC1; p=none"), ("jp", "v=DMARC1; p=quarantine; psd=y")],
            Some(("jp", Policy::Quarantine, "p", Whence::PublicSuffix)),
        ),
        ("here.example.jp", &[], None),
        ("here.example.jp", &[org, org], None),
        // Own records that are several are none: the organization's holds.
        (
            "here.example.jp",
            &[org, ("here.example.jp", "v=DMARC1; p=none"), ("here.example.jp", "v=DMARC1; p=reject")],
            Some(("example.jp", Policy::Quarantine, "sp", Whence::Organizational)),
        ),
    ];
    for (domain, records, expected) in table {
        let zones = zones(records).with_ip("here.example.jp", "192.0.2.1");
        let found = smol::block_on(discover(&zones, domain));
        let got =
            found.whence.map(|w| (found.policy_domain.as_deref().unwrap_or_default(), found.effective, found.tag, w));
        assert_eq!(got, *expected, "{domain} {records:?}");
        assert_eq!((found.applies, found.trouble.is_none()), (expected.is_some(), true), "{domain}");
        assert!(found.why().contains(domain), "{}", found.why());
        assert!(found.steps.iter().all(|step| step.to_string().starts_with("_dmarc.")));
    }
}

#[test]
fn trouble_is_told_and_never_taken_for_no_record() {
    let org = ("example.jp", "v=DMARC1; p=reject; sp=quarantine; np=none");
    // (domain, records, what fails, applies, organization is known)
    let table: &[(&str, Records<'_>, &str, Option<Policy>, bool)] = &[
        // Its own name does not answer: it may have a record.
        ("here.example.jp", &[org], "_dmarc.here.example.jp", None, false),
        // Its own record is there: it applies, whatever is above.
        (
            "here.example.jp",
            &[org, ("here.example.jp", "v=DMARC1; p=none")],
            "_dmarc.example.jp",
            Some(Policy::None),
            false,
        ),
        ("here.example.jp", &[org, ("here.example.jp", "v=DMARC1; p=none")], "_dmarc.jp", Some(Policy::None), false),
        // A step between may say psd=n, one above psd=y.
        ("a.here.example.jp", &[org], "_dmarc.here.example.jp", None, false),
        ("here.example.jp", &[org], "_dmarc.example.jp", None, false),
        ("here.example.jp", &[org], "_dmarc.jp", None, false),
        // Behind a psd tag nobody asks.
        ("here.example.jp", &[("example.jp", "v=DMARC1; p=reject; psd=n")], "_dmarc.jp", Some(Policy::Reject), true),
        // Whether it exists is not said: sp is taken, and told to be uncertain, where np says otherwise.
        ("here.example.jp", &[org], "here.example.jp", Some(Policy::Quarantine), false),
        ("here.example.jp", &[("example.jp", "v=DMARC1; p=reject")], "here.example.jp", Some(Policy::Reject), true),
    ];
    for (domain, records, failing, policy, certain) in table {
        let zones = zones(records).failing(failing);
        let found = smol::block_on(discover(&zones, domain));
        assert_eq!(found.applies.then_some(found.effective), *policy, "{domain} {failing}");
        assert_eq!(found.trouble.is_none(), *certain, "{domain} {failing}");
        assert!(policy.is_some() || found.why().contains("did not say"), "{}", found.why());
        let of_policy = failing.starts_with("_dmarc.");
        let organization = smol::block_on(organizational_domain(&zones, domain));
        assert_eq!(organization.is_err(), of_policy && !certain, "{domain} {failing}");
    }
    // The same name is aligned without a question; another one is not decided.
    let zones = zones(&[("example.jp", "v=DMARC1; p=reject")]).failing("_dmarc.jp");
    let author = smol::block_on(discover(&zones, "example.jp"));
    assert_eq!(smol::block_on(aligned(&zones, Mode::Relaxed, &author, "example.jp")), Ok(true));
    assert!(smol::block_on(aligned(&zones, Mode::Relaxed, &author, "mail.example.jp")).is_err());
    assert_eq!(smol::block_on(aligned(&zones, Mode::Strict, &author, "mail.example.jp")), Ok(false));
}

#[test]
fn odd_names_are_named_as_they_are_asked() {
    let zones = zones(&[("xn--r8jz45g.jp", "v=DMARC1; p=reject; t=y")]);
    let found = smol::block_on(discover(&zones, "例え.JP."));
    assert_eq!(
        (found.domain.as_str(), found.effective, found.applied()),
        ("xn--r8jz45g.jp", Policy::Reject, Policy::Quarantine)
    );
    for bad in ["", "a..b", ".", &"a".repeat(64), &"a.".repeat(200)] {
        let found = smol::block_on(discover(&zones, bad));
        assert!(found.steps.is_empty() && found.trouble.is_some() && !found.applies, "{bad}");
    }
}
