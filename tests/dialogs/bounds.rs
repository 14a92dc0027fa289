//! Bounds that are too large for a dialog file: what a peer can send for ever, it cannot.

use hikyaku::smtp::{
    reply::Reply,
    server::{Answer, Session, StateName, Steps, limits},
    step::Step,
};

use crate::script;

fn session(settings: &str, lines: &str) -> Session<String> {
    let mut session = Session::new(script::config(settings).expect("the settings are right"));
    let _ = session.start();
    let mut steps = session.receive(lines.as_bytes());
    while let Some(Step::Ask(_)) = steps.last() {
        steps = session.answer(Answer::Yes);
    }
    session
}

fn said(steps: &Steps) -> String {
    let written = steps.iter().map(|s| if let Step::Write(bytes) = s { bytes.as_slice() } else { b"" });
    String::from_utf8(written.collect::<Vec<_>>().concat()).expect("replies are ASCII")
}

/// Feeds blocks until the session closes; answers the last words and how many octets it took.
fn feed_until_closed(session: &mut Session<String>, block: &[u8], octets_max: u64) -> (String, u64) {
    let mut octets = 0;
    while octets <= octets_max {
        let steps = session.receive(block);
        octets += block.len() as u64;
        if let Some(Step::Close) = steps.last() {
            return (said(&steps), octets);
        }
        assert!(matches!(steps.as_slice(), [Step::Read { .. }]), "{steps:?}");
    }
    panic!("the session took {octets} octets");
}

#[test]
fn a_chunk_that_nobody_wants_is_not_drained_for_ever() {
    let mut session = session("", "EHLO c.test\r\nBDAT 99999999999999 LAST\r\n");
    assert_eq!(session.state(), StateName::UnwantedChunk);
    let (words, octets) = feed_until_closed(&mut session, &[b'x'; 1 << 20], 2 * limits::DRAIN_OCTETS_MAX);
    assert!(words.starts_with("503 5.5.1 "), "{words}");
    assert_eq!(octets, limits::DRAIN_OCTETS_MAX + (1 << 20));
}

#[test]
fn input_ahead_of_an_answer_is_bounded() {
    let mut session = session("", "EHLO c.test\r\n");
    let steps = session.receive(b"MAIL FROM:<a@b.test>\r\n");
    assert!(matches!(steps.as_slice(), [Step::Ask(_)]));
    let mut octets = 0;
    loop {
        octets += 4096;
        let steps = session.receive(&[b'x'; 4096]);
        if octets > limits::INPUT_OCTETS_MAX {
            assert!(said(&steps).starts_with("421 4.7.0 ") && steps.last() == Some(&Step::Close));
            break;
        }
        assert_eq!(steps, Steps::new());
    }
    // Nothing that was left is obeyed, and a late answer is heard by nobody.
    assert_eq!(session.answer(Answer::Yes), Steps::new());
    assert_eq!(session.receive(b"NOOP\r\n"), Steps::new());
}

#[test]
fn refusals_are_bounded_on_a_relay_listener_too() {
    let mut session = session("", "EHLO c.test\r\nMAIL FROM:<a@b.test>\r\n");
    for _ in 0..limits::REFUSALS_MAX {
        let _ = session.receive(b"RCPT TO:<c@d.test>\r\n");
        assert!(said(&session.answer(Answer::No(Reply::relaying_refused()))).starts_with("550 5.7.1 "));
    }
    let _ = session.receive(b"RCPT TO:<c@d.test>\r\n");
    let steps = session.answer(Answer::No(Reply::relaying_refused()));
    assert!(said(&steps).starts_with("421 4.7.0 ") && steps.last() == Some(&Step::Close));
}

#[test]
fn an_idle_session_is_small() {
    // Ten thousand of them must fit; the shell's socket and buffers come on top.
    assert!(size_of::<Session<String>>() <= 1024, "{}", size_of::<Session<String>>());
}
