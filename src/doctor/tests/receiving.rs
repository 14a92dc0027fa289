//! MTA-STS, TLS reports, DANE, BIMI: each finding provoked.

use super::{
    super::finding::Level::{Error, Note, Ok as Fine, Warning},
    *,
};

fn policy(mut world: World, text: &'static str) -> World {
    world.policy = Ok(text);
    world
}

#[test]
pub(super) fn mta_sts_is_followed_to_its_policy() {
    check(&[
        (
            "well",
            |w| w,
            &[
                ("sts.record", Fine, "example.jp", "20261129"),
                ("sts.policy", Fine, "example.jp", "mode enforce for mx.example.jp"),
                ("sts.hosts_allowed", Fine, "example.jp", ""),
            ],
        ),
        (
            "none",
            |w| {
                w.zones.forget("_mta-sts.example.jp");
                w
            },
            &[("sts.absent", Note, "example.jp", "no MTA-STS")],
        ),
        (
            "two records",
            |w| {
                let zones = w.zones.with_txt("_mta-sts.example.jp", "v=STSv1; id=2");
                World { zones, ..w }
            },
            &[("sts.bad_record", Warning, "example.jp", "id=2")],
        ),
        (
            "no policy host",
            |w| {
                w.zones.forget("mta-sts.example.jp");
                w
            },
            &[("sts.not_fetched", Error, "example.jp", "no address")],
        ),
        (
            "a private policy host",
            |mut w| {
                w.config.delivery.block_private_destinations = true;
                w
            },
            &[("sts.not_fetched", Error, "example.jp", "private or reserved")],
        ),
        (
            "404",
            |mut w| {
                w.policy = Err(NoPolicy::NotFetched("it answered with status 404".into()));
                w
            },
            &[("sts.not_fetched", Error, "example.jp", "404")],
        ),
        (
            "a certificate of another name",
            |mut w| {
                w.policy = Err(NoPolicy::Certificate("certificate not valid for name".into()));
                w
            },
            &[("sts.certificate", Error, "example.jp", "not valid for name")],
        ),
        ("no policy", |w| policy(w, "<html>"), &[("sts.bad_policy", Error, "example.jp", "no colon")]),
        (
            "mode none",
            |w| policy(w, "version: STSv1\nmode: none\nmax_age: 86400\n"),
            &[("sts.policy", Warning, "example.jp", "mode none")],
        ),
        (
            "tested, for an hour, for another host",
            |w| policy(w, "version: STSv1\nmode: testing\nmx: other.example.jp\nmax_age: 3600\n"),
            &[
                ("sts.policy", Note, "example.jp", "mode testing"),
                ("sts.short_lived", Warning, "example.jp", "3,600"),
                ("sts.host_not_allowed", Warning, "example.jp", "mx.example.jp"),
            ],
        ),
        (
            "enforced for another host",
            |w| policy(w, "version: STSv1\nmode: enforce\nmx: *.example.net\nmax_age: 604800\n"),
            &[("sts.host_not_allowed", Error, "example.jp", "deliver nothing there")],
        ),
        (
            "of many hosts, the one that mail goes to first",
            |w| {
                let many = |zones: Zones, n: u8| zones.with_mx("example.jp", 20, &format!("m{n}.example.jp"));
                let zones = (0..10).fold(w.zones, many).with_mx("example.jp", 5, "first.example.net");
                policy(World { zones, ..w }, "version: STSv1\nmode: enforce\nmx: *.example.jp\nmax_age: 604800\n")
            },
            &[("sts.host_not_allowed", Error, "example.jp", "first.example.net")],
        ),
        (
            "the DNS is silent",
            |w| {
                let zones = w.zones.failing("_mta-sts.example.jp");
                World { zones, ..w }
            },
            &[("unanswered", Warning, "example.jp", "TXT _mta-sts.example.jp")],
        ),
    ]);
}

#[test]
pub(super) fn tls_reports_go_somewhere() {
    check(&[
        ("well", |w| w, &[("tls_rpt.found", Fine, "example.jp", "mailto:tls@in.example.jp")]),
        (
            "none",
            |w| {
                w.zones.forget("_smtp._tls.example.jp");
                w
            },
            &[("tls_rpt.absent", Note, "example.jp", "asks nobody")],
        ),
        (
            "no place",
            |w| {
                w.zones.set_txt("_smtp._tls.example.jp", "v=TLSRPTv1; rua=ftp://x");
                w
            },
            &[("tls_rpt.bad", Warning, "example.jp", "none that counts")],
        ),
        (
            "the DNS is silent",
            |w| {
                let zones = w.zones.failing("_smtp._tls.example.jp");
                World { zones, ..w }
            },
            &[("unanswered", Warning, "example.jp", "_smtp._tls")],
        ),
    ]);
    let world = well();
    world.zones.forget("_smtp._tls.example.jp");
    let expected = "_smtp._tls.example.jp. 3600 IN TXT \"v=TLSRPTv1; rua=mailto:tls@in.example.jp\"";
    assert_eq!(lines(one(&world.report(), "tls_rpt.absent")), [expected]);
}

#[test]
pub(super) fn dane_counts_where_it_is_proven() {
    const AT: &str = "_25._tcp.mx.example.jp";
    check(&[
        (
            "well",
            |w| w,
            &[("dane.mx_secure", Fine, "example.jp", "proven"), ("dane.found", Fine, "mx.example.jp", "1 of 1")],
        ),
        (
            "not signed",
            |mut w| {
                w.domain = "plain.test";
                w.zones = w.zones.with_mx("plain.test", 1, "mx.plain.test").with_ip("mx.plain.test", "192.0.2.3");
                w
            },
            &[
                ("dane.mx_not_secure", Note, "plain.test", "not proven"),
                ("dane.absent", Note, "mx.plain.test", "no TLSA"),
            ],
        ),
        (
            "signed MX, records that are not",
            |mut w| {
                w.zones =
                    w.zones.with_mx("example.jp", 20, "mx.plain.test").with_tlsa("_25._tcp.mx.plain.test", tlsa(3));
                w
            },
            &[("dane.not_secure", Warning, "mx.plain.test", "nobody uses them")],
        ),
        (
            "of a kind that nobody can use",
            |w| {
                w.zones.forget(AT);
                let zones = w.zones.with_tlsa(AT, tlsa(1));
                World { zones, ..w }
            },
            &[("dane.unusable", Warning, "mx.example.jp", "none of which")],
        ),
        (
            "the DNS is silent",
            |w| {
                let zones = w.zones.failing(AT);
                World { zones, ..w }
            },
            &[("unanswered", Warning, "mx.example.jp", "TLSA _25._tcp.mx.example.jp")],
        ),
    ]);
}

#[test]
pub(super) fn bimi_needs_a_strong_policy() {
    const AT: &str = "default._bimi.example.jp";
    check(&[
        (
            "well",
            |w| w,
            &[
                ("bimi.found", Fine, "example.jp", "https://example.jp/c.pem"),
                ("bimi.strong_policy", Fine, "example.jp", ""),
            ],
        ),
        (
            "the organization's",
            |mut w| {
                w.domain = "shop.example.jp";
                w
            },
            &[("bimi.found", Fine, "shop.example.jp", "https://example.jp/l.svg")],
        ),
        (
            "none",
            |w| {
                w.zones.forget(AT);
                w
            },
            &[("bimi.absent", Note, "example.jp", "no BIMI")],
        ),
        (
            "no logo",
            |w| {
                w.zones.set_txt(AT, "v=BIMI1; l=; a=");
                w
            },
            &[("bimi.declined", Note, "example.jp", "no logo")],
        ),
        (
            "no certificate",
            |w| {
                w.zones.set_txt(AT, "v=BIMI1; l=https://example.jp/l.svg");
                w
            },
            &[("bimi.found", Note, "example.jp", "without a certificate")],
        ),
        (
            "http",
            |w| {
                w.zones.set_txt(AT, "v=BIMI1; l=http://example.jp/l.svg");
                w
            },
            &[("bimi.bad", Warning, "example.jp", "not https")],
        ),
        (
            "a weak policy",
            |w| {
                w.zones.set_txt("_dmarc.example.jp", "v=DMARC1; p=quarantine; pct=20");
                w
            },
            &[("bimi.weak_policy", Warning, "example.jp", "pct=20")],
        ),
        (
            "subdomains are open",
            |w| {
                w.zones.set_txt("_dmarc.example.jp", "v=DMARC1; p=reject; sp=none");
                w
            },
            &[("bimi.weak_policy", Warning, "example.jp", "sp=none")],
        ),
        (
            "the DNS is silent",
            |w| {
                let zones = w.zones.failing(AT);
                World { zones, ..w }
            },
            &[("unanswered", Warning, "example.jp", "default._bimi")],
        ),
    ]);
}
