//! The client against scripted hosts on loopback, good and hostile.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::mpsc,
    thread,
    time::Instant,
};

use rustls::ALL_VERSIONS;

use super::*;
use crate::{
    clock::Clock,
    net::certificates_for_tests::{Authority, Certificate},
};

type Peer = rustls::StreamOwned<rustls::ServerConnection, std::net::TcpStream>;

/// A host that takes one connection, reads a request's head, and then does as the script says.
struct Host {
    port: u16,
    requests: mpsc::Receiver<String>,
}

fn host(certificate: &Certificate, script: impl FnOnce(&mut Peer) + Send + 'static) -> Host {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let config = certificate.server(ALL_VERSIONS);
    let (heard, requests) = mpsc::channel();
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
        stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a time-out");
        let mut peer = tls::blocking_server(config, stream);
        let mut request = Vec::new();
        let mut octet = [0];
        while !request.ends_with(b"\r\n\r\n") {
            // A client that does not like the certificate ends it here.
            if peer.read_exact(&mut octet).is_err() {
                return;
            }
            request.push(octet[0]);
        }
        let _ = heard.send(String::from_utf8(request).expect("text"));
        script(&mut peer);
    });
    Host { port, requests }
}

fn fetch(port: u16) -> Fetch {
    Fetch {
        host: "mta-sts.x.test".into(),
        port,
        path: "/.well-known/mta-sts.txt".into(),
        addresses: vec!["127.0.0.1".parse().expect("v4")],
        expect: Some("text/plain".into()),
        body_max: 1000,
        within: Duration::from_secs(5),
    }
}

/// Fetches from a host that sends this and closes in due form.
fn answer(text: &'static [u8]) -> Result<Response, HttpError> {
    answer_to(text, |_| {})
}

fn answer_to(text: &'static [u8], change: impl FnOnce(&mut Fetch)) -> Result<Response, HttpError> {
    let authority = Authority::new("root");
    let host = host(&authority.certificate(&["mta-sts.x.test"]), move |peer| {
        let _ = peer.write_all(text);
        peer.conn.send_close_notify();
        let _ = peer.flush();
    });
    let mut fetch = fetch(host.port);
    change(&mut fetch);
    smol::block_on(client(&authority).get(&fetch))
}

fn client(authority: &Authority) -> Client {
    Client::new(Trust::Roots(vec![authority.der().to_vec()])).expect("a client")
}

fn ok(content_type: &str, body: &[u8]) -> Result<Response, HttpError> {
    Ok(Response { status: 200, content_type: content_type.into(), body: body.to_vec() })
}

#[test]
fn a_body_comes_by_length_by_chunks_or_until_the_end() {
    for text in [
        &b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhellotrailing"[..],
        b"HTTP/1.1 200 OK\r\ncontent-type:text/plain\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\nContent-Type: text/plain\ncontent-length: 5\n\nhello",
        b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: identity\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=y\r\nhe\r\n03\r\nllo\r\n0\r\nA: b\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhello",
    ] {
        assert_eq!(answer(text), ok("text/plain", b"hello"), "{}", String::from_utf8_lossy(text));
    }
    let with_charset = b"HTTP/1.1 200 OK\r\nContent-Type: Text/Plain ; charset=utf-8\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(answer(with_charset), ok("Text/Plain ; charset=utf-8", b""));
}

#[test]
fn a_request_says_what_is_wanted_and_nothing_else() {
    let authority = Authority::new("root");
    let certificate = authority.certificate(&["mta-sts.x.test"]);
    let reply = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok";
    let got = host(&certificate, |peer| peer.write_all(reply).expect("written"));
    let response =
        smol::block_on(client(&authority).get(&Fetch { expect: None, ..fetch(got.port) })).expect("an answer");
    assert_eq!((response.status, response.body.as_slice()), (201, &b"ok"[..]));
    let request = got.requests.recv().expect("a request");
    let want = format!(
        "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.x.test:{}\r\nUser-Agent: hikyaku\r\nAccept: */*\r\n\
         Accept-Encoding: identity\r\nConnection: close\r\n\r\n",
        got.port
    );
    assert_eq!(request, want);
    let (said, body) = mpsc::channel();
    let got = host(&certificate, move |peer| {
        let mut octets = [0; 100_000];
        peer.read_exact(&mut octets).expect("the body");
        said.send(octets.iter().all(|o| *o == b'z')).expect("heard");
        peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n").expect("written");
    });
    let fetch = Fetch { expect: None, body_max: 0, ..fetch(got.port) };
    let report = vec![b'z'; 100_000];
    let response = smol::block_on(client(&authority).post(&fetch, "application/tlsrpt+gzip", &report));
    assert_eq!(
        response.map(|r| (r.status, r.body)),
        Ok((200, Vec::new())),
        "a body that nobody wants is not waited for"
    );
    let request = got.requests.recv().expect("a request");
    assert!(request.starts_with("POST /") && request.contains("\r\nContent-Length: 100000\r\n"), "{request}");
    assert!(request.contains("\r\nContent-Type: application/tlsrpt+gzip\r\n"));
    assert_eq!(body.recv(), Ok(true));
}

#[test]
fn what_cannot_be_asked_is_not_sent() {
    let authority = Authority::new("root");
    let client = client(&authority);
    for (path, host) in
        [("no-slash", "x.test"), ("/a b", "x.test"), ("/a\r\nX: y", "x.test"), ("/", "x.test\r\nX: y"), ("/", "")]
    {
        let fetch = Fetch { path: path.into(), host: host.into(), ..fetch(1) };
        assert!(matches!(smol::block_on(client.get(&fetch)), Err(HttpError::Request(_))), "{path} {host}");
    }
    let typed = smol::block_on(client.post(&fetch(1), "text/plain\r\nX: y", b""));
    assert!(matches!(typed, Err(HttpError::Request(_))));
    assert!(Client::new(Trust::Anybody).is_err());
}

#[test]
fn nothing_is_followed_and_a_body_is_read_of_success_alone() {
    let moved = b"HTTP/1.1 301 Moved\r\nLocation: https://127.0.0.1/x\r\nContent-Length: 999999\r\n\r\n";
    let response = answer(moved).expect("an answer");
    assert_eq!((response.status, response.body.len()), (301, 0));
    let missing = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n<html>";
    let response = answer(missing).expect("an answer");
    assert_eq!((response.status, response.body.len()), (404, 0));
}

#[test]
fn answers_that_are_wrong_are_told_apart() {
    let too_large = Err(HttpError::TooLarge(1000));
    assert_eq!(answer(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1001\r\n\r\n"), too_large);
    assert_eq!(
        answer(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
        too_large
    );
    assert_eq!(
        answer(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n"),
        too_large
    );
    let html = answer(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nhello");
    assert_eq!(html, Err(HttpError::WrongType { got: "text/html".into(), want: "text/plain".into() }));
    assert!(matches!(answer(b"HTTP/1.1 200 OK\r\n\r\nhello"), Err(HttpError::WrongType { .. })));
    for text in [
        &b"SSH-2.0-x\r\n\r\n"[..],
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: +5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nhe\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    ] {
        let got = answer(text);
        assert!(matches!(got, Err(HttpError::Protocol(_))), "{}: {got:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn an_answer_without_length_that_is_cut_is_no_answer() {
    let authority = Authority::new("root");
    let cutting = host(&authority.certificate(&["mta-sts.x.test"]), |peer| {
        let _ = peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nversion: STSv1");
        let _ = peer.sock.shutdown(std::net::Shutdown::Both);
    });
    let got = smol::block_on(client(&authority).get(&fetch(cutting.port)));
    assert!(matches!(got, Err(HttpError::Protocol(_))), "{got:?}");
}

#[test]
fn a_certificate_is_checked_for_name_date_and_root() {
    let authority = Authority::new("root");
    let stranger = Authority::new("root");
    for (certificate, want) in [
        (authority.certificate(&["x.test"]), TlsFailure::HostMismatch),
        (authority.certificate_of(&["mta-sts.x.test"], (2001, 2002)), TlsFailure::Expired),
        (stranger.certificate(&["mta-sts.x.test"]), TlsFailure::NotTrusted),
    ] {
        let host = host(&certificate, |_| {});
        match smol::block_on(client(&authority).get(&fetch(host.port))) {
            Err(HttpError::Tls { failure, words }) => {
                assert_eq!(failure, want);
                assert!(words.starts_with("invalid peer certificate: "), "{words}");
            }
            other => panic!("{want:?}: {other:?}"),
        }
    }
}

#[test]
fn a_dead_address_is_passed_over_and_none_is_an_error() {
    let authority = Authority::new("root");
    let reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
    let host = host(&authority.certificate(&["mta-sts.x.test"]), |peer| peer.write_all(reply).expect("written"));
    let addresses = ["127.0.0.9", "127.0.0.1"].map(|a| a.parse().expect("v4")).to_vec();
    let fetch = Fetch { addresses, ..fetch(host.port) };
    assert_eq!(smol::block_on(client(&authority).get(&fetch)), ok("text/plain", b"ok"));
    let nowhere = Fetch { addresses: Vec::new(), ..fetch.clone() };
    assert_eq!(smol::block_on(client(&authority).get(&nowhere)), Err(HttpError::Connect("no address".into())));
    let dead = Fetch { addresses: vec!["127.0.0.9".parse().expect("v4"); 2], ..fetch };
    assert!(matches!(smol::block_on(client(&authority).get(&dead)), Err(HttpError::Connect(_))));
}

/// What a host that never stops costs: until when the script runs is the host's choice, when the client is done is not.
fn hostile(
    within: Duration,
    script: impl FnOnce(&mut Peer) + Send + 'static,
) -> (Result<Response, HttpError>, Duration) {
    let authority = Authority::new("root");
    let host = host(&authority.certificate(&["mta-sts.x.test"]), script);
    let started: Instant = Clock::system().instant();
    let got = smol::block_on(client(&authority).get(&Fetch { within, ..fetch(host.port) }));
    (got, Clock::system().instant() - started)
}

#[test]
fn a_host_that_drips_or_sleeps_is_left_when_the_time_is_up() {
    let within = Duration::from_millis(400);
    let heads: [&[u8]; 3] = [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 900\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX: ",
    ];
    for head in heads {
        let (got, took) = hostile(within, move |peer| {
            let _ = peer.write_all(head);
            for _ in 0..100 {
                thread::sleep(Duration::from_millis(20));
                if peer.write_all(b"x").is_err() {
                    return;
                }
            }
        });
        assert_eq!(got, Err(HttpError::Timeout(within)));
        assert!(took < Duration::from_secs(4), "{took:?}");
    }
    // One that takes the connection and says nothing, not even TLS.
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = silent.local_addr().expect("bound").port();
    let got = smol::block_on(client(&Authority::new("root")).get(&Fetch { within, ..fetch(port) }));
    assert_eq!(got, Err(HttpError::Timeout(within)));
}

#[test]
fn a_host_that_sends_without_end_is_left_when_it_is_too_much() {
    let (sent, octets) = mpsc::channel();
    let floods: [(&'static [u8], &'static [u8]); 6] = [
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n", b"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\ny\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    ];
    for (head, again) in floods {
        let sent = sent.clone();
        let (got, took) = hostile(Duration::from_secs(20), move |peer| {
            let _ = peer.write_all(head);
            let many = again.repeat(100);
            let mut total = 0_usize;
            // Until the client has gone.
            while peer.write_all(&many).is_ok() && total < 64 << 20 {
                total += many.len();
            }
            let _ = sent.send(total);
        });
        assert!(matches!(got, Err(HttpError::Protocol(_) | HttpError::TooLarge(1000))), "{got:?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
        let total = octets.recv().expect("counted");
        assert!(total < 16 << 20, "{total} octets were taken by somebody");
    }
}
