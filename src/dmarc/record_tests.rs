//! Records as the standard's grammar has them, and as people write them.

use super::*;

fn parse(text: &str) -> (Record, Vec<Remark>) {
    Record::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

#[test]
fn only_what_begins_with_the_version_is_a_record() {
    for yes in ["v=DMARC1", "v=DMARC1;", "V = DMARC1 ; p=none", " v=DMARC1;p=none", "v=DMARC1; ", "v\t=\tDMARC1\t;"] {
        assert!(is_record(yes), "{yes}");
    }
    for no in [
        "",
        "v=dmarc1; p=none",
        "v=DMARC10; p=none",
        "v=DMARC1 p=none",
        "p=none; v=DMARC1",
        "v=DMARC2",
        "v=spf1 -all",
        "=DMARC1",
    ] {
        assert!(!is_record(no), "{no}");
        assert_eq!(Record::parse(no), Err(RecordFault::NotDmarc), "{no}");
    }
    let long = format!("v=DMARC1; p=none; x={}", "y".repeat(RECORD_OCTETS_MAX));
    assert_eq!(Record::parse(&long), Err(RecordFault::TooLong));
}

#[test]
fn each_tag_is_read_and_broken_ones_are_remarked() {
    use RemarkKind::*;
    let cases: &[(&str, &str, &[RemarkKind])] = &[
        ("v=DMARC1; p=reject", "v=DMARC1; p=reject", &[]),
        ("v=DMARC1;p=REJECT;sp=Quarantine;np=none", "v=DMARC1; p=reject; sp=quarantine; np=none", &[]),
        ("v=DMARC1; p=none; adkim=S; aspf=r; t=Y; psd=N", "v=DMARC1; p=none; adkim=s; t=y; psd=n", &[Softened]),
        // The order of tags behind v is free; blanks and empty parts are no faults.
        ("v=DMARC1 ;; rua = mailto:a@b.example ; p = none ;", "v=DMARC1; p=none; rua=mailto:a@b.example", &[]),
        ("v=DMARC1; p=none; pct=50; rf=afrf; ri=86400", "v=DMARC1; p=none", &[Historic, Historic, Historic]),
        ("v=DMARC1; p=none; pct=101; ri=x", "v=DMARC1; p=none", &[Historic, Historic]),
        ("v=DMARC1; p=none; foo=bar; x", "v=DMARC1; p=none", &[Unknown, NoTag]),
        ("v=DMARC1; p=none; p=reject; P=quarantine", "v=DMARC1; p=none", &[Twice, Twice]),
        ("v=DMARC1; P=reject", "v=DMARC1; p=reject", &[Capitals]),
        ("v=DMARC1; p=none; adkim=x; t=maybe; psd=", "v=DMARC1; p=none", &[BadValue, BadValue, BadValue]),
        ("v=DMARC1; p=none; fo=1", "v=DMARC1; p=none", &[FoWithoutRuf]),
        (
            "v=DMARC1; p=none; ruf=mailto:a@b.example; fo=1:s:d",
            "v=DMARC1; p=none; ruf=mailto:a@b.example; fo=1:d:s",
            &[],
        ),
        ("v=DMARC1; p=none; ruf=mailto:a@b.example; fo=0:1", "v=DMARC1; p=none; ruf=mailto:a@b.example", &[BadValue]),
        ("v=DMARC1; p=none; ruf=mailto:a@b.example; fo=d:d", "v=DMARC1; p=none; ruf=mailto:a@b.example", &[BadValue]),
        (
            "v=DMARC1; p=none; rua=mailto:a@b.example!10m,mailto:c@d.example",
            "v=DMARC1; p=none; rua=mailto:a@b.example,mailto:c@d.example",
            &[Size],
        ),
        ("v=DMARC1; p=none; rua=https://x.example/r", "v=DMARC1; p=none; rua=https://x.example/r", &[NotMail]),
        ("v=DMARC1; p=none; rua=a@b.example", "v=DMARC1; p=none", &[BadValue, BadValue]),
        (
            "v=DMARC1; p=none; rua=mailto:a@b.example, ,mailto:",
            "v=DMARC1; p=none; rua=mailto:a@b.example",
            &[BadValue, BadValue],
        ),
        ("v=DMARC1; p=none; rua=mailto:a@b.example!10q", "v=DMARC1; p=none", &[BadValue, BadValue]),
    ];
    for (text, expected, remarks) in cases {
        let (record, found) = parse(text);
        assert_eq!(record.to_string(), *expected, "{text}");
        assert_eq!(found.iter().map(|r| r.what).collect::<Vec<_>>(), *remarks, "{text}: {found:?}");
        assert!(found.iter().all(|remark| remark.to_string().len() > 10));
    }
    assert_eq!(parse("v=DMARC1; p=none; pct=0").0.pct, Some(0));
    assert_eq!(parse("v=DMARC1; p=none; rua=mailto:a@b.example!10m").0.rua[0].octets_max, Some(10 << 20));
    let many = format!("v=DMARC1; p=none; rua={}", vec!["mailto:a@b.example"; 1_000].join(","));
    assert_eq!(Record::parse(&many).map(|_| ()), Err(RecordFault::TooLong));
    let many = format!("v=DMARC1; p=none; rua={}", vec!["mailto:a@b.example"; 100].join(","));
    assert_eq!(parse(&many).0.rua.len(), URIS_MAX);
}

#[test]
fn policies_that_cannot_be_read_count_as_none_where_reports_are_asked_for() {
    use Relation::*;
    let cases = [
        // p is missing or broken, or sp or np is: RFC 9989 §4.10.1.
        ("v=DMARC1; rua=mailto:a@b.example", Standing::AsNone, Some(Policy::None), Some(Policy::None)),
        ("v=DMARC1; p=rejekt; rua=mailto:a@b.example", Standing::AsNone, Some(Policy::None), Some(Policy::None)),
        ("v=DMARC1; p=reject; sp=x; rua=mailto:a@b.example", Standing::AsNone, Some(Policy::None), Some(Policy::None)),
        ("v=DMARC1; p=reject; np=x; rua=mailto:a@b.example", Standing::AsNone, Some(Policy::None), Some(Policy::None)),
        ("v=DMARC1; p=reject; np=x; rua=nowhere", Standing::Void, None, None),
        ("v=DMARC1; sp=reject", Standing::Void, None, None),
        ("v=DMARC1;", Standing::Void, None, None),
        ("v=DMARC1; p=reject; adkim=x", Standing::AsWritten, Some(Policy::Reject), Some(Policy::Reject)),
        ("v=DMARC1; p=none; np=reject", Standing::AsWritten, Some(Policy::None), Some(Policy::Reject)),
        ("v=DMARC1; p=none; sp=quarantine", Standing::AsWritten, Some(Policy::None), Some(Policy::Quarantine)),
        ("v=DMARC1; p=none; sp=quarantine; np=reject", Standing::AsWritten, Some(Policy::None), Some(Policy::Reject)),
    ];
    for (text, standing, own, absent) in cases {
        let record = parse(text).0;
        assert_eq!(
            (record.standing, record.policy(Own), record.policy(AbsentSubdomain)),
            (standing, own, absent),
            "{text}"
        );
    }
    let record = parse("v=DMARC1; p=none; sp=quarantine; np=reject").0;
    assert_eq!(record.policy(Subdomain), Some(Policy::Quarantine));
    let tags = [Own, Subdomain, AbsentSubdomain].map(|of| record.policy_tag(of));
    assert_eq!(tags, ["p", "sp", "np"]);
    let record = parse("v=DMARC1; p=reject").0;
    assert_eq!([Own, Subdomain, AbsentSubdomain].map(|of| record.policy_tag(of)), ["p"; 3]);
}

#[test]
fn our_address_is_found_among_others_whatever_its_escapes_and_case() {
    let ours = Mailbox::parse("dmarc+1@relay.example.jp").expect("an address");
    for (rua, expected) in [
        ("mailto:x@y.example,MAILTO:Dmarc%2B1@Relay.Example.JP!1m", true),
        ("mailto:dmarc+1@relay.example.jp?subject=x", true),
        ("mailto:dmarc@relay.example.jp", false),
        ("https://relay.example.jp/dmarc+1@relay.example.jp", false),
        ("mailto:dmarc%2@relay.example.jp,mailto:a@b.example", false),
    ] {
        assert_eq!(parse(&format!("v=DMARC1; p=none; rua={rua}")).0.reports_to(&ours), expected, "{rua}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused_and_what_is_written_is_read_the_same(text in "v=DMARC1;( ?[a-zA-Z]{1,5} ?=[ -~]{0,40};){0,8}|\\PC{0,200}") {
        if let Ok((record, remarks)) = Record::parse(&text) {
            proptest::prop_assert!(remarks.len() <= 2 * TAGS_MAX + URIS_MAX * 4);
            let (again, _) = Record::parse(&record.to_string()).expect("a record of ours");
            proptest::prop_assert_eq!(again.to_string(), record.to_string());
            proptest::prop_assert_eq!(again.policy(Relation::Subdomain).is_some() || again.p.is_none(), true);
        }
    }
}
