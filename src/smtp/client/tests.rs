//! Dialogs: what the client says to each answer.

mod delivery;
mod saying;

use proptest::prelude::*;

use super::*;
use crate::{
    secret::Secret,
    smtp::{
        address::Mailbox,
        params::{BodyType, MailParams, Notify, RcptParams, Ret},
    },
};

fn setup(tls: TlsMode) -> Setup {
    Setup { hello: "us.example".into(), tls, secure: false, login: None, timeouts: Timeouts::default() }
}

fn login() -> Option<Login> {
    Some(Login { user: "u".into(), password: Secret::new("p".into()), in_clear: true })
}

fn boxes(addresses: &[&str]) -> Vec<Mailbox> {
    addresses.iter().map(|a| Mailbox::parse(a).expect("an address")).collect()
}

/// Runs a dialog: lines `S:` are fed, lines `C:` must be what the client writes; `TLS`, `CONTENT` and `NEXT` are steps.
struct Play {
    client: Client,
    written: Vec<u8>,
}

impl Play {
    fn new(setup: Setup) -> Self {
        Play { client: Client::new(setup), written: Vec::new() }
    }

    fn run(&mut self, script: &str) -> &mut Self {
        for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
            self.collect();
            match line.split_once(' ').unwrap_or((line, "")) {
                ("S:", text) => {
                    assert!(
                        self.written.is_empty(),
                        "unexpected: {:?} before {line}",
                        String::from_utf8_lossy(&self.written)
                    );
                    self.client.receive(format!("{text}\r\n").as_bytes());
                }
                ("C:", text) => {
                    let want = format!("{text}\r\n");
                    let n = want.len().min(self.written.len());
                    let got: Vec<u8> = self.written.drain(..n).collect();
                    assert_eq!(String::from_utf8_lossy(&got), want);
                }
                ("TLS", _) => {
                    assert_eq!(self.client.step(), Some(Step::StartTls));
                    self.client.tls_started();
                }
                ("CONTENT", _) => {
                    assert_eq!(self.client.step(), Some(Step::SendContent { dot_stuffed: true }));
                    self.client.content_sent();
                }
                ("READY", _) => assert_eq!(self.client.step(), None),
                ("CLOSE", _) => assert_eq!(self.client.step(), Some(Step::Close)),
                other => panic!("script: {other:?}"),
            }
        }
        self.collect();
        assert!(self.written.is_empty(), "left: {:?}", String::from_utf8_lossy(&self.written));
        self
    }

    fn collect(&mut self) {
        while !self.client.out.is_empty() {
            match self.client.step() {
                Some(Step::Write(bytes)) => self.written.extend(bytes),
                other => panic!("{other:?}"),
            }
        }
    }

    fn begin(&mut self, to: &[&str], params: &MailParams) -> &mut Self {
        self.begin_from(Some("a@us.example"), to, params, None)
    }

    fn begin_from(&mut self, from: Option<&str>, to: &[&str], params: &MailParams, by_left: Option<i64>) -> &mut Self {
        let from = from.map(|from| Mailbox::parse(from).expect("an address"));
        let (to, rcpt) = (boxes(to), RcptParams::default());
        let recipients: Vec<_> = to.iter().map(|m| (m, &rcpt)).collect();
        self.client.begin(&Transaction {
            sender: from.as_ref(),
            params,
            size: 1000,
            header_is_8bit: false,
            by_left,
            reports_to_us: None,
            recipients: &recipients,
        });
        self
    }

    /// The ends as `250`, or phase and code or kind of trouble.
    fn ends(&mut self) -> Vec<String> {
        self.client.take_ends().iter().map(short).collect()
    }
}

fn short(end: &End) -> String {
    match end {
        End::Taken(reply) => reply.code.to_string(),
        End::Refused(Fault { phase, trouble: Trouble::Reply(reply) }) => format!("{} {}", phase.word(), reply.code),
        End::Refused(Fault { phase, trouble }) => {
            let name = format!("{trouble:?}");
            let name = name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            format!("{} {name}", phase.word())
        }
    }
}

/// A client that is ready, with the given EHLO lines.
fn ready(offers: &[&str]) -> Play {
    let mut play = Play::new(setup(TlsMode::Never));
    play.run("S: 220 hi\nC: EHLO us.example");
    let mut ehlo = String::from("250-them");
    for offer in offers {
        ehlo.push_str(&format!("\r\n250-{offer}"));
    }
    play.client.receive(format!("{ehlo}\r\n250 HELP\r\n").as_bytes());
    play.run("READY");
    play
}

#[test]
fn a_message_goes_out_pipelined_and_the_next_follows_on_the_same_connection() {
    let mut play = ready(&["PIPELINING", "SIZE 5000", "8BITMIME"]);
    let params = MailParams { body: BodyType::EightBitMime, ..MailParams::default() };
    play.begin(&["x@b", "y@b"], &params).run(
        "C: MAIL FROM:<a@us.example> SIZE=1000 BODY=8BITMIME
         C: RCPT TO:<x@b>
         C: RCPT TO:<y@b>
         C: DATA
         S: 250 ok
         S: 250 ok
         S: 550 5.1.1 no
         S: 354 go
         CONTENT
         S: 250 2.0.0 kept
         READY",
    );
    assert_eq!(play.ends(), ["250", "rcpt 550"]);
    play.begin(&["z@b"], &MailParams::default()).run(
        "C: MAIL FROM:<a@us.example> SIZE=1000
         C: RCPT TO:<z@b>
         C: DATA
         S: 250 ok\nS: 250 ok\nS: 354 go
         CONTENT
         S: 451 4.3.0 later
         READY",
    );
    assert_eq!(play.ends(), ["content 451"]);
    assert_eq!(play.client.transactions(), 2);
    assert!(play.client.is_reusable());
    play.client.quit();
    play.run("C: QUIT\nS: 221 bye\nCLOSE");
    assert_eq!(play.client.fault(), None);
}

#[test]
fn without_pipelining_each_command_waits_for_its_answer() {
    let mut play = ready(&[]);
    play.begin(&["x@b", "y@b"], &MailParams::default()).run(
        "C: MAIL FROM:<a@us.example>
         S: 250 ok
         C: RCPT TO:<x@b>
         S: 450 later
         C: RCPT TO:<y@b>
         S: 250 ok
         C: DATA
         S: 354 go
         CONTENT
         S: 250 kept
         READY",
    );
    assert_eq!(play.ends(), ["rcpt 450", "250"]);
}

#[test]
fn when_all_recipients_are_refused_no_content_is_sent() {
    // Lockstep: DATA is not even said, and RSET goes before the next MAIL.
    let mut play = ready(&[]);
    play.begin(&["x@b"], &MailParams::default())
        .run("C: MAIL FROM:<a@us.example>\nS: 250 ok\nC: RCPT TO:<x@b>\nS: 550 no\nREADY");
    assert_eq!(play.ends(), ["rcpt 550"]);
    play.begin(&["y@b"], &MailParams::default())
        .run("C: RSET\nS: 250 ok\nC: MAIL FROM:<a@us.example>\nS: 250 ok\nC: RCPT TO:<y@b>\nS: 250 ok\nC: DATA");

    // Pipelined, the peer refuses DATA …
    let mut play = ready(&["PIPELINING"]);
    play.begin(&["x@b"], &MailParams::default()).run(
        "C: MAIL FROM:<a@us.example>\nC: RCPT TO:<x@b>\nC: DATA\nS: 250 ok\nS: 550 no\nS: 503 no recipients\nREADY",
    );
    assert_eq!(play.ends(), ["rcpt 550"]);
    // … or asks for content all the same: a lone dot ends it, and no RSET is needed.
    play.begin(&["x@b"], &MailParams::default()).run(
        "C: RSET\nC: MAIL FROM:<a@us.example>\nC: RCPT TO:<x@b>\nC: DATA
         S: 250 ok\nS: 250 ok\nS: 550 no\nS: 354 go
         C: .
         S: 554 no recipients
         READY",
    );
    assert_eq!(play.ends(), ["rcpt 550"]);
    // A refused MAIL decides for all, whatever RCPT and DATA are answered.
    play.begin(&["x@b", "y@b"], &MailParams::default()).run(
        "C: MAIL FROM:<a@us.example>\nC: RCPT TO:<x@b>\nC: RCPT TO:<y@b>\nC: DATA
         S: 553 bad sender\nS: 503 first MAIL\nS: 503 first MAIL\nS: 354 go
         C: .
         S: 250 thank you
         READY",
    );
    assert_eq!(play.ends(), ["mail 553", "mail 553"]);
}

#[test]
fn data_refused_concerns_those_that_were_accepted() {
    let mut play = ready(&["PIPELINING"]);
    play.begin(&["x@b", "y@b"], &MailParams::default()).run(
        "C: MAIL FROM:<a@us.example>\nC: RCPT TO:<x@b>\nC: RCPT TO:<y@b>\nC: DATA
         S: 250 ok\nS: 550 no\nS: 250 ok\nS: 451 busy\nREADY",
    );
    assert_eq!(play.ends(), ["rcpt 550", "data 451"]);
}

#[test]
fn ehlo_refused_falls_back_to_helo_and_then_nothing_is_offered() {
    let mut play = Play::new(setup(TlsMode::IfOffered));
    play.run("S: 220-hello\nS: 220 there\nC: EHLO us.example\nS: 502 what\nC: HELO us.example\nS: 250 ok\nREADY");
    assert_eq!(*play.client.peer(), Peer::default());
    let mut play = Play::new(setup(TlsMode::IfOffered));
    play.run("S: 220 hi\nC: EHLO us.example\nS: 502 what\nC: HELO us.example\nS: 550 go away\nCLOSE");
    assert_eq!(play.client.fault().map(|f| f.phase), Some(Phase::Ehlo));
}

#[test]
fn starttls_is_asked_for_where_the_mode_says_and_what_was_learnt_in_clear_is_forgotten() {
    let mut play = Play::new(setup(TlsMode::IfOffered));
    play.run(
        "S: 220 hi\nC: EHLO us.example\nS: 250-them\nS: 250-PIPELINING\nS: 250 STARTTLS
         C: STARTTLS\nS: 220 go\nTLS
         C: EHLO us.example\nS: 250-them\nS: 250 SIZE\nREADY",
    );
    assert!(!play.client.peer().pipelining && play.client.peer().size);

    for (mode, script, fault) in [
        (TlsMode::Never, "S: 250 STARTTLS\nREADY", None),
        (TlsMode::IfOffered, "S: 250 HELP\nREADY", None),
        (TlsMode::IfOffered, "S: 250 STARTTLS\nC: STARTTLS\nS: 454 not now\nREADY", None),
        (TlsMode::Always, "S: 250 HELP\nCLOSE", Some(Phase::StartTls)),
        (TlsMode::Always, "S: 250 STARTTLS\nC: STARTTLS\nS: 454 not now\nCLOSE", Some(Phase::StartTls)),
    ] {
        let mut play = Play::new(setup(mode));
        play.run("S: 220 hi\nC: EHLO us.example\nS: 250-them").run(script);
        assert_eq!(play.client.fault().map(|f| f.phase), fault, "{mode:?} {script}");
    }
}

#[test]
fn words_put_in_before_the_handshake_are_not_believed() {
    let mut play = Play::new(setup(TlsMode::IfOffered));
    play.run("S: 220 hi\nC: EHLO us.example\nS: 250-them\nS: 250 STARTTLS\nC: STARTTLS");
    play.client.receive(b"220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n");
    assert!(matches!(play.client.fault(), Some(Fault { phase: Phase::StartTls, trouble: Trouble::NotSmtp(_) })));
}

#[test]
fn login_by_plain_or_login_and_never_in_clear_unless_allowed() {
    let secure = Setup { login: login(), ..setup(TlsMode::Never) };
    for (script, fault) in [
        ("S: 250 AUTH LOGIN PLAIN\nC: AUTH PLAIN AHUAcA==\nS: 235 ok\nREADY", None),
        (
            "S: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: dQ==\nS: 334 UGFzc3dvcmQ6\nC: cA==\nS: 235 ok\nREADY",
            None,
        ),
        ("S: 250 AUTH LOGIN PLAIN\nC: AUTH PLAIN AHUAcA==\nS: 535 5.7.8 wrong\nCLOSE", Some(Phase::Auth)),
        ("S: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: dQ==\nS: 535 wrong\nCLOSE", Some(Phase::Auth)),
        ("S: 250 AUTH CRAM-MD5\nCLOSE", Some(Phase::Auth)),
        ("S: 250 HELP\nCLOSE", Some(Phase::Auth)),
    ] {
        let mut play = Play::new(secure.clone());
        play.run("S: 220 hi\nC: EHLO us.example\nS: 250-them").run(script);
        assert_eq!(play.client.fault().map(|f| f.phase), fault, "{script}");
    }
    let mut clear = secure;
    clear.login = login().map(|l| Login { in_clear: false, ..l });
    let mut play = Play::new(clear);
    play.run("S: 220 hi\nC: EHLO us.example\nS: 250-them\nS: 250 AUTH PLAIN\nCLOSE");
    assert!(matches!(play.client.fault(), Some(Fault { trouble: Trouble::LoginUnusable(_), .. })));
}

#[test]
fn a_goodbye_ends_every_phase_and_says_which() {
    let dialog = "C: MAIL FROM:<a@us.example>\nC: RCPT TO:<x@b>\nC: DATA";
    for (script, want) in [
        (format!("{dialog}\nS: 421 bye\nCLOSE"), "mail 421"),
        (format!("{dialog}\nS: 250 ok\nS: 421 bye\nCLOSE"), "rcpt 421"),
        (format!("{dialog}\nS: 250 ok\nS: 250 ok\nS: 421 bye\nCLOSE"), "data 421"),
        (format!("{dialog}\nS: 250 ok\nS: 250 ok\nS: 354 go\nCONTENT\nS: 421 bye\nCLOSE"), "content 421"),
        (format!("{dialog}\nS: 250 ok\nS: 250 ok\nS: 354 go\nS: 552 too much\nCLOSE"), "content 552"),
    ] {
        let mut play = ready(&["PIPELINING"]);
        play.begin(&["x@b"], &MailParams::default()).run(&script);
        assert_eq!(play.ends(), [want], "{script}");
    }
    let mut play = Play::new(setup(TlsMode::Never));
    play.run("S: 421 not now\nCLOSE");
    assert_eq!(play.client.fault().map(|f| f.phase), Some(Phase::Greeting));
}

#[test]
fn a_lost_connection_before_the_dot_differs_from_one_after_it() {
    let dialog = "C: MAIL FROM:<a@us.example>\nC: RCPT TO:<x@b>\nC: DATA";
    for (script, closed, timed_out) in [
        ("", "mail Closed", "mail TimedOut"),
        ("S: 250 ok", "rcpt Closed", "rcpt TimedOut"),
        ("S: 250 ok\nS: 250 ok", "data Closed", "data TimedOut"),
        ("S: 250 ok\nS: 250 ok\nS: 354 go", "content Closed", "content TimedOut"),
        ("S: 250 ok\nS: 250 ok\nS: 354 go\nCONTENT", "content LostAfterDot", "content LostAfterDot"),
        ("S: 250 ok\nS: 250 ok\nS: 354 go\nCONTENT\nS: what?", "content LostAfterDot", "content LostAfterDot"),
        ("S: 250 ok\nS: 250 ok\nS: 354 go\nCONTENT\nS: 354 again?", "content LostAfterDot", "content LostAfterDot"),
    ] {
        for (end, want) in [(Client::closed as fn(&mut Client, &str), closed), (|c, _| c.timed_out(), timed_out)] {
            let mut play = ready(&["PIPELINING"]);
            play.begin(&["x@b"], &MailParams::default()).run(dialog).run(script);
            end(&mut play.client, "");
            assert_eq!(play.ends(), [want], "{script}");
            assert!(play.client.fault().is_some() && !play.client.is_reusable());
        }
    }
}

#[test]
fn patience_is_that_of_rfc_5321() {
    let within = |play: &mut Play| match play.client.step() {
        Some(Step::Read { within }) => words(within),
        other => panic!("{other:?}"),
    };
    let mut play = Play::new(setup(TlsMode::Never));
    assert_eq!(within(&mut play), "5m");
    let mut play = ready(&[]);
    play.begin(&["x@b"], &MailParams::default()).run("C: MAIL FROM:<a@us.example>");
    assert_eq!(within(&mut play), "5m");
    play.run("S: 250 ok\nC: RCPT TO:<x@b>");
    assert_eq!(within(&mut play), "5m");
    play.run("S: 250 ok\nC: DATA");
    assert_eq!(within(&mut play), "2m");
    play.run("S: 354 go\nCONTENT");
    assert_eq!(within(&mut play), "10m");
}

#[test]
fn what_the_peer_cannot_take_fails_before_a_word_is_said() {
    let mut play = ready(&["SIZE 999"]);
    play.begin(&["x@b"], &MailParams::default()).run("READY");
    assert_eq!(play.ends(), ["mail TooLarge"]);

    let utf8 = MailParams { smtputf8: true, ..MailParams::default() };
    let mut play = ready(&[]);
    play.begin(&["用户@b", "x@b"], &utf8).run(
        "C: MAIL FROM:<a@us.example>\nS: 250 ok\nC: RCPT TO:<x@b>\nS: 250 ok\nC: DATA\nS: 354 go\nCONTENT\nS: 250 ok",
    );
    assert_eq!(play.ends(), ["mail NeedsUtf8Address", "250"]);

    let mut play = ready(&["SMTPUTF8"]);
    play.begin(&["用户@b"], &utf8)
        .run("C: MAIL FROM:<a@us.example> SMTPUTF8\nS: 250 ok\nC: RCPT TO:<用户@b>\nS: 250 ok\nC: DATA");

    // An 8-bit header that was submitted with SMTPUTF8 fails; one that came raw passes as it is.
    let rcpt = RcptParams::default();
    let to = boxes(&["x@b"]);
    let recipients = [(&to[0], &rcpt)];
    for (params, want) in [(utf8, true), (MailParams::default(), false)] {
        let mut play = ready(&[]);
        play.client.begin(&Transaction {
            sender: None,
            params: &params,
            size: 1,
            header_is_8bit: true,
            by_left: None,
            reports_to_us: None,
            recipients: &recipients,
        });
        assert_eq!(play.client.out.is_empty(), want);
        if want {
            assert_eq!(play.ends(), ["mail NeedsUtf8Header"]);
        } else {
            play.run("C: MAIL FROM:<>\nS: 250 ok\nC: RCPT TO:<x@b>\nS: 250 ok\nC: DATA");
        }
    }
}

#[test]
fn dsn_parameters_go_where_dsn_is_offered_and_nowhere_else() {
    let params = MailParams { ret: Some(Ret::Headers), envid: Some("E+2B1".into()), ..MailParams::default() };
    let notify = |success, failure, delay| Notify { given: true, success, failure, delay };
    let to = boxes(&["x+1@b", "y@b", "z+1@b"]);
    let asked = [
        RcptParams { notify: notify(true, true, false), orcpt: Some("rfc822;orig@b".into()) },
        RcptParams { notify: notify(false, false, false), orcpt: Some("evil x".into()) },
        RcptParams::default(),
    ];
    let recipients: Vec<_> = to.iter().zip(&asked).collect();
    let t = Transaction {
        sender: None,
        params: &params,
        size: 1,
        header_is_8bit: false,
        by_left: None,
        reports_to_us: None,
        recipients: &recipients,
    };
    let mut play = ready(&["DSN", "PIPELINING"]);
    play.client.begin(&t);
    play.run(
        "C: MAIL FROM:<> RET=HDRS ENVID=E+2B1
         C: RCPT TO:<x+1@b> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;orig@b
         C: RCPT TO:<y@b> NOTIFY=NEVER ORCPT=rfc822;y@b
         C: RCPT TO:<z+1@b> ORCPT=rfc822;z+2B1@b
         C: DATA",
    );
    let mut play = ready(&["PIPELINING"]);
    play.client.begin(&t);
    play.run("C: MAIL FROM:<>\nC: RCPT TO:<x+1@b>\nC: RCPT TO:<y@b>\nC: RCPT TO:<z+1@b>\nC: DATA");
}

#[test]
fn limits_and_a_552_for_too_many_are_honoured() {
    let mut play = ready(&["LIMITS MAILMAX=1", "PIPELINING"]);
    assert!(play.client.is_reusable());
    play.begin(&["x@b", "y@b"], &MailParams::default()).run(
        "C: MAIL FROM:<a@us.example>\nC: RCPT TO:<x@b>\nC: RCPT TO:<y@b>\nC: DATA
         S: 250 ok\nS: 250 ok\nS: 552 too many recipients\nS: 354 go\nCONTENT\nS: 250 ok",
    );
    assert_eq!(play.ends(), ["250", "rcpt 452"]);
    assert!(!play.client.is_reusable());
}

#[test]
fn many_recipients_are_pipelined_in_pieces() {
    let to: Vec<String> = (0..1000).map(|n| format!("{n}-{}@example.org", "x".repeat(40))).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let mut play = ready(&["PIPELINING"]);
    play.begin(&to, &MailParams::default());
    let (mut seen, mut writes) = (0, 0);
    while let Some(step) = play.client.step() {
        match step {
            Step::Write(bytes) => {
                assert!(bytes.len() <= PIPELINE_OCTETS_MAX);
                writes += 1;
                for line in String::from_utf8_lossy(&bytes).lines() {
                    seen += 1;
                    play.client.receive(if line == "DATA" { b"354 go\r\n" } else { b"250 ok\r\n" });
                }
            }
            Step::SendContent { .. } => play.client.content_sent(),
            Step::Read { .. } => play.client.receive(b"250 kept\r\n"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, 1002);
    assert!(writes > 3);
    assert!(play.ends().iter().all(|e| e == "250"));
}

proptest! {
    /// Whatever a peer answers, in whatever order: every recipient gets one end, content follows only a 354, and nobody
    /// counts as taken without a 2yz after the content.
    #[test]
    fn any_answers_lead_to_an_end(
        codes in prop::collection::vec(prop_oneof![4 => Just(250u16), 2 => Just(354u16), 1 => Just(220u16), 1 => Just(334u16), 1 => Just(421u16), 1 => Just(450u16), 1 => Just(550u16), 1 => 200u16..600], 0..40),
        pipelining: bool,
        cut in 1usize..9,
        messages in 1usize..4,
    ) {
        let mut play = ready(if pipelining { &["PIPELINING"] } else { &[] });
        let mut codes = codes.into_iter();
        for _ in 0..messages {
            if play.client.fault().is_some() {
                break;
            }
            play.begin(&["x@b", "y@b"], &MailParams::default());
            let (mut contents, mut last) = (0, 0);
            // Each step either feeds an answer, of which there are few, or leads to one.
            for _ in 0..200 {
                match play.client.step() {
                    None | Some(Step::Close) => break,
                    Some(Step::Read { .. }) => match codes.next() {
                        Some(code) => {
                            last = code;
                            let line = format!("{code} x\r\n");
                            line.as_bytes().chunks(cut).for_each(|piece| play.client.receive(piece));
                        }
                        None => play.client.closed(""),
                    },
                    Some(Step::SendContent { .. }) => {
                        prop_assert_eq!(last, 354);
                        contents += 1;
                        play.client.content_sent();
                    }
                    Some(Step::Write(_)) => {}
                    Some(other) => panic!("{other:?}"),
                }
            }
            prop_assert!(matches!(play.client.step(), None | Some(Step::Close)));
            let ends = play.client.take_ends();
            prop_assert_eq!(ends.len(), 2);
            if ends.iter().any(|e| matches!(e, End::Taken(_))) {
                prop_assert_eq!(contents, 1);
                prop_assert!((200..300).contains(&last));
            }
        }
    }

    #[test]
    fn any_octets_at_all_do_no_harm(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
        let mut play = Play::new(setup(TlsMode::IfOffered));
        for piece in pieces {
            play.collect();
            play.client.receive(&piece);
        }
        play.client.closed("");
        prop_assert!(play.client.fault().is_some());
    }
}
