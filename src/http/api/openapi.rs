//! The API's description as an OpenAPI 3.1 document, made of the same table that routes are, and served at `/openapi.json`.
//!
//! In: nothing.  Out: the document.
//! Always: every path of the API is in it, in both formats, and no other (a test holds it against the router); it has no secret, and
//! nothing of this server's config.
//! Sources: OpenAPI 3.1.1; cmc.md §2–§9.

mod dmarc;
mod own;

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use super::{
    Language,
    caller::Access,
    fault::Why,
    transaction::{self, Action},
};
use crate::{
    http::exchange::{JSON, Response},
    records::{Block, Bounce, Delivery},
};

/// Seconds that a client may keep it.
const KEEP_SECONDS: u32 = 3_600;

/// A parameter of a call.
struct Param {
    name: &'static str,
    required: bool,
    schema: Value,
    what: &'static str,
}

fn param(name: &'static str, required: bool, schema: Value, what: &'static str) -> Param {
    Param { name, required, schema, what }
}

fn text(max: u32) -> Value {
    json!({ "type": "string", "maxLength": max })
}

fn number(min: i64, max: i64) -> Value {
    json!({ "type": "integer", "minimum": min, "maximum": max })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn date() -> Value {
    json!({ "type": "string", "format": "date" })
}

fn words(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

/// What a good answer holds.
enum Answer {
    /// Rows under a name; the keys whose values are numbers, and those that are strings.
    Rows(&'static str, &'static [&'static str]),
    /// One of two lists of rows.
    Audit,
    /// `{"message":"success"}`, and further keys.
    Done(&'static [&'static str]),
    /// `{"id":"<…>"}`, and further keys.
    Id(&'static [&'static str]),
    /// A ZIP of CSV.
    Zip,
    /// As [`Answer::Rows`], of a call that takes files.
    Files(&'static str, &'static [&'static str]),
}

/// What is told of a call.
struct Told {
    summary: &'static str,
    params: Vec<Param>,
    answer: Answer,
}

/// The document.
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(make)
}

/// `GET /openapi.json`.
pub fn response() -> Response {
    let mut response = Response::new(200, JSON, document().to_string());
    response.keep_seconds = KEEP_SECONDS;
    response
}

fn make() -> Value {
    let mut paths = Map::new();
    for (path, told) in sending() {
        insert(&mut paths, path, &told, Access::Send);
    }
    for action in transaction::ACTIONS {
        insert(&mut paths, &format!("/transaction/v2/{}", action.path), &of_action(action), action.access);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hikyaku HTTP API",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Sending mail, and reading what became of it.",
            "description": "Calls are POST, with their parameters in the body as JSON, as a form, or as multipart/form-data; \
                `api_user` and `api_key` are among them. The suffix of the path chooses the format of the answer, and \
                Accept-Language (`en` or `ja`) the language of messages. Dates are in the API user's time zone. A list without \
                rows is answered 204. Numbers and flags may come as strings; what is null or empty counts as not set.",
            "license": { "name": "Apache-2.0 OR MIT" }
        },
        "paths": paths,
        "components": {
            "schemas": { "Errors": errors() },
            "responses": {
                "Fault": {
                    "description": "The call was not done.",
                    "content": {
                        "application/json": { "schema": { "$ref": "#/components/schemas/Errors" } },
                        "application/xml": {}
                    }
                }
            }
        }
    })
}

fn errors() -> Value {
    let lines: Vec<String> = Why::each()
        .iter()
        .map(|why| format!("| {} | {} | {} |", why.code(), why.status(), why.message(Language::English)))
        .collect();
    let mut codes: Vec<&str> = Why::each().iter().map(Why::code).collect();
    codes.sort_unstable();
    json!({
        "type": "object",
        "description": format!("| code | status | message |\n|---|---|---|\n{}", lines.join("\n")),
        "required": ["errors"],
        "additionalProperties": false,
        "properties": { "errors": {
            "type": "array",
            "minItems": 1,
            "maxItems": super::fault::ERRORS_MAX,
            "items": {
                "type": "object",
                "required": ["code", "field", "message"],
                "additionalProperties": false,
                "properties": {
                    "code": { "type": "string", "enum": codes },
                    "field": { "type": "string", "description": "The parameter; empty when it is about none." },
                    "message": { "type": "string" }
                }
            }
        } }
    })
}

fn insert(paths: &mut Map<String, Value>, path: &str, told: &Told, access: Access) {
    for format in ["json", "xml"] {
        paths.insert(format!("{path}.{format}"), json!({ "post": operation(path, format, told, access) }));
    }
}

fn operation(path: &str, format: &str, told: &Told, access: Access) -> Value {
    let needs = match access {
        Access::Send => "Needs an API user that may call the HTTP API.",
        Access::View => "Needs the right to view.",
        Access::Download => "Needs the right to download.",
        Access::Change => "Needs an API group administrator.",
    };
    let schema = body_schema(&told.params);
    let is_sending = matches!(told.answer, Answer::Id(_));
    let has_files = is_sending || matches!(told.answer, Answer::Files(..));
    let mut content = json!({
        "application/json": { "schema": schema },
        "application/x-www-form-urlencoded": { "schema": schema }
    });
    if has_files {
        content["multipart/form-data"] = json!({ "schema": schema });
    }
    let mut responses = json!({ "200": answer(&told.answer, format) });
    if matches!(told.answer, Answer::Rows(..) | Answer::Audit | Answer::Zip) {
        responses["204"] = json!({ "description": "There is nothing." });
    }
    for status in ["400", "401", "403", "404", "409", "413", "415", "422", "429", "500", "503"] {
        responses[status] = json!({ "$ref": "#/components/responses/Fault" });
    }
    let parameters = if is_sending {
        json!([{
            "name": "Idempotency-Key",
            "in": "header",
            "description": "A call with a key that was used within 24 hours is answered as the first one was, and sends nothing.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" }
        }])
    } else {
        json!([])
    };
    let id: String =
        format!("{path}.{format}").chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    json!({
        "operationId": id.trim_matches('_'),
        "summary": told.summary,
        "description": needs,
        "parameters": parameters,
        "requestBody": { "required": true, "content": content },
        "responses": responses
    })
}

fn body_schema(params: &[Param]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let credentials = [
        param("api_user", true, json!({ "type": "string", "minLength": 1 }), "The API user."),
        param("api_key", true, json!({ "type": "string", "minLength": 1, "format": "password" }), "Its key."),
    ];
    for p in credentials.iter().chain(params) {
        let mut schema = p.schema.clone();
        schema["description"] = json!(p.what);
        properties.insert(p.name.to_owned(), schema);
        if p.required {
            required.push(p.name);
        }
    }
    json!({ "type": "object", "required": required, "properties": properties })
}

fn answer(answer: &Answer, format: &str) -> Value {
    if let Answer::Zip = answer {
        let zip = json!({ "application/octet-stream": {} });
        return json!({ "description": "A ZIP file with a CSV file, or several where rows are many.", "content": zip });
    }
    if format == "xml" {
        return json!({ "description": "The same as JSON's: the list, a child for each row, an element for each key.",
            "content": { "application/xml": {} } });
    }
    let schema = match answer {
        Answer::Rows(plural, keys) | Answer::Files(plural, keys) => rows_schema(plural, keys),
        Answer::Audit => {
            json!({ "oneOf": [rows_schema("loginlogs", &LOGIN_KEYS), rows_schema("operationlogs", &OPERATION_KEYS)] })
        }
        Answer::Done(more) => strings(&[&["message"], *more].concat()),
        Answer::Id(more) => strings(&[&["id"], *more].concat()),
        Answer::Zip => json!({}),
    };
    json!({ "description": "Done.", "content": { "application/json": { "schema": schema } } })
}

fn rows_schema(plural: &str, keys: &[&str]) -> Value {
    json!({
        "type": "object",
        "required": [plural],
        "additionalProperties": false,
        "properties": { plural: { "type": "array", "minItems": 1, "items": strings(keys) } }
    })
}

/// An object of these keys; counts are its only numbers.
fn strings(keys: &[&str]) -> Value {
    let is_count = |key: &str| dmarc::COUNTS.contains(&key);
    let schema = |key: &str| {
        if is_count(key) { json!({ "type": "integer", "minimum": 0 }) } else { json!({ "type": "string" }) }
    };
    let properties: Map<String, Value> = keys.iter().map(|key| ((*key).to_owned(), schema(key))).collect();
    json!({ "type": "object", "required": keys, "additionalProperties": false, "properties": properties })
}

const LOGIN_KEYS: [&str; 6] = transaction::auditlogs::LOGIN_KEYS;
const OPERATION_KEYS: [&str; 5] = transaction::auditlogs::OPERATION_KEYS;

// ---- sending ----

fn sending() -> [(&'static str, Told); 4] {
    let send = || Told { summary: "Sends one mail.", params: mail_params(false), answer: Answer::Id(&[]) };
    let bulk = Told {
        summary: "Sends one mail to each of many, with their own words in it.",
        params: mail_params(true),
        answer: Answer::Id(&["accepted", "ids"]),
    };
    [
        ("/api/v2/emails/send", send()),
        ("/api/v2/emails/bulk", bulk),
        ("/api/v1/emails/send", send()),
        ("/v1/emails/send", send()),
    ]
}

fn mail_params(bulk: bool) -> Vec<Param> {
    let address = || {
        json!({ "anyOf": [
            { "type": "string", "format": "email" },
            { "type": "object", "required": ["address"], "properties": {
                "name": { "type": "string" }, "address": { "type": "string", "format": "email" } } }
        ] })
    };
    let addresses = |max: u32| {
        let mut schema = address();
        let many = json!({ "type": "array", "minItems": 1, "maxItems": max, "items": address() });
        if let Some(any) = schema["anyOf"].as_array_mut() {
            any.push(many);
        }
        schema
    };
    let recipients = if bulk {
        json!({ "type": "array", "minItems": 1, "maxItems": 1000, "items": {
            "type": "object", "required": ["name", "address"], "maxProperties": 100,
            "properties": { "name": { "type": "string" }, "address": { "type": "string", "format": "email" } } } })
    } else {
        addresses(10)
    };
    let mut params = vec![
        param("to", true, recipients, "To whom. In JSON bodies a value, in forms its JSON text."),
        param("from", true, address(), "The header's From."),
        param("subject", true, text(512), "The subject."),
        param("text", false, json!({ "type": "string" }), "The text body. One of text and html is needed."),
        param("html", false, json!({ "type": "string" }), "The HTML body."),
        param("replyto", false, address(), "Reply-To."),
        param(
            "envfrom",
            false,
            json!({ "type": "string", "format": "email" }),
            "The envelope's sender; without it, From.",
        ),
        param(
            "headers",
            false,
            json!({ "anyOf": [
                { "type": "array", "items": { "type": "object", "required": ["name", "value"], "properties": {
                    "name": { "type": "string" }, "value": { "type": "string" } } } },
                { "type": "object", "additionalProperties": { "type": "string" } }
            ] }),
            "Further headers. X-Api-Data is recorded in the logs.",
        ),
        param("charset", false, words(&["UTF-8", "ISO-2022-JP"]), "The mail's charset; UTF-8 without it."),
        param(
            "charset_fallback",
            false,
            words(&["utf-8", "reject"]),
            "What becomes of a mail that the charset cannot carry: it goes out in UTF-8, or is an error.",
        ),
        param("attachments", false, number(0, 10), "How many files come as attachment1, attachment2 and on."),
    ];
    if bulk {
        let what = "How values go into the HTML body: `escape` makes them text, `raw` leaves them as they are.";
        params.push(param("merge_html", false, words(&["escape", "raw"]), what));
    } else {
        params.insert(1, param("cc", false, addresses(10), "Cc."));
        params.insert(2, param("bcc", false, addresses(10), "Bcc."));
    }
    params
}

// ---- the Transactional API ----

fn composition() -> Param {
    param("server_composition", true, json!({ "type": "string", "minLength": 1 }), "The name of this server.")
}

fn period() -> Vec<Param> {
    vec![
        param("start_date", false, date(), "From this day, inclusive."),
        param("end_date", false, date(), "To this day, inclusive."),
    ]
}

fn day(required: bool) -> Vec<Param> {
    vec![
        param("date", required, date(), "The day."),
        param("hour", false, number(0, 23), "One hour of it."),
        param("minute", false, number(0, 59), "One minute of that hour."),
    ]
}

fn paging() -> Vec<Param> {
    vec![
        param("p", false, number(0, 1_000_000), "The page, from 0; it begins at row p × r, and before row 1,000,000."),
        param("r", false, number(1, 100), "Rows of a page; 10 without it."),
    ]
}

fn search() -> Vec<Param> {
    vec![
        composition(),
        param("from", false, text(512), "Part of the From address or the envelope's sender."),
        param("to", false, text(512), "Part of the recipient's address."),
        param("api_data", false, text(512), "Part of X-Api-Data."),
        param(
            "search_option",
            false,
            words(&["partial", "exact"]),
            "How these are compared; exact is found by an index.",
        ),
    ]
}

fn emails() -> Param {
    let email = json!({ "type": "string", "format": "email" });
    let schema = json!({ "anyOf": [email, { "type": "array", "minItems": 1, "maxItems": 1000, "items": email }] });
    param("email", true, schema, "One address, or up to 1,000.")
}

fn filter(acts: bool) -> Vec<Param> {
    let mut params = vec![
        composition(),
        param("queue_id", false, json!({ "type": "string" }), "One message."),
        param("index", false, number(0, i64::from(u32::MAX)), "One recipient of it."),
        param("from", false, text(512), "Part of the sender's address."),
        param("to", false, text(512), "Part of the recipient's address."),
        param("destination", false, text(512), "Where it goes, exactly."),
        param("user", false, text(512), "The API user that submitted it."),
        param("held", false, flag(), "Held ones only."),
    ];
    if acts {
        params.push(param("all", false, flag(), "The whole queue: needed where nothing else is named."));
    }
    params
}

fn of_action(action: &Action) -> Told {
    let told = |summary, params: Vec<Vec<Param>>, answer| Told {
        summary,
        params: params.into_iter().flatten().collect(),
        answer,
    };
    let status = || vec![param("status", false, words(transaction::logs::STATUSES), "What became of it.")];
    let class = || vec![param("status", false, number(1, 99), "The number of the error's class.")];
    let part = || vec![param("email", false, text(512), "Part of the address.")];
    let removed = || vec![param("removed", false, flag(), "Blocks that were lifted, instead of present ones.")];
    let list = || vec![param("filter_name", false, text(512), "The list, exactly.")];
    let audit = || {
        let kind = param("type", true, words(&["login", "operation"]), "Which log.");
        vec![kind, param("account", false, text(512), "Part of the account's name.")]
    };
    match action.path {
        "deliveries/list" => told(
            "Lists the delivery log of a day, newest first.",
            vec![search(), status(), day(true), paging()],
            Answer::Rows("deliveries", &Delivery::KEYS),
        ),
        "deliveries/download" => {
            told("Downloads the delivery log of a day.", vec![search(), status(), day(true)], Answer::Zip)
        }
        "bounces/list" => told(
            "Lists the error log, newest first.",
            vec![search(), class(), period(), day(false), paging()],
            Answer::Rows("bounces", &Bounce::KEYS),
        ),
        "bounces/download" => {
            told("Downloads the error log.", vec![search(), class(), period(), day(false)], Answer::Zip)
        }
        "blocks/list" => told(
            "Lists addresses that are not written to.",
            vec![vec![composition()], part(), period(), removed(), paging()],
            Answer::Rows("blocks", &Block::KEYS),
        ),
        "blocks/download" => told(
            "Downloads the list of addresses that are not written to.",
            vec![vec![composition()], part(), period(), removed()],
            Answer::Zip,
        ),
        "blocks/add" => told(
            "Blocks addresses until somebody lifts them.",
            vec![vec![composition(), emails(), param("reason", false, text(500), "Why, for whoever reads the list.")]],
            Answer::Done(&[]),
        ),
        "blocks/delete" => told(
            "Exempts addresses for good: later errors never block them again.",
            vec![vec![composition(), emails()]],
            Answer::Done(&[]),
        ),
        "blocks/cancel" => told(
            "Lifts the present block; later errors may block the address again.",
            vec![vec![composition(), emails()]],
            Answer::Done(&[]),
        ),
        "statistics/list" => told(
            "Counts what was sent in a month, by day.",
            vec![vec![
                Param { required: false, ..composition() },
                param("year", true, number(1970, 9998), "The year."),
                param("month", true, number(1, 12), "The month."),
                param("total", false, flag(), "One record for the month, whose date is `total`."),
            ]],
            Answer::Rows("statistics", &transaction::statistics::KEYS),
        ),
        "unsubscribes/list" => told(
            "Lists who left which list.",
            vec![vec![composition()], part(), list(), period(), paging()],
            Answer::Rows("unsubscribes", &transaction::unsubscribes::KEYS),
        ),
        "unsubscribes/download" => {
            told("Downloads who left which list.", vec![vec![composition()], part(), list(), period()], Answer::Zip)
        }
        "unsubscribes/cancel" => told(
            "Writes to addresses again that left one list, or all where none is named.",
            vec![vec![composition(), emails()], list()],
            Answer::Done(&[]),
        ),
        "auditlogs/list" => told(
            "Lists logins or operations, newest first; 31 days at once at most. For API group administrators.",
            vec![audit(), period(), paging()],
            Answer::Audit,
        ),
        "auditlogs/download" => told(
            "Downloads logins or operations; 31 days at once at most. For API group administrators.",
            vec![audit(), period()],
            Answer::Zip,
        ),
        path if path.starts_with("queue/") || path == "domains/check" => own::told(path),
        "messages/find" => told(
            "Finds mails, and tells where each of their recipients stands.",
            vec![
                vec![
                    composition(),
                    param(
                        "key",
                        true,
                        json!({ "type": "string", "minLength": 1, "maxLength": 512 }),
                        "A queue id, a whole recipient, a Message-ID, or an X-Api-Data.",
                    ),
                ],
                paging(),
            ],
            Answer::Rows("messages", &transaction::messages::KEYS),
        ),
        path if path.starts_with("dmarc/") => dmarc::told(path),
        "domains/diagnose" => {
            let own =
                transaction::diagnosis::params().map(|(name, required, is, says)| param(name, required, is, says));
            let params = std::iter::once(composition()).chain(own).collect();
            told(transaction::diagnosis::SAYS, vec![params], Answer::Rows("diagnoses", &transaction::diagnosis::KEYS))
        }
        _ => told("", Vec::new(), Answer::Done(&[])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{
        api,
        exchange::{Door, Method, Peer, Request},
        fake::Fake,
    };

    fn status_of(path: &str) -> u16 {
        let mut request = Request::of_target(Method::Post, path, Door::Public, Peer::User(0)).unwrap();
        request.content_type = "application/json".into();
        request.body = b"{}".to_vec();
        api::route(&Fake::demo(), &request).status
    }

    #[test]
    fn every_path_of_the_document_is_answered_and_every_action_is_described() {
        let paths = document()["paths"].as_object().unwrap();
        for path in paths.keys() {
            assert_eq!(status_of(path), 400, "{path}: it asks for credentials");
        }
        assert_eq!(paths.len(), 2 * (sending().len() + transaction::ACTIONS.len()));
        for action in transaction::ACTIONS {
            for format in ["json", "xml"] {
                let operation = &paths[&format!("/transaction/v2/{}.{format}", action.path)]["post"];
                assert!(!operation["summary"].as_str().unwrap().is_empty(), "{} is not described", action.path);
                assert!(operation["responses"]["200"].is_object(), "{}", action.path);
            }
        }
        assert_eq!(status_of("/transaction/v2/deliveries/remove.json"), 404);
        assert_eq!(status_of("/api/v2/emails/nothing.json"), 404);
        // What the router of the sending API knows is in the document.
        let router = include_str!("mod.rs");
        for line in router.lines().filter(|l| l.contains("=> emails::")) {
            for path in line.split('"').filter(|part| part.starts_with('/')) {
                assert!(paths.contains_key(&format!("{path}.json")), "{path} is not described");
            }
        }
    }

    #[test]
    fn every_error_code_is_listed_and_nothing_of_this_server() {
        let text = document().to_string();
        for why in Why::each() {
            assert!(text.contains(&format!("\"{}\"", why.code())), "{}", why.code());
        }
        let ids: std::collections::BTreeSet<&str> = document()["paths"]
            .as_object()
            .unwrap()
            .values()
            .map(|path| path["post"]["operationId"].as_str().unwrap())
            .collect();
        assert_eq!(ids.len(), document()["paths"].as_object().unwrap().len());
        let answer = response();
        assert_eq!((answer.status, answer.content_type), (200, JSON));
    }
}
