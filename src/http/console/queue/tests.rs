//! The queue's pages: sums, lists, and acts that ask once more.

use crate::{
    event::WaitReason,
    http::{
        console::rig::{Seen, Who, check_document, get, page, post},
        fake::{self, Fake},
        queue_acts::{ActState, ActView},
    },
    store::{QueueAct, QueueFilter, QueueVerb},
};

fn targets() -> Vec<String> {
    [
        "/queue",
        "/queue/list",
        "/queue/list?wait=retry&class=normal",
        "/queue/preview?verb=drop&destination=gmail.example",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[test]
fn every_page_is_whole_in_both_languages_whatever_waits() {
    for (name, fake) in [("busy", Fake::busy()), ("demo", Fake::demo()), ("empty", Fake::empty())] {
        for target in targets() {
            for lang in ["en", "ja"] {
                let joint = if target.contains('?') { '&' } else { '?' };
                let seen = get(&fake, Who::Admin, &format!("{target}{joint}lang={lang}"));
                assert!(seen.status == 200 || (seen.status == 303 && target.contains("preview")), "{name} {target}");
                if seen.status == 200 {
                    check_document(&format!("{name} {target}"), &seen.body);
                }
            }
        }
    }
    let empty = page(&Fake::empty(), Who::User, "/queue/list");
    assert!(empty.contains("Nothing waits.") && empty.contains("delivery log"));
}

#[test]
fn sums_lead_to_the_list_they_count() {
    let fake = Fake::busy();
    let body = page(&fake, Who::User, "/queue");
    for text in [
        "By reason",
        "By priority",
        "By API user",
        "By destination",
        "href=\"/queue/list?wait=retry\"",
        "href=\"/queue/list?class=normal\"",
        "href=\"/queue/list?user=shop-app\"",
        "href=\"/queue/list?destination=docomo.example\"",
        "421 4.7.0 Too many",
        "Force send",
        "old.example.org",
        "ticket 4711",
        "Resume",
    ] {
        assert!(body.contains(text), "{text}: {body}");
    }
    let japanese = page(&fake, Who::User, "/queue?lang=ja");
    for text in ["理由別", "優先度別", "APIユーザー別", "宛先ドメイン別", "強制送信", "保留", "一時停止"]
    {
        assert!(japanese.contains(text), "{text}");
    }
    let list = page(&fake, Who::User, "/queue/list?destination=gmail.example");
    assert!(list.contains("full@gmail.example") && !list.contains("taro.yamada"));
    assert!(list.contains("Destination gmail.example") && list.contains("Ticked ones:"));
    assert!(!list.contains("at least"));
}

#[test]
fn a_filter_reads_back_what_it_wrote_and_refuses_what_is_none() {
    let filter = QueueFilter {
        message: Some(fake::id(3)),
        index: Some(1),
        recipient: "a&b".into(),
        sender: "飛脚".into(),
        destination: "gmail.example".into(),
        user: "shop app".into(),
        held: true,
        class: Some(crate::event::Class::Low),
        wait: Some(WaitReason::Site),
        reply: "421 <x>".into(),
    };
    let query = super::filter::as_query(&filter);
    let fake = Fake::busy();
    let request = crate::http::exchange::Request::of_target(
        crate::http::exchange::Method::Get,
        &format!("/queue/list?{query}"),
        crate::http::exchange::Door::Public,
        crate::http::exchange::Peer::User(0),
    )
    .unwrap();
    let visit = crate::http::console::Visit::new(&fake, &request, Who::User.seat());
    assert_eq!(super::filter::of(&visit, |name| visit.request.param(name)).unwrap(), filter);
    let nothing = super::filter::of(&visit, |_| "").unwrap();
    assert!(nothing.is_all());
    for query in
        ["id=x", "index=1", "id=0000000000001&index=x", "class=x", "wait=x", &format!("user={}", "x".repeat(301))]
    {
        assert_eq!(get(&fake, Who::User, &format!("/queue/list?{query}")).status, 400, "{query}");
    }
}

fn act(fake: &Fake, fields: &[(&str, &str)]) -> Seen {
    post(fake, Who::User, "/queue/act", fields)
}

#[test]
fn an_act_asks_first_says_how_many_and_is_done_in_the_visitors_name() {
    let fake = Fake::busy();
    let fields = [("verb", "hold"), ("destination", "gmail.example")];
    let preview = post(&fake, Who::User, "/queue/preview", &fields);
    assert_eq!(preview.status, 200, "{}", preview.body);
    check_document("preview", &preview.body);
    for text in
        ["Hold: 2 recipients?", "destination gmail.example", "full@gmail.example", "action=\"/queue/act\"", "Cancel"]
    {
        assert!(preview.body.contains(text), "{text}: {}", preview.body);
    }
    assert!(fake.acts.lock().unwrap().is_empty(), "a preview does nothing");
    let done = act(&fake, &fields);
    assert_eq!((done.status, done.header("Location")), (303, "/queue/list?destination=gmail.example"));
    assert_eq!(done.told(), "2 recipients held.");
    let acts = fake.acts.lock().unwrap();
    let QueueAct { verb, filter, operator, from } = &acts[0];
    assert_eq!((*verb, filter.destination.as_str()), (QueueVerb::Hold, "gmail.example"));
    assert_eq!((operator.as_str(), from.as_str()), ("user@example.jp", "192.0.2.77"));
}

#[test]
fn what_is_final_for_many_needs_a_tick_and_nothing_ticked_is_not_the_whole_queue() {
    let fake = Fake::busy();
    let preview = post(&fake, Who::User, "/queue/preview", &[("verb", "drop"), ("destination", "gmail.example")]);
    assert!(preview.body.contains("name=\"sure\"") && preview.body.contains("class=\"danger\""));
    let refused = act(&fake, &[("verb", "drop"), ("destination", "gmail.example")]);
    assert!(refused.status == 400 && refused.body.contains("Nothing was done"), "{}", refused.body);
    for verb in QueueVerb::ALL {
        for path in ["/queue/preview", "/queue/act"] {
            let seen = post(&fake, Who::User, path, &[("verb", verb.word())]);
            assert!(seen.status == 400 && seen.body.contains("No recipient is ticked"), "{path} {verb:?}");
        }
    }
    assert!(fake.acts.lock().unwrap().is_empty());
    let all = post(&fake, Who::User, "/queue/preview", &[("verb", "flush"), ("all", "1")]);
    assert!(all.body.contains("Whole queue") && all.body.contains("name=\"all\" value=\"1\""));
    let done = act(&fake, &[("verb", "drop"), ("destination", "gmail.example"), ("sure", "1")]);
    assert_eq!(done.told(), "2 recipients dropped.");
}

#[test]
fn ticked_recipients_are_met_one_by_one() {
    let fake = Fake::busy();
    let list = page(&fake, Who::User, "/queue/list");
    let tick = format!("{}.0", fake::id(3));
    assert!(list.contains(&format!("name=\"to\" value=\"{tick}\"")), "{list}");
    let other = format!("{}.1", fake::id(3));
    let fields = [("verb", "release"), ("to", tick.as_str()), ("to", other.as_str()), ("back", "/queue/list?held=1")];
    let preview = post(&fake, Who::User, "/queue/preview", &fields);
    assert!(preview.body.contains("the ticked ones") && preview.body.contains("Release: 2 recipients?"));
    let done = act(&fake, &fields);
    assert_eq!((done.header("Location"), done.told().as_str()), ("/queue/list?held=1", "2 recipients released."));
    let acts = fake.acts.lock().unwrap();
    let met: Vec<_> = acts.iter().map(|act| (act.filter.message, act.filter.index)).collect();
    assert_eq!(met, [(Some(fake::id(3)), Some(0)), (Some(fake::id(3)), Some(1))]);
    drop(acts);
    for (bad, words) in [("x", "none of ours"), ("0000000000001.x", "none of ours")] {
        let seen = act(&fake, &[("verb", "flush"), ("to", bad)]);
        assert!(seen.status == 400 && seen.body.contains(words), "{bad}");
    }
    let away = act(&fake, &[("verb", "flush"), ("to", &tick), ("back", "https://evil.example/")]);
    assert_eq!(away.header("Location"), "/queue/list", "nobody is led elsewhere");
    let many: Vec<(&str, &str)> = std::iter::repeat_n(("to", tick.as_str()), 101).chain([("verb", "flush")]).collect();
    assert_eq!(act(&fake, &many).status, 400);
}

#[test]
fn who_may_not_act_sees_no_button_and_is_refused() {
    let fake = Fake::busy();
    for path in ["/queue/preview", "/queue/act", "/queue/pause", "/queue/resume"] {
        let seen = post(&fake, Who::Viewer, path, &[("verb", "drop"), ("all", "1"), ("sure", "1")]);
        assert_eq!(seen.status, 403, "{path}");
    }
    assert!(fake.acts.lock().unwrap().is_empty());
    assert_eq!(get(&fake, Who::Viewer, "/queue").status, 403);
}

#[test]
fn a_destination_is_paused_with_a_reason_and_resumed() {
    let fake = Fake::busy();
    let preview = post(&fake, Who::User, "/queue/preview", &[("verb", "pause"), ("destination", "Docomo.example.")]);
    assert!(preview.status == 200 && preview.body.contains("docomo.example"), "{}", preview.body);
    check_document("pause", &preview.body);
    let fields = [("destination", "docomo.example"), ("for", "4h"), ("reason", "<b>their</b> night")];
    let done = post(&fake, Who::User, "/queue/pause", &fields);
    assert_eq!((done.header("Location"), done.told().as_str()), ("/queue", "docomo.example is paused: 4 hours."));
    let pause = fake.pauses.lock().unwrap().last().unwrap().clone();
    assert_eq!((pause.destination.as_str(), pause.operator.as_str()), ("docomo.example", "user@example.jp"));
    assert_eq!(pause.until, Some(fake::now().plus(std::time::Duration::from_secs(4 * 3600))));
    let queue = page(&fake, Who::User, "/queue");
    check_document("queue with a hostile reason", &queue);
    assert!(queue.contains("&lt;b&gt;their"));
    for (fields, words) in [
        (vec![("destination", "not a domain"), ("for", "1h")], "is no destination"),
        (vec![("destination", "a.example"), ("for", "5h")], "how long"),
        (vec![("destination", "a.example"), ("for", "1h"), ("reason", &"x".repeat(201))], "one line"),
    ] {
        let seen = post(&fake, Who::User, "/queue/pause", &fields);
        assert!(seen.status == 400 && seen.body.contains(words), "{words}: {}", seen.body);
    }
    let lifted = post(&fake, Who::User, "/queue/resume", &[("destination", "docomo.example")]);
    assert_eq!(lifted.told(), "Mail goes to docomo.example again.");
    let again = post(&fake, Who::User, "/queue/resume", &[("destination", "docomo.example")]);
    assert_eq!(again.told(), "docomo.example is not paused any more.");
}

#[test]
fn an_act_that_goes_on_by_itself_is_seen() {
    let mut fake = Fake::busy();
    let act =
        |verb| QueueAct { verb, filter: QueueFilter::default(), operator: "<i>x".into(), from: "192.0.2.7".into() };
    let view = |verb, done, state| ActView { act: act(verb), began: fake::now(), done, state };
    fake.running = vec![
        view(QueueVerb::Drop, 12_345, ActState::Runs),
        view(QueueVerb::Hold, 7, ActState::Broken("the disk is full".into())),
    ];
    let body = page(&fake, Who::User, "/queue");
    check_document("acts", &body);
    for text in ["12,345", ">runs<", ">broke off<", "the disk is full", "Whole queue", "&lt;i&gt;x"] {
        assert!(body.contains(text), "{text}: {body}");
    }
}
