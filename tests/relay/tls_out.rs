//! TLS towards a destination: taken where offered, given up in a new connection when the handshake breaks, insisted on
//! where the operator says so.

use crate::support::{
    Config, Place, Relay, Sink,
    sink::{Options, SinkTls},
    tls::Authority,
};

const TO: &str = "someone@dst.test";

/// A destination's TLS, our policy, and what must come of it.
struct Case {
    tls: SinkTls,
    policy: &'static str,
    /// Our machine trusts the destination's authority.
    trusted: bool,
    /// `Some(tls)`: it arrives, under TLS or not. `None`: it waits.
    arrives: Option<bool>,
}

#[test]
fn each_policy_does_what_it_says() {
    let authority = Authority::new();
    let files = Place::new();
    let roots = files.write("roots.pem", authority.pem()).display().to_string();
    let strangers = files.write("strangers.pem", Authority::new().pem()).display().to_string();
    let works = |names: &[&str]| SinkTls::Works(authority.certificate(names).server());
    let here = || works(&["localhost"]);
    let cases = [
        Case { tls: here(), policy: "opportunistic", trusted: false, arrives: Some(true) },
        Case { tls: here(), policy: "none", trusted: true, arrives: Some(false) },
        Case { tls: SinkTls::None, policy: "opportunistic", trusted: true, arrives: Some(false) },
        Case { tls: SinkTls::Broken, policy: "opportunistic", trusted: true, arrives: Some(false) },
        Case { tls: SinkTls::Broken, policy: "require", trusted: true, arrives: None },
        Case { tls: SinkTls::None, policy: "require", trusted: true, arrives: None },
        Case { tls: here(), policy: "require", trusted: false, arrives: Some(true) },
        Case { tls: here(), policy: "verify", trusted: true, arrives: Some(true) },
        Case { tls: here(), policy: "verify", trusted: false, arrives: None },
        Case { tls: works(&["other.test"]), policy: "verify", trusted: true, arrives: None },
    ];
    for (n, case) in cases.into_iter().enumerate() {
        check(n, case, &roots, &strangers);
    }
}

fn check(n: usize, case: Case, roots: &str, strangers: &str) {
    // The smarthost is named, so that a certificate can match: localhost is 127.0.0.1 everywhere.
    let at = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sink = Options::default().tls(case.tls).at(at).start();
    let relay = Relay::start(
        Config::smarthost(at)
            .set("delivery.smarthost", &format!("\"localhost:{}\"", at.port()))
            .set("delivery.smarthost_tls", &format!("\"{}\"", case.policy))
            .variable("SSL_CERT_FILE", if case.trusted { roots } else { strangers }),
    );
    relay.submit("sender@src.test", &[TO], "tls");
    let what = format!("case {n}, policy {}", case.policy);
    match case.arrives {
        Some(tls) => {
            assert_eq!(sink.wait_for(1)[0].tls, tls, "{what}");
            let done = relay.wait_event("succeeded", TO);
            assert_eq!(done.text("tls").starts_with("TLSv1."), tls, "{what}: {done:?}");
            if tls {
                assert_eq!(done.text("tls").contains("unverified"), !case.trusted, "{what}: {done:?}");
            }
        }
        None => {
            let deferred = relay.wait_event("deferred", TO);
            assert_eq!(deferred.phase(), "starttls", "{what}: {deferred:?}");
            assert_eq!(sink.taken(), 0, "{what}");
        }
    }
}

#[test]
fn a_smarthost_gets_our_credentials_and_a_wrong_password_bounces_nothing() {
    use crate::support::{Act, Step};
    let files = Place::new();
    let password = files.write("password", "open sesame\n").display().to_string();
    for right in [true, false] {
        let sink = Options::default()
            .with("AUTH PLAIN LOGIN")
            .script(move |m| match m.step {
                Step::Auth if !right => Act::reply("535 5.7.8 Wrong credentials"),
                _ => Act::Normal,
            })
            .start();
        let relay = Relay::start(
            Config::smarthost(sink.address())
                .set("delivery.smarthost_user", "\"courier\"")
                .set("delivery.smarthost_password_file", &format!("\"{password}\"")),
        );
        relay.submit("sender@src.test", &[TO], "auth");
        if right {
            let mail = &sink.wait_for(1)[0];
            assert_eq!(mail.login, Some(("courier".to_owned(), "open sesame".to_owned())));
        } else {
            let deferred = relay.wait_event("deferred", TO);
            assert_eq!(deferred.phase(), "auth", "{deferred:?}");
            assert!(!relay.deliveries().iter().any(|e| e.is_final()));
            assert!(!relay.log().contains("open sesame"), "no secret in the log");
        }
    }
}
