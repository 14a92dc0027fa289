//! The endpoint's promises: only a POST acts, only links are served, and what failed says so.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use super::*;
use crate::{
    http::exchange::{Body, Door, Peer},
    runtime::Runtime,
    smtp::address::Mailbox,
    unsubscribe::{links::fake::OneKey, row::How},
};

/// Remembers who left, or fails.
struct Fake {
    links: Links,
    left: Mutex<Vec<(String, How)>>,
    broken: bool,
    before: &'static str,
}

impl Fake {
    fn new() -> Self {
        let links = Links::new(InForce::new(Config::default()), Arc::new(OneKey));
        Fake { links, left: Mutex::default(), broken: false, before: "" }
    }

    fn token(&self) -> String {
        self.links.token(&Mailbox::parse("taro@example.jp").unwrap(), "Newsletter <A>").unwrap()
    }

    fn left(&self) -> Vec<(String, How)> {
        self.left.lock().unwrap().clone()
    }

    fn ask(&self, method: Method, target: &str, language: &str, body: &str) -> (u16, String, String) {
        let mut request = Request::of_target(method, target, Door::Public, Peer::User(0)).unwrap();
        (request.accept_language, request.body) = (language.to_owned(), body.as_bytes().to_vec());
        let response = route(self, &request);
        let headers: Vec<String> =
            response.headers_for_browsers().iter().chain(&response.headers).map(|(n, v)| format!("{n}: {v}")).collect();
        let Body::Bytes(bytes) = response.body else { panic!("a stream") };
        (response.status, headers.join("\n"), String::from_utf8(bytes).unwrap())
    }
}

impl Leave for Fake {
    fn open(&self, token: &str) -> Option<Leaving> {
        self.links.open(token)
    }

    fn has_left(&self, leaving: &Leaving) -> Result<bool, StoreError> {
        if self.broken {
            return Err(StoreError::Closed);
        }
        Ok(self.left().iter().any(|(who, _)| who == leaving.address.as_str()))
    }

    fn leave(&self, leaving: &Leaving, how: How) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::Closed);
        }
        self.left.lock().unwrap().push((leaving.address.as_str().to_owned(), how));
        Ok(())
    }

    fn is_daily(&self) -> bool {
        false
    }

    fn path_before(&self) -> String {
        self.before.to_owned()
    }
}

#[test]
fn a_get_shows_one_button_and_changes_nothing() {
    let fake = Fake::new();
    let target = format!("/u/{}", fake.token());
    for method in [Method::Get, Method::Head] {
        let (status, headers, page) = fake.ask(method, &target, "", "List-Unsubscribe=One-Click");
        assert_eq!((status, page.matches("<button").count()), (200, 1));
        assert!(page.contains("t•••@example.jp") && !page.contains("taro@"), "{page}");
        assert!(page.contains("Newsletter &lt;A&gt;") && !page.contains("<script") && !page.contains("src="));
        for wanted in ["Cache-Control: no-store", "Referrer-Policy: no-referrer", "default-src 'none'", "noindex"] {
            assert!(headers.contains(wanted), "{headers}");
        }
        assert!(headers.contains("style-src 'sha256-") && !headers.contains("unsafe"), "{headers}");
    }
    assert_eq!(fake.left(), []);
}

#[test]
fn a_post_of_a_mail_program_or_of_the_button_leaves() {
    let multipart =
        "--xYz\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--xYz--\r\n";
    for (body, how, says) in [
        ("List-Unsubscribe=One-Click", How::Link, "You are unsubscribed."),
        ("List-Unsubscribe=One-Click\r\n", How::Link, "You are unsubscribed."),
        ("List%2DUnsubscribe=One%2dClick", How::Link, "You are unsubscribed."),
        ("list-unsubscribe=one-click&x=y", How::Link, "You are unsubscribed."),
        (multipart, How::Link, "You are unsubscribed."),
        (&multipart.replace("\r\n", "\n"), How::Link, "You are unsubscribed."),
        ("leave=yes", How::Form, "<h1>You are unsubscribed</h1>"),
    ] {
        let fake = Fake::new();
        let target = format!("/u/{}", fake.token());
        for _ in 0..2 {
            let (status, _, page) = fake.ask(Method::Post, &target, "", body);
            assert_eq!(status, 200, "{body}");
            assert!(page.contains(says), "{page}");
        }
        assert_eq!(fake.left()[0], ("taro@example.jp".to_owned(), how), "{body}");
        let (status, _, page) = fake.ask(Method::Get, &target, "", "");
        assert!(status == 200 && page.contains("You are unsubscribed") && !page.contains("<button"), "{page}");
    }
    for body in [
        "",
        "x",
        "List-Unsubscribe",
        "List-Unsubscribe=No",
        "leave=no",
        "One-Click",
        "--\r\n\r\n",
        "--a\r\nname=\"x\"\r\n\r\nOne-Click\r\n--a--",
    ] {
        let fake = Fake::new();
        let (status, _, page) = fake.ask(Method::Post, &format!("/u/{}", fake.token()), "", body);
        assert!(status == 400 && page.contains("<button"), "{body}");
        assert_eq!(fake.left(), [], "{body}");
    }
}

#[test]
fn nothing_but_links_is_served() {
    let mut fake = Fake::new();
    let token = fake.token();
    let forged = format!("{}A", &token[..token.len() - 1]);
    let cut = &token[..token.len() / 2];
    for path in [
        "/",
        "/metrics",
        "/livez",
        "/readyz",
        "/status.json",
        "/transaction",
        "/control/queue",
        "/style.css",
        "/u",
        "/U/x",
        "/api/v2/emails/send.json",
        &format!("/{token}"),
        &format!("/mail/u/{token}"),
    ] {
        for method in [Method::Get, Method::Post] {
            let (status, _, page) = fake.ask(method, path, "", "List-Unsubscribe=One-Click");
            assert!(status == 404 && page.contains("There is nothing here"), "{path}");
        }
    }
    for token in [forged.as_str(), cut, "", "x/y", "..", &"A".repeat(5_000), &format!("{token}/")] {
        for method in [Method::Get, Method::Post, Method::Other] {
            let (status, _, page) = fake.ask(method, &format!("/u/{token}"), "", "List-Unsubscribe=One-Click");
            assert!(status == 404 && page.contains("This link does not work"), "{token}: {page}");
        }
    }
    assert_eq!(fake.ask(Method::Other, &format!("/u/{token}"), "", "").0, 405);
    assert_eq!(fake.left(), []);
    fake.before = "/mail";
    for path in [format!("/mail/u/{token}"), format!("/u/{token}")] {
        assert_eq!(fake.ask(Method::Get, &path, "", "").0, 200, "a proxy keeps the path before ours, or not");
    }
}

#[test]
fn the_pages_speak_both_languages() {
    let fake = Fake::new();
    let target = format!("/u/{}", fake.token());
    for (target, language, expected) in [
        (target.clone(), "", "Unsubscribe from this list?"),
        (target.clone(), "ja,en;q=0.5", "このリストの配信を停止しますか"),
        (target.clone(), "de", "Unsubscribe from this list?"),
        (format!("{target}?lang=ja"), "en", "このリストの配信を停止しますか"),
        (format!("{target}?lang=en"), "ja", "Unsubscribe from this list?"),
        ("/u/x".into(), "ja", "このリンクは使えません"),
        ("/".into(), "ja", "ページが見つかりません"),
    ] {
        let (_, _, page) = fake.ask(Method::Get, &target, language, "");
        assert!(page.contains(expected), "{target} {language}: {page}");
    }
    assert!(fake.ask(Method::Post, &target, "ja", "leave=yes").2.contains("配信を停止しました"));
}

#[test]
fn a_disk_that_fails_is_no_success() {
    let fake = Fake { broken: true, ..Fake::new() };
    let target = format!("/u/{}", fake.token());
    for (method, body) in [(Method::Get, ""), (Method::Post, "List-Unsubscribe=One-Click"), (Method::Post, "leave=yes")]
    {
        let (status, headers, page) = fake.ask(method, &target, "", body);
        assert!(status == 503 && headers.contains("Retry-After: 60") && page.contains("try again"), "{page}");
    }
}

static RIGS: AtomicU32 = AtomicU32::new(0);

/// The endpoint on a socket.
struct Rig {
    dir: PathBuf,
    address: SocketAddr,
    fake: Arc<Fake>,
    shutdown: Shutdown,
    _endpoint: OneClick,
}

impl Rig {
    fn new() -> Self {
        let n = RIGS.fetch_add(1, Ordering::SeqCst);
        let dir = std::env::temp_dir().join(format!("hikyaku-one-click-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (fake, shutdown) = (Arc::new(Fake::new()), Shutdown::new());
        let parts = Parts {
            metrics: Arc::default(),
            clock: Clock::system(),
            runtime: Runtime::start(1).unwrap(),
            shutdown: shutdown.clone(),
        };
        let mut config = Config::default();
        config.unsubscribe.public_url = "https://mail.example.jp".into();
        let endpoint = OneClick::start(parts, fake.clone(), names(&config), listener, None, &dir).unwrap();
        Rig { dir, address, fake, shutdown, _endpoint: endpoint }
    }

    fn say(&self, octets: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let _ = stream.write_all(octets.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn post(&self, target: &str, host: &str, body: &str) -> String {
        self.say(&format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.shutdown.cut();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn over_the_wire_links_work_and_what_is_too_large_or_misdirected_does_not() {
    let rig = Rig::new();
    let target = format!("/u/{}", rig.fake.token());
    let click = "List-Unsubscribe=One-Click";
    assert!(rig.post(&target, "mail.example.jp", &"x".repeat(4_097)).starts_with("HTTP/1.1 413 "));
    assert!(rig.post("/api/v2/emails/send.json", "mail.example.jp", &"x".repeat(4_097)).starts_with("HTTP/1.1 413 "));
    assert!(rig.post(&target, "evil.example", click).starts_with("HTTP/1.1 421 "));
    assert_eq!(rig.fake.left(), []);
    let head = rig.say(&format!("HEAD {target} HTTP/1.1\r\nHost: mail.example.jp\r\nConnection: close\r\n\r\n"));
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    let answer = rig.post(&target, "mail.example.jp", click);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("You are unsubscribed.\n"), "{answer}");
    assert_eq!(rig.fake.left().len(), 1);
    assert!(
        rig.say("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 404 ")
    );
}

/// Serves links for `LOOK_SECONDS` and writes their path to the file `LOOK_FILE`.
#[test]
#[ignore = "for looking at the pages with a browser"]
fn look() {
    let rig = Rig::new();
    let file = std::env::var("LOOK_FILE").unwrap_or_else(|_| "/tmp/hikyaku-look".into());
    std::fs::write(file, format!("http://{}/u/{}", rig.address, rig.fake.token())).unwrap();
    let seconds = std::env::var("LOOK_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    std::thread::sleep(Duration::from_secs(seconds));
}
