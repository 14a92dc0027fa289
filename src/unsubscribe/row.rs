//! A row of who left which list, as the store keeps it and as everybody reads it.
//!
//! In: the key and value of a memo of kind `Unsubscribes`.  Out: [`Row`], and back.
//! Always: an address and a list have one row, in whatever case they are written; a row that cannot be read blocks nobody and
//! is told.
//!
//! # The shape
//! *Key*: the address in lower case, NUL, the list's name in lower case ([`key`]); all lists of an address begin alike
//! ([`prefix`]). *Value*: JSON, times in milliseconds since 1970:
//!
//! ```json
//! {"created": 1795527310000, "list": "Newsletter A", "how": "link", "effective_from": 1795527310000}
//! ```
//!
//! `how` is `link`, `form`, `manual`, `import` or `complaint`. A mail of the list is refused (class 11) from `effective_from`
//! on: one point read with [`key`], then [`Row::applies`] and [`Row::words`]. No exemption overrides a row.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// How somebody left.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// A mail program followed the link (RFC 8058).
    Link,
    /// The button of the page behind the link.
    Form,
    /// An operator did it.
    Manual,
    /// It came with a file.
    Import,
    /// The recipient complained about a mail of the list (RFC 5965).
    Complaint,
}

impl How {
    /// The word in rows, lists and logs.
    pub fn word(self) -> &'static str {
        match self {
            How::Link => "link",
            How::Form => "form",
            How::Manual => "manual",
            How::Import => "import",
            How::Complaint => "complaint",
        }
    }
}

/// A row: somebody left a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// When, in milliseconds since 1970.
    created: u64,
    /// The list's name, as the filter had it.
    pub list: String,
    /// How.
    pub how: How,
    /// From when on no mail of the list goes there, in milliseconds since 1970.
    effective_from: u64,
}

impl Row {
    /// A row.
    pub fn new(created: Timestamp, list: &str, how: How, effective_from: Timestamp) -> Self {
        let (created, effective_from) = (created.as_millis(), effective_from.as_millis());
        Row { created, list: list.to_owned(), how, effective_from }
    }

    /// When.
    pub fn created(&self) -> Timestamp {
        Timestamp::from_millis(self.created)
    }

    /// From when on no mail of the list goes there.
    pub fn effective_from(&self) -> Timestamp {
        Timestamp::from_millis(self.effective_from)
    }

    /// No mail of the list goes there any more.
    pub fn applies(&self, now: Timestamp) -> bool {
        self.effective_from() <= now
    }

    /// Since when and why, for the log and the reply of class 11.
    pub fn words(&self) -> String {
        let how = match self.how {
            How::Link | How::Form => "by its link",
            How::Manual => "by an operator",
            How::Import => "by an import",
            How::Complaint => "by a complaint",
        };
        format!("unsubscribed from {:?} {how} on {}", self.list, self.created().rfc3339_seconds())
    }

    /// As it is stored.
    pub fn to_value(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and strings are always JSON")
    }

    /// As it was stored; `None`: it cannot be read.
    pub fn of_value(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }
}

/// The key of an address and a list.
pub fn key(address: &str, list: &str) -> String {
    let mut key = prefix(address);
    key.push_str(&list.to_lowercase());
    key
}

/// What the keys of all lists of an address begin with.
pub fn prefix(address: &str) -> String {
    let mut prefix = address.to_lowercase();
    prefix.push('\0');
    prefix
}

/// The address in a key, in lower case.
pub fn address_of(key: &str) -> &str {
    key.split_once('\0').map_or(key, |(address, _)| address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_written_and_as_it_is_documented() {
        let at = Timestamp::from_millis;
        let row = Row::new(at(1_795_527_310_000), "Newsletter A", How::Link, at(1_795_527_311_000));
        assert_eq!(Row::of_value(&row.to_value()), Some(row.clone()));
        let documented =
            br#"{"created": 1795527310000, "list": "Newsletter A", "how": "link", "effective_from": 1795527311000}"#;
        assert_eq!(Row::of_value(documented), Some(row.clone()));
        assert!(!row.applies(at(1_795_527_310_999)) && row.applies(at(1_795_527_311_000)));
        assert_eq!(row.words(), "unsubscribed from \"Newsletter A\" by its link on 2026-11-24T13:35:10Z");
        for how in [How::Link, How::Form, How::Manual, How::Import, How::Complaint] {
            assert_eq!(serde_json::to_string(&how).unwrap(), format!("\"{}\"", how.word()));
        }
        assert_eq!(Row::of_value(b"{}"), None);
    }

    #[test]
    fn an_address_and_a_list_have_one_key_in_any_case() {
        assert_eq!(key("Taro@Example.JP", "News"), "taro@example.jp\0news");
        assert_eq!(key("taro@example.jp", "NEWS"), key("TARO@example.jp", "news"));
        assert!(key("a@b", "x").starts_with(&prefix("A@B")) && !key("a@b.c", "x").starts_with(&prefix("a@b")));
        assert_eq!(address_of(&key("A@b", "x")), "a@b");
    }
}
