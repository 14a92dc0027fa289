//! Where is my mail: the search, a message's page in both languages, acts, and what a hostile peer said.

use std::sync::Arc;

use smol::future::block_on;

use crate::{
    event::EventKind,
    http::{
        console::rig::{Seen, Who, check_document, get, page, post},
        fake::{self, Fake},
    },
    smtp::address::Mailbox,
    store::{BodyPlace, MemoChange, MemoKind, QueueVerb, RecipientState},
    webhook::history::{self, Tried},
};

fn message(n: u64) -> String {
    format!("/message/{}", fake::id(n))
}

/// The story of a message, to be changed.
fn story(fake: &mut Fake, n: u64) -> &mut crate::store::Story {
    fake.stories.iter_mut().find(|story| story.message.id == fake::id(n)).expect("a story")
}

#[test]
fn one_box_finds_by_the_whole_key_and_by_a_part() {
    let fake = Fake::busy();
    let empty = page(&fake, Who::User, "/find");
    for words in ["name=\"key\"", "X-Api-Data", "What can be searched for"] {
        assert!(empty.contains(words), "{words}");
    }
    // One message: there.
    let one = get(&fake, Who::User, "/find?key=order-8801&lang=ja");
    assert_eq!((one.status, one.header("Location")), (303, format!("{}?lang=ja", message(1)).as_str()));
    // Several by the whole key, with a way to look further.
    let whole = page(&fake, Who::User, "/find?key=shop@example.jp");
    assert!(whole.contains("Found by the whole key") && whole.contains("part=1"), "{whole}");
    // A part of a subject.
    let part = page(&fake, Who::User, "/find?key=%E6%B3%A8%E6%96%87%E7%95%AA%E5%8F%B7&lang=ja");
    assert!(part.contains("48213") && part.contains(&message(1)) && part.contains("件名・アドレス・ID"), "{part}");
    // Nothing: what to do next.
    for (lang, words) in [
        ("en", ["Check the spelling", "40 days", "/suppression?key=nobody%40nowhere"]),
        ("ja", ["綴りを確認", "40 日", "配信停止中か確認"]),
    ] {
        let none = page(&fake, Who::User, &format!("/find?key=nobody@nowhere&lang={lang}"));
        assert!(words.iter().all(|words| none.contains(words)), "{none}");
    }
    for (name, page) in [("empty", &empty), ("whole", &whole), ("part", &part)] {
        check_document(name, page);
    }
    let script = page(&fake, Who::User, "/find?key=%3Cscript%3E%22");
    assert!(script.contains("value=\"&lt;script&gt;&quot;\""), "{script}");
    check_document("script", &script);
}

#[test]
fn a_message_tells_where_it_stands_what_was_said_and_what_to_do_in_both_languages() {
    let fake = Fake::bounced();
    let english = page(&fake, Who::User, &message(9));
    for words in [
        "Delivered",
        "The address does not exist.",
        "Remove it from your lists.",
        "The receiving server took the mail.",
        "reported the mail as spam",
        "The whole conversation",
        "EHLO relay.example.jp",
        "1.090",
        "credentials, which are not kept",
        "open for 42 s, 3 messages before",
        "no answer within 5m",
        "20.0 KiB",
        "and 2 other recipients",
    ] {
        assert!(english.contains(words), "{words}: {english}");
    }
    let japanese = page(&fake, Who::User, &format!("{}?lang=ja", message(9)));
    for words in [
        "宛先のアドレスが存在しません。",
        "送信リストから削除してください。",
        "通信記録（SMTP）",
        "認証情報は記録しません",
        "接続を再利用",
        "経過",
        "宛先",
    ] {
        assert!(japanese.contains(words), "{words}: {japanese}");
    }
    for (name, page) in [("english", &english), ("japanese", &japanese)] {
        check_document(name, page);
        assert!(!page.contains("<b>you"), "what a peer said is inert");
    }
    // All stories of a busy day, the hostile one with them.
    let fake = Fake::busy();
    for n in 1..=8 {
        for lang in ["en", "ja"] {
            check_document(&format!("{n} {lang}"), &page(&fake, Who::Admin, &format!("{}?lang={lang}", message(n))));
        }
    }
}

#[test]
fn why_waiting_mail_goes_as_it_goes_is_told_in_the_language_of_the_page() {
    let fake = Fake::busy();
    let path = message(3);
    let english = page(&fake, Who::User, &path);
    let japanese = page(&fake, Who::User, &format!("{path}?lang=ja"));
    for (page, told, not_told) in [
        (&english, ["normal: nothing says otherwise", "in 4 min"], "4 分後に送信します。"),
        (&japanese, ["通常：指定なし", "4 分後に送信します。"], "nothing says otherwise"),
    ] {
        assert!(told.iter().all(|words| page.contains(words)) && !page.contains(not_told), "{page}");
        check_document("facts", page);
    }
    assert!(japanese.contains("設定; &lt;"), "what a fact quotes is inert: {japanese}");
}

#[test]
fn many_events_and_recipients_stay_within_a_page_and_are_a_link_away() {
    let mut fake = Fake::busy();
    let story = story(&mut fake, 3);
    let first = story.recipients[0].clone();
    story.recipients = (0..120)
        .map(|n| {
            let mut r = first.clone();
            r.key.index = n;
            r.address = Mailbox::parse(&format!("r{n}@many.example")).expect("an address");
            r
        })
        .collect();
    let event = story.events.last().expect("an event").clone();
    story.events = (0..600)
        .map(|n| {
            let mut e = event.clone();
            e.key.index = n % 120;
            e
        })
        .collect();
    story.numbers = (1..=600).map(|n| n + 10).collect();
    let path = message(3);
    let whole = page(&fake, Who::User, &path);
    check_document("many", &whole);
    for words in ["r24@many.example", "1–25 / 120", "recipients-from=25", "Earlier entries", "before=581", "said="] {
        assert!(whole.contains(words), "{words}");
    }
    let later = page(&fake, Who::User, &format!("{path}?recipients-from=100"));
    assert!(later.contains("r119@many.example") && later.contains("101–120 / 120"));
    let earlier = page(&fake, Who::User, &format!("{path}?before=581"));
    assert!(earlier.contains("id=\"e580\"") && !earlier.contains("id=\"e581\""));
    let one = page(&fake, Who::User, &format!("{path}?recipient=7"));
    assert_eq!(one.matches("<li class=\"").count(), 5, "five tries of one recipient");
    assert!(page(&fake, Who::User, &format!("{path}?said=582")).contains("id=\"e582\""));
    for nonsense in [
        "recipients-from=x",
        "recipients-from=99999999999",
        "before=0",
        "recipient=-1",
        "recipient=4294967296",
        "said=x",
    ] {
        check_document(nonsense, &page(&fake, Who::User, &format!("{path}?{nonsense}")));
    }
}

#[test]
fn acts_reach_the_queue_in_the_visitors_name_and_say_what_they_did() {
    let mut fake = Fake::busy();
    let path = message(3);
    let shown = page(&fake, Who::User, &path);
    for words in [format!("action=\"{path}/act\""), format!("href=\"{path}/end\"")] {
        assert!(shown.contains(&words), "{words}");
    }
    for (verb, want) in [
        ("flush", QueueVerb::Flush),
        ("hold", QueueVerb::Hold),
        ("release", QueueVerb::Release),
        ("drop", QueueVerb::Drop),
        ("fail", QueueVerb::Fail),
    ] {
        let done = post(&fake, Who::User, &format!("{path}/act"), &[("verb", verb), ("index", "1")]);
        assert_eq!((done.status, done.header("Location")), (303, path.as_str()), "{verb}");
        let acts = fake.acts.lock().expect("no panic");
        let act = acts.last().expect("an act");
        assert_eq!((act.verb, act.filter.message, act.filter.index), (want, Some(fake::id(3)), Some(1)));
        assert_eq!((act.operator.as_str(), act.from.as_str()), ("user@example.jp", "192.0.2.77"));
        drop(acts);
        assert!(done.told().starts_with(|c: char| c.is_ascii_digit()), "{}", done.told());
    }
    let count = fake.acts.lock().expect("no panic").len();
    let refused = |seen: Seen, status| assert_eq!(seen.status, status, "{}", seen.body);
    refused(post(&fake, Who::Viewer, &format!("{path}/act"), &[("verb", "drop")]), 403);
    refused(post(&fake, Who::User, &format!("{path}/act"), &[("verb", "explode")]), 400);
    refused(post(&fake, Who::User, &format!("{path}/act"), &[("verb", "drop"), ("index", "x")]), 400);
    refused(post(&fake, Who::User, "/message/0000000000001/act", &[("verb", "drop")]), 404);
    assert_eq!(fake.acts.lock().expect("no panic").len(), count);
    // The preview names whom it is about, and both ends.
    for (lang, words) in [
        ("en", ["second@gmail.example", "Neither the sender nor the recipient is told", "value=\"fail\""]),
        ("ja", ["取り消せません", "差出人に不達通知", "value=\"drop\""]),
    ] {
        let preview = page(&fake, Who::User, &format!("{path}/end?lang={lang}"));
        assert!(words.iter().all(|words| preview.contains(words)), "{preview}");
        check_document("preview", &preview);
    }
    assert!(page(&fake, Who::User, &format!("{}/end", message(1))).contains("nothing to end"));
    // Finished mail has no such buttons, and an act on it says so.
    let done = page(&fake, Who::User, &message(1));
    assert!(!done.contains("/act\""), "{done}");
    let late = post(&fake, Who::User, &format!("{}/act", message(1)), &[("verb", "flush")]);
    assert!(late.told().starts_with("Nothing was changed"), "{}", late.told());
    // Held mail can be released.
    for recipient in &mut story(&mut fake, 3).recipients {
        recipient.state =
            RecipientState::Waiting { due: crate::clock::Timestamp::MAX, wait: crate::event::WaitReason::Held };
    }
    let held = page(&fake, Who::User, &path);
    assert!(held.contains("value=\"release\"") && !held.contains("value=\"flush\""), "{held}");
}

#[test]
fn a_suppressed_recipient_is_lifted_from_its_mail() {
    let mut fake = Fake::busy();
    story(&mut fake, 1).recipients[0].address = Mailbox::parse("nobody@example.com").expect("an address");
    let path = message(1);
    assert!(page(&fake, Who::User, &path).contains("Lift the suppression"));
    assert!(page(&fake, Who::User, &format!("{path}?lang=ja")).contains("配信停止を解除"));
    let lifted = post(&fake, Who::User, &format!("{path}/lift"), &[("index", "0")]);
    assert_eq!((lifted.status, lifted.header("Location")), (303, path.as_str()));
    assert!(lifted.told().starts_with("nobody@example.com is written to again"), "{}", lifted.told());
    assert!(fake.lists.get().suppressions.scopes("nobody@example.com").expect("a list").is_empty());
    assert!(!page(&fake, Who::User, &path).contains("Lift the suppression"));
    let again = post(&fake, Who::User, &format!("{path}/lift"), &[("index", "0")]);
    assert!(again.told().starts_with("It was not on"), "{}", again.told());
    assert_eq!(post(&fake, Who::User, &format!("{path}/lift"), &[("index", "9")]).status, 400);
    assert_eq!(post(&fake, Who::Viewer, &format!("{path}/lift"), &[("index", "0")]).status, 403);
}

#[test]
fn the_mail_itself_is_for_who_may_download_and_leaves_an_entry() {
    let mut fake = Fake::busy();
    let stored = |fake: &mut Fake, place| {
        let story = story(fake, 1);
        let mut message = (*story.message).clone();
        message.place = place;
        story.message = Arc::new(message);
    };
    stored(&mut fake, BodyPlace::File);
    let path = format!("{}/mail.eml", message(1));
    assert!(page(&fake, Who::User, &message(1)).contains(&path));
    assert!(!page(&fake, Who::Reader, &message(1)).contains(&path), "no button for who may not");
    assert_eq!(get(&fake, Who::Reader, &path).status, 403);
    let mail = get(&fake, Who::User, &path);
    assert_eq!((mail.status, mail.response.content_type), (200, "message/rfc822"));
    assert!(mail.body.ends_with("\r\n\r\nhi\r\n") && mail.header("Content-Disposition").starts_with("attachment"));
    let audits = fake.audits.lock().expect("no panic").clone();
    let entry = audits.last().expect("an entry");
    assert_eq!(
        (entry.act.as_str(), entry.who.as_str(), entry.object.as_str()),
        ("message.download", "user@example.jp", fake::id(1).to_string().as_str())
    );
    let entries = audits.len();
    let letter = |fake: &mut Fake, user: &str| {
        let story = story(fake, 1);
        let mut message = (*story.message).clone();
        message.user = user.to_owned();
        story.message = Arc::new(message);
    };
    letter(&mut fake, crate::ids::CONSOLE_USER);
    for who in [Who::Admin, Who::User] {
        let refused = get(&fake, who, &path);
        assert!(refused.status == 403 && refused.body.contains("for its recipient alone"), "{}", refused.body);
    }
    assert!(!page(&fake, Who::User, &message(1)).contains(&path));
    assert_eq!(fake.audits.lock().expect("no panic").len(), entries);
    letter(&mut fake, "shop-app");
    stored(&mut fake, BodyPlace::Gone);
    let gone = get(&fake, Who::User, &path);
    assert!(gone.status == 404 && gone.body.contains("message_bodies"), "{}", gone.body);
    assert!(!page(&fake, Who::User, &message(1)).contains(&path));
}

#[test]
fn posts_that_told_of_a_mail_are_shown_with_it() {
    let fake = Fake::bounced();
    let lists = fake.lists.get();
    let none = page(&fake, Who::User, &message(9));
    assert!(none.contains("What webhooks were told") && none.contains("No post about this message"), "{none}");
    let mut hook = lists.webhooks.hook("crm").expect("it is configured");
    hook.events = ["succeeded", "bounced"].map(String::from).to_vec();
    let tried = |number, event_type: &str, first, last, error: &str| Tried {
        number,
        at: fake::now().as_millis(),
        id: format!("evt{number}"),
        event_type: event_type.into(),
        events: last - first + 1,
        first,
        last,
        status: if error.is_empty() { 200 } else { 503 },
        took: 31,
        error: error.into(),
    };
    let rows: Vec<MemoChange> = [
        tried(1, "deliveries", 1, 40, "<b>busy</b>"),
        tried(2, "deliveries", 1, 40, ""),
        tried(3, "bounces", 3, 3, ""),
        tried(4, "blocks", 1, 40, ""),
        tried(5, "deliveries", 50, 60, ""),
    ]
    .iter()
    .map(|tried| history::row("crm", tried))
    .collect();
    assert!(rows.iter().all(|row| row.kind == MemoKind::WebhookHistory));
    block_on(lists.store.put_memos(rows)).expect("stored");
    let events =
        [(1, EventKind::Queued), (2, EventKind::Succeeded), (3, EventKind::Bounced), (4, EventKind::Complained)];
    let told = history::telling(&lists.store, &hook, &events, 10).expect("read");
    let numbers: Vec<_> = told.iter().map(|(tried, numbers)| (tried.number, numbers.clone())).collect();
    assert_eq!(numbers, [(3, vec![3]), (2, vec![2]), (1, vec![2])], "what it wants, and what the post held");
    assert_eq!(history::telling(&lists.store, &hook, &events, 1).expect("read").len(), 1);
}

#[test]
#[ignore = "for looking at the pages"]
fn see_the_pages() {
    let fake = Fake::bounced();
    let dir = std::env::temp_dir().join("hikyaku-mail-pages");
    std::fs::create_dir_all(&dir).expect("a folder");
    std::fs::write(dir.join("style.css"), include_str!("../style.css")).expect("written");
    for lang in ["en", "ja"] {
        let pages = [
            ("find", "/find?x=1".to_owned()),
            ("whole", "/find?key=shop@example.jp".to_owned()),
            ("none", "/find?key=nobody@nowhere".to_owned()),
            ("bounced", format!("{}?x=1", message(9))),
            ("waiting", format!("{}?x=1", message(3))),
            ("hostile", format!("{}?x=1", message(7))),
            ("end", format!("{}/end?x=1", message(3))),
        ];
        for (name, target) in pages {
            let html = page(&fake, Who::Admin, &format!("{target}&lang={lang}"));
            let start = html.find("href=\"/style.css").or_else(|| html.find("href=\"/console.css"));
            let html = match start.and_then(|at| html[at + 6..].find('"').map(|end| (at + 6, at + 6 + end))) {
                Some((from, to)) => format!("{}style.css{}", &html[..from], &html[to..]),
                None => html,
            };
            std::fs::write(dir.join(format!("{name}-{lang}.html")), html).expect("written");
        }
    }
}
