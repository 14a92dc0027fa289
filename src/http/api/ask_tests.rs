//! What clients send is read alike in every dialect, and what they should not send is told with its name.

use super::*;
use crate::http::exchange::{Door, Method, Peer};

fn request(content_type: &str, body: impl Into<Vec<u8>>) -> Request {
    let mut request = Request::of_target(Method::Post, "/api/x", Door::Public, Peer::User(0)).expect("a target");
    (request.content_type, request.body) = (content_type.to_owned(), body.into());
    request
}

fn fault(content_type: &str, body: impl Into<Vec<u8>>) -> (u16, String, &'static str) {
    let request = request(content_type, body);
    let fault = Ask::read(&request).expect_err("refused");
    (fault.status, fault.errors[0].field.clone(), fault.errors[0].why.code())
}

const JSON: &str = "application/json; charset=UTF-8";
const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn one_shape_for_every_body() {
    let multipart = "--B\r\nContent-Disposition: form-data; name=\"p\"\r\n\r\n3\r\n--B\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\n\
        [\"a\",\"b\"]\r\n--B\r\nContent-Disposition: form-data; name=\"total\"\r\n\r\ntrue\r\n--B\r\n\
        Content-Disposition: form-data; name=\"date\"\r\n\r\n2024-02-29\r\n--B\r\nContent-Disposition: form-data; name=\"cc\"\r\n\r\n[]\r\n--B--";
    let bodies = [
        (JSON, r#"{"p":3,"email":["a","b"],"total":true,"date":"2024-02-29","cc":[],"x":null,"y":""}"#),
        ("", r#" {"p":"3","email":"[\"a\",\"b\"]","total":"TRUE","date":"2024-02-29"}"#),
        (FORM, "p=3&email[]=a&email%5B1%5D=b&total=1&date=2024-02-29&y=\r\n"),
        ("", "p=3&email=%5B%22a%22,%22b%22%5D&total=true&date=2024-02-29"),
        ("multipart/form-data; boundary=B", multipart),
    ];
    for (content_type, body) in bodies {
        let request = request(content_type, body);
        let ask = Ask::read(&request).expect("well-formed");
        assert_eq!(ask.number("p", 0..=9), Ok(Some(3)), "{body}");
        assert_eq!(ask.texts("email"), Ok(vec!["a".to_owned(), "b".to_owned()]), "{body}");
        assert_eq!(ask.flag("total"), Ok(Some(true)), "{body}");
        assert_eq!(ask.date("date"), Ok(Some(jiff::civil::date(2024, 2, 29))), "{body}");
        assert_eq!(ask.json_or_text("cc", Expected::Address), Ok(None), "{body}");
        assert!(!ask.has("x") && !ask.has("y") && !ask.has("z"), "{body}");
        assert_eq!(ask.required("z"), Err(Why::Missing.of("z")));
    }
}

#[test]
fn a_wrong_type_names_its_parameter() {
    let request = request(
        JSON,
        r#"{"n":1,"f":1.5,"t":"x","l":[1],"o":{"a":"[1"},"b":true,"big":99999999999999999999,"nul":"a\u0000"}"#,
    );
    let ask = Ask::read(&request).expect("well-formed");
    let of = |why: Why, field: &str| Some(why.of(field));
    let wrong = |expected| Why::WrongType { expected };
    for name in ["n", "l", "o", "b", "f"] {
        assert_eq!(ask.text(name).err(), of(wrong(Expected::Text), name));
        assert_eq!(ask.date(name).err(), of(wrong(Expected::Text), name));
    }
    for name in ["t", "l", "o", "b", "f", "big"] {
        assert_eq!(ask.number(name, 0..=9).err(), of(wrong(Expected::Number), name));
    }
    for name in ["t", "l", "o", "f"] {
        assert_eq!(ask.flag(name).err(), of(wrong(Expected::Flag), name));
    }
    for name in ["t", "n", "b"] {
        assert_eq!(ask.json(name).err(), of(wrong(Expected::Json), name));
    }
    for name in ["n", "l", "o", "b"] {
        assert_eq!(ask.texts(name).err(), of(wrong(Expected::Texts), name));
    }
    assert_eq!(ask.text("nul").err(), of(Why::BadCharacter, "nul"));
    assert_eq!(ask.number("n", 2..=9).err(), of(Why::OutOfRange { min: 2, max: 9 }, "n"));
    assert_eq!(ask.word("t", &["y", "z"]).err(), of(Why::NotOneOf { words: &["y", "z"] }, "t"));
    assert_eq!(ask.date("t").err(), of(Why::BadDate, "t"));
}

#[test]
fn a_date_is_a_day_of_the_calendar_in_its_one_form() {
    for text in ["2023-02-29", "2024-2-29", "20240229", "2024-02-29T00", "+02024-02-29", "2024-13-01"] {
        let request = request(FORM, format!("d={text}"));
        assert_eq!(Ask::read(&request).expect("a form").date("d"), Err(Why::BadDate.of("d")), "{text}");
    }
}

#[test]
fn broken_bodies_are_refused_in_words_of_their_kind() {
    assert_eq!(fault("text/plain", "a"), (415, String::new(), "02-005"));
    assert_eq!(fault("application/json; charset=shift_jis", "{}"), (415, String::new(), "02-005"));
    for body in ["", "[]", "1", "{", "{}x", r#"{"a":"\ud800"}"#, "\"x\""] {
        assert_eq!(fault(JSON, body), (400, String::new(), "02-006"), "{body}");
    }
    assert_eq!(fault(JSON, b"{\"a\":\"\xff\"}".to_vec()), (400, String::new(), "02-006"));
    assert_eq!(fault(JSON, "[".repeat(100_000)), (400, String::new(), "02-006"));
    assert_eq!(
        fault(JSON, format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200))),
        (400, String::new(), "02-006")
    );
    assert_eq!(fault(JSON, r#"{"a":1,"a":2}"#), (400, "a".to_owned(), "03-003"));
    assert_eq!(fault(FORM, "a=1&a=2"), (400, "a".to_owned(), "03-003"));
    assert_eq!(fault(FORM, "a=1&a[]=2"), (400, "a".to_owned(), "03-003"));
    assert_eq!(fault(FORM, "a=%zz"), (400, "a".to_owned(), "03-013"));
    assert_eq!(fault(FORM, "a"), (400, String::new(), "02-006"));
    assert_eq!(fault(FORM, b"a=\xff".to_vec()), (400, String::new(), "02-006"));
    let multipart = b"--B\r\nContent-Disposition: form-data; name=\"subject\"\r\n\r\n\xff\r\n--B--".to_vec();
    assert_eq!(fault("multipart/form-data; boundary=B", multipart), (400, "subject".to_owned(), "02-006"));
}

#[test]
fn values_are_bounded() {
    let list = |n: usize| format!("{{\"a\":[{}]}}", vec!["1"; n].join(","));
    let fits = request(JSON, list(VALUES_MAX - 1));
    assert!(Ask::read(&fits).is_ok());
    assert_eq!(fault(JSON, list(VALUES_MAX)), (400, String::new(), "02-007"));
    assert_eq!(fault(FORM, "a[]=1&".repeat(PARAMETERS_MAX + 1)), (400, String::new(), "02-007"));
}

proptest::proptest! {
    /// Any body: no panic, and what comes back is a 4xx.
    #[test]
    fn any_body_is_read_or_refused(body in proptest::collection::vec(proptest::num::u8::ANY, 0..100), kind in 0_usize..4) {
        let kinds = [JSON, FORM, "multipart/form-data; boundary=B", ""];
        let request = request(kinds[kind], body);
        if let Err(fault) = Ask::read(&request) {
            proptest::prop_assert!((400..500).contains(&fault.status));
        }
    }
}
