//! Pages of domains over the made-up daemon: what they tell, what they do, and who may.

use crate::{
    http::{
        console::rig::{Who, check_document, get, page, post},
        fake::Fake,
    },
    signing::witness::Says,
};

const PAGES: [&str; 8] = [
    "/domains",
    "/domains?q=SHOP&work=1",
    "/domains?q=nobody",
    "/domains/example.jp",
    "/domains/shop.example",
    "/domains/new.example",
    "/domains/example.jp/keys",
    "/domains/shop.example/records",
];

fn both(target: &str) -> [String; 2] {
    let joint = if target.contains('?') { '&' } else { '?' };
    ["en", "ja"].map(|lang| format!("{target}{joint}lang={lang}"))
}

#[test]
fn every_page_is_whole_in_both_languages_and_lets_no_record_speak_html() {
    let fake = Fake::busy();
    let mut seen = 0;
    for target in PAGES.iter().flat_map(|target| both(target)) {
        for who in [Who::Admin, Who::Viewer] {
            let page = page(&fake, who, &target);
            check_document(&target, &page);
            seen += usize::from(page.contains("&lt;script&gt;alert(1)"));
        }
    }
    assert!(seen >= 4, "a hostile record is shown, escaped: {seen}");
    for (target, fields) in
        [("/domains/shop.example/records", vec![]), ("/domains/shop.example/diagnose", vec![("hours", "72")])]
    {
        for target in both(target) {
            let seen = post(&fake, Who::User, &target, &fields);
            assert_eq!(seen.status, 200, "{target}");
            check_document(&target, &seen.body);
        }
    }
    let empty = page(&Fake::empty(), Who::Admin, "/domains");
    check_document("empty", &empty);
    assert!(empty.contains("Add a [[domain]]"), "{empty}");
}

#[test]
fn the_list_puts_first_what_wants_work() {
    let fake = Fake::busy();
    let all = page(&fake, Who::Viewer, "/domains");
    let at = |domain: &str| all.find(&format!("/domains/{domain}\"")).expect(domain);
    assert!(at("shop.example") < at("example.jp") && at("shop.example") < at("new.example"));
    let only = page(&fake, Who::Viewer, "/domains?work=1");
    assert!(only.contains("/domains/shop.example\"") && !only.contains("/domains/new.example\""));
    assert!(page(&fake, Who::Viewer, "/domains?q=nobody").contains("No domain fits."));
}

#[test]
fn a_finding_has_its_record_ready_to_be_copied() {
    let shown = page(&Fake::busy(), Who::Viewer, "/domains/shop.example");
    for text in [
        "<pre class=\"record\" data-copy tabindex=\"0\">v=spf1 ip4:192.0.2.0/29 ip4:192.0.2.11 -all</pre>",
        "<pre class=\"record\" data-copy tabindex=\"0\">_dmarc.shop.example</pre>",
        "_dmarc.shop.example. 3600 IN TXT",
        "What changed",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(!shown.contains("Check now"), "a report viewer acts on nothing");
    for target in
        ["/domains/stranger.example", "/domains/stranger.example/keys", "/domains/x/records", "/domains/%2e%2e"]
    {
        assert_eq!(get(&Fake::busy(), Who::Admin, target).status, 404, "{target}");
    }
    assert_eq!(get(&Fake::busy(), Who::Admin, "/domains/EXAMPLE.jp.").status, 200, "as people write it");
}

#[test]
fn who_may_look_and_act_is_what_the_table_says() {
    let fake = Fake::busy();
    let acts: [(&str, &[Who]); 6] = [
        ("/domains/example.jp/check", &[Who::Admin, Who::User, Who::Reader]),
        ("/domains/example.jp/records", &[Who::Admin, Who::User, Who::Reader]),
        ("/domains/example.jp/diagnose", &[Who::Admin, Who::User, Who::Reader]),
        ("/domains/example.jp/keys/look", &[Who::Admin, Who::User, Who::Reader]),
        ("/domains/example.jp/keys/rotate", &[Who::Admin]),
        ("/domains/example.jp/keys/abort", &[Who::Admin]),
    ];
    for (target, may) in acts {
        for who in Who::ALL {
            let status = post(&fake, who, target, &[("algorithm", "ed25519")]).status;
            let done = matches!(status, 200 | 303) && who != Who::Nobody;
            assert_eq!(done, may.contains(&who), "{target} {who:?}: {status}");
        }
    }
    post(&fake, Who::Admin, "/domains/example.jp/keys/rotate", &[("algorithm", "ed25519")]);
    let user = page(&fake, Who::User, "/domains/example.jp/keys");
    assert!(user.contains("/keys/look") && user.contains("Rotation under way"), "{user}");
    assert!(!user.contains("/keys/rotate") && !user.contains("/keys/abort"), "no button for who may not press it");
    assert_eq!(get(&fake, Who::Viewer, "/domains/example.jp/diagnose").status, 403);
    assert!(!page(&fake, Who::Viewer, "/domains/example.jp").contains("/diagnose"));
}

#[test]
fn a_look_now_is_told_and_noted() {
    let fake = Fake::busy();
    let seen = post(&fake, Who::User, "/domains/shop.example/check?lang=ja", &[]);
    assert_eq!((seen.status, seen.header("Location")), (303, "/domains/shop.example?lang=ja"));
    assert!(seen.told().contains("エラーが 1 件"), "{}", seen.told());
    let audits = fake.audits.lock().expect("no panic before");
    let entry = audits.last().expect("an entry");
    assert_eq!(
        (entry.act.as_str(), entry.who.as_str(), entry.object.as_str()),
        ("domain.check", "user@example.jp", "shop.example")
    );
    assert_eq!(entry.from, "192.0.2.77");
}

#[test]
fn a_rotation_goes_step_by_step() {
    let fake = Fake::busy();
    let keys = "/domains/example.jp/keys";
    let before = page(&fake, Who::Admin, keys);
    assert!(before.contains("There is no key yet") && before.contains("Make a key"), "{before}");
    let rotate = |fields: &[(&str, &str)]| {
        let seen = post(&fake, Who::Admin, &format!("{keys}/rotate?lang=ja"), fields);
        (seen.status, seen.told())
    };
    let (status, told) = rotate(&[("algorithm", "ed25519"), ("selector", "e1"), ("bits", "x")]);
    assert!(status == 303 && told.contains("e1") && told.contains("公開してください"), "{told}");
    let under_way = page(&fake, Who::Admin, keys);
    for text in [
        "Rotation under way",
        "e1._domainkey.example.jp</pre>",
        "v=DKIM1; k=ed25519; p=",
        "aria-current=\"step\"",
        "has no such record",
        "Give it up",
    ] {
        assert!(under_way.contains(text), "{text}: {under_way}");
    }
    check_document("under way", &under_way);
    assert!(!under_way.contains("value=\"ed25519\">Ed25519"), "one at a time");
    let (_, told) = rotate(&[("algorithm", "ed25519")]);
    assert!(told.contains("すでに進行中"), "{told}");
    assert_eq!(rotate(&[("algorithm", "dsa")]).0, 400);
    // The record is published: the next look sees it.
    fake.lists.get().dns.set("e1._domainkey.example.jp", Says::Right);
    assert_eq!(post(&fake, Who::User, &format!("{keys}/look"), &[]).status, 303);
    let published = page(&fake, Who::Admin, &format!("{keys}?lang=ja"));
    assert!(published.contains("後に署名を開始します") && published.contains("公開済み・切替待ち"), "{published}");
    check_document("published", &published);
    let (_, told) = rotate(&[("algorithm", "ed25519"), ("hurry", "1")]);
    assert!(told.contains("揃い次第"), "{told}");
    let signs = page(&fake, Who::Admin, keys);
    assert!(signs.contains("One key signs this domain") && signs.contains(">signs<"), "{signs}");
    let seen = post(&fake, Who::Admin, &format!("{keys}/abort?lang=ja"), &[("algorithm", "ed25519")]);
    assert!(seen.told().contains("ほかに署名できる鍵がありません"), "{}", seen.told());
    let audits = fake.audits.lock().expect("no panic before");
    let noted: Vec<(&str, &str)> = audits
        .iter()
        .filter(|entry| entry.act.starts_with("domain.dkim"))
        .map(|entry| (entry.act.as_str(), entry.who.as_str()))
        .collect();
    assert_eq!(noted, [("domain.dkim-rotate", "admin@example.jp"); 2]);
}

#[test]
fn a_diagnosis_names_what_was_answered_and_what_to_do() {
    let fake = Fake::busy();
    let run = |target: &str, fields: &[(&str, &str)]| post(&fake, Who::User, target, fields);
    let seen = run("/domains/example.jp/diagnose", &[("hours", "168"), ("destination", "")]);
    assert_eq!(seen.status, 200);
    for text in ["What happened", "Likely causes", "What was answered", "<option value=\"168\" selected"] {
        assert!(seen.body.contains(text), "{text}: {}", seen.body);
    }
    check_document("diagnosis", &seen.body);
    for (fields, status) in [
        (vec![("destination", "<script>")], 400),
        (vec![("hours", "99999999999999999999")], 200),
        (vec![("hours", "18446744073709551615")], 400),
        (vec![("hours", "0")], 400),
    ] {
        let seen = run("/domains/example.jp/diagnose?lang=ja", &fields);
        assert_eq!(seen.status, status, "{fields:?}: {}", seen.body);
        check_document("refused", &seen.body);
    }
}
