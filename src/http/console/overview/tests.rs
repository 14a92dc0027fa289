//! The front page, the statistics and the incidents: true, whole in both languages, and without an address for who may see reports only.

use std::time::Duration;

use crate::{
    config,
    http::{
        console::rig::{Who, check_document, get, page},
        fake::{Fake, now},
    },
    store::QuarterCounts,
    webhook::{place::Mark, view::View},
};

/// Four quarters of an hour of two users and of nobody.
fn counted() -> Fake {
    let mut fake = Fake::busy();
    fake.counts = (0..4u64)
        .flat_map(|quarter| {
            ["", "crm", "shop-app"].map(|user| QuarterCounts {
                start: now().minus(Duration::from_secs(now().as_seconds() % 900 + quarter * 900)),
                user: user.into(),
                queued: 1_000 + quarter,
                succeeded: 900,
                deferred: 30,
                failed: 9,
                blocked: if user == "crm" { 2 } else { 0 },
                bounced: 1,
                ..QuarterCounts::default()
            })
        })
        .rev()
        .collect();
    fake
}

#[test]
fn every_page_is_whole_for_every_role_in_both_languages() {
    for fake in [Fake::busy(), Fake::demo(), Fake::empty(), counted()] {
        for who in [Who::Admin, Who::User, Who::Viewer] {
            for target in [
                "/",
                "/?range=24h",
                "/?range=7d",
                "/statistics",
                "/statistics?range=13m",
                "/statistics?range=7d&step=minute",
                "/statistics?from=2026-11-20T09:00&to=2026-11-20T12:00&user=crm",
                "/statistics?from=%3Cscript%3Ealert(1)%3C/script%3E&user=%3Cb%3Eyou&step=%22onload=%22x",
                "/troubles",
            ] {
                for lang in ["en", "ja"] {
                    let joint = if target.contains('?') { '&' } else { '?' };
                    let name = format!("{who:?} {target}{joint}lang={lang}");
                    check_document(&name, &page(&fake, who, &format!("{target}{joint}lang={lang}")));
                }
            }
        }
    }
}

#[test]
fn who_sees_reports_only_sees_no_address_no_subject_and_no_answer() {
    for fake in [Fake::busy(), Fake::bounced(), Fake::demo()] {
        for target in ["/", "/troubles", "/statistics"] {
            let body = page(&fake, Who::Viewer, target);
            for secret in [
                "@example",
                "@gmail",
                "alert(1)",
                "Too many",
                "too many",
                "order-88",
                "/message/",
                "/sandbox/",
                "Your receipt",
            ] {
                let body = body.replace("viewer@example.jp", "");
                assert!(!body.contains(secret), "{target} tells {secret}");
            }
        }
    }
    let body = page(&Fake::busy(), Who::Viewer, "/");
    for words in ["docomo.example", "answers 421", "1,204", "Disk and memory", "Mailbox providers"] {
        assert!(body.contains(words), "{words}");
    }
}

#[test]
fn who_paused_why_and_what_a_webhook_answered_are_for_who_may_see_mail() {
    let fake = Fake::busy();
    let hook = config::Webhook { name: "crm".into(), url: "https://crm.example.jp/".into(), ..Default::default() };
    let mark = Mark {
        tries: 3,
        failing_since: Some(1),
        error: "no whole answer from 10.1.2.3".into(),
        ..Mark::new("u", 1, 1)
    };
    fake.lists.get().webhooks.stand_in(View { mark, ..View::new(&hook) });
    let secrets = ["operator root", "ticket 4711", "operator hanako", "no whole answer", "10.1.2.3"];
    for lang in ["en", "ja"] {
        let front = format!("/?lang={lang}");
        let (user, viewer) = (page(&fake, Who::User, &front), page(&fake, Who::Viewer, &front));
        for secret in secrets {
            assert!(user.contains(secret) && !viewer.contains(secret), "{lang}: {secret}");
        }
        // That it is so, they see.
        assert!(viewer.contains("partner.example.jp") && viewer.contains("crm"), "{viewer}");
    }
    assert!(page(&fake, Who::Viewer, "/?lang=en").contains("</bdi>” fails."));
}

#[test]
fn incidents_say_who_since_when_how_many_and_how_slow() {
    let fake = Fake::busy();
    let body = page(&fake, Who::Admin, "/troubles?lang=en");
    for words in [
        // 22:35 in Tokyo; 83 minutes before.
        "answers 421 since 21:12; 1,204 recipients wait; slowed to a fifth of the usual.",
        "421 4.7.0 mfsmax.docomo.example: too many connections",
        "cannot be reached since 11-23 21:35, next probe in 2 min; 3 recipients wait.",
        "is paused by the response rule “quota” because it answered 452, until 22:50:10",
        "answers 450 since 22:15",
        "could not be reached since 20:05; its mail waits for its next try.",
        "/queue/list?destination=docomo.example",
        "puts most off",
    ] {
        assert!(body.contains(words), "{words}: {body}");
    }
    let body = page(&fake, Who::Admin, "/troubles?lang=ja");
    for words in ["が 21:12 から 421 を返しています。待機中 1,204 件、速度は通常の約5分の1。", "配信障害"]
    {
        assert!(body.contains(words), "{words}: {body}");
    }
    let front = page(&fake, Who::Admin, "/?lang=en");
    assert!(
        front.contains("slowed to a fifth") && !front.contains("gone.example"),
        "where nobody waits, it is no news"
    );
    let at = |needle: &str| front.find(needle).unwrap_or_else(|| panic!("{needle}"));
    assert!(at("id=\"troubles\"") < at("id=\"delivery\"") && at("id=\"delivery\"") < at("id=\"queue\""));
    let calm = page(&Fake::empty(), Who::Admin, "/troubles?lang=en");
    assert!(calm.contains("No destination is in trouble."));
    assert!(!page(&Fake::empty(), Who::Admin, "/").contains("id=\"troubles\""));
}

#[test]
fn what_wants_a_person_comes_first_and_leads_to_what_can_be_done() {
    let fake = Fake::busy();
    let front = page(&fake, Who::Admin, "/?lang=en");
    let first = front.split("id=\"delivery\"").next().expect("the part before the graph");
    for words in [
        "destinations are in trouble",
        "/queue/preview?verb=flush&amp;destination=docomo.example",
        "/queue/preview?verb=pause&amp;destination=docomo.example",
        "Look, and decide",
        "Mail of these domains is refused or will be",
        "href=\"/domains/shop.example?lang=en\"",
    ] {
        assert!(first.contains(words), "{words}: {first}");
    }
    let reader = page(&fake, Who::Viewer, "/?lang=en");
    assert!(reader.contains("Wants your attention"));
    for words in ["/queue/preview", "/queue/list", "Look, and decide", "action=\"/queue/resume\""] {
        assert!(!reader.contains(words), "{words}");
    }
}

#[test]
fn a_new_relay_says_what_to_do_next_until_it_has_seen_mail() {
    let new = page(&Fake::empty(), Who::Admin, "/?lang=en");
    for words in ["First steps", "/users/add?kind=api", "hikyaku sendmail -f test@", " admin@example.jp"] {
        assert!(new.contains(words), "{words}: {new}");
    }
    assert!(page(&Fake::empty(), Who::Admin, "/?lang=ja").contains("最初のメールを送る"));
    let of_user = page(&Fake::empty(), Who::User, "/?lang=en");
    assert!(of_user.contains("The group administrator adds API users") && !of_user.contains("/users/add"));
    assert!(!page(&Fake::empty(), Who::Viewer, "/").contains("id=\"first-steps\""));
    assert!(!page(&Fake::busy(), Who::Admin, "/").contains("id=\"first-steps\""));
}

#[test]
fn codes_are_those_of_smtp_alone() {
    for (reply, code) in [
        ("421 4.7.0 x", Some("421")),
        ("450-more", Some("450")),
        ("550", Some("550")),
        ("4210 x", None),
        ("飛脚", None),
        ("", None),
        ("no", None),
    ] {
        assert_eq!(super::troubles::code_of(reply), code, "{reply}");
    }
}

#[test]
fn statistics_add_up_by_user_and_step_and_leave_as_csv() {
    let fake = counted();
    let body = page(&fake, Who::Viewer, "/statistics?range=24h&lang=en");
    // Three users, four quarters: 12 times 900, and 1,000 to 1,003 accepted.
    for words in
        ["<dd>10,800</dd>", "<dd>12,018</dd>", "<dd>360</dd>", "By API user", "0.9 %", "mail without an API user"]
    {
        assert!(body.contains(words), "{words}: {body}");
    }
    let one = page(&fake, Who::Viewer, "/statistics?range=24h&user=crm&lang=en");
    assert!(one.contains("<dd>3,600</dd>") && one.contains("<dd>8</dd>") && !one.contains("id=\"users\""), "{one}");
    let nobody = page(&fake, Who::Viewer, "/statistics?range=24h&user=-&lang=en");
    assert!(nobody.contains("<dd>3,600</dd>") && !nobody.contains("Blocked"));

    let csv = get(&fake, Who::Viewer, "/statistics.csv?range=24h&user=crm");
    assert_eq!((csv.status, csv.response.content_type), (200, "text/csv; charset=utf-8"));
    assert!(csv.header("Content-Disposition").starts_with("attachment; filename=\"statistics_"));
    let rows: Vec<&str> = csv.body.lines().skip(1).filter(|line| !line.ends_with("0,0,0,0,0,0,0,0")).collect();
    assert_eq!(rows.len(), 4, "{}", csv.body);
    assert!(rows[3].starts_with("2026-11-24T22:30:00+09:00,1000,900,30,9,2,0,1,0"), "{rows:?}");
}

#[test]
fn what_cannot_be_shown_as_asked_is_said() {
    let fake = counted();
    for (query, words) in [
        ("range=7d&step=minute", "more than 400 points"),
        ("from=never", "must be times"),
        ("from=1999-01-01", "kept for 400 days"),
        ("user=crm&from=2026-10-30&to=2026-10-31&step=5min", "Counts by minute"),
    ] {
        let body = page(&fake, Who::Viewer, &format!("/statistics?{query}&lang=en"));
        assert!(body.contains(words), "{query}");
    }
}

#[test]
fn a_full_disk_and_short_memory_are_said_with_what_to_do() {
    let mut fake = Fake::busy();
    fake.resources.disk_free = Some(fake.resources.disk_free_min);
    fake.resources.memory = Some(fake.resources.memory_limit);
    let body = page(&fake, Who::Admin, "/?lang=en");
    assert!(body.contains("make room, or give it a larger disk") && body.contains("near its memory limit"));
    let body = page(&fake, Who::Admin, "/?lang=ja");
    assert!(body.contains("ディスクの空きが少なくなっています") && body.contains("メモリの使用量が上限"));
    fake.resources = crate::http::resources::Resources::default();
    assert!(page(&fake, Who::Admin, "/?lang=en").contains("The system does not say."));
}
