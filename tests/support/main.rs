//! The harness, tested against itself and against a client that others wrote, so that a failing test elsewhere is the
//! product's fault.
#![allow(dead_code, unused_imports, reason = "each test program uses its part of the harness")]
#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

#[path = "mod.rs"]
mod support;

use std::{
    net::{Ipv4Addr, UdpSocket},
    process::Command,
    sync::Arc,
    time::Duration,
};

use support::{
    Act, Client, Dns, Rng, Sink, Step,
    bodies::generate,
    cli::run_command,
    client::letter,
    say,
    sink::{Options, SinkTls},
    tls::{Authority, client_of, trusting_client},
};

#[test]
fn the_sink_keeps_every_octet_by_data_and_by_bdat() {
    let sink = Sink::willing();
    let mut rng = Rng::new(7);
    let bodies: Vec<_> = (0..200).map(|n| generate(&mut rng, n)).collect();
    let mut client = Client::hello(sink.address());
    for body in &bodies {
        client.envelope("a@src.test", &["b@dst.test"]);
        if body.unfinished {
            let (first, rest) = body.content.split_at(body.content.len() / 2);
            client.bdat(first, false).expect("250");
            client.bdat(rest, true).expect("250");
        } else {
            client.data(&body.content).expect("250");
        }
    }
    let received = sink.received();
    assert_eq!(received.len(), bodies.len());
    for (n, (got, sent)) in received.iter().zip(&bodies).enumerate() {
        assert!(got.content == sent.content, "body {n} differs");
        assert_eq!(got.chunked, sent.unfinished);
    }
    assert!(bodies.iter().any(|b| b.unfinished) && bodies.iter().any(|b| !b.unfinished));
}

#[test]
fn the_script_decides_in_every_phase() {
    let sink = Sink::scripted(|m| match m.step {
        Step::Mail if m.nth == 0 => Act::reply("451 4.3.0 First"),
        Step::Rcpt if m.line.contains("bad@") => Act::reply("550 5.1.1 No such user"),
        Step::Content if m.nth == 0 => Act::reply("452 4.3.1 Full"),
        Step::Content if m.nth == 2 => Act::KeepAndHangUp,
        Step::Ehlo if m.session == 1 => Act::HangUp,
        _ => Act::Normal,
    });
    let mut client = Client::hello(sink.address());
    client.say("MAIL FROM:<a@src.test>").expect("451 4.3.0");
    client.envelope("a@src.test", &["good@dst.test"]);
    client.say("RCPT TO:<bad@dst.test>").expect("550 5.1.1");
    client.data(b"x\r\n").expect("452");
    client.envelope("a@src.test", &["good@dst.test"]);
    client.data(b"x\r\n").expect("250");
    client.envelope("a@src.test", &["good@dst.test"]);
    assert!(client.data(b"y\r\n").is_end());
    let mut second = Client::connect(sink.address());
    assert!(second.say("EHLO x").is_end());
    assert_eq!(sink.taken(), 2);
    assert_eq!(sink.sessions(), 2);
    assert_eq!(sink.seen(Step::Rcpt), 4);
    assert_eq!(sink.received()[0].recipients, ["good@dst.test"]);
}

#[test]
fn tls_works_breaks_and_names_whom_it_trusts() {
    let authority = Authority::new();
    let certificate = authority.certificate(&["mx.test"]);
    let works = Options::default().tls(SinkTls::Works(certificate.server())).start();
    for (config, name) in [(client_of(&authority), "mx.test"), (trusting_client(), "other.test")] {
        let mut client = Client::hello(works.address());
        client.starttls(config, name);
        client.ehlo();
        client.auth_plain("user", "secret").expect("235");
        client.send("a@src.test", &["b@dst.test"], b"x\r\n").expect("250");
    }
    let received = works.received();
    assert!(received.iter().all(|m| m.tls));
    assert_eq!(received[0].login, Some(("user".to_owned(), "secret".to_owned())));

    let mut stranger = Client::hello(works.address());
    stranger.say("STARTTLS").expect("220");
    assert!(stranger.wire().connect_tls(client_of(&authority), "other.test").is_err());

    let broken = Options::default().tls(SinkTls::Broken).start();
    let mut client = Client::hello(broken.address());
    client.say("STARTTLS").expect("220");
    assert!(client.wire().connect_tls(trusting_client(), "mx.test").is_err());
}

#[test]
fn a_client_that_others_wrote_is_understood() {
    if Command::new("python3").arg("--version").output().is_err() {
        say("python3 is missing: skipped");
        return;
    }
    let sink = Sink::willing();
    let script = format!(
        "import smtplib\ns = smtplib.SMTP('{}', {})\ns.sendmail('a@src.test', ['b@dst.test', 'c@dst.test'], \
         'Subject: x\\r\\n\\r\\n.dot\\r\\n..two\\r\\n')\ns.quit()\n",
        sink.ip(),
        sink.address().port()
    );
    let mut command = Command::new("python3");
    command.args(["-c", &script]);
    run_command(command, b"", Duration::from_secs(20)).expect_done();
    let mail = &sink.received()[0];
    assert_eq!(mail.content, b"Subject: x\r\n\r\n.dot\r\n..two\r\n");
    assert_eq!(mail.recipients, ["b@dst.test", "c@dst.test"]);
    assert_eq!(mail.sender, "a@src.test");
}

#[test]
fn the_name_server_answers_from_its_table() {
    let dns = Dns::start()
        .mx("example.test", 10, "mx1.example.test")
        .mx("example.test", 20, "mx2.example.test")
        .a("mx1.example.test", Ipv4Addr::new(127, 1, 2, 3))
        .cname("alias.test", "mx1.example.test")
        .null_mx("never.test")
        .failing("sick.test")
        .silent("mute.test")
        .a("large.test", Ipv4Addr::LOCALHOST)
        .over_tcp("large.test");
    // Name, type, expected code, expected answers, truncated.
    let cases = [
        ("example.test", 15, 0, 2, false),
        ("example.test", 1, 0, 0, false),
        ("EXAMPLE.test", 15, 0, 2, false),
        ("mx1.example.test", 1, 0, 1, false),
        ("alias.test", 1, 0, 2, false),
        ("never.test", 15, 0, 1, false),
        ("sick.test", 15, 2, 0, false),
        ("unknown.test", 15, 3, 0, false),
        ("large.test", 1, 0, 0, true),
    ];
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut block = [0; 1500];
    for (name, kind, code, answers, truncated) in cases {
        socket.send_to(&question(name, kind), dns.address()).unwrap();
        let n = socket.recv(&mut block).unwrap();
        assert!(n > 12 && block[..2] == [7, 7], "{name}");
        assert_eq!(block[3] & 15, code, "{name}");
        assert_eq!(u16::from_be_bytes([block[6], block[7]]), answers, "{name} {kind}");
        assert_eq!(block[2] & 2 != 0, truncated, "{name}");
    }
    socket.send_to(&question("mute.test", 15), dns.address()).unwrap();
    assert!(socket.recv(&mut block).is_err());
    dns.heal("mute.test");
    socket.send_to(&question("mute.test", 15), dns.address()).unwrap();
    assert!(socket.recv(&mut block).is_ok());
    assert_eq!(dns.asked("example.test"), 3);
}

fn question(name: &str, kind: u8) -> Vec<u8> {
    let mut out = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.extend_from_slice(&[0, 0, kind, 0, 1]);
    out
}

#[test]
fn several_sinks_and_slow_answers_do_not_wait_for_each_other() {
    let slow = Sink::scripted(|m| match m.step {
        Step::Content => Act::Delay(Duration::from_millis(400)),
        _ => Act::Normal,
    });
    let slow = Arc::new(slow);
    let start = support::now();
    let threads: Vec<_> = (0..6)
        .map(|n| {
            let slow = slow.clone();
            std::thread::spawn(move || {
                let mut client = Client::hello(slow.address());
                client.send("a@src.test", &["b@dst.test"], letter(&format!("n{n}"), "x\r\n").as_bytes()).expect("250");
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(start.elapsed() < Duration::from_millis(2000), "{:?}", start.elapsed());
    assert_eq!(slow.sessions_at_once(), 6);
}
