//! Forty days of a busy relay, written into the store before it starts: so many events, so many recipients that wait, one mail to
//! very many, and what people and machines did meanwhile. The lists, the reports and the webhooks: `stores.rs`.
//!
//! Always: the same numbers give the same rows, but for the ids; what waits is due tomorrow, so that nothing moves meanwhile.

use std::time::Duration;

use bytes::Bytes;
use hikyaku::{
    clock::{Clock, Timestamp},
    event::{AttemptDetail, Class, ErrorClass, Event, EventKind, Phase, Trouble, WaitReason},
    ids::{MessageId, RecipientKey},
    mail::header::Facts,
    smtp::{
        address::Mailbox,
        conversation::{CONVERSATION_OCTETS_MAX, Conversation, Said},
    },
    store::{
        AuditEntry, Change, Pause, QueueAct, QueueFilter, QueueVerb, RetentionPeriods, Returned, Store, StoreOptions,
        Submission,
    },
};

use serde::{Deserialize, Serialize};

use crate::{
    stores,
    support::{Relay, Rng, long, submission::plain},
};

const DAY: Duration = Duration::from_secs(86_400);
/// Days of the log.
const DAYS: u32 = 38;
/// Recipients of each message.
const RECIPIENTS: u32 = 40;
/// Messages on their way to the disk at once.
const AT_ONCE: usize = 64;
/// Domains, of which the first are written to most.
const DOMAINS: u64 = 5_000;
/// Submitters: the last has no name.
pub const USERS: [&str; 8] = ["shop", "campaign", "crm", "billing", "alerts", "news", "members", ""];
/// Changes that the store is handed at once.
const CHANGES: usize = 1_000;
/// Destinations that are paused.
const PAUSES: u32 = 60;

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
    /// Destinations that they wait for.
    pub destinations: u32,
    /// Recipients of the one mail to very many.
    pub recipients: u32,
    /// Addresses that are suppressed; as many left a list.
    pub listed: u32,
    /// Sources of mail in a year of DMARC reports.
    pub sources: u32,
    /// Entries of the operation log, logins among them.
    pub logged: u32,
}

impl Amount {
    /// What every run takes: some seconds.
    pub const SMALL: Amount = Amount {
        events: 200_000,
        queued: 20_000,
        destinations: 5_000,
        recipients: 1_000,
        listed: 20_000,
        sources: 1_500,
        logged: 5_000,
    };
    /// What the issue promises.
    pub const FULL: Amount = Amount {
        events: 10_000_000,
        queued: 1_000_000,
        destinations: 300_000,
        recipients: 50_000,
        listed: 1_000_000,
        sources: 40_000,
        logged: 300_000,
    };

    /// So much of what is asked for: the full size, a part of it (`HIKYAKU_PART=5`: a fifth, and the large mail and the reports
    /// whole), or the small one.
    pub fn of_this_run() -> Self {
        let part =
            std::env::var("HIKYAKU_PART").ok().and_then(|part| part.parse::<u32>().ok()).filter(|part| *part > 0);
        match (long(), part) {
            (false, _) => Amount::SMALL,
            (true, None) => Amount::FULL,
            (true, Some(part)) => Amount {
                events: Amount::FULL.events / part,
                queued: Amount::FULL.queued / part,
                destinations: Amount::FULL.destinations / part,
                listed: Amount::FULL.listed / part,
                logged: Amount::FULL.logged / part,
                ..Amount::FULL
            },
        }
    }
}

/// Some of what was written, to ask for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Filled {
    /// A message of the middle of the time, with all its recipients.
    pub message: String,
    /// One of its recipients.
    pub recipient: String,
    /// A message that waits.
    pub waiting: String,
    /// The mail to very many.
    pub large: String,
    /// The rest.
    pub stores: stores::Filled,
}

/// The same, or what an earlier run with `HIKYAKU_FILLED=FOLDER` left there: a full store takes minutes to write.
pub fn fill_or_copy(relay: &Relay, amount: Amount) -> Filled {
    let Some(kept) = std::env::var_os("HIKYAKU_FILLED").map(std::path::PathBuf::from) else {
        return fill(relay, amount);
    };
    let about = kept.join("about.json");
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        for file in std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|f| f.file_type().unwrap().is_file()) {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    };
    let data = kept.join("data");
    if about.exists() {
        copy_all(&data, &relay.data_dir(), &copy);
        return serde_json::from_slice(&std::fs::read(about).unwrap()).unwrap();
    }
    let filled = fill(relay, amount);
    copy_all(&relay.data_dir(), &data, &copy);
    std::fs::write(about, serde_json::to_vec(&filled).unwrap()).unwrap();
    filled
}

/// A folder and the folders in it, to their depth.
fn copy_all(from: &std::path::Path, to: &std::path::Path, copy: &dyn Fn(&std::path::Path, &std::path::Path)) {
    std::fs::create_dir_all(to).unwrap();
    copy(from, to);
    for folder in std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|f| f.file_type().unwrap().is_dir()) {
        copy_all(&folder.path(), &to.join(folder.file_name()), copy);
    }
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
    // What waits makes two events a recipient: accepted, deferred; those of the large mail have some three.
    let gone = amount.events.saturating_sub(2 * amount.queued + 3 * amount.recipients) / 2 / RECIPIENTS;
    let waiting = amount.queued / RECIPIENTS;
    let batches = gone.div_ceil(AT_ONCE as u32).max(1);
    let step = DAYS * DAY / (gone.max(1) + 1);
    let (mut middle, mut large) = (None, None);
    for first in (0..gone).step_by(AT_ONCE) {
        let some: Vec<Mail> = (first..gone.min(first + AT_ONCE as u32)).map(|n| Mail::new(n, &mut rng)).collect();
        let ids = write(&store, &clock, &some, &mut rng, ends);
        if first <= gone / 2 {
            middle = Some((ids[0], some[0].to[0].clone()));
        }
        log(&store, clock.now(), amount.logged / batches + 1);
        if large.is_none() && first >= gone - gone / 20 {
            large = Some(to_many(&store, &clock, amount.recipients));
        }
        clock.advance(step * some.len() as u32);
    }
    clock.advance(now.since(clock.now()));
    let mut last = None;
    for first in (0..waiting).step_by(AT_ONCE) {
        let some: Vec<Mail> =
            (first..waiting.min(first + AT_ONCE as u32)).map(|n| Mail::waiting(gone + n, amount, &mut rng)).collect();
        let ids =
            write(&store, &clock, &some, &mut rng, |n, key, rng, at| waits(n, key, rng, at).into_iter().collect());
        last = ids.first().copied();
    }
    assert!(store.totals().waiting >= u64::from(waiting * RECIPIENTS));
    acts(&store, now);
    let large = large.expect("the log has a mail to very many");
    let stores = stores::fill(&store, now, amount, &story_numbers(&store, large));
    smol::block_on(store.stop()).unwrap();
    let (message, recipient) = middle.expect("some mail is in the log");
    Filled {
        message: message.to_string(),
        recipient,
        waiting: last.expect("some mail waits").to_string(),
        large: large.to_string(),
        stores,
    }
}

/// Entries of the operation log: a login now and then among acts on addresses.
fn log(store: &Store, now: Timestamp, count: u32) {
    let entry = |n: u32| {
        let (act, object, detail) = match n % 3 {
            0 => ("login", "console", "in".to_owned()),
            1 => {
                ("suppress.lift", "20 addresses", (0..20).map(|r| format!("user{}@domain{r}.test ", n * 31)).collect())
            }
            _ => ("queue.flush", "domain7.test", format!("{} recipients", n * 7)),
        };
        AuditEntry {
            at: now,
            who: format!("{}@shop.test", ["mari", "kenji", "operator"][n as usize % 3]),
            from: format!("192.0.2.{}", n % 250),
            act: act.to_owned(),
            object: object.to_owned(),
            detail,
        }
    };
    let executor = smol::LocalExecutor::new();
    let tasks: Vec<_> = (0..count)
        .map(|n| {
            let (store, entry) = (store.clone(), entry(n));
            executor.spawn(async move { store.audit(entry).await.unwrap() })
        })
        .collect();
    smol::block_on(executor.run(async {
        for task in tasks {
            task.await;
        }
    }));
}

/// One mail to very many: some arrived, some at the second try, some came back, some failed, some were dropped, the rest waits.
fn to_many(store: &Store, clock: &Clock, recipients: u32) -> MessageId {
    let now = clock.now();
    let to = (0..recipients).map(|r| Mailbox::parse(&format!("member{r}@members{}.test", r % 97)).unwrap()).collect();
    let body = Bytes::from_static(b"Subject: to everybody\r\n\r\nb\r\n");
    let submission = Submission {
        facts: Facts {
            message_id: "<everybody@shop.test>".into(),
            from: "news@shop.test".into(),
            subject: "会員の皆様へ重要なお知らせ".into(),
            api_data: "members-2026-11".into(),
            ..Facts::default()
        },
        user: "members".into(),
        expires_at: now.plus(DAY * (DAYS + 40)),
        ..plain(store.ids().next(now), now, "news@shop.test", to, body)
    };
    let id = smol::block_on(store.submit(submission)).unwrap().id();
    let key = |index: u32| RecipientKey { message: id, index };
    let next = now.plus(DAY * (DAYS + 30));
    let put_off = |key| {
        let (reply, trouble) = DEFERRED[0];
        Change {
            conversation: Some(talk()),
            ..change(EventKind::Deferred, key, now, reply, None, Some(trouble), Some(next))
        }
    };
    let mut changes = Vec::new();
    for index in 0..recipients {
        let key = key(index);
        match index % 10 {
            0 => changes.push(put_off(key)),
            1 | 2 => {
                changes.extend([put_off(key), change(EventKind::Succeeded, key, now, DELIVERED[0], None, None, None)])
            }
            3 => {
                let (reply, error, trouble) = FAILED[0];
                let failed = change(EventKind::Failed, key, now, reply, Some(error), Some(trouble), None);
                changes.push(Change { conversation: Some(talk()), ..failed });
            }
            4 => {
                let mut dropped = change(EventKind::Dropped, key, now, "", None, None, None);
                dropped.event.operator = Some("mari@shop.test".into());
                changes.push(dropped);
            }
            _ => changes.push(change(EventKind::Succeeded, key, now, DELIVERED[1], None, None, None)),
        }
    }
    apply(store, changes);
    for some in (0..recipients).filter(|index| index % 10 == 5).collect::<Vec<_>>().chunks(CHANGES) {
        let returned = some.iter().map(|index| Returned {
            key: key(*index),
            kind: if index % 20 == 5 { EventKind::Bounced } else { EventKind::Complained },
            at: now,
            detail: Box::new(AttemptDetail { reply: "550 5.1.1 no such user".into(), ..AttemptDetail::default() }),
        });
        smol::block_on(store.returned(returned.collect())).unwrap();
    }
    id
}

/// What was said in an attempt that was put off.
fn talk() -> Conversation {
    let mut talk = Conversation::default();
    for (after, said, text) in [
        (0, Said::Host, "mx1.dst.test 192.0.2.1:25"),
        (20, Said::Peer, "220 mx1.dst.test ESMTP"),
        (21, Said::We, "EHLO mail.shop.test"),
        (40, Said::Peer, "250-mx1.dst.test\n250-SIZE 52428800\n250 8BITMIME"),
        (41, Said::We, "MAIL FROM:<news@shop.test> SIZE=2211"),
        (60, Said::Peer, "421 4.7.0 Too many connections from your host"),
    ] {
        assert!(talk.push(Some(after), said, text, CONVERSATION_OCTETS_MAX));
    }
    talk
}

/// Numbers of the first events of a message, newest first.
fn story_numbers(store: &Store, id: MessageId) -> Vec<u64> {
    use hikyaku::store::{LogQuery, Page};
    let query = LogQuery { message: Some(id), ..LogQuery::default() };
    let found = store.log_page(&query, &Page { rows_max: 1_000, ..Page::default() }).unwrap();
    found.rows.iter().map(|row| row.number).collect()
}

/// What operators did to the queue: some destinations are held, some paused.
fn acts(store: &Store, now: Timestamp) {
    let (operator, from) = ("mari@shop.test".to_owned(), "192.0.2.7".to_owned());
    for destination in ["domain3.test", "domain5.test"] {
        let filter = QueueFilter { destination: destination.into(), ..QueueFilter::default() };
        let act = QueueAct { verb: QueueVerb::Hold, filter, operator: operator.clone(), from: from.clone() };
        smol::block_on(store.act(act)).unwrap();
    }
    for n in 0..PAUSES {
        let pause = Pause {
            destination: format!("domain{}.test", n * 3),
            since: now,
            until: (n % 2 == 0).then(|| now.plus(DAY)),
            operator: operator.clone(),
            reason: "they answer 421 since nine".into(),
        };
        smol::block_on(store.pause(pause, &from)).unwrap();
    }
}

fn apply(store: &Store, changes: Vec<Change>) {
    let mut changes = changes.into_iter();
    loop {
        let some: Vec<Change> = changes.by_ref().take(CHANGES).collect();
        if some.is_empty() {
            return;
        }
        smol::block_on(store.apply(some)).unwrap();
    }
}

struct Mail {
    n: u32,
    to: Vec<String>,
    waits: bool,
}

impl Mail {
    fn new(n: u32, rng: &mut Rng) -> Self {
        // A few domains get most of it, as everywhere.
        let domain = |rng: &mut Rng| {
            let r = rng.next() % DOMAINS;
            r * (rng.next() % DOMAINS) / DOMAINS * (rng.next() % DOMAINS) / DOMAINS
        };
        let to = (0..RECIPIENTS).map(|r| format!("user{}@domain{}.test", n % 9973 * RECIPIENTS + r, domain(rng)));
        Mail { n, to: to.collect(), waits: false }
    }

    /// Every second recipient has a destination of its own, as long as there are some.
    fn waiting(n: u32, amount: Amount, rng: &mut Rng) -> Self {
        let mut mail = Mail { waits: true, ..Mail::new(n, rng) };
        for (r, address) in mail.to.iter_mut().enumerate().filter(|(r, _)| r % 2 == 0) {
            let own = (n * RECIPIENTS + r as u32) / 2 % amount.destinations;
            *address = format!("info@company{own}.test");
        }
        mail
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
            user: USERS[self.n as usize % USERS.len()].into(),
            // Some of what waits was asked for a later time.
            release_at: (self.waits && self.n.is_multiple_of(7)).then(|| now.plus(DAY)),
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
    apply(store, changes);
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

/// It was tried, and will be tomorrow; what was asked for a later time was not.
fn waits(n: u32, key: RecipientKey, rng: &mut Rng, at: Timestamp) -> Option<Change> {
    let (reply, trouble) = DEFERRED[rng.below(DEFERRED.len())];
    let mut change = change(EventKind::Deferred, key, at, reply, None, Some(trouble), Some(at.plus(DAY)));
    if rng.below(5) == 0 {
        change.event.wait = Some(WaitReason::Site);
    }
    (!(n - key.index).is_multiple_of(7)).then_some(change)
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
