//! Pages are whole, escaped, bilingual and without script, whatever a mail holds.

use super::rig::{Seen, Who, check_document, get, get_in};
use crate::{
    doctor::round::Findings as _,
    http::fake::{self, Fake},
};

fn ask(fake: &Fake, target: &str, accept_language: &str) -> (u16, String, Seen) {
    let seen = get_in(fake, Who::Admin, target, accept_language);
    (seen.status, seen.body.clone(), seen)
}

fn page_of(fake: &Fake, target: &str) -> String {
    let (status, body, _) = ask(fake, target, "en");
    assert_eq!(status, 200, "{target}: {body}");
    body
}

/// Every page over every fake.
fn every_page() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, fake) in
        [("busy", Fake::busy()), ("demo", Fake::demo()), ("bounced", Fake::bounced()), ("empty", Fake::empty())]
    {
        let mut targets = vec!["/".to_owned(), "/find".to_owned(), "/find?key=shop@example.jp".to_owned()];
        targets.extend(["/suppression", "/suppression?key=EXAMPLE", "/incidents", "/domains"].map(str::to_owned));
        let domains = fake.domain_checks.all().expect("no store");
        targets.extend(domains.iter().map(|(domain, _)| format!("/domains/{domain}")));
        targets.extend(fake.stories.iter().map(|s| format!("/message/{}", s.message.id)));
        targets.push("/sandbox".into());
        for (mail, _) in &fake.mails {
            targets.extend(["", "/headers", "/source"].map(|tab| format!("/sandbox/{}{tab}", mail.message)));
        }
        for target in targets {
            for lang in ["en", "ja"] {
                let joint = if target.contains('?') { '&' } else { '?' };
                let target = format!("{target}{joint}lang={lang}");
                all.push((format!("{name} {target}"), page_of(&fake, &target)));
            }
        }
    }
    all
}

#[test]
fn every_page_is_whole_and_lets_no_mail_speak_html() {
    let pages = every_page();
    assert!(pages.len() > 40);
    for (name, page) in &pages {
        check_document(name, page);
    }
    let shown = |needle: &str| pages.iter().filter(|(_, page)| page.contains(needle)).count();
    assert!(shown("&lt;script&gt;alert(1)") >= 8, "the hostile subject is shown, escaped");
    assert!(shown("alert(3)") >= 2 && shown("alert(4)") >= 2, "so are a hostile reply and header");
}

#[test]
fn a_delivery_and_what_came_back_about_it_link_each_other() {
    let fake = Fake::bounced();
    let target = format!("/message/{}", fake::id(9));
    let page = page_of(&fake, &format!("{target}?lang=en"));
    assert!(["id=\"e2\"", "id=\"e3\"", "id=\"e4\""].iter().all(|id| page.contains(id)), "{page}");
    assert_eq!(page.matches("href=\"#e2\"").count(), 2, "the bounce and the complaint name the delivery");
    assert_eq!(page.matches("href=\"#e3\"").count() + page.matches("href=\"#e4\"").count(), 2, "and it names both");
    for words in ["about: delivered", "came back later: bounced", "unknown user · the recipient&#39;s · hard"] {
        let plain = words.replace("&#39;", "'");
        assert!(page.contains(words) || page.contains(&plain), "{words}: {page}");
    }
    let japanese = page_of(&fake, &format!("{target}?lang=ja"));
    for words in ["対象の配信：配信済み", "その後の返送：不達通知", "宛先アドレスの問題 · ハード"]
    {
        assert!(japanese.contains(words), "{words}: {japanese}");
    }
    assert!(page_of(&fake, "/?lang=en").contains("about: delivered"), "the front page's list does, too");
}

#[test]
fn the_browser_or_the_reader_chooses_the_language() {
    let fake = Fake::busy();
    for (target, accept, lang, word) in [
        ("/", "ja,en;q=0.8", "ja", "直近1時間"),
        ("/", "en-GB", "en", "The last hour"),
        ("/", "", "en", "The last hour"),
        ("/?lang=ja", "en", "ja", "直近1時間"),
        ("/?lang=en", "ja", "en", "The last hour"),
    ] {
        let (_, page, _) = ask(&fake, target, accept);
        assert!(page.contains(&format!("<html lang=\"{lang}\">")) && page.contains(word), "{target} {accept}");
    }
    let (_, page, _) = ask(&fake, "/?lang=ja", "en");
    assert!(
        page.contains("/message/") && !page.contains(&format!("/message/{}\"", fake::id(1))),
        "links keep the language"
    );
}

#[test]
fn the_front_page_tells_what_waits_and_why() {
    let page = page_of(&Fake::busy(), "/");
    for text in [
        "destinations are in trouble",
        "1,284 recipients wait, 3 of them held",
        "docomo.example",
        "1,204",
        "421 4.7.0 Too many",
        "in 4 min",
        ">paused<",
        "hanako@example.co.jp",
        "22:34:59",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("Sandbox mail") && !page.contains("Sandbox: mail is kept"));
    assert!(!page.contains("http-equiv"), "a page looks again by script, and only where nobody reads in it");
    let demo = page_of(&Fake::demo(), "/");
    for text in ["Nothing leaves this machine", "All is well", "The queue is empty", "Sandbox mail"] {
        assert!(demo.contains(text), "{text}");
    }
    let empty = page_of(&Fake::empty(), "/");
    assert!(empty.contains("No mail yet") && empty.contains("Nothing here yet"));
    let mut down = Fake::busy();
    down.unready = vec![crate::http::daemon::Unready::DiskFull];
    let page = page_of(&down, "/");
    assert!(page.contains("No new mail is taken") && page.contains("452"));
}

#[test]
fn what_needs_care_is_there_only_when_there_is_some() {
    let fake = Fake::busy();
    let (en, ja) = (page_of(&fake, "/"), page_of(&fake, "/?lang=ja"));
    for text in [
        "Oldest waiting mail",
        "1 day",
        "Paused destinations",
        "old.example.org",
        "it is resumed",
        "ticket 4711",
        "New addresses, warming up",
        "aspmx.l.google.com",
        "3 / 15",
        "Worth a look",
        "does not validate DNSSEC",
        "kddi",
        "34 days",
    ] {
        assert!(en.contains(text), "{text}");
    }
    for text in [
        "最も古い待機メール",
        "一時停止中の宛先ドメイン",
        "手動で再開するまで",
        "ウォームアップ中",
        "DNSSEC を検証していない",
        "34日間",
    ] {
        assert!(ja.contains(text), "{text}");
    }
    assert!(!en.contains("docomo-otp"), "a rule's lane is part of its destination");
    for page in [page_of(&Fake::demo(), "/"), page_of(&Fake::empty(), "/")] {
        for text in ["Oldest waiting", "Paused", "warming up", "Worth a look"] {
            assert!(!page.contains(text), "{text}");
        }
    }
    let mut fake = Fake::busy();
    fake.validation = Some(crate::net::dns::Validation::Yes);
    fake.rule_uses.clear();
    let page = page_of(&fake, "/");
    assert!(!page.contains("Worth a look") && page.contains("DNSSEC validated"));
}

#[test]
fn who_is_not_written_to_is_told_in_both_languages() {
    let fake = Fake::busy();
    let (en, ja) = (page_of(&fake, "/"), page_of(&fake, "/?lang=ja"));
    let release = format!("/suppression/incident/{}", crate::http::fake_lists_tests::incident_id(1));
    for text in [
        "6 addresses are not written to",
        "2 left a list",
        "Held back",
        "docomo.example",
        "64 %",
        "was ",
        "1.2 %",
        &release,
    ] {
        assert!(en.contains(text), "{text}");
    }
    assert!(!en.contains("*.mailhost.example"), "what is over is not held");
    for text in ["停止中の宛先 6 件", "配信解除 2 件", "「宛先不明」が急増しています"] {
        assert!(ja.contains(text), "{text}");
    }
    let empty = Fake::empty();
    let front = page_of(&empty, "/");
    assert!(front.contains("no address is suppressed") && !front.contains("Held back"));
}

#[test]
fn domains_are_told_with_what_to_publish() {
    let fake = Fake::busy();
    let front = page_of(&fake, "/");
    for text in ["shop.example", "1 error", "2 warnings", "fine", "not yet", "href=\"/domains/shop.example\""] {
        assert!(front.contains(text), "{text}");
    }
    let page = page_of(&fake, "/domains/shop.example");
    for text in [
        "shop.example. 3600 IN TXT &quot;v=spf1 ip4:192.0.2.0/29 ip4:192.0.2.11 -all&quot;",
        "spf.address",
        "action=\"/domains/shop.example/check\"",
        "SPF fails for 192.0.2.11",
        "ok → error",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let page = page_of(&fake, "/domains/SHOP.example?lang=ja");
    for text in ["対応が必要な項目", "エラー", "192.0.2.11 は SPF に失敗します"] {
        assert!(page.contains(text), "{text}");
    }
    assert!(page_of(&fake, "/domains/new.example").contains("within minutes"));
    assert!(page_of(&Fake::demo(), "/domains").contains("[[domain]]"));
    assert!(!page_of(&Fake::demo(), "/").contains("id=\"domains\""));
    assert_eq!(ask(&fake, "/domains/stranger.example", "en").0, 404);
}

#[test]
fn scheduled_mail_and_reasons_are_told_in_both_languages() {
    let mut fake = Fake::busy();
    let last = fake.stories.last_mut().expect("a story");
    last.recipients[0].state = crate::store::RecipientState::Waiting {
        due: fake::now().plus(std::time::Duration::from_secs(7_200)),
        wait: crate::event::WaitReason::Scheduled,
    };
    let target = format!("/message/{}", fake::id(8));
    let (en, ja) = (page_of(&fake, &target), page_of(&fake, &format!("{target}?lang=ja")));
    for text in [">scheduled<", "in 2 h", "How it goes, and why", "3 of 8 connections", "<dt>rule</dt>"] {
        assert!(en.contains(text), "{text}");
    }
    for text in [">配信予約<", "配信方法とその理由", "<dt>配信速度</dt>"] {
        assert!(ja.contains(text), "{text}");
    }
    assert!(!page_of(&fake, &format!("/message/{}", fake::id(1))).contains("and why"));
}

#[test]
fn a_story_and_a_mail_are_told_whole() {
    let fake = Fake::busy();
    let page = page_of(&fake, &format!("/message/{}", fake::id(3)));
    for text in [
        "Your receipt from",
        "second@gmail.example",
        "452 4.2.2",
        "try 2",
        "order-8803",
        "over capacity",
        "198.51.100.7:25",
    ] {
        assert!(page.contains(text), "{text}");
    }
    let demo = Fake::demo();
    let text = page_of(&demo, &format!("/sandbox/{}", fake::id(1)));
    assert!(text.contains("江戸道中合羽") && text.contains("aria-current=\"page\""));
    let headers = page_of(&demo, &format!("/sandbox/{}/headers", fake::id(1)));
    assert!(headers.contains("飛脚商店 &lt;shop@example.jp&gt;"));
    let (status, body, response) = ask(&demo, &format!("/sandbox/{}/mail.eml", fake::id(3)), "");
    assert_eq!(
        (status, body.as_str(), response.response.content_type),
        (200, "Subject: Your receipt\r\n\r\nhi\r\n", "message/rfc822")
    );
    assert!(response.header("Content-Disposition").starts_with("attachment"));
}

#[test]
fn finding_one_message_goes_there() {
    let fake = Fake::busy();
    let (status, _, response) = ask(&fake, "/find?key=order-8801&lang=ja", "");
    assert_eq!(status, 303);
    assert_eq!(response.header("Location"), format!("/message/{}?lang=ja", fake::id(1)));
    let (status, page, _) = ask(&fake, "/find?key=%3Cscripts%3E", "");
    assert!(status == 200 && page.contains("No mail has this") && page.contains("value=\"&lt;scripts&gt;\""));
}

#[test]
fn what_is_not_there_is_said_so() {
    for fake in [Fake::busy(), Fake::demo()] {
        for target in [
            "/nothing",
            "/message/",
            "/message/x",
            "/message/0000000000001",
            "/sandbox/0000000000001",
            "/sandbox/x/mail.eml",
            "/sandbox/0000000000001/mail.eml",
            "/../etc/passwd",
        ] {
            let (status, page, _) = ask(&fake, target, "");
            assert!(status == 404 && page.contains("There is nothing here"), "{target}: {status}");
        }
    }
}

#[test]
fn no_page_of_ours_links_to_where_a_path_says() {
    for path in ["//evil.example/x", "/%2Fevil.example/x", "/%5Cevil.example/x", "///evil.example"] {
        let seen = get(&Fake::busy(), Who::Nobody, path);
        assert_eq!(seen.status, 404, "{path}");
        assert!(
            seen.body.contains("href=\"/?lang=ja\"") && !seen.body.contains("evil.example"),
            "{path}: {}",
            seen.body
        );
    }
}

#[test]
fn who_is_not_signed_in_is_sent_there_and_comes_back() {
    let fake = Fake::busy();
    for (target, to) in [
        ("/", "/sign-in"),
        ("/find?key=a%26b&lang=ja", "/sign-in?lang=ja&to=%2Ffind%3Fkey%3Da%2526b%26lang%3Dja"),
        ("/domains/shop.example", "/sign-in?to=%2Fdomains%2Fshop.example"),
    ] {
        let seen = get(&fake, Who::Nobody, target);
        assert_eq!((seen.status, seen.header("Location")), (303, to), "{target}");
        assert!(seen.body.is_empty());
    }
    let missing = get(&fake, Who::Nobody, "/nothing");
    assert_eq!(missing.status, 404);
    assert!(!missing.body.contains("relay.example.jp"), "a stranger learns no name");
}

#[test]
fn each_path_has_one_place_for_a_verb() {
    let all: Vec<_> = super::places().map(|place| (place.verb, place.path)).collect();
    for (i, one) in all.iter().enumerate() {
        assert!(!all[..i].contains(one), "{one:?} twice");
    }
}

/// What is asked of the daemon that waits for the DNS, a web server or a turn.
const WAITS: [&str; 5] =
    ["block_on(visit.daemon.webhooks()", ".domain_checks().check(", "daemon.diagnose(", "keys.begin(", ".look_now("];

/// The functions of a file that wait for others: each from its `fn` line to the next one.
fn waiting_functions(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or(text);
    let mut found = Vec::new();
    let mut name = String::new();
    for line in code.lines() {
        let line = line.trim_start();
        if let Some((_, rest)) =
            line.split_once("fn ").filter(|(before, _)| before.is_empty() || before.starts_with("pub"))
        {
            name = rest.split(['(', '<']).next().unwrap_or_default().to_owned();
        }
        if WAITS.iter().any(|call| line.contains(call)) && !found.contains(&name) {
            found.push(name.clone());
        }
    }
    found
}

/// A place that waits is marked in its table, or it would hold a thread of the pages.
#[test]
fn each_place_that_waits_for_others_says_so() {
    use super::places;
    use crate::http::console::place::Takes;
    let marked = places().filter(|place| place.takes == Takes::Others).count();
    let mut waits = 0;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/console");
    for room in std::fs::read_dir(&root).expect("the rooms").filter_map(Result::ok).filter(|room| room.path().is_dir())
    {
        let table = std::fs::read_to_string(room.path().join("mod.rs")).expect("a room has its table");
        for file in std::fs::read_dir(room.path()).expect("its files").filter_map(Result::ok) {
            let module = file.path().file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_owned();
            for name in waiting_functions(&std::fs::read_to_string(file.path()).expect("a file")) {
                let place = table.lines().find(|line| line.contains(&format!("{module}::{name})")));
                let place =
                    place.unwrap_or_else(|| panic!("{module}::{name} waits, and no place is its own: wait there"));
                assert!(place.contains(".waits()"), "{place}");
                waits += 1;
            }
        }
    }
    assert!(waits >= 6 && marked >= waits, "{waits} functions, {marked} places");
}

#[test]
fn a_page_whose_address_is_a_secret_tells_it_to_nothing_that_it_loads() {
    let referrer = |fake: &Fake, target: &str| {
        let headers = get(fake, Who::Nobody, target).response.headers_for_browsers();
        headers.into_iter().find(|(name, _)| *name == "Referrer-Policy").expect("it is always there").1
    };
    for fake in [Fake::busy(), Fake::empty(), Fake::demo()] {
        // With `strict-origin` a browser sends our host and no path, and the forms of the page keep their origin.
        for target in ["/reset?who=user@example.jp&key=x", "/owner/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert_eq!(referrer(&fake, target), "strict-origin", "{target}");
        }
        assert_ne!(referrer(&fake, "/set-up?key=x"), "same-origin");
        assert_eq!(referrer(&fake, "/sign-in"), "same-origin");
    }
}
