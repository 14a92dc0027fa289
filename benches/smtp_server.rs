//! What the server core costs for a message of 10 KiB, from the greeting to QUIT, without sockets and disk.
//!
//! The content comes in reads of 16 KiB, as a shell reads it. `cargo bench --bench smtp_server`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hikyaku::smtp::{
    content::Scanner,
    server::{Answer, AuthOffer, Extensions, Question, Role, Session, SessionConfig, Steps, TlsOffer},
    step::Step,
};

const MESSAGE_OCTETS: usize = 10 * 1024;
const READ_OCTETS: usize = 16 * 1024;

fn config() -> SessionConfig {
    SessionConfig {
        hostname: "relay.example.jp".into(),
        role: Role::Relay,
        tls: TlsOffer::None,
        tls_required_for_mail: false,
        auth: AuthOffer::default(),
        message_size_max: 20 * 1024 * 1024,
        recipients_max: 1000,
        bare_newline_normalize: false,
        extensions: Extensions::default(),
    }
}

/// Lines of 70 letters, as mail has them; every tenth begins with a dot that was stuffed.
fn message() -> Vec<u8> {
    let mut message = b"From: a@example.jp\r\nSubject: bench\r\n\r\n".to_vec();
    let mut line = 0;
    while message.len() < MESSAGE_OCTETS {
        line += 1;
        message.extend_from_slice(if line % 10 == 0 { b".." } else { b"xx" });
        message.extend_from_slice(&[b'x'; 68]);
        message.extend_from_slice(b"\r\n");
    }
    message
}

/// The shell: answers yes to everything.
fn carry_out(session: &mut Session<u64>, mut steps: Steps) -> usize {
    let mut octets = 0;
    loop {
        let mut answer = None;
        for step in steps {
            match step {
                Step::Write(bytes) | Step::Content(bytes) => octets += black_box(bytes).len(),
                Step::Ask(Question::Message { .. }) => answer = Some(Answer::Queued(1)),
                Step::Ask(_) => answer = Some(Answer::Yes),
                _ => {}
            }
        }
        match answer {
            Some(answer) => steps = session.answer(answer),
            None => return octets,
        }
    }
}

fn session(reads: &[&[u8]]) -> usize {
    let mut session = Session::new(config());
    let steps = session.start();
    let mut octets = carry_out(&mut session, steps);
    for read in reads {
        let steps = session.receive(read);
        octets += carry_out(&mut session, steps);
    }
    octets
}

fn sessions(c: &mut Criterion) {
    let content = [message(), b".\r\n".to_vec()].concat();
    let mut in_turn: Vec<&[u8]> = vec![
        b"EHLO client.example.jp\r\n",
        b"MAIL FROM:<alice@example.jp>\r\n",
        b"RCPT TO:<bob@example.com>\r\n",
        b"DATA\r\n",
    ];
    in_turn.extend(content.chunks(READ_OCTETS));
    in_turn.push(b"QUIT\r\n");
    let mut pipelined: Vec<&[u8]> = vec![
        b"EHLO client.example.jp\r\n",
        b"MAIL FROM:<alice@example.jp> SIZE=10240\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n",
    ];
    pipelined.extend(content.chunks(READ_OCTETS));
    pipelined.push(b"QUIT\r\n");
    let mut group = c.benchmark_group("session of one 10 KiB message");
    group.bench_function("in turn", |b| b.iter(|| session(black_box(&in_turn))));
    group.bench_function("pipelined", |b| b.iter(|| session(black_box(&pipelined))));
    group.finish();
}

fn scanner(c: &mut Criterion) {
    let content = [message().repeat(10), b".\r\n".to_vec()].concat();
    let mut group = c.benchmark_group("content scanner");
    group.throughput(Throughput::Bytes(content.len() as u64));
    group.bench_function("100 KiB", |b| {
        b.iter(|| {
            let mut scanner = Scanner::data(u64::MAX, false);
            let mut octets = 0;
            for read in black_box(&content).chunks(READ_OCTETS) {
                let mut block = Vec::new();
                scanner.scan(read, &mut block);
                octets += black_box(block).len();
            }
            octets
        });
    });
    group.finish();
}

criterion_group!(benches, sessions, scanner);
criterion_main!(benches);
