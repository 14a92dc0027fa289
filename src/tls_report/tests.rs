//! Reports both ways: round trips, other people's files, hostile ones, and the daily round by a clock that a test moves.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;

use super::{
    fake::RamMemos,
    json::{Report, SaidBy},
    receive::{By, Receiver, Refused, Stored, Taken, read},
    record::HttpsPlace,
    send::{OutMail, Parts, Ways, due_at, round},
    *,
};
use crate::{
    clock::Clock,
    config::{Config, InForce},
    deliver::tls_results::{DayResults, FailureResult, PolicyResult, PolicyType, ResultType},
    metrics::Metrics,
    net::dns::DnsError,
    runtime::{Runtime, Shutdown},
    when::day_name,
};

/// 2026-11-24T13:35:10Z.
const AT: Timestamp = Timestamp::from_millis(1_795_527_310_000);

/// The world's records, and what was sent into it.
#[derive(Clone, Default)]
struct World(Arc<Mutex<WorldState>>);

#[derive(Default)]
struct WorldState {
    records: BTreeMap<String, Result<Vec<String>, DnsError>>,
    asked: Vec<String>,
    mails: Vec<OutMail>,
    posts: Vec<(HttpsPlace, Bytes)>,
    posts_fail: bool,
    store_full: bool,
}

impl World {
    fn state(&self) -> std::sync::MutexGuard<'_, WorldState> {
        self.0.lock().expect("no panic before")
    }
    fn record(&self, domain: &str, record: Result<&str, DnsError>) {
        self.state().records.insert(record::name(domain), record.map(|r| vec![r.to_owned()]));
    }
}

impl Ways for World {
    async fn records(&self, name: &str) -> Result<Vec<String>, DnsError> {
        let mut state = self.state();
        state.asked.push(name.to_owned());
        state.records.get(name).cloned().unwrap_or(Err(DnsError::NxDomain))
    }
    async fn mail(&self, mail: OutMail) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.store_full {
            return Err(StoreError::Full);
        }
        state.mails.push(mail);
        Ok(())
    }
    async fn post(&self, to: &HttpsPlace, gzip: Bytes) -> Result<(), String> {
        let mut state = self.state();
        if state.posts_fail {
            return Err("503".into());
        }
        state.posts.push((to.clone(), gzip));
        Ok(())
    }
}

fn results(domain: &str) -> DayResults {
    let failure = |result_type, count| FailureResult {
        result_type,
        sending_mta_ip: "192.0.2.1".parse().ok(),
        receiving_mx_hostname: format!("mx1.{domain}"),
        receiving_ip: "2001:db8::1".parse().ok(),
        count,
        reason: "a \"reason\"\nof two lines".into(),
    };
    let policy = PolicyResult {
        policy_type: PolicyType::Sts,
        policy_string: ["version: STSv1", "mode: testing", "mx: *.example", "max_age: 86400"].map(String::from).into(),
        policy_domain: domain.into(),
        mx_host: vec![format!("*.{domain}")],
        successes: 5_326,
        failed: 303,
        failures: vec![failure(ResultType::CertificateExpired, 100), failure(ResultType::StarttlsNotSupported, 203)],
    };
    DayResults { policies: vec![policy] }
}

fn a_report(domain: &str) -> Report {
    let said_by = SaidBy { organization: "Example Inc.", contact: "tls@example.jp", id: "1.a@relay.example.jp" };
    Report::of_day(&results(domain), &said_by, AT.day() - 1)
}

struct Rig {
    memos: RamMemos,
    world: World,
    clock: Clock,
    parts: Arc<Parts<RamMemos, World>>,
}

fn rig(contact: &str) -> Rig {
    let mut config = Config::default();
    config.server.hostname = "relay.example.jp".into();
    config.tls_report.contact = contact.into();
    let (memos, world, clock) = (RamMemos::default(), World::default(), Clock::manual(midnight(AT.day())));
    let parts = Arc::new(Parts {
        runtime: Runtime::start(1).expect("threads"),
        memory: memos.clone(),
        clock: clock.clone(),
        metrics: Arc::default(),
        shutdown: Shutdown::new(),
        ways: world.clone(),
        config: InForce::new(config),
    });
    Rig { memos, world, clock, parts }
}

impl Rig {
    fn round(&self) {
        smol::block_on(round(&self.parts)).expect("the store works");
    }
    /// Results of a domain, `days_ago`.
    fn collected(&self, domain: &str, days_ago: u32) {
        let key = format!("{}/{domain}", day_name(AT.day() - days_ago));
        self.memos.set(MemoKind::TlsResults, &key, serde_json::to_vec(&results(domain)).expect("JSON"));
    }
    fn waiting(&self) -> Vec<String> {
        self.memos.keys(MemoKind::TlsResults)
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_day_has_a_name() {
    assert_eq!(day_name(AT.day()), "2026-11-24");
    assert_eq!(day_of_key("2026-11-24/a/b"), Some((AT.day(), "a/b")));
    for none in ["2026-11-24", "sending/2026-11-24/a", "2026-13-01/a", "x/a", "/", "", "1969-12-31/a"] {
        assert_eq!(day_of_key(none), None, "{none}");
    }
}

#[test]
fn what_is_written_can_be_read() {
    let report = a_report("example.org");
    let octets = report.write();
    let mut expected = report.clone();
    // A reason is one line for whoever reads it.
    for failure in &mut expected.policies[0].failure_details {
        failure.failure_reason_code = "a \"reason\" of two lines".into();
    }
    assert_eq!(Report::read(&octets), Ok(expected));
    let json: serde_json::Value = serde_json::from_slice(&octets).expect("JSON");
    assert_eq!(json["date-range"]["start-datetime"], "2026-11-23T00:00:00Z");
    assert_eq!(json["date-range"]["end-datetime"], "2026-11-23T23:59:59Z");
    assert_eq!(json["policies"][0]["policy"]["policy-type"], "sts");
    assert_eq!(json["policies"][0]["policy"]["policy-domain"], "example.org");
    assert_eq!(json["policies"][0]["summary"]["total-failure-session-count"], 303);
    let failure = &json["policies"][0]["failure-details"][0];
    assert_eq!(
        (&failure["result-type"], &failure["sending-mta-ip"]),
        (&"certificate-expired".into(), &"192.0.2.1".into())
    );
    assert_eq!(failure["failed-session-count"], 100);
}

#[test]
fn reports_of_all_sorts_are_understood() {
    let cases: &[(&str, &[&str])] = &[
        // As the standard shows it.
        (
            r#"{"organization-name":"Company-X","date-range":{"start-datetime":"2026-11-23T00:00:00Z","end-datetime":"2026-11-23T23:59:59Z"},
               "contact-info":"sts-reporting@company-x.example","report-id":"5065427c-23d3","policies":[{"policy":{"policy-type":"sts",
               "policy-string":["version: STSv1","mode: testing"],"policy-domain":"company-y.example","mx-host":["*.mail.company-y.example"]},
               "summary":{"total-successful-session-count":5326,"total-failure-session-count":303},"failure-details":[
               {"result-type":"certificate-expired","sending-mta-ip":"2001:db8:abcd:0012::1","receiving-mx-hostname":"mx1.mail.company-y.example",
               "failed-session-count":100}]}]}"#,
            &["Company-X", "2026-11-23", "5326+303", "company-y.example", "certificate-expired=100"],
        ),
        // Numbers as texts, one object where a list belongs, texts where lists belong, fields nobody knows.
        (
            r#"{"organization-name":"X","date-range":{"start-datetime":"2026-11-23T00:00:00+09:00","end-datetime":null},"report-id":17,"new":[{}],
               "policies":{"policy":{"policy-type":"tlsa","policy-string":"3 1 1 00","policy-domain":"y.example","mx-host":"mx.y.example"},
               "summary":{"total-successful-session-count":"12","total-failure-session-count":"1"},
               "failure-details":{"result-type":"validation-failure","failed-session-count":1.0,"receiving-mx-helo":7}}}"#,
            &["X", "2026-11-22", "12+1", "y.example", "validation-failure=1"],
        ),
        // Most is missing or of another type.
        (
            "\u{feff}{\"report-id\":\"r\",\"organization-name\":\"X\",\"date-range\":{\"start-datetime\":\"2026-11-23T01:02:03\"},\"policies\":[null,3,\"x\",[],{\"policy\":[],\"summary\":\"no\"}]}",
            &["X", "2026-11-23", "0+0"],
        ),
        (
            r#"{"report-id":"r","organization-name":"X","date-range":{"start-datetime":1795478400},"policies":[{"summary":
               {"total-successful-session-count":-5,"total-failure-session-count":"99999999999999999999999"}}]}"#,
            &["X", "2026-11-24", "0+18446744073709551615"],
        ),
    ];
    for (text, expected) in cases {
        let report = Report::read(text.as_bytes()).unwrap_or_else(|e| panic!("{e}: {text}"));
        let day = day_name(report.start().expect("a period").day());
        let summary = report.policies.last().expect("a policy").summary;
        let mut found = vec![
            report.organization_name.clone(),
            day,
            format!("{}+{}", summary.total_successful_session_count, summary.total_failure_session_count),
        ];
        for policy in report.policies.iter().filter(|p| !p.policy.policy_domain.is_empty()) {
            found.push(policy.policy.policy_domain.clone());
            found
                .extend(policy.failure_details.iter().map(|f| format!("{}={}", f.result_type, f.failed_session_count)));
        }
        assert_eq!(found, *expected, "{text}");
    }
}

#[test]
fn hostile_files_cost_bounded_memory_and_are_refused_or_cut() {
    let head = r#""report-id":"r","organization-name":"X","date-range":{"start-datetime":"2026-11-23T00:00:00Z"}"#;
    let many = format!("{{{head},\"policies\":[{}{{}}]}}", r#"{"failure-details":[{},{},{}]},"#.repeat(50_000));
    assert_eq!(Report::read(many.as_bytes()).expect("a report").policies.len(), json::POLICIES_MAX);
    let long = format!("{{{head},\"contact-info\":\"{}\"}}", "\\u0000é".repeat(100_000));
    assert!(Report::read(long.as_bytes()).expect("a report").contact_info.len() <= json::TEXT_MAX);
    let deep = format!("{{{head},\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Report::read(deep.as_bytes()).is_ok(), "what is passed over may nest, without a stack for it");
    let deep = format!("{{{head},\"policies\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(Report::read(deep.as_bytes()).map(|r| r.policies.len()), Ok(0));
    let deep = format!("{{{head},\"policies\":{}", "[{\"policy\":".repeat(100_000));
    assert!(Report::read(deep.as_bytes()).is_err());
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 100 << 10);
    let noise = (0..150 << 10).scan(1u32, |n, _| {
        *n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*n >> 24) as u8)
    });
    let long = gzip(&noise.chain(std::iter::repeat_n(b' ', 17 << 20)).collect::<Vec<u8>>());
    let long_gzip = [&b"\x1f\x8b"[..], &vec![0; receive::GZIP_OCTETS_MAX]].concat();
    for (raw, says) in [
        (bomb.as_slice(), "more than 200 times its size"),
        (&long, "over 16 MiB"),
        (&long_gzip, "compressed file is over"),
        (&gzip(b"{}")[..12], "ends too early"),
        (b"\x1f\x8b", "ends too early"),
        (b"\x1f\x8bno gzip at all", "broken"),
        (&vec![b'x'; receive::RAW_OCTETS_MAX + 1], "over 25 MiB"),
        (b"{}", "organization-name"),
        (br#"{"organization-name":"X","report-id":"r"}"#, "date-range"),
        (br#"{"organization-name":"X","date-range":{"start-datetime":"2026-11-23T00:00:00Z"}}"#, "report-id"),
        (br#"{"organization-name":"X","#, "JSON"),
        (b"Subject: hello\r\n\r\nno report\r\n", "no part"),
        (b"", "no part"),
        (b"[]", "no part"),
    ] {
        let error = read(raw).expect_err("refused").to_string();
        assert!(error.contains(says), "{error} for {} octets", raw.len());
    }
}

#[test]
fn a_report_is_found_in_the_mails_of_this_world() {
    let json = a_report("example.org").write();
    let base64 = |octets: &[u8]| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(octets)
    };
    let mail = |part: &str| {
        format!(
            "From: a@b.example\r\nSubject: Report Domain: example.org\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=\"tlsrpt\"; boundary=\"x\"\r\n\r\n\
             --x\r\nContent-Type: text/plain\r\n\r\n{{ not a report }}\r\n--x\r\n{part}\r\n--x--\r\n"
        )
    };
    let packed = base64(&gzip(&json));
    for (what, raw) in [
        (
            "gzip",
            mail(&format!(
                "Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n{packed}"
            )),
        ),
        (
            "capitals",
            mail(&format!(
                "Content-Type: APPLICATION/TLSRPT+GZIP\r\nContent-Transfer-Encoding: BASE64\r\n\r\n{packed}"
            )),
        ),
        (
            "by name",
            mail(&format!(
                "Content-Type: application/octet-stream; name=\"a!b!1!2.json.gz\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{packed}"
            )),
        ),
        ("plain", mail(&format!("Content-Type: application/tlsrpt+json\r\n\r\n{}", String::from_utf8_lossy(&json)))),
        (
            "the mail itself",
            format!(
                "From: a@b.example\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n{packed}\r\n"
            ),
        ),
    ] {
        let report = read(raw.as_bytes()).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(report.report_id, "1.a@relay.example.jp", "{what}");
        assert_eq!(read(&gzip(raw.as_bytes())).expect("packed").report_id, report.report_id, "{what}");
    }
    assert_eq!(read(&gzip(&json)).expect("a file").organization_name, "Example Inc.");
    // Thousands of parts: the mail is looked at, and not for long.
    let parts = "--x\r\nContent-Type: application/json\r\n\r\n{}\r\n".repeat(20_000);
    assert!(read(mail(&parts).as_bytes()).is_err());
}

#[test]
fn a_report_that_came_in_is_kept_once_listed_shown_and_forgotten_after_ninety_days() {
    let rig = rig("");
    let receiver = Receiver::new(rig.memos.clone(), rig.clock.clone(), Arc::<Metrics>::default());
    let take = |raw: Vec<u8>| smol::block_on(receiver.receive(raw.into(), By::Mail));
    let key = "2026-11-23/Example Inc./1.a@relay.example.jp".to_owned();
    assert_eq!(take(a_report("example.org").write()).ok(), Some(Taken::New(key.clone())));
    assert_eq!(take(gzip(&a_report("example.org").write())).ok(), Some(Taken::Known(key.clone())));
    let mut other = a_report("other.example");
    (other.organization_name, other.report_id) = ("a/b".into(), "x/y".repeat(200));
    let Ok(Taken::New(odd)) = take(other.write()) else { panic!("taken") };
    assert!(odd.len() <= 512 && odd.starts_with("2026-11-23/a_b~") && odd.matches('/').count() == 2, "{odd}");

    let all = receiver.list("", None, 10).expect("the store works");
    assert_eq!(all.reports.iter().map(|(k, _)| k.as_str()).collect::<Vec<_>>(), [key.as_str(), &odd]);
    assert_eq!((receiver.list("OTHER.example", None, 10).expect("the store works").reports.len(), all.next), (1, None));
    let first = receiver.list("", None, 1).expect("the store works");
    assert_eq!(receiver.list("", first.next.as_deref(), 5).expect("the store works").reports.len(), 1);
    let shown: Stored = receiver.show(&key).expect("the store works").expect("kept");
    assert_eq!((shown.successes, shown.failed, shown.policies[0].failures[0].count), (5_326, 303, 203));
    // The newest first, page by page.
    let mut older = a_report("example.org");
    (older.report_id, older.date_range.start_datetime) = ("older".into(), "2026-11-20T00:00:00Z".into());
    let Ok(Taken::New(old)) = take(older.write()) else { panic!("taken") };
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = receiver.newest("", 30, after.as_deref(), 1).expect("the store works");
        seen.extend(page.reports.into_iter().map(|(key, _)| key));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, [key.clone(), odd.clone(), old.clone()]);
    assert_eq!(receiver.newest("OTHER.example", 30, None, 10).expect("the store works").reports.len(), 1);
    assert_eq!(receiver.newest("", 2, None, 10).expect("the store works").reports.len(), 2, "within two days");
    assert_eq!(receiver.show("2026-11-23/x/y").expect("the store works"), None);

    // Another period than the last ninety days.
    for start in ["2026-08-01T00:00:00Z", "2026-11-27T00:00:00Z", "9999-01-01T00:00:00Z", "1970-01-01T00:00:00Z"] {
        let mut report = a_report("example.org");
        report.date_range.start_datetime = start.into();
        assert!(matches!(take(report.write()), Err(Refused::Period(_))), "{start}");
    }
    rig.clock.advance(89 * 24 * HOUR);
    rig.round();
    assert_eq!(rig.memos.keys(MemoKind::TlsReports).len(), 2);
    rig.clock.advance(2 * 24 * HOUR);
    assert!(receiver.list("", None, 10).expect("the store works").reports.is_empty(), "not shown even before pruning");
    rig.round();
    assert!(rig.memos.keys(MemoKind::TlsReports).is_empty());
}

#[test]
fn reports_of_a_day_are_counted_and_a_large_one_fits_a_memo() {
    let rig = rig("");
    let receiver = Receiver::new(rig.memos.clone(), rig.clock.clone(), Arc::<Metrics>::default());
    let mut report = a_report("example.org");
    let mut policy = report.policies[0].clone();
    policy.failure_details[0].failure_reason_code = "\\\"".repeat(120);
    policy.failure_details = vec![policy.failure_details[0].clone(); 50];
    policy.policy.policy_domain = "\"".repeat(250);
    report.policies = vec![policy; 200];
    let take = |report: &Report| smol::block_on(receiver.receive(report.write().into(), By::File));
    assert!(matches!(take(&report), Ok(Taken::New(_))));
    let kept = rig.memos.0.lock().expect("no panic before").values().map(Vec::len).max();
    assert!(kept.is_some_and(|n| n < crate::store::MEMO_OCTETS_MAX), "{kept:?}");
    let mut small = a_report("example.org");
    small.policies.clear();
    for n in 1..receive::REPORTS_PER_DAY_MAX {
        small.report_id = n.to_string();
        assert!(take(&small).is_ok(), "{n}");
    }
    small.report_id = "over".into();
    assert!(matches!(take(&small), Err(Refused::TooMany)));
    rig.clock.advance(24 * HOUR);
    assert!(take(&small).is_ok(), "another day");
}

#[test]
fn yesterdays_results_go_to_all_who_want_them_within_four_hours_and_once() {
    let rig = rig("tls@example.jp");
    rig.collected("example.org", 1);
    rig.collected("today.example", 0);
    rig.world.record("example.org", Ok("v=TLSRPTv1; rua=mailto:r@example.org,https://r.example.org/in"));
    rig.round();
    assert!(rig.world.state().asked.is_empty(), "not at midnight");
    rig.clock.advance(4 * HOUR);
    rig.round();
    {
        let state = rig.world.state();
        assert_eq!((state.mails.len(), state.posts.len()), (1, 1));
        assert_eq!(state.asked, ["_smtp._tls.example.org"]);
        let (place, posted) = &state.posts[0];
        assert_eq!((place.host.as_str(), place.path.as_str()), ("r.example.org", "/in"));
        let mail = &state.mails[0];
        assert_eq!((mail.from.as_str(), mail.to.as_str()), ("tls@example.jp", "r@example.org"));
        let report = read(&mail.bytes).expect("our own report can be read");
        assert_eq!(report, read(posted).expect("so can the posted one"));
        assert_eq!(report.report_id, "2026-11-23.example.org@relay.example.jp");
        assert_eq!(
            (report.organization_name.as_str(), report.contact_info.as_str()),
            ("relay.example.jp", "tls@example.jp")
        );
        let text = std::str::from_utf8(&mail.bytes).expect("ASCII");
        assert!(text.is_ascii() && text.lines().all(|l| l.len() <= 998));
        let head = text.split("\r\n\r\n").next().expect("a header").replace("\r\n\t", " ").replace("\r\n ", " ");
        for line in [
            "Subject: Report Domain: example.org Submitter: relay.example.jp Report-ID: <2026-11-23.example.org@relay.example.jp>",
            "TLS-Report-Domain: example.org",
            "TLS-Report-Submitter: relay.example.jp",
            "TLS-Required: No",
            "From: <tls@example.jp>",
            "To: <r@example.org>",
            "Auto-Submitted: auto-generated",
            "Message-ID: <2026-11-23.example.org@relay.example.jp>",
        ] {
            assert!(head.lines().any(|l| l == line), "{line} is missing in:\n{head}");
        }
        assert!(head.contains("multipart/report") && head.contains("report-type=\"tlsrpt\""), "{head}");
        assert!(text.contains("application/tlsrpt+gzip"));
        let name = format!("relay.example.jp!example.org!{}!{}.json.gz", 1_795_392_000, 1_795_478_399);
        assert!(text.contains(&name), "{name} in:\n{text}");
    }
    assert_eq!(rig.parts.metrics.tls_reports_sent.get(), 2);
    assert_eq!(rig.waiting(), ["2026-11-24/today.example"]);
    rig.round();
    assert_eq!(rig.world.state().mails.len(), 1, "once");
}

#[test]
fn moments_are_spread_over_the_night_and_stay_after_a_restart() {
    let night = |n: u32| due_at("relay.example.jp", AT.day(), &format!("d{n}.example"));
    let first = midnight(AT.day() + 1);
    let mut hours = [0; 4];
    for n in 0..400 {
        let at = night(n);
        assert_eq!(at, night(n));
        assert!(at > first && at.since(first) < 4 * HOUR, "{at}");
        hours[(at.since(first).as_secs() / 3600) as usize] += 1;
    }
    assert!(hours.iter().all(|n| *n > 60), "{hours:?}");
}

#[test]
fn nobody_gets_a_report_unasked_and_nobody_without_a_contact() {
    let rig_off = rig("");
    rig_off.collected("example.org", 1);
    rig_off.world.record("example.org", Ok("v=TLSRPTv1; rua=mailto:r@example.org"));
    rig_off.clock.advance(5 * HOUR);
    rig_off.round();
    assert!(rig_off.world.state().asked.is_empty() && rig_off.world.state().mails.is_empty());

    let rig = rig("tls@example.jp");
    for domain in ["none.example", "empty.example", "two.example"] {
        rig.collected(domain, 1);
    }
    rig.memos.set(MemoKind::TlsResults, "2026-11-23/broken.example", "{");
    rig.memos.set(MemoKind::TlsResults, "2026-11-23/silent.example", r#"{"policies":[]}"#);
    rig.world.record("silent.example", Ok("v=TLSRPTv1; rua=mailto:r@silent.example"));
    rig.world.record("empty.example", Err(DnsError::NoData));
    rig.world.record("two.example", Ok("v=spf1 -all"));
    rig.clock.advance(5 * HOUR);
    rig.round();
    assert!(rig.world.state().mails.is_empty() && rig.waiting().is_empty(), "{:?}", rig.waiting());
}

#[test]
fn what_fails_is_tried_again_for_a_day_and_only_where_it_failed() {
    let rig = rig("tls@example.jp");
    rig.collected("example.org", 1);
    rig.collected("dark.example", 1);
    rig.world.record("example.org", Ok("v=TLSRPTv1; rua=mailto:r@example.org,https://r.example.org/"));
    rig.world.record("dark.example", Err(DnsError::Timeout("127.0.0.1".into())));
    rig.world.state().posts_fail = true;
    rig.clock.advance(4 * HOUR);
    for _ in 0..26 * 12 {
        rig.round();
        rig.clock.advance(HOUR / 12);
    }
    {
        let state = rig.world.state();
        assert_eq!(state.mails.len(), 1, "the mail was sent once");
        let asked = |name: &str| state.asked.iter().filter(|n| n.as_str() == name).count();
        assert_eq!(asked("_smtp._tls.example.org"), 9);
        assert_eq!(asked("_smtp._tls.dark.example"), 9);
    }
    assert!(rig.waiting().is_empty(), "given up: {:?}", rig.waiting());
}

#[test]
fn a_full_disk_and_a_restart_lose_no_report_and_old_results_are_forgotten() {
    let rig = rig("tls@example.jp");
    rig.collected("example.org", 1);
    rig.collected("old.example", 3);
    rig.collected("older.example", 4);
    rig.memos.set(MemoKind::TlsResults, "sending/2026-11-20/older.example", "{}");
    for domain in ["example.org", "old.example", "older.example"] {
        rig.world.record(domain, Ok("v=TLSRPTv1; rua=mailto:r@example.org"));
    }
    rig.world.state().store_full = true;
    rig.clock.advance(4 * HOUR);
    rig.round();
    assert_eq!(rig.waiting().len(), 4, "two results, and how far each is: {:?}", rig.waiting());
    rig.world.state().store_full = false;
    rig.round();
    assert!(rig.world.state().mails.is_empty(), "not at once");
    rig.clock.advance(HOUR);
    rig.round();
    assert_eq!(rig.world.state().mails.len(), 2);
    assert!(rig.waiting().is_empty(), "{:?}", rig.waiting());
}
