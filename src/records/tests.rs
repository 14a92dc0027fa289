//! CMC's clients read these records by their keys: they are the documented ones, in every state.

use std::{net::IpAddr, time::Duration};

use serde_json::{Value, json};

use super::*;
use crate::{
    clock::Timestamp,
    event::{AttemptDetail, Class, Trouble},
    ids::{MessageId, RecipientKey},
    mail::header::Facts,
    smtp::{address::Mailbox, params::MailParams},
    store::{BodyPlace, Origin},
    suppress::row::{Cause, Entry},
};

fn message(return_path: ReturnPath) -> Message {
    Message {
        id: MessageId::from_u64(1),
        accepted_at: Timestamp::ZERO,
        expires_at: Timestamp::MAX,
        sender: Mailbox::parse("Shop@example.net").ok(),
        params: MailParams::default(),
        recipients: 1,
        class: Class::Normal,
        facts: Facts {
            message_id: "<1@app>".into(),
            from: "shop@example.net".into(),
            subject: "ご注文".into(),
            api_data: "order-42".into(),
            ..Facts::default()
        },
        user: "app".into(),
        source_ip: Some(IpAddr::from([198, 51, 100, 7])),
        origin: Origin::Smtp,
        return_path,
        list: String::new(),
        place: BodyPlace::Gone,
        len: 100,
    }
}

fn event(kind: EventKind, error: Option<ErrorClass>, reply: &str) -> Event {
    let detail = AttemptDetail {
        sender_ip: Some(IpAddr::from([192, 0, 2, 9])),
        reply: reply.into(),
        error,
        trouble: error.map(|_| Trouble::Recipient),
        duration: Duration::from_millis(1),
        ..AttemptDetail::default()
    };
    Event {
        at: Timestamp::from_rfc3339("2026-11-24T13:35:10.250Z").unwrap(),
        key: RecipientKey { message: MessageId::from_u64(1), index: 0 },
        kind,
        attempt: 1,
        next_try: None,
        wait: None,
        operator: None,
        detail: (kind != EventKind::Queued).then(|| Box::new(detail)),
    }
}

fn tokyo() -> Zone {
    Zone::named("Asia/Tokyo")
}

/// The keys of a record as JSON writes them, in order.
fn keys_of(record: &impl Serialize) -> Vec<String> {
    let text = serde_json::to_string(record).unwrap();
    let value: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    assert!(value.values().all(Value::is_string), "{text}");
    let mut keys: Vec<(usize, String)> =
        value.keys().map(|key| (text.find(&format!("\"{key}\":")).unwrap(), key.clone())).collect();
    keys.sort();
    keys.into_iter().map(|(_, key)| key).collect()
}

#[test]
fn a_delivery_has_cmcs_eleven_keys_in_every_state() {
    let (message, zone) = (message(ReturnPath::AsIs), tokyo());
    let queued = Delivery::of(&event(EventKind::Queued, None, ""), "x@example.org", &message, &zone).unwrap();
    assert_eq!(
        serde_json::to_value(&queued).unwrap(),
        json!({
            "created": "2026-11-24 22:35:10", "returnPath": "Shop@example.net", "from": "shop@example.net",
            "to": "x@example.org", "messageId": "<1@app>", "reason": "", "senderIp": "",
            "sourceIp": "198.51.100.7", "status": "queued", "subject": "ご注文", "apiData": "order-42"
        })
    );
    for kind in [EventKind::Deferred, EventKind::Succeeded, EventKind::Failed, EventKind::Dropped] {
        let record = Delivery::of(&event(kind, None, "250 ok"), "x@example.org", &message, &zone).unwrap();
        assert_eq!(keys_of(&record), Delivery::KEYS);
        let told = (record.source_ip.as_str(), record.sender_ip.as_str(), record.reason.as_str());
        assert_eq!(told, ("", "192.0.2.9", "250 ok"));
        assert_eq!(record.status, kind.word());
        let value = serde_json::to_value(&record).unwrap();
        for (key, text) in Delivery::KEYS.iter().zip(record.into_values()) {
            assert_eq!(value[key], text, "{key}");
        }
    }
    for kind in [EventKind::Bounced, EventKind::Complained] {
        assert_eq!(Delivery::of(&event(kind, None, ""), "x@example.org", &message, &zone), None);
    }
    let mut dropped = event(EventKind::Dropped, None, "");
    (dropped.operator, dropped.detail) = (Some("operator root".into()), None);
    let record = Delivery::of(&dropped, "x@example.org", &message, &zone).unwrap();
    assert_eq!(record.reason, "removed from the queue by an operator");
}

#[test]
fn a_bounce_has_cmcs_nine_keys_and_a_class() {
    let (message, zone) = (message(ReturnPath::AsIs), tokyo());
    for (kind, error, status) in [
        (EventKind::Failed, Some(ErrorClass::UnknownUser), "2"),
        (EventKind::Failed, Some(ErrorClass::Blocked), "10"),
        (EventKind::Bounced, Some(ErrorClass::OverCapacity), "5"),
        (EventKind::Complained, None, "99"),
    ] {
        let record = Bounce::of(&event(kind, error, "550 5.1.1 no"), "x@example.org", &message, &zone).unwrap();
        assert_eq!(keys_of(&record), Bounce::KEYS);
        assert_eq!((record.status.as_str(), record.reason.as_str()), (status, "550 5.1.1 no"));
        let value = serde_json::to_value(&record).unwrap();
        for (key, text) in Bounce::KEYS.iter().zip(record.into_values()) {
            assert_eq!(value[key], text, "{key}");
        }
    }
    for kind in [EventKind::Queued, EventKind::Deferred, EventKind::Succeeded, EventKind::Dropped] {
        assert_eq!(Bounce::of(&event(kind, None, ""), "x@example.org", &message, &zone), None);
    }
}

#[test]
fn the_return_path_is_cmcs_where_the_local_part_is_kept_and_never_a_token() {
    let domain = || "return.example.net".into();
    for (path, told) in [
        (ReturnPath::AsIs, "Shop@example.net"),
        (ReturnPath::KeepLocal { domain: domain() }, "Shop@return.example.net"),
        (ReturnPath::Token { domain: domain(), epoch: 1 }, "Shop@example.net"),
    ] {
        let record = Delivery::of(&event(EventKind::Queued, None, ""), "x@example.org", &message(path), &tokyo());
        assert_eq!(record.unwrap().return_path, told);
    }
    let null = Message { sender: None, ..message(ReturnPath::AsIs) };
    assert_eq!(
        Delivery::of(&event(EventKind::Queued, None, ""), "x@example.org", &null, &tokyo()).unwrap().return_path,
        ""
    );
}

#[test]
fn a_block_has_cmcs_five_keys() {
    let stay = |cause: Cause, class: Option<ErrorClass>| Entry {
        id: MessageId::from_u64(7),
        since: Timestamp::from_rfc3339("2026-11-24T13:35:10.250Z").unwrap(),
        until: None,
        cause,
        class,
        occurred: 3,
        reason: String::new(),
        event: None,
        operator: String::new(),
        hard: false,
        provider: String::new(),
        incident: String::new(),
        lifted: None,
    };
    for (cause, class, status) in [
        (Cause::Errors, Some(ErrorClass::UnknownUser), "2"),
        (Cause::Manual, None, "99"),
        (Cause::Complaint, None, "11"),
        (Cause::Unsubscribe, None, "11"),
    ] {
        let record = Block::of("x@example.org", &stay(cause, class), &tokyo());
        assert_eq!(keys_of(&record), Block::KEYS);
        assert_eq!((record.status.as_str(), record.occurred.as_str()), (status, "3"));
        assert_eq!((record.id.len(), record.created.as_str()), (13, "2026-11-24 22:35:10"));
        let value = serde_json::to_value(&record).unwrap();
        for (key, text) in Block::KEYS.iter().zip(record.into_values()) {
            assert_eq!(value[key], text, "{key}");
        }
    }
}
