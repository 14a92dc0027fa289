//! The presses of who is not signed in yet, and of who changes how they sign in: each needs a secret of the moment.

use rustix::process::Signal;

use crate::{
    browser::Browser,
    posts::{Brings, Hand, Press},
    scene::Scene,
    support::{
        Config, Relay,
        console::{self, PASSWORD},
        until,
    },
    tab::Tab,
};

use Brings::{Elsewhere, Page};

const KENJI: &str = "kenji@shop.test";
const BOARD: &str = "board@shop.test";
const NEW: &str = "a new long pass phrase";

/// The code of a secret as an app computes it (RFC 6238), `later` steps from now.
fn code_of(base32: &str, later: u64) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut bits, mut count, mut key) = (0u64, 0, Vec::new());
    for letter in base32.bytes().filter(|b| *b != b' ') {
        bits = (bits << 5 | letters.iter().position(|l| *l == letter).expect("base32") as u64) & 0xff_ffff;
        count += 5;
        if count >= 8 {
            count -= 8;
            key.push((bits >> count & 0xff) as u8);
        }
    }
    let step = hikyaku::clock::Clock::system().now().as_seconds() / 30 + later;
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let tag = aws_lc_rs::hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 15);
    let word = u32::from_be_bytes(tag[at..at + 4].try_into().expect("four"));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

/// Script that puts texts into fields by their names.
fn puts(fields: &[(&str, &str)]) -> String {
    fields.iter().map(|(name, text)| format!("put('main [name={name}]', {text:?}); ")).collect()
}

/// Presses everything here; answers how much that was.
pub fn press_all(hand: &mut Hand<'_>, browser: &Browser, scene: &mut Scene) -> usize {
    let before = hand.pressed.len();
    let guest = browser.tab();
    guest.without_cache();
    signs_in(hand, &guest, scene);
    forgets(hand, &guest, scene);
    let person = browser.tab();
    person.without_cache();
    owns(hand, &person, scene);
    sets_up(hand, browser);
    locks(scene);
    hand.pressed.len() - before
}

/// With a second factor: the page for the code, a wrong one, the right one.
fn signs_in(hand: &mut Hand<'_>, tab: &Tab<'_>, scene: &Scene) {
    let link = scene.relay.cli(&["user", "totp", BOARD, "on"]).expect_done().all();
    let secret = link.split("secret=").nth(1).and_then(|rest| rest.split('&').next()).expect("a secret").to_owned();
    let button = "form[action^='/sign-in'] button";
    let (wrong, right) = (
        puts(&[("name", "nobody@shop.test"), ("password", "a wrong guess")]),
        puts(&[("name", BOARD), ("password", PASSWORD)]),
    );
    hand.press(tab, &Press { act: "/sign-in", at: "/sign-in", fill: &wrong, button, brings: Page(403) });
    for language in ["en", "ja"] {
        let press = Press { act: "/sign-in", at: "/sign-in", fill: &right, button, brings: Page(200) };
        hand.press_in(tab, &press, language);
        let bad = puts(&[("code", "000000")]);
        hand.press_in(tab, &Press { act: "/sign-in/code", at: "", fill: &bad, button, brings: Page(403) }, language);
    }
    let good = puts(&[("code", &code_of(&secret, 0))]);
    hand.press(tab, &Press { act: "/sign-in/code", at: "", fill: &good, button, brings: Elsewhere });
    let out =
        Press { act: "/sign-out", at: "/me", fill: "", button: "form[action^='/sign-out'] button", brings: Elsewhere };
    hand.press(tab, &out);
}

/// The mail of a forgotten password, and its link.
fn forgets(hand: &mut Hand<'_>, tab: &Tab<'_>, scene: &Scene) {
    let name = puts(&[("name", KENJI)]);
    let ask = Press {
        act: "/forgot",
        at: "/forgot",
        fill: &name,
        button: "form[action^='/forgot'] button",
        brings: Page(200),
    };
    hand.press(tab, &ask);
    let text = scene.received(KENJI).text().replace("=\r\n", "").replace("=3D", "=");
    let link = text.lines().find_map(|line| line.split_once("/reset?")).expect("a link").1;
    let link = format!("/reset?{}", link.trim());
    let button = "form[action^='/reset'] button";
    let (apart, alike) = (puts(&[("new", NEW), ("again", "x")]), puts(&[("new", NEW), ("again", NEW)]));
    hand.press(tab, &Press { act: "/reset", at: &link, fill: &apart, button, brings: Page(400) });
    hand.press(tab, &Press { act: "/reset", at: &link, fill: &alike, button, brings: Elsewhere });
}

/// One's own account: sessions, password, the second factor with its codes.
fn owns(hand: &mut Hand<'_>, tab: &Tab<'_>, scene: &Scene) {
    let mut others = [console::Browser::new(scene.relay.http()), console::Browser::new(scene.relay.http())];
    for other in &mut others {
        other.sign_in(KENJI, NEW);
    }
    let mut own = console::Browser::new(scene.relay.http());
    own.sign_in(KENJI, NEW);
    tab.sign_in(&scene.url("/"), own.cookie("hikyaku"));
    for act in ["/me/sessions/close", "/me/sessions/close-others"] {
        let button = format!("form[action^='{act}'] button");
        hand.press(tab, &Press { act, at: "/me", fill: "", button: &button, brings: Elsewhere });
    }
    let on = "form[action^='/me/two-factor/on'] button";
    let wrong = puts(&[("code", "000000"), ("password", NEW)]);
    hand.press(
        tab,
        &Press { act: "/me/two-factor/on", at: "/me/two-factor", fill: &wrong, button: on, brings: Page(400) },
    );
    tab.go(&scene.url("/me/two-factor?lang=en"));
    let secret = tab.text_of("document.querySelector('pre.record').textContent");
    let right = puts(&[("code", &code_of(&secret, 0)), ("password", NEW)]);
    hand.press(tab, &Press { act: "/me/two-factor/on", at: "", fill: &right, button: on, brings: Page(200) });
    let codes = tab.text_of("document.querySelector('pre.record').textContent");
    assert_eq!(codes.lines().count(), 10, "{codes}");
    for (act, brings) in [("/me/two-factor/codes", Page(200)), ("/me/two-factor/off", Elsewhere)] {
        let fill = format!("put('form[action^=\"{act}\"] [name=password]', {NEW:?})");
        let button = format!("form[action^='{act}'] button");
        hand.press(tab, &Press { act, at: "/me", fill: &fill, button: &button, brings });
    }
    let fill = puts(&[("old", NEW), ("new", PASSWORD), ("again", PASSWORD)]);
    hand.press(
        tab,
        &Press {
            act: "/me/password",
            at: "/me",
            fill: &fill,
            button: "form[action^='/me/password'] button",
            brings: Elsewhere,
        },
    );
}

/// The first account of another relay.
fn sets_up(hand: &mut Hand<'_>, browser: &Browser) {
    let relay = Relay::start(Config::sandbox());
    let log = relay.log();
    let link = log.split("link=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a link in the log");
    let link = &link[link.find("/set-up").expect("the page")..];
    let tab = browser.tab();
    let mut there = hand.at(format!("http://{}", relay.http()));
    let button = "form[action^='/set-up'] button";
    let apart = puts(&[("name", console::ADMIN), ("new", PASSWORD), ("again", "x")]);
    let alike = puts(&[("name", console::ADMIN), ("new", PASSWORD), ("again", PASSWORD)]);
    there.press(&tab, &Press { act: "/set-up", at: link, fill: &apart, button, brings: Page(400) });
    there.press(&tab, &Press { act: "/set-up", at: link, fill: &alike, button, brings: Elsewhere });
    hand.wrong.extend(there.wrong);
    hand.pressed.extend(there.pressed);
}

/// Somebody guesses until an account is locked, so that there is something to unlock.
fn locks(scene: &mut Scene) {
    scene.relay.reconfigure(|config| config.set("accounts.failed_logins_max", "2"));
    scene.relay.signal(Signal::HUP);
    until("the lock", || {
        console::Browser::new(scene.relay.http()).sign_in(KENJI, "a wrong guess");
        let shown = scene.relay.cli(&["user", "show", KENJI]).stdout;
        shown.lines().any(|line| line.starts_with("locked") && line.contains("since")).then_some(())
    });
}
