//! What each role meets: the navigation, the pages, the links and the buttons are those that the table of places gives it, and no
//! other; and each of its pages is as sound as the administrator's.
//!
//! Always: what is expected comes from [`Right::is_of`]; a button that the administrator sees and the role may press is there.

use std::collections::BTreeSet;

use hikyaku::{
    http::console::{Place, Verb, places},
    store::Role,
};
use serde_json::Value;

use crate::{
    axe::{Axe, is_serious},
    browser::Browser,
    look::LOOK,
    pages::{self, Page, Who},
    scene::Scene,
    support::{
        console::{self, add_person},
        say,
    },
    tab::{SHOWN, Tab},
};

/// Somebody who signs in.
#[derive(Clone, Copy, Debug)]
struct Person {
    name: &'static str,
    role: Role,
    download: bool,
}

/// Everybody, the one who may everything first. People always view what their role lets them.
const PEOPLE: [Person; 4] = [
    Person { name: console::ADMIN, role: Role::GroupAdministrator, download: true },
    Person { name: "mika@shop.test", role: Role::User, download: true },
    Person { name: "kenji@shop.test", role: Role::User, download: false },
    Person { name: "board@shop.test", role: Role::ReportViewer, download: false },
];

/// What stands in a page: addresses of links, of forms that ask, and of forms that act. The way to the other language is the page's
/// own address.
const DOORS: &str = "(() => ({ \
    links: [...document.querySelectorAll('a[href^=\"/\"]:not(.languages a)')].map(a => a.getAttribute('href')), \
    asks: [...document.querySelectorAll('form')].filter(f => f.method === 'get').map(f => f.getAttribute('action')), \
    acts: [...document.querySelectorAll('form')].filter(f => f.method === 'post').map(f => f.getAttribute('action')), \
    elsewhere: document.querySelectorAll('[formaction]').length, \
    nav: [...document.querySelectorAll('nav.side a')].map(a => a.getAttribute('href')) }))()";

/// What a person met on all pages, as paths of the table.
#[derive(Default)]
struct Met {
    nav: BTreeSet<String>,
    links: BTreeSet<&'static str>,
    acts: BTreeSet<&'static str>,
}

impl Person {
    fn may(self, place: &Place) -> bool {
        place.right.is_of(self.role, true, self.download)
    }
}

fn path_of(href: &str) -> &str {
    href.split(['?', '#']).next().unwrap_or_default()
}

fn place_at(verb: Verb, href: &str) -> Option<&'static Place> {
    places().find(|place| place.verb == verb && place.fits(path_of(href)).is_some())
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(Value::as_str)
}

#[test]
fn each_role_meets_its_own_pages_links_and_buttons_and_no_other() {
    let (Some(axe), Some(browser)) = (Axe::load(), Browser::start()) else { return };
    let scene = Scene::start();
    add_person(&scene.relay, "mika@shop.test", "user");
    scene.relay.cli(&["user", "set", "mika@shop.test", "--permissions", "view,download"]).expect_done();
    // The sandbox is another relay's.
    let mut listed = pages::all(&scene);
    listed.retain(|page| page.who == Who::Admin && !page.path.starts_with("/sandbox") && page.path != "/nothing/here");
    let (mut wrong, mut whole) = (Vec::new(), Met::default());
    for (n, person) in PEOPLE.iter().enumerate() {
        let session = match n {
            0 => scene.session.clone(),
            _ => console::Browser::signed_in(scene.relay.http(), person.name).cookie("hikyaku").to_owned(),
        };
        let tab = browser.tab();
        tab.sign_in(&scene.url("/"), &session);
        let before = wrong.len();
        let met = walk(&scene, &tab, &axe, *person, &listed, &mut wrong);
        if n == 0 {
            whole = met;
        } else {
            wrong.extend(compare(*person, &met, &whole));
        }
        for line in &mut wrong[before..] {
            *line = format!("{}: {line}", person.name);
        }
    }
    assert!(whole.nav.len() >= 12 && whole.acts.len() >= 20, "{:?} {:?}", whole.nav, whole.acts);
    for line in &wrong {
        say(line);
    }
    assert!(wrong.is_empty(), "{} things are wrong, the first: {}", wrong.len(), wrong[0]);
}

/// Everything that is there for the administrator is there for somebody who may, and for nobody else.
fn compare(person: Person, met: &Met, whole: &Met) -> Vec<String> {
    let mut wrong = Vec::new();
    let may = |verb, path: &str| place_at(verb, path).is_some_and(|place| person.may(place));
    let nav: BTreeSet<String> = whole.nav.iter().filter(|path| may(Verb::Read, path)).cloned().collect();
    if met.nav != nav {
        wrong.push(format!("the navigation has {:?}, and should have {nav:?}", met.nav));
    }
    for (what, verb, met, whole) in
        [("buttons", Verb::Act, &met.acts, &whole.acts), ("links", Verb::Read, &met.links, &whole.links)]
    {
        let expected: BTreeSet<&str> = whole.iter().copied().filter(|path| may(verb, path)).collect();
        let missing: Vec<&&str> = expected.iter().filter(|path| !met.contains(*path)).collect();
        if !missing.is_empty() {
            wrong.push(format!("{what} that are missing: {missing:?}"));
        }
    }
    wrong
}

/// Visits every page: those that the person may see, and the refusals of the others.
fn walk(scene: &Scene, tab: &Tab<'_>, axe: &Axe, person: Person, listed: &[Page], wrong: &mut Vec<String>) -> Met {
    let (mut met, mut asked, mut refused) = (Met::default(), BTreeSet::new(), BTreeSet::new());
    for page in listed {
        let Some(place) = place_at(Verb::Read, &page.path) else {
            wrong.push(format!("{} is no place", page.path));
            continue;
        };
        // Of what is refused, a page of each right is enough to look at: the words are the right's.
        if !person.may(place) && !refused.insert(format!("{:?}", place.right)) {
            let status = tab.evaluate(&format!("fetch({:?}).then(r => r.status)", page.path));
            wrong.extend((status != 403).then(|| format!("{}: {status}", page.path)));
            continue;
        }
        let loaded = tab.go(&scene.url(&page.in_language("en")));
        let expected = if person.may(place) { 200 } else { 403 };
        if loaded.status != expected {
            wrong.push(format!("{}: {} instead of {expected}", page.path, loaded.status));
            continue;
        }
        let found: Vec<String> = loaded.complaints.into_iter().chain(sound(tab, axe)).collect();
        wrong.extend(found.into_iter().map(|line| format!("{}: {line}", page.path)));
        let doors = tab.evaluate(DOORS);
        wrong.extend(
            (doors["elsewhere"] != 0).then(|| format!("{}: a button leads elsewhere than its form", page.path)),
        );
        met.nav.extend(texts(&doors["nav"]).map(|href| path_of(href).to_owned()));
        for (kind, verb) in [("acts", Verb::Act), ("asks", Verb::Read), ("links", Verb::Read)] {
            for href in texts(&doors[kind]) {
                match place_at(verb, href) {
                    Some(place) if !person.may(place) => {
                        wrong.push(format!("{}: {kind} {href}, which is {:?}", page.path, place.right));
                    }
                    Some(place) if verb == Verb::Act => drop(met.acts.insert(place.path)),
                    Some(place) => {
                        met.links.insert(place.path);
                        // What a form asks needs its fields; a link leads somewhere as it is.
                        if kind == "links" && asked.insert(place.path) {
                            let status =
                                tab.evaluate(&format!("fetch({href:?}, {{ method: 'HEAD' }}).then(r => r.status)"));
                            wrong.extend((status != 200).then(|| format!("{}: {href} answers {status}", page.path)));
                        }
                    }
                    // Beside the console there is the description of the API alone.
                    None if href == "/openapi.json" => {}
                    None => wrong.push(format!("{}: {kind} {href} leads nowhere", page.path)),
                }
            }
        }
    }
    met
}

/// What is wrong with the page that is shown, on a desk and on a telephone; each page is looked at more closely elsewhere.
fn sound(tab: &Tab<'_>, axe: &Axe) -> Vec<String> {
    let mut found = Vec::new();
    for shown in [SHOWN[2], SHOWN[0]] {
        tab.show(shown);
        found.extend(texts(&tab.evaluate(LOOK)).map(|line| format!("{line} [{shown}]")));
    }
    axe.enter(tab);
    found.extend(axe.findings(tab).into_iter().filter(|line| is_serious(line)));
    found
}
