//! Rows for the tests of the room, and what is done with endpoints that come and go.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;

use super::*;
use crate::{
    bounce::envelope_from::ReturnPath,
    budget::Budget,
    event::{AttemptDetail, Class, ErrorClass, Event, EventKind, Trouble},
    ids::{MessageId, RecipientKey},
    mail::header::Facts,
    smtp::{
        address::Mailbox,
        params::{Envelope, EnvelopeRecipient, MailParams, RcptParams},
    },
    store::{
        BodyIn, BodyPlace, Change, Lane, LogRow, MemoChange, Message, Origin, RetentionPeriods, StoreOptions,
        Submission,
    },
};

pub(super) fn now() -> Timestamp {
    Timestamp::from_rfc3339("2026-11-24T13:35:10.250Z").unwrap()
}

fn facts() -> Facts {
    Facts {
        message_id: "<1@mta01>".into(),
        from: "shop@example.net".into(),
        subject: "Order <42> 飛脚".into(),
        api_data: "order-42".into(),
        ..Facts::default()
    }
}

fn message() -> Arc<Message> {
    Arc::new(Message {
        id: MessageId::from_u64(1),
        accepted_at: Timestamp::ZERO,
        expires_at: Timestamp::MAX,
        sender: Mailbox::parse("b@return.example.net").ok(),
        params: MailParams::default(),
        recipients: 1,
        class: Class::Normal,
        facts: facts(),
        user: "app".into(),
        source_ip: Some(IpAddr::from([198, 51, 100, 7])),
        origin: Origin::Smtp,
        return_path: ReturnPath::AsIs,
        list: String::new(),
        place: BodyPlace::Gone,
        len: 100,
    })
}

fn detail(error: Option<ErrorClass>, reply: &str) -> Box<AttemptDetail> {
    Box::new(AttemptDetail {
        destination: "example.org".into(),
        sender_ip: Some(IpAddr::from([192, 0, 2, 9])),
        reply: reply.into(),
        error,
        trouble: error.map(|_| Trouble::Recipient),
        ..AttemptDetail::default()
    })
}

/// A row of the log.
pub(super) fn row(kind: EventKind, error: Option<ErrorClass>, reply: &str) -> LogRow {
    let event = Event {
        at: now(),
        key: RecipientKey { message: MessageId::from_u64(1), index: 0 },
        kind,
        attempt: 1,
        next_try: None,
        wait: None,
        operator: None,
        detail: (kind != EventKind::Queued).then(|| detail(error, reply)),
    };
    LogRow { event, number: 7, recipient: "x@example.org".into(), message: message(), links: Vec::new() }
}

/// Writes so many mails into a store, each queued and then ended so.
pub(super) fn log_of(store: &Store, clock: &Clock, mails: usize, end: EventKind) {
    let budget = Budget::new(1 << 20);
    for _ in 0..mails {
        let at = clock.now();
        let id = store.ids().next(at);
        let address = Mailbox::parse("x@example.org").unwrap();
        let recipients = vec![EnvelopeRecipient { address, params: RcptParams::default() }];
        let sender = Mailbox::parse("b@return.example.net").ok();
        let submission = Submission {
            id,
            accepted_at: at,
            expires_at: Timestamp::MAX,
            envelope: Envelope { sender, params: MailParams::default(), recipients },
            lanes: vec![Lane("example.org".into())],
            class: Class::Normal,
            facts: facts(),
            user: String::new(),
            source_ip: None,
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
        smol::block_on(store.submit(submission)).unwrap();
        let error = (end == EventKind::Failed).then_some(ErrorClass::UnknownUser);
        let event = Event {
            at,
            key: RecipientKey { message: id, index: 0 },
            kind: end,
            attempt: 1,
            next_try: None,
            wait: None,
            operator: None,
            detail: Some(detail(error, "said")),
        };
        smol::block_on(store.apply(vec![Change::of(event, None)])).unwrap();
    }
}

struct House {
    dir: PathBuf,
    store: Store,
    clock: Clock,
    config: InForce,
    room: Webhooks,
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn house(name: &str, names: &[&str]) -> House {
    let dir = std::env::temp_dir().join(format!("hikyaku-webhook-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let day = Duration::from_secs(86_400);
    let retention = RetentionPeriods { delivery_log: day, error_log: day, audit_log: day, message_bodies: day };
    let clock = Clock::manual(now());
    let options = StoreOptions { data_dir: dir.clone(), clock: clock.clone(), disk_free_min: 0, retention };
    let store = Store::open(options).unwrap().store;
    let mut config = Config::default();
    let hook = |name: &&str| config::Webhook {
        name: (*name).to_owned(),
        url: "https://crm.example.jp/hook?key=secret".into(),
        ..config::Webhook::default()
    };
    config.webhooks = names.iter().map(hook).collect();
    let config = InForce::new(config);
    let room = Webhooks::without_tasks(store.clone(), clock.clone(), config.clone());
    House { dir, store, clock, config, room }
}

fn put(house: &House, name: &str, mark: &Mark) {
    let change = MemoChange { kind: MemoKind::Webhooks, key: name.into(), value: Some(mark.write()) };
    smol::block_on(house.store.put_memos(vec![change])).unwrap();
}

fn stored(house: &House, name: &str) -> Option<Mark> {
    house.store.memo(MemoKind::Webhooks, name).unwrap().and_then(|value| Mark::read(&value))
}

#[test]
fn one_that_left_the_config_keeps_its_place_for_three_days() {
    let house = house("left", &["here"]);
    put(&house, "here", &Mark::new("u", 5, 5));
    put(&house, "gone", &Mark::new("u", 7, 7));
    let tried = history::Tried {
        number: 3,
        at: 1,
        id: "msg".into(),
        event_type: "deliveries".into(),
        events: 1,
        first: 1,
        last: 1,
        status: 200,
        took: 1,
        error: String::new(),
    };
    let rows = vec![history::row("gone", &tried), history::row("here", &tried)];
    smol::block_on(house.store.put_memos(rows)).unwrap();
    let round = || smol::block_on(house::round(&house.room.0)).unwrap();
    round();
    assert!(
        stored(&house, "gone").unwrap().removed_at.is_some() && stored(&house, "here").unwrap().removed_at.is_none()
    );
    house.clock.advance(Duration::from_secs(2 * 86_400));
    round();
    assert_eq!(stored(&house, "gone").unwrap().log.after, 7);
    house.clock.advance(Duration::from_secs(86_401));
    round();
    assert!(stored(&house, "gone").is_none() && stored(&house, "here").is_some());
    assert_eq!(history::list(&house.store, "gone", 9).unwrap(), []);
    assert_eq!(history::list(&house.store, "here", 9).unwrap().len(), 1);
}

#[test]
fn the_history_is_a_ring_and_newest_first() {
    let house = house("ring", &["crm"]);
    let tried = |number| history::Tried {
        number,
        at: number,
        id: String::new(),
        event_type: "deliveries".into(),
        events: 1,
        first: 1,
        last: 1,
        status: 0,
        took: 1,
        error: history::line("a\r\nb"),
    };
    for part in (0..1_300).collect::<Vec<u64>>().chunks(500) {
        let rows = part.iter().map(|n| history::row("crm", &tried(*n))).collect();
        smol::block_on(house.store.put_memos(rows)).unwrap();
    }
    let list = house.room.history("crm", 5).unwrap();
    assert_eq!(list.iter().map(|t| t.number).collect::<Vec<_>>(), [1299, 1298, 1297, 1296, 1295]);
    assert_eq!((house.room.history("crm", 5_000).unwrap().len(), list[0].error.as_str()), (1_000, "a  b"));
    assert!(matches!(house.room.history("nobody", 5), Err(OrderError::Unknown)));
}

#[test]
fn a_view_shows_no_secret_and_orders_need_a_task() {
    let house = house("view", &["crm"]);
    let view = &house.room.views()[0];
    assert_eq!((view.url.as_str(), view.state().word()), ("https://crm.example.jp/hook?…", "ok"));
    assert!(!view.is_in_trouble() && view.lag(now()) == Duration::ZERO);
    assert!(matches!(smol::block_on(house.room.resume("nobody")), Err(OrderError::Unknown)));
    assert!(smol::block_on(house.room.test("nobody")).is_none());
    let first = house.room.0.testing.try_lock().expect("nobody tests");
    let second = smol::block_on(house.room.test("crm")).expect("an endpoint");
    assert!(second.error.is_some_and(|error| error.contains("another test post")));
    drop(first);
    assert!(
        smol::block_on(house.room.test("crm")).is_some_and(|sent| sent.error.is_some_and(|e| !e.contains("another")))
    );
    assert_eq!(house.config.get().webhooks.len(), 1);
    let post =
        test_post("crm", &Style::of(&house.config.get().webhooks[0], &house.config.get()), &house.config.get(), now());
    let body: serde_json::Value = serde_json::from_slice(&post.body).unwrap();
    assert_eq!(body["event"]["deliveries"][0]["subject"], "Hikyaku webhook test");
}
