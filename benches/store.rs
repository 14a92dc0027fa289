//! What a message costs the store, accept and verdict, by how many come together.
//!
//! `cargo bench --bench store` prints criterion's times; before them, for each batch: messages a second, and the CPU time of
//! the writer's thread for one message (accept and succeeded, one recipient, 10 KiB), read from /proc.

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
        params::{Envelope, EnvelopeRecipient, MailParams, RcptParams},
    },
    store::{BodyIn, Change, Lane, Origin, RetentionPeriods, Store, StoreOptions, Submission},
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
        Change { event, notice: None }
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

fn store(c: &mut Criterion) {
    writer_cpu();
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
