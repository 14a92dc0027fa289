//! A store on a disk of choice, and short words to use it with.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use hikyaku::{
    budget::Budget,
    clock::{Clock, Timestamp},
    event::{AttemptDetail, Class, ErrorClass, Event, EventKind, Phase, Trouble, WaitReason},
    ids::{MessageId, RecipientKey},
    mail::header::Facts,
    smtp::{
        address::Mailbox,
        params::{Envelope, EnvelopeRecipient, MailParams, RcptParams},
    },
    store::{
        Blocked, BodyIn, Change, Lane, MemoChange, Message, NoticeKind, Opened, Origin, Receipt, RetentionPeriods,
        Returned, ReturnedAs, Sandboxed, Store, StoreError, StoreOptions, Submission, Tuning, sim::SimDisk,
    },
};

pub const DAY: Duration = Duration::from_secs(86_400);
/// 2026-11-01.
pub const START: Timestamp = Timestamp::from_millis(1_793_491_200_000);

pub fn retention() -> RetentionPeriods {
    RetentionPeriods {
        delivery_log: 40 * DAY,
        error_log: 40 * DAY,
        audit_log: 90 * DAY,
        message_bodies: Duration::ZERO,
    }
}

pub fn options(dir: impl Into<PathBuf>, clock: &Clock) -> StoreOptions {
    StoreOptions { data_dir: dir.into(), clock: clock.clone(), disk_free_min: 0, retention: retention() }
}

pub const SIM_DIR: &str = hikyaku::store::sim::DIR;

/// A store on a simulated disk, with small segments and one order of disk operations.
pub fn open_sim(disk: &SimDisk, clock: &Clock) -> Result<Opened, StoreError> {
    open_sim_with(disk, options(SIM_DIR, clock))
}

pub fn open_sim_with(disk: &SimDisk, options: StoreOptions) -> Result<Opened, StoreError> {
    open_sim_redo(disk, options, 256 * 1024)
}

/// A store whose redo log is as small as this: the smaller, the oftener it is emptied; 64 KiB do not hold one commit.
pub fn open_sim_redo(disk: &SimDisk, options: StoreOptions, redo_octets: u64) -> Result<Opened, StoreError> {
    let tuning = Tuning {
        disk: Arc::new(disk.clone()),
        segment_octets: 8 * 1024,
        jobs_inline: true,
        company_wait: Duration::ZERO,
        idle_tick: Duration::from_millis(10),
        migration_step: 7,
        redo_octets,
    };
    Store::open_tuned(options, tuning)
}

/// A folder of the test's own, removed with it.
pub struct TempDir(pub PathBuf);

impl TempDir {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hikyaku-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        TempDir(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A submission in the making.
#[derive(Clone)]
pub struct Mail {
    pub to: Vec<String>,
    pub from: Option<String>,
    pub body: Vec<u8>,
    pub message_id: String,
    pub api_data: String,
    pub user: String,
    pub class: Class,
    pub settles: Vec<RecipientKey>,
    pub release_at: Option<Timestamp>,
    pub lane: Option<Lane>,
    pub blocked: Vec<Blocked>,
    pub sandboxed: Vec<Sandboxed>,
    pub memos: Vec<MemoChange>,
}

impl Default for Mail {
    fn default() -> Self {
        Mail {
            to: vec!["you@example.org".into()],
            from: Some("me@example.jp".into()),
            body: b"Subject: hi\r\n\r\nhello\r\n".to_vec(),
            message_id: String::new(),
            api_data: String::new(),
            user: String::new(),
            class: Class::Normal,
            settles: Vec::new(),
            release_at: None,
            lane: None,
            blocked: Vec::new(),
            sandboxed: Vec::new(),
            memos: Vec::new(),
        }
    }
}

impl Mail {
    pub fn to(addresses: &[&str]) -> Self {
        Mail { to: addresses.iter().map(|a| (*a).to_owned()).collect(), ..Mail::default() }
    }

    pub fn submission(self, id: MessageId, now: Timestamp) -> Submission {
        let lease = Budget::new(usize::MAX).take(self.body.len()).unwrap();
        let body = BodyIn::Ram { bytes: Bytes::from(self.body.clone()), lease };
        self.submission_with(id, now, body)
    }

    pub fn submission_with(self, id: MessageId, now: Timestamp, body: BodyIn) -> Submission {
        let mailbox = |a: &String| Mailbox::parse(a).unwrap();
        Submission {
            id,
            accepted_at: now,
            expires_at: now.plus(4 * DAY),
            lanes: self
                .to
                .iter()
                .map(|a| self.lane.clone().unwrap_or_else(|| Lane(mailbox(a).domain_key().into())))
                .collect(),
            release_at: self.release_at,
            envelope: Envelope {
                sender: self.from.as_ref().map(mailbox),
                params: MailParams::default(),
                recipients: self
                    .to
                    .iter()
                    .map(|a| EnvelopeRecipient { address: mailbox(a), params: RcptParams::default() })
                    .collect(),
            },
            class: self.class,
            facts: Facts {
                message_id: self.message_id,
                from: "author@example.jp".into(),
                api_data: self.api_data,
                ..Facts::default()
            },
            user: self.user,
            source_ip: None,
            origin: Origin::Smtp,
            body,
            settles: self.settles,
            return_path: hikyaku::bounce::envelope_from::ReturnPath::AsIs,
            list: String::new(),
            blocked: self.blocked,
            sandboxed: self.sandboxed,
            memos: self.memos,
        }
    }
}

pub fn submit(store: &Store, clock: &Clock, mail: Mail) -> Result<Receipt, StoreError> {
    let now = clock.now();
    smol::block_on(store.submit(mail.submission(store.ids().next(now), now)))
}

pub fn key(message: MessageId, index: u32) -> RecipientKey {
    RecipientKey { message, index }
}

pub fn succeeded(key: RecipientKey, at: Timestamp) -> Change {
    change(key, at, EventKind::Succeeded, "250 2.0.0 ok")
}

pub fn failed(key: RecipientKey, at: Timestamp) -> Change {
    change(key, at, EventKind::Failed, "550 5.1.1 no such user")
}

pub fn deferred(key: RecipientKey, at: Timestamp, next: Timestamp) -> Change {
    let mut c = change(key, at, EventKind::Deferred, "450 4.2.1 later");
    c.event.next_try = Some(next);
    c.event.wait = Some(WaitReason::Retry);
    c
}

/// A bounce of class 2, or a complaint.
pub fn back(key: RecipientKey, at: Timestamp, kind: EventKind, reply: &str) -> Returned {
    let detail = AttemptDetail {
        host: "mx.example.org".into(),
        reply: reply.into(),
        error: (kind == EventKind::Bounced).then_some(ErrorClass::UnknownUser),
        trouble: Some(Trouble::Recipient),
        hard: true,
        ..AttemptDetail::default()
    };
    Returned { key, kind, at, detail: Box::new(detail) }
}

pub fn returned(store: &Store, what: Returned) -> Result<ReturnedAs, StoreError> {
    smol::block_on(store.returned(vec![what])).map(|mut answers| answers.remove(0))
}

pub fn blocked(index: u32, class: ErrorClass) -> Blocked {
    Blocked { index, class, reply: format!("suppressed since 2026-10-01: {class:?}") }
}

pub fn owing(mut c: Change, kind: NoticeKind) -> Change {
    c.notice = Some(kind);
    c
}

fn change(key: RecipientKey, at: Timestamp, kind: EventKind, reply: &str) -> Change {
    let detail = AttemptDetail {
        destination: "example.org".into(),
        host: "mx.example.org".into(),
        address: Some("192.0.2.1:25".parse().unwrap()),
        phase: Some(Phase::Content),
        reply: reply.into(),
        duration: Duration::from_millis(120),
        error: (kind == EventKind::Failed).then_some(ErrorClass::UnknownUser),
        ..AttemptDetail::default()
    };
    let event =
        Event { at, key, kind, attempt: 1, next_try: None, wait: None, operator: None, detail: Some(Box::new(detail)) };
    Change::of(event, None)
}

pub fn apply(store: &Store, changes: Vec<Change>) -> Result<hikyaku::store::Applied, StoreError> {
    smol::block_on(store.apply(changes))
}

pub fn body_of(store: &Store, message: &Message) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let mut out = Vec::new();
    store.open_body(message).map_err(|e| e.to_string())?.read_to_end(&mut out).map_err(|e| e.to_string())?;
    Ok(out)
}

pub fn load(store: &Store, id: MessageId) -> Option<(Message, Vec<hikyaku::store::Recipient>)> {
    let n = store.load(id, &[]).unwrap()?.0.recipients;
    store.load(id, &(0..n).collect::<Vec<_>>()).unwrap()
}

/// Stops the store and reads everything; panics with the damage.
pub fn assert_sound(disk: &SimDisk) {
    let report = Store::verify_on(Arc::new(disk.clone()), std::path::Path::new(SIM_DIR)).unwrap();
    assert!(report.damage.is_empty(), "{:#?}", report.damage);
}

/// Waits until `done` says so; the writer does its housework when idle.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("never came true: {what}");
}

/// The first waiting recipients of a lane and class, earliest due first whoever submitted them.
pub fn lane_head(
    store: &Store,
    lane: &Lane,
    class: Class,
    until: Timestamp,
    rows: usize,
    skip: &dyn Fn(RecipientKey) -> bool,
) -> Vec<hikyaku::store::Ticket> {
    let mut tickets = store
        .head(lane, class, until, hikyaku::store::HeadLimits { rows, per_message: usize::MAX }, skip)
        .unwrap()
        .tickets;
    tickets.sort_by_key(|t| (t.due, t.key));
    tickets
}
