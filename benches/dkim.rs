//! What signing costs: CPU for a mail of 10 KiB through the signing threads, beside the bare RSA operation and beside a mail that
//! nobody signs, in alternating rounds of the same run.
//!
//! `cargo bench --bench dkim`. The CPU is the whole process's: the threads, the hand-over to them and back, hashes and fields.
#![allow(clippy::print_stdout, reason = "measured figures are for people")]

use std::{fs, hint::black_box, sync::Arc, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use bytes::Bytes;
use hikyaku::{
    clock::{Clock, Timestamp},
    config::{Config, DkimKey, Domain},
    dkim::key::{Algorithm, SigningKey},
    metrics::Metrics,
    signing::{Content, Keyring, Request, Signer},
};

/// Octets of the mail.
const OCTETS: usize = 10 * 1024;
/// Mails of a round: a second or so, against ticks of ten milliseconds.
const MAILS: usize = 3_000;
/// Rounds; the median of each is printed.
const ROUNDS: usize = 5;
/// Mails under way at once, as attempts are.
const AT_ONCE: usize = 50;

fn mail() -> Bytes {
    let mut mail =
        b"Received: by relay.example.net with ESMTP id 02nhmqpx00000;\r\n\tSun, 29 Nov 2026 04:43:49 +0000\r\n\
        From: =?UTF-8?B?5qCq5byP5Lya56S+?= <shop@example.jp>\r\nTo: Hanako Yamada <hanako@example.org>\r\n\
        Subject: =?UTF-8?B?44GU5rOo5paH44GC44KK44GM44Go44GG44GU44GW44GE44G+44GZ?=\r\n\
        Date: Tue, 24 Nov 2026 10:00:00 +0900\r\nMessage-ID: <01JDQABCDEFGH@shop.example.jp>\r\nMIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
            .to_vec();
    while mail.len() < OCTETS {
        mail.extend_from_slice(b"A line of an ordinary length, with some words and a few  blanks in it.\r\n");
    }
    mail.into()
}

/// CPU time of this process, user and system.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name").split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|f| f.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}

fn keyring(algorithms: &[Algorithm]) -> Keyring {
    let mut config = Config::default();
    let key = |algorithm: &Algorithm| DkimKey {
        selector: "s1".into(),
        key: Some(Arc::new(SigningKey::generate(*algorithm, 2048).expect("a key").0)),
        ..DkimKey::default()
    };
    let dkim = algorithms.iter().map(key).collect();
    config.domains.push(Domain { name: "example.jp".into(), dkim, ..Domain::default() });
    Keyring::new(&config)
}

/// Signs mails, some at once.
fn sign(signer: &Signer, keys: &Keyring, mail: &Bytes, executor: &smol::Executor<'_>) {
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (signer, keys, mail) = (signer.clone(), keys.clone(), mail.clone());
            executor.spawn(async move {
                for _ in 0..MAILS / AT_ONCE {
                    let identities = keys.for_from("mail.example.jp").expect("keys");
                    let (above, content) = (Vec::new(), Content::Ram(mail.clone()));
                    let at = Timestamp::from_millis(1_795_527_310_000);
                    let request = Request { above, content, body_hash: None, identities, at };
                    black_box(signer.sign(request).await.map(|signed| signed.fields.len()).expect("signed"));
                }
            })
        })
        .collect();
    smol::block_on(executor.run(async {
        for task in tasks {
            task.await;
        }
    }));
}

fn main() {
    // `cargo test --benches` and the like only want to know whether it starts.
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    let (mail, executor) = (mail(), smol::Executor::new());
    let signer = Signer::start(0, &Clock::system(), &Arc::new(Metrics::default())).expect("threads");
    let rsa = keyring(&[Algorithm::RsaSha256]);
    let ed25519 = keyring(&[Algorithm::Ed25519Sha256]);
    let both = keyring(&Algorithm::ALL);
    let none = Keyring::new(&Config::default());
    let bare = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let (head, random) = (vec![b'x'; 1200], SystemRandom::new());
    let mut signature = vec![0; bare.public_modulus_len()];
    let mut bare_operation = || {
        for _ in 0..MAILS {
            bare.sign(&RSA_PKCS1_SHA256, &random, black_box(&head), &mut signature).expect("signed");
        }
    };
    let look = |keys: &Keyring| {
        for _ in 0..MAILS * 100 {
            black_box(keys.for_from(black_box("mail.example.org")));
        }
    };
    type Case<'a> = (&'a str, f64, Box<dyn FnMut() + 'a>);
    let mut cases: [Case<'_>; 6] = [
        ("the RSA-2048 operation alone", 1.0, Box::new(&mut bare_operation)),
        ("signed: RSA-2048", 1.0, Box::new(|| sign(&signer, &rsa, &mail, &executor))),
        ("signed: Ed25519", 1.0, Box::new(|| sign(&signer, &ed25519, &mail, &executor))),
        ("signed: RSA-2048 and Ed25519", 1.0, Box::new(|| sign(&signer, &both, &mail, &executor))),
        ("unsigned: there are no keys", 100.0, Box::new(|| look(&none))),
        ("unsigned: keys of other domains", 100.0, Box::new(|| look(&both))),
    ];
    let mut results = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for ((_, more, run), results) in cases.iter_mut().zip(&mut results) {
            let before = cpu();
            run();
            results.push((cpu() - before).as_secs_f64() * 1e6 / (MAILS as f64 * *more));
        }
    }
    println!(
        "{OCTETS} octets a mail, {ROUNDS} rounds of {MAILS} mails, {AT_ONCE} at once: CPU a mail (median, least, most)"
    );
    for ((name, ..), mut results) in cases.iter().zip(results) {
        results.sort_by(f64::total_cmp);
        let (median, least, most) = (results[ROUNDS / 2], results[0], results[ROUNDS - 1]);
        println!("{name:<34} {median:>8.2} µs  ({least:.2} … {most:.2})");
    }
}
