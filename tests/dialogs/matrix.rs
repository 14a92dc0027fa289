//! The state × command matrix: every command in every state, from one table.
//!
//! A verb without a row, a state without a column, or a cell that is missing fails the test.

use std::collections::BTreeSet;

use hikyaku::smtp::{
    command::{Command, Verb},
    reply::{Enhanced, Reply},
    server::{Answer, Question, Session, StateName, Steps, TlsOffer},
    step::Step,
};

use crate::script;

/// What happens: the reply's code, with `!` when the session is closed after it; `ask` a question is asked first; `wait`
/// nothing until the answer that is owed; `data` the line is content; `drop` nobody hears it.
///
/// Columns: situations in the order of [`SITUATIONS`]. Rows: a command.
const MATRIX: &str = "
EHLO c.test             554! 250 250 250 250 250 501 wait wait 250 250 250 wait data data 250 data wait drop drop
HELO c.test             554! 250 250 250 250 250 501 wait wait 250 250 250 wait data data 250 data wait drop drop
MAIL FROM:<a@b.test>    554! 503 ask ask ask ask 501 wait wait 503 503 503 wait data data 503 data wait drop drop
RCPT TO:<c@d.test>      554! 503 503 503 503 503 501 wait wait ask ask ask wait data data 503 data wait drop drop
DATA                    554! 503 503 503 503 503 501 wait wait 503 554 354 wait data data 503 data wait drop drop
BDAT 0                  554! 503 503 503 503 503 501 wait wait 503 554 250 wait data data 250 data wait drop drop
BDAT 0 LAST             554! 503 503 503 503 503 501 wait wait 503 554 ask wait data data ask data wait drop drop
RSET                    554! 250 250 250 250 250 501 wait wait 250 250 250 wait data data 250 data wait drop drop
NOOP                    554! 250 250 250 250 250 501 wait wait 250 250 250 wait data data 250 data wait drop drop
VRFY someone            554! 252 252 252 252 252 501 wait wait 252 252 252 wait data data 252 data wait drop drop
HELP                    554! 214 214 214 214 214 501 wait wait 214 214 214 wait data data 214 data wait drop drop
QUIT                    554! 221! 221! 221! 221! 221! 501 wait wait 221! 221! 221! wait data data 221! data wait drop drop
STARTTLS                554! 503 503 220 503 220 501 wait wait 220 220 220 wait data data 220 data wait drop drop
AUTH PLAIN AHUAcA==     554! 503 503 ask ask 503 501 wait wait 503 503 503 wait data data 503 data wait drop drop
EXPN list               554! 502 502 502 502 502 501 wait wait 502 502 502 wait data data 502 data wait drop drop
GET / HTTP/1.1          554! 421! 421! 421! 421! 421! 501 wait wait 421! 421! 421! wait data data 421! data wait drop drop
FNORD                   554! 500 500 500 500 500 501 wait wait 500 500 500 wait data data 500 data wait drop drop
";

type Situation = (&'static str, StateName, fn() -> Session<String>);

const SITUATIONS: [Situation; 20] = [
    ("before the greeting", StateName::Start, fresh),
    ("greeted", StateName::Greeted, greeted),
    ("after HELO", StateName::Idle, || said(greeted(), &["HELO c.test"])),
    ("after EHLO", StateName::Idle, idle),
    ("under TLS", StateName::Idle, under_tls),
    ("logged in", StateName::Idle, || answered(said(idle(), &["AUTH PLAIN AHUAcA=="]), logged_in())),
    ("within AUTH", StateName::Login, || said(idle(), &["AUTH PLAIN"])),
    ("while a login is checked", StateName::LoginAsked, || said(idle(), &["AUTH PLAIN AHUAcA=="])),
    ("while a sender is decided", StateName::SenderAsked, || said(idle(), &["MAIL FROM:<a@b.test>"])),
    ("after MAIL", StateName::Mail, mail),
    ("after a refused RCPT", StateName::Mail, || answered(rcpt_asked(), Answer::No(Reply::relaying_refused()))),
    ("after RCPT", StateName::Mail, rcpt),
    ("while a recipient is decided", StateName::RecipientAsked, rcpt_asked),
    ("after 354", StateName::Data, || said(rcpt(), &["DATA"])),
    ("within a chunk", StateName::Chunk, || said(rcpt(), &["BDAT 1000", "text"])),
    ("between chunks", StateName::BetweenChunks, || said(rcpt(), &["BDAT 6", "text"])),
    ("within an unwanted chunk", StateName::UnwantedChunk, || said(idle(), &["BDAT 1000", "text"])),
    ("while a message is stored", StateName::MessageAsked, || said(rcpt(), &["DATA", "text", "."])),
    ("before the handshake", StateName::Handshake, || said(idle(), &["STARTTLS"])),
    ("after the end", StateName::Closed, || said(idle(), &["QUIT"])),
];

#[test]
fn every_command_has_its_answer_in_every_state() {
    let mut verbs = BTreeSet::new();
    for row in MATRIX.lines().filter(|l| !l.is_empty()) {
        let (command, cells) = row.split_at(24);
        let command = command.trim_end();
        let cells: Vec<&str> = cells.split_whitespace().collect();
        assert_eq!(cells.len(), SITUATIONS.len(), "a cell is missing in the row of {command}");
        verbs.insert(format!("{:?}", Command::parse(command).verb));
        for ((name, state, situation), expected) in SITUATIONS.into_iter().zip(cells) {
            let mut session = situation();
            assert_eq!(session.state(), state, "{name}");
            let happened = what_happens(&mut session, command);
            assert_eq!(happened, expected, "{command} {name}");
        }
    }
    let all: BTreeSet<String> = Verb::ALL.iter().map(|v| format!("{v:?}")).collect();
    assert_eq!(verbs, all, "a verb has no row");
    let columns: BTreeSet<StateName> = SITUATIONS.iter().map(|(_, state, _)| *state).collect();
    assert_eq!(columns, StateName::ALL.into_iter().collect(), "a state has no column");
}

/// RFC 5321 §4.2 and RFC 2034 §4: the reply's class is that of its enhanced code; and nothing is said twice.
fn what_happens(session: &mut Session<String>, command: &str) -> String {
    let before = session.state();
    let owed = matches!(
        before,
        StateName::LoginAsked | StateName::SenderAsked | StateName::RecipientAsked | StateName::MessageAsked
    );
    let steps = session.receive(format!("{command}\r\n").as_bytes());
    let replies = written(&steps);
    let last_line = replies.split_terminator("\r\n").last().unwrap_or("").to_owned();
    if let [class, _, _, b' ', enhanced, b'.', ..] = last_line.as_bytes() {
        assert_eq!(class, enhanced, "{last_line}");
    }
    let code = last_line.get(..3).unwrap_or("").to_owned();
    match steps.last() {
        None if owed => "wait".into(),
        None => "drop".into(),
        Some(Step::Ask(_)) if code.is_empty() => "ask".into(),
        Some(Step::Read { .. }) if code.is_empty() => {
            assert_eq!(session.state(), before, "content stays content");
            "data".into()
        }
        Some(Step::Close) => format!("{code}!"),
        Some(Step::Read { .. } | Step::StartTls) => code,
        other => format!("{other:?}"),
    }
}

fn written(steps: &Steps) -> String {
    let mut out = Vec::new();
    for step in steps {
        if let Step::Write(bytes) = step {
            out.extend_from_slice(bytes);
        }
    }
    String::from_utf8(out).expect("replies are ASCII")
}

fn fresh() -> Session<String> {
    Session::new(script::config("tls=offered auth=offered").expect("the settings are right"))
}

fn greeted() -> Session<String> {
    let mut session = fresh();
    assert!(written(&session.start()).starts_with("220 relay.test "));
    session
}

fn idle() -> Session<String> {
    said(greeted(), &["EHLO c.test"])
}

fn under_tls() -> Session<String> {
    let mut config = script::config("auth=offered").expect("the settings are right");
    config.tls = TlsOffer::Active("TLSv1.3".into());
    let mut session = Session::new(config);
    let _ = session.start();
    said(session, &["EHLO c.test"])
}

fn mail() -> Session<String> {
    answered(said(idle(), &["MAIL FROM:<a@b.test>"]), Answer::Yes)
}

fn rcpt_asked() -> Session<String> {
    said(mail(), &["RCPT TO:<c@d.test>"])
}

fn rcpt() -> Session<String> {
    answered(rcpt_asked(), Answer::Yes)
}

fn logged_in() -> Answer<String> {
    Answer::LoggedIn { name: "u".into() }
}

fn said(mut session: Session<String>, lines: &[&str]) -> Session<String> {
    for line in lines {
        let _ = session.receive(format!("{line}\r\n").as_bytes());
    }
    session
}

fn answered(mut session: Session<String>, answer: Answer<String>) -> Session<String> {
    let _ = session.answer(answer);
    session
}

/// P1 as a type, and as a test: nothing but `Queued` makes the 250 after content.
#[test]
fn no_other_answer_than_queued_makes_the_250_of_a_message() {
    let no = |code| Answer::No(Reply::new(code, Enhanced(2, 0, 0), "Fine."));
    let others = [Answer::Yes, logged_in(), no(250), no(354), no(451), no(550), Answer::NoAndClose(Reply::noop())];
    for answer in others {
        let mut session = said(rcpt(), &["DATA", "text", "."]);
        let shown = format!("{answer:?}");
        let reply = written(&session.answer(answer));
        assert!(reply.starts_with(['4', '5']), "{shown} made {reply}");
    }
    let mut session = said(rcpt(), &["DATA", "text"]);
    let steps = session.receive(b".\r\n");
    assert!(matches!(steps.last(), Some(Step::Ask(Question::Message { size: 6, .. }))), "{steps:?}");
    assert_eq!(written(&steps), "", "nothing is said before the answer");
    assert_eq!(written(&session.answer(Answer::Queued("Q7".into()))), "250 2.0.0 Queued as Q7\r\n");
}
