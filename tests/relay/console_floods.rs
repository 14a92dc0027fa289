//! The console and the operator answer whatever strangers, slow readers and a silent DNS do.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use hikyaku::clock::Clock;

use crate::support::{Browser, Client, Config, Dns, Relay, client::letter};

/// Longer than any of it takes on a machine that is busy with other tests, and shorter than what it took once: 30 s and more.
const AT_ONCE: Duration = Duration::from_secs(8);

/// The probes, a page, and the operator's command line.
#[track_caller]
fn answers_at_once(relay: &Relay) {
    let (clock, began) = (Clock::system(), Clock::system().instant());
    for path in ["/livez", "/readyz", "/sign-in"] {
        assert_eq!(relay.get(path).map(|answer| answer.status), Some(200), "{path}");
    }
    relay.cli(&["status"]).expect_done();
    assert!(clock.instant() - began < AT_ONCE, "{:?}", clock.instant() - began);
}

fn head(relay: &Relay, first_line: &str, more: &str) -> Vec<u8> {
    format!("{first_line} HTTP/1.1\r\nHost: {}\r\n{more}\r\n", relay.http()).into_bytes()
}

#[test]
fn readers_that_take_a_mail_slowly_keep_nobody_waiting() {
    let relay = Relay::start(Config::sandbox());
    let line = "x".repeat(76) + "\r\n";
    let mail = letter("a large one", &line.repeat(18 * 1024 * 1024 / line.len()));
    let mut client = Client::hello(relay.smtp());
    let id = client.send("sender@src.test", &["anyone@example.test"], mail.as_bytes()).expect("250").queue_id();
    relay.wait_event("succeeded", "anyone@example.test");
    let browser = Browser::downloader(&relay);
    let cookie = format!("Cookie: hikyaku={}\r\n", browser.cookie("hikyaku"));
    let slow: Vec<TcpStream> = (0..10)
        .map(|_| {
            let mut stream = TcpStream::connect(relay.http()).expect("the console listens");
            stream.write_all(&head(&relay, &format!("GET /sandbox/{id}/mail.eml"), &cookie)).expect("written");
            stream
        })
        .collect();
    // Each has begun, or was told that it may not.
    let mut told = 0;
    for mut stream in &slow {
        let mut first = [0; 4096];
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
        let n = stream.read(&mut first).expect("an answer");
        let text = String::from_utf8_lossy(&first[..n]).to_lowercase();
        assert!(
            text.starts_with("http/1.1 200 ")
                || (text.starts_with("http/1.1 503 ") && text.contains("retry-after: 30")),
            "{text}"
        );
        told += usize::from(text.starts_with("http/1.1 503 "));
    }
    assert_eq!(told, 6, "an account has four at once");
    answers_at_once(&relay);
}

#[test]
fn heads_that_announce_large_bodies_keep_nobody_from_signing_in() {
    let relay = Relay::start(Config::sandbox());
    let held: Vec<TcpStream> = (0..30)
        .map(|n| {
            let path = ["/api/v2/emails/send.json", "/x/emails/y", "/dmarc/import", "/suppression/import"][n % 4];
            let mut stream = TcpStream::connect(relay.http()).expect("the console listens");
            let length = 26_214_400 - n;
            stream
                .write_all(&head(&relay, &format!("POST {path}"), &format!("Content-Length: {length}\r\n")))
                .expect("written");
            stream
        })
        .collect();
    // Adds a user by the control socket, and signs it in.
    let browser = Browser::administrator(&relay);
    assert!(!browser.cookie("hikyaku").is_empty());
    answers_at_once(&relay);
    drop(held);
}

#[test]
fn the_page_of_a_mail_does_not_wait_for_a_silent_dns() {
    let dns = Dns::start().silent("unanswered.test");
    let relay = Relay::start(Config::internet(dns.address(), 2525));
    let id = relay.submit("app@src.test", &["taro@unanswered.test"], "where is it");
    let mut browser = Browser::administrator(&relay);
    let (clock, began) = (Clock::system(), Clock::system().instant());
    let page = browser.get(&format!("/message/{id}"));
    assert!(clock.instant() - began < Duration::from_secs(4), "{:?}", clock.instant() - began);
    assert!(page.status == 200 && page.body.contains("not known now"), "{}", page.body);
}
