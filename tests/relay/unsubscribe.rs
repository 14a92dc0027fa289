//! Mail of a list can be left with one click (RFC 8058): each recipient has a link of his own, only a POST to it acts, and who left
//! gets no more mail of that list.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use crate::support::{
    Client, Config, Place, Relay, Sink,
    daemon::{self, Answer},
    place,
    sink::Received,
    tls::{Authority, client_of},
    wire::Wire,
};

const CLICK: &str = "List-Unsubscribe=One-Click";
const FILTERS: &str = "[[unsubscribe.filter]]\nname = \"News\"\nheader = \"List-Id\"\npattern = \"<news.src.test>\"\n\
                       [[unsubscribe.filter]]\nname = \"offers\"\nheader = \"subject\"\npattern = '/^【特価】/'\n";

/// A daemon with two lists, whose links lead to the first value.
fn start(sink: &Sink) -> (SocketAddr, Relay) {
    let endpoint: SocketAddr = (place::address(), 8030).into();
    let config = Config::smarthost(sink.address())
        .set("unsubscribe.address", &format!("\"{endpoint}\""))
        .set("unsubscribe.public_url", &format!("\"http://{endpoint}\""))
        .text(FILTERS);
    (endpoint, Relay::start(config))
}

/// A mail with these lines in its header.
fn mail(id: &str, lines: &str) -> String {
    format!(
        "From: Sender <sender@src.test>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0900\r\nMessage-ID: <{id}@src.test>\r\n{lines}\r\n\
         Good morning.\r\n"
    )
}

#[track_caller]
fn send(relay: &Relay, to: &[&str], id: &str, lines: &str) {
    Client::hello(relay.smtp()).send("app@src.test", to, mail(id, lines).as_bytes()).expect("250");
}

/// The path of a mail's link, which is on `endpoint`.
#[track_caller]
fn link(mail: &Received, endpoint: SocketAddr) -> String {
    let text = mail.text();
    let (_, rest) = text.split_once("List-Unsubscribe:\r\n <http://").unwrap_or_else(|| panic!("no link in {text}"));
    let (url, rest) = rest.split_once(">\r\n").expect("the brackets close");
    assert!(rest.starts_with("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"), "{text}");
    url.strip_prefix(&endpoint.to_string()).expect("the link leads to the endpoint").to_owned()
}

#[track_caller]
fn post(to: SocketAddr, path: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(to).expect("the endpoint listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {to}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
    Answer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head: head.to_owned(), body: body.to_owned() }
}

#[test]
fn a_click_takes_one_recipient_off_one_list_for_good() {
    let sink = Sink::willing();
    let (endpoint, mut relay) = start(&sink);
    let list = "List-Id: <NEWS.src.test>\r\nSubject: one\r\n";
    send(&relay, &["taro@dst.test", "hanako@dst.test"], "first", list);
    let (taro, hanako) = (sink.wait_for_recipient("taro@dst.test"), sink.wait_for_recipient("hanako@dst.test"));
    let (link_taro, link_hanako) = (link(&taro, endpoint), link(&hanako, endpoint));
    assert_ne!(link_taro, link_hanako, "each recipient has his own");
    for copy in [&taro, &hanako] {
        assert_eq!(copy.recipients.len(), 1, "one recipient a transaction");
        let text = copy.text();
        assert!(text.starts_with("List-Unsubscribe:"), "on top: {text}");
        // Below stands what came, after our Received.
        assert!(text.ends_with(&mail("first", list)), "{text}");
        assert!(!link_taro.contains("taro") && !link_hanako.contains("hanako"));
    }

    // Scanners of mail follow links, and nothing happens.
    for _ in 0..2 {
        let page = daemon::get(endpoint, &link_taro).expect("a page");
        assert!(page.status == 200 && page.body.contains("t•••@dst.test") && page.body.contains("News"), "{page:?}");
    }
    send(&relay, &["taro@dst.test"], "second", list);
    relay.wait_events("succeeded", "taro@dst.test", 2);

    assert_eq!(post(endpoint, &link_taro, "").status, 400, "a POST that asks for nothing");
    for _ in 0..2 {
        let answer = post(endpoint, &link_taro, CLICK);
        assert_eq!((answer.status, answer.body.as_str()), (200, "You are unsubscribed.\n"));
    }
    // What was answered 200 outlives a hard stop.
    relay.kill();
    relay.restart();
    send(&relay, &["Taro@dst.test", "hanako@dst.test"], "third", list);
    let failed = relay.wait_event("failed", "Taro@dst.test");
    assert_eq!(failed.text("error_code"), "11", "{failed:?}");
    assert!(failed.reply().contains("unsubscribed from \"News\""), "{failed:?}");
    relay.wait_events("succeeded", "hanako@dst.test", 2);

    // Other lists, and mail of no list, still go.
    send(&relay, &["taro@dst.test"], "fourth", "Subject: =?UTF-8?B?44CQ54m55L6h44CR5aSP?=\r\n");
    send(&relay, &["taro@dst.test"], "fifth", "Subject: invoice\r\n");
    relay.wait_events("succeeded", "taro@dst.test", 4);
    let of = |id: &str| sink.received().into_iter().find(|m| m.text().contains(&format!("<{id}@src.test>"))).unwrap();
    assert_ne!(link(&of("fourth"), endpoint), link_taro);
    assert!(!of("fifth").text().contains("Unsubscribe"), "mail of no list is left alone");
    assert!(!sink.received().iter().any(|m| m.text().contains("<third@") && m.recipients == ["Taro@dst.test"]));

    // A link goes on working after a restart, with keys that are on disk; the button's form is as good as the click.
    let answer = post(endpoint, &link_hanako, "leave=yes");
    assert!(answer.status == 200 && answer.body.contains("You are unsubscribed"), "{answer:?}");
    send(&relay, &["hanako@dst.test"], "sixth", list);
    assert_eq!(relay.wait_event("failed", "hanako@dst.test").text("error_code"), "11");
}

#[test]
fn forged_links_and_everything_else_are_not_found() {
    let sink = Sink::willing();
    let (endpoint, relay) = start(&sink);
    send(&relay, &["taro@dst.test"], "first", "List-Id: <news.src.test>\r\n");
    let good = link(&sink.wait_for_recipient("taro@dst.test"), endpoint);
    let mut forged = good.clone().into_bytes();
    let middle = forged.len() / 2;
    forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    for path in [
        &forged,
        &good[..good.len() - 1],
        "/u/",
        "/u/x",
        "/",
        "/metrics",
        "/transaction",
        "/readyz",
        "/control/status",
        "/style.css",
    ] {
        let page = daemon::get(endpoint, path).expect("an answer");
        assert_eq!(page.status, 404, "{path}");
        assert!(page.head.contains("no-store") && page.head.contains("no-referrer"), "{page:?}");
        assert_eq!(post(endpoint, path, CLICK).status, 404, "{path}");
    }
    assert_eq!(relay.get(&good).map(|a| a.status), Some(404), "the page's own listener serves no links");
    send(&relay, &["taro@dst.test"], "second", "List-Id: <news.src.test>\r\n");
    relay.wait_events("succeeded", "taro@dst.test", 2);
}

#[test]
fn mail_that_has_its_own_link_is_left_as_it_came() {
    let sink = Sink::willing();
    let (_, relay) = start(&sink);
    let own = "List-Id: <news.src.test>\r\nList-Unsubscribe: <mailto:leave@src.test>\r\n";
    send(&relay, &["taro@dst.test", "hanako@dst.test"], "own", own);
    let text = sink.wait_for_recipient("taro@dst.test").text();
    assert_eq!(text.matches("List-Unsubscribe").count(), 1, "{text}");
    assert!(
        text.contains(own) && sink.wait_for(1)[0].recipients.len() == 2,
        "and goes to all in one transaction: {text}"
    );
}

#[test]
fn links_are_served_under_tls() {
    let authority = Authority::new();
    let (files, endpoint) = (Place::new(), SocketAddr::from((place::address(), 8030)));
    let (chain, key) = authority.certificate(&["links.test"]).write(&files);
    let relay = Relay::start(
        Config::smarthost((Ipv4Addr::LOCALHOST, 9).into())
            .set("tls.certificate", &format!("\"{}\"", chain.display()))
            .set("tls.private_key", &format!("\"{}\"", key.display()))
            .set("unsubscribe.address", &format!("\"{endpoint}\""))
            .set("unsubscribe.public_url", "\"https://links.test\"")
            .set("unsubscribe.tls", "true")
            .text(FILTERS),
    );
    let mut wire = Wire::new(TcpStream::connect(endpoint).expect("the endpoint listens")).unwrap();
    wire.connect_tls(client_of(&authority), "links.test").expect("its certificate is good");
    wire.send(b"GET /u/x HTTP/1.1\r\nHost: links.test\r\nConnection: close\r\n\r\n").unwrap();
    assert!(wire.line().unwrap().starts_with(b"HTTP/1.1 404 "));
    drop(relay);
}
