//! Views of made-up rows.

use super::*;
use crate::dmarc::{
    report::ReasonKind,
    row::{By, Disposition, KeptPolicy},
};

const DAY: u32 = 20_780;

fn report(organization: &str, mark: Mark, policy: &str) -> KeptReport {
    KeptReport {
        domain: "example.jp".into(),
        organization: organization.into(),
        report_id: "r".into(),
        contact: String::new(),
        begin: "2026-11-23T00:00:00Z".into(),
        end: String::new(),
        received_at: "2026-11-24T01:00:00Z".into(),
        by: By::Mail,
        mark,
        from: String::new(),
        why: String::new(),
        policy: KeptPolicy { p: policy.into(), ..KeptPolicy::default() },
        rows: 1,
        tally: Tally { messages: 7, ..Tally::default() },
        errors: Vec::new(),
        group: String::new(),
        pieces: 1,
    }
}

fn row(source: &str, count: u64, dkim: bool, spf: bool) -> KeptRow {
    KeptRow {
        source: source.parse().expect("an address"),
        count,
        disposition: if dkim || spf { Disposition::None } else { Disposition::Quarantine },
        dkim,
        spf,
        header_from: "example.jp".into(),
        envelope_from: String::new(),
        reasons: Vec::new(),
        signatures: Vec::new(),
        spf_results: Vec::new(),
    }
}

fn view(from: u32, to: u32) -> View {
    let ours = ["192.0.2.10".parse().expect("an address")];
    View::new(Asked { domain: "example.jp".into(), from, to, all: false }, ours.into_iter().collect())
}

/// 192.0.2 is ours, 198.51.100 a known sender's, the rest unknown.
fn label(address: IpAddr) -> Label {
    let text = address.to_string();
    let who = if text.starts_with("192.0.2.") {
        Who::ThisRelay
    } else if text.starts_with("198.51.100.") {
        Who::KnownSender("Desk".into())
    } else {
        Who::Unknown
    };
    Label { who, name: String::new(), is_looked_up: true }
}

#[test]
fn days_sources_and_reporters_add_up_and_our_own_log_stands_beside() {
    let mut view = view(DAY - 1, DAY + 1);
    for organization in ["a.example", "b.example"] {
        view.add_report(DAY, &report(organization, Mark::Verified, "none"));
    }
    view.add_report(DAY, &report("a.example", Mark::Forged, "reject"));
    let (a, b) = (view.number_of("a.example"), view.number_of("b.example"));
    view.add_row(DAY, "example.jp", a, &row("192.0.2.10", 10, true, true));
    view.add_row(DAY, "example.jp", b, &row("192.0.2.10", 5, true, false));
    view.add_row(DAY + 1, "example.jp", b, &row("203.0.113.9", 3, false, false));
    let below = KeptRow { header_from: "news.example.jp".into(), ..row("198.51.100.1", 4, false, true) };
    view.add_row(DAY, "example.jp", a, &below);
    assert!(view.has("example.jp", &below) && view.has("jp", &row("192.0.2.1", 1, true, true)));

    let delivered = Delivered { known_from: DAY, by_day: [(DAY, 12)].into_iter().collect() };
    let days = view.day_rows(&delivered);
    let told: Vec<_> = days
        .iter()
        .map(|d| {
            (
                d.reports,
                d.tally.messages,
                d.tally.aligned,
                d.tally.spoofed,
                d.relay_reported,
                d.relay_delivered,
                d.relay_unaccounted,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (0, 0, 0, 0, 0, None, None),
            // Fifteen came from our address, and we sent twelve.
            (2, 19, 19, 0, 15, Some(12), Some(3)),
            (0, 3, 0, 3, 0, Some(0), Some(0)),
        ]
    );
    assert_eq!((view.left_out.reports, view.left_out.messages, view.left_out.forged), (1, 7, 1));
    assert_eq!(view.policy.as_ref().map(|(_, p, _)| p.as_str()), Some("none"), "a forged report says nothing of it");
    let sources = view.source_rows(&label);
    let told: Vec<_> =
        sources.iter().map(|s| (s.source.to_string(), s.who.word(), s.tally.messages, s.reporters)).collect();
    assert_eq!(
        told,
        [
            ("192.0.2.10".to_owned(), "this relay", 15, 2),
            ("198.51.100.1".into(), "Desk", 4, 1),
            ("203.0.113.9".into(), "unknown", 3, 1)
        ]
    );
    assert_eq!(sources[2].last_day, "2026-11-24");
    let names: Vec<_> = view.name_rows().into_iter().map(|n| (n.name, n.tally.messages)).collect();
    assert_eq!(names, [("example.jp".to_owned(), 18), ("news.example.jp".into(), 4)]);
    let reporters: Vec<_> = view.reporter_rows().into_iter().map(|r| (r.organization, r.reports, r.messages)).collect();
    assert_eq!(reporters, [("a.example".to_owned(), 1, 7), ("b.example".into(), 1, 7)]);
    let json = serde_json::to_value(&sources[1]).expect("JSON");
    assert_eq!(
        (&json["label"], &json["sender"], &json["messages"]),
        (&"known_sender".into(), &"Desk".into(), &4.into())
    );
    assert_eq!(serde_json::from_value::<SourceOut>(json).expect("the same"), sources[1]);
    let day: DayOut = serde_json::from_str(&serde_json::to_string(&days[1]).expect("JSON")).expect("the same");
    assert_eq!(day, days[1]);
}

/// Ten days of so many mails each: ours, known and unknown, passed and failed.
fn ten_days(policy: &str, ours: (u64, u64), known: (u64, u64), unknown: (u64, u64), forwarded: u64) -> WhatIf {
    let mut view = view(DAY - 9, DAY);
    for day in DAY - 9..=DAY {
        view.add_report(day, &report("a.example", Mark::Verified, policy));
        for (source, (passed, failed)) in [("192.0.2.10", ours), ("198.51.100.1", known), ("203.0.113.9", unknown)] {
            for (count, pass) in [(passed, true), (failed, false)] {
                if count > 0 {
                    view.add_row(day, "example.jp", 0, &row(source, count, pass, false));
                }
            }
        }
        if forwarded > 0 {
            let reasons = vec![ReasonKind::MailingList];
            view.add_row(day, "example.jp", 0, &KeptRow { reasons, ..row("203.0.113.77", forwarded, false, false) });
        }
    }
    let sources = view.source_rows(&label);
    view.what_if(&sources)
}

#[test]
fn what_p_reject_would_do_is_told_by_whose_mail_it_is() {
    let what = ten_days("none", (100, 0), (50, 0), (2, 30), 4);
    assert_eq!((what.would_be_refused, what.relay_refused, what.known_refused), (340, 0, 0));
    assert_eq!((what.unknown_messages, what.unknown_refused, what.unknown_forwarded), (360, 340, 40));
    assert_eq!(what.advice, Advice::Ready { refused: 340, forwarded: 40, lost: 0 });
    assert_eq!(what.sources.len(), 2);
    assert!(what.recommendation.starts_with("Ready") && what.recommendation_ja.contains("340"));
    for (policy, ours, known, unknown, expected) in [
        ("none", (100, 0), (0, 0), (0, 0), Advice::Ready { refused: 0, forwarded: 0, lost: 0 }),
        ("none", (100, 1), (0, 0), (0, 5), Advice::FixRelay { refused: 10, is_reject: false }),
        ("reject", (100, 1), (0, 0), (0, 5), Advice::FixRelay { refused: 10, is_reject: true }),
        ("none", (100, 1), (10, 3), (0, 5), Advice::FixKnown { name: "Desk".into(), refused: 30, is_reject: false }),
        // One in a thousand is what forwarding breaks.
        ("none", (2_000, 1), (0, 0), (0, 5), Advice::Ready { refused: 50, forwarded: 0, lost: 10 }),
        ("reject", (100, 0), (0, 0), (0, 5), Advice::InForce { refused: 50, lost: 0 }),
        ("none", (0, 0), (0, 0), (10, 5), Advice::NobodyIsKnown { messages: 150 }),
        ("none", (5, 0), (0, 0), (0, 1), Advice::TooLittle { messages: 60, days: 10, messages_min: 100, days_min: 7 }),
        ("none", (0, 0), (0, 0), (0, 0), Advice::NoReports),
    ] {
        let what = ten_days(policy, ours, known, unknown, 0);
        assert_eq!(what.advice, expected, "{policy} {ours:?} {known:?} {unknown:?}");
    }
    let legitimate_first = ten_days("none", (100, 1), (10, 3), (0, 500), 0);
    let order: Vec<_> = legitimate_first.sources.iter().map(|s| s.who.word()).collect();
    assert_eq!(order, ["Desk", "this relay", "unknown"]);
}

#[test]
fn what_hostile_reports_name_is_bounded() {
    let mut view = view(DAY, DAY);
    for n in 0..(SOURCES_MAX + 10) as u32 {
        let address = IpAddr::from(n.to_be_bytes());
        let row =
            KeptRow { source: address, header_from: format!("{n}.example.jp"), ..row("192.0.2.1", 1, false, false) };
        if n < 5_000 {
            view.add_report(DAY, &report(&format!("{n}.example"), Mark::Verified, "none"));
        }
        let reporter = view.number_of(&format!("{n}.example"));
        view.add_row(DAY, "example.jp", reporter, &row);
    }
    assert_eq!((view.sources.len(), view.names.len(), view.reporters.len()), (SOURCES_MAX, NAMES_MAX, REPORTERS_MAX));
    assert_eq!(view.other_sources.messages, 10);
    assert_eq!(view.total().messages, SOURCES_MAX as u64 + 10);
    let what = view.what_if(&view.source_rows(&label));
    assert_eq!(what.would_be_refused, what.relay_refused + what.known_refused + what.unknown_refused);
}
