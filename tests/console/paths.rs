//! The main paths of a day, by keyboard alone and with a script-less browser: find a mail, see its story, act, and find the way out.

use serde_json::json;

use crate::{
    browser::Browser,
    scene::Scene,
    support::{Config, Relay, console::PASSWORD},
    tab::Tab,
};

/// Presses of Tab towards something at most.
const STEPS_MAX: usize = 150;

/// Presses Tab until what has the focus fits the selector.
#[track_caller]
pub fn tab_to(tab: &Tab<'_>, selector: &str) {
    let fits = format!("document.activeElement !== document.body && document.activeElement.matches({selector:?})");
    for _ in 0..STEPS_MAX {
        if tab.evaluate(&fits) == json!(true) {
            return;
        }
        tab.press("Tab");
    }
    panic!("{}: {selector} never has the focus", tab.at());
}

/// Presses Enter on what has the focus, and waits for the page that follows.
#[track_caller]
pub fn enter(tab: &Tab<'_>) {
    let loaded = tab.onward("Enter", || tab.press("Enter"));
    assert_eq!(loaded.status, 200, "{}", tab.at());
    assert!(loaded.complaints.is_empty(), "{}: {:?}", tab.at(), loaded.complaints);
}

/// What a search finds leads to its message, at once or by a list.
#[track_caller]
fn to_message(tab: &Tab<'_>) {
    if !tab.at().starts_with("/message/") {
        tab_to(tab, "main a[href*='/message/']");
        enter(tab);
    }
}

#[test]
fn a_mail_is_found_from_anywhere_by_keyboard() {
    let Some(browser) = Browser::start() else { return };
    let scene = Scene::start();
    let tab = browser.tab();
    tab.sign_in(&scene.url("/"), &scene.session);
    tab.go(&scene.url("/suppression?lang=en"));
    // The first stop leads past the navigation.
    tab.press("Tab");
    assert_eq!(tab.evaluate("document.activeElement.matches('.skip')"), json!(true));
    tab.press("Enter");
    tab.press("Tab");
    assert_eq!(tab.evaluate("document.querySelector('main').contains(document.activeElement)"), json!(true));
    // One key leads to the search; it is a letter while somebody types.
    tab.go(&scene.url("/?lang=en"));
    tab.press("/");
    tab.type_text("a/b");
    assert_eq!(tab.text_of("document.activeElement.value"), "a/b");
    for _ in 0..3 {
        tab.press("Backspace");
    }
    tab.type_text("taro@gmail.test");
    assert_eq!(tab.text_of("document.activeElement.value"), "taro@gmail.test");
    enter(&tab);
    assert!(tab.words().contains("taro@gmail.test"), "{}", tab.words());
    to_message(&tab);
    assert!(tab.at().starts_with(&format!("/message/{}", scene.name("delivered"))), "{}", tab.at());
    assert!(tab.words().contains("mx1.gmail.test"), "{}", tab.words());
}

#[test]
fn a_mail_is_found_without_script() {
    let Some(browser) = Browser::start() else { return };
    let scene = Scene::start();
    let tab = browser.tab();
    tab.sign_in(&scene.url("/"), &scene.session);
    tab.without_script();
    tab.go(&scene.url("/?lang=en"));
    tab_to(&tab, "input[type=search]");
    tab.type_text(scene.name("failed"));
    enter(&tab);
    to_message(&tab);
    assert!(tab.words().contains("User unknown"), "{}", tab.words());
}

#[test]
fn the_first_account_is_made_and_left_and_entered_by_keyboard() {
    let Some(browser) = Browser::start() else { return };
    let relay = Relay::start(Config::sandbox());
    let log = relay.log();
    let link = log.split("link=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a link in the log");
    let tab = browser.tab();
    tab.go(&format!("{link}&lang=ja"));
    for (field, text) in
        [("name", "sakura@shop.test"), ("display-name", "さくら"), ("new", PASSWORD), ("again", PASSWORD)]
    {
        tab_to(&tab, &format!("input[name={field}]"));
        tab.type_text(text);
    }
    enter(&tab);
    assert_eq!(tab.at().split('?').next(), Some("/"), "signed in at once");
    assert!(tab.words().contains("さくら"), "{}", tab.words());
    tab_to(&tab, "form[action^='/sign-out'] button");
    enter(&tab);
    // A link into the console leads there after signing in.
    tab.go(&format!("http://{}/suppression?lang=en", relay.http()));
    tab_to(&tab, "input[name=name]");
    tab.type_text("sakura@shop.test");
    tab_to(&tab, "input[name=password]");
    tab.type_text("a wrong guess");
    let refused = tab.onward("Enter", || tab.press("Enter"));
    assert!(refused.status >= 400, "{refused:?}");
    tab_to(&tab, "input[name=name]");
    if tab.text_of("document.activeElement.value").is_empty() {
        tab.type_text("sakura@shop.test");
    }
    tab_to(&tab, "input[name=password]");
    tab.type_text(PASSWORD);
    enter(&tab);
    assert!(tab.at().starts_with("/suppression"), "{}", tab.at());
}
