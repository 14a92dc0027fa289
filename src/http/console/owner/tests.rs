//! Links are made, opened and revoked; what they show is one API user's sums and nothing of anybody's mail.

use crate::http::{
    console::rig::{Seen, Who, check_document, get, page, post},
    fake::{Fake, HOSTILE},
};

/// A link to the numbers of an API user of the made-up daemon: its path.
fn link(fake: &Fake, user: &str, life: &str) -> String {
    let made = post(fake, Who::Admin, "/owner-links/add?lang=en", &[("user", user), ("note", HOSTILE), ("life", life)]);
    assert_eq!(made.status, 200, "{}", made.body);
    check_document("the page with the link", &made.body);
    let from = made.body.find("/owner/").expect("the link");
    let end = made.body[from..].find('<').expect("its end");
    made.body[from..from + end].to_owned()
}

fn user(fake: &Fake) -> String {
    super::users(crate::http::daemon::Daemon::users(fake)).into_iter().next().expect("an API user")
}

fn open(fake: &Fake, path: &str) -> Seen {
    get(fake, Who::Nobody, path)
}

#[test]
fn a_link_opens_the_numbers_of_one_user_to_anybody_and_nothing_else() {
    let fake = Fake::busy();
    let path = link(&fake, &user(&fake), "90");
    for lang in ["en", "ja"] {
        for range in ["24h", "7d", "30d", "13m", "nonsense"] {
            let target = format!("{path}?range={range}&lang={lang}");
            let seen = open(&fake, &target);
            assert_eq!(seen.status, 200, "{target}");
            check_document(&target, &seen.body);
            assert_eq!(seen.header("X-Robots-Tag"), "noindex, nofollow");
            for secret in ["@example", "@gmail", "order-88", "421 4.7.0", "relay.example.jp", "12,400"] {
                assert!(!seen.body.contains(secret), "{target} tells {secret}");
            }
        }
    }
    let english = open(&fake, &format!("{path}?lang=en")).body;
    for words in ["Why mail failed", "Mailbox providers", "Gmail", "normal", "puts most off", "Times are in"] {
        assert!(english.contains(words), "{words}: {english}");
    }
    let japanese = open(&fake, &format!("{path}?lang=ja")).body;
    for words in ["エラーの内訳", "主要プロバイダー", "大半を一時拒否", "有効期限"] {
        assert!(japanese.contains(words), "{words}");
    }
}

#[test]
fn errors_are_told_in_plain_words_with_what_to_do() {
    let mut fake = Fake::busy();
    let name = user(&fake);
    for story in &mut fake.stories {
        let mut message = (*story.message).clone();
        message.user = name.clone();
        story.message = std::sync::Arc::new(message);
    }
    let path = link(&fake, &name, "0");
    let seen = open(&fake, &format!("{path}?range=30d&lang=en"));
    assert!(seen.body.contains("unknown user") && seen.body.contains("Remove these addresses"), "{}", seen.body);
    let other = Fake::busy();
    let path = link(&other, &name, "0");
    let of_others = other.stories.iter().all(|story| story.message.user != name);
    let seen = open(&other, &format!("{path}?range=30d&lang=en"));
    assert_eq!(seen.body.contains("Nothing failed in this time"), of_others, "other users' errors are not told");
}

#[test]
fn a_link_that_is_revoked_wrong_or_of_a_user_that_is_gone_opens_nothing() {
    let fake = Fake::busy();
    let name = user(&fake);
    let path = link(&fake, &name, "30");
    let nothing = open(&fake, "/owner/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?lang=en");
    assert!(nothing.status == 404 && nothing.body.contains("There is nothing here"));
    let is_nothing = |seen: &Seen| {
        seen.status == 404 && seen.body.len() == nothing.body.len() && seen.body.contains("There is nothing here")
    };
    let id = fake.owner_links.all().expect("links")[0].id.clone();
    assert_eq!(open(&fake, &format!("/owner/{id}?lang=en")).status, 404, "its id is no token");
    let told = post(&fake, Who::Admin, "/owner-links/revoke?lang=en", &[("id", &id)]);
    assert_eq!(told.status, 303);
    assert!(told.told().contains("revoked"), "{}", told.told());
    assert!(is_nothing(&open(&fake, &format!("{path}?lang=en"))), "it looks like any page that is not there");
    assert!(post(&fake, Who::Admin, "/owner-links/revoke?lang=en", &[("id", &id)]).told().contains("no such link"));

    let by = crate::http::owner_links::By { who: "admin@example.jp", from: "192.0.2.77" };
    for gone in ["nobody-of-that-name", "admin@example.jp"] {
        let (_, token) = smol::block_on(fake.owner_links.add(gone, "", None, by)).expect("a link");
        assert_eq!(open(&fake, &format!("/owner/{}", token.reveal())).status, 404, "{gone}");
    }
}

#[test]
fn a_link_opens_nothing_of_a_later_user_of_the_same_name() {
    let mut fake = Fake::busy();
    let name = user(&fake);
    let path = link(&fake, &name, "0");
    assert_eq!(open(&fake, &path).status, 200);
    // Another account of that name, made a moment after the link; the link's row stayed behind.
    let link = fake.owner_links.all().expect("links").remove(0);
    let mut later = crate::http::daemon::Daemon::users(&fake).get(&name).expect("a user");
    later.created_at = link.made_at.plus(std::time::Duration::from_millis(1));
    fake.shelf.put(later);
    fake.accounts = std::sync::OnceLock::new();
    assert_eq!(open(&fake, &path).status, 404);
}

#[test]
fn a_store_that_fails_is_said_without_its_words() {
    let mut fake = Fake::busy();
    let path = link(&fake, &user(&fake), "90");
    fake.broken = true;
    let seen = open(&fake, &format!("{path}?lang=en"));
    assert_eq!(seen.status, 503);
    assert!(seen.body.contains("cannot be read now") && !seen.body.contains("EIO"), "{}", seen.body);
}

#[test]
fn whoever_has_a_link_keeps_few_threads_busy() {
    let fake = Fake::busy();
    let path = link(&fake, &user(&fake), "90");
    let turns: Vec<_> = std::iter::from_fn(|| fake.owner_links.turn()).take(100).collect();
    assert!(turns.len() < 5);
    let seen = open(&fake, &format!("{path}?lang=en"));
    assert!(seen.status == 503 && seen.body.contains("in a moment"));
    drop(turns);
    assert_eq!(open(&fake, &path).status, 200);
}

#[test]
fn only_the_group_administrator_makes_and_sees_links() {
    let fake = Fake::busy();
    let name = user(&fake);
    let path = link(&fake, &name, "365");
    for lang in ["en", "ja"] {
        let list = page(&fake, Who::Admin, &format!("/owner-links?lang={lang}"));
        check_document("links", &list);
        assert!(list.contains(&name) && list.contains("alert(1)") && !list.contains(&path), "the token is shown once");
    }
    for who in [Who::User, Who::Reader, Who::Viewer, Who::Nobody] {
        let before = fake.owner_links.all().expect("links").len();
        for seen in [
            get(&fake, who, "/owner-links"),
            post(&fake, who, "/owner-links/add", &[("user", &name), ("life", "0")]),
            post(&fake, who, "/owner-links/revoke", &[("id", &fake.owner_links.all().expect("links")[0].id)]),
        ] {
            assert!(matches!(seen.status, 303 | 403), "{who:?}: {}", seen.status);
            assert!(!seen.body.contains("/owner/"));
        }
        assert_eq!(fake.owner_links.all().expect("links").len(), before, "{who:?}");
    }
    for fields in [[("user", "nobody"), ("life", "90")], [("user", name.as_str()), ("life", "9999")]] {
        assert_eq!(post(&fake, Who::Admin, "/owner-links/add?lang=ja", &fields).status, 400);
    }
    check_document("none", &page(&Fake::empty(), Who::Admin, "/owner-links"));
}
