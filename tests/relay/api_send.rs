//! The Email Sending API against the real daemon: what clients send arrives as they meant it, once; what is wrong is told in one
//! shape, with the parameter's name, and nothing of it is accepted.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{Config, Relay, Sink, until};

const KEY: &str = "Passw0rd-of-this-test-9";
const USER: &str = "app@example.net";
const SEND: &str = "/api/v2/emails/send.json";
const BULK: &str = "/api/v2/emails/bulk.json";

/// A daemon with an API user, in front of a sink.
struct Api {
    relay: Relay,
    sink: Sink,
}

/// One answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    #[track_caller]
    fn id(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["id"].as_str().expect("a string").to_owned()
    }

    /// Code and field of each error.
    #[track_caller]
    fn errors(&self) -> Vec<(String, String)> {
        assert!(self.status >= 400, "{self:?}");
        let body = self.json();
        let errors = body["errors"].as_array().expect("an array");
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{body}");
        errors
            .iter()
            .map(|error| {
                assert_eq!(error.as_object().map(serde_json::Map::len), Some(3), "{error}");
                assert!(!error["message"].as_str().expect("a string").is_empty());
                (
                    error["code"].as_str().expect("a string").to_owned(),
                    error["field"].as_str().expect("a string").to_owned(),
                )
            })
            .collect()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|l| l.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }
}

impl Api {
    fn start() -> Self {
        Api::with(&[], |config| config)
    }

    fn with(rights: &[&str], config: impl FnOnce(Config) -> Config) -> Self {
        let sink = Sink::willing();
        let relay = Relay::start(config(Config::smarthost(sink.address())));
        let api = Api { relay, sink };
        api.add_user(USER, rights);
        api
    }

    fn add_user(&self, name: &str, rights: &[&str]) {
        let file = self.relay.place.write("key", format!("{KEY}\n"));
        let file = file.to_str().expect("text");
        let words: Vec<&str> =
            ["user", "add", name, "--api", "--key-file", file].iter().chain(rights).copied().collect();
        self.relay.cli(&words).expect_done();
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.relay.http());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut stream = self.connect();
        stream.write_all(head.as_bytes()).unwrap();
        // The other side may have answered before it has everything.
        let _ = stream.write_all(body);
        answer_of(stream)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.relay.http()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    fn json(&self, path: &str, body: &Value) -> Answer {
        self.json_with(path, body, &[])
    }

    fn json_with(&self, path: &str, body: &Value, more: &[(&str, &str)]) -> Answer {
        let headers: Vec<(&str, &str)> = [("Content-Type", "application/json")].iter().chain(more).copied().collect();
        self.post(path, &headers, body.to_string().as_bytes())
    }

    fn send(&self, more: Value) -> Answer {
        self.json(SEND, &letter(more))
    }
}

fn answer_of(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// A good call, with these parameters in place of its own.
fn letter(more: Value) -> Value {
    let mut body = json!({
        "api_user": USER, "api_key": KEY,
        "to": [{"name": "Hanako", "address": "hanako@example.org"}],
        "from": {"name": "Shop", "address": "shop@example.net"},
        "subject": "Order 42", "text": "Thank you"
    });
    merge(&mut body, more);
    body
}

fn merge(body: &mut Value, more: Value) {
    let Value::Object(more) = more else { panic!("an object") };
    for (name, value) in more {
        body[name] = value;
    }
}

/// A multipart body of fields and files.
fn multipart(boundary: &str, fields: &[(&str, &str)], files: &[(&str, &str, &[u8])]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend_from_slice(
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").as_bytes(),
        );
    }
    for (field, name, bytes) in files {
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\nContent-Transfer-Encoding: binary\r\n\r\n",
            bytes.len()
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

#[test]
fn a_mail_arrives_as_it_was_asked_for() {
    let api = Api::start();
    let answer = api.send(json!({
        "cc": "team@example.org",
        "bcc": ["secret@example.org"],
        "replyto": {"name": "", "address": "help@example.net"},
        "envfrom": "bounce@example.net",
        "headers": [{"name": "X-Api-Data", "value": "order-42"}],
        "charset": "UTF-8",
        "subject": "注文 42",
        "html": "<p>Thank you</p>"
    }));
    let id = answer.id();
    assert_eq!(answer.header("Content-Type"), Some("application/json; charset=utf-8"));
    assert!(id.starts_with('<') && id.ends_with("@relay.test>"), "{id}");
    let mail = api.sink.wait_for_recipient("secret@example.org");
    let mut recipients: Vec<String> = api.sink.received().iter().flat_map(|m| m.recipients.clone()).collect();
    recipients.sort();
    assert_eq!(recipients, ["hanako@example.org", "secret@example.org", "team@example.org"]);
    assert_eq!(mail.sender, "bounce@example.net");
    let text = mail.text();
    for line in [
        format!("Message-ID: {id}"),
        "From: Shop <shop@example.net>".to_owned(),
        "To: Hanako <hanako@example.org>".to_owned(),
        "Reply-To: help@example.net".to_owned(),
        "X-Api-Data: order-42".to_owned(),
    ] {
        let plain = text
            .replace("\"Shop\"", "Shop")
            .replace("\"Hanako\"", "Hanako")
            .replace("<help@example.net>", "help@example.net");
        assert!(plain.contains(&line), "{line:?} in {text}");
    }
    assert!(text.contains("Received: by relay.test with HTTP id "), "{text}");
    assert!(!text.contains("secret@example.org") && !text.contains(KEY) && !text.contains("127."), "{text}");
    assert!(text.contains("Thank you") && text.contains("multipart/alternative"), "{text}");
    let event = api.relay.wait_event("succeeded", "hanako@example.org");
    assert_eq!((event.text("api_data"), event.text("user")), ("order-42".to_owned(), USER.to_owned()), "{event:?}");
    // The same by XML, and by the paths of version 1.
    let xml = api.json("/api/v2/emails/send.xml", &letter(json!({})));
    assert_eq!((xml.status, xml.header("Content-Type")), (200, Some("application/xml; charset=utf-8")));
    assert!(xml.body.contains("<id>&lt;") && xml.body.ends_with("</id></email>"), "{xml:?}");
    for path in ["/api/v1/emails/send.json", "/v1/emails/send", "/v1/emails/send.json"] {
        api.json(path, &letter(json!({}))).id();
    }
}

#[test]
fn the_dialects_of_public_clients_are_understood() {
    let api = Api::start();
    let mut sent = 0;
    let mut check = |name: &str, answer: Answer| {
        let id = answer.id();
        let body = answer.json();
        let all_strings = body.as_object().expect("an object").values().all(Value::is_string);
        assert!(all_strings, "{name}: {body}");
        sent += 1;
        let mail =
            until(&format!("{name}: its mail"), || api.sink.received().into_iter().find(|m| m.text().contains(&id)));
        mail.text()
    };
    // Ruby: always an empty list of headers.
    check("Ruby", api.send(json!({"headers": [], "cc": null, "html": ""})));
    // JavaScript: headers as a map, replyto as a bare string, empty lists.
    let text = check(
        "JavaScript",
        api.send(json!({"headers": {"X-One": "1"}, "replyto": "help@example.net", "cc": [], "bcc": []})),
    );
    assert!(text.contains("X-One: 1") && text.contains("help@example.net"), "{text}");
    // PHP: JSON in strings, empty strings for what is unset, html alone.
    let php = json!({
        "to": "[{\"name\":\"\",\"address\":\"hanako@example.org\"}]", "from": "{\"name\":\"Shop\",\"address\":\"shop@example.net\"}",
        "headers": "[{\"name\":\"X-Two\",\"value\":\"2\"}]", "envfrom": "", "replyto": "", "text": "", "html": "<b>hi</b>", "attachments": 0
    });
    let text = check("PHP", api.send(php));
    assert!(text.contains("X-Two: 2") && text.contains("text/html"), "{text}");
    // Java: multipart with its own names; a raw file name.
    let credentials = [("api_user", USER), ("api_key", KEY)];
    let java = [
        ("to", "[{\"name\":\"花子\",\"address\":\"hanako@example.org\"}]"),
        ("from", "{\"name\":\"Shop\",\"address\":\"shop@example.net\"}"),
        ("env_from", "bounce@example.net"),
        ("reply_to", "{\"name\":\"\",\"address\":\"help@example.net\"}"),
        ("subject", "件名"),
        ("text", "本文"),
        ("cc", "[]"),
        ("attachments", "2"),
    ];
    let fields: Vec<(&str, &str)> = credentials.iter().chain(&java).copied().collect();
    let (kind, body) =
        multipart("xyz", &fields, &[("attachment1", "添付.txt", b"one"), ("attachment2", "b.txt", b"two")]);
    let text = check("Java", api.post(SEND, &[("Content-Type", &kind)], &body));
    assert!(text.contains("Reply-To:") && text.contains("b25l") && text.contains("dHdv"), "{text}");
    assert!(api.sink.received().iter().any(|m| m.sender == "bounce@example.net"));
    // A form, as curl sends it.
    let form =
        format!("api_user={USER}&api_key={KEY}&to=hanako%40example.org&from=shop%40example.net&subject=Form&text=a+b");
    let text = check("curl", api.post(SEND, &[("Content-Type", "application/x-www-form-urlencoded")], form.as_bytes()));
    assert!(text.contains("a b"), "{text}");
    assert_eq!(sent, 5);
}

#[test]
fn what_is_wrong_is_told_with_its_parameter_and_nothing_is_accepted() {
    let api = Api::start();
    let many = |n: usize| json!((0..n).map(|i| format!("a{i}@example.org")).collect::<Vec<_>>());
    let cases: Vec<(Value, u16, &str, &str)> = vec![
        (json!({"api_user": null}), 400, "03-001", "api_user"),
        (json!({"api_key": 5}), 400, "03-002", "api_key"),
        (json!({"api_key": "Wrong-key-99"}), 401, "11-001", ""),
        (json!({"api_user": "nobody@example.net"}), 401, "11-001", ""),
        (json!({"to": ""}), 400, "03-001", "to"),
        (json!({"to": 1}), 400, "03-002", "to"),
        (json!({"to": [[]]}), 400, "03-002", "to"),
        (json!({"to": "no address"}), 400, "03-008", "to"),
        (json!({"to": many(11)}), 400, "03-006", "to"),
        (json!({"cc": many(11)}), 400, "03-006", "cc"),
        (json!({"cc": false}), 400, "03-002", "cc"),
        (json!({"bcc": many(11)}), 400, "03-006", "bcc"),
        (json!({"bcc": {"name": "x"}}), 400, "03-001", "bcc"),
        (json!({"from": null}), 400, "03-001", "from"),
        (json!({"from": many(2)}), 400, "03-006", "from"),
        (json!({"from": 3.5}), 400, "03-002", "from"),
        (json!({"replyto": {"address": 1}}), 400, "03-002", "replyto"),
        (json!({"envfrom": ["a@example.org"]}), 400, "03-002", "envfrom"),
        (json!({"envfrom": "a"}), 400, "03-008", "envfrom"),
        (json!({"headers": "x"}), 400, "03-002", "headers"),
        (json!({"headers": [1]}), 400, "03-002", "headers"),
        (json!({"headers": {"X-A": 1}}), 400, "03-002", "headers"),
        (json!({"headers": {"Bcc": "a@example.org"}}), 400, "03-015", "headers"),
        (json!({"headers": {"X-A": "b\r\nBcc: c@example.org"}}), 400, "03-013", "headers"),
        (json!({"headers": {"X A": "b"}}), 400, "03-013", "headers"),
        (json!({"charset": "Shift_JIS"}), 400, "03-007", "charset"),
        (json!({"charset": 1}), 400, "03-002", "charset"),
        (json!({"charset_fallback": "x"}), 400, "03-007", "charset_fallback"),
        (json!({"charset": "ISO-2022-JP", "charset_fallback": "reject", "text": "😀"}), 400, "03-014", "text"),
        (json!({"subject": ""}), 400, "03-001", "subject"),
        (json!({"subject": ["x"]}), 400, "03-002", "subject"),
        (json!({"subject": "あ".repeat(513)}), 400, "03-004", "subject"),
        (json!({"subject": "a\r\nb"}), 400, "03-013", "subject"),
        (json!({"text": null}), 400, "03-001", "text"),
        (json!({"text": {}}), 400, "03-002", "text"),
        (json!({"text": "\u{0}"}), 400, "03-013", "text"),
        (json!({"html": 1}), 400, "03-002", "html"),
        (json!({"attachments": "x"}), 400, "03-002", "attachments"),
        (json!({"attachments": 11}), 400, "03-005", "attachments"),
        (json!({"attachments": 1}), 400, "03-001", "attachment1"),
        (json!({"attachments": 1, "attachment1": "x"}), 400, "03-002", "attachment1"),
    ];
    for (more, status, code, field) in &cases {
        let answer = api.send(more.clone());
        assert_eq!(
            (answer.status, answer.errors()),
            (*status, vec![((*code).to_owned(), (*field).to_owned())]),
            "{more}"
        );
        assert!(!answer.body.contains("/src/") && !answer.body.contains("panicked"), "{answer:?}");
    }
    // Several at once, in Japanese, in XML.
    let body = letter(json!({"to": 1, "from": null, "subject": "x".repeat(600)}));
    let answer = api.json_with("/api/v2/emails/send.xml", &body, &[("Accept-Language", "ja")]);
    assert_eq!(
        answer.body,
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<errors><error><code>03-002</code><field>to</field>\
         <message>アドレス（文字列、{&quot;name&quot;,&quot;address&quot;}、またはその配列）を指定してください。</message></error>\
         <error><code>03-001</code><field>from</field><message>必須パラメータです。</message></error><error><code>03-004</code>\
         <field>subject</field><message>512文字以内で指定してください。</message></error></errors>"
    );
    // Bodies that are none.
    for (kind, body, status, code) in [
        ("application/json", "{", 400, "02-006"),
        ("application/json", "[]", 400, "02-006"),
        ("application/json", "{\"to\":1,\"to\":2}", 400, "03-003"),
        ("text/plain", "x", 415, "02-005"),
        ("multipart/form-data; boundary=x", "y", 400, "02-006"),
        ("application/json; charset=Shift_JIS", "{}", 415, "02-005"),
    ] {
        let answer = api.post(SEND, &[("Content-Type", kind)], body.as_bytes());
        assert_eq!((answer.status, answer.errors()[0].0.as_str()), (status, code), "{kind} {body}");
    }
    // A file that would stay behind.
    let fields = [
        ("api_user", USER),
        ("api_key", KEY),
        ("to", "a@example.org"),
        ("from", "a@example.net"),
        ("subject", "s"),
        ("text", "t"),
    ];
    let (kind, body) = multipart("b", &fields, &[("file", "a.txt", b"x")]);
    assert_eq!(api.post(SEND, &[("Content-Type", &kind)], &body).errors(), [("03-017".to_owned(), "file".to_owned())]);
    // Paths and methods.
    assert_eq!(api.json("/api/v2/emails/nothing.json", &letter(json!({}))).errors()[0].0, "02-001");
    assert_eq!(api.json("/api/v3/emails/send.json", &letter(json!({}))).errors()[0].0, "02-001");
    let mut stream = api.connect();
    write!(stream, "GET {SEND} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let answer = answer_of(stream);
    assert_eq!((answer.status, answer.header("Allow")), (405, Some("POST")), "{answer:?}");
    // What the front refuses before anybody reads it, in the same shape.
    for (head, status) in [
        ("Host: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n", 400),
        ("Host: localhost\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Host: elsewhere.example\r\nContent-Length: 0\r\n", 421),
    ] {
        let mut stream = api.connect();
        write!(stream, "POST {SEND} HTTP/1.1\r\n{head}\r\n").unwrap();
        let answer = answer_of(stream);
        assert_eq!((answer.status, answer.errors()), (status, vec![("02-003".to_owned(), String::new())]), "{head}");
    }
    assert!(api.relay.deliveries().is_empty(), "nothing was accepted");
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_comes() {
    let api = Api::start();
    let mut stream = api.connect();
    write!(
        stream,
        "POST {SEND} HTTP/1.1\r\nHost: localhost\r\nAccept-Language: ja\r\nContent-Length: 99000000\r\n\r\n"
    )
    .unwrap();
    let answer = answer_of(stream);
    assert_eq!((answer.status, answer.errors()), (413, vec![("02-004".to_owned(), String::new())]));
    assert!(answer.body.contains("26214400バイト以内"), "{answer:?}");
    let mut stream = api.connect();
    write!(
        stream,
        "POST /transaction/v2/deliveries/list.xml HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n"
    )
    .unwrap();
    let answer = answer_of(stream);
    assert_eq!(answer.status, 413);
    assert!(answer.body.contains("<errors><error><code>02-004</code><field></field>"), "{answer:?}");
    // A mail that becomes too large.
    let api = Api::with(&[], |config| config.set("relay.message_size_max", "\"64KiB\""));
    let answer = api.send(json!({"text": "x".repeat(70_000)}));
    assert_eq!((answer.status, answer.errors()), (413, vec![("02-004".to_owned(), String::new())]));
    // Somebody who sends nothing more is dropped, and nobody waits for him.
    let mut slow = api.connect();
    write!(slow, "POST {SEND} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nx").unwrap();
    api.send(json!({})).id();
}

#[test]
fn a_key_makes_a_call_happen_once_and_holds_over_a_crash() {
    let mut api = Api::start();
    let key = [("Idempotency-Key", "order-42")];
    let id = api.json_with(SEND, &letter(json!({})), &key).id();
    assert_eq!(api.json_with(SEND, &letter(json!({})), &key).id(), id);
    let other = api.json_with(SEND, &letter(json!({"text": "Another"})), &key);
    assert_eq!((other.status, other.errors()), (422, vec![("12-002".to_owned(), "Idempotency-Key".to_owned())]));
    // What is being handed over at a crash may be handed over twice; here it is not.
    api.relay.wait_event("succeeded", "hanako@example.org");
    api.relay.kill();
    api.relay.restart();
    assert_eq!(api.json_with(SEND, &letter(json!({})), &key).id(), id);
    // In another shape of the answer, with another boundary, and by another user.
    let xml = api.json_with("/api/v2/emails/send.xml", &letter(json!({})), &key);
    assert!(xml.body.contains(&id.replace('<', "&lt;").replace('>', "&gt;")), "{xml:?}");
    let fields = [
        ("api_user", USER),
        ("api_key", KEY),
        ("to", "b@example.org"),
        ("from", "a@example.net"),
        ("subject", "s"),
        ("text", "t"),
    ];
    let ids: Vec<String> = ["one", "two"]
        .map(|boundary| {
            let (kind, body) = multipart(boundary, &fields, &[("attachment1", "a.txt", b"x")]);
            api.post(SEND, &[("Content-Type", &kind), ("Idempotency-Key", "files")], &body).id()
        })
        .into();
    assert_eq!(ids[0], ids[1]);
    api.add_user("other@example.net", &[]);
    assert_ne!(api.json_with(SEND, &letter(json!({"api_user": "other@example.net"})), &key).id(), id);
    let bad = api.json_with(SEND, &letter(json!({})), &[("Idempotency-Key", &"k".repeat(256))]);
    assert_eq!((bad.status, bad.errors()[0].0.as_str()), (400, "12-001"));
    // What was refused is not remembered.
    let key = [("Idempotency-Key", "second")];
    assert_eq!(api.json_with(SEND, &letter(json!({"to": 1})), &key).status, 400);
    api.json_with(SEND, &letter(json!({})), &key).id();
    api.sink.wait_for(4);
    let texts: Vec<String> = api.sink.received().iter().map(|m| m.text()).collect();
    assert_eq!(texts.iter().filter(|t| t.contains(&id)).count(), 1, "the mail went out once");
    // A bulk call likewise.
    let to: Vec<Value> =
        (0..150).map(|n| json!({"name": format!("N{n}"), "address": format!("n{n}@example.org")})).collect();
    let body = letter(json!({"to": to}));
    let first = api.json_with(BULK, &body, &[("Idempotency-Key", "bulk")]);
    assert_eq!(first.status, 200, "{first:?}");
    api.relay.kill();
    api.relay.restart();
    assert_eq!(api.json_with(BULK, &body, &[("Idempotency-Key", "bulk")]).body, first.body);
    until("every mail of it", || {
        (0..150)
            .all(|n| api.sink.received().iter().any(|m| m.recipients == [format!("n{n}@example.org")]))
            .then_some(())
    });
}

#[test]
fn a_bulk_call_writes_one_mail_to_each() {
    let api = Api::start();
    let to = json!([
        {"name": "A", "address": "a@example.org", "item": "Tea <1>", "n": 3},
        {"name": "B", "address": "b@example.org", "item": "Rice"}
    ]);
    let mut body = letter(json!({
        "to": to, "subject": "((#name#)), your ((#item#))", "text": "((#n#)) ((#address#))", "html": "<p>((#item#))</p>",
        "headers": {"X-Api-Data": "bulk-((#name#))"}
    }));
    let answer = api.json(BULK, &body);
    let first = answer.id();
    let json = answer.json();
    let ids: Vec<&str> = json["ids"].as_str().expect("a string").split(' ').collect();
    assert_eq!((json["accepted"].as_str(), ids.len(), ids[0]), (Some("2"), 2, first.as_str()), "{json}");
    let a = api.sink.wait_for_recipient("a@example.org");
    assert_eq!(a.recipients, ["a@example.org"]);
    let text = a.text();
    assert!(
        text.contains(ids[0]) && text.contains("Subject: A, your Tea <1>") && text.contains("3 a@example.org"),
        "{text}"
    );
    assert!(
        text.contains("<p>Tea &lt;1&gt;</p>") && text.contains("X-Api-Data: bulk-A") && !text.contains("b@example.org"),
        "{text}"
    );
    let text = api.sink.wait_for_recipient("b@example.org").text();
    assert!(text.contains(ids[1]) && text.contains("Subject: B, your Rice") && !text.contains("((#"), "{text}");
    let to: Vec<String> = (0..1_001).map(|n| format!("n{n}@example.org")).collect();
    let mut last_is_bad = vec![json!({"address": "a@example.org", "name": "A"}); 200];
    last_is_bad.push(json!({"address": "z@example.org", "name": "line\nbreak"}));
    for (more, code, field) in [
        (json!({"to": to}), "03-006", "to"),
        (json!({"to": last_is_bad}), "03-013", "to"),
        (json!({"to": [{"address": "a@example.org", "x": "y".repeat(5 * 1024 + 1)}]}), "03-004", "to"),
        (json!({"to": [{"address": "a@example.org", "x": [1]}]}), "03-002", "to"),
        (json!({"cc": "c@example.org"}), "03-006", "cc"),
        (json!({"merge_html": "x"}), "03-007", "merge_html"),
    ] {
        merge(&mut body, json!({"to": "a@example.org", "cc": null, "merge_html": null}));
        merge(&mut body, more);
        let answer = api.json(BULK, &body);
        assert_eq!((answer.status, answer.errors()), (400, vec![(code.to_owned(), field.to_owned())]), "{answer:?}");
    }
    assert_eq!(api.sink.taken(), 2, "nothing of a call that was refused");
}

#[test]
fn a_sandbox_user_is_answered_and_nothing_leaves() {
    let api = Api::with(&["--sandbox", "on"], |config| config);
    api.send(json!({"to": ["anyone@example.org", "bounce@example.org"], "cc": "blocked@example.org"})).id();
    let taken = api.relay.wait_event("succeeded", "anyone@example.org");
    assert!(taken.reply().contains("sandbox of this API user"), "{taken:?}");
    assert_eq!(api.relay.wait_event("failed", "bounce@example.org").text("error_code"), "2");
    assert_eq!(api.relay.wait_event("failed", "blocked@example.org").text("error_code"), "10");
    // By SMTP likewise.
    let smtp = api.relay.deliveries().len();
    assert!(smtp >= 6, "queued and final of three");
    assert_eq!(api.sink.taken(), 0);
    assert!(api.relay.cli(&["queue", "list", "--json"]).expect_done().stdout.is_empty(), "nothing waits");
}

#[test]
fn a_user_sends_as_much_and_as_whom_it_may() {
    let api = Api::with(&["--rate", "2/1h", "--sender", "example.net"], |config| config);
    for (more, field) in
        [(json!({"from": "ceo@example.com"}), "from"), (json!({"envfrom": "ceo@example.com"}), "envfrom")]
    {
        let answer = api.send(more);
        assert_eq!((answer.status, answer.errors()), (403, vec![("13-007".to_owned(), field.to_owned())]));
    }
    let audit = api.relay.cli(&["log", "audit", "--json"]).expect_done().stdout;
    assert_eq!(audit.matches("api.denied").count(), 2, "{audit}");
    assert!(audit.contains(SEND) && audit.contains(USER) && !audit.contains(KEY), "{audit}");
    api.send(json!({"to": ["a@example.org", "b@example.org"]})).id();
    let answer = api.send(json!({}));
    assert_eq!((answer.status, answer.errors()), (429, vec![("11-005".to_owned(), String::new())]));
    assert!(answer.header("Retry-After").is_some_and(|after| after.parse::<u64>().is_ok_and(|n| n > 0)), "{answer:?}");
    // A domain that is not ours.
    let api = Api::with(&[], |config| {
        config.set("relay.sender_domains_only", "true").text("[[domain]]\nname = \"example.net\"")
    });
    let answer = api.send(json!({"from": "a@example.com"}));
    assert_eq!((answer.status, answer.errors()), (400, vec![("13-006".to_owned(), String::new())]));
    api.send(json!({})).id();
}

#[test]
fn guessing_is_slowed_by_its_source_and_the_right_key_is_never_locked() {
    let api = Api::start();
    // It is known before the guessing begins: its own program goes on.
    api.send(json!({})).id();
    let mut seen = Vec::new();
    for n in 0..25 {
        let answer = api.send(json!({"api_key": format!("Guess-number-{n}")}));
        if answer.status == 429 {
            assert_eq!(answer.errors()[0].0, "11-004");
            assert!(answer.header("Retry-After").is_some(), "{answer:?}");
        }
        seen.push(answer.status);
    }
    assert_eq!((seen[0], seen[24]), (401, 429), "{seen:?}");
    assert!(seen.iter().all(|status| matches!(status, 401 | 429)), "{seen:?}");
    api.send(json!({})).id();
}

#[test]
fn more_calls_at_once_than_a_user_may_have_are_told_to_come_again() {
    let api = Api::start();
    api.send(json!({})).id();
    // Thirty at once on ten: those who are turned away may come again at once, and nobody hears a 5xx.
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..30).map(|_| scope.spawn(|| api.send(json!({})).status)).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|s| matches!(s, 200 | 429)), "{statuses:?}");
    assert!(statuses.iter().filter(|s| **s == 200).count() >= 10, "{statuses:?}");
}
