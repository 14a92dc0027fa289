//! Addresses as clients write them: a bare address, `{"name","address"}`, a list of these, or a text that holds such JSON.
//!
//! In: a parameter.  Out: [`Addressed`], each with the properties that a bulk mail fills in.
//! Always: an address is parsed once, into a [`Mailbox`]; what is wrong names the parameter; numbers are bounded before anything
//! is parsed.
//! Sources: the service's address formats 1 to 3, and what its clients send.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    http::api::{
        ask::Ask,
        fault::{Expected, Fault, Unit, Why},
    },
    mail::{letter::Address, merge},
    smtp::address::Mailbox,
};

/// An address of the call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Addressed {
    /// Name and address.
    pub address: Address,
    /// All properties that stand beside it, name and address among them.
    pub values: merge::Values,
}

/// The addresses of a parameter, at most `max`.
pub(super) fn many(ask: &Ask<'_>, field: &str, max: usize) -> Result<Vec<Addressed>, Fault> {
    let Some(value) = ask.json_or_text(field, Expected::Address)? else { return Ok(Vec::new()) };
    let list = match value {
        Value::Array(list) => list,
        one => vec![one],
    };
    if list.len() > max {
        return Err(Why::TooMany { max }.of(field));
    }
    list.into_iter().map(|value| one_of(value, field)).collect()
}

/// The one address of a parameter, which may go by several names: the first that is set counts.
pub(super) fn one(ask: &Ask<'_>, names: &[&str]) -> Result<Option<Address>, Fault> {
    for name in names {
        if let Some(found) = many(ask, name, 1)?.pop() {
            return Ok(Some(found.address));
        }
    }
    Ok(None)
}

fn one_of(value: Value, field: &str) -> Result<Addressed, Fault> {
    let wrong = || Why::WrongType { expected: Expected::Address }.of(field);
    match value {
        Value::String(text) => {
            let address = Address { name: String::new(), address: mailbox(&text, field)? };
            let values = merge::Values::from([("name".to_owned(), String::new()), ("address".to_owned(), text)]);
            Ok(Addressed { address, values })
        }
        Value::Object(map) => {
            let mut values: BTreeMap<String, String> = BTreeMap::new();
            if map.len() > merge::PROPERTIES_MAX {
                return Err(Why::TooMany { max: merge::PROPERTIES_MAX }.of(field));
            }
            for (key, value) in map {
                let text = match value {
                    Value::String(text) => text,
                    Value::Null => String::new(),
                    // What programs put into a text anyway; name and address are texts.
                    Value::Number(number) if !is_own(&key) => number.to_string(),
                    Value::Bool(flag) if !is_own(&key) => flag.to_string(),
                    Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Err(wrong()),
                };
                if text.len() > merge::VALUE_OCTETS_MAX {
                    return Err(Why::TooLong { max: merge::VALUE_OCTETS_MAX, unit: Unit::Octets }.of(field));
                }
                if text.contains('\0') {
                    return Err(Why::BadCharacter.of(field));
                }
                values.insert(key, text);
            }
            let address = values.get("address").filter(|a| !a.is_empty()).ok_or_else(|| Why::Missing.of(field))?;
            let address = mailbox(address, field)?;
            let name = values.entry("name".to_owned()).or_default().clone();
            Ok(Addressed { address: Address { name, address }, values })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Err(wrong()),
    }
}

fn is_own(key: &str) -> bool {
    matches!(key, "name" | "address")
}

/// A bare address. A domain that is not ASCII becomes its A-labels where the local part is: peers without SMTPUTF8 take that.
pub(super) fn mailbox(text: &str, field: &str) -> Result<Mailbox, Fault> {
    let bad = || Why::BadAddress.of(field);
    let mailbox = Mailbox::parse(text.trim()).map_err(|_| bad())?;
    if mailbox.domain().is_ascii() || !mailbox.local().is_ascii() {
        return Ok(mailbox);
    }
    let domain = idna::domain_to_ascii(mailbox.domain()).map_err(|_| bad())?;
    Mailbox::parse(&format!("{}@{domain}", mailbox.local())).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::exchange::{Door, Method, Peer, Request};

    fn of(to: &str) -> Result<Vec<(String, String)>, &'static str> {
        let mut request = Request::of_target(Method::Post, "/x", Door::Public, Peer::User(0)).expect("a target");
        request.body = format!("{{\"to\":{to}}}").into_bytes();
        let ask = Ask::read(&request).expect("JSON");
        match many(&ask, "to", 3) {
            Ok(found) => Ok(found.into_iter().map(|a| (a.address.name, a.address.address.to_string())).collect()),
            Err(fault) => {
                assert_eq!(fault.errors[0].field, "to", "{to}");
                Err(fault.errors[0].why.code())
            }
        }
    }

    #[test]
    fn every_dialect_is_the_same_address() {
        let plain = Ok(vec![(String::new(), "a@example.org".to_owned())]);
        let named = Ok(vec![("花子".to_owned(), "a@example.org".to_owned())]);
        for to in [
            r#""a@example.org""#,
            r#"["a@example.org"]"#,
            r#"{"name":"","address":" a@example.org "}"#,
            r#"{"address":"a@example.org","name":null}"#,
        ] {
            assert_eq!(of(to), plain, "{to}");
        }
        for to in [
            r#"{"name":"花子","address":"a@example.org"}"#,
            r#"[{"name":"花子","address":"a@example.org"}]"#,
            r#""{\"name\":\"花子\",\"address\":\"a@example.org\"}""#,
            r#"" [{\"name\":\"花子\",\"address\":\"a@example.org\",\"item\":3}]""#,
        ] {
            assert_eq!(of(to), named, "{to}");
        }
        for to in ["null", "\"\"", "[]", "\"[]\""] {
            assert_eq!(of(to), Ok(Vec::new()), "{to}");
        }
    }

    #[test]
    fn a_domain_that_is_not_ascii_is_sent_in_a_labels() {
        let shown = |to: &str| of(to).map(|found| found[0].1.clone());
        assert_eq!(shown("\"a@例え.test\""), Ok("a@xn--r8jz45g.test".to_owned()));
        assert_eq!(shown("\"花子@例え.test\""), Ok("花子@例え.test".to_owned()));
    }

    #[test]
    fn what_is_no_address_is_told() {
        for (to, code) in [
            ("1", "03-002"),
            ("true", "03-002"),
            ("[1]", "03-002"),
            ("[[\"a@example.org\"]]", "03-002"),
            ("[null]", "03-002"),
            ("\"[{\"", "03-002"),
            (r#"{"name":1,"address":"a@example.org"}"#, "03-002"),
            (r#"{"address":{"a":1}}"#, "03-002"),
            (r#"{"name":"x"}"#, "03-001"),
            (r#"{"address":""}"#, "03-001"),
            ("\"a\"", "03-008"),
            ("\"a@example.org, b@example.org\"", "03-008"),
            ("\"A <a@example.org>\"", "03-008"),
            (r#""a@example.org\r\nBcc: x@example.org""#, "03-008"),
            (r#"["a@b.example","a@b.example","a@b.example","a@b.example"]"#, "03-006"),
            (r#"{"address":"a@example.org","x":"\u0000"}"#, "03-013"),
        ] {
            assert_eq!(of(to), Err(code), "{to}");
        }
        let long = format!("{{\"address\":\"a@example.org\",\"x\":\"{}\"}}", "y".repeat(merge::VALUE_OCTETS_MAX + 1));
        assert_eq!(of(&long), Err("03-004"));
        let many: String = (0..100).map(|n| format!(",\"k{n}\":\"v\"")).collect();
        assert_eq!(of(&format!("{{\"address\":\"a@example.org\"{many}}}")), Err("03-006"));
    }
}
