//! Webhooks: how they stand is told in words, acts leave their traces, and how much is posted again is said before it is.

use smol::future::block_on;

use super::super::rig::{Who, check_document, get, page, post};
use crate::{
    config,
    http::fake::{Fake, HOSTILE, at, now},
    store::QuarterCounts,
    webhook::{
        history::{self, Tried},
        place::{Mark, Parked, Paused, number_at},
        view::View,
    },
};

fn hook() -> config::Webhook {
    config::Webhook {
        name: "crm".into(),
        url: "https://crm.example.jp/hook?key=secret".into(),
        ..config::Webhook::default()
    }
}

fn view(mark: Mark) -> View {
    View { mark, ..View::new(&hook()) }
}

/// A house whose webhook stands so.
fn house(mark: Mark) -> Fake {
    let fake = Fake::busy();
    fake.lists.get().webhooks.stand_in(view(mark));
    fake
}

fn failing() -> Mark {
    Mark {
        tries: 3,
        failing_since: Some(at("2026-11-24T12:00:00Z").as_millis()),
        next_try: at("2026-11-24T13:40:00Z").as_millis(),
        error: format!("HTTP status 500: {HOSTILE}"),
        parked: vec![Parked {
            list: false,
            after: number_at(at("2026-11-20T00:00:00Z")),
            to: number_at(at("2026-11-20T01:00:00Z")),
            at: 1,
            error: HOSTILE.into(),
        }],
        ..Mark::new("u", 1, 1)
    }
}

fn tried(number: u64, status: u16, error: &str) -> Tried {
    Tried {
        number,
        at: now().as_millis(),
        id: format!("msg_{number}"),
        event_type: "deliveries".into(),
        events: 7,
        first: number * 10 + 1,
        last: number * 10 + 7,
        status,
        took: 42,
        error: error.into(),
    }
}

fn with_history(fake: &Fake, rows: u64) {
    let rows: Vec<_> = (0..rows)
        .map(|n| history::row("crm", &if n % 10 == 3 { tried(n, 500, HOSTILE) } else { tried(n, 200, "") }))
        .collect();
    block_on(fake.lists.get().store.put_memos(rows)).expect("a store");
}

#[test]
fn how_a_webhook_stands_is_told_in_both_languages() {
    let paused = Mark { paused: Some(Paused { at: now().as_millis(), by: HOSTILE.into() }), ..failing() };
    let gone = Mark { gone: true, ..failing() };
    for (mark, english, japanese) in [
        (Mark::default(), "works", "正常"),
        (failing(), "Fails since ", "失敗が続いています"),
        (failing(), "Set aside", "保留されたイベント"),
        (gone, "It answered 410", "410（Gone）が返された"),
        (paused, "Paused since ", "一時停止中："),
    ] {
        let fake = house(mark);
        with_history(&fake, 70);
        for (lang, words) in [("en", english), ("ja", japanese)] {
            for target in ["/webhooks?", "/webhooks/history?name=crm&", "/webhooks/history?name=crm&failed=1&"] {
                let target = format!("{target}lang={lang}");
                let shown = page(&fake, Who::User, &target);
                check_document(&target, &shown);
                assert!(shown.contains(words), "{words}: {shown}");
                assert!(!shown.contains("key=secret"), "{shown}");
            }
        }
    }
    let empty = page(&Fake::busy(), Who::User, "/webhooks/history?name=crm&lang=ja");
    assert!(empty.contains("まだ送信はありません。") && empty.contains("テスト送信"));
    assert_eq!(get(&Fake::busy(), Who::User, "/webhooks/history?name=other").status, 404);
}

#[test]
fn the_path_of_a_url_is_for_the_group_administrator() {
    let mut fake = house(Mark::default());
    let mut config = (*fake.config).clone();
    config.inbound.webhooks.push(config::InboundWebhook {
        name: "in".into(),
        url: "https://in.example.jp/T0/hush?key=secret".into(),
        ..Default::default()
    });
    fake.config = config.into();
    for target in ["/webhooks?lang=en", "/webhooks/history?name=crm&lang=en"] {
        let (user, admin) = (page(&fake, Who::User, target), page(&fake, Who::Admin, target));
        assert!(user.contains("https://crm.example.jp/…") && !user.contains("jp/hook"), "{user}");
        assert!(admin.contains("https://crm.example.jp/hook?…"), "{admin}");
        assert!(!user.contains("hush") && !format!("{user}{admin}").contains("secret"));
    }
    assert!(page(&fake, Who::Admin, "/webhooks?lang=en").contains("https://in.example.jp/T0/hush<"));
}

#[test]
fn the_history_goes_on_and_shows_failures_alone() {
    let fake = house(Mark::default());
    with_history(&fake, 120);
    let first = page(&fake, Who::User, "/webhooks/history?name=crm&lang=en");
    assert_eq!(first.matches("action=\"/webhooks/replay-post").count(), 50);
    let next = first.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a next page");
    let second = page(&fake, Who::User, &next.replace("&amp;", "&"));
    assert!(second.contains("value=\"msg_69\"") && !second.contains("value=\"msg_70\""));
    let failed = page(&fake, Who::User, "/webhooks/history?name=crm&failed=1&lang=en");
    assert_eq!(failed.matches("action=\"/webhooks/replay-post").count(), 12);
    assert!(failed.contains("&lt;script&gt;alert(1)"));
}

#[test]
fn acts_are_noted_with_who_did_them_and_wait_for_a_post_on_its_way() {
    let fake = house(failing());
    with_history(&fake, 5);
    let name = ("name", "crm");
    for (to, fields, act, detail) in [
        ("/webhooks/pause", vec![name], "webhook.pause", ""),
        ("/webhooks/resume", vec![name], "webhook.resume", ""),
        ("/webhooks/replay-parked", vec![name], "webhook.replay", "what was set aside"),
        ("/webhooks/replay-post", vec![name, ("post", "msg_3")], "webhook.replay", "post msg_3"),
        ("/webhooks/replay", vec![name, ("from", "2026-11-24T09:00")], "webhook.replay", "from event "),
        ("/webhooks/test", vec![name], "webhook.test", "status 0"),
    ] {
        let seen = post(&fake, Who::User, to, &fields);
        assert_eq!((seen.status, seen.header("Location")), (303, "/webhooks/history?name=crm"), "{to}: {}", seen.body);
        let words = seen.told();
        assert!(words.contains("as soon as that has ended") || to == "/webhooks/test", "{to}: {words}");
        let audits = fake.audits.lock().expect("no panic");
        let entry = audits.last().expect("an entry");
        let told = (entry.act.as_str(), entry.object.as_str(), entry.who.as_str(), entry.from.as_str());
        assert_eq!(told, (act, "crm", "user@example.jp", "192.0.2.77"), "{to}");
        assert!(entry.detail.starts_with(detail), "{to}: {}", entry.detail);
    }
    let told = post(&fake, Who::User, "/webhooks/test?lang=ja", &[name]).told();
    assert!(told.contains("テストイベントを送信できませんでした"), "{told}");
    let entries = fake.audits.lock().expect("no panic").len();
    for (to, fields, status) in [
        ("/webhooks/pause", vec![("name", "other")], 404),
        ("/webhooks/pause", vec![], 404),
        ("/webhooks/replay-post", vec![name, ("post", "msg_99")], 404),
        ("/webhooks/replay", vec![name, ("from", "soon")], 400),
        ("/webhooks/replay", vec![name, ("from", "2027-01-01T00:00")], 400),
        ("/webhooks/replay", vec![name], 400),
    ] {
        assert_eq!(post(&fake, Who::User, to, &fields).status, status, "{to} {fields:?}");
    }
    assert_eq!(fake.audits.lock().expect("no panic").len(), entries, "what was not done is not noted");
}

#[test]
fn how_much_is_posted_again_is_said_first() {
    let mut fake = house(Mark::default());
    let quarter = |start: &str, succeeded| QuarterCounts {
        start: at(start),
        user: String::new(),
        queued: succeeded,
        deferred: 0,
        succeeded,
        failed: 1,
        blocked: 0,
        dropped: 5,
        bounced: 0,
        complained: 3,
    };
    fake.counts = vec![quarter("2026-11-24T08:00:00Z", 5_000), quarter("2026-11-24T12:00:00Z", 1_000)];
    let shown = page(&fake, Who::User, "/webhooks/replay?name=crm&from=2026-11-24T20:30&lang=en");
    check_document("the preview", &shown);
    assert!(shown.contains("about 2,001 events"), "accepted, delivered and failed of the second quarter: {shown}");
    let shown = page(&fake, Who::User, "/webhooks/replay?name=crm&from=2026-11-24T09:00&lang=ja");
    check_document("the preview", &shown);
    assert!(shown.contains("約 12,002 件"), "{shown}");
    assert_eq!(get(&fake, Who::User, "/webhooks/replay?name=crm&from=x").status, 400);
}

#[test]
fn who_may_not_act_sees_no_buttons_and_none_is_set_up_by_itself() {
    let fake = house(failing());
    assert!(page(&fake, Who::User, "/webhooks").contains("action=\"/webhooks/test\""));
    for who in [Who::Viewer, Who::Nobody] {
        for to in ["/webhooks/test", "/webhooks/pause", "/webhooks/replay"] {
            assert!(matches!(post(&fake, who, to, &[("name", "crm")]).status, 303 | 403), "{who:?} {to}");
        }
        assert!(matches!(get(&fake, who, "/webhooks").status, 303 | 403));
    }
    assert!(fake.audits.lock().expect("no panic").iter().all(|entry| !entry.act.starts_with("webhook.")));
    let none = Fake::busy();
    none.lists.get().webhooks.forget_all();
    for (lang, words) in [("en", "There is no webhook."), ("ja", "Webhook は登録されていません。")] {
        let shown = page(&none, Who::User, &format!("/webhooks?lang={lang}"));
        check_document(lang, &shown);
        assert!(shown.contains(words) && shown.contains("[[webhook]]"), "{shown}");
    }
}
