//! Forty days of a busy relay, written into the store before it starts: so many events, so many recipients that wait.
//!
//! Always: the same numbers give the same rows, but for the ids; what waits is due tomorrow, so that nothing moves meanwhile.

use std::time::Duration;

use bytes::Bytes;
use hikyaku::{
    clock::{Clock, Timestamp},
    event::{AttemptDetail, Class, ErrorClass, Event, EventKind, Phase, Trouble, WaitReason},
    ids::{MessageId, RecipientKey},
    mail::header::Facts,
    smtp::address::Mailbox,
    store::{Change, RetentionPeriods, Store, StoreOptions, Submission},
};

use crate::support::{Relay, Rng, submission::plain};

const DAY: Duration = Duration::from_secs(86_400);
/// Days of the log.
const DAYS: u32 = 38;
/// Recipients of each message.
const RECIPIENTS: u32 = 40;
/// Messages on their way to the disk at once.
const AT_ONCE: usize = 64;
/// Domains, of which the first are written to most.
const DOMAINS: u64 = 5_000;

const DELIVERED: &[&str] = &["250 2.0.0 Ok: queued as 4Tq9", "250 2.0.0 OK 1764403 gsmtp", "250 ok dirdel"];
const DEFERRED: &[(&str, Trouble)] = &[
    ("421 4.7.0 Too many connections from your host", Trouble::Reputation),
    ("452 4.2.2 The mailbox of this user is full", Trouble::Recipient),
    ("450 4.7.1 Greylisted, try again later", Trouble::Policy),
];
const FAILED: &[(&str, ErrorClass, Trouble)] = &[
    ("550 5.1.1 User unknown", ErrorClass::UnknownUser, Trouble::Recipient),
    ("550 5.7.1 Blocked: poor reputation", ErrorClass::Rejected, Trouble::Reputation),
    ("552 5.2.2 Mailbox full", ErrorClass::OverCapacity, Trouble::Recipient),
    ("554 5.0.0 no", ErrorClass::Other, Trouble::Policy),
];

/// What to write.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Events in the log, about.
    pub events: u32,
    /// Recipients that wait.
    pub queued: u32,
}

/// Some of what was written, to ask for.
#[derive(Clone, Debug)]
pub struct Filled {
    /// A message of the middle of the time, with all its recipients.
    pub message: MessageId,
    /// One of its recipients.
    pub recipient: String,
    /// A message that waits.
    pub waiting: MessageId,
}

/// Writes it into the data directory of a relay that does not run.
pub fn fill(relay: &Relay, amount: Amount) -> Filled {
    let now = Clock::system().now();
    let clock = Clock::manual(now.minus(DAYS * DAY));
    let retention =
        RetentionPeriods { delivery_log: 40 * DAY, error_log: 40 * DAY, audit_log: 90 * DAY, message_bodies: DAY };
    let options = StoreOptions { data_dir: relay.data_dir(), clock: clock.clone(), disk_free_min: 0, retention };
    let store = Store::open(options).unwrap().store;
    let mut rng = Rng::new(7);
    // What waits makes two events a recipient: accepted, deferred.
    let gone = amount.events.saturating_sub(2 * amount.queued) / 2 / RECIPIENTS;
    let waiting = amount.queued / RECIPIENTS;
    let step = DAYS * DAY / (gone.max(1) + 1);
    let mut middle = None;
    for first in (0..gone).step_by(AT_ONCE) {
        let some: Vec<Mail> = (first..gone.min(first + AT_ONCE as u32)).map(|n| Mail::new(n, &mut rng)).collect();
        let ids = write(&store, &clock, &some, &mut rng, ends);
        if first <= gone / 2 {
            middle = Some((ids[0], some[0].to[0].clone()));
        }
        clock.advance(step * some.len() as u32);
    }
    clock.advance(now.since(clock.now()));
    let mut last = None;
    for first in (0..waiting).step_by(AT_ONCE) {
        let some: Vec<Mail> =
            (first..waiting.min(first + AT_ONCE as u32)).map(|n| Mail::new(gone + n, &mut rng)).collect();
        let ids = write(&store, &clock, &some, &mut rng, |n, key, rng, at| vec![waits(n, key, rng, at)]);
        last = ids.first().copied();
    }
    assert!(store.totals().waiting >= u64::from(waiting * RECIPIENTS));
    smol::block_on(store.stop()).unwrap();
    let (message, recipient) = middle.expect("some mail is in the log");
    Filled { message, recipient, waiting: last.expect("some mail waits") }
}

struct Mail {
    n: u32,
    to: Vec<String>,
}

impl Mail {
    fn new(n: u32, rng: &mut Rng) -> Self {
        // A few domains get most of it, as everywhere.
        let domain = |rng: &mut Rng| {
            let r = rng.next() % DOMAINS;
            r * (rng.next() % DOMAINS) / DOMAINS * (rng.next() % DOMAINS) / DOMAINS
        };
        let to = (0..RECIPIENTS).map(|r| format!("user{}@domain{}.test", n % 9973 * RECIPIENTS + r, domain(rng)));
        Mail { n, to: to.collect() }
    }

    fn submission(&self, store: &Store, now: Timestamp) -> Submission {
        let to = self.to.iter().map(|address| Mailbox::parse(address).unwrap()).collect();
        let body = Bytes::from_static(b"Subject: a\r\n\r\nb\r\n");
        Submission {
            class: [Class::Normal, Class::High, Class::Low][self.n as usize % 3],
            facts: Facts {
                message_id: format!("<{}@shop.test>", self.n),
                from: "order@shop.test".into(),
                subject: format!("ご注文商品の発送のお知らせ {}", self.n),
                api_data: format!("order-{}", self.n),
                ..Facts::default()
            },
            user: ["shop", "campaign", ""][self.n as usize % 3].into(),
            ..plain(store.ids().next(now), now, "order@shop.test", to, body)
        }
    }
}

/// Writes mails, and what becomes of each recipient.
fn write(
    store: &Store,
    clock: &Clock,
    mails: &[Mail],
    rng: &mut Rng,
    fate: impl Fn(u32, RecipientKey, &mut Rng, Timestamp) -> Vec<Change>,
) -> Vec<MessageId> {
    let now = clock.now();
    let executor = smol::LocalExecutor::new();
    let tasks: Vec<_> = mails
        .iter()
        .map(|mail| {
            let (store, submission) = (store.clone(), mail.submission(store, now));
            executor.spawn(async move { store.submit(submission).await.unwrap().id() })
        })
        .collect();
    let ids: Vec<MessageId> = smol::block_on(executor.run(async {
        let mut ids = Vec::new();
        for task in tasks {
            ids.push(task.await);
        }
        ids
    }));
    let mut changes = Vec::new();
    for (mail, id) in mails.iter().zip(&ids) {
        for index in 0..RECIPIENTS {
            changes.extend(fate(mail.n + index, RecipientKey { message: *id, index }, rng, now));
        }
    }
    smol::block_on(store.apply(changes)).unwrap();
    ids
}

/// Nineteen of twenty arrive, some of them at the second try.
fn ends(n: u32, key: RecipientKey, rng: &mut Rng, at: Timestamp) -> Vec<Change> {
    let pick = rng.next() as usize;
    match n % 20 {
        0 => {
            let (reply, error, trouble) = FAILED[pick % FAILED.len()];
            vec![change(EventKind::Failed, key, at, reply, Some(error), Some(trouble), None)]
        }
        1 => {
            let (reply, trouble) = DEFERRED[pick % DEFERRED.len()];
            let next = at.plus(Duration::from_secs(60));
            vec![
                change(EventKind::Deferred, key, at, reply, None, Some(trouble), Some(next)),
                change(EventKind::Succeeded, key, next, DELIVERED[0], None, None, None),
            ]
        }
        _ => vec![change(EventKind::Succeeded, key, at, DELIVERED[pick % DELIVERED.len()], None, None, None)],
    }
}

/// It was tried, and will be tomorrow.
fn waits(_: u32, key: RecipientKey, rng: &mut Rng, at: Timestamp) -> Change {
    let (reply, trouble) = DEFERRED[rng.below(DEFERRED.len())];
    change(EventKind::Deferred, key, at, reply, None, Some(trouble), Some(at.plus(DAY)))
}

fn change(
    kind: EventKind,
    key: RecipientKey,
    at: Timestamp,
    reply: &str,
    error: Option<ErrorClass>,
    trouble: Option<Trouble>,
    next_try: Option<Timestamp>,
) -> Change {
    let detail = AttemptDetail {
        host: "mx1.dst.test".into(),
        address: Some("192.0.2.1:25".parse().unwrap()),
        phase: Some(Phase::Content),
        reply: reply.into(),
        duration: Duration::from_millis(120),
        error,
        trouble,
        ..AttemptDetail::default()
    };
    let wait = next_try.is_some().then_some(WaitReason::Retry);
    let event = Event { at, key, kind, attempt: 1, next_try, wait, operator: None, detail: Some(Box::new(detail)) };
    Change::of(event, None)
}
