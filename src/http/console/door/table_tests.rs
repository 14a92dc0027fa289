//! Who may what: every place for everybody, and every act from a form of ours alone.

use super::browser_tests::{ADMIN, Browser, Got, USER, peopled};
use crate::http::{
    console::{
        self, Verb, places,
        rig::{self, Who},
    },
    exchange::Method,
};

/// What the table says, for every place and everybody.
#[test]
fn every_place_opens_for_those_who_may_and_for_nobody_else() {
    let fake = peopled();
    let mut checked = 0;
    for place in places() {
        let parts: Vec<&str> =
            place.path.split('/').map(|part| if part.starts_with(':') { "0" } else { part }).collect();
        let target = parts.join("/");
        for who in Who::ALL {
            let seen = match place.verb {
                Verb::Read => rig::get(&fake, who, &target),
                Verb::Act => rig::post(&fake, who, &target, &[]),
            };
            let may = match who.seat() {
                Some(seat) => place.right.is_of(seat.role, seat.view, seat.download),
                None => place.right == console::Right::Anyone,
            };
            let (verb, right) = (place.verb, place.right);
            let is_sent_to_sign_in = seen.status == 303 && seen.header("Location").starts_with("/sign-in");
            let is_forbidden = seen.status == 403 && seen.body.contains("Not for your account");
            if may {
                assert!(!is_forbidden, "{verb:?} {target} is {right:?}, and {who:?} may");
                // The door itself leads there.
                let is_door = place.right == console::Right::Anyone || target == "/sign-out";
                assert!(!is_sent_to_sign_in || is_door, "{verb:?} {target} {who:?}");
            } else if who == Who::Nobody {
                assert!(is_sent_to_sign_in, "{verb:?} {target} is {right:?}: {} {}", seen.status, seen.body);
            } else {
                assert!(is_forbidden, "{verb:?} {target} is {right:?}, and {who:?} may not: {}", seen.status);
            }
            checked += 1;
        }
    }
    assert!(checked >= 5 * 30, "{checked}");
}

#[test]
fn nothing_that_needs_a_session_opens_by_a_cookie_that_somebody_made_up() {
    let fake = peopled();
    for cookie in ["", "x", &"A".repeat(43), &"A".repeat(5_000), "..%2f", "a; b"] {
        let mut browser = Browser::new(&fake);
        browser.cookies.insert("__Host-hikyaku".into(), cookie.to_owned());
        assert!(!browser.is_in(), "{cookie:.20}");
    }
    // What a page of a sibling host, or one over plain HTTP, can plant is not read.
    let session = Browser::signed_in(&fake, USER).session().to_owned();
    let mut planted = Browser::new(&fake);
    planted.cookies.insert("hikyaku".into(), session.clone());
    assert!(!planted.is_in(), "over TLS only the __Host- cookie counts");
    planted.cookies.insert("__Host-hikyaku".into(), session);
    assert!(planted.is_in());
}

#[test]
fn every_act_asks_for_the_token_of_a_form_of_this_browser() {
    let fake = peopled();
    let mut admin = Browser::signed_in(&fake, ADMIN);
    let mut other = Browser::signed_in(&fake, USER);
    admin.get("/me");
    other.get("/me");
    let (own, theirs) = (admin.field("form-token"), other.field("form-token"));
    assert!(own.len() == 43 && own != theirs && !own.contains(admin.session()));
    let (before, writes) = (fake.acts.lock().expect("no panic").len(), fake.shelf.writes());
    let refused = |got: &Got| got.status == 403 && got.body.contains("The form was not taken");
    let mut acts = 0;
    for place in places().filter(|place| place.verb == Verb::Act) {
        let target: Vec<&str> =
            place.path.split('/').map(|part| if part.starts_with(':') { "0" } else { part }).collect();
        let target = target.join("/");
        for token in ["", "x", theirs.as_str()] {
            let got = admin.ask(Method::Post, &target, &[("form-token", token)]);
            assert!(refused(&got), "{target} with {token:?}: {}", got.status);
        }
        for site in ["cross-site", "same-site"] {
            admin.site = site;
            let got = admin.ask(Method::Post, &target, &[("form-token", &own)]);
            assert!(refused(&got), "{target} from {site}: {}", got.status);
        }
        admin.site = "same-origin";
        // A GET never acts.
        let is_read = places().any(|other| other.verb == Verb::Read && other.path == place.path);
        let got = admin.ask(Method::Get, &target, &[]);
        assert!(is_read || matches!(got.status, 404 | 405), "GET {target}: {}", got.status);
        acts += 1;
    }
    assert!(acts >= 12, "{acts}");
    assert_eq!((fake.acts.lock().expect("no panic").len(), fake.shelf.writes()), (before, writes), "nothing was done");
    assert!(admin.is_in() && other.is_in());
}
