//! Every page answers in under 100 ms, and a search shows what it found within 150 ms, on a relay that is full: with
//! HIKYAKU_LONG=1 ten million events, a million queued, a million suppressed and as many who left; else a fiftieth of it.
//!
//! The time is a client's on loopback, from the connection to the last octet: more than the server's alone. The first visit fills
//! caches and is told; of those after it the middle one counts. A page with more behind it is followed some pages on, and looked at
//! there, too. A file is looked at until its first octet. The bounds are for release builds; others may take ten times as much.
//! The process stays within its `memory_limit` all the while.

use std::time::Duration;

use crate::{
    fill::{self, Amount, Filled},
    sizes::{self, Ask, Kind},
    stores,
    support::{Client, Config, Relay, console, console::Browser, now, place, say},
};

/// Visits after the first.
const VISITS: usize = if cfg!(debug_assertions) { 3 } else { 5 };
/// Times the bound, after which a page is not visited again.
const HOPELESS: u32 = 20;
/// How many pages a page with more behind it is followed.
const LATER: usize = 3;
/// How long a page may take, and a search.
const PAGE: Duration = Duration::from_millis(100);
const SEARCH: Duration = Duration::from_millis(150);
/// How long an act that begins a work waits for its end: see `console/lists/import.rs`.
const PATIENCE: Duration = Duration::from_millis(700);
/// What memory may be used, as the config has it.
const MEMORY: u64 = 512 << 20;
/// Mails that the sandbox keeps.
const SANDBOXED: usize = 500;
/// The key of the API users.
const KEY: &str = "correct-horse-battery-staple";
/// Saved views of one person and owner links at most.
const VIEWS: usize = 50;
const LINKS: usize = 100;

fn bound(kind: Kind) -> Duration {
    let release = match kind {
        Kind::Page | Kind::File => PAGE,
        Kind::Search => SEARCH,
    };
    if cfg!(debug_assertions) { release * 10 } else { release }
}

/// What was measured, and what took too long.
#[derive(Default)]
struct Told {
    slow: Vec<String>,
}

impl Told {
    /// Measures something some times; the middle one of all but the first must be within the bound.
    #[track_caller]
    fn measure(&mut self, name: &str, bound: Duration, mut visit: impl FnMut() -> u16) {
        let mut times = Vec::new();
        let mut status = 0;
        for _ in 0..=VISITS {
            let start = now();
            status = visit();
            times.push(start.elapsed());
            // So slow a page is not waited for again and again.
            if times[0] > bound * HOPELESS {
                break;
            }
        }
        let first = times[0];
        if times.len() > 1 {
            times.remove(0);
        }
        times.sort();
        let (middle, last) = (times[times.len() / 2], times[times.len() - 1]);
        let mark = if middle > bound { "  SLOW" } else { "" };
        let times = format!("{middle:>9.1?} (first {first:.1?}, longest {last:.1?}, load {})", load());
        say(format_args!("{times}  {status}  {name}{mark}"));
        if middle > bound {
            self.slow.push(format!("{name}: {middle:.1?}"));
        }
    }
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn every_page_is_quick_at_size() {
    let amount = Amount::of_this_run();
    let mut relay = Relay::prepare(config());
    std::fs::create_dir_all(relay.data_dir()).unwrap();
    let start = now();
    let filled = fill::fill_or_copy(&relay, amount);
    say(format_args!("{amount:?}: filled in {:?}", start.elapsed()));
    let start = now();
    relay.restart();
    say(format_args!("started in {:?}", start.elapsed()));
    let mut browser = Browser::administrator(&relay);
    let owner = people(&relay, &mut browser);
    trouble(&relay);
    let (sandbox, sandboxed) = sandbox();
    let mut visitor = Browser::administrator(&sandbox);
    say(format_args!("resident {} MiB", relay.resident() >> 20));
    let mut told = Told::default();
    let names = [("owner", owner.as_str()), ("sandboxed", sandboxed.as_str())];
    let only = std::env::var("HIKYAKU_PAGE").ok();
    for ask in sizes::asks(&filled, &names) {
        if only.as_ref().is_some_and(|only| !ask.path.contains(only)) {
            continue;
        }
        let is_sandboxed = ask.path.starts_with("/sandbox");
        visit(&mut told, if is_sandboxed { &mut visitor } else { &mut browser }, &ask);
    }
    if only.is_none() {
        forms(&mut told, &mut browser, &filled);
    }
    let resident = relay.resident();
    say(format_args!("resident {} MiB after the visits", resident >> 20));
    assert!(told.slow.is_empty(), "too slow: {:#?}", told.slow);
    assert!(resident < MEMORY, "{} MiB are resident: memory_limit is {} MiB", resident >> 20, MEMORY >> 20);
}

/// One address, and what is some pages behind it.
fn visit(told: &mut Told, browser: &mut Browser, ask: &Ask) {
    let Ask { path, kind, guest } = ask;
    let mut nobody = Browser::new(browser.at());
    let who = if *guest { &mut nobody } else { browser };
    if *kind == Kind::File {
        return told.measure(path, bound(*kind), || who.first_octets(path));
    }
    let mut next = None;
    told.measure(path, bound(*kind), || {
        let answer = who.look(path);
        // What a guest is told may be that his link counts no more, and what there is nothing of is not found.
        let is_page = answer.status < if *guest || path.contains("nobody") { 500 } else { 400 };
        assert!(is_page, "{path}: {}", answer.status);
        next = more(&answer.body);
        answer.status
    });
    let mut later = None;
    for _ in 0..LATER {
        let Some(path) = next.take() else { break };
        next = more(&who.look(&path).body);
        later = Some(path);
    }
    if let Some(path) = later {
        told.measure(&path, bound(*kind), || who.look(&path).status);
    }
}

/// Where a page goes on.
fn more(page: &str) -> Option<String> {
    let (_, rest) = page.split_once("rel=\"next\" href=\"")?;
    Some(rest.split('"').next()?.replace("&amp;", "&"))
}

/// Forms whose answer is a page, or a work that looks at many rows.
fn forms(told: &mut Told, browser: &mut Browser, filled: &Filled) {
    let list = browser.get("/queue/list?destination=domain0.test");
    let ticks: Vec<String> = values(&list.body, "to");
    let mut fields: Vec<(&str, &str)> = ticks.iter().map(|tick| ("to", tick.as_str())).collect();
    assert!(!fields.is_empty(), "recipients can be ticked");
    fields.push(("verb", "drop"));
    told.measure("POST /queue/preview of 100 ticks", bound(Kind::Page), || {
        browser.send("/queue/preview", &fields).status
    });
    let list = browser.get("/suppression");
    let rows = values(&list.body, "row");
    let mut fields: Vec<(&str, &str)> = rows.iter().map(|row| ("row", row.as_str())).collect();
    assert!(!fields.is_empty(), "addresses can be ticked");
    fields.push(("verb", "lift"));
    told.measure("POST /suppression/act of a page", bound(Kind::Page), || {
        browser.send("/suppression/act", &fields).status
    });
    let list = browser.get("/unsubscribes");
    let rows = values(&list.body, "row");
    let fields: Vec<(&str, &str)> = rows.iter().map(|row| ("row", row.as_str())).collect();
    told.measure("POST /unsubscribes/act of a page", bound(Kind::Page), || {
        browser.send("/unsubscribes/act", &fields).status
    });
    let large = format!("/message/{}", filled.large);
    browser.get(&large);
    for (verb, index) in [("hold", "40"), ("release", "40")] {
        let name = format!("POST {large}/act {verb} one");
        told.measure(&name, bound(Kind::Page), || {
            browser.send(&format!("{large}/act"), &[("verb", verb), ("index", index)]).status
        });
    }
    let patient = PATIENCE + bound(Kind::Page);
    let count = format!("/suppression/incident/{}/count", filled.stores.released);
    told.measure(&format!("POST {count}"), patient, || browser.send(&count, &[]).status);
    let lines: String = (0..20_000).map(|n| format!("imported{n}@domain{}.test\n", n % 50)).collect();
    browser.get("/suppression/import");
    let file = format!("email\n{lines}");
    told.measure("POST /suppression/import of 20,000 lines", patient + bound(Kind::Page), || {
        browser.get("/suppression/import");
        browser.post_file("/suppression/import", "list.csv", &file).status
    });
    browser.get("/suppression/try");
    let mut work = String::new();
    told.measure("POST /suppression/try", patient, || {
        let answer = browser.send("/suppression/try", &[("unknown_user", "3")]);
        work = console::header(&answer, "location").unwrap_or_default();
        answer.status
    });
    // A work that reads the whole log is under way, or was: its page, and the front page beside it.
    for path in [work.as_str(), "/", "/queue", "/log/deliveries", "/suppression"] {
        told.measure(&format!("{path} beside the trial"), bound(Kind::Page), || browser.look(path).status);
    }
    let stop = format!("{}/stop", work.split('?').next().unwrap_or_default());
    browser.send(&stop, &[]);
}

/// Values of the ticks of this name.
fn values(page: &str, name: &str) -> Vec<String> {
    let sign = format!("name=\"{name}\" value=\"");
    page.split(&sign).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

fn config() -> Config {
    let clicks = std::net::SocketAddr::from((place::address(), 8030));
    let mut config = Config::smarthost(([127, 0, 0, 1], 1).into())
        .set("server.hostname", "\"mail.shop.test\"")
        .set("server.memory_limit", &format!("\"{}MiB\"", MEMORY >> 20))
        .set("queue.retry_schedule", "[\"20m\"]")
        .set("bounce.report_address", "\"reports@shop.test\"")
        .set("unsubscribe.address", &format!("\"{clicks}\""))
        .set("unsubscribe.public_url", &format!("\"http://{clicks}\""))
        .text("[[unsubscribe.filter]]\nname = \"News\"\nheader = \"List-Id\"\npattern = \"<news.shop.test>\"\n");
    for domain in stores::DOMAINS {
        config = config.text(&format!("[[domain]]\nname = \"{domain}\"\n"));
    }
    for hook in stores::HOOKS {
        let url = stores::hook_url(hook);
        config = config.text(&format!(
            "[[webhook]]\nname = \"{hook}\"\nurl = \"{url}\"\nevents = [\"queued\", \"succeeded\", \"deferred\", \"failed\", \"bounced\", \"blocked\"]\n"
        ));
    }
    config
}

/// API users, saved views and owner links, as many as there may be; answers the token of a link.
fn people(relay: &Relay, admin: &mut Browser) -> String {
    let key = relay.place.write("key", KEY);
    let key = key.to_str().unwrap();
    for user in fill::USERS.iter().filter(|user| !user.is_empty()) {
        relay.cli(&["user", "add", "--api", "--key-file", key, user]).expect_done();
    }
    relay.cli(&["user", "set", console::ADMIN, "--permissions", "view,download"]).expect_done();
    admin.get("/log/deliveries");
    for n in 0..VIEWS {
        let page = ["deliveries", "errors", "queue"][n % 3];
        let answer = admin.send(
            "/views/save",
            &[("page", page), ("name", &format!("view {n}")), ("query", "recipient=user7&status=failed")],
        );
        assert_eq!(answer.status, 303, "{}", answer.body);
    }
    admin.get("/owner-links");
    let mut token = String::new();
    for n in 0..LINKS {
        let made = admin.send("/owner-links/add", &[("user", "shop"), ("note", &format!("team {n}")), ("life", "90")]);
        let made = made.body.split("/owner/").nth(1).and_then(|rest| rest.split(['"', '<', ' ', '\n']).next());
        token = made.expect("a link is made").to_owned();
    }
    token
}

/// A mail that cannot leave: the smarthost is in trouble.
fn trouble(relay: &Relay) {
    Client::hello(relay.smtp())
        .send("order@shop.test", &["first@gmail.test"], b"Subject: waits\r\n\r\nx\r\n")
        .expect("250");
}

/// A relay whose sandbox holds as many mails as it keeps, and one of them.
fn sandbox() -> (Relay, String) {
    let relay = Relay::start(Config::sandbox());
    let words = "a line of words, as mails have them\r\n".repeat(300);
    let mut client = Client::hello(relay.smtp());
    let mut id = String::new();
    for n in 0..=SANDBOXED {
        let content = format!(
            "From: <order@shop.test>\r\nTo: anyone@gmail.test\r\nSubject: mail {n}\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>{words}</p>\r\n\
             --b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\r\n{words}\r\n--b--\r\n"
        );
        id = client.send("order@shop.test", &["anyone@gmail.test"], content.as_bytes()).expect("250").queue_id();
    }
    relay.wait_event("succeeded", "anyone@gmail.test");
    (relay, id)
}
