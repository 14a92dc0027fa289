//! The console's lists against the real binary: what a person sees, tries, takes over and lifts is what mail then meets.

use crate::support::{Act, Client, Config, Relay, Sink, Step, client::letter, console::Browser, until};

/// Rows of the file: with their words more than an ordinary form may send.
const ROWS: usize = 3_000;

fn send(relay: &Relay, to: &str) {
    Client::hello(relay.smtp()).send("app@src.test", &[to], letter("to one", "hello\r\n").as_bytes()).expect("250");
}

/// Loads a page of a work until it has ended.
fn ended(browser: &mut Browser, page: &str) -> String {
    let id = page.split("/suppression/work/").nth(1).and_then(|rest| rest.split(['"', '?', '/']).next());
    match id.filter(|_| page.contains("data-refresh")) {
        None => page.to_owned(),
        Some(id) => {
            let path = format!("/suppression/work/{id}");
            until("the work's end", || Some(browser.get(&path).body).filter(|body| !body.contains("data-refresh")))
        }
    }
}

#[test]
fn a_person_looks_up_tries_conditions_imports_and_lifts() {
    let sink = Sink::scripted(|m| match m.step {
        Step::Rcpt if m.line.contains("gone@") => Act::reply("550 5.1.1 No such user here"),
        _ => Act::Normal,
    });
    let relay = Relay::start(Config::smarthost(sink.address()));
    send(&relay, "gone@dst.test");
    relay.wait_event("failed", "gone@dst.test");
    let mut browser = Browser::administrator(&relay);
    until("gone@ on the list", || browser.get("/suppression").body.contains("gone@dst.test").then_some(()));
    send(&relay, "gone@dst.test");
    relay.wait_events("failed", "gone@dst.test", 2);

    // The address, by its whole name, and why.
    let found = browser.get("/suppression?key=GONE@dst.test").body;
    assert!(found.contains("is on the list") && found.contains("1 address"), "{found}");
    let address = browser.get("/suppression/address?address=gone@dst.test").body;
    assert!(address.contains("Mail to this address is not sent.") && address.contains("5.1.1 No such user here"));

    // A milder condition would have spared it, and sent the second mail; nothing changes.
    let form = browser.get("/suppression/try").body;
    assert!(form.contains("name=\"unknown_user\""), "{form}");
    let page = browser.post("/suppression/try", &[("unknown_user", "2")]).body;
    let tried = ended(&mut browser, &page);
    for text in ["Are on it and would not be", "Blocked mails sent", "unknown_user = 2", "<svg "] {
        assert!(tried.contains(text), "{text}: {tried}");
    }
    assert!(relay.cli(&["suppress", "list", "--json"]).stdout.contains("gone@dst.test"));

    // A file larger than other forms: looked at, then taken over; mail to it is blocked.
    let words = "x".repeat(400);
    let mut file = "email,since,cause,status,reason\n".to_owned();
    (0..ROWS).for_each(|n| file.push_str(&format!("u{n}@import.test,,errors,2,{words}\n")));
    assert!(file.len() > 1 << 20);
    browser.get("/suppression/import");
    let page = browser.post_file("/suppression/import", "list.csv", &file).body;
    let looked = ended(&mut browser, &page);
    assert!(looked.contains("Take 3,000 over") && looked.contains("list.csv"), "{looked}");
    assert!(!relay.cli(&["suppress", "list", "u7@import.test", "--json"]).stdout.contains("u7@"));
    let work = browser.field("work");
    let page = browser.post("/suppression/import/go", &[("work", &work)]).body;
    let done = ended(&mut browser, &page);
    assert!(done.contains("came onto the list"), "{done}");
    send(&relay, "u7@import.test");
    let blocked = relay.wait_event("failed", "u7@import.test");
    assert_eq!(blocked.text("error_code"), "10");

    // Ticked, shown, lifted: it is written to.
    browser.get("/suppression?key=u7@import.test");
    let row = browser.field("row");
    let shown = browser.post("/suppression/act", &[("row", &row), ("verb", "lift")]).body;
    assert!(shown.contains("Lift 1 address?") && shown.contains("u7@import.test"), "{shown}");
    let lifted = browser.post("/suppression/act", &[("row", &row), ("verb", "lift"), ("sure", "1")]).body;
    assert!(lifted.contains("1 address is lifted"), "{lifted}");
    send(&relay, "u7@import.test");
    relay.wait_event("succeeded", "u7@import.test");

    // Who left a list, and the whole list as a file.
    browser.get("/unsubscribes/add");
    let left = browser.post("/unsubscribes/add", &[("addresses", "a@dst.test\nb@dst.test"), ("list", "News")]).body;
    assert!(left.contains("2 addresses get no mail of this list any more.") && left.contains("b@dst.test"), "{left}");
    assert!(relay.cli(&["unsubscribe", "list"]).stdout.contains("a@dst.test"));
    let acts = relay.cli(&["log", "audit", "--json"]).stdout;
    for text in ["suppress.import", "suppress.lift", "unsubscribe.add", "admin@console.test"] {
        assert!(acts.contains(text), "{text}: {acts}");
    }
}
