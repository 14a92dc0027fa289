//! What a message costs the store, accept and verdict, by how many come together.
//!
//! `cargo bench --bench store` prints criterion's times; before them, for each batch: messages a second, and the CPU time of
//! the writer's thread for one message (accept and succeeded, one recipient, 10 KiB), read from /proc. Then the scenes of what
//! comes back: a million suppressions looked up (`HIKYAKU_BENCH_SUPPRESSIONS`), bounces written, the log followed. And what it costs
//! to keep a lead for the next try (`HIKYAKU_BENCH_LEADS=1`: that alone). `HIKYAKU_BENCH_SAID=1`: what the conversations of deliveries cost.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)] // a measuring program: it prints, and stops at trouble

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hikyaku::{
    budget::Budget,
    clock::Clock,
    event::{AttemptDetail, Class, Event, EventKind, Phase},
    ids::RecipientKey,
    mail::header::Facts,
    smtp::{
        address::Mailbox,
        conversation::{CONVERSATION_OCTETS_MAX, Conversation, Said},
        params::{Envelope, EnvelopeRecipient, MailParams, RcptParams},
    },
    store::{
        BodyIn, Change, Lane, Lead, MEMOS_A_CALL_MAX, MemoChange, MemoKind, Origin, RetentionPeriods, Returned, Store,
        StoreOptions, Submission,
    },
};

const BODY: usize = 10 * 1024;
const DAY: Duration = Duration::from_secs(86_400);

struct Bench {
    store: Store,
    clock: Clock,
    budget: Budget,
    body: Bytes,
    dir: PathBuf,
    n: u64,
}

impl Bench {
    fn new() -> Self {
        let base = std::env::var_os("HIKYAKU_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let dir = base.join(format!("hikyaku-bench-store-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let clock = Clock::system();
        let retention = RetentionPeriods {
            delivery_log: 40 * DAY,
            error_log: 40 * DAY,
            audit_log: 90 * DAY,
            message_bodies: Duration::ZERO,
        };
        let options = StoreOptions { data_dir: dir.clone(), clock: clock.clone(), disk_free_min: 0, retention };
        let store = Store::open(options).unwrap().store;
        Bench { store, clock, budget: Budget::new(1 << 30), body: Bytes::from(vec![b'x'; BODY]), dir, n: 0 }
    }

    fn submission(&mut self) -> Submission {
        self.n += 1;
        let n = self.n;
        let now = self.clock.now();
        // Addresses and Message-IDs as they are in life: all different, so that index rows go everywhere.
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let address = Mailbox::parse(&format!("user{mixed:x}@d{}.example.org", mixed % lanes())).unwrap();
        Submission {
            release_at: None,
            id: self.store.ids().next(now),
            accepted_at: now,
            expires_at: now.plus(4 * DAY),
            lanes: vec![Lane(address.domain_key().into())],
            envelope: Envelope {
                sender: Some(Mailbox::parse("sender@example.jp").unwrap()),
                params: MailParams::default(),
                recipients: vec![EnvelopeRecipient { address, params: RcptParams::default() }],
            },
            class: Class::Normal,
            facts: Facts {
                message_id: format!("<{mixed:x}.{n}@mail.example.jp>"),
                from: "sender@example.jp".into(),
                subject: "Your order has been sent".into(),
                ..Facts::default()
            },
            user: "shop".into(),
            source_ip: Some("192.0.2.7".parse().unwrap()),
            origin: Origin::Smtp,
            body: BodyIn::Ram { bytes: self.body.clone(), lease: self.budget.take(BODY).unwrap() },
            settles: Vec::new(),
            return_path: hikyaku::bounce::envelope_from::ReturnPath::AsIs,
            list: String::new(),
            blocked: Vec::new(),
            sandboxed: Vec::new(),
            memos: Vec::new(),
        }
    }

    fn succeeded(&self, key: RecipientKey) -> Change {
        let detail = AttemptDetail {
            destination: "example.org".into(),
            host: "mx1.example.org".into(),
            address: Some("192.0.2.25:25".parse().unwrap()),
            tls: "TLSv1.3 TLS13_AES_256_GCM_SHA384 verified".into(),
            phase: Some(Phase::Content),
            reply: "250 2.0.0 Ok: queued as 4XyZ123".into(),
            duration: Duration::from_millis(87),
            ..AttemptDetail::default()
        };
        let event = Event {
            at: self.clock.now(),
            key,
            kind: EventKind::Succeeded,
            attempt: 1,
            next_try: None,
            wait: None,
            operator: None,
            detail: Some(Box::new(detail)),
        };
        Change::of(event, None)
    }

    /// `batch` messages at once: all accepted, then all delivered.
    fn round(&mut self, batch: usize) {
        let submissions: Vec<Submission> = (0..batch).map(|_| self.submission()).collect();
        let executor = smol::LocalExecutor::new();
        let accepts: Vec<_> = submissions
            .into_iter()
            .map(|s| {
                let store = self.store.clone();
                executor.spawn(async move { store.submit(s).await.unwrap() })
            })
            .collect();
        let receipts = smol::block_on(executor.run(async {
            let mut receipts = Vec::with_capacity(batch);
            for accept in accepts {
                receipts.push(accept.await);
            }
            receipts
        }));
        let verdicts: Vec<_> = receipts
            .iter()
            .map(|r| {
                let (store, change) = (self.store.clone(), self.succeeded(r.loaded().recipients[0].key));
                executor.spawn(async move { store.apply(vec![change]).await.unwrap() })
            })
            .collect();
        smol::block_on(executor.run(async {
            for verdict in verdicts {
                verdict.await;
            }
        }));
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = smol::block_on(self.store.stop());
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// CPU time of this process's thread of that name, user and system.
fn thread_cpu(name: &str) -> Duration {
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let comm = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if comm.trim() == name {
            let stat = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let nanos = stat.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
            return Duration::from_nanos(nanos);
        }
    }
    Duration::ZERO
}

/// Different destinations: HIKYAKU_BENCH_LANES, else 50.
fn lanes() -> u64 {
    static LANES: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *LANES.get_or_init(|| std::env::var("HIKYAKU_BENCH_LANES").ok().and_then(|n| n.parse().ok()).unwrap_or(50))
}

fn writer_cpu() {
    // HIKYAKU_BENCH_BATCHES="32" measures one alone, for a profile.
    let named = std::env::var("HIKYAKU_BENCH_BATCHES").unwrap_or_else(|_| "1 8 32 64 128".into());
    for batch in named.split(' ').map(|n| n.parse::<usize>().unwrap()) {
        let mut bench = Bench::new();
        let rounds = (12_800 / batch).min(800);
        bench.round(batch);
        let commits = bench.store.commits().0;
        let (cpu, start) = (thread_cpu("hikyaku-store"), bench.clock.instant());
        for _ in 0..rounds {
            bench.round(batch);
        }
        let (cpu, took) = (thread_cpu("hikyaku-store") - cpu, bench.clock.instant() - start);
        let messages = (rounds * batch) as f64;
        println!(
            "batch {batch:>3}: {:>6.0} messages/s, writer {:>5.1} µs CPU a message, {:.1} operations a commit",
            messages / took.as_secs_f64(),
            cpu.as_secs_f64() * 1e6 / messages,
            2.0 * messages / (bench.store.commits().0 - commits) as f64,
        );
    }
}

/// Deferrals with and without a lead to keep, and what the retry costs that delivers: alternating, thrice.
fn deferrals() {
    const MESSAGES: usize = 6_400;
    const BATCH: usize = 32;
    let lead = Lead { own: false, octets: Bytes::from(vec![b'x'; 1_000]) };
    for kept in [false, true].repeat(3) {
        let mut bench = Bench::new();
        let mut keys = Vec::with_capacity(MESSAGES);
        for _ in 0..MESSAGES / 64 {
            let submissions: Vec<Submission> = (0..64).map(|_| bench.submission()).collect();
            let all = submissions.into_iter().map(|s| bench.store.submit(s));
            keys.extend(smol::block_on(futures(all)).into_iter().map(|r| r.unwrap().loaded().recipients[0].key));
        }
        let octets = bench.store.totals().database_octets;
        let mut figures = Vec::new();
        for deferred in [true, false] {
            let (cpu, written) = (thread_cpu("hikyaku-store"), written());
            for part in keys.chunks(BATCH) {
                let change = |key: &RecipientKey| {
                    let mut change = bench.succeeded(*key);
                    if deferred {
                        change.event.kind = EventKind::Deferred;
                        change.event.next_try = Some(bench.clock.now().plus(DAY));
                        change.event.wait = Some(hikyaku::event::WaitReason::Retry);
                        change.lead = kept.then(|| lead.clone());
                    }
                    change
                };
                smol::block_on(bench.store.apply(part.iter().map(change).collect())).unwrap();
            }
            let each = |n: f64| n / MESSAGES as f64;
            let cpu = each((thread_cpu("hikyaku-store") - cpu).as_secs_f64() * 1e6);
            figures.push((cpu, each((self::written() - written) as f64)));
            if deferred {
                let grown = bench.store.totals().database_octets - octets;
                figures.push((each(grown as f64), bench.store.totals().leads as f64));
            }
        }
        let [deferral, size, delivery] = figures[..] else { return };
        println!(
            "lead kept: {kept:<5} deferral {:>5.1} µs of the writer, {:>6.0} octets written; database {:>5.0} octets more a \
             message ({} leads); delivery after it {:>5.1} µs, {:>6.0} octets",
            deferral.0, deferral.1, size.0, size.1, delivery.0, delivery.1
        );
    }
}

/// What an attempt over a kept connection says, and with its opening the one that made it.
fn talk(with_opening: bool) -> Conversation {
    let opening = [
        (Said::Host, "mx1.example.org[192.0.2.25]:25"),
        (Said::Peer, "220 mx1.example.org ESMTP Postfix"),
        (Said::We, "EHLO relay.example.jp"),
        (
            Said::Peer,
            "250-mx1.example.org\n250-PIPELINING\n250-SIZE 52428800\n250-STARTTLS\n250-ENHANCEDSTATUSCODES\n250-8BITMIME\n250-DSN\n250 SMTPUTF8",
        ),
        (Said::We, "STARTTLS"),
        (Said::Peer, "220 2.0.0 Ready to start TLS"),
        (Said::Tls, "TLSv1.3 TLS13_AES_256_GCM_SHA384 verified"),
        (Said::We, "EHLO relay.example.jp"),
        (
            Said::Peer,
            "250-mx1.example.org\n250-PIPELINING\n250-SIZE 52428800\n250-ENHANCEDSTATUSCODES\n250-8BITMIME\n250-DSN\n250 SMTPUTF8",
        ),
    ];
    let kept = [(Said::Host, "mx1.example.org[192.0.2.25]:25"), (Said::Reused, "17 4")];
    let said = [
        (
            Said::We,
            "MAIL FROM:<b-06bhv7q9z2k4m-0-k3x9q2v8r5t1@return.example.jp> SIZE=10521 BODY=8BITMIME RET=HDRS ENVID=06BHV7Q9Z2K4M",
        ),
        (Said::Peer, "250 2.1.0 Ok"),
        (Said::We, "RCPT TO:<hanako.yamada@example.org> NOTIFY=FAILURE ORCPT=rfc822;hanako.yamada@example.org"),
        (Said::Peer, "250 2.1.5 Ok"),
        (Said::We, "DATA"),
        (Said::Peer, "354 End data with <CR><LF>.<CR><LF>"),
        (Said::Content, "10521"),
        (Said::Peer, "250 2.0.0 Ok: queued as 4XyZ123"),
    ];
    let mut out = Conversation::default();
    let front: &[(Said, &str)] = if with_opening { &opening } else { &kept };
    for (at, (said, text)) in (0..).zip(front.iter().chain(&said)) {
        assert!(out.push(Some(at * 7), *said, text, CONVERSATION_OCTETS_MAX));
    }
    out
}

/// Deliveries without a conversation, with the short one of a kept connection, and with a whole one: alternating, thrice.
fn conversations() {
    const MESSAGES: usize = 12_800;
    const BATCH: usize = 32;
    let kinds = [("none", None), ("short", Some(talk(false))), ("whole", Some(talk(true)))];
    for (name, conversation) in kinds.iter().cycle().take(3 * kinds.len()) {
        let mut bench = Bench::new();
        let mut keys = Vec::with_capacity(MESSAGES);
        for _ in 0..MESSAGES / 64 {
            let submissions: Vec<Submission> = (0..64).map(|_| bench.submission()).collect();
            let all = submissions.into_iter().map(|s| bench.store.submit(s));
            keys.extend(smol::block_on(futures(all)).into_iter().map(|r| r.unwrap().loaded().recipients[0].key));
        }
        let (octets, cpu, written) = (bench.store.totals().database_octets, thread_cpu("hikyaku-store"), written());
        for part in keys.chunks(BATCH) {
            let change = |key: &RecipientKey| {
                let conversation = conversation.clone();
                Change { conversation, ..bench.succeeded(*key) }
            };
            smol::block_on(bench.store.apply(part.iter().map(change).collect())).unwrap();
        }
        let each = |n: f64| n / MESSAGES as f64;
        println!(
            "conversation: {name:<5} ({:>4} octets) verdict {:>5.1} µs of the writer, {:>6.0} octets written; database {:>5.0} octets more a message",
            conversation.as_ref().map_or(0, |c| c.octets().len()),
            each((thread_cpu("hikyaku-store") - cpu).as_secs_f64() * 1e6),
            each((self::written() - written) as f64),
            each(bench.store.totals().database_octets.saturating_sub(octets) as f64),
        );
    }
}

/// All of them, at once.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let executor = smol::LocalExecutor::new();
    let tasks: Vec<_> = all.map(|one| executor.spawn(one)).collect();
    let wait = async {
        let mut out = Vec::new();
        for task in tasks {
            out.push(task.await);
        }
        out
    };
    executor.run(wait).await
}

/// Octets that this process handed to the disk.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Address number `n` of a list: different from its neighbours, as in life.
fn listed(n: u64) -> String {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("user{mixed:x}@d{}.example.org", mixed % 5_000)
}

/// Looks addresses up in a list of many; tells the mean, the median and the 99th percentile.
fn lookups(bench: &Bench, name: &str, count: u64, address: impl Fn(u64) -> String) {
    const LOOKS: u64 = 200_000;
    let keys: Vec<String> = (0..LOOKS).map(|n| address(n.wrapping_mul(0x2545_f491_4f6c_dd1d) % count)).collect();
    let mut times = Vec::with_capacity(keys.len());
    let (mut hits, start) = (0, bench.clock.instant());
    for key in &keys {
        let begin = bench.clock.instant();
        hits += u64::from(bench.store.memo(MemoKind::Suppressions, key).unwrap().is_some());
        times.push(bench.clock.instant() - begin);
    }
    let mean = (bench.clock.instant() - start) / u32::try_from(LOOKS).unwrap();
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 100];
    println!("{name:>22}: {hits:>6} hits of {LOOKS}, mean {mean:?}, median {:?}, p99 {:?}", at(50), at(99));
}

fn suppressions() {
    let count = std::env::var("HIKYAKU_BENCH_SUPPRESSIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000u64);
    let mut bench = Bench::new();
    lookups(&bench, "an empty list", count, listed);
    let value =
        br#"{"class":2,"reason":"hard","since":"2026-11-24T13:33:56Z","last":"550 5.1.1 user unknown","count":1}"#;
    let start = bench.clock.instant();
    for first in (0..count).step_by(MEMOS_A_CALL_MAX) {
        let keys = first..(first + MEMOS_A_CALL_MAX as u64).min(count);
        let changes =
            keys.map(|n| MemoChange { kind: MemoKind::Suppressions, key: listed(n), value: Some(value.to_vec()) });
        smol::block_on(bench.store.put_memos(changes.collect())).unwrap();
    }
    println!("{count} suppressions written in {:?}", bench.clock.instant() - start);
    assert_eq!(bench.store.memo_count(MemoKind::Suppressions).unwrap(), count);
    lookups(&bench, "the whole list, hits", count, listed);
    lookups(&bench, "the whole list, misses", count, |n| listed(n + count));
    lookups(&bench, "the same 1,000, hits", count, |n| listed(n % 1_000));
    // Accepting beside such a list, with a look at it for each recipient.
    bench.round(32);
    let (rounds, cpu, start) = (300, thread_cpu("hikyaku-store"), bench.clock.instant());
    for _ in 0..rounds {
        bench.round(32);
    }
    let (cpu, took) = (thread_cpu("hikyaku-store") - cpu, bench.clock.instant() - start);
    let messages = f64::from(rounds * 32);
    println!(
        "    batch  32 beside it: {:>6.0} messages/s, writer {:>5.1} µs CPU a message",
        messages / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / messages
    );
}

/// Bounces about mail that was delivered, and the follower's reading of them.
fn returns() {
    const CALLS: usize = 400;
    const A_CALL: usize = 32;
    let mut bench = Bench::new();
    let mut keys = Vec::with_capacity(CALLS * A_CALL);
    for _ in 0..CALLS {
        let submissions: Vec<Submission> = (0..A_CALL).map(|_| bench.submission()).collect();
        let changes = submissions.iter().map(|s| bench.succeeded(RecipientKey { message: s.id, index: 0 })).collect();
        keys.extend(submissions.iter().map(|s| RecipientKey { message: s.id, index: 0 }));
        smol::block_on(async {
            for submission in submissions {
                bench.store.submit(submission).await.unwrap();
            }
            bench.store.apply(changes).await.unwrap();
        });
    }
    let (cpu, start) = (thread_cpu("hikyaku-store"), bench.clock.instant());
    for call in keys.chunks(A_CALL) {
        let returned = call.iter().map(|key| Returned {
            key: *key,
            kind: EventKind::Bounced,
            at: bench.clock.now(),
            detail: Box::new(AttemptDetail { reply: "550 5.1.1 no such user".into(), ..AttemptDetail::default() }),
        });
        smol::block_on(bench.store.returned(returned.collect())).unwrap();
    }
    let (cpu, took) = (thread_cpu("hikyaku-store") - cpu, bench.clock.instant() - start);
    let n = keys.len() as f64;
    println!(
        "bounces, {A_CALL} a call: {:.0}/s, writer {:.1} µs CPU each",
        n / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / n
    );
    let (mut after, mut seen, start) = (0, 0, bench.clock.instant());
    loop {
        let (events, next) = bench.store.follow(after, &[EventKind::Bounced], 1_000).unwrap();
        seen += events.len();
        if next == after {
            break;
        }
        after = next;
    }
    assert_eq!(seen, keys.len());
    let took = bench.clock.instant() - start;
    println!(
        "followed: {:.2} µs an event, {:.2} µs a bounce",
        took.as_secs_f64() * 1e6 / (3.0 * n),
        took.as_secs_f64() * 1e6 / n
    );
}

fn store(c: &mut Criterion) {
    // HIKYAKU_BENCH_SCENE="lists" measures only what comes back.
    let only_lists = std::env::var("HIKYAKU_BENCH_SCENE").is_ok_and(|scene| scene == "lists");
    if std::env::var_os("HIKYAKU_BENCH_LEADS").is_some() {
        return deferrals();
    }
    if std::env::var_os("HIKYAKU_BENCH_SAID").is_some() {
        return conversations();
    }
    if !only_lists {
        writer_cpu();
        deferrals();
    }
    suppressions();
    returns();
    if only_lists {
        return;
    }
    let mut group = c.benchmark_group("accept and succeeded, 10 KiB");
    group.sample_size(20).measurement_time(Duration::from_secs(4));
    for batch in [1usize, 32] {
        let mut bench = Bench::new();
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(format!("batch {batch}"), |b| b.iter(|| bench.round(batch)));
    }
    group.finish();
}

criterion_group!(benches, store);
criterion_main!(benches);
