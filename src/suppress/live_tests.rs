//! The room on a real store, with a real door and scheduler: how soon an address is suppressed, and what a look-up costs.

use std::{
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

use super::{
    Parts, Suppressions,
    acts::{Actor, IMPORT_BATCH_MAX, ImportRow, NewEntry},
    lookup,
    row::Cause,
};
use crate::{
    bounce::keys::KeyRing,
    budget::Budget,
    clock::{Clock, Timestamp},
    config::{Config, InForce},
    deliver::job::{Deliver, Job, Outcome, RecipientResult, SiteFeedback, Verdict},
    event::{AttemptDetail, ErrorClass, EventKind, Phase, Trouble},
    intake::submit::{Door, Incoming},
    mail::header::Facts,
    metrics::Metrics,
    runtime::{Runtime, Shutdown},
    sandbox::Sandbox,
    schedule::task::{self, Scheduler, Settings},
    smtp::{
        address::Mailbox,
        params::{Envelope, EnvelopeRecipient, MailParams, RcptParams},
    },
    store::{BodyIn, LogQuery, Origin, Page, Receipt, RecipientState, RetentionPeriods, Store, StoreOptions},
};

/// Nobody exists there.
#[derive(Default)]
struct Nobody {
    calls: AtomicUsize,
}

impl Deliver for Nobody {
    fn deliver(&self, job: Job) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let result = |index: u32| RecipientResult {
            index,
            verdict: Verdict::Failed,
            detail: Box::new(AttemptDetail {
                destination: "example.org".into(),
                phase: Some(Phase::Rcpt),
                reply: "550 5.1.1 no such user".into(),
                error: Some(ErrorClass::UnknownUser),
                trouble: Some(Trouble::Recipient),
                hard: true,
                ..AttemptDetail::default()
            }),
            conversation: None,
        };
        let results = job.recipients.iter().map(|r| result(r.key.index)).collect();
        let outcome = Outcome { results, feedback: SiteFeedback::Healthy, interrupted: false, push: None };
        Box::pin(std::future::ready(outcome))
    }
}

struct House {
    store: Store,
    clock: Clock,
    door: Door,
    room: Suppressions,
    metrics: Arc<Metrics>,
    peers: Arc<Nobody>,
    shutdown: Shutdown,
    data_dir: PathBuf,
    budget: Budget,
}

impl Drop for House {
    fn drop(&mut self) {
        self.shutdown.cut();
        let _ = std::fs::remove_dir_all(&self.data_dir);
    }
}

fn house(name: &str) -> House {
    let day = Duration::from_secs(86_400);
    let data_dir = std::env::temp_dir().join(format!("hikyaku-suppress-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&data_dir).unwrap();
    let clock = Clock::system();
    let retention = RetentionPeriods { delivery_log: day, error_log: day, audit_log: day, message_bodies: day };
    let options = StoreOptions { data_dir: data_dir.clone(), clock: clock.clone(), disk_free_min: 0, retention };
    let store = Store::open(options).unwrap().store;
    let config = Config::default();
    let (runtime, shutdown, metrics) = (Runtime::start(1).unwrap(), Shutdown::new(), Arc::new(Metrics::default()));
    let (budget, settings, live) = (Budget::new(16 << 20), Settings::from(&config), InForce::new(config));
    let peers = Arc::<Nobody>::default();
    let parts = task::Parts {
        runtime: runtime.clone(),
        store: store.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        shutdown: shutdown.clone(),
        deliver: peers.clone(),
        budget: budget.clone(),
        streams: Default::default(),
    };
    let scheduler = Scheduler::start(parts, settings);
    let room = Suppressions::start(Parts {
        runtime,
        store: store.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        shutdown: shutdown.clone(),
        config: live.clone(),
        tell: None,
    });
    scheduler.on_failures({
        let room = room.clone();
        move || room.kick()
    });
    let keys = smol::block_on(KeyRing::open_in(&store, clock.now())).unwrap();
    let door = Door::new(
        store.clone(),
        scheduler,
        clock.clone(),
        metrics.clone(),
        live,
        keys,
        Arc::new(Sandbox::open(&data_dir).unwrap()),
    );
    House { store, clock, door, room, metrics, peers, shutdown, data_dir, budget }
}

impl House {
    fn send(&self, to: &[&str]) -> Receipt {
        let recipient =
            |to: &&str| EnvelopeRecipient { address: Mailbox::parse(to).unwrap(), params: RcptParams::default() };
        let bytes = Bytes::from_static(b"Subject: hello\r\n\r\nhello\r\n");
        let lease = self.budget.take(bytes.len()).unwrap();
        let incoming = Incoming {
            id: self.door.new_id(),
            envelope: Envelope {
                sender: Some(Mailbox::parse("shop@example.jp").unwrap()),
                params: MailParams::default(),
                recipients: to.iter().map(recipient).collect(),
            },
            body: BodyIn::Ram { bytes, lease },
            facts: Facts::default(),
            watched: Default::default(),
            user: String::new(),
            user_class: None,
            source_ip: None,
            origin: Origin::Smtp,
            settles: Vec::new(),
            sandbox: false,
            memos: Vec::new(),
        };
        smol::block_on(self.door.submit(incoming)).unwrap()
    }

    #[track_caller]
    fn within(&self, time: Duration, what: &str, is_so: impl Fn() -> bool) {
        let began = self.clock.instant();
        while !is_so() {
            assert!(self.clock.instant() - began < time, "not within {time:?}: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn block(&self, address: &str) -> Option<lookup::Block> {
        let address = Mailbox::parse(address).unwrap();
        lookup::block_of(&self.store, &address, "", "", self.clock.now()).unwrap()
    }
}

#[test]
fn a_failure_suppresses_in_a_moment_and_the_next_mail_is_final_from_the_first() {
    let house = house("moment");
    house.send(&["gone@example.org"]);
    // `immediately`, without waiting for the follower's own look every few seconds.
    house.within(Duration::from_secs(4), "the address is suppressed", || house.block("Gone@Example.org").is_some());
    let block = house.block("gone@example.org").unwrap();
    let today: String = house.clock.now().rfc3339().chars().take(10).collect();
    assert_eq!(block.class, ErrorClass::Blocked);
    assert_eq!(block.words, format!("suppressed since {today}: unknown user (550 5.1.1 no such user)"));
    let calls = house.peers.calls.load(Ordering::SeqCst);
    let receipt = house.send(&["GONE@example.org", "other@example.org"]);
    let states: Vec<_> = receipt.loaded().recipients.iter().map(|r| r.state.clone()).collect();
    assert_eq!(states[0], RecipientState::Final(EventKind::Failed));
    assert!(matches!(states[1], RecipientState::Waiting { .. }));
    house.within(Duration::from_secs(10), "the other one is tried", || {
        house.peers.calls.load(Ordering::SeqCst) == calls + 1
    });
    assert_eq!(house.metrics.blocked.get(), 1);
    let query = LogQuery { message: Some(receipt.id()), kinds: vec![EventKind::Failed], ..LogQuery::default() };
    house.within(Duration::from_secs(10), "both ends are logged", || {
        house.store.log_page(&query, &Page::default()).unwrap().rows.len() == 2
    });
    let rows = house.store.log_page(&query, &Page::default()).unwrap().rows;
    let blocked = rows.iter().find(|row| row.event.key.index == 0).unwrap();
    let detail = blocked.event.detail.as_ref().unwrap();
    assert_eq!((detail.error, detail.reply.as_str()), (Some(ErrorClass::Blocked), block.words.as_str()));
    assert_eq!(
        house
            .store
            .notices_owed(10)
            .unwrap()
            .iter()
            .filter(|n| n.key.index == 0 && n.key.message == receipt.id())
            .count(),
        0
    );
    // Blocked mail is no error: nothing else came onto the list but the other address.
    house.within(Duration::from_secs(10), "the other address is suppressed", || house.metrics.suppressed.get() == 2);
    let reply =
        lookup::may_be_written_to(&house.store, &Mailbox::parse("gone@example.org").unwrap(), "", house.clock.now());
    let reply = reply.unwrap_err();
    assert_eq!((reply.code, reply.enhanced.map(|e| e.to_string())), (550, Some("5.7.1".to_owned())));
    assert!(reply.text.contains("unknown user"), "{reply}");
}

#[test]
fn an_expired_watch_blocks_nobody_and_a_complaint_is_class_eleven() {
    let house = house("expired");
    let actor = Actor { who: "operator".to_owned(), from: "test".to_owned() };
    let now = house.clock.now();
    let new = |address: &str, until: Option<Timestamp>| NewEntry {
        address: address.to_owned(),
        until,
        ..NewEntry::default()
    };
    smol::block_on(house.room.add(&actor, new("a@example.jp", Some(now.plus(Duration::from_secs(3600)))))).unwrap();
    let at = |address: &str, now| {
        lookup::block_of(&house.store, &Mailbox::parse(address).unwrap(), "", "", now).unwrap().map(|b| b.class)
    };
    assert_eq!(at("a@example.jp", now.plus(Duration::from_secs(3599))), Some(ErrorClass::Blocked));
    assert_eq!(at("a@example.jp", now.plus(Duration::from_secs(3601))), None);
    let row = ImportRow {
        address: "angry@example.jp".to_owned(),
        user: String::new(),
        cause: Cause::Complaint,
        class: None,
        occurred: 0,
        reason: String::new(),
        since: None,
        until: None,
    };
    smol::block_on(house.room.import(&actor, "list.csv", vec![row])).unwrap();
    assert_eq!(at("angry@example.jp", now), Some(ErrorClass::Unsubscribed));
}

/// `HIKYAKU_SUPPRESSIONS=1000000 cargo test --lib a_long_list -- --nocapture` measures a list of that length.
#[test]
fn a_long_list_costs_a_look_up_nothing_that_a_short_one_does_not() {
    let house = house("long");
    let rows: usize = std::env::var("HIKYAKU_SUPPRESSIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let cost = |what: &str| {
        let address = |n: usize| Mailbox::parse(&format!("nobody{n}@example.net")).unwrap();
        let addresses: Vec<Mailbox> = (0..500).map(address).collect();
        let best = (0..5).map(|_| {
            let began = house.clock.instant();
            for address in &addresses {
                lookup::block_of(&house.store, address, "", "", house.clock.now()).unwrap();
            }
            (house.clock.instant() - began) / 500
        });
        let best = best.min().unwrap();
        log::info!("{what}: {best:?}");
        best
    };
    let empty = cost("an empty list");
    let actor = Actor { who: "operator".to_owned(), from: "test".to_owned() };
    let row = |n: usize| ImportRow {
        address: format!("user{:x}@d{}.example.org", n.wrapping_mul(0x9e37_79b9), n % 5000),
        user: String::new(),
        cause: Cause::Import,
        class: Some(ErrorClass::UnknownUser),
        occurred: 1,
        reason: "550 5.1.1 no such user here".to_owned(),
        since: None,
        until: None,
    };
    for first in (0..rows).step_by(IMPORT_BATCH_MAX) {
        let batch = (first..(first + IMPORT_BATCH_MAX).min(rows)).map(row).collect();
        smol::block_on(house.room.import(&actor, "long.csv", batch)).unwrap();
    }
    let full = cost("a long list");
    if std::env::var_os("HIKYAKU_SUPPRESSIONS").is_some() {
        std::io::Write::write_all(
            &mut std::io::stderr(),
            format!("{rows} rows: {full:?} a look-up, {empty:?} when empty\n").as_bytes(),
        )
        .unwrap();
    }
    assert!(full < Duration::from_micros(300), "{rows} rows: {full:?} a look-up, {empty:?} when empty");
    assert!(house.block("user0@d0.example.org").is_some());
}
