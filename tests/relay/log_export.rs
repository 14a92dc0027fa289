//! The logs leave whole and in bounded memory, whatever the day held (R13): 20,000 rows; with HIKYAKU_LONG=1 the full million.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use hikyaku::{
    clock::Clock,
    event::{AttemptDetail, Event, EventKind},
    ids::RecipientKey,
    mail::header::Facts,
    smtp::address::Mailbox,
    store::{Change, RetentionPeriods, Store, StoreOptions, Submission},
};

use crate::support::{Config, Relay, submission::plain, wait};

const DAYS: Duration = Duration::from_secs(40 * 86_400);
/// Recipients of each message.
const RECIPIENTS: u32 = 50;
/// What a command line may take; a million rows have 400 MB.
const CLIENT_MAX: u64 = 64 * 1024 * 1024;
/// By what the daemon may grow at the first export: the database's cache fills, whatever is read (128 to 135 MiB were seen with a
/// million rows); and at the next one.
pub(super) const DAEMON_MAX: u64 = 160 * 1024 * 1024;
const AGAIN_MAX: u64 = 16 * 1024 * 1024;

fn submission(store: &Store, clock: &Clock, n: usize) -> Submission {
    let to = (0..RECIPIENTS).map(|r| Mailbox::parse(&format!("user{r}@domain{n}.test")).unwrap()).collect();
    let (now, body) = (clock.now(), Bytes::from_static(b"Subject: a\r\n\r\nb\r\n"));
    Submission {
        expires_at: now.plus(DAYS),
        facts: Facts {
            message_id: format!("<{n}@src.test>"),
            subject: "=HYPERLINK(\"http://evil.test\")".into(),
            ..Facts::default()
        },
        user: "shop".into(),
        ..plain(store.ids().next(now), now, "app@src.test", to, body)
    }
}

/// Writes a day of so many rows: each recipient is accepted and delivered.
pub(super) fn fill(relay: &Relay, rows: usize) {
    let retention = RetentionPeriods { delivery_log: DAYS, error_log: DAYS, audit_log: DAYS, message_bodies: DAYS };
    let clock = Clock::system();
    let options = StoreOptions { data_dir: relay.data_dir(), clock: clock.clone(), disk_free_min: 0, retention };
    let store = Store::open(options).unwrap().store;
    let executor = smol::LocalExecutor::new();
    let messages: Vec<usize> = (0..rows / 2 / RECIPIENTS as usize).collect();
    for some in messages.chunks(32) {
        let tasks: Vec<_> = some
            .iter()
            .map(|n| {
                let (store, clock, n) = (store.clone(), clock.clone(), *n);
                executor.spawn(async move {
                    let id = store.submit(submission(&store, &clock, n)).await.unwrap().id();
                    let changes = (0..RECIPIENTS).map(|index| delivered(RecipientKey { message: id, index }, &clock));
                    store.apply(changes.collect()).await.unwrap();
                })
            })
            .collect();
        smol::block_on(executor.run(async {
            for task in tasks {
                task.await;
            }
        }));
    }
    smol::block_on(store.stop()).unwrap();
}

fn delivered(key: RecipientKey, clock: &Clock) -> Change {
    let detail =
        AttemptDetail { host: "mx.dst.test".into(), reply: "250 2.0.0 Ok: queued".into(), ..AttemptDetail::default() };
    let event = Event {
        at: clock.now(),
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

/// The most memory that a process has had, in octets; 0: it has ended.
pub(super) fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Runs a command and counts its lines as they come; answers them, and the most memory that it had.
fn lines_of(relay: &Relay, words: &[&str], each: impl Fn(&str)) -> (usize, u64) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hikyaku"));
    command.args(words).env("HIKYAKU_CONFIG", relay.config_path()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut lines, mut most) = (0, 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if lines % 500 == 0 {
            most = most.max(peak(child.id()));
            each(&line);
        }
        lines += 1;
    }
    assert!(child.wait().unwrap().success(), "{words:?}");
    (lines, most)
}

#[test]
fn a_day_leaves_whole_as_csv_and_json_and_takes_no_memory() {
    let rows = if wait::long() { 1_000_000 } else { 20_000 };
    let mut relay = Relay::start(Config::sandbox());
    assert!(relay.stop().success());
    fill(&relay, rows);
    relay.restart();
    let before = peak(relay.pid());
    let is_text = |line: &str| assert!(!line.contains(",=HYPERLINK"), "{line}");
    let (lines, client) = lines_of(&relay, &["log", "deliveries", "--csv", "--bom"], is_text);
    assert_eq!(lines, rows + 1);
    let first = peak(relay.pid());
    let (json, other) = lines_of(&relay, &["log", "deliveries", "--json"], |_| {});
    assert_eq!(json, rows);
    let (grown, again) = (first.saturating_sub(before), peak(relay.pid()).saturating_sub(first));
    let client = client.max(other);
    let kib = [client, grown, again].map(|octets| octets / 1024);
    wait::say(format_args!(
        "{rows} rows: client {} KiB, daemon grew by {} KiB, then by {} KiB",
        kib[0], kib[1], kib[2]
    ));
    assert!(client < CLIENT_MAX, "the command line took {client} octets");
    assert!(grown < DAEMON_MAX, "the daemon grew by {grown} octets");
    assert!(again < AGAIN_MAX, "the daemon grew again, by {again} octets");
    // The statistics of the day tell the same.
    let stats = relay.cli(&["stats", "--user", "shop", "--json"]).expect_done().stdout;
    let total: serde_json::Value = serde_json::from_str(stats.lines().last().unwrap()).unwrap();
    assert_eq!((&total["received"], &total["succeeded"]), (&(rows / 2).into(), &(rows / 2).into()), "{stats}");
    assert!(relay.stop().success());
}
