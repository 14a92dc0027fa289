//! Addresses, names, what comes back, blocklists, bulk senders: each finding provoked.

use super::{
    super::finding::Level::{Error, Note, Ok as Fine, Warning},
    *,
};

#[test]
pub(super) fn our_addresses_have_names_that_lead_back() {
    check(&[
        (
            "well",
            |w| w,
            &[
                ("address.known", Fine, "example.jp", "192.0.2.1 (by [domain_check] addresses)"),
                ("address.confirmed", Fine, OURS, "mail.example.jp"),
                ("address.hello_leads_here", Fine, OURS, "mail.example.jp"),
            ],
        ),
        (
            "no name",
            |mut w| {
                w.config.domain_check.addresses.push("2001:db8::9".parse().expect("an address"));
                w
            },
            &[
                ("address.no_name", Error, "2001:db8::9", "no name"),
                ("address.hello_leads_elsewhere", Warning, "2001:db8::9", "leads to 192.0.2.1"),
            ],
        ),
        (
            "a name that leads elsewhere",
            |mut w| {
                w.config.domain_check.addresses = vec!["192.0.2.2".parse().expect("an address")];
                w.zones = w.zones.with_ptr("192.0.2.2", "mail.example.jp");
                w
            },
            &[("address.not_confirmed", Error, "192.0.2.2", "mail.example.jp")],
        ),
        (
            "hello without an address",
            |mut w| {
                w.config.server.hostname = "nowhere.example.jp".into();
                w
            },
            &[("address.hello_leads_elsewhere", Warning, OURS, "has no address")],
        ),
        (
            "hello is no name",
            |mut w| {
                w.config.server.hostname = "localhost".into();
                w
            },
            &[("address.hello_is_no_name", Error, OURS, "localhost")],
        ),
        (
            "the DNS is silent",
            |w| {
                let zones = w.zones.failing(OURS);
                World { zones, ..w }
            },
            &[("unanswered", Warning, OURS, "PTR 1.2.0.192.in-addr.arpa")],
        ),
    ]);
    let mut world = well();
    world.config.domain_check.addresses = vec!["192.0.2.9".parse().expect("an address")];
    assert_eq!(
        lines(one(&world.report(), "address.no_name")),
        ["9.2.0.192.in-addr.arpa. 3600 IN PTR mail.example.jp.", "mail.example.jp. 3600 IN A 192.0.2.9"]
    );
}

#[test]
pub(super) fn the_header_from_domain_can_be_answered() {
    check(&[
        ("well", |w| w, &[("domain.mx", Fine, "example.jp", "mx.example.jp")]),
        (
            "no such domain",
            |mut w| {
                w.domain = "gone.test";
                w
            },
            &[("domain.unknown", Error, "gone.test", "does not exist")],
        ),
        (
            "an address alone",
            |mut w| {
                w.domain = "mail.example.jp";
                w
            },
            &[("domain.address_only", Fine, "mail.example.jp", "no MX")],
        ),
        (
            "null MX",
            |mut w| {
                w.domain = "null.test";
                w.zones = w.zones.with_mx("null.test", 0, "");
                w
            },
            &[("domain.null_mx", Error, "null.test", "null MX")],
        ),
        (
            "null MX, with bounces elsewhere",
            |mut w| {
                w.domain = "null.example.jp";
                w.zones = w.zones.with_mx("null.example.jp", 0, "");
                w
            },
            &[("domain.null_mx", Warning, "null.example.jp", "null MX")],
        ),
        (
            "neither",
            |mut w| {
                w.domain = "text.test";
                w.zones = w.zones.with_txt("text.test", "x");
                w
            },
            &[("domain.unreachable", Error, "text.test", "neither")],
        ),
        (
            "a host that is not there",
            |w| {
                let zones = w.zones.with_mx("example.jp", 20, "old.example.jp");
                World { zones, ..w }
            },
            &[("domain.dead_host", Warning, "example.jp", "old.example.jp")],
        ),
        (
            "no domain name at all",
            |mut w| {
                w.domain = "no name";
                w
            },
            &[("domain.unknown", Error, "no name", "")],
        ),
    ]);
}

#[test]
pub(super) fn what_comes_back_leads_here() {
    check(&[
        (
            "well",
            |w| w,
            &[
                ("inlet.here", Fine, "return.example.jp", "bounces"),
                ("inlet.here", Fine, "in.example.jp", "DMARC reports"),
                ("inlet.here", Fine, "u.example.jp", "unsubscribe"),
                ("inlet.listener", Fine, "mail.example.jp", ""),
            ],
        ),
        (
            "bounces go elsewhere",
            |w| {
                w.zones.forget("return.example.jp");
                let zones = w.zones.with_txt("return.example.jp", "v=spf1 ip4:192.0.2.1 -all").with_mx(
                    "return.example.jp",
                    1,
                    "mx.example.jp",
                );
                World { zones, ..w }
            },
            &[("inlet.elsewhere", Error, "return.example.jp", "mx.example.jp, not here")],
        ),
        (
            "bounces go nowhere",
            |w| {
                w.zones.forget("return.example.jp");
                w
            },
            &[("inlet.nowhere", Error, "return.example.jp", "leads nowhere")],
        ),
        (
            "reports go elsewhere",
            |w| {
                w.zones.forget("in.example.jp");
                let zones = w.zones.with_ip("in.example.jp", "192.0.2.77");
                World { zones, ..w }
            },
            &[
                ("inlet.elsewhere", Warning, "in.example.jp", "DMARC reports"),
                ("inlet.elsewhere", Warning, "in.example.jp", "complaints"),
            ],
        ),
        (
            "the page is behind a proxy",
            |w| {
                w.zones.forget("u.example.jp");
                let zones = w.zones.with_ip("u.example.jp", "192.0.2.88");
                World { zones, ..w }
            },
            &[("inlet.elsewhere", Note, "u.example.jp", "unsubscribe")],
        ),
        (
            "our addresses are not known",
            |mut w| {
                w.config.domain_check.addresses.clear();
                w.config.delivery.source_addresses = vec!["10.0.0.5".parse().expect("an address")];
                w.zones.forget("in.example.jp");
                w.zones = w.zones.with_ip("in.example.jp", "192.0.2.77");
                w
            },
            &[
                ("inlet.somewhere", Note, "in.example.jp", "not known"),
                // Its MX host has our own name.
                ("inlet.here", Fine, "return.example.jp", "bounces"),
            ],
        ),
        (
            "nobody listens",
            |mut w| {
                w.config.listeners.truncate(1);
                w
            },
            &[("inlet.no_listener", Error, "mail.example.jp", "No listener")],
        ),
        (
            "senders keep their addresses",
            |mut w| {
                w.config.domains[0].envelope_from_rewrite = false;
                w
            },
            &[("inlet.senders_own", Note, "example.jp", "sender's own")],
        ),
        (
            "the DNS is silent",
            |w| {
                let zones = w.zones.failing("return.example.jp");
                World { zones, ..w }
            },
            &[("unanswered", Warning, "return.example.jp", "MX return.example.jp")],
        ),
    ]);
    let world = well();
    world.zones.forget("return.example.jp");
    assert_eq!(lines(one(&world.report(), "inlet.nowhere")), ["return.example.jp. 3600 IN MX 10 mail.example.jp."]);
}

#[test]
pub(super) fn no_machine_way_out_is_told() {
    let mut world = well();
    world.config.domain_check.addresses.clear();
    let ours = super::super::ours::Ours::on(&world.config, Vec::new);
    assert!(!ours.are_known() && ours.private.is_empty());
    let finding = Finding::new(Level::Warning, "example.jp", Seen::Address(super::super::finding::Address::None));
    said(&finding);
    PROVOKED.lock().unwrap_or_else(PoisonError::into_inner).insert(variant(&finding.seen));
}

#[test]
pub(super) fn a_blocklist_is_believed_only_when_it_answers_its_test_entries() {
    check(&[
        ("well", |w| w, &[("blocklist.not_listed", Fine, "192.0.2.1 bl.test", "not on bl.test")]),
        (
            "listed",
            |w| {
                let zones = w
                    .zones
                    .with_ip("1.2.0.192.bl.test", "127.0.0.4")
                    .with_txt("1.2.0.192.bl.test", "see https://bl.test/1");
                World { zones, ..w }
            },
            &[("blocklist.listed", Error, "192.0.2.1 bl.test", "(127.0.0.4): see https://bl.test/1")],
        ),
        (
            "IPv6",
            |mut w| {
                w.config.domain_check.addresses = vec!["2001:db8::1".parse().expect("an address")];
                w.zones = w
                    .zones
                    .with_ip("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test", "127.0.0.2");
                w
            },
            &[("blocklist.listed", Error, "2001:db8::1 bl.test", "127.0.0.2")],
        ),
        (
            "silent",
            |w| {
                w.zones.forget("2.0.0.127.bl.test");
                w
            },
            &[("blocklist.silent", Warning, "bl.test", "dead")],
        ),
        (
            "everything",
            |w| {
                let zones = w.zones.with_ip("1.0.0.127.bl.test", "127.0.0.2").with_ip("1.2.0.192.bl.test", "127.0.0.2");
                World { zones, ..w }
            },
            &[("blocklist.everything", Warning, "bl.test", "lists everything")],
        ),
        (
            "sold",
            |w| {
                w.zones.forget("2.0.0.127.bl.test");
                let zones = w.zones.with_ip("2.0.0.127.bl.test", "203.0.113.80");
                World { zones, ..w }
            },
            &[("blocklist.everything", Warning, "bl.test", "")],
        ),
        (
            "refused",
            |w| {
                w.zones.forget("2.0.0.127.bl.test");
                let zones = w.zones.with_ip("2.0.0.127.bl.test", "127.255.255.254");
                World { zones, ..w }
            },
            &[("blocklist.refused", Warning, "bl.test", "127.255.255.254")],
        ),
        (
            "the list is unreachable",
            |w| {
                let zones = w.zones.failing("2.0.0.127.bl.test");
                World { zones, ..w }
            },
            &[("unanswered", Warning, "bl.test", "A 2.0.0.127.bl.test")],
        ),
    ]);
    let listed = well();
    let zones = listed.zones.with_ip("1.0.0.127.bl.test", "127.0.0.2").with_ip("1.2.0.192.bl.test", "127.0.0.2");
    let report = World { zones, ..listed }.report();
    assert!(report.findings.iter().all(|f| variant(&f.seen) != "blocklist.listed"), "a dead list lists nobody");
    let mut off = well();
    off.config.domain_check.blocklists.clear();
    let (doctor, zones) = off.doctor();
    smol::block_on(doctor.check("example.jp"));
    assert!(zones.asked().iter().all(|q| !q.contains("bl.test")), "nobody is asked who is not named");
}

#[test]
pub(super) fn each_provider_is_held_against_its_rules() {
    check(&[
        (
            "well",
            |w| w,
            &[
                ("bulk.volume", Fine, "example.jp", "Gmail: at most 900 mails a day"),
                ("bulk.volume", Fine, "example.jp", "Yahoo: at most 9 mails"),
                ("bulk.rule", Fine, "example.jp", "Gmail asks of every sender: mail goes over TLS. It is so."),
                (
                    "bulk.rule",
                    Fine,
                    "example.jp",
                    "Microsoft (Outlook.com) asks of bulk senders: DKIM passes. It is so.",
                ),
                (
                    "bulk.rule",
                    Fine,
                    "example.jp",
                    "Yahoo asks of bulk senders: one-click unsubscribe in mail to subscribers. It is so.",
                ),
            ],
        ),
        (
            "nearly bulk",
            |w| {
                let w = w.counted("jp.example.shop", 1, r#"{"gmail":{"delivered":3200,"tls":3200}}"#);
                w.zones.set_txt(KEY_NAME, "v=DKIM1; p=");
                w
            },
            &[
                ("bulk.volume", Note, "example.jp", "at most 4,100 mails a day"),
                ("bulk.rule", Error, "example.jp", "Gmail asks of bulk senders: DKIM passes. It is not so."),
                (
                    "bulk.rule",
                    Note,
                    "example.jp",
                    "Microsoft (Outlook.com) asks of bulk senders: DKIM passes. It is not so.",
                ),
            ],
        ),
        (
            "some mail in clear",
            |w| w.counted("jp.example", 2, r#"{"gmail":{"delivered":100,"tls":0,"one_click":40}}"#),
            &[
                ("bulk.rule", Warning, "example.jp", "mail goes over TLS. It is so for 90 % of the mail."),
                ("bulk.rule", Note, "example.jp", "It is so for 94 % of the mail."),
            ],
        ),
        (
            "nothing was counted",
            |mut w| {
                w.memos = RamMemos::default();
                w
            },
            &[
                ("bulk.no_figures", Note, "example.jp", "Nothing was counted"),
                (
                    "bulk.rule",
                    Note,
                    "example.jp",
                    "Gmail asks of every sender: mail goes over TLS. Nobody can tell now",
                ),
            ],
        ),
        (
            "no DMARC record",
            |w| {
                w.zones.forget("_dmarc.example.jp");
                w
            },
            &[("bulk.rule", Note, "example.jp", "a DMARC record, p=none at least. It is not so.")],
        ),
        (
            "no reverse names",
            |mut w| {
                w.config.domain_check.addresses = vec!["192.0.2.9".parse().expect("an address")];
                w
            },
            &[(
                "bulk.rule",
                Error,
                "example.jp",
                "Gmail asks of every sender: reverse names that lead back to the addresses. It is not so.",
            )],
        ),
        (
            "the DNS is silent",
            |w| {
                let zones = w.zones.failing("_dmarc.example.jp");
                World { zones, ..w }
            },
            &[("bulk.rule", Note, "example.jp", "a DMARC record, p=none at least. Nobody can tell")],
        ),
    ]);
}
