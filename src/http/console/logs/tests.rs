//! The logs' pages: what they show, what they ask the store, who gets the file.

use crate::{
    event::EventKind,
    http::{
        console::rig::{Who, check_document, get, page, post},
        fake::{self, Fake, HOSTILE},
    },
    secret::Secret,
    store::{Account, AccountKind, Person, Rights},
};

#[test]
fn both_logs_are_whole_in_both_languages_and_lead_to_the_mail() {
    for fake in [Fake::busy(), Fake::bounced(), Fake::demo(), Fake::empty()] {
        for target in ["/log/deliveries", "/log/errors", "/log/errors?class=2&exact=1&domain=example.com"] {
            for lang in ["en", "ja"] {
                let joint = if target.contains('?') { '&' } else { '?' };
                let target = format!("{target}{joint}lang={lang}");
                check_document(&target, &page(&fake, Who::User, &target));
            }
        }
    }
    let fake = Fake::bounced();
    let deliveries = page(&fake, Who::User, "/log/deliveries");
    for text in ["hanako@example.co.jp", "250 2.0.0 Ok", "421 4.7.0", "shop-app", "next try", "&lt;script&gt;alert(1)"]
    {
        assert!(deliveries.contains(text), "{text}");
    }
    let id = fake::id(9);
    assert!(deliveries.contains(&format!("href=\"/message/{id}#e")), "a row leads to its entry");
    assert!(deliveries.contains("came back later: bounced"), "a delivery names the bounce behind it");
    let errors = page(&fake, Who::User, "/log/errors?lang=ja");
    for text in ["宛先不明", "対象の配信：配信済み", "不達通知", "迷惑メール申告"] {
        assert!(errors.contains(text), "{text}: {errors}");
    }
    assert!(!errors.contains("hanako@example.co.jp"), "what was delivered is no error");
}

#[test]
fn the_filters_of_cmcs_screens_narrow_the_log_and_stay_in_the_form() {
    let fake = Fake::bounced();
    let rows = |query: &str| {
        let body = page(&fake, Who::User, &format!("/log/deliveries?{query}"));
        body.matches("<td class=\"wide strong destination\">").count()
    };
    let all = rows("");
    assert!(all > 8, "{all}");
    let of = |kind: EventKind| fake.log_rows().iter().filter(|row| row.event.kind == kind).count();
    assert_eq!(rows("status=deferred"), of(EventKind::Deferred));
    assert_eq!(rows("recipient=hanako"), 2);
    assert_eq!(rows("domain=co.jp"), 0);
    assert_eq!(rows("domain=%40example.co.jp"), 2, "an @ before the domain is no harm");
    assert_eq!(rows("from=2030-01-01T00:00"), 0);
    assert!(rows("subject=receipt") > 0 && rows("subject=receipt") < all);
    let body = page(&fake, Who::User, "/log/errors?recipient=nobody&class=2&user=shop-app&from=2026-11-24T00:00");
    for text in
        ["value=\"nobody\"", "value=\"2\" selected", "value=\"shop-app\" selected", "<details class=\"seldom\" open>"]
    {
        assert!(body.contains(text), "{text}: {body}");
    }
    assert!(body.contains("href=\"/log/errors.csv?recipient=nobody&amp;class=2"), "the file is asked the same");
}

#[test]
fn what_is_not_understood_is_said_so() {
    let fake = Fake::busy();
    for query in [
        "status=x",
        "status=bounced",
        "class=77",
        "class=x",
        "from=yesterday-ish",
        "from=2026-11-25T00:00&to=2026-11-24T00:00",
        &format!("recipient={}", "x".repeat(301)),
    ] {
        for lang in ["en", "ja"] {
            let seen = get(&fake, Who::User, &format!("/log/deliveries?lang={lang}&{query}"));
            assert_eq!(seen.status, 400, "{query}");
            check_document(query, &seen.body);
        }
    }
    let empty = page(&Fake::empty(), Who::User, "/log/deliveries");
    assert!(empty.contains("No mail yet.") && empty.contains("Send one through this server"));
    let none = page(&fake, Who::User, "/log/errors?recipient=nobody-like-this");
    assert!(none.contains("No entry matches") && none.contains("40"));
    let mut broken = Fake::busy();
    broken.broken = true;
    assert_eq!(get(&broken, Who::User, "/log/deliveries").status, 500);
}

#[test]
fn a_file_needs_the_right_is_harmless_and_is_in_the_operation_log() {
    let fake = Fake::bounced();
    for who in [Who::Reader, Who::Viewer] {
        assert_eq!(get(&fake, who, "/log/deliveries.csv").status, 403, "{who:?}");
    }
    assert!(fake.audits.lock().unwrap().iter().all(|entry| entry.act != "console.download"));
    assert!(!page(&fake, Who::Reader, "/log/deliveries").contains("Download CSV"));
    assert!(page(&fake, Who::User, "/log/deliveries").contains("Download CSV"));
    // Two run at once at most, and other tests take a place for a moment.
    let seen = std::iter::repeat_with(|| get(&fake, Who::User, "/log/errors.csv?class=2"))
        .take(10_000)
        .find(|seen| seen.status != 503)
        .unwrap();
    assert_eq!((seen.status, seen.response.content_type), (200, "text/csv; charset=utf-8"));
    assert!(seen.header("Content-Disposition").starts_with("attachment; filename=\"errors-2026"));
    let lines: Vec<&str> = seen.body.trim_start_matches('\u{feff}').lines().collect();
    assert!(lines[0].starts_with("\"created\",\"status\",\"from\",\"to\""), "{}", lines[0]);
    assert!(lines.len() > 2 && lines[1..].iter().all(|line| line.contains("\",\"2\",\"")), "{lines:?}");
    let audits = fake.audits.lock().unwrap();
    let entry = audits.last().unwrap();
    assert_eq!((entry.who.as_str(), entry.act.as_str()), ("user@example.jp", "console.download"));
    assert_eq!(
        (entry.object.as_str(), entry.detail.as_str(), entry.from.as_str()),
        ("errors", "class=2", "192.0.2.77")
    );
}

/// Gives the user of tests an account: views are kept by account.
fn enroll(fake: &Fake) {
    let at = fake::now().minus(std::time::Duration::from_secs(86_400));
    fake.shelf.put(Account {
        name: Who::User.seat().unwrap().name,
        kind: AccountKind::Console,
        hash: Secret::new(String::new()),
        created_at: at,
        password_set_at: at,
        rights: Rights { view: true, download: true, ..Rights::default() },
        person: Person::default(),
    });
}

#[test]
fn a_view_is_saved_shown_chosen_and_removed() {
    let fake = Fake::busy();
    enroll(&fake);
    let filtered = "/log/errors?class=5&recipient=gmail";
    let before = page(&fake, Who::User, filtered);
    assert!(before.contains("Save these filters as a view") && !before.contains("Saved views"));
    assert!(before.contains("name=\"query\" value=\"class=5&amp;recipient=gmail\""));
    let save = |name: &str, query: &str| {
        post(&fake, Who::User, "/views/save", &[("page", "errors"), ("name", name), ("query", query)])
    };
    let seen = save(HOSTILE.get(..50).unwrap(), "class=5&recipient=gmail");
    assert_eq!((seen.status, seen.header("Location")), (303, "/log/errors?class=5&recipient=gmail"));
    assert_eq!(seen.told(), "The view is saved.");
    save("mine", "class=2");
    let after = page(&fake, Who::User, filtered);
    check_document("views", &after);
    assert!(after.contains("Saved views") && after.contains("href=\"/log/errors?class=2\"") && after.contains("mine"));
    assert!(after.contains("aria-current=\"true\""), "the one that is shown says so");
    assert!(!after.contains("Save these filters"), "it is saved already");
    assert!(!page(&fake, Who::User, "/log/deliveries").contains("Saved views"), "of another page");
    assert_eq!(save("", "class=2").told(), "A name is one line of 1 to 60 letters.");
    assert_eq!(save("x", &"x".repeat(1_001)).told(), "These filters are too long to be saved.");
    for query in ["a b", "a\r\nSet-Cookie: x", "#top", "<x>"] {
        assert_eq!(save("x", query).status, 400, "{query}");
    }
    let foreign = post(&fake, Who::User, "/views/save", &[("page", "users"), ("name", "x"), ("query", "a=1")]);
    assert_eq!(foreign.status, 404);
    let gone = post(&fake, Who::User, "/views/forget", &[("page", "errors"), ("name", "mine")]);
    assert_eq!((gone.status, gone.told().as_str()), (303, "The view is removed."));
    assert!(!page(&fake, Who::User, filtered).contains("href=\"/log/errors?class=2\""));
}

#[test]
fn a_page_that_ends_early_says_how_far_it_looked_and_goes_on() {
    let fake = Fake::busy();
    // The made-up daemon has few rows: a page of it ends by number only.
    let body = page(&fake, Who::User, "/log/deliveries?cursor=3");
    assert!(body.contains("From the start"), "{body}");
}

#[test]
fn the_days_that_are_asked_for_most_are_a_click_away_and_keep_the_filters() {
    let fake = Fake::busy();
    let body = page(&fake, Who::User, "/log/deliveries?recipient=hanako&lang=en");
    let yesterday = "recipient=hanako&amp;lang=en&amp;from=2026-11-23T00%3A00&amp;to=2026-11-24T00%3A00";
    assert!(body.contains(yesterday), "{body}");
    assert!(body.contains(">Clear<") && !page(&fake, Who::User, "/log/deliveries?lang=en").contains(">Clear<"));
}
