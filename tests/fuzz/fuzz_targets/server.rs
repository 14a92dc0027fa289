//! Any octets, in any pieces: the server core neither panics, nor promises what was not stored, nor lets a bad line end through,
//! and says the same however the octets are cut.

#![no_main]

use hikyaku::smtp::{
    reply::Reply,
    server::{Answer, AuthOffer, Extensions, Now, Question, Role, Session, SessionConfig, Steps, TlsOffer},
    step::Step,
};
use libfuzzer_sys::fuzz_target;

const MESSAGE_SIZE_MAX: u64 = 5_000;

fuzz_target!(|data: &[u8]| {
    let [choices, piece, input @ ..] = data else { return };
    let whole = run(*choices, input.len().max(1), input);
    let pieces = run(*choices, usize::from(*piece).max(1), input);
    assert_eq!(whole, pieces);
});

/// What was said, and what was stored.
#[derive(Debug, PartialEq, Default)]
struct Told {
    said: Vec<u8>,
    stored: Vec<Vec<u8>>,
}

fn run(choices: u8, piece: usize, input: &[u8]) -> Told {
    let on = |bit: u8| choices & (1 << bit) != 0;
    let mut session = Session::new(SessionConfig {
        hostname: "relay.test".into(),
        role: if on(0) { Role::Inbound } else { Role::Relay },
        tls: if on(1) { TlsOffer::Offered } else { TlsOffer::None },
        tls_required_for_mail: on(2),
        auth: AuthOffer { offered: on(3), required: false, in_clear_refused: on(4) },
        message_size_max: MESSAGE_SIZE_MAX,
        recipients_max: 3,
        bare_newline_normalize: on(5),
        extensions: Extensions {
            mt_priority: on(7),
            future_release_seconds_max: if on(7) { 3_600 } else { 0 },
            deliver_by: on(7),
            require_tls: on(7),
        },
    });
    let mut told = Told::default();
    let mut spool = Vec::new();
    let steps = session.start();
    let mut goes_on = carry_out(&mut session, steps, &mut told, &mut spool, on(6), on(7));
    for piece in input.chunks(piece) {
        if !goes_on {
            break;
        }
        session.time_is(Now { unix_seconds: 1_795_527_310, steady_seconds: 0 });
        let steps = session.receive(piece);
        goes_on = carry_out(&mut session, steps, &mut told, &mut spool, on(6), on(7));
    }
    let said = told.said.strip_suffix(b"\r\n").unwrap_or(&told.said);
    for line in said.split(|b| *b == b'\n') {
        assert!(line.len() < 512 && line.iter().all(|b| matches!(b, b' '..=b'~' | b'\r')));
    }
    let promises = told.said.windows(19).filter(|w| w == b"250 2.0.0 Queued as").count();
    assert_eq!(promises, told.stored.len(), "a 250 for each stored message, and for nothing else");
    told
}

/// The shell; false when the session is over.
fn carry_out(
    session: &mut Session<usize>,
    mut steps: Steps,
    told: &mut Told,
    spool: &mut Vec<u8>,
    refuses: bool,
    choices_offer: bool,
) -> bool {
    loop {
        let mut answer = None;
        for step in steps {
            match step {
                Step::Write(bytes) => told.said.extend(bytes),
                Step::Content(bytes) => spool.extend(bytes),
                Step::Read { .. } => {
                    if !session.content_wanted() {
                        spool.clear();
                    }
                    return true;
                }
                // The handshake comes when all octets did: those behind STARTTLS must be forgotten, however they came.
                Step::StartTls => return true,
                Step::Close => return false,
                Step::SendContent { .. } => unreachable!("a server sends no content"),
                Step::Ask(Question::Login { name, .. }) => answer = Some(Answer::LoggedIn { name }),
                Step::Ask(Question::Sender { params, .. }) => {
                    assert!(choices_offer || (params.mt_priority, params.hold, params.by) == (None, None, None));
                    assert!(!params.require_tls, "there is no TLS here");
                    spool.clear();
                    answer = Some(Answer::Yes);
                }
                Step::Ask(Question::Recipient { count, .. }) => {
                    answer =
                        Some(if refuses && count == 1 { Answer::No(Reply::relaying_refused()) } else { Answer::Yes });
                }
                Step::Ask(Question::Message { size, envelope }) => {
                    assert!(!envelope.recipients.is_empty() && envelope.recipients.len() <= 3);
                    assert!(size == spool.len() as u64 && size <= MESSAGE_SIZE_MAX);
                    assert!(!spool.contains(&0) && is_well_formed(spool));
                    told.stored.push(std::mem::take(spool));
                    answer = Some(Answer::Queued(told.stored.len()));
                }
            }
        }
        match answer {
            Some(answer) => steps = session.answer(answer),
            None => return true,
        }
    }
}

/// Every CR is followed by LF, every LF preceded by CR.
fn is_well_formed(content: &[u8]) -> bool {
    content.iter().enumerate().all(|(i, b)| match b {
        b'\r' => content.get(i + 1) == Some(&b'\n'),
        b'\n' => i > 0 && content[i - 1] == b'\r',
        _ => true,
    })
}
