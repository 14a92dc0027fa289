//! Mail that comes in for ourselves is looked at with SPF, DKIM and DMARC: forged reports are marked, nothing is refused for it,
//! and bounces pass without a question to the DNS.

use std::net::SocketAddr;

use hikyaku::{
    clock::Clock,
    dkim::{
        key::{Algorithm, SigningKey},
        sign::{self, BodyHasher, Identity},
    },
    when::day_name,
};

use crate::support::{Client, Config, Dns, Relay, Sink, place};

const TO: &str = "tls-reports@own.test";

/// A relay that asks `dns`, with an inbound listener for reports, complaints, postmaster and bounces.
fn relay(dns: &Dns, sink: &Sink) -> (Relay, SocketAddr) {
    let inbound = SocketAddr::from((place::address(), 2525));
    let config = Config::internet(dns.address(), sink.address().port())
        .listener(&format!("address = \"{inbound}\"\nrole = \"inbound\""))
        .set("tls_report.address", &format!("\"{TO}\""))
        .set("server.postmaster", "\"admin@office.test\"")
        .set("bounce.complaint_address", "\"fbl@own.test\"")
        .text("[[domain]]\nname = \"src.test\"\nenvelope_from_rewrite = true\nreturn_domain = \"bounce.src.test\"\n");
    (Relay::start(config), inbound)
}

/// A TLS report as mail, in the name of `from`.
fn report(id: &str, from: &str, organization: &str) -> String {
    let day = day_name(Clock::system().now().day() - 1);
    format!(
        "From: TLS reports <tls@{from}>\r\nTo: {TO}\r\nSubject: Report Domain: own.test Submitter: {organization} Report-ID: <{id}>\r\n\
         TLS-Report-Domain: own.test\r\nTLS-Report-Submitter: {organization}\r\nContent-Type: application/tlsrpt+json\r\n\r\n\
         {{\"organization-name\":\"{organization}\",\"date-range\":{{\"start-datetime\":\"{day}T00:00:00Z\",\
         \"end-datetime\":\"{day}T23:59:59Z\"}},\"contact-info\":\"tls@{organization}\",\"report-id\":\"{id}\",\"policies\":[{{\
         \"policy\":{{\"policy-type\":\"sts\",\"policy-domain\":\"own.test\"}},\"summary\":{{\
         \"total-successful-session-count\":41,\"total-failure-session-count\":0}}}}]}}\r\n"
    )
}

/// The same under a signature.
fn signed(mail: &str, identity: Identity) -> String {
    let (head, body) = mail.split_once("\r\n\r\n").expect("a header");
    let head = format!("{head}\r\n");
    let mut hasher = BodyHasher::new();
    hasher.update(body.as_bytes());
    let fields = sign::fields(head.as_bytes(), &hasher.finish(), &[identity], Clock::system().now()).expect("signed");
    format!("{}{mail}", String::from_utf8(fields).expect("ASCII"))
}

fn marks(relay: &Relay) -> Vec<(String, String)> {
    let listed = relay.cli(&["tls-report", "list", "--json"]).expect_done().stdout;
    let rows = listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    rows.map(|row| (text(&row["report_id"]), text(&row["mark"]["mark"]))).collect()
}

#[test]
fn a_forged_tls_report_is_marked_and_a_good_one_is_verified() {
    let (key, _) = SigningKey::generate(Algorithm::Ed25519Sha256, 0).expect("a key");
    let record = key.record();
    let identity = Identity { domain: "bank.test".into(), selector: "s1".into(), key: std::sync::Arc::new(key) };
    let (dns, sink) = (
        Dns::start()
            .txt("_dmarc.good.test", "v=DMARC1; p=reject")
            .txt("bounce.good.test", "v=spf1 ip4:127.0.0.0/8 -all")
            .txt("_dmarc.bank.test", "v=DMARC1; p=quarantine")
            .txt("s1._domainkey.bank.test", &record)
            .txt("_dmarc.evil.test", "v=DMARC1; p=reject")
            .txt("evil.test", "v=spf1 ip4:127.0.0.0/8 -all")
            .failing("_dmarc.slow.test")
            .failing("slow.test"),
        Sink::willing(),
    );
    let (mut relay, inbound) = relay(&dns, &sink);
    let send = |from: &str, mail: &str| Client::hello(inbound).send(from, &[TO], mail.as_bytes()).expect("250");
    send("b@bounce.good.test", &report("spf", "mail.good.test", "good.test"));
    send("b@evil.test", &signed(&report("dkim", "bank.test", "bank.test"), identity));
    send("b@evil.test", &report("spoofed", "bank.test", "bank.test"));
    send("b@evil.test", &report("claims", "evil.test", "bank.test"));
    send("b@nobody.test", &report("nobody", "nobody.test", "nobody.test"));
    send("b@slow.test", &report("slow", "slow.test", "slow.test"));
    let expected = [
        ("claims", "forged"),
        ("dkim", "verified"),
        ("nobody", "unverified"),
        ("slow", "unknown"),
        ("spf", "verified"),
        ("spoofed", "forged"),
    ];
    let found = |relay: &Relay| {
        let mut all = marks(relay);
        all.sort();
        all
    };
    let expected: Vec<(String, String)> = expected.map(|(id, mark)| (id.to_owned(), mark.to_owned())).into();
    assert_eq!(found(&relay), expected);
    relay.wait_log("mark=forged auth=\"spf=pass smtp.mailfrom=evil.test; dkim=none; dmarc=fail (p=quarantine) header.from=bank.test\"");
    relay.kill();
    relay.restart();
    assert_eq!(found(&relay), expected, "over a restart");
    let table = relay.cli(&["tls-report", "list"]).expect_done().stdout;
    assert!(table.lines().any(|line| line.contains("bank.test") && line.contains("forged")), "{table}");
    let listed = relay.cli(&["tls-report", "list", "--json"]).expect_done().stdout;
    let claims = listed.lines().find(|line| line.contains("\"claims\"")).expect("the report");
    let claims: serde_json::Value = serde_json::from_str(claims).expect("JSON");
    let shown = relay.cli(&["tls-report", "show", claims["key"].as_str().expect("a key")]).expect_done().stdout;
    assert!(
        shown.contains("forged: mail from evil.test (it says that bank.test reports, but evil.test sent it)"),
        "{shown}"
    );
}

#[test]
fn a_bounce_passes_without_a_question_and_other_mail_for_ourselves_is_marked_in_the_journal() {
    let sink = Sink::willing();
    let std::net::IpAddr::V4(at) = sink.address().ip() else { panic!("sinks are on IPv4") };
    let dns = Dns::start()
        .mx("dst.test", 10, "mx.dst.test")
        .a("mx.dst.test", at)
        .mx("office.test", 10, "mx.dst.test")
        .txt("_dmarc.bank.test", "v=DMARC1; p=reject");
    let (relay, inbound) = relay(&dns, &sink);
    relay.submit("app@src.test", &["one@dst.test"], "first");
    relay.wait_event("succeeded", "one@dst.test");
    let token = sink.wait_for_recipient("one@dst.test").sender;
    assert!(token.ends_with("@bounce.src.test"), "{token}");

    let bounce = "From: MAILER-DAEMON@bouncer.test\r\nTo: x@y.test\r\nSubject: Undelivered\r\n\r\nno such user\r\n";
    Client::hello(inbound).send("", &[&token], bounce.as_bytes()).expect("250");
    Client::hello(inbound).send("daemon@bouncer.test", &[&token], bounce.as_bytes()).expect("250");
    let about = |name: &str| dns.questions().iter().filter(|asked| asked.contains(name)).count();
    assert_eq!((about("bouncer.test"), about("_dmarc")), (0, 0), "{:?}", dns.questions());
    assert!(!relay.log().contains("mark="), "{}", relay.log());

    let spoofed = "From: ceo@bank.test\r\nTo: postmaster@own.test\r\nSubject: hello\r\n\r\nhello\r\n";
    Client::hello(inbound).send("x@evil.test", &["postmaster@own.test"], spoofed.as_bytes()).expect("250");
    relay.wait_log(
        "mark=forged auth=\"spf=none smtp.mailfrom=evil.test; dkim=none; dmarc=fail (p=reject) header.from=bank.test\"",
    );
    // It is passed on as it came: no field of ours says whether to believe it, and none of a stranger's is taken away.
    let passed = sink.wait_for_recipient("admin@office.test").text();
    assert!(passed.ends_with(spoofed) && !passed.contains("Authentication-Results"), "{passed}");
}
