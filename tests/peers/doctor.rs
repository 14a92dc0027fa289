//! The domain doctor over real zones: Knot signs and serves them, Unbound validates, the daemon looks; and beside it checkdmarc,
//! through the same resolver.
//!
//! Sources: issue 6 part 3; RFC 7208, 6376, 9989, 8461, 8460, 7672, 5782.

use std::{
    collections::BTreeMap, env, fmt::Write as _, net::SocketAddr, path::PathBuf, process::Command, time::Duration,
};

use serde_json::Value;

use crate::{
    policy_host::PolicyHost,
    program::{find, missing, run},
    signed_dns::{SignedDns, Trust, Zone},
    support::{Config, Relay, cli::run_command, place, say, tls::Authority},
};

/// Where our mail comes from, as far as the world knows: a network for benchmarks (RFC 2544), which no resolver hides.
const OURS: &str = "198.18.5.1";
const ZONE: &str = "many.test";
const DKIM: &str = "v=DKIM1; k=rsa; p=";

/// A domain below [`ZONE`].
struct Case {
    name: &'static str,
    /// Parts of a good domain that it lacks: spf, dmarc, mx.
    without: &'static [&'static str],
    /// Its own records; `NAME` is its name, `KEY` our public key.
    records: &'static str,
    /// It is a `[[domain]]` with our key.
    signs: bool,
    /// What has to be found: check, level.
    wanted: &'static [(&'static str, &'static str)],
}

const fn case(
    name: &'static str,
    without: &'static [&'static str],
    records: &'static str,
    wanted: &'static [(&'static str, &'static str)],
) -> Case {
    Case { name, without, records, signs: false, wanted }
}

const fn key(name: &'static str, records: &'static str, wanted: &'static [(&'static str, &'static str)]) -> Case {
    Case { name, without: &[], records, signs: true, wanted }
}

const CASES: &[Case] = &[
    case(
        "plain",
        &[],
        "",
        &[("spf.record", "ok"), ("spf.address", "ok"), ("dkim.keys", "error"), ("dmarc.record", "ok")],
    ),
    // SPF.
    case("spf-none", &["spf"], "NAME TXT \"hello\"", &[("spf.record", "error")]),
    case("spf-two", &[], "NAME TXT \"v=spf1 -all\"", &[("spf.record", "error")]),
    case(
        "spf-typo",
        &["spf"],
        "NAME TXT \"v=spf1 ipv4:198.18.5.1 -all\"",
        &[("spf.valid", "error"), ("spf.address", "error")],
    ),
    case(
        "spf-many",
        &["spf"],
        "NAME TXT \"v=spf1 include:i1.NAME include:i2.NAME ip4:198.18.5.1 -all\"\n\
         i1.NAME TXT \"v=spf1 a:a1.NAME a:a2.NAME a:a3.NAME a:a4.NAME ?all\"\n\
         i2.NAME TXT \"v=spf1 a:a1.NAME a:a2.NAME a:a3.NAME a:a4.NAME ?all\"\n\
         a1.NAME A 198.18.7.1\na2.NAME A 198.18.7.2\na3.NAME A 198.18.7.3\na4.NAME A 198.18.7.4",
        &[("spf.lookups", "warning"), ("spf.address", "ok")],
    ),
    case(
        "spf-toomany",
        &["spf"],
        "NAME TXT \"v=spf1 include:i1.NAME include:i2.NAME a:a1.NAME ip4:198.18.5.1 -all\"\n\
         i1.NAME TXT \"v=spf1 a:a1.NAME a:a2.NAME a:a3.NAME a:a4.NAME ?all\"\n\
         i2.NAME TXT \"v=spf1 a:a1.NAME a:a2.NAME a:a3.NAME a:a4.NAME ?all\"\n\
         a1.NAME A 198.18.7.1\na2.NAME A 198.18.7.2\na3.NAME A 198.18.7.3\na4.NAME A 198.18.7.4",
        &[("spf.lookups", "error"), ("spf.address", "error")],
    ),
    case(
        "spf-void",
        &["spf"],
        "NAME TXT \"v=spf1 a:n1.NAME a:n2.NAME a:n3.NAME ip4:198.18.5.1 -all\"",
        &[("spf.void", "error"), ("spf.address", "error")],
    ),
    case(
        "spf-other",
        &["spf"],
        "NAME TXT \"v=spf1 ip4:198.18.9.9 ~all\"",
        &[("spf.address", "error"), ("spf.all", "ok")],
    ),
    case("spf-everybody", &["spf"], "NAME TXT \"v=spf1 +all\"", &[("spf.all", "error")]),
    case("spf-open", &["spf"], "NAME TXT \"v=spf1 ip4:198.18.5.1\"", &[("spf.all", "warning")]),
    case("spf-nowhere", &["spf"], "NAME TXT \"v=spf1 include:none.NAME -all\"", &[("spf.valid", "error")]),
    case("spf-ptr", &["spf"], "NAME TXT \"v=spf1 ip4:198.18.5.1 ptr -all\"", &[("spf.ptr", "warning")]),
    case(
        "spf-redirect",
        &["spf"],
        "NAME TXT \"v=spf1 redirect=r.NAME\"\nr.NAME TXT \"v=spf1 ip4:198.18.5.1 -all\"",
        &[("spf.address", "ok"), ("spf.all", "ok")],
    ),
    case("spf-mx", &["spf"], "NAME TXT \"v=spf1 mx -all\"", &[("spf.address", "error"), ("spf.valid", "ok")]),
    // DKIM.
    key(
        "dkim-good",
        "s1._domainkey.NAME TXT KEY",
        &[("dkim.record", "ok"), ("dmarc.dkim_alignment", "ok"), ("dmarc.pass", "ok")],
    ),
    key("dkim-none", "", &[("dkim.record", "error"), ("dmarc.dkim_alignment", "warning")]),
    key(
        "dkim-other",
        "s1._domainkey.NAME TXT \"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"",
        &[("dkim.record", "error")],
    ),
    key("dkim-two", "s1._domainkey.NAME TXT KEY\ns1._domainkey.NAME TXT \"v=DKIM1; p=\"", &[("dkim.record", "error")]),
    key("dkim-broken", "s1._domainkey.NAME TXT \"v=DKIM1; k=rsa; p=MIIBIjANBgkqh\"", &[("dkim.record", "error")]),
    key("dkim-revoked", "s1._domainkey.NAME TXT \"v=DKIM1; k=rsa; p=\"", &[("dkim.revoked", "error")]),
    key("dkim-tested", "s1._domainkey.NAME TXT \"t=y; \" KEY", &[("dkim.testing", "warning"), ("dkim.record", "ok")]),
    key("dkim-sha1", "s1._domainkey.NAME TXT \"h=sha1; \" KEY", &[("dkim.hash", "error")]),
    key("dkim-service", "s1._domainkey.NAME TXT \"s=tlsrpt; \" KEY", &[("dkim.service", "error")]),
    // DMARC.
    case("dmarc-none", &["dmarc"], "", &[("dmarc.record", "note")]),
    case("dmarc-two", &[], "_dmarc.NAME TXT \"v=DMARC1; p=none\"", &[("dmarc.valid", "error")]),
    case("dmarc-typo", &["dmarc"], "_dmarc.NAME TXT \"v=DMARC1 p=none\"", &[("dmarc.valid", "error")]),
    case(
        "dmarc-old",
        &["dmarc"],
        "_dmarc.NAME TXT \"v=DMARC1; p=reject; pct=50; rua=mailto:dmarc@in.well.test\"",
        &[("dmarc.tags", "note"), ("dmarc.authorisation", "error")],
    ),
    case(
        "dmarc-elsewhere",
        &["dmarc"],
        "_dmarc.NAME TXT \"v=DMARC1; p=none; rua=mailto:a@NAME.many.test\"",
        &[("dmarc.rua", "warning"), ("dmarc.policy", "note")],
    ),
    case(
        "dmarc-sub",
        &["dmarc"],
        "_dmarc.NAME TXT \"v=DMARC1; p=reject; sp=none; rua=mailto:a@NAME.many.test\"",
        &[("dmarc.subdomains", "warning")],
    ),
    case(
        "dmarc-strict",
        &["dmarc"],
        "_dmarc.NAME TXT \"v=DMARC1; p=reject; adkim=s; aspf=s\"",
        &[("dmarc.spf_alignment", "ok")],
    ),
    // The domain itself.
    case("mx-null", &["mx"], "NAME MX 0 .", &[("domain.mx", "error")]),
    case("mx-none", &["mx"], "", &[("domain.mx", "error")]),
    case("mx-dead", &[], "NAME MX 20 nowhere.NAME", &[("domain.mx_host", "warning"), ("domain.mx", "ok")]),
    case("mx-address", &["mx"], "NAME A 198.18.5.1", &[("domain.mx", "ok")]),
    // As a receiver.
    case("sts-bad", &[], "_mta-sts.NAME TXT \"v=STSv1\"", &[("sts.record", "warning")]),
    case(
        "sts-two",
        &[],
        "_mta-sts.NAME TXT \"v=STSv1; id=1\"\n_mta-sts.NAME TXT \"v=STSv1; id=2\"",
        &[("sts.record", "warning")],
    ),
    case("sts-nohost", &[], "_mta-sts.NAME TXT \"v=STSv1; id=1\"", &[("sts.record", "ok"), ("sts.policy", "error")]),
    case("sts-cert", &[], "_mta-sts.NAME TXT \"v=STSv1; id=1\"\nmta-sts.NAME A WEB", &[("sts.policy", "error")]),
    case("sts-other", &[], "_mta-sts.NAME TXT \"v=STSv1; id=1\"\nmta-sts.NAME A WEB", &[("sts.mx", "error")]),
    case("tls-bad", &[], "_smtp._tls.NAME TXT \"v=TLSRPTv1; rua=ftp://x\"", &[("tlsrpt.record", "warning")]),
    case(
        "tls-two",
        &[],
        "_smtp._tls.NAME TXT \"v=TLSRPTv1; rua=mailto:a@x.test\"\n_smtp._tls.NAME TXT \"v=TLSRPTv1; rua=mailto:b@x.test\"",
        &[("tlsrpt.record", "warning")],
    ),
    case(
        "tls-good",
        &[],
        "_smtp._tls.NAME TXT \"v=TLSRPTv1; rua=mailto:a@x.test,https://x.test/r\"",
        &[("tlsrpt.record", "ok")],
    ),
    case(
        "dane-unsigned",
        &["mx"],
        "NAME MX 10 mx.NAME\nmx.NAME A 198.18.5.3\n_25._tcp.mx.NAME TLSA 3 1 1 ABAB",
        &[("dane.mx", "note"), ("dane.tlsa", "warning")],
    ),
    case("bimi-http", &[], "default._bimi.NAME TXT \"v=BIMI1; l=http://x.test/l.svg\"", &[("bimi.record", "warning")]),
    case(
        "bimi-weak",
        &["dmarc"],
        "default._bimi.NAME TXT \"v=BIMI1; l=https://x.test/l.svg\"\n_dmarc.NAME TXT \"v=DMARC1; p=none\"",
        &[("bimi.policy", "warning")],
    ),
];

/// The zone of the cases.
fn many(web: &str, public_key: &str) -> String {
    let key = format!("\"{DKIM}\" \"{public_key}\"");
    let tested = format!("\"k=rsa; p=\" \"{public_key}\"");
    let mut zone = String::from(
        "@ MX 10 mx\n@ TXT \"v=spf1 ip4:198.18.5.1 -all\"\nmx A 198.18.5.2\n_dmarc TXT \"v=DMARC1; p=reject; sp=quarantine\"\n",
    );
    // A list that has us, and one that is gone.
    zone.push_str(
        "2.0.0.127.bl A 127.0.0.2\n1.5.18.198.bl A 127.0.0.4\n1.5.18.198.bl TXT \"see our page\"\ndead TXT \"gone\"\n",
    );
    for case in CASES {
        let has = |part: &str| !case.without.contains(&part);
        let name = case.name;
        if has("mx") {
            let _ = writeln!(zone, "{name} MX 10 mx");
        }
        if has("spf") {
            let _ = writeln!(zone, "{name} TXT \"v=spf1 ip4:198.18.5.1 -all\"");
        }
        if has("dmarc") {
            let _ = writeln!(zone, "_dmarc.{name} TXT \"v=DMARC1; p=reject; rua=mailto:dmarc@in.well.test\"");
        }
        for line in case.records.lines() {
            // Within quotes names are full ones, outside they are relative.
            let parts: Vec<String> = line
                .split('"')
                .enumerate()
                .map(|(n, part)| match n % 2 {
                    0 => part.replace("NAME", name).replace("WEB", web),
                    _ => part
                        .replace("NAME.many.test", &format!("{name}.{ZONE}"))
                        .replace("NAME", &format!("{name}.{ZONE}")),
                })
                .collect();
            let line = parts.join("\"");
            let line = if line.contains("; \" KEY") { line.replace("KEY", &tested) } else { line.replace("KEY", &key) };
            zone.push_str(&line);
            zone.push('\n');
        }
    }
    zone
}

/// A domain where everything is well, with its own signed zone.
fn well(web: &str, public_key: &str, tlsa: &str) -> String {
    format!(
        "@ MX 10 mx\n@ TXT \"v=spf1 ip4:198.18.5.1 -all\"\nmx A 198.18.5.2\n_25._tcp.mx TLSA 3 1 1 {tlsa}\n\
         mail A {OURS}\nreturn MX 10 mail\nreturn TXT \"v=spf1 ip4:198.18.5.1 -all\"\nin MX 10 mail\n\
         _dmarc TXT \"v=DMARC1; p=reject; rua=mailto:dmarc@in.well.test\"\n\
         s1._domainkey TXT \"{DKIM}\" \"{public_key}\"\n\
         _mta-sts TXT \"v=STSv1; id=7\"\nmta-sts A {web}\n_smtp._tls TXT \"v=TLSRPTv1; rua=mailto:tls@in.well.test\"\n\
         default._bimi TXT \"v=BIMI1; l=https://well.test/l.svg; a=https://well.test/c.pem\"\n"
    )
}

/// Everything that runs for a test.
struct World {
    dns: SignedDns,
    relay: Relay,
    _web: PolicyHost,
}

/// An RSA key of openssl's making: its file, and its public half in base64.
fn openssl_key(dir: &std::path::Path) -> Option<(PathBuf, String)> {
    let openssl = find("openssl")?;
    let (file, public) = (dir.join("dkim.pem"), dir.join("dkim.der"));
    let path = |p: &PathBuf| p.to_str().expect("the place's path is text").to_owned();
    run(&openssl, &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &path(&file)])
        .expect_done();
    run(&openssl, &["pkey", "-in", &path(&file), "-pubout", "-outform", "DER", "-out", &path(&public)]).expect_done();
    let base64 = run(&openssl, &["base64", "-A", "-in", &path(&public)]).expect_done().stdout.clone();
    Some((file, base64.trim().to_owned()))
}

fn world() -> Option<World> {
    let place = crate::support::Place::new();
    let (key_file, public_key) = openssl_key(place.dir())?;
    let (authority, web) = (Authority::new(), SocketAddr::from((place::address(), 443)));
    let ip = web.ip().to_string();
    let zones = [
        Zone { name: "well.test", trust: Trust::Signed, records: well(&ip, &public_key, &"ab".repeat(32)) },
        Zone { name: ZONE, trust: Trust::Unsigned, records: many(&ip, &public_key) },
        Zone { name: "5.18.198.in-addr.arpa", trust: Trust::Unsigned, records: "1 PTR mail.well.test.\n".into() },
        // The walk for DMARC records ends at the top.
        Zone { name: "test", trust: Trust::Unsigned, records: String::new() },
        Zone { name: "bogus.test", trust: Trust::Bogus, records: "@ MX 10 mx\nmx A 198.18.5.2\n".into() },
    ];
    let dns = SignedDns::start(&zones)?;
    let names = ["mta-sts.well.test", "mta-sts.sts-other.many.test"];
    let host = PolicyHost::start(web, authority.certificate(&names).server());
    host.policy("well.test", "version: STSv1\nmode: enforce\nmx: mx.well.test\nmax_age: 604800\n");
    host.policy("sts-other.many.test", "version: STSv1\nmode: enforce\nmx: *.elsewhere.test\nmax_age: 604800\n");
    let roots = dns.files().write("roots.pem", authority.pem()).display().to_string();
    let inbound = SocketAddr::from((place::address(), 2526));
    let mut domains = String::new();
    let dkim = format!("[[domain.dkim]]\nselector = \"s1\"\nprivate_key = \"{}\"\n", key_file.display());
    let _ = write!(
        domains,
        "[[domain]]\nname = \"well.test\"\nenvelope_from_rewrite = true\nreturn_domain = \"return.well.test\"\n{dkim}"
    );
    for case in CASES.iter().filter(|case| case.signs) {
        let _ = write!(domains, "[[domain]]\nname = \"{}.{ZONE}\"\n{dkim}", case.name);
    }
    let relay = Relay::start(
        Config::internet(dns.resolver(), 2525)
            .set("server.hostname", "\"mail.well.test\"")
            .set("delivery.tls", "\"opportunistic\"")
            .set("domain_check.run", "\"never\"")
            .set("domain_check.addresses", &format!("[\"{OURS}\"]"))
            .set("domain_check.blocklists", "[\"bl.many.test\", \"dead.many.test\"]")
            .set("bounce.report_address", "\"dmarc@in.well.test\"")
            .set("tls_report.address", "\"tls@in.well.test\"")
            .set("envelope_from.return_domain", "\"return.well.test\"")
            .listener(&format!("address = \"{inbound}\"\nrole = \"inbound\""))
            .text(&domains)
            .variable("SSL_CERT_FILE", &roots),
    );
    // Its files live as long as the keys are read.
    std::mem::forget(place);
    Some(World { dns, relay, _web: host })
}

impl World {
    /// What the doctor says of a domain.
    #[track_caller]
    fn check(&self, domain: &str) -> Value {
        let ran = self.relay.cli(&["domain", "check", domain, "--json", "--lang", "en"]);
        assert!(matches!(ran.code, 0 | 1), "{domain}: {}", ran.all());
        let report: Value =
            serde_json::from_str(ran.stdout.trim()).unwrap_or_else(|e| panic!("{domain}: {e}: {}", ran.all()));
        let has_errors = report["errors"].as_u64().unwrap() > 0;
        assert_eq!(ran.code == 1, has_errors, "the exit code says whether there are errors: {domain}");
        report
    }
}

/// The findings of a check about a subject that begins so.
fn findings<'r>(report: &'r Value, check: &str, about: &str) -> Vec<&'r Value> {
    let all = report["findings"].as_array().expect("findings");
    all.iter().filter(|f| f["check"] == check && f["subject"].as_str().is_some_and(|s| s.starts_with(about))).collect()
}

#[test]
fn each_finding_is_made_over_real_zones() {
    let Some(world) = world() else { return };
    let mut wrong = Vec::new();
    for case in CASES {
        let report = world.check(&format!("{}.{ZONE}", case.name));
        for (check, level) in case.wanted {
            let found = findings(&report, check, "");
            if !found.iter().any(|f| f["level"] == *level) {
                let told: Vec<String> = found.iter().map(|f| format!("{}: {}", f["level"], f["seen"])).collect();
                wrong.push(format!("{}: no {check} at {level}, but {told:?}", case.name));
            }
        }
        for finding in report["findings"].as_array().unwrap() {
            if finding["check"].as_str().unwrap().ends_with(".unanswered") {
                wrong.push(format!("{}: {}", case.name, finding["seen"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // Where all is well, nothing is wrong but what the lists say, and that no figures are there yet.
    let report = world.check("well.test");
    let bad: Vec<String> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| matches!(f["level"].as_str(), Some("error" | "warning")))
        .map(|f| format!("{} {} {}", f["check"], f["subject"], f["seen"]))
        .collect();
    let of_lists = |line: &String| line.contains("blocklist.");
    assert!(bad.iter().all(of_lists), "{bad:#?}");
    for (check, about, level) in [
        ("dane.mx", "well.test", "ok"),
        ("dane.tlsa", "mx.well.test", "ok"),
        ("sts.policy", "well.test", "ok"),
        ("sts.mx", "well.test", "ok"),
        ("bimi.record", "well.test", "ok"),
        ("bimi.policy", "well.test", "ok"),
        ("inlet.bounces", "return.well.test", "ok"),
        ("inlet.dmarc_reports", "in.well.test", "ok"),
        ("address.ptr", OURS, "ok"),
        ("address.hello", OURS, "ok"),
        ("dkim.record", "s1._domainkey.well.test", "ok"),
        ("dmarc.pass", "well.test", "ok"),
        ("blocklist.listed", "198.18.5.1 bl.many.test", "error"),
        ("blocklist.list", "dead.many.test", "warning"),
    ] {
        let found = findings(&report, check, about);
        assert!(found.iter().any(|f| f["level"] == level), "{check} about {about}: {found:?}");
    }

    // A zone whose signatures are wrong is answered by nobody, and nothing is claimed.
    let report = world.check("bogus.test");
    let claims: Vec<&Value> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| matches!(f["level"].as_str(), Some("error" | "warning")))
        .filter(|f| !f["check"].as_str().unwrap().ends_with(".unanswered"))
        .filter(|f| !["dkim.keys", "blocklist.listed", "blocklist.list"].contains(&f["check"].as_str().unwrap()))
        .collect();
    assert!(claims.is_empty(), "{claims:#?}");
    assert!(!findings(&report, "spf.unanswered", "").is_empty());

    // For people: the verdict first, the record ready to be copied, at the left edge; in Japanese too.
    let text = world.relay.cli(&["domain", "check", "spf-other.many.test", "--lang", "en"]).stdout.clone();
    assert!(text.starts_with("spf-other.many.test: errors: "), "{text}");
    assert!(
        text.contains("\nspf-other.many.test. 3600 IN TXT \"v=spf1 ip4:198.18.5.1 ip4:198.18.9.9 ~all\"\n"),
        "{text}"
    );
    let japanese = world.relay.cli(&["domain", "check", "spf-other.many.test", "--lang", "ja"]).stdout.clone();
    assert!(japanese.contains("SPF に合格しません"), "{japanese}");
    say(format_args!("{text}"));
}

#[test]
fn the_records_of_a_domain_are_a_zone_that_knot_takes_and_that_heals_it() {
    let Some(knotc) = find("knotc") else { return };
    let Some(world) = world() else { return };
    for domain in ["well.test", "dkim-none.many.test"] {
        let ran = world.relay.cli(&["domain", "records", domain, "--lang", "ja"]);
        let snippet = ran.expect_done().stdout.clone();
        let origin = domain.split_once('.').filter(|(_, zone)| *zone == ZONE).map_or(domain, |(_, zone)| zone);
        let zone = format!(
            "$ORIGIN {origin}.\n$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 198.18.5.9\n{snippet}"
        );
        let file = world.relay.place.write(&format!("{domain}.zone"), zone);
        let dir = world.relay.place.dir().display().to_string();
        let config = format!(
            "server:\n    rundir: \"{dir}\"\ndatabase:\n    storage: \"{dir}/db\"\n\
             zone:\n  - domain: {origin}\n    file: \"{}\"\n    semantic-checks: on\n",
            file.display()
        );
        let config = world.relay.place.write(&format!("{domain}.conf"), config);
        let checked = run(&knotc, &["-c", config.to_str().unwrap(), "zone-check", origin]);
        assert_eq!(checked.code, 0, "{domain}: {}\n{snippet}", checked.all());
        assert!(snippet.contains(&format!("s1._domainkey.{domain}. 3600 IN TXT (")), "{snippet}");
        assert!(snippet.contains(&format!("\n{domain}. 3600 IN TXT \"v=spf1 ")), "{snippet}");
    }
    // What is well needs nothing: each line is published already.
    let rows = world.relay.cli(&["domain", "records", "well.test", "--json"]).expect_done().stdout.clone();
    for line in rows.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["published"], "yes", "{line}");
    }
    let rows = world.relay.cli(&["domain", "records", "dkim-none.many.test", "--json"]).expect_done().stdout.clone();
    let missing: Vec<Value> =
        rows.lines().map(|l| serde_json::from_str(l).unwrap()).filter(|r: &Value| r["published"] == "no").collect();
    let purposes: Vec<&str> = missing.iter().map(|r| r["purpose"].as_str().unwrap()).collect();
    assert_eq!(purposes, ["dkim", "dmarc_authorisation", "tls_rpt"], "{missing:#?}");
}

/// An interpreter with checkdmarc; `None`: it is missing, which was said.
fn python() -> Option<PathBuf> {
    let python = match env::var_os("HIKYAKU_PYTHON") {
        Some(python) => PathBuf::from(python),
        None => find("python3")?,
    };
    let mut command = Command::new(&python);
    command.args(["-c", "import checkdmarc"]);
    if run_command(command, b"", Duration::from_secs(60)).code == 0 {
        return Some(python);
    }
    missing("the Python package checkdmarc is not installed (HIKYAKU_PYTHON)");
    None
}

/// What both say of a domain, in the same terms; `-`: nothing, or nothing valid.
fn ours(report: &Value, domain: &str) -> BTreeMap<&'static str, String> {
    let one = |check: &str| findings(report, check, domain).into_iter().find(|f| f["subject"] == domain);
    let is_good = |check: &str| one(check).is_none_or(|f| f["level"] != "error");
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let record = one("spf.record").map(|f| text(&f["facts"]["found"]["record"]));
    let has_record = record.as_ref().is_some_and(|r| r != "-");
    let valid = has_record && is_good("spf.valid") && is_good("spf.lookups") && is_good("spf.void");
    let lookups =
        one("spf.lookups").filter(|_| valid).map_or("-".to_owned(), |f| f["facts"]["lookups"]["lookups"].to_string());
    let dmarc = one("dmarc.record").map(|f| &f["facts"]);
    let (at, policy) = match dmarc {
        Some(facts) if facts.get("own").is_some() => (domain.to_owned(), text(&facts["own"]["record"])),
        Some(facts) if facts.get("inherited").is_some() => {
            (text(&facts["inherited"]["from"]), text(&facts["inherited"]["record"]))
        }
        _ => ("-".to_owned(), "-".to_owned()),
    };
    let list = |value: &Value| {
        let mut all: Vec<String> = value.as_array().into_iter().flatten().map(text).collect();
        all.sort();
        all.join(" ")
    };
    let mx = one("domain.mx").map_or(String::new(), |f| list(&f["facts"]["mx"]["hosts"]));
    let sts = one("sts.record").map_or("-".to_owned(), |f| text(&f["facts"]["record"]["id"]));
    let places = one("tlsrpt.record").map_or(String::new(), |f| list(&f["facts"]["found"]["places"]));
    BTreeMap::from([
        ("spf record", record.unwrap_or_else(|| "-".to_owned())),
        ("spf valid", valid.to_string()),
        ("spf lookups", lookups),
        ("dmarc at", at),
        ("dmarc record", policy),
        ("mx", mx),
        ("mta-sts id", sts),
        ("tls-rpt", places),
    ])
}

fn theirs(said: &Value) -> BTreeMap<&'static str, String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let valid = said["spf"]["valid"] == true;
    let lookups = if valid { said["spf"]["lookups"].to_string() } else { "-".to_owned() };
    let mut mx: Vec<String> =
        said["mx"].as_array().into_iter().flatten().map(text).filter(|host| !host.is_empty()).collect();
    mx.sort();
    let mut places: Vec<String> = match &said["tls_rpt"]["rua"] {
        Value::Array(all) => all.iter().map(text).collect(),
        Value::String(all) => all.split(',').map(|place| place.trim().to_owned()).collect(),
        _ => Vec::new(),
    };
    places.sort();
    let dmarc_is_valid = said["dmarc"]["valid"] == true;
    let of_dmarc = |name: &str| if dmarc_is_valid { text(&said["dmarc"][name]) } else { "-".to_owned() };
    BTreeMap::from([
        ("spf record", text(&said["spf"]["record"])),
        ("spf valid", valid.to_string()),
        ("spf lookups", lookups),
        ("dmarc at", of_dmarc("location")),
        ("dmarc record", of_dmarc("record")),
        ("mx", mx.join(" ")),
        ("mta-sts id", text(&said["mta_sts"]["id"])),
        ("tls-rpt", if said["tls_rpt"]["valid"] == true { places.join(" ") } else { String::new() }),
    ])
}

/// Where both may part, and why: domain, what, the reason.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    // RFC 9989 §4.10: several records at a name, and what is none, are as if nothing were there; the walk goes on and finds the
    // organization's. checkdmarc stops at them as at an error.
    ("dmarc-two", "dmarc at", "the walk goes on"),
    ("dmarc-two", "dmarc record", "the walk goes on"),
    ("dmarc-typo", "dmarc at", "the walk goes on"),
    ("dmarc-typo", "dmarc record", "the walk goes on"),
];

#[test]
fn checkdmarc_says_the_same_of_the_same_zones() {
    let Some(python) = python() else { return };
    let Some(world) = world() else { return };
    let mut domains: Vec<String> = CASES.iter().map(|case| format!("{}.{ZONE}", case.name)).collect();
    domains.push("well.test".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/doctor_checkdmarc.py");
    let mut command = Command::new(python);
    command.arg(script).arg(world.dns.resolver().ip().to_string()).args(&domains);
    let ran = run_command(command, b"", Duration::from_secs(300));
    assert_eq!(ran.code, 0, "{}", ran.all());
    let (mut wrong, mut parted) = (Vec::new(), Vec::new());
    let mut compared = 0;
    for line in ran.stdout.lines() {
        let said: Value = serde_json::from_str(line).expect("a line of JSON");
        let domain = said["domain"].as_str().unwrap();
        let report = world.check(domain);
        let (ours, theirs) = (ours(&report, domain), theirs(&said));
        for (what, mine) in &ours {
            compared += 1;
            if mine == &theirs[what] {
                continue;
            }
            let name = domain.split('.').next().unwrap();
            match DIFFERENCES.iter().find(|(d, w, _)| (*d == name || *d == "*") && w == what) {
                Some(difference) => parted.push(difference),
                None => wrong.push(format!("{domain}: {what}: ours {mine:?}, theirs {:?}; {}", theirs[what], said)),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for difference in DIFFERENCES {
        assert!(parted.contains(&difference), "no difference any more: {difference:?}");
    }
    say(format_args!(
        "{compared} statements about {} domains compared, {} differ, with reasons",
        domains.len(),
        parted.len()
    ));
}
