//! Posts over a kept connection, to hosts good and hostile on loopback.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::mpsc,
    thread,
};

use rustls::ALL_VERSIONS;

use super::*;
use crate::net::{
    certificates_for_tests::Authority,
    tls::{self, Trust},
};

/// A host in clear: takes connections one after another, and answers each request with the next text; an empty one ends the
/// connection instead. What it heard comes out.
fn host(answers: Vec<&'static str>) -> (Host, mpsc::Receiver<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (heard, requests) = mpsc::channel();
    thread::spawn(move || {
        let mut answers = answers.into_iter();
        for (n, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            while let Some(request) = read(&mut stream) {
                let Some(answer) = answers.next() else { return };
                let _ = heard.send(format!("{n}: {request}"));
                if answer.is_empty() || stream.write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    (Host { name: "localhost".into(), port, tls: false }, requests)
}

fn read(stream: &mut impl Read) -> Option<String> {
    let (mut request, mut octet) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet).ok()?;
        request.push(octet[0]);
    }
    let text = String::from_utf8(request).expect("text");
    let length = text.lines().find_map(|l| l.strip_prefix("Content-Length: ")).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    stream.read_exact(&mut body).ok()?;
    Some(text + &String::from_utf8(body).expect("text"))
}

fn kept() -> Kept {
    let roots = Trust::Roots(vec![Authority::new("root").der().to_vec()]);
    Kept::new(Client::new(roots).expect("a root"), Clock::system())
}

fn post(kept: &mut Kept, host: &Host, body: &str) -> Result<Answer, HttpError> {
    let fields = [("webhook-id", "msg_1".to_owned())];
    let post = Post { path: "/in?a", fields: &fields, body: body.as_bytes(), within: Duration::from_secs(5) };
    smol::block_on(kept.post(host, &post, || async { Ok(vec!["127.0.0.1".parse().expect("v4")]) }))
}

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn posts_go_over_one_connection_as_long_as_the_host_keeps_it() {
    let chunked = "HTTP/1.1 202 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n";
    let closing = "HTTP/1.1 503 x\r\nRetry-After: 7\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let (host, heard) = host(vec![GOOD, chunked, "HTTP/1.1 204 x\r\n\r\n", closing, GOOD]);
    let mut kept = kept();
    assert!(kept.needs_addresses(&host));
    let answers: Vec<Answer> = (0..5).map(|n| post(&mut kept, &host, &n.to_string()).expect("an answer")).collect();
    let told: Vec<_> = answers.iter().map(|a| (a.status, a.words.as_str(), a.retry_after.as_deref())).collect();
    assert_eq!(told, [(200, "ok", None), (202, "yes", None), (204, "", None), (503, "", Some("7")), (200, "ok", None)]);
    assert!(!kept.needs_addresses(&host));
    let requests: Vec<String> = heard.iter().take(5).collect();
    assert!(
        requests[0].contains("POST /in?a HTTP/1.1\r\nHost: localhost:")
            && requests[0].contains("webhook-id: msg_1\r\n")
    );
    let connections: String = requests.iter().filter_map(|r| r.chars().next()).collect();
    assert_eq!(connections, "00001", "behind the answer that closes there is another one");
}

#[test]
fn a_connection_that_ended_while_idle_is_made_anew_and_one_that_broke_is_told() {
    let (host, heard) = host(vec![GOOD, "", GOOD, ""]);
    let mut kept = kept();
    assert!(post(&mut kept, &host, "one").is_ok());
    // The host ends the kept connection when it hears the second post; it comes again over a new one.
    assert!(post(&mut kept, &host, "two").is_ok());
    let requests: Vec<String> = heard.iter().take(3).collect();
    assert!(
        requests[1].ends_with("two") && requests[2].starts_with("1: ") && requests[2].ends_with("two"),
        "{requests:?}"
    );
    // A new connection that ends without an answer is a failure, not another try without end.
    kept.link = None;
    let error = post(&mut kept, &host, "three").expect_err("no answer");
    assert!(matches!(error, HttpError::Protocol(_)), "{error}");
}

#[test]
fn hostile_answers_are_bounded() {
    let long: &'static str =
        Box::leak(format!("HTTP/1.1 500 x\r\nContent-Length: 99999999\r\n\r\n{}", "y".repeat(70_000)).into());
    let endless_head: &'static str = Box::leak(format!("HTTP/1.1 200 x\r\nX: {}", "y".repeat(200_000)).into());
    for (answer, status) in [
        (long, Some(500)),
        ("HTTP/1.1 200 x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", None),
        ("HTTP/1.1 101 x\r\n\r\n", None),
        ("SSH-2.0-x\r\n\r\n", None),
        (endless_head, None),
    ] {
        let (host, _heard) = host(vec![answer]);
        let mut kept = kept();
        let got = post(&mut kept, &host, "x").ok().map(|a| a.status);
        assert_eq!(got, status, "{}", &answer[..40.min(answer.len())]);
        assert!(kept.needs_addresses(&host), "never used again");
    }
}

#[test]
fn in_clear_it_goes_to_loopback_alone_and_nothing_is_smuggled_into_a_head() {
    let mut kept = kept();
    let host = Host { name: "crm.example".into(), port: 80, tls: false };
    let ask = |kept: &mut Kept, host: &Host, path: &str, value: &str, address: &str| {
        let fields = [("webhook-id", value.to_owned())];
        let post = Post { path, fields: &fields, body: b"", within: Duration::from_secs(2) };
        let address: IpAddr = address.parse().expect("an address");
        smol::block_on(kept.post(host, &post, || async move { Ok(vec![address]) }))
    };
    for (path, value, address) in [
        ("/", "x", "192.0.2.1"),
        ("/", "x", "::ffff:192.0.2.1"),
        ("/a b", "x", "127.0.0.1"),
        ("no", "x", "127.0.0.1"),
        ("/", "x\r\nEvil: 1", "127.0.0.1"),
    ] {
        let refused = ask(&mut kept, &host, path, value, address);
        assert!(matches!(refused, Err(HttpError::Request(_))), "{path} {value:?} {address}: {refused:?}");
    }
    let empty = Post { path: "/", fields: &[], body: b"", within: Duration::from_secs(2) };
    let nobody = kept.post(&host, &empty, || async { Err("only private addresses".to_owned()) });
    assert_eq!(smol::block_on(nobody), Err(HttpError::Connect("only private addresses".into())));
}

#[test]
fn a_slow_host_is_left_at_the_deadline() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let host = Host { name: "localhost".into(), port: listener.local_addr().expect("bound").port(), tls: false };
    let mut kept = kept();
    let post = Post { path: "/", fields: &[], body: b"x", within: Duration::from_millis(200) };
    let started = Clock::system().instant();
    let late = smol::block_on(kept.post(&host, &post, || async { Ok(vec!["127.0.0.1".parse().expect("v4")]) }));
    assert_eq!(late, Err(HttpError::Timeout(Duration::from_millis(200))));
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[test]
fn over_tls_the_certificate_counts() {
    let authority = Authority::new("root");
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let config = authority.certificate(&["crm.test"]).server(ALL_VERSIONS);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let mut peer = tls::blocking_server(config.clone(), stream);
            while read(&mut peer).is_some() {
                let _ = peer.write_all(GOOD.as_bytes());
                let _ = peer.flush();
            }
        }
    });
    let client = Client::new(Trust::Roots(vec![authority.der().to_vec()])).expect("a root");
    let mut kept = Kept::new(client, Clock::system());
    let good = Host { name: "crm.test".into(), port, tls: true };
    for _ in 0..3 {
        assert_eq!(post(&mut kept, &good, "x").map(|a| a.status), Ok(200));
    }
    let wrong = Host { name: "other.test".into(), port, tls: true };
    let refused = post(&mut kept, &wrong, "x");
    assert!(matches!(refused, Err(HttpError::Tls { .. })), "{refused:?}");
}
