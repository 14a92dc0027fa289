//! The parameters of a call, whichever way they came: JSON, a form, or multipart.
//!
//! In: a request.  Out: [`Ask`], which answers one parameter at a time, checked for its type.
//! Always: what is absent, null, `""` or `[]` is not set; a value of another type is a fault that names the parameter; a body has
//! at most [`VALUES_MAX`] values and [`PARAMETERS_MAX`] parameters, so that its size bounds the memory that it takes.
//! Sources: what clients send: objects, arrays, plain strings, and strings that hold JSON; numbers and flags as text.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::RangeInclusive,
};

use jiff::civil::Date;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{
    fault::{Expected, Fault, Syntax, Why},
    multipart,
};
use crate::http::exchange::{Request, percent_decode};

/// Values of a JSON body at most, nested ones included: 1,000 recipients with 100 properties each, and room.
pub const VALUES_MAX: usize = 250_000;
/// Parameters of a call at most; of a list in a form, each element is one.
pub const PARAMETERS_MAX: usize = 1_200;
/// Characters of a parameter's name that are told back.
const NAME_SHOWN_MAX: usize = 64;

/// A file of a multipart body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File<'r> {
    /// The parameter: `attachment1`.
    pub field: String,
    /// Its name, as the client gave it: not to be trusted.
    pub name: String,
    /// Its Content-Type, likewise; empty: none.
    pub content_type: String,
    /// Its content.
    pub bytes: &'r [u8],
}

/// A call's parameters.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Ask<'r> {
    values: BTreeMap<String, Value>,
    files: Vec<File<'r>>,
}

impl<'r> Ask<'r> {
    /// Reads a request's body.
    ///
    /// # Errors
    /// The body is not what its Content-Type says, has too many parts, or names a parameter twice.
    pub fn read(request: &'r Request) -> Result<Self, Fault> {
        let body = request.body.as_slice();
        let (media, params) = request.content_type.split_once(';').unwrap_or((&request.content_type, ""));
        let media = media.trim().to_ascii_lowercase();
        if !charset_is_utf8(params) {
            return Err(Why::MediaType.fault());
        }
        match media.as_str() {
            "application/json" => of_json(body),
            "application/x-www-form-urlencoded" => of_form(body),
            "multipart/form-data" => of_multipart(body, &request.content_type),
            // Without a type, JSON is told by its first character.
            "" if body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{') => of_json(body),
            "" => of_form(body),
            _ => Err(Why::MediaType.fault()),
        }
    }

    /// A parameter as it came; `None`: it is not set.
    fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| match value {
            Value::Null => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => true,
        })
    }

    /// Every parameter as it came, by name.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether a parameter is set.
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// A text. It holds no NUL.
    ///
    /// # Errors
    /// It is something else.
    pub fn text(&self, name: &str) -> Result<Option<String>, Fault> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => checked(text, name).map(Some),
            Some(_) => Err(Why::WrongType { expected: Expected::Text }.of(name)),
        }
    }

    /// A text that must be set.
    ///
    /// # Errors
    /// It is not, or is something else.
    pub fn required(&self, name: &str) -> Result<String, Fault> {
        self.text(name)?.ok_or_else(|| Why::Missing.of(name))
    }

    /// A whole number, or its digits.
    ///
    /// # Errors
    /// It is something else, or outside the range.
    pub fn number(&self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, Fault> {
        let wrong = || Why::WrongType { expected: Expected::Number }.of(name);
        let number = match self.value(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => number,
                (None, Some(_)) => i64::MAX,
                (None, None) => return Err(wrong()),
            },
            Some(Value::String(text)) => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(wrong());
                }
                text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX })
            }
            Some(_) => return Err(wrong()),
        };
        if range.contains(&number) {
            return Ok(Some(number));
        }
        Err(Why::OutOfRange { min: *range.start(), max: *range.end() }.of(name))
    }

    /// `true`, `false`, `1` or `0`.
    ///
    /// # Errors
    /// It is something else.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Fault> {
        let wrong = || Why::WrongType { expected: Expected::Flag }.of(name);
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::Number(number)) => match number.as_i64() {
                Some(0) => Ok(Some(false)),
                Some(1) => Ok(Some(true)),
                Some(_) | None => Err(wrong()),
            },
            Some(Value::String(text)) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Ok(Some(true)),
                "false" | "0" => Ok(Some(false)),
                _ => Err(wrong()),
            },
            Some(Value::Array(_) | Value::Object(_) | Value::Null) => Err(wrong()),
        }
    }

    /// A day, `yyyy-mm-dd`.
    ///
    /// # Errors
    /// It is something else, or no day of the calendar.
    pub fn date(&self, name: &str) -> Result<Option<Date>, Fault> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let shape = text.len() == 10
            && text.bytes().enumerate().all(|(i, b)| if matches!(i, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
        match text.parse() {
            Ok(date) if shape => Ok(Some(date)),
            Ok(_) | Err(_) => Err(Why::BadDate.of(name)),
        }
    }

    /// One of some words, in any case of letters.
    ///
    /// # Errors
    /// It is something else.
    pub fn word(&self, name: &str, words: &'static [&'static str]) -> Result<Option<&'static str>, Fault> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match words.iter().find(|word| word.eq_ignore_ascii_case(&text)) {
            Some(word) => Ok(Some(word)),
            None => Err(Why::NotOneOf { words }.of(name)),
        }
    }

    /// An object or array, or a text that holds one.
    ///
    /// # Errors
    /// It is something else.
    pub fn json(&self, name: &str) -> Result<Option<Value>, Fault> {
        match self.value(name) {
            None => Ok(None),
            Some(value @ (Value::Object(_) | Value::Array(_))) => Ok(Some(value.clone())),
            Some(Value::String(text)) => match bounded(text.as_bytes()) {
                Ok(value @ (Value::Object(_) | Value::Array(_))) => Ok(Some(value)),
                Ok(_) | Err(_) => Err(Why::WrongType { expected: Expected::Json }.of(name)),
            },
            Some(_) => Err(Why::WrongType { expected: Expected::Json }.of(name)),
        }
    }

    /// An object, an array, a plain text, or a text that holds JSON (told by its first character): how clients write addresses.
    ///
    /// # Errors
    /// It is a number or flag, or a text that begins as JSON and is none.
    pub fn json_or_text(&self, name: &str, expected: Expected) -> Result<Option<Value>, Fault> {
        match self.value(name) {
            None => Ok(None),
            Some(value @ (Value::Object(_) | Value::Array(_))) => Ok(Some(value.clone())),
            Some(Value::String(text)) if text.trim_start().starts_with(['[', '{']) => match bounded(text.as_bytes()) {
                // An empty list in a form is not set, as it is in JSON.
                Ok(Value::Array(list)) if list.is_empty() => Ok(None),
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(Why::WrongType { expected }.of(name)),
            },
            Some(Value::String(text)) => checked(text, name).map(|text| Some(Value::String(text))),
            Some(_) => Err(Why::WrongType { expected }.of(name)),
        }
    }

    /// A text, a list of texts, or a text that holds such a list; what is not set is an empty list.
    ///
    /// # Errors
    /// It is something else.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, Fault> {
        let wrong = || Why::WrongType { expected: Expected::Texts }.of(name);
        match self.json_or_text(name, Expected::Texts)? {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(list)) => list
                .into_iter()
                .map(|value| match value {
                    Value::String(text) => checked(&text, name),
                    _ => Err(wrong()),
                })
                .collect(),
            Some(_) => Err(wrong()),
        }
    }

    /// The files of a multipart body, in order.
    pub fn files(&self) -> &[File<'r>] {
        &self.files
    }

    /// Adds a parameter; what comes as `name[]` or `name[0]` is an element of a list.
    fn add(&mut self, name: &str, text: String) -> Result<(), Fault> {
        match list_name(name) {
            Some(list) => {
                let entry = self.values.entry(list.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
                match entry {
                    Value::Array(values) => values.push(Value::String(text)),
                    _ => return Err(Why::Twice.of(shown(list))),
                }
            }
            None => {
                if self.values.insert(name.to_owned(), Value::String(text)).is_some() {
                    return Err(Why::Twice.of(shown(name)));
                }
            }
        }
        Ok(())
    }
}

fn checked(text: &str, name: &str) -> Result<String, Fault> {
    if text.contains('\0') {
        return Err(Why::BadCharacter.of(name));
    }
    Ok(text.to_owned())
}

fn shown(name: &str) -> String {
    name.chars().take(NAME_SHOWN_MAX).collect()
}

/// `name` of `name[]` and `name[12]`.
fn list_name(name: &str) -> Option<&str> {
    let (list, index) = name.strip_suffix(']')?.split_once('[')?;
    (!list.is_empty() && index.bytes().all(|b| b.is_ascii_digit())).then_some(list)
}

/// The `charset` parameter is UTF-8, or there is none.
fn charset_is_utf8(params: &str) -> bool {
    let charset =
        params.split(';').filter_map(|p| p.split_once('=')).find(|(n, _)| n.trim().eq_ignore_ascii_case("charset"));
    charset.is_none_or(|(_, value)| {
        let value = value.trim().trim_matches('"');
        value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
    })
}

fn of_json<'r>(body: &'r [u8]) -> Result<Ask<'r>, Fault> {
    match bounded(body)? {
        Value::Object(map) => {
            if map.len() > PARAMETERS_MAX {
                return Err(Why::TooMuch { max: PARAMETERS_MAX }.fault());
            }
            Ok(Ask { values: map.into_iter().collect(), files: Vec::new() })
        }
        _ => Err(Why::Malformed { what: Syntax::Json }.fault()),
    }
}

fn of_form<'r>(body: &'r [u8]) -> Result<Ask<'r>, Fault> {
    let text = std::str::from_utf8(body).map_err(|_| Why::Malformed { what: Syntax::Utf8 }.fault())?;
    let malformed = || Why::Malformed { what: Syntax::Form }.fault();
    let mut ask = Ask::default();
    // A text file's last line break is no part of a value.
    let text = text.trim_end_matches(['\r', '\n']);
    for (n, pair) in text.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        if n >= PARAMETERS_MAX {
            return Err(Why::TooMuch { max: PARAMETERS_MAX }.fault());
        }
        let (name, value) = pair.split_once('=').ok_or_else(malformed)?;
        let name = percent_decode(name, true).ok_or_else(malformed)?;
        let value = percent_decode(value, true).ok_or_else(|| Why::BadCharacter.of(shown(&name)))?;
        ask.add(&name, value)?;
    }
    Ok(ask)
}

fn of_multipart<'r>(body: &'r [u8], content_type: &str) -> Result<Ask<'r>, Fault> {
    let mut ask = Ask::default();
    let mut fields = BTreeSet::new();
    for part in multipart::parts(body, content_type)? {
        match part.filename {
            None => {
                let text = std::str::from_utf8(part.bytes)
                    .map_err(|_| Why::Malformed { what: Syntax::Utf8 }.of(shown(&part.name)))?;
                ask.add(&part.name, text.to_owned())?;
            }
            // What a browser sends for a file that nobody chose.
            Some(name) if name.is_empty() && part.bytes.is_empty() => {}
            Some(name) => {
                if !fields.insert(part.name.clone()) {
                    return Err(Why::Twice.of(shown(&part.name)));
                }
                let content_type = part.content_type;
                ask.files.push(File { field: part.name, name, content_type, bytes: part.bytes });
            }
        }
    }
    Ok(ask)
}

/// Reads JSON with at most [`VALUES_MAX`] values, in which no object has a key twice.
fn bounded(text: &[u8]) -> Result<Value, Fault> {
    let (left, fault) = (Cell::new(VALUES_MAX), RefCell::new(None));
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Bounded { left: &left, fault: &fault }.deserialize(&mut reader);
    match value.and_then(|value| reader.end().map(|()| value)) {
        Ok(value) => Ok(value),
        Err(_) => Err(fault.take().unwrap_or_else(|| Why::Malformed { what: Syntax::Json }.fault())),
    }
}

/// Makes a [`Value`], counting.
#[derive(Clone, Copy)]
struct Bounded<'a> {
    left: &'a Cell<usize>,
    fault: &'a RefCell<Option<Fault>>,
}

impl Bounded<'_> {
    fn stop<E: serde::de::Error>(self, fault: Fault) -> E {
        self.fault.replace(Some(fault));
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = elements.next_element_seed(self)? {
            self.count()?;
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = serde_json::Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            self.count()?;
            let value = entries.next_value_seed(self)?;
            if map.contains_key(&key) {
                return Err(self.stop(Why::Twice.of(shown(&key))));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

impl Bounded<'_> {
    fn count<E: serde::de::Error>(self) -> Result<(), E> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.stop(Why::TooMuch { max: VALUES_MAX }.fault())),
        }
    }
}

#[cfg(test)]
#[path = "ask_tests.rs"]
mod tests;
