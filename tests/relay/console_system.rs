//! Users, webhooks, settings and the sandbox in the browser, against the real daemon: what is done there is in force at once.

use std::{thread, time::Duration};

use rustix::process::Signal;

use crate::support::{Browser, Client, Config, HttpSink, Relay, Sink, client::letter, console::header, until};

/// The key or password that a page shows once.
#[track_caller]
fn shown_once(page: &str) -> String {
    let record = page.split_once("class=\"record\"").and_then(|(_, rest)| rest.split_once('>'));
    let key = record.and_then(|(_, rest)| rest.split_once('<')).map(|(key, _)| key.to_owned());
    key.unwrap_or_else(|| panic!("no key on {page}"))
}

/// Logs in by SMTP; the first letter of the answer.
fn login(relay: &Relay, user: &str, key: &str) -> String {
    let mut client = Client::hello(relay.smtp());
    client.auth_plain(user, key).text()[..3].to_owned()
}

#[test]
fn a_program_that_is_added_in_the_browser_sends_at_once_and_is_refused_once_it_is_stopped() {
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()));
    let mut browser = Browser::administrator(&relay);
    browser.get("/users/add?kind=api");
    let fields = [("kind", "api"), ("name", "shop"), ("role", "user"), ("smtp", "on"), ("senders", "src.test")];
    let answer = browser.post("/users/add", &fields);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(header(&answer, "cache-control").as_deref(), Some("no-store"));
    let key = shown_once(&answer.body);
    assert_eq!(login(&relay, "shop", &key), "235");
    let mut client = Client::hello(relay.smtp());
    client.auth_plain("shop", &key).expect("235");
    client.send("app@src.test", &["taro@dst.test"], letter("by the browser's key", "x\r\n").as_bytes()).expect("250");
    relay.wait_event("succeeded", "taro@dst.test");

    browser.get("/users/user?name=shop");
    assert!(!browser.page.contains(&key), "it is shown once");
    let another = shown_once(&browser.post("/users/key", &[("name", "shop")]).body);
    assert_eq!([login(&relay, "shop", &key), login(&relay, "shop", &another)], ["535", "235"]);
    browser.get("/users/user?name=shop");
    let stopped = browser.post("/users/stop", &[("name", "shop")]);
    assert!(stopped.body.contains("is refused from now on"), "{}", stopped.body);
    assert_eq!(login(&relay, "shop", &another), "535");

    // Without the form's token nothing is done, whoever asks.
    assert_eq!(browser.send_bare("/users/remove", &[("name", "shop"), ("again", "shop")]).status, 403);
    assert!(relay.cli(&["user", "show", "shop"]).code == 0);
    let log = relay.cli(&["log", "audit", "--json"]).expect_done().stdout;
    for act in ["user.add", "user.password", "user.set"] {
        let line = log.lines().find(|line| line.contains(&format!("\"{act}\"")) && line.contains("\"shop\""));
        assert!(line.is_some_and(|line| line.contains("admin@console.test") && line.contains("127.")), "{act}: {log}");
    }
    assert!(!log.contains(&key) && !log.contains(&another) && !relay.log().contains(&another));
}

#[test]
fn a_webhook_is_tried_stopped_and_goes_on_by_the_browser() {
    let (mail, sink) = (Sink::willing(), HttpSink::willing());
    let hook = format!("[[webhook]]\nname = \"crm\"\nurl = \"{}\"\ninterval = \"50ms\"\n", sink.url("/in?token=hush"));
    let relay = Relay::start(Config::smarthost(mail.address()).text(&hook));
    let mut browser = Browser::administrator(&relay);
    browser.get("/webhooks");
    assert!(browser.page.contains(">works<") && !browser.page.contains("hush"), "{}", browser.page);
    let tried = browser.post("/webhooks/test", &[("name", "crm")]);
    assert!(tried.body.contains("The test event was taken: 200"), "{}", tried.body);
    let posted = sink.posts().len();
    assert_eq!(posted, 1);

    let paused = browser.post("/webhooks/pause", &[("name", "crm")]);
    assert!(paused.body.contains("Paused since") && paused.body.contains("admin@console.test"), "{}", paused.body);
    relay.submit("app@src.test", &["taro@dst.test"], "while it is stopped");
    relay.wait_event("succeeded", "taro@dst.test");
    thread::sleep(Duration::from_millis(400));
    assert_eq!(sink.posts().len(), posted, "nothing is posted while it is stopped");
    browser.post("/webhooks/resume", &[("name", "crm")]);
    sink.wait_rows("both events", "deliveries", |rows| {
        rows.iter().filter(|row| row["to"] == "taro@dst.test").count() == 2
    });

    let page = until("the history", || {
        Some(browser.get("/webhooks/history?name=crm")).filter(|page| page.body.contains("/webhooks/replay-post"))
    });
    assert!(page.body.contains(">200<"), "{}", page.body);
    let id = browser.field("post");
    let again = browser.post("/webhooks/replay-post", &[("name", "crm"), ("post", &id)]);
    assert!(again.body.contains("is posted again"), "{}", again.body);
    until("it comes again", || {
        let times = sink.posts().iter().filter(|post| post.field("webhook-id") == id).count();
        (times >= 2).then_some(()).or_else(|| {
            thread::sleep(Duration::from_millis(50));
            None
        })
    });
    browser.get("/webhooks/replay?name=crm&from=2020-01-01T00:00");
    assert!(browser.page.contains("about 2 events"), "{}", browser.page);
}

#[test]
fn settings_tell_the_lines_of_the_file_before_and_after_a_reload() {
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()));
    let mut browser = Browser::administrator(&relay);
    let row = |page: &str, key: &str| -> String {
        let from = page.find(&format!(">{key}</td>")).unwrap_or_else(|| panic!("no {key}: {page}"));
        page[from..from + page[from..].find("</tr>").expect("its end")].to_owned()
    };
    let line_of = |text: &str, key: &str| text.lines().position(|line| line.starts_with(key)).map_or(0, |n| n + 1);
    let file = relay.config_path();
    let text = std::fs::read_to_string(&file).expect("the config");
    let line = line_of(&text, "data_dir");
    let told = row(&browser.get("/settings?q=server.data_dir").body, "data_dir");
    assert!(line > 0 && told.contains(&format!("line {line} ")), "{told}");
    assert!(browser.get("/settings").body.contains("It says what is in force."));

    let more = format!("# a line before all others\n{text}\n[retention]\naudit_log = \"30d\"\n");
    std::fs::write(&file, &more).expect("the config");
    assert!(browser.get("/settings").body.contains("It was edited since it was read"));
    assert!(row(&browser.get("/settings?q=retention.audit_log").body, "audit_log").contains(">default<"));
    relay.signal(Signal::HUP);
    until("the reload", || {
        Some(browser.get("/settings?q=retention.audit_log")).filter(|page| page.body.contains("30d")).or_else(|| {
            thread::sleep(Duration::from_millis(50));
            None
        })
    });
    let line = line_of(&more, "audit_log");
    assert!(row(&browser.page, "audit_log").contains(&format!("line {line} ")), "{}", browser.page);

    let waiting = more.replacen("[server]", "[server]\nthreads = 3", 1);
    std::fs::write(&file, &waiting).expect("the config");
    relay.signal(Signal::HUP);
    let page = until("what waits", || {
        Some(browser.get("/settings")).filter(|page| page.body.contains("next start")).or_else(|| {
            thread::sleep(Duration::from_millis(50));
            None
        })
    });
    assert!(page.body.contains("server.threads") && page.body.contains("after a restart"), "{}", page.body);
}

#[test]
fn html_of_a_mail_is_served_so_that_it_can_do_nothing() {
    let relay = Relay::start(Config::sandbox());
    let mut client = Client::hello(relay.smtp());
    let mail = "Subject: x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Hello</p><script>alert(1)</script>\r\n";
    let id = client.send("sender@src.test", &["anyone@example.test"], mail.as_bytes()).expect("250").queue_id();
    relay.wait_event("succeeded", "anyone@example.test");
    let mut browser = Browser::administrator(&relay);
    let page = browser.get(&format!("/sandbox/{id}"));
    assert!(
        page.body.contains(&format!("src=\"/sandbox/{id}/frame\"")) && !page.body.contains("alert(1)"),
        "{}",
        page.body
    );
    assert!(header(&page, "content-security-policy").is_some_and(|policy| policy.contains("frame-src 'self'")));
    let frame = browser.look(&format!("/sandbox/{id}/frame"));
    assert!(frame.status == 200 && frame.body.contains("<script>alert(1)"), "it is as hostile as it came");
    let policy = header(&frame, "content-security-policy").expect("a policy");
    assert!(policy.starts_with("sandbox;") && policy.contains("default-src 'none'"), "{policy}");
    assert_eq!(header(&frame, "x-frame-options").as_deref(), Some("SAMEORIGIN"));
    let stranger = Browser::new(relay.http()).look(&format!("/sandbox/{id}/frame"));
    assert_eq!(stranger.status, 303, "nobody reads it without signing in");
}
