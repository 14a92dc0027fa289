//! What operators meet, as figures: each scene names the cause that must come first.

use std::net::IpAddr;

use super::{
    figures::{Before, Brake, Broke, CauseId, Diagnosis, Figure, Gathered, Loosened, Question, Speed, WarmUp},
    rules::{CAUSES_MAX, rank},
    tally::{Tally, Try},
    topic::Topic,
    words::{Words, causes},
};
use crate::{
    clock::{DAY_MILLIS, Timestamp},
    doctor::{
        finding::{Address, Dkim, Finding, Level, Seen},
        words::Language,
    },
    event::{ErrorClass, EventKind, Phase},
    when::Zone,
};

const TO: Timestamp = Timestamp::from_millis(20_786 * DAY_MILLIS + 10 * 3_600_000);

fn hours_ago(hours: u64) -> Timestamp {
    Timestamp::from_millis(TO.as_millis() - hours * 3_600_000)
}

/// Mail of one kind.
#[derive(Clone, Copy)]
struct Lot {
    n: u64,
    /// Hours before the end of the period, first and last.
    hours: (u64, u64),
    subject: &'static str,
    domain: &'static str,
    host: &'static str,
    source: &'static str,
    user: &'static str,
    /// All to one recipient.
    one: bool,
    kind: EventKind,
    phase: Phase,
    reply: &'static str,
}

/// Mail that goes well.
const FINE: Lot = Lot {
    n: 100,
    hours: (23, 0),
    subject: "Your order 123",
    domain: "example.org",
    host: "mx.example.org",
    source: "192.0.2.1",
    user: "shop",
    one: false,
    kind: EventKind::Succeeded,
    phase: Phase::Content,
    reply: "250 ok",
};

fn failed(n: u64, reply: &'static str) -> Lot {
    Lot { n, kind: EventKind::Failed, reply, ..FINE }
}

fn deferred(n: u64, reply: &'static str) -> Lot {
    Lot { n, kind: EventKind::Deferred, reply, ..FINE }
}

fn to_gmail(lot: Lot) -> Lot {
    Lot { domain: "gmail.com", host: "gmail-smtp-in.l.google.com", ..lot }
}

/// A calm fortnight of a thousand mails a day.
fn scene(lots: &[Lot]) -> Gathered {
    let mut tally = Tally::default();
    for (which, lot) in lots.iter().enumerate() {
        let (first, last) = (hours_ago(lot.hours.0).as_millis(), hours_ago(lot.hours.1).as_millis());
        for n in 0..lot.n {
            let recipient =
                if lot.one { format!("hanako@{}", lot.domain) } else { format!("u{which}x{n}@{}", lot.domain) };
            let reply = lot.reply.replace("<to>", &recipient);
            tally.add(&Try {
                at: Timestamp::from_millis(first + (last - first) * n / lot.n.max(1)),
                kind: lot.kind,
                phase: Some(lot.phase),
                class: None,
                reply: &reply,
                recipient: &recipient,
                destination: lot.domain,
                host: lot.host,
                source: lot.source.parse::<IpAddr>().ok(),
                user: lot.user,
                subject: lot.subject,
                octets: 20_000,
            });
        }
    }
    let volume_a_day = tally.volume();
    Gathered {
        question: Question {
            domain: "shop.example.jp".into(),
            destination: None,
            from: hours_ago(24),
            to: TO,
            user: String::new(),
        },
        volume_a_day: volume_a_day.min(1_000),
        tally,
        looked_back_to: None,
        before: Before {
            days: 14,
            volume_a_day: 1_000.0,
            busiest: 1_500,
            refused_rate: 0.004,
            unknown_rate: 0.003,
            octets: 20_000.0,
            patterns: [("Your order #".to_owned(), 380), ("Your bill for #".to_owned(), 20)].into(),
            sampled: 400,
        },
        findings: Some(Vec::new()),
        broke: Vec::new(),
        loosened: Vec::new(),
        speeds: Vec::new(),
        warm_ups: Vec::new(),
        brakes: Vec::new(),
    }
}

const GMAIL_UNAUTHENTICATED: &str = "550-5.7.26 Your email has been blocked because the sender is unauthenticated. Gmail requires all senders to authenticate with either SPF or DKIM. Authentication results: DKIM = did not pass SPF [shop.example.jp] with ip: [192.0.2.1] = did not pass. d9443c01a7336-1f9eb3b6e81si99625855ad.239 - gsmtp";
const GMAIL_RATE: &str = "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your IP address 192.0.2.1. To protect our users from spam, mail sent from your IP address has been temporarily rate limited.";
const GMAIL_REPUTATION: &str = "550-5.7.1 [192.0.2.1] Our system has detected that this message is likely suspicious due to the very low reputation of the sending IP address. To best protect our users from spam, the message has been blocked.";
const MICROSOFT_BLOCK: &str = "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140).";
const SPAM: &str = "554 5.7.1 Message rejected as spam by Content Filtering.";
const FULL: &str = "452 4.2.2 The email account that you tried to reach is over quota.";
const UNKNOWN_USER: &str = "550 5.1.1 <<to>>: Recipient address rejected: User unknown";
const CONNECTIONS: &str = "421 4.3.2 Too many concurrent SMTP connections; please try again later.";

fn dkim_differs() -> Finding {
    Finding::new(
        Level::Error,
        "s1._domainkey.shop.example.jp",
        Seen::Dkim(Dkim::Differs { record: "v=DKIM1; p=AAAA".into() }),
    )
}

/// The causes of a scene, likeliest first.
fn causes_of(gathered: &Gathered) -> Vec<(CauseId, u32)> {
    rank(gathered).into_iter().map(|cause| (cause.id, cause.score)).collect()
}

fn check(what: &str, gathered: &Gathered, first: CauseId, score_min: u32) {
    let found = causes_of(gathered);
    let Some((id, score)) = found.first() else { panic!("{what}: nothing was found") };
    assert!(*id == first && *score >= score_min, "{what}: wanted {first:?}, found {found:?}");
    assert!(found.len() <= CAUSES_MAX);
    // Whatever is found has its words in both languages.
    let zone = Zone::named("Asia/Tokyo");
    let diagnosis = Diagnosis { gathered: gathered.clone(), causes: rank(gathered) };
    for language in [Language::English, Language::Japanese] {
        let words = Words { language, zone: &zone };
        assert!(words.summary(&diagnosis).iter().all(|line| !line.is_empty()), "{what}");
        for cause in &diagnosis.causes {
            let said: Vec<String> = cause.figures.iter().map(|figure| words.figure(figure)).collect();
            assert!(said.iter().all(|line| !line.is_empty() && !line.contains("NaN")), "{what}: {said:?}");
            assert!(!causes::next(cause.id, language).is_empty());
        }
    }
}

#[test]
fn dkim_that_broke_yesterday_comes_first_with_its_moment() {
    let refused = to_gmail(Lot { hours: (13, 0), ..failed(300, GMAIL_UNAUTHENTICATED) });
    let before = to_gmail(Lot { hours: (24, 13), ..FINE });
    let mut g = scene(&[FINE, before, refused]);
    g.findings = Some(vec![dkim_differs()]);
    g.broke = vec![Broke { check: "dkim.record".into(), at: hours_ago(12) }];
    check("dkim broken since yesterday", &g, CauseId::Dkim, 90);
    let dkim = &rank(&g)[0];
    let has = |wanted: fn(&Figure) -> bool| dkim.figures.iter().any(wanted);
    assert!(dkim.figures.contains(&Figure::Since { at: hours_ago(13) }), "{:?}", dkim.figures);
    assert!(has(|f| matches!(f, Figure::Finding { check, .. } if check == "dkim.record")));
    assert!(has(|f| matches!(f, Figure::About { refusals: 300, of: 300, .. })));
    assert!(has(|f| matches!(f, Figure::Broke(_))));

    // Without the doctor's word the answers alone say "unauthenticated".
    g.findings = None;
    check("unauthenticated", &g, CauseId::Authentication, 80);
    // A record that nobody minds yet is a hint.
    let mut g = scene(&[FINE]);
    g.findings = Some(vec![dkim_differs()]);
    assert_eq!(causes_of(&g), [(CauseId::Dkim, 28)]);
}

#[test]
fn a_rule_that_was_loosened_comes_before_the_limits_it_ran_into() {
    let docomo = |lot: Lot| Lot { domain: "docomo.ne.jp", host: "mfsmax.docomo.ne.jp", ..lot };
    let mut g = scene(&[FINE, docomo(FINE), docomo(Lot { hours: (20, 0), ..deferred(200, CONNECTIONS) })]);
    let speed =
        Speed { destination: "docomo.ne.jp".into(), rule: Some("docomo".into()), connections: 20, interval_millis: 0 };
    g.speeds = vec![speed];
    check("limits alone", &g, CauseId::Speed, 60);
    let change = |days: u64| Loosened {
        rule: "docomo".into(),
        at: hours_ago(24 * days),
        connections: (2, 20),
        interval_millis: (500, 0),
        destinations: vec!["docomo.ne.jp".into()],
    };
    g.loosened = vec![change(2)];
    check("loosened two days ago", &g, CauseId::RuleLoosened, 85);
    assert!(matches!(&rank(&g)[0].figures[0], Figure::Loosened(l) if l.connections == (2, 20)));
    g.loosened = vec![change(25)];
    check("loosened long ago", &g, CauseId::Speed, 60);
    g.loosened = vec![Loosened { destinations: vec!["elsewhere.example".into()], ..change(2) }];
    check("loosened for others", &g, CauseId::Speed, 60);
}

#[test]
fn a_campaign_with_a_new_subject_is_named_and_an_old_one_is_not() {
    let campaign = Lot { subject: "【激安】Rolex 90% off!!", hours: (5, 0), ..failed(150, SPAM) };
    let g = scene(&[Lot { n: 900, ..FINE }, campaign]);
    check("new campaign", &g, CauseId::NewSubject, 75);
    let first = &rank(&g)[0];
    assert!(first.figures.iter().any(|f| matches!(f, Figure::NewSubject { pattern, tries: 150, share_before, .. }
            if pattern == "【激安】Rolex #% off!!" && *share_before == 0.0)));
    // The same subject as ever, refused while others pass.
    let bills = Lot { subject: "Your bill for 11", ..failed(40, SPAM) };
    let g = scene(&[Lot { n: 900, ..FINE }, bills]);
    check("an old subject", &g, CauseId::OneSubject, 55);
    // All subjects alike: it is not the subject.
    let all = [
        FINE,
        failed(80, SPAM),
        Lot { subject: "Your bill for 1", ..FINE },
        Lot { subject: "Your bill for 2", ..failed(70, SPAM) },
    ];
    check("all subjects", &scene(&all), CauseId::Content, 55);
}

#[test]
fn one_mailbox_that_is_full_and_retried_is_no_trouble_of_the_domain() {
    let full = Lot { one: true, domain: "gmail.com", host: "gmail-smtp-in.l.google.com", ..deferred(60, FULL) };
    let g = scene(&[FINE, to_gmail(FINE), full, failed(4, UNKNOWN_USER)]);
    check("one full mailbox", &g, CauseId::OneRecipient, 60);
    assert!(
        matches!(&rank(&g)[0].figures[0], Figure::Concentrated { name, refusals: 60, of: 64, .. } if name == "hanako@gmail.com")
    );
}

#[test]
fn one_provider_that_blocks_our_address_is_told_from_a_bad_name_everywhere() {
    let microsoft = Lot {
        domain: "outlook.com",
        host: "outlook-com.olc.protection.outlook.com",
        phase: Phase::Mail,
        ..failed(120, MICROSOFT_BLOCK)
    };
    let g = scene(&[FINE, to_gmail(Lot { n: 300, ..FINE }), microsoft]);
    check("Microsoft blocks us", &g, CauseId::OneProvider, 75);
    let figures = &rank(&g)[0].figures;
    assert!(figures.iter().any(|f| matches!(f, Figure::Concentrated { name, .. } if name == "microsoft")));
    assert!(
        figures.iter().any(|f| matches!(f, Figure::Delist { url, .. } if url.contains("olcsupport"))),
        "{figures:?}"
    );
    // Everybody refuses us.
    let everywhere = |domain, host| Lot { domain, host, ..failed(60, GMAIL_REPUTATION) };
    let lots = [
        FINE,
        everywhere("gmail.com", "gmail-smtp-in.l.google.com"),
        everywhere("a.example", "mx.a.example"),
        everywhere("b.example", "mx.b.example"),
    ];
    check("a bad name", &scene(&lots), CauseId::Reputation, 60);
    // A small destination, too, may be the one.
    let small = Lot {
        domain: "bank.example",
        host: "mx.bank.example",
        ..failed(30, "550 5.7.1 Mail from your IP has been blocked due to poor reputation")
    };
    check("one small destination", &scene(&[Lot { n: 900, ..FINE }, small]), CauseId::OneProvider, 50);
}

#[test]
fn a_missing_ptr_is_named_by_the_answers_and_by_the_doctor() {
    let reply = "550 5.7.25 [192.0.2.1] The IP address sending this message does not have a PTR record setup, or the corresponding forward DNS entry does not match the sending IP.";
    let mut g = scene(&[FINE, to_gmail(failed(90, reply))]);
    check("no PTR", &g, CauseId::ReverseDns, 70);
    g.findings = Some(vec![Finding::new(Level::Error, "192.0.2.1", Seen::Address(Address::NoName))]);
    check("no PTR, seen", &g, CauseId::ReverseDns, 90);
}

#[test]
fn twenty_times_the_volume_comes_before_what_it_brought_about() {
    let mut g = scene(&[to_gmail(Lot { n: 4_000, ..FINE }), to_gmail(deferred(2_000, GMAIL_RATE))]);
    g.volume_a_day = 20_000;
    check("volume", &g, CauseId::Volume, 80);
    assert!(matches!(&rank(&g)[0].figures[0], Figure::Volume { now: 20_000, factor, .. } if *factor == 20.0));
    // As much as on the busiest day before is no jump, and nothing is known of before: no claim.
    g.volume_a_day = 1_500;
    assert_ne!(causes_of(&g)[0].0, CauseId::Volume);
    g.before = Before::default();
    g.volume_a_day = 20_000;
    assert!(causes_of(&g).iter().all(|(id, _)| *id != CauseId::Volume));
}

#[test]
fn a_bought_list_is_told_from_old_addresses() {
    let dead = Lot { subject: "Welcome to our news", user: "campaign", ..failed(300, UNKNOWN_USER) };
    let alive = Lot { n: 700, subject: "Welcome to our news", user: "campaign", ..FINE };
    let mut g = scene(&[Lot { n: 1_000, ..FINE }, alive, dead]);
    g.volume_a_day = 2_000;
    check("a bought list", &g, CauseId::DeadList, 75);
    let figures = &rank(&g)[0].figures;
    assert!(
        figures.iter().any(|f| matches!(f, Figure::Concentrated { name, .. } if name == "campaign")),
        "{figures:?}"
    );
    g.before.unknown_rate = 0.2;
    check("as ever", &g, CauseId::OldAddresses, 50);
}

#[test]
fn blocklists_and_where_they_are_left_are_named() {
    let reply = "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1";
    let places = [("a.example", "mx.a.example"), ("b.example", "mx.b.example"), ("c.example", "mx.c.example")];
    let mut lots = vec![FINE];
    lots.extend(places.map(|(domain, host)| Lot { domain, host, phase: Phase::Rcpt, ..failed(30, reply) }));
    let g = scene(&lots);
    check("blocklist", &g, CauseId::Blocklist, 80);
    assert!(rank(&g)[0].figures.iter().any(|f| matches!(f, Figure::Delist { list, .. } if list == "Spamhaus")));
}

#[test]
fn places_and_people_on_whom_it_lies_are_named() {
    // One of two source addresses.
    let second = Lot {
        source: "192.0.2.2",
        ..failed(60, "550 5.7.1 Connection refused: your IP address 192.0.2.2 has a poor reputation")
    };
    let spread = [("a.example", "mx.a.example"), ("b.example", "mx.b.example"), ("c.example", "mx.c.example")];
    let mut lots = vec![Lot { n: 500, ..FINE }];
    lots.extend(spread.map(|(domain, host)| Lot { domain, host, ..second }));
    lots.extend(spread.map(|(domain, host)| Lot { domain, host, ..FINE }));
    check("one source", &scene(&lots), CauseId::OneSource, 70);
    // One that is being warmed up.
    let mut g = scene(&lots);
    g.warm_ups = vec![WarmUp {
        source: "192.0.2.2".parse().unwrap(),
        provider: "x".into(),
        day: 2,
        days: 14,
        sent: 50,
        cap: 50,
    }];
    assert!(causes_of(&g).iter().any(|(id, score)| *id == CauseId::WarmUp && *score >= 60), "{:?}", causes_of(&g));
    // One destination in an outage.
    let down = Lot {
        domain: "down.example",
        host: "",
        phase: Phase::Connect,
        ..deferred(80, "4.4.1 connect to mx.down.example[192.0.2.9]:25: no answer within 30s")
    };
    check("one destination", &scene(&[Lot { n: 500, ..FINE }, down]), CauseId::OneDestination, 60);
    // Nothing can be reached at all.
    let names = ["a.example", "b.example", "c.example", "d.example", "e.example", "f.example"];
    let lots = names.map(|domain| Lot {
        domain,
        host: "",
        phase: Phase::Connect,
        ..deferred(20, "4.4.1 connect to mx[192.0.2.9]:25: Network is unreachable")
    });
    check("own network", &scene(&lots), CauseId::OwnNetwork, 75);
    // One program among two.
    let form = "550 5.6.0 Message header has an invalid From field (RFC 5322)";
    let mut lots = vec![Lot { n: 500, ..FINE }];
    lots.extend(spread.map(|(domain, host)| Lot { user: "old-app", domain, host, ..failed(20, form) }));
    let found = causes_of(&scene(&lots));
    assert!(found.iter().any(|(id, _)| *id == CauseId::OneUser), "{found:?}");
    // A held place.
    let mut g = scene(&[FINE, to_gmail(failed(60, UNKNOWN_USER))]);
    g.brakes = vec![Brake { place: "*.google.com".into(), since: hours_ago(3), errors: 60, results: 64 }];
    assert!(causes_of(&g).iter().any(|(id, _)| *id == CauseId::Brake));
}

#[test]
fn plain_answers_have_plain_causes() {
    for (reply, kind, want) in [
        ("552 5.3.4 Message size exceeds fixed limit", EventKind::Failed, CauseId::Size),
        ("554 5.7.1 The message contains a virus (Eicar-Test-Signature)", EventKind::Failed, CauseId::Attachment),
        ("451 4.7.1 Greylisting in action, please come back later", EventKind::Deferred, CauseId::Greylisting),
        ("554 5.7.1 <a@b>: Relay access denied", EventKind::Failed, CauseId::Setup),
        (FULL, EventKind::Deferred, CauseId::MailboxFull),
        (
            "553 5.1.8 <x@shop.example.jp>: Sender address rejected: Domain not found",
            EventKind::Failed,
            CauseId::SenderDomain,
        ),
    ] {
        let refused = |domain, host| Lot { domain, host, kind, reply, ..failed(20, reply) };
        let g = scene(&[FINE, refused("a.example", "mx.a.example"), refused("b.example", "mx.b.example")]);
        check(reply, &g, want, 30);
    }
    // What came back after it was delivered counts, too.
    let complaint = Lot { n: 8, kind: EventKind::Complained, reply: "abuse", ..FINE };
    check("complaints", &scene(&[Lot { n: 900, ..FINE }, complaint]), CauseId::Complaints, 40);
    // Nobody refused them but we.
    let mut tally = scene(&[FINE]).tally;
    for n in 0..60 {
        let recipient = format!("l{n}@example.org");
        tally.add(&Try {
            at: TO,
            kind: EventKind::Failed,
            phase: Some(Phase::Queue),
            class: Some(ErrorClass::Blocked),
            reply: "suppressed since yesterday",
            recipient: &recipient,
            destination: "example.org",
            host: "",
            source: None,
            user: "shop",
            subject: "Your order 1",
            octets: 1,
        });
    }
    check("our own lists", &Gathered { tally, ..scene(&[]) }, CauseId::OwnLists, 25);
}

#[test]
fn where_nothing_stands_out_that_is_said() {
    let zone = Zone::named("UTC");
    for (g, said) in [
        (scene(&[Lot { n: 2_000, ..FINE }, failed(3, UNKNOWN_USER), deferred(2, FULL)]), "Nothing stands out"),
        (scene(&[Lot { n: 500, ..FINE }]), "Nothing stands out"),
        (scene(&[]), "No mail of this domain"),
    ] {
        let causes = rank(&g);
        assert!(causes.is_empty(), "{causes:?}");
        let words = Words { language: Language::English, zone: &zone };
        let lines = words.summary(&Diagnosis { gathered: g, causes }).join("\n");
        assert!(lines.contains(said), "{lines}");
    }
}

#[test]
fn every_figure_is_data_for_programs() {
    let mut g = scene(&[FINE, to_gmail(failed(300, GMAIL_UNAUTHENTICATED))]);
    g.findings = Some(vec![dkim_differs()]);
    let json = serde_json::to_value(&rank(&g)[0].figures).unwrap();
    assert_eq!(json[0]["figure"], "about");
    assert_eq!(json[0]["topics"][0], Topic::Authentication.word());
    assert_eq!((&json[0]["refusals"], &json[0]["of"]), (&300.into(), &300.into()));
}
