//! Lists that are changed, downloads, audit logs, the queue and messages, word for word.

use std::io::Read;

use serde_json::{Value, json};
use smol::future::block_on;

use super::*;
use crate::{
    store::QueueVerb,
    suppress::{acts::Actor, list::ListQuery},
};

#[test]
fn blocks_are_added_lifted_and_exempted_as_their_names_say() {
    let fake = fake();
    let on = |email: &str| {
        let asked = with(main_only(), &[("email", json!(email))]);
        rows_of(ask(&fake, "reader", "blocks/list.json", asked), "blocks").into_iter().next()
    };
    let done = (200, r#"{"message":"success"}"#.to_owned());
    let act = |verb: &str, email: Value| {
        ask(&fake, "admin", &format!("blocks/{verb}.json"), with(main_only(), &[("email", email)]))
    };
    let known = on("nobody@example.com").expect("it failed");
    assert_eq!(
        (&known["status"], &known["occurred"], &known["created"]),
        (&json!("2"), &json!("1"), &json!("2026-11-24 22:33:56"))
    );
    assert_eq!(act("add", json!(["New@Example.jp", "other@example.jp"])), done);
    let new = on("new@example").expect("it was added");
    assert_eq!(
        (&new["email"], &new["status"], &new["occurred"]),
        (&json!("new@example.jp"), &json!("99"), &json!("0"))
    );
    assert_eq!(new["id"].as_str().unwrap().len(), 13);

    assert_eq!(act("cancel", json!("new@example.jp")), done);
    assert!(on("new@example").is_none());
    let lifted = with(main_only(), &[("email", json!("new@example")), ("removed", json!(true))]);
    assert_eq!(rows_of(ask(&fake, "reader", "blocks/list.json", lifted), "blocks").len(), 1);
    assert_eq!(act("cancel", json!("new@example.jp")), done, "who is not blocked stays so");

    assert_eq!(act("delete", json!("[\"other@example.jp\"]")), done, "a list as text");
    assert!(on("other@example").is_none());
    let list = fake.suppressions();
    assert!(list.get("other@example.jp", "").unwrap().unwrap().exempt.is_some());
    assert!(list.get("new@example.jp", "").unwrap().is_none_or(|row| row.exempt.is_none()), "a cancel exempts nobody");

    // Who complained stays blocked, and the caller hears it.
    let complained =
        list.export(ListQuery { cause: Some(crate::suppress::row::Cause::Complaint), ..ListQuery::default() });
    let address = complained.map(|row| row.unwrap().address).next().expect("one complained");
    let (status, body) = act("delete", json!(["third@example.jp", address]));
    assert_eq!(status, 409);
    assert!(body.contains("03-019") && body.contains("email[1]"), "{body}");
    assert!(list.get("third@example.jp", "").unwrap().unwrap().exempt.is_some(), "the others were done");
}

#[test]
fn an_address_blocked_for_one_submitter_is_lifted_too() {
    let fake = fake();
    let by = Actor { who: "operator root".into(), from: "control socket".into() };
    let new =
        crate::suppress::acts::NewEntry { address: "a@example.jp".into(), user: "crm".into(), ..Default::default() };
    block_on(fake.suppressions().add(&by, new)).unwrap();
    let body = with(main_only(), &[("email", json!("a@example.jp"))]);
    assert_eq!(ask(&fake, "admin", "blocks/cancel.json", body).0, 200);
    assert!(fake.suppressions().scopes("a@example.jp").unwrap().is_empty());
}

#[test]
fn audit_logs_tell_logins_and_operations_in_the_callers_language() {
    let fake = fake();
    let entry = |at_: &str, who: &str, act: &str, object: &str, detail: &str| AuditEntry {
        at: at(at_),
        who: who.into(),
        from: "198.51.100.9".into(),
        act: act.into(),
        object: object.into(),
        detail: detail.into(),
    };
    *fake.audits.lock().unwrap() = vec![
        entry("2026-11-20T01:00:00Z", "admin", "user.set", "crm", "download: on"),
        entry("2026-11-20T02:00:00Z", "admin", "login", "api", "success"),
        entry("2026-11-20T03:00:00Z", "crm", "login", "smtp", "wrong ×12"),
    ];
    let logins = |language: &str| ask_in(&fake, language, "admin", "auditlogs/list.json", json!({ "type": "login" })).1;
    assert_eq!(
        logins("ja"),
        r#"{"loginlogs":[{"created":"2026-11-20 12:00:00","account":"crm","ipaddress":"198.51.100.9","code":"1","result":"失敗","reason":"ユーザーまたはパスワードが正しくありません ×12"},{"created":"2026-11-20 11:00:00","account":"admin","ipaddress":"198.51.100.9","code":"0","result":"成功","reason":""}]}"#
    );
    assert!(logins("en").contains(r#""code":"1","result":"failure","reason":"wrong user or password ×12""#));
    let operations =
        json!({ "type": "operation", "account": "adm", "start_date": "2026-11-20", "end_date": "2026-11-20" });
    assert_eq!(
        ask(&fake, "admin", "auditlogs/list.json", operations.clone()).1,
        r#"{"operationlogs":[{"created":"2026-11-20 10:00:00","account":"admin","name":"管理者","function":"user.set","operation":"crm: download: on"}]}"#
    );
    assert_eq!(
        ask(
            &fake,
            "admin",
            "auditlogs/list.xml",
            with(operations, &[("end_date", json!("2026-11-19")), ("start_date", json!("2026-11-19"))])
        )
        .0,
        204
    );
}

/// The first file of a ZIP.
fn csv_of(archive: &[u8]) -> (String, String) {
    let archive = rawzip::ZipArchive::from_slice(archive).expect("a ZIP");
    let header = archive.entries().next_entry().unwrap().expect("a file");
    let entry = archive.get_entry(header.wayfinder()).unwrap();
    let mut text = String::new();
    let inflated = flate2::read::DeflateDecoder::new(entry.data());
    entry.verifying_reader(inflated).read_to_string(&mut text).unwrap();
    (header.file_path().try_normalize().unwrap().as_ref().to_owned(), text)
}

#[test]
fn downloads_are_archives_of_quoted_csv_and_stand_in_the_operation_log() {
    for (path, body, columns, rows) in [
        (
            "deliveries",
            day(),
            "\"created\",\"returnPath\",\"from\",\"to\",\"messageId\",\"reason\",\"senderIp\",\"sourceIp\",\"status\",\"subject\",\"apiData\"",
            8,
        ),
        (
            "bounces",
            main_only(),
            "\"created\",\"status\",\"from\",\"to\",\"messageId\",\"returnPath\",\"subject\",\"apiData\",\"reason\"",
            1,
        ),
        ("blocks", main_only(), "\"created\",\"email\",\"id\",\"occurred\",\"status\"", 2),
        ("unsubscribes", main_only(), "\"created\",\"email\",\"filtername\"", 1),
        ("auditlogs", json!({ "type": "operation" }), "\"created\",\"account\",\"name\",\"function\",\"operation\"", 1),
    ] {
        let fake = fake();
        fake.audits.lock().unwrap().push(AuditEntry {
            at: now(),
            who: "admin".into(),
            from: "192.0.2.1".into(),
            act: "user.set".into(),
            object: "=cmd()".into(),
            detail: String::new(),
        });
        let mut asked = body.clone();
        (asked["api_user"], asked["api_key"]) = (json!("admin"), json!(KEY));
        let full = format!("/transaction/v2/{path}/download.json");
        let response = raw(&fake, &full, "en", "application/json", asked.to_string().as_bytes());
        assert_eq!((response.status, response.content_type), (200, "application/octet-stream"), "{path}");
        let disposition = format!("attachment; filename=\"{path}-20261124_223510.zip\"");
        assert!(response.headers.contains(&("Content-Disposition", disposition)), "{:?}", response.headers);
        let (name, text) = csv_of(&octets(response));
        assert_eq!(name, format!("{path}-20261124_223510.csv"));
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(columns));
        assert!(lines.clone().count() >= rows, "{path}: {text}");
        assert!(lines.all(|line| line.starts_with('"') && line.ends_with('"')), "{path}: {text}");
        assert!(!text.contains("\"=cmd"), "a spreadsheet would run it");
        let audits = fake.audits.lock().unwrap();
        let last = audits.last().unwrap();
        assert_eq!((last.act.as_str(), last.object.as_str(), last.who.as_str()), ("api.download", path, "admin"));
    }
    let fake = fake();
    let nothing = with(day(), &[("date", json!("2026-10-01"))]);
    assert_eq!(ask(&fake, "admin", "deliveries/download.json", nothing), (204, String::new()));
    assert!(fake.audits.lock().unwrap().iter().all(|entry| entry.act != "api.download"));
}

#[test]
fn the_queue_is_told_and_acted_on_with_the_callers_name_and_address() {
    let fake = fake();
    let rows = rows_of(ask(&fake, "reader", "queue/list.json", main_only()), "queue");
    assert!(rows.iter().any(|row| row["to"] == "taro.yamada@docomo.example" && row["status"] == "waiting"));
    assert!(rows.iter().all(|row| row.as_object().unwrap().values().all(Value::is_string)));
    let id = rows[0]["queueId"].clone();
    for (path, verb) in [
        ("flush", QueueVerb::Flush),
        ("hold", QueueVerb::Hold),
        ("release", QueueVerb::Release),
        ("drop", QueueVerb::Drop),
    ] {
        let (status, body) =
            ask(&fake, "admin", &format!("queue/{path}.json"), with(main_only(), &[("queue_id", id.clone())]));
        assert_eq!(status, 200, "{body}");
        assert!(body.starts_with(r#"{"message":"success","recipients":""#), "{body}");
        let acts = fake.acts.lock().unwrap();
        let act = acts.last().unwrap();
        assert_eq!((act.verb, act.operator.as_str(), act.from.as_str()), (verb, "admin", "192.0.2.77"));
        assert_eq!(act.filter.message.map(|m| m.to_string()), id.as_str().map(str::to_owned));
    }
    let all = with(main_only(), &[("all", json!("1"))]);
    assert!(ask(&fake, "admin", "queue/flush.xml", all).1.ends_with("</recipients></response>"));
}

#[test]
fn a_message_is_found_by_whatever_is_known_of_it() {
    let fake = fake();
    for key in ["hanako@example.co.jp", "<1@app.example.jp>", "order-8801"] {
        let rows =
            rows_of(ask(&fake, "reader", "messages/find.json", with(main_only(), &[("key", json!(key))])), "messages");
        assert_eq!(
            (rows.len(), &rows[0]["status"], &rows[0]["to"]),
            (1, &json!("succeeded"), &json!("hanako@example.co.jp")),
            "{key}"
        );
        assert_eq!(rows[0]["updated"], "2026-11-24 22:34:59");
    }
    assert_eq!(ask(&fake, "reader", "messages/find.json", with(main_only(), &[("key", json!("nobody"))])).0, 204);
}

#[test]
fn a_diagnosis_names_the_likeliest_cause_first_and_says_where_there_is_none() {
    let fake = fake();
    let asked = |domain: &str| with(main_only(), &[("domain", json!(domain))]);
    let rows = rows_of(ask(&fake, "reader", "domains/diagnose.json", asked("example.jp")), "diagnoses");
    let first = &rows[0];
    assert_eq!((first["rank"].as_str(), rows.len() > 1), (Some("1"), true), "{rows:?}");
    let keys: Vec<&str> = first.as_object().unwrap().keys().map(String::as_str).collect();
    let mut wanted = ["rank", "cause", "title", "certainty", "score", "figures", "next"];
    wanted.sort_unstable();
    let mut keys = keys;
    keys.sort_unstable();
    assert_eq!(keys, wanted);
    let (_, japanese) = ask_in(&fake, "ja", "reader", "domains/diagnose.json", asked("example.jp"));
    assert!(japanese.contains("拒否"), "{japanese}");
    // Own data only: the one who may read its own mail alone does not see the others'.
    let own = rows_of(ask(&fake, "crm", "domains/diagnose.json", asked("example.jp")), "diagnoses");
    assert_eq!((own.len(), own[0]["cause"].as_str()), (1, Some("none")), "{own:?}");
    let nothing = rows_of(ask(&fake, "reader", "domains/diagnose.json", asked("other.example")), "diagnoses");
    assert_eq!(nothing[0]["cause"], "none");
    assert!(nothing[0]["title"].as_str().unwrap().contains("No mail of this domain"), "{nothing:?}");
    for (user, body, code, field) in [
        ("reader", main_only(), "03-001", "domain"),
        ("reader", asked("no domain"), "03-017", "domain"),
        ("reader", with(asked("example.jp"), &[("destination", json!("a b"))]), "03-017", "destination"),
        ("reader", with(asked("example.jp"), &[("hours", json!(0))]), "", "hours"),
        ("none", asked("example.jp"), "", ""),
        ("reader", asked("busy.example"), "01-002", ""),
    ] {
        let (status, answer) = ask(&fake, user, "domains/diagnose.json", body);
        assert!(status >= 400 && answer.contains(code) && answer.contains(field), "{user} {field}: {status} {answer}");
    }
}
