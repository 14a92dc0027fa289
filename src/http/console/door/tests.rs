//! The door as browsers meet it: in, out, and what people change of themselves.

use std::{net::IpAddr, time::Duration};

use smol::future::block_on;

use super::{
    back_to,
    browser_tests::{ADMIN, Browser, PASSWORD, USER, code_of, peopled},
};
use crate::{
    account::Actor,
    config::{self, AllowedIps},
    http::{
        console::rig::check_document,
        daemon::Daemon,
        exchange::Method,
        fake::{Fake, HOSTILE},
    },
    store::Role,
};

#[test]
fn a_sign_in_gives_a_new_session_and_a_cookie_that_only_the_browser_sees() {
    let fake = peopled();
    let mut browser = Browser::new(&fake);
    // An attacker's session in the victim's browser is not taken over: the victim gets one of its own, and that one ends.
    let mut attacker = Browser::signed_in(&fake, USER);
    let planted = attacker.session().to_owned();
    browser.cookies.insert("__Host-hikyaku".into(), planted.clone());
    browser.get("/me");
    let got = browser.post("/sign-in", &[("name", ADMIN), ("password", PASSWORD)]);
    assert_eq!(got.status, 303, "{}", got.body);
    assert_ne!(browser.session(), planted);
    assert!(browser.is_in() && !attacker.is_in(), "the one before has ended");
    let cookie = got.cookies.iter().find(|c| c.starts_with("__Host-hikyaku=")).expect("a cookie");
    for word in ["; Path=/", "; HttpOnly", "; SameSite=Lax", "; Secure", "; Max-Age=43200"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    // Twice is two sessions.
    let first = browser.session().to_owned();
    let mut again = Browser::signed_in(&fake, ADMIN);
    assert!(again.session() != first && again.is_in());
    // And out.
    browser.get("/me");
    let out = browser.post("/sign-out", &[]);
    assert_eq!((out.status, out.to.as_str(), browser.session()), (303, "/sign-in", ""));
    browser.cookies.insert("__Host-hikyaku".into(), first);
    assert!(!browser.is_in(), "a kept cookie opens nothing");
    assert!(again.is_in());
}

#[test]
fn wrong_unknown_and_locked_look_alike_and_come_equally_late() {
    let fake = peopled();
    let guess = |n: u8, name: &str, password: &str| {
        let mut browser = Browser::new(&fake);
        browser.source = IpAddr::from([203, 0, 113, n]);
        let got = browser.sign_in(name, password);
        let body = got.body.replace(&browser.field("form-token"), "").replace(name, "NAME");
        (got.status, got.late, body)
    };
    let unknown = guess(1, "nobody@example.jp", PASSWORD);
    assert_eq!((unknown.0, unknown.1), (403, Duration::from_secs(1)));
    assert_eq!(guess(2, ADMIN, "a wrong guess"), unknown);
    for n in 10..20 {
        assert_eq!(guess(n, USER, "a wrong guess"), unknown, "the one that locks, too");
    }
    assert!(fake.users().get(USER).expect("a person").person.locked_at.is_some(), "R15");
    assert_eq!(guess(30, USER, PASSWORD), unknown, "the right one does not count any more");
    assert_eq!(guess(31, "shop-app", "Passw0rd9"), unknown, "a program is no person");
    assert!(unknown.2.contains("10 wrong passwords in a row lock"), "{}", unknown.2);
    assert!(!unknown.2.contains("a wrong guess"));
    // An address that goes on waits longer and longer, and is then told when to come again.
    let mut browser = Browser::new(&fake);
    browser.source = IpAddr::from([198, 51, 100, 9]);
    let lates: Vec<u64> = (0..8).map(|_| browser.sign_in("nobody@example.jp", "x").late.as_secs()).collect();
    assert_eq!(lates, [1, 1, 1, 2, 4, 8, 15, 15]);
    for _ in 0..12 {
        browser.sign_in("nobody@example.jp", "x");
    }
    let refused = browser.sign_in(ADMIN, PASSWORD);
    assert_eq!((refused.status, refused.late), (429, Duration::ZERO));
    assert!(refused.body.contains("Try again in 1 s"), "{}", refused.body);
    assert!(Browser::signed_in(&fake, ADMIN).is_in(), "nobody else pays");
}

#[test]
fn who_is_sent_to_the_sign_in_comes_back_and_never_to_a_stranger() {
    for (asked, to) in [
        ("/find?key=a%40b&lang=ja", "/find?key=a%40b&lang=ja"),
        ("/", "/"),
        ("", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("/\u{30e1}", "/"),
        ("/sign-out", "/"),
        ("/reset?who=a", "/"),
        (&format!("/{}", "x".repeat(5_000)), "/"),
    ] {
        assert_eq!(back_to(asked), to, "{asked:.60}");
    }
    let fake = peopled();
    let mut browser = Browser::new(&fake);
    let got = browser.get("/find?key=a@b.example");
    assert_eq!(got.status, 303);
    browser.get(&got.to);
    let to = browser.field("to");
    assert_eq!(to, "/find?key=a%40b.example");
    let in_ = browser.post("/sign-in", &[("name", "USER@example.jp"), ("password", PASSWORD), ("to", &to)]);
    assert_eq!((in_.status, in_.to.as_str()), (303, "/find?key=a%40b.example"));
    let got = browser.get("/sign-in?to=//evil.example");
    assert_eq!((got.status, got.to.as_str()), (303, "/"), "who is in already goes on");
}

#[test]
fn the_first_account_is_made_by_the_link_and_signed_in() {
    let fake = Fake::empty();
    let token = fake.users().set_up_begin().expect("randomness").expect("nobody is there");
    let link = format!("/set-up?key={}", token.reveal());
    let mut browser = Browser::new(&fake);
    let waits = browser.get("/sign-in").body;
    assert!(waits.contains("journalctl -u hikyaku -g set-up") && !waits.contains("name=\"password\""), "{waits}");
    for bad in ["/set-up", "/set-up?key=", "/set-up?key=x"] {
        let got = browser.get(bad);
        assert!(got.status == 403 && !got.body.contains("name=\"new\""), "{bad}");
    }
    for lang in ["en", "ja"] {
        let got = browser.get(&format!("{link}&lang={lang}"));
        assert_eq!(got.status, 200);
        check_document(&format!("/set-up {lang}"), &got.body);
    }
    browser.get(&link);
    let key = browser.field("key");
    let fields = |name: &'static str, new: &'static str, again: &'static str| {
        [
            ("key", key.clone()),
            ("name", name.into()),
            ("new", new.into()),
            ("again", again.into()),
            ("time-zone", "Asia/Tokyo".into()),
        ]
    };
    let mut send = |fields: &[(&str, String)]| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        browser.post("/set-up", &fields)
    };
    for (name, new, again, words) in [
        (ADMIN, PASSWORD, "another", "two different ways"),
        (ADMIN, "short", "short", "at least 12"),
        ("nobody", PASSWORD, PASSWORD, "e-mail address"),
    ] {
        let got = send(&fields(name, new, again));
        assert!(got.status == 400 && got.body.contains(words), "{}", got.body);
        assert!(got.body.contains(&format!("value=\"{name}\"")) && !got.body.contains(new), "{}", got.body);
    }
    let got = send(&fields(ADMIN, PASSWORD, PASSWORD));
    assert_eq!((got.status, got.to.as_str()), (303, "/"), "{}", got.body);
    assert!(browser.is_in());
    let account = fake.users().get(ADMIN).expect("it is made");
    assert_eq!((account.rights.role, account.rights.download), (Role::GroupAdministrator, false));
    let mut late = Browser::new(&fake);
    assert_eq!(late.get(&link).to, "/sign-in", "it counts once");
}

#[test]
fn a_forgotten_password_is_set_anew_by_the_link_and_the_page_says_the_same_to_everybody() {
    let fake = peopled();
    let mut browser = Browser::new(&fake);
    let ask = |browser: &mut Browser<'_>, name: &str| {
        browser.get("/forgot");
        let got = browser.post("/forgot", &[("name", name)]);
        (got.status, got.late, got.body.replace(name, "NAME"))
    };
    let told = ask(&mut browser, "nobody@example.jp");
    assert_eq!(ask(&mut browser, USER), told);
    assert_eq!(
        *fake.resets.lock().expect("no panic"),
        ["nobody@example.jp", USER].map(|name| format!("{name} (\"(not logged in)\", \"{}\") English", browser.source))
    );
    let token = block_on(fake.users().reset_begin(USER, &Actor::Stranger { from: browser.source }))
        .expect("a shelf")
        .expect("a token");
    let link = format!("/reset?who={USER}&key={}", token.reveal());
    for bad in ["/reset", "/reset?who=user@example.jp&key=x", &link.replace(USER, ADMIN)] {
        let got = browser.get(bad);
        assert!(got.status == 403 && !got.body.contains("name=\"new\""), "{bad}");
    }
    for lang in ["en", "ja"] {
        check_document("/reset", &browser.get(&format!("{link}&lang={lang}")).body);
    }
    let mut signed_in = Browser::signed_in(&fake, USER);
    browser.get(&link);
    let new = "a new long pass";
    let fields = [("who", USER), ("key", token.reveal().as_str()), ("new", new), ("again", new)];
    let weak = browser.post("/reset", &[("who", USER), ("key", token.reveal()), ("new", "x"), ("again", "x")]);
    assert!(weak.status == 400 && weak.body.contains("at least 12"), "{}", weak.body);
    let done = browser.told("/reset", &fields);
    assert!(done.contains("Sign in with it"), "{done}");
    assert!(!signed_in.is_in(), "every session has ended");
    assert_eq!(browser.sign_in(USER, PASSWORD).status, 403);
    assert_eq!(browser.sign_in(USER, new).status, 303);
    browser.get("/forgot");
    let again = browser.post("/reset", &fields);
    assert_eq!(again.status, 403, "it counts once");
    assert!(again.body.contains("does not count any more"));
}

#[test]
fn r15_a_reset_by_mail_leaves_the_group_administrator_locked() {
    let fake = peopled();
    for n in 0..10 {
        let mut browser = Browser::new(&fake);
        browser.source = IpAddr::from([203, 0, 113, n]);
        browser.sign_in(ADMIN, "a wrong guess");
    }
    let mut browser = Browser::new(&fake);
    let token = block_on(fake.users().reset_begin(ADMIN, &Actor::Stranger { from: browser.source }))
        .expect("a shelf")
        .expect("a token");
    browser.get(&format!("/reset?who={ADMIN}&key={}", token.reveal()));
    let new = "a new long pass";
    let told = browser.told("/reset", &[("who", ADMIN), ("key", token.reveal()), ("new", new), ("again", new)]);
    assert!(told.contains("stays locked"), "{told}");
    assert_eq!(browser.sign_in(ADMIN, new).status, 403);
}

/// The codes that a page shows.
fn codes_of(page: &str) -> Vec<String> {
    let shown = page.split_once("<pre class=\"record\"").and_then(|(_, rest)| rest.split_once('>')).expect("codes").1;
    let codes: Vec<String> = shown.split('<').next().expect("their end").lines().map(str::to_owned).collect();
    assert!(codes.len() == 10 && codes.iter().all(|code| code.len() == 19), "{codes:?}");
    codes
}

#[test]
fn who_did_nothing_for_long_reads_why_and_comes_back_to_the_page() {
    let fake = peopled();
    let idle = |seconds: u64| {
        let session_idle = Duration::from_secs(seconds);
        fake.users().reconfigure(&config::Accounts { session_idle, ..config::Accounts::default() });
    };
    let mut browser = Browser::signed_in(&fake, USER);
    let session = browser.session().to_owned();
    idle(0);
    // A page that looks again by itself is sent away, and takes the words from nobody.
    browser.looks_again = true;
    let looked = browser.get("/find?key=a@b.example");
    assert_eq!((looked.status, looked.cookies.as_slice()), (303, &[][..]));
    browser.looks_again = false;
    let sent = browser.get("/find?key=a@b.example");
    assert_eq!((sent.status, sent.to.as_str()), (303, "/sign-in?to=%2Ffind%3Fkey%3Da%2540b.example"));
    assert_eq!(browser.session(), "", "the cookie goes");
    let page = browser.get(&sent.to).body;
    check_document("/sign-in", &page);
    assert!(page.contains("because the console was not used for 0s."), "{page}");
    assert!(!browser.get(&sent.to).body.contains("not used"), "told once");
    idle(3600);
    let to = browser.field("to");
    let in_ = browser.post("/sign-in", &[("name", USER), ("password", PASSWORD), ("to", &to)]);
    assert_eq!((in_.status, in_.to.as_str()), (303, "/find?key=a%40b.example"));
    assert!(browser.is_in() && browser.session() != session);
    // An act of a session that has ended is not done, and in Japanese the words are Japanese.
    idle(0);
    let writes = fake.shelf.writes();
    let act = browser.post("/me/sessions/close-others?lang=ja", &[]);
    assert_eq!((act.status, act.to.as_str(), fake.shelf.writes()), (303, "/sign-in?lang=ja", writes));
    assert!(browser.get(&act.to).body.contains("操作がなかったため"));
    // Nobody learns from the words what he has no token of.
    let mut stranger = Browser::new(&fake);
    stranger.cookies.insert("__Host-hikyaku".into(), "A".repeat(43));
    assert!(stranger.get("/me").cookies.is_empty());
}

#[test]
fn a_second_factor_is_set_up_asked_for_and_turned_off() {
    let fake = peopled();
    let mut browser = Browser::signed_in(&fake, USER);
    let mut other = Browser::signed_in(&fake, USER);
    let page = browser.get("/me/two-factor").body;
    check_document("/me/two-factor", &page);
    assert!(page.contains("<svg role=\"img\"") && page.contains("fill=\"#000\""), "the QR code");
    let shown =
        page.split_once("<pre class=\"record\"").and_then(|(_, rest)| rest.split_once('>')).expect("the secret").1;
    let secret = shown.split('<').next().expect("its end").to_owned();
    assert_eq!(secret.len(), 32 + 7, "{secret}");
    let on = |browser: &mut Browser<'_>, password: &str, code: &str| {
        browser.get("/me/two-factor");
        browser.post("/me/two-factor/on", &[("password", password), ("code", code)])
    };
    let wrong = on(&mut browser, PASSWORD, "000000");
    assert!(wrong.status == 400 && wrong.body.contains("not a code of the secret") && wrong.body.contains(&secret));
    let late = on(&mut browser, "a wrong guess", &code_of(&secret, 0));
    assert_eq!((late.status, late.late), (303, Duration::from_secs(1)), "a thief of a session guesses no password");
    assert!(fake.users().get(USER).expect("a person").person.totp.is_none());
    let codes = on(&mut browser, PASSWORD, &code_of(&secret, 0));
    assert_eq!(codes.status, 200, "a page that no address leads to");
    check_document("the recovery codes", &codes.body);
    let codes = codes_of(&codes.body);
    assert!(browser.is_in() && !other.is_in(), "others have shown no second factor");
    let me = browser.get("/me").body;
    assert!(!me.contains(&secret) && codes.iter().all(|code| !me.contains(code)), "shown once");
    assert!(me.contains("recovery codes are left"), "{me}");
    assert_eq!(browser.get("/me/two-factor").to, "/me");

    let mut next = Browser::new(&fake);
    let asked = next.sign_in(USER, PASSWORD);
    assert!(asked.status == 200 && asked.body.contains("name=\"code\"") && next.session().is_empty(), "{}", asked.body);
    check_document("the code", &asked.body);
    assert!(!asked.body.contains(PASSWORD));
    let ticket = next.field("ticket");
    let wrong = next.post("/sign-in/code", &[("ticket", &ticket), ("code", "000000")]);
    assert!(wrong.status == 403 && wrong.late >= Duration::from_secs(1) && wrong.body.contains("code is wrong"));
    let used = next.post("/sign-in/code", &[("ticket", &ticket), ("code", &code_of(&secret, 0))]);
    assert_eq!(used.status, 403, "it was used to turn it on");
    let stranger = next.post("/sign-in/code", &[("ticket", "x"), ("code", &code_of(&secret, 1))]);
    assert!(stranger.status == 403 && stranger.body.contains("Sign in again"), "{}", stranger.body);
    next.get("/sign-in");
    let in_ = next.post("/sign-in/code", &[("ticket", &ticket), ("code", &code_of(&secret, 1)), ("to", "/domains")]);
    assert_eq!((in_.status, in_.to.as_str()), (303, "/domains"), "{}", in_.body);
    assert!(next.is_in());

    // Without the phone: a code on paper, once, whatever it was typed like.
    for (typed, status) in [(codes[2].to_lowercase(), 303), (codes[2].clone(), 403), (codes[3].replace('-', ""), 303)] {
        let mut lost = Browser::new(&fake);
        let asked = lost.sign_in(USER, PASSWORD);
        assert!(asked.body.contains("one of your recovery codes"), "{}", asked.body);
        let ticket = lost.field("ticket");
        let got = lost.post("/sign-in/code", &[("ticket", &ticket), ("code", &typed)]);
        assert_eq!(got.status, status, "{}", got.body);
        assert!(!got.body.contains(&typed), "a page has the code");
        if status == 303 {
            assert!(lost.get(&got.to).body.contains("with a recovery code; "));
        }
        assert_eq!(lost.is_in(), status == 303);
    }
    browser.get("/me");
    assert!(browser.told("/me/two-factor/codes", &[("password", "a wrong guess")]).contains("nothing was changed"));
    let renewed = browser.post("/me/two-factor/codes", &[("password", PASSWORD)]);
    check_document("new recovery codes", &renewed.body);
    let renewed = codes_of(&renewed.body);
    assert!(renewed.iter().all(|code| !codes.contains(code)));
    assert_eq!(fake.users().get(USER).expect("a person").person.recovery.len(), renewed.len());

    browser.get("/me");
    assert!(browser.told("/me/two-factor/off", &[("password", "a wrong guess")]).contains("nothing was changed"));
    assert!(browser.told("/me/two-factor/off", &[("password", PASSWORD)]).contains("is off"));
    assert!(Browser::signed_in(&fake, USER).is_in());
}

#[test]
fn people_change_their_password_and_keep_this_browser_alone() {
    let fake = peopled();
    let mut browser = Browser::signed_in(&fake, USER);
    let mut other = Browser::signed_in(&fake, USER);
    let new = "a new long pass";
    browser.get("/me");
    let mut change = |old: &str, new: &str, again: &str| {
        browser.get("/me");
        browser.told("/me/password", &[("old", old), ("new", new), ("again", again)])
    };
    assert!(change(PASSWORD, new, "x").contains("two different ways"));
    assert!(change("a wrong guess", new, new).contains("nothing was changed"));
    assert!(change(PASSWORD, "short", "short").contains("at least 12"));
    assert!(change(PASSWORD, PASSWORD, PASSWORD).contains("is the old one"));
    assert!(change(PASSWORD, new, new).contains("is changed"));
    assert!(browser.is_in() && !other.is_in());
    assert_eq!(other.sign_in(USER, PASSWORD).status, 403);
    assert_eq!(other.sign_in(USER, new).status, 303);
}

#[test]
fn language_and_zone_of_the_account_count_on_every_page() {
    let fake = peopled();
    let mut browser = Browser::signed_in(&fake, USER);
    browser.get("/me");
    for bad in [HOSTILE, "a\nb", "\u{202e}evil", "zero\u{200b}width"] {
        let told = browser.told("/me/profile", &[("display-name", bad), ("language", "ja")]);
        assert!(told.contains("on one line"), "{bad:?}: {told}");
    }
    let hostile = HOSTILE.replace(['\u{7}', '\u{1b}', '\u{202e}'], "");
    let fields = [("display-name", hostile.as_str()), ("language", "ja"), ("time-zone", "America/New_York")];
    let told = browser.told("/me/profile", &fields);
    assert_eq!(told, "プロフィールを保存しました。");
    let page = browser.get("/me").body;
    assert!(page.contains("<html lang=\"ja\">") && page.contains("America/New_York"), "{page}");
    check_document("/me ja", &page);
    assert!(page.contains("&lt;script&gt;"), "a name that tries everything is inert");
    assert!(
        browser
            .told("/me/profile", &[("time-zone", "Mars/Olympus"), ("language", "ja")])
            .contains("タイムゾーンはありません")
    );
    check_document("/me en", &browser.get("/me?lang=en").body);
}

#[test]
fn sessions_are_listed_and_end_one_by_one() {
    let fake = peopled();
    let mut browser = Browser::signed_in(&fake, USER);
    let mut phone = Browser::new(&fake);
    phone.agent = "<script>alert(1)</script>\u{202e} iPhone Safari/605.1";
    phone.source = "2001:db8::7".parse().expect("an address");
    phone.sign_in(USER, PASSWORD);
    assert!(phone.is_in());
    let mut admin = Browser::signed_in(&fake, ADMIN);
    let page = browser.get("/me").body;
    check_document("/me", &page);
    for words in ["Firefox, Windows", "Safari, iPhone", "192.0.2.77", "2001:db8::7", "this one"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let id = browser.field("id");
    admin.get("/me");
    assert!(admin.told("/me/sessions/close", &[("id", &id)]).contains("had ended already"), "somebody else's");
    assert!(phone.is_in());
    assert!(browser.told("/me/sessions/close", &[("id", &id)]).contains("The session has ended"));
    assert!(!phone.is_in() && browser.is_in());
    phone.sign_in(USER, PASSWORD);
    browser.get("/me");
    assert_eq!(browser.told("/me/sessions/close-others", &[]), "One other session has ended.");
    assert!(!phone.is_in() && browser.is_in() && admin.is_in());
    let audits = fake.audits.lock().expect("no panic");
    let ends: Vec<String> =
        audits.iter().filter(|a| a.act == "user.session-end").map(|a| format!("{} {}", a.who, a.detail)).collect();
    assert_eq!(
        ends,
        [format!("{USER} one session, last used from 2001:db8::7"), format!("{USER} all other sessions: 1"),]
    );
}

#[test]
fn the_console_is_closed_to_addresses_that_are_not_listed() {
    let fake = peopled();
    let mut browser = Browser::signed_in(&fake, USER);
    let allowed_ips = AllowedIps { console: vec!["192.0.2.0/24".parse().expect("a network")], ..AllowedIps::default() };
    fake.users().reconfigure(&config::Accounts { allowed_ips, ..config::Accounts::default() });
    assert!(browser.is_in());
    browser.source = IpAddr::from([198, 51, 100, 1]);
    for target in ["/", "/me", "/sign-in", "/forgot", "/nothing"] {
        for lang in ["en", "ja"] {
            let got = browser.get(&format!("{target}?lang={lang}"));
            assert!(got.status == 403 && got.body.contains("198.51.100.1"), "{target}: {}", got.body);
            check_document(target, &got.body);
        }
    }
    assert_eq!(browser.post("/sign-in", &[("name", USER), ("password", PASSWORD)]).status, 403);
    assert_eq!(browser.ask(Method::Get, "/style.css", &[]).status, 200, "the page that says so has its style");
}

#[test]
fn pages_of_strangers_are_whole_in_both_languages() {
    let (fake, sandbox) = (peopled(), Fake::demo());
    for (name, fake) in [("busy", &fake), ("demo", &sandbox)] {
        for target in ["/sign-in", "/forgot", "/reset", "/set-up"] {
            for lang in ["en", "ja"] {
                let mut browser = Browser::new(fake);
                let got = browser.get(&format!("{target}?lang={lang}"));
                if got.status != 303 {
                    check_document(&format!("{name} {target} {lang}"), &got.body);
                    assert!(!got.body.contains(&fake.about().hostname), "{target} tells a stranger the host's name");
                }
            }
        }
    }
    // What was typed comes back as text.
    let mut browser = Browser::new(&fake);
    let got = browser.sign_in(HOSTILE, "x");
    check_document("/sign-in", &got.body);
    browser.get("/forgot");
    let got = browser.post("/forgot", &[("name", HOSTILE)]);
    check_document("/forgot", &got.body);
}
