//! `sendmail` against a listener of the test's own.

use std::{
    io::{BufReader, Write},
    net::TcpListener,
    thread::{self, JoinHandle},
};

use super::*;

/// Answers one session by the first word of each command, and gives back what it was told.
fn listener(answers: &'static [(&'static str, &'static str)]) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let session = thread::spawn(move || {
        let (stream, _) = socket.accept().unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let mut out = stream.try_clone().unwrap();
        let mut told = Vec::new();
        let mut in_content = false;
        let answer = |line: &str| {
            let special = answers.iter().find(|(start, _)| line.starts_with(start)).map(|(_, answer)| *answer);
            special.unwrap_or(match line.split([' ', ':']).next().unwrap_or_default() {
                "" => "220 test",
                "EHLO" => "250-test\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 SMTPUTF8",
                "DATA" => "354 go",
                "QUIT" => "221 bye",
                _ => "250 ok",
            })
        };
        out.write_all(format!("{}\r\n", answer("")).as_bytes()).unwrap();
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8(line).unwrap();
            let line = line.strip_suffix('\r').expect("CRLF").to_owned();
            told.push(line.clone());
            if in_content && line != "." {
                continue;
            }
            in_content = line == "DATA" && answer("DATA").starts_with("354");
            let reply = answer(&line);
            if reply.is_empty() || out.write_all(format!("{reply}\r\n").as_bytes()).is_err() || line == "QUIT" {
                break;
            }
        }
        told
    });
    (address, session)
}

fn try_send(listeners: Vec<SocketAddr>, options: &str, mail: &str) -> Result<(), Refusal> {
    let args: Vec<OsString> = options.split_whitespace().map(OsString::from).collect();
    let place = Place { listeners, hostname: "host.example".into(), message_size_max: 10_000 };
    send(&Options::parse(&args)?, &place, &mut mail.as_bytes(), "me")
}

fn check(options: &str, mail: &str, expected: &[&str]) {
    let (address, session) = listener(&[]);
    try_send(vec![address], options, mail).unwrap_or_else(|refusal| panic!("{options}: {refusal:?}"));
    assert_eq!(session.join().unwrap(), expected, "{options}");
}

fn check_refusal(answers: &'static [(&'static str, &'static str)], code: u8, words: &str) {
    let (address, session) = listener(answers);
    let refusal = try_send(vec![address], "-i a@b.example c@d.example", "Subject: s\n\nx\n").expect_err("refused");
    assert_eq!(refusal.code, code, "{answers:?}: {refusal:?}");
    assert!(refusal.text.contains(words), "{answers:?}: {refusal:?}");
    let told = session.join().unwrap();
    assert!(told.len() < 12, "{told:?}");
}

#[test]
fn a_mail_is_submitted_whole_and_dots_are_stuffed() {
    check(
        "-t -i -f a@b.example",
        "From: x@b.example\nTo: Y <y@d.example>, root\nBcc: z@d.example\n\n.\n..two\nlast",
        &[
            "EHLO host.example",
            "MAIL FROM:<a@b.example> SIZE=64",
            "RCPT TO:<y@d.example>",
            "RCPT TO:<root@host.example>",
            "RCPT TO:<z@d.example>",
            "DATA",
            "From: x@b.example",
            "To: Y <y@d.example>, root",
            "",
            "..",
            "...two",
            "last",
            ".",
            "QUIT",
        ],
    );
    check(
        "y@d.example y@d.example",
        "Subject: \u{98db}\u{811a}\n\nx\n.\nnot read\n",
        &[
            "EHLO host.example",
            "MAIL FROM:<me@host.example> SIZE=45 BODY=8BITMIME",
            "RCPT TO:<y@d.example>",
            "DATA",
            "From: me@host.example",
            "Subject: \u{98db}\u{811a}",
            "",
            "x",
            ".",
            "QUIT",
        ],
    );
    check(
        "-f <> \u{98db}@d.example",
        "From: a@b.example\n\nx\n",
        &[
            "EHLO host.example",
            "MAIL FROM:<> SIZE=24 SMTPUTF8",
            "RCPT TO:<\u{98db}@d.example>",
            "DATA",
            "From: a@b.example",
            "",
            "x",
            ".",
            "QUIT",
        ],
    );
}

#[test]
fn each_refusal_has_its_exit_code() {
    check_refusal(&[("", "421 4.7.0 too many")], code::TRY_LATER, "too many");
    check_refusal(&[("MAIL", "452 4.3.1 disk full")], code::TRY_LATER, "disk full");
    check_refusal(&[("MAIL", "530 5.7.0 log in first")], code::UNAVAILABLE, "log in first");
    check_refusal(&[("RCPT TO:<c@", "553 5.1.3 bad address")], code::NO_USER, "<c@d.example>: ");
    check_refusal(&[("RCPT TO:<c@", "452 4.5.3 too many")], code::TRY_LATER, "nothing was sent");
    check_refusal(&[("DATA", "451 4.3.0 later")], code::TRY_LATER, "later");
    check_refusal(&[(".", "554 5.4.6 loop")], code::DATA, "loop");
    check_refusal(&[(".", "")], code::TRY_LATER, "broke");
    check_refusal(&[("RCPT", "junk")], code::TRY_LATER, "said");
    check_refusal(&[("EHLO", "500 what?"), ("HELO", "421 4.3.2 stopping")], code::TRY_LATER, "stopping");
}

#[test]
fn a_listener_that_is_down_means_try_again() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refusal = try_send(vec![unused], "a@b.example", "x\n").expect_err("down");
    assert_eq!(refusal.code, code::TRY_LATER);
    assert!(refusal.text.contains("is the daemon running?"), "{}", refusal.text);
    let (address, session) = listener(&[]);
    try_send(vec![unused, address], "a@b.example", "x\n").expect("the second place answers");
    session.join().unwrap();
}

#[test]
fn what_cannot_be_sent_is_refused_before_anybody_is_asked() {
    let nobody = || Vec::new();
    for (options, mail, exit, words) in [
        ("", "x\n", code::USAGE, "name recipients"),
        ("-t", "Subject: s\n\nTo: a@b.example\n", code::DATA, "names no recipient"),
        ("@", "x\n", code::DATA, "not a mail address"),
        ("a@b.example", &*"x".repeat(10_001), code::DATA, "larger than"),
    ] {
        let refusal = try_send(nobody(), options, mail).expect_err(options);
        assert_eq!(refusal.code, exit, "{options}: {refusal:?}");
        assert!(refusal.text.contains(words), "{options}: {refusal:?}");
    }
}

#[test]
fn loopback_comes_first_and_all_addresses_mean_loopback() {
    let listener = |address: &str, tls| Listener { address: address.parse().unwrap(), tls, ..Listener::default() };
    let listeners = [
        listener("192.0.2.1:25", ListenerTls::None),
        listener("0.0.0.0:465", ListenerTls::Implicit),
        listener("[::]:587", ListenerTls::StartTls),
        listener("0.0.0.0:25", ListenerTls::None),
    ];
    let addresses: Vec<String> = plain_addresses(&listeners).iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["[::1]:587", "127.0.0.1:25", "192.0.2.1:25"]);
}
