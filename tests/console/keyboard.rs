//! By keyboard alone: every button and link of every page is reached by Tab, can be seen when it is, and lets go again.

use serde_json::Value;

use crate::{
    browser::Browser,
    pages::{self, Who},
    scene::Scene,
    support::say,
    tab::Tab,
};

/// Presses of Tab on one page at most: a page has at most 100 rows, each with a few links.
const STEPS_MAX: usize = 800;

const FOCUS: &str = include_str!("focus.js");

#[test]
fn everything_is_reached_seen_and_left_again() {
    let Some(browser) = Browser::start() else { return };
    let scene = Scene::start();
    let tabs = [browser.tab(), browser.tab()];
    for path in ["/", "/sandbox"] {
        tabs[0].sign_in(&scene.url(path), scene.relay_of(path).1);
    }
    let mut wrong = Vec::new();
    for page in pages::all(&scene) {
        let tab = &tabs[usize::from(page.who == Who::Guest)];
        tab.go(&scene.url(&page.path));
        let (steps, found) = walk(tab);
        say(format_args!("{}: {steps} steps", page.path));
        wrong.extend(found.into_iter().map(|line| format!("{}: {line}", page.path)));
    }
    for line in &wrong {
        say(line);
    }
    assert!(wrong.is_empty(), "{} things are wrong, the first: {}", wrong.len(), wrong[0]);
}

/// Walks once through the page; answers how many steps it took, and what was wrong.
fn walk(tab: &Tab<'_>) -> (usize, Vec<String>) {
    let mut wrong = Vec::new();
    for step in 1..=STEPS_MAX {
        tab.press("Tab");
        let seen = tab.evaluate(FOCUS);
        let lines = seen["wrong"].as_array().map(Vec::as_slice).unwrap_or_default();
        wrong.extend(lines.iter().filter_map(Value::as_str).map(str::to_owned));
        if seen["done"] == true {
            return (step, wrong);
        }
    }
    wrong.push(format!("no end after {STEPS_MAX} steps"));
    (STEPS_MAX, wrong)
}
