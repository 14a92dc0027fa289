//! Both versions in both forms, letter by letter.

use super::*;
use crate::{
    config::{Config, Webhook},
    event::ErrorClass,
    suppress::{
        row::Entry,
        told::{ListAct, ListChange},
    },
    webhook::tests::{now, row},
};

fn style(form: bool, version: u8) -> Style {
    let hook = Webhook { form, version, time_zone: "Asia/Tokyo".into(), ..Webhook::default() };
    Style { api_key: Secret::new("hook-secret".into()), ..Style::of(&hook, &Config::default()) }
}

fn text(octets: Vec<u8>) -> String {
    String::from_utf8(octets).unwrap()
}

const QUEUED: &str = r#"{"created":"2026-11-24 22:35:10","returnPath":"b@return.example.net","from":"shop@example.net","to":"x@example.org","messageId":"\u003C1@mta01\u003E","reason":"","senderIp":"","sourceIp":"198.51.100.7","status":"queued","subject":"Order \u003C42\u003E 飛脚","apiData":"order-42"}"#;
const SUCCEEDED: &str = r#"{"created":"2026-11-24 22:35:10","returnPath":"b@return.example.net","from":"shop@example.net","to":"x@example.org","messageId":"\u003C1@mta01\u003E","reason":"250 2.0.0 ok","senderIp":"192.0.2.9","sourceIp":"","status":"succeeded","subject":"Order \u003C42\u003E 飛脚","apiData":"order-42"}"#;
const FIRST: &str = r#"{"created":"2026-11-24 22:35:10","envelopeFrom":"b@return.example.net","envelopeTo":"x@example.org","messageId":"\u003C1@mta01\u003E","reason":"250 2.0.0 ok","senderIp":"192.0.2.9","sourceIp":"","status":"succeeded","subject":"Order \u003C42\u003E 飛脚"}"#;
const BOUNCE: &str = r#"{"created":"2026-11-24 22:35:10","status":"2","from":"shop@example.net","to":"x@example.org","messageId":"\u003C1@mta01\u003E","returnPath":"b@return.example.net","subject":"Order \u003C42\u003E 飛脚","apiData":"order-42","reason":"550 5.1.1 unknown"}"#;
const FIRST_BOUNCE: &str = r#"{"created":"2026-11-24 22:35:10","envelopeFrom":"b@return.example.net","envelopeTo":"x@example.org","messageId":"\u003C1@mta01\u003E","reason":"550 5.1.1 unknown","senderIp":"192.0.2.9","sourceIp":"","status":"2","subject":"Order \u003C42\u003E 飛脚"}"#;

#[test]
fn records_of_both_versions_are_cmcs() {
    let queued = row(EventKind::Queued, None, "");
    let succeeded = row(EventKind::Succeeded, None, "250 2.0.0 ok");
    let failed = row(EventKind::Failed, Some(ErrorClass::UnknownUser), "550 5.1.1 unknown");
    let (first, second) = (style(true, 1), style(false, 2));
    assert_eq!(second.delivery(&queued).map(text).as_deref(), Some(QUEUED));
    assert_eq!(second.delivery(&succeeded).map(text).as_deref(), Some(SUCCEEDED));
    assert_eq!(second.bounce(&failed).map(text).as_deref(), Some(BOUNCE));
    assert_eq!(first.delivery(&succeeded).map(text).as_deref(), Some(FIRST));
    assert_eq!(first.bounce(&failed).map(text).as_deref(), Some(FIRST_BOUNCE));
    // What came back later is a bounce and no delivery; what was no error is no bounce.
    let bounced = row(EventKind::Bounced, Some(ErrorClass::UnknownUser), "550 5.1.1 unknown");
    assert_eq!((second.delivery(&bounced), second.bounce(&bounced).map(text).as_deref()), (None, Some(BOUNCE)));
    assert_eq!(second.bounce(&succeeded), None);
    // An operator's drop ends a delivery, too.
    let mut dropped = row(EventKind::Dropped, None, "");
    dropped.event.operator = Some("operator root".into());
    let told = second.delivery(&dropped).map(text).unwrap();
    assert!(told.contains(r#""status":"failed""#) && !told.contains("root"), "{told}");
}

#[test]
fn a_change_of_the_list_is_a_block() {
    let entry: Entry = serde_json::from_str(
        r#"{"id":"02nh9mfx90000","since":1,"cause":"errors","class":2,"occurred":3,"reason":"550 <x> unknown"}"#,
    )
    .unwrap();
    let address = "x@example.org".to_owned();
    let change = ListChange { id: 7, at: now(), act: ListAct::Exempted, address, user: "shop".into(), entry };
    let expected = r#"{"created":"2026-11-24 22:35:10","email":"x@example.org","id":"02nh9mfx90000","occurred":"3","status":"2","operation":"delete","reason":"550 \u003Cx\u003E unknown","apiUser":"shop"}"#;
    assert_eq!(text(style(false, 2).block(&change)), expected);
}

#[test]
fn bodies_in_both_forms() {
    let records = [b"{\"a\":\"1\"}".to_vec(), b"{\"a\":\"\xe9\xa3\x9b&+ \"}".to_vec()];
    let json_style = style(false, 2);
    let expected = r#"{"api_key":"hook-secret","server_composition":"main","event_type":"deliveries","event":{"deliveries":[{"a":"1"},{"a":"飛&+ "}]}}"#;
    assert_eq!(text(json_style.body(Feed::Deliveries, &records, &[1, 2])), expected);
    let with_ids = Style { event_ids: true, api_key: Secret::default(), ..json_style };
    let expected = r#"{"server_composition":"main","event_type":"blocks","event":{"blocks":[{"a":"1"},{"a":"飛&+ "}]},"event_ids":["1","2"]}"#;
    assert_eq!(text(with_ids.body(Feed::Blocks, &records, &[1, 2])), expected);
    let form = style(true, 2);
    let expected = "api_key=hook-secret&server_composition=main&event_type=bounces&event=%7B%22bounces%22%3A%5B%7B%22a%22%3A%221%22%7D%2C%7B%22a%22%3A%22%E9%A3%9B%26%2B+%22%7D%5D%7D";
    assert_eq!(text(form.body(Feed::Bounces, &records, &[1, 2])), expected);
    let with_ids = Style { event_ids: true, ..form };
    assert!(text(with_ids.body(Feed::Bounces, &records, &[1, 2])).ends_with("&event_ids=%5B%221%22%2C%222%22%5D"));
}

#[test]
fn each_word_chooses_its_events() {
    let wants = |words: &[&str], version| {
        let events = words.iter().map(|w| (*w).to_owned()).collect();
        Wants::of(&Webhook { events, version, ..Webhook::default() })
    };
    for (words, kinds) in [
        (&["queued"][..], &[EventKind::Queued][..]),
        (&["failed"], &[EventKind::Failed, EventKind::Dropped]),
        (&["bounced"], &[EventKind::Failed, EventKind::Bounced, EventKind::Complained]),
        (&["blocked"], &[]),
        (&["succeeded", "deferred"], &[EventKind::Deferred, EventKind::Succeeded]),
    ] {
        assert_eq!(wants(words, 2).kinds(), kinds, "{words:?}");
    }
    assert!(wants(&["blocked"], 2).blocked && !wants(&["blocked"], 1).blocked);
    let only_bounces = wants(&["bounced"], 2);
    assert!(only_bounces.bounce(EventKind::Failed) && !only_bounces.delivery(EventKind::Failed));
}
