//! How fast a log is posted: 200,000 events that are there already, to a sink on loopback.
//!
//! `cargo bench --bench webhook` prints events a second and the CPU time of the process for one event, for posts of 100 and of
//! 1,000 events, as JSON and as a form. `HIKYAKU_BENCH_EVENTS` says how many events, `HIKYAKU_BENCH_SINK` a URL on loopback of a
//! sink in another process (without it the sink's threads are in this one, and their CPU time is counted, too).

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)] // a measuring program: it prints, and stops at trouble

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use hikyaku::{
    bounce::envelope_from::ReturnPath,
    budget::Budget,
    clock::Clock,
    config::{self, Config, InForce},
    event::{AttemptDetail, Class, Event, EventKind, Phase},
    ids::RecipientKey,
    mail::header::Facts,
    metrics::Metrics,
    net::{dns::Resolver, https::Client, tls::Trust},
    runtime::{Runtime, Shutdown},
    smtp::{
        address::Mailbox,
        params::{Envelope, EnvelopeRecipient, MailParams, RcptParams},
    },
    store::{BodyIn, Change, Lane, MemoChange, MemoKind, Origin, RetentionPeriods, Store, StoreOptions, Submission},
    webhook::{Parts, Webhooks, place::Mark, sender::Ways},
};

const DAY: Duration = Duration::from_secs(86_400);
/// Submissions on their way at once while the log is filled.
const AT_ONCE: usize = 200;

fn main() {
    let events: u64 = std::env::var("HIKYAKU_BENCH_EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let dir = std::env::temp_dir().join(format!("hikyaku-bench-webhook-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let clock = Clock::system();
    let retention =
        RetentionPeriods { delivery_log: 40 * DAY, error_log: 40 * DAY, audit_log: 90 * DAY, message_bodies: DAY };
    let options = StoreOptions { data_dir: dir.clone(), clock: clock.clone(), disk_free_min: 0, retention };
    let store = Store::open(options).unwrap().store;
    fill(&store, &clock, events / 2);
    println!("{events} events are there");
    let started = clock.instant();
    let mut after = 0;
    loop {
        let (rows, next) = store.follow_rows(after, &[], 500).unwrap();
        if rows.is_empty() {
            break;
        }
        after = next;
    }
    let took = started.elapsed();
    println!("reading alone: {:.0} events a second", events as f64 / took.as_secs_f64());
    let (url, counted) = sink();
    for (batch_max, form) in [(100, false), (100, true), (1_000, false)] {
        drain(&store, &clock, events, &url, &counted, batch_max, form);
    }
    let _ = std::fs::remove_dir_all(dir);
}

/// So many mails, each queued and delivered.
fn fill(store: &Store, clock: &Clock, mails: u64) {
    let budget = Budget::new(64 << 20);
    for part in 0..mails.div_ceil(AT_ONCE as u64) {
        let here = AT_ONCE.min(usize::try_from(mails - part * AT_ONCE as u64).unwrap());
        smol::block_on(async {
            let each = (0..here).map(|n| one(store, clock, &budget, part * AT_ONCE as u64 + n as u64));
            let keys = futures(each.collect()).await;
            let changes = keys.into_iter().map(|key| Change::of(succeeded(key, clock), None));
            store.apply(changes.collect()).await.unwrap();
        });
    }
}

async fn futures<F: Future>(all: Vec<F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, slot) in all.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *slot = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

async fn one(store: &Store, clock: &Clock, budget: &Budget, n: u64) -> RecipientKey {
    let now = clock.now();
    let address = Mailbox::parse(&format!("customer-{n}@mail{}.example.org", n % 50)).unwrap();
    let submission = Submission {
        id: store.ids().next(now),
        accepted_at: now,
        expires_at: now.plus(4 * DAY),
        lanes: vec![Lane(address.domain_key().into())],
        envelope: Envelope {
            sender: Mailbox::parse("bounce@shop.example.jp").ok(),
            params: MailParams::default(),
            recipients: vec![EnvelopeRecipient { address, params: RcptParams::default() }],
        },
        class: Class::Normal,
        facts: Facts {
            message_id: format!("<order-{n}.20261129@shop.example.jp>"),
            from: "shop@shop.example.jp".into(),
            subject: format!("ご注文 {n} を発送しました"),
            api_data: format!("order-{n}"),
            ..Facts::default()
        },
        user: "shop".into(),
        source_ip: Some([192, 0, 2, 7].into()),
        origin: Origin::Smtp,
        release_at: None,
        body: BodyIn::Ram { bytes: Bytes::from_static(b"\r\n"), lease: budget.take(2).unwrap() },
        settles: Vec::new(),
        return_path: ReturnPath::AsIs,
        list: String::new(),
        blocked: Vec::new(),
        sandboxed: Vec::new(),
        memos: Vec::new(),
    };
    let id = store.submit(submission).await.unwrap().id();
    RecipientKey { message: id, index: 0 }
}

fn succeeded(key: RecipientKey, clock: &Clock) -> Event {
    let detail = AttemptDetail {
        destination: "example.org".into(),
        host: "mx1.example.org".into(),
        address: Some("192.0.2.1:25".parse().unwrap()),
        sender_ip: Some([192, 0, 2, 9].into()),
        phase: Some(Phase::Content),
        reply: "250 2.0.0 Ok: queued as 4Xy7Zz1k2mz9sQ".into(),
        duration: Duration::from_millis(120),
        ..AttemptDetail::default()
    };
    Event {
        at: clock.now(),
        key,
        kind: EventKind::Succeeded,
        attempt: 1,
        next_try: None,
        wait: None,
        operator: None,
        detail: Some(Box::new(detail)),
    }
}

/// A sink that counts posts: in this process, or the one that the environment names.
fn sink() -> (String, Arc<AtomicU64>) {
    let counted = Arc::<AtomicU64>::default();
    if let Ok(url) = std::env::var("HIKYAKU_BENCH_SINK") {
        return (url, counted);
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let there = counted.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let there = there.clone();
            thread::spawn(move || {
                let _ = stream.set_nodelay(true);
                let mut writer = stream.try_clone().unwrap();
                let mut reader = BufReader::with_capacity(64 * 1024, stream);
                let (mut line, mut body) = (String::new(), Vec::new());
                loop {
                    let mut length = 0;
                    loop {
                        line.clear();
                        if reader.read_line(&mut line).unwrap_or(0) == 0 {
                            return;
                        }
                        if let Some(value) = line.strip_prefix("Content-Length: ") {
                            length = value.trim().parse().unwrap();
                        }
                        if line == "\r\n" {
                            break;
                        }
                    }
                    body.resize(length, 0);
                    reader.read_exact(&mut body).unwrap();
                    there.fetch_add(1, Ordering::Relaxed);
                    writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
                }
            });
        }
    });
    (url, counted)
}

fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn drain(store: &Store, clock: &Clock, events: u64, url: &str, counted: &AtomicU64, batch_max: usize, form: bool) {
    let name = format!("bench-{batch_max}-{form}");
    let mut config = Config::default();
    config.webhooks.push(config::Webhook {
        name: name.clone(),
        url: url.to_owned(),
        form,
        batch_max,
        ..config::Webhook::default()
    });
    let config = InForce::new(config);
    let mark = Mark::new(url, 0, 0).write();
    smol::block_on(store.put_memos(vec![MemoChange { kind: MemoKind::Webhooks, key: name, value: Some(mark) }]))
        .unwrap();
    let runtime = Runtime::start(1).unwrap();
    let (metrics, shutdown) = (Arc::new(Metrics::default()), Shutdown::new());
    let resolver = Resolver::new(clock.clone(), metrics.clone(), &config.get().dns);
    let client = Client::new(Trust::System).ok();
    let ways = Ways { client, resolver, clock: clock.clone(), config: config.clone() };
    let posts = counted.load(Ordering::Relaxed);
    let (cpu, started) = (cpu_seconds(), clock.instant());
    let parts = Parts {
        runtime,
        store: store.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        shutdown: shutdown.clone(),
        config,
        ways,
    };
    let room = Webhooks::start(parts).unwrap();
    while metrics.webhook_events.get() < events {
        thread::sleep(Duration::from_millis(5));
    }
    let took = started.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - cpu;
    println!(
        "posts of {batch_max}, {}: {:.0} events a second, {:.1} µs of CPU an event, {} posts, {} failed",
        if form { "form" } else { "JSON" },
        events as f64 / took,
        cpu * 1e6 / events as f64,
        counted.load(Ordering::Relaxed) - posts,
        metrics.webhook_failures.get()
    );
    shutdown.drain();
    smol::block_on(room.stopped());
}
