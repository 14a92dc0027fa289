//! SPF, DKIM, DMARC: each finding provoked.

use super::{
    super::finding::{
        Level::{Error, Note, Ok as Fine, Warning},
        Published, RecordKind,
    },
    *,
};
use crate::config::Source;

const PEM_1024: &str = "-----BEGIN RSA PRIVATE KEY-----
MIICXgIBAAKBgQDGqa0HNMzByujs6BlUmsuB3rzWY7N4AaSwtQypVeOmPG+4ehy7
GLyix3/ECeZAOazA4HsgYJH/iiDCp6KhzS1oVbvcFnYg8sNklIBhN8g9w1LFXlNR
KK+e2RKB//2ne1TW0zUilMgOUCEZPYBIEltoTxIWW+OftrWUG2KxHKYNZwIDAQAB
AoGBAKpHEvzDP+G3NvCge92tlFMrhDZKXLC2z996P3EBIlABK002tVuUd1MapiN0
zLst9CmZ/08gFuOuFChkIRyITarGgNMOPv+cnO/BZfSdMgnX2Bi4QE6Bsh8xUvDV
+kNdrYACO2sLlnUjy+YQOFJM3FjcSNu2x/kvBjaSPFjJOfXZAkEA4h/3j16Bs3Ut
9O5sXEARmiWiAoJBr0ErodammHiDmtqUl0zTw1GCGCFzoj513F9JHKHBRs+EnrpG
lzGKIucIfQJBAODo4csAR6uj7SObY9+3l2/URZQFtm2jgwTD3tPLCzQiBVAFisGm
vjGIFLbQS5FVf1AubIk+A/ATYGZle/Qv9rMCQQDPL5sUsfMFCwjgstR2cf2uz2xy
AAdPHNdtoc9jRIjRChW7y5j8DWK12XCp57D2ChhjM5Jz3xAUn3iub6Wx9R3BAkBz
tNuUyEwW7Xquet7i1Vy/V4GEKXw0444gAXS9mRPmeiophPBhuBrY+J1Pf9Ggr0+U
PI3x/UmhVRafF06xzYspAkEAiit1YM2rIYEcxKhaco+XTNZk+VpDq8pulD7F73v2
OvK0eRi0pGDMSYzZV07lfy8dt5OqDThG47i/PrmfTU393A==
-----END RSA PRIVATE KEY-----
";

fn spf(mut world: World, record: &str) -> World {
    world.zones.set_txt("return.example.jp", record);
    world.zones = world.zones.with_txt("_spf.example.net", "another text");
    world
}

#[test]
pub(super) fn spf_is_looked_at_from_all_sides() {
    check(&[
        (
            "well",
            |w| w,
            &[
                ("spf.found", Fine, "return.example.jp", "v=spf1 ip4:192.0.2.1 -all"),
                ("spf.valid", Fine, "example.jp", ""),
                ("spf.passes", Fine, "example.jp 192.0.2.1", "by ip4:192.0.2.1"),
                ("spf.closed", Fine, "return.example.jp", "-all"),
                ("spf.lookups", Fine, "example.jp", "1 of 10 look-ups: include:_spf.example.net (1)"),
            ],
        ),
        (
            "none at the envelope's domain",
            |w| {
                w.zones.set_txt("return.example.jp", "spf1 -all");
                w
            },
            &[("spf.missing", Error, "return.example.jp", "looks like one")],
        ),
        (
            "none at the header's domain",
            |w| {
                w.zones.set_txt("example.jp", "google-site-verification=x");
                w
            },
            &[("spf.missing", Warning, "example.jp", "has no SPF record.")],
        ),
        (
            "two",
            |w| {
                let zones = w.zones.with_txt("return.example.jp", "v=spf1 a ~all");
                World { zones, ..w }
            },
            &[("spf.several", Error, "return.example.jp", "2 SPF records")],
        ),
        (
            "a word that nobody knows",
            |w| spf(w, "v=spf1 ipv4:192.0.2.1 -all"),
            &[
                ("spf.invalid", Error, "return.example.jp", "ipv4:192.0.2.1"),
                ("spf.fails", Error, "return.example.jp 192.0.2.1", "permerror"),
            ],
        ),
        (
            "an include that leads nowhere",
            |w| spf(w, "v=spf1 ip4:192.0.2.1 include:gone.test -all"),
            &[("spf.invalid", Error, "return.example.jp", "gone.test")],
        ),
        (
            "eleven look-ups",
            |w| {
                let includes: String = (0..11).map(|n| format!(" include:s{n}.test")).collect();
                let zones =
                    (0..11).fold(w.zones, |z, n| z.with_txt(&format!("s{n}.test"), "v=spf1 ip4:203.0.113.1 -all"));
                spf(World { zones, ..w }, &format!("v=spf1{includes} ip4:192.0.2.1 -all"))
            },
            &[
                ("spf.lookups", Error, "return.example.jp", "11 of 10"),
                ("spf.fails", Error, "return.example.jp 192.0.2.1", "permerror"),
            ],
        ),
        (
            "look-ups that find nothing",
            |w| spf(w, "v=spf1 ip4:192.0.2.1 a:a.test a:b.test a:c.test -all"),
            &[("spf.void", Error, "return.example.jp", "3 find nothing")],
        ),
        (
            "our address is not in it",
            |w| spf(w, "v=spf1 ip4:198.51.100.7 ~all"),
            &[("spf.fails", Error, "return.example.jp 192.0.2.1", "softfail, by ~all")],
        ),
        ("everybody may", |w| spf(w, "v=spf1 +all"), &[("spf.everybody", Error, "return.example.jp", "+all")]),
        (
            "others are not spoken of",
            |w| spf(w, "v=spf1 ip4:192.0.2.1"),
            &[("spf.open", Warning, "return.example.jp", "without")],
        ),
        (
            "others are neutral",
            |w| spf(w, "v=spf1 ip4:192.0.2.1 ?all"),
            &[("spf.open", Warning, "return.example.jp", "?all")],
        ),
        ("ptr", |w| spf(w, "v=spf1 ip4:192.0.2.1 ptr -all"), &[("spf.ptr", Warning, "return.example.jp", "ptr")]),
        (
            "the DNS is silent",
            |w| {
                let zones = w.zones.failing("return.example.jp");
                World { zones, ..w }
            },
            &[("unanswered", Warning, "return.example.jp", "TXT return.example.jp")],
        ),
        (
            "what it includes is not answered",
            |w| {
                let zones = w.zones.failing("_spf.example.net");
                World { zones, ..w }
            },
            &[("unanswered", Warning, "example.jp", "reaches"), ("spf.passes", Fine, "example.jp 192.0.2.1", "")],
        ),
        (
            "a smarthost",
            |mut w| {
                w.config.domain_check.addresses.clear();
                w.config.delivery.mode = crate::config::Mode::Smarthost;
                w.config.delivery.smarthost = Some(crate::config::HostPort { host: "smart.example".into(), port: 587 });
                w
            },
            &[
                ("spf.smarthost", Note, "example.jp", "smart.example:587"),
                ("address.smarthost", Note, "example.jp", "smart.example:587"),
            ],
        ),
        (
            "behind a NAT",
            |mut w| {
                w.config.domain_check.addresses.clear();
                w.config.delivery.source_addresses = vec!["10.0.0.5".parse().expect("an address")];
                w
            },
            &[
                ("spf.no_address", Note, "return.example.jp", "not known"),
                ("address.private", Warning, "example.jp", "10.0.0.5"),
            ],
        ),
    ]);
}

#[test]
fn the_record_that_heals_many_has_all_that_they_said() {
    let mut world = well();
    let long: String = (0..120).map(|n| format!(" ip4:198.51.100.{n}")).collect();
    world.zones = (1..7)
        .fold(world.zones, |zones, n| zones.with_txt("return.example.jp", &format!("v=spf1 include:s{n}.test ~all")));
    world.zones = world.zones.with_txt("return.example.jp", &format!("v=spf1{long} include:last.test ~all"));
    let report = world.report();
    let several = one(&report, "spf.several");
    let healed = &several.records[0].value;
    for term in ["ip4:192.0.2.1", "include:s6.test", "ip4:198.51.100.119", "include:last.test", "-all"] {
        assert!(healed.split(' ').any(|t| t == term), "{term} in {healed}");
    }
    assert!(crate::spf::record::parse(healed).is_ok());
}

#[test]
fn the_record_to_have_is_judged_by_the_name_that_each_address_says_hello_with() {
    let mut world = well();
    // Of the record, only what says hello as "out.example.jp" passes.
    let hostname = "out.example.jp".to_owned();
    world.config.delivery.sources = vec![Source {
        address: OURS.parse().expect("an address"),
        weight: 1,
        hostname,
        users: Vec::new(),
        warm_up_from: None,
    }];
    world.zones.set_txt("return.example.jp", "v=spf1 exists:%{h}.ok.test -all");
    world.zones = world.zones.with_ip("out.example.jp.ok.test", "127.0.0.2");
    let (doctor, _) = world.doctor();
    let (report, records) =
        smol::block_on(async { (doctor.check("example.jp").await, doctor.records("example.jp").await) });
    let passes = report.findings.iter().any(|f| variant(&f.seen) == "spf.passes" && f.subject.starts_with("return"));
    let wanted =
        records.wanted.iter().find(|w| w.record.name == "return.example.jp" && w.record.kind == RecordKind::Txt);
    let published = wanted.map(|w| w.published);
    assert_eq!((passes, published), (true, Some(Published::Yes)));
}

#[test]
fn the_spf_record_to_publish_is_the_published_one_with_our_addresses() {
    let mut world = spf(well(), "v=spf1 a:x.test -all");
    world.config.domain_check.addresses.push("2001:db8::1".parse().expect("an address"));
    let report = world.report();
    let finding = one(&report, "spf.fails");
    assert_eq!(
        lines(finding),
        ["return.example.jp. 3600 IN TXT \"v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 a:x.test -all\""]
    );
    let world = well();
    world.zones.forget("return.example.jp");
    world.zones.forget("example.jp");
    let report = world.report();
    let records: Vec<String> =
        report.findings.iter().filter(|f| variant(&f.seen) == "spf.missing").flat_map(lines).collect();
    // The return domain is ours alone.
    assert_eq!(
        records,
        [
            "return.example.jp. 3600 IN TXT \"v=spf1 ip4:192.0.2.1 -all\"",
            "example.jp. 3600 IN TXT \"v=spf1 ip4:192.0.2.1 ~all\""
        ]
    );
}

fn key_record(world: World, text: &str) -> World {
    world.zones.set_txt(KEY_NAME, text);
    world
}

#[test]
pub(super) fn each_key_is_held_against_its_record() {
    check(&[
        (
            "well",
            |w| w,
            &[
                ("dkim.signs", Fine, "example.jp", "d=example.jp (k1._domainkey.example.jp)"),
                ("dkim.matches", Fine, KEY_NAME, "2048 bits"),
            ],
        ),
        (
            "no key",
            |mut w| {
                w.keys.clear();
                w
            },
            &[("dkim.no_key", Error, "example.jp", "No key")],
        ),
        (
            "missing",
            |w| {
                w.zones.forget(KEY_NAME);
                w
            },
            &[("dkim.missing", Error, KEY_NAME, "cannot be verified")],
        ),
        (
            "two",
            |w| {
                let zones = w.zones.with_txt(KEY_NAME, &OTHER.record());
                World { zones, ..w }
            },
            &[("dkim.several", Error, KEY_NAME, "2 records")],
        ),
        (
            "cut short",
            |w| {
                let record = RSA.record();
                key_record(w, &record[..200])
            },
            &[("dkim.invalid", Error, KEY_NAME, "cannot be read")],
        ),
        ("another key", |w| key_record(w, &OTHER.record()), &[("dkim.differs", Error, KEY_NAME, "another key")]),
        ("another type", |w| key_record(w, &ED.record()), &[("dkim.differs", Error, KEY_NAME, "another key")]),
        ("revoked", |w| key_record(w, "v=DKIM1; k=rsa; p="), &[("dkim.revoked", Error, KEY_NAME, "revoked")]),
        (
            "tested",
            |w| {
                let record = RSA.record().replace("v=DKIM1;", "v=DKIM1; t=y;");
                key_record(w, &record)
            },
            &[("dkim.testing", Warning, KEY_NAME, "t=y"), ("dkim.matches", Fine, KEY_NAME, "")],
        ),
        (
            "sha1 alone",
            |w| {
                let record = RSA.record().replace("v=DKIM1;", "v=DKIM1; h=sha1;");
                key_record(w, &record)
            },
            &[("dkim.hash", Error, KEY_NAME, "sha1")],
        ),
        (
            "not for mail",
            |w| {
                let record = RSA.record().replace("v=DKIM1;", "v=DKIM1; s=tlsrpt;");
                key_record(w, &record)
            },
            &[("dkim.service", Error, KEY_NAME, "tlsrpt")],
        ),
        (
            "1024 bits",
            |mut w| {
                let key = Arc::new(SigningKey::from_pem(PEM_1024.as_bytes()).expect("a key"));
                w.zones.set_txt(KEY_NAME, &key.record());
                w.keys = vec![("k1", key)];
                w
            },
            &[("dkim.short", Warning, KEY_NAME, "1024"), ("dkim.matches", Fine, KEY_NAME, "")],
        ),
        (
            "Ed25519 alone",
            |mut w| {
                w.zones.set_txt(KEY_NAME, &ED.record());
                w.keys = vec![("k1", ED.clone())];
                w
            },
            &[("dkim.no_rsa", Warning, "example.jp", "Ed25519"), ("dkim.matches", Fine, KEY_NAME, "")],
        ),
        (
            "a key that waits",
            |mut w| {
                let waits =
                    Managed { domain: "example.jp".into(), selector: "k2".into(), key: OTHER.clone(), signs: false };
                w.managed.push(waits);
                w
            },
            &[("dkim.missing", Note, "k2._domainkey.example.jp", ""), ("dkim.matches", Fine, KEY_NAME, "")],
        ),
        (
            "the DNS is silent",
            |w| {
                let zones = w.zones.failing(KEY_NAME);
                World { zones, ..w }
            },
            &[
                ("unanswered", Warning, KEY_NAME, "TXT k1._domainkey.example.jp"),
                ("dmarc.dkim_alignment", Note, "example.jp", "not known"),
            ],
        ),
    ]);
    let world = well();
    world.zones.forget(KEY_NAME);
    let report = world.report();
    let record = &one(&report, "dkim.missing").records[0];
    assert_eq!((record.name.as_str(), record.value.as_str()), (KEY_NAME, RSA.record().as_str()));
}

fn dmarc(world: World, record: &str) -> World {
    world.zones.set_txt("_dmarc.example.jp", record);
    world
}

#[test]
pub(super) fn the_dmarc_record_that_applies_is_told_with_whence_it_comes() {
    const OURS: &str = "rua=mailto:dmarc@in.example.jp";
    check(&[
        (
            "well",
            |w| w,
            &[
                ("dmarc.own", Fine, "example.jp", "record of its own"),
                ("dmarc.policy", Fine, "example.jp", "p=reject"),
                ("dmarc.reports_here", Fine, "example.jp", "dmarc@in.example.jp"),
                ("dmarc.spf_alignment", Fine, "example.jp", "return.example.jp; with aspf=r: it counts"),
                ("dmarc.dkim_alignment", Fine, "example.jp", "d=example.jp; with adkim=r: it counts"),
                ("dmarc.passes", Fine, "example.jp", "SPF, DKIM"),
            ],
        ),
        (
            "none",
            |w| {
                w.zones.forget("_dmarc.example.jp");
                w
            },
            &[("dmarc.missing", Error, "example.jp", "_dmarc.example.jp, _dmarc.jp")],
        ),
        (
            "inherited by sp",
            |mut w| {
                w.domain = "shop.example.jp";
                w.zones = w.zones.with_mx("shop.example.jp", 10, "mx.example.jp");
                dmarc(w, "v=DMARC1; p=reject; sp=quarantine; rua=mailto:dmarc@in.example.jp")
            },
            &[
                ("dmarc.inherited", Note, "shop.example.jp", "organizational domain example.jp covers it, by sp="),
                ("dmarc.policy", Fine, "shop.example.jp", "p=quarantine"),
                ("dmarc.passes", Fine, "shop.example.jp", "SPF, DKIM"),
            ],
        ),
        (
            "inherited by np",
            |mut w| {
                w.domain = "gone.example.jp";
                dmarc(w, "v=DMARC1; p=none; np=reject; rua=mailto:dmarc@in.example.jp")
            },
            &[("dmarc.inherited", Note, "gone.example.jp", "by np=")],
        ),
        (
            "a record of its own goes first",
            |mut w| {
                w.domain = "shop.example.jp";
                w.zones = w.zones.with_txt("_dmarc.shop.example.jp", "v=DMARC1; p=none");
                w
            },
            &[("dmarc.own", Fine, "shop.example.jp", "p=none")],
        ),
        (
            "of a public suffix",
            |w| {
                w.zones.forget("_dmarc.example.jp");
                let zones = w.zones.with_txt("_dmarc.jp", "v=DMARC1; p=reject; psd=y");
                World { zones, ..w }
            },
            &[("dmarc.inherited", Note, "example.jp", "public suffix jp")],
        ),
        (
            "two",
            |w| {
                let zones = w.zones.with_txt("_dmarc.example.jp", "v=DMARC1; p=none");
                World { zones, ..w }
            },
            &[("dmarc.invalid", Error, "example.jp", "2 records"), ("dmarc.missing", Error, "example.jp", "")],
        ),
        ("nearly one", |w| dmarc(w, "v=DMARC1 p=none"), &[("dmarc.invalid", Error, "example.jp", "does not begin")]),
        ("without p", |w| dmarc(w, "v=DMARC1; sp=none"), &[("dmarc.invalid", Error, "example.jp", "no valid p=")]),
        (
            "of the year 2015",
            |w| dmarc(w, "v=DMARC1; p=reject; pct=50; ri=3600; rua=mailto:dmarc@in.example.jp"),
            &[("dmarc.remarks", Note, "example.jp", "pct=50")],
        ),
        (
            "tested",
            |w| dmarc(w, "v=DMARC1; p=reject; t=y; rua=mailto:dmarc@in.example.jp"),
            &[("dmarc.policy", Note, "example.jp", "only being tried")],
        ),
        (
            "subdomains are weaker",
            |w| dmarc(w, "v=DMARC1; p=reject; sp=none; rua=mailto:dmarc@in.example.jp"),
            &[("dmarc.subdomains", Warning, "example.jp", "sp=none")],
        ),
        (
            "reports go elsewhere",
            |w| dmarc(w, "v=DMARC1; p=reject; rua=mailto:a@example.jp"),
            &[("dmarc.reports_elsewhere", Warning, "example.jp", "mailto:a@example.jp, not to dmarc@in.example.jp")],
        ),
        (
            "nobody asks for reports",
            |w| dmarc(w, "v=DMARC1; p=reject"),
            &[("dmarc.reports_elsewhere", Warning, "example.jp", "asks nobody")],
        ),
        (
            "no report address",
            |mut w| {
                w.config.bounce.report_address.clear();
                w
            },
            &[("dmarc.no_report_address", Note, "example.jp", "not set")],
        ),
        (
            "reports to another domain",
            |mut w| {
                w.config.bounce.report_address = "dmarc@reports.example.net".into();
                dmarc(w, "v=DMARC1; p=reject; rua=mailto:dmarc@reports.example.net")
            },
            &[("dmarc.not_authorised", Error, "example.jp", "example.jp._report._dmarc.reports.example.net")],
        ),
        (
            "which wants them",
            |mut w| {
                w.config.bounce.report_address = "dmarc@reports.example.net".into();
                w.zones = w.zones.with_txt("example.jp._report._dmarc.reports.example.net", "v=DMARC1;");
                dmarc(w, "v=DMARC1; p=reject; rua=mailto:dmarc@reports.example.net")
            },
            &[("dmarc.authorised", Fine, "example.jp", "wanted")],
        ),
        (
            "the envelope is a stranger's",
            |mut w| {
                w.config.domains[0].return_domain = "bounce.example.net".into();
                w.zones = w.zones.with_txt("bounce.example.net", "v=spf1 ip4:192.0.2.1 -all").with_mx(
                    "bounce.example.net",
                    1,
                    "mail.example.jp",
                );
                w
            },
            &[
                ("dmarc.spf_alignment", Warning, "example.jp", "not aligned"),
                ("dmarc.passes", Fine, "example.jp", "by DKIM"),
            ],
        ),
        (
            "strict",
            |w| dmarc(w, "v=DMARC1; p=reject; aspf=s; adkim=s; rua=mailto:dmarc@in.example.jp"),
            &[
                ("dmarc.spf_alignment", Warning, "example.jp", "aspf=s: not aligned"),
                ("dmarc.dkim_alignment", Fine, "example.jp", "adkim=s: it counts"),
            ],
        ),
        (
            "nothing passes",
            |w| {
                w.zones.forget(KEY_NAME);
                spf(w, "v=spf1 -all")
            },
            &[
                ("dmarc.fails", Error, "example.jp", "policy is p=reject"),
                ("dmarc.spf_alignment", Error, "example.jp", "SPF does not pass"),
                ("dmarc.dkim_alignment", Error, "example.jp", "cannot be verified"),
            ],
        ),
        (
            "the DNS is silent",
            |w| {
                let zones = w.zones.failing("_dmarc.example.jp");
                World { zones, ..w }
            },
            &[("unanswered", Warning, "example.jp", "TXT _dmarc.example.jp")],
        ),
    ]);
    let report = dmarc(well(), "v=DMARC1; p=reject; sp=none; rua=mailto:a@example.jp").report();
    assert_eq!(
        lines(one(&report, "dmarc.reports_elsewhere")),
        [format!(
            "_dmarc.example.jp. 3600 IN TXT \"v=DMARC1; p=reject; sp=none; rua=mailto:a@example.jp,{}\"",
            &OURS[4..]
        )]
    );
    let world = well();
    world.zones.forget("_dmarc.example.jp");
    assert_eq!(
        lines(one(&world.report(), "dmarc.missing")),
        [format!("_dmarc.example.jp. 3600 IN TXT \"v=DMARC1; p=none; {OURS}\"")]
    );
}
