//! Pages of the lists over the made-up daemon: what they tell in both languages, what acts do, and that an act is shown before
//! it is done.

use std::time::Duration;

use super::{PLACES, days, try_out};
use crate::{
    event::ErrorClass,
    http::{
        console::{
            self, Verb, Visit,
            rig::{Seen, Who, check_document, get, page, post},
        },
        exchange::{Body, Door, Method, Peer, Request, percent_encode},
        fake::{Fake, at},
        fake_lists_tests::incident_id,
    },
    store::{AuditQuery, Page},
    suppress::{
        list::{ListQuery, token_of},
        what_if::{Answer, Effect, Side, Told, WhatIf},
        works::UPLOAD_MAX,
    },
};

/// Whom the made-up list has, and who complained there.
const NOBODY: &str = "nobody@example.com";
const ANGRY: &str = "angry@example.net";

/// The operation log of the lists, oldest first: who, from where, act, object, detail.
fn acts(fake: &Fake) -> Vec<[String; 5]> {
    let page = fake.lists.get().store.audit_page(&AuditQuery::default(), &Page::default()).expect("a log");
    let mut rows: Vec<_> = page.rows.into_iter().map(|e| [e.who, e.from, e.act, e.object, e.detail]).collect();
    rows.reverse();
    rows
}

fn last_act(fake: &Fake) -> [String; 5] {
    acts(fake).pop().expect("an act")
}

fn is_on(fake: &Fake, address: &str) -> bool {
    fake.lists.get().suppressions.get(address, "").expect("a list").is_some_and(|row| row.entry.is_some())
}

/// Sends a file as a browser does.
fn upload(fake: &Fake, who: Who, name: &str, octets: &[u8], fields: &[(&str, &str)]) -> Seen {
    let peer = Peer::Address([192, 0, 2, 77].into());
    let mut request = Request::of_target(Method::Post, "/suppression/import", Door::Public, peer).expect("a target");
    request.browser.host = "mail.example.jp".into();
    request.content_type = "multipart/form-data; boundary=bound".into();
    for (field, value) in fields {
        let part = format!("--bound\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n");
        request.body.extend_from_slice(part.as_bytes());
    }
    let head = format!("--bound\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n");
    request.body.extend_from_slice(head.as_bytes());
    request.body.extend_from_slice(octets);
    request.body.extend_from_slice(b"\r\n--bound--\r\n");
    let response = console::answer(fake, &request, who.seat(), false);
    let body = match &response.body {
        Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Body::Stream(_) => panic!("no file is sent back"),
    };
    Seen { status: response.status, body, response }
}

/// Follows an act to the page of its work, when that has ended.
fn work_of(fake: &Fake, seen: &Seen) -> (String, String) {
    assert_eq!(seen.status, 303, "{}", seen.body);
    let to = seen.header("Location").to_owned();
    let id = to.strip_prefix("/suppression/work/").expect("a work").to_owned();
    let work = fake.lists.get().suppressions.work(&id).expect("it is kept");
    assert!(work.wait(Duration::from_secs(30)));
    (id, page(fake, Who::User, &to))
}

#[test]
fn every_page_is_whole_in_both_languages_and_lets_no_mail_speak_html() {
    for (name, fake) in [("busy", Fake::busy()), ("empty", Fake::empty())] {
        let mut targets: Vec<String> = [
            "/suppression",
            "/suppression?key=EXAMPLE&cause=import&class=99&user=shop-app&from=2026-01-01&to=2026-11-24",
            "/suppression?state=lifted",
            "/suppression?state=exempt",
            "/suppression?key=hostile@example.net",
            "/suppression?cursor=zz",
            "/suppression/add?address=%22%3E%3Cscript%3E",
            "/suppression/import",
            "/suppression/try",
            "/suppression/held",
            "/incidents",
            "/incidents?key=%3Cscript&unclassified=1",
            "/unsubscribes",
            "/unsubscribes?key=a&list=newsletter%20a",
            "/unsubscribes/add",
        ]
        .map(str::to_owned)
        .to_vec();
        for address in [NOBODY, ANGRY, "hostile@example.net", "boss@example.jp", "old.taro@docomo.example", "new@x.jp"]
        {
            targets.push(format!("/suppression/address?address={address}"));
        }
        if name == "busy" {
            targets.extend((1..=5).map(|n| format!("/suppression/incident/{}", incident_id(n))));
        }
        for target in &targets {
            let joint = if target.contains('?') { '&' } else { '?' };
            let [english, japanese] =
                ["en", "ja"].map(|lang| page(&fake, Who::Admin, &format!("{target}{joint}lang={lang}")));
            check_document(&format!("{name} {target} en"), &english);
            check_document(&format!("{name} {target} ja"), &japanese);
            assert!(japanese.contains("配信停止") && english != japanese, "{target}");
        }
    }
    assert!(
        page(&Fake::busy(), Who::User, "/suppression").contains("&lt;script&gt;"),
        "a hostile answer is shown, escaped"
    );
}

#[test]
fn a_report_viewer_sees_nothing_and_a_reader_downloads_nothing() {
    let fake = Fake::busy();
    for place in PLACES {
        let target = place.path.replace(":id", &incident_id(1)).replace(":verb", "discard");
        let ask = |who| match place.verb {
            Verb::Read => get(&fake, who, &target).status,
            Verb::Act => post(&fake, who, &target, &[]).status,
        };
        assert_eq!((ask(Who::Viewer), ask(Who::Nobody)), (403, 303), "{target}");
    }
    assert_eq!(get(&fake, Who::Reader, "/suppression/export").status, 403);
    let listed = page(&fake, Who::Reader, "/suppression");
    assert!(!listed.contains("/suppression/export") && listed.contains("Lift those ticked"));
    assert!(page(&fake, Who::User, "/suppression").contains("/suppression/export"));
    assert!(is_on(&fake, NOBODY) && fake.lists.get().suppressions.brake_incident(&incident_id(1)).is_ok());
}

#[test]
fn the_list_is_searched_by_what_people_know() {
    let fake = Fake::busy();
    let list = page(&fake, Who::User, "/suppression");
    for text in
        [NOBODY, "errors · unknown user", "complaint", "by hand", "asked by phone", "over capacity × 5", "6 addresses"]
    {
        assert!(list.contains(text), "{text}");
    }
    assert!(!list.contains("old.taro@"), "who was lifted is not on the list");
    for (query, has, lacks) in [
        ("key=GMAIL", "full@gmail.example", NOBODY),
        ("cause=complaint", ANGRY, NOBODY),
        ("class=5", "full@gmail.example", NOBODY),
        ("from=2026-11-20", NOBODY, ANGRY),
        ("to=2026-10-30", ANGRY, NOBODY),
        ("state=lifted", "old.taro@docomo.example", NOBODY),
        ("state=exempt", "boss@example.jp", NOBODY),
        ("user=-", NOBODY, "old.taro@docomo.example"),
        ("user=shop-app", "No address matches", NOBODY),
        ("key=nowhere", "No address matches", NOBODY),
    ] {
        let found = page(&fake, Who::User, &format!("/suppression?{query}"));
        assert!(found.contains(has) && !found.contains(lacks), "{query}: {found}");
    }
    let whole = page(&fake, Who::User, &format!("/suppression?key={NOBODY}"));
    assert!(whole.contains("is on the list") && whole.contains(&format!("address={}", percent_encode(NOBODY))));
    assert!(page(&fake, Who::User, "/suppression?key=new@example.com").contains("is not on the list"));
    let left = page(&fake, Who::User, "/suppression?key=HANAKO&lang=ja");
    assert!(left.contains("該当する宛先はありません") && left.contains("/unsubscribes?key=HANAKO"));
    assert_eq!(get(&fake, Who::User, "/suppression?from=24.11.2026").status, 400);
    assert!(page(&Fake::empty(), Who::User, "/suppression").contains("No address is suppressed."));
}

#[test]
fn ticked_addresses_are_shown_before_they_are_lifted() {
    let fake = Fake::busy();
    let (nobody, angry) = (token_of(NOBODY, ""), token_of(ANGRY, ""));
    let before = acts(&fake).len();
    let none = post(&fake, Who::User, "/suppression/act", &[("verb", "lift")]);
    assert_eq!(none.told(), "Tick the addresses first.");
    let ticked = [("row", nobody.as_str()), ("row", angry.as_str()), ("verb", "lift")];
    let shown = post(&fake, Who::User, "/suppression/act", &ticked);
    assert_eq!(shown.status, 200);
    check_document("preview", &shown.body);
    assert!(shown.body.contains("Lift 2 addresses?") && shown.body.contains(NOBODY) && shown.body.contains(ANGRY));
    assert!(is_on(&fake, NOBODY) && acts(&fake).len() == before, "nothing was done yet");
    let done = post(&fake, Who::User, "/suppression/act", &[&ticked[..], &[("sure", "1")]].concat());
    assert_eq!(done.told(), "2 addresses are lifted: they are written to again.");
    assert_eq!(done.header("Location"), "/suppression");
    for (back, to) in [
        ("/suppression?key=a%40b&state=exempt", "/suppression?key=a%40b&state=exempt"),
        ("//evil.example/?x", "/suppression"),
        ("/suppression?a\r\nSet-Cookie: b", "/suppression"),
        ("https://evil.example", "/suppression"),
    ] {
        let fields = [("row", nobody.as_str()), ("verb", "lift"), ("sure", "1"), ("back", back)];
        assert_eq!(post(&fake, Who::User, "/suppression/act", &fields).header("Location"), to);
    }
    assert!(!is_on(&fake, NOBODY) && !is_on(&fake, ANGRY) && is_on(&fake, "full@gmail.example"));
    let [who, from, act, object, detail] = last_act(&fake);
    assert_eq!([who.as_str(), &from, &act, &object], ["user@example.jp", "192.0.2.77", "suppress.lift", "2 addresses"]);
    assert_eq!(detail, format!("{ANGRY} {NOBODY}"));

    let left = token_of("left@example.jp", "");
    let full = token_of("full@gmail.example", "");
    let exempt = [("row", left.as_str()), ("row", full.as_str()), ("verb", "exempt"), ("sure", "1")];
    let told = post(&fake, Who::User, "/suppression/act", &exempt).told();
    assert!(
        told.starts_with("2 addresses are exempt")
            && told.ends_with("1 stays on the list: its owner complained or unsubscribed."),
        "{told}"
    );
    let end = [("row", full.as_str()), ("row", full.as_str()), ("verb", "end"), ("sure", "1")];
    assert!(
        post(&fake, Who::User, "/suppression/act", &end).told().starts_with("The exemption of 1 address has ended")
    );
    for bad in [[("row", "zz"), ("verb", "lift")], [("row", nobody.as_str()), ("verb", "purge")]] {
        assert!(post(&fake, Who::User, "/suppression/act", &bad).status >= 303, "{bad:?}");
    }
    assert_eq!(
        post(&fake, Who::User, "/suppression/act", &[("row", "zz"), ("row", &nobody), ("verb", "lift")]).status,
        400
    );
}

#[test]
fn an_address_tells_its_story_and_takes_acts() {
    let fake = Fake::busy();
    let target = format!("/suppression/address?address={}", percent_encode(NOBODY));
    let shown = page(&fake, Who::User, &target);
    for text in
        ["Mail to this address is not sent.", "errors · unknown user · 1 day with errors", "550 5.1.1", "it is lifted"]
    {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let act = |verb: &str, address: &str, more: &[(&str, &str)]| {
        let fields = [&[("verb", verb), ("address", address), ("user", "")][..], more].concat();
        post(&fake, Who::User, "/suppression/address", &fields)
    };
    let lifted = act("lift", "NOBODY@example.com", &[]);
    assert_eq!(
        (lifted.header("Location"), lifted.told().as_str()),
        (target.as_str(), "Lifted: it is written to again.")
    );
    assert_eq!(act("lift", NOBODY, &[]).told(), "It was not on the list any more.");
    let shown = page(&fake, Who::User, &target);
    assert!(shown.contains("It is written to.") && shown.contains("Earlier") && shown.contains("user@example.jp"));
    assert_eq!(act("exempt", NOBODY, &[]).told(), "Exempt: its errors never suppress it.");
    assert!(act("exempt", ANGRY, &[]).told().contains("stays on the list"));
    assert!(act("end", NOBODY, &[]).told().starts_with("The exemption has ended"));
    assert_eq!(act("end", NOBODY, &[]).told(), "It was not exempt.");
    let left = format!("/suppression/address?address={}&lang=ja", percent_encode("hanako@example.co.jp"));
    assert!(page(&fake, Who::User, &left).contains("週刊ニュース"));
    assert!(act("rejoin", "hanako@example.co.jp", &[("list", "週刊ニュース")]).told().contains("sent there again"));
    assert!(!page(&fake, Who::User, &left).contains("週刊ニュース"));
    for (target, fields) in [
        ("/suppression/address", [("verb", "lift"), ("address", "no address")]),
        ("/suppression/address", [("verb", "x"), ("address", NOBODY)]),
    ] {
        assert!(matches!(post(&fake, Who::User, target, &fields).status, 400 | 404), "{fields:?}");
    }
    assert_eq!(get(&fake, Who::User, "/suppression/address?address=x").status, 400);
}

#[test]
fn addresses_are_added_all_or_none() {
    let fake = Fake::busy();
    let add = |addresses: &str, more: &[(&str, &str)]| {
        post(&fake, Who::User, "/suppression/add", &[&[("addresses", addresses)][..], more].concat())
    };
    let bad = add("one@example.jp\n<script>alert(1)</script>\ntwo@example.jp", &[]);
    check_document("add", &bad.body);
    assert!(bad.status == 200 && bad.body.contains("Nothing was added") && !is_on(&fake, "one@example.jp"));
    assert!(bad.body.contains("two@example.jp"), "what was typed is there again");
    assert!(add(" \n", &[]).body.contains("Write at least one address."));
    assert!(add(&"x@example.jp\n".repeat(201), &[]).body.contains("more than 200"));
    assert!(add("x@example.jp", &[("user", "ghost")]).body.contains("no such API user"));
    let done = add(
        &format!(" One@example.jp\r\n\r\ntwo@example.jp\n{NOBODY}"),
        &[("days", "30"), ("reason", "asked by phone")],
    );
    assert_eq!(done.told(), "2 addresses are on the list now. 1 was there already.");
    let row = fake.lists.get().suppressions.get("one@example.jp", "").expect("a list").expect("it is on it");
    let entry = row.entry.expect("a stay");
    assert_eq!((entry.reason.as_str(), entry.operator.as_str()), ("asked by phone", "user@example.jp"));
    assert_eq!(entry.until, Some(crate::http::fake::now().plus(Duration::from_secs(30 * 86_400))));
    let [_, _, act, object, detail] = last_act(&fake);
    assert_eq!([act.as_str(), &object, &detail], ["suppress.add", "2 addresses", "one@example.jp two@example.jp"]);
    let own = add("three@example.jp", &[("user", "shop-app"), ("days", "4000")]);
    assert_eq!(own.told(), "1 address is on the list now.");
    let row = fake.lists.get().suppressions.get("three@example.jp", "shop-app").expect("a list").expect("it is on it");
    assert_eq!(row.entry.expect("a stay").until, None, "a length that is not offered is none");
}

#[test]
fn a_file_is_looked_at_and_then_taken_over() {
    let fake = Fake::busy();
    let text = format!(
        "email,since,cause,status,reason\nfresh@example.jp,2026-11-01,errors,2,\"</td><script>\"\n{NOBODY},,errors,2,x\nnonsense,,,,\n"
    );
    let looked = upload(&fake, Who::User, "my \u{202e}list.csv", text.as_bytes(), &[("dialect", "")]);
    let (id, shown) = work_of(&fake, &looked);
    check_document("report", &shown);
    for text in [
        "would come onto the list",
        "were there already",
        "lines that could not be read",
        "Take 1 over",
        "fresh@example.jp",
        "&lt;script&gt;",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(!is_on(&fake, "fresh@example.jp"));
    check_document("report ja", &page(&fake, Who::User, &format!("/suppression/work/{id}?lang=ja")));
    assert!(!page(&fake, Who::User, "/suppression/import").contains('\u{202e}'));
    let (_, done) = work_of(&fake, &post(&fake, Who::User, "/suppression/import/go", &[("work", &id)]));
    assert!(done.contains("came onto the list") && is_on(&fake, "fresh@example.jp"));
    let [who, from, act, ..] = last_act(&fake);
    assert_eq!([who.as_str(), &from, &act], ["user@example.jp", "192.0.2.77", "suppress.import"]);
    let (_, again) = work_of(&fake, &post(&fake, Who::User, "/suppression/import/go", &[("work", &id)]));
    assert!(!again.contains("came onto the list"), "done again, it adds nothing");

    let (_, none) = work_of(&fake, &upload(&fake, Who::User, "x.csv", b"name,age\nx,1\n", &[]));
    assert!(none.contains("no column of the first line is an address") && !none.contains("Take "), "{none}");
    let (_, forced) = work_of(&fake, &upload(&fake, Who::User, "x.csv", b"a@example.jp\n", &[("dialect", "ses")]));
    assert!(forced.contains("Amazon SES"), "{forced}");
    assert_eq!(upload(&fake, Who::User, "x.csv", b"", &[]).told(), "Choose a file first.");
    let huge = vec![b'a'; UPLOAD_MAX + 1];
    assert!(upload(&fake, Who::User, "x.csv", &huge, &[]).told().contains("8 MiB"));
    assert!(
        post(&fake, Who::User, "/suppression/import/go", &[("work", "0000000000000")])
            .told()
            .contains("not kept any more")
    );
    let gone = get(&fake, Who::User, "/suppression/work/0000000000000");
    assert!(gone.status == 404 && gone.body.contains("kept for an hour"));
}

#[test]
fn an_incident_says_how_many_before_it_is_decided() {
    let fake = Fake::busy();
    let path = format!("/suppression/incident/{}", incident_id(1));
    let shown = page(&fake, Who::User, &path);
    for text in [
        "ichiro@docomo.example",
        "64 %",
        "1.2 %",
        "3 addresses come onto the list.",
        "Discard the errors",
        "No address is on the list because of it.",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(page(&fake, Who::User, "/suppression/held").contains(&path));
    let (_, done) = work_of(&fake, &post(&fake, Who::User, &format!("{path}/release"), &[]));
    assert!(done.contains("3 held errors count now; 3 addresses came onto the list."), "{done}");
    assert!(is_on(&fake, "jiro@docomo.example"));
    let after = page(&fake, Who::User, &path);
    assert!(after.contains("3 addresses come off the list.") && !after.contains("Discard the errors"), "{after}");
    let (_, counted) = work_of(&fake, &post(&fake, Who::User, &format!("{path}/count"), &[]));
    assert!(counted.contains("3 addresses come off the list.") && is_on(&fake, "jiro@docomo.example"));
    let (_, undone) = work_of(&fake, &post(&fake, Who::User, &format!("{path}/undo"), &[]));
    assert!(undone.contains("3 addresses are lifted.") && undone.contains("jiro@docomo.example"), "{undone}");
    assert!(!is_on(&fake, "jiro@docomo.example"));
    let (_, late) = work_of(&fake, &post(&fake, Who::User, &format!("{path}/discard"), &[]));
    assert!(late.contains("somebody was faster"), "{late}");
    assert_eq!(post(&fake, Who::User, &format!("{path}/delete"), &[]).status, 404);
    assert_eq!(post(&fake, Who::User, "/suppression/incident/0000000000000/undo", &[]).status, 404);
    assert_eq!(get(&fake, Who::User, "/suppression/incident/%22x").status, 404);
    let trouble = page(&fake, Who::User, &format!("/suppression/incident/{}", incident_id(3)));
    assert!(trouble.contains("our authentication") && trouble.contains("212"));
    let troubles = page(&fake, Who::User, "/incidents");
    for text in ["our authentication", "212", "Answers that no rule knows", "our reputation"] {
        assert!(troubles.contains(text), "{text}");
    }
    assert!(page(&Fake::empty(), Who::User, "/incidents").contains("Nothing of the kind was seen."));
}

#[test]
fn who_left_is_searched_added_and_written_to_again() {
    let fake = Fake::busy();
    let all = page(&fake, Who::User, "/unsubscribes");
    assert!(all.contains("週刊ニュース") && all.contains("newsletter A") && all.contains("2 entries"));
    let one = page(&fake, Who::User, "/unsubscribes?list=NEWSLETTER%20a");
    assert!(one.contains("a@example.org") && !one.contains("週刊ニュース"));
    assert!(page(&fake, Who::User, "/unsubscribes?from=2026-11-25").contains("No entry matches"));
    assert_eq!(get(&fake, Who::User, "/unsubscribes?cursor=%21").status, 404);
    let add = |addresses: &str, list: &str| {
        post(&fake, Who::User, "/unsubscribes/add", &[("addresses", addresses), ("list", list)])
    };
    assert!(add("b@example.org\nnonsense", "newsletter A").body.contains("Nothing was added"));
    assert!(add("b@example.org", "").body.contains("Name the list"));
    assert!(add("b@example.org", &"x".repeat(51)).body.contains("Name the list"));
    let told = add("b@example.org\nA@example.org", "newsletter A").told();
    assert_eq!(told, "1 address gets no mail of this list any more. 1 had left already.");
    let found = page(&fake, Who::User, "/unsubscribes?key=b@");
    let token = found.split("name=\"row\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a box");
    let shown = post(&fake, Who::User, "/unsubscribes/act", &[("row", token)]);
    check_document("preview", &shown.body);
    assert!(shown.body.contains("Write to 1 address again?") && shown.body.contains("b@example.org"));
    assert!(page(&fake, Who::User, "/unsubscribes").contains("b@example.org"), "nothing was done yet");
    let done = post(&fake, Who::User, "/unsubscribes/act", &[("row", token), ("sure", "1")]);
    assert_eq!(done.told(), "1 entry is gone: that address is written to again.");
    assert!(!page(&fake, Who::User, "/unsubscribes").contains("b@example.org"));
    assert_eq!(
        last_act(&fake)[..4],
        ["user@example.jp", "192.0.2.77", "unsubscribe.cancel", "b@example.org \"newsletter a\""]
    );
    assert_eq!(post(&fake, Who::User, "/unsubscribes/act", &[]).told(), "Tick the entries first.");
    let empty = page(&Fake::empty(), Who::User, "/unsubscribes?lang=ja");
    assert!(empty.contains("配信解除した宛先はありません。") && empty.contains("[[unsubscribe.filter]]"));
}

#[test]
fn downloads_hold_what_was_searched_and_are_told() {
    let fake = Fake::busy();
    let file = get(&fake, Who::User, "/suppression/export");
    let mut lines = file.body.lines();
    let head =
        "\"email\",\"user\",\"state\",\"cause\",\"class\",\"occurred\",\"since\",\"until\",\"reason\",\"operator\"";
    assert_eq!(lines.next().map(|line| line.trim_start_matches('\u{feff}')), Some(head));
    assert!(file.body.contains("\"boss@example.jp\",\"\",\"exempt\""), "{}", file.body);
    assert_eq!(lines.count(), 7, "six on the list, one exempt: {}", file.body);
    assert!(file.header("Content-Disposition").starts_with("attachment; filename=\"suppression-2026"));
    let part = get(&fake, Who::User, "/suppression/export?key=gmail&state=");
    assert!(part.body.lines().count() == 2 && part.body.contains("full@gmail.example"), "{}", part.body);
    let cmc = get(&fake, Who::User, "/suppression/export?form=cmc");
    assert!(cmc.body.starts_with("\u{feff}\"created\",\"email\",\"id\",\"occurred\",\"status\""), "{}", cmc.body);
    assert_eq!(cmc.body.lines().count(), 7);
    let left = get(&fake, Who::User, "/unsubscribes/export?list=newsletter%20A");
    assert_eq!(left.body.lines().count(), 2);
    assert!(left.body.starts_with("\u{feff}\"created\",\"email\",\"filtername\""), "{}", left.body);
    let audits = fake.audits.lock().expect("nobody panicked");
    let downloads = audits.iter().filter(|e| e.act == "console.download");
    let told: Vec<(&str, &str, &str)> =
        downloads.map(|e| (e.act.as_str(), e.object.as_str(), e.detail.as_str())).collect();
    assert_eq!(
        told,
        [
            ("console.download", "suppression", ""),
            ("console.download", "suppression", "key=gmail"),
            ("console.download", "suppression", "form=cmc"),
            ("console.download", "unsubscribes", "list=\"newsletter A\""),
        ]
    );
}

#[test]
fn other_conditions_are_tried_by_a_form() {
    let fake = Fake::busy();
    let form = page(&fake, Who::User, "/suppression/try");
    assert!(form.contains("name=\"unknown_user\"") && form.contains("in force: 90"), "{form}");
    let (_, shown) =
        work_of(&fake, &post(&fake, Who::User, "/suppression/try", &[("unknown_user", "3"), ("watch", "30")]));
    assert!(shown.contains("The log holds no delivery yet.") && shown.contains("value=\"30\""), "{shown}");
    for bad in [("unknown_user", "401"), ("unknown_user", "-1"), ("window", "9999"), ("watch", "x")] {
        assert_eq!(post(&fake, Who::User, "/suppression/try", &[bad]).status, 400, "{bad:?}");
    }
}

#[test]
fn the_effect_is_drawn_told_in_numbers_and_as_the_config_would_have_it() {
    let fake = Fake::busy();
    let effect = |came, would_come, lost, spared, sent| Effect { came, would_come, lost, spared, sent };
    let told = Told {
        address: "\"><script>@example.jp".into(),
        user: String::new(),
        class: Some(ErrorClass::OverCapacity),
        occurred: 3,
        since: at("2026-11-20T01:00:00Z"),
    };
    let side = |count| Side {
        count,
        classes: [(5, count)].into(),
        destinations: vec![("example.jp".into(), count)],
        addresses: vec![told.clone()],
    };
    let answer = Answer {
        events: 12_345,
        from: Some(at("2026-11-18T00:00:00Z")),
        added: side(31),
        spared: side(0),
        unknown: 2,
        effect: effect(4, 35, 7, 120, 0),
        quarters: vec![
            (at("2026-11-20T01:00:00Z"), effect(4, 30, 0, 0, 0)),
            (at("2026-11-22T01:00:00Z"), effect(0, 5, 7, 120, 0)),
        ],
        ..Answer::default()
    };
    let thresholds = crate::config::Thresholds { over_capacity: 3, ..crate::config::Thresholds::default() };
    let asked = WhatIf { thresholds, watch: Some(Duration::from_secs(30 * 86_400)), per_user: false };
    for (lang, words) in [
        ("en", ["12,345 events", "Addresses that come onto the list, by day", "as tried", "and 30 more"]),
        ("ja", ["ログ 12,345 件", "1日ごとの新規停止件数", "試算した条件", "ほか 30 件"]),
    ] {
        let target = format!("/suppression/try?lang={lang}");
        let request = Request::of_target(Method::Get, &target, Door::Public, Peer::User(0)).expect("a target");
        let visit = Visit::new(&fake, &request, Who::User.seat());
        let shown = try_out::answered(&visit, &asked, &answer).into_string();
        for text in words.into_iter().chain([
            "class=\"deferred\"",
            "class=\"failed\"",
            "2026-11-20",
            "[suppression.thresholds]\nover_capacity = 3",
            "watch = &quot;30d&quot;",
        ]) {
            assert!(shown.contains(text), "{lang} {text}: {shown}");
        }
        assert!(!shown.contains("<script") && !shown.contains(" style="));
        assert_eq!(days::by_day(&answer.quarters, &visit.about.zone, visit.now).len(), 5);
        assert_eq!(shown.matches("<svg ").count(), 2, "who comes onto the list, and what mail it changes");
        assert!(shown.contains(">120<") && shown.contains(">30<"), "the numbers stand in tables as well");
    }
}

#[test]
fn a_page_of_a_long_list_is_bounded_and_goes_on() {
    let fake = Fake::empty();
    let rows: Vec<String> = (0..130).map(|n| format!("u{n:03}@example.jp\n")).collect();
    let (id, _) = work_of(&fake, &upload(&fake, Who::User, "long.csv", rows.concat().as_bytes(), &[]));
    let (_, done) = work_of(&fake, &post(&fake, Who::User, "/suppression/import/go", &[("work", &id)]));
    assert!(done.contains("130"), "{done}");
    let mut seen = 0;
    let mut target = "/suppression".to_owned();
    for _ in 0..3 {
        let shown = page(&fake, Who::User, &target);
        assert!(shown.contains("130 addresses"));
        seen += shown.matches("name=\"row\"").count();
        let next = shown.split("class=\"next\" rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
        match next {
            Some(next) => target = next.replace("&amp;", "&"),
            None => break,
        }
    }
    assert_eq!(seen, 130);
    let all = fake.lists.get().suppressions.count(&ListQuery::default(), None).expect("a list");
    assert_eq!((all.rows, all.is_whole), (130, true));
}
