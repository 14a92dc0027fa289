//! Checks: what an outcome says, and that no record makes one dear. The tables are in `suite_tests`.

use super::*;
use crate::{lookup::fake::Zones, smtp::address::Mailbox};

fn ask(zones: &Zones, ip: &str, sender: Option<&str>) -> Outcome {
    let sender = sender.map(|text| Mailbox::parse(text).expect("an address"));
    let query = Query { ip: ip.parse().expect("an address"), helo: "mx.example.jp", sender: sender.as_ref() };
    smol::block_on(check(zones, query))
}

#[test]
fn an_outcome_says_what_decided_and_what_it_cost() {
    let zones = Zones::default()
        .with_txt("example.jp", "v=spf1 a:web.example.jp include:_spf.example.net ~all exp=why.example.jp")
        .with_txt("_spf.example.net", "v=spf1 ip4:192.0.2.0/24 -all")
        .with_txt("why.example.jp", "words");
    let pass = ask(&zones, "192.0.2.7", Some("a@Example.JP"));
    assert_eq!(
        (pass.result, pass.domain.as_str(), pass.matched.as_str()),
        (SpfResult::Pass, "example.jp", "include:_spf.example.net")
    );
    assert_eq!((pass.lookups, pass.void_lookups, pass.by_helo), (2, 1, false));
    assert!(pass.why.contains("may send") && pass.why.contains("example.jp"), "{}", pass.why);
    let soft = ask(&zones, "203.0.113.1", Some("a@example.jp"));
    assert_eq!((soft.result, soft.matched.as_str()), (SpfResult::SoftFail, "~all"));
    let helo = ask(&zones, "192.0.2.7", None);
    assert_eq!((helo.result, helo.domain.as_str(), helo.by_helo), (SpfResult::None, "mx.example.jp", true));
    assert!(!zones.asked().iter().any(|question| question.contains("why")), "nobody wanted the words");
}

#[test]
fn whatever_a_record_says_the_questions_are_few() {
    // Ten terms, each of them with ten hosts, each time with names that lead on.
    let mut zones = Zones::default();
    for n in 0..30 {
        let next = n + 1;
        let text = format!("v=spf1 mx:m.example.jp ptr include:i{next}.example.jp exists:%{{p}}.example.jp ~all");
        zones = zones.with_txt(&format!("i{n}.example.jp"), &text);
    }
    for n in 0..40 {
        zones =
            zones.with_ptr("192.0.2.1", &format!("p{n}.example.jp")).with_ip(&format!("p{n}.example.jp"), "192.0.2.2");
        if n < 10 {
            zones = zones
                .with_mx("m.example.jp", n, &format!("h{n}.example.jp"))
                .with_ip(&format!("h{n}.example.jp"), "192.0.2.3");
        }
    }
    let outcome = ask(&zones, "192.0.2.1", Some("a@i0.example.jp"));
    assert_eq!(outcome.result, SpfResult::PermError, "{outcome:?}");
    let asked = zones.asked().len();
    assert!(asked <= LOOKUPS_MAX * (1 + HOSTS_MAX) + 2, "{asked} questions");
}

proptest::proptest! {
    #[test]
    fn any_record_ends_in_a_result(text in "v=spf1( [-+?~]?(a|mx|ptr|all|include|exists|ip4|ip6|redirect|exp|x)[:=/]?[ -~]{0,30}){0,12}", local in "[ -~]{1,20}") {
        let zones = Zones::default().with_txt("example.jp", &text);
        let outcome = smol::block_on(run_as(&zones, (IpAddr::from([192, 0, 2, 1]), "h.example"), (&local, "example.jp"), None));
        proptest::prop_assert!(outcome.lookups <= LOOKUPS_MAX + 1);
        proptest::prop_assert!(zones.asked().len() <= LOOKUPS_MAX * (1 + HOSTS_MAX) + 2);
    }
}
