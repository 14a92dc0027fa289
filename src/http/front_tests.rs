//! The front with raw sockets: each attack gets a clear answer and costs nobody else.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    sync::Arc,
    time::Duration,
};

use crate::{
    clock::Clock,
    http::{
        Http,
        exchange::{Door, Peer, Response},
        fake::Fake,
        front::{Duplex, Handshake, Limits, Names, TlsAccept},
        rig::{Rig, quick},
        wire::HEAD_MAX,
    },
    runtime::{Runtime, Shutdown},
};

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
}

/// A rig whose `/echo` tells what the server saw.
fn echo_rig(limits: Limits) -> Rig {
    Rig::with(Fake::busy(), limits, "127.0.0.1:0", None, |request| match request.path.as_str() {
        "/echo" => {
            let door = match request.door {
                Door::Public => "public",
                Door::Control => "control",
            };
            Some(Response::text(200, format!("{door} {} {} {:?}", request.peer, request.body.len(), request.method)))
        }
        "/big" => Some(Response::new(200, "application/octet-stream", vec![b'x'; 200_000])),
        "/huge" => Some(Response::new(200, "application/octet-stream", vec![b'x'; 20_000_000])),
        "/endless" => Some(Response::stream(
            "text/plain",
            Box::new(|to| {
                for _ in 0..1 << 20 {
                    to.write_all(&[b'x'; 16 * 1024])?;
                }
                Ok(())
            }),
        )),
        "/stream" => Some(Response::stream(
            "text/plain",
            Box::new(|to| {
                for n in 0..5_000 {
                    writeln!(to, "line {n}")?;
                }
                Ok(())
            }),
        )),
        "/broken" => Some(Response::stream(
            "text/plain",
            Box::new(|to| {
                to.write_all(&[b'x'; 40_000])?;
                Err(std::io::Error::other("the disk broke"))
            }),
        )),
        "/none" => Some(Response::text(204, "")),
        "/panic" => panic!("a test's panic"),
        "/slow" => {
            std::thread::sleep(Duration::from_secs(4));
            Some(Response::text(200, "late"))
        }
        _ => None,
    })
}

#[test]
fn smuggling_and_malformed_requests_get_a_4xx_and_the_door() {
    let rig = echo_rig(quick());
    let huge = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "y".repeat(HEAD_MAX));
    let endless = "GET / HTTP/1.1\r\nHost: localhost\r\n".to_owned() + &"X: y\r\n".repeat(400_000);
    let second = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (name, request, expected) in [
        (
            "two lengths",
            "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            400,
        ),
        (
            "a length and chunks",
            "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("chunks", "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("a folded line", "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n", 400),
        ("a bare LF", "GET / HTTP/1.1\r\nHost: localhost\n\r\n", 400),
        ("NUL", "GET / HTTP/1.1\r\nHost: localhost\r\nX: \0\r\n\r\n", 400),
        ("the absolute form", "GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("no Host", "GET / HTTP/1.1\r\n\r\n", 400),
        ("a body on GET", "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nabcd", 400),
        ("a TLS hello", "\x16\x03\x01\x00\x05hello", 400),
        ("a huge head", &huge, 431),
        ("an endless head", &endless, 431),
        ("a huge body", "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n", 413),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("a foreign Host", "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        ("a foreign Host and our port", "GET /livez HTTP/1.1\r\nHost: evil.example:8025\r\n\r\n", 421),
        ("a broken escape", "GET /%zz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
    ] {
        // What follows a refused request is never read as another one: exactly one answer comes back.
        let answer = rig.raw(format!("{request}{}", if name == "a broken escape" { "" } else { second }).as_bytes());
        assert_eq!(status(&answer), expected, "{name}: {answer:.200}");
        assert_eq!(answer.lines().filter(|l| l.starts_with("HTTP/1.1 ")).count(), 1, "{name}: {answer:.300}");
        assert!(answer.contains("{\"error\":\""), "{name}: {answer}");
    }
    assert_eq!(status(&rig.get("/livez")), 200);
}

#[test]
fn a_head_that_cannot_be_read_is_told_in_the_shape_of_its_path() {
    let rig = echo_rig(quick());
    for (head, status, body) in [
        (
            "POST /api/v2/emails/send.json HTTP/1.1\r\nHost: localhost\r\nX: \u{e9}\r\n\r\n",
            400,
            "{\"errors\":[{\"code\":\"02-003\"",
        ),
        (
            "POST /api/v2/emails/send.xml HTTP/1.1\r\nHost: localhost\r\nX: \u{e9}\r\n\r\n",
            400,
            "<errors><error><code>02-003",
        ),
        ("POST /transaction/v2/blocks/list.json HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "{\"errors\":[{"),
        ("POST /other HTTP/1.1\r\nHost: localhost\r\nX: \u{e9}\r\n\r\n", 400, "{\"error\":\"a header value"),
    ] {
        let answer = rig.raw(head.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(body), "{head}: {answer}");
    }
    for method in ["TRACE", "QUERY", "CONNECT", "BREW"] {
        let head = format!("{method} /transaction/v2/blocks/list.json HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = rig.raw(head.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("\"02-002\""), "{answer}");
        assert!(answer.contains("\r\nallow: POST\r\n"), "{answer}");
    }
}

#[test]
fn the_door_and_the_peer_cannot_be_forged() {
    let rig = echo_rig(quick());
    let forged = "GET /echo HTTP/1.1\r\nHost: localhost\r\nX-Hikyaku-Door: control\r\nX-HIKYAKU-Peer: uid=0\r\nX-Hikyaku-Secret: x\r\n\
        X-Forwarded-For: 198.51.100.1\r\nConnection: close\r\n\r\n";
    assert!(rig.raw(forged.as_bytes()).ends_with("public 127.0.0.1 0 Get"), "{}", rig.raw(forged.as_bytes()));
    assert_eq!(status(&rig.get("/control/status")), 404);
    // Straight to the private socket, past the front: refused without the secret.
    let mut inner = UnixStream::connect(rig.dir.join("http.sock")).expect("the private socket");
    inner.write_all(b"GET /echo HTTP/1.1\r\nHost: localhost\r\nX-Hikyaku-Door: control\r\nX-Hikyaku-Peer: uid=0\r\nConnection: close\r\n\r\n").expect("written");
    let mut answer = String::new();
    inner.read_to_string(&mut answer).expect("an answer");
    assert_eq!(status(&answer), 403);
    for socket in ["http.sock", "control.sock"] {
        let mode = std::fs::metadata(rig.dir.join(socket)).expect("bound").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{socket}");
    }
}

#[test]
fn a_configured_proxy_tells_the_client_and_nobody_else_does() {
    let rig = Rig::with(Fake::busy(), quick(), "0.0.0.0:0", None, |r| {
        (r.path == "/echo").then(|| Response::text(200, format!("{} near={}", r.peer, r.is_near())))
    });
    let ask = |from: [u8; 4], forwarded: &str| {
        let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None)
            .expect("a socket");
        rustix::net::bind(&socket, &std::net::SocketAddr::from((from, 0))).expect("bound");
        rustix::net::connect(&socket, &std::net::SocketAddr::from(([127, 0, 0, 1], rig.addr.port())))
            .expect("connected");
        let mut stream = TcpStream::from(socket);
        write!(
            stream,
            "GET /echo HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {forwarded}\r\nConnection: close\r\n\r\n"
        )
        .expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer.rsplit("\r\n").next().expect("a body").to_owned()
    };
    for (told, client) in [
        ("203.0.113.5", "203.0.113.5"),
        ("203.0.113.5:4711", "203.0.113.5"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("198.51.100.1, 203.0.113.5, 127.0.0.9", "203.0.113.5"),
        ("junk of the client, 203.0.113.5", "203.0.113.5"),
        // What a proxy says, and what it does not say, is never this machine.
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.9", "127.0.0.9"),
    ] {
        assert_eq!(ask([127, 0, 0, 9], told), format!("{client} near=false"), "{told}");
    }
    for told in ["203.0.113.5, junk", "unknown", "203.0.113.5:x", "_hidden, 127.0.0.9", ","] {
        assert!(
            ask([127, 0, 0, 9], told).contains("X-Forwarded-For is no list"),
            "what cannot be read is not guessed: {told}"
        );
    }
    assert_eq!(ask([127, 0, 0, 8], "203.0.113.5"), "127.0.0.8 near=false", "passed on by somebody whom we do not know");
    assert!(rig.get("/echo").ends_with("127.0.0.1 near=true"));
    for header in ["X-Forwarded-For: 203.0.113.5", "Forwarded: for=203.0.113.5"] {
        let head = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{header}\r\nConnection: close\r\n\r\n");
        assert_eq!(status(&rig.raw(head.as_bytes())), 404, "{header}");
    }
}

#[test]
fn kept_connections_pipelines_head_and_204_are_answered_in_order() {
    let rig = echo_rig(quick());
    let answer = rig.raw(
        b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\nHEAD /big HTTP/1.1\r\nHost: localhost\r\n\r\nPOST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello\
          GET /none HTTP/1.1\r\nHost: localhost\r\n\r\nGET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /livez HTTP/1.0\r\n\r\nGET /never HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    let mut rest = answer.as_str();
    for (code, length, body) in [
        (200, "22", "public 127.0.0.1 0 Get"),
        (200, "200000", ""),
        (200, "23", "public 127.0.0.1 5 Post"),
        (204, "", ""),
        (200, "3", "ok\n"),
        (200, "3", "ok\n"),
    ] {
        let (head, after) = rest.split_once("\r\n\r\n").unwrap_or_else(|| panic!("an answer in {rest:?}"));
        assert_eq!(status(head), code, "{head}");
        let told = head.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap_or("");
        assert_eq!(told, length, "{head}");
        rest = after.strip_prefix(body).unwrap_or_else(|| panic!("{body:?} in {after:?}"));
    }
    assert_eq!(rest, "", "HTTP/1.0 without keep-alive ends the connection");
    assert!(answer.contains("\r\nDate: ") && answer.contains("content-security-policy: default-src 'none'"));
    assert!(!answer.to_lowercase().contains("server: tiny"));
    assert_eq!(rig.metrics.http_requests.get(), 6);
}

#[test]
fn chunked_answers_are_relayed_and_a_broken_one_is_cut() {
    let rig = echo_rig(quick());
    let answer = rig.get("/stream");
    assert!(answer.contains("transfer-encoding: chunked") && answer.ends_with("0\r\n\r\n"));
    assert!(answer.contains("line 4999\n"));
    let old = rig.raw(b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let (head, body) = old.split_once("\r\n\r\n").expect("an answer");
    assert!(
        !head.contains("chunked") && head.contains("connection: close") && body.ends_with("line 4998\nline 4999\n"),
        "{head}"
    );
    let broken = rig.get("/broken");
    assert!(broken.contains("transfer-encoding: chunked") && !broken.ends_with("0\r\n\r\n"), "the cut is visible");
}

#[test]
fn slow_senders_are_told_and_closed_and_hold_no_worker() {
    let rig = echo_rig(quick());
    // More of them than there are workers: half a head, half a body, nothing at all.
    let mut slow: Vec<(TcpStream, u16)> = Vec::new();
    for n in 0..30 {
        let mut stream = rig.connect();
        let (octets, code): (&[u8], u16) = match n % 3 {
            0 => (b"GET / HTTP/1.1\r\nHost: loc", 408),
            1 => (b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nabc", 408),
            _ => (b"", 0),
        };
        stream.write_all(octets).expect("written");
        slow.push((stream, code));
    }
    assert!(rig.get("/echo").ends_with("public 127.0.0.1 0 Get"), "others are served meanwhile");
    for (mut stream, code) in slow {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("closed within its time");
        assert_eq!(status(&answer), code, "{answer}");
    }
}

#[test]
fn announced_bodies_take_nothing_and_small_ones_always_get_in() {
    let limits = Limits { request: Duration::from_secs(8), ..quick() };
    let rig = echo_rig(limits);
    let path = "/api/v2/emails/send.json";
    let head = |n: u64| format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {n}\r\n\r\n");
    // Heads that announce more than all the memory there is; some send a part of it.
    let mut held: Vec<TcpStream> = (0..12).map(|_| rig.connect()).collect();
    for (n, stream) in held.iter_mut().enumerate() {
        stream.write_all(head(25 << 20).as_bytes()).expect("written");
        if n % 2 == 0 {
            // Whoever may not have more hears so, and his connection ends.
            let _ = stream.write_all(&vec![b'x'; 9 << 20]);
        }
    }
    let post = |n: usize| {
        let head =
            format!("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: {n}\r\nConnection: close\r\n\r\n");
        let mut octets = head.into_bytes();
        octets.resize(octets.len() + n, b'x');
        rig.raw(&octets)
    };
    for n in [1, 1_000, 64 * 1024] {
        assert!(post(n).ends_with(&format!("public 127.0.0.1 {n} Post")), "{n}: {}", post(n));
    }
    let mut control = UnixStream::connect(rig.dir.join("control.sock")).expect("the control socket");
    write!(control, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n")
        .expect("written");
    control.write_all(&vec![b'x'; 1_000_000]).expect("written");
    let mut answer = String::new();
    control.read_to_string(&mut answer).expect("an answer");
    assert!(answer.ends_with(" 1000000 Post"), "the operator's memory is his own: {answer}");
    drop(held);
    std::thread::sleep(Duration::from_millis(200));
    assert!(post(1_000_000).ends_with("public 127.0.0.1 1000000 Post"), "what they held comes back");
    assert_eq!(
        status(&rig.raw(b"POST /x/emails/y HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n")),
        413
    );
}

#[test]
fn slow_readers_free_the_worker() {
    let rig = echo_rig(Limits { write: Duration::from_secs(20), ..quick() });
    let mut slow: Vec<TcpStream> = (0..12)
        .map(|_| {
            let mut stream = rig.connect();
            stream.write_all(b"GET /big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("written");
            stream
        })
        .collect();
    assert!(
        rig.get("/echo").ends_with("public 127.0.0.1 0 Get"),
        "twelve unread answers of 200 kB hold none of four workers"
    );
    for stream in &mut slow {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the whole answer");
        assert!(answer.len() > 200_000);
    }
}

#[test]
fn however_many_read_large_answers_slowly_the_others_are_served_at_once() {
    let rig = echo_rig(Limits { write: Duration::from_secs(20), ..quick() });
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut slow: Vec<TcpStream> = Vec::new();
    for n in 0..12 {
        let mut stream = rig.connect();
        stream.write_all(ask(["/huge", "/endless"][n % 2]).as_bytes()).expect("written");
        slow.push(stream);
    }
    std::thread::sleep(Duration::from_millis(300));
    let clock = Clock::system();
    let began = clock.instant();
    for path in ["/livez", "/readyz", "/sign-in", "/echo"] {
        assert_eq!(status(&rig.get(path)), 200, "{path}");
    }
    let mut control = UnixStream::connect(rig.dir.join("control.sock")).expect("the control socket");
    control.write_all(ask("/control/status").as_bytes()).expect("written");
    let mut answer = String::new();
    control.read_to_string(&mut answer).expect("an answer");
    assert_eq!(status(&answer), 200);
    let mut backup = UnixStream::connect(rig.dir.join("control.sock")).expect("the control socket");
    backup.write_all(ask("/huge").as_bytes()).expect("written");
    let mut whole = Vec::new();
    backup.read_to_end(&mut whole).expect("an answer");
    assert!(whole.len() > 20_000_000, "the operator's own are not counted with them");
    assert!(clock.instant() - began < Duration::from_secs(4), "{:?}", clock.instant() - began);
    // One address has a few of them; more are told so.
    let mut told = 0;
    for stream in &mut slow {
        let mut first = [0; 64];
        let n = stream.read(&mut first).expect("an answer");
        told += usize::from(first[..n].starts_with(b"HTTP/1.1 503 "));
    }
    assert_eq!(told, 8);
}

#[test]
fn whoever_reads_too_slowly_over_the_whole_answer_is_cut() {
    // Each block in time, and all of them together too slow: 64 KiB every 50 ms, where ten times that is asked.
    let per_octet = Duration::from_nanos(100);
    let rig = echo_rig(Limits { write: Duration::from_millis(600), write_per_octet: per_octet, ..quick() });
    let mut stream = rig.connect();
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("written");
    let clock = Clock::system();
    let began = clock.instant();
    let mut block = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut block) {
            Ok(n) if n > 0 => {}
            Ok(_) | Err(_) => break,
        }
        std::thread::sleep(Duration::from_millis(50));
        assert!(clock.instant() - began < Duration::from_secs(30), "it goes on and on");
    }
}

#[test]
fn connections_are_bounded_and_told_so() {
    let rig = Rig::new(Fake::busy(), Limits { connections_max: 3, ..quick() });
    let held: Vec<TcpStream> = (0..3).map(|_| rig.connect()).collect();
    std::thread::sleep(Duration::from_millis(100));
    let answer = rig.raw(b"");
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.contains("Retry-After: 5") && answer.contains("too many connections"));
    drop(held);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(status(&rig.get("/livez")), 200, "closed ones are given back");
}

/// A source that is not loopback: this machine's own address, if it has one.
fn own_address() -> Option<std::net::IpAddr> {
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    probe.connect("192.0.2.1:9").ok()?;
    probe.local_addr().ok().map(|a| a.ip()).filter(|ip| !ip.is_loopback())
}

#[test]
fn without_tls_a_stranger_is_refused_and_a_proxy_of_the_list_is_served() {
    let Some(own) = own_address() else { return };
    let rig = Rig::with(Fake::busy(), quick(), "0.0.0.0:0", None, |_| None);
    let ask = || {
        let mut stream = TcpStream::connect((own, rig.addr.port())).expect("a connection");
        let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    let names = |proxies: &str| Names {
        public_url: "https://mail.example.jp".into(),
        proxy_networks: vec![proxies.parse().expect("a network")],
        has_secrets: true,
    };
    rig.front.reconfigure(names("198.51.100.0/24"));
    let answer = ask();
    // Its request may still be in the socket when we close: the answer is then lost to a reset.
    assert!(answer.is_empty() || (status(&answer) == 403 && answer.contains("https://")), "{answer}");
    assert_eq!(status(&rig.get("/livez")), 200, "this machine is served");
    rig.front.reconfigure(names(&format!("{own}/{}", if own.is_ipv4() { 32 } else { 128 })));
    assert_eq!(status(&ask()), 200, "a load balancer's probe is a proxy's");
}

#[test]
fn one_address_does_not_take_all_connections() {
    let Some(own) = own_address() else { return };
    let rig =
        Rig::with(Fake::busy(), Limits { connections_per_address_max: 2, ..quick() }, "0.0.0.0:0", None, |_| None);
    let at = std::net::SocketAddr::new(own, rig.addr.port());
    let held: Vec<_> = (0..2).map(|_| TcpStream::connect(at).expect("a connection")).collect();
    std::thread::sleep(Duration::from_millis(100));
    let mut third = TcpStream::connect(at).expect("a connection");
    let mut answer = String::new();
    let _ = third.read_to_string(&mut answer);
    assert_eq!(status(&answer), 503, "{answer}");
    assert_eq!(status(&rig.get("/livez")), 200, "another address is served");
    drop(held);
}

#[test]
fn the_server_is_built_anew_when_it_stops_accepting_and_a_panic_is_one_500() {
    let rig = echo_rig(quick());
    for _ in 0..2 {
        assert_eq!(status(&rig.get("/panic")), 500);
        assert_eq!(status(&rig.get("/livez")), 200);
        rig.server.fail();
        // A request that the dying server had taken already may hear its 500; the next one finds the new server.
        let answers: Vec<u16> = (0..2).map(|_| status(&rig.get("/livez"))).collect();
        assert_eq!(answers[1], 200, "{answers:?}");
    }
}

#[test]
fn an_answer_that_takes_too_long_is_a_504() {
    let rig = echo_rig(Limits { answer: Duration::from_millis(300), ..quick() });
    assert_eq!(status(&rig.get("/slow")), 504);
}

#[test]
fn a_body_is_asked_for_when_the_client_waits() {
    let rig = echo_rig(quick());
    let mut stream = rig.connect();
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n").expect("written");
    let mut first = [0; 25];
    stream.read_exact(&mut first).expect("100");
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.ends_with("public 127.0.0.1 5 Post"), "{answer}");
}

#[test]
fn the_control_socket_knows_its_user_and_large_bodies_pass() {
    let rig = echo_rig(quick());
    let mut stream = UnixStream::connect(rig.dir.join("control.sock")).expect("the control socket");
    write!(stream, "POST /echo HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n")
        .expect("written");
    stream.write_all(&vec![b'x'; 1_000_000]).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let uid = rustix::process::geteuid().as_raw();
    assert!(answer.ends_with(&format!("control {} 1000000 Post", Peer::User(uid))), "{answer}");
}

#[test]
fn tls_is_a_closure_and_a_slow_handshake_is_closed() {
    let accept: TlsAccept = Arc::new(|mut stream| -> Handshake {
        Box::pin(async move {
            // Stands for a handshake: one octet must come first.
            let mut hello = [0];
            smol::io::AsyncReadExt::read_exact(&mut stream, &mut hello).await?;
            Ok(Box::new(stream) as Box<dyn Duplex>)
        })
    });
    let rig = Rig::with(Fake::busy(), quick(), "127.0.0.1:0", Some(accept), |_| None);
    assert_eq!(status(&rig.raw(b"!GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")), 200);
    assert_eq!(rig.raw(b""), "", "no handshake: closed without a word");
}

#[test]
fn a_cut_ends_everything() {
    let rig = echo_rig(quick());
    let mut idle = rig.connect();
    assert_eq!(status(&rig.get("/livez")), 200);
    rig.cut();
    let mut rest = Vec::new();
    let _ = idle.read_to_end(&mut rest);
    std::thread::sleep(Duration::from_millis(50));
    assert!(TcpStream::connect(rig.addr).is_err(), "the listener is closed");
}

#[test]
fn the_room_starts_whole_over_a_stale_socket() {
    let dir = std::env::temp_dir().join(format!("hikyaku-http-start-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    // What a killed process leaves behind.
    drop(std::os::unix::net::UnixListener::bind(dir.join("control.sock")).expect("bound"));
    let (runtime, shutdown) = (Runtime::start(1).expect("threads"), Shutdown::new());
    let daemon = Arc::new(Fake::busy());
    let http = Http::start(&dir, daemon, Names::default(), Clock::system(), &runtime, &shutdown).expect("started");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    http.serve(listener, None, &runtime, &shutdown).expect("served");
    http.reconfigure(Names { public_url: "https://other.example".into(), ..Names::default() });
    for (mut stream, request, code) in [
        (TcpStream::connect(address).expect("connected"), "GET /livez HTTP/1.1\r\nHost: other.example", 200),
        (TcpStream::connect(address).expect("connected"), "GET /livez HTTP/1.1\r\nHost: mail.example.jp", 421),
    ] {
        write!(stream, "{request}\r\nConnection: close\r\n\r\n").expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert_eq!(status(&answer), code, "{request}");
    }
    let mut control = UnixStream::connect(dir.join("control.sock")).expect("connected");
    write!(control, "GET /control/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("written");
    let mut answer = String::new();
    control.read_to_string(&mut answer).expect("an answer");
    assert!(status(&answer) == 200 && answer.contains("x-time-zone: Asia/Tokyo"), "{answer}");
    shutdown.cut();
    drop(http);
    let _ = std::fs::remove_dir_all(&dir);
}

/// For eyes: serves made-up data until the time is up. `LOOK=busy|demo|empty|down cargo test --lib look -- --ignored`.
#[test]
#[ignore = "for looking at the pages with a browser"]
fn look() {
    let mut fake = match std::env::var("LOOK").as_deref() {
        Ok("demo") => Fake::demo(),
        Ok("empty") => Fake::empty(),
        _ => Fake::busy(),
    };
    if std::env::var("LOOK").as_deref() == Ok("down") {
        fake.unready = vec![crate::http::daemon::Unready::DiskFull, crate::http::daemon::Unready::Draining];
    }
    let rig = Rig::with(fake, Limits::default(), "127.0.0.1:8897", None, |_| None);
    let seconds = std::env::var("LOOK_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    std::thread::sleep(Duration::from_secs(seconds));
    drop(rig);
}
