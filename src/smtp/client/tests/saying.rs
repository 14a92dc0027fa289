//! What a connection notes of what was said: everything but credentials and content, bounded.

use super::*;
use crate::smtp::{client::tape::Secrets, conversation::TEXT_OCTETS_MAX};

fn lines(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|e| format!("{} {}", e.said.word(), e.text)).collect()
}

#[test]
fn the_opening_and_each_transaction_are_noted_with_their_times() {
    let mut play = Play::new(setup(TlsMode::Never));
    play.client.at(Duration::from_millis(3));
    play.run("S: 220 hi\nC: EHLO us.example\nS: 250-them\nS: 250 PIPELINING\nREADY");
    let opening = play.client.opening().clone();
    assert_eq!(lines(&opening), ["peer 220 hi", "we EHLO us.example", "peer 250-them\n250 PIPELINING"]);
    assert!(opening.iter().all(|e| e.at == Duration::from_millis(3)));
    play.client.at(Duration::from_millis(50));
    play.begin(&["u@x.example", "v@x.example"], &MailParams::default());
    play.client.at(Duration::from_millis(70));
    play.run(
        "C: MAIL FROM:<a@us.example>\nC: RCPT TO:<u@x.example>\nC: RCPT TO:<v@x.example>\nC: DATA\nS: 250 2.1.0 ok\n\
         S: 250 ok\nS: 550 5.1.1 who?\nS: 354 go\nCONTENT\nS: 250 2.0.0 kept\nREADY",
    );
    let said = play.client.take_said();
    assert_eq!(
        lines(&said),
        [
            "we MAIL FROM:<a@us.example>",
            "we RCPT TO:<u@x.example>",
            "we RCPT TO:<v@x.example>",
            "we DATA",
            "peer 250 2.1.0 ok",
            "peer 250 ok",
            "peer 550 5.1.1 who?",
            "peer 354 go",
            "content 1000",
            "peer 250 2.0.0 kept",
        ]
    );
    let whom: Vec<_> = said.iter().map(|e| (e.about, e.turn)).collect();
    assert_eq!(whom[2], (About::Recipient(1), 2));
    assert_eq!(whom[6], (About::Recipient(1), 2));
    assert_eq!((said[0].at, said[6].at), (Duration::from_millis(50), Duration::from_millis(70)));
    // The next transaction begins anew.
    play.begin(&["w@x.example"], &MailParams::default());
    play.client.closed("Connection reset by peer");
    let said = lines(&play.client.take_said());
    assert_eq!(said.last().map(String::as_str), Some("closed Connection reset by peer"));
    assert!(said.iter().all(|line| !line.contains("u@x.example")));
}

#[test]
fn credentials_are_never_noted_even_where_the_peer_repeats_them() {
    let login = Login { user: "mailer".into(), password: Secret::new("correct-horse".into()), in_clear: true };
    let token = BASE64.encode("\0mailer\0correct-horse");
    let (user, password) = (BASE64.encode("mailer"), BASE64.encode("correct-horse"));
    for dialog in [
        format!(
            "S: 250 AUTH PLAIN\nC: AUTH PLAIN {token}\nS: 535 5.7.8 no: {token} ({password}) is correct-horse\nCLOSE"
        ),
        format!("S: 250 AUTH PLAIN\nC: AUTH PLAIN {token}\nS: 535 5.7.8 you said {}\nCLOSE", &token[..18]),
        format!(
            "S: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: {user}\nS: 334 UGFzc3dvcmQ6\nC: {password}\n\
             S: 535-5.7.8 {user}\nS: 535 5.7.8 {password}\nCLOSE"
        ),
    ] {
        let mut play = Play::new(Setup { login: Some(login.clone()), ..setup(TlsMode::Never) });
        play.run(&format!("S: 220 hi\nC: EHLO us.example\nS: 250-them\n{dialog}"));
        let said = lines(&play.client.take_said()).join("\n");
        let fault = format!("{:?}", play.client.fault());
        for text in [&said, &fault] {
            for secret in [&token, &password, &user, "correct-horse", &token[..18]] {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        }
        assert!(said.contains("secret AUTH") && said.contains("[hidden]") && fault.contains("[hidden]"), "{said}");
    }
    // Nothing is taken from answers where there is nothing to hide.
    let mut reply = Reply::plain(250, "it is correct-horse");
    Secrets::default().blot(&mut reply);
    assert_eq!(reply.text, "it is correct-horse");
}

#[test]
fn a_talkative_peer_and_a_hundred_recipients_fill_no_memory() {
    let to: Vec<String> = (0..100).map(|n| format!("{n}{}@x.example", "u".repeat(60))).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let mut play = Play::new(setup(TlsMode::Never));
    play.run("S: 220 hi\nC: EHLO us.example\nS: 250-them\nS: 250 PIPELINING");
    play.begin(&to, &MailParams::default());
    play.collect();
    let long = format!("{}\r\n", "x".repeat(500));
    let answer = |code: &str| format!("{}{code} {long}", format!("{code}-{long}").repeat(19));
    play.client.receive(answer("250").as_bytes());
    for _ in &to {
        play.client.receive(answer("250").as_bytes());
    }
    let said = play.client.take_said();
    let octets: usize = said.iter().map(|e| e.text.len()).sum();
    assert!(octets < 48 * 1024, "{octets}");
    assert!(said.iter().all(|e| e.text.len() <= TEXT_OCTETS_MAX + 3));
    assert_eq!(said.iter().filter(|e| e.said == Said::Peer).count(), 101);
}

#[test]
fn what_ends_a_connection_is_noted_in_its_kind() {
    let after_data = "S: 220 hi\nC: EHLO us.example\nS: 250 them";
    for (what, want) in [
        ("closed", "closed "),
        ("silent", "silent 5m"),
        ("nonsense", "nonsense not an SMTP reply: \"<html>\""),
        ("refused", "peer 421 4.3.2 going down"),
    ] {
        let mut play = Play::new(setup(TlsMode::Never));
        play.run(after_data);
        play.begin(&["u@x.example"], &MailParams::default());
        play.collect();
        match what {
            "closed" => play.client.closed(""),
            "silent" => play.client.timed_out(),
            "nonsense" => play.client.receive(b"<html>\r\n"),
            _ => play.client.receive(b"421 4.3.2 going down\r\n"),
        }
        assert_eq!(lines(&play.client.take_said()).last().map(String::as_str), Some(want));
    }
    let mut play = Play::new(setup(TlsMode::Always));
    play.run("S: 220 hi\nC: EHLO us.example\nS: 250-them\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go");
    play.client.tls_failed("certificate expired");
    assert_eq!(lines(&play.client.take_said()).last().map(String::as_str), Some("tls_broken certificate expired"));
}
