//! What callers see of the Transactional API, word for word: rows, nothing, faults, rights, downloads, acts.

use std::{net::IpAddr, time::Duration};

use serde_json::{Value, json};

mod acts;
mod dmarc;
mod domains;

use super::*;
use crate::{
    http::{
        api,
        exchange::{Body, Door, Method, Peer},
        fake::{Fake, KEY, at, now},
    },
    secret::Secret,
    store::{Account, AccountKind, Person, QuarterCounts, Rights},
};

/// A day's work, and callers of every kind.
pub(super) fn fake() -> Fake {
    let fake = Fake::busy();
    let user = |name: &str, role: Role, view: bool, download: bool, own_data_only: bool, zone: &str| Account {
        name: name.into(),
        kind: AccountKind::Api,
        hash: Secret::new("$argon2id$secret".into()),
        created_at: now(),
        password_set_at: now(),
        rights: Rights { role, http: true, view, download, own_data_only, time_zone: zone.into(), ..Rights::default() },
        person: Person {
            display_name: if name == "admin" { "管理者".into() } else { String::new() },
            ..Person::default()
        },
    };
    let users = [
        user("admin", Role::GroupAdministrator, true, true, false, ""),
        user("reader", Role::User, true, false, false, ""),
        user("loader", Role::User, false, true, false, ""),
        user("none", Role::User, false, false, false, ""),
        user("shop-app", Role::User, true, true, true, ""),
        user("crm", Role::GroupAdministrator, true, true, true, ""),
        user("abroad", Role::User, true, true, false, "America/New_York"),
    ];
    users.into_iter().for_each(|user| fake.shelf.put(user));
    fake
}

fn raw(fake: &Fake, path: &str, language: &str, content_type: &str, body: &[u8]) -> Response {
    let peer = Peer::Address(IpAddr::from([192, 0, 2, 77]));
    let mut request = Request::of_target(Method::Post, path, Door::Public, peer).unwrap();
    request.accept_language = language.into();
    request.content_type = content_type.into();
    request.body = body.to_vec();
    api::route(fake, &request)
}

fn octets(response: Response) -> Vec<u8> {
    match response.body {
        Body::Bytes(bytes) => bytes,
        Body::Stream(stream) => {
            let mut out = Vec::new();
            stream(&mut out).unwrap();
            out
        }
    }
}

fn ask_in(fake: &Fake, language: &str, user: &str, path: &str, mut body: Value) -> (u16, String) {
    body["api_user"] = json!(user);
    body["api_key"] = json!(KEY);
    let response =
        raw(fake, &format!("/transaction/v2/{path}"), language, "application/json", body.to_string().as_bytes());
    (response.status, String::from_utf8(octets(response)).unwrap())
}

fn ask(fake: &Fake, user: &str, path: &str, body: Value) -> (u16, String) {
    ask_in(fake, "en", user, path, body)
}

fn day() -> Value {
    json!({ "server_composition": "main", "date": "2026-11-24" })
}

fn main_only() -> Value {
    json!({ "server_composition": "main" })
}

/// The rows of an answer.
fn rows_of(answer: (u16, String), plural: &str) -> Vec<Value> {
    if answer.0 == 204 {
        assert_eq!(answer.1, "");
        return Vec::new();
    }
    assert_eq!(answer.0, 200, "{}", answer.1);
    let value: Value = serde_json::from_str(&answer.1).unwrap();
    value[plural].as_array().unwrap_or_else(|| panic!("no {plural}: {}", answer.1)).clone()
}

fn with(mut body: Value, more: &[(&str, Value)]) -> Value {
    for (name, value) in more {
        body[*name] = value.clone();
    }
    body
}

#[test]
fn a_page_of_deliveries_reads_as_cmcs_in_both_formats() {
    let fake = fake();
    let asked = with(day(), &[("to", json!("hanako@")), ("r", json!(1)), ("status", json!("queued"))]);
    let (status, body) = ask(&fake, "reader", "deliveries/list.json", asked.clone());
    assert_eq!(status, 200);
    assert_eq!(
        body,
        r#"{"deliveries":[{"created":"2026-11-24 22:34:58","returnPath":"shop@example.jp","from":"shop@example.jp","to":"hanako@example.co.jp","messageId":"<1@app.example.jp>","reason":"","senderIp":"","sourceIp":"127.0.0.1","status":"queued","subject":"ご注文ありがとうございます（注文番号 48213）","apiData":"order-8801"}]}"#
    );
    let (status, body) = ask(&fake, "reader", "deliveries/list.xml", asked);
    assert_eq!(status, 200);
    assert_eq!(
        body,
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<deliveries><delivery>\
         <created>2026-11-24 22:34:58</created><returnPath>shop@example.jp</returnPath><from>shop@example.jp</from>\
         <to>hanako@example.co.jp</to><messageId>&lt;1@app.example.jp&gt;</messageId><reason></reason><senderIp></senderIp>\
         <sourceIp>127.0.0.1</sourceIp><status>queued</status><subject>ご注文ありがとうございます（注文番号 48213）</subject>\
         <apiData>order-8801</apiData></delivery></deliveries>"
    );
    let done = with(day(), &[("to", json!("hanako@")), ("status", json!("SUCCEEDED"))]);
    let row = &rows_of(ask(&fake, "reader", "deliveries/list.json", done), "deliveries")[0];
    assert_eq!((&row["senderIp"], &row["sourceIp"]), (&json!("192.0.2.10"), &json!("")));
}

#[test]
fn days_hours_and_minutes_are_the_callers() {
    let fake = fake();
    let count = |user: &str, more: &[(&str, Value)]| {
        rows_of(
            ask(&fake, user, "deliveries/list.json", with(day(), &[more, &[("r", json!(100))]].concat())),
            "deliveries",
        )
        .len()
    };
    let all = count("reader", &[]);
    assert!(all > 5);
    assert_eq!(count("reader", &[("hour", json!(22))]), all, "all of it is of one hour of Tokyo");
    assert_eq!(count("reader", &[("hour", json!("21"))]), 0);
    assert!(count("reader", &[("hour", json!(22)), ("minute", json!("34"))]) < all);
    // The same events are of the same day's morning in New York, and of its 08 o'clock.
    assert_eq!(count("abroad", &[("hour", json!(8))]), all);
    let row = &rows_of(ask(&fake, "abroad", "deliveries/list.json", day()), "deliveries")[0];
    assert!(row["created"].as_str().unwrap().starts_with("2026-11-24 08:3"), "{row}");
    assert_eq!(
        ask(&fake, "reader", "deliveries/list.json", with(day(), &[("date", json!("2026-10-01"))])),
        (204, String::new())
    );
}

#[test]
fn what_is_wrong_with_a_parameter_is_told_with_its_name_and_status() {
    let fake = fake();
    let many: Vec<String> = (0..1_001).map(|n| format!("a{n}@example.jp")).collect();
    for (path, body, code, field) in [
        ("deliveries/list.json", json!({ "date": "2026-11-24" }), "03-001", "server_composition"),
        (
            "deliveries/list.json",
            json!({ "server_composition": "pro", "date": "2026-11-24" }),
            "03-017",
            "server_composition",
        ),
        ("deliveries/list.json", main_only(), "03-001", "date"),
        ("deliveries/list.json", with(day(), &[("date", json!("2026-11-31"))]), "03-009", "date"),
        ("deliveries/list.json", with(day(), &[("date", json!("20261124"))]), "03-009", "date"),
        ("deliveries/list.json", with(day(), &[("date", json!("2026-11-25"))]), "03-010", "date"),
        ("deliveries/list.json", with(day(), &[("hour", json!(23))]), "03-010", "hour"),
        ("deliveries/list.json", with(day(), &[("hour", json!(22)), ("minute", json!(36))]), "03-010", "minute"),
        ("deliveries/list.json", with(day(), &[("minute", json!(5))]), "03-001", "hour"),
        ("deliveries/list.json", with(day(), &[("hour", json!(24))]), "03-005", "hour"),
        ("deliveries/list.json", with(day(), &[("hour", json!("noon"))]), "03-002", "hour"),
        ("deliveries/list.json", with(day(), &[("status", json!("bounced"))]), "03-007", "status"),
        ("deliveries/list.json", with(day(), &[("status", json!(1))]), "03-002", "status"),
        ("deliveries/list.json", with(day(), &[("to", json!(["a"]))]), "03-002", "to"),
        ("deliveries/list.json", with(day(), &[("to", json!("x".repeat(513)))]), "03-004", "to"),
        ("deliveries/list.json", with(day(), &[("to", json!("a\u{0}"))]), "03-013", "to"),
        ("deliveries/list.json", with(day(), &[("r", json!(101))]), "03-005", "r"),
        ("deliveries/list.json", with(day(), &[("r", json!(0))]), "03-005", "r"),
        ("deliveries/list.json", with(day(), &[("p", json!(-1))]), "03-005", "p"),
        ("deliveries/list.json", with(day(), &[("p", json!(100_001))]), "03-005", "p"),
        ("deliveries/list.json", with(day(), &[("search_option", json!("fuzzy"))]), "03-007", "search_option"),
        ("bounces/list.json", with(main_only(), &[("status", json!(12))]), "03-017", "status"),
        ("bounces/list.json", with(main_only(), &[("hour", json!(1))]), "03-001", "date"),
        (
            "bounces/list.json",
            with(main_only(), &[("start_date", json!("2026-11-02")), ("end_date", json!("2026-11-01"))]),
            "03-011",
            "start_date",
        ),
        ("blocks/list.json", with(main_only(), &[("removed", json!("maybe"))]), "03-002", "removed"),
        ("blocks/add.json", main_only(), "03-001", "email"),
        ("blocks/add.json", with(main_only(), &[("email", json!("not an address"))]), "03-008", "email"),
        ("blocks/add.json", with(main_only(), &[("email", json!(["a@b.example", "x"]))]), "03-008", "email[1]"),
        ("blocks/add.json", with(main_only(), &[("email", json!({ "a": 1 }))]), "03-002", "email"),
        (
            "blocks/add.json",
            with(main_only(), &[("email", json!("a@b.example")), ("reason", json!("x".repeat(501)))]),
            "03-004",
            "reason",
        ),
        ("blocks/cancel.json", with(main_only(), &[("email", json!(many))]), "03-006", "email"),
        ("blocks/delete.json", with(main_only(), &[("email", json!([1]))]), "03-002", "email"),
        ("unsubscribes/cancel.json", main_only(), "03-001", "email"),
        ("statistics/list.json", json!({ "month": 11 }), "03-001", "year"),
        ("statistics/list.json", json!({ "year": 2026 }), "03-001", "month"),
        ("statistics/list.json", json!({ "year": 2026, "month": 13 }), "03-005", "month"),
        (
            "statistics/list.json",
            json!({ "year": 2026, "month": 11, "server_composition": "x" }),
            "03-017",
            "server_composition",
        ),
        ("auditlogs/list.json", json!({}), "03-001", "type"),
        ("auditlogs/list.json", json!({ "type": "all" }), "03-007", "type"),
        (
            "auditlogs/list.json",
            json!({ "type": "login", "start_date": "2026-10-01", "end_date": "2026-11-01" }),
            "03-012",
            "start_date",
        ),
        ("queue/list.json", with(main_only(), &[("queue_id", json!("x"))]), "03-017", "queue_id"),
        ("queue/list.json", with(main_only(), &[("index", json!(1))]), "03-001", "queue_id"),
        ("queue/drop.json", main_only(), "03-001", "all"),
        ("queue/drop.json", with(main_only(), &[("queue_id", json!("0000000000001"))]), "03-017", "queue_id"),
        ("messages/find.json", main_only(), "03-001", "key"),
    ] {
        let (status, answer) = ask(&fake, "admin", path, body.clone());
        let value: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{path} {body}: {answer}"));
        let error = &value["errors"][0];
        assert_eq!((status, &error["code"], &error["field"]), (400, &json!(code), &json!(field)), "{path} {body}");
        assert!(value["errors"].as_array().unwrap().iter().all(|e| e.as_object().unwrap().len() == 3));
    }
    assert!(fake.acts.lock().unwrap().is_empty());
}

#[test]
fn faults_are_told_in_the_callers_language_and_format() {
    let fake = fake();
    let (status, body) = ask_in(&fake, "ja,en;q=0.5", "reader", "deliveries/list.json", main_only());
    assert_eq!(status, 400);
    assert_eq!(body, r#"{"errors":[{"code":"03-001","field":"date","message":"必須パラメータです。"}]}"#);
    let (status, body) = ask_in(&fake, "fr", "reader", "deliveries/list.xml", main_only());
    assert_eq!(status, 400);
    assert_eq!(
        body,
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<errors><error><code>03-001</code><field>date</field>\
         <message>This parameter is required.</message></error></errors>"
    );
    let wrong = json!({ "api_user": "reader", "api_key": "wrong" }).to_string();
    let response = raw(&fake, "/transaction/v2/blocks/list.json", "", "application/json", wrong.as_bytes());
    assert_eq!(response.status, 401);
    assert_eq!(
        String::from_utf8(octets(response)).unwrap(),
        r#"{"errors":[{"code":"11-001","field":"","message":"The api_user or api_key is wrong."}]}"#
    );
    let get = Request::of_target(Method::Get, "/transaction/v2/blocks/list.json", Door::Public, Peer::User(0)).unwrap();
    let response = api::route(&fake, &get);
    assert_eq!((response.status, response.headers), (405, vec![("Allow", "POST".to_owned())]));
}

#[test]
fn a_caller_without_the_right_is_told_so_and_it_is_in_the_operation_log() {
    for action in ACTIONS {
        let fake = fake();
        let may = |user: &str| match action.access {
            Access::View if action.path.starts_with("auditlogs") => user == "admin",
            Access::Download if action.path.starts_with("auditlogs") => user == "admin",
            Access::View => ["admin", "reader"].contains(&user),
            Access::Download => ["admin", "loader"].contains(&user),
            Access::Change | Access::Send => user == "admin",
        };
        for user in ["admin", "reader", "loader", "none"] {
            let before = fake.audits.lock().unwrap().len();
            let (status, body) = ask(&fake, user, &format!("{}.json", action.path), json!({}));
            assert_eq!(status == 403, !may(user), "{} {user}: {status} {body}", action.path);
            let audits = fake.audits.lock().unwrap();
            if !may(user) {
                assert!(body.contains("\"11-003\""), "{body}");
                let entry = audits.last().unwrap();
                assert_eq!((audits.len(), entry.act.as_str(), entry.who.as_str()), (before + 1, "api.denied", user));
                assert_eq!(
                    (entry.from.as_str(), entry.object.as_str()),
                    ("192.0.2.77", &*format!("/transaction/v2/{}.json", action.path))
                );
            }
        }
    }
}

#[test]
fn own_data_is_ones_own_mail_and_lists_are_everybodys() {
    let fake = fake();
    let to = |user: &str| -> Vec<String> {
        let rows = rows_of(ask(&fake, user, "deliveries/list.json", with(day(), &[("r", json!(100))])), "deliveries");
        rows.iter().map(|row| row["to"].as_str().unwrap().to_owned()).collect()
    };
    let everybodys = to("reader");
    assert!(everybodys.contains(&"hostile@example.net".to_owned()));
    let own = to("shop-app");
    assert!(!own.is_empty() && !own.contains(&"hostile@example.net".to_owned()), "{own:?}");
    assert!(to("crm").is_empty());
    assert_eq!(ask(&fake, "crm", "bounces/list.json", main_only()).0, 204);
    assert_eq!(ask(&fake, "crm", "messages/find.json", with(main_only(), &[("key", json!("shop@example.jp"))])).0, 204);
    assert_eq!(
        rows_of(ask(&fake, "shop-app", "blocks/list.json", main_only()), "blocks").len(),
        rows_of(ask(&fake, "reader", "blocks/list.json", main_only()), "blocks").len()
    );
    // An administrator of own data acts on its own mail alone, and is not let near another's.
    assert_eq!(ask(&fake, "crm", "queue/hold.json", with(main_only(), &[("all", json!(true))])).0, 200);
    assert_eq!(fake.acts.lock().unwrap().last().unwrap().filter.user, "crm");
    assert_eq!(ask(&fake, "crm", "queue/hold.json", with(main_only(), &[("user", json!("shop-app"))])).0, 403);
    assert_eq!(fake.audits.lock().unwrap().last().unwrap().detail, "own data only");
}

#[test]
fn bounces_have_their_class_and_are_found_by_it() {
    let fake = fake();
    let rows = rows_of(ask(&fake, "reader", "bounces/list.json", with(main_only(), &[("r", json!(100))])), "bounces");
    assert!(!rows.is_empty());
    let keys: Vec<&String> = rows[0].as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 9);
    let class = rows_of(
        ask(&fake, "reader", "bounces/list.json", with(main_only(), &[("r", json!(100)), ("status", json!("2"))])),
        "bounces",
    );
    assert!(class.iter().all(|row| row["status"] == "2") && !class.is_empty());
    assert_eq!(class.len(), rows.iter().filter(|row| row["status"] == "2").count());
    assert_eq!(ask(&fake, "reader", "bounces/list.json", with(main_only(), &[("status", json!(8))])).0, 204);
    let range = [("start_date", json!("2026-11-24")), ("end_date", json!("2026-11-24")), ("r", json!("100"))];
    assert_eq!(
        rows_of(ask(&fake, "reader", "bounces/list.json", with(main_only(), &range)), "bounces").len(),
        rows.len()
    );
    let other = with(main_only(), &[("start_date", json!("2026-11-01")), ("date", json!("2026-11-02"))]);
    assert_eq!(ask(&fake, "reader", "bounces/list.json", other).0, 204);
}

#[test]
fn pages_follow_each_other_and_end() {
    let fake = fake();
    let page = |p: usize, r: usize| {
        let asked = with(day(), &[("p", json!(p)), ("r", json!(r))]);
        rows_of(ask(&fake, "reader", "deliveries/list.json", asked), "deliveries")
    };
    let all = page(0, 100);
    for r in [1, 3, 10] {
        let mut joined = Vec::new();
        for p in 0.. {
            let rows = page(p, r);
            let is_last = rows.len() < r;
            joined.extend(rows);
            if is_last {
                break;
            }
        }
        assert_eq!(joined, all, "{r} a page");
    }
    // Without the page before, too.
    fake.page_marks.forget();
    assert_eq!(page(2, 3), all[6..9]);
    assert_eq!(rows_of(ask(&fake, "reader", "deliveries/list.json", day()), "deliveries").len(), 10.min(all.len()));
    assert!(page(99, 100).is_empty());
}

#[test]
fn statistics_are_the_days_of_the_callers_zone() {
    let mut fake = fake();
    let count = |start: &str, user: &str, queued, succeeded, failed, blocked| QuarterCounts {
        start: at(start),
        user: user.into(),
        queued,
        succeeded,
        failed,
        blocked,
        ..QuarterCounts::default()
    };
    fake.counts = vec![
        count("2026-10-31T14:45:00Z", "crm", 9, 9, 9, 9),
        count("2026-10-31T15:00:00Z", "crm", 1, 1, 0, 0),
        count("2026-11-23T14:45:00Z", "shop-app", 5, 3, 1, 1),
        count("2026-11-23T15:00:00Z", "shop-app", 10, 9, 1, 0),
        count("2026-11-23T16:00:00Z", "crm", 1, 0, 0, 1),
        count("2026-11-24T00:00:00Z", "crm", 0, 0, 0, 0),
    ];
    let month = || json!({ "year": "2026", "month": 11 });
    assert_eq!(
        ask(&fake, "reader", "statistics/list.json", month()).1,
        r#"{"statistics":[{"date":"2026-11-01","queued":1,"succeeded":1,"failed":0,"blocked":0,"valid":1},{"date":"2026-11-23","queued":5,"succeeded":3,"failed":1,"blocked":1,"valid":4},{"date":"2026-11-24","queued":11,"succeeded":9,"failed":1,"blocked":1,"valid":10}]}"#
    );
    assert_eq!(
        ask(&fake, "reader", "statistics/list.json", with(month(), &[("total", json!("true"))])).1,
        r#"{"statistics":[{"date":"total","queued":17,"succeeded":13,"failed":2,"blocked":2,"valid":15}]}"#
    );
    assert_eq!(
        ask(&fake, "crm", "statistics/list.xml", with(month(), &[("total", json!(true))])).1,
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<statistics><statistic><date>total</date>\
         <queued>2</queued><succeeded>1</succeeded><failed>0</failed><blocked>1</blocked><valid>1</valid></statistic></statistics>"
    );
    let abroad = rows_of(ask(&fake, "abroad", "statistics/list.json", month()), "statistics");
    assert_eq!(abroad.iter().map(|row| row["date"].as_str().unwrap()).collect::<Vec<_>>(), ["2026-11-23"]);
    assert_eq!(ask(&fake, "reader", "statistics/list.json", json!({ "year": 2027, "month": 1 })), (204, String::new()));
    assert_eq!(ask(&fake, "reader", "statistics/list.json", json!({ "year": 1970, "month": 1 })), (204, String::new()));
}

#[test]
fn forms_and_the_dialects_of_public_clients_are_read_alike() {
    let fake = fake();
    let list = "/transaction/v2/deliveries/list.json";
    let credentials = format!("api_user=reader&api_key={KEY}");
    let form = |more: &str| {
        let body = format!("{credentials}&server_composition=main&date=2026-11-24{more}");
        let response = raw(&fake, list, "", "application/x-www-form-urlencoded; charset=UTF-8", body.as_bytes());
        (response.status, String::from_utf8(octets(response)).unwrap())
    };
    let json_body = rows_of(
        ask(&fake, "reader", "deliveries/list.json", with(day(), &[("p", json!(0)), ("r", json!(5))])),
        "deliveries",
    );
    assert_eq!(rows_of(form("&p=0&r=5"), "deliveries"), json_body);
    // Ruby and JavaScript send numbers; PHP sends what is not set as an empty text.
    for more in [
        json!({ "p": 0, "r": 5, "hour": 22 }),
        json!({ "p": "0", "r": "5", "hour": "22" }),
        json!({ "p": 0, "r": 5, "from": "", "to": "", "api_data": "", "status": "", "hour": "", "minute": "", "search_option": "" }),
        json!({ "p": 0, "r": 5, "from": null, "hour": null, "unknown_parameter": { "a": [1] } }),
    ] {
        let mut body = day();
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        assert_eq!(rows_of(ask(&fake, "reader", "deliveries/list.json", body), "deliveries"), json_body, "{more}");
    }
    let many = format!(
        "api_user=admin&api_key={KEY}&server_composition=main&email[]=one%40example.jp&email[]=two%40example.jp"
    );
    let response =
        raw(&fake, "/transaction/v2/blocks/add.json", "", "application/x-www-form-urlencoded", many.as_bytes());
    assert_eq!(response.status, 200);
    assert!(fake.suppressions().scopes("two@example.jp").unwrap() == [""]);
}

#[test]
fn a_store_that_fails_is_a_system_error_without_words_of_its_own() {
    let mut fake = fake();
    fake.broken = true;
    for (path, body) in [
        ("deliveries/list.json", day()),
        ("bounces/list.json", main_only()),
        ("statistics/list.json", json!({ "year": 2026, "month": 11 })),
        ("queue/list.json", main_only()),
        ("messages/find.json", with(main_only(), &[("key", json!("a"))])),
    ] {
        let (status, answer) = ask(&fake, "reader", path, body);
        assert_eq!(status, 500, "{path}: {answer}");
        assert!(answer.contains("\"01-001\"") && !answer.contains("stopped"), "{path}: {answer}");
    }
}

#[test]
fn a_search_that_takes_too_long_is_told_and_never_a_page_that_seems_the_last() {
    let clock = crate::clock::Clock::manual(now());
    let deadline = paging::Deadline::of(clock.clone());
    assert_eq!(deadline.left(), Some(paging::TIME_MAX));
    clock.advance(paging::TIME_MAX - Duration::from_millis(1));
    assert_eq!(deadline.left(), Some(Duration::from_millis(1)));
    clock.advance(Duration::from_millis(1));
    assert_eq!(deadline.left(), None);
    assert_eq!(Why::TooWide.status(), 400);
}

#[test]
fn a_page_of_another_site_is_refused_before_its_credentials_are_looked_at() {
    let fake = fake();
    let call = |origin: &str, site: &str, key: &str| {
        let peer = Peer::Address(IpAddr::from([192, 0, 2, 77]));
        let target = "/transaction/v2/deliveries/list.json";
        let mut request = Request::of_target(Method::Post, target, Door::Public, peer).unwrap();
        request.browser.host = "mail.example.jp".into();
        request.browser.is_secure = true;
        request.browser.origin = origin.into();
        request.browser.fetch_site = site.into();
        request.content_type = "application/x-www-form-urlencoded".into();
        request.body = format!("api_user=admin&api_key={key}&server_composition=main&date=2026-11-24").into_bytes();
        let response = api::route(&fake, &request);
        (response.status, String::from_utf8(octets(response)).unwrap())
    };
    for (origin, site) in [
        ("https://evil.example", "cross-site"),
        ("https://evil.example", ""),
        ("null", ""),
        ("", "cross-site"),
        ("https://app.example.jp", "same-site"),
        ("http://mail.example.jp", ""),
    ] {
        for key in [KEY, "wrong"] {
            let (status, body) = call(origin, site, key);
            assert!(status == 403 && body.contains("02-008"), "{origin} {site} {key}: {status} {body}");
        }
    }
    // Programs say nothing of the kind; a page of ours is ours.
    for (origin, site) in [("", ""), ("https://mail.example.jp", "same-origin"), ("", "none")] {
        assert_eq!(call(origin, site, KEY).0, 200, "{origin} {site}");
        assert_eq!(call(origin, site, "wrong").0, 401, "{origin} {site}");
    }
}
