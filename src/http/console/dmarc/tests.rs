//! Pages of the monitor over reports that a made-up keeper took.

use crate::{
    clock::Clock,
    config::{Config, Domain, KnownSender, Source},
    dmarc::{
        keep::{Origin, Weighed, tests::Written},
        monitor,
        row::{By, Mark},
    },
    http::{
        console::{
            answer,
            rig::{Who, check_document, get, page, post},
        },
        exchange::{Door, Method, Peer, Request},
        fake::{self, Fake, HOSTILE},
    },
    tls_report::fake::RamMemos,
};

/// A daemon with reports about example.jp: of our own mail, of a stranger's, a forged one; and TLS reports.
fn watched() -> Fake {
    let mut config = Config::default();
    config.domains.push(Domain { name: "example.jp".into(), ..Domain::default() });
    config.domains.push(Domain { name: "new.example".into(), ..Domain::default() });
    config.bounce.report_address = "dmarc@relay.example.net".into();
    config.delivery.sources.push(Source { address: [192, 0, 2, 10].into(), ..Source::default() });
    config.dmarc.senders.push(KnownSender { name: HOSTILE.into(), include: String::new(), rdns: ".x.example".into() });
    let mut fake = Fake::busy();
    fake.dmarc = monitor::over(RamMemos::default(), &Clock::manual(fake::now()), config);
    let hostile = HOSTILE.replace(['<', '>', '&', '"', '\'', '\u{7}', '\u{1b}'], "_");
    let organization = format!("{hostile} &lt;script&gt;alert(1)&lt;/script&gt;");
    for (id, days_ago, mark) in [("r-1", 1, Mark::Verified), ("r-2", 3, Mark::Verified), ("r-3", 2, Mark::Forged)] {
        let rows =
            [("192.0.2.10", 1_200, true, true, "example.jp"), ("203.0.113.9", 34, false, false, "news.example.jp")];
        let xml = Written { organization: &organization, id, domain: "example.jp", days_ago, rows: &rows }.xml();
        let weighed = Weighed { mark, from: "reporter.example".into(), why: HOSTILE.into() };
        let taken = fake.dmarc.keeper.take(xml.as_bytes(), &Origin::of(By::Mail, weighed)).expect("a report");
        assert_eq!(taken[0].why, "");
    }
    let failure = "From: abuse@reporter.example\r\nSubject: FW: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: auth-failure\r\nVersion: 1\r\nUser-Agent: x/1\r\n\
        Auth-Failure: dmarc\r\nSource-IP: 203.0.113.9\r\nReported-Domain: example.jp\r\nDelivery-Result: reject\r\n\r\n\
        --b\r\nContent-Type: message/rfc822\r\n\r\nFrom: boss@example.jp\r\nSubject: <script>alert(1)</script><b>you\r\nMessage-ID: <1@x>\r\n\r\npay\r\n--b--\r\n";
    fake.dmarc.keeper.take(failure.as_bytes(), &Origin::brought(By::File)).expect("a failure report");
    let json = serde_json::json!({
        "organization-name": HOSTILE, "report-id": HOSTILE, "contact-info": HOSTILE,
        "date-range": { "start-datetime": "2026-11-23T00:00:00Z", "end-datetime": "2026-11-23T23:59:59Z" },
        "policies": [{
            "policy": { "policy-type": "sts", "policy-domain": "example.jp" },
            "summary": { "total-successful-session-count": 1_234, "total-failure-session-count": 56 },
            "failure-details": [
                { "result-type": "certificate-expired", "receiving-mx-hostname": "mx.example.jp", "failed-session-count": 50 },
                { "result-type": HOSTILE, "receiving-mx-hostname": HOSTILE, "failed-session-count": 6, "failure-reason-code": HOSTILE },
            ],
        }],
    });
    let octets = serde_json::to_vec(&json).expect("JSON");
    smol::block_on(fake.tls_reports.receive(octets.into(), crate::tls_report::receive::By::Mail)).expect("a report");
    fake
}

/// The page, once what it shows is added up.
fn settled(fake: &Fake, who: Who, target: &str) -> String {
    for _ in 0..200 {
        let shown = page(fake, who, target);
        if !shown.contains("data-refresh") {
            return shown;
        }
        check_document(target, &shown);
    }
    panic!("{target} is never added up");
}

const PAGES: [&str; 16] = [
    "/dmarc",
    "/dmarc?days=90&all=1",
    "/dmarc/example.jp",
    "/dmarc/example.jp?days=365&all=1",
    "/dmarc/new.example",
    "/dmarc/example.jp/sources",
    "/dmarc/example.jp/sources?who=unknown&q=203&failing=1",
    "/dmarc/example.jp/reports",
    "/dmarc/example.jp/failures",
    "/dmarc/new.example/failures",
    "/dmarc/tls",
    "/dmarc/tls?domain=other.example",
    "/dmarc/import",
    "/dmarc/record",
    "/dmarc/record?domain=example.jp&p=reject&sp=none&t=1&ruf=a@b.example&rua=c@d.example",
    "/dmarc/record?domain=example.jp&old=v%3DDMARC1%3B+p%3Dreject%3B+pct%3D50%3B+rf%3Dafrf",
];

#[test]
fn every_page_is_whole_in_both_languages_and_lets_no_report_speak_html() {
    let (fake, empty) = (watched(), Fake::empty());
    let mut hostile = 0;
    for target in PAGES {
        let joint = if target.contains('?') { '&' } else { '?' };
        for lang in ["en", "ja"] {
            let target = format!("{target}{joint}lang={lang}");
            let shown = settled(&fake, Who::Admin, &target);
            check_document(&target, &shown);
            hostile += usize::from(shown.contains("alert(1)"));
            let seen = get(&empty, Who::Admin, &target);
            assert!(matches!(seen.status, 200 | 404), "{target} without reports: {}", seen.status);
            check_document(&target, &seen.body);
        }
    }
    assert!(hostile >= 10, "hostile names are shown, escaped: {hostile}");
    let listed = settled(&fake, Who::User, "/dmarc/tls");
    let key = listed.split("/dmarc/tls/report?key=").nth(1).and_then(|rest| rest.split('"').next()).expect("a link");
    let shown = page(&fake, Who::User, &format!("/dmarc/tls/report?key={key}"));
    check_document("a TLS report", &shown);
    assert!(shown.contains("1,234") && shown.contains("The certificate has expired."), "{shown}");
    for target in ["/dmarc/stranger.example", "/dmarc/%20", "/dmarc/a..b/reports", "/dmarc/tls/report?key=x"] {
        let mut seen = get(&fake, Who::Admin, target);
        for _ in 0..200 {
            if seen.status == 404 {
                break;
            }
            seen = get(&fake, Who::Admin, target);
        }
        assert_eq!(seen.status, 404, "{target}");
    }
}

#[test]
fn a_domain_tells_its_days_its_own_mail_and_what_reject_would_do() {
    let fake = watched();
    let shown = settled(&fake, Who::Viewer, "/dmarc/example.jp");
    for text in [
        "2,468",
        "2,400",
        "What would p=reject do?",
        "This relay",
        "One report of 1,234 mails is left out",
        "(forged: 1)",
        "<path class=\"bar delivered\" d=\"M",
        "The numbers as a table",
        "news.example.jp",
        "p=quarantine",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(!shown.contains("/dmarc/record?"), "a report viewer writes no records");
    let with_all = settled(&fake, Who::Viewer, "/dmarc/example.jp?all=1");
    assert!(with_all.contains("3,702") && !with_all.contains("left out"), "{with_all}");
    let sources = settled(&fake, Who::Viewer, "/dmarc/example.jp/sources");
    let (ours, theirs) = (sources.find("192.0.2.10").expect("ours"), sources.find("203.0.113.9").expect("theirs"));
    assert!(ours < theirs && sources.contains("class=\"own\""), "our own mail is marked, and has the most mails");
    let only = settled(&fake, Who::Viewer, "/dmarc/example.jp/sources?who=unknown");
    assert!(!only.contains("192.0.2.10") && only.contains("203.0.113.9"));
    let reports = page(&fake, Who::Viewer, "/dmarc/example.jp/reports");
    let place = |id: &str| reports.find(id).expect(id);
    assert!(place("r-1") < place("r-3") && place("r-3") < place("r-2"), "the newest day first");
    let quiet = settled(&fake, Who::Viewer, "/dmarc/new.example");
    assert!(quiet.contains("No mail was reported in this period."), "{quiet}");
}

#[test]
fn a_page_does_not_wait_for_a_long_sum_and_shows_it_when_it_is_there() {
    let fake = watched();
    let held = fake.dmarc.turns.hold_all();
    for target in ["/dmarc/example.jp?lang=ja", "/dmarc/example.jp/sources?lang=ja"] {
        let waiting = page(&fake, Who::Viewer, target);
        assert!(waiting.contains("レポートを集計しています") && waiting.contains("data-refresh=\"3\""), "{waiting}");
        assert!(waiting.contains(&format!("href=\"{target}\"")), "a link for those without script: {waiting}");
        check_document(target, &waiting);
    }
    drop(held);
    assert!(settled(&fake, Who::Viewer, "/dmarc/example.jp").contains("2,468"));
}

#[test]
fn nothing_of_single_mails_is_for_report_viewers_and_imports_are_for_the_administrator() {
    let fake = watched();
    for (target, may) in [
        ("/dmarc/example.jp", &[Who::Admin, Who::User, Who::Reader, Who::Viewer][..]),
        ("/dmarc/example.jp/sources", &[Who::Admin, Who::User, Who::Reader, Who::Viewer]),
        ("/dmarc/example.jp/failures", &[Who::Admin, Who::User, Who::Reader]),
        ("/dmarc/record", &[Who::Admin, Who::User, Who::Reader]),
        ("/dmarc/import", &[Who::Admin]),
    ] {
        for who in Who::ALL {
            assert_eq!(get(&fake, who, target).status == 200, may.contains(&who), "{target} {who:?}");
        }
    }
    let viewer = settled(&fake, Who::Viewer, "/dmarc/example.jp");
    assert!(!viewer.contains("/failures"), "no link to where one may not go");
}

#[test]
fn a_record_has_our_report_address_and_the_dns_is_asked_on_demand() {
    let fake = watched();
    let plain = page(&fake, Who::User, "/dmarc/record?domain=example.jp&p=reject");
    assert!(plain.contains(">v=DMARC1; p=reject; rua=mailto:dmarc@relay.example.net</pre>"), "{plain}");
    assert!(plain.contains(">_dmarc.example.jp</pre>") && !plain.contains("Elsewhere"));
    let asked = post(&fake, Who::User, "/dmarc/record", &[("domain", "example.jp"), ("p", "reject")]);
    assert_eq!(asked.status, 200);
    check_document("asked", &asked.body);
    for text in ["No record applies today", "Elsewhere", "example.jp._report._dmarc.relay.example.net</pre>", "missing"]
    {
        assert!(asked.body.contains(text), "{text}: {}", asked.body);
    }
    let better =
        page(&fake, Who::User, "/dmarc/record?domain=example.jp&old=v%3DDMARC1%3B+p%3Dreject%3B+pct%3D50&lang=ja");
    assert!(better.contains("p=reject; t=y; rua=mailto:dmarc@relay.example.net"), "{better}");
    assert!(better.contains("pct=50 を t=y に変えました"), "{better}");
    for (query, words) in [
        ("domain=%3Cscript%3E", "That is no domain name."),
        ("domain=example.jp&rua=%3Cb%3Eyou", "is no mail address"),
        ("domain=example.jp&old=v%3Dspf1", "does not begin with v=DMARC1"),
    ] {
        let shown = page(&fake, Who::User, &format!("/dmarc/record?{query}"));
        check_document(query, &shown);
        assert!(shown.contains(words) && !shown.contains("The record</h2>"), "{query}: {shown}");
    }
}

#[test]
fn a_file_that_is_brought_counts_and_is_noted() {
    let fake = watched();
    let send = |file: &str| {
        let peer = Peer::Address([192, 0, 2, 77].into());
        let mut request = Request::of_target(Method::Post, "/dmarc/import", Door::Public, peer).expect("a target");
        request.content_type = "multipart/form-data; boundary=limit".into();
        request.body = format!(
            "--limit\r\nContent-Disposition: form-data; name=\"report\"; filename=\"r.xml\"\r\n\r\n{file}\r\n--limit--\r\n"
        )
        .into_bytes();
        let response = answer(&fake, &request, Who::Admin.seat(), false);
        (response.status, response)
    };
    let rows = [("192.0.2.10", 5, true, true, "example.jp")];
    let xml =
        Written { organization: "other.example", id: "r-9", domain: "example.jp", days_ago: 1, rows: &rows }.xml();
    let told = |response: &crate::http::exchange::Response| {
        response.headers.iter().any(|(name, value)| *name == "Set-Cookie" && value.contains("hikyaku-told"))
    };
    let (status, response) = send(&xml);
    assert!(status == 303 && told(&response));
    let shown = settled(&fake, Who::Viewer, "/dmarc/example.jp");
    assert!(shown.contains("2,473"), "{shown}");
    assert_eq!(send("no report at all").0, 400);
    assert_eq!(send("").0, 400);
    let audits = fake.audits.lock().expect("no panic before");
    let detail: Vec<&str> = audits.iter().filter(|a| a.act == "dmarc.import").map(|a| a.detail.as_str()).collect();
    assert_eq!(detail, ["1 new, 0 known, 0 refused"]);
}

#[test]
fn a_share_is_never_rounded_to_all_or_nothing() {
    for (part, whole, words) in [
        (0, 0, "–"),
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (1, 100_000, "0.1 %"),
        (99_999, 100_000, "99.9 %"),
        (1, 2, "50 %"),
    ] {
        assert_eq!(super::percent(part, whole), words);
    }
}
