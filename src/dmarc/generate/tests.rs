//! Records that are written, old ones that get better, and what must stand beside them.

use super::*;
use crate::lookup::fake::Zones;

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("an address")
}

/// Writes, reads again, and compares.
fn check(record: &Record, expected: &str) {
    let text = record.to_string();
    assert_eq!(text, expected);
    let (again, remarks) = Record::parse(&text).expect("a record");
    assert_eq!(again, *record, "{text}");
    let only_test = remarks.iter().all(|remark| remark.what == RemarkKind::Softened);
    assert!(only_test, "{text}: {remarks:?}");
}

#[test]
fn what_is_wanted_is_written_and_read_again() {
    let ours = mailbox("dmarc@relay.example.jp");
    let cases = [
        (Wanted::default(), "v=DMARC1; p=none"),
        (
            Wanted { rua: vec![ours.clone(), ours.clone()], ..Wanted::default() },
            "v=DMARC1; p=none; rua=mailto:dmarc@relay.example.jp",
        ),
        (
            Wanted {
                p: Policy::Reject,
                sp: Some(Policy::Reject),
                np: Some(Policy::Reject),
                testing: true,
                rua: vec![ours.clone()],
                ..Wanted::default()
            },
            "v=DMARC1; p=reject; t=y; rua=mailto:dmarc@relay.example.jp",
        ),
        (
            Wanted {
                p: Policy::Quarantine,
                sp: Some(Policy::None),
                np: Some(Policy::Reject),
                adkim: Mode::Strict,
                aspf: Mode::Strict,
                psd: Psd::No,
                rua: vec![mailbox("\"a,b!c;d\"@x.example"), ours.clone()],
                ruf: vec![ours.clone()],
                fo: FailureOptions { any: true, dkim: true, spf: true },
                ..Wanted::default()
            },
            "v=DMARC1; p=quarantine; sp=none; np=reject; adkim=s; aspf=s; psd=n; \
             rua=mailto:%22a%2Cb%21c%3Bd%22@x.example,mailto:dmarc@relay.example.jp; ruf=mailto:dmarc@relay.example.jp; fo=1:d:s",
        ),
        // Nothing to test, nothing to report.
        (
            Wanted { testing: true, fo: FailureOptions { any: true, ..Default::default() }, ..Wanted::default() },
            "v=DMARC1; p=none",
        ),
    ];
    for (wanted, expected) in cases {
        check(&build(&wanted), expected);
    }
}

#[test]
fn old_records_get_better_and_nothing_gets_stricter() {
    let ours = mailbox("dmarc@relay.example.jp");
    use Change::*;
    let cases: &[(&str, &str, &[Change])] = &[
        (
            "v=DMARC1; p=reject; pct=30; rf=afrf; ri=3600; rua=mailto:a@x.example!10m; foo=bar",
            "v=DMARC1; p=reject; t=y; rua=mailto:a@x.example,mailto:dmarc@relay.example.jp",
            &[PercentToTest, HistoricDropped, HistoricDropped, SizeDropped, UnknownDropped, OursAdded],
        ),
        (
            "v=DMARC1; p=reject; pct=100; rua=mailto:DMARC@Relay.example.jp",
            "v=DMARC1; p=reject; rua=mailto:DMARC@Relay.example.jp",
            &[PercentDropped],
        ),
        (
            "v=DMARC1; p=none; pct=0",
            "v=DMARC1; p=none; rua=mailto:dmarc@relay.example.jp",
            &[PercentDropped, OursAdded],
        ),
        (
            "v=DMARC1; p=none; sp=reject; pct=0; rua=mailto:dmarc@relay.example.jp",
            "v=DMARC1; p=none; sp=reject; t=y; rua=mailto:dmarc@relay.example.jp",
            &[PercentToTest],
        ),
        (
            "v=DMARC1; p=rejekt; sp=reject; rua=mailto:dmarc@relay.example.jp",
            "v=DMARC1; p=none; rua=mailto:dmarc@relay.example.jp",
            &[BrokenDropped, PolicyAdded],
        ),
        ("v=DMARC1", "v=DMARC1; p=none; rua=mailto:dmarc@relay.example.jp", &[PolicyAdded, OursAdded]),
        (
            "v=DMARC1;P=reject;p=none;fo=1;rua=mailto:dmarc@relay.example.jp;;",
            "v=DMARC1; p=reject; rua=mailto:dmarc@relay.example.jp",
            &[SmallLetters, SecondDropped, FoDropped],
        ),
    ];
    for (old, new, changes) in cases {
        let upgraded = upgrade(old, Some(&ours)).expect("a record");
        check(&upgraded.record, new);
        let became: Vec<Change> = upgraded.changes.iter().map(|change| change.what).collect();
        assert_eq!(became, *changes, "{old}");
        for change in &upgraded.changes {
            for language in [Language::English, Language::Japanese] {
                assert!(change.text(language).len() > 10, "{change:?}");
            }
        }
        // A second time there is nothing left to do.
        let again = upgrade(new, Some(&ours)).expect("a record");
        assert_eq!((again.record, again.changes), (upgraded.record, Vec::new()), "{new}");
        // Never stricter than what counted before, pct and t aside.
        let (was, _) = Record::parse(old).expect("a record");
        let (is, _) = Record::parse(new).expect("a record");
        for of in [super::super::record::Relation::Own, super::super::record::Relation::Subdomain] {
            assert!(is.policy(of).unwrap_or_default() <= was.policy(of).unwrap_or_default(), "{old}");
        }
    }
    assert!(upgrade("v=spf1 -all", None).is_err());
}

#[test]
fn reports_that_leave_the_organization_need_a_record_there() {
    let zones = Zones::default()
        .with_txt("_dmarc.example.net", "v=DMARC1; p=none")
        .with_txt("example.jp._report._dmarc.there.example.net", "v=DMARC1;")
        .failing("example.jp._report._dmarc.slow.example.org");
    let (record, _) = Record::parse(
        "v=DMARC1; p=none; rua=mailto:a@example.jp,mailto:a@sub.example.jp,mailto:a@there.example.net,mailto:b@there.example.net,\
         mailto:a@example.com,mailto:a@slow.example.org",
    )
    .expect("a record");
    let found = smol::block_on(authorisations(&zones, "Example.JP", &record)).expect("the DNS said");
    let found: Vec<(&str, Option<bool>)> = found.iter().map(|a| (a.name.as_str(), a.is_published)).collect();
    // A subdomain's organization is the domain, once the record that is planned is there.
    assert_eq!(
        found,
        [
            ("example.jp._report._dmarc.there.example.net", Some(true)),
            ("example.jp._report._dmarc.example.com", Some(false)),
            ("example.jp._report._dmarc.slow.example.org", None),
        ]
    );
}

#[test]
fn every_tag_is_explained_in_both_languages() {
    let (record, _) = Record::parse(
        "v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=s; t=y; psd=n; rua=mailto:a@x.example; ruf=mailto:a@x.example; fo=1:d:s",
    )
    .expect("a record");
    for language in [Language::English, Language::Japanese] {
        let tags = explain(&record, language);
        let written: Vec<&str> = tags.iter().filter(|tag| !tag.is_default).map(|tag| tag.tag).collect();
        assert_eq!(written, ["v", "p", "sp", "np", "adkim", "aspf", "t", "psd", "rua", "ruf", "fo"]);
        let ascii = tags.iter().all(|tag| tag.text.is_ascii());
        assert_eq!(ascii, language == Language::English);
    }
    let plain = explain(&build(&Wanted::default()), Language::English);
    assert!(plain.iter().filter(|tag| !tag.is_default).map(|tag| tag.tag).eq(["v", "p"]));
}
